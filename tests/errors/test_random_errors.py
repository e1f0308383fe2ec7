"""Random numbers that cannot be drawn: the whole text, with the line and the caret."""

from __future__ import annotations

from collections.abc import Callable

import pytest

TEXTS = {
    "a key that is no integer": """
DTypeError: a random key is a scalar of dtype int64, not f64[]
  model.py:2   y = gc.random_uniform(2.0 * x, (3,))
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
""",
    "several keys": """
DTypeError: a random key is a scalar of dtype int64, not i64[2]
  model.py:2   y = gc.random_normal(gc.random_split(1), (3,))
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
""",
    "integers where there are floats": """
DTypeError: random numbers are floating point, not i32
  model.py:2   y = gc.random_normal(1, (3,), "int32")
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
""",
    "floats where there are bits": """
DTypeError: random bits are int32 or int64, not f32
  model.py:2   y = gc.random_bits(1, (3,), "float32")
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
""",
    "floats where there are integers": """
DTypeError: random integers are int32 or int64, not f64
  model.py:2   y = gc.random_integers(1, (3,), 0, 5, "float64")
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
""",
    "a range of nothing": """
ArgumentError: there are no random integers from 5 to below 5
  model.py:2   y = gc.random_integers(1, (3,), 5, 5)
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: the range is 1 to 2^31 numbers
""",
    "folding in a fraction": """
DTypeError: what is folded into a key is an integer, not f64[]
  model.py:2   y = gc.random_fold_in(1, x)
                   ^^^^^^^^^^^^^^^^^^^^^^^
""",
    "fewer than no numbers": """
ArgumentError: there is no permutation of -1 numbers
  model.py:2   y = gc.random_permutation(1, -1)
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
""",
    "a rate of 1": """
ArgumentError: the rate of a dropout must be at least 0 and less than 1, not 1.0
  model.py:2   y = gc.dropout(x, 1.0, 1)
                   ^^^^^^^^^^^^^^^^^^^^^
""",
}


@pytest.mark.parametrize("name", TEXTS)
def test_text(name: str, error_of: Callable[..., str]) -> None:
    expected = TEXTS[name].strip("\n")
    line = expected.splitlines()[1].partition("model.py:2   ")[2]
    assert error_of(f'x = gc.input("x")\n{line}') == expected
