"""The worked examples of the lecture decks on images: convolution, pooling, and the network LeNet-5*."""

from __future__ import annotations

from typing import Any

import numpy as np
from test_worked_examples import close, on_both, run
from worked_examples import W

import graphc as gc
from graphc import nn

# ---- convolution -----------------------------------------------------------------------------------------


def correlate(backend: str, image: Any, kernel: Any, **arguments: Any) -> tuple[Any, Any, Any]:
    """The map, and the gradients of its sum by image and kernel."""
    image, kernel = np.array(image, float), np.array(kernel, float)
    x, w = gc.input("x", image.shape), gc.input("w", kernel.shape)
    y = gc.conv2d(x[None, None], w[None, None], **arguments)[0, 0]
    found = run(backend, [y, *gc.grad(gc.sum(y), [x, w])], {x: image, w: kernel})
    return found[0], found[1], found[2]


@on_both
def test_w32_w34_correlation_and_not_convolution(backend: str) -> None:
    e = W["W32"]
    found, dx, dw = correlate(backend, e["image"], e["filter"])
    np.testing.assert_array_equal(found, e["map"])
    for row, stated in zip(found, e["stated_map"], strict=True):
        assert all(s is None or s == v for s, v in zip(stated, row, strict=True))
    # The sum of the map is linear in the kernel and in the image: its gradients give it back.
    assert (dw * e["filter"]).sum() == (dx * e["image"]).sum() == found.sum()
    np.testing.assert_array_equal(
        dw, [[np.sum(np.array(e["image"])[i : i + 3, j : j + 3]) for j in range(3)] for i in range(3)]
    )
    e = W["W34"]
    found, *_ = correlate(backend, e["input"], e["kernel"])
    np.testing.assert_array_equal(found, e["stated_out"])
    turned, *_ = correlate(backend, e["input"], np.array(e["kernel"])[::-1, ::-1])
    np.testing.assert_array_equal(turned, e["flipped"])


def side(size: int, kernel: int, padding: int, stride: int) -> Any:
    x, w = gc.input("x", ("N", 3, size, size)), gc.input("w", (1, 3, kernel, kernel))
    n, filters, height, width = gc.conv2d(x, w, stride=stride, padding=padding).shape
    assert (str(n), filters) == ("N", 1) and height == width
    return height


def test_w35_w36_w40_sizes_of_convolutions() -> None:
    for i, k, p, o in [*W["W35"]["rows"], W["W35"]["orig_row"]]:
        assert side(i, k, p, 1) == o
    for w, k, p, s, o in W["W36"]["rows"]:
        assert side(w, k, p, s) == o
    assert gc.pad(gc.input("x", (7, 7)), 1).shape == tuple(W["W36"]["padded_7_1"])
    for k, p, s, of32, of33 in W["W40"]["rows"]:
        assert (side(32, k, p, s), side(33, k, p, s)) == (of32, of33)
    for k, p in W["W40"]["same_pad"].items():
        assert side(32, k, p, 1) == 32
        same = nn.Conv2D(1, k, padding="same")(nn.Input((3, 33, 33)))
        assert same.shape[2:] == (33, 33)


def convolution_row(channels: int, size: int, filters: int, kernel: int, padding: int) -> Any:
    """The row of the summary of a convolution with bias, at stride 1."""
    x = nn.Input((channels, size, size))
    y = nn.Conv2D(filters, kernel, padding="same" if padding else "valid")(x)
    return nn.Model(x, y).summary(verbose=0).rows[-1]


def test_w37_w38_w39_weights_and_multiply_adds_of_convolutions() -> None:
    e = W["W37"]
    row = convolution_row(e["input"][0], e["input"][1], e["filters"], e["kernel"], e["pad"])
    assert (row.output, row.parameters, row.macs) == (e["stated_out"], e["stated_params"], e["stated_macs"])
    assert convolution_row(3, 32, 1, 5, 2).parameters == e["params_per_filter"]
    assert np.prod(row.output) == e["outputs"] and row.macs == e["outputs"] * e["dot"]
    e = W["W38"]
    assert convolution_row(3, 32, 1, 5, 0).output == e["map"]
    row = convolution_row(3, 32, 6, 5, 0)
    assert (row.output, row.weights, row.parameters, row.macs) == (
        e["out6"],
        e["weight6"],
        e["params6"],
        e["macs6"],
    )
    assert nn.Flatten()(nn.Input((3, 32, 32))).shape[1] == e["flat"]
    e = W["W39"]
    row = convolution_row(64, 56, e["filters"], 1, 0)
    assert (row.output, row.parameters, row.macs) == (e["out"], e["params"], e["macs"])


def test_w41_receptive_fields() -> None:
    for kernel, name in ((3, "K3"), (5, "K5")):
        x = y = nn.Input((1, 64, 64))
        for _ in W["W41"][name]:
            y = nn.Conv2D(1, kernel)(y)
        rows = nn.Model(x, y).summary(verbose=0).rows[1:]
        assert [int(row.field) for row in rows] == W["W41"][name]
    rows = lenet().summary(verbose=0).rows[1:5]
    assert [int(row.field) for row in rows] == W["W41"]["lenet"]


@on_both
def test_w42_a_neuron_with_a_filter_of_four_by_four(backend: str) -> None:
    e = W["W42"]
    found, *_ = correlate(backend, np.arange(36.0).reshape(6, 6), e["filter"], stride=e["stride"])
    np.testing.assert_array_equal(found + e["bias"], e["out"])


# ---- the toy network of crosses and noughts --------------------------------------------------------------


@on_both
def test_w45_to_w49_filter_maps_of_the_cross(backend: str) -> None:
    e = W["W45"]
    drawn = -np.ones((9, 9))
    drawn[np.arange(1, 8), np.arange(1, 8)] = drawn[np.arange(1, 8), np.arange(7, 0, -1)] = 1
    np.testing.assert_array_equal(e["X"], drawn)
    x, w = gc.input("x", ("N", 1, 9, 9)), gc.input("w", (3, 1, 3, 3))
    maps = gc.conv2d(x, w) / 9.0
    centre = maps[0, 0, 3, 3]
    filters = np.array([e[k] for k in ("F1", "F2", "F3")], float)[:, None]
    found, nudges = run(backend, [maps[0], gc.grad(centre, w)], {x: drawn[None, None], w: filters})
    for name, got in zip(("W47", "W48", "W49"), found, strict=True):
        close(got * 9, W[name]["map9"], 1e-14)
        close(got, W[name]["stated_map"], W[name]["tol_stated"])
        truncated = np.trunc(np.array(W[name]["map9"]) * 100 / 9) / 100
        np.testing.assert_array_equal(truncated, W[name]["stated_map"])
    match = W["W46"]
    np.testing.assert_array_equal(drawn[1:4, 1:4] * e["F1"], match["prod_11"])
    np.testing.assert_array_equal(drawn[3:6, 3:6] * e["F1"], match["prod_33"])
    assert found[0, 1, 1] == match["stated_11"]
    close(found[0, 3, 3], match["stated_33"], match["tol_stated"])
    close(found[0, 3, 3], match["exact_33"], match["tol"])
    close(nudges[0, 0] * 9, match["dmap33_dF1_x9"], 1e-14)
    np.testing.assert_array_equal(nudges[1:], 0)


# ---- architectures and pooling ---------------------------------------------------------------------------


def lenet() -> nn.Model:
    """LeNet-5* of W52."""
    x = nn.Input((1, 28, 28))
    y = nn.Conv2D(20, 5, padding="same", activation="relu")(x)
    y = nn.Conv2D(50, 5, padding="same", activation="relu")(nn.MaxPool2D(2)(y))
    y = nn.Flatten()(nn.MaxPool2D(2)(y))
    return nn.Model(x, nn.Dense(10)(nn.Dense(500, activation="relu")(y)))


def test_w52_lenet() -> None:
    e = W["W52"]
    summary = lenet().summary(verbose=0)
    # The deck gives the activation a row of its own, where graphc has it in the layer.
    stated = [row for row in e["rows"] if row[0] != "ReLU"]
    for row, (name, output, weights, parameters, macs) in zip(summary.rows, stated, strict=True):
        assert list(row.output) == output, name
        assert (None if row.weights is None else list(row.weights)) == weights, name
        assert (row.parameters, row.macs) == (parameters, macs), name
    assert (summary.parameters, summary.macs) == (e["total_params"], e["total_macs"])


@on_both
def test_w54_max_pooling(backend: str) -> None:
    e = W["W54"]
    x = gc.input("x", (4, 4))
    largest, average = gc.max_pool2d(x[None, None], 2)[0, 0], gc.avg_pool2d(x[None, None], 2)[0, 0]
    outputs = [largest, average, gc.grad(gc.sum(largest), x), gc.grad(gc.sum(average), x)]
    top, mean, mask, even = run(backend, outputs, {x: e["x"]})
    np.testing.assert_array_equal(top, e["stated_max"])
    np.testing.assert_array_equal(mean, e["avg"])
    np.testing.assert_array_equal(mask, e["mask"])
    np.testing.assert_array_equal(even, np.full((4, 4), 0.25))
