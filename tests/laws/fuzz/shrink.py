"""A smaller program that goes wrong in the same way: outputs, gradients and lines go while the finding stays.

A line is cut by making its results inputs that hold the values which it computed.

>>> from tests.laws.fuzz.choices import Seeded
>>> from tests.laws.fuzz.grow import grow
>>> long = grow(Seeded(3))
>>> len(shrink(long, lambda p: "gc." in p.source()).lines) <= 1
True
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

import graphc as gc
from graphc.ir.evaluate import evaluate_nodes
from graphc.ir.node import Node, toposort
from tests.laws.fuzz.program import Array, Leaf, Program, run_line

Fails = Callable[[Program], bool]
MOST_TRIES = 400


def shrink(program: Program, fails: Fails, tries: int = MOST_TRIES) -> Program:
    """The smallest program that is found within so many tries."""
    current, left, changed = program, tries, True
    while changed and left > 0:
        changed = False
        for candidate in _smaller(current):
            left -= 1
            if left <= 0:
                break
            try:
                failing = fails(candidate)
            except Exception:
                failing = False
            if failing:
                current, changed = candidate, True
                break
    return current


def _smaller(p: Program) -> Iterator[Program]:
    """Programs with less in them, the boldest first."""
    if len(p.outputs) > 1:
        for name in p.outputs:
            yield tidy(replace(p, outputs=(name,), loss=(f"gc.sum({name})",) if p.loss else ()))
    for line in p.lines[:-1]:  # something earlier may go wrong already
        for name in line.names:
            if p.outputs != (name,):
                yield tidy(replace(p, outputs=(name,), loss=(f"gc.sum({name})",) if p.loss else ()))
    if p.wrt:
        yield tidy(replace(p, wrt=(), loss=()))
    if len(p.wrt) > 1:
        for name in p.wrt:
            yield tidy(replace(p, wrt=(name,)))
    values = _values(p)
    count = len(p.lines)
    for block in (max(1, count // 2), max(1, count // 4), 1):
        for first in range(0, count, block):
            if len(made := _without(p, range(first, min(first + block, count)), values)):
                yield made[0]
    for k, leaf in enumerate(p.leaves):
        for value in (np.zeros_like(leaf.value), np.ones_like(leaf.value), np.round(leaf.value * 2) / 2):
            value = value.astype(leaf.value.dtype)
            if not np.array_equal(value, leaf.value) and np.abs(value).sum() <= np.abs(leaf.value).sum():
                yield replace(p, leaves=(*p.leaves[:k], replace(leaf, value=value), *p.leaves[k + 1 :]))
        if leaf.param:
            yield replace(p, leaves=(*p.leaves[:k], replace(leaf, param=False), *p.leaves[k + 1 :]))


def _values(p: Program) -> dict[str, tuple[Any, Array]]:
    """What each name of a program is, and its value."""
    known, values = p.environment(), dict[Node, Array]()
    for leaf in p.leaves:
        dtype = known.get(leaf.dtype, leaf.dtype)
        known[leaf.name] = gc.input(leaf.name, leaf.value.shape if leaf.param else leaf.shape, dtype)
        values[known[leaf.name].node] = leaf.value
    names = [leaf.name for leaf in p.leaves]
    for line in p.lines:
        run_line(line, known)
        names += line.names
    tensors = {name: known[name] for name in names}
    found = evaluate_nodes(toposort([t.node for t in tensors.values()]), values, {"N": p.size})
    return {name: (t, found[t.node]) for name, t in tensors.items()}


def _without(p: Program, cut: range, values: dict[str, tuple[Any, Array]]) -> list[Program]:
    """The program whose lines of a range are inputs instead; none where one of them has no plain shape."""
    leaves = list(p.leaves)
    for k in cut:
        for name in p.lines[k].names:
            tensor, value = values[name]
            shape = tuple(d if isinstance(d, int) else str(d) for d in tensor.shape)
            if any(isinstance(d, str) and d != "N" for d in shape):
                return []
            dtype = value.dtype.name
            kind = {p.dtype: "F", p.other: "H"}.get(dtype, dtype)
            leaves.append(Leaf(name, shape, kind, value))
    lines = tuple(line for k, line in enumerate(p.lines) if k not in cut)
    made = tidy(replace(p, leaves=tuple(leaves), lines=lines))
    return [made] if len(made.lines) < len(p.lines) else []


def tidy(p: Program) -> Program:
    """Without lines and leaves that no output needs; the gradient is by the leaves that are left."""
    texts = [*p.outputs, *p.loss]
    kept = []
    for line in reversed(p.lines):
        if any(_speaks(text, name) for text in texts for name in line.names):
            kept.append(line)
            texts.append(line.text)
    leaves = tuple(leaf for leaf in p.leaves if any(_speaks(text, leaf.name) for text in texts))
    names = {leaf.name for leaf in leaves}
    floats = tuple(leaf.name for leaf in leaves if leaf.dtype in "FH")
    sized = any("N" in leaf.shape for leaf in leaves)
    if not sized and any("N" in leaf.shape for leaf in p.leaves):
        leaves += tuple(leaf for leaf in p.leaves if "N" in leaf.shape)[:1]
    wrt = tuple(name for name in p.wrt if name in names) or floats if p.wrt else ()
    return replace(p, lines=tuple(reversed(kept)), leaves=leaves, wrt=wrt, loss=p.loss if wrt else ())


def _speaks(text: str, name: str) -> bool:
    """Whether a text has a name in it, as a word."""
    at = text.find(name)
    while at >= 0:
        end = at + len(name)
        if not (text[end : end + 1].isalnum() or (text[at - 1 : at].isalnum() and at)):
            return True
        at = text.find(name, at + 1)
    return False
