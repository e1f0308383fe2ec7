"""Proofs: is a formula that a human typed the one that follows from the mathematics?

A stable form or a derivative in the op table, and each side of a rewrite rule, is a claim a == b.  It is met with
three things, in this order:

| step    | what is done                                                                      | verdict         |
|---------|-----------------------------------------------------------------------------------|-----------------|
| sample  | both sides at 50 digits: edge points and points drawn with a fixed seed           | refuted, or on  |
| regions | the real line is cut where a condition or an |x| switches; what is left is smooth |                 |
| algebra | SymPy brings the difference to 0 in each region, with a bound on its effort       | proved, or else |
|         |                                                                                   | sampled         |

So a wrong formula costs milliseconds and yields a counter-example; "sampled" says that no proof was found, and
that no point refuted it either.

>>> import sympy
>>> x = sympy.Symbol("x", real=True)
>>> print(prove_equal(1 - sympy.tanh(x)**2, sympy.tanh(x).diff(x), [x]))
proved
>>> print(prove_equal((1 - sympy.tanh(x))**2, sympy.tanh(x).diff(x), [x]))
refuted: at x = 1: 0.056826 is not 0.419974
>>> from graphc.ops.table import ROWS
>>> for claim, proof in prove_row(ROWS["softplus"]).items():
...     print(claim, "·", proof)
compute · proved
∂/∂x · proved
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import mpmath
import sympy

from graphc.errors import InternalError
from graphc.ops.formula import Expr, parse, unfold
from graphc.ops.row import definition

if TYPE_CHECKING:
    from graphc.ops.row import Row

_DIGITS = 50
_AGREE = mpmath.mpf(10) ** -40
_POINTS = 64
_MOST_REGIONS = 64
_MOST_OPERATIONS = 120

# Zeros, ones, halves (ties of rounding), and sizes at which exp(x) is nothing or everything.
_EDGES = tuple(
    sympy.Rational(s) for s in "0 1 -1 1/2 -1/2 3/2 -3/2 5/2 2 -2 3 1e-30 -1e-30 30 -30 100 -100 1000".split()
)


@dataclass(frozen=True, slots=True)
class Proof:
    """The verdict on a claim; `detail` is the counter-example, the number of points, or the convention."""

    kind: Literal["proved", "sampled", "refuted", "stated"]
    detail: str = ""

    def __bool__(self) -> bool:
        return self.kind != "refuted"

    def __str__(self) -> str:
        return f"{self.kind}: {self.detail}" if self.detail else self.kind


def prove_equal(a: Expr, b: Expr, symbols: Sequence[Expr], domain: Expr = sympy.true) -> Proof:
    """Prove, sample or refute a == b for all real symbols that satisfy `domain` (a SymPy condition).

    Calls of rows, such as sigmoid(x), stand for their mathematics.  Raises InternalError where fewer than 8 points
    of the domain could be sampled, because nothing would be known.
    """
    a, b = unfold(a, definition), unfold(b, definition)
    if a == b:
        return Proof("proved")
    checked = 0
    difference = _numeric(symbols, [a, b])
    inside = _numeric(symbols, [domain])
    for point in itertools.islice(_points(len(symbols)), 4 * _POINTS):
        with mpmath.workdps(_DIGITS):
            if inside(point) != [True]:
                continue
            values = difference(point)
            if values is None:
                continue
            left, right = values
            if not _agree(left, right):
                place = ", ".join(f"{s} = {v}" for s, v in zip(symbols, point, strict=True))
                return Proof("refuted", f"at {place}: {_short(left)} is not {_short(right)}")
        checked += 1
        if checked == _POINTS:
            break
    if checked < 8:
        raise InternalError(f"only {checked} points of the domain {domain} could be sampled for {a} == {b}")
    if all(_is_zero(p - q) for p, q in _regions(a, b, domain)):
        return Proof("proved")
    return Proof("sampled", f"{checked} points at {_DIGITS} digits")


def prove_row(row: Row) -> dict[str, Proof]:
    """The verdict on each claim of a row: `compute`, and `∂/∂x` for each gradient that it states.

    Gradients are compared with the derivative of the mathematics, away from the kink.  What a row leaves to SymPy
    is no claim, and is not listed.
    """
    operands = row.symbols[: row.arity]
    domain = _condition(row, row.domain)
    claims = {}
    if row.compute is not None:
        claims["compute"] = prove_equal(row.compute_expr, row.expr, operands, domain)
    smooth = sympy.And(domain, sympy.Not(_condition(row, row.kink)))
    for k, name in enumerate(row.operands):
        if name in row.grad and row.detached:
            claims[f"∂/∂{name}"] = Proof("stated", row.convention)
        elif name in row.grad:
            local = row.local(k).subs(row.symbols[-2], row.expr)
            claims[f"∂/∂{name}"] = prove_equal(local, row.expr.diff(operands[k]), operands, smooth)
    return claims


def _condition(row: Row, text: str) -> Expr:
    return parse(text, {str(s): s for s in row.symbols})


# ---- sampling ------------------------------------------------------------------------------------------------


def _points(dimensions: int) -> Iterator[tuple[Expr, ...]]:
    """Edge points first (for several symbols: pairs at random, so that ties occur), then points of all sizes."""
    draw = random.Random(0)
    if dimensions == 1:
        yield from ((edge,) for edge in _EDGES)
    else:
        yield from (tuple(draw.choice(_EDGES) for _ in range(dimensions)) for _ in range(2 * len(_EDGES)))
    while True:
        scale = draw.choice((1, 1, 10, 100))
        yield tuple(sympy.Rational(draw.randint(-(10**9), 10**9) * scale, 10**9) for _ in range(dimensions))


def _numeric(symbols: Sequence[Expr], exprs: Sequence[Expr]) -> Any:
    """A function of a point that gives all values, or None where one is infinite, complex or undefined."""
    functions = [_function(symbols, e) for e in exprs]

    def values(point: Sequence[Expr]) -> list[Any] | None:
        try:
            found = [f(*(mpmath.mpf(p.p) / p.q for p in point)) for f in functions]
        except (ZeroDivisionError, ValueError, OverflowError):
            return None
        if any(isinstance(v, mpmath.mpc) or not mpmath.isfinite(v) for v in found if not isinstance(v, bool)):
            return None
        return found

    return values


def _function(symbols: Sequence[Expr], expr: Expr) -> Any:
    """expr by mpmath; a derivative that SymPy leaves standing, such as that of floor, is taken numerically."""
    standing = expr.atoms(sympy.Derivative)
    if not standing:
        return sympy.lambdify(symbols, expr, modules="mpmath", cse=False)
    raise NotImplementedError
