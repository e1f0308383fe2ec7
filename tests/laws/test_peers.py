"""Networks against PyTorch, where it is installed: several training steps from the same weights, in f64, so that
differences of rounding stay far below those of meaning.  The convolutions and poolings of which they are made, with
more arguments than `peers_windows.py`.  Every single function is in `test_peers_torch.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import graphc as gc
from graphc.lang.tensor import Tensor

torch: Any = pytest.importorskip(
    "torch", reason="PyTorch is not installed: pip install 'graphc[peers]' compares graphc with it"
)
F: Any = torch.nn.functional

RNG = np.random.default_rng(11)


def both(
    ours: Callable[..., Tensor], theirs: Callable[..., Any], arrays: Sequence[np.ndarray[Any, Any]]
) -> None:
    """Value and gradients of Σ weights · f, by graphc and by PyTorch."""
    given = [torch.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
    expected = theirs(*given)
    up = RNG.normal(size=tuple(expected.shape))
    expected.backward(torch.tensor(up))
    xs = [gc.input(f"x{k}", a.shape, a.dtype) for k, a in enumerate(arrays)]
    y = ours(*xs)
    floats = [x for x in xs if x.dtype.is_float]
    value, *gradients = gc.compile(xs, [y, *gc.vjp(y, floats, gc.const(up))])(*arrays)
    np.testing.assert_allclose(value, expected.detach().numpy(), rtol=1e-11, atol=1e-12)
    for g, t in zip(gradients, (t for t in given if t.requires_grad), strict=True):
        np.testing.assert_allclose(g, t.grad.numpy(), rtol=1e-10, atol=1e-12)


def normal(*shape: int) -> np.ndarray[Any, Any]:
    return np.asarray(RNG.normal(size=shape))


CONVOLUTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"stride": 2, "padding": 1},
    {"stride": (1, 3), "padding": (2, 0)},
    {"dilation": (2, 1), "padding": 2},
    {"groups": 2, "stride": 2, "dilation": 2, "padding": (3, 2)},
    {"groups": 4, "padding": 1},
)


@pytest.mark.parametrize("arguments", CONVOLUTIONS, ids=str)
def test_convolutions(arguments: dict[str, Any]) -> None:
    x, w = normal(3, 4, 11, 9), normal(8, 4 // arguments.get("groups", 1), 3, 3)
    both(lambda x, w: gc.conv2d(x, w, **arguments), lambda x, w: F.conv2d(x, w, **arguments), [x, w])


POOLS: tuple[dict[str, Any], ...] = (
    {"size": 2},
    {"size": 3, "stride": 2},
    {"size": 3, "stride": 2, "padding": 1},
    {"size": 2, "ceil_mode": True},
    {"size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
    {"size": (2, 3), "stride": (1, 2)},
)


@pytest.mark.parametrize("arguments", POOLS, ids=str)
def test_pooling(arguments: dict[str, Any]) -> None:
    theirs = {"kernel_size": arguments["size"], **{k: v for k, v in arguments.items() if k != "size"}}
    x = normal(2, 3, 7, 9)
    x[0, 0, :4] = 1.0  # ties: both give the gradient to the first
    both(lambda x: gc.max_pool2d(x, **arguments), lambda x: F.max_pool2d(x, **theirs), [x])
    both(
        lambda x: gc.avg_pool2d(x, **arguments),
        lambda x: F.avg_pool2d(x, count_include_pad=False, **theirs),
        [x],
    )


# ---- networks --------------------------------------------------------------------------------------------


def dense_network(lib: Any, x: Any, w: dict[str, Any]) -> Any:
    h = lib.relu(x @ w["W1"] + w["b1"])
    return lib.tanh(h @ w["W2"] + w["b2"]) @ w["W3"]


DENSE = {"W1": (12, 20), "b1": (20,), "W2": (20, 16), "b2": (16,), "W3": (16, 5)}
LENET = {"K1": (4, 1, 5, 5), "K2": (6, 4, 3, 3), "W1": (54, 16), "b1": (16,), "W2": (16, 5), "b2": (5,)}


def our_lenet(x: Tensor, w: dict[str, Any]) -> Tensor:
    h = gc.max_pool2d(gc.relu(gc.conv2d(x, w["K1"], padding=2)), 2)
    h = gc.max_pool2d(gc.relu(gc.conv2d(h, w["K2"], padding=1)), 2)
    return gc.relu(gc.reshape(h, (x.shape[0], -1)) @ w["W1"] + w["b1"]) @ w["W2"] + w["b2"]


def their_lenet(x: Any, w: dict[str, Any]) -> Any:
    h = F.max_pool2d(F.relu(F.conv2d(x, w["K1"], padding=2)), 2)
    h = F.max_pool2d(F.relu(F.conv2d(h, w["K2"], padding=1)), 2)
    return F.relu(h.flatten(1) @ w["W1"] + w["b1"]) @ w["W2"] + w["b2"]


@pytest.mark.parametrize("name", ["dense", "lenet"])
def test_ten_steps_of_momentum_descent_from_the_same_weights(name: str) -> None:
    """At two batch sizes in turn, through one compiled step."""
    shapes = DENSE if name == "dense" else LENET
    image = (12,) if name == "dense" else (1, 12, 12)
    start = {k: 0.4 * normal(*s) for k, s in shapes.items()}
    rate, momentum = 0.05, 0.9

    ours = {k: gc.param(k, init=v) for k, v in start.items()}
    speed = {k: gc.param(f"v_{k}", init=np.zeros_like(v)) for k, v in start.items()}
    X, T = gc.input("X", ("N", *image)), gc.input("T", ("N",), "int64")
    scores = dense_network(gc, X, ours) if name == "dense" else our_lenet(X, ours)
    loss = -gc.mean(gc.pick(gc.log_softmax(scores), T))
    updates: dict[Any, Tensor] = {}
    for k, g in zip(ours, gc.grad(loss, list(ours.values())), strict=True):
        updates[speed[k]] = momentum * speed[k] + g
        updates[ours[k]] = ours[k] - rate * updates[speed[k]]
    step = gc.compile([X, T], loss, updates=updates)

    theirs = {k: torch.tensor(v, requires_grad=True) for k, v in start.items()}
    optimiser = torch.optim.SGD(theirs.values(), lr=rate, momentum=momentum)
    for n in (8, 5) * 5:
        x, t = normal(n, *image), RNG.integers(0, 5, n)
        optimiser.zero_grad()
        there = torch.tensor(x)
        scores_ = dense_network(torch, there, theirs) if name == "dense" else their_lenet(there, theirs)
        expected = F.cross_entropy(scores_, torch.tensor(t))
        expected.backward()
        optimiser.step()
        assert float(step(x, t)) == pytest.approx(expected.item(), rel=1e-9)
    for k, p in ours.items():
        np.testing.assert_allclose(p.value, theirs[k].detach().numpy(), rtol=1e-7, atol=1e-10)
