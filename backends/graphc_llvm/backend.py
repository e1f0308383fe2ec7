"""The LLVM back end: schedule, emit and compile.

>>> LLVMBackend().stages
('scheduled', 'llvm', 'llvm-opt', 'asm')
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from time import perf_counter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

import llvmlite
import llvmlite.binding as llvm

from graphc.config import setting
from graphc.errors import BackendError
from graphc.ir.dims import Index
from graphc.kernel.alike import Form
from graphc.kernel.ir import Kernel
from graphc.kernel.program import Call, CodeCache, Executable, Machine, Program
from graphc.kernel.verify import verify
from graphc_llvm.executable import LLVMExecutable
from graphc_llvm.jit import Code, cache_key
from graphc_llvm.kept import KeptExecutable, Lowered, about
from graphc_llvm.machine import host_features, host_machine, vector_unit
from graphc_llvm.module import Module
from graphc_llvm.pieces import Pieces
from graphc_llvm.threads import runtime, usable_threads

if TYPE_CHECKING:
    from graphc_llvm.decisions import Decision, Decisions

_UNDECIDED: Decisions = MappingProxyType({})


class LLVMBackend:
    """CPU code through LLVM."""

    name = "llvm"
    stages: tuple[str, ...] = ("scheduled", "llvm", "llvm-opt", "asm")

    def build(
        self, program: Program, *, fast: bool, threads: int | None, cache: CodeCache | None
    ) -> LLVMExecutable:
        """Schedule, emit and compile a program; `threads` None means all usable ones."""
        return _built(program, fast, _machine(threads), cache, {})

    def tuned(
        self, program: Program, *, fast: bool, threads: int | None, cache: CodeCache | None
    ) -> LLVMExecutable:
        """`build`, with the schedules of heavy kernels chosen by running them: see `graphc_llvm.tuning`."""
        from graphc_llvm.tuning import tune

        machine, start = _machine(threads), perf_counter()
        found = tune(program, fast=fast, machine=machine, cache=cache)
        made = _built(program, fast, machine, cache, {"tune": perf_counter() - start}, found.decisions)
        made.decisions, made.doubtful, made.tables = found.decisions, found.doubtful, tuple(found.tables)
        return made

    def identity(self, threads: int | None) -> str:
        """Everything beside the program and the sources that its machine code depends on."""
        return f"{_machine(threads)} {cache_key('')}"

    def kept(self, executable: Executable) -> tuple[Mapping[str, Any], bytes] | None:
        """What `restore` needs to know of a program that was built here, and its code.

        None where the machine was too busy to tune some kernel: another time it may not be.
        """
        assert isinstance(executable, LLVMExecutable)
        if executable.doubtful:
            return None
        held = about(executable.module)
        if executable.decisions:
            held = {**held, "decisions": {n: d.written() for n, d in executable.decisions.items()}}
        return held, executable.code.object

    def restore(
        self,
        program: Program,
        about: Mapping[str, Any],
        code: bytes,
        *,
        fast: bool,
        threads: int | None,
        cache: CodeCache,
        lowered: Callable[[], Program],
    ) -> Executable | None:
        """A program that was kept; `lowered` makes its kernels, should somebody ask for a text."""
        loaded, machine = Code.of(code, ""), _machine(threads)
        if loaded is None:
            return None
        decisions = _read(about["decisions"]) if "decisions" in about else _UNDECIDED
        lower = lambda: lower_for(lowered(), fast, machine, decisions=decisions)  # noqa: E731
        return KeptExecutable(program, about, loaded, machine.threads, cache, lower)

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


def _machine(threads: int | None) -> Machine:
    """This machine with so many threads, or all usable ones; BackendError where it cannot run the code."""
    count = usable_threads() if threads is None else threads
    machine = host_machine(1 if runtime() is None else count)
    if machine.vector_bytes > vector_unit(host_features())[0]:
        raise BackendError(
            f"this machine cannot run code for {machine.cpu}",
            why=f"its vectors have fewer than {8 * machine.vector_bytes} bits",
            fix="unset GRAPHC_CPU, or name a smaller CPU",
        )
    return machine


def _built(
    program: Program,
    fast: bool,
    machine: Machine,
    cache: CodeCache | None,
    spent: dict[str, float],
    decisions: Decisions = _UNDECIDED,
) -> LLVMExecutable:
    """A program as machine code; `spent` is what was done before, by step."""
    with Pieces(cache, beside=machine.threads > 1) as pieces:
        scheduled, steps, module = lower_for(program, fast, machine, spent, decisions, pieces.take)
        start = perf_counter()
        code = pieces.code(_Text(scheduled, fast, machine))
    held = Module((), "@GOMP_parallel" if module.shared else "", module.scratch)  # without the texts
    made = LLVMExecutable(scheduled, held, code, machine.threads, steps, cache)
    made.seconds = spent | {"object": perf_counter() - start}
    return made


@dataclass(frozen=True, slots=True)
class _Text:
    """The text of a program's module, which is megabytes: emitted again when somebody asks for it."""

    scheduled: Program
    fast: bool
    machine: Machine

    def __str__(self) -> str:
        from graphc_llvm.emit import emit

        m = self.machine
        bits = 8 * m.vector_bytes
        return str(emit(self.scheduled, fast=self.fast, threads=m.threads, vector_bits=bits, bf16=m.bf16))


def _read(held: Mapping[str, Any]) -> Decisions:
    from graphc_llvm.decisions import Decision

    return {name: Decision.read(d) for name, d in held.items()}


def lower_for(
    program: Program,
    fast: bool,
    machine: Machine,
    spent: dict[str, float] | None = None,
    decisions: Decisions = _UNDECIDED,
    take: Callable[[str], None] | None = None,
) -> Lowered:
    """A program as it is scheduled for a machine, the steps that led there, and its module.

    What is not among the `decisions` is left to the model of costs.  The seconds that scheduling and emitting took
    are put into `spent`.  `take` is given the module in pieces, see `graphc_llvm.emit.ModuleEmitter`.
    """
    from graphc_llvm.emit import ModuleEmitter  # not needed where code comes from the cache

    start, scheduling = perf_counter(), 0.0
    emitter = ModuleEmitter(program, fast, machine.threads, 8 * machine.vector_bytes, machine.bf16, take)
    calls: list[Call] = []
    steps: list[tuple[str, ...]] = []
    for call in program.calls:
        before = perf_counter()
        kernel, taken = _scheduled(call, machine, decisions)
        calls.append(replace(call, kernel=kernel))
        steps.append(taken)
        scheduling += perf_counter() - before
        emitter.add(calls[-1])
    scheduled = program.with_calls(calls)
    module = emitter.finish(scheduled.steps)
    if spent is not None:
        spent |= {"schedule": scheduling, "emit": perf_counter() - start - scheduling}
    return scheduled, tuple(steps), module


def _scheduled(call: Call, machine: Machine, decisions: Decisions) -> tuple[Kernel, tuple[str, ...]]:
    """The kernel of a call, scheduled for the machine, and the steps."""
    from graphc_llvm.schedules import schedule

    form = Form.of(call.kernel)
    bare, taken = _schedule(form, call.flops, machine, _decision(form, call.flops, decisions))
    kernel = form.restore(bare, call.kernel.name)
    if kernel is None:
        kernel, taken = schedule(call.kernel, machine, flops=call.flops, threads=machine.threads)
    return kernel, tuple(map(form.text, taken))


def _decision(form: Form, flops: Index, decisions: Decisions) -> Decision | None:
    if not decisions:
        return None
    from graphc_llvm.decisions import name_of

    return decisions.get(name_of(form, flops))


_Key: TypeAlias = "tuple[str, Index, Machine, Decision | None]"
_SCHEDULES_KEPT = 1024
_schedules: OrderedDict[_Key, tuple[Kernel, tuple[str, ...]]] = OrderedDict()


def _schedule(
    form: Form, flops: Index, machine: Machine, decision: Decision | None
) -> tuple[Kernel, tuple[str, ...]]:
    """The schedule of all kernels of a form, made once."""
    key = (form.key, flops, machine, decision)
    found = _schedules.pop(key, None)
    if found is None:
        found = _made(form.kernel, machine, flops, decision)
    _schedules[key] = found  # at the end, so that what was not used for longest goes first
    if len(_schedules) > _SCHEDULES_KEPT:
        with suppress(KeyError, StopIteration):  # another thread may remove it too
            del _schedules[next(iter(_schedules))]
    return found


def _made(
    kernel: Kernel, machine: Machine, flops: Index, decision: Decision | None
) -> tuple[Kernel, tuple[str, ...]]:
    from graphc_llvm.schedules import schedule

    if decision is None:
        return schedule(kernel, machine, flops=flops, threads=machine.threads)
    from graphc_llvm.decisions import decided

    scheduled, steps = decided(kernel, machine, flops, decision)[:2]
    return verify(scheduled) if setting("GRAPHC_VERIFY") else scheduled, steps
