"""One function for each row of the op table: `gc.tanh`, `gc.maximum`, `gc.where`, ...

They are made from the table, so that a new row is a new function.  NumPy's other names for the same functions
(`gc.arctan`, `gc.multiply`, ...) work too, and those of PyTorch, JAX and Keras that the row names.  Operands are
given by place or by name; some have defaults.

>>> from graphc.lang.tensor import input
>>> x = input("x", ("N",))
>>> function("tanh")(x)
Tensor(tanh, f64[N])
>>> function("leaky_relu")(x, slope=0.1)
Tensor(leaky_relu, f64[N])
>>> print(inspect.signature(function("elu")))
(x, alpha=1)
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable

from graphc.errors import ArgumentError
from graphc.lang.apply import apply
from graphc.lang.source import operation
from graphc.lang.tensor import Tensor, TensorLike
from graphc.ops.row import Row
from graphc.ops.table import ROWS


@functools.cache
def names() -> dict[str, Row]:
    """Every name under which a row is known: its own, NumPy's, and its further ones."""
    found = {row.name: row for row in ROWS.values()}
    for row in ROWS.values():
        for name in (row.numpy_name, *row.aliases):
            if name:
                found.setdefault(name, row)
    return found


@functools.cache
def function(name: str) -> Callable[..., Tensor]:
    """The function of a row; KeyError for an unknown name."""
    row = names()[name]
    signature = inspect.Signature([_parameter(row, operand) for operand in row.operands])

    def call(*operands: TensorLike, **named: TensorLike) -> Tensor:
        try:
            given = signature.bind(*operands, **named)
        except TypeError as error:
            raise ArgumentError(
                f"{name} takes {len(row.operands)} operands ({', '.join(row.operands)}): {error}"
            ) from None
        given.apply_defaults()
        return apply(row.name, *given.args)

    call.__name__ = call.__qualname__ = name
    call.__signature__ = signature  # type: ignore[attr-defined]
    call.__doc__ = "\n\n".join(
        part for part in (f"{name}{signature} = {row.maths}", row.doc, row.convention) if part
    )
    return operation(call)


def _parameter(row: Row, operand: str) -> inspect.Parameter:
    default: object = inspect.Parameter.empty
    if operand in row.defaults:
        exact = row.defaults[operand]
        default = int(exact) if exact.denominator == 1 else float(exact)
    return inspect.Parameter(operand, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default)
