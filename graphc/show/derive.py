r"""The derivation: the chain rule of a graph, step by step, in LaTeX.

```
forward      q = x + y                                              each node in the names of its operands
backward     ∂f/∂x = upstream · local = (∂f/∂q) · (∂q/∂x) = z · 1 = z
result       ∂f/∂x = z
```

Before a derivation is handed out, its gradients are compared with central differences, and each of its steps
with its factors, at a point; what disagrees is never printed.

>>> from graphc.lang.tensor import inputs
>>> x, y, z = inputs("x y z")
>>> print(derive((x + y) * z, wrt=z))
\begin{align*}
v_{1} &= x + y \\
f &= v_{1}\,z \\[1.5ex]
\frac{\partial f}{\partial z} &= \underbrace{\frac{\partial f}{\partial f}}_{\text{upstream}} \cdot ...
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from graphc.autodiff.check import gradcheck
from graphc.autodiff.point import At, leaves, title
from graphc.autodiff.reverse import check_scalar, check_tensors
from graphc.autodiff.trace import default_targets
from graphc.errors import GraphcError, InternalError
from graphc.ir.dims import evaluate
from graphc.ir.node import Node
from graphc.lang.source import operation
from graphc.lang.tensor import Tensor
from graphc.ops.leaves import Input, Param
from graphc.show.backprop import Backprop, backprop
from graphc.show.chain import Chain
from graphc.show.chain_latex import chain_latex

_CHECKED = 8  # elements of each tensor that are compared with differences


@dataclass(frozen=True, slots=True)
class Derivation:
    """A derivation in LaTeX; `str` gives the formulas, or the whole document where one was asked for."""

    latex: str
    document: str = ""

    def __str__(self) -> str:
        return self.document or self.latex

    def _repr_latex_(self) -> str:
        return self.latex


@operation
def derive(
    f: Tensor,
    wrt: Tensor | Sequence[Tensor] | None = None,
    at: At | None = None,
    *,
    document: bool = False,
) -> Derivation:
    """The gradients of a scalar by the chain rule, step by step, as LaTeX (of amsmath).

    `wrt` is one tensor or several (default: every floating-point input and trained parameter).  With `at`,
    each step carries its numbers too.  With `document`, the result is a file for LaTeX, not just formulas.
    Raises GradientError as `gc.grad` does, and GraphcError where no point is found to check f at.
    """
    check_tensors([f], "f")
    check_scalar(f)
    targets = default_targets(f) if wrt is None else [wrt] if isinstance(wrt, Tensor) else list(wrt)
    record = backprop(f, targets, at) if at is not None else _at_a_sample(f, targets)
    check_steps(f, targets, record)
    latex = chain_latex(record.chain, numbers=at is not None)
    return Derivation(latex, _document(record.chain, latex) if document else "")


def check_steps(f: Tensor, targets: Sequence[Tensor], record: Backprop) -> None:
    """Compare each step with its factors, and each gradient with differences; raises InternalError."""
    for row in record.edges:
        up, local, down = row.upstream.value, row.local.value, row.downstream.value
        if up is None or local is None or down is None:
            continue
        with np.errstate(all="ignore"):
            expected = up * local
        # Where a choice drops an infinite factor, the product says nothing.
        if np.isfinite(expected).all() and not np.allclose(expected, down, rtol=1e-4, atol=1e-6):
            raise InternalError(f"{row.downstream.symbol} is not {row.upstream.symbol} × {row.local.symbol}")
    values = record.trace.values
    inputs = [t for t in targets if isinstance(t.node.op, (Input, Param))]
    at = {Tensor(n): values[n] for n in leaves([f.node])}
    if inputs:
        report = gradcheck(f, inputs, at, rtol=1e-5, atol=1e-7, sample=_CHECKED)
        if any(t.wrong for t in report.tensors) and not report.notes:
            raise InternalError(f"a derived gradient disagrees with differences\n{report}")


def _at_a_sample(f: Tensor, targets: Sequence[Tensor]) -> Backprop:
    """The record at the first of some points at which the function and its gradients are finite."""
    for low, high in ((-1.5, 1.5), (0.5, 1.5), (0.1, 0.9)):
        record = backprop(f, targets, sample_point(f.node, low, high))
        if all(np.isfinite(g).all() for g in (record.value, *record.gradients.values())):
            return record
    raise GraphcError(
        "no point was found at which the function and its gradients are finite",
        why="a derivation is compared with differences before it is shown",
        fix="give one: at={...}",
    )


def sample_point(f: Node, low: float, high: float) -> dict[Tensor | str, object]:
    """Values between two bounds for the inputs; named dimensions become 2, 3, ..."""
    inputs = [n for n in leaves([f]) if isinstance(n.op, Input)]
    found = sorted({d for n in inputs for d in n.type.dims})
    dims = {d: 2 + k for k, d in enumerate(found)}
    draw = np.random.default_rng(0)
    point: dict[Tensor | str, object] = {}
    for n in inputs:
        shape = [evaluate(d, dims) for d in n.type.shape]
        if n.type.dtype.is_float:
            point[Tensor(n, title(n))] = draw.uniform(low, high, shape)
        else:
            point[Tensor(n, title(n))] = draw.integers(0, 2, shape).astype(n.type.dtype.numpy)
    return point


def _document(chain: Chain, latex: str) -> str:
    wrt = ", ".join(f"${q.latex_symbol}$" for q in chain.gradients)
    return "\n".join(
        [
            r"\documentclass{article}",
            r"\usepackage[margin=2cm]{geometry}",
            r"\usepackage{amsmath}",
            r"\allowdisplaybreaks",
            r"\begin{document}",
            rf"\section*{{Backpropagation: {wrt}}}",
            latex,
            r"\end{document}",
            "",
        ]
    )
