"""Numbers and tables as text: what `print` shows of a record.

>>> print(Table(("tensor", "error"), [("x", "0"), ("longer", "1e-09")]))
tensor  error
x       0
longer  1e-09
>>> number(-0.0), number(2.50000001), array_text(np.array([1.0, 2.0]))
('0', '2.5', '[1, 2]')
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from graphc.ir.types import Array

if TYPE_CHECKING:
    from rich.table import Table as RichTable

_INLINE = 4  # tensors of so many elements are written out


def number(value: float | int | bool, digits: int = 4) -> str:
    """A number with few digits, as short as it can be: -4, 0.3333, 1e-05, nan."""
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    text = f"{value:.{digits}g}"
    if "e+" in text and abs(value) < 1e9 and float(value).is_integer():
        text = str(int(value))
    return "0" if text == "-0" else text


def array_text(value: Array, digits: int = 4) -> str:
    """A scalar, all elements of a small tensor, or of a large one: [shape] min…mean…max."""
    if value.size <= _INLINE or (value.ndim == 1 and value.size <= 2 * _INLINE):
        return _nested(value, digits)
    shape = "[" + ",".join(map(str, value.shape)) + "]"
    if value.dtype.kind == "b":
        return f"{shape} {np.count_nonzero(value)} true"
    low, high, mean = (float(f(value)) for f in (np.min, np.max, np.mean))
    if low == high:
        return f"{shape} all {number(low, digits)}"
    mean = 0.0 if abs(mean) < 1e-9 * (high - low) else mean
    return f"{shape} " + "…".join(number(v, min(digits, 3)) for v in (low, mean, high))


def _nested(value: Array, digits: int) -> str:
    if value.ndim == 0:
        return number(value.item(), digits)
    if value.size == 0:
        return "[" + ",".join(map(str, value.shape)) + "] empty"
    # The rank is at most that of a tensor with a handful of elements, so this does not go deep.
    return "[" + ", ".join(_nested(row, digits) for row in value) + "]"


@dataclass(frozen=True)
class Table:
    """Aligned columns; `str` gives plain text, `show` colours where there is a terminal."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    indent: str = ""

    def lines(self) -> Iterator[str]:
        """The title, the heads of the columns where one is not empty, the rows; no trailing blanks."""
        heads = [self.columns] if any(self.columns) else []
        cells = [*heads, *self.rows]
        widths = [max(len(row[k]) for row in cells) for k in range(len(self.columns))] if cells else []
        if self.title:
            yield self.title
        for row in cells:
            line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            yield (self.indent + line).rstrip()

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def __rich__(self) -> RichTable:
        from rich.table import Table as RichTable
        from rich.text import Text

        table = RichTable(title=self.title or None, show_header=any(self.columns), title_justify="left")
        for name in self.columns:
            table.add_column(Text(name))
        for row in self.rows:
            table.add_row(*(Text(cell) for cell in row))
        return table

    def show(self) -> None:
        """Print to the terminal in colours, or as plain text where the output is no terminal."""
        if sys.stdout.isatty():
            from rich import print as rich_print

            rich_print(self)
        else:
            print(self)
