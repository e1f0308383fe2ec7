"""Level 2, the teaching record: forwards and backwards through a graph, every number and formula kept.

Each step of the chain rule is a row (node, operand, upstream, local, downstream), in the order of the
backward pass.  Where an operand is used several times, its shares are added, and the sum is a row too.

>>> from graphc.lang.tensor import inputs
>>> x, y, z = inputs("x y z")
>>> q = x + y
>>> t = backprop(q * z, at={x: -2.0, y: 5.0, z: -4.0})
>>> for e in t.edges:
...     print(e.operand.symbol, [float(v.value) for v in (e.upstream, e.local, e.downstream)])
q [1.0, -4.0, -4.0]
z [1.0, 3.0, 3.0]
x [-4.0, 1.0, -4.0]
y [-4.0, 1.0, -4.0]
>>> float(t.gradients[z])
3.0
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from graphc.autodiff.point import At, Point, leaves, point_at, title
from graphc.autodiff.reverse import GradEdge, Gradients, check_scalar, check_tensors, differentiate
from graphc.ir.evaluate import evaluate_nodes
from graphc.ir.node import Node, node, origin, toposort
from graphc.ir.types import Array
from graphc.lang.source import operation
from graphc.lang.tensor import Tensor
from graphc.ops.leaves import Input, Param

if TYPE_CHECKING:
    from graphc.show.chain import Chain


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
        from graphc.show.chain import quantity_text

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


@dataclass(frozen=True, slots=True)
class Map:
    """The local gradient of an edge as a map: `result` is downstream as a function of `upstream`."""

    upstream: Node
    result: Node


@dataclass(frozen=True)
class Trace:
    """Both passes of a graph with the value of every node: what the record is written from."""

    output: Node
    wrt: tuple[Node, ...]
    names: Mapping[Node, str]
    gradients: Gradients
    maps: Mapping[GradEdge, Map]
    values: Mapping[Node, Array]

    @cached_property
    def forward(self) -> list[Node]:
        """The nodes of the forward pass, operands first."""
        return toposort([self.output])


def trace(output: Node, wrt: Sequence[Node], point: Point, names: Mapping[Node, str]) -> Trace:
    """Run both passes at a point."""
    with origin("gradient", of=(output,)):
        gradients = differentiate(output, wrt, locals_too=True)
        maps = {}
        stand_ins: dict[Node, Node] = {}
        for e in gradients.edges:
            upstream = stand_ins.setdefault(e.node, node(Input("U", e.node.type)))
            result = e.node.op.vjp(e.node, e.operand, upstream)
            assert result is not None  # the pass made this very edge
            maps[e] = Map(upstream, result)
    edges = gradients.edges
    roots = [*toposort([output]), *gradients.totals.values(), *gradients.wrt, *(e.downstream for e in edges)]
    roots += [e.local for e in edges if e.local is not None]
    values = evaluate_nodes(toposort(roots), point.values, point.dims)
    return Trace(output, tuple(wrt), names, gradients, maps, values)


class ByTensor(Mapping[Tensor, Array]):
    """Values by tensor; a name finds them too: `t.gradients[x]`, `t.gradients["x"]`."""

    def __init__(self, tensors: Sequence[Tensor], values: Sequence[Array]) -> None:
        self._tensors, self._values = tuple(tensors), tuple(values)

    def __getitem__(self, key: Tensor | str) -> Array:
        for t, value in zip(self._tensors, self._values, strict=True):
            if t.name == key if isinstance(key, str) else t.node is key.node:
                return value
        raise KeyError(key)

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


class Backprop:
    """What `gc.backprop` returns: print it, or look at it in a notebook.

    | attribute    | what it is |
    |--------------|------------------------------------------------------------------------------|
    | `edges`      | rows (node, operand, upstream, local, downstream) of quantities, in order |
    | `sums`       | where shares are added |
    | `forward`    | the quantities of the forward pass, operands first |
    | `gradients`  | tensor → gradient |
    | `value`      | of the function itself |
    """

    def __init__(self, record: Trace, tensors: Sequence[Tensor]) -> None:
        self.trace = record
        self.gradients = ByTensor(tensors, [record.values[n] for n in record.gradients.wrt])

    @property
    def value(self) -> Array:
        return self.trace.values[self.trace.output]

    @cached_property
    def chain(self) -> Chain:
        """The steps with their formulas."""
        from graphc.show.chain import chain_of

        return chain_of(self.trace)

    @property
    def edges(self) -> tuple[Edge, ...]:
        return self.chain.edges

    @property
    def sums(self) -> tuple[Sum, ...]:
        return self.chain.sums

    @property
    def forward(self) -> tuple[Quantity, ...]:
        return self.chain.forward

    def __str__(self) -> str:
        from graphc.show.chain import chain_text

        return chain_text(self.chain)

    __repr__ = __str__

    def to_latex(self) -> str:
        """An `align*` environment: the forward pass, each step of the chain rule, and the gradients."""
        from graphc.show.derive import chain_latex

        return chain_latex(self.chain, numbers=True)

    def to_svg(self, path: str | Path | None = None) -> str:
        """The lecture picture: values above the edges, gradients below, local gradients at the nodes."""
        from graphc.show.render import draw_trace

        picture = draw_trace(self.trace, self.chain)
        if path is not None:
            picture.save(path)
        return picture.svg

    def _repr_svg_(self) -> str:
        return self.to_svg()

    def _repr_latex_(self) -> str:
        return self.to_latex()

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/plain": str(self), "text/latex": self.to_latex(), "image/svg+xml": self.to_svg()}


@operation
def backprop(f: Tensor, wrt: Tensor | Sequence[Tensor] | None = None, at: At | None = None) -> Backprop:
    """Backpropagation through a scalar, step by step, with a number and a formula for each factor.

    `wrt` is one tensor or several, leaves or not (default: every floating-point input and every parameter
    that is trained); `at` maps inputs, or their names, to values, and parameters take their own value where
    it gives none.  Raises GradientError where f is no scalar or does not depend on a tensor of `wrt`, and
    ArgumentError where a value is missing or does not fit.
    """
    check_tensors([f], "f")
    check_scalar(f)
    targets = default_targets(f) if wrt is None else [wrt] if isinstance(wrt, Tensor) else list(wrt)
    check_tensors(targets, "wrt")
    record = trace(f.node, [t.node for t in targets], point_at([f.node], at), names_of(f, targets))
    return Backprop(record, targets)


def default_targets(f: Tensor) -> list[Tensor]:
    """The inputs and trained parameters that a gradient is taken by where none are named."""
    found = [n for n in leaves([f.node]) if n.type.dtype.is_float]
    trained = [n for n in found if not isinstance(n.op, Param) or n.op.variable.trainable]
    return [Tensor(n, title(n)) for n in trained]


def names_of(f: Tensor, others: Sequence[Tensor] = ()) -> dict[Node, str]:
    """The names that tensors carry; and those that are read off the source come after them."""
    return {t.node: t.name for t in (*others, f) if t.name}
