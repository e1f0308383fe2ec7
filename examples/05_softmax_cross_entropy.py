"""Softmax and cross-entropy: written as in the textbook, computed as it must be.

exp(1000) overflows, so the textbook's formula fails for a network that is sure of itself.  The compiler knows
the stable form, in the value and in the gradient, which is softmax - onehot; its log says what it rewrote, and
by which equation.

It prints:

    it is a cat:  loss 2.0404, gradient [-0.87   0.869  0.001]
    very sure:    loss 2000.0, gradient [ 1. -1.  0.]
    NumPy says:   loss inf
      exp(x)/Σ exp(x) = exp(x − m)/Σ exp(x − m), m = max x, if x is not shifted by its maximum already
      log(exp(x)/Σ exp(x)) = x − log(Σ exp(x))
"""

from __future__ import annotations

import numpy as np

import graphc as gc

scores = gc.input("scores", shape=3)
onehot = gc.input("onehot", shape=3)

p = gc.exp(scores) / gc.sum(gc.exp(scores))
loss = -gc.sum(onehot * gc.log(p))

main = gc.compile([scores, onehot], [loss, gc.grad(loss, scores)])

if __name__ == "__main__":
    value, gradient = main([3.2, 5.1, -1.7], [1, 0, 0])  # the scores of cat, car and frog
    print(f"it is a cat:  loss {value:.4f}, gradient {np.round(gradient, 3)}")

    sure = np.array([1000.0, -1000.0, 0.0])
    value, gradient = main(sure, [0, 1, 0])
    print(f"very sure:    loss {value}, gradient {gradient}")
    with np.errstate(all="ignore"):
        print(f"NumPy says:   loss {-np.log(np.exp(sure) / np.exp(sure).sum())[1]}")

    for event in main.log.events:
        if event.pass_name == "stability":
            print(" ", event.equation)
