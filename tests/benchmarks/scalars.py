"""Three scalars: nothing but the cost of a call."""

from __future__ import annotations

import numpy as np

from tests.benchmarks.workload import Ops, Problem, Value, Workload


def _product(ops: Ops, params: dict[str, Value], x: Value, y: Value, z: Value) -> Value:
    return (x + y) * z


def _problem() -> Problem:
    point = tuple(np.array(v) for v in (-2.0, 5.0, -4.0))
    return Problem(_product, point, gradients=True, flops=5, tolerance=1e-12)


WORKLOADS = (Workload("scalars", "(x+y)·z and its three gradients, f64 scalars", _problem),)
