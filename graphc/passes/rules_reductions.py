"""The rules on sums, maxima and contractions.

Their replacements compute attributes, so each is a function that shows before → after.

>>> print(REDUCTIONS[2])
sum-neg: Σ (−x) = −(Σ x)  [value]
"""

from __future__ import annotations

from graphc.ir.dims import product
from graphc.ir.node import Node, node
from graphc.ops.contract import Contract
from graphc.ops.elementwise import elementwise
from graphc.ops.leaves import Const
from graphc.ops.reduce import Reduce
from graphc.ops.views import Expand, Reshape, Transpose
from graphc.passes.pattern import Match, Pattern, Reduction, Structural, Wild
from graphc.passes.rewrite import Rule, guard, rule
from graphc.passes.rules_views import expand, reshape, transpose

x, y, s = Wild("x"), Wild("y"), Wild("s")


@guard("the axes have length 1")
def unit_axes(m: Match) -> bool:
    op, shape = m.root.op, m.root.src[0].type.shape
    return isinstance(op, Reduce) and all(shape[k] == 1 for k in op.axes)


def _dropped_axes(m: Match) -> Node:
    """sum {axes=(1,)} x[N,1] → reshape {shape=(N,)} x"""
    shape = m.root.type.shape
    return m.root.src[0] if m.root.src[0].type.shape == shape else node(Reshape(shape), m.root.src[0])


@guard("both reductions are of one kind")
def same_kind(m: Match) -> bool:
    outer, inner = m.ops["outer"], m.ops["inner"]
    return isinstance(outer, Reduce) and isinstance(inner, Reduce) and outer.kind == inner.kind


def _joined_reduction(m: Match) -> Node:
    """sum {axes=(0,)} (sum {axes=(1,)} x) → sum {axes=(0, 1)} x"""
    outer, inner = m.ops["outer"], m.ops["inner"]
    assert isinstance(outer, Reduce) and isinstance(inner, Reduce)
    kept = [k for k in range(m.nodes["x"].type.rank) if k not in inner.axes]
    axes = tuple(sorted((*inner.axes, *(kept[k] for k in outer.axes))))
    return node(Reduce(outer.kind, axes), m.nodes["x"])


def _broadcast_axes(n: Node) -> set[int]:
    """The axes of an expand along which its elements repeat."""
    source, shape = n.src[0].type.shape, n.type.shape
    lead = len(shape) - len(source)
    return {k for k, d in enumerate(shape) if k < lead or (source[k - lead] == 1 and d != 1)}


@guard("x repeats along these axes, a known number of times")
def repeats(m: Match) -> bool:
    op, expanded = m.root.op, m.root.src[0]
    assert isinstance(op, Reduce)
    count = product(expanded.type.shape[k] for k in op.axes)
    return set(op.axes) <= _broadcast_axes(expanded) and isinstance(count, int) and 0 < count < 2**24


def _times_count(m: Match) -> Node:
    """sum {axes=(1,)} (expand {shape=(N, 10)} x[N,1]) → 10·reshape(x)"""
    op, expanded, source = m.root.op, m.root.src[0], m.nodes["x"]
    assert isinstance(op, Reduce)
    shape = expanded.type.shape
    kept = tuple(1 if k in op.axes else d for k, d in enumerate(shape))
    once = source if source.type.shape == kept else node(Expand(kept), source)
    result = once if kept == m.root.type.shape else node(Reshape(m.root.type.shape), once)
    count = product(shape[k] for k in op.axes)
    scalar = node(Const.of(count, result.type.dtype))
    return elementwise("mul", result, node(Expand(result.type.shape), scalar) if result.type.rank else scalar)


@guard("s is a scalar")
def is_scalar(m: Match) -> bool:
    return m.nodes["s"].type.rank == 0


def _scaled_after(m: Match) -> Node:
    """sum(expand(s)·y) → expand(s)·sum(y)"""
    shape = m.root.type.shape
    factor = node(Expand(shape), m.nodes["s"]) if shape else m.nodes["s"]
    return elementwise("mul", factor, node(m.root.op, m.nodes["y"]))


def _inside_contract(m: Match, side: int) -> Node:
    """contract {spec='ji,jk->ik'} (transpose a) b → contract {spec='ij,jk->ik'} a b"""
    op, moved = m.root.op, m.ops["moved"]
    assert isinstance(op, Contract) and isinstance(moved, Transpose)
    letters = list(op.letters())
    letters[side] = "".join(letters[side][k] for k in moved.inverse().perm)
    operands = (m.nodes["x"], m.nodes["y"]) if side == 0 else (m.nodes["y"], m.nodes["x"])
    return node(Contract(f"{letters[0]},{letters[1]}->{letters[2]}"), *operands)


def _inside_left(m: Match) -> Node:
    """(transpose x)·y → the contraction that reads x as it is"""
    return _inside_contract(m, 0)


def _inside_right(m: Match) -> Node:
    """y·(transpose x) → the contraction that reads x as it is"""
    return _inside_contract(m, 1)


def _transposed_result(m: Match) -> Node:
    """transpose {perm=(1, 0)} (contract {spec='ij,jk->ik'} a b) → contract {spec='ij,jk->ki'} a b"""
    op, inner = m.root.op, m.ops["product"]
    assert isinstance(op, Transpose) and isinstance(inner, Contract)
    a, b, result = inner.letters()
    return node(Contract(f"{a},{b}->{''.join(result[k] for k in op.perm)}"), m.nodes["x"], m.nodes["y"])


def contract(p: Pattern, q: Pattern) -> Structural:
    return Structural(Contract, (p, q), "product")


def reduce(p: Pattern, name: str = "outer") -> Structural:
    return Structural(Reduce, (p,), name)


REDUCTIONS: tuple[Rule, ...] = (
    rule("reduce-units", reduce(x), _dropped_axes, exact="value", when=unit_axes, shows=reshape(x)),
    rule(
        "reduce-reduce",
        reduce(reduce(x, "inner")),
        _joined_reduction,
        exact="value",
        when=same_kind,
        shows=reduce(x),
    ),
    rule("sum-neg", Reduction("sum", -x, "a"), -Reduction("sum", x, "a"), exact="value"),
    rule(
        "sum-expand",
        Reduction("sum", expand(x), "a"),
        _times_count,
        exact="stable",
        when=repeats,
        shows=Wild("n") * x,
    ),
    rule(
        "sum-scaled",
        Reduction("sum", expand(s) * y, "a"),
        _scaled_after,
        exact="fast",
        when=is_scalar,
        shows=s * Reduction("sum", y, "a"),
    ),
    rule(
        "contract-transpose-left",
        contract(transpose(x, "moved"), y),
        _inside_left,
        exact="value",
        shows=contract(x, y),
    ),
    rule(
        "contract-transpose-right",
        contract(y, transpose(x, "moved")),
        _inside_right,
        exact="value",
        shows=contract(y, x),
    ),
    rule(
        "transpose-contract",
        transpose(contract(x, y), "moved"),
        _transposed_result,
        exact="value",
        shows=contract(x, y),
    ),
)
"""Rules on sums and contractions."""
