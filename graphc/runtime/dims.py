"""Where the sizes of named dimensions come from: the arguments of a call; and which sizes a graph allows.

>>> from graphc.lang.tensor import input
>>> dim_sources([input("x", ("N", 4)).node, input("y", ("M", "N")).node])
(('N', 0, 0), ('M', 1, 0))
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from graphc.errors import Loc, ShapeError
from graphc.ir.dims import Dim, evaluate, names
from graphc.ir.node import Node
from graphc.ops.control import Scan
from graphc.ops.leaves import Extent
from graphc.ops.views import Pad, Slice


def dim_name(d: object) -> str | None:
    """The name, where a dimension is a name and nothing else."""
    text = str(d)
    return text if isinstance(d, Dim) and text.isidentifier() else None


def dim_sources(inputs: Sequence[Node]) -> tuple[tuple[str, int, int], ...]:
    """(name, argument, axis) for every named dimension, at its first plain appearance.

    Raises ShapeError for a name that appears in sums or products only: its size could not be told.
    """
    found: dict[str, tuple[str, int, int]] = {}
    for k, n in enumerate(inputs):
        for axis, d in enumerate(n.type.shape):
            name = dim_name(d)
            if name is not None and name not in found:
                found[name] = (name, k, axis)
    for n in inputs:
        for name in n.type.dims:
            if name not in found:
                raise ShapeError(
                    f"the size of {name} cannot be told from the arguments",
                    why=f"it appears only inside other dimensions: {n.type}",
                    fix=f"add an input with an axis of the size {name} alone",
                )
    return tuple(found.values())


def check_known(nodes: Iterable[Node], known: Collection[str]) -> None:
    """Raises ShapeError where a node speaks of a named dimension that no argument has."""
    for n in nodes:
        spoken = n.type.dims
        if isinstance(n.op, (Extent, Scan)):
            spoken += names(n.op.dim if isinstance(n.op, Extent) else n.op.length)
        for name in spoken:
            if name not in known:
                raise ShapeError(
                    f"the size of {name} cannot be told from the arguments",
                    where=_place(n),
                    why="no input has an axis of this name",
                    fix=f"add an input with an axis of the size {name}, or give the dimension a number",
                )


def check_sizes(nodes: Iterable[Node], dims: Mapping[str, int]) -> None:
    """Raises ShapeError where these sizes of named dimensions leave a shape negative, or a slice outside its axis.

    `x[:3]` of a named axis is three elements whatever the size: where the axis has two, compiled code would read
    what is not there.
    """
    for n in nodes:
        if not n.type.dims and not any(s.type.dims for s in n.src):
            continue
        used = {d for t in (n, *n.src) for d in t.type.dims}
        if not used <= dims.keys():
            continue
        sizes = ", ".join(f"{d} = {dims[d]}" for d in sorted(used))
        where = _place(n)
        for d in n.type.shape:
            if (size := evaluate(d, dims)) < 0:
                raise ShapeError(
                    f"there is no {n.type} where {sizes}",
                    where=where,
                    why=f"{d} would be {size}",
                    fix=f"call the function with a larger {names(d)[0]}",
                )
        for axis, (first, last, within) in enumerate(_reach(n, dims)):
            if first < 0 or last >= within:
                raise ShapeError(
                    f"an axis is too short for {n.op.label} where {sizes}",
                    where=where,
                    why=f"it needs the places {first} to {last} of axis {axis}, which has the size {within}",
                    fix=f"call the function with a larger {sorted(used)[0]}, or use bounds that fit every size",
                )


def _place(n: Node) -> Loc | None:
    """Where the user wrote a node, or the first of those that it was derived of."""
    seen = {n}
    waiting = [n]
    for m in waiting:
        for o in m.origins:
            if o.loc is not None:
                return o.loc
            waiting.extend(x for x in o.of if x not in seen)
            seen.update(o.of)
    return None


def _reach(n: Node, dims: Mapping[str, int]) -> Iterable[tuple[int, int, int]]:
    """The first and the last place that a slice reads, or a pad writes, on each axis, and the size of the axis."""
    if isinstance(n.op, Slice):
        for start, step, count, d in zip(
            n.op.starts, n.op.steps, n.op.shape, n.src[0].type.shape, strict=True
        ):
            first, size = evaluate(start, dims), evaluate(count, dims)
            last = first + step * (size - 1)
            yield (min(first, last), max(first, last), evaluate(d, dims)) if size else (0, -1, 0)
    elif isinstance(n.op, Pad):
        for lo, between, d, total in zip(
            n.op.lo, n.op.interior, n.src[0].type.shape, n.type.shape, strict=True
        ):
            first, size = evaluate(lo, dims), evaluate(d, dims)
            last = first + (between + 1) * (size - 1)
            yield (first, last, evaluate(total, dims)) if size else (0, -1, 0)
