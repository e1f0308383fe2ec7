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

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from graphc.errors import InternalError
from graphc.ir.dims import Index, product
from graphc.ir.types import DType
from graphc.kernel.alike import Form
from graphc.kernel.ir import Kernel, Parameter, walk
from graphc.kernel.memory import ALIGNMENT
from graphc.kernel.program import Branch, Call, Loop, Program, Repeat, Step, calls_in
from graphc_llvm import vector_math
from graphc_llvm.debug import DebugInfo
from graphc_llvm.emit_index import Binding, Indexer, terms
from graphc_llvm.emit_kernel import KernelEmitter, Range
from graphc_llvm.module import ENOUGH, Module, work
from graphc_llvm.sites import Scratch, Site, Sites, is_parallel, paired, parts
from graphc_llvm.writer import Value, Writer, memory_type

_CALLS_IN_A_PART = 64
_GIVEN = ("addresses", "dims")


@dataclass(frozen=True, slots=True)
class _Function:
    """A kernel's function: its name, its parallel loop (if it is one), its arguments."""

    name: str
    loop: Site | None
    buffers: int
    scratch: tuple[Scratch, ...]
    dims: tuple[str, ...]

    @property
    def arguments(self) -> int:
        """Those that a team is given, in this order; the bounds of its share are not among them."""
        return self.buffers + len(self.scratch) + len(self.dims)


@dataclass(frozen=True, slots=True)
class _Team:
    """What a call by several threads needs, as text: whether there are several, how many, the arguments' place."""

    several: str
    threads: str
    arguments: str


def emit(
    program: Program, *, fast: bool = False, threads: int = 1, vector_bits: int = 512, bf16: bool = False
) -> Module:
    """The module of a program, for at most so many threads."""
    return _ModuleEmitter(program, fast, threads, vector_bits, bf16).module()


class _ModuleEmitter:
    def __init__(self, program: Program, fast: bool, threads: int, vector_bits: int, bf16: bool) -> None:
        self._program, self._fast, self._threads, self._vector_bits = program, fast, threads, vector_bits
        self._bf16 = bf16
        self._debug = DebugInfo(program.name)
        self._texts: list[str] = []
        self._declared: dict[str, None] = {}
        self._vector_functions: dict[tuple[str, DType, int], None] = {}
        self._functions: dict[tuple[str, tuple[bool, ...], tuple[bool, ...]], tuple[_Function, ...]] = {}
        self._names: set[str] = set()
        self._scratch: list[tuple[int, Index]] = []
        self._teams: dict[str, str] = {}

    def module(self) -> Module:
        line = 1
        calls: list[tuple[tuple[_Function, ...], int]] = []  # of each its functions, and its first scratch
        for c, call in enumerate(self._program.calls):
            repeated = tuple(call.arguments.count(a) > 1 for a in call.arguments)
            roomy = tuple(self._roomy(call, k) for k in range(len(call.arguments)))
            key = (Form.of(call.kernel).key, repeated, roomy)
            if key not in self._functions:
                self._functions[key] = self._kernel(call.kernel, repeated, roomy, line)
            line += 2 + sum(1 for _ in walk(call.kernel.body))
            functions = self._functions[key]
            calls.append((functions, len(self._scratch)))
            self._scratch += [(c, self._bytes(s)) for f in functions[:1] for s in f.scratch]
        entry = self._entry(calls)
        head = f'attributes #0 = {{ noinline nounwind "prefer-vector-width"="{self._vector_bits}" }}'
        made_once = [*self._teams.values(), *self._vector_math(), entry]
        rest = [*made_once, "\n".join(self._declared), head, self._debug.text()]
        return Module(tuple(self._texts), "\n\n".join(rest), tuple(self._scratch))

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
    ) -> tuple[_Function, ...]:
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
            function = _Function(
                f"{base}.{k}", loop, len(kernel.parameters), tuple(sites.scratch), sites.free
            )
            self._texts.append(self._function(function, kernel, repeated, part, sites, line))
            functions.append(function)
        return tuple(functions)

    def _function(
        self,
        f: _Function,
        kernel: Kernel,
        repeated: tuple[bool, ...],
        part: tuple[Site, ...],
        sites: Sites,
        line: int,
    ) -> str:
        locate = self._debug.function(f.name, line)
        subprogram = self._debug.subprogram
        w = Writer(self._fast, bf16=self._bf16)
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
        return _define(
            f"hidden void @{f.name}({', '.join(signature)}) #0 !dbg !{subprogram}", w, locate(line)
        )

    def _entry(self, made: Sequence[tuple[tuple[_Function, ...], int]]) -> str:
        """The entry; a long program is made in parts, for LLVM takes more than twice the time for twice the text."""
        parts: list[tuple[list[Step], int]] = [([], 0)]
        for step in self._program.steps:
            steps, count = parts[-1]
            if count >= _CALLS_IN_A_PART:
                steps, count = [], 0
                parts.append((steps, count))
            steps.append(step)
            parts[-1] = steps, count + sum(1 for _ in calls_in((step,)))
        functions = iter(made)
        if len(parts) == 1:
            return self._part("void @graphc_entry", parts[0][0], functions)
        texts = [
            self._part(f"internal void @graphc_part.{k}", steps, functions)
            for k, (steps, _) in enumerate(parts)
        ]
        w = Writer(parameters=_GIVEN)
        for k in range(len(parts)):
            w.do(f"call void @graphc_part.{k}(ptr %addresses, ptr %dims)")
        texts.append(_define("void @graphc_entry(ptr %addresses, ptr %dims) #0", w))
        return "\n\n".join(texts)

    def _part(
        self, head: str, steps: Sequence[Step], functions: Iterator[tuple[tuple[_Function, ...], int]]
    ) -> str:
        w = Writer(parameters=_GIVEN)
        ix = Indexer(w, {})
        for k, d in enumerate(self._program.dims):
            at = w.emit(f"getelementptr i64, ptr %dims, i64 {k}")
            ix.env[d] = Value(w.emit(f"load i64, ptr {at}, align 8", d), DType.I64, 1, 0)
        held = len(self._program.buffers) + len(self._scratch)
        at = w.emit(f"getelementptr i64, ptr %addresses, i64 {held}")
        threads = w.emit(f"load i64, ptr {at}, align 8", "threads")
        team = _Team(
            w.emit(f"icmp sgt i64 {threads}, 1", "several"), w.emit(f"trunc i64 {threads} to i32"), ""
        )
        calls = [(call, *next(functions)) for call, _ in calls_in(tuple(steps))]
        # The work of a call does not change from turn to turn, so it is weighed before all loops.
        shared = [[self._shared(w, ix, call, f, team.several) for f in fs] for call, fs, _ in calls]
        pairs = [
            (f, s)
            for (_, fs, _), who in zip(calls, shared, strict=True)
            for f, s in zip(fs, who, strict=True)
        ]
        if room := max((f.arguments for f, s in pairs if s), default=0):
            team = replace(team, arguments=w.alloca("i64", room, "args"))
        following = iter(zip(calls, shared, strict=True))

        def make(steps: Sequence[Step]) -> None:
            for step in steps:
                match step:
                    case Call():
                        (call, fs, scratch), who = next(following)
                        for f, s in zip(fs, who, strict=True):
                            self._make(w, ix, call, f, scratch, s, team)
                    case Loop():
                        extent = ix.uniform(terms(step.extent), step.var)
                        with w.loop(step.var, "0", extent.text, guarded=True) as turn:
                            ix.env[step.var] = Value(turn, DType.I64, 1, w.depth)
                            make(step.body)
                    case Branch():
                        flag = self._flag(w, ix, step.flag, step.offset)
                        with w.guard(flag, "then"):
                            make(step.then)
                        with w.guard(w.emit(f"xor i1 {flag}, true"), "else"):
                            make(step.other)
                    case Repeat():
                        with w.repeat("while") as go_on:
                            make(step.test)
                            go_on(self._flag(w, ix, step.flag, 0))
                            make(step.body)

        make(steps)
        self._declared |= w.declarations
        return _define(f"{head}(ptr %addresses, ptr %dims) #0", w)

    def _shared(self, w: Writer, ix: Indexer, call: Call, f: _Function, several: str) -> str:
        """Whether threads share a call: an `i1`, or "" where they never do."""
        amount = work(call)
        if f.loop is None or self._threads < 2 or (isinstance(amount, int) and amount <= ENOUGH):
            return ""
        if isinstance(amount, int):
            return several
        much = w.emit(f"icmp sgt i64 {ix.uniform(terms(amount), call.kernel.name).text}, {ENOUGH}", "much")
        return w.emit(f"and i1 {several}, {much}")

    def _make(
        self, w: Writer, ix: Indexer, call: Call, f: _Function, scratch: int, shared: str, team: _Team
    ) -> None:
        """One call, by one thread or by all; its scratch buffers begin at number `scratch`."""
        given: list[str] = []
        for k, (p, a) in enumerate(zip(call.kernel.parameters, call.arguments, strict=True)):
            base = self._address(w, a, p.buffer.name)
            if call.offset(k) != 0:
                start = ix.uniform(terms(call.offset(k)), p.buffer)
                base = w.emit(f"getelementptr {memory_type(p.buffer.dtype)}, ptr {base}, i64 {start.text}")
            given.append(f"ptr {base}")
        for k, s in enumerate(f.scratch):
            given.append(f"ptr {self._address(w, len(self._program.buffers) + scratch + k, s.buffer.name)}")
        given += [str(ix.env[d]) for d in f.dims]
        bounds = []
        if f.loop is not None:
            bounds = [f"i64 {end}" for end in _iterations(w, ix, f.loop)]
        alone = f"call void @{f.name}({', '.join([*given, *bounds])})"
        if not shared:
            w.do(alone)
            return
        with w.guard(shared, f"{f.name}.shared"):
            for k, argument in enumerate(given):
                at = w.emit(f"getelementptr i64, ptr {team.arguments}, i64 {k}")
                w.do(f"store {argument}, ptr {at}, align 8")
            if f.name not in self._teams:
                self._teams[f.name] = self._team(f)
            name, data = f"ptr @{f.name}.team", f"ptr {team.arguments}"
            w.do(w.call("GOMP_parallel", "void", name, data, f"i32 {team.threads}", "i32 0"))
        with w.guard(w.emit(f"xor i1 {shared}, true"), f"{f.name}.alone"):
            w.do(alone)

    def _team(self, f: _Function) -> str:
        """What each thread of a team runs: it loads the arguments of the call, and makes its share of it."""
        assert f.loop is not None
        w = Writer(parameters=("args",))
        ix = Indexer(w, {})
        for function, result in (("omp_get_thread_num", "thread"), ("omp_get_num_threads", "threads")):
            number = w.emit(w.call(function, "i32"))
            w.emit(f"zext i32 {number} to i64", result)
        first = f.arguments - len(f.dims)
        for k, d in enumerate(f.dims):
            at = w.emit(f"getelementptr i64, ptr %args, i64 {first + k}")
            ix.env[d] = Value(w.emit(f"load i64, ptr {at}, align 8", d), DType.I64, 1, 0)
        args: list[str] = []
        for k in range(first):
            at = w.emit(f"getelementptr i64, ptr %args, i64 {k}")
            base = w.emit(f"load ptr, ptr {at}, align 8", "p")
            if k >= f.buffers and (s := f.scratch[k - f.buffers]).per_thread:
                size = ix.uniform(terms(_rounded(s.bytes)), s.buffer)
                offset = w.emit(f"mul nsw i64 %thread, {size.text}")
                base = w.emit(f"getelementptr i8, ptr {base}, i64 {offset}")
            args.append(f"ptr {base}")
        args += [str(ix.env[d]) for d in f.dims]
        lo, hi = _iterations(w, ix, f.loop)
        count = w.emit(f"sub nsw i64 {hi}, {lo}")
        for end in ("%thread", w.emit("add nsw i64 %thread, 1")):
            share = w.emit(f"mul nsw i64 {count}, {end}")
            share = w.emit(f"sdiv i64 {share}, %threads")
            args.append(f"i64 {w.emit(f'add nsw i64 {share}, {lo}')}")
        w.do(f"call void @{f.name}({', '.join(args)})")
        self._declared |= w.declarations
        return _define(f"internal void @{f.name}.team(ptr %args) #0", w)

    def _address(self, w: Writer, position: int, hint: str) -> str:
        """The address that the caller gives at a position."""
        at = w.emit(f"getelementptr i64, ptr %addresses, i64 {position}")
        return w.emit(f"load ptr, ptr {at}, align 8", hint)

    def _flag(self, w: Writer, ix: Indexer, position: int, offset: Index) -> str:
        """The truth value that a buffer holds now, as an `i1`."""
        base = self._address(w, position, "v")
        if offset != 0:
            base = w.emit(f"getelementptr i8, ptr {base}, i64 {ix.uniform(terms(offset), 'a flag').text}")
        byte = w.emit(f"load i8, ptr {base}, align 1", "flag")
        return w.emit(f"icmp ne i8 {byte}, 0")

    def _bytes(self, scratch: Scratch) -> Index:
        return _rounded(scratch.bytes) * (self._threads if scratch.per_thread else 1)

    def _vector_math(self) -> list[str]:
        texts: list[str] = []
        for prim, dtype, lanes in sorted(self._vector_functions, key=lambda f: (f[0], f[1].value, f[2])):
            texts.append(vector_math.definition(prim, dtype.value, lanes))
            self._declared |= dict.fromkeys(vector_math.requires(prim, dtype.value, lanes))
        return texts

    def _unique(self, name: str) -> str:
        result, k = name, 1
        while result in self._names:
            result, k = f"{name}_{k}", k + 1
        self._names.add(result)
        return result


def _iterations(w: Writer, ix: Indexer, loop: Site) -> tuple[str, str]:
    """The first iteration of a parallel loop, and one past the last; of two loops the pairs are counted."""
    lo, hi = ix.uniform(loop.lo, loop.stmt).text, ix.uniform(loop.hi, loop.stmt).text
    inner = paired(loop)
    if inner is None:
        return lo, hi
    return lo, w.emit(f"mul nsw i64 {hi}, {ix.uniform(inner.hi, inner.stmt).text}")


def _rounded(size: Index) -> Index:
    """Bytes in whole cache lines, so that threads never share one."""
    return (size + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT


def _attributes(parameter: Parameter, repeated: bool) -> str:
    return ("" if repeated else " noalias") + (" readonly" if parameter.access == "in" else "")


def _define(head: str, w: Writer, location: str = "") -> str:
    return "\n".join([f"define {head} {{", "entry:", *w.lines(), f"  ret void{location}", "}"])
