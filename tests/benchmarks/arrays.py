"""Single operations on arrays: the matrix product, and a chain of elementwise functions."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from tests.benchmarks.workload import Ops, Problem, Value, Workload


def _product(ops: Ops, params: Mapping[str, Value], a: Value, b: Value) -> Value:
    return a @ b


def _matmul(n: int) -> Problem:
    draw = np.random.default_rng(0).standard_normal
    return Problem(
        _product, tuple(draw((n, n)).astype("float32") for _ in range(2)), flops=2.0 * n**3, written=4 * n * n
    )


def _chain(ops: Ops, params: Mapping[str, Value], a: Value, b: Value) -> Value:
    return ops.tanh(a * b + 1.0) * ops.sigmoid(a - b) + ops.exp(-(a * a))


def _elementwise(count: int) -> Problem:
    draw = np.random.default_rng(0).standard_normal
    return Problem(_chain, tuple(draw(count).astype("float32") for _ in range(2)), written=4 * count)


WORKLOADS = (
    *(
        Workload(f"matmul-{n}", f"matrix product {n}×{n}, f32", partial(_matmul, n))
        for n in (64, 128, 256, 512, 1024)
    ),
    Workload(
        "elementwise", "tanh(ab+1)·σ(a−b)+exp(−a²), 4 M elements, f32", partial(_elementwise, 4_000_000)
    ),
)
