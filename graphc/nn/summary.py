"""A model layer by layer: shapes, parameters, multiply-adds and receptive fields, read off its graph.

All figures come from the operations themselves, so formulas that were written outside layers count too.

* multiply-adds, for one example: contractions and convolutions, one for each product;
* receptive field: how many pixels of the input one output sees. A window of k at stride s makes it
  r + (k − 1)·j, and j·s pixels lie between neighbours, where j lay before (r = j = 1 at the input).

>>> from graphc.nn import Conv2D, Flatten, Input, MaxPool2D, Model
>>> x = Input((1, 28, 28))
>>> s = summarise(Model(x, Flatten()(MaxPool2D(2)(Conv2D(20, 5, padding="same")(x)))))
>>> s.parameters, s.macs, [row.field for row in s.rows]
(520, 392000, ['', '5', '6', '6'])
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING

from graphc.ir.dims import evaluate, names
from graphc.ir.node import Node, toposort
from graphc.ir.types import TensorType
from graphc.nn.calls import Call, calls_of
from graphc.ops.contract import Contract
from graphc.ops.control import Scan
from graphc.ops.conv import Conv
from graphc.ops.gather import Gather
from graphc.ops.leaves import Input, Param
from graphc.ops.reduce import Reduce
from graphc.ops.views import Pad, Reshape, Transpose
from graphc.ops.window import Window

if TYPE_CHECKING:
    from rich.table import Table

    from graphc.nn.model import Model

Pair = tuple[int, ...]
Field = tuple[Pair, Pair] | None
"""(r, j) for each spatial axis; None where an output sees everything, no axes where the pixels were laid out anew."""


_UNKNOWN: Field = ((), ())


@dataclass(frozen=True, slots=True)
class Row:
    """One layer: its name, how it is written, the shapes of its output and kernel, and what it costs."""

    name: str
    layer: str
    output: tuple[int | str, ...]
    weights: tuple[int, ...] | None
    parameters: int
    macs: int
    field: str


@dataclass(frozen=True)
class Summary:
    """The rows of `Model.summary`, and their sums; as text, the table."""

    title: str
    rows: tuple[Row, ...]
    parameters: int
    macs: int
    bytes: int

    def table(self) -> Table:
        """As a table for rich."""
        from rich.box import SIMPLE_HEAD
        from rich.table import Table
        from rich.text import Text

        fields = any(row.field not in ("", "all") for row in self.rows)
        size = f"{self.bytes / 2**20:.1f} MiB" if self.bytes >= 2**20 else f"{self.bytes / 2**10:.1f} KiB"
        table = Table(box=SIMPLE_HEAD, padding=0, show_edge=False, show_footer=True, footer_style="bold")
        table.title, table.title_justify, table.title_style = self.title, "left", "bold"
        table.add_column("name", "total", no_wrap=True)
        table.add_column("layer", overflow="fold")
        table.add_column("output", justify="right", no_wrap=True)
        table.add_column("weights", size, justify="right", no_wrap=True)
        table.add_column("parameters", grouped(self.parameters), justify="right")
        table.add_column("mult-adds", grouped(self.macs), justify="right")
        if fields:
            table.add_column("field", justify="right", no_wrap=True)
        for row in self.rows:
            cells = [
                row.name,
                row.layer,
                "×".join(map(str, row.output)),
                "×".join(map(str, row.weights or ())),
            ]
            cells += [
                grouped(row.parameters) if row.parameters else "",
                grouped(row.macs) if row.macs else "",
            ]
            table.add_row(*map(Text, cells + [row.field] * fields))
        return table

    def __str__(self) -> str:
        from rich.console import Console

        text = StringIO()
        Console(file=text, width=140, color_system=None, legacy_windows=False).print(self.table())
        return "\n".join(line.rstrip() for line in text.getvalue().splitlines())

    def __repr__(self) -> str:
        return (
            f"<{self.title}: {len(self.rows)} rows, {grouped(self.parameters)} parameters, "
            f"{grouped(self.macs)} multiply-adds>"
        )


def summarise(model: Model) -> Summary:
    """The summary of a model."""
    order = toposort([model.outputs.node])
    fields = receptive_fields(order)
    rows = [
        _row(t.node.op.title, "Input", t.node, (), ()) for t in model.inputs if isinstance(t.node.op, Input)
    ]
    # What only training keeps, such as the counter of a dropout, is no weight.
    counted = {n for n in order if isinstance(n.op, Param)} - {p.node for p in model.weights}
    for n in order:
        rows.extend(_layer_row(call, n, counted, fields) for call in calls_of(n))
    rest = [n for n in order if n not in counted]
    if any(isinstance(n.op, Param) or macs(n) for n in rest):
        rows.append(_row("", "outside layers", model.outputs.node, (), rest))
    parameters = [p.value for p in model.weights]
    total = sum(row.macs for row in rows)
    size = sum(p.nbytes for p in parameters)
    return Summary(model.name, tuple(rows), sum(p.size for p in parameters), total, size)


def _layer_row(call: Call, result: Node, counted: set[Node], fields: dict[Node, Field]) -> Row:
    """The row of one application of a layer; marks its nodes as counted."""
    own = _between(call.sources or (result,), result, counted)
    # Those that only a model that predicts reads, such as a running mean, are no operands of the result.
    own += [p.node for p in call.layer.parameters if p.node not in counted and p.node not in own]
    counted.update(own)
    row = _row(
        call.layer.name, call.layer.describe(), result, [p.value.shape for p in call.layer.parameters], own
    )
    field = fields.get(result, ((), ()))
    reach = ("all",) if field is None else field[0][:1] if len(set(field[0])) == 1 else field[0]
    text = "×".join(map(str, reach))
    return Row(row.name, row.layer, row.output, row.weights, row.parameters, row.macs, text)


def _row(name: str, layer: str, result: Node, shapes: Sequence[tuple[int, ...]], own: Iterable[Node]) -> Row:
    output = tuple(d if isinstance(d, int) else str(d) for d in result.type.shape[1:])
    nodes = list(own)
    parameters = sum(n.op.variable.value.size for n in nodes if isinstance(n.op, Param))
    return Row(
        name, layer, output, shapes[0] if shapes else None, parameters, sum(map(macs, _once(nodes))), ""
    )


def _between(sources: Collection[Node], result: Node, counted: set[Node]) -> list[Node]:
    """The nodes that a layer added: from its result back to what it was applied to."""
    found: dict[Node, None] = {}
    stack = [result]
    while stack:
        n = stack.pop()
        if n not in sources and n not in counted and n not in found:
            found[n] = None
            stack.extend(n.src)
    return list(found)


def macs(n: Node) -> int:
    """The multiply-adds of a node for one example: named dimensions count as 1."""
    if isinstance(n.op, Contract):
        a, b = (s.type for s in n.src)
        return math.prod(_one(TensorType(a.dtype, tuple(n.op.sizes(a, b).values()))))
    if isinstance(n.op, Conv):
        _, _, channels, *kernel = _one(n.src[1].type)
        return math.prod(_one(n.type)) * channels * math.prod(kernel)
    if isinstance(n.op, Scan):
        return evaluate(n.op.length, dict.fromkeys(names(n.op.length), 1)) * sum(map(macs, n.op.body.nodes))
    return 0


def _once(nodes: Iterable[Node]) -> Iterable[Node]:
    """The nodes, of the several results of one loop only the first."""
    loops = set()
    for n in nodes:
        if isinstance(n.op, Scan):
            loop = n.op.with_result(0), n.src
            if loop in loops:
                continue
            loops.add(loop)
        yield n


def _one(t: TensorType) -> list[int]:
    return [evaluate(d, dict.fromkeys(t.dims, 1)) for d in t.shape]


def receptive_fields(order: Sequence[Node]) -> dict[Node, Field]:
    """The receptive field of every node that depends on an input; operands must come first."""
    fields: dict[Node, Field] = {}
    for n in order:
        if isinstance(n.op, Input):
            axes = max(0, n.type.rank - 2)
            fields[n] = ((1,) * axes, (1,) * axes) if axes else None
            continue
        below = [fields[s] for s in n.src if s in fields]
        # A statistic of the batch is no part of an example: while a model predicts, it is a parameter.
        if below and not (isinstance(n.op, Reduce) and 0 in n.op.axes):
            fields[n] = _widened(n, _widest(below))
    return fields


def _widest(fields: Sequence[Field]) -> Field:
    known = [f for f in fields if f is not None]
    if _UNKNOWN in known:
        return _UNKNOWN
    if len(known) < len(fields) or len({len(r) for r, _ in known}) > 1:
        return None
    reach = tuple(max(axis) for axis in zip(*(r for r, _ in known), strict=True))
    jump = tuple(max(axis) for axis in zip(*(j for _, j in known), strict=True))
    return reach, jump


def _widened(n: Node, field: Field) -> Field:
    if field is None or isinstance(n.op, Contract):
        return None
    if field == _UNKNOWN or _laid_out_anew(n, len(field[0])):
        return _UNKNOWN
    if isinstance(n.op, Conv):
        kernel, strides = _one(n.src[1].type)[3:], n.op.strides
        spans: Sequence[int] = [d * (k - 1) + 1 for d, k in zip(n.op.dilations, kernel, strict=True)]
    elif isinstance(n.op, Window):
        spans = [d * (k - 1) + 1 for d, k in zip(n.op.dilations, n.op.size, strict=True)]
        strides = n.op.strides
    elif isinstance(n.op, Reduce):
        spatial = range(n.src[0].type.rank - len(field[0]), n.src[0].type.rank)
        return None if set(spatial) & set(n.op.axes) else field
    else:
        return field
    reach, jump = field
    spans, strides = spans[-len(reach) :], strides[-len(reach) :]  # a window may lie along channels, too
    wider = tuple(r + (k - 1) * j for r, k, j in zip(reach, spans, jump, strict=True))
    return wider, tuple(j * s for j, s in zip(jump, strides, strict=True))


def _laid_out_anew(n: Node, axes: int) -> bool:
    """Whether pixels get other neighbours: spread apart, repeated, exchanged."""
    if isinstance(n.op, Pad):
        return any(n.op.interior)
    if isinstance(n.op, (Gather, Transpose)):
        return True
    moved = n.type.rank > 2 and n.type.shape[-axes:] != n.src[0].type.shape[-axes:]
    return isinstance(n.op, Reshape) and moved


def grouped(value: int) -> str:
    """1256080 as "1 256 080"."""
    return f"{value:,}".replace(",", " ")
