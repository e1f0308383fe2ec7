r"""A tensor as mathematics: its formula over inputs and parameters, in LaTeX.

What is shared or long becomes a definition of its own, so that the size of the text follows the size of the
graph, and not that of the expression written out.

>>> from graphc.lang.tensor import inputs
>>> x, y, z = inputs("x y z")
>>> print(latex((x + y) * z))
f = \left(x + y\right)\,z
>>> print(latex((x + y) / z, limit=4))
\begin{aligned}
t_{1} &= x + y \\
f &= \frac{t_{1}}{z}
\end{aligned}
"""

from __future__ import annotations

from collections.abc import Sequence

from graphc.autodiff.reverse import check_tensors
from graphc.lang.source import operation
from graphc.lang.tensor import Tensor
from graphc.show.formula import formulas
from graphc.show.naming import name_nodes


@operation
def latex(f: Tensor | Sequence[Tensor], *, limit: int = 60) -> str:
    """The formula of a tensor, or of several, over the leaves of the graph.

    A part whose text is longer than `limit`, or which several places share, is defined once and named t1, t2,
    ...; a formula with definitions is an `aligned` environment of amsmath.
    """
    tensors = [f] if isinstance(f, Tensor) else list(f)
    check_tensors(tensors, "f")
    targets = [t.node for t in tensors]
    given = {t.node: t.name for t in tensors if t.name}
    default = {n: "f" if len(targets) == 1 else f"f_{k + 1}" for k, n in enumerate(targets)}
    symbols = name_nodes(targets, given, default)
    leaves = {n: s for n, s in symbols.items() if not n.src}
    found, definitions = formulas(targets, leaves, limit)
    lines = [(symbol, body.whole()) for symbol, body in definitions]
    lines += [(symbols[n], found[n].whole()) for n in dict.fromkeys(targets) if n in symbols]
    if len(lines) == 1:
        return f"{lines[0][0].latex} = {lines[0][1].latex}"
    body = " \\\\\n".join(f"{symbol.latex} &= {formula.latex}" for symbol, formula in lines)
    return f"\\begin{{aligned}}\n{body}\n\\end{{aligned}}"
