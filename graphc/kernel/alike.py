"""Level 5, kernels that are alike: the same but for their names, and for the graph nodes that they serve.

The blocks of a deep network are alike, so what is found out about one (that it verifies, its schedule, its
machine code) holds for all.  `Form` is a kernel without what tells it from others like it: its name is `k`, its
buffers are `§0§`, `§1§`, ... in the order of the text, and its nodes are slots of a block.

>>> from graphc.kernel.ir import DType, Parameter, Store, Literal
>>> def fill(kernel: str, name: str) -> Kernel:
...     x = Buffer(name, DType.F32, ())
...     return Kernel(kernel, (Parameter(x, "out"),), (Store(x, (), Literal(1.0, DType.F32)),))
>>> a, b = Form.of(fill("k0", "x")), Form.of(fill("k1", "y"))
>>> a.key == b.key, a.names, b.names
(True, ('x',), ('y',))
>>> print(b.restore(a.kernel, "k1"))
kernel k1(y: f32[] out)
  store y[], 1.0
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from graphc.ir.block import slot
from graphc.ir.node import Node
from graphc.ir.types import DType, TensorType
from graphc.kernel.ir import (
    Accumulate,
    Alloc,
    Buffer,
    For,
    Kernel,
    Let,
    LetIndex,
    Load,
    Nodes,
    Parameter,
    Stmt,
    Store,
    walk,
)

_TOKEN = re.compile("§([0-9]+)§")  # no name has this sign
_NODE_TYPE = TensorType(DType.BOOL, ())


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    """A kernel without its names: `names[k]` is the buffer `§k§`, `nodes[k]` the node that slot k stands for.

    Kernels with the same `key` are alike.
    """

    kernel: Kernel
    key: str
    names: tuple[str, ...]
    nodes: Nodes

    @staticmethod
    def of(kernel: Kernel) -> Form:
        names: dict[str, str] = {}
        nodes: dict[Node, int] = {}
        pattern: list[str] = []

        def title(name: str) -> str:
            return names.setdefault(name, f"§{len(names)}§")

        def numbered(served: Nodes) -> Nodes:
            numbers = [nodes.setdefault(n, len(nodes)) for n in served]
            pattern.append(",".join(map(str, numbers)))
            return tuple(_slot(k) for k in numbers)

        bare = _renamed(kernel, "k", title, numbered)
        return Form(bare, f"{bare}\n{';'.join(pattern)}", tuple(names), tuple(nodes))

    def restore(self, kernel: Kernel, name: str) -> Kernel | None:
        """The names and nodes of this form, given to a kernel that was made of the form's kernel.

        A buffer that is new in the kernel is called after what it was made of: `W_panels`.  None where a loop or
        a temporary of the kernel has the name that a buffer would get.
        """
        taken = set(self.names)
        held: dict[str, str] = {}

        def title(name: str) -> str:
            if name not in held:
                own = base = self.text(name)
                if name not in {f"§{k}§" for k in range(len(self.names))}:
                    count = 1
                    while own in taken:
                        count += 1
                        own = f"{base}_{count}"
                    taken.add(own)
                held[name] = own
            return held[name]

        def own(served: Nodes) -> Nodes:
            return tuple(self.nodes[n.op.index] for n in served)  # type: ignore[attr-defined]

        restored = _renamed(kernel, name, title, own)
        return None if any(n in taken for n in _other_names(kernel)) else restored

    def text(self, about: str) -> str:
        """A text that speaks of buffers of the form's kernel, with their names: `stage §1§` → `stage W`."""
        return _TOKEN.sub(lambda found: self.names[int(found[1])], about)


def _slot(k: int) -> Node:
    if k >= len(_slots):
        _slots.extend(slot(j, _NODE_TYPE) for j in range(len(_slots), k + 1))
    return _slots[k]


_slots: list[Node] = []


def _renamed(
    kernel: Kernel, name: str, title: Callable[[str], str], serves: Callable[[Nodes], Nodes]
) -> Kernel:
    """The kernel with its buffers and nodes replaced, which are asked for in the order of the text."""
    make = _Renaming(title, serves)
    nodes = serves(kernel.nodes)
    parameters = tuple(Parameter(make.buffer(p.buffer), p.access) for p in kernel.parameters)
    return Kernel(name, parameters, make.body(kernel.body), nodes)


class _Renaming:
    """Makes statements again.  (No closures: those that call themselves are garbage that only a collection finds,
    with all that they hold, and there is none while a program is compiled.)"""

    def __init__(self, title: Callable[[str], str], serves: Callable[[Nodes], Nodes]) -> None:
        self._title, self._serves = title, serves
        self._buffers: dict[int, tuple[Buffer, Buffer]] = {}  # by identity, and the old one is kept alive

    def buffer(self, b: Buffer) -> Buffer:
        found = self._buffers.get(id(b))
        if found is None:
            found = self._buffers[id(b)] = (b, Buffer(self._title(b.name), b.dtype, b.shape, b.space))
        return found[1]

    def body(self, stmts: tuple[Stmt, ...]) -> tuple[Stmt, ...]:
        return tuple([self.statement(s) for s in stmts])

    def statement(self, s: Stmt) -> Stmt:
        nodes = self._serves(s.nodes)
        match s:
            case Load():
                return Load(s.temp, self.buffer(s.buffer), s.index, nodes)
            case Let():
                return Let(s.temp, s.prim, s.args, nodes)
            case Store():
                return Store(self.buffer(s.buffer), s.index, s.value, nodes)
            case Accumulate():
                return Accumulate(self.buffer(s.buffer), s.index, s.op, s.args, nodes)
            case For():
                return For(s.var, s.lo, s.hi, self.body(s.body), s.kind, s.lanes, nodes)
            case Alloc():
                return Alloc(self.buffer(s.buffer), nodes)
            case LetIndex():
                return LetIndex(s.temp, s.index, nodes)


def _other_names(kernel: Kernel) -> Iterator[str]:
    """The names of loops and temporaries."""
    for s in walk(kernel.body):
        if isinstance(s, For):
            yield s.var
        elif isinstance(s, Load | Let | LetIndex):
            yield s.temp.name
