"""Pooling over parts of an image: the whole, so many parts on each axis, or regions that are data.

| function | its parts |
|---------------------------------------------|-----------------------------------------------------|
| `global_max_pool`, `global_avg_pool`        | the whole image |
| `adaptive_max_pool`, `adaptive_avg_pool`    | the image, divided into so many parts on each axis |
| `roi_pool`                                  | regions of interest, each divided in the same way |

>>> from graphc.lang.tensor import input
>>> x = input("x", ("N", 20, 27, 27), "float32")
>>> global_avg_pool(x).shape, adaptive_avg_pool2d(x, 7).shape, roi_pool(x, input("r", ("K", 5)), 7).shape
((N, 20), (N, 20, 7, 7), (K, 20, 7, 7))
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from graphc.errors import ShapeError
from graphc.ir.dims import Index
from graphc.ir.node import node
from graphc.ir.types import DType
from graphc.lang.apply import apply, as_float, cast, type_of
from graphc.lang.indexing import take
from graphc.lang.pooling import Pool, mean_of_windows
from graphc.lang.reductions import max as maximum_of
from graphc.lang.reductions import mean
from graphc.lang.reductions import sum as sum_of
from graphc.lang.shapes import expand_dims
from graphc.lang.source import operation
from graphc.lang.tensor import Tensor, TensorLike, const
from graphc.lang.windows import Pair, image_of, known_sizes, per_axis
from graphc.ops.leaves import Iota
from graphc.ops.window import Window

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "global_avg_pool",
    "global_max_pool",
    "roi_pool",
]


@operation
def global_max_pool(x: TensorLike, keepdims: bool = False) -> Tensor:
    """The maximum of each channel: x[N,C,*S] gives [N,C], or [N,C,1,...] with `keepdims`."""
    t = image_of(x, None, "pool")
    return maximum_of(t, axis=tuple(range(2, t.ndim)), keepdims=keepdims)


@operation
def global_avg_pool(x: TensorLike, keepdims: bool = False) -> Tensor:
    """The mean of each channel: x[N,C,*S] gives [N,C], or [N,C,1,...] with `keepdims`."""
    t = image_of(x, None, "pool")
    return mean(t, axis=tuple(range(2, t.ndim)), keepdims=keepdims)


@operation
def adaptive_avg_pool1d(x: TensorLike, output_size: Pair) -> Tensor:
    """Means of `output_size` parts of x[N,C,L]; see `adaptive_avg_pool2d`."""
    return _adaptive(1, x, output_size, "avg")


@operation
def adaptive_avg_pool2d(x: TensorLike, output_size: Pair) -> Tensor:
    """Means over x[N,C,H,W] of [N,C,*output_size] parts, as in PyTorch.

    Part i of k goes from floor(i·H/k) to ceil((i + 1)·H/k), so that neighbours may share a row.
    """
    return _adaptive(2, x, output_size, "avg")


@operation
def adaptive_avg_pool3d(x: TensorLike, output_size: Pair) -> Tensor:
    """Means of parts of x[N,C,D,H,W]; see `adaptive_avg_pool2d`."""
    return _adaptive(3, x, output_size, "avg")


@operation
def adaptive_max_pool1d(x: TensorLike, output_size: Pair) -> Tensor:
    """Maxima of `output_size` parts of x[N,C,L]; see `adaptive_max_pool2d`."""
    return _adaptive(1, x, output_size, "max")


@operation
def adaptive_max_pool2d(x: TensorLike, output_size: Pair) -> Tensor:
    """Maxima over x[N,C,H,W] of the parts of `adaptive_avg_pool2d`; the first of equal ones takes the gradient."""
    return _adaptive(2, x, output_size, "max")


@operation
def adaptive_max_pool3d(x: TensorLike, output_size: Pair) -> Tensor:
    """Maxima of parts of x[N,C,D,H,W]; see `adaptive_max_pool2d`."""
    return _adaptive(3, x, output_size, "max")


def _adaptive(rank: int, x: TensorLike, output_size: Pair, kind: Literal["avg", "max"]) -> Tensor:
    t = image_of(x, rank, "pool")
    wanted = per_axis(output_size, rank, "output_size")
    if all(k == 1 for k in wanted):
        return global_avg_pool(t, keepdims=True) if kind == "avg" else global_max_pool(t, keepdims=True)
    sizes = known_sizes(t.shape[2:], "adaptive pooling")
    if 0 in sizes:
        raise ShapeError(f"cannot pool {t.node.type}", why="the image is empty")
    if all(d % k == 0 for d, k in zip(sizes, wanted, strict=True)):
        size = tuple(d // k for d, k in zip(sizes, wanted, strict=True))
        pool = Pool(rank, t, size, None, 0, False)
        if kind == "max":
            return Tensor(node(Window("max", pool.size, pool.strides), t.node))
        return mean_of_windows(pool, False, None)
    # One axis after the other, the last one first: of equal maxima the first in row-major order stays first.
    for axis in reversed(range(rank)):
        t = _parts(t, 2 + axis, sizes[axis], wanted[axis], kind)
    return t


def _parts(t: Tensor, axis: int, size: int, count: int, kind: Literal["avg", "max"]) -> Tensor:
    """The mean or maximum of `count` parts of an axis, each gathered as a row of its own."""
    starts = np.arange(count) * size // count
    lengths = -(-(np.arange(1, count + 1) * size) // count) - starts
    index = starts[:, None] + np.arange(lengths.max())
    rows = take(t, const(np.minimum(index, size - 1)), axis)
    tail = (1,) * (t.ndim - 1 - axis)
    used = const((index < (starts + lengths)[:, None]).reshape(*index.shape, *tail))
    if kind == "max":
        return maximum_of(apply("where", used, rows, float("-inf")), axis=axis + 1)
    total = sum_of(apply("where", used, rows, 0.0), axis=axis + 1)
    return apply("div", total, const(lengths.reshape(-1, *tail), t.dtype))


# ---- regions of interest ---------------------------------------------------------------------------------


@operation
def roi_pool(x: TensorLike, rois: TensorLike, output_size: Pair, spatial_scale: float = 1.0) -> Tensor:
    """The maxima of x[N,C,H,W] over parts of regions rois[K,5]: [K,C,*output_size], as in torchvision.

    A region is (sample, x1, y1, x2, y2).  Its corners, times `spatial_scale`, are rounded (halves away from 0) and
    belong to it, so that it is max(1, x2 − x1 + 1) wide; part i of k goes from floor(i·width/k) to
    ceil((i + 1)·width/k), cut to the image.  A part without pixels is 0.  The first of equal maxima in row-major
    order takes the gradient; regions take none.
    Source: R. Girshick, Fast R-CNN, arXiv:1504.08083.
    """
    image, regions = as_float(x), as_float(rois)
    if image.ndim != 4 or regions.ndim != 2 or regions.shape[1] != 5:
        raise ShapeError(
            f"cannot pool {type_of(x)} over {type_of(rois)}",
            why="they must be [N,C,H,W] and [K,5]: (sample, x1, y1, x2, y2)",
        )
    counts = per_axis(output_size, 2, "output_size")
    regions = apply("stop_gradient", regions)
    picked = take(image, cast(regions[:, 0], DType.I64), axis=0)  # [K,C,H,W]
    masks = []
    for axis, count in enumerate(counts):
        start, end = (_rounded(regions[:, k] * spatial_scale) for k in (2 - axis, 4 - axis))
        masks.append(_part_masks(start, end, image.shape[2 + axis], count))
    rows, columns = masks  # [K,count,size]
    # Columns first, then rows: of equal maxima the first in row-major order is the first of its row.
    wide = apply("where", columns[:, None, None], expand_dims(picked, 3), float("-inf"))
    across = maximum_of(wide, axis=4)  # [K,C,H,PW]
    tall = apply("where", expand_dims(rows[:, None], 4), expand_dims(across, 2), float("-inf"))
    empty = apply("logical_not", _any(rows)[:, :, None]), apply("logical_not", _any(columns)[:, None])
    nothing = expand_dims(apply("logical_or", *empty), 1)
    return apply("where", nothing, 0.0, maximum_of(tall, axis=3))


def _rounded(v: Tensor) -> Tensor:
    """The nearest integer; halves away from zero."""
    return apply("sign", v) * apply("floor", apply("abs", v) + 0.5)


def _part_masks(start: Tensor, end: Tensor, size: Index, count: int) -> Tensor:
    """Whether pixel j of an axis is in part i of region k: [K,count,size]."""
    width = apply("maximum", end - start + 1.0, 1.0) / float(count)
    part = Tensor(node(Iota((1, count), 1, start.dtype)))
    first = apply("floor", part * width[:, None]) + start[:, None]
    last = apply("ceil", (part + 1.0) * width[:, None]) + start[:, None]
    pixel = Tensor(node(Iota((1, 1, size), 2, start.dtype)))
    return apply("logical_and", expand_dims(first, 2) <= pixel, pixel < expand_dims(last, 2))


def _any(mask: Tensor) -> Tensor:
    """Whether a row of [K,count,size] holds anything: [K,count]."""
    return maximum_of(cast(mask, DType.I32), axis=2) > 0
