"""Recurrences along an axis: each element needs the one before it, so the axis is walked in order.

| op                   | definition                                     | vjp                                  |
|----------------------|------------------------------------------------|--------------------------------------|
| `recurrence`         | r[k] = a[k]·r[k−1] + b[k],  r[0] = b[0]        | the same, backwards, over a and u    |
| `recurrence`, reverse | r[k] = a[k+1]·r[k+1] + b[k],  r[n−1] = b[n−1] | the same, forwards                   |
| `running_argmax`, `running_argmin` | where the first extreme of x[..k] is | none: constant almost everywhere |

a[k] is the weight between the places k−1 and k in both directions, and a[0] is never used.  So b's gradient is
the recurrence over the same a, turned round: b̄[k] = u[k] + a[k+1]·b̄[k+1], and a's is ā[k] = b̄[k]·r[k−1].  A
running sum is a = 1, a running product b = (x[0], −0, −0, …), which changes nothing, not even the sign of a zero;
neither divides, so zeros do no harm.  The time is linear; the other axes are independent of each other.

>>> from graphc.ir.node import node
>>> from graphc.ops.leaves import Input
>>> a, b = (node(Input(n, TensorType.of("f64", (4,)))) for n in "ab")
>>> r = node(Recurrence(0, False), a, b)
>>> r.op.evaluate({}, np.full(4, 2.0), np.ones(4)).tolist()
[1.0, 3.0, 7.0, 15.0]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from graphc.errors import DTypeError, ShapeError
from graphc.ir.dims import Index
from graphc.ir.loops import LoopBuilder
from graphc.ir.node import Node, Op, node
from graphc.ir.types import Array, DType, Shape, TensorType
from graphc.ops.elementwise import constant_like, elementwise
from graphc.ops.leaves import Iota
from graphc.ops.reduce import identity, keep_first
from graphc.ops.views import Pad, Slice


def along(shape: Shape, axis: int, b: LoopBuilder, line: Callable[[Callable[[Index], Shape]], None]) -> None:
    """A loop for each axis but one; `line` gets the index of a place on that axis."""
    others = (*shape[:axis], *shape[axis + 1 :])
    b.nest(others, lambda at: line(lambda k: (*at[:axis], k, *at[axis:])))


def _axis_of(axis: int, what: str, x: TensorType) -> None:
    if not 0 <= axis < x.rank:
        raise ShapeError(f"a {what} along axis {axis} of {x}", why=f"its axes are 0 to {x.rank - 1}")


def shifted(x: Node, axis: int, by: int) -> Node:
    """x[k − by] for `by` of 1 or −1, and 0 at the place that has none; also along an axis of size 0."""
    shape = x.type.shape
    zeros = (0,) * len(shape)
    more = tuple(int(k == axis) for k in range(len(shape)))
    lo, hi, start = (more, zeros, zeros) if by == 1 else (zeros, more, more)
    padded = node(Pad(lo, hi, zeros, 0.0), x)
    return node(Slice(start, (1,) * len(shape), shape), padded)


@dataclass(frozen=True, slots=True)
class Recurrence(Op):
    """r[k] = a[k]·r[k−1] + b[k] along an axis, or the same from its end; see the module's table."""

    name: ClassVar[str] = "recurrence"
    scatters: ClassVar[bool] = True
    axis: int
    reverse: bool

    def infer(self, *operands: TensorType) -> TensorType:
        a, b = operands
        _axis_of(self.axis, "recurrence", b)
        if a != b:
            raise ShapeError(f"a recurrence of {a} and {b}", why="its operands must have one type")
        if b.dtype is DType.BOOL:
            raise DTypeError(f"cannot compute a recurrence of {b}", fix='cast it first: x.astype("int64")')
        return b

    def vjp(self, node_: Node, operand: int, upstream: Node) -> Node | None:
        if not node_.type.dtype.is_float:
            return None
        a = node_.src[0]
        back = node(Recurrence(self.axis, not self.reverse), a, upstream)
        if operand == 1:
            return back
        # The weight between k−1 and k meets what is on its two sides; the one before the first place meets nothing.
        before, after = (back, node_) if self.reverse else (node_, back)
        met = elementwise("mul", shifted(before, self.axis, 1), after)
        place = node(Iota(a.type.shape, self.axis, DType.I64))
        return elementwise(
            "where", elementwise("equal", place, constant_like(0, place)), constant_like(0.0, met), met
        )

    def latex(self, *operands: str) -> str:
        start = r"\operatorname{recur}"
        return rf"{start}{'^{R}' if self.reverse else ''}_{{{self.axis}}}({operands[0]}, {operands[1]})"

    def evaluate(self, dims: Mapping[str, int], *operands: Array) -> Array:
        a, b = (np.moveaxis(x, self.axis, 0) for x in operands)
        out = np.array(b, order="C")
        with np.errstate(all="ignore"):
            for k in range(1, len(out)):
                if self.reverse:
                    out[-1 - k] += a[-k] * out[-k]
                else:
                    out[k] += a[k] * out[k - 1]
        return np.moveaxis(out, 0, self.axis)

    def nest(self, node: Node, b: LoopBuilder) -> None:
        weight, term = node.src
        dtype, size = node.type.dtype, node.type.shape[self.axis]

        def line(place: Callable[[Index], Shape]) -> None:
            held = b.accumulator(b.constant(0, dtype))
            # Backwards, the weight between two places is that of the one which comes first.
            weight_held = b.accumulator(b.constant(0, dtype)) if self.reverse else None
            with b.loop(size) as i:
                k = size - 1 - i if self.reverse else i
                a, t = b.value(weight, place(k)), b.value(term, place(k))
                between = a if weight_held is None else b.read(weight_held)
                carried = b.prim("mul", between, b.read(held))
                first = b.prim("eq", b.index_value(i, DType.I64), b.constant(0, DType.I64))
                r = b.prim("select", first, t, b.prim("add", carried, t))
                b.assign(held, r)
                if weight_held is not None:
                    b.assign(weight_held, a)
                b.store(place(k), r)

        along(node.type.shape, self.axis, b, line)


@dataclass(frozen=True, slots=True)
class RunningArg(Op):
    """For each place of an axis the index of the first extreme up to there, as i64; the first NaN stays."""

    name: ClassVar[str] = "running_arg"
    spoken: ClassVar[tuple[str, ...]] = ("kind",)
    scatters: ClassVar[bool] = True
    kind: Literal["max", "min"]
    axis: int

    @property
    def label(self) -> str:
        return f"running_arg{self.kind}"

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        _axis_of(self.axis, "running extreme", x)
        return TensorType(DType.I64, x.shape)

    def latex(self, *operands: str) -> str:
        return rf"\arg\{self.kind}_{{{self.axis},\le k}} {operands[0]}"

    def evaluate(self, dims: Mapping[str, int], *operands: Array) -> Array:
        x = np.moveaxis(operands[0], self.axis, 0)
        out = np.zeros(x.shape, np.int64)
        best = np.array(x[:1], order="C")
        for k in range(1, len(x)):
            beyond = x[k] > best[0] if self.kind == "max" else x[k] < best[0]
            better = beyond | ((x[k] != x[k]) & (best[0] == best[0]))
            best[0] = np.where(better, x[k], best[0])
            out[k] = np.where(better, k, out[k - 1])
        return np.moveaxis(out, 0, self.axis)

    def nest(self, node: Node, b: LoopBuilder) -> None:
        (x,) = node.src

        def line(place: Callable[[Index], Shape]) -> None:
            best = b.accumulator(b.constant(identity(self.kind, x.type.dtype), x.type.dtype))
            where = b.accumulator(b.constant(0, DType.I64))
            with b.loop(x.type.shape[self.axis]) as k:
                keep_first(b, self.kind, best, b.value(x, place(k)), [(where, b.index_value(k, DType.I64))])
                b.store(place(k), b.read(where))

        along(x.type.shape, self.axis, b, line)
