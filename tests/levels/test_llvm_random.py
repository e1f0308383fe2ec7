"""Random loop nests: what LLVM computes is what the interpreter computes, to the last bit.

Values are small whole numbers, so sums are exact in any order.
"""

from __future__ import annotations

import random

import numpy as np
import pytest

from graphc.ir.dims import Dim, Index, evaluate
from graphc.ir.types import Array, DType
from graphc.kernel.interp import run_kernel
from graphc.kernel.ir import (
    Accumulate,
    AccumulateOp,
    Alloc,
    Atom,
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
from tests.levels.llvm_kernels import N, program_of, run, tailed

OPS: tuple[AccumulateOp, ...] = ("add", "max", "min", "fma")


class Nest:
    """One random kernel over x[...], an index table and an accumulated result."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.dtype = self.rng.choice([DType.F32, DType.F64, DType.I32, DType.I64])
        self.loops: list[tuple[str, Index]] = [(v, self.extent()) for v in "ijk"[: self.rng.randint(1, 3)]]
        self.lanes = self.rng.choice([4, 16])
        self.vector = self.rng.randrange(len(self.loops))
        widest = max((e for _, e in self.loops if isinstance(e, int)), default=1)
        side = N + widest  # every loop variable stays below
        self.x = Buffer("x", self.dtype, (side, 2 * side + 3))
        self.table = Buffer("table", self.rng.choice([DType.I32, DType.I64]), (side,))
        self.y = Buffer("y", self.dtype, (side, side))
        self.z = Buffer("z", self.dtype, (side, side))
        self.cell = Buffer(
            "cell", self.dtype, (2,), self.rng.choice([Space.REGISTER, Space.STACK, Space.SCRATCH])
        )

    def extent(self) -> Index:
        choices: list[Index] = [N, 1, 3, 6, 16]
        return self.rng.choice(choices)

    def index(self) -> Index:
        var, extent = self.rng.choice(self.loops)
        v = Dim.of(var)
        return self.rng.choice([v, v, extent - 1 - v, (v + 1) // 2, v - v // 3, 0])

    def body(self) -> tuple[Stmt, ...]:
        rng, d = self.rng, self.dtype
        a, b, c, g = (Temp(n, d) for n in "abcg")
        at = Temp("at", self.table.dtype)
        wide = rng.choice([1, 2]) * self.index() + rng.randint(0, 2)
        inner = For("r", 0, self.extent(), (Accumulate(self.cell, (rng.randint(0, 1),), "add", (a,)),))
        atoms: list[Atom] = [b, g, Literal(2, d)]
        result: list[Stmt] = [
            Load(a, self.x, (self.index(), wide)),
            Load(at, self.table, (self.index(),)),
            Load(b, self.x, (Dim.of("at"), self.index())),
            LetIndex(g, 2 * self.index() + 1),
            Let(c, rng.choice(["add", "sub", "maximum", "minimum"]), (a, rng.choice(atoms))),
            Alloc(self.cell),
            Store(self.cell, (0,), Literal(1, d)),
            Store(self.cell, (1,), c),
            inner,
            Load(Temp("s", d), self.cell, (rng.randint(0, 1),)),
            Store(self.y, self.own(), Temp("s", d)),
        ]
        op = rng.choice(OPS)
        target = rng.choice([(self.index(), self.index()), (Dim.of("at"), 0), self.own(), (0, 1)])
        result.append(Accumulate(self.z, target, op, (a, b) if op == "fma" else (c,)))
        return tuple(result)

    def own(self) -> tuple[Index, Index]:
        """An element for each iteration, or the same for some: then the last one stays."""
        first = Dim.of(self.loops[0][0])
        return (first, Dim.of(self.loops[-1][0])) if self.rng.random() < 0.7 else (0, first)

    def kernel(self) -> Kernel:
        body = self.body()
        for position in reversed(range(len(self.loops))):
            var, extent = self.loops[position]
            if position == self.vector:
                body = tailed(var, extent, body, self.lanes)
            else:
                unrolled = isinstance(extent, int) and self.rng.random() < 0.5
                body = (For(var, 0, extent, body, Kind.UNROLL if unrolled else Kind.SERIAL),)
        parameters = (Parameter(self.x, "in"), Parameter(self.table, "in"), Parameter(self.y, "inout"))
        return Kernel("nest", (*parameters, Parameter(self.z, "inout")), body)


@pytest.mark.parametrize("seed", range(40))
def test_random_nests_agree_with_the_interpreter(seed: int) -> None:
    nest = Nest(seed)
    kernel = nest.kernel()
    program = program_of(kernel)
    for size in (1, 5, 18):
        values = np.random.default_rng(seed)
        arrays: dict[str, Array] = {}
        for p in kernel.parameters:
            shape = [evaluate(d, {"N": size}) for d in p.buffer.shape]
            high = size if p.buffer.name == "table" else 4
            arrays[p.buffer.name] = values.integers(0, high, shape).astype(p.buffer.dtype.numpy)
        got = run(program, arrays, {"N": size})
        run_kernel(kernel, arrays, {"N": size})
        for name in ("y", "z"):
            np.testing.assert_array_equal(got[name], arrays[name], err_msg=f"{name} of\n{kernel}")
