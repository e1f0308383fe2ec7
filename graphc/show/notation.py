"""How each operation is written: the one place that knows sums, matrix products, slices and calls.

| operation                 | text                | LaTeX                                  |
|---------------------------|---------------------|----------------------------------------|
| `mul` of scalars, tensors | `a * b`             | a b, A ⊙ B                             |
| `contract ij,jk->ik`      | `A @ B`             | A B, with ᵀ where an axis is exchanged |
| `sum`                     | `sum(x, axis=1)`    | Σ x                                    |
| `where(c, 1, 0)`          | `[c]`               | Iverson's bracket                      |
| `expand`, `cast`          | the operand         | the operand                            |
| any other row             | `tanh(x)`           | its mathematics, where that is short   |
| any other operation       | a call              | what the operation itself says         |
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from graphc.ir.node import Node
from graphc.ir.types import Shape, shape_text
from graphc.ops.contract import Contract
from graphc.ops.conv import Conv
from graphc.ops.elementwise import Cast, Elementwise
from graphc.ops.leaves import Const, Extent, Input, Iota, Param
from graphc.ops.reduce import SIGNS, Arg, Reduce
from graphc.ops.row import Row
from graphc.ops.table import ROWS
from graphc.ops.views import Expand, Reshape, Slice, Transpose, is_unit
from graphc.show.formula import (
    ATOM,
    MATRIX,
    POWER,
    PRODUCT,
    SUM,
    Formula,
    add,
    call,
    difference,
    fill,
    power,
    product,
    quotient,
    relation,
    token,
)

_RELATIONS = {
    "less": ("<", "<"),
    "less_equal": ("<=", r"\le"),
    "greater": (">", ">"),
    "greater_equal": (">=", r"\ge"),
    "equal": ("==", "="),
    "not_equal": ("!=", r"\ne"),
    "logical_and": ("and", r"\wedge"),
    "logical_or": ("or", r"\vee"),
}
_ONE, _TWO = Formula.number(1.0), Formula.number(2.0)


def compose(n: Node, operands: Sequence[Formula]) -> Formula:
    """The formula of one operation over the formulas of its operands."""
    op = n.op
    if isinstance(op, Elementwise):
        return replace(_elementwise(n, op.row, operands), spread=all(f.spread for f in operands))
    if isinstance(op, (Input, Param)):
        return Formula.symbol(str(op.attributes()["name"]))
    if isinstance(op, Cast):
        return operands[0]
    if isinstance(op, Expand):
        return replace(operands[0], spread=operands[0].spread or n.type.shape != n.src[0].type.shape)
    if isinstance(op, Const):
        if op.value.size == 1:
            return Formula.number(float(op.value.item()))
        return Formula.symbol(f"C_{op.digest[:4]}", op.latex())
    if isinstance(op, Reshape) and _rank(n) == 0:
        return replace(operands[0], spread=n.type.rank > 0)
    # What is repeated along a tensor must be said where elements are moved or added up.
    operands = [broadcast(f, s.type.shape) if f.spread else f for f, s in zip(operands, n.src, strict=True)]
    if isinstance(op, Contract):
        return _contract(op, operands)
    if isinstance(op, Reduce):
        return _reduce(n, op, operands[0])
    return _structural(n, operands)


def broadcast(operand: Formula, shape: Shape) -> Formula:
    """A formula repeated to a shape: `broadcast(b, [N,4])`, and `ones([N,4])` with the number in front."""
    if operand.is_number:
        ones = Formula(f"ones({shape_text(shape)})", r"\mathbf{1}")
        return ones.times(operand.factor)
    return call("broadcast", operand, extra=shape_text(shape))


def subject(n: Node, operand: Formula) -> Formula:
    """An `expand`, a `reshape` or a `cast` spelled out, for where it is the subject itself."""
    if isinstance(n.op, Cast):
        return call(str(n.type.dtype), operand)
    if isinstance(n.op, Expand):
        return broadcast(operand, n.type.shape)
    return call("reshape", operand, extra=shape_text(n.type.shape))


def sign_between(n: Node) -> str:
    r"""Between the factors of an elementwise product: ⊙ where both are tensors, else nothing."""
    return r" \odot " if all(_rank(s) for s in n.src) else r"\,"


def _rank(n: Node) -> int:
    """The rank, and 0 for a scalar that was brought into another shape."""
    base = n
    while isinstance(base.op, (Expand, Reshape)):
        base = base.src[0]
    return n.type.rank if base.type.rank else 0


def _elementwise(n: Node, row: Row, operands: Sequence[Formula]) -> Formula:
    a = operands[0]
    match row.name:
        case "add":
            return add(a, operands[1])
        case "sub":
            return difference(a, operands[1])
        case "mul":
            return product(a, operands[1], sign_between(n))
        case "div":
            return quotient(a, operands[1])
        case "neg":
            return a.times(-1)
        case "reciprocal":
            return quotient(_ONE, a)
        case "square":
            return power(a, _TWO)
        case "pow":
            return power(a, operands[1])
        case "stop_gradient":
            return call("stop_gradient", a)
        case "where":
            condition, x, y = operands
            if x.is_number and y.is_number and (x.factor, y.factor) == (1, 0):
                c = condition.whole()
                return Formula(f"[{c.text}]", rf"\left[{c.latex}\right]")
            c, x, y = (part.whole() for part in operands)
            cases = rf"\begin{{cases}} {x.latex} & {c.latex} \\ {y.latex} & \text{{else}} \end{{cases}}"
            return call("where", *operands, latex=cases)
        case "abs":
            return call("abs", a, latex=rf"\left|{a.whole().latex}\right|")
        case "logical_not":
            inner = a.whole()
            return Formula(f"not {inner.at(ATOM)}", rf"\neg {inner.latex_at(ATOM)}", SUM, SUM)
        case name if name in _RELATIONS:
            return relation(*_RELATIONS[name], a, operands[1])
    template, level = _row_latex(row.name)
    return Formula(call(row.name, *operands).text, fill(template, operands), ATOM, level)


@functools.cache
def _row_latex(name: str) -> tuple[str, int]:
    """The LaTeX of a row over stand-ins and its level: its mathematics where that is short, else a call."""
    row = ROWS[name]
    tokens = [token(k) for k in range(row.arity)]
    head = row.expr.func.__name__
    if row.tex or head == "Piecewise" or row.expr.count_ops() > 2:
        return row.call_latex(*tokens), ATOM
    level = {"Add": SUM, "Mul": PRODUCT, "Pow": POWER, "exp": POWER}.get(head, ATOM)
    return row.latex(*tokens), level


class _Side(NamedTuple):
    operand: int
    turned: bool


def _contract(op: Contract, operands: Sequence[Formula]) -> Formula:
    """A product of matrices and vectors with ᵀ where that is what it is, else with indices."""
    if "" in op.letters()[:2]:
        return product(operands[0], operands[1])
    factor = 1.0
    bodies: list[Formula] = []
    for f in operands:
        if f.is_number:
            bodies.append(f.whole())
        else:
            factor *= f.factor
            bodies.append(f.times(1 / f.factor) if f.factor not in (0.0, 1.0) else f)
    sides = matrix_product(*op.letters())
    if sides is None:
        latex = fill(op.latex(token(0), token(1)), bodies)
        text = f"einsum({op.spec!r}, {', '.join(b.whole().text for b in bodies)})"
        return Formula(text, latex, ATOM, PRODUCT, factor)
    ranks = [len(letters) for letters in op.letters()[:2]]
    parts: list[str] = []
    texts: list[str] = []
    for side in sides:
        f = bodies[side.operand].whole()
        parts.append(f.latex_at(ATOM) + r"^{\top}" if side.turned else f.latex_at(MATRIX))
        vector = ranks[side.operand] == 1
        texts.append(f"{f.at(ATOM)}.T" if side.turned and not vector else f.at(POWER if texts else MATRIX))
    if ranks == [1, 1] and len(op.letters()[2]) == 2:
        text, level = f"outer({bodies[sides[0].operand].text}, {bodies[sides[1].operand].text})", ATOM
    else:
        text, level = " @ ".join(texts), MATRIX
    return Formula(text, r"\,".join(parts), level, MATRIX, factor)


def matrix_product(a: str, b: str, result: str) -> tuple[_Side, _Side] | None:
    """The two factors in order, and which are transposed; None for what is no product of matrices.

    >>> matrix_product("nj", "ij", "ni")
    (_Side(operand=0, turned=False), _Side(operand=1, turned=True))
    """
    summed = [c for c in a if c in b and c not in result]
    if max(len(a), len(b)) > 2 or len(summed) > 1 or set(a) & set(b) != set(summed):
        return None
    if not summed:
        if len(a) == len(b) == 1 and result:
            return (_Side(0, False), _Side(1, True)) if result == a + b else (_Side(1, False), _Side(0, True))
        return None
    c = summed[0]
    rest_a, rest_b = a.replace(c, ""), b.replace(c, "")
    if result == rest_a + rest_b and not (len(a) == 1 and len(b) == 2):
        return _Side(0, len(a) == 1 or a[0] == c), _Side(1, len(b) == 2 and b[1] == c)
    # The factors change places: (A B)ᵀ = Bᵀ Aᵀ, and aᵀ B as a vector is Bᵀ a.
    return _Side(1, b[0] == c), _Side(0, len(a) == 2 and a[1] == c)


def _reduce(n: Node, op: Reduce, x: Formula) -> Formula:
    shape = n.src[0].type.shape
    if len(op.axes) == len(shape):
        where, text = "", ""
    else:
        where = "_{" + ", ".join(_axis_latex(shape[k], k) for k in op.axes) + "}"
        text = f"axis={op.axes[0] if len(op.axes) == 1 else op.axes}"
    body = x if op.kind != "sum" else x.times(1 / x.factor) if x.factor else x
    inner = body.whole()
    found = call(op.kind, body, latex=f"{SIGNS[op.kind]}{where} {inner.latex_at(PRODUCT)}", extra=text)
    factor = x.factor if op.kind == "sum" and x.factor else 1.0
    return Formula(found.text, found.latex, ATOM, SUM, factor)


def _axis_latex(d: object, axis: int) -> str:
    return str(d) if not isinstance(d, int) else rf"\text{{axis {axis}}}"


def _structural(n: Node, operands: Sequence[Formula]) -> Formula:
    op = n.op
    latex = (
        fill(op.latex(*(token(k) for k in range(len(operands)))), operands) if len(operands) <= 8 else None
    )
    inner = operands[0].whole() if operands else _ONE
    if isinstance(op, Transpose):
        if len(op.perm) == 2:
            return Formula(f"{inner.at(ATOM)}.T", rf"{inner.latex_at(ATOM)}^{{\top}}", ATOM, POWER)
        return call("transpose", operands[0], latex=latex, extra=str(op.perm))
    if isinstance(op, Reshape):
        found = call("reshape", operands[0], latex=latex, extra=shape_text(op.shape))
        # Axes of length 1 are invisible in mathematics.
        return replace(found, latex=inner.latex, latex_level=inner.latex_level) if is_unit(n) else found
    if isinstance(op, Slice):
        ranges = ", ".join(
            ":" if (a, s, size) == (0, 1, d) else _range_text(a, s, size)
            for a, s, size, d in zip(op.starts, op.steps, op.shape, n.src[0].type.shape, strict=True)
        )
        return Formula(f"{inner.at(ATOM)}[{ranges}]", rf"{{{inner.latex_at(ATOM)}}}_{{[{ranges}]}}")
    if isinstance(op, Extent):
        return Formula.symbol(str(op.dim), str(op.dim))
    if isinstance(op, Iota):
        return Formula("arange", op.latex())
    if isinstance(op, Conv):
        return call("conv", *operands, latex=latex)
    if isinstance(op, Arg):
        return call(op.label, operands[0], latex=latex, extra=f"axis={op.axis}")
    return call(op.label, *operands, latex=latex)


def _range_text(start: object, step: int, size: object) -> str:
    """A range of a slice, as Python writes it: 2:5, 0:10:2, 4::-1."""
    if isinstance(start, int) and isinstance(size, int):
        stop = start + step * size
        if step < 0:
            return f"{start}:{stop if stop >= 0 else ''}:{step}"
        return f"{start}:{stop}" + (f":{step}" if step != 1 else "")
    return f"{start}:{start}+{size}" + (f":{step}" if step != 1 else "")
