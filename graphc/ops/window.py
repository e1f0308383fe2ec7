"""Windows over the last axes: pooling, its gradients, and their gradients.

| op | definition | vjp |
|----------------------|----------------------------------------------------|---------------------------|
| `window_sum`         | out[t] = Σ_k x[stride·t + dilation·k] | window sum of the spread upstream |
| `window_max`         | out[t] = max_k x[stride·t + dilation·k] | `window_scatter` |
| `window_scatter`     | adds u[t] at the first maximum of window t of x | `window_pick` of the upstream |
| `window_pick`        | out[t] = v at the first maximum of window t of x | `window_scatter` |

Windows lie inside; padding is a `pad` node before them (with −∞ for a maximum).  What is picked or scattered
has a dtype of its own: a pick of indices says where the maxima are.

>>> from graphc.ir.node import node
>>> from graphc.ops.leaves import Input
>>> x = node(Input("x", TensorType.of("f32", ("N", 20, 28, 28))))
>>> str(node(Window("max", (2, 2), (2, 2)), x).type)
'f32[N,20,14,14]'
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from graphc.errors import DTypeError, ShapeError
from graphc.ir.dims import Index
from graphc.ir.loops import Element, LoopBuilder
from graphc.ir.node import Node, Op, node
from graphc.ir.types import Array, DType, TensorType
from graphc.ops.conv import window_count
from graphc.ops.reduce import beats, identity, keep_first
from graphc.ops.views import Expand, Pad, Reshape


@dataclass(frozen=True, slots=True)
class _Windowed(Op):
    """What the four have in common: windows of `size` at every `strides` over the last axes."""

    size: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.dilations:
            object.__setattr__(self, "dilations", (1,) * len(self.size))

    def lead(self, x: TensorType) -> int:
        return x.rank - len(self.size)

    def out_shape(self, x: TensorType) -> tuple[Index, ...]:
        """The shape with one element for each window."""
        if self.lead(x) < 0:
            raise ShapeError(f"windows of rank {len(self.size)} do not fit {x}")
        if not x.dtype.is_float:
            raise DTypeError(f"cannot pool {x}", why="pooling takes a floating dtype")
        spatial = []
        for d, k, s, dilation in zip(
            x.shape[self.lead(x) :], self.size, self.strides, self.dilations, strict=True
        ):
            count = window_count(d, k, s, dilation)
            if isinstance(count, int) and count < 1:
                raise ShapeError(
                    f"a window of {k} does not fit into {d}",
                    why=f"with dilation {dilation} it spans {dilation * (k - 1) + 1}" if dilation > 1 else "",
                    fix="pad the input or take a smaller window",
                )
            spatial.append(count)
        return (*x.shape[: self.lead(x)], *spatial)

    def shifted(self, x: Array) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...]]]:
        """For each place in the window, row-major: the place, and the slice of x that all windows have there."""
        lead = x.ndim - len(self.size)
        axes = list(zip(x.shape[lead:], self.size, self.strides, self.dilations, strict=True))
        counts = [(d - dilation * (k - 1) - 1) // s + 1 for d, k, s, dilation in axes]
        for place in itertools.product(*(range(k) for k in self.size)):
            first = [p * dilation for p, dilation in zip(place, self.dilations, strict=True)]
            yield (
                place,
                (slice(None),) * lead
                + tuple(
                    slice(p, p + s * (t - 1) + 1, s)
                    for p, s, t in zip(first, self.strides, counts, strict=True)
                ),
            )

    def first_maximum(self, x: Array) -> Array:
        """For each window the row-major number of its first maximum (the first NaN where there is one)."""
        best: Array | None = None
        where: Array | None = None
        for number, (_, window) in enumerate(self.shifted(x)):
            value = x[window]
            if best is None or where is None:
                best, where = value.copy(), np.zeros(value.shape, dtype=np.int64)
                continue
            better = (best < value) | (np.isnan(value) & ~np.isnan(best))
            best, where = np.where(better, value, best), np.where(better, number, where)
        assert where is not None
        return where

    def search(
        self, x: Node, lead: tuple[Index, ...], at: tuple[Index, ...], b: LoopBuilder
    ) -> tuple[Index, ...]:
        """Loops that find the first maximum of the window at `at`; returns its index into x."""
        corner = tuple(s * t for s, t in zip(self.strides, at, strict=True))
        best = b.accumulator(b.value(x, (*lead, *corner)))
        where = [b.accumulator(b.index_value(c, DType.I64)) for c in corner]
        with ExitStack() as stack:
            taps = [stack.enter_context(b.loop(k)) for k in self.size]
            place = tuple(c + d * k for c, d, k in zip(corner, self.dilations, taps, strict=True))
            tracked = [(cell, b.index_value(p, DType.I64)) for cell, p in zip(where, place, strict=True)]
            keep_first(b, "max", best, b.value(x, (*lead, *place)), tracked)
        return (*lead, *(b.as_index(b.read(cell)) for cell in where))


LARGEST_UNROLLED = 16
"""Elements of a window that are written out one by one instead of looped over."""


def _tiles(op: _Windowed, x: TensorType, out: TensorType) -> bool:
    """Whether every element of x is in exactly one window."""
    spatial = zip(x.shape[op.lead(x) :], op.size, out.shape[op.lead(x) :], strict=True)
    side_by_side = op.size == op.strides and set(op.dilations) <= {1}
    return side_by_side and all(d == k * t for d, k, t in spatial)


@dataclass(frozen=True, slots=True)
class Window(_Windowed):
    """The sum or maximum of each window."""

    name: ClassVar[str] = "window"
    spoken: ClassVar[tuple[str, ...]] = ("kind",)
    kind: Literal["sum", "max"] = "max"

    def __init__(
        self,
        kind: Literal["sum", "max"],
        size: tuple[int, ...],
        strides: tuple[int, ...],
        dilations: tuple[int, ...] = (),
    ) -> None:
        fields = {"kind": kind, "size": size, "strides": strides, "dilations": dilations or (1,) * len(size)}
        for field, value in fields.items():
            object.__setattr__(self, field, value)

    @property
    def label(self) -> str:
        return f"window_{self.kind}"

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        return x.with_shape(self.out_shape(x))

    def vjp(self, node_: Node, operand: int, upstream: Node) -> Node:
        x = node_.src[0]
        if self.kind == "max":
            return node(WindowScatter(self.size, self.strides, self.dilations), x, upstream)
        lead = self.lead(x.type)
        shape, out = x.type.shape, node_.type.shape
        sizes = shape[lead:]
        if _tiles(self, x.type, node_.type):
            split = tuple(v for t in out[lead:] for v in (t, 1))
            wide = tuple(v for t, k in zip(out[lead:], self.size, strict=True) for v in (t, k))
            spread = node(Expand((*shape[:lead], *wide)), node(Reshape((*shape[:lead], *split)), upstream))
            return node(Reshape(shape), spread)
        none = (0,) * lead
        lo = tuple(d * (k - 1) for d, k in zip(self.dilations, self.size, strict=True))
        hi = tuple(d - 1 - s * (t - 1) for d, s, t in zip(sizes, self.strides, out[lead:], strict=True))
        spread = node(Pad(none + lo, none + hi, none + tuple(s - 1 for s in self.strides), 0.0), upstream)
        return node(Window("sum", self.size, (1,) * len(self.size), self.dilations), spread)

    def latex(self, *operands: str) -> str:
        sign = r"\sum" if self.kind == "sum" else r"\max"
        return rf"{sign}_{{{'×'.join(map(str, self.size))}}} {operands[0]}".replace("×", r"\times ")

    def evaluate(self, dims: Mapping[str, int], *operands: Array) -> Array:
        (x,) = operands
        windows = [x[w] for _, w in self.shifted(x)]
        out = windows[0].copy()
        for w in windows[1:]:
            out = out + w if self.kind == "sum" else np.maximum(out, w)
        return out

    def loops(self, node: Node, index: tuple[Index, ...], b: LoopBuilder) -> Element:
        x = node.src[0]
        lead = self.lead(x.type)
        cell = b.accumulator(b.constant(identity(self.kind, node.type.dtype), node.type.dtype))
        with ExitStack() as stack:
            taps = [stack.enter_context(b.loop(k)) for k in self.size]
            place = tuple(
                s * t + d * k
                for s, t, d, k in zip(self.strides, index[lead:], self.dilations, taps, strict=True)
            )
            b.accumulate(cell, "add" if self.kind == "sum" else "max", b.value(x, (*index[:lead], *place)))
        return b.read(cell)


@dataclass(frozen=True, slots=True)
class WindowScatter(_Windowed):
    """The gradient of max pooling: each window's upstream goes to its first maximum."""

    name: ClassVar[str] = "window_scatter"
    scatters: ClassVar[bool] = True

    def infer(self, *operands: TensorType) -> TensorType:
        x, u = operands
        if self.out_shape(x) != u.shape:
            raise ShapeError(f"{u} is no upstream for the windows of {x}")
        return u.with_shape(x.shape)

    def vjp(self, node_: Node, operand: int, upstream: Node) -> Node | None:
        if operand == 0 or not node_.type.dtype.is_float:
            return None
        return node(WindowPick(self.size, self.strides, self.dilations), node_.src[0], upstream)

    def latex(self, *operands: str) -> str:
        return rf"\operatorname{{unpool}}_{{{operands[0]}}}({operands[1]})"

    def evaluate(self, dims: Mapping[str, int], *operands: Array) -> Array:
        x, u = operands
        out = np.zeros(x.shape, u.dtype)
        where = self.first_maximum(x)
        for number, (_, window) in enumerate(self.shifted(x)):
            out[window] += np.where(where == number, u, u.dtype.type(0))
        return out

    def nest(self, node: Node, b: LoopBuilder) -> None:
        x, u = node.src
        lead = self.lead(x.type)
        if _tiles(self, x.type, u.type) and math.prod(self.size) <= LARGEST_UNROLLED:
            b.nest(u.type.shape, lambda index: self._tile(x, u, index, b))
            return
        zero = b.constant(identity("sum", node.type.dtype), node.type.dtype)
        b.nest(node.type.shape, lambda index: b.store(index, zero))

        def scatter(index: tuple[Index, ...]) -> None:
            place = self.search(x, index[:lead], index[lead:], b)
            b.accumulate_at(place, "add", b.value(u, index))

        b.nest(u.type.shape, scatter)

    def _tile(self, x: Node, u: Node, index: tuple[Index, ...], b: LoopBuilder) -> None:
        """One window where each element is in exactly one: every element is written once, u or 0, without a search
        through memory: `first = number of the first maximum; out[k] = u if first == k else 0`."""
        lead = self.lead(x.type)
        places = [
            (*index[:lead], *(s * t + p for s, t, p in zip(self.strides, index[lead:], place, strict=True)))
            for place in itertools.product(*(range(k) for k in self.size))
        ]
        best = b.value(x, places[0])
        first = b.constant(0, DType.I32)
        for number, place in enumerate(places[1:], start=1):
            value = b.value(x, place)
            better = beats(b, "max", value, best)
            best = b.prim("select", better, value, best)
            first = b.prim("select", better, b.constant(number, DType.I32), first)
        share, zero = b.value(u, index), b.constant(identity("sum", u.type.dtype), u.type.dtype)
        for number, place in enumerate(places):
            chosen = b.prim("eq", first, b.constant(number, DType.I32))
            b.store(place, b.prim("select", chosen, share, zero))


@dataclass(frozen=True, slots=True)
class WindowPick(_Windowed):
    """The value of v at the first maximum of each window of x."""

    name: ClassVar[str] = "window_pick"

    def infer(self, *operands: TensorType) -> TensorType:
        x, v = operands
        if x.shape != v.shape:
            raise ShapeError(f"{v} does not lie over {x}")
        return v.with_shape(self.out_shape(x))

    def vjp(self, node_: Node, operand: int, upstream: Node) -> Node | None:
        if operand == 0 or not node_.type.dtype.is_float:
            return None
        return node(WindowScatter(self.size, self.strides, self.dilations), node_.src[0], upstream)

    def latex(self, *operands: str) -> str:
        return rf"\operatorname{{pick}}_{{{operands[0]}}}({operands[1]})"

    def evaluate(self, dims: Mapping[str, int], *operands: Array) -> Array:
        x, v = operands
        where = self.first_maximum(x)
        out = np.zeros(where.shape, dtype=v.dtype)
        for number, (_, window) in enumerate(self.shifted(x)):
            out = np.where(where == number, v[window], out)
        return out

    def loops(self, node: Node, index: tuple[Index, ...], b: LoopBuilder) -> Element:
        x, v = node.src
        lead = self.lead(x.type)
        place = self.search(x, index[:lead], index[lead:], b)
        return b.value(v, place)
