"""A built program and the two ways to run it: with addresses from Python, and through the native entry.

Either way a short run keeps the GIL, and a longer one gives it away; what is short, an estimate says.

>>> from graphc_llvm.emit import emit
>>> program = Program("nothing", (), ())
>>> module = emit(program)
>>> executable = LLVMExecutable(program, module, Code(str(module)), threads=1)
>>> executable.run([], [])
"""

from __future__ import annotations

import ctypes
import os
import struct
import threading
import weakref
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from graphc.ir.dims import Index
from graphc.ir.types import Array
from graphc.kernel.program import Call, CodeCache, Program, Repeat, Step, parts_of
from graphc.kernel.turns import Turns
from graphc_llvm import threads as graphc_threads
from graphc_llvm.entry import NativeEntry, Timing, supported
from graphc_llvm.jit import Code
from graphc_llvm.module import Module, seconds, seconds_alone
from graphc_llvm.pace import Pace
from graphc_llvm.turns import run as repeat

if TYPE_CHECKING:
    from graphc_llvm.decisions import Decisions

SHORT_SECONDS = 10e-6
"""Runs that are estimated to be as short as that keep the GIL: giving it away could cost more than they do."""

_RUN = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
_RUN_SHORT = ctypes.PYFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
# The arguments of a call in flight, their address, the address of the dimensions.
_Frame: TypeAlias = "tuple[ctypes.Array[ctypes.c_char], int, int]"


class LLVMExecutable:
    """A built program; see `graphc.kernel.program.Executable`."""

    def __init__(
        self,
        program: Program,
        module: Module,
        code: Code,
        threads: int,
        steps: tuple[tuple[str, ...], ...] = (),
        cache: CodeCache | None = None,
    ) -> None:
        self.steps = steps  # of the schedule, for each call, as text
        self.seconds: Mapping[str, float] = {}  # that building took, by step
        self.decisions: Decisions = {}  # what was measured to be faster than what the model chooses
        self.doubtful = False  # whether the machine was too busy to measure some kernel
        self.tables: tuple[str, ...] = ()  # of what was measured, as text
        self._program, self.module, self.code, self._cache = program, module, code, cache
        shared = threads > 1 and module.shared
        self._threads = threads
        self._alone = partial(seconds_alone, program)
        self._pace = Pace(threads, self._alone) if shared else None
        self._is_short = lru_cache(256)(partial(_is_short, program))
        self._run, self._run_short = _RUN(code.address), _RUN_SHORT(code.address)
        addresses = len(program.buffers) + len(module.scratch) + 1
        layout = struct.Struct(f"{addresses + len(program.dims)}q")
        self._pack, self._size, self._dims_offset = layout.pack_into, layout.size, 8 * addresses
        # Two Python threads may call at the same time, so every call in flight has an array of its own.
        self._frames: list[_Frame] = []
        # For each size whose native calls are timed: the nanoseconds that they may take, or 0.
        self._limits: weakref.WeakValueDictionary[tuple[int, ...], Array] = weakref.WeakValueDictionary()
        _alive.add(self)

    def run(self, addresses: list[int], dims: list[int]) -> None:
        frame = self._frames.pop() if self._frames else self._frame()
        array, addresses_at, dims_at = frame
        size = tuple(dims)
        if self._is_short(size):
            self._pack(array, 0, *addresses, 1, *dims)
            self._run_short(addresses_at, dims_at)
        elif self._pace is None or graphc_threads.forked:
            self._pack(array, 0, *addresses, 1, *dims)
            self._run(addresses_at, dims_at)
        else:
            start = perf_counter()
            threads = self._pace.threads(size, start)
            self._pack(array, 0, *addresses, threads, *dims)
            self._run(addresses_at, dims_at)
            end = perf_counter()
            self._note(size, threads, end - start, end)
        self._frames.append(frame)

    def loop(self) -> Callable[[Turns], None]:
        return self._repeat

    def _repeat(self, turns: Turns) -> None:
        size, threads, start = turns.dims, 1, perf_counter()
        shared = self._pace is not None and not graphc_threads.forked and not self._is_short(size)
        if self._pace is not None and shared:
            threads = self._pace.threads(size, start)
        repeat(turns, self.code.address, threads, self._cache)
        if shared:
            end = perf_counter()
            self._note(size, threads, (end - start) / turns.count, end, turns.count)

    def _frame(self) -> _Frame:
        array = ctypes.create_string_buffer(self._size)
        start = ctypes.addressof(array)
        return array, start, start + self._dims_offset

    def entry(self, careful: Callable[..., Any], lock: threading.RLock) -> NativeEntry | None:
        if not supported():
            return None
        return NativeEntry(self.code, self._manner, careful, lock, self._cache)

    def _manner(self, dims: tuple[int, ...]) -> tuple[bool, Timing | None]:
        """Whether a run with these dimensions is long, and how it is timed (if it is)."""
        if self._is_short(dims):
            return False, None
        if self._pace is None or graphc_threads.forked or self._alone(dims) == 0.0:
            return True, None
        limit = self._limits.get(dims)
        if limit is None:
            limit = self._limits[dims] = np.zeros(1, np.int64)
        self._set_limit(dims, perf_counter())
        return True, Timing(self._threads, limit, partial(self._note_late, dims))

    def _note_late(self, dims: tuple[int, ...], nanoseconds: int) -> None:
        """A native call took longer than its limit."""
        self._note(dims, self._threads, 1e-9 * nanoseconds, perf_counter())

    def _note(self, dims: tuple[int, ...], threads: int, took: float, now: float, calls: int = 1) -> None:
        assert self._pace is not None
        self._pace.note(dims, threads, took, now, calls)
        self._set_limit(dims, now)

    def _set_limit(self, dims: tuple[int, ...], now: float) -> None:
        limit = self._limits.get(dims)
        if limit is not None and self._pace is not None:
            limit[0] = int(1e9 * self._pace.limit(dims, now))

    def rest(self) -> None:
        """From now on native calls do not start threads."""
        for limit in list(self._limits.values()):
            limit[0] = 0

    def text(self, stage: str) -> str:
        return str(self._program) if stage == "scheduled" else self.code.text(stage)

    def scheduled(self) -> Program:
        return self._program

    def scratch(self) -> tuple[tuple[int, Index], ...]:
        return self.module.scratch


def _is_short(program: Program, dims: tuple[int, ...]) -> bool:
    return not _repeats(program.steps) and seconds(program, dims) <= SHORT_SECONDS


def _repeats(steps: tuple[Step, ...]) -> bool:
    """Whether there is a loop whose turns nobody can count."""
    waiting = list(steps)
    for step in waiting:
        if isinstance(step, Repeat):
            return True
        if not isinstance(step, Call):
            waiting += [inner for part in parts_of(step) for inner in part]
    return False


_alive: weakref.WeakSet[LLVMExecutable] = weakref.WeakSet()


def _after_fork() -> None:
    """The threads of the parent do not exist in a child."""
    for executable in list(_alive):
        executable.rest()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
