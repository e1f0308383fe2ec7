"""Named dimensions: one compiled function for every batch size, and mistakes found where they are made.

"N" is a dimension that has a name and no size.  Types are inferred with it, kernels loop up to it, and each
call says what it is.

It prints:

    f32[N,4] @ f32[4,3] is f32[N,3]
    a batch of  1 gives (1, 3)
    a batch of 64 gives (64, 3)
    cannot add f32[N,3] and f32[4]
      04_named_dimensions.py:37   y + bias
                                  ^^^^^^^^
      why: the last dimensions are 3 and 4, and neither is 1
      fix: give `bias` the shape [3], or reshape it
"""

from __future__ import annotations

import numpy as np

import graphc as gc

x = gc.input("x", shape=("N", 4), dtype="float32")
w = gc.input("w", shape=(4, 3), dtype="float32")
bias = gc.input("bias", shape=4, dtype="float32")
y = x @ w

main = gc.compile([x, w], y)

if __name__ == "__main__":
    print(f"{x.node.type} @ {w.node.type} is {y.node.type}")
    for size in (1, 64):
        result = main(np.ones((size, 4), "float32"), np.ones((4, 3), "float32"))
        print(f"a batch of {size:2} gives {result.shape}")
    try:
        y + bias
    except gc.ShapeError as error:
        print(error)
