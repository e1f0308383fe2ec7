"""Losses and optimisers: against NumPy, and by hand."""

from __future__ import annotations

import numpy as np
import pytest

import graphc as gc
from graphc import nn

RNG = np.random.default_rng(1)


def value_and_gradient(loss, t, y, t_value, y_value):
    fn = gc.compile([t, y], [loss, gc.grad(loss, y)], backend="reference")
    return fn(t_value, y_value)


# ---- losses ------------------------------------------------------------------------------------------------


def test_softmax_cross_entropy_and_its_gradient():
    y, t = gc.input("y", ("N", 4)), gc.input("t", ("N",), "int64")
    logits, labels = RNG.normal(size=(5, 4)), np.array([0, 3, 1, 1, 2])
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    loss, gradient = value_and_gradient(nn.softmax_cross_entropy(t, y), t, y, labels, logits)
    np.testing.assert_allclose(loss, -np.log(p[np.arange(5), labels]).mean(), rtol=1e-14)
    np.testing.assert_allclose(gradient, (p - np.eye(4)[labels]) / 5, rtol=1e-13, atol=1e-16)


def test_softmax_cross_entropy_survives_large_logits():
    y, t = gc.input("y", ("N", 3)), gc.input("t", ("N",), "int64")
    loss, gradient = value_and_gradient(
        nn.softmax_cross_entropy(t, y), t, y, np.array([1]), np.array([[1000.0, 0.0, -1000.0]])
    )
    assert loss == 1000.0 and gradient.tolist() == [[1.0, -1.0, 0.0]]


def test_binary_cross_entropy_from_logits_is_exact_where_it_is_small():
    y, t = gc.input("y", ("N",)), gc.input("t", ("N",))
    logits, targets = np.array([-800.0, -30.0, 0.0, 30.0, 800.0]), np.array([1.0, 0.0, 0.5, 1.0, 0.0])
    loss, gradient = value_and_gradient(nn.binary_cross_entropy_from_logits(t, y), t, y, targets, logits)
    # log(1 + e^-30) = 9.357622968839737e-14 to 16 digits
    each = [800.0, 9.357622968839737e-14, np.log(2), 9.357622968839737e-14, 800.0]
    np.testing.assert_allclose(loss, np.mean(each), rtol=1e-15)
    np.testing.assert_allclose(
        gradient * 5, [-1, 9.357622968839299e-14, 0, -9.357622968839299e-14, 1], rtol=1e-13
    )


def test_binary_cross_entropy_of_a_sigmoid_is_that_of_its_logits():
    y, t = gc.input("y", ("N",)), gc.input("t", ("N",))
    assert nn.binary_cross_entropy(t, gc.sigmoid(y)).node is nn.binary_cross_entropy_from_logits(t, y).node


def test_binary_cross_entropy_of_probabilities():
    y, t = gc.input("y", ("N",)), gc.input("t", ("N",))
    p, targets = np.array([0.2, 0.9, 0.5]), np.array([0.0, 1.0, 0.25])
    loss, _ = value_and_gradient(nn.binary_cross_entropy(t, y), t, y, targets, p)
    np.testing.assert_allclose(
        loss, -(targets * np.log(p) + (1 - targets) * np.log(1 - p)).mean(), rtol=1e-14
    )
    loss, _ = value_and_gradient(
        nn.binary_cross_entropy(t, y), t, y, np.array([0.0, 1.0]), np.array([0.0, 1.0])
    )
    assert 0 < loss < 2e-7


def test_mse_refuses_what_numpy_would_broadcast():
    y, t = gc.input("y", ("N", 1)), gc.input("t", ("N",))
    with pytest.raises(gc.ShapeError, match=r"mse compares f64\[N\] with f64\[N,1\]"):
        nn.mse(t, y)
    same = gc.input("s", ("N", 1))
    loss, gradient = value_and_gradient(
        nn.mse(same, y), same, y, np.array([[1.0], [2.0]]), np.array([[2.0], [5.0]])
    )
    assert loss == 5.0 and gradient.tolist() == [[1.0], [3.0]]


# ---- optimisers --------------------------------------------------------------------------------------------


def by_hand(kind: str, w: np.ndarray, rate: float, steps: int) -> np.ndarray:
    """The textbook's updates for the loss Σ w⁴/4, whose gradient is w³."""
    v, m = np.zeros_like(w), np.zeros_like(w)
    for t in range(1, steps + 1):
        g = w**3
        if kind == "sgd":
            w = w - rate * g
        elif kind == "momentum":
            v = 0.9 * v - rate * g
            w = w + v
        elif kind == "nesterov":
            v = 0.9 * v - rate * g
            w = w + 0.9 * v - rate * g
        else:
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
            w = w - rate * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m / (np.sqrt(v) + 1e-7)
    return w


@pytest.mark.parametrize(
    ("kind", "optimizer"),
    [
        ("sgd", nn.SGD(0.1)),
        ("momentum", nn.SGD(0.1, momentum=0.9)),
        ("nesterov", nn.SGD(0.1, momentum=0.9, nesterov=True)),
        ("adam", nn.Adam(0.1)),
    ],
)
def test_optimisers_follow_their_formulas_and_keep_their_state(kind, optimizer):
    start = np.array([1.0, -0.5, 0.25])
    w = gc.param("w", init=start)
    loss = gc.sum(w * w * w * w) / 4.0
    step = gc.compile([], [loss], updates=optimizer.updates(loss, [w]), backend="reference")
    losses = [float(step()[0]) for _ in range(5)]
    assert losses[0] == (start**4).sum() / 4
    np.testing.assert_allclose(w.value, by_hand(kind, start, 0.1, 5), rtol=1e-12)


def test_the_learning_rate_changes_without_compiling():
    w = gc.param("w", init=np.array(1.0))
    optimizer = nn.SGD(0.5)
    step = gc.compile([], [w], updates=optimizer.updates(w * w, [w]), backend="reference")
    step()
    assert w.value == 0.0
    w.value, optimizer.learning_rate = 1.0, 0.25
    step()
    assert w.value == 0.5 and optimizer.learning_rate == 0.25


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.SGD(-1.0), "learning_rate must be at least 0"),
        (lambda: nn.SGD(0.1, momentum=1.0), "momentum must be at least 0 and less than 1"),
        (lambda: nn.Adam(0.1, beta_2=float("nan")), "beta_2 must be"),
        (lambda: nn.SGD(0.1).updates(gc.input("x"), []), "there is no parameter to train"),
        (lambda: nn.SGD(0.1).updates(gc.input("x"), [gc.param("w", init=1.0)]), "does not depend on `w`"),
    ],
)
def test_optimisers_refuse(make, message):
    with pytest.raises(gc.GraphcError, match=message):
        make()
