"""graphc: a compiler that you can see through.

A network is declared as a static graph, differentiated symbolically (`upstream × local = downstream` at every
node), optimised, and compiled to native code; every step can be printed.

>>> import graphc as gc
>>> x, y, z = gc.inputs("x y z")
>>> f = (x + y) * z
>>> fn = gc.compile([x, y, z], [f, *gc.grad(f, [x, y, z])], backend="reference")
>>> [float(v) for v in fn(-2.0, 5.0, -4.0)]
[-12.0, -4.0, -4.0, 3.0]

The functions of `graphc.lang` and one for each row of the op table (`gc.tanh`, `gc.maximum`, ...) are
attributes of this module, under NumPy's other names too (`gc.arctan`, `gc.multiply`, ...).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from graphc.autodiff.custom import custom_gradient, straight_through
from graphc.autodiff.forward import jvp
from graphc.autodiff.jacobian import batch_jacobian, hessian, hvp, jacobian
from graphc.autodiff.reverse import grad, vjp
from graphc.errors import (
    ArgumentError,
    BackendError,
    DTypeError,
    GradientError,
    GraphcError,
    GraphcWarning,
    GraphError,
    ShapeError,
    WeightsError,
)
from graphc.lang import functions as _functions
from graphc.lang import linalg
from graphc.lang.functions import *
from graphc.lang.tensor import Parameter, Tensor, const, input, inputs, param
from graphc.runtime.compile import compile
from graphc.warn import silence

if TYPE_CHECKING:
    from typing import Any

    from graphc.autodiff.check import gradcheck
    from graphc.lint.lint import lint
    from graphc.runtime.trace_nan import trace_nan
    from graphc.show.backprop import backprop
    from graphc.show.derive import derive
    from graphc.show.render import render

import_module("graphc.lint")  # now, for the first import puts the package into the place of the function
globals().pop("lint")

__version__ = "0.1.0"

__all__ = [
    "ArgumentError",
    "BackendError",
    "DTypeError",
    "GradientError",
    "GraphError",
    "GraphcError",
    "GraphcWarning",
    "Parameter",
    "ShapeError",
    "Tensor",
    "WeightsError",
    "backprop",
    "batch_jacobian",
    "compile",
    "const",
    "custom_gradient",
    "derive",
    "grad",
    "gradcheck",
    "hessian",
    "hvp",
    "input",
    "inputs",
    "jacobian",
    "jvp",
    "linalg",
    "lint",
    "param",
    "render",
    "silence",
    "straight_through",
    "trace_nan",
    "vjp",
]
__all__ += _functions.__all__


_LATER = {
    "backprop": "graphc.show.backprop",
    "derive": "graphc.show.derive",
    "gradcheck": "graphc.autodiff.check",
    "lint": "graphc.lint.lint",
    "render": "graphc.show.render",
    "trace_nan": "graphc.runtime.trace_nan",
}
"""What a program that only computes does not need: imported when it is first asked for."""


def __getattr__(name: str) -> Any:
    """Functions of the op table, made when they are first asked for, and those of `_LATER`."""
    if name in _LATER:
        return globals().setdefault(name, getattr(import_module(_LATER[name]), name))
    from graphc.lang.elementwise import function

    try:
        return function(name)
    except KeyError:
        raise AttributeError(f"module 'graphc' has no attribute {name!r}") from None


def __dir__() -> list[str]:
    from graphc.lang.elementwise import names

    return sorted({*globals(), *_LATER, *names()})
