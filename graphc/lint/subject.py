"""What is linted: a loss, what it is differentiated by, its gradients, and the ranges of all of them.

The graph is that of `gc.grad`: stable formulas have replaced naive ones already, so that nothing is reported
that graphc mends by itself.

>>> from graphc.lang.tensor import inputs
>>> x, y = inputs("x y")
>>> subject = Subject.of((x * y).node, [x.node])
>>> [n.op.label for n in subject.order], subject.gradient(x.node).op.label
(['input', 'input', 'mul'], 'mul')
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from graphc.autodiff.reverse import GradEdge, Gradients, differentiate
from graphc.ir.node import Node, origin, toposort
from graphc.lint.bounds import Bounds
from graphc.lint.ranges import ZERO, Range
from graphc.ops.leaves import Input, Param
from graphc.passes.rewrite import simplify
from graphc.passes.rules_stability import STABILITY, stabilize


@dataclass(frozen=True)
class Subject:
    """A loss made stable, and the targets (`wrt`) that it depends on, with their gradients.

    `absent` are the targets that it does not depend on; `known` says what is known of leaves.
    """

    written: Node
    loss: Node
    targets: tuple[Node, ...]
    absent: tuple[Node, ...]
    known: Mapping[Node, Range]

    @staticmethod
    def of(loss: Node, wrt: Sequence[Node], known: Mapping[Node, Range] | None = None) -> Subject:
        """Make the loss stable."""
        below = set(toposort([loss]))
        present = [w for w in wrt if w in below]
        absent = tuple(w for w in wrt if w not in below)
        stable = stabilize([loss], present)
        now = set(toposort([stable[loss]]))
        targets = tuple(stable[w] for w in present if stable[w] in now)
        return Subject(loss, stable[loss], targets, absent, known or {})

    @cached_property
    def formula(self) -> Subject:
        """The same with stable formulas, and without the choices that guard singular operands: what is meant."""
        plain = simplify([self.written], STABILITY)[self.written]
        return replace(
            self, loss=plain, targets=tuple(w for w in self.targets if w in set(toposort([plain])))
        )

    @cached_property
    def gradients(self) -> Gradients:
        """The gradients by the targets, as `gc.grad` builds them."""
        with origin("gradient", of=(self.loss,)):
            return differentiate(self.loss, self.targets)

    def knowing(self, known: Mapping[Node, Range]) -> Subject:
        """The same, where other ranges of leaves are known."""
        return replace(self, known=known)

    @cached_property
    def order(self) -> list[Node]:
        """The nodes of the loss, operands first."""
        return toposort([self.loss])

    @cached_property
    def users(self) -> Mapping[Node, list[Node]]:
        """Who reads each node of the loss."""
        found: dict[Node, list[Node]] = {n: [] for n in self.order}
        for n in self.order:
            for s in dict.fromkeys(n.src):
                found[s].append(n)
        return found

    @cached_property
    def edges(self) -> Mapping[tuple[Node, int], GradEdge]:
        """The steps of the chain rule, by node and operand."""
        return {(e.node, e.operand): e for e in self.gradients.edges}

    @cached_property
    def values(self) -> Bounds:
        """The ranges of the loss alone."""
        return Bounds([self.loss], self.known)

    @cached_property
    def bounds(self) -> Bounds:
        """The ranges of the loss, and of all its gradients."""
        steps = (e.downstream for e in self.gradients.edges)
        return Bounds([self.loss, *self.gradients.totals.values(), *steps], self.known)

    @cached_property
    def trained(self) -> frozenset[Node]:
        """The nodes of the loss that depend on a parameter, or where there is none, on a target."""
        params = {n for n in self.order if isinstance(n.op, Param)}
        return self.dependents(params or set(self.targets))

    def dependents(self, sources: set[Node]) -> frozenset[Node]:
        """The nodes of the loss that are computed from some nodes, and these."""
        found = {n for n in self.order if n in sources}
        for n in self.order:
            if any(s in found for s in n.src):
                found.add(n)
        return frozenset(found)

    def gradient(self, target: Node) -> Node | None:
        """The gradient by a target; None where nothing flows to it at all."""
        return self.gradients.totals.get(target)

    def is_dead(self, n: Node) -> bool:
        """Whether the gradient by a node is zero everywhere."""
        total = self.gradient(n)
        return total is None or self.bounds[total] == ZERO

    @cached_property
    def leaves(self) -> list[Node]:
        """The inputs and the parameters of the loss."""
        return [n for n in self.order if isinstance(n.op, (Input, Param))]
