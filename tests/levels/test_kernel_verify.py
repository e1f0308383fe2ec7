"""Every check of the kernel verifier, each with the smallest kernel that breaks it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from graphc.errors import InternalError
from graphc.ir.dims import Dim, Index
from graphc.ir.types import DType
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
from graphc.kernel.verify import verify

F32, I64 = DType.F32, DType.I64
N, i, j = Dim.of("N"), Dim.of("i"), Dim.of("j")
X, Y, W = Buffer("x", F32, (N, 8)), Buffer("y", F32, (N, 8)), Buffer("w", I64, (8,))
ACC = Buffer("acc", F32, (), Space.REGISTER)
t, u, n = Temp("t", F32), Temp("u", F32), Temp("n", I64)
one = Literal(1.0, F32)
here = (i, j)


def kernel(*body: Stmt) -> Kernel:
    """The statements inside `for i in 0..N: for j in 0..8`."""
    return outside(For("i", 0, N, (For("j", 0, 8, body),)))


def outside(*body: Stmt) -> Kernel:
    return Kernel("k", (Parameter(X, "in"), Parameter(W, "in"), Parameter(Y, "out")), body)


def over(kind: Kind, extent: Index, *body: Stmt, lanes: int = 1, var: str = "v") -> For:
    return For(var, 0, extent, body, kind, lanes)


GOOD = {
    "elementwise": kernel(Load(t, X, here), Let(u, "tanh", (t,)), Store(Y, here, u)),
    "gather": kernel(Load(n, W, (j,)), Load(t, X, (i, Dim.of("n"))), Store(Y, here, t)),
    "masked": outside(over(Kind.VECTOR, N % 16, Store(Y, (Dim.of("v"), 0), one), lanes=16)),
    "horizontal": outside(
        Alloc(ACC),
        Store(ACC, (), one),
        over(Kind.VECTOR, 8, Load(t, X, (0, Dim.of("v"))), Accumulate(ACC, (), "add", (t,)), lanes=8),
    ),
    "parallel": outside(over(Kind.PARALLEL, N, For("j", 0, 8, (Store(Y, (Dim.of("v"), j), one),)))),
    "scratch for each iteration": kernel(Alloc(Buffer("m", F32, (4,), Space.SCRATCH))),
    "empty loops may say anything": outside(For("i", 0, 0, (Store(Y, (-1, 99), one),))),
}

BAD = {
    "t is not defined": kernel(Store(Y, here, t)),
    "u is not defined": kernel(Load(t, X, here), Let(u, "tanh", (u,)), Store(Y, here, u)),
    "t is not defined here": outside(
        For("i", 0, N, (For("j", 0, 8, (Load(t, X, here),)), Store(Y, (i, 0), t)))
    ),
    "the name t is taken": kernel(Load(t, X, here), Load(t, X, here)),
    "the name i is taken": kernel(For("i", 0, 2, ())),
    "the name x is taken": outside(Alloc(replace(ACC, name="x"))),
    "no buffer `acc: f32[] register`": kernel(Store(ACC, (), one)),
    "index variable n is not defined": outside(
        For("i", 0, N, (For("j", 0, 8, (Load(n, W, (j,)),)), Store(Y, (i, Dim.of("n")), one)))
    ),
    "t is f32, and an index": kernel(Load(t, X, here), Store(Y, (i, Dim.of("t")), t)),
    "an index is no bool": kernel(LetIndex(Temp("b", DType.BOOL), i)),
    "no primitive frobnicate": kernel(Let(t, "frobnicate", (one,))),
    "add takes 2 operands": kernel(Let(t, "add", (one,))),
    "does not take": kernel(Let(t, "add", (one, Literal(1, I64)))),
    "bool meets f32": kernel(Let(Temp("b", DType.BOOL), "add", (one, one))),
    "i64 meets f32": kernel(Store(Y, here, Literal(1, I64))),
    "f32 meets i64": kernel(Load(t, W, (j,))),
    "fma= has 1 operands": kernel(Accumulate(Y, here, "fma", (one,))),
    "1 indices for 2 axes": kernel(Store(Y, (i,), one)),
    "index j+1 leaves an axis of length 8": kernel(Store(Y, (i, j + 1), one)),
    "index j-1 leaves": kernel(Store(Y, (i, j - 1), one)),
    "x is only read": kernel(Store(X, here, one)),
    "unrolled loop is not constant": outside(over(Kind.UNROLL, N, Store(Y, (Dim.of("v"), 0), one))),
    "not proved to fit into 4 lanes": outside(over(Kind.VECTOR, 8, Store(Y, (0, Dim.of("v")), one), lanes=4)),
    "straight-line code only": outside(over(Kind.VECTOR, 8, For("j", 0, 8, ()), lanes=8)),
    "two iterations may meet at y[0,0]": outside(over(Kind.VECTOR, 8, Store(Y, (0, 0), one), lanes=8)),
    "a parallel loop is outermost": outside(For("i", 0, N, (over(Kind.PARALLEL, 8, Store(Y, (i, 0), one)),))),
    "may meet at y[0,0]": outside(over(Kind.PARALLEL, 8, Accumulate(Y, (0, 0), "add", (one,)))),
    "may meet at y[n,0]": outside(
        over(Kind.PARALLEL, 8, Load(n, W, (Dim.of("v"),)), Store(Y, (Dim.of("n"), 0), one))
    ),
    "caller's memory": kernel(Alloc(Buffer("m", F32, (4,)))),
    "share the local buffer acc": outside(Alloc(ACC), over(Kind.PARALLEL, 8, Store(ACC, (), one))),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_kernel_that_is_well_formed_passes(name: str) -> None:
    assert verify(GOOD[name]) is GOOD[name]


@pytest.mark.parametrize("why", BAD)
def test_a_broken_kernel_is_refused_with_its_name_and_the_line(why: str) -> None:
    with pytest.raises(InternalError) as caught:
        verify(BAD[why])
    message = str(caught.value)
    assert why in message
    assert "kernel k, line " in message


def test_the_line_is_the_line_of_the_text() -> None:
    broken = kernel(Load(t, X, here), Store(Y, (i, 8), t))
    with pytest.raises(InternalError, match="line 4") as caught:
        verify(broken)
    assert str(broken).splitlines()[4].strip() in str(caught.value)


def test_a_parameter_and_a_dimension_of_one_name() -> None:
    clash = Kernel("k", (Parameter(replace(X, name="N"), "in"),), ())
    with pytest.raises(InternalError, match="the name N is taken"):
        verify(clash)
