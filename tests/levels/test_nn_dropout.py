"""Dropout: only while training, the same in every run, other places in every step, and the right gradient."""

from __future__ import annotations

import numpy as np
import pytest

import graphc as gc
from graphc import nn


def masked(rate: float = 0.25, size: int = 4000, seed: int = 0) -> tuple[nn.Dropout, gc.Tensor, gc.Tensor]:
    x = nn.Input(size, dtype="float64")
    layer = nn.Dropout(rate, seed=seed)
    return layer, x, layer(x)


def test_the_share_of_zeros_and_the_scale_of_the_rest():
    _, x, y = masked()
    value = np.linspace(1.0, 2.0, 8000).reshape(2, 4000)
    out = gc.compile([x], y, backend="reference")(value)
    kept = out != 0.0
    assert kept.mean() == pytest.approx(0.75, abs=0.02)  # four standard deviations
    np.testing.assert_allclose(out[kept], value[kept] / 0.75, rtol=1e-15)
    assert (kept[0] != kept[1]).any()


def test_every_step_and_every_layer_has_its_own_places_and_every_run_the_same():
    def run(seed: int) -> list[np.ndarray]:
        layer, x, first = masked(seed=seed)
        second = layer(x)
        other = nn.Dropout(0.25, seed=seed)(x)
        step = gc.compile([x], [first, second, other], updates=layer.updates(), backend="reference")
        ones = np.ones((1, 4000))
        return [*step(ones), *step(ones)]

    masks = run(0)
    # Independent masks agree in 0.75² + 0.25² = 0.625 of all places.  The other layer's counter stood still.
    pairs = [(0, 1), (0, 2), (1, 2), (0, 3), (0, 4), (1, 4)]
    for a, b in pairs:
        assert np.mean((masks[a] == 0) == (masks[b] == 0)) == pytest.approx(0.625, abs=0.04), (a, b)
    np.testing.assert_array_equal(masks[2], masks[5])
    for a, b in zip(masks, run(0), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(run(1)[0], masks[0])


def test_the_gradient_flows_where_the_value_did():
    _, x, y = masked(size=50)
    fn = gc.compile([x], [y, gc.grad(gc.sum(y), x)], backend="reference")
    value, gradient = fn(np.ones((1, 50)))
    np.testing.assert_array_equal(value, gradient)


def network(rate: float) -> nn.Model:
    x = nn.Input(3)
    h = nn.Dropout(rate)(nn.Dense(8, activation="relu")(x))
    model = nn.Model(x, nn.Dense(2)(h) + 0.0)
    model.compile(nn.SGD(0.1), metrics=["accuracy"], backend="reference")
    return model


def test_a_model_that_predicts_has_no_dropout():
    with_dropout, without = network(0.5), network(0.0)
    X, T = np.random.default_rng(0).normal(size=(20, 3)), np.arange(20) % 2
    np.testing.assert_array_equal(with_dropout.predict(X), without.predict(X))
    assert with_dropout.evaluate(X, T) == without.evaluate(X, T)
    inside = {n.op.label for n in with_dropout.predict_function.graph.nodes}
    assert "where" not in inside and "iota" not in inside
    assert "where" in {n.op.label for n in with_dropout.train_step.graph.nodes}


def test_training_counts_its_steps_and_is_repeatable():
    X, T = np.random.default_rng(0).normal(size=(20, 3)), np.arange(20) % 2
    runs = []
    for _ in range(2):
        model = network(0.5)
        history = model.fit(X, T, epochs=3, batch_size=8, verbose=0)
        layer = next(layer for layer in model.layers if isinstance(layer, nn.Dropout))
        assert layer.counter is not None and layer.counter.value == 9
        runs.append(history.history)
    assert runs[0] == runs[1]
    assert runs[0]["loss"] != network(0.0).fit(X, T, epochs=3, batch_size=8, verbose=0).history["loss"]


def test_weights_and_summary_leave_the_counter_out(tmp_path):
    model = network(0.5)
    assert [p.name for p in model.weights] == [p.name for p in network(0.0).weights]
    model.save_weights(tmp_path / "w")
    network(0.0).load_weights(tmp_path / "w")
    summary = model.summary(verbose=0)
    assert summary.parameters == sum(r.parameters for r in summary.rows) == 3 * 8 + 8 + 8 * 2 + 2
    assert [r.layer for r in summary.rows][2] == "Dropout(0.5)"


@pytest.mark.parametrize("rate", [-0.1, 1.0, "half", float("nan")])
def test_a_rate_that_is_none(rate):
    with pytest.raises(gc.ArgumentError, match="the rate of a dropout must be"):
        nn.Dropout(rate)
