"""Level 6: asin, acos, atan and atan2 as vector arithmetic.

    asin, acos   |x| ≤ ½   asin x = x + x³·P(x²),   acos x = π/2 - asin x
                 else      s = √((1 - |x|) / 2),   acos |x| = 2·s + 2·s³·P(s²) = π/2 - asin |x|
    atan         |x| ≤ tan π/8   s = x           else, |x| ≤ tan 3π/8   s = (|x| - 1) / (|x| + 1)
                 else            s = -1 / |x|
                 atan |x| = (0, π/4 or π/2) + s + s³·Q(s²)
    atan2        the same, with y / x in place of |x|, never formed; then the half plane and the sign

π/2 and π/4 are sums of two numbers, of which the low one joins the small terms. P and Q are minimax. The
reductions are those of fdlibm's e_asin.c and s_atan.c (Ng, Sun Microsystems, 1993).

>>> from graphc_llvm.vector_math.builder import Body
>>> body = Body("atan", "f32", 4, ("x",))
>>> print(body.finish(atan(body.argument(0))).splitlines()[1])
  %t0 = call <4 x float> @llvm.fabs.v4f32(<4 x float> %x)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from graphc_llvm.vector_math.builder import Value, absolute, copysign, fma, horner, select, sqrt


@dataclass(frozen=True, slots=True)
class _Constants:
    """What the inverse functions need in one precision."""

    half_pi: tuple[float, float]
    """π/2 as a sum; half of each is π/4."""
    asin_tail: tuple[float, ...]
    """P, highest power first."""
    atan_tail: tuple[float, ...]
    """Q, highest power first."""


_CONSTANTS: Final = {
    "f32": _Constants(
        half_pi=(1.5707963705062866, -4.371138828673793e-08),
        asin_tail=(
            0.042178086936473846,
            0.02417304739356041,
            0.04547158628702164,
            0.07495288550853729,
            0.16666752099990845,
        ),
        atan_tail=(
            -0.060765162110328674,
            0.10593173652887344,
            -0.1424345225095749,
            0.19998466968536377,
            -0.33333316445350647,
        ),
    ),
    "wide": _Constants(
        half_pi=(1.5707963267948966, 0.0),
        asin_tail=(
            0.034660345112900524,
            0.0074981991675639615,
            0.024608238072117664,
            0.0301119865985088,
            0.04466001341045057,
            0.07499948754441559,
            0.16666667181863076,
        ),
        atan_tail=(
            0.04742456435212441,
            -0.08475531902007867,
            0.11044565754754221,
            -0.14281998120504785,
            0.19999903591059306,
            -0.33333332495813234,
        ),
    ),
    "f64": _Constants(
        half_pi=(1.5707963267948966, 6.123233995736766e-17),
        asin_tail=(
            0.03265377240437534,
            -0.021038264363474213,
            0.021734416709726184,
            0.003695632770742725,
            0.01078302160729092,
            0.011398433715663086,
            0.01398087706557814,
            0.017351607470367392,
            0.022372215230527254,
            0.03038194269953999,
            0.04464285717477544,
            0.07499999999970637,
            0.1666666666666676,
        ),
        atan_tail=(
            0.015184274753771642,
            -0.03346315609584534,
            0.04503036287992379,
            -0.052182707020835675,
            0.05876999747925385,
            -0.06666224360895799,
            0.07692282585518598,
            -0.09090908136338016,
            0.11111111087934354,
            -0.1428571428538381,
            0.19999999999997634,
            -0.33333333333333326,
        ),
    ),
}
_TAN_PI_8: Final = 0.4142135679721832
_TAN_3PI_8: Final = 2.4142136573791504


def _asin_parts(a: Value) -> tuple[Value, Value, Value]:
    """(far, s, t): asin a = s + t where not far; acos a = 2·s + 2·t where far; for 0 ≤ a ≤ 1."""
    far = a > 0.5
    square = select(far, fma(a, -0.5, 0.5), a * a)
    s = select(far, sqrt(square), a)
    return far, s, s * square * horner(square, _CONSTANTS[a.body.format.precision].asin_tail)


def asin(x: Value) -> Value:
    """asin x; NaN where |x| > 1; the sign is copied."""
    high, low = _CONSTANTS[x.body.format.precision].half_pi
    far, s, t = _asin_parts(absolute(x))
    difference = high - (s + s)
    lost = (high - difference) - (s + s)
    beyond = difference + (lost - fma(t, 2.0, -low))
    return copysign(select(far, beyond, s + t), x)


def acos(x: Value) -> Value:
    """acos x; NaN where |x| > 1."""
    high, low = _CONSTANTS[x.body.format.precision].half_pi
    far, s, t = _asin_parts(absolute(x))
    negative = x < 0.0
    near = high - (copysign(s, x) - (low - copysign(t, x)))
    twice = (s + t) + (s + t)
    left = (2.0 * high - (s + s)) - fma(t, 2.0, -2.0 * low)
    return select(far, select(negative, left, twice), near)


def _angle(y: Value, x: Value) -> Value:
    """atan(y / x) for y ≥ 0, x ≥ 0, not both zero or infinite, neither so large that y + x overflows."""
    c = _CONSTANTS[x.body.format.precision]
    middle, steep = y > x * _TAN_PI_8, y > x * _TAN_3PI_8
    above = select(steep, -x, select(middle, y - x, y))
    below = select(steep, y, select(middle, y + x, x))
    s = above / below
    square = s * s
    high = select(steep, c.half_pi[0], select(middle, c.half_pi[0] / 2, 0.0))
    low = select(steep, c.half_pi[1], select(middle, c.half_pi[1] / 2, 0.0))
    return high + (s + fma(s * square, horner(square, c.atan_tail), low))


def atan(x: Value) -> Value:
    """atan x; the sign is copied."""
    a = absolute(x)
    # -1 / ∞ is -0, and (∞ - 1) / (∞ + 1) is not chosen.
    return copysign(_angle(a, x.body.real(1.0)), x)


def atan2(y: Value, x: Value) -> Value:
    """The angle of the point (x, y); zeros and infinities as in C99, annex F.9.1.4."""
    c = _CONSTANTS[x.body.format.precision]
    a, b = absolute(y), absolute(x)
    if x.body.format.precision == "f64":
        # Neither the sum of two large ones nor the quotient of two subnormal ones may leave the format.
        larger = select(a > b, a, b)
        scale = select(larger > 2.0**1000, 2.0**-600, select(larger < 2.0**-900, 2.0**600, 1.0))
        a, b = a * scale, b * scale
    equal = a.equals(b)
    diagonal = equal & (a.equals(0.0) | a.equals(math.inf))
    # Two zeros are an angle of 0, two infinities one of π/4.
    a_, b_ = select(diagonal & a.equals(math.inf), 1.0, a), select(diagonal, 1.0, b)
    angle = _angle(a_, b_)
    left = x.bits() < 0
    high, low = 2.0 * c.half_pi[0], 2.0 * c.half_pi[1]
    return copysign(select(left, high - (angle - low), angle), y)
