"""Products of vectors, matrices and stacks of them: each is one `contract` node.

>>> from graphc.lang.tensor import input
>>> matmul(input("a", ("N", 4)), input("b", (4, 3))).shape
(N, 3)
"""

from __future__ import annotations

from graphc.errors import ShapeError
from graphc.ir.node import node
from graphc.ir.types import broadcast_shapes, shape_text
from graphc.lang.apply import apply, common, expand, named, type_of
from graphc.lang.shapes import reshape
from graphc.lang.source import operation
from graphc.lang.tensor import Tensor, TensorLike, as_tensor
from graphc.ops.contract import Contract

__all__ = [
    "dot",
    "matmul",
    "outer",
]


@operation
def matmul(a: TensorLike, b: TensorLike) -> Tensor:
    """NumPy's matrix product: vectors, matrices, and stacks of matrices that broadcast."""
    x, y = common(a, b)
    if x.ndim == 0 or y.ndim == 0:
        raise ShapeError(_cannot(a, b), fix="use * for scalars")
    inner = (x.shape[-1], y.shape[-2] if y.ndim > 1 else y.shape[0])
    if inner[0] != inner[1]:
        fix = f"give {named(y)} {inner[0]} {'rows' if y.ndim > 1 else 'elements'}"
        if y.ndim == 2 and y.shape[1] == inner[0]:
            fix += f", or transpose it: {y.name or 'b'}.T"
        raise ShapeError(_cannot(a, b), why=f"the inner dimensions are {inner[0]} and {inner[1]}", fix=fix)
    try:
        batch = broadcast_shapes(x.shape[:-2], y.shape[:-2])
    except ShapeError:
        stacks = f"{shape_text(x.shape[:-2])} and {shape_text(y.shape[:-2])}"
        raise ShapeError(_cannot(a, b), why=f"stacks of {stacks} matrices do not broadcast") from None
    letters = "abcdefgh"[: len(batch)]
    left = "i" * (x.ndim > 1) + "j"
    right = "j" + "k" * (y.ndim > 1)
    lead_x, lead_y = letters, letters
    nx, ny = x.node, y.node
    if x.ndim > 2 or y.ndim > 2:
        # An operand without batch axes keeps none; otherwise both get all of them.
        lead_x = letters if x.ndim > 2 else ""
        lead_y = letters if y.ndim > 2 else ""
        if lead_x:
            nx = expand(nx, (*batch, *x.shape[-2:]))
        if lead_y:
            ny = expand(ny, (*batch, *y.shape[-2:]))
    result = letters + left[:-1] + right[1:]
    return Tensor(node(Contract(f"{lead_x}{left},{lead_y}{right}->{result}"), nx, ny))


def _cannot(a: TensorLike, b: TensorLike) -> str:
    return f"cannot multiply {type_of(a)} by {type_of(b)} as matrices"


@operation
def dot(a: TensorLike, b: TensorLike) -> Tensor:
    """NumPy's dot for scalars, vectors and matrices."""
    x, y = as_tensor(a), as_tensor(b)
    return apply("mul", x, y) if x.ndim == 0 or y.ndim == 0 else matmul(x, y)


@operation
def outer(a: TensorLike, b: TensorLike) -> Tensor:
    """All products of the elements of two vectors."""
    x, y = common(a, b)
    x, y = reshape(x, (-1,)), reshape(y, (-1,))
    return Tensor(node(Contract("i,j->ij"), x.node, y.node))
