"""Level 3, Winograd: f32 convolutions with 3×3 filters become transforms of tiles and a product for each position.

    x ∗ w = Aᵀ [(G w Gᵀ) · (Bᵀ x B)] A

A tile of 4×4 results takes 36 multiplications for each pair of channels instead of 144, one of 2×2 takes 16 instead
of 36.  What is saved must pay for the transforms and for filters that are larger, so layers of few channels stay as
they are.  The pass runs last, and only where `gc.compile(winograd=True)` asks for it: results change in rounding,
by at most `graphc.ops.winograd.bound` (typically 2 or 5 times as much as the direct convolution's).

Strides and dilations are 1, there is one group; forward convolutions and gradients to the input are of this kind.
Padding becomes part of the tiles, constant filters are transformed here, in float64.

Sources: see `graphc.ops.winograd`.

>>> import graphc as gc
>>> x, w = gc.input("x", (1, 64, 28, 28), "float32"), gc.input("w", (64, 64, 3, 3), "float32")
>>> log = Log()
>>> new = winograd(Graph("f", (x.node, w.node), (gc.conv2d(x, w, padding=1).node,)), log)
>>> [str(n.type) for n in new.nodes if n.op.label.startswith("winograd")]
['f32[36,1,49,64]', 'f32[1,64,28,28]']
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from graphc.ir.evaluate import evaluate_nodes
from graphc.ir.graph import Graph, rebuild
from graphc.ir.node import Node, node, origin, toposort
from graphc.ir.types import DType, Shape
from graphc.ops.contract import Contract
from graphc.ops.conv import Conv
from graphc.ops.leaves import Const
from graphc.ops.views import Pad, Reshape, is_unit
from graphc.ops.winograd import POINTS, TAPS, WinogradInput, WinogradOutput, bound, transforms
from graphc.passes.log import Log

EQUATION = "x ∗ w = Aᵀ[(G w Gᵀ)·(Bᵀ x B)]A"

NEAR, FAR = 25.0, 60.0
"""Additions that cost as much as an element of a transformed tile, which is written and read again: in the caches, or
where all elements together are more than FAR_BYTES."""

FAR_BYTES = 1 << 24

LANES = 16
"""Channels in a vector."""

IMAGES = 8
"""What a named batch is taken to be."""

READ = 20.0
"""Additions that cost as much as reading an element of the filters."""

GAIN = 1.2
"""How much cheaper a convolution must become."""

BLOCKS = (64, 32, 16)
"""How many filters lie side by side for each channel, where that divides them: a kernel reads them in one stream."""


def winograd(graph: Graph, log: Log) -> Graph:
    """The graph with convolutions in tiles, where that is estimated to be faster."""

    def replace(old: Node, src: tuple[Node, ...]) -> Node:
        new = old
        with origin("rewritten", of=(old,)):
            if src != old.src:
                new = node(old.op, *src)
                log.rename(old, new)
        found = Tiled.of(new)
        if found is None:
            return new
        with origin("rule:winograd", of=(new,)):
            made = found.result()
        m, error = found.tile, bound(found.tile, found.channels)
        text = f"{log.name(new)} conv → {log.name(made)} {made.op.label}, in tiles of {m}×{m}"
        equation = f"{EQUATION}, |error| ≤ {error:.1e}·max|x|·Σ|w|"
        log.add("winograd", "winograd", text, equation=equation, before=(new,), after=(made,))
        return made

    return rebuild(graph, replace)[0]


@dataclass(frozen=True, slots=True)
class Tiled:
    """A convolution in tiles: of the image `x` without its padding, by filters [1,O,C,3,3]."""

    conv: Node
    x: Node
    lo: tuple[int, ...]
    tile: int

    @staticmethod
    def of(n: Node) -> Tiled | None:
        """The cheapest way, None where the convolution as it is is cheaper, or is of another kind."""
        op, (x, w) = n.op, n.src if len(n.src) == 2 else (n, n)
        if not isinstance(op, Conv) or {*op.strides, *op.dilations} != {1} or x.type.dtype is not DType.F32:
            return None
        known = all(isinstance(d, int) and d > 0 for d in (*n.type.shape[1:], *x.type.shape[1:]))
        if not known or w.type.shape[0] != 1 or w.type.shape[3:] != (TAPS, TAPS):
            return None
        image, lo = _unpadded(x)
        direct = Tiled(n, image, lo, 1)
        cost, best = min((t.cost, t.tile) for t in (Tiled(n, image, lo, m) for m in POINTS))
        return Tiled(n, image, lo, best) if cost * GAIN < direct.cost else None

    @property
    def channels(self) -> int:
        return _int(self.conv.src[1].type.shape[2])

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(_int(d) for d in self.conv.type.shape[3:])

    @property
    def tiles(self) -> tuple[int, ...]:
        """How many there are along each side."""
        return tuple(-(-d // self.tile) for d in self.sizes)

    @property
    def cost(self) -> float:
        """In additions; of the convolution as it is for a tile of 1."""
        batch = self.conv.type.shape[0]
        out, inside = _int(self.conv.type.shape[2]), self.channels
        positions = (self.tile + TAPS - 1) ** 2
        columns = (batch if isinstance(batch, int) else IMAGES) * math.prod(self.tiles)
        arithmetic = max(2.0 * positions * columns * out * inside, READ * positions * out * inside)
        if self.tile == 1:
            return arithmetic
        moved = positions * columns * sum(-(-c // LANES) * LANES for c in (out, inside))
        if not self.conv.src[1].constant:
            moved += positions * out * inside
        return arithmetic + (FAR if moved * self.conv.type.dtype.size > FAR_BYTES else NEAR) * moved

    def result(self) -> Node:
        """The convolution's result, by other means."""
        tiles = node(WinogradInput(self.tile, self.lo, self.tiles, self.images), self.x)
        filters = self.filters()
        if self.images:
            products = node(Contract("pco,ptcn->pton"), filters, tiles)
        else:
            spec = "pntc,pco->pnto" if filters.type.rank == 3 else "pntc,pbco->pntbo"
            products = node(Contract(spec), tiles, filters)
            flat = (*tiles.type.shape[:3], self.conv.type.shape[2])
            products = products if products.type.shape == flat else node(Reshape(flat), products)
        output = node(WinogradOutput(self.tile, self.sizes, self.images), products)
        return node(Reshape(self.conv.type.shape), output)

    @property
    def images(self) -> bool:
        """Whether vectors are of images, as those of the gradients to the filters are: then the axis fills them."""
        batch = self.conv.type.shape[0]
        return not self.conv.src[1].constant and isinstance(batch, int) and batch >= LANES

    def filters(self) -> Node:
        """G w Gᵀ as [n²,C,O]; constants in blocks of filters, [n²,O/block,C,block]."""
        w, g = self.conv.src[1], np.array(transforms(self.tile)[1])
        n, out, inside = len(g), _int(self.conv.type.shape[2]), self.channels
        if w.constant:
            block = next((b for b in BLOCKS if out % b == 0), out)
            value = evaluate_nodes(toposort((w,)), {}, {})[w].reshape(-1, block, inside, TAPS**2)
            found = np.empty((n * n, out // block, inside, block), "float32")
            for k, part in enumerate(value):  # a block at a time stays in the cache
                turned = np.ascontiguousarray(part.transpose(2, 1, 0), "float64")
                found[:, k] = (np.kron(g, g) @ turned.reshape(TAPS**2, -1)).reshape(n * n, inside, block)
            return node(Const.of(found if block < out else found[:, 0]))
        matrix = node(Const.of(g, "float32"))
        plain = node(Reshape((out, inside, TAPS, TAPS)), w)
        rows = node(Contract("ocij,ai->ocja"), plain, matrix)
        both = node(Contract("ocja,bj->abco"), rows, matrix)
        return node(Reshape((n * n, inside, out)), both)


def _unpadded(x: Node) -> tuple[Node, tuple[int, ...]]:
    """The image [N,C,H,W] that is padded to x[N,1,C,...], and the padding before it."""
    chain = [x]
    while isinstance(chain[-1].op, Reshape) and is_unit(chain[-1]):
        chain.append(chain[-1].src[0])
    inner = chain[-1]
    if isinstance(inner.op, Pad):
        op, source, rank = inner.op, inner.src[0], inner.type.rank
        lo, none = op.lo[rank - 2 :], (0,) * (rank - 2)
        zeros = op.value == 0 and not any(op.interior) and op.lo[:-2] == op.hi[:-2] == none
        known = all(isinstance(d, int) for d in lo) and all(
            isinstance(d, int) and d for d in source.type.shape[-2:]
        )
        if zeros and known and inner.type.shape[-2:] == x.type.shape[-2:]:
            return _image(source, x), tuple(_int(d) for d in lo)
    return _image(x, x), (0, 0)


def _image(inner: Node, x: Node) -> Node:
    shape: Shape = (x.type.shape[0], x.type.shape[2], *inner.type.shape[-2:])
    return inner if inner.type.shape == shape else node(Reshape(shape), inner)


def _int(d: object) -> int:
    assert isinstance(d, int)
    return d
