"""Operands of products in bfloat16: neighbours along the axis that is summed over, two in a word.

`bf16_pairs {axis=1}` of f32[N,5] is bf16x2[N,3]: columns 0 and 1, 2 and 3, then 4 and a zero.  A contraction or a
convolution of two such operands multiplies both members of a pair, adds the products in f32, and has so many fewer
terms.  See `graphc.ops.bf16` for how numbers are rounded.

The pass that makes these nodes runs after gradients were taken (`graphc.passes.mixed_precision`), so there is no
vjp: rounding has no useful derivative.

>>> from graphc.ir.node import node
>>> from graphc.ops.leaves import Input
>>> x = node(Input("x", TensorType.of("f32", ("N", 5))))
>>> str(node(Pairs(1), x).type)
'bf16x2[N,3]'
>>> [[hex(int(word)) for word in row] for row in Pairs(1).evaluate({}, np.float32([[1, 2, 3]]))]
[['0x40003f80', '0x4040']]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from graphc.errors import DTypeError, ShapeError
from graphc.ir.dims import Index
from graphc.ir.loops import LoopBuilder
from graphc.ir.node import Node, Op
from graphc.ir.types import Array, DType, TensorType
from graphc.ops.bf16 import packed


def sum_of(operand: DType) -> DType:
    """The dtype of a sum of products of two operands of a dtype."""
    return DType.F32 if operand is DType.BF16X2 else operand


def product_of(operand: DType) -> str:
    """How the product of two operands of a dtype is accumulated."""
    return "dot" if operand is DType.BF16X2 else "fma"


@dataclass(frozen=True, slots=True)
class Pairs(Op):
    """Neighbours along an axis, rounded to bfloat16 and put into one word; the last one may have a zero beside it."""

    name: ClassVar[str] = "bf16_pairs"
    scatters: ClassVar[bool] = True
    axis: int

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        if not 0 <= self.axis < x.rank:
            raise ShapeError(f"{x} has no axis {self.axis}")
        if x.dtype is not DType.F32:
            raise DTypeError(f"cannot round {x} to bfloat16", why="it must be f32")
        return TensorType(DType.BF16X2, self._with(x.shape, (x.shape[self.axis] + 1) // 2))

    def _with(self, index: tuple[Index, ...], place: Index) -> tuple[Index, ...]:
        return (*index[: self.axis], place, *index[self.axis + 1 :])

    def latex(self, *operands: str) -> str:
        return rf"\operatorname{{bf16}}({operands[0]})"

    def evaluate(self, dims: Mapping[str, int], *operands: Array) -> Array:
        (x,) = operands
        before = (slice(None),) * self.axis
        first, second = x[(*before, slice(0, None, 2))], x[(*before, slice(1, None, 2))]
        if x.shape[self.axis] % 2:
            second = np.concatenate([second, np.zeros_like(first[(*before, slice(1))])], axis=self.axis)
        return packed(first, second)

    def nest(self, node: Node, b: LoopBuilder) -> None:
        (x,) = node.src
        extent = x.type.shape[self.axis]

        def both(index: tuple[Index, ...]) -> None:
            k = index[self.axis]
            first, second = (b.value(x, self._with(index, 2 * k + side)) for side in (0, 1))
            b.store(index, b.prim("pack_bf16", first, second))

        def alone(index: tuple[Index, ...]) -> None:
            last = b.value(x, self._with(index, extent - 1))
            b.store(self._with(index, extent // 2), b.prim("pack_bf16", last, b.constant(0.0, DType.F32)))

        for count, body in ((extent // 2, both), (extent - 2 * (extent // 2), alone)):
            if count != 0:
                b.nest(self._with(x.type.shape, count), body)
