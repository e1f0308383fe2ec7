"""Conventions: each example of the table is what it says, on every back end; promotion is NumPy's, whole."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import graphc as gc
from graphc.ir.types import DECLARED, DType, dtype_of, promote
from graphc.ops.conventions import CONVENTIONS, Example
from graphc.ops.table import ROWS

EXAMPLES = [(c.topic, e) for c in CONVENTIONS for e in c.examples]


def arrays(e: Example) -> dict[str, np.ndarray[Any, Any]]:
    return {name: np.array(value, dtype_of(e.dtype(name)).numpy) for name, value in e.values}


@pytest.mark.parametrize(("topic", "e"), EXAMPLES, ids=[f"{topic}: {e}" for topic, e in EXAMPLES])
def test_each_example_is_what_it_says(topic: str, e: Example, backend: str) -> None:
    given = arrays(e)
    inputs = {name: gc.input(name, ("N",)[: v.ndim], v.dtype) for name, v in given.items()}
    if "gc.take" in e.expression:  # an index has as many elements as it likes
        inputs["i"] = gc.input("i", ("M",), "int64")
    output = eval(e.expression, {"gc": gc, **inputs})
    found = gc.compile(list(inputs.values()), output, backend=backend)(*given.values())
    assert found.dtype == dtype_of(e.dtype("=")).numpy
    np.testing.assert_array_equal(found, np.array(e.expected))


def test_conventions_are_sentences_with_examples_and_topics_stand_together() -> None:
    for c in CONVENTIONS:
        assert c.examples and not c.statement.endswith(".")
    topics = [key for key, _ in itertools.groupby(CONVENTIONS, lambda c: c.topic)]
    assert len(topics) == len(set(topics))


def test_each_kink_of_the_table_has_its_convention() -> None:
    for row in ROWS.values():
        if row.kink != "False":
            assert row.convention, row.name


# ---- promotion ---------------------------------------------------------------------------------------------

NUMBERS = (True, 2, 2.5)


@pytest.mark.parametrize("a", DECLARED, ids=str)
def test_promotion_is_numpys_for_each_pair_of_dtypes_and_each_python_number(a: DType) -> None:
    x = gc.input("x", (2,), a)
    for b in DECLARED:
        expected = np.result_type(a.numpy, b.numpy)
        assert promote(a, b).numpy == expected
        y = gc.input("y", (2,), b)
        array = np.ones(2, b.numpy)
        for result in (x + y, y + x, x * y, gc.maximum(x, y), x + array, array + x, gc.where(x > y, x, y)):
            assert result.dtype.numpy == expected, b
        assert (x / y).dtype.numpy == np.true_divide(np.ones(1, a.numpy), np.ones(1, b.numpy)).dtype
        assert gc.less(x, y).dtype is DType.BOOL
        # A NumPy scalar has a dtype of its own: it is no Python number.
        assert (x + b.numpy.type(1)).dtype.numpy == expected
    for number in NUMBERS:
        expected = np.result_type(a.numpy, number)
        assert promote(a, number).numpy == expected
        for result in (x + number, number + x, x * number, gc.minimum(number, x), gc.where(x > 0, number, x)):
            assert result.dtype.numpy == expected, number


OPERATORS = {
    "//": np.floor_divide, "%": np.mod, "&": np.bitwise_and, "|": np.bitwise_or, "^": np.bitwise_xor,
    "<<": np.left_shift, ">>": np.right_shift, "+": np.add, "-": np.subtract, "*": np.multiply, "/": np.true_divide,
}  # fmt: skip


@pytest.mark.parametrize("sign", OPERATORS)
@pytest.mark.parametrize("dtype", ["int32", "int64", "float64", "bool"])
def test_operators_are_numpys_in_both_orders(sign: str, dtype: str, backend: str) -> None:
    of_bits, of_truths = sign in ("&", "|", "^", "<<", ">>"), sign in ("&", "|", "^", "+", "*", "/")
    a, b = np.array([7, -7, 1, 0]).astype(dtype), np.array([2, 2, 1, 3]).astype(dtype)
    x, y = gc.inputs("x y", ("N",), dtype)
    if (of_bits and dtype == "float64") or (dtype == "bool" and not of_truths):
        with pytest.raises(gc.DTypeError):
            eval(f"x {sign} y")
        return
    if dtype == "bool" and sign == "/":
        b = np.ones(4, bool)
    number = True if dtype == "bool" else 2
    fn = gc.compile(
        [x, y], [eval(f"x {sign} y"), eval(f"x {sign} number"), eval(f"number {sign} y")], backend=backend
    )
    for found, pair in zip(fn(a, b), [(a, b), (a, number), (number, b)], strict=True):
        expected = OPERATORS[sign](*pair)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    if of_bits:
        np.testing.assert_array_equal(gc.compile([x], ~x, backend=backend)(a), ~a)


def test_promotion_of_numbers_alone_and_of_three_operands() -> None:
    assert gc.add(1, 2).dtype is DType.I64 and gc.add(1, 2.5).dtype is DType.F64
    assert gc.logical_or(True, False).dtype is DType.BOOL
    for dtypes in itertools.product(DECLARED, repeat=3):
        xs = [gc.input(f"x{k}", (), d) for k, d in enumerate(dtypes)]
        expected = np.result_type(*(d.numpy for d in dtypes))
        if expected != np.bool_:
            assert gc.clip(*xs).dtype.numpy == expected


def test_sums_and_products_of_small_integers_are_int64() -> None:
    for d in DECLARED:
        x = gc.input("x", (2,), d)
        for name in ("sum", "prod"):
            assert getattr(gc, name)(x).dtype.numpy == getattr(np, name)(np.ones(2, d.numpy)).dtype
