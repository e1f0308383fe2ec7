"""Functions of the language, in NumPy's names and arguments.

Elementwise functions come from the op table: `graphc.lang.elementwise` makes one for each row.  Here are those
with an axis, a shape or a composition.

>>> from graphc.lang.tensor import input
>>> X = input("X", shape=("N", 784), dtype="float32")
>>> mean(X, axis=1).node.type
TensorType(dtype=<DType.F32: 'f32'>, shape=(N,))
"""

from __future__ import annotations

import builtins
from collections.abc import Sequence

from graphc.errors import ArgumentError, DTypeError, ShapeError
from graphc.ir.dims import Dim, Index, product
from graphc.ir.node import Node, node
from graphc.ir.types import DType, Shape, broadcast_shapes, dtype_of, promote, shape_of, shape_text
from graphc.lang.source import operation
from graphc.lang.tensor import Key, ShapeLike, Tensor, TensorLike, as_tensor
from graphc.ops.contract import Contract
from graphc.ops.elementwise import Cast, elementwise, table_row
from graphc.ops.gather import Gather
from graphc.ops.leaves import Const, Extent, Iota
from graphc.ops.reduce import Arg, Kind, Reduce
from graphc.ops.views import Concat, Expand, Pad, Reshape, Slice, Transpose

Axis = int | Sequence[int] | None

_VERBS = {
    "add": "add {} and {}",
    "sub": "subtract {1} from {0}",
    "mul": "multiply {} by {}",
    "div": "divide {} by {}",
}


def _named(t: Tensor) -> str:
    return f"`{t.name}`" if t.name else str(t.node.type)


def common(*operands: TensorLike) -> list[Tensor]:
    """Operands as tensors of one dtype; Python numbers take the dtype of the tensors, as in NumPy 2."""
    dtypes = [t.dtype for t in operands if isinstance(t, Tensor)]
    like = dtypes[0] if dtypes else DType.F64
    for d in dtypes[1:]:
        like = promote(like, d)
    tensors = [as_tensor(t, like) for t in operands]
    for t in tensors:
        like = promote(like, t.dtype)
    return [cast(t, like) for t in tensors]


def _broadcast(name: str, tensors: Sequence[Tensor]) -> list[Node]:
    """The nodes of tensors, expanded to their common shape."""
    try:
        shape = broadcast_shapes(*(t.shape for t in tensors))
    except ShapeError as error:
        types = [str(t.node.type) for t in tensors]
        verb = _VERBS.get(name, f"apply {name} to " + " and ".join(["{}"] * len(types))).format(*types)
        small = builtins.min(tensors, key=lambda t: t.ndim)
        large = builtins.max(tensors, key=lambda t: t.ndim)
        wanted = large.shape[large.ndim - builtins.max(1, small.ndim) :]
        fix = f"give {_named(small)} the shape {shape_text(wanted)}, or reshape it"
        raise ShapeError(f"cannot {verb}", why=error.why, fix=fix) from None
    return [expand(t.node, shape) for t in tensors]


def expand(n: Node, shape: Shape) -> Node:
    """A node broadcast to a shape; itself where it has that shape."""
    return n if n.type.shape == shape else node(Expand(shape), n)


def apply(name: str, *operands: TensorLike) -> Tensor:
    """Any row of the op table, with NumPy's promotion and broadcasting."""
    row = table_row(name)
    if len(operands) != len(row.operands):
        raise ArgumentError(
            f"{name} takes {len(row.operands)} operands ({', '.join(row.operands)}), not {len(operands)}"
        )
    if row.dtype == "select":
        condition = as_tensor(operands[0])
        if condition.dtype is not DType.BOOL:
            raise DTypeError(f"the condition of {name} is {condition.node.type}", fix="compare it: x != 0")
        tensors = [condition, *common(*operands[1:])]
    elif row.dtype == "logic":
        tensors = [cast(as_tensor(t, DType.BOOL), DType.BOOL) for t in operands]
    else:
        tensors = common(*operands)
        if row.dtype == "float" and not tensors[0].dtype.is_float:
            tensors = [cast(t, DType.F64) for t in tensors]
        elif row.dtype == "same" and tensors[0].dtype is DType.BOOL:
            raise DTypeError(f"cannot apply {name} to bool", fix='cast it first: x.astype("int64")')
    return Tensor(elementwise(name, *_broadcast(name, tensors)))


def unary(name: str, x: TensorLike) -> Tensor:
    return apply(name, x)


def binary(name: str, a: TensorLike, b: TensorLike) -> Tensor:
    return apply(name, a, b)


@operation
def power(x: TensorLike, y: TensorLike) -> Tensor:
    """x**y; small whole exponents become products, so that they are exact and differentiate simply."""
    if isinstance(y, (int, float)) and not isinstance(y, bool) and isinstance(x, Tensor) and x.dtype.is_float:
        if y == 2:
            return apply("square", x)
        if y == 1:
            return x
        if y == 0.5:
            return apply("sqrt", x)
        if y == -1:
            return apply("reciprocal", x)
    return apply("pow", x, y)


@operation
def cast(x: TensorLike, dtype: object) -> Tensor:
    """The same values in another dtype."""
    t, to = as_tensor(x), dtype_of(dtype)
    if t.dtype is to:
        return t
    if isinstance(t.node.op, Const):
        return Tensor(node(Const.of(t.node.op.value, to)), t.name, t.loc)
    return Tensor(node(Cast(to), t.node), t.name, t.loc)


def axes_of(x: Tensor, axis: Axis) -> tuple[int, ...]:
    """Axes as sorted non-negative numbers; None means all."""
    if axis is None:
        return tuple(range(x.ndim))
    wanted = (axis,) if isinstance(axis, int) else tuple(axis)
    found = []
    for a in wanted:
        if not -x.ndim <= a < x.ndim:
            raise ShapeError(
                f"axis {a} is out of bounds for {_named(x)}",
                why=f"it has {x.ndim} axes" if x.ndim else "it is a scalar",
            )
        found.append(a % x.ndim)
    if len(set(found)) != len(found):
        raise ShapeError(f"the axes {wanted} name one axis twice")
    return tuple(sorted(found))


def _reduce(kind: Kind, x: TensorLike, axis: Axis, keepdims: bool) -> Tensor:
    t = as_tensor(x)
    if kind == "sum" and t.dtype is DType.BOOL:
        t = cast(t, DType.I64)
    axes = axes_of(t, axis)
    if kind != "sum" and 0 in (t.shape[a] for a in axes):
        raise ShapeError(
            f"cannot take the {kind} of {t.node.type}", why="nothing is left to compare along an empty axis"
        )
    n = node(Reduce(kind, axes), t.node) if axes else t.node
    if keepdims:
        n = node(Reshape(tuple(1 if k in axes else d for k, d in enumerate(t.shape))), n)
    return Tensor(n)


@operation
def sum(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Σ over axes (all by default)."""
    return _reduce("sum", x, axis, keepdims)


@operation
def max(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The maximum over axes; NaN wins; the first of equal maxima takes the gradient."""
    return _reduce("max", x, axis, keepdims)


@operation
def min(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The minimum over axes; NaN wins; the first of equal minima takes the gradient."""
    return _reduce("min", x, axis, keepdims)


def size_as(dim: Index, dtype: DType) -> Tensor:
    """A dimension as a number: a constant, or known at run time where it is named."""
    if isinstance(dim, int):
        return Tensor(node(Const.of(dim, dtype)))
    return Tensor(node(Extent(dim, dtype)))


@operation
def mean(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The sum over axes, divided by the number of elements."""
    t = as_tensor(x)
    if not t.dtype.is_float:
        t = cast(t, DType.F64)
    axes = axes_of(t, axis)
    count = size_as(product(t.shape[a] for a in axes), t.dtype)
    return apply("div", _reduce("sum", t, axes, keepdims), count)


@operation
def argmax(x: TensorLike, axis: int | None = None) -> Tensor:
    """The index of the first maximum along an axis (of the flattened tensor by default), as int64."""
    return _arg("max", x, axis)


@operation
def argmin(x: TensorLike, axis: int | None = None) -> Tensor:
    """The index of the first minimum along an axis (of the flattened tensor by default), as int64."""
    return _arg("min", x, axis)


def _arg(kind: str, x: TensorLike, axis: int | None) -> Tensor:
    t = as_tensor(x)
    if axis is None:
        t, axis = reshape(t, (product(t.shape),)), 0
    (k,) = axes_of(t, axis)
    return Tensor(node(Arg("max" if kind == "max" else "min", k), t.node))


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
def broadcast_to(x: TensorLike, shape: ShapeLike) -> Tensor:
    """The tensor expanded to a shape by NumPy's rule."""
    return Tensor(expand(as_tensor(x).node, shape_of(shape)))


@operation
def expand_dims(x: TensorLike, axis: int) -> Tensor:
    """A new axis of length 1 at a position of the result."""
    t = as_tensor(x)
    if not -t.ndim - 1 <= axis <= t.ndim:
        raise ShapeError(f"axis {axis} is out of bounds for {_named(t)} with one more axis")
    k = axis % (t.ndim + 1)
    return Tensor(node(Reshape((*t.shape[:k], 1, *t.shape[k:])), t.node))


@operation
def squeeze(x: TensorLike, axis: Axis = None) -> Tensor:
    """Without axes of length 1 (all of them by default)."""
    t = as_tensor(x)
    axes = axes_of(t, axis) if axis is not None else tuple(k for k, d in enumerate(t.shape) if d == 1)
    if any(t.shape[a] != 1 for a in axes):
        raise ShapeError(f"cannot squeeze {_named(t)} along {axes}", why="only axes of length 1 can go")
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
        raise ShapeError(f"{used} indices for {_named(x)}", why=f"it has {x.ndim} axes")
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
    shape = (*t.shape, classes)
    wide = expand(node(Reshape((*t.shape, 1)), t.node), shape)
    return cast(Tensor(elementwise("equal", wide, node(Iota(shape, t.ndim, t.dtype)))), dtype)


@operation
def matmul(a: TensorLike, b: TensorLike) -> Tensor:
    """NumPy's matrix product: vectors, matrices, and stacks of matrices that broadcast."""
    x, y = common(a, b)
    if x.ndim == 0 or y.ndim == 0:
        raise ShapeError(
            f"cannot multiply {x.node.type} by {y.node.type} as matrices", fix="use * for scalars"
        )
    inner = (x.shape[-1], y.shape[-2] if y.ndim > 1 else y.shape[0])
    if inner[0] != inner[1]:
        raise ShapeError(
            f"cannot multiply {x.node.type} by {y.node.type} as matrices",
            why=f"the inner dimensions are {inner[0]} and {inner[1]}",
            fix=f"give {_named(y)} {inner[0]} rows, or transpose it: {y.name or 'b'}.T",
        )
    batch = broadcast_shapes(x.shape[:-2], y.shape[:-2])
    letters = "abcdefgh"[: len(batch)]
    left = "i" * (x.ndim > 1) + "j"
    right = "j" + "k" * (y.ndim > 1)
    lead_x, lead_y = letters, letters
    nx, ny = x.node, y.node
    if x.ndim > 2 or y.ndim > 2:
        # An operand without batch axes keeps none; otherwise both get all of them.
        lead_x = letters if x.ndim > 2 else ""
        lead_y = letters if y.ndim > 2 else ""
        if lead_x:
            nx = expand(nx, (*batch, *x.shape[-2:]))
        if lead_y:
            ny = expand(ny, (*batch, *y.shape[-2:]))
    result = letters + left[:-1] + right[1:]
    return Tensor(node(Contract(f"{lead_x}{left},{lead_y}{right}->{result}"), nx, ny))


@operation
def dot(a: TensorLike, b: TensorLike) -> Tensor:
    """NumPy's dot for scalars, vectors and matrices."""
    x, y = as_tensor(a), as_tensor(b)
    return apply("mul", x, y) if x.ndim == 0 or y.ndim == 0 else matmul(x, y)


@operation
def outer(a: TensorLike, b: TensorLike) -> Tensor:
    """All products of the elements of two vectors."""
    x, y = common(a, b)
    x, y = reshape(x, (-1,)), reshape(y, (-1,))
    return Tensor(node(Contract("i,j->ij"), x.node, y.node))


@operation
def zeros_like(x: TensorLike) -> Tensor:
    """Zeros of the same type."""
    t = as_tensor(x)
    return Tensor(expand(node(Const.of(0, t.dtype)), t.shape))


@operation
def softmax(x: TensorLike, axis: int = -1) -> Tensor:
    """exp(x) / Σ exp(x) along an axis, computed from x − max x."""
    t = _float(x)
    shifted = apply("sub", t, apply("stop_gradient", _reduce("max", t, axis, True)))
    e = apply("exp", shifted)
    return apply("div", e, _reduce("sum", e, axis, True))


@operation
def logsumexp(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """log Σ exp(x) over axes, computed from x − max x."""
    t = _float(x)
    # The value does not depend on the shift, so its gradient is zero: declared, not left to cancel.
    top = apply("stop_gradient", _reduce("max", t, axis, True))
    total = apply("log", _reduce("sum", apply("exp", apply("sub", t, top)), axis, True))
    result = apply("add", top, total)
    return result if keepdims else squeeze(result, axes_of(t, axis))


@operation
def log_softmax(x: TensorLike, axis: int = -1) -> Tensor:
    """x − logsumexp(x) along an axis."""
    t = _float(x)
    shifted = apply("sub", t, apply("stop_gradient", _reduce("max", t, axis, True)))
    return apply("sub", shifted, apply("log", _reduce("sum", apply("exp", shifted), axis, True)))


def _float(x: TensorLike) -> Tensor:
    t = as_tensor(x)
    return t if t.dtype.is_float else cast(t, DType.F64)
