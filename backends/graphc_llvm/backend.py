"""The LLVM back end: schedule, emit, compile, and a function that runs it.

>>> LLVMBackend().stages
('scheduled', 'llvm', 'llvm-opt', 'asm')
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from time import perf_counter
from typing import TypeAlias

import llvmlite
import llvmlite.binding as llvm

from graphc.errors import BackendError
from graphc.ir.dims import Index
from graphc.kernel.program import Call, CodeCache, Machine, Program
from graphc_llvm import threads as graphc_threads
from graphc_llvm.emit import Module, emit, seconds_alone
from graphc_llvm.jit import Code
from graphc_llvm.machine import host_features, host_machine, vector_unit
from graphc_llvm.pace import Pace
from graphc_llvm.schedules import schedule
from graphc_llvm.threads import runtime, usable_threads

_ENTRY = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
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
    ) -> None:
        self.steps = steps  # of the schedule, for each call, as text
        self._program, self._module, self._code = program, module, code
        shared = threads > 1 and "@GOMP_parallel" in module.rest
        self._pace = Pace(threads, partial(seconds_alone, program)) if shared else None
        self._entry = _ENTRY(code.address)
        addresses = len(program.buffers) + len(module.scratch) + 1
        layout = struct.Struct(f"{addresses + len(program.dims)}q")
        self._pack, self._size, self._dims_offset = layout.pack_into, layout.size, 8 * addresses
        # Two Python threads may call at the same time, so every call in flight has an array of its own.
        self._frames: list[_Frame] = []

    def run(self, addresses: list[int], dims: list[int]) -> None:
        frame = self._frames.pop() if self._frames else self._frame()
        array, addresses_at, dims_at = frame
        if self._pace is None or graphc_threads.forked:
            self._pack(array, 0, *addresses, 1, *dims)
            self._entry(addresses_at, dims_at)
        else:
            size, start = tuple(dims), perf_counter()
            threads = self._pace.threads(size, start)
            self._pack(array, 0, *addresses, threads, *dims)
            self._entry(addresses_at, dims_at)
            end = perf_counter()
            self._pace.note(size, threads, end - start, end)
        self._frames.append(frame)

    def _frame(self) -> _Frame:
        array = ctypes.create_string_buffer(self._size)
        start = ctypes.addressof(array)
        return array, start, start + self._dims_offset

    def text(self, stage: str) -> str:
        return str(self._program) if stage == "scheduled" else self._code.text(stage)

    def scheduled(self) -> Program:
        return self._program

    def scratch(self) -> tuple[tuple[int, Index], ...]:
        return self._module.scratch


class LLVMBackend:
    """CPU code through LLVM."""

    name = "llvm"
    stages: tuple[str, ...] = ("scheduled", "llvm", "llvm-opt", "asm")

    def build(
        self, program: Program, *, fast: bool, threads: int | None, cache: CodeCache | None
    ) -> LLVMExecutable:
        """Schedule, emit and compile a program; `threads` None means all usable ones."""
        count = usable_threads() if threads is None else threads
        if runtime() is None:
            count = 1
        machine = host_machine(count)
        if machine.vector_bytes > vector_unit(host_features())[0]:
            raise BackendError(
                f"this machine cannot run code for {machine.cpu}",
                why=f"its vectors have fewer than {8 * machine.vector_bytes} bits",
                fix="unset GRAPHC_CPU, or name a smaller CPU",
            )
        scheduled, steps = _scheduled(program, machine)
        module = emit(scheduled, fast=fast, threads=count, vector_bits=8 * machine.vector_bytes)
        return LLVMExecutable(scheduled, module, Code(str(module), cache), count, steps)

    def describe(self) -> Mapping[str, str]:
        machine = host_machine(usable_threads())
        library = runtime()
        return {
            "LLVM": f"{'.'.join(map(str, llvm.llvm_version_info))} (llvmlite {llvmlite.__version__})",
            "CPU": machine.cpu,
            "vectors": f"{8 * machine.vector_bytes} bits, {machine.vector_registers} registers",
            "caches": f"{machine.l1_bytes // 1024} KiB L1, {machine.l2_bytes // 1024} KiB L2",
            "threads": f"{machine.threads} through {library._name}"
            if library
            else "1 (no OpenMP runtime found)",
        }


def _scheduled(program: Program, machine: Machine) -> tuple[Program, tuple[tuple[str, ...], ...]]:
    """The program with every kernel scheduled for the machine, and the steps of each call."""
    calls: list[Call] = []
    steps: list[tuple[str, ...]] = []
    for call in program.calls:
        kernel, taken = schedule(call.kernel, machine, flops=call.flops, threads=machine.threads)
        calls.append(replace(call, kernel=kernel))
        steps.append(taken)
    return program.with_calls(calls), tuple(steps)
