"""Softmax and cross-entropy: written as in the textbook, computed as it must be.

exp(1000) overflows, so the textbook's formula fails for a network that is sure of itself.  The compiler knows
the stable form, and its log says what it rewrote and by which equation.  For the gradient, start from
`gc.log_softmax`, which is stable as it stands; the gradient is softmax - onehot.

It prints:

    loss          2.0404
    gradient      [-0.87   0.869  0.001]
    very sure     2000.0, in NumPy inf
      exp(x)/Σ exp(x) = exp(x − m)/Σ exp(x − m), m = max x
      log(exp(x)/Σ exp(x)) = x − log(Σ exp(x))
"""

from __future__ import annotations

import numpy as np

import graphc as gc

scores = gc.input("scores", shape=3)
onehot = gc.input("onehot", shape=3)

p = gc.exp(scores) / gc.sum(gc.exp(scores))
textbook = gc.compile([scores, onehot], -gc.sum(onehot * gc.log(p)), name="textbook")

loss = -gc.sum(onehot * gc.log_softmax(scores))
main = gc.compile([scores, onehot], [loss, gc.grad(loss, scores)])

if __name__ == "__main__":
    value, gradient = main([3.2, 5.1, -1.7], [1, 0, 0])  # cat, car and frog; it is a cat
    print(f"loss          {value:.4f}")
    print(f"gradient      {np.round(gradient, 3)}")

    sure = np.array([1000.0, -1000.0, 0.0])
    with np.errstate(all="ignore"):
        by_numpy = -np.log(np.exp(sure) / np.exp(sure).sum())[1]
    print(f"very sure     {textbook(sure, [0, 1, 0])}, in NumPy {by_numpy}")
    for event in textbook.log.events:
        if event.pass_name == "stability":
            print(" ", event.equation)
