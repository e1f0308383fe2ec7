"""All rewrite rules, by pass and by name; `graphc rules` prints them, with how each was proved.

>>> print(RULES["add-zero"])
add-zero: x + 0 = x  [value]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from graphc.passes.fold import FOLD
from graphc.passes.rewrite import Rule
from graphc.passes.rules_algebra import ALGEBRA
from graphc.passes.rules_reductions import REDUCTIONS
from graphc.passes.rules_stability import BEFORE_DIFFERENTIATION, STABILITY
from graphc.passes.rules_views import VIEWS
from graphc.passes.rules_windows import WINDOWS

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
