"""Whole compiled functions in the cache: what running needs is kept, all else is made when somebody asks for it.

```
entry   ::= length header code constant*      the length of the header, as 8 bytes; the code of the back end
header  ::= JSON: buffers, steps without their kernels, layout, and what the back end wants to know again
```

The key names everything that the machine code depends on: the graph, node by node; the options; the settings; the
sources of graphc and of the back end; the machine.  So an entry is never stale, and a function from the cache
has the same bits as one that was compiled.  Where the sources changed since they were imported nothing is kept.

>>> from graphc.kernel.program import ProgramBuffer
>>> from graphc.ir.types import DType
>>> program = Program("p", (ProgramBuffer("c", DType.F32, (2,), "const", np.ones(2, "f4")),), ())
>>> entry = packed(Graph("p", (), ()), program, Layout((), (), ()), {"scratch": 0}, b"code")
>>> found = unpacked(Graph("p", (), ()), entry)
>>> found.program.buffers[0].value, found.about, found.code
(array([1., 1.], dtype=float32), {'scratch': 0}, b'code')
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from graphc.config import setting
from graphc.ir.dims import Dim, Index, parse
from graphc.ir.graph import Graph
from graphc.ir.types import printed_dtype
from graphc.kernel.assemble import Layout
from graphc.kernel.ir import Kernel
from graphc.kernel.program import Branch, Call, Loop, Program, ProgramBuffer, Repeat, Step
from graphc.ops.leaves import Param
from graphc.passes.log import Log
from graphc.runtime.caller import Compiled
from graphc.runtime.function import Function

_IMPORTED_NS = time.time_ns()
_CONSTANTS_LIMIT = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Kept:
    """What an entry holds."""

    program: Program  # its kernels have names, but neither parameters nor statements
    layout: Layout
    about: Mapping[str, Any]  # for the back end
    code: bytes


class KeptFunction(Function):
    """A function that was found in the cache: its levels are made when somebody asks for one."""

    _levels: Callable[[], tuple[Graph, Log, Compiled]]

    def __new__(
        cls,
        graph: Graph,
        running: Compiled,
        levels: Callable[[], tuple[Graph, Log, Compiled]],
        *,
        backend: str,
        stages: tuple[str, ...],
        single: bool,
    ) -> Self:
        self = super().__new__(
            cls, graph, graph, Log(), backend=backend, stages=stages, single=single, compiled=running
        )
        del self.optimized, self.log, self._compiled
        self._levels = levels
        return self

    def __getattr__(self, name: str) -> Any:
        if name not in ("optimized", "log", "_compiled"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        self.optimized, self.log, self._compiled = self._levels()
        return self.__dict__[name]


def key(graph: Graph, *options: object) -> str | None:
    """The name of a graph's entry; None where the sources are not those that were imported.

    Equal leaves may be two nodes (parameters of the same name), so operands are numbers, not digests.
    """
    sources = _sources()
    if sources is None:
        return None
    number = graph.numbers
    lines = [f"{n.digest}{[number[s] for s in n.src]}" for n in graph.nodes]
    roots = (graph.inputs, graph.outputs, *graph.updates)
    lines += [str([number[n] for n in nodes]) for nodes in roots]
    lines += map(repr, (graph.name, graph.output_names, setting("GRAPHC_VERIFY"), *options))
    lines += [sys.version, np.__version__, sources]
    return "f" + hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _sources() -> str | None:
    """All files of the packages graphc and graphc_*, by name, size and time; None where one is newer than this
    process."""
    modules = [
        module
        for name, module in list(sys.modules.items())
        if name == "graphc" or (name.startswith("graphc_") and "." not in name)
    ]
    found: list[str] = []
    for top in sorted(os.path.dirname(m.__file__) for m in modules if m.__file__ is not None):
        for path, about in _files(top):
            if about.st_mtime_ns > _IMPORTED_NS:
                return None
            found.append(f"{path} {about.st_size} {about.st_mtime_ns}")
    return "\n".join(sorted(found))


def _files(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    stack = [folder]
    while stack:
        for entry in os.scandir(stack.pop()):
            if entry.name.endswith(".py"):
                yield entry.path, entry.stat()
            elif "." not in entry.name and entry.name != "__pycache__" and entry.is_dir():
                stack.append(entry.path)


def packed(
    graph: Graph, program: Program, layout: Layout, about: Mapping[str, Any], code: bytes
) -> bytes | None:
    """The content of an entry; None where the constants are too large to be kept twice."""
    params = {n.op: k for k, n in enumerate(graph.nodes) if isinstance(n.op, Param)}
    values = [np.ascontiguousarray(b.value) for b in program.buffers if b.value is not None]
    if sum(v.nbytes for v in values) > _CONSTANTS_LIMIT:
        return None
    header = {
        "name": program.name,
        "buffers": [
            [b.name, str(b.dtype), _plain(b.shape), b.role, b.value is not None] for b in program.buffers
        ],
        "steps": [_written(s) for s in program.steps],
        "layout": [layout.inputs, layout.outputs, [(at, params[p]) for at, p in layout.params]],
        "about": about,
        "code": len(code),
    }
    text = json.dumps(header).encode()
    return b"".join([len(text).to_bytes(8, "little"), text, code, *(v.tobytes() for v in values)])


def unpacked(graph: Graph, entry: bytes) -> Kept:
    """What `packed` put together; raises ValueError, KeyError, TypeError or IndexError for anything else."""
    first = 8 + int.from_bytes(entry[:8], "little")
    header = json.loads(entry[8:first])
    at = first + header["code"]
    code = entry[first:at]
    buffers: list[ProgramBuffer] = []
    for name, dtype_name, dims, role, constant in header["buffers"]:
        dtype, shape, value = printed_dtype(dtype_name), tuple(map(_index, dims)), None
        if constant:
            sizes = [int(d) for d in dims]
            value = np.frombuffer(entry, dtype.numpy, math.prod(sizes), at).reshape(sizes).copy()
            value.flags.writeable = False
            at += value.nbytes
        buffers.append(ProgramBuffer(name, dtype, shape, role, value))
    program = Program(header["name"], tuple(buffers), tuple(map(_read, header["steps"])))
    inputs, outputs, places = header["layout"]
    params = tuple((at, _param(graph, k)) for at, k in places)
    return Kept(program, Layout(tuple(inputs), tuple(outputs), params), header["about"], code)


def _param(graph: Graph, k: int) -> Param:
    op = graph.nodes[k].op
    if not isinstance(op, Param):
        raise ValueError(f"node {k} is no parameter")
    return op


def _plain(indices: tuple[Index, ...]) -> list[int | str]:
    return [str(i) if isinstance(i, Dim) else i for i in indices]


def _index(held: int | str) -> Index:
    return parse(held) if isinstance(held, str) else held


def _written(step: Step) -> list[Any]:
    match step:
        case Call():
            numbers = _plain((step.flops, step.traffic, *step.offsets))
            return ["call", step.kernel.name, step.arguments, numbers]
        case Loop():
            return ["for", step.var, *_plain((step.extent,)), [_written(s) for s in step.body]]
        case Branch():
            sides = ([_written(s) for s in side] for side in (step.then, step.other))
            return ["if", step.flag, *sides, *_plain((step.offset,))]
        case Repeat():
            return ["while", [_written(s) for s in step.test], step.flag, [_written(s) for s in step.body]]


def _read(held: list[Any]) -> Step:
    match held:
        case ["call", name, arguments, numbers]:
            flops, traffic, *offsets = map(_index, numbers)
            return Call(Kernel(name, (), ()), tuple(arguments), flops, traffic, tuple(offsets))
        case ["for", var, extent, body]:
            return Loop(var, _index(extent), tuple(map(_read, body)))
        case ["if", flag, then, other, offset]:
            return Branch(flag, tuple(map(_read, then)), tuple(map(_read, other)), _index(offset))
        case ["while", test, flag, body]:
            return Repeat(tuple(map(_read, test)), flag, tuple(map(_read, body)))
    raise ValueError(f"no step: {held!r}")
