"""Patterns as equations: text and LaTeX for the reader, SymPy for the proof.

>>> from graphc.passes.pattern import Reduction, Spread, Wild, call
>>> x = Wild("x")
>>> softmax = call("exp", x) / Spread(Reduction("sum", call("exp", x), "axes"))
>>> text(call("log", softmax)), text(-(x + 1) * 2)
('log(exp(x)/Σ exp(x))', '(−(x + 1))·2')
>>> print(latex(softmax))
\\frac{\\exp\\left(x\\right)}{\\sum \\exp\\left(x\\right)}
>>> components(softmax, 2)[0]
exp(x_0)/(exp(x_0) + exp(x_1))
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphc.errors import InternalError
from graphc.ops.row import row_named
from graphc.passes.pattern import (
    Call,
    Constant,
    Number,
    Pattern,
    Reduction,
    Spread,
    Structural,
    Viewed,
    Whole,
    Wild,
)

if TYPE_CHECKING:
    from graphc.ops.formula import Expr

# How tightly a form binds: a sum less than a sign, a sign less than a product, a product less than a call.
_SUM, _SIGN, _PRODUCT, _ATOM = range(4)

_INFIX = {
    "add": (" + ", _SUM),
    "sub": (" − ", _SUM),
    "mul": ("·", _PRODUCT),
    "div": ("/", _PRODUCT),
    "less": (" < ", _SUM),
    "equal": (" = ", _SUM),
    "logical_and": (" ∧ ", _SUM),
    "logical_or": (" ∨ ", _SUM),
}
_LATEX_CALL = {"exp": r"\exp", "log": r"\log", "tanh": r"\tanh", "sin": r"\sin", "cos": r"\cos"}
_LATEX_INFIX = {
    "add": " + ", "sub": " - ", "mul": r" \cdot ", "less": " < ", "equal": " = ",
    "logical_and": r" \land ", "logical_or": r" \lor ",
}  # fmt: skip


def number_text(value: float) -> str:
    """1, 0.5, ∞: a number as a reader would write it."""
    if isinstance(value, bool):
        return str(value).lower()
    if value in (float("inf"), float("-inf")):
        return "∞" if value > 0 else "−∞"
    plain = str(int(value)) if float(value).is_integer() else repr(value)
    return plain.replace("-", "−")


def text(pattern: Pattern) -> str:
    """The pattern as one line of mathematics."""
    return _text(pattern)[0]


def _text(pattern: Pattern) -> tuple[str, int]:
    def inside(p: Pattern, least: int) -> str:
        written, binds = _text(p)
        return written if binds >= least else f"({written})"

    def divisor(p: Pattern) -> str:
        return text(p) if isinstance(_seen_through(p), Reduction) else inside(p, _ATOM)

    match pattern:
        case Wild(name=name) | Constant(name=name):
            return name, _ATOM
        case Number(value=value):
            return number_text(value), _ATOM if value >= 0 else _SIGN
        case Spread(operand=operand) | Viewed(operand=operand):
            return _text(operand)
        case Reduction(kind=kind, operand=operand):
            return f"{'Σ' if kind == 'sum' else kind} {inside(operand, _ATOM)}", _PRODUCT
        case Structural(op=op, operands=operands):
            return f"{op.name}({', '.join(map(text, operands))})", _ATOM
        case Whole(what=what):
            return what, _ATOM
        case Call(name="neg", operands=(operand,)):
            return f"−{inside(operand, _ATOM)}", _SIGN
        case Call(name="square", operands=(operand,)):
            return f"{inside(operand, _ATOM)}²", _ATOM
        case Call(name="abs", operands=(operand,)):
            return f"|{text(operand)}|", _ATOM
        case Call(name="logical_not", operands=(operand,)):
            return f"¬{inside(operand, _ATOM)}", _SIGN
        case Call(name=name, operands=(left, right)) if name in _INFIX:
            sign, binds = _INFIX[name]
            if name == "div":
                return inside(left, binds) + sign + divisor(right), binds
            return inside(left, binds) + sign + inside(right, max(binds + 1, _PRODUCT)), binds
        case Call(name=name, operands=operands):
            return f"{name}({', '.join(map(text, operands))})", _ATOM
    raise InternalError(f"{pattern} has no text")


def latex(pattern: Pattern) -> str:
    """The pattern in LaTeX."""
    return _latex(pattern)[0]


def _latex(pattern: Pattern) -> tuple[str, int]:
    def inside(p: Pattern, least: int) -> str:
        written, binds = _latex(p)
        return written if binds >= least else rf"\left({written}\right)"

    match pattern:
        case Wild(name=name) | Constant(name=name):
            return name, _ATOM
        case Number(value=value):
            return number_text(value).replace("−", "-").replace(
                "∞", r"\infty"
            ), _ATOM if value >= 0 else _SIGN
        case Spread(operand=operand) | Viewed(operand=operand):
            return _latex(operand)
        case Reduction(kind=kind, operand=operand):
            return rf"\{kind} {inside(operand, _ATOM)}", _PRODUCT
        case Structural(op=op, operands=operands):
            return (
                rf"\operatorname{{{_escape(op.name)}}}\left({', '.join(map(latex, operands))}\right)",
                _ATOM,
            )
        case Whole(what=what):
            return rf"\text{{{what}}}", _ATOM
        case Call(name="neg", operands=(operand,)):
            return f"-{inside(operand, _ATOM)}", _SIGN
        case Call(name="square", operands=(operand,)):
            return f"{inside(operand, _ATOM)}^{{2}}", _ATOM
        case Call(name="reciprocal", operands=(operand,)):
            return rf"{inside(operand, _ATOM)}^{{-1}}", _ATOM
        case Call(name="div", operands=(left, right)):
            return rf"\frac{{{latex(left)}}}{{{latex(right)}}}", _ATOM
        case Call(name="abs", operands=(operand,)):
            return rf"\left|{latex(operand)}\right|", _ATOM
        case Call(name="sqrt", operands=(operand,)):
            return rf"\sqrt{{{latex(operand)}}}", _ATOM
        case Call(name="logical_not", operands=(operand,)):
            return rf"\lnot {inside(operand, _ATOM)}", _SIGN
        case Call(name=name, operands=(left, right)) if name in _LATEX_INFIX:
            binds = _INFIX[name][1]
            return inside(left, binds) + _LATEX_INFIX[name] + inside(right, max(binds + 1, _PRODUCT)), binds
        case Call(name=name, operands=operands):
            given = ", ".join(map(latex, operands))
            if name in _LATEX_CALL:
                return rf"{_LATEX_CALL[name]}\left({given}\right)", _ATOM
            return row_named(name).call_latex(*map(latex, operands)), _ATOM
    raise InternalError(f"{pattern} has no LaTeX")


def _seen_through(pattern: Pattern) -> Pattern:
    while isinstance(pattern, Spread | Viewed):
        pattern = pattern.operand
    return pattern


def _escape(name: str) -> str:
    return name.replace("_", r"\_")


def is_provable(pattern: Pattern) -> bool:
    """Whether a pattern is a formula of numbers: no structural op whose attributes would matter."""
    match pattern:
        case Structural() | Whole():
            return False
        case Call(operands=operands):
            return all(is_provable(p) for p in operands)
        case Reduction(operand=operand) | Spread(operand=operand) | Viewed(operand=operand):
            return is_provable(operand)
    return True


def has_reduction(pattern: Pattern) -> bool:
    """Whether a pattern speaks of sums or maxima, so that its proof needs several elements."""
    match pattern:
        case Call(operands=operands):
            return any(has_reduction(p) for p in operands)
        case Spread(operand=operand) | Viewed(operand=operand):
            return has_reduction(operand)
    return isinstance(pattern, Reduction)


def components(pattern: Pattern, size: int) -> list[Expr]:
    """The pattern in SymPy for tensors of `size` elements: x stands for x_0, x_1, …

    A maximum becomes one free symbol: an identity with a shift by the maximum must hold for any shift.
    """
    import sympy

    from graphc.ops.formula import symbol

    def values(p: Pattern) -> list[Expr]:
        match p:
            case Wild(name=name) | Constant(name=name):
                truth = isinstance(p, Wild) and p.truth
                names = [name] if size == 1 else [f"{name}_{k}" for k in range(size)]
                return [symbol(each, truth=truth) for each in names]
            case Number(value=value):
                if isinstance(value, bool):
                    return [sympy.sympify(value)] * size
                return [sympy.oo if value == float("inf") else sympy.Rational(repr(value))] * size
            case Call(name=name, operands=operands):
                row = row_named(name)
                given = [values(o) for o in operands]
                return [
                    row.expr.xreplace(dict(zip(row.symbols, at, strict=False)))
                    for at in zip(*given, strict=True)
                ]
            case Reduction(kind="sum", operand=operand):
                return [sympy.Add(*values(operand))] * size
            case Reduction():
                return [symbol("m")] * size
            case Spread(operand=operand) | Viewed(operand=operand):
                return values(operand)
        raise InternalError(f"{text(p)} is no formula of numbers")

    return values(pattern)


def symbols_of(*expressions: Expr) -> list[Expr]:
    """The symbols of expressions, in the order of their names."""
    found = set().union(*(e.free_symbols for e in expressions))
    return sorted(found, key=str)
