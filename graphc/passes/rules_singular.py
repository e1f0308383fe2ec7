"""The rules of stability at singular points: 0·log 0, x/|x| and norms at 0.

| as written           | at 0      | convention                         | its gradient there                |
|----------------------|-----------|------------------------------------|-----------------------------------|
| `x*log(y)`           | 0·(−∞)    | 0 where x = y = 0                  | 0; elsewhere log y and x/y        |
| `x*log(x/y)`         | 0·(−∞)    | 0 where x = 0                      | 0                                 |
| `x/abs(x)`           | 0/0       | 0, as sign(0)                      | 0                                 |
| `x/sqrt(sum(x**2))`  | 0/0       | 0                                  | 0                                 |
| `sqrt(sum(x**2))`    | 0, 0·∞    | 0                                  | 0, the smallest subgradient       |

The last one changes no value: it is for what is to be differentiated, and `graphc.passes.rules_stability` applies
it only then.

>>> print(CONVENTIONS[0])
root-of-squares: sqrt(x) = where(x = 0, 0, sqrt(where(x = 0, 1, x)))  if x is a sum of squares  [bitwise]
"""

from __future__ import annotations

import numpy as np

from graphc.ir.node import Node
from graphc.ops.leaves import Extent
from graphc.ops.reduce import Reduce
from graphc.ops.views import Concat, Expand, Reshape, Slice, Transpose
from graphc.passes.pattern import Call, Match, Pattern, Reduction, Spread, Wild
from graphc.passes.rewrite import Rule, guard, rule
from graphc.passes.through_views import constant_value, strip
from graphc.passes.words import absolute, equal, hypot, log, sign, sqrt, square, where, xlogy

x, y = Wild("x"), Wild("y")

_MOST_TERMS = 64


@guard("x may be 0, and y is not kept from 0 already")
def may_be_zero(m: Match) -> bool:
    value = constant_value(m.nodes["x"])
    return not _is_guarded(m.nodes["y"]) and (value is None or bool(np.any(value == 0)))


@guard("x is not kept from 0 already")
def unguarded(m: Match) -> bool:
    return not _is_guarded(m.nodes["x"])


def _is_guarded(n: Node) -> bool:
    if n.op.label == "div":
        return all(map(_is_guarded, n.src))
    return n.op.label == "where" and any(constant_value(branch) is not None for branch in n.src[1:])


def _is_positive(n: Node) -> bool:
    value, base = constant_value(n), strip(n, (Expand, Reshape))[1]
    return isinstance(base.op, Extent) or (value is not None and bool(np.all(value > 0)))


@guard("x is a sum of squares")
def sum_of_squares(m: Match) -> bool:
    waiting, seen = [m.nodes["x"]], 0
    while waiting:
        term, seen = waiting.pop(), seen + 1
        if seen > _MOST_TERMS:
            return False
        if term.op.label == "square" or (term.op.label == "mul" and term.src[0] is term.src[1]):
            continue
        if isinstance(term.op, Reduce) and term.op.kind == "sum":
            waiting.append(term.src[0])
        elif isinstance(term.op, Expand | Reshape | Transpose | Slice | Concat) or term.op.label == "add":
            waiting += term.src
        elif term.op.label in ("mul", "div") and _is_positive(term.src[1]):
            waiting.append(term.src[0])
        elif term.op.label == "mul" and _is_positive(term.src[0]):
            waiting.append(term.src[1])
        else:
            return False
    return True


def _from_zero(condition: Pattern, p: Pattern) -> Call:
    """p, but 1 where a condition holds."""
    return where(condition, 1, p)


def rooted(p: Pattern) -> Call:
    """√p, with slope 0 at 0."""
    return where(equal(p, 0), 0, sqrt(_from_zero(equal(p, 0), p)))


_zero = equal(x, 0)
_squares = Reduction("sum", square(x), "a")
_unit = where(equal(Spread(_squares), 0), 0, x / Spread(sqrt(_from_zero(equal(_squares, 0), _squares))))
_unit_equation = (
    "x/√(Σ x²) = 0 where x = 0, else x/√(Σ x²)",
    r"\frac{x}{\sqrt{\sum x^{2}}} = 0 \text{ where } x = 0",
)

# fmt: off
SINGULAR: tuple[Rule, ...] = (
    rule("x-log-ratio", x * log(x / y),
         where(_zero, 0, x * log(_from_zero(_zero, x) / _from_zero(_zero, y))), exact="stable", when=unguarded,
         equation=("x·log(x/y) = 0 where x = 0", r"x \log\frac{x}{y} = 0 \text{ where } x = 0")),
    rule("x-log-difference", x * (log(x) - y),
         where(_zero, 0, x * (log(_from_zero(_zero, x)) - where(_zero, 0, y))), exact="stable", when=unguarded,
         equation=("x·(log(x) − y) = 0 where x = 0", r"x (\log x - y) = 0 \text{ where } x = 0")),
    rule("x-log-y", x * log(y), xlogy(x, y), exact="stable", when=may_be_zero),
    rule("sign", x / absolute(x), sign(x), exact="stable",
         equation=("x/|x| = sign(x), 0 where x = 0", r"\frac{x}{|x|} = \operatorname{sign} x")),
    rule("sign-inverse", absolute(x) / x, sign(x), exact="stable",
         equation=("|x|/x = sign(x), 0 where x = 0", r"\frac{|x|}{x} = \operatorname{sign} x")),
    rule("sqrt-square", sqrt(square(x)), absolute(x), exact="stable"),
    rule("sqrt-product", sqrt(x * x), absolute(x), exact="stable"),
    rule("hypot", sqrt(square(x) + square(y)), hypot(x, y), exact="stable"),
    rule("unit-vector", x / Spread(sqrt(_squares)), _unit, exact="stable", equation=_unit_equation),
    rule("unit-vector-rooted", x / Spread(rooted(_squares)), _unit, exact="stable", equation=_unit_equation),
)

CONVENTIONS: tuple[Rule, ...] = (
    rule("root-of-squares", sqrt(x), rooted(x), exact="bitwise", when=sum_of_squares),
)
# fmt: on
"""Rules that change no value, for what is to be differentiated."""
