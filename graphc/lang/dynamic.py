"""Slices whose place is known only when the function runs.

The sizes are known, the starts are tensors.  A start is clamped so that the whole slice lies inside: a slice of 3
from an axis of 10 starts between 0 and 7.  (XLA's convention for `dynamic_slice`; negative starts do not count from
the end.)

>>> from graphc.lang.tensor import input
>>> x, k = input("x", (10, 4)), input("k", dtype="int64")
>>> dynamic_slice(x, (k, 0), (3, 4)).shape
(3, 4)
"""

from __future__ import annotations

from collections.abc import Sequence

from graphc.errors import DTypeError, ShapeError
from graphc.ir.dims import Index
from graphc.ir.node import node
from graphc.ir.types import DType, shape_of
from graphc.lang.apply import apply, cast, common, expand, size_as
from graphc.lang.indexing import take
from graphc.lang.shapes import reshape
from graphc.lang.source import operation
from graphc.lang.tensor import ShapeLike, Tensor, TensorLike, as_tensor
from graphc.ops.leaves import Iota

__all__ = ["dynamic_slice", "dynamic_update_slice"]

Starts = Tensor | Sequence[TensorLike]


def _starts(t: Tensor, starts: Starts, sizes: tuple[Index, ...]) -> list[Tensor]:
    """One clamped int64 scalar for each axis."""
    if isinstance(starts, Tensor) and starts.shape != (t.ndim,):
        raise ShapeError(
            f"the starts of a slice of {t.node.type} are {starts.node.type}",
            why=f"each of its {t.ndim} axes needs one start",
        )
    given = (
        [starts[k] for k in range(t.ndim)] if isinstance(starts, Tensor) else [as_tensor(s) for s in starts]
    )
    if len(given) != t.ndim or len(sizes) != t.ndim:
        raise ShapeError(
            f"a slice of {t.node.type} has {len(given)} starts and {len(sizes)} sizes",
            why=f"each of its {t.ndim} axes needs one of both",
        )
    found = []
    for start, size, d in zip(given, sizes, t.shape, strict=True):
        if not start.dtype.is_integer or start.ndim:
            raise DTypeError(f"a start is {start.node.type}", why="it must be an integer scalar")
        if isinstance(size, int) and isinstance(d, int) and size > d:
            raise ShapeError(f"a slice of {size} does not fit into an axis of size {d}")
        last = size_as(d - size, DType.I64)
        found.append(apply("minimum", apply("maximum", cast(start, DType.I64), 0), last))
    return found


@operation
def dynamic_slice(x: TensorLike, start_indices: Starts, slice_sizes: ShapeLike) -> Tensor:
    """x[s0 : s0 + sizes[0], s1 : s1 + sizes[1], …]; each start is clamped so that the slice lies inside.

    The starts are integer scalars, or one vector of them.  Raises ShapeError where a size exceeds its axis.
    """
    t, sizes = as_tensor(x), shape_of(slice_sizes)
    result = t
    for axis, (start, size) in enumerate(zip(_starts(t, start_indices, sizes), sizes, strict=True)):
        if size != t.shape[axis]:
            place = Tensor(node(Iota((size,), 0, DType.I64)))
            result = take(result, apply("add", place, start), axis)
    return result


@operation
def dynamic_update_slice(x: TensorLike, update: TensorLike, start_indices: Starts) -> Tensor:
    """x with `update` in place of the slice of its size; each start is clamped so that it lies inside.

    What is overwritten receives no gradient.  Raises ShapeError where the update exceeds an axis.
    """
    t, u = common(x, update)
    if u.ndim != t.ndim:
        raise ShapeError(f"cannot put {u.node.type} into {t.node.type}", why="they must have as many axes")
    inside: Tensor | None = None
    starts = _starts(t, start_indices, u.shape)
    for axis, (start, size, d) in enumerate(zip(starts, u.shape, t.shape, strict=True)):
        if size == d:
            continue
        place = apply("sub", Tensor(node(Iota((d,), 0, DType.I64))), start)
        last = size_as(size - 1, DType.I64)
        within = apply("logical_and", apply("less_equal", 0, place), apply("less_equal", place, last))
        u = take(u, apply("minimum", apply("maximum", place, 0), last), axis)
        line = reshape(within, tuple(d if k == axis else 1 for k in range(t.ndim)))
        inside = line if inside is None else apply("logical_and", inside, line)
    if inside is None:
        return u
    return apply("where", Tensor(expand(inside.node, t.shape)), u, t)
