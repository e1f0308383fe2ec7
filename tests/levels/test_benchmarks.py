"""The benchmark harness in its smallest form: graphc alone, so that it works without any peer."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks import __main__ as command
from tests.benchmarks import measure as harness
from tests.benchmarks.limits import Arithmetic, Stream
from tests.benchmarks.timing import Timing, interleave, ratio
from tests.benchmarks.workload import Adam, Prepared, Problem


@pytest.fixture
def other_competitors(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A competitor that is right, one that is wrong, and one that cannot."""

    def slow(problem: Problem, threads: int) -> Prepared:
        values = [np.asarray(v) for v in (-12.0, -4.0, -4.0, 3.0)]
        return Prepared(lambda: time.sleep(2e-4), lambda: values)

    def wrong(problem: Problem, threads: int) -> Prepared:
        return Prepared(lambda: None, lambda: [np.zeros(())] * 4)

    def broken(problem: Problem, threads: int) -> Prepared:
        raise RuntimeError("no such operator\nand more")

    made = {"slow": slow, "wrong": wrong, "broken": broken}
    others = tuple(harness.Competitor(name, "", name, ()) for name in made)
    load = harness.Competitor.load
    monkeypatch.setattr(harness, "COMPETITORS", (harness.COMPETITORS[0], *others))
    monkeypatch.setattr(harness.Competitor, "load", lambda c: made.get(c.name) or load(c))
    yield


def test_who_is_right_is_timed_and_who_is_not_is_named(other_competitors: None) -> None:
    result = harness.measure("scalars", threads=1, seconds=0.2)
    own, slow, wrong, broken = result.competitors
    assert own.median is not None and own.error == 0.0 and own.ratio == 1.0
    assert slow.ratio is not None and slow.ratio > 1 and result.best_peer is slow
    assert wrong.median is None and wrong.note == "differs by 1.0e+00"
    assert broken.median is None and broken.note == "RuntimeError: no such operator"


def test_a_compiler_that_takes_too_long_is_stopped() -> None:
    with pytest.raises(harness.TimeLimit), harness.time_limit(0.05):
        time.sleep(5)


def test_the_command_measures_in_a_process_of_its_own_and_writes_what_it_shows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "new" / "figures.json"
    arguments = ["sigmoid-f64", "--threads", "1", "--seconds", "0.1", "--only", "graphc", "--json", str(file)]
    assert command.main(arguments) == 0
    (row,) = json.loads(file.read_text())["results"]
    (own,) = row["competitors"]
    assert row["workload"] == "sigmoid-f64" and own["error"] < 1e-10 and row["ratio"] is None
    assert 0 < row["floor"] < own["median"] and row["share"] == pytest.approx(row["floor"] / own["median"])
    assert "graphc against the best peer" in capsys.readouterr().out


def test_names_select_by_their_beginning() -> None:
    assert command.selected(["lenet"]) == ["lenet-train", "lenet-infer-1", "lenet-infer-64"]
    with pytest.raises(SystemExit, match="no workload begins with 'lent'"):
        command.selected(["lent"])


def test_everybody_has_a_turn_in_every_round() -> None:
    turns: list[str] = []
    calls = {name: (lambda name=name: turns.append(name)) for name in ("a", "b", "c")}
    spans = interleave(calls, seconds=0.03)
    assert len({len(t.rounds) for t in spans.values()}) == 1 and len(spans["a"].rounds) >= 3
    assert all(0 < t.best <= t.low <= t.median <= t.high and t.samples >= 9 for t in spans.values())
    order = "".join(name for name, _ in groupby(turns[9:]))
    assert order.startswith("abcbcacab")


def test_ratios_are_taken_round_by_round() -> None:
    slow = Timing((2.0, 40.0, 6.0), 6.0, 2.0, 40.0, 2.0, 3)  # the second and third round were disturbed
    fast = Timing((1.0, 20.0, 3.0), 3.0, 1.0, 20.0, 1.0, 3)
    assert ratio(slow, fast) == 2.0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_peak_runs(dtype: str) -> None:
    peak = Arithmetic(dtype)
    peak.call()
    assert peak.amount == pytest.approx(2e7, rel=0.01)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("kind", ["read", "copy"])
def test_streams_count_what_all_threads_move(kind: str, threads: int) -> None:
    stream = Stream(kind, 1 << 16, threads)
    stream.call()
    assert stream.amount == pytest.approx(threads * 2e7, rel=0.01)
    if kind == "copy":
        stream._source[:] = 7
        stream.call()
        assert np.array_equal(stream._target, stream._source)


def test_traffic_counts_what_a_training_step_reads_and_writes() -> None:
    w, x = np.zeros((3, 2), np.float32), np.zeros((5, 3), np.float32)
    problem = Problem(lambda ops, params, x: x, (x,), {"w": w}, optimizer=Adam(1e-3))
    assert problem.traffic == x.nbytes + 6 * w.nbytes
