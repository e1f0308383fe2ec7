"""Activations by name: every unary row of the op table, and those with an axis or a constant of their own.

| name                     | function                              |
|--------------------------|---------------------------------------|
| `linear`                 | x                                     |
| a unary row              | `relu`, `tanh`, `sigmoid`, `gelu`, ... |
| `leaky_relu`             | slope 0.2, as in Keras                |
| `elu`                    | alpha 1, as in Keras                  |
| `softmax`, `log_softmax` | along the last axis                   |

>>> from graphc.lang.tensor import input
>>> activation("relu")(input("x", (3,)))
Tensor(relu, f64[3])
"""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from typing import TypeAlias

from graphc.errors import ArgumentError
from graphc.lang.apply import apply
from graphc.lang.elementwise import function
from graphc.lang.functions import log_softmax, softmax
from graphc.lang.tensor import Tensor
from graphc.ops.table import ROWS

Activation: TypeAlias = Callable[[Tensor], Tensor]


def _linear(x: Tensor) -> Tensor:
    return x


def _leaky_relu(x: Tensor) -> Tensor:
    return apply("leaky_relu", x, 0.2)


def _elu(x: Tensor) -> Tensor:
    return apply("elu", x, 1.0)


_OWN: dict[str, Activation] = {
    "linear": _linear,
    "leaky_relu": _leaky_relu,
    "elu": _elu,
    "softmax": softmax,
    "log_softmax": log_softmax,
}


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
    row = ROWS.get(spec)
    if row is None or row.arity != 1 or row.dtype not in ("same", "float"):
        known = [*_OWN, *(r.name for r in ROWS.values() if r.arity == 1 and r.dtype in ("same", "float"))]
        near = get_close_matches(spec, known, 1)
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
