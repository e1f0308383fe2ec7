"""One workload in one process: prepare every competitor, compare what they compute, then time them in turns.

| competitor              | module          | for                                            |
|-------------------------|-----------------|------------------------------------------------|
| `graphc`                | `with_graphc`   | everything                                     |
| `graphc winograd`       | `with_graphc`   | images, where it is asked for                  |
| `PyTorch`               | `with_torch`    | everything                                     |
| `PyTorch channels_last` | `with_torch`    | images                                         |
| `torch.compile`         | `with_torch`    | everything                                     |
| `JAX jit`               | `with_jax`      | everything                                     |
| `ONNX Runtime`          | `with_onnx`     | values, without gradients                      |
| `PyTensor`              | `with_pytensor` | value and gradients of small graphs            |
| `CasADi`                | `with_casadi`   | value and gradients through buffers            |

A competitor that fails, takes too long to compile or computes something else is left out of the race, with a note.

>>> result = measure("scalars", threads=1, seconds=0.1, only=("graphc",))
>>> result.competitors[0].name, result.competitors[0].note, result.competitors[0].error
('graphc', '', 0.0)
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import FrameType

import numpy as np

from tests.benchmarks import arrays, deep, networks, small
from tests.benchmarks.limits import Arithmetic, Stream
from tests.benchmarks.timing import Timing, interleave, ratio
from tests.benchmarks.workload import Array, Prepared, Problem, Workload

WORKLOADS: dict[str, Workload] = {
    w.name: w for w in (*small.WORKLOADS, *networks.WORKLOADS, *deep.WORKLOADS, *arrays.WORKLOADS)
}

COMPILE_LIMIT = 300.0
_NO_FLOOR = 1e-8  # a floor below this says nothing: the cost is that of a call


_SMALL_BYTES = 1_000_000


def _has_images(problem: Problem) -> bool:
    return any(a.ndim == 4 for a in problem.inputs)


def _only_values(problem: Problem) -> bool:
    return not problem.gradients and problem.optimizer is None


def _small_gradients(problem: Problem) -> bool:
    return bool(problem.gradients) and problem.traffic <= _SMALL_BYTES


def _is_bound(problem: Problem) -> bool:
    return problem.bound


@dataclass(frozen=True, slots=True)
class Competitor:
    """Where a framework's `prepare(problem, threads)` is, and what must be installed for it."""

    name: str
    module: str
    function: str
    packages: tuple[str, ...]
    applies: Callable[[Problem], bool] = lambda problem: True

    def missing(self) -> list[str]:
        return [p for p in self.packages if importlib.util.find_spec(p) is None]

    def load(self) -> Callable[[Problem, int], Prepared]:
        module = importlib.import_module(f"tests.benchmarks.{self.module}")
        prepare: Callable[[Problem, int], Prepared] = getattr(module, self.function)
        return prepare


GRAPHC, TILED, PYTORCH = "graphc", "graphc winograd", "PyTorch"
COMPETITORS = (
    Competitor(GRAPHC, "with_graphc", "prepare", ("graphc",)),
    Competitor(TILED, "with_graphc", "in_tiles", ("graphc",), _has_images),
    Competitor(PYTORCH, "with_torch", "eager", ("torch",)),
    Competitor("PyTorch channels_last", "with_torch", "channels_last", ("torch",), _has_images),
    Competitor("torch.compile", "with_torch", "compiled", ("torch",)),
    Competitor("JAX jit", "with_jax", "prepare", ("jax", "jaxlib")),
    Competitor("ONNX Runtime", "with_onnx", "prepare", ("onnx", "onnxruntime"), _only_values),
    Competitor("PyTensor", "with_pytensor", "prepare", ("pytensor",), _small_gradients),
    Competitor("CasADi", "with_casadi", "prepare", ("casadi",), _is_bound),
)


@dataclass(frozen=True, slots=True)
class Measured:
    """One competitor: seconds until the first result, again from its caches, and for a call; or a note why not.

    `ratio` is how many times longer than graphc it takes, `error` the largest deviation from the reference,
    `memory` the peak of a step and `compile_memory` that of what is done before, in bytes (see `memory`).
    """

    name: str
    note: str = ""
    first: float | None = None
    again: float | None = None
    error: float | None = None
    median: float | None = None
    low: float | None = None
    high: float | None = None
    best: float | None = None
    samples: int = 0
    ratio: float | None = None
    memory: int | None = None
    compile_memory: int | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """A workload on a number of threads; rates in flop/s and byte/s, times in seconds.

    `load` is the machine's average of the last minute when the measurement began.
    """

    workload: str
    title: str
    threads: int
    load: float
    target: float
    training: bool
    flops: float
    traffic: float
    peak: float
    bandwidth: float
    floor: float | None
    competitors: tuple[Measured, ...]

    def of(self, name: str) -> Measured | None:
        return next((c for c in self.competitors if c.name == name), None)

    @property
    def best_peer(self) -> Measured | None:
        peers = [c for c in self.competitors if c.name not in (GRAPHC, TILED) and c.median is not None]
        return min(peers, key=lambda c: c.median or 0.0, default=None)

    @property
    def ratio(self) -> float | None:
        """The best peer's time / graphc's."""
        best = self.best_peer
        return None if best is None else best.ratio

    @property
    def memory_share(self) -> float | None:
        """graphc's peak memory / PyTorch's."""
        own, other = self.of(GRAPHC), self.of(PYTORCH)
        return own.memory / other.memory if own and other and own.memory and other.memory else None

    @property
    def share(self) -> float | None:
        """Of the floor: 1 would be as fast as the machine can."""
        own = self.of(GRAPHC)
        return None if own is None or own.median is None or self.floor is None else self.floor / own.median


class TimeLimit(BaseException):
    """Raised by the alarm; no Exception, since compilers catch those and go on in another way."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeLimit after some seconds; only in the main thread."""

    def alarm(number: int, frame: FrameType | None) -> None:
        raise TimeLimit

    before = signal.signal(signal.SIGALRM, alarm)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def competing(problem: Problem, only: Sequence[str] = ()) -> list[Competitor]:
    """Those that are installed and can do it; of those in `only`, if there are any, else without options."""
    wanted = only or [c.name for c in COMPETITORS if c.name != TILED]
    return [c for c in COMPETITORS if c.name in wanted and not c.missing() and c.applies(problem)]


def measure(
    name: str, *, threads: int, seconds: float, only: Sequence[str] = (), limit: float = COMPILE_LIMIT
) -> Result:
    """Measure a workload by all competitors, or those in `only`; about `seconds` of timing.

    Who takes longer than `limit` seconds until the first result is left out.
    """
    load, problem = os.getloadavg()[0], WORKLOADS[name].problem()
    expected = importlib.import_module("tests.benchmarks.with_graphc").reference(problem)
    ready: dict[str, Prepared] = {}
    entries: dict[str, Measured] = {}
    for c in competing(problem, only):
        entries[c.name], prepared = _prepared(c, problem, threads, expected, limit)
        if prepared is not None:
            ready[c.name] = prepared
    limits: dict[str, Arithmetic | Stream] = {"peak": Arithmetic(problem.dtype)}
    for kind in ("read", "copy"):
        for count in sorted({1, threads}):
            limits[f"{kind} {count}"] = Stream(kind, problem.traffic, count)
    calls = {k: p.call for k, p in ready.items()} | {k: limit.call for k, limit in limits.items()}
    # A network that has learnt its one batch by heart has gradients below 1e-38, which slow many a processor.
    timings = interleave(calls, seconds, before={k: p.reset for k, p in ready.items()})
    # The best sample: a limit is what the machine can do, not what others leave of it.
    rates = {k: limit.amount / timings[k].best for k, limit in limits.items()}
    peak = threads * rates.pop("peak")
    bandwidth = max(rates.values())
    floor = max(problem.flops / peak, problem.traffic / bandwidth)
    return Result(
        name,
        WORKLOADS[name].title,
        threads,
        load,
        WORKLOADS[name].target,
        problem.optimizer is not None,
        problem.flops,
        problem.traffic,
        peak,
        bandwidth,
        floor if floor >= _NO_FLOOR else None,
        tuple(_timed(entry, timings) for entry in entries.values()),
    )


def _timed(entry: Measured, timings: dict[str, Timing]) -> Measured:
    t = timings.get(entry.name)
    if t is None:
        return entry
    own = timings.get(GRAPHC)
    return replace(
        entry,
        median=t.median,
        low=t.low,
        high=t.high,
        best=t.best,
        samples=t.samples,
        ratio=ratio(t, own) if own is not None else None,
    )


def _prepared(
    competitor: Competitor, problem: Problem, threads: int, expected: Sequence[Array], limit: float
) -> tuple[Measured, Prepared | None]:
    """Compile a competitor, call it once and check its results; its parameters are back at the start."""
    name, again = competitor.name, None
    try:
        with time_limit(limit):
            prepare = competitor.load()
            first, prepared = _first(prepare, problem, threads)
            error = _deviation(prepared.read(), expected, problem)
            if name == GRAPHC:
                again, _ = _first(prepare, problem, threads)
    except TimeLimit:
        return Measured(name, f"not compiled in {limit:.0f} s"), None
    except Exception as problem_met:  # any failure of any framework: the others go on
        text = (str(problem_met).strip() or type(problem_met).__name__).splitlines()[0]
        return Measured(name, f"{type(problem_met).__name__}: {text[:300]}"), None
    if not error <= problem.tolerance:
        return Measured(name, f"differs by {error:.1e}", first, again, error), None
    return Measured(name, "", first, again, error), prepared


def _first(
    prepare: Callable[[Problem, int], Prepared], problem: Problem, threads: int
) -> tuple[float, Prepared]:
    start = time.perf_counter()
    prepared = prepare(problem, threads)
    prepared.call()
    return time.perf_counter() - start, prepared


def _deviation(got: Sequence[Array], expected: Sequence[Array], problem: Problem) -> float:
    """The largest |got − expected| of an array, relative to its largest magnitude; of parameters, their change."""
    if len(got) != len(expected):
        return float("inf")
    start = list(problem.params.values()) if problem.optimizer is not None else []
    before = [np.zeros(())] * (len(expected) - len(start)) + start
    worst = 0.0
    for g, e, b in zip(got, expected, before, strict=True):
        if g.shape != e.shape:
            return float("inf")
        wide = e.astype(np.float64) - b
        scale = float(np.abs(wide).max()) or 1.0
        difference = float(np.abs(g.astype(np.float64) - b - wide).max()) / scale
        worst = difference if not difference <= worst else worst  # NaN counts as worst
    return worst
