"""The first oracle: a graph evaluated node by node with NumPy.

>>> import numpy as np
>>> from graphc.lang.tensor import inputs
>>> x, y, z = inputs("x y z")
>>> f = (x + y) * z
>>> graph = Graph("f", (x.node, y.node, z.node), (f.node,))
>>> [v.item() for v in evaluate(graph, [np.array(-2.0), np.array(5.0), np.array(-4.0)])]
[-12.0]
"""

from __future__ import annotations

from collections.abc import Sequence

from graphc.ir.evaluate import bind_dims, evaluate_nodes
from graphc.ir.graph import Graph
from graphc.ir.types import Array

__all__ = ["bind_dims", "evaluate", "evaluate_nodes"]


def evaluate(graph: Graph, arrays: Sequence[Array]) -> list[Array]:
    """The outputs, then the new values of updated parameters; no parameter is changed."""
    known = dict(zip(graph.inputs, arrays, strict=True))
    values = evaluate_nodes(graph.nodes, known, bind_dims(graph.inputs, arrays))
    return [values[n] for n in graph.roots]
