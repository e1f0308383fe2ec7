"""How time and memory grow with the length of a chain and of a loop: the exponent should be 1, or less.

    python -m tests.benchmarks.growth [--quick]

| experiment        | size            | what is measured                                                          |
|-------------------|-----------------|---------------------------------------------------------------------------|
| grad of a chain   | operations      | building the gradient: seconds, and bytes of Python objects (tracemalloc)  |
| scan              | steps           | building, compiling, running the gradient: seconds; bytes of the arena    |
| scan, checkpoint  | steps           | the same, where every √T-th carry is stored                               |

The exponent p is fitted to size^p by least squares on logarithms.

>>> round(exponent([1, 2, 4], [3.0, 6.0, 12.0]), 6)
1.0
"""

from __future__ import annotations

import argparse
import gc as garbage
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

import graphc as gc
from graphc.tables import Table

CHAINS = (1_000, 2_000, 4_000, 6_000, 8_000, 10_000, 20_000)
STEPS = (100, 200, 500, 1_000, 2_000, 4_000)
REPEATS = 3


@dataclass(frozen=True, slots=True)
class Growth:
    """What one experiment measured: a column of numbers for each quantity."""

    name: str
    sizes: Sequence[int]
    columns: dict[str, list[float]]

    def exponents(self) -> dict[str, float]:
        return {name: exponent(self.sizes, values) for name, values in self.columns.items()}

    def table(self) -> str:
        rows = [
            [str(size), *(_text(name, values[k]) for name, values in self.columns.items())]
            for k, size in enumerate(self.sizes)
        ]
        rows.append(["exponent", *(f"{p:.2f}" for p in self.exponents().values())])
        return str(Table(["size", *self.columns], rows, self.name))


def exponent(sizes: Sequence[int], values: Sequence[float]) -> float:
    """p of values ≈ c · sizes^p."""
    slope, _ = np.polyfit(np.log(sizes), np.log(np.maximum(values, 1e-12)), 1)
    return float(slope)


def _text(name: str, value: float) -> str:
    return f"{value / 1024:.1f} KiB" if name.endswith("memory") else f"{value * 1e3:.2f} ms"


def seconds(run: Callable[[], object], clock: Callable[[], float] = time.process_time) -> float:
    """The shortest of some runs; of this process alone, unless a clock on the wall is asked for."""
    found = []
    for _ in range(REPEATS):
        garbage.collect()
        start = clock()
        run()
        found.append(clock() - start)
    return min(found)


def chain(length: int) -> tuple[gc.Tensor, gc.Tensor]:
    """x, and an operation on an operation on ... on x: each of a different kind, with x used again and again."""
    x = gc.input("x")
    y = x
    for k in range(length // 2):
        y = gc.sin(y) if k % 2 else gc.tanh(y)
        y = y * x
    return x, y


def of_chains(sizes: Sequence[int]) -> Growth:
    """The gradient of chains of operations."""
    columns: dict[str, list[float]] = {"build": [], "grad": [], "memory": []}
    gc.grad(*reversed(chain(100)))  # what is loaded and derived once
    for size in sizes:
        columns["build"].append(seconds(lambda size=size: chain(size)))  # type: ignore[misc]
        x, y = chain(size)
        garbage.collect()
        tracemalloc.start()
        held = gc.grad(y, x)
        columns["memory"].append(float(tracemalloc.get_traced_memory()[1]))
        tracemalloc.stop()
        del held
        columns["grad"].append(seconds(lambda x=x, y=y: gc.grad(y, x)))  # type: ignore[misc]
    return Growth("grad of a chain", sizes, columns)


def of_scans(sizes: Sequence[int], checkpoint: bool) -> Growth:
    """The gradient of a recurrent network of 16 units over many steps."""
    columns: dict[str, list[float]] = {"build": [], "compile": [], "run": [], "arena memory": []}
    draw = np.random.default_rng(0)
    for size in sizes:
        w, xs = gc.input("w", (16, 16)), gc.input("xs", (size, 16))

        def build(w: gc.Tensor = w, xs: gc.Tensor = xs) -> gc.Tensor:
            last, _ = gc.scan(
                lambda h, x: (gc.tanh(w @ h + x), None), gc.const(np.zeros(16)), xs, checkpoint=checkpoint
            )
            return gc.grad(gc.sum(last * last), w)  # type: ignore[return-value]

        columns["build"].append(seconds(build))
        gradient = build()
        start = time.perf_counter()
        fn = gc.compile([w, xs], gradient, cache=False)
        columns["compile"].append(time.perf_counter() - start)
        at = draw.normal(size=(16, 16)) / 8, draw.normal(size=(size, 16))
        columns["run"].append(seconds(lambda fn=fn, at=at: fn(*at), time.perf_counter))  # type: ignore[misc]
        columns["arena memory"].append(float(fn.cost.arena()))
    return Growth("scan, checkpoint" if checkpoint else "scan", sizes, columns)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="the smaller sizes only")
    quick = parser.parse_args(arguments).quick
    for found in (
        of_chains(CHAINS[:3] if quick else CHAINS),
        of_scans(STEPS[:4] if quick else STEPS, checkpoint=False),
        of_scans(STEPS[:4] if quick else STEPS, checkpoint=True),
    ):
        print(found.table(), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
