"""Level 6: pow as vector arithmetic, x^y = ± e^(y·log |x|).

    |x| = 2^e·(1 + f), √½ ≤ 1 + f < √2;   s = f / (2 + f)
    log |x| = e·ln 2 + 2·s + s³·(2/3 + s²·P(s²))

An error in the logarithm is multiplied by y·log x, up to 745, so it is carried as a sum of two numbers, high
and low, about 10 bits beyond the format: products by fused multiply-add, sums by the fast two-sum of Dekker,
"A floating-point technique for extending the available precision" (Numer. Math. 18, 1971); the plan is that
of fdlibm's e_pow.c. P is minimax. The special cases are those of C99, annex F.9.4.4.

>>> from graphc_llvm.vector_math.builder import Body
>>> body = Body("pow", "f32", 4, ("x", "y"))
>>> print(body.finish(power(body.argument(0), body.argument(1))).splitlines()[1])
  %t0 = call <4 x float> @llvm.fabs.v4f32(<4 x float> %x)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from graphc_llvm.vector_math.builder import Value, absolute, fma, horner, rint, select
from graphc_llvm.vector_math.exponential import exp_of_sum
from graphc_llvm.vector_math.logarithm import as_real, split


@dataclass(frozen=True, slots=True)
class _Constants:
    """What pow needs in one format."""

    ln2: tuple[float, float]
    """ln 2; the high part is so short that its product with an exponent is exact."""
    two_thirds: tuple[float, float]
    tail: tuple[float, ...]
    """P, highest power first."""


_CONSTANTS: Final = {
    "f32": _Constants(
        ln2=(0.693145751953125, 1.428606765330187e-06),
        two_thirds=(0.6666666865348816, -1.9868215517249155e-08),
        tail=(0.1955634355545044, 0.22179730236530304, 0.28571972250938416, 0.3999999761581421),
    ),
    "f64": _Constants(
        ln2=(0.693147180559663, 2.8235290563031577e-13),
        two_thirds=(0.6666666666666666, 3.700743415417188e-17),
        tail=(
            0.11990429884915736,
            0.1167464866227688,
            0.1333632577330076,
            0.1538455665416701,
            0.18181818873488628,
            0.2222222221751063,
            0.2857142857144522,
            0.3999999999999998,
        ),
    ),
}

_Pair = tuple[Value, Value]


def _sum(large: Value | float, small: Value, rest: Value | float) -> _Pair:
    """large + small + rest as a pair; |large| ≥ |small|, and rest is of the order of their rounding."""
    high = small + large
    return high, (large - high) + small + rest


def _product(a: _Pair, b: _Pair) -> _Pair:
    """a·b as a pair."""
    high = a[0] * b[0]
    return high, fma(a[0], b[1], fma(a[1], b[0], fma(a[0], b[0], -high)))


def log_pair(a: Value) -> _Pair:
    """log a as a sum of two numbers, for 0 < a < ∞."""
    c = _CONSTANTS[a.body.format.dtype]
    e, f = split(a)
    d = f + 2.0
    reciprocal = 1.0 / d
    s = f * reciprocal
    # f - s·(2 + f), where 2 + f = d + (f - (d - 2)) exactly.
    remainder = fma(-s, d, f) - s * (f - (d - 2.0))
    s_pair = s, remainder * reciprocal
    square = _product(s_pair, s_pair)
    series = _sum(c.two_thirds[0], square[0] * horner(square[0], c.tail), c.two_thirds[1])
    tail = _product(_product(s_pair, square), series)
    two_s = s_pair[0] + s_pair[0], s_pair[1] + s_pair[1]
    near_one = _sum(two_s[0], tail[0], two_s[1] + tail[1])
    exponent = as_real(e)
    return _sum(exponent * c.ln2[0], near_one[0], fma(exponent, c.ln2[1], near_one[1]))


def power(x: Value, y: Value) -> Value:
    """x to the power y."""
    a = absolute(x)
    high, low = log_pair(a)
    high = select(a < math.inf, high, a)
    high = select(a.equals(0.0), -math.inf, high)
    exponent = y * high
    # Beyond any overflow the low part would be inf - inf.
    low = fma(y, low, fma(y, high, -exponent))
    low = select(absolute(exponent) < 1024.0, low, 0.0)
    magnitude = exp_of_sum(exponent, low)

    whole = rint(y).equals(y)
    half = y * 0.5
    # An odd y takes the sign of x, that of -0 and -∞ too; NaN is a negative number to a fractional power.
    sign = select(rint(half).equals(half), 0.0, select(whole, -0.0, 0.0)).bits() & x.bits()
    result = (magnitude.bits() ^ sign).as_real()
    finite_negative = (x < 0.0) & (x > -math.inf)
    result = select(finite_negative, select(whole, result, math.nan), result)
    one = y.equals(0.0) | x.equals(1.0) | (a.equals(1.0) & absolute(y).equals(math.inf))
    return select(one, 1.0, result)
