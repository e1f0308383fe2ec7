"""gc.custom_gradient: rules that are checked, rules that are deliberate, and what follows from them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import graphc as gc
from graphc.autodiff.check import gradcheck
from graphc.errors import GradientError
from graphc.ir.graph import Graph
from graphc.ir.node import toposort
from graphc.ir.text import graph_text
from graphc.ir.types import Array
from graphc.lang.tensor import Tensor
from graphc.ops.custom import CustomGradient
from graphc.ops.registry import read_graph

BACKENDS = ("reference", "interpreter", "llvm")


def run(inputs: list[Tensor], outputs: list[Tensor], *at: object, backend: str = "reference") -> list[Array]:
    return list(gc.compile(inputs, outputs, backend=backend)(*at))


@gc.custom_gradient(rule=lambda x, y, u: u * gc.sigmoid(x))
def log1pexp(x: Tensor) -> Tensor:
    return gc.log(1.0 + gc.exp(x))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_claim_serves_every_mode_and_back_end(backend: str, dtype: str) -> None:
    x, t = gc.input("x", ("N",), dtype), gc.input("t", ("N",), dtype)
    y = log1pexp(x)
    gradient = gc.grad(gc.sum(y), x)
    second = gc.grad(gc.sum(gradient), x)
    (tangent,) = gc.jvp(y, [x], t)
    at, along = np.array([-2.0, 0.0, 0.5, 3.0], dtype), np.array([1.0, 2.0, -1.0, 0.5], dtype)
    got = run([x, t], [y, gradient, second, tangent], at, along, backend=backend)
    s = 1 / (1 + np.exp(-at.astype(float)))
    tolerance = 1e-6 if dtype == "float32" else 1e-14
    for a, b in zip(got, [np.logaddexp(0, at), s, s * (1 - s), s * along], strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance)


def test_the_gradient_is_right_where_the_formula_overflows() -> None:
    x = gc.input("x")
    (found,) = run([x], [gc.grad(log1pexp(x), x)], 1000.0)
    assert found == 1.0


def test_several_operands_and_results() -> None:
    def polar(r: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        return r * gc.cos(t), r * gc.sin(t)

    def rule(xs: tuple[Tensor, ...], ys: tuple[Tensor, ...], us: tuple[Tensor, ...]) -> list[Tensor]:
        t, (x, y), (u, v) = xs[1], ys, us
        return [u * gc.cos(t) + v * gc.sin(t), v * x - u * y]

    custom = gc.custom_gradient(polar, rule)
    r, t = gc.input("r", ("N",)), gc.input("t", ("N",))

    def outputs(f: object) -> list[Tensor]:
        assert callable(f)
        a, b = f(r, t)
        loss = gc.sum(gc.exp(a) * b + b * b)
        first = gc.grad(loss, [r, t])
        assert isinstance(first, list)
        return [a, b, *first, gc.grad(gc.sum(first[0] * first[1]), t)]  # type: ignore[list-item]

    at = np.array([0.5, 2.0]), np.array([1.0, -0.3])
    for got, expected in zip(
        run([r, t], outputs(custom), *at), run([r, t], outputs(polar), *at), strict=True
    ):
        np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_operands_without_a_gradient_have_none() -> None:
    pick = gc.custom_gradient(
        lambda x, at: gc.take(x, at), lambda xs, y, u: (gc.vjp(gc.take(*xs), [xs[0]], u)[0], None)
    )
    x, at = gc.input("x", (5,)), gc.input("at", (2,), "int64")
    (g,) = run([x, at], [gc.grad(gc.sum(pick(x, at) ** 2), x)], np.arange(5.0), np.array([3, 3]))
    assert g.tolist() == [0, 0, 0, 12, 0]


def test_an_operand_may_be_a_number() -> None:
    scaled = gc.custom_gradient(lambda x, k: k * x, lambda xs, y, u: (xs[1] * u, u * xs[0]))
    x = gc.input("x")
    assert run([x], [gc.grad(scaled(x, 3.0), x)], 2.0) == [3.0]


# ---- deliberate rules --------------------------------------------------------------------------------------

guided_relu = gc.custom_gradient(
    gc.relu, lambda x, y, u: gc.where((u > 0) & (x > 0), u, 0.0), deliberate="guided backpropagation"
)
clipped = gc.custom_gradient(lambda x: x, lambda x, y, u: gc.clip(u, -1.0, 1.0), deliberate="clipping")
reversed_ = gc.custom_gradient(lambda x: x, lambda x, y, u: -u, deliberate="gradient reversal")
rounded = gc.custom_gradient(gc.round, lambda x, y, u: u, deliberate=True)


@pytest.mark.parametrize("backend", BACKENDS)
def test_deliberate_rules(backend: str) -> None:
    x, w = gc.input("x", ("N",)), gc.input("w", ("N",))
    functions = [guided_relu, clipped, reversed_, rounded, lambda v: gc.straight_through(gc.sign(v), v)]
    gradients = [gc.grad(gc.sum(w * f(x)), x) for f in functions]
    values = [f(x) for f in functions]
    at, up = np.array([-1.5, 0.4, 2.6, 1.0]), np.array([3.0, -2.0, 5.0, 0.5])
    got = run([x, w], [*gradients, *values], at, up, backend=backend)
    expected = [[0, 0, 5, 0.5], [1, -1, 1, 0.5], -up, up, up]
    expected += [np.maximum(at, 0), at, at, np.round(at), np.sign(at)]
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_straight_through_keeps_every_bit() -> None:
    """x + stop_gradient(q − x) rounds: 1e16 + (1 − 1e16) is 0 or 2, and never 1."""
    x, q = gc.inputs("x q")
    y = gc.straight_through(q, x)
    assert run([x, q], [y, gc.grad(y * q, x)], 1e16, 1.0) == [1.0, 1.0]


def test_where_nothing_is_any_rule_is_linear() -> None:
    """Forward mode through a rule that would be refused if there were elements (random graph 30718)."""
    x = gc.input("x", (0, 4), "float32")
    (tangent,) = gc.jvp([clipped(x)], [x], [gc.ones_like(x)])
    assert run([x], [tangent], np.zeros((0, 4), np.float32))[0].shape == (0, 4)
    with pytest.raises(GradientError, match="no forward mode"):
        y = gc.input("y", (1, 4), "float32")
        gc.jvp([clipped(y)], [y], [gc.ones_like(y)])


def test_a_quantised_network_trains_through_its_rounding() -> None:
    """Weights on a grid of 1/4: without the straight-through gradient they would never move."""
    W = gc.param("W", (3,), "float64", [0.0, 0.0, 0.0])
    X, t = gc.input("X", ("N", 3)), gc.input("t", ("N",))
    loss = gc.mean((X @ (rounded(W * 4.0) / 4.0) - t) ** 2)
    step = gc.compile([X, t], loss, updates={W: W - 0.1 * gc.grad(loss, W)})  # type: ignore[operator]
    draw = np.random.default_rng(0).normal(size=(64, 3))
    target = draw @ np.array([0.5, -1.25, 2.0])
    losses = [float(step(draw, target)) for _ in range(80)]
    assert losses[-1] < 1e-2 * losses[0]
    np.testing.assert_array_equal(np.round(W.value * 4) / 4, [0.5, -1.25, 2.0])


# ---- what a compiled program sees of them ------------------------------------------------------------------


@pytest.mark.parametrize("disable", [(), ("algebra",), ("fuse",), ("custom-gradient",)])
def test_a_rule_costs_nothing_once_the_graph_is_differentiated(disable: tuple[str, ...]) -> None:
    x = gc.input("x", ("N",))
    y = gc.tanh(log1pexp(gc.exp(x)) * 2.0)
    fn = gc.compile([x], [y, gc.grad(gc.sum(y), x)], disable=disable)
    at = np.linspace(-2, 2, 9)
    np.testing.assert_allclose(fn(at)[0], np.tanh(2 * np.logaddexp(0, np.exp(at))), rtol=1e-14)
    if not disable:
        assert "= custom_gradient" not in fn.stage("optimized")
        assert fn.log is not None and "custom-gradient" in str(fn.log)


def test_nested_rules() -> None:
    outer = gc.custom_gradient(
        lambda x: log1pexp(x) * x, lambda x, y, u: u * (gc.sigmoid(x) * x + log1pexp(x))
    )
    x = gc.input("x")
    f = outer(x)
    second = gc.grad(gc.grad(f, x), x)  # type: ignore[arg-type]
    (found,) = run([x], [second], 0.7)  # type: ignore[list-item]
    s = 1 / (1 + np.exp(-0.7))
    assert found == pytest.approx(0.7 * s * (1 - s) + 2 * s, rel=1e-12)


def test_a_higher_order_follows_the_rule_again() -> None:
    """Of y = tanh x with the rule u·(1 − y²), the second derivative −2y(1 − y²) goes through y."""
    tanh = gc.custom_gradient(gc.tanh, lambda x, y, u: u * (1.0 - y * y))
    x = gc.input("x")
    d = tanh(x)
    for _ in range(3):
        d = gc.grad(d, x)
    y = np.tanh(0.3)
    assert run([x], [d], 0.3)[0] == pytest.approx((1 - y * y) * (6 * y * y - 2), rel=1e-12)


def test_the_function_is_called_once_for_each_use_and_its_lines_are_known() -> None:
    x = gc.input("x")
    y = log1pexp(x)
    (custom,) = [n for n in toposort([y.node]) if isinstance(n.op, CustomGradient)]
    assert custom.op.reason == ""
    from graphc.ir.node import locations

    places = {loc.text for n in toposort([y.node]) for loc in locations(n)}
    assert "gc.exp(x)" in places and "log1pexp(x)" in places


def test_gradcheck_says_that_a_gradient_is_deliberate() -> None:
    x = gc.input("x", (2,))
    report = gradcheck(gc.sum(reversed_(x) * x), x, at={x: [1.0, 2.0]})
    assert not report.ok
    assert "note: f contains a gradient that is deliberately another one: gradient reversal" in str(report)
    assert gradcheck(gc.sum(log1pexp(x)), x, at={x: [1.0, 2.0]})


def test_the_text_of_a_graph_holds_its_rules() -> None:
    x = gc.input("x", ("N",))
    y = gc.sum(log1pexp(x)) + gc.sum(clipped(x))
    text = graph_text(Graph("f", (x.node,), (y.node,)))
    assert "linear=False, reason='clipping'" in text and text.count("block b") == 2
    again = read_graph(text)
    assert graph_text(again) == text
    (new,) = again.inputs
    gradient = gc.grad(Tensor(again.outputs[0]), Tensor(new))
    fn = gc.compile([Tensor(new)], gradient, backend="reference")
    np.testing.assert_allclose(fn([0.0, 1000.0]), [1.5, 2.0])


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_rule_inside_a_loop(backend: str) -> None:
    w, xs = gc.input("w"), gc.input("xs", ("T",))

    def outputs(f: Callable[[Tensor], Tensor]) -> list[Tensor]:
        last, _ = gc.scan(lambda c, x: (f(w * c + x), None), 0.0, xs)
        first = gc.grad(last, w)
        return [last, first, gc.grad(first, w), *gc.jvp(last, [w], gc.const(1.0))]  # type: ignore[list-item, arg-type]

    at = 0.5, np.array([1.0, 2.0, -1.0])
    found = run([w, xs], outputs(log1pexp), *at, backend=backend)
    np.testing.assert_allclose(found, run([w, xs], outputs(gc.softplus), *at), rtol=1e-12)


def test_the_record_and_the_derivation_show_the_rule() -> None:
    x = gc.input("x")
    f = reversed_(x * x)
    record = gc.backprop(f, at={x: 2.0})
    assert "U -> -U" in str(record) and float(next(iter(record.gradients.values()))) == -4.0
    assert r"U \mapsto -U" in str(gc.derive(f, at={x: 2.0}))  # differences disagree, and it says why
