"""Dimensions: arithmetic of polynomials against arithmetic of integers."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import graphc as gc
from graphc.errors import GraphError
from graphc.ir.dims import Dim, Index, coefficient, evaluate, names, parse, product, substitute

VARIABLES = ("N", "M", "i0", "in")  # a keyword of Python among them
Env = Mapping[str, int]
Formula = tuple[Index, Callable[[Env], int]]
"""The same formula as a dimension and as a function of integers."""


def _variable(name: str) -> Formula:
    return Dim.of(name), lambda env: env[name]


def _constant(value: int) -> Formula:
    return value, lambda env: value


def _binary(f: Callable[[Index, Index], Index]) -> Callable[[tuple[Formula, Formula]], Formula]:
    def both(ab: tuple[Formula, Formula]) -> Formula:
        (d, x), (e, y) = ab
        return f(d, e), lambda env: int(f(x(env), y(env)))  # type: ignore[call-overload]

    return both


def _by_number(f: Callable[[Index, int], Index]) -> Callable[[tuple[Formula, int]], Formula]:
    def both(an: tuple[Formula, int]) -> Formula:
        (d, x), n = an
        return f(d, n), lambda env: int(f(x(env), n))  # type: ignore[call-overload]

    return both


def _grow(inner: st.SearchStrategy[Formula]) -> st.SearchStrategy[Formula]:
    pairs, divisions = st.tuples(inner, inner), st.tuples(inner, st.integers(1, 5))
    binary = [pairs.map(_binary(f)) for f in (operator.add, operator.sub, operator.mul)]
    return st.one_of(*binary, *(divisions.map(_by_number(f)) for f in (operator.floordiv, operator.mod)))


FORMULAS = st.recursive(
    st.one_of(st.sampled_from(VARIABLES).map(_variable), st.integers(-9, 9).map(_constant)),
    _grow,
    max_leaves=8,
)
ENVS = st.fixed_dictionaries({name: st.integers(0, 40) for name in VARIABLES})


@given(FORMULAS, ENVS)
def test_arithmetic_is_that_of_integers(formula: Formula, env: Env) -> None:
    d, value = formula
    assert evaluate(d, env) == value(env)


@given(FORMULAS)
def test_what_is_printed_reads_back(formula: Formula) -> None:
    d = formula[0]
    assert parse(str(d)) == d
    assert isinstance(d, int) or names(d), "a constant dimension is an int"


@given(FORMULAS, FORMULAS, ENVS)
def test_substitution_is_composition(outer: Formula, inner: Formula, env: Env) -> None:
    replaced = substitute(outer[0], {"N": inner[0]})
    assert evaluate(replaced, env) == outer[1]({**env, "N": inner[1](env)})


@given(FORMULAS, ENVS, st.integers(-5, 5))
def test_a_coefficient_is_the_slope(formula: Formula, env: Env, step: int) -> None:
    d, value = formula
    slope = coefficient(d, "N")
    if slope is None:  # under a floor, or of a higher degree
        assert "N" in names(d)
    else:
        assert "N" not in names(slope)
        moved = {**env, "N": env["N"] + step}
        assert value(moved) - value(env) == step * evaluate(slope, env)


@given(FORMULAS, FORMULAS, FORMULAS)
def test_equal_polynomials_are_equal_objects(a: Formula, b: Formula, c: Formula) -> None:
    x, y, z = a[0], b[0], c[0]
    assert (x + y) * z == z * y + x * z
    assert hash((x + y) * z) == hash(z * y + x * z)
    assert x - x == 0 and x + 0 == x and 1 * x == x and x * 0 == 0


@given(st.lists(FORMULAS, max_size=4), ENVS)
@settings(max_examples=50)
def test_the_product_counts_elements(formulas: list[Formula], env: Env) -> None:
    assert evaluate(product(d for d, _ in formulas), env) == math.prod(v(env) for _, v in formulas)


@given(st.integers(-30, 30), st.integers(-30, 30), st.integers(1, 8), st.integers(1, 8), st.integers(-9, 9))
def test_equal_floors_are_equal_objects(
    slope: int, offset: int, divisor: int, factor: int, turns: int
) -> None:
    N, M = Dim.of("N"), Dim.of("M")
    d = (slope * N + offset) // divisor
    assert d == (factor * (slope * N + offset)) // (factor * divisor), "a common factor"
    assert d + turns == (slope * N + offset + turns * divisor) // divisor, "whole turns, in or out"
    assert d + turns * M == (slope * N + offset + turns * divisor * M) // divisor


def test_sizes_that_are_equal_fit() -> None:
    x = gc.input("x", ("N", 1, "H", 8))
    halved = gc.max_pool2d(x, 2, padding=((0, 1), (0, 0)))  # floor((H+1-2)/2)+1
    assert halved.shape == x[:, :, ::2, ::2].shape == (*x.shape[:2], (Dim.of("H") + 1) // 2, 4)


def test_the_printed_form_is_the_one_that_people_write() -> None:
    N, H = Dim.of("N"), Dim.of("H")
    assert str(4 * N * H + N + 1) == "4*H*N+N+1"
    assert str(1 - N) == "-N+1"
    assert str((H + 2 - 3) // 2 + 1) == "floor((H+1)/2)"
    assert str((4 * N + 2) // 2) == "2*N+1"
    assert str(N % 2) == "N-2*floor((N)/2)"
    assert names(N * ((H + 1) // 2)) == ("H", "N")


@pytest.mark.parametrize(
    "text", ["", "N+", "N/2", "N**2", "f(N)", "floor(N)", "floor(N/0)", "floor(N/M)", "1.5", "N; M"]
)
def test_what_is_no_dimension_is_refused(text: str) -> None:
    with pytest.raises(GraphError, match="is no dimension"):
        parse(text)


def test_a_variable_without_a_value_is_named() -> None:
    with pytest.raises(KeyError, match="M"):
        evaluate(Dim.of("N") * Dim.of("M"), {"N": 3})
