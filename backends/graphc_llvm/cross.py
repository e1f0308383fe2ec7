"""Level 6: code for another machine than this one, from the same kernels.

| target      | vectors        | for                                                    |
|-------------|----------------|--------------------------------------------------------|
| `aarch64`   | 32 of 16 bytes | 64-bit ARM with NEON: Neoverse N1, Apple, Raspberry Pi |
| `x86-64-v2` | 16 of 16 bytes | SSE 4.2                                                |
| `x86-64-v3` | 16 of 32 bytes | AVX2 and FMA: Haswell, Zen and later                   |
| `x86-64-v4` | 32 of 64 bytes | AVX-512: Skylake servers, Zen 4 and later              |

A target is the description of a machine that schedules are made for (see `graphc_llvm.plan`) and LLVM's name of
it; nothing else in the back end asks which machine it is.  The object has one symbol to call,
`graphc_entry(addresses, dims)`, as `graphc_llvm.emit` describes it, and runs on one thread.

>>> import graphc as gc
>>> x = gc.input("x", 64, "float32")
>>> fn = gc.compile([x], gc.exp(x) + 1.0)
>>> made = cross_compile(fn.program, "aarch64")
>>> made.code[:4], "vector(8)" in str(made.program)
(b'\\x7fELF', True)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Final

import llvmlite.binding as llvm

from graphc.errors import ArgumentError
from graphc.kernel.program import Machine, Program
from graphc_llvm.backend import lower_for
from graphc_llvm.jit import assembly_of, object_of
from graphc_llvm.module import Module


@dataclass(frozen=True, slots=True)
class Target:
    """A kind of machine: LLVM's triple, and what schedules need to know; `machine.cpu` is LLVM's name of a CPU."""

    triple: str
    machine: Machine


def _linux(arch: str, cpu: str, vector_bytes: int, registers: int, l1: int, l2: int) -> Target:
    return Target(
        f"{arch}-unknown-linux-gnu", Machine(cpu, vector_bytes, registers, l1 << 10, l2 << 10, threads=1)
    )


TARGETS: Final[Mapping[str, Target]] = MappingProxyType(
    {
        "aarch64": _linux("aarch64", "neoverse-n1", 16, 32, 64, 1024),
        "x86-64-v2": _linux("x86_64", "x86-64-v2", 16, 16, 32, 256),
        "x86-64-v3": _linux("x86_64", "x86-64-v3", 32, 16, 32, 256),
        "x86-64-v4": _linux("x86_64", "x86-64-v4", 64, 32, 32, 1024),
    }
)


@dataclass(frozen=True, slots=True)
class CrossCompiled:
    """A program scheduled for a target, its module, the object file, and the assembly to read."""

    program: Program
    module: Module
    code: bytes
    assembly: str


def cross_compile(program: Program, target: str, *, fast: bool = False) -> CrossCompiled:
    """Schedule, emit and compile a program (`fn.program`) for a target of the table, by name.

    Raises ArgumentError for a name that is not in the table.
    """
    if target not in TARGETS:
        raise ArgumentError(f"unknown target {target!r}", fix=f"use one of {', '.join(TARGETS)}")
    scheduled, _, module = lower_for(program, fast, TARGETS[target].machine)
    text, machine = str(module), target_machine(target)
    return CrossCompiled(scheduled, module, object_of(text, machine), assembly_of(text, machine))


@lru_cache(maxsize=len(TARGETS))
def target_machine(name: str) -> llvm.TargetMachine:
    """LLVM's machine for a target of the table."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    target = TARGETS[name]
    return llvm.Target.from_triple(target.triple).create_target_machine(
        cpu=target.machine.cpu, opt=3, reloc="pic", codemodel="small"
    )
