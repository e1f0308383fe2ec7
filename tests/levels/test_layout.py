"""The layered layout: nothing overlaps, every edge runs one way, the same drawing in every process."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from graphc.errors import InternalError
from graphc.show.crossings import count_crossings, reorder
from graphc.show.layering import Box, Link, layer, ranks
from graphc.show.layout import Direction, Layout, LayoutBox, LayoutEdge, LayoutNode, layout

Graph = tuple[list[LayoutNode], list[LayoutEdge]]
EPSILON = 1e-6


def random_dag(count: int, seed: int, *, labels: bool = True, reach: int = 30) -> Graph:
    """A graph like a program's: 1 to 3 operands from the last `reach` nodes, repeats allowed, some leaves."""
    rng = random.Random(seed)
    nodes = []
    edges = []
    for i in range(count):
        caption = (rng.uniform(40, 90), rng.uniform(12, 30)) if rng.random() < 0.2 else (0.0, 0.0)
        nodes.append(LayoutNode(f"n{i}", rng.uniform(20, 80), rng.uniform(20, 40), *caption))
        if i < 2 or rng.random() < 0.25:
            continue
        for port in range(rng.choice((1, 2, 2, 3))):
            size = (rng.uniform(20, 60), 30.0) if labels and rng.random() < 0.8 else (0.0, 0.0)
            edges.append(LayoutEdge(f"n{rng.randrange(max(0, i - reach), i)}", f"n{i}", 0, port, *size))
    return nodes, edges


def mlp(layers: int) -> Graph:
    """relu(h @ W + b), again and again, with a residual every second layer."""
    nodes = [LayoutNode("h0", 30, 24)]
    edges = []
    last = "h0"
    for i in range(layers):
        nodes += [LayoutNode(f"{name}{i}", 40, 24) for name in ("W", "b", "matmul", "add", "relu")]
        edges += [LayoutEdge(last, f"matmul{i}", 0, 0), LayoutEdge(f"W{i}", f"matmul{i}", 0, 1)]
        edges += [LayoutEdge(f"matmul{i}", f"add{i}", 0, 0), LayoutEdge(f"b{i}", f"add{i}", 0, 1)]
        edges += [LayoutEdge(f"add{i}", f"relu{i}", 0, 0)]
        before, last = last, f"relu{i}"
        if i % 2:
            nodes.append(LayoutNode(f"skip{i}", 24, 24))
            edges += [LayoutEdge(last, f"skip{i}", 0, 0), LayoutEdge(before, f"skip{i}", 0, 1)]
            last = f"skip{i}"
    return nodes, edges


def overlaps(boxes: list[tuple[str, LayoutBox]]) -> list[tuple[str, str]]:
    """Pairs of boxes with a common interior point, by a sweep along x."""
    boxes = sorted(boxes, key=lambda item: item[1].x)
    found = []
    for i, (name, a) in enumerate(boxes):
        for other, b in boxes[i + 1 :]:
            if b.x >= a.x + a.width - EPSILON:
                break
            if a.y + a.height > b.y + EPSILON and b.y + b.height > a.y + EPSILON:
                found.append((name, other))
    return found


def everything(drawing: Layout) -> list[tuple[str, LayoutBox]]:
    boxes = [(f"node {name}", box) for name, box in drawing.nodes.items()]
    boxes += [(f"caption {name}", box) for name, box in drawing.captions.items()]
    boxes += [(f"label {i}", e.label) for i, e in enumerate(drawing.edges) if e.label is not None]
    return boxes


def cuts(p: tuple[float, float], q: tuple[float, float], box: LayoutBox) -> bool:
    """Whether the segment pq has a point well inside the box (Liang and Barsky, 1984)."""
    low, high = 0.0, 1.0
    inset = 0.01
    for start, step, least, most in (
        (p[0], q[0] - p[0], box.x + inset, box.x + box.width - inset),
        (p[1], q[1] - p[1], box.y + inset, box.y + box.height - inset),
    ):
        if abs(step) < 1e-12:
            if not least < start < most:
                return False
            continue
        a, b = sorted(((least - start) / step, (most - start) / step))
        low, high = max(low, a), min(high, b)
    return low < high


def check(graph: Graph, drawing: Layout, direction: Direction) -> None:
    nodes, edges = graph
    assert len(drawing.nodes) == len(nodes) and len(drawing.edges) == len(edges)
    boxes = everything(drawing)
    assert overlaps(boxes) == []
    for name, box in boxes:
        assert box.x >= -EPSILON and box.x + box.width <= drawing.width + EPSILON, name
        assert box.y >= -EPSILON and box.y + box.height <= drawing.height + EPSILON, name
    along = 0 if direction == "LR" else 1
    for edge, route in zip(edges, drawing.edges, strict=True):
        ways = [point[along] for point in route.points]
        assert ways == sorted(ways) and ways[-1] > ways[0]
        source, target = drawing.nodes[edge.source], drawing.nodes[edge.target]
        start, end = route.points[0], route.points[-1]
        if direction == "LR":
            assert start[0] == pytest.approx(source.x + source.width) and end[0] == pytest.approx(target.x)
            assert source.y <= start[1] <= source.y + source.height
            assert target.y <= end[1] <= target.y + target.height
        else:
            assert start[1] == pytest.approx(source.y + source.height) and end[1] == pytest.approx(target.y)
        assert (route.label is not None) == (edge.label_width > 0)
        if route.label is not None:
            middle = route.label.center[1 - along]
            assert any(
                p[1 - along] == pytest.approx(middle)
                and q[1 - along] == pytest.approx(middle)
                and p[along] <= route.label.center[along] <= q[along]
                for p, q in zip(route.points, route.points[1:], strict=False)
            ), "the edge runs straight through the middle of its label"


def runs_through(drawing: Layout) -> list[tuple[int, str]]:
    """Edges that cut a box or a label other than their own."""
    boxes = everything(drawing)
    found = []
    for i, route in enumerate(drawing.edges):
        for p, q in zip(route.points, route.points[1:], strict=False):
            for name, box in boxes:
                if name != f"label {i}" and cuts(p, q, box):
                    found.append((i, name))
    return found


@pytest.mark.parametrize("direction", ["LR", "TB"])
@pytest.mark.parametrize(("count", "seed"), [(5, 0), (5, 1), (12, 2), (30, 3), (60, 4), (120, 5), (800, 6)])
def test_nothing_overlaps_and_edges_run_one_way(count: int, seed: int, direction: Direction) -> None:
    graph = random_dag(count, seed)
    drawing = layout(*graph, direction)
    check(graph, drawing, direction)
    if count <= 120:
        assert runs_through(drawing) == []


def test_without_labels() -> None:
    graph = random_dag(300, 7, labels=False)
    check(graph, layout(*graph), "LR")


def test_empty_and_single() -> None:
    nothing = layout([], [])
    assert (nothing.width, nothing.height, nothing.edges) == (0.0, 0.0, ())
    one = layout([LayoutNode("x", 30, 20)], [])
    assert one.nodes["x"] == LayoutBox(0.0, 0.0, 30, 20)
    assert (one.width, one.height) == (30, 20)


def test_both_operands_from_one_node() -> None:
    graph = (
        [LayoutNode("x", 30, 20), LayoutNode("*", 24, 24)],
        [
            LayoutEdge("x", "*", 0, 0, 40, 30),
            LayoutEdge("x", "*", 0, 1, 40, 30),
        ],
    )
    drawing = layout(*graph)
    check(graph, drawing, "LR")
    first, second = drawing.edges
    assert first.points[-1][1] < second.points[-1][1]
    assert first.label is not None and second.label is not None and first.label.y < second.label.y
    assert drawing.crossings == 0


def test_operands_keep_their_order() -> None:
    names = "abcdef"
    nodes = [LayoutNode(name, 20, 20) for name in names] + [LayoutNode("concat", 60, 60)]
    edges = [LayoutEdge(name, "concat", 0, i) for i, name in enumerate(names)]
    drawing = layout(nodes, edges)
    ends = [route.points[-1][1] for route in drawing.edges]
    assert ends == sorted(set(ends))
    assert [drawing.nodes[n].y for n in names] == sorted(drawing.nodes[n].y for n in names)


def test_parts_lie_side_by_side() -> None:
    nodes = [LayoutNode(f"{c}{i}", 30, 20) for c in "abcdefghijkl" for i in range(3)]
    edges = [LayoutEdge(f"{c}{i}", f"{c}{i + 1}") for c in "abcdefghijkl" for i in range(2)]
    drawing = layout(nodes, edges)
    check((nodes, edges), drawing, "LR")
    assert 0.4 < drawing.width / drawing.height < 4
    assert (
        drawing.nodes["b0"].y > drawing.nodes["a0"].y + 20 and drawing.nodes["b0"].x == drawing.nodes["a0"].x
    )


def test_chains_and_main_lines_are_straight() -> None:
    nodes, edges = mlp(8)
    drawing = layout(nodes, edges)
    main = [f"{name}{i}" for i in range(8) for name in ("matmul", "add", "relu")]
    centres = [drawing.nodes[name].center[1] for name in main]
    assert max(centres) - min(centres) < 1.0
    assert (
        drawing.crossings == 4
    )  # W, like the residual, enters below the main line: one crossing per residual
    chain = [LayoutNode(str(i), 20 + 3 * (i % 4), 20 + 5 * (i % 3)) for i in range(50)]
    line = layout(chain, [LayoutEdge(str(i), str(i + 1), 0, 0, 30, 20) for i in range(49)])
    assert all(len(route.points) == 2 for route in line.edges)


def test_leaves_move_next_to_their_user() -> None:
    chain = [(i, i + 1) for i in range(5)]
    assert ranks(7, [*chain, (6, 5)])[6] == 4
    # A private subtree moves as a whole: 6 -> 7 -> 5, with 7 next to 5.
    assert ranks(8, [*chain, (6, 7), (7, 5)])[6:] == [3, 4]
    # A leaf that is used early and late stays with its early user.
    assert ranks(7, [*chain, (6, 1), (6, 5)])[6] == 0


def test_barycentre_removes_the_crossings_of_a_planar_graph() -> None:
    width = 12
    boxes = [Box(10, 10)] * (2 * width)
    links = [Link(i, width + (i * 5) % width, 0, 0, 0, 0) for i in range(width)]
    graph = layer(boxes, links)
    assert count_crossings(graph) > 0
    assert reorder(graph) == 0 == count_crossings(graph)


def test_crossings_are_counted() -> None:
    complete = layer([Box(1, 1)] * 6, [Link(a, b, 0, a, 0, 0) for a in range(3) for b in range(3, 6)])
    assert reorder(complete) == 9  # K(3,3) in two layers


def test_cycles_and_unknown_ends_are_refused() -> None:
    two = [LayoutNode("a", 1, 1), LayoutNode("b", 1, 1)]
    with pytest.raises(InternalError, match="cycle"):
        layout(two, [LayoutEdge("a", "b"), LayoutEdge("b", "a")])
    with pytest.raises(InternalError, match="no end"):
        layout(two, [LayoutEdge("a", "c")])
    with pytest.raises(InternalError, match="same id"):
        layout([two[0], two[0]], [])


def test_deep_graphs_need_no_recursion() -> None:
    nodes = [LayoutNode(str(i), 20, 20) for i in range(3000)]
    edges = [LayoutEdge(str(i), str(i + 1)) for i in range(2999)]
    drawing = layout(nodes, edges)
    assert len({box.y for box in drawing.nodes.values()}) == 1


def digest() -> str:
    drawings = [layout(*random_dag(80, seed)) for seed in (11, 12)]
    return hashlib.sha256(repr([(dict(d.nodes), d.edges) for d in drawings]).encode()).hexdigest()


def test_same_drawing_in_another_process() -> None:
    root = Path(__file__).resolve().parents[2]
    code = f"import sys; sys.path[:0] = [{str(root)!r}, {str(Path(__file__).parent)!r}]; " + (
        "import test_layout; print(test_layout.digest())"
    )
    env = {**os.environ, "PYTHONHASHSEED": "12345"}
    out = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == digest()
