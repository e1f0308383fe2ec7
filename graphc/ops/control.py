"""Control flow: operations whose bodies are blocks (`graphc.ir.block`).

| op      | operands                          | block(s)                                | results                |
|---------|-----------------------------------|-----------------------------------------|------------------------|
| `scan`  | carries, sequences [T,…], others  | (carries, elements, others) → (carries, ys) | last carries, ys [T,…] |
| `cond`  | a truth value, others             | others → results, twice                 | of the block chosen    |
| `while_loop` | carries, others              | test: (carries, others) → truth value; body: → carries | last carries |

The gradients are in `graphc.autodiff.control`: they differentiate the blocks.

>>> from graphc.ir.block import slot
>>> from graphc.ir.node import node
>>> from graphc.ops.elementwise import elementwise
>>> from graphc.ops.leaves import Input
>>> total, x = (slot(k, TensorType.of("f64")) for k in (0, 1))
>>> running = elementwise("add", total, x)
>>> body = Block((total.type, x.type), (running, running))       # the new carry, and what is stacked
>>> start, xs = (node(Input(n, TensorType.of("f64", s))) for n, s in (("start", ()), ("xs", ("T",))))
>>> [str(node(Scan(body, 1, 1, xs.type.shape[0], False, False, k), start, xs).type) for k in (0, 1)]
['f64[]', 'f64[T]']
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import numpy as np

from graphc.errors import InternalError
from graphc.ir.block import Block, BlockOp
from graphc.ir.dims import Index, evaluate
from graphc.ir.evaluate import evaluate_block
from graphc.ir.graph import Graph
from graphc.ir.node import Node
from graphc.ir.types import Array, DType, TensorType

T = TypeVar("T")


def _expect(op: BlockOp, what: str, found: Sequence[TensorType], wanted: Sequence[TensorType]) -> None:
    """The language has told the user of any mistake already; what is left would be ours."""
    if tuple(found) != tuple(wanted):
        texts = (", ".join(map(str, types)) for types in (found, wanted))
        raise InternalError(f"the {what} of {op.label} are ({{}}), not ({{}})".format(*texts))


@dataclass(frozen=True, slots=True)
class Scan(BlockOp):
    """A loop of `length` steps: step t maps the carries and element t of each sequence to new carries and ys.

    With `reverse` it runs from the last element to the first, and the ys still stand where their elements do.
    With `checkpoint` its gradient stores the carries of each step and computes all else again.
    """

    name: ClassVar[str] = "scan"
    body: Block
    carries: int
    sequences: int
    length: Index
    reverse: bool
    checkpoint: bool
    result: int

    def results(self, *operands: TensorType) -> tuple[TensorType, ...]:
        carried, sequences, others = self.split(operands)
        if any(s.rank == 0 or s.shape[0] != self.length for s in sequences):
            raise InternalError(f"a sequence of a scan has not the length {self.length}")
        elements = tuple(s.with_shape(s.shape[1:]) for s in sequences)
        _expect(self, "operands", (*carried, *elements, *others), self.body.inputs)
        _expect(self, "carries", self.body.types[: self.carries], carried)
        stacked = (t.with_shape((self.length, *t.shape)) for t in self.body.types[self.carries :])
        return (*carried, *stacked)

    def split(self, operands: Sequence[T]) -> tuple[tuple[T, ...], tuple[T, ...], tuple[T, ...]]:
        """(carries, sequences, others) of the operands, or of the block's slots."""
        a, b = self.carries, self.carries + self.sequences
        return tuple(operands[:a]), tuple(operands[a:b]), tuple(operands[b:])

    def evaluate_all(self, dims: Mapping[str, int], *operands: Array) -> tuple[Array, ...]:
        carried, sequences, others = self.split(operands)
        steps = range(evaluate(self.length, dims))
        found: list[tuple[Array, ...]] = []
        for t in reversed(steps) if self.reverse else steps:
            values = evaluate_block(self.body, dims, *carried, *(s[t] for s in sequences), *others)
            carried = values[: self.carries]
            found.append(values[self.carries :])
        if self.reverse:
            found.reverse()
        stacked = []
        for k, type in enumerate(self.body.types[self.carries :]):
            shape = (len(steps), *(evaluate(d, dims) for d in type.shape))
            lines = [values[k] for values in found]
            stacked.append(np.array(lines, type.dtype.numpy).reshape(shape))
        return (*carried, *stacked)

    def graphs(self, wanted: Sequence[int]) -> tuple[Graph, ...]:
        stacked = tuple(self.body.outputs[k] for k in sorted(wanted) if k >= self.carries)
        return (_carrying(self.body, self.carries, stacked),)


@dataclass(frozen=True, slots=True)
class Cond(BlockOp):
    """One of two blocks, chosen when the program runs: only that one is computed."""

    name: ClassVar[str] = "cond"
    then: Block
    other: Block
    result: int

    def results(self, *operands: TensorType) -> tuple[TensorType, ...]:
        _expect(self, "truth values", operands[:1], (TensorType(DType.BOOL),))
        for block in self.blocks:
            _expect(self, "operands", operands[1:], block.inputs)
        _expect(self, "results", self.other.types, self.then.types)
        return self.then.types

    def evaluate_all(self, dims: Mapping[str, int], *operands: Array) -> tuple[Array, ...]:
        return evaluate_block(self.then if operands[0] else self.other, dims, *operands[1:])

    def graphs(self, wanted: Sequence[int]) -> tuple[Graph, ...]:
        return tuple(
            Graph(name, block.slots, tuple(block.outputs[k] for k in sorted(wanted)))
            for name, block in (("then", self.then), ("else", self.other))
        )


@dataclass(frozen=True, slots=True)
class While(BlockOp):
    """A loop that goes on while the test holds, which is looked at before each step."""

    name: ClassVar[str] = "while_loop"
    test: Block
    body: Block
    carries: int
    result: int

    def results(self, *operands: TensorType) -> tuple[TensorType, ...]:
        carried = operands[: self.carries]
        for block in self.blocks:
            _expect(self, "operands", operands, block.inputs)
        _expect(self, "truth values", self.test.types, (TensorType(DType.BOOL),))
        _expect(self, "carries", self.body.types, carried)
        return carried

    def evaluate_all(self, dims: Mapping[str, int], *operands: Array) -> tuple[Array, ...]:
        carried, others = operands[: self.carries], operands[self.carries :]
        while evaluate_block(self.test, dims, *carried, *others)[0]:
            carried = evaluate_block(self.body, dims, *carried, *others)
        return carried

    def graphs(self, wanted: Sequence[int]) -> tuple[Graph, ...]:
        return Graph("test", self.test.slots, self.test.outputs), _carrying(self.body, self.carries, ())


def _carrying(body: Block, carries: int, outputs: tuple[Node, ...]) -> Graph:
    """The body of a loop as a graph: the slots of the carries are replaced by what the block gives for them."""
    updates = tuple(zip(body.slots[:carries], body.outputs[:carries], strict=True))
    return Graph("body", body.slots, outputs, updates)
