"""Optimisers: new values of parameters, as tensors of the same graph.

| optimiser           | new value of a parameter w with gradient g                                        |
|---------------------|-----------------------------------------------------------------------------------|
| `SGD`               | w − η·g                                                                           |
| `SGD`, momentum μ   | v ← μ·v − η·g;  w + v                                                             |
| `SGD`, nesterov     | v ← μ·v − η·g;  w + μ·v − η·g                                                     |
| `Adagrad`           | a ← a + g²;  w − η·g/√(a + ε)                                                     |
| `Adadelta`          | a ← ρ·a + (1 − ρ)·g²;  d = √(b + ε)·g/√(a + ε);  b ← ρ·b + (1 − ρ)·d²;  w − η·d   |
| `RMSprop`           | a ← ρ·a + (1 − ρ)·g²;  w − η·g/√(a + ε)                                           |
| `RMSprop`, momentum μ | the same step as v ← μ·v + η·g/√(a + ε);  w − v                                 |
| `RMSprop`, centered | with m ← ρ·m + (1 − ρ)·g, and a − m² in place of a                                |
| `Adam`              | m ← β₁·m + (1 − β₁)·g;  v ← β₂·v + (1 − β₂)·g²;  w − ηₜ·m/(√v + ε)                |
| `AdamW`             | Adam with `weight_decay`                                                          |

with ηₜ = η·√(1 − β₂ᵗ)/(1 − β₁ᵗ) in step t.

`updates` goes into `gc.compile(..., updates=)`, so that a whole training step is one native call.  What an
optimiser remembers (v, m, the step number t) and its learning rate η are parameters too: changing the rate
compiles nothing anew.  What all share, clipping, decay and schedules, is in `graphc.nn.optimizer`.

Sources: B. T. Polyak (1964); Y. Nesterov (1983), in the form of I. Sutskever et al. (2013); J. Duchi et al.,
Adagrad (2011); M. Zeiler, Adadelta (arXiv:1212.5701); T. Tieleman, G. Hinton, RMSprop (2012); D. P. Kingma and
J. Ba, Adam (arXiv:1412.6980, the efficient form of section 2); I. Loshchilov, F. Hutter, AdamW (arXiv:1711.05101).
Where ε stands is Keras's choice.

>>> import graphc as gc
>>> w = gc.param("w", init=1.0, dtype="float64")
>>> step = gc.compile([], [w * w], updates=Adagrad(1.0).updates(w * w, [w]), backend="reference")
>>> float(step()[0]), round(float(w.value), 4)                          # 1 − 2/√(0.1 + 4)
(1.0, 0.0123)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Unpack

import numpy as np

from graphc.errors import ArgumentError
from graphc.ir.types import DType
from graphc.lang.apply import apply
from graphc.lang.functions import cast
from graphc.lang.source import operation
from graphc.lang.tensor import Parameter, Tensor
from graphc.nn.optimizer import Common, Optimizer, Schedule, Updates, check

__all__ = ["SGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Optimizer", "RMSprop", "Updates", "optimizer_of"]


class SGD(Optimizer):
    """Gradient descent, with momentum where it is not 0."""

    kind = "sgd"

    @operation
    def __init__(
        self,
        learning_rate: float | Schedule = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(learning_rate, **common)
        check("momentum", momentum, 0.0, 1.0)
        self.momentum, self.nesterov = momentum, nesterov

    def step(self, p: Parameter, g: Tensor, result: Updates) -> Tensor:
        if self.momentum == 0.0:
            return p - self.rate(p) * g
        v = self.remember("velocity", p)
        result[v] = self.momentum * v - self.rate(p) * g
        return p + (self.momentum * result[v] - self.rate(p) * g if self.nesterov else result[v])

    def __repr__(self) -> str:
        momentum = f"momentum={self.momentum}" if self.momentum else ""
        return self.written(momentum, "nesterov=True" if self.nesterov else "")


class Adagrad(Optimizer):
    """Steps scaled by all squares of the gradient so far."""

    kind = "adagrad"

    @operation
    def __init__(
        self,
        learning_rate: float | Schedule = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(learning_rate, **common)
        check("initial_accumulator_value", initial_accumulator_value, 0.0, np.inf)
        check("epsilon", epsilon, 0.0, np.inf)
        self.initial_accumulator_value, self.epsilon = initial_accumulator_value, epsilon

    def step(self, p: Parameter, g: Tensor, result: Updates) -> Tensor:
        a = self.remember("accumulator", p, self.initial_accumulator_value)
        result[a] = a + apply("square", g)
        return p - self.rate(p) * g / apply("sqrt", result[a] + self.epsilon)

    def __repr__(self) -> str:
        return self.written()


class Adadelta(Optimizer):
    """Steps in the units of the parameter: scaled by running means of the squares of gradients and of steps."""

    kind = "adadelta"

    @operation
    def __init__(
        self,
        learning_rate: float | Schedule = 0.001,
        rho: float = 0.95,
        epsilon: float = 1e-7,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(learning_rate, **common)
        check("rho", rho, 0.0, 1.0)
        check("epsilon", epsilon, 0.0, np.inf)
        self.rho, self.epsilon = rho, epsilon

    def step(self, p: Parameter, g: Tensor, result: Updates) -> Tensor:
        a = self.running_mean("accumulated_gradient", p, self.rho, apply("square", g), result)
        b = self.remember("accumulated_step", p)
        delta = apply("sqrt", b + self.epsilon) * g / apply("sqrt", a + self.epsilon)
        result[b] = self.rho * b + (1.0 - self.rho) * apply("square", delta)
        return p - self.rate(p) * delta

    def __repr__(self) -> str:
        return self.written(f"rho={self.rho}")


class RMSprop(Optimizer):
    """Steps scaled by a running mean of the squares of the gradient."""

    kind = "rmsprop"

    @operation
    def __init__(
        self,
        learning_rate: float | Schedule = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(learning_rate, **common)
        for name, value in (("rho", rho), ("momentum", momentum)):
            check(name, value, 0.0, 1.0)
        check("epsilon", epsilon, 0.0, np.inf)
        self.rho, self.momentum, self.epsilon, self.centered = rho, momentum, epsilon, centered

    def step(self, p: Parameter, g: Tensor, result: Updates) -> Tensor:
        size = self.running_mean("mean_square", p, self.rho, apply("square", g), result)
        if self.centered:
            m = self.running_mean("mean", p, self.rho, g, result)
            size = size - apply("square", m)
        change = self.rate(p) * g / apply("sqrt", size + self.epsilon)
        if self.momentum == 0.0:
            return p - change
        v = self.remember("velocity", p)
        result[v] = self.momentum * v + change
        return p - result[v]

    def __repr__(self) -> str:
        momentum = f"momentum={self.momentum}" if self.momentum else ""
        return self.written(f"rho={self.rho}", momentum, "centered=True" if self.centered else "")


class Adam(Optimizer):
    """Steps scaled by running means of the gradient and of its square."""

    kind = "adam"

    @operation
    def __init__(
        self,
        learning_rate: float | Schedule = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(learning_rate, **common)
        for name, value in (("beta_1", beta_1), ("beta_2", beta_2)):
            check(name, value, 0.0, 1.0)
        check("epsilon", epsilon, 0.0, np.inf)
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon
        self._corrected: Tensor = self.eta

    def prepare(self, result: Updates) -> None:
        # In f64: 1 − 0.999 would have four digits in f32.
        t = cast(self.steps(result), DType.F64)
        shrink_1 = 1.0 - apply("pow", self.beta_1, t)
        shrink_2 = 1.0 - apply("pow", self.beta_2, t)
        self._corrected = self.eta * apply("sqrt", shrink_2) / shrink_1

    def step(self, p: Parameter, g: Tensor, result: Updates) -> Tensor:
        m = self.running_mean("m", p, self.beta_1, g, result)
        v = self.running_mean("v", p, self.beta_2, apply("square", g), result)
        return p - cast(self._corrected, p.dtype) * m / (apply("sqrt", v) + self.epsilon)

    def __repr__(self) -> str:
        return self.written(f"beta_1={self.beta_1}", f"beta_2={self.beta_2}")


class AdamW(Adam):
    """Adam, and weights that decay by η·weight_decay in each step, whatever the gradient's scale."""

    kind = "adamw"

    @operation
    def __init__(
        self,
        learning_rate: float | Schedule = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        *,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
    ) -> None:
        super().__init__(
            learning_rate,
            beta_1,
            beta_2,
            epsilon,
            weight_decay=weight_decay,
            clipnorm=clipnorm,
            clipvalue=clipvalue,
            global_clipnorm=global_clipnorm,
        )


_BY_NAME: dict[str, Callable[[], Optimizer]] = {
    "sgd": SGD,
    "adagrad": Adagrad,
    "adadelta": Adadelta,
    "rmsprop": RMSprop,
    "adam": Adam,
    "adamw": AdamW,
}


def optimizer_of(spec: str | Optimizer) -> Optimizer:
    """An optimiser, or one by name with its usual settings."""
    if isinstance(spec, Optimizer):
        return spec
    found = _BY_NAME.get(spec.lower()) if isinstance(spec, str) else None
    if found is None:
        raise ArgumentError(
            f"{spec!r} is no optimiser",
            fix=f"use one of {', '.join(_BY_NAME)}, or an optimiser such as nn.SGD(0.1)",
        )
    return found()
