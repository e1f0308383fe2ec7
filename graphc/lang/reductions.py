"""Functions that reduce along axes, and softmax, which is made of them.

>>> from graphc.lang.tensor import input
>>> X = input("X", shape=("N", 784), dtype="float32")
>>> mean(X, axis=1)
Tensor(div, f32[N])
"""

from __future__ import annotations

from collections.abc import Sequence

from graphc.errors import ShapeError
from graphc.ir.dims import product
from graphc.ir.node import node
from graphc.ir.types import DType
from graphc.lang.apply import apply, as_float, cast, named, size_as
from graphc.lang.source import operation
from graphc.lang.tensor import Tensor, TensorLike, as_tensor
from graphc.ops.reduce import Arg, Kind, Reduce
from graphc.ops.views import Reshape

__all__ = [
    "argmax",
    "argmin",
    "log_softmax",
    "logsumexp",
    "max",
    "mean",
    "min",
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


def _reduce(kind: Kind, x: TensorLike, axis: Axis, keepdims: bool) -> Tensor:
    t = as_tensor(x)
    if kind == "sum" and t.dtype is DType.BOOL:
        t = cast(t, DType.I64)
    axes = axes_of(t, axis)
    if kind != "sum" and 0 in (t.shape[a] for a in axes):
        raise ShapeError(
            f"cannot take the {kind} of {t.node.type}", why="nothing is left to compare along an empty axis"
        )
    n = node(Reduce(kind, axes), t.node) if axes else t.node
    if keepdims:
        n = node(Reshape(tuple(1 if k in axes else d for k, d in enumerate(t.shape))), n)
    return Tensor(n)


@operation
def sum(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Σ over axes (all by default)."""
    return _reduce("sum", x, axis, keepdims)


@operation
def max(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The maximum over axes; NaN wins; the first of equal maxima takes the gradient."""
    return _reduce("max", x, axis, keepdims)


@operation
def min(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The minimum over axes; NaN wins; the first of equal minima takes the gradient."""
    return _reduce("min", x, axis, keepdims)


@operation
def mean(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The sum over axes, divided by the number of elements."""
    t = as_tensor(x)
    if not t.dtype.is_float:
        t = cast(t, DType.F64)
    axes = axes_of(t, axis)
    count = size_as(product(t.shape[a] for a in axes), t.dtype)
    return apply("div", _reduce("sum", t, axes, keepdims), count)


@operation
def argmax(x: TensorLike, axis: int | None = None) -> Tensor:
    """The index of the first maximum along an axis (of the flattened tensor by default), as int64."""
    return _arg("max", x, axis)


@operation
def argmin(x: TensorLike, axis: int | None = None) -> Tensor:
    """The index of the first minimum along an axis (of the flattened tensor by default), as int64."""
    return _arg("min", x, axis)


def _arg(kind: str, x: TensorLike, axis: int | None) -> Tensor:
    t = as_tensor(x)
    if axis is None:
        t, axis = Tensor(node(Reshape((product(t.shape),)), t.node)), 0
    (k,) = axes_of(t, axis)
    return Tensor(node(Arg("max" if kind == "max" else "min", k), t.node))


@operation
def softmax(x: TensorLike, axis: int = -1) -> Tensor:
    """exp(x) / Σ exp(x) along an axis, computed from x − max x."""
    t = as_float(x)
    shifted = apply("sub", t, apply("stop_gradient", _reduce("max", t, axis, True)))
    e = apply("exp", shifted)
    return apply("div", e, _reduce("sum", e, axis, True))


@operation
def logsumexp(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """log Σ exp(x) over axes, computed from x − max x."""
    t = as_float(x)
    # The value does not depend on the shift, so its gradient is zero: declared, not left to cancel.
    top = apply("stop_gradient", _reduce("max", t, axis, True))
    total = apply("log", _reduce("sum", apply("exp", apply("sub", t, top)), axis, True))
    result = apply("add", top, total)
    if keepdims:
        return result
    axes = axes_of(t, axis)
    return Tensor(node(Reshape(tuple(d for k, d in enumerate(t.shape) if k not in axes)), result.node))


@operation
def log_softmax(x: TensorLike, axis: int = -1) -> Tensor:
    """x − logsumexp(x) along an axis."""
    t = as_float(x)
    shifted = apply("sub", t, apply("stop_gradient", _reduce("max", t, axis, True)))
    return apply("sub", shifted, apply("log", _reduce("sum", apply("exp", shifted), axis, True)))
