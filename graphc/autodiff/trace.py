"""Level 2, the trace: both passes of a graph, with the value of every node and every factor kept.

The teaching record (`graphc.show.backprop`) is written from it.

>>> from graphc.autodiff.point import point_at
>>> from graphc.lang.tensor import inputs
>>> x, y, z = inputs("x y z")
>>> f = (x + y) * z
>>> record = trace(f.node, [z.node], point_at([f.node], {x: -2.0, y: 5.0, z: -4.0}), {})
>>> [float(record.values[e.downstream]) for e in record.gradients.edges]
[3.0]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from graphc.autodiff.point import Point, leaves, title
from graphc.autodiff.reverse import GradEdge, Gradients, differentiate, downstream_of
from graphc.ir.evaluate import evaluate_nodes
from graphc.ir.node import Node, node, origin, toposort
from graphc.ir.types import Array
from graphc.lang.tensor import Tensor
from graphc.ops.leaves import Input, Param


@dataclass(frozen=True, slots=True)
class Map:
    """The local gradient of an edge as a map: `result` is downstream as a function of `upstream`."""

    upstream: Node
    result: Node


@dataclass(frozen=True)
class Trace:
    """Both passes of a graph with the value of every node: what the record is written from."""

    output: Node
    wrt: tuple[Node, ...]
    names: Mapping[Node, str]
    gradients: Gradients
    maps: Mapping[GradEdge, Map]
    values: Mapping[Node, Array]

    @cached_property
    def forward(self) -> list[Node]:
        """The nodes of the forward pass, operands first."""
        return toposort([self.output])


def trace(output: Node, wrt: Sequence[Node], point: Point, names: Mapping[Node, str]) -> Trace:
    """Run both passes at a point."""
    with origin("gradient", of=(output,)):
        gradients = differentiate(output, wrt, locals_too=True)
        maps = {}
        stand_ins: dict[Node, Node] = {}
        for e in gradients.edges:
            upstream = stand_ins.setdefault(e.node, node(Input("U", e.node.type)))
            result = downstream_of(e.node, e.operand, upstream)
            assert result is not None  # the pass made this very edge
            maps[e] = Map(upstream, result)
    edges = gradients.edges
    roots = [*toposort([output]), *gradients.totals.values(), *gradients.wrt, *(e.downstream for e in edges)]
    roots += [e.local for e in edges if e.local is not None]
    values = evaluate_nodes(toposort(roots), point.values, point.dims)
    return Trace(output, tuple(wrt), names, gradients, maps, values)


def default_targets(f: Tensor) -> list[Tensor]:
    """The inputs and trained parameters that a gradient is taken by where none are named."""
    found = [n for n in leaves([f.node]) if n.type.dtype.is_float]
    trained = [n for n in found if not isinstance(n.op, Param) or n.op.variable.trainable]
    return [Tensor(n, title(n)) for n in trained]


def names_of(f: Tensor, others: Sequence[Tensor] = ()) -> dict[Node, str]:
    """The names that tensors carry; and those that are read off the source come after them."""
    return {t.node: t.name for t in (*others, f) if t.name}
