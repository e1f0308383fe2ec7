"""Level 6, LLVM: elementary functions of whole vectors, as LLVM IR text.

Each is plain IEEE arithmetic (add, multiply, divide, fused multiply-add, shifts, compares and selects): no
tables, no branches, no calls, so that it runs at full width at any number of lanes, and gives the same bits
at every one. The one exception: sin and cos call libm for lanes beyond 2^15 (f32) or 2^28 (f64), in a cold
block. Everything is right over the whole range: NaN, infinities, signed zeros, subnormals.

    function                worst error in ulp         ns/element, one core of an
                            f32          f64           EPYC 9004 (f32 × 16, f64 × 8)
    exp    exponential      0.892        0.88          0.24   0.67
    expm1                   1.087        1.13          0.32   0.81
    tanh                    0.924        1.20          0.45   1.30
    log    logarithm        0.941        0.80          0.33   0.92
    log1p                   1.548        1.37          0.34   0.93
    erf    error_function   1.106        1.03          0.48   2.01
    sin    trigonometric    1.530        1.44          0.32   0.88
    cos                     1.527        1.48          0.31   0.86
    pow    power            1.05         1.15          1.57   3.74

f32 was measured over all 2^32 inputs (`python -m tests.benchmarks.vector_math_sweep`), except pow; f64, and
pow, on some millions of samples and the edges, against extended precision. Code for baseline x86-64, AVX2 and
AVX-512 gave the same bits; without a fused multiply-add instruction it is slow, because each is then a call.

>>> function_name("exp", "f32", 16)
'graphc.exp.v16f32'
>>> requires("exp", "f32", 16)
('declare <16 x float> @llvm.fma.v16f32(<16 x float>, <16 x float>, <16 x float>)',)
>>> definition("exp", "f32", 16).splitlines()[0]
'define internal <16 x float> @graphc.exp.v16f32(<16 x float> %x) alwaysinline nounwind willreturn {'
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Final

from graphc_llvm.vector_math.builder import Body, Value, absolute
from graphc_llvm.vector_math.error_function import erf
from graphc_llvm.vector_math.exponential import exp, expm1, tanh
from graphc_llvm.vector_math.libm import guarded, lane_by_lane
from graphc_llvm.vector_math.logarithm import log, log1p
from graphc_llvm.vector_math.power import power
from graphc_llvm.vector_math.trigonometric import LARGEST, cos, sin

__all__ = ["BOUNDS", "PRIMS", "definition", "function_name", "requires"]

_ARITHMETIC: Final[Mapping[str, Callable[[Value], Value]]] = MappingProxyType(
    {"exp": exp, "log": log, "tanh": tanh, "erf": erf, "expm1": expm1, "log1p": log1p, "sin": sin, "cos": cos}
)

PRIMS: Final = (*_ARITHMETIC, "pow")
"""The scalar primitives that have a vector function here."""

BOUNDS: Final[Mapping[tuple[str, str], float]] = MappingProxyType(
    {
        ("exp", "f32"): 1.0,
        ("log", "f32"): 1.0,
        ("tanh", "f32"): 1.0,
        ("erf", "f32"): 1.25,
        ("expm1", "f32"): 1.25,
        ("log1p", "f32"): 1.75,
        ("sin", "f32"): 1.75,
        ("cos", "f32"): 1.75,
        ("pow", "f32"): 1.25,
        ("exp", "f64"): 1.0,
        ("log", "f64"): 1.0,
        ("tanh", "f64"): 1.25,
        ("erf", "f64"): 1.25,
        ("expm1", "f64"): 1.25,
        ("log1p", "f64"): 1.75,
        ("sin", "f64"): 1.75,
        ("cos", "f64"): 1.75,
        ("pow", "f64"): 1.5,
    }
)
"""Largest error for each (primitive, dtype), in units in the last place: the measured one, rounded up."""


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
    body = Body(function_name(prim, dtype, lanes), dtype, lanes, ("x", "y") if prim == "pow" else ("x",))
    if prim == "pow":
        return body.finish(power(body.argument(0), body.argument(1))), tuple(body.declarations)
    x = body.argument(0)
    result = _ARITHMETIC[prim](x)
    if prim not in ("sin", "cos"):
        return body.finish(result), tuple(body.declarations)
    cold = Body(function_name(f"{prim}.large", dtype, lanes), dtype, lanes, ("x",))
    cold_text = cold.finish(lane_by_lane(cold, prim), "noinline cold nounwind willreturn")
    result = guarded(body, result, absolute(x) > LARGEST[dtype], cold.name)
    return f"{cold_text}\n\n{body.finish(result)}", (*body.declarations, *cold.declarations)
