"""The rules of strides: what a stride skips is not computed, and the zeros that it leaves are not multiplied.

A transposed convolution, and the vjp of a strided one, convolve an input with s − 1 zeros between neighbours.
Every s-th place of the result meets the same s-th part of the kernel: s convolutions of the input as it was, as
one convolution with s times the filters, whose results take turns.  (Sub-pixel convolution: W. Shi et al.,
arXiv:1609.05158.)  Where the kernel is the larger one, as in a weight's gradient, image and kernel change places.

>>> for rule in STRIDES:
...     print(rule)
stride-of-slice: slice(conv(x, w)) = conv(slice(x), w)  if it keeps every filter and skips places  [bitwise]
conv-of-spread: conv(spread(x), w) = interleave(conv(x, phases(w)))  if the spread is by known amounts  [stable]
slice-of-turns: slice(interleave(conv(x, w))) = slice(interleave(slice(conv(x, w))))  if it cuts whole turns  [bitwise]
conv-by-spread: conv(transpose(spread(x)), w) = transpose(flip(conv(w, x)))  if w is the larger one  [stable]
"""

from __future__ import annotations

import math

from graphc.ir.dims import Index
from graphc.ir.node import Node, node
from graphc.ops.conv import Conv
from graphc.ops.views import Pad, Reshape, Slice, Transpose, flip
from graphc.passes.pattern import Match, Structural, Wild
from graphc.passes.rewrite import Rule, guard, rule

x, w = Wild("x"), Wild("w")


@guard("it keeps every filter and skips places")
def skips_places(m: Match) -> bool:
    op, made = m.root.op, m.root.src[0].type.shape
    if not isinstance(op, Slice) or set(op.steps[:3]) != {1} or 0 in op.shape:
        return False
    whole = all(op.starts[k] == 0 and op.shape[k] == made[k] for k in (1, 2))
    return whole and min(op.steps) > 0 and max(op.steps) > 1


def _strided(m: Match) -> Node:
    """conv(x, w)[t : t + s·n : s] → conv(x[stride·t : …], w) with strides s times as long"""
    cut, conv = m.root.op, m.root.src[0].op
    assert isinstance(cut, Slice) and isinstance(conv, Conv)
    shape, kernel = m.nodes["x"].type.shape, m.nodes["w"].type.shape[3:]
    strides = tuple(s * step for s, step in zip(conv.strides, cut.steps[3:], strict=True))
    starts: list[Index] = [cut.starts[0], 0, 0]
    sizes: list[Index] = [cut.shape[0], shape[1], shape[2]]
    axes = zip(cut.starts[3:], cut.shape[3:], conv.strides, strides, conv.dilations, kernel, strict=True)
    for t, n, old, new, d, k in axes:
        starts.append(old * t)
        sizes.append(new * (n - 1) + d * (k - 1) + 1)
    part = node(Slice(tuple(starts), (1,) * len(sizes), tuple(sizes)), m.nodes["x"])
    return node(Conv(strides, conv.dilations), part, m.nodes["w"])


def _is_spread(conv: object, pad: object) -> bool:
    """A dense convolution of an image with zeros between its places, and around them, by known amounts."""
    if not isinstance(conv, Conv) or not isinstance(pad, Pad) or pad.value != 0.0:
        return False
    if not any(pad.interior[3:]) or any((*pad.lo[:3], *pad.hi[:3], *pad.interior[:3])):
        return False
    dense = set(conv.strides) == {1} and set(conv.dilations) == {1}
    return dense and all(isinstance(v, int) for v in (*pad.lo[3:], *pad.hi[3:]))


@guard("the spread is by known amounts")
def spreads(m: Match) -> bool:
    known = all(isinstance(k, int) for k in m.nodes["w"].type.shape)
    return known and _is_spread(m.root.op, m.root.src[0].op)


def _interleaved(m: Match) -> Node:
    """conv(spread(x), w) → interleave(conv(x, phases(w)))

    On one axis, with strides s: out[t] = Σ_j x[j]·w[s·j + lo − t].  For t = s·q + r − shift, with the shift that
    makes lo + shift = s·e + s − 1, that is Σ_m x[q + m − e]·w[s·m + s − 1 − r]: a kernel of its own for each r.
    """
    pad, x, w = m.root.src[0].op, m.nodes["x"], m.nodes["w"]
    assert isinstance(pad, Pad)
    rank = len(pad.lo) - 3
    batch, groups, channels, *sizes = x.type.shape
    filters, kernel = w.type.shape[1], [k for k in w.type.shape[3:] if isinstance(k, int)]
    lo = [v for v in pad.lo[3:] if isinstance(v, int)]
    strides = [c + 1 for c in pad.interior[3:]]
    shift = [(s - 1 - a) % s for a, s in zip(lo, strides, strict=True)]
    early = [(a + f - s + 1) // s for a, f, s in zip(lo, shift, strides, strict=True)]
    taps = [-(-k // s) for k, s in zip(kernel, strides, strict=True)]
    wanted = m.root.type.shape[3:]
    counts = [-((-1 * (t + f)) // s) for t, f, s in zip(wanted, shift, strides, strict=True)]

    none = (0, 0, 0)
    more = tuple(s * t - k for s, t, k in zip(strides, taps, kernel, strict=True))
    whole = node(Pad((0,) * (3 + rank), none + more, (0,) * (3 + rank), 0.0), w) if any(more) else w
    split = [v for pair in zip(taps, strides, strict=True) for v in pair]
    at_tap, at_phase = (tuple(k + 2 * i for i in range(rank)) for k in (3, 4))
    parts = flip(node(Reshape((groups, filters, channels, *split)), whole), at_phase)
    parts = node(Transpose((0, 1, *at_phase, 2, *at_tap)), parts)
    phases = node(Reshape((groups, filters * math.prod(strides), channels, *taps)), parts)

    before = none + tuple(max(0, e) for e in early)
    # The last window ends at element counts − 1 + taps − 1 − early.
    ends = [q + t - 1 - e - d for q, t, e, d in zip(counts, taps, early, sizes, strict=True)]
    after = none + tuple(e if not isinstance(e, int) else max(0, e) for e in ends)
    starts = none + tuple(max(0, -e) for e in early)
    left = tuple(
        d - a - (max(0, -e) if isinstance(e, int) else 0)
        for d, a, e in zip(sizes, starts[3:], ends, strict=True)
    )
    image = x
    if left != tuple(sizes):
        image = node(Slice(starts, (1,) * (3 + rank), (batch, groups, channels, *left)), image)
    if any((*before, *after)):
        image = node(Pad(before, after, (0,) * (3 + rank), 0.0), image)
    out = node(Conv((1,) * rank, (1,) * rank), image, phases)

    out = node(Reshape((batch, groups, filters, *strides, *counts)), out)
    turns = tuple(v for i in range(rank) for v in (3 + rank + i, 3 + i))
    out = node(Transpose((0, 1, 2, *turns)), out)
    full = tuple(q * s for q, s in zip(counts, strides, strict=True))
    out = node(Reshape((batch, groups, filters, *full)), out)
    if full == wanted:
        return out
    return node(Slice((*none, *shift), (1,) * (3 + rank), m.root.type.shape), out)


def _turns(m: Match) -> list[tuple[int, int, int, int]] | None:
    """For each axis that places take turns on: how many there are, the turns in all, the first and last one kept."""
    cut, joined = m.root.op, m.root.src[0]
    turned, conv = joined.src[0], joined.src[0].src[0].src[0]
    split, rank = turned.src[0].type.shape, conv.type.rank - 3
    assert isinstance(cut, Slice) and isinstance(turned.op, Transpose)
    lead, counts = split[:3], conv.type.shape[3:]
    strides = split[3 : 3 + rank]
    perm = tuple(v for i in range(rank) for v in (3 + rank + i, 3 + i))
    if len(split) != 3 + 2 * rank or split[3 + rank :] != counts or turned.op.perm != (0, 1, 2, *perm):
        return None
    full = tuple(q * s for q, s in zip(counts, strides, strict=True))
    if joined.type.shape != (*lead, *full) or set(cut.steps) != {1} or cut.shape[:3] != lead:
        return None
    found: list[tuple[int, int, int, int]] = []
    for t, n, q, s in zip(cut.starts[3:], cut.shape[3:], counts, strides, strict=True):
        if not (isinstance(t, int) and isinstance(n, int) and isinstance(q, int) and isinstance(s, int)):
            return None
        found.append((s, q, t // s, -(-(t + n) // s)))
    return found if 0 not in cut.shape else None


@guard("it cuts whole turns")
def cuts_turns(m: Match) -> bool:
    found = _turns(m)
    return found is not None and any(first > 0 or last < q for _, q, first, last in found)


def _fewer_turns(m: Match) -> Node:
    """interleave(y)[t : t + n] → interleave(y[t // s : …])[t % s : …]"""
    cut, joined, found = m.root.op, m.root.src[0], _turns(m)
    turned, conv = joined.src[0], joined.src[0].src[0].src[0]
    assert isinstance(cut, Slice) and found is not None
    lead, rank = turned.src[0].type.shape[:3], len(found)
    counts = tuple(last - first for _, _, first, last in found)
    strides = tuple(s for s, _, _, _ in found)
    starts = (0, 0, 0, *(first for _, _, first, _ in found))
    part = node(Slice(starts, (1,) * (3 + rank), (*conv.type.shape[:3], *counts)), conv)
    out = node(Transpose(turned.op.perm), node(Reshape((*lead, *strides, *counts)), part))  # type: ignore[attr-defined]
    out = node(Reshape((*lead, *(q * s for q, s in zip(counts, strides, strict=True)))), out)
    if out.type.shape == cut.shape:
        return out
    rest = tuple(t - s * a for t, (s, _, a, _) in zip(cut.starts[3:], found, strict=True))
    return node(Slice((0, 0, 0, *rest), cut.steps, cut.shape), out)


@guard("w is the larger one")
def kernel_is_larger(m: Match) -> bool:
    turned = m.root.src[0]
    if not isinstance(turned.op, Transpose) or not _is_spread(m.root.op, turned.src[0].op):
        return False
    out, sizes, kernel = (n.type.shape[3:] for n in (m.root, m.nodes["x"], m.nodes["w"]))
    known = [v for v in (*out, *sizes, *kernel) if isinstance(v, int)]
    rank = len(out)
    if len(known) != 3 * rank or turned.op.perm[3:] != tuple(range(3, 3 + rank)):
        return False
    return math.prod(known[:rank]) < math.prod(known[rank : 2 * rank]) <= math.prod(known[2 * rank :])


def _exchanged(m: Match) -> Node:
    """conv(transpose(spread(x)), w) → transpose(flip(conv(w, x)))

    On one axis, with strides s: out[k] = Σ_i spread[i + k]·w[i] = Σ_j x[j]·w[lo + s·j − k]: read backwards, a
    convolution of w by the kernel x with the dilation s.
    """
    turned = m.root.src[0]
    pad = turned.src[0].op
    assert isinstance(pad, Pad) and isinstance(turned.op, Transpose)
    rank = len(pad.lo) - 3
    axes = tuple(range(3, 3 + rank))
    places = [k for k in m.root.type.shape[3:] if isinstance(k, int)]
    sides = [
        (k - 1 - a, k - 1 - b)
        for k, a, b in zip(places, pad.lo[3:], pad.hi[3:], strict=True)
        if isinstance(a, int) and isinstance(b, int)
    ]
    image = node(Transpose((1, 0, 2, *axes)), m.nodes["w"])  # [O,G,B,*T]
    if any(min(side) < 0 for side in sides):
        starts = tuple(max(0, -a) for a, _ in sides)
        sizes = tuple(
            d - max(0, -a) - max(0, -b) for d, (a, b) in zip(image.type.shape[3:], sides, strict=True)
        )
        cut = Slice((0, 0, 0, *starts), (1,) * (3 + rank), (*image.type.shape[:3], *sizes))
        image = node(cut, image)
    lo, hi = (tuple(max(0, side[end]) for side in sides) for end in (0, 1))
    if any(lo + hi):
        image = node(Pad((0, 0, 0, *lo), (0, 0, 0, *hi), (0,) * (3 + rank), 0.0), image)
    a, g, b = turned.op.perm[:3]
    kernel = node(Transpose((g, a, b, *axes)), m.nodes["x"])  # [G,A,B,*S]
    dilations = tuple(c + 1 for c in pad.interior[3:])
    out = node(Conv((1,) * rank, dilations), image, kernel)  # [O,G,A,*K]
    return node(Transpose((2, 1, 0, *axes)), flip(out, axes))


_spread = Structural(Pad, (x,), "pad")
_split = Structural(Reshape, (Structural(Conv, (x, w), "conv"),), "split")
_interleave = Structural(Reshape, (Structural(Transpose, (_split,), "turned"),), "joined")

STRIDES: tuple[Rule, ...] = (
    rule(
        "stride-of-slice",
        Structural(Slice, (Structural(Conv, (x, w), "conv"),), "outer"),
        _strided,
        exact="bitwise",
        when=skips_places,
        shows=Structural(Conv, (Structural(Slice, (x,), "outer"), w), "conv"),
    ),
    rule(
        "conv-of-spread",
        Structural(Conv, (_spread, w), "conv"),
        _interleaved,
        exact="stable",
        when=spreads,
        equation=(
            "conv(spread(x), w) = interleave(conv(x, phases(w)))",
            r"\operatorname{conv}(\operatorname{spread}(x), w) = "
            r"\operatorname{interleave}(\operatorname{conv}(x, \operatorname{phases}(w)))",
        ),
    ),
    rule(
        "slice-of-turns",
        Structural(Slice, (_interleave,), "outer"),
        _fewer_turns,
        exact="bitwise",
        when=cuts_turns,
        equation=(
            "slice(interleave(conv(x, w))) = slice(interleave(slice(conv(x, w))))",
            r"\operatorname{slice}(\operatorname{interleave}(\operatorname{conv}(x, w))) = "
            r"\operatorname{slice}(\operatorname{interleave}(\operatorname{slice}(\operatorname{conv}(x, w))))",
        ),
    ),
    rule(
        "conv-by-spread",
        Structural(Conv, (Structural(Transpose, (_spread,), "turned"), w), "conv"),
        _exchanged,
        exact="stable",
        when=kernel_is_larger,
        equation=(
            "conv(transpose(spread(x)), w) = transpose(flip(conv(w, x)))",
            r"\operatorname{conv}(\operatorname{spread}(x)^{\top}, w) = "
            r"\operatorname{flip}(\operatorname{conv}(w, x))^{\top}",
        ),
    ),
)
"""The rules of strides."""
