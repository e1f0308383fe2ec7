"""A small convolutional network and the gradient of its filters: the program of a golden text."""

from __future__ import annotations

import graphc as gc

x = gc.input("x", shape=("N", 1, 8, 8), dtype="float32")
w = gc.param("w", shape=(4, 1, 3, 3), init="ones")
y = gc.max_pool2d(gc.relu(gc.conv2d(x, w, padding=1)), 2)
loss = gc.mean(y)

main = gc.compile([x], [loss, gc.grad(loss, w)])
