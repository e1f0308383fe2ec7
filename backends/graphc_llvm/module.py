"""What is known of an emitted module without its kernels: its text, its scratch buffers, the work of its calls.

>>> from graphc.ir.dims import Dim
>>> from graphc.kernel.ir import Kernel
>>> seconds(Program("p", (), (Call(Kernel("k", (), ()), (), 64, 0),)), ())
1e-09
"""

from __future__ import annotations

from dataclasses import dataclass

from graphc.ir.dims import Index, evaluate
from graphc.ir.types import DType
from graphc.kernel.program import Call, Program, calls_in

WORTH_THREADS_NS = 9_000  # a fork and join takes about one microsecond, and the estimates below are careful
FLOPS_PER_NS = 64  # of one core: about half of what a good kernel reaches with AVX-512
BYTES_PER_NS = 32  # of one core, from its caches
ENOUGH = WORTH_THREADS_NS * FLOPS_PER_NS
"""The work from which on threads pay."""


@dataclass(frozen=True, slots=True)
class Module:
    """The text of a module, in its pieces."""

    functions: tuple[str, ...]
    rest: str
    scratch: tuple[tuple[int, Index], ...]  # (index of the call, bytes), in the order of the addresses

    @property
    def shared(self) -> bool:
        """Whether some call may use several threads."""
        return "@GOMP_parallel" in self.rest

    def __str__(self) -> str:
        return "\n\n".join((*self.functions, self.rest)) + "\n"


def work(program: Program, call: Call) -> Index:
    """An estimate of the work of a call, in units of one nanosecond / FLOPS_PER_NS; two products of a pair are one."""
    pairs = any(program.buffers[k].dtype is DType.BF16X2 for k in call.arguments)
    flops = call.flops // 2 if pairs else call.flops
    return flops + (FLOPS_PER_NS // BYTES_PER_NS) * call.traffic


def seconds(program: Program, dims: tuple[int, ...]) -> float:
    """An estimate of a run on one thread."""
    env = dict(zip(program.dims, dims, strict=True))
    done = (
        evaluate(work(program, call), env) * evaluate(times, env) for call, times in calls_in(program.steps)
    )
    return sum(done) / FLOPS_PER_NS * 1e-9


def seconds_alone(program: Program, dims: tuple[int, ...]) -> float:
    """An estimate of a run on one thread; 0 where no call has enough work for threads."""
    env = dict(zip(program.dims, dims, strict=True))
    worth = any(evaluate(work(program, call), env) > ENOUGH for call, _ in calls_in(program.steps))
    return seconds(program, dims) if worth else 0.0
