"""What a user sees where a loop or a branch does not fit together: whole texts."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import graphc as gc
from graphc.errors import GraphcError

PACKAGE = Path(gc.__file__).parent
x, v, z = gc.input("x", ("T", 3)), gc.input("v", (3,)), gc.input("z")
total = gc.sum(v)

# (what is written, the error, its text without the place)
MISTAKES: list[tuple[Callable[[], object], type[GraphcError], str]] = [
    (
        lambda: gc.scan(lambda c, x: (c, x), 0.0),
        gc.ArgumentError,
        "a scan without xs needs its length\n  fix: say length=..., or give xs",
    ),
    (
        lambda: gc.scan(lambda c, x: (c, x), 0.0, z),
        gc.ShapeError,
        "xs is a scalar, and has no axis to loop over",
    ),
    (
        lambda: gc.scan(lambda c, x: (c, x), 0.0, (x, v)),
        gc.ShapeError,
        "the scan cannot tell how many steps it takes: xs[0] has T elements, and xs[1] is f64[3]",
    ),
    (
        lambda: gc.scan(lambda c, x: (c, x), 0.0, x, length=4),
        gc.ShapeError,
        "the scan cannot tell how many steps it takes: length is 4, and xs is f64[T,3]",
    ),
    (
        lambda: gc.scan(lambda c, x: c + x, 0.0, v),
        gc.ArgumentError,
        "the body of a scan must give (carry, y), not Tensor\n"
        "  fix: return carry, None where nothing is to be stacked",
    ),
    (
        lambda: gc.scan(lambda c, x: (c + x, None), 0.0, x),
        gc.ShapeError,
        "the carry of the scan goes in as f64[] and comes out as f64[3]\n"
        "  why: what a step gives is what the next one gets\n"
        "  fix: give the first carry the type of the others: start from f64[3]",
    ),
    (
        lambda: gc.scan(lambda c, x: ({"h": c["h"] + x}, None), {"h": np.float32(0)}, v),
        gc.DTypeError,
        "the carry ['h'] of the scan goes in as f32[] and comes out as f64[]\n"
        "  why: what a step gives is what the next one gets\n"
        "  fix: give the first carry the type of the others: cast it: .astype('float64')",
    ),
    (
        lambda: gc.scan(lambda c, x: ((c, c), None), 0.0, x),
        gc.ArgumentError,
        "the carry of the scan changes its structure\n"
        "  why: it goes in as * and comes out as (*, *), where * is a tensor",
    ),
    (
        lambda: gc.scan(lambda c, x: (c, None), 0.0, x, checkpoint=True),
        gc.ArgumentError,
        "a scan of T steps cannot be checkpointed\n"
        "  why: the steps between two checkpoints are counted when the graph is built\n"
        "  fix: give the first axis of xs a number",
    ),
    (
        lambda: gc.scan(lambda c, x: (c, None), 0.0, v, checkpoint=0),
        gc.ArgumentError,
        "checkpoint must be True, or 1 or more steps, not 0",
    ),
    (
        lambda: gc.cond(v > 0, lambda: 1.0, lambda: 2.0),
        gc.ShapeError,
        "the condition of a cond is bool[3], no scalar\n"
        "  why: one side is computed as a whole\n"
        "  fix: choose element by element with gc.where(condition, a, b), or reduce it with gc.any or gc.all",
    ),
    (
        lambda: gc.cond(total, lambda: 1.0, lambda: 2.0),
        gc.DTypeError,
        "the condition of a cond is f64[]\n  fix: compare it: x != 0",
    ),
    (
        lambda: gc.cond(total > 0, lambda: v, lambda: 2.0),
        gc.ShapeError,
        "the two sides of a cond give f64[3] and f64[]",
    ),
    (
        lambda: gc.cond(total > 0, lambda: {"a": v}, lambda: {"a": v.astype("float32")}),
        gc.DTypeError,
        "the two sides of a cond give f64[3] and f32[3] for ['a']",
    ),
    (
        lambda: gc.cond(total > 0, lambda: v, lambda: (v, v)),
        gc.ArgumentError,
        "the two sides of a cond give different structures\n"
        "  why: one gives *, the other (*, *), where * is a tensor",
    ),
    (
        lambda: gc.while_loop(lambda c: c, lambda c: c, 1.0),
        gc.DTypeError,
        "the condition of a while loop is f64[], no scalar of dtype bool\n"
        "  fix: compare it, and reduce it with gc.any or gc.all where it has axes",
    ),
    (
        lambda: gc.while_loop(lambda c: c < 3, lambda c: c + v, 1.0),
        gc.ShapeError,
        "the carry of the while loop goes in as f64[] and comes out as f64[3]\n"
        "  why: what a step gives is what the next one gets\n"
        "  fix: give the first carry the type of the others: start from f64[3]",
    ),
    (
        lambda: gc.grad(gc.while_loop(lambda c: c < 3, lambda c: c * c, z), z),
        gc.GradientError,
        "a while loop has no gradient in reverse mode\n"
        "  why: how many steps it takes is known only when it has run, so room for their values cannot be planned\n"
        "  fix: use gc.scan with a fixed number of steps, or forward mode: gc.jvp",
    ),
    (
        lambda: gc.compile([v], gc.scan(lambda c, x: (c + z, None), 0.0, v)[0]),
        gc.ArgumentError,
        "the outputs need the input `z`, which is not among the inputs\n  fix: add it: gc.compile([..., z], ...)",
    ),
    (
        lambda: gc.compile([z], gc.scan(lambda c, _: (c * z, None), 1.0, length="T")[0]),
        gc.ShapeError,
        "the size of T cannot be told from the arguments\n"
        "  why: no input has an axis of this name\n"
        "  fix: add an input with an axis of the size T, or give the dimension a number",
    ),
]


@pytest.mark.parametrize(("run", "kind", "text"), MISTAKES, ids=[text[:60] for _, _, text in MISTAKES])
def test_the_whole_text(run: Callable[[], object], kind: type[GraphcError], text: str) -> None:
    with pytest.raises(kind) as info:
        run()
    lines = str(info.value).splitlines()
    assert lines[1].startswith("  test_control_errors.py:") and set(lines[2]) == {" ", "^"}
    assert "gc." in lines[1][lines[2].index("^") :], "the caret is not under the expression"
    assert "\n".join([lines[0], *lines[3:]]) == text
    own = [f.name for f in traceback.extract_tb(info.tb) if Path(f.filename).is_relative_to(PACKAGE)]
    assert own == ["wrapper"], "the traceback goes through our own files"


def test_a_mistake_in_a_body_is_shown_in_the_body() -> None:
    def step(c: gc.Tensor, x: gc.Tensor) -> tuple[gc.Tensor, None]:
        return gc.tanh(c @ x), None

    with pytest.raises(gc.ShapeError, match="cannot multiply") as info:
        gc.scan(step, 0.0, v)
    assert "c @ x" in str(info.value).splitlines()[1]


@pytest.mark.parametrize("backend", ["reference", "llvm"])
def test_a_slice_in_a_body_outside_its_axis_is_refused_when_the_sizes_are_known(backend: str) -> None:
    w, rows = gc.input("w", ("N",)), gc.input("rows", ("T", "N"))
    last, _ = gc.scan(lambda c, row: (c + gc.sum(row[:3] * w[:3]), None), 0.0, rows)
    fn = gc.compile([w, rows], last, backend=backend)
    assert float(fn(np.ones(3), np.ones((2, 3)))) == 6.0
    with pytest.raises(gc.ShapeError) as info:
        fn(np.ones(2), np.ones((2, 2)))
    assert "row[:3]" in str(info.value)
