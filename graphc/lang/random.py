"""Counter-based random numbers: a pure function of a key and of the place in the tensor.

The same key gives the same numbers on every back end, in every process and at every batch size, and the
backward pass sees what the forward pass saw.  A key is an int64 scalar; any two differ in all that they give.

| function | of the random words of each element |
|------------------------|------------------------------------------------------------------------|
| `random_bits`          | 32 or 64 of them, as a signed integer |
| `random_uniform`       | 24 bits (float32) or 53 (float64) × 2^-24 or 2^-53, scaled to [low, high) |
| `random_normal`        | √(-2 log u) cos(2πv), Box and Muller, from a u above 0 of 32 or 53 bits |
| `random_bernoulli`     | u < p |
| `random_integers`      | low + (32 bits · (high - low)) >> 32 |
| `random_categorical`   | argmax of logits - log(-log u), Gumbel |
| `random_permutation`   | the rank of 64 bits among the others |
| `random_fold_in`, `random_split` | keys made from a key |
| `dropout`              | x / (1 - rate) where u >= rate, else 0 |

The words are those of the "squares" generator at the element's row-major number; its own key is squares of
the user's key, made odd.  All is wrapping 64-bit integer arithmetic, so bits and what is uniform are equal to
the last bit everywhere; what a logarithm and a cosine make of them is equal to a few ulp.  One key is for one
tensor: make others by `random_split`.  Gradients flow to mean, std, low, high and x, not to probabilities.

Source: B. Widynski, Squares: A Fast Counter-Based RNG, arXiv:2004.06278 (squares32 and squares64).

>>> import graphc as gc
>>> key = gc.input("key", dtype="int64")
>>> u = random_uniform(key, (2, 3), "float32")
>>> fn = gc.compile([key], u, backend="reference")
>>> bool((fn(1) != fn(2)).all()), bool(((fn(1) >= 0) & (fn(1) < 1)).all())
(True, True)
"""

from __future__ import annotations

import math
from typing import TypeAlias

from graphc.errors import ArgumentError, DTypeError
from graphc.ir.dims import Dim, Index
from graphc.ir.node import node
from graphc.ir.types import DType, Shape, dtype_of, shape_of
from graphc.lang.apply import apply, as_float, broadcast_to, cast, size_as
from graphc.lang.indexing import take
from graphc.lang.reductions import argmax, axes_of
from graphc.lang.source import operation
from graphc.lang.tensor import ShapeLike, Tensor, TensorLike, as_tensor
from graphc.ops.leaves import Iota
from graphc.ops.rank import Rank

__all__ = [
    "dropout",
    "random_bernoulli",
    "random_bits",
    "random_categorical",
    "random_fold_in",
    "random_integers",
    "random_normal",
    "random_permutation",
    "random_split",
    "random_uniform",
]

Key: TypeAlias = Tensor | int

# Keys of squares are odd, their hexadecimal digits well mixed.  Numbers and keys come from different streams.
_NUMBERS = 0x548C9DECBCE65297
_KEYS = 0x3D1B58FB9A762C4D
_HALF = 1 << 32


@operation
def random_bits(key: Key, shape: ShapeLike, dtype: object = "int64") -> Tensor:
    """Integers of a shape, all of whose bits are random: int32 or int64."""
    kind, size = dtype_of(dtype), shape_of(shape)
    if not kind.is_integer:
        raise DTypeError(f"random bits are int32 or int64, not {kind}")
    if kind is DType.I64:
        return _word(key, size)
    return cast(apply("floor_divide", _squares(_counter(size), _mixed(key), 4)[0], _HALF), kind)


@operation
def random_uniform(
    key: Key, shape: ShapeLike, dtype: object = "float32", low: TensorLike = 0.0, high: TensorLike = 1.0
) -> Tensor:
    """Numbers in [low, high), one for each element of a shape; float32 has 24 random bits, float64 53.

    low and high may be tensors, and have gradients.  Rounding of low + (high - low) u may give `high` itself.
    """
    kind, size = _floating(dtype), shape_of(shape)
    if kind is DType.F32:
        u = apply("mul", cast(_high(key, size, 24), kind), 2.0**-24)
    else:
        u = apply("mul", cast(_upper(_word(key, size), 53), kind), 2.0**-53)
    if _is(low, 0.0) and _is(high, 1.0):
        return u
    low, high = _like(low, kind), _like(high, kind)
    return apply("add", apply("mul", u, apply("sub", high, low)), low)


@operation
def random_normal(
    key: Key, shape: ShapeLike, dtype: object = "float32", mean: TensorLike = 0.0, std: TensorLike = 1.0
) -> Tensor:
    """Normal numbers: mean + std z, so that mean and std, which may be tensors, have gradients.

    float32 reaches 6.7 standard deviations, float64 8.6: the ends of what 2^32 and 2^53 numbers can show.
    """
    kind, size = _floating(dtype), shape_of(shape)
    bits = 32 if kind is DType.F32 else 53
    if kind is DType.F32:  # both numbers from one word
        word = _word(key, size)
        first, second = _upper(word, 32), apply("bitwise_and", word, 2**24 - 1)
    else:
        twice, mixed = apply("mul", _counter(size), 2), _mixed(key)
        first, second = (_upper(_squares(c, mixed, 5)[1], 53) for c in (twice, apply("add", twice, 1)))
    above = apply("mul", apply("add", cast(first, kind), 0.5), 2.0**-bits)
    radius = apply("sqrt", apply("mul", apply("log", above), -2.0))
    turn = apply("mul", cast(second, kind), 2 * math.pi * 2.0 ** -(24 if kind is DType.F32 else 53))
    z = apply("mul", radius, apply("cos", turn))
    if not _is(std, 1.0):
        z = apply("mul", z, _like(std, kind))
    return z if _is(mean, 0.0) else apply("add", z, _like(mean, kind))


@operation
def random_bernoulli(key: Key, p: TensorLike = 0.5, shape: ShapeLike | None = None) -> Tensor:
    """True with probability p, as bool; the shape is that of p unless given.  p counts to 2^-24, float64 to 2^-53."""
    chance = _like(p, DType.F32) if isinstance(p, (int, float)) else as_float(p)
    size = chance.shape if shape is None else shape_of(shape)
    return apply("less", random_uniform(key, size, chance.dtype), chance)


@operation
def random_integers(key: Key, shape: ShapeLike, low: int, high: int, dtype: object = "int64") -> Tensor:
    """Integers from low to high - 1; of a range of r numbers each is met with 1/r to within 2^-32."""
    kind = dtype_of(dtype)
    if not kind.is_integer:
        raise DTypeError(f"random integers are int32 or int64, not {kind}")
    if not 0 < high - low <= 2**31:
        raise ArgumentError(
            f"there are no random integers from {low} to below {high}", why="the range is 1 to 2^31 numbers"
        )
    scaled = apply("floor_divide", apply("mul", _high(key, shape_of(shape), 32), high - low), _HALF)
    return cast(apply("add", scaled, low), kind)


@operation
def random_categorical(key: Key, logits: TensorLike, axis: int = -1) -> Tensor:
    """One class for each row of logits along an axis, with the probabilities softmax(logits), as int64."""
    scores = as_float(logits)
    kind, bits = scores.dtype, 23 if scores.dtype is DType.F32 else 52
    word = _high(key, scores.shape, 23) if kind is DType.F32 else _upper(_word(key, scores.shape), 52)
    # One bit less than there is room for, so that u + 1/2 is exact, and neither 0 nor 1.
    u = apply("mul", apply("add", cast(word, kind), 0.5), 2.0**-bits)
    gumbel = apply("neg", apply("log", apply("neg", apply("log", u))))
    return argmax(apply("add", scores, gumbel), axis)


@operation
def random_permutation(key: Key, x: TensorLike | str | Dim, axis: int = 0) -> Tensor:
    """The numbers 0 … n-1 in random order, as int64; or the slices of a tensor along an axis in random order.

    x is n, a number or a named dimension, or a tensor.  It takes n² comparisons.
    """
    if isinstance(x, (int, str, Dim)):
        if isinstance(x, int) and x < 0:
            raise ArgumentError(f"there is no permutation of {x} numbers")
        return Tensor(node(Rank(0, False), _word(key, shape_of((x,))).node))
    t = as_tensor(x)
    (k,) = axes_of(t, axis)
    return take(t, random_permutation(key, t.shape[k]), axis=k)


@operation
def random_fold_in(key: Key, data: TensorLike) -> Tensor:
    """Another key for each integer of `data`: the number of a step, of a layer, or an array of such."""
    t = as_tensor(data, DType.I64)
    if not t.dtype.is_integer:
        raise DTypeError(f"what is folded into a key is an integer, not {t.node.type}")
    return _squares(cast(t, DType.I64), _mixed(key, _KEYS), 5)[1]


@operation
def random_split(key: Key, num: int | str | Dim = 2) -> Tensor:
    """`num` new keys, as int64 [num]: key[0], key[1], ... are as good as different keys from the start."""
    return random_fold_in(key, Tensor(node(Iota(shape_of((num,)), 0, DType.I64))))


@operation
def dropout(x: TensorLike, rate: float, key: Key) -> Tensor:
    """x / (1 - rate) with probability 1 - rate, else 0, for each element; the same places in the gradient.

    (N. Srivastava et al., JMLR 15, 2014, in its inverted form.)
    """
    if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0.0 <= rate < 1.0:
        raise ArgumentError(f"the rate of a dropout must be at least 0 and less than 1, not {rate!r}")
    t = as_float(x)
    if rate == 0.0:
        return t
    kept = apply("less_equal", float(rate), random_uniform(key, t.shape, t.dtype))
    return apply("where", kept, apply("mul", t, 1.0 / (1.0 - rate)), 0.0)


# Words.


def _squares(counter: Tensor, key: Tensor, rounds: int) -> tuple[Tensor, Tensor]:
    """The state after `rounds` rounds, and with the last one's upper half folded into the one before's word.

    The first is squares32 in its upper 32 bits after 4 rounds, the second squares64 after 5.
    """
    key = broadcast_to(key, counter.shape)
    y = apply("mul", counter, key)
    z = apply("add", y, key)
    state = before = y
    for k in range(rounds):
        turned = state if k == 0 else _exchanged(state)
        before, state = state, apply("add", apply("mul", turned, turned), z if k % 2 else y)
    return state, apply("bitwise_xor", before, _upper(state, 32))


def _word(key: Key, shape: Shape) -> Tensor:
    """64 random bits for each element."""
    return _squares(_counter(shape), _mixed(key), 5)[1]


def _high(key: Key, shape: Shape, bits: int) -> Tensor:
    """At most 32 random bits for each element, as a number from 0 to 2^bits - 1."""
    return _upper(_squares(_counter(shape), _mixed(key), 4)[0], bits)


def _mixed(key: Key, stream: int = _NUMBERS) -> Tensor:
    """The key of squares that a user's key stands for: odd, and random in all other bits."""
    k = as_tensor(key, DType.I64)
    if not k.dtype.is_integer or k.ndim != 0:
        raise DTypeError(f"a random key is a scalar of dtype int64, not {k.node.type}")
    mixed = _squares(cast(k, DType.I64), as_tensor(stream, DType.I64), 5)[1]
    return apply("bitwise_or", mixed, 1)


def _upper(x: Tensor, bits: int) -> Tensor:
    """The uppermost bits of 64, as a number from 0 to 2^bits - 1."""
    return apply("logical_right_shift", x, 64 - bits)


def _exchanged(x: Tensor) -> Tensor:
    """The two halves of 64 bits, exchanged."""
    return apply("bitwise_or", apply("left_shift", x, 32), _upper(x, 32))


def _counter(shape: Shape) -> Tensor:
    """The number of each element in row-major order, as int64."""
    total: Tensor | None = None
    stride: Index = 1
    for axis in reversed(range(len(shape))):
        line = Tensor(node(Iota(shape, axis, DType.I64)))
        part = line if stride == 1 else apply("mul", line, size_as(stride, DType.I64))
        total = part if total is None else apply("add", total, part)
        stride = shape[axis] * stride
    return size_as(0, DType.I64) if total is None else total


# Numbers.


def _floating(dtype: object) -> DType:
    kind = dtype_of(dtype)
    if not kind.is_float:
        raise DTypeError(f"random numbers are floating point, not {kind}")
    return kind


def _is(x: TensorLike, value: float) -> bool:
    return isinstance(x, (int, float)) and x == value


def _like(x: TensorLike, kind: DType) -> Tensor:
    """An operand in the dtype of the numbers."""
    return cast(as_tensor(x, kind), kind)
