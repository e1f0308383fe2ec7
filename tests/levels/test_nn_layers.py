"""Layers: shapes, values against NumPy, names, sharing, and errors on the user's line."""

from __future__ import annotations

import re

import numpy as np
import pytest

import graphc as gc
from graphc import nn

RNG = np.random.default_rng(0)


def run(x: gc.Tensor, y: gc.Tensor, value: np.ndarray) -> np.ndarray:
    return gc.compile([x], y, backend="reference")(value)


def conv_by_hand(x, w, stride, dilation, pads):
    """Correlation, one output at a time."""
    x = np.pad(x, ((0, 0), (0, 0), *pads))
    reach = [dilation * (k - 1) + 1 for k in w.shape[2:]]
    counts = [(n - r) // stride + 1 for n, r in zip(x.shape[2:], reach, strict=True)]
    out = np.zeros((x.shape[0], w.shape[0], *counts))
    for n, o, i, j in np.ndindex(out.shape):
        a, b = i * stride, j * stride
        window = x[n, :, a : a + reach[0] : dilation, b : b + reach[1] : dilation]
        out[n, o, i, j] = (window * w[o]).sum()
    return out


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (nn.Dense(5), (7,), ("N", 5)),
        (nn.Dense(5), (3, 7), ("N", 3, 5)),
        (nn.Conv2D(4, 3), (2, 8, 9), ("N", 4, 6, 7)),
        (nn.Conv2D(4, 3, padding="same"), (2, 8, 9), ("N", 4, 8, 9)),
        (nn.Conv2D(4, 3, strides=2, padding="same"), (2, 8, 9), ("N", 4, 4, 5)),
        (nn.Conv2D(4, (3, 1), strides=(1, 2)), (2, 8, 9), ("N", 4, 6, 5)),
        (nn.Conv2D(4, 3, dilation_rate=2), (2, 8, 9), ("N", 4, 4, 5)),
        (nn.Conv2D(4, 3, groups=2), (2, 8, 9), ("N", 4, 6, 7)),
        (nn.MaxPool2D(), (2, 8, 9), ("N", 2, 4, 4)),
        (nn.MaxPool2D(3, strides=2, padding="same"), (2, 8, 9), ("N", 2, 4, 5)),
        (nn.AvgPool2D((2, 3)), (2, 8, 9), ("N", 2, 4, 3)),
        (nn.Flatten(), (2, 8, 9), ("N", 144)),
        (nn.Activation("softmax"), (2, 8), ("N", 2, 8)),
    ],
    ids=lambda v: v.describe() if isinstance(v, nn.Layer) else None,
)
def test_shapes(layer, shape, expected):
    assert tuple(str(d) for d in layer(nn.Input(shape)).shape) == tuple(map(str, expected))


def test_dense_is_x_kernel_plus_bias():
    x = nn.Input(3, dtype="float64")
    layer = nn.Dense(2, activation="tanh", bias_initializer="ones")
    y = layer(x)
    kernel, bias = (p.value for p in layer.parameters)
    value = RNG.normal(size=(4, 3))
    assert kernel.shape == (3, 2) and bias.tolist() == [1.0, 1.0]
    np.testing.assert_allclose(run(x, y, value), np.tanh(value @ kernel + bias), rtol=1e-14)


@pytest.mark.parametrize(
    ("stride", "dilation", "padding", "pads"),
    [
        (1, 1, "valid", ((0, 0), (0, 0))),
        (1, 1, "same", ((1, 1), (1, 1))),
        (2, 1, "same", ((0, 1), (1, 1))),
        (1, 2, "same", ((2, 2), (2, 2))),
    ],
)
def test_conv2d_by_hand(stride, dilation, padding, pads):
    x = nn.Input((2, 6, 7), dtype="float64")
    layer = nn.Conv2D(3, 3, strides=stride, dilation_rate=dilation, padding=padding, bias_initializer=0.5)
    y = layer(x)
    value = RNG.normal(size=(2, 2, 6, 7))
    expected = conv_by_hand(value, layer.parameters[0].value, stride, dilation, pads) + 0.5
    np.testing.assert_allclose(run(x, y, value), expected, rtol=1e-12, atol=1e-13)


def test_pools_by_hand():
    x = nn.Input((1, 4, 4), dtype="float64")
    value = np.arange(16.0).reshape(1, 1, 4, 4)
    assert run(x, nn.MaxPool2D(2)(x), value).ravel().tolist() == [5, 7, 13, 15]
    assert run(x, nn.AvgPool2D(2)(x), value).ravel().tolist() == [2.5, 4.5, 10.5, 12.5]


@pytest.mark.parametrize(
    "name", ["relu", "tanh", "sigmoid", "softplus", "gelu", "silu", "softmax", "log_softmax"]
)
def test_an_activation_is_the_function_of_its_name(name):
    x = nn.Input(3)
    assert nn.Activation(name)(x).node is getattr(gc, name)(x).node


def test_activations_with_a_constant_and_by_function():
    x = nn.Input(2, dtype="float64")
    value = np.array([[-2.0, 3.0]])
    assert run(x, nn.Activation("leaky_relu")(x), value).tolist() == [[-0.4, 3.0]]
    np.testing.assert_allclose(run(x, nn.Activation("elu")(x), value), [[np.expm1(-2.0), 3.0]])
    assert nn.Activation(lambda t: t * t)(x).node is (x * x).node
    assert nn.Activation("linear")(x).node is x.node


def test_names_and_first_values_are_the_same_whenever_the_program_runs():
    def build():
        x = nn.Input((1, 8, 8))
        h = nn.Flatten()(nn.Conv2D(2, 3)(x))
        return nn.Model(x, nn.Dense(2)(nn.Dense(3, name="hidden")(nn.Dense(4)(h))))

    a, b = build(), build()
    names = [p.name for p in a.weights]
    assert sorted(names) == sorted(
        f"{layer}/{part}"
        for layer in ("conv2d_1", "dense_1", "hidden", "dense_2")
        for part in ("kernel", "bias")
    )
    assert [layer.name for layer in a.layers] == ["conv2d_1", "flatten_1", "dense_1", "hidden", "dense_2"]
    for p, q in zip(a.weights, b.weights, strict=True):
        assert p.name == q.name and p.node is not q.node
        np.testing.assert_array_equal(p.value, q.value)


def test_layers_of_one_shape_start_differently():
    x = nn.Input(4)
    first, second = nn.Dense(4), nn.Dense(4)
    second(first(x))
    assert not np.array_equal(first.parameters[0].value, second.parameters[0].value)


def test_initialisers_have_their_spread():
    x = nn.Input(400)
    he, glorot = nn.Dense(300, kernel_initializer="he_normal"), nn.Dense(300, seed=1)
    glorot(x), he(x)
    assert he.parameters[0].value.std() == pytest.approx(np.sqrt(2 / 400), rel=0.02)
    assert np.abs(glorot.parameters[0].value).max() == pytest.approx(np.sqrt(6 / 700), rel=0.01)


def test_a_layer_applied_twice_shares_its_parameters():
    x = nn.Input(3)
    layer = nn.Dense(3)
    model = nn.Model(x, layer(layer(x)))
    assert len(model.weights) == 2 and model.layers == (layer,)
    with pytest.raises(gc.ShapeError, match="was made for 3, and is applied to"):
        layer(nn.Input(4))


def test_every_node_of_a_layer_goes_back_to_the_line_that_applied_it():
    from graphc.ir.node import locations

    x = nn.Input((1, 4, 4))
    y = nn.Conv2D(2, 3, activation="relu")(x)
    assert [loc.text for loc in locations(y.node)] == ['nn.Conv2D(2, 3, activation="relu")(x)']


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Dense(3, activation="rleu"), "unknown activation 'rleu'.*did you mean 'relu'"),
        (lambda: nn.Dense(0), "units must be a positive integer, not 0"),
        (lambda: nn.Conv2D(2, 3, padding="full"), "unknown padding 'full'"),
        (lambda: nn.Conv2D(2, 0), "kernel_size must be"),
        (lambda: nn.Dense(3, name="a b"), "no name for a layer"),
        (lambda: nn.Conv2D(2, 3)(nn.Input(5)), "cannot apply Conv2D"),
        (lambda: nn.Conv2D(2, 3, groups=2)(nn.Input((3, 5, 5))), "must divide both the 3 channels"),
        (lambda: nn.Conv2D(2, 7)(nn.Input((3, 5, 5))), "a window of 7 does not fit into 5"),
        (lambda: nn.Dense(3)(np.zeros((2, 2))), "Dense takes a tensor, not ndarray"),
        (lambda: nn.Dense(3, kernel_initializer="zero")(nn.Input(2)), "unknown initialiser 'zero'"),
        (lambda: nn.Flatten()(gc.input("s")), "it has no batch axis"),
    ],
)
def test_mistakes_are_named_on_the_line_that_makes_them(make, message):
    with pytest.raises(gc.GraphcError) as caught:
        make()
    text = " ".join(str(caught.value).split())
    assert re.search(message, text), text
    assert caught.value.where is not None and caught.value.where.file == __file__
