"""Level 5, the verifier: what every kernel must satisfy, before and after each schedule step.

| check | what it demands |
|---|---|
| `names` | buffers, temporaries, variables and dimensions differ in name; a temporary is assigned once |
| `scopes` | what a statement uses was defined before it, in a loop body around it |
| `types` | primitives, loads, stores and accumulations get operands of the number and dtype they take |
| `indices` | one index per axis, and no index that is known to leave its axis |
| `writes` | nothing is stored into an `in` parameter |
| `loops` | an unrolled loop has a constant extent; a vector loop fits its lanes and holds no other loop |
| `allocations` | what is allocated belongs to the kernel, threads share no register or stack buffer |
| `parallel` | a parallel loop is outermost or the whole body of one; no two iterations write one element |

A failed check is a fault of graphc, so it raises InternalError with the kernel's name and the line.

>>> from graphc.kernel.ir import DType, Literal, Parameter
>>> x = Buffer("x", DType.F32, (4,))
>>> far = Store(x, (5,), Literal(1.0, DType.F32))
>>> verify(Kernel("k", (Parameter(x, "out"),), (far,)))  # doctest: +ELLIPSIS
Traceback (most recent call last):
...
graphc.errors.InternalError: ... kernel k, line 1, `store x[5], 1.0`: index 5 leaves an axis of length 4
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from graphc.errors import InternalError
from graphc.ir.dims import names
from graphc.ir.types import DType
from graphc.kernel.dependence import carried, lockstep
from graphc.kernel.ir import (
    Accumulate,
    Alloc,
    Atom,
    Buffer,
    For,
    Kernel,
    Kind,
    Let,
    LetIndex,
    Load,
    Space,
    Stmt,
    Store,
    Temp,
    index_expressions,
    walk,
)
from graphc.kernel.ranges import nonnegative, outside
from graphc.ops.scalar import PRIMS


@dataclass(frozen=True, slots=True)
class Scope:
    """What is visible at a statement."""

    loops: tuple[For, ...]
    temps: dict[str, Temp]
    buffers: dict[str, Buffer]


@dataclass(frozen=True, slots=True)
class Place:
    """A statement with its line in the kernel's text (the header is line 0)."""

    kernel: Kernel
    line: int
    stmt: Stmt
    scope: Scope

    def fault(self, why: str) -> InternalError:
        return InternalError(f"kernel {self.kernel.name}, line {self.line}, `{self.stmt}`: {why}")


def verify(kernel: Kernel) -> Kernel:
    """The kernel itself, if it passes all checks; else InternalError."""
    places = list(_places(kernel))
    for check in (names_, scopes, types, indices, writes, loops, allocations, parallel):
        check(kernel, places)
    return kernel


def _places(kernel: Kernel) -> Iterator[Place]:
    parameters = {p.buffer.name: p.buffer for p in kernel.parameters}
    stack: list[tuple[tuple[Stmt, ...], int, Scope]] = [(kernel.body, 0, Scope((), {}, parameters))]
    line = 0
    while stack:
        body, at, scope = stack.pop()
        if at == len(body):
            continue
        s = body[at]
        line += 1
        yield Place(kernel, line, s, scope)
        after = scope
        match s:
            case Alloc(buffer=b):
                after = Scope(scope.loops, scope.temps, {**scope.buffers, b.name: b})
            case Load(temp=t) | Let(temp=t) | LetIndex(temp=t):
                after = Scope(scope.loops, {**scope.temps, t.name: t}, scope.buffers)
        stack.append((body, at + 1, after))
        if isinstance(s, For):
            stack.append((s.body, 0, Scope((*scope.loops, s), scope.temps, scope.buffers)))


def names_(kernel: Kernel, places: list[Place]) -> None:
    taken = set(kernel.dims)
    for p in kernel.parameters:
        if p.buffer.name in taken:
            raise InternalError(f"kernel {kernel.name}: the name {p.buffer.name} is taken")
        taken.add(p.buffer.name)
    once = set(taken)
    for place in places:
        match place.stmt:
            case Alloc(buffer=Buffer(name=name)):
                new, clash = name, name in taken or name in place.scope.buffers
            case Load(temp=t) | Let(temp=t) | LetIndex(temp=t):
                new, clash = t.name, t.name in once
                once.add(new)
            case For(var=var):
                new, clash = var, var in taken or any(f.var == var for f in place.scope.loops)
            case _:
                continue
        if clash:
            raise place.fault(f"the name {new} is taken")


def _atoms(s: Stmt) -> tuple[Atom, ...]:
    match s:
        case Let(args=args) | Accumulate(args=args):
            return args
        case Store(value=value):
            return (value,)
    return ()


def scopes(kernel: Kernel, places: list[Place]) -> None:
    dims = set(kernel.dims)
    for place in places:
        s, scope = place.stmt, place.scope
        for atom in _atoms(s):
            if isinstance(atom, Temp) and scope.temps.get(atom.name) != atom:
                raise place.fault(f"{atom.name} is not defined here")
        if isinstance(s, Load | Store | Accumulate) and scope.buffers.get(s.buffer.name) != s.buffer:
            raise place.fault(f"there is no buffer `{s.buffer}` here")
        variables = dims | {f.var for f in scope.loops}
        for e in index_expressions(s):
            for n in names(e):
                if n in variables:
                    continue
                if n not in scope.temps:
                    raise place.fault(f"the index variable {n} is not defined here")
                if not scope.temps[n].dtype.is_integer:
                    raise place.fault(f"{n} is {scope.temps[n].dtype}, and an index is an integer")


def types(kernel: Kernel, places: list[Place]) -> None:
    for place in places:
        match place.stmt:
            case Load(temp=t, buffer=b):
                _same(place, t.dtype, b.dtype)
            case LetIndex(temp=t):
                if t.dtype is DType.BOOL:
                    raise place.fault("an index is no bool")
            case Let(temp=t, prim=prim, args=args):
                if prim not in PRIMS:
                    raise place.fault(f"there is no primitive {prim}")
                if len(args) != PRIMS[prim].arity:
                    raise place.fault(f"{prim} takes {PRIMS[prim].arity} operands")
                try:
                    result = PRIMS[prim].result(*(a.dtype for a in args))
                except InternalError as error:
                    raise place.fault(str(error)) from error
                _same(place, t.dtype, result)
            case Store(buffer=b, value=v):
                _same(place, v.dtype, b.dtype)
            case Accumulate(buffer=b, op=op, args=args):
                if len(args) != (2 if op in ("fma", "dot") else 1):
                    raise place.fault(f"{op}= has {len(args)} operands")
                if op == "dot":
                    _same(place, b.dtype, DType.F32)
                for a in args:
                    _same(place, a.dtype, DType.BF16X2 if op == "dot" else b.dtype)


def _same(place: Place, a: DType, b: DType) -> None:
    if a is not b:
        raise place.fault(f"{a} meets {b}")


def indices(kernel: Kernel, places: list[Place]) -> None:
    for place in places:
        s = place.stmt
        if not isinstance(s, Load | Store | Accumulate):
            continue
        if len(s.index) != len(s.buffer.shape):
            raise place.fault(f"{len(s.index)} indices for {len(s.buffer.shape)} axes")
        bounds = {f.var: (f.lo, f.hi) for f in place.scope.loops}
        empty = any(isinstance(f.extent, int) and f.extent <= 0 for f in place.scope.loops)
        for e, d in zip(s.index, s.buffer.shape, strict=True):
            if not empty and outside(e, d, bounds):
                raise place.fault(f"index {e} leaves an axis of length {d}")


def writes(kernel: Kernel, places: list[Place]) -> None:
    constant = {p.buffer.name for p in kernel.parameters if p.access == "in"}
    for place in places:
        if isinstance(place.stmt, Store | Accumulate) and place.stmt.buffer.name in constant:
            raise place.fault(f"{place.stmt.buffer.name} is only read")


def loops(kernel: Kernel, places: list[Place]) -> None:
    for place in places:
        s = place.stmt
        if not isinstance(s, For):
            continue
        if s.kind is Kind.UNROLL and not isinstance(s.extent, int):
            raise place.fault(f"the extent {s.extent} of an unrolled loop is not constant")
        if s.kind is Kind.VECTOR:
            if not nonnegative(s.lanes - s.extent):
                raise place.fault(f"{s.extent} iterations are not proved to fit into {s.lanes} lanes")
            if any(isinstance(t, For | Alloc) for t in s.body):
                raise place.fault("a vector loop holds straight-line code only")
            if (why := lockstep(s)) is not None:
                raise place.fault(why)


def parallel(kernel: Kernel, places: list[Place]) -> None:
    for place in places:
        s = place.stmt
        if isinstance(s, For) and s.kind is Kind.PARALLEL:
            if place.scope.loops and not _paired(place.scope.loops, s):
                raise place.fault("a parallel loop is outermost, or the whole body of one that is")
            if (why := carried(s)) is not None:
                raise place.fault(why)


def _paired(around: Sequence[For], inner: For) -> bool:
    """Whether threads share the pairs of iterations of a parallel loop and the loop that is its body."""
    outer = around[0]
    whole = len(around) == 1 and outer.kind is Kind.PARALLEL and outer.body == (inner,)
    return whole and outer.lo == 0 and inner.lo == 0 and outer.var not in names(inner.hi)


def allocations(kernel: Kernel, places: list[Place]) -> None:
    for place in places:
        s = place.stmt
        if isinstance(s, Alloc) and s.buffer.space is Space.MEMORY:
            raise place.fault("the caller's memory is not allocated")
        if isinstance(s, For) and s.kind is Kind.PARALLEL:
            own = {n for n, b in place.scope.buffers.items() if b.space in (Space.REGISTER, Space.STACK)}
            used = {t.buffer.name for t in walk(s.body) if isinstance(t, Load | Store | Accumulate)}
            if shared := sorted(own & used):
                raise place.fault(f"the threads share the local buffer {shared[0]}")
