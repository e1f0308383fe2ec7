"""Images resized, cropped, warped and pooled over regions, and normalisations, pixel by pixel in NumPy.

>>> CASES["resize bilinear (3, 5) to (6, 4)"].batches
(2,)
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from cases_windows import places
from structural_cases import Array, Case

import graphc as gc

# ---- resize and crop -------------------------------------------------------------------------------------


def naive_nearest(x: Array, sizes: Sequence[int]) -> Array:
    out = np.zeros((*x.shape[:2], *sizes))
    for at in places(sizes):
        pixel = (math.floor(i * d / k) for i, d, k in zip(at, x.shape[2:], sizes, strict=True))
        out[(..., *at)] = x[(..., *pixel)]
    return out


def naive_linear(x: Array, sizes: Sequence[int], align: bool) -> Array:
    """Each pixel of the result is a sum over the 2^rank pixels around its place."""
    out = np.zeros((*x.shape[:2], *sizes))
    for at in places(sizes):
        corners = []
        for i, d, k in zip(at, x.shape[2:], sizes, strict=True):
            place = i * (d - 1) / max(1, k - 1) if align else min(max((i + 0.5) * d / k - 0.5, 0), d - 1)
            low = math.floor(place)
            corners.append([(low, 1 - (place - low)), (min(low + 1, d - 1), place - low)])
        for corner in itertools.product(*corners):
            out[(..., *at)] += math.prod(w for _, w in corner) * x[(..., *(p for p, _ in corner))]
    return out


RESIZED: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    ((4,), (8,)),
    ((5,), (3,)),
    ((3,), (1,)),
    ((1,), (4,)),
    ((3, 5), (6, 4)),
    ((4, 2), (2, 6)),
    ((2, 3, 2), (4, 2, 3)),
)
MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}


def _resized() -> Iterator[tuple[str, Case]]:
    for old, new in RESIZED:
        mode, x = MODES[len(old)], {"x": ("N", 2, *old)}
        yield (
            f"resize nearest {old} to {new}",
            Case(lambda x, s=new: gc.resize(x, s), lambda x, s=new: naive_nearest(x, s), x, batches=(2,)),
        )
        for align in (False, True):
            name = f"resize {mode} {old} to {new}{' align_corners' if align else ''}"
            yield (
                name,
                Case(
                    lambda x, s=new, m=mode, a=align: gc.resize(x, s, m, a),
                    lambda x, s=new, a=align: naive_linear(x, s, a),
                    x,
                    batches=(2,),
                    curved=old == (3, 5),
                ),
            )
    yield (
        "upsample nearest",
        Case(
            lambda x: gc.upsample(x, (2, 3)),
            lambda x: x.repeat(2, 2).repeat(3, 3),
            {"x": ("N", 2, 3, 2)},
            batches=(0, 2),
        ),
    )
    yield "upsample bilinear", Case(
        lambda x: gc.upsample(x, (3, 2), "bilinear"), lambda x: naive_linear(x, (9, 4), False), {"x": ("N", 2, 3, 2)},
        batches=(0, 2),
    )  # fmt: skip
    yield "crop", Case(lambda x: gc.crop(x, 1, 0, 2, 3), lambda x: x[:, :, 1:3, :3], {"x": ("N", 2, 4, 3)})
    yield (
        "center_crop",
        Case(lambda x: gc.center_crop(x, (2, 3)), lambda x: x[:, :, 1:3, :3], {"x": ("N", 2, 5, 4)}),
    )


# ---- warp ------------------------------------------------------------------------------------------------


def naive_grid(theta: Array, sizes: Sequence[int], align: bool) -> Array:
    rank = len(sizes)
    out = np.zeros((len(theta), *sizes, rank))
    for at in places(sizes):
        place = [
            (2 * i / max(1, d - 1) - 1) if align else (2 * i + 1) / d - 1
            for i, d in zip(at, sizes, strict=True)
        ]
        out[(slice(None), *at)] = theta @ np.array([*place[::-1], 1.0])
    return out


def naive_sample(x: Array, grid: Array, mode: str, padding_mode: str, align: bool) -> Array:
    sizes = x.shape[2:]
    out = np.zeros((*x.shape[:2], *grid.shape[1:-1]))
    for n, *at in np.ndindex(*grid.shape[:-1]):
        corners = []
        for d, u in zip(sizes, grid[(n, *at)][::-1], strict=True):
            place = (u + 1) / 2 * (d - 1) if align else ((u + 1) * d - 1) / 2
            if padding_mode == "border":
                place = min(max(place, 0), d - 1)
            low = math.floor(place)
            pair = [(low, 1 - (place - low)), (low + 1, place - low)]
            corners.append([(round(place), 1.0)] if mode == "nearest" else pair)
        for corner in itertools.product(*corners):
            if all(0 <= p < d for (p, _), d in zip(corner, sizes, strict=True)):
                out[(n, slice(None), *at)] += (
                    math.prod(w for _, w in corner) * x[(n, slice(None), *(p for p, _ in corner))]
                )
    return out


def _warped() -> Iterator[tuple[str, Case]]:
    for mode, padding_mode, align in itertools.product(
        ("bilinear", "nearest"), ("zeros", "border"), (False, True)
    ):
        arguments = (mode, padding_mode, align)
        yield (
            f"grid_sample {mode} {padding_mode}{' align_corners' if align else ''}",
            Case(
                lambda x, g, a=arguments: gc.grid_sample(x, g, *a) + 0.0 * gc.sum(g),
                lambda x, g, a=arguments: naive_sample(x, g, *a),
                {"x": ("N", 2, 3, 4), "grid": ("N", 2, 3, 2)},
                batches=(2,),
                linear=False,
                curved=arguments == ("bilinear", "zeros", False),
            ),
        )
    yield "grid_sample of a volume", Case(
        lambda x, g: gc.grid_sample(x, g), lambda x, g: naive_sample(x, g, "bilinear", "zeros", False),
        {"x": ("N", 1, 2, 3, 2), "grid": ("N", 1, 2, 2, 3)}, batches=(2,), linear=False,
    )  # fmt: skip
    for align in (False, True):
        yield f"affine_grid{' align_corners' if align else ''}", Case(
            lambda t, a=align: gc.affine_grid(t, ("N", 1, 3, 4), a), lambda t, a=align: naive_grid(t, (3, 4), a),
            {"theta": ("N", 2, 3)},
        )  # fmt: skip
    yield (
        "affine_warp",
        Case(
            lambda x, m: gc.affine_warp(x, 0.377 * m + 0.61, (2, 3), padding_mode="border"),
            lambda x, m: naive_sample(
                x,
                naive_grid(np.stack([0.377 * m + 0.61] * len(x)), (2, 3), False),
                "bilinear",
                "border",
                False,
            ),
            {"x": ("N", 2, 4, 3), "matrix": (2, 3)},
            batches=(2,),
            linear=False,
        ),
    )


# ---- regions of interest ---------------------------------------------------------------------------------

REGIONS = np.array([
    [1, 0, 0, 9, 7], [0, 2.5, 1.4, 6.6, 3.5], [1, 5, 5, 5, 5], [0, 8, 6, 2, 1], [0, 6, 5, 30, 30], [1, -7, -9, 3, 2],
    [0, 40, 0, 50, 3],
], dtype="float64")  # fmt: skip
"""Sample, x1, y1, x2, y2: whole, with halves, of one pixel, inside out, over the border, and outside altogether."""


def away(v: float) -> int:
    return int(math.copysign(math.floor(abs(v) + 0.5), v))


def naive_roi(x: Array, counts: Sequence[int], scale: float) -> Array:
    out = np.zeros((len(REGIONS), x.shape[1], *counts))
    for k, (sample, *corners) in enumerate(REGIONS):
        x1, y1, x2, y2 = (away(v * scale) for v in corners)
        for at in places(counts):
            part = []
            for i, count, first, last, size in zip(at, counts, (y1, x1), (y2, x2), x.shape[2:], strict=True):
                width = max(last - first + 1, 1) / count
                part.append(
                    range(
                        max(0, math.floor(i * width) + first), min(size, math.ceil((i + 1) * width) + first)
                    )
                )
            pixels = [x[int(sample), :, r, c] for r, c in itertools.product(*part)]
            out[(k, slice(None), *at)] = np.max(pixels, axis=0) if pixels else 0.0
    return out


def _regions() -> Iterator[tuple[str, Case]]:
    for counts, scale in (((2, 2), 0.5), ((3, 1), 1.0), ((4, 5), 0.25)):
        yield (
            f"roi_pool {counts} {scale}",
            Case(
                lambda x, c=counts, s=scale: gc.roi_pool(x, REGIONS, c, s),
                lambda x, c=counts, s=scale: naive_roi(x, c, s),
                {"x": ("N", 2, 5, 4)},
                batches=(2,),
                linear=False,
                curved=scale == 0.5,
            ),
        )


# ---- normalisations --------------------------------------------------------------------------------------


def along(v: Array, rank: int, axis: int = 1) -> Array:
    return v.reshape([-1 if k == axis else 1 for k in range(rank)])


def naive_normal(x: Array, axes: tuple[int, ...], eps: float = 1e-5) -> Array:
    centred = x - x.mean(axes, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axes, keepdims=True) + eps)


def naive_lrn(x: Array, size: int, alpha: float, beta: float, k: float) -> Array:
    out = np.zeros(x.shape)
    for c in range(x.shape[1]):
        near = x[:, max(0, c - size // 2) : c + (size - 1) // 2 + 1]
        out[:, c] = x[:, c] / (k + alpha / size * (near**2).sum(1)) ** beta
    return out


def naive_groups(x: Array, groups: int) -> Array:
    parts = np.split(x, groups, axis=1)
    return np.concatenate([naive_normal(p, tuple(range(1, x.ndim))) for p in parts], axis=1)


def _normalisations() -> Iterator[tuple[str, Case]]:
    image, vector = ("N", 4, 2, 3), (4,)
    table: dict[str, tuple[Callable[..., Any], Callable[..., Any], dict[str, Any]]] = {
        "batch_norm": (
            lambda x, g, b: gc.batch_norm(x, None, None, g, b),
            lambda x, g, b: along(g, 4) * naive_normal(x, (0, 2, 3)) + along(b, 4),
            {"x": image, "gamma": vector, "beta": vector},
        ),
        "batch_norm of rows": (
            lambda x: gc.batch_norm(x, eps=0.1, axis=-1),
            lambda x: naive_normal(x, (0,), 0.1),
            {"x": ("N", 3)},
        ),
        "batch_norm as given": (
            lambda x, m, v, g: gc.batch_norm(x, m, gc.square(v), g),
            lambda x, m, v, g: along(g, 3) * (x - along(m, 3)) / np.sqrt(along(v, 3) ** 2 + 1e-5),
            {"x": ("N", 4, 2), "mean": vector, "deviation": vector, "gamma": vector},
        ),
        "layer_norm": (
            lambda x, g, b: gc.layer_norm(x, gamma=g, beta=b),
            lambda x, g, b: g * naive_normal(x, (-1,)) + b,
            {"x": ("N", 2, 5), "gamma": (5,), "beta": (5,)},
        ),
        "layer_norm of images": (
            lambda x, g: gc.layer_norm(x, (1, 2, 3), g),
            lambda x, g: g * naive_normal(x, (1, 2, 3)),
            {"x": image, "gamma": image[1:]},
        ),
        "rms_norm": (
            lambda x, g: gc.rms_norm(x, gamma=g),
            lambda x, g: g * x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5),
            {"x": ("N", 4), "gamma": vector},
        ),
        "group_norm": (
            lambda x, g, b: gc.group_norm(x, 2, g, b),
            lambda x, g, b: along(g, 4) * naive_groups(x, 2) + along(b, 4),
            {"x": image, "gamma": vector, "beta": vector},
        ),
        "group_norm of rows": (
            lambda x: gc.group_norm(x, 2), lambda x: naive_groups(x, 2), {"x": ("N", 6)}
        ),
        "instance_norm": (
            lambda x, g: gc.instance_norm(x, g),
            lambda x, g: along(g, 3) * naive_normal(x, (2,)),
            {"x": ("N", 4, 5), "gamma": vector},
        ),
        "local_response_norm": (
            lambda x: gc.local_response_norm(x, 3, 0.7, 0.75, 2.0),
            lambda x: naive_lrn(x, 3, 0.7, 0.75, 2.0),
            {"x": ("N", 5, 2, 2)},
        ),
        "local_response_norm even": (
            lambda x: gc.local_response_norm(x, 4, 0.7, 0.5), lambda x: naive_lrn(x, 4, 0.7, 0.5, 1.0), {"x": ("N", 5)}
        ),
    }  # fmt: skip
    for name, (make, oracle, shapes) in table.items():
        yield name, Case(make, oracle, shapes, batches=(3,), linear=False, curved=" " not in name)


CASES: dict[str, Case] = {
    **dict(_resized()),
    **dict(_warped()),
    **dict(_regions()),
    **dict(_normalisations()),
}
"""Every case, by name."""
