r"""The chain rule in LaTeX: the forward pass, each step backwards, and the gradients.

>>> from graphc.lang.tensor import inputs
>>> from graphc.show.backprop import backprop
>>> x, y = inputs("x y")
>>> print(backprop(x * y, at={x: 3.0, y: 2.0}).to_latex().splitlines()[3])
f &= x\,y = 6 \\[1.5ex]
"""

from __future__ import annotations

from collections.abc import Sequence

from graphc.autodiff.reverse import GradEdge
from graphc.ir.types import Array
from graphc.ops.contract import Contract
from graphc.ops.elementwise import Elementwise
from graphc.show.chain import Chain, Edge, Quantity
from graphc.show.formula import number_latex

_WRITTEN = 6  # elements of a tensor that is written out as a vector or a matrix


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
