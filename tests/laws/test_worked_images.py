"""Worked examples W32 to W42 and W44: convolution and the arithmetic of its sizes; values and gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
from worked_examples import W, equal, on_both, run

import graphc as gc
from graphc import nn


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
    equal(found, e["map"])
    for row, stated in zip(found, e["stated_map"], strict=True):
        assert all(s is None or s == v for s, v in zip(stated, row, strict=True))
    # The sum of the map is linear in the kernel and in the image: its gradients give it back.
    assert (dw * e["filter"]).sum() == (dx * e["image"]).sum() == found.sum()
    equal(dw, [[np.sum(np.array(e["image"])[i : i + 3, j : j + 3]) for j in range(3)] for i in range(3)])
    e = W["W34"]
    found, *_ = correlate(backend, e["input"], e["kernel"])
    equal(found, e["stated_out"])
    turned, *_ = correlate(backend, e["input"], np.array(e["kernel"])[::-1, ::-1])
    equal(turned, e["flipped"])


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


@on_both
def test_w33_a_patch_that_matches(backend: str) -> None:
    e = W["W33"]
    patch = np.array(W["W45"]["F1"], float)
    found, *_ = correlate(backend, patch, patch)
    equal(patch * patch, e["product"])
    assert found.tolist() == [[e["stated_sum"]]]  # here it is not divided by 9; in W46 it is
    width, stride = e["filter_side"], e["stride"]
    x = nn.Input((1, 8, 8))
    neuron = nn.Model(x, nn.Conv2D(1, width, strides=stride, use_bias=False)(x))
    assert neuron.summary(verbose=0).parameters == e["stated_weights"]
    first = np.zeros((width, width))
    first[0, 0] = 1  # picks the corner of each patch: neighbours are two pixels apart
    image = np.arange(100.0).reshape(10, 10)
    equal(correlate(backend, image, first, stride=stride)[0], image[:7:2, :7:2])


def test_w41_receptive_fields() -> None:
    for kernel, name in ((3, "K3"), (5, "K5")):
        x = y = nn.Input((1, 64, 64))
        for _ in W["W41"][name]:
            y = nn.Conv2D(1, kernel)(y)
        rows = nn.Model(x, y).summary(verbose=0).rows[1:]
        assert [int(row.field) for row in rows] == W["W41"][name]
    x = nn.Input((1, 28, 28))
    y = nn.MaxPool2D(2)(nn.Conv2D(20, 5, padding="same")(x))
    y = nn.MaxPool2D(2)(nn.Conv2D(50, 5, padding="same")(y))
    rows = nn.Model(x, y).summary(verbose=0).rows[1:]
    assert [int(row.field) for row in rows] == W["W41"]["lenet"]


@on_both
def test_w42_a_neuron_with_a_filter_of_four_by_four(backend: str) -> None:
    e = W["W42"]
    found, *_ = correlate(backend, np.arange(36.0).reshape(6, 6), e["filter"], stride=e["stride"])
    equal(found + e["bias"], e["out"])


@on_both
def test_w44_two_convolutions_are_one(backend: str) -> None:
    e = W["W44"]
    assert e["x_rule"] == "arange(49).reshape(7,7) % 5"
    x = gc.reshape(gc.cast(gc.arange(49) % 5, "float64"), (1, 1, 7, 7))
    k1, k2 = (gc.const(np.array(e[k], float)[None, None]) for k in ("k1", "k2"))
    both = gc.conv2d(k1, k2, padding=2, flip=True)  # the full, true convolution of the kernels
    between = gc.conv2d(x, k1)
    outputs = [both, gc.conv2d(between, k2), gc.conv2d(x, both), gc.conv2d(gc.relu(between), k2)]
    k12, stacked, one, rectified = run(backend, outputs)
    equal(k12[0, 0], e["k12"])
    equal(stacked[0, 0], e["out"])
    equal(one[0, 0], e["out"])
    assert (rectified[0, 0] != e["out"]).any()  # with a ReLU between them they are not one
