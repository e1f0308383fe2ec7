"""Level 4, clusters: what a kernel computes, and how clusters depend on each other.

>>> from graphc.ir.node import node
>>> from graphc.ir.types import TensorType
>>> from graphc.ops.views import Transpose
>>> x = node(Input("x", TensorType.of("f32", (2, 3))))
>>> is_leaf(x), is_free(node(Transpose((1, 0)), x)), is_alias(node(Reshape((6,)), x))
(True, True, True)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from graphc.ir.block import Slot
from graphc.ir.graph import Graph
from graphc.ir.node import Node
from graphc.ops.contract import Contract
from graphc.ops.conv import Conv
from graphc.ops.gather import Gather, ScatterAdd
from graphc.ops.leaves import Const, Extent, Input, Iota, Param
from graphc.ops.rank import Rank
from graphc.ops.reduce import Arg, Reduce
from graphc.ops.views import Expand, Reshape, Slice, Transpose, is_unit
from graphc.ops.window import Window, WindowPick
from graphc.ops.winograd import WinogradOutput
from graphc.passes.rows import Rows

HEAVY = (Reduce, Arg, Rank, Contract, Conv, Window, WindowPick, WinogradOutput, Gather)
"""Operations with loops of their own."""

LARGEST_CLUSTER = 64
"""Nodes in a kernel: a code generator is quadratic in the size of a block."""


@dataclass(slots=True, eq=False)
class Cluster:
    """The nodes of one kernel, operands first; `roots` are stored, `inputs` are read from buffers."""

    roots: list[Node]
    nodes: list[Node] = field(default_factory=list)
    inputs: list[Node] = field(default_factory=list)
    bodies: tuple[Body, ...] = ()  # of a loop or a branch: the clusters of each of its blocks
    rows: Rows | None = None  # of several reductions over the same rows: the loops that they share

    @property
    def heavy(self) -> Node | None:
        """The one node with loops of its own, where there is one."""
        return next((n for n in self.nodes if isinstance(n.op, HEAVY) and not isinstance(n.op, Gather)), None)

    def text(self) -> str:
        """The operations in order: `contract+expand+add+relu`."""
        return "+".join(n.op.label for n in self.nodes)


@dataclass(frozen=True, slots=True)
class Body:
    """A block of an operation with blocks, as a graph over its slots, and the clusters that cover it."""

    graph: Graph
    clusters: tuple[Cluster, ...]


def is_leaf(n: Node) -> bool:
    """A buffer that exists before the program runs, or before the block that n is a slot of."""
    return isinstance(n.op, (Input, Param, Slot)) or (isinstance(n.op, Const) and n.type.rank > 0)


def is_free(n: Node) -> bool:
    """Costs nothing to compute wherever it is used."""
    if isinstance(n.op, Reshape):
        return is_unit(n)
    return isinstance(n.op, (Iota, Extent, Expand, Transpose, Slice, Const))


def is_alias(n: Node) -> bool:
    """Another name for the buffer of its operand."""
    return isinstance(n.op, Reshape) and not is_unit(n)


def scatters(n: Node) -> bool:
    """Whether a kernel writes the elements of a node in an order that data say."""
    return n.op.scatters and not is_one_hot(n)


def is_one_hot(n: Node) -> bool:
    """A scatter with one update for each row: every element is the update, or zero."""
    return isinstance(n.op, ScatterAdd) and n.op.is_one_hot(n)


def storage(n: Node) -> Node:
    """The node whose buffer holds n: itself, or what a chain of reshapes renames."""
    while is_alias(n):
        n = n.src[0]
    return n


def in_order(graph: Graph, nodes: Iterable[Node]) -> list[Node]:
    """Each node once, operands first."""
    return sorted(dict.fromkeys(nodes), key=graph.numbers.__getitem__)
