"""Level 6: exp, expm1, tanh, sigmoid and silu as vector arithmetic.

    exp     x = k·ln 2 + r, |r| ≤ ½ ln 2;   e^x = 2^k · e^r
    expm1   the same reduction;             e^x - 1 = 2^k·(e^r - 1) + (2^k - 1)
    tanh    |x| < 1 (f64: 5/8): x + x³·P(x²); else 1 - 2 / (e^2|x| + 1)
    sigmoid 1 / (1 + e^-x), the divisor as a head and a rest;   silu x·sigmoid x

Reduction by k·ln 2 in two parts: Cody & Waite, Software Manual for the Elementary Functions (1980), ch. 6;
with a fused multiply-add the first step is exact even for a full-width high part. k is found by adding
1.5·2^mantissa, which rounds to an integer and leaves k in the low bits of the sum, where shifts turn it into
a power of two. P and the polynomial for e^r are minimax (Remez exchange, weighted by the relative error of
the result; f32 coefficients rounded one after the other, the rest refitted).

>>> from graphc_llvm.vector_math.builder import Body
>>> body = Body("exp", "f32", 1, ("x",))
>>> print(body.finish(exp(body.argument(0))).splitlines()[1])
  %t0 = fcmp ogt float %x, 0x4056400000000000
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from graphc_llvm.vector_math.builder import (
    Value,
    absolute,
    at_least,
    at_most,
    copysign,
    fma,
    horner,
    select,
)


@dataclass(frozen=True, slots=True)
class _Exponential:
    """What e^x needs in one precision."""

    log2_e: float
    ln2_high: float
    ln2_low: float
    exp_tail: tuple[float, ...]
    """Q with e^r = 1 + r + r²·Q(r) on |r| ≤ ½ ln 2, highest power first."""


@dataclass(frozen=True, slots=True)
class _Constants(_Exponential):
    """What exp, expm1 and tanh need in one format."""

    overflow: float
    """Above this, e^x rounds to infinity; clamping here keeps k in range."""
    underflow: float
    """Below this, e^x rounds to zero."""
    minus_one: float
    """Below this, e^x - 1 rounds to -1."""
    tanh_split: float
    """The odd polynomial serves |x| below this."""
    tanh_tail: tuple[float, ...]
    """P with tanh x = x + x³·P(x²), highest power first."""
    tanh_one: float
    """Above this, tanh x rounds to 1."""
    silu_zero: float
    """Below this, x·e^x rounds to zero."""


_CONSTANTS: Final = {
    "f32": _Constants(
        log2_e=1.4426950216293335,
        ln2_high=0.6931471824645996,
        ln2_low=-1.9046542121259336e-09,
        exp_tail=(
            0.0013839142629876733,
            0.008369208313524723,
            0.04166810214519501,
            0.16666516661643982,
            0.4999999403953552,
        ),
        overflow=89.0,
        underflow=-104.0,
        minus_one=-18.0,
        tanh_split=1.0,
        tanh_tail=(
            -0.0003583284851629287,
            0.002301054075360298,
            -0.007945857010781765,
            0.021486617624759674,
            -0.053879838436841965,
            0.13332346081733704,
            -0.33333295583724976,
        ),
        tanh_one=9.25,
        silu_zero=-110.5,
    ),
    "f64": _Constants(
        log2_e=1.4426950408889634,
        ln2_high=0.6931471805599453,
        ln2_low=2.3190468138462996e-17,
        exp_tail=(
            2.500785191372674e-08,
            2.762980504375197e-07,
            2.7557545806885827e-06,
            2.4801494181115634e-05,
            0.0001984126957604296,
            0.0013888888942860847,
            0.008333333333446302,
            0.04166666666653107,
            0.1666666666666653,
            0.5000000000000011,
        ),
        overflow=710.0,
        underflow=-746.0,
        minus_one=-40.0,
        tanh_split=0.625,
        tanh_tail=(
            6.049751927085135e-06,
            -3.020509618518721e-05,
            9.15776949965923e-05,
            -0.00023702373272832785,
            0.0005894565591182269,
            -0.0014557272022794117,
            0.0035921142220613073,
            -0.008863234338771816,
            0.02186948847070191,
            -0.05396825396614951,
            0.1333333333332996,
            -0.33333333333333315,
        ),
        tanh_one=19.5,
        silu_zero=-753.0,
    ),
}


_WIDE: Final = _Exponential(
    log2_e=1.4426950408889634,
    ln2_high=0.6931471805599453,
    ln2_low=0.0,
    exp_tail=(
        0.00019918458444440342,
        0.0013946072308648884,
        0.008333264216717066,
        0.041666269966243036,
        0.166666668613033,
        0.5000000077889764,
    ),
)


def _constants(x: Value) -> _Exponential:
    return _WIDE if x.body.format.precision == "wide" else _CONSTANTS[x.body.format.dtype]


def _reduce(x: Value, offset: int) -> tuple[Value, Value, Value]:
    """(r, k, n): x = k·ln 2 + r, |r| ≤ ½ ln 2, but for k·ln2_low; k + offset ≥ 0 is in the low bits of n."""
    c = _constants(x)
    rounder = x.body.format.rounder + offset
    rounded = fma(x, c.log2_e, rounder)
    k = rounded - rounder
    return fma(k, -c.ln2_high, x), k, rounded.bits()


def _power_of_two(n: Value) -> Value:
    """2^(n - bias): the low bits of n become the exponent field."""
    return (n << n.body.format.mantissa).as_real()


def exp(x: Value) -> Value:
    """e^x, scaled in two steps, so that overflow and subnormal results are rounded once, at the end."""
    return exp_of_sum(x, None)


def exp_of_sum(x: Value, low: Value | None) -> Value:
    """e^(x + low), where low is of the order of a rounding of x."""
    r, first, second = _reduce_scaled(x, low)
    return horner(r, (*_CONSTANTS[x.body.format.dtype].exp_tail, 1.0, 1.0)) * first * second


def times_exp_of_sum(factor: Value, rest: Value, x: Value, low: Value) -> Value:
    """(factor + rest)·e^(x + low), rounded little more than once; rest is of the order of a rounding."""
    r, first, second = _reduce_scaled(x, low)
    p = r * horner(r, (*_CONSTANTS[x.body.format.dtype].exp_tail, 1.0))
    e_r = p + 1.0
    lost = p - (e_r - 1.0)
    return fma(e_r, factor, fma(lost, factor, e_r * rest)) * first * second


def _reduce_scaled(x: Value, low: Value | None) -> tuple[Value, Value, Value]:
    """(r, a, b) with e^(x + low) = e^r·a·b; a and b are powers of two within the format."""
    c = _CONSTANTS[x.body.format.dtype]
    x = at_least(at_most(x, c.overflow), c.underflow)
    r, k, n = _reduce(x, 2 * x.body.format.bias)
    half = n >> 1
    return fma(k, -c.ln2_low, r if low is None else r + low), _power_of_two(half), _power_of_two(n - half)


def exp_normal(x: Value) -> Value:
    """e^x for x whose result is a normal number, or a NaN: one scaling, no clamping."""
    c = _constants(x)
    r, k, n = _reduce(x, x.body.format.bias)
    if c.ln2_low:
        r = fma(k, -c.ln2_low, r)
    return horner(r, (*c.exp_tail, 1.0, 1.0)) * _power_of_two(n)


def half_exp(x: Value) -> Value:
    """e^x / 2 for x ≥ 0, which overflows only where cosh x does; as f64, also where f32 is wanted."""
    if x.body.format.precision == "wide":
        return exp_normal(at_most(x, 128.0) - math.log(2))
    c = _CONSTANTS[x.body.format.dtype]
    r, k, n = _reduce(at_most(x, c.overflow + 1.0), x.body.format.bias)
    # 2^(k-1) in two steps: k reaches 1025.
    return horner(fma(k, -c.ln2_low, r), (*c.exp_tail, 1.0, 1.0)) * _power_of_two(n - 2) * 2.0


def expm1(x: Value) -> Value:
    """e^x - 1: the head 2^k·r + (2^k - 1) as an exact sum (Dekker's fast two-sum), the tail added last.

    Everything is halved until the end, because 2^k itself overflows for the largest results.
    """
    c = _CONSTANTS[x.body.format.dtype]
    clamped = at_least(at_most(x, c.overflow), c.minus_one)
    exact, k, n = _reduce(clamped, x.body.format.bias - 1)
    r = fma(k, -c.ln2_low, exact)
    lost = fma(k, -c.ln2_low, exact - r)
    scale = _power_of_two(n)
    whole = scale - 0.5
    head = fma(scale, r, whole)
    error = fma(scale, r, whole - head)
    half = head + fma(scale, fma(r * r, horner(r, c.exp_tail), lost), error)
    # Below 2^-54 (2^-25 in f32) the result is x: this keeps -0, and subnormals, whose half is inexact.
    tiny = absolute(x) < 2.0 ** (-2 - x.body.format.mantissa)
    return select(tiny, x, half + half)


def tanh(x: Value) -> Value:
    """tanh x: an odd polynomial near 0, 1 - 2 / (e^2|x| + 1) elsewhere; the sign is copied.

    Both have the form y + y·z·P(z), with other coefficients: one polynomial, of chosen coefficients, serves both.
    """
    c = _CONSTANTS[x.body.format.dtype]
    a = absolute(x)
    near = a < c.tanh_split
    clamped = at_most(a, c.tanh_one)
    r, k, n = _reduce(clamped + clamped, x.body.format.bias)
    if x.body.format.dtype == "f64":
        # In f32 the low part of ln 2 is 3e-9 of the high one, and where k is large the quotient is small beside 1.
        r = fma(k, -c.ln2_low, r)
    y, z = select(near, a, r), select(near, a * a, r)
    missing = (0.0,) * (len(c.tanh_tail) - len(c.exp_tail))
    coefficients = [select(near, *both) for both in zip(c.tanh_tail, (*missing, *c.exp_tail), strict=True)]
    y = fma(y * z, horner(z, coefficients), y)
    scale = _power_of_two(n)
    # e^2|x| + 1 as 2^k·(e^r - 1) + (2^k + 1): one rounding fewer than a finished exponential.
    return copysign(select(near, y, 1.0 - 2.0 / fma(scale, y, scale + 1.0)), x)


def sigmoid(x: Value) -> Value:
    """1 / (1 + e^-x)."""
    return _logistic(x) * _unit(x)


def silu(x: Value) -> Value:
    """x / (1 + e^-x); -0 from where it underflows to -∞."""
    quotient, unit, negative = _logistic(x), _unit(x), x < 0.0
    # The product comes first where the quotient may be subnormal after it, and last where it may overflow.
    least = at_least(x, _CONSTANTS[x.body.format.dtype].silu_zero)
    first = least * select(negative, quotient, quotient * unit)
    return first * select(negative, unit, 1.0)


def _unit(x: Value) -> float:
    """What stands for 1 in the quotient of a logistic function, so that its divisor does not overflow."""
    return 2.0**-x.body.format.bits


def _logistic(x: Value) -> Value:
    """1 / (unit·(1 + e^-x)), rounded little more than once.

    The divisor is (S + 1) + S·p, where e^-x = S·(1 + p) and S is a power of two: a head, and the exact rest of its
    two roundings (Dekker's fast two-sum), which one step of Newton's brings into the quotient.
    """
    c, one = _CONSTANTS[x.body.format.dtype], _unit(x)
    clamped = at_least(at_most(-x, -c.silu_zero), c.minus_one)
    r, k, n = _reduce(clamped, x.body.format.bias - x.body.format.bits)
    r = fma(k, -c.ln2_low, r)
    p = fma(r * r, horner(r, c.exp_tail), r)
    scale = _power_of_two(n)
    whole = scale + one
    larger, smaller = at_least(scale, one), at_most(scale, one)
    head = fma(scale, p, whole)
    rest = fma(scale, p, whole - head) + (smaller - (whole - larger))
    quotient = 1.0 / head
    return fma(fma(-quotient, rest, fma(-quotient, head, 1.0)), quotient, quotient)
