"""Layout, step 2: the order within each rank, with few crossings.

    before   a   b          after   b   a
              ╲ ╱                   │   │
               ╳                    │   │
              ╱ ╲                   │   │
             c   d                  c   d

Barycentre sweeps (Sugiyama, Tagawa and Toda, 1981) down and up, each followed by exchanges of neighbours
(Gansner, Koutsofios, North and Vo, "A Technique for Drawing Directed Graphs", 1993); ports count, so
operands keep their order. The best order seen is kept.  Small graphs that still cross are tried again from
shuffled starts, with a generator of our own, so that the drawing is the same everywhere.

>>> from graphc.show.layering import Box, Link, layer
>>> graph = layer([Box(1, 1)] * 4, [Link(0, 3, 0, 0, 0, 0), Link(1, 2, 0, 0, 0, 0)])
>>> graph.layers, count_crossings(graph)
([[0, 1], [2, 3]], 1)
>>> reorder(graph), graph.layers
(0, [[1, 0], [2, 3]])
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Sequence

from graphc.show.layering import Layered, Segment

_SWEEPS = 14
_PATIENCE = 4
_RESTARTS = 10
_RESTART_SIZE = 250
_WORK = 400_000


def reorder(graph: Layered) -> int:
    """Order `graph.layers` in place; returns the number of crossings that remain."""
    _depth_first(graph)
    best = _improve(graph)
    if len(graph.kind) <= _RESTART_SIZE:
        seed = 1
        for _ in range(_RESTARTS):
            if best == 0:
                break
            kept = [list(one) for one in graph.layers]
            for one in graph.layers:
                seed = _shuffle(one, seed)
            found = _improve(graph)
            if found < best:
                best = found
            else:
                graph.layers[:] = kept
    return best


def count_crossings(graph: Layered) -> int:
    """Crossings between neighbouring ranks in the present order; edges that meet at a port do not cross."""
    position = _positions(graph)
    return sum(_between(graph, rank, position) for rank in range(len(graph.layers) - 1))


def _between(graph: Layered, rank: int, position: Sequence[int]) -> int:
    ends = sorted(
        (position[s.tail] + s.tail_key, position[s.head] + s.head_key)
        for vertex in graph.layers[rank]
        for s in graph.outs[vertex]
    )
    crossings = 0
    seen: list[float] = []
    for index, (_, head) in enumerate(ends):
        crossings += index - bisect_right(seen, head)
        insort(seen, head)
    return crossings


def _positions(graph: Layered) -> list[int]:
    position = [0] * len(graph.kind)
    for one in graph.layers:
        for index, vertex in enumerate(one):
            position[vertex] = index
    return position


def _depth_first(graph: Layered) -> None:
    """Start as a tree would be drawn: from the last results back, operands in their order."""
    seen = [False] * len(graph.kind)
    order: list[list[int]] = [[] for _ in graph.layers]
    sinks = [v for one in reversed(graph.layers) for v in one if not graph.outs[v]]
    for sink in sinks:
        stack = [sink]
        while stack:
            vertex = stack.pop()
            if seen[vertex]:
                continue
            seen[vertex] = True
            order[graph.rank[vertex]].append(vertex)
            back = sorted(graph.ins[vertex], key=_head_key, reverse=True)
            stack.extend(s.tail for s in back)
    graph.layers[:] = order


def _head_key(segment: Segment) -> float:
    return segment.head_key


def _improve(graph: Layered) -> int:
    """Sweep down and up until nothing is gained; leaves the best order in `graph.layers`."""
    size = len(graph.kind) + sum(len(outs) for outs in graph.outs)
    sweeps = max(4, min(_SWEEPS, _WORK // max(1, size)))
    best = count_crossings(graph)
    kept = [list(one) for one in graph.layers]
    stale = 0
    for sweep in range(sweeps):
        if best == 0 or stale >= _PATIENCE:
            break
        downwards = sweep % 2 == 0
        indices: Iterable[int] = range(1, len(graph.layers))
        if not downwards:
            indices = range(len(graph.layers) - 2, -1, -1)
        position = _positions(graph)
        for rank in indices:
            _barycentre(graph, rank, position, downwards)
        _transpose(graph, position)
        found = count_crossings(graph)
        if found < best:
            best, kept, stale = found, [list(one) for one in graph.layers], 0
        else:
            stale += 1
    graph.layers[:] = kept
    return best


def _barycentre(graph: Layered, rank: int, position: list[int], downwards: bool) -> None:
    """Sort one layer by the mean place of its neighbours; vertices without any keep their places."""
    one = graph.layers[rank]
    keys: list[tuple[float, int]] = []
    free: list[int] = []
    for index, vertex in enumerate(one):
        total, count = 0.0, 0
        if downwards:
            for s in graph.ins[vertex]:
                total += position[s.tail] + s.tail_key - s.head_key
                count += 1
        else:
            for s in graph.outs[vertex]:
                total += position[s.head] + s.head_key - s.tail_key
                count += 1
        if count:
            keys.append((total / count, index))
            free.append(index)
    keys.sort()
    old = list(one)
    for index, (_, origin) in zip(free, keys, strict=True):
        one[index] = old[origin]
    for index, vertex in enumerate(one):
        position[vertex] = index


def _transpose(graph: Layered, position: list[int]) -> None:
    """Exchange neighbours in a layer while that removes crossings."""
    for one in graph.layers:
        above = [sorted(position[s.tail] + s.tail_key for s in graph.ins[v]) for v in one]
        below = [sorted(position[s.head] + s.head_key for s in graph.outs[v]) for v in one]
        changed = True
        rounds = 0
        while changed and rounds < 8:
            changed = False
            rounds += 1
            for i in range(len(one) - 1):
                gain = _difference(above[i], above[i + 1]) + _difference(below[i], below[i + 1])
                if gain > 0:
                    one[i], one[i + 1] = one[i + 1], one[i]
                    above[i], above[i + 1] = above[i + 1], above[i]
                    below[i], below[i + 1] = below[i + 1], below[i]
                    changed = True
        for index, vertex in enumerate(one):
            position[vertex] = index


def _difference(left: Sequence[float], right: Sequence[float]) -> int:
    """Crossings with `left` first, minus those with `right` first, for two sorted lists of far ends."""
    if not left or not right:
        return 0
    if left[-1] < right[0]:
        return -len(left) * len(right)
    if right[-1] < left[0]:
        return len(left) * len(right)
    low = high = total = 0
    for value in left:
        while low < len(right) and right[low] < value:
            low += 1
        while high < len(right) and right[high] <= value:
            high += 1
        total += low - (len(right) - high)
    return total


def _shuffle(items: list[int], seed: int) -> int:
    """Fisher-Yates with the Lehmer generator of Park, Miller and Stockmeyer (1993); returns the next seed."""
    for i in range(len(items) - 1, 0, -1):
        seed = seed * 48271 % 2147483647
        j = seed % (i + 1)
        items[i], items[j] = items[j], items[i]
    return seed
