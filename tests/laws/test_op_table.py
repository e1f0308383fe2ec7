"""Laws of the op table: what a human typed is proved, what is computed is right to the last bits.

The oracle is the row's mathematics in mpmath.  It shares no code with what is computed: neither the stable
form, nor the body, nor NumPy.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import sympy
from elementwise_oracle import (
    INF,
    NAN,
    NUMERIC,
    budget,
    by_name,
    errors,
    grid,
    lowest,
    smooth_points,
    worst,
)

from graphc.errors import InternalError
from graphc.ops.body import Body, body_of, evaluate
from graphc.ops.formula import parse, symbol
from graphc.ops.prove import prove_equal, prove_row
from graphc.ops.row import row_named
from graphc.ops.table import ROWS, Row, row

CLAIMS = [r for r in ROWS.values() if r.compute or r.grad]
FLOATS = (np.float32, np.float64)
X, Y = symbol("x"), symbol("y")


def inlined(body: Body) -> Body:
    return body.inlined(lambda name: row_named(name).body)


def local(name: str, *operands: float, k: int = 0, dtype: Any = np.float64) -> float:
    """The local gradient as it is computed: from the operands and from the computed output."""
    arrays = [np.asarray(v, dtype) for v in operands]
    r = ROWS[name]
    return float(evaluate(inlined(r.local_body(k)), *arrays, evaluate(r.body, *arrays)))


def downstream(name: str, *operands: Any, up: float, k: int) -> float:
    arrays = [np.asarray(v) for v in operands]
    r = ROWS[name]
    return float(evaluate(inlined(r.downstream_body(k)), *arrays, evaluate(r.body, *arrays), np.asarray(up)))


# ---- proofs ----------------------------------------------------------------------------------------------


# What SymPy does not prove survives sampling at 50 digits, edge points included: chains of conditions, mostly.
SAMPLED = {
    "hypot": ("compute",), "log2": ("compute",), "log10": ("compute",), "softsign": ("compute",),
    "polygamma": ("compute", "∂/∂x"), "relu6": ("compute", "∂/∂x"), "hard_tanh": ("compute", "∂/∂x"),
    "hard_sigmoid": ("compute", "∂/∂x"), "hard_swish": ("compute",), "clip": ("compute", "∂/∂x"),
    "soft_shrink": ("compute", "∂/∂x", "∂/∂threshold"), "right_shift": ("compute",),
}  # fmt: skip


@pytest.mark.parametrize("r", CLAIMS, ids=by_name)
def test_each_claim_of_a_row_is_proved(r: Row) -> None:
    verdicts = prove_row(r)
    assert len(verdicts) == len(r.grad) + (r.compute is not None)
    for claim, proof in verdicts.items():
        allowed = ("sampled", "proved") if claim in SAMPLED.get(r.name, ()) else ("proved",)
        assert proof.kind in (("stated",) if r.detached else allowed), f"{r.name} {claim}: {proof}"


@pytest.mark.parametrize("r", [r for r in CLAIMS if not r.detached], ids=by_name)
def test_each_claim_of_a_row_is_refuted_when_it_is_bent_a_little(r: Row) -> None:
    bent = {name: f"({formula}) + 1/1000" for name, formula in r.grad.items()}
    other = "0" if r.name == "isfinite" else "1" if r.dtype == "test" else f"({r.compute}) + 1/1000"
    compute = None if r.compute is None else other
    for claim, proof in prove_row(dataclasses.replace(r, grad=bent, compute=compute)).items():
        assert proof.kind == "refuted", f"{r.name} {claim}"


def test_the_wrong_tanh_rule_of_loopy_is_refuted_with_a_counterexample() -> None:
    # Entered loopy in 2015 and stood for ten years: loopy/transform/diff.py.
    proof = prove_row(row("tanh", "x", "tanh(x)", grad={"x": "(1 - out)**2"}))["∂/∂x"]
    assert str(proof) == "refuted: at x = 1: 0.0568373 is not 0.419974"
    assert not proof


def test_proofs_respect_the_domain_and_find_ties() -> None:
    assert prove_equal(sympy.sqrt(X**2), X, [X], X > 0).kind == "proved"
    assert prove_equal(sympy.sqrt(X**2), X, [X]).kind == "refuted"
    left, right = (sympy.Piecewise((X, rel), (Y, True)) for rel in (X >= Y, X > Y))
    assert prove_equal(left, right, [X, Y]).kind == "proved"
    tie = [sympy.Piecewise((1, rel), (0, True)) for rel in (X >= Y, X > Y)]
    assert prove_equal(*tie, [X, Y]).kind == "refuted"


def test_proofs_take_truth_values_and_calls_of_rows() -> None:
    p, q = symbol("p", truth=True), symbol("q", truth=True)
    assert prove_equal(sympy.Not(p & q), sympy.Not(p) | sympy.Not(q), [p, q]).kind == "proved"
    assert prove_equal(sympy.Not(p & q), sympy.Not(p) & sympy.Not(q), [p, q]).kind == "refuted"
    assert prove_equal(X < Y, sympy.Not(Y <= X), [X, Y]).kind == "proved"
    names = {"x": X}
    assert prove_equal(parse("sigmoid(-x)", names), parse("1 - sigmoid(x)", names), [X]).kind == "proved"


def test_what_sympy_cannot_prove_is_sampled_and_what_nobody_can_sample_is_an_error() -> None:
    hard = sympy.floor(X) + sympy.floor(X + sympy.Rational(1, 2))  # Hermite's identity
    proof = prove_equal(hard, sympy.floor(2 * X), [X])
    assert str(proof) == "sampled: 160 points at 50 digits"
    with pytest.raises(InternalError, match="0 points could be sampled"):
        prove_equal(sympy.log(X), X, [X], X < -(10**6))


# ---- values ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("r", NUMERIC, ids=by_name)
def test_values_are_right_to_the_last_bits(r: Row, dtype: Any) -> None:
    points = grid(r, dtype)
    got = evaluate(r.body, *points)
    assert got.dtype == dtype
    worst(errors(r.name, got, points, (), lowest(r.name, dtype)), 30)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("r", [r for r in NUMERIC if not r.detached], ids=by_name)
def test_local_gradients_agree_with_the_derivative_of_the_mathematics(r: Row, dtype: Any) -> None:
    draw = np.random.default_rng(1)
    points = [(draw.choice([-1, 1], 60) * 10 ** draw.uniform(-3, 1.4, 60)).astype(dtype) for _ in r.operands]
    if r.name in ("asin", "acos", "acosh", "atanh", "polygamma"):
        points = smooth_points(r, dtype, 60, 1)
    out = evaluate(r.body, *points)
    for k in range(r.arity):
        got = evaluate(inlined(r.local_body(k)), *points, out)
        assert got.dtype == dtype
        worst(errors(r.name, got, points, (k,), 1.0), 18)


LIMITS = {
    "neg": [(0.0, -0.0), (INF, -INF)],
    "square": [(INF, INF), (-INF, INF), (1e300, INF)],
    "reciprocal": [(INF, 0.0), (-INF, -0.0), (0.0, INF), (-0.0, -INF)],
    "sqrt": [(INF, INF), (0.0, 0.0), (-0.0, -0.0), (-1.0, NAN)],
    "rsqrt": [(INF, 0.0), (0.0, INF), (-1.0, NAN)],
    "exp": [(INF, INF), (-INF, 0.0), (0.0, 1.0), (710.0, INF), (-746.0, 0.0)],
    "expm1": [(INF, INF), (-INF, -1.0), (-0.0, -0.0)],
    "log": [(INF, INF), (0.0, -INF), (-1.0, NAN), (1.0, 0.0)],
    "log1p": [(INF, INF), (-1.0, -INF), (-2.0, NAN), (-0.0, -0.0)],
    "sin": [(INF, NAN), (-INF, NAN), (-0.0, -0.0)],
    "cos": [(INF, NAN), (0.0, 1.0)],
    "tanh": [(INF, 1.0), (-INF, -1.0), (-0.0, -0.0)],
    "erf": [(INF, 1.0), (-INF, -1.0), (-0.0, -0.0)],
    "sigmoid": [(INF, 1.0), (-INF, 0.0), (0.0, 0.5), (1e300, 1.0), (-1e300, 0.0)],
    "softplus": [(INF, INF), (-INF, 0.0), (1e300, 1e300), (-1e300, 0.0)],
    "tan": [(INF, NAN), (-0.0, -0.0)],
    "asin": [(1.0, math.pi / 2), (-1.0, -math.pi / 2), (1.5, NAN), (-0.0, -0.0)],
    "acos": [(1.0, 0.0), (-1.0, math.pi), (-1.5, NAN)],
    "atan": [(INF, math.pi / 2), (-INF, -math.pi / 2), (-0.0, -0.0)],
    "sinh": [(INF, INF), (-INF, -INF), (-0.0, -0.0), (1e4, INF)],
    "cosh": [(INF, INF), (-INF, INF), (0.0, 1.0), (-1e4, INF)],
    "asinh": [(INF, INF), (-INF, -INF), (-0.0, -0.0)],
    "acosh": [(INF, INF), (1.0, 0.0), (0.5, NAN), (-INF, NAN)],
    "atanh": [(1.0, INF), (-1.0, -INF), (2.0, NAN), (-0.0, -0.0)],
    "erfc": [(INF, 0.0), (-INF, 2.0), (0.0, 1.0), (30.0, 0.0)],
    "normal_cdf": [(INF, 1.0), (-INF, 0.0), (0.0, 0.5), (-0.0, 0.5), (-50.0, 0.0)],
    "lgamma": [(INF, INF), (-INF, INF), (0.0, INF), (-0.0, INF), (-3.0, INF), (1.0, 0.0), (2.0, 0.0)],
    "digamma": [(INF, INF), (-INF, NAN), (0.0, -INF), (-0.0, INF), (-3.0, NAN)],
    "cbrt": [(INF, INF), (-INF, -INF), (0.0, 0.0), (-0.0, -0.0), (27.0, 3.0), (-1e300, -1e100)],
    "exp2": [(INF, INF), (-INF, 0.0), (10.0, 1024.0), (-1074.0, 5e-324), (2000.0, INF)],
    "log2": [(INF, INF), (0.0, -INF), (-1.0, NAN), (8.0, 3.0), (2.0**-1074, -1074.0), (2.0**29, 29.0)],
    "log10": [(INF, INF), (0.0, -INF), (-1.0, NAN), (1000.0, 3.0), (1e-5, -5.0), (1e22, 22.0)],
    "log_sigmoid": [(INF, -0.0), (-INF, -INF), (-1e300, -1e300), (1e300, -0.0)],
    "silu": [(INF, INF), (-INF, -0.0), (1e300, 1e300), (-1e300, -0.0)],
    "mish": [(INF, INF), (-INF, 0.0), (1e300, 1e300), (-1e300, 0.0)],
    "gelu": [(INF, INF), (-INF, -0.0), (1e308, 1e308), (-1e300, -0.0)],
    "gelu_tanh": [(INF, INF), (-INF, 0.0), (1e300, 1e300), (-1e300, 0.0)],
    "hard_swish": [(INF, INF), (-INF, 0.0), (1e300, 1e300), (-1e300, 0.0)],
    "hard_sigmoid": [(INF, 1.0), (-INF, 0.0), (3.0, 1.0), (-3.0, 0.0), (0.0, 0.5)],
    "hard_tanh": [(INF, 1.0), (-INF, -1.0), (-0.0, -0.0)],
    "relu6": [(INF, 6.0), (-INF, 0.0), (6.0, 6.0), (0.0, 0.0)],
    "softsign": [(INF, 1.0), (-INF, -1.0), (1e300, 1.0), (-0.0, -0.0), (1.0, 0.5)],
    "elu": [(INF, INF), (-INF, -1.0), (-0.0, -0.0)],
    "celu": [(INF, INF), (-INF, -1.0), (-0.0, -0.0)],
    "selu": [(INF, INF), (-INF, -1.7580993408473768), (-0.0, -0.0)],
    "soft_shrink": [(INF, INF), (-INF, -INF), (0.25, 0.0), (1.5, 1.0), (-1.5, -1.0)],
    "hard_shrink": [(INF, INF), (-INF, -INF), (0.5, 0.0), (-0.75, -0.75)],
    "trunc": [(INF, INF), (-0.5, -0.0), (1.5, 1.0), (-1.5, -1.0), (-0.0, -0.0)],
    "heaviside": [(INF, 1.0), (-INF, 0.0), (0.0, 0.5), (-0.0, 0.5)],
    "relu": [(INF, INF), (-INF, 0.0), (0.0, 0.0)],
    "abs": [(INF, INF), (-INF, INF), (-0.0, 0.0)],
    "sign": [(INF, 1.0), (-INF, -1.0), (0.0, 0.0)],
    "floor": [(INF, INF), (-INF, -INF), (-0.0, -0.0), (-0.5, -1.0)],
    "ceil": [(INF, INF), (-INF, -INF), (-0.5, -0.0)],
    "round": [(INF, INF), (0.5, 0.0), (1.5, 2.0), (2.5, 2.0), (-0.5, -0.0), (-1.5, -2.0)],
    "stop_gradient": [(INF, INF)],
}


DEFAULTS = {"elu": (1.0,), "celu": (1.0,), "soft_shrink": (0.5,), "hard_shrink": (0.5,), "heaviside": (0.5,)}


@pytest.mark.parametrize("name", LIMITS)
def test_limits(name: str) -> None:
    given, expected = np.array(LIMITS[name]).T
    got = evaluate(ROWS[name].body, given, *(np.full_like(given, d) for d in DEFAULTS.get(name, ())))
    np.testing.assert_array_equal(got, expected)
    numbers = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(got)[numbers], np.signbit(expected)[numbers])


# (x, y, the value); NumPy's, where it has the function, but for hypot(inf, NaN).
PAIRS = {
    "pow": [(0, 0, 1), (NAN, 0, 1), (0, 2, 0), (0, -1, INF), (-0.0, -1, -INF), (-8, 1 / 3, NAN), (-2, 3, -8),
            (INF, -1, 0), (INF, 0, 1), (-INF, 3, -INF), (0.5, INF, 0), (2, INF, INF), (1, NAN, 1), (2, NAN, NAN)],
    "hypot": [(0, 0, 0), (INF, 1, INF), (-INF, INF, INF), (INF, NAN, NAN), (1e300, 1e300, math.sqrt(2) * 1e300),
              (3, 4, 5), (5e-324, 0, 5e-324)],
    "atan2": [(0.0, -1, math.pi), (-0.0, -1, -math.pi), (0.0, 0.0, 0.0), (1, INF, 0), (INF, INF, math.pi / 4),
              (-INF, -INF, -3 * math.pi / 4)],
    "xlogy": [(0, 0, 0), (0, INF, 0), (0, 2, 0), (0, NAN, NAN), (2, 0, -INF), (1, -1, NAN), (0, -1, NAN)],
    "logaddexp": [(-INF, -INF, -INF), (INF, INF, INF), (-INF, 3, 3), (INF, -INF, INF), (1000, 1000, 1000 + math.log(2)),
                  (NAN, 1, NAN)],
    "multiply_no_nan": [(INF, 0, 0), (NAN, 0, 0), (NAN, 1, NAN), (0, INF, NAN), (2, 3, 6)],
    "floor_divide": [(1, 0.1, 9), (-1, 0.1, -10), (1, 0, INF), (-1, 0, -INF), (0, 0, NAN), (INF, 1, NAN), (1, INF, 0),
                     (-1, INF, -1)],
    "mod": [(1, 0.1, 1 % 0.1), (-1, 0.75, 0.5), (1, 0, NAN), (INF, 1, NAN), (1, INF, 1), (-1, INF, INF), (-3, 3, 0)],
    "polygamma": [(0, 1, -0.5772156649015329), (1, 0, INF), (1, -2, INF), (2, -2, NAN), (1, INF, 0), (1.5, 1, NAN),
                  (-1, 1, NAN), (2, 0.0, -INF), (1, NAN, NAN)],
    "maximum": [(NAN, 1, NAN), (1, NAN, NAN), (-INF, 2, 2)],
    "minimum": [(NAN, 1, NAN), (1, NAN, NAN), (-INF, 2, -INF)],
}  # fmt: skip


@pytest.mark.parametrize("name", PAIRS)
def test_limits_of_two_operands(name: str) -> None:
    x, y, expected = np.array(PAIRS[name], np.float64).T
    np.testing.assert_array_max_ulp(evaluate(ROWS[name].body, x, y), expected, 1)


# What takes 0, or another number, for a NaN that it does not look at.
BLIND = {("hard_shrink", 1), ("threshold", 1), ("threshold", 2), ("heaviside", 1)}


@pytest.mark.parametrize("r", NUMERIC, ids=by_name)
def test_a_nan_in_any_operand_reaches_the_result(r: Row) -> None:
    for k in range(r.arity):
        operands = [np.array(-1.5)] * r.arity
        operands[k] = np.array(NAN)
        if (r.name, k) not in BLIND:
            assert np.isnan(evaluate(r.body, *operands)), r.operands[k]


@pytest.mark.parametrize("r", [r for r in ROWS.values() if r.numpy_name], ids=by_name)
def test_the_row_is_numpys_function_of_that_name(r: Row) -> None:
    draw = np.random.default_rng(2)
    numbers = draw.integers(-9, 9, (r.arity, 50))
    if r.dtype != "integer":
        numbers = numbers / 4
    operands = [n > 0 for n in numbers] if r.dtype == "logic" else list(numbers)
    if r.dtype == "select":
        operands[0] = numbers[0] > 0
    with np.errstate(all="ignore"):
        expected = getattr(np, r.numpy_name or "")(*operands)
    got = evaluate(r.body, *operands)
    if r in NUMERIC and budget(r.name)[0] > 1:
        np.testing.assert_array_max_ulp(got, expected, 4)
    else:
        np.testing.assert_array_equal(got, expected)
    assert got.dtype == expected.dtype


# ---- stability and kinks ---------------------------------------------------------------------------------


# Gradients at -inf and at inf, where the mathematics has a limit.
SLOPES = {
    "sigmoid": (0, 0), "softplus": (0, 1), "log_sigmoid": (1, 0), "tanh": (0, 0), "relu": (0, 1), "elu": (0, 1),
    "selu": (0, 1.0507009873554805), "celu": (0, 1), "silu": (0, 1), "mish": (0, 1), "gelu": (0, 1),
    "gelu_tanh": (0, 1),
    "hard_swish": (0, 1), "hard_sigmoid": (0, 0), "hard_tanh": (0, 0), "relu6": (0, 0), "softsign": (0, 0),
    "hard_shrink": (1, 1), "soft_shrink": (1, 1), "atan": (0, 0), "asinh": (0, 0), "erf": (0, 0), "erfc": (0, 0),
    "normal_cdf": (0, 0),
    "square": (-INF, INF), "exp": (0, INF), "abs": (-1, 1), "leaky_relu": (0.25, 1),
}  # fmt: skip


@pytest.mark.parametrize("name", SLOPES)
def test_gradients_at_the_ends_and_far_out_are_the_limits(name: str) -> None:
    r = ROWS[name]
    x = np.array([-INF, -1e8, -1000, -104, -100, -89, 0, 89, 100, 104, 1000, 1e8, INF], np.float32)
    operands = [x, np.full_like(x, {"leaky_relu": 0.25}.get(name, 1.0))][: r.arity]
    out = evaluate(r.body, *operands)
    gradient = evaluate(inlined(r.local_body(0)), *operands, out)
    assert not np.isnan(out).any() and not np.isnan(gradient).any()
    if name not in ("square", "exp"):
        assert np.isfinite(out[1:-1]).all() and np.isfinite(gradient).all()
    np.testing.assert_allclose(gradient[[0, -1]], SLOPES[name])
    for k in range(1, r.arity):
        others = evaluate(inlined(r.local_body(k)), *operands, out)
        assert np.isfinite(others[1:-1]).all(), r.operands[k]


def test_the_mathematics_of_softplus_is_not_stable_and_the_stable_form_is() -> None:
    x = np.array([-100, 100], np.float32)
    naive = body_of(ROWS["softplus"].expr, [X])
    assert evaluate(naive, x)[1] == np.inf
    assert evaluate(ROWS["softplus"].body, x)[1] == 100 and evaluate(ROWS["softplus"].body, x)[0] > 0
    assert evaluate(ROWS["sigmoid"].body, x)[0] > 0  # a subnormal, and not 0


def test_kinks_have_the_gradients_that_the_table_states() -> None:
    assert local("relu", 0.0) == 0 and local("relu", 1e-300) == 1
    assert local("abs", 0.0) == 0 and local("abs", -2.0) == -1
    assert local("sign", 0.0) == local("floor", 1.0) == local("ceil", 1.0) == local("round", 0.5) == 0
    assert local("leaky_relu", 0.0, 0.1) == 0.1 and local("leaky_relu", 0.0, 0.1, k=1) == 0
    assert local("elu", 0.0, 0.3) == 1 and local("elu", 0.0, 0.3, k=1) == 0
    for name in ("maximum", "minimum"):
        assert (local(name, 2.0, 2.0), local(name, 2.0, 2.0, k=1)) == (1, 0)
    assert (local("maximum", 1.0, 2.0), local("maximum", 1.0, 2.0, k=1)) == (0, 1)
    assert local("stop_gradient", 3.0) == 0


def test_kinks_of_the_rows_with_several() -> None:
    assert [local("relu6", v) for v in (0.0, 3.0, 6.0)] == [0, 1, 0]
    assert [local("hard_tanh", v) for v in (-1.0, 0.5, 1.0)] == [0, 1, 0]
    assert [local("hard_sigmoid", v) for v in (-3.0, 3.0)] == [0, 0]
    assert [local("hard_swish", v) for v in (-3.0, 3.0)] == [0, 1]
    assert [local("clip", v, 0.0, 1.0) for v in (-1.0, 0.0, 0.5, 1.0, 2.0)] == [0, 1, 1, 1, 0]
    assert [local("clip", v, 0.0, 1.0, k=1) for v in (-1.0, 0.0, 2.0)] == [1, 0, 0]
    assert [local("clip", v, 0.0, 1.0, k=2) for v in (-1.0, 1.0, 2.0)] == [0, 0, 1]
    assert local("celu", 0.0, 0.5) == 1 and local("selu", 0.0) == pytest.approx(1.0507009873554805)
    assert (local("hypot", 0.0, 0.0), local("hypot", 3.0, 4.0)) == (0, pytest.approx(0.6))
    assert (local("atan2", 0.0, 0.0), local("atan2", 1e-200, 1e-200)) == (0, pytest.approx(5e199))
    assert (local("xlogy", 0.0, 0.0), local("xlogy", 0.0, 0.0, k=1), local("xlogy", 0.0, 2.0, k=1)) == (
        0,
        0,
        0,
    )
    assert local("logaddexp", -INF, -INF) == 0.5 and local("logaddexp", 1000.0, 0.0) == 1
    assert local("mod", 7.0, 2.0, k=1) == -3 and local("floor_divide", 7.0, 2.0) == 0


def test_powers_at_zero() -> None:
    assert [local("pow", 0.0, y) for y in (0.0, 1.0, 2.0, 3.0)] == [0, 1, 0, 0]
    assert local("pow", -2.0, 3.0) == 12 and local("pow", 0.0, 0.5) == INF
    assert [local("pow", 0.0, y, k=1) for y in (0.0, 0.5, 2.0)] == [0, 0, 0]
    assert local("pow", 2.0, 3.0, k=1) == pytest.approx(8 * math.log(2))


def test_what_was_not_chosen_receives_nothing_even_from_an_infinite_upstream() -> None:
    for up in (INF, NAN):
        assert downstream("where", True, 1.0, 2.0, up=up, k=2) == 0
        assert downstream("where", False, 1.0, 2.0, up=up, k=1) == 0
        assert downstream("relu", -1.0, up=up, k=0) == 0
        assert downstream("maximum", 1.0, 2.0, up=up, k=0) == 0
        assert downstream("leaky_relu", 1.0, 0.1, up=up, k=1) == 0
        assert downstream("stop_gradient", 1.0, up=up, k=0) == 0
    assert downstream("where", True, 1.0, 2.0, up=3.0, k=1) == 3


def test_gradients_read_what_they_need_and_no_more() -> None:
    for name in ("relu", "tanh", "sigmoid", "exp", "sqrt"):
        assert ROWS[name].local_body(0).reads == (1,), "the output alone"
    assert ROWS["softplus"].local_body(0).reads == (0,)
    softplus = ROWS["softplus"].downstream_body(0).text(["x", "out", "up"])
    assert softplus == "(x, out, up):\n  t0 = sigmoid x\n  t1 = mul up, t0\n  return t1"
    with pytest.raises(InternalError, match="no gradient"):
        ROWS["less"].local(0)
