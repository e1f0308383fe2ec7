"""Every function of arrays against NumPy: value and gradient on every back end, second order, forward mode.

The cases are in `cases_arrays.py` and `cases_reductions.py`, the machinery is that of `test_structural.py`.
"""

from __future__ import annotations

import cases_arrays
import cases_reductions
import numpy as np
import pytest
from structural_cases import Array, Case
from test_structural import BACKENDS, arrays, differences, tensors, upstream, upstream_array

import graphc as gc

CASES: dict[str, Case] = {**cases_arrays.CASES, **cases_reductions.CASES}


@pytest.mark.parametrize("name", CASES)
def test_value_and_gradient_on_every_back_end(name: str) -> None:
    case = CASES[name]
    xs = tensors(case, "float64")
    wrt = [x for x in xs.values() if x.dtype.is_float]
    y = case.make(*xs.values())
    functions = {
        b: gc.compile(list(xs.values()), [y, *gc.vjp(y, wrt, upstream(y))], backend=b) for b in BACKENDS
    }
    for batch in case.batches:
        given = arrays(case, batch)
        value = np.asarray(case.oracle(*given))
        up = upstream_array(value.shape, "float64")
        floats = [k for k, a in enumerate(given) if a.dtype.kind == "f"]
        slopes = [differences(case.oracle, given, k, up, linear=False) for k in floats]
        for backend, function in functions.items():
            got, *gradients = function(*given)
            where = f"{backend}, N = {batch}"
            assert got.shape == value.shape and got.dtype == value.dtype, where
            np.testing.assert_allclose(got, value, rtol=1e-12, atol=1e-13, err_msg=where)
            for k, g, slope in zip(floats, gradients, slopes, strict=True):
                np.testing.assert_allclose(g, slope, rtol=1e-7, atol=1e-8, err_msg=f"by operand {k}, {where}")


@pytest.mark.parametrize("name", CASES)
def test_forward_mode_is_the_transpose_of_reverse_mode(name: str) -> None:
    """⟨u, J t⟩ = ⟨Jᵀ u, t⟩; and in single precision the value is that in double."""
    case = CASES[name]
    xs = tensors(case, "float64")
    wrt = [x for x in xs.values() if x.dtype.is_float]
    y = case.make(*xs.values())
    along = [upstream(x) for x in wrt]
    (forward,) = gc.jvp(y, wrt, along)
    back = gc.vjp(y, wrt, upstream(y))
    sides = [gc.sum(forward * upstream(y)), sum(gc.sum(b * t) for b, t in zip(back, along, strict=True))]
    given = arrays(case, case.batches[-1])
    left, right = gc.compile(list(xs.values()), sides, backend="reference")(*given)
    np.testing.assert_allclose(left, right, rtol=1e-9, atol=1e-10)
    small = tensors(case, "float32")
    z = case.make(*small.values())
    narrow = [a.astype("float32") if a.dtype.kind == "f" else a for a in given]
    got = gc.compile(list(small.values()), z, backend="llvm")(*narrow)
    wide = gc.compile(list(xs.values()), y, backend="reference")(
        *[a.astype(np.float64) if a.dtype.kind == "f" else a for a in narrow]
    )
    np.testing.assert_allclose(got, wide, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", [k for k, c in CASES.items() if c.curved])
def test_gradient_of_the_gradient(name: str) -> None:
    case = CASES[name]
    xs = tensors(case, "float64")
    wrt = [x for x in xs.values() if x.dtype.is_float]
    first = gc.vjp(gc.sum(gc.sin(case.make(*xs.values()))), wrt, gc.const(1.0))
    mixed = [gc.sum(g * upstream(g)) for g in first]
    second = gc.vjp(mixed, wrt, [gc.const(1.0)] * len(mixed))
    slope = gc.compile(list(xs.values()), first, backend="reference")
    given = arrays(case, 2)
    ups = [upstream_array(g.shape, "float64") for g in slope(*given)]

    def weighted(*at: Array) -> float:
        return float(sum((u * g).sum() for u, g in zip(ups, slope(*at), strict=True)))

    floats = [k for k, a in enumerate(given) if a.dtype.kind == "f"]
    expected = [differences(weighted, given, k, np.ones(())) for k in floats]
    for backend in ("reference", "llvm"):
        found = gc.compile(list(xs.values()), second, backend=backend)(*given)
        for k, g, e in zip(floats, found, expected, strict=True):
            np.testing.assert_allclose(g, e, rtol=1e-5, atol=1e-6, err_msg=f"by operand {k}, {backend}")
