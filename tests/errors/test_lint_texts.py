"""What the linter says, word for word: the user's line, the caret, the reason and the repair."""

from __future__ import annotations

import linecache
import textwrap
import warnings

import numpy as np
import pytest
from lint_programs import PROGRAMS

import graphc as gc
from graphc import nn
from graphc.errors import ArgumentError


def run(program: str) -> dict[str, object]:
    """The names of a program `model.py` after it has run."""
    text = textwrap.dedent(program).strip("\n") + "\n"
    linecache.cache["model.py"] = (len(text), None, text.splitlines(keepends=True), "model.py")
    names: dict[str, object] = {"gc": gc, "nn": nn, "np": np}
    exec(compile(text, "model.py", "exec"), names)
    return names


@pytest.mark.parametrize("case", PROGRAMS)
def test_the_text_of_a_finding(case: str) -> None:
    program, text = PROGRAMS[case]
    found = run(program)["found"]
    assert str(found) == textwrap.dedent(text).strip("\n")


def test_every_finding_has_a_text_here() -> None:
    from graphc.warn import NAMES

    assert {case.split()[0] for case in PROGRAMS} == set(NAMES)


def test_findings_are_printed_with_a_line_between() -> None:
    found = run(
        """
        w, v = gc.param("w", 3), gc.param("v", 3)
        loss = gc.sum(gc.floor(w) + gc.sqrt(gc.abs(v)))
        found = gc.lint(loss, [w, v])
        """
    )["found"]
    assert str(found).split("\n\n") == [str(f) for f in found]  # type: ignore[attr-defined]
    assert found.names == ["dead-gradient", "nan-gradient"]  # type: ignore[attr-defined]


def test_a_warning_reads_as_a_finding() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run(
            """
            x = nn.Input(4)
            model = nn.Model(x, nn.Dense(3, activation="softmax")(x))
            model.compile(loss="mse")
            """
        )
    (warning,) = caught
    assert warning.category is gc.GraphcWarning
    assert (warning.filename, warning.lineno) == ("model.py", 3)
    assert str(warning.message) == textwrap.dedent(
        """\
        output-loss-mismatch: a softmax is compared by squared error
          model.py:3   model.compile(loss="mse")
                       ^^^^^^^^^^^^^^^^^^^^^^^^^
          why: where the softmax is sure and wrong, the slope of the squared error is nearly 0: it learns no more
          fix: use a cross-entropy of the logits: gc.log_softmax"""
    )


# ---- wrong arguments --------------------------------------------------------------------------------------------


def refused(program: str) -> str:
    with pytest.raises(gc.GraphcError) as info:
        run(program)
    return f"{type(info.value).__name__}: {info.value}"


def test_an_unknown_name() -> None:
    assert refused('x = gc.input("x")\nfound = gc.lint(x, silence=["kink-at-points"])') == textwrap.dedent(
        """\
        ArgumentError: no warning of graphc is called 'kink-at-points'
          model.py:2   found = gc.lint(x, silence=["kink-at-points"])
                               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          fix: did you mean 'kink-at-point'?"""
    )


def test_an_unknown_name_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHC_SILENCE", "everything")
    assert refused('x = gc.input("x")\nfound = gc.lint(x)').splitlines()[0] == (
        "ArgumentError: no warning of graphc is called 'everything'"
    )


def test_an_unknown_name_to_silence() -> None:
    with pytest.raises(ArgumentError, match=r"^no warning of graphc is called 'dead'"), gc.silence("dead"):
        pass


def test_a_word_that_is_no_point() -> None:
    assert refused('x = gc.input("x")\nfound = gc.lint(x, at="zero")') == textwrap.dedent(
        """\
        ArgumentError: at is 'zero'
          model.py:2   found = gc.lint(x, at="zero")
                               ^^^^^^^^^^^^^^^^^^^^^
          fix: give values, {x: ...}, or "random\""""
    )


def test_a_range_of_nothing() -> None:
    assert refused('x = gc.input("x")\nfound = gc.lint(x, ranges={"y": (0, 1)})') == textwrap.dedent(
        """\
        ArgumentError: a range is given for `y`, which is no input of the loss
          model.py:2   found = gc.lint(x, ranges={"y": (0, 1)})
                               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          why: it depends on `x`"""
    )


def test_a_range_that_is_turned_round() -> None:
    assert refused('x = gc.input("x")\nfound = gc.lint(x, ranges={x: (1, 0)})') == textwrap.dedent(
        """\
        ArgumentError: the range of `x` is from 1 to 0
          model.py:2   found = gc.lint(x, ranges={x: (1, 0)})
                               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          why: the smaller number comes first"""
    )


def test_a_loss_that_is_no_scalar() -> None:
    assert refused('x = gc.input("x", 3)\nfound = gc.lint(x)').startswith(
        "GradientError: the gradient of a tensor of type f64[3] is not one tensor\n  model.py:2   "
    )
