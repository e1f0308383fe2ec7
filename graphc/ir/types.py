"""Types of the graph: a dtype and a shape, inferred for every node and never passed by a caller.

```
type  ::= dtype "[" (dim ("," dim)*)? "]"       f32[N,784]   bool[3]   f64[]
dtype ::= "f32" | "f64" | "i32" | "i64" | "bool" | "bf16x2"
dim   ::= int | name | polynomial of names      (see graphc.ir.dims)
```

`bf16x2` is what the compiler itself stores operands of products in: two neighbours, each rounded to the upper half of
an f32, in one word (see `graphc.ops.pairs`).  Nobody declares a tensor of it, and nothing but products reads it.

>>> str(TensorType.of("float32", ("N", 784)))
'f32[N,784]'
>>> promote(DType.I32, DType.F32), promote(DType.F32, 2), promote(DType.I32, 0.5)        # NumPy 2's rules
(<DType.F64: 'f64'>, <DType.F32: 'f32'>, <DType.F64: 'f64'>)
>>> broadcast_shapes((("N"), 1), (3,)) == (Dim.of("N"), 3)
True
"""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from graphc.errors import DTypeError, ShapeError
from graphc.ir.dims import Dim, Index, names, product

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Shape: TypeAlias = tuple[Index, ...]


class DType(enum.Enum):
    """The element types.  The value is the short name that every printed form uses."""

    F32 = "f32"
    F64 = "f64"
    I32 = "i32"
    I64 = "i64"
    BOOL = "bool"
    BF16X2 = "bf16x2"

    @property
    def numpy(self) -> np.dtype[Any]:
        return np.dtype(_NUMPY[self])

    @property
    def size(self) -> int:
        """Bytes per element."""
        return int(self.numpy.itemsize)

    @property
    def is_float(self) -> bool:
        return self in (DType.F32, DType.F64)

    @property
    def is_integer(self) -> bool:
        return self in (DType.I32, DType.I64)

    def __str__(self) -> str:
        return self.value


_NUMPY = {
    DType.F32: "float32",
    DType.F64: "float64",
    DType.I32: "int32",
    DType.I64: "int64",
    DType.BOOL: "bool",
    DType.BF16X2: "uint32",
}

DECLARED = tuple(dtype for dtype in DType if dtype is not DType.BF16X2)
"""The dtypes that a tensor can be declared with."""

_BY_NUMPY = {dtype.numpy: dtype for dtype in DECLARED}


def dtype_of(spec: object) -> DType:
    """A DType from a DType, a short name, or anything that `numpy.dtype` takes."""
    if isinstance(spec, DType):
        return spec
    if isinstance(spec, str):
        for dtype in DECLARED:
            if spec == dtype.value:
                return dtype
    try:
        found = _BY_NUMPY.get(np.dtype(spec))  # type: ignore[call-overload]
    except TypeError:
        found = None
    if found is None:
        raise DTypeError(
            f"unknown dtype {spec!r}",
            why="graphc computes in float32, float64, int32, int64 and bool",
            fix='name one of them, for instance dtype="float32"',
        )
    return found


def printed_dtype(name: str) -> DType:
    """The DType that a printed form names: also the one that nobody declares."""
    return DType.BF16X2 if name == DType.BF16X2.value else dtype_of(name)


def promote(*operands: DType | bool | int | float) -> DType:
    """The common dtype of tensors and Python numbers, by NumPy 2's rules: a number takes the dtype of the tensors,
    unless it is of a higher kind (bool, int, float)."""
    return dtype_of(np.result_type(*(x.numpy if isinstance(x, DType) else x for x in operands)))


@dataclass(frozen=True, slots=True)
class TensorType:
    """A dtype and a shape; an empty shape is a scalar."""

    dtype: DType
    shape: Shape = ()

    @staticmethod
    def of(dtype: object, shape: Sequence[int | str | Dim] | int | str = ()) -> TensorType:
        """Build a type from what a user writes: `TensorType.of("float32", ("N", 784))`."""
        return TensorType(dtype_of(dtype), shape_of(shape))

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def elements(self) -> Index:
        """The number of elements."""
        return product(self.shape)

    @property
    def dims(self) -> tuple[str, ...]:
        """The named dimensions that the shape speaks of, sorted."""
        return tuple(sorted({n for d in self.shape for n in names(d)}))

    def with_shape(self, shape: Shape) -> TensorType:
        return TensorType(self.dtype, shape)

    def __str__(self) -> str:
        return f"{self.dtype}{shape_text(self.shape)}"


def shape_text(shape: Shape) -> str:
    return "[" + ",".join(map(str, shape)) + "]"


def shape_of(shape: Sequence[int | str | Dim] | int | str) -> Shape:
    """A shape from what a user writes; a string is a named dimension."""
    items: Sequence[int | str | Dim] = (shape,) if isinstance(shape, (int, str)) else shape
    result: list[Index] = []
    for item in items:
        if isinstance(item, str):
            if not re.fullmatch(r"[A-Za-z]\w*", item):
                raise ShapeError(f"{item!r} is no name for a dimension", fix='use an identifier, such as "N"')
            result.append(Dim.of(item))
        elif isinstance(item, Dim):
            result.append(item)
        elif isinstance(item, (int, np.integer)) and not isinstance(item, bool):
            if item < 0:
                raise ShapeError(
                    f"a dimension cannot be {item}", fix='use a size of 0 or more, or a name such as "N"'
                )
            result.append(int(item))
        else:
            raise ShapeError(f"{item!r} is no dimension", fix='use an int or a name such as "N"')
    return tuple(result)


def broadcast_shapes(*shapes: Sequence[Index | str]) -> Shape:
    """NumPy's broadcasting, with named dimensions: a name matches itself and 1.

    Raises ShapeError that names the first pair of dimensions (from the right) that do not fit.
    """
    canonical = [shape_of(list(s)) for s in shapes]
    rank = max((len(s) for s in canonical), default=0)
    result: list[Index] = []
    for k in range(1, rank + 1):
        current: Index = 1
        for shape in canonical:
            d = shape[-k] if k <= len(shape) else 1
            if current == 1:
                current = d
            elif d not in (1, current):
                place = "last dimensions" if k == 1 else f"dimensions {k} from the right"
                raise ShapeError(
                    f"shapes {' and '.join(shape_text(s) for s in canonical)} do not broadcast",
                    why=f"the {place} are {current} and {d}, and neither is 1",
                )
        result.append(current)
    return tuple(reversed(result))
