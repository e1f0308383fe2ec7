"""Findings: what the linter says, in the form of an error, and nothing stops.

```
warning: dead-gradient: the gradient by `w` is zero everywhere
  model.py:4   loss = gc.mean(gc.floor(x * w))
                              ^^^^^^^^^^^^^^^
  why: every path from it to the loss goes through floor, whose slope is 0
  fix: ...
```

A `warning` is a mistake as far as the graph tells; a `note` is true, and may be what was meant.

>>> print(Findings([]))
no findings
>>> print(Finding("unused-input", "warning", None, None, "the input `t` is not used", fix="leave it out"))
warning: unused-input: the input `t` is not used
  fix: leave it out
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, overload

from graphc.errors import GraphcError, Loc
from graphc.ir.node import Node

Severity = Literal["warning", "note"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that the linter found: its name, the node and the user's line, and what, why and fix."""

    name: str
    severity: Severity
    node: Node | None
    where: Loc | None
    what: str
    why: str = ""
    fix: str = ""

    def __str__(self) -> str:
        text = GraphcError(self.what, where=self.where, why=self.why, fix=self.fix)
        return f"{self.severity}: {self.name}: {text}"


class Findings(Sequence[Finding]):
    """A list of findings that prints itself; empty, and so false, where nothing was found."""

    def __init__(self, found: Iterable[Finding]) -> None:
        self._found = tuple(found)

    @overload
    def __getitem__(self, key: int) -> Finding: ...
    @overload
    def __getitem__(self, key: slice) -> Findings: ...
    def __getitem__(self, key: int | slice) -> Finding | Findings:
        return Findings(self._found[key]) if isinstance(key, slice) else self._found[key]

    def __len__(self) -> int:
        return len(self._found)

    @property
    def names(self) -> list[str]:
        """The name of each finding, in order."""
        return [f.name for f in self._found]

    @property
    def warnings(self) -> Findings:
        """The findings that are more than notes."""
        return Findings(f for f in self._found if f.severity == "warning")

    def __str__(self) -> str:
        return "\n\n".join(map(str, self._found)) or "no findings"

    __repr__ = __str__


def called(n: Node) -> str:
    """What a text calls a node: an input or a parameter by its name, all else by its operation and type."""
    title = getattr(n.op, "title", "")
    return f"`{title}`" if title else f"{n.op.label} ({n.type})"
