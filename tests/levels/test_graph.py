"""Level 1: interning, digests, order, provenance, the verifier; and chains of 100 000 nodes."""

from __future__ import annotations

import gc as collector
import os
import subprocess
import sys
import weakref

import numpy as np
import pytest

import graphc as gc
from graphc.errors import GraphError
from graphc.ir.graph import Graph, rebuild
from graphc.ir.node import ORIGINS_KEPT, Node, locations, node, origin, toposort
from graphc.ir.text import graph_text
from graphc.ir.types import TensorType
from graphc.ir.verify import verify_graph
from graphc.lang.tensor import Tensor
from graphc.ops.elementwise import elementwise
from graphc.ops.leaves import Const, Input, Param, Variable
from graphc.passes.pipeline import optimize


def an_input(name: str = "x", *shape: int | str) -> Node:
    return node(Input(name, TensorType.of("f64", shape)))


def test_the_same_operation_on_the_same_operands_is_one_node() -> None:
    x, y = an_input(), an_input("y")
    assert elementwise("mul", x, y) is elementwise("mul", x, y)
    assert elementwise("mul", x, y) is not elementwise("mul", y, x)
    t = Tensor(x)
    assert gc.sum(gc.tanh(t * 2.0)).node is gc.sum(gc.tanh(t * 2.0)).node


def test_inputs_and_parameters_are_themselves() -> None:
    assert an_input("x") is not an_input("x")
    kind = TensorType.of("f64")
    p, q = (node(Param("p", kind, Variable(np.zeros(())))) for _ in range(2))
    assert p is not q and elementwise("neg", p) is not elementwise("neg", q)


def test_equal_constants_are_one_node_bit_by_bit() -> None:
    same = [(1.5, 1.5), (np.nan, np.nan), ([1.0, 2.0], np.array([1.0, 2.0]))]
    different = [(0.0, -0.0), (1.0, 1), (1.0, np.float32(1)), ([1.0], [[1.0]]), (1.0, [1.0])]
    for a, b in same:
        assert node(Const.of(a)) is node(Const.of(b))
    for a, b in different:
        assert node(Const.of(a)) is not node(Const.of(b)), (a, b)


def test_paddings_are_told_apart_bit_by_bit() -> None:
    x = gc.input("x", 3)
    assert gc.pad(x, 1, np.nan).node is gc.pad(x, 1, np.nan).node
    assert gc.pad(x, 1, 0.0).node is not gc.pad(x, 1, -0.0).node
    ends = gc.compile([x], [gc.pad(x, 1, v) for v in (0.0, -0.0)], backend="reference")(np.ones(3))
    assert [bool(np.signbit(v[0])) for v in ends] == [False, True]


def test_a_constant_does_not_follow_the_array_it_came_from() -> None:
    array = np.ones(3)
    c = gc.const(array)
    array[0] = 7.0
    assert isinstance(c.node.op, Const) and c.node.op.value.tolist() == [1.0, 1.0, 1.0]
    with pytest.raises(ValueError, match="read-only"):
        c.node.op.value[0] = 7.0


def test_nodes_that_nobody_holds_are_forgotten() -> None:
    x = an_input()
    gone = weakref.ref(elementwise("sin", elementwise("cos", x)))
    collector.collect()
    assert gone() is None
    assert elementwise("sin", elementwise("cos", x)).op.label == "sin"


PROGRAM = """
import graphc as gc
x = gc.input("x", ("N", "M", 4), "float32")
w = gc.param("w", (4, 3), init="kaiming")
c = gc.const([[float("nan"), -0.0, float("inf")]], "float32")
h = gc.concatenate([gc.softmax(x @ w), gc.maximum(x @ w, c)], axis=1)[:, ::2]
loss = gc.mean(h * gc.cast(gc.argmax(h, axis=2) < 2, "float32")[..., None])
fn = gc.compile([x], [loss, gc.grad(loss, w)], updates={w: w - 0.5 * gc.grad(loss, w)}, backend="interpreter")
print([n.digest for n in fn.graph.nodes])
for stage in fn.stages:
    print(fn.stage(stage))
print(fn.log)
"""


def test_digests_and_texts_are_the_same_in_every_process() -> None:
    def run(seed: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            encoding="utf-8",
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    first = run("1")
    assert len(first) > 2000 and first == run("31415")


def test_digests_tell_content_apart() -> None:
    x = an_input()
    made = [
        elementwise("sin", x),
        elementwise("cos", x),
        x,
        an_input("y"),
        an_input("x", "N"),
        an_input("x", 3),
    ]
    made += [node(Const.of(v)) for v in (0.0, -0.0, 1, [1.0])]
    assert len({n.digest for n in made}) == len(made)


def test_operands_come_first_and_inputs_before_all() -> None:
    x, y = an_input("x"), an_input("y")
    s = elementwise("add", y, x)
    graph = Graph("g", (x, y), (elementwise("mul", s, s), s))
    assert [n.op.label for n in graph.nodes] == ["input", "input", "add", "mul"]
    assert graph.nodes[:2] == (x, y) and graph.numbers[s] == 2
    assert graph.users[s] == (graph.outputs[0], graph.outputs[0]) and graph.users[graph.outputs[0]] == ()
    assert toposort(graph.outputs)[:2] == [y, x], "without declared inputs, in the order of use"


def test_rebuilding_replaces_nodes_below_every_root() -> None:
    x, p = an_input(), node(Param("p", TensorType.of("f64"), Variable(np.zeros(()))))
    graph = Graph("g", (x,), (elementwise("sin", elementwise("neg", x)),), ((p, elementwise("neg", p)),))

    def without_neg(old: Node, src: tuple[Node, ...]) -> Node:
        return src[0] if old.op.label == "neg" else node(old.op, *src)

    new, became = rebuild(graph, without_neg)
    assert new.outputs == (elementwise("sin", x),) and new.updates == ((p, p),)
    assert became[graph.outputs[0]] is new.outputs[0] and new.inputs == graph.inputs


def test_the_verifier_has_an_eye_on_everything() -> None:
    x, p = an_input(), node(Param("p", TensorType.of("f64"), Variable(np.zeros(()))))
    verify_graph(Graph("right", (x,), (elementwise("sin", x),), ((p, elementwise("sin", x)),)))
    vector = an_input("v", 3)
    wrong = {
        "does not declare": Graph("g", (), (elementwise("sin", x),)),
        "declares an input twice": Graph("g", (x, x), (x,)),
        "only parameters can be updated": Graph("g", (x,), (), ((x, x),)),
        "updated twice": Graph("g", (x,), (), ((p, x), (p, p))),
        "cannot update a parameter of type": Graph("g", (vector,), (), ((p, vector),)),
    }
    for message, graph in wrong.items():
        with pytest.raises(GraphError, match=message):
            verify_graph(graph)
    broken = Node(elementwise("sin", x).op, (x,), TensorType.of("f32"))
    with pytest.raises(GraphError, match=r"sin of its operands is f64\[\]"):
        verify_graph(Graph("g", (x,), (broken,)))


def written(t: Tensor) -> list[str]:
    return [loc.text for loc in locations(t.node)]


def test_a_node_knows_the_exact_columns_where_it_was_written() -> None:
    x, y = gc.inputs("x y")
    s = (x + y) * gc.tanh(x - 1.0)
    assert written(s) == ["(x + y) * gc.tanh(x - 1.0)"]
    assert [written(Tensor(n))[0] for n in s.node.src] == ["x + y", "gc.tanh(x - 1.0)"]
    (loc,) = locations(s.node)
    assert os.path.basename(loc.file) == os.path.basename(__file__)
    assert loc.source.strip() == "s = (x + y) * gc.tanh(x - 1.0)"
    assert loc.end_column - loc.column == len(loc.text)


def test_columns_count_characters_behind_letters_of_any_alphabet() -> None:
    größe, λ = gc.inputs("größe λ")
    t = gc.exp(größe * λ)
    assert written(t) == ["gc.exp(größe * λ)"] and written(Tensor(t.node.src[0])) == ["größe * λ"]


def test_an_expression_over_several_lines_is_found_at_its_first() -> None:
    x = gc.input("x")
    t = gc.sin(
        x * 2.0,
    )
    (loc,) = locations(t.node)
    assert loc.text == "gc.sin(" and loc.end_line == loc.line + 2


def test_what_is_written_twice_is_one_node_with_two_places() -> None:
    x = gc.input("x")
    first = gc.sin(x)
    second = gc.sin( x)  # fmt: skip
    assert first.node is second.node
    assert written(first) == ["gc.sin(x)", "gc.sin( x)"]


def test_a_gradient_goes_back_to_what_it_is_the_gradient_of() -> None:
    x = gc.input("x", ("N",))
    loss = gc.sum(gc.tanh(x) * x)
    g = gc.grad(loss, x)
    graph = Graph("g", (x.node,), (loss.node, g.node))
    places = {n: written(Tensor(n)) for n in graph.nodes}
    assert all(places.values()), "every node goes back to the source"
    # Constants are shared with every other graph of the process, and so are their places.
    shares = [n for n in graph.nodes if n not in toposort([loss.node]) and x.node in toposort([n])]
    assert len(shares) > 3
    parts = {"gc.sum(gc.tanh(x) * x)", "gc.tanh(x) * x", "gc.tanh(x)", 'gc.input("x", ("N",))'}
    assert {text for n in shares for text in places[n]} <= parts


def test_a_node_remembers_so_many_places_and_no_more() -> None:
    x = an_input()
    for k in range(3 * ORIGINS_KEPT):
        with origin(f"written {k}"):
            n = elementwise("sin", x)
    assert [o.why for o in n.origins] == [f"written {k}" for k in range(ORIGINS_KEPT)]


@pytest.mark.parametrize("depth", [100_000])
def test_a_long_chain_builds_differentiates_prints_and_goes(depth: int) -> None:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(400)  # whatever recurses over the graph fails at once
    try:
        x = gc.input("x")
        y = x
        for k in range(depth):
            y = -y if k % 10 else gc.sin(y)
        (g,) = gc.grad(y, [x])
        graph = Graph("chain", (x.node,), (y.node, g.node))
        text = graph_text(graph, sources=True)
        assert text.count("\n") == len(graph.nodes) + 1 > depth
        assert text.splitlines()[-1].startswith("  return %100000, %")
        verify_graph(graph)
        last = weakref.ref(graph.nodes[-1])
        del graph, g, x
        y = gc.input("y")
        collector.collect()
        assert last() is None
    finally:
        sys.setrecursionlimit(limit)


def test_equal_code_in_two_files_has_two_places() -> None:
    places = []
    for name in ("one.py", "two.py"):
        scope: dict[str, object] = {"x": gc.input("x")}
        exec(compile("y = x + x", name, "exec"), scope)
        y = scope["y"]
        assert isinstance(y, gc.Tensor)
        places += [loc.file for loc in locations(y.node) if loc.file.endswith(("one.py", "two.py"))]
    assert places == ["one.py", "two.py"]


def test_a_shared_constant_keeps_no_graph_alive() -> None:
    """Two graphs share their constants and slots; when one of them goes, nothing of it stays."""

    def build(name: str) -> tuple[gc.Tensor, list[gc.Tensor]]:
        x = gc.input(name, (3,))
        last, _ = gc.scan(lambda c, e: (gc.tanh(c * 0.5 + e), None), 0.0, gc.where(x > 0, gc.sqrt(x), 0))
        loss = -gc.log(gc.sigmoid(last + 1.0)) / 2.0
        return loss, gc.grad(loss, [x])

    kept = build("kept")
    loss, gradients = build("gone")
    optimize(
        Graph("gone", tuple(n for n in toposort([loss.node]) if n.op.name == "input"), (gradients[0].node,))
    )
    watched = weakref.ref(loss.node)
    del loss, gradients
    collector.collect()
    assert watched() is None and kept[0].node.op.label == "div"
