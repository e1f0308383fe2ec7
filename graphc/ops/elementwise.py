"""Elementwise operations as graph nodes: one class, the op table says the rest.

The operands have one shape: broadcasts are `expand` nodes before.  The local gradient is a graph of elementwise
nodes again, so gradients of gradients need nothing further.

>>> from graphc.ir.node import node
>>> from graphc.ops.leaves import Input
>>> x = node(Input("x", TensorType.of("f64")))
>>> y = elementwise("tanh", x)
>>> y.op.local(y, 0)                     # 1 - out²
<sub f64[] ...>
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from graphc.errors import DTypeError, ShapeError
from graphc.ir.dims import Index
from graphc.ir.loops import Element, LoopBuilder
from graphc.ir.node import Node, Op, node
from graphc.ir.types import Array, DType, TensorType
from graphc.ops.body import Body, evaluate
from graphc.ops.leaves import Const
from graphc.ops.row import Row, row_named
from graphc.ops.scalar import PRIMS
from graphc.ops.views import Expand


def table_row(name: str) -> Row:
    """The row of the op table with this name."""
    return row_named(name)


@dataclass(frozen=True, slots=True)
class Elementwise(Op):
    """The op of one row of the table."""

    name: ClassVar[str] = "elementwise"
    row_name: str

    @property
    def row(self) -> Row:
        return row_named(self.row_name)

    @property
    def label(self) -> str:
        return self.row_name

    def attributes(self) -> dict[str, object]:
        return {}

    def infer(self, *operands: TensorType) -> TensorType:
        row = self.row
        if len(operands) != row.arity:
            raise ShapeError(f"{row.name} takes {row.arity} operands, not {len(operands)}")
        first, typed = operands[0], operands[1:] if row.dtype == "select" else operands
        for x in operands:
            if x.shape != first.shape:
                raise ShapeError(
                    f"{row.name} of {first} and {x}", why="elementwise operands must have one shape"
                )
        dtype = typed[0].dtype
        allowed = {
            "same": dtype is not DType.BOOL,
            "float": dtype.is_float,
            "test": dtype.is_float,
            "integer": dtype.is_integer,
            "logic": dtype is DType.BOOL,
            "select": first.dtype is DType.BOOL,
        }.get(row.dtype, True)
        if not allowed or any(x.dtype is not dtype for x in typed):
            taken = {"integer": "integers", "logic": "bool", "float": "floats", "test": "floats"}.get(
                row.dtype, "one dtype"
            )
            raise DTypeError(
                f"{row.name} does not take {' and '.join(str(x.dtype) for x in operands)}",
                why=f"it takes {taken}",
                fix="cast the operands: x.astype(...)",
            )
        return TensorType(DType.BOOL if row.dtype in ("compare", "test") else dtype, first.shape)

    def local(self, n: Node, operand: int) -> Node:
        """∂n/∂operand as a graph of elementwise nodes over the operands and n itself."""
        return instantiate(self.row.local_body(operand), (*n.src, n), n)

    def vjp(self, n: Node, operand: int, upstream: Node) -> Node | None:
        row = self.row
        if not row.differentiable or not n.src[operand].type.dtype.is_float or not n.type.dtype.is_float:
            return None
        body = row.local_body(operand)
        if not body.steps and body.constants and body.constants[0] == 0:
            return None
        return instantiate(row.downstream_body(operand), (*n.src, n, upstream), n)

    def latex(self, *operands: str) -> str:
        return self.row.latex(*operands)

    def local_latex(self, node: Node, operand: int, *operands: str) -> str:
        if not self.row.differentiable:
            return "0"
        return self.row.local_latex(operand, *operands, out=self.latex(*operands))

    def evaluate(self, dims: Mapping[str, int], *operands: Array) -> Array:
        if self.row.wide and operands[0].dtype == np.float32:
            wide = evaluate(self.row.body, *(a.astype(np.float64) for a in operands))
            with np.errstate(all="ignore"):
                return np.asarray(wide.astype(np.float32))
        return np.asarray(evaluate(self.row.body, *operands))

    def loops(self, node: Node, index: tuple[Index, ...], b: LoopBuilder) -> Element:
        body, wide = self.row.body, self.row.wide and node.type.dtype is DType.F32
        values = [b.value(s, index) for s in node.src]
        if wide:
            values = [b.prim("cast:f64", v) for v in values]
        dtype = values[-1].dtype
        values += [b.constant(float(c) if dtype.is_float else int(c), dtype) for c in body.constants]
        for prim, args in body.steps:
            values.append(b.prim(prim, *(values[a] for a in args)))
        return b.prim("cast:f32", values[body.result]) if wide else values[body.result]


@dataclass(frozen=True, slots=True)
class Cast(Op):
    """The same values in another dtype; float → int drops the fraction, saturates, and takes NaN for 0."""

    name: ClassVar[str] = "cast"
    dtype: DType

    def infer(self, *operands: TensorType) -> TensorType:
        return TensorType(self.dtype, operands[0].shape)

    def vjp(self, n: Node, operand: int, upstream: Node) -> Node | None:
        source = n.src[0].type.dtype
        return node(Cast(source), upstream) if source.is_float and self.dtype.is_float else None

    def latex(self, *operands: str) -> str:
        return operands[0]

    def local_latex(self, node: Node, operand: int, *operands: str) -> str:
        return "1"

    def evaluate(self, dims: Mapping[str, int], *operands: Array) -> Array:
        with np.errstate(all="ignore"):
            return PRIMS[f"cast:{self.dtype}"].numpy(operands[0])

    def loops(self, node: Node, index: tuple[Index, ...], b: LoopBuilder) -> Element:
        return b.prim(f"cast:{self.dtype}", b.value(node.src[0], index))


def elementwise(name: str, *operands: Node) -> Node:
    """The node of a row of the table, applied to nodes of one shape."""
    return node(Elementwise(name), *operands)


def constant_like(value: float | int, like: Node) -> Node:
    """A constant with the type of another node."""
    scalar = node(Const.of(value, like.type.dtype))
    return node(Expand(like.type.shape), scalar) if like.type.shape else scalar


def instantiate(body: Body, operands: tuple[Node, ...], like: Node) -> Node:
    """The graph that a body over rows denotes: `t0 = mul out, out; t1 = sub 1, t0` → two nodes."""
    refs = list(operands)
    refs += [constant_like(float(c) if like.type.dtype.is_float else int(c), like) for c in body.constants]
    for name, args in body.steps:
        refs.append(elementwise(row_named(name).name, *(refs[a] for a in args)))
    return refs[body.result]
