"""Formulas as learners write them: value, gradient and second derivative, against the same formula at 150 digits.

Each is a row: what is written, the mathematics, and the points; where the mathematics has no derivative, the
conventions of `graphc.passes.rules_singular` say what is right.  Each was wrong, infinite or NaN as written.
"""

# ruff: noqa: E501
from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import mpmath as mp
import numpy as np
import pytest

import graphc as gc
from graphc.autodiff.reverse import differentiate
from graphc.ir.graph import Graph
from graphc.passes.rules_stability import apart, stabilize
from graphc.runtime.reference import evaluate

FAR = (1e-9, -1e-9, 0.3, -0.7, 2.5, 30.0, -30.0, 1000.0, -1000.0)
POSITIVE = tuple(p for p in FAR if p > 0)
NEGATIVE = tuple(p for p in FAR if p < 0)

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Formula:
    """What is written, what it means, where it is tried; `stated` are value, slope and curvature by convention."""

    written: Callable[[gc.Tensor], gc.Tensor]
    means: Callable[[mp.mpf], mp.mpf]
    points: Sequence[float]
    stated: Mapping[float, Triple] = field(default_factory=dict)
    gradient_only: bool = False  # the value was right as written
    absolute: bool = False  # a probability, or a logarithm of one: right to the ulp of 1
    second: bool = True  # the second derivative too


def norm(x: gc.Tensor) -> gc.Tensor:
    """√(x² + x²), by a sum along an axis."""
    pair = gc.stack([x, x], axis=0)
    return gc.sqrt(gc.sum(gc.square(pair), axis=0))


def unit(x: gc.Tensor) -> gc.Tensor:
    pair = gc.stack([x, 2 * x], axis=0)
    return (pair / gc.sqrt(gc.sum(pair**2, axis=0)))[0]


def spread_of(x: gc.Tensor) -> gc.Tensor:
    """mean(z²) − mean(z)² of three numbers far from 0."""
    z = gc.stack([x + 1e3, x * 2 + 1e3, x * 4 + 1e3], axis=0)
    return gc.mean(z**2, axis=0) - gc.mean(z, axis=0) ** 2


def log_of_picked(x: gc.Tensor) -> gc.Tensor:
    """log Σ t·softmax: the probability of the first of three classes, by a one-hot row."""
    z = gc.stack([x, 0 * x, -x], axis=1)
    e = gc.exp(z)
    p = e / gc.sum(e, axis=1, keepdims=True)
    return gc.log(gc.sum(gc.const([1.0, 0.0, 0.0], x.dtype) * p, axis=1))


def log_index(x: gc.Tensor) -> gc.Tensor:
    z = gc.stack([x, 0 * x, -x], axis=1)
    e = gc.exp(z)
    return gc.log((e / gc.sum(e, axis=1, keepdims=True))[:, 2])


def sigmoid(x: gc.Tensor) -> gc.Tensor:
    return 1 / (1 + gc.exp(-x))


def m_sigmoid(x: mp.mpf) -> mp.mpf:
    return 1 / (1 + mp.exp(-x))


def m_picked(x: mp.mpf, sign: int = 1) -> mp.mpf:
    return sign * x - mp.log(mp.exp(x) + 1 + mp.exp(-x))


def where(c: gc.Tensor, x: object, y: object) -> gc.Tensor:
    return gc.where(c, x, y)


FORMULAS: dict[str, Formula] = {
    # ---- softmax and its logarithm
    "log of a one-hot product with softmax": Formula(log_of_picked, m_picked, FAR, absolute=True),
    "log of an indexed softmax": Formula(log_index, lambda x: m_picked(x, -1), FAR, absolute=True),
    "log of a mean of exponentials": Formula(
        lambda x: gc.log(gc.mean(gc.exp(gc.stack([x, -x], axis=0)), axis=0)), lambda x: mp.log(mp.cosh(x)), (30.0, 1000.0, -1000.0), absolute=True,
    ),
    "softmax of two by hand": Formula(
        lambda x: gc.exp(x) / (gc.exp(x) + gc.exp(2 * x)), lambda x: 1 / (1 + mp.exp(x)), FAR, absolute=True,
    ),
    "softmax of three by hand": Formula(
        lambda x: gc.exp(x) / (gc.exp(x) + gc.exp(2 * x) + gc.exp(-x)),
        lambda x: 1 / (1 + mp.exp(x) + mp.exp(-2 * x)), FAR, absolute=True,
    ),
    "log(e^x + e^2x + 1)": Formula(
        lambda x: gc.log(gc.exp(x) + gc.exp(2 * x) + 1), lambda x: mp.log(mp.exp(x) + mp.exp(2 * x) + 1), (0.3, 30.0, 1000.0), absolute=True,
    ),
    "log of a normal density": Formula(
        lambda x: gc.log(0.3989422804014327 * gc.exp(-(x**2) / 2)), lambda x: mp.log(mp.mpf(0.3989422804014327)) - x**2 / 2,
        (0.3, 30.0, 1000.0), absolute=True,
    ),
    # ---- the logistic function
    "log of 1/(1 + e^-x)": Formula(lambda x: gc.log(sigmoid(x)), lambda x: mp.log(m_sigmoid(x)), FAR, absolute=True),
    "log of e^x/(1 + e^x)": Formula(
        lambda x: gc.log(gc.exp(x) / (1 + gc.exp(x))), lambda x: mp.log(m_sigmoid(x)), FAR, absolute=True,
    ),
    "log of gc.sigmoid": Formula(lambda x: gc.log(gc.sigmoid(x)), lambda x: mp.log(m_sigmoid(x)), FAR, absolute=True),
    "log of 1 - sigmoid": Formula(lambda x: gc.log(1 - gc.sigmoid(x)), lambda x: mp.log(m_sigmoid(-x)), FAR, absolute=True),
    "log of (1 + tanh)/2": Formula(
        lambda x: gc.log((1 + gc.tanh(x)) / 2), lambda x: mp.log(m_sigmoid(2 * x)), (0.3, 30.0, -30.0, -1000.0), absolute=True,
    ),
    "binary cross-entropy": Formula(
        lambda x: -(0.25 * gc.log(sigmoid(x)) + (1 - 0.25) * gc.log(1 - sigmoid(x))),
        lambda x: -(mp.log(m_sigmoid(x)) / 4 + 3 * mp.log(m_sigmoid(-x)) / 4), FAR, absolute=True,
    ),
    "log(1 + e^x)": Formula(lambda x: gc.log(1 + gc.exp(x)), lambda x: mp.log(1 + mp.exp(x)), FAR, absolute=True),
    # ---- near 0 and 1
    "log(1 + x)": Formula(lambda x: gc.log(1 + x), lambda x: mp.log(1 + x), (1e-9, -1e-9, 0.3, 30.0)),
    "e^x - 1": Formula(lambda x: gc.exp(x) - 1, lambda x: mp.expm1(x), (1e-9, -1e-9, 0.3, -30.0)),
    "1 - e^-x": Formula(lambda x: 1 - gc.exp(-x), lambda x: -mp.expm1(-x), (1e-9, -1e-9, 0.3, 30.0)),
    "log(1 - e^x)": Formula(lambda x: gc.log(1 - gc.exp(x)), lambda x: mp.log(-mp.expm1(x)), NEGATIVE),
    "log(e^x - 1)": Formula(lambda x: gc.log(gc.exp(x) - 1), lambda x: mp.log(mp.expm1(x)), POSITIVE),
    "log(e^x - e^-x)": Formula(
        lambda x: gc.log(gc.exp(x) - gc.exp(-x)), lambda x: mp.log(2 * mp.sinh(x)), (0.3, 30.0, 1000.0)
    ),
    "1 - cos x": Formula(lambda x: 1 - gc.cos(x), lambda x: 2 * mp.sin(x / 2) ** 2, (1e-9, 1e-4, -0.7, 2.5)),
    "sinh by exponentials": Formula(
        lambda x: (gc.exp(x) - gc.exp(-x)) / 2, lambda x: mp.sinh(x), (1e-9, -1e-9, 0.3, 30.0)
    ),
    "tanh by exponentials": Formula(
        lambda x: (gc.exp(x) - gc.exp(-x)) / (gc.exp(x) + gc.exp(-x)), lambda x: mp.tanh(x), FAR, absolute=True
    ),
    "tanh by a sigmoid": Formula(lambda x: 2 * gc.sigmoid(2 * x) - 1, lambda x: mp.tanh(x), (1e-9, -1e-9, 0.3, 2.5)),
    "log cosh": Formula(lambda x: gc.log(gc.cosh(x)), lambda x: mp.log(mp.cosh(x)), (1e-4, 0.3, -0.7, 2.5, 1000.0)),
    "log sinh": Formula(lambda x: gc.log(gc.sinh(x)), lambda x: mp.log(mp.sinh(x)), (0.3, 30.0, 1000.0)),
    "log tanh": Formula(lambda x: gc.log(gc.tanh(x)), lambda x: mp.log(mp.tanh(x)), (1e-4, 0.3, 0.7, 2.5, 12.0)),
    "log(1 - tanh²)": Formula(
        lambda x: gc.log(1 - gc.tanh(x) ** 2), lambda x: -2 * mp.log(mp.cosh(x)), (1e-4, 0.3, 2.5, 30.0, -1000.0)
    ),
    "asinh by a logarithm": Formula(
        lambda x: gc.log(x + gc.sqrt(x**2 + 1)), lambda x: mp.asinh(x), (1e-9, -0.7, 30.0, -1e6)
    ),
    "atanh by a logarithm": Formula(lambda x: 0.5 * gc.log((1 + x) / (1 - x)), lambda x: mp.atanh(x), (1e-9, -1e-9, 0.3)),
    "√(x + 1) - √x": Formula(
        lambda x: gc.sqrt(x + 1) - gc.sqrt(x), lambda x: 1 / (mp.sqrt(x + 1) + mp.sqrt(x)), (0.3, 1000.0, 1e12)
    ),
    "√(1 + x) - 1": Formula(lambda x: gc.sqrt(1 + x) - 1, lambda x: x / (mp.sqrt(x + 1) + 1), (1e-9, -1e-9, 0.3, 30.0)),
    "1 - erf": Formula(lambda x: 1 - gc.erf(x), lambda x: mp.erfc(x), (-0.7, 0.3, 2.5, 6.0)),
    "x² - y²": Formula(  # in the slope, 2x − 2y·y′ cancels whatever is done
        lambda x: x**2 - (x * (1 + 2.0**-12)) ** 2, lambda x: mp.nan, (1.0, 4.0, -2.0),
        {p: (-(p**2) * (2.0**-11 + 2.0**-24), np.nan, np.nan) for p in (1.0, 4.0, -2.0)},
    ),
    "mean(z²) - mean(z)²": Formula(spread_of, lambda x: mp.mpf(14) / 9 * x**2, (0.25, 1.0, -3.0)),
    "log x²": Formula(lambda x: gc.log(x**2), lambda x: 2 * mp.log(abs(x)), (0.3, -30.0, 1e-30, 1e30)),
    # ---- singular points
    "x log x": Formula(lambda x: x * gc.log(x), lambda x: x * mp.log(x), (0.3, 30.0, 0.0), {0.0: (0, 0, np.nan)}),
    "entropy of two": Formula(
        lambda x: -(x * gc.log(x) + (1 - x) * gc.log(1 - x)), lambda x: -(x * mp.log(x) + (1 - x) * mp.log(1 - x)),
        (0.3, 0.5, 0.0),  # (1 − x)·log(1 − x) has slope 1 there, the other term 0 by convention
        {0.0: (0, 1, np.nan)},
    ),
    "x log(x/y)": Formula(lambda x: x * gc.log(x / 2), lambda x: x * mp.log(x / 2), (0.3, 0.0), {0.0: (0, 0, 0)}),
    "x (log x - log y)": Formula(
        lambda x: x * (gc.log(x) - gc.log(x * x)), lambda x: -x * mp.log(x), (0.3, 0.0), {0.0: (0, 0, 0)}
    ),
    "x/|x|": Formula(lambda x: x / gc.abs(x), lambda x: mp.sign(x), (0.3, -30.0, 0.0), {0.0: (0, 0, 0)}, second=False),
    "√x²": Formula(lambda x: gc.sqrt(x**2), lambda x: abs(x), (0.3, -1e30, 0.0), {0.0: (0, 0, 0)}),
    "norm": Formula(norm, lambda x: mp.sqrt(2) * abs(x), (0.3, -30.0, 0.0), {0.0: (0, 0, 0)}, gradient_only=True),
    "√(x² + y²)": Formula(
        lambda x: gc.sqrt(x**2 + (2 * x) ** 2), lambda x: mp.sqrt(5) * abs(x), (0.3, -1e30, 1e-30, 0.0), {0.0: (0, 0, 0)}, second=False
    ),
    "x over its norm": Formula(unit, lambda x: mp.sign(x) / mp.sqrt(5), (0.3, -30.0, 0.0), {0.0: (0, 0, 0)}, absolute=True),
    # ---- choices around a singularity
    "where(x > 0, √x, 0)": Formula(
        lambda x: where(x > 0, gc.sqrt(x), 0.0), lambda x: mp.sqrt(x), (0.3, 0.0, -2.0), {0.0: (0, 0, 0), -2.0: (0, 0, 0)},
        gradient_only=True,
    ),
    "where(x = 0, 1, sin x/x)": Formula(
        lambda x: where(gc.equal(x, 0.0), 1.0, gc.sin(x) / x), lambda x: mp.sin(x) / x, (0.3, 0.0), {0.0: (1, 0, 0)},
        gradient_only=True,
    ),
    "where(x > 0, log x, 0)": Formula(
        lambda x: where(x > 0, gc.log(x), 0.0), lambda x: mp.log(x), (0.3, 0.0, -2.0), {0.0: (0, 0, 0), -2.0: (0, 0, 0)},
        gradient_only=True,
    ),
    "where(x ≤ 0, 0, log √x)": Formula(
        lambda x: where(x <= 0, 0.0, gc.log(gc.sqrt(x))), lambda x: mp.log(x) / 2, (0.3, 0.0), {0.0: (0, 0, 0)},
        gradient_only=True,
    ),
    "where(x > ε, x^p, 0)": Formula(
        lambda x: where(x > 1e-6, x**0.3, 0.0), lambda x: x ** mp.mpf(0.3), (0.5, 0.0, -2.0), {0.0: (0, 0, 0), -2.0: (0, 0, 0)},
        gradient_only=True,
    ),
    "where(y ≠ 0, x/y, 0)": Formula(
        lambda x: where(gc.not_equal(x, 0.0), gc.exp(x) / x, 0.0), lambda x: mp.exp(x) / x, (0.5, 0.0), {0.0: (0, 0, 0)},
        gradient_only=True,
    ),
    "where(x < 10, e^x, 0)": Formula(
        lambda x: where(x < 10, gc.exp(x), 0.0), mp.exp, (0.5, 1000.0), {1000.0: (0, 0, 0)}, gradient_only=True
    ),
    "through views": Formula(
        lambda x: gc.reshape(where(gc.reshape(x, (1, -1)).T > 0, gc.reshape(gc.sqrt(x), (1, -1)).T, 0.0), (-1,)),
        mp.sqrt, (0.3, 0.0), {0.0: (0, 0, 0)}, gradient_only=True,
    ),
    "a choice in a choice": Formula(
        lambda x: where(x > 0, where(x < 2, gc.log(x), gc.sqrt(x - 2)), 0.0),
        lambda x: mp.log(x) if x < 2 else mp.sqrt(x - 2), (0.3, 0.0, 1.5, 3.0), {0.0: (0, 0, 0)}, gradient_only=True,
    ),
    "maximum(√x, 1/2)": Formula(
        lambda x: gc.maximum(gc.sqrt(x), 0.5), mp.sqrt, (0.3, 0.0), {0.0: (0.5, 0, 0)}, gradient_only=True
    ),
    "minimum(e^x, 10)": Formula(
        lambda x: gc.minimum(gc.exp(x), 10.0), mp.exp, (0.3, 1000.0), {1000.0: (10, 0, 0)}, gradient_only=True
    ),
    "relu(log x)": Formula(
        lambda x: gc.relu(gc.log(x)), mp.log, (1.5, 0.25, 0.0), {0.0: (0, 0, 0), 0.25: (0, 0, 0)}, gradient_only=True
    ),
}  # fmt: skip


def right(formula: Formula, at: float) -> Triple:
    """Value, slope and curvature at a point."""
    if at in formula.stated:
        return formula.stated[at]
    with mp.workdps(150):
        return tuple(  # type: ignore[return-value]
            float(mp.diff(formula.means, mp.mpf(at), k, h=abs(mp.mpf(at)) * mp.mpf(10) ** -30))
            if k
            else float(formula.means(mp.mpf(at)))
            for k in range(3)
        )


@functools.cache
def expected(name: str, dtype: str) -> np.ndarray:
    """Value, slope and curvature at each point, as that point is in f32 or f64."""
    points = np.array(FORMULAS[name].points, dtype).astype(float)
    return np.array([right(FORMULAS[name], p) for p in points]).T


def allowed(name: str, want: np.ndarray, points: np.ndarray, dtype: str) -> list[np.ndarray]:
    """64 ulp of each result, and what 16 ulp of the operand make of it; of probabilities also 16 ulp of 1."""
    eps = float(np.finfo(dtype).eps)
    want = np.abs(np.nan_to_num(want)) + 0.25 * FORMULAS[name].absolute
    value, slope, curvature = want
    size = np.abs(points)
    tiny = float(np.finfo(dtype).tiny)
    return [
        eps * (64 * value + 16 * size * slope) + 64 * tiny,
        eps * (64 * slope + 16 * size * curvature + 16 * np.minimum(slope, 1)) + 64 * tiny,
        # One more derivative amplifies what cancels in it: relative to slope over size as well.
        eps * (256 * curvature + 64 * np.minimum(slope, value) + 256 * slope) + 64 * tiny,
    ]


def agree(got: Sequence[np.ndarray], name: str, dtype: str, orders: Sequence[int]) -> list[str]:
    """What is wrong, in words."""
    points = np.array(FORMULAS[name].points, dtype).astype(float)
    want = expected(name, dtype)
    far = float(np.finfo(dtype).max)
    wrong = []
    for k, found, bound in zip(
        orders, got, [allowed(name, want, points, dtype)[k] for k in orders], strict=True
    ):
        for p, g, w, b in zip(points, found.astype(float), want[k], bound, strict=True):
            if not np.isnan(w) and abs(w) < far / 4 and not abs(g - w) <= b:
                wrong.append(f"order {k} at {p}: {g!r} is not {w!r}")
    return wrong


def traced(name: str, dtype: str) -> tuple[gc.Tensor, gc.Tensor]:
    x = gc.input("x", (len(FORMULAS[name].points),), dtype)
    return x, FORMULAS[name].written(x)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", FORMULAS)
def test_value_gradient_and_second_derivative_are_right(name: str, dtype: str) -> None:
    x, y = traced(name, dtype)
    slope = gc.grad(gc.sum(y), x)
    outputs, orders = [y, slope], [0, 1]
    if dtype == "float64" and FORMULAS[name].second:
        outputs, orders = [*outputs, gc.grad(gc.sum(slope), x)], [0, 1, 2]
    forward = gc.jvp(y, [x], [gc.const(np.ones(len(FORMULAS[name].points), dtype))])[0]
    fn = gc.compile([x], [*outputs, forward], backend="reference")
    *got, tangent = fn(np.array(FORMULAS[name].points, dtype))
    assert not agree(got, name, dtype, orders)
    assert not agree([tangent], name, dtype, [1])


@pytest.mark.parametrize("name", [n for n, f in FORMULAS.items() if not f.gradient_only])
def test_the_log_says_which_equation_was_used(name: str) -> None:
    x, y = traced(name, "float64")
    events = [e for e in gc.compile([x], y, backend="reference").log if e.pass_name == "stability"]
    assert events and all(" = " in e.equation for e in events)


@pytest.mark.parametrize("name", FORMULAS)
def test_as_written_it_was_wrong(name: str) -> None:
    wrong = []
    for dtype in ("float64", "float32"):
        x, y = traced(name, dtype)
        slope = differentiate(gc.sum(y).node, [x.node]).wrt[0]
        got = evaluate(Graph("naive", (x.node,), (y.node, slope)), [np.array(FORMULAS[name].points, dtype)])
        wrong += agree(got, name, dtype, [0, 1])
    assert wrong


@pytest.mark.parametrize(
    "name",
    ["log of a one-hot product with softmax", "norm", "where(x > 0, √x, 0)", "x log x", "log(1 - e^x)"],
)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_compiled_code_agrees(name: str, dtype: str) -> None:
    x, y = traced(name, dtype)
    fn = gc.compile([x], [y, gc.grad(gc.sum(y), x)], backend="llvm")
    assert not agree(fn(np.array(FORMULAS[name].points, dtype)), name, dtype, [0, 1])


def test_scalars_hessians_and_jacobians() -> None:
    for name in ("where(x > 0, √x, 0)", "log of 1/(1 + e^-x)", "log(1 - e^x)"):
        x = gc.input("x")
        y = FORMULAS[name].written(x)
        fn = gc.compile([x], [y, gc.jacobian(y, x), gc.hessian(y, x)], backend="reference")
        for p in FORMULAS[name].points:
            np.testing.assert_allclose(fn(p), right(FORMULAS[name], p), rtol=1e-12, atol=1e-15)


# ---- what has more than one operand -----------------------------------------------------------------------------


def test_missing_data_leaves_no_trace() -> None:
    """where(isnan(x), 0, (x·w)): the gradient by w has no NaN in it."""
    x, w = gc.input("x", (3,)), gc.input("w", (3,))
    loss = gc.sum(gc.where(gc.not_equal(x, x), 0.0, x * w))
    fn = gc.compile([x, w], gc.grad(loss, w), backend="reference")
    np.testing.assert_array_equal(fn([1.0, np.nan, 3.0], [5.0, 6.0, 7.0]), [1.0, 0.0, 3.0])


def test_what_is_not_picked_leaves_no_trace() -> None:
    p = gc.input("p", (2, 3))
    loss = -gc.sum(gc.pick(gc.log(p), gc.const([0, 2])))
    fn = gc.compile([p], gc.grad(loss, p), backend="reference")
    np.testing.assert_array_equal(fn([[0.5, 0.0, 0.5], [0.0, 0.75, 0.25]]), [[-2, 0, 0], [0, 0, -4]])
    np.testing.assert_array_equal(
        gc.compile([p], gc.grad(gc.sum(gc.sqrt(p)[:, 1:]), p), backend="reference")([[0.0, 1, 4], [0, 1, 4]]),
        [[0, 0.5, 0.25]] * 2,
    )


def test_relative_entropy_by_both_operands() -> None:
    p, q = gc.input("p", (3,)), gc.input("q", (3,))
    loss = gc.sum(p * gc.log(p / q))
    fn = gc.compile([p, q], [loss, *gc.grad(loss, [p, q])], backend="reference")
    value, dp, dq = fn([0.5, 0.5, 0.0], [0.25, 0.5, 0.0])
    np.testing.assert_allclose(value, 0.5 * np.log(2))
    np.testing.assert_allclose(dp, [np.log(2) + 1, 1, 0])
    np.testing.assert_allclose(dq, [-2, -1, 0])


def test_the_gradient_by_the_weight_of_a_logarithm_is_the_logarithm() -> None:
    """0·log y is 0, but its slope by the 0 is log y wherever y is not 0 too."""
    t, y = gc.input("t", (3,)), gc.input("y", (3,))
    fn = gc.compile([t, y], gc.grad(gc.sum(t * gc.log(y)), [t, y]), backend="reference")
    dt, dy = fn([0.0, 0.0, 1.0], [0.5, 0.0, 2.0])
    np.testing.assert_allclose(dt, [np.log(0.5), 0, np.log(2)])
    np.testing.assert_allclose(dy, [0, 0, 0.5])


def test_the_standard_deviation_of_equal_numbers_has_slope_0() -> None:
    x = gc.input("x", ("N", 4))
    std = gc.sqrt(gc.mean((x - gc.mean(x, axis=1, keepdims=True)) ** 2, axis=1))
    naive = gc.sqrt(gc.mean(x**2, axis=1) - gc.mean(x, axis=1) ** 2)
    for written in (std, naive):
        fn = gc.compile([x], [written, gc.grad(gc.sum(written), x)], backend="reference")
        value, slope = fn([[3.0, 3, 3, 3], [1, 2, 3, 4]])
        np.testing.assert_allclose(value, [0, np.sqrt(1.25)], rtol=1e-12)
        np.testing.assert_allclose(slope[0], 0)
        np.testing.assert_allclose(slope[1], (np.arange(1, 5) - 2.5) / 4 / np.sqrt(1.25), rtol=1e-12)


def test_softmax_twice_is_not_made_something_else() -> None:
    x = gc.input("x", (3,))
    fn = gc.compile([x], gc.softmax(gc.softmax(x)), backend="reference")
    e = np.exp(np.array([1.0, 2.0, 4.0]))
    twice = np.exp(e / e.sum())
    np.testing.assert_allclose(fn([1.0, 2.0, 4.0]), twice / twice.sum(), rtol=1e-14)


def test_what_is_singular_where_it_matters_stays_so() -> None:
    """No guard hides a true infinity: where the branch is chosen, and where its value is used besides."""
    x = gc.input("x", (2,))
    root = gc.sqrt(x)
    for y in (gc.where(x >= 0, root, 0.0), gc.where(x > 0, root, 0.0) + root):
        slope = gc.compile([x], gc.grad(gc.sum(y), x), backend="reference")([0.0, 4.0])
        assert np.isinf(slope[0]) and np.isfinite(slope[1])


def test_positive_operands_need_no_guard() -> None:
    x = gc.input("x", ("N",))
    y = gc.relu(x / gc.sqrt(gc.mean(x**2) + 1e-5))
    labels = [n.op.label for n in Graph("g", (x.node,), (gc.grad(gc.sum(y), x).node,)).nodes]
    assert labels.count("where") == 1, labels  # relu's own


def test_an_input_and_an_intermediate_value_are_differentiated_apart() -> None:
    """Together, the logarithm could not be made stable: no rule looks through p."""
    x = gc.input("x", (3,))
    e = gc.exp(x)
    p = e / gc.sum(e)
    loss = -gc.log(p)[0]
    found = {}
    for group in apart([x.node, p.node]):
        stable = stabilize([loss.node], group)
        found |= zip(group, differentiate(stable[loss.node], [stable[n] for n in group]).wrt, strict=True)
    by_x, by_p = evaluate(
        Graph("g", (x.node,), (found[x.node], found[p.node])), [np.array([-1000.0, 0, 1000])]
    )
    np.testing.assert_allclose(by_x, [-1, 0, 1])
    assert by_p[0] < -1e300 and not by_p[1:].any()  # 1/p, of a p that is 0
