"""Level 6, the scalar alphabet as LLVM instructions: one row per primitive of `graphc.ops.scalar`.

| primitives                           | instructions                                                     |
|--------------------------------------|------------------------------------------------------------------|
| add sub mul div, lt le eq ne, and or | one instruction                                                  |
| bit_and bit_or bit_xor               | one instruction                                                  |
| abs floor ceil trunc rint sqrt fma   | one intrinsic                                                    |
| minimum maximum                      | compare and select, twice: NaN if either is NaN                  |
| shift_left shift_right               | one shift; 0 where the count is not below the number of bits     |
| floordiv mod (integers)              | guarded against division by zero and overflow, rounded downwards |
| floordiv mod (floats)                | the exact remainder (`frem`, a call for each lane), then signs   |
| pack_bf16                            | see `graphc_llvm.bf16`                                           |
| exp log tanh ...                     | a function of `graphc_llvm.vector_math`, inlined                 |

>>> w = Writer()
>>> primitive(w, "add", DType.F32, 16, ("%a", "%b"))
'fadd <16 x float> %a, %b'
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from graphc.errors import BackendError
from graphc.ir.types import DECLARED, DType
from graphc_llvm import bf16, vector_math
from graphc_llvm.writer import Writer, constant, mangled, splatted, type_of

_FLOAT = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv", "neg": "fneg"}
_INTEGER = {"add": "add", "sub": "sub", "mul": "mul"}
_COMPARE = {
    "lt": ("olt", "slt", "ult"),
    "le": ("ole", "sle", "ule"),
    "eq": ("oeq", "eq", "eq"),
    "ne": ("une", "ne", "ne"),
}
_INTRINSIC = {
    "abs": "fabs",
    "floor": "floor",
    "ceil": "ceil",
    "trunc": "trunc",
    "rint": "roundeven",
    "sqrt": "sqrt",
}
_BITWISE = {"bit_and": "and", "bit_or": "or", "bit_xor": "xor"}
_SHIFT = {"shift_left": "shl", "shift_right": "lshr"}

_Row = Callable[[Writer, DType, int, Sequence[str]], str]


def primitive(w: Writer, name: str, dtype: DType, lanes: int, args: Sequence[str]) -> str:
    """The last instruction (without its result) of a primitive over operands of a dtype; earlier ones are
    written.  For `select` the dtype is that of the values."""
    row = ROWS.get(name)
    if row is None:
        raise BackendError(f"the LLVM back end has no primitive {name!r}", fix="update graphc_llvm")
    return row(w, dtype, lanes, args)


def combine(w: Writer, op: str, dtype: DType, lanes: int, cell: str, args: Sequence[str]) -> str:
    """The last instruction of `cell op= args`.

    `max=` and `min=` keep NaN; the NaN test is on the new value, so that it is not part of the chain of
    dependences through the cell.
    """
    if op == "fma":
        return primitive(w, "fma", dtype, lanes, (*args, cell))
    if op == "dot":
        return bf16.dot(w, lanes, cell, *args)
    if dtype is DType.BOOL:
        logic = {"add": "or", "max": "or", "mul": "and", "min": "and"}[op]
        return f"{logic} {type_of(dtype, lanes)} {cell}, {args[0]}"
    if op in ("max", "min"):
        return primitive(w, op + "imum", dtype, lanes, (cell, args[0]))
    return primitive(w, op, dtype, lanes, (cell, args[0]))


def identity(op: str, dtype: DType) -> str:
    """The value that `op=` leaves a cell unchanged with (-0.0 for add: 0.0 would turn a -0.0)."""
    if dtype is DType.BOOL:
        return constant(op in ("mul", "min"), dtype)
    if op in ("add", "fma"):
        return constant(-0.0, dtype)
    if op == "mul":
        return constant(1, dtype)
    if dtype.is_float:
        return constant(float("-inf" if op == "max" else "inf"), dtype)
    bits = 8 * dtype.size
    return str(-(2 ** (bits - 1)) if op == "max" else 2 ** (bits - 1) - 1)


def _arithmetic(name: str) -> _Row:
    def row(w: Writer, dtype: DType, lanes: int, args: Sequence[str]) -> str:
        if dtype.is_float:
            return f"{_FLOAT[name]}{w.flags} {type_of(dtype, lanes)} {', '.join(args)}"
        return f"{_INTEGER[name]} {type_of(dtype, lanes)} {', '.join(args)}"

    return row


def _neg(w: Writer, dtype: DType, lanes: int, args: Sequence[str]) -> str:
    if dtype.is_float:
        return f"fneg{w.flags} {type_of(dtype, lanes)} {args[0]}"
    return f"sub {type_of(dtype, lanes)} {splatted('0', dtype, lanes)}, {args[0]}"


def _intrinsic(name: str) -> _Row:
    def row(w: Writer, dtype: DType, lanes: int, args: Sequence[str]) -> str:
        t = type_of(dtype, lanes)
        if dtype.is_float:
            return w.call(
                f"llvm.{_INTRINSIC[name]}.{mangled(dtype, lanes)}", t, f"{t} {args[0]}", flags=w.flags
            )
        if name == "abs":
            return w.call(f"llvm.abs.{mangled(dtype, lanes)}", t, f"{t} {args[0]}", "i1 false")
        return f"add {t} {args[0]}, {splatted('0', dtype, lanes)}"  # integers are whole already

    return row


def _fma(w: Writer, dtype: DType, lanes: int, args: Sequence[str]) -> str:
    t = type_of(dtype, lanes)
    if not dtype.is_float:
        product = w.emit(f"mul {t} {args[0]}, {args[1]}")
        return f"add {t} {product}, {args[2]}"
    # fmuladd is one fused instruction where the target has one, and never a call into the C library.
    operands = [f"{t} {a}" for a in args]
    return w.call(f"llvm.fmuladd.{mangled(dtype, lanes)}", t, *operands, flags=w.flags)


def _extremum(name: str) -> _Row:
    beyond = {"maximum": ("ogt", "sgt"), "minimum": ("olt", "slt")}[name]

    def row(w: Writer, dtype: DType, lanes: int, args: Sequence[str]) -> str:
        t, c = type_of(dtype, lanes), type_of(DType.BOOL, lanes)
        a, b = args
        if not dtype.is_float:
            better = w.emit(f"icmp {beyond[1]} {t} {b}, {a}")
            return f"select {c} {better}, {t} {b}, {t} {a}"
        # One vmaxps, which yields a where either is NaN; then b where that is the NaN.
        better = w.emit(f"fcmp {beyond[0]} {t} {b}, {a}")
        best = w.emit(f"select {c} {better}, {t} {b}, {t} {a}")
        nan = w.emit(f"fcmp uno {t} {b}, {b}")
        return f"select {c} {nan}, {t} {b}, {t} {best}"

    return row


def _division(name: str) -> _Row:
    def row(w: Writer, dtype: DType, lanes: int, args: Sequence[str]) -> str:
        """`a // 0 = 0` and `smallest // -1 = smallest`, where the machine instruction would trap."""
        if dtype.is_float:
            return _float_division(w, name, dtype, lanes, args)
        t, c = type_of(dtype, lanes), type_of(DType.BOOL, lanes)
        a, b = args

        def number(value: int) -> str:
            return splatted(str(value), dtype, lanes)

        by_zero = w.emit(f"icmp eq {t} {b}, {number(0)}")
        lowest = w.emit(f"icmp eq {t} {a}, {number(-(2 ** (8 * dtype.size - 1)))}")
        minus = w.emit(f"icmp eq {t} {b}, {number(-1)}")
        overflow = w.emit(f"and {c} {lowest}, {minus}")
        trap = w.emit(f"or {c} {by_zero}, {overflow}")
        divisor = w.emit(f"select {c} {trap}, {t} {number(1)}, {t} {b}")
        rest = w.emit(f"srem {t} {a}, {divisor}")
        signs = w.emit(f"xor {t} {rest}, {divisor}")
        differ = w.emit(f"icmp slt {t} {signs}, {number(0)}")
        some = w.emit(f"icmp ne {t} {rest}, {number(0)}")
        borrow = w.emit(f"and {c} {differ}, {some}")
        if name == "mod":
            moved = w.emit(f"add {t} {rest}, {divisor}")
            return f"select {c} {borrow}, {t} {moved}, {t} {rest}"
        quotient = w.emit(f"sdiv {t} {a}, {divisor}")
        less = w.emit(f"sub {t} {quotient}, {number(1)}")
        floored = w.emit(f"select {c} {borrow}, {t} {less}, {t} {quotient}")
        return f"select {c} {by_zero}, {t} {number(0)}, {t} {floored}"

    return row


def _float_division(w: Writer, name: str, dtype: DType, lanes: int, args: Sequence[str]) -> str:
    """Python's and NumPy's: from the exact remainder, so that the rounding of a / b cannot move the floor."""
    t, c = type_of(dtype, lanes), type_of(DType.BOOL, lanes)
    a, b = args

    def number(value: float) -> str:
        return splatted(constant(value, dtype), dtype, lanes)

    def negative(value: str) -> str:
        return w.emit(f"fcmp olt {t} {value}, {number(0)}")

    def copysign(magnitude: str, sign: str) -> str:
        return w.call(f"llvm.copysign.{mangled(dtype, lanes)}", t, f"{t} {magnitude}", f"{t} {sign}")

    rest = w.emit(f"frem {t} {a}, {b}")
    some = w.emit(f"fcmp une {t} {rest}, {number(0)}")
    differ = w.emit(f"xor {c} {negative(rest)}, {negative(b)}")
    borrow = w.emit(f"and {c} {some}, {differ}")
    if name == "mod":
        moved = w.emit(f"fadd {t} {rest}, {b}")
        signed = w.emit(f"select {c} {borrow}, {t} {moved}, {t} {rest}")
        zero = w.emit(copysign(number(0), b))
        return f"select {c} {some}, {t} {signed}, {t} {zero}"
    exact = w.emit(f"fsub {t} {a}, {rest}")
    quotient = w.emit(f"fdiv {t} {exact}, {b}")
    less = w.emit(f"fsub {t} {quotient}, {number(1)}")
    quotient = w.emit(f"select {c} {borrow}, {t} {less}, {t} {quotient}")
    # A whole number but for the rounding of the division.
    whole = w.emit(w.call(f"llvm.roundeven.{mangled(dtype, lanes)}", t, f"{t} {quotient}"))
    true_quotient = w.emit(f"fdiv {t} {a}, {b}")
    zero = w.emit(copysign(number(0), true_quotient))
    nothing = w.emit(f"fcmp oeq {t} {whole}, {number(0)}")
    whole = w.emit(f"select {c} {nothing}, {t} {zero}, {t} {whole}")
    by_zero = w.emit(f"fcmp oeq {t} {b}, {number(0)}")
    return f"select {c} {by_zero}, {t} {true_quotient}, {t} {whole}"


def _bitwise(name: str) -> _Row:
    def row(w: Writer, dtype: DType, lanes: int, args: Sequence[str]) -> str:
        return f"{_BITWISE[name]} {type_of(dtype, lanes)} {args[0]}, {args[1]}"

    return row


def _shift(name: str) -> _Row:
    def row(w: Writer, dtype: DType, lanes: int, args: Sequence[str]) -> str:
        # A count that is too large is poison to LLVM, so the shift never sees it; unsigned, -1 is too large.
        t, c = type_of(dtype, lanes), type_of(DType.BOOL, lanes)
        zero = splatted("0", dtype, lanes)
        inside = w.emit(f"icmp ult {t} {args[1]}, {splatted(str(8 * dtype.size), dtype, lanes)}")
        count = w.emit(f"select {c} {inside}, {t} {args[1]}, {t} {zero}")
        shifted = w.emit(f"{_SHIFT[name]} {t} {args[0]}, {count}")
        return f"select {c} {inside}, {t} {shifted}, {t} {zero}"

    return row


def _compare(name: str) -> _Row:
    ordered, signed, unsigned = _COMPARE[name]

    def row(w: Writer, dtype: DType, lanes: int, args: Sequence[str]) -> str:
        t = type_of(dtype, lanes)
        if dtype.is_float:
            return f"fcmp {ordered} {t} {args[0]}, {args[1]}"
        return f"icmp {unsigned if dtype is DType.BOOL else signed} {t} {args[0]}, {args[1]}"

    return row


def _logic(name: str) -> _Row:
    def row(w: Writer, dtype: DType, lanes: int, args: Sequence[str]) -> str:
        return f"{name} {type_of(dtype, lanes)} {args[0]}, {args[1]}"

    return row


def _not(w: Writer, dtype: DType, lanes: int, args: Sequence[str]) -> str:
    return f"xor {type_of(dtype, lanes)} {args[0]}, {splatted('true', DType.BOOL, lanes)}"


def _select(w: Writer, dtype: DType, lanes: int, args: Sequence[str]) -> str:
    t = type_of(dtype, lanes)
    return f"select {type_of(DType.BOOL, lanes)} {args[0]}, {t} {args[1]}, {t} {args[2]}"


def _function(name: str) -> _Row:
    def row(w: Writer, dtype: DType, lanes: int, args: Sequence[str]) -> str:
        w.functions[(name, dtype, lanes)] = None
        t = type_of(dtype, lanes)
        operands = ", ".join(f"{t} {a}" for a in args)
        return f"call{w.flags} {t} @{vector_math.function_name(name, dtype.value, lanes)}({operands})"

    return row


def _cast(to: DType) -> _Row:
    def row(w: Writer, dtype: DType, lanes: int, args: Sequence[str]) -> str:
        t, target = type_of(dtype, lanes), type_of(to, lanes)
        value = f"{t} {args[0]}"
        if to is dtype:
            return f"bitcast {value} to {target}"
        if to is DType.BOOL:
            zero = splatted(constant(0, dtype), dtype, lanes)
            return f"{'fcmp une' if dtype.is_float else 'icmp ne'} {value}, {zero}"
        if dtype is DType.BOOL:
            return f"{'uitofp' if to.is_float else 'zext'} {value} to {target}"
        if dtype.is_float and to.is_float:
            return f"{'fpext' if to is DType.F64 else 'fptrunc'} {value} to {target}"
        if dtype.is_float:
            return w.call(f"llvm.fptosi.sat.{mangled(to, lanes)}.{mangled(dtype, lanes)}", target, value)
        if to.is_float:
            return f"sitofp {value} to {target}"
        return f"{'sext' if to is DType.I64 else 'trunc'} {value} to {target}"

    return row


ROWS: dict[str, _Row] = {
    **{name: _arithmetic(name) for name in ("add", "sub", "mul", "div")},
    "neg": _neg,
    **{name: _intrinsic(name) for name in _INTRINSIC},
    "fma": _fma,
    **{name: _extremum(name) for name in ("minimum", "maximum")},
    **{name: _division(name) for name in ("floordiv", "mod")},
    **{name: _bitwise(name) for name in _BITWISE},
    **{name: _shift(name) for name in _SHIFT},
    **{name: _compare(name) for name in _COMPARE},
    "not": _not,
    **{name: _logic(name) for name in ("and", "or")},
    "select": _select,
    **{name: _function(name) for name in vector_math.PRIMS},
    "pack_bf16": lambda w, dtype, lanes, args: bf16.pack(w, lanes, *args),
    **{f"cast:{to}": _cast(to) for to in DECLARED},
}
