"""A scene: the one display list behind every picture, from which SVG, PDF and the browser's page are written.

    scene  ::= viewBox title description item*
    item   ::= Rect | Path | Text | Group(id, kind, title, item*)
    step   ::= ("M", p) | ("L", p) | ("C", p, p, p) | ("Z")          p = (x, y), y downwards, in pixels

Colours are *roles*; a `Palette` gives each role a colour, so one scene serves light and dark paper.  The
colours are told apart by people with colour-blindness (green leans to blue, red to orange, and they differ
in lightness in dark mode), and no meaning hangs on colour alone: values stand above an edge and gradients
below it, and kinds of nodes differ in outline.  Every text role reaches a contrast of 4.5:1 on every fill
that it is used on (WCAG 2, AA).

>>> box = Group("n-x", "node input", "the input x", (Rect(0, 0, 40, 20, "input_fill", "input_line"),))
>>> Scene(40, 20, (box,), title="x").items[0].title
'the input x'
>>> LIGHT["paper"], DARK["paper"]
('#ffffff', '#0d1117')
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

Role = Literal[
    "paper",
    "ink",
    "muted",
    "edge",
    "value",
    "gradient",
    "local",
    "input_fill",
    "input_line",
    "param_fill",
    "param_line",
    "const_fill",
    "const_line",
    "op_fill",
    "op_line",
    "output_fill",
    "output_line",
]
Anchor = Literal["start", "middle", "end"]
Weight = Literal["normal", "bold"]
Family = Literal["sans", "mono"]
Point: TypeAlias = tuple[float, float]
Palette: TypeAlias = Mapping[Role, str]

LIGHT: Palette = MappingProxyType(
    {
        "paper": "#ffffff",
        "ink": "#1b1f24",
        "muted": "#505862",
        "edge": "#68717b",
        "value": "#00694b",
        "gradient": "#b3361b",
        "local": "#5a3e9e",
        "input_fill": "#e1edfb",
        "input_line": "#2f66a9",
        "param_fill": "#fdf0d5",
        "param_line": "#8f6000",
        "const_fill": "#f0f1f3",
        "const_line": "#68717b",
        "op_fill": "#ffffff",
        "op_line": "#3d444d",
        "output_fill": "#eae6f8",
        "output_line": "#3d2c80",
    }
)
DARK: Palette = MappingProxyType(
    {
        "paper": "#0d1117",
        "ink": "#e6edf3",
        "muted": "#a3adb8",
        "edge": "#8b949e",
        "value": "#4fd8a6",
        "gradient": "#ff8d6e",
        "local": "#c3b1ff",
        "input_fill": "#142d4c",
        "input_line": "#79b0ff",
        "param_fill": "#382b0d",
        "param_line": "#dba642",
        "const_fill": "#22272e",
        "const_line": "#8b949e",
        "op_fill": "#161b22",
        "op_line": "#c0cad4",
        "output_fill": "#2a2250",
        "output_line": "#c3b1ff",
    }
)

TEXT_ROLES: tuple[Role, ...] = ("ink", "muted", "value", "gradient", "local")
NODE_FILLS: tuple[Role, ...] = ("input_fill", "param_fill", "const_fill", "op_fill", "output_fill")


@dataclass(frozen=True, slots=True)
class Rect:
    """A rectangle with corners of `radius`; `dash` is a dashed outline."""

    x: float
    y: float
    width: float
    height: float
    fill: Role | None = None
    stroke: Role | None = None
    stroke_width: float = 1.0
    radius: float = 0.0
    dash: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a path: move (1 point), line (1), cubic Bezier curve (3), close (0)."""

    op: Literal["M", "L", "C", "Z"]
    points: tuple[Point, ...] = ()


@dataclass(frozen=True, slots=True)
class Path:
    """An open or closed outline."""

    steps: tuple[Step, ...]
    fill: Role | None = None
    stroke: Role | None = None
    stroke_width: float = 1.0


@dataclass(frozen=True, slots=True)
class Text:
    """One line of text; `y` is the baseline, `anchor` says which part of the line is at `x`."""

    x: float
    y: float
    content: str
    size: float = 12.0
    role: Role = "ink"
    anchor: Anchor = "start"
    weight: Weight = "normal"
    family: Family = "sans"
    italic: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """Items that belong together: `id` is stable and unique, `kind` is a class, `title` a tool tip."""

    id: str
    kind: str
    title: str
    items: tuple[Item, ...]


Item: TypeAlias = Rect | Path | Text | Group


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture from (0, 0) to (width, height); `title` and `description` also serve who cannot see it."""

    width: float
    height: float
    items: tuple[Item, ...]
    title: str = ""
    description: str = ""


def polyline(*points: Point) -> tuple[Step, ...]:
    """Straight steps through points.

    >>> [step.op for step in polyline((0, 0), (1, 0), (1, 1))]
    ['M', 'L', 'L']
    """
    return tuple(Step("L" if i else "M", (point,)) for i, point in enumerate(points))
