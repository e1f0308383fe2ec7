"""Level 6: polygamma(n, x), the n-th derivative of digamma, as vector arithmetic.

    n = 1, x > 0   by octaves up to 8: D(x)/x, with ψ'(x) = ψ'(x + 1) + 1/x² below 1;
                   beyond: 1/x + 1/(2x²) + E(1/x²)/x³
    n = 0          digamma
    else, x > 0    (-1)^(n+1)·n!·ζ(n + 1, x), by the sum of Euler and Maclaurin, beyond ten terms if x < 10 + 2s
    else, x < 0    ζ(s, y) + (-1)^s·(ζ(s, 1 - y) - ζ(s, 1 - x)) in place of ζ(s, x), y = x - ⌊x⌋, s = n + 1

The first is the derivative that learners meet (that of digamma, the second of lgamma), and is inlined; a call
serves the lanes that need another. n! is exact up to 22!, and e^lgamma(n + 1) beyond, with an error of some
hundred ulp of f64. ζ is the function of Hurwitz; the formulas are in the Digital Library of Mathematical
Functions, 5.15 and 25.11.

>>> from graphc_llvm.vector_math.builder import Body
>>> body = Body("trigamma", "f64", 4, ("n", "x"))
>>> print(body.finish(trigamma(body.argument(1))).splitlines()[1])
  %t0 = fcmp olt <4 x double> %x, splat (double 0x3FF0000000000000)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from graphc_llvm.vector_math.builder import Body, Value, absolute, copysign, fma, horner, rint, select
from graphc_llvm.vector_math.exponential import exp_of_sum
from graphc_llvm.vector_math.gamma import (
    LARGE,
    Octaves,
    digamma_reflected,
    lgamma,
    octave_polynomial,
)
from graphc_llvm.vector_math.power import log_pair


@dataclass(frozen=True, slots=True)
class _Constants:
    """What trigamma needs in one precision; polynomials have their highest power first."""

    octaves: Octaves
    """D for the octaves that begin at 1, 2, 4."""
    tail: tuple[float, ...]
    """E."""


# fmt: off
_CONSTANTS: Final = {
    "wide": _Constants(
        octaves=(
            (
                1.8936540084248571e-06, -5.453847393109817e-06, 1.0156484859702615e-05,
                -3.0897899721445823e-05, 9.943354737891431e-05, -0.0002935073149851361,
                0.0008586667523451113, -0.0025045543594344934, 0.007222244307206302, -0.020502172055448607,
                0.05700540465486584, -0.15419638093613688, 1.402203300851983,
            ),
            (
                9.1130964637598e-07, -2.5699666481837376e-06, 4.636015669478068e-06,
                -1.3992550472280776e-05, 4.4579642047424715e-05, -0.00012937907078096962,
                0.0003724195771253698, -0.0010714756514092923, 0.0030599359817523944, -0.00866338689618217,
                0.024295295225339807, -0.06740735116052049, 1.1848022005659058,
            ),
            (
                3.957804621217412e-07, -1.099651248787438e-06, 1.941086770950767e-06,
                -5.856536607355257e-06, 1.8664528574251527e-05, -5.408900488253671e-05,
                0.0001560183170494355, -0.0004517029857901145, 0.0013042076656290457,
                -0.0037542294327324506, 0.010775008437708707, -0.03083087505287502, 1.0879377344330783,
            ),
        ),
        tail=(
            -0.031129028522017436, 0.02378854024610262, -0.0333332687257942, 0.1666666666355087,
        ),
    ),
    "f64": _Constants(
        octaves=(
            (
                -1.2542199786112604e-10, 3.621935562823956e-10, -3.97136282951501e-10,
                1.2649667941206143e-09, -5.429856479252568e-09, 1.61180100080176e-08,
                -4.613445808241587e-08, 1.384953647036571e-07, -4.1677706393631794e-07,
                1.2477354322155988e-06, -3.7312597812821393e-06, 1.114487810845551e-05,
                -3.321854632147329e-05, 9.871068603591225e-05, -0.00029206246791052087,
                0.0008589352310016229, -0.0025049850763462955, 0.007222196867335145, -0.020502117458189986,
                0.05700540781687224, -0.15419638290340043, 1.402203300817019,
            ),
            (
                -6.294839327969577e-11, 1.796813870031376e-10, -1.920084290835955e-10,
                6.199280506933885e-10, -2.6707505078200384e-09, 7.867914382891325e-09,
                -2.2357445861949465e-08, 6.667366513303274e-08, -1.9900373799941372e-07,
                5.899045121900541e-07, -1.7440171898891315e-06, 5.142039884148424e-06,
                -1.5106982115830074e-05, 4.419835394773719e-05, -0.0001286844389499081,
                0.00037256586384065607, -0.00107168295249022, 0.0030599091933512824, -0.008663360587019407,
                0.02429529708105279, -0.06740735210933933, 1.1848022005446792,
            ),
            (
                -2.960019461011193e-11, 8.338642710217827e-11, -8.516896248423093e-11,
                2.7634869392103224e-10, -1.202462366269327e-09, 3.502569196081684e-09,
                -9.830657630792695e-09, 2.9057301210299345e-08, -8.597799533695328e-08,
                2.526584470457848e-07, -7.410479568824629e-07, 2.169973008744916e-06,
                -6.341131630453465e-06, 1.8489427512843667e-05, -5.378669247082828e-05,
                0.00015608655159416989, -0.00045179326713952944, 0.0013041949648942568,
                -0.003754217965879422, 0.0107750093326018, -0.030830875467143342, 1.087937734422692,
            ),
        ),
        tail=(
            0.8596292826161924, -0.24704163077151522, 0.07569559224960677, -0.03333300339157449,
            0.02380952296712628, -0.033333333332524084, 0.16666666666666655,
        ),
    ),
}
# fmt: on

_TERMS: Final = 10
_LARGEST_EXACT: Final = 22
_ORDERS: Final = 171.0
"""n! is within f64 below."""
_BERNOULLI: Final = (
    -3617 / 10670622842880000,
    1 / 74724249600,
    -691 / 1307674368000,
    1 / 47900160,
    -1 / 1209600,
    1 / 30240,
    -1 / 720,
    1 / 12,
)
"""B(2j) / (2j)!, j = 8 to 1."""


def trigamma(x: Value) -> Value:
    """ψ'(x) for x ≥ 0."""
    c = _CONSTANTS[x.body.format.precision]
    shifted = x < 1.0
    polynomial = octave_polynomial(x, shifted, c.octaves)
    reciprocal = 1.0 / x
    square = reciprocal * reciprocal
    middle = select(shifted, polynomial / (x + 1.0) + square, polynomial * reciprocal)
    large = reciprocal + fma(square * reciprocal, horner(square, c.tail), square * 0.5)
    return select(x < LARGE, middle, large)


def _is_even(s: Value) -> Value:
    half = s * 0.5
    return rint(half).equals(half)


def _inverse_power(a: Value, s: Value, scale: Value) -> Value:
    """e^scale / a^s for 0 < a < ∞: the exponent is a sum of two numbers."""
    high, low = log_pair(a)
    exponent = -(s * high)
    low = -fma(s, low, fma(s, high, exponent))
    total = exponent + scale
    part = total - exponent
    return exp_of_sum(total, low + ((exponent - (total - part)) + (scale - part)))


def scaled_zeta(body: Body) -> Value:
    """(s - 1)!·ζ(s, x) of the two arguments, x ≥ 0 or -0; a function of its own, because it is long."""
    s, x = body.argument(0), body.argument(1)
    factorial = body.real(1.0)
    for k in range(2, _LARGEST_EXACT + 1):
        factorial = factorial * select(s > k, float(k), 1.0)
    large = s > _LARGEST_EXACT + 1.0
    factorial = select(large, 1.0, factorial)
    scale = select(large, lgamma(s), 0.0)
    first = select(x.equals(0.0), copysign(body.real(math.inf), x), _inverse_power(absolute(x), s, scale))
    first = select(_is_even(s), absolute(first), first)
    few = x < fma(s, 2.0, float(_TERMS))
    y = select(few, x + float(_TERMS), x)
    reciprocal = 1.0 / y
    square = reciprocal * reciprocal
    series = body.real(_BERNOULLI[0])
    for j, b in zip(range(len(_BERNOULLI) - 1, 0, -1), _BERNOULLI[1:], strict=True):
        series = fma(series, (s + (2.0 * j - 1.0)) * (s + 2.0 * j) * square, b)
    bracket = fma(s * reciprocal, series, y / (s - 1.0) + 0.5)
    total = _inverse_power(y, s, scale) * bracket
    for k in range(_TERMS - 1, 0, -1):  # the smallest first
        total = total + select(few, _inverse_power(x + float(k), s, scale), 0.0)
    total = select(few, total + first, total)
    return factorial * select(x.equals(math.inf), 0.0, total)


def polygamma(n: Value, x: Value, zeta: str) -> Value:
    """polygamma(n, x) for every n and x; `zeta` names the function of `scaled_zeta`."""
    body = x.body
    real = body.type("real")

    def hurwitz(at: Value) -> Value:
        return body.append("real", f"call {real} @{zeta}({real} {s.name}, {real} {at.name})")

    s = n + 1.0
    negative = x < 0.0
    floor = body.intrinsic("floor", x)
    fraction = x - floor
    forward = hurwitz(select(negative, fraction, x))
    back = hurwitz(select(negative, (floor + 1.0) - x, 1.0)) - hurwitz(select(negative, 1.0 - x, 1.0))
    even = _is_even(s)
    both = select(even, forward + back, forward - back)
    # At a negative integer, an odd derivative has a pole of two signs.
    pole = negative & fraction.equals(0.0) & ~even
    value = select(pole, math.nan, select(negative, both, forward))
    value = select(even, value, -value)
    value = select(n.equals(0.0), digamma_reflected(x), value)
    return select(n.equals(rint(n)) & (n > -0.5) & (n < _ORDERS), value, math.nan)
