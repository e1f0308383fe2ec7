"""Level 6, before emission: every statement of a kernel with what can be known once.

A statement in an unrolled loop is emitted many times, so its line number and the polynomial of its element
offset are computed here, once.  Three rewritings happen on the way:

| written                             | offset becomes | because                     |
|-------------------------------------|----------------|-----------------------------|
| `for l in lo..hi vector(n)`         | l → lo + l     | l then counts lanes         |
| `t = index 2*i` and `x[t]`          | t → 2*i        | the access stays affine     |
| `alloc b: f32[4]` in a vector loop  | n·offset + l   | every lane has its own copy |

>>> from graphc.ir.dims import Dim
>>> from graphc.ir.types import DType
>>> from graphc.kernel.ir import Buffer, Parameter
>>> x = Buffer("x", DType.F32, (Dim.of("N"), 4))
>>> body = For("i", 0, Dim.of("N"), (Load(Temp("t", DType.F32), x, (Dim.of("i"), 3)),))
>>> sites = Sites(Kernel("k", (Parameter(x, "in"),), (body,)))
>>> sites.roots[0].body[0].line, sites.roots[0].body[0].offset, sites.free
(3, ((4, ('i',)), (3, ())), ('N',))
"""

from __future__ import annotations

from dataclasses import dataclass

from graphc.errors import InternalError
from graphc.ir.dims import Dim, Index, names, substitute
from graphc.kernel.ir import (
    Accumulate,
    Alloc,
    Buffer,
    For,
    Kernel,
    Kind,
    LetIndex,
    Load,
    Space,
    Stmt,
    Store,
    Temp,
)
from graphc.kernel.memory import ALIGNMENT
from graphc_llvm.emit_index import Terms, terms


@dataclass(frozen=True, slots=True)
class Site:
    """A statement at its place in the kernel's text."""

    stmt: Stmt
    line: int  # in the kernel's own text, counted from 1
    body: tuple[Site, ...] = ()
    offset: Terms = ()  # of the element that is accessed; of a LetIndex: its index
    lo: Terms = ()  # of a loop
    hi: Terms = ()
    extent: Terms = ()
    padded: bool = False  # surplus lanes of this access do no harm, so they need no mask
    copies: int = 1  # of an Alloc: lanes that have a copy each


@dataclass(frozen=True, slots=True)
class Scratch:
    """A scratch buffer of a kernel: `elements` of a dtype, for each thread or for all of them."""

    buffer: Buffer
    bytes: Index
    per_thread: bool


@dataclass(frozen=True, slots=True)
class _Context:
    """What surrounds a statement while the sites are built."""

    vector: For | None = None
    parallel: bool = False


class Sites:
    """The sites of a kernel: its `roots`, its `scratch` buffers in order, its `free` dimensions.

    `mixed` names the local buffers that are accessed under different masks, so that what a surplus lane
    leaves there may be read by another loop.  The parameters that `roomy` names have memory up to the end of their
    last cache line, as scratch buffers have: what is written there nobody reads.
    """

    def __init__(self, kernel: Kernel, roomy: frozenset[str] = frozenset()) -> None:
        self.kernel, self._roomy = kernel, roomy
        self.scratch: list[Scratch] = []
        self.sites: dict[int, Scratch] = {}  # line → scratch buffer allocated there
        self._free: dict[str, None] = {}
        self._masks: dict[str, set[tuple[int, Index]]] = {}  # of local buffers: lanes and extents of accesses
        self._bound: set[str] = set()
        self._known: dict[str, Index] = {}
        self._private: dict[str, For | None] = {}
        self._line = 1
        self.roots = self._build(kernel.body, _Context())
        self.free = tuple(sorted(self._free))
        self.mixed = frozenset(name for name, masks in self._masks.items() if len(masks) > 1)

    def _build(self, body: tuple[Stmt, ...], context: _Context) -> tuple[Site, ...]:
        return tuple(self._site(stmt, context) for stmt in body)

    def _site(self, stmt: Stmt, context: _Context) -> Site:
        self._line += 1
        line = self._line
        if isinstance(stmt, For):
            return self._loop(stmt, line, context)
        if isinstance(stmt, Alloc):
            return self._alloc(stmt, line, context)
        if isinstance(stmt, LetIndex):
            index = self._seen(stmt.index, context)
            self._bound.add(stmt.temp.name)
            if stmt.temp.dtype.is_integer:
                self._known[stmt.temp.name] = index
            return Site(stmt, line, offset=terms(index))
        if isinstance(stmt, (Load, Store, Accumulate)):
            if isinstance(stmt, Load):
                self._bound.add(stmt.temp.name)
            self._note_mask(stmt.buffer, context)
            index_ = tuple(self._seen(i, context) for i in stmt.index)
            return Site(
                stmt,
                line,
                offset=self._offset(stmt.buffer, index_),
                padded=self._padded(stmt.buffer, index_, context),
            )
        self._bound.add(stmt.temp.name)
        return Site(stmt, line)

    def _loop(self, stmt: For, line: int, context: _Context) -> Site:
        lo, hi = self._seen(stmt.lo, context), self._seen(stmt.hi, context)
        self._bound.add(stmt.var)
        self._known.pop(stmt.var, None)
        vector = stmt.kind is Kind.VECTOR and stmt.lanes > 1
        if vector and context.vector is not None:
            raise InternalError(
                f"the vector loop {stmt.var} lies inside the vector loop {context.vector.var}"
            )
        inner = _Context(stmt if vector else context.vector, context.parallel or stmt.kind is Kind.PARALLEL)
        if vector and lo != 0:
            self._known[stmt.var] = lo + Dim.of(stmt.var)
        body = self._build(stmt.body, inner)
        self._known.pop(stmt.var, None)
        return Site(stmt, line, body, lo=terms(lo), hi=terms(hi), extent=terms(hi - lo))

    def _alloc(self, stmt: Alloc, line: int, context: _Context) -> Site:
        buffer = stmt.buffer
        copies = 1 if context.vector is None else context.vector.lanes
        self._private[buffer.name] = context.vector
        if buffer.space is Space.SCRATCH:
            size: Index = copies * buffer.dtype.size * buffer.elements
            found = Scratch(buffer, size, context.parallel)
            self.scratch.append(found)
            self.sites[line] = found
        elif not isinstance(buffer.elements, int):
            raise InternalError(f"{buffer} has no size that is known while compiling; put it into scratch")
        for d in buffer.shape:
            self._seen(d, context)
        return Site(stmt, line, copies=copies)

    def _seen(self, index: Index, context: _Context) -> Index:
        """The index with known variables replaced; variables that nothing binds are dimensions."""
        index = substitute(index, self._known)
        for name in names(index):
            if name not in self._bound:
                self._free[name] = None
        return index

    def _offset(self, buffer: Buffer, index: tuple[Index, ...]) -> Terms:
        if len(index) != len(buffer.shape):
            raise InternalError(f"{buffer} is indexed with {len(index)} indices")
        offset: Index = 0
        for i, stride in zip(index, buffer.strides(), strict=True):
            offset = i * stride + offset
            for name in names(stride):
                if name not in self._bound:
                    self._free[name] = None
        owner = self._private.get(buffer.name)
        if owner is not None:
            offset = offset * owner.lanes + Dim.of(owner.var)
        return terms(offset)

    def _note_mask(self, buffer: Buffer, context: _Context) -> None:
        if buffer.space is not Space.MEMORY and self._private.get(buffer.name) is None:
            loop = context.vector
            mask = (1, 0) if loop is None else (loop.lanes, substitute(loop.extent, self._known))
            masks = self._masks.setdefault(buffer.name, set())
            masks.add(mask)
            if not self._bound.isdisjoint(names(mask[1])):
                masks.add((0, 0))  # an extent that changes from one iteration to the next is two masks

    def _padded(self, buffer: Buffer, index: tuple[Index, ...], context: _Context) -> bool:
        """Whether the surplus lanes of an access stay inside its row of a local buffer, or behind its last element."""
        local = buffer.space is not Space.MEMORY
        if context.vector is None or not (local or buffer.name in self._roomy):
            return False
        if self._private.get(buffer.name) is not None:
            return True
        if not index:
            return False
        lanes, row = context.vector.lanes, buffer.shape[-1]
        start = index[-1] - Dim.of(context.vector.var)
        if not isinstance(row, int):
            return False
        if local and row % lanes == 0 and all(c % lanes == 0 for c, _ in terms(start)):
            return True
        extent = substitute(context.vector.extent, self._known)
        if buffer.space is Space.REGISTER or not (isinstance(start, int) and isinstance(extent, int)):
            return False
        size = buffer.dtype.size
        behind = buffer.elements == row == start + extent
        return behind and (start + lanes) * size <= -(-row * size // ALIGNMENT) * ALIGNMENT


def parts(sites: Sites) -> tuple[tuple[Site, ...], ...]:
    """The kernel's outermost statements, cut into functions: one for each parallel loop, one for each run of
    other statements.

    A temporary or a local buffer that one part defines and another uses would have to be passed between them;
    such a kernel stays in one piece, on one thread.
    """
    pieces: list[list[Site]] = []
    for site in sites.roots:
        if is_parallel(site) or not pieces or is_parallel(pieces[-1][-1]):
            pieces.append([])
        pieces[-1].append(site)
    whole = (sites.roots,)
    if len(pieces) < 2:
        return whole if sites.roots else ()
    for k, piece in enumerate(pieces):
        local = {name for site in piece for name in _defined(site.stmt)}
        for other in pieces[k + 1 :]:
            if local and any(not local.isdisjoint(_used(site)) for site in other):
                return whole
    return tuple(map(tuple, pieces))


def is_parallel(site: Site) -> bool:
    return isinstance(site.stmt, For) and site.stmt.kind is Kind.PARALLEL


def paired(site: Site) -> Site | None:
    """The parallel loop that is the whole body of another one: threads share the pairs of iterations."""
    return site.body[0] if len(site.body) == 1 and is_parallel(site.body[0]) else None


def _defined(stmt: Stmt) -> tuple[str, ...]:
    if isinstance(stmt, Alloc):
        return () if stmt.buffer.space is Space.SCRATCH else (stmt.buffer.name,)
    return () if isinstance(stmt, (For, Store, Accumulate)) else (stmt.temp.name,)


def _used(site: Site) -> set[str]:
    """Names of the temporaries and buffers that a statement and its body mention."""
    found: set[str] = set()
    stack = [site]
    while stack:
        s = stack.pop()
        stack.extend(s.body)
        stmt = s.stmt
        for polynomial in (s.offset, s.lo, s.hi):
            found.update(n for c, atoms in polynomial for n in names(Dim(((atoms, c),)) if atoms else 0))
        if isinstance(stmt, (Load, Store, Accumulate)):
            found.add(stmt.buffer.name)
        if isinstance(stmt, Store):
            found.update([stmt.value.name] if isinstance(stmt.value, Temp) else [])
        elif not isinstance(stmt, (For, Alloc, Load, LetIndex)):
            found.update(a.name for a in stmt.args if isinstance(a, Temp))
    return found
