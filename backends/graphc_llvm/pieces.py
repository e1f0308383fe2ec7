"""A module in pieces: each is compiled in a thread of its own while the next ones are scheduled and emitted.

LLVM works without the interpreter's lock, so that what is emitted is compiled at the same time as what follows is
thought out.  One thread does it: llvmlite lets in one at a time.

>>> with Pieces(None, beside=True) as pieces:
...     pieces.take("declare hidden i64 @f() define i64 @graphc_entry() { %v = call i64 @f() ret i64 %v }")
...     pieces.take("define hidden i64 @f() { ret i64 7 }")
...     code = pieces.code("both")
>>> import ctypes
>>> ctypes.CFUNCTYPE(ctypes.c_int64)(code.address)()
7
"""

from __future__ import annotations

import sys
import threading
from queue import SimpleQueue
from types import TracebackType
from typing import Self

from graphc.kernel.program import CodeCache
from graphc_llvm import entry
from graphc_llvm.jit import Code, compiled, compiled_anew

_INTERVAL = 2e-4
"""Seconds after which a thread that waits for the interpreter gets it: LLVM's asks for it between its many calls."""

_lock = threading.Lock()
_alive = 0
_interval = 0.0


class Pieces:
    """See the module; `beside` is whether there is another core to compile on."""

    def __init__(self, cache: CodeCache | None, *, beside: bool) -> None:
        self._cache, self._beside = cache, beside
        self._texts: list[str] = []
        self._objects: list[bytes] = []
        self._waiting: SimpleQueue[str | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def __enter__(self) -> Self:
        if self._beside:
            self._thread = threading.Thread(target=self._work, name="graphc-llvm", daemon=True)
            _hasten()
            self._thread.start()
        return self

    def take(self, text: str) -> None:
        """Compile a module that is to be linked with the others."""
        self._texts.append(text)
        if self._thread is None:
            self._objects.append(compiled(text, self._cache))
        else:
            self._waiting.put(text)

    def code(self, text: object) -> Code:
        """All of them, linked; `str(text)` is the module that they are pieces of."""
        self._finish()
        if self._error is not None:
            raise self._error
        code = Code.linked(self._objects, text)
        if code is None:  # an object from the cache was not what it should be
            objects = [compiled_anew(t, self._cache) for t in self._texts]
            code = Code.linked(objects, text)
        assert code is not None
        return code

    def _work(self) -> None:
        try:
            entry.load(self._cache)  # while there is nothing else to do
            while (text := self._waiting.get()) is not None:
                self._objects.append(compiled(text, self._cache))
        except BaseException as error:
            self._error = error

    def _finish(self) -> None:
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join()
            self._thread = None
            _relax()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._finish()


def _hasten() -> None:
    global _alive, _interval
    with _lock:
        if _alive == 0:
            _interval = sys.getswitchinterval()
            sys.setswitchinterval(min(_interval, _INTERVAL))
        _alive += 1


def _relax() -> None:
    global _alive
    with _lock:
        _alive -= 1
        if _alive == 0:
            sys.setswitchinterval(_interval)
