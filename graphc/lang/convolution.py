"""Convolutions on [N, channels, *spatial], in one, two or three dimensions.

Padding is a `pad` node of its own, groups are an axis of their own: see `graphc.ops.conv`.  The transposed
convolution is the transpose of that: the input, spread by the stride, meets the turned-round kernel.

>>> from graphc.lang.tensor import input
>>> x = input("x", ("N", 1, 28, 28), "float32")
>>> w = input("w", (20, 1, 5, 5), "float32")
>>> conv2d(x, w, stride=2, padding=2).shape
(N, 20, 14, 14)
>>> conv_transpose2d(conv2d(x, w, stride=2, padding=2), w, stride=2, padding=2, output_padding=1).shape
(N, 1, 28, 28)
"""

from __future__ import annotations

from collections.abc import Sequence

from graphc.errors import ArgumentError, ShapeError
from graphc.ir.dims import Index, product
from graphc.ir.node import Node, node
from graphc.ir.types import Shape
from graphc.lang.apply import common, type_of
from graphc.lang.shapes import pad_node, reshape
from graphc.lang.source import operation
from graphc.lang.tensor import Tensor, TensorLike
from graphc.lang.windows import Padding, Pair, of_rank, paddings, per_axis, spatial_names
from graphc.ops.conv import Conv
from graphc.ops.views import Pad, Slice, Transpose
from graphc.ops.views import flip as flipped

__all__ = [
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "convolve",
]


def _convolution(
    rank: int,
    x: TensorLike,
    w: TensorLike,
    stride: Pair = 1,
    padding: Padding = 0,
    dilation: Pair = 1,
    groups: int = 1,
    flip: bool = False,
) -> Tensor:
    a, b = common(x, w)
    _check_ranks(rank, a, b, x, w, "filters,channels")
    channels, filters = _known_channels(a.shape[1], b.shape[0])
    if groups < 1 or channels % groups or filters % groups or b.shape[1] != channels // groups:
        raise _misfit(type_of(x), type_of(w), channels, filters, b.shape[1:], groups)
    kernel = _known_kernel(b.shape[2:])
    strides, dilations = per_axis(stride, rank, "stride"), per_axis(dilation, rank, "dilation")
    around = paddings(padding, a.shape[2:], kernel, strides, dilations)
    padded = Tensor(pad_node(a.node, [(0, 0), (0, 0), *around]))
    turned = Tensor(flipped(b.node, tuple(range(2, 2 + rank)))) if flip else b
    weights = reshape(turned, (groups, filters // groups, *b.shape[1:]))
    return _joined(_split(padded, groups, channels // groups), weights, strides, dilations)


@of_rank(1, _convolution)
def conv1d() -> None:
    """Correlation of x[N,C,L] with filters w[O,C/groups,K]: [N,O,L']; see `conv2d`."""


@of_rank(2, _convolution)
def conv2d() -> None:
    """Correlation of x[N,C,H,W] with filters w[O,C/groups,KH,KW]: [N,O,H',W'].

    `padding` is a number, one for each axis, (before, after) pairs, "same", "valid" or "full".  With
    groups=C each channel has filters of its own (depthwise).  As networks use the word, the kernel is not turned
    round; `flip=True` turns it: the convolution of signal processing.
    Source: V. Dumoulin, F. Visin, A guide to convolution arithmetic for deep learning, arXiv:1603.07285.
    """


@of_rank(3, _convolution)
def conv3d() -> None:
    """Correlation of x[N,C,D,H,W] with filters w[O,C/groups,KD,KH,KW]: [N,O,D',H',W']; see `conv2d`."""


def _split(x: Tensor, groups: int, channels: int) -> Tensor:
    """x[N,G·C,*S] as [N,G,C,*S]."""
    return reshape(x, (x.shape[0], groups, channels, *x.shape[2:]))


def _joined(x: Tensor, w: Tensor, strides: tuple[int, ...], dilations: tuple[int, ...]) -> Tensor:
    """x[N,G,C,*S] with weights[G,O,C,*K]: [N,G·O,*T]."""
    out = Tensor(node(Conv(strides, dilations), x.node, w.node))
    return reshape(out, (out.shape[0], product(w.shape[:2]), *out.shape[3:]))


def _check_ranks(rank: int, a: Tensor, b: Tensor, x: TensorLike, w: TensorLike, lead: str) -> None:
    if a.ndim != 2 + rank or b.ndim != 2 + rank:
        spatial = spatial_names(rank)
        raise ShapeError(
            f"cannot convolve {type_of(x)} with {type_of(w)}",
            why=f"they must be [N,channels,{spatial}] and [{lead},{spatial}]",
        )


def _known_channels(*channels: Index) -> list[int]:
    known = [c for c in channels if isinstance(c, int)]
    if len(known) != len(channels):
        raise ShapeError("the channels of a convolution must be numbers")
    return known


def _known_kernel(sizes: Shape) -> tuple[int, ...]:
    known = tuple(k for k in sizes if isinstance(k, int))
    if len(known) != len(sizes):
        raise ShapeError("the window of a convolution must be known")
    return known


def _misfit(x: str, w: str, channels: int, filters: int, each: Shape, groups: int) -> ShapeError:
    """Why filters, each of a shape, do not fit so many channels in so many groups."""
    takes, *sizes = each
    if groups == 1:
        what, why = f"cannot convolve {x} with {w}", f"x has {channels} channels, and w takes {takes}"
    else:
        what = f"cannot convolve {x} with {w} in {groups} groups"
        why = f"x has {channels} channels, w takes {takes} in each group and gives {filters}"
    if groups < 1 or channels % groups or filters % groups:
        return ShapeError(what, why=why, fix=f"take groups that divide {channels} and {filters}")
    shape = ",".join(map(str, (filters, channels // groups, *sizes)))
    return ShapeError(what, why=why, fix=f"give w the shape [{shape}]")


# ---- the transpose ---------------------------------------------------------------------------------------


def _transposed(
    rank: int,
    x: TensorLike,
    w: TensorLike,
    stride: Pair = 1,
    padding: Padding = 0,
    output_padding: Pair = 0,
    groups: int = 1,
    dilation: Pair = 1,
) -> Tensor:
    a, b = common(x, w)
    _check_ranks(rank, a, b, x, w, "channels,filters")
    channels, _ = _known_channels(a.shape[1], b.shape[1])
    if groups < 1 or channels % groups or b.shape[0] != channels:
        raise ShapeError(
            f"cannot convolve {type_of(x)} with {type_of(w)}, transposed"
            + (f", in {groups} groups" if groups != 1 else ""),
            why=f"x has {channels} channels, and w takes {b.shape[0]}",
            fix=f"take groups that divide {channels}"
            if b.shape[0] == channels
            else f"give w the shape [{','.join(map(str, (channels, *b.shape[1:])))}]",
        )
    kernel = _known_kernel(b.shape[2:])
    strides, dilations = per_axis(stride, rank, "stride"), per_axis(dilation, rank, "dilation")
    beyond = per_axis(output_padding, rank, "output_padding", least=0)
    if any(e >= max(s, d) for e, s, d in zip(beyond, strides, dilations, strict=True)):
        raise ArgumentError(
            f"output_padding={output_padding!r} is too much for stride={stride!r} and dilation={dilation!r}",
            why="it tells apart the sizes that one convolution maps to one size",
            fix="take an output_padding below the stride or the dilation",
        )
    reach = [d * (k - 1) for d, k in zip(dilations, kernel, strict=True)]
    if padding == "same":
        around = [
            (max(0, r + 1 - s) // 2, -(-max(0, r + 1 - s) // 2)) for r, s in zip(reach, strides, strict=True)
        ]
        beyond = tuple(e + max(0, s - r - 1) for e, r, s in zip(beyond, reach, strides, strict=True))
    else:
        around = paddings(padding, a.shape[2:], kernel, strides, dilations)
    lo = [r - p for r, (p, _) in zip(reach, around, strict=True)]
    hi = [r - p + e for r, (_, p), e in zip(reach, around, beyond, strict=True)]
    for d, s, r, before, after in zip(a.shape[2:], strides, reach, lo, hi, strict=True):
        left = (d - 1) * s + 1 + before + after - r
        if isinstance(left, int) and left < 1:
            raise ShapeError(
                f"nothing is left of {type_of(x)}, transposed with padding={padding!r}",
                why=f"of {(d - 1) * s + 1 + r} elements, {r + r - before - after} are cut off",
                fix="take a smaller padding",
            )
    spread = Tensor(_spread(_split(a, groups, channels // groups).node, lo, hi, strides))
    axes = tuple(range(3, 3 + rank))
    split = reshape(b, (groups, channels // groups, *b.shape[1:]))
    turned = Tensor(flipped(node(Transpose((0, 2, 1, *axes)), split.node), axes))
    return _joined(spread, turned, (1,) * rank, dilations)


@of_rank(1, _transposed)
def conv_transpose1d() -> None:
    """The transpose of `conv1d`: x[N,C,L], w[C,O/groups,K] give [N,O,L']; see `conv_transpose2d`."""


@of_rank(2, _transposed)
def conv_transpose2d() -> None:
    """The transpose of `conv2d`: x[N,C,H,W], w[C,O/groups,KH,KW] give [N,O,H',W'], as in PyTorch.

    H' = (H − 1)·stride − padding before and after + dilation·(KH − 1) + 1 + output_padding.  `padding` is what
    the convolution that is transposed was padded by: here it is cut off.  "same" gives H·stride, as in Keras.
    Source: V. Dumoulin, F. Visin, A guide to convolution arithmetic for deep learning, section 4.
    """


@of_rank(3, _transposed)
def conv_transpose3d() -> None:
    """The transpose of `conv3d`: x[N,C,D,H,W], w[C,O/groups,KD,KH,KW]; see `conv_transpose2d`."""


def _spread(n: Node, lo: Sequence[int], hi: Sequence[int], strides: Sequence[int]) -> Node:
    """stride − 1 zeros between neighbours of the spatial axes, and zeros around; what is negative is cut off."""
    none = (0, 0, 0)
    interior = (*none, *(s - 1 for s in strides))
    before, after = (tuple(max(0, v) for v in side) for side in (lo, hi))
    if any(before + after + interior):
        n = node(Pad(none + before, none + after, interior, 0.0), n)
    if min(*lo, *hi) >= 0:
        return n
    starts = (*none, *(max(0, -v) for v in lo))
    cut = [d - max(0, -a) - max(0, -b) for d, a, b in zip(n.type.shape[3:], lo, hi, strict=True)]
    return node(Slice(starts, (1,) * n.type.rank, (*n.type.shape[:3], *cut)), n)


# ---- NumPy's convolution ---------------------------------------------------------------------------------


@operation
def convolve(a: TensorLike, v: TensorLike, mode: str = "full") -> Tensor:
    """The convolution of two vectors, Σ_m a[m]·v[n − m], in NumPy's modes.

    "full" has all n + k − 1 places, "same" the max(n, k) in the middle, "valid" those where the shorter lies
    inside the longer.  The shorter one must have a known length.
    """
    x, k = common(a, v)
    if x.ndim != 1 or k.ndim != 1:
        raise ShapeError(f"cannot convolve {type_of(a)} with {type_of(v)}", why="both must be vectors")
    n, size = x.shape[0], k.shape[0]
    if not isinstance(size, int) or (isinstance(n, int) and n < size):
        x, k, n, size = k, x, size, n
    if not isinstance(size, int) or size == 0:
        raise ShapeError(
            f"cannot convolve {type_of(a)} with {type_of(v)}",
            why="one of them must have a known length above 0",
        )
    if mode not in ("full", "same", "valid"):
        raise ArgumentError(f"unknown mode {mode!r}", fix='use "full", "same" or "valid"')
    before, after = {"full": (size - 1, size - 1), "same": (size // 2, (size - 1) // 2), "valid": (0, 0)}[
        mode
    ]
    row, kernel = reshape(x, (1, 1, -1)), reshape(k, (1, 1, -1))
    return reshape(_convolution(1, row, kernel, padding=[(before, after)], flip=True), (-1,))
