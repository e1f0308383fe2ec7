"""Rows divided by one number each: the quotients of the plain division, whatever that number is."""

from __future__ import annotations

import numpy as np
import pytest

import graphc as gc
from graphc.ir.types import Array
from graphc.runtime.function import Function

COLUMNS = 512


def rows_over_numbers(rows: int, dtype: str, fast: bool = False) -> Function:
    """Of (x, s), where each row of s has one number in all of its columns."""
    x, s = (gc.input(name, (rows, COLUMNS), dtype) for name in "xs")
    return gc.compile([x, s], x / gc.max(s, axis=1, keepdims=True), threads=1, fast=fast)


def quotients(x: Array, s: Array) -> Array:
    """The rows of x, each divided by a number of s."""
    wide = np.repeat(s[:, None], COLUMNS, axis=1)
    return np.asarray(rows_over_numbers(s.size, str(x.dtype))(x, wide))


def edges(dtype: str) -> Array:
    info = np.finfo(dtype)
    ends = [
        0.0,
        info.smallest_subnormal,
        info.tiny,
        info.max,
        info.max / 2,
        np.inf,
        1.0,
        3.0,
        1 - info.epsneg,
    ]
    powers = [2.0**k for k in (-140, -101, -100, -99, -1, 1, 99, 100, 101, 127)]
    positive = np.array([*ends, *powers, 1 + info.eps, 1 / 3, 2 - info.eps], dtype)
    return np.concatenate([positive, -positive, [np.nan]]).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_quotient_of_edges_is_that_of_the_plain_division(dtype: str) -> None:
    given = edges(dtype)
    x = np.zeros((given.size, COLUMNS), dtype)
    x[:, : given.size] = given
    with np.errstate(all="ignore"):
        want = x / given[:, None]
        got = quotients(x, given)
    info = np.finfo(dtype)
    small = np.abs(want) < info.tiny / info.eps
    np.testing.assert_array_equal(got[~small], want[~small])
    assert np.all(np.abs(got[small] - want[small]) <= info.smallest_subnormal)
    numbers = ~np.isnan(want)
    np.testing.assert_array_equal(np.signbit(got)[numbers], np.signbit(want)[numbers])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ordinary_quotients_are_the_nearest_numbers(dtype: str) -> None:
    draw = np.random.default_rng(5)
    rows = 2048
    x = draw.standard_normal((rows, COLUMNS)) * np.exp2(draw.integers(-20, 20, (rows, COLUMNS)))
    s = draw.standard_normal(rows) * np.exp2(draw.integers(-30, 30, rows))
    x, s = x.astype(dtype), s.astype(dtype)
    got, want = quotients(x, s), x / s[:, None]
    # As near to the middle between two numbers as one in 2^22 quotients is, either is right.
    assert np.count_nonzero(got != want) <= 4
    np.testing.assert_array_max_ulp(got, want, 1)


def test_small_quotients_are_one_of_the_two_next_to_them() -> None:
    draw = np.random.default_rng(6)
    rows = 512
    x = (draw.standard_normal((rows, COLUMNS)) * np.exp2(draw.integers(-126, -60, (rows, COLUMNS)))).astype(
        "f4"
    )
    s = (draw.standard_normal(rows) * np.exp2(draw.integers(0, 60, rows))).astype("f4")
    got, want = quotients(x, s), x.astype("f8") / s.astype("f8")[:, None]
    unit = np.spacing(np.maximum(np.abs(want), np.finfo("f4").tiny).astype("f4")).astype("f8")
    assert np.all(np.abs(got - want) < unit)


def test_it_is_a_multiplication_only_where_it_serves_more_than_one_vector() -> None:
    assert "fma" in rows_over_numbers(8, "float32").stage("llvm")
    assert "fma" not in rows_over_numbers(8, "float32", fast=True).stage("llvm")
    x, s = gc.input("x", 512, "float32"), gc.input("s", 512, "float32")
    assert "fma" not in gc.compile([x, s], x / s, threads=1).stage("llvm")


def test_division_by_a_constant() -> None:
    x = gc.input("x", (64, COLUMNS), "float32")
    fn, given = (
        gc.compile([x], x / 3.0, threads=1),
        np.random.default_rng(7).standard_normal((64, COLUMNS), "f4"),
    )
    assert "fma" in fn.stage("llvm")
    np.testing.assert_array_equal(fn(given), given / np.float32(3))
