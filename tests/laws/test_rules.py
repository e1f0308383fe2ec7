"""Laws of the rewrite rules: each is proved or sampled, and is as exact as it says it is."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest

from graphc.ir.dims import Dim
from graphc.ir.graph import Graph
from graphc.ir.node import Node, node
from graphc.ir.types import DType, Shape, TensorType
from graphc.ops.elementwise import constant_like
from graphc.ops.leaves import Input
from graphc.passes.pattern import Call, Constant, Match, Pattern, Reduction, Spread, Viewed, Wild, build
from graphc.passes.rewrite import Rule, rule
from graphc.passes.rules import RULES
from graphc.runtime.reference import evaluate

N = Dim.of("N")
FORMULAS = [r for r in RULES.values() if r.proof == "algebra"]
SAMPLED = [r for r in RULES.values() if r.proof == "sampling"]
SPECIAL = [0.0, -0.0, 1.0, -1.0, 2.5, -0.3, 1e-40, 3e38, np.inf, -np.inf, np.nan]


def leaf(name: str, shape: Shape, dtype: str = "f32") -> Node:
    return node(Input(name, TensorType.of(dtype, shape)))


def agree(before: np.ndarray, after: np.ndarray, exact: str) -> bool:
    """Whether two results differ by no more than an exactness class allows."""
    if before.dtype != after.dtype or before.shape != after.shape:
        return False
    same = (before == after) | ((before != before) & (after != after))
    if exact == "bitwise" and before.dtype.kind == "f":
        same &= (np.signbit(before) == np.signbit(after)) | (before != before)
    return bool(np.all(same))


# ---- rules that are formulas -----------------------------------------------------------------------------------


@pytest.mark.parametrize("r", FORMULAS, ids=lambda r: r.name)
def test_formulas_are_proved(r: Rule) -> None:
    verdict = r.prove()
    assert verdict.kind in ("proved", "sampled"), verdict


def test_most_formulas_are_proved_by_algebra() -> None:
    kinds = [r.prove().kind for r in FORMULAS]
    assert kinds.count("proved") >= 0.95 * len(kinds)


x, y = Wild("x"), Wild("y")
c = Constant("c")
WRONG = (
    rule("wrong-sign", x - (-y), x - y, exact="bitwise"),
    rule("wrong-softplus", Call("log", (1 + Call("exp", (x,)),)), Call("relu", (x,)), exact="stable"),
    rule("wrong-inverse", Call("sqrt", (Call("square", (x,)),)), x, exact="stable"),
    rule(
        "wrong-sum",
        Reduction("sum", x * y, "a"),
        Reduction("sum", x, "a") * Reduction("sum", y, "a"),
        exact="value",
    ),
)


@pytest.mark.parametrize("r", WRONG, ids=lambda r: r.name)
def test_a_wrong_rule_is_refuted(r: Rule) -> None:
    assert r.prove().kind == "refuted"


def wildcards(pattern: Pattern) -> dict[str, Pattern]:
    """The wildcards of a pattern by name."""
    match pattern:
        case Wild(name=name) | Constant(name=name):
            return {name: pattern}
        case Call(operands=operands):
            return {k: v for p in operands for k, v in wildcards(p).items()}
        case Reduction(operand=operand) | Spread(operand=operand) | Viewed(operand=operand):
            return wildcards(operand)
    return {}


def instance(r: Rule, dtype: str, constants: dict[str, float]) -> tuple[Node, dict[str, Node]]:
    """The pattern of an elementwise rule over inputs of shape [N]."""
    shape: Shape = (N,)
    bound: dict[str, Node] = {}
    for name, w in sorted(wildcards(r.pattern).items()):
        if isinstance(w, Constant):
            bound[name] = constant_like(constants[name], leaf("like", shape, dtype))
        else:
            bound[name] = leaf(name, shape, "bool" if isinstance(w, Wild) and w.truth else dtype)
    like = next((n for n in bound.values() if n.type.dtype is not DType.BOOL), next(iter(bound.values())))
    made = Match(like, {**bound})
    return build(r.pattern, made), bound


def cases(r: Rule, dtype: str) -> Iterator[tuple[Node, tuple[Node, ...], list[np.ndarray]]]:
    """Instances of a rule's pattern, with every combination of special values."""
    constants = [k for k, w in wildcards(r.pattern).items() if isinstance(w, Constant)]
    for given in itertools.product((0.3, -4.0, 0.5), repeat=len(constants)):
        root, bound = instance(r, dtype, dict(zip(constants, given, strict=True)))
        inputs = tuple(n for n in bound.values() if n.op.name == "input")
        pools = [[False, True] if n.type.dtype is DType.BOOL else SPECIAL for n in inputs]
        columns = zip(*itertools.product(*pools), strict=True)
        with np.errstate(over="ignore"):
            yield (
                root,
                inputs,
                [np.array(v, n.type.dtype.numpy) for v, n in zip(columns, inputs, strict=True)],
            )


def exactness_holds(r: Rule, exact: str) -> bool:
    """Whether a rule's two sides agree to a class, for all combinations of special values, in f32 and f64."""
    applied = False
    for dtype in ("f32", "f64"):
        for root, inputs, arrays in cases(r, dtype):
            found = r.apply(root)
            if found is None:  # a guard: this constant does not fit
                continue
            applied = True
            before, after = evaluate(Graph("g", inputs, (root, found[1])), arrays)
            if not agree(before, after, exact):
                return False
    assert applied, f"the rule {r.name} never matched its own pattern"
    return True


ELEMENTWISE = [r for r in FORMULAS if r.exact in ("bitwise", "value") and r.name != "sum-neg"]


@pytest.mark.parametrize("r", ELEMENTWISE, ids=lambda r: r.name)
def test_formulas_are_as_exact_as_they_say(r: Rule) -> None:
    assert exactness_holds(r, r.exact)


@pytest.mark.parametrize("r", [r for r in ELEMENTWISE if r.exact == "value"], ids=lambda r: r.name)
def test_no_formula_is_more_exact_than_it_says(r: Rule) -> None:
    assert not exactness_holds(r, "bitwise")


@pytest.mark.parametrize("name", ["mul-zero", "sub-self", "div-self", "square-sqrt", "exp-log"])
def test_fast_rules_would_not_pass_as_exact(name: str) -> None:
    assert not exactness_holds(RULES[name], "value")
