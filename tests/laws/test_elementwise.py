"""Every row of the op table, compiled: value and gradient, in every dtype that it takes, on every back end.

Values are measured against the row's mathematics at 50 digits and more (the oracle of `test_op_table.py`,
which shares no code with what is computed), gradients against the reference and against central differences.
One compiled function serves all batch sizes.
"""

from __future__ import annotations

import functools
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy
from test_op_table import NUMERIC, by_name, errors, grid
from test_op_table import budget as ulps

import graphc as gc
from graphc.ops.table import ROWS, Row
from graphc.runtime.function import Function

FLOATS = ("float32", "float64")
BATCHES = (1, 2, 7, 64, 65)
GRADED = [r for r in ROWS.values() if r.differentiable]


@functools.cache
def compiled(name: str, dtype: str, backend: str) -> Function:
    """(operands…, upstream) → (value, one gradient for each floating operand), over a named dimension."""
    row = ROWS[name]
    xs = [gc.input(o, ("N",), dtype) for o in row.operands]
    if row.dtype == "select":
        xs[0] = gc.input(row.operands[0], ("N",), "bool")
    up = gc.input("up", ("N",), dtype)
    value = getattr(gc, name)(*xs)
    wrt = [x for x in xs if x.dtype.is_float]
    return gc.compile([*xs, up], [value, *gc.vjp(value, wrt, up)], backend=backend, name=name)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("row", NUMERIC, ids=by_name)
def test_compiled_values_are_right_to_the_last_bits(row: Row, dtype: str, backend: str) -> None:
    points = grid(np.dtype(dtype).type, row.arity)
    if backend == "interpreter":  # it takes a microsecond for each step of each element
        points = [p[:: len(p) // 40] for p in points]
    got, *_ = compiled(row.name, dtype, backend)(*points, np.ones_like(points[0]))
    assert got.dtype == np.dtype(dtype)
    # Products of subnormals cannot keep relative precision: the floor is 128 times the smallest normal.
    found = list(errors(row, row.expr, got, points, 128 * float(np.finfo(dtype).tiny)))
    assert len(found) >= 10
    worst, where = max(found)
    assert worst <= ulps(row.name), f"{worst:.2f} ulp: {where}"


# ---- gradients, at every batch size ----------------------------------------------------------------------


def smooth_points(row: Row, dtype: str, count: int, seed: int) -> list[np.ndarray[Any, Any]]:
    """Operands inside the domain, of moderate size, and at least 1/20 away from every kink of the table.

    Kinks are at multiples of 1/2 and where two operands are equal: x keeps to 0.30…0.45 above a multiple,
    y to 0.05…0.20.
    """
    draw = np.random.default_rng(seed)
    points = []
    for k in range(row.arity):
        size = draw.integers(0, 4, count) / 2 + draw.uniform(0.3, 0.45, count) + k / 4
        signs = draw.choice([-1.0, 1.0], count) if row.name not in POSITIVE and k == 0 else 1.0
        points.append((signs * size).astype(dtype))
    if row.dtype == "select":
        points[0] = points[0] > 0
    return points


POSITIVE = ("sqrt", "rsqrt", "log", "log1p", "pow")


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("row", GRADED, ids=by_name)
def test_values_and_gradients_at_every_batch_size_through_one_function(row: Row, dtype: str) -> None:
    native, reference = compiled(row.name, dtype, "llvm"), compiled(row.name, dtype, "reference")
    exact = compiled(row.name, "float64", "reference")
    eps = float(np.finfo(dtype).eps)
    for batch in BATCHES:
        points = smooth_points(row, dtype, batch, seed=batch)
        up = np.random.default_rng(batch).uniform(0.5, 2.0, batch).astype(dtype)
        got, wanted = native(*points, up), reference(*points, up)
        for g, w in zip(got, wanted, strict=True):
            assert g.shape == (batch,) and g.dtype == np.dtype(dtype)
            np.testing.assert_allclose(g, w, rtol=16 * eps, atol=16 * eps, err_msg=f"N = {batch}")
        for k, gradient in enumerate(got[1:], row.dtype == "select"):
            if row.detached:
                np.testing.assert_array_equal(gradient, 0)
                continue
            slope = differences(exact, points, k)
            # f32 gradients carry f32 rounding; differences of f64 values are good to eight digits.
            allowed, where = 64 * eps + 1e-8, f"{row.operands[k]}, N = {batch}"
            np.testing.assert_allclose(gradient, up * slope, rtol=allowed, atol=allowed, err_msg=where)


def differences(fn: Function, points: list[np.ndarray[Any, Any]], k: int) -> np.ndarray[Any, Any]:
    """The derivative in operand k by central differences in f64, at two steps, so that h² cancels."""
    wide = [p if p.dtype == bool else p.astype(np.float64) for p in points]
    up, h = np.ones(len(points[0])), 5e-4

    def slope(step: float) -> np.ndarray[Any, Any]:
        above, below = (fn(*wide[:k], wide[k] + s, *wide[k + 1 :], up)[0] for s in (step, -step))
        return np.asarray((above - below) / (2 * step))

    return (4 * slope(h) - slope(2 * h)) / 3


@pytest.mark.parametrize("row", GRADED, ids=by_name)
def test_interpreted_gradients_are_the_references(row: Row) -> None:
    for dtype in FLOATS:
        points = smooth_points(row, dtype, 3, seed=3)
        up = np.array([0.5, 1.0, 2.0], dtype)
        eps = float(np.finfo(dtype).eps)
        got, wanted = (compiled(row.name, dtype, b)(*points, up) for b in ("interpreter", "reference"))
        for g, w in zip(got, wanted, strict=True):
            np.testing.assert_allclose(g, w, rtol=8 * eps, atol=8 * eps)


@pytest.mark.parametrize("dtype", FLOATS)
def test_kinks_and_ties_have_the_stated_gradient_in_compiled_code(dtype: str, backend: str) -> None:
    """relu'(0) = 0, abs'(0) = 0, elu'(0) = 1, leaky_relu'(0) = slope; at a tie the first operand has it."""
    x, y, up = gc.inputs("x y up", ("N",), dtype)
    values = [gc.relu(x), abs(x), gc.elu(x, 0.25), gc.leaky_relu(x, 0.25), gc.sign(x)]
    outputs = [gc.vjp(v, [x], up)[0] for v in values]
    outputs += [g for v in (gc.maximum(x, y), gc.minimum(x, y)) for g in gc.vjp(v, [x, y], up)]
    fn = gc.compile([x, y, up], outputs, backend=backend)
    found = [float(v[0]) for v in fn(*np.array([[0.0], [0.0], [2.0]], dtype))]
    assert found == [0, 0, 2, 0.5, 0, 2, 0, 2, 0]


@pytest.mark.parametrize("dtype", FLOATS)
def test_what_is_not_chosen_receives_nothing_even_from_an_infinite_upstream(dtype: str, backend: str) -> None:
    x, y, up = gc.inputs("x y up", ("N",), dtype)
    values = [gc.relu(x), gc.maximum(x, y), gc.where(x > 0, x, y)]
    fn = gc.compile([x, y, up], [gc.vjp(v, [x], up)[0] for v in values], backend=backend)
    x_, y_ = np.array([-1.0, -2.0], dtype), np.array([1.0, 1.0], dtype)
    for found in fn(x_, y_, np.array([np.inf, np.nan], dtype)):
        np.testing.assert_array_equal(found, [0, 0])


# ---- integers and truth values ---------------------------------------------------------------------------


def takes(row: Row, dtype: str) -> bool:
    if row.dtype in ("compare", "logic", "select"):
        return True
    if row.dtype == "float":
        return not dtype.startswith("float")  # floats are measured above; others are cast to float64
    return dtype.startswith("int")


def operands(dtype: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """All pairs of values that matter to comparisons, quotients, roundings and wrapping."""
    if dtype == "bool":
        values = np.array([False, True])
    elif dtype.startswith("int"):
        limits = np.iinfo(dtype)
        values = np.array([-9, -7, -2, -1, 0, 1, 2, 3, 7, limits.min, limits.max], dtype)
    else:
        values = np.array([-np.inf, -2.5, -0.0, 0.0, 1e-30, 2.5, np.inf, np.nan], dtype)
    x, y = np.meshgrid(values, values)
    return x.ravel(), y.ravel()


@functools.cache
def table(dtype: str, backend: str) -> dict[str, np.ndarray[Any, Any]]:
    """Every row that takes a dtype, in one compiled function, at `operands`."""
    c, x, y = gc.input("c", ("N",), "bool"), gc.input("x", ("N",), dtype), gc.input("y", ("N",), dtype)
    rows = [r for r in ROWS.values() if takes(r, dtype)]
    outputs = [getattr(gc, r.name)(*[c, x, y][3 - r.arity :] if r.arity != 1 else [x]) for r in rows]
    a, b = operands(dtype)
    found = gc.compile([c, x, y], outputs, backend=backend)(np.arange(len(a)) % 3 == 0, a, b)
    return {r.name: v for r, v in zip(rows, found, strict=True)}


CASES = [
    pytest.param(r, dtype, id=f"{r.name}-{dtype}")
    for dtype in ("bool", "int32", "int64", *FLOATS)
    for r in ROWS.values()
    if takes(r, dtype)
]


@pytest.mark.parametrize(("row", "dtype"), CASES)
def test_integers_and_truth_values(row: Row, dtype: str, backend: str) -> None:
    got, (x, y) = table(dtype, backend)[row.name], operands(dtype)
    if row.dtype == "select":
        expected = np.where(np.arange(len(x)) % 3 == 0, x, y)
    elif row.dtype == "compare":
        expected = COMPARE[row.name](x, y)
    elif row.dtype == "logic":
        expected = LOGIC[row.name](x != 0, y != 0)
    elif row.dtype == "float":
        casted = [x.astype(np.float64), y.astype(np.float64)][: row.arity]
        found = list(errors(row, row.expr, got, casted, 128 * np.finfo(np.float64).tiny))
        assert got.dtype == np.float64 and max(found)[0] <= ulps(row.name)
        return
    else:
        expected = whole(row, x, y)
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(got, expected)


COMPARE = {
    "less": lambda x, y: x < y,
    "less_equal": lambda x, y: x <= y,
    "greater": lambda x, y: x > y,
    "greater_equal": lambda x, y: x >= y,
    "equal": lambda x, y: x == y,
    "not_equal": lambda x, y: x != y,
}
LOGIC = {
    "logical_and": lambda x, y: x & y,
    "logical_or": lambda x, y: x | y,
    "logical_not": lambda x, y: ~x,
}


def whole(row: Row, x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The mathematics over whole numbers of any size, wrapped around to the dtype; a quotient by 0 is 0."""
    exact = sympy.lambdify(row.symbols[: row.arity], row.expr, "mpmath")
    half = 2 ** (8 * x.itemsize - 1)
    found = []
    with mpmath.workdps(50):
        for point in zip(x.tolist(), y.tolist(), strict=True):
            given = [mpmath.mpf(v) for v in point[: row.arity]]
            value = 0 if row.domain == "y != 0" and given[1] == 0 else int(exact(*given))
            found.append((value + half) % (2 * half) - half)
    return np.array(found, x.dtype)
