"""What the comparisons with PyTorch and JAX share: a row of a table, and the value and derivatives of each side.

A row names one function three times (graphc's, PyTorch's, JAX's) and its arguments.  Compared are, in float32 and
float64: the value; the gradients of Σ u·f by every floating argument; for smooth rows the gradients of Σ w·(those
gradients), which are second derivatives.  u and w are drawn, so that no element hides behind another.

Arguments of elementwise rows are points in a row.  Behind the drawn points stand edges (zeros, ties, kinks: value
and gradient are compared), and behind those the infinities and NaN (the value is compared).  Where a convention of
graphc is not that of a peer, `differs` says so, and the test asserts exactly the difference:

    Difference("torch jax", "d1", 14, 0.0, 0.5)      the gradient by argument 1, element 14: 0 here, 0.5 there

Neither peer is needed to read the tables: `test_peers_listed.py` finds functions that have no row.

>>> r = Row(abs, "abs", "abs", (np.zeros(3),), differs=[Difference("jax", "d0", 1, 0.0, 1.0)])
>>> r.peer("torch"), [d.theirs for d in r.expected("jax", "d0")], r.expected("torch", "d0")
('abs', [1.0], [])
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

import graphc as gc
from graphc.lang.tensor import Tensor

Array: TypeAlias = np.ndarray[Any, Any]
Place: TypeAlias = "int | tuple[int, ...]"
Peer: TypeAlias = "Callable[..., Any] | str | None"

DTYPES = ("float32", "float64")


@dataclass(frozen=True)
class Difference:
    """Where a convention is another one: in a part ("value", "d0" by argument 0, "dd0"), at one element."""

    peers: str
    part: str
    at: Place
    ours: float
    theirs: float


@dataclass(frozen=True, eq=False)
class Row:
    """One function: graphc's, and the peers' as a callable, a name ("F.relu", "nn.relu", "lax.erf") or None."""

    ours: Callable[..., Any]
    torch: Peer
    jax: Peer
    arrays: Sequence[Array]
    smooth: bool = True  # second derivatives are compared too
    fixed: Sequence[int] = ()  # arguments without a gradient
    drawn: int | None = None  # elementwise: so many points are drawn; only they have second derivatives
    finite: int | None = None  # elementwise: points from here on have no gradient to compare
    loose: Mapping[str, float] = field(
        default_factory=dict
    )  # {"torch float64": how many times the tolerance}
    differs: Sequence[Difference] = ()

    def peer(self, name: str) -> Peer:
        return self.torch if name == "torch" else self.jax

    def expected(self, name: str, part: str) -> list[Difference]:
        return [d for d in self.differs if d.part == part and name in d.peers.split()]

    def given(self, dtype: str) -> list[Array]:
        return [a.astype(dtype) if a.dtype.kind == "f" else a for a in self.arrays]

    @property
    def moving(self) -> list[int]:
        return [k for k, a in enumerate(self.arrays) if a.dtype.kind == "f" and k not in self.fixed]


@dataclass(frozen=True)
class Found:
    """The value, the gradients, the second derivatives; none where the value is no float."""

    value: Array
    first: Sequence[Array] = ()
    second: Sequence[Array] = ()


def weights(shape: Sequence[int], seed: int) -> Array:
    """Drawn away from 0: every element counts."""
    rng = np.random.default_rng(seed)
    return np.asarray(rng.uniform(0.5, 1.5, shape) * rng.choice([-1.0, 1.0], shape))


def only_drawn(row: Row, w: Array) -> Array:
    """Weights for the second derivatives: none at edges, where graphc and peers may choose."""
    if row.drawn is not None and w.ndim == 1 and w.size > row.drawn:
        w[row.drawn :] = 0.0
    return w


@functools.cache
def _ours(row: Row, dtype: str) -> Found:
    arrays = row.given(dtype)
    xs = [gc.input(f"x{k}", a.shape, a.dtype) for k, a in enumerate(arrays)]
    y = row.ours(*xs)
    if not y.dtype.is_float or not row.moving:
        return Found(np.asarray(gc.compile(xs, y)(*arrays)))
    shape = [int(d) for d in y.shape]
    moving = [xs[k] for k in row.moving]
    first = gc.vjp(y, moving, gc.const(weights(shape, 1).astype(dtype)))
    second: list[Tensor] = []
    if row.smooth:
        w = [only_drawn(row, weights(arrays[k].shape, 2 + k)).astype(dtype) for k in row.moving]
        parts = [gc.sum(g * gc.const(c)) for g, c in zip(first, w, strict=True)]
        # A loss that does not depend on an argument has no gradient by it, so each takes part with a factor of 0.
        parts += [gc.sum(x * gc.const(np.zeros(1, dtype))) for x in moving]
        second = gc.grad(functools.reduce(operator.add, parts), moving)
    value, *rest = gc.compile(xs, [y, *first, *second])(*arrays)
    return Found(value, rest[: len(first)], rest[len(first) :])


def compare(peer: str, row: Row, dtype: str, theirs: Callable[[Row, str], Found]) -> None:
    """All parts of a row agree, but for the differences that it states, which are there."""
    found, expected = _ours(row, dtype), theirs(row, dtype)
    assert found.value.shape == expected.value.shape
    _agree(row, peer, "value", found.value, expected.value, dtype, None)
    for part, stop in (("first", row.finite), ("second", row.drawn)):
        pairs = list(zip(getattr(found, part), getattr(expected, part), strict=True))
        for k, (a, b) in zip(row.moving, pairs, strict=bool(pairs)):
            if part == "first" and row.drawn is not None:  # of each element alone: the derivative itself
                up = weights(a.shape, 1)
                a, b = (a / up).astype(a.dtype), (b / up).astype(b.dtype)
            _agree(row, peer, f"{'d' if part == 'first' else 'dd'}{k}", a, b, dtype, stop)


def _agree(row: Row, peer: str, part: str, a: Array, b: Array, dtype: str, stop: int | None) -> None:
    a, b = np.array(a[:stop] if stop is not None else a), np.array(b[:stop] if stop is not None else b)
    assert a.dtype == b.dtype, f"{part} is {a.dtype}"
    if a.dtype.kind != "f":
        np.testing.assert_array_equal(a, b, err_msg=part)
        return
    rtol = (1e-5 if dtype == "float32" else 1e-10) * (1 if part in ("value", "d0", "d1", "d2") else 4)
    rtol *= row.loose.get(f"{peer} {dtype}", 1)
    for d in row.expected(peer, part):
        np.testing.assert_allclose(a[d.at], d.ours, rtol=rtol, atol=rtol, err_msg=f"{part} at {d.at}, graphc")
        np.testing.assert_allclose(
            b[d.at], d.theirs, rtol=rtol, atol=rtol, err_msg=f"{part} at {d.at}, {peer}"
        )
        a[d.at] = b[d.at] = 0.0
    # Sums cancel: what is left of them is as exact as their terms.  Elementwise rows have no sums.
    finite = np.abs(b[np.isfinite(b)])
    scale = float(finite.max(initial=0.0)) if row.drawn is None else 1.0
    np.testing.assert_allclose(
        a, b, rtol=rtol, atol=rtol * 0.1 * min(scale, 1e3), err_msg=f"{part} against {peer}"
    )


def resolve(root: Any, name: Callable[..., Any] | str) -> Callable[..., Any]:
    """The function behind a name, such as "nn.functional.relu" below torch."""
    return operator.attrgetter(name)(root) if isinstance(name, str) else name  # type: ignore[no-any-return]


class Table:
    """Rows that are drawn from one seed; the first word of a name is that of graphc's function."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.rows: dict[str, Row] = {}

    def row(
        self, name: str, ours: Callable[..., Any], theirs: Peer, jaxs: Peer, *arrays: Array | Sequence[int],
        smooth: bool = True, fixed: Sequence[int] = (), loose: Mapping[str, float] | None = None,
        differs: Sequence[Difference] = (),
    ) -> None:  # fmt: skip
        """A row; arrays may be given by their shapes."""
        assert name not in self.rows and hasattr(gc, name.split()[0]), name
        given = [a if isinstance(a, np.ndarray) else np.asarray(self.rng.normal(size=a)) for a in arrays]
        self.rows[name] = Row(ours, theirs, jaxs, given, smooth, fixed, None, None, loose or {}, differs)

    def linear(
        self, name: str, ours: Callable[..., Any], theirs: Peer, jaxs: Peer, *arrays: Array | Sequence[int]
    ) -> None:
        """A row without second derivatives."""
        self.row(name, ours, theirs, jaxs, *arrays, smooth=False)
