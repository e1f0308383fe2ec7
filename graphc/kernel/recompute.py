"""What is cheap is computed again where it is wanted late, instead of being kept: memory for a little time.

The backward pass of a network reads what the forward pass made.  A temporary is not kept from one call that touches
it to the next one, if

| condition                                                   | why                                           |
|-------------------------------------------------------------|-----------------------------------------------|
| memory is fullest between the two, and the temporary counts | else nothing is gained                        |
| one call writes it, and nothing else                        | that call can be made again                   |
| the call moves its bytes rather than computes               | it costs little                               |
| what the call reads is still there, and as it was           | else something else would have to be kept     |
| all calls made again take a small SHARE of the work         | else memory costs too much time               |

The call is made again just before the late reader, whose caches then hold the result.  No value changes.

>>> from graphc.ir.types import DType
>>> from graphc.kernel.ir import Buffer, Kernel, Parameter
>>> def call(flops, *arguments):
...     accesses = ["in"] * (len(arguments) - 1) + ["out"]
...     given = [Parameter(Buffer(f"p{k}", DType.F32, (LARGE,)), a) for k, a in enumerate(accesses)]
...     return Call(Kernel("k", tuple(given), ()), arguments, flops, 8 * LARGE)
>>> roles = ["input", *["temp"] * 3, "output"]
>>> buffers = tuple(ProgramBuffer(n, DType.F32, (LARGE,), r) for n, r in zip("xabcy", roles, strict=True))
>>> steps = call(0, 0, 1), call(10**12, 1, 2), call(10**12, 2, 3), call(0, 3, 1, 4)
>>> p = recompute(Program("p", buffers, steps), Log())
>>> [" ".join(p.buffers[a].name for a in c.arguments) for c in p.calls]
['x a', 'a b', 'b c', 'x a_again', 'c a_again y']
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from graphc.ir.dims import evaluate
from graphc.kernel.memory import lifetimes, room
from graphc.kernel.program import Call, Program, ProgramBuffer
from graphc.passes.log import Log

LARGE = 1 << 22
"""Bytes: a smaller arena is not worth the trouble."""

SMALL = 1 << 12
"""Bytes that may be kept longer instead: the statistics of channels."""

BYTES_A_FLOP = 0.5
"""Where a call moves more for each operation, memory is what it waits for."""

MOVED = 4.0
"""Bytes that a call may move for each one that is not kept: a pool reads many for a few."""

SHARE = 0.04
"""Of the time of all calls."""

TIME_OF_A_BYTE = 3.0
"""Of memory, in operations of arithmetic at full speed."""

MOST = 100
"""Calls that are made again."""

MEASURE = 64
"""What a named dimension is taken to be."""


def recompute(program: Program, log: Log, *, enabled: bool = True) -> Program:
    """The program with some calls made twice; it gives the same values."""
    if not enabled or not all(isinstance(step, Call) for step in program.steps):
        return program
    dims = dict.fromkeys(program.dims, MEASURE)
    budget = SHARE * sum(_time(c, dims) for c in program.calls)
    for _ in range(MOST):
        found = _Gaps(program, dims).best()
        if found is None:
            break
        position, before, call = found
        budget -= _time(call, dims)
        if budget < 0:
            break
        reader = program.calls[before].kernel.name
        text = f"{program.buffers[position].name} is not kept, but computed again before {reader}"
        log.add("recompute", "again", text, after=call.kernel.nodes[-1:])
        program = _twice(program, position, before, call)
    return program


def _time(call: Call, dims: dict[str, int]) -> float:
    return evaluate(call.flops, dims) + TIME_OF_A_BYTE * evaluate(call.traffic, dims)


class _Gaps:
    """The temporaries of a program, and when they are not touched."""

    def __init__(self, program: Program, dims: dict[str, int]) -> None:
        self.program, self.dims = program, dims
        self.calls: Sequence[Call] = program.calls
        self.lives, _ = lifetimes(program)
        self.size = {k: room(program.buffers[k], dims) for k in self.lives}
        self.touched: dict[int, list[int]] = {}
        self.written: dict[int, list[int]] = {}
        for at, call in enumerate(self.calls):
            for parameter, position in zip(call.kernel.parameters, call.arguments, strict=True):
                self.touched.setdefault(position, []).append(at)
                if parameter.access != "in":
                    self.written.setdefault(position, []).append(at)

    def best(self) -> tuple[int, int, Call] | None:
        """The largest temporary that waits where memory is fullest, the call that it waits for, and its own one."""
        changes = [0] * (len(self.calls) + 1)
        for k, (first, last) in self.lives.items():
            changes[first] += self.size[k]
            changes[last + 1] -= self.size[k]
        full, most, peak = 0, 0, 0
        for at, change in enumerate(changes):
            full += change
            if full > most:
                most, peak = full, at
        if most < LARGE:
            return None
        waiting = [
            k for k, (first, last) in self.lives.items() if first < peak < last and self.size[k] > SMALL
        ]
        for k in sorted(waiting, key=lambda k: (-self.size[k], k)):
            after = next((at for at in self.touched[k] if at >= peak), None)
            maker = self.calls[self.touched[k][0]]
            if after is not None and after > peak and self._repeats(k, after):
                return k, after, maker
        return None

    def _repeats(self, k: int, after: int) -> bool:
        """Whether the call that made a temporary can be made again before another one."""
        made = self.touched[k][0]
        call = self.calls[made]
        outputs = [p for p in call.kernel.parameters if p.access != "in"]
        if len(outputs) != 1 or self.written.get(k) != [made] or call.offsets:
            return False
        traffic = evaluate(call.traffic, self.dims)
        if traffic < BYTES_A_FLOP * evaluate(call.flops, self.dims) or traffic > MOVED * self.size[k]:
            return False
        return all(self._is_there(x, made, after) for x in call.arguments if x != k)

    def _is_there(self, x: int, made: int, after: int) -> bool:
        if any(made < at < after for at in self.written.get(x, ())):
            return False
        return x not in self.lives or self.lives[x][1] >= after or self.size[x] <= SMALL


def _twice(program: Program, position: int, before: int, call: Call) -> Program:
    """The program in which a call is made again, into a buffer of its own that all later calls read."""
    old = program.buffers[position]
    names = {b.name for b in program.buffers}
    title = next(t for k in range(len(names) + 1) if (t := f"{old.name}_again{k or ''}") not in names)
    new, there = ProgramBuffer(title, old.dtype, old.shape, old.role), len(program.buffers)

    def moved(c: Call) -> Call:
        return replace(c, arguments=tuple(there if a == position else a for a in c.arguments))

    calls = program.calls
    steps = (*calls[:before], moved(call), *(moved(c) for c in calls[before:]))
    return replace(program, buffers=(*program.buffers, new), steps=steps)
