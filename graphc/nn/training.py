"""The training loop: epochs, batches, and how Ctrl-C ends them.

Every batch is one run of a compiled step that computes the loss, its gradients and the new parameters.  Batches
run many at a time in native code, which also gathers their rows in the order of the epoch; the last batch, which
may be smaller, is a call of the same function.  Between two such pieces of at most `PIECE_SECONDS`, or
`PIECE_BYTES` of results, there is time for Ctrl-C and the progress bar.

>>> def step(x): return [x.sum()]
>>> [size for size, _ in Runner(step, [np.arange(5.0)], 2).pieces()]
[2, 2, 1]
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
from graphc.runtime.batches import Batches

Step = Callable[..., Sequence[Array]]

PIECE_SECONDS = 0.1
PIECE_BYTES = 1 << 26


class Interrupt:
    """Set by Ctrl-C, read between two pieces of an epoch."""

    __slots__ = ("requested",)

    def __init__(self) -> None:
        self.requested = False


@contextmanager
def ctrl_c_between_pieces() -> Iterator[Interrupt]:
    """The first Ctrl-C waits for the end of the steps that run, so that no parameter is left half-updated.

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


class Runner:
    """A function over the batches of arrays: natively, as many at a time as take `PIECE_SECONDS`, or one by one."""

    def __init__(self, step: Step, arrays: Sequence[Array], size: int) -> None:
        self._step, self._arrays, self._size, self._count = step, arrays, size, len(arrays[0])
        # One batch alone gains nothing.
        self._native = Batches.of(step, arrays, size) if self._count >= 2 * size else None
        self._piece = self._most = 1
        if self._native is not None:
            self._most = max(1, PIECE_BYTES // max(1, self._native.result_bytes))

    def pieces(self, order: Array | None = None) -> Iterator[tuple[int, list[Sequence[Array]]]]:
        """The results of some batches, and how many rows each of them has; again, until all rows are done."""
        start = 0
        while start < self._count:
            left = (self._count - start) // self._size
            if self._native is not None and left:
                piece = min(left, self._piece)
                began = time.perf_counter()
                results = self._native.run(order, start, piece)
                seconds = (time.perf_counter() - began) / piece
                # A little more than before, for the first batches may be the slow ones.
                self._piece = max(1, min(4 * piece, self._most, int(PIECE_SECONDS / max(seconds, 1e-9))))
                start += piece * self._size
                yield self._size, list(zip(*results, strict=True))
            else:
                stop = min(start + self._size, self._count)
                rows = slice(start, stop) if order is None else order[start:stop]
                found = self._step(*(a[rows] for a in self._arrays))
                size, start = stop - start, stop
                yield size, [found]


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
    count, runner = len(arrays[0]), Runner(step, arrays, batch_size)
    show = reporter(verbose, epochs, -(-count // batch_size))
    warned = False
    try:
        with ctrl_c_between_pieces() as ctrl_c:
            for epoch in range(epochs):
                show.start(epoch)
                order = generator.permutation(count) if shuffle else None
                sums, began = [0.0] * len(names), time.perf_counter()
                rows = done = 0
                for size, batches in runner.pieces(order):
                    _add(sums, size, batches)
                    rows, done = rows + size * len(batches), done + len(batches)
                    if ctrl_c.requested:
                        break
                    if show.due():
                        seconds = time.perf_counter() - began
                        show.batch(done, _means(names, sums, rows), rows / seconds)
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
    sums = [0.0] * len(names)
    for size, batches in Runner(step, arrays, batch_size).pieces():
        _add(sums, size, batches)
    return _means(names, sums, len(arrays[0]))


def _add(sums: list[float], size: int, batches: Sequence[Sequence[Array]]) -> None:
    for values in batches:
        for i, value in enumerate(values):
            sums[i] += float(value) * size


def _means(names: Sequence[str], sums: Sequence[float], count: int) -> dict[str, float]:
    return {name: total / count for name, total in zip(names, sums, strict=True)}


def _warn(epoch: int) -> None:
    warnings.warn(
        f"the loss is not finite in epoch {epoch + 1}: training has diverged; try a smaller learning rate",
        GraphcWarning,
        stacklevel=5,
    )
