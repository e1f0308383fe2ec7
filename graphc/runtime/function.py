"""The compiled function: NumPy in, NumPy out, and every level to look at.

>>> import graphc as gc
>>> x, y = gc.inputs("x y")
>>> fn = gc.compile([x, y], [x * y, x + y])
>>> fn(2.0, 3.0)
(array(6.), array(5.))
>>> print(fn.stage("kernels"))
kernel k0_add(x: f64[] in, y: f64[] in, out0: f64[] out, out1: f64[] out)
  t0 = load x[]
  t1 = load y[]
  t2 = mul t0 t1
  t3 = add t0 t1
  store out0[], t2
  store out1[], t3
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from typing import Self

from graphc.errors import ArgumentError
from graphc.ir.graph import Graph
from graphc.ir.text import graph_text, node_lines
from graphc.ir.types import Array
from graphc.kernel.program import Program
from graphc.passes.fuse import Cluster
from graphc.passes.log import Log
from graphc.runtime.binding import BoundCall
from graphc.runtime.caller import Caller, Compiled
from graphc.runtime.cost import Cost, program_cost
from graphc.runtime.gate import Call

__all__ = ["Compiled", "Function"]

GRAPH_STAGES = ("graph", "optimized", "fused", "kernels")


class Function(Call):
    """What `gc.compile` returns: call it with one argument for each input, in order or by name."""

    graph: Graph
    optimized: Graph
    log: Log
    backend: str
    single: bool
    stages: tuple[str, ...]
    caller: Caller
    _compiled: Compiled | None

    def __new__(
        cls,
        graph: Graph,
        optimized: Graph,
        log: Log,
        *,
        backend: str,
        stages: Collection[str],
        single: bool,
        compiled: Compiled | None,
    ) -> Self:
        caller = Caller(graph, optimized, compiled, single)
        executable = None if compiled is None else compiled.executable
        self = super().__new__(cls, caller.gate, executable, caller.lock, caller.careful)
        self.graph, self.optimized, self.log = graph, optimized, log
        self.backend, self.single, self.caller = backend, single, caller
        self.stages = (*GRAPH_STAGES, *stages) if compiled is not None else GRAPH_STAGES[:2]
        self._compiled = compiled
        return self

    def __repr__(self) -> str:
        arguments = ", ".join(
            f"{name}: {n.type}"
            for name, n in zip(self.caller.arguments.names, self.graph.inputs, strict=True)
        )
        results = ", ".join(str(n.type) for n in self.graph.outputs)
        return f"<function {self.graph.name}({arguments}) -> {results} by {self.backend}>"

    def bind(self, *args: object, out: Array | Sequence[Array] | None = None, **kwargs: object) -> BoundCall:
        """A call with these arrays: `bound()` reads them where they are, and writes into the same outputs each time.

        `args` and `kwargs` are arrays of exactly the dtypes and shapes of the inputs, in order or by name, and
        contiguous: nothing is converted.  `out` is the array to write into, or a list of them where the function
        returns several; without it they are made.  `bound.outputs` are these arrays, and what `bound()` returns.
        Named dimensions have the sizes that the arrays have.  A parameter is read, and updated, where it is at the
        time of the call.  Several threads may call it, but all of them write into the same arrays.

        Raises ArgumentError for what is no such array, and for outputs that share memory with anything else.

        >>> import graphc as gc, numpy as np
        >>> x = gc.input("x", (3,), "float32")
        >>> fn = gc.compile([x], 2.0 * x)
        >>> given, doubled = np.ones(3, "float32"), np.zeros(3, "float32")
        >>> bound = fn.bind(given, out=doubled)
        >>> given[1] = 5.0
        >>> bound() is doubled, doubled
        (True, array([ 2., 10.,  2.], dtype=float32))
        """
        return BoundCall(self.caller, args, kwargs, out)

    def prepared(self, args: Sequence[object], kwargs: Mapping[str, object] = {}) -> list[Array]:
        """Arguments of a call as contiguous arrays of the right dtype and shape, without a copy where they are
        such; raises ArgumentError."""
        return self.caller.arguments.prepared(args, kwargs)

    def stage(self, name: str) -> str:
        """The text of a level: "graph", "optimized", "fused", "kernels", "scheduled", and the back end's own."""
        if name == "graph":
            return graph_text(self.graph, sources=True)
        if name == "optimized":
            return graph_text(self.optimized, sources=True)
        if self._compiled is not None:
            if name == "fused":
                return fused_text(self.optimized, self._compiled.clusters)
            if name == "kernels":
                return str(self._compiled.program)
            if name in self.stages:
                return self._compiled.executable.text(name)
        raise ArgumentError(
            f"the {self.backend} back end has no stage {name!r}", fix=f"use one of {', '.join(self.stages)}"
        )

    @property
    def program(self) -> Program:
        """The kernels, unscheduled; see `scheduled`."""
        return self._below().program

    @property
    def scheduled(self) -> Program:
        """The kernels that were emitted."""
        return self._below().executable.scheduled()

    @functools.cached_property
    def cost(self) -> Cost:
        """Arithmetic and memory traffic, kernel by kernel, and the size of the arena."""
        return program_cost(self._below().program, self._below().executable.scratch())

    def _below(self) -> Compiled:
        if self._compiled is None:
            raise ArgumentError(
                f"the {self.backend} back end makes no kernels", fix='compile with backend="llvm"'
            )
        return self._compiled


def fused_text(graph: Graph, clusters: Sequence[Cluster]) -> str:
    """The cover: for each kernel the nodes that it computes, with `*` at those that it stores.

    A loop or a branch is followed by the cover of each of its blocks.
    """
    lines = [f"graph {graph.name}, {len(clusters)} kernel{'s' * (len(clusters) != 1)}"]
    text = node_lines(graph)
    for k, c in enumerate(clusters):
        reads = ", ".join(f"%{graph.numbers[n]}" for n in c.inputs)
        lines.append(f"k{k}: reads {reads or 'nothing'}")
        lines.extend(f"  {'*' if n in c.roots else ' '}{text[n]}" for n in c.nodes)
        for body in c.bodies:
            lines.extend("    " + line for line in fused_text(body.graph, body.clusters).splitlines())
    return "\n".join(lines)
