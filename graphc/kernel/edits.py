"""Level 5, edits: what all schedule steps share.

A step names a loop by its variable, so these are unique in a kernel (`rename_apart` makes them so).  It
replaces statements, and says of each new statement which old ones it comes from; everything else stays the
same object.  From that follows the forward map: where each line of the old text went.

>>> from graphc.kernel.ir import DType, Kind, Literal, Parameter
>>> x, i = Buffer("x", DType.F32, (4,)), Dim.of("i")
>>> k = Kernel("k", (Parameter(x, "out"),), (For("i", 0, 4, (Store(x, (i,), Literal(1.0, DType.F32)),)),))
>>> edit = Edit(k, "unroll")
>>> loop = edit.loop("i")
>>> new, forward = edit.done(loop, (edit.derive(replace(loop, kind=Kind.UNROLL), loop),))
>>> print(new)
kernel k(x: f32[4] out)
  for i in 0..4 unroll
    store x[i], 1.0
>>> forward.lines
((0,), (1,), (2,))
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from graphc.errors import GraphcError, InternalError
from graphc.ir.dims import Dim, Index, names, substitute
from graphc.kernel.ir import (
    Accumulate,
    Alloc,
    Atom,
    Buffer,
    For,
    Kernel,
    Let,
    LetIndex,
    Load,
    Stmt,
    Store,
    Temp,
    kernel_lines,
    walk,
)

S = TypeVar("S", bound=Stmt)
_SUFFIX = re.compile(r"_\d+$")


class ScheduleError(GraphcError):
    """A schedule step that is not legal.  Wrong: `vectorize(kernel, "i", 16)` where i has 20 iterations."""

    def __init__(self, step: str, loop: str, why: str) -> None:
        super().__init__(f"cannot {step} {loop}", why=why)


class Forward:
    """Where the statements of a kernel went in a step, or in several."""

    __slots__ = ("_lines", "loops")

    def __init__(
        self, lines: Callable[[], tuple[tuple[int, ...], ...]], loops: Callable[[str], tuple[str, ...]]
    ) -> None:
        self._lines = lines
        self.loops = loops  # variable of an old loop → variables of the loops that come from it, in order

    @property
    def lines(self) -> tuple[tuple[int, ...], ...]:
        """Where each line of the old text is in the new text: `lines[old]`; line 0 is the header."""
        return self._lines()

    def then(self, later: Forward) -> Forward:
        """The map of two steps, one after the other."""

        def lines() -> tuple[tuple[int, ...], ...]:
            there = later.lines
            return tuple(tuple(sorted({n for m in ms for n in there[m]})) for ms in self.lines)

        return Forward(lines, lambda var: tuple(w for v in self.loops(var) for w in later.loops(v)))

    @staticmethod
    def identity(kernel: Kernel) -> Forward:
        return Forward(lambda: tuple((n,) for n, _ in enumerate(kernel_lines(kernel))), lambda var: (var,))


@dataclass(frozen=True, slots=True)
class Renaming:
    """What a copy changes: variables of indices, temporaries, buffers (each by name)."""

    index: Mapping[str, Index]
    temps: Mapping[str, Temp]
    buffers: Mapping[str, Buffer]

    def atom(self, atom: Atom) -> Atom:
        return self.temps.get(atom.name, atom) if isinstance(atom, Temp) else atom

    def indices(self, index: Sequence[Index]) -> tuple[Index, ...]:
        return tuple(substitute(e, self.index) for e in index)

    def apply(self, s: Stmt) -> Stmt:
        """A statement without its body, renamed: the same object if nothing changes."""
        new: Stmt
        match s:
            case Alloc(buffer=b):
                new = replace(s, buffer=self.buffers.get(b.name, b))
            case Load(temp=t, buffer=b, index=e):
                b = self.buffers.get(b.name, b)
                new = replace(s, temp=self.temps.get(t.name, t), buffer=b, index=self.indices(e))
            case LetIndex(temp=t, index=i):
                new = replace(s, temp=self.temps.get(t.name, t), index=substitute(i, self.index))
            case Let(temp=t, args=a):
                new = replace(s, temp=self.temps.get(t.name, t), args=tuple(map(self.atom, a)))
            case Store(buffer=b, index=e, value=v):
                b = self.buffers.get(b.name, b)
                new = replace(s, buffer=b, index=self.indices(e), value=self.atom(v))
            case Accumulate(buffer=b, index=e, args=a):
                b = self.buffers.get(b.name, b)
                new = replace(s, buffer=b, index=self.indices(e), args=tuple(map(self.atom, a)))
            case For(lo=lo, hi=hi):
                new = replace(s, lo=substitute(lo, self.index), hi=substitute(hi, self.index))
        return s if new == s else new


class Edit:
    """One step in the making."""

    def __init__(self, kernel: Kernel, step: str) -> None:
        self.kernel, self.step = kernel, step
        self._origin: dict[int, list[Stmt]] = {}
        self._counts: dict[str, int] = {}
        self._alive: list[Stmt] = []  # so that the ids above stay unique
        self._names = {n for p in kernel.parameters for n in (p.buffer.name, *shape_names(p.buffer))}
        for s in walk(kernel.body):
            self._names.update(declared(s))

    def error(self, loop: str, why: str) -> ScheduleError:
        return ScheduleError(self.step, loop, why)

    def path(self, var: str) -> tuple[For, ...]:
        """The loop of a variable, after the loops around it."""
        found: list[tuple[For, ...]] = []
        stack: list[tuple[For, ...]] = [(s,) for s in self.kernel.body if isinstance(s, For)]
        while stack:
            path = stack.pop()
            if path[-1].var == var:
                found.append(path)
            stack.extend((*path, s) for s in path[-1].body if isinstance(s, For))
        if len(found) != 1:
            raise self.error(var, f"{len(found)} loops have this name" if found else "there is no such loop")
        return found[0]

    def loop(self, var: str) -> For:
        return self.path(var)[-1]

    def fresh(self, base: str) -> str:
        """A name that the kernel does not have yet: `i`, then `i_2`, then `i_3`."""
        name, root = base, _SUFFIX.sub("", base)
        k = self._counts.get(root, 1)
        while name in self._names:
            k += 1
            name = f"{root}_{k}"
        self._counts[root] = k
        self._names.add(name)
        return name

    def derive(self, new: S, *old: Stmt) -> S:
        """Note where a new statement comes from."""
        if not any(new is o for o in old):
            self._origin.setdefault(id(new), []).extend(old)
            self._alive.append(new)
        return new

    def rewrite(self, body: Sequence[Stmt], each: Callable[[Stmt], Stmt]) -> tuple[Stmt, ...]:
        """Apply a function to every statement (not to the body of a loop: that is done here)."""
        result: list[Stmt] = []
        for s in body:
            new = each(s)
            if isinstance(s, For) and isinstance(new, For):
                inner = self.rewrite(s.body, each)
                if inner is not s.body:
                    new = replace(new, body=inner)
            result.append(self.derive(new, s))
        return body if isinstance(body, tuple) and same(result, body) else tuple(result)

    def substitute(self, body: Sequence[Stmt], index: Mapping[str, Index]) -> tuple[Stmt, ...]:
        """The same statements with variables of their indices replaced."""
        return self.rewrite(body, Renaming(index, {}, {}).apply)

    def duplicate(self, body: Sequence[Stmt], index: Mapping[str, Index]) -> tuple[Stmt, ...]:
        """A second copy: its temporaries, local buffers and loop variables get names of their own."""
        temps: dict[str, Temp] = {}
        buffers: dict[str, Buffer] = {}
        env = dict(index)
        loops: dict[str, str] = {}
        for s in walk(tuple(body)):
            match s:
                case Load(temp=t) | Let(temp=t) | LetIndex(temp=t):
                    temps[t.name] = Temp(self.fresh(t.name), t.dtype)
                    env[t.name] = Dim.of(temps[t.name].name)
                case Alloc(buffer=b):
                    buffers[b.name] = replace(b, name=self.fresh(b.name))
                case For(var=v):
                    loops[v] = self.fresh(v)
                    env[v] = Dim.of(loops[v])
        renaming = Renaming(env, temps, buffers)

        def each(s: Stmt) -> Stmt:
            new = renaming.apply(s)
            return replace(new, var=loops[new.var]) if isinstance(new, For) else new

        return self.rewrite(body, each)

    def done(
        self,
        old: For,
        new: tuple[Stmt, ...],
        first: tuple[Stmt, ...] = (),
    ) -> tuple[Kernel, Forward]:
        """The new kernel, with a loop replaced by statements and `first` put before everything."""
        return self.finish(replace(self.kernel, body=first + self._replaced(self.kernel.body, old, new)))

    def _replaced(self, body: tuple[Stmt, ...], old: For, new: tuple[Stmt, ...]) -> tuple[Stmt, ...]:
        result: list[Stmt] = []
        for s in body:
            if s is old:
                result.extend(new)
            elif isinstance(s, For):
                inner = self._replaced(s.body, old, new)
                result.append(s if same(inner, s.body) else self.derive(replace(s, body=inner), s))
            else:
                result.append(s)
        return tuple(result)

    def finish(self, new: Kernel) -> tuple[Kernel, Forward]:
        """The forward map to a kernel whose statements are old ones or derived ones."""
        return new, Forward(lambda: self._lines(new), lambda var: self._loops(new, var))

    def _sources(self, s: Stmt) -> Iterator[Stmt]:
        """A statement and all that it was derived from."""
        todo, seen = [s], {id(s)}
        while todo:
            current = todo.pop()
            yield current
            for o in self._origin.get(id(current), ()):
                if id(o) not in seen:
                    seen.add(id(o))
                    todo.append(o)

    def _lines(self, new: Kernel) -> tuple[tuple[int, ...], ...]:
        old_lines: dict[int, list[int]] = {}
        for n, (_, s) in enumerate(kernel_lines(self.kernel)):
            if s is not None:
                old_lines.setdefault(id(s), []).append(n)
        forward: list[set[int]] = [set() for _ in kernel_lines(self.kernel)]
        forward[0].add(0)
        for n, (text, s) in enumerate(kernel_lines(new)):
            if s is None:
                continue
            lines = [line for o in self._sources(s) for line in old_lines.get(id(o), ())]
            if not lines:
                raise InternalError(f"{self.step} does not say where `{text.strip()}` comes from")
            for line in lines:
                forward[line].add(n)
        return tuple(tuple(sorted(f)) for f in forward)

    def _loops(self, new: Kernel, var: str) -> tuple[str, ...]:
        old = self.loop(var)
        return tuple(
            s.var for s in walk(new.body) if isinstance(s, For) and any(o is old for o in self._sources(s))
        )


def same(a: Sequence[Stmt], b: Sequence[Stmt]) -> bool:
    """Whether two bodies consist of the same objects."""
    return len(a) == len(b) and all(x is y for x, y in zip(a, b, strict=True))


def shape_names(b: Buffer) -> tuple[str, ...]:
    return tuple(n for d in b.shape for n in names(d))


def declared(s: Stmt) -> tuple[str, ...]:
    """The names that a statement introduces."""
    match s:
        case Load(temp=t) | Let(temp=t) | LetIndex(temp=t):
            return (t.name,)
        case Alloc(buffer=b):
            return (b.name,)
        case For(var=v):
            return (v,)
    return ()


def rename_apart(kernel: Kernel) -> tuple[Kernel, Forward]:
    """Give every loop its own variable, and every temporary and local buffer its own name.

    Before: `for i … ; for i …`      after: `for i … ; for i_2 …`
    """
    edit = Edit(kernel, "rename apart")
    taken = {n for p in kernel.parameters for n in (p.buffer.name, *shape_names(p.buffer))}
    return edit.finish(replace(kernel, body=_apart(edit, taken, kernel.body)))


def _apart(edit: Edit, taken: set[str], body: tuple[Stmt, ...]) -> tuple[Stmt, ...]:
    """The statements with names that are not taken yet, and are now."""
    result: list[Stmt] = []
    for s in body:
        if isinstance(s, For):
            own = _names_of(s)
            if taken.intersection(own):
                (fresh,) = edit.duplicate((s,), {})
                assert isinstance(fresh, For)
                s, own = fresh, _names_of(fresh)
            if len(set(own)) == len(own):
                taken.update(own)
            else:
                taken.add(s.var)
                inner = _apart(edit, taken, s.body)
                s = s if inner is s.body else edit.derive(replace(s, body=inner), s)
        else:
            taken.update(declared(s))
        result.append(s)
    return body if same(result, body) else tuple(result)


def _names_of(loop: For) -> list[str]:
    return [n for s in walk((loop,)) for n in declared(s)]
