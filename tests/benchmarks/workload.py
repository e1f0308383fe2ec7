"""What is measured: a body written once over `Ops`, its data, and what the machine must do for it at least.

| what `Problem` holds         | what one call does                                                      |
|------------------------------|-------------------------------------------------------------------------|
| neither of the two below     | `body(ops, params, *inputs)`                                            |
| `gradients=(0, 2)`           | its value, and its gradients with respect to the inputs 0 and 2         |
| `optimizer`                  | the loss, its gradients and the new parameters, in place where possible |

With `bound` the arrays of a call are fixed beforehand, for those frameworks that can.

The body of a workload is written once: operators, and the functions of `Ops`, which every framework provides.

>>> double = Problem(lambda ops, params, x: x + x, (np.ones(3),), flops=3)
>>> double.traffic, double.dtype
(24, 'float64')
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np

Array: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"
Value: TypeAlias = Any
"""A tensor of one of the frameworks; it has Python's operators."""


class Ops(Protocol):
    """The functions that bodies use; layouts are [N, features] and [N, channels, height, width].

    Softmax and layer normalisation go along the last axis; batch normalisation takes the mean and the variance of
    this batch.  `lstm` goes over xs[T, N, features], from zeros, with weights w[4·H, features] and u[4·H, H] and a
    bias[4·H] for the gates i, f, g, o; it gives the last h[N, H].
    """

    def exp(self, x: Value) -> Value: ...
    def tanh(self, x: Value) -> Value: ...
    def sigmoid(self, x: Value) -> Value: ...
    def relu(self, x: Value) -> Value: ...
    def sum(self, x: Value) -> Value: ...
    def linear(self, x: Value, w: Value, b: Value) -> Value: ...
    def conv2d(self, x: Value, w: Value, b: Value | None, padding: int, stride: int = 1) -> Value: ...
    def batch_norm(self, x: Value, gamma: Value, beta: Value) -> Value: ...
    def layer_norm(self, x: Value, gamma: Value, beta: Value) -> Value: ...
    def max_pool2d(self, x: Value, size: int, stride: int, padding: int = 0) -> Value: ...
    def mean_of_places(self, x: Value) -> Value: ...
    def flatten(self, x: Value) -> Value: ...
    def lstm(self, xs: Value, w: Value, u: Value, b: Value) -> Value: ...
    def softmax(self, x: Value) -> Value: ...
    def log_softmax(self, x: Value) -> Value: ...
    def cross_entropy(self, logits: Value, labels: Value) -> Value: ...


Body: TypeAlias = Callable[..., Value]
EPSILON = 1e-5
"""What both normalisations add to the variance."""


@dataclass(frozen=True, slots=True)
class SGD:
    """v ← μ·v − η·g; w ← w + v."""

    rate: float
    momentum: float = 0.0

    @property
    def memories(self) -> int:
        """How many arrays of the size of the parameters it keeps."""
        return int(self.momentum != 0.0)


@dataclass(frozen=True, slots=True)
class Adam:
    """m ← β₁·m + (1 − β₁)·g; v ← β₂·v + (1 − β₂)·g²; w ← w − η·√(1 − β₂ᵗ)/(1 − β₁ᵗ)·m/(√v + ε)."""

    rate: float
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    memories = 2


@dataclass(frozen=True)
class Problem:
    """One thing to compute.

    `flops` counts what no implementation can avoid: two for each multiply-add of a matrix product or a
    convolution; `written` the bytes of large results.  `tolerance` bounds |got − expected|, relative to the
    largest expected magnitude of an array.
    """

    body: Body
    inputs: tuple[Array, ...]
    params: Mapping[str, Array] = field(default_factory=dict)
    gradients: tuple[int, ...] = ()
    optimizer: SGD | Adam | None = None
    bound: bool = False
    flops: float = 0.0
    written: int = 0
    tolerance: float = 1e-4

    @property
    def dtype(self) -> str:
        """The dtype that the arithmetic is done in."""
        arrays = (*self.params.values(), *self.inputs)
        return next(a.dtype.name for a in arrays if a.dtype.kind == "f")

    @property
    def traffic(self) -> int:
        """Bytes that must move at least: every input and parameter read once, updated ones and results written."""
        weights = sum(a.nbytes for a in self.params.values())
        if self.optimizer is not None:
            weights *= 2 * (1 + self.optimizer.memories)
        return weights + sum(a.nbytes for a in self.inputs) + self.written


@dataclass(frozen=True)
class Prepared:
    """A workload made ready by one framework.

    `call` does the whole work and waits for it; `read` gives what the last call computed: the results, then
    the parameters (the gradients) in their order; `reset` takes the parameters back to where they began.
    """

    call: Callable[[], object]
    read: Callable[[], list[Array]]
    reset: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class Workload:
    """A row of the table; its data is made when it is measured.

    `target` is the least that the best peer's time / graphc's should be, on two threads.
    """

    name: str
    title: str
    problem: Callable[[], Problem]
    target: float
