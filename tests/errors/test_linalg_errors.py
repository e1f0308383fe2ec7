"""Matrices that cannot be factorised and systems that do not fit: the whole text, with the line and the caret."""

from __future__ import annotations

from collections.abc import Callable

import pytest

SETUP = """
a = gc.input("a", ("N", 3, 4)); s = gc.input("s", (2, 3, 3))
b = gc.input("b", (4,)); c = gc.input("c", (5, 3, 2))
"""

TEXTS = {
    "a matrix that is not square": """
ShapeError: inv takes square matrices, not f64[N,3,4]
  model.py:3   y = 1.0 + gc.linalg.inv(a)
                         ^^^^^^^^^^^^^^^^
  why: its last two dimensions must be equal
""",
    "a vector": """
ShapeError: cholesky takes square matrices, not f64[4]
  model.py:3   y = gc.cholesky(b)
                   ^^^^^^^^^^^^^^
  why: its last two dimensions must be equal
""",
    "a system with other rows": """
ShapeError: solve cannot take f64[2,3,3] with f64[4]
  model.py:3   y = gc.solve(s, b)
                   ^^^^^^^^^^^^^^
  why: the matrix has 3 rows
  fix: give `b` 3 rows
""",
    "a system with a number": """
ShapeError: solve_triangular cannot take f64[2,3,3] with f64[]
  model.py:3   y = gc.solve_triangular(s, 2.0)
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: the matrix has 3 rows
  fix: give f64[] 3 rows
""",
    "stacks that do not broadcast": """
ShapeError: solve cannot take f64[2,3,3] with f64[5,3,2]
  model.py:3   y = gc.solve(s, c)
                   ^^^^^^^^^^^^^^
  why: stacks of [2] and [5] matrices do not broadcast
""",
    "trans": """
ArgumentError: trans must be 0, 1, 'N' or 'T', not 2
  model.py:3   y = gc.solve_triangular(s, c, trans=2)
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
""",
}


@pytest.mark.parametrize("name", TEXTS)
def test_text(name: str, error_of: Callable[..., str]) -> None:
    expected = TEXTS[name].strip("\n")
    line = expected.splitlines()[1].partition("model.py:3   ")[2]
    assert error_of(f"{SETUP.strip()}\n{line}") == expected
