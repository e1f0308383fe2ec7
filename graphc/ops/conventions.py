"""Conventions: what graphc does where mathematics leaves a choice.  Each is stated here, and nowhere else.

A convention has a topic, a statement, and examples: an expression over `gc` and named values, and what it is.
The examples are evaluated on every back end by the tests.  Vectors have a named dimension, so that it may be 0.
What belongs to one op alone stands in its row of the op table, under `convention`; `graphc ops` prints both.

>>> ties = [c for c in CONVENTIONS if c.topic == "ties"]
>>> print(ties[0].statement)
of equal operands of maximum, minimum and clip, the first has the gradient
>>> print(ties[0].examples[0])
gc.grad(gc.maximum(x, y), x) = 1.0, where x = 2.0, y = 2.0
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

Number: TypeAlias = float | int | bool
Value: TypeAlias = Number | tuple[Number, ...]

INF, NAN = float("inf"), float("nan")


@dataclass(frozen=True, slots=True)
class Example:
    """An expression, the values of its names, and its value; dtypes are f64, i64 and bool unless said otherwise.

    `dtypes` gives those of the names and, under "=", that of the value.
    """

    expression: str
    values: tuple[tuple[str, Value], ...]
    expected: Value
    dtypes: tuple[tuple[str, str], ...] = ()

    def dtype(self, name: str) -> str:
        """The dtype of a named value, or of the result, "="."""
        value = self.expected if name == "=" else dict(self.values)[name]
        first = value if not isinstance(value, tuple) else value[0] if value else 0.0
        natural = "bool" if isinstance(first, bool) else "i64" if isinstance(first, int) else "f64"
        return dict(self.dtypes).get(name, natural)

    def __str__(self) -> str:
        values = [f"{name} = {self._text(name, value)}" for name, value in self.values]
        where = f", where {', '.join(values)}" if values else ""
        return f"{self.expression} = {self._text('=', self.expected)}{where}"

    def _text(self, name: str, value: Value) -> str:
        text = str(list(value) if isinstance(value, tuple) else value)
        return f"{dict(self.dtypes)[name]} {text}" if name in dict(self.dtypes) else text


@dataclass(frozen=True, slots=True)
class Convention:
    """What graphc does, in one sentence, and what shows it."""

    topic: str
    statement: str
    examples: tuple[Example, ...]


def example(expression: str, expected: Value, dtypes: str = "", **values: Value) -> Example:
    """An example; `dtypes` is such as "x=i32 ==f64"."""
    pairs = (pair.rpartition("=") for pair in dtypes.split())
    return Example(
        expression, tuple(values.items()), expected, tuple((name, dtype) for name, _, dtype in pairs)
    )


def convention(topic: str, statement: str, *examples: Example) -> Convention:
    return Convention(topic, statement, examples)


_LOWEST, _HIGHEST = -(2**31), 2**31 - 1

# fmt: off
CONVENTIONS: tuple[Convention, ...] = (
    convention("kinks", "at a kink the gradient is that of the side which the op's formula names (see its row)",
        example("gc.grad(gc.relu(x), x)", 0.0, x=0.0),
        example("gc.grad(gc.abs(x), x)", 0.0, x=0.0),
        example("gc.grad(gc.elu(x), x)", 1.0, x=0.0)),
    convention("kinks", "steps (sign, floor, ceil, round, trunc, //) have the gradient 0 everywhere",
        example("gc.grad(gc.floor(x) + 0*x, x)", 0.0, x=1.0)),
    convention("ties", "of equal operands of maximum, minimum and clip, the first has the gradient",
        example("gc.grad(gc.maximum(x, y), x)", 1.0, x=2.0, y=2.0),
        example("gc.grad(gc.maximum(x, y), y)", 0.0, x=2.0, y=2.0),
        example("gc.grad(gc.clip(x, 0, 1), x)", 1.0, x=1.0)),
    convention("ties", "of equal elements the first, in row-major order, has the gradient of max and min; argmax is it",
        example("gc.grad(gc.max(x), x)", (0.0, 1.0, 0.0), x=(1.0, 3.0, 3.0)),
        example("gc.argmax(x)", 1, x=(1.0, 3.0, 3.0))),
    convention("ties", "halves are rounded to the even integer",
        example("gc.round(x)", (0.0, 2.0, 2.0, -2.0), x=(0.5, 1.5, 2.5, -1.5))),
    convention("0 · log 0", "xlogy(0, 0) = 0, and so are both its gradients there",
        example("gc.xlogy(x, y)", 0.0, x=0.0, y=0.0),
        example("gc.grad(gc.xlogy(x, y), x)", 0.0, x=0.0, y=0.0)),
    convention("0 · ∞", "a product with 0 is NaN where the other factor is infinite, as IEEE 754 has it; "
               "multiply_no_nan gives 0",
        example("x * y", NAN, x=INF, y=0.0),
        example("gc.multiply_no_nan(x, y)", 0.0, x=INF, y=0.0)),
    convention("norm at 0", "norm and hypot have the gradient 0 at 0; sqrt alone has inf there",
        example("gc.grad(gc.norm(x), x)", (0.0, 0.0), x=(0.0, 0.0)),
        example("gc.grad(gc.hypot(x, y), x)", 0.0, x=0.0, y=0.0),
        example("gc.grad(gc.sqrt(x), x)", INF, x=0.0)),
    convention("x**0", "x**0 is 1 for every x, 0 and NaN included; 0**0 has the gradient 0, and 0**y by y for y > 0",
        example("gc.power(x, y)", (1.0, 1.0, 1.0), x=(0.0, NAN, -2.0), y=(0.0, 0.0, 0.0)),
        example("gc.grad(gc.power(x, y), x)", 0.0, x=0.0, y=0.0),
        example("gc.grad(gc.power(x, y), y)", 0.0, x=0.0, y=2.0)),
    convention("x**n", "an integer to a Python integer >= 0 is an integer; any other power is a float",
        example("x**3", -8, "x=i32 ==i32", x=-2),
        example("x**y", 9.0, "x=i32 y=i32 ==f64", x=3, y=2)),
    convention("nothing", "of nothing, the sum is 0, the product 1, the maximum -inf, the minimum inf, the mean NaN",
        example("gc.sum(x)", 0.0, x=()),
        example("gc.prod(x)", 1.0, x=()),
        example("gc.max(x)", -INF, x=()),
        example("gc.min(x)", INF, x=()),
        example("gc.mean(x)", NAN, x=())),
    convention("nothing", "any of nothing is false, all of nothing is true",
        example("gc.any(x)", False, x=()),
        example("gc.all(x)", True, x=())),
    convention("NaN", "NaN wins in max, min, maximum, minimum and clip, and is what argmax and argmin find",
        example("gc.max(x)", NAN, x=(1.0, NAN, 2.0)),
        example("gc.minimum(x, y)", (NAN, NAN), x=(NAN, 1.0), y=(1.0, NAN)),
        example("gc.argmin(x)", 1, x=(1.0, NAN, NAN))),
    convention("NaN", "every comparison with NaN is false, except !=",
        example("gc.less_equal(x, y)", False, x=NAN, y=NAN),
        example("gc.not_equal(x, y)", True, x=NAN, y=NAN)),
    convention("NaN", "what where does not choose leaves no trace, be it infinite or NaN",
        example("gc.where(x > 0, x, y)", 1.0, x=1.0, y=NAN),
        example("gc.grad(gc.where(x > 0, x, y), y)", 0.0, x=1.0, y=NAN)),
    convention("integer division", "// rounds downwards and mod has the sign of the divisor; / of integers is a float",
        example("gc.floor_divide(x, y)", (-4, -4, 3), x=(-7, 7, -7), y=(2, -2, -2)),
        example("gc.mod(x, y)", (1, -1, -1), x=(-7, 7, -7), y=(2, -2, -2)),
        example("x / y", 3.5, x=7, y=2)),
    convention("integer division", "of integers x // 0 and x mod 0 are 0; of floats ±inf (0 // 0 is NaN) and NaN",
        example("gc.floor_divide(x, y)", 0, x=7, y=0),
        example("gc.mod(x, y)", 0, x=7, y=0),
        example("gc.floor_divide(x, y)", (INF, -INF, NAN), x=(7.0, -7.0, 0.0), y=(0.0, 0.0, 0.0)),
        example("gc.mod(x, y)", NAN, x=7.0, y=0.0)),
    convention("integer division", "// of floats is of their exact quotient, not of the rounded one",
        example("gc.floor_divide(x, y)", 9.0, x=1.0, y=0.1)),
    convention("overflow", "integers wrap around, in two's complement; floats become infinite",
        example("x + y", _LOWEST, "x=i32 y=i32 ==i32", x=_HIGHEST, y=1),
        example("gc.floor_divide(x, y)", _LOWEST, "x=i32 y=i32 ==i32", x=_LOWEST, y=-1),
        example("gc.exp(x)", INF, x=1000.0)),
    convention("overflow", "a shift by less than 0, or by all bits or more, leaves 0; right_shift of x < 0 leaves -1",
        example("gc.left_shift(x, y)", (0, 0, 4), x=(1, 1, 1), y=(-1, 64, 2)),
        example("gc.right_shift(x, y)", (-1, -2), x=(-7, -7), y=(64, 2))),
    convention("casts", "a float becomes an integer without its fraction, or the nearest that there is; NaN becomes 0",
        example('x.astype("int32")', (-1, 0, _HIGHEST, _LOWEST, 0), "==i32", x=(-1.75, 0.75, 1e20, -INF, NAN))),
    convention("casts", "what is not 0 is true, NaN too",
        example('x.astype("bool")', (False, False, True, True), x=(0.0, -0.0, 0.5, NAN))),
    convention("indices", "a negative index counts from the end; one outside the axis gives NaN (of integers 0)",
        example("gc.take(x, i)", (3.0, NAN, NAN), x=(1.0, 2.0, 3.0), i=(-1, 3, -4)),
        example("gc.take(x, i)", (3, 0), x=(1, 2, 3), i=(-1, 3))),
    convention("indices", "negative bounds of a slice count from the end, of a named dimension too",
        example("x[-2:]", (2.0, 3.0), x=(1.0, 2.0, 3.0)),
        example("x[::-1]", (3.0, 2.0, 1.0), x=(1.0, 2.0, 3.0))),
    convention("promotion", "tensors are promoted as NumPy 2 promotes arrays",
        example("x + y", 1.5, "x=i32 y=f32 ==f64", x=1, y=0.5),
        example("x + y", 3, "x=i32 ==i64", x=1, y=2),
        example("x + y", 2, "y=i32 ==i32", x=True, y=1)),
    convention("promotion", "a Python number takes the dtype of the tensors, unless it is of a higher kind",
        example("x + 0.5", 1.5, "x=f32 ==f32", x=1.0),
        example("x + 1", 2, "x=i32 ==i32", x=1),
        example("x + 0.5", 1.5, "x=i32 ==f64", x=1),
        example("x + 1", 2, x=True)),
    convention("promotion", "functions of integers and truth values are float64",
        example("gc.exp(x)", 1.0, "x=i32 ==f64", x=0)),
    convention("promotion", "sums and products of int32 and bool are int64",
        example("gc.sum(x)", 2**31, "x=i32 ==i64", x=(_HIGHEST, 1)),
        example("gc.sum(x)", 2, x=(True, True, False))),
    convention("promotion", "of truth values + and maximum are or, * and minimum are and",
        example("x + y", True, x=True, y=True),
        example("x * y", False, x=True, y=False)),
    convention("signed zeros", "zeros have the signs that IEEE 754 says; maximum and minimum of +0 and -0 are either",
        example("1 / (-x)", -INF, x=0.0),
        example("gc.sqrt(x) + gc.round(x)", 0.0, x=-0.0)),
)
# fmt: on
"""Every convention, by topic."""
