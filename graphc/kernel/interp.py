"""Level 5, the interpreter: kernels run as they are written, one scalar at a time.  The second oracle.

A kernel becomes one Python function, one line for each line of the kernel's text, and scalars are NumPy
scalars of the right dtype, so f32 arithmetic is rounded to f32.  Loops of every kind run serially; `fma=` on
f32 is rounded once in f64 and once in f32.  Local buffers start as NaN (or -1), so that a cell that is read
before it is written shows.  An index outside its axis raises InternalError.

>>> from graphc.ir.types import DType
>>> from graphc.kernel.ir import Literal, Parameter
>>> x, t, i = Buffer("x", DType.F32, (Dim.of("N"),)), Temp("t", DType.F32), Dim.of("i")
>>> body = (Load(t, x, (i,)), Store(x, (i,), Literal(0.5, DType.F32)), Accumulate(x, (i,), "fma", (t, t)))
>>> kernel = Kernel("square", (Parameter(x, "inout"),), (For("i", 0, Dim.of("N"), body),))
>>> values = np.array([1, 2, 3], np.float32)
>>> run_kernel(kernel, {"x": values}, {"N": 3})
>>> values
array([1.5, 4.5, 9.5], dtype=float32)
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import numpy as np

from graphc.errors import InternalError
from graphc.ir.dims import Dim, Index, evaluate, names, product
from graphc.ir.types import Array, DType
from graphc.kernel.ir import (
    Accumulate,
    Alloc,
    Atom,
    Buffer,
    For,
    Kernel,
    Let,
    LetIndex,
    Load,
    Stmt,
    Store,
    Temp,
    index_expressions,
    kernel_lines,
    walk,
)
from graphc.kernel.program import Branch, Call, Loop, Program, Repeat, Step
from graphc.ops.bf16 import dot
from graphc.ops.scalar import PRIMS

_INFIX = {"add": "+", "sub": "-", "mul": "*", "lt": "<", "le": "<=", "eq": "==", "ne": "!="}
_FILE = "<kernel>"


def run_program(program: Program, arrays: Sequence[Array], dims: Mapping[str, int]) -> None:
    """Run all steps in order; `arrays[k]` is the memory of `program.buffers[k]` (unused for constants)."""
    held = [a if b.value is None else b.value for a, b in zip(arrays, program.buffers, strict=True)]
    _run_steps(program.steps, held, dict(dims), dims)


def _run_steps(
    steps: Sequence[Step], held: Sequence[Array], env: dict[str, int], dims: Mapping[str, int]
) -> None:
    """Run steps; `env` has the variables of the loops around them beside the dimensions."""
    for step in steps:
        match step:
            case Call():
                given: dict[str, Array] = {}
                for k, (p, position) in enumerate(zip(step.kernel.parameters, step.arguments, strict=True)):
                    given[p.buffer.name] = _part(held[position], p.buffer, step.offset(k), env)
                run_kernel(step.kernel, given, dims)
            case Loop():
                for t in range(evaluate(step.extent, env)):
                    _run_steps(step.body, held, {**env, step.var: t}, dims)
            case Branch():
                holds = held[step.flag].reshape(-1)[evaluate(step.offset, env)]
                _run_steps(step.then if holds else step.other, held, env, dims)
            case Repeat():
                _run_steps(step.test, held, env, dims)
                while held[step.flag].item():
                    _run_steps(step.body, held, env, dims)
                    _run_steps(step.test, held, env, dims)


def _part(array: Array, buffer: Buffer, offset: Index, env: Mapping[str, int]) -> Array:
    """The elements of an array that a call is given: the whole of it, or those from an offset on."""
    if offset == 0 and buffer.elements == product(array.shape):
        return array
    start, count = evaluate(offset, env), evaluate(buffer.elements, env)
    if not 0 <= start <= start + count <= array.size:
        raise InternalError(f"{buffer.name} leaves its buffer: {start}..{start + count} of {array.size}")
    return array.reshape(-1)[start : start + count]


def run_kernel(kernel: Kernel, arrays: Mapping[str, Array], dims: Mapping[str, int]) -> None:
    """Run a kernel over NumPy arrays, by the names of its parameters; the arrays are written to.

    They are contiguous and have the dtypes of the parameters.  The shape may differ, as long as it has
    as many elements.
    """
    env = {n: int(dims[n]) for n in kernel.dims}
    given: list[Array] = []
    for p in kernel.parameters:
        array, b = arrays[p.buffer.name], p.buffer
        if array.dtype != b.dtype.numpy or not array.flags.c_contiguous:
            raise InternalError(f"kernel {kernel.name}: {b.name} is {array.dtype}, or not contiguous")
        shape = tuple(evaluate(d, env) for d in b.shape)
        if array.size != int(np.prod(shape, dtype=np.int64)):
            raise InternalError(f"kernel {kernel.name}: {b.name} has shape {array.shape}, not {shape}")
        # Where an axis has no elements, an index that is clamped to place 0 finds something, as in compiled code.
        given.append(
            array.reshape(shape) if array.size else np.zeros([max(1, d) for d in shape], array.dtype)
        )
    function = _compiled(kernel, str(kernel))
    try:
        with np.errstate(all="ignore"):
            function(*given, **env)
    except IndexError as error:
        lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == _FILE]
        at = (lines[-1] or 1) - 1
        text = [line for line, _ in kernel_lines(kernel)][at].strip()
        where = f"kernel {kernel.name}, line {at}, `{text}`"
        raise InternalError(f"{where}: the index leaves the buffer") from None


@lru_cache(maxsize=256)
def _compiled(kernel: Kernel, text: str) -> Callable[..., None]:
    # The text is part of the key because kernels that differ in the sign of a zero compare equal.
    return _Translation(kernel).function()


def python_source(kernel: Kernel) -> str:
    """The Python function that runs a kernel: line k of it is line k of the kernel's text."""
    return _Translation(kernel).source


def _axis(index: int, size: int) -> int:
    if not 0 <= index < size:
        raise IndexError(index)
    return index


_ONES = {DType.BOOL: True, DType.BF16X2: 0xFFFFFFFF}  # all bits: of a pair both are NaN


def _fresh(dtype: DType, shape: tuple[int, ...]) -> Array:
    return np.full(shape, np.nan if dtype.is_float else _ONES.get(dtype, -1), dtype.numpy)


class _Translation:
    """The source of a kernel's function, and the objects that it refers to."""

    def __init__(self, kernel: Kernel) -> None:
        self.globals: dict[str, object] = {"axis": _axis, "fresh": _fresh}
        self.names: dict[str, str] = {}
        temps = {s.temp.name for s in walk(kernel.body) if isinstance(s, Load | Let | LetIndex)}
        self.index_temps = temps & {
            n for s in walk(kernel.body) for e in index_expressions(s) for n in names(e)
        }
        parameters = [self.name(p.buffer.name) for p in kernel.parameters]
        dims = [self.name(n, n) for n in kernel.dims]
        lines = [f"def kernel({', '.join([*parameters, '*', *dims] if dims else parameters)}):"]
        stack: list[tuple[int, Stmt]] = [(1, s) for s in reversed(kernel.body)]
        while stack:
            depth, s = stack.pop()
            lines.append(" " * depth + self.line(s))
            if isinstance(s, For):
                stack.extend((depth + 1, t) for t in reversed(s.body))
        self.source = "\n".join(lines if kernel.body else [*lines, " pass"])

    def function(self) -> Callable[..., None]:
        exec(compile(self.source, _FILE, "exec"), self.globals)
        found = self.globals["kernel"]
        assert callable(found)
        return found

    def name(self, name: str, own: str = "") -> str:
        return self.names.setdefault(name, own or f"v{len(self.names)}")

    def line(self, s: Stmt) -> str:
        match s:
            case Alloc(buffer=b):
                if not b.shape:
                    return f"{self.name(b.name)} = {self.constant(_fresh(b.dtype, ())[()], b.dtype)}"
                shape = ", ".join(map(self.index, b.shape))
                return f"{self.name(b.name)} = fresh({self.object(b.dtype)}, ({shape},))"
            case Load(temp=t, buffer=b, index=e):
                return f"{self.assign(t)} = {self.cell(b, e)}{self.also(t)}"
            case LetIndex(temp=t, index=i):
                return f"{self.assign(t)} = {self.object(t.dtype.numpy.type)}({self.index(i)}){self.also(t)}"
            case Let(temp=t, prim=prim, args=args):
                value = self.prim(prim, t.dtype, [self.atom(a) for a in args])
                return f"{self.assign(t)} = {value}{self.also(t)}"
            case Store(buffer=b, index=e, value=v):
                return f"{self.cell(b, e)} = {self.atom(v)}"
            case Accumulate(buffer=b, index=e, op=op, args=args):
                return f"{self.cell(b, e)} = {self.combine(op, b.dtype, self.cell(b, e), args)}"
            case For(var=var, lo=lo, hi=hi, body=body):
                empty = "" if body else " pass"
                return f"for {self.name(var)} in range({self.index(lo)}, {self.index(hi)}):{empty}"

    def cell(self, b: Buffer, index: tuple[Index, ...]) -> str:
        """An element; a buffer without axes that the kernel allocates is a Python variable."""
        name = self.name(b.name)
        if not index:
            return name if b.space.value != "memory" else f"{name}[()]"
        # NumPy checks the upper end, and would take a negative index for one from the end.
        checked = []
        for axis, e in enumerate(index):
            text = self.index(e)
            signed = isinstance(e, Dim) and any(c < 0 for _, c in e.terms)
            data = not self.index_temps.isdisjoint(names(e))
            negative = isinstance(e, int) and e < 0
            checked.append(f"axis({text}, {name}.shape[{axis}])" if signed or data or negative else text)
        return f"{name}[{', '.join(checked)}]"

    def index(self, index: Index) -> str:
        """A polynomial as Python."""
        if isinstance(index, int):
            return str(index)
        terms = []
        for atoms, c in index.terms:
            factors = [] if c == 1 and atoms else [f"({c})" if c < 0 else str(c)]
            for a in atoms:
                if isinstance(a, str):
                    factors.append(self.names.get(a, a))
                else:
                    factors.append(f"(({self.index(a.value)})//{a.divisor})")
            terms.append("*".join(factors))
        return "+".join(terms)

    def assign(self, t: Temp) -> str:
        return self.name(f"{t.name} as a value")

    def also(self, t: Temp) -> str:
        """Temporaries that occur in an index are Python ints as well, which do not wrap around."""
        if t.name not in self.index_temps:
            return ""
        return f"; {self.name(t.name)} = int({self.assign(t)})"

    def atom(self, a: Atom) -> str:
        return self.assign(a) if isinstance(a, Temp) else self.constant(a.value, a.dtype)

    def constant(self, value: object, dtype: DType) -> str:
        return self.object(dtype.numpy.type(value))

    def object(self, value: object) -> str:
        name = f"o{len(self.globals)}"
        self.globals[name] = value
        return name

    def prim(self, name: str, result: DType, args: list[str]) -> str:
        if name in _INFIX:
            return f"{args[0]} {_INFIX[name]} {args[1]}"
        if name == "select":
            return f"{args[1]} if {args[0]} else {args[2]}"
        self.globals[f"prim_{_identifier(name)}"] = PRIMS[name].numpy
        self.globals[f"to_{result}"] = result.numpy.type
        return f"to_{result}(prim_{_identifier(name)}({', '.join(args)}))"

    def combine(self, op: str, dtype: DType, cell: str, args: tuple[Atom, ...]) -> str:
        values = [self.atom(a) for a in args]
        if op == "fma":
            if dtype is DType.F32:
                self.globals["f32"] = np.float32
                return f"f32(float({values[0]}) * float({values[1]}) + float({cell}))"
            return f"{values[0]} * {values[1]} + {cell}"
        if op == "dot":
            self.globals["dot"] = dot
            self.globals["f32"] = np.float32
            return f"f32(dot({', '.join(values)}, {cell}))"
        if op in ("max", "min"):
            # A NaN wins, whichever side it is on.
            (new,) = values
            return f"{new} if {new} {'>' if op == 'max' else '<'} {cell} or {new} != {new} else {cell}"
        return f"{cell} {_INFIX[op]} {values[0]}"


def _identifier(name: str) -> str:
    return name.replace(":", "_")
