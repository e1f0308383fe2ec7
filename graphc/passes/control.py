"""Level 3: passes inside the blocks of loops and branches, and the pass `control` over loops and branches themselves.

| what `control` does                                    | before → after                                          |
|--------------------------------------------------------|---------------------------------------------------------|
| merge loops over the same operands with the same carries | scan(f → c, y), scan(f → c, z) → scan(f → c, y, z)    |
| drop what no one needs: carries, results, operands     | scan(…) → scan of what the wanted results read          |
| a carry that never changes is shared by all steps      | c ← c → c from outside                                  |
| constants move inside, where the algebra sees them     | scan(…, zeros) → scan with zeros in its block           |
| what is the same in every step is computed once        | scan(… exp(w) …) → scan(…) with exp(w) from outside     |
| a branch whose condition is a constant                 | cond(True, f, g) → f                                    |

The gradient of a loop runs it again, with more results: after merging it runs once.

>>> import graphc as gc
>>> from graphc.passes.pipeline import optimize
>>> w, xs = gc.input("w"), gc.input("xs", ("T",))
>>> last, _ = gc.scan(lambda c, x: (gc.tanh(w * c + x), None), 0.0, xs)
>>> roots = last.node, gc.grad(last, w).node
>>> count = lambda g: len({family(n) for n in g.nodes if isinstance(n.op, BlockOp)})
>>> before = Graph("f", (w.node, xs.node), roots)
>>> count(before), count(optimize(before)[0])
(3, 2)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from graphc.ir.block import Block, BlockOp, Family, Slot, family, substitute
from graphc.ir.graph import Graph, rebuild
from graphc.ir.node import Node, Op, node, origin, toposort
from graphc.ops.control import Cond, Scan, While
from graphc.ops.elementwise import constant_like
from graphc.ops.leaves import Const, Extent, Iota
from graphc.ops.views import Expand, Reshape, Slice, Transpose
from graphc.passes.log import Log
from graphc.passes.through_views import constant_value, uniform_value


def inside_blocks(graph: Graph, change: Callable[[Graph], Graph], log: Log) -> Graph:
    """The graph with every block changed: a pass, applied to the bodies of loops and branches."""
    if not any(isinstance(n.op, BlockOp) for n in graph.nodes):
        return graph
    known: dict[Block, Block] = {}

    def changed(block: Block) -> Block:
        if block not in known:
            after = change(Graph("block", block.slots, block.outputs))
            known[block] = Block(block.inputs, after.outputs)
        return known[block]

    def rebuilt(old: Node, src: tuple[Node, ...]) -> Node:
        op = old.op.with_blocks(changed) if isinstance(old.op, BlockOp) else old.op
        return _again(old, op, src, log)

    return rebuild(graph, rebuilt)[0]


def _again(old: Node, op: Op, src: tuple[Node, ...], log: Log) -> Node:
    """The same computation by another operation, or over other operands; it keeps its name."""
    if op is old.op and src == old.src:
        return old
    with origin("rewritten", of=(old,)):
        new = node(op, *src)
    if new is not old:
        log.rename(old, new)
    return new


def control(graph: Graph, log: Log) -> Graph:
    """One walk that applies the table of this module to every loop and branch of the graph."""
    groups = _groups(graph)
    if not groups:
        return graph
    done: dict[Family, dict[int, Node]] = {}

    def rebuilt(old: Node, src: tuple[Node, ...]) -> Node:
        if not isinstance(old.op, BlockOp):
            return _again(old, old.op, src, log)
        key = family(old)
        group = groups[key]
        if group.key not in done:
            with origin("rewritten", of=tuple(group.nodes)):
                done[group.key] = _simplified(group.op, src, group.wanted)
            _record(group, src, done[group.key], log)
        new = done[group.key][group.positions[key][old.op.result]]
        if isinstance(new.op, BlockOp):
            log.rename(old, new)
        return new

    return rebuild(graph, rebuilt)[0]


# ---- loops that are one ------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Group:
    """Families that one loop can compute: the operation that does, and where it has each result of each."""

    key: Family
    op: BlockOp
    nodes: list[Node] = field(default_factory=list)
    positions: dict[Family, dict[int, int]] = field(default_factory=dict)

    @property
    def wanted(self) -> tuple[int, ...]:
        found = {self.positions[family(n)][n.op.result] for n in self.nodes if isinstance(n.op, BlockOp)}
        return tuple(sorted(found))


def _groups(graph: Graph) -> dict[Family, _Group]:
    """The group of each family; scans over the same operands that carry the same are one."""
    found: dict[Family, _Group] = {}
    alike: dict[object, _Group] = {}
    for n in graph.nodes:
        if not isinstance(n.op, BlockOp):
            continue
        key = family(n)
        if key not in found:
            op = key[0]
            same: object = key
            if isinstance(op, Scan):
                carried = Block(op.body.inputs, op.body.outputs[: op.carries])
                same = replace(op, body=carried, checkpoint=False), n.src
            group = alike.setdefault(same, _Group(key, op))
            found[key] = group
            group.positions[key] = _joined(group, op)
        found[key].nodes.append(n)
    return found


def _joined(group: _Group, op: BlockOp) -> dict[int, int]:
    """Add the results of an operation to its group: where each of them is."""
    if not isinstance(op, Scan) or not isinstance(group.op, Scan) or op is group.op:
        return {k: k for k in range(sum(len(b.outputs) for b in op.blocks))}
    outputs = list(group.op.body.outputs)
    places = {k: k for k in range(op.carries)}
    for k, n in enumerate(op.body.outputs[op.carries :], op.carries):
        if n not in outputs[op.carries :]:
            outputs.append(n)
        places[k] = outputs.index(n, op.carries)
    group.op = replace(group.op, body=Block(group.op.body.inputs, tuple(outputs)))
    return places


def _record(group: _Group, src: Sequence[Node], results: Mapping[int, Node], log: Log) -> None:
    if len(group.positions) > 1:
        names = " and ".join(log.name(n) for n in group.nodes)
        log.add("control", "merge-loops", f"{names} are one loop", before=tuple(group.nodes))
    after = [n for n in results.values() if isinstance(n.op, BlockOp)]
    if not after or after[0].src != tuple(src) or after[0].op.label != group.op.label:
        count = len(after[0].src) if after else 0
        first = group.nodes[0]
        text = f"{log.name(first)} {group.op.label}: {len(src)} operands → {count}"
        log.add("control", "simplify", text, before=tuple(group.nodes), after=tuple(results.values()))


# ---- one loop or branch ------------------------------------------------------------------------------------


def _simplified(op: BlockOp, src: tuple[Node, ...], wanted: Sequence[int]) -> dict[int, Node]:
    """The wanted results of an operation, by one that does no more than they need."""
    match op:
        case Scan():
            return _simplified_scan(op, src, wanted)
        case While():
            return _simplified_while(op, src, wanted)
        case Cond():
            return _simplified_cond(op, src, wanted)
    return {k: node(op.with_result(k), *src) for k in wanted}


def _reads(outputs: Sequence[Node]) -> set[Node]:
    return {n for n in toposort(outputs) if isinstance(n.op, Slot)}


def _constant_inside(s: Node, value: Node, element: bool) -> Node | None:
    """What a slot is in every step, where its operand is a constant; None where it is none."""
    if constant_value(value) is None:
        return None
    uniform = uniform_value(value) if element else None
    return value if not element else None if uniform is None else constant_like(uniform, s)


def _settled(
    outputs: Sequence[Node], slots: Sequence[Node], values: Sequence[Node], elements: Sequence[Node]
) -> tuple[Node, ...]:
    """Outputs with constants in place of slots, and one slot for operands that are the same."""
    known: dict[Node, Node] = {}
    first: dict[tuple[Node, bool], Node] = {}
    for s, v in zip(slots, values, strict=True):
        constant = _constant_inside(s, v, s in elements)
        held = first.setdefault((v, s in elements), s)
        if constant is not None:
            known[s] = constant
        elif held is not s:
            known[s] = held
    return substitute(outputs, known)


def _live(outputs: Sequence[Node], carried: Sequence[Node], wanted: Sequence[int]) -> list[int]:
    """The outputs that the wanted ones need: the carries that they read, and those that these read."""
    live = set(wanted)
    while True:
        read = _reads([outputs[k] for k in sorted(live)])
        more = {k for k, s in enumerate(carried) if s in read} - live
        if not more:
            return sorted(live)
        live |= more


def _invariant(outputs: Sequence[Node], shared: Sequence[Node]) -> list[Node]:
    """What is computed from the shared slots alone, as large as possible, and is worth to be computed once."""
    fixed = set(shared)
    free: set[Node] = set()
    found: dict[Node, None] = {}
    for n in toposort(outputs):
        if isinstance(n.op, (Const, Extent, Iota)):
            fixed.add(n)
            free.add(n)
        elif n.src and all(s in fixed for s in n.src):
            fixed.add(n)
            if isinstance(n.op, (Expand, Reshape, Slice, Transpose)) and (
                n.src[0] in free or n.src[0] in shared
            ):
                free.add(n)
        else:
            found.update((s, None) for s in n.src if s in fixed and s not in free and s not in shared)
    found.update((n, None) for n in outputs if n in fixed and n not in free and n not in shared)
    return list(found)


@dataclass(slots=True)
class _Parts:
    """What is left of the operands of a loop: slots and, in the same order, their values outside."""

    shared: list[Node]
    hoisted: list[Node]
    read: set[Node]

    @staticmethod
    def of(outputs: Sequence[Node], shared: Sequence[Node]) -> _Parts:
        hoisted = _invariant(outputs, shared)
        cut = set(hoisted)
        nodes = toposort([n for n in outputs if n not in cut], lambda s: s not in cut)
        read = {n for n in nodes if isinstance(n.op, Slot)}
        return _Parts([s for s in shared if s in read], hoisted, read)

    def inside(self) -> list[Node]:
        return [*self.shared, *self.hoisted]

    def outside(self, value: Mapping[Node, Node]) -> list[Node]:
        return [*(value[s] for s in self.shared), *substitute(self.hoisted, value)]


def _simplified_scan(op: Scan, src: tuple[Node, ...], wanted: Sequence[int]) -> dict[int, Node]:
    value = dict(zip(op.body.slots, src, strict=True))
    carried, elements, shared = op.split(op.body.slots)
    settled = [*elements, *shared]
    outputs = _settled(op.body.outputs, settled, [value[s] for s in settled], elements)
    still = {k for k, s in enumerate(carried) if outputs[k] is s}
    live = [k for k in _live(outputs, carried, [k for k in wanted if k not in still]) if k not in still]
    results = {k: value[carried[k]] for k in wanted if k in still}
    if not live:
        return results
    kept = [outputs[k] for k in live]
    parts = _Parts.of(kept, [*shared, *(carried[k] for k in sorted(still))])
    moving = [carried[k] for k in live if k < op.carries]
    along = [s for s in elements if s in parts.read]
    body = Block.over([*moving, *along, *parts.inside()], kept)
    made = replace(op, body=body, carries=len(moving), sequences=len(along))
    operands = (*(value[s] for s in (*moving, *along)), *parts.outside(value))
    return results | {k: node(made.with_result(j), *operands) for j, k in enumerate(live) if k in wanted}


def _simplified_while(op: While, src: tuple[Node, ...], wanted: Sequence[int]) -> dict[int, Node]:
    value = dict(zip(op.body.slots, src, strict=True))
    carried, shared = op.body.slots[: op.carries], op.body.slots[op.carries :]
    before = [*op.test.outputs, *op.body.outputs]
    test, *outputs = _settled(before, shared, [value[s] for s in shared], ())
    still = {k for k, s in enumerate(carried) if outputs[k] is s}
    tested = {k for k, s in enumerate(carried) if s in _reads([test])}
    live = [k for k in _live(outputs, carried, [*wanted, *tested]) if k not in still]
    kept = [test, *(outputs[k] for k in live)]
    parts = _Parts.of(kept, [*shared, *(carried[k] for k in sorted(still))])
    moving = [carried[k] for k in live]
    blocks = Block.over([*moving, *parts.inside()], kept)
    made = replace(
        op,
        test=Block(blocks.inputs, blocks.outputs[:1]),
        body=Block(blocks.inputs, blocks.outputs[1:]),
        carries=len(moving),
    )
    operands = (*(value[s] for s in moving), *parts.outside(value))
    found = {k: node(made.with_result(j), *operands) for j, k in enumerate(live) if k in wanted}
    return found | {k: value[carried[k]] for k in wanted if k in still}


def _simplified_cond(op: Cond, src: tuple[Node, ...], wanted: Sequence[int]) -> dict[int, Node]:
    chosen = constant_value(src[0])
    if chosen is not None:
        results = (op.then if chosen.item() else op.other).inline(src[1:])
        return {k: results[k] for k in wanted}
    slots = op.then.slots
    value = dict(zip(slots, src[1:], strict=True))
    outputs = [b.outputs[k] for b in op.blocks for k in wanted]
    settled = _settled(outputs, slots, src[1:], ())
    read = [s for s in slots if s in _reads(settled)]
    both = Block.over(read, settled)
    half = len(wanted)
    then, other = Block(both.inputs, both.outputs[:half]), Block(both.inputs, both.outputs[half:])
    operands = (src[0], *(value[s] for s in read))
    return {k: node(Cond(then, other, j), *operands) for j, k in enumerate(wanted)}
