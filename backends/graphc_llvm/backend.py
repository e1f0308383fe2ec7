"""The LLVM back end: schedule, emit and compile.

>>> LLVMBackend().stages
('scheduled', 'llvm', 'llvm-opt', 'asm')
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

import llvmlite
import llvmlite.binding as llvm

from graphc.errors import BackendError
from graphc.ir.dims import Index
from graphc.kernel.alike import Form
from graphc.kernel.ir import Kernel
from graphc.kernel.program import Call, CodeCache, Machine, Program
from graphc_llvm.emit import emit
from graphc_llvm.executable import LLVMExecutable
from graphc_llvm.jit import Code
from graphc_llvm.machine import host_features, host_machine, vector_unit
from graphc_llvm.schedules import schedule
from graphc_llvm.threads import runtime, usable_threads


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
        return LLVMExecutable(scheduled, module, Code(str(module), cache), count, steps, cache)

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
        form = Form.of(call.kernel)
        bare, taken = _schedule(form, call.flops, machine)
        kernel = form.restore(bare, call.kernel.name)
        if kernel is None:
            kernel, taken = schedule(call.kernel, machine, flops=call.flops, threads=machine.threads)
        calls.append(replace(call, kernel=kernel))
        steps.append(tuple(map(form.text, taken)))
    return program.with_calls(calls), tuple(steps)


_SCHEDULES_KEPT = 1024
_schedules: OrderedDict[tuple[str, Index, Machine], tuple[Kernel, tuple[str, ...]]] = OrderedDict()


def _schedule(form: Form, flops: Index, machine: Machine) -> tuple[Kernel, tuple[str, ...]]:
    """The schedule of all kernels of a form, made once."""
    key = (form.key, flops, machine)
    found = _schedules.pop(key, None)
    if found is None:
        found = schedule(form.kernel, machine, flops=flops, threads=machine.threads)
    _schedules[key] = found  # at the end, so that what was not used for longest goes first
    if len(_schedules) > _SCHEDULES_KEPT:
        with suppress(KeyError, StopIteration):  # another thread may remove it too
            del _schedules[next(iter(_schedules))]
    return found
