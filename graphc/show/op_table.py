"""The op table and the conventions for readers: text that fits a terminal, and objects for JSON.

| `graphc ops`               | every row and every convention                     |
| `graphc ops gelu tanh`     | these rows, under any of their names                |
| `graphc ops --json`        | the same as one object: {"ops": […], "conventions": […]} |

>>> from graphc.ops.table import ROWS
>>> for line in op_lines(ROWS["tanh"], 60):
...     print(line)
tanh(x) = tanh(x)
    hyperbolic tangent
    ∂/∂x      1 - out**2  (proved)
"""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Iterator, Sequence

from graphc.ops.conventions import CONVENTIONS, Convention
from graphc.ops.prove import prove_row
from graphc.ops.row import Row

_LABEL = 10  # columns of "computed  "
_RULES = {
    "same": "ints and floats",
    "float": "floats (others become f64)",
    "integer": "ints",
    "compare": "any dtype, gives bool",
    "test": "floats (others become f64), gives bool",
    "logic": "bool (others are compared with 0)",
    "select": "bool, then two of any dtype",
}


@functools.cache
def proofs(row: Row) -> dict[str, str]:
    """How each claim of a row was proved."""
    return {claim: str(proof) for claim, proof in prove_row(row).items()}


def gradients(row: Row) -> dict[str, str]:
    """The local gradient by each operand: as the row states it, else as SymPy derives it."""
    if not row.differentiable:
        return {}
    return {name: row.grad.get(name) or str(row.local(k)) for k, name in enumerate(row.operands)}


def op_object(row: Row) -> dict[str, object]:
    """All that is to be known about a row."""
    return {
        "name": row.name,
        "numpy": row.numpy_name,
        "aliases": list(row.aliases),
        "operands": list(row.operands),
        "defaults": {name: float(value) for name, value in row.defaults.items()},
        "dtype": _RULES[row.dtype],
        "maths": row.maths,
        "compute": row.compute or row.maths,
        "local gradient": gradients(row),
        "domain": row.domain,
        "kink": row.kink,
        "convention": row.convention,
        "commutative": row.commutative,
        "proofs": proofs(row),
        "doc": row.doc,
    }


def convention_object(c: Convention) -> dict[str, object]:
    """A convention and its examples."""
    return {"topic": c.topic, "statement": c.statement, "examples": [str(e) for e in c.examples]}


def op_lines(row: Row, width: int) -> Iterator[str]:
    """A row in a paragraph: the mathematics, then what belongs to it, each line labelled."""
    operands = [f"{o}={float(row.defaults[o]):g}" if o in row.defaults else o for o in row.operands]
    yield from _wrapped(f"{row.name}({', '.join(operands)}) = {row.maths}", width, "", "    ")
    facts = [("", row.doc)]
    if row.compute and not row.compute.startswith(f"{row.name}("):
        facts.append(("computed", f"{row.compute}  ({proofs(row)['compute']})"))
    for name, text in gradients(row).items():
        claim = f"∂/∂{name}"
        facts.append((claim, f"{text}  ({proofs(row).get(claim, 'derived')})"))
    facts += [("domain", row.domain)] * (row.domain != "True")
    kink = f"{row.kink}: " if row.kink != "False" else ""
    facts += [("kink" if kink else "at edges", kink + row.convention)] * bool(row.convention)
    facts += [("dtypes", _RULES[row.dtype])] * (row.dtype != "float")
    others = [f"numpy.{row.numpy_name}"] * bool(row.numpy_name and row.numpy_name != row.name) + list(
        row.aliases
    )
    facts += [("also", ", ".join(others))] * bool(others)
    for label, text in facts:
        if text:
            head = f"    {label:{_LABEL}}" if label else "    "
            yield from _wrapped(text, width, head, " " * (4 + _LABEL))


def convention_lines(conventions: Sequence[Convention], width: int) -> Iterator[str]:
    """The conventions by topic, each with its first example."""
    topic = ""
    for c in conventions:
        if c.topic != topic:
            yield from ("", c.topic)
            topic = c.topic
        yield from _wrapped(c.statement, width, "    ", "      ")
        yield from _wrapped(str(c.examples[0]), width, "        ", "          ")


def table_lines(rows: Sequence[Row], conventions: Sequence[Convention], width: int) -> Iterator[str]:
    """Rows, one below the other as each is proved, then conventions."""
    for row in rows:
        yield from op_lines(row, width)
    if conventions:
        yield from ("", "Conventions")
        yield from convention_lines(conventions, width)


def table_object(rows: Sequence[Row]) -> dict[str, object]:
    """Rows and all conventions as one object."""
    return {
        "ops": [op_object(row) for row in rows],
        "conventions": [convention_object(c) for c in CONVENTIONS],
    }


def _wrapped(text: str, width: int, first: str, others: str) -> list[str]:
    return textwrap.wrap(text, width, initial_indent=first, subsequent_indent=others, break_on_hyphens=False)
