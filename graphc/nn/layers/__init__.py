"""Layers in Keras's names and arguments, on [N, channels, height, width] (NCHW): layer(tensor) → tensor.

| module          | layers                                                                                        |
|-----------------|-----------------------------------------------------------------------------------------------|
| `core`          | `Dense`, `Maxout`, `Embedding`, `Activation`                                                  |
| `shapes`        | `Flatten`, `Reshape`, `Permute`                                                               |
| `noise`         | `Dropout`, `GaussianNoise`                                                                    |
| `convolution`   | `Conv1D`, `Conv2D`, `Conv3D`, `DepthwiseConv2D`, `SeparableConv2D`, `Conv2DTranspose`         |
| `pooling`       | `MaxPool2D`, `AvgPool2D`, `GlobalMaxPool2D`, `GlobalAvgPool2D`, in 1-D and 3-D too            |
| `normalization` | `BatchNormalization`, `LayerNormalization`, `GroupNormalization`, `LocalResponseNormalization` |
| `images`        | `UpSampling2D`, `ZeroPadding2D`, `Cropping2D`                                                 |
| `merging`       | `Add`, `Subtract`, `Multiply`, `Average`, `Maximum`, `Concatenate`                            |
| `recurrent`     | `SimpleRNN`, `LSTM`, `GRU`, `Bidirectional`                                                   |

A layer makes its parameters when it is first applied; applied again, it shares them.

>>> x = Input((1, 28, 28))
>>> h = MaxPool2D(2)(Conv2D(20, 5, padding="same", activation="relu")(x))
>>> h.shape, Dense(10)(Flatten()(h)).shape
((N, 20, 14, 14), (N, 10))
"""

from __future__ import annotations

from graphc.nn.layers.convolution import (
    Conv1D,
    Conv2D,
    Conv2DTranspose,
    Conv3D,
    DepthwiseConv2D,
    SeparableConv2D,
)
from graphc.nn.layers.core import Activation, Dense, Embedding, Maxout
from graphc.nn.layers.images import Cropping2D, UpSampling2D, ZeroPadding2D
from graphc.nn.layers.layer import Input, Layer
from graphc.nn.layers.merging import Add, Average, Concatenate, Maximum, Multiply, Subtract
from graphc.nn.layers.noise import Dropout, GaussianNoise
from graphc.nn.layers.normalization import (
    BatchNormalization,
    GroupNormalization,
    LayerNormalization,
    LocalResponseNormalization,
)
from graphc.nn.layers.pooling import (
    AveragePooling1D,
    AveragePooling2D,
    AveragePooling3D,
    AvgPool1D,
    AvgPool2D,
    AvgPool3D,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalAveragePooling3D,
    GlobalAvgPool1D,
    GlobalAvgPool2D,
    GlobalAvgPool3D,
    GlobalMaxPool1D,
    GlobalMaxPool2D,
    GlobalMaxPool3D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    GlobalMaxPooling3D,
    MaxPool1D,
    MaxPool2D,
    MaxPool3D,
    MaxPooling1D,
    MaxPooling2D,
    MaxPooling3D,
)
from graphc.nn.layers.recurrent import GRU, LSTM, Bidirectional, SimpleRNN
from graphc.nn.layers.shapes import Flatten, Permute, Reshape

__all__ = [
    "GRU",
    "LSTM",
    "Activation",
    "Add",
    "Average",
    "AveragePooling1D",
    "AveragePooling2D",
    "AveragePooling3D",
    "AvgPool1D",
    "AvgPool2D",
    "AvgPool3D",
    "BatchNormalization",
    "Bidirectional",
    "Concatenate",
    "Conv1D",
    "Conv2D",
    "Conv2DTranspose",
    "Conv3D",
    "Cropping2D",
    "Dense",
    "DepthwiseConv2D",
    "Dropout",
    "Embedding",
    "Flatten",
    "GaussianNoise",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalAveragePooling3D",
    "GlobalAvgPool1D",
    "GlobalAvgPool2D",
    "GlobalAvgPool3D",
    "GlobalMaxPool1D",
    "GlobalMaxPool2D",
    "GlobalMaxPool3D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "GlobalMaxPooling3D",
    "GroupNormalization",
    "Input",
    "Layer",
    "LayerNormalization",
    "LocalResponseNormalization",
    "MaxPool1D",
    "MaxPool2D",
    "MaxPool3D",
    "MaxPooling1D",
    "MaxPooling2D",
    "MaxPooling3D",
    "Maximum",
    "Maxout",
    "Multiply",
    "Permute",
    "Reshape",
    "SeparableConv2D",
    "SimpleRNN",
    "Subtract",
    "UpSampling2D",
    "ZeroPadding2D",
]
