"""What a training run shows while it runs: a bar on a terminal, a line for each epoch elsewhere, or nothing.

>>> reporter(0, epochs=1, batches=10)
<graphc.nn.progress.Silent object at ...>
>>> lines = Lines(epochs=3)
>>> lines.epoch(0, {"loss": 0.5, "accuracy": 0.875}, seconds=2.0, rate=718.0)
epoch 1/3: loss 0.5000, accuracy 0.8750, 718 examples/s, 2.00 s
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from graphc.nn.history import number

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_REDRAW = 0.05  # seconds: a step may take microseconds, and nobody reads faster


class Silent:
    """Shows nothing."""

    def start(self, epoch: int) -> None:
        """An epoch begins."""

    def batch(self, done: int, values: Mapping[str, float], rate: float) -> None:
        """`done` batches are done; `values` are the means up to here, `rate` is in examples a second."""

    def epoch(self, epoch: int, values: Mapping[str, float], seconds: float, rate: float) -> None:
        """An epoch is over; `values` are those that the history keeps."""

    def due(self) -> bool:
        """Whether it is time to show a batch."""
        return False

    def close(self) -> None:
        """The training is over, or was interrupted."""


class Lines(Silent):
    """A line for each epoch: for files, pipes and `verbose=2`."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def epoch(self, epoch: int, values: Mapping[str, float], seconds: float, rate: float) -> None:
        measures = ", ".join(f"{name} {number(v)}" for name, v in values.items())
        print(
            f"epoch {epoch + 1}/{self.epochs}: {measures}, {rate:,.0f} examples/s, {seconds:.2f} s",
            flush=True,
        )


class Bar(Silent):
    """A bar for each epoch, by rich, in a line of 80 columns: measures, examples a second, seconds to go."""

    def __init__(self, epochs: int, batches: int) -> None:
        from rich.progress import BarColumn, Progress, TextColumn

        self.epochs, self.batches = epochs, batches
        columns = (TextColumn("{task.description}"), BarColumn(8), TextColumn("{task.fields[measures]}"))
        self._progress: Progress = Progress(*columns, auto_refresh=False)
        self._task: TaskID | None = None
        self._drawn = self._began = 0.0
        self._progress.start()

    def start(self, epoch: int) -> None:
        self._began = time.perf_counter()
        name = f"epoch {epoch + 1}/{self.epochs}"
        self._task = self._progress.add_task(name, total=self.batches, measures="")
        self._progress.refresh()

    def due(self) -> bool:
        return time.perf_counter() - self._drawn >= _REDRAW

    def batch(self, done: int, values: Mapping[str, float], rate: float) -> None:
        self._drawn = time.perf_counter()
        left = (self._drawn - self._began) * (self.batches - done) / done
        self._show(done, values, f"{rate:,.0f}/s {left:.0f} s to go")

    def epoch(self, epoch: int, values: Mapping[str, float], seconds: float, rate: float) -> None:
        self._show(self.batches, values, f"{rate:,.0f}/s {seconds:.1f} s")

    def _show(self, done: int, values: Mapping[str, float], pace: str) -> None:
        if self._task is not None:
            self._progress.update(self._task, completed=done, measures=f"{measures(values)} {pace}")
            self._progress.refresh()

    def close(self) -> None:
        self._progress.stop()


def measures(values: Mapping[str, float]) -> str:
    """Measures in few characters, those of the validation beside the others.

    >>> measures({"loss": 0.25, "accuracy": 0.9, "val_loss": 0.5, "val_accuracy": 0.875})
    'loss 0.250 val 0.500 accuracy 0.900 val 0.875'
    """
    parts = []
    for name, value in values.items():
        if not name.startswith("val_"):
            held_out = values.get(f"val_{name}")
            parts.append(
                f"{name} {number(value, 3)}" + (f" val {number(held_out, 3)}" if held_out is not None else "")
            )
    return " ".join(parts)


def reporter(verbose: int, epochs: int, batches: int) -> Silent:
    """For `verbose` 0 nothing, 1 a bar where a terminal is there to draw on, 2 lines."""
    if verbose == 0:
        return Silent()
    if verbose == 1:
        from rich import get_console

        if get_console().is_terminal:
            return Bar(epochs, batches)
    return Lines(epochs)
