"""First values of parameters.

| name                         | draw                                                                           |
|------------------------------|--------------------------------------------------------------------------------|
| `zeros`, `ones`              | constant                                                                       |
| `normal`                     | N(0, 0.05²)                                                                    |
| `truncated_normal`           | N(0, 0.05²), what is beyond two deviations drawn again                         |
| `uniform`                    | U(±0.05)                                                                       |
| `kaiming`, `kaiming_uniform` | N(0, 2/fan_in), U(±√(6/fan_in)): He et al., Delving Deep into Rectifiers (2015) |
| `glorot`, `glorot_normal`    | U(±√(6/(fan_in + fan_out))), N(0, 2/(fan_in + fan_out)): Glorot, Bengio (2010) |
| `lecun`, `lecun_uniform`     | N(0, 1/fan_in), U(±√(3/fan_in)): LeCun et al., Efficient BackProp (1998)       |
| `orthogonal`                 | a random rotation: Saxe et al., arXiv:1312.6120                                |

The names of Keras and PyTorch (`he_normal`, `xavier_uniform`, `random_normal`, ...) work too.

fan_in and fan_out of a matrix [in, out] are its sizes; of a kernel [out, in, *window], times the window.  A kernel
is orthogonal as the matrix [out, in·window]: the shorter of its rows and columns are orthonormal.
Generators are seeded by the seed and the parameter's name, so the same program starts from the same weights
in every process.

>>> initial_value("b", (3,), "float32", "zeros", 0)
array([0., 0., 0.], dtype=float32)
>>> w = initial_value("w", (2, 3), "float64", "orthogonal", 0)
>>> bool(np.allclose(w @ w.T, np.eye(2)))
True
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable

import numpy as np

from graphc.errors import ArgumentError, ShapeError
from graphc.ir.types import Array, Shape, dtype_of, shape_text

Draw = Callable[[np.random.Generator, tuple[int, ...]], Array]


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight array."""
    if len(shape) < 2:
        size = shape[0] if shape else 1
        return size, size
    if len(shape) == 2:
        return shape[0], shape[1]
    window = math.prod(shape[2:])
    return shape[1] * window, shape[0] * window


def _normal(variance: Callable[[int, int], float]) -> Draw:
    return lambda generator, shape: generator.normal(0.0, math.sqrt(variance(*fans(shape))), shape)


def _uniform(variance: Callable[[int, int], float]) -> Draw:
    def draw(generator: np.random.Generator, shape: tuple[int, ...]) -> Array:
        limit = math.sqrt(3.0 * variance(*fans(shape)))
        return generator.uniform(-limit, limit, shape)

    return draw


def _he(fan_in: int, fan_out: int) -> float:
    return 2.0 / max(1, fan_in)


def _glorot(fan_in: int, fan_out: int) -> float:
    return 2.0 / max(1, fan_in + fan_out)


def _lecun(fan_in: int, fan_out: int) -> float:
    return 1.0 / max(1, fan_in)


def _truncated(generator: np.random.Generator, shape: tuple[int, ...]) -> Array:
    array = generator.normal(size=shape)
    while (beyond := np.abs(array) > 2.0).any():
        array[beyond] = generator.normal(size=int(beyond.sum()))
    return 0.05 * array


def _orthogonal(generator: np.random.Generator, shape: tuple[int, ...]) -> Array:
    if len(shape) < 2:
        raise ShapeError(
            f"there is no orthogonal array of shape {shape_text(shape)}", why="it needs rows and columns"
        )
    rows, columns = shape[0], math.prod(shape[1:])
    # With the signs of R's diagonal, Q is uniform among all rotations (F. Mezzadri, arXiv:math-ph/0609050).
    q, r = np.linalg.qr(generator.normal(size=(max(rows, columns), min(rows, columns))))
    q = q * np.where(np.diagonal(r) < 0, -1.0, 1.0)
    return (q if rows >= columns else q.T).reshape(shape)


_DRAWS: dict[str, Draw] = {
    "zeros": lambda generator, shape: np.zeros(shape),
    "ones": lambda generator, shape: np.ones(shape),
    "normal": lambda generator, shape: generator.normal(0.0, 0.05, shape),
    "truncated_normal": _truncated,
    "uniform": lambda generator, shape: generator.uniform(-0.05, 0.05, shape),
    "kaiming": _normal(_he),
    "kaiming_uniform": _uniform(_he),
    "glorot": _uniform(_glorot),
    "glorot_normal": _normal(_glorot),
    "lecun": _normal(_lecun),
    "lecun_uniform": _uniform(_lecun),
    "orthogonal": _orthogonal,
}
_ALIASES = {
    "random_normal": "normal",
    "random_uniform": "uniform",
    "he": "kaiming",
    "he_normal": "kaiming",
    "he_uniform": "kaiming_uniform",
    "kaiming_normal": "kaiming",
    "glorot_uniform": "glorot",
    "lecun_normal": "lecun",
    "xavier": "glorot",
    "xavier_uniform": "glorot",
    "xavier_normal": "glorot_normal",
}
NAMES = tuple(_DRAWS)


def initial_value(name: str, shape: Shape | None, dtype: object, init: object, seed: int) -> Array:
    """The first value of a parameter; see the table of this module."""
    if not isinstance(init, str):
        array = np.array(init, dtype=None if dtype is None else dtype_of(dtype).numpy, order="C")
        array = array.astype(dtype_of(array.dtype).numpy, copy=False)
        concrete = None if shape is None else _concrete(name, shape)
        if concrete is None or array.shape == concrete:
            return array
        if array.ndim:
            raise ShapeError(
                f"the parameter {name} of shape {shape_text(concrete)} cannot start as an array of shape "
                f"{shape_text(array.shape)}",
                fix="give both the same shape, or leave `shape` out",
            )
        return np.full(concrete, array)
    if shape is None:
        raise ArgumentError(f"the parameter {name} needs a shape", fix=f'gc.param("{name}", shape=(3, 4))')
    size = _concrete(name, shape)
    kind = dtype_of("float32" if dtype is None else dtype).numpy
    draw = _DRAWS.get(_ALIASES.get(init, init))
    if draw is None:
        raise ArgumentError(f"unknown initialiser {init!r}", fix=f"use an array or one of {', '.join(NAMES)}")
    generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
    return draw(generator, size).astype(kind)


def _concrete(name: str, shape: Shape) -> tuple[int, ...]:
    result = []
    for d in shape:
        if not isinstance(d, int):
            raise ShapeError(
                f"the parameter {name} cannot have the shape {shape_text(shape)}",
                why=f"{d} has no size before the function is called",
                fix="give every dimension of a parameter a number",
            )
        result.append(d)
    return tuple(result)
