"""Metrics, early stopping, and what a summary says of loops."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import numpy as np
import pytest
from worked_examples import W

import graphc as gc
from graphc import nn

X2 = np.random.default_rng(0).normal(size=(20, 2)).astype("float32")


def test_w61_top_5_error() -> None:
    e = W["W61"]
    words = sorted({*itertools.chain(*e["outputs"]), e["label"]})
    scores = np.full((2, len(words)), -1.0)
    for row, output in zip(scores, e["outputs"], strict=True):
        row[[words.index(word) for word in output]] = [5, 4, 3, 2, 1]
    y, t = gc.input("y", ("N", len(words))), gc.input("t", ("N",), "int64")
    fn = gc.compile([t, y], nn.top_k_accuracy(t, y), backend="reference")
    label = words.index(e["label"])
    assert [1 - fn([label], row[None]) for row in scores] == e["errors"]
    assert 1 - fn([label, label], scores) == e["top5_error"]


def test_top_k_counts_like_a_sorted_list(backend: str) -> None:
    rng = np.random.default_rng(1)
    scores, labels = rng.normal(size=(50, 7)), rng.integers(0, 7, 50)
    y, t = gc.input("y", ("N", 7)), gc.input("t", ("N",), "int64")
    fn = gc.compile([t, y], [nn.top_k_accuracy(t, y, k) for k in range(1, 8)], backend=backend)
    order = np.argsort(-scores, axis=1)
    expected = [np.mean((order[:, :k] == labels[:, None]).any(axis=1)) for k in range(1, 8)]
    np.testing.assert_allclose(fn(labels, scores), expected, rtol=1e-14)
    assert fn([1], [[2.0, 2, 2, 0, 0, 0, 0]])[0] == 1.0  # a tie for the last place is in
    assert fn([0], [[np.nan, 0, 0, 0, 0, 0, 0]])[6] == 0.0  # NaN is never right
    assert fn([1], [[np.nan, 1, 0, 0, 0, 0, 0]])[:2] == (0.0, 1.0)  # and it is the largest


def fitted(loss: Any, metrics: list[Any], targets: Any, **layer: Any) -> dict[str, Any]:
    x = nn.Input(2)
    model = nn.Model(x, nn.Dense(3, **layer)(x))
    model.compile("sgd", loss, metrics, backend="reference")
    found = model.evaluate(X2, targets, return_dict=True)
    assert isinstance(found, dict)
    return {**found, "outputs": model.predict(X2)}


def test_metrics_go_with_losses() -> None:
    labels = np.arange(20) % 3
    top_2 = functools.partial(nn.top_k_accuracy, k=2)
    found = fitted("softmax_cross_entropy", ["accuracy", "top_k_accuracy", top_2], labels)
    assert list(found)[:4] == ["loss", "accuracy", "top_k_accuracy", "top_k_accuracy_2"]
    assert found["top_k_accuracy"] == 1.0 > found["top_k_accuracy_2"] > found["accuracy"]
    best = found["outputs"].argmax(axis=1)
    assert found["accuracy"] == pytest.approx(np.mean(best == labels))
    rows = fitted("categorical_crossentropy", ["accuracy"], np.eye(3)[labels], activation="softmax")
    assert rows["accuracy"] == pytest.approx(found["accuracy"])
    assert rows["loss"] == pytest.approx(found["loss"], rel=1e-5)
    numbers = fitted("mse", ["mae", "mean_squared_error"], np.ones((20, 3)))
    assert numbers["mae"] == pytest.approx(np.abs(numbers["outputs"] - 1).mean(), rel=1e-5)
    assert numbers["mse"] == pytest.approx(numbers["loss"])
    signs = np.where(np.arange(60).reshape(20, 3) % 2, 1.0, -1.0)
    hinge = fitted("hinge", ["accuracy"], signs)
    assert hinge["accuracy"] == pytest.approx(np.mean((hinge["outputs"] > 0) == (signs > 0)))


@pytest.mark.parametrize("loss", ["mse", "mae", "huber", "poisson", "euclidean", "cosine_similarity", "hinge",
                                  "squared_hinge", "kl_divergence", "binary_crossentropy",
                                  "sparse_categorical_crossentropy", "multiclass_svm"])  # fmt: skip
def test_every_loss_trains_by_its_name(loss: str) -> None:
    x = nn.Input(2)
    positive = loss in ("poisson", "kl_divergence", "binary_crossentropy", "sparse_categorical_crossentropy")
    model = nn.Model(x, nn.Dense(3, activation="softmax" if positive else None)(x))
    model.compile(nn.Adam(0.05), loss, backend="reference")
    labels = (X2[:, 0] > 0).astype(int)
    rows = np.eye(3)[labels]
    targets = labels if loss in ("sparse_categorical_crossentropy", "multiclass_svm") else rows
    targets = 2 * rows - 1 if "hinge" in loss else targets
    losses = model.fit(X2, targets, epochs=15, batch_size=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0] - 0.05 * abs(losses[0])


# ---- early stopping --------------------------------------------------------------------------------------


def stopped(values: list[float], **options: Any) -> tuple[nn.EarlyStopping, int]:
    """How many epochs it takes where a measure has these values."""
    stop = nn.EarlyStopping(monitor="loss", **options)
    x = nn.Input(1)
    model = nn.Model(x, nn.Dense(1)(x))
    stop.begin(model)
    for epoch, value in enumerate(values):
        model.weights[0].value = [[float(epoch)]]
        if stop.epoch_end(model, epoch, {"loss": value}):
            break
    stop.end(model)
    stop.last_weight = float(model.weights[0].value[0, 0])  # type: ignore[attr-defined]
    return stop, epoch + 1


@pytest.mark.parametrize(
    ("values", "options", "epochs", "best"),
    [
        ([3, 2, 1, 0], {}, 4, 3),
        ([3, 2, 2, 0], {}, 3, 1),
        ([3, 2, 4, 5, 1], {"patience": 2}, 4, 1),
        ([3, 2, 4, 1, 5], {"patience": 2}, 5, 3),
        ([1, 2, 3, 2], {"mode": "max"}, 4, 2),
        ([3, 2.9, 2.8], {"min_delta": 0.5}, 2, 0),
        ([float("nan"), float("nan")], {"patience": 2}, 2, None),
    ],
)
def test_when_it_stops(values: list[float], options: dict[str, Any], epochs: int, best: int | None) -> None:
    stop, count = stopped(values, **options)
    assert (count, stop.best_epoch) == (epochs, best)


def test_the_best_weights_come_back() -> None:
    stop, _ = stopped([3, 1, 2, 4, 5], patience=3, restore_best_weights=True)
    assert stop.stopped_epoch == 4 and stop.last_weight == 1.0  # type: ignore[attr-defined]
    stop, _ = stopped([3, 1, 2, 4, 5], patience=3)
    assert stop.last_weight == 4.0  # type: ignore[attr-defined]


def test_fit_ends_and_says_what_is_missing() -> None:
    x = nn.Input(2)
    model = nn.Model(x, nn.Dense(1)(x))
    model.compile(nn.SGD(0.0), "mse", backend="reference")
    T = np.zeros((20, 1))
    stop = nn.EarlyStopping(patience=2)
    history = model.fit(X2, T, epochs=9, validation_data=(X2, T), callbacks=[stop], verbose=0)
    assert len(history.epoch) == 3 and stop.stopped_epoch == 2 and not history.interrupted
    with pytest.raises(
        gc.ArgumentError, match=r"(?s)no measure 'val_loss' to watch.*give fit validation_data"
    ):
        model.fit(X2, T, callbacks=[stop], verbose=0)
    with pytest.raises(gc.ArgumentError, match="unknown mode 'least'"):
        nn.EarlyStopping(mode="least")
    with pytest.raises(gc.ArgumentError, match="patience must be an integer of 0 or more, not -1"):
        nn.EarlyStopping(patience=-1)


# ---- the summary -----------------------------------------------------------------------------------------


def test_multiply_adds_of_loops() -> None:
    x = nn.Input((7, 3))
    h = nn.LSTM(5, return_sequences=True)(x)
    model = nn.Model(x, nn.GRU(4, name="last")(h))
    rows = model.summary(verbose=0).rows
    assert [r.macs for r in rows] == [0, 7 * (3 * 20 + 5 * 20), 7 * (5 * 12 + 4 * 12)]
    assert [r.parameters for r in rows] == [0, 3 * 20 + 5 * 20 + 20, 5 * 12 + 4 * 12 + 2 * 12]


def test_a_field_is_not_guessed_where_pixels_are_laid_out_anew() -> None:
    x = nn.Input((4, 8, 8))
    conv = nn.Conv2D(4, 3, padding="same")
    for layer in (
        nn.UpSampling2D(2),
        nn.Conv2DTranspose(4, 3, strides=2, padding="same"),
        nn.Permute((2, 1, 3)),
    ):
        rows = nn.Model(x, nn.MaxPool2D(2)(layer(conv(x)))).summary(verbose=0).rows
        assert [r.field for r in rows] == ["", "3", "", ""], layer
    grouped = nn.Conv2D(4, 3, groups=2)(nn.DepthwiseConv2D(3)(conv(x)))
    h = nn.AvgPool2D(2)(nn.ZeroPadding2D(1)(grouped))
    assert [r.field for r in nn.Model(x, h).summary(verbose=0).rows] == ["", "3", "5", "7", "7", "8"]
    assert nn.Model(x, nn.GroupNormalization(2)(conv(x))).summary(verbose=0).rows[-1].field == "all"
