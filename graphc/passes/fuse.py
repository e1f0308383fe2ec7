"""Level 4, fusion: a cover of the graph by clusters, each of which becomes one kernel.  No node is changed.

Fusion decides one thing for each node: is it *stored* in a buffer, or computed where it is used?

| node                              | decision |
|-----------------------------------|----------------------------------------------------------------------|
| input, parameter, constant array  | is a buffer already |
| scalar constant, iota, extent, view | computed where it is used: it costs nothing |
| elementwise                       | where it is used, if one kernel uses it or if it is cheap to repeat |
| reduction, contraction, window    | inside the one elementwise chain that follows it (its epilogue), else stored |
| scatter (pad, concat, scatter_add)| stored; what it reads may be computed inside (one update a row: as elementwise) |
| reshape                           | another name for the buffer of its operand |
| loop, branch                      | steps of their own around the kernels of their blocks; what they read is stored |

A stored node whose reader walks over the same elements is stored by the reader's kernel on the way, and kernels
that walk over the same rows become one (`graphc.passes.join_rows`).

>>> import graphc as gc
>>> x, w, b = gc.input("x", ("N", 4)), gc.input("w", (4, 3)), gc.input("b", (3,))
>>> y = gc.relu(x @ w + b)
>>> [c.text() for c in fuse(Graph("f", (x.node, w.node, b.node), (y.node,)), Log())]
['contract+expand+add+relu']
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from graphc.ir.block import BlockOp, Family, family
from graphc.ir.graph import Graph
from graphc.ir.node import Node
from graphc.ops.contract import Contract
from graphc.ops.conv import Conv
from graphc.ops.elementwise import Cast, Elementwise
from graphc.ops.gather import Gather
from graphc.ops.leaves import Const, Extent
from graphc.ops.rank import Rank
from graphc.ops.reduce import Arg
from graphc.ops.views import Expand, Pad, Reshape, is_unit
from graphc.ops.window import Window, WindowPick, WindowScatter
from graphc.ops.winograd import WinogradInput, WinogradOutput
from graphc.passes.cluster import (
    HEAVY,
    LARGEST_CLUSTER,
    Body,
    Cluster,
    in_order,
    is_alias,
    is_free,
    is_leaf,
    is_one_hot,
    scatters,
    storage,
)
from graphc.passes.cluster_order import ClusterOrder
from graphc.passes.join_rows import join_rows
from graphc.passes.log import Log

__all__ = ["Body", "Cluster", "fuse", "is_alias", "is_free", "is_leaf", "storage"]

REREAD = (Arg, Rank, Contract, Conv, Window, WindowPick, WindowScatter, WinogradInput, WinogradOutput)
"""Operations that read an element of their operands more than once, so that the operand is worth storing."""


def _is_pointwise(n: Node) -> bool:
    return isinstance(n.op, (Elementwise, Cast))


def _cost(n: Node) -> int:
    return n.op.row.cost if isinstance(n.op, Elementwise) else 1


def _is_light(n: Node, users: Mapping[Node, Sequence[Node]]) -> bool:
    """Cheaper to repeat than to store: little arithmetic on at most one array."""
    arrays: list[Node] = []
    centred = False  # by what is repeated along other axes, as a mean for each channel: it stays in the cache
    for s in n.src:
        base, repeated = s, False
        while isinstance(base.op, (Expand, Reshape)):
            repeated = repeated or base.type.elements != base.src[0].type.elements
            base = base.src[0]
        known = isinstance(base.op, (Const, Extent)) or is_leaf(base)
        if repeated and base.type.rank > 0:
            centred = True
        elif base.type.rank > 0 or not known:
            arrays.append(base)
    # A bias belongs to the kernel of its product.
    if centred and any(isinstance(a.op, HEAVY) and _has_one_reader(a, users) for a in arrays):
        return False
    return _cost(n) <= 2 and len(arrays) <= 1


def _has_one_reader(n: Node, users: Mapping[Node, Sequence[Node]]) -> bool:
    """Whether one operation computes with a node, under whatever name."""
    while len(users[n]) == 1 and isinstance(users[n][0].op, Reshape):
        n = users[n][0]
    return len(users[n]) == 1


class _Decision:
    """One walk over the graph, consumers first, that decides what is stored."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.stored: set[Node] = set(graph.roots)
        self.hosts: dict[Node, frozenset[Node]] = {}
        self.aligned: dict[Node, bool] = {}  # computed at the very element that the kernel stores
        self.replicated: dict[Node, bool] = {}  # computed more often than it has elements
        self.heavy: dict[Node, Node | None] = {}
        self.size: dict[Node, int] = {}
        wanted = set(graph.roots)
        for n in reversed(graph.nodes):
            users = [u for u in graph.users[n] if u in wanted]
            if users or n in wanted:
                wanted.add(n)
                if not is_leaf(n):
                    self.decide(n, users)

    def decide(self, n: Node, users: list[Node]) -> None:
        if n in self.stored or scatters(n) or any(self.demands(u, n) for u in users) or is_alias(n):
            self.store(n)
            return
        hosts: frozenset[Node] = frozenset().union(*(self.hosts[u] for u in users))
        aligned = all(self.passes(u) for u in users)
        replicated = any(self.replicates(u, n) for u in users)
        if is_free(n):
            inline = True
        elif any(self.size[h] >= LARGEST_CLUSTER for h in hosts):
            inline = False
        elif _is_pointwise(n):
            inline = (len(hosts) == 1 or _is_light(n, self.graph.users)) and not (replicated and _cost(n) > 4)
        elif is_one_hot(n):
            inline = len(hosts) == 1 and not replicated
        else:
            inline = (
                isinstance(n.op, HEAVY)
                and len(hosts) == 1
                and aligned
                and self.may_host(n, next(iter(hosts)))
            )
        if not inline:
            self.store(n)
            return
        self.hosts[n], self.aligned[n], self.replicated[n] = hosts, aligned, replicated
        for h in hosts:
            self.size[h] += 1
            if isinstance(n.op, HEAVY):
                self.heavy[h] = n

    def store(self, n: Node) -> None:
        self.stored.add(n)
        self.hosts[n], self.aligned[n], self.replicated[n] = frozenset((n,)), True, False
        self.heavy[n] = n if isinstance(n.op, HEAVY) else None
        self.size[n] = 1

    def demands(self, user: Node, n: Node) -> bool:
        """Whether a user needs n in a buffer; a view passes the demand of its own users on."""
        if isinstance(user.op, BlockOp):
            return True
        if is_alias(user) or isinstance(user.op, REREAD):
            return not is_free(n) or is_alias(user)
        if isinstance(user.op, Gather):
            return user.src[0] is n and not is_free(n)
        if is_free(user) and user not in self.stored:
            return not is_free(n) and any(self.demands_through(u, user) for u in self.graph.users[user])
        return False

    def demands_through(self, user: Node, view: Node) -> bool:
        """Whether a user of a view needs the buffer behind it."""
        stack = [(user, view)]
        while stack:
            u, v = stack.pop()
            if isinstance(u.op, REREAD) or (isinstance(u.op, Gather) and u.src[0] is v):
                return True
            if is_free(u) and u not in self.stored:
                stack.extend((w, u) for w in self.graph.users[u])
        return False

    def passes(self, user: Node) -> bool:
        """Whether a user reads its operand at the very element that its kernel stores."""
        unit = isinstance(user.op, Reshape) and is_unit(user)
        pads = isinstance(user.op, Pad)
        return (_is_pointwise(user) or unit or pads) and self.aligned.get(user, False)

    def replicates(self, user: Node, n: Node) -> bool:
        grows = isinstance(user.op, Expand) and user.type.elements != n.type.elements
        return grows or self.replicated.get(user, False)

    def may_host(self, n: Node, host: Node) -> bool:
        if isinstance(host.op, Pad):  # what is padded is stored into the padded array
            return self.heavy[host] is None and isinstance(n.op, Conv | Window)
        return self.heavy[host] is None and not scatters(host)


def _members(root: Node, decision: _Decision) -> tuple[list[Node], list[Node]]:
    """What a stored node's kernel computes (operands first), and the stored nodes that it reads."""
    nodes: list[Node] = []
    inputs: list[Node] = []
    seen: set[Node] = set()
    stack: list[tuple[Node, bool]] = [(root, False)]
    while stack:
        n, expanded = stack.pop()
        if expanded:
            nodes.append(n)
            continue
        if n in seen:
            continue
        seen.add(n)
        if n is not root and (is_leaf(n) or n in decision.stored):
            inputs.append(n)
            continue
        stack.append((n, True))
        stack.extend((s, False) for s in reversed(n.src))
    return nodes, inputs


def _loop_shape(n: Node) -> tuple[object, ...]:
    return tuple(d for d in n.type.shape if d != 1)


def fuse(graph: Graph, log: Log, *, enabled: bool = True) -> list[Cluster]:
    """Clusters in an order in which they can run.  Where it is not enabled, every operation is a cluster."""
    decision = _Decision(graph)
    if not enabled:
        for n in graph.nodes:
            if n in decision.hosts and not (is_free(n) and n not in graph.roots):
                decision.store(n)
    owner: dict[Node, Cluster] = {}
    for n in graph.nodes:
        if n in decision.stored and not is_leaf(n) and not is_alias(n):
            nodes, inputs = _members(n, decision)
            owner[n] = Cluster([n], nodes, inputs)
    if enabled:
        order = ClusterOrder(graph, owner, storage)
        _merge(graph, decision, owner, order)
        join_rows(graph, owner, order)
    _join_families(graph, owner, log, enabled)
    clusters = _ordered(graph, owner)
    if enabled:
        _store_less(graph, clusters)
        clusters = _join_scalars(graph, clusters)
    for k, c in enumerate(clusters):
        if len(c.nodes) > 1 and not c.bodies:
            log.add("fuse", "cluster", f"k{k}: {c.text()}", before=tuple(c.nodes), after=tuple(c.roots))
    return clusters


def _join_families(graph: Graph, owner: dict[Node, Cluster], log: Log, enabled: bool) -> None:
    """One cluster for all results of a loop or a branch, with the clusters of its blocks."""
    families: dict[Family, Cluster] = {}
    for n in graph.nodes:
        if n not in owner or not isinstance(n.op, BlockOp):
            continue
        held = families.setdefault(family(n), owner[n])
        if held is not owner[n]:
            held.roots.append(n)
            held.nodes.append(n)
            owner[n] = held
    for c in families.values():
        op = c.roots[0].op
        assert isinstance(op, BlockOp)
        c.inputs = list(dict.fromkeys(c.roots[0].src))
        wanted = [r.op.result for r in c.roots if isinstance(r.op, BlockOp)]
        c.bodies = tuple(Body(g, tuple(fuse(g, log, enabled=enabled))) for g in op.graphs(wanted))


def _merge(graph: Graph, decision: _Decision, owner: dict[Node, Cluster], order: ClusterOrder) -> None:
    """Let a reader's kernel store what it computes on the way: relu(z) also stores z, where both are needed."""
    for n in reversed(graph.nodes):
        mine = owner.get(n)
        if mine is None or scatters(n):
            continue
        for u in graph.users[n]:
            if not decision.passes(u) or len(decision.hosts[u]) != 1:
                continue
            theirs = owner.get(next(iter(decision.hosts[u])))
            if theirs is None or theirs is mine or len(mine.nodes) + len(theirs.nodes) > LARGEST_CLUSTER:
                continue
            if mine.heavy is not None and theirs.heavy is not None:
                continue
            same = {_loop_shape(r) for r in (*mine.roots, *theirs.roots)}
            # A heavy root of the reader's own kernel has loops that n would not lie in.
            if len(same) != 1 or scatters(theirs.roots[0]) or not order.merge(mine, theirs):
                continue
            theirs.nodes = [*mine.nodes, *(x for x in theirs.nodes if x not in set(mine.nodes))]
            theirs.inputs = [*mine.inputs, *(x for x in theirs.inputs if x not in set(mine.inputs))]
            theirs.roots = [*mine.roots, *theirs.roots]
            for r in mine.roots:
                owner[r] = theirs
            theirs.inputs = [x for x in theirs.inputs if owner.get(x) is not theirs]
            theirs.nodes = in_order(graph, theirs.nodes)
            break


def _store_less(graph: Graph, clusters: Sequence[Cluster]) -> None:
    """What only the kernel that computes it reads is not stored: a gradient that the optimiser has used."""
    read = {storage(n) for n in graph.roots} | {storage(x) for c in clusters for x in c.inputs}
    for c in clusters:
        if len(c.roots) > 1 and not c.bodies:
            c.roots = [r for r in c.roots if r in read]


def _join_scalars(graph: Graph, clusters: list[Cluster]) -> list[Cluster]:
    """One kernel for neighbours that only compute scalars: they have no loops that could differ."""
    result: list[Cluster] = []
    for c in clusters:
        last = result[-1] if result else None
        if (
            last is not None
            and all(_is_scalar(x) for x in (last, c))
            and len(last.nodes) + len(c.nodes) <= LARGEST_CLUSTER
        ):
            roots = [*last.roots, *c.roots]
            inputs = [x for x in dict.fromkeys((*last.inputs, *c.inputs)) if x not in roots]
            result[-1] = Cluster(roots, in_order(graph, [*last.nodes, *c.nodes]), inputs)
        else:
            result.append(c)
    return result


def _is_scalar(c: Cluster) -> bool:
    return c.heavy is None and all(n.type.rank == 0 and not scatters(n) for n in c.nodes)


def _ordered(graph: Graph, owner: Mapping[Node, Cluster]) -> list[Cluster]:
    """Clusters, each once, after those whose results they read."""
    order: list[Cluster] = []
    done: set[int] = set()
    for n in graph.nodes:
        first = owner.get(n)
        if first is None:
            continue
        stack: list[tuple[Cluster, bool]] = [(first, False)]
        while stack:
            c, expanded = stack.pop()
            if id(c) in done:
                continue
            if expanded:
                done.add(id(c))
                order.append(c)
                continue
            stack.append((c, True))
            for x in c.inputs:
                needed = owner.get(storage(x))
                if needed is not None and needed is not c:
                    stack.append((needed, False))
    return order
