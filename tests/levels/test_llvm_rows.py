"""Rows that do not fill a cache line: temporaries among them are read and written as whole vectors."""

from __future__ import annotations

import numpy as np
import pytest

import graphc as gc
from graphc.kernel.ir import Alloc, Buffer, Kernel, Load, Parameter, Space, Store, Temp
from graphc.kernel.program import Call, Program, ProgramBuffer, Role
from graphc_llvm.emit import emit
from tests.levels.llvm_kernels import F32, i, program_of, run, vector


def masked(role: Role, start: int, extent: int, lanes: int = 16) -> tuple[int, int]:
    """The masked loads and stores of a module that copies a part of a row to another one, and on to an output."""
    x, y, t = Buffer("x", F32, (1, 11)), Buffer("y", F32, (1, 11)), Temp("t", F32)
    copy = vector("i", 0, extent, Load(t, x, (0, start + i)), Store(y, (0, start + i), t), lanes=lanes)
    kernel = Kernel("copy", (Parameter(x, "in"), Parameter(y, "out")), (copy,))
    roles: dict[str, Role] = {"x": "input", "m": role, "y": "output"}
    buffers = tuple(ProgramBuffer(name, F32, (1, 11), r) for name, r in roles.items())
    calls = Call(kernel, (0, 1), 0, 0), Call(kernel, (1, 2), 0, 0)
    text = str(emit(Program("p", buffers, calls)))
    return text.count("call <"), text.count("call void @llvm.masked.store")


def test_only_temporaries_are_written_behind_their_last_element() -> None:
    """What was stored under a mask can be loaded only after it has come to the cache."""
    one_function, one_of_each = (1, 1), (1, 1)
    assert masked("temp", 0, 11) == one_of_each  # the input is read, and the output written, under a mask
    assert masked("temp", 4, 7, 8) == one_of_each
    assert masked("output", 0, 11) == one_function
    for start, extent, lanes in ((0, 7, 8), (0, 11, 32), (4, 7, 16)):
        assert masked("temp", start, extent, lanes) == (2, 2), (
            "surplus lanes reach elements, or another buffer"
        )


@pytest.mark.parametrize("extent", [1, 2, 3, 5, 6, 7, 10, 11, 12, 15, 16, 17, 18, 20, 21, 24, 31])
def test_few_lanes_are_moved_in_blocks(extent: int) -> None:
    size, lanes = extent + 3, 16 if extent <= 16 else 32
    x, y, t = Buffer("x", F32, (size,)), Buffer("y", F32, (size,)), Temp("t", F32)
    copy = vector("i", 0, extent, Load(t, x, (2 + i,)), Store(y, (1 + i,), t), lanes=lanes)
    program = program_of(Kernel("copy", (Parameter(x, "in"), Parameter(y, "inout")), (copy,)))
    data, old = np.arange(size, dtype=np.float32), -np.arange(size, dtype=np.float32)
    found = run(program, {"x": data, "y": old}, {})["y"]
    np.testing.assert_array_equal(found, [*old[:1], *data[2 : 2 + extent], *old[1 + extent :]])
    blocks = extent.bit_count() <= 2
    assert ("llvm.masked.store" in str(emit(program))) != blocks
    assert ("llvm.masked.load" in str(emit(program))) != (extent == 1 or (blocks and extent > 15))


@pytest.mark.parametrize("start", [0, 3, 9])
def test_scratch_of_one_row_keeps_to_itself(start: int) -> None:
    x, y, z, t = *(Buffer(name, F32, (12,)) for name in "xyz"), Temp("t", F32)
    row, other = Buffer("row", F32, (12,), Space.SCRATCH), Buffer("other", F32, (12,), Space.SCRATCH)
    body = (
        Alloc(row),
        Alloc(other),
        vector("i", 0, 12, Load(t, x, (i,)), Store(other, (i,), t)),
        vector("i", 0, 12, Load(t, x, (i,)), Store(row, (i,), t)),
        vector("i", 0, 12 - start, Load(t, x, (i,)), Store(row, (start + i,), t)),
        vector("i", 0, 12, Load(t, row, (i,)), Store(y, (i,), t)),
        vector("i", 0, 12, Load(t, other, (i,)), Store(z, (i,), t)),
    )
    kernel = Kernel("k", (Parameter(x, "in"), Parameter(y, "out"), Parameter(z, "out")), body)
    data = np.arange(1, 13, dtype=np.float32)
    found = run(program_of(kernel), {"x": data}, {})
    np.testing.assert_array_equal(found["y"], np.concatenate([data[:start], data[: 12 - start]]))
    np.testing.assert_array_equal(found["z"], data)


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("sizes", [(1, 1, 1), (3, 5, 2), (7, 9, 17), (15, 20, 33)])
def test_small_chains_agree_with_numpy(dtype: str, sizes: tuple[int, int, int]) -> None:
    draw = np.random.default_rng(0).standard_normal
    shapes = (sizes[:1], sizes[1::-1], sizes[:0:-1])
    arrays = [draw(s).astype(np.float32 if dtype == "f32" else np.float64) for s in shapes]
    x, w, u = (gc.input(name, a.shape, dtype) for name, a in zip("xwu", arrays, strict=True))
    y = u @ gc.softmax(w @ x)
    outputs = [y, *gc.grad(gc.sum(y * y), [x, w, u])]
    found, wanted = (gc.compile([x, w, u], outputs, backend=b)(*arrays) for b in ("llvm", "reference"))
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(
            a, b, rtol=1e-4 if dtype == "f32" else 1e-11, atol=1e-6 if dtype == "f32" else 1e-14
        )
