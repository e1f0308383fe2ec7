"""First values of parameters.

| name | draw |
|------------|---------------------------------------------------------------------------|
| `zeros`, `ones` | constant |
| `normal`   | N(0, 0.05²) |
| `kaiming`  | N(0, 2/fan_in): He et al., Delving Deep into Rectifiers (2015) |
| `glorot`   | U(±sqrt(6/(fan_in + fan_out))): Glorot and Bengio (2010) |

fan_in and fan_out of a matrix [in, out] are its sizes; of a kernel [out, in, *window], times the window.
Generators are seeded by the seed and the parameter's name, so the same program starts from the same weights
in every process.

>>> initial_value("b", (3,), "float32", "zeros", 0)
array([0., 0., 0.], dtype=float32)
"""

from __future__ import annotations

import math
import zlib

import numpy as np

from graphc.errors import ArgumentError, ShapeError
from graphc.ir.types import Array, Shape, dtype_of, shape_text

NAMES = ("zeros", "ones", "normal", "kaiming", "glorot")


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight array."""
    if len(shape) < 2:
        size = shape[0] if shape else 1
        return size, size
    if len(shape) == 2:
        return shape[0], shape[1]
    window = math.prod(shape[2:])
    return shape[1] * window, shape[0] * window


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
    if init == "zeros":
        return np.zeros(size, kind)
    if init == "ones":
        return np.ones(size, kind)
    generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
    fan_in, fan_out = fans(size)
    if init == "normal":
        return generator.normal(0.0, 0.05, size).astype(kind)
    if init == "kaiming":
        return generator.normal(0.0, math.sqrt(2.0 / max(1, fan_in)), size).astype(kind)
    if init == "glorot":
        limit = math.sqrt(6.0 / max(1, fan_in + fan_out))
        return generator.uniform(-limit, limit, size).astype(kind)
    raise ArgumentError(f"unknown initialiser {init!r}", fix=f"use an array or one of {', '.join(NAMES)}")


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
