"""Layers of several tensors: layer([a, b, ...]).

| layer                                     | gives                                        |
|-------------------------------------------|----------------------------------------------|
| `Add`, `Multiply`, `Average`, `Maximum`   | element by element, of tensors of one shape  |
| `Subtract`                                | the first less the second                    |
| `Concatenate(axis)`                       | side by side along an axis                   |

Operators do the same without a name: `a + b`, `gc.concatenate([a, b], axis=1)`.

>>> from graphc.nn.layers.layer import Input
>>> a, b = Input((3, 4), "a"), Input((5, 4), "b")
>>> Concatenate(axis=1)([a, b]).shape, Add()([a, a, a])
((N, 8, 4), Tensor(add_1: add, f32[N,3,4]))
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from graphc.errors import ArgumentError, ShapeError
from graphc.lang.apply import apply
from graphc.lang.functions import concatenate
from graphc.lang.source import operation
from graphc.lang.tensor import Tensor
from graphc.nn.layers.layer import Layer


class Merge(Layer):
    """A function of several tensors; subclasses give `merge`."""

    @abstractmethod
    def merge(self, xs: Sequence[Tensor]) -> Tensor:
        """The layer's formula."""

    def call(self, x: Tensor) -> Tensor:
        return self.merge([x])

    def result(self, xs: Sequence[Tensor]) -> Tensor:
        return self.merge(xs)

    def operands(self, x: Tensor | Sequence[Tensor]) -> tuple[Tensor, ...]:
        xs = (x,) if isinstance(x, Tensor) else tuple(x)
        wrong = [type(t).__name__ for t in xs if not isinstance(t, Tensor)]
        if len(xs) < 2 or wrong:
            got = f"a list with a {wrong[0]} in it" if wrong else "a single one" if xs else "an empty list"
            raise ArgumentError(
                f"{type(self).__name__} takes a list of two tensors or more, not {got}",
                fix=f"apply it to a list: nn.{self.describe()}([a, b])",
            )
        for t in xs[1:]:
            self.check_pair(xs[0], t)
        return xs

    def check_pair(self, a: Tensor, b: Tensor) -> None:
        """Raises ShapeError where two tensors cannot be merged."""
        # [N,1] and [N] would broadcast to [N,N].
        if a.shape != b.shape:
            raise ShapeError(
                f"{self.describe()} merges {a.node.type} with {b.node.type}",
                why="all tensors must have one shape",
                fix="reshape one of them, or write the formula with operators, which broadcast",
            )


class _Folded(Merge):
    """One operation of two, from the first to the last."""

    row = ""

    def merge(self, xs: Sequence[Tensor]) -> Tensor:
        total = xs[0]
        for t in xs[1:]:
            total = apply(self.row, total, t)
        return total


class Add(_Folded):
    """The sum of tensors."""

    kind, row = "add", "add"


class Multiply(_Folded):
    """The product of tensors, element by element."""

    kind, row = "multiply", "mul"


class Maximum(_Folded):
    """The maximum of tensors, element by element; of equal ones the first has the gradient."""

    kind, row = "maximum", "maximum"


class Average(_Folded):
    """The mean of tensors, element by element."""

    kind, row = "average", "add"

    def merge(self, xs: Sequence[Tensor]) -> Tensor:
        return super().merge(xs) / float(len(xs))


class Subtract(_Folded):
    """The first tensor less the second."""

    kind, row = "subtract", "sub"

    def operands(self, x: Tensor | Sequence[Tensor]) -> tuple[Tensor, ...]:
        xs = super().operands(x)
        if len(xs) != 2:
            raise ArgumentError(f"Subtract takes two tensors, not {len(xs)}")
        return xs


class Concatenate(Merge):
    """Tensors side by side along an axis (1: channels); all other axes must be equal."""

    kind = "concatenate"

    @operation
    def __init__(self, axis: int = 1, name: str | None = None) -> None:
        super().__init__(name)
        self.axis = axis

    def check_pair(self, a: Tensor, b: Tensor) -> None:
        """`concatenate` itself says what does not fit."""

    def merge(self, xs: Sequence[Tensor]) -> Tensor:
        return concatenate(list(xs), self.axis)

    def describe(self) -> str:
        return "Concatenate()" if self.axis == 1 else f"Concatenate(axis={self.axis})"
