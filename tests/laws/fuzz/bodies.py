"""Lines with bodies: loops, branches and custom gradients, nested in one another.

Each gives (text, the names that it reads, how many results); bodies are expressions of the shape of the carry.

>>> len(BODIES) > 5
True
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from tests.laws.fuzz.grow import Grower
    from tests.laws.fuzz.operands import Entry

Made: TypeAlias = tuple[str, tuple[str, ...], int]

_UNARY = (
    "gc.tanh({})", "gc.sin({})", "gc.sigmoid({})", "gc.relu({})", "(-{})", "gc.exp(-gc.abs({}))",
    "gc.softplus({})", "(gc.sum({}) * 0.1)", "gc.stop_gradient({})", "(gc.mean({}))",
    "gc.log(1.0 + gc.square({}))",
)  # fmt: skip
_BINARY = (
    "({} + {})", "({} * {})", "({} - {})", "gc.maximum({}, {})", "gc.where({} > 0.1, {}, 0.5)",
    "({} / (1.0 + gc.abs({})))", "gc.minimum({}, {})", "gc.hypot({}, {})",
)  # fmt: skip


class _Writer:
    """Writes expressions of one shape; every placeholder has a name of its own."""

    def __init__(self, g: Grower) -> None:
        self.g, self.count = g, 0
        self.uses: dict[str, None] = {}

    def fresh(self) -> str:
        self.count += 1
        return f"{'abcdefgh'[self.count % 8]}{self.count}"

    def outside(self, like: Entry) -> str:
        """A tensor from around the body that broadcasts into the shape, or a number."""
        c = self.g.choices
        found = [
            e
            for e in self.g.entries
            if e.type.dtype is like.type.dtype and e.clean and (e.type == like.type or e.type.rank == 0)
        ]
        if not found or c.chance(20):
            return repr(c.pick((0.5, -0.25, 2.0)))
        chosen = c.pick(found[-6:])
        self.uses.setdefault(chosen.name)
        return chosen.name

    def expression(self, terms: list[str], like: Entry, depth: int) -> str:
        c = self.g.choices
        kind = c.number(0, 9)
        if depth == 0 or kind <= 1:
            return c.pick([*terms, *terms, self.outside(like)])
        if kind <= 4:
            return c.pick(_UNARY).format(self.expression(terms, like, depth - 1))
        if kind <= 8 or depth < 2:
            a, b = (self.expression(terms, like, depth - 1) for _ in range(2))
            return c.pick(_BINARY).format(a, b)
        return self.nested(terms, like, depth - 1)

    def nested(self, terms: list[str], like: Entry, depth: int) -> str:
        c, v = self.g.choices, self.fresh()
        start, body = self.filled(terms, like), self.whole([v, *terms], v, like, depth)
        kind = c.number(0, 3)
        if kind == 0:
            other = self.whole([v, *terms], v, like, depth)
            return f"gc.cond(gc.sum({start}) > 0.3, lambda {v}: {body}, lambda {v}: {other}, {start})"
        if kind == 1:
            return f"gc.scan(lambda {v}, _: ({body}, None), {start}, length={c.number(0, 3)})[0]"
        if kind == 2:
            return f"gc.sum(gc.scan(lambda {v}, _: ({body}, {v}), {start}, length={c.number(1, 3)})[1], 0)"
        k = self.fresh()
        return f"gc.scan(lambda {k}, _: ({k} * 0.5, {body.replace(v, k)}), {start}, length=2, reverse=True)[1][0]"

    def filled(self, terms: list[str], like: Entry) -> str:
        """An operand that has the whole shape: the first term, and something."""
        c = self.g.choices
        return c.pick((terms[0], f"({terms[0]} + {self.outside(like)})", f"gc.tanh({terms[0]})"))

    def whole(self, terms: list[str], carry: str, like: Entry, depth: int) -> str:
        """An expression that has the shape of the carry, whatever is in it."""
        inner = self.expression(terms, like, depth)
        return self.g.choices.pick(("gc.tanh({} + {})", "({} * 0.5 + {})", "({} * 0.25 - {})")).format(
            carry, inner
        )


def _start(g: Grower) -> Entry:
    return g.choose(lambda e: e.is_float and e.type.dtype.numpy.name == g.dtype and e.value.size <= 60)


def _scan(g: Grower) -> Made:
    w, c = _Writer(g), g.choices
    init = _start(g)
    xs = g.choose(lambda e: e.type == init.type.with_shape((*e.type.shape[:1], *init.type.shape)) or (
        init.type.rank == 0 and e.type.rank == 1 and e.type.dtype is init.type.dtype))  # fmt: skip
    a, x = w.fresh(), w.fresh()
    body = w.whole([a, x], a, init, 3)
    y = c.pick((x, f"({a} * {x})", w.whole([x, a], a, init, 2), f"gc.sum({a})"))
    flags = c.pick(("", "", ", reverse=True", ", checkpoint=True", ", checkpoint=2, reverse=True"))
    return f"gc.scan(lambda {a}, {x}: ({body}, {y}), {init.name}, {xs.name}{flags})", _names(w, init, xs), 2


def _steps(g: Grower) -> Made:
    w, c = _Writer(g), g.choices
    init = _start(g)
    a = w.fresh()
    body = w.whole([a], a, init, 3)
    y = c.pick(("None", f"gc.sum({a})", f"gc.tanh({a})"))
    length = c.pick(("0", "1", "2", "3", "5"))
    wanted = "[0]" if y == "None" else "[1]"
    return f"gc.scan(lambda {a}, _: ({body}, {y}), {init.name}, length={length}){wanted}", _names(w, init), 1


def _pair(g: Grower) -> Made:
    """A carry of two tensors and a count."""
    w = _Writer(g)
    init = _start(g)
    s = w.fresh()
    first, second = (w.whole([f"{s}[0]", f"{s}[1]"], f"{s}[0]", init, 2) for _ in range(2))
    start = f"({init.name}, {init.name} * 0.5, gc.const(0, 'int64'))"
    step = f"lambda {s}, _: (({first}, {second}, {s}[2] + 2), {s}[2])"
    return f"gc.scan({step}, {start}, length={g.choices.number(1, 4)})[0]", _names(w, init), 3


def _cond(g: Grower) -> Made:
    w, c = _Writer(g), g.choices
    init = _start(g)
    a = w.fresh()
    sides = [w.whole([a], a, init, 3) for _ in range(2)]
    test = f"gc.sum({init.name}) {c.pick('<>')} {c.pick((0.0, 1.0, -2.0))}"
    count = 2 if c.chance(30) else 1
    if count == 2:
        sides = [f"({side}, gc.sum({a}))" for side in sides]
    then, other = (f"lambda {a}: {side}" for side in sides)
    text = f"gc.cond({test}, {then}, {other}, {init.name})"
    return text, _names(w, init), count


def _while(g: Grower) -> Made:
    """No reverse mode leads through it: all that goes in is stopped."""
    w, c = _Writer(g), g.choices
    init = _start(g)
    s = w.fresh()
    body = w.whole([f"{s}[0]"], f"{s}[0]", init, 2)
    for name in w.uses:
        body = body.replace(name, f"gc.stop_gradient({name})")
    limit = c.number(0, 4)
    test = c.pick((f"{s}[1] < {limit}", f"gc.logical_and({s}[1] < {limit}, gc.sum({s}[0]) < 5.0)"))
    start = f"(gc.stop_gradient({init.name}), gc.const(0, 'int32'))"
    return f"gc.while_loop(lambda {s}: {test}, lambda {s}: ({body}, {s}[1] + 1), {start})", _names(w, init), 2


_RULES = (
    ("lambda a: gc.log(1 + gc.exp(a))", "lambda a, y, u: u * gc.sigmoid(a)", ""),
    ("lambda a: gc.sin(a) * a", "lambda a, y, u: u * (gc.cos(a) * a + gc.sin(a))", ""),
    ("lambda a: gc.tanh(a)", "lambda a, y, u: u * (1.0 - y * y)", ""),
    ("gc.round", "lambda a, y, u: u", ", deliberate='straight-through'"),
    ("lambda a: gc.relu(a)", "lambda a, y, u: gc.relu(u) * a", ", deliberate='guided'"),
    ("lambda a: a * 2.0", "lambda a, y, u: gc.clip(u, -0.5, 0.5)", ", deliberate='clipped'"),
)


def _custom(g: Grower) -> Made:
    f, rule, deliberate = g.choices.pick(_RULES)
    text, uses = g.fill(f"gc.custom_gradient({f}, {rule}{deliberate})({{n}})")
    return text, uses, 1


def _through(g: Grower) -> Made:
    text, uses = g.fill(
        g.choices.pick(("gc.straight_through(gc.round({n}), {l})", "gc.straight_through({n}, {s})"))
    )
    return text, uses, 1


def _names(w: _Writer, *entries: Entry) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*(e.name for e in entries), *w.uses]))


BODIES: tuple[Callable[[Grower], Made], ...] = (_scan, _scan, _steps, _pair, _cond, _while, _custom, _through)
