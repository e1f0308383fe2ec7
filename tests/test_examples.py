"""Every example runs, and prints what its docstring says."""

from __future__ import annotations

import ast
import doctest
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
PATHS = sorted(EXAMPLES.glob("*.py"))


def promised(path: Path) -> str:
    """What comes after "It prints:" in the docstring of a file."""
    doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")), clean=True) or ""
    _, _, output = doc.partition("It prints:\n")
    return textwrap.dedent(output).strip("\n") + "\n"


@pytest.mark.parametrize("path", PATHS, ids=lambda p: p.stem)
def test_an_example_prints_what_it_says(path: Path, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONIOENCODING": "utf-8", "COLUMNS": "80", "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, str(path)],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    want, got = promised(path), "\n".join(line.rstrip() for line in done.stdout.splitlines()) + "\n"
    assert want.strip(), "the docstring says nothing about what is printed"
    assert doctest.OutputChecker().check_output(want, got, doctest.ELLIPSIS), got
    assert not list(tmp_path.iterdir()), "an example must leave no files behind"


def test_examples_are_numbered_and_each_is_in_the_readme() -> None:
    assert [p.stem[:2] for p in PATHS] == [f"{k:02}" for k in range(1, len(PATHS) + 1)]
    readme = (EXAMPLES.parent / "README.md").read_text(encoding="utf-8")
    assert [p.name for p in PATHS if p.name not in readme] == []
