"""Pooling of [N, channels, *spatial], in one, two or three dimensions, and its reverse by switches.

| function | of each window |
|---------------------------------------|-----------------------------------------------------------|
| `max_pool`, `avg_pool`, `lp_pool`     | the maximum, the mean, (Σ|x|^p)^(1/p) |
| `max_unpool`                          | puts each value back where its maximum was |

Pooling over the whole image, over so many parts of it, and over regions that are data: `graphc.lang.regions`.

>>> from graphc.lang.tensor import input
>>> x = input("x", ("N", 20, 27, 27), "float32")
>>> max_pool2d(x, 2).shape, avg_pool2d(x, 2, ceil_mode=True).shape
((N, 20, 13, 13), (N, 20, 14, 14))
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Protocol, cast, overload

from graphc.errors import ArgumentError, ShapeError
from graphc.ir.dims import Index, product
from graphc.ir.node import Node, node
from graphc.ir.types import DType
from graphc.lang.apply import apply, expand, power, size_as
from graphc.lang.shapes import pad_node, reshape
from graphc.lang.tensor import Tensor, TensorLike, as_tensor
from graphc.lang.windows import Header, Padding, Pair, image_of, of_rank, paddings, per_axis
from graphc.ops.gather import ScatterAdd
from graphc.ops.leaves import Const, Iota
from graphc.ops.window import Window, WindowPick

__all__ = [
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
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


class Pool:
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


class _MaxPool(Protocol):
    """What `max_pool1d`, `max_pool2d` and `max_pool3d` take and give."""

    @overload
    def __call__(
        self,
        x: TensorLike,
        size: Pair,
        stride: Pair | None = ...,
        padding: Padding = ...,
        ceil_mode: bool = ...,
        dilation: Pair = ...,
        return_indices: Literal[False] = ...,
    ) -> Tensor: ...
    @overload
    def __call__(
        self,
        x: TensorLike,
        size: Pair,
        stride: Pair | None = ...,
        padding: Padding = ...,
        ceil_mode: bool = ...,
        dilation: Pair = ...,
        *,
        return_indices: Literal[True],
    ) -> _Both: ...


def _max_pool(
    rank: int,
    x: TensorLike,
    size: Pair,
    stride: Pair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    dilation: Pair = 1,
    return_indices: bool = False,
) -> Tensor | _Both:
    p = Pool(rank, x, size, stride, padding, ceil_mode, dilation)
    padded = p.padded(p.x.node, float("-inf"))
    values = Tensor(node(Window("max", p.size, p.strides, p.dilations), padded))
    if not return_indices:
        return values
    places = expand(_places(p, padded), padded.type.shape)
    return values, Tensor(node(WindowPick(p.size, p.strides, p.dilations), padded, places))


def _max_pool_of_rank(rank: int) -> Callable[[Header], _MaxPool]:
    """`of_rank`, with the type of the result that `return_indices` decides."""
    return cast(Callable[[Header], _MaxPool], of_rank(rank, _max_pool))


@_max_pool_of_rank(1)
def max_pool1d() -> None:
    """The maximum of each window of x[N,C,L]; see `max_pool2d`."""


@_max_pool_of_rank(2)
def max_pool2d() -> None:
    """The maximum of each window of x[N,C,H,W]; the first of equal maxima takes the gradient, NaN wins.

    The stride is the window's size by default.  With `ceil_mode`, a last window may hang over the border.
    With `return_indices` also where each maximum was, as row·W + column in int64: see `max_unpool2d`.
    """


@_max_pool_of_rank(3)
def max_pool3d() -> None:
    """The maximum of each window of x[N,C,D,H,W]; see `max_pool2d`."""


def _places(p: Pool, padded: Node) -> Node:
    """For each element of the padded image its number in the image itself; in the padding, its neighbour's."""
    spatial = padded.type.shape[2:]
    number = Tensor(node(Const.of(0, DType.I64)))
    for axis, (size, (lo, _)) in enumerate(zip(p.x.shape[2:], p.around, strict=True)):
        place = Tensor(node(Iota((1, 1, *spatial), 2 + axis, DType.I64)))
        place = apply("minimum", apply("maximum", place - lo, 0), size_as(size - 1, DType.I64))
        number = number * size_as(size, DType.I64) + place
    return number.node


def _avg_pool(
    rank: int,
    x: TensorLike,
    size: Pair,
    stride: Pair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = False,
    divisor_override: float | None = None,
) -> Tensor:
    pool = Pool(rank, x, size, stride, padding, ceil_mode)
    return mean_of_windows(pool, count_include_pad, divisor_override)


@of_rank(1, _avg_pool)
def avg_pool1d() -> None:
    """The mean of each window of x[N,C,L]; see `avg_pool2d`."""


@of_rank(2, _avg_pool)
def avg_pool2d() -> None:
    """The mean of each window of x[N,C,H,W].

    Padding does not count, as in Keras; with `count_include_pad` it counts as zeros, which is PyTorch's
    default.  What `ceil_mode` adds never counts.  `divisor_override=1` gives the sum.
    """


@of_rank(3, _avg_pool)
def avg_pool3d() -> None:
    """The mean of each window of x[N,C,D,H,W]; see `avg_pool2d`."""


def mean_of_windows(p: Pool, count_include_pad: bool, divisor_override: float | None) -> Tensor:
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


def _lp_pool(
    rank: int,
    x: TensorLike,
    norm_type: float,
    size: Pair,
    stride: Pair | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    p = Pool(rank, x, size, stride, 0, ceil_mode)
    if not norm_type >= 1:
        raise ArgumentError(f"norm_type must be a number of 1 or more, not {norm_type!r}")
    powers = power(p.x, 2) if norm_type == 2 else power(apply("abs", p.x), norm_type)
    total = p.sums(p.padded(powers.node, 0.0))
    # The root has no slope at 0: there it is taken of 1 instead, and not used.
    some = apply("not_equal", total, 0.0)
    return apply("where", some, power(apply("where", some, total, 1.0), 1 / norm_type), 0.0)


@of_rank(1, _lp_pool)
def lp_pool1d() -> None:
    """(Σ |x|^p)^(1/p) over each window of x[N,C,L]; see `lp_pool2d`."""


@of_rank(2, _lp_pool)
def lp_pool2d() -> None:
    """(Σ |x|^p)^(1/p) over each window of x[N,C,H,W], with p = norm_type ≥ 1; where all is 0, so is the gradient.

    It is a norm for every p; PyTorch, for odd p, adds up powers with their signs.
    """


@of_rank(3, _lp_pool)
def lp_pool3d() -> None:
    """(Σ |x|^p)^(1/p) over each window of x[N,C,D,H,W]; see `lp_pool2d`."""


# ---- unpooling -------------------------------------------------------------------------------------------


def _unpool(
    rank: int,
    x: TensorLike,
    indices: TensorLike,
    size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    output_size: Sequence[int] | None = None,
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


@of_rank(1, _unpool)
def max_unpool1d() -> None:
    """The values x[N,C,L] at the places `indices` of an image of zeros; see `max_unpool2d`."""


@of_rank(2, _unpool)
def max_unpool2d() -> None:
    """The values x[N,C,H,W] at the places `indices` of an image of zeros: unpooling with switches.

    `indices` are those of `max_pool2d(..., return_indices=True)`.  The image has `output_size`, by default
    (H − 1)·stride − 2·padding + size.  Where overlapping windows chose one place, their values add up: this is
    the transpose of the pooling (PyTorch keeps one of them).
    Source: M. Zeiler, R. Fergus, Visualizing and understanding convolutional networks, arXiv:1311.2901.
    """


@of_rank(3, _unpool)
def max_unpool3d() -> None:
    """The values x[N,C,D,H,W] at the places `indices` of an image of zeros; see `max_unpool2d`."""
