r"""A new operation is one line of mathematics.

`graphc/ops/table.py` is a table of lines like the one below; a line added there is a function `gc.mish`, with
its value, local gradient, LaTeX, NumPy reference and the code of every back end.  Where floating point needs
another formula than the textbook's, that formula is a claim, and the claim is proved.

It prints:

    mathematics     x \tanh{\left(\log{\left(e^{x} + 1 \right)} \right)}
    local gradient  x*(1 - tanh(log(exp(x) + 1))**2)*exp(x)/(exp(x) + 1) + tanh(log(exp(x) + 1))
    is computed as  x*tanh(softplus(x)): proved
    as a composition: d mish(1) / dx = 1.049036
"""

from __future__ import annotations

import graphc as gc
from graphc.ops.prove import prove_row
from graphc.ops.table import row

mish = row("mish", "x", "x * tanh(log(1 + exp(x)))", compute="x * tanh(softplus(x))", doc="arXiv:1908.08681")

# Without a line of its own, an operation is a function of others.
x = gc.input("x")
y = x * gc.tanh(gc.softplus(x))
main = gc.compile([x], gc.grad(y, x))

if __name__ == "__main__":
    print("mathematics    ", mish.latex("x"))
    print("local gradient ", mish.local(0))
    print("is computed as ", f"{mish.compute_expr}: {prove_row(mish)['compute']}")
    print(f"as a composition: d mish(1) / dx = {main(1.0):.6f}")
