"""Elements around a tensor: constants, or its own elements again.

| `mode`        | what is around `a b c d`, three on each side |
|---------------|----------------------------------------------|
| `"constant"`  | `0 0 0` a b c d `0 0 0` |
| `"reflect"`   | `d c b` a b c d `c b a`   the edge once |
| `"symmetric"` | `c b a` a b c d `d c b`   the edge twice |
| `"edge"`      | `a a a` a b c d `d d d` |
| `"wrap"`      | `b c d` a b c d `a b c` |

The names are those of `numpy.pad`; what is wider than the tensor goes on in the same way.

>>> from graphc.lang.tensor import input
>>> pad(input("x", ("N", 4)), ((0, 0), (1, 2)), mode="reflect").shape
(N, 7)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from graphc.errors import ArgumentError, ShapeError
from graphc.ir.node import node
from graphc.ir.types import DType
from graphc.lang.apply import apply, size_as
from graphc.lang.indexing import take
from graphc.lang.shapes import pad_node
from graphc.lang.source import operation
from graphc.lang.tensor import Tensor, TensorLike, as_tensor
from graphc.ops.leaves import Iota

__all__ = ["pad"]

Width = int | Sequence[int | Sequence[int]]


@operation
def pad(x: TensorLike, pad_width: Width, constant_values: float = 0.0, *, mode: str = "constant") -> Tensor:
    """Elements around: as many as one number says, or (before, after), or one such pair for each axis.

    What they are says `mode`: see the table of `graphc.lang.padding`; only "constant" uses `constant_values`.
    Raises ShapeError for a negative amount, or where an empty axis should be repeated.
    """
    t = as_tensor(x)
    pairs = pad_pairs(pad_width, t.ndim)
    if mode == "constant":
        return Tensor(pad_node(t.node, pairs, constant_values))
    if mode not in PLACES:
        raise ArgumentError(f"unknown mode {mode!r} of pad", fix=f"use one of constant, {', '.join(PLACES)}")
    for axis, (before, after) in enumerate(pairs):
        if before == after == 0:
            continue
        size = t.shape[axis]
        if size == 0 or min(before, after) < 0:
            why = "an empty axis has no elements to repeat" if size == 0 else "an amount is negative"
            raise ShapeError(f"cannot pad {t.node.type} by {(before, after)} along axis {axis}", why=why)
        place = Tensor(node(Iota((before + size + after,), 0, DType.I64)))
        t = take(t, PLACES[mode](apply("sub", place, before), size_as(size, DType.I64)), axis)
    return t


def _reflect(i: Tensor, n: Tensor) -> Tensor:
    last = apply("sub", n, 1)
    return apply("sub", last, apply("abs", apply("sub", apply("mod", i, apply("mul", last, 2)), last)))


def _symmetric(i: Tensor, n: Tensor) -> Tensor:
    within = apply("mod", i, apply("mul", n, 2))
    return apply("minimum", within, apply("sub", apply("sub", apply("mul", n, 2), 1), within))


def _edge(i: Tensor, n: Tensor) -> Tensor:
    return apply("minimum", apply("maximum", i, 0), apply("sub", n, 1))


def _wrap(i: Tensor, n: Tensor) -> Tensor:
    return apply("mod", i, n)


PLACES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "reflect": _reflect,
    "symmetric": _symmetric,
    "edge": _edge,
    "wrap": _wrap,
}
"""The place in 0 … n−1 that stands for a place i, which may lie outside."""


def pad_pairs(width: int | Sequence[int | Sequence[int]], rank: int) -> list[tuple[int, int]]:
    """NumPy's forms of a padding as one (before, after) for each axis."""
    if isinstance(width, int):
        return [(width, width)] * rank
    items = list(width)
    if len(items) == 2 and all(isinstance(v, int) for v in items) and rank != 2:
        return [(items[0], items[1])] * rank  # type: ignore[list-item]
    pairs = [(v, v) if isinstance(v, int) else (v[0], v[1]) for v in items]
    if len(pairs) == 1:
        pairs *= rank
    if len(pairs) != rank:
        raise ShapeError(f"a padding of {len(pairs)} axes does not fit a tensor of {rank}")
    return pairs
