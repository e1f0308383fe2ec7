"""The driver: what GRAPHC_DEBUG prints, what GRAPHC_VERIFY checks, and arguments that share memory."""

from __future__ import annotations

from collections import OrderedDict
from importlib import import_module

import numpy as np
import pytest

import graphc as gc
from graphc.kernel.ir import Kernel


def _function(**options: object) -> object:
    x = gc.input("x", ("N",))
    return gc.compile([x], gc.sum(gc.exp(x) * 1.0), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("level", "said", "unsaid"),
    [("1", "fuse", "mul-one"), ("2", "mul-one", "==> asm"), ("3", "==> asm", "?")],
)
def test_debug_prints(
    level: str, said: str, unsaid: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GRAPHC_DEBUG", level)
    _function()
    err = capsys.readouterr().err
    assert err.startswith("graphc: <function main(x: f64[N]) -> f64[] by llvm>")
    assert said in err
    assert unsaid not in err


def test_nothing_is_printed_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    _function()
    assert capsys.readouterr() == ("", "")


def test_every_kernel_is_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setenv("GRAPHC_CACHE", "off")
    kept: OrderedDict[object, object] = OrderedDict()
    monkeypatch.setattr(import_module("graphc_llvm.backend"), "_schedules", kept)

    def verified(kernel: Kernel) -> Kernel:
        seen.append(kernel.name)
        return kernel

    monkeypatch.setattr("graphc.runtime.compile.verify", verified)
    monkeypatch.setattr("graphc_llvm.schedules.verify", verified)
    _function()
    assert len(seen) == 2  # the kernel as lowered, and as scheduled
    kept.clear()
    monkeypatch.setenv("GRAPHC_VERIFY", "0")
    _function()
    assert len(seen) == 2


def test_an_argument_may_share_memory_with_an_updated_parameter() -> None:
    w = gc.param("w", (4,), init=[1.0, 2.0, 3.0, 4.0], dtype="float64")
    x = gc.input("x", (4,))
    fn = gc.compile([x], gc.sum(x), updates={w: w + x[::-1]})
    assert float(fn(w.value)) == 10.0  # type: ignore[arg-type]
    np.testing.assert_array_equal(w.value, [5.0, 5.0, 5.0, 5.0])


def test_parameters_that_need_each_other() -> None:
    """A swap cannot be made in place: one of the two is copied."""
    a, b = gc.param("a", init=[1.0, 2.0], dtype="float64"), gc.param("b", init=[3.0, 4.0], dtype="float64")
    for backend in ("reference", "interpreter", "llvm"):
        fn = gc.compile([], [a + b], updates={a: b * 1.0, b: a * 1.0}, backend=backend)
        before = a.value.copy(), b.value.copy()
        fn()
        np.testing.assert_array_equal(a.value, before[1])
        np.testing.assert_array_equal(b.value, before[0])


def test_an_updated_parameter_is_returned_as_it_was() -> None:
    for backend in ("reference", "interpreter", "llvm"):
        a, b = (
            gc.param("a", init=[1.0, 2.0], dtype="float64"),
            gc.param("b", init=[3.0, 4.0], dtype="float64"),
        )
        fn = gc.compile([], [a, b * 2.0], updates={a: a + 10.0, b: a * 1.0}, backend=backend)
        found = fn()
        np.testing.assert_array_equal(found[0], [1.0, 2.0])
        np.testing.assert_array_equal(found[1], [6.0, 8.0])
        np.testing.assert_array_equal(a.value, [11.0, 12.0])
        np.testing.assert_array_equal(b.value, [1.0, 2.0])


def test_outputs_that_are_not_computed() -> None:
    """An input, a parameter, a constant, a view of an input, and one tensor twice."""
    x, w, c = gc.input("x", ("N", 2)), gc.param("w", init=[1.0, 2.0], dtype="float64"), gc.const([3.0, 4.0])
    y = x + 1.0
    outputs = [x, w, c, x.reshape(-1), y, y, x.T, gc.const(5.0)]
    data = np.arange(6.0).reshape(3, 2)
    wanted = [data, [1.0, 2.0], [3.0, 4.0], data.ravel(), data + 1, data + 1, data.T, 5.0]
    for backend in ("reference", "interpreter", "llvm"):
        results = gc.compile([x], outputs, backend=backend)(data)
        for found, expected in zip(results, wanted, strict=True):
            np.testing.assert_array_equal(found, expected)
            assert not np.may_share_memory(found, data)
            assert not np.may_share_memory(found, w.value)


@pytest.mark.parametrize("name", ["data", "thread", "threads", "entry", "addresses", "dims", "out0", "lo"])
def test_inputs_and_dimensions_may_have_any_name(name: str) -> None:
    """Such as those that generated code uses itself."""
    x, y = gc.input(name, ("N", 4)), gc.input("y", (name, 4))
    fn = gc.compile([x, y], [gc.exp(x), gc.exp(y)], threads=2)
    for value in fn(np.zeros((3, 4)), np.zeros((2, 4))):
        np.testing.assert_array_equal(value, np.ones(value.shape))
