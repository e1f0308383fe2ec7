"""Indexing by numbers, slices and integer tensors; elements put at places.

| function                                | element |
|-----------------------------------------|------------------------------------------------------|
| `x[2, ::-1, ..., None]`                 | basic indexing, as in NumPy: a view |
| `x[:, at]`, `x[rows, columns]`          | integer tensors, side by side: as in NumPy |
| `take(x, at, axis)`                     | x[…, at[…], …] |
| `take_along_axis(x, at, axis)`          | x[i, at[i, k]]: an index of its own for each row |
| `pick(x, at)`                           | x[i, at[i]]: one element for each row |
| `scatter_add(x, at, u)`, `segment_sum`  | x with u added at the places |
| `put(x, at, u)`                         | x with u at the places |

Negative indices count from the end.  Compiled code cannot raise, so an index outside the axis reads NaN (0 for
integers), and writes nothing.

>>> from graphc.lang.tensor import input
>>> X = input("X", shape=("N", 28, 28))
>>> X[:, 2:, ::-1].shape, X[0, [3, 1]].shape
((N, 26, 28), (2, 28))
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from graphc.errors import ArgumentError, DTypeError, ShapeError
from graphc.ir.dims import Index, product
from graphc.ir.node import node
from graphc.ir.types import DType, broadcast_shapes, shape_of
from graphc.lang.apply import apply, cast, common, expand, named, size_as
from graphc.lang.reductions import max as maximum_of
from graphc.lang.shapes import axis_of, moveaxis, reshape
from graphc.lang.source import operation
from graphc.lang.tensor import Key, Tensor, TensorLike, as_tensor
from graphc.ops.elementwise import elementwise
from graphc.ops.gather import Gather, ScatterAdd
from graphc.ops.leaves import Iota
from graphc.ops.views import Reshape, Slice

__all__ = [
    "embedding",
    "one_hot",
    "pick",
    "put",
    "scatter_add",
    "segment_sum",
    "take",
    "take_along_axis",
]


def _index(x: TensorLike) -> Tensor:
    """An integer tensor; an error says what to do instead."""
    t = as_tensor(np.asarray(x, np.int64) if isinstance(x, (list, tuple)) and not x else x)
    if t.dtype is DType.BOOL:
        raise ArgumentError(
            f"cannot index by the mask {named(t)}",
            why="how many elements it selects depends on its values, and shapes are known before the call",
            fix="choose inside the shape: gc.where(mask, x, 0.0)",
        )
    if not t.dtype.is_integer:
        raise DTypeError(f"cannot index by {t.node.type}", fix='cast it: index.astype("int64")')
    return t


@dataclass(frozen=True, slots=True)
class _Axis:
    """What a key does to one axis: a slice of it, kept in the result or not."""

    start: Index
    step: int
    size: Index


def getitem(x: Tensor, key: Key | tuple[Key, ...]) -> Tensor:
    """Basic indexing by integers, slices, `...` and None; integer tensors that stand side by side gather."""
    keys: list[Key] = [
        k if k is None or k is Ellipsis or isinstance(k, (slice, Tensor)) else _plain(k)
        for k in (key if isinstance(key, tuple) else (key,))
    ]
    used = sum(k is not None and k is not Ellipsis for k in keys)
    if used > x.ndim:
        raise ShapeError(f"{used} indices for {named(x)}", why=f"it has {x.ndim} axes")
    if sum(k is Ellipsis for k in keys) > 1:
        raise ArgumentError(f"`...` occurs twice among the indices of {named(x)}")
    if not any(k is Ellipsis for k in keys):
        keys.append(Ellipsis)
    at = next(i for i, k in enumerate(keys) if k is Ellipsis)
    advanced = [i for i, k in enumerate(keys) if isinstance(k, (Tensor, int))]
    tensors = [_index(k) for k in keys if isinstance(k, Tensor)]
    if tensors and advanced != list(range(advanced[0], advanced[-1] + 1)):
        raise ArgumentError(
            f"cannot index {named(x)} by tensors that stand apart",
            why="NumPy would move the axes that they make to the front",
            fix="transpose first, so that all integers and tensors stand side by side",
        )
    keys[at : at + 1] = [slice(None)] * (x.ndim - used)
    axes: list[_Axis] = []
    final: list[Index] = []
    first = 0  # the axis of the result along which the tensors gather
    dims = iter(x.shape)
    seen = False
    for k in keys:
        if k is None:
            final.append(1)
            continue
        d = next(dims)
        if isinstance(k, int):
            if isinstance(d, int) and not -d <= k < d:
                raise ShapeError(f"index {k} is out of bounds for an axis of size {d}")
            axes.append(_Axis(k if k >= 0 else d + k, 1, 1))
            continue
        if isinstance(k, Tensor) and not seen:
            first, seen = len(final), True
        axes.append(_Axis(*_range(k if isinstance(k, slice) else slice(None), d)))
        final.append(axes[-1].size)
    result = _sliced(x, axes, final)
    return _gathered(result, tensors, first) if tensors else result


def _plain(k: object) -> Key:
    """A key that is no slice: a number, or a tensor of what holds numbers."""
    if isinstance(k, (int, np.integer)) and not isinstance(k, bool):
        return int(k)
    if isinstance(k, (bool, list, np.ndarray, np.bool_)):
        return _index(np.asarray(k, np.int64) if isinstance(k, list) and not k else np.asarray(k))
    raise ArgumentError(f"cannot index by {k!r}", fix="use integers, slices, `...`, None, or gc.take")


def _sliced(x: Tensor, axes: Sequence[_Axis], final: Sequence[Index]) -> Tensor:
    n = x.node
    sizes = tuple(a.size for a in axes)
    if sizes != x.shape or any(a.start != 0 or a.step != 1 for a in axes):
        n = node(Slice(tuple(a.start for a in axes), tuple(a.step for a in axes), sizes), n)
    return Tensor(n if n.type.shape == tuple(final) else node(Reshape(tuple(final)), n))


def _gathered(x: Tensor, tensors: Sequence[Tensor], axis: int) -> Tensor:
    """x[…, i[…], j[…], …] along consecutive axes: one gather along these axes as one."""
    if len(tensors) == 1:
        return take(x, tensors[0], axis)
    shape = broadcast_shapes(*(t.shape for t in tensors))
    sizes = x.shape[axis : axis + len(tensors)]
    place, inside = as_tensor(0), as_tensor(True)
    for t, d in zip(tensors, sizes, strict=True):
        size = size_as(d, DType.I64)
        index = cast(Tensor(expand(t.node, shape)), DType.I64)
        index = apply("where", apply("less", index, 0), apply("add", index, size), index)
        inside = apply("logical_and", inside, apply("less_equal", 0, index))
        inside = apply("logical_and", inside, apply("less", index, size))
        place = apply("add", apply("mul", place, size), index)
    total = product(sizes)
    merged = reshape(x, (*x.shape[:axis], total, *x.shape[axis + len(tensors) :]))
    return take(merged, apply("where", inside, place, size_as(total, DType.I64)), axis)


def _range(s: slice, d: Index) -> tuple[Index, int, Index]:
    """(start, step, size) of a slice; of a named dimension only bounds that do not depend on its size."""
    if isinstance(d, int):
        places = range(*s.indices(d))
        return places.start, places.step, len(places)
    step = 1 if s.step is None else int(s.step)
    start, stop = s.start, s.stop
    if step < 0:
        if start is None and stop is None:
            return d - 1, step, (d - 1) // -step + 1
    else:
        first: Index = 0 if start is None else start if start >= 0 else d + start
        last: Index = d if stop is None else stop if stop >= 0 else d + stop
        return first, step, (last - first + step - 1) // step
    raise ShapeError(f"cannot slice the named dimension {d} by {s}", fix="use bounds that leave its size out")


@operation
def take(x: TensorLike, indices: TensorLike, axis: int | None = 0) -> Tensor:
    """Elements of x at integer indices along an axis (of the flattened tensor for None).

    The axes of the indices stand where the axis was.  An index outside the axis reads NaN (0 for integers).
    """
    t, index = as_tensor(x), _index(indices)
    if axis is None:
        t, axis = reshape(t, -1), 0
    k = axis_of(t, axis)
    picked = Tensor(node(Gather(0), moveaxis(t, k, 0).node, index.node))  # [I..., before..., after...]
    return moveaxis(picked, tuple(range(index.ndim)), tuple(range(k, k + index.ndim)))


@operation
def take_along_axis(x: TensorLike, indices: TensorLike, axis: int | None = -1) -> Tensor:
    """x[i, indices[i, k]]: each line along the axis is indexed by its own line of indices.

    Other axes broadcast; None flattens x.  An index outside the axis reads NaN (0 for integers).
    """
    t, index = as_tensor(x), _index(indices)
    if axis is None:
        t, axis = reshape(t, -1), 0
    if index.ndim != t.ndim:
        raise ShapeError(
            f"cannot take from {t.node.type} along an axis by {index.node.type}",
            why="the indices need as many axes as the tensor",
        )
    k = axis_of(t, axis)
    t, index = moveaxis(t, k, -1), moveaxis(index, k, -1)
    lead = broadcast_shapes(t.shape[:-1], index.shape[:-1])
    wide = expand(t.node, (*lead, t.shape[-1])), expand(index.node, (*lead, index.shape[-1]))
    return moveaxis(Tensor(node(Gather(t.ndim - 1), *wide)), -1, k)


@operation
def pick(x: TensorLike, labels: TensorLike) -> Tensor:
    """One element for each row along the last axis: x[..., labels[...]]."""
    t, index = as_tensor(x), _index(labels)
    return Tensor(node(Gather(t.ndim - 1), t.node, index.node))


@operation
def embedding(table: TensorLike, ids: TensorLike) -> Tensor:
    """The rows of a table [entries, features] for integer ids of any shape: [*ids.shape, features]."""
    return take(table, ids, axis=0)


@operation
def one_hot(labels: TensorLike, classes: int, dtype: object = "float32") -> Tensor:
    """1 at each label, else 0, along a new last axis; a label outside 0 … classes−1 gives zeros only."""
    t = as_tensor(labels)
    if not t.dtype.is_integer:
        raise DTypeError(f"the labels of one_hot are {t.node.type}", fix='cast them: labels.astype("int64")')
    shape = (*t.shape, classes)
    wide = expand(node(Reshape((*t.shape, 1)), t.node), shape)
    return cast(Tensor(elementwise("equal", wide, node(Iota(shape, t.ndim, t.dtype)))), dtype)


def _updated(x: TensorLike, updates: TensorLike) -> tuple[Tensor, Tensor]:
    """A tensor and its updates in one dtype: numbers and arrays take that of the tensor where they can."""
    t, u = as_tensor(x), as_tensor(updates)
    if not isinstance(updates, Tensor) and np.can_cast(u.dtype.numpy, t.dtype.numpy, "same_kind"):
        u = cast(u, t.dtype)
    t, u = common(t, u)
    return t, u


@operation
def scatter_add(x: TensorLike, indices: TensorLike, updates: TensorLike, axis: int = 0) -> Tensor:
    """x with updates added at indices along an axis; those that meet at one place are all added.

    The updates have the shape of `take(x, indices, axis)`, or one that broadcasts to it.  An index outside the
    axis adds nothing.
    """
    t, u = _updated(x, updates)
    index, k = _index(indices), axis_of(t, axis)
    u = Tensor(expand(u.node, (*t.shape[:k], *index.shape, *t.shape[k + 1 :])))
    lines = moveaxis(u, tuple(range(k, k + index.ndim)), tuple(range(index.ndim)))
    added = Tensor(node(ScatterAdd(0, t.shape[k]), lines.node, index.node))
    return apply("add", t, moveaxis(added, 0, k))


@operation
def segment_sum(data: TensorLike, segment_ids: TensorLike, num_segments: Index | str) -> Tensor:
    """Sums of the rows of data with one id each, [num_segments, …]; a segment without rows is 0."""
    t, index = as_tensor(data), _index(segment_ids)
    return Tensor(node(ScatterAdd(0, shape_of([num_segments])[0]), t.node, index.node))


@operation
def put(x: TensorLike, indices: TensorLike, updates: TensorLike, axis: int = 0) -> Tensor:
    """x with updates at indices along an axis instead of its elements; of several at one place the last one stays.

    The updates have the shape of `take(x, indices, axis)`, or one that broadcasts to it.  An index outside the
    axis writes nothing.  What is overwritten receives no gradient.  Each place looks for its last index: that
    takes size × number of indices comparisons.
    """
    t, u = _updated(x, updates)
    index, k = _index(indices), axis_of(t, axis)
    u = Tensor(expand(u.node, (*t.shape[:k], *index.shape, *t.shape[k + 1 :])))
    size, count = t.shape[k], product(index.shape)
    if count == 0:
        return t
    lines = reshape(u, (*t.shape[:k], count, *t.shape[k + 1 :]))
    flat = cast(reshape(index, (1, count)), DType.I64)
    flat = apply("where", apply("less", flat, 0), apply("add", flat, size_as(size, DType.I64)), flat)
    place, order = (Tensor(node(Iota((size, count), a, DType.I64))) for a in (0, 1))
    last = maximum_of(apply("where", apply("equal", place, flat), order, -1), axis=1)
    written = reshape(apply("less_equal", 0, last), (size, *(1,) * (t.ndim - k - 1)))
    return apply("where", written, take(lines, apply("maximum", last, 0), k), t)
