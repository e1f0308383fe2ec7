"""What a plan speaks of: nests of loops, tiles, and the sizes of their blocks.

>>> tile_sizes(100, 16), masked_lanes(100, 64, 16), masked_lanes(100, 32, 16)
((16, 4), 64, 4)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from graphc.ir.dims import Index, coefficient, evaluate, names
from graphc.ir.types import DType
from graphc.kernel.ir import Accumulate, Alloc, For, Let, LetIndex, Load, Space, Stmt, Store, walk
from graphc.kernel.program import Machine
from graphc.ops.scalar import PRIMS

MEASURE = (64, 1)  # what named dimensions are taken to be
HEAVY = 10  # the cost of a primitive that is a polynomial of its own


@dataclass(frozen=True, slots=True)
class Chain:
    """One reduction: perfectly nested loops around statements that accumulate."""

    loops: tuple[For, ...]
    body: tuple[Stmt, ...]


@dataclass(frozen=True, slots=True)
class Nest:
    """Output loops, perfectly nested, and what is inside them."""

    loops: tuple[For, ...]
    body: tuple[Stmt, ...]
    chains: tuple[Chain, ...]

    @staticmethod
    def of(loop: For) -> Nest | None:
        """The nest of an outermost loop; None where loops lie in it in another way."""
        loops = [loop]
        while len(loops[-1].body) == 1 and isinstance(loops[-1].body[0], For):
            loops.append(loops[-1].body[0])
        body = loops[-1].body
        chains = []
        for s in body:
            if isinstance(s, For):
                chain = [s]
                while len(chain[-1].body) == 1 and isinstance(chain[-1].body[0], For):
                    chain.append(chain[-1].body[0])
                if any(isinstance(t, For | Alloc) for t in chain[-1].body):
                    return None
                chains.append(Chain(tuple(chain), chain[-1].body))
        return Nest(tuple(loops), body, tuple(chains))


@dataclass(frozen=True, slots=True)
class Plan:
    """See the module's list; `packed` names the buffers that are copied into panels first."""

    vector: str
    lanes: int
    tile: tuple[tuple[str, int], ...] = ()
    packed: tuple[str, ...] = ()

    def __str__(self) -> str:
        tile = " × ".join([*(f"{size} {var}" for var, size in self.tile), f"{self.lanes} {self.vector}"])
        return f"tile {tile}" + "".join(f", pack {b}" for b in self.packed)


@dataclass(frozen=True, slots=True)
class Touch:
    """A load or store of memory: its stride in elements for each loop that it moves with."""

    stmt: Load | Store | Accumulate
    strides: Mapping[str, int]

    def moves(self, var: str) -> int:
        return self.strides.get(var, 0)


def tile_sizes(extent: Index, size: int) -> tuple[int, ...]:
    """The blocks in which a tiled loop is walked, largest first: what one leaves over the next one takes."""
    if size == 1:
        return (1,)
    if isinstance(extent, int):
        return (size, extent % size) if extent % size else (size,)
    if size < 4:
        return (size, 1)
    # Each divides the one before it, and whatever is left over takes few blocks: each of them reads all of a panel.
    divisors = [d for d in range(2, size) if size % d == 0]
    chains = [(size, 1), *((size, d, 1) for d in divisors)]
    chains += [(size, d, e, 1) for d in divisors for e in divisors if e < d and d % e == 0]
    return min(chains, key=lambda c: (sum(_blocks(left, c) for left in range(size)), len(c), [-b for b in c]))


def _blocks(left: int, sizes: tuple[int, ...]) -> int:
    """How many blocks of these sizes cover a length."""
    count = 0
    for size in sizes:
        count, left = count + left // size, left % size
    return count


def masked_lanes(extent: Index, lanes: int, unit: int) -> int:
    """The lanes of the vector that takes what whole vectors leave over: a power of two."""
    left = extent % lanes if isinstance(extent, int) else lanes
    if left <= unit // 2:
        return max(2, 1 << (left - 1).bit_length())
    return unit << (max(0, math.ceil(left / unit) - 1)).bit_length()


def unit_lanes(nest: tuple[Stmt, ...], machine: Machine) -> int:
    """Elements of one machine vector, for the widest float of a nest (the widest integer, without floats).

    A scalar from outside, such as a learning rate, is one element for all lanes and does not count.
    """
    found = {s.temp.dtype for s in walk(nest) if isinstance(s, Let | LetIndex)}
    found |= {
        s.buffer.dtype
        for s in walk(nest)
        if isinstance(s, Store | Accumulate) or (isinstance(s, Load) and s.index)
    }
    if DType.F64 in found or (DType.I64 in found and DType.F32 not in found):
        return machine.lanes(DType.F64)
    return machine.lanes(DType.F32)


def heavy(body: tuple[Stmt, ...]) -> bool:
    """Whether a body computes something like an exponential, which keeps many registers busy."""
    return any(isinstance(s, Let) and PRIMS[s.prim].cost >= HEAVY for s in walk(body))


def panel_bytes(nest: Nest, plan: Plan) -> int:
    """The bytes that reductions read along the vector: what the panels of a plan hold together."""
    loads = (
        (s, c) for c in nest.chains for s in c.body if isinstance(s, Load) and s.buffer.space is Space.MEMORY
    )
    return sum(walked_bytes(nest, c, s) for s, c in loads if any(plan.vector in names(e) for e in s.index))


def walked_bytes(nest: Nest, chain: Chain, s: Load | Store | Accumulate) -> int:
    """The bytes that an access of a reduction touches in all iterations of all loops."""
    walked = {n for e in s.index for n in names(e)}
    found = s.buffer.dtype.size
    for f in (*nest.loops, *chain.loops):
        if f.var in walked:
            found *= evaluate(f.extent, dict.fromkeys(names(f.extent), MEASURE[0]))
    return found


def step(s: Load | Store, var: str) -> Index | None:
    """Elements between the accesses of neighbouring iterations, None if that is not the same everywhere."""
    total: Index = 0
    for e, stride in zip(s.index, s.buffer.strides(), strict=True):
        c = coefficient(e, var)
        if c is None:
            return None
        total = total + c * stride
    return total
