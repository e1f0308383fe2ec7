"""Bound calls: the same numbers as a call, into the same arrays each time, on every back end."""

from __future__ import annotations

import threading
import weakref

import numpy as np
import pytest

import graphc as gc
from graphc.runtime.caller import Caller
from graphc_llvm import entry


def test_a_bound_call_reads_and_writes_in_place(backend: str) -> None:
    x, y = gc.input("x", ("N", 3)), gc.input("y", (3,), "float32")
    fn = gc.compile([x, y], [gc.sum(x, axis=1), y * 2.0, x[0]], backend=backend)
    a, b = np.arange(6.0).reshape(2, 3), np.ones(3, "float32")
    given = [np.empty(2), np.empty(3, "float32"), np.empty(3)]
    for bound in (
        fn.bind(a, b),
        fn.bind(y=b, x=a),
        fn.bind(a, b, out=given),
        fn.bind(a, b, out=tuple(given)),
    ):
        assert bound.inputs[0] is a and bound.inputs[1] is b
        for k in range(3):
            a[0, 0] = b[0] = k
            found = bound()
            assert found is bound.outputs
            for p, q in zip(found, fn(a, b), strict=True):
                np.testing.assert_array_equal(p, q)
                assert p.dtype == q.dtype
    assert bound.outputs[0] is given[0]
    assert repr(bound) == "<bound call of main>"


@pytest.mark.parametrize("rows", [0, 1, 3, 1000])
def test_results_begin_with_a_cache_line(rows: int) -> None:
    x = gc.input("x", ("N", 3), "float32")
    bound = gc.compile([x], [x * 2.0, gc.sum(x), x > 0.0]).bind(np.ones((rows, 3), "float32"))
    found = bound()
    assert [a.shape for a in found] == [(rows, 3), (), (rows, 3)]
    assert [a.dtype for a in found] == [np.float32, np.float32, np.bool_]
    for a in found:
        assert a.flags.writeable and a.flags.c_contiguous and (a.size == 0 or a.ctypes.data % 64 == 0)
    assert found[1] == 3 * rows


def test_one_output(backend: str) -> None:
    x = gc.input("x")
    fn = gc.compile([x], x * x, backend=backend)
    a, out = np.array(3.0), np.array(0.0)
    assert fn.bind(a, out=out)() is out and float(out) == 9.0
    bound = fn.bind(a)
    assert bound() is bound.outputs and float(bound()) == 9.0  # type: ignore[arg-type]


def test_each_bound_call_has_sizes_of_its_own(backend: str) -> None:
    x = gc.input("x", ("N",))
    fn = gc.compile([x], gc.cumsum(gc.exp(x)) + gc.sum(x), backend=backend)
    bounds = [fn.bind(np.linspace(0.0, 1.0, n)) for n in (0, 1, 5, 64)]
    for _ in range(2):
        for bound in bounds:
            np.testing.assert_array_equal(bound(), fn(*bound.inputs))  # type: ignore[arg-type]


def test_sizes_that_the_graph_cannot_have() -> None:
    x = gc.input("x", ("N",))
    for backend in ("reference", "llvm"):
        fn = gc.compile([x], x[:3] * 2.0, backend=backend)
        with pytest.raises(gc.ShapeError):
            fn.bind(np.ones(2))


def test_parameters_are_updated_and_replaced(backend: str) -> None:
    w = gc.param("w", (2,), init=[1.0, 2.0], dtype="float64")
    x = gc.input("x", (2,))
    fn = gc.compile([x], x * w, updates={w: w + x}, backend=backend)
    bound = fn.bind(np.ones(2))
    assert bound().tolist() == [1.0, 2.0] and bound().tolist() == [2.0, 3.0]  # type: ignore[union-attr]
    w.value = [7.0, 8.0]
    assert bound().tolist() == [7.0, 8.0] and w.value.tolist() == [8.0, 9.0]  # type: ignore[union-attr]
    w.variable.value = np.array([20.0, 30.0])
    assert bound().tolist() == [20.0, 30.0] and bound().tolist() == [21.0, 31.0]  # type: ignore[union-attr]
    w.variable.value = bound.inputs[0]
    with pytest.raises(gc.ArgumentError, match="`x` shares memory with the parameter `w`"):
        bound()


def test_a_map_of_a_file_can_be_bound(tmp_path) -> None:  # type: ignore[no-untyped-def]
    x = gc.input("x", (4,))
    fn = gc.compile([x], x + 1.0)
    files = [np.memmap(tmp_path / name, "float64", "w+", shape=(4,)) for name in ("in", "out")]
    bound = fn.bind(files[0], out=files[1])
    files[0][:] = [1.0, 2.0, 3.0, 4.0]
    bound()
    assert files[1].tolist() == [2.0, 3.0, 4.0, 5.0]


def test_a_bound_call_keeps_what_it_needs() -> None:
    x = gc.input("x", (1000,))
    bound = gc.compile([x], gc.cumsum(gc.sin(x)) * gc.sum(x)).bind(np.ones(1000))
    kept = weakref.ref(bound.inputs[0])
    expected = np.cumsum(np.full(1000, np.sin(1.0))) * 1000.0
    for _ in range(3):
        np.testing.assert_allclose(bound(), expected, rtol=1e-12)  # type: ignore[arg-type]
    assert kept() is not None
    del bound
    assert kept() is None


@pytest.mark.skipif(not entry.supported(), reason="this Python has no native entry")
def test_bound_calls_go_the_native_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*args: object) -> None:
        raise AssertionError("a careful call")

    x = gc.input("x", (4,))
    bound = gc.compile([x], x + 1.0).bind(np.zeros(4))
    monkeypatch.setattr(Caller, "run", run)
    assert bound().tolist() == [1.0] * 4  # type: ignore[union-attr]


def test_bound_calls_of_several_threads() -> None:
    """They share the memory between kernels, so only one runs at a time."""
    x = gc.input("x", (1 << 15,))
    fn = gc.compile([x], gc.softmax(gc.cumsum(gc.tanh(x)) * gc.sum(x)))
    bounds = [fn.bind(np.linspace(-k, 1.0, 1 << 15)) for k in range(3)]
    expected = [np.array(bound()) for bound in bounds]
    wrong: list[int] = []

    def work(k: int) -> None:
        turns = (bool(np.array_equal(bounds[k](), expected[k])) for _ in range(20))  # type: ignore[arg-type]
        wrong.extend(k for right in turns if not right)

    workers = [threading.Thread(target=work, args=(k,)) for k in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong
