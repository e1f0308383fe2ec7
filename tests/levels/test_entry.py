"""Calls: the native way does what the careful one does, for every argument, thread, fork and signal."""

from __future__ import annotations

import functools
import gc as garbage
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import graphc as gc
from graphc.runtime.caller import Caller
from graphc.runtime.function import Function
from graphc_llvm import entry
from graphc_llvm.executable import SHORT_SECONDS, LLVMExecutable
from graphc_llvm.threads import runtime

needs_entry = pytest.mark.skipif(not entry.supported(), reason="this Python has no native entry")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
LONG = 1 << 16  # elements: enough work to give the GIL away


def product(dtype: str = "float64", **options: Any) -> Function:
    x, y, z = (gc.input(name, (), dtype) for name in "xyz")
    f = (x + y) * z
    return gc.compile([x, y, z], [f, *gc.grad(f, [x, y, z])], **options)


def long_function(**options: Any) -> Function:
    x = gc.input("x", (LONG,))
    return gc.compile([x], gc.tanh(gc.sin(gc.exp(-x * x))), **options)


@pytest.fixture
def careful(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Counts the calls that go the careful way, of functions that are compiled from now on."""
    count = [0]
    original = Caller.careful

    def counted(self: Caller, /, *args: object, **kwargs: object) -> Any:
        count[0] += 1
        return original(self, *args, **kwargs)

    monkeypatch.setattr(Caller, "careful", counted)
    yield count


NUMBERS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "floats": ("float64", (-2.0, 5.0, -4.0)),
    "NumPy's floats": ("float64", tuple(map(np.float64, (-2.0, 5.0, -4.0)))),
    "arrays": ("float64", tuple(map(np.array, (-2.0, 5.0, -4.0)))),
    "integers": ("float64", (-1, 2**53 + 1, -4)),
    "mixed": ("float64", (-1, np.array(5.0), np.float64(-4.0))),
    "floats in single precision": ("float32", (0.1, 5.3, -4.7)),
    "NumPy's single floats": ("float32", tuple(map(np.float32, (0.1, 5.3, -4.7)))),
    "integers in single precision": ("float32", (2**24 + 1, -1, 2**62 + 2**38 + 1)),
    "single infinity": ("float32", (np.float32(np.inf), 1.0, 2.0)),
    "not a number": ("float64", (float("nan"), 1.0, 2.0)),
}


@needs_entry
@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_go_the_native_way(name: str, careful: list[int]) -> None:
    dtype, args = NUMBERS[name]
    fn = product(dtype)
    expected = fn.caller.careful(*args)
    careful[0] = 0
    for _ in range(3):
        found = fn(*args)
        assert isinstance(found, tuple)
        for a, b in zip(found, expected, strict=True):
            assert type(a) is np.ndarray and a.dtype == dtype and a.shape == ()
            np.testing.assert_array_equal(a, b)
    assert careful[0] == 0


CAREFUL: dict[str, tuple[Any, ...]] = {
    "a list": ([1.0, 2.0], np.ones((2, 2), "float32")),
    "an integer array": (np.ones(2), np.ones((2, 2), "int64")),
    "by name": (np.ones(2),),
    "another stride": (np.ones(4)[::2], np.ones((2, 2), "float32")),
    "a transposed array": (np.ones(2), np.arange(4, dtype="float32").reshape(2, 2).T),
    "a memory map's kin": (np.ones(2).view(np.recarray), np.ones((2, 2), "float32")),
    "another byte order": (np.ones(2, ">f8"), np.ones((2, 2), "float32")),
    "too many": (np.ones(2), np.ones((2, 2), "float32"), 1.0),
    "too many axes": (np.ones((2, 1)), np.ones((2, 2), "float32")),
    "another size": (np.ones(3), np.ones((2, 2), "float32")),
    "nothing": (None, np.ones((2, 2), "float32")),
    "a number": (1.0, np.ones((2, 2), "float32")),
}


@pytest.mark.parametrize("name", CAREFUL)
def test_what_does_not_fit_is_handled_as_ever(name: str) -> None:
    x, y = gc.input("x", (2,)), gc.input("y", (2, 2), "float32")
    fn = gc.compile([x, y], [x * 3.0, y * 2.0])
    reference = gc.compile([x, y], [x * 3.0, y * 2.0], backend="reference")
    fn(np.ones(2), np.ones((2, 2), "float32"))
    kwargs = {"y": np.ones((2, 2), "float32")} if name == "by name" else {}

    def outcome(f: Callable[..., Any]) -> Any:
        try:
            return [a.tolist() for a in f(*CAREFUL[name], **kwargs)]
        except gc.ArgumentError as error:
            return error.what, error.why, error.fix

    assert outcome(fn) == outcome(reference)


def test_an_argument_that_is_not_aligned_is_copied() -> None:
    x = gc.input("x", (64,), "float32")
    fn = gc.compile([x], x + 1.0)
    a = np.zeros(64 * 4 + 1, np.uint8)[1:].view("float32")
    assert not a.flags.aligned
    for _ in range(2):
        np.testing.assert_array_equal(fn(a), np.ones(64, "float32"))


def test_results_belong_to_the_caller() -> None:
    x = gc.input("x", (64,))
    fn = gc.compile([x], [x + 1.0, x + 1.0, x])
    a = np.zeros(64)
    first, second = fn(a), fn(a)
    assert all(r.flags.owndata and r.flags.writeable for r in (*first, *second))
    first[0][...] = 7.0
    for r in (first[1], *second[:2]):
        np.testing.assert_array_equal(r, np.ones(64))
    assert not np.shares_memory(second[2], a)


@needs_entry
def test_references_are_counted() -> None:
    """Neither arguments nor results are kept, and none is lost."""
    x, y = gc.input("x", (8,)), gc.input("y")
    fn = gc.compile([x, y], [x * y, x + y])
    a, b = np.ones(8), np.float64(1.5)
    fn(a, b)
    shared = np.dtype("float64")
    before = [sys.getrefcount(v) for v in (a, b, shared, np.ndarray, fn)]
    for _ in range(1000):
        fn(a, b)
    bound = fn.bind(a, np.array(b))
    for _ in range(1000):
        bound()
    del bound
    after = [sys.getrefcount(v) for v in (a, b, shared, np.ndarray, fn)]
    assert all(abs(p - q) < 100 for p, q in zip(before, after, strict=True))
    assert before[:2] == after[:2]
    result = weakref.ref(fn(a, b)[0])
    assert result() is None


def test_functions_are_freed_without_the_garbage_collector() -> None:
    x = gc.input("x", (8,))
    fn = gc.compile([x], x + 1.0)
    fn(np.zeros(8))
    bound = fn.bind(np.zeros(8))
    bound()
    gone = [weakref.ref(fn.caller), weakref.ref(fn), weakref.ref(bound)]
    garbage.disable()
    try:
        del fn, bound
        assert [r() for r in gone] == [None] * 3
    finally:
        garbage.enable()


@needs_entry
def test_each_size_of_a_named_dimension(careful: list[int]) -> None:
    """A size that was not seen before goes the careful way once; then it is native until the size changes."""
    x, y = gc.input("x", ("N", 3)), gc.input("y", ("N",))
    fn = gc.compile([x, y], [gc.sum(x, axis=1) * y, x.T])
    for n in (4, 0, 1, 4, 7):
        a, b = np.arange(3.0 * n).reshape(n, 3), np.arange(1.0 * n)
        careful[0] = 0
        for _ in range(3):
            found = fn(a, b)
            np.testing.assert_array_equal(found[0], a.sum(axis=1) * b)
            np.testing.assert_array_equal(found[1], a.T)
        assert careful[0] == 1
    with pytest.raises(gc.ArgumentError):
        fn(np.ones((7, 3)), np.ones(6))


def test_zero_sizes_and_no_arguments() -> None:
    x = gc.input("x", (0, 3))
    fn = gc.compile([x], [gc.sum(x, axis=0), x * 2.0, gc.const(3.0)])
    none = gc.compile([], gc.const([1.0, 2.0]) * 2.0)
    for _ in range(3):
        total, empty, constant = fn(np.ones((0, 3)))
        assert total.tolist() == [0.0, 0.0, 0.0] and empty.shape == (0, 3) and float(constant) == 3.0
        assert none().tolist() == [2.0, 4.0]  # type: ignore[union-attr]


def test_parameters_are_read_and_updated_where_they_are() -> None:
    w = gc.param("w", (2,), init=[1.0, 2.0], dtype="float64")
    x = gc.input("x", (2,))
    fn = gc.compile([x], [x * w], updates={w: w + x})
    a = np.ones(2)
    bound = fn.bind(np.ones(2))
    for call in (lambda: fn(a), lambda: bound()):
        w.value = [1.0, 2.0]
        assert call()[0].tolist() == [1.0, 2.0] and w.value.tolist() == [2.0, 3.0]
        w.value = [5.0, 6.0]
        assert call()[0].tolist() == [5.0, 6.0] and w.value.tolist() == [6.0, 7.0]
        old = w.variable.value
        w.variable.value = np.array([10.0, 20.0])  # another array
        for k in range(3):
            assert call()[0].tolist() == [10.0 + k, 20.0 + k]
        assert old.tolist() == [6.0, 7.0]
        w.variable.value = old


def test_an_argument_that_shares_memory_with_an_updated_parameter_is_copied() -> None:
    w = gc.param("w", (4,), init=[1.0, 2.0, 3.0, 4.0], dtype="float64")
    x = gc.input("x", (4,))
    fn = gc.compile([x], gc.sum(x), updates={w: w + x[::-1]})
    fn(np.zeros(4))
    for _ in range(2):
        w.value = [1.0, 2.0, 3.0, 4.0]
        assert float(fn(w.value)) == 10.0  # type: ignore[arg-type]
        assert w.value.tolist() == [5.0, 5.0, 5.0, 5.0]


def test_what_is_short_keeps_the_gil() -> None:
    short, long = product(), long_function(threads=1)
    for fn, wanted in ((short, True), (long, False)):
        executable = fn.caller.compiled.executable  # type: ignore[union-attr]
        assert isinstance(executable, LLVMExecutable)
        assert executable._is_short(()) is wanted
    assert SHORT_SECONDS < 1e-3


def test_a_long_call_lets_other_threads_run() -> None:
    x = gc.input("x", (LONG,))
    fn = gc.compile([x], functools.reduce(lambda y, _: gc.sin(y), range(40), x), threads=1)
    a = np.ones(LONG)
    fn(a)
    ticks: list[float] = []
    done = threading.Event()

    def tick() -> None:
        while not done.wait(0.0002):
            ticks.append(time.perf_counter())

    ticker = threading.Thread(target=tick)
    ticker.start()
    start = time.perf_counter()
    while len(ticks) < 3 and time.perf_counter() < start + 10:
        fn(a)
    began = time.perf_counter()
    fn(a)
    ended = time.perf_counter()
    done.set()
    ticker.join()
    assert ended - began < 0.001 or any(began < t < ended for t in ticks)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("kind", ["short", "long", "parameters"])
def test_python_threads_call_one_function(kind: str, threads: int) -> None:
    """Also with more threads than cores; natively, bound, and with lists the careful way."""
    if kind == "short":
        x = gc.input("x", (16,))
        fn = gc.compile([x], gc.softmax(gc.tanh(x) @ gc.const(np.eye(16))), threads=threads)
    elif kind == "long":
        x = gc.input("x", (LONG,))
        fn = gc.compile([x], gc.softmax(gc.tanh(x) * gc.sum(x)), threads=threads)
    else:
        x = gc.input("x", (LONG,))
        w = gc.param("w", (), init=0.0, dtype="float64")
        fn = gc.compile([x], gc.cumsum(x) * 2.0, updates={w: w + 1.0}, threads=threads)
    size = fn.graph.inputs[0].type.shape[0]
    data = [np.linspace(-k, 1.0, size) for k in range(4)]  # type: ignore[call-overload]
    expected = [np.array(fn(a)) for a in data]
    wrong: list[int] = []
    rounds = 300 if kind == "short" else 12

    def work(k: int) -> None:
        bound = fn.bind(data[k])
        for turn in range(rounds):
            found = bound() if turn % 3 == 0 else fn(list(data[k])) if turn % 7 == 0 else fn(data[k])
            if not np.array_equal(found, expected[k]):  # type: ignore[arg-type]
                wrong.append(k)

    workers = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong
    if kind == "parameters":
        assert float(w.value) == 4 + 4 * rounds


@needs_fork
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_forked_child_calls_on(threads: int) -> None:
    """Natively and bound, with functions of the parent and its own, while another thread of the parent calls."""
    small, large = product(), long_function(threads=threads)
    a = np.linspace(0.0, 1.0, LONG)
    expected, bound = np.array(large(a)), large.bind(a)
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            large(a)

    caller = threading.Thread(target=busy)
    caller.start()
    time.sleep(0.01)
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        ok = float(small(1.0, 2.0, 3.0)[0]) == 9.0
        for _ in range(3):
            ok = ok and np.array_equal(large(a), expected) and np.array_equal(bound(), expected)
        os._exit(0 if ok else 1)
    stop.set()
    caller.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert np.array_equal(large(a), expected)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timer")
@pytest.mark.parametrize("kind", ["short", "long"])
def test_signals_during_calls(kind: str) -> None:
    """A handler may call the same function; an interrupt ends a loop of calls, and the next call is right."""
    fn: Callable[..., Any] = product() if kind == "short" else long_function()
    args = (1.0, 2.0, 3.0) if kind == "short" else (np.linspace(0.0, 1.0, LONG),)
    expected = np.array(fn(*args)[0])
    handled: list[bool] = []

    def handler(number: int, frame: object) -> None:
        handled.append(bool(np.array_equal(fn(*args)[0], expected)))
        if len(handled) == 5:
            raise KeyboardInterrupt
        signal.setitimer(signal.ITIMER_REAL, 0.002)

    previous = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.002)
    try:
        with pytest.raises(KeyboardInterrupt):
            end = time.monotonic() + 20
            while time.monotonic() < end:
                fn(*args)
                fn(*(a.tolist() if isinstance(a, np.ndarray) else a for a in args))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, previous)
    assert handled == [True] * 5
    assert np.array_equal(fn(*args)[0], expected)


def test_a_thread_may_still_compute_when_python_ends() -> None:
    program = """
import functools, threading, time, numpy as np, graphc as gc
x = gc.input("x", (1 << 16,))
fn = gc.compile([x], functools.reduce(lambda y, _: gc.sin(y), range(40), x), threads=1)
small = gc.compile([x], gc.sum(x))
a = np.ones(1 << 16)
def work():
    while True:
        fn(a), small(a)
small(a)
threading.Thread(target=work, daemon=True).start()
time.sleep(0.2)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


@needs_entry
@pytest.mark.skipif(runtime() is None, reason="no OpenMP runtime")
def test_calls_on_several_threads_are_watched(careful: list[int]) -> None:
    """They are native while they take as long as expected; one that is late is noted, and the next is careful."""
    x = gc.input("x", (LONG * 4,), "float32")
    fn = gc.compile([x], gc.tanh(gc.sin(x)), threads=2)
    executable = fn.caller.compiled.executable  # type: ignore[union-attr]
    assert isinstance(executable, LLVMExecutable)
    pace = executable._pace
    assert pace is not None
    a = np.ones(LONG * 4, "float32")
    fn(a)
    (state,) = pace._states.values()
    state.suspicious, state.resting_until, state.alone = False, 0.0, 1000.0
    executable._set_limit((), 0.0)
    careful[0] = 0
    fn(a)
    assert careful[0] == 0
    state.alone = 1e-9  # whatever comes now is late
    executable._set_limit((), 0.0)
    fn(a)  # the limit of 1 ns: natively, and noted
    assert state.resting_until > 0.0 and careful[0] == 0
    fn(a)
    assert careful[0] == 1


def test_without_a_native_entry(monkeypatch: pytest.MonkeyPatch, careful: list[int]) -> None:
    """On another Python every call is a careful one, with the same results."""
    monkeypatch.setattr("graphc_llvm.executable.supported", lambda: False)
    fn = product()
    bound = fn.bind(*map(np.array, (1.0, 2.0, 3.0)))
    for _ in range(2):
        assert [float(v) for v in fn(1.0, 2.0, 3.0)] == [9.0, 3.0, 3.0, 3.0]
        assert [float(v) for v in bound()] == [9.0, 3.0, 3.0, 3.0]
    assert careful[0] == 2


def test_objects_that_look_otherwise_are_not_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_DATA", "_RANK", "_DESCR", "_VALUE", "_ARRAY_TYPE"):
        with monkeypatch.context() as changed:
            changed.setattr(entry, name, 48 if name != "_ARRAY_TYPE" else 3)
            entry.symbols.cache_clear()
            try:
                assert entry.symbols() is None
            finally:
                entry.symbols.cache_clear()
    assert entry.supported() == (entry.symbols() is not None)


def test_functions_cannot_be_pickled() -> None:
    with pytest.raises(TypeError, match="cannot pickle <function main"):
        pickle.dumps(product())
