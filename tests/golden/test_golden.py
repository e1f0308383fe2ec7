"""The text of every level, word for word, for four small programs.

A text that changes is a change to look at: the difference is printed, and `pytest --update-golden tests/golden`
writes the files anew.
"""

from __future__ import annotations

import difflib
import functools
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parents[1] / "examples"
PROGRAMS = {
    "chain_rule": EXAMPLES / "01_chain_rule.py",
    "softmax_cross_entropy": EXAMPLES / "05_softmax_cross_entropy.py",
    "convolution": HERE / "convolution.py",
    "loop": EXAMPLES / "09_loop.py",
}
STAGES = ("graph", "log", "optimized", "fused", "kernels", "scheduled")
GOLDEN = [(program, stage) for program in PROGRAMS for stage in STAGES] + [("chain_rule", "llvm")]


@functools.cache
def texts(program: str) -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, str(HERE / "stages.py"), str(PROGRAMS[program])],
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    # Lines without what an editor would remove.
    return {stage: "\n".join(map(str.rstrip, text.splitlines())) + "\n" for stage, text in found.items()}


@pytest.mark.parametrize(("program", "stage"), GOLDEN, ids=["-".join(g) for g in GOLDEN])
def test_the_text_of_a_level(program: str, stage: str, request: pytest.FixtureRequest) -> None:
    path = HERE / f"{program}.{stage}.txt"
    got = texts(program)[stage]
    if request.config.getoption("--update-golden"):
        path.write_text(got, encoding="utf-8")
    want = path.read_text(encoding="utf-8")
    changes = difflib.unified_diff(want.splitlines(), got.splitlines(), path.name, "now", lineterm="", n=1)
    assert want == got, "\n".join(
        [*changes, "if this is as it should be: pytest --update-golden tests/golden"]
    )


def test_there_is_no_golden_text_that_nobody_compares() -> None:
    assert sorted(p.name for p in HERE.glob("*.txt")) == sorted(f"{p}.{s}.txt" for p, s in GOLDEN)


@pytest.mark.parametrize("program", PROGRAMS)
def test_each_level_leads_to_the_one_above(program: str) -> None:
    """The debug information of the LLVM code names the lines of the kernels that it was made from."""
    found = texts(program)
    kernels = found["scheduled"].splitlines()
    llvm = found["llvm"]
    lines = {int(part.split(",")[0]) for part in llvm.split("!DILocation(line: ")[1:]}
    assert len(lines) > 3 and max(lines) <= len(kernels)
    seen: set[str] = set()
    first = 1
    for kernel in found["scheduled"].split("\n\n"):
        loads = {first + k for k, line in enumerate(kernel.splitlines()) if " = load " in line}
        words = re.sub(r"\b(k\d+_\w+|v\d+\w*|out\d+|source|target)\b", "", kernel.strip())
        assert loads <= lines or words in seen, (
            "every load is somewhere in the code, or in that of a kernel like it"
        )
        seen.add(words)
        first += kernel.count("\n") + 2
    assert found["graph"].count("\n") >= found["optimized"].count("\n") > 1
