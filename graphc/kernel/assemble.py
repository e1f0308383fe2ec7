"""From clusters to a program: buffers get names and roles, kernels an order, parameters are replaced in place.

An output that is computed is written straight into the caller's fresh array, and a new value straight into its
parameter, where no kernel still needs the old one.  Only where that is impossible (an output that is an input,
a parameter that is swapped with another) a copy is made, at the end.

>>> import graphc as gc
>>> from graphc.passes.fuse import fuse
>>> from graphc.passes.log import Log
>>> w = gc.param("w", (3,), init="ones")
>>> g = gc.input("g", (3,), "float32")
>>> graph = Graph("step", (g.node,), (), ((w.node, (w - 0.5 * g).node),))
>>> print(assemble(graph, fuse(graph, Log()))[0])
kernel k0_sub(w: f32[3] inout, g: f32[3] in)
  for i0 in 0..3
    t0 = load w[i0]
    t1 = load g[i0]
    t2 = mul 0.5 t1
    t3 = sub t0 t2
    store w[i0], t3
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from graphc.ir.dims import Dim, Index, product
from graphc.ir.graph import Graph
from graphc.ir.node import Node
from graphc.ir.types import Array, Shape, TensorType
from graphc.kernel.ir import Buffer, For, Kernel, Load, Parameter, Stmt, Store, Temp, walk
from graphc.kernel.lower import lower
from graphc.kernel.program import Call, Program, ProgramBuffer, Role
from graphc.ops.contract import Contract
from graphc.ops.conv import Conv
from graphc.ops.elementwise import Elementwise
from graphc.ops.leaves import Const, Input, Param
from graphc.ops.rank import Rank
from graphc.ops.recurrence import Recurrence
from graphc.ops.reduce import Arg, Reduce
from graphc.ops.window import Window, WindowPick, WindowScatter
from graphc.passes.fuse import Cluster, is_leaf, storage


@dataclass(frozen=True, slots=True)
class Layout:
    """Which buffers of the program belong to the caller: positions in `program.buffers`."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    params: tuple[tuple[int, Param], ...]


def assemble(graph: Graph, clusters: Sequence[Cluster]) -> tuple[Program, Layout]:
    """The program of a graph, and where inputs, outputs and parameters are in its buffers."""
    return _Assembly(graph, clusters).program()


class _Assembly:
    def __init__(self, graph: Graph, clusters: Sequence[Cluster]) -> None:
        self.graph = graph
        self.clusters = list(clusters)
        self.owner = {r: c for c in clusters for r in c.roots}
        self.titles: dict[Node, str] = {}
        self.taken: set[str] = set()
        self.buffers: list[ProgramBuffer] = []
        self.position: dict[Node, int] = {}  # of the buffer that holds a node
        self.calls: list[Call] = []

    def program(self) -> tuple[Program, Layout]:
        graph = self.graph
        for n in graph.inputs:
            assert isinstance(n.op, Input)
            self.add(n, n.op.title, "input")
        params: list[tuple[int, Param]] = []
        for n in graph.nodes:
            if isinstance(n.op, Param):
                params.append((self.add(n, n.op.title, "param"), n.op))
            elif isinstance(n.op, Const) and is_leaf(n):
                self.add(n, f"c{graph.numbers[n]}", "const", n.op.value)
        updated, order = self.place_updates()
        outputs, copies = self.place_outputs(updated)
        for c in order:
            for r in c.roots:
                if r not in self.position:
                    self.add(r, f"v{graph.numbers[r]}", "temp")
        copies += [(v, self.position[p], p.type) for p, v in graph.updates if updated.get(v) is not p]
        # A parameter is copied while it still has its old value: first of all, and if it goes into another
        # parameter, which is still read, by way of a temporary.
        late = []
        for source, target, type in copies:
            held = self.position[storage(source)]
            if not isinstance(storage(source).op, Param):
                late.append((held, target, type, source))
            elif self.buffers[target].role == "output":
                self.copy(held, target, type, source)
            else:
                self.copy(held, self.temporary(type), type, source)
                late.append((len(self.buffers) - 1, target, type, source))
        for c in order:
            self.call(c, updated)
        for held, target, type, source in late:
            self.copy(held, target, type, source)
        layout = Layout(tuple(self.position[n] for n in graph.inputs), tuple(outputs), tuple(params))
        return Program(graph.name, tuple(self.buffers), tuple(self.calls)), layout

    def add(self, n: Node, title: str, role: Role, value: Array | None = None) -> int:
        """A new buffer for a node; its name is made an identifier, and unique."""
        base = re.sub(r"\W", "_", title) or "_"
        base = base if base[0].isalpha() or base[0] == "_" else f"_{base}"
        name, k = base, 1
        while name in self.taken:
            k += 1
            name = f"{base}_{k}"
        self.taken.add(name)
        self.titles[n] = name
        self.position[n] = len(self.buffers)
        self.buffers.append(ProgramBuffer(name, n.type.dtype, n.type.shape, role, value))
        return self.position[n]

    def place_updates(self) -> tuple[dict[Node, Node], list[Cluster]]:
        """Which roots overwrite which parameters, and an order in which all readers of the old values come first."""
        outputs = {storage(o) for o in self.graph.outputs}
        wanted: dict[Node, Node] = {}
        for p, v in self.graph.updates:
            c = self.owner.get(v)
            if (
                c is not None
                and v not in wanted
                and v not in outputs
                and not v.op.scatters
                and _reads_aligned(c, v, p)
            ):
                wanted[v] = p
        while True:
            needs: dict[int, list[int]] = {k: [] for k in range(len(self.clusters))}
            number = {id(c): k for k, c in enumerate(self.clusters)}
            for k, c in enumerate(self.clusters):
                for x in c.inputs:
                    made = self.owner.get(storage(x))
                    if made is not None and made is not c:
                        needs[k].append(number[id(made)])
            for v, p in wanted.items():
                writer = number[id(self.owner[v])]
                needs[writer] += [
                    k
                    for k, c in enumerate(self.clusters)
                    if k != writer and any(storage(x) is p for x in c.inputs)
                ]
            try:
                order = list(TopologicalSorter(needs).static_order())
            except CycleError as error:  # two parameters that need each other's old value: copy one of them
                cycle = {id(self.clusters[k]) for k in error.args[1]}
                victim = next(v for v in reversed(wanted) if id(self.owner[v]) in cycle)
                del wanted[victim]
                continue
            for v, p in wanted.items():
                self.titles[v], self.position[v] = self.titles[p], self.position[p]
            return wanted, [self.clusters[k] for k in order]

    def place_outputs(
        self, updated: Mapping[Node, Node]
    ) -> tuple[list[int], list[tuple[Node, int, TensorType]]]:
        """The buffer of each output, and the copies (source, buffer, type) that the rest needs."""
        positions: list[int] = []
        copies: list[tuple[Node, int, TensorType]] = []
        claimed: set[Node] = set()
        for k, o in enumerate(self.graph.outputs):
            names = self.graph.output_names
            title = names[k] if k < len(names) and names[k] else f"out{k}"
            held = storage(o)
            if held in self.owner and held not in claimed and held not in updated:
                claimed.add(held)
                positions.append(self.add(held, title, "output"))
                continue
            kept = self.position.get(o), self.titles.get(o)
            positions.append(self.add(o, title, "output"))
            copies.append((o, positions[-1], o.type))
            if kept[0] is not None and kept[1] is not None:  # the node itself stays where it is
                self.position[o], self.titles[o] = kept[0], kept[1]
            else:
                del self.position[o], self.titles[o]
        return positions, copies

    def call(self, c: Cluster, updated: Mapping[Node, Node]) -> None:
        """Lower a cluster and bind its parameters to buffers."""
        for x in c.inputs:
            if (
                x not in self.titles
            ):  # a reshape: the same buffer under the name and shape that this kernel needs
                held = storage(x)
                self.titles[x], self.position[x] = self.unique(self.titles[held]), self.position[held]
        name = f"k{len(self.calls)}_{c.roots[-1].op.label}"
        kernel = lower(c, name, self.titles, updated)
        by_title = {self.titles[n]: self.position[n] for n in (*c.inputs, *c.roots)}
        arguments = tuple(by_title[p.buffer.name] for p in kernel.parameters)
        traffic: Index = 0
        for p in kernel.parameters:
            traffic = p.buffer.dtype.size * p.buffer.elements + traffic
        self.calls.append(Call(kernel, arguments, cluster_flops(c), traffic))

    def unique(self, name: str) -> str:
        k = 1
        while f"{name}_as{k}" in self.taken:
            k += 1
        self.taken.add(f"{name}_as{k}")
        return f"{name}_as{k}"

    def temporary(self, type: TensorType) -> int:
        """A buffer that holds no node of the graph."""
        name = self.unique("held")
        self.buffers.append(ProgramBuffer(name, type.dtype, type.shape, "temp"))
        return len(self.buffers) - 1

    def copy(self, held: int, target: int, type: TensorType, node: Node) -> None:
        """A kernel that copies a buffer: the last resort."""
        a = Buffer("source", type.dtype, type.shape)
        b = Buffer("target", type.dtype, type.shape)
        kernel = copy_kernel(f"k{len(self.calls)}_copy", a, b, node)
        elements = product(type.shape)
        self.calls.append(Call(kernel, (held, target), 0, 2 * type.dtype.size * elements))


def copy_kernel(name: str, source: Buffer, target: Buffer, node: Node) -> Kernel:
    """`for i...: target[i] = source[i]`."""
    kept = [k for k, d in enumerate(source.shape) if d != 1]
    index: Shape = tuple(Dim.of(f"i{k}") if k in kept else 0 for k in range(len(source.shape)))
    temp = Temp("t0", source.dtype)
    body: tuple[Stmt, ...] = (Load(temp, source, index, (node,)), Store(target, index, temp, (node,)))
    for k in reversed(kept):
        body = (For(f"i{k}", 0, source.shape[k], body, nodes=(node,)),)
    return Kernel(name, (Parameter(source, "in"), Parameter(target, "out")), body, (node,))


def _reads_aligned(c: Cluster, v: Node, p: Node) -> bool:
    """Whether a kernel reads a parameter only at the element that it is about to replace."""
    if any(storage(x) is p and x is not p for x in c.inputs):
        return False
    if p not in c.inputs:
        return True
    titles = {n: f"b{k}" for k, n in enumerate((*c.inputs, *c.roots))}
    kernel = lower(c, "probe", titles, {v: p})
    places = {s.index for s in walk(kernel.body) if isinstance(s, Store) and s.buffer.name == titles[p]}
    reads = {s.index for s in walk(kernel.body) if isinstance(s, Load) and s.buffer.name == titles[p]}
    return len(places) == 1 and reads <= places


def cluster_flops(c: Cluster) -> Index:
    """Arithmetic of a kernel: multiplications and additions each count as one."""
    total: Index = 0
    for n in c.nodes:
        work: Index
        match n.op:
            case Elementwise(row_name=_):
                work = n.op.row.cost * n.type.elements
            case Contract():
                work = 2 * product(n.op.sizes(*(s.type for s in n.src)).values())
            case Conv():
                work = 2 * product((*n.type.shape, *n.src[1].type.shape[2:]))
            case Reduce() | Arg():
                work = n.src[0].type.elements
            case Recurrence():
                work = 2 * n.type.elements
            case Rank(axis=axis):
                work = n.type.shape[axis] * n.type.elements
            case Window(size=size) | WindowPick(size=size):
                work = product(size) * n.type.elements
            case WindowScatter(size=size):
                work = product(size) * n.src[1].type.elements
            case _:
                continue
        total = work + total
    return total
