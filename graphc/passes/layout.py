"""Level 4, layout: the order in which the axes of a temporary lie in memory.  No node is changed.

Inputs, outputs and parameters are row-major, as the caller has them; what lies between kernels is the compiler's.
An order lists the axes as they lie in memory, the innermost last: `(1, 2, 3, 0)` stores x[N,C,H,W] as [C,H,W,N].

A convolution of many images is fastest where one vector holds the same place of several images: its loads and
stores are whole vectors at any stride and any width, and weights are broadcast.  So the axis of the images is
moved to the innermost place, in every temporary that has it.  Which axis that is in which node follows from the
operations: `Axes` is a partition of all axes of all nodes into those that are walked together.

| cost, in vector operations                      | counted for                                                     |
|-------------------------------------------------|-----------------------------------------------------------------|
| arithmetic ÷ share of the lanes that are filled | each convolution, along its images and along the better rows    |
| additions across the lanes                      | gradients to the weights, which sum over the images             |
| moves of elements                               | row-major arrays with the axis, in kernels that have moved ones |
| loads lane by lane                              | statistics of each channel, where the channels are innermost    |

The axis is moved where that costs less.  Elsewhere constant filters are stored with their own axis innermost, and
one vector holds the same place of several results; the temporaries that such convolutions make and read have their
channels innermost, so that vectors are stored whole and what is read for one place lies together.  Constant columns
that few rows are multiplied by lie in blocks too, or each by itself: memory delivers one stream.  A reshape renames a
buffer: where it merges or splits the axis, the buffer stays row-major.

>>> import graphc as gc
>>> from graphc.passes.fuse import fuse
>>> x, w = gc.input("x", (64, 20, 18, 18), "float32"), gc.input("w", (50, 20, 5, 5), "float32")
>>> y = gc.tanh(gc.conv2d(gc.exp(x), w))
>>> graph, log = Graph("f", (x.node, w.node), (gc.sum(y * gc.sum(y)).node,)), Log()
>>> for n, order in arrange(graph, fuse(graph, log), log).items():
...     print(n.op.label, n.type, order)
exp f32[64,20,18,18] (1, 2, 3, 0)
tanh f32[64,50,14,14] (1, 2, 3, 0)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import TypeAlias

import numpy as np

from graphc.ir.dims import Index, product
from graphc.ir.graph import Graph
from graphc.ir.node import Node
from graphc.ir.types import Array, Shape
from graphc.ops.contract import Contract
from graphc.ops.conv import Conv
from graphc.ops.leaves import Const
from graphc.ops.reduce import Reduce
from graphc.ops.winograd import WinogradInput, WinogradOutput
from graphc.passes.axes import Axes, Axis, matched, origin
from graphc.passes.fuse import Cluster, is_alias, storage
from graphc.passes.log import Log

Order: TypeAlias = tuple[int, ...]
"""Axes in the order in which they lie in memory, the innermost last.  An axis that is listed twice lies in blocks of
BLOCK elements: first the number of the block, last the place in it."""

LANES = 64
"""Bytes of a vector; a loop that fills half of one costs half."""

ROWS = 0.85
"""The share of its speed that a convolution reaches in vectors along its rows: windows overlap, edges are masked."""

ACROSS = 4.0
"""Operations that it costs to add up the lanes of one element of the result."""

FEW = 4
"""Rows that are multiplied by constant columns of which each is read once, or so few times that it has to be as
quick as memory."""

BLOCK = 32
"""Filters in one block of constants: what a kernel reads for them lies in one stream."""

MOVE = 2.0
"""Operations that it costs to bring one element from one order into another."""

APART = 3.0
"""Operations that it costs a sum to take up an element that is not the neighbour of the one before."""


def stored_shape(shape: Shape, order: Order | None) -> Shape:
    """The shape of a buffer, its axes as they lie in memory.

    >>> stored_shape((64, 20, 5), (1, 2, 0)), stored_shape((64, 20, 5), (0, 1, 2, 0))
    ((20, 5, 64), (2, 20, 5, 32))
    """
    return stored_index(shape, order, {d: (d // BLOCK, BLOCK) for d in shape})


def stored_index(
    index: tuple[Index, ...], order: Order | None, parts: Mapping[Index, tuple[Index, Index]]
) -> tuple[Index, ...]:
    """The place of an element in a buffer; `parts` are the block and the place in it, for axes that lie in blocks."""
    if order is None:
        return index
    if len(order) == len(index):
        return tuple(index[a] for a in order)
    block, place = parts[index[order[0]]]
    return (block, *(index[a] for a in order[1:-1]), place)


def stored(value: Array, order: Order) -> Array:
    """An array with its elements as they lie in memory."""
    if len(order) > value.ndim:
        axis = order[0]
        value = value.reshape(*value.shape[:axis], -1, BLOCK, *value.shape[axis + 1 :])
        order = (axis, *(a + (a > axis) for a in order[1:-1]), axis + 1)
    return np.ascontiguousarray(value.transpose(order))


def arrange(
    graph: Graph, clusters: Sequence[Cluster], log: Log, *, enabled: bool = True
) -> dict[Node, Order]:
    """The order of each temporary that is not row-major."""
    convolutions = [n for n in graph.nodes if isinstance(n.op, Conv)]
    others = any(isinstance(n.op, WinogradInput) or filters(n) is not None for n in graph.nodes)
    if not enabled or not (convolutions or others):
        return {}
    axes = Axes(graph)
    known = axes.classes()
    choice = _Choice(graph, clusters, convolutions)
    orders: dict[Node, Order] = {}
    for members in _tiled(graph, axes, known):
        found = {n: order for n, order in choice.orders(members).items() if n not in orders}
        orders |= found
        if stored := tuple(n for n in found if not is_alias(n)):
            size = members[0][0].type.shape[members[0][1]]
            text = f"{len(stored)} temporaries have their axis of {size} innermost, as vectors of tiles"
            log.add("layout", "tiles-innermost", text, after=stored)
    classes = [known[top] for top in dict.fromkeys(axes.find((n, 0)) for n in convolutions)]
    worth = [(gain(choice, members, choice.orders(members)), members) for members in classes]
    for value, members in sorted(worth, key=lambda w: -w[0]):
        found = {n: order for n, order in choice.orders(members).items() if n not in orders}
        if value > 0 and gain(choice, members, found) > 0:
            orders |= found
            stored = tuple(n for n in found if not is_alias(n))
            size = members[0][0].type.shape[members[0][1]]
            text = f"{len(stored)} temporaries have their axis of {size} innermost, as vectors of images"
            log.add("layout", "images-innermost", text, after=stored)
    return _constants(graph, choice, axes, orders, log)


def _constants(
    graph: Graph, choice: _Choice, axes: Axes, moved: Mapping[Node, Order], log: Log
) -> dict[Node, Order]:
    """All orders: those so far, of constant filters in vectors, and of temporaries that such vectors make and read."""
    packed: dict[Node, Axis] = {}
    users: dict[Node, list[Node]] = {}
    for n in graph.nodes:
        for operand in n.src:
            users.setdefault(operand, []).append(n)
        found = filters(n)
        if found is None or found[0][0] in choice.renamed or found[0][0] in choice.fixed:
            continue
        lanes = {axes.find((x, moved[x][-1])) for x in choice.reads[n] if x in moved}
        if not isinstance(n.op, Conv) or axes.find((n, 0)) not in lanes:
            packed[n] = found[0]
    orders = dict(moved) | _temporaries(choice, axes, packed, moved, log)
    for n, (node, place) in packed.items():
        if node in orders:
            continue
        others = [k for k in range(node.type.rank) if k != place]
        if isinstance(n.op, Conv) and any(x in orders for x in choice.reads[n]):
            channels = origin((n.src[1], 2))
            others.sort(key=lambda k, end=channels, held=node: (held, k) == end)  # type: ignore[misc]
        count = node.type.shape[place]
        blocks = count % BLOCK == 0 and count != BLOCK and _alone(node, n, users)
        if blocks or isinstance(n.op, Conv):
            orders[node] = (place, *others, place) if blocks else (*others, place)
            text = f"{log.name(node)} has its axis of {count} innermost, as vectors of filters"
        else:
            orders[node] = (place, *others)
            text = (
                f"{log.name(node)} has its axis of {node.type.shape[others[-1]]} innermost, which is summed"
            )
        log.add("layout", "filters-innermost", text, after=(node,))
    return orders


def _tiled(graph: Graph, axes: Axes, known: Mapping[Axis, list[Axis]]) -> list[list[Axis]]:
    """The classes of axes that lie innermost in tiles of images, in the order of the graph."""
    found: dict[Axis, None] = {}
    for n in graph.nodes:
        if isinstance(n.op, (WinogradInput, WinogradOutput)):
            image = n.src[0] if isinstance(n.op, WinogradInput) else n
            found[axes.find((image, 0 if n.op.images else 1))] = None
    return [known[top] for top in found]


def _temporaries(
    choice: _Choice, axes: Axes, packed: Mapping[Node, Axis], moved: Mapping[Node, Order], log: Log
) -> dict[Node, Order]:
    """The orders of temporaries with their channels innermost.

    Vectors of filters are stored as whole vectors then, and what a convolution reads for one place lies together.
    """
    orders: dict[Node, Order] = {}
    known = axes.classes()
    for top in dict.fromkeys(axes.find((n, 2)) for n in packed if isinstance(n.op, Conv)):
        members = known[top]
        size, held = members[0][0].type.shape[members[0][1]], set(members)
        if not isinstance(size, int) or size < LANES // members[0][0].type.dtype.size:
            continue

        def fit(n: Node, held: Set[Axis] = held) -> bool:
            heavy = (c.heavy for c in choice.kernels.get(storage(n), ()))
            convolutions = [m for m in heavy if m is not None and isinstance(m.op, Conv)]
            return all(m in packed and ((m, 2) in held or (m.src[0], 2) in held) for m in convolutions)

        found = {n: o for n, o in choice.orders(members).items() if fit(n) and n not in moved}
        if found and not any(n in orders for n in found):
            orders |= found
            stored = tuple(n for n in found if not is_alias(n))
            text = f"{len(stored)} temporaries have their axis of {size} innermost, as vectors of channels"
            log.add("layout", "channels-innermost", text, after=stored)
    return orders


def filters(n: Node) -> tuple[Axis, int] | None:
    """An axis of an array of constants that lanes go along, better stored with it innermost or in blocks of it:
    the filters of a convolution, or the columns that a few rows are multiplied by.  Which axis of n it is, too."""
    if isinstance(n.op, Conv):
        axis, count = origin((n.src[1], 1)), n.type.shape[2]
        enough = isinstance(count, int) and count >= LANES // n.type.dtype.size // 2
        return (axis, 2) if enough and _is_constant(axis) and axis[1] < axis[0].type.rank - 1 else None
    if isinstance(n.op, Contract):
        left, right, result = n.op.letters()
        sizes = n.op.sizes(*(s.type for s in n.src))
        for mine, own, other in ((n.src[0], left, right), (n.src[1], right, left)):
            free = [k for k, letter in enumerate(own) if letter in result and letter not in other]
            others = product(sizes[letter] for letter in result if letter in other)
            if len(free) == 1 and isinstance(others, int) and others <= FEW:
                axis = origin((mine, free[0]))
                if _is_constant(axis) and axis[1] == axis[0].type.rank - 1 > 0:
                    return axis, result.index(own[free[0]])
    return None


def _alone(constants: Node, reader: Node, users: Mapping[Node, Sequence[Node]]) -> bool:
    """Whether nothing but one node reads some constants, by way of views."""
    n = constants
    while n is not reader:
        if len(users[n]) != 1:
            return False
        (n,) = users[n]
    return True


def _is_constant(axis: Axis) -> bool:
    return isinstance(axis[0].op, Const)


class _Choice:
    """What the pass asks about a graph and its kernels."""

    def __init__(self, graph: Graph, clusters: Sequence[Cluster], convolutions: Sequence[Node]) -> None:
        self.convolutions: dict[Axis, list[Node]] = {}
        for n in convolutions:
            for axis in ((n, 0), (n.src[0], 2)):
                self.convolutions.setdefault(axis, []).append(n)
        self.reads = {n: c.inputs for c in clusters for n in c.nodes if isinstance(n.op, Conv | Contract)}
        self.fixed = _fixed(graph, clusters)
        self.renamed = _renamed(graph)
        self.kernels: dict[Node, list[Cluster]] = {}
        self.stored: set[Node] = set()
        for c in clusters:
            for n in (*c.inputs, *c.roots):
                self.kernels.setdefault(n, []).append(c)
            if not c.bodies:
                self.stored.update(c.roots)

    def orders(self, members: Sequence[Axis]) -> dict[Node, Order]:
        """The orders of temporaries with this axis innermost, and of the reshapes that rename them."""
        found: dict[Node, Order] = {}
        held: dict[Node, list[int]] = {}
        for n, k in members:
            held.setdefault(n, []).append(k)
        for n, places in held.items():
            if n not in self.stored or n in self.fixed or len(places) != 1:
                continue
            order = (*(k for k in range(n.type.rank) if k != places[0]), places[0])
            carried = {m: _carried(order, m) for m in self.renamed.get(n, ())}
            if None not in carried.values() and order != tuple(range(n.type.rank)):
                found |= {n: order, **{m: o for m, o in carried.items() if o is not None}}
        return found


def _fixed(graph: Graph, clusters: Sequence[Cluster]) -> set[Node]:
    """Nodes whose buffers are not the compiler's own, or are shared with the steps of a loop or a branch."""
    fixed = {storage(n) for n in (*graph.outputs, *(v for _, v in graph.updates))}
    for c in clusters:
        if c.bodies:
            fixed |= {storage(x) for x in (*c.inputs, *c.roots)}
    return fixed


def _renamed(graph: Graph) -> dict[Node, list[Node]]:
    """For each stored node the reshapes that are other names for its buffer."""
    found: dict[Node, list[Node]] = {}
    for n in graph.nodes:
        if is_alias(n):
            found.setdefault(storage(n), []).append(n)
    return found


def _carried(order: Order, renamed: Node) -> Order | None:
    """The order of a reshape of a buffer with one axis moved innermost, None where the reshape cuts that axis."""
    axis: int | None = order[-1]
    chain = [renamed]
    while is_alias(chain[-1].src[0]):
        chain.append(chain[-1].src[0])
    for n in reversed(chain):
        kept = dict(matched(n.src[0].type.shape, n.type.shape))
        axis = None if axis is None else kept.get(axis)
    if axis is None:
        return None
    return (*(k for k in range(renamed.type.rank) if k != axis), axis)


def _filled(extent: Index, lanes: int) -> float:
    """The share of the lanes that do work, in vectors of this many along an axis."""
    if not isinstance(extent, int) or extent < 1:
        return 1.0
    return extent / (-(-extent // lanes) * lanes)


def gain(choice: _Choice, members: Sequence[Axis], found: Mapping[Node, Order]) -> float:
    """Vector operations that are saved by an axis being innermost in the buffers that were found."""
    if not found:
        return 0.0
    reading = [(n, axis) for axis in members for n in choice.convolutions.get(axis, ())]
    saved = sum(_saved(n, axis) for n, axis in reading if any(x in found for x in choice.reads.get(n, ())))
    kernels = {id(c): c for n in found for c in choice.kernels.get(n, ())}.values()
    moves = sum(_moves(c, {n for n, _ in members}, found) for c in kernels)
    return saved - moves - sum(_apart(c, set(members)) for c in kernels)


def _saved(n: Node, axis: Axis) -> float:
    """What a convolution saves, if the images are the vector (axis 0), or else the channels that it sums over."""
    x, w = n.src
    images = axis == (n, 0)
    extent, rows = axis[0].type.shape[axis[1]], (n.type.shape[-1], x.type.shape[-1])
    work, sums = product((*n.type.shape, *w.type.shape[2:])), n.type.elements
    if not (isinstance(extent, int) and isinstance(work, int) and isinstance(sums, int)):
        return 0.0
    lanes = LANES // n.type.dtype.size
    # Neighbours in a row are not neighbours in memory where places are skipped.
    reached = ROWS / 2 if set(n.op.attributes()["strides"]) != {1} else ROWS  # type: ignore[call-overload]
    made, read = (work / lanes / (reached * _filled(row, lanes // 2)) for row in rows)
    across = ACROSS * sums
    return min(made, read + across) - work / lanes / _filled(extent, lanes) - (0.0 if images else across)


def _moves(c: Cluster, held: Set[Node], found: Mapping[Node, Order]) -> float:
    """What a kernel pays for row-major buffers beside those that have the axis innermost."""
    beside = {n for n in (*c.inputs, *c.roots) if n in held and n not in found and n.type.rank > 1}
    return sum(MOVE * n.type.elements for n in beside if isinstance(n.type.elements, int))


def _apart(c: Cluster, members: Set[Axis]) -> float:
    """What a kernel over rows pays where the elements of a row are no neighbours: its rows keep the moved axis."""
    cost = 0.0
    for n in c.nodes if c.rows is not None else ():
        if not isinstance(n.op, Reduce) or (c.rows is not None and c.rows.sinks(n)):
            continue
        source = n.src[0]
        kept = any((source, k) in members for k in range(source.type.rank) if k not in n.op.axes)
        cost += APART * source.type.elements if kept and isinstance(source.type.elements, int) else 0.0
    return cost
