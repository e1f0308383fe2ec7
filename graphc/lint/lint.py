"""`gc.lint`: every lint on a loss, before anything runs.

The names of the findings, and how they are silenced, are in `graphc.warn`.

>>> from graphc.lang.apply import apply
>>> from graphc.lang.tensor import input
>>> x, w = input("x"), input("w")
>>> lint(apply("floor", x * w), w).names
['dead-gradient']
>>> lint(apply("tanh", x * w), w)
no findings
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Literal

from graphc.autodiff.point import At, point_at, title
from graphc.autodiff.reverse import check_scalar, check_tensors
from graphc.autodiff.trace import default_targets
from graphc.errors import ArgumentError
from graphc.ir.node import Node
from graphc.lang.source import inspection
from graphc.lang.tensor import Tensor
from graphc.lint.chains import linear_collapses, saturating_chains
from graphc.lint.finding import Finding, Findings
from graphc.lint.gradients import (
    constant_losses,
    dead_gradients,
    integer_casts,
    nan_gradients,
    nan_losses,
    rescued,
)
from graphc.lint.images import range_of
from graphc.lint.losses import broadcast_losses, output_mismatches, softmax_twice, unused_inputs
from graphc.lint.point import at_point, drawn
from graphc.lint.ranges import Range
from graphc.lint.subject import Subject
from graphc.ops.leaves import Input, Param
from graphc.warn import NAMES, known, silenced, warn

Limits = Mapping[Tensor, tuple[float, float]] | Mapping[str, tuple[float, float]]

_GRADIENTS = (constant_losses, dead_gradients, integer_casts, saturating_chains, linear_collapses)
_FORMULAS = (broadcast_losses, softmax_twice, output_mismatches)


@inspection
def lint(
    loss: Tensor,
    wrt: Tensor | Sequence[Tensor] | None = None,
    *,
    at: At | Literal["random"] | None = None,
    silence: Collection[str] = (),
    inputs: Sequence[Tensor] = (),
    ranges: Limits | None = None,
    show_rescued: bool = False,
) -> Findings:
    """What is wrong with a scalar loss and its gradients by `wrt`, as a list that prints itself.

    `wrt` is one tensor or several (default: the parameters that are trained, or where there are none, the
    floating-point inputs).  With `at`, values of the inputs, it also looks at that point (at "random" ones, if
    it is that word), and takes what it finds there for the range of each input.  `ranges` gives ranges:
    {x: (0, 1)}.  Of the `inputs`, those that are not used are reported.  `show_rescued` reports formulas, too,
    that could give NaN as written and cannot as computed.  Findings named in `silence` are left out.

    Raises GradientError where the loss is no scalar, and ArgumentError for an unknown name, or for values and
    ranges that do not fit.
    """
    check_tensors([loss], "the loss")
    check_scalar(loss)
    quiet = silenced() | known(silence)
    targets = _targets(loss, wrt)
    check_tensors(targets, "wrt")
    nodes = [t.node for t in targets]
    limits = _limits(loss, ranges or {})
    subject = Subject.of(loss.node, nodes, limits)
    found = [f for check in _GRADIENTS for f in check(subject)]
    found += [f for check in _FORMULAS for f in check(subject.formula)]
    near = subject
    if at is not None:
        point = drawn(subject) if isinstance(at, str) else point_at([loss.node], at)
        _check_word(at)
        found += at_point(subject, point)
        if not isinstance(at, str):
            here = {n: range_of(a) for n, a in point.values.items() if isinstance(n.op, Input)}
            near = subject.knowing(here | limits)
    found += [*nan_gradients(near), *nan_losses(near)]
    if show_rescued:
        found += rescued(near)
    found += unused_inputs(subject, [t.node for t in inputs])
    order = {name: k for k, name in enumerate(NAMES)}
    return Findings(sorted((f for f in found if f.name not in quiet), key=lambda f: order[f.name]))


def sure(loss: Node, wrt: Sequence[Node]) -> Iterator[Finding]:
    """The findings that are mistakes beyond doubt, and cheap to find."""
    quiet = silenced()
    if len(quiet) == len(NAMES):
        return
    subject = Subject.of(loss, wrt)
    found = [f for check in (constant_losses, dead_gradients) for f in check(subject)]
    found += [f for check in _FORMULAS for f in check(subject.formula)]
    yield from (f for f in found if f.name not in quiet)


def warn_of(loss: Node, wrt: Sequence[Node]) -> None:
    """Warn of them, each at its line."""
    for f in sure(loss, wrt):
        warn(f.name, f.what, where=f.where, why=f.why, fix=f.fix)


def _targets(loss: Tensor, wrt: Tensor | Sequence[Tensor] | None) -> list[Tensor]:
    if isinstance(wrt, Tensor):
        return [wrt]
    if wrt is not None:
        return list(wrt)
    every = default_targets(loss)
    return [t for t in every if isinstance(t.node.op, Param)] or every


def _check_word(at: object) -> None:
    if isinstance(at, str) and at != "random":
        raise ArgumentError(f"at is {at!r}", fix='give values, {x: ...}, or "random"')


def _limits(loss: Tensor, ranges: Limits) -> dict[Node, Range]:
    """Ranges by node."""
    leaves = {n: title(n) for n in Subject.of(loss.node, []).leaves}
    found: dict[Node, Range] = {}
    for key, (lo, hi) in ranges.items():
        matches = [
            n for n, name in leaves.items() if (n is key.node if isinstance(key, Tensor) else name == key)
        ]
        if len(matches) != 1 or not lo <= hi:
            name = f"`{key.name if isinstance(key, Tensor) else key}`"
            raise ArgumentError(
                f"a range is given for {name}, which is no input of the loss" if len(matches) != 1
                else f"the range of {name} is from {lo} to {hi}",
                why=f"it depends on {', '.join(f'`{t}`' for t in leaves.values()) or 'none'}"
                if len(matches) != 1 else "the smaller number comes first",
            )  # fmt: skip
        found[matches[0]] = Range(float(lo), float(hi), nonzero=False)
    return found
