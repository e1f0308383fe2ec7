"""The benchmark harness in its smallest form: graphc alone, so that it works without any peer."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest

from graphc.show.scene import Rect, Text
from tests.benchmarks import __main__ as command
from tests.benchmarks import deep, memory, plot, report
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
    plotted = tmp_path / "plot.svg"
    arguments += ["--plot", str(plotted)]
    assert command.main(arguments) == 0
    (row,) = json.loads(file.read_text())["results"]
    (own,) = row["competitors"]
    assert row["workload"] == "sigmoid-f64" and own["error"] < 1e-10 and row["ratio"] is None
    assert 0 < row["floor"] < own["median"] and row["share"] == pytest.approx(row["floor"] / own["median"])
    assert own["memory"] is None or 0 < own["memory"] < 1e9
    assert row["target"] == 2.0 and row["reached"] is False and row["training"] is True
    out = capsys.readouterr().out
    assert "graphc against the best peer" in out and "one thread: 1 workloads" in out
    assert plotted.read_text().startswith("<svg")


def test_names_select_by_their_beginning() -> None:
    assert command.selected(["lenet"]) == ["lenet-train", "lenet-infer-1", "lenet-infer-64"]
    with pytest.raises(SystemExit, match="no workload begins with 'lent'"):
        command.selected(["lent"])


def test_competitors_can_be_left_out() -> None:
    arguments = command.parsed(["mlp", "--quick", "--without", "torch.compile", "CasADi"])
    every = {c.name for c in harness.COMPETITORS} - {harness.TILED}
    assert set(arguments.only) == every - {"torch.compile", "CasADi"}
    assert arguments.seconds == 3.0 and arguments.compile_limit == 120.0
    assert command.parsed(["mlp", "--only", "graphc", "JAX jit", "--without", "graphc"]).only == ["JAX jit"]
    assert command.parsed(["vgg", "--only", "graphc", "--winograd"]).only == ["graphc", "graphc winograd"]
    assert set(command.parsed(["vgg", "--winograd"]).only) == {*every, harness.TILED}


@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("scalars", {"PyTensor"}),
        ("mlp-4-8-3", {"PyTensor"}),
        ("bound-4-8-3", {"PyTensor", "CasADi"}),
        ("softmax-grad", set()),
        ("softmax", {"ONNX Runtime"}),
        ("lenet-train", {"PyTorch channels_last"}),
        ("lenet-infer-1", {"PyTorch channels_last", "ONNX Runtime"}),
        ("mlp-train", set()),
    ],
)
def test_who_competes(name: str, others: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness.Competitor, "missing", lambda c: [])
    everybody = {c.name for c in harness.competing(harness.WORKLOADS[name].problem())}
    assert everybody == {"graphc", "PyTorch", "torch.compile", "JAX jit", *others}


SMALL = [
    name
    for name in harness.WORKLOADS
    if name.startswith(("mlp-4", "bound-64", "softmax-grad", "layer-norm", "lstm"))
]


@pytest.mark.parametrize("name", SMALL)
def test_graphc_computes_what_its_reference_does(name: str) -> None:
    result = harness.measure(name, threads=1, seconds=0.05, only=("graphc",))
    (own,) = result.competitors
    assert own.note == "" and own.median is not None


@pytest.mark.parametrize(
    ("name", "parameters", "gflops"),
    [
        ("resnet20-train", 269_722 + 2_752, 32 * 3 * 0.0815),  # those of the paper, and of two 1×1 shortcuts
        ("resnet18-infer", 11_684_712, 3.63),  # 11.69 M in torchvision, whose scales are folded here
        ("vgg16-infer", 138_357_544, 30.96),
    ],
)
def test_deep_networks_have_the_sizes_of_the_papers(
    name: str, parameters: int, gflops: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = np.zeros((), "float32")
    shaped = lambda draw, shapes: {n: np.broadcast_to(nothing, s) for n, s in shapes.items()}  # noqa: E731
    monkeypatch.setattr(deep, "weights", shaped)
    problem = harness.WORKLOADS[name].problem()
    assert sum(a.size for a in problem.params.values()) == parameters
    assert problem.flops / 1e9 == pytest.approx(gflops, rel=0.02)


def result(name: str, ratio: float, target: float, memory: tuple[int, int] = (0, 0)) -> harness.Result:
    own = harness.Measured("graphc", median=1e-3, best=1e-3, ratio=1.0, memory=memory[0])
    peer = harness.Measured("PyTorch", median=ratio * 1e-3, best=1e-3, ratio=ratio, memory=memory[1])
    return harness.Result(name, "", 2, 0.5, target, False, 1e6, 1e6, 1e11, 1e10, 5e-4, (own, peer))


def test_the_outcome_counts_targets_and_memory() -> None:
    rows = [result("a", 4.0, 3.0, (5, 10)), result("b", 1.0, 1.5, (7, 10)), result("c", 0.25, 1.0)]
    failed = replace(rows[0], competitors=(harness.Measured("graphc", "too long"),))
    assert ", ".join(report.outcome([*rows, failed])) == (
        "2 threads: 4 workloads, 1 reach their target, 1 are below 1, 1 have no ratio, geometric mean 1.00×, "
        "1 of 2 use at most 0.6 of PyTorch's memory"
    )


def test_the_plot_has_a_bar_and_a_label_for_each_workload() -> None:
    rows = [result("swift", 4.0, 3.0), result("slow", 0.25, 1.0)]
    drawn = plot.scene(rows)
    bars = {r.fill: r for r in drawn.items if isinstance(r, Rect)}
    one = bars["value"].x
    assert bars["gradient"].x + bars["gradient"].width == pytest.approx(one)
    assert bars["gradient"].width == pytest.approx(bars["value"].width)  # 4 and 1/4, on a logarithmic axis
    texts = [t.content for t in drawn.items if isinstance(t, Text)]
    assert {"swift", "slow", "4.00×  PyTorch", "0.25×  PyTorch"} <= set(texts)
    assert plot.svg(rows) == plot.svg(rows)


def test_memory_counts_what_a_step_keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A competitor that keeps 30 MiB and touches 50 MiB more in each step."""
    kept: list[np.ndarray] = []

    def greedy(problem: Problem, threads: int) -> Prepared:
        if problem.traffic > 1000:
            kept.append(np.ones(30 << 17))
        size = 50 << 17 if problem.traffic > 1000 else 1
        return Prepared(lambda: np.ones(size).sum(), list)

    monkeypatch.setattr(harness.Competitor, "load", lambda c: greedy)
    found = memory.peak(harness.COMPETITORS[0], "sigmoid-f64", 1)
    if found is None:
        pytest.skip("the system does not tell peak memory")
    assert found[0] / 2**20 == pytest.approx(80, abs=10)


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
