"""What `fn.bind` and bound calls refuse: the whole text, at the user's line."""

from __future__ import annotations

from collections.abc import Callable

import pytest

SETUP = """
x, y = gc.input("x", ("N", 4), "float32"), gc.input("y", ("N",), "float32")
w = gc.param("w", (4,), init="zeros"); f = x @ w + y
fn = gc.compile([x, y], f, backend=backend); a = np.ones((2, 4), "float32"); b = np.ones(2, "float32")
two = gc.compile([x, y], [f, f + 1], backend=backend)
step = gc.compile([x], [x], updates={w: 2 * w}, backend=backend)
"""

TEXTS = {
    "missing argument": """
ArgumentError: main misses the argument `y`
  model.py:6   r = fn.bind(a)
                   ^^^^^^^^^^
  fix: call it with (x, y)
""",
    "a list": """
ArgumentError: `y` is f32[N], and what is bound to it is a list
  model.py:6   r = fn.bind(a, [1.0, 2.0])
                   ^^^^^^^^^^^^^^^^^^^^^^
  why: a bound call reads its arguments where they are, so they must be arrays
  fix: bind np.array(y, "float32")
""",
    "wrong dtype": """
ArgumentError: `y` is f32[N], and the argument is of dtype float64
  model.py:6   r = fn.bind(a, np.ones(2))
                   ^^^^^^^^^^^^^^^^^^^^^^
  fix: pass y.astype("float32")
""",
    "wrong shape": """
ArgumentError: `y` is f32[N], and the argument has the shape [3]
  model.py:6   r = fn.bind(a, np.ones(3, "float32"))
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: axis 0 is 3, not N = 2
""",
    "another stride": """
ArgumentError: `x` cannot be bound to an array that is not contiguous
  model.py:6   r = fn.bind(np.ones((4, 2), "float32").T, y=b)
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: compiled code reads and writes plain memory, and a bound call copies nothing
  fix: bind np.ascontiguousarray(x)
""",
    "another start": """
ArgumentError: `y` cannot be bound to an array that is not aligned
  model.py:6   r = fn.bind(a, np.zeros(9, "uint8")[1:].view("float32"))
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: compiled code reads and writes plain memory, and a bound call copies nothing
  fix: bind np.array(y)
""",
    "output that is no array": """
ArgumentError: the output is f32[N], and what is bound to it is a list
  model.py:6   r = fn.bind(a, b, out=[0.0, 0.0])
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  fix: bind np.empty((2,), "float32")
""",
    "output of another dtype": """
ArgumentError: the output is f32[N], and what is bound to it is float64[2]
  model.py:6   r = fn.bind(a, b, out=np.empty(2))
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  fix: bind np.empty((2,), "float32")
""",
    "output of another shape": """
ArgumentError: output 1 is f32[N], and what is bound to it is float32[3]
  model.py:6   r = two.bind(a, b, out=[np.empty(2, "float32"), np.empty(3, "float32")])
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  fix: bind np.empty((2,), "float32")
""",
    "output that cannot be written": """
ArgumentError: the output cannot be bound to an array that is read-only
  model.py:6   r = fn.bind(a, b, out=np.broadcast_to(np.float32(0), 2))
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: the results are written into it
  fix: bind np.empty((2,), "float32")
""",
    "output with gaps": """
ArgumentError: the output cannot be bound to an array that is not contiguous
  model.py:6   r = fn.bind(a, b, out=np.empty(4, "float32")[::2])
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: compiled code reads and writes plain memory, and a bound call copies nothing
  fix: bind np.empty((2,), "float32")
""",
    "one output for two": """
ArgumentError: main returns 2 arrays, and `out` is one array
  model.py:6   r = two.bind(a, b, out=np.empty(2, "float32"))
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  fix: pass a list of 2 arrays, or leave `out` away
""",
    "three outputs for two": """
ArgumentError: main returns 2 arrays, and `out` has 3 of them
  model.py:6   r = two.bind(a, b, out=[b, b, b])
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  fix: pass a list of 2 arrays, or leave `out` away
""",
    "output on top of an input": """
ArgumentError: the output shares memory with `y`
  model.py:6   r = fn.bind(a, b, out=b)
                   ^^^^^^^^^^^^^^^^^^^^
  why: results are written while the arguments are still read
  fix: bind arrays that do not overlap
""",
    "output on top of another": """
ArgumentError: output 1 shares memory with output 0
  model.py:6   c = np.empty(3, "float32"); r = two.bind(a, b, out=[c[:2], c[1:]])
                                               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: results are written while the arguments are still read
  fix: bind arrays that do not overlap
""",
    "output on top of a parameter": """
ArgumentError: the output shares memory with the parameter `w`
  model.py:6   r = fn.bind(a, b, out=w.value[1:3])
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: results are written while the arguments are still read
  fix: bind arrays that do not overlap
""",
    "input that is updated": """
ArgumentError: `x` shares memory with the parameter `w`
  model.py:6   r = step.bind(w.value.reshape(1, 4))
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: the call updates the parameter in place, while it still reads the argument
  fix: bind a copy of `x`
""",
    "arguments of a bound call": """
ArgumentError: a bound call takes no arguments
  model.py:6   bound = fn.bind(a, b); bound(a)
                                      ^^^^^^^^
  why: it reads the arrays that were bound
  fix: write into them before the call: x[...] = value
""",
}


@pytest.mark.parametrize("backend", ["llvm", "reference"])
@pytest.mark.parametrize("name", TEXTS)
def test_text(name: str, backend: str, error_of: Callable[..., str]) -> None:
    expected = TEXTS[name].strip("\n")
    line = expected.splitlines()[1].partition("model.py:6   ")[2]
    assert error_of(f"{SETUP.strip()}\n{line}", backend=backend) == expected
