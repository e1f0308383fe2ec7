"""Leaves of the graph: inputs, parameters, constants, and what is known from the shape alone.

| op | value |
|-----------|----------------------------------------------------------|
| `input`   | an argument of the compiled function |
| `param`   | a `Variable`: an array that lives between calls |
| `const`   | an array that is part of the graph |
| `iota`    | the index along one axis: iota {axis=1} of shape [2,3] is [[0,1,2],[0,1,2]] |
| `extent`  | a named dimension as a number |

>>> from graphc.ir.node import node
>>> str(node(Const.of(2.0)).type), node(Const.of(2.0)) is node(Const.of(2.0))
('f64[]', True)
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from graphc.errors import InternalError
from graphc.ir.dims import Index, evaluate
from graphc.ir.loops import Element, LoopBuilder
from graphc.ir.node import Node, Op
from graphc.ir.types import Array, DType, Shape, TensorType, dtype_of


@dataclass(frozen=True, slots=True, eq=False)
class Input(Op):
    """An argument.  Two inputs are different even where they have the same name."""

    name: ClassVar[str] = "input"
    title: str
    type: TensorType

    def infer(self, *operands: TensorType) -> TensorType:
        return self.type

    def latex(self, *operands: str) -> str:
        return symbol_latex(self.title)

    def evaluate(self, dims: Mapping[str, int], *operands: Array) -> Array:
        raise InternalError(f"the input {self.title} has no value of its own")

    def attributes(self) -> dict[str, object]:
        return {"name": self.title}


class Variable:
    """The array behind a parameter.  Replaced as a whole by `set`, updated in place by compiled functions."""

    __slots__ = ("trainable", "value")

    def __init__(self, value: Array, *, trainable: bool = True) -> None:
        self.value = np.asarray(value, order="C")  # ascontiguousarray would give a scalar an axis
        self.trainable = trainable


@dataclass(frozen=True, slots=True, eq=False)
class Param(Op):
    """A parameter: a leaf that holds a value."""

    name: ClassVar[str] = "param"
    title: str
    type: TensorType
    variable: Variable = field(repr=False)

    def infer(self, *operands: TensorType) -> TensorType:
        return self.type

    def latex(self, *operands: str) -> str:
        return symbol_latex(self.title)

    def evaluate(self, dims: Mapping[str, int], *operands: Array) -> Array:
        return self.variable.value

    def attributes(self) -> dict[str, object]:
        return {"name": self.title}


@dataclass(frozen=True, slots=True, eq=False)
class Const(Op):
    """A constant array; equal content is the same constant."""

    name: ClassVar[str] = "const"
    value: Array
    digest: str

    @staticmethod
    def of(value: object, dtype: object = None) -> Const:
        """A constant from anything that `numpy.asarray` takes."""
        kind = dtype_of(np.asarray(value).dtype if dtype is None else dtype)
        array = np.array(value, dtype=kind.numpy, order="C")
        array.flags.writeable = False
        content = hashlib.blake2b(f"{array.dtype}{array.shape}".encode(), digest_size=10)
        content.update(array.data)  # as it lies there: a copy of large weights would cost as much again
        return Const(array, content.hexdigest())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Const) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def infer(self, *operands: TensorType) -> TensorType:
        pairs = self.value.dtype == DType.BF16X2.numpy
        return TensorType(DType.BF16X2 if pairs else dtype_of(self.value.dtype), self.value.shape)

    def latex(self, *operands: str) -> str:
        if self.value.ndim == 0:
            v = self.value.item()
            return str(int(v)) if isinstance(v, float) and v.is_integer() and abs(v) < 1e9 else f"{v:.6g}"
        return rf"C_{{\text{{{self.digest[:4]}}}}}"

    def evaluate(self, dims: Mapping[str, int], *operands: Array) -> Array:
        return self.value

    def attributes(self) -> dict[str, object]:
        if self.value.size <= 16 and self.value.dtype != DType.BF16X2.numpy:
            return {"value": self.value.tolist()}
        return {"zlib": base64.b85encode(zlib.compress(self.value.tobytes(), 9)).decode()}

    def key(self) -> str:
        return f"const{self.digest}"

    def loops(self, node: Node, index: tuple[Index, ...], b: LoopBuilder) -> Element:
        return b.constant(self.value.item(), node.type.dtype)


@dataclass(frozen=True, slots=True)
class Iota(Op):
    """The index along `axis`, in a shape."""

    name: ClassVar[str] = "iota"
    shape: Shape
    axis: int
    dtype: DType

    def infer(self, *operands: TensorType) -> TensorType:
        return TensorType(self.dtype, self.shape)

    def latex(self, *operands: str) -> str:
        return rf"\iota_{{{self.axis}}}"

    def evaluate(self, dims: Mapping[str, int], *operands: Array) -> Array:
        shape = [evaluate(d, dims) for d in self.shape]
        view = [-1 if k == self.axis else 1 for k in range(len(shape))]
        line = np.arange(shape[self.axis], dtype=self.dtype.numpy).reshape(view)
        return np.broadcast_to(line, shape)

    def loops(self, node: Node, index: tuple[Index, ...], b: LoopBuilder) -> Element:
        return b.index_value(index[self.axis], self.dtype)


@dataclass(frozen=True, slots=True)
class Extent(Op):
    """A dimension as a scalar: the N of a mean over the batch."""

    name: ClassVar[str] = "extent"
    dim: Index
    dtype: DType

    def infer(self, *operands: TensorType) -> TensorType:
        return TensorType(self.dtype, ())

    def latex(self, *operands: str) -> str:
        return str(self.dim)

    def evaluate(self, dims: Mapping[str, int], *operands: Array) -> Array:
        return np.asarray(evaluate(self.dim, dims), dtype=self.dtype.numpy)

    def loops(self, node: Node, index: tuple[Index, ...], b: LoopBuilder) -> Element:
        return b.index_value(self.dim, self.dtype)


def symbol_latex(title: str) -> str:
    r"""A name as mathematics: `x` → x, `w1` → w_{1}, `W_hidden` → W_{\text{hidden}}, `loss` → \text{loss}."""
    head, _, tail = title.partition("_")
    digits = head.lstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    letters = head[: len(head) - len(digits)]
    base = letters if len(letters) == 1 else rf"\text{{{letters}}}"
    if letters in {
        "alpha",
        "beta",
        "gamma",
        "delta",
        "epsilon",
        "eta",
        "theta",
        "lambda",
        "mu",
        "sigma",
        "phi",
    }:
        base = rf"\{letters}"
    sub = digits + ("," if digits and tail else "")
    tail = tail.replace("_", r"\_")
    sub += tail if len(tail) <= 1 else rf"\text{{{tail}}}"
    return base + (f"_{{{sub}}}" if sub else "")
