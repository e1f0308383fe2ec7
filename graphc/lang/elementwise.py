"""One function for each row of the op table: `gc.tanh`, `gc.maximum`, `gc.where`, ...

They are made from the table, so that a new row is a new function.  NumPy's other names for the same functions
(`gc.arctan`, `gc.multiply`, ...) work too, where the row names one.

>>> from graphc.lang.tensor import input
>>> x = input("x", ("N",))
>>> function("tanh")(x)
Tensor(tanh, f64[N])
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from graphc.lang.apply import apply
from graphc.lang.source import operation
from graphc.lang.tensor import Tensor, TensorLike
from graphc.ops.row import Row
from graphc.ops.table import ROWS


@functools.cache
def names() -> dict[str, Row]:
    """Every name under which a row is known: its own, and NumPy's."""
    found = {row.name: row for row in ROWS.values()}
    for row in ROWS.values():
        if row.numpy_name:
            found.setdefault(row.numpy_name, row)
    return found


@functools.cache
def function(name: str) -> Callable[..., Tensor]:
    """The function of a row; KeyError for an unknown name."""
    row = names()[name]

    def call(*operands: TensorLike) -> Tensor:
        return apply(row.name, *operands)

    call.__name__ = call.__qualname__ = name
    signature = f"{name}({', '.join(row.operands)})"
    call.__doc__ = "\n\n".join(
        part for part in (f"{signature} = {row.maths}", row.doc, row.convention) if part
    )
    return operation(call)
