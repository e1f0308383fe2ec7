"""A plan becomes steps: blocks of the vector loop and of the tiled loops, registers for each tile, copies in panels.

The rows and columns that whole tiles leave over are smaller tiles and a masked vector.  Panels go over all tiles, so
that each stays in the second cache; or, where all panels together fit into it, each tile over all panels, so that
results are written row by row.

>>> from graphc.ir.dims import Dim
>>> from graphc.ir.types import DType
>>> from graphc.kernel.ir import Buffer, Kernel, Literal, Parameter
>>> from graphc.kernel.program import Machine
>>> from graphc_llvm.schedules import Scheduler
>>> y, at = Buffer("y", DType.F32, (40, 40)), (Dim.of("i"), Dim.of("j"))
>>> row = For("j", 0, 40, (Store(y, at, Literal(1.0, DType.F32)),))
>>> kernel = Kernel("ones", (Parameter(y, "out"),), (For("i", 0, 40, (row,)),))
>>> s = Scheduler(kernel, Machine("znver4", 64, 32, 32 << 10, 1 << 20, 2))
>>> nest = Nest.of(s.loop("i"))
>>> Tiling(s, nest, Plan("j", 32)).apply()
>>> print(s.kernel)
kernel ones(y: f32[40,40] out)
  for i in 0..40
    for jo in 0..1
      for ji in 0..32 vector(32)
        store y[i,ji+32*jo], 1.0
    for jt in 0..8 vector(8)
      store y[i,jt+32], 1.0
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphc.ir.dims import Index, names
from graphc.kernel.edits import ScheduleError
from graphc.kernel.interleave import interleave
from graphc.kernel.ir import Accumulate, Alloc, For, Load, Store, walk
from graphc.kernel.schedule import cut, reorder, split, unroll, vectorize
from graphc.kernel.staging import stage, stage_store
from graphc.kernel.tiling import fission, vector_reduction
from graphc_llvm.costs import FMA_LATENCY
from graphc_llvm.nests import Nest, Plan, heavy, masked_lanes, panel_bytes, step, tile_sizes, unit_lanes
from graphc_llvm.order import cheapest_order

if TYPE_CHECKING:
    from graphc_llvm.schedules import Scheduler


class Tiling:
    """A plan, applied to its nest."""

    def __init__(self, scheduler: Scheduler, nest: Nest, plan: Plan) -> None:
        self.s, self.nest, self.plan = scheduler, nest, plan
        self.unit = unit_lanes((nest.loops[0],), scheduler.machine)
        self.extents = {f.var: f.extent for f in nest.loops}

    def apply(self) -> None:
        s, plan = self.s, self.plan
        order = [f.var for f in self.nest.loops]
        vector = [plan.vector] if plan.vector in self.extents else []
        tiled = [v for v, _ in plan.tile]
        outer = [v for v in order if v not in tiled and v not in vector]
        many = cheapest_order(self.nest, [v for v in outer if not self._few(v)], s.machine.l2_bytes)
        outer = [*many, *(v for v in outer if self._few(v))]
        self._arrange(order, [*outer, *vector, *tiled])
        if not vector:
            sizes = [tile_sizes(self.extents[v], size) for v, size in plan.tile]
            self._tile(list(zip(tiled, sizes, strict=True)), [], None, order[-1])
            return
        for part in self._parts(tiled) if not outer else [plan.vector]:
            for v, extent in s.blocks(part, (plan.lanes,)):
                self._panels(v, extent, bool(outer))
        for name in plan.packed:
            self._pack(name)

    def _parts(self, tiled: list[str]) -> list[str]:
        """Cut off the rows that whole tiles leave over, where threads are to share the pairs of panels and tiles."""
        s, vector = self.s, self.plan.vector
        if not tiled or self._rather() or not s.uneven(self.extents[vector] // self.plan.lanes):
            return [vector]
        rows, size = self.extents[tiled[0]], self.plan.tile[0][1]
        if not isinstance(rows, int) or rows < size or rows % size == 0:
            return [vector]
        s.do(reorder, vector, tiled[0])
        parts = [s.chain(v)[1] for v in s.do(cut, tiled[0], rows - rows % size).loops(tiled[0])]
        for part in parts:
            s.do(reorder, s.parent(part) or "", part)
        return parts

    def _panels(self, v: str, extent: Index, surrounded: bool) -> None:
        """Walk the tiles of panels, or of the narrower panel that is left over: `v` is the loop over the lanes."""
        s, plan = self.s, self.plan
        inside = s.chain(v)[1 : 1 + len(plan.tile)]
        for t in inside:
            s.do(reorder, v, t)
        sizes = (tile_sizes(s.loop(t).extent, size) for t, (_, size) in zip(inside, plan.tile, strict=True))
        todo = list(zip(inside, sizes, strict=True))
        panels = s.parent(inside[0]) if inside and not surrounded and extent == plan.lanes else None
        if panels is not None and self._rather():
            s.do(reorder, panels, inside[0])
            todo.insert(1, (panels, (1,)))
        lanes = plan.lanes if extent == plan.lanes else self._masked(extent)
        self._tile(todo, [], (v, lanes), v)

    def _few(self, var: str) -> bool:
        """Loops of few iterations come last: they are not worth sharing among threads."""
        extent = self.extents[var]
        return isinstance(extent, int) and extent < 2 * self.s.machine.threads

    def _rather(self) -> bool:
        """Whether each tile goes over all panels, so that results are written row by row: all panels are near.

        Panels that were packed stay with the thread that packed them.
        """
        own = self.plan.packed and self.s.machine.threads > 1
        return not own and panel_bytes(self.nest, self.plan) <= self.s.machine.l2_bytes // 2

    def _arrange(self, order: list[str], target: list[str]) -> None:
        for place, var in enumerate(target):
            for k in range(order.index(var), place, -1):
                self.s.do(reorder, order[k - 1], order[k])
                order[k - 1], order[k] = order[k], order[k - 1]

    def _masked(self, extent: Index) -> int:
        """Lanes for a loop of less iterations than the plan's lanes."""
        if isinstance(extent, int):
            return masked_lanes(extent, 1 << 30, self.unit)
        return masked_lanes(extent, self.plan.lanes, self.unit)

    def _tile(
        self,
        todo: list[tuple[str, tuple[int, ...]]],
        unrolled: list[str],
        vector: tuple[str, int] | None,
        bottom: str,
    ) -> None:
        """Walk the tiled loops in blocks; the loop inside a block sinks below all others but the vector.

        The loops of `todo`, then those of `unrolled`, then the vector are perfectly nested.
        """
        s = self.s
        if not todo:
            self._finish(unrolled, vector, bottom)
            return
        (var, sizes), *rest = todo
        width = len(rest) + len(unrolled)
        for block, extent in s.blocks(var, sizes):
            below = s.chain(block)[1 : 1 + width + (vector is not None)]
            done = below[len(rest) : width]
            if extent != 1:
                for other in below[:width]:
                    s.do(reorder, block, other)
                done = [*done, block]
            following = [(name, sizes) for name, (_, sizes) in zip(below, rest, strict=False)]
            last = below[-1] if vector is not None or (below and extent == 1) else block
            self._tile(following, done, (below[-1], vector[1]) if vector is not None else None, last)

    def _finish(self, unrolled: list[str], vector: tuple[str, int] | None, bottom: str) -> None:
        """Distribute a tile over the statements of its body, and sink it below the reduction."""
        s = self.s
        vectors: dict[str, int] = {}
        if vector is None:
            for f in [f for f in s.loop(bottom).body if isinstance(f, For)]:
                s.do(vector_reduction, s.chain(f.var)[-1], self.plan.lanes, around=f.var)
        else:
            v, lanes = vector
            if lanes == 3 * self.unit:
                blocks, v = s.do(split, v, self.unit).loops(v)
                unrolled, lanes = [*unrolled, blocks], self.unit
            vectors = dict.fromkeys(self._distribute(v, set(), lanes), lanes)
        top = [*vectors]
        parts = self._parted(vectors)
        top = [parts.get(v, v) for v in top]
        done = {*vectors, *top}
        if vector is not None and not unrolled:
            self._in_turns(vectors)
        for u in reversed(unrolled):
            top = list(self._distribute(u, done))
            done.update(top)
        if vector is not None:
            self._scattered(top[-1], v)
        for u in [f.var for f in walk(s.kernel.body) if isinstance(f, For) and f.var in done - set(vectors)]:
            s.do(unroll, u)
        refused = [v for v, lanes in vectors.items() if not self._vector(v, lanes)]
        if vectors and len(refused) == len(vectors):
            raise ScheduleError("vectorize", refused[0], "none of its statements can run in lanes")

    def _parted(self, vectors: dict[str, int]) -> dict[str, str]:
        """Part loops of many lanes that need many registers; for each the loop over its parts, now in `vectors`."""
        s, size = self.s, 2 * self.unit
        found: dict[str, str] = {}
        for var, lanes in list(vectors.items()):
            if lanes > size and heavy(s.loop(var).body):
                del vectors[var]
                blocks = s.blocks(var, (size,))
                vectors |= {part: self._masked(extent) for part, extent in blocks}
                found[var] = s.parent(blocks[0][0]) or blocks[0][0]
        return found

    def _in_turns(self, vectors: dict[str, int]) -> None:
        """Let additions of several turns of a reduction be under way, where it has fewer vectors than one takes."""
        s = self.s
        if [len(c.loops) for c in self.nest.chains] != [1]:
            return
        for var, lanes in list(vectors.items()):
            around = s.parent(var)
            if around is None or not any(isinstance(t, Accumulate) for t in s.loop(var).body):
                continue
            extent = s.loop(around).extent
            turns = min(FMA_LATENCY // -(-lanes // self.unit), extent // 4) if isinstance(extent, int) else 1
            if turns < 2:
                continue
            before = {f.var for f in walk(s.kernel.body) if isinstance(f, For)}
            if s.attempt(lambda r=around, n=turns: self._turns(r, n)):  # type: ignore[misc]
                del vectors[var]
                new = [f for f in walk(s.kernel.body) if isinstance(f, For) and f.var not in before]
                vectors |= {f.var: lanes for f in new if not any(isinstance(t, For) for t in f.body)}

    def _turns(self, loop: str, turns: int) -> None:
        self.s.do(interleave, loop, turns)

    def _vector(self, var: str, lanes: int) -> bool:
        """Make a vector of a loop, if that is legal: a statement that data direct stays scalar."""

        def step() -> None:
            self.s.do(vectorize, var, lanes)

        return self.s.attempt(step)

    def _scattered(self, top: str, vector: str) -> None:
        """Let stores that the vector would scatter over memory go through a tile."""
        s = self.s
        chain = s.chain(top)
        if len(chain) < 2:
            return
        last = s.loop(chain[-1])
        for t in [t for t in last.body if isinstance(t, Store)]:
            if step(t, last.var) in (0, 1) or any(step(t, v) == 0 for v in chain):
                continue
            s.attempt(lambda t=t: self._through_tile(top, t.buffer.name))  # type: ignore[misc]

    def _through_tile(self, top: str, buffer: str) -> None:
        s = self.s
        forward = s.do(stage_store, top, buffer)
        copy = s.chain(forward.loops(top)[-1])
        stores = [t for t in s.loop(copy[-1]).body if isinstance(t, Store)]
        if step(stores[0], copy[-1]) == 1:
            for v, size in s.blocks(copy[-1], (2 * self.unit,)):
                s.do(vectorize, v, self._masked(size))

    def _distribute(self, var: str, stop: set[str], room: int | None = None) -> tuple[str, ...]:
        """Give each part of a loop's body its own loop, and sink these."""
        s = self.s
        parts: tuple[str, ...] = (var,)
        if len(s.loop(var).body) > 1 and any(isinstance(t, For | Alloc) for t in s.loop(var).body):
            parts = s.do(fission, var, room).loops(var)
        for part in parts:
            s.sink(part, stop)
        return parts

    def _pack(self, name: str) -> None:
        """Copy a buffer into panels as wide as the vector, those of one panel next to each other."""
        s, lanes = self.s, self.plan.lanes
        inner = {f.var for chain in self.nest.chains for f in chain.loops}
        load = next(
            t for c in self.nest.chains for t in c.body if isinstance(t, Load) and t.buffer.name == name
        )
        axes = range(len(load.index))
        (axis,) = (a for a in axes if self.plan.vector in names(load.index[a]))
        reduced = [a for a in axes if a != axis and inner.intersection(names(load.index[a]))]
        order = (*(a for a in axes if a != axis and a not in reduced), axis, *reduced)
        before = {f.var for f in s.kernel.body if isinstance(f, For)}
        s.do(stage, name, order, (axis, lanes))
        for top in [f.var for f in s.kernel.body if isinstance(f, For) and f.var not in before]:
            deep = s.chain(top)[-2]
            turns = reduced[-1:] == [len(load.index) - 1]
            for d, rows in s.blocks(deep, (self.unit,)) if turns else [(deep, 0)]:
                self._copied(d, rows == self.unit)

    def _copied(self, deep: str, square: bool) -> None:
        """The lanes of a copy, in vectors; blocks of as many rows as lanes are turned in registers."""
        s = self.s
        blocks = s.blocks(s.chain(deep)[-1], (self.unit,))
        for v, extent in blocks:
            s.do(vectorize, v, self.unit if extent == self.unit else self._masked(extent))
        if square and [extent for _, extent in blocks] == [self.unit]:
            for v in s.chain(deep)[1:-1]:
                s.do(reorder, deep, v)
            s.do(unroll, deep)
