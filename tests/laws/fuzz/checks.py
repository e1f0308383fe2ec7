"""One random program, computed in every way; the first result that is not right is a finding.

| way                 | what it is                                                                    |
|---------------------|-------------------------------------------------------------------------------|
| `all`               | all passes, by the reference                                                  |
| `without merge`, …  | one pass off, by the reference                                                |
| `interpreter`       | all passes, by the interpreter                                                |
| `llvm`, `llvm 2`    | all passes, by LLVM, on one thread, and on two that share every loop          |
| `llvm without fuse` | one pass off, or all (`llvm plain`), by LLVM                                  |
| `differences`       | the gradient along a direction against central differences of the loss        |
| `forward`           | the same against forward mode                                                 |

The graph as written, by the reference, is what is right, to within what rounding may do (`tests.laws.fuzz.noise`).
Rules of stability may also be righter than the graph as written: then they agree with the same graph in float64.

* Integers and truth values that rounding cannot move are equal.
* Where the graph as written is finite, every way is.
* Where it is NaN or infinite, so is every way; a way with the rules of stability may be finite there instead,
  and agrees with the graph in float64 wherever that is finite.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import nullcontext
from dataclasses import dataclass
from unittest import mock

import numpy as np

import graphc as gc
from graphc.errors import GraphcError
from graphc.ir.graph import Graph
from graphc.passes.log import Log
from graphc.passes.pipeline import LATER, PIPELINE, optimize
from graphc.runtime import reference
from graphc_llvm import emit_entry
from tests.laws.fuzz.noise import RUNS, bounds
from tests.laws.fuzz.program import Array, Built, Program
from tests.laws.fuzz.slopes import wrong_slope

PASSES = tuple(p.name for p in PIPELINE)
EVERY = ("all", *(f"without {name}" for name in PASSES), "interpreter", "llvm", "llvm 2",
         "llvm without fuse", "llvm plain", "differences", "forward")  # fmt: skip
"""The names of all ways."""
SLOPES = ("differences", "forward")
"""Ways that look at the gradient."""
MANY_RUNS = 40
SLACK = 16
"""How many times the spread of noisy runs a result may be off."""


@dataclass(frozen=True)
class Finding:
    """A way that goes wrong: at an output, or with an error."""

    way: str
    output: str
    text: str

    def __str__(self) -> str:
        return f"{self.way}: {self.output}: {self.text}"

    def like(self, other: Finding | None) -> bool:
        """Whether another finding is of the same kind."""
        if other is None or self.way != other.way:
            return False
        kinds = [f.text.split(":")[0] for f in (self, other)]
        return kinds[0] == kinds[1]


def ways_of(number: int) -> tuple[str, ...]:
    """The ways in which graph number k of a run is computed: some always, the others in turn."""
    off = {PASSES[number % len(PASSES)], PASSES[number // len(PASSES) % len(PASSES)]}
    found = ["all", *(f"without {name}" for name in sorted(off)), "llvm", "differences"]
    extra = ("interpreter", "forward", "llvm without fuse", "interpreter", "llvm 2", "interpreter", "llvm plain",
             "forward", "interpreter", "llvm 2", "forward")  # fmt: skip
    return (*found, extra[number % len(extra)])


def check(program: Program, ways: Collection[str] = EVERY) -> Finding | None:
    """The first finding, or None.  A program that the language refuses is none."""
    try:
        built = program.build()
    except GraphcError:
        return None
    except Exception as error:
        return _crash("build", error)
    try:
        judge = Judge.of(program, built)
    except GraphcError:
        return None
    except Exception as error:
        return _crash("reference", error)
    optimizer = Optimizer(built)
    idle: set[str] = set()
    for way in EVERY:
        if way not in ways or way in idle:
            continue
        if way == "all":
            idle = {f"without {name}" for name in PASSES} - optimizer.busy()
        try:
            found = _slope(program, way) if way in SLOPES else _compute(built, judge, way, optimizer)
            if found is not None and way not in SLOPES:
                # A few runs may by chance all round alike where much cancels; many do not.
                found = _compute(built, Judge.of(program, built, MANY_RUNS), way, optimizer)
        except Exception as error:
            found = _crash(way, error)
        if found is not None:
            return found
    return None


def _slope(program: Program, way: str) -> Finding | None:
    text = wrong_slope(program, way)
    return Finding(way, "loss", f"slope: {text}") if text else None


class Optimizer:
    """The passes over one graph, each selection of them once."""

    def __init__(self, built: Built) -> None:
        self.graph = built.graph
        self.done: dict[frozenset[str], tuple[Graph, Log]] = {}

    def __call__(
        self, graph: object = None, *, disable: Collection[str] = (), **options: object
    ) -> tuple[Graph, Log]:
        """As `optimize`, of this graph, whichever equal one is given; all other options are the default ones."""
        key = frozenset(disable)
        if key not in self.done:
            self.done[key] = optimize(self.graph, disable=disable)
        return self.done[key]

    def busy(self) -> set[str]:
        """The passes that do something, as the log says: without any other one the graph is the same."""
        try:
            events = self()[1]
        except Exception:
            return {f"without {name}" for name in PASSES}
        return {f"without {event.pass_name}" for event in events if event.rule != "removed"}


def _crash(way: str, error: Exception) -> Finding:
    return Finding(way, "-", f"{type(error).__name__}: {str(error)[:300]}")


# ---- values ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Judge:
    """What is right: the graph as written, and in float64."""

    names: list[str]
    exact: list[Array]
    spreads: list[Array]
    wide: list[Array] | None
    wide_spreads: list[Array] | None

    @staticmethod
    def of(program: Program, built: Built, runs: int = RUNS) -> Judge:
        exact, spreads = bounds(built.graph, built.arguments, runs)
        twin = program.in_float64().build()
        wide, wide_spreads = bounds(twin.graph, twin.arguments, runs)
        return Judge(built.names, exact, spreads, wide, wide_spreads)

    def verdict(self, way: str, results: list[Array]) -> Finding | None:
        rescues = "without stability" not in way and "plain" not in way
        for k, (name, got) in enumerate(zip(self.names, results, strict=True)):
            text = self._compare(k, got, rescues)
            if text:
                return Finding(way, name, text)
        return None

    def _compare(self, k: int, got: Array, rescues: bool) -> str:
        want, spread = self.exact[k], self.spreads[k]
        if got.dtype != want.dtype or got.shape != want.shape:
            return f"type: {got.dtype}{list(got.shape)}, not {want.dtype}{list(want.shape)}"
        assert self.wide is not None and self.wide_spreads is not None
        true, true_spread = self.wide[k], self.wide_spreads[k]
        with np.errstate(all="ignore"):
            if want.dtype.kind != "f":
                wrong = (got != want) & (spread == 0) & (got != true)
            else:
                wrong = _wrong(got, want, spread, true.astype(np.float64), true_spread, rescues)
        if not np.any(wrong):
            return ""
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        kind = "nan" if not np.isfinite(want[at]) else "value" if np.isfinite(got[at]) else "finite"
        return (
            f"{kind}: {got[at]!r} instead of {want[at]!r} ± {spread[at]:.2g}, in float64 {true[at]!r} ± "
            f"{true_spread[at]:.2g}, at {list(at)}, and at {int(np.sum(wrong))} of {want.size} places"
        )


def _wrong(got: Array, want: Array, spread: Array, true: Array, true_spread: Array, rescues: bool) -> Array:
    info = np.finfo(want.dtype)
    g, w = got.astype(np.float64), want.astype(np.float64)
    room = SLACK * spread + 8 * float(info.eps) * np.abs(w) + 16 * float(info.smallest_subnormal)
    same = (g == w) | (np.isnan(g) & np.isnan(w)) | (np.abs(g - w) <= room) | ~np.isfinite(spread)
    # Righter than what was written: by the graph in float64, whose own errors count too.
    off = np.abs(w - true)
    naive = np.where(np.isfinite(off), np.minimum(off, np.abs(true)), np.abs(true))
    close = np.abs(g - true) <= SLACK * true_spread + room_of(true, info) + 0.01 * naive
    close &= np.isfinite(g)
    if want.dtype == np.float64 or not np.all(np.isfinite(true)):
        close |= np.isfinite(g) & ~np.isfinite(w) & ~np.isfinite(true) & rescues
    close |= np.isnan(w) & np.isnan(true) & rescues & np.isinf(g)
    close |= (g == true) & np.isinf(g)
    return np.asarray(~(same | close))


def room_of(true: Array, info: np.finfo) -> Array:
    return np.asarray(256 * float(info.eps) * np.abs(true) + 16 * float(info.smallest_subnormal))


def _compute(built: Built, judge: Judge, way: str, optimizer: Optimizer) -> Finding | None:
    if way == "all" or way in (f"without {name}" for name in PASSES):
        disabled = [] if way == "all" else [way.removeprefix("without ")]
        optimized, _ = optimizer(disable=disabled)
        results = reference.evaluate(optimized, built.arguments)
        count = len(optimized.outputs)
        new = dict(zip((p for p, _ in optimized.updates), results[count:], strict=True))
        kept = [new.get(p.node, p.value) for p in built.updates]  # an update by itself is dropped
        return judge.verdict(way, [*results[:count], *kept])
    off = {"llvm without fuse": ("fuse",), "llvm plain": (*PASSES, *LATER)}.get(way, ())
    # With two threads no loop is too short to be shared.
    shared = mock.patch.object(emit_entry, "ENOUGH", -1) if way == "llvm 2" else nullcontext()
    with shared, mock.patch("graphc.runtime.compile.optimize", optimizer):
        function = gc.compile(
            built.inputs,
            built.outputs,
            updates=built.updates,
            backend="interpreter" if way == "interpreter" else "llvm",
            disable=off,
            threads=2 if way == "llvm 2" else 1,
            cache=False,
        )
    held = [(p, p.value.copy()) for p in built.updates]
    try:
        results = list(function(*built.arguments))
        results += [p.value.copy() for p in built.updates]
    finally:
        for p, value in held:
            p.value[...] = value
    return judge.verdict(way, results)
