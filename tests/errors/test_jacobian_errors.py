"""What a user sees where there is no Jacobian of each row, and no Hessian-vector product."""

from __future__ import annotations

import re

import pytest
from test_gradient_errors import caught

import graphc as gc
from graphc.errors import GradientError


def test_rows_that_are_mixed() -> None:
    x = gc.input("x", ("N", 4))
    centred = x - gc.mean(x, axis=0)
    y = gc.tanh(centred)

    def run() -> object:
        return gc.batch_jacobian(y, x)

    text = re.sub(r"(test_jacobian_errors.py):\d+", r"\1:9", caught(run, GradientError))
    assert (
        text
        == """\
a row of y depends on more than the same row of x
  test.py:1   return gc.batch_jacobian(y, x)
                     ^^^^^^^^^^^^^^^^^^^^^^^
  why: sum mixes the rows (test_jacobian_errors.py:9: gc.mean(x, axis=0))
  fix: use gc.jacobian, of shape [N,4,N,4]"""
    )


def test_rows_that_are_columns_now() -> None:
    x = gc.input("x", (4, 4))

    def run() -> object:
        return gc.batch_jacobian(x.T, x)

    assert (
        caught(run, GradientError)
        == """\
a row of y depends on more than the same row of x
  test.py:1   return gc.batch_jacobian(x.T, x)
                     ^^^^^^^^^^^^^^^^^^^^^^^^^
  why: the rows of x are not along the first axis of y
  fix: use gc.jacobian, of shape [4,4,4,4]"""
    )


def test_no_batch() -> None:
    x = gc.input("x", ("N", 4))

    def run() -> object:
        return gc.batch_jacobian(gc.sum(x, axis=0), x)

    assert (
        caught(run, GradientError)
        == """\
a f64[4] and a f64[N,4] have no batch in common
  test.py:1   return gc.batch_jacobian(gc.sum(x, axis=0), x)
                     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: the first axis of both must be the batch
  fix: transpose them, or use gc.jacobian"""
    )


def test_a_vector_of_another_type() -> None:
    x, v = gc.input("x", ("N", 4)), gc.input("v", (4,))

    def run() -> object:
        return gc.hvp(gc.sum(x * x), x, v)

    assert (
        caught(run, GradientError)
        == """\
v is f64[4], and x is f64[N,4]
  test.py:1   return gc.hvp(gc.sum(x * x), x, v)
                     ^^^^^^^^^^^^^^^^^^^^^^^^^^^
  fix: give one vector of its type for each x"""
    )


def test_what_does_not_depend_and_what_is_no_scalar() -> None:
    x, y = gc.input("x", (2,)), gc.input("y", (2,))
    with pytest.raises(GradientError, match="does not depend on `y`"):
        gc.hvp(gc.sum(x * x), y, y)
    with pytest.raises(GradientError, match="is not one tensor"):
        gc.hvp(x * x, x, x)
    with pytest.raises(GradientError, match="does not depend on `y`"):
        gc.batch_jacobian(x * x, y)
    n = gc.input("n", (2,), "int64")
    with pytest.raises(GradientError, match="there is no Jacobian of a i64"):
        gc.batch_jacobian(n, n)
