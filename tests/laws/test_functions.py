"""Every function of arrays against NumPy: value and gradient on every back end, second order, forward mode.

The cases are in `cases_arrays.py` and `cases_reductions.py`, the checks in `case_checks.py`.
"""

from __future__ import annotations

import cases_arrays
import cases_reductions
import numpy as np
import pytest
from case_checks import (
    BACKENDS,
    arrays,
    check_gradient_of_the_gradient,
    check_value_and_gradient,
    tensors,
    upstream,
    value_and_gradient,
)
from structural_cases import Case

import graphc as gc

CASES: dict[str, Case] = {**cases_arrays.CASES, **cases_reductions.CASES}


@pytest.mark.parametrize("name", CASES)
def test_value_and_gradient_on_every_back_end(name: str) -> None:
    functions = {backend: value_and_gradient(CASES[name], "float64", backend) for backend in BACKENDS}
    check_value_and_gradient(CASES[name], functions, (1e-12, 1e-13), (1e-7, 1e-8), linear=False)


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
    check_gradient_of_the_gradient(CASES[name], (1e-5, 1e-6))
