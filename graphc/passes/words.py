"""The words in which rules of stability are written: rows of the op table as functions of patterns.

>>> from graphc.passes.equation import text
>>> from graphc.passes.pattern import Wild
>>> x = Wild("x")
>>> text(log(1 + exp(x))), text(finite(x))
('log(1 + exp(x))', 'stop_gradient(where(|x| < ∞, x, 0))')
"""

from __future__ import annotations

import math
from functools import partial

from graphc.passes.pattern import Call, Pattern, call

exp, log, log1p, expm1 = (partial(call, name) for name in ("exp", "log", "log1p", "expm1"))
sigmoid, softplus, tanh = (partial(call, name) for name in ("sigmoid", "softplus", "tanh"))
logaddexp, xlogy, hypot = (partial(call, name) for name in ("logaddexp", "xlogy", "hypot"))
sinh, cosh, asinh, acosh, atanh = (
    partial(call, name) for name in ("sinh", "cosh", "asinh", "acosh", "atanh")
)
sqrt, square, reciprocal = (partial(call, name) for name in ("sqrt", "square", "reciprocal"))
sin, cos, erf, erfc = (partial(call, name) for name in ("sin", "cos", "erf", "erfc"))
absolute, sign, negative = (partial(call, name) for name in ("abs", "sign", "neg"))
maximum, minimum = (partial(call, name) for name in ("maximum", "minimum"))
where, less, equal, both = (partial(call, name) for name in ("where", "less", "equal", "logical_and"))
held = partial(call, "stop_gradient")


def finite(p: Pattern) -> Call:
    """A shift: held constant, because the value does not depend on it; 0 where p is infinite.

    log Σ exp(x) of minus infinities is one, and a shift by an infinity would make it NaN.
    """
    return held(where(less(absolute(p), math.inf), p, 0))
