"""Deep convolutional networks: residual networks, and VGG.

| network   | images    | layers                                                                                |
|-----------|-----------|---------------------------------------------------------------------------------------|
| ResNet-20 | 3×32×32   | 3×3 of 16; three stages of three blocks of 16, 32, 64; mean over places; 10           |
| ResNet-18 | 3×224×224 | 7×7/2 of 64, 3×3/2 max pooling; four stages of two blocks of 64, ..., 512; mean; 1000 |
| VGG-16    | 3×224×224 | 3×3 of 2×64, 2×128, 3×256, 3×512, 3×512, each stage 2×2 max pooled; 4096, 4096, 1000  |

A block is two 3×3 convolutions and the sum with its input, through a 1×1 convolution where the shape changes.
In training every convolution is followed by batch normalisation over this batch; running averages are not kept.
For inference batch normalisation is folded: every convolution has a bias.

Sources: K. He et al., arXiv:1512.03385; K. Simonyan, A. Zisserman, arXiv:1409.1556.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from tests.benchmarks.networks import Params, dense_macs, training_flops, weights
from tests.benchmarks.workload import SGD, Ops, Problem, Value, Workload


@dataclass(frozen=True, slots=True)
class _Conv:
    """One convolution: its name, filters[out, inside, size, size], stride, and the size of its output."""

    name: str
    inside: int
    out: int
    size: int
    stride: int
    places: int

    @property
    def macs(self) -> int:
        return self.places**2 * self.out * self.inside * self.size**2


@dataclass(frozen=True, slots=True)
class _Block:
    first: _Conv
    second: _Conv
    shortcut: _Conv | None


def _blocks(widths: Sequence[int], each: int, places: int) -> Iterator[_Block]:
    """The residual blocks; every stage but the first begins with a stride of 2."""
    inside = widths[0]
    for stage, width in enumerate(widths):
        for k in range(each):
            stride = 2 if stage and not k else 1
            places //= stride
            name = f"{stage}.{k}"
            shortcut = _Conv(f"{name}.s", inside, width, 1, stride, places) if inside != width else None
            first = _Conv(f"{name}.1", inside, width, 3, stride, places)
            yield _Block(first, _Conv(f"{name}.2", width, width, 3, 1, places), shortcut)
            inside = width


def _convs(stem: _Conv, blocks: Sequence[_Block]) -> list[_Conv]:
    return [stem, *(c for b in blocks for c in (b.first, b.second, b.shortcut) if c is not None)]


def _residual(block: _Block, conv: _Layer, ops: Ops, x: Value) -> Value:
    y = conv(block.second, ops.relu(conv(block.first, x)))
    return ops.relu(y + (x if block.shortcut is None else conv(block.shortcut, x)))


class _Layer:
    """A convolution with what follows it: batch normalisation in training, a bias else."""

    def __init__(self, ops: Ops, params: Params, trained: bool) -> None:
        self.ops, self.params, self.trained = ops, params, trained

    def __call__(self, c: _Conv, x: Value) -> Value:
        p, ops = self.params, self.ops
        if not self.trained:
            return ops.conv2d(x, p[f"k{c.name}"], p[f"b{c.name}"], c.size // 2, c.stride)
        y = ops.conv2d(x, p[f"k{c.name}"], None, c.size // 2, c.stride)
        return ops.batch_norm(y, p[f"g{c.name}"], p[f"b{c.name}"])


def _shapes(convs: Sequence[_Conv], trained: bool) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for c in convs:
        shapes[f"k{c.name}"] = (c.out, c.inside, c.size, c.size)
        if trained:
            shapes[f"g{c.name}"] = (c.out,)
        shapes[f"b{c.name}"] = (c.out,)
    return shapes


_STEM_20, _BLOCKS_20 = _Conv("0", 3, 16, 3, 1, 32), tuple(_blocks((16, 32, 64), 3, 32))
_STEM_18, _BLOCKS_18 = _Conv("0", 3, 64, 7, 2, 112), tuple(_blocks((64, 128, 256, 512), 2, 56))


def _resnet_20_loss(ops: Ops, p: Params, x: Value, t: Value) -> Value:
    conv = _Layer(ops, p, trained=True)
    h = ops.relu(conv(_STEM_20, x))
    for block in _BLOCKS_20:
        h = _residual(block, conv, ops, h)
    return ops.cross_entropy(ops.linear(ops.mean_of_places(h), p["w"], p["b"]), t)


def _resnet_20_step() -> Problem:
    draw, batch = np.random.default_rng(0), 32
    convs = _convs(_STEM_20, _BLOCKS_20)
    shapes = _shapes(convs, trained=True) | {"w": (64, 10), "b": (10,)}
    data = draw.standard_normal((batch, 3, 32, 32), "float32"), draw.integers(0, 10, batch)
    macs = batch * (sum(c.macs for c in convs) + 64 * 10)
    flops = training_flops(macs, batch * _STEM_20.macs)
    p = weights(draw, shapes)
    return Problem(_resnet_20_loss, data, p, optimizer=SGD(1e-1, 0.9), flops=flops, tolerance=1e-2)


def _resnet_18(ops: Ops, p: Params, x: Value) -> Value:
    conv = _Layer(ops, p, trained=False)
    h = ops.max_pool2d(ops.relu(conv(_STEM_18, x)), 3, 2, 1)
    for block in _BLOCKS_18:
        h = _residual(block, conv, ops, h)
    return ops.linear(ops.mean_of_places(h), p["w"], p["b"])


def _resnet_18_inference() -> Problem:
    draw = np.random.default_rng(0)
    convs = _convs(_STEM_18, _BLOCKS_18)
    p = weights(draw, _shapes(convs, trained=False) | {"w": (512, 1000), "b": (1000,)})
    x = draw.standard_normal((1, 3, 224, 224), "float32")
    return Problem(_resnet_18, (x,), p, flops=2.0 * (sum(c.macs for c in convs) + 512 * 1000))


def _vgg_stages() -> Iterator[list[_Conv]]:
    inside, places = 3, 224
    for stage, (count, width) in enumerate(((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))):
        yield [_Conv(f"{stage}.{k}", width if k else inside, width, 3, 1, places) for k in range(count)]
        inside, places = width, places // 2


_STAGES = tuple(_vgg_stages())
_DENSE = (512 * 7 * 7, 4096, 4096, 1000)


def _vgg_16(ops: Ops, p: Params, x: Value) -> Value:
    conv = _Layer(ops, p, trained=False)
    for stage in _STAGES:
        for c in stage:
            x = ops.relu(conv(c, x))
        x = ops.max_pool2d(x, 2, 2)
    x = ops.relu(ops.linear(ops.flatten(x), p["w1"], p["b1"]))
    x = ops.relu(ops.linear(x, p["w2"], p["b2"]))
    return ops.linear(x, p["w3"], p["b3"])


def _vgg_16_inference() -> Problem:
    draw = np.random.default_rng(0)
    convs = [c for stage in _STAGES for c in stage]
    shapes = _shapes(convs, trained=False)
    for k, pair in enumerate(pairwise(_DENSE), 1):
        shapes |= {f"w{k}": pair, f"b{k}": pair[1:]}
    x = draw.standard_normal((1, 3, 224, 224), "float32")
    macs = sum(c.macs for c in convs) + dense_macs(1, *_DENSE)
    return Problem(_vgg_16, (x,), weights(draw, shapes), flops=2.0 * macs)


WORKLOADS = (
    Workload("resnet20-train", "ResNet-20 (CIFAR), batch 32, training step", _resnet_20_step, 1.7),
    Workload("resnet18-infer", "ResNet-18, 224×224, inference, batch 1", _resnet_18_inference, 1.0),
    Workload("vgg16-infer", "VGG-16, 224×224, inference, batch 1", _vgg_16_inference, 1.3),
)
