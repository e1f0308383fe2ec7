"""Formulas found again in a graph: softmax and its logarithm, shifts by a maximum, linear layers.

The language has no node for a softmax: it is exp(x − m) / Σ exp(x − m).  The linter asks here what a node is.

>>> from graphc.lang.functions import log_softmax, softmax
>>> from graphc.lang.tensor import input
>>> x = input("x", ("N", 10))
>>> softmax_of(softmax(x).node).logits is x.node, log_softmax_of(log_softmax(x).node).classes
(True, 10)
>>> softmax_of((x * 2.0).node) is None
True
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from graphc.ir.dims import Index, product
from graphc.ir.node import Node
from graphc.ops.contract import Contract
from graphc.ops.conv import Conv
from graphc.ops.elementwise import Cast, Elementwise
from graphc.ops.leaves import Const, Extent, Input, Iota, Param
from graphc.ops.reduce import Reduce
from graphc.ops.views import Expand, Pad, Reshape, Slice, Transpose
from graphc.passes.through_views import strip

SPREADS = (Expand, Reshape)
VIEWS = (Expand, Reshape, Transpose, Cast)


@dataclass(frozen=True, slots=True)
class Softmax:
    """A softmax, or its logarithm: of which logits, along which axes."""

    logits: Node
    axes: tuple[int, ...]

    @property
    def classes(self) -> Index:
        return product(self.logits.type.shape[a] for a in self.axes)


def is_row(n: Node, *names: str) -> bool:
    """Whether a node is one of these rows of the op table."""
    return isinstance(n.op, Elementwise) and n.op.row_name in names


def behind(n: Node) -> Node:
    """What lies behind broadcasts, reshapes, transposes and casts."""
    return strip(n, VIEWS)[1]


def shift_of(n: Node) -> tuple[Node, Node] | None:
    """(x, reduction) where a node is x − max x, held constant or not, guarded against infinity or not."""
    if not is_row(n, "sub"):
        return None
    top = n.src[1]
    while True:
        top = strip(top, SPREADS)[1]
        if is_row(top, "stop_gradient"):
            top = top.src[0]
        elif is_row(top, "where"):
            top = top.src[1]
        else:
            break
    reduced = isinstance(top.op, Reduce) and top.op.kind == "max" and top.src[0] is n.src[0]
    return (n.src[0], top) if reduced else None


def unshifted(n: Node) -> Node:
    """x of x − max x; else the node itself."""
    found = shift_of(n)
    return found[0] if found else n


def softmax_of(n: Node) -> Softmax | None:
    """What a node is the softmax of: exp(x)/Σ exp(x), shifted or not."""
    if not is_row(n, "div") or not is_row(n.src[0], "exp"):
        return None
    total = strip(n.src[1], SPREADS)[1]
    if not isinstance(total.op, Reduce) or total.op.kind != "sum" or total.src[0] is not n.src[0]:
        return None
    return Softmax(unshifted(n.src[0].src[0]), total.op.axes)


def log_softmax_of(n: Node) -> Softmax | None:
    """What a node is the log-softmax of: x − log Σ exp(x), shifted or not; or the logarithm of a softmax."""
    if is_row(n, "log"):
        return softmax_of(strip(n.src[0], SPREADS)[1])
    if not is_row(n, "sub"):
        return None
    total = strip(n.src[1], SPREADS)[1]
    if is_row(total, "add"):  # m + log Σ exp(x − m)
        total = strip(total.src[1], SPREADS)[1]
    if not is_row(total, "log"):
        return None
    total = strip(total.src[0], SPREADS)[1]
    if not isinstance(total.op, Reduce) or total.op.kind != "sum" or not is_row(total.src[0], "exp"):
        return None
    logits = unshifted(total.src[0].src[0])
    return Softmax(logits, total.op.axes) if unshifted(n.src[0]) is logits else None


def is_parameter(n: Node) -> bool:
    """Whether a node is a parameter, seen through views."""
    return isinstance(strip(n, (*VIEWS, Pad, Slice))[1].op, Param)


def linear_layer(n: Node) -> tuple[Node, Node] | None:
    """(what goes in, the weights) of a product or a convolution with a parameter, the bias included."""
    n = without_bias(n)
    if not isinstance(n.op, (Contract, Conv)):
        return None
    given = [k for k in (0, 1) if is_parameter(n.src[k])]
    return (n.src[1 - given[0]], n.src[given[0]]) if len(given) == 1 else None


def without_bias(n: Node) -> Node:
    """A node without a parameter that is added to it, seen through views and zeros around it."""
    n = strip(n, (*VIEWS, Pad))[1]
    if is_row(n, "add"):
        for k in (0, 1):
            if is_parameter(n.src[k]) and not is_parameter(n.src[1 - k]):
                return strip(n.src[1 - k], VIEWS)[1]
    return n


def clipped(n: Node) -> Node:
    """What lies behind a minimum, a maximum or a sum with constants, and behind views."""
    while True:
        n = behind(n)
        if not is_row(n, "minimum", "maximum", "add"):
            return n
        rest = [s for s in n.src if not isinstance(strip(s, (*VIEWS, Slice))[1].op, Const)]
        if len(rest) != 1:
            return n
        n = rest[0]


def cross_entropies(order: list[Node]) -> Iterator[tuple[Node, Node]]:
    """(log p, p) of each pair log p and log(1 − p) in a graph: a binary cross-entropy of probabilities."""
    logs: dict[Node, Node] = {}
    opposite: set[Node] = set()
    for n in order:
        if is_row(n, "log", "xlogy"):  # xlogy(t, p) is t·log p, and 0 where t is 0
            inside = behind(n.src[-1])
            if is_row(inside, "sub") and _is_constant(inside.src[0]):
                opposite.add(clipped(inside.src[1]))
            else:
                logs.setdefault(clipped(inside), n)
        elif is_row(n, "log1p", "xlog1py") and is_row(behind(n.src[-1]), "neg"):
            opposite.add(clipped(behind(n.src[-1]).src[0]))
    yield from ((n, p) for p, n in logs.items() if p in opposite)


def _is_constant(n: Node) -> bool:
    return isinstance(strip(n, (*VIEWS, Slice))[1].op, (Const, Extent, Iota))


def is_leaf(n: Node) -> bool:
    """Whether a node is an input or a parameter, seen through views."""
    return isinstance(strip(n, (*VIEWS, Slice))[1].op, (Input, Param))
