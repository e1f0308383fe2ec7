"""A random graph as a program: the leaves with their values, then lines of Python.

`F` is its floating dtype and `H` the other one, so that the same lines build its twin in float64.

>>> line = Line(("t0",), "gc.tanh(x0)", ("x0",))
>>> program = Program("float32", 2, (Leaf("x0", ("N",), "F", np.zeros(2, np.float32)),), (line,), ("t0",), ("x0",))
>>> built = program.build()
>>> built.graph.outputs[0].op.label, len(built.graph.outputs)
('tanh', 2)
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np

import graphc as gc
from graphc.ir.graph import Graph
from graphc.lang.tensor import Parameter, Tensor

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Shape: TypeAlias = tuple[int | str, ...]


@dataclass(frozen=True)
class Leaf:
    """An input, or a parameter: `dtype` is F, H, or the name of a dtype."""

    name: str
    shape: Shape
    dtype: str
    value: Array
    param: bool = False

    def text(self) -> str:
        made = f'{self.name} = gc.{"param" if self.param else "input"}("{self.name}", {self.shape!r}, {self.kind()}'
        return made + (f", init=np.array({self.value.tolist()}, {self.kind()}))" if self.param else ")")

    def kind(self) -> str:
        return self.dtype if self.dtype in "FH" else repr(self.dtype)


@dataclass(frozen=True)
class Line:
    """`names = text`, reading the names `uses`."""

    names: tuple[str, ...]
    text: str
    uses: tuple[str, ...]

    def __str__(self) -> str:
        return f"{', '.join(self.names)} = {self.text}"


@dataclass(frozen=True)
class Built:
    """What a program makes: a graph, the tensors by name, and the arguments in their order."""

    inputs: list[Tensor]
    outputs: list[Tensor]
    updates: dict[Parameter, Tensor]
    arguments: list[Array]
    names: list[str]  # of the outputs, then of the updates
    loss: Tensor | None = None

    @functools.cached_property
    def graph(self) -> Graph:
        return Graph(
            "main",
            tuple(t.node for t in self.inputs),
            tuple(t.node for t in self.outputs),
            tuple((p.node, v.node) for p, v in self.updates.items()),
        )


@dataclass(frozen=True)
class Program:
    """Lines over leaves; `outputs` and the gradients of their loss with respect to `wrt` are computed.

    `size` is that of the named dimension "N".
    """

    dtype: str
    size: int
    leaves: tuple[Leaf, ...]
    lines: tuple[Line, ...]
    outputs: tuple[str, ...]
    wrt: tuple[str, ...]
    loss: tuple[str, ...] = ()  # texts of its terms; empty: the sum of the outputs that are floats
    twin: bool = field(default=False, compare=False)

    @property
    def other(self) -> str:
        return {"float32": "float64", "float64": "float32"}[self.dtype] if not self.twin else "float64"

    def in_float64(self) -> Program:
        """The same program, all of whose floats are float64."""
        wide = {"F": "float64", "H": "float64"}
        leaves = tuple(
            replace(leaf, value=leaf.value.astype(wide.get(leaf.dtype, leaf.dtype))) for leaf in self.leaves
        )
        return replace(self, dtype="float64", leaves=leaves, twin=True)

    def terms(self) -> tuple[str, ...]:
        return tuple(f"({text})" for text in self.loss or (f"gc.sum({name})" for name in self.outputs))

    def environment(self) -> dict[str, Any]:
        return {"gc": gc, "np": np, "F": self.dtype, "H": self.other}

    def build(self) -> Built:
        """Run the lines.  Raises what they raise."""
        known = self.environment()
        inputs, arguments = [], []
        for leaf in self.leaves:
            dtype = known.get(leaf.dtype, leaf.dtype)
            if leaf.param:
                known[leaf.name] = gc.param(leaf.name, leaf.value.shape, dtype, init=leaf.value)
            else:
                known[leaf.name] = gc.input(leaf.name, leaf.shape, dtype)
                inputs.append(known[leaf.name])
                arguments.append(np.array(leaf.value))
        for line in self.lines:
            run_line(line, known)
        outputs, updates, loss = [known[name] for name in self.outputs], {}, None
        names = list(self.outputs)
        if self.wrt:
            terms = [eval(text, known) for text in self.terms()]
            loss = functools.reduce(lambda a, b: a + b, (t.astype(self.dtype) for t in terms))
            gradients = gc.grad(loss, [known[name] for name in self.wrt])
            outputs += gradients
            names += [f"d{name}" for name in self.wrt]
            for name, g in zip(self.wrt, gradients, strict=True):
                if isinstance(known[name], Parameter):
                    updates[known[name]] = known[name] - g * 0.125
        names += [f"new {p.name}" for p in updates]
        return Built(inputs, outputs, updates, arguments, names, loss)

    def source(self) -> str:
        """The program as a file that runs by itself."""
        text = ["import numpy as np", "import graphc as gc", "", f'F, H = "{self.dtype}", "{self.other}"']
        text += [leaf.text() for leaf in self.leaves]
        text += [str(line) for line in self.lines]
        inputs = [leaf for leaf in self.leaves if not leaf.param]
        params = [leaf.name for leaf in self.leaves if leaf.param and leaf.name in self.wrt]
        text.append(f"outputs = [{', '.join(self.outputs)}]")
        if self.wrt:
            text.append(f"loss = {' + '.join(f'{t}.astype(F)' for t in self.terms())}")
            text.append(f"gradients = gc.grad(loss, [{', '.join(self.wrt)}])")
            text.append("outputs += gradients")
        steps = ", ".join(f"{p}: {p} - gradients[{self.wrt.index(p)}] * 0.125" for p in params)
        text.append(f"inputs = [{', '.join(leaf.name for leaf in inputs)}]")
        text.append("arguments = [")
        for leaf in inputs:
            kind = leaf.kind()
            text.append(f"    np.array({array_text(leaf.value)}, {kind}).reshape({leaf.value.shape}),")
        text.append("]")
        text.append(
            'for options in ({"backend": "reference", "disable": PASSES}, {"backend": "reference"}, {}):'
        )
        text.append(
            f"    print(gc.compile(inputs, outputs, updates={{{steps}}}, cache=False, **options)(*arguments))"
        )
        passes = 'PASSES = ("merge", "fold", "stability", "algebra", "control", "dead", "fuse", "layout", "recompute")'
        head = ["inf, nan = np.inf, np.nan"]
        return "\n".join([*text[:3], passes, *head, *text[3:]]) + "\n"


def array_text(a: Array) -> str:
    """The elements, so that they are read back to the bit."""
    return repr(a.ravel().tolist())


def run_line(line: Line, known: dict[str, Any]) -> None:
    """Compute the names of a line."""
    made = eval(line.text, known)
    values = (made,) if len(line.names) == 1 else tuple(made)
    known.update(zip(line.names, values, strict=True))
