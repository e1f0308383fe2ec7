"""Functions of arrays at their edges: nothing, one, ties, zeros, infinities, NaN, integers, bool.

| convention | |
|--------------------------------|------------------------------------------------------------------|
| sum, prod, any, all of nothing | 0, 1, false, true |
| max, median of nothing         | ShapeError where that is known; of a named axis -inf and NaN |
| NaN in an order                | larger than any number: last, in descending order first |
| norm, std at 0                 | the gradient, and its gradient, are 0 |
| gather outside, scatter outside | NaN (0 for integers), nothing |
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphc as gc
from graphc.lang.tensor import Tensor
from graphc.ops.registry import read_graph
from graphc.runtime.reference import evaluate

INTS = np.array([[3, -1, 0], [3, 2, 7]])
FLOATS = np.array([[3.0, np.nan, -np.inf, 0.0], [0.5, -0.0, np.inf, 0.5], [2.0, 2.0, 1.0, 2.0]])


def value(y: Tensor | list[Tensor], x: Tensor, at: Any, backend: str) -> Any:
    return gc.compile([x], y, backend=backend)(at)


@pytest.mark.parametrize("dtype", ["bool", "int32", "int64", "float32", "float64"])
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_reductions_of_every_dtype_have_numpys_dtype(dtype: str, axis: int | None, backend: str) -> None:
    x, a = gc.input("x", ("N", 3), dtype), INTS.astype(dtype)
    names = [
        "sum",
        "prod",
        "mean",
        "any",
        "all",
        "count_nonzero",
        "argmax",
        "argmin",
        "var",
        "median",
        "cumsum",
        "cumprod",
    ]
    if dtype != "bool":
        names += ["max", "min", "ptp", "sort", "argsort"]
    found = value([getattr(gc, n)(x, axis=axis) for n in names], x, a, backend)
    for name, got in zip(names, found, strict=True):
        function = getattr(np, name)
        wanted = np.asarray(
            function(a, axis=axis, kind="stable") if "sort" in name else function(a, axis=axis)
        )
        assert got.dtype == wanted.dtype, name
        np.testing.assert_allclose(got, wanted, rtol=1e-6, err_msg=name)


def test_dtype_arguments_as_in_numpy(backend: str) -> None:
    x, a = gc.input("x", ("N", 3), "int32"), INTS.astype("int32")
    names = ("sum", "prod", "mean", "cumsum", "cumprod")
    found = value([getattr(gc, n)(x, axis=1, dtype="float32") for n in names], x, a, backend)
    for name, got in zip(names, found, strict=True):
        wanted = getattr(np, name)(a, axis=1, dtype="float32")
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, wanted, rtol=1e-6)


def test_reductions_of_nothing(backend: str) -> None:
    x = gc.input("x", ("N", 3))
    y = [
        gc.sum(x),
        gc.prod(x, axis=0),
        gc.any(x),
        gc.all(x, axis=0),
        gc.count_nonzero(x),
        gc.max(x),
        gc.median(x),
    ]
    y += [gc.mean(x), gc.norm(x), gc.var(x, axis=0), gc.logsumexp(x, axis=0), gc.cumsum(x, 0), gc.sort(x, 0)]
    y += [gc.argsort(x, 0), gc.cummax(x), gc.logcumsumexp(x), gc.grad(gc.sum(gc.prod(x, axis=0)), x)]
    found = [v.tolist() for v in value(y, x, np.zeros((0, 3)), backend)]
    assert found[:6] == [0.0, [1.0] * 3, False, [True] * 3, 0, -np.inf]
    assert np.isnan(found[6]) and np.isnan(found[7]) and found[8] == 0.0 and np.isnan(found[9]).all()
    assert found[10] == [-np.inf] * 3 and found[11:] == [[]] * 6


def test_axes_of_one_and_of_none_that_are_known(backend: str) -> None:
    x = gc.input("x", ("N", 1, 0))
    y = [gc.sum(x, axis=2), gc.prod(x, axis=(0, 2)), gc.sort(x, 1), gc.cumprod(x, 2), gc.median(x, axis=1)]
    y += [
        gc.take(x[:, :, 0:0], [1], 2),
        gc.einsum("nij,nkj->ik", x, x),
        gc.grad(gc.sum(gc.prod(x, axis=2)), x),
    ]
    found = value(y, x, np.zeros((2, 1, 0)), backend)
    assert [v.tolist() for v in found[:2]] == [[[0.0], [0.0]], [1.0]]
    assert [v.shape for v in found[2:]] == [(2, 1, 0), (2, 1, 0), (2, 0), (2, 1, 1), (1, 1), (2, 1, 0)]
    assert np.isnan(found[5]).all() and found[6].tolist() == [[0.0]]


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("axis", [0, 1])
def test_order_is_stable_and_nan_is_largest(dtype: str, descending: bool, axis: int, backend: str) -> None:
    a = np.random.default_rng(3).integers(-2, 3, (7, 9)).astype(dtype)
    if dtype != "int32":
        a.flat[::5] = np.nan
        a.flat[1::7] = np.inf
    x = gc.input("x", ("N", 9), dtype)
    y = [f(x, axis, descending=descending) for f in (gc.argsort, gc.sort)]
    order, values = value(y, x, a, backend)
    if descending:
        flipped = np.argsort(np.flip(a, axis), axis, kind="stable")
        wanted = np.flip(a.shape[axis] - 1 - flipped, axis)
    else:
        wanted = np.argsort(a, axis, kind="stable")
    np.testing.assert_array_equal(order, wanted)
    np.testing.assert_array_equal(values, np.take_along_axis(a, wanted, axis))


def test_top_k_gives_values_and_indices_and_the_first_of_ties(backend: str) -> None:
    x = gc.input("x", ("N", "M"))
    values, indices = gc.top_k(x, 3)
    y = [values, indices, gc.grad(gc.sum(values * gc.const([1.0, 2.0, 4.0])), x)]
    got, at, slope = value(y, x, np.array([[1.0, 5.0, 5.0, 2.0], [np.nan, 0.0, 0.0, 0.0]]), backend)
    np.testing.assert_array_equal(got, [[5, 5, 2], [np.nan, 0, 0]])
    np.testing.assert_array_equal(at, [[1, 2, 3], [0, 1, 2]])
    np.testing.assert_array_equal(slope, [[0, 1, 2, 4], [1, 2, 4, 0]])
    short, at, _ = value(y, x, np.array([[1.0, 5.0]]), backend)  # a named axis that turns out too short
    np.testing.assert_array_equal(short, [[5, 1, np.nan]])
    np.testing.assert_array_equal(at, [[1, 0, 2]])


@pytest.mark.parametrize(
    "name", ["median", "ptp", "max", "min", "prod", "sum", "var", "argmax", "argmin", "any", "all"]
)
def test_nan_infinity_and_zeros_as_in_numpy(name: str, backend: str) -> None:
    x = gc.input("x", ("N", 4))
    with np.errstate(all="ignore"):
        for axis in (0, 1):
            got, wanted = (
                value(getattr(gc, name)(x, axis=axis), x, FLOATS, backend),
                getattr(np, name)(FLOATS, axis=axis),
            )
            np.testing.assert_allclose(got, wanted)


@pytest.mark.parametrize("name", ["cumsum", "cumprod"])
def test_running_sums_of_special_values_as_in_numpy(name: str, backend: str) -> None:
    x = gc.input("x", ("N", 4))
    with np.errstate(all="ignore"):
        for axis in (0, 1):
            got, wanted = (
                value(getattr(gc, name)(x, axis), x, FLOATS, backend),
                getattr(np, name)(FLOATS, axis),
            )
            np.testing.assert_array_equal(got, wanted)
            np.testing.assert_array_equal(np.signbit(got), np.signbit(wanted))


def test_running_extremes_keep_nan(backend: str) -> None:
    x = gc.input("x", ("N", 4))
    top, bottom, slope = value(
        [gc.cummax(x, 1), gc.cummin(x, 1), gc.grad(gc.sum(gc.cummax(x, 1)), x)], x, FLOATS, backend
    )
    np.testing.assert_array_equal(top, np.maximum.accumulate(FLOATS, 1))
    np.testing.assert_array_equal(bottom, np.minimum.accumulate(FLOATS, 1))
    np.testing.assert_array_equal(slope, [[1, 3, 0, 0], [2, 0, 2, 0], [4, 0, 0, 0]])


def test_gradients_of_products_with_zeros(backend: str) -> None:
    x = gc.input("x", ("N", 4))
    y = gc.prod(x, axis=1)
    first = gc.grad(gc.sum(y), x)
    mixed = gc.grad(gc.sum(first * gc.const([1.0, 10.0, 100.0, 1000.0])), x)
    running = gc.grad(gc.sum(gc.cumprod(x, 1)), x)
    a = np.array([[2.0, 3.0, 5.0, 7.0], [2.0, 0.0, 5.0, 7.0], [0.0, 3.0, 0.0, 7.0], [0.0, 0.0, 0.0, 7.0]])
    one, two, run = value([first, mixed, running], x, a, backend)

    def others(row: Any, *left_out: int) -> float:
        return float(np.prod([v for k, v in enumerate(row) if k not in left_out]))

    weights = (1, 10, 100, 1000)
    for r, row in enumerate(a):
        for k in range(4):
            assert one[r, k] == others(row, k)
            assert two[r, k] == sum(w * others(row, j, k) for j, w in enumerate(weights) if j != k)
            assert run[r, k] == sum(others(row[: end + 1], k) for end in range(k, 4))


@pytest.mark.parametrize("p", [None, 1, 2, 3, 1.5, 0.5, np.inf, -np.inf, -1])
def test_norms_at_zero_have_the_gradient_zero(p: float | None, backend: str) -> None:
    """At the zero vector; beside it, at a vector with one zero; forward, gradient and gradient of the gradient."""
    x = gc.input("x", ("N", 3))
    y = gc.norm(x, p, axis=1)
    first = gc.grad(gc.sum(y), x)
    second = gc.grad(gc.sum(first * gc.const([1.0, 2.0, 3.0])), x) if p not in (1, np.inf, -np.inf) else first
    a = np.array([[0.0, 0.0, 0.0], [0.0, 3.0, -4.0]])
    size, slope, bend = value([y, first, second], x, a, backend)
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(size, np.linalg.norm(a, p, axis=1))
    np.testing.assert_array_equal(slope[0], np.zeros(3))
    assert np.isfinite(slope).all() and np.isfinite(bend).all()
    if p != -np.inf:
        assert slope[1, 0] == 0


@pytest.mark.parametrize("p", [None, 0, 1, 2, 3, 0.5, -1, np.inf])
def test_norms_keep_the_dtype(p: float | None) -> None:
    for dtype in ("float32", "float64"):
        assert gc.norm(gc.input("x", ("N", 3), dtype), p, axis=1).dtype.numpy == dtype


def test_the_standard_deviation_of_equal_numbers(backend: str) -> None:
    x = gc.input("x", ("N", 3))
    y = gc.std(x, axis=1)
    first = gc.grad(gc.sum(y), x)
    second = gc.grad(gc.sum(first * gc.const([1.0, 2.0, 3.0])), x)
    for v in value([y, first, second], x, np.full((2, 3), 5.0), backend):
        np.testing.assert_array_equal(v, np.zeros(v.shape))


def test_variance_does_not_cancel(backend: str) -> None:
    x = gc.input("x", ("N",), "float32")
    a = (1e4 + np.array([0.0, 1, 2, 3])).astype("float32")
    assert value(gc.var(x), x, a, backend) == 1.25


def test_logsumexp_of_infinities(backend: str) -> None:
    x = gc.input("x", ("N", 3))
    a = np.array([[-np.inf] * 3, [np.inf, 0, 1], [1000.0, 1000.0, -np.inf], [-1000.0, -1000.0, -np.inf]])
    whole, running = value([gc.logsumexp(x, axis=1), gc.logcumsumexp(x, axis=1)], x, a, backend)
    wanted = [-np.inf, np.inf, 1000 + np.log(2), -1000 + np.log(2)]
    np.testing.assert_allclose(whole, wanted)
    np.testing.assert_allclose(running[:, -1], wanted)


def test_the_median_gives_its_gradient_to_the_middle(backend: str) -> None:
    x = gc.input("x", ("N",))
    y = gc.grad(gc.median(x), x)
    np.testing.assert_array_equal(value(y, x, np.array([5.0, 1.0, 3.0]), backend), [0, 0, 1])
    np.testing.assert_array_equal(value(y, x, np.array([5.0, 1.0, 3.0, 4.0]), backend), [0, 0, 0.5, 0.5])


def test_maxout_of_the_textbook(backend: str) -> None:
    """Two linear maps at x = [2, 1]: max(1, 2) = 2, whose gradient reaches the second one alone."""
    x, w = gc.input("x", (2,)), gc.const([[1.0, -1.0], [0.5, 2.0]])
    y = gc.maxout(w @ x + gc.const([0.0, -1.0]), 2)
    out, slope = value([y, gc.grad(y[0], x)], x, np.array([2.0, 1.0]), backend)
    assert out.tolist() == [2.0] and slope.tolist() == [0.5, 2.0]


def test_places_outside_read_nan_and_write_nothing(backend: str) -> None:
    x, at = gc.input("x", (4, 2)), gc.input("at", ("N",), "int64")
    u = gc.ones(("N", 2))
    y = [gc.take_along_axis(x, gc.stack([at, at], 1), 0), x[at, gc.const(1)], gc.embedding(x, at)[:, 0]]
    y += [gc.scatter_add(x, at, u), gc.put(x, at, 7.0 * u), gc.segment_sum(u, at, 4), gc.one_hot(at, 4)]
    fn = gc.compile([x, at], y, backend=backend)
    a, places = np.arange(8.0).reshape(4, 2), np.array([1, -1, 4, -5, 1])
    along, both, rows, more, less, parts, hot = fn(a, places)
    inside = (places >= -4) & (places < 4)
    wanted = np.where(inside[:, None], a[np.where(inside, places, 0)], np.nan)
    np.testing.assert_array_equal(along, wanted)
    np.testing.assert_array_equal(both, wanted[:, 1])
    np.testing.assert_array_equal(rows, wanted[:, 0])
    np.testing.assert_array_equal(more - a, [[0, 0], [2, 2], [0, 0], [1, 1]])
    np.testing.assert_array_equal(less, [[0, 1], [7, 7], [4, 5], [7, 7]])
    np.testing.assert_array_equal(parts[:, 0], [0, 2, 0, 1])
    np.testing.assert_array_equal(hot.sum(1), [1, 0, 0, 0, 1])


def test_integers_and_bool_move_too(backend: str) -> None:
    x = gc.input("x", ("N", 3), "int32")
    y = [
        gc.flip(x),
        gc.pad(x, 1, mode="wrap"),
        gc.take(x, [0, 9], 1),
        gc.tril(x),
        gc.einsum("nk,nk->k", x, x),
    ]
    y += [
        gc.roll(x > 0, 1, 0),
        gc.put(x, [0, 0], [[8, 8, 8], [9, 9, 9]]),
        gc.prod(x, axis=0),
        gc.diagonal(x[:2] * 2),
    ]
    found = value(y, x, INTS.astype("int32"), backend)
    wanted = [np.flip(INTS), np.pad(INTS, 1, "wrap"), [[3, 0], [3, 0]], np.tril(INTS), (INTS * INTS).sum(0)]
    wanted += [np.roll(INTS > 0, 1, 0), [[9, 9, 9], [3, 2, 7]], INTS.prod(0), 2 * INTS.diagonal()]
    for got, want in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(got, want)
    assert [v.dtype.name for v in found] == ["int32"] * 5 + ["bool", "int32", "int64", "int32"]


def test_a_dynamic_slice_starts_where_it_fits(backend: str) -> None:
    x, k = gc.input("x", (5,)), gc.input("k", dtype="int32")
    y = [gc.dynamic_slice(x, [k], (2,)), gc.dynamic_update_slice(x, gc.const([7.0, 8.0]), [k])]
    fn = gc.compile([x, k], y, backend=backend)
    a = np.arange(5.0)
    for start, place in ((-3, 0), (0, 0), (2, 2), (3, 3), (4, 3), (99, 3)):
        part, new = fn(a, start)
        np.testing.assert_array_equal(part, a[place : place + 2])
        np.testing.assert_array_equal(new, [*a[:place], 7, 8, *a[place + 2 :]])


def test_long_products_of_einsum_take_the_cheap_order() -> None:
    """(ab)(bc)(c) is taken from the right: 2·n² multiplications instead of n³."""
    n = 64
    a, b, c = (gc.input(k, s) for k, s in (("a", (n, n)), ("b", (n, n)), ("c", (n,))))
    fn = gc.compile([a, b, c], gc.einsum("ab,bc,c->a", a, b, c))
    assert fn.cost.flops <= 2 * 2 * n * n


def test_graphs_of_running_sums_and_ranks_are_read_back_from_their_text() -> None:
    x = gc.input("x", ("N", 4))
    y = gc.sum(gc.cumprod(x, 1, reverse=True)) + gc.sum(gc.cummax(x)) + gc.sum(gc.prod(x, axis=0))
    y = y + gc.sum(gc.sort(x, 0, descending=True)[0])
    fn = gc.compile([x], [y, gc.grad(y, x)], backend="reference")
    text = fn.stage("graph")
    assert {"recurrence", "running_argmax", "rank", "prod"} <= set(text.replace("=", " ").split())
    again = read_graph(text)
    a = np.random.default_rng(0).normal(size=(3, 4))
    for got, wanted in zip(evaluate(again, [a]), fn(a), strict=True):
        np.testing.assert_array_equal(got, wanted)
