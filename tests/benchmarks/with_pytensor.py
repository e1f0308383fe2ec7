"""PyTensor as a competitor, for value and gradients of small graphs: its default linker, arguments trusted."""

from __future__ import annotations

import numpy as np
import pytensor
import pytensor.tensor as pt

from tests.benchmarks.workload import Array, Prepared, Problem, Value


class Ops:
    """See `workload.Ops`."""

    exp = staticmethod(pt.exp)
    tanh = staticmethod(pt.tanh)
    sigmoid = staticmethod(pt.sigmoid)
    sum = staticmethod(pt.sum)

    def linear(self, x: Value, w: Value, b: Value) -> Value:
        return x @ w + b

    def log_softmax(self, x: Value) -> Value:
        return pt.special.log_softmax(x, axis=-1)


def prepare(problem: Problem, threads: int) -> Prepared:
    """Compile for the shapes at hand; what it calls (BLAS) takes its threads from the environment."""
    inputs = [pt.tensor(f"x{k}", dtype=a.dtype.name, shape=a.shape) for k, a in enumerate(problem.inputs)]
    value = problem.body(Ops(), {}, *inputs)
    gradients = pytensor.grad(value, [inputs[k] for k in problem.gradients])
    outputs = [pytensor.Out(v, borrow=True) for v in (value, *gradients)]
    function = pytensor.function(inputs, outputs, trust_input=True, on_unused_input="ignore")
    results: list[Array] = []

    def call() -> None:
        nonlocal results
        results = function(*problem.inputs)

    return Prepared(call, lambda: [np.array(r) for r in results])
