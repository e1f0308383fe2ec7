"""Layers in Keras's names and arguments, on [N, channels, height, width] (NCHW): layer(tensor) → tensor.

| layer                      | on           | gives          | parameters                          |
|----------------------------|--------------|----------------|-------------------------------------|
| `Dense(u)`                 | [..., d]     | [..., u]       | kernel [d, u], bias [u]             |
| `Conv2D(f, k)`             | [N, c, h, w] | [N, f, h', w'] | kernel [f, c/groups, k, k], bias [f] |
| `MaxPool2D`, `AvgPool2D`   | [N, c, h, w] | [N, c, h', w'] |                                     |
| `Flatten`                  | [N, ...]     | [N, product]   |                                     |
| `Activation`, `Dropout`    | any          | the same       |                                     |

A layer makes its parameters when it is first applied; applied again, it shares them.

>>> x = Input((1, 28, 28))
>>> h = MaxPool2D(2)(Conv2D(20, 5, padding="same", activation="relu")(x))
>>> h.shape, Dense(10)(Flatten()(h)).shape
((N, 20, 14, 14), (N, 10))
"""

from __future__ import annotations

import re
import zlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from graphc.errors import ArgumentError, ShapeError
from graphc.ir.dims import product
from graphc.ir.types import Shape, shape_of
from graphc.lang.convolution import conv2d
from graphc.lang.functions import matmul, reshape
from graphc.lang.pooling import avg_pool2d, max_pool2d
from graphc.lang.random import dropout, random_fold_in
from graphc.lang.source import operation, user_location
from graphc.lang.tensor import Parameter, ShapeLike, Tensor, input, param
from graphc.lang.windows import pair
from graphc.nn.activations import Activation as Function
from graphc.nn.activations import activation as activation_of
from graphc.nn.activations import activation_name
from graphc.nn.calls import record, scope_of

Pair = int | Sequence[int]

_INITIALIZERS = {"glorot_uniform": "glorot", "he_normal": "kaiming", "random_normal": "normal"}


@operation
def Input(shape: ShapeLike, name: str = "x", dtype: object = "float32") -> Tensor:
    """An input of a model; `shape` leaves out the batch, which is the named dimension "N" in front."""
    return input(name, ("N", *shape_of(shape)), dtype)


class Layer(ABC):
    """A function of a tensor with parameters of its own.  Subclasses give `call`, and what else they need."""

    kind: ClassVar[str] = ""
    identity_at_inference: ClassVar[bool] = False  # dropped from the graph when a model only predicts

    @operation
    def __init__(self, name: str | None = None) -> None:
        if name is not None and not re.fullmatch(r"[A-Za-z]\w*", name):
            raise ArgumentError(f"{name!r} is no name for a layer", fix='use an identifier, such as "hidden"')
        self.name = name or ""
        self.parameters: tuple[Parameter, ...] = ()
        self.built_for: Shape | None = None

    @operation
    def __call__(self, x: Tensor) -> Tensor:
        """Apply the layer: the result is a tensor of the same graph."""
        if not isinstance(x, Tensor):
            raise ArgumentError(
                f"{type(self).__name__} takes a tensor, not {type(x).__name__}",
                fix="start from nn.Input(...); for numbers, use model.predict",
            )
        self.check(x)
        if self.built_for is None:
            self.name = self.name or scope_of((x.node,)).fresh(self.kind)
            self.build(x)
            self.built_for = x.shape
        elif self.parameters and self.essential(x.shape) != self.essential(self.built_for):
            raise ShapeError(
                f"{self.name} was made for {self.essential(self.built_for)}, and is applied to {x.node.type}",
                why="a layer that is applied again shares its parameters",
                fix="make a layer of its own for each shape",
            )
        result = self.call(x)
        record(self, x.node, result.node)
        return Tensor(result.node, self.name, user_location())

    def check(self, x: Tensor) -> None:
        """Raises ShapeError where the layer cannot be applied to such a tensor."""
        if x.ndim < 1:
            raise ShapeError(f"cannot apply {self.describe()} to {x.node.type}", why="it has no batch axis")

    def build(self, x: Tensor) -> None:
        """Make the parameters."""
        self.parameters = ()

    @abstractmethod
    def call(self, x: Tensor) -> Tensor:
        """The layer's formula."""

    def essential(self, shape: Shape) -> object:
        """That part of a shape that the parameters depend on."""
        return ()

    def updates(self) -> dict[Parameter, Tensor]:
        """New values of parameters that every training step changes by another rule than the optimiser's."""
        return {}

    def describe(self) -> str:
        """The layer as it would be written."""
        return f"{type(self).__name__}()"

    def __repr__(self) -> str:
        return f"<{self.name or 'unnamed'}: {self.describe()}>"

    def parameter(self, part: str, shape: tuple[int, ...], x: Tensor, init: object, seed: int) -> Parameter:
        """A parameter `layer/part`, of the dtype of what the layer is applied to."""
        known = _INITIALIZERS.get(init, init) if isinstance(init, str) else init
        made = param(f"{self.name}/{part}", shape, x.dtype, known, seed=seed)
        self.parameters = (*self.parameters, made)
        return made


class Dense(Layer):
    """x @ kernel + bias, then an activation: y[..., units] of x[..., d]."""

    kind = "dense"

    @operation
    def __init__(
        self,
        units: int,
        activation: str | Function | None = None,
        use_bias: bool = True,
        kernel_initializer: object = "glorot_uniform",
        bias_initializer: object = "zeros",
        name: str | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(name)
        self.units = _count(units, "units")
        self.activation, self.use_bias, self.seed = activation, use_bias, seed
        self.kernel_initializer, self.bias_initializer = kernel_initializer, bias_initializer
        activation_of(activation)  # an unknown name is an error here, where it is written

    def check(self, x: Tensor) -> None:
        if x.ndim < 2 or not isinstance(x.shape[-1], int):
            raise ShapeError(
                f"cannot apply a Dense layer to {x.node.type}", why="it needs [N, ..., features]"
            )

    def build(self, x: Tensor) -> None:
        features = int(x.shape[-1])  # type: ignore[arg-type]
        self.parameter("kernel", (features, self.units), x, self.kernel_initializer, self.seed)
        if self.use_bias:
            self.parameter("bias", (self.units,), x, self.bias_initializer, self.seed)

    def call(self, x: Tensor) -> Tensor:
        y = matmul(x, self.parameters[0])
        return activation_of(self.activation)(y + self.parameters[1] if self.use_bias else y)

    def essential(self, shape: Shape) -> object:
        return shape[-1]

    def describe(self) -> str:
        return _written("Dense", str(self.units), activation_name(self.activation))


class Conv2D(Layer):
    """Correlation with `filters` windows, plus a bias for each, then an activation; x is [N, c, h, w]."""

    kind = "conv2d"

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
        name: str | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(name)
        self.filters, self.groups = _count(filters, "filters"), _count(groups, "groups")
        self.kernel_size, self.strides = pair(kernel_size, "kernel_size"), pair(strides, "strides")
        self.dilation_rate, self.padding = pair(dilation_rate, "dilation_rate"), _padding(padding)
        self.activation, self.use_bias, self.seed = activation, use_bias, seed
        self.kernel_initializer, self.bias_initializer = kernel_initializer, bias_initializer
        activation_of(activation)

    def check(self, x: Tensor) -> None:
        _check_image(self, x)
        channels = x.shape[1]
        if not isinstance(channels, int) or channels % self.groups or self.filters % self.groups:
            raise ShapeError(
                f"cannot convolve {x.node.type} in {self.groups} groups",
                why=f"{self.groups} must divide both the {channels} channels and the {self.filters} filters",
            )

    def build(self, x: Tensor) -> None:
        channels = int(x.shape[1])  # type: ignore[arg-type]
        shape = (self.filters, channels // self.groups, *self.kernel_size)
        self.parameter("kernel", shape, x, self.kernel_initializer, self.seed)
        if self.use_bias:
            self.parameter("bias", (self.filters,), x, self.bias_initializer, self.seed)

    def call(self, x: Tensor) -> Tensor:
        y = conv2d(x, self.parameters[0], self.strides, self.padding, self.dilation_rate, self.groups)
        if self.use_bias:
            y = y + reshape(self.parameters[1], (self.filters, 1, 1))
        return activation_of(self.activation)(y)

    def essential(self, shape: Shape) -> object:
        return shape[1]

    def describe(self) -> str:
        extra = [f"strides={_short(self.strides)}"] if self.strides != (1, 1) else []
        extra += [f"dilation_rate={_short(self.dilation_rate)}"] if self.dilation_rate != (1, 1) else []
        extra += [f"groups={self.groups}"] if self.groups != 1 else []
        extra += [self.padding] if self.padding != "valid" else []
        kernel = _short(self.kernel_size)
        return _written("Conv2D", str(self.filters), kernel, *extra, activation_name(self.activation))


class MaxPool2D(Layer):
    """The maximum of each window of x[N, c, h, w]; strides are the window's size unless given."""

    kind = "max_pool2d"

    @operation
    def __init__(
        self,
        pool_size: Pair = 2,
        strides: Pair | None = None,
        padding: str = "valid",
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self.pool_size = pair(pool_size, "pool_size")
        self.strides = self.pool_size if strides is None else pair(strides, "strides")
        self.padding = _padding(padding)

    def check(self, x: Tensor) -> None:
        _check_image(self, x)

    def call(self, x: Tensor) -> Tensor:
        return max_pool2d(x, self.pool_size, self.strides, self.padding)

    def describe(self) -> str:
        strides = f"strides={_short(self.strides)}" if self.strides != self.pool_size else ""
        return _written(
            type(self).__name__, _short(self.pool_size), strides, self.padding.replace("valid", "")
        )


class AvgPool2D(MaxPool2D):
    """The mean of each window of x[N, c, h, w]; padding does not count."""

    kind = "avg_pool2d"

    def call(self, x: Tensor) -> Tensor:
        return avg_pool2d(x, self.pool_size, self.strides, self.padding)


class Flatten(Layer):
    """[N, a, b, ...] as [N, a·b·...]."""

    kind = "flatten"

    def call(self, x: Tensor) -> Tensor:
        return reshape(x, (x.shape[0], product(x.shape[1:])))


class Activation(Layer):
    """An activation as a layer of its own; see `graphc.nn.activations` for the names."""

    kind = "activation"

    @operation
    def __init__(self, activation: str | Function, name: str | None = None) -> None:
        super().__init__(name)
        self.activation = activation
        activation_of(activation)

    def call(self, x: Tensor) -> Tensor:
        return activation_of(self.activation)(x)

    def describe(self) -> str:
        return _written("Activation", activation_name(self.activation) or "linear")


class Dropout(Layer):
    """Zeros in random places, and the rest divided by 1 − rate; only while training.

    The places are a function of the layer's seed and name and of `counter`, the number of the training step,
    so that a run can be repeated exactly.  (N. Srivastava et al., JMLR 15, 2014, in its inverted form.)
    """

    kind = "dropout"
    identity_at_inference = True

    @operation
    def __init__(self, rate: float, name: str | None = None, seed: int = 0) -> None:
        super().__init__(name)
        if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0.0 <= rate < 1.0:
            raise ArgumentError(f"the rate of a dropout must be at least 0 and less than 1, not {rate!r}")
        self.rate, self.seed, self.applied = float(rate), seed, 0
        self.counter: Parameter | None = None

    def build(self, x: Tensor) -> None:
        self.counter = param(f"{self.name}/step", (), "int64", 0, trainable=False)

    def call(self, x: Tensor) -> Tensor:
        if self.rate == 0.0 or self.counter is None:
            return x
        place = zlib.crc32(f"{self.seed}/{self.name}/{self.applied}".encode())
        self.applied += 1
        return dropout(x, self.rate, random_fold_in(place, self.counter))

    def updates(self) -> dict[Parameter, Tensor]:
        return {} if self.counter is None or self.rate == 0.0 else {self.counter: self.counter + 1}

    def describe(self) -> str:
        return f"Dropout({self.rate:g})"


def _count(value: int, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ArgumentError(f"{what} must be a positive integer, not {value!r}")
    return value


def _padding(padding: str) -> str:
    if padding not in ("valid", "same"):
        raise ArgumentError(f"unknown padding {padding!r}", fix='use "valid" or "same"')
    return padding


def _check_image(layer: Layer, x: Tensor) -> None:
    if x.ndim != 4:
        raise ShapeError(
            f"cannot apply {layer.describe()} to {x.node.type}",
            why="it takes four axes: [N, channels, height, width]",
            fix="give nn.Input the shape (channels, height, width)"
            if x.ndim != 2
            else "put it before Flatten",
        )


def _short(values: tuple[int, int]) -> str:
    return str(values[0]) if values[0] == values[1] else f"({values[0]}, {values[1]})"


def _written(name: str, *arguments: str) -> str:
    return f"{name}({', '.join(a for a in arguments if a)})"
