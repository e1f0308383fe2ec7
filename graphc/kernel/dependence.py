"""Level 5, dependence: which iterations of a loop may run in another order, or at once.

Two accesses of one buffer *meet* where they may touch the same element.  A loop *separates* the accesses of a
buffer if no two of its iterations meet; `add=`, `fma=`, `dot=`, `max=`, `min=` and `mul=` may meet, since their
order is free by the meaning of `Accumulate`.

>>> from graphc.kernel.ir import DType, Literal
>>> y, i = Buffer("y", DType.F32, (64,)), Dim.of("i")
>>> one = Literal(1.0, DType.F32)
>>> carried(For("i", 0, 32, (Store(y, (2 * i,), one), Store(y, (2 * i + 1,), one))))
>>> carried(For("i", 0, 32, (Store(y, (2 * i,), one), Store(y, (2 * i + 2,), one))))
'two iterations may meet at y[2*i+2]'
>>> rows = For("r", 0, 8, (Store(y, (8 * Dim.of("r") + 2 * i,), one),))
>>> carried(For("i", 0, 4, (rows,))), carried(For("i", 0, 5, (rows,)))
(None, 'two iterations may meet at y[2*i+8*r]')
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from graphc.ir.dims import Dim, Index, coefficient, names, substitute
from graphc.ir.types import shape_text
from graphc.kernel.ir import Accumulate, Alloc, Buffer, For, Let, LetIndex, Load, Stmt, Store, Temp, walk
from graphc.kernel.ranges import Bounds, least, most, nonnegative


@dataclass(frozen=True, slots=True)
class Access:
    """One place where a buffer is read or written, and the ranges of the loops around it (within a body)."""

    stmt: Load | Store | Accumulate
    bounds: Bounds

    @property
    def buffer(self) -> Buffer:
        return self.stmt.buffer

    @property
    def index(self) -> tuple[Index, ...]:
        return self.stmt.index

    @property
    def kind(self) -> str:
        """`load`, `store`, or the family of an accumulation."""
        match self.stmt:
            case Load():
                return "load"
            case Store():
                return "store"
            case Accumulate(combining=op):
                return op

    def __str__(self) -> str:
        return f"{self.buffer.name}{shape_text(self.index)}"


def accesses(body: Iterable[Stmt], bounds: Bounds | None = None) -> Iterator[Access]:
    """All accesses of a body, in order, with the loops around each."""
    outer = dict(bounds or {})
    stack: list[tuple[Stmt, dict[str, tuple[Index, Index]]]] = [(s, outer) for s in body]
    stack.reverse()
    while stack:
        s, around = stack.pop()
        if isinstance(s, Load | Store | Accumulate):
            yield Access(s, around)
        elif isinstance(s, For):
            inner = {**around, s.var: (s.lo, s.hi)}
            stack.extend((t, inner) for t in reversed(s.body))


def assigned(body: Iterable[Stmt]) -> frozenset[str]:
    """The temporaries that a body assigns."""
    return frozenset(s.temp.name for s in walk(tuple(body)) if isinstance(s, Load | Let | LetIndex))


def varying(body: Iterable[Stmt], var: str) -> frozenset[str]:
    """The temporaries of a body that may differ between values of a variable (in order of assignment)."""
    found: set[str] = set()
    for s in walk(tuple(body)):
        match s:
            case Load(temp=t, index=index):
                used = {n for e in index for n in names(e)}
            case LetIndex(temp=t, index=i):
                used = set(names(i))
            case Let(temp=t, args=args):
                used = {a.name for a in args if isinstance(a, Temp)}
            case _:
                continue
        if var in used or used & found:
            found.add(t.name)
    return frozenset(found)


def local(body: Iterable[Stmt]) -> frozenset[str]:
    """The buffers that live inside a body."""
    return frozenset(s.buffer.name for s in walk(tuple(body)) if isinstance(s, Alloc))


def reduction(group: list[Access]) -> bool:
    """Whether a buffer is only accumulated into, in one way: then the order of all accesses is free."""
    kinds = {a.kind for a in group}
    return len(kinds) == 1 and not kinds & {"load", "store"}


def separates(var: str, group: list[Access], inside: frozenset[str], span: tuple[Index, Index]) -> bool:
    """Whether accesses at different values of `var` never meet, by one axis of the index.

    On that axis every index is c·var + rest, and the rests spread over less than c; or they do so but for
    multiples of an m that c·var + rest does not reach over the `span` of var: 128·row + 32·var + lane, var < 4.
    `inside` are temporaries of the loop's body, about which nothing is known.
    """
    some = _nonempty(group[0].buffer)
    for axis in range(len(group[0].index)):
        slopes = {coefficient(a.index[axis], var) for a in group}
        slope = slopes.pop()
        if slopes or slope is None or slope == 0:
            continue
        if not nonnegative(slope):
            slope = -1 * slope
            if not nonnegative(slope):
                continue
        indices = [a.index[axis] - coefficient_of(a.index[axis], var) * Dim.of(var) for a in group]
        if any(inside.intersection(names(rest)) for rest in indices):
            continue
        lo, hi = span
        constant = isinstance(lo, int) and isinstance(hi, int)
        for m in (0, *(_moduli(indices, slope) if constant else ())):
            gaps = _gaps([(_without(rest, m), a.bounds) for rest, a in zip(indices, group, strict=True)])
            room = [slope - 1 - gap for gap in gaps]
            if m:
                room += [m - 1 - gap - slope * (hi - 1 - lo) for gap in gaps]
            if gaps and all(nonnegative(substitute(r, some)) for r in room):
                return True
    return False


def _moduli(indices: Iterable[Index], slope: Index) -> list[int]:
    """The constant factors of terms that are larger than the slope, the largest first."""
    terms = [(atoms, c) for i in indices if isinstance(i, Dim) for atoms, c in i.terms]
    return sorted({c for atoms, c in terms if atoms and isinstance(slope, int) and c > slope}, reverse=True)


def _without(index: Index, m: int) -> Index:
    """The index without its terms that are variables times a multiple of m; all of it for 0.

    >>> i, j = Dim.of("i"), Dim.of("j")
    >>> _without(256 * i + 32 * j + 128, 128)
    32*j+128
    """
    if not m or isinstance(index, int):
        return index
    kept: Index = 0
    for atoms, c in index.terms:
        if not atoms or c % m:
            kept = kept + (Dim(((atoms, c),)) if atoms else c)
    return kept


def _gaps(rests: list[tuple[Index, Bounds]]) -> list[Index]:
    """How far the values of any two may be apart; nothing where that is not known."""
    ends = [(least(rest, bounds), most(rest, bounds)) for rest, bounds in rests]
    gaps: list[Index] = []
    for _, high in ends:
        for low, _ in ends:
            if low is None or high is None:
                return []
            gaps.append(high - low)
    return gaps


def _nonempty(buffer: Buffer) -> dict[str, Index]:
    """N → N+1 for each factor N of the buffer's size: where it is 0, no element is there to meet at.

    >>> from graphc.kernel.ir import DType
    >>> _nonempty(Buffer("y", DType.F32, (2, 17 * Dim.of("N"))))
    {'N': N+1}
    """
    whole = [size.terms[0][0] for size in buffer.shape if isinstance(size, Dim) and len(size.terms) == 1]
    return {atom: Dim.of(atom) + 1 for atoms in whole for atom in atoms if isinstance(atom, str)}


def coefficient_of(index: Index, var: str) -> Index:
    """The coefficient, where it is known to exist."""
    c = coefficient(index, var)
    return 0 if c is None else c


def groups(body: Iterable[Stmt], bounds: Bounds | None = None) -> dict[str, list[Access]]:
    """The accesses of each buffer that a body writes and that outlives it."""
    body = tuple(body)
    own = local(body)
    result: dict[str, list[Access]] = {}
    for a in accesses(body, bounds):
        if a.buffer.name not in own:
            result.setdefault(a.buffer.name, []).append(a)
    return {name: g for name, g in result.items() if any(a.kind != "load" for a in g)}


def carried(loop: For, *, sums: bool = False) -> str | None:
    """Why the iterations of a loop are not independent, else None; `sums` lets accumulations pass."""
    inside = assigned(loop.body)
    for group in groups(loop.body).values():
        if sums and reduction(group):
            continue
        if not separates(loop.var, group, inside, (loop.lo, loop.hi)):
            culprit = max(group, key=lambda a: a.kind != "load")
            last = [a for a in group if a.kind == culprit.kind][-1]
            return f"two iterations may meet at {last}"
    return None


def lockstep(loop: For) -> str | None:
    """Why the iterations of a loop cannot run in the lanes of a vector, else None.

    Lanes may accumulate into one cell, the same for all of them; not into cells that data select, since two
    lanes could select the same one.
    """
    moving = varying(loop.body, loop.var) | {loop.var}
    inside = assigned(loop.body)
    for group in groups(loop.body).values():
        still = all(moving.isdisjoint(names(e)) for a in group for e in a.index)
        if not (reduction(group) and still) and not separates(loop.var, group, inside, (loop.lo, loop.hi)):
            return f"two iterations may meet at {group[-1]}"
    return None


def interchange(outer: For, inner: For) -> str | None:
    """Why two perfectly nested loops cannot change places, else None.

    A dependence that is carried by both loops, in opposite directions, would be turned round; there is none
    if either loop separates all accesses of a buffer for every value of the other.
    """
    inside = assigned(inner.body)
    ranges = {outer.var: (outer.lo, outer.hi), inner.var: (inner.lo, inner.hi)}
    for group in groups(inner.body).values():
        if reduction(group):
            continue
        for var, other in ((inner.var, outer.var), (outer.var, inner.var)):
            wide = [Access(a.stmt, {other: ranges[other], **a.bounds}) for a in group]
            if separates(var, wide, inside, ranges[var]):
                break
        else:
            return f"two iterations may meet at {group[-1]}"
    return None
