"""Losses of classes: one of two, or one of many.

>>> import graphc as gc
>>> s, t = gc.input("s", ("N", 3)), gc.input("t", ("N",), "int64")
>>> svm = gc.compile([t, s], multiclass_svm(t, s), backend="reference")
>>> round(float(svm([0], [[3.2, 5.1, -1.7]])), 6)
2.9
"""

from __future__ import annotations

from graphc.errors import ArgumentError
from graphc.lang.apply import apply, size_as
from graphc.lang.functions import arange, expand_dims, log_softmax, mean, pick, sum
from graphc.lang.source import operation
from graphc.lang.tensor import Tensor
from graphc.lint.recognise import is_row, softmax_of
from graphc.nn.losses.comparing import (
    SMALLEST,
    Reduction,
    check_labels,
    check_rows,
    check_same_shape,
    kept_from_zero,
    reduced,
)


@operation
def softmax_cross_entropy(
    y_true: Tensor, y_pred: Tensor, label_smoothing: float = 0.0, reduction: Reduction = "mean"
) -> Tensor:
    """−log softmax(y_pred)[y_true]: integer labels [...] against logits [..., C], computed stably.

    `label_smoothing` gives that much of the target to all classes alike.
    """
    check_labels(y_true, y_pred, "logits")
    _check_smoothing(label_smoothing)
    logarithms = log_softmax(y_pred)
    chosen = pick(logarithms, y_true)
    if label_smoothing:
        chosen = (1.0 - label_smoothing) * chosen + label_smoothing * mean(logarithms, axis=-1)
    # The sign outside the mean, where it costs one operation.
    return -reduced(chosen, reduction)


@operation
def sparse_categorical_cross_entropy(
    y_true: Tensor, y_pred: Tensor, from_logits: bool = False, reduction: Reduction = "mean"
) -> Tensor:
    """−log y_pred[y_true]: integer labels [...] against probabilities [..., C], or logits with `from_logits`.

    Probabilities that are a softmax are taken as its logits; others are kept above 1e-7.
    """
    logits = y_pred if from_logits else _logits_of(y_pred)
    if logits is not None:
        return softmax_cross_entropy(y_true, logits, reduction=reduction)
    check_labels(y_true, y_pred, "probabilities")
    return -reduced(apply("log", kept_from_zero(pick(y_pred, y_true))), reduction)


@operation
def categorical_cross_entropy(
    y_true: Tensor,
    y_pred: Tensor,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
) -> Tensor:
    """−Σ t·log y along the last axis: targets [..., C], one-hot or any distribution, against probabilities.

    Probabilities that are a softmax are taken as its logits; others are kept above 1e-7.  `from_logits` takes
    y_pred as what would go into the softmax.
    """
    check_rows("categorical_cross_entropy", y_true, y_pred)
    _check_smoothing(label_smoothing)
    if label_smoothing:
        classes = size_as(y_pred.shape[-1], y_pred.dtype)
        y_true = (1.0 - label_smoothing) * y_true + label_smoothing / classes
    logits = y_pred if from_logits else _logits_of(y_pred)
    if logits is not None:
        terms = apply("multiply_no_nan", log_softmax(logits), y_true)
    else:
        terms = apply("xlogy", y_true, kept_from_zero(y_pred))
    return -reduced(sum(terms, axis=-1), reduction)


@operation
def categorical_cross_entropy_from_logits(
    y_true: Tensor, y_pred: Tensor, label_smoothing: float = 0.0, reduction: Reduction = "mean"
) -> Tensor:
    """−Σ t·log softmax(y): `categorical_cross_entropy` of softmax(y_pred)."""
    return categorical_cross_entropy(y_true, y_pred, True, label_smoothing, reduction)


@operation
def binary_cross_entropy(
    y_true: Tensor, y_pred: Tensor, from_logits: bool = False, reduction: Reduction = "mean"
) -> Tensor:
    """The cross-entropy of probabilities y_pred and targets y_true in 0..1, element by element.

    Where y_pred is the result of a sigmoid, the loss is computed from what went into it, which is stable;
    other probabilities are kept 1e-7 away from 0 and 1, as in Keras.  `from_logits` takes y_pred as what
    would go into the sigmoid.
    """
    check_same_shape("binary_cross_entropy", y_true, y_pred)
    if not from_logits and is_row(y_pred.node, "sigmoid"):
        y_pred, from_logits = Tensor(y_pred.node.src[0]), True
    if from_logits:
        # Not softplus(y) − t·y: that cancels where the prediction is right and sure.
        positive, negative = apply("softplus", -y_pred), apply("softplus", y_pred)
        return reduced(y_true * positive + (1.0 - y_true) * negative, reduction)
    p = apply("minimum", kept_from_zero(y_pred), 1.0 - SMALLEST)
    return -reduced(y_true * apply("log", p) + (1.0 - y_true) * apply("log1p", -p), reduction)


@operation
def binary_cross_entropy_from_logits(y_true: Tensor, y_pred: Tensor, reduction: Reduction = "mean") -> Tensor:
    """t·softplus(−y) + (1 − t)·softplus(y): `binary_cross_entropy` of sigmoid(y_pred)."""
    return binary_cross_entropy(y_true, y_pred, from_logits=True, reduction=reduction)


@operation
def hinge(y_true: Tensor, y_pred: Tensor, reduction: Reduction = "mean") -> Tensor:
    """max(0, 1 − t·y) of targets −1 and 1, element by element; at the kink the gradient is 0."""
    check_same_shape("hinge", y_true, y_pred)
    return reduced(apply("relu", 1.0 - y_true * y_pred), reduction)


@operation
def squared_hinge(y_true: Tensor, y_pred: Tensor, reduction: Reduction = "mean") -> Tensor:
    """max(0, 1 − t·y)² of targets −1 and 1, element by element."""
    check_same_shape("squared_hinge", y_true, y_pred)
    return reduced(apply("square", apply("relu", 1.0 - y_true * y_pred)), reduction)


@operation
def multiclass_svm(
    y_true: Tensor, y_pred: Tensor, margin: float = 1.0, reduction: Reduction = "mean"
) -> Tensor:
    """Σ max(0, y[j] − y[t] + margin) over the wrong classes j: integer labels [...] against scores [..., C].

    Source: J. Weston, C. Watkins, Support vector machines for multi-class pattern recognition (1999).
    """
    check_labels(y_true, y_pred, "scores")
    chosen = pick(y_pred, y_true)
    margins = apply("relu", y_pred - expand_dims(chosen, -1) + margin)
    right = apply("equal", arange(y_pred.shape[-1]), expand_dims(y_true, -1))
    return reduced(sum(apply("where", right, 0.0, margins), axis=-1), reduction)


def _logits_of(p: Tensor) -> Tensor | None:
    """What went into the softmax along the last axis whose result p is."""
    found = softmax_of(p.node)
    return Tensor(found.logits) if found is not None and found.axes == (p.ndim - 1,) else None


def _check_smoothing(value: float) -> None:
    if not 0.0 <= value < 1.0:
        raise ArgumentError(f"label_smoothing must be at least 0 and less than 1, not {value!r}")
