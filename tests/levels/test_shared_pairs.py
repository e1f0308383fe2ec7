"""Threads share the pairs of iterations of two parallel loops: every pair is done once, whatever the sizes."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

import graphc as gc
from graphc.errors import InternalError
from graphc.ir.dims import Dim
from graphc.ir.types import DType
from graphc.kernel.edits import ScheduleError
from graphc.kernel.ir import Accumulate, Buffer, For, Kernel, Kind, Literal, Load, Parameter, Temp
from graphc.kernel.program import Machine
from graphc.kernel.schedule import parallelize
from graphc.kernel.verify import verify
from graphc_llvm.schedules import schedule
from tests.levels.llvm_kernels import program_of, run

N, M, i, j = (Dim.of(n) for n in ("N", "M", "i", "j"))
COUNTS = Buffer("counts", DType.F32, (N, M))
ONE = Literal(1.0, DType.F32)
ADD = Accumulate(COUNTS, (i, j), "add", (ONE,))


def counting(*body: For) -> Kernel:
    """Adds one to every element: `for i: for j: counts[i,j] add= 1`."""
    return Kernel("count", (Parameter(COUNTS, "inout"),), (For("i", 0, N, body),))


def paired() -> Kernel:
    return parallelize(parallelize(counting(For("j", 0, M, (ADD,))), "i")[0], "j")[0]


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_every_pair_is_done_once(threads: int) -> None:
    kernel = verify(paired())
    assert str(kernel).count("parallel") == 2
    program = program_of(kernel, flops=10**9)
    for n, m in product((0, 1, 2, 3, 7, 64), (0, 1, 5, 33)):
        counts = run(program, {"counts": np.zeros((n, m))}, {"M": m, "N": n}, threads=threads)["counts"]
        assert (counts == 1.0).all(), (n, m)


def test_what_is_no_pair_is_refused() -> None:
    outer = parallelize(counting(For("j", 0, M, (ADD,)), For("k", 0, M, (ADD,))), "i")[0]
    with pytest.raises(ScheduleError, match="j is not the whole body of i"):
        parallelize(outer, "j")
    with pytest.raises(ScheduleError, match="it is not outermost"):
        parallelize(counting(For("j", 0, M, (ADD,))), "j")
    to_one = Accumulate(COUNTS, (i, 0), "add", (ONE,))
    with pytest.raises(ScheduleError, match="two iterations may meet"):
        parallelize(parallelize(counting(For("j", 0, M, (to_one,))), "i")[0], "j")
    triangle = parallelize(counting(For("j", 0, i, (ADD,))), "i")[0]
    with pytest.raises(ScheduleError, match="the range of j depends on i"):
        parallelize(triangle, "j")
    inside = For("j", 1, M, (ADD,), Kind.PARALLEL)
    wrong = Kernel("count", (Parameter(COUNTS, "inout"),), (For("i", 0, N, (inside,), Kind.PARALLEL),))
    with pytest.raises(InternalError, match="a parallel loop is outermost, or the whole body of one"):
        verify(wrong)


def test_few_iterations_are_shared_with_the_loop_inside() -> None:
    """Three panels of columns for two threads: one thread would do twice the work of the other."""
    x, y = gc.input("x", (509, 784), "float32"), gc.input("y", (784, 144), "float32")
    program = gc.compile([x, y], x @ y, backend="interpreter").program
    (call,) = program.calls
    machine = Machine("znver4", 64, 32, 32 << 10, 512 << 10, 2)
    _, steps = schedule(call.kernel, machine, flops=call.flops, threads=2)
    shared = [s for s in steps if s.startswith("parallelize")]
    assert shared == ["parallelize i1o", "parallelize i0o", "parallelize i1_2o"]


@pytest.mark.parametrize(("count", "shared"), [(4, True), (5, False)])
def test_columns_in_blocks_below_rows_are_shared_while_they_stay_within_a_row(
    count: int, shared: bool
) -> None:
    """`row·128 + block·32 + lane` of one flat axis: four blocks fill a row, a fifth would run into the next."""
    flat = Buffer("y", DType.F32, (10 * 128 + 32,))
    row, block, lane = (Dim.of(n) for n in ("row", "block", "lane"))
    add = Accumulate(flat, (128 * row + 32 * block + lane,), "max", (ONE,))
    rows = For("row", 0, 10, (For("lane", 0, 32, (add, Load(Temp("t", DType.F32), flat, add.index))),))
    kernel = Kernel("blocks", (Parameter(flat, "inout"),), (For("block", 0, count, (rows,)),))
    if shared:
        verify(parallelize(kernel, "block")[0])
    else:
        with pytest.raises(ScheduleError, match="two iterations may meet"):
            parallelize(kernel, "block")
