"""Level 3, mixed precision: products of f32 arrays with operands in bfloat16, and sums in f32.

```
%2: f32[64,256] = contract %0 %1 {spec='ij,jk->ik'}
→
%3: bf16x2[64,392] = bf16_pairs %0 {axis=1}
%4: bf16x2[392,256] = bf16_pairs %1 {axis=0}
%2: f32[64,256] = contract %3 %4 {spec='ij,jk->ik'}
```

It is asked for by `gc.compile(..., precision="bf16")` and runs after all other passes, so the products of the
gradients are rounded as well.  Rounding an operand changes it by at most 2^-8 of itself, so

    |error of Σ a·b| ≤ (2^-7 + 2^-16 + k·2^-23)·Σ|a·b| + k·2^-125·(1 + max|a| + max|b|)

for k terms; the last part is for numbers below 2^-126, which are taken for 0.  Two operands halve the memory that
is read and, where the machine has an instruction for pairs, the arithmetic; but what is no constant must be rounded
first.  A product of which each element is used a few times only is left as it is.

Sources: the format is that of S. Wang, P. Kanwar, BFloat16: the secret to high performance on Cloud TPUs (2019); the
bound is N. J. Higham's for sums of products, Accuracy and Stability of Numerical Algorithms (2002), section 3.1.

>>> from graphc.lang.tensor import input
>>> x, w = input("x", (64, 784), "float32"), input("w", (784, 256), "float32")
>>> log = Log()
>>> after = mixed_precision(Graph("f", (x.node, w.node), ((x @ w).node,)), log)
>>> [str(n.type) for n in after.nodes[2:]]
['bf16x2[64,392]', 'bf16x2[392,256]', 'f32[64,256]']
>>> log.events[0].text
'%0 contract → %1 contract'
"""

from __future__ import annotations

from collections.abc import Sequence

from graphc.ir.dims import Index, evaluate, names, product
from graphc.ir.graph import Graph, rebuild
from graphc.ir.node import Node, node, origin
from graphc.ir.types import DType
from graphc.ops.contract import Contract
from graphc.ops.conv import Conv
from graphc.ops.leaves import Const
from graphc.ops.pairs import Pairs
from graphc.ops.views import Reshape, Slice, Transpose
from graphc.passes.log import Log
from graphc.passes.through_views import strip

EQUATION = (
    "Σ a·b = Σ bf16(a)·bf16(b) ± (2^-7 + 2^-16 + k·2^-23)·Σ|a·b|, "
    "if sums have k ≥ 2 terms and elements are used often enough"
)

ROUNDING = 8
"""Products that could be added in the time that it takes to round one number, with what it moves in memory."""

VIEWS = (Reshape, Slice, Transpose)

SIZE = 64
"""What named dimensions are taken to be."""


def mixed_precision(graph: Graph, log: Log) -> Graph:
    """The graph with rounded operands wherever that pays."""

    def rebuilt(old: Node, src: tuple[Node, ...]) -> Node:
        axes = paired_axes(old, src)
        if axes is None:
            return old if src == old.src else node(old.op, *src)
        with origin("rewritten", of=(old,)):
            new = node(old.op, *(pairs(x, axis) for x, axis in zip(src, axes, strict=True)))
        text = f"{log.name(old)} {old.op.label} → {log.name(new)} {new.op.label}"
        log.add("precision", "bf16", text, equation=EQUATION, before=(old,), after=(new,))
        return new

    return rebuild(graph, rebuilt)[0]


def pairs(x: Node, axis: int) -> Node:
    """The pairs of an operand; those of a constant are a constant."""
    op = Pairs(axis)
    views, base = strip(x, VIEWS)
    if not isinstance(base.op, Const):
        return node(op, x)
    value = base.op.value
    for view in reversed(views):
        value = view.op.evaluate({}, value)
    return node(Const.of(op.evaluate({}, value), DType.BF16X2))


def is_constant(x: Node) -> bool:
    """Whether the pairs of an operand are made while compiling."""
    return isinstance(strip(x, VIEWS)[1].op, Const)


def paired_axes(n: Node, src: Sequence[Node]) -> tuple[int, int] | None:
    """The axes of the two operands along which neighbours are paired; None where a product stays as it is."""
    if not isinstance(n.op, Contract | Conv) or src[0].type.dtype is not DType.F32:
        return None
    if isinstance(n.op, Conv):
        terms: Index = product((*n.type.shape, *src[1].type.shape[2:]))
        axes, extent = (2, 2), src[0].type.shape[2]
    else:
        sizes = n.op.sizes(*(s.type for s in src))
        left, right, _ = n.op.letters()
        # The longest sum; of equal ones the innermost of the second operand, whose elements are read in vectors.
        summed = sorted(n.op.summed(), key=lambda letter: (_measure(sizes[letter]), -right.index(letter)))
        if not summed:
            return None
        terms, extent = product(sizes.values()), sizes[summed[-1]]
        axes = left.index(summed[-1]), right.index(summed[-1])
    if extent == 1:
        return None
    rounded = sum(_measure(s.type.elements) for s in src if not is_constant(s))
    size = _measure(extent)
    saved = _measure(terms) * (size // 2) / max(1, size)
    return axes if saved > ROUNDING * rounded else None


def _measure(size: Index) -> int:
    return evaluate(size, dict.fromkeys(names(size), SIZE))
