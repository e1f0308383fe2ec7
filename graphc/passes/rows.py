"""Level 4, rows: where in a common loop nest each node of a kernel is computed.

Several reductions can share a kernel if they reduce the same axes of arrays of one shape: the kernel walks over
the axes that are kept (a *row* each), and inside a row several times over the others (its *columns*), while the
row lies in a cache.  Loops are numbered by the axes of that shape which are not 1; a node's *place* names for each
of its own axes the loop that walks it, `UNIT` for an axis of length 1, `DATA` for anything else.

A reduction over all rows (the gradient of a bias, the mean of a loss) *sinks*: it is summed up on the way, and
known when all rows are done.  What is computed from it is late, and can only be stored.

| operation             | places of its operands                                          |
|-----------------------|-----------------------------------------------------------------|
| elementwise           | its own                                                         |
| expand, unit reshape, transpose | its own, with axes dropped, added or exchanged        |
| slice                 | its own; `DATA` on an axis that it cuts                         |
| one-hot scatter       | its own, without the axis that is indexed                       |
| gather                | its own; `DATA` on the axis that is indexed                     |
| reduction of columns  | all loops in order: it must itself be at the loops that it keeps |
| reduction that sinks  | all loops, or those of the rows: no loop of a row may be left   |

>>> import graphc as gc
>>> x = gc.input("x", (8, 1, 16))
>>> total = gc.sum(gc.exp(x), axis=2)
>>> rows = Rows.of(total.node)
>>> rows
Rows(extents=(8, 16), kept=(0,), sunk=frozenset())
>>> found = places([total.node.src[0], total.node], [total.node], rows)
>>> found[x.node], found[total.node]
({(0, -1, 1)}, {(0, -1)})
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from graphc.ir.dims import Index, product
from graphc.ir.node import Node
from graphc.ir.types import Shape
from graphc.ops.elementwise import Cast, Elementwise
from graphc.ops.gather import Gather, ScatterAdd
from graphc.ops.leaves import Const, Extent, Iota
from graphc.ops.reduce import Reduce
from graphc.ops.views import Expand, Reshape, Slice, Transpose, is_unit

UNIT = -1
DATA = -2

Place: TypeAlias = tuple[int, ...]

ENOUGH_ROWS = 8
"""Rows that are worth sharing among threads; fewer are walked by one kernel only where they are short."""

SHORT = 1 << 14
"""Elements that one thread walks over in no time."""

LONG = 1 << 16
"""Elements that are worth a walk of their own along the rows, though only columns are summed up."""

NARROW = 8
"""Columns that are too few for it."""


@dataclass(frozen=True, slots=True)
class Rows:
    """A loop nest: the extents of all its loops, and those that the reductions keep."""

    extents: tuple[Index, ...]
    kept: tuple[int, ...]
    sunk: frozenset[Node] = field(default=frozenset(), compare=False)  # what is stored when all rows are done

    @staticmethod
    def of(reduction: Node) -> Rows | None:
        """The loops of a reduction, where a kernel can walk over its rows."""
        rows = Rows._around(reduction)
        return rows if rows is not None and rows.columns and rows.fits() else None

    @staticmethod
    def summed(reduction: Node, roots: Iterable[Node]) -> Rows | None:
        """The loops of a reduction that sinks, of large arrays: it reduces the rows, and keeps the columns."""
        across = Rows._around(reduction)
        if across is None or across.kept != tuple(range(len(across.columns), len(across.extents))):
            return None
        rows = Rows(across.extents, across.columns, frozenset(roots))
        total, width = product(rows.extents), product(rows.extents[k] for k in rows.columns)
        small = isinstance(total, int) and total <= LONG
        narrow = isinstance(width, int) and width < NARROW
        return rows if rows.kept and not small and not narrow else None

    @staticmethod
    def _around(reduction: Node) -> Rows | None:
        if not isinstance(reduction.op, Reduce):
            return None
        shape = reduction.src[0].type.shape
        wide = [k for k, d in enumerate(shape) if d != 1]
        kept = tuple(j for j, k in enumerate(wide) if k not in reduction.op.axes)
        return Rows(tuple(shape[k] for k in wide), kept)

    @property
    def columns(self) -> tuple[int, ...]:
        return tuple(k for k in range(len(self.extents)) if k not in self.kept)

    @property
    def full(self) -> Place:
        return tuple(range(len(self.extents)))

    def fits(self) -> bool:
        """Whether there are rows for all threads and rows fill a vector, or there is little to do at all."""
        rows, total = product(self.extents[k] for k in self.kept), product(self.extents)
        if isinstance(total, int) and total <= SHORT:
            return True
        width = product(self.extents[k] for k in self.columns)
        narrow = isinstance(total, int) and isinstance(width, int) and width < 2 * NARROW
        return not narrow and (not isinstance(rows, int) or rows >= ENOUGH_ROWS)

    @property
    def strided(self) -> bool:
        """Whether neighbours in memory lie in different rows."""
        return bool(self.kept) and self.kept[-1] == len(self.extents) - 1

    def place_of(self, n: Node) -> Place | None:
        """Where a node is stored: once for each element, or once for each row; or when all rows are done."""
        return self.place(n.type.shape, (self.columns, ()) if n in self.sunk else (self.full, self.kept))

    def place(self, shape: Shape, ways: Iterable[tuple[int, ...]] = ()) -> Place | None:
        """The place of an array of a shape, whose axes are walked in one of some ways."""
        wide = tuple(d for d in shape if d != 1)
        for loops in ways or (self.full, self.kept):
            if wide == tuple(self.extents[k] for k in loops):
                walked = iter(loops)
                return tuple(UNIT if d == 1 else next(walked) for d in shape)
        return None

    def sinks(self, n: Node) -> bool:
        """Whether a node is a reduction over all rows."""
        if not isinstance(n.op, Reduce) or not self.kept:
            return False
        above = self.place(n.src[0].type.shape)
        return above is not None and not any(
            k in self.kept for a, k in enumerate(above) if a not in n.op.axes
        )

    def late(self, nodes: Iterable[Node]) -> set[Node]:
        """The nodes (operands first) that are known when all rows are done."""
        found: set[Node] = set()
        for n in nodes:
            if self.sinks(n) or not found.isdisjoint(n.src):
                found.add(n)
        return found

    def whole(self, place: Place) -> bool:
        """Whether a value at this place is computed once for each column of each row."""
        return tuple(k for k in place if k != UNIT) == self.full

    def at_row(self, place: Place) -> bool:
        """Whether a value at this place is the same in all columns."""
        return all(k == UNIT or k in self.kept for k in place)


def places(nodes: Sequence[Node], roots: Sequence[Node], rows: Rows) -> dict[Node, set[Place]] | None:
    """The places of nodes (operands first) and of what they read; None if the loops do not serve them."""
    found: dict[Node, set[Place]] = {}
    for r in roots:
        place = rows.place_of(r)
        if place is None:
            return None
        found.setdefault(r, set()).add(place)
    late = rows.late(nodes)
    for n in reversed(nodes):
        if n in late and any(k in rows.kept or k == DATA for place in found.get(n, ()) for k in place):
            return None
        for place in found.get(n, ()):
            operands = _operands(n, place, rows)
            if operands is None:
                return None
            for s, p in zip(n.src, operands, strict=True):
                found.setdefault(s, set()).add(p)
    return found


def _operands(n: Node, place: Place, rows: Rows) -> tuple[Place, ...] | None:
    """The places at which a node at a place reads its operands; None if that is not known."""
    match n.op:
        case Const() | Iota() | Extent():
            return ()
        case Elementwise() | Cast():
            same = all(s.type.shape == n.type.shape for s in n.src)
            return (place,) * len(n.src) if same else None
        case Expand():
            shape = n.src[0].type.shape
            tail = place[len(place) - len(shape) :]
            return (tuple(UNIT if d == 1 else p for d, p in zip(shape, tail, strict=True)),)
        case Reshape() if is_unit(n):
            wide = (p for d, p in zip(n.type.shape, place, strict=True) if d != 1)
            return (tuple(UNIT if d == 1 else next(wide) for d in n.src[0].type.shape),)
        case Transpose() as op:
            return (tuple(place[k] for k in op.inverse().perm),)
        case Slice() as op:
            cuts = zip(op.starts, op.steps, op.shape, n.src[0].type.shape, strict=True)
            kept = [(start, step, size) == (0, 1, d) for start, step, size, d in cuts]
            return (tuple(p if same else DATA for p, same in zip(place, kept, strict=True)),)
        case Gather(batch=batch):
            rank = n.src[1].type.rank
            return (*place[:batch], DATA, *place[rank:]), place[:rank]
        case ScatterAdd(batch=batch) if n.op.is_one_hot(n):
            return (*place[:batch], *place[batch + 1 :]), place[:batch]
        case Reduce(axes=axes):
            shape = n.src[0].type.shape
            if rows.sinks(n):
                above = rows.place(shape)
                left = None if above is None else tuple(k for a, k in enumerate(above) if a not in axes)
                return (above,) if above is not None and left == place else None
            outer, columns = iter(place), iter(rows.columns)
            inner = tuple(
                next(outer) if k not in axes else UNIT if d == 1 else next(columns, DATA)
                for k, d in enumerate(shape)
            )
            return (inner,) if rows.whole(inner) and inner == rows.place(shape) else None
    return None
