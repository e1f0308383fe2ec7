"""Contraction of two operands by an index spec: matrix products, batched products, outer products.

`contract {spec='ij,jk->ik'}` sums over the letters that the result lacks.  Its vjp is a contraction again: the
upstream with the other operand, onto this operand's letters.

Two operands of bfloat16 pairs (`graphc.ops.pairs`), neighbours along a letter that is summed over, give an f32.

>>> from graphc.ir.node import node
>>> from graphc.ops.leaves import Input
>>> a = node(Input("a", TensorType.of("f32", ("N", 784))))
>>> b = node(Input("b", TensorType.of("f32", (784, 10))))
>>> str(node(Contract("ij,jk->ik"), a, b).type)
'f32[N,10]'
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from graphc.errors import DTypeError, ShapeError
from graphc.ir.dims import Index
from graphc.ir.loops import Element, LoopBuilder
from graphc.ir.node import Node, Op, node
from graphc.ir.types import Array, DType, TensorType
from graphc.ops.bf16 import unpacked
from graphc.ops.pairs import product_of, sum_of


@dataclass(frozen=True, slots=True)
class Contract(Op):
    """Σ over the letters that the result lacks.  Each letter of an operand is in the other one or in the result."""

    name: ClassVar[str] = "contract"
    spec: str

    def letters(self) -> tuple[str, str, str]:
        """The letters of the two operands and of the result: 'ij,jk->ik' gives ('ij', 'jk', 'ik')."""
        operands, _, result = self.spec.partition("->")
        a, _, b = operands.partition(",")
        return a, b, result

    def summed(self) -> tuple[str, ...]:
        """The letters that the result lacks."""
        left, right, result = self.letters()
        return tuple(letter for letter in dict.fromkeys(left + right) if letter not in result)

    def sizes(self, *operands: TensorType) -> dict[str, Index]:
        """The extent of each letter."""
        found: dict[str, Index] = {}
        for letters, x in zip(self.letters(), operands, strict=False):
            for letter, d in zip(letters, x.shape, strict=True):
                found.setdefault(letter, d)
        return found

    def infer(self, *operands: TensorType) -> TensorType:
        a, b = operands
        if a.dtype != b.dtype or a.dtype is DType.BOOL:
            raise DTypeError(
                f"cannot multiply {a} by {b}", why="a contraction takes two numeric operands of one dtype"
            )
        sizes: dict[str, Index] = {}
        for position, (letters, x) in enumerate(zip(self.letters(), operands, strict=False)):
            if len(letters) != x.rank:
                raise ShapeError(f"'{letters}' does not name the {x.rank} axes of {x}")
            for axis, (letter, d) in enumerate(zip(letters, x.shape, strict=True)):
                if sizes.setdefault(letter, d) != d:
                    raise ShapeError(
                        f"cannot contract {a} with {b} by '{self.spec}'",
                        why=f"'{letter}' is {sizes[letter]}, but axis {axis} of operand {position} is {d}",
                    )
        if a.dtype is DType.BF16X2 and not self.summed():
            raise DTypeError(f"nothing is summed of pairs in '{self.spec}'")
        return TensorType(sum_of(a.dtype), tuple(sizes[letter] for letter in self.letters()[2]))

    def vjp(self, node_: Node, operand: int, upstream: Node) -> Node | None:
        if not node_.type.dtype.is_float:
            return None
        mine, other = self.letters()[operand], self.letters()[1 - operand]
        result, partner = self.letters()[2], node_.src[1 - operand]
        # The operands keep their sides, so that (x @ W)' reads as ū @ Wᵀ and xᵀ @ ū.
        if operand == 0:
            return node(Contract(f"{result},{other}->{mine}"), upstream, partner)
        return node(Contract(f"{other},{result}->{mine}"), partner, upstream)

    def latex(self, *operands: str) -> str:
        a, b, result = self.letters()
        if result == a[:-1] + b[1:] and a[-1:] == b[:1]:
            return rf"{operands[0]}\,{operands[1]}"
        if len(a) == len(b) == len(result) == 2 and a[0] == b[0] and result == a[1] + b[1]:
            return rf"{operands[0]}^{{\top}}{operands[1]}"
        if len(a) == len(b) == len(result) == 2 and a[1] == b[1] and result == a[0] + b[0]:
            return rf"{operands[0]}\,{operands[1]}^{{\top}}"
        summed = "".join(sorted(set(a + b) - set(result)))
        sign = rf"\sum_{{{summed}}}" if summed else ""
        return rf"{sign} {operands[0]}_{{{a}}}\,{operands[1]}_{{{b}}}"

    def local_latex(self, node: Node, operand: int, *operands: str) -> str:
        return operands[1 - operand]

    def evaluate(self, dims: Mapping[str, int], *operands: Array) -> Array:
        if operands[0].dtype == DType.BF16X2.numpy:
            members = zip(*map(unpacked, operands), strict=True)
            return sum(self.evaluate(dims, *given) for given in members)  # type: ignore[return-value]
        return np.asarray(np.einsum(self.spec, *operands, optimize=True), dtype=operands[0].dtype)

    def loops(self, node: Node, index: tuple[Index, ...], b: LoopBuilder) -> Element:
        sizes = self.sizes(*(s.type for s in node.src))
        left, right, result = self.letters()
        place = dict(zip(result, index, strict=True))

        def factors() -> Iterator[Element]:
            for x, letters in zip(node.src, (left, right), strict=True):
                yield b.value(x, tuple(place[letter] for letter in letters))

        summed = self.summed()
        if not summed:  # a product: -0.0 stays what it is, where 0.0 + -0.0 would not be
            return b.prim("mul", *factors())
        zero = 0.0 if node.type.dtype.is_float else 0
        cell = b.accumulator(b.constant(zero, node.type.dtype))
        with ExitStack() as stack:
            for letter in summed:
                place[letter] = stack.enter_context(b.loop(sizes[letter]))
            b.accumulate(cell, product_of(node.src[0].type.dtype), *factors())
        return b.read(cell)
