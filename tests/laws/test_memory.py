"""How much memory a training step needs: what is stored, and how tightly it is packed."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

import graphc as gc
from graphc import nn
from graphc.ir.dims import evaluate
from graphc.kernel.memory import ALIGNMENT, lifetimes, plan, room
from graphc.runtime.function import Function


def perceptron() -> nn.Model:
    x = nn.Input(64)
    model = nn.Model(x, nn.Dense(10)(nn.Dense(96, activation="relu")(nn.Dense(128, activation="relu")(x))))
    model.compile(nn.Adam())
    return model


def convolutions() -> nn.Model:
    x = nn.Input((1, 12, 12))
    h = nn.MaxPool2D(2)(nn.Conv2D(6, 5, padding="same", activation="relu")(x))
    h = nn.MaxPool2D(2)(nn.Conv2D(8, 5, padding="same", activation="relu")(h))
    model = nn.Model(x, nn.Dense(10)(nn.Dense(20, activation="relu")(nn.Flatten()(h))))
    model.compile(nn.SGD(0.1, momentum=0.9))
    return model


def normalised(depth: int = 3) -> nn.Model:
    x = nn.Input((4, 8, 8))
    h = x
    for _ in range(depth):
        h = gc.relu(nn.BatchNormalization(axis=1)(nn.Conv2D(8, 3, padding="same", use_bias=False)(h)))
    model = nn.Model(x, nn.Dense(10)(gc.mean(h, axis=(2, 3))))
    model.compile(nn.SGD(0.1))
    return model


NETWORKS = [perceptron, convolutions, normalised]


def stored(step: Function, dims: dict[str, int]) -> list[tuple[int, int, int]]:
    """(first moment, last moment, bytes) of every temporary."""
    program = step.program
    found, _ = lifetimes(program)
    return [
        (first, last, -(-room(program.buffers[k], dims) // ALIGNMENT) * ALIGNMENT)
        for k, (first, last) in found.items()
    ]


@pytest.mark.parametrize("make", NETWORKS, ids=lambda make: make.__name__)
@pytest.mark.parametrize("batch", [1, 7, 64])
def test_the_arena_is_little_larger_than_what_lives_at_once(make: Callable[[], nn.Model], batch: int) -> None:
    step = make().train_step
    dims = {"N": batch}
    lives = stored(step, dims)
    at_once = max(sum(s for a, b, s in lives if a <= t <= b) for t in {a for a, _, _ in lives})
    assert at_once <= plan(step.program, dims, ()).size <= 1.1 * at_once


@pytest.mark.parametrize("make", NETWORKS, ids=lambda make: make.__name__)
def test_no_two_that_live_at_once_share_a_place(make: Callable[[], nn.Model]) -> None:
    step = make().train_step
    dims = {"N": 5}
    program = step.program
    found, _ = lifetimes(program)
    offsets = plan(program, dims, ()).offsets
    for t in {first for first, _ in found.values()}:
        alive = sorted((offsets[k], k) for k, (a, b) in found.items() if a <= t <= b)
        for (start, k), (following, _) in pairwise(alive):
            assert start + room(program.buffers[k], dims) <= following


def test_a_gradient_that_the_optimiser_has_used_is_not_stored() -> None:
    model = perceptron()
    shapes = {p.shape for p in model.parameters if p.ndim == 2}
    kept = {b.shape for b in model.train_step.program.buffers if b.role == "temp"}
    assert not shapes & kept


def test_a_normalised_convolution_stores_its_result_and_what_the_next_one_reads() -> None:
    def large(depth: int) -> int:
        step, dims = normalised(depth).train_step, {"N": 4}
        sizes = [b.dtype.size * evaluate(b.bytes // b.dtype.size, dims) for b in step.program.buffers]
        lives, _ = lifetimes(step.program)
        middle = max(last for _, last in lives.values()) // 2
        return sum(1 for k, (a, b) in lives.items() if a <= middle <= b and sizes[k] >= 4 * 8 * 8 * 8 * 4)

    assert large(6) - large(3) <= 3 * 2


def test_repeating_small_arithmetic_gives_what_storing_it_gives() -> None:
    draw = np.random.default_rng(0)
    X, T = draw.normal(size=(6, 4, 8, 8)).astype("float32"), draw.integers(0, 10, 6)
    found = []
    for disable in ((), ("fuse", "layout")):
        model = normalised()
        targets = model.targets
        assert targets is not None
        step = gc.compile(
            [*model.inputs, targets], [model.loss_graph()], updates=model._updates, disable=disable
        )
        losses = [float(step(X, T)[0]) for _ in range(3)]
        found.append((losses, [p.value.copy() for p in model.weights]))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-5)
    for a, b in zip(found[0][1], found[1][1], strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-5)
