"""The rules of algebra on elementwise ops.

Each is one line: name, pattern, replacement, exactness.  `x` and `y` stand for any tensor, `c` and `d` for
constants, `p` for a truth value.

>>> print(ALGEBRA[0])
add-zero: x + 0 = x  [value]
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from graphc.passes.pattern import Constant, Match, Number, Wild, call
from graphc.passes.rewrite import Rule, guard, rule
from graphc.passes.through_views import constant_value, uniform_value

x, y = Wild("x"), Wild("y")
c, d = Constant("c"), Constant("d")
p = Wild("p", truth=True)
absolute, square, relu, log, sqrt = (partial(call, name) for name in ("abs", "square", "relu", "log", "sqrt"))
exp, power, reciprocal = (partial(call, name) for name in ("exp", "pow", "reciprocal"))
negative, where, maximum, minimum = (partial(call, name) for name in ("neg", "where", "maximum", "minimum"))
negation, both, either = (partial(call, f"logical_{name}") for name in ("not", "and", "or"))


@guard("c is a power of two whose reciprocal is exact")
def power_of_two(m: Match) -> bool:
    value = uniform_value(m.nodes["c"])
    if not isinstance(value, float) or value == 0 or not math.isfinite(value):
        return False
    # Neither c nor 1/c may be subnormal: those lose bits, or are flushed to zero on some machines.
    info = np.finfo(m.root.type.dtype.numpy)
    return abs(math.frexp(value)[0]) == 0.5 and float(info.tiny) <= min(abs(value), abs(1 / value))


@guard("c is not 0, and x is no constant")
def divisor(m: Match) -> bool:
    value = constant_value(m.nodes["c"])
    return value is not None and bool(np.all(value != 0)) and constant_value(m.nodes["x"]) is None


@guard("x is no constant")
def variable(m: Match) -> bool:
    return constant_value(m.nodes["x"]) is None


@guard("y is no constant")
def second(m: Match) -> bool:
    # Constants keep the sign, and are folded with it: without this, neg-mul-const would undo mul-neg.
    return constant_value(m.nodes["y"]) is None


# fmt: off
ALGEBRA: tuple[Rule, ...] = (
    # ---- neutral elements ----------------------------------------------------------------------------------
    rule("add-zero",          x + 0,                   x,                 exact="value"),
    rule("sub-zero",          x - 0,                   x,                 exact="bitwise"),
    rule("zero-sub",          0 - x,                   -x,                exact="value"),
    rule("mul-one",           x * 1,                   x,                 exact="bitwise"),
    rule("div-one",           x / 1,                   x,                 exact="bitwise"),
    rule("mul-minus-one",     x * -1,                  -x,                exact="bitwise"),
    rule("div-minus-one",     x / -1,                  -x,                exact="bitwise"),
    rule("pow-zero",          power(x, 0),             Number(1),         exact="bitwise"),
    rule("pow-one",           power(x, 1),             x,                 exact="bitwise"),
    rule("pow-two",           power(x, 2),             square(x),         exact="stable"),
    rule("pow-minus-one",     power(x, -1),            reciprocal(x),     exact="stable"),
    rule("pow-three",         power(x, 3),             square(x) * x,     exact="fast"),

    # ---- signs ---------------------------------------------------------------------------------------------
    rule("neg-neg",           negative(-x),            x,                 exact="bitwise"),
    rule("add-neg",           x + (-y),                x - y,             exact="bitwise"),
    rule("sub-neg",           x - (-y),                x + y,             exact="bitwise"),
    rule("neg-sub",           -(x - y),                y - x,             exact="value"),
    rule("neg-mul-const",     -(x * c),                x * (-c),          exact="bitwise", when=variable),
    rule("neg-div-const",     -(x / c),                x / (-c),          exact="bitwise", when=variable),
    rule("neg-const-div",     -(c / x),                (-c) / x,          exact="bitwise", when=variable),
    rule("mul-neg",           x * (-y),                -(x * y),          exact="bitwise", when=second),
    rule("div-neg",           x / (-y),                -(x / y),          exact="bitwise", when=second),
    rule("neg-div",           (-x) / y,                -(x / y),          exact="bitwise", when=variable),
    rule("abs-neg",           absolute(-x),            absolute(x),       exact="bitwise"),
    rule("square-neg",        square(-x),              square(x),         exact="bitwise"),
    rule("square-abs",        square(absolute(x)),     square(x),         exact="bitwise"),

    # ---- products and quotients ----------------------------------------------------------------------------
    rule("mul-self",          x * x,                   square(x),         exact="bitwise"),
    rule("one-div",           1 / x,                   reciprocal(x),     exact="bitwise"),
    rule("div-power-of-two",  x / c,                   x * reciprocal(c), exact="bitwise", when=power_of_two),
    rule("div-const",         x / c,                   x * reciprocal(c), exact="fast", when=divisor),
    rule("mul-mul-const",     (x * c) * d,             x * (c * d),       exact="fast", when=variable),
    rule("add-add-const",     (x + c) + d,             x + (c + d),       exact="fast", when=variable),
    rule("mul-zero",          x * 0,                   Number(0),         exact="fast"),
    rule("sub-self",          x - x,                   Number(0),         exact="fast"),
    rule("div-self",          x / x,                   Number(1),         exact="fast"),

    # ---- functions and their inverses ----------------------------------------------------------------------
    rule("abs-abs",           absolute(absolute(x)),   absolute(x),       exact="bitwise"),
    rule("relu-relu",         relu(relu(x)),           relu(x),           exact="bitwise"),
    rule("exp-log",           exp(log(x)),             x,                 exact="fast"),
    rule("square-sqrt",       square(sqrt(x)),         x,                 exact="fast"),
    rule("stop-gradient",     call("stop_gradient", x), x,                exact="bitwise"),

    # ---- choices and truth values --------------------------------------------------------------------------
    rule("where-true",        where(True, x, y),       x,                 exact="bitwise"),
    rule("where-false",       where(False, x, y),      y,                 exact="bitwise"),
    rule("where-same",        where(p, x, x),          x,                 exact="bitwise"),
    rule("where-not",         where(negation(p), x, y), where(p, y, x),   exact="bitwise"),
    rule("maximum-self",      maximum(x, x),           x,                 exact="bitwise"),
    rule("minimum-self",      minimum(x, x),           x,                 exact="bitwise"),
    rule("not-not",           negation(negation(p)),   p,                 exact="bitwise"),
    rule("and-self",          both(p, p),              p,                 exact="bitwise"),
    rule("or-self",           either(p, p),            p,                 exact="bitwise"),
    rule("and-true",          both(p, True),           p,                 exact="bitwise"),
    rule("or-false",          either(p, False),        p,                 exact="bitwise"),
)
# fmt: on
"""The rules on elementwise ops, tried in this order."""
