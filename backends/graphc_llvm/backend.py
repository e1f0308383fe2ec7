"""The LLVM back end: schedule, emit, compile, and a function that runs it.

>>> LLVMBackend().stages
('scheduled', 'llvm', 'llvm-opt', 'asm')
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace

import llvmlite
import llvmlite.binding as llvm

from graphc.ir.dims import Index
from graphc.kernel.program import Call, CodeCache, Machine, Program
from graphc_llvm.emit import Module, emit
from graphc_llvm.jit import Code
from graphc_llvm.machine import host_machine
from graphc_llvm.threads import runtime, threads_now, usable_threads

_ENTRY_TYPE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)


@dataclass(slots=True)
class _Frame:
    """The arguments of one call in flight: two arrays of i64 and where they are."""

    addresses: ctypes.Array[ctypes.c_char]
    dims: ctypes.Array[ctypes.c_char]
    addresses_at: int
    dims_at: int


class LLVMExecutable:
    """A built program; see `graphc.kernel.program.Executable`."""

    def __init__(self, program: Program, module: Module, code: Code, threads: int) -> None:
        self._program, self._module, self._code, self._threads = program, module, code, threads
        self._entry = _ENTRY_TYPE(code.address)
        self._addresses = struct.Struct(f"{len(program.buffers) + len(module.scratch) + 1}q")
        self._dims = struct.Struct(f"{len(program.dims)}q")
        # Two Python threads may call at the same time, so every call in flight has a frame of its own.
        self._frames: list[_Frame] = []

    def run(self, addresses: list[int], dims: list[int]) -> None:
        frame = self._frames.pop() if self._frames else self._frame()
        self._addresses.pack_into(frame.addresses, 0, *addresses, threads_now(self._threads))
        self._dims.pack_into(frame.dims, 0, *dims)
        self._entry(frame.addresses_at, frame.dims_at)
        self._frames.append(frame)

    def _frame(self) -> _Frame:
        addresses = ctypes.create_string_buffer(self._addresses.size)
        dims = ctypes.create_string_buffer(max(8, self._dims.size))
        return _Frame(addresses, dims, ctypes.addressof(addresses), ctypes.addressof(dims))

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

    def build(self, program: Program, *, fast: bool, threads: int | None, cache: CodeCache | None) -> LLVMExecutable:
        """Schedule, emit and compile a program; `threads` None means all usable ones."""
        count = usable_threads() if threads is None else threads
        if runtime() is None:
            count = 1
        machine = host_machine(count)
        scheduled = _scheduled(program, machine)
        module = emit(scheduled, fast=fast, threads=count, vector_bits=8 * machine.vector_bytes)
        return LLVMExecutable(scheduled, module, Code(str(module), cache), count)

    def describe(self) -> Mapping[str, str]:
        machine = host_machine(usable_threads())
        library = runtime()
        return {
            "LLVM": f"{'.'.join(map(str, llvm.llvm_version_info))} (llvmlite {llvmlite.__version__})",
            "CPU": machine.cpu,
            "vectors": f"{8 * machine.vector_bytes} bits, {machine.vector_registers} registers",
            "caches": f"{machine.l1_bytes // 1024} KiB L1, {machine.l2_bytes // 1024} KiB L2",
            "threads": f"{machine.threads} through {library._name}" if library else "1 (no OpenMP runtime found)",
        }


def _scheduled(program: Program, machine: Machine) -> Program:
    calls: list[Call] = []
    for call in program.calls:
        calls.append(replace(call))
    return replace(program, calls=tuple(calls))
