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

from graphc.autodiff.backprop import Backprop, Edge, Quantity, backprop, default_targets
from graphc.autodiff.check import gradcheck
from graphc.autodiff.point import At, leaves, title
from graphc.autodiff.reverse import GradEdge, check_scalar, check_tensors
from graphc.errors import GraphcError, InternalError
from graphc.ir.dims import evaluate
from graphc.ir.node import Node
from graphc.ir.types import Array
from graphc.lang.source import operation
from graphc.lang.tensor import Tensor
from graphc.ops.contract import Contract
from graphc.ops.elementwise import Elementwise
from graphc.ops.leaves import Input, Param
from graphc.show.chain import Chain
from graphc.show.formula import number_latex

_CHECKED = 8  # elements of each tensor that are compared with differences
_WRITTEN = 6  # elements of a tensor that is written out as a vector or a matrix


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


def chain_latex(chain: Chain, *, numbers: bool) -> str:
    """The forward pass, each step of the chain rule, and the gradients, as an `align*` environment."""
    lines = (_line(q, numbers) for q in chain.forward)
    forward = [line for line in lines if line]
    left = {s.operand.symbol: len(s.shares) for s in chain.sums}
    sums = {s.operand.symbol: s for s in chain.sums}
    steps: list[str] = []
    for row, e in zip(chain.edges, chain.grad_edges, strict=True):
        steps.append(_step(row, e, numbers))
        key = row.operand.symbol
        if key in left:
            left[key] -= 1
            if not left[key]:
                parts = [q.latex_symbol for q in sums[key].shares]
                steps.append(_equation(sums[key].total, [" + ".join(parts)], numbers))
    results = [_equation(q, [], numbers) for q in chain.gradients if numbers or q.formula != q.symbol]
    groups = [g for g in (forward, steps, results) if g]
    body = " \\\\[1.5ex]\n".join(" \\\\\n".join(group) for group in groups)
    return f"\\begin{{align*}}\n{body}\n\\end{{align*}}"


def _line(q: Quantity, numbers: bool) -> str:
    """A step of the forward pass; nothing for an input without a number."""
    parts = [q.latex if q.formula != q.symbol else "", _number(q.value) if numbers else ""]
    found = " = ".join(p for p in parts if p)
    return f"{q.latex_symbol} &= {found}" if found else ""


def _step(row: Edge, e: GradEdge, numbers: bool) -> str:
    """upstream · local in symbols, then in formulas, then in numbers."""
    up, local = row.upstream, row.local
    brace = r"\underbrace{{{}}}_{{\text{{{}}}}}"
    upstream = brace.format(up.latex_symbol, "upstream")
    if isinstance(e.node.op, Elementwise):
        sign = r" \odot " if e.node.type.rank else r" \cdot "
        product = upstream + sign + brace.format(local.latex_symbol, "local")
        spelled = _factor(up.latex) + sign + _factor(local.latex)
        values = [_number(v) for v in (up.value, local.value)] if not e.node.type.rank else []
        return _equation(row.downstream, [product, spelled], numbers, sign.join(map(_factor, values)))
    image = local.latex.removeprefix(r"U \mapsto ")
    before, after = image.removesuffix(r"\,U"), image.removeprefix(r"U\,")
    if isinstance(e.node.op, Contract) and after != image:
        product = upstream + r"\," + brace.format(after, "local")
    elif isinstance(e.node.op, Contract) and before != image:
        product = brace.format(before, "local") + r"\," + upstream
    else:
        product = brace.format(rf"\left({local.latex}\right)", "local") + rf"\left({upstream}\right)"
    return _equation(row.downstream, [product], numbers)


def _equation(q: Quantity, steps: Sequence[str], numbers: bool, product: str = "") -> str:
    """symbol &= step = … = formula = product of numbers = number, each said once."""
    parts = [*steps]
    if q.latex != q.latex_symbol:
        parts.append(q.latex)
    if numbers:
        parts += [product, _number(q.value)]
    kept = [p for k, p in enumerate(parts) if p and p not in parts[:k]]
    return f"{q.latex_symbol} &= " + " = ".join(kept or [q.latex])


def _factor(latex: str) -> str:
    """A factor of a product, in brackets where it is a sum or begins with a sign."""
    if latex.startswith((r"\sum", r"\max", r"\min")):
        return rf"\left({latex}\right)"
    depth = 0
    for k, c in enumerate(latex):
        depth += (c in "{(") - (c in "})")
        if depth == 0 and (latex.startswith((" + ", " - "), k) or (k == 0 and c == "-")):
            return rf"\left({latex}\right)"
    return latex


def _number(value: Array | None) -> str:
    """A number, a small vector or matrix, else nothing."""
    if value is None or value.dtype.kind == "b" or value.size > _WRITTEN or value.ndim > 2 or not value.size:
        return ""
    if value.ndim == 0:
        v = float(value)
        sign = "-" if v < 0 else ""
        return sign + number_latex(abs(float(f"{v:.4g}")))
    rows = value.reshape(-1, 1) if value.ndim == 1 else value
    cells = r" \\ ".join(" & ".join(_number(v) for v in row) for row in rows)
    return rf"\begin{{bmatrix}} {cells} \end{{bmatrix}}"


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
