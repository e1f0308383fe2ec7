"""Kernels written by hand, run through LLVM and compared with NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from graphc.errors import BackendError, InternalError
from graphc.ir.dims import Dim, Index
from graphc.ir.types import DECLARED, Array, DType
from graphc.kernel.ir import (
    Accumulate,
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
)
from graphc.kernel.program import Call, Program, ProgramBuffer
from graphc.ops.scalar import PRIMS
from graphc_llvm.emit import emit
from graphc_llvm.primitives import ROWS
from tests.levels.llvm_kernels import (
    BOOL,
    F32,
    F64,
    I32,
    I64,
    N,
    built,
    elementwise,
    i,
    io,
    j,
    k,
    lit,
    program_of,
    run,
    tailed,
    vector,
)

SIZES = (0, 1, 2, 7, 15, 16, 17, 64, 65)


def samples(dtype: DType, size: int, seed: int) -> Array:
    rng = np.random.default_rng(seed)
    if dtype is BOOL:
        return rng.integers(0, 2, size).astype(bool)
    if dtype.is_integer:
        special = np.array(
            [0, 1, -1, np.iinfo(dtype.numpy).min, np.iinfo(dtype.numpy).max, 7, -7], dtype.numpy
        )
        return np.where(rng.random(size) < 0.5, rng.choice(special, size), rng.integers(-9, 9, size)).astype(
            dtype.numpy
        )
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 2.5, -2.5], dtype.numpy)
    return np.where(rng.random(size) < 0.4, rng.choice(special, size), rng.standard_normal(size) * 3).astype(
        dtype.numpy
    )


def operands(name: str) -> list[tuple[DType, ...]]:
    """All dtypes that a primitive takes."""
    prim = PRIMS[name]
    found = []
    for d in DECLARED:
        dtypes = (BOOL, d, d) if prim.kind == "select" else (d,) * prim.arity
        try:
            prim.result(*dtypes)
        except InternalError:
            continue
        found.append(dtypes)
    return found


CASES = [(name, dtypes) for name in PRIMS for dtypes in operands(name)]


def test_every_primitive_has_a_row() -> None:
    assert set(ROWS) == set(PRIMS)


@pytest.mark.parametrize(("name", "dtypes"), CASES, ids=[f"{n}-{d[-1]}" for n, d in CASES])
def test_primitives_agree_with_numpy(name: str, dtypes: tuple[DType, ...]) -> None:
    result = PRIMS[name].result(*dtypes)
    for lanes in (1, 16):
        size = 83
        xs = [samples(d, size, seed) for seed, d in enumerate(dtypes)]
        if name.startswith("cast:i") and dtypes[0].is_float:
            xs[0] = np.nan_to_num(xs[0], nan=0.0, posinf=9.0, neginf=-9.0)
        program = program_of(elementwise(name, dtypes, result, lanes))
        got = run(program, {f"x{n}": x for n, x in enumerate(xs)}, {"N": size})["y"]
        with np.errstate(all="ignore"):
            want = PRIMS[name].numpy(*xs).astype(result.numpy)
        if result.is_float:
            # One rounding or two differ by more where the sum cancels, as it does near a zero of lgamma below 0.
            ulps = 64 if name in ("fma", "lgamma", "digamma", "polygamma") else 5
            np.testing.assert_array_max_ulp(np.nan_to_num(got), np.nan_to_num(want), ulps)
            np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
            np.testing.assert_array_equal(np.isinf(got), np.isinf(want))
            if name not in ("minimum", "maximum"):  # of +0 and -0 either
                zero = (want == 0) & (got == 0)
                np.testing.assert_array_equal(np.signbit(got[zero]), np.signbit(want[zero]))
        else:
            np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("lanes", [4, 16, 64])
def test_masked_tails(size: int, lanes: int) -> None:
    x = samples(F32, size, size)
    program = program_of(elementwise("neg", (F32,), F32, lanes))
    np.testing.assert_array_equal(run(program, {"x0": x}, {"N": size})["y"], -x)


@pytest.mark.parametrize("size", SIZES)
def test_tails_of_known_size(size: int) -> None:
    x = samples(I32, size, size)
    program = program_of(elementwise("neg", (I32,), I32, 16, size))
    np.testing.assert_array_equal(run(program, {"x0": x}, {})["y"], -x)


@pytest.mark.parametrize("source", DECLARED)
@pytest.mark.parametrize("target", DECLARED)
@pytest.mark.parametrize("lanes", [2, 8])
def test_conversions_write_and_read_what_is_theirs(source: DType, target: DType, lanes: int) -> None:
    """A found case: LLVM folds a conversion into a masked store of one lane, and stores the wide value."""
    for size in (1, 9, 17, 25):
        x = np.clip(samples(source, size, size), -9, 9) if source.is_float else samples(source, size, size)
        program = program_of(elementwise(f"cast:{target}", (source,), target, lanes, size))
        got = run(program, {"x0": x}, {})["y"]
        np.testing.assert_array_equal(got, PRIMS[f"cast:{target}"].numpy(x))


def reduction(op: str, dtype: DType, init: float, extent: Index, lanes: int) -> Kernel:
    """`y[] = op over x`, with a horizontal reduction in every vector."""
    x, y = Buffer("x", dtype, (extent,)), Buffer("y", dtype, ())
    t = Temp("t", dtype)
    body = (Load(t, x, (i,)), Accumulate(y, (), op, (t,)))  # type: ignore[arg-type]
    start = Store(y, (), Literal(init, dtype))
    return Kernel(
        "reduce", (Parameter(x, "in"), Parameter(y, "out")), (start, *tailed("i", extent, body, lanes))
    )


@pytest.mark.parametrize("lanes", [1, 3, 16])
@pytest.mark.parametrize("size", [0, 1, 5, 16, 37])
@pytest.mark.parametrize("op", ["add", "mul", "max", "min"])
def test_horizontal_reductions(op: str, size: int, lanes: int) -> None:
    numpy = {"add": np.sum, "mul": np.prod, "max": np.max, "min": np.min}[op]
    init = {"add": 0.0, "mul": 1.0, "max": -np.inf, "min": np.inf}[op]
    x = np.random.default_rng(size).uniform(0.8, 1.2, size)
    got = run(program_of(reduction(op, F64, init, N, lanes)), {"x": x}, {"N": size})["y"]
    want = numpy(x, initial=init)  # type: ignore[operator]
    np.testing.assert_allclose(got, want, rtol=1e-14)


@pytest.mark.parametrize("op", ["max", "min"])
@pytest.mark.parametrize("place", [0, 3, 15, 16, 20])
def test_extrema_keep_nan(op: str, place: int) -> None:
    x = np.arange(21.0)
    x[place] = np.nan
    got = run(program_of(reduction(op, F64, -np.inf if op == "max" else np.inf, N, 16)), {"x": x}, {"N": 21})[
        "y"
    ]
    assert np.isnan(got)


@pytest.mark.parametrize("op", ["max", "min", "add"])
def test_integer_and_bool_reductions(op: str) -> None:
    x = np.array([5, -3, 7, 7, 0], np.int32)
    lowest, highest = np.iinfo(np.int32).min, np.iinfo(np.int32).max
    init = {"max": lowest, "min": highest, "add": 0}[op]
    got = run(program_of(reduction(op, I32, init, N, 16)), {"x": x}, {"N": 5})["y"]
    assert got == {"max": 7, "min": -3, "add": 16}[op]
    start = {"max": False, "min": True, "add": False}[op]
    flags = run(
        program_of(reduction(op, BOOL, start, N, 16)), {"x": np.array([True, False, True])}, {"N": 3}
    )["y"]
    assert bool(flags) is (op != "min")


def matmul_tiled(rows: int, vectors: int) -> Kernel:
    """C[M,P] = A[M,K] B[K,P], M a multiple of rows and P one of 16·vectors: a register tile, unrolled."""
    M, K, P, jo, r, c, lane = (Dim.of(n) for n in ("M", "K", "P", "jo", "r", "c", "l"))
    a, b, out = Buffer("A", F32, (M, K)), Buffer("B", F32, (K, P)), Buffer("C", F32, (M, P))
    acc = Buffer("acc", F32, (rows, 16 * vectors), Space.REGISTER)
    ta, tb, tc = Temp("a", F32), Temp("b", F32), Temp("c_", F32)
    row, column = io * rows + r, jo * (16 * vectors) + c * 16 + lane

    def tile(*body: Stmt) -> For:
        return For(
            "r", 0, rows, (For("c", 0, vectors, (vector("l", 0, 16, *body),), Kind.UNROLL),), Kind.UNROLL
        )

    cell = (r, c * 16 + lane)
    body: tuple[Stmt, ...] = (
        Alloc(acc),
        tile(Store(acc, cell, lit(0.0))),
        For(
            "k",
            0,
            K,
            (tile(Load(ta, a, (row, k)), Load(tb, b, (k, column)), Accumulate(acc, cell, "fma", (ta, tb))),),
        ),
        tile(Load(tc, acc, cell), Store(out, (row, column), tc)),
    )
    loops = For("io", 0, M // rows, (For("jo", 0, P // (16 * vectors), body),), Kind.PARALLEL)
    return Kernel("matmul", (Parameter(a, "in"), Parameter(b, "in"), Parameter(out, "out")), (loops,))


def test_register_tiles_stay_in_registers() -> None:
    program = program_of(matmul_tiled(4, 2))
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((8, 33), np.float32), rng.standard_normal((33, 64), np.float32)
    got = run(program, {"A": a, "B": b}, {"M": 8, "K": 33, "P": 64})["C"]
    np.testing.assert_allclose(got, a @ b, rtol=1e-5, atol=1e-5)
    optimised = built(program).text("llvm-opt")
    kernel = optimised[optimised.index("@matmul.0(") : optimised.index("@graphc_entry(")]
    assert "alloca" not in kernel
    assert "call <16 x float> @llvm.fmuladd.v16f32(" in kernel


def test_accumulators_of_lanes_need_no_mask() -> None:
    """A per-lane accumulator inside a masked vector loop: each lane has its own copy."""
    x, y = Buffer("x", F32, (N, 5)), Buffer("y", F32, (N,))
    acc, t, s = Buffer("acc", F32, (), Space.REGISTER), Temp("t", F32), Temp("s", F32)
    inner = For("k", 0, 5, (Load(t, x, (i, k)), Accumulate(acc, (), "add", (t,))))
    body = (Alloc(acc), Store(acc, (), lit(0.0)), inner, Load(s, acc, ()), Store(y, (i,), s))
    program = program_of(Kernel("rows", (Parameter(x, "in"), Parameter(y, "out")), tailed("i", N, body)))
    for size in SIZES:
        data = np.arange(size * 5, dtype=np.float32).reshape(size, 5)
        np.testing.assert_array_equal(run(program, {"x": data}, {"N": size})["y"], data.sum(1))


@pytest.mark.parametrize("size", [1, 5, 16, 19])
@pytest.mark.parametrize("stride", [-2, -1, 2, 3])
def test_strided_lanes(stride: int, size: int) -> None:
    x, y, t = Buffer("x", F32, (3 * N,)), Buffer("y", F32, (3 * N,)), Temp("t", F32)
    start: Index = 0 if stride > 0 else 3 * N - 1
    body = (Load(t, x, (start + stride * i,)), Store(y, (3 * i,), t))
    program = program_of(Kernel("stride", (Parameter(x, "in"), Parameter(y, "out")), tailed("i", N, body)))
    data = np.arange(3 * size, dtype=np.float32)
    got = run(program, {"x": data, "y": np.zeros(3 * size)}, {"N": size})["y"]
    want = np.zeros(3 * size, np.float32)
    want[::3] = data[::stride][:size]
    np.testing.assert_array_equal(got, want)


def test_column_stride_known_only_at_run_time() -> None:
    x, y, t = Buffer("x", F64, (N, Dim.of("M"))), Buffer("y", F64, (Dim.of("M"), N)), Temp("t", F64)
    body = For("j", 0, Dim.of("M"), tailed("i", N, (Load(t, x, (i, j)), Store(y, (j, i), t)), 8))
    program = program_of(Kernel("transpose", (Parameter(x, "in"), Parameter(y, "out")), (body,)))
    data = np.random.default_rng(1).standard_normal((21, 5))
    np.testing.assert_array_equal(run(program, {"x": data}, {"N": 21, "M": 5})["y"], data.T)


@pytest.mark.parametrize("dtype", [I32, I64])
@pytest.mark.parametrize("size", [1, 16, 21])
def test_gather_and_scatter_add(dtype: DType, size: int) -> None:
    """Rows of a table by index; then their sum back, where indices repeat within a vector."""
    table, index = Buffer("table", F32, (7,)), Buffer("index", dtype, (N,))
    y, back = Buffer("y", F32, (N,)), Buffer("back", F32, (7,))
    at, t = Temp("at", dtype), Temp("t", F32)
    body = (
        Load(at, index, (i,)),
        Load(t, table, (Dim.of("at"),)),
        Store(y, (i,), t),
        Accumulate(back, (Dim.of("at"),), "add", (t,)),
    )
    parameters = (
        Parameter(table, "in"),
        Parameter(index, "in"),
        Parameter(y, "out"),
        Parameter(back, "inout"),
    )
    program = program_of(Kernel("gather", parameters, tailed("i", N, body)))
    rng = np.random.default_rng(size)
    values, chosen = rng.standard_normal(7).astype(np.float32), rng.integers(0, 7, size)
    got = run(program, {"table": values, "index": chosen, "back": np.zeros(7)}, {"N": size})
    np.testing.assert_array_equal(got["y"], values[chosen])
    want = np.zeros(7, np.float32)
    np.add.at(want, chosen, values[chosen])
    np.testing.assert_allclose(got["back"], want, rtol=1e-6)


def test_scatter_stores_in_a_masked_vector() -> None:
    index, y, at, v = Buffer("index", I64, (N,)), Buffer("y", F32, (40,)), Temp("at", I64), Temp("v", F32)
    body = (Load(at, index, (i,)), LetIndex(v, i + 1), Store(y, (Dim.of("at"),), v))
    program = program_of(
        Kernel("scatter", (Parameter(index, "in"), Parameter(y, "inout")), tailed("i", N, body))
    )
    order = np.random.default_rng(0).permutation(40)[:21]
    got = run(program, {"index": order, "y": np.zeros(40)}, {"N": 21})["y"]
    want = np.zeros(40, np.float32)
    want[order] = np.arange(21) + 1
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("dtype", [F32, F64, I32, I64])
def test_indices_as_values_and_floors(dtype: DType) -> None:
    y, t = Buffer("y", dtype, (N,)), Temp("t", dtype)
    index = 3 * ((i - 5) // 4) + ((i + 2) // 3) + 2 * i
    body = (LetIndex(t, index), Store(y, (i,), t))
    for lanes in (1, 16):
        program = program_of(Kernel("index", (Parameter(y, "out"),), tailed("i", N, body, lanes)))
        at = np.arange(21)
        np.testing.assert_array_equal(
            run(program, {}, {"N": 21})["y"], 3 * ((at - 5) // 4) + (at + 2) // 3 + 2 * at
        )


def test_a_store_that_all_lanes_share_keeps_the_last() -> None:
    x, y, t = Buffer("x", F32, (N,)), Buffer("y", F32, ()), Temp("t", F32)
    body = (Load(t, x, (i,)), Store(y, (), t))
    program = program_of(Kernel("last", (Parameter(x, "in"), Parameter(y, "out")), tailed("i", N, body)))
    for size in (1, 16, 19):
        assert run(program, {"x": np.arange(size)}, {"N": size})["y"] == size - 1


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("size", [1, 63, 100_000])
def test_parallel_loops_with_scratch(threads: int, size: int) -> None:
    """Each iteration has a row of scratch; each thread its own."""
    x, y, t = Buffer("x", F64, (N,)), Buffer("y", F64, (N,)), Temp("t", F64)
    row = Buffer("row", F64, (4,), Space.SCRATCH)
    body = (
        Alloc(row),
        For("k", 0, 4, (Load(t, x, (i,)), Store(row, (k,), t))),
        Store(y, (i,), lit(0.0, F64)),
        For("k", 0, 4, (Load(t, row, (k,)), Accumulate(y, (i,), "add", (t,)))),
    )
    kernel = Kernel(
        "share", (Parameter(x, "in"), Parameter(y, "out")), (For("i", 0, N, body, Kind.PARALLEL),)
    )
    program = program_of(kernel, flops=1000 * N)
    data = np.arange(size, dtype=np.float64)
    np.testing.assert_array_equal(run(program, {"x": data}, {"N": size}, threads=threads)["y"], 4 * data)
    assert built(program, threads=threads).scratch() == ((0, 64 * threads),)


def test_kernels_run_in_order_and_share_code() -> None:
    """Two calls of one kernel: x → h → y; and one call in place, whose parameters may then alias."""
    double = elementwise("neg", (F32,), F32)
    shapes = [ProgramBuffer(n, F32, (N,), r) for n, r in (("x", "input"), ("h", "temp"), ("y", "output"))]  # type: ignore[arg-type]
    calls = (Call(double, (0, 1), N, N), Call(double, (1, 2), N, N), Call(double, (2, 2), N, N))
    program = Program("chain", tuple(shapes), calls)
    x = np.arange(37, dtype=np.float32)
    np.testing.assert_array_equal(run(program, {"x": x}, {"N": 37})["y"], -x)
    text = str(emit(program))
    assert text.count("define hidden void @apply.0(") == 1
    assert "define hidden void @apply_1.0(ptr readonly %x0, ptr %y, " in text


def test_temporaries_between_parts_keep_the_kernel_whole() -> None:
    x, y, s, t = Buffer("x", F32, (1,)), Buffer("y", F32, (N,)), Temp("s", F32), Temp("t", F32)
    loop = For("i", 0, N, (Let(t, "add", (s, s)), Store(y, (i,), t)), Kind.PARALLEL)
    kernel = Kernel("whole", (Parameter(x, "in"), Parameter(y, "out")), (Load(s, x, (0,)), loop))
    program = program_of(kernel, flops=10**9)
    np.testing.assert_array_equal(
        run(program, {"x": np.array([3])}, {"N": 5}, threads=2)["y"], np.full(5, 6, np.float32)
    )


def test_fast_reassociates_and_strict_does_not() -> None:
    program = program_of(elementwise("add", (F32, F32), F32))
    assert "fadd reassoc" in str(emit(program, fast=True))
    assert "reassoc" not in str(emit(program, fast=False))


def test_what_does_not_fit_is_refused() -> None:
    y, t = Buffer("y", F32, (4,)), Temp("t", F32)
    unknown = Kernel("bad", (Parameter(y, "out"),), (Let(t, "frobnicate", (lit(1.0),)), Store(y, (0,), t)))
    with pytest.raises(BackendError, match="frobnicate"):
        emit(program_of(unknown))
    nested = Kernel(
        "bad", (Parameter(y, "out"),), (vector("i", 0, 4, vector("j", 0, 4, Store(y, (i,), lit(1.0)))),)
    )
    with pytest.raises(InternalError, match="inside the vector loop"):
        emit(program_of(nested))
    with pytest.raises(InternalError, match="more iterations than lanes"):
        emit(
            program_of(
                Kernel("bad", (Parameter(y, "out"),), (vector("i", 0, 4, Store(y, (i,), lit(1.0)), lanes=2),))
            )
        )


def test_masked_strides_in_two_loops_share_nothing_out_of_scope() -> None:
    """The offsets of masked lanes depend on the extent only, so two loops may use one computation of them."""
    x, y, t = Buffer("x", F32, (3, 2 * N)), Buffer("y", F32, (2, 3, N)), Temp("t", F32)
    loops = tuple(
        For("j", 0, 3, (vector("i", 0, N, Load(t, x, (j, 2 * i)), Store(y, (n, j, i), t)),)) for n in range(2)
    )
    program = program_of(Kernel("twice", (Parameter(x, "in"), Parameter(y, "out")), loops))
    data = np.arange(30, dtype=np.float32).reshape(3, 10)
    got = run(program, {"x": data}, {"N": 5})["y"]
    np.testing.assert_array_equal(got, np.stack([data[:, ::2]] * 2))


@pytest.mark.parametrize("size", [3, 7, 16, 21])
def test_masked_lanes_keep_what_a_local_buffer_holds(size: int) -> None:
    """Sums per lane: the masked vector adds to some lanes, and all lanes are combined afterwards."""
    x, y = Buffer("x", F32, (N,)), Buffer("y", F32, ())
    part, t, p = Buffer("part", F32, (16,), Space.REGISTER), Temp("t", F32), Temp("p", F32)
    body = (
        Alloc(part),
        vector("l", 0, 16, Store(part, (Dim.of("l"),), lit(-np.inf))),
        For(
            "io",
            0,
            N // 16,
            (vector("i", 0, 16, Load(t, x, (16 * io + i,)), Accumulate(part, (i,), "max", (t,))),),
        ),
        vector(
            "j", 0, N - 16 * (N // 16), Load(t, x, (16 * (N // 16) + j,)), Accumulate(part, (j,), "max", (t,))
        ),
        vector("j", 0, N % 16, Load(t, x, (j,)), Store(part, (j,), t)),
        Store(y, (), lit(-np.inf)),
        vector("l", 0, 16, Load(p, part, (Dim.of("l"),)), Accumulate(y, (), "max", (p,))),
    )
    program = program_of(Kernel("largest", (Parameter(x, "in"), Parameter(y, "out")), body))
    data = -np.arange(1, size + 1, dtype=np.float32)
    assert run(program, {"x": data}, {"N": size})["y"] == -1.0


def test_scratch_of_one_part_is_read_by_the_next() -> None:
    """A packed copy: one function writes it, a parallel one reads it."""
    x, y, t = Buffer("x", F32, (N,)), Buffer("y", F32, (N,)), Temp("t", F32)
    copy = Buffer("copy", F32, (N,), Space.SCRATCH)
    body = (
        Alloc(copy),
        For("i", 0, N, (Load(t, x, (i,)), Store(copy, (N - 1 - i,), t)), Kind.PARALLEL),
        For("j", 0, N, (Load(t, copy, (j,)), Store(y, (j,), t)), Kind.PARALLEL),
    )
    program = program_of(Kernel("pack", (Parameter(x, "in"), Parameter(y, "out")), body), flops=10**9)
    for threads in (1, 2):
        data = np.arange(37, dtype=np.float32)
        np.testing.assert_array_equal(run(program, {"x": data}, {"N": 37}, threads=threads)["y"], data[::-1])
