"""Grows a random program line by line, and looks at the value of each line before it stays.

A template such as `gc.log({p})` has slots; each slot is filled by a tensor that fits:

| slot                    | is filled by                                                                     |
|-------------------------|----------------------------------------------------------------------------------|
| `f` `n` `u` `p` `g` `z` | a float: any; of size ≤ 6; in (-1, 1); positive; above 1; away from 0            |
| `i` `b` `a`             | an integer, a truth value, anything                                              |
| `…1` `…2` `…3` `…4`     | the same, with that many axes or more                                            |
| `e…`                    | the same, and it broadcasts with the operand before                              |
| `s`                     | shape and dtype of the operand before                                            |
| `l` `m`                 | the operand before again; the first operand again                                |
| `ax` `axs` `kd`         | an axis of the operand before; axes or None; keepdims                            |
| `c` `k` `lit`           | a small float, a small whole number, a number at an edge                         |

What a line computes is found by the reference: a line whose result overflows, is NaN or is too large mostly goes.

>>> from tests.laws.fuzz.choices import Seeded
>>> program = grow(Seeded(1))
>>> len(program.lines) > 0
True
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import graphc as gc
from graphc.errors import GraphcError
from graphc.ir.dims import evaluate
from graphc.ir.evaluate import evaluate_nodes
from graphc.ir.node import Node, toposort
from graphc.ir.types import TensorType, broadcast_shapes
from graphc.lang.tensor import Tensor
from graphc.ops.leaves import Const, Extent, Iota
from graphc.ops.reduce import Arg, Reduce
from graphc.ops.views import Expand, Slice
from tests.laws.fuzz.bodies import BODIES
from tests.laws.fuzz.choices import Choices
from tests.laws.fuzz.program import Array, Leaf, Line, Program, Shape, run_line
from tests.laws.fuzz.templates import TEMPLATES

MOST_OPS = 200
MOST_ELEMENTS = 400
LARGEST = 1e4
SIZES = (*((1, 4),) * 6, *((2, 6),) * 6, *((3, 9),) * 4, *((6, 14),) * 2, (10, 25), (25, 60))
"""How many lines a program has; mostly few, because what goes wrong goes wrong in few."""

_DOMAINS: dict[str, tuple[Callable[[Array], Any], str]] = {
    "f": (lambda v: True, "{}"),
    "n": (lambda v: np.all(np.abs(v) <= 6), "gc.tanh({}) * 3"),
    "u": (lambda v: np.all(np.abs(v) < 0.95), "gc.sin({}) * 0.9"),
    "p": (lambda v: np.all((v >= 1e-3) & (v < 1e3)), "gc.abs({}) + 0.5"),
    "g": (lambda v: np.all((v >= 1.01) & (v < 1e3)), "gc.softplus({}) + 1.25"),
    "z": (lambda v: np.all(np.abs(v) >= 1e-2), "gc.square({}) + 0.5"),
}
_CONSTANTS = (0.5, 2.0, 1.0, -1.0, 0.0, 3.0, 0.1, -0.7, 1.5, -2.0)
_EDGES = ("0.0", "-0.0", "1.0", "-1.0", "1e-30", "1e30", "1e-3", "88.0", "-90.0")
_SLOT = re.compile(r"\{(\w+)\}")


class Misfit(Exception):
    """No tensor fits a slot."""


@dataclass(frozen=True)
class Entry:
    name: str
    tensor: Tensor
    value: Array

    @property
    def type(self) -> TensorType:
        return self.tensor.node.type

    @property
    def is_float(self) -> bool:
        return self.type.dtype.is_float

    @property
    def clean(self) -> bool:
        return not self.is_float or bool(np.all(np.isfinite(self.value)))


class Grower:
    """The state of a program that grows."""

    def __init__(self, choices: Choices) -> None:
        self.choices = choices
        self.dtype = choices.pick(("float32", "float32", "float64"))
        self.size = choices.pick((3, 2, 5, 4, 1, 0))
        self.sizes: list[int | str] = [choices.pick((2, 3, 4, 5, 1, "N", "N", 7, 17)) for _ in range(3)]
        if choices.chance(4):
            self.sizes[0] = 0
        self.leaves: list[Leaf] = []
        self.lines: list[Line] = []
        self.entries: list[Entry] = []
        self.values: dict[Node, Array] = {}
        self.known = Program(self.dtype, 0, (), (), (), ()).environment()
        self.used: set[str] = set()
        self.rejected = 0

    # ---- leaves ----------------------------------------------------------------------------------------------

    def leaf(self, shape: Shape | None = None, dtype: str = "F", param: bool = False) -> Entry:
        """A new input or parameter with a value."""
        c = self.choices
        if shape is None:
            shape = tuple(self.sizes[k] for k in range(3) if c.chance(45))
        if param:
            shape = tuple(self.size if d == "N" else d for d in shape)
        concrete = tuple(self.size if d == "N" else int(d) for d in shape)
        name = f"{'w' if param else 'x'}{len(self.leaves)}"
        kind = {"F": self.dtype, "H": self.known["H"]}.get(dtype, dtype)
        value = self.array(concrete, kind)
        found = Leaf(name, shape, dtype, value, param)
        self.leaves.append(found)
        if param:
            self.known[name] = gc.param(name, concrete, kind, init=value)
        else:
            self.known[name] = gc.input(name, shape, kind)
        tensor = self.known[name]
        self.values[tensor.node] = value
        self.entries.append(Entry(name, tensor, value))
        return self.entries[-1]

    def array(self, shape: tuple[int, ...], dtype: str) -> Array:
        c = self.choices
        rng = np.random.default_rng(c.number(0, 999))
        if dtype == "bool":
            return rng.random(shape) < 0.5
        if dtype.startswith("int"):
            low, high = c.pick(((0, 4), (-5, 6), (-100, 100), (1, 3)))
            return rng.integers(low, high, shape).astype(dtype)
        style = c.pick(("normal", "halves", "wide", "edges", "positive"))
        if style == "halves":
            return (rng.integers(-4, 5, shape) / 2).astype(dtype)
        if style == "edges":
            edges = np.array([0.0, -0.0, 1.0, -1.0, 0.5, 2.0, -3.0, 1e-6])
            return rng.choice(edges, shape).astype(dtype)
        if style == "positive":
            return rng.uniform(0.1, 3.0, shape).astype(dtype)
        return (rng.normal(size=shape) * (4 if style == "wide" else 1)).astype(dtype)

    # ---- operands --------------------------------------------------------------------------------------------

    def choose(self, fits: Callable[[Entry], bool]) -> Entry:
        """One of the entries that fit, mostly a late one."""
        dirty = self.choices.chance(3)
        found = [e for e in self.entries if (dirty or e.clean) and fits(e)]
        if not found:
            raise Misfit
        if len(found) > 5 and self.choices.chance(50):
            found = found[-5:]
        return self.choices.pick(found)

    def fill(self, template: str, start: Entry | None = None) -> tuple[str, tuple[str, ...]]:
        """The text of a template with its slots filled, and the names that it reads."""
        uses: dict[str, None] = {}
        last = start
        first: str | None = None

        def slot(m: re.Match[str]) -> str:
            nonlocal last, first
            key = m[1]
            simple = self.constant(key, last)
            if simple is not None:
                return simple
            if key == "l":
                assert last is not None
                return last.name
            if key == "m":
                assert first is not None
                return first
            entry, text = self.operand(key, last)
            last = entry
            if first is None:
                first = text
            uses.setdefault(entry.name)
            return text

        text = _SLOT.sub(slot, template)
        return text, tuple(uses)

    def constant(self, key: str, last: Entry | None) -> str | None:
        c = self.choices
        if key == "c":
            return repr(c.pick(_CONSTANTS))
        if key == "lit":
            return c.pick(_EDGES)
        if key == "k":
            return str(c.number(1, 3))
        if key == "kd":
            return str(c.chance(50))
        if key in ("ax", "axs"):
            rank = last.type.rank if last is not None else 0
            if rank == 0:
                raise Misfit
            axis = c.number(-rank, rank - 1)
            if key == "axs" and c.chance(60):
                return c.pick(
                    ("None", f"({axis},)", f"({axis}, {(axis + 1) % rank})" if rank > 1 else "None")
                )
            return str(axis)
        return None

    def operand(self, key: str, last: Entry | None) -> tuple[Entry, str]:
        fellow = key[0] == "e"
        kind, rank = key[fellow : fellow + 1], int(key[-1]) if key[-1].isdigit() else 0

        def fits(e: Entry) -> bool:
            if e.type.rank < rank:
                return False
            if kind == "s":
                return last is not None and e.type == last.type
            if kind == "x" and not (e.name[0] == "x" and e.is_float):
                return False
            if kind == "i" and not e.type.dtype.is_integer:
                return False
            if kind == "b" and e.type.dtype.value != "bool":
                return False
            if kind in _DOMAINS and not e.is_float:
                return False
            return not fellow or last is None or _broadcasts(e, last)

        try:
            found = self.choose(fits)
        except Misfit:
            return self.made(kind, rank, last if fellow or kind == "s" else None)
        if kind in _DOMAINS:
            inside, wrap = _DOMAINS[kind]
            with np.errstate(all="ignore"):
                bad = not inside(found.value)
            if bad and not self.choices.chance(3):
                return found, f"({wrap.format(found.name)})"
        return found, found.name

    def made(self, kind: str, rank: int, last: Entry | None) -> tuple[Entry, str]:
        """A new leaf for a slot that nothing fits."""
        if len(self.leaves) > 8:
            raise Misfit
        if last is not None:
            shape: Shape | None = tuple(str(d) if not isinstance(d, int) else d for d in last.type.shape)
            if any(isinstance(d, str) and d != "N" for d in shape):
                raise Misfit
        else:
            shape = None
            for _ in range(4):
                shape = tuple(
                    self.choices.pick(self.sizes) for _ in range(max(rank, self.choices.number(0, 2)))
                )
                if np.prod([self.size if d == "N" else d for d in shape]) <= MOST_ELEMENTS / 4:
                    break
        dtype = {"i": self.choices.pick(("int32", "int64")), "b": "bool"}.get(kind, "F")
        found = self.leaf(shape, dtype)
        if kind in _DOMAINS and kind != "f" and not _DOMAINS[kind][0](found.value):
            return found, f"({_DOMAINS[kind][1].format(found.name)})"
        return found, found.name

    # ---- lines -----------------------------------------------------------------------------------------------

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


def _broadcasts(a: Entry, b: Entry) -> bool:
    try:
        broadcast_shapes(a.type.shape, b.type.shape)
    except GraphcError:
        return False
    return True


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
