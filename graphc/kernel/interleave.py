"""Level 5, sums in turns: a schedule step that lets several additions be under way at once.

An addition to a register waits for the one before it; where a reduction has few registers, that is what takes its
time.  Turns of the reduction's loop add to registers of their own, which are added up at the end.

>>> from graphc.kernel.ir import DType, Parameter
>>> x, acc = Buffer("x", DType.F32, (64, 8)), Buffer("acc", DType.F32, (8,), Space.REGISTER)
>>> t, r, i = Temp("t", DType.F32), Dim.of("r"), Dim.of("i")
>>> row = For("i", 0, 8, (Load(t, x, (r, i)), Accumulate(acc, (i,), "add", (t,))))
>>> kernel = Kernel("k", (Parameter(x, "in"),), (Alloc(acc), For("r", 0, 64, (row,))))
>>> print(interleave(kernel, "r", 2)[0])
kernel k(x: f32[64,8] in)
  alloc acc: f32[8] register
  alloc acc_turn: f32[8] register
  for i_2 in 0..8
    store acc_turn[i_2], 0.0
  for ro in 0..32
    for i_4 in 0..8
      t_2 = load x[2*ro,i_4]
      acc[i_4] add= t_2
    for i_5 in 0..8
      t_3 = load x[2*ro+1,i_5]
      acc_turn[i_5] add= t_3
  for i_3 in 0..8
    p = load acc_turn[i_3]
    acc[i_3] add= p
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from graphc.ir.dims import Dim, names
from graphc.kernel.dependence import groups, reduction
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


def interleave(kernel: Kernel, loop: str, turns: int) -> tuple[Kernel, Forward]:
    """Let as many turns of a loop, whose body is a loop of sums, add to sums of their own.

    Only the order of the additions changes (or of max=, min=, mul=), which `Accumulate` leaves free.

    Before: `for r in 0..R: for i: acc[i] add= x[r,i]`
    After:  `for i: acc_turn[i] = 0`, `for ro in 0..R/2: for i: acc[i] add= x[2*ro,i]`,
    `for i: acc_turn[i] add= x[2*ro+1,i]`, what is left over, and `for i: acc[i] add= acc_turn[i]`
    """
    edit = Edit(kernel, "interleave")
    old = edit.loop(loop)
    sums = _sums(edit, old)
    inner = old.body[0]
    assert isinstance(inner, For)
    allocs: list[Stmt] = []
    first: list[Stmt] = []
    last: list[Stmt] = []
    own: list[dict[str, Buffer]] = [{} for _ in range(turns - 1)]
    for name, s in sums.items():
        op = s.combining
        zero = Literal(identity(op, s.buffer.dtype), s.buffer.dtype)
        for held in own:
            part = held[name] = replace(s.buffer, name=edit.fresh(f"{name}_turn"))
            allocs.append(edit.derive(Alloc(part, s.nodes), s))
            before, after = edit.fresh(inner.var), edit.fresh(inner.var)
            taken = Temp(edit.fresh("p"), part.dtype)
            (put,) = edit.substitute((Store(part, s.index, zero, s.nodes),), {inner.var: Dim.of(before)})
            read, combine = edit.substitute(
                (Load(taken, part, s.index, s.nodes), Accumulate(s.buffer, s.index, op, (taken,), s.nodes)),
                {inner.var: Dim.of(after)},
            )
            first.append(edit.derive(replace(inner, var=before, body=(edit.derive(put, s),)), inner))
            body = (edit.derive(read, s), edit.derive(combine, s))
            last.append(edit.derive(replace(inner, var=after, body=body), inner))

    def to(held: Mapping[str, Buffer], s: Stmt) -> Stmt:
        mine = isinstance(s, Accumulate) and s.buffer.name in held
        return replace(s, buffer=held[s.buffer.name]) if mine else s  # type: ignore[union-attr,arg-type]

    blocks, out = old.extent // turns, edit.fresh(f"{loop}o")
    main: list[Stmt] = []
    for k, held in enumerate([{}, *own]):
        copy = edit.duplicate(old.body, {loop: old.lo + turns * Dim.of(out) + k})
        main += edit.rewrite(copy, lambda s, held=held: to(held, s))  # type: ignore[misc]
    loops = [edit.derive(replace(old, var=out, lo=0, hi=blocks, body=tuple(main)), old)]
    left = old.extent - turns * blocks
    if left != 0:
        var = edit.fresh(f"{loop}t")
        rest = edit.duplicate(old.body, {loop: old.lo + turns * blocks + Dim.of(var)})
        loops.append(edit.derive(replace(old, var=var, lo=0, hi=left, body=rest), old))
    return edit.done(old, (*allocs, *first, *loops, *last))


def _sums(edit: Edit, old: For) -> dict[str, Accumulate]:
    """An accumulation into each of the buffers that the loop adds to."""
    inner = old.body[0]
    if len(old.body) > 1 or not isinstance(inner, For) or any(isinstance(s, For | Alloc) for s in inner.body):
        raise edit.error(old.var, "its body is not one loop of sums")
    found: dict[str, Accumulate] = {}
    for name, group in groups(old.body).items():
        places = {s.index for a in group if isinstance(s := a.stmt, Accumulate)}
        if not reduction(group) or group[0].buffer.space is not Space.REGISTER:
            raise edit.error(old.var, f"{name} is not only added up, in registers")
        if len(places) > 1 or any(n != inner.var for e in group[0].index for n in names(e)):
            raise edit.error(old.var, f"{name} is added up at several places")
        found[name] = next(s for s in inner.body if isinstance(s, Accumulate) and s.buffer.name == name)
    return found
