"""Level 2, the check: the gradient from the graph against central differences, element by element.

For each element, at a step h and at h/2,

    D(h) = (f(x+h) − f(x−h)) / 2h        R = (4·D(h/2) − D(h)) / 3        error of R ≈ |R − D(h/2)| + ε|f|/h

and the step is made smaller until the error is small enough to judge by (Richardson's extrapolation).  All
of it is done in float64, whatever the dtype of the graph, so that mathematics is compared and not rounding.

| verdict | the gradient from the graph ...                                                          |
|---------|------------------------------------------------------------------------------------------|
| ok      | agrees within `atol + rtol·|R|` and the error of the difference                           |
| kink    | lies between the slopes to the left and to the right, which differ however small the step |
| rough   | cannot be judged: the differences do not settle                                           |
| wrong   | disagrees                                                                                 |

>>> from graphc.lang.tensor import inputs
>>> x, y = inputs("x y")
>>> print(gradcheck(x * y + x, [x, y], at={x: 2.0, y: 3.0}))
gradcheck: ok
tensor  type   checked  max abs error  max rel error  worst  gradient  difference  verdict
x       f64[]  1        ...            ...            []     4         4           ok
y       f64[]  1        ...            ...            []     2         2           ok
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from graphc.autodiff.point import At, leaves, point_at, title
from graphc.autodiff.reverse import check_scalar, check_tensors, differentiate
from graphc.autodiff.wide import Wide, widened
from graphc.ir.block import blocks_inside
from graphc.ir.evaluate import evaluate_nodes
from graphc.ir.node import Node, toposort
from graphc.ir.types import Array, TensorType, shape_text
from graphc.lang.source import operation
from graphc.lang.tensor import Tensor
from graphc.ops.custom import CustomGradient
from graphc.ops.elementwise import Elementwise
from graphc.tables import Table, number

Verdict = Literal["ok", "kink", "rough", "wrong"]

_STEPS = tuple(2.0**-k for k in (10, 13, 16, 20, 24))
_HEADS = (
    *("tensor", "type", "checked", "max abs error", "max rel error"),
    *("worst", "gradient", "difference", "verdict"),
)
_EPSILON = 2.0**-52
_BAD = ("wrong", "rough")
_LISTED = 5  # elements that the report writes out
_SETTLED = 1e-4  # an error of the difference beyond this part of its value is no judgement


@dataclass(frozen=True, slots=True)
class Difference:
    """A derivative by central differences, the estimate of its error, and the slopes to both sides."""

    value: float
    error: float
    left: float
    right: float
    kink: bool


@dataclass(frozen=True, slots=True)
class ElementCheck:
    """The comparison for one element: its value, the gradient from the graph, and what differences say."""

    index: tuple[int, ...]
    at: float
    gradient: float
    difference: Difference
    verdict: Verdict

    @property
    def error(self) -> float:
        """|gradient − difference|; infinite where either is no number."""
        apart = abs(self.gradient - self.difference.value)
        return apart if math.isfinite(apart) else math.inf

    @property
    def relative(self) -> float:
        """The error by the larger of the two."""
        size = max(abs(self.gradient), abs(self.difference.value))
        return 0.0 if self.error == 0 else self.error / size if math.isfinite(size) else math.inf

    def text(self, name: str) -> str:
        """One line: `x[1,2] = 5: gradient 10.001, difference 10, wrong`."""
        place = f"{name}{shape_text(self.index)}" if self.index else name
        d = self.difference
        slopes = number(d.value, 9)
        if d.kink:
            slopes = f"{number(d.left, 4)} on the left and {number(d.right, 4)} on the right"
        return f"{place} = {number(self.at)}: gradient {number(self.gradient, 9)}, difference {slopes}"


@dataclass(frozen=True, slots=True)
class TensorCheck:
    """The comparison for one tensor; errors are those of the elements that are at no kink."""

    name: str
    type: TensorType
    size: int
    elements: tuple[ElementCheck, ...]

    def _with(self, verdict: Verdict) -> tuple[tuple[int, ...], ...]:
        return tuple(e.index for e in self.elements if e.verdict == verdict)

    @property
    def checked(self) -> int:
        return len(self.elements)

    @property
    def wrong(self) -> tuple[tuple[int, ...], ...]:
        return self._with("wrong")

    @property
    def rough(self) -> tuple[tuple[int, ...], ...]:
        return self._with("rough")

    @property
    def kinks(self) -> tuple[tuple[int, ...], ...]:
        return self._with("kink")

    @property
    def _smooth(self) -> list[ElementCheck]:
        return [e for e in self.elements if e.verdict != "kink"]

    @property
    def max_abs_error(self) -> float:
        return max((e.error for e in self._smooth), default=0.0)

    @property
    def max_rel_error(self) -> float:
        return max((e.relative for e in self._smooth), default=0.0)

    @property
    def worst(self) -> ElementCheck | None:
        """The element that is furthest off: a wrong one before all others, one at a kink only if it is wrong."""
        order = [e for e in self.elements if e.verdict == "wrong"] or self._smooth
        return max(order, key=lambda e: (e.relative if e.error > 1e-12 else 0.0, e.error), default=None)

    @property
    def ok(self) -> bool:
        return not self.wrong and not self.rough

    @property
    def verdict(self) -> str:
        """`ok`, with how many elements are at a kink, or how many are wrong or cannot be judged."""
        found = [(self.wrong, "wrong"), (self.rough, "rough"), (self.kinks, "at a kink")]
        counts = [f"{len(indices)} {word}" for indices, word in found if indices]
        return ", ".join((["ok"] if self.ok else []) + counts)


@dataclass(frozen=True, slots=True)
class GradientCheck:
    """What `gc.gradcheck` found: true where every element that was checked is right."""

    tensors: tuple[TensorCheck, ...]
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return all(t.ok for t in self.tensors)

    def __bool__(self) -> bool:
        return self.ok

    def _rows(self) -> list[tuple[str, ...]]:
        rows: list[tuple[str, ...]] = []
        for t in self.tensors:
            checked = str(t.checked) if t.checked == t.size else f"{t.checked} of {t.size}"
            row = (t.name, str(t.type), checked, f"{t.max_abs_error:.1e}", f"{t.max_rel_error:.1e}")
            w = t.worst
            worst = (
                (shape_text(w.index), number(w.gradient, 9), number(w.difference.value, 9))
                if w is not None
                else ("", "", "")
            )
            rows.append((*row, *worst, t.verdict))
        return rows

    def elements(self) -> str:
        """Every element that was checked, one a line."""
        return "\n".join(f"{e.text(t.name)}: {e.verdict}" for t in self.tensors for e in t.elements)

    def __str__(self) -> str:
        table = Table(_HEADS, self._rows(), f"gradcheck: {'ok' if self.ok else 'FAILED'}")
        bad = [
            f"{e.verdict}: {e.text(t.name)}" for t in self.tensors for e in t.elements if e.verdict in _BAD
        ]
        more = [f"and {len(bad) - _LISTED} more"] if len(bad) > _LISTED else []
        return "\n".join([str(table), *bad[:_LISTED], *more, *(f"note: {note}" for note in self.notes)])

    __repr__ = __str__


@operation
def gradcheck(
    f: Tensor,
    wrt: Tensor | Sequence[Tensor] | None = None,
    at: At | None = None,
    *,
    rtol: float = 1e-6,
    atol: float = 1e-8,
    sample: int | None = None,
    seed: int = 0,
) -> GradientCheck:
    """Compare the gradient of a scalar with central differences, for each element of each tensor.

    `wrt` is one tensor or several (default: every floating-point input and parameter); one that is computed is
    moved as if it were an input, all else held.  `at` maps inputs, or their names, to values; parameters take
    their own value where it gives none.  `sample` bounds the number of elements that are checked in each
    tensor, drawn with `seed`.  Raises ArgumentError where a value is missing or does not fit.
    """
    check_tensors([f], "f")
    check_scalar(f)
    if wrt is None:
        targets = [Tensor(n, title(n)) for n in leaves([f.node]) if n.type.dtype.is_float]
    else:
        targets = [wrt] if isinstance(wrt, Tensor) else list(wrt)
    check_tensors(targets, "wrt")
    point = point_at([f.node], at)
    gradients = differentiate(f.node, [t.node for t in targets]).wrt
    loss, *analytic = widened([f.node, *gradients], point)
    checks = []
    for t, gradient in zip(targets, analytic, strict=True):
        name = t.name or str(t.node.op.attributes().get("name", t.node.op.label))
        checks.append(check_tensor(name, t.node, loss, gradient, rtol, atol, sample, seed))
    notes = []
    if not all(c.ok for c in checks):
        order = toposort([f.node])
        order += [n for block in blocks_inside(order) for n in block.nodes]
        if any(isinstance(n.op, Elementwise) and n.op.row.detached for n in order):
            notes.append(
                "f contains stop_gradient, through which the graph sends no gradient, and differences do"
            )
        reasons = dict.fromkeys(n.op.reason for n in order if isinstance(n.op, CustomGradient))
        notes += [f"f contains a gradient that is deliberately another one: {r}" for r in reasons if r]
    return GradientCheck(tuple(checks), tuple(notes))


def check_tensor(
    name: str, x: Node, f: Wide, gradient: Wide, rtol: float, atol: float, sample: int | None, seed: int
) -> TensorCheck:
    """Compare a gradient of f by one node of its graph with differences, at the point that both carry."""
    analytic = gradient.point.evaluate([gradient.node])[gradient.node]
    moved = f.nodes[x]
    slope, base = _function_of(f, moved)
    largest = float(np.max(np.abs(analytic), initial=0.0))
    indices = list(np.ndindex(base.shape))
    if sample is not None and sample < len(indices):
        chosen = np.random.default_rng(seed).choice(len(indices), sample, replace=False)
        indices = [indices[k] for k in sorted(chosen)]
    found = []
    for index in indices:
        a, at = float(analytic[index]), float(base[index])

        def along(offset: float, index: tuple[int, ...] = index) -> float:
            changed = base.copy()
            changed[index] += offset
            return slope(changed)

        d = difference(along, at, a, rtol, atol)
        found.append(ElementCheck(index, at, a, d, _judge(a, d, rtol, atol, rtol * largest)))
    return TensorCheck(name, x.type, base.size, tuple(found))


def _function_of(f: Wide, leaf: Node) -> tuple[Callable[[Array], float], Array]:
    """f as a function of one node, and where that is now; what does not depend on the node is computed once."""
    order = toposort([f.node, leaf])
    values = f.point.evaluate([f.node, leaf])
    moving = {leaf}
    for n in order:
        if n is not leaf and any(s in moving for s in n.src):
            moving.add(n)
    fixed = {n: v for n, v in values.items() if n not in moving}
    moved = [n for n in order if n in moving and n is not leaf]

    def value(array: Array) -> float:
        return float(evaluate_nodes(moved, {**fixed, leaf: array}, f.point.dims)[f.node])

    return value, values[leaf]


def difference(
    f: Callable[[float], float], x: float, expected: float, rtol: float, atol: float
) -> Difference:
    """The derivative of `f(offset)` at offset 0, where the coordinate itself is `x`.

    The first step at which the estimated error is small enough is taken; one that is suspicious (sides that
    differ, or a value that is not the `expected` one) is followed by smaller ones.
    """
    middle = f(0.0)
    best: Difference | None = None
    jumps: list[float] = []
    sizes: list[float] = []
    for step in _STEPS:
        # A power of two times a power of two: x + h − x is h exactly, but for the last bits of x.
        h = step * 2.0 ** math.floor(math.log2(max(1.0, abs(x)) if math.isfinite(x) else 1.0))
        ahead, behind, half_ahead, half_behind = f(h), f(-h), f(h / 2), f(-h / 2)
        whole, half = (ahead - behind) / (2 * h), (half_ahead - half_behind) / h
        value = (4 * half - whole) / 3
        left, right = (middle - half_behind) / (h / 2), (half_ahead - middle) / (h / 2)
        noise = 8 * _EPSILON * max(abs(ahead), abs(behind), abs(middle)) / h
        error = abs(value - half) + noise
        jump_whole, jump_half = (ahead - 2 * middle + behind) / h, right - left
        jumps.append(jump_half if abs(jump_half) > 4 * noise else 0.0)
        sizes.append(value)
        if best is None or not math.isfinite(best.error) or error < best.error:
            best = Difference(value, error, left, right, False)
        scale = max(abs(left), abs(right), abs(value))
        smooth = abs(jump_half) <= max(0.7 * abs(jump_whole), 1e-4 * scale + atol, 4 * noise)
        tolerance = atol + rtol * max(abs(value), abs(expected))
        if smooth and error <= tolerance and abs(value - expected) <= tolerance + error:
            return Difference(value, error, left, right, False)
    assert best is not None
    # At a kink the sides stay apart however small the step; at a jump the differences grow without bound.
    apart = all(abs(j) > 0.5 * abs(jumps[0]) and abs(j) > 1e-3 * scale for j in jumps)
    torn = all(abs(b) > 4 * abs(a) for a, b in itertools.pairwise(sizes))
    edge = math.isfinite(middle) and not all(map(math.isfinite, sizes))
    return dataclasses.replace(best, left=left, right=right, kink=apart or torn or edge)


def _judge(a: float, d: Difference, rtol: float, atol: float, resolved: float) -> Verdict:
    """The verdict on an element; an error of the difference below `resolved` is small for its tensor."""
    tolerance = atol + rtol * max(abs(a), abs(d.value))
    if d.kink:
        finite = math.isfinite(d.left) and math.isfinite(d.right) and max(abs(d.left), abs(d.right)) < 1e5
        low, high = min(d.left, d.right), max(d.left, d.right)
        slack = tolerance + 1e-3 * (high - low) if finite else 0.0
        return "kink" if not finite or low - slack <= a <= high + slack else "wrong"
    if not (math.isfinite(a) and math.isfinite(d.value)):
        return "wrong"
    if (
        d.error > max(tolerance, _SETTLED * abs(d.value), resolved)
        and abs(a - d.value) <= tolerance + d.error
    ):
        return "rough"
    return "ok" if abs(a - d.value) <= tolerance + d.error else "wrong"
