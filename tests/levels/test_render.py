"""gc.render: the lecture picture of any graph, as SVG and DOT."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

import graphc as gc
from graphc.errors import ArgumentError, GraphcError
from graphc.show.render import Picture, render

SVG = "{http://www.w3.org/2000/svg}"


def texts(picture: Picture) -> list[str]:
    return [t.text or "" for t in ET.fromstring(picture.svg).iter(f"{SVG}text")]


def test_w03_has_every_number_of_the_slide() -> None:
    x, y, z = gc.inputs("x y z")
    q = x + y
    f = q * z
    picture = render(f, at={x: -2.0, y: 5.0, z: -4.0})
    assert [(e.source, e.target, e.value, e.gradient) for e in picture.edges] == [
        ("x", "q", "−2", "−4"), ("y", "q", "5", "−4"), ("q", "f", "3", "−4"), ("z", "f", "−4", "3"),
        ("f", None, "−12", "1"),
    ]  # fmt: skip
    nodes = {n.id: n for n in picture.nodes}
    assert nodes["f"].local == ("∂f/∂q = z = −4", "∂f/∂z = q = 3") and nodes["f"].kind == "output"
    assert nodes["q"].local == ("∂q/∂x = 1", "∂q/∂y = 1") and nodes["q"].label == "+"
    shown = texts(picture)
    for text in ("f = (x + y) · z", "−12", "3", "−4", "∂f/∂z = q = 3"):
        assert text in shown


def test_without_values_the_types_are_shown() -> None:
    X, W = gc.input("X", ("N", 3)), gc.param("W", (3, 4))
    picture = render(gc.relu(X.astype("float32") @ W))
    assert {n.id: (n.kind, n.detail) for n in picture.nodes}["W"] == ("param", "f32[3,4]")
    assert all(e.value is None and e.gradient is None for e in picture.edges)


def test_numbers_stand_inside_the_operation_that_uses_them() -> None:
    x = gc.input("x", (3,))
    picture = render(2.0 * x - 1.0 + 3.0 / x)
    labels = sorted(n.label for n in picture.nodes)
    assert labels == ["+", "3 ÷", "x", "× 2", "− 1"]
    leaky = render(gc.leaky_relu(x, 0.1))
    assert [n.kind for n in leaky.nodes] == ["input", "const", "output"]


def test_a_shared_tensor_shows_its_shares_and_their_sum() -> None:
    x, y = gc.inputs("x y")
    picture = render(x * y + gc.exp(x), at={x: 0.0, y: 3.0})
    assert sorted(e.gradient for e in picture.edges if e.source == "x" and e.gradient) == ["1", "3"]
    assert "∂f/∂x = 4" in next(n for n in picture.nodes if n.id == "x").local


def test_integers_and_several_outputs_have_values_but_no_gradients() -> None:
    x = gc.input("x", (4,))
    picture = render([gc.argmax(x), gc.sum(x)], at={x: [1.0, 5.0, 2.0, 0.0]})
    stubs = [e for e in picture.edges if e.target is None]
    assert [(e.value, e.gradient) for e in stubs] == [("1", None), ("8", None)]


def test_stages() -> None:
    x, y = gc.inputs("x y")
    f = gc.tanh(x) * y
    assert len(render(f, stage="gradient").nodes) > len(render(f).nodes) == 4
    assert len(render(f, stage="optimized").nodes) <= 4
    fn = gc.compile([x, y], [f, x + y], backend="reference")
    assert len([n for n in render(fn).nodes if n.kind == "output"]) == 2
    with pytest.raises(ArgumentError, match="cannot draw the stage 'llvm'"):
        render(f, stage="llvm")


def test_files(tmp_path: Path) -> None:
    x, y = gc.inputs("x y")
    f = x * y
    picture = render(f, tmp_path / "f.svg", at={x: 1.0, y: 2.0})
    assert (tmp_path / "f.svg").read_text(encoding="utf-8") == picture.svg == picture._repr_svg_()
    render(f, str(tmp_path / "f.dot"))
    dot = (tmp_path / "f.dot").read_text(encoding="utf-8")
    assert dot.startswith("digraph graphc {") and '"x" -> "f"' in dot and dot.endswith("}\n")
    for suffix in ("pdf", "png"):
        with pytest.raises(GraphcError, match=r"writes \.svg and \.dot[\s\S]*later version[\s\S]*resvg_py"):
            render(f, tmp_path / f"f.{suffix}")
    with pytest.raises(ArgumentError, match="suffix is not known"):
        render(f, tmp_path / "f.jpg")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["f.dot", "f.svg"]


def test_dot_escapes_what_it_must() -> None:
    x = gc.input('a"b')
    assert '\\"' in render(gc.exp(x)).dot


def test_deep_graphs_run_downwards_and_wide_tensors_show_their_range() -> None:
    x = gc.input("x", (50,))
    h = x
    for _ in range(20):
        h = gc.sin(h)
    picture = render(gc.sum(h), at={x: np.linspace(0.0, 1.0, 50)})
    size = ET.fromstring(picture.svg)
    assert float(size.get("height") or 0) > float(size.get("width") or 0)
    assert picture.edges[0].value == "0…1"


def test_only_tensors_and_functions_can_be_drawn() -> None:
    with pytest.raises(ArgumentError, match="only tensors and compiled functions can be drawn, not int"):
        render([1])  # type: ignore[list-item]


def test_the_record_draws_itself(tmp_path: Path) -> None:
    x, y = gc.inputs("x y")
    f = x * y
    t = gc.backprop(f, at={x: 2.0, y: 3.0})
    assert t.to_svg(tmp_path / "t.svg") == (tmp_path / "t.svg").read_text(encoding="utf-8")
    assert t.to_svg() == render(f, at={x: 2.0, y: 3.0}).svg
