"""Normalisation layers: mean 0 and variance 1, then gamma·x + beta, which are learned.

| layer                        | mean and variance over                                                       |
|------------------------------|------------------------------------------------------------------------------|
| `BatchNormalization`         | all but `axis`; of the batch while training, running ones when it predicts   |
| `LayerNormalization`         | `axis`, of each example                                                      |
| `GroupNormalization`         | a group of channels of each example                                          |
| `LocalResponseNormalization` | neighbouring channels; no mean, nothing is learned                           |

>>> from graphc.nn.layers.layer import Input
>>> norm = BatchNormalization()
>>> norm(Input((8, 5, 5))).shape, [p.name.partition("/")[2] for p in norm.parameters]
((N, 8, 5, 5), ['gamma', 'beta', 'moving_mean', 'moving_variance'])
"""

from __future__ import annotations

from collections.abc import Sequence

from graphc.errors import ArgumentError
from graphc.ir.types import Shape
from graphc.lang.normalization import batch_norm, group_norm, layer_norm, local_response_norm, moments
from graphc.lang.source import operation
from graphc.lang.tensor import Parameter, Tensor
from graphc.nn.layers.layer import Layer, count_of, known_channels, written


class _Scaled(Layer):
    """What all layers with a learned scale and centre have in common."""

    def __init__(
        self,
        epsilon: float,
        center: bool,
        scale: bool,
        beta_initializer: object,
        gamma_initializer: object,
        name: str | None,
    ) -> None:
        super().__init__(name)
        if not epsilon >= 0:
            raise ArgumentError(f"epsilon must be at least 0, not {epsilon!r}")
        self.epsilon, self.center, self.scale = epsilon, center, scale
        self.beta_initializer, self.gamma_initializer = beta_initializer, gamma_initializer
        self.gamma: Parameter | None = None
        self.beta: Parameter | None = None

    def build_scale(self, shape: tuple[int, ...], dtype: object) -> None:
        if self.scale:
            self.gamma = self.parameter("gamma", shape, dtype, self.gamma_initializer)
        if self.center:
            self.beta = self.parameter("beta", shape, dtype, self.beta_initializer)


class BatchNormalization(_Scaled):
    """gamma·(x − mean)/√(variance + epsilon) + beta, over all axes but one.

    While training, mean and variance are those of the batch, and running ones follow them:
    moving ← momentum·moving + (1 − momentum)·batch, in the training step.  A model that predicts or is evaluated
    uses the running ones; `Model.fold_batch_normalization` puts them into the layer before.
    Source: S. Ioffe, C. Szegedy, Batch normalization, arXiv:1502.03167.
    """

    kind = "batch_normalization"

    @operation
    def __init__(
        self,
        axis: int = 1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: object = "zeros",
        gamma_initializer: object = "ones",
        moving_mean_initializer: object = "zeros",
        moving_variance_initializer: object = "ones",
        name: str | None = None,
    ) -> None:
        super().__init__(epsilon, center, scale, beta_initializer, gamma_initializer, name)
        if not 0.0 <= momentum <= 1.0:
            raise ArgumentError(f"momentum must lie between 0 and 1, not {momentum!r}")
        self.axis, self.momentum = axis, momentum
        self.moving_mean_initializer = moving_mean_initializer
        self.moving_variance_initializer = moving_variance_initializer

    def check(self, x: Tensor) -> None:
        known_channels(self, x, self.axis)

    def build(self, x: Tensor) -> None:
        shape = (known_channels(self, x, self.axis),)
        self.build_scale(shape, x.dtype)
        self.moving_mean = self.parameter(
            "moving_mean", shape, x.dtype, self.moving_mean_initializer, trainable=False
        )
        self.moving_variance = self.parameter(
            "moving_variance", shape, x.dtype, self.moving_variance_initializer, trainable=False
        )

    def call(self, x: Tensor) -> Tensor:
        return batch_norm(x, None, None, self.gamma, self.beta, self.epsilon, self.axis)

    def inference(self, x: Tensor) -> Tensor | None:
        return batch_norm(
            x, self.moving_mean, self.moving_variance, self.gamma, self.beta, self.epsilon, self.axis
        )

    def observed(self, x: Tensor) -> tuple[Tensor, ...]:
        return moments(x, tuple(k for k in range(x.ndim) if k != self.axis % x.ndim))

    def updates(self, observed: Sequence[tuple[Tensor, ...]] = ()) -> dict[Parameter, Tensor]:
        if not observed:
            return {}
        mean: Tensor = self.moving_mean
        variance: Tensor = self.moving_variance
        for batch_mean, batch_variance in observed:  # applied twice, it moves twice
            mean = self.momentum * mean + (1.0 - self.momentum) * batch_mean
            variance = self.momentum * variance + (1.0 - self.momentum) * batch_variance
        return {self.moving_mean: mean, self.moving_variance: variance}

    def essential(self, shape: Shape) -> object:
        return shape[self.axis]

    def describe(self) -> str:
        return written(type(self).__name__, f"axis={self.axis}" if self.axis != 1 else "")


class LayerNormalization(_Scaled):
    """gamma·(x − mean)/√(variance + epsilon) + beta over the axes named, of each example.

    Source: J. Ba, J. Kiros, G. Hinton, Layer normalization, arXiv:1607.06450.
    """

    kind = "layer_normalization"

    @operation
    def __init__(
        self,
        axis: int | Sequence[int] = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: object = "zeros",
        gamma_initializer: object = "ones",
        name: str | None = None,
    ) -> None:
        super().__init__(epsilon, center, scale, beta_initializer, gamma_initializer, name)
        self.axis = (axis,) if isinstance(axis, int) else tuple(axis)

    def check(self, x: Tensor) -> None:
        for k in self.axis:
            known_channels(self, x, k)

    def build(self, x: Tensor) -> None:
        # gamma and beta have the axes in the order of x, as layer_norm wants them.
        axes = sorted(k % x.ndim for k in self.axis)
        self.build_scale(tuple(known_channels(self, x, k) for k in axes), x.dtype)

    def call(self, x: Tensor) -> Tensor:
        return layer_norm(
            x, tuple(sorted(k % x.ndim for k in self.axis)), self.gamma, self.beta, self.epsilon
        )

    def essential(self, shape: Shape) -> object:
        return tuple(shape[k] for k in self.axis)

    def describe(self) -> str:
        axes = self.axis[0] if len(self.axis) == 1 else self.axis
        return written(type(self).__name__, f"axis={axes}" if axes != -1 else "")


class GroupNormalization(_Scaled):
    """gamma·(x − mean)/√(variance + epsilon) + beta over each group of channels of each example; [N, c, ...].

    Source: Y. Wu, K. He, Group normalization, arXiv:1803.08494.
    """

    kind = "group_normalization"

    @operation
    def __init__(
        self,
        groups: int = 32,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: object = "zeros",
        gamma_initializer: object = "ones",
        name: str | None = None,
    ) -> None:
        super().__init__(epsilon, center, scale, beta_initializer, gamma_initializer, name)
        self.groups = count_of(groups, "groups")

    def check(self, x: Tensor) -> None:
        known_channels(self, x, 1)

    def build(self, x: Tensor) -> None:
        self.build_scale((known_channels(self, x, 1),), x.dtype)

    def call(self, x: Tensor) -> Tensor:
        return group_norm(x, self.groups, self.gamma, self.beta, self.epsilon)

    def essential(self, shape: Shape) -> object:
        return shape[1]

    def describe(self) -> str:
        return f"GroupNormalization({self.groups})"


class LocalResponseNormalization(Layer):
    """x/(k + alpha/size·Σ x²)^beta, the sum over `size` neighbouring channels; see `gc.local_response_norm`.

    AlexNet has k = 2, size = 5, beta = 0.75, and alpha = 5e-4 in this formula.
    """

    kind = "local_response_normalization"

    @operation
    def __init__(
        self,
        size: int = 5,
        alpha: float = 1e-4,
        beta: float = 0.75,
        k: float = 1.0,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self.size, self.alpha, self.beta, self.k = count_of(size, "size"), alpha, beta, k

    def call(self, x: Tensor) -> Tensor:
        return local_response_norm(x, self.size, self.alpha, self.beta, self.k)

    def describe(self) -> str:
        return f"LocalResponseNormalization({self.size})"
