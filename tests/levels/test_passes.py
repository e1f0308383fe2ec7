"""Level 3: the driver, the passes, the pipeline and its log."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np
import pytest

import graphc as gc
from graphc.errors import ArgumentError, GraphError, InternalError
from graphc.ir.graph import Graph
from graphc.ir.node import Node, locations, node
from graphc.ir.text import graph_text
from graphc.ir.types import TensorType
from graphc.ops.elementwise import constant_like, elementwise
from graphc.ops.leaves import Input
from graphc.ops.views import Transpose
from graphc.passes.pattern import Number, Spread, Wild, call, match
from graphc.passes.pipeline import PIPELINE, Context, Pass, optimize, run_pass
from graphc.passes.rewrite import describe, rule, simplify
from graphc.passes.rules import RULES
from graphc.passes.rules_exponentials import total
from graphc.passes.through_views import constant_value
from graphc.runtime.reference import evaluate

x, y = Wild("x"), Wild("y")


def graph_of(
    *outputs: gc.Tensor, inputs: tuple[gc.Tensor, ...], updates: dict[gc.Tensor, gc.Tensor] | None = None
) -> Graph:
    pairs = tuple((p.node, v.node) for p, v in (updates or {}).items())
    return Graph("g", tuple(t.node for t in inputs), tuple(t.node for t in outputs), pairs)


def perceptron() -> Graph:
    """One training step of a perceptron with one hidden layer: loss, and four updates."""
    images, labels = gc.input("X", ("N", 64), "float32"), gc.input("T", ("N",), "int64")
    w1, b1 = gc.param("W1", (64, 32), init="kaiming"), gc.param("b1", (32,))
    w2, b2 = gc.param("W2", (32, 10), init="kaiming"), gc.param("b2", (10,))
    scores = gc.tanh(images @ w1 + b1) @ w2 + b2
    loss = -gc.mean(gc.pick(gc.log_softmax(scores), labels))
    params = [w1, b1, w2, b2]
    steps = {p: p - 0.1 * g for p, g in zip(params, gc.grad(loss, params), strict=True)}
    return graph_of(loss, inputs=(images, labels), updates=steps)


# ---- patterns ----------------------------------------------------------------------------------------------------


def inputs(names: str, *shape: int | str) -> list[Node]:
    return [node(Input(name, TensorType.of("f64", shape))) for name in names]


def test_a_wildcard_that_occurs_twice_means_one_node() -> None:
    u, v = inputs("uv")
    assert match(x - x, elementwise("sub", u, u))
    assert match(x - x, elementwise("sub", u, v)) is None


def test_commutative_operands_match_in_both_orders_and_others_in_one() -> None:
    u, v = inputs("uv")
    e = elementwise("exp", u)
    for both in (elementwise("add", e, v), elementwise("add", v, e)):
        found = match(call("exp", x) + y, both)
        assert found is not None and found.nodes["x"] is u and found.nodes["y"] is v
    assert match(call("exp", x) - y, elementwise("sub", e, v))
    assert match(call("exp", x) - y, elementwise("sub", v, e)) is None


def test_numbers_are_seen_through_expands_and_zero_has_a_sign() -> None:
    (u,) = inputs("u", "N", 3)
    assert match(x + 1, elementwise("add", u, constant_like(1.0, u)))
    assert match(Number(0), constant_like(0.0, u))
    assert match(Number(0), constant_like(-0.0, u)) is None


def test_a_spread_puts_the_axes_back_where_they_were() -> None:
    x_ = gc.input("x", (4, 4))
    e = gc.exp(x_)
    right = gc.sum(e, axis=1, keepdims=True)
    wrong = gc.sum(e, axis=1)  # broadcast along the other axis
    for sums, fits in ((right, True), (wrong, False)):
        assert (match(call("exp", x) / Spread(total), (e / sums).node) is not None) == fits


def test_no_pattern_looks_through_an_opaque_node() -> None:
    (u,) = inputs("u")
    inner = elementwise("neg", u)
    outer = elementwise("neg", inner)
    twice = call("neg", -x)
    assert match(twice, outer) and match(twice, outer, opaque={inner}) is None
    assert match(twice, outer, opaque={outer})


# ---- the driver ----------------------------------------------------------------------------------------------------


def test_rules_that_go_round_in_a_circle_are_named() -> None:
    u, v = inputs("uv")
    there = rule("there", x + y, x * y, exact="fast")
    back = rule("back", x * y, x + y, exact="fast")
    with pytest.raises(InternalError, match="circle: there → back"):
        simplify([elementwise("add", u, v)], [there, back])


def test_rules_without_end_are_named() -> None:
    (u,) = inputs("u")
    grow = rule("grow", call("tanh", x), call("tanh", call("sin", x)), exact="fast")
    with pytest.raises(InternalError, match="no end of rewriting after 50 steps: grow → grow"):
        simplify([elementwise("tanh", u)], [grow], limit=50)
    feed = rule("feed", call("tanh", x), call("sin", call("tanh", x)), exact="fast")
    with pytest.raises(InternalError, match="builds on what it replaces: feed"):
        simplify([elementwise("tanh", u)], [feed])


def test_a_rule_that_changes_the_type_is_named() -> None:
    (u,) = inputs("u", "N")
    wrong = rule("wrong", -x, lambda m: elementwise("less", m.nodes["x"], m.nodes["x"]), exact="fast")
    with pytest.raises(InternalError, match=r"the rule wrong turns a f64\[N\] into a bool\[N\]: neg"):
        simplify([elementwise("neg", u)], [wrong])


def test_a_replacement_is_simplified_too() -> None:
    (u,) = inputs("u")
    rules = [RULES["mul-neg"], RULES["neg-neg"]]
    product = elementwise("mul", elementwise("neg", u), elementwise("neg", u))
    assert simplify([product], rules)[product] is elementwise("mul", u, u)


def test_a_match_is_described_as_it_is_nested() -> None:
    x_ = gc.input("x", ("N", 3))
    p = gc.exp(x_) / gc.sum(gc.exp(x_), axis=1, keepdims=True)
    found = RULES["log-softmax"].apply(gc.log(p).node)
    assert found is not None
    assert describe(found[0]) == "log(div(exp, expand(reshape(sum(exp)))))"


@pytest.mark.parametrize(
    ("kind", "length"), [("tanh", 100_000), ("neg", 20_000), ("add-zero", 20_000), ("transpose", 20_000)]
)
def test_long_chains_take_linear_time(kind: str, length: int) -> None:
    def chain(length: int) -> float:
        (start,) = inputs("u", 2, 2)
        n = start
        zero = constant_like(0.0, n)
        for k in range(length):
            if kind == "add-zero":
                n = elementwise("add", n, zero)
            elif kind == "transpose":
                n = node(Transpose((1, 0)), n)
            else:
                n = elementwise(kind if k % 3 else "tanh", n)
        begin = time.perf_counter()
        optimize(Graph("chain", (start,), (n,)))
        return time.perf_counter() - begin

    small, large = min(chain(2_000), chain(2_000)), chain(length)
    assert large < 5 * (length / 2_000) * small  # five times as long, where others use the machine too


# ---- the passes ----------------------------------------------------------------------------------------------------


def test_what_is_written_twice_is_reported_with_both_places() -> None:
    a, b = gc.inputs("a b")
    f = a * b
    g = f + gc.exp(a * b)
    _, log = optimize(graph_of(g, inputs=(a, b)))
    merged = [e for e in log if e.rule == "merged"]
    line = test_what_is_written_twice_is_reported_with_both_places.__code__.co_firstlineno + 2
    assert len(merged) == 1
    assert merged[0].text == f"`a * b` at test_passes.py:{line} and test_passes.py:{line + 1} are one node"


def test_operands_in_the_other_order_are_merged_in_the_first_order() -> None:
    a, b = gc.inputs("a b")
    first = b * a
    after, log = optimize(graph_of(gc.exp(first), gc.log(a * b), inputs=(a, b)))
    assert after.outputs[0].src[0] is first.node and after.outputs[1].src[0] is first.node
    assert log.counts()["commute"] == 1
    unmerged, _ = optimize(graph_of(gc.exp(first), gc.log(a * b), inputs=(a, b)), disable={"merge"})
    assert len(unmerged.nodes) == len(after.nodes) + 1


def test_constants_are_folded_without_filling_their_shape() -> None:
    u = gc.input("u", (1000, 1000, 1000))
    two = gc.zeros_like(u) + 1.0
    after, _ = optimize(graph_of(u * (two * 2.0), inputs=(u,)))
    (factor,) = (s for s in after.outputs[0].src if s.op.name == "expand")
    value = constant_value(factor)
    assert value is not None and value.shape == () and value == 2.0


def test_arrays_are_folded_up_to_a_limit_and_parameters_never() -> None:
    small, large = np.arange(6.0).reshape(2, 3), np.zeros((300, 300))
    w = gc.param("w", (2, 3), "float64", init="ones")
    folded, kept, untouched = (gc.exp(t) for t in (gc.const(small), gc.const(large), w))
    after, _ = optimize(graph_of(folded, kept, untouched, inputs=()))
    assert [n.op.label for n in after.outputs] == ["const", "exp", "exp"]
    np.testing.assert_array_equal(evaluate(after, [])[0], np.exp(small))


def test_an_update_that_changes_nothing_is_dropped() -> None:
    p, q = (gc.param(name, (3,)) for name in "pq")
    after, log = optimize(graph_of(inputs=(), updates={p: p + 0.0, q: q * 2.0}))
    assert [target for target, _ in after.updates] == [q.node]
    assert any(e.pass_name == "dead" and e.rule == "update" for e in log)


def test_what_is_no_longer_needed_is_counted() -> None:
    a = gc.input("a", ("N",))
    _, log = optimize(graph_of((a + 0.0) * 1.0, inputs=(a,)))
    assert (
        log.events[-1].text
        == "6 of 7 nodes are no longer needed: 1 add, 2 const, 2 expand, 1 mul; 1 are left"
    )


def test_the_gradient_of_a_perceptron_becomes_smaller() -> None:
    before = perceptron()
    after, log = optimize(before)
    left = [n.op.label for n in after.nodes]
    assert len(after.nodes) < len(before.nodes)
    assert "stop_gradient" not in left and left.count("reshape") < 6
    assert log.counts()["sum-neg"] == 1  # -Σ instead of Σ-, in the backward pass of the softmax
    draw = np.random.default_rng(0)
    arrays = [draw.normal(size=(5, 64)).astype(np.float32), draw.integers(0, 10, 5)]
    for one, other in zip(evaluate(before, arrays), evaluate(after, arrays), strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-6, atol=1e-7)


def test_the_gradient_of_a_convolution_loses_its_unit_transposes() -> None:
    image, filters = gc.input("X", ("N", 1, 8, 8), "float32"), gc.param("k", (2, 1, 3, 3), init="kaiming")
    loss = gc.sum(gc.square(gc.conv2d(image, filters)))
    before = graph_of(gc.grad(loss, filters), inputs=(image,))
    after, log = optimize(before)
    transposes = [sum(n.op.name == "transpose" for n in g.nodes) for g in (before, after)]
    assert transposes[1] < transposes[0] and "transpose-units" in log.counts()


# ---- the pipeline --------------------------------------------------------------------------------------------------


def test_a_second_run_finds_nothing() -> None:
    once, _ = optimize(perceptron())
    twice, log = optimize(once)
    assert twice == once and set(log.counts()) <= {"merged"}


@pytest.mark.parametrize("name", [p.name for p in PIPELINE])
def test_each_pass_can_be_switched_off(name: str) -> None:
    a, b = gc.input("a", ("N",)), gc.input("b", ("N",))
    written = gc.log(gc.exp(a)) + (1.0 * a) * b + b * (1.0 * a) + (gc.const(1.0) + gc.const(2.0))
    unused, _ = gc.scan(lambda c, x: ((c[0] + x, c[1] * x), None), (0.0, 1.0), a)
    graph = graph_of(written + unused[0], inputs=(a, b))
    _, whole = optimize(graph)
    _, without = optimize(graph, disable={name})
    assert name in whole.seconds and name in {e.pass_name for e in whole}
    assert name not in without.seconds and name not in {e.pass_name for e in without}


def test_each_rule_can_be_switched_off() -> None:
    a = gc.input("a", ("N",))
    graph = graph_of((a + 0.0) * 1.0, inputs=(a,))
    after, log = optimize(graph, disable={"add-zero"})
    assert after.outputs[0].op.label == "add" and "mul-one" in log.counts()


def test_an_unknown_name_is_an_error_that_lists_the_passes() -> None:
    a = gc.input("a")
    with pytest.raises(ArgumentError, match="no pass or rule 'algbra'") as caught:
        optimize(graph_of(a, inputs=(a,)), disable={"algbra", "fuse"})
    assert "merge, fold, stability, algebra, control, dead" in caught.value.why


def test_fast_rules_need_consent() -> None:
    a = gc.input("a", ("N",))
    graph = graph_of(a * 0.0, inputs=(a,))
    assert optimize(graph)[0].outputs[0].op.label == "mul"
    assert optimize(graph, fast=True)[0].outputs[0].op.label == "expand"


def test_a_pass_that_breaks_the_graph_is_named() -> None:
    a = gc.input("a", ("N",))
    graph = graph_of(gc.exp(a), inputs=(a,))

    def lose_an_axis(g: Graph, context: Context) -> Graph:
        return Graph(g.name, g.inputs, (gc.sum(a).node,))

    def forget_an_input(g: Graph, context: Context) -> Graph:
        return Graph(g.name, (), g.outputs)

    log = optimize(graph)[1]
    with pytest.raises(GraphError, match="an input that the graph g does not declare"):
        run_pass(Pass("broken", forget_an_input), graph, Context(graph, log, False, ()))
    with pytest.raises(InternalError, match="the pass broken changes the type of an output"):
        run_pass(Pass("broken", lose_an_axis), graph, Context(graph, log, False, ()))


def test_events_tell_the_rule_the_nodes_and_the_equation() -> None:
    a = gc.input("a", ("N",))
    _, log = optimize(graph_of(gc.log(gc.sigmoid(a)), inputs=(a,)))
    event = log.events[0]
    assert str(event) == (
        "stability: log-sigmoid: %2 log(sigmoid) → %3 neg   (log(sigmoid(x)) = −softplus(−x))"
    )
    assert [n.op.label for n in event.before] == ["log", "sigmoid"]
    assert [n.op.label for n in event.after] == ["neg"]


def test_every_node_still_leads_back_to_the_source() -> None:
    graph = perceptron()
    after, _ = optimize(graph, fast=True)
    here = os.path.basename(__file__)
    # Constants, and what is made of them and of extents alone, are shared by all programs of a process.
    own: set[Node] = set(graph.inputs)
    for n in after.nodes:
        if n.op.name == "param" or any(s in own for s in n.src):
            own.add(n)
        if n in own:
            assert any(os.path.basename(loc.file) == here for loc in locations(n)), n
    assert len(own) > len(after.nodes) / 2


def test_what_a_rule_made_says_so() -> None:
    a = gc.input("a", ("N",))
    after, _ = optimize(graph_of(gc.log(1 + gc.exp(a)), inputs=(a,)))
    assert [o.why for o in after.outputs[0].origins] == ["rule:softplus"]


_SCRIPT = """
import sys
sys.path.insert(0, {here!r})
from test_passes import perceptron
from graphc.ir.text import graph_text
from graphc.passes.pipeline import optimize
after, log = optimize(perceptron())
print(graph_text(after), log)
"""


def test_the_result_is_the_same_in_every_process() -> None:
    script = _SCRIPT.format(here=os.path.dirname(__file__))
    texts = set()
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        texts.add(
            subprocess.run(
                [sys.executable, "-c", script], env=environment, capture_output=True, check=True
            ).stdout
        )
    assert len(texts) == 1
    after, _ = optimize(perceptron())
    assert graph_text(after) in texts.pop().decode()
