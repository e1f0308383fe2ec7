"""Where the choices of a random graph come from: a seed (fast), or hypothesis (which shrinks them).

Choices shrink towards the first: a grower puts the plain one there.

>>> Seeded(0).pick("abc") in "abc"
True
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Protocol, TypeVar

from hypothesis import strategies as st

T = TypeVar("T")


class Choices(Protocol):
    def number(self, low: int, high: int) -> int:
        """A whole number in low … high."""
        ...

    def pick(self, options: Sequence[T]) -> T: ...

    def chance(self, percent: int) -> bool: ...


class _Choices:
    def number(self, low: int, high: int) -> int:
        raise NotImplementedError

    def pick(self, options: Sequence[T]) -> T:
        return options[self.number(0, len(options) - 1)]

    def chance(self, percent: int) -> bool:
        return self.number(0, 99) >= 100 - percent


class Seeded(_Choices):
    """From a seed: the same on every machine."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def number(self, low: int, high: int) -> int:
        return self._random.randint(low, high)


class Drawn(_Choices):
    """From a hypothesis strategy."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw

    def number(self, low: int, high: int) -> int:
        return self._draw(st.integers(low, high))
