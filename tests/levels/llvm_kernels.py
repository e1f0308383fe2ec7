"""Kernels written by hand for the tests of the LLVM back end, and a way to run them on NumPy arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from graphc.ir.dims import Dim, Index, evaluate, product
from graphc.ir.types import Array, DType
from graphc.kernel.ir import Buffer, For, Kernel, Kind, Let, Literal, Load, Parameter, Stmt, Store, Temp
from graphc.kernel.program import Call, Program, ProgramBuffer
from graphc_llvm.emit import emit
from graphc_llvm.executable import LLVMExecutable
from graphc_llvm.jit import Code

F32, F64, I32, I64, BOOL = DType.F32, DType.F64, DType.I32, DType.I64, DType.BOOL
N, i, j, k, io = (Dim.of(name) for name in ("N", "i", "j", "k", "io"))


def program_of(kernel: Kernel, flops: Index = 0) -> Program:
    """The program that applies one kernel to buffers of its own."""
    roles = {"in": "input", "out": "output", "inout": "param"}
    buffers = tuple(
        ProgramBuffer(p.buffer.name, p.buffer.dtype, p.buffer.shape, roles[p.access])  # type: ignore[arg-type]
        for p in kernel.parameters
    )
    return Program("test", buffers, (Call(kernel, tuple(range(len(buffers))), flops, 0),))


def built(program: Program, fast: bool = False, threads: int = 1) -> LLVMExecutable:
    module = emit(program, fast=fast, threads=threads)
    return LLVMExecutable(program, module, Code(str(module)), threads)


def run(
    program: Program, arrays: Mapping[str, Array], dims: Mapping[str, int], **options: Any
) -> dict[str, Array]:
    """Run a program; arrays that are not given start as a pattern.  Nothing outside may be written."""
    executable = built(program, **options)
    room: dict[str, Array] = {}
    for b in program.buffers:
        count = product(b.shape)
        size = count if isinstance(count, int) else evaluate(count, dims)
        padded = np.full(size + 64, 77, dtype=b.dtype.numpy)
        if b.name in arrays:
            padded[32 : 32 + size] = np.asarray(arrays[b.name], dtype=b.dtype.numpy).ravel()
        room[b.name] = padded
    addresses = [room[b.name][32:].ctypes.data for b in program.buffers]
    scratch = [
        np.zeros(size if isinstance(size, int) else evaluate(size, dims), np.uint8)
        for _, size in executable.scratch()
    ]
    executable.run(addresses + [s.ctypes.data for s in scratch], [dims[d] for d in program.dims])
    result: dict[str, Array] = {}
    for b in program.buffers:
        outside = np.concatenate([room[b.name][:32], room[b.name][-32:]])
        assert (outside == np.full(64, 77, dtype=b.dtype.numpy)).all(), (
            f"{b.name} was written outside its bounds"
        )
        shape = [d if isinstance(d, int) else evaluate(d, dims) for d in b.shape]
        result[b.name] = room[b.name][32:-32].reshape(shape)
    return result


def lit(value: float, dtype: DType = F32) -> Literal:
    return Literal(value, dtype)


def vector(var: str, lo: Index, hi: Index, *body: Stmt, lanes: int = 16) -> For:
    return For(var, lo, hi, body, Kind.VECTOR, lanes)


def tailed(
    var: str, extent: Index, body: Sequence[Stmt], lanes: int = 16, outer: Kind = Kind.SERIAL
) -> tuple[Stmt, ...]:
    """Whole vectors, then the rest in a masked one."""
    whole = extent // lanes
    o = Dim.of(var + "o")
    return (
        For(var + "o", 0, whole, (vector(var, o * lanes, o * lanes + lanes, *body, lanes=lanes),), outer),
        vector(var, whole * lanes, extent, *body, lanes=lanes),
    )


def elementwise(
    prim: str, dtypes: Sequence[DType], result: DType, lanes: int = 16, size: Index = N
) -> Kernel:
    """`y[i] = prim a[i] b[i] ...` in masked vectors."""
    inputs = [Buffer(f"x{n}", d, (size,)) for n, d in enumerate(dtypes)]
    y, out = Buffer("y", result, (size,)), Temp("r", result)
    temps = [Temp(f"t{n}", d) for n, d in enumerate(dtypes)]
    body: tuple[Stmt, ...] = (
        *(Load(t, x, (i,)) for t, x in zip(temps, inputs, strict=True)),
        Let(out, prim, tuple(temps)),
        Store(y, (i,), out),
    )
    return Kernel(
        "apply", (*(Parameter(x, "in") for x in inputs), Parameter(y, "out")), tailed("i", size, body, lanes)
    )
