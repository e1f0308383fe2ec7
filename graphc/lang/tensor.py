"""Level 0, the language: handles on nodes, with operators.

A `Tensor` is a handle: it names a node and remembers where it was made.  Operators and functions infer types
at once, so a mistake is reported on the line that makes it.

>>> x, y, z = inputs("x y z")
>>> f = (x + y) * z
>>> f
Tensor(mul, f64[])
>>> f.T.shape, bool(f is f)
((), True)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import EllipsisType
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import numpy as np

from graphc.errors import ArgumentError, DTypeError, GraphcError, Loc
from graphc.ir.dims import Dim
from graphc.ir.node import Node, node
from graphc.ir.types import Array, Shape, TensorType, dtype_of, shape_of
from graphc.lang.source import operation, user_location
from graphc.ops.leaves import Const, Input, Param, Variable

if TYPE_CHECKING:
    from graphc.ir.types import DType

Scalar: TypeAlias = float | int | bool
TensorLike: TypeAlias = Union["Tensor", Scalar, Array, Sequence[Any]]
ShapeLike: TypeAlias = Sequence[int | str | Dim] | int | str
Key: TypeAlias = Union[int, slice, EllipsisType, "Tensor", Array, Sequence[int], None]


class Tensor:
    """A value in the graph.  Operators build new tensors; nothing is computed until it is compiled."""

    __slots__ = ("loc", "name", "node")
    __array_ufunc__ = None  # NumPy arrays leave operators with a tensor to the tensor

    def __init__(self, node: Node, name: str = "", loc: Loc | None = None) -> None:
        self.node, self.name, self.loc = node, name, loc

    @property
    def shape(self) -> Shape:
        return self.node.type.shape

    @property
    def dtype(self) -> DType:
        return self.node.type.dtype

    @property
    def ndim(self) -> int:
        return self.node.type.rank

    @property
    def T(self) -> Tensor:
        """The axes in reverse order."""
        return _shapes.transpose(self)

    def __repr__(self) -> str:
        label = f"{self.name}: " if self.name else ""
        return f"Tensor({label}{self.node.op.label}, {self.node.type})"

    def __bool__(self) -> bool:
        raise GraphcError(
            "a tensor has no truth value while the graph is built",
            where=user_location(),
            why="its value is known only when the compiled function runs",
            fix="choose inside the graph: gc.where(condition, a, b)",
        )

    def __float__(self) -> float:
        raise GraphcError(
            "a tensor has no value while the graph is built",
            where=user_location(),
            fix="compile it and call the function: gc.compile(inputs, tensor)(...)",
        )

    __int__ = __float__

    def __len__(self) -> int:
        if self.ndim == 0 or not isinstance(self.shape[0], int):
            raise ArgumentError(f"{self} has no length that is known now", where=user_location())
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        return iter([self[k] for k in range(len(self))])

    @operation
    def __getitem__(self, key: Key | tuple[Key, ...]) -> Tensor:
        return _indexing.getitem(self, key)

    @operation
    def __add__(self, other: TensorLike) -> Tensor:
        return _rows.binary("add", self, other)

    @operation
    def __radd__(self, other: TensorLike) -> Tensor:
        return _rows.binary("add", other, self)

    @operation
    def __sub__(self, other: TensorLike) -> Tensor:
        return _rows.binary("sub", self, other)

    @operation
    def __rsub__(self, other: TensorLike) -> Tensor:
        return _rows.binary("sub", other, self)

    @operation
    def __mul__(self, other: TensorLike) -> Tensor:
        return _rows.binary("mul", self, other)

    @operation
    def __rmul__(self, other: TensorLike) -> Tensor:
        return _rows.binary("mul", other, self)

    @operation
    def __truediv__(self, other: TensorLike) -> Tensor:
        return _rows.binary("div", self, other)

    @operation
    def __rtruediv__(self, other: TensorLike) -> Tensor:
        return _rows.binary("div", other, self)

    @operation
    def __floordiv__(self, other: TensorLike) -> Tensor:
        return _rows.binary("floor_divide", self, other)

    @operation
    def __rfloordiv__(self, other: TensorLike) -> Tensor:
        return _rows.binary("floor_divide", other, self)

    @operation
    def __mod__(self, other: TensorLike) -> Tensor:
        return _rows.binary("mod", self, other)

    @operation
    def __rmod__(self, other: TensorLike) -> Tensor:
        return _rows.binary("mod", other, self)

    @operation
    def __pow__(self, other: TensorLike) -> Tensor:
        return _rows.power(self, other)

    @operation
    def __rpow__(self, other: TensorLike) -> Tensor:
        return _rows.binary("pow", other, self)

    @operation
    def __matmul__(self, other: TensorLike) -> Tensor:
        return _products.matmul(self, other)

    @operation
    def __rmatmul__(self, other: TensorLike) -> Tensor:
        return _products.matmul(other, self)

    # Element by element, as in NumPy.  A tensor is still a key of a dict, and found there as the very object.
    __hash__ = object.__hash__

    @operation
    def __eq__(self, other: TensorLike) -> Tensor:  # type: ignore[override]
        return _rows.binary("equal", self, other)

    @operation
    def __ne__(self, other: TensorLike) -> Tensor:  # type: ignore[override]
        return _rows.binary("not_equal", self, other)

    @operation
    def __lt__(self, other: TensorLike) -> Tensor:
        return _rows.binary("less", self, other)

    @operation
    def __le__(self, other: TensorLike) -> Tensor:
        return _rows.binary("less_equal", self, other)

    @operation
    def __gt__(self, other: TensorLike) -> Tensor:
        return _rows.binary("greater", self, other)

    @operation
    def __ge__(self, other: TensorLike) -> Tensor:
        return _rows.binary("greater_equal", self, other)

    @operation
    def __and__(self, other: TensorLike) -> Tensor:
        return _rows.binary("bitwise_and", self, other)

    @operation
    def __rand__(self, other: TensorLike) -> Tensor:
        return _rows.binary("bitwise_and", other, self)

    @operation
    def __or__(self, other: TensorLike) -> Tensor:
        return _rows.binary("bitwise_or", self, other)

    @operation
    def __ror__(self, other: TensorLike) -> Tensor:
        return _rows.binary("bitwise_or", other, self)

    @operation
    def __xor__(self, other: TensorLike) -> Tensor:
        return _rows.binary("bitwise_xor", self, other)

    @operation
    def __rxor__(self, other: TensorLike) -> Tensor:
        return _rows.binary("bitwise_xor", other, self)

    @operation
    def __lshift__(self, other: TensorLike) -> Tensor:
        return _rows.binary("left_shift", self, other)

    @operation
    def __rlshift__(self, other: TensorLike) -> Tensor:
        return _rows.binary("left_shift", other, self)

    @operation
    def __rshift__(self, other: TensorLike) -> Tensor:
        return _rows.binary("right_shift", self, other)

    @operation
    def __rrshift__(self, other: TensorLike) -> Tensor:
        return _rows.binary("right_shift", other, self)

    @operation
    def __invert__(self) -> Tensor:
        return _rows.unary("bitwise_not", self)

    @operation
    def __neg__(self) -> Tensor:
        return _rows.unary("neg", self)

    def __pos__(self) -> Tensor:
        return self

    @operation
    def __abs__(self) -> Tensor:
        return _rows.unary("abs", self)

    def astype(self, dtype: object) -> Tensor:
        """The same values in another dtype."""
        return _rows.cast(self, dtype)

    def reshape(self, *shape: Any) -> Tensor:
        """See `gc.reshape`."""
        return _shapes.reshape(self, shape[0] if len(shape) == 1 else shape)

    def transpose(self, *axes: int) -> Tensor:
        """See `gc.transpose`."""
        return _shapes.transpose(self, axes or None)

    def sum(self, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Tensor:
        """See `gc.sum`."""
        return _reductions.sum(self, axis, keepdims)

    def mean(self, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Tensor:
        """See `gc.mean`."""
        return _reductions.mean(self, axis, keepdims)

    def max(self, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Tensor:
        """See `gc.max`."""
        return _reductions.max(self, axis, keepdims)

    def min(self, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Tensor:
        """See `gc.min`."""
        return _reductions.min(self, axis, keepdims)


class Parameter(Tensor):
    """A tensor that holds a value between calls; `value` reads and replaces it."""

    __slots__ = ()

    @property
    def variable(self) -> Variable:
        op = self.node.op
        assert isinstance(op, Param)
        return op.variable

    @property
    def value(self) -> Array:
        """The array itself, not a copy: compiled functions update it in place."""
        return self.variable.value

    @value.setter
    def value(self, new: object) -> None:
        array = np.array(new, dtype=self.dtype.numpy, order="C")
        if array.shape != self.shape:
            raise ArgumentError(
                f"the parameter {self.name} has the shape {list(self.shape)}, the new value {list(array.shape)}",
                where=user_location(),
            )
        self.variable.value[...] = array


def as_tensor(value: TensorLike, like: DType | None = None) -> Tensor:
    """A tensor from a tensor, a number (which takes the dtype `like` where it can) or an array."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, (bool, int, float)) and like is not None:
        kind = np.result_type(like.numpy, value)
        return Tensor(node(Const.of(value, kind)))
    try:
        return Tensor(node(Const.of(value)))
    except (DTypeError, ValueError, TypeError):
        raise ArgumentError(f"{value!r} is neither a tensor nor an array of numbers") from None


@operation
def input(name: str, shape: ShapeLike = (), dtype: object = "float64") -> Tensor:
    """An argument of the function to come; a string in the shape is a named dimension: `("N", 784)`."""
    return Tensor(node(Input(name, TensorType(dtype_of(dtype), shape_of(shape)))), name, user_location())


@operation
def inputs(names: str, shape: ShapeLike = (), dtype: object = "float64") -> tuple[Tensor, ...]:
    """Several inputs of one type: `x, y, z = gc.inputs("x y z")`."""
    return tuple(input(name, shape, dtype) for name in names.replace(",", " ").split())


@operation
def const(value: TensorLike, dtype: object = None) -> Tensor:
    """A constant array that is part of the graph."""
    if isinstance(value, Tensor):
        return value
    return Tensor(node(Const.of(value, dtype)), "", user_location())


@operation
def param(
    name: str,
    shape: ShapeLike | None = None,
    dtype: object = None,
    init: object = "zeros",
    *,
    seed: int = 0,
    trainable: bool = True,
) -> Parameter:
    """A parameter with a value of its own.

    `init` is an array, a number, or a name such as "zeros", "kaiming" or "orthogonal", of those in
    `graphc.lang.initializers`; a name draws from a generator that `seed` and `name` determine.  The shape must be
    concrete, the default dtype is float32 (or that of the array).
    """
    from graphc.lang.initializers import initial_value

    array = initial_value(name, None if shape is None else shape_of(shape), dtype, init, seed)
    variable = Variable(array, trainable=trainable)
    return Parameter(
        node(Param(name, TensorType.of(array.dtype, array.shape), variable)), name, user_location()
    )


# The functions build on this class and its operators on them, so they are imported when it is complete.
from graphc.lang import apply as _rows  # noqa: E402
from graphc.lang import indexing as _indexing  # noqa: E402
from graphc.lang import products as _products  # noqa: E402
from graphc.lang import reductions as _reductions  # noqa: E402
from graphc.lang import shapes as _shapes  # noqa: E402
