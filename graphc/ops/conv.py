"""Convolution (cross-correlation, as networks use it) in any number of spatial dimensions, with groups.

    out[n, g, o, t] = Σ_{c, k} x[n, g, c, stride·t + dilation·k] · w[g, o, c, k]

The group is an axis of its own, and padding is a `pad` node before it: both are visible in the graph, and with
them the operation is closed under its own vjp:

* to x: the upstream, spread by the stride and padded, convolved with the turned-round w;
* to w: x convolved with the upstream, stride and dilation exchanged.

Two operands of bfloat16 pairs, neighbours along the channels (`graphc.ops.pairs`), give an f32.

Source: V. Dumoulin, F. Visin, A guide to convolution arithmetic for deep learning (2016).

>>> from graphc.ir.node import node
>>> from graphc.ops.leaves import Input
>>> x = node(Input("x", TensorType.of("f32", ("N", 1, 3, 32, 32))))
>>> w = node(Input("w", TensorType.of("f32", (1, 6, 3, 5, 5))))
>>> str(node(Conv((1, 1), (1, 1)), x, w).type)
'f32[N,1,6,28,28]'
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from graphc.errors import DTypeError, ShapeError
from graphc.ir.dims import Index
from graphc.ir.loops import Element, LoopBuilder
from graphc.ir.node import Node, Op, node
from graphc.ir.types import Array, DType, TensorType
from graphc.ops.bf16 import unpacked
from graphc.ops.pairs import product_of, sum_of
from graphc.ops.views import Pad, Slice, Transpose, flip


def window_count(size: Index, window: Index, stride: int, dilation: Index = 1) -> Index:
    """How many windows fit: floor((size − dilation·(window − 1) − 1) / stride) + 1."""
    return (size - dilation * (window - 1) - 1) // stride + 1


@dataclass(frozen=True, slots=True)
class Conv(Op):
    """Correlation of x[N,G,C,*S] with w[G,O,C,*K], over all places where the window fits: [N,G,O,*T]."""

    name: ClassVar[str] = "conv"
    strides: tuple[int, ...]
    dilations: tuple[int, ...]

    def infer(self, *operands: TensorType) -> TensorType:
        x, w = operands
        rank = len(self.strides)
        if x.dtype != w.dtype or not sum_of(x.dtype).is_float:
            raise DTypeError(f"cannot convolve {x} with {w}", why="both must be of one floating dtype")
        if x.rank != 3 + rank or w.rank != 3 + rank or x.shape[1] != w.shape[0] or x.shape[2] != w.shape[2]:
            raise ShapeError(
                f"cannot convolve {x} with {w}",
                why="they must be [N,groups,channels,...] and [groups,filters,channels,...]",
            )
        spatial = []
        for s, k, stride, dilation in zip(
            x.shape[3:], w.shape[3:], self.strides, self.dilations, strict=True
        ):
            count = window_count(s, k, stride, dilation)
            if isinstance(count, int) and count < 1:
                raise ShapeError(
                    f"a window of {k} does not fit into {s}",
                    why=f"with dilation {dilation} it spans {dilation * (k - 1) + 1}",
                    fix="pad the input or take a smaller kernel",
                )
            spatial.append(count)
        return TensorType(sum_of(x.dtype), (x.shape[0], x.shape[1], w.shape[1], *spatial))

    def vjp(self, node_: Node, operand: int, upstream: Node) -> Node:
        x, w = node_.src
        rank = len(self.strides)
        axes = tuple(range(3, 3 + rank))
        sizes, kernel, out = x.type.shape[3:], w.type.shape[3:], node_.type.shape[3:]
        if operand == 0:
            reach = tuple(d * (k - 1) for d, k in zip(self.dilations, kernel, strict=True))
            rest = tuple(
                s - r - 1 - st * (t - 1) for s, r, st, t in zip(sizes, reach, self.strides, out, strict=True)
            )
            none = (0, 0, 0)
            hi = tuple(r + e for r, e in zip(reach, rest, strict=True))
            spread = node(
                Pad(none + reach, none + hi, none + tuple(st - 1 for st in self.strides), 0.0), upstream
            )
            turned = node(Transpose((0, 2, 1, *axes)), flip(w, axes))
            return node(Conv((1,) * rank, self.dilations), spread, turned)
        swapped = node(Transpose((2, 1, 0, *axes)), x)  # [C, G, N, *S]
        filters = node(Transpose((1, 2, 0, *axes)), upstream)  # [G, O, N, *T]
        wide = node(Conv(self.dilations, self.strides), swapped, filters)  # [C, G, O, *K or more]
        if wide.type.shape[3:] != kernel:  # windows that a stride skipped at the end
            wide = node(Slice((0,) * (3 + rank), (1,) * (3 + rank), (*wide.type.shape[:3], *kernel)), wide)
        return node(Transpose((1, 2, 0, *axes)), wide)

    def latex(self, *operands: str) -> str:
        return rf"{operands[0]} \ast {operands[1]}"

    def local_latex(self, node: Node, operand: int, *operands: str) -> str:
        return rf"\operatorname{{rot}}({operands[1]})" if operand == 0 else operands[0]

    def evaluate(self, dims: Mapping[str, int], *operands: Array) -> Array:
        x, w = operands
        if x.dtype == DType.BF16X2.numpy:
            members = zip(*map(unpacked, operands), strict=True)
            return sum(self.evaluate(dims, *given) for given in members)  # type: ignore[return-value]
        counts = [
            (s - d * (k - 1) - 1) // st + 1
            for s, k, st, d in zip(x.shape[3:], w.shape[3:], self.strides, self.dilations, strict=True)
        ]
        out = np.zeros((x.shape[0], x.shape[1], w.shape[1], *counts), dtype=x.dtype)
        for place in itertools.product(*(range(k) for k in w.shape[3:])):
            window = tuple(
                slice(d * p, d * p + st * (t - 1) + 1, st)
                for p, st, d, t in zip(place, self.strides, self.dilations, counts, strict=True)
            )
            out += np.einsum(
                "ngc...,goc->ngo...",
                x[(slice(None),) * 3 + window],
                w[(slice(None),) * 3 + place],
                optimize=True,
            )
        return out

    def loops(self, node: Node, index: tuple[Index, ...], b: LoopBuilder) -> Element:
        x, w = node.src
        n, g, o, *place = index
        cell = b.accumulator(b.constant(0.0, node.type.dtype))
        with ExitStack() as stack:
            c = stack.enter_context(b.loop(x.type.shape[2]))
            taps = [stack.enter_context(b.loop(k)) for k in w.type.shape[3:]]
            window = tuple(
                s * t + d * k for s, t, d, k in zip(self.strides, place, self.dilations, taps, strict=True)
            )
            how = product_of(x.type.dtype)
            b.accumulate(cell, how, b.value(x, (n, g, c, *window)), b.value(w, (g, o, c, *taps)))
        return b.read(cell)
