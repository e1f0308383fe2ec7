"""What a model is given, checked: its inputs and outputs, its parameters, and arrays for each input.

>>> from graphc.nn import Input
>>> [a.dtype.name for a in examples_of([Input(2, "a"), Input(1, "b")], {"b": [[1]], "a": [[2, 3]]}, finite=True)]
['float32', 'float32']
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from graphc.errors import ArgumentError, GraphError
from graphc.ir.node import Node
from graphc.ir.types import Array
from graphc.lang.tensor import Parameter, Tensor
from graphc.nn.arrays import as_input, title
from graphc.ops.leaves import Param

Arrays = object
"""What stands for examples: an array, or for several inputs a sequence of arrays or a mapping by name."""


def examples_of(inputs: Sequence[Tensor], x: Arrays, *, finite: bool) -> list[Array]:
    """One array for each input, all of the same number of examples."""
    names = [title(t) for t in inputs]
    if isinstance(x, Mapping):
        if sorted(map(str, x)) != sorted(names):
            raise ArgumentError(f"the model takes {', '.join(names)}, and got {', '.join(map(str, x))}")
        given: list[object] = [x[name] for name in names]
    elif len(inputs) == 1:
        given = [x]
    else:
        given = list(x) if isinstance(x, (list, tuple)) else [x]
        if len(given) != len(names):
            raise ArgumentError(
                f"the model takes {len(names)} arrays, and got {len(given)}",
                fix=f"give a list: [{', '.join(names)}]",
            )
    arrays = [as_input(t, a, finite=finite) for t, a in zip(inputs, given, strict=True)]
    check_same_count(dict(zip(names, arrays, strict=True)))
    return arrays


def parameters_of(order: Iterable[Node]) -> tuple[Parameter, ...]:
    """The parameters of a graph, in its order; their names must differ."""
    found = {}
    for n in order:
        if isinstance(n.op, Param):
            if n.op.title in found:
                raise GraphError(
                    f"two parameters are called `{n.op.title}`",
                    why="layers are numbered from each input on, and weights are kept by name",
                    fix='name one of the layers: nn.Dense(8, name="left")',
                )
            found[n.op.title] = Parameter(n, n.op.title)
    return tuple(found.values())


def check_inputs(inputs: Sequence[Tensor], order: Sequence[Node], outputs: Tensor) -> None:
    """Raises ArgumentError where a model cannot have such inputs and outputs."""
    for t in inputs:
        if not isinstance(t, Tensor) or t.node.op.name != "input":
            raise ArgumentError(f"{t!r} is no input", fix="begin with nn.Input(...)")
        if t.ndim == 0 or t.shape[0] != inputs[0].shape[0] or isinstance(t.shape[0], int):
            raise ArgumentError(
                f"the input `{title(t)}` is {t.node.type}",
                why="the first dimension of all inputs of a model is the batch, which has a name and no size",
                fix='use nn.Input(shape), which puts "N" in front',
            )
    declared = {t.node for t in inputs}
    for n in order:
        if n.op.name == "input" and n not in declared:
            raise ArgumentError(
                f"the outputs need the input `{n.op.attributes()['name']}`, which is not among the inputs"
            )
    if outputs.ndim == 0 or outputs.shape[0] != inputs[0].shape[0]:
        raise ArgumentError(f"the outputs are {outputs.node.type}", why="they have lost the batch dimension")


def check_same_count(arrays: Mapping[str, Array]) -> None:
    """Raises ArgumentError where arrays, named as in the error, hold different numbers of examples."""
    counts = {name: len(a) for name, a in arrays.items()}
    if len(set(counts.values())) > 1:
        raise ArgumentError(
            "the arrays hold different numbers of examples",
            why=", ".join(f"`{k}` {v}" for k, v in counts.items()),
        )


def check_counts(**counts: int) -> None:
    """Raises ArgumentError where an argument is no positive integer."""
    for name, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
            raise ArgumentError(f"{name} must be a positive integer, not {value!r}")
