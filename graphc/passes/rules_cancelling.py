"""The rules of stability on differences: what cancels as written, and does not as computed.

| as written                 | where it cancels | as computed                       |
|----------------------------|------------------|-----------------------------------|
| `log(1 + x)`, `exp(x) - 1` | x near 0         | log1p(x), expm1(x)                |
| `1 - cos(x)`               | x near 0         | 2·sin(x/2)²                       |
| `sqrt(x + 1) - sqrt(x)`    | x large          | 1/(√(x + 1) + √x)                 |
| `log(1 - exp(x))`          | x near 0, or far | log(−expm1(x)), log1p(−exp(x))    |
| `mean(x**2) - mean(x)**2`  | a large mean     | mean (x − mean x)²                |
| `x**2 - y**2`              | x near y         | (x − y)·(x + y)                   |

>>> print(CANCELLING[2])
log1p: log(1 + x) = log1p(x)  [stable]
"""

from __future__ import annotations

import math

import numpy as np

from graphc.ir.dims import product
from graphc.ir.node import Node, node
from graphc.ops.elementwise import elementwise
from graphc.ops.leaves import Extent
from graphc.ops.reduce import Reduce
from graphc.ops.views import Expand
from graphc.passes.pattern import Call, Constant, Match, Pattern, Reduction, Viewed, Wild
from graphc.passes.rewrite import Rule, guard, rule
from graphc.passes.through_views import constant_value, review, spread, strip, uniform_value
from graphc.passes.words import (
    absolute,
    acosh,
    asinh,
    atanh,
    cos,
    cosh,
    exp,
    expm1,
    less,
    log,
    log1p,
    negative,
    sigmoid,
    sin,
    sinh,
    sqrt,
    square,
    tanh,
    where,
)

x, y, n = Wild("x"), Wild("y"), Wild("n")
c = Constant("c")


@guard("c is not 0")
def not_zero(m: Match) -> bool:
    value = constant_value(m.nodes["c"])
    return value is not None and bool(np.all(value != 0))


@guard("x is not the x of one branch already")
def unswitched(m: Match) -> bool:
    held = m.nodes["x"]
    return held.op.label != "where" or all(constant_value(branch) is None for branch in held.src[1:])


def log1mexp(p: Pattern) -> Call:
    """log(1 − exp(p)), in two branches (Mächler, 2012, "Accurately computing log(1 − exp(−|a|))")."""
    near = less(-math.log(2), p)
    return where(near, log(-expm1(where(near, p, -0.5))), log1p(-exp(where(near, -1, p))))


def log_cosh(p: Pattern) -> Call:
    """log cosh p: 0 + small near 0, |p| − log 2 far out."""
    near = less(absolute(p), 1)
    far = absolute(p) + log1p(exp(-2 * absolute(p))) - log(2)
    return where(near, log1p(2 * square(sinh(where(near, p, 0) * 0.5))), far)


# ---- moments -------------------------------------------------------------------------------------------------


@guard("n counts the elements of each sum, and both sums are placed alike")
def is_mean(m: Match) -> bool:
    axes, summed = m.ops["a"], m.nodes["a"]
    assert isinstance(axes, Reduce)
    count = product(summed.type.shape[k] for k in axes.axes)
    scalar = strip(m.nodes["n"], (Expand,))[1]
    counts = scalar.op.dim == count if isinstance(scalar.op, Extent) else uniform_value(scalar) == count
    return counts and all(
        _placed(m, name) == _placed(m, "v") for name in ("w", "u") if f"{name}:top" in m.nodes
    )


def _placed(m: Match, name: str) -> list[object]:
    """The views above a sum."""
    found, view = list[object](), m.nodes[f"{name}:top"]
    while view is not m.nodes[f"{name}:bottom"]:
        found.append(view.op)
        view = view.src[0]
    return found


def _deviation(m: Match, x: Node) -> Node:
    axes = m.ops["a"]
    assert isinstance(axes, Reduce)
    total = node(Reduce("sum", axes.axes), x)
    scalar = strip(m.nodes["n"], (Expand,))[1]
    count = scalar if total.type.rank == 0 else node(Expand(total.type.shape), scalar)
    return elementwise("sub", x, spread(elementwise("div", total, count), axes.axes, x))


def _mean_of(m: Match, x: Node) -> Node:
    axes = m.ops["a"]
    assert isinstance(axes, Reduce)
    total = node(Reduce("sum", axes.axes), x)
    return elementwise("div", review(m.nodes["v:top"], m.nodes["v:bottom"], total), m.nodes["n"])


def _variance(m: Match) -> Node:
    """mean(x²) − (mean x)² → mean((x − mean x)²)"""
    return _mean_of(m, elementwise("square", _deviation(m, m.nodes["x"])))


def _covariance(m: Match) -> Node:
    """mean(x·y) − mean x · mean y → mean((x − mean x)·(y − mean y))"""
    return _mean_of(m, elementwise("mul", *(_deviation(m, m.nodes[name]) for name in "xy")))


def _mean(p: Pattern, name: str) -> Call:
    return Viewed(Reduction("sum", p, "a"), name) / n


_LOG1MEXP = (
    r"\log(1 - e^{x}) = \begin{cases} \log(-\operatorname{expm1} x) & x > -\log 2 \\"
    r" \operatorname{log1p}(-e^{x}) & \text{else} \end{cases}"
)
_near = less(x, 0.5)

# fmt: off
CANCELLING: tuple[Rule, ...] = (
    rule("minus-minus",               negative(-x),                   x,                exact="bitwise"),
    rule("times-itself",              x * x,                          square(x),        exact="bitwise"),

    # ---- near 0 and 1 --------------------------------------------------------------------------------------
    rule("log1p",                     log(1 + x),                     log1p(x),         exact="stable"),
    rule("asinh",                     log(x + sqrt(square(x) + 1)),   asinh(x),         exact="stable"),
    rule("acosh",                     log(x + sqrt(square(x) - 1)),   acosh(x),         exact="stable"),
    rule("atanh",                     log((1 + x) / (1 - x)),         2 * atanh(x),     exact="stable"),
    rule("log-1-minus-tanh-squared",  log(1 - square(tanh(x))),       log_cosh(x) * -2, exact="stable",
         equation=("log(1 − tanh(x)²) = −2·log cosh(x)", r"\log(1 - \tanh^{2} x) = -2 \log \cosh x")),
    rule("log1p-minus-tanh-squared",  log1p(-square(tanh(x))),        log_cosh(x) * -2, exact="stable",
         equation=("log1p(−tanh(x)²) = −2·log cosh(x)", r"\log(1 - \tanh^{2} x) = -2 \log \cosh x")),
    rule("log1p-minus",               log(1 - x),                     log1p(-x),        exact="stable"),
    rule("expm1",                     exp(x) - 1,                     expm1(x),         exact="stable"),
    rule("expm1-minus",               1 - exp(x),                     -expm1(x),        exact="stable"),
    rule("1-minus-cos",               1 - cos(x),                     2 * square(sin(x * 0.5)), exact="stable"),
    rule("cos-minus-1",               cos(x) - 1,                     -2 * square(sin(x * 0.5)), exact="stable"),

    # ---- roots, squares, moments ---------------------------------------------------------------------------
    rule("root-difference",           sqrt(x + c) - sqrt(x),          c / (sqrt(x + c) + sqrt(x)),
         exact="stable", when=not_zero),
    rule("root-difference-minus",     sqrt(x) - sqrt(x - c),          c / (sqrt(x) + sqrt(x - c)),
         exact="stable", when=not_zero),
    rule("root-minus-1",              sqrt(1 + x) - 1,                x / (sqrt(1 + x) + 1),     exact="stable"),
    rule("1-minus-root",              1 - sqrt(1 - x),                x / (1 + sqrt(1 - x)),     exact="stable"),
    rule("square-difference",         square(x) - square(y),          (x - y) * (x + y),         exact="stable"),
    rule("variance", _mean(square(x), "v") - square(_mean(x, "w")), _variance, exact="stable", when=is_mean,
         equation=("mean(x²) − (mean x)² = mean((x − mean x)²)",
                   r"\overline{x^{2}} - \bar{x}^{2} = \overline{(x - \bar{x})^{2}}")),
    rule("covariance", _mean(x * y, "v") - _mean(x, "w") * _mean(y, "u"), _covariance, exact="stable", when=is_mean,
         equation=("mean(x·y) − mean x · mean y = mean((x − mean x)·(y − mean y))",
                   r"\overline{x y} - \bar{x} \bar{y} = \overline{(x - \bar{x}) (y - \bar{y})}")),

    # ---- logarithms of what is near 0 or 1 -----------------------------------------------------------------
    rule("log1mexp",                  log(-expm1(x)),                 log1mexp(x),      exact="stable", when=unswitched,
         equation=("log(1 − exp(x)) = log(−expm1(x)) where x > −log 2, else log1p(−exp(x))",
                   _LOG1MEXP)),
    rule("log1mexp-log1p",            log1p(-exp(x)),                 log1mexp(x),      exact="stable", when=unswitched,
         equation=("log1p(−exp(x)) = log(−expm1(x)) where x > −log 2, else log1p(−exp(x))",
                   _LOG1MEXP)),
    rule("log-expm1",                 log(expm1(x)),                  x + log1mexp(-x), exact="stable",
         equation=("log(exp(x) − 1) = x + log(1 − exp(−x))", r"\log(e^{x} - 1) = x + \log(1 - e^{-x})")),
    rule("logsubexp",                 log(exp(x) - exp(y)),           x + log1mexp(y - x), exact="stable",
         equation=("log(exp(x) − exp(y)) = x + log(1 − exp(y − x))",
                   r"\log(e^{x} - e^{y}) = x + \log(1 - e^{y - x})")),
    rule("log-cosh",                  log(cosh(x)),                   log_cosh(x),      exact="stable",
         equation=("log cosh(x) = log1p(2·sinh(x/2)²) where |x| < 1, else |x| + log1p(exp(−2·|x|)) − log 2",
                   r"\log \cosh x = |x| + \log(1 + e^{-2|x|}) - \log 2")),
    rule("log-sinh",                  log(sinh(x)),  x + log1mexp(-2 * x) - log(2), exact="stable",
         equation=("log sinh(x) = x + log(1 − exp(−2·x)) − log 2",
                   r"\log \sinh x = x + \log(1 - e^{-2x}) - \log 2")),
    rule("log-tanh",                  log(tanh(x)),
         where(_near, log(tanh(where(_near, x, 0.5))), log1p(-2 * sigmoid(-2 * where(_near, 1, x)))),
         exact="stable", when=unswitched,
         equation=("log tanh(x) = log1p(−2·sigmoid(−2·x)) where x ≥ 1/2",
                   r"\log \tanh x = \log(1 - 2 \sigma(-2x)),\ x \geq 1/2")),
    rule("log-square",                log(square(x)),                 2 * log(absolute(x)), exact="stable"),
)
# fmt: on
"""Rules on differences that cancel, tried in this order: the special case before the general one."""
