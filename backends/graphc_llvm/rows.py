"""Schedules of kernels that pass several times over the columns of each row.

The row lies in the first or second cache after the first pass, so every pass is a matter of arithmetic: its loop
becomes vectors, with as many independent sums as hide the time of an addition; fewer where an exponential keeps
the registers busy.  Rows are shared by threads; where all of them are summed up, each block of rows has sums of its
own, which are added in order at the end.

>>> from graphc.ir.dims import Dim
>>> from graphc.ir.types import DType
>>> from graphc.kernel.ir import Alloc, Buffer, Kernel, Let, Literal, Load, Parameter, Space, Temp
>>> from graphc.kernel.program import Machine
>>> from graphc_llvm.schedules import schedule
>>> x, y = (Buffer(n, DType.F32, (Dim.of("N"), 32)) for n in "xy")
>>> a, t, u, v = Buffer("a", DType.F32, (), Space.REGISTER), *(Temp(n, DType.F32) for n in "tuv")
>>> at, zero = (Dim.of("i"), Dim.of("j")), Literal(0.0, DType.F32)
>>> total = For("j", 0, 32, (Load(t, x, at), Accumulate(a, (), "add", (t,))))
>>> scaled = For("j", 0, 32, (Load(t, x, at), Let(v, "mul", (t, u)), Store(y, at, v)))
>>> row = For("i", 0, Dim.of("N"), (Alloc(a), Store(a, (), zero), total, Load(u, a, ()), scaled))
>>> kernel = Kernel("k", (Parameter(x, "in"), Parameter(y, "out")), (row,))
>>> new, steps = schedule(kernel, Machine("znver4", 64, 32, 32 << 10, 1 << 20, 1), flops=Dim.of("N"), threads=1)
>>> steps
('vector_reduction j 32 around=j', 'vectorize j_2 32')
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from graphc.ir.dims import Index, evaluate, names
from graphc.kernel.dependence import carried, groups, reduction
from graphc.kernel.ir import Accumulate, For, Space, Stmt, Store
from graphc.kernel.privatize import privatize
from graphc.kernel.schedule import split, vectorize
from graphc.kernel.tiling import vector_reduction
from graphc_llvm.nests import MEASURE, Chain, Nest, heavy, masked_lanes, unit_lanes

if TYPE_CHECKING:
    from graphc_llvm.schedules import Scheduler

SUMS = 4
"""Vectors of independent sums, such that an addition every cycle does not wait for the one before."""


SHARED = 1 << 16
"""Statements that are worth memory and code for sums of each thread."""

BLOCK = 64
"""Rows that add to one set of sums; its memory is that much smaller than that of the rows."""

LONG_BLOCK = 1 << 14
"""Elements that add to one sum, where there are no rows."""


def passes_over_rows(nest: Nest) -> bool:
    """Whether a nest passes over its rows more than once, or stores what it sums up."""
    stores = [s for c in nest.chains for s in c.body if isinstance(s, Store)]
    if any(s.buffer.space is Space.REGISTER for s in stores):
        return False  # a search: the next element depends on what was found so far
    return bool(stores) or len(nest.chains) > 1


def schedule_rows(s: Scheduler, nest: Nest) -> None:
    """Make vectors of every pass."""
    unit = unit_lanes((nest.loops[0],), s.machine)
    for chain in nest.chains:
        first, last = chain.loops[0], chain.loops[-1]
        lanes = pass_lanes(chain, unit)
        sums = any(isinstance(t, Accumulate) and not t.index for t in chain.body)

        def reduced(first: For = first, last: For = last, lanes: int = lanes) -> None:
            s.do(vector_reduction, last.var, lanes, around=first.var)

        def stored(last: For = last, lanes: int = lanes) -> None:
            for var, size in s.blocks(last.var, (lanes,)):
                s.do(vectorize, var, lanes if size == lanes else masked_lanes(size, lanes, unit))

        if not s.attempt(reduced if sums else stored):
            s.innermost(last.var)


def private_sums(s: Scheduler, nest: Nest) -> list[str]:
    """Give blocks of a loop whose iterations add to the same cells cells of their own; the outermost loops then."""
    loop = nest.loops[0]
    shared = [
        name
        for name, group in groups((loop,)).items()
        if reduction(group) and all(loop.var not in names(e) for a in group for e in a.index)
    ]
    others = carried(replace(loop, body=_without(loop.body, shared))) if shared else "nothing is added up"
    if others is not None or _work(loop) < SHARED:
        return [loop.var]
    scalars = not nest.chains and len(nest.loops) == 1
    size = _block(loop.extent, s.machine.threads, LONG_BLOCK if scalars else BLOCK)
    if size is None:
        return [loop.var]
    before = {f.var for f in s.kernel.body if isinstance(f, For)}

    def step() -> None:
        parts = s.do(split, loop.var, size).loops(loop.var)
        for name in shared:
            s.do(privatize, parts[0], name)

    if not s.attempt(step):
        return [loop.var]
    return [f.var for f in s.kernel.body if isinstance(f, For) and f.var not in before]


def _without(body: tuple[Stmt, ...], shared: list[str]) -> tuple[Stmt, ...]:
    """A body without its accumulations into some buffers."""
    result: list[Stmt] = []
    for t in body:
        if isinstance(t, For):
            result.append(replace(t, body=_without(t.body, shared)))
        elif not (isinstance(t, Accumulate) and t.buffer.name in shared):
            result.append(t)
    return tuple(result)


def _block(extent: Index, threads: int, size: int) -> int | None:
    """How many iterations add to one cell: all alike if possible, and enough blocks for all threads."""
    if not isinstance(extent, int):
        return size
    sizes = [b for b in range(2 * size, size // 8, -1) if extent // b >= 2 * threads]
    return next((b for b in sizes if extent % b == 0), sizes[-1] if sizes else None)


def sums_alone(nest: Nest) -> str | None:
    """The outermost of the loops that do nothing but add to the same cells, where the innermost loop is one."""
    sums = [t for t in nest.body if isinstance(t, Accumulate)]
    last = nest.loops[-1].var
    if nest.chains or not sums or any(isinstance(t, Store) for t in nest.body):
        return None
    index = {n for t in sums for e in t.index for n in names(e)}
    if last in index or any(t.buffer.space is Space.MEMORY for t in sums):
        return None
    same = len(nest.loops)
    while same > 1 and nest.loops[same - 2].var not in index:
        same -= 1
    return nest.loops[same - 1].var


def sum_up(s: Scheduler, nest: Nest, around: str) -> None:
    """A reduction to one cell: a vector of partial sums, or several."""
    whole = Chain(nest.loops, nest.body)
    lanes = pass_lanes(whole, unit_lanes((nest.loops[0],), s.machine))
    s.do(vector_reduction, nest.loops[-1].var, lanes, around=around)


def _total(loop: For) -> Index:
    """The statements that a loop runs."""
    total: Index = 0
    stack: list[tuple[For, Index]] = [(loop, loop.extent)]
    while stack:
        f, times = stack.pop()
        for t in f.body:
            if isinstance(t, For):
                stack.append((t, times * t.extent))
            else:
                total = total + times
    return total


def _work(loop: For) -> int:
    """The statements that a loop runs where named dimensions are as large as schedules take them to be."""
    total = _total(loop)
    return evaluate(total, dict.fromkeys(names(total), MEASURE[0]))


def few(loop: For, limit: int) -> bool:
    """Whether a loop is known to run less statements than that."""
    total = _total(loop)
    return isinstance(total, int) and total < limit


def pass_lanes(chain: Chain, unit: int) -> int:
    """Elements of a row at once."""
    extent: Index = chain.loops[-1].extent
    most = unit * (2 if heavy(chain.body) else SUMS)
    if isinstance(extent, int) and extent < most:
        return masked_lanes(max(extent, 1), 1 << 30, unit)
    return most
