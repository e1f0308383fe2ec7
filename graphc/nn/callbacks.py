"""What is done after each epoch of `Model.fit`: watching, and stopping.

>>> from graphc import nn
>>> x = nn.Input(1)
>>> model = nn.Model(x, nn.Dense(1)(x))
>>> model.compile(nn.SGD(0.0), "mse", backend="reference")                # a rate of 0: nothing gets better
>>> stop = EarlyStopping(monitor="loss", patience=2)
>>> len(model.fit([[1.0]], [[1.0]], epochs=100, callbacks=[stop], verbose=0).epoch)
3
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from graphc.errors import ArgumentError
from graphc.ir.types import Array
from graphc.lang.source import operation

if TYPE_CHECKING:
    from graphc.nn.model import Model


class Callback:
    """Called by `fit`; subclasses override what they need."""

    def begin(self, model: Model) -> None:
        """Before the first epoch."""

    def epoch_end(self, model: Model, epoch: int, measures: Mapping[str, float]) -> bool:
        """After epoch number `epoch`, counted from 0; true ends the training."""
        return False

    def end(self, model: Model) -> None:
        """After the last epoch, also one that Ctrl-C ended."""


class EarlyStopping(Callback):
    """Ends the training when a measure has not become better for `patience` epochs.

    Better is smaller, or for mode="max" larger; "auto" takes "max" for measures with "accuracy" in their names.
    With `restore_best_weights` the weights are those of the best epoch afterwards.
    """

    @operation
    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 0,
        mode: str = "auto",
        restore_best_weights: bool = False,
    ) -> None:
        if mode not in ("auto", "min", "max"):
            raise ArgumentError(f"unknown mode {mode!r}", fix='use "auto", "min" or "max"')
        if isinstance(patience, bool) or not isinstance(patience, int) or patience < 0:
            raise ArgumentError(f"patience must be an integer of 0 or more, not {patience!r}")
        if not min_delta >= 0:
            raise ArgumentError(f"min_delta must be at least 0, not {min_delta!r}")
        self.monitor, self.min_delta, self.patience = monitor, float(min_delta), patience
        self.sign = -1.0 if mode == "max" or (mode == "auto" and "accuracy" in monitor) else 1.0
        self.restore_best_weights = restore_best_weights
        self.best_epoch: int | None = None
        self.stopped_epoch: int | None = None
        self._best, self._weights = float("inf"), list[Array]()

    def begin(self, model: Model) -> None:
        self.best_epoch = self.stopped_epoch = None
        self._best, self._weights = float("inf"), []

    def epoch_end(self, model: Model, epoch: int, measures: Mapping[str, float]) -> bool:
        if self.monitor not in measures:
            raise ArgumentError(
                f"there is no measure {self.monitor!r} to watch",
                why=f"there are {', '.join(measures)}",
                fix="give fit validation_data" if self.monitor.startswith("val_") else "watch one of these",
            )
        value = self.sign * measures[self.monitor]
        if value < self._best - self.min_delta or (self.best_epoch is None and value == value):
            self._best, self.best_epoch = value, epoch
            if self.restore_best_weights:
                self._weights = [p.value.copy() for p in model.weights]
        if epoch - (-1 if self.best_epoch is None else self.best_epoch) >= max(1, self.patience):
            self.stopped_epoch = epoch
        return self.stopped_epoch is not None

    def end(self, model: Model) -> None:
        if self._weights:
            for p, value in zip(model.weights, self._weights, strict=True):
                p.value = value
