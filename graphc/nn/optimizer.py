"""What every optimiser is: a rule for new values, a learning rate, and what is done to gradients before.

| argument          | what it does                                                                         |
|-------------------|--------------------------------------------------------------------------------------|
| `learning_rate`   | a number, or a function of the step's number (see `graphc.nn.schedules`)             |
| `clipvalue=c`     | every element of every gradient is kept in −c … c                                    |
| `clipnorm=c`      | a gradient g whose norm is above c becomes g·c/norm, for each parameter by itself    |
| `global_clipnorm=c` | the same with the norm of all gradients together                                   |
| `weight_decay=d`  | w − η·d·w beside the rule's step, apart from the gradient (arXiv:1711.05101)         |

>>> import graphc as gc
>>> from graphc.nn.optimizers import SGD
>>> w = gc.param("w", init=1.0, dtype="float64")
>>> step = gc.compile([], [w * w], updates=SGD(0.25).updates(w * w, [w]), backend="reference")
>>> float(step()[0]), float(w.value)
(1.0, 0.5)
"""

from __future__ import annotations

import numbers
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TypeAlias, TypedDict

import numpy as np

from graphc.autodiff.reverse import grad
from graphc.errors import ArgumentError
from graphc.ir.types import DType
from graphc.lang.apply import apply
from graphc.lang.functions import cast, sum
from graphc.lang.source import operation
from graphc.lang.tensor import Parameter, Tensor, const, param
from graphc.runtime.compile import compile

Updates = dict[Parameter, Tensor]
Schedule: TypeAlias = Callable[[Tensor], Tensor]
"""The learning rate of a step, as a float64 scalar, from the step's number: 0 for the first."""


class Common(TypedDict, total=False):
    """The arguments that all optimisers share."""

    weight_decay: float | None
    clipnorm: float | None
    clipvalue: float | None
    global_clipnorm: float | None


class Optimizer(ABC):
    """A rule for new values; `state` holds the parameters of its own that `updates` has made."""

    kind = ""

    def __init__(
        self,
        learning_rate: float | Schedule,
        *,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
    ) -> None:
        self.schedule: Schedule | None = None
        if callable(learning_rate):
            self.schedule, learning_rate = learning_rate, _first(learning_rate)
        check("learning_rate", learning_rate, 0.0, np.inf)
        limits = {"clipnorm": clipnorm, "clipvalue": clipvalue, "global_clipnorm": global_clipnorm}
        given = {name: value for name, value in limits.items() if value is not None}
        for name, value in given.items():
            check(name, value, np.nextafter(0.0, 1.0), np.inf, "above 0")
        if len(given) > 1:
            raise ArgumentError(f"{' and '.join(given)} are given together", fix="use one of them")
        if weight_decay is not None:
            check("weight_decay", weight_decay, 0.0, np.inf)
        self.weight_decay = weight_decay
        self.clipnorm, self.clipvalue, self.global_clipnorm = clipnorm, clipvalue, global_clipnorm
        # Kept in f64 and rounded where it is used, so that one rate serves parameters of any dtype.
        self._rate = param(f"{self.kind}/learning_rate", (), "float64", float(learning_rate), trainable=False)
        self.eta: Tensor = self._rate
        self.state: list[Parameter] = []
        self._count: Parameter | None = None

    @property
    def learning_rate(self) -> float:
        """The step size η; set it at any time, also between two epochs.  With a schedule, that of the last step."""
        return float(self._rate.value)

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        if self.schedule is not None:
            raise ArgumentError("the learning rate follows a schedule", fix="make an optimiser with a number")
        check("learning_rate", value, 0.0, np.inf)
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
        found = grad(loss, list(params))
        gradients = self._clipped([found] if isinstance(found, Tensor) else found)
        result: Updates = {}
        self.state, self._count, self.eta = [], None, self._rate
        if self.schedule is not None:
            self.eta = _scalar(self.schedule(cast(self.steps(result) - 1, DType.F64)))
            result[self._rate] = self.eta
        self.prepare(result)
        for p, g in zip(params, gradients, strict=True):
            new = self.step(p, g, result)
            result[p] = new if not self.weight_decay else new - self.rate(p) * self.weight_decay * p
        return result

    def prepare(self, result: Updates) -> None:
        """What all parameters share; updates of state are put into `result`."""
        return

    @abstractmethod
    def step(self, p: Parameter, g: Tensor, result: Updates) -> Tensor:
        """The new value of one parameter; updates of state are put into `result`."""

    def rate(self, like: Tensor) -> Tensor:
        """η in the dtype of a parameter."""
        return cast(self.eta, like.dtype)

    def steps(self, result: Updates) -> Tensor:
        """The number of the step that is being made, from 1: i64."""
        if self._count is None:
            self._count = param(f"{self.kind}/step", (), "int64", 0, trainable=False)
            self.state.append(self._count)
            result[self._count] = self._count + 1
        return result[self._count]

    def remember(self, name: str, p: Parameter, first: object = "zeros") -> Parameter:
        """A new state parameter of the shape of p, zero at first."""
        made = param(f"{self.kind}/{p.name}/{name}", p.shape, p.dtype, first, trainable=False)
        self.state.append(made)
        return made

    def running_mean(self, name: str, p: Parameter, keep: float, new: Tensor, result: Updates) -> Tensor:
        """m ← keep·m + (1 − keep)·new, in a new state parameter m: what it becomes."""
        m = self.remember(name, p)
        result[m] = keep * m + (1.0 - keep) * new
        return result[m]

    def _clipped(self, gradients: Sequence[Tensor]) -> list[Tensor]:
        if self.clipvalue is not None:
            return [apply("clip", g, -self.clipvalue, self.clipvalue) for g in gradients]
        if self.clipnorm is not None:
            return [_shortened(g, _length([g]), self.clipnorm) for g in gradients]
        if self.global_clipnorm is not None:
            length = _length(gradients)
            return [_shortened(g, length, self.global_clipnorm) for g in gradients]
        return list(gradients)

    def written(self, *arguments: str) -> str:
        """The optimiser as it would be written."""
        rate = f"{self.learning_rate:g}" if self.schedule is None else repr(self.schedule)
        common = {
            "weight_decay": self.weight_decay,
            "clipnorm": self.clipnorm,
            "clipvalue": self.clipvalue,
            "global_clipnorm": self.global_clipnorm,
        }
        named = [f"{name}={value:g}" for name, value in common.items() if value]
        return f"{type(self).__name__}({', '.join([rate, *(a for a in arguments if a), *named])})"


def _length(gradients: Sequence[Tensor]) -> Tensor:
    """The norm of all elements, in f64, where the squares of what is to be clipped do not overflow."""
    squares = [sum(apply("square", cast(g, DType.F64))) for g in gradients]
    total = squares[0]
    for square in squares[1:]:
        total = total + square
    return apply("sqrt", total)


def _shortened(g: Tensor, length: Tensor, limit: float) -> Tensor:
    return g * cast(limit / apply("maximum", length, limit), g.dtype)


def _first(schedule: Schedule) -> float:
    """The learning rate of the first step."""
    rate = _scalar(schedule(const(0.0)))
    return float(compile([], [rate], backend="reference")()[0])


def _scalar(rate: object) -> Tensor:
    if isinstance(rate, Tensor) and rate.ndim == 0:
        return cast(rate, DType.F64)
    if isinstance(rate, numbers.Real):
        return const(float(rate))
    raise ArgumentError(
        "a learning rate schedule gives no scalar",
        fix="write a function of the step's number t, such as lambda t: 0.1 / (1.0 + t)",
    )


def check(name: str, value: float, low: float, high: float, bound: str = "") -> None:
    """Raises ArgumentError unless a number lies in low … high, without high itself."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not low <= float(value) < high:
        bound = bound or f"at least {low:g}" + ("" if high == np.inf else f" and less than {high:g}")
        raise ArgumentError(f"{name} must be {bound}, not {value!r}")
