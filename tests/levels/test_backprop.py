"""gc.backprop: the numbers and the formulas of the chain rule, edge by edge."""

from __future__ import annotations

import numpy as np
import pytest

import graphc as gc
from graphc.lang.tensor import Tensor
from graphc.show.backprop import Backprop, backprop
from graphc.show.chain import Edge


def triples(t: Backprop) -> dict[str, tuple[float, float, float]]:
    """(upstream, local, downstream) of each operand that is used once."""
    return {
        e.operand.symbol: tuple(float(q.value) for q in (e.upstream, e.local, e.downstream))  # type: ignore[arg-type, misc]
        for e in t.edges
    }


def test_w03_product_of_a_sum() -> None:
    """W03, from the slides on (x + y) z at (-2, 5, -4): exact integers."""
    x, y, z = gc.inputs("x y z")
    q = x + y
    f = q * z
    t = backprop(f, wrt=[x, y, z], at={x: -2.0, y: 5.0, z: -4.0})
    assert t.value == -12.0
    assert triples(t) == {
        "x": (-4.0, 1.0, -4.0),
        "y": (-4.0, 1.0, -4.0),
        "z": (1.0, 3.0, 3.0),
        "q": (1.0, -4.0, -4.0),
    }
    assert [(e.node.symbol, e.operand.symbol) for e in t.edges] == [
        ("f", "q"),
        ("f", "z"),
        ("q", "x"),
        ("q", "y"),
    ]
    assert [float(t.gradients[v]) for v in (x, y, z)] == [-4.0, -4.0, 3.0]
    assert str(t) == TABLE_W03


TABLE_W03 = """\
forward
  x          = -2
  y          = 5
  z          = -4
  q = x + y  = 3
  f = q * z  = -12

backward, from ∂f/∂f = 1: upstream × local = downstream
  node       operand  upstream       local              downstream
  f = q * z  q        ∂f/∂f = 1   ×  ∂f/∂q = z = -4  =  ∂f/∂q = z = -4
  f = q * z  z        ∂f/∂f = 1   ×  ∂f/∂z = q = 3   =  ∂f/∂z = q = 3
  q = x + y  x        ∂f/∂q = -4  ×  ∂q/∂x = 1       =  ∂f/∂x = z = -4
  q = x + y  y        ∂f/∂q = -4  ×  ∂q/∂y = 1       =  ∂f/∂y = z = -4

gradients
  ∂f/∂x  = z  = -4
  ∂f/∂y  = z  = -4
  ∂f/∂z  = q  = 3"""


def test_a_row_unpacks_into_its_five_quantities() -> None:
    x, y = gc.inputs("x y")
    (row, _) = backprop(x * y, at={x: 2.0, y: 3.0}).edges
    assert isinstance(row, Edge)
    node, operand, upstream, local, downstream = row
    assert (node.symbol, node.formula, operand.symbol) == ("f", "x * y", "x")
    assert (upstream.symbol, local.symbol, downstream.symbol) == ("∂f/∂f", "∂f/∂x", "∂f/∂x")
    assert (upstream.formula, local.formula, downstream.formula) == ("1", "y", "y")
    assert local.latex_symbol == r"\frac{\partial f}{\partial x}"


def test_w01_perceptron() -> None:
    w0, w1, w2, x1, x2 = gc.inputs("w0 w1 w2 x1 x2")
    z = w0 + w1 * x1 + w2 * x2
    y = gc.sigmoid(z)
    t = backprop(y, at={w0: 1.0, w1: 3.0, w2: -2.0, x1: -1.0, x2: 2.0})
    np.testing.assert_allclose(t.value, 0.00247262315663477, rtol=0, atol=1e-12)
    np.testing.assert_allclose(t.value, 0.002, atol=0.0005)
    expected = {
        "x1": 0.00739952787408014, "x2": -0.0049330185827201,
        "w1": -0.00246650929136005, "w2": 0.0049330185827201, "w0": 0.00246650929136005,
    }  # fmt: skip
    for name, value in expected.items():
        np.testing.assert_allclose(t.gradients[name], value, rtol=0, atol=1e-12)
    first = t.edges[0]
    assert (first.operand.symbol, first.local.formula) == ("z", "y * (1 - y)")
    assert {q.symbol: q.formula for q in t.chain.gradients}["∂y/∂w0"] == "y * (1 - y)"


def sigmoid_network(x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """W06: f([1,-1]) = [0.62, 0.83]; layer 1 from the source, layers 2 and 3 reconstructed."""
    weights = [[[1.0, -2.0], [-1.0, 1.0]], [[2.0, -1.0], [-2.0, -1.0]], [[3.0, -1.0], [-1.0, 4.0]]]
    biases = [[1.0, 0.0], [0.0, 0.0], [-2.0, 2.0]]
    params: list[Tensor] = []
    for k, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        W, b = gc.param(f"W{k + 1}", init=weight), gc.param(f"b{k + 1}", init=bias)
        x = gc.sigmoid(W @ x + b)
        params += [W, b]
    return x, params


def test_w23_delta_recursion() -> None:
    """W23: E = 1/2 sum (z - y)^2 with target [1, 0]; delta_k is the gradient by the layer's bias."""
    x, target = gc.input("x", (2,)), gc.input("target", (2,))
    y, params = sigmoid_network(x)
    E = 0.5 * gc.sum((y - target) ** 2)
    t = backprop(E, wrt=params, at={x: [1.0, -1.0], target: [1.0, 0.0]})
    np.testing.assert_allclose(t.value, 0.4167981090281, rtol=0, atol=1e-11)
    expected = {
        "b1": [-0.00356516285370642, -0.000986695763572437],
        "b2": [-0.0457628917668241, 0.0551605683942144],
        "b3": [-0.0902773290118988, 0.11746813288383],
        "W1": [[-0.00356516285370642, 0.00356516285370642], [-0.000986695763572437, 0.000986695763572437]],
        "W2": [[-0.0449397907870336, -0.00545507041878734], [0.0541684388294477, 0.00657530093299122]],
        "W3": [[-0.0779561268214479, -0.00999708065132007], [0.101435883901301, 0.0130081207680042]],
    }
    for name, value in expected.items():
        np.testing.assert_allclose(t.gradients[name], value, rtol=0, atol=1e-11)
    products = [e for e in t.edges if e.operand.symbol in ("W1", "W2", "W3")]
    assert products[0].local.formula.startswith("U -> outer(U, ") and products[0].local.value is None
    assert r"\,\underbrace{" in t.to_latex() and r"\begin{bmatrix}" in t.to_latex()


def test_every_elementwise_row_is_upstream_times_local() -> None:
    X, T = gc.input("X", ("N", 3)), gc.input("T", ("N",), "int64")
    W = gc.param("W", (3, 4), "float64", "kaiming")
    h = gc.tanh(X @ W)
    loss = -gc.mean(gc.pick(gc.log_softmax(h), T))
    t = backprop(loss, at={X: np.random.default_rng(0).normal(size=(2, 3)), T: [3, 0]})
    rows = [e for e in t.edges if e.local.value is not None]
    assert len(rows) >= 8
    for e in rows:
        assert e.upstream.value is not None and e.local.value is not None
        np.testing.assert_allclose(e.upstream.value * e.local.value, e.downstream.value, rtol=1e-13)
    maps = {e.operand.symbol: e.local.formula for e in t.edges if e.local.value is None}
    assert maps["W"] == "U -> X.T @ U" and maps["X"] == "U -> U @ W.T"


def test_shares_of_a_tensor_that_is_used_twice_are_added_in_sight() -> None:
    x, y = gc.inputs("x y")
    f = x * y + gc.exp(x)
    t = backprop(f, at={x: 0.0, y: 3.0})
    (found,) = t.sums
    assert found.operand.symbol == "x" and [float(s.value) for s in found.shares] == [1.0, 3.0]  # type: ignore[arg-type]
    assert found.total.value == 4.0 == t.gradients[x]
    assert [s.symbol for s in found.shares] == ["∂f/∂x via v2", "∂f/∂x via v1"]
    assert "sum of 2 shares" in str(t) and "∂f/∂x = v2 + y = 4" in str(t)


def test_both_operands_of_one_node() -> None:
    x, y = gc.inputs("x y")
    t = backprop(x * x * y, at={x: 3.0, y: 2.0})
    assert [s.symbol for s in t.sums[0].shares] == ["∂f/∂x via v1.0", "∂f/∂x via v1.1"]
    assert t.gradients[x] == 12.0 and t.sums[0].total.formula == "2 * y * x"


def test_intermediate_tensors_can_be_differentiated_by() -> None:
    x, y = gc.inputs("x y")
    q = x * y
    t = backprop(gc.exp(q) * x, wrt=q, at={x: 1.0, y: 0.0})
    assert t.gradients[q] == 1.0 and len(t.gradients) == 1
    assert [e.operand.symbol for e in t.edges] == ["v1", "q"]


def test_by_default_only_what_is_trained_counts() -> None:
    x = gc.input("x", (2,), "float32")
    n = gc.input("n", (), "int64")
    w, fixed = gc.param("w", init=[1.0, 2.0]), gc.param("c", init=[1.0, 1.0], trainable=False)
    t = backprop(gc.sum(w * fixed * x) * n, at={"x": [1, 2], n: 3})
    assert [v.name for v in t.gradients] == ["w", "x"]
    np.testing.assert_array_equal(t.gradients["w"], [3, 6])


def test_the_record_keeps_its_numbers_when_a_parameter_is_trained() -> None:
    w = gc.param("w", init=[2.0])
    t = backprop(gc.sum(w * w))
    w.value = [5.0]
    assert t.gradients[w] == 4.0 and "= [2]" in str(t)


def test_names_come_from_the_source_and_else_from_numbers() -> None:
    x, y = gc.inputs("x y")
    h = x
    for _ in range(2):
        h = gc.tanh(h * y)
    t = backprop(gc.exp(h), at={x: 1.0, y: 1.0})
    assert [q.symbol for q in t.forward] == ["x", "y", "v1", "h_1", "v2", "h_2", "f"]


def test_text_of_one_record_is_the_same_each_time() -> None:
    x = gc.input("x", ("N",))
    f = gc.sum(gc.relu(x) * 2.0)
    texts = {str(backprop(f, at={x: np.arange(-3.0, 9.0)})) for _ in range(3)}
    assert len(texts) == 1 and "[min" not in texts.pop()


def test_notebook_forms() -> None:
    x, y = gc.inputs("x y")
    t = backprop(x * y, at={x: 2.0, y: 3.0})
    bundle = t._repr_mimebundle_()
    assert sorted(bundle) == ["image/svg+xml", "text/latex", "text/plain"]
    assert bundle["image/svg+xml"].startswith("<svg") and bundle["text/latex"].startswith(r"\begin{align*}")
    assert t._repr_latex_() == t.to_latex() and t._repr_svg_() == t.to_svg()


def test_the_record_of_a_long_chain_grows_with_its_length() -> None:
    x, y = gc.inputs("x y")
    h = x
    for _ in range(500):
        h = gc.tanh(h + y)
    t = backprop(h, at={x: 0.1, y: 0.2})
    assert len(t.edges) == 1500 and len(str(t)) < 400_000


@pytest.mark.parametrize("fold", [gc.relu, gc.abs, gc.exp])
def test_a_function_of_one_input(fold: object) -> None:
    x = gc.input("x")
    assert callable(fold)
    assert "∂f/∂x" in str(backprop(fold(x), at={x: 0.5}))


def test_a_loop_has_an_edge_for_each_of_its_results() -> None:
    """The record shows one share for each result that is used, and the shares add up to the gradient."""
    w, xs = gc.input("w"), gc.input("xs", (3,))
    last, ys = gc.scan(lambda c, x: (gc.tanh(w * c + x), c), 0.5, xs)
    loss = last + gc.sum(ys)
    point = {w: 0.5, xs: np.array([1.0, 2.0, 3.0])}
    record = gc.backprop(loss, wrt=[w], at=point)
    shares = [e for e in record.edges if e.operand.symbol == "w"]
    assert len(shares) == 2
    right = gc.compile([w, xs], gc.grad(loss, w), backend="reference")(*point.values())
    np.testing.assert_allclose(sum(float(e.downstream.value) for e in shares), right, 1e-12)
