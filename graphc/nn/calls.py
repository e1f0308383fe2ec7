"""Which layer made which node: what a model reads to list its layers.

A layer is applied to a tensor and gives a tensor; the graph underneath knows nothing of layers.  This record
keeps, for each node that a layer returned, the call that returned it.  The names of layers are counted from
the input on that they follow, so that the same program gives the same names however often it runs.

>>> from graphc.ir.node import toposort
>>> from graphc.nn import Dense, Input
>>> h = Dense(3)(Dense(4)(Input(2)))
>>> [c.layer.name for n in toposort([h.node]) for c in calls_of(n)]
['dense_1', 'dense_2']
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from graphc.ir.node import Node

if TYPE_CHECKING:
    from graphc.nn.layers.layer import Layer


@dataclass(frozen=True, slots=True)
class Call:
    """One application of a layer.

    `sources` is what it was applied to, less what it returned as it was; `inference` what takes the place of its
    result when a model only predicts, None where that is the result itself; `observed` what it keeps of a batch.
    """

    layer: Layer
    sources: tuple[Node, ...]
    inference: Node | None
    observed: tuple[Node, ...]


class Scope:
    """Counts the names that have been given away, by kind of layer."""

    __slots__ = ("__weakref__", "counts")

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def fresh(self, kind: str) -> str:
        """dense_1, dense_2, ..."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        return f"{kind}_{self.counts[kind]}"


# A value must never refer to its key, or neither would ever be freed: a call leaves out the key itself.
_calls: weakref.WeakKeyDictionary[Node, tuple[Call, ...]] = weakref.WeakKeyDictionary()
_scopes: weakref.WeakKeyDictionary[Node, Scope] = weakref.WeakKeyDictionary()
_unscoped = Scope()


def calls_of(n: Node) -> tuple[Call, ...]:
    """The calls that returned this node, in order: usually one or none."""
    return _calls.get(n, ())


def record(
    layer: Layer,
    sources: Sequence[Node],
    result: Node,
    inference: Node | None = None,
    observed: Sequence[Node] = (),
) -> None:
    """Remember that a layer, applied to `sources`, returned `result`."""
    others = tuple(s for s in sources if s is not result)
    call = Call(layer, others, None if inference is result else inference, tuple(observed))
    if call not in calls_of(result):
        _calls[result] = (*calls_of(result), call)
    _scopes[result] = scope_of(sources)


def scope_of(sources: Sequence[Node]) -> Scope:
    """The scope of names that nodes belong to: that of the first input above them."""
    seen = set(sources)
    stack = list(reversed(sources))
    while stack:
        n = stack.pop()
        if n in _scopes:
            return _scopes[n]
        if n.op.name == "input":
            return _scopes.setdefault(n, Scope())
        for s in reversed(n.src):
            if s not in seen:
                seen.add(s)
                stack.append(s)
    return _unscoped
