"""Level 4, fusion: an order in which the clusters of a cover can run, kept up while clusters are merged.

Two clusters may become one unless a third one lies between them: reads the first, and is read by the last.  The
ranks say where it need not be looked for: whatever a cluster reads has a lower one, at every moment.  After a merge
only those change places that were found between the two ranks (Pearce and Kelly, JEA 11, 2006):

    rank     1      2   3   4     5                  2   3    4          5
    before   first  p   q   last  r       after      p   last+first  q   r       where q reads first, p feeds last

>>> import graphc as gc
>>> from graphc.passes.fuse import Cluster, storage
>>> x = gc.input("x", 3)
>>> a = x * 2; b = gc.sum(a); y = a + b
>>> graph = Graph("f", (x.node,), (y.node,))
>>> ca, cb, cy = Cluster([a.node]), Cluster([b.node], inputs=[a.node]), Cluster([y.node], inputs=[a.node, b.node])
>>> order = ClusterOrder(graph, {a.node: ca, b.node: cb, y.node: cy}, storage)
>>> order.merge(ca, cy), order.merge(ca, cb)        # the sum lies between a and y
(False, True)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from graphc.ir.graph import Graph
from graphc.ir.node import Node

if TYPE_CHECKING:
    from graphc.passes.fuse import Cluster

_SEARCHED = 500
"""Clusters to look at before two are left apart."""


class ClusterOrder:
    """The rank of every cluster; `owner` maps the stored nodes to their clusters, and follows the merges.

    `storage` gives the node whose buffer holds a node: for a reshape its operand's.
    """

    def __init__(self, graph: Graph, owner: Mapping[Node, Cluster], storage: Callable[[Node], Node]) -> None:
        self._graph, self._owner, self._storage = graph, owner, storage
        self._ranks = {id(c): k for k, c in enumerate(owner.values())}

    def merge(self, first: Cluster, last: Cluster) -> bool:
        """Whether `first` may be computed by `last`, which reads it; if so, `last` has the place of both."""
        low, high = self._ranks[id(first)], self._ranks[id(last)]
        after = self._found(first, last, self.readers, lambda rank: rank < high)
        if after is None:
            return False
        before = self._found(last, first, self._needed, lambda rank: rank > low)
        if before is None:
            return False
        order = [*sorted(before, key=self.rank), last, *sorted(after, key=self.rank)]
        places = sorted(map(self.rank, order))  # all of them above that of `first`
        self._ranks.update(zip(map(id, order), places, strict=True))
        return True

    def rank(self, c: Cluster) -> int:
        """Lower than that of all clusters that read from it."""
        return self._ranks[id(c)]

    def _found(
        self,
        start: Cluster,
        end: Cluster,
        step: Callable[[Cluster], Iterable[Cluster]],
        inside: Callable[[int], bool],
    ) -> list[Cluster] | None:
        """The clusters that steps from `start` reach within the ranks; None if some way of two steps leads to
        `end`, or the search is too long."""
        found: dict[int, Cluster] = {}
        stack = [start]
        while stack:
            c = stack.pop()
            for other in step(c):
                if other is end:
                    if c is not start:
                        return None
                elif id(other) not in found and inside(self._ranks[id(other)]):
                    found[id(other)] = other
                    stack.append(other)
            if len(found) > _SEARCHED:
                return None
        return list(found.values())

    def _needed(self, cluster: Cluster) -> list[Cluster]:
        """The clusters whose results a cluster reads."""
        makers = (self._owner.get(self._storage(x)) for x in cluster.inputs)
        found = {id(c): c for c in makers if c is not None}
        found.pop(id(cluster), None)
        return list(found.values())

    def readers(self, cluster: Cluster, stored: Iterable[Node] | None = None) -> list[Cluster]:
        """The other clusters that read what a cluster stores (or other nodes), through whatever they compute
        inside."""
        found: dict[int, Cluster] = {}
        stack = list(cluster.roots if stored is None else stored)
        seen = set(stack)
        while stack:
            n = stack.pop()
            for u in self._graph.users[n]:
                reader = self._owner.get(u)
                if reader is not None:
                    if reader is not cluster:
                        found.setdefault(id(reader), reader)
                elif u not in seen:
                    seen.add(u)
                    stack.append(u)
        return list(found.values())
