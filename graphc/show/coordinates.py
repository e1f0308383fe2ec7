"""Layout, step 3: places across the ranks; the order is kept, long edges and main lines are straight.

    before   a──┐            after   a────────c────────d
                └─c─┐                     b───┘
             b────┘ └─d

1.  Segments that should be straight are *aligned*: pieces of long edges first, then the leading edge of
    each box.  Aligned segments never cross, so the *blocks* that they form are partly ordered from left to
    right (as the blocks of Brandes and Koepf, "Fast and Simple Horizontal Coordinate Assignment", 2001).
2.  A block is one unknown.  It wants to be at the weighted mean of what it is joined to (least squares),
    subject to the separation of neighbours.  Each round moves all blocks half-way there and projects back:
    pushing every block to the right of its left neighbours gives one legal placement, pushing to the left
    another, and their mean is legal too, because separations are linear.  The mean is symmetric, and equals
    the pool-adjacent-violators solution when equal wishes collide.
3.  At last each block slides alone within its free room to the weighted median, which straightens what can
    be straightened; blocks that touch are also moved as one, for they hold each other up.

>>> from graphc.show.layering import Box, Link, layer
>>> graph = layer([Box(10, 10)] * 3, [Link(0, 2, 0, 0, 0, 0), Link(1, 2, 0, 1, 0, 0)])
>>> [round(x, 2) for x in place_across(graph, 20, 8)]            # the user in the middle of its operands
[5.0, 35.0, 20.0]
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from graphc.errors import InternalError
from graphc.show.layering import BOX, DUMMY, Layered, Segment

_ROUNDS = 60
_SLIDES = 16
_TOUCH = 0.01
_GROUP = 400
_WORK = 3_000_000


@dataclass(frozen=True, slots=True)
class _Blocks:
    """Vertices that share one line: `number[v]` is v's block and `shift[v]` its place from the block's."""

    number: list[int]
    shift: list[float]
    members: list[list[int]]
    order: list[int]
    left: list[list[tuple[int, float]]]
    right: list[list[tuple[int, float]]]
    wishes: list[list[tuple[int, float, float]]]


def place_across(graph: Layered, box_gap: float, line_gap: float) -> list[float]:
    """The line of every vertex across; the least edge of the drawing is at 0."""
    blocks = _make_blocks(graph, box_gap, line_gap)
    count = len(blocks.members)
    place = _project(blocks, _packed(graph, blocks, box_gap, line_gap))
    size = 1 + count + sum(len(w) for w in blocks.wishes) + sum(len(s) for s in blocks.left)
    for _ in range(max(8, min(_ROUNDS, _WORK // size))):
        wish = list(place)
        for block in range(count):
            total = weight = 0.0
            for other, distance, w in blocks.wishes[block]:
                total += w * (place[other] + distance)
                weight += w
            if weight:
                wish[block] = (wish[block] + total / weight) / 2
        place = _project(blocks, wish)
    for turn in range(max(4, min(_SLIDES, _WORK // (6 * size)))):
        _slide(blocks, place, reverse=turn % 2 == 1)
        _press(blocks, place, rightwards=turn % 2 == 0)
    across = [place[blocks.number[v]] + blocks.shift[v] for v in range(len(graph.kind))]
    least = min((x - b for x, b in zip(across, graph.before, strict=True)), default=0.0)
    return [x - least for x in across]


def _gap(graph: Layered, a: int, b: int, box_gap: float, line_gap: float) -> float:
    lines = (graph.kind[a] == DUMMY) + (graph.kind[b] == DUMMY)
    boxes = (graph.kind[a] == BOX) + (graph.kind[b] == BOX)
    gap = box_gap if boxes == 2 else line_gap if lines == 2 else (box_gap + line_gap) / 2
    return graph.after[a] + gap + graph.before[b]


def _aligned(graph: Layered) -> list[Segment]:
    """The segments to draw straight: none cross, and a vertex has at most one on either side."""
    position = [0] * len(graph.kind)
    for one in graph.layers:
        for index, vertex in enumerate(one):
            position[vertex] = index
    lines: list[Segment] = []
    leads: list[Segment] = []
    for one in graph.layers:
        for vertex in one:
            outs = graph.outs[vertex]
            inner = [s for s in outs if graph.kind[vertex] != BOX and graph.kind[s.head] != BOX]
            lines.extend(_middle(inner, position))
            leading = [s for s in outs if s.leads and s not in inner] if not inner else []
            if leading:
                shortest = min(s.span for s in leading)
                leads.extend(_middle([s for s in leading if s.span == shortest], position))
    up = [False] * len(graph.kind)
    down = [False] * len(graph.kind)
    taken: list[list[tuple[float, float]]] = [[] for _ in graph.layers]
    chosen: list[Segment] = []
    for s in lines + leads:
        row = taken[graph.rank[s.tail]]
        pair = (float(position[s.tail]), float(position[s.head]))
        at = bisect_left(row, pair)
        crosses = (at > 0 and row[at - 1][1] >= pair[1]) or (at < len(row) and row[at][1] <= pair[1])
        if crosses or down[s.tail] or up[s.head]:
            continue
        down[s.tail] = up[s.head] = True
        row.insert(at, pair)
        chosen.append(s)
    return chosen


def _middle(segments: Sequence[Segment], position: Sequence[int]) -> list[Segment]:
    """The middle one of an odd number of segments from one vertex, else none."""
    if len(segments) % 2 == 0:
        return []
    return [sorted(segments, key=lambda s: (position[s.head], s.head_key))[len(segments) // 2]]


def _make_blocks(graph: Layered, box_gap: float, line_gap: float) -> _Blocks:
    count = len(graph.kind)
    above: list[Segment | None] = [None] * count
    for s in _aligned(graph):
        above[s.head] = s
    number, shift = [-1] * count, [0.0] * count
    members: list[list[int]] = []
    for one in graph.layers:  # by rank, so the vertex above already has its block
        for vertex in one:
            line = above[vertex]
            if line is None:
                number[vertex] = len(members)
                members.append([vertex])
            else:
                number[vertex] = number[line.tail]
                shift[vertex] = shift[line.tail] + line.tail_offset - line.head_offset
                members[number[vertex]].append(vertex)
    left: list[list[tuple[int, float]]] = [[] for _ in members]
    right: list[list[tuple[int, float]]] = [[] for _ in members]
    separations: dict[tuple[int, int], float] = {}
    for one in graph.layers:
        for a, b in pairwise(one):
            apart = _gap(graph, a, b, box_gap, line_gap) + shift[a] - shift[b]
            pair = number[a], number[b]
            separations[pair] = max(apart, separations.get(pair, apart))
    for (a, b), apart in separations.items():
        right[a].append((b, apart))
        left[b].append((a, apart))
    wishes: list[list[tuple[int, float, float]]] = [[] for _ in members]
    for segments in graph.outs:
        for s in segments:
            a, b = number[s.tail], number[s.head]
            if a != b:
                weight = (1.0, 2.0, 8.0)[(graph.kind[s.tail] != BOX) + (graph.kind[s.head] != BOX)]
                distance = shift[s.tail] + s.tail_offset - shift[s.head] - s.head_offset
                wishes[b].append((a, distance, weight))
                wishes[a].append((b, -distance, weight))
    return _Blocks(number, shift, members, _left_to_right(left, right), left, right, wishes)


def _left_to_right(
    left: Sequence[Sequence[tuple[int, float]]], right: Sequence[Sequence[tuple[int, float]]]
) -> list[int]:
    missing = [len(one) for one in left]
    order = [block for block, n in enumerate(missing) if n == 0]
    for block in order:  # grows while it is read
        for other, _ in right[block]:
            missing[other] -= 1
            if missing[other] == 0:
                order.append(other)
    if len(order) != len(left):
        raise InternalError("aligned blocks of a drawing are not ordered from left to right")
    return order


def _packed(graph: Layered, blocks: _Blocks, box_gap: float, line_gap: float) -> list[float]:
    """A start: every layer packed around 0, a block at the mean of its members."""
    total = [0.0] * len(blocks.members)
    for one in graph.layers:
        x, places = 0.0, []
        for index, vertex in enumerate(one):
            if index:
                x += _gap(graph, one[index - 1], vertex, box_gap, line_gap)
            places.append(x)
        for vertex, place in zip(one, places, strict=True):
            total[blocks.number[vertex]] += place - x / 2 - blocks.shift[vertex]
    return [t / len(m) for t, m in zip(total, blocks.members, strict=True)]


def _project(blocks: _Blocks, wish: Sequence[float]) -> list[float]:
    """A legal placement near `wish`: the mean of pushing right and pushing left."""
    pushed_right = list(wish)
    for block in blocks.order:
        for other, apart in blocks.left[block]:
            least = pushed_right[other] + apart
            if pushed_right[block] < least:
                pushed_right[block] = least
    pushed_left = list(wish)
    for block in reversed(blocks.order):
        for other, apart in blocks.right[block]:
            most = pushed_left[other] - apart
            if pushed_left[block] > most:
                pushed_left[block] = most
    return [(a + b) / 2 for a, b in zip(pushed_right, pushed_left, strict=True)]


def _slide(blocks: _Blocks, place: list[float], *, reverse: bool) -> None:
    """Move each block within its free room to the weighted median of what it is joined to."""
    for block in reversed(blocks.order) if reverse else blocks.order:
        if not blocks.wishes[block]:
            continue
        want = _median([(place[other] + distance, w) for other, distance, w in blocks.wishes[block]])
        for other, apart in blocks.right[block]:
            want = min(want, place[other] - apart)
        for other, apart in blocks.left[block]:
            want = max(want, place[other] + apart)
        place[block] = want


def _press(blocks: _Blocks, place: list[float], *, rightwards: bool) -> None:
    """Move blocks that touch as one, where together they would rather be further on.

    A block that touches its neighbour cannot move alone, even where its wish weighs more.
    """
    sign = 1.0 if rightwards else -1.0
    ahead = blocks.right if rightwards else blocks.left
    for first in blocks.order if rightwards else reversed(blocks.order):
        pull, weight = _pull(blocks, place, first, {first})
        if pull * sign <= _TOUCH * weight:
            continue
        group, inside, looked = [first], {first}, 0
        for block in group:  # grows while it is read
            looked += len(ahead[block]) + len(blocks.wishes[block])
            if looked > _GROUP:
                break
            for other, apart in ahead[block]:
                if other not in inside and (place[other] - place[block]) * sign - apart < _TOUCH:
                    group.append(other)
                    inside.add(other)
        if len(group) == 1 or looked > _GROUP:
            continue
        pull = weight = 0.0
        slack = math.inf
        for block in group:
            more, heavier = _pull(blocks, place, block, inside)
            pull += more
            weight += heavier
            for other, apart in ahead[block]:
                if other not in inside:
                    slack = min(slack, (place[other] - place[block]) * sign - apart)
        if pull * sign > 0 and slack > 0:
            step = min(pull * sign / weight, slack) * sign
            for block in group:
                place[block] += step


def _pull(blocks: _Blocks, place: Sequence[float], block: int, inside: set[int]) -> tuple[float, float]:
    """A block's weighted wishes to move, and their weight; those inside the group do not count."""
    pull = weight = 0.0
    for other, distance, w in blocks.wishes[block]:
        if other not in inside:
            pull += w * (place[other] + distance - place[block])
            weight += w
    return pull, weight


def _median(weighted: list[tuple[float, float]]) -> float:
    """The weighted median; the mean of the two middle values where the weight splits evenly."""
    weighted.sort()
    half = 0.0
    for _, w in weighted:
        half += w / 2
    seen = 0.0
    for index, (value, w) in enumerate(weighted):
        seen += w
        if seen > half:
            return value
        if seen == half:
            return (value + weighted[index + 1][0]) / 2
    return weighted[-1][0]
