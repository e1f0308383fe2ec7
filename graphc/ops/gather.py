"""Gather and scatter along one axis, by integer indices.

| op | definition | vjp |
|----------------|------------------------------------------------------------|------------------|
| `gather`       | out[b…, i…, r…] = x[b…, index[b…, i…], r…] | `scatter_add` |
| `scatter_add`  | out[b…, index[b…, i…], r…] += u[b…, i…, r…], from zeros | `gather` |

`batch` leading axes are common to x and the index: with batch=1, x[N,C] and labels[N] give one score a row.
Negative indices count from the end.  An index outside the axis yields NaN (0 for integers) and scatters
nothing: compiled code cannot raise, and silence would be worse.

>>> from graphc.ir.node import node
>>> from graphc.ops.leaves import Input
>>> x = node(Input("x", TensorType.of("f32", ("N", 10))))
>>> labels = node(Input("labels", TensorType.of("i64", ("N",))))
>>> str(node(Gather(1), x, labels).type)
'f32[N]'
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from graphc.errors import DTypeError, ShapeError
from graphc.ir.dims import Index, evaluate
from graphc.ir.loops import Element, LoopBuilder
from graphc.ir.node import Node, Op, node
from graphc.ir.types import Array, TensorType
from graphc.ops.elementwise import constant_like, elementwise
from graphc.ops.reduce import constant_extent
from graphc.ops.views import Expand, Reshape


def _check_index(index: TensorType) -> None:
    if not index.dtype.is_integer:
        raise DTypeError(f"cannot index by {index}", fix='cast it: index.astype("int64")')


def _place(b: LoopBuilder, index: Element, size: Index) -> tuple[Element, Index]:
    """Whether an index is inside 0..size (counting negatives from the end), and the place, clamped into it."""
    zero, extent = b.constant(0, index.dtype), b.index_value(size, index.dtype)
    wrapped = b.prim("select", b.prim("lt", index, zero), b.prim("add", index, extent), index)
    inside = b.prim("and", b.prim("le", zero, wrapped), b.prim("lt", wrapped, extent))
    return inside, b.as_index(b.prim("select", inside, wrapped, zero))


def _wrapped(index: Array, size: int) -> tuple[Array, Array]:
    places = np.where(index < 0, index + size, index)
    inside = (places >= 0) & (places < size)
    return inside, np.where(inside, places, 0)


@dataclass(frozen=True, slots=True)
class Gather(Op):
    """Elements of x along its first axis after `batch` common ones."""

    name: ClassVar[str] = "gather"
    batch: int

    def infer(self, *operands: TensorType) -> TensorType:
        x, index = operands
        _check_index(index)
        if x.rank <= self.batch or x.shape[: self.batch] != index.shape[: self.batch]:
            raise ShapeError(
                f"cannot gather from {x} by {index}",
                why=f"their first {self.batch} dimensions must be the same",
            )
        return x.with_shape((*index.shape, *x.shape[self.batch + 1 :]))

    def vjp(self, node_: Node, operand: int, upstream: Node) -> Node | None:
        x, index = node_.src
        if operand == 1 or not x.type.dtype.is_float:
            return None
        return node(ScatterAdd(self.batch, x.type.shape[self.batch]), upstream, index)

    def latex(self, *operands: str) -> str:
        return rf"{operands[0]}_{{[{operands[1]}]}}"

    def local_latex(self, node: Node, operand: int, *operands: str) -> str:
        return rf"\operatorname{{onehot}}({operands[1]})"

    def evaluate(self, dims: Mapping[str, int], *operands: Array) -> Array:
        x, index = operands
        missing = np.asarray(np.nan if np.issubdtype(x.dtype, np.floating) else 0, x.dtype)
        if x.shape[self.batch] == 0:
            return np.full((*index.shape, *x.shape[self.batch + 1 :]), missing)
        inside, places = _wrapped(index, x.shape[self.batch])
        lead = np.ix_(*(np.arange(d) for d in index.shape[: self.batch])) if self.batch else ()
        lead = tuple(axis.reshape(axis.shape + (1,) * (index.ndim - self.batch)) for axis in lead)
        picked = x[(*lead, places)]
        inside = inside.reshape(inside.shape + (1,) * (picked.ndim - inside.ndim))
        return np.where(inside, picked, missing)

    def loops(self, node: Node, index: tuple[Index, ...], b: LoopBuilder) -> Element:
        x, where = node.src
        rank = where.type.rank
        missing: float | int = float("nan") if x.type.dtype.is_float else 0
        if x.type.shape[self.batch] == 0:
            return b.constant(missing, x.type.dtype)
        inside, place = _place(b, b.value(where, index[:rank]), x.type.shape[self.batch])
        picked = b.value(x, (*index[: self.batch], place, *index[rank:]))
        return b.prim("select", inside, picked, b.constant(missing, x.type.dtype))


@dataclass(frozen=True, slots=True)
class ScatterAdd(Op):
    """Sums of the updates at their indices, along an axis of length `size`; the vjp of `gather`."""

    name: ClassVar[str] = "scatter_add"
    scatters: ClassVar[bool] = True
    batch: int
    size: Index

    def is_one_hot(self, node_: Node) -> bool:
        """Whether each row gets one update, so that every element can be computed for itself."""
        return node_.src[1].type.rank == self.batch

    def infer(self, *operands: TensorType) -> TensorType:
        u, index = operands
        _check_index(index)
        if u.shape[: index.rank] != index.shape or index.rank < self.batch:
            raise ShapeError(f"cannot scatter {u} by {index}", why="each index needs one update")
        return u.with_shape((*u.shape[: self.batch], self.size, *u.shape[index.rank :]))

    def vjp(self, node_: Node, operand: int, upstream: Node) -> Node | None:
        if operand == 1 or not node_.type.dtype.is_float:
            return None
        # An index that scattered nothing has no influence, and must not become the NaN that a gather gives.
        index = node_.src[1]
        picked = node(Gather(self.batch), upstream, index)
        low = elementwise("less_equal", constant_like(0, index), index)
        extent = constant_extent(self.size, index)
        inside = elementwise("logical_and", low, elementwise("less", index, extent))
        negative = elementwise("less_equal", elementwise("neg", extent), index)
        inside = elementwise(
            "logical_or", inside, elementwise("logical_and", elementwise("logical_not", low), negative)
        )
        tail = picked.type.rank - index.type.rank
        if tail:
            inside = node(Reshape((*index.type.shape, *(1,) * tail)), inside)
            inside = node(Expand(picked.type.shape), inside)
        return elementwise("where", inside, picked, constant_like(0.0, picked))

    def latex(self, *operands: str) -> str:
        return rf"\operatorname{{scatter}}_{{{operands[1]}}}({operands[0]})"

    def evaluate(self, dims: Mapping[str, int], *operands: Array) -> Array:
        u, index = operands
        size = evaluate(self.size, dims)
        inside, places = _wrapped(index, size)
        out = np.zeros((*u.shape[: self.batch], size, *u.shape[index.ndim :]), dtype=u.dtype)
        for at in np.ndindex(index.shape):
            if inside[at]:
                out[(*at[: self.batch], places[at])] += u[at]
        return out

    def loops(self, node: Node, index: tuple[Index, ...], b: LoopBuilder) -> Element:
        """Of a one-hot row only; others scatter."""
        u, where = node.src
        at = b.value(where, index[: self.batch])
        zero, extent = b.constant(0, at.dtype), b.index_value(self.size, at.dtype)
        wrapped = b.prim("select", b.prim("lt", at, zero), b.prim("add", at, extent), at)
        here = b.prim("eq", wrapped, b.index_value(index[self.batch], at.dtype))
        update = b.value(u, (*index[: self.batch], *index[self.batch + 1 :]))
        return b.prim("select", here, update, b.constant(0, u.type.dtype))

    def nest(self, node: Node, b: LoopBuilder) -> None:
        u, where = node.src
        rank = where.type.rank
        zero = b.constant(0.0 if u.type.dtype.is_float else 0, u.type.dtype)
        b.nest(node.type.shape, lambda index: b.store(index, zero))

        def scatter(index: tuple[Index, ...]) -> None:
            inside, place = _place(b, b.value(where, index[:rank]), self.size)
            value = b.prim("select", inside, b.value(u, index), zero)
            b.accumulate_at((*index[: self.batch], place, *index[rank:]), "add", value)

        if self.size != 0:
            b.nest(u.type.shape, scatter)
