"""The log of a compilation: what each pass did, in order.

>>> log = Log()
>>> log.add("algebra", "mul-one", "%3 → %1", equation="x·1 = x")
>>> print(log)
algebra: mul-one: %3 → %1   (x·1 = x)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

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

    def __iter__(self) -> Iterator[Event]:
        return iter(self.events)

    def __len__(self) -> int:
        return len(self.events)

    def __str__(self) -> str:
        return "\n".join(map(str, self.events))
