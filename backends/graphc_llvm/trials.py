"""Kernels that are run to be timed: one kernel by itself, in several schedules, over buffers of its size.

Schedules take turns in short blocks, so that all see the same machine, and of each the best block counts: whatever
else the machine does can only make it slower.  What one thread does is timed by its own clock, which stands while
others have its core.  A block of several threads during which this one did not run all the time, because others had
its core or that of a thread that it waited for, says nothing.  The calls of a block are counted in machine code.

>>> from graphc.kernel.ir import Buffer, For, Literal, Parameter, Store
>>> y = Buffer("y", DType.F32, (Dim.of("N"),))
>>> fill = For("i", 0, Dim.of("N"), (Store(y, (Dim.of("i"),), Literal(1.0, DType.F32)),))
>>> kernel = Kernel("fill", (Parameter(y, "out"),), (fill,))
>>> call = Call(kernel, (0,), 0, 4 * Dim.of("N"))
>>> program = Program("p", (ProgramBuffer("y", DType.F32, y.shape, "output"),), (call,))
>>> bench = Bench(program, call, Machine("znver4", 16, 16, 32 << 10, 1 << 20, 1), fast=False)
>>> (seconds,) = bench.times([kernel], limit=0.01)
>>> 0 < seconds < 1e-3
True
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter, thread_time

import numpy as np

from graphc.ir.dims import Dim, evaluate
from graphc.ir.types import Array, DType
from graphc.kernel.ir import Kernel
from graphc.kernel.memory import ALIGNMENT, room
from graphc.kernel.program import Call, Loop, Machine, Program, ProgramBuffer
from graphc_llvm import threads as graphc_threads
from graphc_llvm.emit import emit
from graphc_llvm.jit import Code
from graphc_llvm.nests import MEASURE

BLOCK = 300e-6
"""Seconds of a block: long against a look at the clock, short against what the machine does in between."""

ENOUGH = 12  # blocks that say something, of each schedule
ROUNDS, LEAST_ROUNDS = 36, 2
IDLE = 0.02  # of a block: as long may this thread have waited
SLOW = 1.5  # times the best one: a schedule that is so slow takes no further part
BUILDING = 0.6  # of the time is for machine code, the rest for running it
_RUN = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)


class Bench:
    """The buffers of a call, and the code of its kernel in the schedules that were timed so far."""

    def __init__(self, program: Program, call: Call, machine: Machine, *, fast: bool) -> None:
        self.machine, self.fast = machine, fast
        self.sizes = dict.fromkeys(program.dims, MEASURE[0])
        places = {a: k for k, a in enumerate(dict.fromkeys(call.arguments))}
        buffers = tuple(program.buffers[a] for a in places)
        own = replace(call, arguments=tuple(places[a] for a in call.arguments), offsets=())
        # The calls are in a loop of `turns` iterations; a last buffer has no elements, only all dimensions.
        turn, self.turns = _unused("turn", program.dims), _unused("turns", program.dims)
        every = ProgramBuffer("sizes", DType.F32, tuple(map(Dim.of, (self.turns, *program.dims))), "temp")
        self.program = Program("trial", (*buffers, every), (Loop(turn, Dim.of(self.turns), (own,)),))
        changed = [p.access == "inout" for p in call.kernel.parameters]
        self._changed = {a for a, c in zip(own.arguments, changed, strict=True) if c}
        self._arrays: list[Array] = []
        self._runs: dict[str, Run] = {}

    @property
    def bytes(self) -> int:
        """What all buffers hold."""
        return sum(room(b, self.sizes) for b in self.program.buffers[:-1])

    @property
    def addresses(self) -> list[int]:
        if not self._arrays:
            self._arrays = [filled(b, self.sizes) for b in self.program.buffers[:-1]]
        return [*(a.ctypes.data for a in self._arrays), 0]

    def times(self, kernels: Sequence[Kernel], limit: float) -> list[float]:
        """The best seconds of each schedule; infinite where the limit or other processes left no time to tell.

        The limit is in seconds of this thread: what others take away makes it no shorter.  The first one is always
        tried.
        """
        start = thread_time()
        runs: list[Run] = []
        for kernel in kernels:
            if runs and thread_time() - start > BUILDING * limit:
                break
            runs.append(self._run(kernel))
        found: list[list[float]] = [[] for _ in kernels]
        order = list(range(len(runs)))
        for turn in range(ROUNDS):
            for k in order:
                late = thread_time() - start > limit
                if late and (turn >= LEAST_ROUNDS or (turn == 0 and k > 0)):
                    continue
                for place in self._changed:
                    _fill(self._arrays[place])
                seconds, quiet = runs[k].block()
                if quiet:
                    found[k].append(seconds)
            best = [min(f, default=math.inf) for f in found]
            order = [k for k in (*order[1:], *order[:1]) if len(found[k]) < ENOUGH]
            order = [k for k in order if not found[k] or best[k] <= SLOW * min(best)]
        return best

    def _run(self, kernel: Kernel) -> Run:
        text = str(kernel)
        if text not in self._runs:
            self._runs[text] = Run(self, kernel)
        return self._runs[text]


class Run:
    """A schedule of the kernel of a bench, as machine code."""

    def __init__(self, bench: Bench, kernel: Kernel) -> None:
        machine = bench.machine
        (call,) = bench.program.calls
        program = bench.program.with_calls([replace(call, kernel=kernel)])
        bits = 8 * machine.vector_bytes
        module = emit(program, fast=bench.fast, threads=machine.threads, vector_bits=bits, bf16=machine.bf16)
        self._code = Code(str(module))
        self._shared = module.shared
        self._call = _RUN(self._code.address)
        sizes = [evaluate(size, bench.sizes) for _, size in module.scratch]
        self._scratch = [np.zeros(size + ALIGNMENT, np.uint8) for size in sizes]
        scratch = [-(-s.ctypes.data // ALIGNMENT) * ALIGNMENT for s in self._scratch]
        threads = 1 if graphc_threads.forked else machine.threads
        dims = [bench.sizes.get(d, 0) for d in program.dims]
        held = [*bench.addresses, *scratch, threads, *dims]
        self._frame = (ctypes.c_int64 * len(held))(*held)
        self._at = ctypes.addressof(self._frame)
        self._dims_at = self._at + 8 * (len(held) - len(dims))
        self._turns_place = len(held) - len(dims) + program.dims.index(bench.turns)
        self._turns = 0  # of a block

    def block(self) -> tuple[float, bool]:
        """The seconds of a call, in a block of them; and whether that is what it takes."""
        took = self._seconds(1)[0]
        if not self._turns:
            took = self._seconds(1)[0]  # the first one found its data in memory
            self._turns = max(1, round(BLOCK / took))
        took, ran = self._seconds(self._turns)
        if not self._shared:
            return ran / self._turns, True
        return took / self._turns, took - ran <= IDLE * took

    def _seconds(self, turns: int) -> tuple[float, float]:
        """The seconds of so many calls, and those of this thread."""
        self._frame[self._turns_place] = turns
        ran, start = thread_time(), perf_counter()
        self._call(self._at, self._dims_at)
        took = perf_counter() - start
        return took, thread_time() - ran


def filled(b: ProgramBuffer, sizes: dict[str, int]) -> Array:
    """An array for a buffer, in cache lines of its own; a constant is copied."""
    size = room(b, sizes)
    memory = np.empty(size + 2 * ALIGNMENT, np.uint8)
    first = -memory.ctypes.data % ALIGNMENT
    found = memory[first : first + size].view(b.dtype.numpy)
    _fill(found)
    if b.value is not None:
        found[: b.value.size] = b.value.ravel()
    return found


def _fill(array: Array) -> None:
    """Ones, which products leave as they are: nothing overflows, and nothing fades into numbers that are slow.

    Integers are 0, which is a place in any array.
    """
    array.fill(1 if array.dtype.kind == "f" else 0)


def _unused(name: str, taken: Sequence[str]) -> str:
    while name in taken:
        name += "_"
    return name
