"""The arguments of a compiled function: by place or by name, as contiguous arrays of the right dtype and shape.

>>> from graphc.lang.tensor import input
>>> x = input("x", ("N", 2), "float32")
>>> arguments = Arguments(Graph("f", (x.node,), (x.node,)))
>>> arguments.prepared((), {"x": [[1, 2], [3, 4]]})
[array([[1., 2.],
       [3., 4.]], dtype=float32)]
>>> arguments.dims(_)
{'N': 2}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from graphc.errors import ArgumentError
from graphc.ir.dims import Dim, evaluate
from graphc.ir.graph import Graph
from graphc.ir.node import Node
from graphc.ir.types import Array, shape_text
from graphc.lang.tensor import Tensor
from graphc.ops.leaves import Input
from graphc.runtime.dims import dim_sources


class Arguments:
    """What a graph wants to be given."""

    def __init__(self, graph: Graph) -> None:
        self._title, self.nodes = graph.name, graph.inputs
        self.names = tuple(n.op.title for n in graph.inputs if isinstance(n.op, Input))
        self.dtypes = tuple(n.type.dtype.numpy for n in graph.inputs)
        # A named dimension is read off one axis of one argument; all others are compared with it.
        self.dim_sources = dim_sources(graph.inputs)
        self._static = tuple(
            n.type.shape if all(isinstance(d, int) for d in n.type.shape) else None for n in graph.inputs
        )

    def dims(self, arrays: Sequence[Array]) -> dict[str, int]:
        """The sizes of the named dimensions."""
        return {name: arrays[k].shape[axis] for name, k, axis in self.dim_sources}

    def prepared(self, args: Sequence[object], kwargs: Mapping[str, object] = {}) -> list[Array]:
        """Arguments as contiguous arrays of the right dtype and shape, without a copy where they are; raises
        ArgumentError."""
        if kwargs or len(args) != len(self.names):
            args = self.by_place(args, kwargs)
        arrays: list[Array] = []
        for value, wanted, static in zip(args, self.dtypes, self._static, strict=True):
            # A number of the right kind becomes a scalar array at once; all else takes the careful way.
            a = (
                value
                if isinstance(value, np.ndarray)
                else np.asarray(value)
                if isinstance(value, float)
                else None
            )
            if (
                a is not None
                and a.dtype == wanted
                and a.shape == static
                and a.flags.c_contiguous
                and a.flags.aligned
            ):
                arrays.append(a)
            else:
                arrays.append(self._converted(len(arrays), value))
        if self.dim_sources:
            self.check_dims(arrays)
        return arrays

    def by_place(self, args: Sequence[object], kwargs: Mapping[str, object]) -> list[object]:
        """Arguments in the order of the inputs; raises ArgumentError where one is missing or not wanted."""
        names, given, rest = self.names, list(args), dict(kwargs)
        for name in names[len(given) :]:
            if name not in rest:
                raise ArgumentError(
                    f"{self._title} misses the argument `{name}`",
                    fix=f"call it with ({', '.join(names)})",
                )
            given.append(rest.pop(name))
        if len(given) > len(names) or rest:
            extra = f"`{next(iter(rest))}`" if rest else f"{len(given)} of them"
            raise ArgumentError(
                f"{self._title} takes {len(names)} arguments ({', '.join(names)}), and got {extra}"
            )
        return given

    def _converted(self, k: int, value: object) -> Array:
        """One argument as a contiguous array of its input's dtype and rank."""
        n, name, wanted = self.nodes[k], self.names[k], self.dtypes[k]
        if isinstance(value, Tensor):
            raise ArgumentError(
                f"`{name}` is {n.type}, and the argument is a tensor of the graph",
                why="a compiled function computes numbers from numbers",
                fix="pass an array",
            )
        try:
            array = np.asarray(value)
        except ValueError:
            array = np.asarray(None)
        if array.dtype.kind not in "biuf":
            short = isinstance(value, (str, type(None)))
            raise ArgumentError(
                f"`{name}` is {n.type}, and the argument is no array of real numbers",
                why=f"it is {value!r:.60}" if short else f"it is a {type(value).__name__}",
            )
        if array.dtype != wanted:
            if isinstance(value, np.ndarray) or not np.can_cast(array.dtype, wanted, "same_kind"):
                raise ArgumentError(
                    f"`{name}` is {n.type}, and the argument is of dtype {array.dtype}",
                    fix=f'pass {name}.astype("{wanted}")',
                )
            array = array.astype(wanted)
        if array.ndim != n.type.rank or any(
            isinstance(d, int) and d != size for d, size in zip(n.type.shape, array.shape, strict=True)
        ):
            raise self.misfit(n, name, array, {})
        return array if array.flags.c_contiguous and array.flags.aligned else np.array(array, order="C")

    def check_dims(self, arrays: list[Array]) -> None:
        """All axes with a named dimension have the size that its first axis gave it."""
        dims = self.dims(arrays)
        for n, name, a in zip(self.nodes, self.names, arrays, strict=True):
            for d, size in zip(n.type.shape, a.shape, strict=True):
                if isinstance(d, Dim) and evaluate(d, dims) != size:
                    raise self.misfit(n, name, a, dims)

    def misfit(self, n: Node, name: str, array: Array, dims: Mapping[str, int]) -> ArgumentError:
        why = f"it has {array.ndim} axes, not {n.type.rank}"
        if array.ndim == n.type.rank:
            for axis, (d, size) in enumerate(zip(n.type.shape, array.shape, strict=True)):
                if isinstance(d, int) and d != size:
                    why = f"axis {axis} is {size}, not {d}"
                elif isinstance(d, Dim) and dims and evaluate(d, dims) != size:
                    why = f"axis {axis} is {size}, not {d} = {evaluate(d, dims)}"
        return ArgumentError(
            f"`{name}` is {n.type}, and the argument has the shape {shape_text(array.shape)}", why=why
        )
