"""The scalar alphabet: the closed set of primitives in which every kernel is written.

Ops are many and primitives are few.  A back end knows only this table: one row here, and one row in each back
end, is the whole cost of a primitive.  An elementwise op (`graphc.ops.table`) is spelled in these letters by
`graphc.ops.body`, and the NumPy function below is what the reference and the kernel interpreter call.

| kind       | operands               | result           | on integers                                     |
|------------|------------------------|------------------|-------------------------------------------------|
| arithmetic | one int or float dtype | the same         | wraps around (two's complement)                 |
| rounding   | one int or float dtype | the same         | the identity                                    |
| integer    | one int dtype          | the same         | bit by bit, in two's complement                 |
| function   | one float dtype        | the same         | not defined: the op casts first, as NumPy does  |
| compare    | one dtype              | bool             | as on floats                                    |
| logic      | bool                   | bool             | not defined                                     |
| select     | bool, then one dtype   | the latter       | `select(c, a, b)` is a where c holds, else b    |
| pack       | f32                    | bf16x2           | not defined                                     |
| cast       | any dtype              | the one it names | float to int drops the fraction; what does not  |
|            |                        |                  | fit becomes the nearest that does; NaN is 0     |

Floats follow IEEE 754: NaN, infinities and signed zeros pass through each primitive as they do in NumPy, and
every comparison with NaN is false, except `ne`.  There is no `gt` and no `ge`: swap the operands of `lt` and
`le`.

>>> PRIMS["rint"].numpy(np.float32(2.5))
np.float32(2.0)
>>> PRIMS["lt"].result(DType.F32, DType.F32)
<DType.BOOL: 'bool'>
>>> print(PRIMS["rint"].doc)
the nearest integer; of two, the even one
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np

from graphc.errors import InternalError
from graphc.ir.types import DECLARED, Array, DType
from graphc.ops import bf16, special

Kind = Literal["arithmetic", "rounding", "integer", "function", "compare", "logic", "select", "pack", "cast"]


@dataclass(frozen=True, slots=True)
class Prim:
    """One letter of the alphabet: a scalar function of one to three operands.

    `op` names the row of the op table that is this primitive alone, so that a formula can be turned back into
    graph nodes; `sympy` is the head of the SymPy expression that becomes this primitive (SymPy has no log1p:
    there the head is an undefined function of that name); `cost` counts an addition as 1.
    """

    name: str
    arity: int
    numpy: Callable[..., Array]
    kind: Kind
    op: str
    sympy: str
    cost: int
    doc: str

    def result(self, *operands: DType) -> DType:
        """The dtype of the result; InternalError if the operands break the table of kinds above."""
        common = operands[1:] if self.kind == "select" else operands
        accepted = {
            "arithmetic": common[0].is_float or common[0].is_integer,
            "rounding": common[0].is_float or common[0].is_integer,
            "integer": common[0].is_integer,
            "function": common[0].is_float,
            "logic": common[0] is DType.BOOL,
            "select": operands[0] is DType.BOOL,
            "pack": common[0] is DType.F32,
        }
        if (
            len(operands) != self.arity
            or len(set(common)) != 1
            or not accepted.get(self.kind, common[0] is not DType.BF16X2)
        ):
            raise InternalError(f"{self.name} does not take ({', '.join(map(str, operands))})")
        if self.kind == "pack":
            return DType.BF16X2
        if self.kind == "cast":
            return DType(self.name.removeprefix("cast:"))
        return DType.BOOL if self.kind == "compare" else common[0]


def _fma(a: Array, b: Array, c: Array) -> Array:
    """a*b + c; f32 is rounded as if once (the product is exact in f64), f64 is rounded twice."""
    if a.dtype == np.float32:
        return np.add(np.multiply(a, b, dtype=np.float64), c).astype(np.float32)
    return np.add(np.multiply(a, b), c)


def _wide(function: Callable[..., Array]) -> Callable[..., Array]:
    """A function that computes in f64 and is rounded once to the dtype of its operands."""

    def rounded(*operands: Array) -> Array:
        found = function(*(np.asarray(a, np.float64) for a in operands))
        return np.asarray(found, dtype=np.result_type(*operands))

    return rounded


def _shift(numpy: Callable[..., Array], *, logical: bool) -> Callable[..., Array]:
    """A shift on the bits; a count that is negative, or as large as the word, leaves nothing."""

    def shifted(a: Array, b: Array) -> Array:
        dtype = np.result_type(a, b)
        bits = 8 * dtype.itemsize
        word = np.asarray(a, dtype).view(f"u{dtype.itemsize}") if logical else np.asarray(a, dtype)
        inside = (np.asarray(b) >= 0) & (np.asarray(b) < bits)
        count = np.where(inside, b, 0).astype(word.dtype)
        return np.asarray(np.where(inside, numpy(word, count).view(dtype), 0).astype(dtype))

    return shifted


def _cast(dtype: DType) -> Callable[..., Array]:
    if not dtype.is_integer:
        return lambda a: np.asarray(a).astype(dtype.numpy)
    limits = np.iinfo(dtype.numpy)

    def cast(a: Array) -> Array:
        given = np.asarray(a)
        if given.dtype.kind != "f":
            return given.astype(dtype.numpy)
        low, high = given < limits.min, given >= -float(limits.min)  # 2**63 is a float, 2**63 - 1 is not
        inside = np.where(low | high | np.isnan(given), 0, given).astype(dtype.numpy)
        return np.where(low, limits.min, np.where(high, limits.max, inside)).astype(dtype.numpy)

    return cast


_TABLE = (
    # name, arity, NumPy, kind, row of the op table, SymPy head, cost, doc
    Prim("add", 2, np.add, "arithmetic", "add", "Add", 1, "a + b"),
    Prim("sub", 2, np.subtract, "arithmetic", "sub", "Add", 1, "a - b"),
    Prim("mul", 2, np.multiply, "arithmetic", "mul", "Mul", 1, "a * b"),
    Prim("neg", 1, np.negative, "arithmetic", "neg", "Mul", 1, "-a, which turns the sign of a zero too"),
    Prim("abs", 1, np.absolute, "arithmetic", "abs", "Abs", 1, "a without its sign; abs(-0) = +0"),
    Prim("minimum", 2, np.minimum, "arithmetic", "minimum", "minimum", 1,
         "the smaller one; NaN if either is NaN; of +0 and -0 either"),
    Prim("maximum", 2, np.maximum, "arithmetic", "maximum", "maximum", 1,
         "the larger one; NaN if either is NaN; of +0 and -0 either"),
    Prim("floordiv", 2, np.floor_divide, "arithmetic", "floor_divide", "floor_divide", 8,
         "the quotient, rounded downwards; of integers a // 0 = 0, and the smallest // -1 is itself; of floats "
         "NumPy's: the exact quotient, not the rounded one, and a // 0 = ±inf or NaN"),
    Prim("mod", 2, np.remainder, "arithmetic", "mod", "mod", 8,
         "a - b * (a // b), with the sign of b (a zero too); of integers a mod 0 = 0, of floats NaN"),
    Prim("floor", 1, np.floor, "rounding", "floor", "floor", 1, "the next integer downwards"),
    Prim("ceil", 1, np.ceil, "rounding", "ceil", "ceiling", 1, "the next integer upwards"),
    Prim("trunc", 1, np.trunc, "rounding", "trunc", "trunc", 1, "the next integer towards 0; keeps the sign"),
    Prim("rint", 1, np.round, "rounding", "round", "round", 1, "the nearest integer; of two, the even one"),
    Prim("bit_and", 2, np.bitwise_and, "integer", "bitwise_and", "bit_and", 1, "a and b, bit by bit"),
    Prim("bit_or", 2, np.bitwise_or, "integer", "bitwise_or", "bit_or", 1, "a or b, bit by bit"),
    Prim("bit_xor", 2, np.bitwise_xor, "integer", "bitwise_xor", "bit_xor", 1, "where the bits differ"),
    Prim("shift_left", 2, _shift(np.left_shift, logical=False), "integer", "left_shift", "shift_left", 2,
         "the bits of a moved up by b; 0 where b < 0 or b is the number of bits or more"),
    Prim("shift_right", 2, _shift(np.right_shift, logical=True), "integer", "logical_right_shift",
         "shift_right", 2, "the bits of a moved down by b, zeros coming in; 0 where b < 0 or b is too large"),
    Prim("div", 2, np.divide, "function", "div", "Pow", 4, "a / b, correctly rounded; 1/0 = inf, 0/0 = NaN"),
    Prim("fma", 3, _fma, "function", "", "", 1,
         "a * b + c, rounded once where the target can; only reductions and contractions use it"),
    Prim("sqrt", 1, np.sqrt, "function", "sqrt", "Pow", 4, "correctly rounded; NaN below 0, sqrt(-0) = -0"),
    Prim("exp", 1, np.exp, "function", "exp", "exp", 10, "e to the power a"),
    Prim("expm1", 1, np.expm1, "function", "expm1", "expm1", 10, "exp(a) - 1, exact near 0"),
    Prim("log", 1, np.log, "function", "log", "log", 10, "natural logarithm; log(0) = -inf, NaN below 0"),
    Prim("log1p", 1, np.log1p, "function", "log1p", "log1p", 10, "log(1 + a), exact near 0"),
    Prim("pow", 2, np.power, "function", "pow", "Pow", 20,
         "a to the power b; a**0 = 1 for every a, NaN for a < 0 and a fractional b"),
    Prim("sin", 1, np.sin, "function", "sin", "sin", 10, "sine of radians; NaN at infinity"),
    Prim("cos", 1, np.cos, "function", "cos", "cos", 10, "cosine of radians; NaN at infinity"),
    Prim("tan", 1, _wide(np.tan), "function", "tan", "tan", 14, "tangent of radians; NaN at infinity"),
    Prim("asin", 1, _wide(np.arcsin), "function", "asin", "asin", 12, "the angle in -π/2…π/2; NaN if |a| > 1"),
    Prim("acos", 1, _wide(np.arccos), "function", "acos", "acos", 12, "the angle in 0…π; NaN if |a| > 1"),
    Prim("atan", 1, _wide(np.arctan), "function", "atan", "atan", 12, "the angle in -π/2…π/2"),
    Prim("atan2", 2, _wide(np.arctan2), "function", "atan2", "atan2", 16,
         "the angle of the point (b, a), in -π…π; signed zeros and infinities as in C"),
    Prim("sinh", 1, _wide(np.sinh), "function", "sinh", "sinh", 14, "(exp(a) - exp(-a))/2, exact near 0"),
    Prim("cosh", 1, _wide(np.cosh), "function", "cosh", "cosh", 14, "(exp(a) + exp(-a))/2"),
    Prim("tanh", 1, np.tanh, "function", "tanh", "tanh", 10, "hyperbolic tangent"),
    Prim("asinh", 1, _wide(np.arcsinh), "function", "asinh", "asinh", 14, "log(a + sqrt(a² + 1)), exact near 0"),
    Prim("acosh", 1, _wide(np.arccosh), "function", "acosh", "acosh", 14,
         "log(a + sqrt(a² - 1)), exact near 1; NaN below 1"),
    Prim("atanh", 1, _wide(np.arctanh), "function", "atanh", "atanh", 14,
         "log((1 + a)/(1 - a))/2, exact near 0; ±inf at ±1, NaN beyond"),
    Prim("sigmoid", 1, _wide(special.sigmoid), "function", "sigmoid", "sigmoid", 12,
         "1/(1 + exp(-a)), which never overflows"),
    Prim("silu", 1, _wide(special.silu), "function", "silu", "silu", 13, "a·sigmoid(a); -0 at -inf"),
    Prim("erf", 1, _wide(special.erf), "function", "erf", "erf", 10, "error function, 2/sqrt(pi) ∫₀ᵃ exp(-t²) dt"),
    Prim("erfc", 1, _wide(special.erfc), "function", "erfc", "erfc", 14,
         "1 - erf(a), to full relative precision down to the smallest subnormal"),
    Prim("normal_cdf", 1, _wide(special.normal_cdf), "function", "normal_cdf", "normal_cdf", 16,
         "(1 + erf(a/sqrt(2)))/2, to full relative precision down to the smallest subnormal"),
    Prim("gelu", 1, _wide(special.gelu), "function", "gelu", "gelu", 17, "a·normal_cdf(a); -0 at -inf"),
    Prim("lgamma", 1, _wide(special.lgamma), "function", "lgamma", "loggamma", 24,
         "log |Γ(a)|; inf at ±inf, at 0 and at the negative integers; right to the last bits for a > 0, and "
         "measured against 1 below, where it has zeros between the poles"),
    Prim("digamma", 1, _wide(special.digamma), "function", "digamma", "digamma", 24,
         "ψ(a) = Γ'(a)/Γ(a); ∓inf at ±0, NaN at the negative integers and at -inf"),
    Prim("polygamma", 2, _wide(special.polygamma), "function", "polygamma", "polygamma", 120,
         "the a-th derivative of ψ at b, for whole a ≥ 0 (else NaN); for a ≥ 1: 0 at inf, NaN at -inf, +inf at "
         "0 and the negative integers if a is odd; if a is even, ∓inf at ±0 and NaN at the negative integers"),
    Prim("lt", 2, np.less, "compare", "less", "StrictLessThan", 1, "a < b"),
    Prim("le", 2, np.less_equal, "compare", "less_equal", "LessThan", 1, "a <= b"),
    Prim("eq", 2, np.equal, "compare", "equal", "Equality", 1, "a == b; +0 equals -0, NaN equals nothing"),
    Prim("ne", 2, np.not_equal, "compare", "not_equal", "Unequality", 1, "a != b; a != a tests for NaN"),
    Prim("not", 1, np.logical_not, "logic", "logical_not", "Not", 1, "not a"),
    Prim("and", 2, np.logical_and, "logic", "logical_and", "And", 1, "a and b, both evaluated"),
    Prim("or", 2, np.logical_or, "logic", "logical_or", "Or", 1, "a or b, both evaluated"),
    Prim("select", 3, np.where, "select", "where", "Piecewise", 1,
         "b where a holds, else c; both are evaluated, and what is not chosen leaves no trace"),
    Prim("pack_bf16", 2, bf16.packed, "pack", "", "", 2,
         "a and b, each rounded to bfloat16, in one word; what is below 2^-126 becomes 0"),
    *(Prim(f"cast:{d}", 1, _cast(d), "cast", "", "", 1, f"a as {d}") for d in DECLARED),
)  # fmt: skip

PRIMS: Mapping[str, Prim] = MappingProxyType({prim.name: prim for prim in _TABLE})
"""The alphabet, by name, in reading order."""
