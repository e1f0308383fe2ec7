"""Cholesky factors and triangular systems, for stacks of small dense matrices [..., n, n].

| op                 | definition                                    | vjp                                       |
|--------------------|-----------------------------------------------|-------------------------------------------|
| `cholesky`         | L Lᵀ = A, by the lower triangle of A          | Φ(S + Sᵀ) with S = L⁻ᵀ Φ(Lᵀ Ū) L⁻¹        |
| `triangular_solve` | T X = B, T a triangle of A, or its transpose  | B̄ = T⁻ᵀ Ū, Ā = the triangle of -B̄ Xᵀ      |

Φ keeps the lower triangle and halves its diagonal.  Each vjp is made of these operations, contractions and
masks, so that all derivatives exist.  Compiled code cannot raise, so what does not exist is NaN: the lower
triangle of the factor where A is not positive definite, and all of a solution where T has a zero on its
diagonal.  `graphc.ops.lu` is the same for general matrices.

Sources: I. Murray, Differentiation of the Cholesky decomposition, arXiv:1602.07527; M. Giles, Collected matrix
derivative results for forward and reverse mode AD, 2008; G. Golub and C. Van Loan, Matrix Computations, ch. 3, 4.

>>> from graphc.ops.leaves import Input
>>> a, b = (node(Input(k, TensorType.of("f64", ("N", 3, m)))) for k, m in (("a", 3), ("b", 2)))
>>> node(Cholesky(), a), node(TriangularSolve(True, False, False), a, b)
(<cholesky f64[N,3,3] ...>, <triangular_solve f64[N,3,2] ...>)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from graphc.errors import DTypeError, ShapeError
from graphc.ir.dims import Index
from graphc.ir.loops import Element, LoopBuilder
from graphc.ir.node import Node, Op, node
from graphc.ir.types import Array, DType, TensorType
from graphc.ops.contract import Contract
from graphc.ops.elementwise import constant_like, elementwise
from graphc.ops.leaves import Iota
from graphc.ops.views import Transpose


def check_square(x: TensorType, label: str) -> None:
    """Raises ShapeError or DTypeError where a tensor is no stack of square floating-point matrices."""
    if x.rank < 2 or x.shape[-1] != x.shape[-2]:
        raise ShapeError(
            f"{label} takes square matrices, not {x}", why="its last two dimensions must be equal"
        )
    if not x.dtype.is_float:
        raise DTypeError(
            f"{label} takes floating-point matrices, not {x}", fix='cast it: x.astype("float64")'
        )


def check_system(a: TensorType, rhs: TensorType, label: str) -> None:
    """Raises ShapeError or DTypeError where no system A X = B is given: A [..., n, n] and B [..., n, m]."""
    check_square(a, label)
    if rhs.rank != a.rank or rhs.shape[:-1] != a.shape[:-1]:
        raise ShapeError(
            f"cannot solve a system of {a} for {rhs}", why="the right-hand side must have as many rows"
        )
    if rhs.dtype != a.dtype:
        raise DTypeError(f"cannot solve a system of {a} for {rhs}", why="they must have one dtype")


# What the derivatives are made of.


def places(x: Node) -> tuple[Node, Node]:
    """The row and the column of each element of a stack of matrices."""
    shape, rank = x.type.shape, x.type.rank
    return node(Iota(shape, rank - 2, DType.I64)), node(Iota(shape, rank - 1, DType.I64))


def triangle(x: Node, *, lower: bool, strict: bool = False) -> Node:
    """The lower or upper triangle, zeros elsewhere; `strict` leaves the diagonal out."""
    row, column = places(x)
    first, last = (column, row) if lower else (row, column)
    inside = elementwise("less" if strict else "less_equal", first, last)
    return elementwise("where", inside, x, constant_like(0.0, x))


def _phi(x: Node) -> Node:
    """The lower triangle, with half the diagonal."""
    half = elementwise(
        "where", elementwise("equal", *places(x)), constant_like(0.5, x), constant_like(1.0, x)
    )
    return triangle(elementwise("mul", half, x), lower=True)


def transposed(x: Node) -> Node:
    """The last two axes exchanged."""
    rank = x.type.rank
    return node(Transpose((*range(rank - 2), rank - 1, rank - 2)), x)


def product(spec: str, a: Node, b: Node) -> Node:
    """A contraction of matrices, `ij,jk->ik` for instance, with the axes before them in common."""
    lead = "abcdefgh"[: a.type.rank - 2]
    letters, _, result = spec.partition("->")
    left, _, right = letters.partition(",")
    return node(Contract(f"{lead}{left},{lead}{right}->{lead}{result}"), a, b)


# What the loops have in common.


def poison(b: LoopBuilder, n: Index, dtype: DType, pivot: Callable[[Index], Element]) -> Element:
    """0, or NaN where a pivot is 0: added to the right-hand side, it makes NaN of all the solution."""
    zero, nan = b.constant(0.0, dtype), b.constant(float("nan"), dtype)
    cell = b.accumulator(zero)
    with b.loop(n) as i:
        b.accumulate(cell, "add", b.prim("select", b.prim("eq", pivot(i), zero), nan, zero))
    return b.read(cell)


def substitute(
    b: LoopBuilder,
    shape: tuple[Index, Index],
    matrix: Callable[[Index, Index], Element],
    rhs: Callable[[Index, Index], Element],
    place: Callable[[Index, Index], tuple[Index, ...]],
    *,
    forward: bool,
    unit: bool,
) -> None:
    """Solve a triangular system by substitution, from the first row or from the last one.

    `place` says where in the result the solution's element of a row and a column is.
    """
    n, columns = shape
    with b.loop(n) as t:
        i = t if forward else n - 1 - t
        if columns == 1:  # the rows of the matrix lie in memory as they are summed
            right = rhs(i, 0)
            cell = b.accumulator(b.constant(0.0, right.dtype))
            with b.loop(t) as s:
                k = s if forward else n - 1 - s
                b.accumulate(cell, "fma", matrix(i, k), b.result(place(k, 0)))
            x = b.prim("sub", right, b.read(cell))
            b.store(place(i, 0), x if unit else b.prim("div", x, matrix(i, i)))
        else:  # those of the result do
            with b.loop(columns) as c:
                b.store(place(i, c), rhs(i, c))
            with b.loop(t) as s:
                k = s if forward else n - 1 - s
                factor = matrix(i, k)
                with b.loop(columns) as c:
                    share = b.prim("mul", factor, b.result(place(k, c)))
                    b.store(place(i, c), b.prim("sub", b.result(place(i, c)), share))
            if not unit:
                pivot = matrix(i, i)
                with b.loop(columns) as c:
                    b.store(place(i, c), b.prim("div", b.result(place(i, c)), pivot))


def solution(a: Array, rhs: Array) -> Array:
    """NumPy's, with NaN where a matrix is singular."""
    out = np.full(rhs.shape, np.nan, rhs.dtype)
    for at in np.ndindex(a.shape[:-2]):
        try:
            out[at] = np.linalg.solve(a[at], rhs[at])
        except np.linalg.LinAlgError:
            continue
    return out


@dataclass(frozen=True, slots=True)
class Cholesky(Op):
    """The lower triangular L with a positive diagonal and L Lᵀ = A."""

    name: ClassVar[str] = "cholesky"
    scatters: ClassVar[bool] = True

    def infer(self, *operands: TensorType) -> TensorType:
        check_square(operands[0], self.name)
        return operands[0]

    def vjp(self, node_: Node, operand: int, upstream: Node) -> Node:
        back = TriangularSolve(lower=True, transpose=True, unit=False)
        inner = _phi(product("ji,jk->ik", node_, triangle(upstream, lower=True)))
        s = node(back, node_, transposed(node(back, node_, inner)))  # Sᵀ = L⁻ᵀ (L⁻ᵀ Φ)ᵀ
        return _phi(elementwise("add", s, transposed(s)))

    def latex(self, *operands: str) -> str:
        return rf"\operatorname{{chol}}({operands[0]})"

    def evaluate(self, dims: Mapping[str, int], *operands: Array) -> Array:
        (a,) = operands
        out = np.tril(np.full(a.shape, np.nan, a.dtype))
        for at in np.ndindex(a.shape[:-2]):
            try:
                out[at] = np.linalg.cholesky(a[at])
            except np.linalg.LinAlgError:
                continue
        return out

    def nest(self, node: Node, b: LoopBuilder) -> None:
        (a,) = node.src
        *lead, n, _ = node.type.shape
        dtype = node.type.dtype
        zero, nan = b.constant(0.0, dtype), b.constant(float("nan"), dtype)

        def factor(at: tuple[Index, ...]) -> None:
            spoilt = b.accumulator(zero)  # NaN once a pivot was not positive

            def rest(i: Index, j: Index) -> Element:
                """A[i,j] - Σ L[i,k] L[j,k] over the columns k < j, which are known."""
                cell = b.accumulator(zero)
                with b.loop(j) as k:
                    b.accumulate(cell, "fma", b.result((*at, i, k)), b.result((*at, j, k)))
                return b.prim("sub", b.value(a, (*at, i, j)), b.read(cell))

            with b.loop(n) as i:
                with b.loop(i) as j:
                    b.store((*at, i, j), b.prim("div", rest(i, j), b.result((*at, j, j))))
                pivot = rest(i, i)
                b.store((*at, i, i), b.prim("sqrt", pivot))
                b.assign(spoilt, b.prim("select", b.prim("lt", zero, pivot), b.read(spoilt), nan))
                with b.loop(n - 1 - i) as t:
                    b.store((*at, i, i + 1 + t), zero)
            with b.loop(n) as i, b.loop(i + 1) as j:
                b.store((*at, i, j), b.prim("add", b.result((*at, i, j)), b.read(spoilt)))

        b.nest(tuple(lead), factor)


@dataclass(frozen=True, slots=True)
class TriangularSolve(Op):
    """X with T X = B, or Tᵀ X = B, where T is a triangle of A, with ones on its diagonal if `unit`."""

    name: ClassVar[str] = "triangular_solve"
    scatters: ClassVar[bool] = True
    lower: bool
    transpose: bool
    unit: bool

    def infer(self, *operands: TensorType) -> TensorType:
        a, rhs = operands
        check_system(a, rhs, self.name)
        return rhs

    def vjp(self, node_: Node, operand: int, upstream: Node) -> Node:
        turned = TriangularSolve(self.lower, not self.transpose, self.unit)
        right = node(turned, node_.src[0], upstream)
        if operand == 1:
            return right
        pair = (node_, right) if self.transpose else (right, node_)
        return triangle(elementwise("neg", product("ij,kj->ik", *pair)), lower=self.lower, strict=self.unit)

    def latex(self, *operands: str) -> str:
        mask = "tril" if self.lower else "triu"
        power = r"{-\top}" if self.transpose else "{-1}"
        return rf"\operatorname{{{mask}}}({operands[0]})^{power}\,{operands[1]}"

    def evaluate(self, dims: Mapping[str, int], *operands: Array) -> Array:
        a, rhs = operands
        t = np.tril(a) if self.lower else np.triu(a)
        if self.unit:
            eye = np.eye(a.shape[-1], dtype=a.dtype)
            t = np.where(eye == 1, eye, t)
        return solution(t.swapaxes(-1, -2) if self.transpose else t, rhs)

    def nest(self, node: Node, b: LoopBuilder) -> None:
        a, rhs = node.src
        *lead, n, m = node.type.shape
        dtype = node.type.dtype

        def solve(at: tuple[Index, ...]) -> None:
            def matrix(i: Index, k: Index) -> Element:
                return b.value(a, (*at, k, i) if self.transpose else (*at, i, k))

            spoilt = None if self.unit else poison(b, n, dtype, lambda i: matrix(i, i))

            def right(i: Index, c: Index) -> Element:
                element = b.value(rhs, (*at, i, c))
                return element if spoilt is None else b.prim("add", element, spoilt)

            def place(i: Index, c: Index) -> tuple[Index, ...]:
                return (*at, i, c)

            forward = self.lower is not self.transpose
            substitute(b, (n, m), matrix, right, place, forward=forward, unit=self.unit)

        b.nest(tuple(lead), solve)
