"""From level 4 to level 5: a cluster of nodes becomes one kernel.

The lowering pulls: for each element that the cluster stores it asks the root's operation for that element, which
asks for elements of its operands, until a buffer is reached.  So every operation states its loops for one
element, and views and elementwise chains need no buffers.

>>> import graphc as gc
>>> from graphc.ir.graph import Graph
>>> from graphc.passes.fuse import fuse
>>> from graphc.passes.log import Log
>>> x = gc.input("x", ("N", 4), "float32")
>>> y = gc.sum(gc.exp(x), axis=1)
>>> (cluster,) = fuse(Graph("f", (x.node,), (y.node,)), Log())
>>> print(lower(cluster, "k0", {x.node: "x", y.node: "y"}))
kernel k0(x: f32[N,4] in, y: f32[N] out)
  for i0 in 0..N
    alloc a0: f32[] register
    store a0[], 0.0
    for r0 in 0..4
      t0 = load x[i0,r0]
      t1 = exp t0
      a0[] add= t1
    t2 = load a0[]
    store y[i0], t2
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import product
from typing import cast

from graphc.errors import InternalError
from graphc.ir.dims import Dim, Index
from graphc.ir.loops import Accumulator, Element
from graphc.ir.node import Node
from graphc.ir.types import DType, Shape
from graphc.kernel.ir import (
    Access,
    Accumulate,
    AccumulateOp,
    Alloc,
    Atom,
    Buffer,
    For,
    Kernel,
    Let,
    LetIndex,
    Literal,
    Load,
    Nodes,
    Parameter,
    Space,
    Stmt,
    Store,
    Temp,
)
from graphc.kernel.rows import walk_rows
from graphc.ops.scalar import PRIMS
from graphc.passes.cluster import Cluster, scatters
from graphc.passes.layout import BLOCK, Order, filters, stored_index, stored_shape


def lower(
    cluster: Cluster,
    name: str,
    titles: Mapping[Node, str],
    updated: Mapping[Node, Node] | None = None,
    orders: Mapping[Node, Order] | None = None,
) -> Kernel:
    """The kernel of a cluster.

    `titles` names the buffers; `updated` maps a root to the parameter whose buffer it overwrites, so that a
    kernel that reads and replaces a parameter has one `inout` buffer for both.  `orders` are the axes in the
    order in which they lie in memory, for buffers that are not row-major (see `graphc.passes.layout`).
    """
    return Lowering(cluster, titles, updated or {}, orders or {}).kernel(name)


class Lowering:
    """The services that operations ask for (`graphc.ir.loops.LoopBuilder`), over lists of statements."""

    def __init__(
        self,
        cluster: Cluster,
        titles: Mapping[Node, str],
        updated: Mapping[Node, Node],
        orders: Mapping[Node, Order],
    ) -> None:
        self.cluster = cluster
        self.inside = set(cluster.nodes)
        dims = {d for n in (*cluster.inputs, *cluster.nodes) for d in n.type.dims}
        self.taken = dims | {titles[n] for n in (*cluster.inputs, *cluster.roots)}
        self.counts: dict[str, int] = {}
        self.buffers: dict[Node, Buffer] = {}
        self.access: dict[Buffer, Access] = {}
        self.orders: dict[str, Order] = {}
        self.parts: dict[Index, tuple[Index, Index]] = {}  # of indices into axes that lie in blocks
        for n in cluster.inputs:
            self.buffers[n] = self._buffer(n, titles[n], orders)
            self.access[self.buffers[n]] = "in"
        self.targets: dict[Node, Buffer] = {}
        for r in cluster.roots:
            held = self.buffers.get(updated[r]) if r in updated else None
            self.targets[r] = held or self._buffer(r, titles[r], orders)
            self.access[self.targets[r]] = "inout" if held else "out"
        self.bodies: list[list[Stmt]] = [[]]
        self.memo: list[dict[tuple[Node, tuple[Index, ...]], Atom]] = [{}]
        self.kept: dict[tuple[Node, tuple[Index, ...]], tuple[Buffer, tuple[Index, ...]]] = {}
        self.updated = updated
        self.serving: list[Node] = []
        self.loop_prefix = "i"
        self.root = cluster.roots[-1]
        self.blocked = {n: orders[n] for n in cluster.inputs if n in orders}
        self.walk = orders.get(self.root, tuple(range(self.root.type.rank)))

    def kernel(self, name: str) -> Kernel:
        if self.cluster.rows is not None:
            walk_rows(self, self.cluster.rows)
        elif scatters(self.root):
            self.serving.append(self.root)
            self.root.op.nest(self.root, self)
        elif tile := self._tile():
            self._nest_in_tiles(tile)
        else:
            self.nest(self.root.type.shape, self._store_roots)
        parameters = tuple(Parameter(b, access) for b, access in self.access.items())
        return Kernel(name, parameters, tuple(self.bodies[0]), tuple(self.cluster.nodes))

    def _store_roots(self, index: tuple[Index, ...]) -> None:
        self.loop_prefix = "r"

        def place_in(n: Node) -> tuple[Index, ...]:
            kept = iter(i for i, d in zip(index, self.root.type.shape, strict=True) if d != 1)
            return tuple(0 if d == 1 else next(kept) for d in n.type.shape)

        # The node with loops of its own comes first, so that what follows it is one epilogue.
        heavy = self.cluster.heavy
        if heavy is not None:
            self.value(heavy, place_in(heavy))
        values = [(r, place_in(r), self.value(r, place_in(r))) for r in self.cluster.roots]
        for r, place, value in values:
            self.emit(Store(self.targets[r], self.at(self.targets[r], place), cast(Atom, value), (r,)))

    # What operations ask for.

    def value(self, node: Node, index: tuple[Index, ...]) -> Element:
        key = (node, index)
        for scope in reversed(self.memo):
            if key in scope:
                return scope[key]
        if key in self.kept:
            return self.load(*self.kept[key])
        if node in self.inside:
            self.serving.append(node)
            depth = len(self.memo)
            result = cast(Atom, node.op.loops(node, index, self))
            self.serving.pop()
            self.memo[depth - 1][key] = result
            return result
        buffer = self.buffers.get(node)
        if buffer is None:
            raise InternalError(f"the kernel of {self.root.op.label} has no buffer for {node!r}")
        temp = self._temp(buffer.dtype)
        self.emit(Load(temp, buffer, self.at(buffer, index), self._nodes()))
        self.memo[-1][key] = temp
        return temp

    def remember(self, node: Node, index: tuple[Index, ...], value: Element) -> None:
        """In the loops that are open now an element of a node is this value."""
        self.memo[-1][node, index] = cast(Atom, value)

    def keep(self, node: Node, index: tuple[Index, ...], buffer: Buffer, place: tuple[Index, ...]) -> None:
        """From now on an element of a node is loaded from a place where it was stored."""
        self.kept[node, index] = buffer, place

    def prim(self, name: str, *args: Element) -> Element:
        atoms = tuple(cast(Atom, a) for a in args)
        temp = self._temp(PRIMS[name].result(*(a.dtype for a in atoms)))
        self.emit(Let(temp, name, atoms, self._nodes()))
        return temp

    def constant(self, value: float | int | bool, dtype: DType) -> Element:
        return Literal(float(value) if dtype.is_float else value, dtype)

    def index_value(self, index: Index, dtype: DType) -> Element:
        if isinstance(index, int):
            return self.constant(index, dtype)
        temp = self._temp(dtype)
        self.emit(LetIndex(temp, index, self._nodes()))
        return temp

    def as_index(self, element: Element) -> Index:
        atom = cast(Atom, element)
        if isinstance(atom, Literal):
            return int(atom.value)
        if atom.dtype is not DType.I64:
            atom = cast(Temp, self.prim("cast:i64", atom))
        return Dim.of(atom.name)

    @contextmanager
    def loop(self, extent: Index, var: str = "", serves: Nodes = ()) -> Iterator[Index]:
        if extent == 1:
            yield 0
            return
        var = var or self.name(self.loop_prefix)
        self.bodies.append([])
        self.memo.append({})
        yield Dim.of(var)
        body = tuple(self.bodies.pop())
        self.memo.pop()
        if extent != 0:
            self.emit(For(var, 0, extent, body, nodes=serves or self._nodes()))

    @contextmanager
    def blocks(self, extent: Index) -> Iterator[Index]:
        """A loop over blocks and one over the places in each, as one index."""
        with self.loop(extent // BLOCK) as block, self.loop(BLOCK) as place:
            index = BLOCK * block + place
            self.parts[index] = block, place
            yield index

    def _blocked(self, shape: Shape) -> set[int]:
        """The axes that are walked in blocks, of loops around a product: those of filters that lie in blocks."""
        if all(len(order) == len(n.type.shape) for n, order in self.blocked.items()):
            return set()
        heavy = self.cluster.heavy
        found = filters(heavy) if heavy is not None else None
        assert heavy is not None and found is not None
        if [d for d in shape if d != 1] != [d for d in heavy.type.shape if d != 1]:
            return set()  # around what is padded
        place = sum(d != 1 for d in heavy.type.shape[: found[1]])
        return {[k for k, d in enumerate(shape) if d != 1][place]}

    def nest(self, shape: tuple[Index, ...], body: Callable[[tuple[Index, ...]], None]) -> None:
        # The loops are opened in the order in which the result lies in memory.
        walk = self.walk if len(self.walk) == len(shape) else tuple(range(len(shape)))
        blocked = self._blocked(shape) if len(self.walk) == len(shape) else set()
        index: dict[int, Index] = {}
        with ExitStack() as loops:
            for a in walk:
                at = self.blocks(shape[a]) if a in blocked else self.loop(shape[a])
                index[a] = loops.enter_context(at)
            outside, self.loop_prefix = self.loop_prefix, "r"
            body(tuple(index[a] for a in range(len(shape))))
            self.loop_prefix = outside

    def _tile(self) -> dict[int, int]:
        """The axes of the result that are walked in tiles, with the sizes of these: see `Op.written_out`."""
        heavy = self.cluster.heavy
        sizes = heavy.op.written_out(heavy) if heavy is not None else ()
        if heavy is None or not sizes:
            return {}
        kept = (size for size, d in zip(sizes, heavy.type.shape, strict=True) if d != 1)
        axes = (k for k, d in enumerate(self.root.type.shape) if d != 1)
        return {k: size for k, size in zip(axes, kept, strict=True) if size != 1}

    def _nest_in_tiles(self, tile: Mapping[int, int]) -> None:
        """Loops over the tiles, whose elements are written out; what is left at the ends has loops of its own."""
        shape = self.root.type.shape
        parts = []
        for k, size in tile.items():
            extent = cast(int, shape[k])
            parts.append([(0, extent // size, size), (extent // size, 1, extent % size)])
        for chosen in product(*parts):
            if any(count == 0 or size == 0 for _, count, size in chosen):
                continue
            self.loop_prefix = "i"
            with ExitStack() as stack:
                part = dict(zip(tile, chosen, strict=True))
                at: dict[int, Index] = {}
                for k in self.walk:
                    first, count, _ = part.get(k, (0, shape[k], 1))
                    at[k] = tile.get(k, 1) * (first + stack.enter_context(self.loop(count)))
                for offsets in product(*(range(size) for _, _, size in chosen)):
                    moved = at | {k: at[k] + o for k, o in zip(tile, offsets, strict=True)}
                    self._store_roots(tuple(moved[k] for k in range(len(shape))))

    def accumulator(self, init: Element) -> Accumulator:
        buffer = Buffer(self.name("a"), cast(Atom, init).dtype, (), Space.REGISTER)
        self.emit(Alloc(buffer, self._nodes()))
        self.emit(Store(buffer, (), cast(Atom, init), self._nodes()))
        return buffer

    def accumulate(self, cell: Accumulator, op: str, *args: Element) -> None:
        atoms = tuple(cast(Atom, a) for a in args)
        self.emit(Accumulate(cast(Buffer, cell), (), cast(AccumulateOp, op), atoms, self._nodes()))

    def assign(self, cell: Accumulator, value: Element) -> None:
        self.emit(Store(cast(Buffer, cell), (), cast(Atom, value), self._nodes()))

    def read(self, cell: Accumulator) -> Element:
        buffer = cast(Buffer, cell)
        temp = self._temp(buffer.dtype)
        self.emit(Load(temp, buffer, (), self._nodes()))
        return temp

    def store(self, index: tuple[Index, ...], value: Element) -> None:
        target = self.targets[self.root]
        self.emit(Store(target, self.at(target, index), cast(Atom, value), self._nodes()))

    def accumulate_at(self, index: tuple[Index, ...], op: str, value: Element) -> None:
        target = self.targets[self.root]
        place, given = self.at(target, index), (cast(Atom, value),)
        self.emit(Accumulate(target, place, cast(AccumulateOp, op), given, self._nodes()))

    def result(self, index: tuple[Index, ...]) -> Element:
        target = self.targets[self.root]
        temp = self._temp(target.dtype)  # never remembered: a store may lie between two reads
        self.emit(Load(temp, target, self.at(target, index), self._nodes()))
        return temp

    def scratch(self, prefix: str, dtype: DType, shape: Shape) -> Buffer:
        """A local array."""
        buffer = Buffer(self.name(prefix), dtype, shape, Space.SCRATCH)
        self.emit(Alloc(buffer, self._nodes()))
        return buffer

    def write(self, buffer: Buffer, place: tuple[Index, ...], value: Element) -> None:
        """Store an element of any buffer."""
        self.emit(Store(buffer, place, cast(Atom, value), self._nodes()))

    def combine(self, buffer: Buffer, place: tuple[Index, ...], op: str, value: Element) -> None:
        """Accumulate into an element of any buffer."""
        given = (cast(Atom, value),)
        self.emit(Accumulate(buffer, place, cast(AccumulateOp, op), given, self._nodes()))

    def load(self, buffer: Buffer, place: tuple[Index, ...]) -> Element:
        """An element of any buffer, as it is now."""
        temp = self._temp(buffer.dtype)
        self.emit(Load(temp, buffer, place, self._nodes()))
        return temp

    @contextmanager
    def serves(self, node: Node) -> Iterator[None]:
        """What is emitted inside is there for a node."""
        self.serving.append(node)
        yield
        self.serving.pop()

    # Names and places.

    def _buffer(self, n: Node, title: str, orders: Mapping[Node, Order]) -> Buffer:
        """The buffer of a node, whose axes are in the order in which they lie in memory."""
        if n in orders:
            self.orders[title] = orders[n]
        return Buffer(title, n.type.dtype, stored_shape(n.type.shape, orders.get(n)))

    def at(self, buffer: Buffer, index: tuple[Index, ...]) -> tuple[Index, ...]:
        """The index into a buffer of the element that is at an index of its node."""
        return stored_index(index, self.orders.get(buffer.name), self.parts)

    def emit(self, stmt: Stmt) -> None:
        self.bodies[-1].append(stmt)

    def _nodes(self) -> tuple[Node, ...]:
        return (self.serving[-1],) if self.serving else (self.root,)

    def _temp(self, dtype: DType) -> Temp:
        return Temp(self.name("t"), dtype)

    def name(self, prefix: str) -> str:
        while True:
            number = self.counts.get(prefix, 0)
            self.counts[prefix] = number + 1
            if f"{prefix}{number}" not in self.taken:
                return f"{prefix}{number}"
