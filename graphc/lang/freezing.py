"""Parameters as constants, for inference: what is constant is folded, and stored as kernels like it best.

>>> import graphc as gc
>>> w = gc.param("w", init=[[1.0, 2.0], [3.0, 4.0]])
>>> x = gc.input("x", (2,))
>>> y = gc.freeze(x @ w)
>>> w.value = [[0.0, 0.0], [0.0, 0.0]]
>>> gc.compile([x], y)([1.0, 1.0])
array([4., 6.])
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

from graphc.ir.block import substitute
from graphc.ir.node import node, toposort
from graphc.lang.source import operation
from graphc.lang.tensor import Tensor
from graphc.ops.leaves import Const, Param

__all__ = ["freeze"]


@overload
def freeze(outputs: Tensor) -> Tensor: ...
@overload
def freeze(outputs: Sequence[Tensor]) -> list[Tensor]: ...
@operation
def freeze(outputs: Tensor | Sequence[Tensor]) -> Tensor | list[Tensor]:
    """Tensors with every parameter replaced by a constant: the value that it has now.

    A function that is compiled from them computes what depends on parameters only once, when it is compiled (batch
    normalisation becomes part of a convolution), and stores weights in the order that its kernels read.  Later
    changes of the parameters do not reach it.  No gradient flows to a constant.
    """
    given = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    roots = [t.node for t in given]
    values = {n: node(Const.of(n.op.variable.value)) for n in toposort(roots) if isinstance(n.op, Param)}
    results = [Tensor(n, name=t.name) for n, t in zip(substitute(roots, values), given, strict=True)]
    return results[0] if isinstance(outputs, Tensor) else results
