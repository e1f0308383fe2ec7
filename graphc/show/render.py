"""Drawing a graph: from nodes to the lecture picture, as SVG or as DOT.

| `stage`     | what is drawn                                                                 |
|-------------|-------------------------------------------------------------------------------|
| "graph"     | the graph as it was written; with `at=`, values and gradients on its edges     |
| "gradient"  | the graph of the function and its gradients                                   |
| "optimized" | the graph that is compiled                                                    |

>>> from graphc.lang.tensor import inputs
>>> x, y, z = inputs("x y z")
>>> picture = render((x + y) * z, at={x: -2.0, y: 5.0, z: -4.0})
>>> picture.svg.startswith("<svg"), "−12" in picture.svg
(True, True)
>>> print(picture.dot.splitlines()[0])
digraph graphc {
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from graphc.autodiff.point import At, point_at
from graphc.autodiff.reverse import differentiate
from graphc.autodiff.trace import default_targets
from graphc.errors import ArgumentError
from graphc.ir.graph import Graph
from graphc.ir.node import Node, toposort
from graphc.lang.source import operation
from graphc.lang.tensor import Tensor
from graphc.ops.leaves import Input
from graphc.show.backprop import backprop
from graphc.show.draw import Picture, draw, draw_trace
from graphc.show.naming import name_nodes

STAGES = ("graph", "gradient", "optimized")


@runtime_checkable
class Compiled(Protocol):
    """What a compiled function has to show: its graph as written and as optimised."""

    @property
    def graph(self) -> Graph: ...

    @property
    def optimized(self) -> Graph: ...


@operation
def render(
    f: Tensor | Sequence[Tensor] | Compiled,
    path: str | Path | None = None,
    at: At | None = None,
    stage: str = "graph",
) -> Picture:
    """Draw a tensor, several, or a compiled function, and write the file where a path is given.

    With `at`, the values at a point stand on the edges, and for one floating-point scalar the gradients too.
    Raises ArgumentError for an unknown stage or suffix, and for values that miss or do not fit.
    """
    if stage not in STAGES:
        raise ArgumentError(f"cannot draw the stage {stage!r}", fix=f"use one of {', '.join(STAGES)}")
    single = f if isinstance(f, Tensor) else None
    if stage == "graph" and at is not None and single is not None and _has_gradient(single):
        record = backprop(single, default_targets(single), at)
        picture = draw_trace(record.trace, record.chain)
    else:
        outputs, names = _staged(f, stage)
        values = None if at is None else point_at(outputs, at).evaluate(outputs)
        picture = draw(outputs, name_nodes(outputs, names), values)
    if path is not None:
        picture.save(path)
    return picture


def _has_gradient(f: Tensor) -> bool:
    return f.ndim == 0 and f.dtype.is_float and bool(default_targets(f))


def _staged(f: Tensor | Sequence[Tensor] | Compiled, stage: str) -> tuple[list[Node], dict[Node, str]]:
    """The nodes that a stage ends in, and the names that are known."""
    if isinstance(f, Compiled):
        graph = f.optimized if stage == "optimized" else f.graph
        names = {n: name for n, name in zip(graph.outputs, graph.output_names, strict=False) if name}
        return list(graph.roots), names
    tensors = [f] if isinstance(f, Tensor) else list(f)
    for t in tensors:
        if not isinstance(t, Tensor):
            raise ArgumentError(f"only tensors and compiled functions can be drawn, not {type(t).__name__}")
    names = {t.node: t.name for t in tensors if t.name}
    outputs = [t.node for t in tensors]
    if stage == "gradient":
        (loss,) = tensors
        targets = default_targets(loss)
        found = differentiate(loss.node, [t.node for t in targets]).wrt
        names |= {n: f"d{t.name}" for n, t in zip(found, targets, strict=True)}
        return [*outputs, *found], names
    if stage == "optimized":
        from graphc.runtime.compile import compile

        inputs = [Tensor(n) for n in toposort(outputs) if isinstance(n.op, Input)]
        return _staged(compile(inputs, tensors, backend="reference"), stage)
    return outputs, names
