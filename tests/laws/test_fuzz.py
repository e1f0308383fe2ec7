"""Random graphs, computed in every way: a few of those that `python -m tests.laws.fuzz` runs by the thousand.

Each graph that was once computed wrongly stands in `FOUND`, as small as it could be made.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import graphc as gc
from tests.laws.fuzz.checks import EVERY, Finding, check, ways_of
from tests.laws.fuzz.choices import Drawn
from tests.laws.fuzz.grow import grow
from tests.laws.fuzz.program import Leaf, Line, Program


def fixed(leaves: str, *lines: str, size: int = 3, dtype: str = "float32") -> Program:
    """A program from text: `"x0 N 3, x1"` and `"t0 = gc.tanh(x0)"`; its values are halves, in order."""
    made = []
    for text in leaves.split(","):
        name, *dims = text.split()
        kind = next((d for d in dims if d.startswith(("int", "bool"))), "F")
        shape = tuple(d if d == "N" else int(d) for d in dims if d != kind)
        count = [size if d == "N" else int(d) for d in shape]
        values = np.arange(1, 1 + np.prod(count, dtype=int)).reshape(count) / 2
        made.append(Leaf(name, shape, kind, values.astype(dtype if kind == "F" else kind), name[0] == "w"))
    known = [(tuple(head.split(", ")), body) for head, _, body in (line.partition(" = ") for line in lines)]
    floats = tuple(leaf.name for leaf in made if leaf.dtype == "F")
    statements = tuple(Line(names, body, ()) for names, body in known)
    return Program(
        dtype, size, tuple(made), statements, tuple(n for names, _ in known for n in names), floats
    )


FOUND = {
    "a slice that takes nothing from an axis of length 1": fixed("x0 3", "t0 = x0[None][0:0]"),
    "a slice that takes nothing from a number with an axis": fixed("x0", "t0 = gc.reshape(x0, (1,))[0:0]"),
    "constants with an axis of no elements and one of N": fixed(
        "x0 0 N", "t0 = gc.flip(gc.zeros_like(x0), 0) + x0"
    ),
    "an output that is an input of no elements": fixed("x0 0", "t0 = x0"),
    "a matrix by its own transpose": fixed(
        "x0 N 2", "t0 = gc.matmul(x0, gc.transpose(x0))", dtype="float64", size=5
    ),
    "an index into an axis of no elements": fixed(
        "x0 N 3, x1 2 int32",
        "t0 = gc.take(x0, x1, 0)",
        "t1 = gc.scatter_add(x0, x1, gc.ones((2, 3), F))",
        size=0,
    ),
    "rows of a length with a floor in it, padded": fixed(
        "x0 5 N",
        "t0 = gc.pad(x0[:, ::2], ((1, 0), (0, 2)))",
        "t1 = gc.cond(gc.sum(t0) > 0.0, lambda a: gc.tanh(a), lambda a: a * 0.5, t0)",
        "t2 = gc.sqrt(t1[..., -3::2] + 2.0)",
    ),
    "a large product that swallows what a small term moves": fixed(
        "x0 1 17", "t0 = gc.ceil(gc.square(x0))", "t1 = gc.prod(gc.square(t0), (0, 1))", "t2 = gc.tanh(x0)"
    ),
    "integers by their own transpose": fixed("x0 N 2 int64", "t0 = gc.matmul(x0, gc.transpose(x0))"),
}


@pytest.mark.parametrize("name", FOUND)
def test_what_was_wrong_is_right(name: str) -> None:
    with gc.silence("dead-gradient"):
        assert check(FOUND[name], EVERY) is None


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Random programs of few lines, which hypothesis makes fewer where one goes wrong."""
    return grow(Drawn(draw), draw(st.integers(1, 7)))


@settings(
    max_examples=40, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)
@given(programs(), st.integers(0, 10))
def test_every_way_computes_the_same(program: Program, number: int) -> None:
    with gc.silence("dead-gradient"):
        found = check(program, ways_of(number))
    assert found is None, f"{found}\n{program.source()}"


def test_a_wrong_way_is_found_and_made_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule that forgets a minus is planted among those of algebra."""
    from graphc.passes import pipeline, rules
    from graphc.passes.rewrite import Wild, rule
    from tests.laws.fuzz.shrink import shrink

    x, y = Wild("x"), Wild("y")
    planted = rule("planted", x - y, x + y, exact="bitwise")
    monkeypatch.setattr(pipeline, "GROUPS", {**rules.GROUPS, "algebra": (planted, *rules.GROUPS["algebra"])})
    program = fixed("x0 N, x1 N", "t0 = gc.exp(x0)", "t1 = gc.sin(x1) - t0", "t2 = gc.relu(t1)")
    found = check(program, ("all",))
    assert found is not None and found.way == "all"

    def fails(p: Program) -> bool:
        again: Finding | None = check(p, ("all",))
        return found.like(again)

    small = shrink(program, fails)
    assert len(small.lines) == 1 and " - " in small.lines[0].text
