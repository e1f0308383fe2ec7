"""A schedule changes how a kernel runs, never what it computes: naive and scheduled kernels, interpreted.

The values are small integers, so sums are exact in any order and results must be equal bit for bit.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import numpy as np
import pytest

from graphc.ir.dims import Dim, Index, evaluate, parse
from graphc.ir.types import Array, DType
from graphc.kernel.interp import run_kernel
from graphc.kernel.ir import (
    Accumulate,
    Alloc,
    Atom,
    Buffer,
    For,
    Kernel,
    Kind,
    Let,
    Literal,
    Load,
    Parameter,
    Space,
    Stmt,
    Store,
    Temp,
    walk,
)
from graphc.kernel.program import Machine
from graphc.kernel.verify import verify
from graphc_llvm.schedules import schedule

F32, F64, I32, I64 = DType.F32, DType.F64, DType.I32, DType.I64
AVX512 = Machine("znver4", 64, 32, 32 * 1024, 1024 * 1024, 2)
AVX2 = Machine("haswell", 32, 16, 32 * 1024, 256 * 1024, 2)
SSE = Machine("x86-64", 16, 16, 32 * 1024, 256 * 1024, 1)
MACHINES = {"avx512": AVX512, "avx2": AVX2, "sse": SSE}
SIZES = (1, 2, 7, 16, 17, 33)


class Naive:
    """Writes kernels the way the lowering does: loops over the output, accumulators inside."""

    def __init__(self, dtype: DType = F32, **shapes: str) -> None:
        self.dtype = dtype
        self.buffers = {n: Buffer(n, dtype, tuple(map(parse, s.split()))) for n, s in shapes.items()}
        self.bodies: list[list[Stmt]] = [[]]
        self.loops: list[tuple[str, Index]] = []
        self.count = 0

    def integers(self, name: str, dtype: DType = I64) -> Naive:
        self.buffers[name] = Buffer(name, dtype, self.buffers[name].shape)
        return self

    def open(self, loops: str) -> Naive:
        """`i:N j:3` opens two loops."""
        for part in loops.split():
            var, extent = part.split(":")
            self.loops.append((var, parse(extent)))
            self.bodies.append([])
        return self

    def close(self, count: int = 1) -> Naive:
        for _ in range(count):
            var, extent = self.loops.pop()
            body = tuple(self.bodies.pop())
            self.emit(For(var, 0, extent, body))
        return self

    def emit(self, s: Stmt) -> None:
        self.bodies[-1].append(s)

    def temp(self, dtype: DType) -> Temp:
        self.count += 1
        return Temp(f"t{self.count}", dtype)

    def load(self, name: str, index: str = "") -> Temp:
        b = self.buffers[name]
        t = self.temp(b.dtype)
        self.emit(Load(t, b, tuple(map(parse, index.split()))))
        return t

    def let(self, prim: str, *args: Atom) -> Temp:
        from graphc.ops.scalar import PRIMS

        t = self.temp(PRIMS[prim].result(*(a.dtype for a in args)))
        self.emit(Let(t, prim, args))
        return t

    def store(self, name: str, index: str, value: Atom) -> None:
        self.emit(Store(self.buffers[name], tuple(map(parse, index.split())), value))

    def accumulate(self, name: str, index: str, op: str, *args: Atom) -> None:
        at = tuple(map(parse, index.split()))
        self.emit(Accumulate(self.buffers[name], at, op, args))  # type: ignore[arg-type]

    def cell(self, name: str, init: float) -> None:
        self.buffers[name] = Buffer(name, self.dtype, (), Space.REGISTER)
        self.emit(Alloc(self.buffers[name]))
        self.store(name, "", self.literal(init))

    def literal(self, value: float) -> Literal:
        return Literal(float(value) if self.dtype.is_float else int(value), self.dtype)

    def kernel(self, name: str, out: str) -> Kernel:
        self.close(len(self.loops))
        parameters = [
            Parameter(b, "out" if n in out.split() else "in")
            for n, b in self.buffers.items()
            if b.space is Space.MEMORY
        ]
        return Kernel(name, tuple(parameters), tuple(self.bodies[0]))


def contraction(
    spec: str,
    loops: str,
    reduced: str,
    a: str,
    b: str,
    epilogue: bool = False,
    dtype: DType = F32,
    then: str = "",
    **shapes: str,
) -> Kernel:
    """`out[spec] = Σ a · b`, with max(… + bias[second index], 0) after it where there is an epilogue, and `then`."""
    k = Naive(dtype, **shapes).open(loops)
    k.cell("acc", 0)
    k.open(reduced)
    k.accumulate("acc", "", "fma", k.load("A", a), k.load("B", b))
    k.close(len(reduced.split()))
    value = k.load("acc")
    if epilogue:
        value = k.let("maximum", k.let("add", value, k.load("bias", spec.split()[1])), k.literal(0))
    k.store("out", spec, k.let(then, value) if then else value)
    return k.kernel("contraction", "out")


def reduction(
    loops: str, reduced: str, place: str, op: str, init: float, dtype: DType = F32, **shapes: str
) -> Kernel:
    k = Naive(dtype, **shapes).open(loops)
    k.cell("acc", init)
    k.open(reduced)
    k.accumulate("acc", "", op, k.load("x", place))
    k.close(len(reduced.split()))
    total = k.let("mul", k.load("acc"), k.literal(2))
    k.store("out", " ".join(part.split(":")[0] for part in loops.split()), total)
    return k.kernel("reduction", "out")


def elementwise(loops: str, target: str, dtype: DType = F32, op: str = "mul", **shapes: str) -> Kernel:
    """`out[…] = op(x[…], y[…])`; the indices of x and y come after their shapes, behind a bar."""
    index = {n: s.partition("|")[2] for n, s in shapes.items()}
    k = Naive(dtype, **{n: s.partition("|")[0] for n, s in shapes.items()}).open(loops)
    k.store("out", target, k.let(op, k.load("x", index["x"]), k.load("y", index["y"])))
    return k.kernel("elementwise", "out")


def matmul(m: str, n: str, k: str, **more: object) -> Kernel:
    shapes = {"A": f"{m} {k}", "B": f"{k} {n}", "out": f"{m} {n}"}
    if more.get("epilogue"):
        shapes["bias"] = n
    return contraction("i j", f"i:{m} j:{n}", f"k:{k}", "i k", "k j", **shapes, **more)  # type: ignore[arg-type]


def row_softmax_sums() -> Kernel:
    """Two reductions in one body, the second one needs the first."""
    k = Naive(x="N M", out="N").open("i:N")
    k.cell("top", -1e9)
    k.open("r:M")
    k.accumulate("top", "", "max", k.load("x", "i r"))
    k.close()
    top = k.load("top")
    k.cell("sum", 0)
    k.open("q:M")
    k.accumulate("sum", "", "add", k.let("sub", k.load("x", "i q"), top))
    k.close()
    k.store("out", "i", k.load("sum"))
    return k.kernel("sums", "out")


def whole_sum() -> Kernel:
    k = Naive(x="N M", out="1")
    k.cell("acc", 0)
    k.open("i:N j:M")
    k.accumulate("acc", "", "add", k.load("x", "i j"))
    k.close(2)
    k.store("out", "0", k.load("acc"))
    return k.kernel("whole_sum", "out")


def gather() -> Kernel:
    k = Naive(x="N 5", where="N", out="N").integers("where").open("i:N")
    at = k.load("where", "i")
    k.store("out", "i", k.load("x", f"i {at}"))
    return k.kernel("gather", "out")


def scatter() -> Kernel:
    k = Naive(u="N", where="N", out="5").integers("where").open("i:5")
    k.store("out", "i", k.literal(0))
    k.close().open("j:N")
    at = k.load("where", "j")
    k.accumulate("out", str(at), "add", k.load("u", "j"))
    return k.kernel("scatter", "out")


def pad() -> Kernel:
    k = Naive(x="N 5", out="N+2 7").open("i:N+2 j:7")
    k.store("out", "i j", k.literal(0))
    k.close(2).open("p:N q:5")
    k.store("out", "p+1 q+1", k.load("x", "p q"))
    return k.kernel("pad", "out")


def argmax() -> Kernel:
    """A reduction that is no accumulation: the cell is read and overwritten."""
    k = Naive(x="N M", out="N").open("i:N")
    k.cell("best", -1e9)
    k.open("r:M")
    value, held = k.load("x", "i r"), k.load("best")
    k.store("best", "", k.let("select", k.let("lt", held, value), value, held))
    k.close()
    k.store("out", "i", k.load("best"))
    return k.kernel("argmax", "out")


def conv(stride: int = 1, dilation: int = 1, size: int = 9, epilogue: bool = False) -> Kernel:
    out = (size - dilation * 2 - 1) // stride + 1
    place = f"n c {stride}*y+{dilation}*r {stride}*x+{dilation}*q"
    shapes = {"A": f"N 3 {size} {size}", "B": "5 3 3 3", "out": f"N 5 {out} {out}"}
    if epilogue:
        shapes["bias"] = "5"
    loops = f"n:N o:5 y:{out} x:{out}"
    return contraction("n o y x", loops, "c:3 r:3 q:3", place, "o c r q", epilogue, **shapes)


KERNELS: dict[str, Callable[[], Kernel]] = {
    "mul": lambda: elementwise("i:N", "i", x="N|i", y="N|i", out="N"),
    "mul_f64": lambda: elementwise("i:N", "i", F64, x="N|i", y="N|i", out="N"),
    "mul_i32": lambda: elementwise("i:N", "i", I32, x="N|i", y="N|i", out="N"),
    "bias": lambda: elementwise("i:N j:M", "i j", op="add", x="N M|i j", y="M|j", out="N M"),
    "bias_10": lambda: elementwise("i:N j:10", "i j", op="add", x="N 10|i j", y="10|j", out="N 10"),
    "images": lambda: elementwise(
        "n:N c:3 h:4 w:5", "n c h w", op="add", x="N 3 4 5|n c h w", y="3|c", out="N 3 4 5"
    ),
    "whole": lambda: elementwise("i:N j:M", "i j", x="N M|i j", y="N M|i j", out="N M"),
    "transpose": lambda: elementwise("i:N j:M", "i j", x="M N|j i", y="N M|i j", out="N M"),
    "reverse": lambda: elementwise("i:N", "i", x="N|N-1-i", y="N|i", out="N"),
    "row_sums": lambda: reduction("i:N", "r:M", "i r", "add", 0, x="N M", out="N"),
    "row_max": lambda: reduction("i:N", "r:M", "i r", "max", -1e9, x="N M", out="N"),
    "column_sums": lambda: reduction("j:M", "r:N", "r j", "add", 0, x="N M", out="M"),
    "bias_gradient": lambda: reduction("c:5", "n:N h:4 w:3", "n c h w", "add", 0, x="N 5 4 3", out="5"),
    "middle_min": lambda: reduction("i:N k:6", "r:M", "i r k", "min", 1e9, x="N M 6", out="N 6"),
    "sums_i64": lambda: reduction("i:N", "r:M", "i r", "add", 0, I64, x="N M", out="N"),
    "max_pool": lambda: reduction(
        "n:N c:3 h:4 w:4", "p:2 q:2", "n c 2*h+p 2*w+q", "max", -1e9, x="N 3 8 8", out="N 3 4 4"
    ),
    "softmax_sums": row_softmax_sums,
    "whole_sum": whole_sum,
    "argmax": argmax,
    "gather": gather,
    "scatter": scatter,
    "pad": pad,
    "matmul": lambda: matmul("N", "M", "5"),
    "matmul_wide": lambda: matmul("N", "65", "3", epilogue=True),
    "matmul_10": lambda: matmul("N", "10", "M", epilogue=True),
    "matmul_named": lambda: matmul("N", "M", "N+M"),
    "matmul_f64": lambda: matmul("N", "20", "M", dtype=F64),
    "matmul_constant": lambda: matmul("37", "35", "N"),
    "abt": lambda: contraction("i j", "i:N j:M", "k:19", "i k", "j k", A="N 19", B="M 19", out="N M"),
    "abt_10": lambda: contraction("i j", "i:N j:10", "k:M", "i k", "j k", A="N M", B="10 M", out="N 10"),
    "atb": lambda: contraction("i j", "i:23 j:M", "k:N", "k i", "k j", A="N 23", B="N M", out="23 M"),
    "matvec": lambda: contraction("i", "i:N", "k:M", "i k", "k", A="N M", B="M", out="N"),
    "vecmat": lambda: contraction("j", "j:M", "k:N", "k", "k j", A="N", B="N M", out="M"),
    "vecmat_10": lambda: contraction("j", "j:10", "k:39", "k", "k j", A="39", B="39 10", out="10"),
    "vecmat_wide": lambda: contraction(
        "j", "j:130", "k:N", "k", "k j", then="exp", A="N", B="N 130", out="130"
    ),
    "outer": lambda: elementwise("i:N j:M", "i j", x="N|i", y="M|j", out="N M"),
    "batched": lambda: contraction(
        "b i j", "b:2 i:N j:M", "k:4", "b i k", "b k j", A="2 N 4", B="2 4 M", out="2 N M"
    ),
    "conv": conv,
    "conv_bias": lambda: conv(epilogue=True),
    "conv_stride": lambda: conv(stride=2),
    "conv_dilation": lambda: conv(dilation=2),
    "conv_weights": lambda: contraction(
        "o c r q",
        "o:5 c:3 r:3 q:3",
        "n:N y:4 x:4",
        "n c y+r x+q",
        "n o y x",
        A="N 3 6 6",
        B="N 5 4 4",
        out="5 3 3 3",
    ),
}


def arrays(kernel: Kernel, dims: dict[str, int]) -> dict[str, Array]:
    """Small integers; integer parameters are indices below 5."""
    rng = np.random.default_rng(7)
    return {
        p.buffer.name: rng.integers(
            0 if p.buffer.dtype is I64 else -3, 4, [evaluate(d, dims) for d in p.buffer.shape]
        )
        .astype(p.buffer.dtype.numpy)
        .copy()
        for p in kernel.parameters
    }


_scheduled: dict[tuple[str, str], tuple[Kernel, tuple[str, ...]]] = {}


def scheduled(name: str, machine: str) -> tuple[Kernel, tuple[str, ...]]:
    if (name, machine) not in _scheduled:
        kernel = KERNELS[name]()
        verify(kernel)
        _scheduled[name, machine] = schedule(kernel, MACHINES[machine], flops=Dim.of("N"), threads=2)
    return _scheduled[name, machine]


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("name", KERNELS)
def test_a_schedule_keeps_the_result(name: str, machine: str) -> None:
    kernel, (new, _) = KERNELS[name](), scheduled(name, machine)
    verify(new)
    for k, n in enumerate(SIZES):
        dims = {"N": n, "M": SIZES[(k + 3) % len(SIZES)]}
        given = arrays(kernel, dims)
        expected, got = ({n: a.copy() for n, a in given.items()} for _ in range(2))
        run_kernel(kernel, expected, dims)
        run_kernel(new, got, dims)
        for p in kernel.parameters:
            np.testing.assert_array_equal(
                got[p.buffer.name], expected[p.buffer.name], err_msg=f"{dims}\n{new}"
            )


@pytest.mark.parametrize("name", [n for n in KERNELS if n not in ("scatter",)])
def test_every_kernel_gets_vectors(name: str) -> None:
    new, steps = scheduled(name, "avx512")
    assert "vector(" in str(new), str(new)
    assert any(s.startswith("vector") for s in steps)


def test_a_scatter_stays_serial() -> None:
    new, _ = scheduled("scatter", "avx512")
    last = str(new).split("\n  for ")[-1]
    assert "parallel" not in last and "vector" not in last


@pytest.mark.parametrize(
    ("name", "tile"),
    [
        ("matmul_named", r"acc: f32\[\d+,\d+\] register"),
        ("conv_bias", r"acc: f32\[\d+,\d+\] register"),
        ("atb", r"acc: f32\[\d+,\d+\] register"),
        ("matvec", r"acc_part: f32\[(\d+,)?16\] register"),
    ],
)
def test_a_contraction_gets_a_register_tile(name: str, tile: str) -> None:
    new, _ = scheduled(name, "avx512")
    assert re.search(tile, str(new)), str(new)
    registers = [
        math.prod(int(str(d)) for d in b.shape[:-1]) * math.ceil(int(str(b.shape[-1])) / 16) if b.shape else 1
        for b in (s.buffer for s in walk(new.body) if isinstance(s, Alloc))
        if b.space is Space.REGISTER
    ]
    assert 4 <= max(registers) <= 30, "the tile does not fit the registers, or does not use them"


def test_what_needs_many_registers_takes_parts_of_a_wide_vector() -> None:
    """Each row of B is read once: the wider the vector the better, but not for an exponential."""
    new, _ = scheduled("vecmat_wide", "avx512")
    loops = [s for s in walk(new.body) if isinstance(s, For) and s.kind is Kind.VECTOR]
    heavy = [s for s in loops if any(isinstance(t, Let) and t.prim == "exp" for t in s.body)]
    assert {s.lanes for s in heavy} == {32, 2} and max(s.lanes for s in loops) >= 64, str(new)


def test_sums_in_few_registers_take_turns() -> None:
    """An addition waits for the one before it: four of them are under way at once."""
    new, steps = scheduled("vecmat_10", "avx512")
    assert any(re.fullmatch(r"interleave \w+ 4", s) for s in steps)
    sums = [s for s in walk(new.body) if isinstance(s, Accumulate) and s.op == "fma"]
    assert len(sums) == 5 and len({s.buffer.name for s in sums}) == 4, str(new)
    assert not any(s.startswith("interleave") for s in scheduled("vecmat_wide", "avx512")[1])


def test_schedules_are_the_same_in_every_run() -> None:
    first = schedule(KERNELS["conv"](), AVX512, flops=1 << 30, threads=2)
    again = schedule(KERNELS["conv"](), AVX512, flops=1 << 30, threads=2)
    assert str(first[0]) == str(again[0]) and first[1] == again[1]
