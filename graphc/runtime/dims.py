"""Where the sizes of named dimensions come from: the arguments of a call.

>>> from graphc.lang.tensor import input
>>> dim_sources([input("x", ("N", 4)).node, input("y", ("M", "N")).node])
(('N', 0, 0), ('M', 1, 0))
"""

from __future__ import annotations

from collections.abc import Sequence

from graphc.errors import ShapeError
from graphc.ir.dims import Dim
from graphc.ir.node import Node


def dim_name(d: object) -> str | None:
    """The name, where a dimension is a name and nothing else."""
    text = str(d)
    return text if isinstance(d, Dim) and text.isidentifier() else None


def dim_sources(inputs: Sequence[Node]) -> tuple[tuple[str, int, int], ...]:
    """(name, argument, axis) for every named dimension, at its first plain appearance.

    Raises ShapeError for a name that appears in sums or products only: its size could not be told.
    """
    found: dict[str, tuple[str, int, int]] = {}
    for k, n in enumerate(inputs):
        for axis, d in enumerate(n.type.shape):
            name = dim_name(d)
            if name is not None and name not in found:
                found[name] = (name, k, axis)
    for n in inputs:
        for name in n.type.dims:
            if name not in found:
                raise ShapeError(
                    f"the size of {name} cannot be told from the arguments",
                    why=f"it appears only inside other dimensions: {n.type}",
                    fix=f"add an input with an axis of the size {name} alone",
                )
    return tuple(found.values())
