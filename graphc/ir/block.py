"""Level 1, blocks: closed graphs inside an operation, such as the body of a loop.

```
block ::= "block" name line* "return" ref*      lines as in graphc.ir.text; `slot` is what comes from outside
```

A block knows nothing of the graph around it: all that it needs enters through its slots.  So blocks that compute
the same are equal, and a loop is interned, differentiated and optimised like any other operation.

An operation with blocks may have several results.  Each is a node of its own: the same operation on the same
operands, with another `result`.  Such nodes are one `family`, and are computed together.

>>> from graphc.ops.elementwise import elementwise
>>> x = slot(0, TensorType.of("f64"))
>>> double = Block((x.type,), (elementwise("add", x, x),))
>>> double == Block((x.type,), (elementwise("add", slot(0, x.type), slot(0, x.type)),))
True
>>> double.inline([elementwise("mul", x, x)])[0].src[0].op.label
'mul'
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, ClassVar, TypeAlias, cast

from graphc.errors import InternalError
from graphc.ir.graph import Graph
from graphc.ir.node import Node, Op, node, origin, toposort
from graphc.ir.types import Array, TensorType


@dataclass(frozen=True, slots=True)
class Slot(Op):
    """What comes into a block from outside: its operand number `index`."""

    name: ClassVar[str] = "slot"
    index: int
    type: TensorType

    def infer(self, *operands: TensorType) -> TensorType:
        return self.type

    def latex(self, *operands: str) -> str:
        return rf"s_{{{self.index}}}"

    def evaluate(self, dims: Mapping[str, int], *operands: Array) -> Array:
        raise InternalError(f"the slot {self.index} has no value of its own")

    def attributes(self) -> dict[str, object]:
        return {"index": self.index}


def slot(index: int, type: TensorType) -> Node:
    """The node of a slot."""
    return node(Slot(index, type))


@dataclass(frozen=True)
class Block:
    """A closed graph: the types of its slots, and its outputs as nodes over slots."""

    inputs: tuple[TensorType, ...]
    outputs: tuple[Node, ...]

    @cached_property
    def slots(self) -> tuple[Node, ...]:
        return tuple(slot(k, t) for k, t in enumerate(self.inputs))

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """Every node that the outputs need, operands first."""
        return tuple(toposort(self.outputs))

    @cached_property
    def types(self) -> tuple[TensorType, ...]:
        """The types of the outputs."""
        return tuple(n.type for n in self.outputs)

    @cached_property
    def digest(self) -> str:
        """The same in every process for blocks that compute the same."""
        text = ",".join([*map(str, self.inputs), *(n.digest for n in self.outputs)])
        return hashlib.blake2b(text.encode(), digest_size=10).hexdigest()

    def __repr__(self) -> str:
        return f"block:{self.digest}"

    @staticmethod
    def over(inside: Sequence[Node], outputs: Sequence[Node]) -> Block:
        """The block whose slots stand for these nodes, in this order: add(a, b) over (a, b) → add(slot 0, slot 1)."""
        slots = {n: slot(k, n.type) for k, n in enumerate(inside)}
        return Block(tuple(n.type for n in inside), substitute(outputs, slots))

    def inline(self, operands: Sequence[Node]) -> tuple[Node, ...]:
        """The outputs as nodes over operands: the block, called."""
        return substitute(self.outputs, dict(zip(self.slots, operands, strict=True)))


Family: TypeAlias = tuple["BlockOp", tuple[Node, ...]]
"""What the nodes of one computation have in common: the operation with `result` 0, and the operands."""


class BlockOp(Op):
    """An operation with blocks, and with several results, of which one is the node's value.

    A subclass is a frozen dataclass whose last field is `result`.
    """

    __slots__ = ()
    scatters: ClassVar[bool] = True  # computed by steps of its own, never inside a kernel
    result: int

    @abstractmethod
    def results(self, *operands: TensorType) -> tuple[TensorType, ...]:
        """The types of all results; raises ShapeError or DTypeError."""

    @abstractmethod
    def evaluate_all(self, dims: Mapping[str, int], *operands: Array) -> tuple[Array, ...]:
        """All results by NumPy."""

    @abstractmethod
    def graphs(self, wanted: Sequence[int]) -> tuple[Graph, ...]:
        """Each block as a graph over its slots that computes the wanted results; what is carried, as updates."""

    def infer(self, *operands: TensorType) -> TensorType:
        return self.results(*operands)[self.result]

    def evaluate(self, dims: Mapping[str, int], *operands: Array) -> Array:
        return self.evaluate_all(dims, *operands)[self.result]

    def latex(self, *operands: str) -> str:
        return rf"\operatorname{{{self.label.replace('_', ' ')}}}_{{{self.result}}}({', '.join(operands)})"

    @property
    def blocks(self) -> tuple[Block, ...]:
        return tuple(v for f in fields(cast(Any, self)) if isinstance(v := getattr(self, f.name), Block))

    def with_blocks(self, change: Callable[[Block], Block]) -> BlockOp:
        """The operation with other blocks."""
        held = {f.name: getattr(self, f.name) for f in fields(cast(Any, self))}
        changed = {name: change(v) for name, v in held.items() if isinstance(v, Block)}
        return cast(BlockOp, replace(cast(Any, self), **changed))

    def with_result(self, result: int) -> BlockOp:
        return cast(BlockOp, replace(cast(Any, self), result=result))


def family(n: Node) -> Family:
    """The family of a node whose operation has blocks."""
    op = n.op
    assert isinstance(op, BlockOp)
    return (op if op.result == 0 else op.with_result(0)), n.src


def substitute(roots: Sequence[Node], replaced: Mapping[Node, Node]) -> tuple[Node, ...]:
    """Roots over other leaves: nodes of `replaced` become what it says, all else is built anew upon them.

    add(slot 0, slot 1), {slot 0: a, slot 1: b} → add(a, b).  What is built anew keeps its place in the source.
    """
    new = dict(replaced)
    for n in toposort(roots, lambda s: s not in replaced):
        if n in new:
            continue
        src = tuple(new[s] for s in n.src)
        if src == n.src:
            new[n] = n
        else:
            with origin("inlined", of=(n,)):
                new[n] = node(n.op, *src)
    return tuple(new[r] for r in roots)


def blocks_inside(nodes: Sequence[Node]) -> tuple[Block, ...]:
    """Every block of the operations of nodes, each once, those inside others first."""
    found: dict[Block, None] = {}
    stack: list[tuple[Block, bool]] = []

    def push(of: Sequence[Node]) -> None:
        # Loops and branches have blocks, and so have operations that hold a rule.
        held = (b for n in of for b in getattr(n.op, "blocks", ()))
        stack.extend((b, False) for b in reversed(list(dict.fromkeys(held))))

    push(nodes)
    while stack:
        block, expanded = stack.pop()
        if expanded:
            found[block] = None
        elif block not in found:
            stack.append((block, True))
            push(block.nodes)
    return tuple(found)
