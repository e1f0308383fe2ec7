"""Proofs of rewrite rules: is pattern = replacement, and as exactly as the rule says?

| rules                | step                                                                          | shows         |
|----------------------|-------------------------------------------------------------------------------|---------------|
| formulas             | SymPy, over the symbols of the wildcards; else 50 digits (`graphc.ops.prove`) | the equation  |
| formulas, `bitwise`  | all combinations of ±0, ±1, ±∞, NaN, subnormals, …: the same bits             | the exactness |
| formulas, `value`    | the same, but for the sign of a zero                                          | the exactness |
| on structure         | every instance at N = 0, 1 and 5, small whole numbers and special values      | both          |
| …, `stable`, `fast`  | the same at ordinary values, to 1e-5                                          | the equation  |

>>> from graphc.passes.rules import RULES
>>> print(prove_rule(RULES["mul-one"]))
proved: and the same bits at 32 points
>>> print(prove_rule(RULES["slice-pad"]))
sampled: the same bits at 90 elements of 2 instances
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from graphc.errors import InternalError
from graphc.ir.dims import Dim
from graphc.ir.dims import evaluate as size_of
from graphc.ir.evaluate import evaluate_nodes
from graphc.ir.node import Node, toposort
from graphc.ir.types import Array, DType
from graphc.ops.leaves import Input
from graphc.ops.prove import Proof
from graphc.passes.equation import has_reduction
from graphc.passes.rewrite import Exactness, Rule
from graphc.passes.rules_cases import instances, is_formula

EDGES = (0.0, -0.0, 1.0, -1.0, 0.5, 2.5, -0.3, 1e-40, -1e-40, 3e38, np.inf, -np.inf, np.nan)
"""The values at which formulas are compared: zeros, ones, subnormals in f32, the ends, and what is no number."""

SIZES = (0, 1, 5)
"""The sizes of a named dimension."""

_SAYS = {"bitwise": "the same bits", "value": "the same values", "stable": "equal", "fast": "equal"}


@functools.cache
def prove_rule(r: Rule) -> Proof:
    """The verdict on a rule of the table; each is asked for once."""
    return prove_on(r, tuple(instances(r)))


def prove_on(r: Rule, cases: Sequence[Node]) -> Proof:
    """The verdict on a rule, on graphs at which it applies.

    Raises InternalError where it does not apply at one of them: nothing would be known.
    """
    algebra = r.prove() if is_formula(r) else None
    if algebra is not None and (not algebra or r.exact in ("stable", "fast") or has_reduction(r.pattern)):
        return algebra
    compared = 0
    for root in cases:
        found = r.apply(root)
        if found is None:
            raise InternalError(f"the rule {r.name} does not apply at {root}")
        for arrays, dims in _inputs(root, r.exact, whole=algebra is not None):
            values = evaluate_nodes(toposort([root, found[1]]), arrays, dims)
            before, after = values[root], values[found[1]]
            wrong = differences(before, after, r.exact)
            if wrong.any():
                at = tuple(int(k[0]) for k in np.nonzero(wrong))
                given = ", ".join(f"{getattr(n.op, 'title', n)} = {_at(a, at)}" for n, a in arrays.items())
                detail = f"at {given}: {before[at]} becomes {after[at]}" + (f", element {at}" if at else "")
                return Proof("refuted", detail)
            compared += before.size
    if not cases:
        raise InternalError(f"the rule {r.name} has no instance")
    if algebra is not None:
        return Proof(algebra.kind, f"and {_SAYS[r.exact]} at {compared} points")
    return Proof("sampled", f"{_SAYS[r.exact]} at {compared} elements of {len(cases)} instances")


def differences(before: Array, after: Array, exact: Exactness) -> Array:
    """Where two results differ by more than an exactness class allows."""
    if before.dtype != after.dtype or before.shape != after.shape:
        return np.ones(before.shape, bool)
    same = (before == after) | ((before != before) & (after != after))
    if exact in ("stable", "fast") and before.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            same |= np.abs(before - after) <= 1e-5 * np.maximum(np.abs(before), 1)
        same |= ~np.isfinite(before)
    if exact == "bitwise" and before.dtype.kind == "f":
        same &= (np.signbit(before) == np.signbit(after)) | (before != before)
    return np.asarray(~same)


def _at(array: Array, place: tuple[int, ...]) -> object:
    """The element of an operand that belongs to one of the result, where it has the same shape."""
    return (
        array[place]
        if array.ndim == len(place) and all(k < d for k, d in zip(place, array.shape, strict=True))
        else "…"
    )


def _edges(dtype: DType) -> Sequence[object]:
    if dtype is DType.BOOL:
        return (False, True)
    return (
        EDGES
        if dtype.is_float
        else (0, 1, -1, 7, *(getattr(np.iinfo(dtype.numpy), end) for end in ("min", "max")))
    )


def _inputs(
    root: Node, exact: Exactness, *, whole: bool
) -> Iterator[tuple[dict[Node, Array], dict[str, int]]]:
    """Values of the inputs of a graph: with `whole`, every combination of edge values along the one axis N."""
    leaves = [n for n in toposort([root]) if isinstance(n.op, Input)]
    if whole:
        pools = [_edges(n.type.dtype) for n in leaves]
        columns: Iterable[tuple[object, ...]] = zip(*itertools.product(*pools), strict=True)
        with np.errstate(all="ignore"):
            given = {n: np.array(v, n.type.dtype.numpy) for n, v in zip(leaves, columns, strict=True)}
        yield given, {"N": len(next(iter(given.values()), ()))}
        return
    for size in SIZES:
        draw, dims = np.random.default_rng(size), {"N": size}
        found = {}
        for n in leaves:
            shape = [size_of(d, dims) if isinstance(d, Dim) else d for d in n.type.shape]
            # Small whole numbers: sums of them are exact in every order.
            array = draw.integers(-4, 5, shape).astype(n.type.dtype.numpy)
            if array.dtype.kind == "f" and exact == "bitwise":
                special = draw.choice([-0.0, np.nan, np.inf, -np.inf, 1e-40], shape)
                array = np.where(draw.random(shape) < 0.4, special, array).astype(array.dtype)
            found[n] = array
        yield found, dims
