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

import ctypes
import functools
import threading
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from graphc.errors import ArgumentError
from graphc.ir.block import blocks_inside
from graphc.ir.dims import Dim, evaluate
from graphc.ir.graph import Graph
from graphc.ir.node import Node
from graphc.ir.text import graph_text, node_lines
from graphc.ir.types import Array, shape_text
from graphc.kernel.assemble import Layout
from graphc.kernel.memory import ALIGNMENT, plan, room
from graphc.kernel.program import Executable, Program
from graphc.lang.source import user_location
from graphc.lang.tensor import Tensor
from graphc.ops.leaves import Input, Param
from graphc.passes.fuse import Cluster
from graphc.passes.log import Log
from graphc.runtime import reference
from graphc.runtime.cost import Cost, program_cost
from graphc.runtime.dims import check_sizes, dim_sources

GRAPH_STAGES = ("graph", "optimized", "fused", "kernels")
_PLANS_KEPT = 16


@dataclass(frozen=True, slots=True)
class Compiled:
    """What lies below the graph: clusters, the program, and what the back end made of it."""

    clusters: tuple[Cluster, ...]
    program: Program
    layout: Layout
    executable: Executable


@dataclass(slots=True)
class _Workspace:
    """The memory of one binding of the named dimensions: an arena, and the address of every buffer."""

    arena: Array
    addresses: list[int]
    dims: list[int]
    output_shapes: list[tuple[int, ...]]
    spare: int  # the address of memory for arrays without elements


def address(a: Array) -> int:
    """Where an array's first element is; the buffer protocol tells it four times as fast as `a.ctypes`."""
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(a))  # type: ignore[arg-type]
    except (TypeError, ValueError):  # read-only, or empty
        return int(a.ctypes.data)


class Function:
    """What `gc.compile` returns: call it with one argument for each input, in order or by name."""

    def __init__(
        self,
        graph: Graph,
        optimized: Graph,
        log: Log,
        *,
        backend: str,
        stages: Collection[str],
        single: bool,
        compiled: Compiled | None,
    ) -> None:
        self.graph, self.optimized, self.log = graph, optimized, log
        self.backend, self.single = backend, single
        self.stages = (*GRAPH_STAGES, *stages) if compiled is not None else GRAPH_STAGES[:2]
        self._compiled = compiled
        self._lock = threading.Lock()
        self._workspaces: OrderedDict[tuple[int, ...], _Workspace] = OrderedDict()
        self._names = tuple(n.op.title for n in graph.inputs if isinstance(n.op, Input))
        self._wanted = tuple(n.type.dtype.numpy for n in graph.inputs)
        self._out_dtypes = tuple(n.type.dtype.numpy for n in graph.outputs)
        self._updated = tuple(p.op.variable for p, _ in graph.updates if isinstance(p.op, Param))
        # A named dimension is read off one axis of one argument; all others are compared with it.
        self._dim_sources = dim_sources(graph.inputs)
        self._nodes = (*graph.nodes, *(n for b in blocks_inside(graph.nodes) for n in b.nodes))
        self._static = tuple(
            n.type.shape if all(isinstance(d, int) for d in n.type.shape) else None for n in graph.inputs
        )

    def __repr__(self) -> str:
        arguments = ", ".join(
            f"{name}: {n.type}" for name, n in zip(self._names, self.graph.inputs, strict=True)
        )
        results = ", ".join(str(n.type) for n in self.graph.outputs)
        return f"<function {self.graph.name}({arguments}) -> {results} by {self.backend}>"

    def __call__(self, *args: object, **kwargs: object) -> Array | tuple[Array, ...]:
        try:
            arrays = self.bind(args, kwargs)
        except ArgumentError as error:
            error.where = user_location()
            raise error.with_traceback(None) from None
        results = self._evaluate(arrays) if self._compiled is None else self._run(self._compiled, arrays)
        return results[0] if self.single else tuple(results)

    def _evaluate(self, arrays: list[Array]) -> list[Array]:
        """By the reference; updates are made after everything is computed."""
        check_sizes(self._nodes, {name: arrays[k].shape[axis] for name, k, axis in self._dim_sources})
        with self._lock:
            values = reference.evaluate(self.optimized, arrays)
            count = len(self.graph.outputs)
            # Values may share memory with arguments, constants or parameters: results belong to the caller.
            results = [np.array(v, order="C") for v in values[:count]]
            for (target, _), value in zip(
                self.optimized.updates, [np.array(v) for v in values[count:]], strict=True
            ):
                assert isinstance(target.op, Param)
                target.op.variable.value[...] = value
        return results

    def _run(self, compiled: Compiled, arrays: list[Array]) -> list[Array]:
        """Natively: write the addresses of the caller's arrays into the table, and call."""
        key = tuple(arrays[k].shape[axis] for _, k, axis in self._dim_sources)
        layout = compiled.layout
        for k, a in enumerate(arrays):  # an argument must not change under the kernels that update parameters
            if any(np.may_share_memory(a, v.value) for v in self._updated):
                arrays[k] = a.copy()
        with self._lock:
            space = self._workspaces.get(key)
            if space is None:
                space = self._workspace(compiled, key)
            table = space.addresses
            for position, a in zip(layout.inputs, arrays, strict=True):
                table[position] = address(a) if a.size else space.spare
            results = [np.empty(s, d) for s, d in zip(space.output_shapes, self._out_dtypes, strict=True)]
            for position, a in zip(layout.outputs, results, strict=True):
                table[position] = address(a) if a.size else space.spare
            for position, param in layout.params:
                table[position] = address(param.variable.value)
            compiled.executable.run(table, space.dims)
        return results

    def _workspace(self, compiled: Compiled, key: tuple[int, ...]) -> _Workspace:
        """Plan and allocate for a binding of the dimensions that was not seen before."""
        program = compiled.program
        dims = {name: size for (name, _, _), size in zip(self._dim_sources, key, strict=True)}
        check_sizes(self._nodes, dims)
        scratch = compiled.executable.scratch()
        places = plan(program, dims, scratch)
        layout = compiled.layout
        given = [program.buffers[p] for p in (*layout.inputs, *layout.outputs)]
        spare = max((room(b, dims) for b in given if any(evaluate(d, dims) == 0 for d in b.shape)), default=0)
        arena = np.empty(places.size + ALIGNMENT + spare, np.uint8)
        arena.fill(0)  # pages that were never written to are slow under masked loads
        base = -(-arena.ctypes.data // ALIGNMENT) * ALIGNMENT
        addresses = [0] * len(program.buffers)
        for k, b in enumerate(program.buffers):
            if b.value is not None:
                addresses[k] = b.value.ctypes.data
        for k, offset in places.offsets.items():
            addresses[k] = base + offset
        addresses += [base + offset for offset in places.scratch]
        shapes = [tuple(evaluate(d, dims) for d in n.type.shape) for n in self.graph.outputs]
        space = _Workspace(arena, addresses, [dims[d] for d in program.dims], shapes, base + places.size)
        self._workspaces[key] = space
        if len(self._workspaces) > _PLANS_KEPT:
            self._workspaces.popitem(last=False)
        return space

    def bind(self, args: Sequence[object], kwargs: Mapping[str, object] = {}) -> list[Array]:
        """Arguments as contiguous arrays of the right dtype and shape, without a copy where they are; raises
        ArgumentError."""
        names = self._names
        if kwargs or len(args) != len(names):
            args = self._by_name(args, kwargs)
        arrays: list[Array] = []
        for value, wanted, static in zip(args, self._wanted, self._static, strict=True):
            # A number of the right kind becomes a scalar array at once; all else takes the careful way.
            a = (
                value
                if isinstance(value, np.ndarray)
                else np.asarray(value)
                if isinstance(value, float)
                else None
            )
            if a is not None and a.dtype == wanted and a.shape == static and a.flags.c_contiguous:
                arrays.append(a)
            else:
                arrays.append(self._converted(len(arrays), value))
        if self._dim_sources:
            self._check_dims(arrays)
        return arrays

    def _by_name(self, args: Sequence[object], kwargs: Mapping[str, object]) -> list[object]:
        names, given, rest = self._names, list(args), dict(kwargs)
        for name in names[len(given) :]:
            if name not in rest:
                raise ArgumentError(
                    f"{self.graph.name} misses the argument `{name}`",
                    fix=f"call it with ({', '.join(names)})",
                )
            given.append(rest.pop(name))
        if len(given) > len(names) or rest:
            extra = f"`{next(iter(rest))}`" if rest else f"{len(given)} of them"
            raise ArgumentError(
                f"{self.graph.name} takes {len(names)} arguments ({', '.join(names)}), and got {extra}"
            )
        return given

    def _converted(self, k: int, value: object) -> Array:
        """One argument as a contiguous array of its input's dtype and rank."""
        n, name, wanted = self.graph.inputs[k], self._names[k], self._wanted[k]
        if isinstance(value, Tensor):
            raise ArgumentError(
                f"`{name}` is {n.type}, and the argument is a tensor of the graph",
                why="a compiled function computes numbers from numbers",
                fix="pass an array",
            )
        try:
            array = np.asarray(value)
        except ValueError:
            array = np.asarray(None)
        if array.dtype.kind not in "biuf":
            short = isinstance(value, (str, type(None)))
            raise ArgumentError(
                f"`{name}` is {n.type}, and the argument is no array of real numbers",
                why=f"it is {value!r:.60}" if short else f"it is a {type(value).__name__}",
            )
        if array.dtype != wanted:
            if isinstance(value, np.ndarray) or not np.can_cast(array.dtype, wanted, "same_kind"):
                raise ArgumentError(
                    f"`{name}` is {n.type}, and the argument is of dtype {array.dtype}",
                    fix=f'pass {name}.astype("{wanted}")',
                )
            array = array.astype(wanted)
        if array.ndim != n.type.rank or any(
            isinstance(d, int) and d != size for d, size in zip(n.type.shape, array.shape, strict=True)
        ):
            raise self._misfit(n, name, array, {})
        return array if array.flags.c_contiguous else np.array(array, order="C")

    def _check_dims(self, arrays: list[Array]) -> None:
        """All axes with a named dimension have the size that its first axis gave it."""
        dims = {name: arrays[k].shape[axis] for name, k, axis in self._dim_sources}
        for n, name, a in zip(self.graph.inputs, self._names, arrays, strict=True):
            for d, size in zip(n.type.shape, a.shape, strict=True):
                if isinstance(d, Dim) and evaluate(d, dims) != size:
                    raise self._misfit(n, name, a, dims)

    def _misfit(self, n: Node, name: str, array: Array, dims: Mapping[str, int]) -> ArgumentError:
        why = f"it has {array.ndim} axes, not {n.type.rank}"
        if array.ndim == n.type.rank:
            for axis, (d, size) in enumerate(zip(n.type.shape, array.shape, strict=True)):
                if isinstance(d, int) and d != size:
                    why = f"axis {axis} is {size}, not {d}"
                elif isinstance(d, Dim) and dims and evaluate(d, dims) != size:
                    why = f"axis {axis} is {size}, not {d} = {evaluate(d, dims)}"
        return ArgumentError(
            f"`{name}` is {n.type}, and the argument has the shape {shape_text(array.shape)}", why=why
        )

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
