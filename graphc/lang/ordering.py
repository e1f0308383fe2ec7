"""Order along an axis: sort, argsort, top-k, medians and quantiles.  All are made of one operation, `rank`.

Order is stable, and NaN counts as larger than any number: last in ascending order, as in NumPy.  Each element is
compared with all others of its row: a row of 1 000 takes some tenths of a millisecond, one of 10 000 some tens,
and the time grows as the square.  Gradients go to the elements that were chosen.

>>> from graphc.lang.tensor import input
>>> values, indices = top_k(input("scores", ("N", 10)), 3)
>>> values.shape, str(indices.dtype)
((N, 3), 'i64')
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from graphc.errors import ArgumentError, ShapeError
from graphc.ir.dims import product
from graphc.ir.node import node
from graphc.ir.types import DType
from graphc.lang.apply import apply, as_float, cast, size_as
from graphc.lang.indexing import take_along_axis
from graphc.lang.padding import pad
from graphc.lang.reductions import Axis, as_number, axes_of, counted, kept_shape, sum
from graphc.lang.shapes import axis_of, moveaxis, reshape, stack, transpose
from graphc.lang.source import operation
from graphc.lang.tensor import Tensor, TensorLike, as_tensor
from graphc.ops.gather import ScatterAdd
from graphc.ops.leaves import Iota
from graphc.ops.rank import Rank

__all__ = [
    "argsort",
    "median",
    "median_filter2d",
    "quantile",
    "sort",
    "top_k",
]


def _line(x: TensorLike, axis: int | None) -> tuple[Tensor, int]:
    t = as_tensor(x)
    return (reshape(t, -1), 0) if axis is None else (t, axis_of(t, axis))


def _ranks(t: Tensor, axis: int, descending: bool = False) -> Tensor:
    return Tensor(node(Rank(axis, descending), as_number(t).node))


@operation
def argsort(x: TensorLike, axis: int | None = -1, *, descending: bool = False) -> Tensor:
    """The indices that sort along an axis (of the flattened tensor for None), as int64; stable.

    NaN is last, in descending order first.  A row of n elements takes n² comparisons.
    """
    t, k = _line(x, axis)
    ranks = moveaxis(_ranks(t, k, descending), k, -1)
    places = node(Iota(ranks.shape, ranks.ndim - 1, DType.I64))
    # Ranks are a permutation, so each place of the result receives one index.
    order = Tensor(node(ScatterAdd(ranks.ndim - 1, ranks.shape[-1]), places, ranks.node))
    return moveaxis(order, -1, k)


@operation
def sort(x: TensorLike, axis: int | None = -1, *, descending: bool = False) -> Tensor:
    """The elements in order along an axis (of the flattened tensor for None); stable, NaN last (descending: first).

    A row of n elements takes n² comparisons.
    """
    t, k = _line(x, axis)
    return take_along_axis(t, argsort(t, k, descending=descending), k)


@operation
def top_k(x: TensorLike, k: int, axis: int = -1) -> tuple[Tensor, Tensor]:
    """The k largest elements along an axis, largest first, and their indices; of equal ones the first.

    NaN counts as the largest.  A row of n elements takes n² comparisons.
    """
    t = as_tensor(x)
    a = axis_of(t, axis)
    d = t.shape[a]
    if k < 0 or (isinstance(d, int) and k > d):
        raise ShapeError(f"cannot take the {k} largest of {t.node.type}", why=f"axis {axis} has {d} elements")
    ranks = moveaxis(_ranks(t, a, True), a, -1)
    shape = (*ranks.shape[:-1], k)
    places = node(Iota(ranks.shape, ranks.ndim - 1, DType.I64))
    # Ranks beyond k lie outside, where nothing is put.  Where a named axis is too short, the index stays outside it.
    size = size_as(d, DType.I64)
    found = Tensor(node(ScatterAdd(ranks.ndim - 1, k), places, ranks.node))
    order = apply("less", Tensor(node(Iota(shape, len(shape) - 1, DType.I64))), size)
    indices = moveaxis(apply("where", order, found, size), -1, a)
    return take_along_axis(t, indices, a), indices


def _order_statistic(t: Tensor, ranks: Tensor, place: Tensor) -> Tensor:
    """The element of each row (along the last axis) whose rank is a scalar; 0 where there is none.

    It is the only term of a sum, so the gradient goes to it alone.
    """
    chosen = apply("equal", ranks, place)
    return sum(apply("where", chosen, t, 0.0), axis=-1)


def _rows(t: Tensor, axis: Axis) -> tuple[Tensor, tuple[int, ...]]:
    """The reduced axes as one last axis."""
    axes = axes_of(t, axis)
    kept = tuple(k for k in range(t.ndim) if k not in axes)
    moved = transpose(t, (*kept, *axes))
    return reshape(moved, (*(t.shape[k] for k in kept), product(t.shape[k] for k in axes))), axes


def _quantiles(x: TensorLike, q: Sequence[float], axis: Axis, keepdims: bool, what: str) -> list[Tensor]:
    t = as_float(x)
    row, axes = _rows(t, axis)
    if row.shape[-1] == 0:
        raise ShapeError(f"cannot take the {what} of {t.node.type}", why="it has no elements along the axis")
    ranks = _ranks(row, row.ndim - 1)
    last = apply("sub", counted(row, (row.ndim - 1,)), 1.0)
    spoiled = apply("less", 0, sum(cast(apply("not_equal", row, row), DType.I64), axis=-1))
    spoiled = apply("logical_or", spoiled, apply("less", last, 0.0))
    results = []
    for part in q:
        at = apply("mul", last, float(part))
        low = apply("floor", at)
        weight = apply("sub", at, low)
        first = _order_statistic(row, ranks, cast(low, DType.I64))
        second = _order_statistic(row, ranks, cast(apply("ceil", at), DType.I64))
        # Both weights, so that the median of two is their mean, and infinity does not meet itself.
        mixed = apply(
            "add",
            apply("mul", first, apply("sub", 1.0, weight)),
            apply("where", apply("less", 0.0, weight), apply("mul", second, weight), 0.0),
        )
        value = apply("where", spoiled, float("nan"), mixed)
        results.append(reshape(value, kept_shape(t, axes)) if keepdims else value)
    return results


@operation
def median(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The element in the middle of the order along axes (all by default); of two, their mean.

    NaN where an element is NaN, or where a named axis has size 0; ShapeError for an axis that is known to be empty.
    The gradient goes to the middle element, or half to each of the two.  n elements take n² comparisons.
    """
    return _quantiles(x, (0.5,), axis, keepdims, "median")[0]


@operation
def quantile(x: TensorLike, q: float | Sequence[float], axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The value below which the part q of the elements along axes lies, with linear interpolation (NumPy's "linear").

    Several q give a new first axis.  NaN where an element is NaN.  n elements take n² comparisons.
    """
    parts = [float(v) for v in np.atleast_1d(np.asarray(q, np.float64))]
    if any(not 0 <= p <= 1 for p in parts):
        raise ArgumentError(f"quantiles lie between 0 and 1, not at {q!r}")
    found = _quantiles(x, parts, axis, keepdims, "quantile")
    return found[0] if isinstance(q, (int, float)) else stack(found)


@operation
def median_filter2d(x: TensorLike, size: int | Sequence[int], *, mode: str = "valid") -> Tensor:
    """The median of each window of the last two axes, which removes salt and pepper noise.

    `size` is odd: one number, or one for each axis.  "valid" keeps whole windows only; any mode of `gc.pad` keeps
    the size of the image ("symmetric" is SciPy's default, which calls it "reflect").
    """
    t = as_tensor(x)
    sizes = (size, size) if isinstance(size, int) else tuple(size)
    if len(sizes) != 2 or any(s < 1 or s % 2 == 0 for s in sizes):
        raise ArgumentError(
            f"the window of a median filter is {size!r}", fix="give an odd size, or two of them"
        )
    if t.ndim < 2:
        raise ShapeError(f"cannot filter {t.node.type}", why="an image has two axes or more")
    if mode != "valid":
        t = pad(t, [*((0, 0),) * (t.ndim - 2), *((s // 2, s // 2) for s in sizes)], mode=mode)
    height, width = (d - (s - 1) for d, s in zip(t.shape[-2:], sizes, strict=True))
    if any(isinstance(d, int) and d < 1 for d in (height, width)):
        raise ShapeError(f"a window of {sizes[0]}×{sizes[1]} does not fit into {t.node.type}")
    cells = [
        t[..., i : (i + 1 - sizes[0]) or None, j : (j + 1 - sizes[1]) or None]
        for i, j in itertools.product(*(range(s) for s in sizes))
    ]
    return median(stack(cells, -1), axis=-1)
