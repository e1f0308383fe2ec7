"""Factors, systems and determinants against NumPy, and their derivatives against central differences.

Every case is compiled once for each back end with a named number of matrices, and called at several; matrices
come as stacks [N, n, n].  PyTorch says the same, where it is installed.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from case_checks import BACKENDS, differences, upstream, upstream_array
from structural_cases import Array

import graphc as gc
from graphc.lang.tensor import Tensor
from graphc.runtime.function import Function


def numpy_lu(a: Array) -> tuple[Array, Array, Array]:
    """Doolittle's elimination with partial pivoting, entry by entry, of one matrix."""
    n = len(a)
    u, lower, p = a.astype(np.float64).copy(), np.eye(n), np.arange(n)
    for k in range(n):
        best = max(range(k, n), key=lambda r: (abs(u[r, k]), -r))
        for rows in (u, p):
            rows[[k, best]] = rows[[best, k]]
        lower[[k, best], :k] = lower[[best, k], :k]
        for r in range(k + 1, n):
            lower[r, k] = u[r, k] / u[k, k]
            u[r] -= lower[r, k] * u[k]
    return p, lower, np.triu(u)


def stacked(f: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """An oracle of one matrix, for each of a stack."""
    return lambda a: np.array([f(m) for m in a])


def triangular(lower: bool, trans: bool, unit: bool) -> Callable[[Array, Array], Array]:
    def oracle(a: Array, b: Array) -> Array:
        t = np.tril(a) if lower else np.triu(a)
        if unit:
            t = t - t * np.eye(a.shape[-1]) + np.eye(a.shape[-1])
        return np.linalg.solve(t.swapaxes(-1, -2) if trans else t, b)

    return oracle


@dataclass(frozen=True)
class Case:
    """`make` of tensors, `oracle` of arrays: a stack of n x n matrices and, with `columns`, a right-hand side."""

    make: Callable[..., Tensor]
    oracle: Callable[..., Any]
    columns: int | None = None
    positive: bool = False

    def given(self, count: int, n: int, dtype: str = "float64") -> list[Array]:
        """Well-conditioned matrices, not symmetric; with a positive definite symmetric part where asked for."""
        draw = np.random.default_rng(1000 * count + n)
        a = draw.uniform(-1, 1, (count, n, n)) / max(1, n) ** 0.5 + 2 * np.eye(n)
        if not self.positive:
            a = a[:, draw.permutation(n)]  # rows must be exchanged
        rhs = [] if self.columns is None else [draw.normal(size=(count, n, self.columns))]
        return [x.astype(dtype) for x in (a, *rhs)]

    def tensors(self, n: int | str, dtype: str = "float64") -> list[Tensor]:
        a = gc.input("a", ("N", n, n), dtype)
        return [a] if self.columns is None else [a, gc.input("b", ("N", n, self.columns), dtype)]


CASES: dict[str, Case] = {
    "cholesky": Case(gc.cholesky, lambda a: np.linalg.cholesky((a + a.swapaxes(-1, -2)) / 2), positive=True),
    "cholesky lower": Case(
        lambda a: gc.cholesky(a, symmetrize_input=False), np.linalg.cholesky, positive=True
    ),
    "solve": Case(gc.solve, np.linalg.solve, columns=2),
    "solve column": Case(gc.solve, np.linalg.solve, columns=1),
    "inv": Case(gc.inv, np.linalg.inv),
    "det": Case(gc.det, np.linalg.det),
    "slogdet sign": Case(lambda a: gc.slogdet(a)[0], lambda a: np.linalg.slogdet(a)[0]),
    "slogdet": Case(lambda a: gc.slogdet(a)[1], lambda a: np.linalg.slogdet(a)[1]),
    "lu rows": Case(lambda a: gc.cast(gc.lu(a)[0], a.dtype), stacked(lambda m: 1.0 * numpy_lu(m)[0])),
    "lu L": Case(lambda a: gc.lu(a)[1], stacked(lambda m: numpy_lu(m)[1])),
    "lu U": Case(lambda a: gc.lu(a)[2], stacked(lambda m: numpy_lu(m)[2])),
}
for low in (False, True):
    for turned in (False, True):
        for ones in (False, True):
            title = f"{'lower' if low else 'upper'}{' transposed' * turned}{' unit' * ones}"
            CASES[title] = Case(
                functools.partial(gc.solve_triangular, trans=int(turned), lower=low, unit_diagonal=ones),
                triangular(low, turned, ones),
                columns=1 if ones else 3,
                positive=True,
            )
CONSTANT = ("slogdet sign", "lu rows")  # their gradient is zero


@functools.cache
def compiled(name: str, n: int | str, dtype: str, backend: str) -> Function:
    case = CASES[name]
    xs = case.tensors(n, dtype)
    y = case.make(*xs)
    return gc.compile(xs, [y] if name in CONSTANT else [y, *gc.vjp(y, xs, upstream(y))], backend=backend)


@pytest.mark.parametrize("name", CASES)
def test_value_and_gradient_on_every_back_end(name: str) -> None:
    case = CASES[name]
    for n, counts in ((3, (0, 1, 2)), (1, (2,))):
        for count in counts:
            given = case.given(count, n)
            if count == 0 and name.startswith("lu"):
                continue  # NumPy makes no stack of nothing
            value = np.asarray(case.oracle(*given))
            up = upstream_array(value.shape, "float64")
            slopes = [differences(case.oracle, given, k, up) for k in range(len(given))]
            for backend in BACKENDS:
                got, *gradients = (
                    compiled(name, n, "float64", backend)(*given)
                    if (name not in CONSTANT)
                    else (compiled(name, n, "float64", backend)(*given)[0],)
                )
                where = f"{backend}, {count} of {n}"
                assert got.shape == value.shape and got.dtype == value.dtype, where
                np.testing.assert_allclose(got, value, rtol=1e-12, atol=1e-13, err_msg=where)
                for g, slope in zip(gradients, slopes, strict=False):
                    np.testing.assert_allclose(g, slope, rtol=1e-7, atol=1e-8, err_msg=where)
            if name in CONSTANT:
                assert not any(s.any() for s in slopes)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CASES)
def test_every_size_through_one_function(name: str, dtype: str) -> None:
    """The matrix' own size is a named dimension; the gradient is the reference's, computed in float64."""
    case = CASES[name]
    native, wide = compiled(name, "n", dtype, "llvm"), compiled(name, "n", "float64", "reference")
    eps = float(np.finfo(dtype).eps)
    for n in (0, 1, 2, 5, 17, 64):
        given = case.given(2, n, dtype)
        for got, wanted in zip(native(*given), wide(*(x.astype("float64") for x in given)), strict=True):
            assert got.dtype == np.dtype(dtype) and got.shape == wanted.shape
            scale = max(1.0, float(np.abs(wanted).max(initial=0)))
            np.testing.assert_allclose(
                got, wanted, rtol=200 * eps, atol=200 * eps * scale, err_msg=f"n = {n}"
            )


@pytest.mark.parametrize("name", [k for k in CASES if k not in CONSTANT])
def test_gradient_of_the_gradient(name: str) -> None:
    case = CASES[name]
    xs = case.tensors(3)
    first = gc.vjp(gc.sum(gc.sin(case.make(*xs))), xs, gc.const(1.0))
    mixed = [gc.sum(g * upstream(g)) for g in first]
    second = gc.vjp(mixed, xs, [gc.const(1.0)] * len(mixed))
    slope = gc.compile(xs, first, backend="reference")
    given = case.given(1, 3)
    ups = [upstream_array(g.shape, "float64") for g in slope(*given)]

    def weighted(*at: Array) -> float:
        return float(sum((u * g).sum() for u, g in zip(ups, slope(*at), strict=True)))

    expected = [differences(weighted, given, k, np.ones(())) for k in range(len(given))]
    for backend in ("reference", "llvm"):
        found = gc.compile(xs, second, backend=backend)(*given)
        for g, e in zip(found, expected, strict=True):
            np.testing.assert_allclose(g, e, rtol=2e-6, atol=2e-7, err_msg=backend)


@pytest.mark.parametrize("name", [k for k in CASES if k not in CONSTANT])
def test_forward_mode_is_the_transpose_of_reverse_mode(name: str) -> None:
    """⟨u, J t⟩ = ⟨Jᵀ u, t⟩."""
    case = CASES[name]
    xs = case.tensors(5)
    y = case.make(*xs)
    ts = [gc.sin(2.0 * upstream(x) + x) for x in xs]
    (ahead,) = gc.jvp(y, xs, ts)
    back = gc.vjp(y, xs, upstream(y))
    left = gc.sum(upstream(y) * ahead)
    right = sum((gc.sum(g * t) for g, t in zip(back, ts, strict=True)), gc.const(0.0))
    a, b = gc.compile(xs, [left, right])(*case.given(2, 5))
    assert a == pytest.approx(b, rel=1e-11)


@pytest.mark.parametrize("name", ["cholesky", "inv", "slogdet", "solve"])
def test_third_derivatives_exist(name: str) -> None:
    """Derivatives are made of the same operations, so there is no end to them."""
    case = CASES[name]
    given = [g[0] for g in case.given(1, 2)]
    x = gc.input("x")
    xs = [gc.const(g) + x * gc.const(np.cos(np.arange(g.size).reshape(g.shape))) for g in given]
    f = [gc.sum(case.make(*xs))]
    for _ in range(3):
        f.append(gc.grad(f[-1], x))
    fn = gc.compile([x], f[2:])
    slope = (fn(1e-4)[0] - fn(-1e-4)[0]) / 2e-4
    assert fn(0.0)[1] == pytest.approx(slope, rel=1e-5)


# ---- conventions -----------------------------------------------------------------------------------------


def test_the_gradient_of_a_cholesky_factor_is_symmetric_or_lower(backend: str) -> None:
    a = gc.input("a", ("n", "n"))
    both = gc.grad(gc.sum(gc.sin(gc.cholesky(a))), a)
    low = gc.grad(gc.sum(gc.sin(gc.cholesky(a, symmetrize_input=False))), a)
    m = np.array([[4.0, 1, 0.5], [1, 3, -1], [0.5, -1, 5]])
    whole, lower = gc.compile([a], [both, low], backend=backend)(m)
    np.testing.assert_allclose(whole, whole.T, rtol=1e-14)
    np.testing.assert_allclose(lower, np.tril(2 * whole) - np.diag(np.diag(whole)), rtol=1e-13, atol=1e-15)


def test_only_the_triangle_is_read(backend: str) -> None:
    """What lies in the other triangle, and on a unit diagonal, may be anything."""
    a, b = gc.input("a", (3, 3)), gc.input("b", (3,))
    outputs = [
        gc.cholesky(a, symmetrize_input=False),
        gc.solve_triangular(a, b, lower=True),
        gc.solve_triangular(a, b, "T", lower=True),
    ]
    x = np.array([[4.0, 0, 0], [1, 3, 0], [0.5, -1, 5]])
    spoilt = np.where(np.triu(np.ones((3, 3)), 1) == 1, np.nan, x)
    fn = gc.compile([a, b], outputs, backend=backend)
    for got, wanted in zip(fn(spoilt, np.ones(3)), fn(x, np.ones(3)), strict=True):
        np.testing.assert_array_equal(got, wanted)
    unit = gc.compile([a, b], gc.solve_triangular(a, b, lower=True, unit_diagonal=True), backend=backend)
    np.testing.assert_array_equal(
        unit(np.where(np.eye(3) == 1, np.nan, spoilt), np.ones(3)), unit(x, np.ones(3))
    )


def test_what_does_not_exist_is_nan(backend: str) -> None:
    """The one bad matrix of a stack is NaN, the others are not touched."""
    a, b = gc.input("a", ("N", 2, 2)), gc.input("b", ("N", 2, 1))
    sign, log = gc.slogdet(a)
    outputs = [gc.cholesky(a), gc.solve(a, b), gc.inv(a), gc.solve_triangular(a, b), gc.det(a), sign, log]
    outputs.append(gc.grad(gc.sum(gc.det(a)), a))
    fn = gc.compile([a, b], outputs, backend=backend)
    good = np.array([[2.0, 1], [1, 2]])
    for bad in ([[1.0, 2], [2, 4]], [[0.0, 0], [0, 0]], [[-1.0, 0], [0, 0]]):
        factor, x, inverse, t, det, signs, logs, slope = fn(np.array([bad, good]), np.ones((2, 2, 1)))
        np.testing.assert_array_equal(factor[0], [[np.nan, 0], [np.nan, np.nan]])
        for result in (x, inverse, slope):
            assert np.isnan(result[0]).all() and np.isfinite(result[1]).all()
        assert np.isnan(t[0]).all() == (bad[1][1] == 0 or bad[0][0] == 0)
        assert (det[0], signs[0], logs[0]) == (0, 0, -np.inf)
        np.testing.assert_allclose(det[1], 3, rtol=1e-15)
    # Not positive definite, and well conditioned.
    factor, x, *_ = fn(np.array([[[1.0, 2], [2, 1]], good]), np.ones((2, 2, 1)))
    np.testing.assert_array_equal(factor[0], [[np.nan, 0], [np.nan, np.nan]])
    np.testing.assert_allclose(x[0, :, 0], [1 / 3, 1 / 3], rtol=1e-15)


def test_nan_in_a_matrix_stays_in_sight(backend: str) -> None:
    a = gc.input("a", (3, 3))
    fn = gc.compile([a], [gc.inv(a), gc.det(a), gc.cholesky(a)], backend=backend)
    for at in np.ndindex(3, 3):
        m = np.diag([3.0, 4, 5])
        m[at] = np.nan
        inverse, det, factor = fn(m)
        assert np.isnan(inverse).any() and np.isnan(det) and np.isnan(factor[2, 2]), at


def test_a_zero_pivot_is_exchanged_and_turns_the_sign(backend: str) -> None:
    a = gc.input("a", (3, 3))
    rows, low, up = gc.lu(a)
    fn = gc.compile([a], [gc.det(a), gc.slogdet(a)[0], rows, low @ up], backend=backend)
    for order in ([0, 1, 2], [1, 0, 2], [1, 2, 0], [2, 1, 0], [2, 0, 1], [0, 2, 1]):
        m = np.diag([2.0, 3.0, 4.0])[order]
        det, sign, p, product = fn(m)
        assert (det, sign) == pytest.approx((np.linalg.det(m), np.sign(np.linalg.det(m))), rel=1e-15)
        np.testing.assert_array_equal(m[p], product)


def test_determinants_beyond_the_floats(backend: str) -> None:
    a = gc.input("a", ("n", "n"), "float32")
    sign, log = gc.slogdet(a)
    fn = gc.compile([a], [gc.det(a), sign, log, gc.grad(log, a)], backend=backend)
    m = -1e6 * np.eye(9, dtype="float32")
    det, s, value, slope = fn(m)
    assert (det, s) == (-np.inf, -1)
    np.testing.assert_allclose(value, 9 * np.log(1e6), rtol=1e-6)
    np.testing.assert_allclose(slope, -1e-6 * np.eye(9), rtol=1e-6)


def test_nothing_at_all(backend: str) -> None:
    a, b = gc.input("a", ("N", 0, 0)), gc.input("b", ("N", 0, 2))
    sign, log = gc.slogdet(a)
    outputs = [gc.det(a), sign, log, gc.inv(a), gc.cholesky(a), gc.solve(a, b), gc.grad(gc.sum(gc.det(a)), a)]
    det, s, value, *rest = gc.compile([a, b], outputs, backend=backend)(
        np.ones((2, 0, 0)), np.ones((2, 0, 2))
    )
    np.testing.assert_array_equal([det, s, value], [[1, 1], [1, 1], [0, 0]])
    assert [r.shape for r in rest] == [(2, 0, 0), (2, 0, 0), (2, 0, 2), (2, 0, 0)]


def test_right_hand_sides_as_in_numpy(backend: str) -> None:
    """A vector, a matrix, and stacks that broadcast; integers become float64."""
    draw = np.random.default_rng(0)
    m = draw.integers(-5, 6, (2, 1, 3, 3)) + 9 * np.eye(3, dtype=int)
    for shape in ((3,), (3, 2), (4, 3, 2), (2, 4, 3, 1)):
        a, b = gc.input("a", m.shape, "int64"), gc.input("b", shape)
        x = gc.solve(a, b)
        rhs = draw.normal(size=shape)
        np.testing.assert_allclose(
            gc.compile([a, b], x, backend=backend)(m, rhs), np.linalg.solve(m, rhs), rtol=1e-12
        )
        g = gc.compile([a, b], gc.grad(gc.sum(x), b), backend=backend)(m, rhs)
        assert g.shape == shape


def test_the_namespace_has_numpys_names() -> None:
    for name in ("cholesky", "det", "inv", "slogdet", "solve"):
        assert getattr(gc.linalg, name) is getattr(gc, name) and hasattr(np.linalg, name)


def test_a_system_is_factorised_once_forwards_and_backwards() -> None:
    a, b = gc.input("a", ("n", "n")), gc.input("b", ("n",))
    loss = gc.sum(gc.square(gc.solve(a, b))) + gc.slogdet(a)[1]
    fn = gc.compile([a, b], [loss, *gc.grad(loss, [a, b])], backend="reference")
    assert [n.op.label for n in fn.optimized.nodes].count("lu") == 1


# ---- peers -----------------------------------------------------------------------------------------------

PEERS = (
    ["torch"]
    if importlib.util.find_spec("torch")
    else [pytest.param("torch", marks=pytest.mark.skip("torch is not installed"))]
)


@pytest.mark.parametrize("peer", PEERS)
def test_values_and_gradients_of_pytorch(peer: str) -> None:
    torch: Any = importlib.import_module(peer)
    calls: dict[str, Callable[..., Any]] = {
        "solve": torch.linalg.solve,
        "inv": torch.linalg.inv,
        "det": torch.linalg.det,
        "slogdet": lambda a: torch.linalg.slogdet(a)[1],
        "cholesky": lambda a: torch.linalg.cholesky((a + a.mT) / 2),
        "upper": lambda a, b: torch.linalg.solve_triangular(a, b, upper=True),
        "lower unit": lambda a, b: torch.linalg.solve_triangular(a, b, upper=False, unitriangular=True),
        "lu L": lambda a: torch.linalg.lu(a)[1],
        "lu U": lambda a: torch.linalg.lu(a)[2],
    }
    for name, call in calls.items():
        case = CASES[name]
        given = case.given(2, 5)
        tensors = [torch.tensor(g, requires_grad=True) for g in given]
        y = call(*tensors)
        y.backward(torch.tensor(upstream_array(tuple(y.shape), "float64")))
        expected = [y.detach().numpy(), *(t.grad.numpy() for t in tensors)]
        for got, wanted in zip(compiled(name, 5, "float64", "llvm")(*given), expected, strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-10, atol=1e-12, err_msg=name)
