"""Level 3, patterns: what a rewrite rule looks for, written in the words of the graph.

A pattern is an expression over wildcards; the same expression serves to match, to build the replacement, to
print the equation (`graphc.passes.equation`) and to prove it.

| pattern                            | matches                                                       |
|------------------------------------|---------------------------------------------------------------|
| `Wild("x")`                        | any node; the same name twice means the same node             |
| `Constant("c")`                    | a constant, also where it is expanded                         |
| `Number(1)`                        | a constant whose elements are all 1 (0 is not -0)             |
| `call("exp", x)`, `x + y`          | an elementwise op; if commutative, in either order            |
| `Reduction("sum", x, "a")`         | a reduction; "a" names its axes                               |
| `Spread(r)`                        | a reduction, broadcast back over its axes                     |
| `Viewed(p, "v")`                   | p behind any chain of views, which the replacement has again  |
| `Structural(Transpose, (x,), "t")` | a structural op; "t" names it with its attributes             |
| `Whole("…", test)`                 | any node that passes a test, for rules that speak of every op |

>>> from graphc.ir.node import node
>>> from graphc.ir.types import TensorType
>>> from graphc.ops.leaves import Input
>>> u, v = (node(Input(name, TensorType.of("f64"))) for name in "uv")
>>> x, y = Wild("x"), Wild("y")
>>> found = match(x + call("neg", y), elementwise("add", elementwise("neg", u), v))
>>> found.nodes["x"] is v, build(x - y, found).op.label
(True, 'sub')
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from graphc.errors import InternalError
from graphc.ir.node import Node, Op, node
from graphc.ops.elementwise import Elementwise, constant_like, elementwise
from graphc.ops.gather import Gather
from graphc.ops.leaves import Const
from graphc.ops.reduce import Kind, Reduce
from graphc.ops.table import ROWS
from graphc.ops.views import Expand, Reshape, Slice, Transpose
from graphc.passes.through_views import (
    CONSTANT_VIEWS,
    constant_value,
    is_spread,
    review,
    spread,
    strip,
    uniform_value,
)

_CONSTANT_OPS = (Const, *CONSTANT_VIEWS)


@dataclass(frozen=True, slots=True)
class Match:
    """What the wildcards stand for, and which nodes the pattern itself covers (the root first)."""

    root: Node
    nodes: Mapping[str, Node] = field(default_factory=dict)
    ops: Mapping[str, Op] = field(default_factory=dict)
    covered: tuple[Node, ...] = ()
    opaque: Collection[Node] = ()

    def bind(self, name: str, n: Node) -> Match | None:
        """With name ↦ n; None where the name already stands for another node."""
        held = self.nodes.get(name)
        if held is not None:
            return self if held is n else None
        return Match(self.root, {**self.nodes, name: n}, self.ops, self.covered, self.opaque)

    def bind_op(self, name: str, op: Op) -> Match | None:
        held = self.ops.get(name)
        if held is not None:
            return self if held == op else None
        return Match(self.root, self.nodes, {**self.ops, name: op}, self.covered, self.opaque)

    def cover(self, *nodes: Node) -> Match | None:
        """With nodes that belong to the pattern; None where one of them must not be looked into."""
        if self.opaque and any(n in self.opaque and n is not self.root for n in nodes):
            return None
        return Match(self.root, self.nodes, self.ops, (*self.covered, *nodes), self.opaque)


class Pattern(ABC):
    """A pattern; operators build larger ones."""

    __slots__ = ()

    @abstractmethod
    def find(self, n: Node, m: Match) -> Iterator[Match]:
        """Every way in which this pattern matches a node, given what is bound."""

    def starts(self, op: Op) -> bool:
        """Whether a node with this op can match at all: rules are indexed by it, and operands tried by it."""
        return True

    def __add__(self, other: Pattern | float) -> Call:
        return call("add", self, other)

    def __radd__(self, other: Pattern | float) -> Call:
        return call("add", other, self)

    def __sub__(self, other: Pattern | float) -> Call:
        return call("sub", self, other)

    def __rsub__(self, other: Pattern | float) -> Call:
        return call("sub", other, self)

    def __mul__(self, other: Pattern | float) -> Call:
        return call("mul", self, other)

    def __rmul__(self, other: Pattern | float) -> Call:
        return call("mul", other, self)

    def __truediv__(self, other: Pattern | float) -> Call:
        return call("div", self, other)

    def __rtruediv__(self, other: Pattern | float) -> Call:
        return call("div", other, self)

    def __neg__(self) -> Call:
        return call("neg", self)


@dataclass(frozen=True, slots=True, eq=False)
class Wild(Pattern):
    """Any node.  A `truth` wildcard stands where a truth value is wanted, which the proofs need to know."""

    name: str
    truth: bool = False

    def find(self, n: Node, m: Match) -> Iterator[Match]:
        found = m.bind(self.name, n)
        if found is not None:
            yield found


@dataclass(frozen=True, slots=True, eq=False)
class Constant(Pattern):
    """A constant array or number, seen through expands and other views."""

    name: str

    def starts(self, op: Op) -> bool:
        return isinstance(op, _CONSTANT_OPS)

    def find(self, n: Node, m: Match) -> Iterator[Match]:
        if constant_value(n) is not None:
            found = m.bind(self.name, n)
            if found is not None:
                yield found


@dataclass(frozen=True, slots=True, eq=False)
class Number(Pattern):
    """A constant whose elements are all equal to a number."""

    value: float

    def starts(self, op: Op) -> bool:
        return isinstance(op, _CONSTANT_OPS)

    def find(self, n: Node, m: Match) -> Iterator[Match]:
        held = uniform_value(n)
        if held is not None and held == self.value and np.signbit(held) == np.signbit(self.value):
            yield m


@dataclass(frozen=True, slots=True, eq=False)
class Call(Pattern):
    """A row of the op table, applied."""

    name: str
    operands: tuple[Pattern, ...]

    def starts(self, op: Op) -> bool:
        return isinstance(op, Elementwise) and op.row_name == self.name

    def find(self, n: Node, m: Match) -> Iterator[Match]:
        if not self.starts(n.op):
            return
        orders = [n.src]
        if ROWS[self.name].commutative and n.src[0] is not n.src[1]:
            orders.append(n.src[::-1])
        inside: Match | None = None
        for src in orders:
            if all(p.starts(s.op) for p, s in zip(self.operands, src, strict=True)):
                inside = inside or m.cover(n)
                if inside is not None:
                    yield from _find_all(self.operands, src, inside)


@dataclass(frozen=True, slots=True, eq=False)
class Reduction(Pattern):
    """A reduction; `axes` names the op, and so its axes, for `Spread` and the replacement."""

    kind: Kind
    operand: Pattern
    axes: str

    def starts(self, op: Op) -> bool:
        return isinstance(op, Reduce) and op.kind == self.kind

    def find(self, n: Node, m: Match) -> Iterator[Match]:
        if not isinstance(n.op, Reduce) or n.op.kind != self.kind:
            return
        inside = m.cover(n)
        # Reductions of one name share their axes, not their kind; `Spread` needs the operand's shape.
        inside = inside and inside.bind_op(self.axes, Reduce("sum", n.op.axes))
        if inside is not None:
            shaped = inside if self.axes in inside.nodes else inside.bind(self.axes, n.src[0])
            if shaped is not None and shaped.nodes[self.axes].type.shape == n.src[0].type.shape:
                yield from self.operand.find(n.src[0], shaped)


@dataclass(frozen=True, slots=True, eq=False)
class Spread(Pattern):
    """A reduction (or elementwise functions of one), broadcast back over the axes that it lost."""

    operand: Pattern

    def find(self, n: Node, m: Match) -> Iterator[Match]:
        chain, base = strip(n, (Expand, Reshape))
        inside = m.cover(*chain)
        if inside is None:
            return
        for found in self.operand.find(base, inside):
            name = axes_name(self.operand)
            reduce = found.ops[name]
            shape = found.nodes[name].type.shape
            if isinstance(reduce, Reduce) and n.type.shape == shape and is_spread(chain, base, reduce.axes):
                yield found


@dataclass(frozen=True, slots=True, eq=False)
class Viewed(Pattern):
    """A pattern through views, which move elements without changing them: f(view(x)) = view(f(x))."""

    operand: Pattern
    name: str

    def find(self, n: Node, m: Match) -> Iterator[Match]:
        chain, base = strip(n, (Expand, Reshape, Transpose, Slice, Gather))
        top, bottom = f"{self.name}:top", f"{self.name}:bottom"
        for found in self.operand.find(base, m):
            inside = found.cover(*chain)
            inside = inside and inside.bind(top, n)
            inside = inside and inside.bind(bottom, base)
            if inside is not None:
                yield inside


@dataclass(frozen=True, slots=True, eq=False)
class Structural(Pattern):
    """A structural op; its attributes are read from `match.ops[name]`, the node from `match.nodes[name]`."""

    op: type[Op]
    operands: tuple[Pattern, ...]
    name: str

    def starts(self, op: Op) -> bool:
        return isinstance(op, self.op)

    def find(self, n: Node, m: Match) -> Iterator[Match]:
        if not isinstance(n.op, self.op) or len(n.src) != len(self.operands):
            return
        if not all(p.starts(s.op) for p, s in zip(self.operands, n.src, strict=True)):
            return
        inside = m.cover(n)
        inside = inside and inside.bind_op(self.name, n.op)
        inside = inside and inside.bind(self.name, n)
        if inside is not None:
            yield from _find_all(self.operands, n.src, inside)


@dataclass(frozen=True, slots=True, eq=False)
class Whole(Pattern):
    """Any node that passes a test; `what` says the test in words."""

    what: str
    test: Callable[[Node], bool]
    ops: tuple[type[Op], ...] = ()

    def starts(self, op: Op) -> bool:
        return not self.ops or isinstance(op, self.ops)

    def find(self, n: Node, m: Match) -> Iterator[Match]:
        if self.test(n):
            inside = m.cover(n)
            if inside is not None:
                yield inside


def call(name: str, *operands: Pattern | float) -> Call:
    """A row of the op table over patterns and numbers."""
    return Call(name, tuple(p if isinstance(p, Pattern) else Number(p) for p in operands))


def match(pattern: Pattern, n: Node, opaque: Collection[Node] = ()) -> Match | None:
    """The first match of a pattern at a node; nodes in `opaque` are not looked into, except the root."""
    return next(pattern.find(n, Match(n, opaque=opaque)), None)


def _find_all(patterns: tuple[Pattern, ...], nodes: tuple[Node, ...], m: Match) -> Iterator[Match]:
    if not patterns:
        yield m
        return
    for found in patterns[0].find(nodes[0], m):
        yield from _find_all(patterns[1:], nodes[1:], found)


def axes_name(pattern: Pattern) -> str:
    """The name of the axes of the reduction inside a pattern."""
    waiting = [pattern]
    while waiting:
        p = waiting.pop()
        if isinstance(p, Reduction):
            return p.axes
        if isinstance(p, Call):
            waiting += p.operands
    raise InternalError("a Spread needs a reduction inside")


def build(pattern: Pattern, m: Match, like: Node | None = None) -> Node:
    """The node that a pattern denotes under a match; numbers take the type of `like`, by default the root."""
    match pattern:
        case Wild(name=name) | Constant(name=name):
            return m.nodes[name]
        case Number(value=value):
            like = like or m.root
            if isinstance(value, bool):
                truth = node(Const.of(value))
                return node(Expand(like.type.shape), truth) if like.type.rank else truth
            return constant_like(value, like)
        case Call(name=name, operands=operands):
            built = {k: build(p, m, like) for k, p in enumerate(operands) if not isinstance(p, Number)}
            # A number takes its type from its siblings; the condition of a choice says nothing about it.
            typed = [n for k, n in built.items() if k > 0 or ROWS[name].dtype != "select"]
            sibling = typed[0] if typed else like
            return elementwise(
                name, *(built[k] if k in built else build(p, m, sibling) for k, p in enumerate(operands))
            )
        case Reduction(kind=kind, operand=operand, axes=axes):
            return node(Reduce(kind, _axes(m, axes)), build(operand, m, m.nodes[axes]))
        case Spread(operand=operand):
            name = axes_name(operand)
            return spread(build(operand, m), _axes(m, name), m.nodes[name])
        case Viewed(operand=operand, name=name):
            return review(
                m.nodes[f"{name}:top"],
                m.nodes[f"{name}:bottom"],
                build(operand, m, m.nodes[f"{name}:bottom"]),
            )
    raise InternalError(f"{type(pattern).__name__} cannot be built without its attributes")


def _axes(m: Match, name: str) -> tuple[int, ...]:
    op = m.ops[name]
    assert isinstance(op, Reduce)
    return op.axes
