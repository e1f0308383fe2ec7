"""Convolution and pooling, on [N, channels, height, width] (NCHW).

Padding is a `pad` node of its own, groups are an axis of their own: see `graphc.ops.conv`.

>>> from graphc.lang.tensor import input
>>> x = input("x", ("N", 1, 28, 28), "float32")
>>> w = input("w", (20, 1, 5, 5), "float32")
>>> max_pool2d(conv2d(x, w, padding=2), 2).shape
(N, 20, 14, 14)
"""

from __future__ import annotations

from collections.abc import Sequence

from graphc.errors import ArgumentError, ShapeError
from graphc.ir.dims import Index
from graphc.ir.node import node
from graphc.ir.types import Shape
from graphc.lang.apply import apply, common, expand, type_of
from graphc.lang.shapes import pad_node, reshape
from graphc.lang.source import operation
from graphc.lang.tensor import Tensor, TensorLike, as_tensor
from graphc.ops.conv import Conv
from graphc.ops.leaves import Const
from graphc.ops.window import Window

Pair = int | Sequence[int]
Padding = int | str | Sequence[int | Sequence[int]]


def pair(value: Pair, what: str) -> tuple[int, int]:
    """One number for both axes, or one for each."""
    found = (value, value) if isinstance(value, int) else tuple(value)
    if len(found) != 2 or not all(isinstance(v, int) and v >= 1 for v in found):
        raise ArgumentError(f"{what} must be a positive integer or two of them, not {value!r}")
    return found[0], found[1]


def paddings(
    padding: Padding,
    sizes: Sequence[Index],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
) -> list[tuple[int, int]]:
    """(before, after) for each spatial axis; "same" keeps ceil(size/stride), "valid" adds nothing."""
    if padding == "valid":
        return [(0, 0)] * len(sizes)
    if padding == "same":
        result = []
        for d, k, s, dil in zip(sizes, kernel, strides, dilations, strict=True):
            if s == 1:
                total = dil * (k - 1)
            elif isinstance(d, int):
                total = max(0, (-(-d // s) - 1) * s + dil * (k - 1) + 1 - d)
            else:
                raise ShapeError(f'padding="same" with a stride needs a known size, not {d}')
            result.append((total // 2, total - total // 2))
        return result
    if isinstance(padding, str):
        raise ArgumentError(f"unknown padding {padding!r}", fix='use a number, "same" or "valid"')
    if isinstance(padding, int):
        return [(padding, padding)] * len(sizes)
    pairs = [(p, p) if isinstance(p, int) else (p[0], p[1]) for p in padding]
    if len(pairs) != len(sizes):
        raise ArgumentError(f"padding needs one amount for each of {len(sizes)} axes, not {padding!r}")
    return pairs


@operation
def conv2d(
    x: TensorLike,
    w: TensorLike,
    stride: Pair = 1,
    padding: Padding = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Tensor:
    """Correlation of x[N,C,H,W] with filters w[O,C/groups,KH,KW]: [N,O,H',W'] (the kernel is not turned round).

    `padding` is a number, one for each axis, (before, after) pairs, "same" or "valid".
    """
    a, b = common(x, w)
    if a.ndim != 4 or b.ndim != 4:
        raise ShapeError(
            f"cannot convolve {type_of(x)} with {type_of(w)}",
            why="they must be [N,channels,height,width] and [filters,channels,height,width]",
        )
    channels, filters = a.shape[1], b.shape[0]
    if not isinstance(channels, int) or not isinstance(filters, int):
        raise ShapeError("the channels of a convolution must be numbers")
    if groups < 1 or channels % groups or filters % groups or b.shape[1] != channels // groups:
        raise _misfit(type_of(x), type_of(w), channels, filters, b.shape[1:], groups)
    kernel = [k for k in b.shape[2:] if isinstance(k, int)]
    if len(kernel) != 2:
        raise ShapeError("the window of a convolution must be known")
    strides, dilations = pair(stride, "stride"), pair(dilation, "dilation")
    around = paddings(padding, a.shape[2:], kernel, strides, dilations)
    padded = Tensor(pad_node(a.node, [(0, 0), (0, 0), *around]))
    grouped = reshape(padded, (padded.shape[0], groups, channels // groups, *padded.shape[2:]))
    weights = reshape(b, (groups, filters // groups, *b.shape[1:]))
    out = Tensor(node(Conv(strides, dilations), grouped.node, weights.node))
    return reshape(out, (out.shape[0], filters, *out.shape[3:]))


def _misfit(x: str, w: str, channels: int, filters: int, each: Shape, groups: int) -> ShapeError:
    """Why filters, each of a shape, do not fit so many channels in so many groups."""
    takes, height, width = each
    if groups == 1:
        what, why = f"cannot convolve {x} with {w}", f"x has {channels} channels, and w takes {takes}"
    else:
        what = f"cannot convolve {x} with {w} in {groups} groups"
        why = f"x has {channels} channels, w takes {takes} in each group and gives {filters}"
    if groups < 1 or channels % groups or filters % groups:
        return ShapeError(what, why=why, fix=f"take groups that divide {channels} and {filters}")
    return ShapeError(
        what, why=why, fix=f"give w the shape [{filters},{channels // groups},{height},{width}]"
    )


def _pool_pads(
    t: Tensor, size: tuple[int, int], strides: tuple[int, int], padding: Padding, ceil_mode: bool
) -> list[tuple[int, int]]:
    around = paddings(padding, t.shape[2:], size, strides, (1, 1))
    if any(max(p) >= k for p, k in zip(around, size, strict=True)):
        raise ShapeError(
            f"cannot pad by {padding!r} for windows of {size[0]}×{size[1]}",
            why="a window could lie in the padding altogether, where there is nothing to take",
            fix="pad by less than the window",
        )
    if not ceil_mode:
        return around
    result = []
    for d, k, s, (lo, hi) in zip(t.shape[2:], size, strides, around, strict=True):
        if not isinstance(d, int):
            raise ShapeError(f"ceil_mode needs a known size, not {d}")
        count = -(-(d + lo + hi - k) // s) + 1
        if (count - 1) * s >= d + lo:  # the last window would lie outside altogether
            count -= 1
        result.append((lo, max(hi, (count - 1) * s + k - d - lo)))
    return result


def _pooled(x: TensorLike) -> Tensor:
    t = as_tensor(x)
    if t.ndim != 4:
        raise ShapeError(f"cannot pool {t.node.type}", why="pooling takes [N,C,H,W]")
    return t


@operation
def max_pool2d(
    x: TensorLike, size: Pair, stride: Pair | None = None, padding: Padding = 0, ceil_mode: bool = False
) -> Tensor:
    """The maximum of each window of x[N,C,H,W]; the first of equal maxima takes the gradient."""
    t, k = _pooled(x), pair(size, "size")
    s = pair(stride, "stride") if stride is not None else k
    around = _pool_pads(t, k, s, padding, ceil_mode)
    padded = pad_node(t.node, [(0, 0), (0, 0), *around], float("-inf"))
    return Tensor(node(Window("max", k, s), padded))


@operation
def avg_pool2d(
    x: TensorLike, size: Pair, stride: Pair | None = None, padding: Padding = 0, ceil_mode: bool = False
) -> Tensor:
    """The mean of each window of x[N,C,H,W]; padding does not count."""
    t, k = _pooled(x), pair(size, "size")
    s = pair(stride, "stride") if stride is not None else k
    around = _pool_pads(t, k, s, padding, ceil_mode)
    total = Tensor(node(Window("sum", k, s), pad_node(t.node, [(0, 0), (0, 0), *around])))
    if all(p == (0, 0) for p in around):
        return apply("div", total, float(k[0] * k[1]))
    # How many elements each window holds that are no padding: the same pooling of ones.
    ones = node(Const.of(1.0, t.dtype))

    area = pad_node(expand(ones, (1, 1, *t.shape[2:])), [(0, 0), (0, 0), *around])
    return apply("div", total, Tensor(node(Window("sum", k, s), area)))


__all__ = ["avg_pool2d", "conv2d", "max_pool2d"]
