"""The lecture picture: a forward graph, values above its edges, gradients below, local gradients at nodes.

After the computational graphs of Stanford's CS231n.  The builder takes plain text, so it serves any level
that can name its nodes; it decides shapes and sizes, lets `layout` place them and returns a `Scene`.

| kind     | outline                   |        |  on an edge      LR             TB             |
|----------|---------------------------|        |------------------------------------------------|
| "input"  | pill                      |        |  value           above, green   left, green    |
| "param"  | double line               |        |  gradient        below, red     right, red     |
| "const"  | dashed line               |
| "op"     | circle, box for long text |
| "output" | as "op", thick line; a stub edge leaves it                                            |

>>> nodes = [PictureNode("x", "input", "x"), PictureNode("f", "output", "x²", local=("∂f/∂x = 2x = 6",))]
>>> edges = [PictureEdge("x", "f", 0, "3", "6"), PictureEdge("f", None, 0, "9", "1")]
>>> scene = draw_graph(nodes, edges, title="f = x²")
>>> [group.id for group in scene.items if isinstance(group, Group)]
['edge-x-f-0', 'edge-f--0', 'node-x', 'node-f', 'legend']
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from graphc.errors import InternalError
from graphc.show.fonts import ASCENT, CAP_HEIGHT, DESCENT, LINE_HEIGHT, lines_width, shorten, text_width
from graphc.show.layout import Direction, EdgeRoute, LayoutBox, LayoutEdge, LayoutNode, layout
from graphc.show.scene import Group, Item, Path, Point, Rect, Role, Scene, Step, Text, polyline

Kind = Literal["input", "param", "const", "op", "output"]


@dataclass(frozen=True, slots=True)
class PictureNode:
    """A node: `detail` is small text such as a type, `local` the lines of local gradients under it."""

    id: str
    kind: Kind
    label: str
    detail: str = ""
    local: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PictureEdge:
    """The edge into operand `operand` of `target`; `target=None` is the stub that leaves a result."""

    source: str
    target: str | None
    operand: int = 0
    value: str | None = None
    gradient: str | None = None


_LABEL_SIZE = 14.0
_DETAIL_SIZE = 10.0
_LOCAL_SIZE = 10.5
_EDGE_SIZE = 12.0
_TITLE_SIZE = 15.0
_LABEL_LIMIT = 200.0
_EDGE_LIMIT = 150.0
_LOCAL_LIMIT = 260.0
_MARGIN = 18.0
_CLEAR = 4.5  # from an edge to the text above or below it
_ARROW = 7.0
_STUB = 10.0
_OUTLINE: dict[Kind, tuple[Role, Role, float]] = {
    "input": ("input_fill", "input_line", 1.3),
    "param": ("param_fill", "param_line", 1.3),
    "const": ("const_fill", "const_line", 1.3),
    "op": ("op_fill", "op_line", 1.3),
    "output": ("output_fill", "output_line", 2.4),
}


@dataclass(frozen=True, slots=True)
class _Shape:
    """How a node looks before it has a place; `caption` are (text, size, role) lines beside the box."""

    width: float
    height: float
    radius: float
    lines: tuple[tuple[str, float, Role], ...]
    caption: tuple[tuple[str, float, Role], ...]
    caption_width: float
    caption_height: float


def draw_graph(
    nodes: Sequence[PictureNode],
    edges: Sequence[PictureEdge],
    *,
    direction: Direction = "LR",
    title: str = "",
) -> Scene:
    """The picture of a directed acyclic graph.

    Args:
        nodes: in any order; ids are unique.
        edges: in any order; a node may use another several times (`x * x`: operands 0 and 1).
        direction: "LR" or "TB", the way of the forward computation.
        title: drawn above the graph.

    An output without a stub among `edges` gets one without numbers.  Text that is too long for its place is
    cut short with "…", and stays whole in the tool tip.  Raises InternalError for a cycle or an unknown id.
    """
    stubbed = {edge.source for edge in edges if edge.target is None}
    bare = [PictureEdge(n.id, None) for n in nodes if n.kind == "output" and n.id not in stubbed]
    drawn = [*edges, *bare]
    number = {node.id: str(i) for i, node in enumerate(nodes)}
    shapes = [_shape(node) for node in nodes]
    boxes = [
        LayoutNode(str(i), s.width, s.height, s.caption_width, s.caption_height) for i, s in enumerate(shapes)
    ]
    links = []
    for i, edge in enumerate(drawn):
        target = f"stub{i}" if edge.target is None else number.get(edge.target)
        if target is None or edge.source not in number:
            raise InternalError(f"an edge to be drawn has no end: {edge.source} -> {edge.target}")
        if edge.target is None:
            boxes.append(LayoutNode(target, _STUB, _STUB))
        links.append(LayoutEdge(number[edge.source], target, 0, edge.operand, *_label_room(edge, direction)))
    placed = layout(boxes, links, direction)

    top = _MARGIN + (_TITLE_SIZE * LINE_HEIGHT + 10 if title else 0.0)
    shape_of = {node.id: shape for node, shape in zip(nodes, shapes, strict=True)}
    label_of = {node.id: node.label for node in nodes}
    items: list[Item] = []
    if title:
        items.append(Text(_MARGIN, _MARGIN + ASCENT * _TITLE_SIZE, title, _TITLE_SIZE, weight="bold"))
    taken: dict[str, int] = {}
    for edge, route in zip(drawn, placed.edges, strict=True):
        name = _unused(f"edge-{edge.source}-{edge.target or ''}-{edge.operand}", taken)
        inset = 0.0
        if edge.target is not None:
            inset = _inset(
                shape_of[edge.target], placed.nodes[number[edge.target]], route.points[-1], direction
            )
        items.append(_edge(name, edge, route, inset, label_of, direction, (_MARGIN, top)))
    for node, shape in zip(nodes, shapes, strict=True):
        box = placed.nodes[number[node.id]]
        caption = placed.captions.get(number[node.id])
        items.append(_node(node, shape, box, caption, (_MARGIN, top)))
    width, height = placed.width + 2 * _MARGIN, top + placed.height + _MARGIN
    if any(edge.gradient is not None for edge in drawn):
        legend, room = _legend(_MARGIN, height + 4, any(node.local for node in nodes), direction)
        items.append(legend)
        width, height = max(width, room[0] + 2 * _MARGIN), height + 4 + room[1] + _MARGIN
    width = max(width, 2 * _MARGIN + text_width(title, _TITLE_SIZE, bold=True))
    return Scene(
        width, height, tuple(items), title or "computational graph", _description(nodes, drawn, label_of)
    )


def _shape(node: PictureNode) -> _Shape:
    """Circles for short operations, pills for inputs, else boxes; a circle's detail goes into its caption."""
    label = shorten(node.label, _LABEL_SIZE, _LABEL_LIMIT)
    detail = shorten(node.detail, _DETAIL_SIZE, _LABEL_LIMIT)
    local = [(shorten(line, _LOCAL_SIZE, _LOCAL_LIMIT), _LOCAL_SIZE, "local") for line in node.local]
    across = text_width(label, _LABEL_SIZE)
    lines: list[tuple[str, float, Role]] = [(label, _LABEL_SIZE, "ink")]
    caption: list[tuple[str, float, Role]] = []
    if node.kind in ("op", "output") and across <= 30:
        width = height = max(34.0, across + 14)
        radius = width / 2
        if detail:
            caption.append((detail, _DETAIL_SIZE, "muted"))
    else:
        if detail:
            lines.append((detail, _DETAIL_SIZE, "muted"))
        inner = max(across, text_width(detail, _DETAIL_SIZE))
        height = _lines_height(lines) + 12
        radius = height / 2 if node.kind == "input" else 7.0 if node.kind in ("op", "output") else 2.0
        width = max(36.0, inner + 2 * max(9.0, radius * 0.7))
    caption += [(text, size, "local") for text, size, _ in local]
    if not caption:
        return _Shape(width, height, radius, tuple(lines), (), 0.0, 0.0)
    widest = max(lines_width([text], size) for text, size, _ in caption)
    return _Shape(width, height, radius, tuple(lines), tuple(caption), widest + 8, _lines_height(caption) + 8)


def _lines_height(lines: Sequence[tuple[str, float, Role]]) -> float:
    height = 0.0
    for _, size, _ in lines:
        height += size * LINE_HEIGHT
    return height


def _label_room(edge: PictureEdge, direction: Direction) -> tuple[float, float]:
    """(width, height) of the value and gradient of an edge; the edge runs through the middle."""
    texts = [
        shorten(text, _EDGE_SIZE, _EDGE_LIMIT) for text in (edge.value, edge.gradient) if text is not None
    ]
    if not texts:
        return 0.0, 0.0
    widest = lines_width(texts, _EDGE_SIZE)
    if direction == "LR":
        return widest + 8, 2 * (_CLEAR + _EDGE_SIZE * (ASCENT + DESCENT))
    return 2 * (widest + _CLEAR + 4), _EDGE_SIZE * LINE_HEIGHT


def _unused(name: str, taken: dict[str, int]) -> str:
    """`name`, with "-2", "-3", ... behind it when it is taken, as by a result that is returned twice."""
    while name in taken:
        taken[name] += 1
        name = f"{name}-{taken[name]}"
    taken[name] = 1
    return name


def _edge(
    name: str,
    edge: PictureEdge,
    route: EdgeRoute,
    inset: float,
    label_of: dict[str, str],
    direction: Direction,
    origin: Point,
) -> Group:
    points = [(x + origin[0], y + origin[1]) for x, y in route.points]
    tip = _forwards(points[-1], inset, direction)
    items: list[Item] = [
        Path(_curve([*points[:-1], tip], direction), stroke="edge", stroke_width=1.3),
        Path(_arrow(tip, direction), fill="edge"),
    ]
    if route.label is not None:
        x, y = route.label.center
        items += _edge_texts(edge.value, edge.gradient, (x + origin[0], y + origin[1]), direction)
    to = "result" if edge.target is None else f"{label_of[edge.target]}, operand {edge.operand}"
    facts = [f"value {edge.value}"] if edge.value is not None else []
    facts += [f"gradient {edge.gradient}"] if edge.gradient is not None else []
    title = f"{label_of[edge.source]} → {to}" + (": " + ", ".join(facts) if facts else "")
    return Group(name, "edge", title, tuple(items))


def _edge_texts(value: str | None, gradient: str | None, at: Point, direction: Direction) -> list[Text]:
    """The value above (or left of) the middle of an edge, the gradient below (or right)."""
    x, y = at
    texts = []
    if direction == "LR":
        above, below = y - _CLEAR - DESCENT * _EDGE_SIZE, y + _CLEAR + ASCENT * _EDGE_SIZE
        places: tuple[tuple[str | None, float, Role], ...] = (
            (value, above, "value"),
            (gradient, below, "gradient"),
        )
        for text, baseline, role in places:
            if text is not None:
                short = shorten(text, _EDGE_SIZE, _EDGE_LIMIT)
                texts.append(Text(x, baseline, short, _EDGE_SIZE, role, "middle"))
        return texts
    baseline = y + CAP_HEIGHT * _EDGE_SIZE / 2
    if value is not None:
        short = shorten(value, _EDGE_SIZE, _EDGE_LIMIT)
        texts.append(Text(x - _CLEAR, baseline, short, _EDGE_SIZE, "value", "end"))
    if gradient is not None:
        short = shorten(gradient, _EDGE_SIZE, _EDGE_LIMIT)
        texts.append(Text(x + _CLEAR, baseline, short, _EDGE_SIZE, "gradient", "start"))
    return texts


def _forwards(point: Point, distance: float, direction: Direction) -> Point:
    """`point`, moved along the direction of the edges."""
    return (point[0] + distance, point[1]) if direction == "LR" else (point[0], point[1] + distance)


def _inset(shape: _Shape, box: LayoutBox, end: Point, direction: Direction) -> float:
    """How far behind the side of its box a rounded outline begins, where an edge arrives off its middle."""
    center = box.center
    if direction == "LR":
        off, half = abs(end[1] - center[1]), box.height / 2
    else:
        off, half = abs(end[0] - center[0]), box.width / 2
    into_corner = min(max(0.0, off - (half - shape.radius)), shape.radius)
    return shape.radius - math.sqrt(shape.radius * shape.radius - into_corner * into_corner)


def _curve(points: Sequence[Point], direction: Direction) -> tuple[Step, ...]:
    """A smooth line through a polyline, to the base of the arrow: slanted runs become S-shaped."""
    steps = [Step("M", (points[0],))]
    ends = [*points[1:-1], _forwards(points[-1], -_ARROW, direction)]
    for (x, y), (to_x, to_y) in zip(points, ends, strict=False):
        if direction == "LR" and y != to_y:
            middle = (x + to_x) / 2
            steps.append(Step("C", ((middle, y), (middle, to_y), (to_x, to_y))))
        elif direction == "TB" and x != to_x:
            middle = (y + to_y) / 2
            steps.append(Step("C", ((x, middle), (to_x, middle), (to_x, to_y))))
        else:
            steps.append(Step("L", ((to_x, to_y),)))
    return tuple(steps)


def _arrow(tip: Point, direction: Direction) -> tuple[Step, ...]:
    x, y = _forwards(tip, -_ARROW, direction)
    side = _ARROW * 0.48
    base = ((x, y - side), (x, y + side)) if direction == "LR" else ((x + side, y), (x - side, y))
    return (*polyline(tip, *base), Step("Z"))


def _node(
    node: PictureNode, shape: _Shape, box: LayoutBox, caption: LayoutBox | None, origin: Point
) -> Group:
    fill, line, thick = _OUTLINE[node.kind]
    x, y = box.x + origin[0], box.y + origin[1]
    items: list[Item] = [
        Rect(x, y, box.width, box.height, fill, line, thick, shape.radius, dash=node.kind == "const")
    ]
    if node.kind == "param":
        items.append(Rect(x + 3, y + 3, box.width - 6, box.height - 6, None, line, 0.8, 0.0))
    center = x + box.width / 2
    baseline = y + (box.height - _lines_height(shape.lines)) / 2
    for text, size, role in shape.lines:
        # Half the room that a line has beyond its capitals goes above it.
        items.append(
            Text(center, baseline + (LINE_HEIGHT + CAP_HEIGHT) / 2 * size, text, size, role, "middle")
        )
        baseline += LINE_HEIGHT * size
    if caption is not None:
        center = caption.x + origin[0] + caption.width / 2
        baseline = caption.y + origin[1] + 4
        for text, size, role in shape.caption:
            place = baseline + (LINE_HEIGHT + CAP_HEIGHT) / 2 * size
            items.append(Text(center, place, text, size, role, "middle", italic=role == "local"))
            baseline += LINE_HEIGHT * size
    parts = [f"{node.kind} {node.label}", node.detail, *node.local]
    return Group(f"node-{node.id}", f"node {node.kind}", "\n".join(p for p in parts if p), tuple(items))


def _legend(x: float, y: float, local: bool, direction: Direction) -> tuple[Group, tuple[float, float]]:
    """A sample edge that says what stands where, and the (width, height) that it takes."""
    width, height = _label_room(PictureEdge("", None, 0, "value", "gradient"), direction)
    length = width if direction == "LR" else 2 * height
    start = (x, y + height / 2) if direction == "LR" else (x + width / 2, y)
    tip = _forwards(start, length + _ARROW, direction)
    at = (x + width / 2, start[1]) if direction == "LR" else (start[0], y + length / 2)
    items: list[Item] = [
        Path(_curve([start, tip], direction), stroke="edge", stroke_width=1.3),
        Path(_arrow(tip, direction), fill="edge"),
        *_edge_texts("value", "gradient", at, direction),
    ]
    room = (width + _ARROW, height) if direction == "LR" else (width, length + _ARROW)
    if local:
        text = "local gradient " + ("under its node" if direction == "LR" else "beside its node")
        left = x + room[0] + 14
        baseline = y + room[1] / 2 + CAP_HEIGHT * _LOCAL_SIZE / 2
        items.append(Text(left, baseline, text, _LOCAL_SIZE, "local", italic=True))
        room = (left - x + text_width(text, _LOCAL_SIZE), room[1])
    return Group("legend", "legend", "", tuple(items)), room


def _description(nodes: Sequence[PictureNode], edges: Sequence[PictureEdge], label_of: dict[str, str]) -> str:
    """A few words for those who cannot see the picture: its size, and each result with its number."""
    words = [f"{len(nodes)} nodes, {sum(edge.target is not None for edge in edges)} edges."]
    results = [edge for edge in edges if edge.target is None and edge.value is not None]
    words += [f"Result {label_of[edge.source]}: {edge.value}." for edge in results]
    return " ".join(words)
