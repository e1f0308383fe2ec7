"""Linear algebra on stacks of small dense matrices, under NumPy's names: `gc.inv` and `gc.linalg.inv` are one.

The last two axes are the matrix, the axes before them are stacks, and all of them may be named dimensions.
Integers are computed in float64.  Compiled code cannot raise, so what does not exist is NaN:

| what                                                  | value                         |
|-------------------------------------------------------|-------------------------------|
| the Cholesky factor of a matrix that is not positive definite | NaN in its lower triangle |
| the solution of a singular system, the inverse of a singular matrix | NaN everywhere |
| the determinant of a singular matrix                  | 0; slogdet gives (0, -inf)    |
| the gradient of that determinant                      | NaN, for it is det(A) A⁻ᵀ     |

A system is singular where a pivot of its elimination is exactly 0.

>>> import graphc as gc
>>> a = gc.input("a", ("N", 2, 2))
>>> gc.compile([a], gc.linalg.det(a), backend="reference")([[[1.0, 2.0], [3.0, 4.0]]]).round(12).tolist()
[-2.0]
"""

from __future__ import annotations

from graphc.errors import ArgumentError, ShapeError
from graphc.ir.node import Node, node
from graphc.ir.types import Shape, broadcast_shapes, shape_text
from graphc.lang.apply import apply, as_float, common, expand, named
from graphc.lang.source import operation
from graphc.lang.tensor import Tensor, TensorLike
from graphc.ops.elementwise import elementwise
from graphc.ops.linalg import Cholesky, TriangularSolve, check_square, transposed, triangle
from graphc.ops.lu import Lu, LuDet, LuSolve, columns, identity, permutation
from graphc.ops.views import Reshape

__all__ = [
    "cholesky",
    "det",
    "inv",
    "lu",
    "slogdet",
    "solve",
    "solve_triangular",
]


@operation
def cholesky(a: TensorLike, *, symmetrize_input: bool = True) -> Tensor:
    """The lower triangular L [..., n, n] with a positive diagonal and L @ L.T = a; `a` is symmetric.

    As in JAX the factor is that of (a + a.T)/2, so that both triangles of `a` have a gradient, a symmetric one;
    with `symmetrize_input=False` only the lower triangle is read, and only it has a gradient.  NaN in the
    lower triangle where `a` is not positive definite.
    """
    (x,) = _matrices("cholesky", a)
    if symmetrize_input:
        x = apply("mul", apply("add", x, Tensor(transposed(x.node))), 0.5)
    return Tensor(node(Cholesky(), x.node))


@operation
def solve_triangular(
    a: TensorLike,
    b: TensorLike,
    trans: int | str = 0,
    lower: bool = False,
    unit_diagonal: bool = False,
) -> Tensor:
    """x with T @ x = b, T being the upper triangle of `a` (or the `lower` one); SciPy's arguments.

    `trans` of 1 or "T" solves T.T @ x = b.  With `unit_diagonal` the diagonal of T is 1, whatever `a` says.
    Shapes as for `solve`.  NaN where T has a zero on its diagonal.
    """
    if trans not in (0, 1, "N", "T"):
        raise ArgumentError(f"trans must be 0, 1, 'N' or 'T', not {trans!r}")
    x, y, shape = _system("solve_triangular", a, b)
    op = TriangularSolve(bool(lower), trans in (1, "T"), bool(unit_diagonal))
    return _reshaped(node(op, x, y), shape)


@operation
def solve(a: TensorLike, b: TensorLike) -> Tensor:
    """x with a @ x = b, by LU with partial pivoting; NumPy's rules.

    A `b` with one axis is a vector, else a stack of matrices [..., n, m]; stacks broadcast.  NaN where `a` is
    singular.
    """
    x, y, shape = _system("solve", a, b)
    return _reshaped(node(LuSolve(False), x, node(Lu(), x), y), shape)


@operation
def inv(a: TensorLike) -> Tensor:
    """The inverse of each matrix of [..., n, n]; NaN where it is singular.  To solve a system, `solve` is better."""
    (x,) = _matrices("inv", a)
    return Tensor(node(LuSolve(False), x.node, node(Lu(), x.node), identity(x.node)))


@operation
def det(a: TensorLike) -> Tensor:
    """The determinant of each matrix of [..., n, n]; its gradient is det(a) times the inverse, transposed."""
    (x,) = _matrices("det", a)
    return Tensor(node(LuDet("det"), x.node, node(Lu(), x.node)))


@operation
def slogdet(a: TensorLike) -> tuple[Tensor, Tensor]:
    """The sign and the logarithm of the magnitude of each determinant, which may itself be too large or small."""
    (x,) = _matrices("slogdet", a)
    packed = node(Lu(), x.node)
    return Tensor(node(LuDet("sign"), x.node, packed)), Tensor(node(LuDet("logabsdet"), x.node, packed))


@operation
def lu(a: TensorLike) -> tuple[Tensor, Tensor, Tensor]:
    """(p, L, U) with rows p of `a` = L @ U: p is int64 [..., n], the diagonal of L is 1; partial pivoting.

    The derivative is that at a fixed p.  Where `a` is singular U has a zero on its diagonal, and the gradient
    is NaN.
    """
    (x,) = _matrices("lu", a)
    packed = node(Lu(), x.node)
    factors = columns(packed, 0, x.shape[-1])
    left = elementwise("add", triangle(factors, lower=True, strict=True), identity(factors))
    return Tensor(permutation(packed)), Tensor(left), Tensor(triangle(factors, lower=False))


def _matrices(name: str, *operands: TensorLike) -> list[Tensor]:
    """Operands of one floating dtype, the first of which holds square matrices."""
    found = common(*map(as_float, common(*operands)))
    check_square(found[0].node.type, name)
    return found


def _system(name: str, a: TensorLike, b: TensorLike) -> tuple[Node, Node, Shape]:
    """A matrix and a right-hand side [..., n, m] with stacks that agree, and the shape of the solution."""
    x, y = _matrices(name, a, b)
    cannot = f"{name} cannot take {x.node.type} with {y.node.type}"
    rows, vector = x.shape[-1], y.ndim == 1
    if y.ndim == 0 or y.shape[0 if vector else -2] != rows:
        raise ShapeError(cannot, why=f"the matrix has {rows} rows", fix=f"give {named(y)} {rows} rows")
    rhs = node(Reshape((*y.shape, 1)), y.node) if vector else y.node
    try:
        stacks = broadcast_shapes(x.shape[:-2], rhs.type.shape[:-2])
    except ShapeError:
        left, right = shape_text(x.shape[:-2]), shape_text(rhs.type.shape[:-2])
        raise ShapeError(cannot, why=f"stacks of {left} and {right} matrices do not broadcast") from None
    shape = (*stacks, *rhs.type.shape[-2:])
    return expand(x.node, (*stacks, *x.shape[-2:])), expand(rhs, shape), shape[:-1] if vector else shape


def _reshaped(x: Node, shape: Shape) -> Tensor:
    return Tensor(x if x.type.shape == shape else node(Reshape(shape), x))
