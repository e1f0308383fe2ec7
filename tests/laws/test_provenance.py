"""Everything goes back to a place in the user's source: nodes, statements of kernels, machine instructions."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest

import graphc as gc
from graphc.errors import Loc
from graphc.ir.node import Node, locations, toposort
from graphc.kernel.ir import walk
from graphc.lang.tensor import Tensor
from graphc.ops.leaves import Input, Param
from graphc.runtime.function import Function
from graphc_llvm.debug import assembly_lines, line_map


def lecture() -> Function:
    x, y, z = gc.inputs("x y z")
    f = (x + y) * z
    return gc.compile([x, y, z], [f, *gc.grad(f, [x, y, z])])


def layer() -> Function:
    h = gc.input("h", ("N", 8), "float32")
    scale = gc.input("scale", (8,), "float32")
    y = gc.tanh(h * scale)
    return gc.compile([h, scale], [y, gc.grad(gc.sum(y), h)])


def classifier() -> Function:
    X, T = gc.input("X", ("N", 6)), gc.input("T", ("N",), "int64")
    W = gc.param("W", (6, 4), "float64", init="glorot")
    b = gc.param("b", (4,), "float64")
    loss = -gc.mean(gc.pick(gc.log_softmax(X @ W + b), T))
    dW, db = gc.grad(loss, [W, b])
    return gc.compile([X, T], loss, updates={W: W - 0.1 * dW, b: b - 0.1 * db})


def convolution() -> Function:
    image, kernel = gc.input("image", ("N", 1, 9, 8)), gc.input("kernel", (2, 1, 3, 3))
    pooled = gc.max_pool2d(gc.relu(gc.conv2d(image, kernel, padding=1)), 2)
    loss = gc.sum(pooled[:, :, ::-1] ** 2)
    return gc.compile([image, kernel], [loss, *gc.grad(loss, [image, kernel])])


def curvature() -> Function:
    x = gc.input("x", (5,))
    f = gc.sum(gc.exp(gc.sin(x)) * gc.logsumexp(x))
    slope = gc.grad(f, x)
    return gc.compile([x], gc.grad(gc.sum(slope * slope), x))


PROGRAMS = [lecture, layer, classifier, convolution, curvature]
each = pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)


def is_value(n: Node) -> bool:
    """Whether a node depends on data: what is made of constants and shapes alone is shared by all programs."""
    return any(isinstance(m.op, (Input, Param)) for m in toposort([n]))


def places(program: Callable[[], Function]) -> tuple[int, int]:
    lines, first = inspect.getsourcelines(program)
    return first, first + len(lines) - 1


def assert_in(program: Callable[[], Function], found: tuple[Loc, ...], what: object) -> None:
    first, last = places(program)
    assert found, f"{what} goes back to nowhere"
    for loc in found:
        assert loc.file == __file__ and first <= loc.line <= last, f"{what} goes back to {loc}"
        assert loc.end_column > loc.column and loc.text


@each
def test_every_node_of_every_graph_goes_back_to_the_source(program: Callable[[], Function]) -> None:
    fn = program()
    for graph in (fn.graph, fn.optimized):
        for n in filter(is_value, graph.nodes):
            assert_in(program, locations(n), f"%{graph.numbers[n]} {n.op.label}")


@each
def test_every_statement_names_nodes_that_go_back_to_the_source(program: Callable[[], Function]) -> None:
    fn = program()
    known = set(toposort(fn.optimized.roots))
    for stage in (fn.program, fn.scheduled):
        for call in stage.calls:
            for stmt in walk(call.kernel.body):
                assert stmt.nodes, f"{stmt} of {call.kernel.name} serves no node"
                assert known.issuperset(stmt.nodes), (
                    f"{stmt} of {call.kernel.name} serves a node that is not there"
                )
                if any(is_value(n) for n in stmt.nodes):
                    assert any(locations(n) for n in stmt.nodes), f"{stmt} of {call.kernel.name}"


def expressions(nodes: tuple[Node, ...]) -> set[str]:
    return {loc.text for n in nodes for loc in locations(n)}


def test_a_fused_instruction_goes_back_to_its_python_columns() -> None:
    """vmulps in tanh(h * scale) → a line of the kernels' text → its statement → its nodes → `h * scale`."""
    fn = layer()
    assert any(len(c.kernel.nodes) > 2 for c in fn.program.calls)  # multiplied and tanh'ed in one kernel
    statements = line_map(fn.scheduled)
    text = fn.stage("scheduled").splitlines()
    reached: dict[str, set[str]] = {}
    for line, instruction in assembly_lines(fn.stage("asm")):
        if line in statements:
            assert text[line - 1].strip() == str(statements[line])
            reached.setdefault(instruction.split()[0], set()).update(expressions(statements[line].nodes))
    products = {name: found for name, found in reached.items() if name.startswith(("vmul", "mul", "fmul"))}
    assert any("h * scale" in found for found in products.values()), products
    assert any("gc.tanh(h * scale)" in found for found in reached.values())


@each
def test_every_instruction_with_a_line_goes_back_to_the_source(program: Callable[[], Function]) -> None:
    fn = program()
    statements = line_map(fn.scheduled)
    text = fn.stage("scheduled").splitlines()
    lines = [line for line, _ in assembly_lines(fn.stage("asm"))]
    headers = {k for k, line in enumerate(text, 1) if line.startswith("kernel ")}
    assert set(lines) <= set(statements) | headers
    used = [statements[line] for line in lines if line in statements]
    assert len(used) > len(lines) / 2
    for stmt in used:
        if any(is_value(n) for n in stmt.nodes):
            assert_in(program, tuple(loc for n in stmt.nodes for loc in locations(n)), stmt)


def test_gradients_go_back_to_the_expression_that_was_differentiated() -> None:
    x, y = gc.inputs("x y")
    loss = gc.exp(x * y)
    slope = gc.grad(loss, x)  # d loss/d(x·y) · y
    assert expressions((slope.node,)) == {"x * y"}
    assert expressions((slope.node.src[0],)) == {"gc.exp(x * y)"}


def test_what_is_written_twice_goes_back_to_both_places() -> None:
    x = gc.input("x")
    first, second = gc.tanh(x), gc.tanh(x)
    assert first.node is second.node
    found = [loc for loc in locations(first.node) if loc.text == "gc.tanh(x)"]
    assert len({(loc.line, loc.column) for loc in found}) == 2
    assert isinstance(first, Tensor)
