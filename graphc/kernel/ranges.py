"""Level 5, ranges: what can be proved about an index from the loops around it.

Named dimensions, floors and loop variables are non-negative integers; nothing else is assumed of them.  Every
answer is conservative: `True` and a bound are proofs, `False` and `None` mean "not proved".

>>> N, i, j = Dim.of("N"), Dim.of("i"), Dim.of("j")
>>> most(32 * i + j, {"i": (0, N // 32), "j": (0, 32)})       # i < floor(N/32), j < 32
32*floor((N)/32)-1
>>> nonnegative(N - 32 * (N // 32)), nonnegative(31 - N % 32), nonnegative(N - 1)
(True, True, False)
>>> rows = 6 * ((N + 1) // 2) + 12
>>> nonnegative(64 - rows % 64)
True
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from graphc.ir.dims import Dim, FloorDiv, Index, coefficient, names, product, substitute

Bounds: TypeAlias = Mapping[str, tuple[Index, Index]]
"""Variable → (first value, one past the last), outermost first."""


def nonnegative(index: Index) -> bool:
    """Whether the polynomial is at least 0 for all non-negative values of its variables."""
    if _signs(index):
        return True
    # (x-d+1)/d <= floor(x/d) <= x/d: first where a floor counts against us, then where it counts for us; and all
    # of them, the outer ones first.
    bound = _without_floors(index, -1)
    return _signs(bound) or _signs(_without_floors(bound, 1)) or _signs(_without_floors(index, 0))


def _signs(index: Index) -> bool:
    return index >= 0 if isinstance(index, int) else all(c > 0 for _, c in index.terms)


def _without_floors(index: Index, sign: int) -> Index:
    """A lower bound, up to a positive factor, without the floors whose term has the given sign (0: any)."""
    while isinstance(index, Dim):
        found = [
            (atoms, c, a)
            for atoms, c in index.terms
            for a in atoms
            if isinstance(a, FloorDiv) and (c * sign > 0 or sign == 0)
        ]
        if not found:
            return index
        # A floor inside a floor comes last, since it may cancel once the outer one is gone.
        atoms, c, floor = max(found, key=lambda f: len(str(f[2])))
        rest = product(Dim((((a,), 1),)) for a in _minus(atoms, floor))
        term = Dim(((atoms, c),))
        bound = floor.value if c < 0 else floor.value - (floor.divisor - 1)
        index = (index - term) * floor.divisor + c * (rest * bound)
    return index


def _minus(atoms: tuple[str | FloorDiv, ...], one: FloorDiv) -> tuple[str | FloorDiv, ...]:
    at = atoms.index(one)
    return atoms[:at] + atoms[at + 1 :]


def most(index: Index, bounds: Bounds) -> Index | None:
    """The largest value of an index, or an upper bound of it, free of the bounded variables."""
    return _extreme(index, bounds, upper=True)


def least(index: Index, bounds: Bounds) -> Index | None:
    """The smallest value of an index, or a lower bound of it, free of the bounded variables."""
    return _extreme(index, bounds, upper=False)


def _extreme(index: Index, bounds: Bounds, upper: bool) -> Index | None:
    # Innermost first, because the range of an inner loop may speak of the outer ones.
    for var in reversed(tuple(bounds)):
        if isinstance(index, int):
            break
        if var not in names(index):
            continue
        slope = coefficient(index, var)
        if slope is None:
            return None
        lo, hi = bounds[var]
        if nonnegative(slope):
            index = substitute(index, {var: hi - 1 if upper else lo})
        elif nonnegative(-1 * slope):
            index = substitute(index, {var: lo if upper else hi - 1})
        else:
            return None
    return index


def within(index: Index, size: Index, bounds: Bounds) -> bool:
    """Whether `0 <= index < size` is proved."""
    low, high = least(index, bounds), most(index, bounds)
    return low is not None and high is not None and nonnegative(low) and nonnegative(size - 1 - high)


def outside(index: Index, size: Index, bounds: Bounds) -> bool:
    """Whether some iteration is proved to have an index below 0 or at least `size`.

    Only constants are judged, since a named dimension may be 0, and then no iteration runs.
    """
    low, high = least(index, bounds), most(index, bounds)
    if not (isinstance(low, int) and isinstance(high, int)):
        return False
    return low <= high and (low < 0 or (isinstance(size, int) and high >= size))


def divide(index: Index, divisor: int, bounds: Bounds) -> tuple[Index, Index] | None:
    """Quotient and remainder of an index, where both are polynomials: `32*i+j` with j < 32 gives (i, j)."""
    quotient: Index = 0
    for atoms, c in index.terms if isinstance(index, Dim) else (((), index),):
        if c % divisor == 0 or not atoms:
            quotient = quotient + (Dim(((atoms, c // divisor),)) if atoms else c // divisor)
    remainder = index - divisor * quotient
    return (quotient, remainder) if within(remainder, divisor, bounds) else None
