"""Timing side by side: competitors take turns, in short blocks, round after round.

On a machine that others use too, absolute times drift by the minute; what is compared must run at the same time.
Each block begins with calls that are not counted: the caches still hold the data of the one before, and its
worker threads may still be spinning.

>>> spans = interleave({"one": lambda: sum(range(100)), "ten": lambda: sum(range(1000))}, seconds=0.05)
>>> ratio(spans["ten"], spans["one"]) > 2
True
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median, quantiles
from types import MappingProxyType

_SAMPLE_NS = 20_000  # a sample is long against the clock's 50 ns
_WARM_NS = 4_000_000  # worker threads of the one before stop spinning after a few milliseconds
_ROUNDS = 12
_LEAST_ROUNDS, _LEAST_SAMPLES = 3, 3


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds for a call: the median of each round; over all samples the median, the quartiles and the best."""

    rounds: tuple[float, ...]
    median: float
    low: float
    high: float
    best: float
    samples: int


def ratio(slower: Timing, faster: Timing) -> float:
    """How many times longer one takes, round by round: noise that both see cancels."""
    return median(a / b for a, b in zip(slower.rounds, faster.rounds, strict=True))


def interleave(
    calls: Mapping[str, Callable[[], object]],
    seconds: float,
    before: Mapping[str, Callable[[], object]] = MappingProxyType({}),
) -> dict[str, Timing]:
    """Time every call for an equal share of `seconds`, in at least three rounds; `before` runs before each block."""
    spans: dict[str, list[list[float]]] = {name: [] for name in calls}
    repeats = {name: _repeats(call) for name, call in calls.items()}
    block = int(1e9 * seconds / (_ROUNDS * len(calls)))
    end = time.perf_counter_ns() + int(1e9 * seconds)
    enabled = gc.isenabled()
    names = list(calls)
    try:
        while len(spans[names[0]]) < _LEAST_ROUNDS or time.perf_counter_ns() < end:
            gc.collect()
            gc.disable()
            for name in names:
                if name in before:
                    before[name]()
                spans[name].append(_block(calls[name], repeats[name], block))
            if enabled:
                gc.enable()
            names = names[1:] + names[:1]  # nobody always follows the same one
    finally:
        if enabled:
            gc.enable()
    return {name: _timing(rounds) for name, rounds in spans.items()}


def _repeats(call: Callable[[], object]) -> int:
    """How many calls make a sample."""
    took = []
    for _ in range(3):
        start = time.perf_counter_ns()
        call()
        took.append(time.perf_counter_ns() - start)
    return max(1, _SAMPLE_NS // max(1, min(took)))


def _block(call: Callable[[], object], repeats: int, length: int) -> list[float]:
    """Samples of one block of about `length` nanoseconds, in seconds for a call."""
    clock = time.perf_counter_ns
    start = now = clock()
    while now - start < min(_WARM_NS, length // 4) or now == start:
        call()
        now = clock()
    samples: list[float] = []
    while now - start < length or len(samples) < _LEAST_SAMPLES:
        before = clock()
        for _ in range(repeats):
            call()
        now = clock()
        samples.append((now - before) / (1e9 * repeats))
    return samples


def _timing(rounds: list[list[float]]) -> Timing:
    samples = [s for r in rounds for s in r]
    low, _, high = quantiles(samples, n=4)
    return Timing(tuple(median(r) for r in rounds), median(samples), low, high, min(samples), len(samples))
