"""Patches: every window of an image as a column (im2col), and back.

>>> from graphc.lang.tensor import input
>>> x = input("x", ("N", 3, 8, 8), "float32")
>>> columns = unfold(x, 3)
>>> columns.shape, fold(columns, (8, 8), 3).shape
((N, 27, 36), (N, 3, 8, 8))
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from graphc.errors import ShapeError
from graphc.ir.dims import Index, product
from graphc.ir.node import node
from graphc.ir.types import shape_text
from graphc.lang.apply import apply, named
from graphc.lang.shapes import pad_node, reshape, stack
from graphc.lang.source import operation
from graphc.lang.tensor import Tensor, TensorLike, as_tensor
from graphc.lang.windows import Padding, Pair, image_of, paddings, per_axis
from graphc.ops.conv import window_count
from graphc.ops.views import Pad, Slice

__all__ = [
    "fold",
    "unfold",
]


def _windows(
    sizes: Sequence[Index], rank: int, kernel_size: Pair, dilation: Pair, padding: Padding, stride: Pair
) -> tuple[tuple[int, ...], tuple[int, ...], list[tuple[int, int]], tuple[int, ...], list[Index]]:
    kernel, dilations = per_axis(kernel_size, rank, "kernel_size"), per_axis(dilation, rank, "dilation")
    strides = per_axis(stride, rank, "stride")
    around = paddings(padding, sizes, kernel, strides, dilations)
    counts = []
    for d, k, s, dil, (lo, hi) in zip(sizes, kernel, strides, dilations, around, strict=True):
        counts.append(window_count(lo + d + hi, k, s, dil))
        if isinstance(counts[-1], int) and counts[-1] < 1:
            raise ShapeError(
                f"a window of {k} does not fit into {lo + d + hi}",
                why=f"with dilation {dil} it spans {dil * (k - 1) + 1}",
                fix="pad the input or take a smaller window",
            )
    return kernel, dilations, around, strides, counts


@operation
def unfold(
    x: TensorLike, kernel_size: Pair, dilation: Pair = 1, padding: Padding = 0, stride: Pair = 1
) -> Tensor:
    """All windows of x[N,C,*S] as columns: [N, C·K, L], as in PyTorch (im2col); `fold` is the transpose."""
    t = image_of(x, None, "unfold")
    rank = t.ndim - 2
    kernel, dilations, around, strides, counts = _windows(
        t.shape[2:], rank, kernel_size, dilation, padding, stride
    )
    padded = pad_node(t.node, [(0, 0), (0, 0), *around])
    shape = (*t.shape[:2], *counts)
    taps = []
    for place in itertools.product(*(range(k) for k in kernel)):
        first = tuple(d * p for d, p in zip(dilations, place, strict=True))
        taps.append(Tensor(node(Slice((0, 0, *first), (1, 1, *strides), shape), padded)))
    columns = product((t.shape[1], *kernel))
    return reshape(stack(taps, axis=2), (t.shape[0], columns, product(counts)))


@operation
def fold(
    x: TensorLike,
    output_size: Pair,
    kernel_size: Pair,
    dilation: Pair = 1,
    padding: Padding = 0,
    stride: Pair = 1,
) -> Tensor:
    """The transpose of `unfold`: columns [N, C·K, L] are added up where they came from, in [N,C,*output_size]."""
    t = as_tensor(x)
    rank = 2 if isinstance(output_size, int) else len(output_size)
    sizes = per_axis(output_size, rank, "output_size")
    kernel, dilations, around, strides, counts = _windows(sizes, rank, kernel_size, dilation, padding, stride)
    taps = int(product(kernel))  # type: ignore[arg-type]
    if t.ndim != 3 or t.shape[2] != product(counts) or not isinstance(t.shape[1], int) or t.shape[1] % taps:
        raise ShapeError(
            f"cannot fold {named(t)}: {t.node.type}" if t.name else f"cannot fold {t.node.type}",
            why=f"it must be [N,channels·{taps},{product(counts)}]: {taps} elements in each window, and "
            f"{product(counts)} windows in {shape_text(sizes)}",
        )
    channels = t.shape[1] // taps
    columns = reshape(t, (t.shape[0], channels, taps, *counts))
    total: Tensor | None = None
    for number, place in enumerate(itertools.product(*(range(k) for k in kernel))):
        lo, hi = [], []
        for p, d, s, n, size, (a, b) in zip(place, dilations, strides, counts, sizes, around, strict=True):
            lo.append(d * p)
            hi.append(a + size + b - d * p - s * (n - 1) - 1)
        padded = Pad((0, 0, *lo), (0, 0, *hi), (0, 0, *(s - 1 for s in strides)), 0.0)
        part = Tensor(node(padded, columns[:, :, number].node))
        total = part if total is None else apply("add", total, part)
    assert total is not None
    inner = tuple(slice(a, a + size) for size, (a, _) in zip(sizes, around, strict=True))
    return total[(slice(None), slice(None), *inner)]
