"""Level 6, the entry of a module: the calls of a program in its loops and branches, by one thread or by several.

```
entry ::= @graphc_entry(addresses, dims) makes the calls in order, in the loops and branches of the program
team  ::= @kernel.k.team(args) is what the OpenMP runtime runs on every thread: its share of lo..hi
```

>>> print(EntryEmitter(Program("nothing", (), ()), 1, [], 0).text(()).splitlines()[0])
define void @graphc_entry(ptr %addresses, ptr %dims) #0 {
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from graphc.ir.dims import Index
from graphc.ir.types import DType
from graphc.kernel.memory import ALIGNMENT
from graphc.kernel.program import Branch, Call, Loop, Program, Repeat, Step, calls_in
from graphc_llvm.emit_index import Indexer, terms
from graphc_llvm.module import ENOUGH, work
from graphc_llvm.sites import Scratch, Site, paired
from graphc_llvm.writer import Value, Writer, memory_type

_CALLS_IN_A_PART = 64
_GIVEN = ("addresses", "dims")


@dataclass(frozen=True, slots=True)
class Function:
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

    @property
    def declaration(self) -> str:
        """What a module says of it that calls it."""
        pointers, numbers = (
            self.buffers + len(self.scratch),
            len(self.dims) + (2 if self.loop is not None else 0),
        )
        types = ", ".join(["ptr"] * pointers + ["i64"] * numbers)
        return f"declare hidden void @{self.name}({types}) #0"


@dataclass(frozen=True, slots=True)
class _Team:
    """What a call by several threads needs, as text: whether there are several, how many, the arguments' place."""

    several: str
    threads: str
    arguments: str


_Made: TypeAlias = tuple[tuple[Call, tuple[Function, ...], int], list[str]]
"""A call with its functions and its first scratch buffer, and of each function whether threads share it."""


class EntryEmitter:
    """Emits the entry for at most so many threads; `teams` and `declared` are what else its text needs."""

    def __init__(
        self, program: Program, threads: int, made: Sequence[tuple[tuple[Function, ...], int]], scratch: int
    ) -> None:
        """`made` has the functions of each call and its first scratch buffer, of which there are `scratch`."""
        self._program, self._threads, self._made, self._scratch = program, threads, made, scratch
        self.teams: dict[str, str] = {}
        self.declared: dict[str, None] = {}

    def text(self, steps: tuple[Step, ...]) -> str:
        """The entry; a long program is made in parts, for LLVM takes more than twice the time for twice the text."""
        parts: list[tuple[list[Step], int]] = [([], 0)]
        for step in steps:
            part, count = parts[-1]
            if count >= _CALLS_IN_A_PART:
                part, count = [], 0
                parts.append((part, count))
            part.append(step)
            parts[-1] = part, count + sum(1 for _ in calls_in((step,)))
        functions = iter(self._made)
        if len(parts) == 1:
            return self._part("void @graphc_entry", parts[0][0], functions)
        texts = [
            self._part(f"internal void @graphc_part.{k}", part, functions)
            for k, (part, _) in enumerate(parts)
        ]
        w = Writer(parameters=_GIVEN)
        for k in range(len(parts)):
            w.do(f"call void @graphc_part.{k}(ptr %addresses, ptr %dims)")
        texts.append(define("void @graphc_entry(ptr %addresses, ptr %dims) #0", w))
        return "\n\n".join(texts)

    def _part(
        self, head: str, steps: Sequence[Step], functions: Iterator[tuple[tuple[Function, ...], int]]
    ) -> str:
        w = Writer(parameters=_GIVEN)
        ix = Indexer(w, {})
        for k, d in enumerate(self._program.dims):
            at = w.emit(f"getelementptr i64, ptr %dims, i64 {k}")
            ix.env[d] = Value(w.emit(f"load i64, ptr {at}, align 8", d), DType.I64, 1, 0)
        held = len(self._program.buffers) + self._scratch
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
        self._steps(w, ix, steps, iter(zip(calls, shared, strict=True)), team)
        self.declared |= w.declarations
        return define(f"{head}(ptr %addresses, ptr %dims) #0", w)

    def _steps(
        self, w: Writer, ix: Indexer, steps: Sequence[Step], made: Iterator[_Made], team: _Team
    ) -> None:
        for step in steps:
            match step:
                case Call():
                    (call, fs, scratch), who = next(made)
                    for f, s in zip(fs, who, strict=True):
                        self._make(w, ix, call, f, scratch, s, team)
                case Loop():
                    extent = ix.uniform(terms(step.extent), step.var)
                    with w.loop(step.var, "0", extent.text, guarded=True) as turn:
                        ix.env[step.var] = Value(turn, DType.I64, 1, w.depth)
                        self._steps(w, ix, step.body, made, team)
                case Branch():
                    flag = self._flag(w, ix, step.flag, step.offset)
                    with w.guard(flag, "then"):
                        self._steps(w, ix, step.then, made, team)
                    with w.guard(w.emit(f"xor i1 {flag}, true"), "else"):
                        self._steps(w, ix, step.other, made, team)
                case Repeat():
                    with w.repeat("while") as go_on:
                        self._steps(w, ix, step.test, made, team)
                        go_on(self._flag(w, ix, step.flag, 0))
                        self._steps(w, ix, step.body, made, team)

    def _shared(self, w: Writer, ix: Indexer, call: Call, f: Function, several: str) -> str:
        """Whether threads share a call: an `i1`, or "" where they never do."""
        amount = work(self._program, call)
        if f.loop is None or self._threads < 2 or (isinstance(amount, int) and amount <= ENOUGH):
            return ""
        if isinstance(amount, int):
            return several
        much = w.emit(f"icmp sgt i64 {ix.uniform(terms(amount), call.kernel.name).text}, {ENOUGH}", "much")
        return w.emit(f"and i1 {several}, {much}")

    def _make(
        self, w: Writer, ix: Indexer, call: Call, f: Function, scratch: int, shared: str, team: _Team
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
            if f.name not in self.teams:
                self.teams[f.name] = self._team(f)
            name, data = f"ptr @{f.name}.team", f"ptr {team.arguments}"
            w.do(w.call("GOMP_parallel", "void", name, data, f"i32 {team.threads}", "i32 0"))
        with w.guard(w.emit(f"xor i1 {shared}, true"), f"{f.name}.alone"):
            w.do(alone)

    def _team(self, f: Function) -> str:
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
                size = ix.uniform(terms(rounded(s.bytes)), s.buffer)
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
        self.declared |= w.declarations
        return define(f"internal void @{f.name}.team(ptr %args) #0", w)

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


def _iterations(w: Writer, ix: Indexer, loop: Site) -> tuple[str, str]:
    """The first iteration of a parallel loop, and one past the last; of two loops the pairs are counted."""
    lo, hi = ix.uniform(loop.lo, loop.stmt).text, ix.uniform(loop.hi, loop.stmt).text
    inner = paired(loop)
    if inner is None:
        return lo, hi
    return lo, w.emit(f"mul nsw i64 {hi}, {ix.uniform(inner.hi, inner.stmt).text}")


def rounded(size: Index) -> Index:
    """Bytes in whole cache lines, so that threads never share one."""
    return (size + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT


def define(head: str, w: Writer, location: str = "") -> str:
    return "\n".join([f"define {head} {{", "entry:", *w.lines(), f"  ret void{location}", "}"])
