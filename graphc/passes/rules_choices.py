"""Choices around a singularity: what is not chosen must not spoil the gradient.

The gradient of where(x > 0, sqrt(x), 0) at 0 is 0, but the chain rule says 0·sqrt′(0) = 0·∞ = NaN.  So, before
differentiation, a singular function that only feeds what is chosen under a condition sees its operand only
where the condition holds, and a harmless number elsewhere:

    where(c, f(x), y) = where(c, f(where(c, x, s)), y),    s: a number at which f is smooth

The same holds for whatever else drops values: slices, gathers, relu, maximum and minimum.  One walk from the
outputs finds, for each node, the condition under which any derivative reaches it:

| user                         | its operand matters where                                             |
|------------------------------|------------------------------------------------------------------------|
| `where(c, x, y)`             | c for x, ¬c for y, where the result matters                           |
| `relu`, `maximum`, …         | the condition under which the row's own gradient is not 0             |
| slice, gather, expand, …     | an element of the result that it goes to matters                      |
| a contraction, a convolution | everywhere                                                            |
| several users                | any of them says so                                                   |

Which rows are singular, at which operands, and where they are not, is measured from the op table.

>>> from graphc.ir.types import TensorType
>>> from graphc.ops.leaves import Input
>>> x = node(Input("x", TensorType.of("f64")))
>>> positive = elementwise("less", constant_like(0.0, x), x)
>>> f = elementwise("where", positive, elementwise("sqrt", x), constant_like(0.0, x))
>>> guarded = guard_choices([f], [x])[f]
>>> guarded.src[1].src[0] is elementwise("where", positive, x, constant_like(1.0, x))
True
>>> singular("sqrt"), singular("tanh")
((Singular(operand=0, safe=1.0, harmless=frozenset({'positive'})),), ())
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from graphc.ir.node import Node, node, origin, toposort
from graphc.ops.body import Body, evaluate
from graphc.ops.elementwise import Cast, Elementwise, constant_like, elementwise, instantiate
from graphc.ops.gather import Gather
from graphc.ops.leaves import Input
from graphc.ops.reduce import Reduce
from graphc.ops.row import Row, row_named
from graphc.ops.views import Concat, Expand, Pad, Reshape, Slice, Transpose
from graphc.passes.pattern import Match, Whole
from graphc.passes.rewrite import Rule, rule
from graphc.passes.signs import Sign, signs
from graphc.passes.through_views import constant_value, spread, strip

# Where a row is tried: at and near 0 and 1, and far enough out for exp, but no number whose square overflows.
_SIZES = (1e-30, 1e-3, 0.5, 1.0, 1.5, 2.0, 30.0, 100.0, 1000.0, 1e4)
_TRIED: Mapping[str, tuple[float, ...]] = {
    "any": (0.0, *_SIZES, *(-s for s in _SIZES)),
    "positive": _SIZES[1:],
    "nonpositive": (0.0, *(-s for s in _SIZES)),
}
_GUARD = "rule:choice:guard"
_SAFE = (1.0, 0.5, 2.0, 0.0, -0.5)

_MOVES = (Reshape, Transpose, Expand, Slice, Pad, Concat, Gather, Cast)
"""What an operand's elements go through one by one, so that a condition on the result says something of them."""


@dataclass(frozen=True, slots=True)
class Singular:
    """An operand that can make a row, or its derivative, infinite or NaN; a value at which it does not; and the
    signs of operands that are harmless."""

    operand: int
    safe: float
    harmless: frozenset[Sign]


@functools.cache
def singular(row_name: str) -> tuple[Singular, ...]:
    """The singular operands of a row, measured in f32: sqrt at 0, exp far out, the divisor of a quotient."""
    row = row_named(row_name)
    if not row.differentiable or row.detached or row.dtype == "select":
        return ()

    def smooth(*operands: float) -> bool:
        at = [np.asarray(v, np.float32) for v in operands]
        with np.errstate(all="ignore"):
            out = evaluate(row.body, *at)
            found = [out, *(evaluate(_primitive(row, k), *at, out) for k in range(row.arity))]
        return bool(np.isfinite(found).all())

    for safe in itertools.product(_SAFE, repeat=row.arity):
        if all(smooth(*(v * nearby for v in safe)) for nearby in (1.0, 0.999, 1.001)):
            break
    else:
        return ()
    found = []
    for k in range(row.arity):

        def tried(values: Iterable[float], k: int = k) -> bool:
            return all(smooth(*(v if j == k else s for j, s in enumerate(safe))) for v in values)

        if not tried(_TRIED["any"]):
            harmless: list[Sign] = [s for s in ("positive", "nonpositive") if tried(_TRIED[s])]
            found.append(Singular(k, safe[k], frozenset(harmless)))
    return tuple(found)


@functools.cache
def _primitive(row: Row, k: int) -> Body:
    return row.local_body(k).inlined(lambda name: row_named(name).body)


def guard_choices(
    outputs: Sequence[Node], wrt: Sequence[Node] = (), guarded: dict[Node, Node] | None = None
) -> dict[Node, Node]:
    """What outputs and `wrt` become when singular functions see their operands only where these matter.

    The values of the outputs stay.  Gradients by `wrt` (by default: all inputs) are to be taken, of the
    replaced outputs by the replaced `wrt`.  Linear in the size of the graph.  `guarded` hears of each node that
    got a safe operand, and what it became.
    """
    walk = _Walk(outputs, wrt)
    if not walk.worth:
        return {n: n for n in (*outputs, *wrt)}
    found = walk.guarded()
    if guarded is not None:
        guarded |= walk.safe
    return found


class _Walk:
    """One graph: which nodes carry derivatives, where each matters, and what each becomes."""

    def __init__(self, outputs: Sequence[Node], wrt: Sequence[Node]) -> None:
        self.roots, self.wrt = tuple(outputs), tuple(wrt)
        self.order = toposort([*outputs, *wrt])
        leaves = set(wrt) or {n for n in self.order if not n.src and n.type.dtype.is_float}
        self.active: set[Node] = set()
        for n in self.order:
            if n in leaves or any(s in self.active for _, s in _differentiable(n)):
                self.active.add(n)
        self.signs = signs(self.order) if any(_is_choice(n) for n in self.order) else {}
        self.worth: set[Node] = set()  # at or below these there may be something to guard
        for n in self.order if self.signs else ():
            if n in self.active and _passes(n) and (self._guards(n) or any(s in self.worth for s in n.src)):
                self.worth.add(n)
        self.needs: dict[Node, Node | None] = {}
        self.chosen: set[Node] = set()  # what a `where` may leave out
        self.safe: dict[Node, Node] = {}  # nodes that got a safe operand, and what they became

    def _guards(self, n: Node) -> tuple[Singular, ...]:
        """The operands of a node that can make it infinite or NaN, or its derivative."""
        if not isinstance(n.op, Elementwise):
            return ()
        return tuple(
            s
            for s in singular(n.op.row_name)
            if not s.harmless & self.signs[n.src[s.operand]] and constant_value(n.src[s.operand]) is None
        ) + tuple(Singular(k, 1.0, frozenset()) for k, s in enumerate(n.src) if _spoils(n, s))

    def _matter(self) -> None:
        """For each node the condition under which a derivative reaches it, as a node; None: always."""
        self.needs = dict.fromkeys(self.roots)
        for n in reversed(self.order):
            if n not in self.needs or n not in self.active:
                continue
            for k, s in _differentiable(n):
                if s not in self.active:
                    continue
                with origin("rule:choice", of=(n,)):
                    here = _reaches(n, k, self.needs[n]) if s in self.worth else None
                    self.needs[s] = _either(self.needs[s], here) if s in self.needs else here
                if n in self.chosen or n.op.label == "where":
                    self.chosen.add(s)

    def guarded(self) -> dict[Node, Node]:
        """What the roots and `wrt` become."""
        self._matter()
        becomes: dict[Node, Node] = {}
        for n in self.order:
            becomes[n] = n
            if n not in self.active or n not in self.needs:
                continue
            src = list(n.src)
            for k, s in _differentiable(n):
                src[k] = becomes[s] if s in self.active else s
            mask = self.needs[n]
            for at in self._guards(n):
                if mask is not None and (n in self.chosen or not _spoils(n, n.src[at.operand])):
                    with origin(_GUARD, of=(n,)):
                        src[at.operand] = _only_where(mask, src[at.operand], at.safe)
                        self.safe[n] = n
            with origin("rule:choice", of=(n,)):
                if any(a is not b for a, b in zip(src, n.src, strict=True)):
                    becomes[n] = _again(n, src)
            if n in self.safe:
                self.safe[n] = becomes[n]
        return {n: becomes[n] for n in (*self.roots, *self.wrt)}


# ---- one node ------------------------------------------------------------------------------------------------


def _differentiable(n: Node) -> list[tuple[int, Node]]:
    """The operands that a derivative may reach."""
    if not n.type.dtype.is_float:
        return []
    if isinstance(n.op, Elementwise) and (n.op.row.detached or not n.op.row.differentiable):
        return []
    return [(k, s) for k, s in enumerate(n.src) if s.type.dtype.is_float]


def _is_choice(n: Node) -> bool:
    """Whether a node drops values."""
    if isinstance(n.op, Elementwise):
        row = n.op.row
        return row.dtype == "select" or (
            row.differentiable and any(row.matters(k) is not None for k in range(row.arity))
        )
    return isinstance(n.op, Slice | Gather)


def _passes(n: Node) -> bool:
    """Whether a condition on the elements of a node is one on the elements of its operands."""
    return isinstance(n.op, (Elementwise, *_MOVES)) or (isinstance(n.op, Reduce) and n.op.kind == "sum")


def _spoils(n: Node, s: Node) -> bool:
    """Whether a missing value in the user's data, which is NaN, would reach the derivative by another operand."""
    if n.op.label not in ("mul", "square"):
        return False
    return isinstance(strip(s, (Expand, Reshape, Transpose, Slice))[1].op, Input)


def _reaches(n: Node, k: int, need: Node | None) -> Node | None:
    """The condition under which a derivative reaches operand k, where one reaches n under the condition `need`."""
    op, s = n.op, n.src[k]
    if isinstance(op, Elementwise):
        if op.row_name == "where":
            return _both(need, n.src[0] if k == 1 else _not(n.src[0]))
        body = op.row.matters(k)
        settled = body is not None and all(
            r < len(n.src) and constant_value(n.src[r]) is not None for r in body.reads
        )
        return need if body is None or settled else _both(need, instantiate(body, (*n.src, n), n))
    if need is None and not isinstance(op, Slice | Gather):
        return None
    if isinstance(op, Cast):
        return need
    if need is not None and isinstance(op, Reshape | Transpose):
        return node(Reshape(s.type.shape) if isinstance(op, Reshape) else op.inverse(), need)
    if need is not None and isinstance(op, Reduce):
        return spread(need, op.axes, s) if op.kind == "sum" else None
    if not isinstance(op, _MOVES):
        return None
    if need is not None and need.op == op and need.src[0].type.shape == s.type.shape:
        return need.src[0]  # the condition was broadcast just so
    # A selection hands each element's upstream to where the element came from: so it does with truth values.
    ones = constant_like(1.0, n) if need is None else node(Cast(n.type.dtype), need)
    back = op.vjp(n, k, ones)
    return None if back is None else elementwise("not_equal", back, constant_like(0.0, back))


def _again(n: Node, src: Sequence[Node]) -> Node:
    """A node over guarded operands.  Where the row is a choice itself, each guarded operand counts only where it
    matters; elsewhere the operand as it was makes the choice, held constant."""
    made = [tuple(src)]
    conditions = []
    for k, (before, after) in enumerate(zip(n.src, src, strict=True)):
        body = n.op.row.matters(k) if isinstance(n.op, Elementwise) and after is not before else None
        if body is not None:
            conditions.append(instantiate(body, (*n.src, n), n))
            held = elementwise("stop_gradient", before)
            made += [(*each[:k], held, *each[k + 1 :]) for each in made]
    found = [node(n.op, *each) for each in made]
    for condition in reversed(conditions):
        half = len(found) // 2
        found = [
            elementwise("where", condition, a, b) for a, b in zip(found[:half], found[half:], strict=True)
        ]
    return found[0]


def _only_where(mask: Node, x: Node, safe: float) -> Node:
    """x where the mask holds, else a number at which all is well."""
    number, condition, holds = constant_like(safe, x), mask, True
    if mask.op.label == "logical_not":
        condition, holds = mask.src[0], False
    # What was guarded for a first derivative is guarded for the second; and so is what the user guarded just so.
    again = any(o.why == _GUARD for o in x.origins) or (
        x.op.label == "where"
        and x.src[0] is condition
        and constant_value(x.src[2 if holds else 1]) is not None
    )
    if again:
        return x
    return elementwise("where", condition, x, number) if holds else elementwise("where", condition, number, x)


def _not(c: Node) -> Node:
    return c.src[0] if c.op.label == "logical_not" else elementwise("logical_not", c)


def _both(a: Node | None, b: Node) -> Node:
    return b if a is None or a is b else elementwise("logical_and", a, b)


def _either(a: Node | None, b: Node | None) -> Node | None:
    if a is None or b is None:
        return None
    return a if a is b else elementwise("logical_or", a, b)


# ---- for the table of rules ------------------------------------------------------------------------------------


def _is_guarded_choice(n: Node) -> bool:
    return n.op.label == "where" and guard_choices([n])[n] is not n


def _chosen(m: Match) -> Node:
    """where(c, f(x), y) → where(c, f(where(c, x, s)), y)"""
    return guard_choices([m.root])[m.root]


CHOICES: tuple[Rule, ...] = (
    rule(
        "choice", Whole("where(c, f(x), y)", _is_guarded_choice, (Elementwise,)), _chosen, exact="bitwise",
        equation=("where(c, f(x), y) = where(c, f(where(c, x, s)), y), f singular, but not at s",
                  r"\operatorname{where}(c, f(x), y) = \operatorname{where}(c, f(\operatorname{where}(c, x, s)), y)"),
    ),
)  # fmt: skip
"""The guard as a rule, so that the table lists it and the tests sample it; it is applied by `guard_choices`."""
