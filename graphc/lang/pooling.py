"""Pooling of [N, channels, *spatial], in one, two or three dimensions, and its reverse by switches.

| function | of each window |
|---------------------------------------|-----------------------------------------------------------|
| `max_pool`, `avg_pool`, `lp_pool`     | the maximum, the mean, (Σ|x|^p)^(1/p) |
| `global_max_pool`, `global_avg_pool`  | the same of the whole image |
| `adaptive_max_pool`, `adaptive_avg_pool` | windows that divide the image into so many parts |
| `max_unpool`                          | puts each value back where its maximum was |

`roi_pool`, whose windows are data, is in `graphc.lang.images`.

>>> from graphc.lang.tensor import input
>>> x = input("x", ("N", 20, 27, 27), "float32")
>>> max_pool2d(x, 2).shape, max_pool2d(x, 3, 2, ceil_mode=True).shape, adaptive_avg_pool2d(x, 7).shape
((N, 20, 13, 13), (N, 20, 13, 13), (N, 20, 7, 7))
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, overload

import numpy as np

from graphc.errors import ArgumentError, ShapeError
from graphc.ir.dims import Index, product
from graphc.ir.node import Node, node
from graphc.ir.types import DType
from graphc.lang.apply import apply, expand, power, size_as
from graphc.lang.indexing import take
from graphc.lang.reductions import max as maximum_of
from graphc.lang.reductions import mean
from graphc.lang.reductions import sum as sum_of
from graphc.lang.shapes import pad_node, reshape
from graphc.lang.source import operation
from graphc.lang.tensor import Tensor, TensorLike, as_tensor, const
from graphc.lang.windows import Padding, Pair, image_of, known_sizes, paddings, per_axis
from graphc.ops.gather import ScatterAdd
from graphc.ops.leaves import Const, Iota
from graphc.ops.window import Window, WindowPick

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "global_avg_pool",
    "global_max_pool",
    "lp_pool1d",
    "lp_pool2d",
    "lp_pool3d",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "max_unpool1d",
    "max_unpool2d",
    "max_unpool3d",
]

_Pads = list[tuple[int, int]]
_Both = tuple[Tensor, Tensor]


class _Pool:
    """The windows of a pooling, its arguments checked: padding as asked for, and what ceil_mode adds to it."""

    def __init__(
        self,
        rank: int,
        x: TensorLike,
        size: Pair,
        stride: Pair | None,
        padding: Padding,
        ceil_mode: bool,
        dilation: Pair = 1,
    ) -> None:
        self.x = image_of(x, rank, "pool")
        self.size = per_axis(size, rank, "size")
        self.strides = self.size if stride is None else per_axis(stride, rank, "stride")
        self.dilations = per_axis(dilation, rank, "dilation")
        sizes = self.x.shape[2:]
        self.around = paddings(padding, sizes, self.size, self.strides, self.dilations)
        spans = [d * (k - 1) + 1 for d, k in zip(self.dilations, self.size, strict=True)]
        if any(max(p) >= k for p, k in zip(self.around, spans, strict=True)):
            raise ShapeError(
                f"cannot pad by {padding!r} for windows of {'×'.join(map(str, spans))}",
                why="a window could lie in the padding altogether, where there is nothing to take",
                fix="pad by less than the window",
            )
        self.over = [0] * rank
        if ceil_mode:
            for k, (d, span, s, (lo, hi)) in enumerate(
                zip(sizes, spans, self.strides, self.around, strict=True)
            ):
                if not isinstance(d, int):
                    raise ShapeError(f"ceil_mode needs a known size, not {d}")
                count = -(-(d + lo + hi - span) // s) + 1
                if (count - 1) * s >= d + lo:  # the last window would lie outside altogether
                    count -= 1
                self.over[k] = max(0, (count - 1) * s + span - d - lo - hi)

    def padded(self, n: Node, value: float, *, counted: bool = False) -> Node:
        """A node with the padding around; where that counted already, only with what ceil_mode adds."""
        pads = [
            (0, over) if counted else (lo, hi + over)
            for (lo, hi), over in zip(self.around, self.over, strict=True)
        ]
        return pad_node(n, [(0, 0), (0, 0), *pads], value)

    def sums(self, n: Node) -> Tensor:
        return Tensor(node(Window("sum", self.size, self.strides, self.dilations), n))


@overload
def max_pool1d(
    x: TensorLike,
    size: Pair,
    stride: Pair | None = ...,
    padding: Padding = ...,
    ceil_mode: bool = ...,
    dilation: Pair = ...,
    return_indices: Literal[False] = ...,
) -> Tensor: ...
@overload
def max_pool1d(
    x: TensorLike,
    size: Pair,
    stride: Pair | None = ...,
    padding: Padding = ...,
    ceil_mode: bool = ...,
    dilation: Pair = ...,
    *,
    return_indices: Literal[True],
) -> _Both: ...
@operation
def max_pool1d(
    x: TensorLike,
    size: Pair,
    stride: Pair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    dilation: Pair = 1,
    return_indices: bool = False,
) -> Tensor | _Both:
    """The maximum of each window of x[N,C,L]; see `max_pool2d`."""
    return _max_pool(_Pool(1, x, size, stride, padding, ceil_mode, dilation), return_indices)


@overload
def max_pool2d(
    x: TensorLike,
    size: Pair,
    stride: Pair | None = ...,
    padding: Padding = ...,
    ceil_mode: bool = ...,
    dilation: Pair = ...,
    return_indices: Literal[False] = ...,
) -> Tensor: ...
@overload
def max_pool2d(
    x: TensorLike,
    size: Pair,
    stride: Pair | None = ...,
    padding: Padding = ...,
    ceil_mode: bool = ...,
    dilation: Pair = ...,
    *,
    return_indices: Literal[True],
) -> _Both: ...
@operation
def max_pool2d(
    x: TensorLike,
    size: Pair,
    stride: Pair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    dilation: Pair = 1,
    return_indices: bool = False,
) -> Tensor | _Both:
    """The maximum of each window of x[N,C,H,W]; the first of equal maxima takes the gradient, NaN wins.

    The stride is the window's size by default.  With `ceil_mode`, a last window may hang over the border.
    With `return_indices` also where each maximum was, as row·W + column in int64: see `max_unpool2d`.
    """
    return _max_pool(_Pool(2, x, size, stride, padding, ceil_mode, dilation), return_indices)


@overload
def max_pool3d(
    x: TensorLike,
    size: Pair,
    stride: Pair | None = ...,
    padding: Padding = ...,
    ceil_mode: bool = ...,
    dilation: Pair = ...,
    return_indices: Literal[False] = ...,
) -> Tensor: ...
@overload
def max_pool3d(
    x: TensorLike,
    size: Pair,
    stride: Pair | None = ...,
    padding: Padding = ...,
    ceil_mode: bool = ...,
    dilation: Pair = ...,
    *,
    return_indices: Literal[True],
) -> _Both: ...
@operation
def max_pool3d(
    x: TensorLike,
    size: Pair,
    stride: Pair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    dilation: Pair = 1,
    return_indices: bool = False,
) -> Tensor | _Both:
    """The maximum of each window of x[N,C,D,H,W]; see `max_pool2d`."""
    return _max_pool(_Pool(3, x, size, stride, padding, ceil_mode, dilation), return_indices)


def _max_pool(p: _Pool, return_indices: bool) -> Tensor | _Both:
    padded = p.padded(p.x.node, float("-inf"))
    values = Tensor(node(Window("max", p.size, p.strides, p.dilations), padded))
    if not return_indices:
        return values
    places = expand(_places(p, padded), padded.type.shape)
    return values, Tensor(node(WindowPick(p.size, p.strides, p.dilations), padded, places))


def _places(p: _Pool, padded: Node) -> Node:
    """For each element of the padded image its number in the image itself; in the padding, its neighbour's."""
    spatial = padded.type.shape[2:]
    number = Tensor(node(Const.of(0, DType.I64)))
    for axis, (size, (lo, _)) in enumerate(zip(p.x.shape[2:], p.around, strict=True)):
        place = Tensor(node(Iota((1, 1, *spatial), 2 + axis, DType.I64)))
        place = apply("minimum", apply("maximum", place - lo, 0), size_as(size - 1, DType.I64))
        number = number * size_as(size, DType.I64) + place
    return number.node


@operation
def avg_pool1d(
    x: TensorLike,
    size: Pair,
    stride: Pair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = False,
    divisor_override: float | None = None,
) -> Tensor:
    """The mean of each window of x[N,C,L]; see `avg_pool2d`."""
    return _avg_pool(_Pool(1, x, size, stride, padding, ceil_mode), count_include_pad, divisor_override)


@operation
def avg_pool2d(
    x: TensorLike,
    size: Pair,
    stride: Pair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = False,
    divisor_override: float | None = None,
) -> Tensor:
    """The mean of each window of x[N,C,H,W].

    Padding does not count, as in Keras; with `count_include_pad` it counts as zeros, which is PyTorch's
    default.  What `ceil_mode` adds never counts.  `divisor_override=1` gives the sum.
    """
    return _avg_pool(_Pool(2, x, size, stride, padding, ceil_mode), count_include_pad, divisor_override)


@operation
def avg_pool3d(
    x: TensorLike,
    size: Pair,
    stride: Pair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = False,
    divisor_override: float | None = None,
) -> Tensor:
    """The mean of each window of x[N,C,D,H,W]; see `avg_pool2d`."""
    return _avg_pool(_Pool(3, x, size, stride, padding, ceil_mode), count_include_pad, divisor_override)


def _avg_pool(p: _Pool, count_include_pad: bool, divisor_override: float | None) -> Tensor:
    total = p.sums(p.padded(p.x.node, 0.0))
    if divisor_override is not None:
        return apply("div", total, float(divisor_override))
    plain = all(side == (0, 0) for side in p.around)
    if not any(p.over) and (plain or count_include_pad):
        return apply("div", total, float(product(p.size)))  # type: ignore[arg-type]
    # How many elements each window holds that count: the same pooling of ones.
    ones = node(Const.of(1.0, p.x.dtype))
    sizes = p.x.shape[2:]
    if count_include_pad:
        sizes = tuple(lo + d + hi for d, (lo, hi) in zip(sizes, p.around, strict=True))
    area = p.padded(expand(ones, (1, 1, *sizes)), 0.0, counted=count_include_pad)
    return apply("div", total, p.sums(area))


@operation
def lp_pool1d(
    x: TensorLike, norm_type: float, size: Pair, stride: Pair | None = None, ceil_mode: bool = False
) -> Tensor:
    """(Σ |x|^p)^(1/p) over each window of x[N,C,L]; see `lp_pool2d`."""
    return _lp_pool(_Pool(1, x, size, stride, 0, ceil_mode), norm_type)


@operation
def lp_pool2d(
    x: TensorLike, norm_type: float, size: Pair, stride: Pair | None = None, ceil_mode: bool = False
) -> Tensor:
    """(Σ |x|^p)^(1/p) over each window of x[N,C,H,W], with p = norm_type ≥ 1; where all is 0, so is the gradient.

    It is a norm for every p; PyTorch, for odd p, adds up powers with their signs.
    """
    return _lp_pool(_Pool(2, x, size, stride, 0, ceil_mode), norm_type)


@operation
def lp_pool3d(
    x: TensorLike, norm_type: float, size: Pair, stride: Pair | None = None, ceil_mode: bool = False
) -> Tensor:
    """(Σ |x|^p)^(1/p) over each window of x[N,C,D,H,W]; see `lp_pool2d`."""
    return _lp_pool(_Pool(3, x, size, stride, 0, ceil_mode), norm_type)


def _lp_pool(p: _Pool, norm_type: float) -> Tensor:
    if not norm_type >= 1:
        raise ArgumentError(f"norm_type must be a number of 1 or more, not {norm_type!r}")
    powers = power(p.x, 2) if norm_type == 2 else power(apply("abs", p.x), norm_type)
    total = p.sums(p.padded(powers.node, 0.0))
    # The root has no slope at 0: there it is taken of 1 instead, and not used.
    some = apply("not_equal", total, 0.0)
    return apply("where", some, power(apply("where", some, total, 1.0), 1 / norm_type), 0.0)


# ---- the whole image, or so many parts of it -------------------------------------------------------------


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
        pool = _Pool(rank, t, size, None, 0, False)
        if kind == "max":
            return Tensor(node(Window("max", pool.size, pool.strides), t.node))
        return _avg_pool(pool, False, None)
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


# ---- unpooling -------------------------------------------------------------------------------------------


@operation
def max_unpool1d(
    x: TensorLike,
    indices: TensorLike,
    size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """The values x[N,C,L] at the places `indices` of an image of zeros; see `max_unpool2d`."""
    return _unpool(1, x, indices, size, stride, padding, output_size)


@operation
def max_unpool2d(
    x: TensorLike,
    indices: TensorLike,
    size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """The values x[N,C,H,W] at the places `indices` of an image of zeros: unpooling with switches.

    `indices` are those of `max_pool2d(..., return_indices=True)`.  The image has `output_size`, by default
    (H − 1)·stride − 2·padding + size.  Where overlapping windows chose one place, their values add up: this is
    the transpose of the pooling (PyTorch keeps one of them).
    Source: M. Zeiler, R. Fergus, Visualizing and understanding convolutional networks, arXiv:1311.2901.
    """
    return _unpool(2, x, indices, size, stride, padding, output_size)


@operation
def max_unpool3d(
    x: TensorLike,
    indices: TensorLike,
    size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """The values x[N,C,D,H,W] at the places `indices` of an image of zeros; see `max_unpool2d`."""
    return _unpool(3, x, indices, size, stride, padding, output_size)


def _unpool(
    rank: int,
    x: TensorLike,
    indices: TensorLike,
    size: Pair,
    stride: Pair | None,
    padding: Pair,
    output_size: Sequence[int] | None,
) -> Tensor:
    t, at = image_of(x, rank, "unpool"), as_tensor(indices)
    if t.shape != at.shape:
        raise ShapeError(
            f"cannot unpool {t.node.type} to the places {at.node.type}", why="each value needs one place"
        )
    kernel = per_axis(size, rank, "size")
    strides = kernel if stride is None else per_axis(stride, rank, "stride")
    pads = per_axis(padding, rank, "padding", least=0)
    sizes: tuple[Index, ...]
    if output_size is None:
        sizes = tuple(
            (d - 1) * s - 2 * p + k for d, s, p, k in zip(t.shape[2:], strides, pads, kernel, strict=True)
        )
    else:
        sizes = per_axis(tuple(output_size)[-rank:], rank, "output_size")
    flat = (*t.shape[:2], product(t.shape[2:]))
    spread = node(ScatterAdd(2, product(sizes)), reshape(t, flat).node, reshape(at, flat).node)
    return reshape(Tensor(spread), (*t.shape[:2], *sizes))
