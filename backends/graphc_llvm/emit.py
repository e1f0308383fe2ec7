"""Level 6: a program of kernels becomes the text of one LLVM module.

```
module   ::= function* team* entry
function ::= one for each parallel loop of a kernel, one for each run of its other statements:
             @kernel.k(buffers, scratch, dimensions, lo, hi), straight code over pointers that do not alias
team     ::= @kernel.k.team(args) is what the OpenMP runtime runs on every thread: its share of lo..hi
entry    ::= @graphc_entry(addresses, dims) makes the calls in order, in the loops and branches of the program
```

Kernels that are alike (`graphc.kernel.alike`) have one function, with the lines of the first of them.

`addresses` holds the program's buffers, then its scratch buffers, then the number of threads to use, which is
read at run time: after a fork it is 1.  A parallel loop uses threads only where there is work for
`WORTH_THREADS_NS` nanoseconds.

>>> from graphc.ir.dims import Dim
>>> from graphc.ir.types import DType
>>> from graphc.kernel.ir import Buffer, For, Kernel, Load, Parameter, Store, Temp
>>> from graphc.kernel.program import Call, Program, ProgramBuffer
>>> x, y = (Buffer(name, DType.F32, (Dim.of("N"),)) for name in "xy")
>>> t, i = Temp("t", DType.F32), (Dim.of("i"),)
>>> loop = For("i", 0, Dim.of("N"), (Load(t, x, i), Store(y, i, t)))
>>> copy = Kernel("copy", (Parameter(x, "in"), Parameter(y, "out")), (loop,))
>>> buffers = (ProgramBuffer("x", x.dtype, x.shape, "input"), ProgramBuffer("y", y.dtype, y.shape, "output"))
>>> module = emit(Program("p", buffers, (Call(copy, (0, 1), 0, 8 * Dim.of("N")),)))
>>> print(module.functions[0].splitlines()[0])
define hidden void @copy.0(ptr noalias readonly %x, ptr noalias %y, i64 %N) #0 !dbg !5 {
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from graphc.errors import InternalError
from graphc.ir.dims import Index, product
from graphc.ir.types import DType
from graphc.kernel.alike import Form
from graphc.kernel.ir import Kernel, Parameter, walk
from graphc.kernel.memory import ALIGNMENT
from graphc.kernel.program import Call, Program, Step
from graphc_llvm import vector_math
from graphc_llvm.debug import DebugInfo, without_lines
from graphc_llvm.emit_entry import EntryEmitter, Function, define, rounded
from graphc_llvm.emit_index import Binding
from graphc_llvm.emit_kernel import KernelEmitter, Range
from graphc_llvm.module import Module
from graphc_llvm.sites import Scratch, Site, Sites, is_parallel, parts
from graphc_llvm.writer import Value, Writer

_PIECE = 150_000  # characters of functions that become a module by themselves: some 50 ms of LLVM's time


@dataclass(slots=True)
class _Piece:
    """Some functions, and what they call."""

    names: set[str] = field(default_factory=set)
    texts: list[str] = field(default_factory=list)
    functions: dict[tuple[str, DType, int], None] = field(default_factory=dict)
    declared: dict[str, None] = field(default_factory=dict)
    size: int = 0

    def add(self, name: str, text: str, w: Writer) -> None:
        self.names.add(name)
        self.texts.append(text)
        self.functions |= w.functions
        self.declared |= w.declarations
        self.size += len(text)


def emit(
    program: Program, *, fast: bool = False, threads: int = 1, vector_bits: int = 512, bf16: bool = False
) -> Module:
    """The module of a program, for at most so many threads."""
    emitter = ModuleEmitter(program, fast, threads, vector_bits, bf16)
    for call in program.calls:
        emitter.add(call)
    return emitter.finish(program.steps)


class ModuleEmitter:
    """Emits the kernels of a program call by call, while others are being scheduled, and the entry at last.

    `take` is given the texts of modules that are linked to one: some kernels each as soon as there are enough of
    them, and what is left with the entry; or the whole module, where that is short.
    """

    def __init__(
        self,
        program: Program,
        fast: bool,
        threads: int,
        vector_bits: int,
        bf16: bool,
        take: Callable[[str], None] | None = None,
    ) -> None:
        self._program, self._fast, self._threads, self._vector_bits = program, fast, threads, vector_bits
        self._bf16, self._take = bf16, take
        self._debug = DebugInfo(program.name)
        self._texts: list[str] = []
        self._declared: dict[str, None] = {}
        self._vector_functions: dict[tuple[str, DType, int], None] = {}
        self._functions: dict[tuple[str, tuple[bool, ...], tuple[bool, ...]], tuple[Function, ...]] = {}
        self._names: set[str] = set()
        self._scratch: list[tuple[int, Index]] = []
        self._line = 1
        self._calls: list[
            tuple[tuple[Function, ...], int]
        ] = []  # of each its functions, and its first scratch
        self._piece = _Piece()  # since the last one that was taken
        self._taken = False

    def add(self, call: Call) -> None:
        """Emit the kernel of the next call, unless one that is alike has been emitted."""
        repeated = tuple(call.arguments.count(a) > 1 for a in call.arguments)
        roomy = tuple(self._roomy(call, k) for k in range(len(call.arguments)))
        key = (Form.of(call.kernel).key, repeated, roomy)
        if key not in self._functions:
            self._functions[key] = self._kernel(call.kernel, repeated, roomy, self._line)
            if self._take is not None and self._piece.size >= _PIECE:
                self._take(self._text_of(self._piece))
                self._piece, self._taken = _Piece(), True
        self._line += 2 + sum(1 for _ in walk(call.kernel.body))
        functions, c = self._functions[key], len(self._calls)
        self._calls.append((functions, len(self._scratch)))
        self._scratch += [(c, self._bytes(s)) for f in functions[:1] for s in f.scratch]

    def finish(self, steps: tuple[Step, ...]) -> Module:
        """The module, after all calls of the steps have been added."""
        entry = EntryEmitter(self._program, self._threads, self._calls, len(self._scratch))
        text = entry.text(steps)
        self._declared |= entry.declared
        rest = [*entry.teams.values(), *self._vector_math(self._vector_functions, self._declared), text]
        rest += ["\n".join(self._declared), self._head, self._debug.text()]
        module = Module(tuple(self._texts), "\n\n".join(rest), tuple(self._scratch))
        if self._take is not None and self._taken:
            last = self._piece
            elsewhere = {
                f.name: f for functions, _ in self._calls for f in functions if f.name not in last.names
            }
            last.texts += [*entry.teams.values(), text]
            last.declared |= entry.declared | {f.declaration: None for f in elsewhere.values()}
            self._take(self._text_of(last))
        elif self._take is not None:
            self._take(str(module))
        return module

    @property
    def _head(self) -> str:
        return f'attributes #0 = {{ noinline nounwind "prefer-vector-width"="{self._vector_bits}" }}'

    def _text_of(self, piece: _Piece) -> str:
        """A module of its own, without lines."""
        texts = [without_lines(t) for t in piece.texts]
        texts += self._vector_math(piece.functions, piece.declared)
        return "\n\n".join([*texts, "\n".join(piece.declared), self._head]) + "\n"

    def _roomy(self, call: Call, k: int) -> bool:
        """Whether an argument is a row that does not fill its last cache line, which nobody else uses."""
        buffer = self._program.buffers[call.arguments[k]]
        if buffer.role != "temp" or call.offset(k) != 0 or not buffer.shape:
            return False
        row = buffer.shape[-1]
        return (
            isinstance(row, int) and product(buffer.shape) == row and row * buffer.dtype.size % ALIGNMENT != 0
        )

    def _kernel(
        self, kernel: Kernel, repeated: tuple[bool, ...], roomy: tuple[bool, ...], line: int
    ) -> tuple[Function, ...]:
        given = zip(kernel.parameters, roomy, strict=True)
        sites = Sites(kernel, frozenset(p.buffer.name for p, room in given if room))
        missing = [d for d in sites.free if d not in self._program.dims]
        if missing:
            raise InternalError(
                f"the kernel {kernel.name} uses {missing[0]}, which is no dimension of its program"
            )
        base = self._unique(kernel.name)
        functions = []
        for k, part in enumerate(parts(sites)):
            loop = part[0] if len(part) == 1 and is_parallel(part[0]) else None
            function = Function(f"{base}.{k}", loop, len(kernel.parameters), tuple(sites.scratch), sites.free)
            self._texts.append(self._function(function, kernel, repeated, part, sites, line))
            functions.append(function)
        return tuple(functions)

    def _function(
        self,
        f: Function,
        kernel: Kernel,
        repeated: tuple[bool, ...],
        part: tuple[Site, ...],
        sites: Sites,
        line: int,
    ) -> str:
        locate = self._debug.function(f.name, line)
        subprogram = self._debug.subprogram
        # Vectors of 32 bytes came with fused multiply-adds, or soon before them.
        w = Writer(self._fast, bf16=self._bf16, fused=self._vector_bits >= 256)
        env: dict[str, Binding] = {}
        pointers: dict[str, str] = {}
        signature: list[str] = []
        for p, twice in zip(kernel.parameters, repeated, strict=True):
            pointers[p.buffer.name] = "%" + w.name(p.buffer.name)
            signature.append(f"ptr{_attributes(p, twice)} {pointers[p.buffer.name]}")
        scratch = {at: "%" + w.name(s.buffer.name) for at, s in sites.sites.items()}
        signature += [f"ptr noalias {name}" for name in scratch.values()]
        # One function fills a scratch buffer of the kernel and another one reads it, so both know its name.
        pointers |= {sites.sites[at].buffer.name: name for at, name in scratch.items()}
        for d in f.dims:
            env[d] = Value("%" + w.name(d), DType.I64, 1, 0)
            signature.append(str(env[d]))
        share = None
        if f.loop is not None:
            share = Range("%" + w.name("lo"), "%" + w.name("hi"))
            signature += [f"i64 {share.lo}", f"i64 {share.hi}"]
        # Scratch that an earlier part allocates is there for this one too.
        pointers |= {s.buffer.name: scratch[at] for at, s in sites.sites.items()}
        emitter = KernelEmitter(w, env, pointers, lambda at: locate(at + line - 1), scratch, sites.mixed)
        emitter.emit(part, share)
        self._declared |= w.declarations
        self._vector_functions |= w.functions
        head = f"hidden void @{f.name}({', '.join(signature)})"
        text = define(f"{head} #0 !dbg !{subprogram}", w, locate(line))
        self._piece.add(f.name, text, w)
        return text

    def _bytes(self, scratch: Scratch) -> Index:
        return rounded(scratch.bytes) * (self._threads if scratch.per_thread else 1)

    def _vector_math(
        self, functions: Iterable[tuple[str, DType, int]], declared: dict[str, None]
    ) -> list[str]:
        texts: list[str] = []
        for prim, dtype, lanes in sorted(functions, key=lambda f: (f[0], f[1].value, f[2])):
            texts.append(vector_math.definition(prim, dtype.value, lanes))
            declared |= dict.fromkeys(vector_math.requires(prim, dtype.value, lanes))
        return texts

    def _unique(self, name: str) -> str:
        result, k = name, 1
        while result in self._names:
            result, k = f"{name}_{k}", k + 1
        self._names.add(result)
        return result


def _attributes(parameter: Parameter, repeated: bool) -> str:
    return ("" if repeated else " noalias") + (" readonly" if parameter.access == "in" else "")
