"""Level 3, the rewriting engine: rules as data, and the one driver that applies them.

```
rule ::= name ":" pattern "=" replacement ["if" guard] exactness
exactness ::= "bitwise"   the same bits (any NaN counts as NaN)
            | "value"     but for the sign of a zero, and the order of additions inside a sum or contraction
            | "stable"    rounds differently; no further off than before, or a few ulp (finite operands)
            | "fast"      may round worse, or differ at infinities and NaN: only where the caller says `fast`
```

The driver goes from the operands to the outputs and tries the rules at each node until none matches.  What a
rule builds is recorded as coming from the nodes that it matched; no rule mentions provenance.

>>> from graphc.ir.node import node
>>> from graphc.ir.types import TensorType
>>> from graphc.ops.elementwise import constant_like, elementwise
>>> from graphc.ops.leaves import Input
>>> x = Wild("x")
>>> mul_one = rule("mul-one", x * 1, x, exact="bitwise")
>>> str(mul_one)
'mul-one: x·1 = x  [bitwise]'
>>> u = node(Input("u", TensorType.of("f64", ("N",))))
>>> f = elementwise("tanh", elementwise("mul", constant_like(1.0, u), u))
>>> simplify([f], [mul_one])[f] is elementwise("tanh", u)
True
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from graphc.errors import InternalError, Loc
from graphc.ir.node import Node, Op, node, origin, toposort
from graphc.passes import equation as equations
from graphc.passes.pattern import Match, Pattern, Wild, build

if TYPE_CHECKING:
    from graphc.ops.prove import Proof

__all__ = ["Exactness", "Guard", "Rule", "Wild", "describe", "guard", "rule", "simplify"]

Exactness = Literal["bitwise", "value", "stable", "fast"]
Record = Callable[["Rule", Match, Node], None]
Rename = Callable[[Node, Node], None]


@dataclass(frozen=True, slots=True)
class Guard:
    """A condition on a match, with a name to print."""

    name: str
    holds: Callable[[Match], bool]

    def __str__(self) -> str:
        return self.name


def guard(name: str) -> Callable[[Callable[[Match], bool]], Guard]:
    """Make a named condition of a function of the match."""
    return lambda holds: Guard(name, holds)


@dataclass(frozen=True, eq=False)
class Rule:
    """pattern = replacement, under a guard.  A replacement that needs attributes is a function of the match.

    The equation is derived from the pattern and the replacement, or from `shows` where the replacement is a
    function; `written` is its text and LaTeX where neither says it well.
    """

    name: str
    pattern: Pattern
    replacement: Pattern | Callable[[Match], Node]
    exact: Exactness
    when: Guard | None
    shows: Pattern | None
    written: tuple[str, str] | None
    loc: Loc

    @functools.cached_property
    def equation(self) -> str:
        """The rule for the learner: `x·1 = x`."""
        if self.written:
            return self.written[0]
        return f"{equations.text(self.pattern)} = {equations.text(self._right)}"

    @functools.cached_property
    def latex(self) -> str:
        """The rule in LaTeX."""
        if self.written:
            return self.written[1]
        return f"{equations.latex(self.pattern)} = {equations.latex(self._right)}"

    @property
    def _right(self) -> Pattern:
        right = self.replacement if isinstance(self.replacement, Pattern) else self.shows
        if right is None:
            raise InternalError(f"the rule {self.name} does not say what it shows")
        return right

    @property
    def proof(self) -> Literal["algebra", "sampling"]:
        """How the tests prove it: by SymPy over the symbols of its wildcards, or by random tensors."""
        formula = isinstance(self.replacement, Pattern) and equations.is_provable(self.pattern)
        return "algebra" if formula else "sampling"

    def prove(self) -> Proof:
        """The verdict of `graphc.ops.prove`: on numbers, or on three elements where there is a sum."""
        from graphc.ops.prove import prove_equal

        if self.proof != "algebra" or not isinstance(self.replacement, Pattern):
            raise InternalError(f"the rule {self.name} is no formula of numbers: sample it")
        size = 3 if equations.has_reduction(self.pattern) else 1
        left = equations.components(self.pattern, size)[0]
        right = equations.components(self.replacement, size)[0]
        symbols = equations.symbols_of(left, right)
        return prove_equal(left, right, symbols)

    def apply(self, n: Node, opaque: Collection[Node] = ()) -> tuple[Match, Node] | None:
        """The first match at a node that passes the guard, and what becomes of the node."""
        for found in self.pattern.find(n, Match(n, opaque=opaque)):
            if self.when is not None and not self.when.holds(found):
                continue
            with origin(f"rule:{self.name}", of=found.covered):
                right = self.replacement
                new = build(right, found) if isinstance(right, Pattern) else right(found)
            if new.type != n.type:
                raise InternalError(
                    f"the rule {self.name} turns a {n.type} into a {new.type}: {describe(found)}"
                )
            return found, new
        return None

    def __str__(self) -> str:
        when = f"  if {self.when}" if self.when else ""
        return f"{self.name}: {self.equation}{when}  [{self.exact}]"


def rule(
    name: str,
    pattern: Pattern,
    replacement: Pattern | Callable[[Match], Node],
    *,
    exact: Exactness,
    when: Guard | None = None,
    shows: Pattern | None = None,
    equation: tuple[str, str] | None = None,
) -> Rule:
    """Declare a rule; the place of the declaration is recorded."""
    frame = sys._getframe(1)
    loc = Loc(frame.f_code.co_filename, frame.f_lineno)
    return Rule(name, pattern, replacement, exact, when, shows, equation, loc)


def describe(m: Match) -> str:
    """The nodes that a match covers, nested as they are: `log(div(exp, expand(sum)))`."""
    written: dict[Node, str] = {}
    covered = set(m.covered)
    for n in toposort([m.root], covered.__contains__):
        inside = ", ".join(written[s] for s in n.src if s in covered)
        written[n] = f"{n.op.label}({inside})" if inside else n.op.label
    return written[m.root]


class _Index:
    """The rules that can match at a node with a given op, in their order."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = rules
        self.found: dict[tuple[type[Op], str], tuple[Rule, ...]] = {}

    def at(self, op: Op) -> tuple[Rule, ...]:
        key = (type(op), op.label)
        if key not in self.found:
            self.found[key] = tuple(r for r in self.rules if r.pattern.starts(op))
        return self.found[key]


@functools.lru_cache(maxsize=64)
def _index(rules: tuple[Rule, ...]) -> _Index:
    return _Index(rules)


def simplify(
    roots: Sequence[Node],
    rules: Sequence[Rule],
    *,
    opaque: Collection[Node] = (),
    record: Record | None = None,
    rename: Rename | None = None,
    limit: int = 0,
) -> dict[Node, Node]:
    """What becomes of each node that the roots need, when the rules are applied until none matches.

    Nodes in `opaque` may be replaced, but no rule looks through them.  `record` hears of each application,
    `rename(old, new)` of each node that is made again because its operands changed.  Every node is visited
    once, and each replacement once more.  InternalError names the last rules after more than `limit` of them
    (by default 1000 + 32 for each node), or where a replacement leads back to what it replaced.
    """
    index = _index(tuple(rules))
    limit = limit or 1000 + 32 * len(toposort(roots))
    final: dict[Node, Node] = {}
    becomes: dict[Node, Node] = {}  # what a node is replaced by, before that is final itself
    applied: list[str] = []
    hidden = set(opaque)

    def follow(waiting: Node, new: Node) -> None:
        """`waiting` becomes what `new` becomes."""
        if new not in final and new in becomes:
            raise InternalError(f"the rules go round in a circle: {' → '.join(applied[-6:])}")
        becomes[waiting] = new
        stack.append(new)
        if waiting in hidden:
            hidden.add(new)

    stack = list(reversed(roots))
    while stack:
        n = stack[-1]
        if n in final:
            stack.pop()
            continue
        if n in becomes:
            final[n] = final[becomes[n]]
            stack.pop()
            continue
        pending = [s for s in n.src if s not in final]
        if pending:
            if any(s in becomes for s in pending):
                raise InternalError(f"a rule builds on what it replaces: {' → '.join(applied[-6:])}")
            stack.extend(reversed(pending))
            continue
        src = tuple(final[s] for s in n.src)
        if any(a is not b for a, b in zip(src, n.src, strict=True)):
            with origin("rewritten", of=(n,)):
                moved = node(n.op, *src)
            if rename is not None:
                rename(n, moved)
            follow(n, moved)
            continue
        for candidate in index.at(n.op):
            result = candidate.apply(n, hidden)
            if result is not None and result[1] is not n:
                applied.append(candidate.name)
                if len(applied) > limit:
                    raise InternalError(
                        f"no end of rewriting after {limit} steps: {' → '.join(applied[-12:])}"
                    )
                if record is not None:
                    record(candidate, *result)
                follow(n, result[1])
                break
        else:
            final[n] = n
            stack.pop()
    return final
