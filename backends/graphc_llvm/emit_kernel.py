"""Level 6, statements: one function of a kernel, statement by statement.

| statement          | outside a vector loop | inside `vector(n)`                                          |
|--------------------|-----------------------|-------------------------------------------------------------|
| `t = load x[...]`  | a scalar load         | by the lane's stride: contiguous, broadcast, lane by lane   |
| `t = prim a b`     | a scalar instruction  | a vector instruction where an operand differs between lanes |
| `store y[...], t`  | a scalar store        | contiguous, the last lane's (stride 0), lane by lane        |
| `acc[...] op= t`   | load, combine, store  | lane-wise, or a horizontal reduction (stride 0)             |

Where a vector loop's extent is not the constant n, surplus lanes are masked: they read zero or what lane 0
reads, write nothing, and add nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from graphc.errors import InternalError
from graphc.ir.types import DType
from graphc.kernel.ir import (
    Accumulate,
    Alloc,
    Atom,
    Buffer,
    For,
    Kind,
    Let,
    LetIndex,
    Literal,
    Load,
    Space,
    Store,
    Temp,
)
from graphc_llvm import division
from graphc_llvm import lanes as lanewise
from graphc_llvm.ahead import Pass, Tile
from graphc_llvm.emit_index import LANE, Affine, Binding, Indexer
from graphc_llvm.lanes import Lanes, Place
from graphc_llvm.primitives import combine, identity, primitive
from graphc_llvm.sites import Site, paired
from graphc_llvm.transpose import tile, transpose
from graphc_llvm.writer import Value, Writer, constant, memory_type, splatted, type_of


@dataclass(frozen=True, slots=True)
class Range:
    """The iterations of a part's parallel loop (or the pairs, where a second one is its body) that this call runs."""

    lo: str
    hi: str


class KernelEmitter:
    """Emits the sites of one function.  `pointers` holds the buffers that are parameters."""

    def __init__(
        self,
        writer: Writer,
        env: dict[str, Binding],
        pointers: dict[str, str],
        locate: Callable[[int], str],
        scratch: Mapping[int, str],
        mixed: frozenset[str],
    ) -> None:
        self.w, self.env, self.pointers, self._locate, self._scratch = writer, env, pointers, locate, scratch
        self._mixed = mixed
        self.ix = Indexer(writer, env)
        self.lanes: Lanes | None = None
        self._allocas: dict[int, str] = {}
        self._ahead: dict[int, Tile | Pass] = {}  # what a loop asks for, by its line
        self._far: dict[int, Tile] = {}  # and by that of its innermost loop

    def emit(self, sites: tuple[Site, ...], share: Range | None = None) -> None:
        """All statements in order; `share` bounds the iterations of a parallel loop that is the only one."""
        for k, site in enumerate(sites):
            self.w.location = self._locate(site.line)
            stmt = site.stmt
            if isinstance(stmt, Load):
                self.env[stmt.temp.name] = self._load(site, stmt)
            elif isinstance(stmt, Let):
                self.env[stmt.temp.name] = self._let(stmt)
            elif isinstance(stmt, Store):
                self._store(site, stmt)
            elif isinstance(stmt, Accumulate):
                self._accumulate(site, stmt)
            elif isinstance(stmt, LetIndex):
                self.env[stmt.temp.name] = self._let_index(site, stmt)
            elif isinstance(stmt, Alloc):
                self._alloc(site, stmt)
                if self.lanes is None and (found := Tile.of(sites[k:])) is not None:
                    self._ahead[found.reduction.line] = found
                    self._far[found.innermost.line] = found
            elif share is not None:
                self._shared(site, stmt, share)
            else:
                if self.lanes is None and (following := Pass.of(sites[k:])) is not None:
                    self._ahead[site.line] = following
                self._loop(site, stmt)

    def _loop(self, site: Site, stmt: For) -> None:
        if stmt.kind is Kind.VECTOR and stmt.lanes > 1:
            self._vector(site, stmt)
            return
        if self._transposed(site, stmt):
            return
        lo, hi = self.ix.uniform(site.lo, stmt), self.ix.uniform(site.hi, stmt)
        bounds = _integer(lo), _integer(hi)
        if (
            bounds[0] is not None
            and bounds[1] is not None
            and (stmt.kind is Kind.UNROLL or bounds[1] - bounds[0] <= 1)
        ):
            for k in range(bounds[0], bounds[1]):
                self.env[stmt.var] = k
                self.emit(site.body)
            return
        if stmt.kind is Kind.UNROLL:
            raise InternalError(f"{stmt} has no extent that is known while compiling")
        self._serial(site, stmt, Range(lo.text, hi.text))

    def _shared(self, site: Site, stmt: For, share: Range) -> None:
        """One thread's part of a parallel loop, or of the pairs of iterations of two such loops."""
        inner = paired(site)
        if inner is None:
            self._serial(site, stmt, share)
            return
        w = self.w
        count = w.pick("smax", self.ix.uniform(inner.hi, inner.stmt).text, "1")
        up = w.emit(f"add nsw i64 {share.hi}, {w.emit(f'sub nsw i64 {count}, 1')}")
        first, last = w.emit(f"sdiv i64 {share.lo}, {count}"), w.emit(f"sdiv i64 {up}, {count}")
        with w.loop(stmt.var, first, last, guarded=True) as name:
            self.env[stmt.var] = Value(name, DType.I64, 1, w.depth)
            done = w.emit(f"mul nsw i64 {name}, {count}")
            lo = w.pick("smax", w.emit(f"sub nsw i64 {share.lo}, {done}"), "0")
            hi = w.pick("smin", w.emit(f"sub nsw i64 {share.hi}, {done}"), count)
            assert isinstance(inner.stmt, For)
            self._serial(inner, inner.stmt, Range(lo, hi))

    def _serial(self, site: Site, stmt: For, bounds: Range) -> None:
        guarded = bounds.lo.startswith("%") or bounds.hi.startswith("%")
        if not guarded and int(bounds.lo) >= int(bounds.hi):
            return
        with self.w.loop(stmt.var, bounds.lo, bounds.hi, guarded) as name:
            turn = self.env[stmt.var] = Value(name, DType.I64, 1, self.w.depth)
            if site.line in self._ahead:
                self._ahead[site.line].ask(self.w, self.ix, self.pointers, turn)
            if site.line in self._far:
                self._far[site.line].far(self.w, self.ix, self.pointers, turn)
            self.emit(site.body)

    def _vector(self, site: Site, stmt: For) -> None:
        n = stmt.lanes
        extent = self.ix.affine(site.extent)
        if extent.stride or extent.varying:
            raise InternalError(f"the bounds of {stmt} differ between lanes")
        count = self.ix.scalar(extent.uniform, extent.constant)
        known = _integer(count)
        self.env[stmt.var] = LANE
        self.ix.lanes = n
        if known is not None:
            if known > n:
                raise InternalError(f"{stmt} has more iterations than lanes")
            if known > 0:
                self.lanes = Lanes.constant(n, known)
                self.emit(site.body)
        else:
            some = self.w.pure(f"icmp sgt i64 {count.text}, 0", count.depth)
            with self.w.guard(some, f"{stmt.var}.lanes"):
                self.lanes = Lanes.masked(self.w, n, count)
                self.emit(site.body)
        self.lanes = None
        self.ix.lanes = 1

    def _transposed(self, site: Site, stmt: For) -> bool:
        """Emit a tile that turns rows into columns; False where a loop is none."""
        found = tile(site)
        if found is None:
            return False
        (inner,) = site.body
        assert isinstance(inner.stmt, For)
        n = inner.stmt.lanes
        self.env[inner.stmt.var], self.ix.lanes = LANE, n
        load, store = ([self._at(s, stmt.var, k) for k in range(n)] for s in found)
        self.ix.lanes = 1
        rows, columns = load[0].offset, [p.offset.constant_stride for p in store]
        ahead = Affine(rows.constant + 1, rows.uniform, rows.stride, rows.varying)
        if rows.varying or load[1].offset != ahead or columns != [1] * n:
            return False
        dtype, lanes = load[0].dtype, Lanes.constant(n, n)
        self.w.location = self._locate(found[0].line)
        taken = lanewise.load_rows(self.w, self.ix, load[0], lanes, "row")
        self.w.location = self._locate(found[1].line)
        for place, text in zip(store, transpose(self.w, dtype, taken), strict=True):
            lanewise.store(self.w, self.ix, place, Value(text, dtype, n, self.w.depth), lanes)
        return True

    def _at(self, site: Site, var: str, k: int) -> Place:
        """Where a statement accesses memory in one iteration of an unrolled loop."""
        assert isinstance(site.stmt, Load | Store)
        self.env[var] = k
        return self._place(site, site.stmt.buffer)

    def _alloc(self, site: Site, stmt: Alloc) -> None:
        buffer = stmt.buffer
        if buffer.space is Space.SCRATCH:
            self.pointers[buffer.name] = self._scratch[site.line]
            return
        if site.line not in self._allocas:
            elements = buffer.elements
            if not isinstance(elements, int):
                raise InternalError(f"{buffer} has no constant size")
            self._allocas[site.line] = self.w.alloca(
                memory_type(buffer.dtype), elements * site.copies, buffer.name
            )
        self.pointers[buffer.name] = self._allocas[site.line]

    def _place(self, site: Site, buffer: Buffer) -> Place:
        base = self.pointers.get(buffer.name)
        if base is None:
            raise InternalError(f"the buffer {buffer.name} is not defined here")
        blended = site.padded and buffer.name in self._mixed
        return Place(base, buffer.dtype, self.ix.affine(site.offset), site.padded, blended)

    def _load(self, site: Site, stmt: Load) -> Value:
        place = self._place(site, stmt.buffer)
        n = 1 if self.lanes is None or place.uniform else self.lanes.count
        if self.lanes is None or n == 1:
            text = lanewise.load_scalar(self.w, self.ix, place, stmt.temp.name)
        else:
            text = lanewise.load(self.w, self.ix, place, self.lanes, stmt.temp.name)
        return Value(text, stmt.buffer.dtype, n, self.w.depth)

    def _let(self, stmt: Let) -> Value:
        args = [self._value(a) for a in stmt.args]
        n = max((a.lanes for a in args), default=1)
        dtype = args[-1].dtype
        if stmt.prim == "div" and dtype.is_float and division.pays(self.w, args[1], n):
            quotient = division.divided(self.w, dtype, n, self.w.splat(args[0], n), args[1])
            return Value(quotient, stmt.temp.dtype, n, self.w.depth)
        texts = [self.w.splat(a, n) for a in args]
        if stmt.prim in ("floordiv", "mod") and dtype.is_integer:
            t, by = type_of(dtype, n), stmt.args[1]
            if isinstance(by, Literal) and by.value > 0 and int(by.value).bit_count() == 1:
                # By a power of two, rounding downwards is a shift and the rest a mask.
                bits = int(by.value).bit_length() - 1 if stmt.prim == "floordiv" else int(by.value) - 1
                head = "ashr" if stmt.prim == "floordiv" else "and"
                rhs = f"{head} {t} {texts[0]}, {splatted(str(bits), dtype, n)}"
                return Value(self.w.emit(rhs, stmt.temp.name), stmt.temp.dtype, n, self.w.depth)
            if n > 1 and self.lanes is not None and self.lanes.mask:
                # What surplus lanes hold is arbitrary, and undefined values must not reach a division.
                one = splatted("1", dtype, n)
                texts = [self.w.emit(f"select {self.lanes.mask_value}, {t} {x}, {t} {one}") for x in texts]
        rhs = primitive(self.w, stmt.prim, dtype, n, texts)
        return Value(self.w.emit(rhs, stmt.temp.name), stmt.temp.dtype, n, self.w.depth)

    def _let_index(self, site: Site, stmt: LetIndex) -> Value:
        a = self.ix.affine(site.offset)
        value = self.ix.vector(a) if a.stride or a.varying else self.ix.scalar(a.uniform, a.constant)
        dtype = stmt.temp.dtype
        if dtype is DType.I64:
            return value
        cast = primitive(self.w, f"cast:{dtype}", DType.I64, value.lanes, (value.text,))
        return Value(self.w.emit(cast, stmt.temp.name), dtype, value.lanes, self.w.depth)

    def _store(self, site: Site, stmt: Store) -> None:
        place, value = self._place(site, stmt.buffer), self._value(stmt.value)
        if self.lanes is None:
            lanewise.store_scalar(self.w, self.ix, place, value)
        else:
            lanewise.store(self.w, self.ix, place, value, self.lanes)

    def _accumulate(self, site: Site, stmt: Accumulate) -> None:
        place, args = self._place(site, stmt.buffer), [self._value(a) for a in stmt.args]
        dtype = stmt.buffer.dtype
        lanes = self.lanes
        if lanes is None:
            cell = lanewise.load_scalar(self.w, self.ix, place, stmt.buffer.name)
            rhs = combine(self.w, stmt.op, dtype, 1, cell, [a.text for a in args])
            lanewise.store_scalar(self.w, self.ix, place, Value(self.w.emit(rhs), dtype, 1, self.w.depth))
            return
        n = lanes.count
        texts = [self.w.splat(a, n) for a in args]
        if place.contiguous:
            cells = lanewise.load(self.w, self.ix, place, lanes, stmt.buffer.name)
            result = self.w.emit(combine(self.w, stmt.op, dtype, n, cells, texts))
            lanewise.store(self.w, self.ix, place, Value(result, dtype, n, self.w.depth), lanes)
            return
        op = stmt.combining
        if stmt.op == "dot":
            zero = splatted(identity("add", dtype), dtype, n)
            texts = [self.w.emit(combine(self.w, "dot", dtype, n, zero, texts))]
        elif stmt.op == "fma":
            texts = [self.w.emit(primitive(self.w, "mul", dtype, n, texts))]
        neutral = identity(op, dtype)
        new = lanes.choose(self.w, dtype, texts[0], neutral)
        if place.uniform:
            one = lanewise.reduce(self.w, op, dtype, n, new)
            cell = lanewise.load_scalar(self.w, self.ix, place, stmt.buffer.name)
            total = self.w.emit(combine(self.w, op, dtype, 1, cell, [one]))
            lanewise.store_scalar(self.w, self.ix, place, Value(total, dtype, 1, self.w.depth))
            return
        lanewise.accumulate_each(self.w, self.ix, place, lanes, op, new)

    def _value(self, atom: Atom) -> Value:
        if isinstance(atom, Temp):
            bound = self.env.get(atom.name)
            if not isinstance(bound, Value):
                raise InternalError(f"the temporary {atom.name} is not defined here")
            return bound
        return Value(constant(atom.value, atom.dtype), atom.dtype, 1, 0)


def _integer(value: Value) -> int | None:
    return None if value.text.startswith("%") else int(value.text)
