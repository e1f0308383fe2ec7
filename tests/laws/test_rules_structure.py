"""Laws of the rules on structure, each on several instances at several sizes, and of whole graphs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from test_rules import SAMPLED, N, agree, leaf, x

from graphc.ir.block import Block, slot
from graphc.ir.graph import Graph
from graphc.ir.node import Node, node
from graphc.ir.types import DType, Shape
from graphc.ops.contract import Contract
from graphc.ops.conv import Conv
from graphc.ops.custom import CustomGradient
from graphc.ops.elementwise import Cast, constant_like, elementwise
from graphc.ops.leaves import Const
from graphc.ops.reduce import Reduce
from graphc.ops.views import Concat, Expand, Pad, Reshape, Slice, Transpose
from graphc.passes.pipeline import optimize
from graphc.passes.rewrite import Rule, rule, simplify
from graphc.passes.rules import RULES
from graphc.runtime.reference import evaluate, evaluate_nodes

# ---- rules on structure: several instances each, at several sizes ------------------------------------------------


def whole(n: Node, starts: tuple[int, ...], steps: tuple[int, ...], shape: Shape) -> Node:
    return node(Slice(starts, steps, shape), n)


def expanded(n: Node, *shape: object) -> Node:
    return node(Expand(tuple(shape)), n)  # type: ignore[arg-type]


def reshaped(n: Node, *shape: object) -> Node:
    return node(Reshape(tuple(shape)), n)  # type: ignore[arg-type]


def transposed(n: Node, *perm: int) -> Node:
    return node(Transpose(perm), n)


def convolved(strides: tuple[int, int], dilations: tuple[int, int]) -> Node:
    return node(Conv(strides, dilations), leaf("x", (N, 1, 2, 6, 6)), leaf("w", (1, 3, 2, 3, 2)))


A = leaf("a", (N, 3))
COLUMN, ROW, SCALAR = leaf("column", (N, 1)), leaf("row", (3,)), leaf("scalar", ())
FIXED = leaf("fixed", (4, 6))
SQUARE = leaf("square", (3, 3))
THROUGH = Block((A.type,) * 3, (slot(2, A.type),))
INTEGER = leaf("integer", (N,), "i32")

SAMPLES: dict[str, Callable[[], list[Node]]] = {
    "reshape-same": lambda: [reshaped(A, N, 3)],
    "reshape-reshape": lambda: [reshaped(reshaped(A, 3, N), 3 * N), reshaped(reshaped(A, N, 1, 3), N, 3)],
    "expand-same": lambda: [expanded(A, N, 3)],
    "expand-expand": lambda: [expanded(expanded(COLUMN, N, 3), 2, N, 3), expanded(expanded(SCALAR, 3), N, 3)],
    "expand-reshape": lambda: [expanded(reshaped(SCALAR, 1), N), expanded(reshaped(ROW, 1, 3), N, 3)],
    "view-of-scalar": lambda: [
        reshaped(expanded(SCALAR, N, 3), 3, N),
        transposed(expanded(SCALAR, N, 3), 1, 0),
        whole(expanded(SCALAR, 4, 6), (1, 0), (2, 1), (1, 6)),
        reshaped(expanded(SCALAR, 1), *()),
    ],
    "custom-gradient": lambda: [
        node(CustomGradient(THROUGH, (0,), 1, 0, True, "straight-through"), elementwise("round", A), A)
    ],
    "transpose-none": lambda: [transposed(A, 0, 1)],
    "transpose-transpose": lambda: [
        transposed(transposed(A, 1, 0), 1, 0),
        transposed(transposed(leaf("b", (2, N, 3)), 2, 0, 1), 1, 0, 2),
    ],
    "transpose-units": lambda: [transposed(COLUMN, 1, 0), transposed(leaf("b", (1, N, 1, 3)), 1, 2, 3, 0)],
    "slice-whole": lambda: [whole(A, (0, 0), (1, 1), (N, 3))],
    "slice-slice": lambda: [
        whole(whole(FIXED, (1, 5), (1, -1), (3, 6)), (2, 1), (-2, 2), (2, 2)),
        whole(whole(FIXED, (0, 0), (3, 2), (2, 3)), (1, 0), (1, 1), (0, 3)),
    ],
    "pad-none": lambda: [node(Pad((0, 0), (0, 0), (0, 0), 1.0), A)],
    "slice-pad": lambda: [
        whole(node(Pad((1, 2), (0, 3), (0, 0), 0.0), A), (1, 2), (1, 1), (N, 3)),
        whole(node(Pad((0, 2), (1, 0), (1, 2), 5.0), FIXED), (0, 2), (2, 3), (4, 6)),
    ],
    "slice-reshape": lambda: [
        whole(reshaped(A, 1, N, 1, 3), (0, 0, 0, 1), (1, 1, 1, 1), (1, N, 1, 2)),
        whole(reshaped(leaf("b", (4, 1, 6)), 4, 6), (1, 5), (2, -1), (2, 5)),
    ],
    "slice-conv": lambda: [
        whole(convolved((1, 1), (1, 1)), (0, 0, 0, 1, 2), (1,) * 5, (N, 1, 3, 3, 2)),
        whole(convolved((2, 1), (1, 2)), (0, 0, 0, 1, 0), (1,) * 5, (N, 1, 3, 1, 2)),
    ],
    "slice-of-pad": lambda: [
        whole(node(Pad((2, 1), (3, 4), (0, 0), 7.0), FIXED), (1, 0), (1, 1), (6, 9)),
        whole(node(Pad((0, 4), (0, 4), (0, 0), 0.0), A), (0, 4), (1, 1), (N, 4)),
        whole(node(Pad((2, 2), (2, 2), (0, 0), 1.0), FIXED), (2, 2), (1, 1), (4, 6)),
    ],
    "slice-concat": lambda: [
        whole(node(Concat(1), A, leaf("b", (N, 2))), (0, 3), (1, 1), (N, 2)),
        whole(node(Concat(0), FIXED, FIXED), (4, 0), (1, 1), (4, 6)),
    ],
    "cast-same": lambda: [node(Cast(DType.F32), A)],
    "cast-cast": lambda: [
        node(Cast(DType.F32), node(Cast(DType.F64), A)),
        node(Cast(DType.F64), node(Cast(DType.I64), INTEGER)),
    ],
    "expand-last": lambda: [
        elementwise("tanh", expanded(COLUMN, N, 3)),
        elementwise("mul", expanded(COLUMN, N, 3), expanded(SCALAR, N, 3)),
        elementwise("add", expanded(ROW, 2, N, 3), expanded(A, 2, N, 3)),
        elementwise("less", expanded(SCALAR, N), constant_like(0.5, leaf("like", (N,)))),
        node(Cast(DType.F64), expanded(ROW, N, 3)),
    ],
    "reshape-last": lambda: [
        elementwise("exp", reshaped(A, 3 * N)),
        elementwise("div", reshaped(A, N, 1, 3), expanded(SCALAR, N, 1, 3)),
        elementwise("sub", reshaped(A, 3 * N), reshaped(leaf("b", (N, 3)), 3 * N)),
        elementwise("mul", reshaped(SCALAR, 1), expanded(leaf("b", ()), 1)),
    ],
    "reduce-units": lambda: [
        node(Reduce("sum", (1,)), COLUMN),
        node(Reduce("max", (0, 2)), leaf("b", (1, N, 1))),
    ],
    "reduce-reduce": lambda: [
        node(Reduce("sum", (0,)), node(Reduce("sum", (1,)), A)),
        node(Reduce("max", (1,)), node(Reduce("max", (0,)), leaf("b", (2, N, 3)))),
    ],
    "sum-expand": lambda: [
        node(Reduce("sum", (1,)), expanded(COLUMN, N, 3)),
        node(Reduce("sum", (0,)), expanded(ROW, 4, 3)),
        node(Reduce("sum", (0, 1)), expanded(SCALAR, 4, 6)),
    ],
    "sum-scaled": lambda: [
        node(Reduce("sum", (1,)), elementwise("mul", expanded(SCALAR, N, 3), A)),
        node(Reduce("sum", (0, 1)), elementwise("mul", A, expanded(SCALAR, N, 3))),
    ],
    "contract-transpose-left": lambda: [
        node(Contract("ij,jk->ik"), transposed(A, 1, 0), leaf("b", (N, 2))),
        node(Contract("bij,bjk->bik"), transposed(leaf("b", (3, N, 2)), 1, 0, 2), leaf("d", (N, 2, 4))),
    ],
    "contract-transpose-right": lambda: [
        node(Contract("ij,jk->ik"), SQUARE, transposed(A, 1, 0)),
        node(Contract("i,j->ij"), ROW, transposed(leaf("b", (N,)), 0)),
    ],
    "transpose-contract": lambda: [transposed(node(Contract("ij,jk->ik"), A, SQUARE), 1, 0)],
    "fold": lambda: [
        elementwise("add", node(Const.of(2.0)), node(Const.of(0.5))),
        elementwise("mul", expanded(node(Const.of(2.0)), N, 3), expanded(node(Const.of(-0.0)), N, 3)),
        transposed(node(Const.of(np.arange(6.0).reshape(2, 3))), 1, 0),
        node(Reduce("sum", (0,)), expanded(node(Const.of(1.5)), 7)),
    ],
}


def test_each_rule_on_structure_has_samples() -> None:
    assert set(SAMPLES) == {r.name for r in SAMPLED}


@pytest.mark.parametrize("size", [0, 1, 5])
@pytest.mark.parametrize("r", SAMPLED, ids=lambda r: r.name)
def test_rules_on_structure_keep_the_value(r: Rule, size: int) -> None:
    draw = np.random.default_rng(size)
    for root in SAMPLES[r.name]():
        found = r.apply(root)
        assert found is not None, f"{r.name} does not match its sample"
        graph = Graph(
            "g", tuple(n for n in Graph("g", (), (root,)).nodes if n.op.name == "input"), (root, found[1])
        )
        arrays = []
        for n in graph.inputs:
            shape = [size if d == N else int(d) for d in n.type.shape]  # type: ignore[call-overload]
            # Small integers, so that sums are exact in every order; and some special values.
            array = draw.integers(-4, 5, shape).astype(n.type.dtype.numpy)
            if array.dtype.kind == "f" and r.exact == "bitwise":
                array = np.where(draw.random(shape) < 0.4, draw.choice([-0.0, np.nan, np.inf], shape), array)
            arrays.append(array.astype(n.type.dtype.numpy))
        values = evaluate_nodes(graph.nodes, dict(zip(graph.inputs, arrays, strict=True)), {"N": size})
        before, after = (values[n] for n in graph.outputs)
        assert agree(before, after, "bitwise" if r.exact == "bitwise" else "value"), (before, after)


def quotient(c: float) -> Node:
    return elementwise("div", A, constant_like(c, A))


REFUSED: dict[str, Callable[[], list[Node]]] = {
    "reshape-same": lambda: [reshaped(A, 3 * N)],
    "expand-same": lambda: [expanded(A, 2, N, 3)],
    "expand-reshape": lambda: [expanded(reshaped(ROW, 3, 1), 3, 2)],
    "transpose-none": lambda: [transposed(A, 1, 0)],
    "transpose-units": lambda: [transposed(A, 1, 0)],
    "slice-whole": lambda: [whole(FIXED, (0, 5), (1, -1), (4, 6)), whole(FIXED, (0, 0), (1, 1), (4, 5))],
    "pad-none": lambda: [node(Pad((0, 0), (1, 0), (0, 0), 0.0), A)],
    "slice-pad": lambda: [
        whole(node(Pad((1, 1), (1, 1), (1, 0), 0.0), FIXED), (1, 1), (1, 1), (4, 6)),
        whole(node(Pad((1, 1), (1, 1), (0, 0), 0.0), FIXED), (0, 1), (1, 1), (4, 6)),
    ],
    "slice-reshape": lambda: [whole(reshaped(FIXED, 6, 4), (1, 0), (1, 1), (2, 4))],
    "slice-conv": lambda: [
        whole(convolved((1, 1), (1, 1)), (0, 0, 0, 0, 0), (1, 1, 1, 2, 1), (N, 1, 3, 1, 2)),
        whole(convolved((1, 1), (1, 1)), (0, 0, 1, 0, 0), (1,) * 5, (N, 1, 2, 2, 2)),
    ],
    "slice-of-pad": lambda: [
        whole(node(Pad((1, 1), (1, 1), (0, 0), 0.0), FIXED), (2, 0), (1, 1), (2, 8)),
        whole(node(Pad((1, 1), (1, 1), (1, 0), 0.0), FIXED), (1, 0), (1, 1), (7, 8)),
    ],
    "cast-same": lambda: [node(Cast(DType.F64), A)],
    "cast-cast": lambda: [
        node(Cast(DType.F64), node(Cast(DType.I32), leaf("b", (N,), "f64"))),
        node(Cast(DType.F64), node(Cast(DType.F32), leaf("b", (N,), "f64"))),
        node(Cast(DType.I32), node(Cast(DType.F64), A)),
    ],
    "reduce-units": lambda: [node(Reduce("sum", (0,)), COLUMN)],
    "reduce-reduce": lambda: [node(Reduce("sum", (0,)), node(Reduce("max", (1,)), A))],
    "sum-expand": lambda: [
        node(Reduce("sum", (0,)), expanded(COLUMN, N, 3)),
        node(Reduce("sum", (0, 1)), expanded(ROW, 4, 3)),
        node(Reduce("sum", (0,)), expanded(ROW, N, 3)),
        node(Reduce("sum", (0,)), expanded(ROW, 0, 3)),
    ],
    "sum-scaled": lambda: [node(Reduce("sum", (1,)), elementwise("mul", expanded(COLUMN, N, 3), A))],
    "div-power-of-two": lambda: [
        quotient(c) for c in (3.0, 0.0, float("inf"), float("nan"), 2.0**-130, 2.0**127)
    ],
    "div-const": lambda: [quotient(0.0)],
    "mul-neg": lambda: [elementwise("mul", A, elementwise("neg", constant_like(2.0, A)))],
}


@pytest.mark.parametrize("name", REFUSED)
def test_guards_refuse_what_would_be_wrong_or_without_end(name: str) -> None:
    for root in REFUSED[name]():
        assert RULES[name].apply(root) is None


def test_each_guard_on_structure_is_seen_to_refuse() -> None:
    guarded = {r.name for r in SAMPLED if r.when is not None}
    assert guarded <= set(REFUSED)


def test_a_wrong_rule_on_structure_is_refuted() -> None:
    from graphc.passes.rules_views import transpose

    wrong = rule(
        "wrong", transpose(transpose(x, "inner")), lambda m: node(m.root.op, m.nodes["x"]), exact="bitwise"
    )
    root = transposed(transposed(leaf("b", (3, 3, 3)), 2, 0, 1), 1, 0, 2)
    found = wrong.apply(root)
    assert found is not None
    data = np.arange(27, dtype=np.float32).reshape(3, 3, 3)
    before, after = evaluate(Graph("g", (root.src[0].src[0],), (root, found[1])), [data])
    assert not agree(before, after, "value")


# ---- whole graphs --------------------------------------------------------------------------------------------------

UNARY = ("neg", "abs", "relu", "square", "tanh", "stop_gradient", "exp", "sigmoid")
BINARY = ("add", "sub", "mul", "maximum", "minimum", "div")


def random_graph(seed: int, steps: int = 40) -> Graph:
    """A graph over [N,3] with elementwise ops, constants, views, sums that are spread again, and products."""
    draw = np.random.default_rng(seed)
    inputs = (leaf("a", (N, 3), "f64"), leaf("b", (N, 3), "f64"), leaf("w", (3, 3), "f64"))
    pool: list[Node] = [*inputs[:2]]
    for _ in range(steps):
        u, v = (pool[draw.integers(len(pool))] for _ in range(2))
        kind = draw.integers(9)
        if kind < 2:
            made = elementwise(UNARY[draw.integers(len(UNARY))], u)
        elif kind < 4:
            made = elementwise(BINARY[draw.integers(len(BINARY))], u, v)
        elif kind == 4:
            number = constant_like(float(draw.choice([0.0, 1.0, -1.0, 2.0, 0.3])), u)
            made = elementwise(
                BINARY[draw.integers(len(BINARY))], *((u, number) if draw.random() < 0.5 else (number, u))
            )
        elif kind == 5:
            kept = reshaped(node(Reduce(("sum", "max")[draw.integers(2)], (1,)), u), N, 1)
            made = expanded(kept, N, 3)
        elif kind == 6:
            made = elementwise("where", elementwise("less", u, v), u, v)
        elif kind == 7:
            made = transposed(elementwise("neg", transposed(u, 1, 0)), 1, 0)
        else:
            made = node(Contract("ij,kj->ik"), u, transposed(inputs[2], 1, 0))
        pool.append(made)
    total = node(Reduce("sum", (0,)), node(Reduce("sum", (1,)), pool[-1]))
    return Graph("random", inputs, (pool[-1], pool[-2], total))


@pytest.mark.parametrize("seed", range(60))
def test_exact_rules_leave_random_graphs_as_they_are(seed: int) -> None:
    """With the bitwise rules only, not one bit changes (any NaN counts as NaN)."""
    graph = random_graph(seed)
    draw = np.random.default_rng(seed)
    arrays = [draw.choice([0.0, -0.0, 1.0, -2.0, 0.5, np.inf, np.nan], s) for s in ((4, 3), (4, 3), (3, 3))]
    loose = {r.name for r in RULES.values() if r.exact != "bitwise"}
    after, log = optimize(graph, disable=loose)
    for before_value, after_value in zip(evaluate(graph, arrays), evaluate(after, arrays), strict=True):
        assert agree(before_value, after_value, "bitwise"), str(log)


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("seed", range(60))
def test_random_graphs_keep_their_meaning(seed: int, fast: bool) -> None:
    graph = random_graph(seed)
    draw = np.random.default_rng(seed)
    arrays = [draw.normal(size=s) for s in ((4, 3), (4, 3), (3, 3))]
    after, log = optimize(graph, fast=fast)
    for before_value, after_value in zip(evaluate(graph, arrays), evaluate(after, arrays), strict=True):
        usable = np.isfinite(before_value) if fast else np.ones_like(before_value, dtype=bool)
        np.testing.assert_allclose(
            after_value[usable], before_value[usable], rtol=1e-6, atol=1e-9, equal_nan=True, err_msg=str(log)
        )


def test_rules_do_not_undo_each_other() -> None:
    """All rules together, `fast` ones too, come to an end on every sample and on random graphs."""
    for build_samples in SAMPLES.values():
        simplify(build_samples(), list(RULES.values()))
    for seed in range(20):
        simplify(random_graph(seed).roots, list(RULES.values()))


def test_names_are_unique_and_in_kebab_case() -> None:
    from graphc.passes.rules import GROUPS

    names = [r.name for group in GROUPS.values() for r in group]
    assert len(set(names)) == len(names)
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") for name in names)


@pytest.mark.parametrize("r", RULES.values(), ids=lambda r: r.name)
def test_each_rule_can_be_shown(r: Rule) -> None:
    assert " = " in r.equation and " = " in r.latex
    assert r.latex.count("{") == r.latex.count("}")
    assert r.loc.file.endswith(".py") and r.name in r.loc.source + _next_line(r)


def _next_line(r: Rule) -> str:
    import linecache

    return linecache.getline(r.loc.file, r.loc.line + 1)
