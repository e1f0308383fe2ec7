"""graphc against PyTorch, torch.compile, JAX, ONNX Runtime, PyTensor and CasADi, side by side.

    python -m tests.benchmarks [NAME ...] [--threads 1 2] [--quick] [--winograd] [--json FILE] [--plot FILE.svg]

Each workload runs in a process of its own, so that the thread pools of one framework's imports do not disturb the
next workload; in it the competitors that are installed take turns. Same weights, same inputs; results are compared
with NumPy's before anything is timed. The peak memory of training steps is taken in further processes, one for each
competitor. NAME is a workload or the beginning of some: "lenet" is all three. torch.compile takes minutes for deep
networks: `--without torch.compile`, or a shorter `--compile-limit`.  PyTensor is in no extra: it asks for an older
Numba, and so for an older llvmlite, which would change graphc's own figures; Numba 0.68 and llvmlite 0.50 do as well.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.benchmarks import memory, plot
from tests.benchmarks.measure import COMPETITORS, COMPILE_LIMIT, TILED, WORKLOADS, Measured, Result, measure
from tests.benchmarks.report import as_json, show, summary

_SECONDS, _QUICK_SECONDS = 20.0, 3.0
_QUICK_COMPILE_LIMIT = 120.0
_CHILD_LIMIT = 600.0  # of what is not compiling
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
        "PYTENSOR_FLAGS": f"base_compiledir={folder}/pytensor",
        "PYTHONPATH": os.pathsep.join(
            [str(_ROOT), str(_ROOT / "backends"), *filter(None, [os.environ.get("PYTHONPATH")])]
        ),
    }
    if threads == 1:
        variables["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    # All find their modules compiled to bytecode, as after an installation; the first process makes graphc's.
    dropped = ("GRAPHC_THREADS", "PYTHONDONTWRITEBYTECODE")
    return {k: v for k, v in os.environ.items() if k not in dropped} | variables


def in_child(name: str, threads: int, arguments: argparse.Namespace) -> Result | str:
    """Measure a workload in a new process, its memory in others; a text where it failed."""
    with tempfile.TemporaryDirectory(prefix="graphc-benchmarks-") as folder:
        limit = arguments.compile_limit
        options = [
            "--seconds",
            str(arguments.seconds),
            "--compile-limit",
            str(limit),
            "--only",
            *arguments.only,
        ]
        found = _child([name, "--threads", str(threads), *options], threads, folder, _CHILD_LIMIT + 3 * limit)
        if isinstance(found, str):
            return found
        result = from_json(found)
        if arguments.memory == "none" or (arguments.memory == "training" and not result.training):
            return result
        entries = []
        for c in result.competitors:
            if c.median is not None:
                options = ["--memory-of", c.name, "--threads", str(threads)]
                sizes = _child([name, *options], threads, folder, 2 * limit)
                if isinstance(sizes, dict):
                    c = replace(c, **sizes)
            entries.append(c)
        return replace(result, competitors=tuple(entries))


def _child(command: Sequence[str], threads: int, folder: str, limit: float) -> dict[str, Any] | str:
    """What this command writes in a new process, the caches of all compilers in `folder`."""
    file = Path(folder) / "result.json"
    file.unlink(missing_ok=True)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks", *command, "--child", str(file)],
            cwd=_ROOT,
            env=environment(threads, folder),
            capture_output=True,
            text=True,
            timeout=limit,
        )
    except subprocess.TimeoutExpired:
        return f"not done in {limit:.0f} s"
    if not file.exists():
        lines = done.stderr.strip().splitlines()
        return f"exit status {done.returncode}" + "".join(f"\n  {line}" for line in lines[-5:])
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def from_json(data: Mapping[str, object]) -> Result:
    fields = dict(data)
    entries = fields.pop("competitors")
    assert isinstance(entries, list)
    return Result(**fields, competitors=tuple(Measured(**e) for e in entries))  # type: ignore[arg-type]


def child(arguments: argparse.Namespace) -> None:
    """One workload, in this process; on one core where there is to be one thread, which binds JAX too."""
    (name,), (threads,) = arguments.names, arguments.threads
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, usable_cores()[-threads:])
    if arguments.memory_of:
        competitor = next(c for c in COMPETITORS if c.name == arguments.memory_of)
        step, compiling = memory.peak(competitor, name, threads) or (None, None)
        found: dict[str, object] = {"memory": step, "compile_memory": compiling}
    else:
        seconds, limit = arguments.seconds, arguments.compile_limit
        found = asdict(measure(name, threads=threads, seconds=seconds, only=arguments.only, limit=limit))
    Path(arguments.child).write_text(json.dumps(found), encoding="utf-8")


def parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [c.name for c in COMPETITORS]
    competitors = {"nargs": "*", "default": [], "choices": names, "metavar": "COMPETITOR"}
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help=f"of {', '.join(WORKLOADS)}; all without")
    add(
        "--threads", type=int, nargs="+", metavar="N", help="one run for each; default: 1, and 2 if there are"
    )
    add("--quick", action="store_true", help="three seconds of timing a workload, not twenty")
    add("--seconds", type=float, help="of timing a workload")
    add(
        "--compile-limit",
        type=float,
        metavar="SECONDS",
        help=f"for one; default: {COMPILE_LIMIT:.0f}, quick 120",
    )
    add("--only", help=f"these alone, of {', '.join(names)}", **competitors)
    add("--without", help="all but these", **competitors)
    add(
        "--winograd",
        action="store_true",
        help=f"{TILED} too: convolutions in tiles, which graphc does if asked",
    )
    add("--memory", choices=("none", "training", "all"), default="training", help="of which workloads")
    add("--json", type=Path, default=Path("build/benchmarks.json"), help="where figures go")
    add("--plot", type=Path, metavar="FILE.svg", help="the ratios to the best peer, drawn")
    add("--child", help=argparse.SUPPRESS)
    add("--memory-of", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    quick = arguments.quick
    arguments.seconds = arguments.seconds or (_QUICK_SECONDS if quick else _SECONDS)
    arguments.compile_limit = arguments.compile_limit or (_QUICK_COMPILE_LIMIT if quick else COMPILE_LIMIT)
    if arguments.winograd:
        arguments.only = [*(arguments.only or (n for n in names if n != TILED)), TILED]
    if arguments.without:
        every = arguments.only or [n for n in names if n != TILED]
        arguments.only = [n for n in every if n not in arguments.without]
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parsed(argv)
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
    results: list[Result] = []
    failed = False
    try:
        for name in selected(arguments.names):
            for threads in arguments.threads or range(1, min(2, len(usable_cores())) + 1):
                found = in_child(name, threads, arguments)
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
    if arguments.plot:
        arguments.plot.parent.mkdir(parents=True, exist_ok=True)
        arguments.plot.write_text(plot.svg(results), encoding="utf-8")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
