"""Images resampled: resized, cropped and warped.

Positions between pixels follow PyTorch: pixel k covers the interval from k to k + 1 (`align_corners=False`), or
the outermost pixels lie at the ends (`align_corners=True`).

>>> from graphc.lang.tensor import input
>>> x = input("x", ("N", 3, 32, 24), "float32")
>>> resize(x, (48, 48)).shape, upsample(x, 2).shape, center_crop(x, 16).shape
((N, 3, 48, 48), (N, 3, 64, 48), (N, 3, 16, 16))
>>> affine_warp(x, input("m", ("N", 2, 3), "float32")).shape
(N, 3, 32, 24)
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from graphc.errors import ArgumentError, ShapeError
from graphc.ir.dims import Index, product
from graphc.ir.node import node
from graphc.ir.types import DType, shape_of, shape_text
from graphc.lang.apply import apply, broadcast_to, cast, common, size_as, type_of
from graphc.lang.indexing import take
from graphc.lang.shapes import concatenate, expand_dims, reshape, transpose
from graphc.lang.source import operation
from graphc.lang.tensor import ShapeLike, Tensor, TensorLike, as_tensor, const
from graphc.lang.windows import Pair, image_of, known_sizes, per_axis
from graphc.ops.gather import Gather

__all__ = [
    "affine_grid",
    "affine_warp",
    "center_crop",
    "crop",
    "grid_sample",
    "resize",
    "upsample",
]

_LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


# ---- resize ----------------------------------------------------------------------------------------------


@operation
def resize(x: TensorLike, size: Pair, mode: str = "nearest", align_corners: bool = False) -> Tensor:
    """x[N,C,*S] sampled at `size` places, as in PyTorch's `interpolate`.

    "nearest" takes pixel floor(i·in/out); "bilinear" ("linear" of a row, "trilinear" of a volume) weighs the two
    neighbours on each axis at (i + 1/2)·in/out − 1/2, or at i·(in − 1)/(out − 1) with `align_corners`; beyond
    the border lies the outermost pixel.  Nothing is averaged: a much smaller image should be pooled instead.
    """
    t = image_of(x, None, "resize")
    wanted = per_axis(size, t.ndim - 2, "size")
    linear = _is_linear(mode, t.ndim - 2, align_corners)
    for axis, (d, count) in enumerate(zip(t.shape[2:], wanted, strict=True), start=2):
        if d == count:
            continue
        (known,) = known_sizes((d,), "resizing")
        if known == 0:
            raise ShapeError(f"cannot resize {type_of(x)}", why="the image is empty")
        if count % known == 0 and not align_corners:
            t = _repeated(t, axis, count // known, linear)
        elif linear:
            t = _between(t, axis, known, count, align_corners)
        else:
            t = take(t, const(np.arange(count) * known // count), axis)
    return t


@operation
def upsample(x: TensorLike, scale_factor: Pair, mode: str = "nearest") -> Tensor:
    """x[N,C,*S] resized to a whole multiple of its size, which may be a named one; see `resize`."""
    t = image_of(x, None, "resize")
    factors = per_axis(scale_factor, t.ndim - 2, "scale_factor")
    linear = _is_linear(mode, t.ndim - 2, False)
    for axis, factor in enumerate(factors, start=2):
        t = _repeated(t, axis, factor, linear) if factor > 1 else t
    return t


def _is_linear(mode: str, rank: int, align_corners: bool) -> bool:
    if mode not in ("nearest", _LINEAR[rank]):
        raise ArgumentError(
            f"unknown mode {mode!r} for an image of {rank} spatial axes",
            fix=f'use "nearest" or "{_LINEAR[rank]}"',
        )
    if align_corners and mode == "nearest":
        raise ArgumentError(
            'mode="nearest" has no align_corners', why="it does not weigh neighbours", fix="leave it out"
        )
    return mode != "nearest"


def _repeated(t: Tensor, axis: int, factor: int, linear: bool) -> Tensor:
    """An axis `factor` times as long: pixel k becomes the pixels factor·k + r."""
    d, tail = t.shape[axis], (1,) * (t.ndim - axis - 1)
    fine = (*t.shape[: axis + 1], factor, *t.shape[axis + 1 :])
    here = expand_dims(t, axis + 1)
    if linear:
        # Pixel factor·k + r lies r' = (r + 1/2)/factor − 1/2 beyond pixel k: between k − 1 and k, or k and k + 1.
        beyond = (np.arange(factor) + 0.5) / factor - 0.5
        lead = (slice(None),) * axis
        edges = concatenate([t[(*lead, slice(0, 1))], t, t[(*lead, slice(-1, None))]], axis)
        before = expand_dims(edges[(*lead, slice(0, -2))], axis + 1)
        after = expand_dims(edges[(*lead, slice(2, None))], axis + 1)
        other = apply("where", const((beyond < 0).reshape(-1, *tail)), before, after)
        weight = const(np.abs(beyond).reshape(-1, *tail), t.dtype)
        wide = here * (1.0 - weight) + other * weight
    else:
        wide = broadcast_to(here, fine)
    return reshape(wide, (*t.shape[:axis], d * factor, *t.shape[axis + 1 :]))


def _between(t: Tensor, axis: int, size: int, count: int, align_corners: bool) -> Tensor:
    """An axis sampled at `count` places between its pixels: two gathers and their weighted sum."""
    if align_corners:
        places = np.arange(count) * (size - 1) / max(1, count - 1)
    else:
        places = np.maximum(0.0, (np.arange(count) + 0.5) * size / count - 0.5)
    first = np.minimum(places.astype(np.int64), size - 1)
    weight = const((places - first).reshape(-1, *(1,) * (t.ndim - axis - 1)), t.dtype)
    left, right = take(t, const(first), axis), take(t, const(np.minimum(first + 1, size - 1)), axis)
    return left * (1.0 - weight) + right * weight


# ---- crop ------------------------------------------------------------------------------------------------


@operation
def crop(x: TensorLike, top: int, left: int, height: int, width: int) -> Tensor:
    """The box x[..., top : top + height, left : left + width] of images [N,C,H,W], as in torchvision."""
    t = image_of(x, 2, "crop")
    for start, size, d in ((top, height, t.shape[2]), (left, width, t.shape[3])):
        if min(start, size) < 0 or (isinstance(d, int) and start + size > d):
            raise ShapeError(
                f"the box of {height}×{width} at ({top}, {left}) leaves {t.node.type}",
                fix="pad the image, or take a smaller box",
            )
    return t[:, :, top : top + height, left : left + width]


@operation
def center_crop(x: TensorLike, size: Pair) -> Tensor:
    """The middle of images [N,C,H,W]; of an odd rest, the smaller half is above and to the left."""
    t = image_of(x, 2, "crop")
    height, width = per_axis(size, 2, "size")
    rows, columns = known_sizes(t.shape[2:], "the middle of an image")
    return crop(t, (rows - height) // 2, (columns - width) // 2, height, width)


# ---- warp ------------------------------------------------------------------------------------------------


@operation
def affine_grid(theta: TensorLike, size: ShapeLike, align_corners: bool = False) -> Tensor:
    """Where an affine map looks: theta[N,2,3] and the size (N,C,H,W) of the result give [N,H,W,2].

    The last axis holds (x, y), both from −1 to 1 over the image; theta maps (x, y, 1) of the result to (x, y) of
    the source.  theta[N,3,4] and (N,C,D,H,W) give [N,D,H,W,3].  As in PyTorch.
    Source: M. Jaderberg et al., Spatial transformer networks, arXiv:1506.02025.
    """
    t = as_tensor(theta)
    whole = [size] if isinstance(size, (int, str)) else list(size)
    rank = len(whole) - 2
    if rank not in (2, 3) or t.ndim != 3 or t.shape[1:] != (rank, rank + 1):
        raise ShapeError(
            f"no affine grid of the size {shape_text(shape_of(whole))} from {t.node.type}",
            why="theta must be [N,2,3] for a size (N,C,H,W), or [N,3,4] for (N,C,D,H,W)",
        )
    sizes = per_axis([d for d in whole[2:] if isinstance(d, int)], rank, "the size of an affine grid")
    # The map is one matrix for all places: place k is row k of [x, y, 1].
    axes = []
    for d in sizes:
        step = np.arange(d)
        axes.append(step * 2 / max(1, d - 1) - 1 if align_corners else (2 * step + 1) / d - 1)
    places = np.stack([*np.meshgrid(*axes, indexing="ij")[::-1], np.ones(sizes)], axis=-1)
    flat = const(places.reshape(-1, rank + 1), t.dtype)
    grid = flat @ transpose(t, (0, 2, 1))
    return reshape(grid, (t.shape[0], *sizes, rank))


@operation
def grid_sample(
    x: TensorLike,
    grid: TensorLike,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool = False,
) -> Tensor:
    """x[N,C,H,W] at the places grid[N,H',W',2]: [N,C,H',W'], as in PyTorch.

    The last axis of the grid holds (x, y): −1 is the left or upper border, 1 the right or lower one.  Beyond them
    lie zeros, or with padding_mode="border" the outermost pixels.  Differentiable by the image and, with
    mode="bilinear", by the grid (at a pixel, from the right; beyond the border 0); "nearest" rounds halves to even.
    x[N,C,D,H,W] takes grid[N,D',H',W',3].  Source: Jaderberg et al., arXiv:1506.02025.
    """
    image, places = common(x, grid)
    rank = image.ndim - 2
    if (
        rank not in (2, 3)
        or places.ndim != rank + 2
        or places.shape[-1] != rank
        or places.shape[0] != image.shape[0]
    ):
        raise ShapeError(
            f"cannot sample {type_of(x)} at {type_of(grid)}",
            why="they must be [N,C,H,W] and [N,H',W',2], or [N,C,D,H,W] and [N,D',H',W',3]",
        )
    if mode not in ("bilinear", "nearest"):
        raise ArgumentError(f"unknown mode {mode!r}", fix='use "bilinear" or "nearest"')
    if padding_mode not in ("zeros", "border"):
        raise ArgumentError(f"unknown padding_mode {padding_mode!r}", fix='use "zeros" or "border"')
    sizes = image.shape[2:]
    pixels = transpose(reshape(image, (*image.shape[:2], product(sizes))), (0, 2, 1))
    positions = []
    for axis, d in enumerate(sizes):
        # The grid counts x, y, z: the last spatial axis first.
        u, size = places[..., rank - 1 - axis], size_as(d, places.dtype)
        at = (u + 1.0) * (0.5 * (size - 1.0)) if align_corners else (u + 1.0) * (0.5 * size) - 0.5
        if padding_mode == "border":
            at = apply("minimum", apply("maximum", at, 0.0), size - 1.0)
        positions.append(at)
    if mode == "nearest":
        return _taken(pixels, [apply("round", at) for at in positions], sizes, None)
    lower = [apply("floor", at) for at in positions]
    above = [at - low for at, low in zip(positions, lower, strict=True)]
    total: Tensor | None = None
    for corner in itertools.product((0, 1), repeat=rank):
        weight: Tensor | None = None
        for upper, fraction in zip(corner, above, strict=True):
            share = fraction if upper else 1.0 - fraction
            weight = share if weight is None else weight * share
        pixel = [low + 1.0 if upper else low for low, upper in zip(lower, corner, strict=True)]
        part = _taken(pixels, pixel, sizes, weight)
        total = part if total is None else total + part
    assert total is not None
    return total


def _taken(pixels: Tensor, places: Sequence[Tensor], sizes: Sequence[Index], weight: Tensor | None) -> Tensor:
    """pixels[N,S,C] at whole places [N,*T], times a weight; 0 at places outside: [N,C,*T]."""
    inside: Tensor | None = None
    for at, d in zip(places, sizes, strict=True):
        within = apply("logical_and", at >= 0.0, at <= size_as(d, at.dtype) - 1.0)
        inside = within if inside is None else apply("logical_and", inside, within)
    number: Tensor | None = None
    assert inside is not None
    for at, d in zip(places, sizes, strict=True):
        row = cast(apply("where", inside, at, 0.0), DType.I64)
        number = row if number is None else number * size_as(d, DType.I64) + row
    assert number is not None
    shape = number.shape
    flat = reshape(number, (shape[0], product(shape[1:])))
    taken = Tensor(node(Gather(1), pixels.node, flat.node))  # [N,T,C]
    values = reshape(transpose(taken, (0, 2, 1)), (shape[0], pixels.shape[2], *shape[1:]))
    values = apply("where", expand_dims(inside, 1), values, 0.0)
    return values if weight is None else values * expand_dims(weight, 1)


@operation
def affine_warp(
    x: TensorLike,
    matrix: TensorLike,
    size: Pair | None = None,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool = False,
) -> Tensor:
    """x[N,C,H,W] seen through an affine map: `grid_sample` at the `affine_grid` of matrix[N,2,3] or [2,3].

    The matrix maps places of the result (of `size`, by default that of x) to places of x, both in −1 … 1.
    """
    t, m = image_of(x, None, "warp"), as_tensor(matrix)
    rank = t.ndim - 2
    if m.ndim == 2:
        m = broadcast_to(expand_dims(m, 0), (t.shape[0], *m.shape))
    sizes = known_sizes(t.shape[2:], "a warp") if size is None else per_axis(size, rank, "size")
    grid = affine_grid(m, (*t.shape[:2], *sizes), align_corners)
    return grid_sample(t, grid, mode, padding_mode, align_corners)
