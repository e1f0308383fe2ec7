"""Peak memory of one competitor, in a process of its own.

Memory is what the system counts: the resident set, and its high-water mark, which Linux lets be set back.

| moment                                                    | what is taken                        |
|-----------------------------------------------------------|--------------------------------------|
| imports done, a very small problem of the kind run, data made | the resident set: the base       |
| compiled, first step made                                 | high-water mark − base: of compiling |
| freed memory given back (malloc_trim), mark set back      |                                      |
| a few steps more                                          | high-water mark − base: of the step  |

So the peak of a step counts the competitor's own copy of the parameters, what the optimiser remembers, activations,
gradients, scratch, and whatever compiling left behind; not the modules, nor the arrays that the data came in.  The
very small problem loads what is only loaded on first use, and starts the threads.

>>> from tests.benchmarks.measure import COMPETITORS
>>> found = peak(COMPETITORS[0], "sigmoid-f32", 1)
>>> found is None or 0 < found[0] < 1e9
True
"""

from __future__ import annotations

import ctypes
import gc
import re
from pathlib import Path

import numpy as np

from tests.benchmarks.measure import WORKLOADS, Competitor
from tests.benchmarks.workload import SGD, Ops, Problem, Value

_STEPS = 5
_STATUS, _REFERENCES = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def resident(field: str) -> int:
    """VmRSS, or VmHWM, in bytes."""
    found = re.search(rf"{field}:\s*(\d+) kB", _STATUS.read_text(encoding="ascii"))
    assert found is not None
    return 1024 * int(found[1])


def _settle() -> None:
    """Free memory goes back to the system, where the C library can, and the mark to what is in use now."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    _REFERENCES.write_text("5", encoding="ascii")


def _little_loss(ops: Ops, params: dict[str, Value], x: Value) -> Value:
    d = ops.tanh(x @ params["w"])
    return ops.sum(d * d)


def _little() -> Problem:
    """The same kind of step on a few weights."""
    arrays = np.ones((4, 3), "float32"), np.ones((3, 2), "float32")
    return Problem(_little_loss, arrays[:1], {"w": arrays[1]}, optimizer=SGD(1e-3, 0.9))


def peak(competitor: Competitor, name: str, threads: int) -> tuple[int, int] | None:
    """The bytes of a step and of what is done before it; None where the system does not tell."""
    if not (_STATUS.exists() and _REFERENCES.exists()):
        return None
    prepare = competitor.load()
    little, problem = _little(), WORKLOADS[name].problem()
    if competitor.applies(little):
        prepare(little, threads).call()
    _settle()
    base = resident("VmRSS")
    prepared = prepare(problem, threads)
    prepared.call()
    compiling = resident("VmHWM") - base
    _settle()
    for _ in range(_STEPS):
        prepared.call()
    return resident("VmHWM") - base, compiling
