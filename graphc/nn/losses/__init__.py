"""Losses: functions of (targets, outputs) that give one scalar, the mean over the batch.

| name                                    | targets t   | outputs y     | per example, or element e               |
|-----------------------------------------|-------------|---------------|-----------------------------------------|
| `softmax_cross_entropy`                 | labels, [N] | logits [N, C] | logsumexp(y) − y[t]                     |
| `sparse_categorical_cross_entropy`      | labels, [N] | probabilities | −log y[t]                               |
| `categorical_cross_entropy`             | [N, C]      | probabilities | −Σ t·log y                              |
| `categorical_cross_entropy_from_logits` | [N, C]      | logits        | −Σ t·log softmax(y)                     |
| `multiclass_svm`                        | labels, [N] | scores [N, C] | Σ max(0, y[j] − y[t] + 1) over j ≠ t    |
| `binary_cross_entropy`                  | 0..1, as y  | probabilities | e: −t·log y − (1 − t)·log(1 − y)        |
| `binary_cross_entropy_from_logits`      | 0..1, as y  | logits        | e: t·softplus(−y) + (1 − t)·softplus(y) |
| `hinge`, `squared_hinge`                | −1, 1, as y | scores        | e: max(0, 1 − t·y), and its square      |
| `mse`, `mae`                            | as y        | any           | e: (y − t)², abs(y − t)                 |
| `huber`                                 | as y        | any           | e: d²/2 to abs(d) = 1, linear beyond    |
| `poisson`                               | counts      | rates         | e: y − t·log y                          |
| `euclidean`                             | as y        | [N, d]        | √Σ (y − t)²                             |
| `cosine_similarity`                     | as y        | [N, d]        | −cos of the angle between t and y       |
| `kl_divergence`                         | [N, C]      | probabilities | Σ t·log(t/y)                            |
| `triplet`, `contrastive`                |             |               | distances between embeddings            |

Every loss takes `reduction="mean"`, "sum" or "none".  0·log 0 is 0; a probability that is compared with log is
kept 1e-7 away from 0, as in Keras, so that every value is finite.  Where probabilities are the result of a softmax
or a sigmoid, the loss is computed from the logits, which is exact.

>>> import graphc as gc
>>> y, t = gc.input("y", ("N", 3)), gc.input("t", ("N",), "int64")
>>> loss = gc.compile([t, y], softmax_cross_entropy(t, y), backend="reference")
>>> round(float(loss([0, 2], [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])), 6)     # log 3
1.098612
"""

from __future__ import annotations

from graphc.nn.losses.classification import (
    binary_cross_entropy,
    binary_cross_entropy_from_logits,
    categorical_cross_entropy,
    categorical_cross_entropy_from_logits,
    hinge,
    multiclass_svm,
    softmax_cross_entropy,
    sparse_categorical_cross_entropy,
    squared_hinge,
)
from graphc.nn.losses.regression import (
    contrastive,
    cosine_similarity,
    euclidean,
    huber,
    kl_divergence,
    mae,
    mse,
    poisson,
    triplet,
)

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_from_logits",
    "categorical_cross_entropy",
    "categorical_cross_entropy_from_logits",
    "contrastive",
    "cosine_similarity",
    "euclidean",
    "hinge",
    "huber",
    "kl_divergence",
    "mae",
    "mse",
    "multiclass_svm",
    "poisson",
    "softmax_cross_entropy",
    "sparse_categorical_cross_entropy",
    "squared_hinge",
    "triplet",
]
