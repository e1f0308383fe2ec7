"""Constant folding: what depends on constants only is computed once, by the NumPy definition of the op.

| operands                                   | result                                                      |
|--------------------------------------------|-------------------------------------------------------------|
| numbers, or numbers expanded to a shape    | the number, expanded: the shape is never filled             |
| constant arrays                            | a constant array, if it has at most `LIMIT` elements        |

Parameters are no constants: their values change between calls.

>>> from graphc.ir.node import node
>>> from graphc.ir.types import TensorType
>>> from graphc.ops.elementwise import constant_like, elementwise
>>> from graphc.ops.leaves import Input
>>> u = node(Input("u", TensorType.of("f64", ("N", 1000))))
>>> two = elementwise("add", constant_like(1.0, u), constant_like(1.0, u))
>>> folded = fold(two)
>>> folded.op.label, folded.src[0].op.attributes()
('expand', {'value': 2.0})
"""

from __future__ import annotations

import numpy as np

from graphc.ir.dims import product
from graphc.ir.node import Node, node
from graphc.ir.types import Array
from graphc.ops.elementwise import Cast, Elementwise
from graphc.ops.leaves import Const
from graphc.ops.views import Expand
from graphc.passes.pattern import Match, Whole
from graphc.passes.rewrite import Rule, rule
from graphc.passes.through_views import constant_value, strip

LIMIT = 65536
"""The largest number of elements that folding computes and keeps in the graph."""


def fold(n: Node) -> Node | None:
    """The constant that a node is, or None.

    add(1, 2) → 3; add(expand(1), expand(2)) → expand(3); transpose(const) → const
    """
    if not n.src or isinstance(n.op, Expand) or any(constant_value(s) is None for s in n.src):
        return None
    if isinstance(n.op, Elementwise | Cast):
        numbers = [strip(s, (Expand,))[1] for s in n.src]
        if all(isinstance(s.op, Const) and s.type.rank == 0 for s in numbers):
            value = _evaluate(n, [s.op.value for s in numbers if isinstance(s.op, Const)])
            scalar = node(Const.of(value))
            return node(Expand(n.type.shape), scalar) if n.type.rank else scalar
    for t in (n, *n.src):
        size = product(t.type.shape)  # 0·N is 0, and still the axis of N has no size yet
        if t.type.dims or not isinstance(size, int) or size > LIMIT:
            return None
    arrays = [_materialised(s) for s in n.src]
    found = [a for a in arrays if a is not None]
    return node(Const.of(_evaluate(n, found))) if len(found) == len(n.src) else None


def _materialised(n: Node) -> Array | None:
    """The array of a constant, its expands carried out; None where other views are still to be folded."""
    chain, base = strip(n, (Expand,))
    if not isinstance(base.op, Const):
        return None
    value = base.op.value
    for view in reversed(chain):
        value = view.op.evaluate({}, value)
    return value


def _evaluate(n: Node, arrays: list[Array]) -> Array:
    with np.errstate(all="ignore"):
        return np.asarray(n.op.evaluate({}, *arrays))


def _is_foldable(n: Node) -> bool:
    return fold(n) is not None


def _folded(m: Match) -> Node:
    """f(1, 2) → 3"""
    return fold(m.root) or m.root


FOLD: tuple[Rule, ...] = (
    rule(
        "fold", Whole("f(constants)", _is_foldable), _folded, exact="bitwise",
        equation=("f(constants) = constant", r"f(c_1, \dots) = c"),
    ),
)  # fmt: skip
"""Folding as a rule, so that the one driver applies and logs it."""
