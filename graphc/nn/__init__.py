"""Networks: layers, losses, optimisers and a training loop, in Keras's names and arguments.

>>> from graphc import nn
>>> inputs = nn.Input(784)
>>> hidden = nn.Dense(100, activation="relu")(inputs)
>>> model = nn.Model(inputs, nn.Dense(10)(hidden))
>>> model
<model: 2 layers, 79510 parameters>

Images are NCHW: [N, channels, height, width].  Everything here builds ordinary tensors; `gc.grad`,
`gc.compile` and the pictures take them as they are.
"""

from __future__ import annotations

from graphc.nn import data
from graphc.nn.history import History
from graphc.nn.layers import Activation, AvgPool2D, Conv2D, Dense, Dropout, Flatten, Input, Layer, MaxPool2D
from graphc.nn.losses import (
    binary_cross_entropy,
    binary_cross_entropy_from_logits,
    categorical_cross_entropy,
    categorical_cross_entropy_from_logits,
    contrastive,
    cosine_similarity,
    euclidean,
    hinge,
    huber,
    kl_divergence,
    mae,
    mse,
    multiclass_svm,
    poisson,
    softmax_cross_entropy,
    sparse_categorical_cross_entropy,
    squared_hinge,
    triplet,
)
from graphc.nn.metrics import accuracy, top_k_accuracy
from graphc.nn.model import Model
from graphc.nn.optimizers import SGD, Adam, Optimizer

__all__ = [
    "SGD",
    "Activation",
    "Adam",
    "AvgPool2D",
    "Conv2D",
    "Dense",
    "Dropout",
    "Flatten",
    "History",
    "Input",
    "Layer",
    "MaxPool2D",
    "Model",
    "Optimizer",
    "accuracy",
    "binary_cross_entropy",
    "binary_cross_entropy_from_logits",
    "categorical_cross_entropy",
    "categorical_cross_entropy_from_logits",
    "contrastive",
    "cosine_similarity",
    "data",
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
    "top_k_accuracy",
    "triplet",
]
