"""A custom gradient: the identity on a value, with a rule that says how the gradient goes on.

| operands                       | value          | vjp                                                             |
|--------------------------------|----------------|-----------------------------------------------------------------|
| ys (the results), xs           | `ys[output]`   | to x: the rule, over xs, ys and upstreams; to ys: nothing       |

The ys are computed from the xs by ordinary operations, and are all that a program computes: once the graph is
differentiated, a rewrite drops the operation.  `reason` is empty where the rule is a claim, which was checked
when it was made (`graphc.autodiff.custom`), and else says why the gradient is deliberately another one.

>>> from graphc.ir.block import slot
>>> from graphc.ops.elementwise import elementwise
>>> from graphc.ops.leaves import Input
>>> f64 = TensorType.of("f64")
>>> through = Block((f64, f64, f64), (slot(2, f64),))           # (x, y, upstream) → upstream
>>> x = node(Input("x", f64))
>>> y = node(CustomGradient(through, (0,), 1, 0, True, "straight-through"), elementwise("round", x), x)
>>> y.op.vjp(y, 1, x) is x, y.op.vjp(y, 0, x)
(True, None)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from graphc.errors import InternalError
from graphc.ir.block import Block
from graphc.ir.dims import Index
from graphc.ir.loops import Element, LoopBuilder
from graphc.ir.node import Node, Op, node
from graphc.ir.types import Array, TensorType
from graphc.ops.elementwise import constant_like


@dataclass(frozen=True, slots=True)
class CustomGradient(Op):
    """The value of operand `output`, with a rule for the gradient.

    The rule maps (xs, ys, upstreams of all ys) to the downstream of those xs that `wrt` counts; the others have
    none.  The first `outputs` operands are the ys.  A rule is `linear` in the upstreams, unless it is deliberate
    and has one result: the upstreams of several arrive one at a time.
    """

    name: ClassVar[str] = "custom_gradient"
    rule: Block
    wrt: tuple[int, ...]
    outputs: int
    output: int
    linear: bool
    reason: str

    @property
    def blocks(self) -> tuple[Block, ...]:
        return (self.rule,)

    def infer(self, *operands: TensorType) -> TensorType:
        ys, xs = operands[: self.outputs], operands[self.outputs :]
        if self.rule.inputs != (*xs, *ys, *ys):
            raise InternalError("the slots of a gradient rule are not its operands, results and upstreams")
        if self.rule.types != tuple(xs[k] for k in self.wrt):
            raise InternalError("the results of a gradient rule have not the types of its operands")
        return ys[self.output]

    def vjp(self, n: Node, operand: int, upstream: Node) -> Node | None:
        k = operand - self.outputs
        if k not in self.wrt:
            return None
        # The rule sees the results as they leave this operation, so that its own gradient follows it again.
        ys = tuple(node(replace(self, output=j), *n.src) for j in range(self.outputs))
        ups = [upstream if j == self.output else constant_like(0.0, y) for j, y in enumerate(ys)]
        return self.rule.inline((*n.src[self.outputs :], *ys, *ups))[self.wrt.index(k)]

    def latex(self, *operands: str) -> str:
        return operands[self.output]

    def local_latex(self, node: Node, operand: int, *operands: str) -> str:
        return r"\text{custom}" if operand - self.outputs in self.wrt else "0"

    def evaluate(self, dims: Mapping[str, int], *operands: Array) -> Array:
        return operands[self.output]

    def loops(self, node: Node, index: tuple[Index, ...], b: LoopBuilder) -> Element:
        return b.value(node.src[self.output], index)
