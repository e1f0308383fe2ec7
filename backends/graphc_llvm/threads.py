"""Threads: an OpenMP runtime that is already on the machine, through the ABI of GCC.

Generated code calls `GOMP_parallel`; libgomp has it, and so have LLVM's libomp and Intel's libiomp5.  Without
any of them everything runs on one thread.  A forked child runs on one thread as well: the runtime's worker
threads do not exist there, and waiting for them would never end.

>>> usable_threads() >= 1
True
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache

from graphc.config import setting

SYMBOLS = ("GOMP_parallel", "omp_get_thread_num", "omp_get_num_threads")
_NAMES = (
    "libgomp.so.1",
    "libgomp.so",
    "libomp.so.5",
    "libomp.so",
    "libiomp5.so",
    "libgomp.1.dylib",
    "libomp.dylib",
)

forked = False
"""Whether this process is a forked child; read before every call."""


def _after_fork() -> None:
    global forked
    forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@lru_cache(maxsize=1)
def runtime() -> ctypes.CDLL | None:
    """The OpenMP runtime, or None."""
    for name in _candidates():
        try:
            with _short_spin():
                library = ctypes.CDLL(name)
        except OSError:
            continue
        if all(hasattr(library, symbol) for symbol in SYMBOLS):
            return library
    return None


def _candidates() -> Iterator[str]:
    """Names of libraries, the quick ones first: looking one up starts a linker."""
    yield from _NAMES
    for name in ("gomp", "omp", "iomp5"):
        found = ctypes.util.find_library(name)
        if found:
            yield found


@contextmanager
def _short_spin() -> Iterator[None]:
    """While libgomp loads: let its idle threads spin for some 50 µs, not for milliseconds.

    That is long enough from one kernel to the next, and short enough not to hold a core that somebody else
    wants.  What the user has chosen stands.
    """
    ours = not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys()
    if ours:
        os.environ["GOMP_SPINCOUNT"] = "20000"
    try:
        yield
    finally:
        if ours:
            del os.environ["GOMP_SPINCOUNT"]


@lru_cache(maxsize=1)
def runtime_symbols() -> Mapping[str, int]:
    """Name → address of the functions that generated code calls; empty without a runtime."""
    library = runtime()
    if library is None:
        return {}
    return {name: ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0 for name in SYMBOLS}


def usable_threads() -> int:
    """How many threads to use by default: GRAPHC_THREADS, OMP_NUM_THREADS, or the cores of this process."""
    if runtime() is None:
        return 1
    chosen = setting("GRAPHC_THREADS")
    if chosen is not None:
        return chosen
    # OMP_NUM_THREADS may be a list, one number for each level of nesting.
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if first.isdigit() and int(first) > 0:
        return int(first)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
