"""All rewrite rules, and the table that explains them.

>>> table = explain()
>>> print(table.splitlines()[2])
  add-zero                 value    x + 0 = x
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from graphc.passes.fold import FOLD
from graphc.passes.rewrite import Rule
from graphc.passes.rules_algebra import ALGEBRA
from graphc.passes.rules_reductions import REDUCTIONS
from graphc.passes.rules_stability import BEFORE_DIFFERENTIATION, STABILITY
from graphc.passes.rules_views import VIEWS
from graphc.passes.rules_windows import WINDOWS

if TYPE_CHECKING:
    from graphc.ops.prove import Proof

GROUPS: Mapping[str, Sequence[Rule]] = MappingProxyType(
    {
        "algebra": (*ALGEBRA, *VIEWS, *WINDOWS, *REDUCTIONS),
        "stability": STABILITY,
        "before differentiation": BEFORE_DIFFERENTIATION,
        "fold": FOLD,
    }
)
"""The rules of each pass, in the order in which they are tried."""

RULES: Mapping[str, Rule] = MappingProxyType({r.name: r for group in GROUPS.values() for r in group})
"""Every rule by name."""


def explain(*, locations: bool = False, proofs: bool = False) -> str:
    """The rules as a table: name, exactness, equation, guard; with `locations`, where each is declared; with
    `proofs`, how each was proved, which takes half a minute."""
    lines = []
    for name, group in GROUPS.items():
        lines += [f"pass {name}", f"  {'rule':<24} exact    equation"]
        for r in group:
            when = f"   if {r.when}" if r.when else ""
            place = f"   [{os.path.basename(r.loc.file)}:{r.loc.line}, by {r.proof}]" if locations else ""
            proof = f"   [{verdict(r)}]" if proofs else ""
            lines.append(f"  {r.name:<24} {r.exact:<8} {r.equation}{when}{place}{proof}")
    return "\n".join(lines)


def verdict(r: Rule) -> Proof:
    """How a rule was proved; asked for once."""
    from graphc.passes.prove_rules import prove_rule

    return prove_rule(r)


def objects() -> list[dict[str, str]]:
    """The table as data, proofs included: for JSON."""
    return [
        {
            "pass": name,
            "name": r.name,
            "equation": r.equation,
            "latex": r.latex,
            "condition": str(r.when or ""),
            "exactness": r.exact,
            "proof": str(verdict(r)),
            "declared": f"{os.path.basename(r.loc.file)}:{r.loc.line}",
        }
        for name, group in GROUPS.items()
        for r in group
    ]
