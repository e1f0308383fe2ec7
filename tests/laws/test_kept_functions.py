"""Functions from the cache: the same bits, texts and errors as those that were compiled, and nothing stale."""

from __future__ import annotations

import dataclasses
import gc as collector
import os
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gc
from graphc import nn
from graphc.errors import GraphcError
from graphc.ir.node import Op
from graphc.ops import registry
from graphc.ops.leaves import Param
from graphc.runtime import kept
from graphc.runtime.cache import DiskCache
from graphc.runtime.function import Function
from graphc.runtime.kept import KeptFunction

RNG = np.random.default_rng(0)
Made = tuple[Function, list[np.ndarray[Any, Any]]]


def named_dimensions() -> Made:
    x, y = gc.input("x", ("N", 3), "float32"), gc.input("y", (3, "M"), "float32")
    fn = gc.compile([x, y], [x @ y, gc.softmax(x), gc.sum(y)])
    return fn, [RNG.standard_normal((5, 3), np.float32), RNG.standard_normal((3, 4), np.float32)]


def training_step() -> Made:
    x, t = gc.input("x", (8, 6), "float32"), gc.input("t", (8,), "int32")
    w1, b1 = gc.param("w", init=np.ones((6, 5), np.float32)), gc.param("b", init=np.zeros(5, np.float32))
    w2 = gc.param("w", init=np.full((5, 4), 0.5, np.float32))  # a name that another parameter has too
    loss = -gc.mean(gc.pick(gc.log_softmax(gc.relu(x @ w1 + b1) @ w2), t))
    step = gc.compile([x, t], loss, updates=nn.Adam(1e-2).updates(loss, [w1, b1, w2]))
    return step, [RNG.standard_normal((8, 6), np.float32), RNG.integers(0, 4, 8).astype("int32")]


def control() -> Made:
    x, n = gc.input("x", (7,)), gc.input("n", (), "int64")
    rows = gc.input("rows", ("T", 7))
    total, seen = gc.scan(lambda s, row: (s * 0.5 + row, gc.sum(s)), x, rows)
    turned = gc.while_loop(lambda c: c[0] < n, lambda c: (c[0] + 1, c[1] * 1.5), (gc.const(0), x))[1]
    chosen = gc.cond(gc.sum(x) > 0.0, lambda a: gc.exp(a), lambda a: gc.sin(a), x)
    fn = gc.compile([x, n, rows], [total, seen, turned, chosen])
    return fn, [RNG.standard_normal(7), np.array(3), RNG.standard_normal((4, 7))]


def constants() -> Made:
    x = gc.input("x", (4,))
    fn = gc.compile([x], gc.where(x > 0, x * gc.const(RNG_TABLE), gc.const(RNG_TABLE)[::-1]))
    return fn, [RNG.standard_normal(4)]


RNG_TABLE = np.random.default_rng(1).standard_normal(4)


def shared_by_threads() -> Made:
    x = gc.input("x", ("N",), "float32")
    return gc.compile([x], gc.tanh(x) + gc.erf(x), threads=2), [RNG.standard_normal(1 << 18, np.float32)]


def empty() -> Made:
    x = gc.input("x", (0, 3))
    return gc.compile([x], [gc.sum(x), x + 1.0, x]), [np.zeros((0, 3))]


CASES: dict[str, Callable[[], Made]] = {
    f.__name__: f for f in (named_dimensions, training_step, control, constants, shared_by_threads, empty)
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRAPHC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GRAPHC_DEBUG", "0")
    return tmp_path / "cache"


def state(fn: Function) -> list[np.ndarray[Any, Any]]:
    return [n.op.variable.value.copy() for n in fn.graph.nodes if isinstance(n.op, Param)]


def listed(results: object) -> tuple[Any, ...]:
    return results if isinstance(results, tuple) else (results,)


@pytest.mark.parametrize("name", CASES)
def test_the_same_bits_and_texts(name: str) -> None:
    fresh, arguments = CASES[name]()
    again, _ = CASES[name]()
    assert type(fresh) is Function and type(again) is KeptFunction
    for _ in range(3):
        one, other = fresh(*arguments), again(*arguments)
        for a, b in zip(listed(one), listed(other), strict=True):
            assert a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
        for a, b in zip(state(fresh), state(again), strict=True):
            assert a.tobytes() == b.tobytes()
    assert "optimized" not in vars(again), "calls need no level"
    assert fresh.stages == again.stages and repr(fresh) == repr(again)
    for stage in fresh.stages:
        assert fresh.stage(stage) == again.stage(stage), stage
    assert str(fresh.log) == str(again.log)
    assert str(fresh.cost) == str(again.cost) and str(fresh.scheduled) == str(again.scheduled)
    sizes = {"N": 5, "M": 4, "T": 4}
    assert fresh.cost.arena(**sizes) == again.cost.arena(**sizes)


@pytest.mark.parametrize("arguments", [(), (np.zeros(3),), (np.zeros((5, 3), "f4"), np.zeros((4, 4), "f4"))])
def test_the_same_errors(arguments: tuple[Any, ...]) -> None:
    texts = []
    for fn in (named_dimensions()[0], named_dimensions()[0]):
        with pytest.raises(GraphcError) as caught:
            fn(*arguments)
        texts.append(str(caught.value))
    assert texts[0] == texts[1]


def compiled(**options: Any) -> Function:
    x, y = gc.input("x", (300,), "float32"), gc.input("y", (300,), "float32")
    return gc.compile([x, y], gc.exp(x) * 1.0 / y, **options)


@pytest.mark.parametrize(
    "options",
    [{"fast": True}, {"threads": 1}, {"disable": ["fuse"]}, {"disable": ["mul-one"]}, {"name": "f"}],
)
def test_other_options_are_other_entries(options: dict[str, Any]) -> None:
    compiled(threads=2)
    assert type(compiled(threads=2)) is KeptFunction
    assert type(compiled(**{"threads": 2, **options})) is Function


@pytest.mark.parametrize("name, value", [("GRAPHC_CPU", "x86-64-v3"), ("GRAPHC_VERIFY", "0")])
def test_other_settings_are_other_entries(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "GRAPHC_CPU" and os.uname().machine != "x86_64":
        pytest.skip("the CPU is one of x86-64")
    compiled()
    monkeypatch.setenv(name, value)
    assert type(compiled()) is Function


def test_parameters_of_one_name_are_two() -> None:
    """Equal digests, another graph: which of two leaves of the same name an operand is."""
    a, b = (gc.param("w", init=np.full(3, v)) for v in (2.0, 5.0))
    assert a.node.digest == b.node.digest
    np.testing.assert_array_equal(gc.compile([], a - b + a)(), np.full(3, -1.0))
    np.testing.assert_array_equal(gc.compile([], a - b + b)(), np.full(3, 2.0))
    np.testing.assert_array_equal(gc.compile([], b - a + b)(), np.full(3, 8.0))


def test_an_entry_of_nonsense_is_compiled_again(folder: Path) -> None:
    """The checksum holds, the content does not: written by another version, say."""
    fn, arguments = constants()
    entries = [e for e in folder.iterdir() if e.stem.startswith("f") and len(e.stem) == 65]
    assert len(entries) == 1
    held = DiskCache(folder).get(entries[0].stem)
    assert held is not None
    for content in (b"", b"nonsense", held[:200], held.replace(b'"call"', b'"cull"'), held[:-30]):
        DiskCache(folder).put(entries[0].stem, content)
        again, _ = constants()
        np.testing.assert_array_equal(again(*arguments), fn(*arguments))
        assert DiskCache(folder).get(entries[0].stem) == held


def test_nothing_is_kept_where_sources_are_newer_than_the_process(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "_IMPORTED_NS", 1)
    compiled()
    assert type(compiled()) is Function
    assert all(len(e.stem) == 64 for e in folder.iterdir()), "objects, whose key is their text"


def test_without_the_cache_nothing_is_kept(folder: Path) -> None:
    compiled()
    assert type(compiled(cache=False)) is Function
    assert type(compiled(backend="interpreter")) is Function


def test_a_kept_function_is_freed() -> None:
    compiled()
    fn = compiled()
    fn(np.ones(300, "f4"), np.ones(300, "f4"))
    fn.stage("asm")
    held = [weakref.ref(fn.caller), weakref.ref(fn.graph.outputs[0]), weakref.ref(fn._compiled.executable)]
    del fn
    collector.collect()
    assert [r() for r in held] == [None, None, None]


def test_digests_cover_all_attributes_of_operations() -> None:
    """What is not in the key of an operation must not change the code: titles and values of leaves."""
    seen = set()
    for op in _operations(Op):
        if not dataclasses.is_dataclass(op) or op.__name__ in ("Input", "Param", "Const"):
            continue
        seen.add(op)
        assert op.key is Op.key and not any(f.name.startswith("_") for f in dataclasses.fields(op)), op
        if op.attributes is not Op.attributes:
            assert op.__name__ in ("Elementwise", "Slot"), op
        assert not any("Callable" in str(f.type) for f in dataclasses.fields(op)), op
    assert len(seen) >= len(registry.STRUCTURAL) // 2


def _operations(base: type[Any]) -> list[type[Any]]:
    found = [base]
    for c in found:
        found += [s for s in c.__subclasses__() if s.__module__.startswith("graphc.")]
    return found
