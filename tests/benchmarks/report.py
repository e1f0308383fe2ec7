"""What was measured, as tables for people and as JSON.

>>> seconds(1.5e-6), seconds(0.25), seconds(None)
('1.50 µs', '250 ms', '-')
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from statistics import geometric_mean

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tests.benchmarks.measure import COMPETITORS, GRAPHC, TILED, Result

MEMORY_TARGET = 0.6
"""What a training step needs at most, of PyTorch's peak."""


def seconds(value: float | None) -> str:
    """Three digits and a unit."""
    if value is None:
        return "-"
    units = (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6), ("ns", 1e-9))
    unit, scale = next((u for u in units if value >= u[1]), units[-1])
    number = value / scale
    return f"{number:.{2 if number < 10 else 1 if number < 100 else 0}f} {unit}"


def times(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}×"


def percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def mebibytes(value: int | None) -> str:
    return "-" if value is None else f"{value / 2**20:.{1 if value < 100 * 2**20 else 0}f} MiB"


def show(console: Console, result: Result) -> None:
    """The table of one workload."""
    table = Table(
        title=f"{result.workload}: {result.title}; {_threads(result.threads)}", title_justify="left"
    )
    table.add_column("competitor")
    for column in (
        "median",
        "quartiles",
        "best",
        "GFLOP/s",
        "time / graphc's",
        "first call",
        "memory",
        "deviation",
    ):
        table.add_column(column, justify="right")
    best = result.best_peer
    for c in result.competitors:
        if c.median is None:
            table.add_row(c.name, Text(c.note, style="red"), "", "", "", "", seconds(c.first))
            continue
        style = "bold" if c.name == GRAPHC else "cyan" if c is best else ""
        rate = f"{result.flops / c.median / 1e9:.1f}" if result.flops >= 1e3 else "-"
        table.add_row(
            c.name,
            seconds(c.median),
            f"{seconds(c.low)} – {seconds(c.high)}",
            seconds(c.best),
            rate,
            times(c.ratio),
            seconds(c.first),
            mebibytes(c.memory),
            f"{c.error or 0.0:.0e}",
            style=style,
        )
    own = result.of(GRAPHC)
    notes = [
        f"peak {result.peak / 1e9:.0f} GFLOP/s, bandwidth {result.bandwidth / 1e9:.0f} GB/s over what it touches",
        f"load {result.load:.1f} before; floor {seconds(result.floor)}, graphc reaches {percent(result.share)} of it",
    ]
    if own is not None and own.again is not None:
        notes.append(f"graphc's first call from its cache: {seconds(own.again)}")
    tiled = result.of(TILED)
    if own is not None and tiled is not None and tiled.ratio is not None:
        versus = f", {times(result.ratio / tiled.ratio)} of the best peer's speed" if result.ratio else ""
        notes.append(f"with winograd=True: {times(1 / tiled.ratio)} of its own speed without{versus}")
    table.caption, table.caption_justify = "\n".join(notes), "left"
    console.print(table)


_COLUMNS = (
    *("threads", "graphc", "best peer", "", "ratio", "target", "at best", "floor", "share"),
    *("compile", "peer's", "memory", "/ PyTorch's"),
)


def summary(console: Console, results: Sequence[Result]) -> None:
    """One line for each workload: ratio = best peer's time / graphc's time; `at best` by their fastest samples.

    Targets are for two threads; for any other number the target is 1.
    """
    table = Table(title="graphc against the best peer", title_justify="left", padding=(0, 0, 0, 1))
    table.add_column("workload")
    for column in _COLUMNS:
        table.add_column(column, justify="left" if column == "best peer" else "right")
    for r in results:
        own, best = r.of(GRAPHC), r.best_peer
        peers = (c.best for c in r.competitors if c.best and c.name not in (GRAPHC, TILED))
        fastest = min(peers, default=None)
        table.add_row(
            r.workload,
            str(r.threads),
            Text("failed", style="red") if own and own.note else seconds(own.median) if own else "-",
            best.name if best else "-",
            seconds(best.median) if best else "-",
            Text(times(r.ratio), style=_style(r)),
            f"{r.target:g}×" if r.threads == 2 else "",
            times(fastest / own.best if fastest and own and own.best else None),
            seconds(r.floor),
            percent(r.share),
            seconds(own.first) if own else "-",
            seconds(best.first) if best else "-",
            mebibytes(own.memory) if own else "-",
            Text(times(r.memory_share), style="red" if (r.memory_share or 0) > MEMORY_TARGET else "green"),
        )
    console.print(table)
    for threads in sorted({r.threads for r in results}):
        console.print(", ".join(outcome([r for r in results if r.threads == threads])))


def outcome(results: Sequence[Result]) -> list[str]:
    """How many rows reach their target, are below 1, and the geometric mean; all on one number of threads.

    A row that has no ratio, since graphc failed, reaches nothing.
    """
    threads = results[0].threads
    ratios = [r.ratio for r in results if r.ratio]
    facts = [f"{_threads(threads)}: {len(results)} workloads"]
    if threads == 2:
        facts.append(f"{sum(reached(r) for r in results)} reach their target")
    facts.append(f"{sum(q < 1 for q in ratios)} are below 1")
    facts.extend(f"{len(results) - len(ratios)} have no ratio" for _ in range(len(ratios) < len(results)))
    if ratios:
        facts.append(f"geometric mean {geometric_mean(ratios):.2f}×")
    shares = [r.memory_share for r in results if r.memory_share]
    if shares:
        within = sum(s <= MEMORY_TARGET for s in shares)
        facts.append(f"{within} of {len(shares)} use at most {MEMORY_TARGET} of PyTorch's memory")
    return facts


def reached(result: Result) -> bool:
    """Whether the ratio is the target's, which is that for two threads; else whether it is 1."""
    return (result.ratio or 0.0) >= (result.target if result.threads == 2 else 1.0)


def _style(result: Result) -> str:
    return "green" if reached(result) else "yellow" if (result.ratio or 0.0) >= 1 else "red"


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    found = Path("/proc/cpuinfo")
    model = ""
    if found.exists():
        lines = found.read_text(encoding="utf-8").splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    return {
        "cpu": model or platform.processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load": list(os.getloadavg()),
    }


def versions() -> Mapping[str, str]:
    """Of the packages of all competitors that are installed."""
    found = {}
    for name in dict.fromkeys(p for c in COMPETITORS for p in (*c.packages, "numpy", "llvmlite")):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def as_json(results: Sequence[Result]) -> dict[str, object]:
    """All figures: times in seconds, rates in flop/s and byte/s."""
    rows = []
    for r in results:
        best = r.best_peer
        derived = {
            "best_peer": best.name if best else None,
            "ratio": r.ratio,
            "reached": reached(r),
            "share": r.share,
            "memory_share": r.memory_share,
        }
        rows.append(asdict(r) | derived)
    return {"machine": machine(), "versions": versions(), "results": rows}


def _threads(count: int) -> str:
    return "one thread" if count == 1 else f"{count} threads"
