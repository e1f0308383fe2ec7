"""Laws of the rewrite rules: each is proved or sampled, is as exact as it says it is, and a wrong one is caught."""

from __future__ import annotations

import pytest

from graphc.ir.node import Node, node
from graphc.ops.elementwise import elementwise
from graphc.passes.pattern import Call, Constant, Match, Number, Reduction, Wild
from graphc.passes.prove_rules import prove_on, prove_rule
from graphc.passes.rewrite import Exactness, Guard, Rule, guard, rule
from graphc.passes.rules import RULES
from graphc.passes.rules_cases import STRUCTURAL, A, instances, is_formula, leaf, transposed
from graphc.passes.rules_views import transpose
from graphc.show.rule_table import rule_lines, rule_object

FORMULAS = [r for r in RULES.values() if is_formula(r)]


@pytest.mark.parametrize("r", RULES.values(), ids=lambda r: r.name)
def test_every_rule_is_proved(r: Rule) -> None:
    verdict = prove_rule(r)
    assert verdict.kind in ("proved", "sampled"), verdict


def test_most_formulas_are_proved_by_algebra() -> None:
    kinds = [prove_rule(r).kind for r in FORMULAS]
    assert kinds.count("proved") >= 0.85 * len(kinds)


def test_the_table_says_how_each_rule_was_proved() -> None:
    rows = {name: rule_object(r) for name, r in RULES.items()}
    assert rows["mul-one"]["proof"] == "proved: and the same bits at 32 points"
    assert rows["variance"]["condition"].startswith("n counts the elements")
    assert {row["proof"].split(":")[0] for row in rows.values()} == {"proved", "sampled"}
    for name, row in rows.items():
        head, *lines = rule_lines(RULES[name], 100)
        assert head == f"{name}  ({row['pass']}, {row['exactness']}; {row['proof']})"
        words = " ".join(lines).split()
        assert words == f"{row['equation']} {'if ' * bool(row['condition'])}{row['condition']}".split()
        assert max(map(len, lines)) <= 100


def test_each_rule_has_instances() -> None:
    assert {r.name for r in RULES.values() if not is_formula(r)} <= set(STRUCTURAL)
    assert all(next(instances(r), None) is not None for r in RULES.values())


# ---- wrong rules ---------------------------------------------------------------------------------------------------

x, y = Wild("x"), Wild("y")
c = Constant("c")
exp, log = (lambda p: Call("exp", (p,))), (lambda p: Call("log", (p,)))


@guard("always")
def always(m: Match) -> bool:
    return True


@guard("c is not negative")
def not_negative(m: Match) -> bool:
    return bool(m.nodes["c"].src[0].op.attributes()["value"] >= 0)  # type: ignore[operator]


def planted(name: str, left: object, right: object, exact: Exactness, when: Guard | None = None) -> Rule:
    return rule(name, left, right, exact=exact, when=when)  # type: ignore[arg-type]


WRONG = {
    "the sign": planted("w", x - (-y), x - y, "bitwise"),
    "the function": planted("w", log(1 + exp(x)), Call("relu", (x,)), "stable"),
    "a branch": planted("w", Call("sqrt", (Call("square", (x,)),)), x, "stable"),
    "a sum of products": planted(
        "w", Reduction("sum", x * y, "a"), Reduction("sum", x, "a") * Reduction("sum", y, "a"), "value"
    ),
    "a digit far out": planted("w", log(1 - Call("sigmoid", (x,))), -x, "stable"),
    "the smallest digits": planted("w", exp(x) - 1, x + x * x * 0.5, "stable"),
    "the guard": planted("w", x / c, x * Call("reciprocal", (c,)), "bitwise", always),
    "the guard at 0": planted("w", Call("abs", (x * c,)), Call("abs", (x,)) * c, "bitwise", not_negative),
    "the sign of a zero": planted("w", x + 0, x, "bitwise"),
    "infinity": planted("w", x * 0, Number(0), "value"),
    "NaN": planted("w", Call("where", (Call("equal", (x, x)), x, y)), x, "value"),
    "one edge point": planted("w", Call("maximum", (x, y)), (x + y + Call("abs", (x - y,))) * 0.5, "value"),
    "overflow": planted("w", Call("square", (x,)) / x, x, "value"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_rule_is_refuted(what: str) -> None:
    verdict = prove_on(WRONG[what], list(instances(WRONG[what])))
    assert verdict.kind == "refuted" and "at " in verdict.detail, verdict


def test_what_a_refutation_says() -> None:
    assert str(prove_on(WRONG["the sign of a zero"], list(instances(WRONG["the sign of a zero"])))) == (
        "refuted: at x = -0.0: 0.0 becomes -0.0, element (1,)"
    )
    assert str(prove_on(WRONG["the smallest digits"], [])) == "refuted: at x = 1: 1.71828 is not 1.5"


def _outer(m: Match) -> Node:
    """transpose(transpose(x)) → transpose(x)"""
    return node(m.root.op, m.nodes["x"])


def _first(m: Match) -> Node:
    """maximum(x, y) → where(y < x, x, y)"""
    return elementwise("where", elementwise("less", m.nodes["y"], m.nodes["x"]), m.nodes["x"], m.nodes["y"])


WRONG_ON_STRUCTURE = {
    "an attribute": (
        rule("w", transpose(transpose(x, "inner")), _outer, exact="bitwise", shows=x),
        transposed(transposed(leaf("b", (3, 3, 3)), 2, 0, 1), 1, 0, 2),
    ),
    "an edge value": (
        rule("w", Call("maximum", (x, y)), _first, exact="bitwise", shows=x),
        elementwise("maximum", A, leaf("b", A.type.shape)),
    ),
}


@pytest.mark.parametrize("what", WRONG_ON_STRUCTURE)
def test_a_wrong_rule_on_structure_is_refuted(what: str) -> None:
    r, root = WRONG_ON_STRUCTURE[what]
    assert prove_on(r, [root]).kind == "refuted"


# ---- classes of exactness ------------------------------------------------------------------------------------------


def as_exact_as(r: Rule, exact: Exactness) -> bool:
    claimed = rule(r.name, r.pattern, r.replacement, exact=exact, when=r.when)
    return prove_on(claimed, list(instances(r))).kind != "refuted"


VALUE = [r for r in FORMULAS if r.exact == "value" and r.name != "sum-neg"]


@pytest.mark.parametrize("r", VALUE, ids=lambda r: r.name)
def test_no_formula_is_more_exact_than_it_says(r: Rule) -> None:
    assert not as_exact_as(r, "bitwise")


@pytest.mark.parametrize("name", ["mul-zero", "sub-self", "div-self", "square-sqrt", "exp-log"])
def test_fast_rules_would_not_pass_as_exact(name: str) -> None:
    assert not as_exact_as(RULES[name], "value")
