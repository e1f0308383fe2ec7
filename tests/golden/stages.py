"""Every level of a program as text, in a process of its own: `python tests/golden/stages.py FILE` prints JSON.

A process of its own, because constants are shared by all graphs of a process, and so are the places where they
were written.  Schedules and LLVM IR are made for one machine that is written down here, whatever runs this.
"""

from __future__ import annotations

import json
import runpy
import sys
from dataclasses import replace

from graphc.kernel.program import Machine, Program
from graphc.runtime.function import Function

MACHINE = Machine(
    "x86-64-v3", vector_bytes=32, vector_registers=16, l1_bytes=32 * 1024, l2_bytes=512 * 1024, threads=2
)


def scheduled(program: Program) -> Program:
    """The kernels as they are scheduled for `MACHINE`."""
    from graphc_llvm.schedules import schedule

    calls = [
        replace(c, kernel=schedule(c.kernel, MACHINE, flops=c.flops, threads=MACHINE.threads)[0])
        for c in program.calls
    ]
    return program.with_calls(calls)


def texts(fn: Function) -> dict[str, str]:
    """The text of each level."""
    from graphc_llvm.emit import emit

    found = {stage: fn.stage(stage) for stage in ("graph", "optimized", "fused", "kernels")}
    found["log"] = str(fn.log)
    tuned = scheduled(fn.program)
    found["scheduled"] = str(tuned)
    found["llvm"] = str(
        emit(tuned, fast=False, threads=MACHINE.threads, vector_bits=8 * MACHINE.vector_bytes)
    )
    return found


if __name__ == "__main__":
    json.dump(texts(runpy.run_path(sys.argv[1])["main"]), sys.stdout)
