"""Level 2, Jacobians and Hessians: one sweep of reverse or forward mode for each row or column.

>>> import graphc as gc
>>> x = gc.input("x", (2,))
>>> J = jacobian(x * x, x)
>>> gc.compile([x], J, backend="reference")([3.0, 4.0]).tolist()
[[6.0, 0.0], [0.0, 8.0]]
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphc.autodiff.forward import push_forward
from graphc.autodiff.reverse import check_scalar, check_tensors, differentiate, differentiate_all
from graphc.errors import GradientError, ShapeError
from graphc.ir.node import Node, node, toposort
from graphc.ir.types import shape_text
from graphc.lang.source import operation
from graphc.lang.tensor import Tensor
from graphc.ops.leaves import Const
from graphc.ops.views import Concat, Reshape, Transpose
from graphc.passes.rules_stability import stabilize


@operation
def jacobian(y: Tensor, x: Tensor) -> Tensor:
    """∂y/∂x as one tensor of shape [*y.shape, *x.shape]: element [i…, j…] is ∂y[i…]/∂x[j…].

    Row by row in reverse mode, or column by column in forward mode where x is smaller than y.  The shapes
    must be known numbers.  Raises ShapeError where they are not, GradientError where y does not depend on x.
    """
    check_tensors([y, x], "y and x")
    if not y.dtype.is_float or not x.dtype.is_float:
        raise GradientError(
            f"there is no Jacobian of a {y.node.type} by a {x.node.type}", why="both must be floating-point"
        )
    y, x = _stable(y, x)
    if y.ndim == 0:
        return Tensor(differentiate(y.node, (x.node,)).wrt[0])
    rows, columns = _size(y), _size(x)
    if rows * columns == 0:
        return Tensor(node(Const.of(np.zeros([*map(_known, y.shape), *map(_known, x.shape)]), y.dtype)))
    if x.node not in toposort([y.node]):
        differentiate(y.node, (x.node,))  # says that y does not depend on x
    if rows <= columns:
        lines = [differentiate_all([(y.node, e)], [x.node]).wrt[0] for e in _basis(y.node, rows)]
        return Tensor(_stacked(lines, (*y.shape, *x.shape)))
    lines = [push_forward([y.node], {x.node: e})[0] for e in _basis(x.node, columns)]
    count = len(y.shape)
    across = _stacked(lines, (*x.shape, *y.shape))
    rank = count + len(x.shape)
    return Tensor(node(Transpose((*range(rank - count, rank), *range(rank - count))), across))


@operation
def hessian(f: Tensor, x: Tensor) -> Tensor:
    """The second derivatives of a scalar, of shape [*x.shape, *x.shape]: the Jacobian of the gradient."""
    check_tensors([f, x], "f and x")
    check_scalar(f)
    f, x = _stable(f, x)
    gradient = differentiate(f.node, (x.node,)).wrt[0]
    if x.node not in toposort([gradient]):  # f is linear in x
        size = _size(x)
        zeros = np.zeros((size, size), x.dtype.numpy)
        return Tensor(node(Const.of(zeros.reshape([*map(_known, x.shape), *map(_known, x.shape)]), x.dtype)))
    return jacobian(Tensor(gradient), x)


def _stable(y: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Both with stable formulas in place of naive ones."""
    found = stabilize([y.node], [x.node])
    return Tensor(found[y.node], y.name), Tensor(found[x.node], x.name)


def _known(d: object) -> int:
    assert isinstance(d, int)
    return d


def _size(t: Tensor) -> int:
    size = t.node.type.elements
    if not isinstance(size, int):
        raise ShapeError(
            f"a Jacobian needs known sizes, not {shape_text(t.shape)}",
            fix="give every dimension a number, or use gc.vjp or gc.jvp",
        )
    return size


def _basis(like: Node, size: int) -> list[Node]:
    """The unit tensors of a type, in row-major order."""
    unit = np.eye(size, dtype=like.type.dtype.numpy)
    shape = [_known(d) for d in like.type.shape]
    return [node(Const.of(row.reshape(shape))) for row in unit]


def _stacked(lines: Sequence[Node], shape: Sequence[object]) -> Node:
    """Tensors one below the other, in a shape that begins with that of their index."""
    size = lines[0].type.elements
    flat = [node(Reshape((1, size)), line) for line in lines]
    joined = flat[0] if len(flat) == 1 else node(Concat(0), *flat)
    return node(Reshape(tuple(_known(d) for d in shape)), joined)
