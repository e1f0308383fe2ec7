"""What an operation needs in order to say its loops; `graphc.kernel.lower` provides it.

An operation asks for elements of its operands (`value`), computes with primitives (`prim`), opens loops
(`loop`) and accumulates.  Whether an operand's element is loaded from a buffer or computed on the spot is not
its business: that is what fusion decides.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from graphc.ir.dims import Index
from graphc.ir.node import Node
from graphc.ir.types import DType


class Element(Protocol):
    """A scalar value in a kernel: a temporary or a literal."""

    @property
    def dtype(self) -> DType: ...


class Accumulator(Protocol):
    """A local cell that a loop accumulates into."""


class LoopBuilder(Protocol):
    """The services of the lowering."""

    def value(self, node: Node, index: tuple[Index, ...]) -> Element:
        """The element of a node at an index."""

    def remember(self, node: Node, index: tuple[Index, ...], value: Element) -> None:
        """In the loops that are open now an element of a node is this value."""

    def prim(self, name: str, *args: Element) -> Element:
        """Apply a primitive of the scalar alphabet."""

    def constant(self, value: float | int | bool, dtype: DType) -> Element:
        """A literal."""

    def index_value(self, index: Index, dtype: DType) -> Element:
        """An index as a value."""

    def as_index(self, element: Element) -> Index:
        """An integer value as an index: for gathers and scatters."""

    def loop(self, extent: Index) -> AbstractContextManager[Index]:
        """`with b.loop(8) as i:` a loop from 0 to the extent."""

    def nest(self, shape: tuple[Index, ...], body: Callable[[tuple[Index, ...]], None]) -> None:
        """One loop for each axis of a shape, and the body at every index."""

    def accumulator(self, init: Element) -> Accumulator:
        """A new cell that holds `init`."""

    def accumulate(self, cell: Accumulator, op: str, *args: Element) -> None:
        """`cell op= args`, with op one of add, mul, max, min, fma, dot."""

    def assign(self, cell: Accumulator, value: Element) -> None:
        """Overwrite a cell."""

    def read(self, cell: Accumulator) -> Element:
        """What a cell holds now."""

    def store(self, index: tuple[Index, ...], value: Element) -> None:
        """In `nest` only: write an element of the result."""

    def accumulate_at(self, index: tuple[Index, ...], op: str, value: Element) -> None:
        """In `nest` only: combine into an element of the result."""

    def result(self, index: tuple[Index, ...]) -> Element:
        """In `nest` only: read back an element of the result, which `nest` has written before."""
