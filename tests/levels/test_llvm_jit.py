"""Machine code: the cache, threads, forks, concurrent calls, texts and what the machine is found to be."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from graphc.errors import BackendError, InternalError
from graphc.ir.dims import Dim
from graphc.ir.types import DType
from graphc.kernel.ir import Buffer, For, Kernel, Kind, Let, Load, Parameter, Stmt, Store, Temp
from graphc.kernel.program import Call, Executable, Program, ProgramBuffer
from graphc_cuda import backend as cuda
from graphc_llvm import backend as llvm
from graphc_llvm import machine
from graphc_llvm.emit import emit
from graphc_llvm.jit import Code, cache_key
from graphc_llvm.module import FLOPS_PER_NS, WORTH_THREADS_NS
from graphc_llvm.pace import Pace
from graphc_llvm.threads import runtime, usable_threads

N, i, b = Dim.of("N"), Dim.of("i"), Dim.of("b")
BIG = 1 << 18  # elements, enough work for threads


class MemoryCache:
    """A code cache that counts."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.hits = 0

    def get(self, key: str) -> bytes | None:
        found = self.kept.get(key)
        self.hits += found is not None
        return found

    def put(self, key: str, code: bytes) -> None:
        self.kept[key] = code


def tanh_program() -> Program:
    """y = tanh(x) over blocks of 16, in parallel; N is a multiple of 16."""
    x, y = Buffer("x", DType.F32, (N,)), Buffer("y", DType.F32, (N,))
    t, u = Temp("t", DType.F32), Temp("u", DType.F32)
    at = (16 * b + i,)
    body: tuple[Stmt, ...] = (Load(t, x, at), Let(u, "tanh", (t,)), Store(y, at, u))
    inner = For("i", 0, 16, body, Kind.VECTOR, 16)
    kernel = Kernel(
        "tanh", (Parameter(x, "in"), Parameter(y, "out")), (For("b", 0, N // 16, (inner,), Kind.PARALLEL),)
    )
    buffers = (ProgramBuffer("x", DType.F32, (N,), "input"), ProgramBuffer("y", DType.F32, (N,), "output"))
    return Program("activation", buffers, (Call(kernel, (0, 1), 10 * N, 8 * N),))


def check(executable: Executable, size: int = BIG) -> None:
    x, y = np.linspace(-3, 3, size, dtype=np.float32), np.zeros(size, np.float32)
    executable.run([x.ctypes.data, y.ctypes.data], [size])
    np.testing.assert_allclose(y, np.tanh(x), rtol=1e-6)


def test_the_back_end_builds_and_describes_itself() -> None:
    executable = llvm.build(tanh_program(), fast=False, threads=None, cache=None)
    check(executable)
    check(executable, 16)
    described = llvm.describe()
    assert described["LLVM"].startswith("2") and "bits" in described["vectors"]


def test_texts_of_the_stages() -> None:
    executable = llvm.build(tanh_program(), fast=False, threads=1, cache=None)
    assert "kernel tanh(x: f32[N] in, y: f32[N] out)" in executable.text("scheduled")
    assert "define hidden void @tanh.0(" in executable.text("llvm")
    assert "define void @graphc_entry(" in executable.text("llvm-opt")
    assert "graphc_entry:" in executable.text("asm") and ".loc" in executable.text("asm")
    assert str(executable.scheduled()) == executable.text("scheduled")
    with pytest.raises(KeyError):
        executable.text("ptx")


def test_the_cache_saves_the_compilation() -> None:
    cache = MemoryCache()
    check(llvm.build(tanh_program(), fast=False, threads=1, cache=cache))
    assert len(cache.kept) == 1 and cache.hits == 0
    check(llvm.build(tanh_program(), fast=False, threads=1, cache=cache))
    assert len(cache.kept) == 1 and cache.hits == 1


@pytest.mark.parametrize("damage", ["truncated", "empty", "noise"])
def test_a_damaged_object_is_rebuilt(damage: str) -> None:
    cache = MemoryCache()
    llvm.build(tanh_program(), fast=False, threads=1, cache=cache)
    key, good = next(iter(cache.kept.items()))
    cache.kept[key] = {"truncated": good[: len(good) // 2], "empty": b"", "noise": b"\x07" * 400}[damage]
    check(llvm.build(tanh_program(), fast=False, threads=1, cache=cache))
    assert cache.kept[key] == good


def test_an_object_without_the_entry_is_rebuilt() -> None:
    cache = MemoryCache()
    text = str(emit(tanh_program()))
    other = MemoryCache()
    Code("define void @graphc_entry(ptr %a, ptr %b) { ret void }", other)
    wrong = next(iter(other.kept.values())).replace(b"graphc_entry", b"graphc_other")
    cache.kept[cache_key(text)] = wrong
    Code(text, cache)
    assert cache.kept[cache_key(text)] != wrong


def test_the_key_names_text_and_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    one = cache_key("a")
    assert one != cache_key("b")
    monkeypatch.setenv("GRAPHC_CPU", "x86-64-v3")
    assert one != cache_key("a")


def test_text_that_llvm_refuses_is_an_internal_error() -> None:
    with pytest.raises(InternalError, match="LLVM refuses"):
        Code("define void @graphc_entry(ptr %a, ptr %b) { ret i64 %nothing }")


needs_threads = pytest.mark.skipif(runtime() is None, reason="no OpenMP runtime")


@needs_threads
def test_a_forked_child_runs_on_one_thread_and_ends() -> None:
    """The parent's worker threads do not exist in the child, which must not wait for them."""
    executable = llvm.build(tanh_program(), fast=False, threads=2, cache=None)
    check(executable)  # starts the runtime's threads
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        try:
            check(executable)
        except BaseException:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


@needs_threads
def test_work_is_shared_where_it_pays() -> None:
    executable = llvm.build(tanh_program(), fast=False, threads=2, cache=None)
    entry = executable.text("llvm").split("@graphc_entry(")[1]
    assert f"= mul nsw i64 %N, {10 + 2 * 8}" in entry and f", {WORTH_THREADS_NS * FLOPS_PER_NS}" in entry
    assert "@GOMP_parallel(ptr @tanh.0.team, " in entry
    check(executable)
    if Path("/proc/self/task").exists():
        assert len(list(Path("/proc/self/task").iterdir())) >= 2


def test_no_thread_functions_on_one_thread() -> None:
    assert "GOMP" not in llvm.build(tanh_program(), fast=False, threads=1, cache=None).text("llvm")


def test_results_repeat_bit_for_bit_with_threads() -> None:
    executable = llvm.build(tanh_program(), fast=False, threads=2, cache=None)
    x = np.random.default_rng(0).standard_normal(BIG).astype(np.float32)
    results = []
    for _ in range(3):
        y = np.zeros_like(x)
        executable.run([x.ctypes.data, y.ctypes.data], [BIG])
        results.append(y.tobytes())
    assert len(set(results)) == 1


def test_concurrent_calls_do_not_mix_their_arguments() -> None:
    executable = llvm.build(tanh_program(), fast=False, threads=1, cache=None)
    wrong: list[int] = []

    def work(k: int) -> None:
        size = 16 * (k + 1)
        x = np.full(size, k / 8, np.float32)
        for _ in range(200):
            y = np.zeros(size, np.float32)
            executable.run([x.ctypes.data, y.ctypes.data], [size])
            if not np.allclose(y, np.tanh(x)):
                wrong.append(k)

    workers = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    assert not wrong


def test_thread_count_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    if runtime() is None:
        assert usable_threads() == 1
        return
    monkeypatch.setenv("OMP_NUM_THREADS", "3,2")
    assert usable_threads() == 3
    monkeypatch.setenv("GRAPHC_THREADS", "5")
    assert usable_threads() == 5
    monkeypatch.delenv("GRAPHC_THREADS")
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert usable_threads() >= 1


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ({"avx512f": True, "avx2": True}, (64, 32)),
        ({"avx2": True}, (32, 16)),
        ({"neon": True}, (16, 32)),
        ({}, (16, 16)),
    ],
)
def test_vector_units(features: dict[str, bool], expected: tuple[int, int]) -> None:
    assert machine.vector_unit(features) == expected


def test_another_cpu_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHC_CPU", "x86-64-v3")
    found = machine.host_machine(2)
    assert (found.cpu, found.vector_bytes, found.vector_registers, found.threads) == ("x86-64-v3", 32, 16, 2)
    assert found.lanes(DType.F64) == 4
    check(llvm.build(tanh_program(), fast=False, threads=1, cache=None))


def test_cuda_says_that_it_is_not_there() -> None:
    with pytest.raises(BackendError, match="cannot build activation for CUDA") as caught:
        cuda.build(tanh_program(), fast=False, threads=None, cache=None)
    assert "not built yet" in str(caught.value) and 'backend="llvm"' in str(caught.value)


def test_a_broken_module_with_debug_information_does_not_abort_the_process() -> None:
    text = str(emit(tanh_program()))
    broken = text.replace("  ret void, !dbg !11", "  %late = add i64 %b.more.late, 1\n  ret void, !dbg !11")
    lines = text.split("\n")
    at = next(n for n, line in enumerate(lines) if line.startswith("  %t = load"))
    lines[at], lines[at + 1] = lines[at + 1], lines[at]  # used before it is defined
    for damaged in (broken, "\n".join(lines)):
        with pytest.raises(InternalError, match="LLVM refuses"):
            Code(damaged)


def test_a_cpu_that_this_machine_is_not_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    # The package exports the object `backend` under the name of its module.
    monkeypatch.setattr(sys.modules["graphc_llvm.backend"], "host_features", lambda: {"avx2": True})
    monkeypatch.setenv("GRAPHC_CPU", "znver4")
    with pytest.raises(BackendError, match="cannot run code for znver4"):
        llvm.build(tanh_program(), fast=False, threads=1, cache=None)


def test_pace_judges_each_size_by_itself_and_leaves_small_ones_alone() -> None:
    pace = Pace(threads=4, seconds=lambda dims: 0.001 if dims[0] > 100 else 0.0)
    assert pace.threads((10,), 0.0) == 1
    pace.note((10,), 1, 5.0, 5.0)
    assert pace.threads((200,), 6.0) == 4
    pace.note((200,), 4, 0.1, 6.1)  # suspicious: one thread is measured next
    assert pace.threads((200,), 6.2) == 1
    assert pace.threads((300,), 6.2) == 4
    pace.note((200,), 1, 0.4, 6.6)  # one thread is slower: threads go on
    assert pace.threads((200,), 6.7) == 4
    pace.note((200,), 4, 0.1, 6.8)
    assert pace.threads((200,), 6.8) == 4
