"""What is known of the signs of values, whatever the inputs are: x² + 1 is positive, so its root is no singularity.

`positive` means at least some positive number, `nonnegative` and `nonpositive` include 0.  NaN is of no sign, and
is not spoken of.

>>> from graphc.ir.types import TensorType
>>> from graphc.ops.elementwise import constant_like, elementwise
>>> from graphc.ops.leaves import Input
>>> from graphc.ir.node import node, toposort
>>> x = node(Input("x", TensorType.of("f64")))
>>> variance = elementwise("square", x)
>>> safe = elementwise("add", variance, constant_like(1e-5, x))
>>> found = signs(toposort([safe]))
>>> sorted(found[variance]), sorted(found[safe])
(['nonnegative'], ['nonnegative', 'positive'])
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np

from graphc.ir.node import Node
from graphc.ops.elementwise import Cast, Elementwise
from graphc.ops.leaves import Const, Extent
from graphc.ops.reduce import Reduce
from graphc.ops.views import Concat, Expand, Reshape, Slice, Transpose
from graphc.passes.through_views import strip

Sign = Literal["positive", "nonnegative", "nonpositive"]
Signs = frozenset[Sign]

_NOTHING: Signs = frozenset()
_POSITIVE: Signs = frozenset(("positive", "nonnegative"))
_NONNEGATIVE: Signs = frozenset(("nonnegative",))
_NONPOSITIVE: Signs = frozenset(("nonpositive",))

_NEVER_NEGATIVE = ("square", "abs", "exp", "sigmoid", "relu", "softplus", "sqrt")


def signs(order: Iterable[Node]) -> dict[Node, Signs]:
    """What is known of the sign of each node; operands come before their users."""
    found: dict[Node, Signs] = {}
    for n in order:
        if not n.type.dtype.is_float:
            found[n] = _NOTHING
        elif isinstance(n.op, Elementwise):
            found[n] = _of_row(n, [found[s] for s in n.src])
        elif isinstance(n.op, Const):
            found[n] = _of_constant(n.op)
        elif isinstance(n.op, Extent):
            found[n] = _POSITIVE
        elif isinstance(n.op, Reduce):
            shifted = n.op.kind == "sum" and _is_exp_of_shifted(n.src[0], n.op.axes)
            found[n] = _POSITIVE if shifted else found[n.src[0]]
        elif isinstance(n.op, Expand | Reshape | Transpose | Slice | Cast | Concat):
            found[n] = _all_of([found[s] for s in n.src])
        else:
            found[n] = _NOTHING
    return found


def _all_of(given: list[Signs]) -> Signs:
    return frozenset.intersection(*given)


def _of_constant(op: Const) -> Signs:
    value = op.value
    known: set[Sign] = set()
    if np.all(value > 0):
        known.add("positive")
    if np.all(value >= 0):
        known.add("nonnegative")
    if np.all(value <= 0):
        known.add("nonpositive")
    return frozenset(known)


def _of_row(n: Node, given: list[Signs]) -> Signs:
    match n.op.label:
        case "add" if any("positive" in g for g in given) and all("nonnegative" in g for g in given):
            return _POSITIVE
        case "add":
            return _all_of(given) - {"positive"}
        case "mul" if n.src[0] is n.src[1]:
            return _NONNEGATIVE | given[0] & {"positive"}
        case "mul" | "div":
            return _of_product(*given)
        case "neg":
            return _NONPOSITIVE if "nonnegative" in given[0] else _NOTHING
        case "sub" if shift_of(n) is not None:
            return _NONPOSITIVE
        case "maximum":
            return frozenset.union(*given) - {"nonpositive"} | _all_of(given)
        case "minimum":
            return frozenset.union(*given) & {"nonpositive"} | _all_of(given)
        case "where":
            return _all_of(given[1:])
        case "stop_gradient":
            return given[0]
        case "cosh":
            return _POSITIVE
        case label if label in _NEVER_NEGATIVE:
            keeps = label in ("square", "abs", "sqrt", "relu", "softplus")
            return _NONNEGATIVE | (given[0] & {"positive"} if keeps else _NOTHING)
    return _NOTHING


def _of_product(x: Signs, y: Signs) -> Signs:
    if "positive" in x and "positive" in y:
        return _POSITIVE
    if "nonnegative" in x and "nonnegative" in y:
        return _NONNEGATIVE
    if ("nonnegative" in x and "nonpositive" in y) or ("nonpositive" in x and "nonnegative" in y):
        return _NONPOSITIVE
    return _NOTHING


def shift_of(n: Node) -> Reduce | None:
    """The maximum over axes that n subtracts from its own operand, x in x − max x."""
    if n.op.label != "sub":
        return None
    shift = n.src[1]
    while True:
        top = strip(shift, (Expand, Reshape))[1]
        # The shift may be held constant, and replaced by 0 where it is infinite.
        if top.op.label == "stop_gradient":
            shift = top.src[0]
        elif top.op.label == "where":
            shift = top.src[1]
        else:
            break
    maximum = isinstance(top.op, Reduce) and top.op.kind == "max" and top.src[0] is n.src[0]
    return top.op if maximum and isinstance(top.op, Reduce) else None


def _is_exp_of_shifted(n: Node, axes: tuple[int, ...]) -> bool:
    """Whether n is exp(x − max x) over these axes, whose sum is at least 1."""
    shift = shift_of(n.src[0]) if n.op.label == "exp" else None
    return shift is not None and shift.axes == axes
