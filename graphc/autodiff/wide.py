"""Level 2, a graph in float64, whatever its own dtype: so that mathematics is compared and not rounding.

>>> from graphc.autodiff.point import point_at
>>> from graphc.lang.tensor import input
>>> x = input("x", (2,), "float32")
>>> y = (x * x).node
>>> (wide,) = widened([y], point_at([y], {x: [3.0, 4.0]}))
>>> wide.node.type, wide.point.evaluate([wide.node])[wide.node].tolist()
(TensorType(dtype=<DType.F64: 'f64'>, shape=(2,)), [9.0, 16.0])
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from graphc.autodiff.point import Point, title
from graphc.ir.block import Block
from graphc.ir.node import Node, Op, node, toposort
from graphc.ir.types import Array, DType, TensorType
from graphc.ops.leaves import Const, Input, Param


@dataclass(frozen=True, slots=True)
class Wide:
    """A node in float64, what each node of the graph became, and the values of the leaves."""

    node: Node
    nodes: dict[Node, Node]
    point: Point


def widened(roots: Sequence[Node], point: Point) -> list[Wide]:
    """The same graph in float64, with parameters as inputs: f32[N] = tanh f32[N] → f64[N] = tanh f64[N]."""
    new: dict[Node, Node] = {}
    values: dict[Node, Array] = {}
    for n in toposort(roots):
        if isinstance(n.op, (Input, Param)):
            new[n] = node(Input(title(n), _wide_type(n.type)))
            values[new[n]] = point.values[n].astype(new[n].type.dtype.numpy)
        else:
            new[n] = node(_wide_op(n.op), *(new[s] for s in n.src))
    wide = Point(values, point.dims)
    return [Wide(new[r], new, wide) for r in roots]


def _wide_type(type: TensorType) -> TensorType:
    return TensorType(DType.F64, type.shape) if type.dtype is DType.F32 else type


def _wide_block(block: Block) -> Block:
    """A block in float64; blocks inside blocks go as deep as the loops of a program do."""
    new: dict[Node, Node] = {}
    for n in block.nodes:
        new[n] = node(_wide_op(n.op), *(new[s] for s in n.src))
    return Block(tuple(map(_wide_type, block.inputs)), tuple(new[n] for n in block.outputs))


def _wide_op(op: Op) -> Op:
    """An operation in float64: whatever it holds that speaks of f32."""
    if isinstance(op, Const):
        return Const.of(op.value, DType.F64) if op.value.dtype == np.float32 else op
    changed: dict[str, object] = {}
    for f in dataclasses.fields(op):  # type: ignore[arg-type]
        match getattr(op, f.name):
            case DType.F32:
                changed[f.name] = DType.F64
            case TensorType() as type:
                changed[f.name] = _wide_type(type)
            case Block() as block:
                changed[f.name] = _wide_block(block)
    return dataclasses.replace(op, **changed) if changed else op  # type: ignore[type-var]
