"""Which loop becomes the vector, which ones a tile of registers: chosen by what the indices say.

A nest is a chain of output loops around a body; the body holds reductions (chains of loops that accumulate)
and the statements before and after them.  A plan for it names

* `vector`: the loop whose iterations are the lanes.  Loads do not move with it (a broadcast), or move by one
  element (a vector); other loads are gathered, or their buffer is packed first so that they move by one;
* `lanes`: how many iterations at once, a multiple of the machine's vector;
* `tile`: loops that are unrolled around the vector, so that tile × lanes accumulators live in registers and
  each load serves several of them.

Every combination is costed in cycles by a small model of one core (`graphc_llvm.costs`), at 64 and at 1 for
each named dimension, and the best one is taken.  Nothing here knows the name of an operation: a matrix product,
its gradients, and a convolution in any direction differ only in the strides of their loads.

>>> from graphc.ir.dims import Dim
>>> from graphc.ir.types import DType
>>> from graphc.kernel.ir import Accumulate, Alloc, Buffer, For, Literal, Load, Space, Store, Temp
>>> i, j, k = Dim.of("i"), Dim.of("j"), Dim.of("k")
>>> a, b, c = (Buffer(n, DType.F32, (512, 512)) for n in "abc")
>>> acc, x, y = Buffer("acc", DType.F32, (), Space.REGISTER), Temp("x", DType.F32), Temp("y", DType.F32)
>>> inner = For("k", 0, 512, (Load(x, a, (i, k)), Load(y, b, (k, j)), Accumulate(acc, (), "fma", (x, y))))
>>> body = (Alloc(acc), Store(acc, (), Literal(0.0, DType.F32)), inner, Load(x, acc, ()), Store(c, (i, j), x))
>>> nest = Nest.of(For("i", 0, 512, (For("j", 0, 512, body),)))
>>> print(choose(nest, Machine("znver4", 64, 32, 32 << 10, 1 << 20, 2)))
tile 8 i × 48 j
>>> print(choose(nest, Machine("haswell", 32, 16, 32 << 10, 256 << 10, 2)))
tile 6 i × 16 j, pack b
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import cast

from graphc.ir.dims import Index, coefficient
from graphc.kernel.ir import Load
from graphc.kernel.program import Machine
from graphc_llvm.costs import Costs
from graphc_llvm.nests import Nest, Plan

HOPELESS = 3.0
"""Times the least score: the model is not that wrong."""

PAIRS = ((2, 2), (3, 3), (4, 4), (5, 5), (5, 4), (4, 5), (4, 2), (2, 4))  # tiles around a reduction in lanes


def choose(nest: Nest, machine: Machine) -> Plan:
    """The cheapest plan of a nest."""
    model = Model(nest, machine)
    return min(model.plans(), key=model.score)


def ranked(nest: Nest, machine: Machine, count: int) -> list[tuple[Plan, float]]:
    """The cheapest plans with their scores, cheapest first, but not all alike: the best one of each kind comes before
    the next best of any, where a kind is a vector with the loops around it and the buffers that are copied."""
    model = Model(nest, machine)
    kinds: dict[object, int] = {}
    found: list[tuple[int, float, Plan]] = []
    for score, plan in sorted(((model.score(p), p) for p in model.plans()), key=lambda scored: scored[0]):
        kind = (plan.vector, plan.lanes, frozenset(v for v, _ in plan.tile), plan.packed)
        kinds[kind] = kinds.get(kind, 0) + 1
        found.append((kinds[kind], score, plan))
    worst = HOPELESS * min((score for _, score, _ in found), default=0.0)
    found = sorted((f for f in found if f[1] <= worst), key=lambda f: f[:2])
    return [(plan, score) for _, score, plan in sorted(found[:count], key=lambda f: f[1])]


class Model(Costs):
    """The plans of one nest."""

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
        elif wide := self._crowded(var):
            packs.append(wide)
        for vectors in (1, 2, 3, 4, 8):
            lanes = vectors * self.unit
            whole = isinstance(extent, int) and extent <= lanes
            if whole and isinstance(extent, int) and lanes - max(extent, 1) >= self.unit:
                continue  # a smaller vector holds the whole loop
            if vectors == 3 and (whole or not self.nest.chains or var in self.inner):
                continue  # LLVM works in powers of two, so three vectors are a tile of vectors
            if vectors == 8 and (var in self.inner or not self.nest.chains):
                continue
            if vectors > 2 and self.heavy and (vectors == 3 or not self._long(var, lanes)):
                continue  # an exponential of one vector keeps many registers busy
            if vectors > 1 and not self.nest.chains and vectors * self.held > self.machine.vector_registers:
                continue  # what is held between loads and stores would go to memory and back
            for packed in packs:
                if vectors > 2 and self._gathers(var, packed):
                    continue  # lane by lane, that is a lot of code
                tiles = self._tiles(var, vectors) if vectors < 3 or not self.heavy else ((),)
                for tile in tiles:
                    yield Plan(var, lanes, tile, packed)

    def _long(self, var: str, lanes: int) -> bool:
        """Whether reductions lie in the lanes, so that what follows them can be done in parts of these."""
        extent = self.outer.get(var)
        return bool(self.nest.chains) and isinstance(extent, int) and extent >= lanes

    def _gathers(self, var: str, packed: tuple[str, ...]) -> bool:
        touches = [t for c in self.chains for t in c] + [t for t in self.around if isinstance(t.stmt, Load)]
        return any(t.moves(var) not in (0, 1) and t.stmt.buffer.name not in packed for t in touches)

    def _packable(self, var: str) -> tuple[str, ...]:
        """Buffers whose loads are far apart in `var`, and could be next to each other in a copy that is read again.

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
                again = any(t.moves(v) == 0 for v in self.outer if v != var)
                found[name] = found.get(name, True) and fit and again
        return tuple(name for name, fit in found.items() if fit and name not in otherwise)

    def _crowded(self, var: str) -> tuple[str, ...]:
        """Buffers that are read along `var`, in rows so far apart that the second cache holds few at once."""
        found: list[str] = []
        for chain, touches in zip(self.nest.chains, self.chains, strict=True):
            for t in touches:
                alone = all(t.moves(v) == 0 for v in self.outer if v != var)
                if (
                    t.moves(var) == 1
                    and alone
                    and isinstance(t.stmt, Load)
                    and self.scattered(t, chain, self.envs[0])
                ):
                    found.append(t.stmt.buffer.name)
        every = [t.stmt.buffer.name for part in (*self.chains, self.around) for t in part]
        return tuple(name for name in found if every.count(name) == 1)

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
        # Beside the tile there are an operand in vectors and one that all lanes share; of words also their halves.
        room = (self.machine.vector_registers - (1 + vectors) * (2 if self.spelled else 1)) // vectors
        if room < 2:
            return
        if self.dots and not useful:  # more sums at a time: each one waits long for itself
            yield from (((v, 2),) for v, n in self.outer.items() if v != var and _at_least(n, 2))
        for v in useful:
            for size in _sizes(self.outer[v], room):
                yield ((v, size),)
        if var in self.inner:
            for v, u in itertools.combinations(useful, 2):
                for a, b in PAIRS:
                    fits = vectors * (a * b + min(a, b)) + 1 <= self.machine.vector_registers
                    if fits and _at_least(self.outer[v], a) and _at_least(self.outer[u], b):
                        yield ((v, a), (u, b))
            yield from self._taps(useful, vectors)
            return
        for v, u in itertools.permutations(useful, 2):
            full = self.outer[u]
            if isinstance(full, int) and full <= room // 2:
                for size in _sizes(self.outer[v], room // full):
                    yield ((v, size), (u, full))

    def _taps(self, useful: list[str], vectors: int) -> Iterator[tuple[tuple[str, int], ...]]:
        """Tiles of two short loops and some iterations of a third one: what one round loads, the next ones use."""
        short = [v for v in useful if self.outer[v] in (2, 3)]
        for u, w in itertools.combinations(short, 2):
            a, b = cast(int, self.outer[u]), cast(int, self.outer[w])
            room = (self.machine.vector_registers - 1) // (a * b * vectors) - 1
            for v in (v for v in useful if v not in (u, w)):
                yield from (((v, size), (u, a), (w, b)) for size in _sizes(self.outer[v], room))


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
