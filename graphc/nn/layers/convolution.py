"""Convolutional layers, on [N, channels, *spatial].

| layer                      | kernel                                           | spatial axes |
|----------------------------|--------------------------------------------------|--------------|
| `Conv1D`, `Conv2D`, `Conv3D` | [f, c/groups, *k]                              | 1, 2, 3      |
| `DepthwiseConv2D`          | [c·m, 1, k, k]: m filters for each channel       | 2            |
| `SeparableConv2D`          | that, then [f, c·m, 1, 1]                        | 2            |
| `Conv2DTranspose`          | [c, f, k, k]                                     | 2            |

>>> from graphc.nn.layers.layer import Input
>>> x = Input((3, 32, 32))
>>> Conv2DTranspose(3, 3, strides=2, padding="same")(Conv2D(8, 3, strides=2, padding="same")(x)).shape
(N, 3, 32, 32)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from graphc.errors import ShapeError
from graphc.ir.types import Shape
from graphc.lang.convolution import conv1d, conv2d, conv3d, conv_transpose2d
from graphc.lang.functions import reshape
from graphc.lang.source import operation
from graphc.lang.tensor import Tensor
from graphc.lang.windows import Padding, Pair, per_axis
from graphc.nn.activations import Activation as Function
from graphc.nn.activations import activation as activation_of
from graphc.nn.activations import activation_name
from graphc.nn.layers.layer import Layer, check_image, count_of, known_channels, padding_of, short, written
from graphc.nn.regularizers import Regularizer, regularizer_of

_FUNCTIONS: dict[int, Callable[..., Tensor]] = {1: conv1d, 2: conv2d, 3: conv3d}


class _Convolution(Layer):
    """What all layers with a sliding kernel have in common."""

    rank: ClassVar[int] = 2
    folds = (0, 0, 1)

    @operation
    def __init__(
        self,
        filters: int,
        kernel_size: Pair,
        strides: Pair = 1,
        padding: str = "valid",
        activation: str | Function | None = None,
        groups: int = 1,
        dilation_rate: Pair = 1,
        use_bias: bool = True,
        kernel_initializer: object = "glorot_uniform",
        bias_initializer: object = "zeros",
        kernel_regularizer: str | Regularizer | None = None,
        name: str | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(name)
        self.filters, self.groups = count_of(filters, "filters"), count_of(groups, "groups")
        self.kernel_size = per_axis(kernel_size, self.rank, "kernel_size")
        self.strides = per_axis(strides, self.rank, "strides")
        self.dilation_rate = per_axis(dilation_rate, self.rank, "dilation_rate")
        self.padding = padding_of(padding, *(["causal"] if self.rank == 1 else []))
        self.activation, self.use_bias, self.seed = activation, use_bias, seed
        self.kernel_initializer, self.bias_initializer = kernel_initializer, bias_initializer
        activation_of(activation)
        self.kernel_regularizer = regularizer_of(kernel_regularizer)

    def check(self, x: Tensor) -> None:
        check_image(self, x, self.rank)
        known_channels(self, x, 1)

    def build(self, x: Tensor) -> None:
        channels = known_channels(self, x, 1)
        for part, shape in self.kernels(channels).items():
            self.parameter(
                part, shape, x.dtype, self.kernel_initializer, self.seed, regularizer=self.kernel_regularizer
            )
        if self.use_bias:
            self.parameter("bias", (self.outputs(channels),), x.dtype, self.bias_initializer, self.seed)

    def kernels(self, channels: int) -> dict[str, tuple[int, ...]]:
        """The shapes of the kernels."""
        return {"kernel": (self.filters, channels // self.groups, *self.kernel_size)}

    def outputs(self, channels: int) -> int:
        """How many channels come out."""
        return self.filters

    def slide(self, x: Tensor) -> Tensor:
        """The convolution, without the bias."""
        return self.convolve(x, self.parameters[0], self.groups)

    def convolve(self, x: Tensor, kernel: Tensor, groups: int) -> Tensor:
        padding: Padding = self.padding
        if padding == "causal":  # no output sees what comes after it
            padding = [(self.dilation_rate[0] * (self.kernel_size[0] - 1), 0)]
        return _FUNCTIONS[self.rank](x, kernel, self.strides, padding, self.dilation_rate, groups)

    def convolve_each(self, x: Tensor, kernel: Tensor) -> Tensor:
        """The same for each channel by itself."""
        return self.convolve(x, kernel, known_channels(self, x, 1))

    def call(self, x: Tensor) -> Tensor:
        y = self.slide(x)
        if self.use_bias:
            bias = self.parameters[-1]
            y = y + reshape(bias, (*bias.shape, *(1,) * self.rank))
        return activation_of(self.activation)(y)

    def essential(self, shape: Shape) -> object:
        return shape[1]

    def describe(self) -> str:
        return written(
            type(self).__name__, *self.leading(), *self.options(), activation_name(self.activation)
        )

    def leading(self) -> Sequence[str]:
        """The first arguments, as they would be written."""
        return str(self.filters), short(self.kernel_size)

    def options(self) -> Sequence[str]:
        """The arguments that are not the usual ones."""
        extra = [f"strides={short(self.strides)}"] if set(self.strides) != {1} else []
        extra += [f"dilation_rate={short(self.dilation_rate)}"] if set(self.dilation_rate) != {1} else []
        extra += [f"groups={self.groups}"] if self.groups != 1 else []
        return [*extra, self.padding.replace("valid", "")]


class Conv2D(_Convolution):
    """Correlation with `filters` windows, plus a bias for each, then an activation; x is [N, c, h, w]."""

    kind = "conv2d"

    def check(self, x: Tensor) -> None:
        super().check(x)
        channels = known_channels(self, x, 1)
        if channels % self.groups or self.filters % self.groups:
            raise ShapeError(
                f"cannot convolve {x.node.type} in {self.groups} groups",
                why=f"{self.groups} must divide both the {channels} channels and the {self.filters} filters",
            )


class Conv1D(Conv2D):
    """The same on rows [N, c, length]; padding="causal" lets no output see what comes after it."""

    kind = "conv1d"
    rank = 1


class Conv3D(Conv2D):
    """The same on volumes [N, c, depth, h, w]."""

    kind = "conv3d"
    rank = 3


class DepthwiseConv2D(_Convolution):
    """`depth_multiplier` windows for each channel by itself: [N, c, h, w] gives [N, c·multiplier, h', w']."""

    kind = "depthwise_conv2d"

    @operation
    def __init__(
        self,
        kernel_size: Pair,
        strides: Pair = 1,
        padding: str = "valid",
        depth_multiplier: int = 1,
        activation: str | Function | None = None,
        dilation_rate: Pair = 1,
        use_bias: bool = True,
        depthwise_initializer: object = "glorot_uniform",
        bias_initializer: object = "zeros",
        depthwise_regularizer: str | Regularizer | None = None,
        name: str | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(
            count_of(depth_multiplier, "depth_multiplier"), kernel_size, strides, padding, activation, 1,
            dilation_rate, use_bias, depthwise_initializer, bias_initializer, depthwise_regularizer, name, seed,
        )  # fmt: skip
        self.depth_multiplier = depth_multiplier

    def kernels(self, channels: int) -> dict[str, tuple[int, ...]]:
        return {"kernel": (self.outputs(channels), 1, *self.kernel_size)}

    def outputs(self, channels: int) -> int:
        return channels * self.depth_multiplier

    def slide(self, x: Tensor) -> Tensor:
        return self.convolve_each(x, self.parameters[0])

    def leading(self) -> Sequence[str]:
        multiplier = f"depth_multiplier={self.depth_multiplier}" if self.depth_multiplier != 1 else ""
        return short(self.kernel_size), multiplier


class SeparableConv2D(_Convolution):
    """A depthwise convolution, then `filters` sums over the channels of each pixel, then the activation.

    Source: F. Chollet, Xception, arXiv:1610.02357.
    """

    kind = "separable_conv2d"
    folds = (1, 0, 1)

    @operation
    def __init__(
        self,
        filters: int,
        kernel_size: Pair,
        strides: Pair = 1,
        padding: str = "valid",
        depth_multiplier: int = 1,
        activation: str | Function | None = None,
        dilation_rate: Pair = 1,
        use_bias: bool = True,
        kernel_initializer: object = "glorot_uniform",
        bias_initializer: object = "zeros",
        kernel_regularizer: str | Regularizer | None = None,
        name: str | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(
            filters, kernel_size, strides, padding, activation, 1, dilation_rate,
            use_bias, kernel_initializer, bias_initializer, kernel_regularizer, name, seed,
        )  # fmt: skip
        self.depth_multiplier = count_of(depth_multiplier, "depth_multiplier")

    def kernels(self, channels: int) -> dict[str, tuple[int, ...]]:
        between = channels * self.depth_multiplier
        return {
            "depthwise_kernel": (between, 1, *self.kernel_size),
            "pointwise_kernel": (self.filters, between, 1, 1),
        }

    def slide(self, x: Tensor) -> Tensor:
        depthwise, pointwise = self.parameters[:2]
        return conv2d(self.convolve_each(x, depthwise), pointwise)

    def options(self) -> Sequence[str]:
        multiplier = f"depth_multiplier={self.depth_multiplier}" if self.depth_multiplier != 1 else ""
        return [*super().options(), multiplier]


class Conv2DTranspose(_Convolution):
    """The transpose of a convolution, which makes images larger: "same" gives h·stride, as in Keras.

    "valid" gives (h − 1)·stride + the reach of the kernel, at least h·stride.
    """

    kind = "conv2d_transpose"
    folds = (0, 1, 1)

    @operation
    def __init__(
        self,
        filters: int,
        kernel_size: Pair,
        strides: Pair = 1,
        padding: str = "valid",
        activation: str | Function | None = None,
        dilation_rate: Pair = 1,
        use_bias: bool = True,
        kernel_initializer: object = "glorot_uniform",
        bias_initializer: object = "zeros",
        kernel_regularizer: str | Regularizer | None = None,
        name: str | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(
            filters, kernel_size, strides, padding, activation, 1, dilation_rate,
            use_bias, kernel_initializer, bias_initializer, kernel_regularizer, name, seed,
        )  # fmt: skip

    def kernels(self, channels: int) -> dict[str, tuple[int, ...]]:
        return {"kernel": (channels, self.filters, *self.kernel_size)}

    def slide(self, x: Tensor) -> Tensor:
        kernel, beyond = self.parameters[0], (0,) * self.rank
        if self.padding == "valid":
            reach = [d * (k - 1) + 1 for d, k in zip(self.dilation_rate, self.kernel_size, strict=True)]
            beyond = tuple(max(0, s - r) for s, r in zip(self.strides, reach, strict=True))
        return conv_transpose2d(x, kernel, self.strides, self.padding, beyond, dilation=self.dilation_rate)
