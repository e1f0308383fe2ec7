"""A program that runs many times in one native call, each time on other rows of the same large arrays.

```
for turn in 0..count:
    the arguments are rows order[turn*size .. (turn+1)*size] of the sources (without an order: of 0, 1, 2, …)
    run the program
    its results go behind those of the turn before
```

>>> Rows(position=0, source=4096, bytes=256, room=8192).bytes
256
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rows:
    """An argument whose first axis is the batch: it is taken from the array that begins at `source`.

    `bytes` is the size of one row; rows that are gathered are copied to `room`.
    """

    position: int  # in `program.buffers`, as below
    source: int
    bytes: int
    room: int


@dataclass(frozen=True, slots=True)
class Results:
    """A result of so many bytes in each turn; that of the first one goes to `address`."""

    position: int
    address: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Turns:
    """So many runs on `size` rows each; `addresses` and `dims` are those of `Executable.run`."""

    addresses: tuple[int, ...]
    dims: tuple[int, ...]
    rows: tuple[Rows, ...]
    results: tuple[Results, ...]
    size: int
    count: int
    order: int  # the address of `count * size` numbers of rows, or 0: as they come
