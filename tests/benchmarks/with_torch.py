"""PyTorch as a competitor, eager and through torch.compile; inference without autograd, fused optimisers."""

from __future__ import annotations

import math

import torch

from tests.benchmarks.workload import SGD, Adam, Array, Prepared, Problem, Value


class Ops:
    """See `workload.Ops`."""

    exp = staticmethod(torch.exp)
    tanh = staticmethod(torch.tanh)
    sigmoid = staticmethod(torch.sigmoid)
    relu = staticmethod(torch.relu)
    sum = staticmethod(torch.sum)
    cross_entropy = staticmethod(torch.nn.functional.cross_entropy)
    max_pool2d = staticmethod(torch.nn.functional.max_pool2d)

    def linear(self, x: Value, w: Value, b: Value) -> Value:
        return torch.addmm(b, x, w)

    def conv2d(self, x: Value, w: Value, b: Value, padding: int) -> Value:
        return torch.nn.functional.conv2d(x, w, b, padding=padding)

    def flatten(self, x: Value) -> Value:
        return torch.flatten(x, 1)


def eager(problem: Problem, threads: int) -> Prepared:
    """PyTorch as it is usually run."""
    return _prepare(problem, threads, compiled=False)


def compiled(problem: Problem, threads: int) -> Prepared:
    """The value (or the loss and its gradients) through torch.compile; the fused optimisers are native already."""
    return _prepare(problem, threads, compiled=True)


def _prepare(problem: Problem, threads: int, *, compiled: bool) -> Prepared:
    torch.set_num_threads(threads)
    inputs = [torch.from_numpy(a.copy()) for a in problem.inputs]
    params = {name: torch.from_numpy(a.copy()) for name, a in problem.params.items()}

    def body(params: dict[str, torch.Tensor], *inputs: torch.Tensor) -> Value:
        return problem.body(Ops(), params, *inputs)

    function = torch.compile(body) if compiled else body
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
        results = [value, *torch.autograd.grad(value, inputs)]

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
        for t in inputs:
            t.requires_grad_()
        call = differentiate
    elif problem.optimizer is not None:
        trained = [t.requires_grad_() for t in params.values()]
        optimizer = _optimizer(problem.optimizer, trained)
        call = train

    def read() -> list[Array]:
        return [t.detach().numpy().copy() for t in (*results, *trained)]

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
