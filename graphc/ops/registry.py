"""Every operation by the name that is printed, so that a graph can be read back from its text.

Rows of the op table come by themselves; a structural operation has a line in `STRUCTURAL`.  The attributes of
an operation are the fields of its class, so nothing here repeats them.

>>> graph = read_graph('''
... graph scaled
...   %0: f32[N,3] = input {name='x'}
...   %1: f32[N] = sum %0 {axes=(1,)}
...   return %1
... ''')
>>> graph.outputs[0].op
Reduce(kind='sum', axes=(1,))
"""

from __future__ import annotations

import base64
import functools
import zlib
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import cast

import numpy as np

from graphc.errors import DTypeError, GraphError
from graphc.ir.block import Block, Slot
from graphc.ir.dims import evaluate, parse
from graphc.ir.graph import Graph
from graphc.ir.node import Op
from graphc.ir.text import Operation, parse_graph
from graphc.ir.types import Array, TensorType, dtype_of
from graphc.ops.contract import Contract
from graphc.ops.control import Cond, Scan, While
from graphc.ops.conv import Conv
from graphc.ops.custom import CustomGradient
from graphc.ops.elementwise import Cast, Elementwise
from graphc.ops.gather import Gather, ScatterAdd
from graphc.ops.leaves import Const, Extent, Input, Iota, Param, Variable
from graphc.ops.linalg import Cholesky, TriangularSolve
from graphc.ops.lu import Lu, LuDet, LuSolve
from graphc.ops.pairs import Pairs
from graphc.ops.rank import Rank
from graphc.ops.recurrence import Recurrence, RunningArg
from graphc.ops.reduce import Arg, Reduce
from graphc.ops.table import ROWS
from graphc.ops.views import Concat, Expand, Pad, Reshape, Slice, Transpose
from graphc.ops.window import Window, WindowPick, WindowScatter
from graphc.ops.winograd import WinogradInput, WinogradOutput

STRUCTURAL: Mapping[str, tuple[type[Op], int | None]] = {
    "iota": (Iota, 0),
    "extent": (Extent, 0),
    "cast": (Cast, 1),
    "reshape": (Reshape, 1),
    "transpose": (Transpose, 1),
    "expand": (Expand, 1),
    "slice": (Slice, 1),
    "pad": (Pad, 1),
    "concat": (Concat, None),
    "sum": (Reduce, 1),
    "max": (Reduce, 1),
    "min": (Reduce, 1),
    "prod": (Reduce, 1),
    "argmax": (Arg, 1),
    "argmin": (Arg, 1),
    "recurrence": (Recurrence, 2),
    "running_argmax": (RunningArg, 1),
    "running_argmin": (RunningArg, 1),
    "rank": (Rank, 1),
    "bf16_pairs": (Pairs, 1),
    "contract": (Contract, 2),
    "conv": (Conv, 2),
    "window_sum": (Window, 1),
    "window_max": (Window, 1),
    "window_scatter": (WindowScatter, 2),
    "window_pick": (WindowPick, 2),
    "winograd_input": (WinogradInput, 1),
    "winograd_output": (WinogradOutput, 1),
    "custom_gradient": (CustomGradient, None),
    "gather": (Gather, 2),
    "scatter_add": (ScatterAdd, 2),
    "cholesky": (Cholesky, 1),
    "triangular_solve": (TriangularSolve, 2),
    "lu": (Lu, 1),
    "lu_solve": (LuSolve, 3),
    "lu_det": (LuDet, 2),
    "lu_logabsdet": (LuDet, 2),
    "lu_sign": (LuDet, 2),
    "scan": (Scan, None),
    "cond": (Cond, None),
    "while_loop": (While, None),
}
"""The class behind each printed name, and how many operands it takes (None: one or more)."""


def read_graph(text: str, *, source: str = "<graph>") -> Graph:
    """The graph that a text says; see `graphc.ir.text`.  Raises GraphError at the line and columns."""
    return parse_graph(text, operations(), source=source)


@functools.cache
def operations() -> Mapping[str, Operation]:
    """Every operation that a text can name."""
    found = {
        "input": Operation(0, lambda given, type: Input(_title(given), type)),
        "param": Operation(0, lambda given, type: Param(_title(given), type, Variable(_zeros(type)))),
        "const": Operation(0, lambda given, type: Const.of(_constant(given, type), type.dtype)),
    }
    found["slot"] = Operation(0, lambda given, type: Slot(_slot_index(given), type))
    for label, (cls, arity) in STRUCTURAL.items():
        found[label] = Operation(arity, functools.partial(_structural, label, cls))
    for row in ROWS.values():
        found[row.name] = Operation(row.arity, functools.partial(_elementwise, row.name))
    return found


def _elementwise(name: str, given: Mapping[str, object], type: TensorType) -> Op:
    _expect(name, given)
    return Elementwise(name)


def _structural(label: str, cls: type[Op], given: Mapping[str, object], type: TensorType) -> Op:
    every = {f.name: str(f.type) for f in fields(cls)}  # type: ignore[arg-type]
    declared = {name: annotation for name, annotation in every.items() if name not in cls.spoken}
    _expect(label, given, *declared)
    # What the label adds to the name of the class: the "max" of `window_max`.
    values: dict[str, object] = dict.fromkeys(cls.spoken, label.removeprefix(cls.name).lstrip("_"))
    for name, annotation in declared.items():
        try:
            values[name] = READERS.get(annotation, _word)(given[name])
        except (TypeError, ValueError, GraphError, DTypeError):
            what = f"{label} cannot have {name}={given[name]!r}"
            raise GraphError(what, why=f"{name} is of the type {annotation}") from None
    return cast("Callable[..., Op]", cls)(**values)


def _expect(label: str, given: Mapping[str, object], *names: str) -> None:
    if set(given) != set(names):
        takes = f"takes the attributes {', '.join(names)}" if names else "takes no attributes"
        raise GraphError(f"{label} {takes}", why=f"given: {', '.join(given) or 'none'}")


def _int(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(value)
    return value


def _float(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(value)
    return float(value)


def _word(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _items(value: object) -> tuple[object, ...]:
    if not isinstance(value, tuple):
        raise TypeError(value)
    return value


def _index(value: object) -> object:
    return parse(value) if isinstance(value, str) else _int(value)


def _bool(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(value)
    return value


def _block(value: object) -> Block:
    if not isinstance(value, Block):
        raise TypeError(value)
    return value


READERS: Mapping[str, Callable[[object], object]] = {
    "int": _int,
    "float": _float,
    "str": _word,
    "tuple[int, ...]": lambda value: tuple(_int(v) for v in _items(value)),
    "Index": _index,
    "Block": _block,
    "bool": _bool,
    "Shape": lambda value: tuple(_index(v) for v in _items(value)),
    "DType": lambda value: dtype_of(_word(value)),
}
"""How a field of an operation is read, by its annotation."""


def _title(given: Mapping[str, object]) -> str:
    _expect("a leaf", given, "name")
    return _word(given["name"])


def _slot_index(given: Mapping[str, object]) -> int:
    _expect("slot", given, "index")
    return _int(given["index"])


def _sizes(type: TensorType) -> list[int]:
    if type.dims:
        raise GraphError(f"a {type} holds no value", why="the size of a parameter or a constant is a number")
    return [evaluate(d, {}) for d in type.shape]


def _zeros(type: TensorType) -> Array:
    return np.zeros(_sizes(type), type.dtype.numpy)


def _constant(given: Mapping[str, object], type: TensorType) -> Array:
    """The array of a constant: a short one is written out, a long one as compressed bytes."""
    empty = _zeros(type)
    if "zlib" in given:
        _expect("a constant", given, "zlib")
        try:
            # Never more bytes than the type has, whatever the text says.
            data = zlib.decompressobj().decompress(base64.b85decode(_word(given["zlib"])), empty.nbytes + 1)
        except zlib.error as error:
            raise GraphError("the bytes of the constant are damaged", why=str(error)) from None
        if len(data) != empty.nbytes:
            raise GraphError(f"the bytes of the constant are not those of a {type}")
        return np.frombuffer(data, type.dtype.numpy).reshape(empty.shape)
    _expect("a constant", given, "value")
    array = np.asarray(given["value"])
    if array.size == empty.size == 0:
        return empty
    if not np.can_cast(array.dtype, empty.dtype, "same_kind") or array.shape != empty.shape:
        raise GraphError(f"the value of the constant is no {type}")
    return array.astype(empty.dtype)
