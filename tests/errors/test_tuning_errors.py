"""Tuning where there is nothing to tune: the whole text, at the user's line."""

from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.mark.parametrize("backend", ["reference", "interpreter", "cuda"])
def test_only_machine_code_is_tuned(backend: str, error_of: Callable[..., str]) -> None:
    program = 'x = gc.input("x", (4,))\nfn = gc.compile([x], x + x, backend=backend, tune=True)'
    assert error_of(program, backend=backend) == "\n".join(
        [
            f"ArgumentError: the back end '{backend}' cannot be tuned",
            "  model.py:2   fn = gc.compile([x], x + x, backend=backend, tune=True)",
            "                    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^",
            "  why: tune=True chooses among schedules of machine code by running them",
            '  fix: use backend="llvm", or leave tune out',
        ]
    )
