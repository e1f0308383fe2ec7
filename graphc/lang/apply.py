"""Rows of the op table, applied: NumPy's promotion of dtypes, and its broadcasting as explicit `expand` nodes.

>>> from graphc.lang.tensor import input
>>> apply("add", input("x", ("N", 3), "float32"), 1)
Tensor(add, f32[N,3])
"""

from __future__ import annotations

import builtins
from collections.abc import Sequence

import numpy as np

from graphc.errors import ArgumentError, DTypeError, ShapeError
from graphc.ir.dims import Index
from graphc.ir.node import Node, node
from graphc.ir.types import DType, Shape, broadcast_shapes, dtype_of, promote, shape_of, shape_text
from graphc.lang.source import operation
from graphc.lang.tensor import ShapeLike, Tensor, TensorLike, as_tensor
from graphc.ops.elementwise import Cast, elementwise, table_row
from graphc.ops.leaves import Const, Extent
from graphc.ops.views import Expand

__all__ = [
    "broadcast_to",
    "cast",
    "clip",
    "power",
    "zeros_like",
]

_VERBS = {
    "add": "add {} and {}",
    "sub": "subtract {1} from {0}",
    "mul": "multiply {} by {}",
    "div": "divide {} by {}",
}

# Python's own numbers, and not NumPy's, some of which are subclasses.
_WEAK = (bool, int, float)

# What NumPy makes of these on truth values.
_OF_TRUTHS = {
    "add": "logical_or",
    "mul": "logical_and",
    "maximum": "logical_or",
    "minimum": "logical_and",
    "bitwise_and": "logical_and",
    "bitwise_or": "logical_or",
    "bitwise_xor": "logical_xor",
    "bitwise_not": "logical_not",
}


def named(t: Tensor) -> str:
    """What an error calls a tensor: its name, or its type."""
    return f"`{t.name}`" if t.name else str(t.node.type)


def common(*operands: TensorLike) -> list[Tensor]:
    """Operands as tensors of one dtype, by NumPy 2's rules: Python's numbers take the dtype of the tensors."""
    given = [x if isinstance(x, (bool, int, float)) and type(x) in _WEAK else as_tensor(x) for x in operands]
    like = promote(*(x.dtype if isinstance(x, Tensor) else x for x in given))
    return [cast(x, like) if isinstance(x, Tensor) else _number(x, like) for x in given]


def _number(value: object, like: DType) -> Tensor:
    """A Python number as a constant of a dtype that is of its kind."""
    try:
        return Tensor(node(Const.of(value, like)))
    except OverflowError:
        limits = np.iinfo(like.numpy)
        raise DTypeError(
            f"{value} does not fit into {like}",
            why=f"{like} holds {limits.min} to {limits.max}, and a Python number takes the dtype of the tensor",
            fix='cast the tensor first: x.astype("int64")',
        ) from None


def type_of(x: TensorLike) -> str:
    """The type of an operand as the user wrote it, before it was promoted, for an error."""
    return str(as_tensor(x).node.type)


def _broadcast(name: str, tensors: Sequence[Tensor], written: Sequence[TensorLike]) -> list[Node]:
    """The nodes of tensors, expanded to their common shape; an error speaks of them as they were written."""
    try:
        shape = broadcast_shapes(*(t.shape for t in tensors))
    except ShapeError as error:
        types = [type_of(x) for x in written]
        verb = _VERBS.get(name, f"apply {name} to " + " and ".join(["{}"] * len(types))).format(*types)
        small = builtins.min(tensors, key=lambda t: t.ndim)
        large = builtins.max((t for t in tensors if t is not small), key=lambda t: t.ndim)
        wanted = large.shape[large.ndim - builtins.max(1, small.ndim) :]
        fix = f"give {named(small)} the shape {shape_text(wanted)}, or reshape it"
        raise ShapeError(f"cannot {verb}", why=error.why, fix=fix) from None
    return [expand(t.node, shape) for t in tensors]


def expand(n: Node, shape: Shape) -> Node:
    """A node broadcast to a shape; itself where it has that shape."""
    return n if n.type.shape == shape else node(Expand(shape), n)


def apply(name: str, *operands: TensorLike) -> Tensor:
    """Any row of the op table, with NumPy's promotion and broadcasting."""
    row = table_row(name)
    if len(operands) != len(row.operands):
        raise ArgumentError(
            f"{name} takes {len(row.operands)} operands ({', '.join(row.operands)}), not {len(operands)}"
        )
    if row.dtype == "select":
        condition = as_tensor(operands[0])
        if condition.dtype is not DType.BOOL:
            raise DTypeError(f"the condition of {name} is {condition.node.type}", fix="compare it: x != 0")
        tensors = [condition, *common(*operands[1:])]
    elif row.dtype == "logic":
        tensors = [cast(as_tensor(t, DType.BOOL), DType.BOOL) for t in operands]
    else:
        tensors = common(*operands)
        dtype = tensors[0].dtype
        if row.dtype in ("float", "test") and not dtype.is_float:
            tensors = [cast(t, DType.F64) for t in tensors]
        elif row.dtype in ("same", "integer") and dtype is DType.BOOL:
            if name not in _OF_TRUTHS:
                raise DTypeError(f"cannot apply {name} to bool", fix='cast it first: x.astype("int64")')
            name = _OF_TRUTHS[name]
    return Tensor(elementwise(name, *_broadcast(name, tensors, operands)))


def unary(name: str, x: TensorLike) -> Tensor:
    return apply(name, x)


def binary(name: str, a: TensorLike, b: TensorLike) -> Tensor:
    return apply(name, a, b)


@operation
def power(x: TensorLike, y: TensorLike) -> Tensor:
    """x**y, as NumPy's power; small whole exponents become products, so that they are exact and differentiate simply.

    Integers to a Python integer >= 0 stay integers, and wrap around; a negative one is refused, as in NumPy.
    All other powers are computed in floating point, those of two integer tensors too: the sign of the exponent
    is not known when types are inferred.  x**0 is 1 for every x.
    """
    if type(y) is int and isinstance(x, Tensor) and x.dtype.is_integer:
        return _whole_power(x, y)
    if type(y) in (int, float) and isinstance(x, Tensor) and x.dtype.is_float:
        if y == 2:
            return apply("square", x)
        if y == 1:
            return x
        if y == 0.5:
            return apply("sqrt", x)
        if y == -1:
            return apply("reciprocal", x)
    return apply("pow", x, y)


def _whole_power(x: Tensor, exponent: int) -> Tensor:
    """x**exponent by repeated squaring: x**5 = x · (x²)²."""
    if exponent < 0:
        raise ArgumentError(
            f"cannot raise {x.dtype} to the power {exponent}",
            why="the result would be no integer",
            fix=f'cast it first: x.astype("float64")**{exponent}',
        )
    result: Tensor | None = None
    square = x
    while exponent:
        if exponent & 1:
            result = square if result is None else apply("mul", result, square)
        exponent >>= 1
        if exponent:
            square = apply("square", square)
    return apply("add", zeros_like(x), 1) if result is None else result


@operation
def clip(
    x: TensorLike,
    a_min: TensorLike | None = None,
    a_max: TensorLike | None = None,
    *,
    min: TensorLike | None = None,
    max: TensorLike | None = None,
) -> Tensor:
    """x, kept between two bounds, as NumPy's clip: either may be missing; a_max where a_min > a_max.

    At a bound the gradient is x's.
    """
    low, high = a_min if min is None else min, a_max if max is None else max
    if low is not None and high is not None:
        return apply("clip", x, low, high)
    if low is not None:
        return apply("maximum", x, low)
    return as_tensor(x) if high is None else apply("minimum", x, high)


@operation
def cast(x: TensorLike, dtype: object) -> Tensor:
    """The same values in another dtype."""
    t, to = as_tensor(x), dtype_of(dtype)
    if t.dtype is to:
        return t
    if isinstance(t.node.op, Const):
        return Tensor(node(Const.of(t.node.op.value, to)), t.name, t.loc)
    return Tensor(node(Cast(to), t.node), t.name, t.loc)


def size_as(dim: Index, dtype: DType) -> Tensor:
    """A dimension as a number: a constant, or known at run time where it is named."""
    if isinstance(dim, int):
        return Tensor(node(Const.of(dim, dtype)))
    return Tensor(node(Extent(dim, dtype)))


@operation
def broadcast_to(x: TensorLike, shape: ShapeLike) -> Tensor:
    """The tensor expanded to a shape by NumPy's rule."""
    return Tensor(expand(as_tensor(x).node, shape_of(shape)))


@operation
def zeros_like(x: TensorLike) -> Tensor:
    """Zeros of the same type."""
    t = as_tensor(x)
    return Tensor(expand(node(Const.of(0, t.dtype)), t.shape))


def as_float(x: TensorLike) -> Tensor:
    """A tensor of a floating dtype: itself, or float64."""
    t = as_tensor(x)
    return t if t.dtype.is_float else cast(t, DType.F64)
