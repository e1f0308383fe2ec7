"""Level 6, division of a vector by one number: two instructions that overlap, in place of one that does not.

The reciprocal of the divisor s is computed once, outside of the loop, as a sum of two parts:

    high = 1/s, the next number towards 0;   low = (1 - high·s)/s;   x / s = high·x + low·x

The remainder is exact by fused multiply-add, and the sum is rounded once: the quotient is the nearest number, but
where x/s lies within 2^-23 of a unit (2^-52) from the middle between two, or is so small that low·x is subnormal;
there it is one of the two.  As high and low have the same sign and are not 0, zeros and infinities of either sign
come out right.  Divisors near the ends of the format, 0, infinities and NaN take the plain division.

N. Brisebarre, J.-M. Muller and S. K. Raina, "Accelerating correctly rounded floating-point division when the
divisor is known in advance" (IEEE Transactions on Computers 53, 2004).

>>> w = Writer()
>>> with w.loop("i", "0", "8", guarded=False):
...     quotient = divided(w, DType.F32, 16, "%x", Value("%s", DType.F32, 1, 0))
>>> print("\\n".join(line for line in w.lines() if "fdiv" in line or "fma" in line))
  %v = fdiv float 1.0, %s
  %v.4 = call float @llvm.fma.f32(float %v.3, float %high, float 1.0)
  %low = fdiv float %v.4, %s
  %v.13 = call <16 x float> @llvm.fma.v16f32(<16 x float> %x, <16 x float> %v.12, <16 x float> %v.10)
  %v.16 = fdiv <16 x float> %x, %v.15
"""

from __future__ import annotations

from typing import Final

from graphc.ir.types import DType
from graphc_llvm.writer import Value, Writer, constant, mangled, type_of

_ORDINARY: Final = {DType.F32: (2.0**-100, 2.0**100), DType.F64: (2.0**-900, 2.0**900)}
"""Between these sizes a divisor has a reciprocal of two normal numbers."""


def pays(w: Writer, divisor: Value, lanes: int) -> bool:
    """Whether the reciprocal serves several vectors: the divisor comes from outside of the loop."""
    return w.fused and not w.flags and lanes > 1 and divisor.lanes == 1 and divisor.depth < w.depth


def divided(w: Writer, dtype: DType, lanes: int, dividend: str, divisor: Value) -> str:
    """The quotient of a vector and a number that `pays`."""
    s, depth = divisor.text, divisor.depth
    scalar, vector = type_of(dtype), type_of(dtype, lanes)
    word = f"i{8 * dtype.size}"
    inverse = w.pure(f"fdiv {scalar} 1.0, {s}", depth)
    bits = w.pure(f"bitcast {scalar} {inverse} to {word}", depth)
    less = w.pure(f"add {word} {bits}, -1", depth)
    high = w.pure(f"bitcast {word} {less} to {scalar}", depth, "high")
    minus = w.pure(f"fneg {scalar} {s}", depth)
    fma = f"llvm.fma.{mangled(dtype)}"
    rest = w.pure(w.call(fma, scalar, f"{scalar} {minus}", f"{scalar} {high}", f"{scalar} 1.0"), depth)
    low = w.pure(f"fdiv {scalar} {rest}, {s}", depth, "low")
    size = w.pure(w.call(f"llvm.fabs.{mangled(dtype)}", scalar, f"{scalar} {s}"), depth)
    least, most = (constant(v, dtype) for v in _ORDINARY[dtype])
    above = w.pure(f"fcmp ogt {scalar} {size}, {least}", depth)
    below = w.pure(f"fcmp olt {scalar} {size}, {most}", depth)
    ordinary = w.pure(f"and i1 {above}, {below}", depth, "ordinary")

    def splat(text: str) -> str:
        return w.splat(Value(text, dtype, 1, depth), lanes)

    def product() -> str:
        rest = w.emit(f"fmul {vector} {dividend}, {splat(low)}")
        operands = (f"{vector} {text}" for text in (dividend, splat(high), rest))
        return w.emit(w.call(f"llvm.fma.{mangled(dtype, lanes)}", vector, *operands))

    def plain() -> str:
        return w.emit(f"fdiv {vector} {dividend}, {splat(s)}")

    return w.either(ordinary, vector, product, plain)
