"""Every structural operation against NumPy written out by hand, and its gradient against central differences.

Each case is compiled once for each back end with a named dimension, and called at several sizes of it.  The
cases and their oracles are in `structural_cases.py`, the checks that all of them pass in `case_checks.py`.
"""

from __future__ import annotations

import functools

import numpy as np
import pytest
from case_checks import (
    BACKENDS,
    arrays,
    check_gradient_of_the_gradient,
    check_value_and_gradient,
    value_and_gradient,
)
from structural_cases import CASES, naive_matmul

import graphc as gc
from graphc.ir.node import node
from graphc.lang.tensor import Tensor
from graphc.ops.contract import Contract
from graphc.runtime.function import Function


@functools.cache
def compiled(name: str, dtype: str, backend: str) -> Function:
    return value_and_gradient(CASES[name], dtype, backend)


@pytest.mark.parametrize("name", CASES)
def test_value_and_gradient_on_every_back_end(name: str) -> None:
    case = CASES[name]
    functions = {backend: compiled(name, "float64", backend) for backend in BACKENDS}
    check_value_and_gradient(case, functions, (1e-13, 1e-13), (1e-8, 1e-9), linear=case.linear)


SINGLE = [
    k
    for k in CASES
    if k.startswith(("contract", "matmul", "conv2d", "max_pool", "mean", "softmax", "scatter"))
]


@pytest.mark.parametrize("name", SINGLE)
def test_single_precision(name: str) -> None:
    case = CASES[name]
    for batch in case.batches:
        given = arrays(case, batch, "float32")
        wide = [a.astype(np.float64) if a.dtype == np.float32 else a for a in given]
        got, wanted = compiled(name, "float32", "llvm")(*given), compiled(name, "float64", "reference")(*wide)
        for g, w in zip(got, wanted, strict=True):
            assert g.dtype == np.float32 and g.shape == w.shape
            # Sums of up to a hundred products of size 4.
            np.testing.assert_allclose(g, w, rtol=2e-5, atol=2e-5, err_msg=f"N = {batch}")


@pytest.mark.parametrize("name", [k for k, c in CASES.items() if c.curved])
def test_gradient_of_the_gradient(name: str) -> None:
    check_gradient_of_the_gradient(CASES[name], (1e-6, 1e-8))


# ---- sizes: tiles and their tails ------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64"])
def test_a_matrix_product_at_every_batch_size_through_one_function(dtype: str) -> None:
    """Sizes around vectors and register tiles: none, one, some, one less and one more than a whole number."""
    a, b = gc.input("a", ("N", "K"), dtype), gc.input("b", ("K", "M"), dtype)
    fn = gc.compile([a, b], [a @ b, Tensor(node(Contract("ij,kj->ik"), a.node, b.T.node))])
    draw = np.random.default_rng(0)
    for n in (0, 1, 2, 7, 64, 65):
        for k, m in ((1, 1), (33, 17), (0, 5), (64, 3), (15, 80)):
            x, y = (draw.integers(-9, 10, s).astype(dtype) for s in ((n, k), (k, m)))
            for got in fn(x, y):  # whole numbers, so that every order of summation gives the same
                np.testing.assert_array_equal(got, naive_matmul(x, y), err_msg=f"{n} x {k} x {m}")


def test_a_convolution_and_its_gradients_at_every_batch_size_through_one_function() -> None:
    x, w = gc.input("x", ("N", 2, 9, 8), "float32"), gc.input("w", (5, 2, 3, 3), "float32")
    y = gc.conv2d(x, w, padding=1)
    up = gc.input("up", ("N", 5, 9, 8), "float32")
    inputs, outputs = [x, w, up], [y, *gc.vjp(y, [x, w], up)]
    native = gc.compile(inputs, outputs)
    reference = gc.compile(inputs, outputs, backend="reference")
    draw = np.random.default_rng(0)
    for n in (1, 2, 7, 64, 65):
        given = [
            draw.integers(-3, 4, s).astype("float32") for s in ((n, 2, 9, 8), (5, 2, 3, 3), (n, 5, 9, 8))
        ]
        for got, expected in zip(native(*given), reference(*given), strict=True):
            np.testing.assert_array_equal(got, expected, err_msg=f"N = {n}")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_reductions_at_every_batch_size_through_one_function(dtype: str, backend: str) -> None:
    x = gc.input("x", ("N", 17), dtype)
    outputs = [f(x, axis=a) for f in (gc.sum, gc.mean, gc.max, gc.min) for a in (None, 0, 1)]
    outputs += [gc.argmax(x, 0), gc.argmax(x, 1), gc.argmin(x)]
    fn = gc.compile([x], outputs, backend=backend)
    for n in (1, 2, 7, 64, 65):
        a = np.random.default_rng(n).normal(size=(n, 17)).astype(dtype)
        expected = [f(a, axis=k) for f in (np.sum, np.mean, np.max, np.min) for k in (None, 0, 1)]
        expected += [np.argmax(a, 0), np.argmax(a, 1), np.argmin(a)]
        eps = float(np.finfo(dtype).eps)
        for got, wanted in zip(fn(a), expected, strict=True):
            assert got.dtype == np.asarray(wanted).dtype
            np.testing.assert_allclose(got, wanted, rtol=8 * eps, atol=8 * eps * n, err_msg=f"N = {n}")


# ---- edges -----------------------------------------------------------------------------------------------


def test_ties_give_the_gradient_to_the_first_and_nan_wins(backend: str) -> None:
    x = gc.input("x", ("N", 4))
    outputs = [gc.grad(gc.sum(f(x, axis=a)), x) for f in (gc.max, gc.min) for a in (1, None)]
    outputs += [gc.argmax(x, 1), gc.argmin(x, 1), gc.max(x, axis=1), gc.min(x, axis=1)]
    fn = gc.compile([x], outputs, backend=backend)
    a = np.array([[1.0, 5, 5, 1], [2, 2, 2, 2], [7, 0, 7, 0]])
    by_row, whole, low, lowest, top, bottom, *_ = fn(a)
    np.testing.assert_array_equal(by_row, [[0, 1, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]])
    np.testing.assert_array_equal(whole, [[0, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]])
    np.testing.assert_array_equal(low, [[1, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0]])
    np.testing.assert_array_equal(lowest, [[0, 0, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0]])
    np.testing.assert_array_equal(top, np.argmax(a, 1))
    np.testing.assert_array_equal(bottom, np.argmin(a, 1))
    a[1, 2] = np.nan
    *_, top, bottom, most, least = fn(a)
    assert (top[1], bottom[1]) == (2, 2) and np.isnan(most[1]) and np.isnan(least[1])


def test_ties_in_a_window_give_the_gradient_to_its_first_place(backend: str) -> None:
    x = gc.input("x", (1, 1, 4, 4))
    fn = gc.compile([x], gc.grad(gc.sum(gc.max_pool2d(x, 2)), x), backend=backend)
    a = np.zeros((1, 1, 4, 4))
    a[0, 0, 1, 2:] = 3  # twice in the window at the upper right
    expected = np.zeros((4, 4))
    expected[0, 0] = expected[1, 2] = expected[2, 0] = expected[2, 2] = 1
    np.testing.assert_array_equal(fn(a)[0, 0], expected)


def test_sizes_of_nothing(backend: str) -> None:
    """Empty batches give empty results; sums over nothing are 0, products through nothing are 0."""
    x, w = gc.input("x", ("N", 3)), gc.input("w", (3, 2))
    y = gc.relu(x @ w)
    loss = gc.sum(y * y)
    outputs = [y, loss, gc.sum(x, axis=0), gc.concatenate([x, x]), x.T, *gc.grad(loss, [x, w])]
    fn = gc.compile([x, w], outputs, backend=backend)
    y_, loss_, total, twice, turned, dx, dw = fn(np.zeros((0, 3)), np.ones((3, 2)))
    assert (y_.shape, twice.shape, turned.shape, dx.shape) == ((0, 2), (0, 3), (3, 0), (0, 3))
    assert loss_ == 0
    np.testing.assert_array_equal(total, np.zeros(3))
    np.testing.assert_array_equal(dw, np.zeros((3, 2)))


def test_a_fixed_axis_of_nothing(backend: str) -> None:
    a, b = gc.input("a", ("N", 0)), gc.input("b", (0, 2))
    fn = gc.compile([a, b], [a @ b, gc.sum(a, axis=1), gc.exp(b)], backend=backend)
    product, total, nothing = fn(np.zeros((3, 0)), np.zeros((0, 2)))
    np.testing.assert_array_equal(product, np.zeros((3, 2)))
    np.testing.assert_array_equal(total, np.zeros(3))
    assert nothing.shape == (0, 2)


def test_indices_outside_give_nan_and_scatter_nothing(backend: str) -> None:
    x, at = gc.input("x", (4,)), gc.input("at", ("N",), "int64")
    y = gc.take(x, at)
    fn = gc.compile([x, at], [y, gc.grad(gc.sum(gc.where(at < 4, y, 0.0)), x)], backend=backend)
    value, gradient = fn(np.arange(4.0), np.array([3, -4, 4, -5, -1]))
    np.testing.assert_array_equal(value, [3, 0, np.nan, np.nan, 3])
    np.testing.assert_array_equal(gradient, [1, 0, 0, 2])


@pytest.mark.parametrize("dtype", ["int32", "int64", "bool", "float32", "float64"])
def test_casts(dtype: str, backend: str) -> None:
    x = gc.input("x", ("N",), dtype)
    targets = ["int32", "int64", "bool", "float32", "float64"]
    fn = gc.compile([x], [gc.cast(x, t) for t in targets], backend=backend)
    a = np.array([0, 1, 2.75, -3.75, 100]).astype(dtype)
    for got, t in zip(fn(a), targets, strict=True):
        assert got.dtype == np.dtype(t)
        np.testing.assert_array_equal(got, a.astype(t))


def test_every_argument_layout_is_read_rightly(backend: str) -> None:
    """Fortran order, negative strides, broadcast and offset arrays: the same values, whatever the memory."""
    x = gc.input("x", ("N", 4))
    fn = gc.compile([x], [2.0 * x, gc.sum(x, axis=0)], backend=backend)
    base = np.arange(48.0).reshape(6, 8)
    for a in (
        np.asfortranarray(base[:, :4]),
        base[::-1, ::2],
        base[::2, 4:],
        np.broadcast_to(base[0, :4], (3, 4)),
    ):
        doubled, total = fn(a)
        np.testing.assert_array_equal(doubled, 2 * a)
        np.testing.assert_array_equal(total, a.sum(0))
