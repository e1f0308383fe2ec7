"""What the calls of one compiled graph share: arguments, memory, a lock, and the careful way to run.

>>> import graphc as gc
>>> x = gc.input("x", ("N",))
>>> caller = gc.compile([x], x + x).caller
>>> caller.careful([1.0, 2.0])
array([2., 4.])
>>> len(caller.workspaces)      # one for each size of N
1
"""

from __future__ import annotations

import ctypes
import math
import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from graphc.errors import ArgumentError
from graphc.ir.block import blocks_inside
from graphc.ir.dims import evaluate
from graphc.ir.graph import Graph
from graphc.ir.types import Array
from graphc.kernel.assemble import Layout
from graphc.kernel.entry import Binding, ParamSlot, Slot
from graphc.kernel.memory import ALIGNMENT, plan, room
from graphc.kernel.program import Executable, Program
from graphc.lang.source import user_location
from graphc.ops.leaves import Param
from graphc.passes.fuse import Cluster
from graphc.runtime import reference
from graphc.runtime.arguments import Arguments
from graphc.runtime.dims import check_sizes
from graphc.runtime.gate import BINDINGS_KEPT, Gate

_NOTHING = np.empty(0)

# Until something large was freed once, glibc returns freed memory at the end of its heap to the system at once:
# results of 64 KiB would then cost page faults, call after call.
np.empty((1 << 22) - 4096, np.uint8)


@dataclass(frozen=True, slots=True)
class Compiled:
    """What lies below the graph: clusters, the program, and what the back end made of it."""

    clusters: tuple[Cluster, ...]
    program: Program
    layout: Layout
    executable: Executable


@dataclass(slots=True)
class Workspace:
    """The memory of one binding of the named dimensions: an arena, and the address of every buffer."""

    arena: Array
    addresses: list[int]
    dims: list[int]
    shapes: list[tuple[int, ...]]  # of the outputs
    spare: int  # the address of memory for arrays without elements


def address(a: Array) -> int:
    """Where an array's first element is; the buffer protocol tells it four times as fast as `a.ctypes`."""
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(a))  # type: ignore[arg-type]
    except (TypeError, ValueError):  # read-only, or empty
        return int(a.ctypes.data)


def aligned(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """A new array that begins with a cache line: vectors across two lines take almost twice the time to write."""
    size = math.prod(shape) * dtype.itemsize
    memory = np.zeros(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)


class Caller:
    """What the calls of one compiled graph share."""

    def __init__(self, graph: Graph, optimized: Graph, compiled: Compiled | None, single: bool) -> None:
        self.graph, self.optimized, self.compiled, self.single = graph, optimized, compiled, single
        self.arguments = Arguments(graph)
        self.output_dtypes = tuple(n.type.dtype.numpy for n in graph.outputs)
        self._nodes = (*graph.nodes, *(n for b in blocks_inside(graph.nodes) for n in b.nodes))
        self.updated_ops = tuple(p.op for p, _ in graph.updates if isinstance(p.op, Param))
        self.updated = tuple(p.variable for p in self.updated_ops)
        if compiled is None:
            self.param_ops = tuple(n.op for n in self._nodes if isinstance(n.op, Param))
        else:
            self.param_ops = tuple(p for _, p in compiled.layout.params)
        self.params = tuple(p.variable for p in self.param_ops)
        # Held by a call while it runs.  A signal handler that calls the function again must not wait for itself.
        self.lock = threading.RLock()
        self.workspaces: OrderedDict[tuple[int, ...], Workspace] = OrderedDict()
        self.gate = Gate()
        _callers.add(self)

    def careful(self, /, *args: object, **kwargs: object) -> Array | tuple[Array, ...]:
        """A call with any arguments."""
        try:
            arrays = self.arguments.prepared(args, kwargs)
        except ArgumentError as error:
            error.where = user_location()
            raise error.with_traceback(None) from None
        compiled = self.compiled
        if compiled is None:
            results = self.evaluate(arrays)
        else:
            arrays = self.apart(arrays)
            results, key, space = self.run(compiled, arrays)
            shapes = tuple(a.shape for a in arrays)
            self.gate.open(key, self.params, partial(self._binding, compiled, space, shapes))
        return results[0] if self.single else tuple(results)

    def check(self, dims: Mapping[str, int]) -> None:
        """Raises ShapeError where the graph cannot be computed for these sizes."""
        check_sizes(self._nodes, dims)

    def evaluate(self, arrays: list[Array]) -> list[Array]:
        """By the reference; updates are made after everything is computed."""
        self.check(self.arguments.dims(arrays))
        with self.lock:
            values = reference.evaluate(self.optimized, arrays)
            count = len(self.graph.outputs)
            # Values may share memory with arguments, constants or parameters: results belong to the caller.
            results = [np.array(v, order="C") for v in values[:count]]
            new = [np.array(v) for v in values[count:]]
            for (target, _), value in zip(self.optimized.updates, new, strict=True):
                assert isinstance(target.op, Param)
                target.op.variable.value[...] = value
        return results

    def apart(self, arrays: list[Array]) -> list[Array]:
        """Copies of those that share memory with a parameter that is updated, since they must not change."""
        if not self.updated:
            return arrays
        shared = [any(np.may_share_memory(a, v.value) for v in self.updated) for a in arrays]
        return [a.copy() if s else a for a, s in zip(arrays, shared, strict=True)]

    def run(
        self, compiled: Compiled, arrays: Sequence[Array], results: list[Array] | None = None
    ) -> tuple[list[Array], tuple[int, ...], Workspace]:
        """By compiled code, into fresh arrays or those given; also the sizes, and the memory for them."""
        with self.lock:
            key, space = self.workspace(compiled, arrays)
            if results is None:
                results = [np.empty(s, d) for s, d in zip(space.shapes, self.output_dtypes, strict=True)]
            compiled.executable.run(self.table(compiled, space, arrays, results), space.dims)
        return results, key, space

    def table(
        self, compiled: Compiled, space: Workspace, arrays: Sequence[Array], results: Sequence[Array]
    ) -> list[int]:
        """The address of every buffer, for these arguments and results."""
        table, layout = space.addresses.copy(), compiled.layout
        for positions, given in ((layout.inputs, arrays), (layout.outputs, results)):
            for position, a in zip(positions, given, strict=True):
                table[position] = address(a) if a.size else space.spare
        for (position, _), variable in zip(layout.params, self.params, strict=True):
            table[position] = address(variable.value)
        return table

    def _binding(self, compiled: Compiled, space: Workspace, shapes: tuple[tuple[int, ...], ...]) -> Binding:
        """For native calls with arguments of these shapes and fresh results."""
        layout = compiled.layout
        table = self.table(compiled, space, [_NOTHING] * len(layout.inputs), [_NOTHING] * len(layout.outputs))
        return Binding(
            addresses=tuple(table),
            dims=tuple(space.dims),
            inputs=tuple(map(Slot, layout.inputs, self.arguments.dtypes, shapes)),
            outputs=tuple(map(Slot, layout.outputs, self.output_dtypes, space.shapes)),
            params=self.param_slots(compiled),
            single=self.single,
            result=None,
            keep=(space, compiled),
        )

    def param_slots(self, compiled: Compiled) -> tuple[ParamSlot, ...]:
        """The parameters of a binding."""
        places = zip(compiled.layout.params, self.params, strict=True)
        return tuple(ParamSlot(position, v, v in self.updated) for (position, _), v in places)

    def workspace(self, compiled: Compiled, arrays: Sequence[Array]) -> tuple[tuple[int, ...], Workspace]:
        """The sizes of these arguments, and the memory for them; planned where they were not seen before."""
        key = tuple(arrays[k].shape[axis] for _, k, axis in self.arguments.dim_sources)
        space = self.workspaces.get(key)
        if space is None:
            space = self.workspaces[key] = self._planned(compiled, key)
            if len(self.workspaces) > BINDINGS_KEPT:
                self.workspaces.popitem(last=False)
        return key, space

    def _planned(self, compiled: Compiled, key: tuple[int, ...]) -> Workspace:
        program = compiled.program
        dims = {name: size for (name, _, _), size in zip(self.arguments.dim_sources, key, strict=True)}
        self.check(dims)
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
        return Workspace(arena, addresses, [dims[d] for d in program.dims], shapes, base + places.size)


_callers: weakref.WeakSet[Caller] = weakref.WeakSet()


def _after_fork() -> None:
    """Calls that other threads had begun never end in a child, which must not wait for them."""
    for caller in list(_callers):
        caller.lock._at_fork_reinit()  # type: ignore[attr-defined]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
