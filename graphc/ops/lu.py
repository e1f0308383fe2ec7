"""General square systems and determinants, by LU with partial pivoting, for stacks of matrices [..., n, n].

| op             | definition                                        | vjp                                          |
|----------------|---------------------------------------------------|----------------------------------------------|
| `lu`           | A[p] = L U; the result is [..., n, n+2], see `Lu` | rows p of L⁻ᵀ (◣(Lᵀ L̄) + ◥(Ū Uᵀ)) U⁻ᵀ        |
| `lu_solve`     | A X = B, or Aᵀ X = B                              | B̄ = A⁻ᵀ Ū, Ā = -B̄ Xᵀ                         |
| `lu_det`       | det A                                             | Ū det(A) A⁻ᵀ                                 |
| `lu_logabsdet` | log abs(det A)                                    | Ū A⁻ᵀ                                        |
| `lu_sign`      | the sign of det A                                 | none: constant almost everywhere             |

The last four take A and `lu A`: the factors say the value, and A gets all of the gradient, so that A is
factorised once, forwards and backwards.  A singular matrix has a zero on the diagonal of U, the determinant 0
of sign 0, and NaN for every solution, and so for the gradient of its determinant too.

Source: G. Golub and C. Van Loan, Matrix Computations, 4th ed., algorithm 3.4.1; M. Giles, 2008 (see
`graphc.ops.linalg`).

>>> from graphc.ops.leaves import Input
>>> a = node(Input("a", TensorType.of("f64", ("N", 3, 3))))
>>> node(Lu(), a), node(LuDet("sign"), a, node(Lu(), a))
(<lu f64[N,3,5] ...>, <lu_sign f64[N] ...>)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from graphc.ir.dims import Index
from graphc.ir.loops import Element, LoopBuilder
from graphc.ir.node import Node, Op, node
from graphc.ir.types import Array, DType, TensorType
from graphc.ops.elementwise import Cast, elementwise
from graphc.ops.gather import ScatterAdd
from graphc.ops.linalg import (
    TriangularSolve,
    check_square,
    check_system,
    places,
    poison,
    product,
    solution,
    substitute,
    transposed,
    triangle,
)
from graphc.ops.reduce import keep_first
from graphc.ops.views import Expand, Reshape, Slice


def columns(packed: Node, start: Index, count: Index) -> Node:
    """Some columns of a stack of matrices."""
    shape = packed.type.shape
    zeros, ones = (0,) * (len(shape) - 1), (1,) * len(shape)
    return node(Slice((*zeros, start), ones, (*shape[:-1], count)), packed)


def permutation(packed: Node) -> Node:
    """The rows of A in the order of the pivots, as int64 [..., n]."""
    n = packed.type.shape[-2]
    return node(Cast(DType.I64), node(Reshape(packed.type.shape[:-1]), columns(packed, n, 1)))


def identity(like: Node) -> Node:
    """The unit matrices of the type of a stack of square ones."""
    return node(Cast(like.type.dtype), elementwise("equal", *places(like)))


@dataclass(frozen=True, slots=True)
class Lu(Op):
    """The factors of A with its rows permuted, in one tensor [..., n, n+2] of A's dtype.

    Below the diagonal of the first n columns is L (whose diagonal is 1), above and on it U.  Column n numbers the
    rows of A in their new order; column n+1 is -1 where two rows were exchanged, else 1.  The pivot is the
    first entry of the largest magnitude.
    """

    name: ClassVar[str] = "lu"
    scatters: ClassVar[bool] = True

    def infer(self, *operands: TensorType) -> TensorType:
        (a,) = operands
        check_square(a, self.name)
        return a.with_shape((*a.shape[:-1], a.shape[-1] + 2))

    def vjp(self, node_: Node, operand: int, upstream: Node) -> Node:
        n, rank = node_.type.shape[-2], node_.type.rank
        factors, given = columns(node_, 0, n), columns(upstream, 0, n)
        left = elementwise("add", triangle(factors, lower=True, strict=True), identity(factors))
        right = triangle(factors, lower=False)
        by_left = product("ji,jk->ik", left, triangle(given, lower=True, strict=True))
        by_right = product("ij,kj->ik", triangle(given, lower=False), right)
        inner = elementwise(
            "add", triangle(by_left, lower=True, strict=True), triangle(by_right, lower=False)
        )
        half = node(TriangularSolve(lower=True, transpose=True, unit=True), factors, inner)
        whole = node(TriangularSolve(lower=False, transpose=False, unit=False), factors, transposed(half))
        return node(ScatterAdd(rank - 2, n), transposed(whole), permutation(node_))

    def latex(self, *operands: str) -> str:
        return rf"\operatorname{{lu}}({operands[0]})"

    def evaluate(self, dims: Mapping[str, int], *operands: Array) -> Array:
        (a,) = operands
        n = a.shape[-1]
        out = np.empty((*a.shape[:-1], n + 2), a.dtype)
        with np.errstate(all="ignore"):
            for at in np.ndindex(a.shape[:-2]):
                m = np.concatenate([a[at], np.arange(n)[:, None], np.ones((n, 1))], axis=1).astype(a.dtype)
                for k in range(n):
                    p = k + int(np.argmax(np.abs(m[k:, k])))
                    m[[k, p], : n + 1] = m[[p, k], : n + 1]
                    m[k, n + 1] = 1 if p == k else -1
                    m[k + 1 :, k] /= m[k, k] if m[k, k] != 0 else 1
                    m[k + 1 :, k + 1 : n] -= np.multiply.outer(m[k + 1 :, k], m[k, k + 1 : n])
                out[at] = m
        return out

    def nest(self, node: Node, b: LoopBuilder) -> None:
        (a,) = node.src
        *lead, n, _ = a.type.shape
        dtype = a.type.dtype
        zero, one = b.constant(0.0, dtype), b.constant(1.0, dtype)

        def factor(at: tuple[Index, ...]) -> None:
            with b.loop(n) as i:
                with b.loop(n) as j:
                    b.store((*at, i, j), b.value(a, (*at, i, j)))
                b.store((*at, i, n), b.index_value(i, dtype))
            with b.loop(n) as k:
                best = b.accumulator(b.prim("abs", b.result((*at, k, k))))
                found = b.accumulator(b.index_value(k, DType.I64))
                with b.loop(n - 1 - k) as t:
                    size = b.prim("abs", b.result((*at, k + 1 + t, k)))
                    keep_first(b, "max", best, size, [(found, b.index_value(k + 1 + t, DType.I64))])
                chosen = b.read(found)
                p = b.as_index(chosen)
                with b.loop(n + 1) as c:
                    here, there = b.result((*at, k, c)), b.result((*at, p, c))
                    b.store((*at, k, c), there)
                    b.store((*at, p, c), here)
                kept = b.prim("eq", chosen, b.index_value(k, DType.I64))
                b.store((*at, k, n + 1), b.prim("select", kept, one, b.constant(-1.0, dtype)))
                pivot = b.result((*at, k, k))
                divisor = b.prim("select", b.prim("eq", pivot, zero), one, pivot)
                with b.loop(n - 1 - k) as t:
                    factor = b.prim("div", b.result((*at, k + 1 + t, k)), divisor)
                    b.store((*at, k + 1 + t, k), factor)
                    with b.loop(n - 1 - k) as s:
                        place = (*at, k + 1 + t, k + 1 + s)
                        share = b.prim("mul", factor, b.result((*at, k, k + 1 + s)))
                        b.store(place, b.prim("sub", b.result(place), share))

        b.nest(tuple(lead), factor)


@dataclass(frozen=True, slots=True)
class LuSolve(Op):
    """X with A X = B, or Aᵀ X = B; the operands are A, its LU, and B [..., n, m]."""

    name: ClassVar[str] = "lu_solve"
    scatters: ClassVar[bool] = True
    transpose: bool

    def infer(self, *operands: TensorType) -> TensorType:
        a, _, rhs = operands
        check_system(a, rhs, self.name)
        return rhs

    def vjp(self, node_: Node, operand: int, upstream: Node) -> Node | None:
        if operand == 1:
            return None
        a, packed, _ = node_.src
        right = node(LuSolve(not self.transpose), a, packed, upstream)
        if operand == 2:
            return right
        return elementwise(
            "neg", product("ij,kj->ik", *((node_, right) if self.transpose else (right, node_)))
        )

    def latex(self, *operands: str) -> str:
        power = r"{-\top}" if self.transpose else "{-1}"
        return rf"{operands[0]}^{power}\,{operands[2]}"

    def evaluate(self, dims: Mapping[str, int], *operands: Array) -> Array:
        a, _, rhs = operands
        return solution(a.swapaxes(-1, -2) if self.transpose else a, rhs)

    def nest(self, node: Node, b: LoopBuilder) -> None:
        _, packed, rhs = node.src
        *lead, n, m = node.type.shape

        def solve(at: tuple[Index, ...]) -> None:
            def matrix(i: Index, k: Index) -> Element:
                return b.value(packed, (*at, k, i) if self.transpose else (*at, i, k))

            def moved(i: Index, c: Index) -> tuple[Index, ...]:
                return (*at, b.as_index(b.value(packed, (*at, i, n))), c)

            def straight(i: Index, c: Index) -> tuple[Index, ...]:
                return (*at, i, c)

            spoilt = poison(b, n, node.type.dtype, lambda i: matrix(i, i))
            # A[p] = L U: B is read in the order p, or, transposed, the solution is written in it.
            origin, place = (straight, moved) if self.transpose else (moved, straight)

            def given(i: Index, c: Index) -> Element:
                return b.prim("add", b.value(rhs, origin(i, c)), spoilt)

            def half(i: Index, c: Index) -> Element:
                return b.result(place(i, c))

            unit = not self.transpose  # L comes first, or Uᵀ
            substitute(b, (n, m), matrix, given, place, forward=True, unit=unit)
            substitute(b, (n, m), matrix, half, place, forward=False, unit=not unit)

        b.nest(tuple(lead), solve)


@dataclass(frozen=True, slots=True)
class LuDet(Op):
    """The determinant of A, the logarithm of its magnitude, or its sign; the operands are A and its LU."""

    name: ClassVar[str] = "lu"
    spoken: ClassVar[tuple[str, ...]] = ("kind",)
    kind: Literal["det", "logabsdet", "sign"]

    @property
    def label(self) -> str:
        return f"lu_{self.kind}"

    def infer(self, *operands: TensorType) -> TensorType:
        a = operands[0]
        check_square(a, self.label)
        return a.with_shape(a.shape[:-2])

    def vjp(self, node_: Node, operand: int, upstream: Node) -> Node | None:
        if operand == 1 or self.kind == "sign":
            return None
        a, packed = node_.src
        inverse = node(LuSolve(transpose=True), a, packed, identity(a))
        scale = elementwise("mul", upstream, node_) if self.kind == "det" else upstream
        spread = node(Expand(a.type.shape), node(Reshape((*scale.type.shape, 1, 1)), scale))
        return elementwise("mul", spread, inverse)

    def latex(self, *operands: str) -> str:
        det = rf"\det {operands[0]}"
        kinds = {"logabsdet": rf"\log\left|{det}\right|", "sign": rf"\operatorname{{sign}}({det})"}
        return kinds.get(self.kind, det)

    def evaluate(self, dims: Mapping[str, int], *operands: Array) -> Array:
        a = operands[0]
        with np.errstate(all="ignore"):
            if self.kind == "det":
                return np.asarray(np.linalg.det(a))
            sign, log = np.linalg.slogdet(a)
        return np.asarray(sign if self.kind == "sign" else log)

    def loops(self, node: Node, index: tuple[Index, ...], b: LoopBuilder) -> Element:
        packed, dtype = node.src[1], node.type.dtype
        n = packed.type.shape[-2]
        zero, one = b.constant(0.0, dtype), b.constant(1.0, dtype)
        cell = b.accumulator(zero if self.kind == "logabsdet" else one)
        with b.loop(n) as i:
            pivot = b.value(packed, (*index, i, i))
            if self.kind == "logabsdet":
                b.accumulate(cell, "add", b.prim("log", b.prim("abs", pivot)))
            else:
                if self.kind == "sign":
                    negative = b.prim("select", b.prim("lt", pivot, zero), b.constant(-1.0, dtype), pivot)
                    pivot = b.prim("select", b.prim("lt", zero, pivot), one, negative)
                b.accumulate(cell, "mul", b.prim("mul", pivot, b.value(packed, (*index, i, n + 1))))
        return b.read(cell)
