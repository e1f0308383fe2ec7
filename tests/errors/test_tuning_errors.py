"""Tuning where there is nothing to tune: the whole text, at the user's line."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from graphc import nn

PROGRAMS = {
    "function": ('x = gc.input("x", (4,))', "gc.compile([x], x + x, backend=backend, tune=True)"),
    "model": (
        "x = nn.Input(4); m = nn.Model(x, nn.Dense(3)(x))",
        "m.compile(backend=backend, tune=True)",
    ),
}


@pytest.mark.parametrize("backend", ["reference", "interpreter", "cuda"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_only_machine_code_is_tuned(name: str, backend: str, error_of: Callable[..., str]) -> None:
    first, second = PROGRAMS[name]
    assert error_of(f"{first}\n{second}", backend=backend, nn=nn) == "\n".join(
        [
            f"ArgumentError: the back end '{backend}' cannot be tuned",
            f"  model.py:2   {second}",
            f"               {'^' * len(second)}",
            "  why: tune=True chooses among schedules of machine code by running them",
            '  fix: use backend="llvm", or leave tune out',
        ]
    )
