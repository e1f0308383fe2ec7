"""Level 2, lanes: along which axes a tensor is made of independent copies of the same function of x.

The lanes of y by x are pairs (axis of y, axis of x) with: ∂y[…i…]/∂x[…j…] = 0 wherever i ≠ j on a pair.  A chain of
elementwise operations has them on all axes, a network that is applied to a batch on its first.

| operation                         | an axis of the result goes on ...                                          |
|-----------------------------------|----------------------------------------------------------------------------|
| elementwise, cast                 | the same axis of each operand                                              |
| transpose, reshape, expand, slice, pad, concat | the axis that it is taken from, where it is whole and in place |
| reduction, recurrence             | the axes that are not walked over                                          |
| contraction, convolution          | the axes (letters) of the operand that the result keeps                    |
| pooling, gather, linear algebra   | the leading (batch) axes                                                   |
| scan, cond, while                 | what the blocks keep in every step                                         |
| integers, stop_gradient           | anywhere: no derivative comes through                                      |

Several operands have the lanes in common that each of them has.  What the table does not name has none.

>>> import graphc as gc
>>> x, w = gc.input("x", ("N", 4)), gc.input("w", (4, 3))
>>> y = gc.softmax(gc.tanh(x @ w))
>>> lanes([y.node], x.node)[y.node]
{0: 0}
>>> lanes([y.node], w.node)[y.node]             # each row depends on all of w
{}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from graphc.ir.block import Block, BlockOp
from graphc.ir.dims import Index, product
from graphc.ir.node import Node, toposort
from graphc.ops.contract import Contract
from graphc.ops.control import Cond, Scan, While
from graphc.ops.conv import Conv
from graphc.ops.custom import CustomGradient
from graphc.ops.elementwise import Cast, Elementwise
from graphc.ops.gather import Gather, ScatterAdd
from graphc.ops.linalg import Cholesky, TriangularSolve
from graphc.ops.lu import Lu, LuDet, LuSolve
from graphc.ops.recurrence import Recurrence
from graphc.ops.reduce import Reduce
from graphc.ops.views import Concat, Expand, Pad, Reshape, Slice, Transpose
from graphc.ops.window import Window, WindowPick, WindowScatter

Lanes: TypeAlias = dict[int, int] | None
"""Axis of a node ↦ axis of x; None where the node has no derivative by x at all."""


def lanes(outputs: Sequence[Node], x: Node) -> dict[Node, Lanes]:
    """The lanes by x of every node that the outputs need."""
    return _flow(toposort(outputs), {x: {k: k for k in range(x.type.rank)}})


def _flow(order: Sequence[Node], known: Mapping[Node, Lanes]) -> dict[Node, Lanes]:
    found = dict(known)
    for n in order:
        if n not in found:
            found[n] = _through(n, [found[s] for s in n.src])
    return found


def _meet(a: Lanes, b: Lanes) -> Lanes:
    """What two operands have in common."""
    if a is None or b is None:
        return b if a is None else a
    return {k: v for k, v in a.items() if b.get(k) == v}


def _through(n: Node, operands: Sequence[Lanes]) -> Lanes:
    op = n.op
    detached = isinstance(op, Elementwise) and op.row.detached
    if not n.type.dtype.is_float or detached or all(known is None for known in operands):
        return None
    if isinstance(op, BlockOp):
        return _through_blocks(op, operands)
    found: Lanes = None
    for k, known in enumerate(operands):
        if known is None or (isinstance(op, CustomGradient) and k < op.outputs):
            continue
        found = _meet(found, {axis: known[source] for axis, source in _paths(n, k) if source in known})
    return found


def _paths(n: Node, k: int) -> Iterator[tuple[int, int]]:
    """(axis of a node, axis of its operand k): along which the operation is the same function, copied."""
    op, rank, source = n.op, n.type.rank, n.src[k].type
    match op:
        case Elementwise() | Cast():
            yield from ((a, a) for a in range(rank))
        case Transpose():
            yield from enumerate(op.perm)
        case Expand():
            lead = rank - source.rank
            shapes = zip(n.type.shape[lead:], source.shape, strict=True)
            yield from ((a + lead, a) for a, (new, old) in enumerate(shapes) if new == old)
        case Reshape():
            yield from _unmoved(n.type.shape, source.shape)
        case Slice():
            whole = zip(op.starts, op.steps, n.type.shape, source.shape, strict=True)
            yield from ((a, a) for a, (s, t, new, old) in enumerate(whole) if (s, t, new) == (0, 1, old))
        case Pad():
            around = zip(op.lo, op.hi, op.interior, strict=True)
            yield from ((a, a) for a, amounts in enumerate(around) if amounts == (0, 0, 0))
        case Concat() | Recurrence():
            yield from ((a, a) for a in range(rank) if a != op.axis)
        case Reduce():
            yield from enumerate(a for a in range(source.rank) if a not in op.axes)
        case Contract():
            *operands, result = op.letters()
            yield from ((a, operands[k].index(c)) for a, c in enumerate(result) if c in operands[k])
        case Conv():
            yield from ((0, 0), (1, 1)) if k == 0 else ((1, 0), (2, 1))
        case Window() | WindowScatter() | WindowPick():
            yield from ((a, a) for a in range(rank - len(op.size)))
        case Gather() | ScatterAdd() if k == 0:
            yield from ((a, a) for a in range(op.batch))
            kept = rank - (n.src[1].type.rank if isinstance(op, Gather) else op.batch + 1)
            yield from ((rank - 1 - a, source.rank - 1 - a) for a in range(kept))
        case Cholesky() | TriangularSolve() | Lu() | LuSolve() | LuDet():
            yield from ((a, a) for a in range(source.rank - 2))
        case CustomGradient() if k - op.outputs in op.wrt:
            # The rule is the transposed derivative: what it does from upstream to downstream, backwards.
            up = op.rule.slots[len(n.src) + op.output]
            down = op.rule.outputs[op.wrt.index(k - op.outputs)]
            back = _flow(op.rule.nodes, dict.fromkeys(op.rule.slots) | _identity(up))[down]
            yield from ((b, a) for a, b in (back or {}).items())


def _identity(n: Node) -> dict[Node, Lanes]:
    return {n: {k: k for k in range(n.type.rank)}}


def _unmoved(new: Sequence[Index], old: Sequence[Index]) -> Iterator[tuple[int, int]]:
    """Axes of the same length with the same number of elements before them: they keep their indices."""
    places = {(product(old[:a]), d): a for a, d in reversed(list(enumerate(old)))}
    taken: set[int] = set()
    for a, d in enumerate(new):
        found = places.get((product(new[:a]), d))
        if found is not None and found not in taken:
            taken.add(found)
            yield a, found


def _through_blocks(op: BlockOp, operands: Sequence[Lanes]) -> Lanes:
    match op:
        case Cond():
            return _meet(*(_outputs(b, operands[1:])[op.result] for b in (op.then, op.other)))
        case While():
            return _settled(op.body, list(operands), op.carries)[op.result]
        case Scan():
            carried, sequences, others = op.split(operands)
            # A step sees one element of a sequence: without the axis of time.
            steps = [None if s is None else {a - 1: b for a, b in s.items() if a > 0} for s in sequences]
            found = _settled(op.body, [*carried, *steps, *others], op.carries)[op.result]
            if op.result < op.carries or found is None:
                return found
            return {a + 1: b for a, b in found.items()}
    return {}


def _outputs(block: Block, operands: Sequence[Lanes]) -> list[Lanes]:
    found = _flow(block.nodes, dict(zip(block.slots, operands, strict=True)))
    return [found[n] for n in block.outputs]


def _settled(block: Block, operands: list[Lanes], carries: int) -> list[Lanes]:
    """The lanes of a loop's results: those that its carries keep from step to step."""
    while True:
        outputs = _outputs(block, operands)
        kept = [_meet(a, b) for a, b in zip(operands[:carries], outputs[:carries], strict=True)]
        if kept == operands[:carries]:
            return [*kept, *outputs[carries:]]
        operands = [*kept, *operands[carries:]]
