"""What all tests share: a cache folder of their own, the back ends, and errors in units of the last place."""

from __future__ import annotations

import linecache
import os
import shutil
import tempfile
import textwrap
from typing import Any

import numpy as np
import pytest

BACKENDS = ("reference", "interpreter", "llvm")
"""Every back end that needs no device."""

collect_ignore_glob = ["benchmarks/with_*.py"]  # they import peers, which need not be installed

_mine: list[str] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden texts anew")


def pytest_configure(config: pytest.Config) -> None:
    """Compiled code is kept in a fresh folder for the session: tests neither read nor write the user's."""
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


def ulp_error(got: Any, exact: Any, floor: float = 0.0) -> float:
    """The largest |got - exact| in units of the last place of `exact`, in the precision of `got`.

    `exact` is in a higher precision than `got`; values below `floor` are measured as if they were `floor`.
    Infinities and NaNs must agree, else the error is infinite.
    """
    got = np.asarray(got)
    exact = np.broadcast_to(np.asarray(exact, np.longdouble), got.shape)
    rounded = exact.astype(got.dtype)
    special = ~np.isfinite(rounded) | ~np.isfinite(got)
    if not np.array_equal(got[special], rounded[special], equal_nan=True):
        return float("inf")
    size = np.maximum(np.abs(rounded), got.dtype.type(floor))[~special]
    error = np.abs(got.astype(np.longdouble) - exact)[~special] / np.spacing(size).astype(np.longdouble)
    return float(error.max()) if error.size else 0.0


def error_of(program: str, **names: Any) -> str:
    """The error of a program of the user's, `model.py`, as `Class: text`; it must be one, and short.

    `gc` and `np` are imported, and `names` are known.
    """
    import graphc as gc

    text = textwrap.dedent(program).strip("\n") + "\n"
    linecache.cache["model.py"] = (len(text), None, text.splitlines(keepends=True), "model.py")
    try:
        exec(compile(text, "model.py", "exec"), {"gc": gc, "np": np, **names})
    except gc.GraphcError as error:
        found = f"{type(error).__name__}: {error}"
        assert found.count("\n") < 10
        return found
    raise AssertionError(f"this is no error:\n{text}")
