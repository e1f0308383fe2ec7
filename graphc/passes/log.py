"""The log of a compilation: what each pass did, in order.

Nodes are named as the text form of the graph names them (`%3`); a node that a pass made takes the next number
when it is first spoken of.

>>> log = Log()
>>> log.add("algebra", "mul-one", "%3 mul → %1", equation="x·1 = x")
>>> print(log)
algebra: mul-one: %3 mul → %1   (x·1 = x)
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from graphc.ir.graph import Graph
from graphc.ir.node import Node


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that one pass did: a rewrite with its rule and equation, a merge, a fusion, a removal."""

    pass_name: str
    rule: str
    text: str
    equation: str = ""
    before: tuple[Node, ...] = ()
    after: tuple[Node, ...] = ()

    def __str__(self) -> str:
        equation = f"   ({self.equation})" if self.equation else ""
        return f"{self.pass_name}: {self.rule}: {self.text}{equation}"


@dataclass(slots=True)
class Log:
    """Events in order, and the seconds that each pass took."""

    events: list[Event] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    _numbers: dict[Node, int] = field(default_factory=dict, repr=False)
    _next: int = field(default=0, repr=False)

    def start(self, graph: Graph) -> None:
        """Name the nodes of a graph as its text form does."""
        self._numbers = dict(graph.numbers)
        self._next = len(self._numbers)

    def name(self, n: Node) -> str:
        """`%3`; a node that is new here takes the next number."""
        if n not in self._numbers:
            self._numbers[n] = self._next
            self._next += 1
        return f"%{self._numbers[n]}"

    def rename(self, old: Node, new: Node) -> None:
        """The same computation over other operands keeps its name."""
        self.name(old)
        self._numbers.setdefault(new, self._numbers[old])

    def add(
        self,
        pass_name: str,
        rule: str,
        text: str,
        *,
        equation: str = "",
        before: tuple[Node, ...] = (),
        after: tuple[Node, ...] = (),
    ) -> None:
        self.events.append(Event(pass_name, rule, text, equation, before, after))

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Add the time that the block takes to a step's seconds."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[step] = self.seconds.get(step, 0.0) + time.perf_counter() - start

    def counts(self) -> dict[str, int]:
        """How often each rule was applied, in the order of its first use."""
        found: dict[str, int] = {}
        for event in self.events:
            found[event.rule] = found.get(event.rule, 0) + 1
        return found

    def __iter__(self) -> Iterator[Event]:
        return iter(self.events)

    def __len__(self) -> int:
        return len(self.events)

    def __str__(self) -> str:
        return "\n".join(map(str, self.events))
