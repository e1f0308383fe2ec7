"""Small graphs, where the cost of a call is most of the time: value and gradients.

| workload         | arrays                                  | body                                              |
|------------------|-----------------------------------------|---------------------------------------------------|
| scalars          | NumPy's scalars, f64                    | (x+y)·z                                           |
| mlp-4-8-3, ...   | NumPy arrays, f32                       | cross-entropy of one sample, one hidden tanh layer |
| bound-4-8-3, ... | buffers that are fixed beforehand, f64  | the same                                          |
"""

from __future__ import annotations

from functools import partial

import numpy as np

from tests.benchmarks.workload import Ops, Problem, Value, Workload


def _product(ops: Ops, params: dict[str, Value], x: Value, y: Value, z: Value) -> Value:
    return (x + y) * z


def _scalars() -> Problem:
    point = tuple(np.array(v) for v in (-2.0, 5.0, -4.0))
    return Problem(_product, point, gradients=(0, 1, 2), flops=5, tolerance=1e-12)


def _loss(
    ops: Ops, params: dict[str, Value], x: Value, t: Value, w1: Value, b1: Value, w2: Value, b2: Value
) -> Value:
    h = ops.tanh(ops.linear(x, w1, b1))
    return -ops.sum(t * ops.log_softmax(ops.linear(h, w2, b2)))


def _perceptron(inside: int, hidden: int, classes: int, dtype: str, bound: bool) -> Problem:
    """The weights are arguments; their gradients are asked for."""
    draw = np.random.default_rng(0).standard_normal
    x, target = draw((1, inside)), np.eye(classes)[[1]]
    w1, w2 = draw((inside, hidden)) / np.sqrt(inside), draw((hidden, classes)) / np.sqrt(hidden)
    arrays = (x, target, w1, 0.1 * draw(hidden), w2, 0.1 * draw(classes))
    return Problem(
        _loss,
        tuple(a.astype(dtype) for a in arrays),
        gradients=(2, 3, 4, 5),
        bound=bound,
        flops=2.0 * (2 * inside * hidden + 3 * hidden * classes),
        written=np.dtype(dtype).itemsize * sum(a.size for a in arrays[2:]),
        tolerance=1e-4 if dtype == "float32" else 1e-11,
    )


def _row(kind: str, sizes: tuple[int, int, int], target: float) -> Workload:
    net = "-".join(map(str, sizes))
    bound = kind == "bound"
    dtype, through = ("float64", "bound buffers, f64") if bound else ("float32", "NumPy arrays, f32")
    title = f"MLP {net}, batch 1, value and gradients, through {through}"
    return Workload(f"{kind}-{net}", title, partial(_perceptron, *sizes, dtype, bound), target)


WORKLOADS = (
    Workload("scalars", "(x+y)·z and its three gradients, f64 scalars", _scalars, 15),
    _row("mlp", (4, 8, 3), 4),
    _row("mlp", (64, 128, 10), 3),
    _row("bound", (4, 8, 3), 1.5),
    _row("bound", (64, 128, 10), 5),
)
