"""From level 4 to level 5, rows: several reductions over the same rows become the loops of one kernel.

The kernel walks over rows, and inside a row several times over its columns.  A value is ready after as many of
these passes as there are reductions behind it, one upon the other: each pass computes what is ready then, sums
up, and stores.  What an earlier pass has computed is computed again, or, where that is dear (an exponential),
kept: in the row of a result that the last such pass overwrites, or else in a row of scratch memory.

>>> import graphc as gc
>>> from graphc.ir.graph import Graph
>>> from graphc.kernel.lower import lower
>>> from graphc.passes.fuse import fuse
>>> from graphc.passes.log import Log
>>> x = gc.input("x", ("N", 64), "float32")
>>> e = gc.exp(x)
>>> y = e / gc.sum(e, axis=1, keepdims=True)
>>> (cluster,) = fuse(Graph("f", (x.node,), (y.node,)), Log())
>>> print(lower(cluster, "k0", {x.node: "x", y.node: "y"}))
kernel k0(x: f32[N,64] in, y: f32[N,64] out)
  for i0 in 0..N
    alloc a0: f32[] register
    store a0[], 0.0
    for j0 in 0..64
      t0 = load x[i0,j0]
      t1 = exp t0
      a0[] add= t1
      store y[i0,j0], t1
    t2 = load a0[]
    for j0 in 0..64
      t3 = load y[i0,j0]
      t4 = div t3 t2
      store y[i0,j0], t4
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING

from graphc.ir.dims import Index
from graphc.ir.loops import Accumulator, Element
from graphc.ir.node import Node
from graphc.kernel.ir import Buffer
from graphc.ops.elementwise import Elementwise
from graphc.ops.reduce import ACCUMULATIONS, Reduce, identity
from graphc.passes.cluster import is_free
from graphc.passes.rows import UNIT, Rows, places

if TYPE_CHECKING:
    from graphc.kernel.lower import Lowering

DEAR = 8
"""Arithmetic for an element (an addition is 1) that costs more than to store it in a cache and to load it again."""


class Passes:
    """What each pass over the columns of a row computes; `updated` are roots that overwrite a parameter."""

    def __init__(
        self, nodes: Sequence[Node], roots: Sequence[Node], updated: Container[Node], rows: Rows
    ) -> None:
        found = places(nodes, roots, rows)
        assert found is not None, "fusion has seen to it that the loops serve all nodes"
        late = rows.late(nodes)
        self.rows, self.places, self.updated = rows, found, updated
        self.nodes = [n for n in nodes if n not in late]
        self.inside = set(self.nodes)
        self.ready: dict[Node, int] = {}  # passes that come before
        self.cost: dict[Node, int] = {}  # of computing an element anew
        for n in self.nodes:
            behind = max((self.ready.get(s, 0) for s in n.src), default=0)
            self.ready[n] = behind + isinstance(n.op, Reduce)
            own = n.op.row.cost if isinstance(n.op, Elementwise) else 0
            self.cost[n] = own + sum(self.cost.get(s, 0) for s in n.src if not self.by_row(s))
        sinks = [n for n in nodes if rows.sinks(n)]
        # By where the sum reads its operand: what is late may read the same array along the columns.
        self.row_sinks = [n for n in sinks if rows.at_row(rows.place(n.src[0].type.shape) or ())]
        stored = [r for r in roots if r not in rows.sunk and not self.by_row(r)]
        sums = [n for n in self.nodes if isinstance(n.op, Reduce)]
        sums += [n for n in sinks if n not in self.row_sinks]
        when = {n: self.ready.get(n.src[0], 0) for n in sums} | {r: self.ready[r] for r in stored}
        self.count = max(when.values(), default=0) + 1
        # A parameter is overwritten when nobody needs its old value any more.
        when |= {r: self.count - 1 for r in stored if r in updated}
        self.sums = [[n for n in sums if when[n] == p] for p in range(self.count)]
        self.stores = [[r for r in stored if when[r] == p] for p in range(self.count)]
        self.first: dict[Node, int] = {}  # the pass that computes a node for the first time
        self.kept: dict[Node, int] = {}  # the last pass to want again what is dear, or stored anyway
        for p in range(self.count):
            self._visit(p)

    def by_row(self, n: Node) -> bool:
        """Whether a node is computed once for each row only."""
        return all(self.rows.at_row(p) for p in self.places.get(n, ()))

    def _visit(self, p: int) -> None:
        stack = [*(n.src[0] for n in self.sums[p]), *self.stores[p]]
        seen: set[Node] = set()
        while stack:
            n = stack.pop()
            if n in seen or n not in self.inside or self.by_row(n):
                continue
            seen.add(n)
            first = self.first.setdefault(n, p)
            worth = self.cost[n] >= DEAR or n in self.stores[first]
            if first == p or not worth or not self._whole(n):
                stack.extend(n.src)
            else:
                self.kept[n] = p

    def room(self, n: Node, taken: Container[Node]) -> Node | None:
        """The root whose array a kept node may lie in: its own, or one that is stored when nobody wants it any more."""
        for p, roots in enumerate(self.stores):
            for r in roots:
                if r is n and p == self.first[n]:
                    return r
                free = p >= self.kept[n] and not (r in self.updated or r in self.kept or r in taken)
                if free and r.type == n.type and self._whole(r) and not self.rows.strided:
                    return r
        return None

    def _whole(self, n: Node) -> bool:
        """Whether a node has one element for each column, in the order of the loops."""
        place = self.rows.place(n.type.shape)
        return self.places[n] == {place} and place is not None and self.rows.whole(place)


def walk_rows(b: Lowering, rows: Rows) -> None:
    """The statements of a kernel over rows."""
    _Walk(b, rows).emit()


class _Walk:
    """The statements of one kernel, in the making; `index` are the variables of the loops."""

    def __init__(self, b: Lowering, rows: Rows) -> None:
        self.b, self.rows = b, rows
        self.roots = b.cluster.roots
        self.passes = Passes(b.cluster.nodes, self.roots, b.updated, rows)
        order = self._order()
        self.outer = [k for k in order if k in rows.kept]
        self.columns = [k for k in order if k not in rows.kept]
        self.names = {k: b.name("j") for k in self.columns}
        self.index: dict[int, Index] = {UNIT: 0}
        self.totals: dict[Node, Buffer] = {}  # of reductions that sink
        self.cells: dict[Node, Accumulator] = {}  # of reductions of the current row
        self.held: dict[Node, Buffer] = {}  # where an array is kept for a later pass
        self.rooms: dict[Node, Node] = {}  # those that are kept in the array of a root

    def emit(self) -> None:
        b, passes = self.b, self.passes
        for n in b.cluster.nodes:
            if self.rows.sinks(n):
                self._total(n)
        with ExitStack() as around:
            for k in self.outer:
                self.index[k] = around.enter_context(b.loop(self.rows.extents[k]))
            for n in passes.kept:
                room = passes.room(n, self.rooms.values())
                if room is not None:
                    self.rooms[n], self.held[n] = room, b.targets[room]
                else:
                    with b.serves(n):
                        shape = tuple(self.rows.extents[k] for k in self.columns)
                        self.held[n] = b.scratch("row", n.type.dtype, shape)
            for p in range(passes.count):
                self._once_for_the_row(p)
                self._pass(p)
            self._once_for_the_row(passes.count)
            for n in passes.row_sinks:
                with b.serves(n):
                    b.combine(self.totals[n], (), _accumulation(n), b.value(n.src[0], self._at(n.src[0])))
            for n in self.roots:
                if n not in self.rows.sunk and passes.by_row(n):
                    self._store(n, b.value(n, self._at(n)))
        self._when_all_rows_are_done()

    def _order(self) -> list[int]:
        """The loops in the order in which the axes of a stored array lie in memory."""
        b = self.b
        for n in (*self.roots, *b.cluster.inputs):
            place = self.rows.place(n.type.shape)
            if place is not None and self.rows.whole(place):
                buffer = b.targets[n] if n in b.targets else b.buffers[n]
                return [k for k in b.at(buffer, place) if isinstance(k, int) and k != UNIT]
        return list(self.rows.full)

    def _at(self, n: Node) -> tuple[Index, ...]:
        """The index at which the loops compute a node."""
        place = self.rows.place_of(n)
        assert place is not None
        return tuple(self.index[k] for k in place)

    def _store(self, n: Node, value: Element) -> None:
        with self.b.serves(n):
            target = self.b.targets[n]
            self.b.write(target, self.b.at(target, self._at(n)), value)

    @contextmanager
    def _columns(self, served: tuple[Node, ...]) -> Iterator[None]:
        """The loops of a pass, over the same variables as in all others."""
        with ExitStack() as stack:
            for k in self.columns:
                self.index[k] = stack.enter_context(self.b.loop(self.rows.extents[k], self.names[k], served))
            yield

    def _along(self, n: Node) -> tuple[Index, ...]:
        """The index into the total of a reduction that sinks: the columns, if it keeps them."""
        return tuple(self.index[k] for k in self.rows.columns) if self._keeps_columns(n) else ()

    def _keeps_columns(self, n: Node) -> bool:
        return any(d != 1 for d in n.type.shape)

    def _total(self, n: Node) -> None:
        b = self.b
        with b.serves(n):
            wide = self._keeps_columns(n)
            shape = tuple(self.rows.extents[k] for k in self.rows.columns) if wide else ()
            self.totals[n] = b.scratch("sum", n.type.dtype, shape)
            start = _start(b, n)
            if not wide:
                b.write(self.totals[n], (), start)
                return
            with self._columns((n,)):
                b.write(self.totals[n], self._along(n), start)

    def _once_for_the_row(self, p: int) -> None:
        """What is ready before a pass and the same in all columns is not computed in the loop.

        Where rows are the lanes of a vector, nothing may lie between them and the columns.
        """
        if self.rows.strided:
            return
        for n in self.passes.nodes:
            if self.passes.ready[n] <= p and not is_free(n):
                for place in sorted(self.passes.places.get(n, ())):
                    if self.rows.at_row(place):
                        self.b.value(n, tuple(self.index[k] for k in place))

    def _pass(self, p: int) -> None:
        b, passes = self.b, self.passes
        sums, stores = passes.sums[p], passes.stores[p]
        inner = [n for n in sums if n not in self.totals or not self._keeps_columns(n)]
        for n in inner:
            with b.serves(n):
                self.cells[n] = b.accumulator(_start(b, n))
        with self._columns((*sums, *stores)):
            for n in sums:
                with b.serves(n):
                    value = b.value(n.src[0], self._at(n.src[0]))
                    if n in inner:
                        b.accumulate(self.cells[n], _accumulation(n), value)
                    else:
                        b.combine(self.totals[n], self._along(n), _accumulation(n), value)
            values = [(n, b.value(n, self._at(n))) for n in stores]
            kept = [n for n in passes.kept if passes.first[n] == p]
            row = tuple(self.index[k] for k in self.columns)
            places = {n: b.at(self.held[n], self._at(n)) if n in self.rooms else row for n in kept}
            for n in kept:
                if n not in stores:
                    with b.serves(n):
                        b.write(self.held[n], places[n], b.value(n, self._at(n)))
            for n, value in values:
                self._store(n, value)
            for n in kept:
                b.keep(n, self._at(n), self.held[n], places[n])
        for n in inner:
            with b.serves(n):
                if n in self.totals:
                    b.combine(self.totals[n], (), _accumulation(n), b.read(self.cells[n]))
                else:
                    b.remember(n, self._at(n), b.read(self.cells[n]))

    def _when_all_rows_are_done(self) -> None:
        """Load the totals, compute what follows from them, and store it."""
        b = self.b
        late = [r for r in self.roots if r in self.rows.sunk]
        for wide in (False, True):
            roots = [r for r in late if self._keeps_columns(r) == wide]
            if not roots:
                continue
            with self._columns(tuple(roots)) if wide else nullcontext():
                for n, total in self.totals.items():
                    if self._keeps_columns(n) == wide:
                        with b.serves(n):
                            place = self.rows.place(n.type.shape, (self.rows.columns, ()))
                            assert place is not None
                            at = tuple(self.index[k] for k in place)
                            b.remember(n, at, b.load(total, self._along(n)))
                values = [(r, b.value(r, self._at(r))) for r in roots]
                for r, value in values:
                    self._store(r, value)


def _start(b: Lowering, n: Node) -> Element:
    assert isinstance(n.op, Reduce)
    return b.constant(identity(n.op.kind, n.type.dtype), n.type.dtype)


def _accumulation(n: Node) -> str:
    assert isinstance(n.op, Reduce)
    return ACCUMULATIONS[n.op.kind]
