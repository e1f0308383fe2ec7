"""Arrays that a user hands to a model, checked against its inputs and made fit for the compiled function.

Numbers are converted where that loses nothing that matters (float64 to a model's float32, integers to
floats).  Whatever could be meant in two ways is refused: labels that are no integers, targets of another
shape, NaN.

>>> from graphc.lang.tensor import input
>>> as_input(input("x", ("N", 2), "float32"), [[1, 2], [3, 4]], finite=True).dtype
dtype('float32')
"""

from __future__ import annotations

import numpy as np

from graphc.errors import ArgumentError
from graphc.ir.types import Array, DType, shape_text
from graphc.lang.tensor import Tensor
from graphc.ops.leaves import Input


def as_array(what: str, value: object) -> Array:
    """Anything that NumPy can read, as an array of numbers."""
    try:
        array = np.asarray(value)
    except ValueError:
        raise ArgumentError(
            f"{what} has rows of different lengths", fix="make it a rectangular array"
        ) from None
    if array.dtype.kind not in "biuf":
        raise ArgumentError(f"{what} is of dtype {array.dtype}", why="a model takes numbers")
    return array


def as_input(tensor: Tensor, value: object, *, finite: bool) -> Array:
    """Examples for an input [N, ...]: the features' shape must fit, the dtype is converted."""
    name, wanted = f"`{title(tensor)}`", tensor.shape[1:]
    array = as_array(name, value)
    named = [isinstance(d, int) for d in wanted]
    fits = array.ndim == tensor.ndim and all(
        not known or size == d for known, size, d in zip(named, array.shape[1:], wanted, strict=True)
    )
    if not fits:
        raise ArgumentError(
            f"{name} takes examples of shape {shape_text(wanted)}, and the array is {list(array.shape)}",
            why="the first axis counts the examples, the others must be those of the input",
            fix=_reshape_hint(array, tensor),
        )
    if tensor.dtype.is_integer and array.dtype.kind == "f":
        raise ArgumentError(f"{name} is {tensor.node.type}, and the array is of dtype {array.dtype}")
    if finite:
        check_finite(name, array)
    return np.ascontiguousarray(array, dtype=tensor.dtype.numpy)


def as_targets(tensor: Tensor, value: object, outputs: Tensor, *, labels: bool) -> Array:
    """Targets: labels in 0..classes, or numbers of the outputs' shape."""
    if not labels:
        return as_input(tensor, value, finite=True)
    array = as_array("the labels", value)
    classes = outputs.shape[-1]
    if array.ndim != tensor.ndim or any(
        isinstance(d, int) and d != size for d, size in zip(tensor.shape[1:], array.shape[1:], strict=True)
    ):
        fix = f"give one integer for each example: shape {shape_text(tensor.shape)}"
        if array.ndim == tensor.ndim + 1 and array.shape[-1] == classes:
            fix = "turn one-hot rows into labels: T.argmax(axis=-1)"
        elif array.ndim == tensor.ndim + 1 and array.shape[-1] == 1:
            fix = "drop the last axis: T[..., 0]"
        raise ArgumentError(f"the labels are an array of shape {list(array.shape)}", fix=fix)
    check_finite("the labels", array)
    wrong = np.zeros(array.shape, bool) if array.dtype.kind != "f" else array != np.floor(array)
    why = "a label is an integer"
    if not wrong.any():
        wrong, why = (
            (array < 0) | (array >= classes),
            f"the model has {classes} classes, 0 to {int(str(classes)) - 1}",
        )
    if wrong.any():
        at = np.unravel_index(int(np.argmax(wrong)), array.shape)
        place = ", ".join(str(int(k)) for k in at)
        raise ArgumentError(f"the label at [{place}] is {array[at].item()}", why=why)
    return np.ascontiguousarray(array, dtype=DType.I64.numpy)


def check_finite(what: str, array: Array) -> None:
    """Raises ArgumentError with the place of the first NaN or infinity."""
    if array.dtype.kind != "f" or np.isfinite(np.sum(array)):
        return
    wrong = ~np.isfinite(array)
    if not wrong.any():  # finite numbers whose sum overflows
        return
    at = np.unravel_index(int(np.argmax(wrong)), array.shape)
    place = ", ".join(str(int(k)) for k in at)
    raise ArgumentError(
        f"{what}: {array[at].item()} at [{place}]",
        why=f"{int(wrong.sum())} of {array.size} values are not finite, and one spoils every parameter",
        fix="remove or replace them first",
    )


def title(tensor: Tensor) -> str:
    """The name of an input."""
    op = tensor.node.op
    return op.title if isinstance(op, Input) else tensor.name


def _reshape_hint(array: Array, tensor: Tensor) -> str:
    sizes = [d for d in tensor.shape[1:] if isinstance(d, int)]
    if len(sizes) != tensor.ndim - 1 or array.ndim == 0:
        return ""
    total = int(np.prod(sizes))
    shape = ", ".join(map(str, ("-1", *sizes)))
    if array.shape == tuple(sizes):
        return "for one example, add the first axis: x[None]"
    if total and array.size == len(array) * total:
        return f"reshape it: X.reshape({shape})"
    return ""
