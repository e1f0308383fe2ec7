"""What is kept of the op table is what SymPy derives from it, and compiling asks for nothing more."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from graphc.ops import derived
from graphc.ops.row import Row
from graphc.ops.table import ROWS

_STEP = """
import sys
import numpy as np
import graphc as gc

x, t = gc.input("x", (4, 3), "float32"), gc.input("t", (4,), "int64")
w, b = gc.param("w", (3, 2)), gc.param("b", (2,), init="zeros")
h = gc.relu(x @ w + b)
loss = gc.mean(-gc.pick(gc.log_softmax(gc.tanh(h) * gc.sigmoid(h)), t)) + gc.sum(gc.sqrt(gc.abs(w) + 1))
fn = gc.compile([x, t], loss, updates={w: w - 0.1 * gc.grad(loss, w)}, cache=False)
fn(np.ones((4, 3), "float32"), np.zeros(4, "int64"))
print("sympy" in sys.modules)
"""


def test_the_file_is_what_sympy_derives_from_the_table() -> None:
    assert derived.FILE.read_text(encoding="ascii") == derived.content(), (
        'make it again: python -c "from graphc.ops import derived; derived.write()"'
    )


@pytest.mark.parametrize("row", ROWS.values(), ids=lambda row: row.name)
def test_bodies_are_read_back_as_they_were_derived(row: Row) -> None:
    kept = derived.held(row)
    assert kept is not None
    assert (row.body, kept.body) == (row.derive_body(),) * 2
    assert kept.gradients == (row.derive_gradients() if row.differentiable else None)


def test_a_row_that_is_not_in_the_table_is_derived() -> None:
    other = replace(ROWS["tanh"], maths="2 * x")
    assert derived.held(other) is None
    assert other.body == other.derive_body() != ROWS["tanh"].body


def test_nothing_is_kept_where_the_formulas_have_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(derived, "_digest", lambda: "0" * 64)
    derived._lines.cache_clear()
    try:
        assert all(derived.held(row) is None for row in ROWS.values())
    finally:
        derived._lines.cache_clear()


def test_a_training_step_is_compiled_without_sympy() -> None:
    done = subprocess.run([sys.executable, "-c", _STEP], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["False"]
