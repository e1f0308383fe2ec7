"""The graph as written, evaluated by NumPy: its value, and how far rounding may move it.

Each inexact operation is given an error of a few units in the last place, at random (Parker, "Monte Carlo
arithmetic", 1997).  Where results of such runs differ, by cancellation, by a division by little, at a kink or a
tie that rounding decides, so much may two correct ways to compute them differ.  Results of sums of small
multiples of 2^-10 are exact in any order, and stay as they are, so that ties and zeros are tested.  A sum that is 0
has either sign: `x + 0 = x` and the order of additions are free in that.

>>> import graphc as gc
>>> x = gc.input("x")
>>> graph = Graph("f", (x.node,), ((gc.exp(x) - gc.exp(x * 1.25)).node,))
>>> value, spread = bounds(graph, [np.array(1e-8)])
>>> bool(spread[0] > 1e-8 * abs(value[0]))
True
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np

from graphc.ir import evaluate as plain
from graphc.ir.block import BlockOp, Family, family
from graphc.ir.evaluate import bind_dims, evaluate_nodes
from graphc.ir.graph import Graph
from graphc.ir.node import Node
from graphc.ir.types import Array
from graphc.ops.contract import Contract
from graphc.ops.conv import Conv
from graphc.ops.elementwise import Cast, Elementwise
from graphc.ops.gather import Gather, ScatterAdd
from graphc.ops.leaves import Const, Extent, Input, Iota, Param
from graphc.ops.linalg import Cholesky, TriangularSolve
from graphc.ops.lu import Lu, LuDet, LuSolve
from graphc.ops.recurrence import Recurrence
from graphc.ops.reduce import Reduce
from graphc.ops.views import Concat, Expand, Pad, Reshape, Slice, Transpose
from graphc.ops.window import Window, WindowScatter

RUNS = 3
ULPS = {"float32": 4 * 2.0**-23, "float64": 8 * 2.0**-52}
"""How far one operation may be off, relative to its result, or to the sum of the sizes of its terms."""
_EXACT_ROWS = {
    "neg", "relu", "abs", "sign", "floor", "ceil", "round", "trunc", "heaviside", "maximum", "minimum", "clip",
    "where", "stop_gradient", "relu6", "hard_tanh", "hard_shrink", "threshold",
}  # fmt: skip
_ARITHMETIC = {"add", "sub", "mul", "square"}
_MOVES = (Const, Input, Param, Iota, Extent, Expand, Reshape, Slice, Transpose, Pad, Concat, Gather)
_SUMS = (Contract, Conv, ScatterAdd, Recurrence)
_FACTORS = (Cholesky, TriangularSolve, Lu, LuDet, LuSolve)


def bounds(graph: Graph, arguments: Sequence[Array], runs: int = RUNS) -> tuple[list[Array], list[Array]]:
    """The roots of a graph as it is written, and for each element how far off a right result may be."""
    dims = bind_dims(graph.inputs, arguments)
    known = dict(zip(graph.inputs, arguments, strict=True))
    values = evaluate_nodes(graph.nodes, known, dims)
    exact = [values[n] for n in graph.roots]
    spreads = [np.zeros(v.shape) for v in exact]
    for seed in range(runs):
        with noise(np.random.default_rng(seed)):
            moved = plain.evaluate_nodes(graph.nodes, known, dims)
        with np.errstate(all="ignore"):
            for spread, n, v in zip(spreads, graph.roots, exact, strict=True):
                other = moved[n]
                off = np.abs(other.astype(np.float64) - v.astype(np.float64))
                same = (other == v) | ((other != other) & (v != v))
                spread[...] = np.maximum(spread, np.where(same, 0.0, np.where(np.isnan(off), np.inf, off)))
    return exact, spreads


@contextmanager
def noise(rng: np.random.Generator) -> Iterator[None]:
    """Within, graphs and the blocks of their loops are evaluated with errors."""

    def noisy(
        nodes: Sequence[Node], known: Mapping[Node, Array], dims: Mapping[str, int]
    ) -> dict[Node, Array]:
        values = dict(known)
        computed: dict[Family, tuple[Array, ...]] = {}
        for n in nodes:
            if n in values:
                continue
            operands = [values[s] for s in n.src]
            with np.errstate(all="ignore"):
                if isinstance(n.op, BlockOp):
                    key = family(n)
                    if key not in computed:
                        computed[key] = n.op.evaluate_all(dims, *operands)
                    values[n] = np.asarray(computed[key][n.op.result])
                else:
                    values[n] = _rounded(n, dims, operands, rng)
        return values

    before = plain.evaluate_nodes
    plain.evaluate_nodes = noisy
    try:
        yield
    finally:
        plain.evaluate_nodes = before


def _rounded(n: Node, dims: Mapping[str, int], operands: list[Array], rng: np.random.Generator) -> Array:
    """The value of a node with an error that its operation may have."""
    op = n.op
    if isinstance(op, _FACTORS):
        operands = [
            _off(a, np.max(np.abs(a), initial=0.0), rng) if a.dtype.kind == "f" else a for a in operands
        ]
    value = np.asarray(op.evaluate(dims, *operands))
    if value.dtype.kind != "f" or isinstance(op, _MOVES):
        return value
    if isinstance(op, _FACTORS):
        return _or_nothing(value, np.max(np.abs(value), initial=0.0) * ULPS[value.dtype.name], rng)
    if isinstance(op, Elementwise):
        if op.row_name in _EXACT_ROWS:
            return value
        if op.row_name in _ARITHMETIC:
            exact = _is_plain(value)
            if op.row_name in ("add", "sub"):
                value = _either_zero(value, rng)
                exact = exact & np.all([_is_plain(a) for a in operands], axis=0)  # 1 - 1e-254 is 1, and rounded
            return np.where(exact, value, _off(value, np.abs(value), rng))
        return _off(value, np.abs(value), rng)
    if isinstance(op, Cast):
        return (
            value if operands[0].dtype.itemsize <= value.dtype.itemsize else _off(value, np.abs(value), rng)
        )
    summing = isinstance(op, _SUMS) or (isinstance(op, Reduce | Window) and op.kind == "sum")
    if summing:
        sizes = [np.abs(a) if a.dtype.kind == "f" else a for a in operands]
        terms = np.asarray(op.evaluate(dims, *sizes))
        value = _either_zero(value, rng)
        return np.where(_is_plain(terms) & _is_plain(value), value, _off(value, terms * 2, rng))
    if isinstance(op, WindowScatter):  # its first operand says where to, so it keeps its signs
        size = np.abs(value) + np.max(np.abs(operands[1]), initial=0.0)
        return np.where(_is_plain(value), value, _off(value, size, rng))
    if isinstance(op, Reduce) and op.kind == "prod":
        return _off(value, np.abs(value) * 2, rng)
    return value


def _either_zero(value: Array, rng: np.random.Generator) -> Array:
    """The same, with zeros of either sign."""
    return np.where((value == 0) & (rng.random(value.shape) < 0.5), -value, value)


def _is_plain(value: Array) -> Array:
    """Where a number is a small multiple of 2^-10."""
    scaled = value * 1024
    return np.asarray((scaled == np.floor(scaled)) & (np.abs(value) < 1024))


def _off(value: Array, size: Array, rng: np.random.Generator) -> Array:
    most = size * ULPS[value.dtype.name]
    moved = value + np.asarray(rng.uniform(-1.0, 1.0, value.shape) * most, value.dtype)
    return _or_nothing(np.where(np.isfinite(value), moved, value).astype(value.dtype, copy=False), most, rng)


def _or_nothing(value: Array, error: Array, rng: np.random.Generator) -> Array:
    """The same, but what is no larger than its error may cancel altogether: another order of the terms gives 0."""
    gone = (value != 0) & (np.abs(value) <= error) & (rng.random(value.shape) < 0.5)
    return np.where(gone, np.zeros_like(value), value)
