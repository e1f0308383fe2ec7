"""Level 6, LLVM IR: the small notation in which the vector functions are written.

A `Value` is one SSA name of a function under construction. Arithmetic on values appends lines to the
function's `Body`, so that a method reads like its formula and the text stays plain LLVM IR:

    written                    appended
    `a * b`                    `%t3 = fmul <8 x float> %a, %b`
    `fma(a, b, 2.0)`           `%t3 = call <8 x float> @llvm.fma.v8f32(<8 x float> %a, ...)`
    `select(a < 0.0, b, c)`    `%t3 = fcmp olt ...`, `%t4 = select <8 x i1> %t3, ...`
    `a.bits() << 23`           `%t3 = bitcast ... to <8 x i32>`, `%t4 = shl <8 x i32> %t3, splat (i32 23)`

Comparisons are ordered: a NaN compares false with everything. No instruction carries a fast-math flag.
A function of f32 may compute in f64, half as many lanes to an instruction: `widened(x, "wide")`, and back
`narrowed(y, body)`. Polynomials of the precision "wide" are good to 2^-33, which suffices there.

>>> body = Body("graphc.square.f64", "f64", 1, ("x",))
>>> print(body.finish(body.argument(0) * body.argument(0)))
define internal double @graphc.square.f64(double %x) alwaysinline nounwind willreturn {
  %t0 = fmul double %x, %x
  ret double %t0
}
"""

from __future__ import annotations

import copy
import itertools
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Final, Literal

DType = Literal["f32", "f64"]
Precision = Literal["f32", "f64", "wide"]
Kind = Literal["real", "integer", "mask"]


@dataclass(frozen=True, slots=True)
class Format:
    """An IEEE 754 binary format: its LLVM names and the integers that its bit patterns need."""

    dtype: DType
    real: str
    integer: str
    bits: int
    mantissa: int
    """Stored bits of the significand."""
    bias: int
    """Exponent bias, also the largest exponent."""
    precision: Precision
    """Which constants serve: those of the dtype, or those for an f32 result computed in f64."""

    @property
    def rounder(self) -> float:
        """1.5 · 2^mantissa: a sum with it has unit spacing, so adding it rounds to an integer."""
        return 1.5 * 2.0**self.mantissa

    def pattern(self, value: float) -> int:
        """Bit pattern of `value` in this format."""
        kind = "<i" if self.dtype == "f32" else "<q"
        packed = struct.pack("<f" if self.dtype == "f32" else "<d", value)
        return int(struct.unpack(kind, packed)[0])


FORMATS: Final[dict[str, Format]] = {
    "f32": Format("f32", "float", "i32", 32, 23, 127, "f32"),
    "f64": Format("f64", "double", "i64", 64, 52, 1023, "f64"),
    "wide": Format("f64", "double", "i64", 64, 52, 1023, "wide"),
}


def constant_text(fmt: Format, value: float) -> str:
    """LLVM text of a real constant; both formats are written as the 64 bits of an exactly equal double.

    >>> constant_text(FORMATS["f32"], 0.5)
    '0x3FE0000000000000'
    """
    if fmt.dtype == "f32" and struct.unpack("<f", struct.pack("<f", value))[0] != value == value:
        raise ValueError(f"{value!r} is not exactly an f32")
    return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"


class Body:
    """The lines of one function over `lanes` values of one format (`lanes == 1`: scalar types)."""

    def __init__(self, name: str, dtype: str, lanes: int, parameters: tuple[str, ...]) -> None:
        self.name = name
        self.format = FORMATS[dtype]
        self.lanes = lanes
        self.parameters = parameters
        self.lines: list[str] = []
        self.declarations: dict[str, None] = {}
        self._names = itertools.count()

    @property
    def suffix(self) -> str:
        """Type suffix of names: `v16f32`, or `f32` for one lane."""
        return self.format.dtype if self.lanes == 1 else f"v{self.lanes}{self.format.dtype}"

    def widened(self, precision: Precision) -> Body:
        """The same lines and names, with reals of f64."""
        wide = copy.copy(self)
        wide.format = FORMATS[precision]
        return wide

    def type(self, kind: Kind) -> str:
        scalar = {"real": self.format.real, "integer": self.format.integer, "mask": "i1"}[kind]
        return scalar if self.lanes == 1 else f"<{self.lanes} x {scalar}>"

    def argument(self, index: int) -> Value:
        return Value(self, f"%{self.parameters[index]}", "real")

    def real(self, value: float) -> Value:
        return self._splat("real", self.format.real, constant_text(self.format, value))

    def integer(self, value: int) -> Value:
        return self._splat("integer", self.format.integer, str(value))

    def _splat(self, kind: Kind, scalar: str, text: str) -> Value:
        return Value(self, text if self.lanes == 1 else f"splat ({scalar} {text})", kind)

    def append(self, kind: Kind, operation: str) -> Value:
        """Append `%t… = operation`."""
        name = f"%t{next(self._names)}"
        self.lines.append(f"  {name} = {operation}")
        return Value(self, name, kind)

    def declare(self, line: str) -> None:
        """Note a `declare` line that the function needs."""
        self.declarations[line] = None

    def intrinsic(self, name: str, *operands: Value) -> Value:
        """Append a call of the elementwise intrinsic `llvm.<name>` on reals."""
        real, symbol = self.type("real"), f"@llvm.{name}.{self.suffix}"
        self.declare(f"declare {real} {symbol}({', '.join([real] * len(operands))})")
        return self.append("real", f"call {real} {symbol}({', '.join(f'{real} {v.name}' for v in operands)})")

    def head(self, attributes: str = "alwaysinline nounwind willreturn") -> str:
        real = self.type("real")
        parameters = ", ".join(f"{real} %{p}" for p in self.parameters)
        return f"define internal {real} @{self.name}({parameters}) {attributes} {{"

    def finish(self, result: Value, attributes: str = "alwaysinline nounwind willreturn") -> str:
        """The complete definition, returning `result`."""
        returned = f"  ret {self.type(result.kind)} {result.name}"
        return "\n".join([self.head(attributes), *self.lines, returned, "}"])


@dataclass(frozen=True, slots=True)
class Value:
    """One SSA value, all lanes of it; Python numbers beside it become constants."""

    body: Body
    name: str
    kind: Kind

    def _lift(self, other: Value | float) -> Value:
        if isinstance(other, Value):
            return other
        return self.body.real(other) if self.kind == "real" else self.body.integer(int(other))

    def _binary(self, real: str, integer: str, other: Value | float, swap: bool = False) -> Value:
        left, right = (self._lift(other), self) if swap else (self, self._lift(other))
        operation, type_ = real if self.kind == "real" else integer, self.body.type(self.kind)
        return self.body.append(self.kind, f"{operation} {type_} {left.name}, {right.name}")

    def __add__(self, other: Value | float) -> Value:
        return self._binary("fadd", "add", other)

    def __sub__(self, other: Value | float) -> Value:
        return self._binary("fsub", "sub", other)

    def __mul__(self, other: Value | float) -> Value:
        return self._binary("fmul", "mul", other)

    def __truediv__(self, other: Value | float) -> Value:
        return self._binary("fdiv", "sdiv", other)

    def __neg__(self) -> Value:
        return self.body.append(self.kind, f"fneg {self.body.type(self.kind)} {self.name}")

    def __radd__(self, other: float) -> Value:
        return self._binary("fadd", "add", other, swap=True)

    def __rsub__(self, other: float) -> Value:
        return self._binary("fsub", "sub", other, swap=True)

    def __rmul__(self, other: float) -> Value:
        return self._binary("fmul", "mul", other, swap=True)

    def __rtruediv__(self, other: float) -> Value:
        return self._binary("fdiv", "sdiv", other, swap=True)

    def __lshift__(self, count: int) -> Value:
        return self._binary("", "shl", count)

    def __rshift__(self, count: int) -> Value:
        """Shift right, filling with zeros."""
        return self._binary("", "lshr", count)

    def __and__(self, other: Value | int) -> Value:
        return self._binary("", "and", other)

    def __or__(self, other: Value | int) -> Value:
        return self._binary("", "or", other)

    def __xor__(self, other: Value | int) -> Value:
        return self._binary("", "xor", other)

    def __invert__(self) -> Value:
        """Where a mask does not hold."""
        true = Value(self.body, "true" if self.body.lanes == 1 else "splat (i1 true)", "mask")
        return self ^ true

    def shift_signed(self, count: int) -> Value:
        """Shift right, filling with the sign."""
        return self._binary("", "ashr", count)

    def _compare(self, real: str, integer: str, other: Value | float) -> Value:
        operation = f"fcmp {real}" if self.kind == "real" else f"icmp {integer}"
        right = self._lift(other)
        return self.body.append("mask", f"{operation} {self.body.type(self.kind)} {self.name}, {right.name}")

    def __lt__(self, other: Value | float) -> Value:
        return self._compare("olt", "slt", other)

    def __le__(self, other: Value | float) -> Value:
        return self._compare("ole", "sle", other)

    def __gt__(self, other: Value | float) -> Value:
        return self._compare("ogt", "sgt", other)

    def equals(self, other: Value | float) -> Value:
        return self._compare("oeq", "eq", other)

    def bits(self) -> Value:
        """The bit pattern, as integers."""
        return self._cast("integer")

    def as_real(self) -> Value:
        """The reals that have this bit pattern."""
        return self._cast("real")

    def _cast(self, kind: Kind) -> Value:
        types = self.body.type(self.kind), self.body.type(kind)
        return self.body.append(kind, f"bitcast {types[0]} {self.name} to {types[1]}")


def fma(a: Value, b: Value | float, c: Value | float) -> Value:
    """a · b + c, rounded once."""
    return a.body.intrinsic("fma", a, a._lift(b), a._lift(c))


def absolute(a: Value) -> Value:
    return a.body.intrinsic("fabs", a)


def sqrt(a: Value) -> Value:
    return a.body.intrinsic("sqrt", a)


def rint(a: Value) -> Value:
    """The nearest integer; of two, the even one."""
    return a.body.intrinsic("roundeven", a)


def copysign(magnitude: Value, sign: Value) -> Value:
    return magnitude.body.intrinsic("copysign", magnitude, sign)


def select(mask: Value, if_true: Value | float, if_false: Value | float) -> Value:
    """`if_true` in the lanes where `mask` holds, else `if_false`; no branch."""
    values = [v for v in (if_true, if_false) if isinstance(v, Value)]
    like = values[0] if values else Value(mask.body, "", "real")
    a, b, body = like._lift(if_true), like._lift(if_false), like.body
    types = body.type("mask"), body.type(like.kind)
    return body.append(like.kind, f"select {types[0]} {mask.name}, {types[1]} {a.name}, {types[1]} {b.name}")


def widened(x: Value, precision: Precision) -> Value:
    """The same numbers as f64, of the precision "wide" or "f64"; x is f32."""
    body = x.body.widened(precision)
    return body.append("real", f"fpext {x.body.type('real')} {x.name} to {body.type('real')}")


def narrowed(x: Value, body: Body) -> Value:
    """x, which was computed from `widened` values of `body`, rounded to f32."""
    return body.append("real", f"fptrunc {x.body.type('real')} {x.name} to {body.type('real')}")


def at_most(x: Value, bound: float) -> Value:
    """min(x, bound); a NaN stays a NaN, which `llvm.minnum` would lose. One instruction on x86."""
    return select(x > bound, bound, x)


def at_least(x: Value, bound: float) -> Value:
    """max(x, bound); a NaN stays a NaN."""
    return select(x < bound, bound, x)


def horner(x: Value, coefficients: Sequence[Value | float]) -> Value:
    """The polynomial with these coefficients, highest power first, one fma per power."""
    first = x._lift(coefficients[0])
    return reduce(lambda p, c: fma(p, x, c), coefficients[1:], first)
