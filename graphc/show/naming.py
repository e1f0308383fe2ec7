"""Names for nodes: those that the user gave, read from the user's own source, else v1, v2, ...

| node                                   | name                                                     |
|----------------------------------------|----------------------------------------------------------|
| an input or a parameter                | its own                                                  |
| the value of the right side of `q = …` | `q`; of several nodes written there, `q_1`, `q_2`, ...   |
| a constant with one element            | none: its number stands for it                           |
| any other                              | `v1`, `v2`, ...                                          |

>>> from graphc.lang.tensor import inputs
>>> x, y, z = inputs("x y z")
>>> f = (x + y) * z
>>> [s.text for s in name_nodes([f.node], {f.node: "f"}).values()]
['x', 'y', 'v1', 'z', 'f']
"""

from __future__ import annotations

import ast
import functools
import linecache
from collections.abc import Mapping, Sequence

from graphc.errors import Loc
from graphc.ir.node import Node, toposort
from graphc.ops.leaves import Const, Extent, Input, Param, symbol_latex
from graphc.ops.views import Expand
from graphc.show.formula import Formula

Place = tuple[int, int, int, int]


def name_nodes(
    outputs: Sequence[Node],
    given: Mapping[Node, str] | None = None,
    default: Mapping[Node, str] | None = None,
) -> dict[Node, Formula]:
    """A name for every node but numbers, operands first; each name is used once.

    A name that is `given` wins over that of the source, which wins over the `default`.
    """
    order = toposort(outputs)
    taken: dict[str, Node] = {}
    names: dict[Node, str] = {}

    def take(n: Node, name: str) -> None:
        unique, count = name, 1
        while unique in taken:
            count += 1
            unique = f"{name}_{count}"
        taken[unique] = n
        names[n] = unique

    for n in order:
        if isinstance(n.op, (Input, Param)):
            take(n, str(n.op.attributes()["name"]))
    claims: dict[str, list[Node]] = {}
    written = _written(order)
    for n in order:
        if n in names or is_number(n):
            continue
        name = (given or {}).get(n) or written.get(n) or (default or {}).get(n)
        if name:
            claims.setdefault(name, []).append(n)
    for name, nodes in claims.items():
        for k, n in enumerate(nodes):
            take(n, name if len(nodes) == 1 else f"{name}_{k + 1}")
    count = 0
    for n in order:
        if n not in names and not is_number(n):
            count += 1
            while f"v{count}" in taken:
                count += 1
            take(n, f"v{count}")
    return {n: Formula.symbol(names[n], symbol_latex(names[n])) for n in order if n in names}


def is_number(n: Node) -> bool:
    """Whether a node is one number, repeated in any shape: it is written as that number."""
    while isinstance(n.op, Expand):
        n = n.src[0]
    return isinstance(n.op, Extent) or (isinstance(n.op, Const) and n.op.value.size == 1)


def _written(order: Sequence[Node]) -> dict[Node, str]:
    """The names that assignments in the user's source give to nodes."""
    place: dict[Node, Loc] = {}
    for n in order:
        for o in n.origins:
            if o.why == "written" and o.loc is not None:
                place.setdefault(n, o.loc)
    # A function such as softmax makes several nodes at one place, and only the last of them is its value.  A
    # chain of one operation at one place is a loop, in which each node is a value of its own.
    inner = {
        s
        for n in order
        for s in n.src
        if n in place and place.get(s) == place[n] and s.op.label != n.op.label
    }
    found: dict[Node, str] = {}
    for n, loc in place.items():
        if n not in inner:
            name = assignments(loc.file, "".join(linecache.getlines(loc.file))).get(
                (loc.line, loc.column, loc.end_line, loc.end_column)
            )
            if name:
                found[n] = name
    return found


@functools.lru_cache(maxsize=64)
def assignments(file: str, source: str) -> Mapping[Place, str]:
    """The columns of each right side in a source, and the name on its left.

    >>> assignments("f.py", "q = x + y")
    {(1, 4, 1, 9): 'q'}
    """
    found: dict[Place, str] = {}

    def claim(target: ast.expr | None, value: ast.expr | None) -> None:
        if isinstance(target, (ast.Tuple, ast.List)) and isinstance(value, (ast.Tuple, ast.List)):
            for t, v in zip(target.elts, value.elts, strict=False):
                claim(t, v)
        name = target.id if isinstance(target, ast.Name) else ""
        name = target.attr if isinstance(target, ast.Attribute) else name
        if name and value is not None:
            found[_place(value)] = name

    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):  # such as the cell of a notebook that begins with a magic
        return found
    for statement in ast.walk(tree):
        match statement:
            case ast.Assign(targets=[target], value=value):
                claim(target, value)
            case ast.AnnAssign(target=target, value=value) | ast.NamedExpr(target=target, value=value):
                claim(target, value)
            case ast.AugAssign(target=ast.Name(id=name)):
                found[_place(statement)] = name
    return found


def _place(tree: ast.expr | ast.stmt) -> Place:
    line, end = tree.lineno, tree.end_lineno
    return line, tree.col_offset, end if end is not None else line, tree.end_col_offset or 0
