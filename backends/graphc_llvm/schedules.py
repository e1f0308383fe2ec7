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
>>> from graphc.kernel.ir import Buffer, Let, Parameter, Store, Temp
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

from graphc.config import setting
from graphc.ir.dims import Index, names
from graphc.kernel.dependence import accesses, assigned
from graphc.kernel.edits import Forward, ScheduleError, rename_apart
from graphc.kernel.ir import For, Kernel, Kind, Load, Space, Stmt, walk
from graphc.kernel.program import Machine
from graphc.kernel.schedule import fuse, parallelize, reorder, split, vectorize
from graphc.kernel.tiling import vector_reduction
from graphc.kernel.verify import verify
from graphc_llvm.nests import Nest, Plan, masked_lanes, step, unit_lanes
from graphc_llvm.plan import choose
from graphc_llvm.rows import few, passes_over_rows, private_sums, schedule_rows, sum_up, sums_alone
from graphc_llvm.tiles import Tiling

P = ParamSpec("P")


def schedule(
    kernel: Kernel,
    machine: Machine,
    *,
    flops: Index,
    threads: int,
    choose: Callable[[Nest, Machine], Plan] = choose,
    pairs: bool | None = None,
) -> tuple[Kernel, tuple[str, ...]]:
    """The scheduled kernel, and the steps that lead to it, in order, as text.

    `flops` may speak of named dimensions; work that is known to be tiny stays on one thread.  `choose` gives the
    plan of each nest; `pairs` says whether threads share pairs of iterations (None: where that is more even).
    """
    s = Scheduler(kernel, machine, choose, pairs)
    s.do(rename_apart)
    s.steps.clear()
    moved: Index = 0
    for p in kernel.parameters:
        moved = p.buffer.dtype.size * p.buffer.elements + moved
    tiny = isinstance(flops, int) and flops < SMALL and isinstance(moved, int) and moved < 8 * SMALL
    s.shares = threads > 1 and not tiny
    for loop in [f.var for f in s.kernel.body if isinstance(f, For)]:
        s.nest(loop)
    if s.shares:
        s.share()
    return verify(s.kernel) if setting("GRAPHC_VERIFY") else s.kernel, tuple(s.steps)


SMALL = 20_000  # operations, or times eight bytes, that no thread is worth waking up for


class Scheduler:
    """A kernel on its way, and the steps so far."""

    def __init__(
        self,
        kernel: Kernel,
        machine: Machine,
        choose: Callable[[Nest, Machine], Plan] = choose,
        pairs: bool | None = None,
    ) -> None:
        self.kernel, self.machine, self.choose, self.pairs = kernel, machine, choose, pairs
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
            plan = self.choose(nest, self.machine)
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
                    inner = f.body[0]
                    pairs = self.uneven(f.extent) if self.pairs is None else self.pairs
                    if pairs and isinstance(inner, For) and inner.kind is Kind.SERIAL:
                        self.do(parallelize, inner.var)

    def uneven(self, extent: Index) -> bool:
        """Whether the threads' shares of so many iterations may differ by more than a few percent."""
        threads = self.machine.threads
        return threads > 1 and (
            not isinstance(extent, int) or (extent < 32 * threads and extent % threads != 0)
        )


def _loops(body: tuple[Stmt, ...]) -> bool:
    return any(isinstance(s, For) for s in body)


def _steps(s: Stmt, var: str) -> tuple[int, ...]:
    """Elements between the loads of neighbouring iterations, of a statement that loads and where that is known."""
    by = step(s, var) if isinstance(s, Load) and s.buffer.space is Space.MEMORY else None
    return (by,) if isinstance(by, int) else ()


def _holds(loop: For, var: str) -> bool:
    return any(isinstance(s, For) and s.var == var for s in loop.body)
