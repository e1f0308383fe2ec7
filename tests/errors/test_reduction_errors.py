"""Subscripts, products, reductions and order that do not fit: the whole text, with the line and the caret."""

from __future__ import annotations

from collections.abc import Callable

import pytest

SETUP = """
x, a, b = gc.input("x", ("N", 4)), gc.input("a", ("N", 4)), gc.input("b", (3, 5))
m, f = gc.input("m", ("N",), "bool"), gc.input("f", ("N",))
"""

TEXTS = """
ShapeError: cannot compute einsum of f64[N,4] and f64[3,5]
  model.py:3   y = gc.einsum("ij,jk->ik", a, b)
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: 'j' is 4, but 3 in operand 1
       ij,jk->ik
          ^

ArgumentError: cannot compute einsum of f64[N,4]
  model.py:3   y = gc.einsum("ij,jk", a)
                   ^^^^^^^^^^^^^^^^^^^^^
  why: 2 operands are named, but 1 given
       ij,jk
           ^

ArgumentError: cannot compute einsum of f64[N,4] and f64[N,4]
  model.py:3   y = gc.einsum("ij", a, a)
                   ^^^^^^^^^^^^^^^^^^^^^
  why: 1 operand is named, but 2 given
       ij
        ^

ShapeError: cannot compute einsum of f64[N,4]
  model.py:3   y = gc.einsum("ijk->i", a)
                   ^^^^^^^^^^^^^^^^^^^^^^
  why: 'ijk' names 3 axes, but operand 0 is f64[N,4] with 2 axes
       ijk->i
       ^

ArgumentError: cannot compute einsum of f64[N,4]
  model.py:3   y = gc.einsum("i1->i", a)
                   ^^^^^^^^^^^^^^^^^^^^^
  why: '1' is no letter
       i1->i
        ^

ArgumentError: cannot compute einsum of f64[N,4]
  model.py:3   y = gc.einsum("ij->ii", a)
                   ^^^^^^^^^^^^^^^^^^^^^^
  why: 'i' occurs twice in the result
       ij->ii
           ^

ArgumentError: cannot compute einsum of f64[N,4]
  model.py:3   y = gc.einsum("ij->ik", a)
                   ^^^^^^^^^^^^^^^^^^^^^^
  why: 'k' is in no operand
       ij->ik
            ^

ArgumentError: cannot compute einsum of f64[N,4]
  model.py:3   y = gc.einsum("...j->j", a)
                   ^^^^^^^^^^^^^^^^^^^^^^^
  why: the result lacks the `...` of the operands
       ...j->j
             ^

ArgumentError: cannot compute einsum of f64[N,4]
  model.py:3   y = gc.einsum("i..j->j", a)
                   ^^^^^^^^^^^^^^^^^^^^^^^
  why: 'i..j' is not made of letters and one `...`
       i..j->j
       ^

ShapeError: cannot compute einsum of f64[N,4]
  model.py:3   y = gc.einsum("ii->i", a)
                   ^^^^^^^^^^^^^^^^^^^^^
  why: 'i' is N, but 4 in operand 0
       ii->i
        ^

ShapeError: cannot compute einsum of f64[N,4] and f64[3,5]
  model.py:3   y = gc.einsum("...i,...j", a, b)
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: the last dimensions are N and 3, and neither is 1
       ...i,...j
       ^

ArgumentError: cannot compute einsum of f64[N,4]
  model.py:3   y = gc.einsum("ij->i->j", a)
                   ^^^^^^^^^^^^^^^^^^^^^^^^
  why: 'i->j' is not made of letters and one `...`
       ij->i->j
           ^

ArgumentError: the subscripts of einsum are Tensor(a: input, f64[N,4])
  model.py:3   y = gc.einsum(a, b)
                   ^^^^^^^^^^^^^^^
  fix: write letters: "ij,jk->ik"

ArgumentError: einsum needs at least one operand
  model.py:3   y = gc.einsum("ij")
                   ^^^^^^^^^^^^^^^

ArgumentError: there is no norm 3 of matrices
  model.py:3   y = gc.norm(b, 3)
                   ^^^^^^^^^^^^^
  why: it would need singular values
  fix: use "fro", 1, -1, inf or -inf

ArgumentError: there is no norm 'nuc' over 2 axes of `b`
  model.py:3   y = gc.norm(b, "nuc")
                   ^^^^^^^^^^^^^^^^^
  fix: give ord a number and one axis, or "fro" and two axes

ArgumentError: there is no norm 1 over 3 axes of f64[2,2,2]
  model.py:3   y = gc.norm(gc.zeros((2, 2, 2)), 1)
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  fix: give ord a number and one axis, or "fro" and two axes

ArgumentError: quantiles lie between 0 and 1, not at 1.5
  model.py:3   y = gc.quantile(x, 1.5)
                   ^^^^^^^^^^^^^^^^^^^

ShapeError: cannot take the median of f64[3,0]
  model.py:3   y = gc.median(b[:, :0], axis=1)
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: it has no elements along the axis

ShapeError: cannot take the max of f64[3,0]
  model.py:3   y = gc.max(b[:, :0], axis=1)
                   ^^^^^^^^^^^^^^^^^^^^^^^^
  why: nothing is left to compare along an empty axis

ShapeError: cannot take the argmax of f64[3,0]
  model.py:3   y = gc.argmax(b[:, :0], axis=1)
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: the axis is empty

ArgumentError: the window of a median filter is 2
  model.py:3   y = gc.median_filter2d(b, 2)
                   ^^^^^^^^^^^^^^^^^^^^^^^^
  fix: give an odd size, or two of them

ShapeError: a window of 5×5 does not fit into f64[3,5]
  model.py:3   y = gc.median_filter2d(b, 5)
                   ^^^^^^^^^^^^^^^^^^^^^^^^

ShapeError: cannot filter f64[N]
  model.py:3   y = gc.median_filter2d(f, 3)
                   ^^^^^^^^^^^^^^^^^^^^^^^^
  why: an image has two axes or more

ShapeError: cannot take maxout of f64[N,4] in pieces of 3
  model.py:3   y = gc.maxout(x, 3)
                   ^^^^^^^^^^^^^^^
  why: 3 does not divide its 4 elements along axis -1

ShapeError: cannot contract 3 axes of f64[N,4] and f64[3,5]
  model.py:3   y = gc.tensordot(a, b, 3)
                   ^^^^^^^^^^^^^^^^^^^^^
  why: they have not so many

ShapeError: cannot contract f64[N,4] with f64[3,5]
  model.py:3   y = gc.tensordot(a, b, 1)
                   ^^^^^^^^^^^^^^^^^^^^^
  why: axis 1 of the first is 4, axis 0 of the second 3

ArgumentError: tensordot pairs the axes [0, 1] with [0]
  model.py:3   y = gc.tensordot(a, b, ((0, 1), (0,)))
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: each needs one partner

ShapeError: there is no vector product of f64[N,4] and f64[3,5]
  model.py:3   y = gc.cross(a, b)
                   ^^^^^^^^^^^^^^
  why: axis -1 must have 3 elements

ShapeError: cannot multiply f64[N,4] by f64[3,5] as matrices
  model.py:3   y = gc.matmul(a, b)
                   ^^^^^^^^^^^^^^^
  why: the inner dimensions are 4 and 3
  fix: give `b` 4 rows

ShapeError: axis 2 is out of bounds for `x`
  model.py:3   y = gc.sum(x, axis=2)
                   ^^^^^^^^^^^^^^^^^
  why: it has 2 axes
"""


def line_of(text: str) -> str:
    """The user's line."""
    return text.splitlines()[1].partition("model.py:3   ")[2]


@pytest.mark.parametrize("text", TEXTS.strip("\n").split("\n\n"), ids=line_of)
def test_text(text: str, error_of: Callable[..., str]) -> None:
    assert error_of(f"{SETUP.strip()}\n{line_of(text)}") == text
