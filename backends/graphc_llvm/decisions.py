"""What is decided about the schedule of a kernel otherwise than by the model of costs.

A decision names a plan for each nest that takes one, in order (None: the model's), and how many threads share the
loops (None: as many as there are).  It is kept as JSON, and made into a schedule again from that.

>>> decision = Decision((None, Plan("j", 32, (("i", 8),), ("b",))), threads=1)
>>> print(decision)
model's; tile 8 i × 32 j, pack b; one thread
>>> Decision.read(decision.written()) == decision
True
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from graphc.ir.dims import Index
from graphc.kernel.alike import Form
from graphc.kernel.ir import Kernel
from graphc.kernel.program import Machine
from graphc_llvm.nests import Nest, Plan
from graphc_llvm.plan import choose


@dataclass(frozen=True, slots=True)
class Decision:
    """See the module; `pairs` says whether threads share pairs of iterations (None: where that is more even)."""

    plans: tuple[Plan | None, ...] = ()
    threads: int | None = None
    pairs: bool | None = None

    def __str__(self) -> str:
        last = max((k + 1 for k, p in enumerate(self.plans) if p is not None), default=0)
        parts = [MODEL if p is None else str(p) for p in self.plans[:last]] or [MODEL]
        if self.threads == 1:
            parts.append("one thread")
        if self.pairs is not None:
            parts.append("in pairs" if self.pairs else "not in pairs")
        return "; ".join(parts)

    def written(self) -> list[Any]:
        """As JSON has it."""
        plans = [None if p is None else [p.vector, p.lanes, p.tile, p.packed] for p in self.plans]
        return [plans, self.threads, self.pairs]

    @staticmethod
    def read(held: Any) -> Decision:
        """What `written` gave, through JSON or not; raises ValueError or TypeError for anything else."""
        plans, threads, pairs = held
        return Decision(tuple(None if p is None else _plan(*p) for p in plans), threads, pairs)


MODEL = "model's"
Decisions: TypeAlias = Mapping[str, Decision]
"""By the name of the kernel's form and work, see `name_of`."""


def _plan(vector: str, lanes: int, tile: Sequence[Sequence[Any]], packed: Sequence[str]) -> Plan:
    return Plan(vector, int(lanes), tuple((str(v), int(n)) for v, n in tile), tuple(map(str, packed)))


def name_of(form: Form, flops: Index) -> str:
    """Names all kernels that are alike, and do as much work."""
    return hashlib.sha256(f"{form.key}\0{flops}".encode()).hexdigest()


@dataclass(slots=True)
class Chooser:
    """Chooses the plans of a decision for the nests of a kernel, as they come, and remembers the nests."""

    plans: tuple[Plan | None, ...] = ()
    nests: list[Nest] = field(default_factory=list)

    def __call__(self, nest: Nest, machine: Machine) -> Plan:
        at = len(self.nests)
        self.nests.append(nest)
        plan = self.plans[at] if at < len(self.plans) else None
        return plan if plan is not None and _fits(plan, nest) else choose(nest, machine)


def _fits(plan: Plan, nest: Nest) -> bool:
    """Whether a plan speaks of the loops of a nest."""
    outer = {f.var for f in nest.loops}
    inner = {f.var for c in nest.chains for f in c.loops}
    tiled = {v for v, _ in plan.tile}
    return plan.vector in outer | inner and tiled <= outer - {plan.vector}


def decided(
    kernel: Kernel, machine: Machine, flops: Index, decision: Decision
) -> tuple[Kernel, tuple[str, ...], list[Nest]]:
    """The kernel as it is scheduled by a decision, the steps to it, and the nests that took a plan."""
    from graphc_llvm.schedules import schedule

    chooser = Chooser(decision.plans)
    if decision.threads is not None:
        machine = replace(machine, threads=decision.threads)
    made, steps = schedule(
        kernel, machine, flops=flops, threads=machine.threads, choose=chooser, pairs=decision.pairs
    )
    return made, steps, chooser.nests
