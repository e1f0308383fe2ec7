"""Layered layout of a directed acyclic graph: boxes and labelled edges in, places and polylines out.

It knows nothing of graphc's graphs, and the same input gives the same drawing in every process.  The three
steps of Sugiyama, Tagawa and Toda (1981), each a module: `layering` (ranks; dummies on long edges; labels
as vertices), `crossings` (order within a rank) and `coordinates` (straight lines).  Here: parts that hang
together are laid out one by one, then packed side by side.

| direction | edges run     | operands from | captions       |
|-----------|---------------|---------------|----------------|
| "LR"      | to the right  | top to bottom | below the box  |
| "TB"      | downwards     | left to right | right of it    |

>>> nodes = [LayoutNode("x", 30, 20), LayoutNode("y", 30, 20), LayoutNode("+", 20, 20)]
>>> drawing = layout(nodes, [LayoutEdge("x", "+", 0, 0), LayoutEdge("y", "+", 0, 1)])
>>> drawing.nodes["+"].x > drawing.nodes["x"].x + 30
True
>>> drawing.edges[0].points[0]                    # from the right side of x
(30.0, 10.0)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from graphc.errors import InternalError
from graphc.show.coordinates import place_across
from graphc.show.crossings import reorder
from graphc.show.layering import Box, Layered, Link, Segment, layer

Direction = Literal["LR", "TB"]
Point = tuple[float, float]

_MAX_SLOPE = 1.6
_MAX_STRETCH = 2.4
_ASPECT = 1.6
_PART_GAP = 1.5


@dataclass(frozen=True, slots=True)
class LayoutNode:
    """A box, and optionally a caption: room kept free below it (LR) or on its right (TB)."""

    id: str
    width: float
    height: float
    caption_width: float = 0.0
    caption_height: float = 0.0


@dataclass(frozen=True, slots=True)
class LayoutEdge:
    """An edge; a port is the position of an operand or result, and ports keep their order along a side."""

    source: str
    target: str
    source_port: int = 0
    target_port: int = 0
    label_width: float = 0.0
    label_height: float = 0.0


@dataclass(frozen=True, slots=True)
class LayoutBox:
    """A placed rectangle; `x`, `y` is its upper left corner, y grows downwards."""

    x: float
    y: float
    width: float
    height: float

    @property
    def center(self) -> Point:
        return self.x + self.width / 2, self.y + self.height / 2


@dataclass(frozen=True, slots=True)
class EdgeRoute:
    """The polyline of an edge, from box to box, through the middle of its label."""

    points: tuple[Point, ...]
    label: LayoutBox | None


@dataclass(frozen=True, slots=True)
class Layout:
    """A drawing from (0, 0) to (width, height); `edges[i]` is the route of the i-th edge given."""

    width: float
    height: float
    nodes: Mapping[str, LayoutBox]
    captions: Mapping[str, LayoutBox]
    edges: tuple[EdgeRoute, ...]
    crossings: int


@dataclass(slots=True)
class _Part:
    """A connected part, placed in its own along/across frame."""

    boxes: list[int]
    links: list[int]
    graph: Layered
    across: list[float]
    start: list[float]
    depth: list[float]
    size_across: float
    size_along: float
    crossings: int


def layout(
    nodes: Sequence[LayoutNode],
    edges: Sequence[LayoutEdge],
    direction: Direction = "LR",
    *,
    node_gap: float = 22.0,
    edge_gap: float = 12.0,
    rank_gap: float = 26.0,
) -> Layout:
    """Place nodes and edges; gaps and sizes are in the same unit (pixels, for a picture).

    Raises InternalError for a cycle, an unknown end or a repeated id: the callers draw verified graphs.
    """
    index = {node.id: i for i, node in enumerate(nodes)}
    if len(index) != len(nodes):
        raise InternalError("two nodes to be drawn have the same id")
    for edge in edges:
        if edge.source not in index or edge.target not in index:
            raise InternalError(f"an edge to be drawn has no end: {edge.source} -> {edge.target}")
    ends = [(index[edge.source], index[edge.target]) for edge in edges]
    parts = [
        _place_part(nodes, edges, ends, boxes, links, direction, (node_gap, edge_gap, rank_gap))
        for boxes, links in _parts(len(nodes), ends)
    ]
    corners = _pack(parts, node_gap * _PART_GAP, direction)
    return _assemble(nodes, edges, parts, corners, direction)


def _parts(count: int, ends: Sequence[tuple[int, int]]) -> list[tuple[list[int], list[int]]]:
    """Connected parts as (nodes, edges), in the order of their first node (union-find)."""
    parent = list(range(count))

    def root(v: int) -> int:
        while parent[v] != v:
            parent[v] = parent[parent[v]]
            v = parent[v]
        return v

    for a, b in ends:
        a, b = root(a), root(b)
        parent[max(a, b)] = min(a, b)
    found: dict[int, tuple[list[int], list[int]]] = {}
    for v in range(count):
        found.setdefault(root(v), ([], []))[0].append(v)
    for number, (a, _) in enumerate(ends):
        found[root(a)][1].append(number)
    return list(found.values())


def _place_part(
    nodes: Sequence[LayoutNode],
    edges: Sequence[LayoutEdge],
    ends: Sequence[tuple[int, int]],
    boxes: list[int],
    links: list[int],
    direction: Direction,
    gaps: tuple[float, float, float],
) -> _Part:
    local = {node: i for i, node in enumerate(boxes)}
    sized = []
    for i in boxes:
        node = nodes[i]
        sides = (node.height, node.width, node.caption_height, node.caption_width)
        sized.append(Box(*sides) if direction == "LR" else Box(sides[1], sides[0], sides[3], sides[2]))
    linked = []
    for n in links:
        edge, (source, target) = edges[n], ends[n]
        label = (edge.label_height, edge.label_width)
        label = label if direction == "LR" else (label[1], label[0])
        linked.append(Link(local[source], local[target], edge.source_port, edge.target_port, *label))
    graph = layer(sized, linked)
    crossings = reorder(graph)
    node_gap, edge_gap, rank_gap = gaps
    across = place_across(graph, node_gap, edge_gap)
    start, depth = _place_along(graph, across, rank_gap)
    return _Part(
        boxes,
        links,
        graph,
        across,
        start,
        depth,
        max(x + after for x, after in zip(across, graph.after, strict=True)),
        start[-1] + depth[-1],
        crossings,
    )


def _place_along(graph: Layered, across: Sequence[float], rank_gap: float) -> tuple[list[float], list[float]]:
    """Where each rank starts, and its depth; ranks move apart where an edge between them would be steep."""
    labelled = any(label >= 0 for label in graph.labels)
    least = rank_gap * (0.6 if labelled else 1.0)  # a label already is a straight run between two boxes
    start, depth, at = [], [], 0.0
    for one in graph.layers:
        deep = max((graph.depth[v] for v in one), default=0.0)
        start.append(at)
        depth.append(deep)
        rise = max(
            (
                abs(across[s.tail] + s.tail_offset - across[s.head] - s.head_offset)
                for v in one
                for s in graph.outs[v]
            ),
            default=0.0,
        )
        at += deep + min(max(least, rise / _MAX_SLOPE), least * _MAX_STRETCH)
    return start, depth


def _pack(parts: Sequence[_Part], gap: float, direction: Direction) -> list[tuple[float, float]]:
    """The (across, along) corner of each part: side by side, in shelves once a row would get too long."""
    area = 0.0
    for part in parts:
        area += (part.size_across + gap) * (part.size_along + gap)
    limit = math.sqrt(area / _ASPECT) if direction == "LR" else math.sqrt(area * _ASPECT)
    limit = max([limit, *(part.size_across for part in parts)])
    corners = []
    across = along = shelf = 0.0
    for part in parts:
        if across > 0 and across + part.size_across > limit:
            across, along, shelf = 0.0, along + shelf + gap, 0.0
        corners.append((across, along))
        across += part.size_across + gap
        shelf = max(shelf, part.size_along)
    return corners


def _assemble(
    nodes: Sequence[LayoutNode],
    edges: Sequence[LayoutEdge],
    parts: Sequence[_Part],
    corners: Sequence[tuple[float, float]],
    direction: Direction,
) -> Layout:
    """From along/across to x/y."""
    horizontal = direction == "LR"

    def box(across: float, along: float, width: float, height: float) -> LayoutBox:
        return (
            LayoutBox(along, across, width, height) if horizontal else LayoutBox(across, along, width, height)
        )

    placed: dict[str, LayoutBox] = {}
    captions: dict[str, LayoutBox] = {}
    routes: list[EdgeRoute | None] = [None] * len(edges)
    width = height = 0.0
    crossings = 0
    for part, (dx, dy) in zip(parts, corners, strict=True):
        graph = part.graph
        for vertex, number in enumerate(part.boxes):
            node, rank = nodes[number], graph.rank[vertex]
            middle = dy + part.start[rank] + part.depth[rank] / 2
            line = dx + part.across[vertex]
            size = (node.height, node.width) if horizontal else (node.width, node.height)
            placed[node.id] = box(line - size[0] / 2, middle - size[1] / 2, node.width, node.height)
            if node.caption_width > 0 and node.caption_height > 0:
                deep = node.caption_width if horizontal else node.caption_height
                corner = (line + size[0] / 2, middle - deep / 2)
                captions[node.id] = box(*corner, node.caption_width, node.caption_height)
        for number, route, label in zip(part.links, graph.routes, graph.labels, strict=True):
            edge = edges[number]
            first, last = nodes[part.boxes[route[0].tail]], nodes[part.boxes[route[-1].head]]
            sizes = (first.width, last.width) if horizontal else (first.height, last.height)
            points = [(dx + a, dy + b) for a, b in _polyline(part, route, *sizes)]
            where = None
            if label >= 0:
                rank = graph.rank[label]
                deep = edge.label_width if horizontal else edge.label_height
                corner = (
                    dx + part.across[label] - graph.before[label],
                    dy + part.start[rank] + (part.depth[rank] - deep) / 2,
                )
                where = box(*corner, edge.label_width, edge.label_height)
            xy = tuple((b, a) if horizontal else (a, b) for a, b in points)
            routes[number] = EdgeRoute(xy, where)
        size = (dx + part.size_across, dy + part.size_along)
        width = max(width, size[1] if horizontal else size[0])
        height = max(height, size[0] if horizontal else size[1])
        crossings += part.crossings
    done = tuple(route for route in routes if route is not None)
    return Layout(width, height, MappingProxyType(placed), MappingProxyType(captions), done, crossings)


def _polyline(part: _Part, route: Sequence[Segment], first: float, last: float) -> list[tuple[float, float]]:
    """(across, along) points from the end of the first box to the start of the last, of these sizes along.

    A line crosses the band of a rank at one place across, and changes place only between bands; so it cannot
    run through a box of any rank.
    """
    graph, start, depth = part.graph, part.start, part.depth

    def middle(vertex: int) -> float:
        rank = graph.rank[vertex]
        return start[rank] + depth[rank] / 2

    points: list[tuple[float, float]] = []
    at = middle(route[0].tail) + first / 2
    for s in route:
        leave, enter = part.across[s.tail] + s.tail_offset, part.across[s.head] + s.head_offset
        rank = graph.rank[s.tail]
        points += [(leave, at), (leave, start[rank] + depth[rank]), (enter, start[rank + 1])]
        at = start[rank + 1]
    points.append((points[-1][0], middle(route[-1].head) - last / 2))
    kept: list[tuple[float, float]] = []
    for point in points:
        if kept and abs(point[0] - kept[-1][0]) < 1e-6:
            if abs(point[1] - kept[-1][1]) < 1e-6:
                continue
            if len(kept) > 1 and abs(kept[-1][0] - kept[-2][0]) < 1e-6:
                kept.pop()  # three in a row: the middle one says nothing
        kept.append(point)
    return kept
