"""Running sums, products and extremes along an axis, in linear time; each is one recurrence.

>>> from graphc.lang.tensor import input
>>> cumsum(input("x", ("N", 4)), axis=1)
Tensor(recurrence, f64[N,4])
"""

from __future__ import annotations

import math
from typing import Literal

from graphc.ir.node import node
from graphc.ir.types import DType
from graphc.lang.apply import apply, as_float
from graphc.lang.indexing import take_along_axis
from graphc.lang.reductions import accumulated, as_number, axes_of
from graphc.lang.shapes import reshape
from graphc.lang.source import operation
from graphc.lang.tensor import Tensor, TensorLike
from graphc.ops.elementwise import constant_like, elementwise
from graphc.ops.leaves import Iota
from graphc.ops.recurrence import Recurrence, RunningArg, shifted
from graphc.ops.reduce import constant_extent

__all__ = [
    "cummax",
    "cummin",
    "cumprod",
    "cumsum",
    "logcumsumexp",
]


def _line(t: Tensor, axis: int | None) -> tuple[Tensor, int]:
    """The tensor and a non-negative axis; NumPy's None flattens."""
    if axis is None:
        return reshape(t, -1), 0
    (k,) = axes_of(t, axis)
    return t, k


@operation
def cumsum(x: TensorLike, axis: int | None = None, *, dtype: object = None, reverse: bool = False) -> Tensor:
    """Running sums along an axis (of the flattened tensor by default); bool and int32 as int64, as in NumPy.

    `reverse` sums from the end.  The sums are those of one serial pass, on every back end.
    """
    t, k = _line(accumulated(x, dtype), axis)
    return Tensor(node(Recurrence(k, reverse), constant_like(1, t.node), t.node))


@operation
def cumprod(x: TensorLike, axis: int | None = None, *, dtype: object = None, reverse: bool = False) -> Tensor:
    """Running products along an axis (of the flattened tensor by default); bool and int32 as int64, as in NumPy.

    `reverse` multiplies from the end.  The gradient does not divide, so it is right where elements are 0.
    """
    t, k = _line(accumulated(x, dtype), axis)
    place = node(Iota(t.shape, k, DType.I64))
    start = constant_extent(t.shape[k] - 1 if reverse else 0, place)
    # Adding −0 changes nothing, not even the sign of a zero.
    nothing = constant_like(-0.0 if t.dtype.is_float else 0, t.node)
    first = elementwise("where", elementwise("equal", place, start), t.node, nothing)
    # Backwards the weight between two places is that of the later one.
    weight = shifted(t.node, k, 1) if reverse else t.node
    return Tensor(node(Recurrence(k, reverse), weight, first))


@operation
def cummax(x: TensorLike, axis: int = 0) -> Tensor:
    """The maximum up to each place of an axis; NaN wins and stays; the first maximum takes the gradient."""
    return _running("max", x, axis)


@operation
def cummin(x: TensorLike, axis: int = 0) -> Tensor:
    """The minimum up to each place of an axis; NaN wins and stays; the first minimum takes the gradient."""
    return _running("min", x, axis)


def _running(kind: Literal["max", "min"], x: TensorLike, axis: int) -> Tensor:
    t = as_number(x)
    (k,) = axes_of(t, axis)
    return take_along_axis(t, Tensor(node(RunningArg(kind, k), t.node)), k)


@operation
def logcumsumexp(x: TensorLike, axis: int = 0) -> Tensor:
    """log Σ exp(x) of all elements up to each place of an axis, computed from x less the maximum so far."""
    t = as_float(x)
    (k,) = axes_of(t, axis)
    top = cummax(t, k)
    # Infinity less infinity is NaN, so an infinite maximum is not subtracted.  The value does not depend on the
    # shift, so its gradient is zero: declared, not left to cancel.
    shift = apply("stop_gradient", apply("where", apply("less", apply("abs", top), math.inf), top, 0.0))
    fading = apply("exp", apply("sub", Tensor(shifted(shift.node, k, 1)), shift))
    total = node(Recurrence(k, False), fading.node, apply("exp", apply("sub", t, shift)).node)
    return apply("add", shift, apply("log", Tensor(total)))
