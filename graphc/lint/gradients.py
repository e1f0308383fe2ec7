"""Lints of the gradients: those that are zero, those that can be NaN, and losses that nothing changes.

| name                      | what is looked for                                                              |
|---------------------------|---------------------------------------------------------------------------------|
| `constant-loss`           | the range of the loss is one number                                             |
| `dead-gradient`           | the range of a gradient is [0, 0], or nothing flows                             |
| `int-cast-cuts-gradient`  | a cast float → int → float on the way to the loss                               |
| `nan-gradient`            | a birth (`graphc.lint.bounds`) that reaches a gradient                          |
| `nan-loss`                | a birth that reaches the loss, and no gradient                                  |

>>> from graphc.lang.apply import apply
>>> from graphc.lang.tensor import input
>>> x = input("x")
>>> [f.name for f in dead_gradients(Subject.of(apply("floor", x).node, [x.node]))]
['dead-gradient']
"""

from __future__ import annotations

from collections.abc import Iterator

from graphc.autodiff.reverse import lets_through
from graphc.errors import Loc
from graphc.ir.block import BlockOp
from graphc.ir.node import Node, nearest_location, origin
from graphc.lint.bounds import Birth
from graphc.lint.finding import Finding, Severity, called
from graphc.lint.ranges import ALL, ZERO
from graphc.lint.recognise import behind, is_leaf, is_row
from graphc.lint.repairs import repair
from graphc.lint.subject import Subject
from graphc.ops.elementwise import Cast
from graphc.ops.gather import Gather
from graphc.ops.reduce import Arg
from graphc.passes.pattern import Match
from graphc.passes.rewrite import Rule, simplify
from graphc.passes.rules_stability import STABILITY


def constant_losses(subject: Subject) -> Iterator[Finding]:
    """A loss that is the same number whatever its inputs are."""
    loss, found = subject.loss, subject.bounds[subject.loss]
    if not subject.leaves:
        why = "it is computed from constants alone"
    elif found.is_point:
        why = f"it is {found.lo:g} whatever the inputs and parameters are"
    else:
        return
    yield Finding(
        "constant-loss", "warning", loss, nearest_location(loss), "the loss is a constant", why,
        "check that the tensor you built the loss from is the one you mean",
    )  # fmt: skip


def dead_gradients(subject: Subject) -> Iterator[Finding]:
    """Targets whose gradient is zero everywhere, each with what cuts its paths to the loss."""
    if not subject.leaves or subject.bounds[subject.loss].is_point:
        return  # all of them are, for one reason that is reported once
    for w in subject.absent:
        yield Finding(
            "dead-gradient", "warning", w, nearest_location(w), f"the loss does not depend on {called(w)}",
            "no path of the graph leads from it to the loss, so its gradient is zero everywhere",
            "leave it out of `wrt`, or check that the tensor you built the loss from is the one you mean",
        )  # fmt: skip
    for w in subject.targets:
        if not subject.is_dead(w):
            continue
        cuts = list(dict.fromkeys(_cuts(subject, w)))
        reasons = list(dict.fromkeys(_reason(subject, n, k) for n, k in cuts))
        node = cuts[0][0] if cuts else w
        yield Finding(
            "dead-gradient", "warning", node, nearest_location(node), f"the gradient by {called(w)} is zero everywhere",
            f"every path from it to the loss goes through {' or '.join(text for text, _ in reasons)}",
            reasons[0][1] if reasons else "",
        )  # fmt: skip


def _cuts(subject: Subject, w: Node) -> Iterator[tuple[Node, int]]:
    """(node, operand) where a gradient that is not zero becomes zero on its way to w."""
    below = subject.dependents({w})
    reached = {subject.loss}
    for n in reversed(subject.order):
        if n not in reached:
            continue
        for k, s in enumerate(n.src):
            if s not in below:
                continue
            edge = subject.edges.get((n, k))
            if not _has_slope(n, k) or (edge is not None and subject.bounds[edge.downstream] == ZERO):
                yield n, k
            else:
                reached.add(s)


def _has_slope(n: Node, operand: int) -> bool:
    """Whether a node hands a gradient on to an operand, where one reaches it."""
    if not lets_through(n) or not n.type.dtype.is_float:
        return False
    if isinstance(n.op, BlockOp):
        return n.src[operand].type.dtype.is_float
    with origin("gradient", of=(n,)):
        return n.op.vjp(n, operand, n) is not None


def _reason(subject: Subject, n: Node, operand: int) -> tuple[str, str]:
    """What cuts the gradient between a node and its operand, and what to do about it."""
    step = (
        "use a smooth form, or pass the gradient on as if there were no step: x + gc.stop_gradient(f(x) - x)"
    )
    if is_row(n, "stop_gradient"):
        return (
            "stop_gradient, which holds it constant",
            "drop gc.stop_gradient, or leave the tensor out of `wrt`",
        )
    if is_row(n, "floor", "ceil", "round", "trunc", "sign", "floor_divide"):
        return f"{n.op.label}, whose slope is 0", step
    if (is_row(n, "where") and operand == 0) or n.src[operand].type.dtype.value == "bool":
        return (
            "a comparison, which has no slope",
            "use a smooth choice in its place, such as gc.sigmoid(sharpness * (x - y))",
        )
    if isinstance(n.op, Gather) and operand == 1:
        return (
            "the index of a lookup, which has no slope",
            "use weights that sum to 1: gc.softmax",
        )
    if isinstance(n.op, Cast):
        inside = behind(n)
        while isinstance(inside.op, Cast):
            inside = inside.src[0]
        if isinstance(inside.op, Arg):
            return f"{inside.op.label}, whose slope is 0", "use gc.softmax, which is a smooth choice"
        return f"{n.src[operand].type.dtype}, which has no gradient", step
    if is_row(n, "relu"):
        found = subject.bounds[n.src[0]]
        return (
            f"relu at an operand in {found}, where its slope is 0",
            "check the sign of what goes into it, or use gc.leaky_relu",
        )
    return f"{n.op.label}, where its slope is 0", "check the constants around it"


def integer_casts(subject: Subject) -> Iterator[Finding]:
    """Casts to integers that come from a target, lead back to floats, and are not held constant on purpose."""
    below = subject.dependents({w for w in subject.targets if not subject.is_dead(w)})
    kept: set[Node] = {subject.loss}  # what reaches the loss without a stop_gradient
    for n in reversed(subject.order):
        if n in kept and not is_row(n, "stop_gradient"):
            kept.update(n.src)
    for n in subject.order:
        if (
            n in below
            and n in kept
            and isinstance(n.op, Cast)
            and n.type.dtype.is_integer
            and n.src[0].type.dtype.is_float
            and any(u.type.dtype.is_float and not isinstance(u.op, Gather) for u in _through_integers(subject, n))
        ):  # fmt: skip
            yield Finding(
                "int-cast-cuts-gradient", "warning", n, nearest_location(n),
                f"no gradient flows through the cast from {n.src[0].type.dtype} to {n.type.dtype}",
                "integers have no slope, so what was cast counts as a constant in the gradient",
                "drop the cast, or say that it is meant: x + gc.stop_gradient(gc.floor(x) - x)",
            )  # fmt: skip


def _through_integers(subject: Subject, n: Node) -> list[Node]:
    """The first nodes after n, along integers, that are none."""
    seen, queue = {n}, [n]
    found: list[Node] = []
    for current in queue:
        for user in subject.users[current]:
            if user not in seen:
                seen.add(user)
                (queue if user.type.dtype.is_integer else found).append(user)
    return found


def nan_gradients(subject: Subject) -> Iterator[Finding]:
    """Births of NaN or infinity that reach the gradient by a target, each at the node of the loss it is due to."""
    for n, births in _reported(subject).items():
        birth = births[0]
        severity: Severity = "warning" if _is_likely(subject, n, birth) else "note"
        chosen = _choice_around(subject, n)
        why, fix = repair(n, birth, chosen)
        yield Finding(
            "nan-gradient", severity, n, nearest_location(n),
            f"the gradient through {n.op.label} can be NaN or infinite", why, fix,
        )  # fmt: skip


def nan_losses(subject: Subject) -> Iterator[Finding]:
    """Births of NaN or infinity that reach the loss itself, and no gradient."""
    spoiled = set(_reported(subject))
    order = {n: k for k, n in enumerate(subject.order)}
    born = subject.bounds.births[subject.loss]
    for b in sorted(born, key=lambda b: (order.get(b.node, len(order)), b.node.digest, b.operand)):
        if b.node in spoiled:
            continue
        severity: Severity = "warning" if _is_likely(subject, b.node, b) else "note"
        why, fix = repair(b.node, b, None)
        yield Finding(
            "nan-loss", severity, b.node, nearest_location(b.node),
            f"the loss can be NaN or infinite through {b.node.op.label}", why, fix,
        )  # fmt: skip


def rescued(subject: Subject) -> Iterator[Finding]:
    """Formulas that are computed otherwise than they were written, because they would lose all digits."""
    used: dict[tuple[str, Loc | None], tuple[Rule, Node]] = {}

    def record(rule: Rule, match: Match, new: Node) -> None:
        if rule.exact == "stable":
            used.setdefault((rule.name, nearest_location(match.root)), (rule, match.root))

    with origin("gradient", of=(subject.written,)):
        simplify([subject.written], STABILITY, record=record)
    for rule, n in used.values():
        yield Finding(
            "rescued", "note", n, nearest_location(n), f"{n.op.label} is computed by the rule {rule.name}",
            f"{rule.equation}: as written it overflows or cancels, in its value or in its gradient",
            "nothing is to be done",
        )  # fmt: skip


def _reported(subject: Subject) -> dict[Node, list[Birth]]:
    """The births that reach a gradient, by the node of the loss that they are due to, in its order."""
    births = {
        b
        for w in subject.targets
        if (total := subject.gradient(w)) is not None
        for b in subject.bounds.births[total]
    }
    forward = {n: k for k, n in enumerate(subject.order)}
    found: dict[Node, list[Birth]] = {}
    for b in births:
        n = _forward(b.node, forward)
        found.setdefault(n, []).append(b)
    for n, of_one in found.items():  # its own birth before that of its gradient
        of_one += (b for b in subject.bounds.births.get(n, ()) if b.node is n)
        of_one.sort(key=lambda b: (b.node not in forward, b.node.digest, b.operand))
    last = len(forward)
    return dict(sorted(found.items(), key=lambda item: (forward.get(item[0], last), item[0].digest)))


def _forward(n: Node, forward: dict[Node, int]) -> Node:
    """The node that a node of the gradient was derived from: one of the loss, or of a loop inside it."""
    seen, queue = {n}, [n]
    derived: Node | None = None
    for current in queue:
        if current in forward:
            return current
        for o in current.origins:
            if o.why == "gradient" and derived is None:
                derived = o.of[0]
            for parent in o.of:
                if parent not in seen:
                    seen.add(parent)
                    queue.append(parent)
    return derived or n


def _is_likely(subject: Subject, n: Node, birth: Birth) -> bool:
    """Whether a network gets there: the range ends at the very edge, or only parameters keep it away."""
    operand = birth.node.src[birth.operand]
    if is_leaf(operand):
        return False
    inside = birth.range
    if is_row(birth.node, "div", "reciprocal") and inside.lo < 0 < inside.hi:
        return False  # a quotient by something that may have either sign: 0 is one number of many
    return inside != ALL or operand in subject.trained


def _choice_around(subject: Subject, n: Node) -> Node | None:
    """The `where` that a node is a branch of, directly or through elementwise operations."""
    for _ in range(4):
        users = subject.users.get(n, [])
        if len(users) != 1:
            return None
        if is_row(users[0], "where"):
            return users[0] if n in users[0].src[1:] else None
        n = users[0]
    return None
