"""Cases of shapes, indexing and products: functions of graphc with the NumPy that they mean.

As in `structural_cases.py`; most functions are NumPy's own, so the oracle is the function of the same name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from structural_cases import Array, Case, naive_matmul

import graphc as gc

Function = Callable[[Any], Any]

# On x[N,4,6]: graphc's function, and NumPy's.
ARRANGED: dict[str, tuple[Function, Function]] = {
    "flip": (gc.flip, np.flip),
    "flip axes": (lambda x: gc.flip(x, (0, -1)), lambda x: np.flip(x, (0, -1))),
    "roll flat": (lambda x: gc.roll(x, 3), lambda x: np.roll(x, 3)),
    "roll named": (lambda x: gc.roll(x, -2, 0), lambda x: np.roll(x, -2, 0)),
    "roll axes": (lambda x: gc.roll(x, (1, -7), (1, 2)), lambda x: np.roll(x, (1, -7), (1, 2))),
    "tile": (lambda x: gc.tile(x, (2, 3)), lambda x: np.tile(x, (2, 3))),
    "tile more axes": (lambda x: gc.tile(x, (2, 1, 1, 2)), lambda x: np.tile(x, (2, 1, 1, 2))),
    "tile to nothing": (lambda x: gc.tile(x, 0), lambda x: np.tile(x, 0)),
    "repeat": (lambda x: gc.repeat(x, 3, 1), lambda x: np.repeat(x, 3, 1)),
    "repeat flat": (lambda x: gc.repeat(x, 2), lambda x: np.repeat(x, 2)),
    "split": (lambda x: gc.split(x, 2, -1)[1], lambda x: np.split(x, 2, -1)[1]),
    "split at": (lambda x: gc.split(x, [1, 1, 3], 1)[2], lambda x: np.split(x, [1, 1, 3], 1)[2]),
    "array_split": (lambda x: gc.array_split(x, 4, 2)[1], lambda x: np.array_split(x, 4, 2)[1]),
    "unstack": (lambda x: gc.unstack(x, 1)[2], lambda x: x[:, 2]),
    "swapaxes": (lambda x: gc.swapaxes(x, 0, -1), lambda x: np.swapaxes(x, 0, -1)),
    "moveaxis": (lambda x: gc.moveaxis(x, 0, 2), lambda x: np.moveaxis(x, 0, 2)),
    "moveaxis several": (
        lambda x: gc.moveaxis(x, (2, 0), (0, 1)),
        lambda x: np.moveaxis(x, (2, 0), (0, 1)),
    ),
    "ravel": (gc.ravel, np.ravel),
    "atleast_2d": (lambda x: gc.atleast_2d(x[0, 0]), lambda x: np.atleast_2d(x[0, 0])),
    "atleast_1d": (lambda x: gc.atleast_1d(x[0, 0, 0]), lambda x: np.atleast_1d(x[0, 0, 0])),
    "tril": (gc.tril, np.tril),
    "triu": (lambda x: gc.triu(x, -1), lambda x: np.triu(x, -1)),
    "diagonal": (lambda x: gc.diagonal(x, 1, 1, 2), lambda x: np.diagonal(x, 1, 1, 2)),
    "diagonal below": (lambda x: gc.diagonal(x, -2, 2, 1), lambda x: np.diagonal(x, -2, 2, 1)),
    "diagonal outside": (lambda x: gc.diagonal(x, 9, 1, 2), lambda x: np.diagonal(x, 9, 1, 2)),
    "trace": (lambda x: gc.trace(x, 0, 1, -1), lambda x: np.trace(x, 0, 1, -1)),
    "diag of a matrix": (lambda x: gc.diag(x[0], 1), lambda x: np.diag(x[0], 1)),
    "diag of a vector": (lambda x: gc.diag(x[0, 0], -2), lambda x: np.diag(x[0, 0], -2)),
    "diag of a named vector": (lambda x: gc.diag(x[:, 0, 0], 1), lambda x: np.diag(x[:, 0, 0], 1)),
    "eye": (lambda x: x[0, :, :4] * gc.eye(4, k=1), lambda x: x[0, :, :4] * np.eye(4, k=1)),
    "tri": (lambda x: x * gc.tri(4, 6, 1), lambda x: x * np.tri(4, 6, 1)),
    "arange": (lambda x: x * gc.arange(6), lambda x: x * np.arange(6)),
    "arange by steps": (lambda x: x + gc.arange(1.0, 4.0, 0.5), lambda x: x + np.arange(1.0, 4.0, 0.5)),
    "arange named": (
        lambda x: x[:, 0, 0] * gc.arange("N"),
        lambda x: x[:, 0, 0] * np.arange(len(x)),
    ),
    "linspace": (
        lambda x: x * gc.linspace(0, 1, 6, endpoint=False),
        lambda x: x * np.linspace(0, 1, 6, endpoint=False),
    ),
    "filled": (
        lambda x: x * gc.full((4, 1), 2.0) + gc.ones_like(x) - gc.zeros(("N", 4, 6)) * gc.ones(6),
        lambda x: 2 * x + 1,
    ),
    "meshgrid": (
        lambda x: gc.stack(gc.meshgrid(x[0, 0], x[0, :, 0])),
        lambda x: np.stack(np.meshgrid(x[0, 0], x[0, :, 0])),
    ),
    "meshgrid ij": (
        lambda x: gc.meshgrid(x[0, 0], x[0, :, 0], x[:, 0, 0], indexing="ij")[2],
        lambda x: np.meshgrid(x[0, 0], x[0, :, 0], x[:, 0, 0], indexing="ij")[2],
    ),
    "slice from behind": (lambda x: x[:, -3:-1, -1:0:-2], lambda x: x[:, -3:-1, -1:0:-2]),
    "slice beyond": (lambda x: x[:, 2:99, 9::-3], lambda x: x[:, 2:99, 9::-3]),
    "slices and numbers": (lambda x: x[..., None, 2, ::2], lambda x: x[..., None, 2, ::2]),
    "index by a list": (lambda x: x[:, [3, 0, 0]], lambda x: x[:, [3, 0, 0]]),
    "index by an array": (lambda x: x[..., np.array([[1, -1]])], lambda x: x[..., np.array([[1, -1]])]),
    "index by a number and a list": (lambda x: x[:, 1, [3, -2]], lambda x: x[:, 1, [3, -2]]),
    "index by two lists": (
        lambda x: x[:, [[0], [-1]], [2, 3, 3]],
        lambda x: x[:, [[0], [-1]], [2, 3, 3]],
    ),
    "index by a list and a slice": (lambda x: x[None, :, [1, 2], ::-2], lambda x: x[None, :, [1, 2], ::-2]),
    "take flat": (lambda x: gc.take(x, [3, 5], None), lambda x: np.take(x, [3, 5], None)),
    "dynamic_slice": (
        lambda x: gc.dynamic_slice(x, (0, gc.const(9), gc.const(-3)), ("N", 2, 3)),
        lambda x: x[:, 2:, :3],
    ),
    "dynamic_slice by a vector": (
        lambda x: gc.dynamic_slice(x[0], gc.const([1, 2]), (2, 3)),
        lambda x: x[0, 1:3, 2:5],
    ),
}  # fmt: skip


def _arranged() -> Iterator[tuple[str, Case]]:
    for name, (function, numpy) in ARRANGED.items():
        yield name, Case(function, numpy, {"x": ("N", 4, 6)})
    widths: tuple[tuple[str, Any], ...] = (
        ("few", ((0, 0), (1, 2), (3, 0))),
        ("many", ((2, 7), (9, 0), (0, 8))),
    )
    for (name, width), mode in ((w, m) for w in widths for m in ("reflect", "symmetric", "edge", "wrap")):
        yield (
            f"pad {mode} {name}",
            Case(
                lambda x, w=width, m=mode: gc.pad(x, w, mode=m),
                lambda x, w=width, m=mode: np.pad(x, w, mode=m),
                {"x": ("N", 4, 3)},
            ),
        )


def updated(x: Array, u: Array, rows: slice, columns: slice) -> Array:
    out = x.copy()
    out[:, rows, columns] = u
    return out


def put(x: Array, at: Array, u: Array) -> Array:
    """The last update of a place stays."""
    out = x.copy()
    for k in np.ndindex(at.shape):
        if -x.shape[1] <= at[k] < x.shape[1]:
            out[:, at[k]] = u[(slice(None), *k)]
    return out


def added(x: Array, at: Array, u: Array) -> Array:
    out = x.copy()
    for k in np.ndindex(at.shape):
        if -x.shape[1] <= at[k] < x.shape[1]:
            out[:, at[k]] += u[(slice(None), *k)]
    return out


def segments(x: Array, at: Array) -> Array:
    out = np.zeros((4, *x.shape[1:]))
    for k, row in zip(at, x, strict=True):
        out[k] += row
    return out


def _indexed() -> dict[str, Case]:
    x, at = {"x": ("N", 5, 2)}, {"at": 5}
    return {
        "take_along_axis": Case(
            lambda x, at: gc.take_along_axis(x, at, 1),
            lambda x, at: np.take_along_axis(x, at, 1),
            {**x, "at": ("N", 3, 2)}, at, curved=True,
        ),
        "take_along_axis broadcast": Case(
            lambda x, at: gc.take_along_axis(x, at, 1),
            lambda x, at: np.take_along_axis(x, np.broadcast_to(at, (len(x), 3, 2)), 1),
            {**x, "at": (1, 3, 1)}, at,
        ),
        "take_along_axis flat": Case(
            lambda x, at: gc.take_along_axis(x, at, None),
            lambda x, at: np.take_along_axis(x, at, None), {**x, "at": (3,)}, at,
        ),
        "embedding": Case(gc.embedding, lambda t, ids: t[ids], {"x": (5, 3), "at": ("N", 2)}, at),
        "index by two tensors": Case(
            lambda x, at, to: x[at, to], lambda x, at, to: x[at, to],
            {"x": (5, 3, 2), "at": ("N",), "to": (2, "N")}, {"at": 5, "to": 3},
        ),
        "scatter_add to x": Case(
            lambda x, at, u: gc.scatter_add(x, at, u, axis=1), added,
            {**x, "at": (2, 3), "u": ("N", 2, 3, 2)}, {"at": 7}, curved=True,
        ),
        "segment_sum": Case(
            lambda x, at: gc.segment_sum(x, at, 4), segments, {"x": ("N", 2), "at": ("N",)}, {"at": 4},
        ),
        "put": Case(
            lambda x, at, u: gc.put(x, at, u, axis=1), put, {**x, "at": (7,), "u": ("N", 7, 2)}, {"at": 7},
        ),
        "put in places of two axes": Case(
            lambda x, at, u: gc.put(x, at, u, axis=1), put, {**x, "at": (2, 2), "u": ("N", 2, 2, 2)}, {"at": 5},
        ),
        "dynamic_update_slice": Case(
            lambda x, u: gc.dynamic_update_slice(x, u, (0, gc.const(3), gc.const(7))),
            lambda x, u: updated(x, u, slice(2, 5), slice(1, 2)),
            {**x, "u": ("N", 3, 1)}, curved=True,
        ),
    }  # fmt: skip


PAIRS: dict[str, tuple[Callable[..., Any], Callable[..., Any], tuple[Any, ...], tuple[Any, ...]]] = {
    "matmul vector by stack": (gc.matmul, naive_matmul, (3,), ("N", 3, 2)),
    "matmul stack by vector": (gc.matmul, naive_matmul, (2, "N", 3), (3,)),
    "matmul stacks that broadcast": (gc.matmul, naive_matmul, (2, 1, "N", 3), (4, 3, 2)),
    "dot of stacks": (gc.dot, np.dot, (2, "N", 3), (2, 3, 4)),
    "dot by a vector": (gc.dot, np.dot, (2, "N", 3), (3,)),
    "dot with a scalar": (gc.dot, np.dot, (), ("N", 3)),
    "vdot": (gc.vdot, np.vdot, ("N", 3), ("N", 3)),
    "inner": (gc.inner, np.inner, ("N", 3), (4, 2, 3)),
    "inner of vectors": (gc.inner, np.inner, ("N",), ("N",)),
    "tensordot": (gc.tensordot, np.tensordot, ("N", 3, 4), (3, 4, 2)),
    "tensordot 0": (
        lambda a, b: gc.tensordot(a, b, 0), lambda a, b: np.tensordot(a, b, 0), ("N", 2), (2, 3),
    ),
    "tensordot axes": (
        lambda a, b: gc.tensordot(a, b, ((0, -1), (1, 0))),
        lambda a, b: np.tensordot(a, b, ((0, -1), (1, 0))), ("N", 2, 3), (3, "N"),
    ),
    "kron": (gc.kron, np.kron, ("N", 2), (3, 2)),
    "kron of vectors": (gc.kron, np.kron, (2, "N"), (3,)),
    "cross": (gc.cross, np.cross, ("N", 3), ("N", 3)),
    "cross broadcast": (
        lambda a, b: gc.cross(a, b, 1), lambda a, b: np.cross(a, b, 1, 1, 1), ("N", 3, 2), (1, 3, 2),
    ),
}  # fmt: skip

EINSUMS: dict[str, tuple[tuple[int | str, ...], ...]] = {
    "ij,jk": (("N", 3), (3, 4)),
    "ij->ji": (("N", 3),),
    "ji": (("N", 3),),
    "ij->j": (("N", 3),),
    "ij->": (("N", 3),),
    "ii": ((3, 3),),
    "ii->i": (("N", "N"),),
    "iji->j": ((3, "N", 3),),
    "iii->i": ((3, 3, 3),),
    "iij,jk->ik": ((2, 2, "N"), ("N", 3)),
    "i,j->ji": (("N",), (3,)),
    "ij,ij->ij": (("N", 3), ("N", 3)),
    "i,": (("N",), ()),
    "ij,kl->": (("N", 3), (2, 4)),
    "...ij,...jk->...ik": ((2, 1, "N", 3), (5, 3, 4)),
    "...ij,...j": (("N", 2, 3), ("N", 3)),
    "i...->...": (("N", 2, 3),),
    "...,...": (("N", 1), (3,)),
    "i...i->...i": ((2, "N", 2),),
    "ij,jk,kl->il": (("N", 3), (3, 4), (4, 2)),
    "ij,jk,k,i->": (("N", 3), (3, 4), (4,), ("N",)),
    "a,ab,abc->c": (("N",), ("N", 3), ("N", 3, 2)),
    "bhqd,bhkd->bhqk": (("N", 2, 3, 4), ("N", 2, 5, 4)),
    " b i , o i j , b j -> b o ": (("N", 2), (3, 2, 4), ("N", 4)),
}
"""Subscripts, and the shapes of their operands."""


def _products() -> Iterator[tuple[str, Case]]:
    for name, (function, numpy, a, b) in PAIRS.items():
        yield name, Case(function, numpy, {"a": a, "b": b}, curved="stack" not in name)
    for text, shapes in EINSUMS.items():
        yield (
            f"einsum {text}",
            Case(
                lambda *xs, s=text: gc.einsum(s, *xs),
                lambda *xs, s=text: np.einsum(s, *xs),
                {f"x{k}": shape for k, shape in enumerate(shapes)},
                curved=len(shapes) > 1,
            ),
        )
    yield (
        "bilinear",
        Case(
            gc.bilinear,
            lambda a, b, w, c: np.einsum("ni,oij,nj->no", a, w, b) + c,
            {"a": ("N", 2), "b": ("N", 3), "w": (4, 2, 3), "c": (4,)},
        ),
    )


CASES: dict[str, Case] = {**dict(_arranged()), **_indexed(), **dict(_products())}
"""Every case, by name."""
