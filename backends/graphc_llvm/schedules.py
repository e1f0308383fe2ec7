"""Schedules for CPUs: naive kernels become tiled, vectorised and parallel ones, step by step.

Each outermost loop of a kernel is treated by itself:

1. loops that walk memory as one are fused;
2. `graphc_llvm.plan` chooses the vector loop, its lanes, and the loops of the register tile;
3. these loops are split, and the inner halves sink below the others; what blocks leave over are smaller tiles
   and a masked vector;
4. each tile is distributed over its statements, so that its accumulators become one buffer in registers,
   and sinks below the loops of the reduction; or, where the reduction itself is the vector loop, sums are
   kept per lane and combined at the end;
5. buffers that the plan wants packed are copied into panels;
6. outermost loops are shared by threads, if the machine has more than one.

Whatever a nest does not allow is left out: the result may be slower, never wrong.

>>> from graphc.ir.dims import Dim
>>> from graphc.ir.types import DType
>>> from graphc.kernel.ir import Buffer, Let, Parameter, Temp
>>> x, y = (Buffer(n, DType.F32, (Dim.of("N"), 32)) for n in "xy")
>>> t, u, at = Temp("t", DType.F32), Temp("u", DType.F32), (Dim.of("i"), Dim.of("j"))
>>> row = For("j", 0, 32, (Load(t, x, at), Let(u, "tanh", (t,)), Store(y, at, u)))
>>> kernel = Kernel("k", (Parameter(x, "in"), Parameter(y, "out")), (For("i", 0, Dim.of("N"), (row,)),))
>>> new, steps = schedule(kernel, Machine("znver4", 64, 32, 32 << 10, 1 << 20, 2), flops=Dim.of("N"), threads=2)
>>> print(new)
kernel k(x: f32[32*N] in, y: f32[32*N] out)
  for ijo in 0..N parallel
    for iji in 0..32 vector(32)
      t = load x[iji+32*ijo]
      u = tanh t
      store y[iji+32*ijo], u
>>> steps
('fuse i j', 'split ij 32', 'vectorize iji 32', 'parallelize ijo')
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Concatenate, ParamSpec

from graphc.ir.dims import Index, coefficient, names
from graphc.kernel.dependence import accesses, assigned
from graphc.kernel.edits import Forward, ScheduleError, rename_apart
from graphc.kernel.ir import Alloc, For, Kernel, Kind, Load, Space, Stmt, Store, walk
from graphc.kernel.program import Machine
from graphc.kernel.schedule import fuse, parallelize, reorder, split, unroll, vectorize
from graphc.kernel.staging import stage, stage_store
from graphc.kernel.tiling import fission, vector_reduction
from graphc.kernel.verify import verify
from graphc_llvm.plan import Nest, Plan, choose, masked_lanes, tile_sizes, unit_lanes
from graphc_llvm.rows import few, passes_over_rows, private_sums, schedule_rows, sum_up, sums_alone

P = ParamSpec("P")


def schedule(
    kernel: Kernel, machine: Machine, *, flops: Index, threads: int
) -> tuple[Kernel, tuple[str, ...]]:
    """The scheduled kernel, and the steps that lead to it, in order, as text.

    `flops` may speak of named dimensions; work that is known to be tiny stays on one thread.
    """
    s = Scheduler(kernel, machine)
    s.do(rename_apart)
    s.steps.clear()
    s.shares = threads > 1 and not (isinstance(flops, int) and flops < SMALL)
    for loop in [f.var for f in s.kernel.body if isinstance(f, For)]:
        s.nest(loop)
    if s.shares:
        s.share()
    return verify(s.kernel), tuple(s.steps)


SMALL = 20_000  # operations that no thread is worth waking up for


class Scheduler:
    """A kernel on its way, and the steps so far."""

    def __init__(self, kernel: Kernel, machine: Machine) -> None:
        self.kernel, self.machine = kernel, machine
        self.shares = False  # whether threads are to share the loops
        self.steps: list[str] = []

    def do(
        self,
        step: Callable[Concatenate[Kernel, P], tuple[Kernel, Forward]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Forward:
        """Take a step."""
        self.kernel, forward = step(self.kernel, *args, **kwargs)
        named = (f"{k}={v}" for k, v in kwargs.items())
        self.steps.append(" ".join([step.__name__, *(str(a) for a in args if a is not None), *named]))
        return forward

    def attempt(self, what: Callable[[], None]) -> bool:
        """Take several steps, or none of them if one is not legal."""
        before, count = self.kernel, len(self.steps)
        try:
            what()
        except ScheduleError:
            self.kernel = before
            del self.steps[count:]
            return False
        return True

    def loop(self, var: str) -> For:
        return next(s for s in walk(self.kernel.body) if isinstance(s, For) and s.var == var)

    def chain(self, var: str) -> list[str]:
        """A loop and the loops perfectly nested in it, outermost first."""
        loop = self.loop(var)
        found = [var]
        while len(loop.body) == 1 and isinstance(loop.body[0], For):
            loop = loop.body[0]
            found.append(loop.var)
        return found

    def parent(self, var: str) -> str | None:
        """The loop around a loop, None for an outermost one."""
        return next((f.var for f in walk(self.kernel.body) if isinstance(f, For) and _holds(f, var)), None)

    # What is done to a nest.

    def nest(self, var: str) -> None:
        """Schedule one outermost loop."""
        self.descend(var)
        var = self.fuse(var)
        nest = Nest.of(self.loop(var))
        for part in private_sums(self, nest) if self.shares and nest is not None else [var]:
            self.nest_alone(part)

    def nest_alone(self, var: str) -> None:
        """Schedule one outermost loop, whose iterations no longer add to the same cells."""
        nest = Nest.of(self.loop(var))
        if nest is None:
            self.innermost(var)
        elif passes_over_rows(nest):
            schedule_rows(self, nest)
        elif (around := sums_alone(nest)) is not None:
            self.attempt(lambda: sum_up(self, nest, around))
        else:
            plan = choose(nest, self.machine)
            if not (self.attempt(lambda: Tiling(self, nest, plan).apply()) or self.attempt_plain(nest, plan)):
                self.innermost(var)

    def descend(self, var: str) -> None:
        """Put the loops of each reduction in the order of memory: the one with the smallest steps is innermost."""
        nest = Nest.of(self.loop(var))
        for chain in nest.chains if nest is not None else ():
            order = [f.var for f in chain.loops]
            steps = {v: sum(abs(t) for s in chain.body for t in _steps(s, v)) for v in order}
            self.attempt(lambda o=order, t=steps: self._descend(o, t))  # type: ignore[misc]

    def _descend(self, order: list[str], steps: Mapping[str, int]) -> None:
        for end in range(len(order) - 1, 0, -1):
            for k in range(end):
                if steps[order[k]] < steps[order[k + 1]]:
                    self.do(reorder, order[k], order[k + 1])
                    order[k], order[k + 1] = order[k + 1], order[k]

    def attempt_plain(self, nest: Nest, plan: Plan) -> bool:
        """The plan without its tile and its copies."""
        plain = Plan(plan.vector, plan.lanes)
        return plain != plan and self.attempt(lambda: Tiling(self, nest, plain).apply())

    def fuse(self, var: str) -> str:
        """Fuse all loops of a nest that walk memory as one; the variable of the outermost loop then.

        Buffers that data index anywhere keep their axes, which say more than a flat index does.
        """
        temps = assigned(self.kernel.body)
        directed = {
            a.buffer.name
            for a in accesses(self.kernel.body)
            if any(temps.intersection(names(e)) for e in a.index)
        }
        if any(a.buffer.name in directed for a in accesses((self.loop(var),))):
            return var
        refused: set[tuple[str, str]] = set()
        while True:
            pairs = [
                (f.var, f.body[0].var)
                for f in walk((self.loop(var),))
                if isinstance(f, For) and len(f.body) == 1 and isinstance(f.body[0], For)
            ]
            pair = next((p for p in reversed(pairs) if p not in refused), None)
            if pair is None:
                return var
            try:
                forward = self.do(fuse, *pair)
            except ScheduleError:
                refused.add(pair)
            else:
                (var,) = forward.loops(var)

    def innermost(self, var: str) -> None:
        """Make vectors of the innermost loops of any nest, where that is legal."""
        lanes = unit_lanes((self.loop(var),), self.machine)
        inner = [f.var for f in walk((self.loop(var),)) if isinstance(f, For) and not _loops(f.body)]
        for v in inner:
            if not self.attempt(lambda v=v: self._reduced(v, lanes)):  # type: ignore[misc]
                self.attempt(lambda v=v: self._vectors(v, lanes))  # type: ignore[misc]

    def _reduced(self, var: str, lanes: int) -> None:
        self.do(vector_reduction, var, lanes)

    def _vectors(self, var: str, lanes: int) -> None:
        for inner, size in self.blocks(var, (lanes,)):
            self.do(vectorize, inner, lanes if size == lanes else masked_lanes(size, lanes, lanes))

    def blocks(self, var: str, sizes: tuple[int, ...]) -> list[tuple[str, Index]]:
        """Walk a loop in blocks of the first size, what is left over in blocks of the second one, and so on.

        The loops over the blocks' elements, with their extents; a block of 1 is the loop itself.
        """
        result: list[tuple[str, Index]] = []
        rest = var
        for size in sizes:
            extent = self.loop(rest).extent
            if size == 1 or (isinstance(extent, int) and extent <= size):
                return [*result, (rest, 1 if size == 1 and extent != 1 else extent)]
            parts = self.do(split, rest, size).loops(rest)
            result.append((parts[1], size))
            if len(parts) == 2:
                return result
            rest = parts[2]
        return [*result, (rest, self.loop(rest).extent)]

    def sink(self, var: str, stop: set[str]) -> None:
        """Move a loop inwards, as long as its body is one loop, and that is none of `stop`."""
        while True:
            body = self.loop(var).body
            if len(body) != 1 or not isinstance(body[0], For):
                return
            if body[0].var in stop or body[0].kind is Kind.VECTOR:
                return
            self.do(reorder, var, body[0].var)

    def share(self) -> None:
        """Give the iterations of outermost loops to threads."""
        for f in [f for f in self.kernel.body if isinstance(f, For)]:
            if f.kind is Kind.SERIAL and f.extent != 1 and not few(f, SMALL):
                with suppress(ScheduleError):
                    self.do(parallelize, f.var)


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
        outer = sorted((v for v in order if v not in tiled and v not in vector), key=self._few)
        self._arrange(order, [*outer, *vector, *tiled])
        sizes = [tile_sizes(self.extents[v], size) for v, size in plan.tile]
        if not vector:
            self._tile(list(zip(tiled, sizes, strict=True)), [], None, order[-1])
            return
        for v, extent in s.blocks(plan.vector, (plan.lanes,)):
            inside = s.chain(v)[1 : 1 + len(tiled)]
            for t in inside:
                s.do(reorder, v, t)
            todo = list(zip(inside, sizes, strict=True))
            panels = s.parent(inside[0]) if inside and not outer and extent == plan.lanes else None
            if panels is not None and self._rather(inside[0], panels):
                s.do(reorder, panels, inside[0])
                todo.insert(1, (panels, (1,)))
            lanes = plan.lanes if extent == plan.lanes else self._masked(extent)
            self._tile(todo, [], (v, lanes), v)
        for name in plan.packed:
            self._pack(name)

    def _few(self, var: str) -> bool:
        """Loops of few iterations come last: they are not worth sharing among threads."""
        extent = self.extents[var]
        return isinstance(extent, int) and extent < 2 * self.s.machine.threads

    def _rather(self, tile: str, panels: str) -> bool:
        """Whether the loop over tiles has the iterations for all threads, and the one over panels has not."""
        rows, columns = self.s.loop(tile).extent, self.s.loop(panels).extent
        few = isinstance(columns, int) and columns < 4 * self.s.machine.threads
        return few and (not isinstance(rows, int) or rows // self.plan.tile[0][1] > columns)  # type: ignore[operator]

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
        done = set(vectors)
        top = list(vectors)
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
            if _step(t, last.var) in (0, 1) or any(_step(t, v) == 0 for v in chain):
                continue
            s.attempt(lambda t=t: self._through_tile(top, t.buffer.name))  # type: ignore[misc]

    def _through_tile(self, top: str, buffer: str) -> None:
        s = self.s
        forward = s.do(stage_store, top, buffer)
        copy = s.chain(forward.loops(top)[-1])
        stores = [t for t in s.loop(copy[-1]).body if isinstance(t, Store)]
        if _step(stores[0], copy[-1]) == 1:
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
            lane = s.chain(top)[-1]
            for v, extent in s.blocks(lane, (self.unit,)):
                s.do(vectorize, v, self.unit if extent == self.unit else self._masked(extent))


def _loops(body: tuple[Stmt, ...]) -> bool:
    return any(isinstance(s, For) for s in body)


def _steps(s: Stmt, var: str) -> tuple[int, ...]:
    """Elements between the loads of neighbouring iterations, of a statement that loads and where that is known."""
    step = _step(s, var) if isinstance(s, Load) and s.buffer.space is Space.MEMORY else None
    return (step,) if isinstance(step, int) else ()


def _step(s: Load | Store, var: str) -> Index | None:
    """Elements between the accesses of neighbouring iterations, None if that is not the same everywhere."""
    total: Index = 0
    for e, stride in zip(s.index, s.buffer.strides(), strict=True):
        c = coefficient(e, var)
        if c is None:
            return None
        total = total + c * stride
    return total


def _holds(loop: For, var: str) -> bool:
    return any(isinstance(s, For) and s.var == var for s in loop.body)
