"""The rules of structure: views and casts.

Their replacements compute attributes, so each is a function that shows before → after.

>>> for rule in VIEWS[:2]:
...     print(rule)
reshape-same: reshape(x) = x  if x has that type already  [bitwise]
reshape-reshape: reshape(reshape(x)) = reshape(x)  [bitwise]
"""

from __future__ import annotations

import numpy as np

from graphc.ir.node import Node, node
from graphc.ir.types import Shape, broadcast_shapes
from graphc.ops.custom import CustomGradient
from graphc.ops.elementwise import Cast, Elementwise
from graphc.ops.leaves import Const
from graphc.ops.views import Concat, Expand, Pad, Reshape, Slice, Transpose
from graphc.passes.pattern import Match, Pattern, Structural, Whole, Wild
from graphc.passes.rewrite import Rule, guard, rule

x, y, s = Wild("x"), Wild("y"), Wild("s")


def _never(n: Node) -> bool:
    """For patterns that are shown and not matched."""
    return False


def _again(m: Match) -> Node:
    """outer(inner(x)) → outer(x)"""
    return node(m.root.op, m.nodes["x"])


@guard("x has that type already")
def same_type(m: Match) -> bool:
    return m.root.type == m.nodes["x"].type


def _value(m: Match) -> Node:
    """custom_gradient(y, x) → y: the graph is differentiated when it is compiled."""
    op = m.root.op
    assert isinstance(op, CustomGradient)
    return m.root.src[op.output]


# ---- transposes, slices, pads ----------------------------------------------------------------------------


@guard("no axis moves")
def unmoved(m: Match) -> bool:
    op = m.root.op
    return isinstance(op, Transpose) and op.perm == tuple(range(len(op.perm)))


@guard("only axes of length 1 move")
def only_units_move(m: Match) -> bool:
    op, shape = m.root.op, m.nodes["x"].type.shape
    moved = [k for k in op.perm if shape[k] != 1] if isinstance(op, Transpose) else []
    return moved == sorted(moved)


def _composed_transpose(m: Match) -> Node:
    """transpose {perm=p} (transpose {perm=q} x) → transpose {perm=q∘p} x"""
    outer, inner = m.ops["outer"], m.ops["inner"]
    assert isinstance(outer, Transpose) and isinstance(inner, Transpose)
    return node(Transpose(tuple(inner.perm[k] for k in outer.perm)), m.nodes["x"])


def _as_reshape(m: Match) -> Node:
    """transpose {perm=(1, 0)} x[N,1] → reshape {shape=(1, N)} x"""
    return node(Reshape(m.root.type.shape), m.nodes["x"])


@guard("it takes all of x")
def whole_slice(m: Match) -> bool:
    op = m.root.op
    unmoved = isinstance(op, Slice) and all(a == 0 for a in op.starts) and all(s == 1 for s in op.steps)
    return unmoved and same_type.holds(m)


def _composed_slice(m: Match) -> Node:
    """x[a + s·i][b + t·i] → x[a + s·b + s·t·i]"""
    outer, inner = m.ops["outer"], m.ops["inner"]
    assert isinstance(outer, Slice) and isinstance(inner, Slice)
    starts = tuple(a + s * b for a, s, b in zip(inner.starts, inner.steps, outer.starts, strict=True))
    steps = tuple(s * t for s, t in zip(inner.steps, outer.steps, strict=True))
    return node(Slice(starts, steps, outer.shape), m.nodes["x"])


@guard("nothing is added")
def adds_nothing(m: Match) -> bool:
    return isinstance(m.root.op, Pad) and same_type.holds(m)


@guard("the slice takes what was padded")
def undoes_pad(m: Match) -> bool:
    outer, pad = m.ops["outer"], m.ops["pad"]
    assert isinstance(outer, Slice) and isinstance(pad, Pad)
    steps = tuple(c + 1 for c in pad.interior)
    shape = m.nodes["x"].type.shape
    # An axis of length 1 has no second element for the step to reach.
    stepped = all(s == t or d == 1 for s, t, d in zip(outer.steps, steps, shape, strict=True))
    return outer.starts == pad.lo and stepped and outer.shape == shape


def _slice_of_concat(n: Node) -> Node | None:
    """The operand of a concatenation that a slice takes out whole."""
    op = n.op
    if not isinstance(op, Slice) or not isinstance(n.src[0].op, Concat) or any(s != 1 for s in op.steps):
        return None
    joined = n.src[0]
    axis, starts = n.src[0].op.axis, n.src[0].op.starts(joined)
    for part, start in zip(joined.src, starts, strict=True):
        places = tuple(start if k == axis else 0 for k in range(part.type.rank))
        if op.starts == places and op.shape == part.type.shape:
            return part
    return None


def _taken(m: Match) -> Node:
    """slice(concat(a, b)) → b"""
    return _slice_of_concat(m.root) or m.root


# ---- expands ---------------------------------------------------------------------------------------------


def _without_leading_ones(shape: Shape) -> Shape:
    first = next((k for k, d in enumerate(shape) if d != 1), len(shape))
    return shape[first:]


@guard("the reshape adds or drops leading axes of length 1")
def leading_units(m: Match) -> bool:
    inner, source = m.nodes["inner"].type.shape, m.nodes["x"].type.shape
    return _without_leading_ones(inner) == _without_leading_ones(source) and len(source) <= m.root.type.rank


def _view_of_scalar(n: Node) -> bool:
    expanded = n.src[0]
    return isinstance(expanded.op, Expand) and expanded.src[0].type.rank == 0


def _expanded_scalar(m: Match) -> Node:
    """reshape(expand(s)) → expand(s), for a scalar s"""
    shape, scalar = m.root.type.shape, m.root.src[0].src[0]
    return node(Expand(shape), scalar) if shape else scalar


def _smaller(n: Node) -> Shape | None:
    """The shape before broadcasting, where every operand is broadcast from a smaller one."""
    if not isinstance(n.op, Elementwise | Cast) or not all(isinstance(s.op, Expand) for s in n.src):
        return None
    # Constants alone are for folding.
    if all(isinstance(s.src[0].op, Const) for s in n.src):
        return None
    shape = broadcast_shapes(*(s.src[0].type.shape for s in n.src))
    full = n.type.shape
    return shape if shape != full[len(full) - len(shape) :] or len(shape) < len(full) else None


def _before_expand(m: Match) -> Node:
    """f(expand(a), expand(b)) → expand(f(a, b))"""
    n = m.root
    shape = _smaller(n) or ()
    small = (s.src[0] if s.src[0].type.shape == shape else node(Expand(shape), s.src[0]) for s in n.src)
    return node(Expand(n.type.shape), node(n.op, *small))


def _reshaped(n: Node) -> Shape | None:
    """The common shape before a reshape of every operand; broadcast scalars have any shape."""
    if not isinstance(n.op, Elementwise | Cast):
        return None
    shapes = {k.src[0].type.shape for k in n.src if isinstance(k.op, Reshape)}
    scalars = [k for k in n.src if isinstance(k.op, Expand) and not k.src[0].type.rank]
    reshaped = [k for k in n.src if isinstance(k.op, Reshape)]
    return next(iter(shapes)) if len(shapes) == 1 and len(scalars) + len(reshaped) == len(n.src) else None


def _before_reshape(m: Match) -> Node:
    """f(reshape(a), reshape(b)) → reshape(f(a, b))"""
    n = m.root
    shape = _reshaped(n) or ()
    before = (
        s.src[0] if isinstance(s.op, Reshape) or not shape else node(Expand(shape), s.src[0]) for s in n.src
    )
    return node(Reshape(n.type.shape), node(n.op, *before))


# ---- casts -----------------------------------------------------------------------------------------------


@guard("the inner cast loses nothing, and no float becomes an integer")
def lossless(m: Match) -> bool:
    source, middle, target = m.nodes["x"].type.dtype, m.nodes["inner"].type.dtype, m.root.type.dtype
    if source.is_float and not target.is_float and target is not source:
        return False
    return bool(np.can_cast(source.numpy, middle.numpy, "safe"))


def _one_cast(m: Match) -> Node:
    """cast(cast(x)) → cast(x), or x where it had that dtype"""
    return m.nodes["x"] if same_type.holds(m) else node(m.root.op, m.nodes["x"])


def reshape(p: Pattern, name: str = "outer") -> Structural:
    return Structural(Reshape, (p,), name)


def expand(p: Pattern, name: str = "outer") -> Structural:
    return Structural(Expand, (p,), name)


def transpose(p: Pattern, name: str = "outer") -> Structural:
    return Structural(Transpose, (p,), name)


def cut(p: Pattern, name: str = "outer") -> Structural:
    return Structural(Slice, (p,), name)


def pad(p: Pattern) -> Structural:
    return Structural(Pad, (p,), "pad")


def cast(p: Pattern, name: str = "outer") -> Structural:
    return Structural(Cast, (p,), name)


_scalar_view = Whole("view(expand(s))", _view_of_scalar, (Reshape, Transpose, Slice))
_custom = Whole("custom_gradient(y, x)", lambda n: isinstance(n.op, CustomGradient), (CustomGradient,))
_part = Whole("slice(concat(a, b))", lambda n: _slice_of_concat(n) is not None, (Slice,))
_all_expanded = Whole("f(expand(a), expand(b))", lambda n: _smaller(n) is not None, (Elementwise, Cast))
_all_reshaped = Whole("f(reshape(a), reshape(b))", lambda n: _reshaped(n) is not None, (Elementwise, Cast))

VIEWS: tuple[Rule, ...] = (
    rule("reshape-same", reshape(x), x, exact="bitwise", when=same_type),
    rule("reshape-reshape", reshape(reshape(x, "inner")), _again, exact="bitwise", shows=reshape(x)),
    rule("expand-same", expand(x), x, exact="bitwise", when=same_type),
    rule("expand-expand", expand(expand(x, "inner")), _again, exact="bitwise", shows=expand(x)),
    rule(
        "expand-reshape",
        expand(reshape(x, "inner")),
        _again,
        exact="bitwise",
        shows=expand(x),
        when=leading_units,
    ),
    rule("view-of-scalar", _scalar_view, _expanded_scalar, exact="bitwise", shows=expand(s)),
    rule("transpose-none", transpose(x), x, exact="bitwise", when=unmoved),
    rule(
        "transpose-transpose",
        transpose(transpose(x, "inner")),
        _composed_transpose,
        exact="bitwise",
        shows=transpose(x),
    ),
    rule(
        "transpose-units", transpose(x), _as_reshape, exact="bitwise", shows=reshape(x), when=only_units_move
    ),
    rule("slice-whole", cut(x), x, exact="bitwise", when=whole_slice),
    rule("slice-slice", cut(cut(x, "inner")), _composed_slice, exact="bitwise", shows=cut(x)),
    rule("pad-none", pad(x), x, exact="bitwise", when=adds_nothing),
    rule("slice-pad", cut(pad(x)), x, exact="bitwise", when=undoes_pad),
    rule("slice-concat", _part, _taken, exact="bitwise", shows=Wild("b")),
    rule("cast-same", cast(x), x, exact="bitwise", when=same_type),
    rule("cast-cast", cast(cast(x, "inner")), _one_cast, exact="bitwise", when=lossless, shows=cast(x)),
    rule("custom-gradient", _custom, _value, exact="bitwise", shows=y),
    rule(
        "expand-last", _all_expanded, _before_expand, exact="bitwise", shows=Whole("expand(f(a, b))", _never)
    ),
    rule(
        "reshape-last",
        _all_reshaped,
        _before_reshape,
        exact="bitwise",
        shows=Whole("reshape(f(a, b))", _never),
    ),
)
"""Rules on views and casts: no element changes."""
