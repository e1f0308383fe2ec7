"""What a training run leaves behind: one number for each measure and epoch.

>>> h = History()
>>> h.append({"loss": 0.5, "accuracy": 0.875}, seconds=0.25)
>>> h.append({"loss": 0.25, "accuracy": 0.9375}, seconds=0.25)
>>> h.history["loss"]
[0.5, 0.25]
>>> h
epoch    loss  accuracy  seconds
    1  0.5000    0.8750     0.25
    2  0.2500    0.9375     0.25
"""

from __future__ import annotations

from collections.abc import Mapping


class History:
    """The result of `Model.fit`.

    `history` maps "loss", each metric, and with validation data "val_loss", ... to a list with one number for
    each epoch, as in Keras.  `interrupted` says that Ctrl-C ended the training.
    """

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}
        self.seconds: list[float] = []
        self.interrupted = False

    @property
    def epoch(self) -> list[int]:
        """The numbers of the epochs, from 0."""
        return list(range(len(self.seconds)))

    def append(self, values: Mapping[str, float], seconds: float) -> None:
        """Add an epoch."""
        for name, value in values.items():
            self.history.setdefault(name, []).append(value)
        self.seconds.append(seconds)

    def __repr__(self) -> str:
        if not self.seconds:
            return "History: no epoch was finished"
        columns = [["epoch", *(str(k + 1) for k in self.epoch)]]
        columns += [[name, *(number(v) for v in values)] for name, values in self.history.items()]
        columns += [["seconds", *(f"{s:.2f}" for s in self.seconds)]]
        widths = [max(map(len, column)) for column in columns]
        lines = [
            "  ".join(c[k].rjust(w) for c, w in zip(columns, widths, strict=True))
            for k in range(len(columns[0]))
        ]
        return "\n".join(lines + ["stopped by Ctrl-C"] * self.interrupted)


def number(value: float, digits: int = 4) -> str:
    """So many digits after the point, or the exponent where those say nothing."""
    plain = value == 0 or 10.0 ** (1 - digits) <= abs(value) < 1e5
    return f"{value:.{digits}f}" if plain else f"{value:.{digits - 1}e}"
