"""Convolutions, pools, images and normalisations: values and derivatives on every back end.

Values and gradients against loops in NumPy (`cases_windows.py`, `cases_images.py`) and central differences;
gradients of gradients; forward against reverse mode; named heights and widths against numbers.
"""

from __future__ import annotations

import numpy as np
import pytest
from case_checks import (
    BACKENDS,
    arrays,
    check_value_and_gradient,
    differences,
    tensors,
    upstream,
    upstream_array,
    value_and_gradient,
)
from cases_images import CASES as IMAGES
from cases_windows import CASES as WINDOWS

import graphc as gc
from graphc.runtime.function import Function

CASES = {**WINDOWS, **IMAGES}


@pytest.mark.parametrize("name", CASES)
def test_value_and_gradient_on_every_back_end(name: str) -> None:
    case = CASES[name]
    functions = {backend: value_and_gradient(case, "float64", backend) for backend in BACKENDS}
    check_value_and_gradient(case, functions, (1e-12, 1e-12), (1e-7, 1e-8), linear=case.linear)
    single = value_and_gradient(case, "float32", "llvm")
    for batch in case.batches:
        given = arrays(case, batch)
        low = [a.astype("float32") if a.dtype == np.float64 else a for a in given]
        for g, w in zip(single(*low), functions["reference"](*given), strict=True):
            assert g.dtype == np.float32 and g.shape == w.shape
            np.testing.assert_allclose(g, w, rtol=1e-4, atol=1e-4, err_msg=f"float32, N = {batch}")


@pytest.mark.parametrize("name", [k for k, c in CASES.items() if c.curved])
def test_gradient_of_the_gradient_and_forward_mode(name: str) -> None:
    """Σ sin(value) has a gradient g; Σ upstream·g has one again, and it is what differences of g say.  What
    reverse mode pulls back, forward mode pushes: <u, J v> = <Jᵀ u, v>."""
    case = CASES[name]
    xs = list(tensors(case, "float64").values())
    wrt = [x for x in xs if x.dtype.is_float]
    y = case.make(*xs)
    loss = gc.sum(gc.sin(y))
    first = gc.grad(loss, wrt)
    mixed = gc.sum(gc.stack([gc.sum(g * upstream(g)) for g in first]))
    pushed = gc.sum(upstream(y) * gc.jvp(y, wrt, [upstream(x) for x in wrt])[0])
    pulled = [gc.sum(g * upstream(x)) for g, x in zip(gc.vjp(y, wrt, upstream(y)), wrt, strict=True)]
    second = gc.grad(mixed, wrt)
    given = arrays(case, max(case.batches))
    outputs = [*second, pushed, *pulled]
    slope = gc.compile(xs, mixed, backend="reference")
    floats = [k for k, a in enumerate(given) if a.dtype.kind == "f"]
    wanted = [differences(lambda *a: np.asarray(slope(*a)), given, k, np.ones(())) for k in floats]
    for backend in ("reference", "llvm"):
        found = gc.compile(xs, outputs, backend=backend)(*given)
        for k, g, w in zip(floats, found, wanted, strict=False):
            np.testing.assert_allclose(g, w, rtol=1e-7, atol=1e-7, err_msg=f"by operand {k}, {backend}")
        forward, *reverse = found[len(floats) :]
        assert forward == pytest.approx(sum(reverse), rel=1e-11, abs=1e-11), backend


# ---- named heights and widths ----------------------------------------------------------------------------

NAMED = {
    "conv2d": lambda x, w: gc.conv2d(x, w, 2, 1),
    "conv2d flipped and full": lambda x, w: gc.conv2d(x, w, padding="full", flip=True),
    "conv_transpose2d": lambda x, w: gc.conv_transpose2d(x, w, 2, 1, 1),
    "unfold": lambda x, w: gc.unfold(x, 2, padding=1),
    "max_pool2d": lambda x, w: gc.max_pool2d(x, 3, 2, 1),
    "max_pool2d places": lambda x, w: gc.max_pool2d(x, 2, return_indices=True)[1],
    "avg_pool2d": lambda x, w: gc.avg_pool2d(x, 2, padding=1),
    "lp_pool2d": lambda x, w: gc.lp_pool2d(x, 2, 2),
    "max_unpool2d": lambda x, w: gc.max_unpool2d(*gc.max_pool2d(x, 2, return_indices=True), 2),
    "global_avg_pool": lambda x, w: gc.global_avg_pool(x),
    "upsample nearest": lambda x, w: gc.upsample(x, 2),
    "upsample bilinear": lambda x, w: gc.upsample(x, 3, "bilinear"),
    "crop": lambda x, w: gc.crop(x, 1, 0, 3, 2),
    "affine_warp": lambda x, w: gc.affine_warp(x, w[0, :, 0, :].T[:2], (3, 4)),
    "roi_pool": lambda x, w: gc.roi_pool(x, [[0, 1, 1, 3, 2], [1, 0, 0, 2, 5]], 2),
    "batch_norm": lambda x, w: gc.batch_norm(x),
    "layer_norm": lambda x, w: gc.layer_norm(x, (1, 2, 3)),
    "group_norm": lambda x, w: gc.group_norm(x, 3),
    "instance_norm": lambda x, w: gc.instance_norm(x),
    "local_response_norm": lambda x, w: gc.local_response_norm(x, 3),
}


@pytest.mark.parametrize("name", NAMED)
def test_one_function_for_every_height_and_width(name: str) -> None:
    make = NAMED[name]

    def function(shape: tuple[int | str, ...], backend: str) -> Function:
        x, w = gc.input("x", shape), gc.input("w", (3, 3, 3, 3))
        y = make(x, w)
        outputs = [y, *gc.grad(gc.sum(y * gc.sin(y)), [x])] if y.dtype.is_float else [y]
        return gc.compile([x, w], outputs, backend=backend)

    native = function(("N", 3, "H", "W"), "llvm")
    draw = np.random.default_rng(5)
    w = draw.normal(size=(3, 3, 3, 3)) / 4
    for shape in ((2, 3, 6, 4), (3, 3, 5, 7)):
        x = draw.normal(size=shape)
        got, wanted = native(x, w), function(shape, "reference")(x, w)
        for g, v in zip(*((a if isinstance(a, tuple) else (a,)) for a in (got, wanted)), strict=True):
            np.testing.assert_allclose(g, v, rtol=1e-11, atol=1e-12, err_msg=str(shape))


# ---- edges -----------------------------------------------------------------------------------------------


def test_ties_and_nan_in_windows(backend: str) -> None:
    x = gc.input("x", (1, 1, 4))
    value, places = gc.max_pool1d(x, 2, 1, dilation=2, return_indices=True)
    (slope,) = gc.grad(gc.sum(gc.max_pool1d(x, 2, 1, dilation=2)), [x])
    fn = gc.compile([x], [value, places, slope], backend=backend)
    v, p, g = fn(np.array([[[5.0, 1, 5, np.nan]]]))
    np.testing.assert_array_equal(v, [[[5, np.nan]]])
    np.testing.assert_array_equal(p, [[[0, 3]]])
    np.testing.assert_array_equal(g, [[[1, 0, 0, 1]]])


def test_equal_maxima_of_a_region_give_the_gradient_to_the_first_in_row_major_order(backend: str) -> None:
    x = gc.input("x", (1, 1, 3, 3))
    fn = gc.compile([x], gc.grad(gc.sum(gc.roi_pool(x, [[0, 0, 0, 2, 2]], 1)), x), backend=backend)
    image = np.array([[0.0, 0, 2], [0, 2, 0], [2, 0, 0]])
    np.testing.assert_array_equal(
        fn(image.reshape(1, 1, 3, 3)).reshape(3, 3), [[0, 0, 1], [0, 0, 0], [0, 0, 0]]
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_window_of_zeros_has_no_norm_and_no_slope(dtype: str, backend: str) -> None:
    x = gc.input("x", (1, 1, 4), dtype)
    for p in (1, 2, 3):
        y = gc.lp_pool1d(x, p, 2)
        value, slope = gc.compile([x], [y, *gc.grad(gc.sum(y), [x])], backend=backend)(
            np.array([[[0, 0, 3, -4]]], dtype)
        )
        np.testing.assert_allclose(value, [[[0, (3**p + 4**p) ** (1 / p)]]], rtol=1e-6)
        np.testing.assert_array_equal(slope[..., :2], 0)
        assert np.isfinite(slope).all() and slope[0, 0, 2] > 0 > slope[0, 0, 3]


NORMS = {
    "batch_norm": (gc.batch_norm, (0, 2)),
    "layer_norm": (lambda x: gc.layer_norm(x, (1, 2)), (1, 2)),
    "group_norm": (lambda x: gc.group_norm(x, 1), (1, 2)),
    "instance_norm": (gc.instance_norm, (2,)),
}


@pytest.mark.parametrize("name", NORMS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normalisation_of_what_does_not_vary_and_of_what_is_far_from_zero(
    name: str, dtype: str, backend: str
) -> None:
    """A constant becomes 0; numbers around 10^6 keep the digits that they have: the variance takes two passes."""
    make, axes = NORMS[name]
    x = gc.input("x", ("N", 2, 8), dtype)
    y = make(x)
    fn = gc.compile([x], [y, *gc.vjp(y, [x], upstream(y))], backend=backend)
    value, slope = fn(np.full((2, 2, 8), 3.25, dtype))
    up = upstream_array((2, 2, 8), "float64")
    np.testing.assert_array_equal(value, 0)
    expected = (up - up.mean(axes, keepdims=True)) / np.sqrt(1e-5)
    np.testing.assert_allclose(slope, expected, rtol=1e-5, atol=1e-4)
    waves = (np.sin(np.arange(32.0)).reshape(2, 2, 8) * 64).round()
    for a, b in zip(fn(waves.astype(dtype)), fn((waves + 2**20).astype(dtype)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_infinity_and_nan_stay_where_they_are(backend: str) -> None:
    """A pixel that is no number spoils what it belongs to, and nothing else."""
    x = gc.input("x", (1, 1, 6, 6))
    image = np.arange(36.0).reshape(1, 1, 6, 6)
    image[0, 0, 0, 0] = np.nan
    for y in (
        gc.resize(x, 4, "bilinear"),
        gc.resize(x, 12, "bilinear"),
        gc.adaptive_avg_pool2d(x, 4),
        gc.avg_pool2d(x, 2),
        gc.roi_pool(x, [[0, 0, 0, 5, 5]], 3),
    ):
        got = gc.compile([x], y, backend=backend)(image)[0, 0]
        assert np.isnan(got[0, 0]) and np.isfinite(got[got.shape[0] // 2 :]).all()
        assert np.isfinite(got[:, got.shape[1] // 2 :]).all()
