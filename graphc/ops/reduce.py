"""Reductions along axes.

| op       | definition                                | vjp                                      |
|----------|-------------------------------------------|------------------------------------------|
| `sum`    | Σ x over the axes                         | expand the upstream                      |
| `max`    | max x (NaN wins; of an empty axis −∞)     | to the first maximum, in row-major order |
| `min`    | min x (NaN wins; of an empty axis +∞)     | to the first minimum, in row-major order |
| `argmax`, `argmin` | index of the first one along an axis | none: constant almost everywhere    |

>>> from graphc.ir.node import node
>>> from graphc.ops.leaves import Input
>>> x = node(Input("x", TensorType.of("f32", ("N", 10))))
>>> str(node(Reduce("sum", (1,)), x).type)
'f32[N]'
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from graphc.errors import DTypeError, ShapeError
from graphc.ir.dims import Index, product
from graphc.ir.loops import Accumulator, Element, LoopBuilder
from graphc.ir.node import Node, Op, node
from graphc.ir.types import Array, DType, TensorType, dtype_of
from graphc.ops.elementwise import constant_like, elementwise
from graphc.ops.leaves import Iota
from graphc.ops.views import Expand, Reshape, Transpose

Kind = Literal["sum", "max", "min"]


def identity(kind: str, dtype: DType) -> float | int:
    """The value that a reduction starts from."""
    if kind == "sum":
        return 0.0 if dtype.is_float else 0
    if dtype.is_float:
        return float("-inf") if kind == "max" else float("inf")
    limits = np.iinfo(dtype.numpy)
    return int(limits.min if kind == "max" else limits.max)


@dataclass(frozen=True, slots=True)
class Reduce(Op):
    """Sum, maximum or minimum over axes, which disappear."""

    name: ClassVar[str] = "reduce"
    spoken: ClassVar[tuple[str, ...]] = ("kind",)
    kind: Kind
    axes: tuple[int, ...]

    @property
    def label(self) -> str:
        return self.kind

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        if any(not 0 <= a < x.rank for a in self.axes) or len(set(self.axes)) != len(self.axes):
            raise ShapeError(
                f"cannot reduce {x} over axes {self.axes}", why=f"its axes are 0 to {x.rank - 1}"
            )
        if x.dtype is DType.BOOL:
            raise DTypeError(f"cannot take the {self.kind} of {x}", fix='cast it first: x.astype("int64")')
        return x.with_shape(tuple(d for k, d in enumerate(x.shape) if k not in self.axes))

    def _expand(self, reduced: Node, shape: tuple[Index, ...]) -> Node:
        kept = node(Reshape(tuple(1 if k in self.axes else d for k, d in enumerate(shape))), reduced)
        return node(Expand(shape), kept)

    def vjp(self, node_: Node, operand: int, upstream: Node) -> Node | None:
        x = node_.src[0]
        if not x.type.dtype.is_float:
            return None
        spread = self._expand(upstream, x.type.shape)
        if self.kind == "sum":
            return spread
        # Only the first of equal maxima takes the gradient: bring the axes together, find it, compare indices.
        kept = tuple(k for k in range(x.type.rank) if k not in self.axes)
        shape = x.type.shape
        size = product(shape[k] for k in self.axes)
        flat_shape = (*(shape[k] for k in kept), size)
        flat = node(Reshape(flat_shape), node(Transpose((*kept, *self.axes)), x))
        first = node(Arg(self.kind, len(kept)), flat)
        first = node(Expand(flat_shape), node(Reshape((*flat_shape[:-1], 1)), first))
        chosen = elementwise("equal", node(Iota(flat_shape, len(kept), DType.I64)), first)
        there = node(Reshape(tuple(shape[k] for k in (*kept, *self.axes))), chosen)
        mask = node(Transpose((*kept, *self.axes)).inverse(), there)
        return elementwise("where", mask, spread, constant_like(0.0, spread))

    def latex(self, *operands: str) -> str:
        sign = {"sum": r"\sum", "max": r"\max", "min": r"\min"}[self.kind]
        return rf"{sign}_{{{','.join(map(str, self.axes))}}} {operands[0]}"

    def local_latex(self, node: Node, operand: int, *operands: str) -> str:
        return r"\mathbf{1}" if self.kind == "sum" else rf"[{operands[0]} = {self.latex(*operands)}]"

    def evaluate(self, dims: Mapping[str, int], *operands: Array) -> Array:
        (x,) = operands
        if self.kind == "sum":
            return np.asarray(np.sum(x, axis=self.axes, dtype=x.dtype))
        reduce = np.max if self.kind == "max" else np.min
        return np.asarray(reduce(x, axis=self.axes, initial=identity(self.kind, dtype_of(x.dtype))))

    def loops(self, node: Node, index: tuple[Index, ...], b: LoopBuilder) -> Element:
        x = node.src[0]
        cell = b.accumulator(b.constant(identity(self.kind, node.type.dtype), node.type.dtype))
        with ExitStack() as stack:
            inner = {k: stack.enter_context(b.loop(x.type.shape[k])) for k in self.axes}
            outer = iter(index)
            place = tuple(inner[k] if k in inner else next(outer) for k in range(x.type.rank))
            b.accumulate(cell, "add" if self.kind == "sum" else self.kind, b.value(x, place))
        return b.read(cell)


@dataclass(frozen=True, slots=True)
class Arg(Op):
    """The index of the first maximum or minimum along an axis, as i64; NaN counts as the extreme, as in NumPy."""

    name: ClassVar[str] = "arg"
    spoken: ClassVar[tuple[str, ...]] = ("kind",)
    kind: Literal["max", "min"]
    axis: int

    @property
    def label(self) -> str:
        return f"arg{self.kind}"

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        if not 0 <= self.axis < x.rank:
            raise ShapeError(f"{x} has no axis {self.axis}")
        if x.shape[self.axis] == 0:
            raise ShapeError(f"cannot take the {self.label} of {x}", why="the axis is empty")
        return TensorType(DType.I64, tuple(d for k, d in enumerate(x.shape) if k != self.axis))

    def latex(self, *operands: str) -> str:
        return rf"\arg\{self.kind}_{{{self.axis}}} {operands[0]}"

    def evaluate(self, dims: Mapping[str, int], *operands: Array) -> Array:
        pick = np.argmax if self.kind == "max" else np.argmin
        return np.asarray(pick(operands[0], axis=self.axis))

    def loops(self, node: Node, index: tuple[Index, ...], b: LoopBuilder) -> Element:
        x = node.src[0]
        place = (*index[: self.axis], 0, *index[self.axis :])
        best = b.accumulator(b.value(x, place))
        where = b.accumulator(b.constant(0, DType.I64))
        with b.loop(x.type.shape[self.axis]) as k:
            value = b.value(x, (*index[: self.axis], k, *index[self.axis :]))
            keep_first(b, self.kind, best, value, [(where, b.index_value(k, DType.I64))])
        return b.read(where)


def keep_first(
    b: LoopBuilder,
    kind: str,
    best: Accumulator,
    value: Element,
    tracked: Sequence[tuple[Accumulator, Element]],
) -> None:
    """`if value beats best: best = value, and each tracked cell = its element`; ties keep the first, NaN wins."""
    held = b.read(best)
    better = beats(b, kind, value, held)
    b.assign(best, b.prim("select", better, value, held))
    for cell, place in tracked:
        b.assign(cell, b.prim("select", better, place, b.read(cell)))


def beats(b: LoopBuilder, kind: str, value: Element, held: Element) -> Element:
    """Whether a value replaces the extreme held so far: strictly beyond it, or the first NaN."""
    better = b.prim("lt", held, value) if kind == "max" else b.prim("lt", value, held)
    if not value.dtype.is_float:
        return better
    born_nan = b.prim("and", b.prim("ne", value, value), b.prim("eq", held, held))
    return b.prim("or", better, born_nan)
