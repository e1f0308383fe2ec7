"""The rules of stability on exponentials: softmax, its logarithm, the logistic function, the hyperbolic ones.

| as written                         | x = 1000    | as computed                              |
|------------------------------------|-------------|------------------------------------------|
| `exp(x)/sum(exp(x))`               | inf/inf     | exp(x − m)/Σ exp(x − m), m = max x       |
| `log(softmax(x))`                  | log(0)      | x − log Σ exp(x)                         |
| `log(sum(exp(x)))`                 | inf         | m + log Σ exp(x − m)                     |
| `1/(1 + exp(-x))`                  | (its slope) | sigmoid(x)                               |
| `log(1 + exp(x))`                  | inf         | softplus(x)                              |
| `log(sigmoid(-x))`                 | -inf        | −softplus(x)                             |
| `log(c*exp(-x))`                   | -inf        | −x + log(c)                              |

>>> print(EXPONENTIALS[-1])
reciprocal-exponentials: reciprocal(y) = exp(−log(y))  if y is a sum of two exponentials or more  [stable]
"""

from __future__ import annotations

import math

from graphc.ir.node import Node
from graphc.ops.elementwise import Elementwise
from graphc.ops.reduce import Reduce
from graphc.ops.views import Expand, Reshape
from graphc.passes.pattern import Match, Reduction, Spread, Viewed, Wild, build
from graphc.passes.rewrite import Rule, guard, rule
from graphc.passes.signs import shift_of
from graphc.passes.through_views import constant_value, strip
from graphc.passes.words import (
    cosh,
    equal,
    erf,
    erfc,
    exp,
    expm1,
    finite,
    held,
    log,
    log1p,
    logaddexp,
    minimum,
    reciprocal,
    sigmoid,
    sinh,
    softplus,
    tanh,
    where,
)

x, y, z = Wild("x"), Wild("y"), Wild("z")

_MOST_ADDENDS = 64


@guard("x is not shifted by its maximum already")
def unshifted(m: Match) -> bool:
    op, shift = m.ops["a"], shift_of(m.nodes["x"])
    assert isinstance(op, Reduce)
    return shift is None or shift.axes != op.axes


@guard("x is not shifted already")
def unclipped(m: Match) -> bool:
    return m.nodes["x"].op.label != "minimum"


def _addends(n: Node) -> list[Node]:
    """The terms of a sum, seen through broadcasts."""
    waiting, found = [n], list[Node]()
    while waiting and len(found) < _MOST_ADDENDS:
        term = strip(waiting.pop(), (Expand, Reshape))[1]
        if term.op.label == "add":
            waiting += term.src
        else:
            found.append(term)
    return found


def _is_exponential(n: Node) -> bool:
    """exp(…), Σ exp(…), or a positive constant."""
    value = constant_value(n)
    if value is not None:
        return bool((value > 0).all())
    is_sum = isinstance(n.op, Reduce) and n.op.kind == "sum"
    return (n.src[0] if is_sum else n).op.label == "exp"


def _are_exponentials(*sums: Node) -> bool:
    terms = [t for n in sums for t in _addends(n)]
    return all(map(_is_exponential, terms)) and any(constant_value(t) is None for t in terms)


@guard("x and y are sums of exponentials")
def exponentials(m: Match) -> bool:
    return _are_exponentials(m.nodes["x"], m.nodes["y"])


@guard("x is a sum of exponentials")
def one_exponentials(m: Match) -> bool:
    return _are_exponentials(m.nodes["x"])


@guard("y is a sum of two exponentials or more")
def divisor_exponentials(m: Match) -> bool:
    y = m.nodes["y"]
    return isinstance(y.op, Elementwise) and y.op.row_name == "add" and _are_exponentials(*y.src)


total, top = Reduction("sum", exp(x), "a"), Reduction("max", x, "a")
softmax = exp(x) / Spread(total)
shifted, finite_shifted = exp(x - Spread(held(top))), exp(x - Spread(finite(top)))
weighted = Reduction("sum", y * exp(x), "a")
# The shift of a weighted sum: the largest x that has a weight.  What has none may be larger than that.
weighty = finite(Reduction("max", where(equal(y, 0), -math.inf, x), "a"))
_clipped = exp(minimum(x - Spread(weighty), 80))
_log_of_weighted = Viewed(weighty + log(Reduction("sum", y * _clipped, "a")), "v")


def _shifted_weighted(m: Match) -> Node:
    """log Σ y·exp(x) → m + log Σ y·exp(min(x − m, 80)), m = max x where y ≠ 0: the 80 meets weights of 0 only"""
    return build(_log_of_weighted, m)


# fmt: off
EXPONENTIALS: tuple[Rule, ...] = (
    # ---- sums of exponentials ------------------------------------------------------------------------------
    rule(
        "softmax", softmax, shifted / Spread(Reduction("sum", shifted, "a")), exact="stable", when=unshifted,
        equation=("exp(x)/Σ exp(x) = exp(x − m)/Σ exp(x − m), m = max x",
                  r"\frac{e^{x}}{\sum e^{x}} = \frac{e^{x-m}}{\sum e^{x-m}},\ m = \max x"),
    ),
    rule("exp-times-inverse",         exp(x) * Viewed(1 / y, "v"),    exp(x) / Viewed(y, "v"), exact="stable"),
    rule("exp-times-reciprocal",      exp(x) * Viewed(reciprocal(y), "v"), exp(x) / Viewed(y, "v"), exact="stable"),
    rule(
        "log-softmax", log(Viewed(softmax, "v")), Viewed(x - Spread(log(total)), "v"), exact="stable",
    ),
    rule(
        "logsumexp", log(Viewed(total, "v")),
        Viewed(finite(top) + log(Reduction("sum", finite_shifted, "a")), "v"), exact="stable", when=unshifted,
        equation=("log Σ exp(x) = m + log Σ exp(x − m), m = max x, 0 where infinite",
                  r"\log \sum e^{x} = m + \log \sum e^{x-m},\ m = \max x"),
    ),
    rule("log-of-mean-exp",           log(Viewed(total, "v") / y), log(Viewed(total, "v")) - log(y), exact="stable"),
    rule(
        "log-of-weighted-sum", log(Viewed(weighted, "v")), _shifted_weighted, exact="stable", when=unclipped,
        equation=("log Σ y·exp(x) = m + log Σ y·exp(x − m), m = max x where y ≠ 0",
                  r"\log \sum y\, e^{x} = m + \log \sum y\, e^{x-m},\ m = \max_{y \neq 0} x"),
    ),
    rule(
        "log-of-weighted-softmax", log(Viewed(Reduction("sum", y * softmax, "a"), "v")),
        Viewed(log(weighted) - log(total), "v"), exact="stable",
    ),
    rule("logaddexp",                 log(exp(x) + exp(y)),           logaddexp(x, y),  exact="stable"),

    # ---- the logistic function -----------------------------------------------------------------------------
    rule("sigmoid",                   1 / (1 + exp(-x)),              sigmoid(x),       exact="stable"),
    rule("sigmoid-reciprocal",        reciprocal(1 + exp(-x)),        sigmoid(x),       exact="stable"),
    rule("sigmoid-minus",             1 / (1 + exp(x)),               sigmoid(-x),      exact="stable"),
    rule("sigmoid-minus-reciprocal",  reciprocal(1 + exp(x)),         sigmoid(-x),      exact="stable"),
    rule("sigmoid-quotient",          exp(x) / (1 + exp(x)),          sigmoid(x),       exact="stable"),
    rule("sigmoid-two",               exp(x) / (exp(x) + exp(y)),     sigmoid(x - y),   exact="stable"),
    rule("times-sigmoid",             y / (1 + exp(-x)),              y * sigmoid(x),   exact="stable"),
    rule("softplus",                  log(1 + exp(x)),                softplus(x),      exact="stable"),
    rule("softplus-log1p",            log1p(exp(x)),                  softplus(x),      exact="stable"),
    rule("log-sigmoid",               log(Viewed(sigmoid(x), "v")),
         Viewed(-softplus(-x), "v"),                                                    exact="stable"),
    rule("log-1-minus-sigmoid",       log(Viewed(1 - sigmoid(x), "v")),
         Viewed(-softplus(x), "v"),                                                     exact="stable"),
    rule("log1p-minus-sigmoid",       log1p(-sigmoid(x)),             -softplus(x),     exact="stable"),

    # ---- the logarithm of a product with an exponential, such as a density ---------------------------------
    rule("log-exp",                   log(Viewed(exp(x), "v")),       Viewed(x, "v"),   exact="stable"),
    rule("log-times-exp",             log(exp(x) * y),                x + log(y),       exact="stable"),
    rule("log-exp-over",              log(exp(x) / y),                x - log(y),       exact="stable"),
    rule("log-over-exp",              log(y / exp(x)),                log(y) - x,       exact="stable"),

    # ---- the hyperbolic functions --------------------------------------------------------------------------
    rule("tanh",                      (exp(x) - exp(-x)) / (exp(x) + exp(-x)), tanh(x), exact="stable"),
    rule("tanh-half",                 expm1(x) / (1 + exp(x)),        tanh(x * 0.5),    exact="stable"),
    rule("tanh-half-minus",           (-expm1(x)) / (1 + exp(x)),     -tanh(x * 0.5),   exact="stable"),
    rule("tanh-sigmoid",              2 * sigmoid(x) - 1,             tanh(x * 0.5),    exact="stable"),
    rule("1-plus-tanh",               1 + tanh(x),                    2 * sigmoid(2 * x), exact="stable"),
    rule("1-minus-tanh",              1 - tanh(x),                    2 * sigmoid(-2 * x), exact="stable"),
    rule("half-of-twice",             (2 * x) / 2,                    x,                exact="stable"),
    rule("half-of-twice-times",       (2 * x) * 0.5,                  x,                exact="stable"),
    rule("1-minus-erf",               1 - erf(x),                     erfc(x),          exact="stable"),
    rule("1-plus-erf",                1 + erf(x),                     erfc(-x),         exact="stable"),
    rule("sinh",                      (exp(x) - exp(-x)) / 2,         sinh(x),          exact="stable"),
    rule("sinh-half",                 (exp(x) - exp(-x)) * 0.5,       sinh(x),          exact="stable"),
    rule("cosh",                      (exp(x) + exp(-x)) / 2,         cosh(x),          exact="stable"),
    rule("cosh-half",                 (exp(x) + exp(-x)) * 0.5,       cosh(x),          exact="stable"),
    rule("tanh-quotient",             sinh(x) / cosh(x),              tanh(x),          exact="stable"),

    # ---- any number of exponentials, and what divides by them ----------------------------------------------
    rule("log-of-exponentials",       log(x + y),  logaddexp(log(x), log(y)), exact="stable", when=exponentials),
    rule("log1p-of-exponentials",     log1p(x),    logaddexp(log(x), 0), exact="stable", when=one_exponentials),
    rule("exp-over-exponentials",     exp(x) / y,  exp(x - log(y)),   exact="stable", when=divisor_exponentials),
    rule("over-exponentials",         x / y,       x * exp(-log(y)),  exact="stable", when=divisor_exponentials),
    rule("reciprocal-exponentials",   reciprocal(y), exp(-log(y)),    exact="stable", when=divisor_exponentials),
)
# fmt: on
"""Rules on exponentials, tried in this order: the special case before the general one."""
