"""Named dimensions become numbers: the graph for one size, which knows more than the graph for all.

```
%0: f32[N,4] = input          %0: f32[64,4] = input
%1: f32[] = extent {N}   →    %1: f32[] = const {64}
%2: f32[N,4] = div %0 %1      %2: f32[64,4] = div %0 %1
```

>>> from graphc.lang.tensor import input
>>> x = input("x", ("N", 4))
>>> graph = specialised(Graph("f", (x.node,), ((x + x).node,)), {"N": 64})
>>> [str(n.type) for n in graph.nodes]
['f64[64,4]', 'f64[64,4]']
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, cast

from graphc.ir.block import Block, blocks_inside
from graphc.ir.dims import Dim, substitute
from graphc.ir.graph import Graph
from graphc.ir.node import Node, Op, node, origin, toposort
from graphc.ir.types import TensorType
from graphc.ops.leaves import Const, Extent


def specialised(graph: Graph, sizes: Mapping[str, int]) -> Graph:
    """The same graph with numbers in the place of some named dimensions."""
    change = _Change(sizes)
    for block in blocks_inside(graph.nodes):  # those inside others first
        inputs = tuple(change.type(t) for t in block.inputs)
        new = change.nodes(block.nodes)
        change.blocks[block] = Block(inputs, tuple(new[n] for n in block.outputs))
    new = change.nodes(graph.nodes)
    return Graph(
        graph.name,
        tuple(new[n] for n in graph.inputs),
        tuple(new[n] for n in graph.outputs),
        tuple((new[p], new[v]) for p, v in graph.updates),
        graph.output_names,
    )


class _Change:
    """Puts numbers into types and attributes."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self.sizes = sizes
        self.blocks: dict[Block, Block] = {}

    def nodes(self, nodes: Sequence[Node]) -> dict[Node, Node]:
        new: dict[Node, Node] = {}
        for n in toposort(nodes):
            op, src = self.op(n.op), tuple(new[s] for s in n.src)
            with origin("specialised", of=(n,)):
                new[n] = n if op is n.op and src == n.src else node(op, *src)
        return new

    def op(self, op: Op) -> Op:
        if isinstance(op, Extent):
            size = substitute(op.dim, self.sizes)
            if isinstance(size, int):
                return Const.of(size, op.dtype)
        if not is_dataclass(op):
            return op
        held = {f.name: getattr(op, f.name) for f in fields(op)}
        changed = {name: new for name, old in held.items() if (new := self.value(old)) is not old}
        return cast(Op, replace(cast(Any, op), **changed)) if changed else op

    def value(self, value: object) -> object:
        """An attribute; the same object where it speaks of none of the dimensions."""
        match value:
            case Dim():
                new: object = substitute(value, self.sizes)
            case TensorType():
                new = self.type(value)
            case Block():
                new = self.blocks[value]
            case tuple():
                new = tuple(self.value(v) for v in value)
            case _:
                return value
        return value if new == value else new

    def type(self, type: TensorType) -> TensorType:
        return type.with_shape(tuple(substitute(d, self.sizes) for d in type.shape))
