"""Between a Python call and native code: the callable, and what its native entry lets through.

| way | arguments | made by |
|-----|-----------|---------|
| native | exactly as the last careful call had them: dtypes, shapes, plain memory | the back end's entry, if any |
| careful | anything that can be converted; all errors come from here | `careful`, in Python |

Every way starts with a careful call: only that plans memory for sizes that were not seen before, and notices that
a parameter holds another array.  Then it opens the gate for calls of the same kind.

>>> call = Call(Gate(), None, threading.RLock(), lambda *args: args)     # no compiled code, so no native way
>>> call(1, 2)
(1, 2)
"""

from __future__ import annotations

import functools
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, Self

from graphc.ir.types import Array
from graphc.kernel.entry import Binding, Entry
from graphc.kernel.program import Executable
from graphc.ops.leaves import Variable

BINDINGS_KEPT = 16


class Gate:
    """Puts bindings into a native entry as long as that lives.  It does not keep it: the callable does."""

    def __init__(self) -> None:
        self.entry: Callable[[], Entry | None] = lambda: None
        # For each binding: the arrays of the parameters, and what the entry is given.
        self._known: OrderedDict[object, tuple[list[Array], object]] = OrderedDict()
        self._used: object = None

    def open(self, key: object, params: Sequence[Variable], binding: Callable[[], Binding]) -> None:
        """From now on let the calls through that fit the binding of this key."""
        entry = self.entry()
        if entry is None:
            return
        known = self._known.get(key)
        if known is None or any(p.value is not a for p, a in zip(params, known[0], strict=True)):
            known = self._known[key] = [p.value for p in params], entry.prepare(binding())
            if len(self._known) > BINDINGS_KEPT:
                self._known.popitem(last=False)
        if known[1] is not self._used:
            self._used = known[1]
            entry.use(known[1])


class Call(functools.partial["Array | tuple[Array, ...]"]):
    """A callable that goes straight to its native entry; the base of functions and of bound calls.

    It is a `partial` without arguments, since CPython calls that without a frame of Python's.
    """

    _entry: Entry | None

    def __new__(
        cls, gate: Gate, executable: Executable | None, lock: threading.RLock, careful: Callable[..., Any]
    ) -> Self:
        entry = None if executable is None else executable.entry(careful, lock)
        if entry is None:
            self = super().__new__(cls, careful)
        else:
            self = super().__new__(cls, entry.function)
            gate.entry = weakref.ref(entry)
        self._entry = entry
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"cannot pickle {self!r}: it is code in the memory of this process")
