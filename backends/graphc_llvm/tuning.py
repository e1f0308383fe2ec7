"""Schedules that are chosen by running them: `gc.compile(..., tune=True)`.

Each heavy kernel of a program is scheduled in a few ways that differ in kind, and run by itself (`graphc_llvm.trials`).
The search goes from the model's choice:

1. for each nest that matters, the other plans that the model thinks well of;
2. for the winner, other ways to share its loops among threads: one thread alone, or pairs of iterations;
3. the winner has to beat the model's choice once more, by more than noise.

Kernels that are alike are tuned once.  What is found is kept in the cache, under a name that holds the kernel, the
machine, its threads, and the sources that make code of it: the next compilation measures nothing.  Named dimensions
are taken to be 64.  A kernel that runs by itself finds its data as near as caches allow; in the whole program others
may have driven them out.

>>> from graphc_llvm.nests import Plan
>>> kernel = Kernel("product", (), ())
>>> model, other = Trial(Decision(), kernel, 1.0, 20e-6), Trial(Decision((Plan("j", 32),)), kernel, 1.2, 15e-6)
>>> print(table("product", [model, other], other))
product
   predicted    measured
        1.00     20.0 µs  model's
        1.20     15.0 µs  tile 32 j  <- chosen
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from time import thread_time

import graphc.kernel
from graphc.ir.dims import evaluate
from graphc.kernel.alike import Form
from graphc.kernel.ir import For, Kernel, Kind
from graphc.kernel.program import Call, CodeCache, Machine, Program
from graphc_llvm.decisions import Decision, Decisions, decided, name_of
from graphc_llvm.jit import cache_key
from graphc_llvm.module import FLOPS_PER_NS, work
from graphc_llvm.nests import MEASURE, Nest
from graphc_llvm.plan import Model, choose, ranked
from graphc_llvm.trials import Bench

BUDGET = 0.5
"""Seconds of computing that one kernel may take, about: its code, and running it."""

PLANNING = 0.7  # of it is for plans, where there are also ways to share the loops
LAST = 0.1  # of it is for the winner against the model's choice, on top

HEAVY_NS = 2_000  # an estimate of the least work that is worth tuning
BRIEF_NS = 50_000  # of so little work one thread may be faster than several; more is too dear to mistake that
LARGEST = 1 << 30  # bytes that a kernel may touch, to be run by itself
COUNT = 8  # plans of a nest
MATTERS = 0.1  # of a kernel's cycles: nests of less are left to the model
NOISE = 0.03
"""Of the model's time: a gain that may be chance."""


@dataclass(slots=True)
class Tuned:
    """Decisions for kernels where the model's choice is not the fastest; and what was measured, as text.

    It is `doubtful` where the machine was too busy to measure some kernel, which is left to the model then.
    """

    decisions: Decisions
    doubtful: bool
    tables: list[str]


def tune(program: Program, *, fast: bool, machine: Machine, cache: CodeCache | None) -> Tuned:
    """Decisions for the heavy kernels of a program, from the cache or measured."""
    found: dict[str, Decision] = {}
    tables: list[str] = []
    doubtful = False
    for call in heavy(program):
        form = Form.of(call.kernel)
        name = name_of(form, call.flops)
        if name in found:
            continue
        place = _place(name, call, machine, fast)
        kept = _kept(cache, place)
        if kept is not None:
            found[name] = kept
            tables.append(f"{call.kernel.name}\n  {form.text(str(kept))}  <- kept")
            continue
        search = Search(form, program, call, machine, fast, BUDGET)
        chosen = search.run()
        if chosen is None:
            continue
        found[name] = chosen.decision
        if len(search.trials) > 1:
            tables.append(form.text(table(call.kernel.name, search.trials, chosen)))
        unknown = math.isinf(chosen.seconds) and len(search.trials) > 1
        doubtful |= unknown
        if cache is not None and not unknown:
            cache.put(place, json.dumps(chosen.decision.written()).encode())
    return Tuned({name: d for name, d in found.items() if d != Decision()}, doubtful, tables)


def heavy(program: Program) -> list[Call]:
    """The calls that are worth tuning, in the order of the program."""
    return [c for c in program.calls if _nanoseconds(program, c) >= HEAVY_NS]


def _nanoseconds(program: Program, call: Call) -> float:
    """An estimate of a call on one thread."""
    return evaluate(work(program, call), dict.fromkeys(program.dims, MEASURE[0])) / FLOPS_PER_NS


def _place(name: str, call: Call, machine: Machine, fast: bool) -> str:
    """The key of a decision in the cache."""
    parts = (name, call.flops, call.traffic, machine, fast, cache_key(""), _sources())
    return "t" + hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()


@lru_cache(maxsize=1)
def _sources() -> str:
    """Names the sources that make code of a kernel: with others, another schedule may be the fastest."""
    found = hashlib.sha256()
    for folder in (Path(__file__).parent, Path(graphc.kernel.__file__).parent):
        for path in sorted(folder.rglob("*.py")):
            found.update(path.read_bytes())
    return found.hexdigest()


def _kept(cache: CodeCache | None, place: str) -> Decision | None:
    held = cache.get(place) if cache is not None else None
    try:
        return None if held is None else Decision.read(json.loads(held))
    except (ValueError, TypeError):
        return None


@dataclass(slots=True)
class Trial:
    """A decision, the kernel that it leads to, and the seconds of a call; `predicted` is in times of the model's."""

    decision: Decision
    kernel: Kernel
    predicted: float | None = 1.0
    seconds: float = math.inf


@dataclass(slots=True)
class Search:
    """The search for the schedule of one kernel; see the module."""

    form: Form
    program: Program
    call: Call
    machine: Machine
    fast: bool
    budget: float
    count: int = COUNT
    trials: list[Trial] = field(default_factory=list)

    def run(self) -> Trial | None:
        """The fastest trial, where it beats the model's by more than noise; else the model's.

        None where a kernel is too large to run by itself, or cannot have its names.
        """
        model, nests = self._trial(Decision())
        bench = Bench(self.program, self.call, self.machine, fast=self.fast)
        if model is None or bench.bytes > LARGEST:
            return None
        start, best = thread_time(), model
        planning = self.budget * (PLANNING if self.machine.threads > 1 else 1.0)
        for at in self._that_matter(nests):
            left = planning - (thread_time() - start)
            best = self._best(bench, [best, *self._planned(best, nests, at)], left)
        if self.machine.threads > 1:
            left = self.budget - (thread_time() - start)
            best = self._best(bench, [best, *self._shared(best)], left)
        if best is not model:
            self._best(bench, [model, best], LAST * self.budget)
        sure = best.seconds <= (1 - NOISE) * model.seconds < math.inf
        return best if sure else model

    def _best(self, bench: Bench, trials: Sequence[Trial], limit: float) -> Trial:
        """The fastest of some trials, which take turns."""
        if len(trials) == 1:
            return trials[0]
        times = bench.times([t.kernel for t in trials], limit)
        for t, seconds in zip(trials, times, strict=True):
            t.seconds = min(t.seconds, seconds)
        return trials[min(range(len(trials)), key=times.__getitem__)]

    def _trial(self, decision: Decision, predicted: float | None = 1.0) -> tuple[Trial | None, list[Nest]]:
        """A schedule that was not tried before, None where it was or does not exist; and the nests of the kernel."""
        bare, _, nests = decided(self.form.kernel, self.machine, self.call.flops, decision)
        kernel = self.form.restore(bare, self.call.kernel.name)
        if kernel is None or any(str(t.kernel) == str(kernel) for t in self.trials):
            return None, nests
        trial = Trial(decision, kernel, predicted)
        self.trials.append(trial)
        return trial, nests

    def _that_matter(self, nests: Sequence[Nest]) -> list[int]:
        """Where nests are whose plans matter, those of most cycles first."""
        cycles: list[float] = []
        for nest in nests:
            model = Model(nest, self.machine)
            cycles.append(model.cycles(choose(nest, self.machine), model.envs[0]))
        order = sorted(range(len(nests)), key=lambda at: -cycles[at])
        return [at for at in order if cycles[at] >= MATTERS * sum(cycles)]

    def _planned(self, best: Trial, nests: Sequence[Nest], at: int) -> Iterator[Trial]:
        """The best trial with other plans for one nest."""
        plans = ranked(nests[at], self.machine, self.count)
        for plan, score in plans:
            chosen = [*best.decision.plans, *[None] * len(nests)][: len(nests)]
            chosen[at] = plan
            trial, _ = self._trial(replace(best.decision, plans=tuple(chosen)), score / plans[0][1])
            if trial is not None:
                yield trial

    def _shared(self, best: Trial) -> Iterator[Trial]:
        """The best trial with its loops shared in another way."""
        shared = [s for s in best.kernel.body if isinstance(s, For) and s.kind is Kind.PARALLEL]
        if not shared:
            return
        pairs = any(isinstance(s, For) and s.kind is Kind.PARALLEL for f in shared for s in f.body)
        tried = [replace(best.decision, pairs=not pairs)]
        if _nanoseconds(self.program, self.call) <= BRIEF_NS:
            tried += [Decision(threads=1), replace(best.decision, threads=1)]
        for decision in dict.fromkeys(tried):
            trial, _ = self._trial(decision, None)
            if trial is not None:
                yield trial


def table(name: str, trials: Sequence[Trial], chosen: Trial) -> str:
    """What was tried for a kernel, as text."""
    lines = [name, "   predicted    measured"]
    for t in trials:
        predicted = "-" if t.predicted is None else f"{t.predicted:.2f}"
        measured = "-" if math.isinf(t.seconds) else f"{1e6 * t.seconds:.1f} µs"
        mark = "  <- chosen" if t is chosen else ""
        lines.append(f"{predicted:>12}{measured:>12}  {t.decision}{mark}")
    return "\n".join(lines)
