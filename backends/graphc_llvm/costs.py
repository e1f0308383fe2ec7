"""What a plan costs: cycles on one core, by a small model of its arithmetic, its loads and its caches.

A round of a reduction takes as long as its arithmetic (one vector fma a cycle, FMA_LATENCY cycles until the next one
on the same register), its loads (one vector or two broadcasts a cycle), or the caches that deliver its bytes,
whichever is longest; and a little of the others, since nothing overlaps perfectly.

| bytes of all rounds    | come from  | unless more rows are at one place of it than it holds |
|------------------------|------------|-------------------------------------------------------|
| up to the first cache  | the first  | then line by line, and not by element                 |
| up to the second cache | the second | then from the third, slowly                           |
| more                   | the third  |                                                       |
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

from graphc.ir.dims import Index, coefficient, evaluate, names
from graphc.ir.types import DType
from graphc.kernel.dependence import varying
from graphc.kernel.ir import Accumulate, For, Let, LetIndex, Load, Space, Stmt, Store, Temp
from graphc.kernel.program import Machine
from graphc_llvm.nests import (
    MEASURE,
    Chain,
    Nest,
    Plan,
    Touch,
    heavy,
    masked_lanes,
    panel_bytes,
    tile_sizes,
    unit_lanes,
    walked_bytes,
)

FMA_LATENCY = 4
DOT_LATENCY = 6  # of the products of pairs
DOT_COST = 3  # of these without an instruction for them: two fma, and the halves of words as numbers
L2_BYTES = 24  # a cycle, from the second cache, while the units are busy
L3_BYTES = 16  # a cycle, from the third
FAR_BYTES = 8  # from there, in pieces of many pages
LINE = 64  # bytes of a cache line
WAYS = 8  # lines at one place of a cache: as many can be that far apart and stay
WAIT = 0.05  # of the time that a cache needs for its bytes, even where arithmetic takes longer
START = 2.0  # cycles, for each row of a tile that begins somewhere else in memory
RAGGED = 4  # times a load, in rows that are no whole vectors: masked, and across cache lines
GATHER = 1.2  # cycles a lane
MISS = 3.0  # cycles a lane, where each lane is in a cache line of its own
SCATTER = 1.8  # times what loading takes, where lanes are stored apart
CODE = 0.002  # of a score, for each vector instruction of a tile,
BRIEF = 1e6  # in kernels of so many cycles; less in longer ones
APART = 1e-4  # of a score, for an access whose elements are as far apart as can be
FORK = 10_000  # of all threads together, for one more loop that they share: a microsecond or more
MASKS = 8  # registers for truth values, where vectors have 64 bytes
ALL = 16  # accesses of a buffer in one iteration, which use its lines well: the tiles of an image
NEAR = 8  # elements between lanes, such that several are in one cache line
PACKING = 2.2  # cycles an element, where it moves to other neighbours
TURNING = 0.6  # where rows become columns
COPYING = 0.5  # where neighbours stay together
PASSING = 1.5  # more, where one thread packs what another one reads
STREAMS = 8  # rows of memory that the first cache and its prefetcher follow at once
IRREGULAR = 1 << 20  # the stride of an access that is not affine, or whose stride is a named dimension


class Costs:
    """Costs plans of one nest."""

    def __init__(self, nest: Nest, machine: Machine) -> None:
        self.nest, self.machine = nest, machine
        self.temps: dict[str, frozenset[str]] = {}
        self.unit = unit_lanes((nest.loops[0],), machine)
        self.outer = {f.var: f.extent for f in nest.loops}
        self.inner = {f.var: f.extent for c in nest.chains for f in c.loops}
        self.chains = [[self._touch(s, c.loops) for s in c.body if self._in_memory(s)] for c in nest.chains]
        self.dots = any(isinstance(s, Accumulate) and s.op == "dot" for c in nest.chains for s in c.body)
        self.spelled = self.dots and not machine.bf16  # without an instruction for pairs
        self.latency = DOT_LATENCY if self.dots else FMA_LATENCY
        each = DOT_COST if self.spelled else 1
        self.sums = [sum(each for s in c.body if isinstance(s, Accumulate)) for c in nest.chains]
        self.lets = [sum(isinstance(s, Let) for s in c.body) for c in nest.chains]
        self.around = [self._touch(s, ()) for s in nest.body if self._in_memory(s)]
        self.around_lets = sum(isinstance(s, Let) for s in nest.body)
        self.heavy = heavy(nest.body)
        self.held = self._held()
        dims = {n for e in (*self.outer.values(), *self.inner.values()) for n in names(e)}
        self.envs = [dict.fromkeys(dims, m) for m in MEASURE] if dims else [{}]
        self.slides = {v for v in self.outer if any(self._slides(v, f) for c in nest.chains for f in c.loops)}
        self.ideals = [self._ideal(env) for env in self.envs]
        self.walked = [
            [walked_bytes(nest, c, t.stmt) for t in ts]
            for c, ts in zip(nest.chains, self.chains, strict=True)
        ]
        self.panels: dict[str, int] = {}  # by the vector loop

    def _held(self) -> int:
        """The most registers that the statements outside of reductions hold at once, for one vector of each value."""
        held: dict[str, int] = {}
        most = 0
        for s in reversed(self.nest.body):
            if isinstance(s, Load | Let | LetIndex):
                held.pop(s.temp.name, None)
            used = s.args if isinstance(s, Let | Accumulate) else (s.value,) if isinstance(s, Store) else ()
            for t in used:
                if isinstance(t, Temp):
                    held[t.name] = self._registers(t.dtype)
            most = max(most, sum(held.values()))
        return most

    def _registers(self, dtype: DType) -> int:
        if dtype is DType.BOOL:  # truth values are masks, where these have registers of their own
            return self.machine.vector_registers // MASKS if self.machine.vector_bytes == 64 else 1
        return max(1, dtype.size * self.unit // self.machine.vector_bytes)

    def _slides(self, var: str, inner: For) -> bool:
        """Whether some load comes, in a later turn of a reduction, to where another iteration of a loop has been."""
        extent = evaluate(inner.extent, self.envs[0])
        steps = [(abs(t.moves(var)), abs(t.moves(inner.var))) for touches in self.chains for t in touches]
        return any(by and far and far % by == 0 and far // by < extent for far, by in steps)

    def _in_memory(self, s: Stmt) -> bool:
        return isinstance(s, Load | Store | Accumulate) and s.buffer.space is Space.MEMORY

    def _unknown(self, var: str) -> frozenset[str]:
        """The temporaries that differ between iterations of a loop."""
        if var not in self.temps:
            self.temps[var] = varying(self.nest.loops[0].body, var)
        return self.temps[var]

    def _touch(self, s: Stmt, inside: tuple[For, ...]) -> Touch:
        assert isinstance(s, Load | Store | Accumulate)
        strides: dict[str, int] = {}
        for f in (*self.nest.loops, *inside):
            unknown = self._unknown(f.var)
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

    def score(self, plan: Plan) -> float:
        """Cycles over the least possible ones, summed over the measures of the named dimensions.

        Code has its price too: the instructions of all tiles, large and small, are written out.
        """
        written = 1
        for var, size in plan.tile:
            written *= sum(tile_sizes(self.outer[var], size))
        if plan.vector in self.outer and self.outer[plan.vector] % plan.lanes != 0:
            written *= 2
        cost = sum(self.cycles(plan, env) / ideal for env, ideal in zip(self.envs, self.ideals, strict=True))
        code = CODE * written * plan.lanes / self.unit * min(1.0, BRIEF / self.ideals[0])
        return cost + code + self._forks(plan) * FORK / self.ideals[0] + APART * self._apart(plan)

    def _apart(self, plan: Plan) -> float:
        """How far apart the elements of a tile lie, at most 1 an access: of equal tiles that of neighbours is best."""
        every = [t for part in (*self.chains, self.around) for t in part]
        return sum(min(abs(t.moves(v)), IRREGULAR) / IRREGULAR for t in every for v, _ in plan.tile)

    def _forks(self, plan: Plan) -> int:
        """The loops of their own that threads share as well: copies, rows and columns that are left over."""
        if self.machine.threads < 2 or self.ideals[0] < FORK:
            return 0
        blocks = [
            (self.outer[v], size) for v, size in (*plan.tile, (plan.vector, plan.lanes)) if v in self.outer
        ]
        left = sum(isinstance(n, int) and n > size and n % size != 0 for n, size in blocks)
        return left + len(plan.packed)

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
        for chain, touches, walked, sums, lets in zip(
            self.nest.chains, self.chains, self.walked, self.sums, self.lets, strict=True
        ):
            rounds = 1
            for f in chain.loops:
                n = evaluate(f.extent, env)
                rounds *= -(-n // lanes) if f.var == plan.vector else n
            loads = sum(self._access(plan, t, sizes, lanes) for t in touches)
            arithmetic = cells * vectors * (max(1, sums) + lets)
            traffic = self._traffic(plan, chain, touches, walked, sizes, lanes, env)
            busy = max(arithmetic, loads, self.latency, traffic) + WAIT * traffic
            total += rounds * (busy + 0.15 * loads + 0.5) + 4 * len(chain.loops)
        if plan.vector in self.inner:
            # Partial sums start at zero and are added across the lanes; what follows is scalar.
            total += cells * (vectors + 10.0)
            return total + cells * (len(self.around) + self.around_lets)
        total += sum(self._access(plan, t, sizes, lanes) + self._starts(plan, t, sizes) for t in self.around)
        return total + cells * vectors * self.around_lets

    def _starts(self, plan: Plan, t: Touch, sizes: Mapping[str, int]) -> float:
        """Cycles until the rows of a tile flow that are read from far, and not by the reduction."""
        if not isinstance(t.stmt, Load) or t.moves(plan.vector) != 1:
            return 0.0
        rows = math.prod(n for v, n in sizes.items() if t.moves(v))
        far = walked_bytes(self.nest, Chain((), ()), t.stmt) > self.machine.l2_bytes
        return START * rows if far and rows > 1 else 0.0

    def _traffic(
        self,
        plan: Plan,
        chain: Chain,
        touches: Sequence[Touch],
        all_walked: Sequence[int],
        sizes: Mapping[str, int],
        lanes: int,
        env: Mapping[str, int],
    ) -> float:
        """Cycles in which the caches deliver the bytes of one round of a reduction."""
        moved: list[tuple[int, bool]] = []
        footprint, crowded = 0, False
        way = self.machine.l1_bytes // WAYS
        far_bytes = self.machine.l2_bytes // 2
        if plan.vector not in self.panels:
            self.panels[plan.vector] = panel_bytes(self.nest, plan)
        again = self.panels[plan.vector] > far_bytes  # each panel walks all rows anew
        for t, cached, walked in zip(
            touches, self._left(chain, touches, sizes, env), all_walked, strict=True
        ):
            size = t.stmt.buffer.dtype.size
            copies = math.prod(n for var, n in sizes.items() if t.moves(var) and var not in cached)
            each = copies * (lanes if t.moves(plan.vector) else 1) * size
            rounds = 1
            for f in chain.loops:
                if t.moves(f.var):
                    n = evaluate(f.extent, env)
                    rounds *= -(-n // lanes) if f.var == plan.vector else n
            footprint += each * rounds
            if list(self.outer) == [plan.vector] and t.moves(plan.vector) == 1:
                # Every block is read once, and comes from far.  Unless rows begin with lines, those at its ends are
                # read for two blocks.
                each += LINE // 2 if evaluate(self.outer[plan.vector], env) > lanes else 0
                footprint = max(footprint, walked_bytes(self.nest, chain, t.stmt))
            apart = max((t.moves(var) * size for var in sizes if t.moves(var) < IRREGULAR), default=0)
            packed = t.stmt.buffer.name in plan.packed
            late = again and not t.moves(plan.vector) and copies > STREAMS and isinstance(t.stmt, Load)
            if late and walked > far_bytes:
                each += (copies - STREAMS) * LINE  # these rows arrive late, line by line
            if not packed and apart >= LINE and copies * math.gcd(apart, way) > WAYS * way:
                # These rows push each other out of the first cache: each element comes with its line.
                each, crowded = copies * LINE, True
            moved.append((each, not packed and self.scattered(t, chain, env)))
        if footprint <= self.machine.l1_bytes and not crowded:
            return 0.0
        near = footprint <= self.machine.l2_bytes
        return sum(each / (FAR_BYTES if far else L2_BYTES if near else L3_BYTES) for each, far in moved)

    def _left(
        self, chain: Chain, touches: Sequence[Touch], sizes: Mapping[str, int], env: Mapping[str, int]
    ) -> list[set[str]]:
        """For each load the tiled loops along which it reads what earlier rounds have left in the first cache:
        the taps of a convolution, where the next place reads all but one of them again."""
        found: list[set[str]] = [set() for _ in touches]
        if not self.slides.intersection(sizes):
            return found
        inside = [1] * len(touches)  # elements that one turn of a loop reads
        for f in reversed(chain.loops):
            extent = evaluate(f.extent, env)
            turn = 0
            for t, cached, elements in zip(touches, found, inside, strict=True):
                copies = math.prod(size for v, size in sizes.items() if t.moves(v) and v not in cached)
                turn += elements * copies * t.stmt.buffer.dtype.size
            close = min(extent - 1, self.machine.l1_bytes / 2 / max(1, turn))
            for k, t in enumerate(touches):
                step = abs(t.moves(f.var))
                if step:
                    turns = {v: abs(t.moves(v)) / step for v in sizes if t.moves(v)}
                    found[k] |= {v for v, n in turns.items() if n == int(n) and n <= close}
                    inside[k] *= extent
        return found

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
            if copies > STREAMS and not any(t.moves(v) and n == self.outer[v] for v, n in sizes.items()):
                return copies * self._width(lanes) * 2
        if stride == 1 or t.stmt.buffer.name in plan.packed:
            return copies * self._width(lanes)
        extent = self.outer.get(plan.vector, lanes)
        real = extent if isinstance(extent, int) and extent < lanes else lanes
        near = abs(stride) <= NEAR or any(t.moves(v) == 1 for v, _ in plan.tile)
        if list(self.outer) == [plan.vector] and self.nest.chains:
            held = t.stmt.buffer.dtype.size * t.stmt.buffer.elements
            near = near or (
                isinstance(held, int) and 2 * held <= self.machine.l1_bytes
            )  # the next round finds it
        if self.nest.chains:
            return copies * real * (GATHER if near else MISS)
        apart, way = abs(stride) * t.stmt.buffer.dtype.size, self.machine.l1_bytes // WAYS
        crowded = abs(stride) < IRREGULAR and real * math.gcd(apart, way) >= WAYS * way
        beside = sum(u.stmt.buffer.name == t.stmt.buffer.name for u in self.around)  # accesses in these lines
        each = GATHER if (near or beside >= ALL) and not crowded else MISS
        return copies * real * each * (SCATTER if isinstance(t.stmt, Store) else 1.0)

    def _packing(self, plan: Plan, buffer: str, env: Mapping[str, int]) -> float:
        for chain, touches in zip(self.nest.chains, self.chains, strict=True):
            for t in touches:
                if t.stmt.buffer.name == buffer:
                    dims = {n for d in t.stmt.buffer.shape for n in names(d)}
                    wide = {**dict.fromkeys(dims, next(iter(env.values()), MEASURE[0])), **env}
                    each = TURNING if any(t.moves(f.var) == 1 for f in chain.loops) else PACKING
                    each = COPYING if t.moves(plan.vector) == 1 else each
                    threads, extent = self.machine.threads, self.outer[plan.vector]
                    if threads > 1 and isinstance(extent, int) and extent // plan.lanes < threads:
                        each = threads * each + PASSING  # there is no panel for each thread
                    return each * evaluate(t.stmt.buffer.elements, wide)
        return 0.0

    def scattered(self, t: Touch, chain: Chain, env: Mapping[str, int]) -> bool:
        """Whether the rows that a reduction reads are more than the second cache can hold at their places."""
        way = self.machine.l2_bytes // WAYS
        for f in chain.loops:
            step = abs(t.moves(f.var)) * t.stmt.buffer.dtype.size
            if LINE <= step < IRREGULAR and evaluate(f.extent, env) * math.gcd(step, way) > WAYS * way:
                return True
        return False
