"""graphc as a competitor; its reference back end gives the values that all others are held against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

import graphc as gc
from graphc import nn
from graphc.runtime.function import Function
from tests.benchmarks.workload import EPSILON, SGD, Adam, Array, Prepared, Problem, Value


class Ops:
    """See `workload.Ops`."""

    exp = staticmethod(partial(gc.exp))
    tanh = staticmethod(partial(gc.tanh))
    sigmoid = staticmethod(partial(gc.sigmoid))
    relu = staticmethod(partial(gc.relu))
    sum = staticmethod(gc.sum)
    softmax = staticmethod(gc.softmax)
    log_softmax = staticmethod(gc.log_softmax)

    def linear(self, x: Value, w: Value, b: Value) -> Value:
        return x @ w + b

    def conv2d(self, x: Value, w: Value, b: Value | None, padding: int, stride: int = 1) -> Value:
        y = gc.conv2d(x, w, stride=stride, padding=padding)
        return y if b is None else y + gc.reshape(b, (b.shape[0], 1, 1))

    def batch_norm(self, x: Value, gamma: Value, beta: Value) -> Value:
        return gc.batch_norm(x, gamma=gamma, beta=beta, eps=EPSILON)

    def layer_norm(self, x: Value, gamma: Value, beta: Value) -> Value:
        return gc.layer_norm(x, -1, gamma, beta, EPSILON)

    def max_pool2d(self, x: Value, size: int, stride: int, padding: int = 0) -> Value:
        return gc.max_pool2d(x, size, stride, padding)

    def mean_of_places(self, x: Value) -> Value:
        return gc.mean(x, (2, 3))

    def flatten(self, x: Value) -> Value:
        return gc.reshape(x, (x.shape[0], -1))

    def lstm(self, xs: Value, w: Value, u: Value, b: Value) -> Value:
        def step(states: Value, x: Value) -> tuple[Value, None]:
            h, c = states
            i, f, g, o = gc.split(x + h @ u.T, 4, axis=-1)
            c = gc.sigmoid(f) * c + gc.sigmoid(i) * gc.tanh(g)
            return (gc.sigmoid(o) * gc.tanh(c), c), None

        zero = gc.zeros((xs.shape[1], u.shape[1]), xs.dtype)
        (h, _), _ = gc.scan(step, (zero, zero), xs @ w.T + b)
        return h

    def cross_entropy(self, logits: Value, labels: Value) -> Value:
        return -gc.mean(gc.pick(gc.log_softmax(logits), labels))


@dataclass(frozen=True)
class Built:
    """A workload's function, what it is called with, and what it remembers between calls."""

    fn: Function
    arguments: tuple[Array, ...]
    params: dict[str, gc.Parameter]
    memories: list[gc.Parameter]


def build(
    problem: Problem,
    threads: int,
    backend: str = "llvm",
    precision: str | None = None,
    winograd: bool = False,
) -> Built:
    """Make the graph and compile it, for the shapes at hand."""
    inputs = [gc.input(f"x{k}", a.shape, a.dtype) for k, a in enumerate(problem.inputs)]
    params = {name: gc.param(name, init=a) for name, a in problem.params.items()}
    found = problem.body(Ops(), params, *inputs)
    outputs = list(found) if isinstance(found, tuple) else [found]
    updates: nn.optimizers.Updates | None = None
    memories: list[gc.Parameter] = []
    if problem.gradients:
        outputs += gc.grad(found, [inputs[k] for k in problem.gradients])
    elif problem.optimizer is not None:
        optimizer = _optimizer(problem.optimizer)
        updates = optimizer.updates(found, list(params.values()))
        memories = optimizer.state
    else:
        outputs = gc.freeze(outputs)  # as the other compilers of inference do
    fn = gc.compile(
        inputs,
        outputs,
        updates=updates,
        backend=backend,
        threads=threads,
        precision=precision,
        winograd=winograd,
    )
    arguments = tuple(a[()] for a in problem.inputs)  # scalars as NumPy's scalars
    return Built(fn, arguments, params, memories)


def prepare(
    problem: Problem,
    threads: int,
    backend: str = "llvm",
    precision: str | None = None,
    winograd: bool = False,
) -> Prepared:
    """See `workload.Prepared`."""
    built = build(problem, threads, backend, precision, winograd)
    fn, arguments = built.fn, built.arguments
    if problem.bound and backend == "llvm":
        bound = fn.bind(*problem.inputs, out=None)
        return Prepared(bound, lambda: [np.array(r) for r in bound.outputs])
    results: Array | Sequence[Array] = ()

    def call() -> None:
        nonlocal results
        results = fn(*arguments)

    def read() -> list[Array]:
        trained = built.params.values() if problem.optimizer is not None else ()
        return [np.asarray(r) for r in results] + [p.value.copy() for p in trained]

    return Prepared(call, read, partial(reset, problem, built))


def in_tiles(problem: Problem, threads: int) -> Prepared:
    """With convolutions in Winograd's tiles."""
    return prepare(problem, threads, winograd=True)


def reset(problem: Problem, built: Built) -> None:
    """Parameters, and what the optimiser remembers, as they were at the start."""
    for name, a in problem.params.items():
        built.params[name].value = a
    for m in built.memories:
        m.value = np.zeros_like(m.value)


def reference(problem: Problem) -> list[Array]:
    """What a call computes, by NumPy."""
    made = prepare(problem, 1, backend="reference")
    made.call()
    return made.read()


def _optimizer(spec: SGD | Adam) -> nn.SGD | nn.Adam:
    if isinstance(spec, SGD):
        return nn.SGD(spec.rate, momentum=spec.momentum)
    return nn.Adam(spec.rate, spec.beta_1, spec.beta_2, spec.epsilon)
