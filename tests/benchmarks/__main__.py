"""graphc against PyTorch, torch.compile, JAX and ONNX Runtime, side by side.

    python -m tests.benchmarks [NAME ...] [--threads 1 2] [--quick] [--json FILE]

Each workload runs in a process of its own, so that the thread pools of one framework's imports do not disturb the
next workload; in it the competitors that are installed take turns. Same weights, same inputs; results are compared
with NumPy's before anything is timed. NAME is a workload or the beginning of some: "lenet" is all three.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from tests.benchmarks.measure import COMPETITORS, WORKLOADS, Measured, Result, measure
from tests.benchmarks.report import as_json, show, summary

_SECONDS, _QUICK_SECONDS = 20.0, 3.0
_CHILD_LIMIT = 600.0
_ROOT = Path(__file__).resolve().parents[2]


def usable_cores() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def selected(names: Sequence[str]) -> list[str]:
    """The workloads that are called so or begin so; all without names."""
    unknown = [n for n in names if not any(w.startswith(n) for w in WORKLOADS)]
    if unknown:
        raise SystemExit(f"no workload begins with {unknown[0]!r}; there are {', '.join(WORKLOADS)}")
    return [w for w in WORKLOADS if not names or any(w.startswith(n) for n in names)]


def environment(threads: int, folder: str) -> dict[str, str]:
    """Thread counts for every runtime, and caches that are empty, so that compile times are cold."""
    count = str(threads)
    variables = {
        "OMP_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "OPENBLAS_NUM_THREADS": count,
        "JAX_PLATFORMS": "cpu",
        "GRAPHC_CACHE": f"{folder}/graphc",
        "TORCHINDUCTOR_CACHE_DIR": f"{folder}/inductor",
        "PYTHONPATH": os.pathsep.join(
            [str(_ROOT), str(_ROOT / "backends"), *filter(None, [os.environ.get("PYTHONPATH")])]
        ),
    }
    if threads == 1:
        variables["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    return {k: v for k, v in os.environ.items() if k != "GRAPHC_THREADS"} | variables


def in_child(name: str, threads: int, seconds: float, only: Sequence[str]) -> Result | str:
    """Measure a workload in a new process; a text where it failed."""
    with tempfile.TemporaryDirectory(prefix="graphc-benchmarks-") as folder:
        file = Path(folder) / "result.json"
        command = [sys.executable, "-m", "tests.benchmarks", name, "--child", str(file)]
        command += ["--threads", str(threads), "--seconds", str(seconds), "--only", *only]
        try:
            done = subprocess.run(
                command,
                cwd=_ROOT,
                env=environment(threads, folder),
                capture_output=True,
                text=True,
                timeout=_CHILD_LIMIT,
            )
        except subprocess.TimeoutExpired:
            return f"not done in {_CHILD_LIMIT:.0f} s"
        if not file.exists():
            lines = done.stderr.strip().splitlines()
            return f"exit status {done.returncode}" + "".join(f"\n  {line}" for line in lines[-5:])
        return from_json(json.loads(file.read_text(encoding="utf-8")))


def from_json(data: Mapping[str, object]) -> Result:
    fields = dict(data)
    entries = fields.pop("competitors")
    assert isinstance(entries, list)
    return Result(**fields, competitors=tuple(Measured(**e) for e in entries))  # type: ignore[arg-type]


def child(arguments: argparse.Namespace) -> None:
    """One workload, in this process; on one core where there is to be one thread, which binds JAX too."""
    threads = arguments.threads[0]
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, usable_cores()[-threads:])
    result = measure(arguments.names[0], threads=threads, seconds=arguments.seconds, only=arguments.only)
    Path(arguments.child).write_text(json.dumps(asdict(result)), encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [c.name for c in COMPETITORS]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(WORKLOADS)}; all without")
    parser.add_argument(
        "--threads", type=int, nargs="+", metavar="N", help="one run for each; default: 1, and 2 if there are"
    )
    parser.add_argument("--quick", action="store_true", help="three seconds of timing a workload, not twenty")
    parser.add_argument("--seconds", type=float, help="of timing a workload")
    parser.add_argument(
        "--only", nargs="*", default=[], choices=names, metavar="COMPETITOR", help="these alone"
    )
    parser.add_argument("--json", type=Path, default=Path("build/benchmarks.json"), help="where figures go")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.child:
        child(arguments)
        return 0

    console = Console(width=None if sys.stdout.isatty() else 140)
    for c in COMPETITORS:
        if (missing := c.missing()) and (not arguments.only or c.name in arguments.only):
            console.print(f"{c.name} is left out: {', '.join(missing)} not installed")
    if (load := os.getloadavg()[0]) > len(usable_cores()) / 2:
        console.print(
            f"the machine is busy (load {load:.1f} on {len(usable_cores())} cores): "
            "with several threads, waiting at barriers will disturb every figure",
            style="yellow",
        )
    seconds = arguments.seconds or (_QUICK_SECONDS if arguments.quick else _SECONDS)
    results: list[Result] = []
    failed = False
    try:
        for name in selected(arguments.names):
            for threads in arguments.threads or range(1, min(2, len(usable_cores())) + 1):
                found = in_child(name, threads, seconds, arguments.only)
                if isinstance(found, str):
                    console.print(f"{name}, {threads} threads: failed: {found}", style="red", markup=False)
                    failed = True
                    continue
                results.append(found)
                failed |= any(c.note for c in found.competitors if c.name == "graphc")
                show(console, found)
    except KeyboardInterrupt:
        console.print("stopped by Ctrl-C; what was measured until then:")
        failed = True
    summary(console, results)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(as_json(results), indent=1), encoding="utf-8")
    console.print(f"all figures: {arguments.json}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
