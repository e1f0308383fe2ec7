"""THE op table: every elementwise op of graphc, one row each.

A row says what the op *is*; value, local gradient, LaTeX, reference, kernels, LLVM and CUDA follow from it
(`graphc.ops.row` says how).  To add an op, add a row here, and nothing anywhere else.

```
row(name, operands, maths,      the mathematics, as a formula: see graphc.ops.formula for the language
    compute=                    what is computed instead, where floating point needs another form
    grad={operand: formula}     the local gradient, where it should use `out`, be stable, or settle a kink;
                                any other local gradient is the derivative of `maths`
    domain=, kink=              where the op is defined; where it has no derivative
    convention=                 what graphc does at the kink
    dtype=                      int and float rules (graphc.ops.row); "float" unless said otherwise
    commutative=                the operands may be exchanged, in value and in gradient
    numpy=, tex=, doc=)         NumPy's name for it; its LaTeX name; one line for the reader
```

`compute` and `grad` are claims; each one is proved by SymPy, or survives sampling at 50 digits, in the tests.
Kinks are written as choices (`x if x > 0 else 0`), never as max or abs, so that the side to which the kink
belongs is there to be read.  Formulas are written so that a NaN in an operand reaches the result.

>>> ROWS["tanh"].local(0)
1 - out**2
>>> print(ROWS["sigmoid"].body)
(a):
  t0 = abs a
  t1 = neg t0
  t2 = exp t1
  t3 = le 0, a
  t4 = select t3, 1, t2
  t5 = add 1, t2
  t6 = div t4, t5
  return t6
>>> [row.name for row in ROWS.values() if row.kink == "x == 0"]
['relu', 'leaky_relu', 'elu', 'abs', 'sign']
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from graphc.ops.row import DTypeRule, Row

__all__ = ["ROWS", "Row", "row"]


def row(
    name: str,
    operands: str,
    maths: str,
    *,
    compute: str | None = None,
    grad: Mapping[str, str] | None = None,
    domain: str = "True",
    kink: str = "False",
    convention: str = "",
    dtype: DTypeRule = "float",
    commutative: bool = False,
    detached: bool = False,
    numpy: str | None = None,
    tex: str | None = None,
    doc: str = "",
) -> Row:
    """Declare an op; `operands` are names with spaces between them."""
    return Row(
        name, tuple(operands.split()), maths, compute, MappingProxyType(dict(grad or {})), dtype,
        domain, kink, convention, commutative, detached, numpy, tex, doc,
    )  # fmt: skip


# fmt: off
_TABLE = (
    # ---- arithmetic ----------------------------------------------------------------------------------------
    row("add", "x y", "x + y", dtype="same", commutative=True, numpy="add", doc="sum"),
    row("sub", "x y", "x - y", dtype="same", numpy="subtract", doc="difference"),
    row("mul", "x y", "x * y", dtype="same", commutative=True, numpy="multiply", doc="product"),
    row("div", "x y", "x / y", grad={"y": "-out/y"}, domain="y != 0", numpy="divide",
        doc="true quotient; the quotient of integers is a float"),
    row("neg", "x", "-x", dtype="same", numpy="negative", doc="the other sign"),
    row("square", "x", "x**2", dtype="same", numpy="square", doc="x times x"),
    row("reciprocal", "x", "1/x", grad={"x": "-out**2"}, domain="x != 0", numpy="reciprocal",
        doc="one over x"),
    row("pow", "x y", "x**y",
        grad={"x": "0 if y == 0 else y * x**(y - 1)",       # SymPy's y*x**y/x is NaN at x = 0
              "y": "0 if x == 0 else out * log(x)"},
        domain="x > 0", numpy="power",
        convention="x**0 is 1 for every x; there ∂/∂x is 0; where x = 0, ∂/∂y is 0",
        doc="also x < 0 for integral y (with ∂/∂y NaN) and x = 0, as in NumPy; always in floating point"),
    row("floor_divide", "x y", "floor(x/y)", compute="floor_divide(x, y)", grad={"x": "0", "y": "0"},
        domain="y != 0", kink="x/y == floor(x/y)", convention="0 everywhere; integer x // 0 is 0", dtype="same",
        numpy="floor_divide", doc="the quotient, rounded downwards"),
    row("mod", "x y", "x - y*floor(x/y)", compute="mod(x, y)", grad={"x": "1", "y": "-floor_divide(x, y)"},
        domain="y != 0", kink="x/y == floor(x/y)", convention="1 and -(x // y) everywhere; integer x mod 0 is 0",
        dtype="same", numpy="remainder", doc="what floor_divide leaves over, with the sign of y"),

    # ---- roots, exponentials, logarithms -------------------------------------------------------------------
    row("sqrt", "x", "sqrt(x)", grad={"x": "1/(2*out)"}, domain="x > 0", numpy="sqrt", doc="square root"),
    row("rsqrt", "x", "1/sqrt(x)", grad={"x": "-out/(2*x)"}, domain="x > 0", doc="one over the square root"),
    row("exp", "x", "exp(x)", grad={"x": "out"}, numpy="exp", doc="exponential"),
    row("expm1", "x", "exp(x) - 1", compute="expm1(x)", numpy="expm1", doc="exp(x) - 1, exact near 0"),
    row("log", "x", "log(x)", domain="x > 0", numpy="log", doc="natural logarithm"),
    row("log1p", "x", "log(1 + x)", compute="log1p(x)", domain="x > -1", numpy="log1p",
        doc="log(1 + x), exact near 0"),

    # ---- waves, angles and their hyperbolic kin --------------------------------------------------------------
    row("sin", "x", "sin(x)", numpy="sin", doc="sine; radians"),
    row("cos", "x", "cos(x)", numpy="cos", doc="cosine; radians"),
    row("tan", "x", "tan(x)", grad={"x": "1 + out**2"}, domain="cos(x) != 0", numpy="tan", doc="tangent; radians"),
    row("asin", "x", "asin(x)", domain="-1 < x and x < 1", numpy="arcsin", doc="the angle with this sine"),
    row("acos", "x", "acos(x)", domain="-1 < x and x < 1", numpy="arccos", doc="the angle with this cosine"),
    row("atan", "x", "atan(x)", numpy="arctan", doc="the angle with this tangent"),
    row("atan2", "y x", "atan2(y, x)", domain="x != 0 or y != 0", numpy="arctan2", doc="the angle of (x, y)"),
    row("sinh", "x", "sinh(x)", numpy="sinh", doc="hyperbolic sine"),
    row("cosh", "x", "cosh(x)", numpy="cosh", doc="hyperbolic cosine"),
    row("tanh", "x", "tanh(x)", grad={"x": "1 - out**2"}, numpy="tanh", doc="hyperbolic tangent"),
    row("asinh", "x", "asinh(x)", numpy="arcsinh", doc="inverse hyperbolic sine"),
    row("acosh", "x", "acosh(x)", domain="x > 1", numpy="arccosh", doc="inverse hyperbolic cosine"),
    row("atanh", "x", "atanh(x)", domain="-1 < x and x < 1", numpy="arctanh", doc="inverse hyperbolic tangent"),

    # ---- special functions -----------------------------------------------------------------------------------
    row("erf", "x", "erf(x)", doc="error function"),
    row("erfc", "x", "1 - erf(x)", compute="erfc(x)", doc="1 - erf(x), exact in the right tail"),
    row("lgamma", "x", "lgamma(x)", grad={"x": "digamma(x)"}, domain="x > 0", doc="log |Γ(x)|"),
    row("digamma", "x", "digamma(x)", grad={"x": "polygamma(1, x)"}, domain="x > 0", doc="derivative of lgamma"),
    row("polygamma", "n x", "polygamma(floor(n), x)", compute="polygamma(n, x)",
        grad={"n": "0", "x": "polygamma(n + 1, x)"}, domain="x > 0 and n >= 0 and n == floor(n)",
        convention="n is an order, a whole number: it has no gradient", doc="n-th derivative of digamma"),
    row("sigmoid", "x", "1/(1 + exp(-x))",
        compute="(1 if x >= 0 else exp(-abs(x))) / (1 + exp(-abs(x)))",     # exp never overflows
        grad={"x": "out * (1 - out)"}, tex=r"\sigma", doc="logistic function"),

    # ---- activations ---------------------------------------------------------------------------------------
    row("relu", "x", "x if x > 0 else 0",
        compute="0 if x < 0 else x",                        # NaN stays NaN
        grad={"x": "1 if out > 0 else 0"},                  # x need not be kept
        kink="x == 0", convention="relu'(0) = 0", dtype="same", doc="rectifier"),
    row("leaky_relu", "x slope", "x if x > 0 else slope*x",
        kink="x == 0", convention="at 0 the left side's: slope", doc="rectifier that leaks"),
    row("elu", "x alpha", "x if x >= 0 else alpha*(exp(x) - 1)",
        compute="x if x >= 0 else alpha*expm1(x)",
        grad={"x": "1 if x >= 0 else out + alpha", "alpha": "0 if x >= 0 else expm1(x)"},
        kink="x == 0", convention="at 0 the right side's: 1",
        doc="exponential linear unit (Clevert et al., arXiv:1511.07289)"),
    row("softplus", "x", "log(1 + exp(x))",
        compute="relu(x) + log1p(exp(-abs(x)))",            # exp never overflows; log1p keeps the small
        grad={"x": "sigmoid(x)"}, doc="smooth rectifier"),
    row("silu", "x", "x/(1 + exp(-x))",
        compute="x * sigmoid(x)",
        grad={"x": "sigmoid(x) + out*(1 - sigmoid(x))"}, doc="x times its sigmoid; NaN at -inf"),
    row("gelu", "x", "x*(1 + erf(x/sqrt(2)))/2",
        doc="x times the normal distribution function (Hendrycks and Gimpel, arXiv:1606.08415); NaN at -inf"),
    row("gelu_tanh", "x", "x*(1 + tanh(sqrt(2/pi)*(x + 0.044715*x**3)))/2",
        doc="the tanh approximation of gelu, from the same paper; ∂/∂x is NaN where x**2 overflows"),

    # ---- sizes, signs and roundings ------------------------------------------------------------------------
    row("abs", "x", "-x if x < 0 else x", compute="abs(x)", grad={"x": "sign(x)"},
        kink="x == 0", convention="abs'(0) = 0", dtype="same", numpy="absolute", doc="size without sign"),
    row("sign", "x", "1 if x > 0 else (-1 if x < 0 else 0)",
        compute="1 if x > 0 else (-1 if x < 0 else x)",     # at 0 and at NaN: x itself
        grad={"x": "0"}, kink="x == 0", convention="0 everywhere", dtype="same", numpy="sign",
        doc="-1, 0 or 1"),
    row("floor", "x", "floor(x)", grad={"x": "0"}, kink="x == floor(x)", convention="0 everywhere",
        dtype="same", numpy="floor", doc="the next integer downwards"),
    row("ceil", "x", "ceil(x)", grad={"x": "0"}, kink="x == floor(x)", convention="0 everywhere",
        dtype="same", numpy="ceil", doc="the next integer upwards"),
    row("round", "x", "floor(x + 1/2) - (1 if x/2 - floor(x/2) == 1/4 else 0)",
        compute="round(x)", grad={"x": "0"}, kink="x + 1/2 == floor(x + 1/2)", convention="0 everywhere",
        dtype="same", numpy="round", doc="the nearest integer; of two, the even one"),

    row("trunc", "x", "floor(x) if x >= 0 else ceil(x)", compute="trunc(x)", grad={"x": "0"},
        kink="x == floor(x)", convention="0 everywhere", dtype="same", numpy="trunc",
        doc="the next integer towards 0"),

    # ---- choices -------------------------------------------------------------------------------------------
    # maximum and minimum are not commutative: at a tie, their gradients tell the operands apart.
    row("maximum", "x y", "x if x >= y else y", compute="maximum(x, y)",
        kink="x == y", convention="at a tie the first operand has the gradient", dtype="same",
        numpy="maximum", tex=r"\max", doc="the larger one; NaN if either is NaN"),
    row("minimum", "x y", "x if x <= y else y", compute="minimum(x, y)",
        kink="x == y", convention="at a tie the first operand has the gradient", dtype="same",
        numpy="minimum", tex=r"\min", doc="the smaller one; NaN if either is NaN"),
    row("where", "c x y", "x if c else y", dtype="select", numpy="where",
        doc="x where c holds, else y; what is not chosen receives no gradient, be it infinite or NaN"),
    row("stop_gradient", "x", "x", grad={"x": "0"}, detached=True, dtype="same",
        convention="0 everywhere, on purpose", doc="x, as if it were a constant"),

    # ---- comparisons and logic -----------------------------------------------------------------------------
    row("less", "x y", "x < y", dtype="compare", numpy="less"),
    row("less_equal", "x y", "x <= y", dtype="compare", numpy="less_equal"),
    row("greater", "x y", "x > y", dtype="compare", numpy="greater"),
    row("greater_equal", "x y", "x >= y", dtype="compare", numpy="greater_equal"),
    row("equal", "x y", "x == y", dtype="compare", commutative=True, numpy="equal"),
    row("not_equal", "x y", "x != y", dtype="compare", commutative=True, numpy="not_equal",
        doc="the one comparison that holds for NaN"),
    row("logical_and", "x y", "x and y", dtype="logic", commutative=True, numpy="logical_and"),
    row("logical_or", "x y", "x or y", dtype="logic", commutative=True, numpy="logical_or"),
    row("logical_not", "x", "not x", dtype="logic", numpy="logical_not"),

    # ---- the bits of integers --------------------------------------------------------------------------------
    row("bitwise_and", "x y", "bit_and(x, y)", dtype="integer", commutative=True, numpy="bitwise_and"),
    row("bitwise_or", "x y", "bit_or(x, y)", dtype="integer", commutative=True, numpy="bitwise_or"),
    row("bitwise_xor", "x y", "bit_xor(x, y)", dtype="integer", commutative=True, numpy="bitwise_xor"),
    row("left_shift", "x y", "shift_left(x, y)", dtype="integer", numpy="left_shift"),
    row("logical_right_shift", "x y", "shift_right(x, y)", dtype="integer"),
)
# fmt: on

ROWS: Mapping[str, Row] = MappingProxyType({r.name: r for r in _TABLE})
"""The table, by name, in reading order."""
