"""The teaching record: forwards and backwards through a graph, every number and formula kept.

Each step of the chain rule is a row (node, operand, upstream, local, downstream), in the order of the
backward pass.  Where an operand is used several times, its shares are added, and the sum is a row too.

>>> from graphc.lang.tensor import inputs
>>> x, y, z = inputs("x y z")
>>> q = x + y
>>> t = backprop(q * z, at={x: -2.0, y: 5.0, z: -4.0})
>>> for e in t.edges:
...     print(e.operand.symbol, [float(v.value) for v in (e.upstream, e.local, e.downstream)])
q [1.0, -4.0, -4.0]
z [1.0, 3.0, 3.0]
x [-4.0, 1.0, -4.0]
y [-4.0, 1.0, -4.0]
>>> float(t.gradients[z])
3.0
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from graphc.autodiff.point import At, point_at
from graphc.autodiff.reverse import check_scalar, check_tensors
from graphc.autodiff.trace import Trace, default_targets, names_of, trace
from graphc.ir.types import Array
from graphc.lang.source import operation
from graphc.lang.tensor import Tensor
from graphc.show.chain import Chain, Edge, Quantity, Sum, chain_of, chain_text
from graphc.show.chain_latex import chain_latex
from graphc.show.draw import draw_trace


class ByTensor(Mapping[Tensor, Array]):
    """Values by tensor; a name finds them too: `t.gradients[x]`, `t.gradients["x"]`."""

    def __init__(self, tensors: Sequence[Tensor], values: Sequence[Array]) -> None:
        self._tensors, self._values = tuple(tensors), tuple(values)

    def __getitem__(self, key: Tensor | str) -> Array:
        for t, value in zip(self._tensors, self._values, strict=True):
            if t.name == key if isinstance(key, str) else t.node is key.node:
                return value
        raise KeyError(key)

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


class Backprop:
    """What `gc.backprop` returns: print it, or look at it in a notebook.

    | attribute    | what it is |
    |--------------|------------------------------------------------------------------------------|
    | `edges`      | rows (node, operand, upstream, local, downstream) of quantities, in order |
    | `sums`       | where shares are added |
    | `forward`    | the quantities of the forward pass, operands first |
    | `gradients`  | tensor → gradient |
    | `value`      | of the function itself |
    """

    def __init__(self, record: Trace, tensors: Sequence[Tensor]) -> None:
        self.trace = record
        self.gradients = ByTensor(tensors, [record.values[n] for n in record.gradients.wrt])

    @property
    def value(self) -> Array:
        return self.trace.values[self.trace.output]

    @cached_property
    def chain(self) -> Chain:
        """The steps with their formulas."""
        return chain_of(self.trace)

    @property
    def edges(self) -> tuple[Edge, ...]:
        return self.chain.edges

    @property
    def sums(self) -> tuple[Sum, ...]:
        return self.chain.sums

    @property
    def forward(self) -> tuple[Quantity, ...]:
        return self.chain.forward

    def __str__(self) -> str:
        return chain_text(self.chain)

    __repr__ = __str__

    def to_latex(self) -> str:
        """An `align*` environment: the forward pass, each step of the chain rule, and the gradients."""
        return chain_latex(self.chain, numbers=True)

    def to_svg(self, path: str | Path | None = None) -> str:
        """The lecture picture: values above the edges, gradients below, local gradients at the nodes."""
        picture = draw_trace(self.trace, self.chain)
        if path is not None:
            picture.save(path)
        return picture.svg

    def _repr_svg_(self) -> str:
        return self.to_svg()

    def _repr_latex_(self) -> str:
        return self.to_latex()

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/plain": str(self), "text/latex": self.to_latex(), "image/svg+xml": self.to_svg()}


@operation
def backprop(f: Tensor, wrt: Tensor | Sequence[Tensor] | None = None, at: At | None = None) -> Backprop:
    """Backpropagation through a scalar, step by step, with a number and a formula for each factor.

    `wrt` is one tensor or several, leaves or not (default: every floating-point input and every parameter
    that is trained); `at` maps inputs, or their names, to values, and parameters take their own value where
    it gives none.  Raises GradientError where f is no scalar or does not depend on a tensor of `wrt`, and
    ArgumentError where a value is missing or does not fit.
    """
    check_tensors([f], "f")
    check_scalar(f)
    targets = default_targets(f) if wrt is None else [wrt] if isinstance(wrt, Tensor) else list(wrt)
    check_tensors(targets, "wrt")
    record = trace(f.node, [t.node for t in targets], point_at([f.node], at), names_of(f, targets))
    return Backprop(record, targets)
