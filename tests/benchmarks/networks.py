"""Small networks: training steps with their optimisers, and inference.

| network   | layers                                                                                        |
|-----------|-----------------------------------------------------------------------------------------------|
| sigmoid   | 1000-100-10 without biases, sigmoid between, sum of squared errors                            |
| MLP       | 784-512-256-10, ReLU, softmax cross-entropy                                                   |
| LeNet-5*  | 5×5 convolutions of 20 and 50 filters, each with ReLU and 2×2 max pooling, 500, 10            |
| LSTM      | 64→128 over 32 steps; its last state through a dense layer of 10, softmax cross-entropy       |
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from itertools import pairwise

import numpy as np

from tests.benchmarks.workload import SGD, Adam, Array, Ops, Problem, Value, Workload

Params = Mapping[str, Value]


def dense_macs(batch: int, *sizes: int) -> int:
    """Multiply-adds of dense layers, forwards."""
    return batch * sum(a * b for a, b in pairwise(sizes))


def training_flops(macs: int, first: int) -> float:
    """Three products for every layer: forwards, and both gradients; the first layer's input needs none."""
    return 2.0 * (3 * macs - first)


def weights(draw: np.random.Generator, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
    """Biases small, scales (their names begin with g) near 1, weights as He et al. (2015) begin them; f32."""
    made = {}
    for name, shape in shapes.items():
        fan = shape[0] if len(shape) == 2 else int(np.prod(shape[1:]))
        scale = 0.1 if len(shape) == 1 else math.sqrt(2.0 / fan)
        made[name] = scale * draw.standard_normal(shape, "float32") + float(name.startswith("g"))
    return made


def _sigmoid_loss(ops: Ops, p: Params, x: Value, t: Value) -> Value:
    d = ops.sigmoid(x @ p["w1"]) @ p["w2"] - t
    return ops.sum(d * d)


def _sigmoid_net(dtype: str) -> Problem:
    draw = np.random.default_rng(0).standard_normal
    x, t, w1, w2 = (draw(s).astype(dtype) for s in ((64, 1000), (64, 10), (1000, 100), (100, 10)))
    return Problem(
        _sigmoid_loss,
        (x, t),
        {"w1": w1, "w2": w2},
        optimizer=SGD(1e-4),
        flops=training_flops(dense_macs(64, 1000, 100, 10), dense_macs(64, 1000, 100)),
        tolerance=1e-3 if dtype == "float32" else 1e-10,
    )


_MLP = {"w1": (784, 512), "b1": (512,), "w2": (512, 256), "b2": (256,), "w3": (256, 10), "b3": (10,)}


def _mlp(ops: Ops, p: Params, x: Value) -> Value:
    h = ops.relu(ops.linear(x, p["w1"], p["b1"]))
    h = ops.relu(ops.linear(h, p["w2"], p["b2"]))
    return ops.linear(h, p["w3"], p["b3"])


def _mlp_loss(ops: Ops, p: Params, x: Value, t: Value) -> Value:
    return ops.cross_entropy(_mlp(ops, p, x), t)


def _mlp_step(batch: int) -> Problem:
    draw = np.random.default_rng(0)
    data = draw.standard_normal((batch, 784)).astype("float32"), draw.integers(0, 10, batch)
    macs = dense_macs(batch, 784, 512, 256, 10)
    flops = training_flops(macs, dense_macs(batch, 784, 512))
    # Adam divides a gradient by its own size, so the smallest ones come out with few digits.
    return Problem(_mlp_loss, data, weights(draw, _MLP), optimizer=Adam(1e-4), flops=flops, tolerance=2e-2)


def _mlp_inference(batch: int) -> Problem:
    draw = np.random.default_rng(0)
    x = draw.standard_normal((batch, 784)).astype("float32")
    return Problem(_mlp, (x,), weights(draw, _MLP), flops=2.0 * dense_macs(batch, 784, 512, 256, 10))


_LENET = {
    "k1": (20, 1, 5, 5),
    "c1": (20,),
    "k2": (50, 20, 5, 5),
    "c2": (50,),
    "w1": (2450, 500),
    "b1": (500,),
    "w2": (500, 10),
    "b2": (10,),
}
_LENET_FIRST = 28 * 28 * 20 * 25
_LENET_MACS = _LENET_FIRST + 14 * 14 * 50 * 20 * 25 + 2450 * 500 + 500 * 10


def _lenet(ops: Ops, p: Params, x: Value) -> Value:
    h = ops.max_pool2d(ops.relu(ops.conv2d(x, p["k1"], p["c1"], 2)), 2, 2)
    h = ops.max_pool2d(ops.relu(ops.conv2d(h, p["k2"], p["c2"], 2)), 2, 2)
    h = ops.relu(ops.linear(ops.flatten(h), p["w1"], p["b1"]))
    return ops.linear(h, p["w2"], p["b2"])


def _lenet_loss(ops: Ops, p: Params, x: Value, t: Value) -> Value:
    return ops.cross_entropy(_lenet(ops, p, x), t)


def _lenet_step(batch: int) -> Problem:
    draw = np.random.default_rng(0)
    data = draw.standard_normal((batch, 1, 28, 28)).astype("float32"), draw.integers(0, 10, batch)
    flops = training_flops(batch * _LENET_MACS, batch * _LENET_FIRST)
    return Problem(
        _lenet_loss, data, weights(draw, _LENET), optimizer=SGD(1e-2, 0.9), flops=flops, tolerance=1e-3
    )


def _lenet_inference(batch: int) -> Problem:
    draw = np.random.default_rng(0)
    x = draw.standard_normal((batch, 1, 28, 28)).astype("float32")
    return Problem(_lenet, (x,), weights(draw, _LENET), flops=2.0 * batch * _LENET_MACS)


_LSTM_STEPS, _LSTM_BATCH, _LSTM_INPUTS, _LSTM_UNITS = 32, 32, 64, 128


def _lstm_loss(ops: Ops, p: Params, x: Value, t: Value) -> Value:
    h = ops.lstm(x, p["w"], p["u"], p["b"])
    return ops.cross_entropy(ops.linear(h, p["w2"], p["b2"]), t)


def _lstm_step() -> Problem:
    draw = np.random.default_rng(0)
    x = draw.standard_normal((_LSTM_STEPS, _LSTM_BATCH, _LSTM_INPUTS)).astype("float32")
    t = draw.integers(0, 10, _LSTM_BATCH)
    gates = 4 * _LSTM_UNITS
    p = weights(draw, {"b": (gates,), "w2": (_LSTM_UNITS, 10), "b2": (10,)})
    for name, size in (("w", _LSTM_INPUTS), ("u", _LSTM_UNITS)):
        p[name] = draw.uniform(-1, 1, (gates, size)).astype("float32") / np.float32(np.sqrt(_LSTM_UNITS))
    first = dense_macs(_LSTM_STEPS * _LSTM_BATCH, _LSTM_INPUTS, gates)
    macs = first + dense_macs((_LSTM_STEPS - 1) * _LSTM_BATCH, _LSTM_UNITS, gates)
    flops = training_flops(macs, first)
    return Problem(_lstm_loss, (x, t), p, optimizer=SGD(1e-1, 0.9), flops=flops, tolerance=1e-3)


WORKLOADS = (
    Workload(
        "sigmoid-f32", "two-layer sigmoid net, batch 64, SGD step, f32", partial(_sigmoid_net, "float32"), 2.2
    ),
    Workload(
        "sigmoid-f64", "two-layer sigmoid net, batch 64, SGD step, f64", partial(_sigmoid_net, "float64"), 2.0
    ),
    Workload("mlp-train", "MLP 784-512-256-10, batch 64, Adam step", partial(_mlp_step, 64), 1.5),
    Workload(
        "lenet-train", "LeNet-5*, batch 64, training step, SGD with momentum", partial(_lenet_step, 64), 2.5
    ),
    Workload("lstm-train", "LSTM 64→128, 32 steps, batch 32, training step", _lstm_step, 1.4),
    Workload("lenet-infer-1", "LeNet-5*, inference, batch 1", partial(_lenet_inference, 1), 1.3),
    Workload("lenet-infer-64", "LeNet-5*, inference, batch 64", partial(_lenet_inference, 64), 1.6),
    Workload("mlp-infer-1", "MLP 784-512-256-10, inference, batch 1", partial(_mlp_inference, 1), 1.1),
    Workload("mlp-infer-64", "MLP 784-512-256-10, inference, batch 64", partial(_mlp_inference, 64), 1.0),
)
