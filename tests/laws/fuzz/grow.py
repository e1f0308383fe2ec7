"""Grows a random program line by line, and looks at the value of each line before it stays.

What a line computes is found by the reference: a line whose result overflows, is NaN or is too large mostly goes.

>>> from tests.laws.fuzz.choices import Seeded
>>> program = grow(Seeded(1))
>>> len(program.lines) > 0
True
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphc.errors import GraphcError
from graphc.ir.dims import evaluate
from graphc.ir.evaluate import evaluate_nodes
from graphc.ir.node import Node, toposort
from graphc.ops.leaves import Const, Extent, Iota
from graphc.ops.reduce import Arg, Reduce
from graphc.ops.views import Expand, Slice
from tests.laws.fuzz.bodies import BODIES
from tests.laws.fuzz.choices import Choices
from tests.laws.fuzz.operands import MOST_ELEMENTS, Entry, Misfit, Operands
from tests.laws.fuzz.program import Array, Line, Program, run_line
from tests.laws.fuzz.templates import TEMPLATES

MOST_OPS = 200
LARGEST = 1e4
SIZES = (*((1, 4),) * 6, *((2, 6),) * 6, *((3, 9),) * 4, *((6, 14),) * 2, (10, 25), (25, 60))
"""How many lines a program has; mostly few, because what goes wrong goes wrong in few."""


class Grower(Operands):
    """The state of a program that grows."""

    def __init__(self, choices: Choices) -> None:
        super().__init__(choices)
        self.lines: list[Line] = []
        self.used: set[str] = set()

    def step(self) -> bool:
        """Try to add a line."""
        c = self.choices
        try:
            if c.chance(6):
                text, uses, count = c.pick(BODIES)(self)
            else:
                group = c.pick(TEMPLATES)
                template = c.pick(group)
                count = 1
                if template[1] == " ":
                    count, template = int(template[0]), template[2:]
                text, uses = self.fill(template)
        except Misfit:
            return False
        return self.add(text, uses, count)

    def add(self, text: str, uses: tuple[str, ...], count: int = 1) -> bool:
        """A line, if what it computes is good to have."""
        at = sum(len(line.names) for line in self.lines)
        line = Line(tuple(f"t{at + k}" for k in range(count)), text, uses)
        try:
            run_line(line, self.known)
        except GraphcError:
            return False
        made = [self.known[name] for name in line.names]
        order = toposort([t.node for t in made], lambda n: n not in self.values)
        order = [n for n in order if n not in self.values]
        dims = {"N": self.size}
        if any(_elements(n, dims) > MOST_ELEMENTS for n in order):
            return False
        if undefined(order, dims):
            return False
        values = evaluate_nodes(order, self.values, dims)
        results = [values[t.node] for t in made]
        if not all(self.welcome(v) for v in results):
            return False
        self.values.update((n, values[n]) for n in order)
        self.lines.append(line)
        self.used.update(uses)
        self.entries += [Entry(n, t, v) for n, t, v in zip(line.names, made, results, strict=True)]
        return True

    def welcome(self, value: Array) -> bool:
        if value.dtype.kind != "f":
            return True
        finite = np.isfinite(value)
        if not np.all(finite) and not self.choices.chance(4):
            return False
        return bool(np.all(np.abs(value[finite]) <= LARGEST))

    @property
    def operations(self) -> int:
        quiet = (Const, Expand, Extent, Iota)
        return sum(not isinstance(n.op, quiet) and bool(n.src) for n in self.values)


def _elements(n: Node, dims: dict[str, int]) -> int:
    return int(np.prod([evaluate(d, dims) for d in n.type.shape])) if n.type.shape else 1


def undefined(nodes: Sequence[Node], dims: dict[str, int]) -> bool:
    """Whether a node asks for what is not there at this size of N: x[-1], x[2:] or argmax of too few elements."""
    for n in nodes:
        if isinstance(n.op, Arg | Reduce) and any(evaluate(d, dims) == 0 for d in n.src[0].type.shape):
            return True
        if isinstance(n.op, Slice):
            for start, step, size, d in zip(
                n.op.starts, n.op.steps, n.op.shape, n.src[0].type.shape, strict=True
            ):
                first, count = evaluate(start, dims), evaluate(size, dims)
                places = (first, first + step * (count - 1))
                if count < 0 or (count and not all(0 <= p < evaluate(d, dims) for p in places)):
                    return True
    return False


_LOSSES = (
    "gc.sum({})", "gc.sum(gc.sin({}))", "gc.mean({}) * 0.5", "gc.sum(gc.square({})) * 0.25",
    "gc.sum({} * 0.3 + gc.tanh({}))",
)  # fmt: skip


def grow(choices: Choices, lines: int | None = None) -> Program:
    """A random program."""
    g = Grower(choices)
    for _ in range(choices.number(1, 3)):
        g.leaf()
    if choices.chance(20):
        g.leaf(param=True)
    if choices.chance(30):
        g.leaf(dtype=choices.pick(("int32", "int64", "bool", "H")))
    if lines is None:
        low, high = choices.pick(SIZES)
        lines = choices.number(low, high)
        if choices.chance(1):
            lines = 120
    attempts = 0
    while len(g.lines) < lines and attempts < 4 * lines + 20 and g.operations < MOST_OPS:
        attempts += 1
        g.step()
    return finish(g)


def finish(g: Grower) -> Program:
    """Outputs, and the gradients of a loss of them."""
    c = g.choices
    inner = [e for e in g.entries if e.name.startswith("t")]
    ends = [e for e in inner if e.name not in g.used][-6:] or g.entries[-1:]
    if inner and c.chance(30):
        ends.append(c.pick(inner))
    ends = list({e.name: e for e in ends}.values())
    roots = [e for e in ends if e.is_float and e.clean]
    wrt: tuple[str, ...] = ()
    loss: tuple[str, ...] = ()
    if roots:
        reached = set(toposort([e.tensor.node for e in roots]))
        leaves = [e for e in g.entries if e.name[0] in "xw" and e.is_float and e.tensor.node in reached]
        inside = [e for e in inner if e.is_float and e.tensor.node in reached]
        wrt = tuple(e.name for e in leaves[:4])
        if wrt and inside and c.chance(10):
            wrt = (*wrt, c.pick(inside).name)  # a gradient by a node inside
        if c.chance(20):
            wrt = ()  # values alone are cheaper
        if wrt:
            loss = tuple(c.pick(_LOSSES).replace("{}", e.name) for e in roots)
    return Program(
        g.dtype, g.size, tuple(g.leaves), tuple(g.lines), tuple(e.name for e in ends),
        tuple(dict.fromkeys(wrt)), loss,
    )  # fmt: skip
