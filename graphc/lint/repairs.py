"""Why a gradient can be NaN, and how it is repaired, operation by operation.

| what is written           | repair                                                                    |
|---------------------------|---------------------------------------------------------------------------|
| `log(x)`                  | `log(maximum(x, 1e-12))`                                                  |
| `sqrt(x)`, `rsqrt(x)`     | `sqrt(x + 1e-12)`                                                         |
| `x / y`, y ≥ 0            | `x / (y + 1e-12)`                                                         |
| `x / y`                   | `x / where(y != 0, y, 1)`                                                 |
| `x ** y`                  | `maximum(x, 1e-12) ** y`                                                  |
| `where(c, f(x), z)`       | `where(c, f(where(c, x, 1)), z)`: the operand is chosen too               |

>>> from graphc.lang.apply import apply
>>> from graphc.lang.tensor import input
>>> root = apply("sqrt", input("x")).node
>>> from graphc.lint.ranges import NOT_NEGATIVE
>>> repair(root, Birth(root, 0, NOT_NEGATIVE), None)[1]
'keep it away from 0: gc.sqrt(x + 1e-12)'
"""

from __future__ import annotations

from collections.abc import Mapping

from graphc.ir.node import Node
from graphc.lint.bounds import Birth

_WANTS: Mapping[str, tuple[str, str]] = {
    "log": ("log wants more than 0", "keep it away from 0: gc.log(gc.maximum(x, 1e-12))"),
    "log1p": ("log1p wants more than -1", "keep it away from -1: gc.log1p(gc.maximum(x, -1 + 1e-6))"),
    "sqrt": ("the slope of sqrt, 1/(2·sqrt(x)), is infinite at 0", "keep it away from 0: gc.sqrt(x + 1e-12)"),
    "rsqrt": ("rsqrt wants more than 0", "keep it away from 0: gc.rsqrt(x + 1e-12)"),
    "asin": ("the slope of asin is infinite at -1 and 1", "keep it inside: gc.asin((1 - 1e-6) * x)"),
    "acos": ("the slope of acos is infinite at -1 and 1", "keep it inside: gc.acos((1 - 1e-6) * x)"),
    "atan2": ("the angle of (0, 0) has no slope", "keep away from (0, 0): choose the operands with gc.where"),
    "pow": ("this power has no finite slope there", "keep it away from 0: gc.maximum(x, 1e-12) ** y"),
}


def repair(n: Node, birth: Birth, choice: Node | None) -> tuple[str, str]:
    """(why, fix) for a birth that is due to a node of the loss, which may be a branch of a `where`."""
    name, found = n.op.label, birth.range
    operand = "divisor" if name in ("div", "reciprocal") else "operand"
    if birth.node is n or name in ("sqrt", "reciprocal"):
        lies = f"its {operand} can be anything in {found}"
        if birth.node is not n:  # the range is that of a part of the slope
            lies = f"its {operand} can be 0"
    else:
        lies = f"a divisor of its slope is in {found}"
    if operand == "divisor":
        wants = "a quotient by 0 is infinite or NaN"
        fix = (
            "keep the divisor away from 0: x / (y + 1e-12)"
            if found.lo >= 0
            else "choose the divisor: x / gc.where(y != 0, y, 1.0)"
        )
    else:
        wants, fix = _WANTS.get(
            name, (f"{name} is not defined for all of that", "keep its operand inside the domain")
        )
    if choice is not None:
        return (
            f"{lies}, and {wants}; where another value is chosen, the gradient is 0 times that, which is NaN",
            f"choose the operand too: gc.where(c, {_call(name)}, ...)",
        )
    return f"{lies}, and {wants}", fix


def _call(name: str) -> str:
    return {
        "div": "x / gc.where(c, y, 1.0)",
        "pow": "gc.where(c, x, 1.0) ** y",
        "reciprocal": "1 / gc.where(c, x, 1.0)",
    }.get(name, f"gc.{name}(gc.where(c, x, 1.0))")
