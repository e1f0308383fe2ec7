"""Pooling layers, on [N, channels, *spatial].

| layer                                      | of each window                     | spatial axes |
|--------------------------------------------|------------------------------------|--------------|
| `MaxPool1D`, `MaxPool2D`, `MaxPool3D`      | the maximum                        | 1, 2, 3      |
| `AvgPool1D`, `AvgPool2D`, `AvgPool3D`      | the mean; padding does not count   | 1, 2, 3      |
| `GlobalMaxPool1D`, `GlobalAvgPool1D`, ...  | of the whole: [N, channels]        | 1, 2, 3      |

Keras's longer names (`MaxPooling2D`, `AveragePooling2D`, `GlobalAveragePooling2D`, ...) are the same classes.

>>> from graphc.nn.layers.layer import Input
>>> x = Input((20, 27, 27))
>>> MaxPool2D(3, strides=2)(x).shape, GlobalAvgPool2D()(x).shape
((N, 20, 13, 13), (N, 20))
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from graphc.lang.functions import global_avg_pool, global_max_pool
from graphc.lang.pooling import avg_pool1d, avg_pool2d, avg_pool3d, max_pool1d, max_pool2d, max_pool3d
from graphc.lang.source import operation
from graphc.lang.tensor import Tensor
from graphc.lang.windows import Pair, per_axis
from graphc.nn.layers.layer import Layer, check_image, padding_of, short, written


class _Pool(Layer):
    """What all layers that pool have in common: their function, and for how many spatial axes."""

    rank: ClassVar[int]
    function: ClassVar[Callable[..., Tensor]]

    def check(self, x: Tensor) -> None:
        check_image(self, x, self.rank)


class _WindowPool(_Pool):
    """What all layers that pool windows have in common."""

    @operation
    def __init__(
        self,
        pool_size: Pair = 2,
        strides: Pair | None = None,
        padding: str = "valid",
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self.pool_size = per_axis(pool_size, self.rank, "pool_size")
        self.strides = self.pool_size if strides is None else per_axis(strides, self.rank, "strides")
        self.padding = padding_of(padding)

    def call(self, x: Tensor) -> Tensor:
        return type(self).function(x, self.pool_size, self.strides, self.padding)

    def describe(self) -> str:
        strides = f"strides={short(self.strides)}" if self.strides != self.pool_size else ""
        return written(type(self).__name__, short(self.pool_size), strides, self.padding.replace("valid", ""))


class MaxPool1D(_WindowPool):
    """The maximum of each window of x[N, c, length]; strides are the window's size unless given."""

    kind, rank, function = "max_pool1d", 1, staticmethod(max_pool1d)


class MaxPool2D(_WindowPool):
    """The maximum of each window of x[N, c, h, w]; strides are the window's size unless given."""

    kind, rank, function = "max_pool2d", 2, staticmethod(max_pool2d)


class MaxPool3D(_WindowPool):
    """The maximum of each window of x[N, c, depth, h, w]; strides are the window's size unless given."""

    kind, rank, function = "max_pool3d", 3, staticmethod(max_pool3d)


class AvgPool1D(_WindowPool):
    """The mean of each window of x[N, c, length]; padding does not count."""

    kind, rank, function = "avg_pool1d", 1, staticmethod(avg_pool1d)


class AvgPool2D(_WindowPool):
    """The mean of each window of x[N, c, h, w]; padding does not count."""

    kind, rank, function = "avg_pool2d", 2, staticmethod(avg_pool2d)


class AvgPool3D(_WindowPool):
    """The mean of each window of x[N, c, depth, h, w]; padding does not count."""

    kind, rank, function = "avg_pool3d", 3, staticmethod(avg_pool3d)


class _GlobalPool(_Pool):
    """What all layers that pool the whole image have in common."""

    @operation
    def __init__(self, keepdims: bool = False, name: str | None = None) -> None:
        super().__init__(name)
        self.keepdims = keepdims

    def call(self, x: Tensor) -> Tensor:
        return type(self).function(x, self.keepdims)

    def describe(self) -> str:
        return written(type(self).__name__, "keepdims=True" if self.keepdims else "")


class GlobalMaxPool1D(_GlobalPool):
    """The maximum of each channel of x[N, c, length]: [N, c]."""

    kind, rank, function = "global_max_pool1d", 1, staticmethod(global_max_pool)


class GlobalMaxPool2D(_GlobalPool):
    """The maximum of each channel of x[N, c, h, w]: [N, c], or [N, c, 1, 1] with `keepdims`."""

    kind, rank, function = "global_max_pool2d", 2, staticmethod(global_max_pool)


class GlobalMaxPool3D(_GlobalPool):
    """The maximum of each channel of x[N, c, depth, h, w]: [N, c]."""

    kind, rank, function = "global_max_pool3d", 3, staticmethod(global_max_pool)


class GlobalAvgPool1D(_GlobalPool):
    """The mean of each channel of x[N, c, length]: [N, c]."""

    kind, rank, function = "global_avg_pool1d", 1, staticmethod(global_avg_pool)


class GlobalAvgPool2D(_GlobalPool):
    """The mean of each channel of x[N, c, h, w]: [N, c], or [N, c, 1, 1] with `keepdims`."""

    kind, rank, function = "global_avg_pool2d", 2, staticmethod(global_avg_pool)


class GlobalAvgPool3D(_GlobalPool):
    """The mean of each channel of x[N, c, depth, h, w]: [N, c]."""

    kind, rank, function = "global_avg_pool3d", 3, staticmethod(global_avg_pool)


MaxPooling1D, MaxPooling2D, MaxPooling3D = MaxPool1D, MaxPool2D, MaxPool3D
AveragePooling1D, AveragePooling2D, AveragePooling3D = AvgPool1D, AvgPool2D, AvgPool3D
GlobalMaxPooling1D, GlobalMaxPooling2D, GlobalMaxPooling3D = GlobalMaxPool1D, GlobalMaxPool2D, GlobalMaxPool3D
GlobalAveragePooling1D, GlobalAveragePooling2D = GlobalAvgPool1D, GlobalAvgPool2D
GlobalAveragePooling3D = GlobalAvgPool3D
