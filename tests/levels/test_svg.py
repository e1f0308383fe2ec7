"""Scenes, SVG and the lecture picture: legible, self-contained, the same bytes, nothing outside its box."""

from __future__ import annotations

import hashlib
import math
import os
import random
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest

from graphc.errors import InternalError
from graphc.show.fonts import advance, lines_width, shorten, text_width
from graphc.show.picture import PictureEdge, PictureNode, draw_graph
from graphc.show.scene import DARK, LIGHT, NODE_FILLS, TEXT_ROLES, Group, Item, Rect, Scene, Text
from graphc.show.svg import identifier, to_svg

SVG = "{http://www.w3.org/2000/svg}"


def product_of_sum() -> Scene:
    """f = (x + y) z at (-2, 5, -4): the first example of CS231n's lecture on backpropagation."""
    nodes = [
        PictureNode("x", "input", "x"),
        PictureNode("y", "input", "y"),
        PictureNode("z", "input", "z"),
        PictureNode("q", "op", "+", local=("∂q/∂x = 1", "∂q/∂y = 1")),
        PictureNode("f", "output", "×", local=("∂f/∂q = z = −4", "∂f/∂z = q = 3")),
    ]
    edges = [
        PictureEdge("x", "q", 0, "−2", "−4"),
        PictureEdge("y", "q", 1, "5", "−4"),
        PictureEdge("q", "f", 0, "3", "−4"),
        PictureEdge("z", "f", 1, "−4", "3"),
        PictureEdge("f", None, 0, "−12", "1"),
    ]
    return draw_graph(nodes, edges, title="f = (x + y) · z")


def sigmoid_neuron() -> Scene:
    """1 / (1 + exp(-(w0 x0 + w1 x1 + w2))) at w = (2, -3, -3), x = (-1, -2), with numbers worked out here."""
    w0, x0, w1, x1, w2 = 2.0, -1.0, -3.0, -2.0, -3.0
    s = w0 * x0 + w1 * x1 + w2
    e = math.exp(-s)
    f = 1 / (1 + e)
    d_sum = f * (1 - f)

    def show(number: float) -> str:
        return f"{number:.2f}".replace("-", "−")

    ops = [
        ("m0", "×"),
        ("m1", "×"),
        ("a0", "+"),
        ("a1", "+"),
        ("neg", "× −1"),
        ("exp", "exp"),
        ("inc", "+ 1"),
    ]
    nodes = [PictureNode(n, "param" if n[0] == "w" else "input", n) for n in ("w0", "x0", "w1", "x1", "w2")]
    nodes += [PictureNode(n, "op", label) for n, label in ops]
    nodes.append(PictureNode("f", "output", "1/x", local=("−1/x²",)))
    wires = [
        ("w0", "m0", 0, w0, d_sum * x0), ("x0", "m0", 1, x0, d_sum * w0),
        ("w1", "m1", 0, w1, d_sum * x1), ("x1", "m1", 1, x1, d_sum * w1),
        ("m0", "a0", 0, w0 * x0, d_sum), ("m1", "a0", 1, w1 * x1, d_sum),
        ("a0", "a1", 0, s - w2, d_sum), ("w2", "a1", 1, w2, d_sum),
        ("a1", "neg", 0, s, d_sum), ("neg", "exp", 0, -s, -d_sum),
        ("exp", "inc", 0, e, -f * f), ("inc", "f", 0, 1 + e, -f * f), ("f", None, 0, f, 1.0),
    ]  # fmt: skip
    edges = [PictureEdge(a, b, i, show(v), show(g)) for a, b, i, v, g in wires]
    return draw_graph(nodes, edges, title="f = 1 / (1 + exp(−(w0 x0 + w1 x1 + w2)))")


def network(direction: str = "TB") -> Scene:
    """Two dense layers with shapes, no numbers."""
    nodes = [PictureNode("X", "input", "X", "f32[N,784]")]
    edges = []
    last = "X"
    for i, width in enumerate((100, 10), 1):
        nodes += [
            PictureNode(f"W{i}", "param", f"W{i}", f"f32[784,{width}]"),
            PictureNode(f"b{i}", "param", f"b{i}", f"f32[{width}]"),
            PictureNode(f"mm{i}", "op", "matmul", f"f32[N,{width}]"),
            PictureNode(f"add{i}", "op", "+", f"f32[N,{width}]"),
        ]
        edges += [PictureEdge(last, f"mm{i}", 0), PictureEdge(f"W{i}", f"mm{i}", 1)]
        edges += [PictureEdge(f"mm{i}", f"add{i}", 0), PictureEdge(f"b{i}", f"add{i}", 1)]
        last = f"add{i}"
        if i == 1:
            nodes.append(PictureNode("relu", "op", "relu", "f32[N,100]"))
            edges.append(PictureEdge(last, "relu", 0))
            last = "relu"
    nodes += [PictureNode("c", "const", "2", "f32[]"), PictureNode("y", "output", "softmax", "f32[N,10]")]
    nodes.append(PictureNode("scale", "op", "×", "f32[N,10]"))
    edges += [PictureEdge("c", "scale", 0), PictureEdge(last, "scale", 1), PictureEdge("scale", "y", 0)]
    return draw_graph(nodes, edges, direction="TB" if direction == "TB" else "LR", title="two layers")


def random_picture(seed: int, direction: str) -> Scene:
    rng = random.Random(seed)
    nodes, edges = [], []
    for i in range(40):
        kinds = ("input", "param", "const") if i < 2 or rng.random() < 0.25 else ("op",)
        kind = rng.choice(kinds)
        label = rng.choice(
            ("×", "+", "exp", "matmul", "σ", "log_softmax", "a rather long name of an operation")
        )
        local = tuple(f"∂u/∂x{j} = {rng.uniform(-9, 9):.4g}" for j in range(rng.randrange(3)))
        nodes.append(
            PictureNode(f"n{i}", kind, label, rng.choice(("", "f32[N,10]")), local if kind == "op" else ())
        )
        if kind == "op":
            for port in range(rng.choice((1, 2))):
                number = f"{rng.uniform(-1000, 1000):.5g}" if rng.random() < 0.7 else None
                edges.append(
                    PictureEdge(f"n{rng.randrange(max(0, i - 9), i)}", f"n{i}", port, number, number)
                )
    return draw_graph(nodes, edges, direction="TB" if direction == "TB" else "LR")


def flat(items: tuple[Item, ...]) -> Iterator[Item]:
    stack = list(reversed(items))
    while stack:
        item = stack.pop()
        if isinstance(item, Group):
            stack.extend(reversed(item.items))
        else:
            yield item


def extent(text: Text) -> tuple[float, float, float, float]:
    """(left, top, right, bottom) of a line of text, from the width table."""
    width = text_width(text.content, text.size, bold=text.weight == "bold", mono=text.family == "mono")
    left = text.x - {"start": 0.0, "middle": width / 2, "end": width}[text.anchor]
    return left, text.y - 0.76 * text.size, left + width, text.y + 0.24 * text.size


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


PICTURES = {
    "product of sum": product_of_sum,
    "sigmoid neuron": sigmoid_neuron,
    "network": network,
    "random LR": lambda: random_picture(1, "LR"),
    "random TB": lambda: random_picture(2, "TB"),
}


@pytest.mark.parametrize("name", PICTURES)
def test_texts_stay_inside_and_apart(name: str) -> None:
    scene = PICTURES[name]()
    texts = [item for item in flat(scene.items) if isinstance(item, Text)]
    assert texts
    boxes = sorted(extent(text) for text in texts)
    for left, top, right, bottom in boxes:
        assert left >= 0 and top >= 0 and right <= scene.width and bottom <= scene.height
    for i, a in enumerate(boxes):
        for b in boxes[i + 1 :]:
            if b[0] >= a[2]:
                break
            assert a[3] <= b[1] + 0.5 or b[3] <= a[1] + 0.5, (a, b)


@pytest.mark.parametrize("name", PICTURES)
def test_labels_stay_inside_their_node(name: str) -> None:
    for group in PICTURES[name]().items:
        if not isinstance(group, Group) or not group.kind.startswith("node"):
            continue
        box = group.items[0]
        assert isinstance(box, Rect)
        for text in group.items:
            if isinstance(text, Text) and text.x == box.x + box.width / 2 and text.y < box.y + box.height:
                left, _, right, _ = extent(text)
                assert box.x < left and right < box.x + box.width


def test_value_above_and_gradient_below_every_edge() -> None:
    edges = [g for g in product_of_sum().items if isinstance(g, Group) and g.kind == "edge"]
    assert len(edges) == 5
    shown = {}
    for group in edges:
        value, gradient = (item for item in group.items if isinstance(item, Text))
        assert (value.role, gradient.role) == ("value", "gradient")
        assert value.y < gradient.y - gradient.size
        shown[group.id] = value.content, gradient.content
    assert shown["edge-x-q-0"] == ("−2", "−4") and shown["edge-f--0"] == ("−12", "1")


def test_sigmoid_neuron_shows_the_numbers_of_the_lecture() -> None:
    scene = sigmoid_neuron()
    texts = [item for item in flat(scene.items) if isinstance(item, Text)]
    assert {"0.73", "1.37", "0.37", "−1.00", "4.00"} <= {t.content for t in texts if t.role == "value"}
    gradients = {t.content for t in texts if t.role == "gradient"}
    assert {"−0.53", "−0.20", "0.20", "1.00", "0.39", "−0.59"} <= gradients


def test_outputs_get_a_stub() -> None:
    nodes = [PictureNode("x", "input", "x"), PictureNode("f", "output", "exp")]
    scene = draw_graph(nodes, [PictureEdge("x", "f")])
    assert [g.id for g in scene.items if isinstance(g, Group)][:2] == ["edge-x-f-0", "edge-f--0"]
    two = draw_graph(nodes, [PictureEdge("x", "f"), PictureEdge("f", None, 0, "2", "1")])
    assert sum(isinstance(g, Group) and g.id.startswith("edge-f") for g in two.items) == 1


def test_same_node_twice() -> None:
    nodes = [PictureNode("x", "input", "x"), PictureNode("f", "output", "×")]
    edges = [PictureEdge("x", "f", i, "3", "3") for i in range(2)]
    ids = [g.id for g in draw_graph(nodes, edges).items if isinstance(g, Group)]
    assert ids[:2] == ["edge-x-f-0", "edge-x-f-1"] and len(set(ids)) == len(ids)


def test_results_returned_twice_and_ids_with_hyphens_do_not_collide() -> None:
    nodes = [PictureNode(name, "op", name) for name in ("a", "a-b", "b-c", "c")]
    edges = [PictureEdge("a", "b-c"), PictureEdge("a-b", "c"), PictureEdge("c", None), PictureEdge("c", None)]
    ids = [g.id for g in draw_graph(nodes, edges).items if isinstance(g, Group)]
    assert len(ids) == 8 and len(set(ids)) == 8


def test_a_sum_stands_between_its_operands() -> None:
    scene = product_of_sum()
    boxes = {g.id: g.items[0] for g in scene.items if isinstance(g, Group) and g.id.startswith("node")}
    middle = {name: box.y + box.height / 2 for name, box in boxes.items() if isinstance(box, Rect)}
    assert middle["node-q"] == pytest.approx((middle["node-x"] + middle["node-y"]) / 2, abs=1)
    assert middle["node-q"] == pytest.approx(middle["node-f"], abs=0.01), "the main line is straight"


def test_unknown_ends_are_refused() -> None:
    with pytest.raises(InternalError, match="no end: x -> g"):
        draw_graph([PictureNode("x", "input", "x")], [PictureEdge("x", "g")])


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_contrast(palette: dict[str, str]) -> None:
    for role in TEXT_ROLES:
        assert contrast(palette[role], palette["paper"]) >= 4.5, role
    for fill in NODE_FILLS:
        for role in ("ink", "muted"):
            assert contrast(palette[role], palette[fill]) >= 4.5, (role, fill)
        assert contrast(palette[fill.replace("fill", "line")], palette["paper"]) >= 3
    assert contrast(palette["edge"], palette["paper"]) >= 3
    assert set(LIGHT) == set(DARK)


@pytest.mark.parametrize("name", PICTURES)
def test_svg_is_well_formed_and_self_contained(name: str) -> None:
    svg = to_svg(PICTURES[name]())
    root = ET.fromstring(svg)
    assert root.tag == f"{SVG}svg" and root[0].tag == f"{SVG}title" and root[1].tag == f"{SVG}desc"
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    assert set((root.get("aria-labelledby") or "").split()) <= set(ids)
    tags = {element.tag.removeprefix(SVG) for element in root.iter()}
    assert tags <= {"svg", "title", "desc", "style", "g", "rect", "path", "text"}
    assert re.findall(r"(?:href|src|url\(|@import|https?://(?!www\.w3\.org/2000/svg))", svg) == []
    assert "nan" not in svg and "inf" not in re.sub(r"<[^>]*>[^<]*<", "", svg)


def test_dark_mode() -> None:
    scene = product_of_sum()
    auto, light, dark = (to_svg(scene, theme=theme) for theme in ("auto", "light", "dark"))
    assert "prefers-color-scheme:dark" in auto and f"{{fill:{DARK['value']}}}" in auto
    assert "<style>" not in light and DARK["value"] not in light
    assert "<style>" not in dark and LIGHT["value"] not in dark and DARK["paper"] in dark
    classes = set(re.findall(r'class="((?:[fs]-[a-z-]+ ?)+)"', auto))
    for one in " ".join(classes).split():
        assert f".graphc .{one}{{" in auto, "every role in use has a rule for dark mode"


def test_hostile_text_is_escaped() -> None:
    text = '</text><script>alert("&")</script>\x00\ud800  x'
    scene = draw_graph([PictureNode(text, "op", text, text, (text,))], [], title=text)
    root = ET.fromstring(to_svg(scene).encode())
    assert not [e for e in root.iter() if e.tag.endswith("script")]
    assert "\ufffd\ufffd" in (root[0].text or "")


def test_identifiers_do_not_collide() -> None:
    names = ["x", "x.1", "x_1", "x_2e_1", "x 1", "σ", "x-1", ""]
    assert len({identifier(name) for name in names}) == len(names)


def test_long_text_is_cut_and_kept_in_the_tool_tip() -> None:
    value = "[" + ", ".join(str(i) for i in range(200)) + "]"
    scene = draw_graph([PictureNode("f", "output", "×")], [PictureEdge("f", None, 0, value, "1")])
    texts = [t.content for t in flat(scene.items) if isinstance(t, Text)]
    assert any(t.startswith("[0, 1, 2") and t.endswith("…") for t in texts)
    assert value in next(g.title for g in scene.items if isinstance(g, Group))
    assert scene.width < 400


def test_widths() -> None:
    assert text_width("", 12) == 0 == lines_width([], 12)
    assert text_width("ab", 10) == pytest.approx((0.613 + 0.635) * 10 * 1.03)
    assert text_width("ab", 20) == pytest.approx(2 * text_width("ab", 10))
    assert advance("é") == advance("e") and advance("\u0301") == 0 and advance("中") == 1.3
    assert advance("i", mono=True) == advance("W", mono=True) == 0.602
    assert all(advance(c, bold=True) >= advance(c) for c in "abcABC019σ∂×")
    for limit in (5, 20, 50, 90):
        short = shorten("the quick brown fox", 10, limit)
        assert short == "…" or (text_width(short, 10) <= limit and short.endswith("…"))
    assert shorten("fox", 10, 90) == "fox"


def digest() -> str:
    return hashlib.sha256("".join(to_svg(make()) for make in PICTURES.values()).encode()).hexdigest()


def test_same_bytes_in_another_process() -> None:
    root = Path(__file__).resolve().parents[2]
    code = f"import sys; sys.path[:0] = [{str(root)!r}, {str(Path(__file__).parent)!r}]; " + (
        "import test_svg; print(test_svg.digest())"
    )
    env = {**os.environ, "PYTHONHASHSEED": "12345"}
    out = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == digest()
