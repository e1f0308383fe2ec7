"""Functions that reduce along axes, and softmax, which is made of them.

>>> from graphc.lang.tensor import input
>>> X = input("X", shape=("N", 784), dtype="float32")
>>> mean(X, axis=1)
Tensor(div, f32[N])
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from graphc.errors import ShapeError
from graphc.ir.dims import product
from graphc.ir.node import node
from graphc.ir.types import DType, Shape
from graphc.lang.apply import apply, as_float, cast, named, size_as
from graphc.lang.source import operation
from graphc.lang.tensor import Tensor, TensorLike, as_tensor
from graphc.ops.reduce import Arg, Kind, Reduce
from graphc.ops.views import Reshape

__all__ = [
    "all",
    "any",
    "argmax",
    "argmin",
    "count_nonzero",
    "log_softmax",
    "logsumexp",
    "max",
    "mean",
    "min",
    "prod",
    "ptp",
    "softmax",
    "sum",
]

Axis = int | Sequence[int] | None


def axes_of(x: Tensor, axis: Axis) -> tuple[int, ...]:
    """Axes as sorted non-negative numbers; None means all."""
    if axis is None:
        return tuple(range(x.ndim))
    wanted = (axis,) if isinstance(axis, int) else tuple(axis)
    found = []
    for a in wanted:
        if not -x.ndim <= a < x.ndim:
            raise ShapeError(
                f"axis {a} is out of bounds for {named(x)}",
                why=f"it has {x.ndim} axes" if x.ndim else "it is a scalar",
            )
        found.append(a % x.ndim)
    if len(set(found)) != len(found):
        raise ShapeError(f"the axes {wanted} name one axis twice")
    return tuple(sorted(found))


def counted(t: Tensor, axes: Sequence[int]) -> Tensor:
    """How many elements the axes have together, in the dtype of the tensor."""
    return size_as(product(t.shape[a] for a in axes), t.dtype)


def kept_shape(t: Tensor, axes: Sequence[int]) -> Shape:
    """The shape of a reduction over axes that stay as axes of length 1."""
    return tuple(1 if k in axes else d for k, d in enumerate(t.shape))


def drop(t: Tensor, axes: Sequence[int]) -> Tensor:
    """Without axes, which have length 1."""
    return Tensor(node(Reshape(tuple(d for k, d in enumerate(t.shape) if k not in axes)), t.node))


def as_number(x: TensorLike) -> Tensor:
    """A tensor that can be compared and ordered: bool as int64."""
    t = as_tensor(x)
    return cast(t, DType.I64) if t.dtype is DType.BOOL else t


def accumulated(x: TensorLike, dtype: object) -> Tensor:
    """The operand of a sum or product: in `dtype`, or, as in NumPy 2, with bool and int32 as int64."""
    t = as_tensor(x)
    if dtype is not None:
        return cast(t, dtype)
    return t if t.dtype.is_float else cast(t, DType.I64)


def _reduce(kind: Kind, t: Tensor, axis: Axis, keepdims: bool) -> Tensor:
    axes = axes_of(t, axis)
    if kind in ("max", "min") and 0 in (t.shape[a] for a in axes):
        raise ShapeError(
            f"cannot take the {kind} of {t.node.type}", why="nothing is left to compare along an empty axis"
        )
    n = node(Reduce(kind, axes), t.node) if axes else t.node
    return Tensor(node(Reshape(kept_shape(t, axes)), n) if keepdims else n)


@operation
def sum(x: TensorLike, axis: Axis = None, keepdims: bool = False, *, dtype: object = None) -> Tensor:
    """Σ over axes (all by default), 0 where they are empty; bool and int32 are summed as int64, as in NumPy.

    `dtype` is that of the sum and of the result.
    """
    return _reduce("sum", accumulated(x, dtype), axis, keepdims)


@operation
def prod(x: TensorLike, axis: Axis = None, keepdims: bool = False, *, dtype: object = None) -> Tensor:
    """Π over axes (all by default), 1 where they are empty; bool and int32 are multiplied as int64, as in NumPy.

    The gradient multiplies what is before and what is after an element, so it is right at zeros too.
    """
    return _reduce("prod", accumulated(x, dtype), axis, keepdims)


@operation
def max(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The maximum over axes; NaN wins; the first of equal maxima takes the gradient.

    Raises ShapeError for an axis that is known to be empty; of a named one with size 0 the maximum is -inf (of
    integers the smallest one).
    """
    return _reduce("max", as_number(x), axis, keepdims)


@operation
def min(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The minimum over axes; NaN wins; the first of equal minima takes the gradient.

    Raises ShapeError for an axis that is known to be empty; of a named one with size 0 the minimum is inf (of
    integers the largest one).
    """
    return _reduce("min", as_number(x), axis, keepdims)


@operation
def ptp(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The maximum less the minimum over axes ("peak to peak")."""
    t = as_number(x)
    return apply("sub", _reduce("max", t, axis, keepdims), _reduce("min", t, axis, keepdims))


@operation
def mean(x: TensorLike, axis: Axis = None, keepdims: bool = False, *, dtype: object = None) -> Tensor:
    """The sum over axes, divided by the number of elements; of integers a float64, of nothing NaN."""
    t = as_float(x) if dtype is None else cast(as_tensor(x), dtype)
    axes = axes_of(t, axis)
    return apply("div", _reduce("sum", t, axes, keepdims), counted(t, axes))


@operation
def count_nonzero(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """How many elements are not 0 (NaN is not 0), as int64."""
    return _reduce("sum", cast(_truth(x), DType.I64), axis, keepdims)


@operation
def any(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Whether some element is not 0, as bool; false where there is none."""
    return apply("less", 0, count_nonzero(x, axis, keepdims))


@operation
def all(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Whether no element is 0, as bool; true where there is none."""
    return apply("equal", count_nonzero(apply("logical_not", _truth(x)), axis, keepdims), 0)


def _truth(x: TensorLike) -> Tensor:
    t = as_tensor(x)
    return t if t.dtype is DType.BOOL else apply("not_equal", t, 0)


@operation
def argmax(x: TensorLike, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The index of the first maximum along an axis (of the flattened tensor by default), as int64.

    NaN counts as the maximum.  Raises ShapeError for an axis that is known to be empty.
    """
    return _arg("max", x, axis, keepdims)


@operation
def argmin(x: TensorLike, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The index of the first minimum along an axis (of the flattened tensor by default), as int64.

    NaN counts as the minimum.  Raises ShapeError for an axis that is known to be empty.
    """
    return _arg("min", x, axis, keepdims)


def _arg(kind: Literal["max", "min"], x: TensorLike, axis: int | None, keepdims: bool) -> Tensor:
    t = as_number(x)
    kept = kept_shape(t, axes_of(t, axis))
    if axis is None:
        t, axis = Tensor(node(Reshape((product(t.shape),)), t.node)), 0
    (k,) = axes_of(t, axis)
    n = node(Arg(kind, k), t.node)
    return Tensor(node(Reshape(kept), n) if keepdims else n)


@operation
def softmax(x: TensorLike, axis: int = -1) -> Tensor:
    """exp(x) / Σ exp(x) along an axis, computed from x − max x."""
    t = as_float(x)
    shifted = apply("sub", t, apply("stop_gradient", _reduce("max", t, axis, True)))
    e = apply("exp", shifted)
    return apply("div", e, _reduce("sum", e, axis, True))


@operation
def logsumexp(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """log Σ exp(x) over axes, computed from x − max x; -inf where all elements are -inf, inf where one is inf."""
    t = as_float(x)
    # The value does not depend on the shift, so its gradient is zero: declared, not left to cancel.
    # Infinity less infinity is NaN, so an infinite maximum is not subtracted.
    top = _reduce("max", t, axis, True)
    finite = apply("less", apply("abs", top), math.inf)
    shift = apply("stop_gradient", apply("where", finite, top, 0.0))
    total = apply("log", _reduce("sum", apply("exp", apply("sub", t, shift)), axis, True))
    result = apply("add", shift, total)
    return result if keepdims else drop(result, axes_of(t, axis))


@operation
def log_softmax(x: TensorLike, axis: int = -1) -> Tensor:
    """x − logsumexp(x) along an axis."""
    t = as_float(x)
    shifted = apply("sub", t, apply("stop_gradient", _reduce("max", t, axis, True)))
    return apply("sub", shifted, apply("log", _reduce("sum", apply("exp", shifted), axis, True)))
