"""The rules of windows: compute only what is used.

The vjp of a padded convolution is a convolution over a widely padded upstream, of which a slice is kept.  The
slice moves inwards, until the padding that it cuts away was never made.  A stride's zeros are not multiplied:
see `graphc.passes.rules_strides`.

The vjp of max pooling puts each upstream at the first maximum of its window.  What is asked of that element is asked of
the maximum, and what is summed over windows was there before: both are smaller arrays.

>>> for rule in WINDOWS:
...     print(rule)
slice-reshape: slice(reshape(x)) = reshape(slice(x))  if the reshape only moves axes of length 1, which stay  [bitwise]
slice-conv: slice(conv(x, w)) = conv(slice(x), w)  if it keeps every filter and steps by 1  [bitwise]
slice-of-pad: slice(pad(x)) = pad(x)  if the slice cuts padding only  [bitwise]
relu-of-unpool: where(0 < x, unpool(x, u), 0) = unpool(x, where(0 < pool(x), u, 0))  [value]
sum-of-unpool: sum(unpool(x, u)) = sum(u)  if whole windows are summed  [value]
stride-of-slice: slice(conv(x, w)) = conv(slice(x), w)  if it keeps every filter and skips places  [bitwise]
conv-of-spread: conv(spread(x), w) = interleave(conv(x, phases(w)))  if the spread is by known amounts  [stable]
slice-of-turns: slice(interleave(conv(x, w))) = slice(interleave(slice(conv(x, w))))  if it cuts whole turns  [bitwise]
conv-by-spread: conv(transpose(spread(x)), w) = transpose(flip(conv(w, x)))  if w is the larger one  [stable]
"""

from __future__ import annotations

from graphc.ir.dims import Index
from graphc.ir.node import Node, node
from graphc.ops.conv import Conv
from graphc.ops.elementwise import constant_like, elementwise
from graphc.ops.reduce import Reduce
from graphc.ops.views import Pad, Reshape, Slice, is_unit
from graphc.ops.window import Window, WindowScatter
from graphc.passes.pattern import Match, Structural, Wild
from graphc.passes.rewrite import Rule, guard, rule
from graphc.passes.rules_strides import STRIDES
from graphc.passes.words import less, where

x, w, u = Wild("x"), Wild("w"), Wild("u")


@guard("the reshape only moves axes of length 1, which stay")
def moves_units(m: Match) -> bool:
    op, moved = m.root.op, m.root.src[0]
    if not isinstance(op, Slice) or not is_unit(moved):
        return False
    return all(n == 1 for n, d in zip(op.shape, moved.type.shape, strict=True) if d == 1)


def _slice_first(m: Match) -> Node:
    """slice(reshape(x)) → reshape(slice(x)), where the axes of length 1 are taken whole"""
    outer, source = m.root.op, m.nodes["x"]
    assert isinstance(outer, Slice)
    ranges = zip(outer.starts, outer.steps, outer.shape, m.root.src[0].type.shape, strict=True)
    kept = iter([(a, s, n) for a, s, n, d in ranges if d != 1])
    places = [(0, 1, 1) if d == 1 else next(kept) for d in source.type.shape]
    starts, steps = tuple(a for a, _, _ in places), tuple(s for _, s, _ in places)
    inner = node(Slice(starts, steps, tuple(n for _, _, n in places)), source)
    return node(Reshape(m.root.type.shape), inner)


@guard("it keeps every filter and steps by 1")
def keeps_filters(m: Match) -> bool:
    op, made = m.root.op, m.root.src[0].type.shape
    if not isinstance(op, Slice) or any(s != 1 for s in op.steps):
        return False
    if 0 in op.shape:
        return False
    whole = all(op.starts[k] == 0 and op.shape[k] == made[k] for k in (1, 2))
    return whole and op.shape != made


def _convolve_less(m: Match) -> Node:
    """conv(x, w)[t:t+n] → conv(x[stride·t : stride·(t+n-1) + reach + 1], w)"""
    cut, conv = m.root.op, m.root.src[0].op
    assert isinstance(cut, Slice) and isinstance(conv, Conv)
    shape, kernel = m.nodes["x"].type.shape, m.nodes["w"].type.shape[3:]
    starts: list[Index] = [cut.starts[0], 0, 0]
    sizes: list[Index] = [cut.shape[0], shape[1], shape[2]]
    for t, n, s, d, k in zip(
        cut.starts[3:], cut.shape[3:], conv.strides, conv.dilations, kernel, strict=True
    ):
        starts.append(s * t)
        sizes.append(s * (n - 1) + d * (k - 1) + 1)
    part = node(Slice(tuple(starts), (1,) * len(sizes), tuple(sizes)), m.nodes["x"])
    return node(conv, part, m.nodes["w"])


@guard("the slice cuts padding only")
def cuts_padding(m: Match) -> bool:
    outer, pad = m.root.op, m.root.src[0].op
    if not isinstance(outer, Slice) or not isinstance(pad, Pad) or outer.shape == m.root.src[0].type.shape:
        return False
    if any(s != 1 for s in outer.steps) or any(pad.interior):
        return False
    ends = zip(outer.starts, outer.shape, pad.lo, m.nodes["x"].type.shape, pad.hi, strict=True)
    # What is left of the padding on either side; a side of unknown sign is left alone.
    rests = [(lo - a, a + n - lo - d) for a, n, lo, d, _ in ends]
    return all(isinstance(r, int) and r >= 0 for pair in rests for r in pair)


def _pad_less(m: Match) -> Node:
    """pad {lo, hi} x [a : a+n] → pad {lo − a, …} x"""
    outer, pad = m.root.op, m.root.src[0].op
    assert isinstance(outer, Slice) and isinstance(pad, Pad)
    lo = tuple(b - a for a, b in zip(outer.starts, pad.lo, strict=True))
    shape = m.nodes["x"].type.shape
    hi = tuple(n - b - d for n, b, d in zip(outer.shape, lo, shape, strict=True))
    return m.nodes["x"] if not any((*lo, *hi)) else node(Pad(lo, hi, pad.interior, pad.value), m.nodes["x"])


def _masked_before(m: Match) -> Node:
    """where(0 < x, unpool(x, u), 0) → unpool(x, where(0 < pool(x), u, 0))"""
    unpool, x, u = m.root.src[1].op, m.nodes["x"], m.nodes["u"]
    assert isinstance(unpool, WindowScatter)
    top = node(Window("max", unpool.size, unpool.strides, unpool.dilations), x)
    positive = elementwise("less", constant_like(0.0, top), top)
    return node(unpool, x, elementwise("where", positive, u, constant_like(0.0, u)))


@guard("whole windows are summed")
def sums_windows(m: Match) -> bool:
    op, unpool, x = m.root.op, m.root.src[0].op, m.nodes["x"]
    if not isinstance(op, Reduce) or not isinstance(unpool, WindowScatter) or op.kind != "sum":
        return False
    return set(range(unpool.lead(x.type), x.type.rank)) <= set(op.axes)


def _summed_before(m: Match) -> Node:
    """sum(unpool(x, u)) → sum(u)"""
    return node(m.root.op, m.nodes["u"])


_unpool = Structural(WindowScatter, (x, u), "unpool")
_cut_reshape = Structural(Slice, (Structural(Reshape, (x,), "inner"),), "outer")
_cut_conv = Structural(Slice, (Structural(Conv, (x, w), "conv"),), "outer")
_cut_pad = Structural(Slice, (Structural(Pad, (x,), "pad"),), "outer")

WINDOWS: tuple[Rule, ...] = (
    rule(
        "slice-reshape",
        _cut_reshape,
        _slice_first,
        exact="bitwise",
        when=moves_units,
        shows=Structural(Reshape, (Structural(Slice, (x,), "outer"),), "inner"),
    ),
    rule(
        "slice-conv",
        _cut_conv,
        _convolve_less,
        exact="bitwise",
        when=keeps_filters,
        shows=Structural(Conv, (Structural(Slice, (x,), "outer"), w), "conv"),
    ),
    rule(
        "slice-of-pad",
        _cut_pad,
        _pad_less,
        exact="bitwise",
        when=cuts_padding,
        shows=Structural(Pad, (x,), "pad"),
    ),
    rule(
        "relu-of-unpool",
        where(less(0, x), _unpool, 0),
        _masked_before,
        exact="value",
        equation=(
            "where(0 < x, unpool(x, u), 0) = unpool(x, where(0 < pool(x), u, 0))",
            r"\operatorname{where}(0 < x, \operatorname{unpool}_x(u), 0) = "
            r"\operatorname{unpool}_x(\operatorname{where}(0 < \operatorname{pool}(x), u, 0))",
        ),
    ),
    rule(
        "sum-of-unpool",
        Structural(Reduce, (_unpool,), "sum"),
        _summed_before,
        exact="value",
        when=sums_windows,
        equation=(
            "sum(unpool(x, u)) = sum(u)",
            r"\textstyle\sum \operatorname{unpool}_x(u) = \textstyle\sum u",
        ),
    ),
    *STRIDES,
)
"""Rules on slices of what windows made, by which no element changes; and on convolutions of spread inputs."""
