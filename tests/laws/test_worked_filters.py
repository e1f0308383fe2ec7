"""Worked examples W43, W45 to W51 and W58 to W60: image filters, the toy network of crosses and noughts, images."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from worked_examples import W, close, equal, on_both, run

import graphc as gc
from graphc.lang.tensor import Tensor

# ---- images and their filters ----------------------------------------------------------------------------


@on_both
def test_w58_w59_w60_images_are_numbers(backend: str) -> None:
    for name, shape in (("W58", W["W58"]["shape"]), ("W59", (24, 16))):
        e = W[name]
        image = gc.const(e["image"])
        assert image.shape == shape and image.dtype.is_integer
        outputs = [gc.sum(image), gc.min(image), gc.max(image), gc.mean(image), gc.std(image)]
        total, least, most, mean, std = run(backend, outputs)
        assert (total, least, most) == (e["sum"], e["min"], e["max"])
        close(mean, e.get("mean", e["sum"] / (shape[0] * shape[1])), 1e-9)
        if "std" in e:
            close(std, e["std"], e["tol"])
    e = W["W59"]
    rows, columns, first, second = np.array(e["unsure"]).T
    there = gc.const(e["image"])[gc.const(rows), gc.const(columns)]
    equal(run(backend, [there])[0], first)  # the first of two copies on the slides; nothing depends on them
    assert (first != second).all()
    for (height, width, channels), values in W["W60"]["sizes"].items():
        assert gc.ravel(gc.input("image", (height, width, channels))).shape == (values,)


def filtered(kernel: Any, *, flip: bool = False) -> Tensor:
    """The image of W58 under a 3x3 kernel, where it fits."""
    image = gc.const(np.array(W["W58"]["image"], float))
    return gc.conv2d(image[None, None], gc.const(np.array(kernel, float))[None, None], flip=flip)[0, 0]


@on_both
def test_w43_image_filters(backend: str) -> None:
    e = W["W43"]
    sobel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    along, across = filtered(sobel), filtered(sobel.T)
    maps = {
        "mean_x9": filtered(np.ones((3, 3))),
        "median": gc.median_filter2d(gc.const(np.array(W["W58"]["image"], float)), 3),
        "gx": filtered(e["grad_n1"]),
        "gy": filtered(e["grad_n2"]),
        "sobel_x": along,
        "sobel_y": across,
        "sobel_mag": gc.hypot(along, across),
    }
    for name, found in zip(maps, run(backend, list(maps.values())), strict=True):
        assert found.shape == (14, 10)
        row = e[f"{name}_row0"]
        close(found[0, : len(row)], row, e["tol"])
        if f"{name}_sum" in e:
            close(found.sum(), e[f"{name}_sum"], e["tol"])
        if f"{name}_abs_sum" in e:
            close(np.abs(found).sum(), e[f"{name}_abs_sum"], e["tol"])
    turned = [filtered(e[k], flip=True) for k in ("grad_n1", "grad_n2")]
    for minus in run(backend, [maps["gx"] + turned[0], maps["gy"] + turned[1]]):
        equal(minus, np.zeros((14, 10)))  # the text's true convolution is the negative


# ---- the toy network of crosses and noughts --------------------------------------------------------------


@on_both
def test_w45_w46_w47_w48_w49_filter_maps_of_the_cross(backend: str) -> None:
    e = W["W45"]
    drawn = -np.ones((9, 9))
    drawn[np.arange(1, 8), np.arange(1, 8)] = drawn[np.arange(1, 8), np.arange(7, 0, -1)] = 1
    equal(e["X"], drawn)
    x, w = gc.input("x", ("N", 1, 9, 9)), gc.input("w", (3, 1, 3, 3))
    maps = gc.conv2d(x, w) / 9.0
    products = [x[0, 0, k : k + 3, k : k + 3] * w[0, 0] for k in (1, 3)]
    centre = maps[0, 0, 3, 3]
    filters = np.array([e[k] for k in ("F1", "F2", "F3")], float)[:, None]
    found, digits, nudges, *matches = run(
        backend,
        [maps[0], truncated(gc.round(maps[0] * 9.0)), gc.grad(centre, w), *products],
        {x: drawn[None, None], w: filters},
    )
    for name, got, printed in zip(("W47", "W48", "W49"), found, digits, strict=True):
        close(got * 9, W[name]["map9"], 1e-14)
        close(got, W[name]["stated_map"], W[name]["tol_stated"])
        equal(printed, W[name]["stated_map"])
    match = W["W46"]
    equal(matches, [match["prod_11"], match["prod_33"]])
    assert found[0, 1, 1] == match["stated_11"]
    close(found[0, 3, 3], match["stated_33"], match["tol_stated"])
    close(found[0, 3, 3], match["exact_33"], match["tol"])
    close(nudges[0, 0] * 9, match["dmap33_dF1_x9"], 1e-14)
    equal(nudges[1:], 0)


def cross_maps() -> Tensor:
    """Nine times the maps of the three filters on the cross, [3, 7, 7]: whole numbers."""
    e = W["W45"]
    filters = np.array([e[k] for k in ("F1", "F2", "F3")], float)[:, None]
    return gc.conv2d(gc.const(np.array(e["X"], float)[None, None]), gc.const(filters))[0]


def truncated(nine_times: Tensor) -> Tensor:
    """As the deck prints: x/9, cut after two digits."""
    return gc.trunc(nine_times * 100.0 / 9.0) / 100.0


@on_both
def test_w50_rectified_and_pooled_maps(backend: str) -> None:
    e = W["W50"]
    maps = gc.param("maps", (3, 7, 7), "float64")
    rectified = gc.relu(maps)
    pooled, other = (gc.max_pool2d(m[None], 2, ceil_mode=True)[0] for m in (maps, rectified))
    assert pooled.shape == (3, 4, 4)  # the tables keep windows that hang over the edge,
    assert gc.max_pool2d(maps[None], 2).shape[2:] == (3, 3)  # which the formula (H - K)/S + 1 drops
    # A tie: a window whose maximum is there more than once.
    same = gc.equal(maps, gc.upsample(pooled[None], 2)[0, :, :7, :7])
    cells = gc.reshape(gc.pad(gc.cast(same, "float64"), [(0, 0), (0, 1), (0, 1)]), (3, 4, 2, 4, 2))
    ties = gc.count_nonzero(gc.sum(cells, axis=(2, 4)) > 1, axis=(1, 2))
    outputs = [pooled, other, truncated(pooled), truncated(rectified[0]), ties, gc.grad(gc.sum(pooled), maps)]
    maps.value = run(backend, [cross_maps()])[0]
    nine, commuted, printed, printed_relu, tie_windows, mask = run(backend, outputs)
    equal(nine, e["pool9"])
    equal(commuted, e["pool9"])  # ReLU and max pooling commute here: no window is negative everywhere
    equal(printed, e["stated_pool"])
    close(nine / 9, e["stated_pool"], e["tol_stated"])
    equal(printed_relu, e["stated_relu_F1"])
    equal(tie_windows, e["tie_windows"])
    # The gradient goes to the first maximum of each window, row by row.
    expected = np.zeros((3, 7, 7))
    for k, i, j in itertools.product(range(3), range(0, 7, 2), range(0, 7, 2)):
        window = maps.value[k, i : i + 2, j : j + 2]
        row, column = np.unravel_index(np.argmax(window), window.shape)
        expected[k, i + row, j + column] = 1
    equal(mask, expected)


@on_both
def test_w51_twice_pooled(backend: str) -> None:
    e = W["W51"]
    once = gc.max_pool2d(cross_maps()[None], 2, ceil_mode=True)
    twice = gc.max_pool2d(once, 2, ceil_mode=True)[0]
    found, flat = run(backend, [twice, truncated(gc.ravel(twice))])
    equal(found, e["pooled_twice9"])
    equal(flat, e["flat12_trunc"])
    # The twelve values vote with weights that are lost; W29 takes the votes as given.
    assert list(e["stated_votes"].values()) == W["W29"]["actual"]
