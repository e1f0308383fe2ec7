"""PyTorch as a competitor: eager, in another layout, and compiled; inference without autograd, fused optimisers."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch.nn import functional as F

from tests.benchmarks.workload import EPSILON, SGD, Adam, Array, Prepared, Problem, Value


class Ops:
    """See `workload.Ops`."""

    exp = staticmethod(torch.exp)
    tanh = staticmethod(torch.tanh)
    sigmoid = staticmethod(torch.sigmoid)
    relu = staticmethod(torch.relu)
    sum = staticmethod(torch.sum)
    cross_entropy = staticmethod(F.cross_entropy)
    max_pool2d = staticmethod(F.max_pool2d)
    softmax = staticmethod(partial(F.softmax, dim=-1))
    log_softmax = staticmethod(partial(F.log_softmax, dim=-1))

    def linear(self, x: Value, w: Value, b: Value) -> Value:
        return torch.addmm(b, x, w)

    def conv2d(self, x: Value, w: Value, b: Value | None, padding: int, stride: int = 1) -> Value:
        return F.conv2d(x, w, b, stride, padding)

    def batch_norm(self, x: Value, gamma: Value, beta: Value) -> Value:
        return F.batch_norm(x, None, None, gamma, beta, training=True, eps=EPSILON)

    def layer_norm(self, x: Value, gamma: Value, beta: Value) -> Value:
        return F.layer_norm(x, gamma.shape, gamma, beta, EPSILON)

    def mean_of_places(self, x: Value) -> Value:
        return F.adaptive_avg_pool2d(x, 1).flatten(1)

    def lstm(self, xs: Value, w: Value, u: Value, b: Value) -> Value:
        zero = xs.new_zeros(1, xs.shape[1], u.shape[1])
        # What torch.nn.LSTM calls; it has a second bias, which is no parameter here.
        weights = [w, u, b, torch.zeros_like(b, requires_grad=False)]
        return torch.lstm(xs, (zero, zero), weights, True, 1, 0.0, True, False, False)[1][0]

    def flatten(self, x: Value) -> Value:
        return torch.flatten(x, 1)


def eager(problem: Problem, threads: int) -> Prepared:
    """PyTorch as it is usually run."""
    return _prepare(problem, threads)


def channels_last(problem: Problem, threads: int) -> Prepared:
    """The same, with images and filters in the layout that oneDNN's convolutions like best."""
    return _prepare(problem, threads, layout=torch.channels_last)


def compiled(problem: Problem, threads: int) -> Prepared:
    """The value (or the loss and its gradients) through torch.compile; the fused optimisers are native already."""
    return _prepare(problem, threads, compiled=True)


def mixed_precision(problem: Problem, threads: int) -> Prepared:
    """PyTorch with products in bfloat16, where it thinks that they should be."""
    return _prepare(problem, threads, mixed=True)


def _prepare(
    problem: Problem,
    threads: int,
    *,
    compiled: bool = False,
    mixed: bool = False,
    layout: torch.memory_format = torch.contiguous_format,
) -> Prepared:
    torch.set_num_threads(threads)

    def tensor(a: Array) -> torch.Tensor:
        t = torch.from_numpy(a.copy())
        return t.contiguous(memory_format=layout) if t.ndim == 4 else t

    inputs = [tensor(a) for a in problem.inputs]
    params = {name: tensor(a) for name, a in problem.params.items()}

    def body(params: dict[str, torch.Tensor], *inputs: torch.Tensor) -> Value:
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            return problem.body(Ops(), params, *inputs)

    function = torch.compile(body) if compiled else body
    wrt = [inputs[k] for k in problem.gradients]
    results: list[torch.Tensor] = []
    trained: list[torch.Tensor] = []
    optimizer: torch.optim.Optimizer | None = None

    def evaluate() -> None:
        nonlocal results
        with torch.inference_mode():
            results = [function(params, *inputs)]

    def differentiate() -> None:
        nonlocal results
        value = function(params, *inputs)
        results = [value, *torch.autograd.grad(value, wrt)]

    def train() -> None:
        nonlocal results
        assert optimizer is not None
        loss = function(params, *inputs)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        results = [loss]

    call = evaluate
    if problem.gradients:
        for t in wrt:
            t.requires_grad_()
        call = differentiate
    elif problem.optimizer is not None:
        trained = [t.requires_grad_() for t in params.values()]
        optimizer = _optimizer(problem.optimizer, trained)
        call = train

    def read() -> list[Array]:
        return [(t.float() if mixed else t).detach().numpy().copy() for t in (*results, *trained)]

    def reset() -> None:
        with torch.no_grad():
            for name, a in problem.params.items():
                params[name].copy_(torch.from_numpy(a))
        if optimizer is not None:
            optimizer.state.clear()

    return Prepared(call, read, reset)


def _optimizer(spec: SGD | Adam, params: list[torch.Tensor]) -> torch.optim.Optimizer:
    if isinstance(spec, SGD):
        return torch.optim.SGD(params, spec.rate, momentum=spec.momentum, fused=True)
    # PyTorch adds epsilon to √(v/(1 − β₂ᵗ)), not to √v: this one makes the first step, which is compared, the same.
    epsilon = spec.epsilon / math.sqrt(1.0 - spec.beta_2)
    return torch.optim.Adam(params, spec.rate, (spec.beta_1, spec.beta_2), epsilon, fused=True)
