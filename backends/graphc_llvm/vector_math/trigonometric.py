"""Level 6: sin, cos and tan as vector arithmetic, for arguments that are not very large.

    |x| = k·π/2 + r, |r| ≤ π/4;   sin r = r + r³·S(r²),   cos r = 1 - r²/2 + r⁴·C(r²)
    k mod 4                       selects one of the two and its sign
    tan r = r + r³·T(r²);         for odd k, tan x = -1 / tan r

π/2 is subtracted in three parts, each with a fused multiply-add (Cody & Waite, Software Manual for the
Elementary Functions, 1980, ch. 8); the first step is exact. That serves |x| up to LARGEST; what lies beyond
needs some thousand bits of π, and `libm.guarded` sends those lanes, and only those, to libm.
tan is computed in f64, where f32 is wanted too; in f64 itself r and tan r are sums of two numbers.
S, C and T are minimax (Remez exchange on the relative error).

>>> from graphc_llvm.vector_math.builder import Body
>>> body = Body("sin", "f32", 4, ("x",))
>>> print(body.finish(sin(body.argument(0))).splitlines()[1])
  %t0 = call <4 x float> @llvm.fabs.v4f32(<4 x float> %x)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from graphc_llvm.vector_math.builder import Value, absolute, fma, horner, select


@dataclass(frozen=True, slots=True)
class _Constants:
    """What sin and cos need in one format."""

    two_over_pi: float
    half_pi: tuple[float, float, float]
    """π/2 as a sum of three parts."""
    sin_tail: tuple[float, ...]
    """S, highest power first."""
    cos_tail: tuple[float, ...]
    """C, highest power first."""


LARGEST: Final = {"f32": 2.0**15, "wide": 2.0**28, "f64": 2.0**28}

_CONSTANTS: Final = {
    "f32": _Constants(
        two_over_pi=0.6366197466850281,
        half_pi=(1.5707963705062866, -4.371138828673793e-08, -1.7151245100058819e-15),
        sin_tail=(-0.00019518405315466225, 0.008332190103828907, -0.16666655242443085),
        cos_tail=(2.4430684788967483e-05, -0.00138873013202101, 0.04166664555668831),
    ),
    "f64": _Constants(
        two_over_pi=0.6366197723675814,
        half_pi=(1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33),
        sin_tail=(
            1.5896504923881374e-10,
            -2.505075326383038e-08,
            2.7557313662051965e-06,
            -0.00019841269829725194,
            0.008333333333322316,
            -0.16666666666666632,
        ),
        cos_tail=(
            -1.1359448719474509e-11,
            2.087571955952611e-09,
            -2.7557314326037363e-07,
            2.4801587289394953e-05,
            -0.001388888888887399,
            0.0416666666666666,
        ),
    ),
}


_TAN_TAIL: Final = {
    "wide": (
        0.0020404033559996344,
        -0.0005941841896788635,
        0.004991294766148492,
        0.008332019755950012,
        0.021984525568495682,
        0.0539546480056273,
        0.13333410486544395,
        0.3333333184763992,
    ),
    "f64": (
        9.715967678049108e-06,
        -2.3901892941501e-05,
        4.7887474676032385e-05,
        -2.4740437738433544e-05,
        6.651816675987188e-05,
        8.394397268454668e-05,
        0.00024360112948915993,
        0.0005889064533466521,
        0.0014560372103322326,
        0.0035921020453213276,
        0.008863237811810238,
        0.021869488406097856,
        0.05396825397265712,
        0.13333333333325792,
        0.33333333333333376,
    ),
}
"""T, highest power first."""


def _quarter_turns(x: Value) -> tuple[Value, Value]:
    """(r, n) with x = k·π/2 + r and k in the low bits of the integer n, for 0 ≤ x ≤ LARGEST."""
    c = _CONSTANTS[x.body.format.dtype]
    rounder = x.body.format.rounder
    rounded = fma(x, c.two_over_pi, rounder)
    k = rounded - rounder
    r = x
    for part in c.half_pi:
        r = fma(k, -part, r)
    return r, rounded.bits()


def _wave(r: Value, n: Value, sign: Value) -> Value:
    """sin(r + n·π/2), its sign bit flipped where the top bit of `sign` is set."""
    c = _CONSTANTS[r.body.format.dtype]
    top = r.body.format.bits - 1
    square = r * r
    sine = fma(r * square, horner(square, c.sin_tail), r)
    cosine = horner(square, (*c.cos_tail, -0.5, 1.0))
    odd = ((n & 1) << top) < 0
    half_turn = (n >> 1) << top
    return (select(odd, cosine, sine).bits() ^ half_turn ^ sign).as_real()


def sin(x: Value) -> Value:
    """sin x for |x| ≤ LARGEST: odd, so computed on |x|."""
    r, n = _quarter_turns(absolute(x))
    top = x.body.format.bits - 1
    return _wave(r, n, (x.bits() >> top) << top)


def cos(x: Value) -> Value:
    """cos x for |x| ≤ LARGEST: a sine, a quarter turn on."""
    r, n = _quarter_turns(absolute(x))
    return _wave(r, n + 1, x.body.integer(0))


def tan(x: Value) -> Value:
    """tan x for |x| ≤ LARGEST; the sign is copied."""
    precision = x.body.format.precision
    c = _CONSTANTS["f64"]
    a = absolute(x)
    rounded = fma(a, c.two_over_pi, x.body.format.rounder)
    k = rounded - x.body.format.rounder
    first = fma(k, -c.half_pi[0], a)
    second = k * c.half_pi[1]
    r = first - second
    square = r * r
    cube = r * square
    series = horner(square, _TAN_TAIL[precision])
    odd = ((rounded.bits() & 1) << (x.body.format.bits - 1)) < 0
    if precision == "wide":
        t = fma(cube, series, r)
        result = select(odd, -1.0, t) / select(odd, t, 1.0)
    else:
        # What r lacks (Knuth's two-sum, since either may be the larger), times 1 + tan² r, of which r² will do.
        part = r - first
        lost = (first - (r - part)) - (second + part)
        lost = fma(k, -c.half_pi[2], lost - fma(k, c.half_pi[1], -second))
        small = fma(cube, series, fma(lost, square, lost))
        t = r + small
        low = (r - t) + small
        inverse = -1.0 / t
        inverse = fma(inverse, fma(inverse, low, fma(inverse, t, 1.0)), inverse)
        result = select(odd, inverse, t)
    return (result.bits() ^ (x.bits() & x.body.format.pattern(-0.0))).as_real()
