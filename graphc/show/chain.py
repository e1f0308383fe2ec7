"""The chain rule in words and numbers: from a trace of both passes to rows of quantities, and to a table.

A gradient is written as the symbol ∂f/∂q and as a formula in the names of the forward pass, which is
carried along the pass and given up (for the symbol) where it grows long.

>>> from graphc.show.backprop import backprop
>>> from graphc.lang.tensor import inputs
>>> x, y = inputs("x y")
>>> print(backprop(x * x * y, at={x: 3.0, y: 2.0}))
forward
  x           = 3
  y           = 2
  v1 = x**2   = 9
  f = v1 * y  = 18
<BLANKLINE>
backward, from ∂f/∂f = 1: upstream × local = downstream
  node        operand  upstream            local              downstream
  f = v1 * y  v1       ∂f/∂f = 1        ×  ∂f/∂v1 = y = 2  =  ∂f/∂v1 = y = 2
  f = v1 * y  y        ∂f/∂f = 1        ×  ∂f/∂y = v1 = 9  =  ∂f/∂y = v1 = 9
  v1 = x**2   x        ∂f/∂v1 = 2       ×  ∂v1/∂x = x = 3  =  ∂f/∂x via v1.0 = y * x = 6
  v1 = x**2   x        ∂f/∂v1 = 2       ×  ∂v1/∂x = x = 3  =  ∂f/∂x via v1.1 = y * x = 6
              x        sum of 2 shares                     =  ∂f/∂x = 2 * y * x = 12
<BLANKLINE>
gradients
  ∂f/∂x  = 2 * y * x  = 12
  ∂f/∂y  = v1         = 9
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from graphc.autodiff.point import by_use
from graphc.autodiff.reverse import GradEdge
from graphc.autodiff.trace import Trace
from graphc.ir.node import Node
from graphc.ir.types import Array
from graphc.ops.elementwise import Cast
from graphc.ops.views import Expand, Reshape, is_unit
from graphc.show.formula import ATOM, MATRIX, Formula, add, formulas
from graphc.show.naming import name_nodes
from graphc.show.notation import compose, subject
from graphc.tables import Table, array_text, number

_LONG = 40  # the longest text of a formula that is carried on to the next step


class Quantity(NamedTuple):
    """Something with a symbol, a formula and a value: `∂f/∂q`, `z`, -4.

    The formula is in the symbols of the forward pass where that is short, else in those of the step before.
    The value is None where there is none: the local gradient of a structural operation is a linear map, which
    the formula says (`U -> U @ W.T`).
    """

    symbol: str
    formula: str
    latex_symbol: str
    latex: str
    value: Array | None

    def __str__(self) -> str:
        return quantity_text(self)


class Edge(NamedTuple):
    """One step of the chain rule: upstream × local = downstream, from a node to one of its operands."""

    node: Quantity
    operand: Quantity
    upstream: Quantity
    local: Quantity
    downstream: Quantity


class Sum(NamedTuple):
    """The shares of an operand that is used several times, and their sum."""

    operand: Quantity
    shares: tuple[Quantity, ...]
    total: Quantity


@dataclass(frozen=True)
class Chain:
    """The record in words, all in the order of the passes: `edges[k]` tells of `grad_edges[k]`."""

    output: Quantity
    forward: tuple[Quantity, ...]
    edges: tuple[Edge, ...]
    sums: tuple[Sum, ...]
    gradients: tuple[Quantity, ...]
    grad_edges: tuple[GradEdge, ...]
    symbols: Mapping[Node, Formula]

    @property
    def inputs(self) -> tuple[Quantity, ...]:
        """Inputs and parameters: what has no formula but its name."""
        return tuple(q for q in self.forward if q.formula == q.symbol)


def chain_of(record: Trace) -> Chain:
    """Put a trace into formulas."""
    writer = _Writer(record)
    edges, sums = [], []
    last = {e.source: k for k, e in enumerate(record.gradients.edges)}
    for k, e in enumerate(record.gradients.edges):
        edges.append(writer.edge(e))
        if last[e.source] == k and writer.uses[e.source] > 1:
            sums.append(writer.sum(e.source))
    gradients = [writer.gradient(w, g) for w, g in zip(record.wrt, record.gradients.wrt, strict=True)]
    inputs_first = [*by_use(record.forward), *(n for n in record.forward if n.src)]
    forward = tuple(writer.known(n) for n in inputs_first if n in writer.symbols)
    output = writer.known(record.output)
    return Chain(
        output, forward, tuple(edges), tuple(sums), tuple(gradients), record.gradients.edges, writer.symbols
    )


def spell(n: Node, symbols: Mapping[Node, Formula]) -> Formula:
    """The operation of a node over the symbols of its operands, with broadcasts and casts spelled out."""
    operands = [symbols[s] if s in symbols else formulas([s], symbols)[0][s] for s in n.src]
    if isinstance(n.op, (Expand, Cast)) or (isinstance(n.op, Reshape) and is_unit(n)):
        return subject(n, operands[0])
    return compose(n, operands).whole()


def partial(of: Formula, by: Formula) -> Formula:
    r"""The symbol ∂f/∂q."""
    return Formula(
        f"∂{of.text}/∂{by.text}",
        rf"\frac{{\partial {of.latex}}}{{\partial {by.latex}}}",
        ATOM,
        MATRIX,
    )


class _Writer:
    """Writes one step after the other, and knows the formula that each gradient has so far."""

    def __init__(self, record: Trace) -> None:
        self.record = record
        given = dict(record.names)
        self.symbols = name_nodes([record.output], given, default={record.output: "f"})
        self.output = self.symbols[record.output]
        self.uses: dict[Node, int] = {}
        pairs: dict[tuple[Node, Node], int] = {}
        for e in record.gradients.edges:
            self.uses[e.source] = self.uses.get(e.source, 0) + 1
            pairs[e.node, e.source] = pairs.get((e.node, e.source), 0) + 1
        self.twice = {pair for pair, count in pairs.items() if count > 1}
        self.shares: dict[Node, list[tuple[Quantity, Formula]]] = {}

    def known(self, n: Node) -> Quantity:
        """A quantity of the forward pass."""
        symbol = self.symbols[n] if n in self.symbols else formulas([n], self.symbols)[0][n].whole()
        formula = spell(n, self.symbols) if n.src and n in self.symbols else symbol
        return Quantity(symbol.text, formula.text, symbol.latex, formula.latex, self.record.values[n])

    def slope(self, n: Node) -> Formula:
        """∂f/∂n as a symbol."""
        return partial(self.output, self.symbols[n])

    def carried(self, n: Node, limit: int = _LONG) -> Formula:
        """∂f/∂n as a formula where that is short, else as a symbol."""
        if n is self.record.output:
            return Formula.number(1.0)
        total: Formula | None = None
        for _, share in self.shares.get(n, ()):
            spread = share.spread and (total is None or total.spread)
            total = replace(share if total is None else add(total, share), spread=spread)
            if len(total.whole().text) > limit:
                return self.slope(n)
        return self.slope(n) if total is None else total

    def edge(self, e: GradEdge) -> Edge:
        total, carried = self.slope(e.node), self.carried(e.node)
        share = self.slope(e.source)
        if self.uses[e.source] > 1:
            via = self.symbols[e.node]
            at = f".{e.operand}" if (e.node, e.source) in self.twice else ""
            latex = rf"\left.{share.latex}\right|_{{{via.latex}{at}}}"
            share = Formula(f"{share.text} via {via.text}{at}", latex)
        step = self._through(e, carried)
        if len(step.whole().text) > _LONG and e.node is not self.record.output:
            step = self._through(e, total)
        values = self.record.values
        downstream = _quantity(share, step, values[e.downstream])
        self.shares.setdefault(e.source, []).append((downstream, step))
        upstream = _quantity(total, carried, values[e.upstream])
        return Edge(self.known(e.node), self.known(e.source), upstream, self._local(e), downstream)

    def sum(self, n: Node) -> Sum:
        total = _quantity(self.slope(n), self.carried(n), self.record.values[self.record.gradients.totals[n]])
        return Sum(self.known(n), tuple(q for q, _ in self.shares[n]), total)

    def gradient(self, wrt: Node, result: Node) -> Quantity:
        reached = wrt is self.record.output or wrt in self.shares
        formula = self.carried(wrt, 4 * _LONG) if reached else Formula.number(0.0)
        return _quantity(self.slope(wrt), formula, self.record.values[result])

    def _through(self, e: GradEdge, upstream: Formula) -> Formula:
        """Downstream, where upstream is what is given."""
        way = self.record.maps[e]
        if way.result is way.upstream:
            return upstream
        names = ChainMap({way.upstream: upstream}, self.symbols)
        return formulas([way.result], names)[0][way.result]

    def _local(self, e: GradEdge) -> Quantity:
        symbol = partial(self.symbols[e.node], self.symbols[e.source])
        if e.local is not None:
            local = self.symbols.get(e.local)
            formula = local or formulas([e.local], self.symbols)[0][e.local]
            return _quantity(symbol, formula, self.record.values[e.local])
        u = Formula.symbol("U")
        image = self._through(e, u).whole()
        result = self.record.maps[e].result
        if image == u and e.node.type.shape == e.source.type.shape:
            return _quantity(symbol, Formula.number(1.0), None)
        if isinstance(result.op, Expand) or image == u:
            image = subject(result, image)
        elif image.latex == u.latex:  # axes of length 1 came or went, which LaTeX hides elsewhere
            image = Formula(image.text, subject(result, u).latex)
        formula = Formula(f"U -> {image.text}", rf"U \mapsto {image.latex}")
        return _quantity(symbol, formula, None)


def _quantity(symbol: Formula, formula: Formula, value: Array | None) -> Quantity:
    whole = formula.whole()
    return Quantity(symbol.text, whole.text, symbol.latex, whole.latex, value)


def chain_text(chain: Chain) -> str:
    """The record as aligned tables of text."""
    forward = [
        (q.symbol if q.formula == q.symbol else f"{q.symbol} = {q.formula}", f"= {_value(q)}")
        for q in chain.forward
    ]
    rows: list[tuple[str, ...]] = []
    pending = {s.operand.symbol: s for s in chain.sums}
    left = {s.operand.symbol: len(s.shares) for s in chain.sums}
    for e in chain.edges:
        name = f"{e.node.symbol} = {e.node.formula}"
        rows.append(
            (
                name,
                e.operand.symbol,
                f"{e.upstream.symbol} = {_value(e.upstream)}",
                "×",
                quantity_text(e.local),
                "=",
                quantity_text(e.downstream),
            )
        )
        key = e.operand.symbol
        if key in left:
            left[key] -= 1
            if not left[key]:
                s = pending[key]
                rows.append(("", key, f"sum of {len(s.shares)} shares", "", "", "=", quantity_text(s.total)))
    backward = Table(("node", "operand", "upstream", "", "local", "", "downstream"), rows, indent="  ")
    title = f"backward, from ∂{chain.output.symbol}/∂{chain.output.symbol} = 1: upstream × local = downstream"
    gradients = [
        (q.symbol, f"= {q.formula}" if _differs(q) else "", f"= {_value(q)}") for q in chain.gradients
    ]
    parts = [
        str(Table(("", ""), forward, "forward", indent="  ")),
        str(Table(backward.columns, rows, title, indent="  ")),
        str(Table(("", "", ""), gradients, "gradients", indent="  ")),
    ]
    if any(q.value is not None and "…" in _value(q) for q in (*chain.forward, *chain.gradients)):
        parts.append("a large tensor is shown as [shape] min…mean…max")
    return "\n\n".join(parts)


def _value(q: Quantity) -> str:
    return "" if q.value is None else array_text(q.value)


def _differs(q: Quantity) -> bool:
    """Whether the formula says more than the symbol and the value do."""
    return q.formula not in ("", q.symbol, _value(q))


def _repeats(q: Quantity) -> bool:
    """Whether the value says nothing that the formula does not: all elements are the number that it is."""
    if q.value is None or q.value.ndim == 0 or not q.value.size:
        return False
    return bool((q.value == q.value.flat[0]).all()) and number(q.value.flat[0]) == q.formula


def quantity_text(q: Quantity) -> str:
    """`∂f/∂q = z = -4`, without what is said twice."""
    parts = [q.symbol] + [q.formula] * _differs(q) + [_value(q)] * (q.value is not None and not _repeats(q))
    return " = ".join(parts)
