"""Schedules that are chosen by running them: which one wins, what is kept of it, and that results do not suffer."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gc
from graphc import nn
from graphc.ir.dims import Dim
from graphc.ir.types import DType
from graphc.kernel.alike import Form
from graphc.kernel.ir import Buffer, For, Kernel, Kind, Load, Store, Temp
from graphc.kernel.memory import ALIGNMENT, room
from graphc.kernel.program import Machine, ProgramBuffer
from graphc.runtime.cache import DiskCache
from graphc.runtime.function import Function
from graphc.runtime.kept import KeptFunction
from graphc_llvm import trials, tuning
from graphc_llvm.decisions import Decision, decided
from graphc_llvm.machine import host_machine
from graphc_llvm.nests import Nest
from graphc_llvm.plan import choose, ranked

RNG = np.random.default_rng(0)
Made = tuple[Function, list[np.ndarray[Any, Any]]]
Speed = Callable[[int, Kernel], float]
"""The seconds of the n-th kernel that is run."""


class Machines:
    """What takes the place of running kernels: the seconds of each are given."""

    def __init__(self, speed: Speed) -> None:
        self.speed, self.seen, self.benches = speed, list[Kernel](), 0

    def __call__(self, *arguments: Any, **named: Any) -> Machines:
        self.benches += 1
        return self

    bytes = 0

    def times(self, kernels: Sequence[Kernel], limit: float) -> list[float]:
        self.seen += [k for k in kernels if str(k) not in map(str, self.seen)]
        known = list(map(str, self.seen))
        return [self.speed(known.index(str(k)), k) for k in kernels]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRAPHC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GRAPHC_DEBUG", "0")
    return tmp_path / "cache"


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Callable[[Speed], Machines]:
    """A function that says how fast kernels are from now on; then no time passes."""

    def use(speed: Speed) -> Machines:
        machines = Machines(speed)
        monkeypatch.setattr(tuning, "Bench", machines)
        monkeypatch.setattr(tuning, "thread_time", lambda: 0.0)
        return machines

    return use


def fastest(number: int, seconds: float = 0.5e-3) -> Speed:
    return lambda n, kernel: seconds if n == number else 1e-3


def entries(folder: Path, first: str) -> list[Path]:
    return [e for e in folder.glob("*.o") if e.stem.startswith(first) and len(e.stem) == 65]


def product(**options: Any) -> Made:
    x, y = gc.input("x", (96, 80), "float32"), gc.input("y", (80, 112), "float32")
    options = {"threads": 1, **options}
    return gc.compile([x, y], x @ y, **options), [
        RNG.standard_normal((96, 80), np.float32),
        RNG.standard_normal((80, 112), np.float32),
    ]


@pytest.mark.parametrize("number", range(6))
def test_the_fastest_schedule_is_taken(number: int, given: Callable[[Speed], Machines]) -> None:
    machines = given(fastest(number))
    fn, arguments = product(tune=True)
    (call,) = fn.scheduled.calls
    assert str(call.kernel) == str(machines.seen[number])
    plain, _ = product()
    assert (str(plain.scheduled) == str(fn.scheduled)) == (number == 0), "the first one is the model's"
    np.testing.assert_allclose(fn(*arguments), plain(*arguments), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(fn(*arguments), fn(*arguments))


def test_a_gain_that_may_be_noise_is_none(given: Callable[[Speed], Machines]) -> None:
    given(fastest(2, 0.98e-3))
    assert str(product(tune=True)[0].scheduled) == str(product()[0].scheduled)


def test_what_was_found_is_kept(given: Callable[[Speed], Machines], folder: Path) -> None:
    machines = given(fastest(3))
    first, arguments = product(tune=True)
    assert machines.benches == 1 and len(entries(folder, "t")) == 1
    machines = given(fastest(0))
    again, _ = product(tune=True)
    assert type(again) is KeptFunction
    for entry in entries(folder, "f"):
        entry.unlink()
    anew, _ = product(tune=True)
    assert type(anew) is Function
    for fn in (again, anew):
        assert fn(*arguments).tobytes() == first(*arguments).tobytes()
        for stage in first.stages:
            assert fn.stage(stage) == first.stage(stage), stage
    assert machines.benches == 0, "nothing was measured again"


def test_the_same_kernel_in_another_function_is_known(given: Callable[[Speed], Machines]) -> None:
    given(fastest(3))
    first, _ = product(tune=True)
    machines = given(fastest(0))
    other, _ = product(tune=True, name="another")
    assert machines.benches == 0 and str(other.scheduled) == str(first.scheduled)


@pytest.mark.parametrize("options", [{"threads": 2}, {"fast": True}, {"cache": False}])
def test_other_circumstances_are_measured_anew(
    options: dict[str, Any], given: Callable[[Speed], Machines]
) -> None:
    given(fastest(0))
    product(tune=True)
    machines = given(fastest(0))
    product(tune=True, **options)
    assert machines.benches == 1


def test_other_sources_are_measured_anew(
    given: Callable[[Speed], Machines], monkeypatch: pytest.MonkeyPatch
) -> None:
    given(fastest(0))
    product(tune=True)
    monkeypatch.setattr(tuning, "_sources", lambda: "newer")
    machines = given(fastest(0))
    product(tune=True, name="another")
    assert machines.benches == 1


@pytest.mark.parametrize("content", [b"", b"nonsense", b"[]", b"[[[1]], null, null]", b"[3, 4, 5]"])
def test_an_entry_of_nonsense_is_measured_again(
    content: bytes, given: Callable[[Speed], Machines], folder: Path
) -> None:
    given(fastest(3))
    first, _ = product(tune=True)
    (entry,) = entries(folder, "t")
    DiskCache(folder).put(entry.stem, content)
    machines = given(fastest(3))
    again, _ = product(tune=True, name="another")
    assert machines.benches == 1 and str(again.scheduled) == str(first.scheduled)


def test_a_busy_machine_leaves_nothing_behind(given: Callable[[Speed], Machines], folder: Path) -> None:
    given(lambda n, kernel: math.inf)
    fn, _ = product(tune=True)
    assert str(fn.scheduled) == str(product()[0].scheduled)
    assert not entries(folder, "t") and len(entries(folder, "f")) == 1, "that of the plain function"
    machines = given(fastest(2))
    product(tune=True)
    assert machines.benches == 1 and len(entries(folder, "t")) == 1


def alone(kernel: Kernel) -> bool:
    return not any(isinstance(s, For) and s.kind is Kind.PARALLEL for s in kernel.body)


def test_one_thread_may_be_faster_than_two(given: Callable[[Speed], Machines]) -> None:
    given(lambda n, kernel: 0.5 if alone(kernel) else 1.0)
    fn, arguments = product(tune=True, threads=2)
    assert alone(fn.scheduled.calls[0].kernel)
    plain, _ = product(threads=2)
    assert not alone(plain.scheduled.calls[0].kernel)
    np.testing.assert_allclose(fn(*arguments), plain(*arguments), rtol=1e-5, atol=1e-5)


def test_kernels_that_are_alike_are_run_once(given: Callable[[Speed], Machines]) -> None:
    machines = given(fastest(2))
    x = gc.input("x", (64, 96), "float32")
    y = x
    for k in range(4):
        y = gc.tanh(y @ gc.param(f"w{k}", (96, 96)))
    fn = gc.compile([x], y, threads=1, tune=True)
    kernels = {Form.of(call.kernel).key for call in fn.program.calls}
    assert machines.benches == len(kernels) < len(fn.program.calls)


def test_little_work_is_not_worth_it(given: Callable[[Speed], Machines]) -> None:
    machines = given(fastest(2))
    x = gc.input("x", (8, 8), "float32")
    assert gc.compile([x], x @ x, tune=True)(np.eye(8, dtype="f4")).tolist() == np.eye(8).tolist()
    assert machines.benches == 0


def test_a_model_is_tuned(given: Callable[[Speed], Machines]) -> None:
    machines = given(fastest(0))
    given_x = nn.Input(64)
    model = nn.Model(given_x, nn.Dense(10)(nn.Dense(96, activation="relu")(given_x)))
    model.compile("sgd", threads=1, tune=True)
    x, labels = RNG.standard_normal((32, 64), np.float32), RNG.integers(0, 10, 32)
    model.fit(x, labels, epochs=1, verbose=0)
    assert machines.benches > 0


def test_debugging_shows_what_was_measured(
    given: Callable[[Speed], Machines], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GRAPHC_DEBUG", "1")
    given(fastest(2))
    product(tune=True)
    shown = capsys.readouterr().err
    lines = shown[shown.index("graphc: tuned k0_contract") :].splitlines()
    assert lines[1].split() == ["predicted", "measured"]
    assert lines[2].split() == ["1.00", "1000.0", "µs", "model's"]
    assert lines[4].endswith("  <- chosen") and "tile " in lines[4] and "500.0 µs" in lines[4]
    product(tune=True, name="another")
    assert "  <- kept" in capsys.readouterr().err


def _convolution(**options: Any) -> Made:
    x = gc.input("x", (3, 4, 9, 10), "float32")
    w = gc.param("w", init=np.random.default_rng(1).standard_normal((6, 4, 3, 3), np.float32))
    f = gc.sum(gc.square(gc.conv2d(x, w, padding=1)))
    return gc.compile([x], [f, *gc.grad(f, [x, w])], **options), [
        RNG.standard_normal((3, 4, 9, 10), np.float32)
    ]


def _named(**options: Any) -> Made:
    x, y = gc.input("x", ("N", 30), "float32"), gc.input("y", (30, "turns"), "float32")
    results = [gc.softmax(x @ y), gc.sum(x, axis=0), gc.exp(y)]
    shapes = (7, 30), (30, 5)
    return gc.compile([x, y], results, **options), [RNG.standard_normal(s, np.float32) for s in shapes]


def _scan(**options: Any) -> Made:
    xs, w = gc.input("xs", ("T", 6, 20), "float32"), gc.input("w", (20, 20), "float32")
    last, seen = gc.scan(lambda h, x: (gc.tanh(h @ w + x), h[0]), gc.zeros((6, 20), "float32"), xs)
    shapes = (4, 6, 20), (20, 20)
    return gc.compile([xs, w], [last, seen], **options), [RNG.standard_normal(s, np.float32) for s in shapes]


def _gather(**options: Any) -> Made:
    ids, table = gc.input("ids", (12,), "int32"), gc.input("table", (9, 20), "float32")
    rows = gc.take(table, ids, axis=0)
    f = gc.sum(rows @ gc.transpose(table))
    arguments = [RNG.integers(0, 9, 12).astype("int32"), RNG.standard_normal((9, 20), np.float32)]
    return gc.compile([ids, table], [f, gc.grad(f, table)], **options), arguments


def _step(**options: Any) -> Made:
    x, t = gc.input("x", (16, 10), "float32"), gc.input("t", (16, 4), "float32")
    w = gc.param("w", init=np.full((10, 4), 0.25, np.float32))
    loss = gc.mean(gc.square(x @ w - t))
    step = gc.compile([x, t], loss, updates=nn.Adam(1e-2).updates(loss, [w]), **options)
    return step, [RNG.standard_normal((16, 10), np.float32), RNG.standard_normal((16, 4), np.float32)]


PROGRAMS = {f.__name__[1:]: f for f in (_convolution, _named, _scan, _gather, _step)}


def listed(results: object) -> tuple[Any, ...]:
    return results if isinstance(results, tuple) else (results,)


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("name", PROGRAMS)
def test_whatever_wins_the_results_are_right(
    name: str, number: int, given: Callable[[Speed], Machines], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "HEAVY_NS", 0)
    given(lambda n, kernel: 1.0 / (1 + n % (number + 1)))
    fn, arguments = PROGRAMS[name](tune=True, threads=2)
    plain, _ = PROGRAMS[name](backend="reference")
    assert fn._compiled is not None and fn._compiled.executable.decisions, "something was decided otherwise"
    for a, b in zip(listed(fn(*arguments)), listed(plain(*arguments)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * max(1.0, float(np.abs(b).max(initial=0))))


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_kernel_can_be_run_by_itself(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    around: list[np.ndarray[Any, Any]] = []

    def guarded(b: ProgramBuffer, sizes: dict[str, int]) -> np.ndarray[Any, Any]:
        size = room(b, sizes)
        lines = -(-size // ALIGNMENT) * ALIGNMENT  # no other buffer has part of the last one
        memory = np.full(lines + 3 * ALIGNMENT, 77, np.uint8)
        first = ALIGNMENT - memory.ctypes.data % ALIGNMENT
        around.extend((memory[:first], memory[first + lines :]))
        found = memory[first : first + size].view(b.dtype.numpy)
        found[:] = filled(b, sizes)
        return found

    filled = trials.filled
    monkeypatch.setattr(trials, "filled", guarded)
    monkeypatch.setattr(tuning, "HEAVY_NS", 0)
    monkeypatch.setattr(tuning, "BUDGET", 0.05)
    fn, arguments = PROGRAMS[name](tune=True, threads=2)
    plain, _ = PROGRAMS[name](backend="reference")
    for a, b in zip(listed(fn(*arguments)), listed(plain(*arguments)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * max(1.0, float(np.abs(b).max(initial=0))))
    assert around and all((memory == 77).all() for memory in around), "nothing outside was written"


def test_the_bench_tells_fast_from_slow() -> None:
    fn, _ = product()
    (call,) = fn.program.calls
    bench = trials.Bench(fn.program, call, host_machine(1), fast=False)
    assert bench.bytes == 4 * (96 * 80 + 80 * 112 + 96 * 112)
    slow, fast = bench.times([call.kernel, fn.scheduled.calls[0].kernel], limit=0.5)
    assert fast < slow or math.isinf(slow)


def test_time_that_is_up_leaves_schedules_untried() -> None:
    fn, _ = product()
    (call,) = fn.program.calls
    bench = trials.Bench(fn.program, call, host_machine(1), fast=False)
    _, untried = bench.times([fn.scheduled.calls[0].kernel, call.kernel], limit=-1.0)
    assert math.isinf(untried)


def test_plans_are_ranked_and_differ_in_kind() -> None:
    fn, _ = product()
    (call,) = fn.program.calls
    machine = Machine("znver4", 64, 32, 32 << 10, 1 << 20, 1)
    *_, (nest,) = decided(Form.of(call.kernel).kernel, machine, call.flops, Decision())
    every = ranked(nest, machine, 1000)
    assert every[0][0] == choose(nest, machine)
    assert [s for _, s in every] == sorted(s for _, s in every)
    few = [p for p, _ in ranked(nest, machine, 5)]
    assert len(few) == 5 and few[0] == every[0][0]
    kinds = {(p.vector, p.lanes, frozenset(v for v, _ in p.tile), p.packed) for p in few}
    assert len(kinds) == 5


def plan_of(tensor: gc.Tensor, *inputs: gc.Tensor) -> tuple[str, int]:
    """What the model chooses for the only nest of a tensor: the vector loop and its lanes."""
    machine = Machine("znver4", 64, 32, 32 << 10, 1 << 20, 1)
    (call,) = gc.compile(inputs, tensor, backend="interpreter").program.calls
    *_, (nest,) = decided(Form.of(call.kernel).kernel, machine, call.flops, Decision())
    plan = choose(nest, machine)
    return plan.vector, plan.lanes


def test_lanes_are_rather_loaded_apart_than_stored_apart() -> None:
    x, y = gc.input("x", (512, 128), "float32"), gc.input("y", (128, 512), "float32")
    assert plan_of(gc.transpose(x) + 1.0, x)[0] == "i1", "the last axis of the result"
    assert plan_of(gc.transpose(y) + 1.0, y)[0] == "i0", (
        "32 rows of 2048 bytes do not stay in the first cache"
    )


def test_a_body_that_holds_many_values_takes_narrow_vectors() -> None:
    i, y = Dim.of("i"), Buffer("y", DType.F32, (40, 256))
    temps = [Temp(f"t{k}", DType.F32) for k in range(20)]
    lanes = []
    for count in (2, 20):  # values that are loaded first, and stored last
        loads = tuple(Load(t, y, (k, i)) for k, t in enumerate(temps[:count]))
        stores = tuple(Store(y, (k + 20, i), t) for k, t in enumerate(temps[:count]))
        nest = Nest.of(For("i", 0, 256, (*loads, *stores)))
        assert nest is not None
        lanes.append(choose(nest, Machine("znver4", 64, 32, 32 << 10, 1 << 20, 1)).lanes)
    assert lanes == [64, 16]
