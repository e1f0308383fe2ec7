"""A neuron: a weighted sum and a sigmoid.  Its gradient is formula, number and machine code.

The numbers are those of a lecture: weights 1, 3, -2 and the input (-1, 2).

It prints:

    z = -6, output = 0.00247
    d output / d bias    = 0.00247
    d output / d weights = -0.00247  0.00493
    differences agree: True
"""

from __future__ import annotations

import graphc as gc

x = gc.input("x", shape=2)
w = gc.input("w", shape=2)
b = gc.input("b")

z = b + gc.dot(w, x)
output = gc.sigmoid(z)

main = gc.compile([x, w, b], [z, output, *gc.grad(output, [w, b])])

if __name__ == "__main__":
    at = {x: [-1.0, 2.0], w: [3.0, -2.0], b: 1.0}
    sum_, out, dw, db = main(*at.values())
    print(f"z = {sum_:g}, output = {out:.5f}")
    print(f"d output / d bias    = {db:.5f}")
    print(f"d output / d weights = {dw[0]:.5f}  {dw[1]:.5f}")
    print("differences agree:", gc.gradcheck(output, [w, b], at).ok)
