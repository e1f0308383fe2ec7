"""Level 4, axes: which axes of the nodes of a graph are walked together.

>>> import graphc as gc
>>> x, w = gc.input("x", (64, 20, 18, 18), "float32"), gc.input("w", (50, 20, 5, 5), "float32")
>>> y = gc.tanh(gc.conv2d(x, w))
>>> axes = Axes(Graph("f", (x.node, w.node), (y.node,)))
>>> axes.find((y.node, 0)) == axes.find((x.node, 0)), axes.find((y.node, 1)) == axes.find((w.node, 0))
(True, True)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from graphc.ir.dims import Index
from graphc.ir.graph import Graph
from graphc.ir.node import Node
from graphc.ops.conv import Conv
from graphc.ops.elementwise import Cast, Elementwise
from graphc.ops.pairs import Pairs
from graphc.ops.reduce import Reduce
from graphc.ops.views import Concat, Expand, Pad, Reshape, Slice, Transpose
from graphc.ops.window import Window, WindowPick, WindowScatter

Axis: TypeAlias = tuple[Node, int]


class Axes:
    """The axes of all nodes of a graph, in classes of those that an element of one moves along with the other's."""

    def __init__(self, graph: Graph) -> None:
        self.parent: dict[Axis, Axis] = {}
        self.known = [(n, k) for n in graph.nodes for k in range(n.type.rank)]
        for n in graph.nodes:
            for a, b in together(n):
                first, second = self.find(a), self.find(b)
                if first != second:
                    self.parent[second] = first

    def find(self, axis: Axis) -> Axis:
        """The representative of the class of an axis."""
        top = axis
        while top in self.parent:
            top = self.parent[top]
        while axis != top:
            self.parent[axis], axis = top, self.parent[axis]
        return top

    def classes(self) -> dict[Axis, list[Axis]]:
        """For each representative its class, in the order of the graph."""
        found: dict[Axis, list[Axis]] = {}
        for axis in self.known:
            found.setdefault(self.find(axis), []).append(axis)
        return found


def together(n: Node) -> Iterator[tuple[Axis, Axis]]:
    """Pairs of axes, of a node and its operands, that its loops walk together."""
    rank = range(n.type.rank)
    match n.op:
        case Elementwise() | Cast() | Pad() | Slice() | Concat() | Window() | WindowPick() | WindowScatter():
            yield from (((n, k), (s, k)) for s in n.src for k in rank if s.type.rank == n.type.rank)
        case Transpose(perm=perm):
            yield from (((n, k), (n.src[0], perm[k])) for k in rank)
        case Expand():
            lead = n.type.rank - n.src[0].type.rank
            for k, d in enumerate(n.src[0].type.shape):
                if d != 1:
                    yield (n, lead + k), (n.src[0], k)
        case Reshape():
            for i, j in matched(n.src[0].type.shape, n.type.shape):
                yield (n, j), (n.src[0], i)
        case Reduce(axes=axes):
            kept = (k for k in range(n.src[0].type.rank) if k not in axes)
            yield from (((n, k), (n.src[0], a)) for k, a in enumerate(kept))
        case Pairs():  # also the axis of the pairs: where neighbours lie side by side, so do their pairs
            yield from (((n, k), (n.src[0], k)) for k in rank)
        case Conv():
            x, w = n.src
            yield from (
                ((n, 0), (x, 0)),
                ((n, 1), (x, 1)),
                ((n, 1), (w, 0)),
                ((n, 2), (w, 1)),
                ((x, 2), (w, 2)),
            )
        case _:
            return


def origin(axis: Axis) -> Axis:
    """The axis that views show at the same index, of the node that they view."""
    while isinstance(axis[0].op, (Reshape, Transpose, Expand)):
        behind = next((b for a, b in together(axis[0]) if a == axis), None)
        if behind is None:
            break
        axis = behind
    return axis


def matched(before: Sequence[Index], after: Sequence[Index]) -> Iterator[tuple[int, int]]:
    """The axes that a reshape neither merges nor splits.

    >>> list(matched((64, 50, 7, 7), (64, 2450)))
    [(0, 0)]
    """
    left = [(k, d) for k, d in enumerate(before) if d != 1]
    right = [(k, d) for k, d in enumerate(after) if d != 1]
    while left and right:
        (i, a), (j, b) = left.pop(0), right.pop(0)
        whole = a == b
        while a != b:
            rest = left if isinstance(a, int) and isinstance(b, int) and a < b else right
            if not rest or not (isinstance(a, int) and isinstance(b, int) and isinstance(rest[0][1], int)):
                return
            if rest is left:
                a *= rest.pop(0)[1]
            else:
                b *= rest.pop(0)[1]
        if whole:
            yield i, j
