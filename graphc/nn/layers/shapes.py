"""Layers that put the same numbers into another shape; the batch stays in front.

>>> from graphc.nn.layers.layer import Input
>>> x = Reshape((2, 3))(Input(6))
>>> x.shape, Permute((2, 1))(x).shape, Flatten()(x).shape
((N, 2, 3), (N, 3, 2), (N, 6))
"""

from __future__ import annotations

from collections.abc import Sequence

from graphc.errors import ArgumentError, ShapeError
from graphc.ir.dims import product
from graphc.lang.functions import reshape, transpose
from graphc.lang.source import operation
from graphc.lang.tensor import Tensor
from graphc.nn.layers.layer import Layer


class Flatten(Layer):
    """[N, a, b, ...] as [N, a·b·...]."""

    kind = "flatten"

    def call(self, x: Tensor) -> Tensor:
        return reshape(x, (x.shape[0], product(x.shape[1:])))


class Reshape(Layer):
    """[N, ...] as [N, *target_shape], in the same order; one -1 is found out."""

    kind = "reshape"

    @operation
    def __init__(self, target_shape: Sequence[int], name: str | None = None) -> None:
        super().__init__(name)
        self.target_shape = tuple(target_shape)

    def call(self, x: Tensor) -> Tensor:
        return reshape(x, (x.shape[0], *self.target_shape))

    def describe(self) -> str:
        return f"Reshape({self.target_shape})"


class Permute(Layer):
    """The axes in another order: `dims` counts them from 1, as in Keras; the batch stays in front."""

    kind = "permute"

    @operation
    def __init__(self, dims: Sequence[int], name: str | None = None) -> None:
        super().__init__(name)
        self.dims = tuple(dims)
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise ArgumentError(
                f"dims must be the numbers 1 to {len(self.dims)} in some order, not {self.dims}",
                why="the batch, axis 0, stays where it is",
            )

    def check(self, x: Tensor) -> None:
        if x.ndim != len(self.dims) + 1:
            raise ShapeError(
                f"cannot apply {self.describe()} to {x.node.type}",
                why=f"it orders {len(self.dims)} axes beside the batch",
            )

    def call(self, x: Tensor) -> Tensor:
        return transpose(x, (0, *self.dims))

    def describe(self) -> str:
        return f"Permute({self.dims})"
