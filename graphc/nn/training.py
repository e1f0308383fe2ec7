"""The training loop: epochs, batches, and how Ctrl-C ends them.

Every batch is one call of a compiled step that computes the loss, its gradients and the new parameters.  The
last batch of an epoch may be smaller; it goes through the same function.

>>> batches_of(5, 2)
[(0, 2), (2, 4), (4, 5)]
"""

from __future__ import annotations

import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType

import numpy as np

from graphc.errors import GraphcWarning
from graphc.ir.types import Array
from graphc.nn.history import History
from graphc.nn.progress import reporter

Step = Callable[..., Sequence[Array]]


class Interrupt:
    """Set by Ctrl-C, read between two steps."""

    __slots__ = ("requested",)

    def __init__(self) -> None:
        self.requested = False


@contextmanager
def ctrl_c_between_steps() -> Iterator[Interrupt]:
    """The first Ctrl-C waits for the end of the step, so that no parameter is left half-updated.

    A second one raises KeyboardInterrupt at once.  Only the main thread of a program receives signals;
    elsewhere nothing is changed.
    """
    flag = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return

    def on_signal(number: int, frame: FrameType | None) -> None:
        if flag.requested:
            raise KeyboardInterrupt
        flag.requested = True

    before = signal.signal(signal.SIGINT, on_signal)
    try:
        yield flag
    finally:
        # `before` is None where the handler was not installed from Python.
        signal.signal(signal.SIGINT, before if before is not None else signal.SIG_DFL)


def batches_of(count: int, size: int) -> list[tuple[int, int]]:
    """(start, stop) of each batch; the last one may be smaller."""
    return [(start, min(start + size, count)) for start in range(0, count, size)]


def train(
    step: Step,
    names: Sequence[str],
    arrays: Sequence[Array],
    validate: Callable[[], Mapping[str, float]] | None,
    *,
    epochs: int,
    batch_size: int,
    shuffle: bool,
    seed: int,
    verbose: int,
    after_epoch: Callable[[int, Mapping[str, float]], bool] = lambda epoch, measures: False,
) -> History:
    """Run `epochs` times over the arrays; `step` takes a batch of each and returns the measures `names`.

    After each epoch, `after_epoch(epoch, measures)` says whether that was the last one.
    """
    history, generator = History(), np.random.default_rng(seed)
    count = len(arrays[0])
    plan = batches_of(count, batch_size)
    show = reporter(verbose, epochs, len(plan))
    warned = False
    try:
        with ctrl_c_between_steps() as ctrl_c:
            for epoch in range(epochs):
                show.start(epoch)
                order = generator.permutation(count) if shuffle else None
                sums, began = [0.0] * len(names), time.perf_counter()
                for k, (start, stop) in enumerate(plan):
                    rows = slice(start, stop) if order is None else order[start:stop]
                    results = step(*(a[rows] for a in arrays))
                    for i, value in enumerate(results):
                        sums[i] += float(value) * (stop - start)
                    if ctrl_c.requested:
                        break
                    if show.due():
                        seconds = time.perf_counter() - began
                        show.batch(k + 1, _means(names, sums, stop), stop / seconds)
                if ctrl_c.requested:
                    history.interrupted = True
                    break
                measures = _means(names, sums, count)
                rate = count / max(1e-9, time.perf_counter() - began)
                if not warned and not np.isfinite(sums[0]):
                    warned = True
                    _warn(epoch)
                if validate is not None:
                    measures |= {f"val_{name}": value for name, value in validate().items()}
                seconds = time.perf_counter() - began
                history.append(measures, seconds)
                show.epoch(epoch, measures, seconds, rate)
                if after_epoch(epoch, measures):
                    break
    finally:
        show.close()
    if history.interrupted and verbose:
        done = len(history.seconds)
        print(f"stopped by Ctrl-C in epoch {done + 1} of {epochs}; the parameters are those of the last step")
    return history


def measure(step: Step, names: Sequence[str], arrays: Sequence[Array], batch_size: int) -> dict[str, float]:
    """The means of measures over all examples, batch by batch."""
    count = len(arrays[0])
    sums = [0.0] * len(names)
    for start, stop in batches_of(count, batch_size):
        for i, value in enumerate(step(*(a[start:stop] for a in arrays))):
            sums[i] += float(value) * (stop - start)
    return _means(names, sums, count)


def _means(names: Sequence[str], sums: Sequence[float], count: int) -> dict[str, float]:
    return {name: total / count for name, total in zip(names, sums, strict=True)}


def _warn(epoch: int) -> None:
    warnings.warn(
        f"the loss is not finite in epoch {epoch + 1}: training has diverged; try a smaller learning rate",
        GraphcWarning,
        stacklevel=5,
    )
