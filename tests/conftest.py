"""What all tests share: a cache folder of their own, the back ends, and the errors that users read."""

from __future__ import annotations

import linecache
import os
import shutil
import tempfile
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

BACKENDS = ("reference", "interpreter", "llvm")
"""Every back end that needs no device."""

SOURCES = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "backends")]

collect_ignore_glob = ["benchmarks/with_*.py"]  # they import peers, which need not be installed

_mine: list[str] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden texts anew")


def pytest_configure(config: pytest.Config) -> None:
    """Compiled code is kept in a fresh folder for the session: tests neither read nor write the user's.

    Processes that tests start import the sources that are tested, whatever else is installed.
    """
    given = filter(None, [os.environ.get("PYTHONPATH")])
    os.environ["PYTHONPATH"] = os.pathsep.join([*SOURCES, *given])
    if not hasattr(config, "workerinput"):  # workers of xdist inherit the folder of their parent
        _mine.append(tempfile.mkdtemp(prefix="graphc-tests-"))
        os.environ["GRAPHC_CACHE"] = _mine[0]


def pytest_unconfigure(config: pytest.Config) -> None:
    for folder in _mine:
        shutil.rmtree(folder, ignore_errors=True)
    _mine.clear()


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """Runs the test once for each back end that needs no device."""
    return str(request.param)


@pytest.fixture
def error_of() -> Callable[..., str]:
    """A function that runs a program of the user's, `model.py`, and returns its error as `Class: text`.

    There must be one, and it must be short.  The program knows `gc`, `np`, and the names that are passed on.
    """
    import graphc as gc

    def run(program: str, **names: Any) -> str:
        text = textwrap.dedent(program).strip("\n") + "\n"
        linecache.cache["model.py"] = (len(text), None, text.splitlines(keepends=True), "model.py")
        try:
            exec(compile(text, "model.py", "exec"), {"gc": gc, "np": np, **names})
        except gc.GraphcError as error:
            found = f"{type(error).__name__}: {error}"
            assert found.count("\n") < 10
            return found
        raise AssertionError(f"this is no error:\n{text}")

    return run
