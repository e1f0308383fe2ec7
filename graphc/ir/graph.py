"""A graph: what goes in, what comes out, which parameters are replaced.

The nodes between are found from the outputs; `Graph` orders and numbers them, `graphc.ir.text` prints them.

>>> from graphc.ir.node import node
>>> from graphc.ir.types import TensorType
>>> from graphc.ops.elementwise import elementwise
>>> from graphc.ops.leaves import Input
>>> x = node(Input("x", TensorType.of("f64")))
>>> square = Graph("square", (x,), (elementwise("mul", x, x),))
>>> [f"%{square.numbers[n]} {n.op.label}" for n in square.nodes]
['%0 input', '%1 mul']
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from graphc.ir.node import Node, toposort

if TYPE_CHECKING:
    import networkx


@dataclass(frozen=True)
class Graph:
    """Inputs, outputs, and pairs (parameter, new value)."""

    name: str
    inputs: tuple[Node, ...]
    outputs: tuple[Node, ...]
    updates: tuple[tuple[Node, Node], ...] = ()
    output_names: tuple[str, ...] = field(default=(), compare=False)

    @property
    def roots(self) -> tuple[Node, ...]:
        """All that must be computed: outputs, then new values."""
        return (*self.outputs, *(value for _, value in self.updates))

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """Every node, operands first; inputs come first, in the caller's order."""
        return tuple(toposort((*self.inputs, *(p for p, _ in self.updates), *self.roots)))

    @cached_property
    def numbers(self) -> Mapping[Node, int]:
        """The number that the text form gives each node: `%3`."""
        return {n: k for k, n in enumerate(self.nodes)}

    @cached_property
    def users(self) -> Mapping[Node, tuple[Node, ...]]:
        """Who reads each node, once for each operand."""
        found: dict[Node, list[Node]] = {n: [] for n in self.nodes}
        for n in self.nodes:
            for s in n.src:
                found[s].append(n)
        return {n: tuple(u) for n, u in found.items()}

    def to_networkx(self) -> networkx.MultiDiGraph:
        """The graph for networkx: nodes are `Node`s with `label`, `type` and `number`, edges carry `operand`.

        >>> from graphc.lang.tensor import input
        >>> x = input("x")
        >>> g = Graph("f", (x.node,), ((x * x).node,)).to_networkx()
        >>> [(a.op.label, b.op.label, k) for a, b, k in g.edges(data="operand")]
        [('input', 'mul', 0), ('input', 'mul', 1)]
        """
        import networkx

        found = networkx.MultiDiGraph(name=self.name)
        for n in self.nodes:
            found.add_node(n, label=n.op.label, type=str(n.type), number=self.numbers[n])
            for k, s in enumerate(n.src):
                found.add_edge(s, n, operand=k)
        return found

    def with_roots(self, replaced: Mapping[Node, Node]) -> Graph:
        """The graph whose roots are replaced; all else follows from them."""
        return Graph(
            self.name,
            self.inputs,
            tuple(replaced.get(n, n) for n in self.outputs),
            tuple((p, replaced.get(v, v)) for p, v in self.updates),
            self.output_names,
        )


def rebuild(
    graph: Graph, replace: Callable[[Node, tuple[Node, ...]], Node]
) -> tuple[Graph, dict[Node, Node]]:
    """Walk operands first and let `replace(old, new operands)` say what each node becomes.

    >>> from graphc.ir.node import node
    >>> from graphc.ir.types import TensorType
    >>> from graphc.ops.leaves import Input
    >>> x = node(Input("x", TensorType.of("f64")))
    >>> rebuild(Graph("g", (x,), (x,)), lambda old, src: node(old.op, *src))[0].outputs == (x,)
    True
    """
    new: dict[Node, Node] = {}
    for n in graph.nodes:
        new[n] = replace(n, tuple(new[s] for s in n.src))
    return graph.with_roots(new), new
