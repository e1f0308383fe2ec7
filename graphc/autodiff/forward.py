"""Level 2, forward mode: tangents travel with the values, and so Jacobians and Hessians.

| operation    | tangent of the result                                                                     |
|--------------|-------------------------------------------------------------------------------------------|
| elementwise  | Σ over operands of local × tangent: the row's own `downstream` formula, read forwards     |
| multilinear  | Σ over operands of the operation itself, with the tangent in the operand's place          |
| any other    | the vjp of its vjp: u ↦ Jᵀu is linear, and the transpose of the transpose is t ↦ Jt       |

so that an operation which knows its vjp needs no rule of its own for forward mode.

>>> import graphc as gc
>>> x = gc.input("x", (2,))
>>> J = jacobian(x * x, x)
>>> gc.compile([x], J, backend="reference")([3.0, 4.0]).tolist()
[[6.0, 0.0], [0.0, 8.0]]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from graphc.autodiff.reverse import check_scalar, check_tensors, differentiate, differentiate_all
from graphc.errors import GradientError, ShapeError
from graphc.ir.node import Node, node, origin, toposort
from graphc.ir.types import shape_text
from graphc.lang.source import operation
from graphc.lang.tensor import Tensor
from graphc.ops.contract import Contract
from graphc.ops.conv import Conv
from graphc.ops.elementwise import Cast, Elementwise, constant_like, elementwise, instantiate
from graphc.ops.leaves import Const, Input
from graphc.ops.reduce import Reduce
from graphc.ops.views import Concat, Expand, Reshape, Slice, Transpose
from graphc.ops.window import Window
from graphc.passes.rules_stability import stabilize

_LINEAR = (Contract, Conv, Cast, Expand, Reshape, Slice, Transpose)


@operation
def jvp(
    ys: Tensor | Sequence[Tensor], xs: Sequence[Tensor], tangents: Tensor | Sequence[Tensor]
) -> list[Tensor]:
    """The Jacobian of ys by xs times tangents: forward mode, one sweep for all outputs.

    Each tangent has the type of its x, each result that of its y.  Raises GradientError where they do not, or
    where a y depends on none of the xs.
    """
    outputs = [ys] if isinstance(ys, Tensor) else list(ys)
    along = [tangents] if isinstance(tangents, Tensor) else list(tangents)
    check_tensors([*outputs, *xs, *along], "ys, xs and tangents")
    if len(xs) != len(along):
        raise GradientError(f"{len(xs)} tensors need as many tangents, not {len(along)}")
    for x, t in zip(xs, along, strict=True):
        if x.node.type != t.node.type:
            raise GradientError(
                f"the tangent of a {x.node.type} is a {t.node.type}", fix="give it the same type"
            )
    stable = stabilize([y.node for y in outputs], [x.node for x in xs])
    found = push_forward(
        [stable[y.node] for y in outputs],
        {stable[x.node]: t.node for x, t in zip(xs, along, strict=True)},
    )
    return [Tensor(n) for n in found]


def push_forward(outputs: Sequence[Node], tangents: Mapping[Node, Node]) -> list[Node]:
    """The tangents of outputs, from those of some nodes."""
    order = toposort(outputs)
    reached = set(tangents)
    found = dict(tangents)
    for n in order:
        if n in tangents or not any(s in reached for s in n.src):
            continue
        reached.add(n)
        with origin("tangent", of=(n,)):
            total: Node | None = None
            for k, source in enumerate(n.src):
                part = _tangent(n, k, found[source]) if source in found else None
                if part is not None:
                    total = part if total is None else elementwise("add", total, part)
        if total is not None:
            found[n] = total
    for y in outputs:
        if y not in reached:
            raise GradientError(
                f"an output ({y.op.label}, {y.type}) does not depend on any tensor with a tangent",
                why="no path of the graph leads from them to it, so its tangent would be zero everywhere",
                fix="leave it out, or check that the tensors are those you mean",
            )
        if not y.type.dtype.is_float:
            raise GradientError(
                f"an output of dtype {y.type.dtype} has no tangent",
                why="only floating-point tensors have one",
            )
    return [found[y] if y in found else constant_like(0.0, y) for y in outputs]


def _tangent(n: Node, k: int, t: Node) -> Node | None:
    """The share of operand k in the tangent of a node; None where it is zero everywhere."""
    op = n.op
    if not n.type.dtype.is_float:
        return None
    if isinstance(op, Elementwise):
        if op.vjp(n, k, n) is None:
            return None
        return instantiate(op.row.downstream_body(k), (*n.src, n, t), n)
    if isinstance(op, _LINEAR) or (isinstance(op, (Reduce, Window)) and op.kind == "sum"):
        return node(op, *(t if j == k else s for j, s in enumerate(n.src)))
    u = node(Input("u", n.type))
    pulled = op.vjp(n, k, u)
    return None if pulled is None else differentiate(pulled, (u,), seed=t).wrt[0]


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
