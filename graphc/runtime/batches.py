"""A compiled function over the batches of large arrays, many of them in one native call.

The numbers are those of one call for each batch: it is the same code that runs.

>>> import graphc as gc
>>> x = gc.input("x", ("N", 2)); w = gc.param("w", (2,), dtype="float64", init="zeros")
>>> step = gc.compile([x], [gc.sum(x)], updates={w: w + gc.sum(x, axis=0)})
>>> batches = Batches.of(step, [np.arange(12.0).reshape(6, 2)], 2)
>>> batches.run(np.array([5, 0, 2, 1]), 0, 2), w.value         # rows 5 and 0, then 2 and 1
([array([22., 14.])], array([16., 20.]))
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from graphc.errors import InternalError
from graphc.ir.dims import Dim
from graphc.ir.types import Array
from graphc.kernel.turns import Results, Rows, Turns
from graphc.runtime.caller import Caller, Compiled, address, aligned
from graphc.runtime.function import Function


class Batches:
    """`size` rows of every array at a time, as the arguments of one function."""

    def __init__(
        self,
        caller: Caller,
        compiled: Compiled,
        loop: Callable[[Turns], None],
        arrays: Sequence[Array],
        size: int,
    ) -> None:
        self._caller, self._compiled, self._loop, self._size = caller, compiled, loop, size
        self._arrays = caller.apart(list(arrays))
        self._rooms = [aligned((size, *a.shape[1:]), a.dtype) for a in arrays]

    @staticmethod
    def of(function: object, arrays: Sequence[Array], size: int) -> Batches | None:
        """None where there is no native loop, or where the function would not take such rows as they are."""
        if not isinstance(function, Function):
            return None
        caller, types = function.caller, [n.type for n in function.graph.inputs]
        compiled = caller.compiled
        loop = None if compiled is None else compiled.executable.loop()
        if compiled is None or loop is None or not arrays or len(arrays) != len(types) or size < 1:
            return None
        for a, type in zip(arrays, types, strict=True):
            if type.rank == 0 or not isinstance(type.shape[0], Dim) or a.dtype != type.dtype.numpy:
                return None
            if not (a.flags.c_contiguous and a.flags.aligned and a.size and len(a) >= size):
                return None
        caller.arguments.prepared([a[:size] for a in arrays])  # raises where the shapes do not fit
        return Batches(caller, compiled, loop, arrays, size)

    @property
    def result_bytes(self) -> int:
        """The size of the results of one batch."""
        caller = self._caller
        with caller.lock:
            _, space = caller.workspace(self._compiled, self._rooms)
        sizes = zip(space.shapes, caller.output_dtypes, strict=True)
        return sum(math.prod(shape) * dtype.itemsize for shape, dtype in sizes)

    def run(self, order: Array | None, first: int, count: int) -> list[Array]:
        """`count` batches from row `first` on, in an order of the rows or as they come: each result, stacked."""
        rows, stop = len(self._arrays[0]), first + count * self._size
        if order is None:
            inside = 0 <= first <= stop <= rows
        else:
            order, first = np.ascontiguousarray(order[first:stop], np.int64), 0
            inside = len(order) == count * self._size and bool(((order >= 0) & (order < rows)).all())
        if count < 1 or not inside:
            raise InternalError(f"{count} batches of {self._size} do not lie in {rows} rows")
        caller, layout = self._caller, self._compiled.layout
        with caller.lock:
            _, space = caller.workspace(self._compiled, self._rooms)
            results = [
                np.empty((count, *s), d) for s, d in zip(space.shapes, caller.output_dtypes, strict=True)
            ]
            table = caller.table(self._compiled, space, self._rooms, results)
            given = zip(layout.inputs, self._arrays, self._rooms, strict=True)
            made = zip(layout.outputs, results, strict=True)
            turns = Turns(
                addresses=tuple(table),
                dims=tuple(space.dims),
                rows=tuple(Rows(k, address(a[first:]), a[:1].nbytes, address(room)) for k, a, room in given),
                results=tuple(Results(k, table[k], r[:1].nbytes) for k, r in made),
                size=self._size,
                count=count,
                order=0 if order is None else address(order),
            )
            self._loop(turns)
        return results
