"""Lints of the loss: what is compared with what, and which output fits which loss.

| name                     | what is looked for                                                                |
|--------------------------|-----------------------------------------------------------------------------------|
| `broadcast-loss`         | [N,1] − [N], which is [N,N]: every output against every target                    |
| `softmax-twice`          | a softmax, or its logarithm, of a softmax                                         |
| `output-loss-mismatch`   | an output activation and a loss that do not belong together                       |
| `unused-input`           | a declared input that the loss does not need                                      |

Which output belongs to which loss (the usual table): regression, linear and squared error; two classes, sigmoid
and binary cross-entropy; several classes, softmax and cross-entropy (from logits: no activation at all).

>>> from graphc.lang.functions import softmax
>>> from graphc.lang.tensor import input
>>> x = input("x", ("N", 10))
>>> p = softmax(softmax(x))
>>> [f.name for f in softmax_twice(Subject.of(p[0, 0].node, [x.node]))]
['softmax-twice']
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from graphc.ir.node import Node, nearest_location, toposort
from graphc.lint.finding import Finding, called
from graphc.lint.recognise import (
    behind,
    cross_entropies,
    is_row,
    linear_layer,
    log_softmax_of,
    softmax_of,
    without_bias,
)
from graphc.lint.subject import Subject
from graphc.ops.contract import Contract
from graphc.ops.conv import Conv
from graphc.ops.leaves import Input, Param
from graphc.ops.views import Expand, Reshape
from graphc.passes.through_views import strip


def broadcast_losses(subject: Subject) -> Iterator[Finding]:
    """Differences and products of an [N,1] and an [N], where one is an output and the other a target."""
    for n in subject.order:
        if not is_row(n, "sub", "mul", "xlogy"):
            continue
        pair = _column_and_row(n)
        if pair is None:
            continue
        column, row = pair
        if is_row(n, "mul") and not any(is_row(behind(s), "log", "log1p", "neg") for s in pair):
            continue
        # What comes of one tensor, such as all distances of its rows, is compared on purpose.
        if _leaves(column) & _leaves(row) or not n.type.dtype.is_float or len(_sides(subject, pair)) != 1:
            continue
        size = n.type.shape[-1]
        yield Finding(
            "broadcast-loss", "warning", n, nearest_location(n),
            f"{column.type} against {row.type} in the loss is broadcast to {n.type}",
            f"every one of the {size} outputs is compared with every one of the {size} targets",
            f"give both one shape: gc.reshape(x, ({size!r},))" if isinstance(size, int)
            else "give both one shape: x[:, 0] makes [N] of [N,1]",
        )  # fmt: skip


def _column_and_row(n: Node) -> tuple[Node, Node] | None:
    """The operands [..., N, 1] and [N] of an elementwise node [..., N, N], broadcast by NumPy's rule."""
    shape = n.type.shape
    if len(shape) < 2 or shape[-1] != shape[-2] or shape[-1] == 1:
        return None
    bases = [s.src[0] if isinstance(s.op, Expand) else s for s in n.src]
    for column, row in (bases, bases[::-1]):
        if row.type.rank == 1 and column.type.rank >= 2 and column.type.shape[-2:] == (shape[-1], 1):
            # x[:, None] is a reshape: then the column was made on purpose.
            made = isinstance(column.op, Reshape) and column.src[0].type.rank == 1
            return None if made or row.type.shape[0] != shape[-1] else (column, row)
    return None


def _sides(subject: Subject, pair: Sequence[Node]) -> list[Node]:
    """Which of the two is an output of what is trained; of two data, the first counts as one."""
    trained = [n for n in pair if n in subject.trained]
    data = [n for n in pair if isinstance(behind(n).op, Input)]
    return trained if len(trained) == 1 else [pair[0]] if data else []


def _leaves(n: Node) -> set[Node]:
    return {m for m in toposort([n]) if isinstance(m.op, (Input, Param))}


def softmax_twice(subject: Subject) -> Iterator[Finding]:
    """A softmax whose logits are probabilities already."""
    for n in subject.order:
        outer = log_softmax_of(n) or softmax_of(n)
        if outer is not None and softmax_of(behind(outer.logits)) is not None:
            inner = behind(outer.logits)
            yield Finding(
                "softmax-twice", "warning", n, nearest_location(n), "softmax is applied to what is a softmax already",
                f"the inner one, {_line(inner)}, gives numbers from 0 to 1: as logits they hardly tell classes "
                "apart",
                "drop the first softmax: a cross-entropy from logits applies it itself",
            )  # fmt: skip


def _line(n: Node) -> str:
    where = nearest_location(n)
    return f"at {where}" if where is not None else called(n)


def output_mismatches(subject: Subject) -> Iterator[Finding]:
    """Output activations under a loss that is made for others."""
    for n in subject.order:
        if is_row(n, "square", "abs", "mul") and n.src[0] is n.src[-1] and is_row(n.src[0], "sub"):
            yield from _softmax_under_squares(subject, n)
        found = log_softmax_of(n)
        if found is None:
            continue
        squashed = behind(found.logits)
        if found.classes == 1:
            yield Finding(
                "output-loss-mismatch", "warning", n, nearest_location(n), "softmax over one class is always 1",
                "the cross-entropy of one class is 0 whatever the network says",
                "use two outputs, or one with a binary cross-entropy: gc.sigmoid(y)",
            )  # fmt: skip
        elif is_row(squashed, "sigmoid", "relu", "tanh") and squashed in subject.trained:
            limits = {"sigmoid": "between 0 and 1", "tanh": "between -1 and 1"}
            span = limits.get(squashed.op.label, "from 0 up")
            yield Finding(
                "output-loss-mismatch", "warning", n, nearest_location(n),
                f"the logits of a softmax cross-entropy are the result of {squashed.op.label}",
                f"{squashed.op.label}, {_line(squashed)}, keeps them {span}, so that no class can become "
                + ("unlikely" if squashed.op.label == "relu" else "sure"),
                f"drop {squashed.op.label} from the last layer: logits are any numbers",
            )  # fmt: skip
    for log, p in cross_entropies(subject.order):
        kind = _unfit_probability(p)
        inside = subject.values[p]
        if kind and p in subject.trained and not (inside.lo >= 0 and inside.hi <= 1):
            yield Finding(
                "output-loss-mismatch", "warning", log, nearest_location(log),
                f"a binary cross-entropy of probabilities is given the result of {kind}",
                f"{kind} can be anything in {inside}, and a probability lies in [0, 1]",
                "apply gc.sigmoid to it, or use the cross-entropy from logits",
            )  # fmt: skip


def _softmax_under_squares(subject: Subject, n: Node) -> Iterator[Finding]:
    difference = n.src[0]
    for k in (0, 1):
        p, t = (strip(difference.src[j], (Expand, Reshape))[1] for j in (k, 1 - k))
        if softmax_of(p) and p in subject.trained and t not in subject.trained:
            yield Finding(
                "output-loss-mismatch", "warning", n, nearest_location(n), "a softmax is compared by squared error",
                "where the softmax is sure and wrong, the slope of the squared error is nearly 0: it learns no more",
                "use a cross-entropy of the logits: gc.log_softmax",
            )  # fmt: skip


def _unfit_probability(p: Node) -> str:
    """relu, tanh or a linear layer: what gives no probabilities."""
    if is_row(p, "relu", "tanh"):
        return p.op.label
    base = without_bias(p)
    return "a linear layer" if isinstance(base.op, (Contract, Conv)) and linear_layer(p) else ""


def unused_inputs(subject: Subject, declared: Sequence[Node]) -> Iterator[Finding]:
    """Inputs that are declared, and that the loss as it was written does not need."""
    used = set(toposort([subject.written]))
    for n in declared:
        if n not in used:
            yield Finding(
                "unused-input", "warning", n, nearest_location(n), f"the input {called(n)} is not used",
                "the loss does not depend on it", "leave it out, or use it",
            )  # fmt: skip
