"""The rules of numerical stability: formulas as books write them, computed without overflow and cancellation.

| as written                         | x = 1000    | as computed                              |
|------------------------------------|-------------|------------------------------------------|
| `exp(x)/sum(exp(x))`               | inf/inf     | exp(x − m)/Σ exp(x − m), m = max x       |
| `log(softmax(x))`                  | log(0)      | x − log Σ exp(x)                         |
| `log(sum(exp(x)))`                 | inf         | m + log Σ exp(x − m)                     |
| `1/(1 + exp(-x))`                  | (its slope) | sigmoid(x)                               |
| `log(1 + exp(x))`                  | inf         | softplus(x)                              |
| `log(sigmoid(-x))`                 | -inf        | −softplus(x)                             |

A stable value is not enough: the derivative of the naive formula holds inf/inf terms of its own, which no
rule could find again once the chain rule has taken them apart.  So `stabilize` is for *before*
differentiation, and the pass "stability" is for what was never differentiated.

>>> from graphc.ir.node import node
>>> from graphc.ir.types import TensorType
>>> from graphc.ops.elementwise import elementwise
>>> from graphc.ops.leaves import Input
>>> u = node(Input("u", TensorType.of("f64", ("N",))))
>>> p = elementwise("sigmoid", u)
>>> f = elementwise("log", p)
>>> stabilize([f])[f].op.label
'neg'
>>> stabilize([f], [p])[f].op.label       # a gradient by p is asked for: p stays
'log'
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

from graphc.ir.node import Node
from graphc.ops.elementwise import Elementwise
from graphc.ops.reduce import Reduce
from graphc.ops.views import Expand, Reshape
from graphc.passes.pattern import Match, Pattern, Reduction, Spread, Viewed, Wild, call
from graphc.passes.rewrite import Rule, guard, rule, simplify
from graphc.passes.rules_choices import guard_choices
from graphc.passes.through_views import strip

x, y = Wild("x"), Wild("y")


def _is_shifted(n: Node, axes: tuple[int, ...]) -> bool:
    """Whether n is y − max y over these axes, so that its exponentials are at most 1."""
    if not isinstance(n.op, Elementwise) or n.op.row_name != "sub":
        return False
    shift = n.src[1]
    while True:
        top = strip(shift, (Expand, Reshape))[1]
        # The shift may be held constant, and replaced by 0 where it is infinite.
        if isinstance(top.op, Elementwise) and top.op.row_name == "stop_gradient":
            shift = top.src[0]
        elif isinstance(top.op, Elementwise) and top.op.row_name == "where":
            shift = top.src[1]
        else:
            break
    return (
        isinstance(top.op, Reduce) and top.op.kind == "max" and top.op.axes == axes and top.src[0] is n.src[0]
    )


@guard("x is not shifted by its maximum already")
def unshifted(m: Match) -> bool:
    op = m.ops["a"]
    assert isinstance(op, Reduce)
    return not _is_shifted(m.nodes["x"], op.axes)


@guard("x and y are not shifted by their maximum already")
def unshifted_pair(m: Match) -> bool:
    def shifted(n: Node) -> bool:
        if not isinstance(n.op, Elementwise) or n.op.row_name != "sub":
            return False
        # In the row of the shift: held constant, or not held any more, or without its guard.
        return n.src[1].op.label in ("stop_gradient", "where", "maximum")

    return not (shifted(m.nodes["x"]) and shifted(m.nodes["y"]))


exp, log, log1p, expm1 = (partial(call, name) for name in ("exp", "log", "log1p", "expm1"))
sigmoid, softplus, tanh, reciprocal = (
    partial(call, name) for name in ("sigmoid", "softplus", "tanh", "reciprocal")
)
sqrt, square, absolute, held = (partial(call, name) for name in ("sqrt", "square", "abs", "stop_gradient"))
negative = partial(call, "neg")


def finite(p: Pattern) -> Pattern:
    """A shift: held constant, because the value does not depend on it; 0 where p is infinite.

    log Σ exp(x) of minus infinities is one, and a shift by an infinity would make it NaN.
    """
    return held(call("where", call("less", absolute(p), math.inf), p, 0))


total, top = Reduction("sum", exp(x), "a"), Reduction("max", x, "a")
softmax = exp(x) / Spread(total)
shifted, finite_shifted = exp(x - Spread(held(top))), exp(x - Spread(finite(top)))
larger = finite(call("maximum", x, y))

# fmt: off
STABILITY: tuple[Rule, ...] = (
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
    rule(
        "logaddexp", log(exp(x) + exp(y)), larger + log(exp(x - larger) + exp(y - larger)),
        exact="stable", when=unshifted_pair,
        equation=("log(exp(x) + exp(y)) = m + log(exp(x − m) + exp(y − m)), m = max(x, y), 0 where infinite",
                  r"\log(e^{x} + e^{y}) = m + \log(e^{x-m} + e^{y-m}),\ m = \max(x, y)"),
    ),

    # ---- the logistic function -----------------------------------------------------------------------------
    rule("sigmoid",                   1 / (1 + exp(-x)),              sigmoid(x),       exact="stable"),
    rule("sigmoid-reciprocal",        reciprocal(1 + exp(-x)),        sigmoid(x),       exact="stable"),
    rule("sigmoid-minus",             1 / (1 + exp(x)),               sigmoid(-x),      exact="stable"),
    rule("sigmoid-minus-reciprocal",  reciprocal(1 + exp(x)),         sigmoid(-x),      exact="stable"),
    rule("sigmoid-quotient",          exp(x) / (1 + exp(x)),          sigmoid(x),       exact="stable"),
    rule("times-sigmoid",             y / (1 + exp(-x)),              y * sigmoid(x),   exact="stable"),
    rule("softplus",                  log(1 + exp(x)),                softplus(x),      exact="stable"),
    rule("softplus-log1p",            log1p(exp(x)),                  softplus(x),      exact="stable"),
    rule("log-sigmoid",               log(Viewed(sigmoid(x), "v")),
         Viewed(-softplus(-x), "v"),                                                    exact="stable"),
    rule("log-1-minus-sigmoid",       log(Viewed(1 - sigmoid(x), "v")),
         Viewed(-softplus(x), "v"),                                                     exact="stable"),
    rule("log1p-minus-sigmoid",       log1p(-sigmoid(x)),             -softplus(x),     exact="stable"),
    rule("minus-minus",               negative(-x),                   x,                exact="bitwise"),

    # ---- the hyperbolic tangent ----------------------------------------------------------------------------
    rule("tanh",                      (exp(x) - exp(-x)) / (exp(x) + exp(-x)), tanh(x), exact="stable"),
    rule("tanh-half",                 expm1(x) / (1 + exp(x)),        tanh(x * 0.5),    exact="stable"),
    rule("tanh-half-minus",           (-expm1(x)) / (1 + exp(x)),     -tanh(x * 0.5),   exact="stable"),

    # ---- near 0 and 1 --------------------------------------------------------------------------------------
    rule("log1p",                     log(1 + x),                     log1p(x),         exact="stable"),
    rule("log1p-minus",               log(1 - x),                     log1p(-x),        exact="stable"),
    rule("expm1",                     exp(x) - 1,                     expm1(x),         exact="stable"),
    rule("expm1-minus",               1 - exp(x),                     -expm1(x),        exact="stable"),

    # ---- functions and their inverses ----------------------------------------------------------------------
    rule("log-exp",                   log(exp(x)),                    x,                exact="stable"),
    rule("sqrt-square",               sqrt(square(x)),                absolute(x),      exact="stable"),
    rule("sqrt-product",              sqrt(x * x),                    absolute(x),      exact="stable"),
)
# fmt: on
"""The rules of stability, tried in this order: the special case before the general one."""


def stabilize(outputs: Sequence[Node], wrt: Sequence[Node] = ()) -> dict[Node, Node]:
    """What each node becomes when stable formulas replace naive ones, before differentiation.

    Gradients by `wrt` are to be taken: no rule looks through these nodes, so that the outputs still depend on
    them.  The gradients are then those of the replaced outputs by the replaced `wrt`.
    """
    stable = simplify([*outputs, *wrt], STABILITY, opaque=frozenset(wrt))
    roots, leaves = [stable[n] for n in outputs], [stable[n] for n in wrt]
    guarded = guard_choices(roots, leaves)
    return {n: guarded[stable[n]] for n in (*outputs, *wrt)}
