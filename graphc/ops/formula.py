"""The language of formulas: how a row of the op table writes its mathematics down.

A formula is one Python expression.  It is never run: Python's grammar reads it, and SymPy receives it.

```
formula ::= number | pi | operand | out | up            0.044715 is exactly 44715/1000000
          | formula (+ - * / **) formula | - formula
          | formula (< <= > >= == !=) formula
          | formula and formula | formula or formula | not formula
          | formula if condition else formula           a Piecewise: a kink with its convention in plain sight
          | exp log sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh erf lgamma digamma sqrt
            floor ceil abs (formula)
          | atan2 polygamma (formula, formula)
          | name(formula, ...)                          any other primitive, and any other row of the table
```

All symbols are real, and conditions are read as truth values.  A call of another row (`sigmoid(x)`) stays a
call: it is drawn, printed and built as that op; `unfold` puts its mathematics in its place for a proof.

>>> x = symbol("x")
>>> parse("x if x > 0 else 0", {"x": x})
Piecewise((x, x > 0), (0, True))
>>> parse("out * sigmoid(x) / 2", {"x": x, "out": symbol("out")})
out*sigmoid(x)/2
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import sympy
from sympy.core.function import AppliedUndef

from graphc.errors import InternalError

Expr: TypeAlias = sympy.Basic
"""A SymPy expression: a number or a truth value."""

Definition: TypeAlias = tuple[Sequence[Expr], Expr]
"""The formal operands of an op, and its mathematics in them."""

_FUNCTIONS: Mapping[str, Callable[..., Expr]] = {
    "exp": sympy.exp,
    "log": sympy.log,
    "sin": sympy.sin,
    "cos": sympy.cos,
    "tan": sympy.tan,
    "asin": sympy.asin,
    "acos": sympy.acos,
    "atan": sympy.atan,
    "atan2": sympy.atan2,
    "sinh": sympy.sinh,
    "cosh": sympy.cosh,
    "tanh": sympy.tanh,
    "asinh": sympy.asinh,
    "acosh": sympy.acosh,
    "atanh": sympy.atanh,
    "erf": sympy.erf,
    "lgamma": sympy.loggamma,
    "digamma": sympy.digamma,
    "polygamma": sympy.polygamma,
    "sqrt": sympy.sqrt,
    "floor": sympy.floor,
    "ceil": sympy.ceiling,
    "abs": sympy.Abs,
}
_OPERATORS: Mapping[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
    ast.Lt: sympy.Lt,
    ast.LtE: sympy.Le,
    ast.Gt: sympy.Gt,
    ast.GtE: sympy.Ge,
    ast.Eq: sympy.Eq,
    ast.NotEq: sympy.Ne,
    ast.And: sympy.And,
    ast.Or: sympy.Or,
    ast.Not: sympy.Not,
}


def symbol(name: str, *, truth: bool = False) -> Expr:
    """The symbol of an operand: a real number, or a truth value."""
    return sympy.Symbol(name) if truth else sympy.Symbol(name, real=True)


def parse(text: str, symbols: Mapping[str, Expr]) -> Expr:
    """The SymPy expression that a formula denotes; InternalError where the text leaves the grammar above."""

    def build(node: ast.expr) -> Expr:
        match node:
            case ast.Constant(value=bool() | int() | float() as value):
                # Python prints the shortest decimal that reads back as the same float: what the author wrote.
                return sympy.sympify(value) if isinstance(value, bool) else sympy.Rational(repr(value))
            case ast.Name(id="pi"):
                return sympy.pi
            case ast.Name(id=name) if name in symbols:
                return symbols[name]
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
                return _OPERATORS[type(op)](build(left), build(right))
            case ast.UnaryOp(op=op, operand=operand) if type(op) in _OPERATORS:
                return _OPERATORS[type(op)](build(operand))
            case ast.BoolOp(op=op, values=values):
                return _OPERATORS[type(op)](*map(build, values))
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _OPERATORS:
                return _OPERATORS[type(op)](build(left), build(right))
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return sympy.Piecewise((build(body), build(test)), (build(orelse), True))
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
                head = _FUNCTIONS.get(name) or sympy.Function(name, real=True)
                return head(*map(build, args))
        raise InternalError(f"the formula {text!r} says {ast.unparse(node)!r}, which is not in its language")

    return build(ast.parse(text, mode="eval").body)


def unfold(expr: Expr, definition: Callable[[str], Definition]) -> Expr:
    """Replace each call of an op by its mathematics, innermost first: out*sigmoid(x) → out/(1 + exp(-x))."""
    while calls := {call for call in expr.atoms(AppliedUndef) if not _is_letter(call, definition)}:
        call = min(calls, key=lambda call: (call.count_ops(), str(call)))
        operands, maths = definition(call.func.__name__)
        expr = expr.xreplace({call: maths.xreplace(dict(zip(operands, call.args, strict=True)))})
    return expr


def _is_letter(call: Expr, definition: Callable[[str], Definition]) -> bool:
    """Whether the mathematics of a call is that very call: bits have no other."""
    return bool(definition(call.func.__name__)[1].func is call.func)
