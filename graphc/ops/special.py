"""Special functions that NumPy lacks, for the scalar alphabet: f64 in, f64 out."""

from __future__ import annotations

import math

import numpy as np

from graphc.ir.types import Array

_erf = np.frompyfunc(math.erf, 1, 1)
_erfc = np.frompyfunc(math.erfc, 1, 1)


def erf(x: Array) -> Array:
    return np.asarray(_erf(x), np.float64)


def erfc(x: Array) -> Array:
    return np.asarray(_erfc(x), np.float64)


def _log_gamma(x: float) -> float:
    try:
        return math.lgamma(x)
    except (ValueError, OverflowError):
        return math.inf


_lgamma = np.frompyfunc(_log_gamma, 1, 1)

# Bernoulli's numbers B₂, B₄, … over (2k)!, for Euler and Maclaurin's formula.
_BERNOULLI = (
    1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160, -691 / 1307674368000,
    1 / 74724249600, -3617 / 10670622842880000, 43867 / 5109094217170944000,
    -174611 / 802857662698291200000, 77683 / 14101100039391805440000,
    -236364091 / 1693824136731743669452800000,
)  # fmt: skip


def lgamma(x: Array) -> Array:
    """log |Γ(x)|."""
    return np.asarray(_lgamma(x), np.float64)


def digamma(x: Array) -> Array:
    """ψ(x), for x < 0 by reflection: ψ(x) = ψ(1 - x) - π/tan(πx)."""
    with np.errstate(all="ignore"):
        turned = x < 0.5
        y = np.where(turned, 1 - x, x)
        value = np.zeros_like(y)
        for _ in range(12):
            small = y < 12
            value = value - np.where(small, 1 / y, 0)
            y = y + small
        square = 1 / (y * y)
        series = np.zeros_like(y)
        for k in reversed(range(8)):
            series = (series + _BERNOULLI[k] * math.factorial(2 * k + 1)) * square
        value = value + np.log(y) - 0.5 / y - series
        turns = x - np.round(x)
        value = np.where(turned, value - np.pi / np.tan(np.pi * turns), value)
        pole = (x <= 0) & (turns == 0)
        return np.where(
            pole, np.where(x == 0, np.copysign(np.inf, -x), np.nan), np.where(x == np.inf, x, value)
        )


def hurwitz(s: Array, q: Array) -> Array:
    """ζ(s, q) = Σ (q + k)^-s over k ≥ 0, for s > 1 and q > 0: ten terms, then Euler and Maclaurin's formula."""
    total = np.zeros(np.broadcast_shapes(s.shape, q.shape))
    for k in range(10):
        total = total + (q + k) ** -s
    a = q + 10
    power = a**-s
    total = total + a * power / (s - 1) + power / 2
    factor = s * power / a
    for k, coefficient in enumerate(_BERNOULLI):
        total = total + coefficient * factor
        factor = factor * (s + 2 * k + 1) * (s + 2 * k + 2) / (a * a)
    return total


_FACTORIALS = np.array([float(math.factorial(n)) for n in range(171)])


def polygamma(n: Array, x: Array) -> Array:
    """The n-th derivative of ψ: (-1)^(n+1) n! ζ(n+1, x), where n is whole.

    For x < 0, with the fraction f of x, ζ(s, x) = ζ(s, f) ± (ζ(s, 1 - f) - ζ(s, 1 - x)), because the sum over
    all integers is known; plus where s is even.
    """
    n, x = np.broadcast_arrays(n, x)
    with np.errstate(all="ignore"):
        order = np.where((n >= 1) & (n <= 170) & (n == np.floor(n)), n, 1)
        s, odd = order + 1, order % 2 == 1
        f, rest = x - np.floor(x), np.ceil(x) - x
        beyond = hurwitz(s, rest) - hurwitz(s, 1 - x)
        zeta = np.where(
            x > 0, hurwitz(s, np.where(x > 0, x, 1)), hurwitz(s, f) + np.where(odd, beyond, -beyond)
        )
        value = np.where(odd, 1, -1) * _FACTORIALS[order.astype(np.int64)] * zeta
        pole = np.where(odd, np.inf, np.where(x == 0, np.copysign(np.inf, -x), np.nan))
        value = np.where((x <= 0) & (f == 0), pole, value)
        value = np.where(np.isinf(x), np.where(x > 0, 0, np.nan), value)
        value = np.where(n == order, value, np.nan)
        return np.asarray(np.where(n == 0, digamma(x), value))
