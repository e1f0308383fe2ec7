"""What is measured: a body written once over `Ops`, its data, and what the machine must do for it at least.

| what `Problem` holds         | what one call does                                                      |
|------------------------------|-------------------------------------------------------------------------|
| neither of the two below     | `body(ops, params, *inputs)`                                            |
| `gradients=True`             | its value, and its gradient with respect to every input                 |
| `optimizer`                  | the loss, its gradients and the new parameters, in place where possible |

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
    """The functions that bodies use; layouts are [N, features] and [N, channels, height, width]."""

    def exp(self, x: Value) -> Value: ...
    def tanh(self, x: Value) -> Value: ...
    def sigmoid(self, x: Value) -> Value: ...
    def relu(self, x: Value) -> Value: ...
    def sum(self, x: Value) -> Value: ...
    def linear(self, x: Value, w: Value, b: Value) -> Value: ...
    def conv2d(self, x: Value, w: Value, b: Value, padding: int) -> Value: ...
    def max_pool2d(self, x: Value, size: int) -> Value: ...
    def flatten(self, x: Value) -> Value: ...
    def cross_entropy(self, logits: Value, labels: Value) -> Value: ...


Body: TypeAlias = Callable[..., Value]


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
    gradients: bool = False
    optimizer: SGD | Adam | None = None
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
    """A row of the table; its data is made when it is measured."""

    name: str
    title: str
    problem: Callable[[], Problem]
