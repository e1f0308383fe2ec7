"""Layers that are random, and only while training.

>>> from graphc.nn.layers.layer import Input
>>> noise = Dropout(0.5)
>>> noise(Input(3)).shape, noise.parameters, noise.counter
((N, 3), (), Tensor(dropout_1/step: param, i64[]))
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from graphc.errors import ArgumentError
from graphc.lang.functions import random_normal
from graphc.lang.random import dropout, random_fold_in
from graphc.lang.source import operation
from graphc.lang.tensor import Parameter, Tensor, param
from graphc.nn.layers.layer import Layer


class Noise(Layer):
    """What is random, and only while training.

    It is a function of the layer's seed and name and of `counter`, the number of the training step, so that a
    run can be repeated exactly.
    """

    def __init__(self, name: str | None, seed: int) -> None:
        super().__init__(name)
        self.seed, self.applied = seed, 0
        self.counter: Parameter | None = None

    def build(self, x: Tensor) -> None:
        self.counter = param(f"{self.name}/step", (), "int64", 0, trainable=False)

    def key(self) -> Tensor:
        """Another key for each layer, each application of it, and each training step."""
        assert self.counter is not None
        place = zlib.crc32(f"{self.seed}/{self.name}/{self.applied}".encode())
        self.applied += 1
        return random_fold_in(place, self.counter)

    def inference(self, x: Tensor) -> Tensor | None:
        return x

    def updates(self, observed: Sequence[tuple[Tensor, ...]] = ()) -> dict[Parameter, Tensor]:
        return {} if self.counter is None else {self.counter: self.counter + 1}


class Dropout(Noise):
    """Zeros in random places, and the rest divided by 1 − rate; only while training.

    (N. Srivastava et al., JMLR 15, 2014, in its inverted form.)
    """

    kind = "dropout"

    @operation
    def __init__(self, rate: float, name: str | None = None, seed: int = 0) -> None:
        super().__init__(name, seed)
        if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0.0 <= rate < 1.0:
            raise ArgumentError(f"the rate of a dropout must be at least 0 and less than 1, not {rate!r}")
        self.rate = float(rate)

    def call(self, x: Tensor) -> Tensor:
        return x if self.rate == 0.0 else dropout(x, self.rate, self.key())

    def updates(self, observed: Sequence[tuple[Tensor, ...]] = ()) -> dict[Parameter, Tensor]:
        return {} if self.rate == 0.0 else super().updates(observed)

    def describe(self) -> str:
        return f"Dropout({self.rate:g})"


class GaussianNoise(Noise):
    """Normal numbers of a standard deviation, added; only while training."""

    kind = "gaussian_noise"

    @operation
    def __init__(self, stddev: float, name: str | None = None, seed: int = 0) -> None:
        super().__init__(name, seed)
        if (
            isinstance(stddev, bool)
            or not isinstance(stddev, (int, float))
            or not 0.0 <= stddev < float("inf")
        ):
            raise ArgumentError(f"the stddev of a noise must be at least 0, not {stddev!r}")
        self.stddev = float(stddev)

    def call(self, x: Tensor) -> Tensor:
        return x + random_normal(self.key(), x.shape, x.dtype, std=self.stddev)

    def describe(self) -> str:
        return f"GaussianNoise({self.stddev:g})"
