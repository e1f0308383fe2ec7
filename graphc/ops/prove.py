"""Proofs: is a formula that a human typed the one that follows from the mathematics?

A stable form or a derivative in the op table, and each rewrite rule, is a claim a == b.  It goes through
three steps, until there is a verdict:

| step    | what is done                                                                  | verdict     |
|---------|-------------------------------------------------------------------------------|-------------|
| sample  | both sides to 50 digits, at edge points and at points drawn with a fixed seed | refuted     |
| regions | space is cut where a condition or a modulus switches; each region is smooth   |             |
| algebra | SymPy brings the difference to 0 in each region, with bounded effort          | proved      |
|         | neither refuted nor proved                                                    | sampled     |

A wrong formula costs milliseconds and yields a counter-example.  A right one may cancel: log(1 − sigmoid(1000))
loses 435 digits on its way.  So each value is computed with more and more digits, until two computations agree.

>>> import sympy
>>> x = sympy.Symbol("x", real=True)
>>> print(prove_equal(1 - sympy.tanh(x)**2, sympy.tanh(x).diff(x), [x]))
proved
>>> print(prove_equal((1 - sympy.tanh(x))**2, sympy.tanh(x).diff(x), [x]))
refuted: at x = 1: 0.0568373 is not 0.419974
>>> from graphc.ops.table import ROWS
>>> for claim, proof in prove_row(ROWS["softplus"]).items():
...     print(claim, "·", proof)
compute · proved
∂/∂x · proved
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import mpmath
import sympy

from graphc.errors import InternalError
from graphc.ops.formula import Expr, parse, unfold
from graphc.ops.row import definition

if TYPE_CHECKING:
    from graphc.ops.row import Row

Number: TypeAlias = Any
"""An mpmath number, an int or a bool: mpmath has no types to check against."""

_DIGITS = 50
_PRECISIONS = (60, 560, 1260)  # exp(-1000) has its first digit at place 435, exp(-2000) at 869
_AGREE = mpmath.mpf(10) ** -40
_SETTLED = mpmath.mpf(10) ** -_DIGITS
_NOTHING = mpmath.mpf(10) ** -1200
_POINTS = 160
_FEWEST_POINTS = 8
_MOST_REGIONS = 64
_MOST_OPERATIONS = 120

# Zeros, ones, halves (ties of rounding), and sizes at which exp(x) is nothing or everything.
_EDGES = "0 1 -1 1/2 -1/2 3/2 -3/2 5/2 2 -2 3 1e-30 -1e-30 30 -30 100 -100 1000"


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
    """Prove, sample or refute a == b, for all values of the symbols that satisfy `domain`, a SymPy condition.

    Both sides are numbers or both are truth values; calls of rows, such as sigmoid(x), stand for their
    mathematics.  Points at which either side is infinite, complex or undefined do not count.  Raises
    InternalError where hardly any point could be sampled, because nothing would be known.
    """
    a, b = (_indicator(unfold(side, definition)) for side in (a, b))
    if a == b or sympy.expand(a - b) == 0:  # without its sampling, where erf at a thousand digits is slow
        return Proof("proved")
    checked, counterexample = _sample(a, b, symbols, domain)
    if counterexample:
        return Proof("refuted", counterexample)
    if checked < _FEWEST_POINTS:
        raise InternalError(f"only {checked} points could be sampled for {a} == {b} where {domain}")
    if all(_is_zero(left - right) for left, right in _regions(a, b, domain)):
        return Proof("proved")
    return Proof("sampled", f"{checked} points at {_DIGITS} digits")


def prove_row(row: Row) -> dict[str, Proof]:
    """The verdict on each claim of a row: `compute`, and `∂/∂x` for each gradient that it states.

    Gradients are compared with the derivative of the mathematics, away from the kink.  What a row leaves to
    SymPy is no claim, and is not listed; the gradient of a detached row is a convention, and is "stated".
    """
    operands, out = row.symbols[: row.arity], row.symbols[row.arity]
    names = {str(s): s for s in operands}
    domain, kink = parse(row.domain, names), parse(row.kink, names)
    claims = {}
    if row.compute is not None:
        claims["compute"] = prove_equal(row.compute_expr, row.expr, operands, domain)
    for k, name in enumerate(row.operands):
        if name in row.grad and row.detached:
            claims[f"∂/∂{name}"] = Proof("stated", row.convention)
        elif name in row.grad:
            local = row.local(k).subs(out, row.expr)
            smooth = sympy.And(domain, sympy.Not(kink))
            claims[f"∂/∂{name}"] = prove_equal(local, _derivative(row.expr, operands[k]), operands, smooth)
    return claims


def _derivative(expr: Expr, symbol: Expr) -> Expr:
    """The derivative away from jumps: there, each floor is a constant, which SymPy does not know."""
    expr = unfold(expr, definition)
    steps = {step: sympy.Dummy() for step in expr.atoms(sympy.floor, sympy.ceiling)}
    return expr.xreplace(steps).diff(symbol).xreplace({dummy: step for step, dummy in steps.items()})


def _indicator(side: Expr) -> Expr:
    """A truth value as 1 or 0, so that there is a difference to speak of."""
    is_truth = isinstance(side, sympy.logic.boolalg.Boolean) and not side.is_Symbol
    return sympy.Piecewise((1, side), (0, True)) if is_truth or _is_truth_symbol(side) else side


def _is_truth_symbol(s: Expr) -> bool:
    return bool(s.is_Symbol and s.is_real is None)


# ---- sampling ----------------------------------------------------------------------------------------------


def _sample(a: Expr, b: Expr, symbols: Sequence[Expr], domain: Expr) -> tuple[int, str]:
    """How many points agree, and the first that does not, in words."""
    evaluate = [_function(symbols, e) for e in (domain, a, b)]
    checked = 0
    for point in itertools.islice(_points(symbols), _POINTS):
        with mpmath.workdps(_DIGITS):
            inside = evaluate[0](point)
        if not inside:
            continue
        left, right = (_settled(f, point) for f in evaluate[1:])
        if left is None or right is None:
            continue
        with mpmath.workdps(_DIGITS):
            if abs(left - right) > max(_NOTHING, _AGREE * max(abs(left), abs(right))):
                place = ", ".join(f"{s} = {v}" for s, v in zip(symbols, point, strict=True))
                return checked, f"at {place}: {mpmath.nstr(left, 6)} is not {mpmath.nstr(right, 6)}"
        checked += 1
    return checked, ""


def _settled(f: Callable[[Sequence[Expr]], Number], point: Sequence[Expr]) -> Number:
    """A value to 50 digits; None where there is none, or where no precision settles it."""
    held: Number = None
    for k, digits in enumerate(_PRECISIONS):
        with mpmath.workdps(digits):
            found = f(point)
            # Where all digits cancel, the result is 0, or a division by 0, at every smaller precision.
            same = held is not None and found is not None and abs(found - held) <= _SETTLED * abs(found)
            if same and found != 0:
                return found
            if k and found is None and held is None:
                return None
            held = found
    return held if held is not None and abs(held) < _NOTHING else None


def _points(symbols: Sequence[Expr]) -> Iterator[tuple[Expr, ...]]:
    """Edge points first, several symbols at random, so that ties occur; then points of all sizes."""
    draw = random.Random(0)
    edges = [sympy.Rational(e) for e in _EDGES.split()]
    if len(symbols) == 1:
        yield from ((edge,) for edge in edges)
    else:
        yield from (tuple(draw.choice(edges) for _ in symbols) for _ in range(_POINTS // 2))
    while True:
        scale = draw.choice((1, 10, 100))
        yield tuple(sympy.Rational(draw.randint(-(10**9), 10**9), 10**9) * scale for _ in symbols)


def _function(symbols: Sequence[Expr], expr: Expr) -> Callable[[Sequence[Expr]], Number]:
    """expr as a function of a point, by mpmath; None where it is infinite, complex or undefined."""
    run = sympy.lambdify(symbols, expr.xreplace({sympy.zoo: sympy.nan}), modules="mpmath")
    truths = [_is_truth_symbol(s) for s in symbols]

    def value(point: Sequence[Expr]) -> Number:
        given = [v > 0 if t else mpmath.mpf(v.p) / v.q for v, t in zip(point, truths, strict=True)]
        try:
            found = run(*given)
        except (ZeroDivisionError, ValueError, OverflowError):
            return None
        return None if isinstance(found, mpmath.mpc) or not mpmath.isfinite(found) else found

    return value


# ---- proving -----------------------------------------------------------------------------------------------


def _regions(a: Expr, b: Expr, domain: Expr) -> Iterator[tuple[Expr, Expr]]:
    """Cut space until no condition is left: (|x|, …) → (p, …), (p, …) with x = -p, (0, …).

    A cut at u = 0 replaces one symbol so that u is a new positive symbol, its negative, or 0; SymPy then
    decides the condition by itself.  What cannot be cut is given back as it is, and will not be proved.
    """
    waiting, cuts = [(a, b, domain)], 0
    while waiting:
        a, b, domain = waiting.pop()
        if domain == sympy.false:
            continue
        choices = _cut(a, b, domain) if cuts < _MOST_REGIONS else []
        cuts += 1
        if choices:
            waiting += [tuple(e.subs(choice) for e in (a, b, domain)) for choice in choices]
        else:
            yield a, b


def _cut(*exprs: Expr) -> list[dict[Expr, Expr]]:
    """The substitutions that settle one condition of the expressions; none if there is no condition."""
    truths = [s for e in exprs for s in e.free_symbols if _is_truth_symbol(s)]
    if truths:
        first = min(truths, key=str)
        return [{first: sympy.true}, {first: sympy.false}]
    switches = [r.lhs - r.rhs for e in exprs for r in e.atoms(sympy.core.relational.Relational)]
    switches += [size.args[0] for e in exprs for size in e.atoms(sympy.Abs)]
    for switch in sorted(switches, key=lambda u: (u.count_ops(), str(u))):
        for s in sorted(switch.free_symbols, key=str):
            slope = switch.diff(s)
            if s.is_positive is None and slope.is_Rational and slope != 0:
                positive = sympy.Dummy("p", positive=True)
                signs = (positive, -positive, sympy.Integer(0))
                return [{s: sympy.expand(s + (u - switch) / slope)} for u in signs]
    return []


def _is_zero(difference: Expr) -> bool:
    """Whether SymPy sees that an expression is 0; cheap steps first, and none on a large expression."""
    if difference == 0:
        return True
    if difference.has(sympy.Piecewise, sympy.nan) or difference.count_ops() > _MOST_OPERATIONS:
        return False
    steps: tuple[Callable[[Expr], Expr], ...] = (
        sympy.expand,
        lambda e: sympy.expand(sympy.powsimp(sympy.expand(e))),
        lambda e: sympy.cancel(sympy.together(e.rewrite(sympy.exp))),
        sympy.simplify,
        lambda e: sympy.simplify(sympy.expand_log(e.rewrite(sympy.exp), force=False)),
        # Read log(a) as log|a|, which it is wherever it is defined: then log(a·b) = log(a) + log(b) for all a, b.
        lambda e: sympy.simplify(sympy.expand_log(sympy.expand_log(e.rewrite(sympy.exp), force=True))),
    )
    return any(step(difference) == 0 for step in steps)
