"""How many threads the next call uses: all of them while they pay, one while the machine is busy elsewhere.

A team of threads is as fast as its slowest member.  Where other processes want the same cores, a member may
wait for milliseconds until it runs at all, and a call of half a millisecond takes a hundred times as long.
So calls are timed.  One that takes longer than its work can explain is compared with a call on one thread,
and where that is faster, threads rest for `PATIENCE` times what they lost: at most 1/PATIENCE of the time is
wasted.  Results do not depend on it, since iterations of a parallel loop are independent.

>>> pace = Pace(threads=2, seconds=lambda dims: 0.001)
>>> def call(now: float, took: float) -> int:
...     threads = pace.threads((64,), now)
...     pace.note((64,), threads, took, now)
...     return threads
>>> [call(0.0, 0.0006), call(0.1, 0.050), call(0.2, 0.001), call(0.3, 0.050)]    # the second one stalls
[2, 2, 1, 2]
>>> [call(0.4, 0.001), call(1.2, 0.001), call(1.4, 0.0006)]     # 49 ms were lost, so 0.98 s of rest
[1, 1, 2]
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

PATIENCE = 20
_LIMIT = 256  # sizes that are remembered


@dataclass(slots=True)
class _State:
    """What is known of calls of one size; times in seconds."""

    expected: float  # on one thread; 0 where there is too little work for threads
    alone: float = 0.0  # as measured on one thread; 0 where it was not
    suspicious: bool = False  # a call took longer than expected: one thread is to be measured
    resting_until: float = 0.0


class Pace:
    """Chooses the threads of each call; see the module.

    `seconds(dims)` estimates a call on one thread, and is 0 where the call has no work for threads.
    """

    def __init__(self, threads: int, seconds: Callable[[tuple[int, ...]], float]) -> None:
        self._threads, self._seconds = threads, seconds
        self._states: dict[tuple[int, ...], _State] = {}

    def threads(self, dims: tuple[int, ...], now: float) -> int:
        """The threads for a call that starts now."""
        state = self._states.get(dims)
        if state is None:
            if len(self._states) >= _LIMIT:
                self._states.clear()
            state = self._states[dims] = _State(self._seconds(dims))
        if state.expected == 0.0 or now < state.resting_until or (state.suspicious and not state.alone):
            return 1
        return self._threads

    def limit(self, dims: tuple[int, ...], now: float) -> float:
        """While calls use all threads: the seconds after which one is to be noted.  Else 0: ask for each call."""
        state = self._states.get(dims)
        if state is None or now < state.resting_until or (state.suspicious and not state.alone):
            return 0.0
        return state.alone or state.expected

    def note(self, dims: tuple[int, ...], threads: int, took: float, now: float, calls: int = 1) -> None:
        """A call on so many threads took so long, or each of several in a row; the last one ended now."""
        state = self._states.get(dims)
        if state is None or state.expected == 0.0:
            return
        if threads == 1:
            state.alone = took if not state.alone else 0.75 * state.alone + 0.25 * took
        elif not state.alone:
            state.suspicious = took > state.expected
        elif took > state.alone:
            state.resting_until = now + PATIENCE * calls * (took - state.alone)
