"""A program: the kernels of a whole graph in order, over one table of buffers.

It is what a back end builds.  Its steps are calls of kernels, and control flow around them:

```
program ::= kernel* steps              the steps are printed where there is control flow
step    ::= kernel "(" argument* ")"   argument ::= buffer | buffer "+" index      elements into the buffer
          | "for" var "in" "0.." index step*
          | "if" argument step* "else" step*
          | "while" step* buffer step*                 the steps that test, then the steps of the body
```

Buffers have roles; only temporaries live in the arena.

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

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable
from typing import Literal as OneOf

from graphc.ir.dims import Index, names, product
from graphc.ir.types import Array, DType, Shape, shape_text
from graphc.kernel.entry import Entry
from graphc.kernel.ir import Kernel
from graphc.kernel.turns import Turns

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
    Inside a loop a parameter can be a part of a buffer: `offsets[k]` elements into it, a polynomial of the
    variables of the loops around the call (none means 0 everywhere).
    """

    kernel: Kernel
    arguments: tuple[int, ...]
    flops: Index
    traffic: Index
    offsets: tuple[Index, ...] = ()

    def offset(self, k: int) -> Index:
        return self.offsets[k] if self.offsets else 0


@dataclass(frozen=True, slots=True)
class Loop:
    """The steps of the body, `extent` times: `var` counts from 0."""

    var: str
    extent: Index
    body: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Branch:
    """The steps of one side, as the truth value in a buffer says, `offset` elements into it."""

    flag: int
    then: tuple[Step, ...]
    other: tuple[Step, ...]
    offset: Index = 0


@dataclass(frozen=True, slots=True)
class Repeat:
    """The steps that test; while what they left in the buffer `flag` is true: the body, and again."""

    test: tuple[Step, ...]
    flag: int
    body: tuple[Step, ...]


Step: TypeAlias = Call | Loop | Branch | Repeat


def parts_of(step: Loop | Branch | Repeat) -> tuple[tuple[Step, ...], ...]:
    """The lists of steps inside a step, in the order of the text."""
    match step:
        case Loop():
            return (step.body,)
        case Branch():
            return (step.then, step.other)
        case Repeat():
            return (step.test, step.body)


def calls_in(steps: tuple[Step, ...], times: Index = 1) -> Iterator[tuple[Call, Index]]:
    """Every call in the order of the text, and how often it is made (a `while` counts once)."""
    for step in steps:
        if isinstance(step, Call):
            yield step, times
        else:
            count = step.extent * times if isinstance(step, Loop) else times
            for part in parts_of(step):
                yield from calls_in(part, count)


def loops_in(steps: tuple[Step, ...]) -> Iterator[Loop]:
    """Every loop in the order of the text."""
    for step in steps:
        if isinstance(step, Loop):
            yield step
        if not isinstance(step, Call):
            for part in parts_of(step):
                yield from loops_in(part)


@dataclass(frozen=True, slots=True)
class Program:
    """Steps in the order in which they run."""

    name: str
    buffers: tuple[ProgramBuffer, ...]
    steps: tuple[Step, ...]

    @property
    def calls(self) -> tuple[Call, ...]:
        """All calls of kernels, in the order of the text, those inside loops and branches too."""
        return tuple(call for call, _ in calls_in(self.steps))

    @property
    def dims(self) -> tuple[str, ...]:
        """The named dimensions of all buffers, sorted: the integers that a call must be given, in this order."""
        return tuple(sorted({n for b in self.buffers for d in b.shape for n in names(d)}))

    def with_calls(self, calls: Iterable[Call]) -> Program:
        """The same program with other calls, in the order of `calls`."""
        new = iter(calls)

        def changed(steps: tuple[Step, ...]) -> tuple[Step, ...]:
            result: list[Step] = []
            for step in steps:
                match step:
                    case Call():
                        result.append(next(new))
                    case Loop():
                        result.append(Loop(step.var, step.extent, changed(step.body)))
                    case Branch():
                        sides = changed(step.then), changed(step.other)
                        result.append(Branch(step.flag, *sides, step.offset))
                    case Repeat():
                        result.append(Repeat(changed(step.test), step.flag, changed(step.body)))
            return tuple(result)

        return Program(self.name, self.buffers, changed(self.steps))

    def __str__(self) -> str:
        kernels = [str(c.kernel) for c in self.calls]
        if not all(isinstance(s, Call) for s in self.steps):
            kernels.append("\n".join([f"program {self.name}", *self._lines(self.steps, 1)]))
        return "\n\n".join(kernels)

    def _lines(self, steps: tuple[Step, ...], depth: int) -> Iterator[str]:
        indent = "  " * depth
        for step in steps:
            match step:
                case Call():
                    given = (self._argument(a, step.offset(k)) for k, a in enumerate(step.arguments))
                    yield f"{indent}{step.kernel.name}({', '.join(given)})"
                case Loop():
                    yield f"{indent}for {step.var} in 0..{step.extent}"
                    yield from self._lines(step.body, depth + 1)
                case Branch():
                    yield f"{indent}if {self._argument(step.flag, step.offset)}"
                    yield from self._lines(step.then, depth + 1)
                    yield f"{indent}else"
                    yield from self._lines(step.other, depth + 1)
                case Repeat():
                    yield f"{indent}while"
                    yield from self._lines(step.test, depth + 2)
                    yield f"{indent}  {self.buffers[step.flag].name}"
                    yield from self._lines(step.body, depth + 2)

    def _argument(self, position: int, offset: Index) -> str:
        name = self.buffers[position].name
        return name if offset == 0 else f"{name} + {offset}"


@dataclass(frozen=True, slots=True)
class Machine:
    """What a schedule needs to know of a CPU; `graphc doctor` prints it."""

    cpu: str  # LLVM's name, e.g. "znver4"
    vector_bytes: int  # width of a vector register: 16, 32 or 64
    vector_registers: int  # 16 or 32
    l1_bytes: int
    l2_bytes: int
    threads: int
    bf16: bool = False  # whether it multiplies pairs of bfloat16 (AVX512-BF16)

    def lanes(self, dtype: DType) -> int:
        """Elements of a dtype in one vector register."""
        return max(1, self.vector_bytes // dtype.size)


class Executable(Protocol):
    """A built program."""

    def run(self, addresses: list[int], dims: list[int]) -> None:
        """Run once.  `addresses[k]` is the memory of `program.buffers[k]` (0 for unused), then one address for
        each scratch buffer in the order of `scratch()`; `dims` are the values of `program.dims`."""

    def loop(self) -> Callable[[Turns], None] | None:
        """What runs the program many times on rows of large arrays, or None where only `run` can."""

    def entry(self, careful: Callable[..., Any], lock: threading.RLock) -> Entry | None:
        """A native function for calls, or None where there is none.

        It does what `careful` does, and calls it with the same arguments where they, a parameter or the time need
        a closer look.  Whoever calls `run` holds the `lock`, so that two calls never share the arena.
        """

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


@runtime_checkable
class KeepingBackend(Backend, Protocol):
    """A target whose programs can be kept; see `graphc.runtime.kept`."""

    def identity(self, threads: int | None) -> str:
        """Everything beside the program and the sources that a built program depends on."""

    def kept(self, executable: Executable) -> tuple[Mapping[str, Any], bytes] | None:
        """What `restore` needs to know of a built program, as JSON has it, and its code; None to keep nothing."""

    def restore(
        self,
        program: Program,
        about: Mapping[str, Any],
        code: bytes,
        *,
        fast: bool,
        threads: int | None,
        cache: CodeCache,
        lowered: Callable[[], Program],
    ) -> Executable | None:
        """The built program, or None where the code is of no use.  The kernels of `program` are empty; `lowered`
        makes the whole one, from which the texts follow."""


@runtime_checkable
class TuningBackend(Backend, Protocol):
    """A target that can choose schedules by running them."""

    def tuned(
        self, program: Program, *, fast: bool, threads: int | None, cache: CodeCache | None
    ) -> Executable:
        """What `build` makes, with the fastest of several schedules for its heavy kernels; `cache` keeps the choice."""


class CodeCache(Protocol):
    """Compiled code on disk; see `graphc.runtime.cache`."""

    def get(self, key: str) -> bytes | None: ...

    def put(self, key: str, code: bytes) -> None: ...
