"""Intervals: between which numbers the elements of a tensor lie, and whether they can be zero.

```
range ::= "[" number "," number "]" ["without 0"]       the numbers may be infinite: then nothing bounds them
```

Arithmetic is that of real numbers: what overflows is not seen here, and nothing is rounded, but for functions
that reach their limits in floating point (sigmoid and tanh do, exp does not get to 0 soon enough to matter).
`TINY` stands for the open end at 0: a range from TINY on is "more than 0".

>>> square(Range(-2.0, 3.0)), Range(-1.0, 1.0) + Range(2.0, 2.0)
([0, 9], [1, 3])
>>> quotient(Range(1.0, 2.0), exp(ALL)).excludes_zero
True
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product as pairs

TINY = 5e-324
_VERY_SMALL = 1e-150  # below it, a positive bound is the open end at 0


@dataclass(frozen=True, slots=True)
class Range:
    """All numbers from lo to hi; `nonzero` where 0 lies between them and is left out."""

    lo: float
    hi: float
    nonzero: bool = False

    @property
    def excludes_zero(self) -> bool:
        return self.lo > 0 or self.hi < 0 or self.nonzero

    @property
    def is_point(self) -> bool:
        return self.lo == self.hi

    def __add__(self, other: Range) -> Range:
        return bounded(_plus(self.lo, other.lo, -math.inf), _plus(self.hi, other.hi, math.inf))

    def __neg__(self) -> Range:
        return Range(-self.hi, -self.lo, self.nonzero)

    def __sub__(self, other: Range) -> Range:
        return self + -other

    def __mul__(self, other: Range) -> Range:
        ends = [times(a, b) for a, b in pairs((self.lo, self.hi), (other.lo, other.hi))]
        lo, hi = min(ends), max(ends)
        nonzero = self.excludes_zero and other.excludes_zero
        if nonzero and lo == 0:  # a product of positive numbers that rounded to 0
            lo = TINY
        if nonzero and hi == 0:
            hi = -TINY
        return bounded(lo, hi, nonzero)

    def __or__(self, other: Range) -> Range:
        return bounded(
            min(self.lo, other.lo), max(self.hi, other.hi), self.excludes_zero and other.excludes_zero
        )

    def __and__(self, other: Range) -> Range:
        """Both; where they have nothing in common, the first (it is never reached)."""
        lo, hi = max(self.lo, other.lo), min(self.hi, other.hi)
        return self if lo > hi else bounded(lo, hi, self.nonzero or other.nonzero)

    def __repr__(self) -> str:
        def text(v: float) -> str:
            return "0" if abs(v) == TINY else f"{v:.6g}"

        left = "(" if self.lo == TINY or self.lo == -math.inf else "["
        right = ")" if self.hi == -TINY or self.hi == math.inf else "]"
        hole = " without 0" if self.nonzero else ""
        return f"{left}{text(self.lo)}, {text(self.hi)}{right}{hole}"


def bounded(lo: float, hi: float, nonzero: bool = False) -> Range:
    """A range in its one form: bounds near 0 are the open end there, and a hole at an end moves the end."""
    if nonzero:
        lo, hi = (TINY if lo == 0 else lo), (-TINY if hi == 0 else hi)
    lo = TINY if 0 < lo < _VERY_SMALL else lo
    hi = -TINY if -_VERY_SMALL < hi < 0 else hi
    return Range(lo, hi, nonzero and lo < 0 < hi)


def _plus(a: float, b: float, unknown: float) -> float:
    return unknown if math.isinf(a) and a == -b else a + b


def times(a: float, b: float) -> float:
    """A product of bounds: 0 · inf is 0, because no number of a range is infinite."""
    return 0.0 if a == 0 or b == 0 else a * b


ALL = Range(-math.inf, math.inf)
ZERO = Range(0.0, 0.0)
ONE = Range(1.0, 1.0)
NOT_NEGATIVE = Range(0.0, math.inf)
POSITIVE = Range(TINY, math.inf)
TRUTH = Range(0.0, 1.0)
UNIT = Range(-1.0, 1.0)


def _rising(f: Callable[[float], float]) -> Callable[[Range], Range]:
    """The image under a function that grows; what it cannot compute is left unbounded."""

    def at(v: float, otherwise: float) -> float:
        try:
            return f(v)
        except (OverflowError, ValueError):
            return otherwise

    return lambda x: bounded(at(x.lo, -math.inf), at(x.hi, math.inf))


def exp(x: Range) -> Range:
    found = _rising(math.exp)(x)
    return bounded(max(found.lo, TINY), max(found.hi, TINY))


def log(x: Range) -> Range:
    return bounded(
        math.log(x.lo) if x.lo > _VERY_SMALL else -math.inf,
        math.log(x.hi) if 0 < x.hi < math.inf else math.inf,
    )


def sqrt(x: Range) -> Range:
    lo, hi = max(x.lo, 0.0), max(x.hi, 0.0)
    found = bounded(math.sqrt(lo), math.sqrt(hi), x.excludes_zero and lo == 0)
    return POSITIVE & found if lo == TINY else found


def absolute(x: Range) -> Range:
    if x.lo >= 0:
        return x
    if x.hi <= 0:
        return -x
    return bounded(0.0, max(-x.lo, x.hi), x.nonzero)


def square(x: Range) -> Range:
    a = absolute(x)
    return a * a


def reciprocal(x: Range) -> Range:
    if x.lo < 0 < x.hi:
        return Range(-math.inf, math.inf, True)
    if x.lo == 0 == x.hi:
        return ALL
    if x.hi <= 0:
        return -reciprocal(-x)
    lo = max(x.lo, TINY)
    return bounded(TINY if x.hi == math.inf else 1.0 / x.hi, math.inf if lo == TINY else 1.0 / lo)


def quotient(x: Range, y: Range) -> Range:
    return x * reciprocal(y)


def power(x: Range, y: Range) -> Range:
    """x**y, over the x for which it is defined; tight for a constant y."""
    if not y.is_point:
        return POSITIVE if x.lo > 0 else ALL
    n = y.lo
    if n == 0:
        return ONE
    if n < 0:
        return reciprocal(power(x, -y))
    if float(n).is_integer() and x.lo < 0:
        ends = power(absolute(x), y)
        if n % 2 == 0:
            return ends
        return Range(-_raised(-x.lo, n), math.copysign(_raised(abs(x.hi), n), x.hi), x.nonzero)
    lo, hi = max(x.lo, 0.0), max(x.hi, 0.0)
    return bounded(_raised(lo, n), _raised(hi, n), lo > 0)


def _raised(x: float, n: float) -> float:
    try:
        return float(x**n)
    except OverflowError:
        return math.inf


def _logistic(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x)) if x > -700 else 0.0


def _turned(x: Range) -> Range:
    """A sine or a cosine: not looked into."""
    return UNIT


def minimum(x: Range, y: Range) -> Range:
    return bounded(min(x.lo, y.lo), min(x.hi, y.hi), x.excludes_zero and y.excludes_zero)


def maximum(x: Range, y: Range) -> Range:
    return bounded(max(x.lo, y.lo), max(x.hi, y.hi), x.excludes_zero and y.excludes_zero)


def less(x: Range, y: Range) -> Range:
    return ONE if x.hi < y.lo else ZERO if x.lo >= y.hi else TRUTH


def less_equal(x: Range, y: Range) -> Range:
    return negation(less(y, x))


def equal(x: Range, y: Range) -> Range:
    if x.is_point and x == y:
        return ONE
    apart = x.hi < y.lo or y.hi < x.lo or (y == ZERO and x.excludes_zero) or (x == ZERO and y.excludes_zero)
    return ZERO if apart else TRUTH


def negation(x: Range) -> Range:
    return Range(1.0 - x.hi, 1.0 - x.lo)


def select(c: Range, x: Range, y: Range) -> Range:
    return x if c == ONE else y if c == ZERO else x | y


def _floor(v: float) -> float:
    return v if math.isinf(v) else float(math.floor(v))


def _ceil(v: float) -> float:
    return v if math.isinf(v) else float(math.ceil(v))


def _round(v: float) -> float:
    return v if math.isinf(v) else float(round(v))


STEPS: Mapping[str, Callable[..., Range]] = {
    "add": Range.__add__, "sub": Range.__sub__, "mul": Range.__mul__, "neg": Range.__neg__,
    "div": quotient, "reciprocal": reciprocal, "abs": absolute, "square": square, "pow": power,
    "minimum": minimum, "maximum": maximum,
    "floor": _rising(_floor), "ceil": _rising(_ceil), "rint": _rising(_round), "round": _rising(_round),
    "sqrt": sqrt, "rsqrt": lambda x: reciprocal(sqrt(x)), "exp": exp, "expm1": _rising(math.expm1), "log": log,
    "log1p": lambda x: log(x + ONE), "sin": _turned, "cos": _turned,
    "tanh": _rising(math.tanh), "erf": _rising(math.erf), "erfc": lambda x: ONE - _rising(math.erf)(x),
    "atan": _rising(math.atan), "sinh": _rising(math.sinh), "asinh": _rising(math.asinh),
    "asin": lambda x: Range(-math.pi / 2, math.pi / 2), "acos": lambda x: Range(0.0, math.pi),
    "atan2": lambda x, y: Range(-math.pi, math.pi), "acosh": lambda x: NOT_NEGATIVE,
    "hypot": lambda x, y: sqrt(square(x) + square(y)),
    "cosh": lambda x: Range(1.0, math.inf),
    "sigmoid": _rising(_logistic), "softplus": lambda x: log(exp(x) + ONE) & POSITIVE,
    "relu": lambda x: bounded(max(x.lo, 0.0), max(x.hi, 0.0)),
    "sign": lambda x: less(ZERO, x) - less(x, ZERO), "stop_gradient": lambda x: x,
    "lt": less, "less": less, "le": less_equal, "less_equal": less_equal,
    "greater": lambda x, y: less(y, x), "greater_equal": lambda x, y: less_equal(y, x),
    "eq": equal, "equal": equal, "ne": lambda x, y: negation(equal(x, y)),
    "not_equal": lambda x, y: negation(equal(x, y)),
    "and": lambda x, y: x * y, "logical_and": lambda x, y: x * y,
    "or": maximum, "logical_or": maximum, "not": negation, "logical_not": negation,
    "select": select, "where": select,
}  # fmt: skip
"""The image of ranges under a row of the op table, or under a primitive, by name; others give ALL."""
