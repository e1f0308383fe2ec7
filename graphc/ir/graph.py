"""A graph: what goes in, what comes out, which parameters are replaced.

The nodes between are found from the outputs; `Graph` gives them order, names and checks.

>>> from graphc.ir.node import node
>>> from graphc.ir.types import TensorType
>>> from graphc.ops.elementwise import elementwise
>>> from graphc.ops.leaves import Input
>>> x = node(Input("x", TensorType.of("f64")))
>>> print(graph_text(Graph("square", (x,), (elementwise("mul", x, x),))))
graph square
  %0: f64[] = input {name='x'}
  %1: f64[] = mul %0 %0
  return %1
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from graphc.ir.dims import Dim
from graphc.ir.node import Node, Op, locations, toposort


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

    def with_roots(self, replaced: Mapping[Node, Node]) -> Graph:
        """The graph whose roots are replaced; all else follows from them."""
        return Graph(
            self.name,
            self.inputs,
            tuple(replaced.get(n, n) for n in self.outputs),
            tuple((p, replaced.get(v, v)) for p, v in self.updates),
            self.output_names,
        )


def attribute_text(op: Op) -> str:
    """Static attributes as `{axes=(1,), kind='sum'}`; dimensions that are no integers as strings."""

    def plain(value: object) -> object:
        if isinstance(value, Dim):
            return str(value)
        if isinstance(value, tuple):
            return tuple(plain(v) for v in value)
        return getattr(value, "value", value) if hasattr(type(value), "__members__") else value

    found = op.attributes()
    return " {" + ", ".join(f"{k}={plain(v)!r}" for k, v in found.items()) + "}" if found else ""


def node_text(n: Node, number: Callable[[Node], str]) -> str:
    """One line: `%3: f32[N] = sum %2 {kind='sum', axes=(1,)}`."""
    operands = "".join(f" {number(s)}" for s in n.src)
    return f"{number(n)}: {n.type} = {n.op.label}{operands}{attribute_text(n.op)}"


def graph_text(graph: Graph, *, sources: bool = False) -> str:
    """The text form, one node a line; with `sources`, each line says where it was written."""
    lines = [f"graph {graph.name}"]

    def number(n: Node) -> str:
        return f"%{graph.numbers[n]}"

    rows = [(node_text(n, number), n) for n in graph.nodes]
    width = min(72, max((len(text) for text, _ in rows), default=0))
    for text, n in rows:
        where = locations(n) if sources else ()
        comment = f"  # {where[0]}  {where[0].text}" + (f"  (+{len(where) - 1})" if len(where) > 1 else "") if where else ""
        lines.append(f"  {text:<{width}}{comment}" if comment else f"  {text}")
    lines.extend(f"  update {number(p)} <- {number(v)}" for p, v in graph.updates)
    lines.append("  return" + ",".join(f" {number(o)}" for o in graph.outputs))
    return "\n".join(lines)


def rebuild(graph: Graph, replace: Callable[[Node, tuple[Node, ...]], Node]) -> tuple[Graph, dict[Node, Node]]:
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
