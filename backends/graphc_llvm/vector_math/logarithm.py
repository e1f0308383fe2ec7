"""Level 6: log and log1p as vector arithmetic.

    x = 2^e·(1 + f), 1 + f near 1;   log x = e·ln 2 + log(1 + f)

    f32   log(1 + f) = f + f²·P(f), 2/3 ≤ 1 + f < 4/3                         no division
    wide  the same, with a longer P
    f64   s = f / (2 + f);  log(1 + f) = f - (f²/2 - s·(f²/2 + s²·R(s²))),    √½ ≤ 1 + f < √2

The f64 form is that of fdlibm's e_log.c (Ng, Sun Microsystems, 1993), which loses no bit of f; Tang,
"Table-driven implementation of the logarithm function" (ACM TOMS 16, 1990), explains why. log1p splits 1 + x
and never forms it: f = x·2^-e + (2^-e - 1), rounded once (the idea is N. Juffa's). P and R are minimax (Remez
exchange on the relative error of the logarithm).

>>> from graphc_llvm.vector_math.builder import Body
>>> body = Body("log", "f64", 1, ("x",))
>>> print(body.finish(log(body.argument(0))).splitlines()[1])
  %t0 = fcmp olt double %x, 0x0010000000000000
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from graphc_llvm.vector_math.builder import Value, copysign, fma, horner, select


@dataclass(frozen=True, slots=True)
class _Constants:
    """What log and log1p need in one format."""

    lowest: float
    """1 + f lies in [lowest, 2·lowest)."""
    ln2_high: float
    ln2_low: float
    smallest_normal: float
    tail: tuple[float, ...]
    """P (f32, wide) or R (f64), highest power first."""


_CONSTANTS: Final = {
    "f32": _Constants(
        lowest=0.6666666865348816,
        ln2_high=0.6931471824645996,
        ln2_low=-1.9046542121259336e-09,
        smallest_normal=2.0**-126,
        tail=(
            -0.12466887384653091,
            0.140655979514122,
            -0.12275029718875885,
            0.139893040060997,
            -0.16674458980560303,
            0.2001143842935562,
            -0.24999919533729553,
            0.33333197236061096,
            -0.5,
        ),
    ),
    "wide": _Constants(
        lowest=0.6666666666666666,
        ln2_high=0.6931471805599453,
        ln2_low=0.0,
        smallest_normal=2.0**-1022,
        tail=(
            0.11193404309511017,
            -0.11495324789486419,
            0.08475485241565416,
            -0.09534072862747048,
            0.11162926989709467,
            -0.12531785870931902,
            0.1428350988327251,
            -0.1666563247141947,
            0.20000043672627157,
            -0.2500001413009703,
            0.3333333303688499,
            -0.4999999994746287,
        ),
    ),
    "f64": _Constants(
        lowest=0.7071067811865476,
        ln2_high=0.6931471805599453,
        ln2_low=2.3190468138462996e-17,
        smallest_normal=2.0**-1022,
        tail=(
            0.14797507092803597,
            0.15313903316623886,
            0.18183569736607616,
            0.22222198476061664,
            0.2857142874326172,
            0.399999999994111,
            0.6666666666666735,
        ),
    ),
}


def _exponent(x: Value) -> Value:
    """The integer e with x·2^-e in [lowest, 2·lowest), for positive normal x."""
    fmt = x.body.format
    return (x.bits() - fmt.pattern(_CONSTANTS[fmt.precision].lowest)).shift_signed(fmt.mantissa)


def _scaled_down(x: Value, e: Value) -> Value:
    """x·2^-e by subtraction from the exponent field."""
    return (x.bits() - (e << x.body.format.mantissa)).as_real()


def as_real(e: Value) -> Value:
    """A small integer as a real: placed in the low bits of 1.5·2^mantissa, which is then subtracted."""
    fmt = e.body.format
    return (e + fmt.pattern(fmt.rounder)).as_real() - fmt.rounder


def _sum(e: Value, f: Value) -> Value:
    """e·ln 2 + log(1 + f)."""
    c = _CONSTANTS[f.body.format.precision]
    if f.body.format.precision != "f64":
        # The low part of ln 2 is 3e-9 of the high one in f32: left out, it costs 0.03 ulp.
        return fma(e, c.ln2_high, fma(f * f, horner(f, c.tail), f))
    s = f / (f + 2.0)
    square = s * s
    half = f * f * 0.5
    inner = fma(s, fma(square, horner(square, c.tail), half), e * c.ln2_low)
    return fma(e, c.ln2_high, f - (half - inner))


def _with_edges(result: Value, x: Value, pole: float) -> Value:
    """`result` inside the domain; -inf at the pole, NaN below it, and x itself for +inf and NaN."""
    result = select(x < math.inf, result, x)
    return select(x <= pole, select(x.equals(pole), -math.inf, math.nan), result)


def split(x: Value) -> tuple[Value, Value]:
    """(e, f) with x = 2^e·(1 + f), for positive finite x; e is an integer."""
    fmt = x.body.format
    # A subnormal is scaled up first: its exponent field says nothing.
    shift = fmt.mantissa + 2
    subnormal = x < _CONSTANTS[fmt.precision].smallest_normal
    normal = select(subnormal, x * 2.0**shift, x)
    e = _exponent(normal)
    f = _scaled_down(normal, e) - 1.0
    return select(subnormal, e - shift, e), f


def log(x: Value) -> Value:
    """ln x."""
    e, f = split(x)
    return _with_edges(_sum(as_real(e), f), x, pole=0.0)


def log1p(x: Value) -> Value:
    """ln(1 + x); the result has the sign of x, which also keeps -0."""
    fmt = x.body.format
    e = _exponent(x + 1.0)
    # 4·2^-e is normal for every e that occurs, 2^-e is not.
    four = ((fmt.bias + 2 - e) << fmt.mantissa).as_real()
    f = _scaled_down(x, e) + fma(four, 0.25, -1.0)
    return copysign(_with_edges(_sum(as_real(e), f), x, pole=-1.0), x)
