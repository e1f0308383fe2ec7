"""Single operations on arrays: the matrix product, a chain of elementwise functions, softmax and layer norm.

With gradients, a softmax or a layer norm is weighted by an array c and summed: that array is its upstream gradient.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from tests.benchmarks.workload import Ops, Problem, Value, Workload

Params = Mapping[str, Value]


def _product(ops: Ops, params: Params, a: Value, b: Value) -> Value:
    return a @ b


def _matmul(n: int) -> Problem:
    draw = np.random.default_rng(0).standard_normal
    return Problem(
        _product, tuple(draw((n, n)).astype("float32") for _ in range(2)), flops=2.0 * n**3, written=4 * n * n
    )


def _chain(ops: Ops, params: Params, a: Value, b: Value) -> Value:
    return ops.tanh(a * b + 1.0) * ops.sigmoid(a - b) + ops.exp(-(a * a))


def _elementwise(count: int) -> Problem:
    draw = np.random.default_rng(0).standard_normal
    return Problem(_chain, tuple(draw(count).astype("float32") for _ in range(2)), written=4 * count)


_ROWS, _COLUMNS = 4096, 1024


def _softmax(ops: Ops, params: Params, x: Value) -> Value:
    return ops.softmax(x)


def _layer_norm(ops: Ops, params: Params, x: Value, gamma: Value, beta: Value) -> Value:
    return ops.layer_norm(x, gamma, beta)


def _weighted_softmax(ops: Ops, params: Params, c: Value, x: Value) -> Value:
    return ops.sum(c * ops.softmax(x))


def _weighted_layer_norm(ops: Ops, params: Params, c: Value, x: Value, gamma: Value, beta: Value) -> Value:
    return ops.sum(c * ops.layer_norm(x, gamma, beta))


def _rows(normalised: bool, gradients: bool) -> Problem:
    draw = np.random.default_rng(0).standard_normal
    x, c = (draw((_ROWS, _COLUMNS), "float32") for _ in range(2))
    vectors = tuple(draw(_COLUMNS, "float32") for _ in range(2 * normalised))
    if not gradients:
        return Problem(_layer_norm if normalised else _softmax, (x, *vectors), written=x.nbytes)
    body = _weighted_layer_norm if normalised else _weighted_softmax
    wrt = tuple(range(1, 2 + len(vectors)))
    # The sum of four million numbers of either sign is small beside them.
    return Problem(body, (c, x, *vectors), gradients=wrt, written=x.nbytes, tolerance=1e-3)


_SHAPE = f"{_ROWS}×{_COLUMNS}, f32"
WORKLOADS = (
    *(
        Workload(f"matmul-{n}", f"matrix product {n}×{n}, f32", partial(_matmul, n), target)
        for n, target in ((64, 1.3), (128, 1.2), (256, 1.3), (512, 1.05), (1024, 1.0))
    ),
    Workload(
        "elementwise", "tanh(ab+1)·σ(a−b)+exp(−a²), 4 M elements, f32", partial(_elementwise, 4_000_000), 1.2
    ),
    Workload("softmax", f"softmax, {_SHAPE}", partial(_rows, False, False), 1.0),
    Workload("softmax-grad", f"softmax, value and gradient, {_SHAPE}", partial(_rows, False, True), 1.5),
    Workload("layer-norm", f"layer norm, {_SHAPE}", partial(_rows, True, False), 1.0),
    Workload(
        "layer-norm-grad", f"layer norm, value and gradients, {_SHAPE}", partial(_rows, True, True), 1.5
    ),
)
