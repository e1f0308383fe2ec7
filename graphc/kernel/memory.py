"""The memory plan: every temporary of a program gets a place in one arena.

A temporary lives from the call that writes it to the last call that reads it; places of dead ones are used
again.  Sizes depend on named dimensions, so a plan is made for each binding of them (and kept).

>>> from graphc.ir.types import DType
>>> from graphc.kernel.ir import Kernel
>>> from graphc.kernel.program import Call, ProgramBuffer
>>> def call(*k): return Call(Kernel("k", (), ()), k, 0, 0)
>>> temps = [ProgramBuffer(f"v{k}", DType.F32, (32,), "temp") for k in range(3)]
>>> plan(Program("p", tuple(temps), (call(0), call(0, 1), call(1, 2), call(2))), {}, ())
Plan(offsets={0: 0, 1: 128, 2: 0}, scratch=(), size=256)
"""

from __future__ import annotations

import itertools
import math
from bisect import insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from graphc.ir.dims import Index, evaluate
from graphc.kernel.program import Branch, Call, Program, ProgramBuffer, Repeat, Step, parts_of

ALIGNMENT = 64
"""Bytes: a cache line, and the widest vector."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Byte offsets into the arena: of program buffers by position, and of scratch buffers in order."""

    offsets: dict[int, int]
    scratch: tuple[int, ...]
    size: int


@dataclass(slots=True)
class _Timeline:
    """Moments of a program: one for each call, and one for each look at a truth value."""

    program: Program
    now: int = 0
    calls: list[int] = field(default_factory=list)  # when each call is made, in the order of `program.calls`
    touched: dict[int, list[int]] = field(default_factory=dict)  # when each temporary is
    loops: list[tuple[int, int]] = field(default_factory=list)  # (first, last) moment, inner loops first

    def touch(self, *positions: int) -> None:
        for position in positions:
            if self.program.buffers[position].role == "temp":
                self.touched.setdefault(position, []).append(self.now)
        self.now += 1

    def walk(self, steps: Sequence[Step]) -> None:
        for step in steps:
            if isinstance(step, Call):
                self.calls.append(self.now)
                self.touch(*step.arguments)
                continue
            start = self.now
            if isinstance(step, Branch):
                self.touch(step.flag)
            for k, part in enumerate(parts_of(step)):
                self.walk(part)
                if isinstance(step, Repeat) and k == 0:
                    self.touch(step.flag)
            if not isinstance(step, Branch) and self.now > start:
                self.loops.append((start, self.now - 1))


def lifetimes(program: Program) -> tuple[dict[int, tuple[int, int]], tuple[int, ...]]:
    """For each temporary the first and the last moment at which it is touched; the moment of each call.

    A temporary that is touched both inside and outside of a loop lives through all of the loop: its value must
    outlive each turn.
    """
    line = _Timeline(program)
    line.walk(program.steps)
    found: dict[int, tuple[int, int]] = {}
    for position, moments in line.touched.items():
        first, last = moments[0], moments[-1]
        for start, end in line.loops:
            if first < start <= last or first <= end < last:
                first, last = min(first, start), max(last, end)
        found[position] = first, last
    return found, tuple(line.calls)


def room(buffer: ProgramBuffer, dims: Mapping[str, int]) -> int:
    """The bytes that a buffer needs, where an axis of no elements counts as one.

    An index that lies outside of an axis is clamped to its place 0, which is read (or has 0 added to it) without
    any effect: there must be memory, even where N is 0.
    """
    return math.prod(max(1, evaluate(d, dims)) for d in buffer.shape) * buffer.dtype.size


def plan(program: Program, dims: Mapping[str, int], scratch: Sequence[tuple[int, Index]]) -> Plan:
    """Offsets for one binding of the named dimensions.

    `scratch` are (call, bytes) of buffers that live during one call only.  The quick way is taken where it comes
    near to what lives at once, else the best of three.
    """
    found, moments = lifetimes(program)
    lives: list[_Life] = []
    for k, (first, last) in found.items():
        lives.append(_Life(first, last, _whole_lines(room(program.buffers[k], dims)), ("buffer", k)))
    for k, (call, size) in enumerate(scratch):
        lives.append(
            _Life(moments[call], moments[call], _whole_lines(max(1, evaluate(size, dims))), ("scratch", k))
        )
    places, top = _by_birth(lives)
    if top > _NEAR * _at_once(lives) and len(lives) <= _MANY:
        longest = _in_gaps(sorted(lives, key=lambda x: (-x.size * (x.last + 1 - x.first), x.key)))
        largest = _in_gaps(sorted(lives, key=lambda x: (-x.size, x.first, x.key)))
        places, top = min((places, top), largest, longest, key=lambda found: found[1])
    return Plan(
        {key[1]: o for key, o in sorted(places.items()) if key[0] == "buffer"},
        tuple(places["scratch", k] for k in range(len(scratch))),
        top,
    )


_NEAR, _MANY = 1.02, 1000
_Key: TypeAlias = tuple[str, int]


@dataclass(frozen=True, slots=True)
class _Life:
    """From the first moment to the last one, both included."""

    first: int
    last: int
    size: int
    key: _Key


def _whole_lines(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _at_once(lives: Sequence[_Life]) -> int:
    """The most bytes that live at one moment: no plan needs less."""
    changes = sorted([(x.first, x.size) for x in lives] + [(x.last + 1, -x.size) for x in lives])
    return max(itertools.accumulate(size for _, size in changes), default=0)


def _in_gaps(lives: Sequence[_Life]) -> tuple[dict[_Key, int], int]:
    """Each in the narrowest gap between those before it in the list that live while it does."""
    placed: list[tuple[int, _Life]] = []  # sorted by offset
    for x in lives:
        best: tuple[int, int] | None = None  # (bytes, offset) of a gap
        end = 0
        for offset, other in placed:
            if other.first <= x.last and x.first <= other.last:
                gap = offset - end
                if gap >= x.size and (best is None or gap < best[0]):
                    best = gap, end
                end = max(end, offset + other.size)
        insort(placed, (end if best is None else best[1], x), key=lambda place: place[0])
    return {x.key: o for o, x in placed}, max((o + x.size for o, x in placed), default=0)


def _by_birth(lives: Sequence[_Life]) -> tuple[dict[_Key, int], int]:
    """In the order of the program, each in the narrowest hole that dead ones leave: quick for any number."""
    holes: list[tuple[int, int]] = []  # (offset, size), sorted, never adjacent
    ending: list[tuple[int, int, int]] = []  # (last moment, offset, size), sorted
    places: dict[_Key, int] = {}
    top = 0
    # Larger first among those born together, so that small ones fill the holes.
    for x in sorted(lives, key=lambda x: (x.first, -x.size, x.key)):
        while ending and ending[0][0] < x.first:
            _, offset, size = ending.pop(0)
            _release(holes, offset, size)
        fitting = [h for h in holes if h[1] >= x.size]
        if fitting:
            hole = min(fitting, key=lambda h: (h[1], h[0]))
            holes.remove(hole)
            if hole[1] > x.size:
                insort(holes, (hole[0] + x.size, hole[1] - x.size))
            places[x.key] = hole[0]
        elif holes and holes[-1][0] + holes[-1][1] == top:  # the last hole grows
            places[x.key] = holes.pop()[0]
            top = places[x.key] + x.size
        else:
            places[x.key], top = top, top + x.size
        insort(ending, (x.last, places[x.key], x.size))
    return places, top


def _release(holes: list[tuple[int, int]], offset: int, size: int) -> None:
    """Give a place back, merged with the holes beside it."""
    for h in list(holes):
        if h[0] + h[1] == offset:
            holes.remove(h)
            offset, size = h[0], h[1] + size
        elif offset + size == h[0]:
            holes.remove(h)
            size += h[1]
    insort(holes, (offset, size))
