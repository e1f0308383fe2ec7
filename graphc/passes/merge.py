"""Merging: what is the same is computed once.

Equal nodes are one node from the start (`graphc.ir.node`), so two things are left: `report` says what was
merged, and `merge` joins sums and products that differ in the order of their operands only.

>>> from graphc.ir.graph import Graph
>>> from graphc.ir.node import node
>>> from graphc.ir.types import TensorType
>>> from graphc.ops.elementwise import elementwise
>>> from graphc.ops.leaves import Input
>>> a, b = (node(Input(name, TensorType.of("f64"))) for name in "ab")
>>> f = elementwise("sub", elementwise("mul", a, b), elementwise("mul", b, a))
>>> log = Log()
>>> merged = merge(Graph("f", (a, b), (f,)), log)
>>> merged.outputs[0].src[0] is merged.outputs[0].src[1]
True
>>> print(log)
merge: commute: %0 mul → %1 mul   (x·y = y·x)
"""

from __future__ import annotations

from collections.abc import Iterable

from graphc.errors import Loc
from graphc.ir.graph import Graph, rebuild
from graphc.ir.node import Node, Op, node, origin
from graphc.ops.elementwise import Elementwise
from graphc.ops.views import Expand
from graphc.passes.log import Log
from graphc.passes.through_views import constant_value

_EQUATIONS = {"add": "x + y = y + x", "mul": "x·y = y·x"}


def merge(graph: Graph, log: Log) -> Graph:
    """a·b … b·a → a·b … a·b.  Floating-point sums and products commute, bit for bit.

    The first order that the graph has is kept, so that the text still reads as it was written.
    """
    first: dict[tuple[Op, frozenset[Node]], Node] = {}

    def commuted(old: Node, src: tuple[Node, ...]) -> Node:
        new = old
        if src != old.src:
            with origin("rewritten", of=(old,)):
                new = node(old.op, *src)
            log.rename(old, new)
        op = new.op
        if not isinstance(op, Elementwise) or not op.row.commutative or len(src) != 2:
            return new
        held = first.setdefault((op, frozenset(src)), new)
        if held is not new:
            with origin("rule:commute", of=(new,)):
                node(held.op, *held.src)  # the same node, which now also comes from here
            text = f"{log.name(new)} {new.op.label} → {log.name(held)} {held.op.label}"
            log.add(
                "merge", "commute", text, equation=_EQUATIONS.get(op.label, ""), before=(new,), after=(held,)
            )
        return held

    return rebuild(graph, commuted)[0]


def report(graph: Graph, log: Log) -> None:
    """Say which nodes the user wrote more than once: "merged: `a*b` at f.py:3 and f.py:7 are one node"."""
    groups: dict[tuple[Loc, ...], list[Node]] = {}
    for n in graph.nodes:
        if not n.src or (isinstance(n.op, Expand) and constant_value(n) is not None):
            continue
        written = {o.loc: None for o in n.origins if o.why == "written" and o.loc is not None}
        if len(written) > 1:
            places = tuple(sorted(written, key=lambda loc: (loc.file, loc.line, loc.column)))
            groups.setdefault(places, []).append(n)
    for places, nodes in groups.items():
        what = (
            "are one node"
            if len(nodes) == 1
            else f"share {len(nodes)} nodes ({', '.join(n.op.label for n in nodes)})"
        )
        log.add("merge", "merged", f"{_places(places)} {what}", before=tuple(nodes), after=tuple(nodes))


def _places(places: Iterable[Loc]) -> str:
    """`a*b` at f.py:3 and f.py:7: each expression once, with all its places."""
    texts: dict[str, list[str]] = {}
    for loc in places:
        texts.setdefault(loc.text or "an expression", []).append(str(loc))
    return " and ".join(f"`{text}` at {' and '.join(at)}" for text, at in texts.items())
