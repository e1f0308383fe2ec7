"""Level 2, forward mode: tangents travel with the values.

| operation    | tangent of the result                                                                     |
|--------------|-------------------------------------------------------------------------------------------|
| elementwise  | Σ over operands of local × tangent: the row's own `downstream` formula, read forwards     |
| at an edge   | `multiply_no_nan(local, tangent)` of sqrt, log, …: what does not move has no slope, so 0  |
| multilinear  | Σ over operands of the operation itself, with the tangent in the operand's place          |
| with blocks  | the operation with blocks that compute values and tangents (`graphc.autodiff.control`)    |
| any other    | the vjp of its vjp: u ↦ Jᵀu is linear, and the transpose of the transpose is t ↦ Jt       |

so that an operation which knows its vjp needs no rule of its own for forward mode.

>>> import graphc as gc
>>> x, t = gc.inputs("x t")
>>> (tangent,) = jvp(x * x, [x], t)
>>> float(gc.compile([x, t], tangent, backend="reference")(3.0, 0.5))
3.0
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from graphc.autodiff.control import push_through
from graphc.autodiff.reverse import check_tensors, differentiate
from graphc.errors import GradientError
from graphc.ir.block import BlockOp, Family, family, substitute
from graphc.ir.node import Node, node, origin, toposort
from graphc.lang.source import operation
from graphc.lang.tensor import Tensor
from graphc.ops.contract import Contract
from graphc.ops.conv import Conv
from graphc.ops.custom import CustomGradient
from graphc.ops.elementwise import Cast, Elementwise, constant_like, elementwise, instantiate
from graphc.ops.leaves import Input
from graphc.ops.reduce import Reduce
from graphc.ops.views import Expand, Reshape, Slice, Transpose
from graphc.ops.window import Window
from graphc.passes.rules_stability import stabilize

_LINEAR = (Contract, Conv, Cast, Expand, Reshape, Slice, Transpose)


@operation
def jvp(
    ys: Tensor | Sequence[Tensor], xs: Sequence[Tensor], tangents: Tensor | Sequence[Tensor]
) -> list[Tensor]:
    """The Jacobian of ys by xs times tangents: forward mode, one sweep for all outputs.

    Each tangent has the type of its x, each result that of its y.  Raises GradientError where they do not, or
    where a y depends on none of the xs.
    """
    outputs = [ys] if isinstance(ys, Tensor) else list(ys)
    along = [tangents] if isinstance(tangents, Tensor) else list(tangents)
    check_tensors([*outputs, *xs, *along], "ys, xs and tangents")
    if len(xs) != len(along):
        raise GradientError(f"{len(xs)} tensors need as many tangents, not {len(along)}")
    for x, t in zip(xs, along, strict=True):
        if x.node.type != t.node.type:
            raise GradientError(
                f"the tangent of a {x.node.type} is a {t.node.type}", fix="give it the same type"
            )
    stable = stabilize([y.node for y in outputs], [x.node for x in xs])
    found = push_forward(
        [stable[y.node] for y in outputs],
        {stable[x.node]: t.node for x, t in zip(xs, along, strict=True)},
    )
    return [Tensor(n) for n in found]


def push_forward(outputs: Sequence[Node], tangents: Mapping[Node, Node]) -> list[Node]:
    """The tangents of outputs, from those of some nodes."""
    reached, found = _sweep(outputs, tangents)
    for y in outputs:
        if y not in reached:
            raise GradientError(
                f"an output ({y.op.label}, {y.type}) does not depend on any tensor with a tangent",
                why="no path of the graph leads from them to it, so its tangent would be zero everywhere",
                fix="leave it out, or check that the tensors are those you mean",
            )
        if not y.type.dtype.is_float:
            raise GradientError(
                f"an output of dtype {y.type.dtype} has no tangent",
                why="only floating-point tensors have one",
            )
    return [found[y] if y in found else constant_like(0.0, y) for y in outputs]


def _sweep(outputs: Sequence[Node], tangents: Mapping[Node, Node]) -> tuple[set[Node], dict[Node, Node]]:
    """The nodes that depend on those with tangents, and the tangents that are not zero everywhere."""
    reached = set(tangents)
    found = dict(tangents)
    families: dict[Family, dict[int, Node]] = {}
    for n in toposort(outputs):
        if n in tangents or not any(s in reached for s in n.src):
            continue
        reached.add(n)
        with origin("tangent", of=(n,)):
            total: Node | None = None
            if isinstance(n.op, BlockOp):
                key = family(n)
                if key not in families:
                    along = {k: found[s] for k, s in enumerate(n.src) if s in found}
                    families[key] = push_through(n, along, _push) if along else {}
                total = families[key].get(n.op.result)
            else:
                for k, source in enumerate(n.src):
                    part = _tangent(n, k, found[source]) if source in found else None
                    if part is not None:
                        total = part if total is None else elementwise("add", total, part)
        if total is not None:
            found[n] = total
    return reached, found


def _push(outputs: Sequence[Node], tangents: Mapping[Node, Node]) -> Mapping[Node, Node]:
    """Forward mode inside a block."""
    found = _sweep(outputs, tangents)[1]
    return {n: found[n] for n in outputs if n in found}


def _tangent(n: Node, k: int, t: Node) -> Node | None:
    """The share of operand k in the tangent of a node; None where it is zero everywhere."""
    op = n.op
    if not n.type.dtype.is_float:
        return None
    if isinstance(op, Elementwise):
        if op.vjp(n, k, n) is None:
            return None
        if op.row.arity == 1 and op.row.domain != "True":
            # Where a choice above has stopped the tangent, an infinite slope does not make it NaN.
            return elementwise("multiply_no_nan", op.local(n, k), t)
        return instantiate(op.row.downstream_body(k), (*n.src, n, t), n)
    if isinstance(op, _LINEAR) or (isinstance(op, (Reduce, Window)) and op.kind == "sum"):
        return node(op, *(t if j == k else s for j, s in enumerate(n.src)))
    u = node(Input("u", n.type))
    pulled = op.vjp(n, k, u)
    if isinstance(op, CustomGradient) and not op.linear and pulled is not None:
        raise GradientError(
            f"a custom gradient ({op.reason}) has no forward mode",
            why="its rule is not linear in upstream, so no derivative has it as its transpose",
            fix="use reverse mode, or a rule that only scales upstream",
        )
    if pulled is None:
        return None
    (tangent,) = differentiate(pulled, (u,), seed=t).wrt
    if isinstance(op, CustomGradient):
        # Linear by its values, as all rules are where there are no elements; its text may read u all the same.
        (tangent,) = substitute([tangent], {u: constant_like(0.0, u)})
    return tangent
