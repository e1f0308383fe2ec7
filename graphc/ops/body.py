"""Bodies: straight-line programs of scalar steps, the form in which mathematics is computed.

A body lies between the SymPy expression of an op and the statements of a kernel.  It knows no loops and no
shapes:

```
body ::= "(" operand ("," operand)* "):" step* "return" ref
step ::= name "=" op ref ("," ref)*          op: a primitive (graphc.ops.scalar) or a row (graphc.ops.table)
ref  ::= operand | name of an earlier step | exact number
```

Each value is computed once: equal subexpressions share a step.  A body whose steps are all primitives can be
run and lowered; one that still calls rows, such as `sigmoid`, is what the graph builds its nodes from, and
`inlined` leads from the second to the first.

>>> import sympy
>>> x = sympy.Symbol("x", real=True)
>>> body = body_of(1 / (1 + sympy.exp(-x)), [x])
>>> print(body)
(a):
  t0 = neg a
  t1 = exp t0
  t2 = add 1, t1
  t3 = div 1, t2
  return t3
>>> evaluate(body, np.float32(0))
array(0.5, dtype=float32)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from graphc.errors import InternalError
from graphc.ir.types import Array
from graphc.ops.scalar import PRIMS

if TYPE_CHECKING:
    from graphc.ops.formula import Expr

Constant: TypeAlias = int | Fraction | float
"""An exact number; a float stands for an irrational one, such as sqrt(2/pi), to the nearest f64."""

Step: TypeAlias = tuple[str, tuple[int, ...]]
"""The name of a primitive or of a row, and the references of its operands."""


@dataclass(frozen=True, slots=True)
class Body:
    """A scalar program in single-assignment form.

    References count through all that a step may name: the operands (0 to arity-1), then the constants, then
    the steps, each of which refers backwards only.
    """

    arity: int
    constants: tuple[Constant, ...]
    steps: tuple[Step, ...]
    result: int

    @property
    def reads(self) -> tuple[int, ...]:
        """The operands that matter, in order.  (The gradient of tanh reads `out` and not x.)"""
        used = {ref for _, args in self.steps for ref in args} | {self.result}
        return tuple(k for k in range(self.arity) if k in used)

    @property
    def cost(self) -> int:
        """The work of one element, in additions; an inlined body only."""
        return sum(PRIMS[name].cost for name, _ in self.steps)

    def inlined(self, definition: Callable[[str], Body]) -> Body:
        """Replace each step that calls a row by that row's own body, so that only primitives remain."""
        build = Builder(self.arity)

        def copy(body: Body, operands: Sequence[int]) -> int:
            refs = [*operands, *map(build.constant, body.constants)]
            for name, args in body.steps:
                given = [refs[a] for a in args]
                refs.append(build.step(name, *given) if name in PRIMS else copy(definition(name), given))
            return refs[body.result]

        return build.finish(copy(self, range(self.arity)))

    def text(self, operands: Sequence[str] = ()) -> str:
        """The program, one step per line; operands are called a, b, c unless names are given."""
        names = list(operands or "abcdefgh"[: self.arity])
        head = ", ".join(names)
        names += [_decimal(c) for c in self.constants] + [f"t{k}" for k in range(len(self.steps))]
        first = self.arity + len(self.constants)
        lines = [
            f"  {names[first + k]} = {name} {', '.join(names[a] for a in args)}"
            for k, (name, args) in enumerate(self.steps)
        ]
        return "\n".join([f"({head}):", *lines, f"  return {names[self.result]}"])

    def __str__(self) -> str:
        return self.text()


def _decimal(constant: Constant) -> str:
    """The decimal that an author would write, where it is exact: 8943/200000 → 0.044715."""
    short = repr(float(constant))
    return short if isinstance(constant, Fraction) and Fraction(short) == constant else str(constant)


def evaluate(body: Body, *operands: Array) -> Array:
    """Run a body on arrays that broadcast together; the numeric ones must have one dtype, and it is kept.

    Constants take the dtype of the numeric operands, so float32 stays float32.  Floating-point exceptions are
    silent, as in native code: the infinities and NaNs in the result are what there is to see.
    """
    arrays = [np.asarray(a) for a in operands]
    dtypes = {a.dtype for a in arrays if a.dtype != np.bool_}
    if len(arrays) != body.arity or len(dtypes) > 1:
        found = ", ".join(str(a.dtype) for a in arrays)
        raise InternalError(f"a body takes {body.arity} operands of one dtype, not ({found})")
    dtype = dtypes.pop() if dtypes else np.dtype(np.bool_)
    values: list[Array] = [*arrays, *(_typed(c, dtype) for c in body.constants)]
    with np.errstate(all="ignore"):
        for name, args in body.steps:
            values.append(np.asarray(PRIMS[name].numpy(*(values[a] for a in args))))
    result, shape = values[body.result], np.broadcast_shapes(*(a.shape for a in arrays))
    return result if result.shape == shape else np.broadcast_to(result, shape).copy()


def _typed(constant: Constant, dtype: np.dtype[np.generic]) -> Array:
    if dtype.kind != "f" and constant != int(constant):
        raise InternalError(f"the constant {constant} has no place in a body over {dtype}")
    return np.asarray(float(constant) if dtype.kind == "f" else int(constant), dtype=dtype)


class Builder:
    """Collects steps; an equal step or constant is given the reference that it already has.

    Until `finish`, constants are counted downwards from -1, because their number is not yet known.
    """

    def __init__(self, arity: int) -> None:
        self.arity = arity
        self.constants: list[Constant] = []
        self.steps: dict[Step, int] = {}

    def constant(self, value: Constant) -> int:
        if value not in self.constants:
            self.constants.append(value)
        return -1 - self.constants.index(value)

    def step(self, name: str, *args: int) -> int:
        return self.steps.setdefault((name, args), self.arity + len(self.steps))

    def finish(self, result: int) -> Body:
        """The body that computes `result`, without what it does not need."""
        steps = list(self.steps)
        needed = {result}
        for k in reversed(range(len(steps))):
            if self.arity + k in needed:
                needed.update(steps[k][1])
        constants = [c for k, c in enumerate(self.constants) if -1 - k in needed]
        final = {k: k for k in range(self.arity)}
        final |= {-1 - self.constants.index(c): self.arity + k for k, c in enumerate(constants)}
        kept: list[Step] = []
        for k, (name, args) in enumerate(steps):
            if self.arity + k in needed:
                final[self.arity + k] = self.arity + len(constants) + len(kept)
                kept.append((name, tuple(final[a] for a in args)))
        return Body(self.arity, tuple(constants), tuple(kept), final[result])


def body_of(expr: Expr, symbols: Sequence[Expr]) -> Body:
    """Translate a SymPy expression over `symbols`: 1 - out**2 → `t0 = mul out, out; t1 = sub 1, t0`.

    Sums and products become chains in SymPy's printing order; a + (-1)*b is a subtraction, x**-1 a division,
    x**3 two multiplications, x**(1/2) a square root, a Piecewise a chain of selects.  Rationals stay exact.
    """
    translator = _Translator(symbols)
    return translator.build.finish(translator.ref(expr))


_LARGEST_POWER = 64
_STEPS: Mapping[str, str] = {prim.sympy: prim.name for prim in PRIMS.values()}


class _Translator:
    """One translation.  It recurses, because a formula is a line of text and never a user's graph."""

    def __init__(self, symbols: Sequence[Expr]) -> None:
        self.build = Builder(len(symbols))
        self.known: dict[Expr, int] = {s: k for k, s in enumerate(symbols)}

    def ref(self, expr: Expr) -> int:
        if expr not in self.known:
            self.known[expr] = self._translate(expr)
        return self.known[expr]

    def _translate(self, expr: Expr) -> int:
        if expr.is_number:
            return self.build.constant(_number(expr))
        head = expr.func.__name__
        special = {"Add": self._sum, "Mul": self._product, "Pow": self._power, "Piecewise": self._piecewise}
        if head in special:
            return special[head](expr)
        if head in ("StrictGreaterThan", "GreaterThan"):
            return self._chain("lt" if head[0] == "S" else "le", (expr.rhs, expr.lhs))
        if head == "polygamma" and expr.args[0] == 0:
            return self.build.step("digamma", self.ref(expr.args[1]))
        if head in ("And", "Or"):
            return self._chain(head.lower(), sorted(expr.args, key=str))
        if expr.is_Symbol or not expr.args:
            raise InternalError(f"the formula speaks of {expr}, which is not an operand")
        return self.build.step(_STEPS.get(head, head), *map(self.ref, expr.args))

    def _chain(self, name: str, args: Sequence[Expr]) -> int:
        """name(name(a, b), c) for any number of operands."""
        result = self.ref(args[0])
        for arg in args[1:]:
            result = self.build.step(name, result, self.ref(arg))
        return result

    def _sum(self, expr: Expr) -> int:
        terms = expr.as_ordered_terms()
        negative = [_coefficient(term).is_negative for term in terms]
        first = negative.index(False) if False in negative else 0
        result = self.ref(terms[first])
        for k, term in enumerate(terms):
            if k != first:
                step = "sub" if negative[k] else "add"
                result = self.build.step(step, result, self.ref(-term if negative[k] else term))
        return result

    def _product(self, expr: Expr) -> int:
        coefficient = _coefficient(expr)
        above: list[Expr] = []
        below: list[Expr] = []
        for factor in expr.as_ordered_factors():
            if factor.is_number:
                continue
            if factor.is_Pow and factor.exp.is_number and factor.exp.is_negative:
                below.append(factor.base**-factor.exp)
            else:
                above.append(factor)
        if coefficient not in (1, -1) or not above:
            above.insert(0, coefficient)
            coefficient = 1
        result = self._chain("mul", above)
        if below:
            result = self.build.step("div", result, self._chain("mul", below))
        return result if coefficient == 1 else self.build.step("neg", result)

    def _power(self, expr: Expr) -> int:
        base, exponent = expr.args
        if not exponent.is_Rational or exponent.q > 2 or abs(exponent) > _LARGEST_POWER:
            return self.build.step("pow", self.ref(base), self.ref(exponent))
        if exponent < 0:
            return self.build.step("div", self.build.constant(1), self.ref(base**-exponent))
        root = [self.build.step("sqrt", self.ref(base))] if exponent.q == 2 else []
        factors: list[int] = []
        square, bits = self.ref(base), int(exponent)
        while bits:
            if bits & 1:
                factors.append(square)
            bits >>= 1
            if bits:
                square = self.build.step("mul", square, square)
        result, *others = factors + root
        for other in others:
            result = self.build.step("mul", result, other)
        return result

    def _piecewise(self, expr: Expr) -> int:
        *branches, (last, otherwise) = expr.args
        if otherwise != True:  # noqa: E712 - SymPy's true is an object of its own
            raise InternalError(f"{expr} leaves a case open")
        result = self.ref(last)
        for value, condition in reversed(branches):
            result = self.build.step("select", self.ref(condition), self.ref(value), result)
        return result


def _coefficient(term: Expr) -> Expr:
    """The numeric factor of a product, as one number: -sqrt(2)*x/sqrt(pi) → -sqrt(2/pi)."""
    from sympy import Mul

    return Mul(*(factor for factor in Mul.make_args(term) if factor.is_number))


def _number(expr: Expr) -> Constant:
    if expr.is_Integer:
        return int(expr)
    if expr.is_Rational:
        return Fraction(int(expr.p), int(expr.q))
    return float(expr.evalf(30))
