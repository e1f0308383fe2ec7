"""Worked examples W01 to W14: perceptrons, activations, linear classifiers, sigmoid networks.

Every example runs on the reference and compiled; nothing here is computed by NumPy where graphc can do it.
`worked_examples.py` says where the others are, and a test here that none is forgotten.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import worked_examples
from worked_examples import W, close, equal, on_both, run

import graphc as gc
from graphc import nn
from graphc.autodiff.reverse import differentiate
from graphc.lang.tensor import Tensor


def test_every_example_is_tested_where_the_index_says() -> None:
    assert sorted(W) == [f"W{k:02d}" for k in range(1, 63)]
    here = Path(__file__).parent
    index: dict[str, str] = {}
    for place, text in re.findall(
        r"^\| (test_worked_\w+\.py|nowhere) +\| (.*?): ", str(worked_examples.__doc__), re.M
    ):
        for first, last in re.findall(r"W(\d\d)(?: to W(\d\d))?", text):
            index.update({f"W{k:02d}": place for k in range(int(first), int(last or first) + 1)})
    assert sorted(index) == sorted(W)
    for file in here.glob("test_worked_*.py"):
        listed = {name for name, place in index.items() if place == file.name}
        text = file.read_text(encoding="utf-8")
        named = {
            f"W{k}"
            for title in re.findall(r"^def test((?:_w\d\d)+)", text, re.M)
            for k in title.split("_w")[1:]
        }
        assert named == listed, file.name
        assert listed <= set(re.findall(r'"(W\d\d)"', text)), f"{file.name} does not read these figures"
    assert [name for name, place in index.items() if place == "nowhere"] == ["W62"]


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
    record = differentiate(f.node, [x.node, y.node, z.node, q.node, f.node], locals_too=True)
    given = {x: e["x"], y: e["y"], z: e["z"]}
    values = run(backend, [q, f, *map(Tensor, record.wrt)], given)
    assert [float(v) for v in values] == [e[k] for k in ("q", "f", "dfdx", "dfdy", "dfdz", "dfdq", "dfdf")]
    names = {x.node: "x", y.node: "y", z.node: "z", q.node: "q"}
    assert sorted(names[edge.source] for edge in record.edges) == sorted(e["edges"])
    for edge in record.edges:
        assert edge.local is not None
        factors = [Tensor(n) for n in (edge.upstream, edge.local, edge.downstream)]
        assert tuple(map(float, run(backend, factors, given))) == e["edges"][names[edge.source]]


@on_both
def test_w02_activations_and_their_derivatives(backend: str) -> None:
    e = W["W02"]
    z = gc.input("z", ("N",))
    g, t = gc.sigmoid(z), gc.tanh(z)
    made = {
        "sigmoid": g,
        "tanh": t,
        "relu": gc.relu(z),
        "leaky": gc.leaky_relu(z, 0.1),
        "elu": gc.elu(z, e["elu_alpha"]),
    }
    written = {"relu": gc.maximum(0.0, z), "leaky": gc.maximum(0.1 * z, z)}  # as on the slides, kinks alike
    for name, y in [*made.items(), *written.items()]:
        value, slope = run(backend, [y, gc.grad(gc.sum(y), z)], {z: e["z"]})
        close(value, e[name], e["tol"])
        close(slope, e[f"d{name}"], e["tol"])
    by_sigmoid, by_tanh = run(backend, [g * (1 - g), 1 - t**2], {z: e["z"]})  # the identities that are stated
    close(by_sigmoid, e["dsigmoid"], e["tol"])
    close(by_tanh, e["dtanh"], e["tol"])


@on_both
def test_w02_maxout(backend: str) -> None:
    e = W["W02"]["maxout"]
    x, w1, w2 = (gc.input(name, (2,)) for name in ("x", "w1", "w2"))
    y = gc.maxout(gc.stack([gc.dot(w1, x) + e["b1"], gc.dot(w2, x) + e["b2"]]), 2)
    found = run(backend, [y[0], *gc.grad(y[0], [x, w1, w2])], {v: e[v.name] for v in (x, w1, w2)})
    for value, name in zip(found, ("y", "dx", "dw1", "dw2"), strict=True):
        equal(value, e[name])


@on_both
def test_w04_decisions_of_perceptrons(backend: str) -> None:
    e = W["W04"]
    w, X = gc.param("w", init=np.array(W["W01"]["w"])), gc.input("X", ("N", 2))
    pre = X @ w + W["W01"]["w0"]
    step, sign = gc.heaviside(pre, 1.0), gc.sign(pre)
    order = [4, 1, 2, 0, 3]  # the points of W01, by their sums
    points = np.array(W["W01"]["points"])[order, :2]
    with pytest.warns(gc.GraphcWarning, match="dead-gradient"):
        slopes_of = [gc.grad(gc.sum(y), w) for y in (step, sign)]
    outputs = [pre, step, gc.where(pre >= 0, 1.0, 0.0), sign, *slopes_of]
    pre_, step_, written, sign_, *slopes = run(backend, outputs, {X: points})
    equal(pre_, e["pre"])
    equal(step_, e["step"])  # >= 0 fires
    equal(written, e["step"])
    equal(sign_, e["sign"])  # and sign(0) is 0
    equal(slopes, np.zeros((2, 2)))  # both are flat: nothing is learned through them


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
def test_w07_jacobian_of_the_network(backend: str) -> None:
    e = W["W07"]
    x = gc.input("x", (2,))
    y = sigmoid_network(x)[2][-1]
    columns = gc.stack([gc.jvp(y, [x], [gc.const(unit)])[0] for unit in np.eye(2)], axis=1)
    for case in "ab":
        for found in run(backend, [gc.jacobian(y, x), columns], {x: W["W06"][f"x_{case}"]}):
            close(found, e[f"J_{case}"], e["tol"])


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
    close(scores_[:2], e["orig_scores"][:2], e["tol"])
    close(Wx_[2], e["orig_scores"][2], e["tol"])  # the third printed score lacks its bias


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
