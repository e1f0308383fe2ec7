"""What all losses share: targets and outputs that fit each other, and how their values become one number.

>>> from graphc.lang.tensor import input
>>> reduced(input("e", ("N", 3)), "sum").shape
()
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from graphc.errors import ArgumentError, DTypeError, ShapeError
from graphc.ir.types import shape_text
from graphc.lang.apply import apply
from graphc.lang.reductions import mean, sum
from graphc.lang.tensor import Tensor

Reduction: TypeAlias = Literal["mean", "sum", "none"]

SMALLEST = 1e-7
"""How near to 0 a probability may come before its logarithm is taken."""


def reduced(values: Tensor, reduction: Reduction) -> Tensor:
    """The mean or the sum of the values of all examples, or all of them."""
    if reduction not in ("mean", "sum", "none"):
        raise ArgumentError(f"unknown reduction {reduction!r}", fix='use "mean", "sum" or "none"')
    return values if reduction == "none" else mean(values) if reduction == "mean" else sum(values)


def check_same_shape(name: str, y_true: Tensor, y_pred: Tensor) -> None:
    """Raises ShapeError where targets and outputs have not one shape."""
    # [N,1] and [N] would broadcast to [N,N]: a loss that trains, and means nothing.
    if y_true.shape != y_pred.shape:
        raise ShapeError(
            f"{name} compares {y_true.node.type} with {y_pred.node.type}",
            why="targets and outputs must have one shape; broadcasting here is nearly always a mistake",
            fix=f"reshape the targets to {shape_text(y_pred.shape)}",
        )


def check_rows(name: str, y_true: Tensor, y_pred: Tensor) -> None:
    """The same, and they must have a last axis, along which the loss is a sum."""
    check_same_shape(name, y_true, y_pred)
    if y_pred.ndim < 1:
        raise ShapeError(f"{name} compares rows, and the outputs are {y_pred.node.type}")


def check_labels(y_true: Tensor, y_pred: Tensor, outputs: str) -> None:
    """Raises DTypeError or ShapeError where there is not one integer label for each row of outputs."""
    if not y_true.dtype.is_integer:
        raise DTypeError(f"the labels are {y_true.node.type}", fix='give them as integers: dtype="int64"')
    if y_pred.ndim < 1 or y_true.shape != y_pred.shape[:-1]:
        raise ShapeError(
            f"cannot compare labels {shape_text(y_true.shape)} with {shape_text(y_pred.shape)} {outputs}",
            why=f"there must be one label for each row of {outputs}",
            fix=f"give the labels the shape {shape_text(y_pred.shape[:-1])}",
        )


def kept_from_zero(p: Tensor) -> Tensor:
    """A probability, or 1e-7 where it is smaller."""
    return apply("maximum", p, SMALLEST)
