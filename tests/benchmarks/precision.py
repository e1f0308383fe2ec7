"""What products in bfloat16 save: each workload in f32 and with precision="bf16", and PyTorch's autocast.

    python -m tests.benchmarks.precision [NAME ...] [--threads 1] [--seconds 3]

The three take turns in one run.  A ratio is f32's time over that of graphc in bfloat16, and PyTorch's over it; `error`
is the largest difference of a result between f32 and bfloat16, in units of the largest number in that result.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

import numpy as np
from rich.console import Console
from rich.table import Table

from tests.benchmarks.measure import WORKLOADS
from tests.benchmarks.report import seconds, times
from tests.benchmarks.timing import interleave, ratio
from tests.benchmarks.with_graphc import prepare
from tests.benchmarks.workload import Prepared

NAMES = ("matmul", "mlp-train", "mlp-infer", "lenet", "lstm", "resnet20")


def competitors(name: str, threads: int) -> dict[str, Prepared]:
    problem = WORKLOADS[name].problem()
    made = {precision: prepare(problem, threads, precision=precision) for precision in ("full", "bf16")}
    try:
        from tests.benchmarks.with_torch import mixed_precision
    except ImportError:
        return made
    return made | {"torch": mixed_precision(problem, threads)}


def error(made: dict[str, Prepared]) -> float:
    """How far a first call in bfloat16 is from one in f32."""
    for precision in ("full", "bf16"):
        made[precision].call()
    pairs = zip(made["full"].read(), made["bf16"].read(), strict=True)
    return max(float(np.abs(a - b).max() / max(np.abs(a).max(), 1e-30)) for a, b in pairs if a.size)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="a workload, or the beginning of some")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3.0)
    arguments = parser.parse_args()
    names = [w for w in WORKLOADS if any(w.startswith(n) for n in arguments.names or NAMES)]
    table = Table(title=f"bfloat16, {arguments.threads} threads", title_justify="left")
    table.add_column("workload")
    for column in ("f32", "bf16", "f32 / bf16", "torch / bf16", "error"):
        table.add_column(column, justify="right")
    for name in names:
        made = competitors(name, arguments.threads)
        off = error(made)
        calls: dict[str, Callable[[], object]] = {k: m.call for k, m in made.items()}
        timings = interleave(calls, arguments.seconds, {k: partial(m.reset) for k, m in made.items()})
        full, bf16, torch = timings["full"], timings["bf16"], timings.get("torch")
        versus = times(ratio(torch, bf16)) if torch is not None else "-"
        table.add_row(
            name, seconds(full.median), seconds(bf16.median), times(ratio(full, bf16)), versus, f"{off:.1e}"
        )
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
