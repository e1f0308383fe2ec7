"""The operands of a random program: its leaves, and how the slots of a template are filled.

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

>>> from tests.laws.fuzz.choices import Seeded
>>> operands = Operands(Seeded(1))
>>> operands.leaf(("N", 2)).name, operands.fill("gc.tanh({f2})")
('x0', ('gc.tanh(x0)', ('x0',)))
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import graphc as gc
from graphc.errors import GraphcError
from graphc.ir.node import Node
from graphc.ir.types import TensorType, broadcast_shapes
from graphc.lang.tensor import Tensor
from tests.laws.fuzz.choices import Choices
from tests.laws.fuzz.program import Array, Leaf, Program, Shape

MOST_LEAVES = 8
MOST_ELEMENTS = 400

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
_SIZES: tuple[int | str, ...] = (2, 3, 4, 5, 1, "N", "N", 7, 17)
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


class Operands:
    """The values that a program has so far, by name."""

    def __init__(self, choices: Choices) -> None:
        self.choices = choices
        self.dtype = choices.pick(("float32", "float32", "float64"))
        self.size = choices.pick((3, 2, 5, 4, 1, 0))
        self.sizes: list[int | str] = [choices.pick(_SIZES) for _ in range(3)]
        if choices.chance(4):
            self.sizes[0] = 0
        self.leaves: list[Leaf] = []
        self.entries: list[Entry] = []
        self.values: dict[Node, Array] = {}
        self.known = Program(self.dtype, 0, (), (), (), ()).environment()

    # ---- leaves ----------------------------------------------------------------------------------------------

    def leaf(self, shape: Shape | None = None, dtype: str = "F", param: bool = False) -> Entry:
        """A new input or parameter with a value."""
        c = self.choices
        if shape is None:
            shape = tuple(self.sizes[k] for k in range(3) if c.chance(45))
        if param:
            shape = self.concrete(shape)
        concrete = self.concrete(shape)
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

    def shape(self, rank: int) -> Shape:
        """A shape of the program's sizes, and not too large."""
        for _ in range(4):
            shape = tuple(self.choices.pick(self.sizes) for _ in range(rank))
            if math.prod(self.concrete(shape)) <= MOST_ELEMENTS / 4:
                break
        return shape

    def concrete(self, shape: Shape) -> tuple[int, ...]:
        return tuple(self.size if d == "N" else int(d) for d in shape)

    def made(self, kind: str, rank: int, last: Entry | None) -> tuple[Entry, str]:
        """A new leaf for a slot that nothing fits."""
        if len(self.leaves) > MOST_LEAVES:
            raise Misfit
        if last is not None:
            shape: Shape = tuple(str(d) if not isinstance(d, int) else d for d in last.type.shape)
            if any(isinstance(d, str) and d != "N" for d in shape):
                raise Misfit
        else:
            shape = self.shape(max(rank, self.choices.number(0, 2)))
        dtype = {"i": self.choices.pick(("int32", "int64")), "b": "bool"}.get(kind, "F")
        found = self.leaf(shape, dtype)
        if kind in _DOMAINS and kind != "f" and not _DOMAINS[kind][0](found.value):
            return found, f"({_DOMAINS[kind][1].format(found.name)})"
        return found, found.name


def _broadcasts(a: Entry, b: Entry) -> bool:
    try:
        broadcast_shapes(a.type.shape, b.type.shape)
    except GraphcError:
        return False
    return True
