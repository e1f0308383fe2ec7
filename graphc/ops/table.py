"""THE op table: every elementwise op of graphc, one row each.

A row says what the op *is*; value, local gradient, LaTeX, reference, kernels, LLVM and CUDA follow from it
(`graphc.ops.row` says how).  To add an op, add a row here, and nothing anywhere else.

```
row(name, operands, maths,      the mathematics, as a formula: see graphc.ops.formula for the language
                                (an operand may have a default: "x alpha=1")
    compute=                    what is computed instead, where floating point needs another form
    grad={operand: formula}     the local gradient, where it should use `out`, be stable, or settle a kink;
                                any other local gradient is the derivative of `maths`
    domain=, kink=              where the op is defined; where it has no derivative
    convention=                 what graphc does at the kink
    dtype=                      int and float rules (graphc.ops.row); "float" unless said otherwise
    commutative=                the operands may be exchanged, in value and in gradient
    numpy=, also=               NumPy's name for it; further names that NumPy, PyTorch, JAX or Keras have
    tex=, doc=)                 its LaTeX name; one line for the reader
```

`compute` and `grad` are claims; each one is proved by SymPy, or survives sampling at 50 digits, in the tests.
Kinks are written as choices (`x if x > 0 else 0`), never as max or abs, so that the side to which the kink
belongs is there to be read.  Formulas are written so that a NaN in an operand reaches the result.

>>> ROWS["tanh"].local(0)
1 - out**2
>>> print(ROWS["log_sigmoid"].body)
(a):
  t0 = neg a
  t1 = abs t0
  t2 = neg t1
  t3 = exp t2
  t4 = log1p t3
  t5 = lt t0, 0
  t6 = select t5, 0, t0
  t7 = add t4, t6
  t8 = neg t7
  return t8
>>> [row.name for row in ROWS.values() if row.kink == "x == 0"]
['relu', 'leaky_relu', 'elu', 'selu', 'abs', 'sign', 'heaviside']
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
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
    wide: bool = False,
    numpy: str | None = None,
    also: str = "",
    tex: str | None = None,
    doc: str = "",
) -> Row:
    """Declare an op; `operands` are names with spaces between them, and so is `also`."""
    given = [operand.partition("=") for operand in operands.split()]
    return Row(
        name, tuple(o for o, _, _ in given), maths, compute, MappingProxyType(dict(grad or {})), dtype,
        domain, kink, convention, commutative, detached, wide, numpy, tex, doc,
        tuple(also.split()), MappingProxyType({o: Fraction(d) for o, _, d in given if d}),
    )  # fmt: skip


# The constants of selu; the argument of gelu_tanh, doubled; (1 + exp(x))² - 1, over exp(x)² where x > 0;
# a rough cube root; the size of (x, y), 1 instead of 0.
_SCALE, _ALPHA = "1.0507009873554804934", "1.6732632423543772848"
_CUBIC = "2*sqrt(2/pi)*(x + 0.044715*x**3)"
_E = "exp(-abs(x))"
_SQUARE = f"(1 + 2*{_E} if x >= 0 else mul({_E}, add({_E}, 2)))"
_ROOT = "pow(abs(x), 1/3)"
_SIZE = "(1 if x == 0 and y == 0 else hypot(x, y))"

# fmt: off
_TABLE = (
    # ---- arithmetic ----------------------------------------------------------------------------------------
    row("add", "x y", "x + y", dtype="same", commutative=True, numpy="add", doc="sum"),
    row("sub", "x y", "x - y", dtype="same", numpy="subtract", doc="difference"),
    row("mul", "x y", "x * y", dtype="same", commutative=True, numpy="multiply", doc="product"),
    row("div", "x y", "x / y", grad={"y": "-out/y"}, domain="y != 0", numpy="divide", also="true_divide",
        doc="true quotient; the quotient of integers is a float"),
    row("neg", "x", "-x", dtype="same", numpy="negative", doc="the other sign"),
    row("square", "x", "x**2", dtype="same", numpy="square", doc="x times x"),
    row("reciprocal", "x", "1/x", grad={"x": "-out**2"}, domain="x != 0", numpy="reciprocal",
        doc="one over x"),
    row("pow", "x y", "x**y",
        grad={"x": "0 if x == 0 and y == 0 else y * x**(y - 1)",        # SymPy's y*x**y/x is NaN at x = 0
              "y": "out * log(1 if x == 0 else x)"},
        domain="x > 0", numpy="power",
        convention="x**0 is 1 for every x, NaN included; 0**0 has no gradient; ∂/∂y is 0 where x = 0 <= y",
        doc="also x < 0 for integral y (with ∂/∂y NaN) and x = 0, as in NumPy; always in floating point"),
    row("multiply_no_nan", "x y", "x*y", compute="0 if y == 0 else x*y",
        convention="0 wherever y is 0, even if x is infinite or NaN", doc="the product, where 0 always wins"),
    row("hypot", "x y", "sqrt(x**2 + y**2)",
        compute="maximum(abs(x), abs(y)) * (sqrt(2) if abs(x) == abs(y) else"         # squares never overflow
                " sqrt(1 + square(minimum(abs(x), abs(y)) / maximum(abs(x), abs(y)))))",
        grad={"x": "x/(1 if out == 0 else out)", "y": "y/(1 if out == 0 else out)"},
        kink="x == 0 and y == 0", convention="at (0, 0) both are 0", commutative=True, numpy="hypot",
        doc="length of (x, y), without overflow"),
    row("floor_divide", "x y", "floor(x/y)", compute="floor_divide(x, y)", grad={"x": "0", "y": "0"},
        domain="y != 0", kink="x/y == floor(x/y)", convention="0 everywhere; integer x // 0 is 0", dtype="same",
        numpy="floor_divide", doc="the quotient, rounded downwards"),
    row("mod", "x y", "x - y*floor(x/y)", compute="mod(x, y)", grad={"x": "1", "y": "-floor_divide(x, y)"},
        domain="y != 0", kink="x/y == floor(x/y)", convention="1 and -(x // y) everywhere; integer x mod 0 is 0",
        dtype="same", numpy="remainder", doc="what floor_divide leaves over, with the sign of y"),

    # ---- roots, exponentials, logarithms -------------------------------------------------------------------
    row("sqrt", "x", "sqrt(x)", grad={"x": "1/(2*out)"}, domain="x > 0", numpy="sqrt", doc="square root"),
    row("cbrt", "x", "x**(1/3) if x >= 0 else -(-x)**(1/3)",
        # Written in calls, lest SymPy multiply them out: one step of Newton's puts the power's last bits right.
        compute=f"sign(x) * ({_ROOT} if x == 0 or reciprocal(abs(x)) == 0 else"               # 0 or infinite
                f" sub({_ROOT}, div(sub({_ROOT}, div(abs(x), square({_ROOT}))), 3)))",
        grad={"x": "1/(3*out**2)"}, domain="x != 0", numpy="cbrt", doc="cube root, of negative numbers too"),
    row("rsqrt", "x", "1/sqrt(x)", grad={"x": "-out/(2*x)"}, domain="x > 0", doc="one over the square root"),
    row("exp", "x", "exp(x)", grad={"x": "out"}, numpy="exp", doc="exponential"),
    row("expm1", "x", "exp(x) - 1", compute="expm1(x)", numpy="expm1", doc="exp(x) - 1, exact near 0"),
    row("log", "x", "log(x)", domain="x > 0", numpy="log", doc="natural logarithm"),
    row("log1p", "x", "log(1 + x)", compute="log1p(x)", domain="x > -1", numpy="log1p",
        doc="log(1 + x), exact near 0"),
    row("exp2", "x", "2**x", compute="pow(2, x)", grad={"x": "out * log(2)"}, numpy="exp2", doc="2 to the power x"),
    row("log2", "x", "log(x)/log(2)",
        compute="round(log(x)/log(2)) if pow(2, round(log(x)/log(2))) == x else log(x)/log(2)",
        grad={"x": "1/(x*log(2))"}, domain="x > 0", numpy="log2", doc="logarithm to the base 2, exact at its powers"),
    row("log10", "x", "log(x)/log(10)",
        compute="round(log(x)/log(10)) if pow(10, round(log(x)/log(10))) == x and x > 1e-30 else log(x)/log(10)",
        grad={"x": "1/(x*log(10))"}, domain="x > 0", wide=True, numpy="log10",
        doc="logarithm to the base 10, exact at its powers"),
    row("xlogy", "x y", "x*log(y)",
        compute="0 if x == 0 and y >= 0 else x*log(y)",
        grad={"x": "log(1 if x == 0 and y == 0 else y)", "y": "x/(1 if x == 0 and y == 0 else y)"},
        domain="y > 0", convention="0·log 0 = 0; at (0, 0) both gradients are 0", doc="x log y, for entropies"),
    row("logaddexp", "x y", "log(exp(x) + exp(y))",
        compute="x + log(2) if x == y else maximum(x, y) + log1p(exp(-abs(x - y)))",   # exp never overflows
        grad={"x": "1/2 if x == y else sigmoid(x - y)", "y": "1/2 if x == y else sigmoid(y - x)"},
        commutative=True, numpy="logaddexp", doc="log of a sum of exponentials"),

    # ---- waves, angles and their hyperbolic kin --------------------------------------------------------------
    row("sin", "x", "sin(x)", numpy="sin", doc="sine; radians"),
    row("cos", "x", "cos(x)", numpy="cos", doc="cosine; radians"),
    row("tan", "x", "tan(x)", grad={"x": "1 + out**2"}, domain="cos(x) != 0", numpy="tan", doc="tangent; radians"),
    row("asin", "x", "asin(x)", grad={"x": "1/sqrt((1 - x)*(1 + x))"}, domain="-1 < x and x < 1",
        numpy="arcsin", doc="the angle with this sine, in -π/2…π/2; NaN if abs(x) > 1"),
    row("acos", "x", "acos(x)", grad={"x": "-1/sqrt((1 - x)*(1 + x))"}, domain="-1 < x and x < 1",
        numpy="arccos", doc="the angle with this cosine, in 0…π; NaN if abs(x) > 1"),
    row("atan", "x", "atan(x)", numpy="arctan", doc="the angle with this tangent, in -π/2…π/2"),
    row("atan2", "y x", "atan2(y, x)",                      # x/h/h, because h**2 overflows
        grad={"y": f"div(div(x, {_SIZE}), {_SIZE})", "x": f"-div(div(y, {_SIZE}), {_SIZE})"},
        domain="x != 0 or y != 0", convention="atan2(±0, +0) = ±0; at (0, 0) both gradients are 0",
        numpy="arctan2", doc="the angle of the point (x, y), in -π…π"),
    row("sinh", "x", "sinh(x)", numpy="sinh", doc="hyperbolic sine"),
    row("cosh", "x", "cosh(x)", numpy="cosh", doc="hyperbolic cosine"),
    row("tanh", "x", "tanh(x)", grad={"x": "1 - out**2"}, numpy="tanh", doc="hyperbolic tangent"),
    row("asinh", "x", "asinh(x)", grad={"x": "1/hypot(1, x)"}, numpy="arcsinh", doc="inverse of sinh"),
    row("acosh", "x", "acosh(x)", grad={"x": "1/(sqrt(x - 1)*sqrt(x + 1))"}, domain="x > 1", numpy="arccosh",
        doc="inverse of cosh; NaN below 1"),
    row("atanh", "x", "atanh(x)", grad={"x": "1/((1 - x)*(1 + x))"}, domain="-1 < x and x < 1",
        numpy="arctanh", doc="inverse of tanh; ±inf at ±1, NaN beyond"),

    # ---- special functions -----------------------------------------------------------------------------------
    row("erf", "x", "erf(x)", doc="error function"),
    row("erfc", "x", "1 - erf(x)", compute="erfc(x)", doc="1 - erf(x), exact in the right tail"),
    row("normal_cdf", "x", "(1 + erf(x/sqrt(2)))/2", compute="normal_cdf(x)",
        grad={"x": "exp(-x**2/2)/sqrt(2*pi)"}, also="ndtr",
        doc="the share of a standard normal distribution below x, exact in the left tail"),
    row("lgamma", "x", "lgamma(x)", grad={"x": "digamma(x)"}, domain="x > 0", doc="log |Γ(x)|"),
    row("digamma", "x", "digamma(x)", grad={"x": "polygamma(1, x)"}, domain="x > 0", doc="derivative of lgamma"),
    row("polygamma", "n x", "polygamma(floor(n), x)", compute="polygamma(n, x)",
        grad={"n": "0", "x": "polygamma(n + 1, x)"}, domain="x > 0 and 0 <= n and n <= 170 and n == floor(n)",
        convention="n is an order, a whole number: it has no gradient", doc="n-th derivative of digamma"),

    # ---- activations ---------------------------------------------------------------------------------------
    row("sigmoid", "x", "1/(1 + exp(-x))",
        compute="sigmoid(x)", grad={"x": "out * (1 - out)"}, also="expit", tex=r"\sigma", doc="logistic function"),
    row("log_sigmoid", "x", "-log(1 + exp(-x))", compute="-softplus(-x)", grad={"x": "sigmoid(-x)"},
        also="logsigmoid", doc="log of the logistic function"),
    row("relu", "x", "x if x > 0 else 0",
        compute="0 if x < 0 else x",                        # NaN stays NaN
        grad={"x": "1 if out > 0 else 0"},                  # x need not be kept
        kink="x == 0", convention="relu'(0) = 0", dtype="same", doc="rectifier"),
    row("leaky_relu", "x slope=0.01", "x if x > 0 else slope*x",
        kink="x == 0", convention="at 0 the left side's: slope", doc="rectifier that leaks"),
    row("elu", "x alpha=1", "x if x >= 0 else alpha*(exp(x) - 1)",
        compute="x if x >= 0 else alpha*expm1(x)",
        grad={"x": "1 if x >= 0 else out + alpha", "alpha": "expm1(minimum(x, 0))"},
        kink="x == 0", convention="at 0 the right side's: 1",
        doc="exponential linear unit (Clevert et al., arXiv:1511.07289)"),
    row("selu", "x", f"{_SCALE}*x if x >= 0 else {_SCALE}*{_ALPHA}*(exp(x) - 1)",
        compute=f"{_SCALE}*x if x >= 0 else {_SCALE}*{_ALPHA}*expm1(x)",
        grad={"x": f"{_SCALE} if x >= 0 else {_SCALE}*{_ALPHA}*exp(minimum(x, 0))"},
        kink="x == 0", convention="at 0 the right side's: the scale",
        doc="self-normalising unit (Klambauer et al., arXiv:1706.02515)"),
    row("celu", "x alpha=1", "x if x >= 0 else alpha*(exp(x/alpha) - 1)",
        compute="x if x >= 0 else alpha*expm1(x/alpha)",
        grad={"x": "exp(minimum(x, 0)/alpha)",
              "alpha": "expm1(minimum(x, 0)/alpha)"
                       " - multiply_no_nan(minimum(x, 0)/alpha, exp(minimum(x, 0)/alpha))"},
        domain="alpha > 0", doc="elu without a kink (Barron, arXiv:1704.07483)"),
    row("softplus", "x", "log(1 + exp(x))",
        compute="relu(x) + log1p(exp(-abs(x)))",            # exp never overflows; log1p keeps the small
        grad={"x": "sigmoid(x)"}, doc="smooth rectifier"),
    row("softsign", "x", "x/(1 + abs(x))",
        compute="x/(1 + abs(x)) if abs(x) <= 1 else sign(x)/(1 + 1/abs(x))",
        grad={"x": "1/(1 + abs(x))**2"}, also="soft_sign", doc="x over 1 + abs(x)"),
    # What is 0 at -inf is a product with a factor that is 0 there: x times 0, and not NaN.
    row("silu", "x", "x/(1 + exp(-x))",
        compute="silu(x)", grad={"x": "sigmoid(x) + multiply_no_nan(x, sigmoid(x)*sigmoid(-x))"}, also="swish",
        doc="x times its sigmoid (Elfwing et al., arXiv:1702.03118)"),
    row("mish", "x", "x*tanh(log(1 + exp(x)))",
        # tanh(log y) = (y² - 1)/(y² + 1), over exp(x)² where x > 0: no logarithm, and exp never overflows.
        compute=f"multiply_no_nan(x, div({_SQUARE}, add({_SQUARE}, 2*square({_E}) if x >= 0 else 2)))",
        grad={"x": "tanh(softplus(x)) + multiply_no_nan(x, sigmoid(x)*(1 - tanh(softplus(x))**2))"},
        wide=True, doc="x tanh(softplus(x)) (Misra, arXiv:1908.08681)"),
    row("gelu", "x", "x*(1 + erf(x/sqrt(2)))/2",
        compute="gelu(x)", grad={"x": "normal_cdf(x) + multiply_no_nan(x, exp(-x**2/2))/sqrt(2*pi)"},
        doc="x times the normal distribution function (Hendrycks and Gimpel, arXiv:1606.08415)"),
    row("gelu_tanh", "x", "x*(1 + tanh(sqrt(2/pi)*(x + 0.044715*x**3)))/2",
        compute=f"multiply_no_nan(x, sigmoid({_CUBIC}))",
        grad={"x": f"sigmoid({_CUBIC}) + multiply_no_nan("
                   f"x*(2*sqrt(2/pi) + 6*0.044715*sqrt(2/pi)*x**2), sigmoid({_CUBIC})*sigmoid(-({_CUBIC})))"},
        wide=True, doc="the tanh approximation of gelu, from the same paper"),
    row("relu6", "x", "0 if x <= 0 else (6 if x >= 6 else x)",
        compute="minimum(maximum(x, 0), 6)", grad={"x": "1 if 0 < x and x < 6 else 0"},
        kink="x == 0 or x == 6", convention="0 at both kinks", dtype="same", doc="rectifier, no more than 6"),
    row("hard_tanh", "x", "-1 if x <= -1 else (1 if x >= 1 else x)",
        compute="minimum(maximum(x, -1), 1)", grad={"x": "1 if -1 < x and x < 1 else 0"},
        kink="x == 1 or x == -1", convention="0 at both kinks", also="hardtanh", doc="x, kept between -1 and 1"),
    row("hard_sigmoid", "x", "0 if x <= -3 else (1 if x >= 3 else x/6 + 1/2)",
        compute="minimum(maximum(x + 3, 0), 6)/6", grad={"x": "1/6 if -3 < x and x < 3 else 0"},
        kink="x == 3 or x == -3", convention="0 at both kinks", also="hardsigmoid",
        doc="three straight lines in place of the sigmoid"),
    row("hard_swish", "x", "0 if x <= -3 else (x if x >= 3 else x*(x + 3)/6)",
        compute="multiply_no_nan(x, hard_sigmoid(x))",
        grad={"x": "0 if x <= -3 else (1 if x >= 3 else x/3 + 1/2)"},
        kink="x == 3 or x == -3", convention="0 at -3, 1 at 3", also="hardswish hard_silu",
        doc="x hard_sigmoid(x) (Howard et al., arXiv:1905.02244)"),
    row("hard_shrink", "x threshold=0.5", "0 if abs(x) <= threshold else x",
        grad={"x": "0 if abs(x) <= threshold else 1", "threshold": "0"},
        kink="abs(x) == threshold", convention="0 at the threshold", also="hardshrink",
        doc="0 for what is small, x for the rest"),
    row("soft_shrink", "x threshold=0.5",
        "x - threshold if x > threshold else (x + threshold if x < -threshold else 0)",
        compute="x - minimum(maximum(x, -threshold), threshold)",
        grad={"x": "0 if abs(x) <= threshold else 1",
              "threshold": "0 if abs(x) <= threshold else (-1 if threshold < 0 else -sign(x))"},
        domain="threshold >= 0", kink="abs(x) == threshold", convention="0 at the threshold", also="softshrink",
        doc="x moved towards 0, as far as 0; x - threshold where that is negative"),
    row("threshold", "x theta value=0", "value if x <= theta else x",
        grad={"x": "0 if x <= theta else 1", "theta": "0", "value": "1 if x <= theta else 0"},
        kink="x == theta", convention="at theta: value's", doc="x above theta, a value below"),

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
        dtype="same", numpy="round", also="rint", doc="the nearest integer; of two, the even one"),

    row("trunc", "x", "floor(x) if x >= 0 else ceil(x)", compute="trunc(x)", grad={"x": "0"},
        kink="x == floor(x)", convention="0 everywhere", dtype="same", numpy="trunc", also="fix",
        doc="the next integer towards 0"),

    row("heaviside", "x h", "1 if x > 0 else (0 if x < 0 else h)",
        compute="1 if x > 0 else (0 if x < 0 else (h if x == 0 else x))",      # NaN stays NaN
        grad={"x": "0", "h": "1 if x == 0 else 0"}, kink="x == 0", convention="∂/∂x is 0 everywhere",
        numpy="heaviside", doc="step from 0 to 1, h at 0"),

    # ---- choices -------------------------------------------------------------------------------------------
    # maximum and minimum are not commutative: at a tie, their gradients tell the operands apart.
    row("maximum", "x y", "x if x >= y else y", compute="maximum(x, y)",
        kink="x == y", convention="at a tie the first operand has the gradient", dtype="same",
        numpy="maximum", tex=r"\max", doc="the larger one; NaN if either is NaN"),
    row("minimum", "x y", "x if x <= y else y", compute="minimum(x, y)",
        kink="x == y", convention="at a tie the first operand has the gradient", dtype="same",
        numpy="minimum", tex=r"\min", doc="the smaller one; NaN if either is NaN"),
    row("clip", "x low high", "high if x > high or low > high else (low if x < low else x)",
        compute="minimum(maximum(x, low), high)",
        grad={"x": "1 if low <= x and x <= high else 0", "low": "1 if x < low and low <= high else 0",
              "high": "1 if x > high or low > high else 0"},
        kink="x == low or x == high or low == high", convention="at a bound x has the gradient", dtype="same",
        numpy="clip", also="clamp", doc="x, kept between low and high; high where low > high"),
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
    row("logical_xor", "x y", "(x or y) and not (x and y)", dtype="logic", commutative=True,
        numpy="logical_xor"),
    row("logical_not", "x", "not x", dtype="logic", numpy="logical_not"),
    row("isnan", "x", "x != x", compute="not_equal(x, x)", dtype="test", numpy="isnan", doc="whether x is NaN"),
    row("isinf", "x", "x == x and x - x != 0", compute="logical_and(equal(x, x), not_equal(sub(x, x), 0))",
        dtype="test", numpy="isinf", doc="whether x is an infinity"),
    row("isfinite", "x", "x - x == 0", compute="equal(sub(x, x), 0)", dtype="test", numpy="isfinite",
        doc="whether x is neither"),

    # ---- the bits of integers --------------------------------------------------------------------------------
    row("bitwise_and", "x y", "bit_and(x, y)", dtype="integer", commutative=True, numpy="bitwise_and",
        doc="1 where both have 1; of truth values logical_and"),
    row("bitwise_or", "x y", "bit_or(x, y)", dtype="integer", commutative=True, numpy="bitwise_or",
        doc="1 where either has 1; of truth values logical_or"),
    row("bitwise_xor", "x y", "bit_xor(x, y)", dtype="integer", commutative=True, numpy="bitwise_xor",
        doc="1 where they differ; of truth values logical_xor"),
    row("bitwise_not", "x", "-1 - x", dtype="integer", numpy="invert", also="bitwise_invert",
        doc="1 where x has 0; of truth values logical_not"),
    row("left_shift", "x y", "x * 2**y", compute="shift_left(x, y)", dtype="integer", domain="y >= 0",
        numpy="left_shift", also="bitwise_left_shift",
        doc="x * 2**y; 0 where y is negative or as large as the word"),
    row("right_shift", "x y", "floor(x / 2**y)",
        compute="-1 - shift_right(-1 - x, y) if x < 0 else shift_right(x, y)", dtype="integer",
        domain="y >= 0 and x == floor(x) and y == floor(y)", numpy="right_shift", also="bitwise_right_shift",
        doc="x // 2**y; 0 or -1 where y is negative or as large as the word"),
    row("logical_right_shift", "x y", "floor(x / 2**y)", compute="shift_right(x, y)", dtype="integer",
        domain="x >= 0 and y >= 0", also="shift_right_logical",
        doc="as right_shift, with zeros coming in from above"),
)
# fmt: on

ROWS: Mapping[str, Row] = MappingProxyType({r.name: r for r in _TABLE})
"""The table, by name, in reading order."""
