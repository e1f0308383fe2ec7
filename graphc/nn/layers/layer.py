"""What every layer is: a function of a tensor with parameters of its own, and how it is applied.

>>> class Twice(Layer):
...     kind = "twice"
...     def call(self, x):
...         return 2.0 * x
>>> Twice()(Input(3))
Tensor(twice_1: mul, f32[N,3])
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from graphc.errors import ArgumentError, ShapeError
from graphc.ir.types import Shape, shape_of
from graphc.lang.source import operation, user_location
from graphc.lang.tensor import Parameter, ShapeLike, Tensor, input, param
from graphc.lang.windows import spatial_names
from graphc.nn.calls import record, scope_of
from graphc.nn.regularizers import Regularizer, regularizer_of


@operation
def Input(shape: ShapeLike, name: str = "x", dtype: object = "float32") -> Tensor:
    """An input of a model; `shape` leaves out the batch, which is the named dimension "N" in front."""
    return input(name, ("N", *shape_of(shape)), dtype)


class Layer(ABC):
    """A function of a tensor with parameters of its own.  Subclasses give `call`, and what else they need."""

    kind: ClassVar[str] = ""
    folds: ClassVar[tuple[int, int, int] | None] = None
    """Of a linear layer: its last kernel's place among the parameters, the axis of that kernel that holds the
    output channels, and the axis of the output that they are."""

    @operation
    def __init__(self, name: str | None = None) -> None:
        if name is not None and not re.fullmatch(r"[A-Za-z]\w*", name):
            raise ArgumentError(f"{name!r} is no name for a layer", fix='use an identifier, such as "hidden"')
        self.name = name or ""
        self.parameters: tuple[Parameter, ...] = ()
        self.regularizers: tuple[tuple[Parameter, Regularizer], ...] = ()
        self.built_for: Shape | None = None

    @operation
    def __call__(self, x: Tensor | Sequence[Tensor]) -> Tensor:
        """Apply the layer: the result is a tensor of the same graph."""
        xs = self.operands(x)
        first = xs[0]
        self.check(first)
        if self.built_for is None:
            self.name = self.name or scope_of([t.node for t in xs]).fresh(self.kind)
            self.build(first)
            self.built_for = first.shape
        elif self.parameters and self.essential(first.shape) != self.essential(self.built_for):
            raise ShapeError(
                f"{self.name} was made for {self.essential(self.built_for)}, and is applied to {first.node.type}",
                why="a layer that is applied again shares its parameters",
                fix="make a layer of its own for each shape",
            )
        result = self.result(xs)
        inference, observed = self.inference(first), self.observed(first)
        record(
            self,
            [t.node for t in xs],
            result.node,
            None if inference is None else inference.node,
            [t.node for t in observed],
        )
        return Tensor(result.node, self.name, user_location())

    def operands(self, x: Tensor | Sequence[Tensor]) -> tuple[Tensor, ...]:
        """What the layer is applied to, checked: one tensor, unless the layer merges several."""
        if not isinstance(x, Tensor):
            raise ArgumentError(
                f"{type(self).__name__} takes a tensor, not {type(x).__name__}",
                fix="start from nn.Input(...); for numbers, use model.predict",
            )
        return (x,)

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

    def result(self, xs: Sequence[Tensor]) -> Tensor:
        """The layer's formula for all operands."""
        return self.call(xs[0])

    def inference(self, x: Tensor) -> Tensor | None:
        """What takes the place of `call` when a model only predicts, where that is something else."""
        return None

    def observed(self, x: Tensor) -> tuple[Tensor, ...]:
        """What `updates` needs to know of each tensor that the layer is applied to."""
        return ()

    def updates(self, observed: Sequence[tuple[Tensor, ...]] = ()) -> dict[Parameter, Tensor]:
        """New values of parameters that every training step changes by another rule than the optimiser's.

        `observed` holds what the layer observed in each of its applications in a model.
        """
        return {}

    def essential(self, shape: Shape) -> object:
        """That part of a shape that the parameters depend on."""
        return ()

    def describe(self) -> str:
        """The layer as it would be written."""
        return f"{type(self).__name__}()"

    def __repr__(self) -> str:
        return f"<{self.name or 'unnamed'}: {self.describe()}>"

    def parameter(
        self,
        part: str,
        shape: tuple[int, ...],
        dtype: object,
        init: object,
        seed: int = 0,
        *,
        trainable: bool = True,
        regularizer: str | Regularizer | None = None,
    ) -> Parameter:
        """A parameter `layer/part`; a regulariser adds a penalty for it to the loss of a model."""
        made = param(f"{self.name}/{part}", shape, dtype, init, seed=seed, trainable=trainable)
        self.parameters = (*self.parameters, made)
        rule = regularizer_of(regularizer)
        if rule is not None:
            self.regularizers = (*self.regularizers, (made, rule))
        return made


# What the constructors of layers have in common.


def count_of(value: int, what: str) -> int:
    """A positive integer, checked."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ArgumentError(f"{what} must be a positive integer, not {value!r}")
    return value


def padding_of(padding: str, *more: str) -> str:
    """ "valid", "same", or what else the layer knows, checked."""
    if padding not in ("valid", "same", *more):
        known = ", ".join(f'"{name}"' for name in ("same", *more))
        raise ArgumentError(f"unknown padding {padding!r}", fix=f'use one of "valid", {known}')
    return padding


def check_image(layer: Layer, x: Tensor, rank: int = 2) -> None:
    """Raises ShapeError where a tensor is not [N, channels] and so many spatial axes."""
    if x.ndim != 2 + rank:
        count, axes = ("three", "four", "five")[rank - 1], spatial_names(rank).replace(",", ", ")
        raise ShapeError(
            f"cannot apply {layer.describe()} to {x.node.type}",
            why=f"it takes {count} axes: [N, channels, {axes}]",
            fix=f"give nn.Input the shape (channels, {axes})" if x.ndim != 2 else "put it before Flatten",
        )


def known_channels(layer: Layer, x: Tensor, axis: int) -> int:
    """The size of an axis on which parameters depend; ShapeError where it is named or not there."""
    if not -x.ndim <= axis < x.ndim or axis in (0, -x.ndim):
        raise ShapeError(
            f"cannot apply {layer.describe()} to {x.node.type}", why=f"it has no axis {axis} beside the batch"
        )
    size = x.shape[axis]
    if not isinstance(size, int):
        raise ShapeError(
            f"cannot apply {layer.describe()} to {x.node.type}",
            why=f"its parameters lie along axis {axis}, whose size {size} is not known before the function is called",
        )
    return size


def short(values: Sequence[int]) -> str:
    """Sizes as they would be written: one number where all are equal."""
    return str(values[0]) if len(set(values)) == 1 else f"({', '.join(map(str, values))})"


def written(name: str, *arguments: str) -> str:
    """A layer as it would be written, without the arguments that are empty."""
    return f"{name}({', '.join(a for a in arguments if a)})"
