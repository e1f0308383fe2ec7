"""What each operation makes of the ranges of its operands, and which ranges leave its domain.

| node                  | domain                                        |
|-----------------------|-----------------------------------------------|
| log, rsqrt            | x > 0                                         |
| sqrt                  | x ≥ 0 (its slope is a quotient of its own)    |
| div, reciprocal       | the divisor is not 0                          |
| pow                   | as far as the exponent tells                  |
| other rows            | as the op table says                          |

>>> from graphc.lang.functions import softmax
>>> from graphc.lang.tensor import input
>>> row_image(softmax(input("x", ("N", 10))).node, [ALL, ALL])
[0, 1]
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from graphc.ir.dims import Index, product
from graphc.ir.node import Node
from graphc.ir.types import Array, DType
from graphc.lint import ranges as r
from graphc.lint.ranges import ALL, NOT_NEGATIVE, ONE, TRUTH, ZERO, Range
from graphc.lint.recognise import is_row, shift_of, softmax_of
from graphc.ops.contract import Contract
from graphc.ops.conv import Conv
from graphc.ops.elementwise import Cast, Elementwise
from graphc.ops.gather import Gather, ScatterAdd
from graphc.ops.leaves import Const, Extent, Iota
from graphc.ops.reduce import Arg, Reduce
from graphc.ops.views import Concat, Expand, Pad, Reshape, Slice, Transpose
from graphc.ops.window import Window, WindowPick, WindowScatter


def row_image(n: Node, given: Sequence[Range]) -> Range:
    assert isinstance(n.op, Elementwise)
    name = n.op.row_name
    if n.src and len(n.src) == 2 and n.src[0] is n.src[1]:
        if name == "mul":
            return r.square(given[0])
        if name == "sub":
            return ZERO
    if name == "sub" and shift_of(n):
        return Range(-math.inf, 0.0)
    if name == "div" and softmax_of(n):
        return Range(0.0, 1.0)  # closed: a class that is far behind has probability 0 in floating point
    if name == "add" and all(is_row(s, "exp") for s in n.src) and _shifted_by_larger(n):
        return Range(1.0, 2.0)
    step = r.STEPS.get(name)
    if step is not None:
        return step(*given)
    values = [*given, *(Range(float(c), float(c)) for c in n.op.row.body.constants)]
    for prim, args in n.op.row.body.steps:
        known = r.STEPS.get(prim)
        values.append(known(*(values[a] for a in args)) if known else ALL)
    return values[n.op.row.body.result]


def _shifted_by_larger(n: Node) -> bool:
    """exp(x − m) + exp(y − m) with m = max(x, y): one of the two is 1."""
    x, y = (s.src[0] for s in n.src)
    if not (is_row(x, "sub") and is_row(y, "sub") and x.src[1] is y.src[1]):
        return False
    top = x.src[1]
    while is_row(top, "stop_gradient", "where"):
        top = top.src[0 if is_row(top, "stop_gradient") else 1]
    return is_row(top, "maximum") and {*top.src} == {x.src[0], y.src[0]}


def leaves_domain(n: Node, given: Sequence[Range]) -> list[int]:
    """The operands of a row that can leave its domain."""
    assert isinstance(n.op, Elementwise)
    name, x = n.op.row_name, given[0]
    if not n.type.dtype.is_float:
        return []
    if name == "pow":
        return [0] if _pow_fails(x, given[1]) else []
    inside = _DOMAINS.get(name)
    if inside is None:
        return [] if _table_allows(name, tuple(given)) else [0]
    divisor = len(given) - 1 if name == "div" else 0
    return [] if inside(given[divisor]) else [divisor]


_DOMAINS: Mapping[str, Callable[[Range], bool]] = {
    "log": lambda x: x.lo > 0,
    "rsqrt": lambda x: x.lo > 0,
    "sqrt": lambda x: x.lo >= 0,
    "log1p": lambda x: x.lo > -1,
    "reciprocal": lambda x: x.excludes_zero,
    "div": lambda x: x.excludes_zero,
    "asin": lambda x: x.lo >= -1 and x.hi <= 1,
    "acos": lambda x: x.lo >= -1 and x.hi <= 1,
    "acosh": lambda x: x.lo >= 1,
    "atan2": lambda x: True,  # every pair has an angle; the slope at (0, 0) is a quotient of its own
    "mod": lambda x: True,
    "floor_divide": lambda x: True,
    "tan": lambda x: True,  # no float is a pole
}
"""What the operand (of `div`: the divisor) must fulfil, where that is not what the op table says."""


def _pow_fails(x: Range, y: Range) -> bool:
    if not y.is_point:
        return x.lo <= 0
    if x.lo < 0 and not float(y.lo).is_integer():
        return True
    return y.lo < 0 and not x.excludes_zero


@functools.lru_cache(maxsize=4096)
def _table_allows(name: str, given: tuple[Range, ...]) -> bool:
    """Whether the domain of the op table holds for all numbers in these ranges."""
    from graphc.ops.body import body_of
    from graphc.ops.formula import parse
    from graphc.ops.row import row_named

    row = row_named(name)
    if row.domain == "True" or not row.differentiable:
        return True
    symbols = row.symbols[: row.arity]
    body = body_of(parse(f"1 if {row.domain} else 0", {str(s): s for s in symbols}), symbols)
    values = [*given, *(Range(float(c), float(c)) for c in body.constants)]
    for prim, args in body.steps:
        step = r.STEPS.get(prim)
        values.append(step(*(values[a] for a in args)) if step else ALL)
    return values[body.result] == ONE


def structural_image(n: Node, given: Sequence[Range]) -> Range:
    """The range of an operation that is no row; ALL for one that is not known here."""
    match n.op:
        case Const(value=value):
            return range_of(value)
        case Extent():
            return Range(1.0, math.inf)
        case Iota(shape=shape, axis=axis):
            return Range(0.0, _count(shape[axis])[1] - 1.0)
        case Arg(axis=axis):
            return Range(0.0, _count(n.src[0].type.shape[axis])[1] - 1.0)
        case Reshape() | Transpose() | Expand() | Slice() | Gather():
            return given[0]
        case WindowPick():
            return given[0] if n.src[0].type.dtype.is_float else ALL
        case Cast(dtype=dtype):
            return given[0] if dtype.is_float else given[0] | ZERO
        case Pad(value=value):
            return given[0] | Range(value, value)
        case Concat():
            return functools.reduce(Range.__or__, given)
        case Reduce(kind="sum", axes=axes):
            return _total(n, given[0], product(n.src[0].type.shape[a] for a in axes))
        case Reduce(kind="max" | "min"):
            return given[0]
        case Contract():
            a, b, out = n.op.letters()
            sizes = n.op.sizes(*(s.type for s in n.src))
            summed = product(sizes[k] for k in sizes if k not in out)
            products = r.square(given[0]) if n.src[0] is n.src[1] and a == b else given[0] * given[1]
            return _sum(products, summed)
        case Conv():
            return _sum(given[0] * given[1] | ZERO, product(n.src[1].type.shape[2:]))
        case Window(kind="max"):
            return given[0]
        case Window(kind="sum", size=size):
            return _sum(given[0] | ZERO, product(size))
        case WindowScatter() | ScatterAdd():
            floats = [g for g, s in zip(given, n.src, strict=True) if s.type.dtype.is_float]
            return _cone(functools.reduce(Range.__or__, floats, ZERO))
    return TRUTH if n.type.dtype is DType.BOOL else ALL


def range_of(value: Array) -> Range:
    """The smallest and the largest element of an array; ALL where there is a NaN, or nothing."""
    if value.size == 0 or (value.dtype.kind == "f" and bool(np.isnan(value).any())):
        return ALL
    return Range(float(value.min()), float(value.max()), bool((value != 0).all()) and value.size > 1)


def _count(d: Index) -> tuple[float, float]:
    """The least and the largest that a dimension can be."""
    return (float(d), float(d)) if isinstance(d, int) else (1.0, math.inf)


def _sum(x: Range, count: Index) -> Range:
    """The sum of so many elements, each of this range."""
    least, most = _count(count)
    if most == 0:
        return ZERO
    lo = x.lo * least if x.lo > 0 else r.times(x.lo, most)
    hi = x.hi * least if x.hi < 0 else r.times(x.hi, most)
    return r.bounded(lo, hi)


def _total(n: Node, x: Range, count: Index) -> Range:
    inside = n.src[0]
    shift = shift_of(inside.src[0]) if is_row(inside, "exp") else None
    if shift is not None and isinstance(shift[1].op, Reduce) and shift[1].op.axes == n.op.axes:  # type: ignore[attr-defined]
        return Range(1.0, max(1.0, _count(count)[1]))  # the largest of exp(x − max x) is 1
    return _sum(x, count)


def _cone(x: Range) -> Range:
    """Any sum of such elements, also of none."""
    if x == ZERO:
        return ZERO
    return NOT_NEGATIVE if x.lo >= 0 else -NOT_NEGATIVE if x.hi <= 0 else ALL
