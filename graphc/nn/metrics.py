"""Metrics: functions of (targets, outputs) that are watched and not minimised.

| name             | what                                                                                     |
|------------------|------------------------------------------------------------------------------------------|
| `accuracy`       | the share of right answers: the largest logit against the label, or, for a binary loss,  |
|                  | the output against the threshold of that loss                                            |
| `top_k_accuracy` | the share of labels that are among the k largest outputs: k = 5 unless said otherwise    |
| a loss           | `mse`, `mae`, ...: any loss that takes the same targets                                  |

>>> import graphc as gc
>>> y, t = gc.input("y", ("N", 3)), gc.input("t", ("N",), "int64")
>>> right = gc.compile([t, y], [accuracy(t, y), top_k_accuracy(t, y, k=2)], backend="reference")
>>> [float(share) for share in right([1, 2], [[0.0, 5.0, 1.0], [9.0, 0.0, 2.0]])]
[0.5, 1.0]
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from graphc.errors import ArgumentError, ShapeError
from graphc.lang.apply import apply
from graphc.lang.functions import argmax, cast, count_nonzero, expand_dims, mean, pick
from graphc.lang.source import operation
from graphc.lang.tensor import Tensor
from graphc.nn.losses.registry import LOSSES, Loss, LossFunction, loss_of


@operation
def accuracy(y_true: Tensor, y_pred: Tensor, threshold: float = 0.5) -> Tensor:
    """The share of right answers: y_pred [..., C] against integer labels [...], or against a threshold."""
    if y_true.dtype.is_integer:
        _check_labels("accuracy", y_true, y_pred)
        right = apply("equal", argmax(y_pred, axis=-1), y_true)
    else:
        if y_true.shape != y_pred.shape:
            raise ShapeError(f"accuracy cannot compare {y_true.node.type} with {y_pred.node.type}")
        right = apply("equal", apply("greater", y_true, 0.5), apply("greater", y_pred, threshold))
    return mean(cast(right, y_pred.dtype))


@operation
def top_k_accuracy(y_true: Tensor, y_pred: Tensor, k: int = 5) -> Tensor:
    """The share of labels [...] that fewer than k of the outputs [..., C] exceed; one less it is the top-k error.

    A label that ties for the last place is in.  NaN counts as the largest, and is never right.
    """
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise ArgumentError(f"k must be a positive integer, not {k!r}")
    _check_labels("top_k_accuracy", y_true, y_pred)
    chosen = pick(y_pred, y_true)
    larger = count_nonzero(
        apply("logical_not", apply("less_equal", y_pred, expand_dims(chosen, -1))), axis=-1
    )
    right = apply("logical_and", apply("less", larger, k), apply("equal", chosen, chosen))
    return mean(cast(right, y_pred.dtype))


def _check_labels(name: str, y_true: Tensor, y_pred: Tensor) -> None:
    if not y_true.dtype.is_integer or y_true.shape != y_pred.shape[:-1]:
        raise ShapeError(f"{name} cannot compare {y_true.node.type} with {y_pred.node.type}")


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric and the name under which a history keeps it."""

    name: str
    function: LossFunction


def metric_of(spec: str | Callable[[Tensor, Tensor], Tensor], loss: Loss) -> Metric:
    """A metric by name or by function, as it goes with a loss."""
    if not isinstance(spec, str):
        if not callable(spec):
            raise ArgumentError(f"{spec!r} is no metric", fix=_FIX)
        return Metric(getattr(getattr(spec, "func", spec), "__name__", "metric"), spec)
    if spec in ("accuracy", "acc"):
        return Metric("accuracy", _answers("accuracy", accuracy, loss))
    if spec == "top_k_accuracy":
        return Metric(spec, _answers(spec, top_k_accuracy, loss))
    try:
        found = loss_of(spec)
    except ArgumentError:
        raise ArgumentError(f"unknown metric {spec!r}", fix=_FIX) from None
    if found.labels != loss.labels:
        raise ArgumentError(
            f"the metric {found.name} does not go with the loss {loss.name}",
            why=f"{(found if found.labels else loss).name} takes integer labels, the other targets like the outputs",
        )
    return Metric(found.name, found.function)


def numbered(metrics: Iterable[Metric]) -> tuple[Metric, ...]:
    """The same under names of their own: a second metric of one name, or one called loss, gets a number."""
    counts = {"loss": 1}
    result = []
    for m in metrics:
        counts[m.name] = counts.get(m.name, 0) + 1
        result.append(m if counts[m.name] == 1 else replace(m, name=f"{m.name}_{counts[m.name]}"))
    return tuple(result)


_FIX = f'use "accuracy", "top_k_accuracy", one of {", ".join(LOSSES)}, or a function of (targets, outputs)'


def _answers(name: str, function: LossFunction, loss: Loss) -> LossFunction:
    """A measure of labels, for the targets that a loss takes."""
    if loss.labels:
        return function
    if loss.rows:
        return lambda y_true, y_pred: function(argmax(y_true, axis=-1), y_pred)
    if loss.threshold is None or function is not accuracy:
        raise ArgumentError(
            f"{name} goes with no loss called {loss.name}",
            why="it counts right answers, and this loss is about numbers"
            if loss.threshold is None
            else "it needs several classes",
            fix="leave the metric out; the loss itself is reported",
        )
    limit = loss.threshold
    return lambda y_true, y_pred: accuracy(y_true, y_pred, limit)
