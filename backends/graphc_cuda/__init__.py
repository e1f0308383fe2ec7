"""The CUDA back end's place: CUDA C from the same kernels that the LLVM back end starts from.

It is not built yet, and says so.

>>> backend.describe()["CUDA"]
'the back end is not built yet'
"""

from __future__ import annotations

from collections.abc import Mapping

from graphc.errors import BackendError
from graphc.kernel.program import CodeCache, Executable, Program

__all__ = ["CUDABackend", "backend"]


class CUDABackend:
    """A back end that refuses to build; see `graphc.kernel.program.Backend`."""

    name = "cuda"
    stages: tuple[str, ...] = ()

    def build(
        self, program: Program, *, fast: bool, threads: int | None, cache: CodeCache | None
    ) -> Executable:
        raise BackendError(
            f"cannot build {program.name} for CUDA",
            why="the CUDA back end is not built yet; only its name is reserved",
            fix='compile for the CPU: backend="llvm"',
        )

    def describe(self) -> Mapping[str, str]:
        return {"CUDA": "the back end is not built yet"}


backend = CUDABackend()
