"""Level 2, derivatives of operations with blocks: the blocks are differentiated, and run in a new operation.

| operation    | reverse mode                                               | forward mode                       |
|--------------|------------------------------------------------------------|------------------------------------|
| `scan`       | a scan the other way, which carries gradients              | a scan that carries tangents too   |
| `cond`       | a cond of the gradients of both sides                      | a cond of both tangents            |
| `while_loop` | refused: its steps are not known before it has run         | a loop that carries tangents too   |

The reverse of a scan needs values of the forward steps.  Those that the gradient reads are stacked by the forward
scan; with `checkpoint` only the carries are, and the rest is computed again, step by step (Griewank and Walther,
Evaluating Derivatives, 2nd ed., chapter 12).

>>> import graphc as gc
>>> w, xs = gc.input("w"), gc.input("xs", ("T",))
>>> last, _ = gc.scan(lambda c, x: (w * c + x, None), 0.0, xs)
>>> fn = gc.compile([w, xs], [last, gc.grad(last, w)], backend="reference")
>>> fn(2.0, [1.0, 3.0, 5.0])                                    # w²+3w+5 and 2w+3
(array(15.), array(7.))
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from graphc.errors import GradientError, InternalError
from graphc.ir.block import Block, BlockOp, Slot
from graphc.ir.node import Node, node, toposort
from graphc.ops.control import Cond, Scan, While
from graphc.ops.elementwise import constant_like, elementwise
from graphc.ops.leaves import Const, Extent, Input, Iota
from graphc.ops.views import Expand, Reshape, Slice, Transpose
from graphc.passes.rules_stability import stabilize

Pull = Callable[[Sequence[tuple[Node, Node]], Sequence[Node]], Mapping[Node, Node]]
"""Reverse mode inside a block: (outputs with their upstreams, by which nodes) → downstream of those it reaches."""

Push = Callable[[Sequence[Node], Mapping[Node, Node]], Mapping[Node, Node]]
"""Forward mode inside a block: (outputs, tangents of slots) → tangents of the outputs that they reach."""


def pull_back(n: Node, upstreams: Mapping[int, Node], pull: Pull) -> dict[int, Node]:
    """The downstream of the operands of a family, from the upstreams of some of its results.

    Operands that are no floats, and those on which nothing depends, have none.  Raises GradientError for a loop
    whose number of steps is not known.
    """
    match n.op:
        case Scan() as op:
            return _pull_scan(op, n.src, upstreams, pull)
        case Cond() as op:
            return _pull_cond(op, n.src, upstreams, pull)
    raise GradientError(
        "a while loop has no gradient in reverse mode",
        why="how many steps it takes is known only when it has run, so room for their values cannot be planned",
        fix="use gc.scan with a fixed number of steps, or forward mode: gc.jvp",
    )


def push_through(n: Node, tangents: Mapping[int, Node], push: Push) -> dict[int, Node]:
    """The tangents of the results of a family that are floats, from those of some operands."""
    match n.op:
        case Scan() as op:
            return _push_scan(op, n.src, tangents, push)
        case Cond() as op:
            return _push_cond(op, n.src, tangents, push)
        case While() as op:
            return _push_while(op, n.src, tangents, push)
    raise InternalError(f"{n.op.label} has no blocks")


# ---- what all of them need ---------------------------------------------------------------------------------


@dataclass(slots=True)
class _Operands:
    """Operands of an operation under construction: each a node inside the block, and its value outside."""

    inside: list[Node]
    outside: list[Node]

    def read_by(self, read: Iterable[Node]) -> _Operands:
        """Those that a block reads."""
        kept = [(i, o) for i, o in zip(self.inside, self.outside, strict=True) if i in set(read)]
        return _Operands([i for i, _ in kept], [o for _, o in kept])


def _read(inside: Sequence[Node], outputs: Sequence[Node]) -> set[Node]:
    """Which of these nodes the outputs read, where they stand for values from outside."""
    indices = {n.op.index for n in Block.over(inside, outputs).nodes if isinstance(n.op, Slot)}
    return {n for k, n in enumerate(inside) if k in indices}


def _placeholder(like: Node) -> Node:
    """A new node that stands for a value of the same type, until a block is closed over it."""
    return node(Input("placeholder", like.type))


def _is_float(n: Node) -> bool:
    return n.type.dtype.is_float


def _zeros(like: Node) -> Node:
    return constant_like(0.0, like)


def _scan(
    like: Scan, carries: _Operands, sequences: _Operands, others: _Operands, outputs: Sequence[Node]
) -> list[Node]:
    """All results of a scan whose step is given as nodes; what the step does not read is left out."""
    read = _read([*carries.inside, *sequences.inside, *others.inside], outputs)
    sequences, others = sequences.read_by(read), others.read_by(read)
    body = Block.over([*carries.inside, *sequences.inside, *others.inside], outputs)
    op = replace(like, body=body, carries=len(carries.inside), sequences=len(sequences.inside))
    src = (*carries.outside, *sequences.outside, *others.outside)
    return [node(op.with_result(k), *src) for k in range(len(outputs))]


# ---- scan --------------------------------------------------------------------------------------------------


def _pull_scan(op: Scan, src: Sequence[Node], upstreams: Mapping[int, Node], pull: Pull) -> dict[int, Node]:
    """c, y = f(c, x, k) forwards  →  backwards: c̄, x̄ and a share of k̄ by the vjp of f at (c̄, ȳ)."""
    slots = op.body.slots
    carried, elements, shared = op.split(slots)
    _, sequences, given = op.split(src)
    stable = stabilize(op.body.outputs, slots)
    outputs = [stable[n] for n in op.body.outputs]
    seeds = {
        k: _placeholder(n)
        for k, n in enumerate(outputs)
        if _is_float(n) and (k < op.carries or k in upstreams)
    }
    found = pull([(outputs[k], u) for k, u in seeds.items()], [s for s in slots if _is_float(s)])
    # The gradients of the carries are carried, and so are the sums over all steps of what the steps share.
    floats = [k for k, s in enumerate(carried) if _is_float(s)]
    sums = {s: _placeholder(s) for s in shared if s in found}
    along = [s for s in elements if s in found]
    results = [
        *(found.get(carried[k], _zeros(carried[k])) for k in floats),
        *(elementwise("add", total, found[s]) for s, total in sums.items()),
        *(found[s] for s in along),
    ]
    kept = _kept(outputs, results, carried, recompute=op.checkpoint)
    body = Block(op.body.inputs, (*outputs, *kept))
    stacked = [node(replace(op, body=body, result=len(outputs) + k), *src) for k in range(len(kept))]
    backward = _scan(
        replace(op, reverse=not op.reverse),
        _Operands(
            [*(seeds[k] for k in floats), *sums.values()],
            [*(upstreams.get(k, _zeros(carried[k])) for k in floats), *map(_zeros, sums)],
        ),
        _Operands(
            [*(seeds[k] for k in seeds if k >= op.carries), *kept, *elements],
            [*(upstreams[k] for k in seeds if k >= op.carries), *stacked, *sequences],
        ),
        _Operands(list(shared), list(given)),
        results,
    )
    place = {s: k for k, s in enumerate(slots)}
    by = [*(carried[k] for k in floats), *sums, *along]
    return {place[s]: g for s, g in zip(by, backward, strict=True)}


def _kept(
    outputs: Sequence[Node], gradients: Sequence[Node], carried: Sequence[Node], *, recompute: bool
) -> list[Node]:
    """The values of a step that its gradient reads, and that are stacked so that they are there: in a fixed order.

    What costs nothing is followed to what it is made of; with `recompute`, everything is, up to the carries.
    """
    forward = set(toposort(outputs))
    upstream = {n for n in toposort(gradients) if isinstance(n.op, Input)}
    for n in toposort(gradients):
        if any(s in upstream for s in n.src):
            upstream.add(n)

    def is_kept(n: Node) -> bool:
        # The gradient of a loop inside has made a loop that computes forward values: it is not run twice either.
        known = n in forward or (isinstance(n.op, BlockOp) and n not in upstream)
        return n in carried or (known and not recompute and not _is_free(n))

    found: dict[Node, None] = {}
    seen: set[Node] = set()
    stack = list(gradients)
    while stack:
        n = stack.pop()
        if n not in seen:
            seen.add(n)
            if is_kept(n):
                found[n] = None
            else:
                stack.extend(n.src)
    return [n for n in toposort([*outputs, *found]) if n in found]


def _is_free(n: Node) -> bool:
    """A view, or known without any step: nothing is saved by keeping it."""
    return isinstance(n.op, (Slot, Const, Extent, Iota, Expand, Reshape, Slice, Transpose))


@dataclass(slots=True)
class _Dual:
    """A block with the tangents of some of its slots: these, and those of the outputs that they reach."""

    tangents: dict[Node, Node]  # of slots
    outputs: Mapping[Node, Node]

    def of(self, n: Node) -> Node:
        return self.outputs.get(n, _zeros(n))

    def joined(self, slots: Sequence[Node], src: Sequence[Node], tangents: Mapping[Node, Node]) -> _Operands:
        """Operands and, after them, their tangents."""
        moving = [(s, v) for s, v in zip(slots, src, strict=True) if s in self.tangents]
        return _Operands(
            [*slots, *(self.tangents[s] for s, _ in moving)],
            [*src, *(tangents.get(s, _zeros(v)) for s, v in moving)],
        )


def _dual(block: Block, moving: Iterable[Node], push: Push) -> _Dual:
    tangents = {s: _placeholder(s) for s in moving}
    return _Dual(tangents, push([n for n in block.outputs if _is_float(n)], tangents))


def _push_scan(op: Scan, src: Sequence[Node], tangents: Mapping[int, Node], push: Push) -> dict[int, Node]:
    """One scan computes the values and their tangents: what was one carry, or one of the ys, is two."""
    slots = op.body.slots
    carried, elements, shared = op.split(slots)
    starts, sequences, given = op.split(src)
    along = {slots[k]: t for k, t in tangents.items() if _is_float(slots[k])}
    floats = [s for s in carried if _is_float(s)]
    dual = _dual(op.body, dict.fromkeys([*floats, *along]), push)
    outputs = op.body.outputs
    new, ys = outputs[: op.carries], outputs[op.carries :]
    doubled = [k for k, n in enumerate(outputs) if _is_float(n)]
    results = [
        *new,
        *(dual.of(n) for n in new if _is_float(n)),
        *ys,
        *(dual.of(n) for n in ys if _is_float(n)),
    ]
    # A sequence of tangents has the type of an element inside, and that of the sequence outside.
    found = _scan(
        op,
        dual.joined(carried, starts, along),
        dual.joined(elements, sequences, along),
        dual.joined(shared, given, along),
        results,
    )
    first = [*range(len(new), len(new) + len(floats)), *range(len(outputs) + len(floats), len(results))]
    return {k: found[at] for k, at in zip(doubled, first, strict=True)}


# ---- cond --------------------------------------------------------------------------------------------------


def _cond(op: Cond, flag: Node, operands: _Operands, sides: Sequence[Sequence[Node]]) -> list[Node]:
    """All results of a cond whose sides are given as nodes; what neither side reads is left out."""
    operands = operands.read_by(set().union(*(_read(operands.inside, side) for side in sides)))
    then, other = (Block.over(operands.inside, side) for side in sides)
    made = replace(op, then=then, other=other)
    return [node(made.with_result(k), flag, *operands.outside) for k in range(len(sides[0]))]


def _pull_cond(op: Cond, src: Sequence[Node], upstreams: Mapping[int, Node], pull: Pull) -> dict[int, Node]:
    """cond(p, f, g)  →  cond(p, vjp of f, vjp of g)."""
    slots = op.then.slots
    seeds = {k: _placeholder(u) for k, u in upstreams.items()}
    found = []
    for block in (op.then, op.other):
        stable = stabilize(block.outputs, slots)
        pairs = [(stable[block.outputs[k]], u) for k, u in seeds.items()]
        found.append(pull(pairs, [s for s in slots if _is_float(s)]))
    reached = [k for k, s in enumerate(slots) if any(s in side for side in found)]
    sides = [[side.get(slots[k], _zeros(slots[k])) for k in reached] for side in found]
    operands = _Operands([*slots, *seeds.values()], [*src[1:], *upstreams.values()])
    return {1 + k: g for k, g in zip(reached, _cond(op, src[0], operands, sides), strict=True)}


def _push_cond(op: Cond, src: Sequence[Node], tangents: Mapping[int, Node], push: Push) -> dict[int, Node]:
    """cond(p, f, g)  →  cond(p, jvp of f, jvp of g)."""
    slots = op.then.slots
    along = {slots[k - 1]: t for k, t in tangents.items() if k > 0 and _is_float(slots[k - 1])}
    inside = {s: _placeholder(s) for s in along}
    doubled = [k for k, n in enumerate(op.then.outputs) if _is_float(n)]
    sides = []
    for block in (op.then, op.other):
        outputs = [block.outputs[k] for k in doubled]
        found = push(outputs, inside)
        sides.append([found.get(n, _zeros(n)) for n in outputs])
    operands = _Operands([*slots, *inside.values()], [*src[1:], *along.values()])
    return dict(zip(doubled, _cond(op, src[0], operands, sides), strict=True))


# ---- while -------------------------------------------------------------------------------------------------


def _push_while(op: While, src: Sequence[Node], tangents: Mapping[int, Node], push: Push) -> dict[int, Node]:
    """One loop carries the values and their tangents; the test looks at the values."""
    slots = op.body.slots
    carried, shared = slots[: op.carries], slots[op.carries :]
    along = {slots[k]: t for k, t in tangents.items() if _is_float(slots[k])}
    floats = [s for s in carried if _is_float(s)]
    dual = _dual(op.body, dict.fromkeys([*floats, *along]), push)
    carries = dual.joined(carried, src[: op.carries], along)
    others = dual.joined(shared, src[op.carries :], along)
    inside = [*carries.inside, *others.inside]
    new = [*op.body.outputs, *(dual.of(n) for n in op.body.outputs if _is_float(n))]
    made = replace(
        op,
        test=Block.over(inside, op.test.outputs),
        body=Block.over(inside, new),
        carries=len(carries.inside),
    )
    doubled = [k for k, n in enumerate(op.body.outputs) if _is_float(n)]
    operands = (*carries.outside, *others.outside)
    return {k: node(made.with_result(op.carries + j), *operands) for j, k in enumerate(doubled)}
