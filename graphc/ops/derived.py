"""What SymPy derives from the op table, as a file: compiling needs it, and need not load SymPy for it.

```
file ::= digest line*            of the formulas that the lines were derived from
line ::= name body gradients     JSON: the row's body; for each operand (local, downstream, matters), or null
body ::= [arity, [constant, ...], [[op, ref, ...], ...], result]        a constant is text: 2, 1/3, 1.4142
```

`python -c "from graphc.ops import derived; derived.write()"` writes the file anew, and a test derives all of it
again.  Where the table's formulas are no longer those of the file, nothing in it holds, and SymPy is asked, as for
any row that is not in the table.

>>> from graphc.ops.table import ROWS
>>> kept = held(ROWS["tanh"])
>>> print(kept.gradients[0][0])
(a, b):
  t0 = mul b, b
  t1 = sub 1, t0
  return t1
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from graphc.ops.body import Body, Constant

if TYPE_CHECKING:
    from graphc.ops.row import Row

FILE = Path(__file__).with_name("derived.txt")
Gradients: TypeAlias = tuple[tuple[Body, Body, Body | None], ...]
"""For each operand `local_body`, `downstream_body` and `matters` of a row."""


@dataclass(frozen=True, slots=True)
class Derived:
    """The bodies of a row; `gradients` is None where the row has none."""

    body: Body
    gradients: Gradients | None


def held(row: Row) -> Derived | None:
    """What the file says of a row; None for a row that is not in the table, or not as it was."""
    from graphc.ops.table import ROWS

    text = _lines().get(row.name) if ROWS.get(row.name) is row else None
    if text is None:
        return None
    body, gradients = json.loads(text)
    if gradients is not None:
        gradients = tuple((_read(a), _read(b), c and _read(c)) for a, b, c in gradients)
    return Derived(_read(body), gradients)


def content() -> str:
    """The text of the file, derived from the table by SymPy."""
    from graphc.ops.table import ROWS

    lines = [_digest()]
    for row in ROWS.values():
        gradients = None
        if row.differentiable:
            gradients = [[body and _plain(body) for body in bodies] for bodies in row.derive_gradients()]
        held = json.dumps([_plain(row.derive_body()), gradients], separators=(",", ":"))
        lines.append(f"{row.name} {held}")
    return "\n".join(lines) + "\n"


@functools.cache
def _lines() -> Mapping[str, str]:
    try:
        digest, *lines = FILE.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return {}
    return dict(line.split(" ", 1) for line in lines) if digest == _digest() else {}


def _digest() -> str:
    """Names all formulas of the table: one row may call others."""
    from graphc.ops.table import ROWS

    formulas = [
        (r.name, r.operands, r.maths, r.compute, sorted(r.grad.items()), r.dtype) for r in ROWS.values()
    ]
    return hashlib.sha256(repr(formulas).encode()).hexdigest()


def _plain(body: Body) -> list[Any]:
    steps = [[name, *args] for name, args in body.steps]
    return [body.arity, [str(c) for c in body.constants], steps, body.result]


def _read(held: list[Any]) -> Body:
    arity, constants, steps, result = held
    return Body(arity, tuple(map(_constant, constants)), tuple((s[0], tuple(s[1:])) for s in steps), result)


def _constant(text: str) -> Constant:
    if "/" in text:
        return Fraction(text)
    return int(text) if text.lstrip("-").isdigit() else float(text)


def write() -> None:
    """Write the file anew."""
    FILE.write_text(content(), encoding="ascii")
