"""Convolutions, pools, resampled images and normalisations, each written out as loops over places in NumPy.

The oracles work in any number of spatial dimensions and share no code with graphc; `test_windows.py` checks the
cases on every back end.

>>> CASES["conv1d flipped"].shapes["w"]
(2, 2, 3)
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from structural_cases import Array, Case

import graphc as gc

Shape = tuple[int | str, ...]


def each(value: Any, rank: int) -> tuple[Any, ...]:
    return (value,) * rank if isinstance(value, int) else tuple(value)


def sides(padding: Any, rank: int) -> list[tuple[int, int]]:
    return [(p, p) if isinstance(p, int) else tuple(p) for p in each(padding, rank)]


def places(sizes: Sequence[int]) -> Iterator[tuple[int, ...]]:
    return itertools.product(*(range(d) for d in sizes))


def counts_of(
    sizes: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> list[int]:
    """How many windows fit on each axis."""
    return [
        (d - dil * (k - 1) - 1) // s + 1
        for d, k, s, dil in zip(sizes, kernel, strides, dilations, strict=True)
    ]


def reached(
    at: Sequence[int], tap: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> tuple[int, ...]:
    """The place that element `tap` of window `at` lies on."""
    return tuple(s * t + d * k for s, t, d, k in zip(strides, at, dilations, tap, strict=True))


# ---- convolution -----------------------------------------------------------------------------------------


def naive_conv(
    x: Array,
    w: Array,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    flip: bool = False,
) -> Array:
    rank = x.ndim - 2
    strides, dilations, around = each(stride, rank), each(dilation, rank), sides(padding, rank)
    padded = np.pad(x, [(0, 0), (0, 0), *around])
    filters, per, *kernel = w.shape
    counts = counts_of(padded.shape[2:], kernel, strides, dilations)
    out = np.zeros((len(x), filters, *counts))
    for o, at, tap in itertools.product(range(filters), places(counts), places(kernel)):
        first = o // (filters // groups) * per
        where = reached(at, tap, strides, dilations)
        turned = tuple(size - 1 - k for size, k in zip(kernel, tap, strict=True)) if flip else tap
        out[(slice(None), o, *at)] += (
            padded[(slice(None), slice(first, first + per), *where)] * w[(o, slice(None), *turned)]
        ).sum(1)
    return out


def naive_transposed(
    x: Array,
    w: Array,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Array:
    """Each element of x adds a copy of the kernel to the result, which is cut afterwards."""
    rank = x.ndim - 2
    strides, dilations, around = each(stride, rank), each(dilation, rank), sides(padding, rank)
    channels, per, *kernel = w.shape
    full = [
        (d - 1) * s + dil * (k - 1) + 1 + e
        for d, s, dil, k, e in zip(
            x.shape[2:], strides, dilations, kernel, each(output_padding, rank), strict=True
        )
    ]
    out = np.zeros((len(x), per * groups, *full))
    for c, at, tap in itertools.product(range(channels), places(x.shape[2:]), places(kernel)):
        first = c // (channels // groups) * per
        where = reached(at, tap, strides, dilations)
        out[(slice(None), slice(first, first + per), *where)] += (
            x[(slice(None), c, *at)][:, None] * w[(c, slice(None), *tap)]
        )
    return out[(..., *(slice(lo, d - hi) for d, (lo, hi) in zip(full, around, strict=True)))]


def _convolutions() -> Iterator[tuple[str, Case]]:
    line, image, volume = ("N", 2, 7), ("N", 2, 5, 4), ("N", 2, 3, 4, 3)
    # The last column is the padding that the oracle takes, where the arguments give a word for it.
    table: tuple[tuple[str, Shape, tuple[int, ...], dict[str, Any], Any], ...] = (
        ("conv1d", line, (2, 2, 3), {}, None),
        ("conv1d flipped", line, (2, 2, 3), {"flip": True}, None),
        ("conv1d stride 3 dilated", line, (2, 2, 2), {"stride": 3, "dilation": 2, "padding": [(1, 2)]}, None),
        ("conv1d depthwise", line, (4, 1, 3), {"groups": 2, "padding": 1}, None),
        ("conv1d same", line, (2, 2, 4), {"padding": "same"}, [(1, 2)]),
        ("conv1d full", line, (2, 2, 3), {"padding": "full", "dilation": 2}, [(4, 4)]),
        ("conv2d flipped", image, (2, 2, 3, 2), {"flip": True, "padding": 1}, None),
        ("conv2d full", image, (2, 2, 3, 2), {"padding": "full"}, (2, 1)),
        ("conv2d one row", ("N", 2, 1, 4), (2, 2, 1, 3), {}, None),
        ("conv3d", volume, (2, 2, 2, 3, 2), {}, None),
        ("conv3d in groups", volume, (2, 1, 3, 2, 2), {"stride": (2, 1, 2), "padding": 1, "groups": 2}, None),
    )  # fmt: skip
    line, image, volume = ("N", 2, 4), ("N", 2, 3, 2), ("N", 2, 2, 3, 2)
    table += (
        ("conv_transpose1d", line, (2, 3, 3), {}, None),
        ("conv_transpose1d stride 3", line, (2, 3, 2), {"stride": 3, "output_padding": 2}, None),
        ("conv_transpose1d cut", line, (2, 3, 2), {"stride": 2, "padding": [(3, 2)]}, None),
        ("conv_transpose1d same", line, (2, 2, 5), {"stride": 2, "padding": "same"}, [(1, 2)]),
        ("conv_transpose2d", image, (2, 2, 3, 2), {"stride": 2, "padding": 1}, None),
        ("conv_transpose2d in groups", image, (2, 2, 2, 3), {"stride": (1, 2), "dilation": 2, "groups": 2}, None),
        ("conv_transpose2d of a pixel", ("N", 2, 1, 1), (2, 2, 2, 3), {"stride": 2}, None),
        ("conv_transpose3d", volume, (2, 2, 2, 1, 3), {"stride": 2, "padding": 0, "output_padding": (0, 1, 1)}, None),
    )  # fmt: skip
    curved = (
        "conv1d stride 3 dilated", "conv2d flipped", "conv3d", "conv_transpose1d stride 3", "conv_transpose2d",
    )  # fmt: skip
    for name, x, w, arguments, around in table:
        expected = arguments if around is None else {**arguments, "padding": around}
        function = getattr(gc, name.split()[0])
        naive = naive_transposed if "transpose" in name else naive_conv
        yield (
            name,
            Case(
                lambda x, w, f=function, a=arguments: f(x, w, **a),
                lambda x, w, f=naive, a=expected: f(x, w, **a),
                {"x": x, "w": w},
                curved=name in curved,
                batches=(0, 2) if name in ("conv1d", "conv_transpose1d") else (2,),
            ),
        )
    yield (
        "conv_transpose1d beyond a same kernel",
        Case(
            lambda x, w: gc.conv_transpose1d(x, w, stride=3, padding="same"),
            lambda x, w: naive_transposed(x, w, 3, 0, 1),
            {"x": line, "w": (2, 2, 2)},
            batches=(2,),
        ),
    )
    for mode in ("full", "same", "valid"):
        for n, k in ((5, 3), (5, 4), (3, 5), (4, 4), (3, 1)):
            yield (
                f"convolve {mode} {n} {k}",
                Case(
                    lambda a, v, m=mode: gc.convolve(a, v, m),
                    lambda a, v, m=mode: np.convolve(a, v, m),
                    {"a": (n,), "v": (k,)},
                    batches=(1,),
                ),
            )
    for mode in ("full", "valid"):
        yield f"convolve {mode} named", Case(
            lambda a, v, m=mode: gc.convolve(v, a, m), lambda a, v, m=mode: np.convolve(a, v, m),
            {"a": ("N",), "v": (3,)}, batches=(3, 6),
        )  # fmt: skip


def naive_unfold(
    x: Array, kernel: Sequence[int], dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Array:
    rank = x.ndim - 2
    strides, dilations, around = each(stride, rank), each(dilation, rank), sides(padding, rank)
    padded = np.pad(x, [(0, 0), (0, 0), *around])
    counts = counts_of(padded.shape[2:], kernel, strides, dilations)
    rows = [
        [padded[(slice(None), c, *reached(at, tap, strides, dilations))] for at in places(counts)]
        for c, tap in itertools.product(range(x.shape[1]), places(kernel))
    ]
    return np.array(rows).transpose(2, 0, 1)


def naive_fold(columns: Array, sizes: Sequence[int], kernel: Sequence[int], **arguments: Any) -> Array:
    """The transpose of the linear map `naive_unfold`, from its matrix: the patches of every unit image."""
    channels = columns.shape[1] // math.prod(kernel)
    count = channels * math.prod(sizes)
    matrix = naive_unfold(np.eye(count).reshape(count, channels, *sizes), kernel, **arguments)
    return np.einsum("nrl,prl->np", columns, matrix).reshape(len(columns), channels, *sizes)


def _patches() -> Iterator[tuple[str, Case]]:
    table: tuple[tuple[str, tuple[int, ...], tuple[int, ...], dict[str, Any]], ...] = (
        ("", (4, 3), (2, 2), {}),
        (" strided", (5, 4), (3, 2), {"stride": (1, 2), "padding": 1}),
        (" dilated", (5, 4), (2, 2), {"dilation": (2, 1)}),
        (" of a line", (6,), (3,), {"stride": 2, "padding": [(1, 0)]}),
        (" of a volume", (2, 3, 2), (2, 2, 1), {}),
    )
    for name, sizes, kernel, arguments in table:
        yield (
            "unfold" + name,
            Case(
                lambda x, k=kernel, a=arguments: gc.unfold(x, k, **a),
                lambda x, k=kernel, a=arguments: naive_unfold(x, k, **a),
                {"x": ("N", 2, *sizes)},
                batches=(2,),
            ),
        )
        shape = naive_unfold(np.zeros((1, 2, *sizes)), kernel, **arguments).shape
        yield (
            "fold" + name,
            Case(
                lambda x, s=sizes, k=kernel, a=arguments: gc.fold(x, s, k, **a),
                lambda x, s=sizes, k=kernel, a=arguments: naive_fold(x, s, k, **a),
                {"x": ("N", *shape[1:])},
                batches=(2,),
            ),
        )


# ---- pooling ---------------------------------------------------------------------------------------------


def naive_pool(
    x: Array, best: Callable[[Array, int], Array], size: Any, stride: Any = None, padding: Any = 0,
    ceil_mode: bool = False, dilation: Any = 1,
) -> Array:  # fmt: skip
    """`best(elements of a window, how many of them count in PyTorch's mean with padding)`, window by window.

    The elements are those of x that exist: [N,C,count].
    """
    rank = x.ndim - 2
    kernel, dilations = each(size, rank), each(dilation, rank)
    strides = kernel if stride is None else each(stride, rank)
    axes = []
    for d, k, s, dil, (lo, hi) in zip(
        x.shape[2:], kernel, strides, dilations, sides(padding, rank), strict=True
    ):
        span = dil * (k - 1) + 1
        over = d + lo + hi - span
        count = (-(-over // s) if ceil_mode else over // s) + 1
        if ceil_mode and (count - 1) * s >= d + lo:
            count -= 1
        axes.append(
            [[s * t - lo + dil * j for j in range(k) if s * t + dil * j < d + lo + hi] for t in range(count)]
        )
    out = np.zeros((*x.shape[:2], *(len(a) for a in axes)))
    for at in places(out.shape[2:]):
        window = [axis[t] for axis, t in zip(axes, at, strict=True)]
        counted = math.prod(len(w) for w in window)
        inside = [
            p
            for p in itertools.product(*window)
            if all(0 <= v < d for v, d in zip(p, x.shape[2:], strict=True))
        ]
        elements = np.stack([x[(slice(None), slice(None), *p)] for p in inside], -1)
        out[(slice(None), slice(None), *at)] = best(elements, counted)
    return out


KINDS: dict[str, tuple[dict[str, Any], Callable[[Array, int], Array], bool]] = {
    "max_pool": ({}, lambda v, n: v.max(-1), False),
    "avg_pool": ({}, lambda v, n: v.mean(-1), True),
    "avg_pool counting": ({"count_include_pad": True}, lambda v, n: v.sum(-1) / n, True),
    "avg_pool sum": ({"divisor_override": 1}, lambda v, n: v.sum(-1), True),
}

WINDOWS: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "1d": ((7,), {"size": 2}),
    "1d overlapping": ((8,), {"size": 3, "stride": 2, "padding": 1}),
    "1d ceil": ((6,), {"size": 3, "stride": 2, "padding": 1, "ceil_mode": True}),
    "2d ceil overlapping": ((6, 5), {"size": 3, "stride": 2, "padding": (1, 0), "ceil_mode": True}),
    "2d one pixel": ((1, 1), {"size": 1}),
    "3d": ((4, 2, 3), {"size": 2}),
    "3d padded ceil": ((3, 4, 2), {"size": (2, 3, 2), "stride": 2, "padding": 1, "ceil_mode": True}),
}


def naive_adaptive(x: Array, counts: Sequence[int], best: Callable[..., Array]) -> Array:
    out = np.zeros((*x.shape[:2], *counts))
    for at in places(counts):
        part = tuple(
            slice(math.floor(i * d / k), math.ceil((i + 1) * d / k))
            for i, d, k in zip(at, x.shape[2:], counts, strict=True)
        )
        out[(slice(None), slice(None), *at)] = best(
            x[(slice(None), slice(None), *part)], axis=tuple(range(2, x.ndim))
        )
    return out


def naive_unpool(x: Array, at: Array, sizes: Sequence[int]) -> Array:
    out = np.zeros((*x.shape[:2], math.prod(sizes)))
    for p in np.ndindex(*x.shape):
        out[(*p[:2], at[p])] += x[p]
    return out.reshape(*x.shape[:2], *sizes)


def _pools() -> Iterator[tuple[str, Case]]:
    for (name, (sizes, arguments)), (kind, (extra, best, linear)) in itertools.product(
        WINDOWS.items(), KINDS.items()
    ):
        rank = len(sizes)
        function = getattr(gc, f"{kind.split()[0]}{rank}d")
        yield (
            f"{kind} {name}",
            Case(
                lambda x, f=function, a={**arguments, **extra}: f(x, **a),
                lambda x, b=best, a=arguments: naive_pool(x, b, **a),
                {"x": ("N", 2, *sizes)},
                batches=(0, 2) if name == "1d" else (2,),
                linear=linear,
                curved=name in ("1d overlapping", "3d") and not extra,
            ),
        )
    dilated = {"size": 2, "stride": (1, 2), "padding": (0, 1), "dilation": (2, 3)}
    yield "max_pool2d dilated", Case(
        lambda x: gc.max_pool2d(x, **dilated), lambda x: naive_pool(x, lambda v, n: v.max(-1), **dilated),
        {"x": ("N", 2, 5, 6)}, batches=(2,), linear=False, curved=True,
    )  # fmt: skip
    for p in (1, 2, 3, 2.5):
        yield (
            f"lp_pool2d {p}",
            Case(
                lambda x, p=p: gc.lp_pool2d(x, p, (2, 3), 2, True),
                lambda x, p=p: naive_pool(
                    x, lambda v, n: (np.abs(v) ** p).sum(-1) ** (1 / p), (2, 3), 2, ceil_mode=True
                ),
                {"x": ("N", 1, 4, 6)},
                batches=(2,),
                linear=False,
                curved=p == 2,
            ),
        )
    for counts in ((3,), (2, 3), (1, 1), (4, 7), (2, 1, 2)):
        sizes = (5, 4, 3)[: len(counts)]
        for kind, function in (("avg", np.mean), ("max", np.max)):
            yield (
                f"adaptive_{kind}_pool {counts}",
                Case(
                    lambda x, c=counts, k=kind: getattr(gc, f"adaptive_{k}_pool{len(c)}d")(x, c),
                    lambda x, c=counts, b=function: naive_adaptive(x, c, b),
                    {"x": ("N", 2, *sizes)},
                    batches=(2,),
                    linear=kind == "avg",
                    curved=counts == (2, 3),
                ),
            )
    for kind, function in (("avg", np.mean), ("max", np.max)):
        yield (
            f"global_{kind}_pool",
            Case(
                lambda x, k=kind: getattr(gc, f"global_{k}_pool")(x),
                lambda x, b=function: b(x, axis=(2, 3)),
                {"x": ("N", 2, 3, 4)},
                linear=kind == "avg",
            ),
        )
    yield "max_unpool1d", Case(
        lambda x, at: gc.max_unpool1d(x, at, 2), lambda x, at: naive_unpool(x, at, (6,)),
        {"x": ("N", 2, 3), "at": ("N", 2, 3)}, {"at": 6}, curved=True,
    )  # fmt: skip
    yield "max_unpool2d of a size", Case(
        lambda x, at: gc.max_unpool2d(x, at, 2, 1, 0, (3, 5)), lambda x, at: naive_unpool(x, at, (3, 5)),
        {"x": ("N", 1, 2, 3), "at": ("N", 1, 2, 3)}, {"at": 15},
    )  # fmt: skip


CASES: dict[str, Case] = {**dict(_convolutions()), **dict(_patches()), **dict(_pools())}
"""Every case, by name."""
