"""Reductions along axes.

| op       | definition                                | vjp                                      |
|----------|-------------------------------------------|------------------------------------------|
| `sum`    | Σ x over the axes                         | expand the upstream                      |
| `prod`   | Π x over the axes (of an empty axis 1)    | times the product of all others          |
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

from collections.abc import Callable, Mapping, Sequence
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
from graphc.ops.leaves import Extent, Iota
from graphc.ops.views import Expand, Reshape, Transpose

Kind = Literal["sum", "prod", "max", "min"]

SIGNS: Mapping[str, str] = {"sum": r"\sum", "prod": r"\prod", "max": r"\max", "min": r"\min"}
"""The LaTeX of each kind."""

ACCUMULATIONS: Mapping[str, str] = {"sum": "add", "prod": "mul", "max": "max", "min": "min"}
"""The accumulation into a cell that makes each kind."""


def identity(kind: str, dtype: DType) -> float | int:
    """The value that a reduction starts from."""
    if kind in ("sum", "prod"):
        one = int(kind == "prod")
        return float(one) if dtype.is_float else one
    if dtype.is_float:
        return float("-inf") if kind == "max" else float("inf")
    limits = np.iinfo(dtype.numpy)
    return int(limits.min if kind == "max" else limits.max)


@dataclass(frozen=True, slots=True)
class Reduce(Op):
    """Sum, product, maximum or minimum over axes, which disappear."""

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
        if self.kind == "prod":
            return elementwise("mul", spread, self._on_a_line(x, products_of_others))
        # Only the first of equal maxima takes the gradient.
        mask = self._on_a_line(x, lambda line: _is_first(self.kind, line))
        return elementwise("where", mask, spread, constant_like(0.0, spread))

    def _on_a_line(self, x: Node, function: Callable[[Node], Node]) -> Node:
        """A function of the last axis, applied along the reduced axes as if they were one, in row-major order."""
        kept = tuple(k for k in range(x.type.rank) if k not in self.axes)
        turn, shape = Transpose((*kept, *self.axes)), x.type.shape
        size = product(shape[k] for k in self.axes)
        line = node(Reshape((*(shape[k] for k in kept), size)), node(turn, x))
        there = node(Reshape(tuple(shape[k] for k in turn.perm)), function(line))
        return node(turn.inverse(), there)

    def latex(self, *operands: str) -> str:
        return rf"{SIGNS[self.kind]}_{{{','.join(map(str, self.axes))}}} {operands[0]}"

    def local_latex(self, node: Node, operand: int, *operands: str) -> str:
        return r"\mathbf{1}" if self.kind == "sum" else rf"[{operands[0]} = {self.latex(*operands)}]"

    def evaluate(self, dims: Mapping[str, int], *operands: Array) -> Array:
        (x,) = operands
        if self.kind == "sum":
            return np.asarray(np.sum(x, axis=self.axes, dtype=x.dtype))
        if self.kind == "prod":
            return np.asarray(np.prod(x, axis=self.axes, dtype=x.dtype))
        reduce = np.max if self.kind == "max" else np.min
        return np.asarray(reduce(x, axis=self.axes, initial=identity(self.kind, dtype_of(x.dtype))))

    def loops(self, node: Node, index: tuple[Index, ...], b: LoopBuilder) -> Element:
        x = node.src[0]
        cell = b.accumulator(b.constant(identity(self.kind, node.type.dtype), node.type.dtype))
        with ExitStack() as stack:
            inner = {k: stack.enter_context(b.loop(x.type.shape[k])) for k in self.axes}
            outer = iter(index)
            place = tuple(inner[k] if k in inner else next(outer) for k in range(x.type.rank))
            b.accumulate(cell, ACCUMULATIONS[self.kind], b.value(x, place))
        return b.read(cell)


def _is_first(kind: str, x: Node) -> Node:
    """Whether an element is the first extreme along the last axis."""
    shape, axis = x.type.shape, x.type.rank - 1
    first = node(Arg("max" if kind == "max" else "min", axis), x)
    wide = node(Expand(shape), node(Reshape((*shape[:-1], 1)), first))
    return elementwise("equal", node(Iota(shape, axis, DType.I64)), wide)


def products_of_others(x: Node) -> Node:
    """For each element the product of all others on the last axis: of those before it, times of those after it.

    Nothing is divided, so zeros do no harm: with one zero in a row only its own derivative is not 0.
    """
    from graphc.ops.recurrence import Recurrence, shifted

    shape, axis = x.type.shape, x.type.rank - 1
    place = node(Iota(shape, axis, DType.I64))
    last = elementwise("sub", constant_extent(shape[-1], place), constant_like(1, place))
    ends = (elementwise("equal", place, end) for end in (constant_like(0, place), last))
    first, final = (elementwise("where", end, constant_like(1.0, x), constant_like(-0.0, x)) for end in ends)
    before = node(Recurrence(axis, False), shifted(x, axis, 1), first)
    after = node(Recurrence(axis, True), x, final)
    return elementwise("mul", before, after)


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


def constant_extent(size: Index, like: Node) -> Node:
    """A dimension as a tensor of the same shape and dtype as another node."""
    if isinstance(size, int):
        return constant_like(size, like)
    scalar = node(Extent(size, like.type.dtype))
    return node(Expand(like.type.shape), scalar) if like.type.shape else scalar
