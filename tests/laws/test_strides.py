"""The rules of strides, at every combination of stride, kernel and padding, and what they save."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

import graphc as gc
from graphc.ir.graph import Graph
from graphc.ir.node import Node, node
from graphc.ir.types import TensorType
from graphc.ops.conv import Conv
from graphc.ops.leaves import Input
from graphc.ops.views import Pad, Slice, Transpose
from graphc.passes.rules import RULES
from graphc.runtime.reference import evaluate

Numbers = tuple[int, ...]


def spread(x: Node, w: Node, lo: Numbers, hi: Numbers, strides: Numbers) -> Node:
    none, rank = (0, 0, 0), len(strides)
    padded = node(Pad(none + lo, none + hi, none + tuple(s - 1 for s in strides), 0.0), x)
    return node(Conv((1,) * rank, (1,) * rank), padded, w)


def leaves(sizes: tuple[int | str, ...], kernel: Numbers) -> tuple[Node, Node]:
    x = node(Input("x", TensorType.of("f64", ("N", 2, 3, *sizes))))
    return x, node(Input("w", TensorType.of("f64", (2, 2, 3, *kernel))))


@pytest.mark.parametrize("stride", [2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
def test_phases_keep_the_value(stride: int, kernel: int) -> None:
    """Whole numbers, so that every order of additions gives the same; ~40 paddings and sizes each."""
    draw = np.random.default_rng(0)
    w = draw.integers(-9, 10, (2, 2, 3, kernel)).astype(float)
    tried = 0
    for lo, hi, size in itertools.product(range(5), (0, 1, 2, 5), (1, 2, 4)):
        if lo + hi + stride * (size - 1) + 1 < kernel:
            continue
        X, W = leaves((size,), (kernel,))
        root = spread(X, W, (lo,), (hi,), (stride,))
        applied = RULES["conv-of-spread"].apply(root)
        assert applied is not None
        x = draw.integers(-9, 10, (2, 2, 3, size)).astype(float)
        before, after = evaluate(Graph("f", (X, W), (root, applied[1])), [x, w])
        np.testing.assert_array_equal(after, before, err_msg=f"padding {lo}, {hi}, size {size}")
        tried += 1
    assert tried > 25


@pytest.mark.parametrize("sizes", [(3, 2), ("H", 2), ("H", "W")])
def test_phases_take_two_axes_and_named_sizes(sizes: tuple[int | str, ...]) -> None:
    X, W = leaves(sizes, (3, 2))
    root = spread(X, W, (1, 0), (2, 3), (2, 3))
    applied = RULES["conv-of-spread"].apply(root)
    assert applied is not None
    draw = np.random.default_rng(1)
    x, w = (draw.integers(-9, 10, s).astype(float) for s in ((1, 2, 3, 3, 2), (2, 2, 3, 3, 2)))
    before, after = evaluate(Graph("f", (X, W), (root, applied[1])), [x, w])
    np.testing.assert_array_equal(after, before)


@pytest.mark.parametrize("stride", [2, 3])
@pytest.mark.parametrize("size", [2, 3, 5])
def test_image_and_kernel_exchanged_keep_the_value(stride: int, size: int) -> None:
    draw = np.random.default_rng(2)
    tried = 0
    for lo, hi, places in itertools.product(range(4), (0, 1, 3), (1, 2, 4)):
        kernel = lo + hi + stride * (size - 1) + 1 - places + 1
        X = node(Input("x", TensorType.of("f64", ("N", 2, 3, size, 4))))
        W = node(Input("w", TensorType.of("f64", (2, 5, "N", max(1, kernel), 9))))
        padded = node(Pad((0, 0, 0, lo, 0), (0, 0, 0, hi, 2), (0, 0, 0, stride - 1, 2), 0.0), X)
        root = node(Conv((1, 1), (1, 1)), node(Transpose((2, 1, 0, 3, 4)), padded), W)
        applied = RULES["conv-by-spread"].apply(root)
        out = root.type.shape[3:]
        assert (applied is not None) == (math.prod(out) < 4 * size <= 9 * max(1, kernel))  # type: ignore[arg-type]
        if applied is None:
            continue
        x = draw.integers(-9, 10, (2, 2, 3, size, 4)).astype(float)
        w = draw.integers(-9, 10, (2, 5, 2, max(1, kernel), 9)).astype(float)
        before, after = evaluate(Graph("f", (X, W), (root, applied[1])), [x, w])
        np.testing.assert_array_equal(after, before, err_msg=f"padding {lo}, {hi}, {places} places")
        tried += 1
    assert tried > 8


def test_a_slice_with_steps_becomes_a_stride() -> None:
    draw = np.random.default_rng(3)
    X, W = leaves((11, 8), (3, 2))
    x, w = (
        draw.integers(-9, 10, (2, 2, 3, 11, 8)).astype(float),
        draw.integers(-9, 10, (2, 2, 3, 3, 2)).astype(float),
    )
    for strides, dilations, start, step in (
        ((1, 1), (1, 1), 0, 2),
        ((2, 1), (1, 2), 1, 3),
        ((1, 2), (3, 1), 2, 2),
    ):
        conv = node(Conv(strides, dilations), X, W)
        rows, columns = (int(str(d)) for d in conv.type.shape[3:])
        shape = (*conv.type.shape[:3], -(-(rows - start) // step), columns)
        root = node(Slice((0, 0, 0, start, 0), (1, 1, 1, step, 1), shape), conv)
        applied = RULES["stride-of-slice"].apply(root)
        assert applied is not None
        before, after = evaluate(Graph("f", (X, W), (root, applied[1])), [x, w])
        np.testing.assert_array_equal(after, before)


def test_a_transposed_convolution_multiplies_by_no_zeros() -> None:
    """It costs what the convolution costs, not stride² times as much, and so do its gradients."""
    shapes = (2, 4, 8, 8), (4, 5, 4, 4), (2, 5, 16, 16)
    x, w, up = (gc.input(k, s, "float32") for k, s in zip(("x", "w", "up"), shapes, strict=True))
    y = gc.conv_transpose2d(x, w, stride=2, padding=1)
    given = [np.random.default_rng(2).normal(size=s).astype("float32") for s in shapes]
    useful = 2 * 2 * 4 * 5 * 16 * 8 * 8
    off = ["conv-of-spread", "conv-by-spread", "stride-of-slice"]
    for out in (y, *gc.vjp(y, [x, w], up)):
        fast, plain = gc.compile([x, w, up], out), gc.compile([x, w, up], out, disable=off)
        assert useful <= fast.cost.flops <= 1.3 * useful < 3.9 * useful <= plain.cost.flops
        np.testing.assert_allclose(fast(*given), plain(*given), rtol=1e-4, atol=1e-4)
