"""Counter-based random numbers: a pure function of a key and of the place in the tensor.

The same key gives the same numbers on every back end and in every process, and the backward pass sees what the
forward pass saw.  Each element is the "squares" generator applied to a counter made of the key and the element's
row-major number: four rounds of x² + weyl with the halves exchanged, here in wrapping i64 arithmetic.

Source: B. Widynski, Squares: A Fast Counter-Based RNG, arXiv:2004.06278.

>>> import graphc as gc
>>> key = gc.input("key", dtype="int64")
>>> u = random_uniform(key, (2, 3), "float32")
>>> fn = gc.compile([key], u, backend="reference")
>>> bool((fn(1) != fn(2)).all()), bool(((fn(1) >= 0) & (fn(1) < 1)).all())
(True, True)
"""

from __future__ import annotations

from graphc.errors import DTypeError
from graphc.ir.dims import Index
from graphc.ir.node import node
from graphc.ir.types import DType, Shape, dtype_of, shape_of
from graphc.lang.apply import apply, broadcast_to, cast, size_as
from graphc.lang.source import operation
from graphc.lang.tensor import ShapeLike, Tensor
from graphc.ops.leaves import Iota

__all__ = [
    "random_uniform",
]

_WEYL = 0x548C9DECBCE65297  # odd, its hexadecimal digits well mixed: the paper's condition on a key
_HALF = 1 << 32
_COUNTERS_PER_KEY = 1 << 40


@operation
def random_uniform(key: Tensor, shape: ShapeLike, dtype: object = "float32") -> Tensor:
    """Numbers in [0, 1), one for each element of a shape; `key` is an int64 scalar.

    float32 has 24 random bits, float64 has 32.  One key serves up to 2^40 elements; take another key for
    each tensor and each step.
    """
    if key.dtype is not DType.I64 or key.ndim != 0:
        raise DTypeError(f"a random key is a scalar of dtype int64, not {key.node.type}")
    kind, size = dtype_of(dtype), shape_of(shape)
    if not kind.is_float:
        raise DTypeError(f"random numbers are floating point, not {kind}")
    base = apply("mul", key, _COUNTERS_PER_KEY)
    counter = apply("add", broadcast_to(base, size), _row_major(size))
    y = apply("mul", counter, _WEYL)
    z = apply("add", y, _WEYL)
    x = y
    for weyl in (y, z, y):
        x = _exchanged(apply("add", apply("mul", x, x), weyl))
    bits = _upper(apply("add", apply("mul", x, x), z))  # 32 random bits
    if kind is DType.F32:
        return apply("mul", cast(apply("floor_divide", bits, 1 << 8), kind), 2.0**-24)
    return apply("mul", cast(bits, kind), 2.0**-32)


def _upper(x: Tensor) -> Tensor:
    """The upper half of 64 bits, as a number from 0 to 2^32 - 1."""
    return apply("mod", apply("floor_divide", x, _HALF), _HALF)


def _exchanged(x: Tensor) -> Tensor:
    """The two halves of 64 bits, exchanged."""
    return apply("add", apply("mul", x, _HALF), _upper(x))


def _row_major(shape: Shape) -> Tensor:
    """The number of each element in row-major order, as int64."""
    total: Tensor | None = None
    stride: Index = 1
    for axis in reversed(range(len(shape))):
        line = Tensor(node(Iota(shape, axis, DType.I64)))
        part = line if stride == 1 else apply("mul", line, size_as(stride, DType.I64))
        total = part if total is None else apply("add", total, part)
        stride = shape[axis] * stride
    return size_as(0, DType.I64) if total is None else total
