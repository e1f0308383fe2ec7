"""The native entry of compiled code: from a Python call to machine code with neither ctypes nor a frame between.

The function itself is `entry_text.TEXT`, compiled once; here are its plans, and what it calls by address: the C
API of CPython and of NumPy.  It reads the type of an object, the fields of an array and the value of a number
where they are, and these places are compared with the objects' own word before it is used.  Another Python, one
without a GIL, or other places mean that there is no native entry, and every call goes the careful way in Python.

>>> import numpy as np
>>> supported()                                     # on CPython with a GIL
True
>>> class Holder:
...     __slots__ = ("value",)
>>> holder = Holder(); holder.value = np.zeros(3)
>>> ctypes.c_void_p.from_address(cell(holder)).value == id(holder.value)
True
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from math import prod
from time import perf_counter_ns
from typing import Any

import numpy as np

from graphc.ir.types import Array
from graphc.kernel.entry import Binding, Slot
from graphc.kernel.program import CodeCache
from graphc_llvm.entry_text import TEXT
from graphc_llvm.jit import Code

_PYTHON = (
    "PyList_GetItem",
    "PyTuple_GetItem",
    "PyTuple_New",
    "PyTuple_SetItem",
    "Py_IncRef",
    "Py_DecRef",
    "PyObject_Vectorcall",
    "PyEval_SaveThread",
    "PyEval_RestoreThread",
    "PyLong_AsLongLong",
    "PyLong_FromLongLong",
    "PyErr_Clear",
    "PyErr_Occurred",
)
_NEW_FROM_DESCR, _ARRAY_TYPE = 94, 2  # places in NumPy's table of functions, which are part of its ABI
_FASTCALL_KEYWORDS = 0x0080 | 0x0002
_TYPE, _VALUE = 8, 16  # bytes into any object, into a number
_DATA, _RANK, _SHAPE, _DESCR, _FLAGS = 16, 24, 32, 56, 64  # bytes into an array


def _pointer(at: int) -> int:
    return ctypes.c_void_p.from_address(at).value or 0


@lru_cache(maxsize=1)
def symbols() -> Mapping[str, int] | None:
    """Name → address of what the entry calls and compares with; None where this Python is not as expected."""
    if sys.implementation.name != "cpython" or "t" in getattr(sys, "abiflags", ""):  # t: without a GIL
        return None
    try:
        found = {
            name: ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value or 0 for name in _PYTHON
        }
        module = import_module("numpy._core._multiarray_umath")

        of_capsule = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)
        table = of_capsule(("PyCapsule_GetPointer", ctypes.pythonapi))(module._ARRAY_API, None)
    except (ImportError, AttributeError, ValueError):
        return None
    word = ctypes.sizeof(ctypes.c_void_p)
    if word != 8 or not table or _pointer(table + word * _ARRAY_TYPE) != id(np.ndarray) or not _as_expected():
        return None
    found["PyArray_NewFromDescr"] = _pointer(table + word * _NEW_FROM_DESCR)
    objects = {
        "PyArray_Type": np.ndarray,
        "PyFloat_Type": float,
        "PyLong_Type": int,
        "Py_True": True,
        "Py_False": False,
    }
    return found | {name: id(value) for name, value in objects.items()}


def _as_expected() -> bool:
    """Whether objects look as the entry believes."""
    a = np.arange(6.0).reshape(2, 3)
    at = id(a)
    flags = ctypes.c_int.from_address(at + _FLAGS).value
    turned = ctypes.c_int.from_address(id(a.T) + _FLAGS).value
    shape = _pointer(at + _SHAPE)
    number, single = 1.5, np.float32(1.5)
    return (
        _pointer(at + _TYPE) == id(np.ndarray)
        and _pointer(at + _DATA) == a.ctypes.data
        and ctypes.c_int.from_address(at + _RANK).value == 2
        and [ctypes.c_int64.from_address(shape + 8 * k).value for k in range(2)] == [2, 3]
        and _pointer(at + _DESCR) == id(a.dtype) == id(np.dtype(np.float64))
        and flags & 257 == 257
        and turned & 257 == 256
        and _pointer(id(number) + _TYPE) == id(float)
        and ctypes.c_double.from_address(id(number) + _VALUE).value == number
        and ctypes.c_double.from_address(id(np.float64(number)) + _VALUE).value == number
        and ctypes.c_float.from_address(id(single) + _VALUE).value == number
    )


def supported() -> bool:
    """Whether there is a native entry in this process."""
    return symbols() is not None


class _Method(ctypes.Structure):
    """PyMethodDef."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


@dataclass(frozen=True, slots=True)
class _Native:
    """The compiled entry; it is never unloaded."""

    code: Code
    method: _Method

    def function(self, own: list[Any]) -> Callable[..., Any]:
        """A built-in function whose `self` is this list."""
        make = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)
        new = make(("PyCFunction_NewEx", ctypes.pythonapi))
        return new(ctypes.addressof(self.method), own, None)  # type: ignore[no-any-return]


_native: list[_Native] = []
_native_lock = threading.Lock()


def _entry(known: Mapping[str, int], cache: CodeCache | None) -> _Native:
    with _native_lock:
        if not _native:
            code = Code(TEXT, cache, known)
            _native.append(_Native(code, _Method(b"compiled", code.address, _FASTCALL_KEYWORDS, None)))
        return _native[0]


def load(cache: CodeCache | None) -> None:
    """Compile the entry, if this process has none yet, and if there is one: the first function will need it."""
    known = symbols()
    if known is not None:
        _entry(known, cache)


@dataclass(frozen=True, slots=True)
class Timing:
    """How a long call on several threads is watched: `limit` holds nanoseconds, or 0 for the careful way."""

    threads: int
    limit: Array
    note: Callable[[int], None]


class NativeEntry:
    """A built-in function that runs one program; see `graphc.kernel.entry.Entry`.

    `manner(dims)` tells whether a run is long, so that it gives the GIL away, and how it is timed (if it is).
    """

    def __init__(
        self,
        code: Code,
        manner: Callable[[tuple[int, ...]], tuple[bool, Timing | None]],
        careful: Callable[..., Any],
        lock: threading.RLock,
        cache: CodeCache | None,
    ) -> None:
        known = symbols()
        assert known is not None
        native = _entry(known, cache)
        self._code, self._manner = code, manner
        idle = np.full(1, -1, np.int64)  # no call has so few arguments
        self._own: list[Any] = [(idle,), careful, lock.acquire, lock.release, perf_counter_ns, native]
        self.function = native.function(self._own)

    def prepare(self, binding: Binding) -> tuple[Any, ...]:
        long, timing = self._manner(binding.dims)
        plan, others = _plan(binding, self._code.address, long, timing)
        return plan, None if timing is None else timing.note, binding, timing, self._code, others

    def use(self, prepared: object) -> None:
        self._own[0] = prepared  # one store, so that no call sees half of it


def _plan(b: Binding, code: int, long: bool, timing: Timing | None) -> tuple[Array, list[Array]]:
    """The plan as an array of words, and the arrays that it points to."""
    alive: list[Array] = []

    def words(*values: int) -> int:
        """The address of these words."""
        alive.append(np.array(values, np.int64))
        return int(alive[-1].ctypes.data)

    threads = 1 if timing is None else timing.threads
    table, nowhere = words(*b.addresses, threads, *b.dims), words(0)

    def slot(position: int, count: int) -> int:
        """Where the address of an array goes; that of an array without elements stays as it is."""
        return table + 8 * position if count else nowhere

    def demands(place: Slot) -> tuple[int, ...]:
        shape, dtype = place.shape, place.dtype
        return id(dtype), len(shape), words(*shape), slot(place.position, prod(shape))

    inputs: list[int] = []
    for place in b.inputs:
        dtype, number = place.dtype, place.shape == ()
        scalar = (id(dtype.type), dtype.itemsize if dtype.kind == "f" else 0) if number else (0, 0)
        inputs += *demands(place), *scalar, dtype.itemsize * prod(place.shape)
    outputs = [word for place in b.outputs for word in demands(place)]
    params: list[int] = []
    for p in b.params:
        array = p.holder.value
        alive.append(array)
        params += cell(p.holder), id(array), slot(p.position, array.size), array.nbytes if p.updated else 0
    plan = (
        *(len(b.inputs), len(b.outputs), len(b.params), long),
        *(0 if b.result is None else id(b.result), b.single),
        *(code, table, table + 8 * (len(b.addresses) + 1)),
        *(words(*inputs), words(*outputs), words(*params)),
        0 if timing is None else timing.limit.ctypes.data,
    )
    return np.array(plan, np.int64), alive


def cell(holder: Any) -> int:
    """The address of the slot in which an object holds its `value`."""
    wanted = id(holder.value)
    for offset in range(16, type(holder).__basicsize__, 8):
        if _pointer(id(holder) + offset) == wanted:
            return id(holder) + offset
    raise TypeError(f"{type(holder).__name__} has no slot `value`")
