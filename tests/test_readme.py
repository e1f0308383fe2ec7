"""The README is true: its code runs and prints what it says, its commands are those of continuous integration."""

from __future__ import annotations

import doctest
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = [(m[1], m[2]) for m in re.finditer(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def of_kind(language: str) -> list[str]:
    return [text for kind, text in BLOCKS if kind == language]


def test_every_block_is_of_a_kind_that_is_tested() -> None:
    assert README.count("```") == 2 * len(BLOCKS)
    assert {kind for kind, _ in BLOCKS} == {"sh", "python", "console"}
    assert all(text.startswith(">>> ") for text in of_kind("python")), "so that what is printed is compared"
    assert all(text.startswith("$ ") for text in of_kind("console"))


def test_python_prints_what_the_readme_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # for the files that are written
    examples = doctest.DocTestParser().get_doctest(
        "\n".join(of_kind("python")), {}, "README.md", "README.md", 0
    )
    report: list[str] = []
    result = doctest.DocTestRunner(optionflags=FLAGS).run(examples, out=report.append)
    assert result.failed == 0, "".join(report)
    assert result.attempted > 20
    assert (tmp_path / "chain-rule.svg").read_text(encoding="utf-8").count("<svg") == 1


@pytest.mark.parametrize("block", of_kind("console"), ids=lambda text: text.splitlines()[0][2:])
def test_commands_print_what_the_readme_says(block: str) -> None:
    command, _, expected = block[2:].partition("\n")
    program, *arguments = command.split()
    assert program == "graphc"
    path = os.pathsep.join([str(Path(sys.executable).parent), sysconfig.get_path("scripts")])
    found = shutil.which(program, path=path)
    assert found is not None, "graphc is not installed beside this Python"
    done = subprocess.run(
        [found, *arguments],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        stdin=subprocess.DEVNULL,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert doctest.OutputChecker().check_output(expected, done.stdout, FLAGS), done.stdout


def test_continuous_integration_runs_the_commands_of_the_readme() -> None:
    (block,) = of_kind("sh")
    main_job, tests = block.splitlines()
    listed = subprocess.run(
        [ROOT / ".ci" / "run", "--list"], capture_output=True, encoding="utf-8", check=True
    )
    assert listed.stdout.splitlines() == [main_job, tests]
    assert main_job.endswith(" && .venv/bin/graphc demo") and ".venv/bin/pytest" in tests
    for command in (main_job, tests):
        assert command.startswith("python3 -m venv .venv && .venv/bin/pip install "), "on a fresh machine"


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)]+)\)", README)
    assert len(links) > 5
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_stages_are_those_that_there_are() -> None:
    import graphc as gc

    x = gc.input("x")
    table = re.findall(r"^\| `([\w-]+)`", README, re.MULTILINE)
    assert table == list(gc.compile([x], x * x).stages)
