"""Products of vectors, matrices and stacks of them: each is one `contract` node.

>>> from graphc.lang.tensor import input
>>> matmul(input("a", ("N", 4)), input("b", (4, 3))).shape
(N, 3)
"""

from __future__ import annotations

import string
from collections.abc import Sequence

from graphc.errors import ArgumentError, ShapeError
from graphc.ir.node import node
from graphc.ir.types import broadcast_shapes, shape_text
from graphc.lang.apply import apply, common, expand, named, type_of
from graphc.lang.arrangement import roll
from graphc.lang.einsum import einsum
from graphc.lang.shapes import axis_of, reshape
from graphc.lang.source import operation
from graphc.lang.tensor import Tensor, TensorLike
from graphc.ops.contract import Contract

__all__ = [
    "bilinear",
    "cross",
    "dot",
    "inner",
    "kron",
    "matmul",
    "outer",
    "tensordot",
    "vdot",
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
    """NumPy's dot: the last axis of a with the second to last of b (its only one, where b is a vector)."""
    x, y = common(a, b)
    if x.ndim == 0 or y.ndim == 0:
        return apply("mul", x, y)
    if x.ndim <= 2 and y.ndim <= 2:
        return matmul(a, b)
    return tensordot(x, y, (x.ndim - 1, max(y.ndim - 2, 0)))


@operation
def vdot(a: TensorLike, b: TensorLike) -> Tensor:
    """The sum of the products of all elements, in row-major order."""
    x, y = common(a, b)
    return matmul(reshape(x, -1), reshape(y, -1))


@operation
def inner(a: TensorLike, b: TensorLike) -> Tensor:
    """Products summed over the last axis of both: [*a.shape[:-1], *b.shape[:-1]]."""
    x, y = common(a, b)
    return apply("mul", x, y) if x.ndim == 0 or y.ndim == 0 else tensordot(x, y, (-1, -1))


@operation
def outer(a: TensorLike, b: TensorLike) -> Tensor:
    """All products of the elements of two vectors."""
    x, y = common(a, b)
    x, y = reshape(x, (-1,)), reshape(y, (-1,))
    return Tensor(node(Contract("i,j->ij"), x.node, y.node))


@operation
def tensordot(a: TensorLike, b: TensorLike, axes: int | Sequence[int | Sequence[int]] = 2) -> Tensor:
    """Products summed over pairs of axes: the last of a with as many first of b, or (axes of a, axes of b).

    The result has what is left of a, then of b.  Raises ShapeError where paired axes differ in size.
    """
    x, y = common(a, b)
    if isinstance(axes, int):
        if not 0 <= axes <= min(x.ndim, y.ndim):
            raise ShapeError(
                f"cannot contract {axes} axes of {type_of(a)} and {type_of(b)}", why="they have not so many"
            )
        pairs = [(x.ndim - axes + k, k) for k in range(axes)]
    else:
        left, right = ([v] if isinstance(v, int) else list(v) for v in axes)
        if len(left) != len(right):
            raise ArgumentError(f"tensordot pairs the axes {left} with {right}", why="each needs one partner")
        pairs = [(axis_of(x, i), axis_of(y, j)) for i, j in zip(left, right, strict=True)]
    for i, j in pairs:
        if x.shape[i] != y.shape[j]:
            raise ShapeError(
                f"cannot contract {type_of(a)} with {type_of(b)}",
                why=f"axis {i} of the first is {x.shape[i]}, axis {j} of the second {y.shape[j]}",
            )
    letters = iter(string.ascii_letters)
    first = [next(letters) for _ in range(x.ndim)]
    second = [next(letters) for _ in range(y.ndim)]
    for i, j in pairs:
        second[j] = first[i]
    summed = {first[i] for i, _ in pairs}
    result = "".join(c for c in (*first, *second) if c not in summed)
    return Tensor(node(Contract(f"{''.join(first)},{''.join(second)}->{result}"), x.node, y.node))


@operation
def kron(a: TensorLike, b: TensorLike) -> Tensor:
    """The Kronecker product: each element of a times all of b, in its place."""
    x, y = common(a, b)
    rank = max(x.ndim, y.ndim)
    x, y = (reshape(t, (*(1,) * (rank - t.ndim), *t.shape)) for t in (x, y))
    left = reshape(x, tuple(v for d in x.shape for v in (d, 1)))
    right = reshape(y, tuple(v for d in y.shape for v in (1, d)))
    shape = tuple(d * e for d, e in zip(x.shape, y.shape, strict=True))
    return reshape(apply("mul", left, right), shape)


@operation
def cross(a: TensorLike, b: TensorLike, axis: int = -1) -> Tensor:
    """The vector product of vectors of three elements along an axis."""
    x, y = common(a, b)
    if any(t.ndim == 0 or t.shape[axis_of(t, axis)] != 3 for t in (x, y)):
        raise ShapeError(
            f"there is no vector product of {type_of(a)} and {type_of(b)}",
            why=f"axis {axis} must have 3 elements",
        )
    x1, x2, y1, y2 = (roll(t, s, axis) for t in (x, y) for s in (-1, -2))
    return apply("sub", apply("mul", x1, y2), apply("mul", x2, y1))


@operation
def bilinear(x1: TensorLike, x2: TensorLike, weight: TensorLike, bias: TensorLike | None = None) -> Tensor:
    """y[..., o] = Σ x1[..., i] · weight[o, i, j] · x2[..., j] + bias[o], as `torch.nn.functional.bilinear`."""
    y = einsum("...i,oij,...j->...o", x1, weight, x2)
    return y if bias is None else apply("add", y, bias)
