"""Laws of rows, primitives and bodies: how formulas are spelled, typed and printed."""

from __future__ import annotations

import itertools
import math
import os
import subprocess
import sys
from fractions import Fraction

import mpmath
import numpy as np
import pytest
import sympy
from test_op_table import X, Y, by_name, inlined

from graphc.errors import InternalError
from graphc.ir.types import DECLARED, DType
from graphc.ops.body import body_of, evaluate
from graphc.ops.formula import parse
from graphc.ops.prove import prove_equal
from graphc.ops.row import row_named
from graphc.ops.scalar import PRIMS
from graphc.ops.table import ROWS, Row, row


def test_each_primitive_has_the_row_that_it_names() -> None:
    for prim in PRIMS.values():
        if prim.op:
            assert row_named(prim.name) is ROWS[prim.op]
            assert ROWS[prim.op].body.steps == ((prim.name, tuple(range(prim.arity))),)
    assert [p.name for p in PRIMS.values() if not p.op] == [
        "fma",
        "pack_bf16",
        *(f"cast:{d}" for d in DECLARED),
    ]


def test_bodies_are_spelled_in_primitives_and_local_gradients_in_rows_and_primitives() -> None:
    for r in ROWS.values():
        assert r.operands and r.name.isidentifier() and r.cost >= 0
        assert all(name in PRIMS for name, _ in r.body.steps), r.name
        for k in range(r.arity if r.differentiable else 0):
            assert all(row_named(name) for name, _ in r.downstream_body(k).steps), r.name


@pytest.mark.parametrize(
    "r", [r for r in ROWS.values() if r.arity == 2 and r.dtype != "integer"], ids=by_name
)
def test_commutative_rows_are_those_whose_operands_can_be_exchanged(r: Row) -> None:
    x, y = r.symbols[:2]
    same_value = prove_equal(r.expr.xreplace({x: y, y: x}), r.expr, [x, y])
    same_gradient = not r.differentiable or r.local(0).xreplace({x: y, y: x}) == r.local(1)
    a, b = np.meshgrid(*[np.array([-math.inf, -1.5, 0.0, 2.0, math.inf, math.nan])] * 2)
    if r.dtype == "logic":
        a, b = a > 0, b > 0
    same_limits = np.array_equal(evaluate(r.body, a, b), evaluate(r.body, b, a), equal_nan=r.dtype != "logic")
    assert r.commutative == (same_value.kind == "proved" and same_gradient and same_limits)


def test_the_printed_body_is_one_step_per_line() -> None:
    assert ROWS["softplus"].body.text(["x"]) == "\n".join([
        "(x):",
        "  t0 = abs x",
        "  t1 = neg t0",
        "  t2 = exp t1",
        "  t3 = log1p t2",
        "  t4 = lt x, 0",
        "  t5 = select t4, 0, x",
        "  t6 = add t3, t5",
        "  return t6",
    ])  # fmt: skip
    assert str(ROWS["stop_gradient"].body) == "(a):\n  return a"


@pytest.mark.parametrize(
    ("formula", "steps"),
    [
        ("1 - x**2", ["mul a, a", "sub 1, t0"]),
        ("-x - y", ["neg a", "sub t0, b"]),
        ("x**7", ["mul a, a", "mul t0, t0", "mul a, t0", "mul t2, t1"]),
        ("x**(3/2)", ["sqrt a", "mul a, t0"]),
        ("1/sqrt(x)", ["sqrt a", "div 1, t0"]),
        ("x**-2", ["mul a, a", "div 1, t0"]),
        ("-x/y", ["div a, b", "neg t0"]),
        ("x/3 + y/3", ["mul 1/3, a", "mul 1/3, b", "add t0, t1"]),
        ("exp(x)*y + exp(x)", ["exp a", "mul b, t0", "add t1, t0"]),
        ("x if x > y and not (y == 0) else 0", ["ne b, 0", "lt b, a", "and t0, t1", "select t2, a, 0"]),
        ("ceil(x) if x != y or x <= 1 else abs(y)", None),
        ("x**65", ["pow a, 65"]),
    ],
)
def test_translation_of_formulas(formula: str, steps: list[str] | None) -> None:
    body = body_of(parse(formula, {"x": X, "y": Y}), [X, Y])
    if steps is not None:
        assert [line.split(" = ")[1] for line in str(body).splitlines()[1:-1]] == steps
    points = [np.array([0.5, 1.0, 2.0, 3.0]), np.array([2.0, 1.0, 0.5, 5.0])]
    exact = sympy.lambdify([X, Y], parse(formula, {"x": X, "y": Y}), "mpmath")
    expected = [float(exact(*map(mpmath.mpf, p))) for p in zip(*points, strict=True)]
    np.testing.assert_allclose(evaluate(body, *points), expected, rtol=1e-14)


def test_constants_stay_exact_and_take_the_dtype_of_the_operands() -> None:
    body = body_of(parse("0.1*x + 1/3", {"x": X}), [X])
    assert body.constants == (Fraction(1, 10), Fraction(1, 3)) and body.steps[0][0] == "mul"
    assert evaluate(body, np.float32(1)).dtype == np.float32
    assert evaluate(ROWS["square"].local_body(0), np.int32([3]), np.int32([9])).dtype == np.int32
    with pytest.raises(InternalError, match="no place in a body over int32"):
        evaluate(body, np.int32(1))
    with pytest.raises(InternalError, match="one dtype"):
        evaluate(ROWS["add"].body, np.float32(1), np.float64(1))


def test_a_constant_gradient_has_the_shape_of_the_operands() -> None:
    ones = evaluate(ROWS["add"].local_body(0), np.zeros((2, 1)), np.zeros(3), np.zeros((2, 3)))
    np.testing.assert_array_equal(ones, np.ones((2, 3)))
    ones[0, 0] = 7  # a value of its own, not a view of one number


def test_what_is_not_in_the_language_is_refused() -> None:
    for text in ("x @ x", "x if 0 < x < 1 else 0", "x.real", "exp(x=1)", "'x'", "z"):
        with pytest.raises(InternalError, match="not in its language"):
            parse(text, {"x": X})
    with pytest.raises(InternalError, match="not an operand"):
        body_of(X + Y, [X])
    with pytest.raises(InternalError, match="no row"):
        row("odd", "x", "nowhere(x)").body.steps  # noqa: B018


def test_integer_primitives_wrap_and_follow_numpys_signs() -> None:
    smallest = np.iinfo(np.int32).min
    a, b = (np.array(v, np.int32) for v in ([7, -7, 7, -7, 5, smallest], [2, 2, -2, -2, 0, -1]))
    np.testing.assert_array_equal(evaluate(ROWS["floor_divide"].body, a, b), [3, -4, -4, 3, 0, smallest])
    np.testing.assert_array_equal(evaluate(ROWS["mod"].body, a, b), [1, 1, -1, -1, 0, 0])
    assert evaluate(ROWS["sub"].body, np.int32(smallest), np.int32(1)) == np.iinfo(np.int32).max


def test_primitives_check_their_dtypes() -> None:
    assert PRIMS["select"].result(DType.BOOL, DType.F32, DType.F32) is DType.F32
    assert PRIMS["cast:i64"].result(DType.F32) is DType.I64
    assert PRIMS["le"].result(DType.I32, DType.I32) is DType.BOOL
    for name, operands in [
        ("add", (DType.F32, DType.F64)), ("add", (DType.BOOL, DType.BOOL)), ("exp", (DType.I32,)),
        ("bit_and", (DType.F32, DType.F32)), ("not", (DType.F32,)), ("add", (DType.F32,)),
        ("select", (DType.F32, DType.F32, DType.F32)),
    ]:  # fmt: skip
        with pytest.raises(InternalError, match=f"{name} does not take"):
            PRIMS[name].result(*operands)


def test_fma_in_f32_is_rounded_once() -> None:
    a, c = np.float32(1 + 2**-12), np.float32(-1 - 2**-11)
    assert PRIMS["fma"].numpy(a, a, c) == np.float32(2**-24) and a * a + c == 0


def test_latex() -> None:
    assert ROWS["sigmoid"].latex("z") == r"\frac{1}{1 + e^{- z}}"
    assert ROWS["square"].latex("a + b") == r"\left(a + b\right)^{2}"
    assert ROWS["div"].latex("a + b", "h_{1}") == r"\frac{a + b}{h_{1}}"
    assert ROWS["tanh"].local_latex(0, "z", out="h") == "1 - h^{2}"
    assert ROWS["softplus"].local_latex(0, "z") == r"\sigma{\left(z \right)}"
    assert ROWS["relu"].call_latex("h_1") == r"\operatorname{relu}\left(h_1\right)"
    assert "0.044715" in ROWS["gelu_tanh"].latex("x")


def test_everything_printed_is_the_same_in_every_process_and_sympy_waits_to_be_asked() -> None:
    program = (
        "import sys; from graphc.ops.table import ROWS; assert 'sympy' not in sys.modules\n"
        "for r in ROWS.values():\n"
        "    print(r, r.body, r.latex(*r.operands))\n"
        "    for k in range(r.arity * r.differentiable): print(r.downstream_body(k), r.local_latex(k))"
    )
    printed = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    ]  # fmt: skip
    assert printed[0] == printed[1] and len(printed[0].splitlines()) > 300


def test_a_row_may_be_written_in_terms_of_other_rows() -> None:
    mish = row("mish", "x", "x * tanh(softplus(x))")
    assert [name for name, _ in mish.body.steps][-2:] == ["tanh", "mul"]
    at = 0.7
    slope = mpmath.diff(lambda x: x * mpmath.tanh(mpmath.log(1 + mpmath.exp(x))), at)
    found = evaluate(inlined(mish.local_body(0)), np.array(at), evaluate(mish.body, np.array(at)))
    assert float(found) == pytest.approx(float(slope), rel=1e-14)


def test_names_of_rows_and_heads_do_not_collide() -> None:
    for a, b in itertools.pairwise(sorted([*ROWS, *(p for p in PRIMS if p not in ROWS)])):
        assert a != b
    for name in set(ROWS) & set(PRIMS):
        assert PRIMS[name].op == name
