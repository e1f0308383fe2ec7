"""Every layer: it trains on every back end alike, its weights go to a file and back, and its summary adds up.

Each is checked against its plain formula in NumPy, and against PyTorch where that is installed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gc
from graphc import nn

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(3)
START = RNG.bit_generator.state


@pytest.fixture(autouse=True)
def the_same_numbers_in_any_order() -> None:
    RNG.bit_generator.state = START


@dataclass(frozen=True)
class Case:
    """A layer, the shape of what it is applied to, and what it gives for 3 examples."""

    make: Callable[[], nn.Layer]
    shape: tuple[int | str, ...]
    gives: tuple[int, ...]
    numbers: int = 0  # for a layer that takes integers: how many there are
    learns: bool = True


CASES = {
    "dense": Case(lambda: nn.Dense(4, activation="mish"), (5,), (4,)),
    "maxout": Case(lambda: nn.Maxout(4, pieces=3), (5,), (4,)),
    "embedding": Case(lambda: nn.Embedding(7, 3, dtype="float64"), (4,), (4, 3), numbers=7),
    "activation": Case(lambda: nn.Activation("softsign"), (5,), (5,), learns=False),
    "flatten": Case(nn.Flatten, (2, 3), (6,), learns=False),
    "reshape": Case(lambda: nn.Reshape((3, -1)), (2, 6), (3, 4), learns=False),
    "permute": Case(lambda: nn.Permute((3, 1, 2)), (2, 3, 4), (4, 2, 3), learns=False),
    "dropout": Case(lambda: nn.Dropout(0.25), (5,), (5,), learns=False),
    "gaussian noise": Case(lambda: nn.GaussianNoise(0.1), (5,), (5,), learns=False),
    "conv1d": Case(lambda: nn.Conv1D(3, 3, strides=2, padding="same"), (2, 7), (3, 4)),
    "conv1d causal": Case(lambda: nn.Conv1D(3, 3, padding="causal", dilation_rate=2), (2, 7), (3, 7)),
    "conv2d": Case(lambda: nn.Conv2D(4, 3, groups=2, activation="relu"), (2, 5, 6), (4, 3, 4)),
    "conv3d": Case(lambda: nn.Conv3D(3, 2), (2, 3, 4, 5), (3, 2, 3, 4)),
    "depthwise": Case(lambda: nn.DepthwiseConv2D(3, depth_multiplier=2), (2, 5, 6), (4, 3, 4)),
    "separable": Case(lambda: nn.SeparableConv2D(5, 3, padding="same", depth_multiplier=2), (2, 5, 6), (5, 5, 6)),
    "transposed": Case(lambda: nn.Conv2DTranspose(3, 3, strides=2, padding="same"), (2, 3, 4), (3, 6, 8)),
    "transposed valid": Case(lambda: nn.Conv2DTranspose(3, 2, strides=3), (2, 3, 4), (3, 9, 12)),
    "max pool 1d": Case(nn.MaxPool1D, (2, 7), (2, 3), learns=False),
    "max pool 2d": Case(lambda: nn.MaxPooling2D(3, strides=2), (2, 7, 7), (2, 3, 3), learns=False),
    "max pool 3d": Case(nn.MaxPool3D, (2, 4, 4, 5), (2, 2, 2, 2), learns=False),
    "avg pool 1d": Case(lambda: nn.AvgPool1D(3, padding="same"), (2, 7), (2, 3), learns=False),
    "avg pool 2d": Case(nn.AveragePooling2D, (2, 4, 5), (2, 2, 2), learns=False),
    "avg pool 3d": Case(nn.AvgPool3D, (2, 4, 4, 5), (2, 2, 2, 2), learns=False),
    "global max pool": Case(nn.GlobalMaxPool2D, (3, 4, 5), (3,), learns=False),
    "global avg pool": Case(lambda: nn.GlobalAvgPool2D(keepdims=True), (3, 4, 5), (3, 1, 1), learns=False),
    "global avg pool 1d": Case(nn.GlobalAveragePooling1D, (3, 4), (3,), learns=False),
    "batch norm": Case(lambda: nn.BatchNormalization(momentum=0.5), (3, 4, 5), (3, 4, 5)),
    "batch norm of features": Case(lambda: nn.BatchNormalization(axis=-1, scale=False), (4,), (4,)),
    "layer norm": Case(nn.LayerNormalization, (3, 4), (3, 4)),
    "layer norm of images": Case(lambda: nn.LayerNormalization(axis=(3, 1)), (3, 4, 5), (3, 4, 5)),
    "group norm": Case(lambda: nn.GroupNormalization(2), (4, 3, 2), (4, 3, 2)),
    "local response norm": Case(nn.LocalResponseNormalization, (6, 3, 2), (6, 3, 2), learns=False),
    "up sampling": Case(lambda: nn.UpSampling2D((2, 3)), (2, 3, 2), (2, 6, 6), learns=False),
    "up sampling bilinear": Case(
        lambda: nn.UpSampling2D(2, interpolation="bilinear"), (2, 3, 2), (2, 6, 4), learns=False
    ),
    "zero padding": Case(lambda: nn.ZeroPadding2D(((1, 0), (2, 3))), (2, 3, 2), (2, 4, 7), learns=False),
    "cropping": Case(lambda: nn.Cropping2D(((1, 0), (0, 2))), (2, 3, 4), (2, 2, 2), learns=False),
    "simple rnn": Case(lambda: nn.SimpleRNN(3), (5, 2), (3,)),
    "lstm": Case(lambda: nn.LSTM(3, return_sequences=True), (5, 2), (5, 3)),
    "gru": Case(lambda: nn.GRU(3, go_backwards=True), (5, 2), (3,)),
    "bidirectional": Case(lambda: nn.Bidirectional(nn.GRU(3, return_sequences=True)), (5, 2), (5, 6)),
}  # fmt: skip


def examples(case: Case, count: int, dtype: str = "float32") -> Array:
    if case.numbers:
        return RNG.integers(0, case.numbers, (count, *case.shape))
    return RNG.normal(size=(count, *case.shape)).astype(dtype)


def applied(case: Case, dtype: str = "float32") -> tuple[gc.Tensor, nn.Layer, gc.Tensor]:
    x = nn.Input(case.shape, dtype="int64" if case.numbers else dtype)
    layer = case.make()
    return x, layer, layer(x)


def network(case: Case, backend: str) -> nn.Model:
    """The layer, between what makes its gradient matter."""
    x, _, y = applied(case, "float64")
    h = nn.Flatten()(y)
    model = nn.Model(x, nn.Dense(2, kernel_initializer="orthogonal")(h))
    model.compile(nn.SGD(0.02), "mse", backend=backend)
    return model


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_shapes_and_repr(case: Case) -> None:
    _, layer, y = applied(case)
    assert tuple(map(str, y.shape)) == ("N", *map(str, case.gives))
    assert layer.name in repr(layer) and type(layer).__name__ in layer.describe()
    assert bool([p for p in layer.parameters if p.variable.trainable]) == case.learns


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_training_lowers_the_loss_on_every_back_end_alike(case: Case, tmp_path: Path) -> None:
    X, T = examples(case, 12, "float64"), RNG.normal(size=(12, 2))
    models = [network(case, backend) for backend in ("reference", "llvm")]
    before = models[0].evaluate(X, T)
    first = [p.value.copy() for p in models[0].weights]
    histories = [m.fit(X, T, epochs=5, batch_size=5, verbose=0).history["loss"] for m in models]
    np.testing.assert_allclose(histories[1], histories[0], rtol=1e-8)
    assert histories[0][-1] < histories[0][0] and models[0].evaluate(X, T) < before  # type: ignore[operator]
    assert all((p.value != w).any() for p, w in zip(models[0].weights, first, strict=True))
    for p, q in zip(*(m.weights for m in models), strict=True):
        np.testing.assert_allclose(q.value, p.value, rtol=1e-6, atol=1e-10, err_msg=p.name)
    # To a file, and into a model that starts elsewhere.
    models[1].save_weights(tmp_path / "w")
    fresh = network(case, "reference")
    fresh.load_weights(tmp_path / "w")
    np.testing.assert_allclose(fresh.predict(X), models[1].predict(X), rtol=1e-9, atol=1e-12)
    summary = fresh.summary(verbose=0)
    assert (
        summary.parameters
        == sum(r.parameters for r in summary.rows)
        == sum(p.value.size for p in fresh.weights)
    )
    assert summary.macs == sum(r.macs for r in summary.rows)


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if c.learns])
def test_gradients_by_differences(name: str) -> None:
    case = CASES[name]
    x, layer, y = applied(case, "float64")
    loss = gc.sum(gc.sin(y) * gc.const(RNG.normal(size=case.gives)))
    trained = [p for p in layer.parameters if p.variable.trainable]
    wrt = trained if case.numbers else [x, *trained]
    at = {x: examples(case, 3, "float64")}
    assert gc.gradcheck(loss, wrt, at).ok


# ---- formulas --------------------------------------------------------------------------------------------


def run(x: gc.Tensor, y: gc.Tensor, value: Array) -> Array:
    return np.asarray(gc.compile([x], y, backend="reference")(value))


def sigmoid(v: Array) -> Array:
    return 1 / (1 + np.exp(-v))


def simple_rnn(x: Array, K: Array, R: Array, b: Array) -> list[Array]:
    h, found = np.zeros((len(x), len(R))), []
    for t in range(x.shape[1]):
        h = np.tanh(x[:, t] @ K + h @ R + b)
        found.append(h)
    return found


def lstm(x: Array, K: Array, R: Array, b: Array) -> list[Array]:
    h = c = np.zeros((len(x), len(R)))
    found = []
    for t in range(x.shape[1]):
        i, f, g, o = np.split(x[:, t] @ K + h @ R + b, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        found.append(h)
    return found


def gru(x: Array, K: Array, R: Array, b: Array) -> list[Array]:
    h, found = np.zeros((len(x), len(R))), []
    for t in range(x.shape[1]):
        (z, r, g), (hz, hr, hg) = np.split(x[:, t] @ K + b[0], 3, axis=1), np.split(h @ R + b[1], 3, axis=1)
        z = sigmoid(z + hz)
        h = z * h + (1 - z) * np.tanh(g + sigmoid(r + hr) * hg)
        found.append(h)
    return found


RECURRENT: dict[str, tuple[Callable[..., Any], Callable[..., list[Array]]]] = {
    "simple_rnn": (nn.SimpleRNN, simple_rnn),
    "lstm": (nn.LSTM, lstm),
    "gru": (nn.GRU, gru),
}


@pytest.mark.parametrize("name", RECURRENT)
def test_recurrent_layers_step_by_step(name: str, backend: str) -> None:
    make, formula = RECURRENT[name]
    x = nn.Input(("T", 3), dtype="float64")
    options: list[dict[str, bool]] = [
        {}, {"return_sequences": True}, {"go_backwards": True}, {"return_sequences": True, "go_backwards": True}
    ]  # fmt: skip
    layers = [make(4, bias_initializer="uniform", **o) for o in options]
    outputs = [layer(x) for layer in layers]
    fn = gc.compile([x], outputs, backend=backend)
    for time in (1, 5):  # one function for every length
        value = RNG.normal(size=(2, time, 3))
        for layer, option, found in zip(layers, options, fn(value), strict=True):
            given = value[:, ::-1] if option.get("go_backwards") else value
            states = formula(given, *(p.value for p in layer.parameters))
            expected = np.stack(states, axis=1) if option.get("return_sequences") else states[-1]
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


def test_an_lstm_starts_by_remembering() -> None:
    layer = nn.LSTM(3)
    layer(nn.Input((4, 2)))
    assert layer.bias is not None and layer.bias.value.tolist() == [0.0] * 3 + [1.0] * 3 + [0.0] * 6
    plain = nn.LSTM(3, unit_forget_bias=False)
    plain(nn.Input((4, 2)))
    assert plain.bias is not None and not plain.bias.value.any()


@pytest.mark.parametrize("merge", ["concat", "sum", "mul", "ave"])
@pytest.mark.parametrize("sequences", [False, True])
def test_bidirectional_is_two_layers(merge: str, sequences: bool) -> None:
    x = nn.Input((5, 2), dtype="float64")
    layer = nn.Bidirectional(nn.SimpleRNN(3, return_sequences=sequences), merge)
    value, y = RNG.normal(size=(4, 5, 2)), layer(x)
    weights = [p.value for p in layer.parameters]
    there, back = simple_rnn(value, *weights[:3]), simple_rnn(value[:, ::-1], *weights[3:])
    a, b = (np.stack(there, 1), np.stack(back, 1)[:, ::-1]) if sequences else (there[-1], back[-1])
    expected = {"concat": np.concatenate([a, b], -1), "sum": a + b, "mul": a * b, "ave": (a + b) / 2}[merge]
    np.testing.assert_allclose(run(x, y, value), expected, rtol=1e-12, atol=1e-14)
    assert [p.name for p in layer.parameters][::3] == [
        "bidirectional_1/forward/kernel",
        "bidirectional_1/backward/kernel",
    ]


def test_separable_and_depthwise_are_convolutions_with_groups() -> None:
    x = nn.Input((3, 6, 6), dtype="float64")
    value = RNG.normal(size=(2, 3, 6, 6))
    depthwise = nn.DepthwiseConv2D(3, depth_multiplier=2, strides=2, bias_initializer="uniform")
    y = depthwise(x)
    kernel, bias = (p.value for p in depthwise.parameters)
    assert kernel.shape == (6, 1, 3, 3) and bias.shape == (6,)
    expected = np.zeros((2, 6, 2, 2))
    for n, o, i, j in np.ndindex(expected.shape):
        window = value[n, o // 2, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
        expected[n, o, i, j] = (window * kernel[o, 0]).sum() + bias[o]
    np.testing.assert_allclose(run(x, y, value), expected, rtol=1e-12, atol=1e-13)
    separable = nn.SeparableConv2D(4, 3, depth_multiplier=2, strides=2, bias_initializer="uniform")
    z = separable(x)
    first, second, bias = (p.value for p in separable.parameters)
    depthwise.parameters[0].value = first
    depthwise.parameters[1].value = np.zeros(6)
    between = run(x, y, value)
    expected = np.einsum("nchw,oc->nohw", between, second[:, :, 0, 0]) + bias[:, None, None]
    np.testing.assert_allclose(run(x, z, value), expected, rtol=1e-12, atol=1e-13)


def test_a_causal_convolution_does_not_see_what_comes() -> None:
    x = nn.Input((1, 8), dtype="float64")
    y = nn.Conv1D(2, 3, padding="causal", dilation_rate=2)(x)
    value = RNG.normal(size=(1, 1, 8))
    changed = value.copy()
    changed[0, 0, 5] += 1.0
    differs = (run(x, y, value) != run(x, y, changed)).any(axis=(0, 1))
    assert differs.tolist() == [False] * 5 + [True, False, True]


def test_a_transposed_convolution_is_the_gradient_of_a_convolution() -> None:
    x = nn.Input((3, 4, 4), dtype="float64")
    layer = nn.Conv2DTranspose(2, 3, strides=2, padding="same", use_bias=False)
    y = layer(x)
    value = RNG.normal(size=(1, 3, 4, 4))
    image, w = gc.input("image", (1, 2, 8, 8)), gc.const(layer.parameters[0].value)
    forward = gc.conv2d(image, w, stride=2, padding=[(0, 1), (0, 1)])
    (back,) = gc.vjp(forward, [image], gc.const(value))
    np.testing.assert_allclose(
        run(x, y, value), gc.compile([image], back, backend="reference")(np.zeros((1, 2, 8, 8))), rtol=1e-12
    )


def test_merging() -> None:
    a, b, c = (nn.Input(3, name=name, dtype="float64") for name in "abc")
    values = [RNG.normal(size=(2, 3)) for _ in range(3)]
    A, B, C = values
    layers = [nn.Add(), nn.Multiply(), nn.Maximum(), nn.Average(), nn.Concatenate()]
    found = gc.compile([a, b, c], [layer([a, b, c]) for layer in layers], backend="reference")(*values)
    expected = [
        A + B + C,
        A * B * C,
        np.maximum(A, np.maximum(B, C)),
        (A + B + C) / 3,
        np.concatenate(values, 1),
    ]
    for value, want in zip(found, expected, strict=True):
        np.testing.assert_allclose(value, want, rtol=1e-14)
    assert nn.Subtract()([a, b]).node is (a - b).node
    x = nn.Input((2, 5))
    h = nn.Dense(5, name="left")(x)
    model = nn.Model(x, nn.Add()([h, x]))
    assert [layer.name for layer in model.layers] == ["left", "add_1"]
    assert [r.parameters for r in model.summary(verbose=0).rows] == [0, 30, 0]


EXACT = {name for name, row in gc.ops.table.ROWS.items() if row.arity == 1 and row.dtype in ("same", "float")}
DEFAULTS = {"elu": 1.0, "celu": 1.0, "hard_shrink": 0.5, "soft_shrink": 0.5}


@pytest.mark.parametrize("name", sorted(EXACT | {"swish", "hardswish", "hard_silu"}))
def test_every_row_of_one_tensor_is_an_activation(name: str) -> None:
    x = nn.Input(3)
    assert nn.Activation(name)(x).node is getattr(gc, name)(x).node


@pytest.mark.parametrize("name", DEFAULTS)
def test_rows_with_defaults_are_activations(name: str) -> None:
    x = nn.Input(3)
    assert nn.Activation(name)(x).node is getattr(gc, name)(x, DEFAULTS[name]).node


def test_rows_of_two_tensors_are_none() -> None:
    with pytest.raises(gc.ArgumentError, match="unknown activation 'maximum'"):
        nn.Activation("maximum")
