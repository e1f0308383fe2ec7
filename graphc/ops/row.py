"""A row of the op table: an elementwise op, declared by its mathematics, from which the rest is derived.

| from the row           | comes                                                                 |
|------------------------|-----------------------------------------------------------------------|
| `maths`                | `.expr`, LaTeX, derivatives, the 50-digit oracle                      |
| `compute` (or `maths`) | `.body`, and so the NumPy reference, kernels, LLVM, CUDA and cost     |
| `grad` (or `maths`)    | `.local(k)` and `.downstream(k)`, in SymPy and as bodies of graph ops |

`compute` and `grad` are *claims* that a human typed: `graphc.ops.prove` proves them, or samples them at 50
digits.  The bodies are kept in a file (`graphc.ops.derived`); SymPy is loaded when an expression, its LaTeX, or
the body of another row is first asked for, and each answer is kept.

>>> from graphc.ops.table import ROWS
>>> tanh = ROWS["tanh"]
>>> tanh.expr, tanh.local(0), tanh.downstream(0)
(tanh(x), 1 - out**2, up*(1 - out**2))
>>> print(tanh.latex("h_1"), tanh.local_latex(0))
\\tanh{\\left(h_1 \\right)} 1 - out^{2}
>>> ROWS["relu"].downstream(0)              # a choice, not a product: an infinite `up` times 0 would be NaN
Piecewise((up, out > 0), (0, True))
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

from graphc.errors import InternalError
from graphc.ops.body import Body, body_of
from graphc.ops.derived import Derived, Gradients, held
from graphc.ops.scalar import PRIMS

if TYPE_CHECKING:
    from graphc.ops.formula import Definition, Expr

DTypeRule = Literal["same", "float", "integer", "compare", "test", "logic", "select"]
"""How the dtype of the result follows, after the operands have been promoted to a common dtype:

same     int or float; the result has the common dtype
float    ints and bools are cast to a float first (NumPy: to float64); the result is that float
integer  ints only
compare  any dtype; the result is bool
test     as float; the result is bool
logic    operands are cast to bool (0 is false); the result is bool
select   the first operand is bool, the others are promoted among themselves; the result is theirs
"""


@dataclass(frozen=True, eq=False)
class Row:
    """One elementwise op.  `graphc.ops.table` explains the columns, `graphc.ops.formula` their language.

    Rows are compared by identity.  `domain` and `kink` are conditions on the operands; the last operands may
    have `defaults`.  A `wide` row computes float32 in float64 and rounds once: where factors of the result are
    subnormal, or rounding is magnified on the way.
    """

    name: str
    operands: tuple[str, ...]
    maths: str
    compute: str | None = None
    grad: Mapping[str, str] = field(default_factory=dict)
    dtype: DTypeRule = "float"
    domain: str = "True"
    kink: str = "False"
    convention: str = ""
    commutative: bool = False
    detached: bool = False
    wide: bool = False
    numpy_name: str | None = None
    tex: str | None = None
    doc: str = ""
    aliases: tuple[str, ...] = ()
    defaults: Mapping[str, Fraction] = field(default_factory=dict)

    @property
    def arity(self) -> int:
        return len(self.operands)

    @property
    def differentiable(self) -> bool:
        """False where the result, or everything it is made of, is an integer or a truth value."""
        return self.dtype not in ("integer", "compare", "test", "logic")

    @functools.cached_property
    def symbols(self) -> tuple[Expr, ...]:
        """The SymPy symbols of the operands, then `out` (the result) and `up` (the upstream gradient)."""
        from graphc.ops.formula import symbol

        truths = {"logic": self.arity, "select": 1}.get(self.dtype, 0)
        operands = [symbol(name, truth=k < truths) for k, name in enumerate(self.operands)]
        return (*operands, symbol("out"), symbol("up"))

    @functools.cached_property
    def expr(self) -> Expr:
        """The mathematics, in the symbols of the operands."""
        return self._parse(self.maths)

    @functools.cached_property
    def compute_expr(self) -> Expr:
        """What is computed: the stable form if the row has one, else the mathematics."""
        return self._parse(self.compute or self.maths)

    @functools.cached_property
    def body(self) -> Body:
        """What is computed, as primitives over the operands."""
        return self._derived.body if self._derived is not None else self.derive_body()

    def derive_body(self) -> Body:
        """`body`, as SymPy has it."""
        return body_of(self.compute_expr, self.symbols[: self.arity]).inlined(
            lambda name: row_named(name).derive_body()
        )

    @property
    def cost(self) -> int:
        """The work of one element, in additions."""
        return self.body.cost

    def local(self, k: int) -> Expr:
        """The local gradient ∂out/∂(operand k): a SymPy expression of the operands and `out`."""
        return self._locals[k]

    def downstream(self, k: int) -> Expr:
        """What flows on to operand k: up · local, with `up` moved into the branches where local is a choice.

        Piecewise((1, out > 0), (0, True)) → Piecewise((up, out > 0), (0, True)): what is not chosen leaves no
        trace, even where `up` is infinite.  The tangent of forward mode is the same expression.
        """
        local, up = self.local(k), self.symbols[-1]
        if not local.is_Piecewise:
            return up * local
        return local.func(*((up * value, condition) for value, condition in local.args))

    def local_body(self, k: int) -> Body:
        """`local(k)` over (operands…, out), still calling rows: what the graph builds its nodes from."""
        return self._bodies[k][0]

    def downstream_body(self, k: int) -> Body:
        """`downstream(k)` over (operands…, out, up), still calling rows."""
        return self._bodies[k][1]

    def matters(self, k: int) -> Body | None:
        """The condition under which `local(k)` is chosen not to be 0, over (operands…, out); None: there is none."""
        return self._bodies[k][2]

    def latex(self, *operands: str) -> str:
        """The mathematics in LaTeX, with the operands' own LaTeX in place of their symbols."""
        return _fill(_template(self.expr, self.symbols), operands)

    def local_latex(self, k: int, *operands: str, out: str = "out", up: str = "up") -> str:
        """The local gradient in LaTeX."""
        return _fill(_template(self.local(k), self.symbols), (*(operands or self.operands), out, up))

    def call_latex(self, *operands: str) -> str:
        """The op as a call, \\operatorname{relu}(h), for where the mathematics would be too long."""
        head = self.tex or rf"\operatorname{{{_escape(self.name)}}}"
        return rf"{head}\left({', '.join(operands or self.operands)}\right)"

    def __repr__(self) -> str:
        return f"<op {self.name}({', '.join(self.operands)}) = {self.maths}>"

    def _parse(self, text: str) -> Expr:
        from graphc.ops.formula import parse

        return parse(text, {str(s): s for s in self.symbols})

    @functools.cached_property
    def _locals(self) -> tuple[Expr, ...]:
        if not self.differentiable:
            raise InternalError(f"{self.name} gives integers or truth values, which have no gradient")
        from graphc.ops.formula import unfold

        found, maths = [], unfold(self.expr, definition)
        for k, name in enumerate(self.operands):
            if name in self.grad:
                found.append(self._parse(self.grad[name]))
            elif self.dtype == "select" and k == 0:
                found.append(self._parse("0"))
            else:
                found.append(maths.diff(self.symbols[k]))
        return tuple(found)

    @functools.cached_property
    def _derived(self) -> Derived | None:
        return held(self)

    @functools.cached_property
    def _bodies(self) -> Gradients:
        known = self._derived.gradients if self._derived is not None else None
        return self.derive_gradients() if known is None else known

    def derive_gradients(self) -> Gradients:
        """For each operand (`local_body`, `downstream_body`, `matters`), as SymPy has them."""
        return tuple(
            (
                body_of(self.local(k), self.symbols[:-1]),
                body_of(self.downstream(k), self.symbols),
                self._derive_condition(k),
            )
            for k in range(self.arity)
        )

    def _derive_condition(self, k: int) -> Body | None:
        import sympy

        local = self.local(k)
        if self.dtype == "select" or not local.is_Piecewise:
            return None
        before, chosen = sympy.false, sympy.false
        for value, condition in local.args:
            if value != 0:
                chosen = sympy.Or(chosen, sympy.And(condition, sympy.Not(before)))
            before = sympy.Or(before, condition)
        return None if chosen in (sympy.true, sympy.false) else body_of(chosen, self.symbols[:-1])


def row_named(name: str) -> Row:
    """The row that a step or a call means: that of the op itself, or of the primitive's op (`lt` → less)."""
    from graphc.ops.table import ROWS

    key = PRIMS[name].op if name in PRIMS else name
    if key not in ROWS:
        raise InternalError(f"no row of the op table is called {name!r}")
    return ROWS[key]


def definition(name: str) -> Definition:
    """The mathematics of a called row, for `graphc.ops.formula.unfold`."""
    row = row_named(name)
    return row.symbols[: row.arity], row.expr


def _escape(name: str) -> str:
    return name.replace("_", r"\_")


@functools.cache
def _template(expr: Expr, symbols: tuple[Expr, ...]) -> str:
    """LaTeX in which «k» stands for the k-th symbol."""
    import sympy

    decimals = {r: sympy.Float(str(float(r))) for r in expr.atoms(sympy.Rational) if r.q > 100}
    names = {s: f"«{k}»" for k, s in enumerate(symbols)}
    text: str = sympy.latex(expr.xreplace(decimals), symbol_names=names)
    for name, notation in _notations().items():
        text = text.replace(rf"\operatorname{{{name}}}", notation)
    return text


@functools.cache
def _notations() -> Mapping[str, str]:
    from graphc.ops.table import ROWS

    return {_escape(row.name): row.tex for row in ROWS.values() if row.tex}


def _fill(template: str, operands: tuple[str, ...]) -> str:
    """Put operands into a template, in brackets unless they are single symbols or already enclosed."""

    def put(match: re.Match[str]) -> str:
        before, k, after = match.groups()
        given = operands[int(k)]
        enclosed = (before == "{" and after == "}") or (before == r"\left(" and after == r" \right)")
        atomic = re.fullmatch(r"\\?\w+(_\w|_\{[^{}]*\})?'*", given)
        bracketed = given if enclosed or atomic else rf"\left({given}\right)"
        return f"{before}{bracketed}{after}"

    return re.sub(r"(\{|\\left\(|)«(\d+)»(\}| \\right\)|)", put, template)
