"""The worked examples of the lecture decks (`worked_examples.py`), computed by graphc: values and gradients.

Every example runs on the reference and compiled; nothing here is computed by NumPy where graphc can do it.
Those on images are in `test_worked_images.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from worked_examples import W

import graphc as gc
from graphc import nn
from graphc.autodiff.reverse import differentiate
from graphc.lang.tensor import Tensor

on_both = pytest.mark.parametrize("backend", ["reference", "llvm"])


def run(backend: str, outputs: Sequence[Tensor], given: dict[Tensor, Any] | None = None) -> tuple[Any, ...]:
    values = dict(given or {})
    found = gc.compile(list(values), list(outputs), backend=backend)(*values.values())
    assert isinstance(found, tuple)
    return found


def close(found: Any, expected: Any, tol: float = 0.0, rtol: float = 0.0) -> None:
    """Within `tol` (absolute) or `rtol` (relative); exactly, where neither is given."""
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=tol)


# ---- perceptrons and scalar graphs -----------------------------------------------------------------------


@on_both
def test_w01_perceptron(backend: str) -> None:
    e = W["W01"]
    w0, w, x = gc.input("w0"), gc.input("w", (2,)), gc.input("x", (2,))
    z = w0 + gc.dot(w, x)
    y = gc.sigmoid(z)
    slopes = differentiate(y.node, [z.node]).wrt
    outputs = [z, y, *map(Tensor, slopes), *gc.grad(y, [x, w, w0])]
    z_, y_, dz, dx, dw, dw0 = run(backend, outputs, {w0: e["w0"], w: e["w"], x: e["x"]})
    assert z_ == e["z"]
    close(y_, e["stated_y"], e["tol_stated"])
    for found, name in ((y_, "y"), (dz, "dz"), (dx, "dx"), (dw, "dw"), (dw0, "dw0")):
        close(found, e[name], e["tol"])
    rows = np.array(e["points"])
    X = gc.input("X", ("N", 2))
    scores = X @ gc.const(e["w"]) + e["w0"]
    close(np.stack(run(backend, [scores, gc.sigmoid(scores)], {X: rows[:, :2]}), 1), rows[:, 2:], e["tol"])


@on_both
def test_w03_the_lecture_graph_with_each_edge(backend: str) -> None:
    e = W["W03"]
    x, y, z = gc.inputs("x y z")
    q = x + y
    f = q * z
    record = differentiate(f.node, [x.node, y.node, z.node, q.node], locals_too=True)
    given = {x: e["x"], y: e["y"], z: e["z"]}
    values = run(backend, [q, f, *map(Tensor, record.wrt)], given)
    assert [float(v) for v in values] == [e[k] for k in ("q", "f", "dfdx", "dfdy", "dfdz", "dfdq")]
    names = {x.node: "x", y.node: "y", z.node: "z", q.node: "q"}
    assert sorted(names[edge.source] for edge in record.edges) == sorted(e["edges"])
    for edge in record.edges:
        assert edge.local is not None
        factors = [Tensor(n) for n in (edge.upstream, edge.local, edge.downstream)]
        assert tuple(map(float, run(backend, factors, given))) == e["edges"][names[edge.source]]


# ---- sigmoid networks and linear classifiers -------------------------------------------------------------


@on_both
def test_w05_a_sigmoid_layer(backend: str) -> None:
    e = W["W05"]
    w, x, b = gc.input("W", (2, 2)), gc.input("x", (2,)), gc.input("b", (2,))
    z = w @ x + b
    z_, y_ = run(backend, [z, gc.sigmoid(z)], {w: e["W"], x: e["x"], b: e["b"]})
    close(z_, e["stated_z"])
    close(y_, e["stated_y"], e["tol_stated"])
    close(y_, e["y"], e["tol"])


def sigmoid_network(x: Tensor) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """The parameters W1 to W3, the pre-activations and the activations of W06."""
    e = W["W06"]
    weights, sums, outputs = [], [], []
    for k in (1, 2, 3):
        w = gc.param(f"W{k}", init=np.array(e[f"W{k}"]))
        weights.append(w)
        sums.append(w @ x + gc.param(f"b{k}", init=np.array(e[f"b{k}"])))
        x = gc.sigmoid(sums[-1])
        outputs.append(x)
    return weights, sums, outputs


@on_both
def test_w06_three_sigmoid_layers(backend: str) -> None:
    e = W["W06"]
    x = gc.input("x", (2,))
    for case in "ab":
        h1, h2, y = run(backend, sigmoid_network(x)[2], {x: e[f"x_{case}"]})
        close(y, e[f"stated_y_{case}"], e["tol_stated"])
        for found, name in ((h1, "h1"), (h2, "h2"), (y, "y")):
            close(found, e[f"{name}_{case}"], e["tol"])


@on_both
def test_w08_softmax(backend: str) -> None:
    e = W["W08"]
    z = gc.input("z", ("N",))
    exps, y = run(backend, [gc.exp(z), gc.softmax(z)], {z: e["z"]})
    close(exps, e["exp"], e["tol"])
    close(y, e["y"], e["tol"])
    close(y, e["orig_y"], e["tol_orig"])
    (any_y,) = run(backend, [gc.softmax(z)], {z: np.linspace(-8, 8, 33)})
    assert (any_y > 0).all() and (any_y < 1).all() and any_y.sum() == pytest.approx(1)


@on_both
def test_w09_w10_w11_linear_classifier(backend: str) -> None:
    e, trick, linear = W["W09"], W["W10"], W["W11"]
    image = gc.input("image", (2, 2))
    x = gc.reshape(image, -1)
    Wx = gc.const(e["W"]) @ x
    scores = Wx + gc.const(e["b"])
    wide = gc.const(trick["Wb"]) @ gc.concatenate([x, gc.const([1.0])])
    scaled = gc.const(e["W"]) @ (linear["c"] * x)
    outputs = [x, Wx, scores, wide, scaled, linear["c"] * Wx]
    x_, Wx_, scores_, wide_, f_cx, cf_x = run(backend, outputs, {image: e["image"]})
    close(x_, e["x"])
    close(Wx_, e["Wx"], e["tol"])
    close(scores_, e["scores"], e["tol"])
    close(wide_, trick["scores"], trick["tol"])
    close(Wx_, linear["f_x"], linear["tol"])
    close(f_cx, linear["f_cx"], linear["tol"])
    close(cf_x, linear["f_cx"], linear["tol"])


def test_w12_parameters_of_linear_and_two_layer_classifiers() -> None:
    e = W["W12"]
    image = nn.Input((3, 32, 32))
    x = nn.Flatten()(image)
    assert x.shape[1] == e["D"]

    def count(*sizes: int, bias: bool) -> int:
        y = x
        for size in sizes:
            y = nn.Dense(size, use_bias=bias)(y)
        return nn.Model(image, y).summary(verbose=0).parameters

    assert count(e["C"], bias=False) == e["W_params"]
    assert count(e["C"], bias=True) == e["params_with_bias"]
    assert count(e["H"], e["C"], bias=False) == e["two_layer_no_bias"]
    assert count(e["H"], e["C"], bias=True) == e["two_layer_bias"]


@on_both
def test_w13_without_an_activation_two_layers_are_one(backend: str) -> None:
    e = W["W13"]
    w1, w2, x = gc.input("W1", (3, 2)), gc.input("W2", (2, 3)), gc.input("x", (2,))
    found = run(backend, [w2 @ w1, w2 @ (w1 @ x), (w2 @ w1) @ x], {w1: e["W1"], w2: e["W2"], x: e["x"]})
    for value, expected in zip(found, (e["W3"], e["s"], e["s"]), strict=True):
        close(value, expected, e["tol"])


@on_both
def test_w14_handwriting_digits_in_and_out(backend: str) -> None:
    e = W["W14"]
    ink = gc.input("ink", ("N", e["side"], e["side"]))
    flat = gc.reshape(ink, ("N", -1))
    assert flat.shape[1] == e["inputs"]
    confidence = gc.softmax(flat @ gc.const(np.eye(e["inputs"])[:, : e["outputs"]]))
    assert confidence.shape[1] == e["outputs"]
    drawn = np.zeros((3, 16, 16))
    drawn[[0, 1, 2], 0, [4, 9, 0]] = 1
    assert run(backend, [gc.argmax(confidence, axis=1)], {ink: drawn})[0].tolist() == [4, 9, 0]


# ---- losses ----------------------------------------------------------------------------------------------


@on_both
def test_w15_softmax_cross_entropy(backend: str) -> None:
    e = W["W15"]
    s, label = gc.input("s", ("N", 3)), gc.input("label", ("N",), "int64")
    losses = [-gc.mean(gc.pick(gc.log_softmax(s), label)), nn.softmax_cross_entropy(label, s)]
    given = {s: [e["scores"]], label: [e["label"]]}
    exps, p = run(backend, [gc.exp(s), gc.softmax(s)], given)
    close(exps[0], e["exp"], rtol=1e-12)
    assert (np.abs(exps[0] - e["stated_exp"]) <= e["tol_stated_exp"]).all()
    close(p[0], e["p"], e["tol"])
    close(p[0], e["stated_p"], e["tol_stated"])
    for loss in losses:
        value, gradient = run(backend, [loss, gc.grad(loss, s)], given)
        close(value, e["stated_loss"], e["tol_stated"])
        close(value, e["loss"], e["tol"])
        close(gradient[0], e["grad"], e["tol"])


@on_both
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_w17_range_of_the_softmax_loss(dtype: str, backend: str) -> None:
    e = W["W17"]
    s, label = gc.input("s", ("N", "C"), dtype), gc.input("label", ("N",), "int64")
    loss = -gc.mean(gc.pick(gc.log_softmax(s), label))
    fn = gc.compile([s, label], [loss, gc.grad(loss, s)], backend=backend)
    tol = e["tol"] if dtype == "float64" else 1e-6
    initial, slope = fn(np.zeros((2, e["C"]), dtype), [3, 7])
    close(initial, e["stated"], e["tol_stated"])
    close(initial, e["loss"], tol)
    close(slope, (0.1 - np.eye(e["C"])[[3, 7]]) / 2, tol)
    big = np.array([e["big_margin_scores"]], dtype)
    close(fn(big, [0])[0], e["big_margin_loss"], tol)
    close(fn(big, [1])[0], e["wrong_label_loss"], tol)
    close(fn(big, [1])[1], [[1, -1]], tol)


# ---- backpropagation and training ------------------------------------------------------------------------


@on_both
def test_w23_delta_recursion(backend: str) -> None:
    e = W["W23"]
    x = gc.input("x", (2,))
    weights, sums, outputs = sigmoid_network(x)
    loss = 0.5 * gc.sum((outputs[-1] - gc.const(e["target"])) ** 2)
    value, *found = run(backend, [loss, *gc.grad(loss, [*sums, *weights])], {x: W["W06"]["x_a"]})
    close(value, e["E"], e["tol"])
    names = [f"delta{k}" for k in (1, 2, 3)] + [f"dW{k}" for k in (1, 2, 3)]
    for name, gradient in zip(names, found, strict=True):
        close(gradient, e[name], e["tol"])


def draws(seed: int, sizes: Sequence[int]) -> list[np.ndarray[Any, Any]]:
    """x, y, w1 and w2 of W24, from NumPy's legacy generator, whose stream is stable."""
    n, inputs, hidden, outputs = sizes
    legacy = np.random.RandomState(seed)
    return [legacy.randn(*s) for s in ((n, inputs), (n, outputs), (inputs, hidden), (hidden, outputs))]


def twenty_lines(sizes: Sequence[int], lr: float, dtype: str, form: str, backend: str) -> Any:
    """The program as one training step: loss, the norms of dw1 and dw2, their first elements; w1, w2 replaced.

    "derived" and "sigmoid" differentiate 1/(1 + exp(-a)) and the sigmoid; "by hand" takes the slide's gradient.
    """
    x_, y_, w1_, w2_ = (a.astype(dtype) for a in draws(0, sizes))
    x, y = gc.const(x_), gc.const(y_)
    w1, w2 = gc.param("w1", init=w1_), gc.param("w2", init=w2_)
    a = x @ w1
    h = gc.sigmoid(a) if form == "sigmoid" else 1 / (1 + gc.exp(-a))
    error = h @ w2 - y
    loss = gc.sum(error**2)
    if form == "by hand":
        dw1, dw2 = x.T @ (2.0 * error @ w2.T * h * (1 - h)), h.T @ (2.0 * error)
    else:
        dw1, dw2 = gc.grad(loss, [w1, w2])
    outputs = [loss, *(gc.sqrt(gc.sum(d * d)) for d in (dw1, dw2)), dw1[0, 0], dw2[0, 0]]
    return gc.compile([], outputs, updates={w1: w1 - lr * dw1, w2: w2 - lr * dw2}, backend=backend)


@pytest.mark.parametrize(
    ("dtype", "form", "backend", "steps"),
    [
        ("float64", "derived", "reference", 11),
        ("float64", "derived", "llvm", 501),
        ("float64", "by hand", "llvm", 11),
        ("float32", "by hand", "reference", 6),  # exp(-a) overflows here, and 1/(1 + inf) is 0
        ("float32", "by hand", "llvm", 101),
        ("float32", "sigmoid", "llvm", 101),
        ("float32", "derived", "llvm", 101),  # a rule finds the sigmoid and its gradient
    ],
)
def test_w24_neural_net_in_twenty_lines(dtype: str, form: str, backend: str, steps: int) -> None:
    e = W["W24"]
    assert e["seed"] == 0
    x, y, w1, w2 = draws(0, e["sizes"])
    close([x[0, 0], y[0, 0], w1[0, 0], w2[0, 0]], list(e["first"].values()), 1e-14)
    step = twenty_lines(e["sizes"], e["lr"], dtype, form, backend)
    for t in range(steps):
        loss, n1, n2, *_ = step()
        if t in e["loss"]:
            expected = [e["loss"][t], e["norm_dw1"][t], e["norm_dw2"][t]]
            close([loss, n1, n2], expected, rtol=e["rtol"] if dtype == "float64" else 1e-4)


@on_both
def test_w24_tiny(backend: str) -> None:
    e = W["W24"]["tiny"]
    assert e["seed"] == 0
    step = twenty_lines(e["sizes"], e["lr"], "float64", "derived", backend)
    trace = [step() for _ in e["loss"]]
    close([t[0] for t in trace], e["loss"], rtol=e["rtol"])
    close(trace[0][3:], [e["dw1_00_step0"], e["dw2_00_step0"]], rtol=e["rtol"])
