"""Level 5, private sums: a schedule step that lets threads add to one buffer without meeting.

>>> from graphc.kernel.ir import DType, Parameter
>>> x, y = Buffer("x", DType.F32, (64, 8)), Buffer("y", DType.F32, (8,))
>>> t, b, i, j = Temp("t", DType.F32), Dim.of("b"), Dim.of("i"), Dim.of("j")
>>> row = For("j", 0, 8, (Load(t, x, (16 * b + i, j)), Accumulate(y, (j,), "add", (t,))))
>>> blocks = For("b", 0, 4, (For("i", 0, 16, (row,)),))
>>> kernel = Kernel("k", (Parameter(x, "in"), Parameter(y, "inout")), (blocks,))
>>> print(privatize(kernel, "b", "y")[0])
kernel k(x: f32[64,8] in, y: f32[8] inout)
  alloc y_parts: f32[4,8] scratch
  for b_2 in 0..4
    for p in 0..8
      store y_parts[b_2,p], 0.0
  for b in 0..4
    for i in 0..16
      for j in 0..8
        t = load x[16*b+i,j]
        y_parts[b,j] add= t
  for p_2 in 0..8
    alloc y_part: f32[] register
    store y_part[], 0.0
    for b_3 in 0..4
      s = load y_parts[b_3,p_2]
      y_part[] add= s
    s_2 = load y_part[]
    y[p_2] add= s_2
"""

from __future__ import annotations

from dataclasses import replace

from graphc.ir.dims import Dim, Index
from graphc.kernel.dependence import accesses, reduction
from graphc.kernel.edits import Edit, Forward
from graphc.kernel.ir import (
    Accumulate,
    Alloc,
    Buffer,
    For,
    Kernel,
    Literal,
    Load,
    Space,
    Stmt,
    Store,
    Temp,
)
from graphc.kernel.tiling import identity


def privatize(kernel: Kernel, loop: str, buffer: str) -> tuple[Kernel, Forward]:
    """Give each iteration of an outermost loop a copy of a buffer that the loop only accumulates into.

    The copies start at the identity of the accumulation; they are combined in the order of the iterations, so that
    the result does not depend on who runs them.

    Before: `for b: … y[j] add= …`
    After:  `for b: y_parts[b,j] = 0`, `for b: … y_parts[b,j] add= …`, `for j: y[j] add= Σ_b y_parts[b,j]`
    """
    edit = Edit(kernel, "privatize")
    old = edit.loop(loop)
    found = [a for a in accesses((old,)) if a.buffer.name == buffer]
    sums = [a.stmt for a in found if isinstance(a.stmt, Accumulate)]
    if old.lo != 0 or not any(s is old for s in kernel.body):
        raise edit.error(loop, "it is not an outermost loop from 0")
    if not sums or not reduction(found):
        raise edit.error(loop, f"{buffer} is not only accumulated into, in one way")
    first = sums[0]
    op = first.combining
    target = first.buffer
    parts = Buffer(edit.fresh(f"{buffer}_parts"), target.dtype, (old.extent, *target.shape), Space.SCRATCH)
    zero = Literal(identity(op, target.dtype), target.dtype)

    def nest(body: tuple[Stmt, ...], loops: list[tuple[str, Index]]) -> Stmt:
        for var, extent in reversed(loops):
            body = (edit.derive(For(var, 0, extent, body, nodes=old.nodes), *sums),)
        (result,) = body
        return result

    own = [edit.fresh("p") for _ in target.shape]
    block = edit.fresh(loop)
    place = tuple(Dim.of(v) for v in (block, *own))
    fill = edit.derive(Store(parts, place, zero, first.nodes), *sums)
    zeros = nest((fill,), list(zip((block, *own), parts.shape, strict=True)))

    def each(s: Stmt) -> Stmt:
        if isinstance(s, Accumulate) and s.buffer.name == buffer:
            return replace(s, buffer=parts, index=(Dim.of(loop), *s.index))
        return s

    (private,) = edit.rewrite((old,), each)
    cell = Buffer(edit.fresh(f"{buffer}_part"), target.dtype, (), Space.REGISTER)
    cells, turn = [edit.fresh("p") for _ in target.shape], edit.fresh(loop)
    one, total = Temp(edit.fresh("s"), target.dtype), Temp(edit.fresh("s"), target.dtype)
    at = tuple(Dim.of(v) for v in cells)
    gather = (
        edit.derive(Load(one, parts, (Dim.of(turn), *at), first.nodes), *sums),
        edit.derive(Accumulate(cell, (), op, (one,), first.nodes), *sums),
    )
    combined = (
        edit.derive(Alloc(cell, first.nodes), *sums),
        edit.derive(Store(cell, (), zero, first.nodes), *sums),
        nest(gather, [(turn, old.extent)]),
        edit.derive(Load(total, cell, (), first.nodes), *sums),
        edit.derive(Accumulate(target, at, op, (total,), first.nodes), *sums),
    )
    alloc = edit.derive(Alloc(parts, first.nodes), *sums)
    if own:
        last: tuple[Stmt, ...] = (nest(combined, list(zip(cells, target.shape, strict=True))),)
    else:
        last = combined
    return edit.done(old, (alloc, zeros, private, *last))
