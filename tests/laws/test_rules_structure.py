"""Laws of the rules on structure, each on several instances at several sizes, and of whole graphs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from graphc.ir.graph import Graph
from graphc.ir.node import Node, node
from graphc.ir.types import DType
from graphc.ops.contract import Contract
from graphc.ops.elementwise import Cast, constant_like, elementwise
from graphc.ops.reduce import Reduce
from graphc.ops.views import Pad
from graphc.passes.pipeline import optimize
from graphc.passes.prove_rules import differences
from graphc.passes.rewrite import Rule, simplify
from graphc.passes.rules import RULES
from graphc.passes.rules_cases import (
    COLUMN,
    FIXED,
    ROW,
    STRUCTURAL,
    A,
    B,
    N,
    convolved,
    cut,
    expanded,
    interleaved,
    leaf,
    reduced,
    reshaped,
    transposed,
    unpooled,
)
from graphc.runtime.reference import evaluate

# ---- what guards refuse ------------------------------------------------------------------------------------------


def quotient(c: float) -> Node:
    return elementwise("div", A, constant_like(c, A))


def scaled(x: Node) -> Node:
    """Half the sum of three: no mean."""
    total = reduced("sum", x, 1)
    return elementwise("div", total, constant_like(2.0, total))


def shifted_log(x: Node, y: Node) -> Node:
    """What the rule makes itself."""
    clipped = elementwise("minimum", x, constant_like(80.0, x))
    return elementwise("log", reduced("sum", elementwise("mul", y, elementwise("exp", clipped)), 1))


REFUSED: dict[str, Callable[[], list[Node]]] = {
    "reshape-same": lambda: [reshaped(A, 3 * N)],
    "expand-same": lambda: [expanded(A, 2, N, 3)],
    "expand-reshape": lambda: [expanded(reshaped(ROW, 3, 1), 3, 2)],
    "transpose-none": lambda: [transposed(A, 1, 0)],
    "transpose-units": lambda: [transposed(A, 1, 0)],
    "slice-whole": lambda: [cut(FIXED, (0, 5), (1, -1), 4, 6), cut(FIXED, (0, 0), (1, 1), 4, 5)],
    "pad-none": lambda: [node(Pad((0, 0), (1, 0), (0, 0), 0.0), A)],
    "slice-pad": lambda: [
        cut(node(Pad((1, 1), (1, 1), (1, 0), 0.0), FIXED), (1, 1), (1, 1), 4, 6),
        cut(node(Pad((1, 1), (1, 1), (0, 0), 0.0), FIXED), (0, 1), (1, 1), 4, 6),
    ],
    "slice-reshape": lambda: [cut(reshaped(FIXED, 6, 4), (1, 0), (1, 1), 2, 4)],
    "slice-conv": lambda: [
        cut(convolved((1, 1), (1, 1)), (0, 0, 0, 0, 0), (1, 1, 1, 2, 1), N, 1, 3, 1, 2),
        cut(convolved((1, 1), (1, 1)), (0, 0, 1, 0, 0), (1,) * 5, N, 1, 2, 2, 2),
    ],
    "slice-of-pad": lambda: [
        cut(node(Pad((1, 1), (1, 1), (0, 0), 0.0), FIXED), (2, 0), (1, 1), 2, 8),
        cut(node(Pad((1, 1), (1, 1), (1, 0), 0.0), FIXED), (1, 0), (1, 1), 7, 8),
    ],
    "sum-of-unpool": lambda: [
        reduced("sum", unpooled((2, 2), 3, 2), 0, 2),
        reduced("max", unpooled((2, 2), 3, 2), 2, 3),
    ],
    "slice-of-turns": lambda: [cut(interleaved((2, 3)), (0, 0, 0, 1, 2), (1,) * 5, N, 1, 2, 7, 11)],
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
    "variance": lambda: [
        elementwise("sub", scaled(elementwise("square", A)), elementwise("square", scaled(A))),
    ],
    "covariance": lambda: [
        elementwise("sub", scaled(elementwise("mul", A, B)), elementwise("mul", scaled(A), scaled(B)))
    ],
    "log-of-weighted-sum": lambda: [shifted_log(A, B)],
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
    guarded = {r.name: r for r in RULES.values() if r.name in STRUCTURAL and r.when is not None}
    # The strides have tests of their own (test_strides.py).
    missing = {name for name, r in guarded.items() if "rules_strides" not in r.loc.file} - set(REFUSED)
    assert not missing, missing


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
        assert not differences(before_value, after_value, "bitwise").any(), str(log)


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
    for build_samples in STRUCTURAL.values():
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
