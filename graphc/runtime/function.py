"""The compiled function: NumPy in, NumPy out, and every level to look at.

>>> import graphc as gc
>>> x, y = gc.inputs("x y")
>>> fn = gc.compile([x, y], [x * y, x + y], backend="reference")
>>> fn(2.0, 3.0)
(array(6.), array(5.))
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence

import numpy as np

from graphc.errors import ArgumentError
from graphc.ir.dims import Dim, evaluate
from graphc.ir.graph import Graph, graph_text
from graphc.ir.node import Node
from graphc.ir.types import Array, shape_text
from graphc.ops.leaves import Input, Param
from graphc.passes.log import Log
from graphc.runtime import reference


class Function:
    """What `gc.compile` returns."""

    def __init__(
        self,
        graph: Graph,
        optimized: Graph,
        log: Log,
        *,
        backend: str,
        single: bool,
        disable: Collection[str],
        fast: bool,
        threads: int | None,
        cache: bool,
    ) -> None:
        self.graph, self.optimized, self.log = graph, optimized, log
        self.backend, self.single = backend, single
        self._lock = threading.Lock()

    def __call__(self, *args: object, **kwargs: object) -> Array | tuple[Array, ...]:
        """Run once: one argument for each input, in order or by name."""
        arrays = self.bind(args, kwargs)
        with self._lock:
            values = reference.evaluate(self.optimized, arrays)
            count = len(self.graph.outputs)
            for (target, _), value in zip(self.optimized.updates, values[count:], strict=True):
                assert isinstance(target.op, Param)
                target.op.variable.value[...] = value
        # Values may share memory with arguments or constants; results belong to the caller.
        results = tuple(np.array(v, order="C") for v in values[:count])
        return results[0] if self.single else results

    def bind(self, args: Sequence[object], kwargs: dict[str, object]) -> list[Array]:
        """Arguments as contiguous arrays of the right dtype and shape; raises ArgumentError."""
        names = [n.op.title for n in self.graph.inputs if isinstance(n.op, Input)]
        given = list(args)
        for name in names[len(given) :]:
            if name not in kwargs:
                raise ArgumentError(f"{self.graph.name} misses the argument `{name}`", fix=f"call it with ({', '.join(names)})")
            given.append(kwargs.pop(name))
        if len(given) > len(names) or kwargs:
            extra = f"`{next(iter(kwargs))}`" if kwargs else f"{len(given)} of them"
            raise ArgumentError(f"{self.graph.name} takes {len(names)} arguments ({', '.join(names)}), and got {extra}")
        dims: dict[str, int] = {}
        return [_checked(n, name, value, dims) for n, name, value in zip(self.graph.inputs, names, given, strict=True)]

    def stage(self, name: str) -> str:
        """The text of a level: "graph", "optimized", ..."""
        if name == "graph":
            return graph_text(self.graph, sources=True)
        if name == "optimized":
            return graph_text(self.optimized, sources=True)
        raise ArgumentError(f"the {self.backend} back end has no stage {name!r}", fix='use "graph" or "optimized"')


def _checked(n: Node, name: str, value: object, dims: dict[str, int]) -> Array:
    """One argument as an array, its named dimensions bound or compared."""
    wanted = n.type.dtype.numpy
    array = value if isinstance(value, np.ndarray) else np.asarray(value)
    if array.dtype != wanted:
        if isinstance(value, np.ndarray) or not np.can_cast(array.dtype, wanted, "same_kind"):
            raise ArgumentError(
                f"`{name}` is {n.type}, and the argument is of dtype {array.dtype}", fix=f"pass it as {name}.astype({str(wanted)!r})"
            )
        array = array.astype(wanted)
    fits = array.ndim == n.type.rank
    for d, size in zip(n.type.shape, array.shape, strict=False):
        if isinstance(d, Dim) and str(d).isidentifier():
            fits = fits and dims.setdefault(str(d), size) == size
        elif fits:
            fits = (d if isinstance(d, int) else evaluate(d, dims)) == size
    if not fits:
        known = "".join(f" ({k} is {v})" for k, v in dims.items() if k in n.type.dims)
        raise ArgumentError(
            f"`{name}` is {n.type}{known}, and the argument has the shape {shape_text(array.shape)}",
            why="its number of axes differs" if array.ndim != n.type.rank else "a dimension differs",
        )
    return np.ascontiguousarray(array).reshape(array.shape)
