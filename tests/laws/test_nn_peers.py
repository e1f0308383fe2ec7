"""Layers against PyTorch's, value and gradients, where it is installed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphc as gc
from graphc import nn

torch: Any = pytest.importorskip(
    "torch", reason="PyTorch is not installed: pip install 'graphc[peers]' compares graphc with it"
)
Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(11)


def agree(layer: nn.Layer, theirs: Any, value: Array, weights: dict[str, tuple[str, Any]]) -> None:
    """Values, and gradients by x and each parameter; `weights` says which is which, and how it lies in memory."""
    x = nn.Input(value.shape[1:], dtype="float64")
    y = layer(x)
    ours = {p.name.rpartition("/")[2]: p for p in layer.parameters}
    theirs = theirs.double()
    named = dict(theirs.named_parameters())
    for name, (other, move) in weights.items():
        ours[name].value = RNG.normal(size=ours[name].shape)
        named[other].data = torch.tensor(move(ours[name].value).copy())
    given = torch.tensor(value, requires_grad=True)
    expected = theirs(given)
    expected = expected[0] if isinstance(expected, tuple) else expected
    up = RNG.normal(size=tuple(expected.shape))
    expected.backward(torch.tensor(up))
    u = gc.input("up", y.shape)
    gradients = gc.vjp(y, [x, *(ours[name] for name in weights)], u)
    found = gc.compile([x, u], [y, *gradients])(value, up)
    np.testing.assert_allclose(found[0], expected.detach().numpy(), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(found[1], given.grad.numpy(), rtol=1e-9, atol=1e-11)
    for slope, (name, (other, move)) in zip(found[2:], weights.items(), strict=True):
        np.testing.assert_allclose(
            move(slope), named[other].grad.numpy(), rtol=1e-9, atol=1e-11, err_msg=name
        )


def same(v: Array) -> Array:
    return v


def turned(v: Array) -> Array:
    return v.T


KERNEL = {"kernel": ("weight", same), "bias": ("bias", same)}
SCALE = {"gamma": ("weight", same), "beta": ("bias", same)}

PAIRS: dict[str, tuple[nn.Layer, Any, tuple[int, ...], dict[str, tuple[str, Any]]]] = {
    "dense": (
        nn.Dense(4),
        torch.nn.Linear(3, 4),
        (3,),
        {"kernel": ("weight", turned), "bias": ("bias", same)},
    ),
    "conv1d": (nn.Conv1D(4, 3, strides=2), torch.nn.Conv1d(2, 4, 3, 2), (2, 9), KERNEL),
    "conv2d": (nn.Conv2D(4, 3, groups=2), torch.nn.Conv2d(2, 4, 3, groups=2), (2, 6, 5), KERNEL),
    "conv3d": (nn.Conv3D(3, 2), torch.nn.Conv3d(2, 3, 2), (2, 3, 4, 5), KERNEL),
    "depthwise": (
        nn.DepthwiseConv2D(3, depth_multiplier=2),
        torch.nn.Conv2d(2, 4, 3, groups=2),
        (2, 6, 5),
        KERNEL,
    ),
    "transposed": (
        nn.Conv2DTranspose(3, 3, strides=2),
        torch.nn.ConvTranspose2d(2, 3, 3, 2),
        (2, 4, 5),
        KERNEL,
    ),
    "batch norm": (nn.BatchNormalization(), torch.nn.BatchNorm2d(3, eps=1e-3), (3, 4, 5), SCALE),
    "layer norm": (nn.LayerNormalization(), torch.nn.LayerNorm(5, eps=1e-3), (3, 5), SCALE),
    "layer norm of images": (
        nn.LayerNormalization(axis=(1, 2, 3)),
        torch.nn.LayerNorm((3, 4, 5), eps=1e-3),
        (3, 4, 5),
        SCALE,
    ),
    "group norm": (nn.GroupNormalization(2), torch.nn.GroupNorm(2, 4, eps=1e-3), (4, 3, 2), SCALE),
    "local response": (nn.LocalResponseNormalization(5), torch.nn.LocalResponseNorm(5), (7, 2, 3), {}),
    "up sampling": (nn.UpSampling2D(2), torch.nn.Upsample(scale_factor=2), (2, 3, 4), {}),
    "bilinear": (
        nn.UpSampling2D(2, interpolation="bilinear"),
        torch.nn.Upsample(scale_factor=2, mode="bilinear"),
        (2, 3, 4),
        {},
    ),
    "avg pool": (nn.AvgPool3D(2), torch.nn.AvgPool3d(2), (2, 4, 5, 4), {}),
    "simple rnn": (
        nn.SimpleRNN(4, return_sequences=True, use_bias=False),
        torch.nn.RNN(3, 4, batch_first=True, bias=False),
        (6, 3),
        {"kernel": ("weight_ih_l0", turned), "recurrent_kernel": ("weight_hh_l0", turned)},
    ),
    "lstm": (
        nn.LSTM(4, return_sequences=True, use_bias=False),
        torch.nn.LSTM(3, 4, batch_first=True, bias=False),
        (6, 3),
        {"kernel": ("weight_ih_l0", turned), "recurrent_kernel": ("weight_hh_l0", turned)},
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_pytorch_agrees(name: str) -> None:
    layer, theirs, shape, weights = PAIRS[name]
    agree(layer, theirs, RNG.normal(size=(3, *shape)), weights)


def test_a_gru_with_its_gates_in_another_order() -> None:
    def gates(v: Array) -> Array:  # z, r, g here; r, z, g in PyTorch
        z, r, g = np.split(v, 3, axis=-1)
        return np.concatenate([r, z, g], axis=-1).T

    weights = {"kernel": ("weight_ih_l0", gates), "recurrent_kernel": ("weight_hh_l0", gates)}
    theirs = torch.nn.GRU(3, 4, batch_first=True, bias=False)
    agree(nn.GRU(4, return_sequences=True, use_bias=False), theirs, RNG.normal(size=(2, 6, 3)), weights)


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_adamw_and_sgd_follow_pytorch(decay: float) -> None:
    start = np.array([1.0, -0.5, 0.25])
    rules = {
        "adamw": (nn.AdamW(0.1, decay, epsilon=0.0), torch.optim.AdamW, {"weight_decay": decay, "eps": 0.0}),
        "sgd": (
            nn.SGD(0.1, momentum=0.9, nesterov=True),
            torch.optim.SGD,
            {"momentum": 0.9, "nesterov": True},
        ),
    }
    for ours, theirs, options in rules.values():
        w, v = gc.param("w", init=start), torch.tensor(start, requires_grad=True)
        loss = gc.sum(w * w * w * w) / 4.0
        step = gc.compile([], [loss], updates=ours.updates(loss, [w]), backend="reference")
        optimizer = theirs([v], lr=0.1, **options)
        for _ in range(6):
            step()
            optimizer.zero_grad()
            ((v**4).sum() / 4).backward()
            optimizer.step()
        np.testing.assert_allclose(w.value, v.detach().numpy(), rtol=1e-12)
