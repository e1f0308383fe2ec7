"""Schedule steps: what each makes of a kernel, what it refuses, and where the lines went."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from graphc.ir.dims import Dim, parse
from graphc.ir.types import DType
from graphc.kernel.interp import run_kernel
from graphc.kernel.ir import (
    Accumulate,
    Alloc,
    Buffer,
    For,
    Kernel,
    Let,
    Literal,
    Load,
    Parameter,
    Space,
    Stmt,
    Store,
    Temp,
    kernel_lines,
)
from graphc.kernel.schedule import (
    Forward,
    ScheduleError,
    cut,
    flatten,
    fuse,
    parallelize,
    rename_apart,
    reorder,
    split,
    unroll,
    vectorize,
)
from graphc.kernel.staging import stage, stage_store
from graphc.kernel.tiling import fission, vector_reduction
from graphc.kernel.verify import verify

F32 = DType.F32
N, i, j, k = (Dim.of(n) for n in "Nijk")
A, B, C = Buffer("A", F32, (N, 5)), Buffer("B", F32, (5, 6)), Buffer("C", F32, (N, 6))
ACC = Buffer("acc", F32, (), Space.REGISTER)
a, b, c = (Temp(n, F32) for n in "abc")


def product() -> Kernel:
    """C = A @ B as the lowering writes it."""
    inner = (Load(a, A, (i, k)), Load(b, B, (k, j)), Accumulate(ACC, (), "fma", (a, b)))
    body: tuple[Stmt, ...] = (
        Alloc(ACC),
        Store(ACC, (), Literal(0.0, F32)),
        For("k", 0, 5, inner),
        Load(c, ACC, ()),
        Store(C, (i, j), c),
    )
    nest = For("i", 0, N, (For("j", 0, 6, body),))
    return Kernel("product", (Parameter(A, "in"), Parameter(B, "in"), Parameter(C, "out")), (nest,))


def same(kernel: Kernel, n: int = 7) -> None:
    """The kernel is well formed and still computes A @ B."""
    verify(kernel)
    rng = np.random.default_rng(0)
    x, w = rng.integers(-3, 4, (n, 5)).astype("f4"), rng.integers(-3, 4, (5, 6)).astype("f4")
    out = np.full((n, 6), np.nan, "f4")
    run_kernel(kernel, {"A": x, "B": w, "C": out}, {"N": n})
    np.testing.assert_array_equal(out, x @ w)


@pytest.mark.parametrize("n", [0, 1, 7, 8])
@pytest.mark.parametrize(
    "steps",
    [
        [],
        [(split, "i", 4)],
        [(split, "j", 4)],
        [(split, "j", 3), (split, "i", 2)],
        [(cut, "j", 2)],
        [(reorder, "i", "j")],
        [(fission, "j")],
        [(fission, "j"), (reorder, "j_2", "k")],
        [(vector_reduction, "k", 4)],
        [(vector_reduction, "k", 8)],
        [(split, "i", 4), (fission, "j"), (reorder, "j_3", "k"), (fission, "ii"), (reorder, "ii_2", "k")],
        [(stage, "B", (1, 0), None)],
        [(stage, "B", (1, 0), (1, 8))],
        [(split, "j", 4), (stage, "B", (1, 0), (1, 4))],
        [(stage, "A", (1, 0), None)],
        [(flatten, "A", 0), (flatten, "C", 0)],
        [(unroll, "k"), (parallelize, "i")],
    ],
    ids=lambda steps: "+".join(s[0].__name__ for s in steps) if isinstance(steps, list) else str(steps),
)
def test_a_step_keeps_the_result_and_tracks_every_line(steps: list[tuple], n: int) -> None:  # type: ignore[type-arg]
    kernel = product()
    forward = Forward.identity(kernel)
    for step, *args in steps:
        kernel, there = step(kernel, *args)
        forward = forward.then(there)
    same(kernel, n)
    old = [line.strip() for line, _ in kernel_lines(product())]
    new = [line.strip() for line, _ in kernel_lines(kernel)]
    assert len(forward.lines) == len(old)
    assert all(forward.lines), "a statement went nowhere"
    reached = {m for lines in forward.lines for m in lines}
    assert reached == set(range(len(new))), "a statement came from nowhere"
    for n_old, lines in enumerate(forward.lines):
        if old[n_old].startswith("acc[] fma="):
            assert any("fma=" in new[m] for m in lines)


def test_split_and_vectorize_as_text() -> None:
    kernel, _ = split(product(), "i", 4)
    kernel, _ = reorder(kernel, "ii", "j")
    assert str(kernel) == "\n".join(
        [
            "kernel product(A: f32[N,5] in, B: f32[5,6] in, C: f32[N,6] out)",
            "  for io in 0..floor((N)/4)",
            "    for j in 0..6",
            "      for ii in 0..4",
            "        alloc acc: f32[] register",
            "        store acc[], 0.0",
            "        for k in 0..5",
            "          a = load A[ii+4*io,k]",
            "          b = load B[k,j]",
            "          acc[] fma= a b",
            "        c = load acc[]",
            "        store C[ii+4*io,j], c",
            "  for it in 0..N-4*floor((N)/4)",
            "    for j_2 in 0..6",
            "      alloc acc_2: f32[] register",
            "      store acc_2[], 0.0",
            "      for k_2 in 0..5",
            "        a_2 = load A[4*floor((N)/4)+it,k_2]",
            "        b_2 = load B[k_2,j_2]",
            "        acc_2[] fma= a_2 b_2",
            "      c_2 = load acc_2[]",
            "      store C[4*floor((N)/4)+it,j_2], c_2",
        ]
    )
    same(kernel)


def test_fuse_flattens_what_it_must() -> None:
    body = (Load(a, C, (i, j)), Store(Buffer("D", F32, (N, 6)), (i, j), a))
    nest = For("i", 0, N, (For("j", 0, 6, body),))
    copy = Kernel("copy", (Parameter(C, "in"), Parameter(Buffer("D", F32, (N, 6)), "out")), (nest,))
    fused, _ = fuse(copy, "i", "j")
    assert str(fused).splitlines() == [
        "kernel copy(C: f32[6*N] in, D: f32[6*N] out)",
        "  for ij in 0..6*N",
        "    a = load C[ij]",
        "    store D[ij], a",
    ]


def loop(var: str, extent: object, *body: Stmt) -> For:
    return For(var, 0, parse(str(extent)), body)


Y, Z = Buffer("Y", F32, (64,)), Buffer("Z", F32, (64, 64))
one = Literal(1.0, F32)
shift = loop("i", 8, Load(a, Y, (i,)), Store(Y, (i + 1,), a))


def over(*body: Stmt) -> Kernel:
    return Kernel("k", (Parameter(Y, "inout"), Parameter(Z, "inout")), body)


@pytest.mark.parametrize(
    ("step", "kernel", "args", "reason"),
    [
        (split, over(loop("i", 3, Store(Y, (i,), one))), ("i", 4), "only 3 iterations"),
        (split, over(loop("i", 3, Store(Y, (i,), one))), ("q", 4), "no such loop"),
        (cut, over(loop("i", "3", Store(Y, (i,), one))), ("i", 4), "not proved"),
        (cut, product(), ("i", 4), "not proved to lie in 0..N"),
        (vectorize, product(), ("i", 8), "not proved to fit"),
        (vectorize, product(), ("j", 8), "not straight-line"),
        (unroll, product(), ("i",), "not constant"),
        (parallelize, product(), ("j",), "not outermost"),
        (reorder, product(), ("j", "k"), "not the whole body"),
        (parallelize, over(loop("i", 8, Accumulate(Y, (0,), "add", (one,)))), ("i",), "may meet at Y[0]"),
        (parallelize, over(shift), ("i",), "may meet at Y[i+1]"),
        (vectorize, over(shift), ("i", 8), "may meet"),
        (fission, over(shift), ("i",), "may meet"),
        (reorder, over(loop("i", 8, loop("j", 8, Store(Y, (i + j,), one)))), ("i", "j"), "may meet at Y[i"),
        (fuse, over(loop("i", 8, loop("j", 8, Store(Z, (i, j), one)))), ("i", "j"), "does not walk them"),
        (stage, over(loop("i", 8, Store(Y, (i,), one))), ("Y", (0,)), "only read"),
        (vector_reduction, over(loop("i", 8, Accumulate(Y, (i,), "add", (one,)))), ("i", 8), "one cell"),
        (vector_reduction, over(loop("i", 8, Store(Y, (i,), one))), ("i", 8), "more than one reduction"),
    ],
)
def test_an_illegal_step_is_refused_with_the_reason(
    step: Callable[..., object], kernel: Kernel, args: tuple[object, ...], reason: str
) -> None:
    with pytest.raises(ScheduleError) as caught:
        step(kernel, *args)
    assert reason in str(caught.value)
    assert str(args[0]) in str(caught.value)


def test_parallel_is_legal_where_iterations_stay_apart() -> None:
    apart = over(loop("i", 4, loop("j", 16, Store(Y, (16 * i + j,), one))))
    assert "parallel" in str(parallelize(apart, "i")[0])
    near = over(loop("i", 4, loop("j", 17, Store(Y, (15 * i + j,), one))))
    with pytest.raises(ScheduleError):
        parallelize(near, "i")


def test_rename_apart_renames_only_repeated_names() -> None:
    twice = over(loop("i", 2, Store(Y, (i,), one)), loop("i", 3, Store(Y, (i,), one)))
    with pytest.raises(ScheduleError, match="2 loops"):
        unroll(twice, "i")
    apart, forward = rename_apart(twice)
    assert [s.var for s in apart.body if isinstance(s, For)] == ["i", "i_2"]
    assert apart.body[0] is twice.body[0]
    assert forward.lines == ((0,), (1,), (2,), (3,), (4,))


def test_vector_reduction_covers_an_outer_reduction_loop() -> None:
    sums = loop("i", N, loop("j", 6, Load(a, C, (i, j)), Accumulate(ACC, (), "max", (a,))))
    body: tuple[Stmt, ...] = (Alloc(ACC), Store(ACC, (), Literal(-1e9, F32)), sums, Load(b, ACC, ()))
    whole = Kernel("max", (Parameter(C, "in"), Parameter(Y, "out")), (*body, Store(Y, (0,), b)))
    new, _ = vector_reduction(whole, "j", 4, around="i")
    verify(new)
    data = np.random.default_rng(1).normal(size=(9, 6)).astype("f4")
    out = np.zeros(64, "f4")
    run_kernel(new, {"C": data, "Y": out}, {"N": 9})
    assert out[0] == data.max()
    assert str(new).count("alloc") == 2


def test_stage_store_turns_a_tile_round() -> None:
    flipped = over(loop("i", 4, loop("j", 8, Load(a, Y, (8 * i + j,)), Store(Z, (j, i), a))))
    new, forward = stage_store(flipped, "i", "Z")
    verify(new)
    assert str(new).splitlines()[1:] == [
        "  alloc Z_tile: f32[4,8] stack",
        "  for i in 0..4",
        "    for j in 0..8",
        "      a = load Y[8*i+j]",
        "      store Z_tile[i,j], a",
        "  for j_2 in 0..8",
        "    for i_2 in 0..4",
        "      c = load Z_tile[i_2,j_2]",
        "      store Z[j_2,i_2], c",
    ]
    assert forward.lines == ((0,), (2, 7), (3, 6), (4,), (1, 5, 8, 9))
    with pytest.raises(ScheduleError, match="not constant"):
        stage_store(product_copy(), "i", "D")


def product_copy() -> Kernel:
    body = (Load(a, C, (i, j)), Store(Buffer("D", F32, (6, N)), (j, i), a))
    parameters = (Parameter(C, "in"), Parameter(Buffer("D", F32, (6, N)), "out"))
    return Kernel("copy", parameters, (For("i", 0, N, (For("j", 0, 6, body),)),))


def test_fission_lets_a_scattered_sum_stand_alone() -> None:
    """What data select stays scalar; what is computed before it can become a vector."""
    where = Buffer("where", DType.I64, (16,))
    at = Temp("at", DType.I64)
    body = (Load(at, where, (i,)), Load(a, Y, (i,)), Let(b, "tanh", (a,)), Store(Y, (i,), b))
    total = Accumulate(Z, (0, Dim.of("at")), "add", (one,))
    kernel = Kernel(
        "k",
        (Parameter(where, "in"), Parameter(Y, "inout"), Parameter(Z, "inout")),
        (loop("i", 16, *body, total),),
    )
    with pytest.raises(ScheduleError, match="may meet at Z"):
        vectorize(kernel, "i", 16)
    new, forward = fission(kernel, "i")
    first, second = forward.loops("i")
    verify(vectorize(new, first, 16)[0])
    with pytest.raises(ScheduleError, match="may meet at Z"):
        vectorize(new, second, 16)
