"""Structural operations, each with what it means in plain NumPy: the cases of `test_structural.py`.

An oracle is written out by hand (loops over places, slices of arrays) and shares no code with graphc.
A shape may hold the named dimension "N"; each case names the sizes at which it is called.

>>> CASES["matmul"].shapes["a"]
('N', 3)
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

import graphc as gc
from graphc.ir.node import node
from graphc.lang.tensor import Tensor
from graphc.ops.contract import Contract
from graphc.ops.gather import ScatterAdd
from graphc.ops.views import Pad

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Case:
    """`make` builds the operation from tensors, `oracle` computes it from arrays, by name of the operand."""

    make: Callable[..., Tensor]
    oracle: Callable[..., Any]
    shapes: Mapping[str, tuple[int | str, ...]]
    labels: Mapping[str, int] = field(default_factory=dict)  # integer operands: drawn from -bound … bound - 1
    batches: tuple[int, ...] = (1, 3)
    linear: bool = True  # in each operand: differences are exact
    curved: bool = False  # also checked: the gradient of its gradient


# ---- contractions ----------------------------------------------------------------------------------------


def contraction(spec: str) -> Case:
    """Σ over the letters that the result lacks; the first letter is the named dimension."""
    a, b, result = spec.replace("->", ",").split(",")
    size = dict(zip("ijkabc", (3, 4, 2, 2, 3, 5), strict=True))

    def oracle(x: Array, y: Array) -> Array:
        sizes = dict(zip(a + b, x.shape + y.shape, strict=True))
        letters = sorted(sizes)
        out = np.zeros([sizes[letter] for letter in result], x.dtype)
        for values in itertools.product(*(range(sizes[letter]) for letter in letters)):
            at = dict(zip(letters, values, strict=True))
            factors = x[tuple(at[v] for v in a)] * y[tuple(at[v] for v in b)]
            out[tuple(at[v] for v in result)] += factors
        return out

    def shape(letters: str) -> tuple[int | str, ...]:
        return tuple("N" if letter == (a + b)[0] else size[letter] for letter in letters)

    def make(x: Tensor, y: Tensor) -> Tensor:
        return Tensor(node(Contract(spec), x.node, y.node))

    return Case(make, oracle, {"a": shape(a), "b": shape(b)}, curved=len(a + b) <= 5)


SPECS = (
    "ij,jk->ik", "ij,kj->ik", "ji,jk->ik", "ji,kj->ki", "i,i->", "i,j->ij", "i,j->ji", "ij,j->i", "i,ij->j",
    "ij,ij->ij", "ij,ij->", "ij,ij->i", "ij,ij->j", "aij,ajk->aik", "aij,jk->aik", "ij,ajk->aik",
    "abij,abjk->abik", "ai,aj->aij", "ijk,jk->i", "ijk,kb->jib", "ij,k->kij",
)  # fmt: skip


def _matmuls() -> dict[str, Case]:
    """NumPy's rules for vectors, matrices and stacks."""
    pairs: dict[str, tuple[tuple[int | str, ...], tuple[int | str, ...]]] = {
        "matmul": (("N", 3), (3, 4)),
        "matmul vector": ((3,), (3, "N")),
        "matmul to a vector": (("N", 3), (3,)),
        "matmul vectors": (("N",), ("N",)),
        "matmul stack": ((2, "N", 3), (2, 3, 2)),
        "matmul broadcast": ((2, 1, "N", 3), (3, 3, 2)),
        "matmul stack by matrix": (("N", 2, 3), (3, 4)),
    }
    cases = {k: Case(gc.matmul, naive_matmul, {"a": a, "b": b}) for k, (a, b) in pairs.items()}
    cases["outer"] = Case(
        gc.outer,
        lambda a, b: np.array([[x * y for y in b] for x in a]).reshape(len(a), len(b)),
        {"a": ("N",), "b": (4,)},
    )
    return cases


def naive_matmul(a: Array, b: Array) -> Array:
    """The matrix product by NumPy's rules, as a broadcast product and a sum."""
    left = a[None, :] if a.ndim == 1 else a
    right = b[:, None] if b.ndim == 1 else b
    out = (left[..., :, :, None] * right[..., None, :, :]).sum(axis=-2)
    if b.ndim == 1:
        out = out[..., 0]
    return np.asarray(out[..., 0] if a.ndim == 1 and b.ndim == 1 else out[..., 0, :] if a.ndim == 1 else out)


# ---- windows ---------------------------------------------------------------------------------------------


def pair(v: Any) -> tuple[Any, Any]:
    return (v, v) if isinstance(v, int) else tuple(v)


def sides(padding: Any) -> list[tuple[int, int]]:
    return [p if isinstance(p, tuple) else (p, p) for p in pair(padding)]


def naive_conv(x: Array, w: Array, stride: Any, padding: Any, dilation: Any, groups: int) -> Array:
    """Correlation, place by place."""
    (sy, sx), (dy, dx) = pair(stride), pair(dilation)
    x = np.pad(x, [(0, 0), (0, 0), *sides(padding)])
    filters, per_group, kh, kw = w.shape
    height = (x.shape[2] - dy * (kh - 1) - 1) // sy + 1
    width = (x.shape[3] - dx * (kw - 1) - 1) // sx + 1
    out = np.zeros((x.shape[0], filters, height, width), x.dtype)
    for o in range(filters):
        first = o // (filters // groups) * per_group
        for i, j in itertools.product(range(height), range(width)):
            rows, columns = sy * i + dy * np.arange(kh), sx * j + dx * np.arange(kw)
            patch = x[:, first : first + per_group][:, :, rows][:, :, :, columns]
            out[:, o, i, j] = (patch * w[o]).sum(axis=(1, 2, 3))
    return out


def convolution(
    x: tuple[int | str, ...], w: tuple[int, ...], *, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1, around: Any = None, curved: bool = False, batches: tuple[int, ...] = (1, 2),
) -> Case:  # fmt: skip
    """`around` is what the padding "same" amounts to."""
    expected = padding if around is None else around
    return Case(
        lambda x, w: gc.conv2d(x, w, stride, padding, dilation, groups),
        lambda x, w: naive_conv(x, w, stride, expected, dilation, groups),
        {"x": x, "w": w},
        batches=batches,
        curved=curved,
    )


def _convolutions() -> Iterator[tuple[str, Case]]:
    grid = itertools.product((1, 2, (3, 2)), (0, ((1, 0), (0, 2))), (1, (2, 1)), (1, 2))
    for stride, padding, dilation, groups in grid:
        name = f"conv2d stride {stride} padding {padding} dilation {dilation} groups {groups}"
        case = convolution(
            ("N", 2, 7, 5), (2, 2 // groups, 3, 2),
            stride=stride, padding=padding, dilation=dilation, groups=groups,
            curved=(stride, padding) == (2, 0) and (dilation == 1) == (groups == 1),
        )  # fmt: skip
        yield name, case
    x = ("N", 3, 6, 4)
    yield "conv2d same", convolution(x, (2, 3, 3, 2), padding="same", around=((1, 1), (0, 1)))
    yield (
        "conv2d same stride 2",
        convolution(x, (2, 3, 3, 3), padding="same", stride=2, around=((0, 1), (0, 1))),
    )
    yield "conv2d 1x1", convolution(x, (4, 3, 1, 1), batches=(3,))
    yield "conv2d 1x1 stride 2", convolution(x, (2, 3, 1, 1), stride=2)
    yield "conv2d whole image", convolution(x, (2, 3, 6, 4))
    yield "conv2d depthwise", convolution(x, (3, 1, 3, 3), padding=1, groups=3)
    yield "conv2d stride beyond the kernel", convolution(x, (2, 3, 1, 2), stride=(4, 2))


def naive_pool(
    x: Array, best: Callable[..., Any], size: Any, stride: Any, padding: Any, ceil_mode: bool
) -> Array:
    """Each window by itself, cut to the cells that exist; in ceil mode the last one may hang over."""
    kernel, strides = pair(size), pair(stride)
    counts, spans = [], []
    for n, k, s, (lo, hi) in zip(x.shape[2:], kernel, strides, sides(padding), strict=True):
        over = n + lo + hi - k
        count = -(-over // s) + 1 if ceil_mode else over // s + 1
        if ceil_mode and (count - 1) * s >= n + lo:
            count -= 1
        counts.append(count)
        spans.append([slice(max(0, s * t - lo), min(n, s * t - lo + k)) for t in range(count)])
    out = np.zeros((*x.shape[:2], *counts), x.dtype)
    for i, j in itertools.product(*(range(c) for c in counts)):
        out[:, :, i, j] = best(x[:, :, spans[0][i], spans[1][j]], axis=(2, 3))
    return out


POOLS: dict[str, tuple[tuple[int, int], dict[str, Any]]] = {
    "2": ((6, 4), {"size": 2}),
    "2 odd": ((7, 5), {"size": 2}),
    "2 ceil": ((7, 5), {"size": 2, "ceil_mode": True}),
    "overlapping": ((7, 7), {"size": 3, "stride": 2}),
    "padded": ((6, 5), {"size": 3, "stride": 2, "padding": 1}),
    "padded ceil": ((6, 5), {"size": 3, "stride": 2, "padding": 1, "ceil_mode": True}),
    "dense": ((5, 4), {"size": (2, 3), "stride": 1, "padding": (0, 1)}),
    "gaps": ((7, 8), {"size": (2, 1), "stride": (3, 2)}),
}


def _pools() -> Iterator[tuple[str, Case]]:
    for name, (image, arguments) in POOLS.items():
        full = {"padding": 0, "ceil_mode": False, "stride": arguments["size"], **arguments}
        for kind, function, best in (("max", gc.max_pool2d, np.max), ("avg", gc.avg_pool2d, np.mean)):
            yield (
                f"{kind}_pool2d {name}",
                Case(
                    lambda x, f=function, a=arguments: f(x, **a),
                    lambda x, b=best, a=full: naive_pool(x, b, **a),
                    {"x": ("N", 2, *image)},
                    batches=(1, 2),
                    linear=kind == "avg",
                    curved=name in ("2", "overlapping"),
                ),
            )


# ---- reductions ------------------------------------------------------------------------------------------


def _reductions() -> Iterator[tuple[str, Case]]:
    axes: tuple[Any, ...] = (None, 0, 1, -1, (0, 2), (1, 2), (2, 0, 1))
    functions = (gc.sum, np.sum), (gc.max, np.max), (gc.min, np.min), (gc.mean, np.mean)
    for (function, numpy), axis in itertools.product(functions, axes):
        keep = axis in (0, (1, 2))
        yield (
            f"{numpy.__name__} axis {axis}{' keepdims' if keep else ''}",
            Case(
                lambda x, f=function, a=axis, k=keep: f(x, axis=a, keepdims=k),
                lambda x, f=numpy, a=axis, k=keep: f(x, axis=a, keepdims=k),
                {"x": ("N", 3, 4)},
                linear=numpy in (np.sum, np.mean),
                curved=axis in (1, None),
            ),
        )
    x = {"x": ("N", 5)}
    yield (
        "softmax",
        Case(
            gc.softmax, lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True), x, linear=False, curved=True
        ),
    )
    yield (
        "logsumexp",
        Case(
            lambda x: gc.logsumexp(x, axis=0),
            lambda x: np.log(np.exp(x).sum(0)),
            x,
            linear=False,
            curved=True,
        ),
    )
    yield (
        "log_softmax",
        Case(
            gc.log_softmax,
            lambda x: x - np.log(np.exp(x).sum(-1, keepdims=True)),
            x,
            linear=False,
            curved=True,
        ),
    )


# ---- views -----------------------------------------------------------------------------------------------


def interior(x: Array) -> Array:
    """Two zeros between rows and one between columns, and a margin of (1, 0) and (0, 2) of 7."""
    out = np.full((1 + 3 * (x.shape[0] - 1) + 1, 2 * (x.shape[1] - 1) + 1 + 2), 7, x.dtype)
    out[1::3, 0:-2:2] = x
    return out


def _padded(x: Tensor) -> Tensor:
    return Tensor(node(Pad((1, 0), (0, 2), (2, 1), 7.0), x.node))


VIEWS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    # On x[N,4,6]; the first function is applied to tensors, the second to arrays.
    "reshape": (lambda x: gc.reshape(x, (-1, 3)), lambda x: x.reshape(-1, 3)),
    "reshape named": (lambda x: gc.reshape(x, ("N", 8, 3)), lambda x: x.reshape(-1, 8, 3)),
    "reshape flat": (lambda x: gc.reshape(x, -1), lambda x: x.reshape(-1)),
    "expand_dims": (lambda x: gc.expand_dims(x, 1), lambda x: x[:, None]),
    "squeeze": (lambda x: gc.squeeze(x[:, 1:2], 1), lambda x: x[:, 1]),
    "transpose": (lambda x: gc.transpose(x), lambda x: x.T),
    "transpose axes": (lambda x: gc.transpose(x, (1, 0, -1)), lambda x: np.swapaxes(x, 0, 1)),
    "broadcast_to": (
        lambda x: gc.broadcast_to(x[:, :1], ("N", 3, 6)),
        lambda x: np.repeat(x[:, :1], 3, axis=1),
    ),
    "slice": (lambda x: x[:, 1:3], lambda x: x[:, 1:3]),
    "slice steps": (lambda x: x[:, ::3, 1::2], lambda x: x[:, ::3, 1::2]),
    "slice backwards": (lambda x: x[:, ::-1, 4:0:-2], lambda x: x[:, ::-1, 4:0:-2]),
    "slice named backwards": (lambda x: x[::-1], lambda x: x[::-1]),
    "slice named": (lambda x: x[1:], lambda x: x[1:]),
    "index": (lambda x: x[:, 2, -1], lambda x: x[:, 2, -1]),
    "index named": (lambda x: x[-1], lambda x: x[-1]),
    "new axis and ellipsis": (lambda x: x[..., None, 1:5], lambda x: x[..., None, 1:5]),
    "slice of nothing": (lambda x: x[:, 3:3], lambda x: x[:, 3:3]),
    "pad": (lambda x: gc.pad(x, ((0, 0), (1, 2), (3, 0))), lambda x: np.pad(x, ((0, 0), (1, 2), (3, 0)))),
    "pad value": (lambda x: gc.pad(x, 1, -2.5), lambda x: np.pad(x, 1, constant_values=-2.5)),
    "pad interior": (lambda x: _padded(x[:, 0]), lambda x: interior(x[:, 0])),
    "stack of itself": (lambda x: gc.stack([x, x, 2.0 * x], 1), lambda x: np.stack([x, x, 2.0 * x], 1)),
    "view of view": (
        lambda x: gc.reshape(gc.transpose(x[:, ::2], (2, 0, 1))[1:-1], (4, -1)),
        lambda x: x[:, ::2].transpose(2, 0, 1)[1:-1].reshape(4, -1),
    ),
}


def _joins() -> dict[str, Case]:
    one, two = {"x": ("N", 3), "y": ("N", 2)}, {"x": ("N", 3), "y": (2, 3)}
    same = {"x": ("N", 3), "y": ("N", 3)}
    return {
        "concatenate columns": Case(
            lambda x, y: gc.concatenate([x, y, x], 1), lambda x, y: np.concatenate([x, y, x], 1), one
        ),
        "concatenate rows": Case(
            lambda x, y: gc.concatenate([x, y]), lambda x, y: np.concatenate([x, y]), two, batches=(0, 1, 3)
        ),
        "stack": Case(lambda x, y: gc.stack([x, y], -1), lambda x, y: np.stack([x, y], -1), same),
        "broadcast row and column": Case(
            lambda x, y: x * y[:, None] - y[0],
            lambda x, y: x * y.reshape(-1, 1) - y[0],
            {"x": (4, 3), "y": (4,)},
            batches=(1,),
            curved=True,
        ),
        "broadcast names": Case(
            lambda x, y: x[:, None, :] * y + y[0], lambda x, y: x[:, None, :] * y + y[0],
            {"x": ("N", 3), "y": (2, 3)}, curved=True,
        ),
        "broadcast scalar": Case(lambda x, y: x * y, lambda x, y: x * y, {"x": ("N", 3), "y": ()}),
    }  # fmt: skip


# ---- gathers ---------------------------------------------------------------------------------------------


def _scatter(u: Tensor, at: Tensor) -> Tensor:
    return Tensor(node(ScatterAdd(0, 5), u.node, at.node))


def _scatter_rows(u: Tensor, at: Tensor) -> Tensor:
    return Tensor(node(ScatterAdd(1, 4), u.node, at.node))


def naive_scatter(u: Array, at: Array) -> Array:
    out = np.zeros((5, *u.shape[at.ndim :]), u.dtype)
    for place in np.ndindex(at.shape):
        out[at[place]] += u[place]
    return out


def naive_scatter_rows(u: Array, at: Array) -> Array:
    out = np.zeros((len(u), 4), u.dtype)
    for row, k in np.ndindex(at.shape):
        out[row, at[row, k]] += u[row, k]
    return out


def naive_pick(x: Array, at: Array) -> Array:
    return np.array([x[place][at[place]] for place in np.ndindex(at.shape)]).reshape(at.shape)


GATHERS = {
    "take rows": Case(
        lambda x, at: gc.take(x, at),
        lambda x, at: x[at],
        {"x": (5, 3), "at": ("N", 2)},
        {"at": 5},
        curved=True,
    ),
    "take columns": Case(
        lambda x, at: gc.take(x, at, axis=1),
        lambda x, at: np.stack([x[:, k] for k in at], 1),
        {"x": ("N", 5, 2), "at": (4,)},
        {"at": 5},
    ),
    "take last": Case(
        lambda x, at: gc.take(x, at, axis=-1),
        lambda x, at: np.stack([[x[..., k] for k in row] for row in at]).transpose(2, 0, 1),
        {"x": ("N", 3), "at": (2, 2)},
        {"at": 3},
    ),
    "index by a tensor": Case(lambda x, at: x[at], lambda x, at: x[at], {"x": (4,), "at": ("N",)}, {"at": 4}),
    "pick": Case(
        gc.pick, naive_pick, {"x": ("N", 4), "at": ("N",)}, {"at": 4}, batches=(0, 1, 7), curved=True
    ),
    "pick in stacks": Case(gc.pick, naive_pick, {"x": ("N", 2, 4), "at": ("N", 2)}, {"at": 4}),
    "scatter_add": Case(_scatter, naive_scatter, {"x": ("N", 2, 3), "at": ("N", 2)}, {"at": 5}, curved=True),
    "scatter_add in rows": Case(
        _scatter_rows, naive_scatter_rows, {"x": ("N", 3), "at": ("N", 3)}, {"at": 4}
    ),
    "one_hot": Case(
        lambda x, at: x * gc.one_hot(at, 4, x.dtype),
        lambda x, at: np.array([[x[i, k] * (at[i] == k) for k in range(4)] for i in range(len(x))]),
        {"x": ("N", 4), "at": ("N",)},
        {"at": 4},
    ),
}

CASES: dict[str, Case] = {
    **{f"contract {spec}": contraction(spec) for spec in SPECS},
    **_matmuls(),
    **dict(_convolutions()),
    **dict(_pools()),
    **dict(_reductions()),
    **{k: Case(f, g, {"x": ("N", 4, 6)}, curved=k == "pad interior") for k, (f, g) in VIEWS.items()},
    **_joins(),
    **GATHERS,
}
"""Every case, by name."""
