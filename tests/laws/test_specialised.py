"""A function that is compiled for one size gives what the function for all sizes gives, and takes no other."""

from __future__ import annotations

import cases_arrays
import cases_reductions
import cases_windows
import numpy as np
import pytest
import structural_cases
from case_checks import arrays, tensors, upstream
from structural_cases import Case

import graphc as gc
from graphc.ir.types import TensorType
from graphc.passes.specialise import specialised

CASES: dict[str, Case] = {
    k: c
    for module in (structural_cases, cases_arrays, cases_reductions, cases_windows)
    for k, c in module.CASES.items()
    if any("N" in s for s in c.shapes.values())
}


@pytest.mark.parametrize("name", CASES)
def test_a_value_and_its_gradients_for_one_size(name: str) -> None:
    case = CASES[name]
    xs = list(tensors(case, "float64").values())
    y = case.make(*xs)
    results = [y, *gc.vjp(y, [x for x in xs if x.dtype.is_float], upstream(y))]
    wanted = gc.compile(xs, results, backend="reference")
    for size in case.batches:
        given = arrays(case, size)
        fn = gc.compile(xs, results, backend="reference", dims={"N": size})
        assert not any(n.type.dims for n in fn.optimized.nodes)
        for a, b in zip(fn(*given), wanted(*given), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


def test_loops_and_branches_hold_blocks_of_their_own() -> None:
    x = gc.input("x", ("T", "N"))

    def body(c, row):
        inner, _ = gc.scan(lambda s, v: (s + v / gc.sum(gc.ones_like(row)), None), gc.const(0.0), row)
        return gc.cond(inner > 0.0, lambda c: c + row, lambda c: c - row, c), gc.mean(row)

    last, means = gc.scan(body, gc.zeros_like(x[0]), x)
    results = [last, means, gc.grad(gc.sum(last * last), x)]
    X = np.random.default_rng(0).normal(size=(3, 4))
    wanted = gc.compile([x], results, backend="reference")(X)
    for dims in ({"N": 4}, {"T": 3}, {"N": 4, "T": 3}):
        for backend in ("reference", "llvm"):
            fn = gc.compile([x], results, dims=dims, backend=backend)
            for a, b in zip(fn(X), wanted, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-13)


def test_a_training_step_for_one_size() -> None:
    x, t = gc.input("x", ("N", 5), "float32"), gc.input("t", ("N", 3), "float32")
    draw = np.random.default_rng(1)
    X, T = draw.normal(size=(7, 5)).astype("float32"), draw.normal(size=(7, 3)).astype("float32")
    found = []
    for dims in (None, {"N": 7}):
        w = gc.param("w", (5, 3), init=np.linspace(-1, 1, 15).reshape(5, 3).astype("float32"))
        loss = gc.mean((gc.tanh(x @ w) - t) ** 2)
        step = gc.compile([x, t], [loss], updates={w: w - 0.1 * gc.grad(loss, w)}, dims=dims)
        losses = [float(step(X, T)[0]) for _ in range(3)]
        found.append((losses, w.value))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-6)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-5)


def test_other_sizes_are_refused() -> None:
    x = gc.input("x", ("N", "M"))
    fn = gc.compile([x], x + x, dims={"N": 2})
    assert fn(np.ones((2, 5))).shape == (2, 5)
    with pytest.raises(gc.ArgumentError, match="axis 0 is 3, not 2"):
        fn(np.ones((3, 5)))


def test_every_attribute_that_speaks_of_a_dimension_is_changed() -> None:
    x = gc.input("x", ("N", 4), "float32")
    y = gc.concatenate([gc.pad(x, ((1, 0), (0, 0))), gc.reshape(x, (4, -1)).T], axis=0)
    graph = gc.compile([x], gc.mean(y), backend="reference").graph
    new = specialised(graph, {"N": 6})
    assert [n.op.name for n in new.nodes if n.op.name != "const"] == [
        n.op.name for n in graph.nodes if n.op.name not in ("const", "extent")
    ]
    assert "N" not in repr([n.op for n in new.nodes])
    assert new.inputs[0].type == TensorType.of("float32", (6, 4))
    assert specialised(graph, {}).nodes == graph.nodes
