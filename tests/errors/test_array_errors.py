"""Shapes, places and indices that do not fit: the whole text, with the line and the caret."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import graphc as gc

SETUP = """
x, a, b = gc.input("x", ("N", 4)), gc.input("a", ("N", 4)), gc.input("b", (3, 5))
m, f = gc.input("m", ("N",), "bool"), gc.input("f", ("N",))
"""

TEXTS = """
ArgumentError: cannot index by the mask `m`
  model.py:3   y = x[m]
                   ^^^^
  why: how many elements it selects depends on its values, and shapes are known before the call
  fix: choose inside the shape: gc.where(mask, x, 0.0)

ArgumentError: cannot index by the mask bool[N,4]
  model.py:3   y = x[x > 0]
                   ^^^^^^^^
  why: how many elements it selects depends on its values, and shapes are known before the call
  fix: choose inside the shape: gc.where(mask, x, 0.0)

DTypeError: cannot index by f64[N]
  model.py:3   y = x[f]
                   ^^^^
  fix: cast it: index.astype("int64")

ShapeError: 3 indices for `x`
  model.py:3   y = x[0, :, m]
                   ^^^^^^^^^^
  why: it has 2 axes

ShapeError: 3 indices for `x`
  model.py:3   y = x[[0], :1, [1]]
                   ^^^^^^^^^^^^^^^
  why: it has 2 axes

ArgumentError: `...` occurs twice among the indices of `x`
  model.py:3   y = x[..., ..., 0]
                   ^^^^^^^^^^^^^^

ArgumentError: cannot index by the mask bool[]
  model.py:3   y = x[True]
                   ^^^^^^^
  why: how many elements it selects depends on its values, and shapes are known before the call
  fix: choose inside the shape: gc.where(mask, x, 0.0)

ArgumentError: cannot index by 'a'
  model.py:3   y = x["a"]
                   ^^^^^^
  fix: use integers, slices, `...`, None, or gc.take

ArgumentError: cannot index by 1.5
  model.py:3   y = x[1.5]
                   ^^^^^^
  fix: use integers, slices, `...`, None, or gc.take

ShapeError: index 9 is out of bounds for an axis of size 4
  model.py:3   y = x[:, 9]
                   ^^^^^^^

ShapeError: 3 indices for `x`
  model.py:3   y = x[0, 0, 0]
                   ^^^^^^^^^^
  why: it has 2 axes

ShapeError: cannot take the 5 largest of f64[N,4]
  model.py:3   y = gc.top_k(x, 5)
                   ^^^^^^^^^^^^^^
  why: axis -1 has 4 elements

ShapeError: cannot split `x` into 3 equal parts
  model.py:3   y = gc.split(x, 3, 1)
                   ^^^^^^^^^^^^^^^^^
  why: axis 1 has 4 elements
  fix: use gc.array_split, or give the places between the parts

ShapeError: cannot split `x` along axis 0
  model.py:3   y = gc.split(x, 2)
                   ^^^^^^^^^^^^^^
  why: the number of its parts would depend on the size of N

ArgumentError: cannot split into 0 parts
  model.py:3   y = gc.array_split(b, 0)
                   ^^^^^^^^^^^^^^^^^^^^
  fix: give 1 or more

ArgumentError: roll by (1, 2) needs axes
  model.py:3   y = gc.roll(x, (1, 2))
                   ^^^^^^^^^^^^^^^^^^
  fix: give one shift, or an axis for each

ArgumentError: 2 shifts for 1 axes
  model.py:3   y = gc.roll(x, (1, 2), 0)
                   ^^^^^^^^^^^^^^^^^^^^^
  fix: give one shift for each axis

ArgumentError: cannot repeat a tensor -1 times
  model.py:3   y = gc.tile(x, -1)
                   ^^^^^^^^^^^^^^
  fix: give 0 or more for each axis

ArgumentError: cannot repeat elements -1 times
  model.py:3   y = gc.repeat(x, -1)
                   ^^^^^^^^^^^^^^^^
  fix: give 0 or more

ArgumentError: unknown mode 'bounce' of pad
  model.py:3   y = gc.pad(x, 1, mode="bounce")
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^
  fix: use one of constant, reflect, symmetric, edge, wrap

ShapeError: cannot pad f64[0,5] by (1, 1) along axis 0
  model.py:3   y = gc.pad(b[:0], 1, mode="edge")
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: an empty axis has no elements to repeat

ShapeError: cannot pad f64[N,4] by (-1, -1) along axis 0
  model.py:3   y = gc.pad(x, -1, mode="edge")
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: an amount is negative

ShapeError: cannot take from f64[N,4] along an axis by i64[2]
  model.py:3   y = gc.take_along_axis(x, [0, 1])
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: the indices need as many axes as the tensor

ShapeError: a slice of f64[N,4] has 1 starts and 1 sizes
  model.py:3   y = gc.dynamic_slice(x, (0,), (1,))
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: each of its 2 axes needs one of both

ShapeError: a slice of 4 does not fit into an axis of size 3
  model.py:3   y = gc.dynamic_slice(b, (0, 0), (4, 1))
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

DTypeError: a start is f64[]
  model.py:3   y = gc.dynamic_slice(b, (0.5, 0), (1, 1))
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: it must be an integer scalar

ShapeError: the starts of a slice of f64[3,5] are i64[3]
  model.py:3   y = gc.dynamic_slice(b, gc.const([1, 2, 3]), (1, 1))
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: each of its 2 axes needs one start

ShapeError: cannot put f64[N] into f64[3,5]
  model.py:3   y = gc.dynamic_update_slice(b, f, (0, 0))
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: they must have as many axes

ShapeError: cannot take the diagonal of [N,4]
  model.py:3   y = gc.diagonal(x)
                   ^^^^^^^^^^^^^^
  why: which of the two is smaller is not known before the call

ShapeError: cannot take the diagonal 1 of [N,N]
  model.py:3   y = gc.diagonal(gc.input("s", ("N", "N")), 1)
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: its length is not known before the call

ShapeError: diagonal takes matrices, not f64[N]
  model.py:3   y = gc.diagonal(f)
                   ^^^^^^^^^^^^^^
  why: it has 1 axes

ShapeError: diag takes a vector or a matrix, not f64[2,2,2]
  model.py:3   y = gc.diag(gc.zeros((2, 2, 2)))
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  fix: use gc.diagonal for stacks

ShapeError: tril takes matrices, not f64[N]
  model.py:3   y = gc.tril(f)
                   ^^^^^^^^^^
  why: it has 1 axes

ArgumentError: a range over the named dimension N counts from 0 by 1
  model.py:3   y = gc.arange("N", 3)
                   ^^^^^^^^^^^^^^^^^
  fix: gc.arange("N")

ArgumentError: a range cannot go on by 0
  model.py:3   y = gc.arange(0, 3, 0)
                   ^^^^^^^^^^^^^^^^^^
  fix: give a step that is not 0

ArgumentError: linspace cannot give -1 numbers
  model.py:3   y = gc.linspace(0, 1, -1)
                   ^^^^^^^^^^^^^^^^^^^^^
  fix: give 0 or more

ArgumentError: unknown indexing 'yx'
  model.py:3   y = gc.meshgrid(f, indexing="yx")
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  fix: use "xy" or "ij"

ArgumentError: cannot move the axes (0, 1) to 0
  model.py:3   y = gc.moveaxis(x, (0, 1), 0)
                   ^^^^^^^^^^^^^^^^^^^^^^^^^
  why: each axis needs one place of its own

ShapeError: axis 2 is out of bounds for `x`
  model.py:3   y = gc.swapaxes(x, 0, 2)
                   ^^^^^^^^^^^^^^^^^^^^
  why: it has 2 axes

DTypeError: cannot index by f64[N]
  model.py:3   y = gc.scatter_add(x, f, 1.0)
                   ^^^^^^^^^^^^^^^^^^^^^^^^^
  fix: cast it: index.astype("int64")

DTypeError: cannot index by f64[]
  model.py:3   y = gc.take(x, 0.5)
                   ^^^^^^^^^^^^^^^
  fix: cast it: index.astype("int64")
"""


def line_of(text: str) -> str:
    """The user's line."""
    return text.splitlines()[1].partition("model.py:3   ")[2]


@pytest.mark.parametrize("text", TEXTS.strip("\n").split("\n\n"), ids=line_of)
def test_text(text: str, error_of: Callable[..., str]) -> None:
    assert error_of(f"{SETUP.strip()}\n{line_of(text)}") == text


CALLS = """
ShapeError: an axis is too short for slice where N = 2
  model.py:1   y = x[:3] * 2.0
                   ^^^^^
  why: it needs the places 0 to 2 of axis 0, which has the size 2
  fix: call the function with a larger N, or use bounds that fit every size

ShapeError: an axis is too short for pad where N = 2
  model.py:1   y = gc.grad(gc.sum(x[2]), x)
                                  ^^^^
  why: it needs the places 2 to 2 of axis 0, which has the size 2
  fix: call the function with a larger N, or use bounds that fit every size

ShapeError: there is no f64[N-3] where N = 2
  model.py:1   y = x[3:]
                   ^^^^^
  why: N-3 would be -1
  fix: call the function with a larger N
"""


@pytest.mark.parametrize("text", CALLS.strip("\n").split("\n\n"))
def test_sizes_that_a_slice_does_not_allow(text: str, backend: str, error_of: Callable[..., str]) -> None:
    """Compiled code would read what is not there; larger sizes are served by the same function."""
    line = text.splitlines()[1].partition("model.py:1   ")[2]
    program = f"{line}\nfn = gc.compile([x], y, backend=backend)\nfn(np.zeros(4))\nfn(np.zeros(2))"
    assert error_of(program, x=gc.input("x", ("N",)), backend=backend) == text
