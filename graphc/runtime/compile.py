"""The driver: from tensors to a function, one level after the other.

```
tensors → Graph → optimized Graph → clusters → Program of kernels → back end → Function
```

>>> import graphc as gc, numpy as np
>>> x = gc.input("x", ("N",))
>>> double = gc.compile([x], x + x, backend="reference")
>>> double(np.arange(3.0))
array([0., 2., 4.])
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import cast

from graphc.errors import ArgumentError
from graphc.ir.graph import Graph
from graphc.ir.verify import verify_graph
from graphc.kernel.assemble import assemble
from graphc.kernel.program import Executable
from graphc.lang.source import operation
from graphc.lang.tensor import Parameter, Tensor
from graphc.passes.fuse import fuse
from graphc.passes.pipeline import optimize
from graphc.runtime.backends import load
from graphc.runtime.cache import default_cache
from graphc.runtime.dims import dim_sources
from graphc.runtime.function import Compiled, Function
from graphc.runtime.interpreter import InterpreterExecutable

BACKENDS = ("llvm", "cuda", "reference", "interpreter")


@operation
def compile(
    inputs: Sequence[Tensor],
    outputs: Tensor | Sequence[Tensor],
    *,
    updates: Mapping[Parameter, Tensor] | None = None,
    backend: str = "llvm",
    name: str = "main",
    disable: Collection[str] = (),
    fast: bool = False,
    threads: int | None = None,
    cache: bool = True,
) -> Function:
    """Compile outputs as a function of inputs.

    A single tensor as `outputs` gives a function that returns one array, a sequence one that returns a tuple.
    `updates` replaces parameters after each call, in place.  `disable` switches passes off by name; `fast`
    allows rewrites and arithmetic that change rounding; `threads` bounds the threads (default: all cores).
    Named dimensions take their sizes from the arguments, anew at each call.
    """
    if backend not in BACKENDS:
        raise ArgumentError(f"unknown back end {backend!r}", fix=f"use one of {', '.join(BACKENDS)}")
    single = isinstance(outputs, Tensor)
    results: list[Tensor] = [cast(Tensor, outputs)] if single else list(cast(Sequence[Tensor], outputs))
    for what, tensors in (
        ("inputs", inputs),
        ("outputs", results),
        ("updates", list((updates or {}).values())),
    ):
        for t in tensors:
            if not isinstance(t, Tensor):
                raise ArgumentError(f"{what} must be tensors, not {type(t).__name__}")
    graph = Graph(
        name,
        tuple(t.node for t in inputs),
        tuple(t.node for t in results),
        tuple((p.node, v.node) for p, v in (updates or {}).items()),
        tuple(t.name for t in results),
    )
    _check_inputs(graph, inputs)
    verify_graph(graph)
    dim_sources(graph.inputs)
    optimized, log = optimize(graph, disable=disable, fast=fast)
    compiled: Compiled | None = None
    stages: tuple[str, ...] = ()
    if backend != "reference":
        clusters = fuse(optimized, log, enabled="fuse" not in disable)
        program, layout = assemble(optimized, clusters)
        executable: Executable
        if backend == "interpreter":
            executable = InterpreterExecutable(program)
        else:
            target = load(backend)
            stages = target.stages
            executable = target.build(
                program, fast=fast, threads=threads, cache=default_cache() if cache else None
            )
        compiled = Compiled(tuple(clusters), program, layout, executable)
    return Function(graph, optimized, log, backend=backend, stages=stages, single=single, compiled=compiled)


def _check_inputs(graph: Graph, inputs: Sequence[Tensor]) -> None:
    for t in inputs:
        if t.node.op.name != "input":
            raise ArgumentError(
                f"{t} is no input",
                why="only tensors made by gc.input can be arguments of a compiled function",
            )
    declared = {t.node for t in inputs}
    for n in graph.nodes:
        if n.op.name == "input" and n not in declared:
            title = str(n.op.attributes()["name"])
            raise ArgumentError(
                f"the outputs need the input `{title}`, which is not among the inputs",
                fix=f"add it: gc.compile([..., {title}], ...)",
            )
