"""A recurrent network as a loop inside the graph: shared weights, and one function for every length.

    graphc show examples/09_loop.py --stage kernels      the loops, around the kernels of one step

It prints:

      2 steps: loss 3.3996, |∂W| 1.4166, |∂U| 3.0421
    100 steps: loss 157.2..., |∂W| 144.5..., |∂U| 164.4...
"""

import numpy as np

import graphc as gc

W = gc.param("W", (3, 3), "float32", init=0.5 * np.eye(3, k=1) - 0.5 * np.eye(3, k=-1))
U = gc.param("U", (3, 2), "float32", init=np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]]))
xs = gc.input("xs", ("T", 2), "float32")


def step(h, x):
    new = gc.tanh(W @ h + U @ x)
    return new, new  # what is carried to the next step, and what is kept of this one


last, states = gc.scan(step, np.zeros(3, np.float32), xs)
loss = gc.sum(states**2)
main = gc.compile([xs], [loss, *gc.grad(loss, [W, U])])

if __name__ == "__main__":
    for length in (2, 100):
        value, dW, dU = main(np.ones((length, 2), np.float32))
        print(f"{length:3} steps: loss {value:.4f}, |∂W| {np.linalg.norm(dW):.4f}, |∂U| {np.linalg.norm(dU):.4f}")
