"""Level 6: erf as vector arithmetic.

    |x| < 1   erf x = x + x·P(x²)
    else      erf x = 1 - e^G(|x| - 1),   G(t) = log erfc(1 + t)

The two-interval form with an exponential of a polynomial is N. Juffa's (2014). P is minimax in the relative
error of erf, G in the absolute error of e^G, so G may be inaccurate where erfc no longer matters; expanded
at the left end it is well conditioned where accuracy is needed.

>>> from graphc_llvm.vector_math.builder import Body
>>> body = Body("erf", "f32", 4, ("x",))
>>> print(body.finish(erf(body.argument(0))).splitlines()[1])
  %t0 = call <4 x float> @llvm.fabs.v4f32(<4 x float> %x)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from graphc_llvm.vector_math.builder import Value, absolute, at_most, copysign, fma, horner, select
from graphc_llvm.vector_math.exponential import exp_normal


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


def erf(x: Value) -> Value:
    """erf x; the sign is copied."""
    c = _CONSTANTS[x.body.format.dtype]
    a = absolute(x)
    near = fma(a, horner(a * a, c.near), a)
    far = 1.0 - exp_normal(horner(at_most(a, c.one) - _SPLIT, c.far))
    return copysign(select(a < _SPLIT, near, far), x)
