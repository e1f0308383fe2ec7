r"""Texts of LLVM that are written by hand have one instruction more: it loads a field of a structure in memory.

    %y = field ptr, %Plan, ptr %plan, 0, 5          the field number 5, a pointer, of the structure at %plan

>>> print(expanded("  %y = field ptr, %Plan, ptr %plan, 0, 5\n"), end="")
  %y.at = getelementptr %Plan, ptr %plan, i64 0, i32 5
  %y = load ptr, ptr %y.at
"""

from __future__ import annotations

import re

_FIELD = re.compile(r"^( *)(%[\w.]+) = field (\w+), (%\w+), ptr (%[\w.]+), (%?[\w.]+), (\d+)$", re.MULTILINE)


def expanded(text: str) -> str:
    """The text as LLVM reads it."""
    return _FIELD.sub(r"\1\2.at = getelementptr \4, ptr \5, i64 \6, i32 \7\n\1\2 = load \3, ptr \2.at", text)
