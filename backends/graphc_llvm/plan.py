"""Which loop becomes the vector, which ones a tile of registers: chosen by what the indices say.

A nest is a chain of output loops around a body; the body holds reductions (chains of loops that accumulate)
and the statements before and after them.  A plan for it names

* `vector`: the loop whose iterations are the lanes.  Loads do not move with it (a broadcast), or move by one
  element (a vector); other loads are gathered, or their buffer is packed first so that they move by one;
* `lanes`: how many iterations at once, a multiple of the machine's vector;
* `tile`: loops that are unrolled around the vector, so that tile × lanes accumulators live in registers and
  each load serves several of them.

Every combination is costed in cycles by a small model of one core (one vector fma, one vector load or two
broadcasts per cycle, four cycles from an fma to the next one on the same register), at 64 and at 1 for each
named dimension, and the best one is taken.  Nothing here knows the name of an operation: a matrix product,
its gradients, and a convolution in any direction differ only in the strides of their loads.

>>> from graphc.ir.dims import Dim
>>> from graphc.kernel.ir import Buffer, Literal, Temp
>>> i, j, k = Dim.of("i"), Dim.of("j"), Dim.of("k")
>>> a, b, c = (Buffer(n, DType.F32, (512, 512)) for n in "abc")
>>> acc, x, y = Buffer("acc", DType.F32, (), Space.REGISTER), Temp("x", DType.F32), Temp("y", DType.F32)
>>> inner = For("k", 0, 512, (Load(x, a, (i, k)), Load(y, b, (k, j)), Accumulate(acc, (), "fma", (x, y))))
>>> body = (Alloc(acc), Store(acc, (), Literal(0.0, DType.F32)), inner, Load(x, acc, ()), Store(c, (i, j), x))
>>> nest = Nest.of(For("i", 0, 512, (For("j", 0, 512, body),)))
>>> print(choose(nest, Machine("znver4", 64, 32, 32 << 10, 1 << 20, 2)))
tile 4 i × 64 j
>>> print(choose(nest, Machine("haswell", 32, 16, 32 << 10, 256 << 10, 2)))
tile 6 i × 16 j
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from graphc.ir.dims import Index, coefficient, evaluate, names
from graphc.ir.types import DType
from graphc.kernel.dependence import varying
from graphc.kernel.ir import Accumulate, Alloc, For, Let, LetIndex, Load, Space, Stmt, Store, walk
from graphc.kernel.program import Machine
from graphc.ops.scalar import PRIMS

FMA_LATENCY = 4
L2_BYTES = 32  # a cycle, from the second cache
L3_BYTES = 16  # a cycle, from the third
RAGGED = 4  # times a load, in rows that are no whole vectors: masked, and across cache lines
GATHER = 1.2  # cycles a lane
MISS = 3.0  # cycles a lane, where each lane is in a cache line of its own
CODE = 0.002  # of a score, for each vector instruction of a tile
HEAVY = 10  # the cost of a primitive that is a polynomial of its own
NEAR = 8  # elements between lanes, such that several are in one cache line
PACKING = 2.2  # cycles an element
STREAMS = 8  # rows of memory that the first cache and its prefetcher follow at once
MEASURE = (64, 1)  # what named dimensions are taken to be
PAIRS = ((2, 2), (3, 3), (4, 4), (5, 5), (5, 4), (4, 5), (4, 2), (2, 4))  # tiles around a reduction in lanes
IRREGULAR = 1 << 20  # the stride of an access that is not affine, or whose stride is a named dimension


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
    # Half-way there is a divisor, such that the fewest blocks are needed at worst.
    divisors = [d for d in range(2, size) if size % d == 0] or [1]
    middle = min(divisors, key=lambda d: ((size - 1) // d + d, -d))
    return (size, middle, 1) if middle > 1 else (size, 1)


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


def choose(nest: Nest, machine: Machine) -> Plan:
    """The cheapest plan of a nest."""
    model = Model(nest, machine)
    return min(model.plans(), key=model.score)


class Model:
    """Costs plans of one nest."""

    def __init__(self, nest: Nest, machine: Machine) -> None:
        self.nest, self.machine = nest, machine
        self.unit = unit_lanes((nest.loops[0],), machine)
        self.outer = {f.var: f.extent for f in nest.loops}
        self.inner = {f.var: f.extent for c in nest.chains for f in c.loops}
        self.chains = [[self._touch(s, c.loops) for s in c.body if self._in_memory(s)] for c in nest.chains]
        self.sums = [sum(isinstance(s, Accumulate) for s in c.body) for c in nest.chains]
        self.lets = [sum(isinstance(s, Let) for s in c.body) for c in nest.chains]
        self.around = [self._touch(s, ()) for s in nest.body if self._in_memory(s)]
        self.around_lets = sum(isinstance(s, Let) for s in nest.body)
        self.heavy = any(isinstance(s, Let) and PRIMS[s.prim].cost >= HEAVY for s in walk(nest.body))
        dims = {n for e in (*self.outer.values(), *self.inner.values()) for n in names(e)}
        self.envs = [dict.fromkeys(dims, m) for m in MEASURE] if dims else [{}]

    def _in_memory(self, s: Stmt) -> bool:
        return isinstance(s, Load | Store | Accumulate) and s.buffer.space is Space.MEMORY

    def _touch(self, s: Stmt, inside: tuple[For, ...]) -> Touch:
        assert isinstance(s, Load | Store | Accumulate)
        strides: dict[str, int] = {}
        for f in (*self.nest.loops, *inside):
            unknown = varying(self.nest.loops[0].body, f.var)
            total: Index = 0
            for e, stride in zip(s.index, s.buffer.strides(), strict=True):
                c = coefficient(e, f.var)
                if c is None or unknown.intersection(names(e)):
                    total = IRREGULAR
                    break
                total = total + c * stride
            if total != 0:
                strides[f.var] = total if isinstance(total, int) else IRREGULAR
        return Touch(s, strides)

    # Which plans there are.

    def plans(self) -> Iterator[Plan]:
        """All plans worth costing."""
        for var, extent in self.outer.items():
            yield from self._plans(var, extent)
        if len(self.nest.chains) == 1:
            last = self.nest.chains[0].loops[-1]
            if all(t.moves(last.var) in (0, 1) for t in self.chains[0]) and self.sums[0]:
                yield from self._plans(last.var, last.extent)

    def _plans(self, var: str, extent: Index) -> Iterator[Plan]:
        packs: list[tuple[str, ...]] = [()]
        if packable := self._packable(var):
            packs.append(packable)
        for vectors in (1, 2, 3, 4, 8):
            lanes = vectors * self.unit
            whole = isinstance(extent, int) and extent <= lanes
            if whole and isinstance(extent, int) and lanes - max(extent, 1) >= self.unit:
                continue  # a smaller vector holds the whole loop
            if vectors == 3 and (whole or not self.nest.chains or var in self.inner):
                continue  # LLVM works in powers of two, so three vectors are a tile of vectors
            if vectors == 8 and (var in self.inner or not self.nest.chains):
                continue
            if vectors > 2 and self.heavy:
                continue  # an exponential of one vector keeps many registers busy
            for packed in packs:
                if vectors > 2 and self._gathers(var, packed):
                    continue  # lane by lane, that is a lot of code
                for tile in self._tiles(var, vectors):
                    yield Plan(var, lanes, tile, packed)

    def _gathers(self, var: str, packed: tuple[str, ...]) -> bool:
        touches = [t for c in self.chains for t in c] + [t for t in self.around if isinstance(t.stmt, Load)]
        return any(t.moves(var) not in (0, 1) and t.stmt.buffer.name not in packed for t in touches)

    def _packable(self, var: str) -> tuple[str, ...]:
        """Buffers whose loads are far apart in `var`, and could be next to each other in a copy.

        All loads read the copy: in x·xᵀ the other factor would too, which is not at the lanes of one panel.
        """
        found: dict[str, bool] = {}
        otherwise = {
            t.stmt.buffer.name for part in (*self.chains, self.around) for t in part if t.moves(var) in (0, 1)
        }
        for touches in self.chains:
            for t in touches:
                if t.moves(var) in (0, 1):
                    continue
                slopes = [coefficient(e, var) for e in t.stmt.index]
                fit = isinstance(t.stmt, Load) and sorted(map(str, slopes)) == ["0"] * (len(slopes) - 1) + [
                    "1"
                ]
                name = t.stmt.buffer.name
                found[name] = found.get(name, True) and fit
        return tuple(name for name, fit in found.items() if fit and name not in otherwise)

    def _tiles(self, var: str, vectors: int) -> Iterator[tuple[tuple[str, int], ...]]:
        yield ()
        if not self.nest.chains:
            # Walked inside the blocks of the vector, such a loop uses all of each cache line that is gathered.
            for t in self.around:
                if t.moves(var) not in (0, 1):
                    yield from (((v, 1),) for v in self.outer if v != var and t.moves(v) == 1)
            return
        useful = [
            v
            for v in self.outer
            if v != var and any(t.moves(v) == 0 for c in self.chains for t in c if t.moves(var))
        ]
        room = (self.machine.vector_registers - 1 - vectors) // vectors
        if room < 2:
            return
        for v in useful:
            for size in _sizes(self.outer[v], room):
                yield ((v, size),)
        if var in self.inner:
            for v, u in itertools.combinations(useful, 2):
                for a, b in PAIRS:
                    fits = vectors * (a * b + min(a, b)) + 1 <= self.machine.vector_registers
                    if fits and _at_least(self.outer[v], a) and _at_least(self.outer[u], b):
                        yield ((v, a), (u, b))
            return
        for v, u in itertools.permutations(useful, 2):
            full = self.outer[u]
            if isinstance(full, int) and full <= room // 2:
                for size in _sizes(self.outer[v], room // full):
                    yield ((v, size), (u, full))

    # What they cost.

    def score(self, plan: Plan) -> float:
        """Cycles over the least possible ones, summed over the measures of the named dimensions.

        Code has its price too: the instructions of all tiles, large and small, are written out.
        """
        written = 1
        for var, size in plan.tile:
            written *= sum(tile_sizes(self.outer[var], size))
        if plan.vector in self.outer and self.outer[plan.vector] % plan.lanes != 0:
            written *= 2
        cost = sum(self.cycles(plan, env) / self._ideal(env) for env in self.envs)
        return cost + CODE * written * plan.lanes / self.unit

    def _ideal(self, env: Mapping[str, int]) -> float:
        outputs = math.prod(evaluate(e, env) for e in self.outer.values())
        work = 1.0
        for chain, sums in zip(self.nest.chains, self.sums, strict=True):
            work += max(1, sums) * math.prod(evaluate(f.extent, env) for f in chain.loops)
        return max(1.0, outputs * work / self.unit)

    def cycles(self, plan: Plan, env: Mapping[str, int]) -> float:
        """An estimate for one core, at given named dimensions."""
        tiled = dict(plan.tile)
        once = math.prod(
            evaluate(e, env) for v, e in self.outer.items() if v not in tiled and v != plan.vector
        )
        choices: list[list[tuple[int, str, int]]] = []
        for var, size in plan.tile:
            left = evaluate(self.outer[var], env)
            blocks = []
            for s in tile_sizes(self.outer[var], size):
                blocks.append((left // s, var, s))
                left %= s
            choices.append([b for b in blocks if b[0]])
        lanes = [(1, plan.lanes)]
        if plan.vector in self.outer:
            extent = self.outer[plan.vector]
            n = evaluate(extent, env)
            lanes = [(n // plan.lanes, plan.lanes)]
            if n % plan.lanes:
                lanes.append((1, masked_lanes(extent, plan.lanes, self.unit)))
        total = 0.0
        for combination in itertools.product(*choices):
            sizes = {var: size for _, var, size in combination}
            count = math.prod(c for c, _, _ in combination)
            for vectors_count, width in lanes:
                if count and vectors_count:
                    total += count * vectors_count * self._tile(plan, sizes, width, env)
        return once * total + sum(self._packing(plan, b, env) for b in plan.packed)

    def _tile(self, plan: Plan, sizes: Mapping[str, int], lanes: int, env: Mapping[str, int]) -> float:
        cells = math.prod(sizes.values())
        vectors = self._width(lanes)
        total = 6.0
        for chain, touches, sums, lets in zip(
            self.nest.chains, self.chains, self.sums, self.lets, strict=True
        ):
            rounds = 1
            for f in chain.loops:
                n = evaluate(f.extent, env)
                rounds *= -(-n // lanes) if f.var == plan.vector else n
            loads = sum(self._access(plan, t, sizes, lanes) for t in touches)
            arithmetic = cells * vectors * (max(1, sums) + lets)
            busy = max(arithmetic, loads, FMA_LATENCY, self._traffic(plan, chain, touches, sizes, lanes, env))
            total += rounds * (busy + 0.15 * loads + 0.5) + 4 * len(chain.loops)
        if plan.vector in self.inner:
            # Partial sums start at zero and are added across the lanes; what follows is scalar.
            total += cells * (vectors + 10.0)
            return total + cells * (len(self.around) + self.around_lets)
        total += sum(self._access(plan, t, sizes, lanes) for t in self.around)
        return total + cells * vectors * self.around_lets

    def _traffic(
        self,
        plan: Plan,
        chain: Chain,
        touches: Sequence[Touch],
        sizes: Mapping[str, int],
        lanes: int,
        env: Mapping[str, int],
    ) -> float:
        """Cycles that one round of a reduction waits for memory: its bytes, over the speed of the cache that
        all rounds together fit into."""
        each, footprint = 0, 0
        for t in touches:
            copies = math.prod(size for var, size in sizes.items() if t.moves(var))
            size = copies * (lanes if t.moves(plan.vector) else 1) * t.stmt.buffer.dtype.size
            rounds = 1
            for f in chain.loops:
                if t.moves(f.var):
                    n = evaluate(f.extent, env)
                    rounds *= -(-n // lanes) if f.var == plan.vector else n
            each += size
            footprint += size * rounds
        if footprint <= self.machine.l1_bytes:
            return 0.0
        return each / (L2_BYTES if footprint <= self.machine.l2_bytes else L3_BYTES)

    def _width(self, lanes: int) -> float:
        """Cycles that a vector instruction takes; half of a 64-byte vector is often twice as fast."""
        if 2 * lanes <= self.unit:
            return 0.5 if self.machine.vector_bytes == 64 else 1.0
        return lanes / self.unit

    def _access(self, plan: Plan, t: Touch, sizes: Mapping[str, int], lanes: int) -> float:
        copies = math.prod(size for var, size in sizes.items() if t.moves(var))
        stride = t.moves(plan.vector)
        if stride == 0:
            return copies * 0.5
        if stride == 1 and plan.vector in self.inner:
            n = self.inner[plan.vector]
            if isinstance(n, int) and n % lanes and t.stmt.buffer.name not in plan.packed:
                return copies * self._width(lanes) * RAGGED
            if copies > STREAMS:
                return copies * self._width(lanes) * 2
        if stride == 1 or t.stmt.buffer.name in plan.packed:
            return copies * self._width(lanes)
        extent = self.outer.get(plan.vector, lanes)
        real = extent if isinstance(extent, int) and extent < lanes else lanes
        near = abs(stride) <= NEAR or any(t.moves(v) == 1 for v, _ in plan.tile)
        return copies * real * (GATHER if near else MISS)

    def _packing(self, plan: Plan, buffer: str, env: Mapping[str, int]) -> float:
        for touches in self.chains:
            for t in touches:
                if t.stmt.buffer.name == buffer:
                    dims = {n for d in t.stmt.buffer.shape for n in names(d)}
                    wide = {**dict.fromkeys(dims, next(iter(env.values()), MEASURE[0])), **env}
                    return PACKING * evaluate(t.stmt.buffer.elements, wide)
        return 0.0


def _sizes(extent: Index, room: int) -> list[int]:
    """Sizes to try for a tiled loop: such that its blocks are about equal."""
    if not isinstance(extent, int):
        return [s for s in (16, 14, 12, 8, 6, 4) if s <= room][:3]
    found: list[int] = []
    for blocks in range(1, extent):
        size = -(-extent // blocks)
        if size <= room and size > 1 and size not in found:
            found.append(size)
        if len(found) == 3 or size == 1:
            break
    return found


def _at_least(extent: Index, size: int) -> bool:
    return not isinstance(extent, int) or extent >= size
