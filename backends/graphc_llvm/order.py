"""The order of the loops around a tile: such that little comes from beyond the second cache.

A loop in which a reduction reads the same again costs nothing as long as all that is read inside of it stays in the
second cache; else everything is fetched anew in each of its iterations.

>>> from graphc.ir.dims import Dim
>>> from graphc.ir.types import DType
>>> from graphc.kernel.ir import Accumulate, Alloc, Buffer, For, Literal, Load, Space, Store, Temp
>>> i, j, k = Dim.of("i"), Dim.of("j"), Dim.of("k")
>>> a, b, c = Buffer("a", DType.F32, (64, 512)), Buffer("b", DType.F32, (1024, 512)), Buffer("c", DType.F32, (64, 1024))
>>> acc, x, y = Buffer("acc", DType.F32, (), Space.REGISTER), Temp("x", DType.F32), Temp("y", DType.F32)
>>> inner = For("k", 0, 512, (Load(x, a, (i, k)), Load(y, b, (j, k)), Accumulate(acc, (), "fma", (x, y))))
>>> body = (Alloc(acc), Store(acc, (), Literal(0.0, DType.F32)), inner, Load(x, acc, ()), Store(c, (i, j), x))
>>> nest = Nest.of(For("i", 0, 64, (For("j", 0, 1024, body),)))
>>> cheapest_order(nest, ["i", "j"], 1 << 20)
['j', 'i']
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

from graphc.ir.dims import Index, coefficient, evaluate, names
from graphc.kernel.ir import Load, Space
from graphc_llvm.nests import MEASURE, Nest

MOST = 4
"""Loops whose orders are all looked at."""


def cheapest_order(nest: Nest, outer: Sequence[str], cache: int) -> list[str]:
    """The outer loops in the order in which the fewest bytes are fetched; as they are, where that is as good."""
    if not 2 <= len(outer) <= MOST:
        return list(outer)
    return min(map(list, itertools.permutations(outer)), key=lambda order: _fetched(nest, order, cache))


def _fetched(nest: Nest, order: Sequence[str], cache: int) -> float:
    """The bytes that all reductions fetch from beyond the cache."""
    loads = [
        (s, {f.var: f.extent for f in (*nest.loops, *c.loops)})
        for c in nest.chains
        for s in c.body
        if isinstance(s, Load) and s.buffer.space is Space.MEMORY
    ]
    inside = [_size(s, extents, set(order)) for s, extents in loads]
    fetched = list(inside)
    for depth in range(len(order) - 1, -1, -1):
        fixed = set(order[:depth])
        stays = sum(inside) <= cache // 2
        inside = [_size(s, extents, fixed) for s, extents in loads]
        times = [_number(extents[order[depth]]) for _, extents in loads]
        fetched = [each if stays else n * f for each, n, f in zip(inside, times, fetched, strict=True)]
    return sum(fetched)


def _size(s: Load, extents: Mapping[str, Index], fixed: set[str]) -> float:
    """The bytes that a load touches while some loops stay where they are."""
    shape = (_number(d) for d in s.buffer.shape)
    return s.buffer.dtype.size * math.prod(
        min(d, _range(e, extents, fixed)) for e, d in zip(s.index, shape, strict=True)
    )


def _range(e: Index, extents: Mapping[str, Index], fixed: set[str]) -> float:
    """How far an index reaches; without limit, where data say where it goes."""
    reach = 1.0
    for var in names(e):
        if var in fixed or var not in extents:
            continue
        step = coefficient(e, var)
        if not isinstance(step, int):
            return math.inf
        reach += abs(step) * (_number(extents[var]) - 1)
    return reach


def _number(extent: Index) -> int:
    return evaluate(extent, dict.fromkeys(names(extent), MEASURE[0]))
