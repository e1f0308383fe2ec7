"""Forward mode: jvp, Jacobians and Hessians, against reverse mode, differences and worked values."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import graphc as gc
from graphc.autodiff.forward import jvp
from graphc.autodiff.jacobian import hessian, jacobian
from graphc.autodiff.point import point_at
from graphc.errors import GradientError
from graphc.ir.types import Array
from graphc.lang.tensor import Tensor

RNG = np.random.default_rng(7)


def values(outputs: list[Tensor], at: dict[Tensor, object]) -> list[Array]:
    nodes = [t.node for t in outputs]
    found = point_at(nodes, {k: v for k, v in at.items() if k.node in _leaves(nodes)}).evaluate(nodes)
    return [found[n] for n in nodes]


def _leaves(nodes: list[object]) -> list[object]:
    from graphc.ir.node import toposort

    return toposort(nodes)  # type: ignore[arg-type, return-value]


def sigmoid_network(x: Tensor) -> Tensor:
    """W06: three layers of two sigmoid units."""
    layers = [
        ([[1.0, -2.0], [-1.0, 1.0]], [1.0, 0.0]),
        ([[2.0, -1.0], [-2.0, -1.0]], [0.0, 0.0]),
        ([[3.0, -1.0], [-1.0, 4.0]], [-2.0, 2.0]),
    ]
    for W, b in layers:
        x = gc.sigmoid(gc.const(W) @ x + gc.const(b))
    return x


@pytest.mark.parametrize(
    ("point", "expected"),
    [
        ([1.0, -1.0], [[0.010095483385627, -0.013866357108217], [0.001544989650424, 0.00101623868990722]]),
        ([0.0, 0.0], [[0.100309306111993, -0.169883892634789], [-0.0237084620320587, 0.0546382500706299]]),
    ],
)
def test_w07_jacobian_of_the_sigmoid_network(point: list[float], expected: list[list[float]]) -> None:
    x = gc.input("x", (2,))
    (J,) = values([jacobian(sigmoid_network(x), x)], {x: point})
    np.testing.assert_allclose(J, expected, rtol=0, atol=1e-11)


# Functions of x [2,3] and w [3,4] that go through every kind of operation.
FUNCTIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "elementwise": lambda x, w: gc.tanh(x) * gc.exp(x) / (x * x + 2.0) - gc.softplus(x),
    "choice": lambda x, w: gc.where(x > 0.1, gc.relu(x), x * x) + gc.maximum(x, 0.3) + gc.abs(x),
    "contract": lambda x, w: (x @ w) @ w.T + x,
    "outer": lambda x, w: gc.outer(x, w[0]),
    "softmax": lambda x, w: gc.log_softmax(x @ w),
    "logsumexp": lambda x, w: gc.logsumexp(x, axis=1) * gc.mean(w),
    "max": lambda x, w: gc.max(x, axis=1) + gc.min(x @ w, axis=1),
    "sum": lambda x, w: gc.sum(x * x, axis=0) * gc.sum(w),
    "views": lambda x, w: gc.concatenate([x.T[::-1], gc.pad(x, ((0, 1), (0, 0)), 2.0)[:, :2]], axis=0) * 2.0,
    "take": lambda x, w: gc.take(x, gc.const([2, 0, 0]), axis=1) * gc.pick(x, gc.const([1, 2]))[0],
    "conv": lambda x, w: gc.conv2d(
        gc.reshape(gc.concatenate([x, x * x, x, x], 0), (1, 2, 3, 4)), gc.reshape(w, (1, 2, 2, 3)), padding=1
    ),
    "max pool": lambda x, w: gc.max_pool2d(gc.reshape(x @ w, (1, 1, 2, 4)), 2, 1, padding=1),
    "avg pool": lambda x, w: gc.avg_pool2d(gc.reshape(x @ w, (1, 1, 2, 4)), 2, 1, padding=1),
    "cast": lambda x, w: gc.sin(x.astype("float32")).astype("float64") * x,
}
X0, W0 = RNG.normal(size=(2, 3)), RNG.normal(size=(3, 4))


def build(name: str) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
    x, w = gc.input("x", (2, 3)), gc.input("w", (3, 4))
    y = FUNCTIONS[name](x, w)
    nodes = _leaves([y.node])
    return x, w, y, [t for t in (x, w) if t.node in nodes]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_forward_and_reverse_mode_are_adjoint(name: str) -> None:
    """⟨u, J t⟩ = ⟨Jᵀ u, t⟩ for any u and t."""
    x, w, y, used = build(name)
    u = gc.const(RNG.normal(size=y.shape))
    directions = [gc.const(RNG.normal(size=t.shape)) for t in used]
    (pushed,) = jvp(y, used, directions)
    pulled = gc.vjp(y, used, u)
    assert pushed.node.type == y.node.type
    left = gc.sum(u * pushed)
    right = sum((gc.sum(p * d) for p, d in zip(pulled, directions, strict=True)), gc.const(0.0))
    a, b = values([left, right], {x: X0, w: W0})
    np.testing.assert_allclose(a, b, rtol=1e-6 if name == "cast" else 1e-11, atol=1e-12)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_jvp_is_the_derivative_along_a_line(name: str) -> None:
    x, w, y, used = build(name)
    steps = {x: RNG.normal(size=(2, 3)), w: RNG.normal(size=(3, 4))}
    (pushed,) = jvp(y, used, [gc.const(steps[t]) for t in used])
    (exact,) = values([pushed], {x: X0, w: W0})
    h = 1e-3 if name == "cast" else 1e-5
    ahead, behind = (values([y], {x: X0 + s * steps[x], w: W0 + s * steps[w]})[0] for s in (h, -h))
    np.testing.assert_allclose(
        exact,
        (ahead - behind) / (2 * h),
        rtol=2e-3 if name == "cast" else 1e-6,
        atol=1e-3 if name == "cast" else 1e-7,
    )


@pytest.mark.parametrize("name", ["elementwise", "sum", "softmax", "conv", "max pool"])
def test_jacobian_by_rows_and_by_columns(name: str) -> None:
    x, w, y, used = build(name)
    for t in used:
        J = jacobian(y, t)
        assert J.shape == (*y.shape, *t.shape)
        (found,) = values([J], {x: X0, w: W0})
        start = {x: X0, w: W0}
        h = 1e-6
        for j in np.ndindex(*t.shape):  # type: ignore[arg-type]
            step = np.zeros(t.shape)  # type: ignore[arg-type]
            step[j] = h
            ahead, behind = (values([y], {**start, t: start[t] + s * step})[0] for s in (1, -1))
            np.testing.assert_allclose(found[(..., *j)], (ahead - behind) / (2 * h), rtol=1e-5, atol=1e-7)


def test_hessian() -> None:
    x = gc.input("x", (3,))
    f = gc.exp(x[0]) * x[1] + gc.sum(x * x * x)
    (H,) = values([hessian(f, x)], {x: [0.5, 2.0, -1.0]})
    e = np.exp(0.5)
    np.testing.assert_allclose(H, [[2 * e + 3, e, 0], [e, 12, 0], [0, 0, -6]], rtol=1e-14)


def test_hessian_of_a_matrix_argument_has_two_shapes() -> None:
    x = gc.input("x", (2, 2))
    f = x[0, 0] * x[1, 1] - x[0, 1] * x[1, 0]
    (H,) = values([hessian(f, x)], {x: np.zeros((2, 2))})
    assert H.shape == (2, 2, 2, 2)
    assert H[0, 0, 1, 1] == H[1, 1, 0, 0] == 1 and H[0, 1, 1, 0] == H[1, 0, 0, 1] == -1
    assert np.count_nonzero(H) == 4


def test_hessian_of_a_linear_function_is_zero() -> None:
    x = gc.input("x", (3,))
    assert values([hessian(gc.sum(2.0 * x), x)], {x: np.ones(3)})[0].tolist() == np.zeros((3, 3)).tolist()


def test_named_dimensions_need_no_size() -> None:
    x = gc.input("x", ("N",))
    t = gc.input("t", ("N",))
    (pushed,) = jvp(gc.sin(x), [x], [t])
    (found,) = values([pushed], {x: np.zeros(4), t: np.arange(4.0)})
    assert found.tolist() == [0.0, 1.0, 2.0, 3.0]
    (J,) = values([jacobian(gc.sin(x), x)], {x: np.zeros(4)})
    assert J.tolist() == np.eye(4).tolist()


def test_tangents_of_an_intermediate_tensor() -> None:
    x = gc.input("x")
    q = x * x
    (pushed,) = jvp(gc.sin(q) * x, [q, x], [gc.const(1.0), gc.const(0.0)])
    assert values([pushed], {x: 0.5})[0] == pytest.approx(np.cos(0.25) * 0.5)


def test_zero_slope_is_zero_and_independence_is_an_error() -> None:
    x, y = gc.inputs("x y")
    assert values(jvp(gc.floor(x) + 0.0 * y, [x], [gc.const(1.0)]), {x: 0.5, y: 1.0})[0] == 0.0
    with pytest.raises(GradientError, match="does not depend on"):
        jvp(y * 2.0, [x], [gc.const(1.0)])
    with pytest.raises(GradientError, match="the tangent of a f64"):
        jvp(x * 2.0, [x], [gc.const([1.0])])
    with pytest.raises(GradientError, match="does not depend on `x`"):
        jacobian(gc.stack([y, y]), x)


def test_second_order_by_forward_over_reverse() -> None:
    """The Hessian times a vector, without the Hessian."""
    x = gc.input("x", (3,))
    f = gc.sum(gc.exp(x) * x[::-1])
    v = [1.0, -2.0, 0.5]
    gradient = gc.grad(f, x)
    assert isinstance(gradient, Tensor)
    (product,) = jvp(gradient, [x], [gc.const(v)])
    a, H = values([product, hessian(f, x)], {x: [0.1, 0.2, 0.3]})
    np.testing.assert_allclose(a, H @ v, rtol=1e-12)


def test_a_tall_jacobian_takes_one_sweep_for_each_column() -> None:
    from graphc.ir.node import toposort

    x = gc.input("x", (2,))
    y = gc.outer(gc.const(np.arange(1.0, 41.0)), gc.sin(x))
    J = jacobian(y, x)
    assert J.shape == (40, 2, 2) and len(toposort([J.node])) < 30
