"""A built program that comes from the cache: its code runs at once, its texts are made when somebody asks.

| what       | kept | made again                                    |
|------------|------|-----------------------------------------------|
| object     | yes  |                                               |
| `scratch`  | yes  |                                               |
| `shared`   | yes  | (whether some call may use several threads)   |
| texts      |      | by scheduling and emitting the program anew   |

>>> about(Module((), "", ((0, 64),)))
{'scratch': [[0, 64]], 'shared': False}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, TypeAlias

from graphc.ir.dims import Dim, Index, parse
from graphc.kernel.program import CodeCache, Program
from graphc_llvm.executable import LLVMExecutable
from graphc_llvm.jit import Code, stage_text
from graphc_llvm.module import Module

Lowered: TypeAlias = tuple[Program, tuple[tuple[str, ...], ...], Module]
"""The scheduled program, the steps of each call, and the module."""


def about(module: Module) -> Mapping[str, Any]:
    """What is kept of a module, as JSON has it."""
    scratch = [[call, str(size) if isinstance(size, Dim) else size] for call, size in module.scratch]
    return {"scratch": scratch, "shared": module.shared}


class KeptExecutable(LLVMExecutable):
    """See the module; `program` has no kernels, `lower` makes those that the code was made of."""

    steps: tuple[tuple[str, ...], ...]

    def __init__(
        self,
        program: Program,
        about: Mapping[str, Any],
        code: Code,
        threads: int,
        cache: CodeCache | None,
        lower: Callable[[], Lowered],
    ) -> None:
        scratch = tuple((int(call), _index(size)) for call, size in about["scratch"])
        module = Module((), "@GOMP_parallel" if about["shared"] else "", scratch)
        super().__init__(program, module, code, threads, (), cache)
        del self.steps
        self._lower = lower

    @cached_property
    def _lowered(self) -> Lowered:
        return self._lower()

    def __getattr__(self, name: str) -> Any:
        if name != "steps":
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return self._lowered[1]

    def text(self, stage: str) -> str:
        if stage == "scheduled":
            return str(self.scheduled())
        return stage_text(str(self._lowered[2]), stage)

    def scheduled(self) -> Program:
        return self._lowered[0]


def _index(held: int | str) -> Index:
    return parse(held) if isinstance(held, str) else held
