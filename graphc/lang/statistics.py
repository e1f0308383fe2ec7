"""Variance, standard deviation, norms, and maxout.

| function | definition | at its kink |
|----------|----------------------------------------|-----------------------------------------------|
| `var`    | mean of (x − mean x)², in two passes   | |
| `std`    | √var                                   | where all elements are equal, the gradient is 0 |
| `norm`   | (Σ |x|^p)^(1/p), maxima for p = ±inf   | at 0 the gradient is 0 |

>>> from graphc.lang.tensor import input
>>> x = input("x", ("N", 4))
>>> var(x, axis=1, ddof=1).shape, norm(x, axis=1).shape
((N,), (N,))
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from graphc.errors import ArgumentError, ShapeError
from graphc.lang.apply import apply, as_float, named, power
from graphc.lang.reductions import Axis, axes_of, count_nonzero, counted, max, min, sum
from graphc.lang.shapes import axis_of, reshape
from graphc.lang.source import operation
from graphc.lang.tensor import Tensor, TensorLike, as_tensor
from graphc.ops.elementwise import constant_like

__all__ = ["maxout", "norm", "std", "var"]


@operation
def var(
    x: TensorLike,
    axis: Axis = None,
    keepdims: bool = False,
    *,
    ddof: float = 0,
    correction: float | None = None,
) -> Tensor:
    """The mean squared distance from the mean over axes (all by default); the divisor is the count less `ddof`.

    Two passes, the mean first: nothing cancels.  `correction` is the array standard's name for `ddof`.
    """
    t = as_float(x)
    axes = axes_of(t, axis)
    count = counted(t, axes)
    mean = apply("div", sum(t, axes, True), count)
    total = sum(apply("square", apply("sub", t, mean)), axes, keepdims)
    less = ddof if correction is None else correction
    # With no degree of freedom left it is 0/0 or x/0, as in NumPy.
    left = apply("maximum", apply("sub", count, float(less)), 0.0) if less else count
    return apply("div", total, left)


@operation
def std(
    x: TensorLike,
    axis: Axis = None,
    keepdims: bool = False,
    *,
    ddof: float = 0,
    correction: float | None = None,
) -> Tensor:
    """The square root of `var`; where all elements are equal, its gradient is 0."""
    return _root(var(x, axis, keepdims, ddof=ddof, correction=correction))


def _root(x: Tensor) -> Tensor:
    """√x, with the gradient 0 at 0."""
    zero = apply("equal", x, 0.0)
    return apply("where", zero, 0.0, apply("sqrt", apply("where", zero, 1.0, x)))


@operation
def norm(x: TensorLike, ord: float | str | None = None, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The size of vectors or matrices, as `numpy.linalg.norm` takes it.

    Without `ord` the root of the sum of squares over the axes (all by default).  Along one axis `ord` is any p, inf,
    -inf, or 0 (the number of elements that are not 0).  Over two axes "fro", 1 and -1 (sums of columns), inf and -inf
    (sums of rows).  Where it is 0 the gradient is 0; the maxima give theirs to the first one.
    """
    t = as_float(x)
    axes = axes_of(t, axis)
    if ord is None or (ord == "fro" and len(axes) == 2):
        return _root(sum(apply("square", t), axes, keepdims))
    if isinstance(ord, str) or len(axes) not in (1, 2):
        raise ArgumentError(
            f"there is no norm {ord!r} over {len(axes)} axes of {named(t)}",
            fix='give ord a number and one axis, or "fro" and two axes',
        )
    if len(axes) == 2:
        return _matrix_norm(
            t, float(ord), axes if axis is None or isinstance(axis, int) else tuple(axis), keepdims
        )
    return _vector_norm(t, float(ord), axes[0], keepdims)


def _vector_norm(t: Tensor, p: float, axis: int, keepdims: bool) -> Tensor:
    size = apply("abs", t)
    if math.isinf(p):
        return (max if p > 0 else min)(size, axis, keepdims)
    if p == 0:
        return apply("add", count_nonzero(t, axis, keepdims).astype(t.dtype), 0.0)
    if p == 1:
        return sum(size, axis, keepdims)
    if p == 2:
        return _root(sum(apply("square", t), axis, keepdims))
    zero = apply("equal", t, 0.0)
    # The power has infinite derivatives at 0, of some order; an element that is 0 takes no part in any.
    terms = power(apply("where", zero, 1.0, size), p)
    total = sum(apply("where", zero, 0.0 if p > 0 else math.inf, terms), axis, keepdims)
    none = apply("logical_or", apply("equal", total, 0.0), apply("equal", total, math.inf))
    root = power(apply("where", none, 1.0, total), 1.0 / p)
    # 0**(1/p) and inf**(1/p), as constants, of the dtype of x.
    nothing = Tensor(constant_like(0.0, total.node))
    edge = apply("where", apply("equal", total, 0.0 if p > 0 else math.inf), nothing, math.inf)
    return apply("where", none, edge, root)


def _matrix_norm(t: Tensor, p: float, axes: Sequence[int], keepdims: bool) -> Tensor:
    rows, columns = (axis_of(t, a) for a in axes)
    if abs(p) != 1 and not math.isinf(p):
        raise ArgumentError(
            f"there is no norm {p:g} of matrices",
            why="it would need singular values",
            fix='use "fro", 1, -1, inf or -inf',
        )
    summed, compared = (rows, columns) if abs(p) == 1 else (columns, rows)
    sums = sum(apply("abs", t), summed, True)
    result = (max if p > 0 else min)(sums, compared, True)
    return (
        result
        if keepdims
        else reshape(result, tuple(d for k, d in enumerate(t.shape) if k not in (rows, columns)))
    )


@operation
def maxout(x: TensorLike, pieces: int, axis: int = -1) -> Tensor:
    """The maximum of each `pieces` neighbours along an axis, which becomes as many times shorter.

    Source: Goodfellow et al., Maxout Networks, arXiv:1302.4389.
    """
    t = as_tensor(x)
    k = axis_of(t, axis)
    d = t.shape[k]
    if not isinstance(d, int) or pieces < 1 or d % pieces:
        raise ShapeError(
            f"cannot take maxout of {t.node.type} in pieces of {pieces}",
            why=f"{pieces} does not divide its {d} elements along axis {axis}",
        )
    return max(reshape(t, (*t.shape[:k], d // pieces, pieces, *t.shape[k + 1 :])), axis=k + 1)
