"""Optimisers: new values of parameters, as tensors of the same graph.

| optimiser           | new value of a parameter w with gradient g                                        |
|---------------------|-----------------------------------------------------------------------------------|
| `SGD`               | w − η·g                                                                           |
| `SGD`, momentum μ   | v ← μ·v − η·g;  w + v                                                             |
| `SGD`, nesterov     | v ← μ·v − η·g;  w + μ·v − η·g                                                     |
| `Adam`              | m ← β₁·m + (1 − β₁)·g;  v ← β₂·v + (1 − β₂)·g²;  w − ηₜ·m/(√v + ε)                |

with ηₜ = η·√(1 − β₂ᵗ)/(1 − β₁ᵗ) in step t.

`updates` goes into `gc.compile(..., updates=)`, so that a whole training step is one native call.  What an
optimiser remembers (v, m, the step number t) and its learning rate η are parameters too: changing the rate
compiles nothing anew.

Sources: B. T. Polyak (1964); Y. Nesterov (1983), in the form of I. Sutskever et al. (2013); D. P. Kingma and
J. Ba, Adam (arXiv:1412.6980, the efficient form of section 2).

>>> import graphc as gc
>>> w = gc.param("w", init=1.0, dtype="float64")
>>> step = gc.compile([], [w * w], updates=SGD(0.25).updates(w * w, [w]), backend="reference")
>>> float(step()[0]), float(w.value)
(1.0, 0.5)
"""

from __future__ import annotations

import numbers
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from graphc.autodiff.reverse import grad
from graphc.errors import ArgumentError
from graphc.ir.types import DType
from graphc.lang.apply import apply
from graphc.lang.functions import cast
from graphc.lang.source import operation
from graphc.lang.tensor import Parameter, Tensor, param

Updates = dict[Parameter, Tensor]


class Optimizer(ABC):
    """A rule for new values; `state` holds the parameters of its own that `updates` has made."""

    kind = ""

    def __init__(self, learning_rate: float) -> None:
        _check("learning_rate", learning_rate, 0.0, np.inf)
        # Kept in f64 and rounded where it is used, so that one rate serves parameters of any dtype.
        self._rate = param(f"{self.kind}/learning_rate", (), "float64", float(learning_rate), trainable=False)
        self.state: list[Parameter] = []

    @property
    def learning_rate(self) -> float:
        """The step size η; set it at any time, also between two epochs."""
        return float(self._rate.value)

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        _check("learning_rate", value, 0.0, np.inf)
        self._rate.value = value

    @operation
    def updates(self, loss: Tensor, params: Sequence[Parameter]) -> Updates:
        """New values of `params` and of this optimiser's state that follow from the gradient of a scalar."""
        if not params:
            raise ArgumentError(
                "there is no parameter to train", fix="build the model from layers or gc.param"
            )
        if len({p.node for p in params}) != len(params):
            raise ArgumentError("a parameter is given twice")
        gradients = grad(loss, list(params))
        result: Updates = {}
        self.prepare(result)
        for p, g in zip(params, gradients, strict=True):
            result[p] = self.step(p, g, result)
        return result

    def prepare(self, result: Updates) -> None:
        """Begin without state; updates that all parameters share are put into `result`."""
        self.state = []

    @abstractmethod
    def step(self, p: Parameter, g: Tensor, result: Updates) -> Tensor:
        """The new value of one parameter; updates of state are put into `result`."""

    def rate(self, like: Tensor) -> Tensor:
        """η in the dtype of a parameter."""
        return cast(self._rate, like.dtype)

    def remember(self, name: str, p: Parameter) -> Parameter:
        """A new state parameter of the shape of p, zero at first."""
        made = param(f"{self.kind}/{p.name}/{name}", p.shape, p.dtype, "zeros", trainable=False)
        self.state.append(made)
        return made


class SGD(Optimizer):
    """Gradient descent, with momentum where it is not 0."""

    kind = "sgd"

    @operation
    def __init__(self, learning_rate: float = 0.01, momentum: float = 0.0, nesterov: bool = False) -> None:
        super().__init__(learning_rate)
        _check("momentum", momentum, 0.0, 1.0)
        self.momentum, self.nesterov = momentum, nesterov

    def step(self, p: Parameter, g: Tensor, result: Updates) -> Tensor:
        if self.momentum == 0.0:
            return p - self.rate(p) * g
        v = self.remember("velocity", p)
        result[v] = self.momentum * v - self.rate(p) * g
        return p + (self.momentum * result[v] - self.rate(p) * g if self.nesterov else result[v])

    def __repr__(self) -> str:
        extra = f", momentum={self.momentum}" if self.momentum else ""
        return f"SGD({self.learning_rate:g}{extra}{', nesterov=True' if self.nesterov else ''})"


class Adam(Optimizer):
    """Steps scaled by running means of the gradient and of its square."""

    kind = "adam"

    @operation
    def __init__(
        self, learning_rate: float = 0.001, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7
    ) -> None:
        super().__init__(learning_rate)
        for name, value in (("beta_1", beta_1), ("beta_2", beta_2)):
            _check(name, value, 0.0, 1.0)
        _check("epsilon", epsilon, 0.0, np.inf)
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon
        self._corrected: Tensor = self._rate

    def prepare(self, result: Updates) -> None:
        super().prepare(result)
        count = param(f"{self.kind}/step", (), "int64", 0, trainable=False)
        self.state.append(count)
        result[count] = count + 1
        # In f64: 1 − 0.999 would have four digits in f32.
        t = cast(result[count], DType.F64)
        shrink_1 = 1.0 - apply("pow", self.beta_1, t)
        shrink_2 = 1.0 - apply("pow", self.beta_2, t)
        self._corrected = self._rate * apply("sqrt", shrink_2) / shrink_1

    def step(self, p: Parameter, g: Tensor, result: Updates) -> Tensor:
        m, v = self.remember("m", p), self.remember("v", p)
        result[m] = self.beta_1 * m + (1.0 - self.beta_1) * g
        result[v] = self.beta_2 * v + (1.0 - self.beta_2) * apply("square", g)
        return p - cast(self._corrected, p.dtype) * result[m] / (apply("sqrt", result[v]) + self.epsilon)

    def __repr__(self) -> str:
        return f"Adam({self.learning_rate:g}, beta_1={self.beta_1}, beta_2={self.beta_2})"


_BY_NAME: dict[str, type[SGD] | type[Adam]] = {"sgd": SGD, "adam": Adam}


def optimizer_of(spec: str | Optimizer) -> Optimizer:
    """An optimiser, or one by name with its usual settings."""
    if isinstance(spec, Optimizer):
        return spec
    found = _BY_NAME.get(spec.lower()) if isinstance(spec, str) else None
    if found is None:
        raise ArgumentError(f"{spec!r} is no optimiser", fix='use nn.SGD(...), nn.Adam(...), "sgd" or "adam"')
    return found()


def _check(name: str, value: float, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not low <= float(value) < high:
        bound = f"at least {low:g}" + ("" if high == np.inf else f" and less than {high:g}")
        raise ArgumentError(f"{name} must be {bound}, not {value!r}")
