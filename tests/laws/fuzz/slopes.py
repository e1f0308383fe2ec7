"""The gradient of a random program along a direction, against differences of its loss and against forward mode.

All in float64, at points near the arguments: away from kinks and ties, which would have to agree by chance.  Where
a slope is infinite, 0·∞ arises on the way forwards or on the way back, not on both: such points are left out.

>>> from tests.laws.fuzz.choices import Seeded
>>> from tests.laws.fuzz.grow import grow
>>> wrong_slope(grow(Seeded(3)), "forward") or "right"
'right'
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

import graphc as gc
from graphc.errors import GraphcError
from graphc.ir.evaluate import bind_dims, evaluate_nodes
from graphc.ir.node import Node, toposort
from graphc.lang.tensor import Tensor
from tests.laws.fuzz.program import Array, Built, Program

ON_PURPOSE = ("custom_gradient", "straight_through", "stop_gradient", "dropout", "while_loop")
"""What has another gradient than its value says."""
STEPS = (1e-4, 3e-5, 1e-5)
POINTS = 3


def wrong_slope(program: Program, way: str) -> str:
    """What is wrong with the gradient, by "differences" or "forward" mode; nothing where it is right."""
    if any(word in line.text for line in program.lines for word in ON_PURPOSE):
        return ""
    floats = {leaf.name for leaf in program.leaves if leaf.dtype in "FH" and not leaf.param}
    wrt = tuple(name for name in program.wrt if name in floats)
    if not wrt:
        return ""
    built = replace(program.in_float64(), wrt=wrt).build()
    # Differences may be wrong by chance, next to a kink; at each of some points they are not.
    for seed in range(POINTS):
        text = _Line(built, len(wrt), seed).wrong(way)
        if not text:
            return ""
    return text


class _Line:
    """A line through a point near the arguments."""

    def __init__(self, built: Built, count: int, seed: int) -> None:
        assert built.loss is not None
        self.loss = built.loss
        self.gradients = built.outputs[-count:]
        names = [name[1:] for name in built.names[len(built.outputs) - count : len(built.outputs)]]
        self.xs = [t for name in names for t in built.inputs if t.name == name or _title(t) == name]
        self.dims = bind_dims(built.graph.inputs, built.arguments)
        rng = np.random.default_rng(seed)
        self.at: dict[Node, Array] = dict(zip(built.graph.inputs, built.arguments, strict=True))
        for x in self.xs:
            value = self.at[x.node]
            self.at[x.node] = value + rng.normal(size=value.shape) * 1e-2 * (1 + np.abs(value))
        self.along: list[Array] = [np.asarray(rng.normal(size=self.at[x.node].shape)) for x in self.xs]

    def value(self, *tensors: Tensor, at: Mapping[Node, Array]) -> list[Array]:
        found = evaluate_nodes(toposort([t.node for t in tensors]), at, self.dims)
        return [found[t.node] for t in tensors]

    def wrong(self, way: str) -> str:
        loss, *gradients = self.value(self.loss, *self.gradients, at=self.at)
        parts = [np.ravel(g * d) for g, d in zip(gradients, self.along, strict=True)]
        products = np.concatenate(parts)
        slope, size = float(products.sum()), float(np.abs(products).sum())
        if not np.isfinite(loss):
            return ""
        return self._forward(slope, size) if way == "forward" else self._differences(slope, size)

    def _forward(self, slope: float, size: float) -> str:
        tangents = [gc.input(f"tangent{k}", x.shape, x.dtype) for k, x in enumerate(self.xs)]
        try:
            (moved,) = gc.jvp([self.loss], self.xs, tangents)
        except GraphcError:
            return ""
        seeds = {t.node: d for t, d in zip(tangents, self.along, strict=True)}
        other = float(self.value(moved, at={**self.at, **seeds})[0])
        if not np.isfinite(slope) or not np.isfinite(other) or abs(other - slope) <= 1e-6 * (size + 1):
            return ""
        return f"{slope!r} in reverse mode, {other!r} in forward mode"

    def _differences(self, slope: float, size: float) -> str:
        ratios = []
        largest = 0.0
        for h in STEPS:
            ends = []
            for sign in (1, -1):
                moved = {
                    x.node: np.asarray(self.at[x.node] + sign * h * d)
                    for x, d in zip(self.xs, self.along, strict=True)
                }
                ends.append(float(self.value(self.loss, at={**self.at, **moved})[0]))
            ratios.append((ends[0] - ends[1]) / (2 * h))
            largest = max(largest, abs(ends[0]))
        centre = ratios[-1]
        settled = np.all(np.isfinite(ratios)) and np.ptp(ratios) <= 1e-4 * (abs(centre) + 1e-3)
        if not settled or not np.isfinite(slope):
            return ""
        swallowed = largest * 2.0**-50 / STEPS[-1]  # a small term moves a large sum by nothing
        if abs(slope - centre) <= 1e-2 * abs(centre) + 1e-3 * (size + 1) + swallowed:
            return ""
        return f"{slope!r} as a gradient, {centre!r} by differences"


def _title(t: Tensor) -> str:
    return str(t.node.op.attributes()["name"])
