"""The pipeline of level 3: every pass by name, in the order of one tuple.

| pass        | what it does                                                                       |
|-------------|------------------------------------------------------------------------------------|
| `merge`     | says what was written twice; merges a + b and b + a                                |
| `fold`      | computes what depends on constants only                                            |
| `stability` | replaces formulas that overflow or cancel by ones that do not                      |
| `algebra`   | removes and simplifies operations, views, sums and contractions                    |
| `control`   | merges and simplifies loops and branches (`graphc.passes.control`)                 |
| `dead`      | drops updates that change nothing, and says what the outputs no longer need        |

With `precision="bf16"` one more pass follows, `precision` (`graphc.passes.mixed_precision`), and `control` again;
with `winograd=True` the pass `winograd` comes last (`graphc.passes.winograd`).

Each pass works on the graph, then on the blocks of its loops and branches.  The tuple is run again until a
round changes nothing.

>>> from graphc.lang.tensor import input
>>> x = input("x", ("N",))
>>> before = Graph("f", (x.node,), (((x + 0.0) * 1.0).node,))
>>> after, log = optimize(before)
>>> after.outputs == (x.node,)
True
>>> print(log)
algebra: add-zero: %3 add → %0 input   (x + 0 = x)
algebra: mul-one: %6 mul → %0 input   (x·1 = x)
dead: removed: 6 of 7 nodes are no longer needed: 1 add, 2 const, 2 expand, 1 mul; 1 are left
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from graphc.errors import ArgumentError, InternalError
from graphc.ir.graph import Graph
from graphc.ir.node import Node
from graphc.ir.verify import verify_graph
from graphc.passes.control import control, inside_blocks
from graphc.passes.log import Log
from graphc.passes.merge import merge, report
from graphc.passes.mixed_precision import mixed_precision
from graphc.passes.pattern import Match
from graphc.passes.rewrite import Rule, describe, simplify
from graphc.passes.rules import GROUPS, RULES
from graphc.passes.rules_stability import REPLACED
from graphc.passes.winograd import winograd as in_tiles

ROUNDS = 4
"""The most rounds that are run; two are usual, and each finds less than the one before."""

PRECISIONS = ("full", "bf16")
"""What `precision` can be."""

LATER = ("fuse", "layout", "recompute")
"""Passes of later levels, which read the same `disable`."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a pass may know beside the graph: the options, the log, and the graph as it was written."""

    original: Graph
    log: Log
    fast: bool
    disable: Collection[str]


@dataclass(frozen=True, slots=True)
class Pass:
    """A named step from graph to graph."""

    name: str
    run: Callable[[Graph, Context], Graph]


def _rewriting(name: str) -> Pass:
    """The pass that applies the rules of a group."""

    def run(graph: Graph, context: Context) -> Graph:
        rules = [
            r for r in GROUPS[name] if r.name not in context.disable and (context.fast or r.exact != "fast")
        ]
        return rewrite(graph, rules, context.log, name)

    return Pass(name, run)


def rewrite(graph: Graph, rules: Sequence[Rule], log: Log, name: str) -> Graph:
    """Apply rules to a graph until none matches; each application is an event of the log."""

    def record(applied: Rule, found: Match, new: Node) -> None:
        text = f"{log.name(found.root)} {describe(found)} → {log.name(new)} {new.op.label}"
        equation = with_condition(applied)
        log.add(name, applied.name, text, equation=equation, before=found.covered, after=(new,))

    return graph.with_roots(simplify(graph.roots, rules, record=record, rename=log.rename))


def with_condition(r: Rule) -> str:
    """The equation of a rule, and when it holds: `exp(x)/Σ exp(x) = …, if x is not shifted already`."""
    return f"{r.equation}, if {r.when}" if r.when else r.equation


def _report_earlier(graph: Graph, log: Log) -> None:
    """Say what became of naive formulas before gradients were taken: "log(div, exp) → sub"."""
    found: dict[tuple[Rule, str], list[Node]] = {}
    for n in graph.nodes:
        if n in REPLACED:
            found.setdefault(REPLACED[n], []).append(n)
    for (rule, what), made in found.items():
        text = f"before the gradient was taken: {what}"
        log.add("stabilize", rule.name, text, equation=with_condition(rule), after=tuple(made))


def _merge(graph: Graph, context: Context) -> Graph:
    return merge(graph, context.log)


def _control(graph: Graph, context: Context) -> Graph:
    return control(graph, context.log)


def _dead(graph: Graph, context: Context) -> Graph:
    """update p ← p … → nothing.  Nodes need no removal: a graph holds what its roots need, and no more."""
    updates = tuple((target, value) for target, value in graph.updates if target is not value)
    if updates != graph.updates:
        for target, value in graph.updates:
            if target is value:
                context.log.add(
                    "dead", "update", f"{context.log.name(target)} is updated by itself", before=(target,)
                )
        graph = Graph(graph.name, graph.inputs, graph.outputs, updates, graph.output_names)
    return graph


PIPELINE: tuple[Pass, ...] = (
    Pass("merge", _merge),
    _rewriting("fold"),
    _rewriting("stability"),
    _rewriting("algebra"),
    Pass("control", _control),
    Pass("dead", _dead),
)
"""The order of the passes is the order of this tuple."""


MIXED_PRECISION = Pass("precision", lambda graph, context: mixed_precision(graph, context.log))
"""The pass after them, where products may have operands in bfloat16."""

WINOGRAD = Pass("winograd", lambda graph, context: in_tiles(graph, context.log))
"""The last pass, where convolutions may be computed in tiles."""


def optimize(
    graph: Graph,
    *,
    disable: Collection[str] = (),
    fast: bool = False,
    precision: str = "full",
    winograd: bool = False,
) -> tuple[Graph, Log]:
    """Run every pass that is not disabled; each is timed, logged, and its result verified.

    `disable` holds names of passes and of rules; `fast` allows rules that may change results (see
    `graphc.passes.rewrite`); `precision="bf16"` rounds the operands of products; `winograd` computes convolutions in
    tiles, where that is faster.  Raises ArgumentError for a name that is neither.
    """
    names = [p.name for p in PIPELINE]
    unknown = sorted(set(disable) - {*names, *LATER, *RULES})
    if unknown:
        raise ArgumentError(
            f"there is no pass or rule {', '.join(map(repr, unknown))} to disable",
            why=f"the passes are {', '.join([*names, *LATER])}",
            fix="name a pass, or a rule of those that `graphc rules` lists",
        )
    log = Log()
    log.start(graph)
    context = Context(graph, log, fast, frozenset(disable))
    if "merge" not in disable:
        report(graph, log)
    _report_earlier(graph, log)
    settled: dict[str, Graph] = {}
    current = graph
    for _ in range(ROUNDS):
        before = current
        for step in PIPELINE:
            if step.name not in disable and settled.get(step.name) != current:
                current = settled[step.name] = run_pass(step, current, context)
        if current == before:
            break
    if precision == "bf16":
        current = run_pass(MIXED_PRECISION, current, context)
        if "control" not in disable:  # what loops round anew in each step is rounded before them
            current = run_pass(next(p for p in PIPELINE if p.name == "control"), current, context)
    if winograd:
        current = run_pass(WINOGRAD, current, context)
    if "dead" not in disable:
        _report_dead(graph, current, log)
    return current, log


def run_inside(step: Pass, graph: Graph, context: Context) -> Graph:
    """One pass on a graph, and on the blocks inside it."""
    return inside_blocks(step.run(graph, context), lambda body: run_inside(step, body, context), context.log)


def run_pass(step: Pass, graph: Graph, context: Context) -> Graph:
    """One pass: timed, and its result verified; InternalError names the pass that breaks a graph."""
    start = time.perf_counter()
    result = run_inside(step, graph, context)
    if [n.type for n in result.outputs] != [n.type for n in graph.outputs]:
        raise InternalError(f"the pass {step.name} changes the type of an output")
    if result != graph:
        verify_graph(result)
    seconds = context.log.seconds
    seconds[step.name] = seconds.get(step.name, 0.0) + time.perf_counter() - start
    return result


def _report_dead(before: Graph, after: Graph, log: Log) -> None:
    """Say what is computed no more: "removed: 3 of 10 nodes: 1 add, 2 const"."""
    kept = {log.name(n) for n in after.nodes}
    gone = tuple(n for n in before.nodes if log.name(n) not in kept)
    if gone:
        counts = Counter(n.op.label for n in gone)
        listed = ", ".join(f"{count} {label}" for label, count in sorted(counts.items()))
        text = f"{len(gone)} of {len(before.nodes)} nodes are no longer needed: {listed}"
        log.add("dead", "removed", f"{text}; {len(after.nodes)} are left", before=gone)
