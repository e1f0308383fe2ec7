"""Views: operations that only move elements.  Fusion makes them free where it can.

| op | element of the result | vjp |
|------------|-------------------------------------------|-----------------------------------------|
| `reshape`  | the same elements in row-major order | reshape back |
| `transpose`| out[i, j] = x[j, i] | the inverse permutation |
| `expand`   | out[i, j] = x[j] (NumPy's broadcast) | sum over the axes that were added |
| `slice`    | out[i] = x[start + step·i] | pad with zeros |
| `pad`      | out[lo + (1+interior)·i] = x[i], else value | slice |
| `concat`   | one operand after the other | slices |

>>> from graphc.ir.node import node
>>> from graphc.ops.leaves import Input
>>> x = node(Input("x", TensorType.of("f32", ("N", 1, 28))))
>>> str(node(Reshape.to((x.type.shape[0], 28)), x).type)
'f32[N,28]'
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from graphc.errors import DTypeError, ShapeError
from graphc.ir.dims import Index, evaluate, product
from graphc.ir.loops import Element, LoopBuilder
from graphc.ir.node import Node, Op, node
from graphc.ir.types import Array, Shape, TensorType, broadcast_shapes, shape_text


@dataclass(frozen=True, slots=True)
class Reshape(Op):
    """The same elements, in row-major order, in another shape."""

    name: ClassVar[str] = "reshape"
    shape: Shape

    @staticmethod
    def to(shape: Shape) -> Reshape:
        return Reshape(shape)

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        if x.elements != product(self.shape):
            raise ShapeError(
                f"cannot reshape {x} to {shape_text(self.shape)}",
                why=f"it has {x.elements} elements, the new shape has {product(self.shape)}",
            )
        return x.with_shape(self.shape)

    def vjp(self, node_: Node, operand: int, upstream: Node) -> Node:
        return node(Reshape(node_.src[0].type.shape), upstream)

    def latex(self, *operands: str) -> str:
        return rf"\operatorname{{reshape}}({operands[0]})"

    def evaluate(self, dims: Mapping[str, int], *operands: Array) -> Array:
        return operands[0].reshape([evaluate(d, dims) for d in self.shape])

    def loops(self, node: Node, index: tuple[Index, ...], b: LoopBuilder) -> Element:
        # Only axes of length 1 differ where this is asked for: see `is_unit`.
        kept = iter(i for i, d in zip(index, self.shape, strict=True) if d != 1)
        source = node.src[0]
        return b.value(source, tuple(0 if d == 1 else next(kept) for d in source.type.shape))


def is_unit(reshaped: Node) -> bool:
    """Whether a reshape only adds or drops axes of length 1, so that indices follow without division."""
    before = [d for d in reshaped.src[0].type.shape if d != 1]
    return before == [d for d in reshaped.type.shape if d != 1]


@dataclass(frozen=True, slots=True)
class Transpose(Op):
    """Axis k of the result is axis `perm[k]` of the operand."""

    name: ClassVar[str] = "transpose"
    perm: tuple[int, ...]

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        if sorted(self.perm) != list(range(x.rank)):
            raise ShapeError(
                f"cannot transpose {x} by {self.perm}", why="the axes are no permutation of its axes"
            )
        return x.with_shape(tuple(x.shape[k] for k in self.perm))

    def inverse(self) -> Transpose:
        return Transpose(tuple(self.perm.index(k) for k in range(len(self.perm))))

    def vjp(self, node_: Node, operand: int, upstream: Node) -> Node:
        return node(self.inverse(), upstream)

    def latex(self, *operands: str) -> str:
        return rf"{operands[0]}^{{\top}}"

    def evaluate(self, dims: Mapping[str, int], *operands: Array) -> Array:
        return operands[0].transpose(self.perm)

    def loops(self, node: Node, index: tuple[Index, ...], b: LoopBuilder) -> Element:
        return b.value(node.src[0], tuple(index[k] for k in self.inverse().perm))


@dataclass(frozen=True, slots=True)
class Expand(Op):
    """NumPy's broadcast to a shape, made explicit: axes are aligned from the right."""

    name: ClassVar[str] = "expand"
    shape: Shape

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        if broadcast_shapes(x.shape, self.shape) != self.shape:
            raise ShapeError(f"cannot expand {x} to {shape_text(self.shape)}")
        return x.with_shape(self.shape)

    def vjp(self, node_: Node, operand: int, upstream: Node) -> Node:
        from graphc.ops.reduce import Reduce

        x = node_.src[0].type.shape
        lead = len(self.shape) - len(x)
        axes = (*range(lead), *(lead + k for k, d in enumerate(x) if d == 1 and self.shape[lead + k] != 1))
        summed = node(Reduce("sum", axes), upstream) if axes else upstream
        return summed if summed.type.shape == x else node(Reshape(x), summed)

    def latex(self, *operands: str) -> str:
        return operands[0]

    def local_latex(self, node: Node, operand: int, *operands: str) -> str:
        return r"\mathbf{1}"

    def evaluate(self, dims: Mapping[str, int], *operands: Array) -> Array:
        return np.broadcast_to(operands[0], [evaluate(d, dims) for d in self.shape])

    def loops(self, node: Node, index: tuple[Index, ...], b: LoopBuilder) -> Element:
        x = node.src[0].type.shape
        tail = index[len(index) - len(x) :]
        return b.value(node.src[0], tuple(0 if d == 1 else i for d, i in zip(x, tail, strict=True)))


@dataclass(frozen=True, slots=True)
class Slice(Op):
    """out[i] = x[start + step·i] along every axis; a negative step runs backwards."""

    name: ClassVar[str] = "slice"
    starts: Shape
    steps: tuple[int, ...]
    shape: Shape

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        if not len(self.starts) == len(self.steps) == len(self.shape) == x.rank:
            raise ShapeError(f"a slice of {x} needs one range for each of its {x.rank} axes")
        for start, step, size, d in zip(self.starts, self.steps, self.shape, x.shape, strict=True):
            concrete = [v for v in (start, size, d) if isinstance(v, int)]
            if len(concrete) == 3 and size != 0:
                ends = (concrete[0], concrete[0] + step * (concrete[1] - 1))
                if min(ends) < 0 or max(ends) >= concrete[2]:
                    raise ShapeError(f"a slice from {ends[0]} to {ends[1]} leaves an axis of size {d}")
        return x.with_shape(self.shape)

    def vjp(self, node_: Node, operand: int, upstream: Node) -> Node:
        x = node_.src[0].type.shape
        backwards = tuple(s < 0 for s in self.steps)
        if any(backwards):  # turn round first, so that the pad sees ascending places
            upstream = flip(upstream, tuple(k for k, back in enumerate(backwards) if back))
        first = tuple(
            a + s * (n - 1) if back else a
            for a, s, n, back in zip(self.starts, self.steps, self.shape, backwards, strict=True)
        )
        rest = tuple(
            d - 1 - (f + abs(s) * (n - 1))
            for d, f, s, n in zip(x, first, self.steps, self.shape, strict=True)
        )
        return node(Pad(first, rest, tuple(abs(s) - 1 for s in self.steps), 0.0), upstream)

    def latex(self, *operands: str) -> str:
        ranges = ",".join(
            f"{a}{':' + str(s) if s != 1 else ''}:" for a, s in zip(self.starts, self.steps, strict=True)
        )
        return rf"{operands[0]}_{{[{ranges}]}}"

    def evaluate(self, dims: Mapping[str, int], *operands: Array) -> Array:
        places = [
            evaluate(a, dims) + s * np.arange(evaluate(n, dims))
            for a, s, n in zip(self.starts, self.steps, self.shape, strict=True)
        ]
        return operands[0][np.ix_(*places)] if places else operands[0]

    def loops(self, node: Node, index: tuple[Index, ...], b: LoopBuilder) -> Element:
        moved = tuple(a + s * i for a, s, i in zip(self.starts, self.steps, index, strict=True))
        return b.value(node.src[0], moved)


def flip(x: Node, axes: tuple[int, ...]) -> Node:
    """Reverse the order along axes."""
    shape = x.type.shape
    starts = tuple(d - 1 if k in axes else 0 for k, d in enumerate(shape))
    return node(Slice(starts, tuple(-1 if k in axes else 1 for k in range(len(shape))), shape), x)


@dataclass(frozen=True, slots=True, eq=False)
class Pad(Op):
    """`lo` and `hi` elements around, `interior` elements between neighbours, all equal to `value`."""

    name: ClassVar[str] = "pad"
    scatters: ClassVar[bool] = True
    lo: Shape
    hi: Shape
    interior: tuple[int, ...]
    value: float

    def _content(self) -> tuple[object, ...]:
        # The bits of the value: 0.0 and -0.0 are two paddings, and NaN is one.
        return self.lo, self.hi, self.interior, struct.pack("d", self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pad) and self._content() == other._content()

    def __hash__(self) -> int:
        return hash(self._content())

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        if not len(self.lo) == len(self.hi) == len(self.interior) == x.rank:
            raise ShapeError(f"padding {x} needs one amount for each of its {x.rank} axes")
        if any(isinstance(v, int) and v < 0 for v in (*self.lo, *self.hi, *self.interior)):
            raise ShapeError(f"cannot pad {x} by a negative amount", fix="slice it instead")
        return x.with_shape(
            tuple(
                a + d + c * (d - 1) + b if c else a + d + b
                for a, d, b, c in zip(self.lo, x.shape, self.hi, self.interior, strict=True)
            )
        )

    def vjp(self, node_: Node, operand: int, upstream: Node) -> Node:
        return node(Slice(self.lo, tuple(c + 1 for c in self.interior), node_.src[0].type.shape), upstream)

    def latex(self, *operands: str) -> str:
        return rf"\operatorname{{pad}}({operands[0]})"

    def evaluate(self, dims: Mapping[str, int], *operands: Array) -> Array:
        (x,) = operands
        lo, hi = ([evaluate(v, dims) for v in side] for side in (self.lo, self.hi))
        size = [
            a + (d - 1) * (c + 1) + 1 + b for a, d, c, b in zip(lo, x.shape, self.interior, hi, strict=True)
        ]
        out = np.full(size, self.value, dtype=x.dtype)
        out[
            tuple(
                slice(a, a + (d - 1) * (c + 1) + 1, c + 1)
                for a, d, c in zip(lo, x.shape, self.interior, strict=True)
            )
        ] = x
        return out

    def nest(self, node: Node, b: LoopBuilder) -> None:
        fill = b.constant(self.value, node.type.dtype)
        x = node.src[0]
        for shape, place in self._around(x.type.shape, node.type.shape):
            b.nest(shape, lambda index, at=place: b.store(at(index), fill))  # type: ignore[misc]

        def copy(index: tuple[Index, ...]) -> None:
            place = tuple(a + (c + 1) * i for a, c, i in zip(self.lo, self.interior, index, strict=True))
            b.store(place, b.value(x, index))

        b.nest(x.type.shape, copy)

    def _around(self, inside: Shape, shape: Shape) -> Iterator[tuple[Shape, Callable[[Shape], Shape]]]:
        """Boxes that hold all that is not the operand's: each as its shape, and the place of each of its elements."""
        if any(self.interior):
            yield shape, lambda index: index
            return
        for k, (lo, hi) in enumerate(zip(self.lo, self.hi, strict=True)):
            # Before this axis only where the operand is: the rest is in the boxes of the axes before.
            start: Shape = (*self.lo[:k], *(0,) * (len(shape) - k))
            both: Iterable[tuple[Index, Index, Index]] = [(2, 0, inside[k] + 1)]
            apart: Iterable[tuple[Index, Index, Index]] = [(lo, 0, 1), (hi, lo + inside[k], 1)]
            for count, first, step in both if lo == hi == 1 else apart:
                if count != 0:
                    yield (*inside[:k], count, *shape[k + 1 :]), _place(start, k, first, step)


def _place(start: Shape, axis: int, first: Index, step: Index) -> Callable[[Shape], Shape]:
    """From the index into a box to the place of the element, where the box begins there and has steps on one axis."""

    def place(index: Shape) -> Shape:
        moved = (a + i for a, i in zip(start, index, strict=True))
        return tuple(first + step * index[axis] if k == axis else i for k, i in enumerate(moved))

    return place


@dataclass(frozen=True, slots=True)
class Concat(Op):
    """Operands one after the other along an axis."""

    name: ClassVar[str] = "concat"
    scatters: ClassVar[bool] = True
    axis: int

    def infer(self, *operands: TensorType) -> TensorType:
        first = operands[0]
        total: Index = 0
        for k, x in enumerate(operands):
            if x.dtype != first.dtype:
                raise DTypeError(f"cannot concatenate {first} and {x}", why="their dtypes differ")
            same = x.rank == first.rank and all(
                a == b for j, (a, b) in enumerate(zip(x.shape, first.shape, strict=True)) if j != self.axis
            )
            if not same:
                raise ShapeError(
                    f"cannot concatenate {first} and {x} along axis {self.axis}",
                    why=f"operands 0 and {k} differ outside that axis",
                )
            total = x.shape[self.axis] + total
        shape = list(first.shape)
        shape[self.axis] = total
        return first.with_shape(tuple(shape))

    def starts(self, node_: Node) -> list[Index]:
        """Where each operand begins along the axis."""
        result: list[Index] = [0]
        for x in node_.src[:-1]:
            result.append(x.type.shape[self.axis] + result[-1])
        return result

    def vjp(self, node_: Node, operand: int, upstream: Node) -> Node:
        x = node_.src[operand].type.shape
        starts = tuple(self.starts(node_)[operand] if k == self.axis else 0 for k in range(len(x)))
        return node(Slice(starts, (1,) * len(x), x), upstream)

    def latex(self, *operands: str) -> str:
        return rf"\left[{';'.join(operands)}\right]"

    def evaluate(self, dims: Mapping[str, int], *operands: Array) -> Array:
        return np.concatenate(operands, axis=self.axis)

    def nest(self, node: Node, b: LoopBuilder) -> None:
        for x, start in zip(node.src, self.starts(node), strict=True):

            def copy(index: tuple[Index, ...], x: Node = x, start: Index = start) -> None:
                place = tuple(start + i if k == self.axis else i for k, i in enumerate(index))
                b.store(place, b.value(x, index))

            b.nest(x.type.shape, copy)
