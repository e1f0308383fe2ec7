"""Level 5, tiling: the two schedule steps that turn one accumulator into a tile of them.

>>> from graphc.ir.dims import Dim
>>> from graphc.kernel.ir import DType, Literal, Parameter
>>> x, y = Buffer("x", DType.F32, (4, 8)), Buffer("y", DType.F32, (4,))
>>> acc, t, u = Buffer("acc", DType.F32, (), Space.REGISTER), Temp("t", DType.F32), Temp("u", DType.F32)
>>> i, k = Dim.of("i"), Dim.of("k")
>>> row = For("k", 0, 8, (Load(t, x, (i, k)), Accumulate(acc, (), "add", (t,))))
>>> body = (Alloc(acc), Store(acc, (), Literal(0.0, DType.F32)), row, Load(u, acc, ()), Store(y, (i,), u))
>>> kernel = Kernel("rows", (Parameter(x, "in"), Parameter(y, "out")), (For("i", 0, 4, body),))
>>> print(fission(kernel, "i")[0])
kernel rows(x: f32[4,8] in, y: f32[4] out)
  alloc acc: f32[4] register
  for i in 0..4
    store acc[i], 0.0
  for i_2 in 0..4
    for k in 0..8
      t = load x[i_2,k]
      acc[i_2] add= t
  for i_3 in 0..4
    u = load acc[i_3]
    store y[i_3], u
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from graphc.ir.dims import Dim, Index, names
from graphc.ir.types import DType
from graphc.kernel.dependence import accesses, assigned, carried, groups, lockstep, varying
from graphc.kernel.edits import Edit, Forward, Renaming
from graphc.kernel.ir import (
    Accumulate,
    AccumulateOp,
    Alloc,
    Buffer,
    For,
    Kernel,
    Kind,
    Let,
    LetIndex,
    Literal,
    Load,
    Space,
    Stmt,
    Store,
    Temp,
    walk,
)
from graphc.kernel.ranges import nonnegative


def fission(kernel: Kernel, loop: str, room: int | None = None) -> tuple[Kernel, Forward]:
    """Give each inner loop of a loop, and each run of statements between them, a loop of its own.

    Local buffers of the body get the loop as their first axis and move out; temporaries that are used across
    the border are computed again.  The axis is as long as the loop, or has `room` for more elements.

    Before: `for j: alloc acc[]; store acc[], 0; for k: acc[] add= …; store y[j], …`
    After:  `alloc acc[J]; for j: store acc[j], 0; for j_2: for k: acc[j_2] add= …; for j_3: store y[j3], …`
    """
    edit = Edit(kernel, "fission")
    old = edit.loop(loop)
    if (why := carried(old, sums=True)) is not None:
        raise edit.error(loop, why)
    buffers = {s.buffer.name: s.buffer for s in old.body if isinstance(s, Alloc)}
    length = old.extent if room is None else room
    fits = isinstance(length, int) and nonnegative(length - old.extent)
    if buffers and not (fits and old.lo == 0):
        raise edit.error(loop, f"{next(iter(buffers))} would need an axis of length {old.extent}")
    hoisted: list[Stmt] = [
        edit.derive(replace(s, buffer=_widened(s.buffer, length)), s)
        for s in old.body
        if isinstance(s, Alloc)
    ]
    result: list[Stmt] = []
    pieces = _pieces(old.body)
    for n, piece in enumerate(pieces):
        body = (*_again(edit, old, piece), *piece)
        env: dict[str, Index] = {}
        var = loop
        if n:
            var = edit.fresh(loop)
            env[loop] = Dim.of(var)
            body = _renamed_lets(edit, body, piece)
        body = edit.substitute(body, env)
        body = edit.rewrite(body, lambda s, var=var: _with_axis(s, buffers, length, Dim.of(var)))  # type: ignore[misc]
        result.append(edit.derive(replace(old, var=var, body=body), old))
    return edit.done(old, (*hoisted, *result))


def _widened(buffer: Buffer, extent: Index) -> Buffer:
    return replace(buffer, shape=(extent, *buffer.shape))


def _with_axis(s: Stmt, buffers: dict[str, Buffer], extent: Index, at: Index) -> Stmt:
    if isinstance(s, Load | Store | Accumulate) and s.buffer.name in buffers:
        return replace(s, buffer=_widened(s.buffer, extent), index=(at, *s.index))
    return s


def _pieces(body: Sequence[Stmt]) -> list[tuple[Stmt, ...]]:
    """Each loop alone, and the runs of other statements between them; allocations are left out.

    An accumulation into a cell that data select is a piece of its own, since it is the one statement that
    cannot run in lanes.
    """
    pieces: list[list[Stmt]] = [[]]
    own = assigned(body)
    for s in body:
        selects = isinstance(s, Accumulate) and any(own.intersection(names(e)) for e in s.index)
        if isinstance(s, For) or selects:
            pieces += [[s], []]
        elif not isinstance(s, Alloc):
            pieces[-1].append(s)
    return [tuple(p) for p in pieces if p]


def _used(body: Sequence[Stmt]) -> set[str]:
    """The names of temporaries and variables that a body reads."""
    found: set[str] = set()
    for s in walk(tuple(body)):
        match s:
            case Load(index=e):
                found.update(n for i in e for n in names(i))
            case LetIndex(index=i):
                found.update(names(i))
            case Let(args=a):
                found.update(t.name for t in a if isinstance(t, Temp))
            case Store(index=e, value=v):
                found.update(n for i in e for n in names(i))
                found.update((v.name,) if isinstance(v, Temp) else ())
            case Accumulate(index=e, args=a):
                found.update(n for i in e for n in names(i))
                found.update(t.name for t in a if isinstance(t, Temp))
            case For(lo=lo, hi=hi):
                found.update(names(lo) + names(hi))
    return found


def _again(edit: Edit, loop: For, piece: tuple[Stmt, ...]) -> tuple[Stmt, ...]:
    """The statements of earlier pieces that assign what this one needs."""
    need = _used(piece) - assigned(piece)
    outside = set(groups(loop.body))
    result: list[Stmt] = []
    place = next(n for n, s in enumerate(loop.body) if s is piece[0])
    for n in reversed(range(place)):
        s = loop.body[n]
        if isinstance(s, Load | Let | LetIndex) and s.temp.name in need:
            if isinstance(s, Load) and s.buffer.name in outside | _written(loop.body[n + 1 : place]):
                raise edit.error(loop.var, f"`{s}` would have to be read again, after it may have changed")
            need |= _used((s,))
            result.append(s)
    return tuple(reversed(result))


def _written(body: Sequence[Stmt]) -> set[str]:
    return {s.buffer.name for s in walk(tuple(body)) if isinstance(s, Store | Accumulate)}


def _renamed_lets(edit: Edit, body: tuple[Stmt, ...], piece: tuple[Stmt, ...]) -> tuple[Stmt, ...]:
    """Statements that are computed again assign new temporaries."""
    again = body[: len(body) - len(piece)]
    temps: dict[str, Temp] = {}
    for s in again:
        if isinstance(s, Load | Let | LetIndex):
            temps[s.temp.name] = Temp(edit.fresh(s.temp.name), s.temp.dtype)
    index = {old: Dim.of(new.name) for old, new in temps.items()}
    return edit.rewrite(body, Renaming(index, temps, {}).apply) if temps else body


def vector_reduction(
    kernel: Kernel, loop: str, lanes: int, around: str | None = None
) -> tuple[Kernel, Forward]:
    """Accumulate into as many partial results as a vector has lanes, and combine these at the end.

    `around` is the outermost loop of the reduction (default: `loop` itself); the partial results live around
    it.  Only the order of the additions changes (or of max=, min=, mul=), which `Accumulate` leaves free.

    Before: `for k in 0..K: acc[] add= x[k]`
    After:  `alloc part[16]; for l vector(16): store part[l], 0; for ko: for ki vector(16): part[ki] add= …;
    for kt in 0..K-16*floor(K/16) vector(16): part[kt] add= x[…]; for l vector(16): acc[] add= part[l]`
    """
    edit = Edit(kernel, "vectorize the reduction")
    inner = edit.loop(loop)
    outer = edit.loop(around or loop)
    moving = varying(inner.body, inner.var) | {inner.var}
    # What lands in another cell each time is no reduction of this loop.
    sums = [
        s
        for s in inner.body
        if isinstance(s, Accumulate) and moving.isdisjoint(n for e in s.index for n in names(e))
    ]
    targets = {s.buffer.name for s in sums}
    elsewhere = next((s for s in inner.body if isinstance(s, Accumulate)), None)
    if not sums and elsewhere is not None:
        raise edit.error(loop, f"{elsewhere.buffer.name} is more than one cell")
    _check_reduction(edit, inner, outer, sums)
    inside = assigned((outer,)) | {f.var for f in walk((outer,)) if isinstance(f, For)}
    first: list[Stmt] = []
    last: list[Stmt] = []
    partial: dict[str, Buffer] = {}
    for name in sorted(targets):
        s = next(s for s in sums if s.buffer.name == name)
        own = inside.intersection(n for e in s.index for n in names(e))
        if len({t.index for t in sums if t.buffer.name == name}) > 1 or own:
            raise edit.error(loop, f"{name} is more than one cell")
        part = Buffer(edit.fresh(f"{name}_part"), s.buffer.dtype, (lanes,), Space.REGISTER)
        partial[name] = part
        op = s.combining
        var, lane = edit.fresh("l"), edit.fresh("l")
        zero = Literal(identity(op, part.dtype), part.dtype)
        fill = edit.derive(Store(part, (Dim.of(var),), zero, s.nodes), s)
        taken = Temp(edit.fresh("p"), part.dtype)
        read = edit.derive(Load(taken, part, (Dim.of(lane),), s.nodes), s)
        combine = edit.derive(Accumulate(s.buffer, s.index, op, (taken,), s.nodes), s)
        vector = {"lo": 0, "hi": lanes, "kind": Kind.VECTOR, "lanes": lanes, "nodes": inner.nodes}
        first += [
            edit.derive(Alloc(part, s.nodes), s),
            edit.derive(For(var=var, body=(fill,), **vector), s),  # type: ignore[arg-type]
        ]
        last.append(edit.derive(For(var=lane, body=(read, combine), **vector), s))  # type: ignore[arg-type]
    loops = _lanewise(edit, inner, lanes, partial)
    if outer is inner:
        return edit.done(inner, (*first, *loops, *last))

    def rebuilt(at: For) -> For:
        body: list[Stmt] = []
        for s in at.body:
            if s is inner:
                body.extend(loops)
            else:
                body.append(rebuilt(s) if isinstance(s, For) else s)
        return edit.derive(replace(at, body=tuple(body)), at)

    return edit.done(outer, (*first, rebuilt(outer), *last))


def _check_reduction(edit: Edit, inner: For, outer: For, sums: list[Accumulate]) -> None:
    if any(isinstance(s, For | Alloc) for s in inner.body) or not sums:
        raise edit.error(inner.var, "its body is more than one reduction")
    if (why := lockstep(inner)) is not None:
        raise edit.error(inner.var, why)
    targets = {s.buffer.name for s in sums}
    for a in accesses((outer,)):
        if a.buffer.name in targets and not any(a.stmt is s for s in sums):
            raise edit.error(inner.var, f"{a.buffer.name} is used beside the reduction")
    chain = outer
    while chain is not inner:
        loops = [s for s in chain.body if isinstance(s, For)]
        if len(loops) != 1:
            raise edit.error(inner.var, f"{outer.var} has other loops in it")
        chain = loops[0]


def _lanewise(edit: Edit, inner: For, lanes: int, partial: dict[str, Buffer]) -> tuple[For, ...]:
    """The main loop over whole vectors, and the masked vector of what is left."""

    def each(s: Stmt, lane: Index) -> Stmt:
        if isinstance(s, Accumulate) and s.buffer.name in partial:
            return replace(s, buffer=partial[s.buffer.name], index=(lane,))
        return s

    def vector(var: str, hi: Index, start: Index, body: Sequence[Stmt]) -> For:
        lane = Dim.of(var)
        body = edit.rewrite(body, lambda s: each(s, lane))
        body = edit.substitute(body, {inner.var: start + lane})
        new = replace(inner, var=var, lo=0, hi=hi, body=body, kind=Kind.VECTOR, lanes=lanes)
        return edit.derive(new, inner)

    blocks = inner.extent // lanes
    left = inner.extent - lanes * blocks
    result: list[For] = []
    if blocks != 0:
        out, var = edit.fresh(f"{inner.var}o"), edit.fresh(f"{inner.var}i")
        main = vector(var, lanes, inner.lo + lanes * Dim.of(out), inner.body)
        result.append(edit.derive(replace(inner, var=out, lo=0, hi=blocks, body=(main,)), inner))
    if left != 0:
        body = edit.duplicate(inner.body, {}) if result else inner.body
        result.append(vector(edit.fresh(f"{inner.var}t"), left, inner.lo + lanes * blocks, body))
    return tuple(result)


def identity(op: AccumulateOp, dtype: DType) -> float | int | bool:
    """The value that `op=` leaves a cell unchanged with."""
    if dtype is DType.BOOL:
        return op in ("mul", "min")
    if op in ("add", "fma", "dot"):
        return 0.0 if dtype.is_float else 0
    if op == "mul":
        return 1.0 if dtype.is_float else 1
    if dtype.is_float:
        return float("-inf") if op == "max" else float("inf")
    bits = 8 * dtype.size
    largest: int = 2 ** (bits - 1) - 1
    return -largest - 1 if op == "max" else largest
