"""Copies that turn rows into columns go through registers, and hold for all sizes."""

from __future__ import annotations

import numpy as np
import pytest

import graphc as gc
from graphc_llvm.transpose import transpose
from graphc_llvm.writer import DType, Writer


@pytest.mark.parametrize("lanes", [2, 4, 8, 16])
def test_the_network_of_shuffles_transposes(lanes: int) -> None:
    """The instructions are carried out on names of elements."""
    w = Writer()
    rows = [f"%r{k}" for k in range(lanes)]
    values = {r: [(k, e) for e in range(lanes)] for k, r in enumerate(rows)}
    columns = transpose(w, DType.F32, rows)
    for line in w.lines():
        result, rest = line.strip().split(" = ")
        vectors, mask = rest.rsplit(", <", 1)
        a, b = (values["%" + part.split(",")[0]] for part in vectors.split("%")[1:])
        values[result] = [(a + b)[int(e.split()[-1])] for e in mask.split("> <")[1].rstrip(">").split(",")]
    assert [values[c] for c in columns] == [[(e, k) for e in range(lanes)] for k in range(lanes)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("m", "n", "k"), [(16, 16, 16), (64, 48, 32), (37, 53, 71), (5, 100, 17), (64, 256, 40)]
)
def test_products_with_packed_transposed_operands(dtype: str, m: int, n: int, k: int) -> None:
    draw = np.random.default_rng(0).standard_normal
    a, b = draw((m, k)).astype(dtype), draw((n, k)).astype(dtype)
    x, y = gc.input("x", (m, k), dtype), gc.input("y", (n, k), dtype)
    fn = gc.compile([x, y], x @ y.T, threads=1)
    np.testing.assert_allclose(fn(a, b), a @ b.T, rtol=1e-4, atol=1e-4)
    sized = gc.input("x", ("N", k), dtype)
    np.testing.assert_allclose(gc.compile([sized, y], sized @ y.T)(a, b), a @ b.T, rtol=1e-4, atol=1e-4)


def test_a_packed_copy_is_turned_in_registers() -> None:
    x, y = gc.input("x", (64, 256), "float32"), gc.input("y", (512, 256), "float32")
    assert "shufflevector <16 x float> %row" in gc.compile([x, y], x @ y.T).stage("llvm")
