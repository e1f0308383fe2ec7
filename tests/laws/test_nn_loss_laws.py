"""Losses against their formulas at 50 digits, value and gradient; at the edges; and against PyTorch."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import mpmath as mp
import numpy as np
import pytest

import graphc as gc
from graphc import nn
from graphc.nn.losses.registry import LOSSES, loss_of

Array = np.ndarray[Any, Any]
Row = Sequence[Any]
RNG = np.random.default_rng(7)
START = RNG.bit_generator.state
N, C = 6, 4


@pytest.fixture(autouse=True)
def the_same_numbers_in_any_order() -> None:
    RNG.bit_generator.state = START


def dot(a: Row, b: Row) -> Any:
    return mp.fsum(p * q for p, q in zip(a, b, strict=True))


def length(a: Row) -> Any:
    return mp.sqrt(dot(a, a))


def minus(a: Row, b: Row) -> list[Any]:
    return [p - q for p, q in zip(a, b, strict=True)]


def softmax(y: Row) -> list[Any]:
    total = mp.fsum(mp.exp(v) for v in y)
    return [mp.exp(v) / total for v in y]


def hinge(t: Any, y: Any) -> Any:
    return max(mp.mpf(0), 1 - t * y)


def huber(t: Any, y: Any) -> Any:
    d = abs(y - t)
    return d * d / 2 if d <= 1 else d - mp.mpf(1) / 2


@dataclass(frozen=True)
class Formula:
    """The loss of one row of outputs, as in a book; `count` terms of it make a mean."""

    of: Callable[[Any, Row], Any]
    targets: str
    outputs: str
    count: int = 1


def each(f: Callable[[Any, Any], Any], targets: str, outputs: str) -> Formula:
    return Formula(lambda t, y: mp.fsum(f(p, q) for p, q in zip(t, y, strict=True)), targets, outputs, C)


FORMULAS = {
    "softmax_cross_entropy": Formula(lambda t, y: -mp.log(softmax(y)[t]), "labels", "normal"),
    "sparse_categorical_cross_entropy": Formula(lambda t, y: -mp.log(y[t]), "labels", "shares"),
    "categorical_cross_entropy": Formula(lambda t, y: -dot(t, [mp.log(v) for v in y]), "shares", "shares"),
    "categorical_cross_entropy_from_logits": Formula(
        lambda t, y: -dot(t, [mp.log(v) for v in softmax(y)]), "shares", "normal"
    ),
    "multiclass_svm": Formula(
        lambda t, y: mp.fsum(max(mp.mpf(0), v - y[t] + 1) for j, v in enumerate(y) if j != t), "labels", "normal"
    ),
    "binary_cross_entropy": each(lambda t, y: -t * mp.log(y) - (1 - t) * mp.log(1 - y), "shares", "shares"),
    "binary_cross_entropy_from_logits": each(
        lambda t, y: -t * mp.log(1 / (1 + mp.exp(-y))) - (1 - t) * mp.log(1 / (1 + mp.exp(y))), "shares", "normal"
    ),
    "hinge": each(hinge, "signs", "normal"),
    "squared_hinge": each(lambda t, y: hinge(t, y) ** 2, "signs", "normal"),
    "mse": each(lambda t, y: (y - t) ** 2, "normal", "normal"),
    "mae": each(lambda t, y: abs(y - t), "normal", "normal"),
    "huber": each(huber, "normal", "normal"),
    "poisson": each(lambda t, y: y - t * mp.log(y), "counts", "shares"),
    "euclidean": Formula(lambda t, y: length(minus(y, t)), "normal", "normal"),
    "cosine_similarity": Formula(lambda t, y: -dot(t, y) / (length(t) * length(y)), "normal", "normal"),
    "kl_divergence": Formula(
        lambda t, y: mp.fsum(p * mp.log(p / q) for p, q in zip(t, y, strict=True)), "shares", "shares"
    ),
}  # fmt: skip

DRAWS: dict[str, Callable[[], Array]] = {
    "normal": lambda: 2 * RNG.normal(size=(N, C)),
    "shares": lambda: RNG.dirichlet(np.full(C, 0.7), N) * 0.998 + 0.0005,
    "labels": lambda: RNG.integers(0, C, N),
    "signs": lambda: RNG.choice([-1.0, 1.0], (N, C)),
    "counts": lambda: RNG.poisson(2.0, (N, C)).astype(float),
}


def test_every_loss_has_a_formula() -> None:
    assert set(FORMULAS) == set(LOSSES)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("name", FORMULAS)
def test_value_and_gradient_at_50_digits(name: str, reduction: str, backend: str) -> None:
    formula, loss = FORMULAS[name], LOSSES[name]
    t_, y_ = DRAWS[formula.targets](), DRAWS[formula.outputs]()
    y = gc.input("y", ("N", C))
    t = gc.input("t", ("N",) if loss.labels else ("N", C), "int64" if loss.labels else "float64")
    made = loss.function(t, y, reduction=reduction)  # type: ignore[call-arg]
    value, gradient = gc.compile([t, y], [made, gc.grad(made, y)], backend=backend)(t_, y_)
    with mp.workdps(50):
        share = 1 / mp.mpf(N * formula.count) if reduction == "mean" else mp.mpf(1)
        total, slopes = mp.mpf(0), np.zeros((N, C))
        for n in range(N):
            row = [mp.mpf(v) for v in y_[n]]
            target = int(t_[n]) if loss.labels else [mp.mpf(v) for v in t_[n]]
            total += share * formula.of(target, row)
            for j in range(C):

                def along(v: Any, row: Row = row, target: Any = target, j: int = j) -> Any:
                    return formula.of(target, [*row[:j], v, *row[j + 1 :]])

                slopes[n, j] = float(share * mp.diff(along, row[j], h=mp.mpf(10) ** -20))
    np.testing.assert_allclose(value, float(total), rtol=1e-13)
    np.testing.assert_allclose(gradient, slopes, rtol=1e-11, atol=1e-14)


@dataclass(frozen=True)
class Edge:
    """A loss of one example (summed), at a value where the formula of the book fails, or nearly."""

    name: str
    target: Any
    output: Any
    value: float
    gradient: Any


TINY = 1e-7
EDGES = [
    Edge("categorical_cross_entropy", [1.0, 0.0], [1.0, 0.0], 0.0, [-1.0, 0.0]),  # 0·log 0
    Edge("categorical_cross_entropy", [0.0, 1.0], [1.0, 0.0], -np.log(TINY), [0.0, 0.0]),
    Edge("categorical_cross_entropy_from_logits", [1.0, 0.0], [0.0, 1000.0], 1000.0, [-1.0, 1.0]),
    Edge("categorical_cross_entropy_from_logits", [0.0, 1.0], [-np.inf, 0.0], 0.0, [0.0, 0.0]),
    Edge("sparse_categorical_cross_entropy", 0, [0.0, 1.0], -np.log(TINY), [0.0, 0.0]),
    Edge("softmax_cross_entropy", 1, [1000.0, -1000.0], 2000.0, [1.0, -1.0]),
    Edge("binary_cross_entropy", [0.0, 1.0], [0.0, 1.0], -2 * np.log1p(-TINY), None),
    Edge("binary_cross_entropy_from_logits", [1.0, 0.0], [-800.0, -800.0], 800.0, [-1.0, 0.0]),
    Edge("kl_divergence", [0.0, 1.0], [0.0, 1.0], 0.0, [0.0, -1.0]),
    Edge("kl_divergence", [0.5, 0.5], [0.5, 0.5], 0.0, [-1.0, -1.0]),
    Edge("poisson", [0.0], [0.0], 0.0, [1.0]),
    Edge("poisson", [2.0], [0.0], -2 * np.log(TINY), [1.0]),
    Edge("euclidean", [1.0, 2.0], [1.0, 2.0], 0.0, [0.0, 0.0]),
    Edge("cosine_similarity", [0.0, 0.0], [1.0, 1.0], 0.0, [0.0, 0.0]),
    Edge("cosine_similarity", [1.0, 1.0], [0.0, 0.0], 0.0, None),
    Edge("mae", [1.0], [1.0], 0.0, [0.0]),
    Edge("hinge", [1.0], [1.0], 0.0, [0.0]),
    Edge("squared_hinge", [-1.0], [-1.0], 0.0, [0.0]),
    Edge("huber", [0.0], [1.0], 0.5, [1.0]),
    Edge("huber", [0.0], [1e200], 1e200, [1.0]),
    Edge("multiclass_svm", 0, [1.0, 0.0], 0.0, [0.0, 0.0]),
]


@pytest.mark.parametrize("edge", EDGES, ids=lambda e: f"{e.name}-{e.output}")
def test_edges(edge: Edge, backend: str) -> None:
    loss = LOSSES[edge.name]
    y = gc.input("y", ("N", len(edge.output)))
    t = gc.input("t", ("N",) if loss.labels else y.shape, "int64" if loss.labels else "float64")
    made = loss.function(t, y, reduction="sum")  # type: ignore[call-arg]
    fn = gc.compile([t, y], [made, gc.grad(made, y)], backend=backend)
    value, gradient = fn([edge.target], [edge.output])
    np.testing.assert_allclose(value, edge.value, rtol=1e-9, atol=1e-15)
    assert np.isfinite(gradient).all()
    if edge.gradient is not None:
        np.testing.assert_allclose(gradient[0], edge.gradient, rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize("name", ["categorical_cross_entropy", "sparse_categorical_cross_entropy"])
def test_a_softmax_is_taken_as_its_logits(name: str) -> None:
    y = gc.input("y", ("N", 3))
    labels = LOSSES[name].labels
    t = gc.input("t", ("N",) if labels else ("N", 3), "int64" if labels else "float64")
    loss = LOSSES[name].function
    assert loss(t, gc.softmax(y)).node is loss(t, y, from_logits=True).node  # type: ignore[call-arg]
    assert loss(t, gc.softmax(y, axis=0)).node is not loss(t, y, from_logits=True).node  # type: ignore[call-arg]


def test_label_smoothing_mixes_the_target_with_all_classes() -> None:
    y, t = gc.input("y", ("N", 3)), gc.input("t", ("N",), "int64")
    y_, t_ = RNG.normal(size=(5, 3)), np.array([0, 1, 2, 1, 1])
    mixed = 0.9 * np.eye(3)[t_] + 0.1 / 3
    logs = y_ - np.log(np.exp(y_).sum(1, keepdims=True))
    rows = gc.one_hot(t, 3, "float64")
    found = gc.compile(
        [t, y],
        [
            nn.softmax_cross_entropy(t, y, label_smoothing=0.1),
            nn.categorical_cross_entropy_from_logits(rows, y, label_smoothing=0.1),
            nn.categorical_cross_entropy(rows, gc.exp(gc.log_softmax(y)), label_smoothing=0.1),
        ],
        backend="reference",
    )(t_, y_)
    np.testing.assert_allclose(found, -(mixed * logs).sum(1).mean(), rtol=1e-13)


def test_triplet_and_contrastive(backend: str) -> None:
    a, p, n = (gc.input(name, ("N", 3)) for name in "apn")
    same = gc.input("same", ("N",))
    losses = [
        nn.triplet(a, p, n),
        nn.triplet(a, p, n, margin=0.5, squared=True, reduction="sum"),
        nn.contrastive(same, a, p, margin=2.0),
    ]
    given = [RNG.normal(size=(7, 3)) for _ in range(3)]
    flags = np.array([0, 1, 1, 0, 0, 1, 0.0])
    given[1][4] = given[0][4]  # a distance of 0 between two that do not belong together
    found = gc.compile([a, p, n, same], [*losses, *gc.grad(losses[2], [a, p])], backend=backend)(
        *given, flags
    )
    near, far = (np.linalg.norm(given[0] - v, axis=1) for v in given[1:])
    expected = [
        np.maximum(0, near - far + 1).mean(),
        np.maximum(0, near**2 - far**2 + 0.5).sum(),
        (flags * near**2 + (1 - flags) * np.maximum(0, 2 - near) ** 2).mean(),
    ]
    np.testing.assert_allclose(found[:3], expected, rtol=1e-13)
    unit = (given[0] - given[1]) / np.where(near, near, 1)[:, None]
    slope = (2 * (flags * near - (1 - flags) * np.maximum(0, 2 - near)) / 7)[:, None] * unit
    np.testing.assert_allclose(found[3], slope, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(found[4], -slope, rtol=1e-12, atol=1e-15)


def test_a_partial_of_a_loss_takes_the_same_targets() -> None:
    summed = functools.partial(nn.softmax_cross_entropy, reduction="sum")
    assert loss_of(summed).labels and loss_of(summed).function is summed
    x = nn.Input(2)
    model = nn.Model(x, nn.Dense(3)(x))
    model.compile("sgd", summed, backend="reference")
    X, T = np.ones((4, 2)), [0, 1, 2, 0]
    total = model.evaluate(X, T)
    model.compile("sgd", "softmax_cross_entropy", backend="reference")
    assert total == pytest.approx(4 * model.evaluate(X, T), rel=1e-6)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("mse", "mse_loss"),
        ("mae", "l1_loss"),
        ("huber", "huber_loss"),
        ("binary_cross_entropy_from_logits", "binary_cross_entropy_with_logits"),
        ("categorical_cross_entropy_from_logits", "cross_entropy"),
        ("softmax_cross_entropy", "cross_entropy"),
    ],
)
def test_pytorch_agrees(ours: str, theirs: str) -> None:
    torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")
    formula, loss = FORMULAS[ours], LOSSES[ours]
    t_, y_ = DRAWS[formula.targets](), DRAWS[formula.outputs]()
    y = gc.input("y", ("N", C))
    t = gc.input("t", ("N",) if loss.labels else ("N", C), "int64" if loss.labels else "float64")
    made = loss.function(t, y)
    value, gradient = gc.compile([t, y], [made, gc.grad(made, y)], backend="reference")(t_, y_)
    given = torch.tensor(y_, requires_grad=True)
    expected = getattr(torch.nn.functional, theirs)(given, torch.tensor(t_))
    expected.backward()
    np.testing.assert_allclose(value, expected.item(), rtol=1e-12)
    np.testing.assert_allclose(gradient, given.grad.numpy(), rtol=1e-11, atol=1e-14)
