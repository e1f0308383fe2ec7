"""What a tile needs after its reduction is asked for while that runs: each line of each array, and nothing else."""

from __future__ import annotations

import re

import numpy as np
import pytest

import graphc as gc
from graphc.runtime.function import Function


def asked(fn: Function) -> dict[str, set[str]]:
    """The arrays that are asked for, each with the ways in which: to be read ("0"), to be written ("1")."""
    found: dict[str, set[str]] = {}
    for text in fn.stage("llvm").split("define ")[1:]:
        base = {p: p for p in re.findall(r"ptr[a-z ]* %(\w+)", text.splitlines()[0])}
        for name, source in re.findall(r"%([\w.]+) = getelementptr \w+, ptr %([\w.]+),", text):
            if source in base:
                base[name] = base[source]
        for name, way in re.findall(r"@llvm.prefetch.p0\(ptr %([\w.]+), i32 (\d)", text):
            found.setdefault(base[name], set()).add(way)
    return found


def test_the_operands_of_what_follows_are_asked_for() -> None:
    x, w, r = (gc.input(name, (128, 128), "float32") for name in "xwr")
    fn = gc.compile([x, w, r], [gc.tanh(x @ w) + r], threads=1)
    (target,) = (b.name for b in fn.program.buffers if b.role == "output")
    assert asked(fn) == {"r": {"0"}, target: {"1"}}


def test_what_is_replaced_is_asked_for_to_be_written() -> None:
    x, g = gc.input("x", (128, 128), "float32"), gc.input("g", (128, 128), "float32")
    w = gc.param("w", (128, 128), "float32", init=np.zeros((128, 128), np.float32))
    fn = gc.compile([x, g], [], updates={w: w - x.T @ g}, threads=1)
    assert asked(fn) == {"w": {"1"}}


@pytest.mark.parametrize("rows", [1, 7, 31, 100])
def test_rows_that_tiles_leave_over_are_right(rows: int) -> None:
    rng = np.random.default_rng(rows)
    a, b, c = (rng.standard_normal(s).astype(np.float32) for s in ((rows, 64), (64, 50), (rows, 50)))
    x, w, r = (
        gc.input("x", a.shape, "float32"),
        gc.input("w", b.shape, "float32"),
        gc.input("r", c.shape, "float32"),
    )
    fn = gc.compile([x, w, r], x @ w + r)
    np.testing.assert_allclose(fn(a, b, c), a @ b + c, rtol=1e-5, atol=1e-5)


def test_short_reductions_ask_for_nothing() -> None:
    x, w, r = (gc.input(name, s, "float32") for name, s in (("x", (64, 8)), ("w", (8, 64)), ("r", (64, 64))))
    assert not asked(gc.compile([x, w, r], x @ w + r, threads=1))


def test_scalars_far_apart_are_asked_for_turns_before_they_are_read() -> None:
    """64 rows fill the vectors; of the other factor each turn reads a few neighbours in another page."""
    x, w = gc.input("x", (640, 64), "float32"), gc.input("w", (640, 500), "float32")
    fn = gc.compile([x, w], gc.einsum("ki,kj->ij", x, w), threads=1)
    assert asked(fn).get("w") == {"0"} and "x" not in asked(fn)
    rng = np.random.default_rng(0)
    a, b = (
        rng.standard_normal((640, 64)).astype(np.float32),
        rng.standard_normal((640, 500)).astype(np.float32),
    )
    np.testing.assert_allclose(fn(a, b), a.T @ b, rtol=1e-3, atol=1e-3)
    near = gc.compile([x], gc.einsum("ki,kj->ij", x, x), threads=1)
    assert "x" not in asked(near)


@pytest.mark.parametrize(("rows", "asked"), [(4096, 4), (16, 0), ("N", 4)])
def test_a_pass_over_a_row_asks_for_what_the_next_one_writes(rows: int | str, asked: int) -> None:
    x = gc.input("x", (rows, 1024), "float32")
    fn = gc.compile([x], gc.layer_norm(x, -1), threads=1)
    text = fn.stage("llvm")
    assert text.count("call void @llvm.prefetch") == asked  # lines of 64 bytes in 64 lanes
    given = np.random.default_rng(3).standard_normal((16, 1024), "float32")
    if rows == "N":
        centred = given - given.mean(1, keepdims=True)
        want = centred / np.sqrt((centred**2).mean(1, keepdims=True) + 1e-5)
        np.testing.assert_allclose(fn(given), want, rtol=1e-5, atol=1e-6)
