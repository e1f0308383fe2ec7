"""Functions that move elements: shapes, axes, indexing, joining.

>>> from graphc.lang.tensor import input
>>> X = input("X", shape=("N", 28, 28))
>>> reshape(X, ("N", -1)).shape, X[:, 2:, ::-1].shape
((N, 784), (N, 26, 28))
"""

from __future__ import annotations

import builtins
from collections.abc import Sequence

from graphc.errors import ArgumentError, DTypeError, ShapeError
from graphc.ir.dims import Dim, Index, product
from graphc.ir.node import Node, node
from graphc.ir.types import shape_of
from graphc.lang.apply import cast, common, expand, named
from graphc.lang.reductions import Axis, axes_of
from graphc.lang.source import operation
from graphc.lang.tensor import Key, ShapeLike, Tensor, TensorLike, as_tensor
from graphc.ops.elementwise import elementwise
from graphc.ops.gather import Gather
from graphc.ops.leaves import Iota
from graphc.ops.views import Concat, Pad, Reshape, Slice, Transpose

__all__ = [
    "concatenate",
    "expand_dims",
    "one_hot",
    "pad",
    "pick",
    "reshape",
    "squeeze",
    "stack",
    "take",
    "transpose",
]


@operation
def reshape(x: TensorLike, shape: ShapeLike) -> Tensor:
    """The same elements in another shape; one dimension may be -1, which takes what is left."""
    t = as_tensor(x)
    wanted: list[int | str | Dim] = [shape] if isinstance(shape, (int, str)) else list(shape)
    if wanted.count(-1) > 1:
        raise ShapeError("only one dimension of a reshape can be -1")
    if -1 in wanted:
        rest = product(shape_of([d for d in wanted if d != -1]))
        wanted[wanted.index(-1)] = _quotient(t, rest)
    target = shape_of(wanted)
    return t if target == t.shape else Tensor(node(Reshape(target), t.node), t.name, t.loc)


def _quotient(t: Tensor, rest: Index) -> Index:
    """The dimension that is left: elements / rest, where that divides."""
    left: list[Index] = list(t.shape)
    if isinstance(rest, Dim):  # cancel named dimensions one by one: [N,4,7] over N leaves 28
        for d in t.shape:
            if d == rest:
                left.remove(d)
                return product(left)
        raise ShapeError(
            f"cannot reshape {t.node.type}", why=f"{rest} does not divide {t.node.type.elements}"
        )
    total = product(left)
    if rest == 0 or total % rest != 0:
        raise ShapeError(f"cannot reshape {t.node.type}", why=f"{rest} does not divide {total}")
    return total // rest


@operation
def transpose(x: TensorLike, axes: Sequence[int] | None = None) -> Tensor:
    """The axes in another order; reversed by default."""
    t = as_tensor(x)
    if axes is None:
        perm = tuple(reversed(range(t.ndim)))
    else:
        perm = tuple(a % t.ndim if -t.ndim <= a < t.ndim else a for a in axes)
    return t if perm == tuple(range(t.ndim)) else Tensor(node(Transpose(perm), t.node))


@operation
def expand_dims(x: TensorLike, axis: int) -> Tensor:
    """A new axis of length 1 at a position of the result."""
    t = as_tensor(x)
    if not -t.ndim - 1 <= axis <= t.ndim:
        raise ShapeError(f"axis {axis} is out of bounds for {named(t)} with one more axis")
    k = axis % (t.ndim + 1)
    return Tensor(node(Reshape((*t.shape[:k], 1, *t.shape[k:])), t.node))


@operation
def squeeze(x: TensorLike, axis: Axis = None) -> Tensor:
    """Without axes of length 1 (all of them by default)."""
    t = as_tensor(x)
    axes = axes_of(t, axis) if axis is not None else tuple(k for k, d in enumerate(t.shape) if d == 1)
    if any(t.shape[a] != 1 for a in axes):
        raise ShapeError(f"cannot squeeze {named(t)} along {axes}", why="only axes of length 1 can go")
    return Tensor(node(Reshape(tuple(d for k, d in enumerate(t.shape) if k not in axes)), t.node))


@operation
def concatenate(tensors: Sequence[TensorLike], axis: int = 0) -> Tensor:
    """Tensors one after the other along an axis."""
    if not tensors:
        raise ArgumentError("concatenate needs at least one tensor")
    ts = common(*tensors)
    (k,) = axes_of(ts[0], axis)
    return ts[0] if len(ts) == 1 else Tensor(node(Concat(k), *(t.node for t in ts)))


@operation
def stack(tensors: Sequence[TensorLike], axis: int = 0) -> Tensor:
    """Tensors side by side along a new axis."""
    return concatenate([expand_dims(t, axis) for t in tensors], axis)


@operation
def pad(
    x: TensorLike, pad_width: int | Sequence[int | Sequence[int]], constant_values: float = 0.0
) -> Tensor:
    """Constant elements around: one number, or (before, after), or one such pair for each axis."""
    t = as_tensor(x)
    pairs = pad_pairs(pad_width, t.ndim)
    return Tensor(pad_node(t.node, pairs, constant_values))


def pad_node(n: Node, pairs: Sequence[tuple[Index, Index]], value: float = 0.0) -> Node:
    """A `pad` node, or the operand itself where there is nothing to add."""
    if all(p == (0, 0) for p in pairs):
        return n
    lo, hi = tuple(p[0] for p in pairs), tuple(p[1] for p in pairs)
    return node(Pad(lo, hi, (0,) * len(pairs), float(value)), n)


def pad_pairs(width: int | Sequence[int | Sequence[int]], rank: int) -> list[tuple[int, int]]:
    """NumPy's forms of a padding as one (before, after) for each axis."""
    if isinstance(width, int):
        return [(width, width)] * rank
    items = list(width)
    if len(items) == 2 and all(isinstance(v, int) for v in items) and rank != 2:
        return [(items[0], items[1])] * rank  # type: ignore[list-item]
    pairs = [(v, v) if isinstance(v, int) else (v[0], v[1]) for v in items]
    if len(pairs) == 1:
        pairs *= rank
    if len(pairs) != rank:
        raise ShapeError(f"a padding of {len(pairs)} axes does not fit a tensor of {rank}")
    return pairs


def getitem(x: Tensor, key: Key | tuple[Key, ...]) -> Tensor:
    """Basic indexing: integers, slices, `...`, None; and one integer tensor, which gathers along axis 0."""
    keys = list(key) if isinstance(key, tuple) else [key]
    if len(keys) == 1 and isinstance(keys[0], Tensor):
        return take(x, keys[0], axis=0)
    used = builtins.sum(k is not None and k is not Ellipsis for k in keys)
    if used > x.ndim:
        raise ShapeError(f"{used} indices for {named(x)}", why=f"it has {x.ndim} axes")
    if not any(k is Ellipsis for k in keys):
        keys.append(Ellipsis)
    at = next(i for i, k in enumerate(keys) if k is Ellipsis)
    keys[at : at + 1] = [slice(None)] * (x.ndim - used)
    starts: list[Index] = []
    steps: list[int] = []
    sizes: list[Index] = []
    final: list[Index] = []
    dims = iter(x.shape)
    for k in keys:
        if k is None:
            final.append(1)
            continue
        d = next(dims)
        if isinstance(k, slice):
            start, step, size = _range(k, d)
            final.append(size)
        elif isinstance(k, int):
            if isinstance(d, int) and not -d <= k < d:
                raise ShapeError(f"index {k} is out of bounds for an axis of size {d}")
            start, step, size = (k if k >= 0 else d + k), 1, 1
        else:
            raise ArgumentError(f"cannot index by {k!r}", fix="use integers, slices, `...`, None, or gc.take")
        starts.append(start)
        steps.append(step)
        sizes.append(size)
    n = x.node
    whole = all(a == 0 and s == 1 for a, s in zip(starts, steps, strict=True)) and tuple(sizes) == x.shape
    if not whole:
        n = node(Slice(tuple(starts), tuple(steps), tuple(sizes)), n)
    return Tensor(n if n.type.shape == tuple(final) else node(Reshape(tuple(final)), n))


def _range(s: slice, d: Index) -> tuple[Index, int, Index]:
    """(start, step, size) of a slice; of a named dimension only bounds that do not depend on its size."""
    if isinstance(d, int):
        places = range(*s.indices(d))
        return places.start, places.step, len(places)
    step = 1 if s.step is None else int(s.step)
    start, stop = s.start, s.stop
    if step < 0:
        if start is None and stop is None:
            return d - 1, step, (d - 1) // -step + 1
    else:
        first: Index = 0 if start is None else start if start >= 0 else d + start
        last: Index = d if stop is None else stop if stop >= 0 else d + stop
        return first, step, (last - first + step - 1) // step
    raise ShapeError(f"cannot slice the named dimension {d} by {s}", fix="use bounds that leave its size out")


@operation
def take(x: TensorLike, indices: TensorLike, axis: int = 0) -> Tensor:
    """Elements of x at integer indices along an axis: rows of an embedding, for instance."""
    t, index = as_tensor(x), as_tensor(indices)
    (k,) = axes_of(t, axis)
    if k == 0:
        return Tensor(node(Gather(0), t.node, index.node))
    moved = transpose(t, (k, *(a for a in range(t.ndim) if a != k)))
    picked = Tensor(node(Gather(0), moved.node, index.node))  # [I..., before..., after...]
    rank = index.ndim
    before = tuple(range(rank, rank + k))
    return transpose(picked, (*before, *range(rank), *range(rank + k, picked.ndim)))


@operation
def pick(x: TensorLike, labels: TensorLike) -> Tensor:
    """One element for each row along the last axis: x[..., labels[...]]."""
    t, index = as_tensor(x), as_tensor(labels)
    return Tensor(node(Gather(t.ndim - 1), t.node, index.node))


@operation
def one_hot(labels: TensorLike, classes: int, dtype: object = "float32") -> Tensor:
    """1 at each label, else 0, along a new last axis."""
    t = as_tensor(labels)
    if not t.dtype.is_integer:
        raise DTypeError(f"the labels of one_hot are {t.node.type}", fix='cast them: labels.astype("int64")')
    shape = (*t.shape, classes)
    wide = expand(node(Reshape((*t.shape, 1)), t.node), shape)
    return cast(Tensor(elementwise("equal", wide, node(Iota(shape, t.ndim, t.dtype)))), dtype)
