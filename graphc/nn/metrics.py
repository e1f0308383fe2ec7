"""Metrics: functions of (targets, outputs) that are watched and not minimised.

`accuracy` is the share of right answers: the largest logit against the label, or, for a binary loss, the
output against the threshold of that loss.

>>> import graphc as gc
>>> y, t = gc.input("y", ("N", 3)), gc.input("t", ("N",), "int64")
>>> right = gc.compile([t, y], accuracy(t, y), backend="reference")
>>> float(right([1, 2], [[0.0, 5.0, 1.0], [9.0, 0.0, 0.0]]))
0.5
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from graphc.errors import ArgumentError, ShapeError
from graphc.lang.apply import apply
from graphc.lang.functions import argmax, cast, mean
from graphc.lang.source import operation
from graphc.lang.tensor import Tensor
from graphc.nn.losses import Loss, LossFunction


@operation
def accuracy(y_true: Tensor, y_pred: Tensor, threshold: float = 0.5) -> Tensor:
    """The share of right answers: y_pred [..., C] against integer labels [...], or against a threshold."""
    if y_true.dtype.is_integer:
        if y_true.shape != y_pred.shape[:-1]:
            raise ShapeError(f"accuracy cannot compare {y_true.node.type} with {y_pred.node.type}")
        right = apply("equal", argmax(y_pred, axis=-1), y_true)
    else:
        if y_true.shape != y_pred.shape:
            raise ShapeError(f"accuracy cannot compare {y_true.node.type} with {y_pred.node.type}")
        right = apply("equal", apply("greater", y_true, 0.5), apply("greater", y_pred, threshold))
    return mean(cast(right, y_pred.dtype))


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric and the name under which a history keeps it."""

    name: str
    function: LossFunction


def metric_of(spec: str | Callable[[Tensor, Tensor], Tensor], loss: Loss) -> Metric:
    """A metric by name or by function, as it goes with a loss."""
    if isinstance(spec, str):
        if spec not in ("accuracy", "acc"):
            raise ArgumentError(
                f"unknown metric {spec!r}", fix='use "accuracy", or a function of (targets, outputs)'
            )
        if loss.labels:
            return Metric("accuracy", accuracy)
        if loss.threshold is None:
            raise ArgumentError(
                f"accuracy goes with no loss called {loss.name}",
                why="it counts right answers, and this loss is about numbers",
                fix="leave the metric out; the loss itself is reported",
            )
        limit = loss.threshold
        return Metric("accuracy", lambda y_true, y_pred: accuracy(y_true, y_pred, limit))
    if not callable(spec):
        raise ArgumentError(
            f"{spec!r} is no metric", fix='use "accuracy", or a function of (targets, outputs)'
        )
    return Metric(getattr(spec, "__name__", "metric"), spec)
