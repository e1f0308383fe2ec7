"""Level 6, memory ahead of time: what a tile reads and writes after its reduction is asked for during it.

The tile is in registers for thousands of cycles; the lines of its bias, mask, residual or momentum, and those that it
writes, arrive meanwhile: row by row, for a burst of them would hold up the reduction's own loads.  And what the
reduction reads element by element, each far from the one before, is asked for some turns earlier.  Nothing is computed,
so the kernel's text does not speak of it.

>>> from graphc.ir.dims import Dim
>>> from graphc.ir.types import DType
>>> from graphc.kernel.ir import Buffer, Kernel, Parameter, Temp
>>> a, x = Buffer("a", DType.F32, (16,), Space.REGISTER), Buffer("x", DType.F32, (64, 16))
>>> t, u, i, j = Temp("t", DType.F32), Temp("u", DType.F32), Dim.of("i"), Dim.of("j")
>>> lane = For("j", 0, 16, (Load(t, x, (i, j)), Accumulate(a, (j,), "add", (t,))), Kind.VECTOR, 16)
>>> last = For("j", 0, 16, (Load(u, a, (j,)), Store(x, (0, j), u)), Kind.VECTOR, 16)
>>> body = (Alloc(a), For("i", 0, 64, (lane,)), last)
>>> found = Tile.of(Sites(Kernel("k", (Parameter(x, "inout"),), body)).roots)
>>> print(found.reduction.stmt, *(site.stmt for site in found.after), sep="; ")
for i in 0..64; for j in 0..16 vector(16)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from graphc.ir.dims import Index
from graphc.ir.types import DType
from graphc.kernel.ir import Accumulate, Alloc, Buffer, For, Kind, LetIndex, Load, Space, Store
from graphc_llvm.emit_index import LANE, Affine, Binding, Indexer
from graphc_llvm.sites import Site, Sites
from graphc_llvm.writer import Value, Writer

__all__ = ["Pass", "Sites", "Tile"]

LINE = 64
"""Bytes that memory delivers at once."""

ROUNDS = 32
"""Rounds of a reduction that take as long as memory does."""


FAR = 1024
"""Bytes between elements that the machine does not fetch by itself before they are asked for."""

AHEAD = 16
"""Turns until what was asked for is there."""


LARGE = 1 << 20
"""Bytes of an array that is not expected in a cache near by."""


@dataclass(frozen=True, slots=True)
class Tile:
    """The long reduction of a tile of registers, and what is done with the tile then."""

    reduction: Site
    after: tuple[Site, ...]

    @staticmethod
    def of(sites: tuple[Site, ...]) -> Tile | None:
        """The tile whose `alloc` is the first of the sites."""
        first = sites[0].stmt
        if not isinstance(first, Alloc) or first.buffer.space is not Space.REGISTER:
            return None
        long = [k for k, site in enumerate(sites) if _rounds(site) >= ROUNDS]
        return Tile(sites[long[-1]], sites[long[-1] + 1 :]) if long else None

    def far(self, w: Writer, ix: Indexer, pointers: Mapping[str, str], turn: Value) -> None:
        """In one turn of the innermost loop of the reduction, ask for the scalars that a later turn reads far away.

        Rows of vectors are streams that the machine foresees; single elements, one in each page, it does not.
        """
        inner = self.innermost
        assert isinstance(inner.stmt, For)
        here = ix.env[inner.stmt.var]
        later = w.emit(f"add nsw i64 {turn.text}, {AHEAD}")
        ix.env[inner.stmt.var] = Value(later, DType.I64, 1, turn.depth)
        found = _Lines(ix, pointers, set())
        for site in inner.body:
            found.collect_far(site, inner.stmt.var)
        found.write(w)
        ix.env[inner.stmt.var] = here

    @property
    def innermost(self) -> Site:
        """The innermost loop of the reduction that is not unrolled."""
        site = self.reduction
        while (
            len(site.body) == 1
            and isinstance(site.body[0].stmt, For)
            and site.body[0].stmt.kind is Kind.SERIAL
        ):
            site = site.body[0]
        return site

    def ask(self, w: Writer, ix: Indexer, pointers: Mapping[str, str], turn: Value) -> None:
        """In one turn of the reduction, ask for the lines of one row of the unrolled loops that follow."""
        made = _made(self.after)
        reduction = self.reduction.stmt
        assert isinstance(reduction, For)
        for top in self.after:
            loop = top.stmt
            if not isinstance(loop, For) or not isinstance(loop.extent, int) or loop.lo != 0:
                continue
            rows = loop.extent if loop.kind is Kind.UNROLL else 1
            turns = reduction.extent if isinstance(reduction.extent, int) else ROUNDS
            bits = max(0, (turns // rows).bit_length() - 1)
            row = w.emit(f"ashr i64 {turn.text}, {bits}", "row") if bits else turn.text
            due = w.emit(f"icmp slt i64 {row}, {rows}")
            if bits:
                rest = w.emit(f"and i64 {turn.text}, {(1 << bits) - 1}")
                due = w.emit(f"and i1 {due}, {w.emit(f'icmp eq i64 {rest}, 0')}")
            with w.guard(due, "ahead"):
                found = _Lines(ix, pointers, made)
                if loop.kind is Kind.UNROLL:
                    ix.env[loop.var] = Value(row, DType.I64, 1, turn.depth)
                    for site in top.body:
                        found.collect(site, 0)
                else:
                    found.collect(top, 0)
                found.write(w)


@dataclass(frozen=True, slots=True)
class Pass:
    """A pass over a row, and the next one, in the same vectors, which writes to memory that this one leaves alone."""

    next: Site

    @staticmethod
    def of(sites: tuple[Site, ...]) -> Pass | None:
        """The pass that is the first of the sites."""
        shape = _vectors(sites[0])
        following = next(
            (s for s in sites[1:] if isinstance(s.stmt, For) and s.stmt.kind is Kind.SERIAL), None
        )
        if shape is None or following is None or _vectors(following) != shape:
            return None
        used = {s.stmt.buffer for s in _inside(sites[0]) if isinstance(s.stmt, Load | Store)}
        written = [s.stmt.buffer for s in _inside(following) if isinstance(s.stmt, Store)]
        far = [b for b in written if b.space is Space.MEMORY and b not in used and _bytes(b) >= LARGE]
        return Pass(following) if far else None

    def ask(self, w: Writer, ix: Indexer, pointers: Mapping[str, str], turn: Value) -> None:
        """In one turn of the pass, ask for the lines that the next one writes in that turn."""
        loop = self.next.stmt
        assert isinstance(loop, For)
        ix.env[loop.var] = turn
        found = _Lines(ix, pointers, _made((self.next,)), loads=False)
        for site in self.next.body:
            found.collect(site, 0)
        found.write(w)


class _Lines:
    """The lines that contiguous vectors of memory touch."""

    def __init__(self, ix: Indexer, pointers: Mapping[str, str], made: set[str], loads: bool = True) -> None:
        self.ix, self.pointers, self.made, self.loads = ix, pointers, made, loads
        self.found: dict[tuple[object, ...], tuple[str, DType, Affine, bool]] = {}

    def collect(self, site: Site, lanes: int) -> None:
        """Those of a site; `lanes` are those of the vector loop around it."""
        stmt, env = site.stmt, self.ix.env
        if isinstance(stmt, For):
            if not isinstance(stmt.extent, int) or not isinstance(stmt.lo, int):
                return
            bindings: tuple[Binding, ...] = ()
            if stmt.kind is Kind.VECTOR and not lanes:
                bindings, lanes = (LANE,), stmt.extent
            elif stmt.kind is Kind.UNROLL:
                bindings = tuple(range(stmt.lo, stmt.lo + stmt.extent))
            for binding in bindings:
                env[stmt.var] = binding
                for inner in site.body:
                    self.collect(inner, lanes)
        elif not self.loads and isinstance(stmt, Load):
            return
        elif isinstance(stmt, Load | Store) and stmt.buffer.space is Space.MEMORY and lanes:
            offset = self.ix.affine(site.offset) if self._known(site) else None
            if offset is not None and offset.constant_stride == 1:
                size = stmt.buffer.dtype.size
                for k in range(0, lanes, LINE // size):
                    self._add(stmt, Affine(offset.constant + k, offset.uniform, offset.stride))

    def collect_far(self, site: Site, var: str) -> None:
        """Of the scalars in a body those that move by FAR bytes or more with each turn of a loop."""
        stmt, env = site.stmt, self.ix.env
        if isinstance(stmt, For):
            if isinstance(stmt.extent, int) and stmt.lo == 0 and stmt.kind is not Kind.SERIAL:
                for k in range(1 if stmt.kind is Kind.VECTOR else stmt.extent):
                    env[stmt.var] = LANE if stmt.kind is Kind.VECTOR else k
                    for inner in site.body:
                        self.collect_far(inner, var)
        elif isinstance(stmt, Load) and stmt.buffer.space is Space.MEMORY and self._known(site):
            by = [c * stmt.buffer.dtype.size for c, atoms in site.offset if atoms == (var,)]
            offset = self.ix.affine(site.offset)
            if by and abs(by[0]) >= FAR and offset.constant_stride == 0 and not self._near(stmt, offset):
                self._add(stmt, offset)

    def _near(self, stmt: Load, offset: Affine) -> bool:
        """Whether a line that was found is likely to hold this element too."""
        base, reach = self.pointers[stmt.buffer.name], LINE // stmt.buffer.dtype.size
        return any(
            held == base and other.uniform == offset.uniform and 0 <= offset.constant - other.constant < reach
            for held, _, other, _ in self.found.values()
        )

    def _add(self, stmt: Load | Store, offset: Affine) -> None:
        base = self.pointers[stmt.buffer.name]
        key = (base, offset.constant, *sorted(offset.uniform.items()))
        writes = isinstance(stmt, Store) or (key in self.found and self.found[key][3])
        self.found[key] = base, stmt.buffer.dtype, offset, writes

    def _known(self, site: Site) -> bool:
        """Whether the offset does not depend on data, nor on anything else that comes later."""
        atoms = {a for _, atoms in site.offset for a in atoms}
        return all(isinstance(a, str) and a not in self.made and a in self.ix.env for a in atoms)

    def write(self, w: Writer) -> None:
        for base, dtype, offset, writes in self.found.values():
            pointer, _ = self.ix.pointer(base, dtype, offset)
            w.do(w.call("llvm.prefetch.p0", "void", f"ptr {pointer}", f"i32 {int(writes)}", "i32 3", "i32 1"))


def _made(sites: tuple[Site, ...]) -> set[str]:
    """The temporaries that sites define, from which an offset may be computed."""
    inside = (s.stmt for top in sites for s in _inside(top))
    return {stmt.temp.name for stmt in inside if isinstance(stmt, Load | LetIndex)}


def _vectors(site: Site) -> tuple[Index, int] | None:
    """How many vectors of how many lanes a pass over a row takes; None of anything else."""
    stmt = site.stmt
    if not isinstance(stmt, For) or stmt.kind is not Kind.SERIAL or stmt.lo != 0 or len(site.body) != 1:
        return None
    inner = site.body[0].stmt
    if not isinstance(inner, For) or inner.kind is not Kind.VECTOR or inner.extent != inner.lanes:
        return None
    return stmt.extent, inner.lanes


def _bytes(b: Buffer) -> int:
    """The bytes of a buffer; LARGE where nobody knows them."""
    return b.elements * b.dtype.size if isinstance(b.elements, int) else LARGE


def _rounds(site: Site) -> int:
    """How often the innermost loop of a reduction runs, at least; 0 of anything else."""
    rounds, loops = 1, 0
    while isinstance(site.stmt, For) and site.stmt.kind is Kind.SERIAL:
        extent = site.stmt.extent
        rounds, loops = rounds * (extent if isinstance(extent, int) else ROUNDS), loops + 1
        if len(site.body) != 1:
            break
        site = site.body[0]
    return rounds if loops and any(isinstance(s.stmt, Accumulate) for s in _inside(site)) else 0


def _inside(site: Site) -> Iterator[Site]:
    stack = [site]
    while stack:
        site = stack.pop()
        yield site
        stack.extend(site.body)
