"""Level 6: lgamma and digamma as vector arithmetic.

    0 < x < ½ (digamma: 1)    lgamma x = lgamma(x + 1) - log x,   ψ(x) = ψ(x + 1) - 1/x
    to 8, by octaves          lgamma x = (x - 1)·(x - 2)·R(x),    ψ(x) = (x - x₀)·D(x)
    8 and above               lgamma x = (x - ½)·(log x - 1) - ½ + ½ log 2π + S(1/x²)/x
                              ψ(x) = log x - 1/(2x) - E(1/x²)/x²
    x < 0                     lgamma x = log(π / |x·sin πx|) - lgamma(-x),   ψ(x) = ψ(1 - x) - π / tan πx

Each octave a ≤ x < 2a has its own polynomials in 2x/a - 3, chosen lane by lane, coefficient by coefficient. The
zeros 1, 2 and x₀ = 1.46… are factors, so that the relative error is small there too. Below 0 both have a zero
in nearly each unit interval, where terms of the size of lgamma(-x) and ψ(1 - x) cancel: the bound in ulp is then
one of f32 only, which is computed in f64; in f64 the error is a few ulp of those terms.
R, D, S and E are minimax in relative error. The formulas are those of Abramowitz and Stegun, chapter 6.

>>> from graphc_llvm.vector_math.builder import Body
>>> body = Body("lgamma", "f64", 4, ("x",))
>>> print(body.finish(lgamma(body.argument(0))).splitlines()[1])
  %t0 = fcmp olt <4 x double> %x, splat (double 0x3FE0000000000000)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from graphc_llvm.vector_math.builder import Value, absolute, fma, horner, rint, select
from graphc_llvm.vector_math.logarithm import log
from graphc_llvm.vector_math.power import log_pair
from graphc_llvm.vector_math.trigonometric import sin, tan

Octaves = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class _Constants:
    """What lgamma and digamma need in one precision; polynomials have their highest power first."""

    lgamma: Octaves
    """R for the octaves that begin at ½, 1, 2, 4."""
    stirling: tuple[float, ...]
    """S."""
    digamma: Octaves
    """D for the octaves that begin at 1, 2, 4."""
    digamma_tail: tuple[float, ...]
    """E."""


# fmt: off
_CONSTANTS: Final = {
    "wide": _Constants(
        lgamma=(
            (
                -3.220773606087701e-07, 1.0193266642164225e-06, -2.3774895117231542e-06,
                8.001400665983525e-06, -2.806524595366687e-05, 9.585689537751082e-05,
                -0.0003339405850309624, 0.001200199948710057, -0.004514240540017274, 0.018380338913459485,
                -0.08808985022078776, 0.6504990445316189,
            ),
            (
                -2.969581147055134e-07, 9.366980726161903e-07, -2.1627835475949182e-06,
                7.221765981597564e-06, -2.5163781052557916e-05, 8.525586042796414e-05,
                -0.00029452992269204486, 0.001049781649924628, -0.003913563588354052, 0.015727853482511364,
                -0.07297994786048477, 0.48312895049589494,
            ),
            (
                -2.6287989533717716e-07, 8.27650376847081e-07, -1.8975339377706617e-06,
                6.304429510623283e-06, -2.1897903918561472e-05, 7.391476625011289e-05,
                -0.0002543192915879526, 0.0009017682818024086, -0.003332283038063335, 0.013149051241716978,
                -0.058468217792238965, 0.3465735902397672,
            ),
            (
                -2.269630127745003e-07, 7.154979930854059e-07, -1.6373258848200383e-06,
                5.423313593773638e-06, -1.879263803215811e-05, 6.319791957961384e-05,
                -0.00021615962225884992, 0.0007591753821054203, -0.0027610948217912335,
                0.01060020605135498, -0.04482536152121169, 0.23937458710422987,
            ),
        ),
        stirling=(
            0.000780058300794401, -0.0027776989144319302, 0.0833333332653635,
        ),
        digamma=(
            (
                1.2771036186161862e-06, -3.7606234724917006e-06, 7.138242343896168e-06,
                -2.1665689089178493e-05, 7.036180491967956e-05, -0.00021173968281563456,
                0.0006367474351058973, -0.0019347712201774354, 0.005936817633583215, -0.018550652832347518,
                0.060135619765194354, -0.2118137092898494, 0.9510558760434253,
            ),
            (
                6.461153158024238e-07, -1.909763407184585e-06, 3.661749395209193e-06,
                -1.1204270009253234e-05, 3.669288076817852e-05, -0.00011189592101487125,
                0.0003424027404114273, -0.0010634787895862576, 0.003354324258215718, -0.010837941288705032,
                0.03649594446616654, -0.1332010912911371, 0.5998463450008402,
            ),
            (
                3.4482886091610726e-07, -1.0313945109529798e-06, 2.0274235773691756e-06,
                -6.288385684852318e-06, 2.083933376911754e-05, -6.469992942915283e-05,
                0.0002019615749448894, -0.0006405271843939614, 0.0020645269310487946,
                -0.006812518736391112, 0.02334405377213387, -0.08576168425183857, 0.37593199206035344,
            ),
        ),
        digamma_tail=(
            -0.003943677752890938, 0.0039661223997902745, -0.008333326754462361, 0.08333333333015415,
        ),
    ),
    "f64": _Constants(
        lgamma=(
            (
                1.220110098605349e-11, -3.717277182998758e-11, 5.298283191573615e-11,
                -1.7395462398764204e-10, 6.978763431036794e-10, -2.209688736139329e-09,
                6.881130585037039e-09, -2.211494086686114e-08, 7.152076641356742e-08,
                -2.3215550524830478e-07, 7.586317036713841e-07, -2.4992008278206566e-06,
                8.3134508564206e-06, -2.7988594782986315e-05, 9.568996636382013e-05,
                -0.00033396381810473175, 0.0012002398216795424, -0.004514237527719073,
                0.018380335451527237, -0.08808985033300343, 0.6504990445801452,
            ),
            (
                1.160471262875628e-11, -3.536700636194275e-11, 5.016527612936958e-11,
                -1.6380504312457755e-10, 6.568376787957398e-10, -2.0735489803980225e-09,
                6.4300290688322685e-09, -2.057732058583288e-08, 6.62389449464721e-08,
                -2.1388454516428932e-07, 6.948427345272179e-07, -2.274240896957907e-06,
                7.511391874767199e-06, -2.509432986557314e-05, 8.510090373207792e-05,
                -0.0002945507013987995, 0.0010498186644549666, -0.0039135609376317795,
                0.015727850268641087, -0.07297994795715297, 0.4831289505409809,
            ),
            (
                1.0649427586708501e-11, -3.244473172622582e-11, 4.5667954506205316e-11,
                -1.4814965165109964e-10, 5.940307555043881e-10, -1.8686121791475027e-09,
                5.76692060305014e-09, -1.8374665515768655e-08, 5.889072249483734e-08,
                -1.893074416917346e-07, 6.122605374631676e-07, -1.9952382697688037e-06,
                6.562468355923086e-06, -2.1837785995383424e-05, 7.377669402697297e-05,
                -0.00025433699544579006, 0.0009018012625289602, -0.0033322808251455933,
                0.013149048378158276, -0.05846821787072534, 0.34657359027997264,
            ),
            (
                9.375942677787694e-12, -2.8581300421286153e-11, 4.004803521090057e-11,
                -1.29237049611851e-10, 5.184055601610449e-10, -1.6282480675542864e-09,
                5.013763351409876e-09, -1.5945631483181816e-08, 5.102228224343438e-08,
                -1.637539241342807e-07, 5.287807035191836e-07, -1.7203073276817648e-06,
                5.647012075161093e-06, -1.874229910970731e-05, 6.307823281428407e-05,
                -0.00021617417909882658, 0.00075920396722542, -0.002761093046008007, 0.010600203569701793,
                -0.04482536158201196, 0.2393745871391023,
            ),
        ),
        stirling=(
            0.005069340982414358, -0.0018905444715023496, 0.0008414729317476522, -0.0005952366076348791,
            0.0007936507898373588, -0.0027777777777741024, 0.08333333333333333,
        ),
        digamma=(
            (
                -8.41917201852582e-11, 2.478136216135265e-10, -2.803371083278914e-10, 8.66032768139484e-10,
                -3.6982023135650207e-09, 1.1038770338960362e-08, -3.164190450564349e-08,
                9.500728712460004e-08, -2.863062537964927e-07, 8.591338233869579e-07,
                -2.578098755142457e-06, 7.741156265882828e-06, -2.325824105418876e-05,
                6.99502050062405e-05, -0.00021074841165057593, 0.0006368880282937364,
                -0.001935066664834126, 0.0059367952784358125, -0.01855061538173628, 0.060135621060193496,
                -0.2118137106407303, 0.951055876031833,
            ),
            (
                -4.2140673926776974e-11, 1.2404298330196126e-10, -1.404496371019072e-10,
                4.343644040494101e-10, -1.855157413044764e-09, 5.543080671013792e-09,
                -1.5914641615218507e-08, 4.7878412827912726e-08, -1.446501253250695e-07,
                4.3554057511062284e-07, -1.3128794525476148e-06, 3.965609009409732e-06,
                -1.2007979654843316e-05, 3.648531946182581e-05, -0.00011139565597180858,
                0.0003424736941834983, -0.001063627905830396, 0.0033543129644855326, -0.010837922383549536,
                0.03649594512131967, -0.1332010919732337, 0.5998463449949618,
            ),
            (
                -2.139455112854488e-11, 6.321737211281973e-11, -7.261615366108623e-11,
                2.252049633748597e-10, -9.598539912850252e-10, 2.885001712462951e-09,
                -8.347803721385665e-09, 2.5301766246530212e-08, -7.708780211593228e-08,
                2.344044360840923e-07, -7.145478269386122e-07, 2.185910662170141e-06,
                -6.7145279869219025e-06, 2.073171595485929e-05, -6.443483733250174e-05,
                0.00020199808817801236, -0.0006406061713000742, 0.0020645211792226646,
                -0.006812508725204062, 0.023344054100465448, -0.0857616846129523, 0.3759319920575074,
            ),
        ),
        digamma_tail=(
            0.06367684080152324, -0.02070058749225859, 0.007571735441310539, -0.004166645195253184,
            0.003968253913320435, -0.008333333333280473, 0.08333333333333333,
        ),
    ),
}
# fmt: on
LARGE: Final = 8.0
"""The octaves end here."""
_ROOT_MINUS_1: Final = (0.46163214496836225, 9.549995429965697e-17)
"""x₀ - 1 as a sum of two numbers."""


def octave_polynomial(x: Value, shifted: Value, tables: Octaves) -> Value:
    """The polynomial of the octave of x, or of x + 1 where `shifted`; the last of them ends at 8."""
    two, four = x < 2.0, x < 4.0
    scale = select(two, 2.0, select(four, 1.0, 0.5))
    first = (x < 1.0) & ~shifted
    if len(tables) > 3:
        scale = select(first, 4.0, scale)
    t = fma(x, scale, select(shifted, -1.0, -3.0))

    def coefficient(k: int) -> Value:
        *small, c1, c2, c4 = (table[k] for table in tables)
        chosen = select(two, c1, select(four, c2, x.body.real(c4)))
        return select(first, small[0], chosen) if small else chosen

    total = coefficient(0)
    for k in range(1, len(tables[0])):
        total = fma(total, t, coefficient(k))
    return total


def _product(high: Value, low: Value, factor: Value) -> Value:
    """(high + low)·factor, low being of the order of a rounding of high, and lost where f32 is wanted."""
    if high.body.format.precision == "wide":
        return high * factor
    return fma(high, factor, low * factor)


def lgamma(x: Value) -> Value:
    """log Γ(x) for x ≥ 0."""
    c = _CONSTANTS[x.body.format.precision]
    shifted = x < 0.5
    base = select(shifted, x, x - 1.0)
    zeros = base * (base - 1.0)
    middle = _product(zeros, fma(base, base - 1.0, -zeros), octave_polynomial(x, shifted, c.lgamma))
    middle = middle + 0.0  # at 1 it is -0
    reciprocal = 1.0 / x
    tail = fma(reciprocal, horner(reciprocal * reciprocal, c.stirling), math.log(2 * math.pi) / 2 - 0.5)
    d = x - 0.5
    if x.body.format.precision == "wide":
        logarithm = log(x)
        large = fma(d, logarithm - 1.0, tail)
        small = middle - logarithm
    else:
        high, low = log_pair(x)
        head = d * (high - 1.0)
        rest = fma(d, low, fma(d, high - 1.0, -head)) + tail
        large = head + select(head < math.inf, rest, 0.0)
        small = select(x > 0.0, (middle - low) - high, math.inf)
    result = select(shifted, small, select(x < LARGE, middle, large))
    return select(x < math.inf, result, x)


def digamma(x: Value) -> Value:
    """ψ(x) for x ≥ 0, and ∞ at -0."""
    c = _CONSTANTS[x.body.format.precision]
    shifted = x < 1.0
    base = select(shifted, x, x - 1.0)
    zero = base - _ROOT_MINUS_1[0]
    part = zero - base
    lost = (base - (zero - part)) - (part + _ROOT_MINUS_1[0])
    middle = _product(zero, lost - _ROOT_MINUS_1[1], octave_polynomial(x, shifted, c.digamma))
    reciprocal = 1.0 / x
    square = reciprocal * reciprocal
    large = log(x) - fma(square, horner(square, c.digamma_tail), reciprocal * 0.5)
    return select(shifted, middle - reciprocal, select(x < LARGE, middle, large))


def _fraction(a: Value) -> Value:
    """π·(a - the nearest integer)."""
    return (a - rint(a)) * math.pi


def lgamma_reflected(x: Value) -> Value:
    """log |Γ(x)| for every x."""
    a = absolute(x)
    positive, fraction = lgamma(a), _fraction(a)
    reflected = log(math.pi / (a * absolute(sin(fraction)))) - positive
    # At the largest integers the difference is ∞ - ∞.
    reflected = select(fraction.equals(0.0), math.inf, reflected)
    # Where a² would underflow, Γ(-a) is -1/a.
    reflected = select(a < 2.0**-100, positive, reflected)
    return select(x < 0.0, select(a < math.inf, reflected, a), positive)


def digamma_reflected(x: Value) -> Value:
    """ψ(x) for every x; NaN at the negative integers."""
    negative = x < 0.0
    positive = digamma(select(negative, 1.0 - x, x))
    fraction = _fraction(x)
    reflected = select(fraction.equals(0.0), math.nan, positive - math.pi / tan(fraction))
    return select(negative, reflected, positive)
