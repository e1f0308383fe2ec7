"""Regularisers: penalties for large weights, which a model adds to its loss (also when it is evaluated, as in Keras).

| name    | class             | penalty of a parameter w |
|---------|-------------------|--------------------------|
| `l1`    | `L1(0.01)`        | 0.01·Σ abs(w)            |
| `l2`    | `L2(0.01)`        | 0.01·Σ w²                |
| `l1_l2` | `L1L2(0.01, 0.01)` | their sum (elastic net)  |

A layer takes one as `kernel_regularizer=`: a name, one of these, or any function of a tensor that gives a scalar.

>>> from graphc.lang.tensor import param
>>> L2(0.5)(param("w", (2, 3)))
Tensor(mul, f32[])
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable
from typing import TypeAlias

from graphc.errors import ArgumentError
from graphc.lang.apply import apply
from graphc.lang.reductions import sum
from graphc.lang.source import operation
from graphc.lang.tensor import Tensor

Regularizer: TypeAlias = Callable[[Tensor], Tensor]


class L1L2:
    """l1·Σ |w| + l2·Σ w²; |w| has the gradient 0 at 0."""

    @operation
    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        for name, value in (("l1", l1), ("l2", l2)):
            if (
                isinstance(value, bool)
                or not isinstance(value, numbers.Real)
                or not 0 <= float(value) < math.inf
            ):
                raise ArgumentError(f"{name} must be at least 0, not {value!r}")
        self.l1, self.l2 = float(l1), float(l2)

    @operation
    def __call__(self, w: Tensor) -> Tensor:
        terms = [
            factor * sum(apply(size, w))
            for factor, size in ((self.l1, "abs"), (self.l2, "square"))
            if factor != 0.0
        ]
        return terms[0] + terms[1] if len(terms) == 2 else terms[0] if terms else 0.0 * sum(w)


class L1(L1L2):
    """l1·Σ |w|, which makes many weights 0."""

    def __init__(self, l1: float = 0.01) -> None:
        super().__init__(l1, 0.0)


class L2(L1L2):
    """l2·Σ w², which keeps weights small."""

    def __init__(self, l2: float = 0.01) -> None:
        super().__init__(0.0, l2)


_BY_NAME: dict[str, Callable[[], Regularizer]] = {"l1": L1, "l2": L2, "l1_l2": lambda: L1L2(0.01, 0.01)}


def regularizer_of(spec: str | Regularizer | None) -> Regularizer | None:
    """A regulariser, or one by name with its usual factor."""
    if isinstance(spec, str) and spec.lower() in _BY_NAME:
        return _BY_NAME[spec.lower()]()
    if spec is None or (callable(spec) and not isinstance(spec, str)):
        return spec
    raise ArgumentError(f"{spec!r} is no regulariser", fix='use nn.L2(1e-4), nn.L1(1e-4), "l2" or "l1"')
