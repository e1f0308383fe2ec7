"""The kernel interpreter against NumPy: arithmetic in the dtype of the kernel, indices checked."""

from __future__ import annotations

import numpy as np
import pytest

from graphc.errors import InternalError
from graphc.ir.dims import Dim, parse
from graphc.ir.types import Array, DType
from graphc.kernel.interp import python_source, run_kernel, run_program
from graphc.kernel.ir import (
    Accumulate,
    AccumulateOp,
    Alloc,
    Buffer,
    For,
    Kernel,
    Kind,
    Let,
    LetIndex,
    Literal,
    Load,
    Parameter,
    Space,
    Stmt,
    Store,
    Temp,
    kernel_lines,
)
from graphc.kernel.program import Call, Program, ProgramBuffer
from graphc.ops.scalar import PRIMS

F32, F64, I32, I64, BOOL = DType.F32, DType.F64, DType.I32, DType.I64, DType.BOOL
N, i = Dim.of("N"), Dim.of("i")
ACC = Buffer("acc", F32, (), Space.REGISTER)
t, u = Temp("t", F32), Temp("u", F32)
CASES = np.array([-3.0, -0.5, -0.0, 0.0, 0.25, 1.0, 2.5, np.inf, -np.inf, np.nan])


def one_prim(name: str, *dtypes: DType) -> Kernel:
    """`out[i] = prim(a[i], b[i], …)`."""
    args = [Temp(f"a{k}", d) for k, d in enumerate(dtypes)]
    ins = [Buffer(f"x{k}", d, (N,)) for k, d in enumerate(dtypes)]
    result = Temp("r", PRIMS[name].result(*dtypes))
    out = Buffer("out", result.dtype, (N,))
    loads = [Load(a, b, (i,)) for a, b in zip(args, ins, strict=True)]
    body = (*loads, Let(result, name, tuple(args)), Store(out, (i,), result))
    return Kernel(name, (*(Parameter(b, "in") for b in ins), Parameter(out, "out")), (For("i", 0, N, body),))


def operands(name: str) -> tuple[DType, ...]:
    prim = PRIMS[name]
    if prim.kind == "select":
        return (BOOL, F32, F32)
    if prim.kind == "logic":
        return (BOOL,) * prim.arity
    return ((I64,) if prim.kind == "integer" else (F32,)) * prim.arity


@pytest.mark.parametrize("name", PRIMS)
def test_every_primitive_is_its_numpy_function(name: str) -> None:
    dtypes = operands(name)
    rng = np.random.default_rng(3)
    values = (
        np.nan_to_num(CASES, nan=1, posinf=7, neginf=-7) if "cast:i" in name or dtypes[0] is I64 else CASES
    )
    given: list[Array] = [rng.permutation(values).astype(d.numpy) for d in dtypes]
    kernel = one_prim(name, *dtypes)
    out = np.zeros(len(CASES), kernel.parameters[-1].buffer.dtype.numpy)
    run_kernel(kernel, {f"x{k}": a for k, a in enumerate(given)} | {"out": out}, {"N": len(CASES)})
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(out, PRIMS[name].numpy(*given))


def test_f32_is_rounded_to_f32_after_every_step() -> None:
    big, small = np.float32(16777216.0), np.float32(1.0)
    kernel = one_prim("add", F32, F32)
    out = np.zeros(1, "f4")
    run_kernel(kernel, {"x0": np.array([big]), "x1": np.array([small]), "out": out}, {"N": 1})
    assert out[0] == big


def accumulated(op: AccumulateOp, dtype: DType, start: float, values: list[float]) -> Array:
    x, out = Buffer("x", dtype, (N,)), Buffer("out", dtype, ())
    a = Temp("a", dtype)
    args = (a, a) if op == "fma" else (a,)
    loop = For("i", 0, N, (Load(a, x, (i,)), Accumulate(out, (), op, args)))
    result = np.array(start, dtype.numpy)
    kernel = Kernel("k", (Parameter(x, "in"), Parameter(out, "inout")), (loop,))
    run_kernel(kernel, {"x": np.array(values, dtype.numpy), "out": result}, {"N": len(values)})
    return result


@pytest.mark.parametrize(
    ("op", "dtype", "start", "values", "expected"),
    [
        ("add", F32, 1, [2, 3], 6),
        ("mul", F64, 2, [3, 0.5], 3),
        ("fma", F32, 1, [2, 3], 14),
        ("fma", F32, -1, [1 + 2**-12, 0], 2**-11 + 2**-24),  # the product is not rounded before the sum
        ("fma", I32, 1, [2, 3], 14),
        ("max", F32, -5, [2, -9], 2),
        ("max", F32, -5, [np.nan, 2], np.nan),
        ("max", F32, np.nan, [2, 3], np.nan),
        ("min", F64, 4, [2, np.nan, 3], np.nan),
        ("min", I64, 4, [2, 3], 2),
        ("add", I32, 2**31 - 1, [1], -(2**31)),
    ],
)
def test_accumulations(
    op: AccumulateOp, dtype: DType, start: float, values: list[float], expected: float
) -> None:
    np.testing.assert_equal(accumulated(op, dtype, start, values)[()], dtype.numpy.type(expected))


@pytest.mark.parametrize("kind", Kind)
def test_loops_of_every_kind_run_all_iterations(kind: Kind) -> None:
    out = Buffer("out", I64, (8,))
    at = Temp("at", I64)
    loop = For("i", 2, 7, (LetIndex(at, parse("3*i-floor((i+1)/2)")), Store(out, (i,), at)), kind, 8)
    result = np.zeros(8, "i8")
    run_kernel(Kernel("k", (Parameter(out, "out"),), (loop,)), {"out": result}, {})
    assert result.tolist() == [0, 0, *(3 * k - (k + 1) // 2 for k in range(2, 7)), 0]


def test_a_cell_that_is_read_too_early_is_nan() -> None:
    out = Buffer("out", F32, (2,))
    tile = Buffer("tile", F32, (3,), Space.STACK)
    body: tuple[Stmt, ...] = (
        Alloc(ACC),
        Alloc(tile),
        Load(t, ACC, ()),
        Load(u, tile, (2,)),
        Store(out, (0,), t),
        Store(out, (1,), u),
    )
    result = np.zeros(2, "f4")
    run_kernel(Kernel("k", (Parameter(out, "out"),), body), {"out": result}, {})
    assert np.isnan(result).all()


@pytest.mark.parametrize("index", ["i+1", "i-1", "where"])
def test_an_index_outside_its_axis_names_the_line(index: str) -> None:
    x, w, where = Buffer("x", F32, (N, 3)), Buffer("w", I64, (N,)), Temp("where", I64)
    body = (Load(where, w, (i,)), Load(t, x, (parse(index), 0)), Store(x, (i, 0), t))
    kernel = Kernel("k", (Parameter(x, "inout"), Parameter(w, "in")), (For("i", 0, N, body),))
    given = {"x": np.zeros((2, 3), "f4"), "w": np.array([0, -1])}
    with pytest.raises(InternalError, match=r"kernel k, line 3, `t = load x\[.*\]`"):
        run_kernel(kernel, given, {"N": 2})


@pytest.mark.parametrize(
    "given", [np.zeros(3, "f8"), np.zeros(4, "f4"), np.zeros(6, "f4")[::2]], ids=["dtype", "size", "strides"]
)
def test_arrays_that_do_not_fit_are_refused(given: Array) -> None:
    x = Buffer("x", F32, (3,))
    kernel = Kernel("k", (Parameter(x, "inout"),), (Store(x, (0,), Literal(1.0, F32)),))
    with pytest.raises(InternalError, match="kernel k: x"):
        run_kernel(kernel, {"x": given}, {})


def test_zeros_of_both_signs_are_told_apart() -> None:
    x = Buffer("x", F32, ())
    for value in (0.0, -0.0, 0.0):
        result = np.ones((), "f4")
        kernel = Kernel("k", (Parameter(x, "out"),), (Store(x, (), Literal(value, F32)),))
        run_kernel(kernel, {"x": result}, {})
        assert np.signbit(result) == np.signbit(value)


def test_each_line_of_python_is_a_line_of_the_kernel() -> None:
    kernel = one_prim("tanh", F32)
    assert len(python_source(kernel).splitlines()) == len(list(kernel_lines(kernel)))


def test_a_program_runs_its_calls_in_order_over_one_table_of_buffers() -> None:
    double = one_prim("add", F32, F32)
    buffers = (
        ProgramBuffer("x", F32, (N,), "input"),
        ProgramBuffer("three", F32, (N,), "const", np.full(2, 3, "f4")),
        ProgramBuffer("sum", F32, (N,), "temp"),
        ProgramBuffer("out", F32, (N,), "output"),
    )
    calls = (Call(double, (0, 1, 2), N, 12 * N), Call(double, (2, 2, 3), N, 12 * N))
    arrays = [np.array([1, 2], "f4"), *(np.zeros(2, "f4") for _ in range(3))]
    run_program(Program("p", buffers, calls), arrays, {"N": 2})
    assert arrays[3].tolist() == [8, 10]
