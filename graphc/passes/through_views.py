"""Level 3: what lies behind a chain of views.

Broadcasts are nodes of their own, so the 1 of `x + 1` is `expand(const)`, and a sum over each row that is
subtracted from the row is `expand(reshape(sum))`.  Rules look through them, at most `DEPTH` views deep: so a
long chain of views costs no more than its length.

>>> from graphc.ir.types import TensorType
>>> from graphc.ops.elementwise import constant_like
>>> from graphc.ops.leaves import Input
>>> from graphc.ops.reduce import Reduce
>>> u = node(Input("u", TensorType.of("f64", ("N", 10))))
>>> uniform_value(constant_like(1.0, u))
1.0
>>> s = node(Reduce("sum", (1,)), u)
>>> spread(s, (1,), u).type == u.type
True
"""

from __future__ import annotations

import numpy as np

from graphc.ir.node import Node, Op, node
from graphc.ir.types import Array
from graphc.ops.leaves import Const
from graphc.ops.views import Expand, Reshape, Slice, Transpose

DEPTH = 16
"""The most views that a rule looks through."""

CONSTANT_VIEWS = (Expand, Reshape, Transpose, Slice)
"""The views behind which a constant is still seen as one."""

_LARGEST_UNIFORM = 4096  # arrays with more elements are not searched for being one number


def strip(n: Node, views: tuple[type[Op], ...]) -> tuple[tuple[Node, ...], Node]:
    """The chain of views above a node, outermost first, and that node."""
    chain: list[Node] = []
    while isinstance(n.op, views) and len(chain) < DEPTH:
        chain.append(n)
        n = n.src[0]
    return tuple(chain), n


def constant_value(n: Node) -> Array | None:
    """The array of a constant, seen through views; None where the node is none."""
    base = strip(n, CONSTANT_VIEWS)[1].op
    return base.value if isinstance(base, Const) else None


def uniform_value(n: Node) -> float | int | bool | None:
    """The number that all elements of a constant are equal to; None where there is none."""
    value = constant_value(n)
    if value is None or not 0 < value.size <= _LARGEST_UNIFORM:
        return None
    first: float | int | bool = value.reshape(-1)[0].item()
    return first if value.size == 1 or bool(np.all(value == first)) else None


def is_spread(chain: tuple[Node, ...], base: Node, axes: tuple[int, ...]) -> bool:
    """Whether the views put each axis of a reduced node back where the reduction took it from.

    Each view is followed as a map from its axes to those of `base`; axes of length 1 carry no index.
    """
    nowhere: list[int | None] = [None]
    places: list[int | None] = [None if d == 1 else k for k, d in enumerate(base.type.shape)]
    for view in reversed(chain):
        shape = view.type.shape
        if isinstance(view.op, Expand):
            places = nowhere * (len(shape) - len(places)) + places
        else:
            before, kept = view.src[0].type.shape, [d for d in shape if d != 1]
            if [d for d in before if d != 1] != kept:
                return False
            used = iter([p for p, d in zip(places, before, strict=True) if d != 1])
            places = [None if d == 1 else next(used) for d in shape]
    back = iter(range(base.type.rank))
    wanted = [None if k in axes else next(back) for k in range(len(places))]
    return places == [None if k is None or base.type.shape[k] == 1 else k for k in wanted]


def spread(reduced: Node, axes: tuple[int, ...], like: Node) -> Node:
    """A reduced node, broadcast back to the shape that the reduction was taken of: [N] → [N,1] → [N,10]."""
    shape = like.type.shape
    kept = tuple(1 if k in axes else d for k, d in enumerate(shape))
    if reduced.type.shape != kept and reduced.type.rank:
        reduced = node(Reshape(kept), reduced)
    return reduced if reduced.type.shape == shape else node(Expand(shape), reduced)


def review(top: Node, bottom: Node, base: Node) -> Node:
    """The chain of views from `bottom` to `top`, over another node of the type of `bottom`."""
    chain = []
    while top is not bottom:
        chain.append(top)
        top = top.src[0]
    for view in reversed(chain):
        base = node(view.op, base, *view.src[1:])
    return base
