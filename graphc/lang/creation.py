"""Tensors made of constants and indices: ranges, filled shapes, the identity, triangles, grids.

A shape may hold named dimensions.  Nothing here is stored before it is needed: a filled shape is one number, and
a range along an axis is its index.

>>> eye(3).shape, zeros(("N", 2), "float32")
((3, 3), Tensor(expand, f32[N,2]))
"""

from __future__ import annotations

import numpy as np

from graphc.errors import ArgumentError, ShapeError
from graphc.ir.dims import Dim, Index
from graphc.ir.node import node
from graphc.ir.types import DType, dtype_of, shape_of, shape_text
from graphc.lang.apply import apply, cast, expand, zeros_like
from graphc.lang.indexing import pick
from graphc.lang.reductions import axes_of, sum
from graphc.lang.shapes import moveaxis, pad_node, reshape
from graphc.lang.source import operation
from graphc.lang.tensor import ShapeLike, Tensor, TensorLike, as_tensor
from graphc.ops.leaves import Const, Iota

__all__ = [
    "arange",
    "diag",
    "diagonal",
    "eye",
    "full",
    "full_like",
    "linspace",
    "meshgrid",
    "ones",
    "ones_like",
    "trace",
    "tri",
    "tril",
    "triu",
    "zeros",
]


@operation
def full(shape: ShapeLike, fill_value: TensorLike, dtype: object = None) -> Tensor:
    """A shape filled with one value (or with what broadcasts to it); float64 for a Python float, as in NumPy."""
    value = as_tensor(fill_value)
    if dtype is not None:
        value = cast(value, dtype)
    return Tensor(expand(value.node, shape_of(shape)))


@operation
def zeros(shape: ShapeLike, dtype: object = "float64") -> Tensor:
    """A shape of zeros."""
    return full(shape, 0, dtype)


@operation
def ones(shape: ShapeLike, dtype: object = "float64") -> Tensor:
    """A shape of ones."""
    return full(shape, 1, dtype)


@operation
def full_like(x: TensorLike, fill_value: TensorLike, dtype: object = None) -> Tensor:
    """One value in the shape and dtype of another tensor."""
    t = as_tensor(x)
    return full(t.shape, fill_value, t.dtype if dtype is None else dtype)


@operation
def ones_like(x: TensorLike) -> Tensor:
    """Ones of the same type."""
    return full_like(x, 1)


@operation
def arange(
    start: Index | float | str, stop: float | None = None, step: float = 1, dtype: object = None
) -> Tensor:
    """start, start + step, … up to but without `stop`; `arange(n)` counts from 0, and n may be a named dimension.

    int64, or float64 where a number is a float, as in NumPy.
    """
    if isinstance(start, (str, Dim)):
        if stop is not None or step != 1:
            raise ArgumentError(
                f"a range over the named dimension {start} counts from 0 by 1", fix=f'gc.arange("{start}")'
            )
        return Tensor(node(Iota(shape_of([start]), 0, DType.I64 if dtype is None else dtype_of(dtype))))
    if step == 0:
        raise ArgumentError("a range cannot go on by 0", fix="give a step that is not 0")
    values = np.arange(start) if stop is None else np.arange(start, stop, step)
    return Tensor(node(Const.of(values, values.dtype if dtype is None else dtype)))


@operation
def linspace(
    start: float, stop: float, num: int = 50, endpoint: bool = True, dtype: object = "float64"
) -> Tensor:
    """`num` numbers at equal distances from `start` to `stop`, which is the last one unless `endpoint` is false."""
    if num < 0:
        raise ArgumentError(f"linspace cannot give {num} numbers", fix="give 0 or more")
    return Tensor(node(Const.of(np.linspace(start, stop, num, endpoint), dtype)))


@operation
def tri(
    rows: Index | str, columns: Index | str | None = None, k: int = 0, dtype: object = "float64"
) -> Tensor:
    """1 on and below the k-th diagonal, else 0."""
    return cast(_below(shape_of([rows, rows if columns is None else columns]), k), dtype)


def _below(shape: tuple[Index, ...], k: int) -> Tensor:
    """Whether the last index is at most the one before plus k."""
    rank = len(shape)
    i, j = (Tensor(node(Iota(shape, rank - 2 + a, DType.I64))) for a in (0, 1))
    return apply("less_equal", j, apply("add", i, k) if k else i)


@operation
def eye(
    rows: Index | str, columns: Index | str | None = None, k: int = 0, dtype: object = "float64"
) -> Tensor:
    """1 on the k-th diagonal, else 0."""
    shape = shape_of([rows, rows if columns is None else columns])
    i, j = (Tensor(node(Iota(shape, a, DType.I64))) for a in (0, 1))
    return cast(apply("equal", apply("add", i, k) if k else i, j), dtype)


@operation
def tril(x: TensorLike, k: int = 0) -> Tensor:
    """The elements on and below the k-th diagonal of matrices [..., rows, columns], else 0."""
    t = _matrices("tril", x)
    return apply("where", _below(t.shape, k), t, zeros_like(t))


@operation
def triu(x: TensorLike, k: int = 0) -> Tensor:
    """The elements on and above the k-th diagonal of matrices [..., rows, columns], else 0."""
    t = _matrices("triu", x)
    return apply("where", _below(t.shape, k - 1), zeros_like(t), t)


def _matrices(what: str, x: TensorLike) -> Tensor:
    t = as_tensor(x)
    if t.ndim < 2:
        raise ShapeError(f"{what} takes matrices, not {t.node.type}", why=f"it has {t.ndim} axes")
    return t


@operation
def diagonal(x: TensorLike, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """The elements x[i, i + offset] of two axes, which become one new last axis."""
    t = _matrices("diagonal", x)
    axes_of(t, (axis1, axis2))
    moved = moveaxis(t, (axis1, axis2), (-2, -1))
    rows, columns = moved.shape[-2:]
    first = -offset if offset < 0 else 0
    length = _diagonal_length(rows, columns, offset)
    rows_kept = moved[..., first : first + length, :] if isinstance(length, int) else moved
    if not isinstance(length, int) and offset:
        raise ShapeError(
            f"cannot take the diagonal {offset} of {shape_text((rows, columns))}",
            why="its length is not known before the call",
        )
    place = Tensor(node(Iota(rows_kept.shape[:-1], t.ndim - 2, DType.I64)))
    return pick(rows_kept, apply("add", place, first + offset) if first + offset else place)


def _diagonal_length(rows: Index, columns: Index, offset: int) -> Index:
    if isinstance(rows, int) and isinstance(columns, int):
        return max(0, min(rows, columns - offset) if offset >= 0 else min(rows + offset, columns))
    if rows != columns:
        raise ShapeError(
            f"cannot take the diagonal of {shape_text((rows, columns))}",
            why="which of the two is smaller is not known before the call",
        )
    return rows


@operation
def diag(x: TensorLike, k: int = 0) -> Tensor:
    """The k-th diagonal of a matrix; of a vector, the matrix that has it there, and else 0."""
    t = as_tensor(x)
    if t.ndim == 2:
        return diagonal(t, k)
    if t.ndim != 1:
        raise ShapeError(
            f"diag takes a vector or a matrix, not {t.node.type}", fix="use gc.diagonal for stacks"
        )
    lead, rest = max(0, -k), max(0, k)
    rows = pad_node(t.node, [(lead, rest)])
    size = rows.type.shape[0]
    wide = Tensor(expand(reshape(Tensor(rows), (size, 1)).node, (size, size)))
    return apply("where", eye(size, size, k, "bool"), wide, zeros_like(wide))


@operation
def trace(x: TensorLike, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """The sum of a diagonal."""
    return sum(diagonal(x, offset, axis1, axis2), axis=-1)


@operation
def meshgrid(*xs: TensorLike, indexing: str = "xy") -> list[Tensor]:
    """Each vector along its own axis of one grid, repeated along the others; "xy" exchanges the first two axes."""
    if indexing not in ("xy", "ij"):
        raise ArgumentError(f"unknown indexing {indexing!r}", fix='use "xy" or "ij"')
    ts = [reshape(as_tensor(x), -1) for x in xs]
    axes = list(range(len(ts)))
    if indexing == "xy" and len(ts) > 1:
        axes[:2] = [1, 0]
    order = sorted(range(len(ts)), key=axes.__getitem__)
    shape = tuple(ts[k].shape[0] for k in order)
    found = []
    for t, axis in zip(ts, axes, strict=True):
        line = reshape(t, tuple(t.shape[0] if k == axis else 1 for k in range(len(ts))))
        found.append(Tensor(expand(line.node, shape)))
    return found
