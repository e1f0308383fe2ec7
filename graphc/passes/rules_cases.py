"""Instances of rules: graphs at which each rule applies, for the proofs and for the tests.

A rule that is a formula is an instance of itself, over inputs; where its guard wants more than any operand,
`GIVEN` says what the wildcards stand for.  Rules that compute attributes have instances by hand, in `STRUCTURAL`:
with the named dimension N, of which the proofs take several sizes, 0 among them.

>>> from graphc.passes.rules import RULES
>>> [n.op.label for n in instances(RULES["slice-pad"])]
['slice', 'slice']
>>> len(list(instances(RULES["div-power-of-two"])))      # two dtypes, and the constants that pass the guard
8
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from graphc.errors import DTypeError
from graphc.ir.block import Block, slot
from graphc.ir.dims import Dim, Index
from graphc.ir.node import Node, node
from graphc.ir.types import DType, Shape, TensorType
from graphc.ops.contract import Contract
from graphc.ops.conv import Conv
from graphc.ops.custom import CustomGradient
from graphc.ops.elementwise import Cast, constant_like, elementwise
from graphc.ops.leaves import Const, Extent, Input
from graphc.ops.reduce import Kind, Reduce
from graphc.ops.views import Concat, Expand, Pad, Reshape, Slice, Transpose
from graphc.ops.window import WindowScatter
from graphc.passes.equation import has_reduction
from graphc.passes.pattern import Call, Constant, Match, Pattern, Reduction, Spread, Viewed, Wild, build
from graphc.passes.rewrite import Rule

N = Dim.of("N")

CONSTANTS = (0.3, -4.0, 0.5, 1.0, 0.0, -0.0, 2.0**-126, 3e38)
"""What the constants of a pattern are: powers of two, zeros, ones, and sizes near the ends of f32."""


def leaf(name: str, shape: Shape, dtype: str = "f32") -> Node:
    """An input."""
    return node(Input(name, TensorType.of(dtype, shape)))


# ---- rules that are formulas ---------------------------------------------------------------------------------

Made = Callable[[Node], Node]


def _row(name: str) -> Made:
    return lambda n: elementwise(name, n)


def _two(row: str) -> Made:
    """f(n) + f(-n)"""
    return lambda n: elementwise("add", elementwise(row, n), elementwise(row, elementwise("neg", n)))


GIVEN: Mapping[str, Mapping[str, Made]] = {
    "log-of-exponentials": {"x": _row("exp"), "y": _two("exp")},
    "log1p-of-exponentials": {"x": _two("exp")},
    "exp-over-exponentials": {"y": _two("exp")},
    "over-exponentials": {"y": _two("exp")},
    "reciprocal-exponentials": {"y": _two("exp")},
    "log-of-mean-exp": {"y": lambda n: node(Reduce("sum", (n.type.rank - 1,)), n)},
    "root-of-squares": {"x": _two("square")},
}
"""What the wildcards of a rule stand for, where its guard asks for it."""


def wildcards(pattern: Pattern) -> dict[str, Pattern]:
    """The wildcards of a pattern by name."""
    found: dict[str, Pattern] = {}
    waiting = [pattern]
    while waiting:
        match waiting.pop():
            case Wild(name=name) | Constant(name=name) as wild:
                found[name] = wild
            case Call(operands=operands):
                waiting += operands
            case Reduction(operand=operand) | Spread(operand=operand) | Viewed(operand=operand):
                waiting.append(operand)
    return dict(sorted(found.items()))


def is_formula(r: Rule) -> bool:
    """Whether a rule is an instance of itself."""
    return r.proof == "algebra"


def formula(r: Rule, dtype: str, constants: Mapping[str, float], shape: Shape = (N,)) -> Node:
    """The pattern of a rule over inputs of one shape; what it reduces are its last axis."""
    if has_reduction(r.pattern) and len(shape) == 1:
        shape = (*shape, 3)
    found = {}
    for name, wild in wildcards(r.pattern).items():
        truth = isinstance(wild, Wild) and wild.truth
        n = leaf(name, shape, "bool" if truth else dtype)
        if isinstance(wild, Constant):
            n = constant_like(constants[name], n)
        given = GIVEN.get(r.name, {}).get(name)
        found[name] = n if given is None else given(n)
    like = next((n for n in found.values() if n.type.dtype is not DType.BOOL), leaf("p", shape, "bool"))
    axes = {name: Reduce("sum", (len(shape) - 1,)) for name in _axes(r.pattern)}
    # A wildcard beside a reduction has the type of the reduced one.
    reduced = node(Reduce("sum", (len(shape) - 1,)), like) if has_reduction(r.pattern) else like
    views = dict.fromkeys(("v:top", "v:bottom"), reduced)
    return build(r.pattern, Match(like, {**views, **dict.fromkeys(axes, like), **found}, axes))


def _axes(pattern: Pattern) -> set[str]:
    waiting, found = [pattern], set[str]()
    while waiting:
        match waiting.pop():
            case Reduction(axes=axes):
                found.add(axes)
            case Call(operands=operands):
                waiting += operands
            case Spread(operand=operand) | Viewed(operand=operand):
                waiting.append(operand)
    return found


def instances(r: Rule) -> Iterator[Node]:
    """Graphs at which a rule applies: formulas in f32 and f64 with several constants, others as listed."""
    if not is_formula(r):
        yield from STRUCTURAL[r.name]()
        return
    names = [name for name, wild in wildcards(r.pattern).items() if isinstance(wild, Constant)]
    for dtype in ("f32", "f64", "i32"):
        for given in itertools.product(CONSTANTS if dtype[0] == "f" else (2, -1, 0), repeat=len(names)):
            try:
                n = formula(r, dtype, dict(zip(names, given, strict=True)))
            except DTypeError:  # the rule speaks of floating-point rows only
                continue
            if r.apply(n) is not None:
                yield n


# ---- rules on structure --------------------------------------------------------------------------------------


def cut(n: Node, starts: tuple[int, ...], steps: tuple[int, ...], *shape: Index) -> Node:
    return node(Slice(starts, steps, shape), n)


def expanded(n: Node, *shape: Index) -> Node:
    return node(Expand(shape), n)


def reshaped(n: Node, *shape: Index) -> Node:
    return node(Reshape(shape), n)


def transposed(n: Node, *perm: int) -> Node:
    return node(Transpose(perm), n)


def reduced(kind: Kind, n: Node, *axes: int) -> Node:
    return node(Reduce(kind, axes), n)


def straight_through(n: Node) -> Node:
    """round(n), with the gradient of n."""
    through = Block((n.type,) * 3, (slot(2, n.type),))
    return node(CustomGradient(through, (0,), 1, 0, True, "straight-through"), elementwise("round", n), n)


def padded(
    n: Node, lo: tuple[int, ...], hi: tuple[int, ...], interior: tuple[int, ...], value: float = 0.0
) -> Node:
    return node(Pad(lo, hi, interior, value), n)


def convolved(strides: tuple[int, int], dilations: tuple[int, int]) -> Node:
    return node(Conv(strides, dilations), leaf("x", (N, 1, 2, 6, 6)), leaf("w", (1, 3, 2, 3, 2)))


def mean(n: Node, axis: int, *, keep: bool = False) -> Node:
    size = n.type.shape[axis]
    scalar = node(Const.of(size, n.type.dtype)) if isinstance(size, int) else node(Extent(size, n.type.dtype))
    total = reduced("sum", n, axis)
    if keep:
        total = reshaped(total, *(1 if k == axis else d for k, d in enumerate(n.type.shape)))
    return elementwise("div", total, expanded(scalar, *total.type.shape))


def _moment(x: Node, y: Node, axis: int, *, keep: bool = False) -> Node:
    """mean(x·y) − mean x · mean y"""
    product = elementwise("square", x) if x is y else elementwise("mul", x, y)
    means = mean(x, axis, keep=keep), mean(y, axis, keep=keep)
    below = elementwise("square", means[0]) if x is y else elementwise("mul", *means)
    return elementwise("sub", mean(product, axis, keep=keep), below)


def _weighted(x: Node, y: Node) -> Node:
    return reduced("sum", elementwise("mul", y, elementwise("exp", x)), 1)


def _guarded(x: Node) -> Node:
    """where(0 < x, log(√x), x)"""
    inside = elementwise("log", elementwise("sqrt", x))
    return elementwise("where", elementwise("less", constant_like(0.0, x), x), inside, x)


def _spread_conv(strides: tuple[int, int]) -> Node:
    """A transposed convolution: over x with zeros between its elements."""
    x, w = leaf("x", (N, 1, 2, 3, 2)), leaf("w", (1, 2, 2, 3, 2))
    return node(Conv((1, 1), (1, 1)), _spread(x, strides, (1, 0), (2, 1)), w)


def unpooled(strides: tuple[int, int], *counts: int) -> Node:
    """The gradient of a max pooling, of windows that lie side by side or overlap."""
    return node(WindowScatter((2, 2), strides), leaf("x", (N, 2, 6, 5)), leaf("u", (N, 2, *counts)))


def _unpooled_where_positive(strides: tuple[int, int], *counts: int) -> Node:
    """The gradient of a ReLU below a max pooling."""
    made = unpooled(strides, *counts)
    x = made.src[0]
    return elementwise("where", elementwise("less", constant_like(0.0, x), x), made, constant_like(0.0, made))


def interleaved(strides: tuple[int, int]) -> Node:
    """Filters that take turns along both axes."""
    s, t = strides
    made = node(Conv((1, 1), (1, 1)), leaf("x", (N, 1, 2, 6, 6)), leaf("w", (1, 2 * s * t, 2, 3, 2)))
    turned = transposed(reshaped(made, N, 1, 2, s, t, 4, 5), 0, 1, 2, 5, 3, 6, 4)
    return reshaped(turned, N, 1, 2, 4 * s, 5 * t)


def _conv_by_spread() -> Node:
    """The gradient of a strided convolution by its kernel: over the image, by an upstream with zeros between."""
    spread = _spread(leaf("u", (2, 1, 3, 2, 2)), (2, 2), (0, 0), (0, 0))
    return node(Conv((1, 1), (1, 1)), transposed(spread, 2, 1, 0, 3, 4), leaf("w", (1, 4, 2, 3, 3)))


def _spread(x: Node, strides: tuple[int, int], lo: tuple[int, int], hi: tuple[int, int]) -> Node:
    none = (0, 0, 0)
    return padded(x, none + lo, none + hi, none + tuple(s - 1 for s in strides))


A, B = leaf("a", (N, 3)), leaf("b", (N, 3))
COLUMN, ROW, SCALAR = leaf("column", (N, 1)), leaf("row", (3,)), leaf("scalar", ())
FIXED = leaf("fixed", (4, 6))
SQUARE = leaf("square", (3, 3))
INTEGER = leaf("integer", (N,), "i32")
WIDE = leaf("wide", (N, 3), "f64")

STRUCTURAL: Mapping[str, Callable[[], list[Node]]] = {
    "reshape-same": lambda: [reshaped(A, N, 3)],
    "reshape-reshape": lambda: [reshaped(reshaped(A, 3, N), 3 * N), reshaped(reshaped(A, N, 1, 3), N, 3)],
    "expand-same": lambda: [expanded(A, N, 3)],
    "expand-expand": lambda: [expanded(expanded(COLUMN, N, 3), 2, N, 3), expanded(expanded(SCALAR, 3), N, 3)],
    "expand-reshape": lambda: [expanded(reshaped(SCALAR, 1), N), expanded(reshaped(ROW, 1, 3), N, 3)],
    "view-of-scalar": lambda: [
        reshaped(expanded(SCALAR, N, 3), 3, N),
        transposed(expanded(SCALAR, N, 3), 1, 0),
        cut(expanded(SCALAR, 4, 6), (1, 0), (2, 1), 1, 6),
        reshaped(expanded(SCALAR, 1), *()),
    ],
    "custom-gradient": lambda: [straight_through(A)],
    "transpose-none": lambda: [transposed(A, 0, 1)],
    "transpose-transpose": lambda: [
        transposed(transposed(A, 1, 0), 1, 0),
        transposed(transposed(leaf("b", (2, N, 3)), 2, 0, 1), 1, 0, 2),
    ],
    "transpose-units": lambda: [transposed(COLUMN, 1, 0), transposed(leaf("b", (1, N, 1, 3)), 1, 2, 3, 0)],
    "slice-whole": lambda: [cut(A, (0, 0), (1, 1), N, 3)],
    "slice-slice": lambda: [
        cut(cut(FIXED, (1, 5), (1, -1), 3, 6), (2, 1), (-2, 2), 2, 2),
        cut(cut(FIXED, (0, 0), (3, 2), 2, 3), (1, 0), (1, 1), 0, 3),
    ],
    "pad-none": lambda: [padded(A, (0, 0), (0, 0), (0, 0), 1.0)],
    "slice-pad": lambda: [
        cut(padded(A, (1, 2), (0, 3), (0, 0)), (1, 2), (1, 1), N, 3),
        cut(padded(FIXED, (0, 2), (1, 0), (1, 2), 5.0), (0, 2), (2, 3), 4, 6),
    ],
    "slice-reshape": lambda: [
        cut(reshaped(A, 1, N, 1, 3), (0, 0, 0, 1), (1, 1, 1, 1), 1, N, 1, 2),
        cut(reshaped(leaf("b", (4, 1, 6)), 4, 6), (1, 5), (2, -1), 2, 5),
    ],
    "slice-conv": lambda: [
        cut(convolved((1, 1), (1, 1)), (0, 0, 0, 1, 2), (1,) * 5, N, 1, 3, 3, 2),
        cut(convolved((2, 1), (1, 2)), (0, 0, 0, 1, 0), (1,) * 5, N, 1, 3, 1, 2),
    ],
    "slice-of-pad": lambda: [
        cut(padded(FIXED, (2, 1), (3, 4), (0, 0), 7.0), (1, 0), (1, 1), 6, 9),
        cut(padded(A, (0, 4), (0, 4), (0, 0)), (0, 4), (1, 1), N, 4),
        cut(padded(FIXED, (2, 2), (2, 2), (0, 0), 1.0), (2, 2), (1, 1), 4, 6),
    ],
    "relu-of-unpool": lambda: [
        _unpooled_where_positive((2, 2), 3, 2),
        _unpooled_where_positive((1, 1), 5, 4),
    ],
    "sum-of-unpool": lambda: [
        reduced("sum", unpooled((2, 2), 3, 2), 0, 2, 3),
        reduced("sum", unpooled((1, 1), 5, 4), 2, 3),
    ],
    "stride-of-slice": lambda: [
        cut(convolved((1, 1), (1, 1)), (0, 0, 0, 0, 1), (1, 1, 1, 2, 1), N, 1, 3, 2, 4),
    ],
    "conv-of-spread": lambda: [_spread_conv((2, 3)), _spread_conv((3, 2))],
    "slice-of-turns": lambda: [
        cut(interleaved((2, 3)), (0, 0, 0, 3, 2), (1,) * 5, N, 1, 2, 4, 7),
        cut(interleaved((3, 2)), (0, 0, 0, 0, 4), (1,) * 5, N, 1, 2, 9, 2),
    ],
    "conv-by-spread": lambda: [_conv_by_spread()],
    "slice-concat": lambda: [
        cut(node(Concat(1), A, leaf("b", (N, 2))), (0, 3), (1, 1), N, 2),
        cut(node(Concat(0), FIXED, FIXED), (4, 0), (1, 1), 4, 6),
    ],
    "cast-same": lambda: [node(Cast(DType.F32), A)],
    "cast-cast": lambda: [
        node(Cast(DType.F32), node(Cast(DType.F64), A)),
        node(Cast(DType.F64), node(Cast(DType.I64), INTEGER)),
    ],
    "expand-last": lambda: [
        elementwise("tanh", expanded(COLUMN, N, 3)),
        elementwise("mul", expanded(COLUMN, N, 3), expanded(SCALAR, N, 3)),
        elementwise("add", expanded(ROW, 2, N, 3), expanded(A, 2, N, 3)),
        elementwise("less", expanded(SCALAR, N), constant_like(0.5, leaf("like", (N,)))),
        node(Cast(DType.F64), expanded(ROW, N, 3)),
    ],
    "reshape-last": lambda: [
        elementwise("exp", reshaped(A, 3 * N)),
        elementwise("div", reshaped(A, N, 1, 3), expanded(SCALAR, N, 1, 3)),
        elementwise("sub", reshaped(A, 3 * N), reshaped(B, 3 * N)),
        elementwise("mul", reshaped(SCALAR, 1), expanded(leaf("b", ()), 1)),
    ],
    "reduce-units": lambda: [reduced("sum", COLUMN, 1), reduced("max", leaf("b", (1, N, 1)), 0, 2)],
    "reduce-reduce": lambda: [
        reduced("sum", reduced("sum", A, 1), 0),
        reduced("max", reduced("max", leaf("b", (2, N, 3)), 0), 1),
    ],
    "sum-expand": lambda: [
        reduced("sum", expanded(COLUMN, N, 3), 1),
        reduced("sum", expanded(ROW, 4, 3), 0),
        reduced("sum", expanded(SCALAR, 4, 6), 0, 1),
    ],
    "sum-scaled": lambda: [
        reduced("sum", elementwise("mul", expanded(SCALAR, N, 3), A), 1),
        reduced("sum", elementwise("mul", A, expanded(SCALAR, N, 3)), 0, 1),
    ],
    "contract-transpose-left": lambda: [
        node(Contract("ij,jk->ik"), transposed(A, 1, 0), leaf("b", (N, 2))),
        node(Contract("bij,bjk->bik"), transposed(leaf("b", (3, N, 2)), 1, 0, 2), leaf("d", (N, 2, 4))),
    ],
    "contract-transpose-right": lambda: [
        node(Contract("ij,jk->ik"), SQUARE, transposed(A, 1, 0)),
        node(Contract("i,j->ij"), ROW, transposed(leaf("b", (N,)), 0)),
    ],
    "transpose-contract": lambda: [transposed(node(Contract("ij,jk->ik"), A, SQUARE), 1, 0)],
    "variance": lambda: [
        _moment(A, A, 0),
        _moment(A, A, 1, keep=True),
        elementwise("sub", mean(elementwise("square", FIXED), 1), elementwise("square", mean(FIXED, 1))),
    ],
    "covariance": lambda: [_moment(A, B, 1), _moment(WIDE, elementwise("neg", WIDE), 0, keep=True)],
    "log-of-weighted-sum": lambda: [
        elementwise("log", _weighted(A, elementwise("square", B))),
        elementwise("log", reshaped(_weighted(WIDE, elementwise("abs", WIDE)), N, 1)),
    ],
    "choice": lambda: [
        _guarded(A),
        elementwise("where", leaf("p", (N,), "bool"), mean(A, 1), _guarded(leaf("b", (N,)))),
    ],
    "fold": lambda: [
        elementwise("add", node(Const.of(2.0)), node(Const.of(0.5))),
        elementwise("mul", expanded(node(Const.of(2.0)), N, 3), expanded(node(Const.of(-0.0)), N, 3)),
        transposed(node(Const.of(np.arange(6.0).reshape(2, 3))), 1, 0),
        reduced("sum", expanded(node(Const.of(1.5)), 7), 0),
    ],
}
"""Instances of each rule that computes attributes, by its name."""
