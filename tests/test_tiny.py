"""The whole way once, in under three seconds: an expression and a training step, down to native code."""

from __future__ import annotations

import numpy as np
import pytest

import graphc as gc


def test_the_lecture_graph_at_every_level(backend: str) -> None:
    x, y, z = gc.inputs("x y z")
    f = (x + y) * z
    fn = gc.compile([x, y, z], [f, *gc.grad(f, [x, y, z])], backend=backend)
    assert [float(v) for v in fn(-2.0, 5.0, -4.0)] == [-12.0, -4.0, -4.0, 3.0]
    assert [float(v) for v in fn(1.0, 1.0, z=3.0)] == [6.0, 3.0, 3.0, 2.0]
    found = {name: fn.stage(name) for name in fn.stages}
    assert "= mul %3 %2" in found["graph"] and "x + y" in found["graph"]
    assert "return %4, %2, %2, %3" in found["optimized"]
    if backend != "reference":
        assert "1 kernel\n" in found["fused"]
        assert "t2 = add t0 t1" in found["kernels"]
    if backend == "llvm":
        assert list(found)[4:] == ["scheduled", "llvm", "llvm-opt", "asm"]
        assert "fadd double" in found["llvm"] and "fadd double" in found["llvm-opt"]
        assert ".loc" in found["asm"] and "main.kernels" in found["asm"]


def test_one_training_step_of_a_two_layer_network(backend: str) -> None:
    draw = np.random.default_rng(0)
    sizes = {"W1": (4, 8), "b1": (8,), "W2": (8, 3), "b2": (3,)}
    start = {name: draw.normal(size=size) for name, size in sizes.items()}
    W1, b1, W2, b2 = params = [gc.param(k, dtype="float64", init=v) for k, v in start.items()]
    X, T = gc.input("X", ("N", 4)), gc.input("T", ("N",), "int64")
    loss = -gc.mean(gc.pick(gc.log_softmax(gc.relu(X @ W1 + b1) @ W2 + b2), T))
    updates = {p: p - 0.1 * g for p, g in zip(params, gc.grad(loss, params), strict=True)}
    step = gc.compile([X, T], loss, updates=updates, backend=backend)

    expected = {k: v.copy() for k, v in start.items()}
    for n in (5, 2):
        x, t = draw.normal(size=(n, 4)), draw.integers(0, 3, n)
        assert step(x, t) == pytest.approx(_step(expected, x, t), rel=1e-12)
        for p in params:
            np.testing.assert_allclose(p.value, expected[p.name], rtol=1e-10, atol=1e-14)


def _step(w: dict[str, np.ndarray], x: np.ndarray, t: np.ndarray) -> float:
    """The same step by hand: softmax cross-entropy after a rectified layer, and gradient descent."""
    n = len(t)
    a = x @ w["W1"] + w["b1"]
    h = np.maximum(a, 0)
    s = h @ w["W2"] + w["b2"]
    p = np.exp(s) / np.exp(s).sum(1, keepdims=True)
    ds = (p - np.eye(3)[t]) / n
    da = (ds @ w["W2"].T) * (a > 0)
    for name, gradient in {"W1": x.T @ da, "b1": da.sum(0), "W2": h.T @ ds, "b2": ds.sum(0)}.items():
        w[name] = w[name] - 0.1 * gradient
    return float(-np.log(p[np.arange(n), t]).mean())
