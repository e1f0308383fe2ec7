"""Losses of numbers: differences, distributions, and distances.

>>> import graphc as gc
>>> y, t = gc.input("y", ("N",)), gc.input("t", ("N",))
>>> loss = gc.compile([t, y], huber(t, y), backend="reference")
>>> float(loss([0.0, 0.0], [1.0, 3.0]))
1.5
"""

from __future__ import annotations

from graphc.errors import ArgumentError
from graphc.lang.apply import apply
from graphc.lang.functions import norm, sum
from graphc.lang.source import operation
from graphc.lang.tensor import Tensor
from graphc.nn.losses.comparing import (
    SMALLEST,
    Reduction,
    check_rows,
    check_same_shape,
    kept_from_zero,
    reduced,
)


@operation
def mse(y_true: Tensor, y_pred: Tensor, reduction: Reduction = "mean") -> Tensor:
    """(y_pred − y_true)², element by element."""
    check_same_shape("mse", y_true, y_pred)
    return reduced(apply("square", y_pred - y_true), reduction)


@operation
def mae(y_true: Tensor, y_pred: Tensor, reduction: Reduction = "mean") -> Tensor:
    """|y_pred − y_true|, element by element; where they are equal the gradient is 0."""
    check_same_shape("mae", y_true, y_pred)
    return reduced(apply("abs", y_pred - y_true), reduction)


@operation
def huber(y_true: Tensor, y_pred: Tensor, delta: float = 1.0, reduction: Reduction = "mean") -> Tensor:
    """d²/2 where |d| ≤ delta, delta·(|d| − delta/2) beyond, of d = y_pred − y_true, element by element.

    Source: P. J. Huber, Robust estimation of a location parameter (1964).
    """
    check_same_shape("huber", y_true, y_pred)
    if not delta > 0:
        raise ArgumentError(f"delta must be above 0, not {delta!r}")
    size = apply("abs", y_pred - y_true)
    # With c = min(|d|, delta) both sides are c·(|d| − c/2): no square overflows that is not asked for.
    near = apply("minimum", size, delta)
    return reduced(near * (size - 0.5 * near), reduction)


@operation
def poisson(y_true: Tensor, y_pred: Tensor, log_input: bool = False, reduction: Reduction = "mean") -> Tensor:
    """y − t·log y of counts t and rates y, element by element; with `log_input` e^y − t·y of logarithms y.

    It is −log of Poisson's distribution, but for log t!, which no gradient sees.
    """
    check_same_shape("poisson", y_true, y_pred)
    if log_input:
        return reduced(apply("exp", y_pred) - y_true * y_pred, reduction)
    return reduced(y_pred - apply("xlogy", y_true, kept_from_zero(y_pred)), reduction)


@operation
def euclidean(y_true: Tensor, y_pred: Tensor, reduction: Reduction = "mean") -> Tensor:
    """√Σ (y_pred − y_true)² along the last axis; where they are equal the gradient is 0."""
    check_rows("euclidean", y_true, y_pred)
    return reduced(norm(y_pred - y_true, axis=-1), reduction)


@operation
def cosine_similarity(y_true: Tensor, y_pred: Tensor, reduction: Reduction = "mean") -> Tensor:
    """−cos of the angle between rows: −1 where they point the same way, 1 where opposite ways, 0 for a row of 0."""
    check_rows("cosine_similarity", y_true, y_pred)
    return -reduced(sum(_unit(y_true) * _unit(y_pred), axis=-1), reduction)


def _unit(x: Tensor) -> Tensor:
    return x / apply("maximum", norm(x, axis=-1, keepdims=True), SMALLEST)


@operation
def kl_divergence(y_true: Tensor, y_pred: Tensor, reduction: Reduction = "mean") -> Tensor:
    """Σ t·log(t/y) along the last axis, of distributions t and y; 0·log 0 is 0.

    Source: S. Kullback, R. A. Leibler, On information and sufficiency (1951).
    """
    check_rows("kl_divergence", y_true, y_pred)
    return reduced(sum(apply("xlogy", y_true, y_true / kept_from_zero(y_pred)), axis=-1), reduction)


@operation
def triplet(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    squared: bool = False,
    reduction: Reduction = "mean",
) -> Tensor:
    """max(0, d(anchor, positive) − d(anchor, negative) + margin) of embeddings [..., d], d the Euclidean distance.

    With `squared` its square, as in the source: F. Schroff, D. Kalenichenko, J. Philbin, FaceNet,
    arXiv:1503.03832.
    """
    near, far = _distance("triplet", anchor, positive), _distance("triplet", anchor, negative)
    if squared:
        near, far = apply("square", near), apply("square", far)
    return reduced(apply("relu", near - far + margin), reduction)


@operation
def contrastive(
    y_true: Tensor, a: Tensor, b: Tensor, margin: float = 1.0, reduction: Reduction = "mean"
) -> Tensor:
    """t·d² + (1 − t)·max(0, margin − d)²: t[...] is 1 where a and b [..., d] belong together, else 0.

    Twice the loss of the source, where t is the other way round: R. Hadsell, S. Chopra, Y. LeCun, Dimensionality
    reduction by learning an invariant mapping (2006).
    """
    distance = _distance("contrastive", a, b)
    check_same_shape("contrastive", y_true, distance)
    apart = apply("square", apply("relu", margin - distance))
    return reduced(y_true * apply("square", distance) + (1.0 - y_true) * apart, reduction)


def _distance(name: str, a: Tensor, b: Tensor) -> Tensor:
    check_rows(name, a, b)
    return norm(a - b, axis=-1)
