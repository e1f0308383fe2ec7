"""Lints of the network: what its layers are, one after the other.

| name                | what is looked for                                                                     |
|---------------------|----------------------------------------------------------------------------------------|
| `saturating-chain`  | sigmoids whose slopes, each at most 1/4, multiply to less than 1/256 on every path     |
| `linear-collapse`   | a linear layer on the result of a linear layer                                         |

>>> from graphc.lang.apply import apply
>>> from graphc.lang.tensor import input
>>> x = y = input("x")
>>> for _ in range(5):
...     y = apply("sigmoid", y)
>>> [f.what for f in saturating_chains(Subject.of(y.node, [x.node]))]
['the gradient by `x` passes 5 sigmoids, whose slopes multiply to at most 0.00075']
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from graphc.ir.dims import product
from graphc.ir.node import Node, nearest_location
from graphc.lint.finding import Finding, called
from graphc.lint.ranges import Range
from graphc.lint.recognise import behind, is_parameter, is_row, linear_layer, without_bias
from graphc.lint.subject import Subject
from graphc.ops.contract import Contract
from graphc.ops.conv import Conv

NEGLIGIBLE = 0.25**4
"""The product of slopes from which on a chain is reported: four sigmoids."""


def saturating_chains(subject: Subject) -> Iterator[Finding]:
    """Targets whose gradient passes saturating functions on every path; the one that suffers most."""
    factor: dict[Node, float] = {subject.loss: 1.0}
    passed: dict[Node, tuple[Node, ...]] = {subject.loss: ()}
    for n in reversed(subject.order):
        if n not in factor:
            continue
        slope = largest_slope(n, subject)
        through = (*passed[n], n) if slope < 1.0 else passed[n]
        for k, s in enumerate(n.src):
            if (n, k) in subject.edges and factor[n] * slope > factor.get(s, -1.0):
                factor[s], passed[s] = factor[n] * slope, through
    weak = [w for w in subject.targets if factor.get(w, 1.0) <= NEGLIGIBLE and not subject.is_dead(w)]
    if not weak:
        return
    worst = min(weak, key=lambda w: factor[w])
    chain = passed[worst]
    names = list(dict.fromkeys(n.op.label for n in chain))
    functions = f"{names[0]}s" if len(names) == 1 else " and ".join(f"{name}s" for name in names)
    more = f" (and {len(weak) - 1} more)" if len(weak) > 1 else ""
    many = f"{len(chain)} {functions}" if len(chain) > 1 else f"a {names[0]}"
    yield Finding(
        "saturating-chain", "warning", chain[-1], nearest_location(chain[-1]),
        f"the gradient by {called(worst)}{more} passes {many}, "
        f"whose slopes multiply to at most {factor[worst]:.2g}",
        "the slope of sigmoid is at most 1/4, and the chain rule multiplies: the first layers hardly learn",
        "use an activation whose slope does not vanish, such as gc.relu, or add a path around the layers: x + f(x)",
    )  # fmt: skip


def largest_slope(n: Node, subject: Subject) -> float:
    """The largest slope of a saturating function over the range of its operand; 1 for all others."""
    if not is_row(n, "sigmoid", "tanh"):
        return 1.0
    nearest = _nearest_to_zero(subject.bounds[n.src[0]])
    if n.op.label == "tanh":
        return 1.0 - math.tanh(nearest) ** 2
    s = 1.0 / (1.0 + math.exp(-min(nearest, 700.0)))
    return s * (1.0 - s)


def _nearest_to_zero(x: Range) -> float:
    return 0.0 if x.lo <= 0 <= x.hi else min(abs(x.lo), abs(x.hi))


def linear_collapses(subject: Subject) -> Iterator[Finding]:
    """A linear layer on a linear layer: together they are one."""
    for n in subject.order:
        if not isinstance(n.op, (Contract, Conv)):
            continue
        outer = linear_layer(n)
        inner = linear_layer(outer[0]) if outer is not None else None
        if outer is None or inner is None:
            continue
        first = without_bias(outer[0])
        if _is_separable(first) or _is_separable(n):
            continue
        before, hidden = _features(first)
        after = _features(n)[1]
        narrow = hidden < min(before, after)
        rank = f" of rank {hidden} at most: that is a use of its own" if narrow else ""
        yield Finding(
            "linear-collapse", "note" if narrow else "warning", n, nearest_location(n),
            f"a linear layer ({called(behind(outer[1]))}) follows a linear layer ({called(behind(inner[1]))})",
            f"together they are one linear map{rank}" if narrow
            else "together they are one linear map, which one layer can be",
            "put a nonlinearity between them, such as gc.relu, or leave one out",
        )  # fmt: skip


def _is_separable(n: Node) -> bool:
    """Whether a convolution is a factor on purpose: in groups, over one axis, or over single pixels."""
    if not isinstance(n.op, Conv):
        return False
    groups, _, _, *window = n.src[1].type.shape
    return groups != 1 or any(k == 1 for k in window)


def _features(n: Node) -> tuple[int, int]:
    """How many numbers go into and come out of a linear layer, for each place that it is applied to."""
    weights = 0 if is_parameter(n.src[0]) else 1
    shape = n.src[weights].type.shape
    if isinstance(n.op, Contract):
        letters, out = n.op.letters()[weights], n.op.letters()[2]
        sizes = [(letter in out, d) for letter, d in zip(letters, shape, strict=True)]
        inside, outside = (product(d for kept, d in sizes if kept is wanted) for wanted in (False, True))
    else:
        inside, outside = product(shape[2:]), shape[1]
    assert isinstance(inside, int) and isinstance(outside, int)  # parameters have a known size
    return inside, outside
