"""Functions of shapes and axes, and of tensors side by side.

>>> from graphc.lang.tensor import input
>>> X = input("X", shape=("N", 28, 28))
>>> reshape(X, ("N", -1)).shape, moveaxis(X, -1, 0).shape
((N, 784), (28, N, 28))
"""

from __future__ import annotations

from collections.abc import Sequence

from graphc.errors import ArgumentError, ShapeError
from graphc.ir.dims import Dim, Index, exact_quotient, product
from graphc.ir.node import Node, node
from graphc.ir.types import shape_of
from graphc.lang.apply import common, named
from graphc.lang.reductions import Axis, axes_of
from graphc.lang.source import operation
from graphc.lang.tensor import ShapeLike, Tensor, TensorLike, as_tensor
from graphc.ops.views import Concat, Pad, Reshape, Transpose

__all__ = [
    "atleast_1d",
    "atleast_2d",
    "concatenate",
    "expand_dims",
    "moveaxis",
    "ravel",
    "reshape",
    "squeeze",
    "stack",
    "swapaxes",
    "transpose",
]


@operation
def reshape(x: TensorLike, shape: ShapeLike) -> Tensor:
    """The same elements in another shape; one dimension may be -1, which takes what is left."""
    t = as_tensor(x)
    wanted: list[int | str | Dim] = [shape] if isinstance(shape, (int, str)) else list(shape)
    if wanted.count(-1) > 1:
        raise ShapeError("only one dimension of a reshape can be -1")
    if -1 in wanted:
        rest = product(shape_of([d for d in wanted if d != -1]))
        wanted[wanted.index(-1)] = _quotient(t, rest)
    target = shape_of(wanted)
    return t if target == t.shape else Tensor(node(Reshape(target), t.node), t.name, t.loc)


def _quotient(t: Tensor, rest: Index) -> Index:
    """The dimension that is left, elements / rest, where that divides: [N,3,H,W] over N·H·W leaves 3."""
    total = t.node.type.elements
    found = exact_quotient(total, rest)
    if found is None:
        raise ShapeError(f"cannot reshape {t.node.type}", why=f"{rest} does not divide {total}")
    return found


@operation
def transpose(x: TensorLike, axes: Sequence[int] | None = None) -> Tensor:
    """The axes in another order; reversed by default."""
    t = as_tensor(x)
    if axes is None:
        perm = tuple(reversed(range(t.ndim)))
    else:
        perm = tuple(a % t.ndim if -t.ndim <= a < t.ndim else a for a in axes)
    return t if perm == tuple(range(t.ndim)) else Tensor(node(Transpose(perm), t.node))


@operation
def expand_dims(x: TensorLike, axis: int) -> Tensor:
    """A new axis of length 1 at a position of the result."""
    t = as_tensor(x)
    if not -t.ndim - 1 <= axis <= t.ndim:
        raise ShapeError(f"axis {axis} is out of bounds for {named(t)} with one more axis")
    k = axis % (t.ndim + 1)
    return Tensor(node(Reshape((*t.shape[:k], 1, *t.shape[k:])), t.node))


@operation
def squeeze(x: TensorLike, axis: Axis = None) -> Tensor:
    """Without axes of length 1 (all of them by default)."""
    t = as_tensor(x)
    axes = axes_of(t, axis) if axis is not None else tuple(k for k, d in enumerate(t.shape) if d == 1)
    if any(t.shape[a] != 1 for a in axes):
        raise ShapeError(f"cannot squeeze {named(t)} along {axes}", why="only axes of length 1 can go")
    return Tensor(node(Reshape(tuple(d for k, d in enumerate(t.shape) if k not in axes)), t.node))


@operation
def concatenate(tensors: Sequence[TensorLike], axis: int = 0) -> Tensor:
    """Tensors one after the other along an axis."""
    if not tensors:
        raise ArgumentError("concatenate needs at least one tensor")
    ts = common(*tensors)
    (k,) = axes_of(ts[0], axis)
    return ts[0] if len(ts) == 1 else Tensor(node(Concat(k), *(t.node for t in ts)))


@operation
def stack(tensors: Sequence[TensorLike], axis: int = 0) -> Tensor:
    """Tensors side by side along a new axis."""
    return concatenate([expand_dims(t, axis) for t in tensors], axis)


def pad_node(n: Node, pairs: Sequence[tuple[Index, Index]], value: float = 0.0) -> Node:
    """A `pad` node, or the operand itself where there is nothing to add."""
    if all(p == (0, 0) for p in pairs):
        return n
    lo, hi = tuple(p[0] for p in pairs), tuple(p[1] for p in pairs)
    return node(Pad(lo, hi, (0,) * len(pairs), float(value)), n)


@operation
def swapaxes(x: TensorLike, axis1: int, axis2: int) -> Tensor:
    """Two axes in each other's place."""
    t = as_tensor(x)
    a, b = axis_of(t, axis1), axis_of(t, axis2)
    order = list(range(t.ndim))
    order[a], order[b] = b, a
    return transpose(t, order)


@operation
def moveaxis(x: TensorLike, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """Axes at other positions; the rest keeps its order."""
    t = as_tensor(x)
    found = [(v,) if isinstance(v, int) else tuple(v) for v in (source, destination)]
    places = [[axis_of(t, a) for a in axes] for axes in found]
    if len(places[0]) != len(places[1]) or any(len(set(p)) != len(p) for p in places):
        raise ArgumentError(
            f"cannot move the axes {source} to {destination}", why="each axis needs one place of its own"
        )
    order = [a for a in range(t.ndim) if a not in places[0]]
    for to, a in sorted(zip(places[1], places[0], strict=True)):
        order.insert(to, a)
    return transpose(t, order)


def axis_of(t: Tensor, axis: int) -> int:
    """An axis as a non-negative number."""
    return axes_of(t, axis)[0]


@operation
def ravel(x: TensorLike) -> Tensor:
    """All elements in row-major order, as a vector."""
    return reshape(x, -1)


@operation
def atleast_1d(x: TensorLike) -> Tensor:
    """A scalar as a vector of one element; anything else as it is."""
    t = as_tensor(x)
    return t if t.ndim else reshape(t, (1,))


@operation
def atleast_2d(x: TensorLike) -> Tensor:
    """A scalar or vector as a matrix of one row; anything else as it is."""
    t = as_tensor(x)
    return t if t.ndim > 1 else reshape(t, (1, *t.shape) if t.ndim else (1, 1))
