"""Level 6: erf, erfc and the normal distribution function as vector arithmetic.

    |x| < 1   erf x = x + x·P(x²)
    else      erf x = 1 - e^G(|x| - 1),   G(t) = log erfc(1 + t)

    |x| < ¾   erfc x = 1 - x - x·N(x²)
    else      erfc |x| = e^(-x²)·H((|x| - 3) / (|x| + 3)) / (1 + 2·|x|),   erfc(-|x|) = 2 - erfc |x|

The two-interval form with an exponential of a polynomial is N. Juffa's (2014). P is minimax in the relative
error of erf, G in the absolute error of e^G, so G may be inaccurate where erfc no longer matters; expanded
at the left end it is well conditioned where accuracy is needed. erfc in f32 is computed in f64; in f64 the
square of x is a sum of two numbers. H is minimax in relative error; the form is that of Shepherd and Laframboise,
"Chebyshev approximation of (1 + 2x) exp(x²) erfc x in 0 ≤ x < ∞" (Math. Comp. 36, 1981).

>>> from graphc_llvm.vector_math.builder import Body
>>> body = Body("erf", "f32", 4, ("x",))
>>> print(body.finish(erf(body.argument(0))).splitlines()[1])
  %t0 = call <4 x float> @llvm.fabs.v4f32(<4 x float> %x)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from graphc_llvm.vector_math.builder import Value, absolute, at_least, at_most, copysign, fma, horner, select
from graphc_llvm.vector_math.exponential import exp_normal, times_exp_of_sum


@dataclass(frozen=True, slots=True)
class _Constants:
    """What erf needs in one format."""

    near: tuple[float, ...]
    """P, highest power first."""
    far: tuple[float, ...]
    """G, highest power first."""
    one: float
    """Above this, erf x rounds to 1."""


_SPLIT: Final = 1.0
_CONSTANTS: Final = {
    "f32": _Constants(
        near=(
            7.89148107287474e-05,
            -0.0008019867818802595,
            0.0051891696639359,
            -0.026854079216718674,
            0.11283586919307709,
            -0.3761262595653534,
            0.12837916612625122,
        ),
        far=(
            -0.0011629884829744697,
            0.00906338356435299,
            -0.041062675416469574,
            -0.8432129621505737,
            -2.638960361480713,
            -1.8496055603027344,
        ),
        one=4.0,
    ),
    "f64": _Constants(
        near=(
            -7.886057895008877e-10,
            1.376717814948179e-08,
            -1.621892373165999e-07,
            1.6448696169277198e-06,
            -1.492482877621941e-05,
            0.00012055298827747496,
            -0.0008548326064552795,
            0.0052239776077039,
            -0.02686617064308667,
            0.11283791670942121,
            -0.3761263890318341,
            0.12837916709551256,
        ),
        far=(
            -4.928935225051238e-12,
            1.2071646790457378e-10,
            -1.332679006690777e-09,
            8.59747721859858e-09,
            -3.369345636601252e-08,
            5.8823183557805526e-08,
            2.0324230179096963e-07,
            -2.1297221313886806e-06,
            9.669078809385055e-06,
            -2.7197233961866425e-05,
            2.6295378971085522e-05,
            0.00023731679889445596,
            -0.0019779013109495875,
            0.010033825195155145,
            -0.041561098026682064,
            -0.8431072563593304,
            -2.6389675142347775,
            -1.8496055099332482,
        ),
        one=6.0,
    ),
}


@dataclass(frozen=True, slots=True)
class _Complement:
    """What erfc needs in one precision."""

    near: tuple[float, ...]
    """N, highest power first."""
    far: tuple[float, ...]
    """H, highest power first."""
    zero: float
    """Above this, erfc x rounds to 0."""


_COMPLEMENT_SPLIT: Final = 0.75
_MINUS_ROOT_HALF: Final = (-0.7071067811865476, 4.833646656726457e-17)
_COMPLEMENT: Final = {
    "wide": _Complement(
        near=(
            9.475110315354251e-05,
            -0.0008357718505716606,
            0.005216839917412258,
            -0.026864786630914867,
            0.11283778840131777,
            -0.37612638456285624,
            0.12837916707008912,
        ),
        far=(
            8.512993819746975e-05,
            -0.00010891079779945112,
            -0.000754422721452283,
            0.0018932551566360238,
            0.0025222579241139568,
            -0.02377185041190358,
            0.06830897295609224,
            -0.11927351624697492,
            0.12964510495249695,
            -0.04756229975329874,
            -0.13562110523540596,
            1.2530080582996743,
        ),
        zero=10.25,
    ),
    "f64": _Complement(
        near=(
            1.1474856606351678e-08,
            -1.5940737306571988e-07,
            1.6430765228620489e-06,
            -1.4924201729574563e-05,
            0.00012055289786886854,
            -0.0008548326194249748,
            0.005223977615504206,
            -0.026866170644435812,
            0.11283791670952628,
            -0.37612638903183715,
            0.1283791670955126,
        ),
        far=(
            -4.558122607549648e-09,
            -1.0376955074749607e-08,
            3.473032602939881e-08,
            9.807771927623873e-08,
            -1.3472623886528751e-07,
            -6.139118914126692e-07,
            3.528247903991677e-07,
            3.4712071857405254e-06,
            -7.300459360640881e-07,
            -2.0100238774757583e-05,
            4.94915007531213e-06,
            0.00012509930003517408,
            -0.00010515975281281031,
            -0.0007798322683382166,
            0.0018886903551912032,
            0.002529391816157952,
            -0.023770514918430803,
            0.06830802734394674,
            -0.11927366341531626,
            0.12964515870276216,
            -0.04756229435345062,
            -0.1356211061245812,
            1.2530080582697296,
        ),
        zero=27.25,
    ),
}


def erf(x: Value) -> Value:
    """erf x; the sign is copied."""
    c = _CONSTANTS[x.body.format.dtype]
    a = absolute(x)
    near = fma(a, horner(a * a, c.near), a)
    far = 1.0 - exp_normal(horner(at_most(a, c.one) - _SPLIT, c.far))
    return copysign(select(a < _SPLIT, near, far), x)


def erfc(x: Value) -> Value:
    """1 - erf x."""
    square = x * x
    far = _tail(absolute(x), square, fma(x, x, -square))
    near = fma(-x, horner(square, _COMPLEMENT[x.body.format.precision].near), 1.0 - x)
    return select(absolute(x) < _COMPLEMENT_SPLIT, near, select(x < 0.0, 2.0 - far, far))


def normal_cdf(x: Value) -> Value:
    """erfc(-x/√2) / 2, where the square of x/√2 is x²/2 with nothing lost."""
    z = x * _MINUS_ROOT_HALF[0]
    square, half = x * x, x * 0.5
    far = _tail(absolute(z), square * 0.5, fma(half, x, square * -0.5)) * 0.5
    near = fma(z * -0.5, horner(square * 0.5, _COMPLEMENT[x.body.format.precision].near), fma(z, -0.5, 0.5))
    if x.body.format.precision == "f64":
        # The slope is between -0.56 and -0.32 here.
        near = near - fma(x, _MINUS_ROOT_HALF[1], fma(x, _MINUS_ROOT_HALF[0], -z)) * 0.45
    return select(absolute(z) < _COMPLEMENT_SPLIT, near, select(z < 0.0, 1.0 - far, far))


def gelu(x: Value) -> Value:
    """x·normal_cdf(x); -0 from where it underflows to -∞."""
    return at_least(x, -40.0) * normal_cdf(x)


def _tail(a: Value, square: Value, rest: Value) -> Value:
    """erfc a for a ≥ ½, a² being the sum of square and rest."""
    c = _COMPLEMENT[a.body.format.precision]
    beyond = a > c.zero
    a, square = at_most(a, c.zero), select(beyond, c.zero**2, square)
    t = (a - 3.0) / (a + 3.0)
    term = t * horner(t, c.far[:-1])
    numerator, denominator = term + c.far[-1], fma(a, 2.0, 1.0)
    ratio = numerator / denominator
    if a.body.format.precision == "wide":
        return exp_normal(-square) * ratio
    lost = term - (numerator - c.far[-1]), 1.0 - (denominator - (a + a))
    missing = (fma(-ratio, denominator, numerator) + fma(-ratio, lost[1], lost[0])) / denominator
    return times_exp_of_sum(ratio, missing, -square, select(beyond, 0.0, -rest))
