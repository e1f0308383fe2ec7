"""CasADi as a competitor: its C code, compiled by gcc -O3 and called through its buffers; in f64.

Every element is a symbol of its own (SX), or every matrix (MX) where that would make too much C.
CasADi's matrices lie column by column; an array of one axis is a row here.
"""

from __future__ import annotations

import contextlib
import tempfile

import casadi
import numpy as np

from tests.benchmarks.workload import Array, Prepared, Problem, Value

_MOST_ELEMENTS = 20_000
_FLAGS = "-O3 -march=native"


class Ops:
    """See `workload.Ops`."""

    tanh = staticmethod(casadi.tanh)

    def sum(self, x: Value) -> Value:
        return casadi.sum1(casadi.sum2(x))

    def linear(self, x: Value, w: Value, b: Value) -> Value:
        return x @ w + b

    def log_softmax(self, x: Value) -> Value:
        return x - casadi.logsumexp(x.T)


def prepare(problem: Problem, threads: int) -> Prepared:
    """Generate, compile and load the C code, and fix its buffers; it has one thread."""
    arrays = [np.asfortranarray(np.atleast_2d(a), np.float64) for a in problem.inputs]
    kind = casadi.SX if sum(a.size for a in arrays) <= _MOST_ELEMENTS else casadi.MX
    inputs = [kind.sym(f"x{k}", *a.shape) for k, a in enumerate(arrays)]
    value = problem.body(Ops(), {}, *inputs)
    gradients = [casadi.densify(casadi.gradient(value, inputs[k])) for k in problem.gradients]
    function = casadi.Function("workload", inputs, [value, *gradients])
    with tempfile.TemporaryDirectory(prefix="graphc-casadi-") as folder, contextlib.chdir(folder):
        importer = casadi.Importer(
            function.generate("workload.c"), "shell", {"compiler": "gcc", "compiler_flags": _FLAGS.split()}
        )
        native = casadi.external("workload", importer)
    shapes = [(), *(problem.inputs[k].shape for k in problem.gradients)]
    results = [np.empty(np.atleast_2d(np.empty(s)).shape, order="F") for s in shapes]
    buffer, trigger = native.buffer()
    for k, a in enumerate(arrays):
        buffer.set_arg(k, memoryview(a.T))
    for k, r in enumerate(results):
        buffer.set_res(k, memoryview(r.T))

    def read(held: object = (arrays, buffer)) -> list[Array]:  # CasADi keeps addresses only
        return [r.reshape(s).copy() for r, s in zip(results, shapes, strict=True)]

    return Prepared(trigger, read)
