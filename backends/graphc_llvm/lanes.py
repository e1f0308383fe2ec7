"""Level 6, memory in vector loops: how the lanes of a vector reach their elements.

| element of lane l        | load                                   | store                                  |
|--------------------------|----------------------------------------|----------------------------------------|
| p[l]                     | one vector load (masked if need be)    | one vector store (masked if need be)   |
| p[l], of 10 lanes        | the same, or 8 lanes and 2 as well     | a vector of 8 lanes, and one of 2      |
| p[-l]                    | one vector load, reversed              | lane by lane                           |
| p[2*l]                   | two vector loads and a shuffle (unless | lane by lane                           |
|                          | some lanes are masked)                 |                                        |
| p[0]                     | one scalar load                        | the value of the last lane             |
| p[s*l], p[index[l]]      | lane by lane; masked lanes read lane 0 | lane by lane, or a masked scatter      |
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from graphc.ir.types import DType
from graphc_llvm.emit_index import Affine, Indexer
from graphc_llvm.primitives import combine
from graphc_llvm.writer import MEMORY, Value, Writer, mangled, memory_type, splatted, type_of

REGISTER = 64  # bytes of the widest vector register
FEW = 2
"""Stores that are better than a masked one, which takes as long as the whole vector where it lies across lines."""


_PIECE = 16  # elements of a vector that elements are picked from


@dataclass(frozen=True, slots=True)
class Place:
    """The element that each lane accesses: a base pointer and a split offset."""

    base: str
    dtype: DType
    offset: Affine
    padded: bool  # a full vector from here stays inside the buffer, so no mask is needed
    blended: bool = False  # but surplus lanes must keep what they hold, since other loops read it

    @property
    def uniform(self) -> bool:
        return self.offset.constant_stride == 0

    @property
    def contiguous(self) -> bool:
        return self.offset.constant_stride == 1


@dataclass(frozen=True, slots=True)
class Lanes:
    """The lanes of the vector loop under way; `mask` is empty where all are active."""

    count: int
    known: int | None  # active lanes, where that is known while compiling
    extent: Value | None = None  # active lanes, where it is not
    mask: str = ""

    @staticmethod
    @cache
    def constant(count: int, active: int) -> Lanes:
        bits = ", ".join(f"i1 {'true' if k < active else 'false'}" for k in range(count))
        return Lanes(count, active, mask="" if active == count else f"<{bits}>")

    @staticmethod
    def masked(w: Writer, count: int, extent: Value) -> Lanes:
        # i32 lanes halve the width of the comparison; the extent is at most `count`.
        narrow = w.pure(f"trunc i64 {extent.text} to i32", extent.depth)
        wide = w.splat(Value(narrow, DType.I32, 1, extent.depth), count)
        iota = ", ".join(f"i32 {k}" for k in range(count))
        mask = w.pure(f"icmp sgt <{count} x i32> {wide}, <{iota}>", extent.depth, "mask")
        return Lanes(count, None, extent, mask)

    @property
    def mask_value(self) -> str:
        return f"<{self.count} x i1> {self.mask}"

    def choose(self, w: Writer, dtype: DType, text: str, other: str) -> str:
        """The vector, with a constant in the surplus lanes."""
        if not self.mask:
            return text
        t = type_of(dtype, self.count)
        return w.emit(f"select {self.mask_value}, {t} {text}, {t} {splatted(other, dtype, self.count)}")

    def active(self, w: Writer, k: int) -> str | None:
        """Whether lane k is active: "true", None (never), or the name of an i1."""
        if self.known is not None:
            return "true" if k < self.known else None
        if k == 0 or self.extent is None:  # a guard has seen to lane 0
            return "true"
        return w.pure(f"icmp sgt i64 {self.extent.text}, {k}", self.extent.depth)


def load_scalar(w: Writer, ix: Indexer, place: Place, hint: str) -> str:
    pointer, _ = ix.pointer(place.base, place.dtype, place.offset)
    return _load_at(w, place.dtype, pointer, hint)


def store_scalar(w: Writer, ix: Indexer, place: Place, value: Value) -> None:
    pointer, _ = ix.pointer(place.base, place.dtype, place.offset)
    _store_at(w, place.dtype, pointer, value.text)


def load(w: Writer, ix: Indexer, place: Place, lanes: Lanes, hint: str) -> str:
    """The elements of all lanes; not for a uniform place."""
    dtype, n = place.dtype, lanes.count
    stride = place.offset.constant_stride
    if stride == 1 and not _alone(place, lanes):
        pointer, depth = ix.pointer(place.base, dtype, place.offset)
        mask = "" if place.padded else lanes.mask_value if lanes.mask else ""
        blocks = _blocks(lanes.known) if mask and lanes.known is not None else []
        if len(blocks) == FEW and blocks[0][1] * dtype.size % REGISTER == 0:
            return _load_blocks(w, dtype, n, (pointer, depth), blocks, hint)
        return _load_vector(w, dtype, n, pointer, mask, hint)
    if stride == -1 and not lanes.mask:
        pointer, depth = ix.pointer(place.base, dtype, place.offset)
        first = w.pure(f"getelementptr {MEMORY[dtype]}, ptr {pointer}, i64 {1 - n}", depth, "p")
        ascending = _load_vector(w, dtype, n, first, "", hint)
        order = ", ".join(f"i32 {n - 1 - k}" for k in range(n))
        t = type_of(dtype, n)
        return w.emit(f"shufflevector {t} {ascending}, {t} poison, <{n} x i32> <{order}>", hint)
    if stride == 2 and n > 2 and n % 2 == 0 and not lanes.mask:
        return _load_every_other(w, ix, place, n, hint)
    t, result = memory_type(dtype, n), "poison"
    for k, pointer in _pointers(w, ix, place, lanes):
        one = w.emit(f"load {MEMORY[dtype]}, ptr {pointer}, align {dtype.size}")
        result = w.emit(f"insertelement {t} {result}, {MEMORY[dtype]} {one}, i64 {k}", hint)
    return _from_memory(w, dtype, n, result, hint)


def _load_every_other(w: Writer, ix: Indexer, place: Place, n: int, hint: str) -> str:
    """p[0], p[2], p[4], …: two vectors that overlap by an element, so that nothing beyond the last one is read."""
    dtype = place.dtype
    pointer, depth = ix.pointer(place.base, dtype, place.offset)
    width = min(n, _PIECE)
    taken = (*range(0, width, 2), *range(width + 1, 2 * width, 2))  # of both vectors together
    order = ", ".join(f"i32 {k}" for k in taken)
    parts = []
    for start in range(0, 2 * n, 2 * width):
        both = []
        for first in (start, start + width - 1):
            at = w.pure(f"getelementptr {MEMORY[dtype]}, ptr {pointer}, i64 {first}", depth, "p")
            both.append(f"{type_of(dtype, width)} {_load_vector(w, dtype, width, at, '', hint)}")
        parts.append(w.emit(f"shufflevector {', '.join(both)}, <{width} x i32> <{order}>", hint))
    while len(parts) > 1:
        t = type_of(dtype, width)
        width *= 2
        every = f"<{width} x i32> <{_span(0, width)}>"
        parts = [
            w.emit(f"shufflevector {t} {a}, {t} {b}, {every}", hint)
            for a, b in zip(parts[::2], parts[1::2], strict=True)
        ]
    return parts[0]


def load_rows(w: Writer, ix: Indexer, place: Place, lanes: Lanes, hint: str) -> list[str]:
    """For each lane, the elements that follow its own one in memory: as many as there are lanes."""
    return [
        _load_vector(w, place.dtype, lanes.count, pointer, "", hint)
        for _, pointer in _pointers(w, ix, place, lanes)
    ]


def store(w: Writer, ix: Indexer, place: Place, value: Value, lanes: Lanes) -> None:
    dtype, n = place.dtype, lanes.count
    if place.uniform:
        store_scalar(w, ix, place, _last(w, value, lanes))
        return
    vector = _to_memory(w, dtype, n, w.splat(value, n))
    t = memory_type(dtype, n)
    mask = "" if place.padded else lanes.mask
    if place.contiguous and not _alone(place, lanes):
        pointer, depth = ix.pointer(place.base, dtype, place.offset)
        if mask and lanes.known is not None and len(blocks := _blocks(lanes.known)) <= FEW:
            for start, size in blocks:
                part = _part(w, t, vector, start, size)
                at = w.pure(f"getelementptr {MEMORY[dtype]}, ptr {pointer}, i64 {start}", depth, "p")
                w.do(f"store {memory_type(dtype, size)} {part}, ptr {at}, align {dtype.size}")
            return
        if not mask:
            if place.blended and lanes.mask:
                # Unlike a masked store, this leaves the buffer a candidate for registers.
                old = w.emit(f"load {t}, ptr {pointer}, align {dtype.size}")
                vector = w.emit(f"select {lanes.mask_value}, {t} {vector}, {t} {old}")
            w.do(f"store {t} {vector}, ptr {pointer}, align {dtype.size}")
            return
        name = f"llvm.masked.store.v{n}{_memory_mangled(dtype)}.p0"
        w.do(w.call(name, "void", f"{t} {vector}", f"ptr {pointer}", f"i32 {dtype.size}", lanes.mask_value))
        return
    if lanes.known is not None:
        for k, pointer in _pointers(w, ix, place, lanes):
            one = w.emit(f"extractelement {t} {vector}, i64 {k}")
            w.do(f"store {MEMORY[dtype]} {one}, ptr {pointer}, align {dtype.size}")
        return
    base, _ = ix.pointer(place.base, dtype, _without_lanes(place.offset))
    offsets = ix.vector(_only_lanes(place.offset))
    pointers = w.emit(f"getelementptr {MEMORY[dtype]}, ptr {base}, {offsets}")
    name = f"llvm.masked.scatter.v{n}{_memory_mangled(dtype)}.v{n}p0"
    w.do(
        w.call(
            name, "void", f"{t} {vector}", f"<{n} x ptr> {pointers}", f"i32 {dtype.size}", lanes.mask_value
        )
    )


def _load_blocks(
    w: Writer, dtype: DType, n: int, pointer: tuple[str, int], blocks: list[tuple[int, int]], hint: str
) -> str:
    """Two blocks of lanes, the second one in a register of its own; zeros in the surplus lanes."""
    (_, size), (start, rest) = blocks
    t, small = memory_type(dtype, size), memory_type(dtype, rest)
    first = w.emit(f"load {t}, ptr {pointer[0]}, align {dtype.size}", hint)
    at = w.pure(f"getelementptr {MEMORY[dtype]}, ptr {pointer[0]}, i64 {start}", pointer[1], "p")
    second = w.emit(f"load {small}, ptr {at}, align {dtype.size}", hint)
    if rest == 1:
        wide = w.emit(f"insertelement {t} zeroinitializer, {small} {second}, i64 0")
    else:
        order = f"{_span(0, rest)}, " + ", ".join([f"i32 {rest}"] * (size - rest))
        wide = w.emit(f"shufflevector {small} {second}, {small} zeroinitializer, <{size} x i32> <{order}>")
    # The lanes after both, where there are any, are zeros too: all but `rest` of the second vector are.
    order = ", ".join(f"i32 {min(k, 2 * size - 1)}" for k in range(n))
    whole = w.emit(f"shufflevector {t} {first}, {t} {wide}, <{n} x i32> <{order}>", hint)
    return _from_memory(w, dtype, n, whole, hint)


def _blocks(count: int) -> list[tuple[int, int]]:
    """(start, size) of powers of two that make a number of lanes, largest first."""
    found, start = [], 0
    while start < count:
        size = 1 << ((count - start).bit_length() - 1)
        found.append((start, size))
        start += size
    return found


def _part(w: Writer, type: str, vector: str, start: int, size: int) -> str:
    """Some lanes of a vector."""
    if size == 1:
        return w.emit(f"extractelement {type} {vector}, i64 {start}")
    return w.emit(
        f"shufflevector {type} {vector}, {type} poison, <{size} x i32> <{_span(start, start + size)}>"
    )


def _alone(place: Place, lanes: Lanes) -> bool:
    """Whether one lane is accessed by itself.

    LLVM 22 makes a scalar access of a masked one whose mask is a constant with one lane, and when a conversion is
    folded into it, one of the wrong width: `masked.store (trunc <2 x i64>)` writes eight bytes instead of four.
    """
    return lanes.known == 1 and not place.padded


def accumulate_each(w: Writer, ix: Indexer, place: Place, lanes: Lanes, op: str, new: str) -> None:
    """Lane after lane, since two may meet in one cell; surplus lanes add the identity to lane 0's cell."""
    t = type_of(place.dtype, lanes.count)
    for k, pointer in _pointers(w, ix, place, lanes):
        one = w.emit(f"extractelement {t} {new}, i64 {k}")
        cell = _load_at(w, place.dtype, pointer, "cell")
        _store_at(w, place.dtype, pointer, w.emit(combine(w, op, place.dtype, 1, cell, [one])))


def reduce(w: Writer, op: str, dtype: DType, n: int, vector: str) -> str:
    """All lanes combined into one: halves pairwise for a power of two, which is a fixed order."""
    width = n
    while width % 2 == 0:
        half = width // 2
        t = type_of(dtype, width)
        low = w.emit(
            f"shufflevector {t} {vector}, {t} poison, <{half} x i32> <{_span(0, half)}>"
            if half > 1
            else f"extractelement {t} {vector}, i64 0"
        )
        high = w.emit(
            f"shufflevector {t} {vector}, {t} poison, <{half} x i32> <{_span(half, width)}>"
            if half > 1
            else f"extractelement {t} {vector}, i64 1"
        )
        vector, width = w.emit(combine(w, op, dtype, half, low, [high])), half
    if width == 1:
        return vector
    t = type_of(dtype, width)
    total = w.emit(f"extractelement {t} {vector}, i64 0")
    for k in range(1, width):
        one = w.emit(f"extractelement {t} {vector}, i64 {k}")
        total = w.emit(combine(w, op, dtype, 1, total, [one]))
    return total


def _pointers(w: Writer, ix: Indexer, place: Place, lanes: Lanes) -> list[tuple[int, str]]:
    """(lane, address); lanes that are never active are left out, masked lanes get the address of lane 0."""
    element = MEMORY[place.dtype]
    stride = place.offset.constant_stride
    base, depth = ix.pointer(place.base, place.dtype, _without_lanes(place.offset))
    found: list[tuple[int, str]] = []
    step_depth = 0
    if place.offset.varying:
        offsets = ix.vector(_only_lanes(place.offset))
        first = w.emit(f"extractelement {offsets}, i64 0")
    elif stride is None:
        symbolic = {f: c for f, c in place.offset.stride.items() if f}
        step = ix.scalar(symbolic, place.offset.stride.get((), 0))
        step_depth, depth = step.depth, max(depth, step.depth)
    for k in range(lanes.count):
        active = lanes.active(w, k)
        if active is None:
            continue
        if place.offset.varying:
            offset = first if k == 0 else w.emit(f"extractelement {offsets}, i64 {k}")
            if active != "true":
                offset = w.emit(f"select i1 {active}, i64 {offset}, i64 {first}")
            found.append((k, w.emit(f"getelementptr {element}, ptr {base}, i64 {offset}", "p")))
            continue
        if stride is None:
            offset = w.pure(f"mul nsw i64 {step.text}, {k}", step.depth, "x") if k else "0"
        else:
            offset = str(stride * k)
        at = depth
        if active != "true" and lanes.extent is not None:
            chosen = max(step_depth, lanes.extent.depth)
            offset = w.pure(f"select i1 {active}, i64 {offset}, i64 0", chosen, "x")
            at = max(depth, chosen)
        found.append((k, w.pure(f"getelementptr {element}, ptr {base}, i64 {offset}", at, "p")))
    return found


def _without_lanes(offset: Affine) -> Affine:
    return Affine(offset.constant, offset.uniform, {})


def _only_lanes(offset: Affine) -> Affine:
    return Affine(0, {}, offset.stride, offset.varying)


def _last(w: Writer, value: Value, lanes: Lanes) -> Value:
    """What the last iteration stores: a later one overwrites an earlier one."""
    if value.lanes == 1:
        return value
    if lanes.extent is None:
        index = str((lanes.known or 1) - 1)
    else:
        index = w.pure(f"add nsw i64 {lanes.extent.text}, -1", lanes.extent.depth, "x")
    return Value(w.emit(f"extractelement {value}, i64 {index}"), value.dtype, 1, w.depth)


def _span(start: int, stop: int) -> str:
    return ", ".join(f"i32 {k}" for k in range(start, stop))


def _load_at(w: Writer, dtype: DType, pointer: str, hint: str) -> str:
    text = w.emit(f"load {MEMORY[dtype]}, ptr {pointer}, align {dtype.size}", hint)
    return _from_memory(w, dtype, 1, text, hint)


def _store_at(w: Writer, dtype: DType, pointer: str, text: str) -> None:
    w.do(f"store {MEMORY[dtype]} {_to_memory(w, dtype, 1, text)}, ptr {pointer}, align {dtype.size}")


def _load_vector(w: Writer, dtype: DType, n: int, pointer: str, mask: str, hint: str) -> str:
    t = memory_type(dtype, n)
    if mask:
        name = f"llvm.masked.load.v{n}{_memory_mangled(dtype)}.p0"
        # Since LLVM 22 the alignment is an attribute of the pointer; this form is read by all versions.
        args = f"ptr {pointer}", f"i32 {dtype.size}", mask, f"{t} zeroinitializer"
        text = w.emit(w.call(name, t, *args), hint)
    else:
        text = w.emit(f"load {t}, ptr {pointer}, align {dtype.size}", hint)
    return _from_memory(w, dtype, n, text, hint)


def _from_memory(w: Writer, dtype: DType, n: int, text: str, hint: str) -> str:
    return (
        w.emit(f"icmp ne {memory_type(dtype, n)} {text}, zeroinitializer", hint)
        if dtype is DType.BOOL
        else text
    )


def _to_memory(w: Writer, dtype: DType, n: int, text: str) -> str:
    if dtype is not DType.BOOL:
        return text
    return w.emit(f"zext {type_of(dtype, n)} {text} to {memory_type(dtype, n)}")


def _memory_mangled(dtype: DType) -> str:
    return "i8" if dtype is DType.BOOL else mangled(dtype)
