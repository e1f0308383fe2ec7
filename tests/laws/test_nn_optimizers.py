"""Optimisers step by step against their formulas, with clipping, decay, penalties and schedules."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as gc
from graphc import nn

Array = np.ndarray[Any, Any]
START = np.array([1.0, -0.5, 0.25])
RATE = 0.1


def trained(
    optimizer: nn.Optimizer, steps: int = 6, backend: str = "reference", dtype: str = "float64"
) -> Array:
    """w after some steps down Σ w⁴/4, whose gradient is w³."""
    w = gc.param("w", init=START, dtype=dtype)
    loss = gc.sum(w * w * w * w) / 4.0
    step = gc.compile([], [loss], updates=optimizer.updates(loss, [w]), backend=backend)
    for _ in range(steps):
        step()
    return w.value


def by_hand(rule: Callable[[Array, int, dict[str, Any]], Array], decay: float = 0.0, steps: int = 6) -> Array:
    """The same: `rule` gives the change for a gradient, the number of the step, and what is remembered."""
    w, memory = START, dict[str, Any]()
    for t in range(1, steps + 1):
        w = w - rule(w**3, t, memory) - RATE * decay * w
    return w


def adagrad(g: Array, t: int, m: dict[str, Any]) -> Array:
    m["a"] = m.get("a", 0.1) + g * g
    return RATE * g / np.sqrt(m["a"] + 1e-7)


def adadelta(g: Array, t: int, m: dict[str, Any]) -> Array:
    m["a"] = 0.95 * m.get("a", 0.0) + 0.05 * g * g
    delta = np.sqrt(m.get("b", 0.0) + 1e-7) * g / np.sqrt(m["a"] + 1e-7)
    m["b"] = 0.95 * m.get("b", 0.0) + 0.05 * delta**2
    return RATE * delta


def rmsprop(g: Array, t: int, m: dict[str, Any], momentum: float = 0.0, centered: bool = False) -> Array:
    m["a"] = 0.9 * m.get("a", 0.0) + 0.1 * g * g
    m["m"] = 0.9 * m.get("m", 0.0) + 0.1 * g
    size = m["a"] - m["m"] ** 2 if centered else m["a"]
    m["v"] = momentum * m.get("v", 0.0) + RATE * g / np.sqrt(size + 1e-7)
    return np.asarray(m["v"])


def adam(g: Array, t: int, m: dict[str, Any]) -> Array:
    m["m"] = 0.9 * m.get("m", 0.0) + 0.1 * g
    m["v"] = 0.999 * m.get("v", 0.0) + 0.001 * g * g
    return RATE * math.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m["m"] / (np.sqrt(m["v"]) + 1e-7)


def shortened(g: Array, limit: float) -> Array:
    return g * min(1.0, limit / np.linalg.norm(g))


RULES: dict[str, tuple[Callable[[], nn.Optimizer], Array]] = {
    "adagrad": (lambda: nn.Adagrad(RATE), by_hand(adagrad)),
    "adadelta": (lambda: nn.Adadelta(RATE), by_hand(adadelta)),
    "rmsprop": (lambda: nn.RMSprop(RATE), by_hand(rmsprop)),
    "rmsprop with all": (
        lambda: nn.RMSprop(RATE, momentum=0.5, centered=True),
        by_hand(lambda g, t, m: rmsprop(g, t, m, 0.5, True)),
    ),
    "adam": (lambda: nn.Adam(RATE), by_hand(adam)),
    "adamw": (lambda: nn.AdamW(RATE, weight_decay=0.3), by_hand(adam, decay=0.3)),
    "decay": (lambda: nn.SGD(RATE, weight_decay=0.3), by_hand(lambda g, t, m: RATE * g, decay=0.3)),
    "clipvalue": (lambda: nn.SGD(RATE, clipvalue=0.1), by_hand(lambda g, t, m: RATE * np.clip(g, -0.1, 0.1))),
    "clipnorm": (lambda: nn.SGD(RATE, clipnorm=0.5), by_hand(lambda g, t, m: RATE * shortened(g, 0.5))),
    "a schedule": (
        lambda: nn.SGD(nn.ExponentialDecay(RATE, 2, 0.5)),
        by_hand(lambda g, t, m: RATE * 0.5 ** ((t - 1) / 2) * g),
    ),
    "adam on a schedule": (
        lambda: nn.Adam(nn.PiecewiseConstantDecay([1], [RATE, RATE / 2])),
        by_hand(lambda g, t, m: adam(g, t, m) * (1 if t <= 2 else 0.5)),
    ),
    "a function of the step": (
        lambda: nn.SGD(lambda t: RATE / (1.0 + t)),
        by_hand(lambda g, t, m: RATE / t * g),
    ),
}


@pytest.mark.parametrize("name", RULES)
def test_every_rule_step_by_step(name: str, backend: str) -> None:
    make, expected = RULES[name]
    np.testing.assert_allclose(trained(make(), backend=backend), expected, rtol=1e-12)


def test_float32_differs_by_rounding_alone() -> None:
    for make, expected in RULES.values():
        np.testing.assert_allclose(trained(make(), dtype="float32"), expected, rtol=2e-5, atol=1e-6)


def test_the_global_norm_is_that_of_all_gradients() -> None:
    v, w = gc.param("v", init=np.array([3.0])), gc.param("w", init=np.array([4.0, 0.0]))
    loss = (gc.sum(v * v) + gc.sum(w * w)) / 2.0
    for limit, length in ((1.0, 1.0), (10.0, 5.0)):
        v.value, w.value = [3.0], [4.0, 0.0]
        gc.compile(
            [], [loss], updates=nn.SGD(1.0, global_clipnorm=limit).updates(loss, [v, w]), backend="reference"
        )()
        np.testing.assert_allclose(
            [3.0 - v.value[0], 4.0 - w.value[0]], [0.6 * length, 0.8 * length], rtol=1e-14
        )


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e30])
def test_clipping_neither_overflows_nor_divides_by_nothing(scale: float, backend: str) -> None:
    w = gc.param("w", init=np.zeros(2), dtype="float32")
    loss = gc.sum(w * gc.const(np.array([3.0 * scale, -4.0 * scale], "float32")))
    gc.compile([], [loss], updates=nn.SGD(1.0, clipnorm=1.0).updates(loss, [w]), backend=backend)()
    factor = 0.2 if scale > 1 else scale
    np.testing.assert_allclose(w.value, np.array([-3.0, 4.0]) * factor, rtol=1e-6)


# ---- schedules -------------------------------------------------------------------------------------------


def half(part: float) -> float:
    return (1 + math.cos(math.pi * part)) / 2


def restarts(t: float) -> float:
    """Waves of 4, 8, 16, ... steps, each 0.8 times as high as the one before."""
    length, height = 4.0, 0.5
    while t >= length:
        t, length, height = t - length, 2 * length, 0.8 * height
    return height * half(t / length)


SCHEDULES: dict[str, tuple[nn.LearningRateSchedule, Callable[[float], float]]] = {
    "piecewise": (
        nn.PiecewiseConstantDecay([3, 10], [0.5, 0.25, 0.125]),
        lambda t: 0.5 if t <= 3 else 0.25 if t <= 10 else 0.125,
    ),
    "exponential": (nn.ExponentialDecay(0.5, 7, 0.3), lambda t: 0.5 * 0.3 ** (t / 7)),
    "staircase": (nn.ExponentialDecay(0.5, 7, 0.3, staircase=True), lambda t: 0.5 * 0.3 ** (t // 7)),
    "inverse time": (nn.InverseTimeDecay(0.5, 7, 0.3), lambda t: 0.5 / (1 + 0.3 * t / 7)),
    "inverse stairs": (
        nn.InverseTimeDecay(0.5, 7, 0.3, staircase=True),
        lambda t: 0.5 / (1 + 0.3 * (t // 7)),
    ),
    "polynomial": (
        nn.PolynomialDecay(0.5, 20, 0.1, power=2.0),
        lambda t: 0.4 * (1 - min(t, 20) / 20) ** 2 + 0.1,
    ),
    "cosine": (nn.CosineDecay(0.5, 20, alpha=0.1), lambda t: 0.5 * (0.9 * half(min(t, 20) / 20) + 0.1)),
    "warm-up": (
        nn.CosineDecay(0.1, 20, warmup_target=0.5, warmup_steps=5),
        lambda t: 0.1 + 0.08 * t if t < 5 else 0.5 * half(min(t - 5, 20) / 20),
    ),
    "restarts": (nn.CosineDecayRestarts(0.5, 4, t_mul=2.0, m_mul=0.8), restarts),
    "equal restarts": (nn.CosineDecayRestarts(0.5, 5, t_mul=1.0), lambda t: 0.5 * half(t % 5 / 5)),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules(name: str) -> None:
    schedule, formula = SCHEDULES[name]
    t = gc.input("t")
    rate = gc.compile([t], schedule(t), backend="reference")
    for step in range(70):
        assert float(rate(float(step))) == pytest.approx(formula(step), rel=1e-12, abs=1e-15), step


def test_a_schedule_is_part_of_the_step_and_its_rate_is_read_back() -> None:
    x = nn.Input(2)
    model = nn.Model(x, nn.Dense(1)(x))
    optimizer = nn.SGD(nn.PiecewiseConstantDecay([1], [0.1, 0.01]))
    assert optimizer.learning_rate == 0.1
    model.compile(optimizer, "mse", backend="reference")
    model.fit(np.ones((6, 2)), np.ones((6, 1)), batch_size=2, verbose=0)
    assert optimizer.learning_rate == 0.01
    with pytest.raises(gc.ArgumentError, match="the learning rate follows a schedule"):
        optimizer.learning_rate = 0.1
    assert repr(optimizer) == "SGD(PiecewiseConstantDecay(boundaries=[1], values=[0.1, 0.01]))"
    assert (
        repr(nn.AdamW(clipnorm=1.0))
        == "AdamW(0.001, beta_1=0.9, beta_2=0.999, weight_decay=0.004, clipnorm=1)"
    )


# ---- regularisers ----------------------------------------------------------------------------------------


def test_penalties_are_part_of_the_loss_and_of_its_gradient() -> None:
    x = nn.Input(2, dtype="float64")
    first = nn.Dense(3, kernel_regularizer=nn.L1(0.5))
    second = nn.Dense(1, kernel_regularizer=lambda w: gc.sum(w**4))
    h = nn.Conv1D(2, 1, kernel_regularizer="l2")(nn.Reshape((3, 1))(first(x)))
    model = nn.Model(x, second(nn.Flatten()(h)))
    model.compile(nn.SGD(0.1), "mse", backend="reference")
    X, T = np.ones((4, 2)), np.zeros((4, 1))
    a, c, b = (p.value.copy() for p in model.weights if p.name.endswith("kernel"))
    data = np.square(model.predict(X)).mean()
    penalty = 0.5 * np.abs(a).sum() + 0.01 * np.square(c).sum() + (b**4).sum()
    assert model.evaluate(X, T) == pytest.approx(data + penalty, rel=1e-12)
    (slope,) = gc.grad(model.loss_graph(), [first.parameters[0]])
    plain = nn.Model(x, model.outputs)
    assert model.targets is not None
    alone = gc.mean(gc.square(plain.outputs - model.targets))
    (without,) = gc.grad(alone, [first.parameters[0]])
    found = gc.compile([x, model.targets], [slope, without], backend="reference")(X, T)
    np.testing.assert_allclose(found[0] - found[1], 0.5 * np.sign(a), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("make", "l1", "l2"),
    [(lambda: nn.L1(0.5), 0.5, 0), (lambda: nn.L2(0.25), 0, 0.25), (lambda: nn.L1L2(0.5, 0.25), 0.5, 0.25),
     (lambda: nn.L1L2(), 0, 0)],
)  # fmt: skip
def test_regularisers(make: Callable[[], nn.L1L2], l1: float, l2: float) -> None:
    w = gc.param("w", init=np.array([[1.0, -2.0], [0.0, 3.0]]))
    term = make()(w)
    value, slope = gc.compile([], [term, gc.grad(term, w)], backend="reference")()
    assert value == l1 * 6 + l2 * 14
    np.testing.assert_array_equal(slope, l1 * np.sign(w.value) + 2 * l2 * w.value)
