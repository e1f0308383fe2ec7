"""The rewrite rules for readers: text that fits a terminal, and objects for JSON.

| `graphc rules`               | every rule: its equation, condition, exactness, and how it was proved |
| `graphc rules softmax`       | these rules                                                          |
| `graphc rules --json`        | the same as a list of objects                                        |

>>> from graphc.passes.rules import RULES
>>> for line in rule_lines(RULES["log1p"], 60):
...     print(line)
log1p  (stability, stable; proved)
    log(1 + x) = log1p(x)
"""

from __future__ import annotations

import functools
import os
import textwrap
from collections.abc import Iterator

from graphc.passes.prove_rules import prove_rule
from graphc.passes.rewrite import Rule
from graphc.passes.rules import GROUPS


@functools.cache
def verdict(rule: Rule) -> str:
    """How a rule was proved."""
    return str(prove_rule(rule))


@functools.cache
def _passes() -> dict[Rule, str]:
    return {rule: name for name, group in GROUPS.items() for rule in group}


def rule_lines(rule: Rule, width: int) -> Iterator[str]:
    """A paragraph: name, pass, exactness, proof; the equation; the condition."""
    yield f"{rule.name}  ({_passes()[rule]}, {rule.exact}; {verdict(rule)})"
    for text in (rule.equation, f"if {rule.when}" if rule.when else ""):
        yield from textwrap.wrap(text, width, initial_indent="    ", subsequent_indent="      ")


def rule_object(rule: Rule) -> dict[str, str]:
    """A rule as data."""
    return {
        "name": rule.name,
        "pass": _passes()[rule],
        "equation": rule.equation,
        "latex": rule.latex,
        "condition": str(rule.when or ""),
        "exactness": rule.exact,
        "proof": verdict(rule),
        "declared": f"{os.path.basename(rule.loc.file)}:{rule.loc.line}",
    }
