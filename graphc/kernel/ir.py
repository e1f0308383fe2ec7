"""Level 5, kernels: loop nests over buffers, one statement per line.

```
kernel  ::= "kernel" name "(" (buffer ("in"|"out"|"inout"))* ")" stmt*
stmt    ::= "for" var "in" index ".." index kind? stmt*
          | "alloc" buffer
          | temp "=" "load" buffer "[" index* "]"
          | temp "=" "index" index
          | temp "=" prim atom*
          | "store" buffer "[" index* "]" "," atom
          | buffer "[" index* "]" ("add="|"mul="|"max="|"min="|"fma="|"dot=") atom*
kind    ::= "parallel" | "vector(" lanes ")" | "unroll"          (none of these: serial)
buffer  ::= name ":" dtype "[" dim* "]" space?
space   ::= "register" | "stack" | "scratch"                     (none of these: memory of the caller)
atom    ::= temp | literal
```

Temporaries are assigned once and live in the loop body that assigns them.  Buffers are row-major and
contiguous.  An index is a polynomial (`graphc.ir.dims`) of loop variables, named dimensions and integer
temporaries.  There is no `if`: edges are loops of their own, choices are the primitive `select`.

What a loop kind means.  `vector(n)`: at most n iterations, executed in the lanes of a vector; where the extent
is not the constant n the surplus lanes are masked.  `unroll`: a constant number of iterations, written out.
`parallel`: iterations are independent, threads share them; where the whole body of a parallel loop is a parallel
loop, they share the pairs.  `max=` and `min=` propagate NaN; `fma=` adds the product of its two atoms, rounded
once or twice as the target likes; `dot=` adds the products of the first and of the second members of two words of
bfloat16 to an f32, rounded after each product or after both.

>>> from graphc.ir.dims import Dim
>>> x = Buffer("x", DType.F32, (Dim.of("N"),))
>>> y = Buffer("y", DType.F32, (Dim.of("N"),))
>>> t0, t1 = Temp("t0", DType.F32), Temp("t1", DType.F32)
>>> i = (Dim.of("i"),)
>>> body = For("i", 0, Dim.of("N"), (Load(t0, x, i), Let(t1, "tanh", (t0,)), Store(y, i, t1)))
>>> print(Kernel("k", (Parameter(x, "in"), Parameter(y, "out")), (body,)))
kernel k(x: f32[N] in, y: f32[N] out)
  for i in 0..N
    t0 = load x[i]
    t1 = tanh t0
    store y[i], t1
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal as OneOf
from typing import TypeAlias

from graphc.ir.dims import Index, names, product
from graphc.ir.node import Node
from graphc.ir.types import DType, Shape, shape_text


class Space(enum.Enum):
    """Where a buffer lives."""

    MEMORY = "memory"  # a parameter: memory that the caller owns
    REGISTER = "register"  # a tile that the target keeps in registers
    STACK = "stack"  # small and local to one thread
    SCRATCH = "scratch"  # large and local to one kernel; the memory plan gives it a place


class Kind(enum.Enum):
    """How a loop runs."""

    SERIAL = "serial"
    PARALLEL = "parallel"
    VECTOR = "vector"
    UNROLL = "unroll"


@dataclass(frozen=True, slots=True)
class Buffer:
    """A named, row-major, contiguous array."""

    name: str
    dtype: DType
    shape: Shape
    space: Space = Space.MEMORY

    @property
    def elements(self) -> Index:
        return product(self.shape)

    def strides(self) -> tuple[Index, ...]:
        """Elements (not bytes) between neighbours along each axis: f32[N,4] has (4, 1)."""
        result: list[Index] = []
        stride: Index = 1
        for d in reversed(self.shape):
            result.append(stride)
            stride = d * stride
        return tuple(reversed(result))

    def __str__(self) -> str:
        space = "" if self.space is Space.MEMORY else f" {self.space.value}"
        return f"{self.name}: {self.dtype}{shape_text(self.shape)}{space}"


@dataclass(frozen=True, slots=True)
class Temp:
    """A scalar that is assigned once."""

    name: str
    dtype: DType

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant scalar; floats are exact (a Python float that the dtype can represent, or ±inf, NaN)."""

    value: float | int | bool
    dtype: DType

    def __str__(self) -> str:
        return f"{self.value!r}"


Atom: TypeAlias = Temp | Literal
Nodes: TypeAlias = tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Alloc:
    """`alloc acc: f32[4,16] register`: a local buffer, uninitialised, that lives to the end of the body."""

    buffer: Buffer
    nodes: Nodes = ()

    def __str__(self) -> str:
        return f"alloc {self.buffer}"


@dataclass(frozen=True, slots=True)
class Load:
    """`t0 = load x[i,2*j+1]`"""

    temp: Temp
    buffer: Buffer
    index: tuple[Index, ...]
    nodes: Nodes = ()

    def __str__(self) -> str:
        return f"{self.temp} = load {self.buffer.name}{shape_text(self.index)}"


@dataclass(frozen=True, slots=True)
class LetIndex:
    """`t0 = index 2*i+1`: an index as a value (of dtype i64, i32, f32 or f64)."""

    temp: Temp
    index: Index
    nodes: Nodes = ()

    def __str__(self) -> str:
        return f"{self.temp} = index {self.index}"


@dataclass(frozen=True, slots=True)
class Let:
    """`t2 = mul t0 t1`: one primitive of the scalar alphabet (`graphc.ops.scalar.PRIMS`)."""

    temp: Temp
    prim: str
    args: tuple[Atom, ...]
    nodes: Nodes = ()

    def __str__(self) -> str:
        return f"{self.temp} = {self.prim} {' '.join(map(str, self.args))}"


@dataclass(frozen=True, slots=True)
class Store:
    """`store y[i], t2`"""

    buffer: Buffer
    index: tuple[Index, ...]
    value: Atom
    nodes: Nodes = ()

    def __str__(self) -> str:
        return f"store {self.buffer.name}{shape_text(self.index)}, {self.value}"


AccumulateOp: TypeAlias = OneOf["add", "mul", "max", "min", "fma", "dot"]


@dataclass(frozen=True, slots=True)
class Accumulate:
    """`acc[] fma= t0 t1`: read, combine, write; the iterations of a loop around it may be reassociated."""

    buffer: Buffer
    index: tuple[Index, ...]
    op: AccumulateOp
    args: tuple[Atom, ...]
    nodes: Nodes = ()

    @property
    def combining(self) -> AccumulateOp:
        """How two parts of the result become one: sums of products are added."""
        return "add" if self.op in ("fma", "dot") else self.op

    def __str__(self) -> str:
        return f"{self.buffer.name}{shape_text(self.index)} {self.op}= {' '.join(map(str, self.args))}"


@dataclass(frozen=True, slots=True)
class For:
    """`for i in 0..N vector(16)` and its body."""

    var: str
    lo: Index
    hi: Index
    body: tuple[Stmt, ...]
    kind: Kind = Kind.SERIAL
    lanes: int = 1
    nodes: Nodes = ()

    @property
    def extent(self) -> Index:
        return self.hi - self.lo

    def __str__(self) -> str:
        kind = "" if self.kind is Kind.SERIAL else f" {self.kind.value}"
        if self.kind is Kind.VECTOR:
            kind += f"({self.lanes})"
        return f"for {self.var} in {self.lo}..{self.hi}{kind}"


Stmt: TypeAlias = Alloc | Load | LetIndex | Let | Store | Accumulate | For


Access: TypeAlias = OneOf["in", "out", "inout"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A buffer of the caller, and what the kernel does with it."""

    buffer: Buffer
    access: Access

    def __str__(self) -> str:
        return f"{self.buffer} {self.access}"


@dataclass(frozen=True, slots=True)
class Kernel:
    """A function over buffers: its outermost statements run one after the other."""

    name: str
    parameters: tuple[Parameter, ...]
    body: tuple[Stmt, ...]
    nodes: Nodes = ()

    @property
    def dims(self) -> tuple[str, ...]:
        """The named dimensions that the kernel needs at run time, sorted."""
        found = {n for p in self.parameters for d in p.buffer.shape for n in names(d)}
        bound: set[str] = set()
        for stmt in walk(self.body):
            found.update(n for e in index_expressions(stmt) for n in names(e))
            if isinstance(stmt, For):
                bound.add(stmt.var)
            elif isinstance(stmt, Load | Let | LetIndex):
                bound.add(stmt.temp.name)
        return tuple(sorted(found - bound))

    def __str__(self) -> str:
        return "\n".join(line for line, _ in kernel_lines(self))


def kernel_lines(kernel: Kernel) -> Iterator[tuple[str, Stmt | None]]:
    """The kernel's text, line by line, each with its statement (None for the header).

    One statement per line is an invariant: the line number is the statement's name in debug information.
    """
    yield f"kernel {kernel.name}({', '.join(map(str, kernel.parameters))})", None
    stack: list[tuple[int, Stmt]] = [(1, s) for s in reversed(kernel.body)]
    while stack:
        depth, stmt = stack.pop()
        yield "  " * depth + str(stmt), stmt
        if isinstance(stmt, For):
            stack.extend((depth + 1, s) for s in reversed(stmt.body))


def walk(body: tuple[Stmt, ...]) -> Iterator[Stmt]:
    """All statements, outermost first, in the order of the text."""
    stack = list(body[::-1])
    while stack:
        stmt = stack.pop()
        yield stmt
        if isinstance(stmt, For):
            stack += stmt.body[::-1]


def index_expressions(stmt: Stmt) -> tuple[Index, ...]:
    """Every index, bound and extent that a statement itself speaks of."""
    match stmt:
        case Load(index=index) | Store(index=index) | Accumulate(index=index):
            return index
        case LetIndex(index=value):
            return (value,)
        case For(lo=lo, hi=hi):
            return (lo, hi)
        case Alloc(buffer=buffer):
            return buffer.shape
    return ()
