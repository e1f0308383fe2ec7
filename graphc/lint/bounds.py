"""Which values each node of a graph can have, and where a NaN or an infinity can be born.

Ranges (`graphc.lint.ranges`) flow from the leaves to the outputs.  With them flow *births*: nodes one of whose
operands can leave its domain.  A choice stops what it does not choose, and its condition is believed: under
`x > 0`, the x of `where(x > 0, log(x), 0)` is positive.

>>> from graphc.lang.apply import apply
>>> from graphc.lang.tensor import input
>>> x = input("x", ("N",))
>>> y = apply("log", apply("where", x > 0.0, x, 1.0))
>>> root = apply("sqrt", x)
>>> bounds = Bounds([y.node, root.node])
>>> [len(bounds.births[n]) for n in (y.node, root.node)], bounds[y.node], bounds[root.node]
([0, 1], (-inf, inf), [0, inf))
"""

from __future__ import annotations

import itertools
import math
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from graphc.ir.node import Node, node, toposort
from graphc.lint.images import leaves_domain, row_image, structural_image
from graphc.lint.ranges import ALL, ONE, TINY, ZERO, Range
from graphc.lint.recognise import is_row
from graphc.ops.control import Cond, Scan
from graphc.ops.elementwise import Elementwise
from graphc.ops.views import Expand, Reshape
from graphc.passes.through_views import strip

_KEPT = 64  # births that a node remembers
_REGION = 48  # nodes that are looked at again under a condition
_CONDITIONS = 16  # nodes of a condition that are compared with another one


@dataclass(frozen=True, slots=True)
class Birth:
    """A node whose operand, of this range, can leave its domain."""

    node: Node
    operand: int
    range: Range


Births = frozenset[Birth]
_NONE: Births = frozenset()


class Bounds(Mapping[Node, Range]):
    """The range of every node that outputs need; `births` has what can reach each of them."""

    def __init__(self, outputs: Iterable[Node], known: Mapping[Node, Range] | None = None) -> None:
        self._known = known or {}
        self._ranges: dict[Node, Range] = {}
        self.births: dict[Node, Births] = {}
        self._blocks: dict[object, list[Bounds]] = {}
        for n in toposort(outputs):
            self._ranges[n], self.births[n] = self._visit(n, self._ranges, self.births, choices=True)

    def __getitem__(self, n: Node) -> Range:
        return self._ranges[n]

    def __iter__(self) -> Iterator[Node]:
        return iter(self._ranges)

    def __len__(self) -> int:
        return len(self._ranges)

    def _visit(
        self, n: Node, ranges: Mapping[Node, Range], births: Mapping[Node, Births], *, choices: bool
    ) -> tuple[Range, Births]:
        if n in self._known:
            return self._known[n], _NONE
        given = [ranges[s] for s in n.src]
        if is_row(n, "where"):
            return self._choice(n, ranges, births, choices=choices)
        # A comparison with NaN is false, and an index that is none chooses something.
        inherited = _union(births[s] for s in n.src) if n.type.dtype.is_float else _NONE
        if isinstance(n.op, Elementwise):
            found = frozenset(Birth(n, k, given[k]) for k in leaves_domain(n, given))
            return row_image(n, given), _few(inherited | found)
        if isinstance(n.op, (Scan, Cond)):
            found_range, born = self._inside(n, n.op, given, ranges)
            return found_range, _few(inherited | born)
        return structural_image(n, given), inherited

    def _inside(
        self, n: Node, op: Scan | Cond, given: Sequence[Range], ranges: Mapping[Node, Range]
    ) -> tuple[Range, Births]:
        """A loop or a branch: its blocks over the ranges that come in; what a loop carries can be anything."""
        key = (op.with_result(0), n.src, *given)
        if key not in self._blocks:
            if isinstance(op, Cond):
                facts = (_facts(n.src[0], holds, ranges) for holds in (True, False))
                outside = [[f.get(s, x) for s, x in zip(n.src[1:], given[1:], strict=True)] for f in facts]
            else:
                outside = [[ALL] * op.carries + [*given[op.carries :]]]
            self._blocks[key] = [
                Bounds(block.outputs, dict(zip(block.slots, known, strict=True)))
                for block, known in zip(op.blocks, outside, strict=True)
            ]
        if isinstance(op, Cond):
            sides = [
                (b, block.outputs[op.result]) for b, block in zip(self._blocks[key], op.blocks, strict=True)
            ]
            images = [b[m] for b, m in sides]
            return images[0] | images[1], _union(b.births[m] for b, m in sides)
        (body,) = self._blocks[key]
        result = op.body.outputs[op.result]
        reaching = (result, *op.body.outputs[: op.carries])
        return (body[result] if op.result >= op.carries else ALL), _union(body.births[m] for m in reaching)

    def _choice(
        self, n: Node, ranges: Mapping[Node, Range], births: Mapping[Node, Births], *, choices: bool
    ) -> tuple[Range, Births]:
        """`where`: each branch under its condition."""
        condition, *branches = n.src
        found: list[tuple[Range, Births]] = []
        for branch, holds in zip(branches, (True, False), strict=True):
            if ranges[condition] == (ZERO if holds else ONE):
                continue
            if choices:
                found.append(self._under(branch, condition, holds, _facts(condition, holds, ranges)))
            else:
                found.append((ranges[branch], births[branch]))
        if len(found) == 1:
            return found[0]
        return found[0][0] | found[1][0], _few(found[0][1] | found[1][1])

    def _under(
        self, branch: Node, condition: Node, holds: bool, facts: Mapping[Node, Range]
    ) -> tuple[Range, Births]:
        """A branch again, where its condition is decided: only what lies near is looked at.

        Which element a condition is of is not followed: it is believed of all elements that the branch is made of.
        """
        region: dict[Node, None] = {branch: None}
        for n in _breadth_first(branch):
            if len(region) >= _REGION:
                break
            region[n] = None
        ranges, births = ChainMap({}, self._ranges), ChainMap({}, self.births)
        changed: set[Node] = set()
        same: dict[Node, Node] = {}  # what a node is where the condition is decided
        for n in toposort([branch], region.__contains__):
            truth = _decided(n.src[0], condition, holds) if is_row(n, "where") else None
            if truth is not None:
                chosen = n.src[1 if truth else 2]
                ranges[n], births[n], same[n] = ranges[chosen], births[chosen], same.get(chosen, chosen)
                changed.add(n)
            elif any(s in changed for s in n.src):
                found, born = self._visit(n, ranges, births, choices=False)
                ranges[n], births[n] = found & self._ranges[n], _still(born, self.births[n])
                changed.add(n)
            if any(s in same for s in n.src) and n not in same:
                same[n] = node(n.op, *(same.get(s, s) for s in n.src))
            fact = facts.get(same.get(n, n))
            if fact is not None:
                ranges[n] = fact & ranges[n]
                changed.add(n)
        return ranges[branch], births[branch]


def _decided(c: Node, condition: Node, holds: bool) -> bool | None:
    """Whether c holds where the condition does (or does not); None where that does not follow."""
    base, truth = strip(condition, (Expand, Reshape))[1], holds
    while is_row(base, "logical_not"):
        base, truth = strip(base.src[0], (Expand, Reshape))[1], not truth
    region = {c, *itertools.islice(_breadth_first(c), _CONDITIONS)}
    known: dict[Node, bool | None] = {}
    for n in toposort([c], region.__contains__):
        given = [known.get(s) for s in n.src]
        known[n] = truth if _claim(n) == _claim(base) else None
        if known[n] is not None:
            continue
        if isinstance(n.op, (Expand, Reshape)):
            known[n] = given[0]
        elif is_row(n, "logical_not") and given[0] is not None:
            known[n] = not given[0]
        elif is_row(n, "logical_or", "logical_and"):
            enough = is_row(n, "logical_or")  # one operand that is so decides
            known[n] = enough if enough in given else None if None in given else not enough
    return known[c]


def _claim(n: Node) -> object:
    """What a condition says, wherever it was broadcast: an expanded x > 0 is the x > 0 of the expanded x."""
    if isinstance(n.op, Elementwise) and n.op.row_name in _COMPARISONS:
        return (n.op, *(strip(s, (Expand, Reshape))[1] for s in n.src))
    return n


def _still(born: Births, before: Births) -> Births:
    """The births that remain: those that were there before, by node and operand."""
    known = {(b.node, b.operand) for b in before}
    return frozenset(b for b in born if (b.node, b.operand) in known)


def _breadth_first(n: Node) -> Iterable[Node]:
    seen, queue = {n}, [n]
    for current in queue:
        for s in current.src:
            if s not in seen:
                seen.add(s)
                queue.append(s)
                yield s


def _union(sets: Iterable[Births]) -> Births:
    found = {s for s in sets if s}
    return next(iter(found)) if len(found) == 1 else _few(frozenset().union(*found))


def _few(births: Births) -> Births:
    if len(births) <= _KEPT:
        return births
    return frozenset(sorted(births, key=lambda b: (b.node.digest, b.operand))[:_KEPT])


def _facts(condition: Node, holds: bool, ranges: Mapping[Node, Range]) -> dict[Node, Range]:
    """What a condition says of the nodes that it compares."""
    found: dict[Node, Range] = {}
    todo = [(condition, holds)]
    while todo:
        n, truth = todo.pop()
        n = strip(n, (Expand, Reshape))[1]
        if is_row(n, "logical_not"):
            todo.append((n.src[0], not truth))
        elif (is_row(n, "logical_and") and truth) or (is_row(n, "logical_or") and not truth):
            todo += [(s, truth) for s in n.src]
        elif isinstance(n.op, Elementwise) and n.op.row_name in _COMPARISONS:
            x, y = n.src
            relation, swapped = _COMPARISONS[n.op.row_name][0 if truth else 1]
            if swapped:
                x, y = y, x
            for node_, range_ in _consequences(relation, x, y, ranges):
                found[node_] = range_ & found.get(node_, ranges[node_])
    return found


_COMPARISONS: Mapping[str, tuple[tuple[str, bool], tuple[str, bool]]] = {
    # name: what it says where it holds, and where it does not; True: with the operands exchanged
    "less": (("<", False), ("<=", True)),
    "less_equal": (("<=", False), ("<", True)),
    "greater": (("<", True), ("<=", False)),
    "greater_equal": (("<=", True), ("<", False)),
    "equal": (("=", False), ("!=", False)),
    "not_equal": (("!=", False), ("=", False)),
}


def _consequences(relation: str, x: Node, y: Node, ranges: Mapping[Node, Range]) -> list[tuple[Node, Range]]:
    a, b = ranges[x], ranges[y]
    # The operands may be broadcasts: what holds of all elements of one holds of what was broadcast.
    if relation == "=":
        found = [(x, a & b), (y, b & a)]
    elif relation == "!=":
        found = [(x, _without(a, b)), (y, _without(b, a))]
    else:
        strict = relation == "<"
        found = [
            (x, a & Range(-math.inf, _below(b.hi) if strict else b.hi)),
            (y, b & Range(_above(a.lo) if strict else a.lo, math.inf)),
        ]
    for n, known in list(found):
        base = strip(n, (Expand, Reshape))[1]
        if base is not n and base in ranges:
            found.append((base, known & ranges[base]))
    return found


def _above(v: float) -> float:
    return TINY if v == 0 else math.nextafter(v, math.inf)


def _below(v: float) -> float:
    return -TINY if v == 0 else math.nextafter(v, -math.inf)


def _without(a: Range, b: Range) -> Range:
    if not b.is_point or not a.lo <= b.lo <= a.hi or a.is_point:
        return a
    if b.lo in (a.lo, a.hi):
        return Range(_above(a.lo), a.hi) if b.lo == a.lo else Range(a.lo, _below(a.hi))
    return Range(a.lo, a.hi, True) if b.lo == 0 else a
