"""Level 1: the value of nodes by NumPy, each operation saying its own.

The first oracle of the runtime, the numbers of the teaching record and the differences of `gc.gradcheck` all
come from here.

>>> from graphc.ir.node import node, toposort
>>> from graphc.ir.types import TensorType
>>> from graphc.ops.elementwise import elementwise
>>> from graphc.ops.leaves import Input
>>> x = node(Input("x", TensorType.of("f64")))
>>> y = elementwise("mul", x, x)
>>> evaluate_nodes(toposort([y]), {x: np.array(3.0)}, {})[y].item()
9.0
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from graphc.errors import InternalError
from graphc.ir.block import Block, BlockOp, Family, family
from graphc.ir.dims import Dim
from graphc.ir.node import Node
from graphc.ir.types import Array


def bind_dims(inputs: Sequence[Node], arrays: Sequence[Array]) -> dict[str, int]:
    """The sizes of named dimensions, read off the arguments' shapes."""
    dims: dict[str, int] = {}
    for n, a in zip(inputs, arrays, strict=True):
        for d, size in zip(n.type.shape, a.shape, strict=True):
            if isinstance(d, Dim) and len(d.terms) == 1 and len(d.terms[0][0]) == 1 and d.terms[0][1] == 1:
                atom = d.terms[0][0][0]
                if isinstance(atom, str):
                    dims.setdefault(atom, size)
    return dims


def evaluate_nodes(
    nodes: Sequence[Node], known: Mapping[Node, Array], dims: Mapping[str, int]
) -> dict[Node, Array]:
    """The value of every node, operands first; `known` gives the inputs (and may override any node)."""
    values = dict(known)
    computed: dict[Family, tuple[Array, ...]] = {}  # the results of a family are computed together
    for n in nodes:
        if n in values:
            continue
        operands = [values[s] for s in n.src]
        with np.errstate(all="ignore"):
            if isinstance(n.op, BlockOp):
                key = family(n)
                if key not in computed:
                    computed[key] = n.op.evaluate_all(dims, *operands)
                value = np.asarray(computed[key][n.op.result])
            else:
                value = np.asarray(n.op.evaluate(dims, *operands))
        if value.dtype != n.type.dtype.numpy or value.ndim != n.type.rank:
            raise InternalError(f"{n.op.label} is {n.type}, but NumPy made {value.dtype}{list(value.shape)}")
        values[n] = value
    return values


def evaluate_block(block: Block, dims: Mapping[str, int], *operands: Array) -> tuple[Array, ...]:
    """The values of the outputs of a block."""
    values = evaluate_nodes(block.nodes, dict(zip(block.slots, operands, strict=True)), dims)
    return tuple(values[n] for n in block.outputs)
