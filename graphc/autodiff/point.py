"""A point: values for the inputs of a graph, checked against their types.

What `at=` says to `gc.gradcheck`, `gc.backprop`, `gc.derive` and `gc.render`: a mapping from tensors, or from
names of inputs, to values.  Parameters take their own value where none is given.

>>> from graphc.lang.tensor import inputs
>>> x, y = inputs("x y")
>>> point = point_at([(x * y).node], {x: 2, "y": 3.5})
>>> [float(v) for v in point.values.values()]
[2.0, 3.5]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from graphc.errors import ArgumentError
from graphc.ir.dims import Dim, evaluate
from graphc.ir.evaluate import evaluate_nodes
from graphc.ir.node import Node, toposort
from graphc.ir.types import Array, TensorType, shape_text
from graphc.lang.tensor import Tensor
from graphc.ops.leaves import Input, Param

At = Mapping[Tensor, object] | Mapping[str, object] | Mapping[Tensor | str, object]


@dataclass(frozen=True, slots=True)
class Point:
    """A value for every input and parameter of a graph, and the sizes of its named dimensions."""

    values: dict[Node, Array]
    dims: dict[str, int]

    def evaluate(self, nodes: Sequence[Node]) -> dict[Node, Array]:
        """The values of nodes and of all that they are computed from."""
        return evaluate_nodes(toposort(nodes), self.values, self.dims)


def leaves(outputs: Sequence[Node]) -> list[Node]:
    """The inputs and parameters that outputs are computed from, in the order in which they are needed."""
    return [n for n in by_use(toposort(outputs)) if isinstance(n.op, (Input, Param))]


def by_use(order: Sequence[Node]) -> list[Node]:
    """What has no operands, ordered by who uses it first: of W2 @ (W1 @ x), first W1 and x, then W2."""
    found = {s: None for n in order for s in n.src if not s.src}
    return list(found | {n: None for n in order if not n.src})


def point_at(outputs: Sequence[Node], at: At | None) -> Point:
    """The point that `at` describes.

    Raises ArgumentError where a value is missing, is one too many, or does not fit the type of its input.
    """
    found = leaves(outputs)
    given = _by_node(found, at or {})
    values: dict[Node, Array] = {}
    dims: dict[str, int] = {}
    missing = [n for n in found if n not in given and isinstance(n.op, Input)]
    if missing:
        names = ", ".join(f"`{title(n)}`" for n in missing)
        example = ", ".join(f"{title(n)}: ..." for n in missing)
        plural = "s" if len(missing) > 1 else ""
        raise ArgumentError(
            f"no value is given for the input{plural} {names}", fix=f"add to it: at={{..., {example}}}"
        )
    for n in found:
        values[n] = _fitting(n, given[n], dims) if n in given else np.array(n.op.variable.value)  # type: ignore[attr-defined]
    return Point(values, dims)


def title(n: Node) -> str:
    """The name that an input or a parameter was given."""
    return str(n.op.attributes()["name"])


def _by_node(found: Sequence[Node], at: At) -> dict[Node, object]:
    """The values by node; raises ArgumentError for what is no input or parameter of the graph."""
    result: dict[Node, object] = {}
    names = ", ".join(f"`{title(n)}`" for n in found) or "none"
    for key, value in at.items():
        if isinstance(key, Tensor):
            matches = [n for n in found if n is key.node]
            what = f"`{key.name}`" if key.name else f"a {key.node.type}"
        else:
            matches = [n for n in found if title(n) == key]
            what = f"`{key}`"
        if len(matches) != 1:
            why = f"it depends on {names}" if not matches else f"{len(matches)} inputs have that name"
            raise ArgumentError(
                f"a value is given for {what}, which is no input of the function",
                why=why,
                fix="give values for inputs and parameters only",
            )
        result[matches[0]] = value
    return result


def _fitting(n: Node, value: object, dims: dict[str, int]) -> Array:
    """A value as an array of the node's type, its named dimensions bound or compared."""
    name, wanted = title(n), n.type.dtype.numpy
    try:
        array = np.asarray(value)
        fits = np.can_cast(array.dtype, wanted, "same_kind")
    except (TypeError, ValueError):
        raise ArgumentError(f"the value of `{name}` is no array of numbers: {value!r}") from None
    if not fits:
        raise ArgumentError(f"`{name}` is {n.type}, and its value is of dtype {array.dtype}")
    why = _misfit(n.type, array, dims)
    if why:
        raise ArgumentError(
            f"`{name}` is {n.type}, and its value has the shape {shape_text(array.shape)}", why=why
        )
    return array.astype(wanted)


def _misfit(type: TensorType, array: Array, dims: dict[str, int]) -> str:
    """Why an array has not the shape of a type; empty where it has.  Binds names that are seen first."""
    if array.ndim != type.rank:
        return f"it has {array.ndim} axes and needs {type.rank}"
    for axis, (d, size) in enumerate(zip(type.shape, array.shape, strict=True)):
        if isinstance(d, Dim) and str(d).isidentifier():
            if dims.setdefault(str(d), size) != size:
                return f"{d} is {dims[str(d)]} in another input, and {size} on axis {axis}"
        elif (expected := d if isinstance(d, int) else evaluate(d, dims)) != size:
            return f"axis {axis} is {size} long and should be {expected}"
    return ""
