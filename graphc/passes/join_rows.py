"""Level 4, rows in one pass: clusters that walk over the same rows become one cluster.

A softmax is a maximum, a sum of exponentials and a quotient, one after the other in three kernels, each of
which walks over memory.  All three walk over the same rows, so they are one kernel: a row is read from memory
once, and what the reductions find out about it never leaves the registers.  The same holds for normalisations,
for losses over rows, and for the gradients of all these.

What may become one cluster is a question of loops alone (`graphc.passes.rows`).

>>> import graphc as gc
>>> from graphc.passes.fuse import fuse
>>> from graphc.passes.log import Log
>>> x = gc.input("x", ("N", 64))
>>> [c.text() for c in fuse(Graph("f", (x.node,), (gc.softmax(x).node,)), Log())]
['max+reshape+stop_gradient+expand+sub+exp+sum+reshape+expand+div']
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from graphc.ir.block import BlockOp
from graphc.ir.graph import Graph
from graphc.ir.node import Node
from graphc.ops.reduce import Reduce
from graphc.passes.cluster import LARGEST_CLUSTER, Cluster, in_order, scatters, storage
from graphc.passes.cluster_order import ClusterOrder
from graphc.passes.rows import Rows, places


def join_rows(graph: Graph, owner: dict[Node, Cluster], order: ClusterOrder) -> None:
    """Join clusters around each reduction; `owner` names the cluster that stores a node."""
    for n in graph.nodes:
        cluster = owner.get(n)
        if cluster is None or cluster.rows is not None or cluster.heavy is None:
            continue
        rows = Rows.of(cluster.heavy)
        if rows is not None and places(cluster.nodes, cluster.roots, rows) is not None:
            _grow(graph, owner, order, cluster, rows)
    # What only sums up columns, and is not summed up beside anything else.
    for n in graph.nodes:
        cluster = owner.get(n)
        if cluster is None or cluster.rows is not None or cluster.heavy is None:
            continue
        rows = Rows.summed(cluster.heavy, cluster.roots)
        if rows is not None and places(cluster.nodes, cluster.roots, rows) is not None:
            cluster.rows = rows
            _grow(graph, owner, order, cluster, rows)


def _grow(
    graph: Graph, owner: dict[Node, Cluster], order: ClusterOrder, cluster: Cluster, rows: Rows
) -> None:
    refused: set[int] = set()
    while True:
        other = next((c for c in _near(graph, owner, order, cluster, rows) if id(c) not in refused), None)
        if other is None:
            break
        first, last = sorted((cluster, other), key=order.rank)
        wider = _fitting(graph, cluster, other, rows)
        if wider is not None and order.merge(first, last):
            _absorb(graph, owner, last, first)
            cluster, rows = last, wider
            cluster.rows = rows
            refused.clear()  # what lay between the cluster and another one may be part of it now
        else:
            refused.add(id(other))
    if cluster.rows is not None:
        for r in cluster.roots:
            if not _is_read(graph, owner, cluster, r):
                del owner[r]
        cluster.roots = [r for r in cluster.roots if r in owner]


_MANY = 64
"""Readers of an array: among so many it is not asked who could share a pass over it, which keeps growth linear."""


def _near(
    graph: Graph, owner: dict[Node, Cluster], order: ClusterOrder, cluster: Cluster, rows: Rows
) -> Iterator[Cluster]:
    """Clusters that a cluster reads from, those that read from it, and reductions of the same arrays."""
    for x in cluster.inputs:
        if x in owner:
            yield owner[x]
    yield from order.readers(cluster)
    found = places(cluster.nodes, cluster.roots, rows) or {}
    known = [x for x in cluster.inputs if len(graph.users[x]) < _MANY]
    shared = {x for x in known if any(rows.whole(p) for p in found[x])}
    for c in order.readers(cluster, shared):
        if c.heavy is not None and isinstance(c.heavy.op, Reduce) and not shared.isdisjoint(c.inputs):
            yield c


def _fitting(graph: Graph, one: Cluster, other: Cluster, rows: Rows) -> Rows | None:
    """The loops that serve both clusters: those of the first one, with what the second one stores at their end."""
    if other.rows is not None and other.rows != rows:
        return None
    nodes = in_order(graph, (*one.nodes, *other.nodes))
    if len(nodes) > LARGEST_CLUSTER or any(isinstance(n.op, BlockOp) or scatters(n) for n in nodes):
        return None
    roots = (*one.roots, *other.roots)
    # Under another name a buffer has other axes.
    if any(storage(x) is not x and storage(x) in roots for x in (*one.inputs, *other.inputs)):
        return None
    both = rows.sunk | (frozenset() if other.rows is None else other.rows.sunk)
    for sunk in (both, both.union(other.roots)):
        wider = replace(rows, sunk=sunk)
        if places(nodes, roots, wider) is not None and _runs(nodes, roots, wider):
            return wider
    return None


def _runs(nodes: Sequence[Node], roots: Sequence[Node], rows: Rows) -> bool:
    """Whether neighbours lie in one row, or nothing is asked of the rows but sums, in a single pass."""
    if not rows.strided:
        return True
    sums = [n for n in nodes if isinstance(n.op, Reduce)]
    behind: set[Node] = set()
    for n in nodes:
        if not behind.isdisjoint(n.src) or n in sums:
            behind.add(n)
    return all(r in sums for r in roots) and not any(n.src[0] in behind for n in sums)


def _absorb(graph: Graph, owner: dict[Node, Cluster], one: Cluster, other: Cluster) -> None:
    one.roots = in_order(graph, (*one.roots, *other.roots))
    one.nodes = in_order(graph, (*one.nodes, *other.nodes))
    one.inputs = [x for x in dict.fromkeys((*one.inputs, *other.inputs)) if x not in one.roots]
    for r in other.roots:
        owner[r] = one


def _is_read(graph: Graph, owner: dict[Node, Cluster], cluster: Cluster, root: Node) -> bool:
    """Whether a stored node is wanted by anything but its own cluster."""
    wanted = set(graph.roots)
    stack, seen = [root], {root}
    while stack:
        n = stack.pop()
        if n in wanted:
            return True
        for u in graph.users[n]:
            reader = owner.get(u)
            if reader is not None and reader is not cluster:
                return True
            if reader is None and u not in seen:
                seen.add(u)
                stack.append(u)
    return False
