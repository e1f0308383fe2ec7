"""Where the time of a workload goes in graphc: each of its kernels alone, against the machine's limits.

    python -m tests.benchmarks.kernels NAME ... [--threads 1] [--seconds 3]

Every kernel of the compiled function is built and called by itself, over the same buffers; the cost of a call from
Python (that of a function without kernels) is taken off. Kernels find their inputs in the caches more often here
than in the whole, so the sum is a little less than the time of the whole, which is the last row.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from functools import partial

from rich.console import Console
from rich.table import Table

from graphc.ir.dims import evaluate
from graphc.kernel.program import Call
from graphc.runtime.backends import load
from graphc.runtime.function import Function
from tests.benchmarks.limits import Arithmetic, Stream
from tests.benchmarks.measure import WORKLOADS
from tests.benchmarks.report import percent, seconds
from tests.benchmarks.timing import interleave
from tests.benchmarks.with_graphc import Built, build, reset


@dataclass(frozen=True, slots=True)
class KernelTime:
    """Seconds of a kernel, its arithmetic and traffic, and the least time that these need on this machine."""

    name: str
    time: float
    flops: float
    traffic: float
    floor: float


def part(built: Built, calls: tuple[Call, ...], threads: int) -> Function:
    """The function with some of its kernels only."""
    fn = built.fn
    compiled = fn._compiled
    assert compiled is not None
    program = replace(compiled.program, steps=calls)
    made = load("llvm").build(program, fast=False, threads=threads, cache=None)
    smaller = replace(compiled, program=program, executable=made)
    result = Function(
        fn.graph, fn.optimized, fn.log, backend=fn.backend, stages=(), single=fn.single, compiled=smaller
    )
    result(*built.arguments)
    return result


def kernel_times(name: str, threads: int, length: float) -> tuple[list[KernelTime], float]:
    """Every kernel, in order, and the seconds of the whole function."""
    problem = WORKLOADS[name].problem()
    built = build(problem, threads)
    program = built.fn.program
    parts = {"": part(built, (), threads), "whole": built.fn}
    parts |= {str(k): part(built, (call,), threads) for k, call in enumerate(program.calls)}
    calls = {key: (lambda fn=fn: fn(*built.arguments)) for key, fn in parts.items()}
    # Traffic as each kernel counts it, at the bandwidth over what the whole workload touches.
    limits = Arithmetic(problem.dtype), Stream("read", problem.traffic, threads)
    every = calls | {"peak": limits[0].call, "read": limits[1].call}
    timings = interleave(every, length, before={"whole": partial(reset, problem, built)})
    peak = threads * limits[0].amount / timings["peak"].best
    bandwidth = limits[1].amount / timings["read"].best
    rows = []
    for k, c in enumerate(program.calls):
        flops, traffic = float(evaluate(c.flops, {})), float(evaluate(c.traffic, {}))
        time = max(0.0, timings[str(k)].median - timings[""].median)
        rows.append(KernelTime(c.kernel.name, time, flops, traffic, max(flops / peak, traffic / bandwidth)))
    return rows, timings["whole"].median


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="+", choices=WORKLOADS, metavar="NAME")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3.0)
    arguments = parser.parse_args()
    for name in arguments.names:
        rows, whole = kernel_times(name, arguments.threads, arguments.seconds)
        table = Table(title=f"{name}: {WORKLOADS[name].title}", title_justify="left")
        table.add_column("kernel")
        for column in ("time", "of the whole", "Mflop", "GFLOP/s", "MB", "floor", "share"):
            table.add_column(column, justify="right")
        for r in rows:
            table.add_row(
                r.name,
                seconds(r.time),
                percent(r.time / whole),
                f"{r.flops / 1e6:.2f}",
                f"{r.flops / r.time / 1e9:.1f}" if r.time else "-",
                f"{r.traffic / 1e6:.2f}",
                seconds(r.floor),
                percent(r.floor / r.time if r.time else None),
            )
        table.add_row("all", seconds(whole), "", f"{sum(r.flops for r in rows) / 1e6:.2f}")
        Console(width=130).print(table)


if __name__ == "__main__":
    main()
