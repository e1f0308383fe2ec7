"""Cheap kernels are called again where that saves memory: the same values, bit for bit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

import graphc as gc
from graphc.ir.types import DType
from graphc.kernel.ir import Access, Buffer, Kernel, Parameter
from graphc.kernel.program import Call, Loop, Program, ProgramBuffer
from graphc.kernel.recompute import LARGE, recompute
from graphc.lang.tensor import Tensor
from graphc.passes.log import Log
from graphc.runtime.function import Function

MUCH = 10**12


def network(disable: Sequence[str] = ()) -> Function:
    """The gradients of a deep chain of wide, cheap operations and products."""
    x = gc.input("x", (2048, 256), "float32")
    weights = [gc.input(f"w{k}", (256, 256), "float32") for k in range(6)]
    h: Tensor = x
    for w in weights:
        h = gc.pad(gc.relu(h @ w), ((0, 0), (0, 0)))
        h = h * gc.where(h < 2.0, h, 2.0)
        h = gc.concatenate([h[:, 128:], h[:, :128]], axis=1)
    return gc.compile([x, *weights], gc.grad(gc.sum(h), weights), disable=disable)


def test_values_are_the_same_in_less_memory() -> None:
    small, large = network(), network(("recompute",))
    assert (
        any(e.pass_name == "recompute" for e in small.log) and small.cost.arena() < 0.9 * large.cost.arena()
    )
    assert not any(e.pass_name == "recompute" for e in large.log)
    rng = np.random.default_rng(0)
    given = [rng.standard_normal(t).astype(np.float32) for t in ((2048, 256), *[(256, 256)] * 6)]
    for a, b in zip(small(*given), large(*given), strict=True):
        np.testing.assert_array_equal(a, b)


def call(flops: int, accesses: str, *arguments: int) -> Call:
    """A call whose k-th parameter is read ("r"), written ("w") or both ("b")."""
    ways: dict[str, Access] = {"r": "in", "w": "out", "b": "inout"}
    given = [Parameter(Buffer(f"p{k}", DType.F32, (LARGE,)), ways[a]) for k, a in enumerate(accesses)]
    return Call(Kernel("k", tuple(given), ()), arguments, flops, 8 * LARGE)


def program(*steps: Call | Loop) -> Program:
    """Of buffers 0 (a parameter), 1, 2, 3 (temporaries) and 4 (the output)."""
    roles = ("param", "temp", "temp", "temp", "output")
    return Program(
        "p", tuple(ProgramBuffer(f"b{k}", DType.F32, (LARGE,), r) for k, r in enumerate(roles)), steps
    )


def names(p: Program) -> list[str]:
    return [" ".join(p.buffers[a].name for a in c.arguments) for c in p.calls]


FIRST, THEN, MORE, LAST = (
    call(0, "rw", 0, 1),
    call(MUCH, "rw", 1, 2),
    call(MUCH, "rw", 2, 3),
    call(0, "rrw", 3, 1, 4),
)


def test_the_late_reader_has_a_copy_of_its_own() -> None:
    assert names(recompute(program(FIRST, THEN, MORE, LAST), Log())) == [
        "b0 b1",
        "b1 b2",
        "b2 b3",
        "b0 b1_again",
        "b3 b1_again b4",
    ]


def test_what_cannot_be_computed_again_is_kept() -> None:
    replaced = call(MUCH, "rwb", 2, 3, 0)  # the parameter is another one then
    dear = call(MUCH, "rw", 0, 1)
    added = call(MUCH, "rwb", 2, 3, 1)  # somebody else writes to it
    for steps in (
        (FIRST, THEN, replaced, LAST),
        (dear, THEN, MORE, LAST),
        (FIRST, THEN, added, LAST),
        (call(0, "rww", 0, 1, 4), THEN, MORE, LAST),
    ):
        p = program(*steps)
        assert recompute(p, Log()) is p


def test_what_runs_in_loops_and_what_is_small_stays() -> None:
    p = program(FIRST, THEN, MORE, LAST, Loop("t", 3, (FIRST,)))
    assert recompute(p, Log()) is p
    x = gc.input("x", (64, 64), "float32")
    assert not any(e.pass_name == "recompute" for e in gc.compile([x], gc.grad(gc.sum(gc.exp(x @ x)), x)).log)
