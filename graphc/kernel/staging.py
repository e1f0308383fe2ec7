"""Level 5, staging: steps that read a copy of an operand in another layout, or write results through a copy.

>>> from graphc.ir.types import DType
>>> from graphc.kernel.ir import Parameter
>>> w, y, t = Buffer("w", DType.F32, (20, 9)), Buffer("y", DType.F32, (9, 20)), Temp("t", DType.F32)
>>> o, k, j = Dim.of("o"), Dim.of("k"), Dim.of("j")
>>> lane = For("j", 0, 4, (Load(t, w, (4 * o + j, k)), Store(y, (k, 4 * o + j), t)))
>>> nest = For("o", 0, 5, (For("k", 0, 9, (lane,)),))
>>> kernel = Kernel("k", (Parameter(w, "in"), Parameter(y, "out")), (nest,))
>>> print(stage(kernel, "w", (0, 1), panel=(0, 4))[0])
kernel k(w: f32[20,9] in, y: f32[9,20] out)
  alloc w_panels: f32[5,9,4] scratch
  for p in 0..5
    for p_2 in 0..9
      for l in 0..4
        c = load w[l+4*p,p_2]
        store w_panels[p,p_2,l], c
  for o in 0..5
    for k in 0..9
      for j in 0..4
        t = load w_panels[o,k,j]
        store y[k,j+4*o], t
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from graphc.ir.dims import Dim, Index, names, substitute
from graphc.kernel.dependence import accesses, assigned
from graphc.kernel.edits import Edit, Forward
from graphc.kernel.ir import Accumulate, Alloc, Buffer, For, Kernel, Load, Nodes, Space, Stmt, Store, Temp
from graphc.kernel.ranges import Bounds, divide


def stage(
    kernel: Kernel, buffer: str, order: Sequence[int], panel: tuple[int, int] | None = None
) -> tuple[Kernel, Forward]:
    """Copy a buffer that the kernel only reads, its axes in another order, and read the copy.

    With `panel=(axis, width)` that axis is cut into panels: the number of the panel takes the axis's place in
    `order`, and the place inside the panel becomes the last axis, contiguous.  The copy is scratch memory of
    the kernel; it is made by loops of their own at the start.

    Before: `… load w[4*o+j,k]`
    After:  `for p: for p_2: for l: store w_panels[p,p_2,l], w[4*p+l,p_2]` and then `… load w_panels[o,k,j]`
    """
    edit = Edit(kernel, "stage")
    found = [a for a in accesses(kernel.body) if a.buffer.name == buffer]
    if not found or any(a.kind != "load" for a in found) or found[0].buffer.space is not Space.MEMORY:
        raise edit.error(buffer, "it is not a buffer that is only read")
    source = found[0].buffer
    if sorted(order) != list(range(len(source.shape))):
        raise edit.error(buffer, f"{tuple(order)} is no order of its {len(source.shape)} axes")
    loads = [a.stmt for a in found if isinstance(a.stmt, Load)]
    nodes = tuple(dict.fromkeys(n for s in loads for n in s.nodes))
    shape = tuple(source.shape[a] for a in order)
    if panel is not None:
        axis, width = panel
        panels = (source.shape[axis] + (width - 1)) // width
        shape = (*(panels if a == axis else source.shape[a] for a in order), width)
    name = edit.fresh(f"{buffer}_panels" if panel else f"{buffer}_copy")
    copy = Buffer(name, source.dtype, shape, Space.SCRATCH)
    places = {id(a.stmt): _place(edit, a.index, a.bounds, order, panel) for a in found}

    def each(s: Stmt) -> Stmt:
        return replace(s, buffer=copy, index=places[id(s)]) if isinstance(s, Load) and id(s) in places else s

    new = edit.rewrite(kernel.body, each)
    filled: list[Stmt] = [edit.derive(Alloc(copy, nodes), *loads)]
    for main in (True, False):
        nest = _copy(edit, source, copy, order, panel, nodes, loads, main)
        if nest is not None:
            filled.append(nest)
    return edit.finish(replace(kernel, body=(*filled, *new)))


def _place(
    edit: Edit, index: Sequence[Index], bounds: Bounds, order: Sequence[int], panel: tuple[int, int] | None
) -> tuple[Index, ...]:
    """Where an element of the source is in the copy."""
    if panel is None:
        return tuple(index[a] for a in order)
    axis, width = panel
    parts = divide(index[axis], width, bounds)
    if parts is None:
        raise edit.error(f"{index[axis]}", f"it is not proved which panel of {width} it lies in")
    return (*(parts[0] if a == axis else index[a] for a in order), parts[1])


def _copy(
    edit: Edit,
    source: Buffer,
    copy: Buffer,
    order: Sequence[int],
    panel: tuple[int, int] | None,
    nodes: Nodes,
    loads: Sequence[Load],
    main: bool,
) -> For | None:
    """The loops that fill whole panels (`main`), or the last, narrower one; None if there is none."""
    axis, width = panel if panel is not None else (-1, 1)
    if panel is None and not main:
        return None
    whole = source.shape[axis] // width if panel is not None else 0
    left = source.shape[axis] - width * whole if panel is not None else 0
    if panel is not None and (whole if main else left) == 0:
        return None
    at: dict[int, Index] = {}
    place: list[Index] = []
    loops: list[tuple[str, Index]] = []
    for a in order:
        if a == axis and not main:
            place.append(whole)
            continue
        var = edit.fresh("p")
        loops.append((var, whole if a == axis else source.shape[a]))
        place.append(Dim.of(var))
        at[a] = Dim.of(var)
    if panel is not None:
        lane = edit.fresh("l")
        loops.append((lane, width if main else left))
        at[axis] = width * place[list(order).index(axis)] + Dim.of(lane)
        place.append(Dim.of(lane))
    taken = Temp(edit.fresh("c"), source.dtype)
    index = tuple(at[a] for a in range(len(source.shape)))
    body: tuple[Stmt, ...] = (
        edit.derive(Load(taken, source, index, nodes), *loads),
        edit.derive(Store(copy, tuple(place), taken, nodes), *loads),
    )
    for var, extent in reversed(loops):
        body = (edit.derive(For(var, 0, extent, body, nodes=nodes), *loads),)
    (nest,) = body
    assert isinstance(nest, For)
    return nest


def stage_store(kernel: Kernel, loop: str, buffer: str) -> tuple[Kernel, Forward]:
    """Write the results of a small nest into a local tile, and copy it to the buffer in the other order.

    `loop` is the outermost of perfectly nested loops of constant extent that walk the tile; they are walked
    from the inside out when the tile is copied.  Where neighbours in the vector are far apart in the buffer,
    that replaces many scattered stores by short loops.

    Before: `for i: for j: …; store y[j,i], t`
    After:  `alloc y_tile[I,J] stack; for i: for j: …; store y_tile[i,j], t`, and then
    `for j_2: for i_2: c = load y_tile[i_2,j_2]; store y[j_2,i_2], c`
    """
    edit = Edit(kernel, "stage the stores of")
    loops = [edit.loop(loop)]
    while len(loops[-1].body) == 1 and isinstance(loops[-1].body[0], For):
        loops.append(loops[-1].body[0])
    body = loops[-1].body
    uses = [s for s in body if isinstance(s, Load | Store | Accumulate) and s.buffer.name == buffer]
    if len(uses) != 1 or not isinstance(uses[0], Store) or any(isinstance(s, For) for s in body):
        raise edit.error(loop, f"its body is not straight-line code that stores once into {buffer}")
    if any(not isinstance(f.hi, int) or f.lo != 0 for f in loops):
        raise edit.error(loop, "the size of the tile is not constant")
    (old,) = uses
    own = assigned(body)
    if any(own.intersection(names(e)) for e in old.index):
        raise edit.error(loop, f"`{old}` goes where the data say")
    tile = Buffer(edit.fresh(f"{buffer}_tile"), old.buffer.dtype, tuple(f.hi for f in loops), Space.STACK)
    place = tuple(Dim.of(f.var) for f in loops)

    def each(s: Stmt) -> Stmt:
        return replace(s, buffer=tile, index=place) if s is old else s

    (first,) = edit.rewrite((loops[0],), each)
    env: dict[str, Index] = {f.var: Dim.of(edit.fresh(f.var)) for f in loops}
    taken = Temp(edit.fresh("c"), tile.dtype)
    copy: tuple[Stmt, ...] = (
        edit.derive(Load(taken, tile, tuple(env.values()), old.nodes), old),
        edit.derive(Store(old.buffer, tuple(substitute(e, env) for e in old.index), taken, old.nodes), old),
    )
    for f in loops:
        copy = (edit.derive(replace(f, var=str(env[f.var]), body=copy), f),)
    return edit.done(loops[0], (edit.derive(Alloc(tile, old.nodes), old), first, *copy))
