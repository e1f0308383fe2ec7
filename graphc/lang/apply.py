"""Rows of the op table, applied: NumPy's promotion of dtypes, and its broadcasting as explicit `expand` nodes.

>>> from graphc.lang.tensor import input
>>> apply("add", input("x", ("N", 3), "float32"), 1)
Tensor(add, f32[N,3])
"""

from __future__ import annotations

import builtins
from collections.abc import Sequence

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
    "power",
    "zeros_like",
]

_VERBS = {
    "add": "add {} and {}",
    "sub": "subtract {1} from {0}",
    "mul": "multiply {} by {}",
    "div": "divide {} by {}",
}


def named(t: Tensor) -> str:
    """What an error calls a tensor: its name, or its type."""
    return f"`{t.name}`" if t.name else str(t.node.type)


def common(*operands: TensorLike) -> list[Tensor]:
    """Operands as tensors of one dtype; Python numbers take the dtype of the tensors, as in NumPy 2."""
    dtypes = [t.dtype for t in operands if isinstance(t, Tensor)]
    like = dtypes[0] if dtypes else DType.F64
    for d in dtypes[1:]:
        like = promote(like, d)
    tensors = [as_tensor(t, like) for t in operands]
    for t in tensors:
        like = promote(like, t.dtype)
    return [cast(t, like) for t in tensors]


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
        if row.dtype == "float" and not tensors[0].dtype.is_float:
            tensors = [cast(t, DType.F64) for t in tensors]
        elif row.dtype == "same" and tensors[0].dtype is DType.BOOL:
            raise DTypeError(f"cannot apply {name} to bool", fix='cast it first: x.astype("int64")')
    return Tensor(elementwise(name, *_broadcast(name, tensors, operands)))


def unary(name: str, x: TensorLike) -> Tensor:
    return apply(name, x)


def binary(name: str, a: TensorLike, b: TensorLike) -> Tensor:
    return apply(name, a, b)


@operation
def power(x: TensorLike, y: TensorLike) -> Tensor:
    """x**y; small whole exponents become products, so that they are exact and differentiate simply."""
    if isinstance(y, (int, float)) and not isinstance(y, bool) and isinstance(x, Tensor) and x.dtype.is_float:
        if y == 2:
            return apply("square", x)
        if y == 1:
            return x
        if y == 0.5:
            return apply("sqrt", x)
        if y == -1:
            return apply("reciprocal", x)
    return apply("pow", x, y)


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
