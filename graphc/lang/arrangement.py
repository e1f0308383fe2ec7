"""Elements in another order, repeated, or parted: flip, roll, tile, repeat, split.

>>> from graphc.lang.tensor import input
>>> a, b, c = array_split(input("x", (7, 2)), 3)
>>> a.shape, b.shape, c.shape
((3, 2), (2, 2), (2, 2))
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from graphc.errors import ArgumentError, ShapeError
from graphc.ir.node import node
from graphc.ir.types import DType
from graphc.lang.apply import apply, expand, named, size_as
from graphc.lang.indexing import take
from graphc.lang.reductions import Axis, axes_of
from graphc.lang.shapes import axis_of, concatenate, reshape
from graphc.lang.source import operation
from graphc.lang.tensor import Tensor, TensorLike, as_tensor
from graphc.ops import views
from graphc.ops.leaves import Iota
from graphc.ops.views import Reshape

__all__ = [
    "array_split",
    "flip",
    "repeat",
    "roll",
    "split",
    "tile",
    "unstack",
]


@operation
def flip(x: TensorLike, axis: Axis = None) -> Tensor:
    """The elements in reverse order along axes (all by default)."""
    t = as_tensor(x)
    axes = axes_of(t, axis)
    return Tensor(views.flip(t.node, axes)) if axes else t


@operation
def roll(x: TensorLike, shift: int | Sequence[int], axis: int | Sequence[int] | None = None) -> Tensor:
    """The elements moved along axes (of the flattened tensor by default); those that leave at the end enter again."""
    t = as_tensor(x)
    if axis is None:
        if not isinstance(shift, int):
            raise ArgumentError(f"roll by {shift!r} needs axes", fix="give one shift, or an axis for each")
        return reshape(roll(reshape(t, -1), shift, 0), t.shape)
    axes = [axis] if isinstance(axis, int) else list(axis)
    shifts = [shift] * len(axes) if isinstance(shift, int) else list(shift)
    if len(shifts) != len(axes):
        raise ArgumentError(f"{len(shifts)} shifts for {len(axes)} axes", fix="give one shift for each axis")
    for a, s in zip(axes, shifts, strict=True):
        k = axis_of(t, a)
        d = t.shape[k]
        if isinstance(d, int):
            cut = -s % d if d else 0
            if cut:
                parts = [_part(t, k, cut, d), _part(t, k, 0, cut)]
                t = concatenate(parts, k)
        else:
            place = apply("sub", Tensor(node(Iota((d,), 0, DType.I64))), s)
            t = take(t, apply("mod", place, size_as(d, DType.I64)), k)
    return t


def _part(t: Tensor, axis: int, start: int, stop: int) -> Tensor:
    """The places from start up to stop along an axis."""
    return t[(*(slice(None),) * axis, slice(start, stop))]


@operation
def tile(x: TensorLike, reps: int | Sequence[int]) -> Tensor:
    """The whole tensor again and again along each axis, aligned from the right as in NumPy."""
    t = as_tensor(x)
    counts = [reps] if isinstance(reps, int) else list(reps)
    if any(c < 0 for c in counts):
        raise ArgumentError(f"cannot repeat a tensor {reps!r} times", fix="give 0 or more for each axis")
    rank = max(t.ndim, len(counts))
    counts = [1] * (rank - len(counts)) + counts
    shape = (*(1,) * (rank - t.ndim), *t.shape)
    apart = reshape(t, tuple(v for d in shape for v in (1, d)))
    wide = expand(apart.node, tuple(v for d, c in zip(shape, counts, strict=True) for v in (c, d)))
    return reshape(Tensor(wide), tuple(c * d for d, c in zip(shape, counts, strict=True)))


@operation
def repeat(x: TensorLike, repeats: int, axis: int | None = None) -> Tensor:
    """Each element several times in a row along an axis (of the flattened tensor by default)."""
    t = as_tensor(x)
    if repeats < 0:
        raise ArgumentError(f"cannot repeat elements {repeats} times", fix="give 0 or more")
    if axis is None:
        t, axis = reshape(t, -1), 0
    k = axis_of(t, axis)
    apart = reshape(t, (*t.shape[: k + 1], 1, *t.shape[k + 1 :]))
    wide = expand(apart.node, (*t.shape[: k + 1], repeats, *t.shape[k + 1 :]))
    return reshape(Tensor(wide), (*t.shape[:k], repeats * t.shape[k], *t.shape[k + 1 :]))


@operation
def split(x: TensorLike, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    """Equal parts along an axis, or the parts between places; raises ShapeError where there are no equal parts."""
    t = as_tensor(x)
    size = _known_size(t, axis)
    if isinstance(indices_or_sections, int) and (indices_or_sections < 1 or size % indices_or_sections):
        raise ShapeError(
            f"cannot split {named(t)} into {indices_or_sections} equal parts",
            why=f"axis {axis} has {size} elements",
            fix="use gc.array_split, or give the places between the parts",
        )
    return array_split(t, indices_or_sections, axis)


@operation
def array_split(x: TensorLike, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    """Parts along an axis, the first ones longer by one where they cannot be equal; or the parts between places."""
    t = as_tensor(x)
    size, k = _known_size(t, axis), axis_of(t, axis)
    if isinstance(indices_or_sections, int):
        count = indices_or_sections
        if count < 1:
            raise ArgumentError(f"cannot split into {count} parts", fix="give 1 or more")
        ends = [size // count * i + min(i, size % count) for i in range(count + 1)]
    else:
        ends = [0, *indices_or_sections, size]
    return [_part(t, k, a, max(a, b)) for a, b in itertools.pairwise(ends)]


def _known_size(t: Tensor, axis: int) -> int:
    d = t.shape[axis_of(t, axis)]
    if not isinstance(d, int):
        raise ShapeError(
            f"cannot split {named(t)} along axis {axis}",
            why=f"the number of its parts would depend on the size of {d}",
        )
    return d


@operation
def unstack(x: TensorLike, axis: int = 0) -> list[Tensor]:
    """The parts along an axis, which disappears."""
    t = as_tensor(x)
    k = axis_of(t, axis)
    rest = (*t.shape[:k], *t.shape[k + 1 :])
    return [Tensor(node(Reshape(rest), _part(t, k, i, i + 1).node)) for i in range(_known_size(t, axis))]
