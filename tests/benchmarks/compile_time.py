"""How long compiling takes: the first time, from the cache, by step, and as graphs grow; and importing.

    python -m tests.benchmarks.compile_time [NAME ...] [--repeats 3]

| column  | what is measured, each in a process of its own                                              |
|---------|---------------------------------------------------------------------------------------------|
| build   | making the graph, with its gradients                                                        |
| cold    | `gc.compile` with an empty cache                                                            |
| warm    | `gc.compile` of the same graph in another process, with what the first one kept              |
| again   | `gc.compile` of the same graph once more in that process: no module is left to be imported  |
| steps   | of the cold one, as GRAPHC_DEBUG=1 prints them                                              |

Times are the best of the repeats, in milliseconds: of the processor (all threads), and by the clock in brackets.
Python finds the modules compiled to bytecode, as after an installation.

>>> sorted(GRAPHS)[:2]
['deep-mlp', 'lenet-train']
>>> exponent({1000: 1.0, 2000: 2.0, 4000: 4.0})
1.0
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

SIZES = (1_000, 2_000, 5_000, 10_000)
IMPORTS = ("pass", "import numpy", "import graphc", "import graphc, graphc_llvm.backend")


def _workload(name: str) -> Callable[[], object]:
    def build() -> object:
        from tests.benchmarks.measure import WORKLOADS
        from tests.benchmarks.with_graphc import build

        return build(WORKLOADS[name].problem(), 2)

    return build


def _deep_mlp(depth: int = 50, width: int = 64, batch: int = 32) -> object:
    """A perceptron of many layers: value, gradients, SGD."""
    import graphc as gc

    x, t = gc.input("x", (batch, width), "float32"), gc.input("t", (batch,), "int32")
    params, h = [], x
    for k in range(depth):
        params += [gc.param(f"w{k}", (width, width)), gc.param(f"b{k}", (width,), init="zeros")]
        h = h @ params[-2] + params[-1]
        h = gc.relu(h) if k < depth - 1 else h
    loss = -gc.mean(gc.pick(gc.log_softmax(h), t))
    slopes = gc.grad(loss, params)
    updates = {p: p - 0.1 * g for p, g in zip(params, slopes, strict=True)}
    return gc.compile([x, t], [loss, *slopes], updates=updates)


def _chain(nodes: int) -> Callable[[], object]:
    """Layers of two operations and a sum, which no rule simplifies, and every so often one that ends a kernel."""

    def build() -> object:
        import graphc as gc

        x = y = gc.input("x", (64,), "float32")
        for k in range(nodes // 4):
            y = gc.tanh(y) * x
            if k % 8 == 7:
                y = y + gc.sum(y)
        return gc.compile([x], y)

    return build


GRAPHS: Mapping[str, Callable[[], object]] = {
    "lenet-train": _workload("lenet-train"),
    "mlp-train": _workload("mlp-train"),
    "resnet20-train": _workload("resnet20-train"),
    "deep-mlp": _deep_mlp,
}


def cpu() -> float:
    """Seconds that the processor has spent on this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def child(name: str) -> dict[str, Any]:
    """Build a graph twice and time `gc.compile`: what one process measures."""
    import graphc as gc

    build = _chain(int(name)) if name.isdigit() else GRAPHS[name]
    original, found = gc.compile, []

    def timed(*args: Any, **kwargs: Any) -> Any:
        before, clock = cpu(), time.perf_counter()
        fn = original(*args, **kwargs)
        steps = dict(vars(fn)["log"].seconds) if "log" in vars(fn) else {}
        found.append([cpu() - before, time.perf_counter() - clock, len(fn.graph.nodes), steps, before])
        return fn

    gc.compile = timed
    start = cpu()
    build()
    built = found[0][4] - start
    build()
    return {"build": built, "first": found[0], "again": found[1]}


def run(name: str, cache: str) -> dict[str, Any]:
    """The same in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.compile_time", "--child", name]
    environment = {**_with_bytecode(), "GRAPHC_CACHE": cache}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def _with_bytecode() -> dict[str, str]:
    """The environment of a process that keeps the bytecode of modules: the first one makes it for the others."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPYCACHEPREFIX": _bytecode.name}


_bytecode = tempfile.TemporaryDirectory(prefix="graphc-bytecode-")


def measured(name: str, repeats: int) -> tuple[list[str], dict[str, float], float]:
    """A row of the table, the best seconds of each step, the seconds of the processor when cold."""
    colds, warms = [], []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as cache:
            colds.append(run(name, cache))
            warms.append(run(name, cache))
    steps = {s: min(c["first"][3].get(s, 0.0) for c in colds) for s in colds[0]["first"][3]}
    columns = ((colds, "first"), (warms, "first"), (warms, "again"))
    cells = [_text([c[which][:2] for c in runs]) for runs, which in columns]
    built = 1e3 * min(c["build"] for c in colds)
    row = [name, str(colds[0]["first"][2]), f"{built:.0f}", *cells]
    return row, steps, min(c["first"][0] for c in colds)


def _text(times: list[list[float]]) -> str:
    used, clock = (1e3 * min(t[k] for t in times) for k in range(2))
    return f"{used:.0f} ({clock:.0f})"


def exponent(times: Mapping[int, float]) -> float:
    """p of seconds ≈ c · nodes^p."""
    slope = np.polyfit(np.log(list(times)), np.log(list(times.values())), 1)[0]
    return round(float(slope), 2)


def import_times(repeats: int) -> dict[str, float]:
    """Seconds of the processor, start of Python included."""
    best: dict[str, float] = {}
    for _ in range(repeats):
        for code in IMPORTS:
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([sys.executable, "-c", code], check=True, env=_with_bytecode())
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            took = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            best[code] = min(best.get(code, took), took)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description="How long compiling takes.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(GRAPHS)}, growth, import")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(child(given.child)))
        return
    names = given.names or [*GRAPHS, "growth", "import"]
    from graphc.tables import Table

    rows, notes = [], []
    for name in [n for n in names if n in GRAPHS]:
        row, steps, _ = measured(name, given.repeats)
        rows.append(row)
        notes.append(f"{name}: " + ", ".join(f"{s} {1e3 * t:.0f}" for s, t in steps.items()))
    growth: dict[int, float] = {}
    for size in SIZES if "growth" in names else ():
        row, _, growth[size] = measured(str(size), given.repeats)
        rows.append(["chain", *row[1:]])
    print(
        Table(["graph", "nodes", "build", "cold", "warm", "again"], rows, "milliseconds: processor (clock)")
    )
    print("\n".join(notes))
    if growth:
        print(f"growth: cold ≈ nodes^{exponent(growth)}")
    if "import" in names:
        print("; ".join(f"{code}: {1e3 * t:.0f} ms" for code, t in import_times(given.repeats + 2).items()))


if __name__ == "__main__":
    main()
