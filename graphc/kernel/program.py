"""A program: the kernels of a whole graph in order, over one table of buffers.

It is what a back end builds.  Buffers have roles; only temporaries live in the arena.

| role    | memory | who writes it |
|---------|--------|----------------|
| `input` | the caller's array | the caller |
| `param` | the parameter's own array | the program, in place, where it is updated |
| `const` | part of the program | nobody |
| `output`| a fresh array for each call | the program |
| `temp`  | the arena | the program |

>>> from graphc.ir.dims import Dim
>>> x = ProgramBuffer("x", DType.F32, (Dim.of("N"),), "input")
>>> print(x)
x: f32[N] input
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal as OneOf
from typing import Protocol

from graphc.ir.dims import Index, names, product
from graphc.ir.types import Array, DType, Shape, shape_text
from graphc.kernel.ir import Kernel

Role = OneOf["input", "param", "const", "output", "temp"]


@dataclass(frozen=True, slots=True, eq=False)
class ProgramBuffer:
    """A buffer of the program; a constant carries its value."""

    name: str
    dtype: DType
    shape: Shape
    role: Role
    value: Array | None = None

    @property
    def bytes(self) -> Index:
        return self.dtype.size * product(self.shape)

    def __str__(self) -> str:
        return f"{self.name}: {self.dtype}{shape_text(self.shape)} {self.role}"


@dataclass(frozen=True, slots=True)
class Call:
    """One kernel, applied: the k-th parameter of the kernel is `program.buffers[arguments[k]]`.

    `flops` and `traffic` (bytes) are what the kernel must do at least; threads are used where it pays.
    """

    kernel: Kernel
    arguments: tuple[int, ...]
    flops: Index
    traffic: Index


@dataclass(frozen=True, slots=True)
class Program:
    """Kernels in the order in which they run."""

    name: str
    buffers: tuple[ProgramBuffer, ...]
    calls: tuple[Call, ...]

    @property
    def dims(self) -> tuple[str, ...]:
        """The named dimensions of all buffers, sorted: the integers that a call must be given, in this order."""
        return tuple(sorted({n for b in self.buffers for d in b.shape for n in names(d)}))

    def __str__(self) -> str:
        return "\n\n".join(str(c.kernel) for c in self.calls)


@dataclass(frozen=True, slots=True)
class Machine:
    """What a schedule needs to know of a CPU; `graphc doctor` prints it."""

    cpu: str  # LLVM's name, e.g. "znver4"
    vector_bytes: int  # width of a vector register: 16, 32 or 64
    vector_registers: int  # 16 or 32
    l1_bytes: int
    l2_bytes: int
    threads: int

    def lanes(self, dtype: DType) -> int:
        """Elements of a dtype in one vector register."""
        return max(1, self.vector_bytes // dtype.size)


class Executable(Protocol):
    """A built program."""

    def run(self, addresses: list[int], dims: list[int]) -> None:
        """Run once.  `addresses[k]` is the memory of `program.buffers[k]` (0 for unused), then one address for
        each scratch buffer in the order of `scratch()`; `dims` are the values of `program.dims`."""

    def text(self, stage: str) -> str:
        """The text of a target stage ("llvm", "llvm-opt", "asm", ...); KeyError for an unknown one."""

    def scheduled(self) -> Program:
        """The program after scheduling: what was emitted."""

    def scratch(self) -> tuple[tuple[int, Index], ...]:
        """Scratch buffers beyond the program's own: (index of the call, bytes), in the order of the addresses."""


class Backend(Protocol):
    """A target, found through the entry-point group `graphc.backends`."""

    name: str
    stages: tuple[str, ...]

    def build(
        self, program: Program, *, fast: bool, threads: int | None, cache: CodeCache | None
    ) -> Executable:
        """Schedule, emit and compile a program."""

    def describe(self) -> Mapping[str, str]:
        """What `graphc doctor` says of it, as label → text."""


class CodeCache(Protocol):
    """Compiled code on disk; see `graphc.runtime.cache`."""

    def get(self, key: str) -> bytes | None: ...

    def put(self, key: str, code: bytes) -> None: ...
