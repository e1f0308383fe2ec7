"""Laws of the op table: what a human typed is proved, what is computed is right to the last bits.

The oracle is the row's mathematics in mpmath.  It shares no code with what is computed: neither the stable
form, nor the body, nor NumPy.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy

from graphc.errors import InternalError
from graphc.ops.body import Body, body_of, evaluate
from graphc.ops.formula import parse, symbol
from graphc.ops.prove import prove_equal, prove_row
from graphc.ops.row import row_named
from graphc.ops.table import ROWS, Row, row

NUMERIC = [r for r in ROWS.values() if r.differentiable and r.dtype != "select"]
CLAIMS = [r for r in ROWS.values() if r.compute or r.grad]
FLOATS = (np.float32, np.float64)
INF, NAN = math.inf, math.nan
X, Y = symbol("x"), symbol("y")


def by_name(r: Row) -> str:
    return r.name


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


@pytest.mark.parametrize("r", CLAIMS, ids=by_name)
def test_each_claim_of_a_row_is_proved(r: Row) -> None:
    verdicts = prove_row(r)
    assert len(verdicts) == len(r.grad) + (r.compute is not None)
    for claim, proof in verdicts.items():
        assert proof.kind == ("stated" if r.detached else "proved"), f"{r.name} {claim}: {proof}"


@pytest.mark.parametrize("r", [r for r in CLAIMS if not r.detached], ids=by_name)
def test_each_claim_of_a_row_is_refuted_when_it_is_bent_a_little(r: Row) -> None:
    bent = {name: f"({formula}) + 1/1000" for name, formula in r.grad.items()}
    compute = None if r.compute is None else f"({r.compute}) + 1/1000"
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

# Units in the last place, against the exact value; NumPy allows its own functions 4 of them.
BUDGET = {"sigmoid": 6, "softplus": 6, "silu": 8, "gelu": 8, "gelu_tanh": 8, "elu": 5}
EXACT = ("neg", "relu", "abs", "sign", "floor", "ceil", "round", "maximum", "minimum", "stop_gradient")
ROUNDED = ("add", "sub", "mul", "div", "square", "reciprocal", "sqrt", "leaky_relu")
# 1 + erf(x) cancels in the left tail: what is lost there is measured against x.
MEASURED_AGAINST_X = ("gelu", "gelu_tanh")


def budget(name: str) -> float:
    return 0 if name in EXACT else 0.501 if name in ROUNDED else BUDGET.get(name, 4)


def grid(dtype: Any, arity: int) -> list[np.ndarray[Any, Any]]:
    """Every size of number, both signs, subnormals and ties of rounding; drawn for several operands."""
    info, draw = np.finfo(dtype), np.random.default_rng(0)
    sizes = [0, 0.25, 0.5, 1, 1.5, 2.5, 5, 20, 40, 88, 100, 750, 1e-30, 1e-8, 1e4, 1e8, 1e30]
    sizes += [info.smallest_subnormal, info.tiny, info.max]
    sizes += [*draw.uniform(0, 4, 24), *10 ** draw.uniform(-6, 3, 24)]
    values = np.concatenate([np.array(sizes, dtype), -np.array(sizes, dtype)])
    return [values] if arity == 1 else [draw.choice(values, 200) for _ in range(arity)]


def oracle(r: Row, expr: sympy.Expr) -> Callable[..., Any]:
    """expr by mpmath; None outside the domain, and where the value is complex or undefined."""
    domain = parse(r.domain, dict(zip(r.operands, r.symbols, strict=False)))
    inside, value = (sympy.lambdify(r.symbols[: r.arity], e, "mpmath") for e in (domain, expr))

    def at(*point: Any) -> Any:
        given = [mpmath.mpf(float(p)) for p in point]
        try:
            found = value(*given) if inside(*given) else None
        except (ZeroDivisionError, ValueError, OverflowError):
            return None
        return None if isinstance(found, mpmath.mpc) else found

    return at


def errors(
    r: Row, expr: sympy.Expr, got: np.ndarray[Any, Any], points: list[np.ndarray[Any, Any]], floor: float
) -> Iterator[tuple[float, str]]:
    """The error at each point, in ulps of the exact value (of `floor`, where the value is smaller)."""
    info, exact = np.finfo(got.dtype), oracle(r, expr)
    # 1 + 5e-324 must not be 1: digits enough for the smallest subnormal, and 50 more.
    with mpmath.workdps(380 if got.dtype == np.float64 else 100):
        for point, value in zip(zip(*points, strict=True), got, strict=True):
            e = exact(*point)
            if e is None:
                continue
            if abs(e) > float(info.max):
                assert abs(value) >= info.max * (1 - 4 * info.eps), (r.name, point, value)
                continue
            size = max(abs(float(e)), floor, abs(float(point[0])) if r.name in MEASURED_AGAINST_X else 0)
            ulp = float(np.spacing(got.dtype.type(min(size, float(info.max) / 2))))
            error = float(abs(mpmath.mpf(float(value)) - e) / ulp) if np.isfinite(value) else INF
            yield error, f"{r.name}{tuple(map(float, point))} = {value}, exactly {mpmath.nstr(e, 10)}"


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("r", NUMERIC, ids=by_name)
def test_values_are_right_to_the_last_bits(r: Row, dtype: Any) -> None:
    points = grid(dtype, r.arity)
    got = evaluate(r.body, *points)
    assert got.dtype == dtype
    # Products of subnormals cannot keep relative precision: the floor is 128 times the smallest normal.
    found = list(errors(r, r.expr, got, points, 128 * float(np.finfo(dtype).tiny)))
    assert len(found) >= 40
    worst, where = max(found)
    assert worst <= budget(r.name), f"{worst:.2f} ulp: {where}"


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("r", [r for r in NUMERIC if not r.detached], ids=by_name)
def test_local_gradients_agree_with_the_derivative_of_the_mathematics(r: Row, dtype: Any) -> None:
    # Gradients that use `out` inherit its rounding, so small ones are measured against 1.
    draw = np.random.default_rng(1)
    points = [(draw.choice([-1, 1], 60) * 10 ** draw.uniform(-3, 1.4, 60)).astype(dtype) for _ in r.operands]
    out = evaluate(r.body, *points)
    for k, s in enumerate(r.symbols[: r.arity]):
        steps = {f: sympy.Dummy() for f in r.expr.atoms(sympy.floor, sympy.ceiling)}
        derivative = r.expr.xreplace(steps).diff(s).xreplace({d: f for f, d in steps.items()})
        got = evaluate(inlined(r.local_body(k)), *points, out)
        assert got.dtype == dtype
        found = list(errors(r, derivative, got, points, 1.0))
        worst, where = max(found)
        assert len(found) >= 20
        assert worst <= (256 if r.name == "pow" else 12), f"∂/∂{r.operands[k]}, {worst:.2f} ulp: {where}"


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
    "silu": [(INF, INF), (1e300, 1e300), (-1e300, -0.0)],
    "gelu": [(INF, INF), (1e300, 1e300), (-1e300, -0.0)],
    "gelu_tanh": [(INF, INF), (1e300, 1e300), (-1e300, -0.0)],
    "relu": [(INF, INF), (-INF, 0.0), (0.0, 0.0)],
    "abs": [(INF, INF), (-INF, INF), (-0.0, 0.0)],
    "sign": [(INF, 1.0), (-INF, -1.0), (0.0, 0.0)],
    "floor": [(INF, INF), (-INF, -INF), (-0.0, -0.0), (-0.5, -1.0)],
    "ceil": [(INF, INF), (-INF, -INF), (-0.5, -0.0)],
    "round": [(INF, INF), (0.5, 0.0), (1.5, 2.0), (2.5, 2.0), (-0.5, -0.0), (-1.5, -2.0)],
    "stop_gradient": [(INF, INF)],
}


@pytest.mark.parametrize("name", LIMITS)
def test_limits_are_numpys(name: str) -> None:
    given, expected = np.array(LIMITS[name]).T
    got = evaluate(ROWS[name].body, given)
    np.testing.assert_array_equal(got, expected)
    numbers = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(got)[numbers], np.signbit(expected)[numbers])


@pytest.mark.parametrize("r", [r for r in NUMERIC if r.name != "pow"], ids=by_name)
def test_a_nan_in_any_operand_reaches_the_result(r: Row) -> None:
    for k in range(r.arity):
        operands = [np.array(-1.5)] * r.arity
        operands[k] = np.array(NAN)
        if (r.name, k) != ("leaky_relu", 1) and (r.name, k) != ("elu", 1):
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
    np.testing.assert_array_equal(got, expected)
    assert got.dtype == expected.dtype


# ---- stability and kinks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sigmoid", "softplus", "silu", "gelu", "gelu_tanh", "tanh", "elu"])
def test_stable_forms_and_their_gradients_are_finite_far_out(name: str) -> None:
    r = ROWS[name]
    x = np.array([-1e8, -1000, -104, -100, -89, 0, 89, 100, 104, 1000, 1e8], np.float32)
    operands = [x, np.ones_like(x)][: r.arity]
    out = evaluate(r.body, *operands)
    assert np.isfinite(out).all()
    for k in range(r.arity):
        gradient = evaluate(inlined(r.local_body(k)), *operands, out)
        assert np.isfinite(gradient).all(), r.operands[k]


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


def test_powers_at_zero() -> None:
    bases, exponents = np.array([0, 0, 0, -0.0, NAN, -8, -2]), np.array([0, 2, -1, -1, 0, 1 / 3, 3])
    powers = evaluate(ROWS["pow"].body, bases, exponents)
    np.testing.assert_array_equal(powers, [1, 0, INF, -INF, 1, NAN, -8])
    assert [local("pow", 0.0, y) for y in (0.0, 1.0, 2.0, 3.0)] == [0, 1, 0, 0]
    assert local("pow", -2.0, 3.0) == 12
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
