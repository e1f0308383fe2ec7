"""Losses: functions of (targets, outputs) that give one scalar, the mean over the batch.

| name                               | targets t   | outputs y      | per element                          |
|------------------------------------|-------------|----------------|--------------------------------------|
| `softmax_cross_entropy`            | labels, [N] | logits, [N, C] | logsumexp(y) − y[t]                  |
| `binary_cross_entropy`             | 0..1, as y  | probabilities  | −t·log y − (1 − t)·log(1 − y)        |
| `binary_cross_entropy_from_logits` | 0..1, as y  | logits         | t·softplus(−y) + (1 − t)·softplus(y) |
| `mse`                              | as y        | any            | (y − t)²                             |

>>> import graphc as gc
>>> y, t = gc.input("y", ("N", 3)), gc.input("t", ("N",), "int64")
>>> loss = gc.compile([t, y], softmax_cross_entropy(t, y), backend="reference")
>>> round(float(loss([0, 2], [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])), 6)     # log 3
1.098612
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from graphc.errors import ArgumentError, DTypeError, ShapeError
from graphc.ir.types import DType, TensorType, shape_text
from graphc.lang.apply import apply
from graphc.lang.functions import log_softmax, mean, pick
from graphc.lang.source import operation
from graphc.lang.tensor import Tensor
from graphc.ops.elementwise import Elementwise

LossFunction: TypeAlias = Callable[[Tensor, Tensor], Tensor]


@operation
def softmax_cross_entropy(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """−mean log softmax(y_pred)[y_true]: integer labels [...] against logits [..., C], computed stably."""
    if not y_true.dtype.is_integer:
        raise DTypeError(f"the labels are {y_true.node.type}", fix='give them as integers: dtype="int64"')
    if y_pred.ndim < 1 or y_true.shape != y_pred.shape[:-1]:
        raise ShapeError(
            f"cannot compare labels {shape_text(y_true.shape)} with {shape_text(y_pred.shape)} logits",
            why="there must be one label for each row of logits",
            fix=f"give the labels the shape {shape_text(y_pred.shape[:-1])}",
        )
    return -mean(pick(log_softmax(y_pred), y_true))


@operation
def binary_cross_entropy(y_true: Tensor, y_pred: Tensor, from_logits: bool = False) -> Tensor:
    """The mean cross-entropy of probabilities y_pred and targets y_true in 0..1, element by element.

    Where y_pred is the result of a sigmoid, the loss is computed from what went into it, which is stable;
    other probabilities are kept 1e-7 away from 0 and 1, as in Keras.  `from_logits` takes y_pred as what
    would go into the sigmoid.
    """
    _same_shape("binary_cross_entropy", y_true, y_pred)
    op = y_pred.node.op
    if not from_logits and isinstance(op, Elementwise) and op.label == "sigmoid":
        y_pred, from_logits = Tensor(y_pred.node.src[0]), True
    if from_logits:
        # Not softplus(y) − t·y: that cancels where the prediction is right and sure.
        positive, negative = apply("softplus", -y_pred), apply("softplus", y_pred)
        return mean(y_true * positive + (1.0 - y_true) * negative)
    p = apply("minimum", apply("maximum", y_pred, 1e-7), 1.0 - 1e-7)
    return -mean(y_true * apply("log", p) + (1.0 - y_true) * apply("log1p", -p))


@operation
def binary_cross_entropy_from_logits(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """The mean of t·softplus(−y) + (1 − t)·softplus(y): `binary_cross_entropy` of sigmoid(y_pred)."""
    return binary_cross_entropy(y_true, y_pred, from_logits=True)


@operation
def mse(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """The mean of (y_pred − y_true)² over all elements."""
    _same_shape("mse", y_true, y_pred)
    return mean(apply("square", y_pred - y_true))


def _same_shape(name: str, y_true: Tensor, y_pred: Tensor) -> None:
    # [N,1] and [N] would broadcast to [N,N]: a loss that trains, and means nothing.
    if y_true.shape != y_pred.shape:
        raise ShapeError(
            f"{name} compares {y_true.node.type} with {y_pred.node.type}",
            why="targets and outputs must have one shape; broadcasting here is nearly always a mistake",
            fix=f"reshape the targets to {shape_text(y_pred.shape)}",
        )


@dataclass(frozen=True, slots=True)
class Loss:
    """A loss function and what it takes: `targets` gives the type of the targets for that of the outputs."""

    name: str
    function: LossFunction
    labels: bool = False  # targets are integer labels, one for each row of outputs
    threshold: float | None = None  # from which output on a binary prediction is 1

    def targets(self, outputs: TensorType) -> TensorType:
        if not self.labels:
            return outputs
        if outputs.rank < 2:
            raise ShapeError(f"{self.name} takes logits [N, classes], and the outputs are {outputs}")
        return TensorType(DType.I64, outputs.shape[:-1])


LOSSES = {
    loss.name: loss
    for loss in (
        Loss("softmax_cross_entropy", softmax_cross_entropy, labels=True),
        Loss("binary_cross_entropy", binary_cross_entropy, threshold=0.5),
        Loss("binary_cross_entropy_from_logits", binary_cross_entropy_from_logits, threshold=0.0),
        Loss("mse", mse),
    )
}
_ALIASES = {"mean_squared_error": "mse", "binary_crossentropy": "binary_cross_entropy"}


def loss_of(spec: str | LossFunction) -> Loss:
    """A loss by name or by function; another function f(targets, outputs) takes targets like the outputs."""
    if isinstance(spec, str):
        name = _ALIASES.get(spec, spec)
        if name not in LOSSES:
            hint = "softmax_cross_entropy takes integer labels and logits; " if "crossentropy" in spec else ""
            raise ArgumentError(
                f"unknown loss {spec!r}", why=hint.rstrip("; "), fix=f"use one of {', '.join(LOSSES)}"
            )
        return LOSSES[name]
    for loss in LOSSES.values():
        if loss.function is spec:
            return loss
    if not callable(spec):
        raise ArgumentError(f"{spec!r} is no loss", fix="give a name, or a function of (targets, outputs)")
    return Loss(getattr(spec, "__name__", "loss"), spec)
