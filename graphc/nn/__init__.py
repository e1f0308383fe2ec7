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

from graphc.nn import data, layers, losses
from graphc.nn.callbacks import Callback, EarlyStopping
from graphc.nn.history import History
from graphc.nn.layers import *  # noqa: F403 (listed there)
from graphc.nn.losses import *  # noqa: F403
from graphc.nn.metrics import accuracy, top_k_accuracy
from graphc.nn.model import Model
from graphc.nn.optimizers import SGD, Adadelta, Adagrad, Adam, AdamW, Optimizer, RMSprop
from graphc.nn.regularizers import L1, L1L2, L2
from graphc.nn.schedules import (
    CosineDecay,
    CosineDecayRestarts,
    ExponentialDecay,
    InverseTimeDecay,
    LearningRateSchedule,
    PiecewiseConstantDecay,
    PolynomialDecay,
)

__all__ = [
    "L1",
    "L1L2",
    "L2",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Callback",
    "CosineDecay",
    "CosineDecayRestarts",
    "EarlyStopping",
    "ExponentialDecay",
    "History",
    "InverseTimeDecay",
    "LearningRateSchedule",
    "Model",
    "Optimizer",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
    "RMSprop",
    "accuracy",
    "data",
    "top_k_accuracy",
]
__all__ += layers.__all__
__all__ += losses.__all__
