"""Cases of reductions, statistics, order and running sums, as in `structural_cases.py`."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from structural_cases import Array, Case

import graphc as gc

AXES: tuple[Any, ...] = (None, 0, 1, -1, (0, 2), (2, 1))


def root(x: Array) -> Any:
    return np.sqrt(x)


REDUCTIONS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    # Each takes x, axis= and keepdims=.
    "prod": (gc.prod, np.prod),
    "var": (gc.var, np.var),
    "var ddof 1": (lambda x, **k: gc.var(x, ddof=1, **k), lambda x, **k: np.var(x, ddof=1, **k)),
    "std": (gc.std, np.std),
    "std correction": (lambda x, **k: gc.std(x, correction=0.5, **k), lambda x, **k: np.std(x, ddof=0.5, **k)),
    "ptp": (gc.ptp, np.ptp),
    "median": (gc.median, np.median),
    "quantile": (lambda x, **k: gc.quantile(x, 0.3, **k), lambda x, **k: np.quantile(x, 0.3, **k)),
    "quantiles": (
        lambda x, **k: gc.quantile(x, [0.0, 0.25, 1.0], **k),
        lambda x, **k: np.quantile(x, [0.0, 0.25, 1.0], **k),
    ),
    "norm": (
        gc.norm,
        lambda x, axis, keepdims: np.sqrt((x * x).sum(axis=axis, keepdims=keepdims)),
    ),
}  # fmt: skip

NORMS: dict[str, tuple[Any, Any]] = {
    **{f"norm {p} axis {axis}": (p, axis) for p in (1, 2, 3, 1.5, 0.5, -1, -2, np.inf, -np.inf) for axis in (1, -1)},
    **{f"norm {p!r} axes {axis}": (p, axis) for p in ("fro", 1, -1, np.inf, -np.inf) for axis in ((1, 2), (-1, 1))},
}  # fmt: skip

LINES: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    # On x[N,4,5].
    "cumsum": (gc.cumsum, np.cumsum),
    "cumsum rows": (lambda x: gc.cumsum(x, 0), lambda x: np.cumsum(x, 0)),
    "cumsum backwards": (
        lambda x: gc.cumsum(x, 1, reverse=True),
        lambda x: np.cumsum(x[:, ::-1], 1)[:, ::-1],
    ),
    "cumprod": (lambda x: gc.cumprod(x, -1), lambda x: np.cumprod(x, -1)),
    "cumprod rows": (lambda x: gc.cumprod(x, 0), lambda x: np.cumprod(x, 0)),
    "cumprod flat": (lambda x: gc.cumprod(x[:, 0, :2]), lambda x: np.cumprod(x[:, 0, :2])),
    "cumprod backwards": (
        lambda x: gc.cumprod(x, 2, reverse=True),
        lambda x: np.cumprod(x[..., ::-1], 2)[..., ::-1],
    ),
    "cummax": (lambda x: gc.cummax(x, 1), lambda x: np.maximum.accumulate(x, 1)),
    "cummin": (lambda x: gc.cummin(x), lambda x: np.minimum.accumulate(x, 0)),
    "logcumsumexp": (lambda x: gc.logcumsumexp(x, 2), lambda x: np.log(np.cumsum(np.exp(x), 2))),
    "sort": (gc.sort, np.sort),
    "sort rows": (lambda x: gc.sort(x, 0), lambda x: np.sort(x, 0)),
    "sort flat": (lambda x: gc.sort(x, None), lambda x: np.sort(x, None)),
    "sort descending": (lambda x: gc.sort(x, 1, descending=True), lambda x: np.sort(x, 1)[:, ::-1]),
    "top_k": (lambda x: gc.top_k(x, 3)[0], lambda x: np.sort(x)[..., :1:-1]),
    "top_k along": (lambda x: gc.top_k(x, 2, axis=1)[0], lambda x: np.sort(x, 1)[:, :1:-1]),
    "top_k of all": (lambda x: gc.top_k(x, 5)[0], lambda x: np.sort(x)[..., ::-1]),
    "top_k of none": (lambda x: gc.top_k(x, 0)[0], lambda x: x[..., :0]),
    "maxout": (lambda x: gc.maxout(x, 2, axis=1), lambda x: np.maximum(x[:, ::2], x[:, 1::2])),
    "median_filter2d": (
        lambda x: gc.median_filter2d(x, 3),
        lambda x: np.median(np.lib.stride_tricks.sliding_window_view(x, (3, 3), (1, 2)), (3, 4)),
    ),
    "median_filter2d same": (
        lambda x: gc.median_filter2d(x, (3, 1), mode="edge"),
        lambda x: np.median(
            np.lib.stride_tricks.sliding_window_view(np.pad(x, ((0, 0), (1, 1), (0, 0)), "edge"), 3, 1), 3
        ),
    ),
    "logsumexp axes": (
        lambda x: gc.logsumexp(x, (0, 2), True),
        lambda x: np.log(np.exp(x).sum((0, 2), keepdims=True)),
    ),
}


def _cases() -> Iterator[tuple[str, Case]]:
    x = {"x": ("N", 4, 5)}
    for (name, (function, numpy)), axis in itertools.product(REDUCTIONS.items(), AXES):
        if name not in ("prod", "var", "median") and axis in (0, -1, (0, 2)):
            continue
        keep = axis in (0, (2, 1))
        yield f"{name} axis {axis}", Case(
            lambda x, f=function, a=axis, k=keep: f(x, axis=a, keepdims=k),
            lambda x, f=numpy, a=axis, k=keep: f(x, axis=a, keepdims=k),
            {"x": ("N", 3, 2)} if name == "prod" else x,
            linear=name in ("ptp", "median", "quantile", "quantiles"),
            curved=axis in (1, None) and name in ("prod", "var", "std", "norm"),
            batches=(2, 3) if "ddof" in name or axis == 0 else (1, 3),
        )  # fmt: skip
    for name, (p, axis) in NORMS.items():
        yield name, Case(
            lambda x, p=p, a=axis: gc.norm(x, p, axis=a),
            lambda x, p=p, a=axis: np.linalg.norm(x, p, axis=a),
            {"x": ("N", 3, 2)}, linear=False, curved=p in (2, 3, 1.5),
        )  # fmt: skip
    for name, (function, numpy) in LINES.items():
        curved = name in (
            "cumsum backwards",
            "cumprod",
            "cumprod backwards",
            "logcumsumexp",
            "sort",
            "cummax",
        )
        yield name, Case(function, numpy, x, linear=False, curved=curved)


CASES: dict[str, Case] = dict(_cases())
"""Every case, by name."""
