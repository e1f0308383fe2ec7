"""Level 6, LLVM: elementary and special functions of whole vectors, as LLVM IR text.

Each is plain IEEE arithmetic (add, multiply, divide, square root, fused multiply-add, shifts, compares and
selects): no tables, no branches, no calls, so that it runs at full width at any number of lanes, and gives the
same bits at every one. The exceptions are cold blocks for rare arguments: very large ones of sin, cos (beyond
2^15 in f32, 2^28 in f64) and tan (2^28), which go to libm; negative ones of lgamma, digamma and polygamma, and
orders of polygamma other than 1. Everything is right over the whole range: NaN, infinities, signed zeros,
subnormals.

    function    worst error in      f32: not    ns/element    f32 is
                  ulp                    the     f32    f64   computed
                   f32      f64      nearest     × 16   × 8   in
    exp         0.891     0.88        0.25%     0.24   0.68
    expm1       1.086     1.13        0.24%     0.37   0.79
    log         0.940     0.80        1.69%     0.42   1.08
    log1p       1.548     1.37        1.01%     0.33   0.90
    pow         1.039     1.15        3.45%     1.73   4.25
    sin         1.529     1.44        1.54%     0.32   0.96
    cos         1.527     1.48        1.61%     0.31   0.85
    tan         0.501     1.08        0.01%     0.85   1.50   f64
    asin        1.164     1.07        0.14%     0.34   0.93
    acos        1.169     1.12        0.20%     0.39   1.33
    atan        1.876     1.64        0.28%     0.34   1.00
    atan2       0.500     1.76        0.00%     1.28   1.92   f64
    sinh        0.501     1.58        0.00%     0.90   1.23   f64
    cosh        0.501     1.21        0.00%     0.66   0.81   f64
    tanh        0.924     1.09        0.12%     0.38   1.06
    asinh       0.500     1.60        0.00%     1.67   1.97   f64
    acosh       0.500     1.30        0.00%     1.46   2.24   f64
    atanh       0.500     1.65        0.00%     1.26   1.91   f64
    sigmoid     0.962     0.80        0.13%     0.37   0.98
    silu        1.722     1.38        3.23%     0.44   1.13
    erf         1.106     1.03        0.80%     0.51   2.11
    erfc        0.502     1.23        0.00%     1.57   3.43   f64
    normal_cdf  0.502     2.07        0.00%     1.81   4.10   f64
    gelu        0.502    14.68        0.00%     2.17   5.04   f64
    lgamma      0.502     1.98        0.00%     3.04   5.56   f64
    digamma     0.502     1.94        0.00%     2.76   4.71   f64
    polygamma   0.502     5.16        0.01%     2.03   2.81   f64

f32 was measured over all 2^32 inputs, pow, atan2 and polygamma on 10^8 pairs and edges, against f64
(`python -m tests.benchmarks.vector_math_sweep`); f64 on samples and edges against 50 digits. The time is that
of one core of an EPYC 9004, shared. In f64, lgamma and digamma have the bound for x > 0, where their zeros lie
between the poles the error is that of the terms that cancel; polygamma has it up to order 22;
gelu has it where its factor is subnormal, else 2.7. Code for baseline x86-64, AVX2 and AVX-512 gave the same
bits; without a fused multiply-add instruction it is slow, because each is then a call.

>>> function_name("exp", "f32", 16)
'graphc.exp.v16f32'
>>> requires("exp", "f32", 16)
('declare <16 x float> @llvm.fma.v16f32(<16 x float>, <16 x float>, <16 x float>)',)
>>> definition("exp", "f32", 16).splitlines()[0]
'define internal <16 x float> @graphc.exp.v16f32(<16 x float> %x) alwaysinline nounwind willreturn {'
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from types import MappingProxyType
from typing import Final

from graphc_llvm.vector_math.builder import Body, Precision, Value, absolute, narrowed, widened
from graphc_llvm.vector_math.error_function import erf, erfc, gelu, normal_cdf
from graphc_llvm.vector_math.exponential import exp, expm1, sigmoid, silu, tanh
from graphc_llvm.vector_math.gamma import digamma, digamma_reflected, lgamma, lgamma_reflected
from graphc_llvm.vector_math.hyperbolic import acosh, asinh, atanh, cosh, sinh
from graphc_llvm.vector_math.inverse_trigonometric import acos, asin, atan, atan2
from graphc_llvm.vector_math.libm import guarded, lane_by_lane
from graphc_llvm.vector_math.logarithm import log, log1p
from graphc_llvm.vector_math.polygamma import polygamma, scaled_zeta, trigamma
from graphc_llvm.vector_math.power import power
from graphc_llvm.vector_math.trigonometric import LARGEST, cos, sin, tan

__all__ = ["BOUNDS", "PRIMS", "arity", "definition", "function_name", "requires"]

_Arithmetic = Callable[..., Value]


@dataclass(frozen=True, slots=True)
class _Rare:
    """Arguments that a cold function serves, so that the common ones are fast."""

    where: Callable[..., Value]
    """The mask of those lanes."""
    definition: Callable[[Body], str]
    """LLVM IR text that defines the cold function."""


@dataclass(frozen=True, slots=True)
class _Function:
    """One vector function."""

    arithmetic: _Arithmetic
    f32: Precision = "f32"
    """The precision in which f32 is computed."""
    parameters: tuple[str, ...] = ("x",)
    rare: _Rare | None = None


_COLD: Final = "noinline cold nounwind willreturn"


def _in_precision(body: Body, arithmetic: _Arithmetic, f32: Precision) -> Value:
    """`arithmetic` of the body's arguments, widened and narrowed again where f32 is computed in f64."""
    arguments = [body.argument(i) for i in range(len(body.parameters))]
    if body.format.dtype == "f64" or f32 == "f32":
        return arithmetic(*arguments)
    return narrowed(arithmetic(*(widened(a, f32) for a in arguments)), body)


def _large(prim: str, f32: Precision = "f32") -> _Rare:
    """The C library serves arguments too large for a reduction by a few parts of π."""
    return _Rare(
        lambda x: absolute(x) > LARGEST[f32 if x.body.format.dtype == "f32" else "f64"],
        lambda cold: cold.finish(_in_precision(cold, partial(lane_by_lane, prim), f32), _COLD),
    )


def _negative(arithmetic: _Arithmetic) -> _Rare:
    return _Rare(lambda x: x < 0.0, lambda cold: cold.finish(_in_precision(cold, arithmetic, "f64"), _COLD))


def _general_polygamma(cold: Body) -> str:
    zeta = Body(f"{cold.name}.zeta", "f64", cold.lanes, ("s", "x"))
    text = zeta.finish(scaled_zeta(zeta), _COLD)
    result = _in_precision(cold, lambda n, x: polygamma(n, x, zeta.name), "f64")
    cold.declarations |= zeta.declarations
    return f"{text}\n\n{cold.finish(result, _COLD)}"


_FUNCTIONS: Final[Mapping[str, _Function]] = MappingProxyType(
    {
        "exp": _Function(exp),
        "expm1": _Function(expm1),
        "log": _Function(log),
        "log1p": _Function(log1p),
        "pow": _Function(power, parameters=("x", "y")),
        "sin": _Function(sin, rare=_large("sin")),
        "cos": _Function(cos, rare=_large("cos")),
        "tan": _Function(tan, "wide", rare=_large("tan", "wide")),
        "asin": _Function(asin),
        "acos": _Function(acos),
        "atan": _Function(atan),
        "atan2": _Function(atan2, "wide", ("y", "x")),
        "sinh": _Function(sinh, "wide"),
        "cosh": _Function(cosh, "wide"),
        "tanh": _Function(tanh),
        "asinh": _Function(asinh, "wide"),
        "acosh": _Function(acosh, "wide"),
        "atanh": _Function(atanh, "wide"),
        "sigmoid": _Function(sigmoid),
        "silu": _Function(silu),
        "erf": _Function(erf),
        "erfc": _Function(erfc, "wide"),
        "normal_cdf": _Function(normal_cdf, "wide"),
        "gelu": _Function(gelu, "wide"),
        "lgamma": _Function(lgamma, "wide", rare=_negative(lgamma_reflected)),
        "digamma": _Function(digamma, "wide", rare=_negative(digamma_reflected)),
        "polygamma": _Function(
            lambda n, x: trigamma(x),
            "wide",
            ("n", "x"),
            _Rare(lambda n, x: ~n.equals(1.0) | (x < 0.0), _general_polygamma),
        ),
    }
)

PRIMS: Final = tuple(_FUNCTIONS)
"""The scalar primitives that have a vector function here."""

BOUNDS: Final[Mapping[tuple[str, str], float]] = MappingProxyType(
    {
        (prim, dtype): bound
        for prim, *bounds in (
            # primitive, f32, f64
            ("exp", 1.0, 1.0),
            ("expm1", 1.25, 1.25),
            ("log", 1.0, 1.0),
            ("log1p", 1.75, 1.75),
            ("pow", 1.25, 1.5),
            ("sin", 1.75, 1.75),
            ("cos", 1.75, 1.75),
            ("tan", 0.51, 1.5),
            ("asin", 1.25, 1.25),
            ("acos", 1.25, 1.25),
            ("atan", 2.0, 2.0),
            ("atan2", 0.51, 2.0),
            ("sinh", 0.51, 2.0),
            ("cosh", 0.51, 2.0),
            ("tanh", 1.0, 1.25),
            ("asinh", 0.51, 2.0),
            ("acosh", 0.51, 2.0),
            ("atanh", 0.51, 2.0),
            ("sigmoid", 1.0, 1.0),
            ("silu", 2.0, 1.75),
            ("erf", 1.25, 1.25),
            ("erfc", 0.51, 2.0),
            ("normal_cdf", 0.51, 2.25),
            ("gelu", 0.51, 20.0),
            ("lgamma", 0.51, 2.0),
            ("digamma", 0.51, 2.0),
            ("polygamma", 0.51, 6.0),
        )
        for dtype, bound in zip(("f32", "f64"), bounds, strict=True)
    }
)
"""Largest error for each (primitive, dtype), in units in the last place: the measured one, rounded up."""


def arity(prim: str) -> int:
    """How many operands the primitive has."""
    return len(_FUNCTIONS[prim].parameters)


def function_name(prim: str, dtype: str, lanes: int) -> str:
    """Name of the function: `graphc.exp.v16f32`, or `graphc.exp.f32` for one lane."""
    return f"graphc.{prim}.{dtype}" if lanes == 1 else f"graphc.{prim}.v{lanes}{dtype}"


def definition(prim: str, dtype: str, lanes: int) -> str:
    """LLVM IR text that defines the function, with an internal cold part before it where it has one.

    Takes and returns `lanes` values of `dtype` ("f32" or "f64") as one vector, scalars where `lanes` is 1;
    `pow` takes two. The declarations that it needs are `requires(prim, dtype, lanes)`. Raises KeyError for an
    unknown primitive or dtype.
    """
    return _build(prim, dtype, lanes)[0]


def requires(prim: str, dtype: str, lanes: int) -> tuple[str, ...]:
    """`declare` lines of the intrinsics and libm functions that the definition calls."""
    return _build(prim, dtype, lanes)[1]


@cache
def _build(prim: str, dtype: str, lanes: int) -> tuple[str, tuple[str, ...]]:
    function = _FUNCTIONS[prim]
    body = Body(function_name(prim, dtype, lanes), dtype, lanes, function.parameters)
    result = _in_precision(body, function.arithmetic, function.f32)
    if function.rare is None:
        return body.finish(result), tuple(body.declarations)
    cold = Body(function_name(f"{prim}.rare", dtype, lanes), dtype, lanes, function.parameters)
    cold_text = function.rare.definition(cold)
    mask = function.rare.where(*(body.argument(i) for i in range(len(body.parameters))))
    result = guarded(body, result, mask, cold.name)
    return f"{cold_text}\n\n{body.finish(result)}", (*body.declarations, *cold.declarations)
