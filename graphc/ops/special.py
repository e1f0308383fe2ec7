"""Special functions that NumPy lacks, for the scalar alphabet: f64 in, f64 out, to a few units in the last place.

| function    | where                | how                                                                     |
|-------------|----------------------|-------------------------------------------------------------------------|
| erf, erfc   | abs(x) < 1, x < 1/2  | x times a polynomial in x²                                              |
|             | beyond               | exp(-x²)/(1 + 2x) times a polynomial in (4 - x)/(3 + x) (Schonfelder,   |
|             |                      | Math. Comp. 32, 1978), with the square's rounding error carried along   |
| lgamma,     | 1 to 2               | the zeros divided out, a polynomial for the rest                        |
| digamma     | 0 to 10, above       | shifted by Γ(x+1) = xΓ(x); Stirling's series                            |
|             | below 0              | reflected: Γ(x)Γ(-x) = -π/(x sin(πx))                                   |
| polygamma   | everywhere           | Hurwitz's zeta function by Euler and Maclaurin's formula                |

The polynomials are Chebyshev series, computed at 60 digits.

>>> erfc(np.array([-1.0, 0.0, 20.0]))
array([1.84270079e+000, 1.00000000e+000, 5.39586561e-176])
>>> lgamma(np.array([1.0, 5.0])) == np.log([1.0, 24.0])
array([ True,  True])
>>> print(polygamma(np.array(1.0), np.array(1.0)) * 6 / np.pi**2)
1.0
"""

from __future__ import annotations

import math

import numpy as np
from numpy.polynomial.chebyshev import chebval

from graphc.ir.types import Array

_ERF = (
    0.9754769393826541, -0.14226120510371365, 0.010035582187599796, -0.0005768764699767485,
    2.741993125219606e-05, -1.1043175507344507e-06, 3.8488755420345036e-08, -1.1808582533875466e-09,
    3.2334215826050907e-11, -7.991015947004549e-13, 1.7990725113961456e-14, -3.718635487818693e-16,
    7.103599003714253e-18,
)  # fmt: skip

_ERFCX = (
    1.2131177209271748, 0.07225473646563542, -0.02632189276459184, -0.019186588533428105,
    -0.006682350310928109, -0.0015522847050575518, -0.00023571658348154882, -1.569056220513523e-05,
    2.153875719667185e-06, 6.012574627859247e-07, 1.385495032374979e-08, -1.357581448499643e-08,
    -1.3070972098076015e-09, 3.0637332755619243e-10, 5.062873791725768e-11, -8.05023018768314e-12,
    -1.7498748421933538e-12, 2.636575045585675e-13, 5.909950592520713e-14, -1.0548913124184909e-14,
    -1.9235551886722806e-15, 4.764184661347861e-16, 5.501720976094785e-17, -2.2404248972579622e-17,
)  # fmt: skip

_LGAMMA = (
    0.49141539302938714, -0.07611416167043585, 0.008432324965932778, -0.001079493726328608,
    0.00014900748003692963, -2.1512399888556784e-05, 3.1979329860862186e-06, -4.851693012139927e-07,
    7.47148782116316e-08, -1.1638296700170518e-08, 1.829400437118668e-09, -2.8969180607129607e-10,
    4.61570140620909e-11, -7.392810230497983e-12, 1.1894280008333085e-12, -1.9212068676522805e-13,
    3.113975526387164e-14, -5.0628432984486114e-15, 8.254150281631144e-16, -1.3490578987574844e-16,
    2.209876116782623e-17, -3.6274129549239766e-18,
)  # fmt: skip

_DIGAMMA = (
    0.983570260441567, -0.2270640863346444, 0.03336889902393011, -0.005320077271596548,
    0.0008788656937820505, -0.00014773492650606044, 2.5060543468359146e-05, -4.2721034029993324e-06,
    7.302769272465923e-07, -1.2502886813559594e-07, 2.1425009322359472e-08, -3.673295918565179e-09,
    6.299717236108931e-10, -1.080593028883266e-10, 1.853735192053638e-11, -3.18023536582553e-12,
    5.456147570322795e-13, -9.360993131036438e-14, 1.606064636295075e-14, -2.7555431377438815e-15,
    4.727736178601912e-16, -8.11148420346509e-17, 1.391707769474154e-17,
)  # fmt: skip

_ZERO = 0.46163214496836236, -1.5522348162858677e-17
"""The zero of ψ less 1, in two parts."""

# Bernoulli's numbers B₂, B₄, … over 2!, 4!, …, for the formulas of Stirling and of Euler and Maclaurin.
_BERNOULLI = (
    1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160, -691 / 1307674368000,
    1 / 74724249600, -3617 / 10670622842880000, 43867 / 5109094217170944000,
    -174611 / 802857662698291200000, 77683 / 14101100039391805440000,
    -236364091 / 1693824136731743669452800000,
)  # fmt: skip
_STIRLING = tuple(b * math.factorial(2 * k) for k, b in enumerate(_BERNOULLI[:8]))
_ASYMPTOTIC = tuple(b * math.factorial(2 * k + 1) for k, b in enumerate(_BERNOULLI[:8]))
_FACTORIALS = np.array([float(math.factorial(n)) for n in range(171)])


def sigmoid(x: Array) -> Array:
    """1/(1 + exp(-x)), by exponentials that never overflow."""
    e = np.exp(-np.abs(x))
    return np.asarray(np.where(x < 0, e, 1) / (1 + e))


def silu(x: Array) -> Array:
    """x·sigmoid(x); -0 from where it underflows to -∞."""
    return np.asarray(np.maximum(x, -760) * sigmoid(x))


def erf(x: Array) -> Array:
    """2/√π ∫₀ˣ exp(-t²) dt."""
    size = np.abs(x)
    with np.errstate(all="ignore"):
        inner = np.minimum(size, 1)
        small: Array = x * chebval(2 * inner * inner - 1, _ERF)
        outer = np.maximum(size, 1)
        return np.where(size < 1, small, np.copysign(1 - _gaussian(outer, 1) * _tail(outer), x))


def erfc(x: Array) -> Array:
    """1 - erf(x), with its own digits where erf is nearly 1."""
    with np.errstate(all="ignore"):
        outer = np.maximum(x, 0.5)
        return np.asarray(np.where(x < 0.5, 1 - erf(np.minimum(x, 0.5)), _gaussian(outer, 1) * _tail(outer)))


def normal_cdf(x: Array) -> Array:
    """erfc(-x/√2)/2, where the rounding of x/√2 is not squared."""
    with np.errstate(all="ignore"):
        z = x * -math.sqrt(0.5)
        tail = _gaussian(np.maximum(-x, 0.5), 0.5) * (_tail(np.maximum(z, 0.5)) / 2)
        return np.asarray(np.where(z < 0.5, (1 - erf(np.minimum(z, 0.5))) / 2, tail))


def gelu(x: Array) -> Array:
    """x·normal_cdf(x); -0 from where it underflows to -∞."""
    return np.asarray(np.maximum(x, -40) * normal_cdf(x))


def _gaussian(x: Array, c: float) -> Array:
    """exp(-c·x²) for x > 0 and c a power of two."""
    x = np.minimum(x, 50)
    # exp(-x²) = exp(-h²) exp((h - x)(h + x)), where h has so few bits that h² is exact.
    h = x.astype(np.float32).astype(np.float64)
    return np.asarray(np.exp(-c * h * h) * np.exp(c * (h - x) * (h + x)))


def _tail(x: Array) -> Array:
    """exp(x²)·erfc(x) for x >= 1/2."""
    x = np.minimum(x, 50)
    return np.asarray(chebval((4 - x) / (3 + x), _ERFCX) / (1 + 2 * x))


def lgamma(x: Array) -> Array:
    """log |Γ(x)|."""
    with np.errstate(all="ignore"):
        turns = x - np.round(x)
        sine = np.abs(x * np.sin(np.pi * turns))
        mirrored = np.where(x > -1e-17, -np.log(-x), np.log(np.pi / sine) - _lgamma(-x))
        value = np.where(x < 0, mirrored, _lgamma(x))
        pole = np.isinf(x) | ((x <= 0) & (turns == 0))
        return np.where(pole, np.inf, value)


def _lgamma(x: Array) -> Array:
    """log Γ(x) for x > 0: Γ(x) = (x - 1)(x - 2)…Γ(1 + u), with u from 0 to 1."""
    product, u = np.ones_like(x), x - 1
    for _ in range(8):
        above = u > 1
        product, u = np.where(above, product * u, product), np.where(above, u - 1, u)
    u = np.where(x < 1, x, u)
    near: Array = u * (u - 1) * chebval(2 * np.minimum(u, 1) - 1, _LGAMMA)
    shift = np.where(x < 1, -np.where(x < 0.5, np.log(x), np.log1p(x - 1)), np.log(product))
    y = np.maximum(x, 10)
    stirling = (y - 0.5) * (np.log(y) - 1) + 0.41893853320467274 + _series(1 / (y * y), _STIRLING) / y
    return np.where(x < 10, near + shift, stirling)


def _series(square: Array, coefficients: tuple[float, ...]) -> Array:
    """c₀ + c₁ s + c₂ s² + …"""
    total = np.zeros_like(square)
    for c in reversed(coefficients):
        total = total * square + c
    return total


def digamma(x: Array) -> Array:
    """ψ(x) = Γ'(x)/Γ(x)."""
    with np.errstate(all="ignore"):
        turns = x - np.round(x)
        mirrored = np.where(x > -1e-17, -1 / x, _digamma(-x) - 1 / x - np.pi / np.tan(np.pi * turns))
        value = np.where(x < 0, mirrored, _digamma(x))
        value = np.where((x < 0) & (turns == 0), np.nan, value)
        return np.where(x == 0, np.copysign(np.inf, -x), np.where(x == np.inf, x, value))


def _digamma(x: Array) -> Array:
    """ψ(x) for x > 0: ψ(x) = 1/(x - 1) + 1/(x - 2) + … + ψ(1 + u), with u from 0 to 1."""
    shift, u = np.zeros_like(x), x - 1
    for _ in range(8):
        above = u > 1
        shift, u = np.where(above, shift + 1 / u, shift), np.where(above, u - 1, u)
    shift, u = np.where(x < 1, -1 / x, shift), np.where(x < 1, x, u)
    near = (u - _ZERO[0] - _ZERO[1]) * chebval(2 * np.minimum(u, 1) - 1, _DIGAMMA)
    y = np.maximum(x, 10)
    square = 1 / (y * y)
    return np.where(x < 10, near + shift, np.log(y) - 0.5 / y - square * _series(square, _ASYMPTOTIC))


def polygamma(n: Array, x: Array) -> Array:
    """The n-th derivative of ψ: (-1)^(n+1) n! ζ(n+1, x), where n is whole.

    For x < 0, with the fraction f of x, ζ(s, x) = ζ(s, f) ± (ζ(s, 1 - f) - ζ(s, 1 - x)), because the sum over
    all integers is known; plus where s is even.
    """
    n, x = np.broadcast_arrays(n, x)
    with np.errstate(all="ignore"):
        order = np.where((n >= 1) & (n <= 170) & (n == np.floor(n)), n, 1)
        s, odd = order + 1, order % 2 == 1
        fraction, rest = x - np.floor(x), np.ceil(x) - x
        beyond = _hurwitz(s, rest) - _hurwitz(s, 1 - x)
        mirrored = _hurwitz(s, fraction) + np.where(odd, beyond, -beyond)
        zeta = np.where(x > 0, _hurwitz(s, x), mirrored)
        value = np.where(odd, 1, -1) * _FACTORIALS[order.astype(np.int64)] * zeta
        pole = np.where(odd, np.inf, np.where(x == 0, np.copysign(np.inf, -x), np.nan))
        value = np.where((x <= 0) & (rest == 0), pole, value)
        value = np.where(np.isinf(x), np.where(x > 0, 0, np.nan), value)
        return np.where(n == 0, digamma(x), np.where(n == order, value, np.nan))


def _hurwitz(s: Array, q: Array) -> Array:
    """ζ(s, q) = Σ (q + k)^-s over k ≥ 0, for s > 1 and q > 0: ten terms, then Euler and Maclaurin's formula."""
    a = q + 10
    last = a**-s
    total = a ** (1 - s) / (s - 1) + last / 2  # not a times a**-s, which may be 0
    factor = s * last / a
    for k, b in enumerate(_BERNOULLI):
        total = total + b * factor
        factor = factor * (s + 2 * k + 1) * (s + 2 * k + 2) / (a * a)
    for k in reversed(range(10)):
        total = total + (q + k) ** -s
    return np.asarray(total)
