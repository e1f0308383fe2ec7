"""A node at one element: what its operands are there, in words; for a gradient, its upstream and local too.

>>> from graphc.lang.tensor import inputs
>>> x, y = inputs("x y")
>>> f = (x / y).node
>>> values = {x.node: np.array(0.0), y.node: np.array(0.0), f: np.array(np.nan)}
>>> moment_of(f, (), values, {}).text
'0 / 0 = nan'
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from graphc.errors import Loc
from graphc.ir.block import Block
from graphc.ir.dims import evaluate as size_of
from graphc.ir.evaluate import evaluate_block, evaluate_nodes
from graphc.ir.node import Node, Op, nearest_location, toposort
from graphc.ir.types import Array
from graphc.ops.control import Cond, Scan, While
from graphc.ops.elementwise import Elementwise
from graphc.tables import array_text, number

_NEAR = 64  # nodes among which the upstream of a gradient is looked for
_SIGNS = {"add": "+", "sub": "-", "mul": "·", "div": "/"}
_REPAIRS = {
    "exp": "exp overflows above 709 in f64 and above 88 in f32: subtract the largest operand first",
    "log": "keep its operand above 0: gc.log(gc.maximum(x, 1e-12))",
    "sqrt": "keep its operand above 0: gc.sqrt(x + 1e-12)",
    "div": "keep the divisor away from 0",
    "reciprocal": "keep its operand away from 0",
    "gather": "an index outside the axis gives NaN: check the indices",
}


@dataclass(frozen=True, slots=True)
class Moment:
    """A node, an element of it, the user's line, and the operands there in words."""

    node: Node
    index: tuple[int, ...]
    where: Loc | None
    text: str
    fix: str


def inside(
    n: Node, values: Mapping[Node, Array], dims: Mapping[str, int]
) -> tuple[Node, Mapping[Node, Array], str] | None:
    """In a loop or a branch, the first node that is not finite, the values of its step, and which step it is."""
    operands = [values[s] for s in n.src]
    for step, block, given in _steps(n.op, operands, dims):
        found = evaluate_nodes(block.nodes, dict(zip(block.slots, given, strict=True)), dims)
        for m in block.nodes:
            if m not in block.slots and is_bad(found[m]) and not any(is_bad(found[s]) for s in m.src):
                return m, found, step
    return None


def _steps(
    op: Op, operands: Sequence[Array], dims: Mapping[str, int]
) -> Iterator[tuple[str, Block, Sequence[Array]]]:
    """(which step, block, what comes into it), in the order of time."""
    if isinstance(op, Cond):
        yield (
            f"the {'first' if operands[0] else 'second'} branch",
            op.then if operands[0] else op.other,
            operands[1:],
        )
    elif isinstance(op, Scan):
        carried, sequences, rest = op.split(operands)
        steps = range(size_of(op.length, dims))
        for t in reversed(steps) if op.reverse else steps:
            given = (*carried, *(s[t] for s in sequences), *rest)
            yield f"step {t} of the loop", op.body, given
            carried = evaluate_block(op.body, dims, *given)[: op.carries]
    elif isinstance(op, While):
        carried, others, t = tuple(operands[: op.carries]), operands[op.carries :], 0
        while evaluate_block(op.test, dims, *carried, *others)[0]:
            yield f"step {t} of the loop", op.body, (*carried, *others)
            carried, t = evaluate_block(op.body, dims, *carried, *others), t + 1


def is_bad(value: Array) -> bool:
    """Whether an array holds a NaN or an infinity."""
    return value.dtype.kind == "f" and not bool(np.isfinite(value).all())


def of_gradient(n: Node) -> Node | None:
    """The node of the forward pass that a step of the chain rule belongs to; None for the forward pass itself."""
    if any(o.loc is not None for o in n.origins):
        return None
    seen, queue = {n}, [n]
    for current in queue:
        for o in current.origins:
            if o.why in ("gradient", "accumulate") and o.of:
                return o.of[0]
            for parent in o.of:
                if parent not in seen:
                    seen.add(parent)
                    queue.append(parent)
    return None


def moment_of(
    n: Node, index: tuple[int, ...], values: Mapping[Node, Array], dims: Mapping[str, int]
) -> Moment:
    """What happened at an element of a node."""
    forward = of_gradient(n)
    text = operation_text(n, index, values)
    if index:
        text += f", at {list(index)} of {n.type}"
    if forward is not None:
        step = _step(n, forward, index, values, dims)
        text = f"{step}: {text}" if step else text
    fix = _REPAIRS.get((forward or n).op.label, "")
    return Moment(n, index, nearest_location(forward or n), text, fix)


def operation_text(n: Node, index: tuple[int, ...], values: Mapping[Node, Array]) -> str:
    """`0 / 0 = nan`: an operation with the operands of one element, or a summary of all that it reads."""
    result = _digits(values[n][index])
    if not isinstance(n.op, Elementwise):
        with np.errstate(all="ignore"):  # the mean of a summary may overflow
            operands = ", ".join(array_text(values[s]) for s in n.src)
        return f"{n.op.label}({operands}) = {result}"
    given = [_digits(values[s][index]) for s in n.src]
    sign = _SIGNS.get(n.op.row_name)
    if sign is not None:
        right = f"({given[1]})" if given[1].startswith("-") else given[1]
        return f"{given[0]} {sign} {right} = {result}"
    return f"{n.op.label}({', '.join(given)}) = {result}"


def _digits(value: object) -> str:
    return number(np.asarray(value).item())


def _step(
    n: Node, forward: Node, index: tuple[int, ...], values: Mapping[Node, Array], dims: Mapping[str, int]
) -> str:
    """`upstream × local = 0 × inf`, where the forward operation is elementwise and its upstream is found."""
    if not isinstance(forward.op, Elementwise):
        return ""
    for operand in range(len(forward.src)):
        upstream = _upstream(n, forward, operand)
        if upstream is None:
            continue
        local = forward.op.local(forward, operand)
        found = evaluate_nodes(toposort([local, upstream]), values, dims)
        if found[local].shape != found[upstream].shape or found[local].ndim != len(index):
            continue
        factors = (_digits(found[m][index]) for m in (upstream, local))
        value = operation_text(forward, index, found | {forward: found[forward]}) if forward in found else ""
        at = f" where {value}" if value else ""
        return "upstream × local = {} × {}".format(*factors) + at
    return ""


def _upstream(n: Node, forward: Node, operand: int) -> Node | None:
    """The node u for which n is a part of the forward operation's vjp of u."""
    seen, queue = {n}, [n]
    for current in queue:
        if len(seen) > _NEAR:
            break
        for s in current.src:
            if s in seen:
                continue
            seen.add(s)
            queue.append(s)
            if s.type == forward.type and s is not forward:
                result = forward.op.vjp(forward, operand, s)
                if result is not None and n in toposort([result], lambda m, s=s: m is not s):  # type: ignore[misc]
                    return s
    return None
