"""What a program must do at least: arithmetic and memory traffic, per kernel, as polynomials of the dimensions.

>>> import graphc as gc
>>> x, w = gc.input("x", ("N", 784), "float32"), gc.param("w", (784, 10))
>>> cost = gc.compile([x], x @ w).cost
>>> cost.flops, cost.at(N=64).flops
(15680*N, 1003520)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from graphc.ir.dims import Index, substitute
from graphc.kernel.memory import plan
from graphc.kernel.program import Program, calls_in


@dataclass(frozen=True, slots=True)
class KernelCost:
    """One kernel: floating-point operations, and bytes of all buffers that it touches."""

    name: str
    flops: Index
    bytes: Index


@dataclass(frozen=True, slots=True)
class Cost:
    """A whole program; `arena(...)` is the memory for temporaries at given sizes."""

    kernels: tuple[KernelCost, ...]
    program: Program
    scratch: Sequence[tuple[int, Index]]

    @property
    def flops(self) -> Index:
        total: Index = 0
        for k in self.kernels:
            total = k.flops + total
        return total

    @property
    def bytes(self) -> Index:
        total: Index = 0
        for k in self.kernels:
            total = k.bytes + total
        return total

    def arena(self, **dims: int) -> int:
        """Bytes of the arena for a binding of the named dimensions."""
        return plan(self.program, dims, self.scratch).size

    def at(self, **dims: int) -> Cost:
        """The costs as numbers, for a binding of the named dimensions."""
        rows = tuple(
            KernelCost(k.name, substitute(k.flops, dims), substitute(k.bytes, dims)) for k in self.kernels
        )
        return Cost(rows, self.program, self.scratch)

    def __str__(self) -> str:
        width = max((len(k.name) for k in self.kernels), default=6)
        lines = [f"{'kernel':<{width}}  flops, bytes"]
        lines += [f"{k.name:<{width}}  {k.flops}, {k.bytes}" for k in self.kernels]
        return "\n".join([*lines, f"{'total':<{width}}  {self.flops}, {self.bytes}"])


def program_cost(program: Program, scratch: Sequence[tuple[int, Index]]) -> Cost:
    """The cost of every call of a program; a call inside a loop counts as often as it is made."""
    rows = tuple(
        KernelCost(c.kernel.name, c.flops * times, c.traffic * times) for c, times in calls_in(program.steps)
    )
    return Cost(rows, program, scratch)
