"""Batch normalisation: batches while training, running statistics afterwards, and folded into the layer before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as gc
from graphc import nn

Array = np.ndarray[Any, Any]


def images(count: int = 12) -> Array:
    return np.random.default_rng(1).normal(2.0, 3.0, size=(count, 3, 4, 5))


def normalised(x: Array, mean: Array, variance: Array) -> Array:
    return (x - mean[:, None, None]) / np.sqrt(variance[:, None, None] + 1e-3)


def alone(momentum: float = 0.9) -> tuple[nn.Model, nn.BatchNormalization]:
    x = nn.Input((3, 4, 5), dtype="float64")
    layer = nn.BatchNormalization(momentum=momentum)
    return nn.Model(x, layer(x)), layer


@pytest.mark.parametrize("backend", ["reference", "llvm"])
def test_running_statistics_follow_the_batches(backend: str) -> None:
    model, layer = alone()
    model.compile(nn.SGD(0.0), "mse", backend=backend)
    X, mean, variance = images(), np.zeros(3), np.ones(3)
    history = model.fit(X, np.zeros_like(X), epochs=2, batch_size=5, shuffle=False, verbose=0).history["loss"]
    losses = []
    for _ in range(2):
        for start in (0, 5, 10):
            batch = X[start : start + 5]
            m, v = batch.mean(axis=(0, 2, 3)), batch.var(axis=(0, 2, 3))
            losses.append(np.square(normalised(batch, m, v)).mean() * len(batch) / len(X))
            mean, variance = 0.9 * mean + 0.1 * m, 0.9 * variance + 0.1 * v
    np.testing.assert_allclose(history, [sum(losses[:3]), sum(losses[3:])], rtol=1e-10)
    np.testing.assert_allclose(layer.moving_mean.value, mean, rtol=1e-12)
    np.testing.assert_allclose(layer.moving_variance.value, variance, rtol=1e-12)
    # What is predicted depends on the running statistics, and not on who else is in the batch.
    expected = normalised(X, mean, variance)
    np.testing.assert_allclose(model.predict(X), expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(model.predict(X[:1]), expected[:1], rtol=1e-10, atol=1e-12)
    assert model.evaluate(X, np.zeros_like(X)) == pytest.approx(np.square(expected).mean(), rel=1e-10)
    assert [p.name for p in model.parameters] == ["batch_normalization_1/gamma", "batch_normalization_1/beta"]
    assert len(model.weights) == 4


def test_a_layer_that_is_applied_twice_moves_twice() -> None:
    x = nn.Input((3, 4, 5), dtype="float64")
    layer = nn.BatchNormalization(momentum=0.5)
    model = nn.Model(x, layer(layer(x)))
    model.compile(nn.SGD(0.0), "mse", backend="reference")
    X = images()
    model.fit(X, X, batch_size=12, verbose=0)
    mean = X.mean(axis=(0, 2, 3))
    np.testing.assert_allclose(layer.moving_mean.value, 0.25 * mean, rtol=1e-12)  # the second time it is 0


def test_a_layer_in_two_models_learns_from_the_one_that_is_trained() -> None:
    layer = nn.BatchNormalization(momentum=0.0)
    models = []
    for name in ("a", "b"):
        x = nn.Input((3, 4, 5), name=name, dtype="float64")
        models.append(nn.Model(x, layer(x)))
    models[1].compile(nn.SGD(0.0), "mse", backend="reference")
    X = images()
    models[1].fit(X, X, batch_size=12, verbose=0)
    np.testing.assert_allclose(layer.moving_mean.value, X.mean(axis=(0, 2, 3)), rtol=1e-12)


def test_after_training_the_gradient_is_through_the_statistics() -> None:
    x = nn.Input((3, 2, 2), dtype="float64")
    y = nn.BatchNormalization()(x)
    loss = gc.sum(gc.sin(y) * gc.const(np.random.default_rng(2).normal(size=(3, 2, 2))))
    assert gc.gradcheck(loss, [x], {x: np.random.default_rng(3).normal(size=(4, 3, 2, 2))}).ok


# ---- folding ---------------------------------------------------------------------------------------------

LINEAR: dict[str, tuple[Callable[..., nn.Layer], tuple[int, ...]]] = {
    "conv1d": (lambda **o: nn.Conv1D(4, 3, **o), (3, 6)),
    "conv2d": (lambda **o: nn.Conv2D(4, 3, padding="same", **o), (3, 5, 6)),
    "conv3d": (lambda **o: nn.Conv3D(4, 2, **o), (3, 3, 3, 3)),
    "depthwise": (lambda **o: nn.DepthwiseConv2D(3, depth_multiplier=2, **o), (3, 5, 6)),
    "separable": (lambda **o: nn.SeparableConv2D(4, 3, **o), (3, 5, 6)),
    "transposed": (lambda **o: nn.Conv2DTranspose(4, 3, strides=2, **o), (3, 3, 3)),
    "dense": (lambda **o: nn.Dense(4, **o), (3,)),
}


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("name", LINEAR)
def test_folding_changes_nothing_but_the_operations(name: str, use_bias: bool) -> None:
    make, shape = LINEAR[name]
    x = nn.Input(shape, dtype="float64")
    h = nn.BatchNormalization(momentum=0.5)(make(use_bias=use_bias, name="linear")(x))
    h = nn.Dropout(0.5)(nn.Activation("relu")(h))
    model = nn.Model(x, nn.Dense(2)(nn.Flatten()(h)))
    model.compile(nn.Adam(0.05), "mse", backend="reference")
    rng = np.random.default_rng(0)
    X, T = rng.normal(size=(8, *shape)), rng.normal(size=(8, 2))
    model.fit(X, T, epochs=3, batch_size=4, verbose=0)
    folded = model.fold_batch_normalization()
    np.testing.assert_allclose(folded.predict(X), model.predict(X), rtol=1e-11, atol=1e-13)
    names = [layer.name for layer in folded.layers]
    assert names == ["linear", "activation_1", "flatten_1", "dense_1"]
    assert [p.name for p in folded.weights if p.name.startswith("linear")][-1] == "linear/bias"
    nodes = [len(m.predict_function.graph.nodes) for m in (model, folded)]
    assert nodes[1] < nodes[0]
    summary = folded.summary(verbose=0)
    assert summary.parameters == sum(r.parameters for r in summary.rows) < model.summary(verbose=0).parameters
    before = model.predict(X)  # the model itself is as it was, and the folded one can be trained further
    folded.compile(nn.SGD(0.01), "mse", backend="reference")
    folded.fit(X, T, verbose=0)
    shared = {id(p.variable) for p in model.weights} & {id(p.variable) for p in folded.weights}
    assert len(shared) == 2 and not np.array_equal(model.predict(X), before)  # the last layer is shared


def test_what_cannot_be_folded_stays() -> None:
    x = nn.Input((3, 6, 6), dtype="float64")
    curved = nn.BatchNormalization()(nn.Conv2D(3, 3, padding="same", activation="relu")(x))
    linear = nn.Conv2D(3, 3, padding="same")(curved)
    both = nn.BatchNormalization()(linear) + linear  # its values are needed twice
    other = nn.BatchNormalization(axis=2)(nn.Conv2D(3, 3, padding="same")(both))  # along rows, not channels
    model = nn.Model(x, nn.GlobalAvgPool2D()(other))
    folded = model.fold_batch_normalization()
    assert [type(layer) for layer in folded.layers] == [type(layer) for layer in model.layers]
    X = np.random.default_rng(0).normal(size=(4, 3, 6, 6))
    np.testing.assert_array_equal(model_predict(folded, X), model_predict(model, X))


def model_predict(model: nn.Model, x: Array) -> Array:
    model.backend = "reference"
    return model.predict(x)


def test_receptive_fields_do_not_see_the_batch() -> None:
    x = nn.Input((3, 8, 8))
    h = nn.BatchNormalization()(nn.Conv2D(4, 3, padding="same")(x))
    h = nn.LocalResponseNormalization()(nn.MaxPool2D(2)(h))
    model = nn.Model(x, nn.GlobalAvgPool2D()(h))
    assert [r.field for r in model.summary(verbose=0).rows] == ["", "3", "3", "4", "4", "all"]
