"""A network in twenty lines, without writing its backward pass.

The classic NumPy exercise: two layers, a sigmoid between them, the sum of squared errors, gradient descent.
By hand it takes a page of derivatives; here `gc.grad` derives them, and the step (forwards, backwards and the
update of both weights in place) is one call of native code.

It prints:

    step    0: loss 24635.9
    step    1: loss 17744.8
    step    5: loss 11120.5
    step   50: loss 4256.8
    step  100: loss 2383.2
"""

from __future__ import annotations

import numpy as np

import graphc as gc

draw = np.random.RandomState(0).randn
inputs, targets = draw(64, 1000), draw(64, 10)

x = gc.input("x", shape=("N", 1000))
y = gc.input("y", shape=("N", 10))
w1 = gc.param("w1", init=draw(1000, 100))
w2 = gc.param("w2", init=draw(100, 10))

loss = gc.sum((gc.sigmoid(x @ w1) @ w2 - y) ** 2)
g1, g2 = gc.grad(loss, [w1, w2])
main = gc.compile([x, y], loss, updates={w1: w1 - 1e-4 * g1, w2: w2 - 1e-4 * g2})

if __name__ == "__main__":
    for step in range(101):
        value = main(inputs, targets)
        if step in (0, 1, 5, 50, 100):
            print(f"step {step:4}: loss {value:.1f}")
