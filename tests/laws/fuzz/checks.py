"""One random program, computed in every way; the first result that is not right is a finding.

| way                 | what it is                                                                    |
|---------------------|-------------------------------------------------------------------------------|
| `all`               | all passes, by the reference                                                  |
| `without merge`, …  | one pass off, by the reference                                                |
| `interpreter`       | all passes, by the interpreter                                                |
| `llvm`, `llvm 2`    | all passes, by LLVM, on one thread and on two                                 |
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
from dataclasses import dataclass

import numpy as np

import graphc as gc
from graphc.errors import GraphcError
from graphc.ir.evaluate import bind_dims, evaluate_nodes
from graphc.ir.node import toposort
from graphc.passes.pipeline import LATER, PIPELINE, optimize
from graphc.runtime import reference
from tests.laws.fuzz.noise import bounds
from tests.laws.fuzz.program import Array, Built, Program

PASSES = tuple(p.name for p in PIPELINE)
EVERY = ("all", *(f"without {name}" for name in PASSES), "interpreter", "llvm", "llvm 2",
         "llvm without fuse", "llvm plain", "differences", "forward")  # fmt: skip
"""The names of all ways."""
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
    """The ways in which graph number k of a run is computed: the cheap ones always, the others in turn."""
    found = ["all", *(f"without {name}" for name in PASSES), "llvm", "differences"]
    extra = ("interpreter", "forward", "llvm without fuse", "interpreter", "llvm plain", "forward", "llvm 2")
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
    for way in EVERY:
        if way not in ways:
            continue
        try:
            found = _differentiate(program, way) if way in ("differences", "forward") else _compute(built, judge, way)
        except Exception as error:
            found = _crash(way, error)
        if found is not None:
            return found
    return None


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
    def of(program: Program, built: Built) -> Judge:
        exact, spreads = bounds(built.graph, built.arguments)
        twin = program.in_float64().build()
        wide, wide_spreads = bounds(twin.graph, twin.arguments)
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
        kind = "value" if np.isfinite(got[at]) and np.isfinite(want[at]) else "finite" if np.isfinite(want[at]) else "nan"
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


def room_of(true: Array, info: np.finfo) -> Array:  # type: ignore[type-arg]
    return np.asarray(256 * float(info.eps) * np.abs(true) + 16 * float(info.smallest_subnormal))


def _compute(built: Built, judge: Judge, way: str) -> Finding | None:
    if way == "all" or way in (f"without {name}" for name in PASSES):
        off = () if way == "all" else (way.removeprefix("without "),)
        optimized, _ = optimize(built.graph, disable=off)
        results = reference.evaluate(optimized, built.arguments)
        count = len(optimized.outputs)
        new = dict(zip((p for p, _ in optimized.updates), results[count:], strict=True))
        kept = [new.get(p.node, p.value) for p in built.updates]  # an update by itself is dropped
        return judge.verdict(way, [*results[:count], *kept])
    off = {"llvm without fuse": ("fuse",), "llvm plain": (*PASSES, *LATER)}.get(way, ())
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


# ---- gradients -------------------------------------------------------------------------------------------------

_ON_PURPOSE = ("custom_gradient", "straight_through", "stop_gradient", "dropout", "while_loop")
"""What has another gradient than its value says."""


def _differentiate(program: Program, way: str) -> Finding | None:
    """The gradient along a direction, near the point: in float64, away from kinks and edges."""
    if any(word in line.text for line in program.lines for word in _ON_PURPOSE):
        return None
    twin = program.in_float64()
    floats = {leaf.name for leaf in twin.leaves if leaf.dtype in "FH" and not leaf.param}
    wrt = tuple(name for name in twin.wrt if name in floats)
    if not wrt:
        return None
    built = Program(twin.dtype, twin.size, twin.leaves, twin.lines, twin.outputs, wrt, twin.loss, True).build()
    assert built.loss is not None
    found = [_along(built, wrt, seed, way) for seed in range(3)]
    wrong = [text for text in found if text]
    # Differences may be wrong by chance, next to a kink; everywhere they are not.
    return Finding(way, "loss", f"slope: {wrong[0]}") if len(wrong) == len(found) else None


def _along(built: Built, wrt: tuple[str, ...], seed: int, way: str) -> str:
    """What is wrong at one point near the arguments; nothing where the differences themselves do not settle."""
    assert built.loss is not None
    rng = np.random.default_rng(seed)
    gradients = built.outputs[-len(wrt) :]
    named = dict(zip((str(n.op.attributes()["name"]) for n in built.graph.inputs), built.graph.inputs, strict=True))
    start = dict(zip(built.graph.inputs, built.arguments, strict=True))
    for name in wrt:
        value = start[named[name]]
        start[named[name]] = value + rng.normal(size=value.shape) * 1e-2 * (1 + np.abs(value))
    directions = [rng.normal(size=start[named[name]].shape) for name in wrt]
    dims = bind_dims(built.graph.inputs, built.arguments)
    order = toposort([built.loss.node, *(g.node for g in gradients)])
    values = evaluate_nodes(order, start, dims)
    parts = [values[g.node] * d for g, d in zip(gradients, directions, strict=True)]
    slope, size = (float(sum(np.sum(f(p)) for p in parts)) for f in (np.asarray, np.abs))
    if not np.isfinite(values[built.loss.node]):
        return ""
    if way == "forward":
        seeds = [gc.const(d, "float64") for d in directions]
        xs = [t for name in wrt for t in built.inputs if t.node is named[name]]
        try:
            if "N" in dims:  # tangents have the type of their x
                return ""
            (moved,) = gc.jvp([built.loss], xs, seeds)
        except GraphcError:
            return ""
        other = float(evaluate_nodes(toposort([moved.node]), start, dims)[moved.node])
        if not np.isfinite(slope) or not np.isfinite(other):
            return "" if np.isfinite(slope) == np.isfinite(other) else f"{slope!r} in reverse mode, {other!r} in forward mode"
        return "" if abs(other - slope) <= 1e-6 * (size + 1) else f"{slope!r} in reverse mode, {other!r} in forward mode"
    if not np.isfinite(slope):
        return ""
    steps = (1e-4, 3e-5, 1e-5)
    order = toposort([built.loss.node])
    ratios = []
    for h in steps:
        ends = []
        for sign in (1, -1):
            moved_to = dict(start)
            for name, d in zip(wrt, directions, strict=True):
                moved_to[named[name]] = start[named[name]] + sign * h * d
            ends.append(float(evaluate_nodes(order, moved_to, dims)[built.loss.node]))
        ratios.append((ends[0] - ends[1]) / (2 * h))
    centre = ratios[-1]
    settled = np.all(np.isfinite(ratios)) and np.ptp(ratios) <= 1e-4 * (abs(centre) + 1e-3)
    if not settled or abs(slope - centre) <= 1e-2 * abs(centre) + 1e-3 * (size + 1):
        return ""
    return f"{slope!r} as a gradient, {centre!r} by differences"

