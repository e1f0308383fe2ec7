"""Level 2, reverse mode over the graph: `upstream × local = downstream`, at every node.

From the output backwards, each node hands every operand its share.  Each share is a `GradEdge`, whose three
factors are graph nodes (or, for a structural operation, a linear map with a formula).  Where a node is used
several times its shares are added, by visible `add` nodes.

>>> from graphc.lang.tensor import inputs
>>> x, y, z = inputs("x y z")
>>> q = x + y
>>> gradients = differentiate((q * z).node, (x.node, y.node, z.node))
>>> [n.op.label for n in gradients.wrt]
['mul', 'mul', 'mul']
>>> len(gradients.edges)
4
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from graphc.autodiff.control import pull_back
from graphc.errors import GradientError
from graphc.ir.block import BlockOp, Family, family
from graphc.ir.node import Node, origin, toposort
from graphc.lang.source import operation, user_location
from graphc.lang.tensor import Tensor
from graphc.ops.elementwise import Elementwise, constant_like, elementwise
from graphc.passes.rules_stability import apart, stabilize
from graphc.warn import warn


@dataclass(frozen=True, slots=True)
class GradEdge:
    """One step of the chain rule, from a node to one of its operands.

    `upstream` is dL/d(node), `downstream` this edge's share of dL/d(operand).  `local` is d(node)/d(operand) as
    a node of the same shape where the operation is elementwise; else None, and the operation's `local_latex`
    says which linear map it is.
    """

    node: Node
    operand: int
    upstream: Node
    local: Node | None
    downstream: Node

    @property
    def source(self) -> Node:
        """The operand's node."""
        return self.node.src[self.operand]


@dataclass(frozen=True, slots=True)
class Gradients:
    """The result of one backward pass: gradients of `wrt`, in order, and every edge in the order of the pass."""

    output: Node
    seed: Node
    wrt: tuple[Node, ...]
    edges: tuple[GradEdge, ...]
    totals: dict[Node, Node]


def differentiate(
    output: Node, wrt: Sequence[Node], seed: Node | None = None, *, locals_too: bool = False
) -> Gradients:
    """Reverse mode from `output` to `wrt`; the seed (dL/d output) is 1 unless given.

    With `locals_too` the local gradients of elementwise operations are built as nodes of their own, which the
    teaching record shows; the gradients themselves do not need them.
    """
    return differentiate_all(
        ((output, seed if seed is not None else constant_like(1.0, output)),), wrt, locals_too=locals_too
    )


def differentiate_all(
    outputs: Sequence[tuple[Node, Node]], wrt: Sequence[Node], *, locals_too: bool = False
) -> Gradients:
    """Reverse mode from several outputs, each with its seed."""
    totals, edges = _sweep(outputs, wrt, locals_too)
    found = tuple(totals[w] if w in totals else _zeros(w, outputs) for w in wrt)
    return Gradients(outputs[0][0], outputs[0][1], found, tuple(edges), totals)


def _sweep(
    outputs: Sequence[tuple[Node, Node]], wrt: Sequence[Node], locals_too: bool
) -> tuple[dict[Node, Node], list[GradEdge]]:
    """The total of each node that a path of slopes leads to, and the edges of these paths."""
    order = toposort(output for output, _ in outputs)
    # Only nodes on a path from the outputs to `wrt` matter.
    needed = set(wrt)
    for n in order:
        if n not in needed and lets_through(n) and any(s in needed for s in n.src):
            needed.add(n)
    totals: dict[Node, Node] = {}
    for output, seed in outputs:
        totals[output] = elementwise("add", totals[output], seed) if output in totals else seed
    edges: list[GradEdge] = []
    # The results of one operation with blocks are differentiated together, when the last of them is reached:
    # by then all that depends on any of them has been.  (One by one where each edge is to be seen.)
    waiting = Counter(family(n) for n in order if isinstance(n.op, BlockOp))
    reached: dict[Family, dict[int, Node]] = {}
    for n in reversed(order):
        upstream = totals.get(n)
        shares: Mapping[int, Node] | None = None  # of the operands of a family
        if isinstance(n.op, BlockOp) and not locals_too:
            key = family(n)
            waiting[key] -= 1
            if upstream is not None and n.type.dtype.is_float:
                reached.setdefault(key, {})[n.op.result] = upstream
            if waiting[key] or key not in reached or n not in needed:
                continue
            upstream = next(iter(reached[key].values()))
            with origin("gradient", of=(n,)):
                shares = pull_back(n, reached[key], _pull)
        elif upstream is None or n not in needed:
            continue
        for k, source in enumerate(n.src):
            if source not in needed:
                continue
            with origin("gradient", of=(n,)):
                downstream = shares.get(k) if shares is not None else downstream_of(n, k, upstream)
                if downstream is None:
                    continue
                local = n.op.local(n, k) if locals_too and isinstance(n.op, Elementwise) else None
                edges.append(GradEdge(n, k, upstream, local, downstream))
                held = totals.get(source)
            if held is None:
                totals[source] = downstream
            else:
                with origin("accumulate", of=(source,)):
                    totals[source] = elementwise("add", held, downstream)
    return totals, edges


def lets_through(n: Node) -> bool:
    """Whether a gradient may lead through a node: not where it is stopped, and not through integers."""
    if isinstance(n.op, BlockOp):  # one result may be an integer, and another of the same loop a float
        return True
    return n.type.dtype.is_float and not (isinstance(n.op, Elementwise) and n.op.row.detached)


def downstream_of(n: Node, operand: int, upstream: Node) -> Node | None:
    """`upstream × local` for one edge; None where the derivative is zero everywhere."""
    if isinstance(n.op, BlockOp):
        return pull_back(n, {n.op.result: upstream}, _pull).get(operand) if n.type.dtype.is_float else None
    return n.op.vjp(n, operand, upstream)


def _pull(outputs: Sequence[tuple[Node, Node]], wrt: Sequence[Node]) -> Mapping[Node, Node]:
    """Reverse mode inside a block; what has no path to the outputs has no gradient."""
    totals = _sweep(outputs, wrt, False)[0]
    return {w: totals[w] for w in wrt if w in totals}


def _zeros(w: Node, outputs: Sequence[tuple[Node, Node]]) -> Node:
    """The gradient of something that the outputs are computed from, along paths of zero slope only."""
    if w not in toposort(output for output, _ in outputs):
        raise GradientError(
            f"the loss does not depend on {_describe(w)}",
            why="no path of the graph leads from it to the loss, so its gradient would be zero everywhere",
            fix="leave it out of the gradient, or check that the tensor you built the loss from is the one you mean",
        )
    if not w.type.dtype.is_float:
        raise GradientError(
            f"{_describe(w)} is of dtype {w.type.dtype}", why="only floating-point tensors have gradients"
        )
    return constant_like(0.0, w)


def _describe(n: Node) -> str:
    title = getattr(n.op, "title", "")
    return f"`{title}`" if title else f"this tensor ({n.op.label}, {n.type})"


def check_scalar(loss: Tensor) -> None:
    """Raises GradientError where a loss is no floating-point scalar."""
    if loss.ndim != 0:
        raise GradientError(
            f"the gradient of a tensor of type {loss.node.type} is not one tensor",
            why="only a scalar has a gradient of the shape of its argument",
            fix="reduce it first with gc.sum or gc.mean, or use gc.vjp or gc.jacobian",
        )
    if not loss.dtype.is_float:
        raise GradientError(
            f"a loss of dtype {loss.dtype} has no gradient", fix='cast it: loss.astype("float32")'
        )


@operation
def grad(loss: Tensor, wrt: Tensor | Sequence[Tensor]) -> Tensor | list[Tensor]:
    """The gradient of a scalar with respect to a tensor, or to each of several: tensors of the same graph.

    Each gradient has the type of what it is taken by.  Raises GradientError where the loss is no scalar or does
    not depend on a tensor of `wrt`; warns (`dead-gradient`) where it does, but along paths without a slope only.
    """
    check_scalar(loss)
    targets = [wrt] if isinstance(wrt, Tensor) else list(wrt)
    check_tensors(targets, "wrt")
    found = _stable_gradients([(loss.node, constant_like(1.0, loss.node))], [t.node for t in targets])
    for t in targets:
        if t.node not in found:
            warn(
                "dead-gradient",
                f"the gradient by {_describe(t.node)} is zero everywhere",
                where=user_location(),
                why="every path from it to the loss goes through an operation without a slope, such as a comparison",
                fix="gc.lint(loss) names the operation; or silence this: with gc.silence('dead-gradient')",
            )
    result = [
        Tensor(
            found[t.node] if t.node in found else constant_like(0.0, t.node),
            f"d{loss.name or 'loss'}/d{t.name}" if t.name else "",
        )
        for t in targets
    ]
    return result[0] if isinstance(wrt, Tensor) else result


def _stable_gradients(outputs: Sequence[tuple[Node, Node]], wrt: Sequence[Node]) -> dict[Node, Node]:
    """The gradients by `wrt` of outputs with their seeds; what only zero slopes lead to has none.

    Once the chain rule has taken a naive formula apart, nothing can save it: log(softmax(x)) is made stable first.
    """
    found: dict[Node, Node] = {}
    for group in apart(wrt):
        stable = stabilize([output for output, _ in outputs], group)
        pairs = [(stable[output], seed) for output, seed in outputs]
        gradients = differentiate_all(pairs, [stable[w] for w in group])
        found |= {w: gradients.totals[stable[w]] for w in group if stable[w] in gradients.totals}
    return found


def check_tensors(values: Sequence[object], what: str) -> None:
    """Raises GradientError where something is no tensor."""
    for v in values:
        if not isinstance(v, Tensor):
            raise GradientError(f"{what} must be tensors, not {type(v).__name__}", where=user_location())


@operation
def vjp(
    ys: Tensor | Sequence[Tensor], xs: Sequence[Tensor], cotangents: Tensor | Sequence[Tensor]
) -> list[Tensor]:
    """Cotangents times the Jacobian of ys by xs: reverse mode with a seed for each output."""
    outputs = [ys] if isinstance(ys, Tensor) else list(ys)
    seeds = [cotangents] if isinstance(cotangents, Tensor) else list(cotangents)
    check_tensors([*outputs, *xs, *seeds], "ys, xs and cotangents")
    for y, c in zip(outputs, seeds, strict=True):
        if y.node.type != c.node.type:
            raise GradientError(
                f"the cotangent of a {y.node.type} is a {c.node.type}", fix="give it the same type"
            )
    found = _stable_gradients(
        [(y.node, c.node) for y, c in zip(outputs, seeds, strict=True)], [x.node for x in xs]
    )
    return [Tensor(found[x.node] if x.node in found else constant_like(0.0, x.node)) for x in xs]
