"""Dense layers, tables of rows, and activations.

| layer                 | on           | gives          | parameters                       |
|-----------------------|--------------|----------------|----------------------------------|
| `Dense(u)`            | [..., d]     | [..., u]       | kernel [d, u], bias [u]          |
| `Maxout(u, k)`        | [..., d]     | [..., u]       | kernel [d, u·k], bias [u·k]      |
| `Embedding(n, u)`     | integers     | [..., u]       | embeddings [n, u]                |
| `Activation`          | any          | the same       |                                  |

>>> from graphc.nn.layers.layer import Input
>>> Dense(10)(Input(6)).shape, Maxout(4, pieces=3)(Input(6)).shape
((N, 10), (N, 4))
"""

from __future__ import annotations

from typing import ClassVar

from graphc.errors import ArgumentError, ShapeError
from graphc.ir.types import Shape
from graphc.lang.functions import embedding, matmul, maxout
from graphc.lang.source import operation
from graphc.lang.tensor import Tensor
from graphc.nn.activations import Activation as Function
from graphc.nn.activations import activation as activation_of
from graphc.nn.activations import activation_name
from graphc.nn.layers.layer import Layer, count_of, written
from graphc.nn.regularizers import Regularizer, regularizer_of


class Dense(Layer):
    """x @ kernel + bias, then an activation: y[..., units] of x[..., d]."""

    kind = "dense"
    folds: ClassVar[tuple[int, int, int] | None] = (0, 1, -1)

    @operation
    def __init__(
        self,
        units: int,
        activation: str | Function | None = None,
        use_bias: bool = True,
        kernel_initializer: object = "glorot_uniform",
        bias_initializer: object = "zeros",
        kernel_regularizer: str | Regularizer | None = None,
        name: str | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(name)
        self.units = count_of(units, "units")
        self.activation, self.use_bias, self.seed = activation, use_bias, seed
        self.kernel_initializer, self.bias_initializer = kernel_initializer, bias_initializer
        activation_of(activation)  # an unknown name is an error here, where it is written
        self.kernel_regularizer = regularizer_of(kernel_regularizer)

    def check(self, x: Tensor) -> None:
        if x.ndim < 2 or not isinstance(x.shape[-1], int):
            raise ShapeError(
                f"cannot apply a {type(self).__name__} layer to {x.node.type}",
                why="it needs [N, ..., features]",
            )

    def build(self, x: Tensor) -> None:
        features, outputs = int(x.shape[-1]), self.outputs  # type: ignore[arg-type]
        shape = (features, outputs)
        self.parameter(
            "kernel", shape, x.dtype, self.kernel_initializer, self.seed, regularizer=self.kernel_regularizer
        )
        if self.use_bias:
            self.parameter("bias", (outputs,), x.dtype, self.bias_initializer, self.seed)

    @property
    def outputs(self) -> int:
        """How many columns the kernel has."""
        return self.units

    def call(self, x: Tensor) -> Tensor:
        y = matmul(x, self.parameters[0])
        return activation_of(self.activation)(y + self.parameters[1] if self.use_bias else y)

    def essential(self, shape: Shape) -> object:
        return shape[-1]

    def describe(self) -> str:
        return written(type(self).__name__, str(self.units), activation_name(self.activation))


class Maxout(Dense):
    """The largest of `pieces` linear functions, for each of `units`: y[..., units] of x[..., d].

    Source: I. Goodfellow et al., Maxout networks, arXiv:1302.4389.
    """

    kind = "maxout"
    folds = None

    @operation
    def __init__(
        self,
        units: int,
        pieces: int = 2,
        use_bias: bool = True,
        kernel_initializer: object = "glorot_uniform",
        bias_initializer: object = "zeros",
        kernel_regularizer: str | Regularizer | None = None,
        name: str | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(
            units, None, use_bias, kernel_initializer, bias_initializer, kernel_regularizer, name, seed
        )
        self.pieces = count_of(pieces, "pieces")

    @property
    def outputs(self) -> int:
        return self.units * self.pieces

    def call(self, x: Tensor) -> Tensor:
        return maxout(super().call(x), self.pieces)

    def describe(self) -> str:
        return f"Maxout({self.units}, pieces={self.pieces})"


class Embedding(Layer):
    """A row of a table for each integer: y[..., output_dim] of x[...], whose numbers lie in 0 … input_dim − 1."""

    kind = "embedding"

    @operation
    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: object = "uniform",
        embeddings_regularizer: str | Regularizer | None = None,
        dtype: object = "float32",
        name: str | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(name)
        self.input_dim, self.output_dim = count_of(input_dim, "input_dim"), count_of(output_dim, "output_dim")
        self.embeddings_initializer, self.dtype, self.seed = embeddings_initializer, dtype, seed
        self.embeddings_regularizer = regularizer_of(embeddings_regularizer)

    def check(self, x: Tensor) -> None:
        super().check(x)
        if not x.dtype.is_integer:
            raise ArgumentError(
                f"cannot apply {self.describe()} to {x.node.type}",
                why="it looks up rows by their numbers",
                fix='give nn.Input dtype="int64"',
            )

    def build(self, x: Tensor) -> None:
        shape = (self.input_dim, self.output_dim)
        rule = self.embeddings_regularizer
        self.parameter(
            "embeddings", shape, self.dtype, self.embeddings_initializer, self.seed, regularizer=rule
        )

    def call(self, x: Tensor) -> Tensor:
        return embedding(self.parameters[0], x)

    def describe(self) -> str:
        return f"Embedding({self.input_dim}, {self.output_dim})"


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
        return written("Activation", activation_name(self.activation) or "linear")
