"""How good the model of costs is: the schedule that it chooses for each heavy kernel, against the best of many.

    python -m tests.benchmarks.tuning [NAME ...] [--threads 1] [--budget 3] [--count 24] [--all]

Each kernel is run by itself, in the schedules that `gc.compile(..., tune=True)` tries, and in more of them.  The loss
is how much longer the model's choice takes than the best one; losses of a few percent are noise.  `--all` prints all
that were tried, with what the model predicted.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from graphc.kernel.alike import Form
from graphc.kernel.program import Machine, Program
from graphc_llvm.decisions import name_of
from graphc_llvm.machine import host_machine
from graphc_llvm.tuning import Search, heavy, table
from tests.benchmarks.measure import WORKLOADS
from tests.benchmarks.report import seconds
from tests.benchmarks.with_graphc import build

NAMES = (
    "matmul-64",
    "matmul-128",
    "matmul-256",
    "matmul-512",
    "matmul-1024",
    "lenet-train",
    "resnet20-train",
)


def searches(program: Program, machine: Machine, budget: float, count: int) -> Iterator[Search]:
    """A search for each heavy kernel, of those that are alike for one, as far as something can be chosen."""
    seen: set[str] = set()
    for call in heavy(program):
        form = Form.of(call.kernel)
        name = name_of(form, call.flops)
        if name not in seen:
            seen.add(name)
            search = Search(form, program, call, machine, False, budget, count)
            search.run()
            if sum(math.isfinite(t.seconds) for t in search.trials) > 1:
                yield search


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", choices=[*WORKLOADS, []], default=NAMES, metavar="NAME")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--budget", type=float, default=3.0, help="seconds for each kernel, about")
    parser.add_argument("--count", type=int, default=24, help="plans of each nest")
    parser.add_argument("--all", action="store_true", help="print everything that was tried")
    arguments = parser.parse_args()
    console, machine = Console(width=150), host_machine(arguments.threads)
    for name in arguments.names:
        program = build(WORKLOADS[name].problem(), arguments.threads, "interpreter").fn.program
        shown = Table(title=f"{name}: {WORKLOADS[name].title}", title_justify="left")
        shown.add_column("kernel")
        for column in ("tried", "model's", "best", "loss"):
            shown.add_column(column, justify="right")
        shown.add_column("the best one, where it is another")
        lost = whole = 0.0
        for search in searches(program, machine, arguments.budget, arguments.count):
            model, best = search.trials[0], min(search.trials, key=lambda t: t.seconds)
            known = math.isfinite(model.seconds)  # a busy machine may leave no time to tell
            if known:
                lost, whole = lost + model.seconds - best.seconds, whole + best.seconds
            tried = sum(math.isfinite(t.seconds) for t in search.trials)
            kernel = search.call.kernel.name
            what = "" if best is model else search.form.text(str(best.decision))
            loss = f"{model.seconds / best.seconds - 1:.1%}" if known else "-"
            own = seconds(model.seconds if known else None)
            shown.add_row(kernel, str(tried), own, seconds(best.seconds), loss, what)
            if arguments.all:
                console.print(search.form.text(table(kernel, search.trials, best)), highlight=False)
        shown.add_row(
            "all", "", seconds(whole + lost), seconds(whole), f"{lost / whole:.1%}" if whole else "-"
        )
        console.print(shown)


if __name__ == "__main__":
    main()
