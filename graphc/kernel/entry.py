"""How a program is called from Python: the arrays of a call, and a native function that takes them.

```
binding ::= addresses dims input* output* param* ("single" | "result")     input, output ::= position dtype shape
```

There is one binding for each size of the named dimensions.

>>> import numpy as np
>>> Slot(0, np.dtype("float32"), (2, 3))
Slot(position=0, dtype=dtype('float32'), shape=(2, 3))
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from graphc.ir.types import Array


@dataclass(frozen=True, slots=True)
class Slot:
    """An array of a call: which buffer of the program it is, and what it must be."""

    position: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


class Holder(Protocol):
    """What holds the array of a parameter; another array may take its place between calls."""

    value: Array


@dataclass(frozen=True, slots=True)
class ParamSlot:
    """A parameter of a call: which buffer of the program it is, and whether the call changes it."""

    position: int
    holder: Holder
    updated: bool


@dataclass(frozen=True, slots=True)
class Binding:
    """How a program is called, for one size of each named dimension.

    `addresses` are those of `Executable.run`; the calls themselves fill in those of the `inputs`, `outputs` and
    `params` that have elements.  An answer is a fresh array where `single` says so, else a tuple of fresh arrays;
    or always the same `result`.  `keep` is what must live as long: the memory that the addresses name.
    """

    addresses: tuple[int, ...]
    dims: tuple[int, ...]
    inputs: tuple[Slot, ...]
    outputs: tuple[Slot, ...]
    params: tuple[ParamSlot, ...]
    single: bool
    result: object | None
    keep: object


class Entry(Protocol):
    """A native function for calls from Python."""

    @property
    def function(self) -> Callable[..., Any]:
        """Takes positional arguments that are exactly what the binding in use says; passes all others on."""

    def prepare(self, binding: Binding) -> object:
        """What `use` takes; it is made for the arrays that the parameters have now."""

    def use(self, prepared: object) -> None:
        """From now on calls are made by this binding."""
