"""Whole epochs in native code give the bits that one call for each batch gives: weights, state and history."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import numpy as np
import pytest

import graphc as gc
from graphc import nn
from graphc.errors import InternalError
from graphc.nn import training
from graphc.runtime.batches import Batches

Example = tuple[nn.Model, object, np.ndarray]
ROWS = 61  # batches of 8: seven of them, and five rows more


def dense() -> Example:
    x = nn.Input(5)
    model = nn.Model(x, nn.Dense(3)(nn.Dense(7, activation="tanh")(x)))
    model.compile(nn.Adam(lambda t: 0.02 / (1.0 + t), clipnorm=0.5), metrics=["accuracy"])
    draw = np.random.default_rng(0)
    return model, draw.normal(size=(ROWS, 5)).astype("float32"), draw.integers(0, 3, ROWS)


def convolution() -> Example:
    x = nn.Input((2, 6, 6), dtype="float64")
    h = nn.BatchNormalization(axis=1)(nn.Conv2D(3, 3, padding="same", activation="relu")(x))
    h = nn.Dropout(0.4)(nn.Flatten()(nn.MaxPool2D(2)(h)))
    model = nn.Model(x, nn.Dense(4)(h))
    model.compile(nn.SGD(0.05, momentum=0.9, weight_decay=0.01), metrics=["accuracy"])
    draw = np.random.default_rng(1)
    return model, draw.normal(size=(ROWS, 2, 6, 6)), draw.integers(0, 4, ROWS)


def two_inputs() -> Example:
    a, b = nn.Input((), dtype="int64", name="a"), nn.Input(3, name="b")
    h = nn.Embedding(9, 4)(a) + nn.Dense(4, name="right")(b)
    model = nn.Model([a, b], nn.Dense(2)(h))
    model.compile(nn.RMSprop(0.01, global_clipnorm=1.0), "mse")
    draw = np.random.default_rng(2)
    x = {"a": draw.integers(0, 9, ROWS), "b": draw.normal(size=(ROWS, 3))}
    return model, x, draw.normal(size=(ROWS, 2)).astype("float32")


def sequences() -> Example:
    x = nn.Input(("T", 3))
    model = nn.Model(x, nn.Dense(2)(nn.LSTM(4)(x)))
    model.compile(nn.Adam(0.01))
    draw = np.random.default_rng(3)
    return model, draw.normal(size=(ROWS, 6, 3)).astype("float32"), draw.integers(0, 2, ROWS)


MODELS = [dense, convolution, two_inputs, sequences]


def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Batches, "of", staticmethod(lambda *_: None))


def outcome(make: Callable[[], Example], **options: object) -> list[np.ndarray]:
    model, x, y = make()
    history = model.fit(x, y, epochs=3, batch_size=8, validation_data=(x, y), verbose=0, **options)
    optimizer = model.optimizer
    assert optimizer is not None
    held = [*model.weights, *optimizer.state]
    measures = [np.array(v) for v in history.history.values()]
    return [*(p.value for p in held), *measures, model.predict(x, batch_size=8)]


@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
@pytest.mark.parametrize("shuffle", [True, False])
def test_an_epoch_has_the_bits_of_its_batches(make, shuffle, monkeypatch):
    made = []
    run = Batches.run
    monkeypatch.setattr(Batches, "run", lambda self, *given: made.append(given[2]) or run(self, *given))
    native = outcome(make, shuffle=shuffle, seed=5)
    assert sum(made) >= 3 * 7  # not by a loop in Python
    one_by_one(monkeypatch)
    for a, b in zip(native, outcome(make, shuffle=shuffle, seed=5), strict=True):
        np.testing.assert_array_equal(a, b)


def test_rows_of_every_size_and_dtype_are_gathered():
    draw = np.random.default_rng(4)
    for dtype in ("bool", "int32", "float32", "int64", "float64"):
        for width in (1, 2, 3, 7, 8, 9, 15, 16, 17, 33, 130):
            x = gc.input("x", ("N", width), dtype)
            same = gc.compile([x], [gc.where(x, x, x) if dtype == "bool" else x + x])
            X = draw.integers(0, 2, (20, width)).astype(dtype)
            batches = Batches.of(same, [X], 3)
            order = draw.permutation(20)
            for rows in (order, None):
                (found,) = batches.run(rows, 2, 5)
                wanted = X[np.arange(20) if rows is None else rows][2:17].reshape(5, 3, width)
                np.testing.assert_array_equal(found, wanted if dtype == "bool" else wanted + wanted)


def test_what_does_not_fit_is_left_to_the_loop():
    x, scale = gc.input("x", ("N", 2)), gc.input("scale")
    double, scaled, fixed = gc.compile([x], x + x), gc.compile([x, scale], x * scale), gc.input("f", (4, 2))
    X = np.ones((6, 2))
    assert Batches.of(double, [X], 2) is not None
    assert Batches.of(double, [X], 7) is None
    assert Batches.of(double, [X[::2]], 2) is None and Batches.of(double, [np.ones((2, 6)).T], 2) is None
    assert Batches.of(double, [X.astype("float32")], 2) is None
    assert Batches.of(scaled, [X, np.ones(6)], 2) is None
    assert Batches.of(gc.compile([fixed], fixed + fixed), [X], 4) is None
    assert Batches.of(lambda x: x, [X], 2) is None
    for backend in ("reference", "interpreter"):
        assert Batches.of(gc.compile([x], x + x, backend=backend), [X], 2) is None


def test_no_row_lies_outside_the_arrays():
    x = gc.input("x", ("N",))
    batches = Batches.of(gc.compile([x], gc.sum(x)), [np.arange(6.0)], 2)
    for order, first, count in (
        (None, 0, 4),
        (None, 3, 2),
        (None, -2, 1),
        (None, 0, 0),
        (np.array([0, 1, 2, 6]), 0, 2),
        (np.array([0, -1]), 0, 1),
        (np.array([0, 1, 2]), 0, 2),
    ):
        with pytest.raises(InternalError, match="do not lie in 6 rows"):
            batches.run(order, first, count)
    np.testing.assert_array_equal(batches.run(np.array([4, 0, 5, 5]), 0, 2)[0], [4.0, 10.0])


def test_examples_that_are_a_parameter_are_not_changed_under_the_step(monkeypatch):
    def run() -> np.ndarray:
        x, w = gc.input("x", ("N", 2)), gc.param("w", (8, 2), dtype="float64", init="ones")
        step = gc.compile([x], [gc.sum(x)], updates={w: w + gc.sum(x)})
        runner = training.Runner(step, [w.value], 2)
        return np.array([v for _, batches in runner.pieces() for v in batches])

    np.testing.assert_array_equal(run()[:, 0], [4.0] * 4)


def test_the_examples_may_be_mapped_from_a_file(tmp_path, monkeypatch):
    model, x, y = dense()
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    found = model.fit(mapped, y, epochs=2, batch_size=8, verbose=0).history
    model, x, y = dense()
    assert model.fit(x, y, epochs=2, batch_size=8, verbose=0).history == found


def test_ctrl_c_ends_a_native_epoch_between_two_pieces(monkeypatch):
    model, x, y = dense()
    x, y = np.tile(x, (20, 1)), np.tile(y, 20)
    run, calls = Batches.run, []

    def interrupted(self, order, first, count):
        calls.append(count)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return run(self, order, first, count)

    monkeypatch.setattr(training, "PIECE_SECONDS", 1e-9)  # a batch is a piece
    monkeypatch.setattr(Batches, "run", interrupted)
    history = model.fit(x, y, epochs=2, batch_size=8, verbose=0)
    assert history.interrupted and history.history == {} and calls == [1, 1, 1]
    assert int(model.optimizer.state[0].value) == 3


def test_results_that_are_large_come_in_small_pieces(monkeypatch):
    x = gc.input("x", ("N", 4))
    monkeypatch.setattr(training, "PIECE_BYTES", 3 * 2 * 4 * 8)  # of three batches
    runner = training.Runner(gc.compile([x], [x + x]), [np.ones((40, 4))], 2)
    pieces = [len(batches) for _ in range(3) for _, batches in runner.pieces()]
    assert max(pieces) == 3 and sum(pieces) == 3 * 20
