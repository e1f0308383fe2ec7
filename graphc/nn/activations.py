"""Activations by name: every row of the op table that takes one tensor, and those with an axis.

| name                     | function                              |
|--------------------------|---------------------------------------|
| `linear`                 | x                                     |
| a row of the op table    | `relu`, `tanh`, `gelu`, `elu`, ...    |
| `leaky_relu`             | slope 0.2, as in Keras                |
| `exponential`            | exp, as in Keras                      |
| `softmax`, `log_softmax` | along the last axis                   |

>>> from graphc.lang.tensor import input
>>> activation("relu")(input("x", (3,)))
Tensor(relu, f64[3])
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from difflib import get_close_matches
from typing import TypeAlias

from graphc.errors import ArgumentError
from graphc.lang.apply import apply
from graphc.lang.elementwise import function, names
from graphc.lang.functions import log_softmax, softmax
from graphc.lang.tensor import Tensor

Activation: TypeAlias = Callable[[Tensor], Tensor]


def _linear(x: Tensor) -> Tensor:
    return x


def _leaky_relu(x: Tensor) -> Tensor:
    return apply("leaky_relu", x, 0.2)


_OWN: dict[str, Activation] = {
    "linear": _linear,
    "exponential": function("exp"),
    "leaky_relu": _leaky_relu,
    "softmax": softmax,
    "log_softmax": log_softmax,
}


@functools.cache
def _known() -> tuple[str, ...]:
    """Every name of an activation: rows of numbers whose operands but the first have values of their own."""
    rows = (
        name
        for name, row in names().items()
        if row.dtype in ("same", "float") and set(row.operands[1:]) <= set(row.defaults)
    )
    return tuple(dict.fromkeys([*_OWN, *rows]))


def activation(spec: str | Activation | None) -> Activation:
    """The function of an activation's name; a function stays itself, None is `linear`."""
    if spec is None:
        return _linear
    if not isinstance(spec, str):
        if not callable(spec):
            raise ArgumentError(
                f"{spec!r} is no activation", fix='give a name such as "relu", or a function of a tensor'
            )
        return spec
    if spec in _OWN:
        return _OWN[spec]
    if spec not in _known():
        near = get_close_matches(spec, _known(), 1)
        raise ArgumentError(
            f"unknown activation {spec!r}",
            fix=f"did you mean {near[0]!r}?"
            if near
            else 'use a unary op, such as "relu"; `graphc ops` lists them',
        )
    return function(spec)


def activation_name(spec: str | Activation | None) -> str:
    """What to call an activation; empty for none."""
    if spec is None or spec == "linear":
        return ""
    return spec if isinstance(spec, str) else getattr(spec, "__name__", "activation")
