"""The ratios to the best peer, drawn: a bar for each workload on a logarithmic axis, a line at 1, its target a tick.

A bar to the right of 1 is green and means that graphc is faster; one to the left is red.  Beside the bar stands the
ratio, and who the best peer is.  Only the largest number of threads is drawn.

>>> ticks(0.3, 30.0)
[0.5, 1.0, 2.0, 5.0, 10.0, 20.0]
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from graphc.show.fonts import text_width
from graphc.show.scene import Item, Path, Rect, Scene, Text, polyline
from graphc.show.svg import to_svg
from tests.benchmarks.measure import Result
from tests.benchmarks.report import outcome

_WIDTH, _LEFT, _RIGHT, _ROW, _LINE, _BOTTOM = 820.0, 150.0, 30.0, 22.0, 18.0, 34.0
_BAR, _SIZE, _GAP = 12.0, 12.0, 6.0
_MARGIN = 1.2  # the axis goes so much further than what is on it


def ticks(low: float, high: float) -> list[float]:
    """1, 2, 5 and their decimal multiples, between."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [v for d in decades for v in (float(f"{m}e{d}") for m in (1, 2, 5)) if low <= v <= high]


def svg(results: Sequence[Result]) -> str:
    """The picture, for light and for dark paper."""
    most = max((r.threads for r in results), default=1)
    return to_svg(scene([r for r in results if r.threads == most]), prefix="benchmarks")


def scene(results: Sequence[Result]) -> Scene:
    """All results are on the same number of threads."""
    rows = [(r, r.ratio) for r in results if r.ratio]
    values = [1.0, *(q for _, q in rows), *(r.target for r, _ in rows)]
    low, high = min(0.5, min(values) / _MARGIN), max(values) * _MARGIN
    labels = max((text_width(_label(r, q), _SIZE) for r, q in rows), default=0.0)
    span = _WIDTH - _LEFT - _RIGHT - labels

    def place(value: float) -> float:
        return _LEFT + span * math.log(value / low) / math.log(high / low)

    head = _wrapped(outcome(results)) if results else ["nothing measured"]
    top = 48 + _LINE * len(head)
    bottom = top + _ROW * len(rows)
    items: list[Item] = [
        Rect(0, 0, _WIDTH, bottom + _BOTTOM, "paper"),
        Text(_GAP, 20, "graphc against the best of its peers", 15, weight="bold"),
        *(Text(_GAP, 40 + _LINE * k, line, _SIZE, "muted") for k, line in enumerate(head)),
    ]
    for value in ticks(low, high):
        one = value == 1
        line = polyline((place(value), top - _GAP), (place(value), bottom))
        items.append(Path(line, stroke="ink" if one else "const_fill", stroke_width=1.5 if one else 1))
        items.append(Text(place(value), bottom + 16, f"{value:g}×", 11, "muted", "middle"))
    for k, (result, ratio) in enumerate(rows):
        items.extend(_row(result, ratio, top + _ROW * k, place(ratio), place(1.0), place(result.target)))
    legend = "best peer's time / graphc's: to the right of 1 graphc is faster; │ the target"
    items.append(Text(_LEFT, bottom + 30, legend, 11, "muted"))
    description = "; ".join(f"{r.workload} {q:.2f}, target {r.target:g}" for r, q in rows)
    return Scene(_WIDTH, bottom + _BOTTOM + 4, tuple(items), "graphc against its peers", description)


def _wrapped(facts: Sequence[str]) -> list[str]:
    """Lines as wide as the picture allows."""
    lines = [facts[0]]
    for fact in facts[1:]:
        longer = f"{lines[-1]}, {fact}"
        if text_width(longer, _SIZE) < _WIDTH - 4 * _GAP:
            lines[-1] = longer
        else:
            lines.append(fact)
    return lines


def _label(result: Result, ratio: float) -> str:
    best = result.best_peer
    return f"{ratio:.2f}×  {best.name if best else ''}"


def _row(result: Result, ratio: float, top: float, end: float, one: float, target: float) -> Iterator[Item]:
    """A bar from 1 to the ratio, its target, and its label to the right of all that."""
    middle, base = top + _ROW / 2, top + _ROW / 2 + 4
    yield Text(_LEFT - 2 * _GAP, base, result.workload, _SIZE, anchor="end")
    left, right = min(one, end), max(one, end)
    colour = "value" if ratio >= 1 else "gradient"
    yield Rect(left, middle - _BAR / 2, max(1.0, right - left), _BAR, colour)
    yield Path(
        polyline((target, middle - _BAR / 2 - 3), (target, middle + _BAR / 2 + 3)),
        stroke="ink",
        stroke_width=2,
    )
    yield Text(
        max(right, target) + _GAP, base, _label(result, ratio), _SIZE, "ink" if ratio >= 1 else "gradient"
    )
