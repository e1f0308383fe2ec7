"""From nodes to the lecture picture: what stands in each box and on each edge.

A number stands inside the operation that uses it ("× 2"), so that constants do not clutter the picture.

>>> from graphc.lang.tensor import inputs
>>> from graphc.show.naming import name_nodes
>>> x, y = inputs("x y")
>>> outputs = [(x * y + 1.0).node]
>>> [n.label for n in draw(outputs, name_nodes(outputs, {})).nodes]
['x', 'y', '×', '+ 1']
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from graphc.autodiff.trace import Trace
from graphc.errors import ArgumentError, GraphcError
from graphc.ir.node import Node, toposort
from graphc.ir.types import Array
from graphc.ops.elementwise import Elementwise
from graphc.ops.leaves import Const, Input, Param
from graphc.show.chain import Chain
from graphc.show.formula import Formula, formulas
from graphc.show.naming import is_number
from graphc.show.notation import compose
from graphc.show.picture import Kind, PictureEdge, PictureNode, draw_graph
from graphc.show.svg import to_svg
from graphc.tables import array_text, number

_SIGNS = {
    "add": "+",
    "sub": "−",
    "mul": "×",
    "div": "÷",
    "neg": "−",
    "pow": "^",
    "square": "( )²",
    "sqrt": "√",
    "reciprocal": "1/( )",
    "contract": "@",
    "sum": "Σ",
    "sigmoid": "σ",
    "expand": "broadcast",
    "transpose": "( )ᵀ",
    "less": "<",
    "less_equal": "≤",
    "greater": ">",
    "greater_equal": "≥",
    "equal": "=",
    "not_equal": "≠",
    "logical_and": "∧",
    "logical_or": "∨",
    "logical_not": "¬",
}
_INFIX = frozenset(["add", "sub", "mul", "div", "pow", "less", "less_equal", "greater", "greater_equal"])
_FEW = 3  # elements of a tensor that are written on an edge
_DEEP = 12  # the longest path that is drawn from left to right; deeper graphs run downwards
_LINES = 3  # local gradients that are written at one node


@dataclass(frozen=True)
class Picture:
    """A drawn graph: `svg` and `dot` are its texts; a notebook shows it by itself."""

    nodes: tuple[PictureNode, ...]
    edges: tuple[PictureEdge, ...]
    svg: str

    @property
    def dot(self) -> str:
        """The same graph for Graphviz, without its layout."""
        lines = ["digraph graphc {", "  rankdir=LR;", '  node [fontname="Helvetica"];']
        for n in self.nodes:
            shape = "ellipse" if n.kind == "input" else "box"
            label = "\\n".join(_dot(part) for part in (n.label, n.detail, *n.local) if part)
            lines.append(f'  "{_dot(n.id)}" [shape={shape}, label="{label}"];')
        for e in self.edges:
            if e.target is not None:
                label = "\\n".join(_dot(part) for part in (e.value, e.gradient) if part)
                lines.append(f'  "{_dot(e.source)}" -> "{_dot(e.target)}" [label="{label}"];')
        return "\n".join([*lines, "}", ""])

    def save(self, path: str | Path) -> Path:
        """Write a file; the suffix says what: .svg or .dot."""
        target = Path(path)
        writers = {".svg": lambda: self.svg, ".dot": lambda: self.dot, ".gv": lambda: self.dot}
        suffix = target.suffix.lower()
        if suffix in (".pdf", ".png"):
            raise GraphcError(
                f"cannot write {target.name}: this version writes .svg and .dot",
                why=f"{suffix} comes with a later version",
                fix="write an .svg; a browser prints it as .pdf, the package resvg_py makes a .png of it",
            )
        if suffix not in writers:
            raise ArgumentError(
                f"cannot write {target.name}: the suffix is not known", fix="use .svg or .dot"
            )
        target.write_text(writers[suffix](), encoding="utf-8")
        return target

    def _repr_svg_(self) -> str:
        return self.svg

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/plain": repr(self), "image/svg+xml": self.svg}

    def __repr__(self) -> str:
        return f"Picture({len(self.nodes)} nodes, {len(self.edges)} edges)"


def draw_trace(record: Trace, chain: Chain) -> Picture:
    """The picture of both passes: values above the edges, gradients below, local gradients at the nodes."""
    gradients = {
        (row.node, row.operand): _number(record.values[row.downstream]) for row in record.gradients.edges
    }
    local: dict[Node, list[str]] = {}
    for row, e in zip(chain.edges, record.gradients.edges, strict=True):
        formula = row.local.formula.replace("U -> ", "U ↦ ")
        parts = [row.local.symbol, _minus(formula)]
        if row.local.value is not None and row.local.value.ndim == 0:
            parts.append(_number(row.local.value))
        line = " = ".join(dict.fromkeys(parts)).replace(" = U ↦", ": U ↦")
        if line not in local.setdefault(e.node, []):
            local[e.node].append(line)
    totals = {
        q.operand.symbol: f"{q.total.symbol} = {_number(q.total.value)}"
        for q in chain.sums
        if q.total.value is not None
    }
    return draw(
        [record.output],
        chain.symbols,
        record.values,
        gradients=gradients,
        local={n: tuple(lines) for n, lines in local.items()},
        totals={n: totals[s.text] for n, s in chain.symbols.items() if s.text in totals},
        seed="1",
    )


def draw(
    outputs: Sequence[Node],
    symbols: Mapping[Node, Formula],
    values: Mapping[Node, Array] | None = None,
    *,
    gradients: Mapping[tuple[Node, int], str] | None = None,
    local: Mapping[Node, tuple[str, ...]] | None = None,
    totals: Mapping[Node, str] | None = None,
    seed: str | None = None,
) -> Picture:
    """The picture of a graph; what stands on its edges and at its nodes is given by node and operand."""
    order = [n for n in toposort(outputs) if not is_number(n) or n in outputs]
    ids = {n: symbols[n].text if n in symbols else f"n{k}" for k, n in enumerate(order)}
    ends = set(outputs)
    nodes, edges = [], []
    for n in order:
        label, inside = _label(n, symbols)
        lines = (local or {}).get(n, ())
        more = (f"… and {len(lines) - _LINES} more",) if len(lines) > _LINES else ()
        detail = _detail(n, symbols, label)
        total = (totals or {}).get(n)
        lines = (*lines[:_LINES], *more) + ((_minus(total),) if total else ())
        picture = PictureNode(ids[n], _kind(n, n in ends), label, detail, lines)
        for k, s in enumerate(n.src):
            if k in inside:
                continue
            if s not in ids:  # a number that is an operand of its own
                constant = f"{ids[n]}.{k}"
                nodes.append(PictureNode(constant, "const", _number_label(s)))
                edges.append(PictureEdge(constant, ids[n], k))
                continue
            value = None if values is None else _number(values[s])
            edges.append(PictureEdge(ids[s], ids[n], k, value, (gradients or {}).get((n, k))))
        nodes.append(picture)
    for n in dict.fromkeys(outputs):
        value = None if values is None else _number(values[n])
        edges.append(PictureEdge(ids[n], None, 0, value, seed))
    scene = draw_graph(
        nodes, edges, direction="TB" if _depth(order) > _DEEP else "LR", title=_title(outputs, symbols)
    )
    return Picture(tuple(nodes), tuple(edges), to_svg(scene))


def _depth(order: Sequence[Node]) -> int:
    """The number of edges on the longest path."""
    depth: dict[Node, int] = {}
    for n in order:
        depth[n] = max((depth[s] + 1 for s in n.src if s in depth), default=0)
    return max(depth.values(), default=0)


def _title(outputs: Sequence[Node], symbols: Mapping[Node, Formula]) -> str:
    """`f = (x + y) * z`, spelled out to the inputs where that is short."""
    if len(outputs) != 1 or outputs[0] not in symbols or len(toposort(outputs)) > 40:
        return ""
    leaves = {n: s for n, s in symbols.items() if not n.src}
    text = formulas(outputs, leaves)[0][outputs[0]].whole().text if outputs[0].src else ""
    return _minus(f"{symbols[outputs[0]].text} = {text}") if 0 < len(text) <= 70 else ""


def _kind(n: Node, last: bool) -> Kind:
    if isinstance(n.op, Input):
        return "input"
    if isinstance(n.op, Param):
        return "param"
    if isinstance(n.op, Const):
        return "const"
    return "output" if last else "op"


def _label(n: Node, symbols: Mapping[Node, Formula]) -> tuple[str, tuple[int, ...]]:
    """What stands in a node, and the operands that are said there: "× 2" has the number inside."""
    if not n.src:
        return (symbols[n].text if n in symbols else _number_label(n)), ()
    sign = _SIGNS.get(n.op.label, n.op.label)
    numbers = [k for k, s in enumerate(n.src) if is_number(s)]
    if isinstance(n.op, Elementwise) and n.op.row_name in _INFIX and len(numbers) == 1:
        value = _number_label(n.src[numbers[0]])
        first = numbers[0] == 0 and not n.op.row.commutative
        return (f"{value} {sign}" if first else f"{sign} {value}"), tuple(numbers)
    return sign, ()


def _number_label(n: Node) -> str:
    while n.src:
        n = n.src[0]
    return _minus(compose(n, ()).whole().text)


def _detail(n: Node, symbols: Mapping[Node, Formula], label: str) -> str:
    """The name of a node that the user or the numbering gave, and its type where it is a tensor."""
    name = symbols[n].text if n in symbols and symbols[n].text != label else ""
    shape = str(n.type) if n.type.rank else ""
    return ": ".join(part for part in (name, shape) if part)


def _number(value: Array | None) -> str:
    """A value for an edge: a number, a few of them, or the range of many."""
    if value is None:
        return ""
    if value.size <= _FEW or value.dtype.kind == "b":
        return _minus(array_text(value, 4 if value.size == 1 else 2))
    low, high = (number(float(v), 2) for v in (value.min(), value.max()))
    return _minus(low if low == high else f"{low}…{high}")


def _minus(text: str) -> str:
    """The sign of mathematics, with the hyphens of formulas turned into it."""
    return text.replace("-", "−").replace("**2", "²").replace(" * ", " · ")


def _dot(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
