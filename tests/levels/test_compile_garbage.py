"""Compiling rests the garbage collector, so what it makes must go without one: hardly anything may be in cycles."""

from __future__ import annotations

import gc as collector
from collections import OrderedDict
from importlib import import_module

import numpy as np
import pytest

import graphc as gc

_FEW = 2000  # objects: closures that call themselves made 20 000 of a step of this kind


def _compile() -> gc.Function:
    x, t = gc.input("x", (32, 1, 12, 12), "float32"), gc.input("t", (32,), "int64")
    w = gc.param("w", (4, 1, 3, 3), init=np.ones((4, 1, 3, 3), "f4"))
    v = gc.param("v", (4 * 5 * 5, 10), init=np.ones((100, 10), "f4"))
    h = gc.max_pool2d(gc.relu(gc.conv2d(x, w)), 2)
    loss = -gc.mean(gc.pick(gc.log_softmax(gc.reshape(h, (32, -1)) @ v), t))
    slopes = gc.grad(loss, [w, v])
    updates = {p: p - 0.1 * s for p, s in zip([w, v], slopes, strict=True)}
    return gc.compile([x, t], loss, updates=updates, cache=False)


def test_compiling_leaves_hardly_any_cycles(monkeypatch: pytest.MonkeyPatch) -> None:
    _compile()  # imports modules
    monkeypatch.setattr(import_module("graphc_llvm.backend"), "_schedules", OrderedDict())
    collector.collect()
    collector.disable()
    try:
        fn = _compile()
        found = collector.collect()
    finally:
        collector.enable()
    assert found < _FEW
    assert fn.graph is not None
