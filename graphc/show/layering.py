"""Layout, step 1: ranks, and the layered graph in which every edge joins neighbouring ranks.

Directions are named without fixing them on the page: *along* runs with the edges, *across* runs within a
rank.

    before   a ──────────────▶ d          after   a ─▶ (dummy) ─▶ (dummy) ─▶ d
             a ─▶ b ─▶ c ────▶ d                  a ─▶ b ───────▶ c ───────▶ d
    ranks    0    1    2       3                  0    1          2          3

An edge label is a vertex too, so it reserves its own room; when any edge has a label, boxes keep to even
ranks and labels to odd ones.  Edges that leave one port share their dummies (one line that forks), which
keeps the layered graph small when a value is used far away and often.

>>> ranks(4, [(0, 1), (1, 2), (2, 3), (0, 3)])
[0, 1, 2, 3]
>>> ranks(4, [(0, 1), (1, 2), (3, 2)])           # 3 is a leaf: it waits until it is used
[0, 1, 2, 1]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from graphc.errors import InternalError

BOX, DUMMY, LABEL = 0, 1, 2

_SPREAD = 0.32  # how far from the middle of a side the ports beside the leading one reach


@dataclass(slots=True)
class Segment:
    """A piece of an edge between neighbouring ranks; `*_offset` is across, from the vertex's own line."""

    tail: int
    head: int
    tail_offset: float
    head_offset: float
    tail_key: float
    head_key: float
    span: int
    leads: bool


@dataclass(slots=True)
class Layered:
    """The layered graph.  A vertex reserves `before` and `after` its line across, and `depth` along."""

    kind: list[int] = field(default_factory=list)
    before: list[float] = field(default_factory=list)
    after: list[float] = field(default_factory=list)
    depth: list[float] = field(default_factory=list)
    rank: list[int] = field(default_factory=list)
    layers: list[list[int]] = field(default_factory=list)
    ins: list[list[Segment]] = field(default_factory=list)
    outs: list[list[Segment]] = field(default_factory=list)
    routes: list[list[Segment]] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)

    def add_vertex(self, kind: int, before: float, after: float, depth: float, rank: int) -> int:
        """Append a vertex to its layer and return its number."""
        while len(self.layers) <= rank:
            self.layers.append([])
        vertex = len(self.kind)
        self.kind.append(kind)
        self.before.append(before)
        self.after.append(after)
        self.depth.append(depth)
        self.rank.append(rank)
        self.layers[rank].append(vertex)
        self.ins.append([])
        self.outs.append([])
        return vertex

    def add_segment(self, segment: Segment) -> Segment:
        """Append a segment to both of its ends and return it."""
        self.outs[segment.tail].append(segment)
        self.ins[segment.head].append(segment)
        return segment


@dataclass(frozen=True, slots=True)
class Box:
    """A box to place; ports are spread over its side `across`, and the caption comes after it."""

    across: float
    along: float
    caption_across: float = 0.0
    caption_along: float = 0.0


@dataclass(frozen=True, slots=True)
class Link:
    """An edge between boxes by number; a label of no size is no label."""

    source: int
    target: int
    source_port: int
    target_port: int
    label_across: float
    label_along: float


def topological_order(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """Vertices 0..count-1 with every edge leading forwards (Kahn, 1962)."""
    users: list[list[int]] = [[] for _ in range(count)]
    missing = [0] * count
    for source, target in edges:
        users[source].append(target)
        missing[target] += 1
    order = [v for v in range(count) if missing[v] == 0]
    for v in order:  # grows while it is read
        for user in users[v]:
            missing[user] -= 1
            if missing[user] == 0:
                order.append(user)
    if len(order) != count:
        raise InternalError("the graph to be drawn has a cycle")
    return order


def ranks(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """Longest-path ranks, after which leaves, and trees that hang on one user, move next to that user.

    Longest-path layering puts every leaf at rank 0, far from a late user (Healy and Nikolov, in the Handbook
    of Graph Drawing, 2013).  In reverse order, a vertex moves towards its users when more edges get shorter
    than longer; edges from a private subtree do not count, because the subtree follows.
    """
    ins: list[list[int]] = [[] for _ in range(count)]
    outs: list[list[int]] = [[] for _ in range(count)]
    for source, target in edges:
        ins[target].append(source)
        outs[source].append(target)
    order = topological_order(count, edges)
    rank = [0] * count
    follows = [False] * count  # a private subtree: it moves when its only user moves
    for v in order:
        for source in ins[v]:
            rank[v] = max(rank[v], rank[source] + 1)
        follows[v] = all(follows[s] for s in ins[v]) and all(user == outs[v][0] for user in outs[v])
    for v in reversed(order):
        if outs[v]:
            stretched = sum(1 for source in ins[v] if not follows[source])
            if len(outs[v]) > stretched:
                rank[v] = min(rank[user] for user in outs[v]) - 1
    lowest = min(rank, default=0)
    return [r - lowest for r in rank]


def layer(boxes: Sequence[Box], links: Sequence[Link]) -> Layered:
    """Give every box a rank and cut every link into segments.  Vertex i is box i; dummies follow."""
    graph = Layered()
    labelled = any(link.label_across > 0 or link.label_along > 0 for link in links)
    step = 2 if labelled else 1
    edges = [(link.source, link.target) for link in links]
    box_rank = [step * r for r in ranks(len(boxes), edges)]
    for box, rank in zip(boxes, box_rank, strict=True):
        half = box.across / 2
        graph.add_vertex(BOX, half, half + box.caption_across, max(box.along, box.caption_along), rank)

    used_by: list[list[int]] = [[] for _ in boxes]
    made_of: list[list[int]] = [[] for _ in boxes]
    for number, link in enumerate(links):
        used_by[link.source].append(number)
        made_of[link.target].append(number)
    leader = [_leader([links[n] for n in numbers], numbers, made_of, box_rank) for numbers in made_of]
    out_ports = [sorted({links[n].source_port for n in numbers}) for numbers in used_by]
    in_ports = [sorted({links[n].target_port for n in numbers}) for numbers in made_of]
    in_places = [
        _places(ports, None if lead is None else ports.index(links[lead].target_port))
        for ports, lead in zip(in_ports, leader, strict=True)
    ]

    shared: dict[tuple[int, int, int], int] = {}
    joined: dict[tuple[int, int], Segment] = {}
    for number, link in enumerate(links):
        first, last = box_rank[link.source], box_rank[link.target]
        has_label = link.label_across > 0 or link.label_along > 0
        ports = out_ports[link.source]
        place = _places(ports, None)[ports.index(link.source_port)]
        tail, offset, key = link.source, place * boxes[link.source].across, 0.5 + place
        route: list[Segment] = []
        label = -1
        for rank in range(first + 1, last):
            if has_label and rank == last - 1:
                half = link.label_across / 2
                vertex = label = graph.add_vertex(LABEL, half, half, link.label_along, rank)
            else:
                bundle = (link.source, link.source_port, rank)
                if bundle not in shared:
                    shared[bundle] = graph.add_vertex(DUMMY, 0.0, 0.0, 0.0, rank)
                vertex = shared[bundle]
            if (tail, vertex) not in joined:
                piece = Segment(tail, vertex, offset, 0.0, key, 0.5, last - first, True)
                joined[tail, vertex] = graph.add_segment(piece)
            route.append(joined[tail, vertex])
            tail, offset, key = vertex, 0.0, 0.5
        place = in_places[link.target][in_ports[link.target].index(link.target_port)]
        head_offset = place * boxes[link.target].across
        leads = leader[link.target] == number
        end = Segment(tail, link.target, offset, head_offset, key, 0.5 + place, last - first, leads)
        route.append(graph.add_segment(end))
        graph.routes.append(route)
        graph.labels.append(label)
    return graph


def _leader(
    links: Sequence[Link], numbers: Sequence[int], made_of: Sequence[Sequence[int]], rank: Sequence[int]
) -> int | None:
    """The in-edge that should run straight into the box: the main line of the computation."""
    if not numbers:
        return None
    computed = [n for n, link in zip(numbers, links, strict=True) if made_of[link.source]]
    if len(computed) == 1:
        return computed[0]
    span = {n: rank[link.target] - rank[link.source] for n, link in zip(numbers, links, strict=True)}
    if computed:
        shortest = min(span[n] for n in computed)
        nearest = [n for n in computed if span[n] == shortest]
        if len(nearest) == 1:
            return nearest[0]
    if len(numbers) % 2 == 1:
        by_port = sorted(zip(links, numbers, strict=True), key=lambda pair: pair[0].target_port)
        return by_port[len(by_port) // 2][1]
    return None


def _places(ports: Sequence[int], centre: int | None) -> list[float]:
    """Where ports sit on a side, as fractions -0.5..0.5 in their order; the port with index `centre` at 0."""
    count = len(ports)
    if centre is None:
        return [(i + 1) / (count + 1) - 0.5 for i in range(count)]
    above, below = centre, count - 1 - centre
    return (
        [-_SPREAD * (above - i) / above for i in range(above)]
        + [0.0]
        + [_SPREAD * (i + 1) / below for i in range(below)]
    )
