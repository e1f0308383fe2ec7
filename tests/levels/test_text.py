"""The text form of a graph: what is printed reads back, operation by operation and example by example."""

from __future__ import annotations

import dataclasses
import runpy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import graphc as gc
from graphc.ir.block import Block, slot
from graphc.ir.dims import Dim
from graphc.ir.graph import Graph
from graphc.ir.node import Node, Op, node, toposort
from graphc.ir.text import graph_text
from graphc.ir.types import DECLARED, DType, TensorType
from graphc.lang.tensor import Tensor
from graphc.nn import Model
from graphc.ops.contract import Contract
from graphc.ops.control import Cond, Scan, While
from graphc.ops.conv import Conv
from graphc.ops.custom import CustomGradient
from graphc.ops.elementwise import Cast, elementwise
from graphc.ops.gather import Gather, ScatterAdd
from graphc.ops.leaves import Const, Extent, Input, Iota, Param, Variable
from graphc.ops.linalg import Cholesky, TriangularSolve
from graphc.ops.lu import Lu, LuDet, LuSolve
from graphc.ops.pairs import Pairs
from graphc.ops.rank import Rank
from graphc.ops.recurrence import Recurrence, RunningArg
from graphc.ops.reduce import Arg, Reduce
from graphc.ops.registry import READERS, STRUCTURAL, operations, read_graph
from graphc.ops.table import ROWS
from graphc.ops.views import Concat, Expand, Pad, Reshape, Slice, Transpose
from graphc.ops.window import Window, WindowPick, WindowScatter
from graphc.ops.winograd import WinogradInput, WinogradOutput
from graphc.runtime.compile import compile
from graphc.runtime.function import Function

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "examples").glob("*.py"))
N, H = Dim.of("N"), Dim.of("H")


def an_input(dtype: str, *shape: int | str | Dim, name: str = "x") -> Node:
    return node(Input(name, TensorType.of(dtype, shape)))


def graph_of(*outputs: Node) -> Graph:
    return Graph("sample", tuple(n for n in toposort(outputs) if n.op.name == "input"), outputs)


def assert_round_trip(graph: Graph) -> Graph:
    text = graph_text(graph)
    back = read_graph(text)
    assert graph_text(back) == text
    assert [n.type for n in back.nodes] == [n.type for n in graph.nodes]
    assert [n.op.key() for n in back.nodes] == [n.op.key() for n in graph.nodes]
    assert [n.digest for n in back.nodes] == [n.digest for n in graph.nodes]
    with_places = graph_text(graph, sources=True)
    assert graph_text(read_graph(with_places)) == text, "comments are no part of the graph"
    return back


def _row_sample(name: str) -> Node:
    row = ROWS[name]
    kind = {"integer": "i32", "logic": "bool"}.get(row.dtype, "f32")
    operands = [an_input(kind, "N", 2, name=f"x{k}") for k in range(row.arity)]
    if row.dtype == "select":
        operands[0] = an_input("bool", "N", 2, name="c")
    return elementwise(name, *operands)


def _samples() -> dict[str, list[Node]]:
    """Nodes of every operation, with the attributes that are hard to write."""
    x = an_input("f32", "N", 3, 8, 6)
    v = an_input("f64", "N", name="v")
    labels = an_input("i64", "N", name="labels")
    pooled = node(Window("max", (2, 3), (2, 1)), x)
    tiles = node(WinogradInput(2, (1, 0), (2, 24), False), x)
    image, filters = an_input("f32", "N", 2, 3, "H", 9), an_input("f32", 2, 4, 3, 3, 2, name="w")
    square, rhs = an_input("f64", "N", 3, 3, name="square"), an_input("f64", "N", 3, 2, name="rhs")
    packed = node(Lu(), square)
    start, rows = an_input("f64", name="start"), an_input("f64", "N", name="rows")
    c, e = slot(0, start.type), slot(1, start.type)
    inner = Scan(Block((c.type, e.type), (elementwise("mul", c, e),)), 1, 0, N * 2, False, False, 0)
    step = Block((c.type, e.type, x.type), (node(inner, c, e), elementwise("add", c, e)))
    doubled = Block((c.type,) * 3, (elementwise("mul", slot(2, c.type), slot(0, c.type)),))
    test = Block((c.type,), (elementwise("less", c, elementwise("square", c)),))
    big = np.linspace(-1, 1, 40).reshape(5, 8)
    return {
        "input": [an_input("i32", (H + 1) // 2, 4 * N * H + 1), an_input("bool", name='it\'s "#3" {%1}')],
        "param": [node(Param("w_1", TensorType.of("f32", (3, 0)), Variable(np.zeros((3, 0), "f4"))))],
        "const": [
            node(Const.of(value, dtype))
            for dtype in DECLARED
            for value in (1, [[0, 1], [1, 1]], np.zeros((2, 0, 3)), np.arange(20) % 2, (big > 0))
        ]
        + [node(Const.of(v, d)) for d in ("f32", "f64") for v in (0.1, -0.0, [np.inf, -np.inf, np.nan], big)]
        + [
            node(Const.of([2**63 - 1, -(2**63)])),
            node(Const.of(5e-324)),
            node(Const.of(np.full(99, np.nan))),
            node(Const.of([1, 2**32 - 1], DType.BF16X2)),
        ],
        "iota": [node(Iota((N, 3), 1, DType.I64)), node(Iota((2 * N + 1,), 0, DType.F32))],
        "extent": [node(Extent(N * ((H + 3) // 2), DType.F64))],
        "cast": [node(Cast(d), v) for d in DECLARED],
        "reshape": [node(Reshape((N, 144)), x), node(Reshape((3 * N, 1, 48)), x)],
        "transpose": [node(Transpose((3, 0, 2, 1)), x)],
        "expand": [node(Expand((7, N)), v)],
        "slice": [
            node(Slice((N - 1, 0, 1, 5), (-1, 1, 3, -2), (N, 3, 2, 2)), x),
            node(Slice((0,), (2,), ((N + 1) // 2,)), v),
        ],
        "pad": [
            node(Pad((0, N, 1, 2), (N, 0, 0, 3), (0, 1, 0, 2), value), x)
            for value in (0.0, -0.0, -np.inf, np.nan, 1e-45)
        ],
        "concat": [node(Concat(0), v, v, v), node(Concat(0), v)],
        **{kind: [node(Reduce(kind, (0, 3)), x)] for kind in ("sum", "prod", "max", "min")},  # type: ignore[arg-type]
        **{f"arg{kind}": [node(Arg(kind, 1), x)] for kind in ("max", "min")},  # type: ignore[arg-type]
        "bf16_pairs": [node(Pairs(k), x) for k in (0, 3)],
        "contract": [node(Contract("nchw,nkhw->nck"), x, x)],
        "conv": [node(Conv((2, 1), (1, 3)), image, filters)],
        "window_sum": [node(Window("sum", (2, 2), (1, 2)), x)],
        "window_max": [pooled],
        "window_scatter": [node(WindowScatter((2, 3), (2, 1)), x, pooled)],
        "window_pick": [node(WindowPick((2, 3), (2, 1)), x, x)],
        "winograd_input": [tiles, node(WinogradInput(4, (0, 2), (2, 2), True), x)],
        "winograd_output": [node(WinogradOutput(2, (3, 47), False), tiles)],
        "gather": [node(Gather(1), x, labels)],
        "scatter_add": [node(ScatterAdd(0, 2 * H), x, labels), node(ScatterAdd(1, 10), v, labels)],
        "rank": [node(Rank(1, k), x) for k in (True, False)],
        "recurrence": [node(Recurrence(0, k), rows, rows) for k in (True, False)],
        **{f"running_arg{k}": [node(RunningArg(k, 0), rows)] for k in ("max", "min")},  # type: ignore[arg-type]
        "custom_gradient": [
            node(CustomGradient(doubled, (0,), 1, 0, True, 'it\'s "straight"'), start, start)
        ],
        "cholesky": [node(Cholesky(), square)],
        "triangular_solve": [node(TriangularSolve(True, False, k), square, rhs) for k in (True, False)],
        "lu": [packed],
        "lu_solve": [node(LuSolve(k), square, packed, rhs) for k in (True, False)],
        **{f"lu_{k}": [node(LuDet(k), square, packed)] for k in ("det", "logabsdet", "sign")},  # type: ignore[arg-type]
        "slot": [c],
        "scan": [
            node(Scan(step, 1, 1, N, reverse, not reverse, k), start, rows, x)
            for k in (0, 1)
            for reverse in (True, False)
        ],
        "cond": [node(Cond(step, step, k), an_input("bool"), start, start, x) for k in (0, 1)],
        "while_loop": [node(While(test, Block(test.inputs, (elementwise("square", c),)), 1, 0), start)],
        **{name: [_row_sample(name)] for name in ROWS},
    }


SAMPLES = _samples()


def _classes() -> set[str]:
    """The names of all operations that graphc defines."""
    found: set[str] = set()
    stack: list[type[Op]] = [Op]
    while stack:
        for cls in stack.pop().__subclasses__():
            stack.append(cls)
            if cls.__module__.startswith("graphc.") and cls.name:
                found.add(cls.__qualname__)
    return found


def test_every_operation_can_be_read() -> None:
    assert set(SAMPLES) == set(operations())
    readable = {type(n.op).__qualname__ for nodes in SAMPLES.values() for n in nodes}
    assert readable == _classes()


def test_every_field_of_an_operation_is_of_a_kind_that_is_read() -> None:
    for cls, _ in STRUCTURAL.values():
        for field in dataclasses.fields(cls):  # type: ignore[arg-type]
            assert field.type in READERS or field.name in cls.spoken, (cls, field)


@pytest.mark.parametrize("label", sorted(SAMPLES))
def test_an_operation_reads_back(label: str) -> None:
    for n in SAMPLES[label]:
        assert n.op.label == label
        back = assert_round_trip(graph_of(n)).outputs[0]
        if isinstance(n.op, Const) and isinstance(back.op, Const):
            assert back is n, "the same constant, bit by bit"
        elif isinstance(n.op, (Input, Param)):
            assert back is not n, "an input that is read is one of its own"
        else:
            assert back.op == n.op


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_the_graphs_of_an_example_read_back(path: Path) -> None:
    found = [v for v in runpy.run_path(str(path)).values() if isinstance(v, (Function, Model))]
    assert found
    for f in found:
        functions = [f.train_step, f.test_step, f.predict_function] if isinstance(f, Model) else [f]
        for function in functions:
            for stage, graph in (("graph", function.graph), ("optimized", function.optimized)):
                assert graph_text(read_graph(function.stage(stage))) == graph_text(assert_round_trip(graph))


def test_updates_and_several_outputs() -> None:
    x, w, v = gc.input("x", ("N", 3)), gc.param("w", (3,), "float64"), gc.param("unused", (2,))
    loss = gc.mean((x @ w) ** 2)
    fn = compile(
        [x],
        [loss, loss, x],
        updates={v: v * 2.0, w: w - gc.grad(loss, w)},
        name="step 1",
        backend="reference",
    )
    back = assert_round_trip(fn.graph)
    assert back.name == "step 1"
    assert [p.op.attributes()["name"] for p, _ in back.updates] == ["unused", "w"]
    assert back.outputs[0] is back.outputs[1] and back.outputs[2] is back.inputs[0]
    (target, _) = back.updates[1]
    assert isinstance(target.op, Param) and target.op.variable.value.tolist() == [0.0, 0.0, 0.0]


def test_no_outputs_and_unused_inputs() -> None:
    x, y = an_input("f64"), an_input("f64", "N", name="y")
    back = assert_round_trip(Graph("nothing", (y, x), ()))
    assert [n.op.attributes()["name"] for n in back.inputs] == ["y", "x"]


def test_what_a_person_writes_is_read_too() -> None:
    graph = read_graph(
        """
        # A comment, and numbers that are not in order.
        graph by hand   # spaces do not matter

        %7:f32[ N , 3 ]=input{name="x # no comment"}
          %2: f32[N] = sum %7 {axes=(1,)}  # %9 {

        return %2,%7
        """
    )
    assert graph.name == "by hand"
    assert graph_text(graph).splitlines()[1:] == [
        "  %0: f32[N,3] = input {name='x # no comment'}",
        "  %1: f32[N] = sum %0 {axes=(1,)}",
        "  return %1, %0",
    ]


def test_equal_lines_become_one_node() -> None:
    lines = ["graph g", "%0: f64[] = input {name='x'}", "%1: f64[] = sin %0", "%2: f64[] = sin %0"]
    back = read_graph("\n".join([*lines, "%3: f64[] = mul %1 %2", "return %3"]))
    assert len(back.nodes) == 3 and back.outputs[0].src[0] is back.outputs[0].src[1]


def test_a_graph_that_was_read_computes_the_same() -> None:
    x = gc.input("x", ("N", 4))
    y = gc.log_softmax(gc.concatenate([x[:, ::-1], gc.maximum(x, 0.5)], axis=1))
    graph = Graph("g", (x.node,), (y.node,))
    back = read_graph(graph_text(graph))
    value = np.random.default_rng(0).normal(size=(5, 4))
    expected = compile([x], y, backend="reference")(value)
    got = compile([Tensor(back.inputs[0])], Tensor(back.outputs[0]), backend="reference")(value)
    np.testing.assert_array_equal(got, expected)


BINARY, UNARY = ("add", "mul", "maximum"), ("sin", "neg", "relu")


@given(st.data())
def test_any_graph_reads_back(data: st.DataObject) -> None:
    nodes = [an_input("f64", "N", name=f"x{k}") for k in range(2)]
    for _ in range(data.draw(st.integers(0, 12))):
        name = data.draw(st.sampled_from(BINARY + UNARY))
        picks = data.draw(st.lists(st.sampled_from(nodes), min_size=2, max_size=2))
        nodes.append(elementwise(name, *picks[: 1 if name in UNARY else 2]))
    outputs = data.draw(st.lists(st.sampled_from(nodes), min_size=1, max_size=3))
    assert_round_trip(Graph("random", tuple(nodes[:2]), tuple(outputs)))
