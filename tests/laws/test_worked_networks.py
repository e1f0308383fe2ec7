"""Worked examples W52 to W57 and W61: architectures, pooling, normalisation and metrics."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from worked_examples import W, close, equal, on_both, run

import graphc as gc
from graphc import nn
from graphc.ir.node import toposort
from graphc.lang.tensor import Tensor
from graphc.ops.contract import Contract
from graphc.ops.conv import Conv
from graphc.ops.leaves import Input


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
    # The deck says that the volume is preserved; its own table says otherwise.
    assert [math.prod(row[1]) for row in stated if len(row[1]) == 3][1:] == [15680, 3920, 9800, 2450]


@on_both
def test_w54_max_pooling(backend: str) -> None:
    e = W["W54"]
    x = gc.input("x", (4, 4))
    largest, average = gc.max_pool2d(x[None, None], 2)[0, 0], gc.avg_pool2d(x[None, None], 2)[0, 0]
    outputs = [largest, average, gc.grad(gc.sum(largest), x), gc.grad(gc.sum(average), x)]
    top, mean, mask, even = run(backend, outputs, {x: e["x"]})
    equal(top, e["stated_max"])
    equal(mean, e["avg"])
    equal(mask, e["mask"])
    equal(even, np.full((4, 4), 0.25))


# ---- the networks of ImageNet ----------------------------------------------------------------------------


class Weights:
    """Layers with weights that are inputs: shapes without values."""

    def __init__(self) -> None:
        self.made: list[Tensor] = []

    def weight(self, *shape: int) -> Tensor:
        self.made.append(gc.input(f"w{len(self.made)}", shape))
        return self.made[-1]

    def conv(
        self, x: Tensor, filters: int, k: int, stride: int = 1, padding: int = 0, groups: int = 1
    ) -> Tensor:
        channels = x.shape[1]
        assert isinstance(channels, int)
        w, b = self.weight(filters, channels // groups, k, k), self.weight(filters)
        y = gc.conv2d(x, w, stride=stride, padding=padding, groups=groups)
        return gc.relu(y + gc.reshape(b, (filters, 1, 1)))

    def dense(self, x: Tensor, units: int) -> Tensor:
        size = x.shape[1]
        assert isinstance(size, int)
        return x @ self.weight(size, units) + self.weight(units)

    def normed(self, x: Tensor, filters: int, k: int, stride: int = 1) -> Tensor:
        """A convolution without bias, and batch normalisation."""
        channels = x.shape[1]
        assert isinstance(channels, int)
        y = gc.conv2d(x, self.weight(filters, channels, k, k), stride=stride, padding=k // 2)
        return gc.batch_norm(y, None, None, self.weight(filters), self.weight(filters))


def parameters(y: Tensor) -> int:
    """The elements of all inputs that y depends on, but for the image."""
    leaves = [n.op for n in toposort([y.node]) if isinstance(n.op, Input) and n.op.title != "image"]
    return sum(math.prod(int(str(d)) for d in leaf.type.shape) for leaf in leaves)


def depth(y: Tensor) -> int:
    """The largest number of layers with weights on a path to y."""
    found: dict[object, int] = {}
    for n in toposort([y.node]):
        found[n] = max((found[s] for s in n.src), default=0) + isinstance(n.op, (Conv, Contract))
    return found[y.node]


def image(size: int) -> Tensor:
    return gc.input("image", (1, 3, size, size))


def alexnet(widths: Sequence[int], grouped: bool) -> tuple[Tensor, Weights, list[int]]:
    """The scores, the weights, and the sizes after the first convolution and each pooling."""
    w, g = Weights(), 2 if grouped else 1
    x = w.conv(image(224), widths[0], 11, stride=4, padding=2)
    sizes = [x.shape[-1]]
    x = gc.max_pool2d(x, 3, stride=2)
    sizes.append(x.shape[-1])
    x = gc.max_pool2d(w.conv(x, widths[1], 5, padding=2, groups=g), 3, stride=2)
    sizes.append(x.shape[-1])
    x = w.conv(x, widths[2], 3, padding=1)
    x = w.conv(x, widths[3], 3, padding=1, groups=g)
    x = gc.max_pool2d(w.conv(x, widths[4], 3, padding=1, groups=g), 3, stride=2)
    sizes.append(x.shape[-1])
    x = gc.reshape(x, (1, -1))
    for units in (4096, 4096):
        x = gc.relu(w.dense(x, units))
    return w.dense(x, 1000), w, [int(str(s)) for s in sizes]


def vgg(blocks: Sequence[int]) -> Tensor:
    w, x = Weights(), image(224)
    for filters, count in zip((64, 128, 256, 512, 512), blocks, strict=True):
        for _ in range(count):
            x = w.conv(x, filters, 3, padding=1)
        x = gc.max_pool2d(x, 2)
    x = gc.reshape(x, (1, -1))
    for units in (4096, 4096):
        x = gc.relu(w.dense(x, units))
    return w.dense(x, 1000)


INCEPTION = (
    (64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64), (192, 96, 208, 16, 48, 64),
    (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64), (112, 144, 288, 32, 64, 64),
    (256, 160, 320, 32, 128, 128), (256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128),
)  # fmt: skip


def googlenet() -> tuple[Tensor, Tensor]:
    """The features after the last inception module, and the scores."""
    w = Weights()
    x = gc.max_pool2d(w.conv(image(224), 64, 7, stride=2, padding=3), 3, stride=2, ceil_mode=True)
    x = gc.max_pool2d(w.conv(w.conv(x, 64, 1), 192, 3, padding=1), 3, stride=2, ceil_mode=True)
    for k, (one, three_in, three, five_in, five, pooled) in enumerate(INCEPTION):
        branches = [
            w.conv(x, one, 1),
            w.conv(w.conv(x, three_in, 1), three, 3, padding=1),
            w.conv(w.conv(x, five_in, 1), five, 5, padding=2),
            w.conv(gc.max_pool2d(x, 3, stride=1, padding=1), pooled, 1),
        ]
        x = gc.concatenate(branches, axis=1)
        if k in (1, 6):
            x = gc.max_pool2d(x, 3, stride=2, ceil_mode=True)
    return x, w.dense(gc.mean(x, axis=(2, 3)), 1000)


def resnet(blocks: Sequence[int]) -> Tensor:
    w = Weights()
    x = gc.max_pool2d(gc.relu(w.normed(image(224), 64, 7, 2)), 3, stride=2, padding=1)
    for stage, (filters, count) in enumerate(zip((64, 128, 256, 512), blocks, strict=True)):
        for k in range(count):
            stride = 2 if k == 0 and stage else 1
            y = gc.relu(w.normed(x, filters, 1))
            y = w.normed(gc.relu(w.normed(y, filters, 3, stride)), 4 * filters, 1)
            x = gc.relu(y + (w.normed(x, 4 * filters, 1, stride) if k == 0 else x))
    return w.dense(gc.mean(x, axis=(2, 3)), 1000)


def test_w53_depth_and_parameters_of_imagenet_networks() -> None:
    e = W["W53"]
    y, w, sizes = alexnet((64, 192, 384, 256, 256), grouped=False)
    assert sizes == e["alexnet_chain"] and w.made[0].shape == e["alexnet64_first"]
    layers = [math.prod(int(str(d)) for d in t.shape) for t in w.made]
    assert [sum(pair) for pair in zip(layers[::2], layers[1::2], strict=True)] == e["alexnet64_layers"]
    assert (depth(y), parameters(y)) == (e["depth"]["AlexNet"], e["alexnet64"])
    assert parameters(y) / e["stated_params"]["AlexNet"] - 1 < e["tol_params"]
    grouped = alexnet((96, 256, 384, 384, 256), grouped=True)[0]
    assert (depth(grouped), parameters(grouped)) == (e["depth"]["AlexNet"], e["alexnet96_grouped"])
    sixteen, nineteen = vgg((2, 2, 3, 3, 3)), vgg((2, 2, 4, 4, 4))
    assert (depth(sixteen), parameters(sixteen)) == (16, e["vgg16"])
    assert (depth(nineteen), parameters(nineteen)) == (e["depth"]["VGG"], e["vgg19"])
    features, scores = googlenet()
    assert features.shape == (1, 1024, 7, 7)
    found = (depth(scores), parameters(features), parameters(scores))
    assert found == (e["depth"]["GoogLeNet"], e["googlenet_conv"], e["googlenet_with_fc"])
    assert found[1] > 1.1 * e["stated_params"]["GoogLeNet"]  # no count gives the 5 million of the deck
    deep = resnet((3, 8, 36, 3))
    assert (depth(deep), parameters(deep)) == (e["depth"]["ResNet"], e["resnet152"])


# ---- pooling, normalisation, whole-image networks, metrics -----------------------------------------------


def test_w55_sizes_of_pooling() -> None:
    for h, k, s, floor, ceil in W["W55"]["rows"]:
        x = gc.input("x", ("N", 1, h, h))
        for pool in (gc.max_pool2d, gc.avg_pool2d):
            sides = [pool(x, k, stride=s, ceil_mode=mode).shape[2:] for mode in (False, True)]
            assert sides == [(floor, floor), (ceil, ceil)]


@on_both
def test_w56_normalisation(backend: str) -> None:
    e = W["W56"]
    x = gc.input("x", ("N", 2))
    mean, variance = gc.moments(x, axis=0)  # of each feature, over the batch; divided by N
    written = (x - mean) / gc.sqrt(variance + e["eps"])
    found = run(backend, [mean, variance, gc.batch_norm(x, eps=e["eps"]), written], {x: e["x"]})
    for value, name in zip(found, ("mu", "var", "y", "y"), strict=True):
        close(value, e[name], e["tol"])


@on_both
def test_w57_whole_image_networks(backend: str) -> None:
    """3 x H x W, to D1 x H/2 x W/2, to a smaller middle, to D1 x H/2 x W/2, to H x W labels: for any even H and W."""
    e = W["W57"]
    d1, classes = 4, 3
    rng = np.random.default_rng(57)

    def weight(name: str, *shape: int) -> Tensor:
        return gc.param(name, init=rng.normal(size=shape))

    for h, w in ((e["H"], e["W"]), (8, 12)):
        x = gc.input("x", ("N", 3, h, w))
        high = gc.relu(gc.conv2d(x, weight("a", d1, 3, 3, 3), stride=2, padding=1))
        low = gc.relu(gc.conv2d(gc.max_pool2d(high, 2), weight("b", 2 * d1, d1, 3, 3), padding=1))
        up = gc.relu(gc.conv_transpose2d(low, weight("c", 2 * d1, d1, 2, 2), stride=2))
        scores = gc.upsample(gc.conv2d(up, weight("d", classes, d1, 1, 1)), 2, "bilinear")
        labels = gc.argmax(scores, axis=1)
        if h == e["H"]:
            assert high.shape[2:] == up.shape[2:] == e["high_res"][1:] and high.shape[1] == up.shape[1] == d1
            assert labels.shape[1:] == e["predictions"]
        found = run(backend, [labels], {x: rng.normal(size=(2, 3, h, w))})[0]
        assert found.shape == (2, h, w) and set(np.unique(found)) <= set(range(classes))


@on_both
def test_w61_top_5_error(backend: str) -> None:
    e = W["W61"]
    names = sorted({name for guess in e["outputs"] for name in guess})
    guesses = gc.input("guesses", ("N", 5), "int64")
    hit = gc.any(gc.equal(guesses, names.index(e["label"])), axis=1)
    errors = gc.where(hit, 0.0, 1.0)
    given = {guesses: [[names.index(name) for name in guess] for guess in e["outputs"]]}
    found, error = run(backend, [errors, gc.mean(errors)], given)
    equal(found, e["errors"])
    assert error == e["top5_error"]
