"""A module that is compiled in pieces, beside the thread that makes them: the same code, and nothing is left over."""

from __future__ import annotations

import sys
import threading

import numpy as np
import pytest

import graphc as gc
from graphc.errors import InternalError
from graphc.ir.types import Array
from graphc_llvm import emit, jit
from graphc_llvm.pieces import Pieces

ENTRY = "define void @graphc_entry(ptr %a, ptr %b) { ret void }"


class Cache:
    """A code cache in memory, whose objects may be damaged."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def get(self, key: str) -> bytes | None:
        return self.kept.get(key)

    def put(self, key: str, code: bytes) -> None:
        self.kept[key] = code


def step(threads: int) -> tuple[gc.Function, tuple[Array, ...]]:
    """A perceptron's step: kernels with vector functions, sums, teams and scratch, and updates."""
    x, t = gc.input("x", ("N", 96), "float32"), gc.input("t", ("N",), "int64")
    rng = np.random.default_rng(0)
    w = [
        gc.param(f"w{k}", init=rng.normal(size=s).astype("f4")) for k, s in enumerate([(96, 200), (200, 10)])
    ]
    loss = -gc.mean(gc.pick(gc.log_softmax(gc.tanh(x @ w[0]) @ w[1]), t))
    slopes = gc.grad(loss, w)
    updates = {p: p - 0.1 * s for p, s in zip(w, slopes, strict=True)}
    fn = gc.compile([x, t], [loss, *slopes], updates=updates, threads=threads, cache=False)
    return fn, (rng.normal(size=(600, 96)).astype("f4"), rng.integers(0, 10, 600))


@pytest.mark.parametrize("threads", [1, 2])
def test_pieces_compute_what_the_whole_does(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    fn, arguments = step(threads)
    expected = [fn(*arguments) for _ in range(2)]
    monkeypatch.setattr(emit, "_PIECE", 1)
    taken: list[str] = []
    take = Pieces.take

    def counted(pieces: Pieces, text: str) -> None:
        taken.append(text)
        take(pieces, text)

    monkeypatch.setattr(Pieces, "take", counted)
    fn, arguments = step(threads)
    found = [fn(*arguments) for _ in range(2)]
    assert len(taken) > 3 and sum("@graphc_entry(" in text for text in taken) == 1
    for one, other in zip(expected, found, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_kept_code_of_several_objects_is_read_back() -> None:
    objects = [b"first", b"", b"third"]
    packed = jit._packed(objects)
    assert jit._unpacked(packed) == objects
    for damaged in (b"", packed[:5], packed[:-1], packed + b"x", b"\xff" * 40):
        assert jit._unpacked(damaged) == []


@pytest.mark.parametrize("beside", [False, True])
def test_an_error_of_llvm_is_raised_and_the_thread_ends(beside: bool) -> None:
    interval, before = sys.getswitchinterval(), threading.active_count()
    with pytest.raises(InternalError, match="LLVM refuses"), Pieces(None, beside=beside) as pieces:
        pieces.take("define void @f() { ret i64 %nothing }")
        pieces.take(ENTRY)
        pieces.code("")
    assert (sys.getswitchinterval(), threading.active_count()) == (interval, before)


def test_an_error_of_the_emitter_ends_the_thread() -> None:
    interval, before = sys.getswitchinterval(), threading.active_count()
    with pytest.raises(KeyError), Pieces(None, beside=True) as pieces:
        pieces.take(ENTRY)
        raise KeyError
    assert (sys.getswitchinterval(), threading.active_count()) == (interval, before)


@pytest.mark.parametrize("beside", [False, True])
def test_a_damaged_piece_is_compiled_again(beside: bool) -> None:
    cache = Cache()
    texts = ["define hidden void @f() { ret void }", "declare hidden void @f() " + ENTRY]

    def build() -> None:
        with Pieces(cache, beside=beside) as pieces:
            for text in texts:
                pieces.take(text)
            assert pieces.code("").address

    build()
    good = dict(cache.kept)
    assert len(good) == 2
    for key in good:
        cache.kept[key] = b"\x07" * 100
        build()
        assert cache.kept == good
