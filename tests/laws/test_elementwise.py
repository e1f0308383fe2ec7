"""Every row of the op table, compiled: value, gradient and gradient of the gradient, in each dtype, on each back end.

Values and derivatives are measured against the row's mathematics at 50 digits (`elementwise_oracle.py`, which
shares no code with what is computed), gradients against central differences too, and the forward mode against
the reverse mode.  One compiled function serves all batch sizes.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy
from elementwise_oracle import (
    GRADED,
    NUMERIC,
    Array,
    by_name,
    errors,
    exact,
    grid,
    lowest,
    smooth_points,
    worst,
)

import graphc as gc
from graphc.ops.table import ROWS, Row
from graphc.runtime.function import Function

FLOATS = ("float32", "float64")
BATCHES = (1, 2, 7, 64, 65)
WEIGHTS = (1.0, 0.5, 0.25)
"""By which the gradients of several operands are added up, before the sum is differentiated again."""


@functools.cache
def compiled(name: str, dtype: str, backend: str) -> Function:
    """(operands…, upstream, tangents…) → (value, gradients…, the value's tangent, second derivatives…).

    There is a gradient, a tangent and a second derivative for each floating operand; the dimension is named.
    """
    row = ROWS[name]
    xs = [gc.input(o, ("N",), dtype) for o in row.operands]
    if row.dtype == "select":
        xs[0] = gc.input(row.operands[0], ("N",), "bool")
    wrt = [x for x in xs if x.dtype.is_float]
    up, tangents = gc.input("up", ("N",), dtype), [gc.input(f"t_{x.name}", ("N",), dtype) for x in wrt]
    value = getattr(gc, name)(*xs)
    gradients = gc.vjp(value, wrt, up)
    # 0*x: the gradient of a sum does not depend on x, and is 0 nevertheless.
    weighed = [gc.sum(g * w + 0.0 * x) for g, w, x in zip(gradients, WEIGHTS, wrt, strict=False)]
    second = gc.grad(functools.reduce(lambda a, b: a + b, weighed), wrt)
    outputs = [value, *gradients, *gc.jvp(value, wrt, tangents), *second]
    return gc.compile([*xs, up, *tangents], outputs, backend=backend, name=name)


def run(
    row: Row, dtype: str, backend: str, points: list[Array], up: Array | None = None
) -> tuple[Array, ...]:
    """(value, gradients…, tangent, second derivatives…) at these points; the tangents are 1, 2, 3."""
    ones = np.ones(len(points[-1]), dtype)
    tangents = [ones * (k + 1) for k, p in enumerate(p for p in points if p.dtype != bool)]
    found = compiled(row.name, dtype, backend)(*points, ones if up is None else up, *tangents)
    assert isinstance(found, tuple) and all(v.dtype == np.dtype(dtype) for v in found)
    return found


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("row", NUMERIC, ids=by_name)
def test_compiled_values_are_right_to_the_last_bits(row: Row, dtype: str, backend: str) -> None:
    points = grid(row, np.dtype(dtype).type)
    if backend == "interpreter":  # it takes a microsecond for each step of each element
        points = [p[:: len(p) // 40] for p in points]
    got = run(row, dtype, backend, points)[0]
    worst(errors(row.name, got, points, (), lowest(row.name, dtype), native=backend == "llvm"), 10)


# ---- the ends of the number line ---------------------------------------------------------------------------

ANY_ZERO = ("maximum", "minimum", "clip", "relu6", "hard_tanh", "soft_shrink", "hypot", "pow", "mod")
"""Of +0 and -0 these may give either."""


def edges(row: Row, dtype: str) -> list[Array]:
    """Signed zeros, infinities, NaN, subnormals, the largest numbers, ties; all pairs of them."""
    info = np.finfo(dtype)
    some = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 0.5, -3.0]
    some += [
        float(v) for v in (info.smallest_subnormal, -info.smallest_subnormal, info.tiny, info.max, -info.max)
    ]
    short = some if row.arity < 3 else [0.0, np.inf, -np.inf, np.nan, 1.0]
    return [
        np.array(column, dtype) for column in zip(*itertools.product(short, repeat=row.arity), strict=True)
    ]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("row", NUMERIC, ids=by_name)
@pytest.mark.parametrize("compiler", ["interpreter", "llvm"])
def test_edge_values_are_the_references(row: Row, dtype: str, compiler: str) -> None:
    points = edges(row, dtype)
    if compiler == "interpreter" and row.arity == 2:
        points = [p[::3] for p in points]
    got, wanted = run(row, dtype, compiler, points), run(row, dtype, "reference", points)
    rtol, atol = 16 * float(np.finfo(dtype).eps), 256 * float(np.finfo(dtype).tiny)
    np.testing.assert_allclose(got[0], wanted[0], rtol=rtol, atol=atol)
    if row.name not in ANY_ZERO:
        zero = (wanted[0] == 0) & (got[0] == 0)
        np.testing.assert_array_equal(np.signbit(got[0][zero]), np.signbit(wanted[0][zero]))
    for k in range(row.arity):
        finite = np.isfinite(wanted[1 + k])
        np.testing.assert_allclose(got[1 + k][finite], wanted[1 + k][finite], rtol=4 * rtol, atol=rtol)


# ---- gradients, at every batch size ------------------------------------------------------------------------


def slopes(row: Row, points: list[Array], by: tuple[int, ...]) -> Array:
    """A derivative of the mathematics at 50 digits, as f64."""
    return np.array([float(exact(row.name, *by)(p)) for p in zip(*points, strict=True)])


def floating(row: Row) -> list[int]:
    return list(range(row.dtype == "select", row.arity))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("row", GRADED, ids=by_name)
def test_values_and_gradients_at_every_batch_size_through_one_function(row: Row, dtype: str) -> None:
    eps = float(np.finfo(dtype).eps)
    for batch in BATCHES:
        points = smooth_points(row, dtype, batch, seed=batch)
        up = np.random.default_rng(batch).uniform(0.5, 2.0, batch).astype(dtype)
        got, wanted = (run(row, dtype, backend, points, up) for backend in ("llvm", "reference"))
        for g, w in zip(got, wanted, strict=True):
            assert g.shape == (batch,)
            np.testing.assert_allclose(g, w, rtol=64 * eps, atol=64 * eps, err_msg=f"N = {batch}")


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("row", [r for r in GRADED if not r.detached], ids=by_name)
def test_gradients_are_the_derivatives_once_and_twice_and_in_both_modes(
    row: Row, dtype: str, backend: str
) -> None:
    points = smooth_points(row, dtype, 6, seed=3)
    _, *rest = run(row, dtype, backend, points)
    operands = floating(row)
    gradients, tangent, second = rest[: len(operands)], rest[len(operands)], rest[len(operands) + 1 :]
    for k, g in zip(operands, gradients, strict=True):
        worst(errors(row.name, g, points, (k,), 1.0), 6)
    along = sum((j + 1) * g.astype(np.float64) for j, g in enumerate(gradients))
    eps = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(tangent, along, rtol=16 * eps, atol=16 * eps)
    # A second derivative differentiates the first as it is computed: 64 of its last bits.
    for k, s in zip(operands, second, strict=True):
        wanted = sum(w * slopes(row, points, (j, k)) for w, j in zip(WEIGHTS, operands, strict=False))
        scale = 1 + sum(np.abs(slopes(row, points, (j,))) for j in operands)
        assert np.all(np.abs(s - wanted) <= 64 * eps * (np.abs(wanted) + scale)), (row.operands[k], s, wanted)


@pytest.mark.parametrize("row", [r for r in GRADED if not r.detached], ids=by_name)
def test_gradients_are_central_differences(row: Row, backend: str) -> None:
    points = smooth_points(row, "float64", 3, seed=5)
    found = run(row, "float64", backend, points)
    for k, g in zip(floating(row), found[1:], strict=False):
        if (row.name, k) != ("polygamma", 0):  # an order is a whole number
            np.testing.assert_allclose(g, differences(row, backend, points, k), rtol=1e-8, atol=1e-8)


def differences(row: Row, backend: str, points: list[Array], k: int) -> Array:
    """The derivative in operand k by central differences in f64, at two steps, so that h² cancels."""
    h = 5e-4

    def slope(step: float) -> Array:
        above, below = (
            run(row, "float64", backend, [*points[:k], points[k] + s, *points[k + 1 :]])[0]
            for s in (step, -step)
        )
        return np.asarray((above - below) / (2 * step))

    return (4 * slope(h) - slope(2 * h)) / 3


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_stopped_gradient_is_0(dtype: str, backend: str) -> None:
    found = run(ROWS["stop_gradient"], dtype, backend, smooth_points(ROWS["stop_gradient"], dtype, 5, 1))
    for zero in found[1:]:
        np.testing.assert_array_equal(zero, 0)


@pytest.mark.parametrize("dtype", FLOATS)
def test_kinks_and_ties_have_the_stated_gradient_in_compiled_code(dtype: str, backend: str) -> None:
    """relu'(0) = 0, abs'(0) = 0, elu'(0) = 1, leaky_relu'(0) = slope; at a tie the first operand has it."""
    x, y, up = gc.inputs("x y up", ("N",), dtype)
    values = [
        gc.relu(x),
        abs(x),
        gc.elu(x, 0.25),
        gc.leaky_relu(x, 0.25),
        gc.sign(x),
        gc.clip(x, 0, 1),
        gc.relu6(x),
    ]
    outputs = [gc.vjp(v, [x], up)[0] for v in values]
    outputs += [
        g for v in (gc.maximum(x, y), gc.minimum(x, y), gc.hypot(x, y)) for g in gc.vjp(v, [x, y], up)
    ]
    fn = gc.compile([x, y, up], outputs, backend=backend)
    found = [float(v[0]) for v in fn(*np.array([[0.0], [0.0], [2.0]], dtype))]
    assert found == [0, 0, 2, 0.5, 0, 2, 0, 2, 0, 2, 0, 0, 0]


@pytest.mark.parametrize("dtype", FLOATS)
def test_what_is_not_chosen_receives_nothing_even_from_an_infinite_upstream(dtype: str, backend: str) -> None:
    x, y, up = gc.inputs("x y up", ("N",), dtype)
    values = [gc.relu(x), gc.maximum(x, y), gc.where(x > 0, x, y)]
    fn = gc.compile([x, y, up], [gc.vjp(v, [x], up)[0] for v in values], backend=backend)
    x_, y_ = np.array([-1.0, -2.0], dtype), np.array([1.0, 1.0], dtype)
    for found in fn(x_, y_, np.array([np.inf, np.nan], dtype)):
        np.testing.assert_array_equal(found, [0, 0])


# ---- integers and truth values -----------------------------------------------------------------------------


def takes(row: Row, dtype: str) -> bool:
    if row.dtype in ("compare", "logic", "select", "test"):
        return True
    if row.dtype == "float":
        return not dtype.startswith("float")  # floats are measured above; others are cast to float64
    return dtype.startswith("int")


def operands(dtype: str) -> tuple[Array, Array, Array]:
    """All pairs of values that matter to comparisons, quotients, roundings and wrapping; and a third."""
    if dtype == "bool":
        values = np.array([False, True])
    elif dtype.startswith("int"):
        limits = np.iinfo(dtype)
        values = np.array([-9, -7, -2, -1, 0, 1, 2, 3, 7, 31, 40, limits.min, limits.max], dtype)
    else:
        values = np.array([-np.inf, -2.5, -0.0, 0.0, 1e-30, 2.5, np.inf, np.nan], dtype)
    x, y = (v.ravel() for v in np.meshgrid(values, values))
    return x, y, np.roll(x, 3)


def given(row: Row, dtype: str) -> list[Array]:
    x, y, z = operands(dtype)
    return [np.arange(len(x)) % 3 == 0, x, y] if row.dtype == "select" else [x, y, z][: row.arity]


@functools.cache
def table(dtype: str, backend: str) -> dict[str, Array]:
    """Every row that takes a dtype, in one compiled function, at `operands`."""
    c, (x, y, z) = gc.input("c", ("N",), "bool"), gc.inputs("x y z", ("N",), dtype)
    rows = [r for r in ROWS.values() if takes(r, dtype)]
    outputs = [
        getattr(gc, r.name)(*([c, x, y] if r.dtype == "select" else [x, y, z][: r.arity])) for r in rows
    ]
    a, b, d = operands(dtype)
    found = gc.compile([c, x, y, z], outputs, backend=backend)(np.arange(len(a)) % 3 == 0, a, b, d)
    return {r.name: v for r, v in zip(rows, found, strict=True)}


CASES = [
    pytest.param(r, dtype, id=f"{r.name}-{dtype}")
    for dtype in ("bool", "int32", "int64", *FLOATS)
    for r in ROWS.values()
    if takes(r, dtype)
]


@pytest.mark.parametrize(("row", "dtype"), CASES)
def test_integers_and_truth_values(row: Row, dtype: str, backend: str) -> None:
    got, points = table(dtype, backend)[row.name], given(row, dtype)
    if row.dtype == "float":
        wide, chosen = np.unique([p.astype(np.float64) for p in points], axis=1, return_index=True)
        assert got.dtype == np.float64
        worst(errors(row.name, got[chosen], list(wide), (), lowest(row.name, np.float64)), 0)
        return
    expected = EXPECTED[row.name](*points) if row.name in EXPECTED else whole(row, points)
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(got, expected)


EXPECTED: dict[str, Any] = {
    "where": np.where,
    "less": lambda x, y: x < y,
    "less_equal": lambda x, y: x <= y,
    "greater": lambda x, y: x > y,
    "greater_equal": lambda x, y: x >= y,
    "equal": lambda x, y: x == y,
    "not_equal": lambda x, y: x != y,
    "logical_and": lambda x, y: (x != 0) & (y != 0),
    "logical_or": lambda x, y: (x != 0) | (y != 0),
    "logical_xor": lambda x, y: (x != 0) ^ (y != 0),
    "logical_not": lambda x: x == 0,
    "isnan": np.isnan,
    "isinf": np.isinf,
    "isfinite": np.isfinite,
    "bitwise_and": np.bitwise_and,
    "bitwise_or": np.bitwise_or,
    "bitwise_xor": np.bitwise_xor,
    "left_shift": lambda x, y: bits(x, y, lambda a, b, n: a << b if 0 <= b < n else 0),
    "right_shift": lambda x, y: bits(x, y, lambda a, b, n: a >> b if 0 <= b < n else -(a < 0)),
    "logical_right_shift": lambda x, y: bits(x, y, lambda a, b, n: (a % 2**n) >> b if 0 <= b < n else 0),
}


def wrapped(value: int, bits: int) -> int:
    return (value + 2 ** (bits - 1)) % 2**bits - 2 ** (bits - 1)


def bits(x: Array, y: Array, shift: Any) -> Array:
    """A shift of Python's integers, wrapped around to the dtype."""
    n = 8 * x.itemsize
    return np.array(
        [wrapped(shift(a, b, n), n) for a, b in zip(x.tolist(), y.tolist(), strict=True)], x.dtype
    )


def whole(row: Row, points: list[Array]) -> Array:
    """The mathematics over whole numbers of any size, wrapped around to the dtype; a quotient by 0 is 0."""
    mathematics = sympy.lambdify(row.symbols[: row.arity], row.expr, "mpmath")

    def values() -> Iterator[int]:
        for point in zip(*(p.tolist() for p in points), strict=True):
            by_zero = row.domain == "y != 0" and point[1] == 0
            yield 0 if by_zero else int(mathematics(*map(mpmath.mpf, point)))

    with mpmath.workdps(50):
        return np.array([wrapped(v, 8 * points[0].itemsize) for v in values()], points[0].dtype)
