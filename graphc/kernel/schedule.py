"""Level 5, schedule steps: kernel → kernel, the result always the same, the way there another.

A step names a loop by its variable, checks that it is legal, and returns the new kernel with a forward map
(`graphc.kernel.edits.Forward`).  A step that is not legal raises ScheduleError and says why.

| step | what it does |
|---|---|
| `cut` | one loop becomes two, one after the other |
| `split` | one loop becomes two, one inside the other; what is left over becomes a third |
| `reorder` | two perfectly nested loops change places |
| `flatten` | two axes of a buffer become one |
| `fuse` | two perfectly nested loops become one |
| `unroll`, `vectorize`, `parallelize` | a loop changes its kind |
| `fission`, `vector_reduction` | see `graphc.kernel.tiling` |
| `stage`, `stage_store` | see `graphc.kernel.staging` |

>>> from graphc.kernel.ir import DType, Literal, Parameter
>>> y, i = Buffer("y", DType.F32, (Dim.of("N"),)), Dim.of("i")
>>> loop = For("i", 0, Dim.of("N"), (Store(y, (i,), Literal(1.0, DType.F32)),))
>>> kernel, forward = split(Kernel("ones", (Parameter(y, "out"),), (loop,)), "i", 16)
>>> print(vectorize(vectorize(kernel, "ii", 16)[0], "it", 16)[0])
kernel ones(y: f32[N] out)
  for io in 0..floor((N)/16)
    for ii in 0..16 vector(16)
      store y[ii+16*io], 1.0
  for it in 0..N-16*floor((N)/16) vector(16)
    store y[16*floor((N)/16)+it], 1.0
>>> forward.lines
((0,), (1, 2, 4), (3, 5))
"""

from __future__ import annotations

from dataclasses import replace

from graphc.ir.dims import Dim, Index, coefficient, names
from graphc.kernel.dependence import carried, coefficient_of, interchange, lockstep
from graphc.kernel.edits import Edit, Forward, ScheduleError, rename_apart
from graphc.kernel.ir import (
    Accumulate,
    Alloc,
    Buffer,
    For,
    Kernel,
    Kind,
    LetIndex,
    Load,
    Parameter,
    Space,
    Stmt,
    Store,
    walk,
)
from graphc.kernel.ranges import nonnegative

__all__ = [
    "Forward",
    "ScheduleError",
    "cut",
    "flatten",
    "fuse",
    "parallelize",
    "rename_apart",
    "reorder",
    "split",
    "unroll",
    "vectorize",
]


def cut(kernel: Kernel, loop: str, at: Index) -> tuple[Kernel, Forward]:
    """Run the first `at` iterations in one loop and the others in a second one.

    Before: `for i in 0..N: y[i]`      after: `for i in 0..at: y[i]` and `for it in 0..N-at: y[at+it]`
    """
    edit = Edit(kernel, "cut")
    old = edit.loop(loop)
    if not (nonnegative(at) and nonnegative(old.extent - at)):
        raise edit.error(loop, f"{at} is not proved to lie in 0..{old.extent}")
    return _cut(edit, old, at)


def _cut(edit: Edit, old: For, at: Index) -> tuple[Kernel, Forward]:
    loop = old.var
    head = edit.derive(replace(old, hi=old.lo + at), old)
    var = edit.fresh(f"{loop}t")
    body = edit.duplicate(old.body, {loop: old.lo + at + Dim.of(var)})
    tail = edit.derive(replace(old, var=var, lo=0, hi=old.extent - at, body=body), old)
    return edit.done(old, (head, tail))


def split(kernel: Kernel, loop: str, factor: int) -> tuple[Kernel, Forward]:
    """Walk a loop in blocks; a remainder, if there may be one, is a loop of its own.

    Before: `for i in 0..N: y[i]`
    After:  `for io in 0..floor(N/4): for ii in 0..4: y[4*io+ii]`, and for what is left
    `for it in 0..N-4*floor(N/4): y[4*floor(N/4)+it]`
    """
    edit = Edit(kernel, "split")
    old = edit.loop(loop)
    if factor < 1:
        raise edit.error(loop, f"a block of {factor} iterations is none")
    blocks = old.extent // factor
    if old.extent - factor * blocks != 0:
        if blocks == 0:
            raise edit.error(loop, f"it has only {old.extent} iterations, less than a block of {factor}")
        first, there = _cut(edit, old, factor * blocks)  # f·floor(n/f) always lies in 0..n
        second, further = split(first, loop, factor)
        return second, there.then(further)
    outer, inner = edit.fresh(f"{loop}o"), edit.fresh(f"{loop}i")
    body = edit.substitute(old.body, {loop: old.lo + factor * Dim.of(outer) + Dim.of(inner)})
    within = edit.derive(replace(old, var=inner, lo=0, hi=factor, body=body), old)
    return edit.done(old, (edit.derive(replace(old, var=outer, lo=0, hi=blocks, body=(within,)), old),))


def perfect(edit: Edit, outer: str, inner: str) -> tuple[For, For]:
    """Two loops, the second one being the whole body of the first one."""
    first, second = edit.loop(outer), edit.loop(inner)
    if first.body != (second,):
        raise edit.error(f"{outer}, {inner}", f"{inner} is not the whole body of {outer}")
    if outer in names(second.lo) + names(second.hi):
        raise edit.error(f"{outer}, {inner}", f"the range of {inner} depends on {outer}")
    return first, second


def reorder(kernel: Kernel, outer: str, inner: str) -> tuple[Kernel, Forward]:
    """Exchange two perfectly nested loops.

    Before: `for i: for j: S`      after: `for j: for i: S`
    """
    edit = Edit(kernel, "reorder")
    first, second = perfect(edit, outer, inner)
    if (why := interchange(first, second)) is not None:
        raise edit.error(f"{outer}, {inner}", why)
    within = edit.derive(replace(first, body=second.body), first)
    return edit.done(first, (edit.derive(replace(second, body=(within,)), second),))


def flatten(kernel: Kernel, buffer: str, axis: int) -> tuple[Kernel, Forward]:
    """View two neighbouring axes of a buffer as one; its memory stays as it is.

    Before: `x: f32[N,4]`, `x[i,j]`      after: `x: f32[4*N]`, `x[4*i+j]`
    """
    edit = Edit(kernel, "flatten")

    def merge(b: Buffer) -> Buffer:
        if b.name != buffer:
            return b
        return replace(b, shape=(*b.shape[:axis], b.shape[axis] * b.shape[axis + 1], *b.shape[axis + 2 :]))

    def each(s: Stmt) -> Stmt:
        if isinstance(s, Alloc):
            return s if s.buffer.name != buffer else replace(s, buffer=merge(s.buffer))
        if not isinstance(s, Load | Store | Accumulate) or s.buffer.name != buffer:
            return s
        e = s.index
        both = e[axis] * s.buffer.shape[axis + 1] + e[axis + 1]
        return replace(s, buffer=merge(s.buffer), index=(*e[:axis], both, *e[axis + 2 :]))

    parameters = tuple(Parameter(merge(p.buffer), p.access) for p in kernel.parameters)
    return edit.finish(replace(kernel, parameters=parameters, body=edit.rewrite(kernel.body, each)))


def fuse(kernel: Kernel, outer: str, inner: str) -> tuple[Kernel, Forward]:
    """Make one loop of two perfectly nested ones; axes that only they walk are flattened.

    Before: `for i in 0..N: for j in 0..4: y[i,j]`      after: `for ij in 0..4*N: y[ij]`
    """
    edit = Edit(kernel, "fuse")
    both = f"{outer}, {inner}"
    first, second = perfect(edit, outer, inner)
    if first.lo != 0 or second.lo != 0:
        raise edit.error(both, "a loop does not start at 0")
    for s in walk(second.body):
        if isinstance(s, For) and {outer, inner}.intersection(names(s.lo) + names(s.hi)):
            raise edit.error(both, f"the range of {s.var} depends on them")
        if isinstance(s, Load | Store | Accumulate):
            axis = _axis_to_flatten(edit, s, first, second)
            if axis is not None:
                flat, there = flatten(kernel, s.buffer.name, axis)
                fused, further = fuse(flat, outer, inner)
                return fused, there.then(further)
        elif isinstance(s, LetIndex) and not _proportional(s.index, first, second):
            raise edit.error(both, f"`{s}` uses them in another proportion")
    var = edit.fresh(outer + inner)

    def merged(e: Index) -> Index:
        step = coefficient_of(e, inner)
        return e - coefficient_of(e, outer) * Dim.of(outer) + step * (Dim.of(var) - Dim.of(inner))

    def each(s: Stmt) -> Stmt:
        if isinstance(s, Load | Store | Accumulate):
            return replace(s, index=tuple(map(merged, s.index)))
        return replace(s, index=merged(s.index)) if isinstance(s, LetIndex) else s

    body = edit.rewrite(second.body, each)
    fused_loop = replace(first, var=var, hi=first.hi * second.hi, body=body)
    return edit.done(first, (edit.derive(fused_loop, first, second),))


def _proportional(e: Index, first: For, second: For) -> bool:
    """Whether an index moves by as much per outer iteration as per all inner ones."""
    a, b = coefficient(e, first.var), coefficient(e, second.var)
    return a is not None and b is not None and a == b * second.hi


def _axis_to_flatten(edit: Edit, s: Load | Store | Accumulate, first: For, second: For) -> int | None:
    """The axis that must be merged with the next one before two loops can be fused, None if none must."""
    if all(_proportional(e, first, second) for e in s.index):
        return None
    for axis in range(len(s.index) - 1):
        row, column = s.index[axis], s.index[axis + 1]
        apart = coefficient(column, first.var) == 0 == coefficient(row, second.var)
        walked = coefficient(row, first.var) != 0
        if apart and walked and _proportional(row * s.buffer.shape[axis + 1] + column, first, second):
            return axis
    raise edit.error(f"{first.var}, {second.var}", f"`{s}` does not walk them as one")


def unroll(kernel: Kernel, loop: str) -> tuple[Kernel, Forward]:
    """Write a loop of a constant number of iterations out.

    Before: `for i in 0..4`      after: `for i in 0..4 unroll`
    """
    edit = Edit(kernel, "unroll")
    old = edit.loop(loop)
    if not isinstance(old.extent, int):
        raise edit.error(loop, f"the number of its iterations, {old.extent}, is not constant")
    return edit.done(old, (edit.derive(replace(old, kind=Kind.UNROLL), old),))


def vectorize(kernel: Kernel, loop: str, lanes: int) -> tuple[Kernel, Forward]:
    """Run all iterations of an innermost loop at once, in the lanes of a vector; surplus lanes are masked.

    Before: `for i in 0..16`      after: `for i in 0..16 vector(16)`
    """
    edit = Edit(kernel, "vectorize")
    old = edit.loop(loop)
    if not nonnegative(lanes - old.extent):
        raise edit.error(loop, f"its {old.extent} iterations are not proved to fit into {lanes} lanes")
    if any(isinstance(s, For | Alloc) for s in old.body):
        raise edit.error(loop, "its body is not straight-line code")
    if (why := lockstep(old)) is not None:
        raise edit.error(loop, why)
    return edit.done(old, (edit.derive(replace(old, kind=Kind.VECTOR, lanes=lanes), old),))


def parallelize(kernel: Kernel, loop: str) -> tuple[Kernel, Forward]:
    """Share the iterations of an outermost loop among threads, or of the loop that is the whole body of such a one.

    Before: `for i in 0..N`               after: `for i in 0..N parallel`
    Before: `for i parallel: for j: S`    after: `for i parallel: for j parallel: S`
    """
    edit = Edit(kernel, "parallelize")
    path = edit.path(loop)
    if len(path) == 2 and path[0].kind is Kind.PARALLEL:
        outer, inner = perfect(edit, path[0].var, loop)
        if outer.lo != 0 or inner.lo != 0:
            raise edit.error(loop, "a loop does not start at 0")
        if (why := carried(inner)) is not None:
            raise edit.error(loop, why)
        return edit.done(inner, (edit.derive(replace(inner, kind=Kind.PARALLEL), inner),))
    if len(path) > 1:
        raise edit.error(loop, "it is not outermost")
    allocated = [s.buffer for s in kernel.body if isinstance(s, Alloc)]
    local = {b.name for b in allocated if b.space is not Space.SCRATCH}
    used = {s.buffer.name for s in walk(path[0].body) if isinstance(s, Load | Store | Accumulate)}
    if shared := sorted(local & used):
        raise edit.error(loop, f"the threads would share the local buffer {shared[0]}")
    if (why := carried(path[0])) is not None:
        raise edit.error(loop, why)
    return edit.done(path[0], (edit.derive(replace(path[0], kind=Kind.PARALLEL), path[0]),))
