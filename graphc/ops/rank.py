"""The rank of each element along an axis: how many elements come before it in stable order.

`rank {axis=1, descending=False}` of [[3, 1, 3]] is [[1, 0, 2]].  Equal elements keep their order; a NaN
counts as larger than any number, so it is last in ascending order (as in NumPy) and first in descending order.
Ranks are a permutation of 0 … n−1, which is what sorting, medians and top-k are made of.

Each element is compared with all others: n² comparisons for a row of n, in vectors and in parallel, with no
data-dependent step.  For rows of some thousands that is quick; it is no way to sort a million numbers.

>>> from graphc.ir.node import node
>>> from graphc.ops.leaves import Input
>>> x = node(Input("x", TensorType.of("f64", ("N", 3))))
>>> node(Rank(1, False), x).op.evaluate({}, np.array([[3.0, 1.0, 3.0]])).tolist()
[[1, 0, 2]]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from graphc.errors import DTypeError, ShapeError
from graphc.ir.dims import Index
from graphc.ir.loops import Element, LoopBuilder
from graphc.ir.node import Node, Op
from graphc.ir.types import Array, DType, TensorType


@dataclass(frozen=True, slots=True)
class Rank(Op):
    """The place that each element takes when an axis is sorted stably, as i64."""

    name: ClassVar[str] = "rank"
    axis: int
    descending: bool

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        if not 0 <= self.axis < x.rank:
            raise ShapeError(f"{x} has no axis {self.axis}")
        if x.dtype is DType.BOOL:
            raise DTypeError(f"cannot rank {x}", fix='cast it first: x.astype("int64")')
        return TensorType(DType.I64, x.shape)

    def latex(self, *operands: str) -> str:
        return rf"\operatorname{{rank}}_{{{self.axis}}} {operands[0]}"

    def evaluate(self, dims: Mapping[str, int], *operands: Array) -> Array:
        x = np.moveaxis(operands[0], self.axis, -1)
        if self.descending:  # stable: sort the reversed row, and turn the order round
            order = x.shape[-1] - 1 - np.argsort(x[..., ::-1], axis=-1, kind="stable")[..., ::-1]
        else:
            order = np.argsort(x, axis=-1, kind="stable")
        ranks = np.empty(x.shape, np.int64)
        np.put_along_axis(ranks, order, np.broadcast_to(np.arange(x.shape[-1]), x.shape), axis=-1)
        return np.moveaxis(ranks, -1, self.axis)

    def loops(self, node: Node, index: tuple[Index, ...], b: LoopBuilder) -> Element:
        (x,) = node.src
        count = b.accumulator(b.constant(0, DType.I64))
        with b.loop(x.type.shape[self.axis]) as j:
            # Read inside, so that the loop over the elements that are ranked can become the lanes of a vector.
            mine = b.value(x, index)
            other = b.value(x, (*index[: self.axis], j, *index[self.axis + 1 :]))
            earlier = b.prim("lt", b.index_value(j, DType.I64), b.index_value(index[self.axis], DType.I64))
            tie = b.prim("and", earlier, b.prim("not", self._before(b, mine, other)))
            comes = b.prim("or", self._before(b, other, mine), tie)
            b.accumulate(count, "add", b.prim("cast:i64", comes))
        return b.read(count)

    def _before(self, b: LoopBuilder, first: Element, second: Element) -> Element:
        """Whether one element must come before another, wherever they are."""
        low, high = (second, first) if self.descending else (first, second)
        less = b.prim("lt", low, high)
        if not low.dtype.is_float:
            return less
        return b.prim("or", less, b.prim("and", b.prim("ne", high, high), b.prim("eq", low, low)))
