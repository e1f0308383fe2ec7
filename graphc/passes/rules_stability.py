"""Numerical stability: formulas as books write them, computed without overflow and cancellation.

| rules                               | are about                                                          |
|-------------------------------------|--------------------------------------------------------------------|
| `graphc.passes.rules_exponentials`  | softmax, logsumexp, the logistic and the hyperbolic functions      |
| `graphc.passes.rules_cancelling`    | log1p, expm1, 1 − cos, differences of roots and squares, variances |
| `graphc.passes.rules_singular`      | 0·log 0, x/abs(x), x over its norm                                 |
| `graphc.passes.rules_choices`       | what `where` and others leave out; before differentiation only     |

A stable value is not enough: the derivative of the naive formula holds inf/inf terms of its own, which no
rule could find again once the chain rule has taken them apart.  So `stabilize` is for *before*
differentiation, and the pass "stability" is for what was never differentiated.

>>> from graphc.ir.node import node
>>> from graphc.ir.types import TensorType
>>> from graphc.ops.elementwise import elementwise
>>> from graphc.ops.leaves import Input
>>> u = node(Input("u", TensorType.of("f64", ("N",))))
>>> p = elementwise("sigmoid", u)
>>> f = elementwise("log", p)
>>> stabilize([f])[f].op.label
'neg'
>>> stabilize([f], [p])[f].op.label       # a gradient by p is asked for: p stays
'log'
"""

from __future__ import annotations

import weakref
from collections.abc import MutableMapping, Sequence

from graphc.ir.node import Node
from graphc.passes.pattern import Match
from graphc.passes.rewrite import Rule, simplify
from graphc.passes.rules_cancelling import CANCELLING
from graphc.passes.rules_choices import CHOICES, guard_choices
from graphc.passes.rules_exponentials import EXPONENTIALS
from graphc.passes.rules_singular import CONVENTIONS, SINGULAR

STABILITY: tuple[Rule, ...] = (*EXPONENTIALS, *CANCELLING, *SINGULAR)
"""The rules of stability, tried in this order: the special case before the general one."""

BEFORE_DIFFERENTIATION: tuple[Rule, ...] = (*CONVENTIONS, *CHOICES)
"""Rules that change no value, and make the gradient right; `stabilize` alone applies them."""


REPLACED: MutableMapping[Node, tuple[Rule, str]] = weakref.WeakKeyDictionary()
"""By which rule a node was made, and of what, in words ("log, div → sub"): the log of a compilation tells it."""


def _remember(rule: Rule, before: tuple[Node, ...], after: Node) -> None:
    """All nodes that the rule made: the gradient may need some of them, and not the root."""
    # In words, for a value that held nodes would keep its own key alive.
    text = f"{', '.join(n.op.label for n in before)} → {after.op.label}"
    why = f"rule:{rule.name}"
    stack = [after]
    while stack:
        n = stack.pop()
        made = n is after or any(o.why == why and o.of == before for o in n.origins)
        if made and n not in REPLACED:
            REPLACED[n] = rule, text
            stack.extend(n.src)


def stabilize(outputs: Sequence[Node], wrt: Sequence[Node] = ()) -> dict[Node, Node]:
    """What each node becomes when stable formulas replace naive ones, before differentiation.

    Gradients by `wrt` are to be taken: no rule looks through these nodes, so that the outputs still depend on
    them.  The gradients are then those of the replaced outputs by the replaced `wrt`.
    """
    applied: list[tuple[Rule, Match, Node]] = []
    rules = (*STABILITY, *CONVENTIONS)
    stable = simplify([*outputs, *wrt], rules, opaque=frozenset(wrt), record=lambda *how: applied.append(how))
    roots, leaves = [stable[n] for n in outputs], [stable[n] for n in wrt]
    guards: dict[Node, Node] = {}
    guarded = guard_choices(roots, leaves, guards)
    for rule, found, new in applied:
        _remember(rule, found.covered, new)
    for old, new in guards.items():
        _remember(CHOICES[0], (old,), new)
    return {n: guarded[stable[n]] for n in (*outputs, *wrt)}


def apart(wrt: Sequence[Node]) -> list[list[Node]]:
    """`wrt` in groups that are best differentiated one by one, each after a `stabilize` of its own.

    Rules do not look through what a gradient is taken by, so an intermediate value would keep the formula above
    it naive for the gradients by all the others: the inputs are one group, each intermediate value is another.
    """
    leaves = [n for n in wrt if not n.src]
    return [group for group in (leaves, *([n] for n in wrt if n.src)) if group]
