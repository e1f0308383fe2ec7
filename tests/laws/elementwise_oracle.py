"""The oracle of elementwise operations: a row's mathematics to 50 digits, and how far from it is allowed.

It shares no code with what is computed: neither the stable form, nor the body, nor NumPy.  Each value is computed
with more digits until two computations agree, so that 1 + 5e-324 is not 1.

An error is measured in ulps of the exact value, and each row states what it may be: so many ulps, and for a row
that is made of several steps as many more as its operands' last bits are worth (the condition number: gelu(-12)
changes by 150 ulps when x changes by one).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import mpmath
import numpy as np
import sympy

from graphc.ops.formula import parse, unfold
from graphc.ops.row import definition
from graphc.ops.table import ROWS, Row

Array = np.ndarray[Any, np.dtype[Any]]

INF, NAN = math.inf, math.nan
NUMERIC = [r for r in ROWS.values() if r.differentiable and r.dtype != "select"]
GRADED = [r for r in ROWS.values() if r.differentiable]

EXACT = {
    *(
        "neg",
        "relu",
        "relu6",
        "hard_tanh",
        "hard_shrink",
        "threshold",
        "abs",
        "sign",
        "floor",
        "ceil",
        "round",
    ),
    *("trunc", "heaviside", "maximum", "minimum", "clip", "stop_gradient"),
}
ROUNDED = {
    *("add", "sub", "mul", "div", "square", "reciprocal", "sqrt", "leaky_relu", "multiply_no_nan"),
    *("floor_divide", "mod", "soft_shrink"),
}
# Ulps of the value, and of the operands, of what is made of several steps; any other row is one primitive.
PRIMITIVE = 2.0
COMPOSED: dict[str, tuple[float, float]] = {
    "rsqrt": (1.5, 0), "hypot": (2, 0), "cbrt": (1.5, 0), "xlogy": (2, 0), "logaddexp": (2, 2), "log2": (2, 0),
    "log10": (2, 0), "log_sigmoid": (2, 0), "softplus": (2, 0), "elu": (2, 0), "selu": (2, 0), "celu": (2, 1),
    "softsign": (1.5, 0), "silu": (2, 0), "mish": (3, 0), "gelu": (3, 0), "gelu_tanh": (3, 3),
    "hard_sigmoid": (2, 0), "hard_swish": (2.5, 0), "lgamma": (5, 0), "digamma": (5, 0), "polygamma": (8, 1),
}  # fmt: skip
# NumPy allows its own functions 4 ulps, on some processors: on what uses them, so much is added.
OF_NUMPY = 2.0
# Gradients that use `out` inherit its rounding, so all are measured against 1 where they are smaller.
GRADIENT: dict[str, float] = {"pow": 256, "lgamma": 12, "polygamma": 16}

TINY = mpmath.mpf(10) ** -50


def by_name(r: Row) -> str:
    return r.name


def budget(name: str, native: bool = False) -> tuple[float, float]:
    """The error that a value may have, in ulps of itself and of its operands: of native code, or of NumPy."""
    if name in EXACT:
        return 0, 0
    if name in ROUNDED:
        return 0.501, 0
    own, of_operands = COMPOSED.get(name, (PRIMITIVE, 0.0))
    return own if native else own + OF_NUMPY, of_operands


def grid(row: Row, dtype: Any) -> list[Array]:
    """Every size of number, both signs, subnormals and ties of rounding; drawn for several operands."""
    info, draw = np.finfo(dtype), np.random.default_rng(0)
    sizes = [
        0,
        0.25,
        0.5,
        1,
        1.5,
        2.5,
        3,
        5,
        6,
        20,
        40,
        88,
        100,
        750,
        1e-30,
        1e-8,
        1e4,
        1e8,
        1e30,
        float(info.max) ** 0.75,
    ]
    sizes += [info.smallest_subnormal, info.tiny, info.max]
    sizes += [*draw.uniform(0, 4, 24), *10 ** draw.uniform(-6, 3, 24)]
    values = np.concatenate([np.array(sizes, dtype), -np.array(sizes, dtype)])
    if row.arity == 1:
        return [values]
    points = [draw.choice(values, 160) for _ in range(row.arity)]
    if row.name == "polygamma":
        points[0] = draw.integers(0, 6, 160).astype(dtype)
    if row.name == "atan2":  # 50 digits know no -0
        points = [p + dtype(0) for p in points]
    return points


def derivative(expr: sympy.Expr, symbol: sympy.Expr) -> sympy.Expr:
    """The derivative away from jumps: there, each floor is a constant."""
    steps = {f: sympy.Dummy() for f in expr.atoms(sympy.floor, sympy.ceiling)}
    found = expr.xreplace(steps).diff(symbol).xreplace({d: f for f, d in steps.items()})
    return found.replace(sympy.DiracDelta, lambda *_: sympy.Integer(0))


class Exact:
    """An expression over the operands of a row, to 50 digits; None outside the row's domain."""

    def __init__(self, row: Row, expr: sympy.Expr) -> None:
        symbols = row.symbols[: row.arity]
        domain = parse(row.domain, dict(zip(row.operands, symbols, strict=True)))
        expr = unfold(expr, definition)
        self.inside, self.value = (sympy.lambdify(symbols, e, "mpmath") for e in (domain, expr))
        self.known: dict[tuple[Any, ...], Any] = {}

    def __call__(self, point: tuple[Any, ...]) -> Any:
        """The value at a point; the same points come once for each back end."""
        key = tuple(p.item() for p in point)
        if key not in self.known:
            self.known[key] = self._settled(point)
        return self.known[key]

    def _settled(self, point: tuple[Any, ...]) -> Any:
        given = [p if isinstance(p, (bool, np.bool_)) else mpmath.mpf(float(p)) for p in point]
        found = None
        for digits in (60, 120, 420, 1500):
            with mpmath.workdps(digits):
                before, found = found, self._at(given)
                # Where all digits cancel, the result is 0 at every smaller precision.
                if found is None or (found and before and abs(found - before) <= abs(found) * TINY):
                    return found
        return found

    def _at(self, given: list[Any]) -> Any:
        try:
            found = self.value(*given) if self.inside(*given) else None
        except (ZeroDivisionError, ValueError, OverflowError):
            return None
        if isinstance(found, mpmath.mpc) or found is None or mpmath.isnan(found):
            return None
        return mpmath.mpf(found)


@functools.cache
def exact(name: str, *by: int) -> Exact:
    """The mathematics of a row, or its derivative by these operands."""
    row = ROWS[name]
    expr = unfold(row.expr, definition)
    for k in by:
        expr = derivative(expr, row.symbols[k])
    return Exact(row, expr)


def errors(
    name: str,
    got: Array,
    points: Sequence[Array],
    by: tuple[int, ...] = (),
    floor: float = 0.0,
    native: bool = False,
) -> Iterator[tuple[float, str]]:
    """By how much each value exceeds its budget (1 is all of it): of a row, or of its derivatives at these points.

    Where the exact value is smaller than `floor`, it is measured as if it were that large.
    """
    info, oracle = np.finfo(got.dtype), exact(name, *by)
    own, of_operands = (GRADIENT.get(name, 8), 0.0) if by else budget(name, native)
    for point, value in zip(zip(*points, strict=True), got, strict=True):
        e = oracle(point)
        if e is None:
            continue
        where = f"{name}{by}{tuple(map(float, point))} = {value}, exactly {mpmath.nstr(e, 20)}"
        if abs(e) > float(info.max):
            yield (0.0 if abs(value) >= info.max * (1 - 4 * info.eps) else INF), where
            continue
        ulp = float(np.spacing(got.dtype.type(min(max(abs(float(e)), floor), float(info.max) / 2))))
        error = float(abs(mpmath.mpf(float(value)) - e) / ulp) if np.isfinite(value) else INF
        allowed = own
        if error > own and of_operands:
            slopes = [exact(name, k)(point) or 0 for k in range(len(point))]
            moved = sum(abs(s * mpmath.mpf(float(p))) for s, p in zip(slopes, point, strict=True))
            allowed += of_operands * float(moved * float(info.eps) / ulp)
        yield (error / allowed if allowed else error * INF if error else 0.0), f"{error:.2f} ulps: {where}"


def lowest(name: str, dtype: Any) -> float:
    """What small values are measured against.

    128 times the smallest normal number: products of subnormals cannot keep relative precision.  The zeros of
    lgamma and digamma below 0 are between their poles, and cannot keep it either; nor can the sines of large
    multiples of π that the table's gradients divide by.
    """
    return 1.0 if name in ("lgamma", "digamma", "polygamma") else 128 * float(np.finfo(dtype).tiny)


def worst(found: Iterator[tuple[float, str]], fewest: int) -> None:
    """Assert that no error exceeds its budget, and that enough points were measured."""
    measured = list(found)
    assert len(measured) >= fewest, f"only {len(measured)} points"
    excess, where = max(measured, default=(0.0, ""))
    assert excess <= 1, where


def smooth_points(row: Row, dtype: Any, count: int, seed: int) -> list[Array]:
    """Operands inside the domain, of moderate size, and at least 1/20 away from every kink of the table.

    Kinks are at multiples of 1/2 and where two operands are equal: x keeps to 0.30…0.45 above a multiple,
    y to 0.05…0.20.  Of the rows with a narrow domain, each has its own.
    """
    draw = np.random.default_rng(seed)
    points: list[Array] = []
    for k in range(row.arity):
        size = draw.integers(0, 4, count) / 2 + draw.uniform(0.3, 0.45, count) + k / 4
        signs = draw.choice([-1.0, 1.0], count) if row.name not in POSITIVE and k == 0 else 1.0
        points.append((signs * size).astype(dtype))
    if row.name in ("asin", "acos", "atanh"):
        points[0] = draw.uniform(-0.95, 0.95, count).astype(dtype)
    if row.name == "acosh":
        points[0] += 1
    if row.name == "polygamma":
        points[0] = draw.integers(0, 4, count).astype(dtype)
    if row.dtype == "select":
        points[0] = points[0] > 0
    return points


POSITIVE = ["sqrt", "rsqrt", "log", "log1p", "log2", "log10", "acosh", "pow", "lgamma", "digamma"]
