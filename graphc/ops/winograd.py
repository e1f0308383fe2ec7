"""Winograd's minimal filtering: convolutions with 3×3 filters, in tiles, with fewer multiplications.

    Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A        is the m×m result of a filter g over a tile d of (m+2)×(m+2)

| op                | element of the result                                                          |
|-------------------|--------------------------------------------------------------------------------|
| `winograd_input`  | V[a·n+b, image, t, c] = (Bᵀ d B)[a, b], d the tile t of channel c, n = m + 2   |
| `winograd_output` | y[image, o, m·i+p, m·j+q] = (Aᵀ M[·, image, t, o] A)[p, q], t = i·columns + j  |

With `images=True` the images lie innermost, in place of the channels: V[·, t, c, image] and M[·, t, o, image].

Between the two stands a contraction over the channels for each of the n² positions.  Padding is part of the first:
what lies outside of the image is zero.  The transforms are sums of few terms, written out; they are inserted by
`graphc.passes.winograd` into graphs that are differentiated already, and have no vjp of their own.

The matrices come from the points at which the product of polynomials is interpolated, infinity being the last one.
Which points these are decides the error: powers of 2 are cheap to write but wide apart, and pairs ±p around 1 are
better, since no power of theirs is large or small.  Those below are exact in every float, and so are Aᵀ and Bᵀ.

Sources: A. Lavin, S. Gray, Fast algorithms for convolutional neural networks (CVPR 2016); B. Barabasz, A. Anderson,
K. Soodhalter, D. Gregg, Error analysis and improving the accuracy of Winograd convolution for deep neural networks
(ACM TOMS 2020).

>>> inverse, filters, forward = transforms(2)
>>> print(*inverse, sep="\\n")
(1.0, 1.0, 1.0, 0.0)
(0.0, 1.0, -1.0, 1.0)
>>> from graphc.ir.node import node
>>> from graphc.ops.leaves import Input
>>> x = node(Input("x", TensorType.of("f32", ("N", 64, 28, 28))))
>>> str(node(WinogradInput(4, (1, 1), (7, 7), False), x).type)
'f32[36,N,49,64]'
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, TypeAlias

import numpy as np

from graphc.errors import InternalError, ShapeError
from graphc.ir.dims import Index
from graphc.ir.loops import Element, LoopBuilder
from graphc.ir.node import Node, Op
from graphc.ir.types import Array, DType, TensorType

Matrix: TypeAlias = tuple[tuple[float, ...], ...]

TAPS = 3
"""The length of a side of the filters."""

POINTS: Mapping[int, tuple[Fraction, ...]] = {
    2: (Fraction(0), Fraction(1), Fraction(-1)),
    4: (Fraction(0), Fraction(5, 8), Fraction(-5, 8), Fraction(3, 2), Fraction(-3, 2)),
}
"""For each side of a tile of the result the points of interpolation, beside infinity."""


@functools.cache
def transforms(tile: int) -> tuple[Matrix, Matrix, Matrix]:
    """Aᵀ, G and Bᵀ: tile × n, n × 3 and n × n, with n = tile + 2.

    Toom and Cook's multiplication, transposed: with p the points, Aᵀ and G are powers of p (those of G over
    Π (p − q) of the other points q), rows of Bᵀ the coefficients of Π (x − q).
    """
    points = POINTS[tile]

    def powers(count: int, over: Sequence[Fraction]) -> list[list[Fraction]]:
        rows = [[p**k / d for k in range(count)] for p, d in zip(points, over, strict=True)]
        return [*rows, [Fraction(k == count - 1) for k in range(count)]]

    others = [[q for q in points if q != p] for p in points]
    inverse = powers(tile, [Fraction(1)] * len(points))
    apart = [
        math.prod((p - q for q in rest), start=Fraction(1)) for p, rest in zip(points, others, strict=True)
    ]
    forward = [_coefficients(roots, len(points) + 1) for roots in (*others, points)]
    turned = tuple(tuple(float(row[k]) for row in inverse) for k in range(tile))
    return turned, _floats(powers(TAPS, apart)), _floats(forward)


def _coefficients(roots: Sequence[Fraction], count: int) -> list[Fraction]:
    """Those of Π (x − root), the constant first, and zeros up to a count."""
    found = [Fraction(1)]
    for q in roots:
        found = [a - q * b for a, b in zip([Fraction(0), *found], [*found, Fraction(0)], strict=True)]
    return [*found, *[Fraction(0)] * (count - len(found))]


def _floats(rows: Sequence[Sequence[Fraction]]) -> Matrix:
    return tuple(tuple(map(float, row)) for row in rows)


def bound(tile: int, channels: int) -> float:
    """How far results may lie from exact ones in f32, in units of max |x| · Σ |w|, the sum over one filter.

    Every product is rounded on its way at most `channels` + 24 times, by 2⁻²⁴ each: 6 times in the image's transform,
    8 in the filter's, 8 in the result's.  All absolute values together are at most the product of the norms of the
    transforms.  Most errors are far smaller: about twice those of the direct convolution in tiles of 2, five times in
    tiles of 4.  This is so where no intermediate value overflows: infinities and NaNs spread over their tiles.

    >>> f"{bound(2, 64):.1e} {bound(4, 64):.1e}"
    '8.4e-05 1.1e-03'
    """
    inverse, filters, forward = (np.abs(m) for m in transforms(tile))
    grown = float((inverse @ (filters.max(1) * forward.sum(1))).max())
    roundings = (channels + 24) * 2.0**-24
    return grown**2 * roundings / (1 - roundings)


def combinations(matrix: Matrix, xs: Sequence[Element | None], b: LoopBuilder) -> list[Element | None]:
    """Every row of a matrix times some values; None is zero.

    Where two columns, or else two rows, are equal up to signs, what they share is computed once.
    """
    terms: list[tuple[tuple[float, ...], Element | None]] = []
    columns = list(zip(zip(*matrix, strict=True), xs, strict=True))
    while columns:
        column, x = columns.pop(0)
        twin = next((k for k, (other, _) in enumerate(columns) if _alike(column, other)), None)
        if twin is None:
            terms.append((column, x))
            continue
        other, y = columns.pop(twin)
        same = tuple(v if v == w else 0.0 for v, w in zip(column, other, strict=True))
        differ = tuple(v if v != w else 0.0 for v, w in zip(column, other, strict=True))
        terms += [(same, _plus(x, y, b)), (differ, _minus(x, y, b))]
    rows = list(zip(*(column for column, _ in terms), strict=True))
    values = [x for _, x in terms]
    found: dict[int, Element | None] = {}
    for k, row in enumerate(rows):
        if k in found:
            continue
        twin = next((j for j in range(k + 1, len(rows)) if j not in found and _alike(row, rows[j])), None)
        if twin is None:
            found[k] = _sum(row, values, b)
            continue
        shared = [v if v == w else 0.0 for v, w in zip(row, rows[twin], strict=True)]
        even, odd = (
            _sum(shared, values, b),
            _sum([v - s for v, s in zip(row, shared, strict=True)], values, b),
        )
        found[k], found[twin] = _plus(even, odd, b), _minus(even, odd, b)
    return [found[k] for k in range(len(rows))]


def _alike(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether two rows are equal up to signs, and share and differ in something."""
    pairs = [(v, w) for v, w in zip(a, b, strict=True) if v or w]
    return all(abs(v) == abs(w) for v, w in pairs) and len({v == w for v, w in pairs}) == 2


def _sum(row: Sequence[float], xs: Sequence[Element | None], b: LoopBuilder) -> Element | None:
    """Σ row · xs, terms without a factor first."""
    total: Element | None = None
    for c, x in sorted(((c, x) for c, x in zip(row, xs, strict=True) if c), key=lambda t: abs(t[0]) != 1):
        if x is None:
            continue
        if total is None:
            total = x if c == 1 else b.prim("mul", b.constant(c, x.dtype), x)
        elif abs(c) == 1:
            total = b.prim("add" if c == 1 else "sub", total, x)
        else:
            total = b.prim("fma", b.constant(c, x.dtype), x, total)
    return total


def _plus(x: Element | None, y: Element | None, b: LoopBuilder) -> Element | None:
    if x is None or y is None:
        return y if x is None else x
    return b.prim("add", x, y)


def _minus(x: Element | None, y: Element | None, b: LoopBuilder) -> Element | None:
    if y is None:
        return x
    return b.prim("neg", y) if x is None else b.prim("sub", x, y)


def transformed(
    matrix: Matrix, size: int, element: Callable[[int, int], Element | None], b: LoopBuilder
) -> list[list[Element | None]]:
    """M d Mᵀ, column by column, then row by row: few values are alive at once."""
    columns = [combinations(matrix, [element(k, j) for k in range(size)], b) for j in range(size)]
    return [combinations(matrix, row, b) for row in zip(*columns, strict=True)]


def _placed(images: bool, image: Index, channel: Index, tile: Index) -> tuple[Index, ...]:
    """In the order of the axes behind the positions."""
    return (tile, channel, image) if images else (image, tile, channel)


@dataclass(frozen=True, slots=True)
class WinogradInput(Op):
    """The tiles of an image x[N,C,H,W], each as (Bᵀ d B): [n², N, tiles, C], or [n², tiles, C, N].

    `tile` is the side of a tile of the convolution's result, `lo` the padding before the image, and `tiles` how many
    there are along each side; what they reach behind the image is padding as well.
    """

    name: ClassVar[str] = "winograd_input"
    scatters: ClassVar[bool] = True
    tile: int
    lo: tuple[int, ...]
    tiles: tuple[int, ...]
    images: bool

    @property
    def size(self) -> int:
        """The side of a tile of the image."""
        return self.tile + TAPS - 1

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        if x.rank != 4 or not all(isinstance(d, int) for d in x.shape[2:]):
            raise ShapeError(f"there are no tiles of {x}", why="it must be [N,channels,height,width]")
        return x.with_shape(
            (self.size**2, *_placed(self.images, x.shape[0], x.shape[1], self.tiles[0] * self.tiles[1]))
        )

    def vjp(self, node_: Node, operand: int, upstream: Node) -> Node:
        raise InternalError("tiles are made after gradients are taken")

    def latex(self, *operands: str) -> str:
        return rf"B^\top {operands[0]}\,B"

    def evaluate(self, dims: Mapping[str, int], *operands: Array) -> Array:
        (x,) = operands
        reach = [self.tile * t + TAPS - 1 for t in self.tiles]
        wide = np.zeros(
            (*x.shape[:2], *(max(r, a + s) for r, a, s in zip(reach, self.lo, x.shape[2:], strict=True))),
            x.dtype,
        )
        wide[:, :, self.lo[0] : self.lo[0] + x.shape[2], self.lo[1] : self.lo[1] + x.shape[3]] = x
        every = np.lib.stride_tricks.sliding_window_view(wide, (self.size, self.size), (2, 3))
        some = every[:, :, : reach[0] - TAPS + 1 : self.tile, : reach[1] - TAPS + 1 : self.tile]
        forward = np.array(transforms(self.tile)[2], x.dtype)
        order = "pqijcn" if self.images else "pqnijc"
        found = np.einsum(f"pa,ncijab,qb->{order}", forward, some, forward, optimize=True)
        shape = _placed(self.images, x.shape[0], x.shape[1], self.tiles[0] * self.tiles[1])
        return np.ascontiguousarray(found).reshape(self.size**2, *shape)

    def nest(self, node: Node, b: LoopBuilder) -> None:
        (x,) = node.src
        forward, (rows, columns) = transforms(self.tile)[2], self.tiles
        images, channels = x.type.shape[:2]
        walked = (rows, columns, channels, images) if self.images else (images, rows, columns, channels)
        with ExitStack() as stack:
            at = [stack.enter_context(b.loop(extent)) for extent in walked]
            i, j, c, image = at if self.images else (*at[1:], at[0])
            places = [self._places(x, axis, tile, b) for axis, tile in enumerate((i, j))]

            def element(k: int, j: int) -> Element | None:
                (y, above), (z, beside) = places[0][k], places[1][j]
                value = b.value(x, (image, c, y, z))
                for inside in (above, beside):
                    if inside is not None:
                        value = b.prim("select", inside, value, b.constant(0.0, value.dtype))
                return value

            found = transformed(forward, self.size, element, b)
            for k, result in enumerate(itertools.chain.from_iterable(found)):
                assert result is not None
                b.store((k, *_placed(self.images, image, c, columns * i + j)), result)

    def _places(self, x: Node, axis: int, tile: Index, b: LoopBuilder) -> list[tuple[Index, Element | None]]:
        """Where the elements of a tile are along an axis, and whether that is in the image (None: it always is).

        Those outside are read at the nearest place inside.
        """
        extent = x.type.shape[2 + axis]
        assert isinstance(extent, int)
        last = self.tile * (self.tiles[axis] - 1) - self.lo[axis]
        found: list[tuple[Index, Element | None]] = []
        for k in range(self.size):
            at: Index = self.tile * tile - self.lo[axis] + k
            inside: Element | None = None
            if k < self.lo[axis] or last + k >= extent:
                place = b.index_value(at, DType.I64)
                near = b.prim("minimum", place, b.constant(extent - 1, DType.I64))
                near = b.prim("maximum", near, b.constant(0, DType.I64))
                at, inside = b.as_index(near), b.prim("eq", near, place)
            found.append((at, inside))
        return found


@dataclass(frozen=True, slots=True)
class WinogradOutput(Op):
    """The results of tiles M[n²,N,tiles,O], or M[n²,tiles,O,N], each as (Aᵀ M A), put together as [N,O,*sizes]."""

    name: ClassVar[str] = "winograd_output"
    tile: int
    sizes: tuple[int, ...]
    images: bool

    @property
    def tiles(self) -> tuple[int, ...]:
        """How many there are along each side."""
        return tuple(-(-d // self.tile) for d in self.sizes)

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        images, out, tiles = (3, 2, 1) if self.images else (1, 3, 2)
        n, count = self.tile + TAPS - 1, self.tiles[0] * self.tiles[1]
        if x.rank != 4 or x.shape[0] != n * n or x.shape[tiles] != count:
            raise ShapeError(f"{x} has not the tiles of {self.sizes}")
        return x.with_shape((x.shape[images], x.shape[out], *self.sizes))

    def written_out(self, node: Node) -> tuple[int, ...]:
        return (1, 1, self.tile, self.tile)

    def vjp(self, node_: Node, operand: int, upstream: Node) -> Node:
        raise InternalError("tiles are made after gradients are taken")

    def latex(self, *operands: str) -> str:
        return rf"A^\top {operands[0]}\,A"

    def evaluate(self, dims: Mapping[str, int], *operands: Array) -> Array:
        (x,) = operands
        n, (rows, columns) = self.tile + TAPS - 1, self.tiles
        inverse = np.array(transforms(self.tile)[0], x.dtype)
        images, out = (x.shape[3], x.shape[2]) if self.images else (x.shape[1], x.shape[3])
        order, shape = (
            ("ijon", (rows, columns, out, images)) if self.images else ("nijo", (images, rows, columns, out))
        )
        tiles = x.reshape(n, n, *shape)
        found = np.einsum(f"pa,ab{order},qb->noipjq", inverse, tiles, inverse, optimize=True)
        whole = np.ascontiguousarray(found).reshape(images, out, self.tile * rows, self.tile * columns)
        return np.ascontiguousarray(whole[:, :, : self.sizes[0], : self.sizes[1]])

    def loops(self, node: Node, index: tuple[Index, ...], b: LoopBuilder) -> Element:
        image, o, *place = index
        rows, columns = (p // self.tile for p in place)
        n, (x,) = self.tile + TAPS - 1, node.src
        at = _placed(self.images, image, o, self.tiles[1] * rows + columns)
        found = transformed(transforms(self.tile)[0], n, lambda k, j: b.value(x, (n * k + j, *at)), b)
        for k, j in itertools.product(range(self.tile), repeat=2):
            value = found[k][j]
            assert value is not None
            b.remember(node, (image, o, self.tile * rows + k, self.tile * columns + j), value)
        return b.value(node, index)
