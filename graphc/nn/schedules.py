"""Learning rates that change: functions of the step's number t, inside the one native training step.

| schedule                                  | learning rate                                                    |
|-------------------------------------------|------------------------------------------------------------------|
| `PiecewiseConstantDecay([b...], [v...])`  | v[0] up to step b[0], v[1] up to b[1], ...                       |
| `ExponentialDecay(η, n, r)`               | η·r^(t/n); with `staircase` t/n rounded down: steps              |
| `InverseTimeDecay(η, n, r)`               | η/(1 + r·t/n); with `staircase` t/n rounded down                 |
| `PolynomialDecay(η, n, end, p)`           | (η − end)·(1 − t/n)^p + end, up to step n                        |
| `CosineDecay(η, n, alpha)`                | η·((1 − alpha)·(1 + cos(π·t/n))/2 + alpha); linear warm-up before |
| `CosineDecayRestarts(η, n, t_mul, m_mul)` | the same, begun again after n, n·t_mul, ... steps, m_mul as high |

t is 0 in the first step.  Any other function of t, a float64 scalar tensor, serves as well:
`nn.SGD(lambda t: 0.1 / gc.sqrt(1.0 + t))`.  An optimiser's `learning_rate` reads the rate of the last step.

Sources: Keras's schedules; I. Loshchilov, F. Hutter, SGDR (arXiv:1608.03983).

>>> import graphc as gc
>>> t = gc.input("t")
>>> rate = gc.compile([t], ExponentialDecay(0.5, 10, 0.1, staircase=True)(t), backend="reference")
>>> [round(float(rate(step)), 4) for step in (0.0, 9.0, 10.0, 25.0)]
[0.5, 0.5, 0.05, 0.005]
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

from graphc.errors import ArgumentError
from graphc.lang.apply import apply
from graphc.lang.source import operation
from graphc.lang.tensor import Tensor, const


class LearningRateSchedule(ABC):
    """A learning rate as a function of the step's number."""

    @operation
    def __call__(self, step: Tensor) -> Tensor:
        """The rate of a step, a float64 scalar like `step`."""
        return self.rate(step)

    @abstractmethod
    def rate(self, step: Tensor) -> Tensor:
        """The schedule's formula."""

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"
        )


class PiecewiseConstantDecay(LearningRateSchedule):
    """values[k] up to and with step boundaries[k], the last value from there on."""

    @operation
    def __init__(self, boundaries: Sequence[float], values: Sequence[float]) -> None:
        self.boundaries, self.values = list(boundaries), list(values)
        if len(self.values) != len(self.boundaries) + 1 or self.boundaries != sorted(self.boundaries):
            raise ArgumentError(
                f"the boundaries {self.boundaries} and the values {self.values} do not fit",
                why="boundaries ascend, and there is one value more",
            )

    def rate(self, step: Tensor) -> Tensor:
        found = const(float(self.values[-1]))
        for boundary, value in reversed(list(zip(self.boundaries, self.values, strict=False))):
            found = apply("where", apply("less_equal", step, float(boundary)), float(value), found)
        return found


class _Decay(LearningRateSchedule):
    def __init__(self, initial_learning_rate: float, decay_steps: float) -> None:
        self.initial_learning_rate, self.decay_steps = initial_learning_rate, decay_steps
        if not decay_steps > 0:
            raise ArgumentError(f"decay_steps must be above 0, not {decay_steps!r}")


class _RateDecay(_Decay):
    @operation
    def __init__(
        self, initial_learning_rate: float, decay_steps: float, decay_rate: float, staircase: bool = False
    ) -> None:
        super().__init__(initial_learning_rate, decay_steps)
        self.decay_rate, self.staircase = decay_rate, staircase

    def part(self, step: Tensor) -> Tensor:
        """t/steps, rounded down where it goes by stairs."""
        part = step / float(self.decay_steps)
        return apply("floor", part) if self.staircase else part


class ExponentialDecay(_RateDecay):
    """η·rate^(t/steps)."""

    def rate(self, step: Tensor) -> Tensor:
        return self.initial_learning_rate * apply("pow", float(self.decay_rate), self.part(step))


class InverseTimeDecay(_RateDecay):
    """η/(1 + rate·t/steps)."""

    def rate(self, step: Tensor) -> Tensor:
        return self.initial_learning_rate / (1.0 + self.decay_rate * self.part(step))


class PolynomialDecay(_Decay):
    """(η − end)·(1 − t/steps)^power + end, and `end` from there on."""

    @operation
    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
    ) -> None:
        super().__init__(initial_learning_rate, decay_steps)
        self.end_learning_rate, self.power = end_learning_rate, power

    def rate(self, step: Tensor) -> Tensor:
        rest = 1.0 - apply("minimum", step, float(self.decay_steps)) / float(self.decay_steps)
        span = self.initial_learning_rate - self.end_learning_rate
        return span * apply("pow", rest, float(self.power)) + self.end_learning_rate


class CosineDecay(_Decay):
    """Half a wave from η down to alpha·η; before it, `warmup_steps` in a straight line up to `warmup_target`."""

    @operation
    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        alpha: float = 0.0,
        warmup_target: float | None = None,
        warmup_steps: int = 0,
    ) -> None:
        super().__init__(initial_learning_rate, decay_steps)
        self.alpha, self.warmup_target, self.warmup_steps = alpha, warmup_target, warmup_steps

    def rate(self, step: Tensor) -> Tensor:
        top = self.initial_learning_rate if self.warmup_target is None else self.warmup_target
        after = apply(
            "minimum", apply("maximum", step - float(self.warmup_steps), 0.0), float(self.decay_steps)
        )
        wave = top * _half_wave(after / float(self.decay_steps), self.alpha)
        if self.warmup_target is None or self.warmup_steps == 0:
            return wave
        slope = (self.warmup_target - self.initial_learning_rate) / self.warmup_steps
        rising = self.initial_learning_rate + slope * step
        return apply("where", apply("less", step, float(self.warmup_steps)), rising, wave)


class CosineDecayRestarts(LearningRateSchedule):
    """Half a wave from η to alpha·η, again and again: each t_mul times as long and m_mul times as high."""

    @operation
    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: float,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
    ) -> None:
        self.initial_learning_rate, self.first_decay_steps = initial_learning_rate, first_decay_steps
        self.t_mul, self.m_mul, self.alpha = t_mul, m_mul, alpha
        if not (first_decay_steps > 0 and t_mul >= 1):
            raise ArgumentError("first_decay_steps must be above 0, and t_mul at least 1")

    def rate(self, step: Tensor) -> Tensor:
        done = step / float(self.first_decay_steps)
        if self.t_mul == 1.0:
            turn = apply("floor", done)
            part = done - turn
        else:
            # Of the lengths 1, m, m², ... the first k are (m^k − 1)/(m − 1) long.  A logarithm that is rounded
            # down must not fall short of a whole number.
            grown = apply("log1p", done * (self.t_mul - 1.0)) / math.log(self.t_mul)
            turn = apply("floor", grown + 1e-9)
            length = apply("pow", float(self.t_mul), turn)
            part = (done - (length - 1.0) / (self.t_mul - 1.0)) / length
        height = self.initial_learning_rate * apply("pow", float(self.m_mul), turn)
        return height * _half_wave(part, self.alpha)


def _half_wave(part: Tensor, alpha: float) -> Tensor:
    """From 1 at 0 to alpha at 1."""
    return (1.0 - alpha) * 0.5 * (1.0 + apply("cos", math.pi * part)) + alpha
