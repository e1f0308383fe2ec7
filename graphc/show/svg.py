"""Scene -> SVG text: one self-contained file, the same bytes for the same scene.

No scripts, no links, no fonts, nothing to load.  The light palette stands in attributes, which every
renderer knows; a style sheet recolours the picture for readers who prefer dark mode.  `<title>` and
`<desc>` serve screen readers, and each group's `<title>` is a tool tip.  Ids start with `prefix`: give
pictures on one page different ones.

| theme   | colours                                                       |
|---------|---------------------------------------------------------------|
| "auto"  | light, and dark under `@media (prefers-color-scheme: dark)`   |
| "light" | light only (print)                                            |
| "dark"  | dark only                                                     |

>>> from graphc.show.scene import Rect, Scene, Text
>>> svg = to_svg(Scene(60, 20, (Text(4, 14, "x < y"),), title="a comparison"), theme="light")
>>> svg.splitlines()[-2]
'<text x="4" y="14" font-size="12" fill="#1b1f24">x &lt; y</text>'
>>> "script" in svg or "href" in svg
False
"""

from __future__ import annotations

import re
from typing import Literal

from graphc.errors import InternalError
from graphc.show.fonts import MONO, SANS
from graphc.show.scene import DARK, LIGHT, Group, Item, Palette, Path, Rect, Role, Scene, Text

Theme = Literal["auto", "light", "dark"]

_DASH = "4 3"
# Everything that XML 1.0 does not allow, lone surrogates included.
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}


def to_svg(scene: Scene, *, theme: Theme = "auto", prefix: str = "graphc") -> str:
    """The SVG document of a scene, ending in a newline."""
    palette = DARK if theme == "dark" else LIGHT
    writer = _Writer(palette, prefix, classes=theme == "auto")
    body = writer.items((Rect(0, 0, scene.width, scene.height, "paper"), *scene.items))
    width, height = number(scene.width), number(scene.height)
    labels = [f"{prefix}-title"] * bool(scene.title) + [f"{prefix}-desc"] * bool(scene.description)
    described = f' aria-labelledby="{" ".join(labels)}"' if labels else ""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
        f' viewBox="0 0 {width} {height}" class="graphc" role="img"'
        f' font-family="{families(SANS)}"{described}>'
    )
    lines = [head]
    if scene.title:
        lines.append(f'<title id="{prefix}-title">{escape(scene.title)}</title>')
    if scene.description:
        lines.append(f'<desc id="{prefix}-desc">{escape(scene.description)}</desc>')
    if theme == "auto":
        lines.append(f"<style>{writer.dark_rules()}</style>")
    return "\n".join([*lines, *body, "</svg>"]) + "\n"


def number(value: float) -> str:
    """A coordinate to a hundredth of a pixel, as short as it can be.

    >>> number(3.0), number(0.1 + 0.2), number(-0.001)
    ('3', '0.3', '0')
    """
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def escape(text: str) -> str:
    """Text for XML; what XML cannot hold becomes U+FFFD.

    >>> escape('a < b & "c"\\x00')
    'a &lt; b &amp; &quot;c&quot;�'
    """
    return "".join(_ESCAPES.get(c, c) for c in _ILLEGAL.sub("\ufffd", text))


def identifier(text: str) -> str:
    """An XML id from any text; different texts give different ids.

    >>> identifier("x.1"), identifier("x_2e1")
    ('x_2e_1', 'x_5f_2e1')
    """
    return "".join(c if c.isascii() and (c.isalnum() or c == "-") else f"_{ord(c):x}_" for c in text)


def families(names: tuple[str, ...]) -> str:
    """A font-family list for an attribute, with names of several words quoted."""
    return ", ".join(f"'{name}'" if " " in name else name for name in names)


class _Writer:
    """Writes items, and remembers which roles it used as a fill and as a stroke."""

    def __init__(self, palette: Palette, prefix: str, *, classes: bool) -> None:
        self._palette = palette
        self._prefix = prefix
        self._classes = classes
        self._used: dict[tuple[str, Role], None] = {}

    def items(self, items: tuple[Item, ...]) -> list[str]:
        """One line per item; groups are opened and closed around theirs."""
        lines: list[str] = []
        stack: list[Item | str] = list(reversed(items))
        while stack:
            item = stack.pop()
            if isinstance(item, str):
                lines.append(item)
            elif isinstance(item, Group):
                lines.append(f'<g id="{self._prefix}-{identifier(item.id)}" class="{escape(item.kind)}">')
                if item.title:
                    lines.append(f"<title>{escape(item.title)}</title>")
                stack.append("</g>")
                stack.extend(reversed(item.items))
            else:
                lines.append(self._shape(item))
        return lines

    def _shape(self, item: Rect | Path | Text) -> str:
        if isinstance(item, Rect):
            box = zip(("x", "y", "width", "height"), (item.x, item.y, item.width, item.height), strict=True)
            attributes = "".join(f' {name}="{number(value)}"' for name, value in box)
            if item.radius:
                attributes += f' rx="{number(item.radius)}"'
            if item.dash:
                attributes += f' stroke-dasharray="{_DASH}"'
            return f"<rect{attributes}{self._paint(item.fill, item.stroke, item.stroke_width)}/>"
        if isinstance(item, Path):
            steps = (
                step.op + " ".join(f"{number(x)} {number(y)}" for x, y in step.points) for step in item.steps
            )
            return f'<path d="{"".join(steps)}"{self._paint(item.fill, item.stroke, item.stroke_width)}/>'
        if isinstance(item, Text):
            attributes = f' x="{number(item.x)}" y="{number(item.y)}" font-size="{number(item.size)}"'
            if item.anchor != "start":
                attributes += f' text-anchor="{item.anchor}"'
            if item.weight == "bold":
                attributes += ' font-weight="bold"'
            if item.italic:
                attributes += ' font-style="italic"'
            if item.family == "mono":
                attributes += f' font-family="{families(MONO)}"'
            # SVG joins runs of spaces; no-break spaces keep them apart.
            content = escape(item.content).replace("  ", "\u00a0\u00a0")
            return f"<text{attributes}{self._paint(item.role, None, 0)}>{content}</text>"
        raise InternalError(f"a scene holds a {type(item).__name__}")

    def _paint(self, fill: Role | None, stroke: Role | None, width: float) -> str:
        names: list[str] = []
        colours = ""
        if fill is not None:
            colours += f' fill="{self._palette[fill]}"'
            names.append(self._name("f", fill))
        elif stroke is not None:
            colours += ' fill="none"'
        if stroke is not None:
            colours += f' stroke="{self._palette[stroke]}" stroke-width="{number(width)}"'
            names.append(self._name("s", stroke))
        return (f' class="{" ".join(names)}"' if self._classes else "") + colours

    def _name(self, kind: str, role: Role) -> str:
        self._used[kind, role] = None
        return f"{kind}-{role.replace('_', '-')}"

    def dark_rules(self) -> str:
        """The style sheet for dark mode, with the used roles only; rules win over attributes."""
        rules = "".join(
            f".graphc .{self._name(kind, role)}{{{name}:{DARK[role]}}}"
            for role in DARK
            for kind, name in (("f", "fill"), ("s", "stroke"))
            if (kind, role) in self._used
        )
        return f"@media (prefers-color-scheme:dark){{{rules}}}"
