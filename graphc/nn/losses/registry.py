"""Losses by name, and what `Model.compile` must know of each: what targets it takes.

>>> loss_of("mean_squared_error").name, loss_of("softmax_cross_entropy").labels
('mse', True)
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TypeAlias

from graphc.errors import ArgumentError, ShapeError
from graphc.ir.types import DType, TensorType
from graphc.lang.tensor import Tensor
from graphc.nn.losses import classification, regression

LossFunction: TypeAlias = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Loss:
    """A loss function and what it takes: `targets` gives the type of the targets for that of the outputs."""

    name: str
    function: LossFunction
    labels: bool = False  # targets are integer labels, one for each row of outputs
    rows: bool = False  # targets are distributions over the classes of a row
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
        Loss("softmax_cross_entropy", classification.softmax_cross_entropy, labels=True),
        Loss(
            "sparse_categorical_cross_entropy",
            classification.sparse_categorical_cross_entropy,
            labels=True,
        ),
        Loss("categorical_cross_entropy", classification.categorical_cross_entropy, rows=True),
        Loss(
            "categorical_cross_entropy_from_logits",
            classification.categorical_cross_entropy_from_logits,
            rows=True,
        ),
        Loss("multiclass_svm", classification.multiclass_svm, labels=True),
        Loss("binary_cross_entropy", classification.binary_cross_entropy, threshold=0.5),
        Loss(
            "binary_cross_entropy_from_logits", classification.binary_cross_entropy_from_logits, threshold=0.0
        ),
        Loss("hinge", classification.hinge, threshold=0.0),
        Loss("squared_hinge", classification.squared_hinge, threshold=0.0),
        Loss("mse", regression.mse),
        Loss("mae", regression.mae),
        Loss("huber", regression.huber),
        Loss("poisson", regression.poisson),
        Loss("euclidean", regression.euclidean),
        Loss("cosine_similarity", regression.cosine_similarity),
        Loss("kl_divergence", regression.kl_divergence, rows=True),
    )
}
_ALIASES = {
    "mean_squared_error": "mse",
    "mean_absolute_error": "mae",
    "binary_crossentropy": "binary_cross_entropy",
    "categorical_crossentropy": "categorical_cross_entropy",
    "sparse_categorical_crossentropy": "sparse_categorical_cross_entropy",
    "kullback_leibler_divergence": "kl_divergence",
    "kld": "kl_divergence",
}


def loss_of(spec: str | LossFunction) -> Loss:
    """A loss by name or by function, or a `functools.partial` of one, which takes the same targets.

    Another function f(targets, outputs) takes targets like the outputs.
    """
    if isinstance(spec, str):
        name = _ALIASES.get(spec, spec)
        if name not in LOSSES:
            near = get_close_matches(spec, [*LOSSES, *_ALIASES], 1)
            raise ArgumentError(
                f"unknown loss {spec!r}",
                fix=f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(LOSSES)}",
            )
        return LOSSES[name]
    plain = spec.func if isinstance(spec, functools.partial) else spec
    for loss in LOSSES.values():
        if loss.function is plain:
            return replace(loss, function=spec)
    if not callable(spec):
        raise ArgumentError(f"{spec!r} is no loss", fix="give a name, or a function of (targets, outputs)")
    return Loss(getattr(plain, "__name__", "loss"), spec)
