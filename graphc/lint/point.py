"""Lints at a point: with values of the inputs, and the parameters as they are.

| name                | what is looked for                                                                    |
|---------------------|---------------------------------------------------------------------------------------|
| `first-loss`        | a cross-entropy far above log C, which is what guessing costs                         |
| `kink-at-point`     | an operand exactly where its function has no derivative                               |
| `saturating-chain`  | a sigmoid or tanh most of whose elements are where the slope is nearly 0              |

>>> from graphc.autodiff.point import point_at
>>> from graphc.lang.apply import apply
>>> from graphc.lang.tensor import input
>>> x = input("x")
>>> f = apply("relu", x)
>>> found = kinks(Subject.of(f.node, [x.node]), point_at([f.node], {x: 0.0}))
>>> [finding.why for finding in found]
["its operand is 0 there; graphc's convention: relu'(0) = 0"]
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from graphc.autodiff.point import Point
from graphc.ir.dims import evaluate as size_of
from graphc.ir.dims import names
from graphc.ir.evaluate import evaluate_nodes
from graphc.ir.node import Node, nearest_location
from graphc.ir.types import Array
from graphc.lint.finding import Finding
from graphc.lint.recognise import behind, is_row, log_softmax_of
from graphc.lint.subject import Subject
from graphc.ops.body import Body, body_of, evaluate
from graphc.ops.elementwise import Elementwise
from graphc.ops.gather import Gather
from graphc.ops.leaves import Const, Extent, Param
from graphc.ops.reduce import Reduce
from graphc.ops.views import Expand, Reshape
from graphc.passes.through_views import strip

BATCH = 8
"""The size that named dimensions get where inputs are drawn."""


def at_point(subject: Subject, point: Point) -> Iterator[Finding]:
    """All lints that need values."""
    yield from first_losses(subject.formula, point)
    yield from saturated(subject, point)
    yield from kinks(subject, point)


def drawn(subject: Subject) -> Point:
    """Random inputs: standard normal numbers, labels within the classes; parameters as they are."""
    rng = np.random.default_rng(0)
    leaves = subject.leaves
    dims = {name: BATCH for n in leaves for d in n.type.shape for name in names(d)}
    values: dict[Node, Array] = {}
    for n in leaves:
        shape = [size_of(d, dims) for d in n.type.shape]
        if isinstance(n.op, Param):
            values[n] = np.array(n.op.variable.value)
        elif n.type.dtype.is_float:
            values[n] = np.asarray(rng.standard_normal(shape)).astype(n.type.dtype.numpy)
        else:
            values[n] = np.asarray(rng.integers(0, _labels(subject, n), shape)).astype(n.type.dtype.numpy)
    return Point(values, dims)


def _labels(subject: Subject, n: Node) -> int:
    """How many values a label can have: the length of the axis that it picks from; 2 where that is not seen."""
    for user in subject.order:
        if isinstance(user.op, Gather) and behind(user.src[1]) is n:
            d = user.src[0].type.shape[user.op.batch]
            return d if isinstance(d, int) else BATCH
    return 2


def first_losses(subject: Subject, point: Point) -> Iterator[Finding]:
    """Cross-entropies that are far above that of guessing."""
    values: Mapping[Node, Array] | None = None
    for n in subject.order:
        classes = _classes(subject, n)
        if classes < 2:
            continue
        total, mean = _total_of(subject, n)
        if total is None:
            continue
        values = values or evaluate_nodes(subject.order, point.values, point.dims)
        rows = max(1, values[n].size // classes)
        guessing, found = math.log(classes), abs(float(values[total])) / (1 if mean else rows)
        if found <= guessing + max(1.0, guessing) or not math.isfinite(found):
            continue
        yield Finding(
            "first-loss", "warning", n, nearest_location(n),
            f"the cross-entropy is {found:.3g} at this point, and guessing among {classes} classes costs "
            f"log {classes} = {guessing:.3g}",
            "an untrained network should not be surer than a guess: its first outputs are too far apart",
            "make the initial weights of the last layer smaller, or scale the inputs",
        )  # fmt: skip


def _classes(subject: Subject, n: Node) -> int:
    """C where a node is the log-softmax of C logits, or the softplus of logits of two classes; else 0."""
    found = log_softmax_of(n)
    if found is not None:
        return found.classes if isinstance(found.classes, int) else 0
    if is_row(n, "softplus") and not is_row(n.src[0], "neg"):
        return 2 if any(is_row(u, "neg") and any(is_row(v, "softplus") for v in subject.users[u])
                        for u in subject.users[n.src[0]]) else 0  # fmt: skip
    return 0


def _total_of(subject: Subject, n: Node) -> tuple[Node | None, bool]:
    """The scalar that comes of a cross-entropy alone, before it is added to something else; whether it is a mean."""
    result: Node | None = None
    mean = False
    while True:
        if n.type.rank == 0:
            result = n
        users = subject.users[n]
        if len(users) != 1:
            return result, mean
        (user,) = users
        scaled = is_row(user, "mul", "div") and any(
            isinstance(strip(s, (Expand, Reshape))[1].op, (Const, Extent)) for s in user.src
        )
        if result is not None and not (is_row(user, "neg") or scaled):
            return result, mean
        n, mean = user, mean or scaled


def saturated(subject: Subject, point: Point) -> Iterator[Finding]:
    """Sigmoids and tanhs whose operands are so large that hardly a gradient passes."""
    suspects = [n for n in subject.order if is_row(n, "sigmoid", "tanh") and (n, 0) in subject.edges]
    if not suspects:
        return
    values = evaluate_nodes(subject.order, point.values, point.dims)
    for n in suspects:
        out = values[n]
        slopes = out * (1 - out) if is_row(n, "sigmoid") else 1 - out * out
        flat = int(np.count_nonzero(slopes < 0.01))
        if 2 * flat <= out.size:
            continue
        largest = float(np.max(np.abs(values[n.src[0]])))
        yield Finding(
            "saturating-chain", "warning", n, nearest_location(n),
            f"{flat} of the {out.size} elements of {n.op.label} have a slope below 0.01 at this point",
            f"its operand reaches {largest:.3g} in size, where {n.op.label} is flat and hardly a gradient passes",
            "scale the inputs, or make the initial weights smaller",
        )  # fmt: skip


def kinks(subject: Subject, point: Point) -> Iterator[Finding]:
    """Operands that are exactly at a kink of their operation."""
    reached = {w for w in subject.targets if not subject.is_dead(w)}
    below = subject.dependents(reached)
    suspects = [n for n in subject.order if n in below and _kink(n)]
    if not suspects:
        return
    values = evaluate_nodes(subject.order, point.values, point.dims)
    for n in suspects:
        operands = [values[s] for s in n.src]
        there = (
            _ties(n, operands[0]) if isinstance(n.op, Reduce) else evaluate(_kink_body(n.op.label), *operands)
        )
        hits = np.argwhere(there)
        if not len(hits):
            continue
        index = tuple(int(k) for k in hits[0])
        at = f" at {list(index)}" if index else ""
        more = f", and {len(hits) - 1} more" if len(hits) > 1 else ""
        yield Finding(
            "kink-at-point", "note", n, nearest_location(n), f"{n.op.label} has no derivative{at}{more}",
            _kink_text(n, operands, index), "move the point a little, or mean the convention",
        )  # fmt: skip


def _kink(n: Node) -> bool:
    if isinstance(n.op, Reduce):
        return n.op.kind in ("max", "min") and n.type.dtype.is_float
    return isinstance(n.op, Elementwise) and n.op.row.kink != "False" and n.type.dtype.is_float


@functools.cache
def _kink_body(name: str) -> Body:
    """Whether the operands of a row are at its kink, as a body."""
    from graphc.ops.formula import parse
    from graphc.ops.row import row_named

    row = row_named(name)
    symbols = row.symbols[: row.arity]
    return body_of(parse(f"1 if {row.kink} else 0", {str(s): s for s in symbols}), symbols)


def _ties(n: Node, operand: Array) -> Array:
    """Where several elements are the largest (or smallest), in the shape of the result."""
    assert isinstance(n.op, Reduce)
    best = (np.max if n.op.kind == "max" else np.min)(operand, axis=n.op.axes, keepdims=True)
    return np.asarray(np.count_nonzero(operand == best, axis=n.op.axes) > 1)


def _kink_text(n: Node, operands: Sequence[Array], index: tuple[int, ...]) -> str:
    if isinstance(n.op, Reduce):
        return (
            f"several elements are the {n.op.kind}imum there; graphc's convention: the first has the gradient"
        )
    assert isinstance(n.op, Elementwise)
    convention = f"; graphc's convention: {n.op.row.convention}" if n.op.row.convention else ""
    given = " and ".join(f"{float(a[index]):g}" for a in operands)
    noun = "operands are" if len(operands) > 1 else "operand is"
    return f"its {noun} {given} there{convention}"
