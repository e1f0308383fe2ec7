"""How a case of an operation is checked: values and gradients on every back end, and gradients of gradients.

The oracle of a `Case` is NumPy; gradients are compared with central differences of it.  The cases are in
`structural_cases.py` and in the files `cases_*.py`.

>>> from structural_cases import CASES
>>> [a.shape for a in arrays(CASES["matmul"], batch=2)]
[(2, 3), (3, 4)]
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from structural_cases import Array, Case

import graphc as gc
from graphc.ir.node import node
from graphc.lang.tensor import Tensor
from graphc.ops.leaves import Iota
from graphc.runtime.function import Function

BACKENDS = ("reference", "interpreter", "llvm")

Tolerance = tuple[float, float]
"""Relative and absolute."""


def tensors(case: Case, dtype: str) -> dict[str, Tensor]:
    return {k: gc.input(k, s, "int64" if k in case.labels else dtype) for k, s in case.shapes.items()}


def upstream(y: Tensor) -> Tensor:
    """An upstream of any shape: numbers that differ from element to element, made from the indices."""
    return gc.sin(gc.const(0.7, y.dtype) + 1.3 * _counted(y))


def _counted(y: Tensor) -> Tensor:
    total = gc.zeros_like(y)
    for axis in range(y.ndim):
        total = total + float(axis + 1) * Tensor(node(Iota(y.shape, axis, y.dtype)))
    return total


def upstream_array(shape: Sequence[int], dtype: str) -> Array:
    total = np.zeros(shape)
    for axis, index in enumerate(np.indices(shape)):
        total += (axis + 1) * index
    return np.sin(0.7 + 1.3 * total).astype(dtype)


def value_and_gradient(case: Case, dtype: str, backend: str) -> Function:
    """Operands → (value, the gradient of Σ upstream · value by each floating operand)."""
    xs = list(tensors(case, dtype).values())
    y = case.make(*xs)
    wrt = [x for x in xs if x.dtype.is_float]
    return gc.compile(xs, [y, *gc.vjp(y, wrt, upstream(y))], backend=backend)


def arrays(case: Case, batch: int, dtype: str = "float64") -> list[Array]:
    """Operands of distinct values at least 1/20 apart, so that maxima do not switch under a small step."""
    draw = np.random.default_rng(zlib.crc32(repr(case.shapes).encode()) + batch)
    found = []
    for name, dims in case.shapes.items():
        shape = tuple(batch if d == "N" else int(d) for d in dims)
        if name in case.labels:
            found.append(draw.integers(-case.labels[name], case.labels[name], shape))
        else:
            count = int(np.prod(shape))
            found.append((draw.permutation(count) / max(20, count) * 4 - 1.9).reshape(shape).astype(dtype))
    return found


def differences(
    f: Callable[..., Any], given: list[Array], k: int, up: Array, *, linear: bool = False
) -> Array:
    """∂/∂(operand k) of Σ up · f, by central differences: at two steps, so that h² cancels, or one of 1."""
    base, h = given[k], 1.0 if linear else 1e-3
    out = np.zeros(base.shape)

    def slope(at: tuple[int, ...], step: float) -> float:
        ends = []
        for s in (step, -step):
            moved = base.copy()
            moved[at] += s
            ends.append(float((up * f(*given[:k], moved, *given[k + 1 :])).sum()))
        return (ends[0] - ends[1]) / (2 * step)

    for at in np.ndindex(base.shape):
        out[at] = slope(at, h) if linear else (4 * slope(at, h) - slope(at, 2 * h)) / 3
    return out


def check_value_and_gradient(
    case: Case, functions: Mapping[str, Function], value: Tolerance, slope: Tolerance, *, linear: bool
) -> None:
    """What `value_and_gradient` made, by the name of the back end, gives what the oracle says, at every size."""
    for batch in case.batches:
        given = arrays(case, batch)
        wanted = np.asarray(case.oracle(*given))
        up = upstream_array(wanted.shape, "float64")
        floats = [k for k, a in enumerate(given) if a.dtype.kind == "f"]
        slopes = [differences(case.oracle, given, k, up, linear=linear) for k in floats]
        for backend, function in functions.items():
            got, *gradients = function(*given)
            where = f"{backend}, N = {batch}"
            assert got.shape == wanted.shape and got.dtype == wanted.dtype, where
            np.testing.assert_allclose(got, wanted, *value, err_msg=where)
            for k, g, w in zip(floats, gradients, slopes, strict=True):
                np.testing.assert_allclose(g, w, *slope, err_msg=f"by operand {k}, {where}")


def check_gradient_of_the_gradient(case: Case, tolerance: Tolerance) -> None:
    """Σ sin(value) has a gradient; a weighted sum of that has one again, and it is what differences say."""
    xs = list(tensors(case, "float64").values())
    wrt = [x for x in xs if x.dtype.is_float]
    first = gc.vjp(gc.sum(gc.sin(case.make(*xs))), wrt, gc.const(1.0))
    mixed = [gc.sum(g * upstream(g)) for g in first]
    second = gc.vjp(mixed, wrt, [gc.const(1.0)] * len(mixed))
    slope = gc.compile(xs, first, backend="reference")
    given = arrays(case, 2)
    ups = [upstream_array(g.shape, "float64") for g in slope(*given)]

    def weighted(*at: Array) -> float:
        return float(sum((u * g).sum() for u, g in zip(ups, slope(*at), strict=True)))

    floats = [k for k, a in enumerate(given) if a.dtype.kind == "f"]
    expected = [differences(weighted, given, k, np.ones(())) for k in floats]
    for backend in ("reference", "llvm"):
        found = gc.compile(xs, second, backend=backend)(*given)
        for k, g, e in zip(floats, found, expected, strict=True):
            np.testing.assert_allclose(g, e, *tolerance, err_msg=f"by operand {k}, {backend}")
