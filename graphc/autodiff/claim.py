"""Level 2, claims: a gradient rule that a user wrote, against central differences of the function itself.

Both are computed in float64 by the reference, at points that are the same in every process: random ones of both
signs, small and large, and the edges 0, 1 and ±50, each with a random upstream.

| at a point where                                                      | the claim                            |
|-----------------------------------------------------------------------|--------------------------------------|
| the function is not finite, or its differences do not settle          | is not judged                        |
| it has a kink                                                         | may be any slope between the sides   |
| otherwise                                                             | must be the slope, to six digits     |

>>> from graphc.ops.leaves import Input
>>> x, u = (node(Input(name, TensorType.of("f64"))) for name in "xu")
>>> y = elementwise("square", x)
>>> check_claim(Claim("f", (x,), (y,), (u,), {0: elementwise("mul", u, x)}, ("x",)))
Traceback (most recent call last):
...
graphc.errors.GradientError: the gradient rule of `f` is wrong by `x`
  why: at x = 0.1257 it claims -0.01661, and the true value is -0.03322 (upstream times slope)
  fix: mend the rule, or say why it is meant so: deliberate="..."
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from graphc.autodiff.check import ElementCheck, check_tensor
from graphc.autodiff.point import Point
from graphc.autodiff.wide import widened
from graphc.errors import GradientError
from graphc.ir.dims import Dim, evaluate
from graphc.ir.node import Node, node
from graphc.ir.types import Array, TensorType, shape_text
from graphc.ops.elementwise import Cast, constant_like, elementwise
from graphc.ops.reduce import Reduce
from graphc.tables import number

ELEMENTS = 6
"""How many elements of each operand are checked at a point."""

Draw = Callable[[np.random.Generator, list[int]], Array]


def _uniform(low: float, high: float) -> Draw:
    return lambda draw, shape: draw.uniform(low, high, shape)


def _all(value: float) -> Draw:
    return lambda draw, shape: np.full(shape, value)


_NORMAL: Draw = lambda draw, shape: draw.normal(size=shape)  # noqa: E731
_POINTS: tuple[Draw, ...] = (
    _NORMAL,
    _uniform(0.1, 0.9),
    _uniform(1.1, 3.0),
    _uniform(-3.0, -1.1),
    _uniform(-20.0, 20.0),
    *map(_all, (0.0, 1.0, 50.0, -50.0)),
)


@dataclass(frozen=True, slots=True)
class Claim:
    """A function and its rule as nodes over inputs; `claimed` is the downstream of each operand that has one."""

    name: str
    xs: tuple[Node, ...]
    ys: tuple[Node, ...]
    upstreams: tuple[Node, ...]
    claimed: Mapping[int, Node]
    names: tuple[str, ...]


def check_claim(claim: Claim, at: Sequence[Array] | None = None) -> None:
    """Raises GradientError where the rule is wrong, or can be judged nowhere; `at` is one more point."""
    loss = _weighted(claim)
    wrt = [k for k, x in enumerate(claim.xs) if x.type.dtype.is_float]
    claimed = [claim.claimed.get(k) or constant_like(0.0, claim.xs[k]) for k in wrt]
    judged = not wrt
    for point in _points(claim, at):
        f, *rules = widened([loss, *claimed, *claim.xs], point)
        if not np.isfinite(f.point.evaluate([f.node])[f.node]):
            continue
        for k, rule in zip(wrt, rules[: len(wrt)], strict=True):
            x = claim.xs[k]
            found = check_tensor(claim.names[k], x, f, rule, 1e-6, 1e-8, ELEMENTS, seed=k)
            judged = judged or any(e.verdict != "rough" for e in found.elements) or not found.size
            if found.wrong and found.worst is not None:
                raise _refuted(claim, k, found.worst)
    if not judged:
        raise GradientError(
            f"the gradient rule of `{claim.name}` cannot be checked",
            why="the function is finite and smooth at none of the points that were tried",
            fix='give a point inside its domain, at=[...], or mark the rule: deliberate="..."',
        )


def _refuted(claim: Claim, k: int, e: ElementCheck) -> GradientError:
    name, d = claim.names[k], e.difference
    place = f"{name}{shape_text(e.index)}" if e.index else name
    true = f"is {number(d.value)}"
    if d.kink:
        true = f"lies between {number(d.left)} and {number(d.right)}"
    return GradientError(
        f"the gradient rule of `{claim.name}` is wrong by `{name}`",
        why=f"at {place} = {number(e.at)} it claims {number(e.gradient)}, and the true value {true}"
        " (upstream times slope)",
        fix='mend the rule, or say why it is meant so: deliberate="..."',
    )


def is_linear(claim: Claim) -> bool:
    """Whether the rule is linear in the upstreams: r(u, v) = −(r(−2u, 0) + r(0, −2v)) / 2, at all the points."""
    downstream = list(claim.claimed.values())
    for point in _points(claim, None):
        sums = [0 * point.values[claim.xs[k]] for k in claim.claimed]
        for u in claim.upstreams:
            alone = {v: (-2 if v is u else 0) * point.values[v] for v in claim.upstreams}
            found = Point({**point.values, **alone}, point.dims).evaluate(downstream)
            sums = [s + found[d] for s, d in zip(sums, downstream, strict=True)]
        whole = point.evaluate(downstream)
        for s, d in zip(sums, downstream, strict=True):
            finite = np.isfinite(s) & np.isfinite(whole[d])
            if not np.allclose(-0.5 * s[finite], whole[d][finite], rtol=1e-4, atol=1e-6):
                return False
    return True


def _weighted(claim: Claim) -> Node:
    """Σ upstream · y over all results: what the rule is the gradient of."""
    total: Node | None = None
    for y, u in zip(claim.ys, claim.upstreams, strict=True):
        product = elementwise("mul", u, y)
        rank = product.type.rank
        term = node(Reduce("sum", tuple(range(rank))), product) if rank else product
        if total is not None and total.type != term.type:
            term = node(Cast(total.type.dtype), term)
        total = term if total is None else elementwise("add", total, term)
    assert total is not None
    return total


def _points(claim: Claim, at: Sequence[Array] | None) -> Iterator[Point]:
    """Values for the operands and the upstreams; named dimensions are 2, 3, ... long."""
    leaves = (*claim.xs, *claim.upstreams)
    names = sorted({d for n in leaves for d in n.type.dims})
    dims = {d: 2 + k for k, d in enumerate(names)}
    draw = np.random.default_rng(0)
    if at is not None:
        given = dict(zip(claim.xs, at, strict=True))
        sizes = [(d, s) for x, a in given.items() for d, s in zip(x.type.shape, a.shape, strict=True)]
        bound = {**dims, **{str(d): s for d, s in sizes if isinstance(d, Dim) and str(d) in dims}}
        yield Point(given | {u: _draw(u.type, bound, draw, _NORMAL) for u in claim.upstreams}, bound)
    for kind in _POINTS:
        values = {x: _draw(x.type, dims, draw, kind) for x in claim.xs}
        yield Point(values | {u: _draw(u.type, dims, draw, _NORMAL) for u in claim.upstreams}, dims)


def _draw(type: TensorType, dims: Mapping[str, int], draw: np.random.Generator, kind: Draw) -> Array:
    shape = [evaluate(d, dims) for d in type.shape]
    # Whole numbers are 0 or 1, so that they are places in almost any axis.
    values = kind(draw, shape) if type.dtype.is_float else draw.integers(0, 2, shape)
    return values.astype(type.dtype.numpy)
