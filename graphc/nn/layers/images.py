"""Layers that make images larger or smaller, on [N, channels, height, width].

>>> from graphc.nn.layers.layer import Input
>>> x = Input((3, 8, 8))
>>> UpSampling2D(2)(x).shape, ZeroPadding2D((1, 2))(x).shape, Cropping2D(((1, 0), (2, 2)))(x).shape
((N, 3, 16, 16), (N, 3, 10, 12), (N, 3, 7, 4))
"""

from __future__ import annotations

from collections.abc import Sequence

from graphc.errors import ArgumentError, ShapeError
from graphc.lang.functions import pad, upsample
from graphc.lang.source import operation
from graphc.lang.tensor import Tensor
from graphc.lang.windows import Pair, pair
from graphc.nn.layers.layer import Layer, check_image, short, written

Around = int | Sequence[int | Sequence[int]]


class _Image(Layer):
    """What all layers on images have in common."""

    def check(self, x: Tensor) -> None:
        check_image(self, x)


class UpSampling2D(_Image):
    """Every pixel as a block of `size`, or with interpolation="bilinear" values between pixels."""

    kind = "up_sampling2d"

    @operation
    def __init__(self, size: Pair = 2, interpolation: str = "nearest", name: str | None = None) -> None:
        super().__init__(name)
        if interpolation not in ("nearest", "bilinear"):
            raise ArgumentError(f"unknown interpolation {interpolation!r}", fix='use "nearest" or "bilinear"')
        self.size, self.interpolation = pair(size, "size"), interpolation

    def call(self, x: Tensor) -> Tensor:
        return upsample(x, self.size, self.interpolation)

    def describe(self) -> str:
        return written("UpSampling2D", short(self.size), self.interpolation.replace("nearest", ""))


class ZeroPadding2D(_Image):
    """Zeros around: a number, (rows, columns), or ((top, bottom), (left, right))."""

    kind = "zero_padding2d"

    @operation
    def __init__(self, padding: Around = 1, name: str | None = None) -> None:
        super().__init__(name)
        self.padding = _around(padding, "padding")

    def call(self, x: Tensor) -> Tensor:
        return pad(x, [(0, 0), (0, 0), *self.padding])

    def describe(self) -> str:
        return f"ZeroPadding2D({_written(self.padding)})"


class Cropping2D(_Image):
    """Pixels cut off: a number, (rows, columns), or ((top, bottom), (left, right))."""

    kind = "cropping2d"

    @operation
    def __init__(self, cropping: Around = 0, name: str | None = None) -> None:
        super().__init__(name)
        self.cropping = _around(cropping, "cropping")

    def check(self, x: Tensor) -> None:
        super().check(x)
        for size, (before, after) in zip(x.shape[2:], self.cropping, strict=True):
            if isinstance(size, int) and before + after >= size:
                raise ShapeError(
                    f"cannot apply {self.describe()} to {x.node.type}",
                    why=f"nothing is left of {size} pixels",
                )

    def call(self, x: Tensor) -> Tensor:
        (top, bottom), (left, right) = self.cropping
        return x[:, :, top : -bottom or None, left : -right or None]

    def describe(self) -> str:
        return f"Cropping2D({_written(self.cropping)})"


_Sides = tuple[tuple[int, int], ...]


def _around(value: Around, what: str) -> _Sides:
    """(before, after) of the rows and of the columns."""
    both: Sequence[int | Sequence[int]] = (value, value) if isinstance(value, int) else value
    sides = tuple((v, v) if isinstance(v, int) else tuple(v) for v in both)
    numbers = [n for side in sides for n in side]
    if [len(side) for side in sides] != [2, 2] or not all(isinstance(n, int) and n >= 0 for n in numbers):
        raise ArgumentError(
            f"{what} must be a number, two, or two pairs, of 0 or more, not {value!r}",
            fix=f"{what}=((top, bottom), (left, right))",
        )
    return tuple((side[0], side[1]) for side in sides)


def _written(sides: _Sides) -> str:
    if all(before == after for before, after in sides):
        return short([before for before, _ in sides])
    return str(sides)
