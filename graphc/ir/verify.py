"""Named checks of a graph; `verify_graph` runs them all.  A pass that breaks one of them is wrong.

| check | what it says |
|------------------|-----------------------------------------------------------------|
| `check_types`    | every type follows from the operation and the operands' types |
| `check_leaves`   | leaves have no operands; every input that is read is declared |
| `check_updates`  | what is updated is a parameter, once, by a value of its type |
| `check_blocks`   | a block is closed: its leaves are its own slots and constants; and so are the blocks inside |
"""

from __future__ import annotations

from graphc.errors import GraphError
from graphc.ir.block import Slot, blocks_inside
from graphc.ir.graph import Graph


def check_types(graph: Graph) -> None:
    for n in graph.nodes:
        inferred = n.op.infer(*(s.type for s in n.src))
        if inferred != n.type:
            raise GraphError(
                f"%{graph.numbers[n]} is {n.type}", why=f"{n.op.label} of its operands is {inferred}"
            )


def check_leaves(graph: Graph) -> None:
    declared = set(graph.inputs)
    for n in graph.nodes:
        if n.op.name == "input" and n not in declared:
            raise GraphError(f"%{graph.numbers[n]} is an input that the graph {graph.name} does not declare")
    if len(declared) != len(graph.inputs):
        raise GraphError(f"the graph {graph.name} declares an input twice")


def check_updates(graph: Graph) -> None:
    seen = set()
    for target, value in graph.updates:
        if target.op.name != "param":
            raise GraphError(
                f"only parameters can be updated, and %{graph.numbers[target]} is {target.op.label}"
            )
        if target in seen:
            raise GraphError(f"the parameter %{graph.numbers[target]} is updated twice")
        if target.type != value.type:
            raise GraphError(
                f"cannot update a parameter of type {target.type} by a value of type {value.type}"
            )
        seen.add(target)


def check_blocks(graph: Graph) -> None:
    for block in blocks_inside(graph.nodes):
        for n in block.nodes:
            if n.op.name in ("input", "param") or (isinstance(n.op, Slot) and n not in block.slots):
                raise GraphError(
                    f"a block of the graph {graph.name} reads {n.op.label} {n.type} from outside"
                )
        check_types(Graph("block", block.slots, block.outputs))


def verify_graph(graph: Graph) -> None:
    """Run every check; raises GraphError."""
    check_types(graph)
    check_leaves(graph)
    check_updates(graph)
    check_blocks(graph)
