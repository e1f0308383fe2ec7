"""Level 6, pairs of bfloat16: how words are packed, and how their products are added.

| statement          | x86 with AVX512-BF16                               | elsewhere                                  |
|--------------------|----------------------------------------------------|--------------------------------------------|
| `t = pack_bf16 a b`| `vcvtne2ps2bf16`, then the halves are interleaved  | integer arithmetic on the bits of the f32  |
| `acc dot= t u`     | `vdpbf16ps`                                        | two `fma` on the halves, each as an f32    |

Both ways of packing give the same bits.  `vdpbf16ps` rounds after each product, and takes sums below 2^-126 for 0.

>>> w = Writer()
>>> print(dot(w, 8, "%c", "%p", "%q"))
call <8 x float> @llvm.fmuladd.v8f32(<8 x float> %v.3, <8 x float> %v.7, <8 x float> %v.8)
"""

from __future__ import annotations

from collections.abc import Callable

from graphc.ir.types import DType
from graphc_llvm.writer import Writer, mangled, splatted, type_of

WIDEST = 16  # lanes of the widest instruction
NARROWEST = 4

F32, WORD = DType.F32, DType.BF16X2


def pack(w: Writer, lanes: int, first: str, second: str) -> str:
    """The last instruction of `pack_bf16 first second`."""
    if w.bf16:
        return _in_pieces(w, lanes, ((F32, first), (F32, second)), WORD, _converted)
    t = type_of(WORD, lanes)
    low = w.emit(f"lshr {t} {_rounded(w, lanes, first)}, {_number(16, lanes)}")
    high = w.emit(f"and {t} {_rounded(w, lanes, second)}, {_number(-0x10000, lanes)}")
    return f"or {t} {low}, {high}"


def dot(w: Writer, lanes: int, cell: str, words: str, others: str) -> str:
    """The last instruction of `cell dot= words others`."""
    if w.bf16:
        return _in_pieces(w, lanes, ((F32, cell), (WORD, words), (WORD, others)), F32, _multiplied)
    t, f = type_of(WORD, lanes), type_of(F32, lanes)
    name = f"llvm.fmuladd.{mangled(F32, lanes)}"

    def halves(text: str) -> tuple[str, str]:
        low = w.emit(f"shl {t} {text}, {_number(16, lanes)}")
        high = w.emit(f"and {t} {text}, {_number(-0x10000, lanes)}")
        return w.emit(f"bitcast {t} {low} to {f}"), w.emit(f"bitcast {t} {high} to {f}")

    (a, b), (c, d) = halves(words), halves(others)
    sum_ = w.emit(w.call(name, f, f"{f} {a}", f"{f} {c}", f"{f} {cell}", flags=w.flags))
    return w.call(name, f, f"{f} {b}", f"{f} {d}", f"{f} {sum_}", flags=w.flags)


def _number(value: int, lanes: int) -> str:
    return splatted(str(value), WORD, lanes)


def _rounded(w: Writer, lanes: int, text: str) -> str:
    """The bits of f32 numbers, rounded to their upper halves; the lower halves are arbitrary."""
    t, c = type_of(WORD, lanes), type_of(DType.BOOL, lanes)
    bits = w.emit(f"bitcast {type_of(F32, lanes)} {text} to {t}")
    size = w.emit(f"and {t} {bits}, {_number(0x7FFFFFFF, lanes)}")
    last = w.emit(f"lshr {t} {bits}, {_number(16, lanes)}")
    odd = w.emit(f"and {t} {last}, {_number(1, lanes)}")
    half = w.emit(f"add {t} {odd}, {_number(0x7FFF, lanes)}")
    up = w.emit(f"add {t} {bits}, {half}")
    nan = w.emit(f"icmp ugt {t} {size}, {_number(0x7F800000, lanes)}")
    quiet = w.emit(f"or {t} {bits}, {_number(0x400000, lanes)}")
    kept = w.emit(f"select {c} {nan}, {t} {quiet}, {t} {up}")
    small = w.emit(f"icmp ult {t} {size}, {_number(0x800000, lanes)}")
    sign = w.emit(f"and {t} {bits}, {_number(-0x80000000, lanes)}")
    return w.emit(f"select {c} {small}, {t} {sign}, {t} {kept}")


def _converted(w: Writer, lanes: int, first: str, second: str) -> str:
    f, pairs = type_of(F32, lanes), f"<{2 * lanes} x bfloat>"
    name = f"llvm.x86.avx512bf16.cvtne2ps2bf16.{32 * lanes}"
    apart = w.emit(w.call(name, pairs, f"{f} {second}", f"{f} {first}"))
    order = ", ".join(f"i32 {k + side}" for k in range(lanes) for side in (0, lanes))
    mixed = w.emit(f"shufflevector {pairs} {apart}, {pairs} poison, <{2 * lanes} x i32> <{order}>")
    return f"bitcast {pairs} {mixed} to {type_of(WORD, lanes)}"


def _multiplied(w: Writer, lanes: int, cell: str, words: str, others: str) -> str:
    f, pairs = type_of(F32, lanes), f"<{2 * lanes} x bfloat>"
    a, b = (w.emit(f"bitcast {type_of(WORD, lanes)} {text} to {pairs}") for text in (words, others))
    name = f"llvm.x86.avx512bf16.dpbf16ps.{32 * lanes}"
    return w.call(name, f, f"{f} {cell}", f"{pairs} {a}", f"{pairs} {b}")


def _in_pieces(
    w: Writer,
    lanes: int,
    operands: tuple[tuple[DType, str], ...],
    result: DType,
    instruction: Callable[..., str],
) -> str:
    """An instruction on vectors that may be wider or narrower than the machine's; their lanes are a power of two."""
    if lanes < NARROWEST:
        found = w.emit(instruction(w, NARROWEST, *(_widened(w, lanes, d, text) for d, text in operands)))
        t = type_of(result, NARROWEST)
        if lanes == 1:
            return f"extractelement {t} {found}, i64 0"
        return f"shufflevector {t} {found}, {t} poison, <2 x i32> <i32 0, i32 1>"
    if lanes <= WIDEST:
        return instruction(w, lanes, *(text for _, text in operands))
    half = lanes // 2

    def part(dtype: DType, text: str, start: int) -> tuple[DType, str]:
        t = type_of(dtype, lanes)
        taken = ", ".join(f"i32 {k}" for k in range(start, start + half))
        return dtype, w.emit(f"shufflevector {t} {text}, {t} poison, <{half} x i32> <{taken}>")

    low, high = (
        w.emit(_in_pieces(w, half, tuple(part(d, text, start) for d, text in operands), result, instruction))
        for start in (0, half)
    )
    t = type_of(result, half)
    every = ", ".join(f"i32 {k}" for k in range(lanes))
    return f"shufflevector {t} {low}, {t} {high}, <{lanes} x i32> <{every}>"


def _widened(w: Writer, lanes: int, dtype: DType, text: str) -> str:
    """A scalar or a pair as the first lanes of the narrowest vector, whose other lanes do not matter."""
    t = type_of(dtype, lanes)
    if lanes == 1:
        return w.emit(f"insertelement {type_of(dtype, NARROWEST)} zeroinitializer, {t} {text}, i64 0")
    return w.emit(f"shufflevector {t} {text}, {t} zeroinitializer, <4 x i32> <i32 0, i32 1, i32 2, i32 3>")
