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

from graphc.ir.block import BlockOp
from graphc.ir.dims import Dim, Index, product
from graphc.ir.graph import Graph
from graphc.ir.node import Node
from graphc.ir.types import Array, DType, Shape, TensorType
from graphc.kernel.ir import Buffer, For, Kernel, Load, Parameter, Stmt, Store, Temp, walk
from graphc.kernel.lower import lower
from graphc.kernel.program import Branch, Call, Loop, Program, ProgramBuffer, Repeat, Role, Step
from graphc.ops.contract import Contract
from graphc.ops.control import Cond, Scan, While
from graphc.ops.conv import Conv
from graphc.ops.elementwise import Cast, Elementwise
from graphc.ops.leaves import Const, Input, Param
from graphc.ops.linalg import Cholesky, TriangularSolve
from graphc.ops.lu import Lu, LuDet, LuSolve
from graphc.ops.pairs import Pairs
from graphc.ops.rank import Rank
from graphc.ops.recurrence import Recurrence
from graphc.ops.reduce import Arg, Reduce
from graphc.ops.window import Window, WindowPick, WindowScatter
from graphc.ops.winograd import WinogradInput, WinogradOutput
from graphc.passes.fuse import Body, Cluster, is_leaf, storage
from graphc.passes.layout import Order, stored, stored_shape


@dataclass(frozen=True, slots=True)
class Layout:
    """Which buffers of the program belong to the caller: positions in `program.buffers`."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    params: tuple[tuple[int, Param], ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node's value is: a buffer of the program, and how many elements into it."""

    position: int
    offset: Index = 0

    def element(self, step: Index, type: TensorType) -> Place:
        """The place of element `step` of a sequence of such elements that begins here."""
        return Place(self.position, step * type.elements + self.offset)


def assemble(
    graph: Graph, clusters: Sequence[Cluster], orders: Mapping[Node, Order] | None = None
) -> tuple[Program, Layout]:
    """The program of a graph, and where inputs, outputs and parameters are in its buffers.

    `orders` says how the axes of temporaries lie in memory that are not row-major (see `graphc.passes.layout`).
    """
    table = _Table({d for n in graph.nodes for d in n.type.dims})
    top = _Assembly(graph, clusters, table, orders or {})
    for n in graph.inputs:
        assert isinstance(n.op, Input)
        top.add(n, n.op.title, "input")
    params = [
        (top.add(n, n.op.title, "param").position, n.op) for n in graph.nodes if isinstance(n.op, Param)
    ]
    titles = (*graph.output_names, *[""] * len(graph.outputs))
    outputs = [
        Place(table.add(titles[k] or f"out{k}", n.type, "output")) for k, n in enumerate(graph.outputs)
    ]
    top.assemble(outputs)
    inputs = tuple(top.places[n].position for n in graph.inputs)
    layout = Layout(inputs, tuple(p.position for p in outputs), tuple(params))
    return Program(graph.name, tuple(table.buffers), tuple(top.steps)), layout


class _Table:
    """What the graph and the blocks inside it share: the buffers of the program, and all names."""

    def __init__(self, taken: set[str]) -> None:
        self.buffers: list[ProgramBuffer] = []
        self.constants: dict[tuple[Node, Order | None], Place] = {}
        self.taken = taken
        self.kernels = self.loops = 0

    def add(
        self, title: str, type: TensorType, role: Role, value: Array | None = None, order: Order | None = None
    ) -> int:
        """A new buffer; its name is made an identifier, and unique."""
        name = self.unique(title, "{}_{}", 2)
        self.buffers.append(ProgramBuffer(name, type.dtype, stored_shape(type.shape, order), role, value))
        return len(self.buffers) - 1

    def unique(self, title: str, form: str, first: int) -> str:
        """A title as an identifier that no buffer has; one that is taken is numbered, as `form` says."""
        base = re.sub(r"\W", "_", title) or "_"
        base = base if base[0].isalpha() or base[0] == "_" else f"_{base}"
        name, k = base, first
        while name in self.taken:
            name, k = form.format(base, k), k + 1
        self.taken.add(name)
        return name

    def kernel_name(self, label: str) -> str:
        self.kernels += 1
        return f"k{self.kernels - 1}_{label}"

    def loop_variable(self) -> str:
        name = self.unique(f"t{self.loops}", "{}_{}", 2)
        self.loops += 1
        return name


class _Assembly:
    """The steps of one graph: the program's own, or the block of a loop or a branch."""

    def __init__(
        self, graph: Graph, clusters: Sequence[Cluster], table: _Table, orders: Mapping[Node, Order]
    ) -> None:
        self.graph = graph
        self.orders = orders
        self.clusters = list(clusters)
        self.table = table
        self.owner = {r: c for c in clusters for r in c.roots}
        self.titles: dict[Node, str] = {}
        self.used: set[str] = set()
        self.places: dict[Node, Place] = {}
        self.steps: list[Step] = []

    def assemble(self, outputs: Sequence[Place]) -> None:
        """All steps, in order; the leaves have their places, the outputs get these."""
        graph = self.graph
        for n in graph.nodes:
            if isinstance(n.op, Const) and is_leaf(n):
                self.constant(n, n.op)
        updated, order = self.place_updates()
        copies = self.place_outputs(outputs, updated)
        for c in order:
            for r in c.roots:
                if r not in self.places:
                    self.add(r, f"v{graph.numbers[r]}", "temp")
        replaced = {p for p, _ in graph.updates}
        first = len(copies)
        copies += [(v, self.places[p]) for p, v in graph.updates if v is not p and updated.get(v) is not p]
        # What is replaced is copied while it still has its old value: first of all, and if it goes into another
        # one that is replaced, which is still read, by way of a temporary.
        late: list[tuple[Place, Place, Node]] = []
        for k, (source, target) in enumerate(copies):
            held = self.place_of(source)
            if not (isinstance(storage(source).op, Param) or storage(source) in replaced):
                late.append((held, target, source))
            elif k < first:
                self.copy(held, target, source)
            else:
                between = Place(self.table.add("held", source.type, "temp"))
                self.copy(held, between, source)
                late.append((between, target, source))
        for c in order:
            if c.bodies:
                self.control(c)
            else:
                self.call(c, updated)
        for held, target, source in late:
            self.copy(held, target, source)

    def add(self, n: Node, title: str, role: Role, value: Array | None = None) -> Place:
        """A new buffer for a node, which has its name."""
        place = Place(self.table.add(title, n.type, role, value, self.orders.get(n)))
        return self.put(n, self.table.buffers[place.position].name, place)

    def put(self, n: Node, title: str, place: Place) -> Place:
        """A node has a place that exists; kernels call it by a title that no other node here has."""
        if title in self.used:
            title = self.table.unique(title, "{}_as{}", 1)
        self.used.add(title)
        self.titles[n], self.places[n] = title, place
        return place

    def constant(self, n: Node, op: Const) -> None:
        order = self.orders.get(n)
        held = self.table.constants.get((n, order))
        if held is None:
            value = op.value if order is None else stored(op.value, order)
            self.table.constants[n, order] = self.add(n, f"c{self.graph.numbers[n]}", "const", value)
        else:
            self.put(n, self.table.buffers[held.position].name, held)

    def place_of(self, n: Node) -> Place:
        """The place of a node that is stored, or that renames one: a reshape."""
        if n not in self.places:
            held = storage(n)
            self.titles[n] = self.table.unique(self.titles[held], "{}_as{}", 1)
            self.places[n] = self.places[held]
        return self.places[n]

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
            readers: dict[Node, dict[int, None]] = {}
            for k, c in enumerate(self.clusters):
                for x in map(storage, c.inputs):
                    readers.setdefault(x, {})[k] = None
                    made = self.owner.get(x)
                    if made is not None and made is not c:
                        needs[k].append(number[id(made)])
            for v, p in wanted.items():
                writer = number[id(self.owner[v])]
                needs[writer] += [k for k in readers.get(p, ()) if k != writer]
            try:
                order = list(TopologicalSorter(needs).static_order())
            except CycleError as error:  # two parameters that need each other's old value: copy one of them
                cycle = {id(self.clusters[k]) for k in error.args[1]}
                victim = next(v for v in reversed(wanted) if id(self.owner[v]) in cycle)
                del wanted[victim]
                continue
            for v, p in wanted.items():
                self.titles[v], self.places[v] = self.titles[p], self.places[p]
            return wanted, [self.clusters[k] for k in order]

    def place_outputs(
        self, outputs: Sequence[Place], updated: Mapping[Node, Node]
    ) -> list[tuple[Node, Place]]:
        """What is computed here goes straight to an output; for the others, the copies that are needed."""
        copies: list[tuple[Node, Place]] = []
        claimed: set[Node] = set()
        for o, place in zip(self.graph.outputs, outputs, strict=True):
            held = storage(o)
            if held in self.owner and held not in claimed and held not in updated:
                claimed.add(held)
                self.put(held, self.table.buffers[place.position].name, place)
            else:
                copies.append((o, place))
        return copies

    def call(self, c: Cluster, updated: Mapping[Node, Node]) -> None:
        """Lower a cluster and bind its parameters to buffers."""
        for x in c.inputs:
            self.place_of(x)
        kernel = lower(c, self.table.kernel_name(c.roots[-1].op.label), self.titles, updated, self.orders)
        by_title = {self.titles[n]: self.places[n] for n in (*c.inputs, *c.roots)}
        traffic: Index = 0
        for p in kernel.parameters:
            traffic = p.buffer.dtype.size * p.buffer.elements + traffic
        self.step(kernel, [by_title[p.buffer.name] for p in kernel.parameters], cluster_flops(c), traffic)

    def step(self, kernel: Kernel, places: Sequence[Place], flops: Index, traffic: Index) -> None:
        offsets = tuple(p.offset for p in places) if any(p.offset != 0 for p in places) else ()
        self.steps.append(Call(kernel, tuple(p.position for p in places), flops, traffic, offsets))

    def copy(self, held: Place, target: Place, n: Node) -> None:
        """A kernel that copies the value of a node: the last resort."""
        if held != target:
            a = Buffer("source", n.type.dtype, n.type.shape)
            b = Buffer("target", n.type.dtype, n.type.shape)
            kernel = copy_kernel(self.table.kernel_name("copy"), a, b, n)
            self.step(kernel, (held, target), 0, 2 * n.type.dtype.size * n.type.elements)

    # Control flow: each block becomes the steps of an assembly of its own.

    def control(self, c: Cluster) -> None:
        operands = c.roots[0].src
        for x in operands:
            self.place_of(x)
        results = {r.op.result: r for r in c.roots if isinstance(r.op, BlockOp)}
        match c.roots[0].op:
            case Scan() as op:
                self.loop(op, c.bodies[0], operands, results)
            case Cond():
                places = [self.places[results[k]] for k in sorted(results)]
                given = [(self.titles[x], self.places[x]) for x in operands[1:]]
                then, other = (self.inside(body, given, places) for body in c.bodies)
                flag = self.places[operands[0]]
                self.steps.append(Branch(flag.position, then, other, flag.offset))
            case While() as op:
                self.repeat(op, c.bodies, operands, results)

    def loop(self, op: Scan, body: Body, operands: Sequence[Node], results: Mapping[int, Node]) -> None:
        carried, sequences, others = op.split(operands)
        var = self.table.loop_variable()
        step = op.length - 1 - Dim.of(var) if op.reverse else Dim.of(var)
        given = self.states(carried, results)
        for x in sequences:
            element = x.type.with_shape(x.type.shape[1:])
            given.append((f"{self.titles[x]}_{var}", self.places[x].element(step, element)))
        given += [(self.titles[x], self.places[x]) for x in others]
        outputs = [
            self.places[results[k]].element(step, op.body.types[k])
            for k in sorted(results)
            if k >= op.carries
        ]
        self.steps.append(Loop(var, op.length, self.inside(body, given, outputs)))

    def repeat(
        self, op: While, bodies: Sequence[Body], operands: Sequence[Node], results: Mapping[int, Node]
    ) -> None:
        given = self.states(operands[: op.carries], results)
        given += [(self.titles[x], self.places[x]) for x in operands[op.carries :]]
        flag = self.table.add("flag", op.test.types[0], "temp")
        test = self.inside(bodies[0], given, (Place(flag),))
        self.steps.append(Repeat(test, flag, self.inside(bodies[1], given, ())))

    def states(self, carried: Sequence[Node], results: Mapping[int, Node]) -> list[tuple[str, Place]]:
        """Where a loop keeps what it carries, with the first values in it: in the results, where they are wanted."""
        found: list[tuple[str, Place]] = []
        for k, x in enumerate(carried):
            place = (
                self.places[results[k]] if k in results else Place(self.table.add("carry", x.type, "temp"))
            )
            self.copy(self.places[x], place, x)
            found.append((self.table.buffers[place.position].name, place))
        return found

    def inside(
        self, body: Body, given: Sequence[tuple[str, Place]], outputs: Sequence[Place]
    ) -> tuple[Step, ...]:
        """The steps of a block, whose slots are these places under these names."""
        block = _Assembly(body.graph, body.clusters, self.table, {})
        for slot, (title, place) in zip(body.graph.inputs, given, strict=True):
            block.put(slot, title, place)
        block.assemble(outputs)
        return tuple(block.steps)


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
    if p not in c.inputs or _elementwise(c, p):
        return True
    titles = {n: f"b{k}" for k, n in enumerate((*c.inputs, *c.roots))}
    kernel = lower(c, "probe", titles, {v: p})
    places = {s.index for s in walk(kernel.body) if isinstance(s, Store) and s.buffer.name == titles[p]}
    reads = {s.index for s in walk(kernel.body) if isinstance(s, Load) and s.buffer.name == titles[p]}
    return len(places) == 1 and reads <= places


def _elementwise(c: Cluster, p: Node) -> bool:
    """Whether all that a cluster computes from a node has an element for each of its elements, made of that one in
    the only pass."""
    if c.rows is not None:
        return False
    from_it = {p}
    for n in c.nodes:
        if not from_it.isdisjoint(n.src):
            if not isinstance(n.op, Elementwise | Cast):
                return False
            from_it.add(n)
    return True


def _numbers(n: Node) -> int:
    """How many numbers an element of the operands of a product holds."""
    return 2 if n.src[0].type.dtype is DType.BF16X2 else 1


def cluster_flops(c: Cluster) -> Index:
    """Arithmetic of a kernel: multiplications and additions each count as one."""
    total: Index = 0
    for n in c.nodes:
        work: Index
        match n.op:
            case Elementwise(row_name=_):
                work = n.op.row.cost * n.type.elements
            case Contract():
                work = 2 * _numbers(n) * product(n.op.sizes(*(s.type for s in n.src)).values())
            case Conv():
                work = 2 * _numbers(n) * product((*n.type.shape, *n.src[1].type.shape[2:]))
            case Pairs():
                work = n.src[0].type.elements
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
            case WinogradInput():
                work = 4 * n.type.elements
            case WinogradOutput():
                work = 4 * n.src[0].type.elements
            case Cholesky():
                work = (n.type.shape[-1] * n.type.elements) // 3
            case Lu():
                work = (2 * n.type.shape[-2] * n.type.elements) // 3
            case TriangularSolve():
                work = n.type.shape[-2] * n.type.elements
            case LuSolve():
                work = 2 * n.type.shape[-2] * n.type.elements
            case LuDet():
                work = n.src[1].type.shape[-2] * n.type.elements
            case _:
                continue
        total = work + total
    return total
