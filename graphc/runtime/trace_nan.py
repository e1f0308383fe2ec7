"""Where a NaN or an infinity was born: the first cause, not the last symptom.

The graph of a compiled function is evaluated as it was written, node by node, by the reference.  Of the NaNs that
reach a result, the first in the order of evaluation is followed back: to the node that made it of finite
operands, or to the infinity that became NaN, and from there to where the infinity was born.

| kind        | what it is                                                                          |
|-------------|-------------------------------------------------------------------------------------|
| `forward`   | a value of the forward pass                                                         |
| `gradient`  | a step of the chain rule; its upstream and local gradient are shown                 |
| `input`     | an argument that holds it already                                                   |
| `parameter` | a parameter that holds it already                                                   |

>>> import graphc as gc
>>> x, w = gc.inputs("x w")
>>> fn = gc.compile([x, w], gc.log(x) * w, backend="reference")
>>> report = trace_nan(fn, (-1.0, 2.0))
>>> report.kind, report.node.op.label, report.why
('forward', 'log', 'log(-1) = nan')
>>> print(trace_nan(fn, (1.0, 2.0)))
no NaN or infinity in the results of main
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from graphc.errors import ArgumentError, GraphcError, Loc
from graphc.ir.evaluate import bind_dims, evaluate_nodes
from graphc.ir.graph import Graph
from graphc.ir.node import Node
from graphc.ir.types import Array
from graphc.lang.source import inspection
from graphc.ops.leaves import Const, Input, Param
from graphc.runtime.births import Moment, inside, is_bad, moment_of, of_gradient
from graphc.runtime.function import Function

Kind = Literal["forward", "gradient", "input", "parameter"]


@dataclass(frozen=True)
class NanReport:
    """What `gc.trace_nan` returns; it prints itself.

    `ok` says whether what runs, the optimised graph, gives finite results.  `node` is where the first cause
    was born, None where there is none; `where` is the user's line, `index` the element, `why` the operands there.
    `then` is the node at which an infinity became NaN, with its own line and operands.
    """

    ok: bool
    function: str
    kind: Kind | None = None
    value: str = ""
    node: Node | None = None
    where: Loc | None = None
    index: tuple[int, ...] = ()
    what: str = ""
    why: str = ""
    fix: str = ""
    then: Moment | None = None
    remark: str = ""

    def __str__(self) -> str:
        clean = f"no NaN or infinity in the results of {self.function}"
        if self.node is None:
            return clean
        parts = [str(GraphcError(self.what, where=self.where, why=self.why))]
        if self.then is not None:
            parts.append(f"  then: {self.then.text}")
            if self.then.where is not None:
                parts.append(self.then.where.excerpt())
        if self.fix:
            parts.append(f"  fix: {self.fix}")
        if self.ok:
            parts.insert(0, f"{clean}; as written there would be one:")
        if self.remark:
            parts.append(f"  note: {self.remark}")
        return "\n".join(parts)

    __repr__ = __str__


@inspection
def trace_nan(fn: Function, args: Sequence[object] | Mapping[str, object] | object = ()) -> NanReport:
    """Which node, on which line, made the first NaN or infinity that reaches a result of a compiled function.

    `args` are the arguments of a call: a sequence, a mapping from names, or the only one.  Results are the outputs
    and what parameters would be updated to; no parameter is changed.  Raises ArgumentError where `fn` is no
    compiled function, or the arguments do not fit.
    """
    if not isinstance(fn, Function):
        raise ArgumentError(
            f"trace_nan takes a compiled function, not {type(fn).__name__}",
            fix="compile the tensors first: gc.trace_nan(gc.compile(inputs, outputs), args)",
        )
    if isinstance(args, Mapping):
        arrays = fn.prepared((), args)
    else:
        arrays = fn.prepared(list(args) if isinstance(args, (list, tuple)) else [args])
    arrays = [np.array(a) for a in arrays]
    as_compiled = _found(fn.optimized, arrays)
    as_written = _found(fn.graph, arrays)
    name = fn.graph.name
    if as_written is None:
        if as_compiled is None:
            return NanReport(True, name)
        return replace(
            as_compiled,
            function=name,
            remark="only the optimised graph has it: the graph as written is finite",
        )
    if as_compiled is None:
        remark = "graphc computes a stable formula instead, as `fn.log` tells"
        return replace(as_written, ok=True, function=name, remark=remark)
    return replace(as_written, function=name)


def _found(graph: Graph, arrays: Sequence[Array]) -> NanReport | None:
    """The first cause in a graph; None where its results are finite."""
    known = dict(zip(graph.inputs, arrays, strict=True))
    dims = bind_dims(graph.inputs, arrays)
    values: Mapping[Node, Array] = evaluate_nodes(graph.nodes, known, dims)
    order = graph.numbers
    reaching: set[Node] = {n for n in graph.roots if is_bad(values[n])}
    if not reaching:
        return None
    for n in reversed(graph.nodes):
        if n in reaching:
            reaching.update(s for s in n.src if is_bad(values[s]))
    spoiled = [n for n in graph.nodes if n in reaching]
    nans = [n for n in spoiled if np.isnan(values[n]).any()]
    if nans:
        last = next(n for n in nans if not any(s in order and np.isnan(values[s]).any() for s in _floats(n)))
        index = _first(np.isnan(values[last]))
    else:
        last = next(n for n in spoiled if not any(is_bad(values[s]) for s in _floats(n)))
        index = _first(np.isinf(values[last]))
    cause, place = _followed(last, index, values)
    report = _report(cause, place, values, dims)
    step = ""
    while (deeper := inside(cause, values, dims)) is not None:
        cause, values, step = deeper[0], deeper[1], f"{deeper[2]}{', in ' if step else ''}{step}"
        report = replace(
            _report(cause, _first(~np.isfinite(values[cause])), values, dims), remark=f"in {step}"
        )
    if cause is not last and not step:
        verb = "an infinity that is {} becomes NaN in {}"
        born = "given" if report.kind in ("input", "parameter") else "born in " + _title(cause)
        return replace(
            report, what=verb.format(born, _title(last)), then=moment_of(last, index, values, dims)
        )
    return report


def _floats(n: Node) -> list[Node]:
    return [s for s in n.src if s.type.dtype.is_float]


def _first(there: Array) -> tuple[int, ...]:
    return tuple(int(k) for k in np.argwhere(there)[0])


def _followed(n: Node, index: tuple[int, ...], values: Mapping[Node, Array]) -> tuple[Node, tuple[int, ...]]:
    """From a NaN back along infinities to the node that made the first of them of finite operands."""
    while True:
        candidates = []
        for s in _floats(n):
            value = values[s]
            if value.shape == values[n].shape and n.op.name == "elementwise":
                if np.isinf(value[index]):
                    candidates.append((s, index))
            elif np.isinf(value).any():
                candidates.append((s, _first(np.isinf(value))))
        # An infinity that the user wrote, such as a mask, is no accident.
        candidates = [(s, k) for s, k in candidates if not _is_written_infinity(s)]
        if not candidates:
            return n, index
        n, index = candidates[0]


def _is_written_infinity(n: Node) -> bool:
    while n.op.name in ("expand", "reshape"):
        n = n.src[0]
    return isinstance(n.op, Const)


def _title(n: Node) -> str:
    title = getattr(n.op, "title", "")
    if title:
        return f"`{title}`"
    forward = of_gradient(n)
    return f"the gradient of {forward.op.label}" if forward is not None else n.op.label


def _report(
    n: Node, index: tuple[int, ...], values: Mapping[Node, Array], dims: Mapping[str, int]
) -> NanReport:
    found = "NaN" if np.isnan(values[n][index]) else "an infinity"
    moment = moment_of(n, index, values, dims)
    if isinstance(n.op, (Input, Param)):
        kind: Kind = "input" if isinstance(n.op, Input) else "parameter"
        what = f"the {kind} `{n.op.title}` holds {found}"
        fix = (
            "clean the data: np.isfinite tells where"
            if kind == "input"
            else "an earlier update made it: trace that step, with the values of before"
        )
        count = int(np.count_nonzero(~np.isfinite(values[n])))
        size = values[n].size
        at = f" at {list(index)}" if index else ""
        why = f"{count} of its {size} elements {'is' if count == 1 else 'are'} not finite, the first{at}"
        return NanReport(False, "", kind, found, n, moment.where, index, what, why if index else "", fix)
    kind = "gradient" if of_gradient(n) is not None else "forward"
    where = "the backward pass" if kind == "gradient" else "the forward pass"
    what = f"{found} is born in {_title(n)}, in {where}"
    return NanReport(False, "", kind, found, n, moment.where, index, what, moment.text, moment.fix)
