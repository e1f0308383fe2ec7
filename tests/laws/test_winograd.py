"""Convolutions in tiles (`gc.compile(winograd=True)`): exact algebra, and errors within the stated bound."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

import graphc as gc
from graphc.ir.graph import Graph
from graphc.ir.node import node
from graphc.lang.tensor import Tensor
from graphc.ops.conv import Conv
from graphc.ops.views import Reshape
from graphc.ops.winograd import POINTS, WinogradInput, WinogradOutput, bound, transforms
from graphc.passes.log import Log
from graphc.passes.winograd import Tiled, winograd
from graphc.runtime.function import Function

BACKENDS = ("reference", "interpreter", "llvm")
Array = np.ndarray


@pytest.mark.parametrize("tile", POINTS)
def test_the_transforms_convolve_exactly(tile: int) -> None:
    """Aᵀ and Bᵀ are exact in float32; with the exact G, unit filters and unit images give the exact places."""
    inverse, filters, forward = transforms(tile)
    for matrix in (inverse, forward):
        np.testing.assert_array_equal(np.array(matrix), np.array(matrix, "float32"))
    points = POINTS[tile]
    apart = [np.prod([p - q for q in points if q != p]) for p in points]
    exact = [[p**k / d for k in range(3)] for p, d in zip(points, apart, strict=True)]
    exact.append([Fraction(0), Fraction(0), Fraction(1)])
    np.testing.assert_allclose(np.array(filters), np.array(exact, float), rtol=1e-15)
    for i in range(tile):
        for k in range(3):
            for j in range(tile + 2):
                rows = zip(inverse[i], exact, forward, strict=True)
                assert sum(Fraction(a) * g[k] * Fraction(b[j]) for a, g, b in rows) == (j == i + k)


def tiled(x: Tensor, w: Tensor, tile: int, padding: int) -> Tensor:
    """A convolution in tiles of a size, whether that is faster or not."""
    y = gc.conv2d(x, w, padding=padding)
    conv = next(n for n in Graph("f", (), (y.node,)).nodes if isinstance(n.op, Conv))
    made = Tiled(conv, x.node, (padding, padding), tile).result()
    return Tensor(node(Reshape(y.node.type.shape), made))


def exact(x: Array, w: Array, padding: int) -> Array:
    """The convolution in float64."""
    wide = np.pad(x.astype("float64"), [(0, 0), (0, 0), (padding, padding), (padding, padding)])
    windows = np.lib.stride_tricks.sliding_window_view(wide, (3, 3), (2, 3))
    return np.einsum("nchwij,ocij->nohw", windows, w.astype("float64"), optimize=True)


def within_bound(got: Array, x: Array, w: Array, padding: int, tile: int) -> None:
    wanted = exact(x, w, padding)
    assert got.shape == wanted.shape and got.dtype == np.float32
    limit = bound(tile, w.shape[1]) * np.abs(x).max(initial=0) * np.abs(w).sum((1, 2, 3))
    error = np.abs(got - wanted).max((0, 2, 3), initial=0)
    assert (error <= limit).all(), (error.max(), limit.min())


SHAPES = [(1, 1, 1), (1, 2, 2), (2, 3, 4), (2, 4, 3), (1, 5, 7), (3, 9, 6), (1, 8, 8), (2, 1, 11)]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("tile", POINTS)
def test_every_size_and_padding_is_within_the_bound(tile: int, backend: str) -> None:
    """Images of one to a few tiles, odd sizes; constant filters in one block, several, and none; the batch named."""
    draw = np.random.default_rng(tile)
    filters = [(4, 3), (32, 17), (5, 16)] if backend != "interpreter" else [(4, 3)]
    for k, (n, height, width) in enumerate(SHAPES):
        for padding in (0, 1, 2):
            small = min(height, width) + 2 * padding < 3
            if small or (backend != "reference" and (k + padding) % 3 == 1):
                continue
            out, inside = filters[(k + padding) % len(filters)]
            image = draw.standard_normal((n, inside, height, width)).astype("float32")
            taps = draw.standard_normal((out, inside, 3, 3)).astype("float32")
            x, w = (
                gc.input("x", ("N", inside, height, width), "float32"),
                gc.input("w", taps.shape, "float32"),
            )
            constant = gc.compile([x], tiled(x, gc.const(taps), tile, padding), backend=backend)
            within_bound(constant(image), image, taps, padding, tile)
            if k % 3 == padding:
                given = gc.compile([x, w], tiled(x, w, tile, padding), backend=backend)
                within_bound(given(image, taps), image, taps, padding, tile)


def network(x: Tensor, draw: np.random.Generator, channels: int) -> Tensor:
    """A residual block, pooling and one more convolution: what stands between two convolutions in tiles."""

    def conv(h: Tensor, name: str) -> Tensor:
        scale = (9 * channels) ** -0.5
        w = gc.param(name, init=(scale * draw.standard_normal((channels, channels, 3, 3))).astype("float32"))
        return gc.conv2d(h, w, padding=1) + gc.param(
            f"b{name}", init=np.linspace(-1, 1, channels, dtype="f4")[:, None, None]
        )

    h = gc.relu(conv(x, "w1"))
    h = gc.relu(conv(h, "w2") + x)
    return conv(gc.max_pool2d(h, 2), "w3")


def test_a_network_is_computed_in_tiles_from_one_layer_to_the_next() -> None:
    draw = np.random.default_rng(0)
    x = gc.input("x", (1, 64, 17, 22), "float32")
    y = gc.freeze(network(x, draw, 64))
    fast, plain = gc.compile([x], y, winograd=True), gc.compile([x], y)
    assert fast.log.counts()["winograd"] == 3 and "winograd" not in plain.log.counts()
    assert [b.shape for b in fast.program.buffers].count((1, 17, 22, 64)) == 2  # channels lie innermost
    image = draw.standard_normal((1, 64, 17, 22)).astype("float32")
    np.testing.assert_allclose(fast(image), plain(image), rtol=0, atol=2e-5)
    np.testing.assert_array_equal(fast(image), fast(image))
    for backend in ("reference", "llvm"):
        other = gc.compile([x], y, winograd=True, backend=backend, disable=["layout", "fuse"])
        np.testing.assert_allclose(other(image), plain(image), rtol=0, atol=2e-5)


def at_random(draw: np.random.Generator, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """A few layers around convolutions in tiles, and their filters: what reads and writes them in other orders."""
    params: list[Tensor] = []

    def conv(h: Tensor, out: int, **settings: int) -> Tensor:
        shape = (out, int(h.shape[1]), 3, 3)
        scale = float(np.prod(shape[1:])) ** -0.5
        params.append(
            gc.param(f"w{len(params)}", init=(scale * draw.standard_normal(shape)).astype("float32"))
        )
        return gc.conv2d(h, params[-1], **{"padding": 1, **settings})

    def pooled(h: Tensor) -> Tensor:
        return gc.max_pool2d(h, 2) if min(int(h.shape[2]), int(h.shape[3])) > 1 else h

    h = gc.tanh(conv(x, 16))
    for kind in draw.integers(6, size=2):
        h = (
            lambda h: gc.sin(conv(h, 20, padding=2) + 0.1),
            lambda h: gc.sin(h + conv(h, int(h.shape[1]))),
            lambda h: conv(pooled(h), 16),
            lambda h: gc.concatenate([h, conv(h, 16)], 1),
            lambda h: conv(conv(h, 32, stride=2), 16),
            lambda h: conv(conv(h, 8)[:, :, ::-1], 16),
        )[kind](h)
    return h, params


@pytest.mark.parametrize("seed", range(6))
def test_networks_at_random_compute_the_same_in_tiles(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphc.passes.winograd.GAIN", 0.0)  # in tiles, whether that is faster or not
    draw = np.random.default_rng(seed)
    batch, given = [(1, 1), ("N", 3), (16, 16)][seed % 3]
    x = gc.input("x", (batch, *(int(n) for n in draw.integers(2, 12, size=3))), "float32")
    h, params = at_random(draw, x)
    outputs = (
        gc.freeze([h, gc.mean(h, (2, 3))]) if seed < 3 else [h, *gc.grad(gc.sum(gc.sin(h)), [x, *params])]
    )
    image = draw.standard_normal((given, *(int(d) for d in x.shape[1:]))).astype("float32")
    fast = gc.compile([x], outputs, winograd=True, cache=False, threads=1 + seed % 2)
    assert fast.log.counts()["winograd"] >= 2
    first, again, plain = fast(image), fast(image), gc.compile([x], outputs, backend="reference")(image)
    for got, same, wanted in zip(first, again, plain, strict=True):
        np.testing.assert_array_equal(got, same)
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-4 * float(np.abs(wanted).max()))


@pytest.mark.parametrize("backend", ["reference", "llvm"])
@pytest.mark.parametrize("tile", POINTS)
def test_images_lie_innermost_where_there_are_many_and_filters_change(tile: int, backend: str) -> None:
    draw = np.random.default_rng(tile)
    for height, width, padding in ((5, 6, 1), (3, 9, 0)):
        image = draw.standard_normal((18, 5, height, width)).astype("float32")
        taps = draw.standard_normal((17, 5, 3, 3)).astype("float32")
        x, w = gc.input("x", image.shape, "float32"), gc.input("w", taps.shape, "float32")
        y = tiled(x, w, tile, padding)
        assert any(isinstance(n.op, WinogradInput) and n.op.images for n in Graph("f", (), (y.node,)).nodes)
        within_bound(gc.compile([x, w], y, backend=backend)(image, taps), image, taps, padding, tile)


def test_gradients_to_parameters_and_images_are_those_of_the_convolution() -> None:
    """Of the three convolutions forward, and those of the gradients to images; not to the filters."""
    draw = np.random.default_rng(0)
    image = draw.standard_normal((16, 16, 12, 12)).astype("float32")
    for batch in (16, "N"):
        x = gc.input("x", (batch, 16, 12, 12), "float32")
        loss = gc.sum(gc.sin(network(x, draw, 16)))
        params = [Tensor(n) for n in Graph("f", (), (loss.node,)).nodes if n.op.name == "param"]
        outputs = [loss, *gc.grad(loss, [x, *params])]
        fast, plain = gc.compile([x], outputs, winograd=True), gc.compile([x], outputs)
        assert fast.log.counts()["winograd"] >= 4
        for got, wanted in zip(fast(image), plain(image), strict=True):
            scale = float(np.abs(wanted).max())
            np.testing.assert_allclose(got, wanted, rtol=0, atol=2e-5 * scale)


def compiled(y: Tensor, x: Tensor) -> Function:
    return gc.compile([x], y, winograd=True, backend="reference")


def test_what_is_no_such_convolution_stays() -> None:
    """Strides, dilations, groups, other sizes of filters, few channels, float64; and nothing without the option."""
    for dtype, channels, settings, size in (
        ("float32", 64, {"stride": 2}, 3),
        ("float32", 64, {"dilation": 2}, 3),
        ("float32", 64, {"groups": 2}, 3),
        ("float32", 64, {}, 5),
        ("float32", 4, {}, 3),
        ("float64", 64, {}, 3),
    ):
        x = gc.input("x", (1, channels, 16, 16), dtype)
        w = gc.const(np.ones((channels, channels // settings.get("groups", 1), size, size), dtype))
        fn = compiled(gc.conv2d(x, w, **settings), x)
        assert "winograd" not in fn.log.counts(), settings
    x = gc.input("x", (1, 64, 16, 16), "float32")
    y = gc.conv2d(x, gc.const(np.ones((64, 64, 3, 3), "float32")))
    assert "winograd" in compiled(y, x).log.counts()
    both = gc.compile([x], y, winograd=True, precision="bf16", backend="reference").log.counts()
    assert "winograd" not in both  # tiles would enlarge the error of operands that are rounded
    assert "winograd" not in gc.compile([x], y, backend="reference").log.counts()


def test_a_convolution_says_how_far_it_may_be_off() -> None:
    x = gc.input("x", (1, 64, 16, 16), "float32")
    y = gc.conv2d(x, gc.const(np.ones((64, 64, 3, 3), "float32")), padding=1)
    log = Log()
    new = winograd(Graph("f", (x.node,), (y.node,)), log)
    (event,) = log
    assert event.equation == (f"x ∗ w = Aᵀ[(G w Gᵀ)·(Bᵀ x B)]A, |error| ≤ {bound(4, 64):.1e}·max|x|·Σ|w|")
    kinds = [type(n.op) for n in new.nodes]
    assert kinds.count(WinogradInput) == kinds.count(WinogradOutput) == 1 and Conv not in kinds
