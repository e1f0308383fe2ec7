"""Level 6: sinh, cosh and their inverses, and the inverse of tanh, as vector arithmetic.

    sinh    |x| < 1: x + x³·P(x²);  else E - 1/(4·E), E = e^|x| / 2
    cosh    E + 1/(4·E)
    asinh   log1p(w), w = |x| + x² / (1 + √(x² + 1))
    acosh   log1p(w), w = t + √(t·(t + 2)), t = x - 1
    atanh   log1p(w) / 2, w = 2·|x| / (1 - |x|)

f32 is computed in f64 throughout. In f64 itself w carries an error of up to two roundings, which log1p passes
on: what the rounding of w left out, c, is found from the remainders of the square root and of the division
(exact by fused multiply-add) and added as c / (1 + w). P is minimax. The formulas are those of W. Kahan,
"Branch cuts for complex elementary functions" (1987).

>>> from graphc_llvm.vector_math.builder import Body
>>> body = Body("cosh", "f64", 4, ("x",))
>>> print(body.finish(cosh(body.argument(0))).splitlines()[1])
  %t0 = call <4 x double> @llvm.fabs.v4f64(<4 x double> %x)
"""

from __future__ import annotations

import math
from typing import Final

from graphc_llvm.vector_math.builder import Value, absolute, copysign, fma, horner, select, sqrt
from graphc_llvm.vector_math.exponential import half_exp
from graphc_llvm.vector_math.logarithm import log1p

_SINH_TAIL: Final = {
    "wide": (
        2.8169515165735647e-06,
        0.00019836159717611813,
        0.008333350058565019,
        0.1666666649755361,
    ),
    "f64": (
        7.758749227819664e-13,
        1.60572597541852e-10,
        2.505212313691506e-08,
        2.7557319157070645e-06,
        0.00019841269841431875,
        0.008333333333333148,
        0.16666666666666669,
    ),
}
"""P, highest power first."""

_LN2: Final = math.log(2)
_HUGE: Final = 2.0**500
"""From here on x² might overflow; asinh and acosh are log x + ln 2 long before."""


def sinh(x: Value) -> Value:
    """sinh x; the sign is copied."""
    a = absolute(x)
    square = a * a
    near = fma(a * square, horner(square, _SINH_TAIL[x.body.format.precision]), a)
    half = half_exp(a)
    return copysign(select(a < 1.0, near, half - 0.25 / half), x)


def cosh(x: Value) -> Value:
    """cosh x."""
    half = half_exp(absolute(x))
    return half + 0.25 / half


def _log1p_of_sum(w: Value, c: Value) -> Value:
    """log(1 + w + c), where c is of the order of a rounding of w; infinite w is its own logarithm."""
    return log1p(w) + select(w < math.inf, c / (w + 1.0), 0.0)


def asinh(x: Value) -> Value:
    """asinh x; the sign is copied."""
    a = absolute(x)
    q = a * a / (sqrt(fma(a, a, 1.0)) + 1.0)
    w = a + q
    if x.body.format.precision == "wide":
        return copysign(select(a < math.inf, log1p(w), a), x)
    huge = a > _HUGE
    result = _log1p_of_sum(select(huge, a, w), select(huge, 0.0, (a - w) + q))
    return copysign(select(huge, result + _LN2, result), x)


def acosh(x: Value) -> Value:
    """acosh x; NaN below 1."""
    t = x - 1.0
    product = fma(t, t, t + t)
    root = sqrt(product)
    w = t + root
    if x.body.format.precision == "wide":
        return select(x < 1.0, math.nan, log1p(w))
    # At t = 0 the remainder is 0/0; there the root is exact.
    rest = select(t > 0.0, fma(-root, root, product) / (root + root), 0.0)
    huge = x > _HUGE
    result = _log1p_of_sum(select(huge, x, w), select(huge, 0.0, (root - w) + t + rest))
    return select(x < 1.0, math.nan, select(huge, result + _LN2, result))


def atanh(x: Value) -> Value:
    """atanh x; ±inf at ±1 and NaN beyond; the sign is copied."""
    a = absolute(x)
    below = 1.0 - a
    twice = a + a
    w = twice / below
    if x.body.format.precision == "wide":
        return copysign(log1p(w) * 0.5, x)
    # What w lacks is rest / below, and 1 + w is (1 + a) / below.
    rest = fma(-w, below, twice) - w * ((1.0 - below) - a)
    c = select(a < 1.0, rest / (a + 1.0), 0.0)
    return copysign((log1p(w) + c) * 0.5, x)
