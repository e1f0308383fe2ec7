"""Values and gradients against PyTorch, where it is installed (the extra `peers`); graphc does not need it.

Operations, then two networks over several training steps, from the same weights, in f64 so that differences of
rounding stay far below those of meaning.
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


ELEMENTWISE: dict[str, tuple[Callable[..., Tensor], Callable[..., Any]]] = {
    "relu": (gc.relu, lambda x: F.relu(x)),
    "leaky_relu": (lambda x: gc.leaky_relu(x, 0.1), lambda x: F.leaky_relu(x, 0.1)),
    "elu": (lambda x: gc.elu(x, 0.7), lambda x: F.elu(x, 0.7)),
    "sigmoid": (gc.sigmoid, lambda x: torch.sigmoid(x)),
    "tanh": (gc.tanh, lambda x: torch.tanh(x)),
    "softplus": (gc.softplus, lambda x: F.softplus(x, threshold=1e3)),
    "silu": (gc.silu, lambda x: F.silu(x)),
    "gelu": (gc.gelu, lambda x: F.gelu(x)),
    "gelu_tanh": (gc.gelu_tanh, lambda x: F.gelu(x, approximate="tanh")),
    "erf": (gc.erf, lambda x: torch.erf(x)),
    "expm1": (gc.expm1, lambda x: torch.expm1(x)),
    "log1p of square": (lambda x: gc.log1p(x**2), lambda x: torch.log1p(x**2)),
    "rsqrt of exp": (lambda x: gc.rsqrt(gc.exp(x)), lambda x: torch.rsqrt(torch.exp(x))),
    "abs": (gc.abs, lambda x: torch.abs(x)),
    "maximum": (lambda x: gc.maximum(x, 0.25), lambda x: torch.maximum(x, torch.tensor(0.25).double())),
    "where": (
        lambda x: gc.where(x < 0.5, x * x, gc.sin(x)),
        lambda x: torch.where(x < 0.5, x * x, torch.sin(x)),
    ),
    "pow": (lambda x: gc.abs(x) ** 1.7, lambda x: torch.abs(x) ** 1.7),
}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise(name: str) -> None:
    ours, theirs = ELEMENTWISE[name]
    both(ours, theirs, [normal(7, 9) * 3])


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_softmax_and_reductions(axis: int) -> None:
    x = normal(5, 7) * 4
    both(lambda x: gc.softmax(x, axis), lambda x: F.softmax(x, axis), [x])
    both(lambda x: gc.log_softmax(x, axis), lambda x: F.log_softmax(x, axis), [x])
    both(lambda x: gc.logsumexp(x, axis), lambda x: torch.logsumexp(x, axis), [x])
    both(lambda x: gc.max(x, axis), lambda x: torch.max(x, axis).values, [x])
    both(lambda x: gc.mean(x, axis, True), lambda x: torch.mean(x, axis, True), [x])


def test_products() -> None:
    both(gc.matmul, lambda a, b: a @ b, [normal(9, 17), normal(17, 33)])
    both(gc.matmul, lambda a, b: a @ b, [normal(3, 1, 4, 5), normal(2, 5, 6)])
    both(gc.outer, lambda a, b: torch.outer(a, b), [normal(4), normal(6)])


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


def test_gathers() -> None:
    table, at = normal(10, 4), RNG.integers(0, 10, (3, 5))
    both(gc.take, lambda x, k: F.embedding(k, x), [table, at])
    scores, labels = normal(6, 10), RNG.integers(0, 10, 6)
    both(
        lambda s, k: -gc.mean(gc.pick(gc.log_softmax(s), k)),
        lambda s, k: F.cross_entropy(s, k),
        [scores, labels],
    )


def test_gradient_of_the_gradient() -> None:
    x_, w_ = normal(4, 3), normal(3, 5)
    x, w = torch.tensor(x_, requires_grad=True), torch.tensor(w_, requires_grad=True)
    (first,) = torch.autograd.grad(F.softplus(torch.tanh(x @ w)).sum(), [x], create_graph=True)
    second = torch.autograd.grad((first**2).sum(), [x, w])
    a, b = gc.input("x", (4, 3)), gc.input("w", (3, 5))
    slope = gc.grad(gc.sum(gc.softplus(gc.tanh(a @ b))), a)
    found = gc.compile([a, b], gc.grad(gc.sum(slope**2), [a, b]))(x_, w_)
    for g, e in zip(found, second, strict=True):
        np.testing.assert_allclose(g, e.numpy(), rtol=1e-10, atol=1e-13)


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
