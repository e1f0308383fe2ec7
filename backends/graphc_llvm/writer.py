"""Level 6, LLVM text: the instructions of one function, written into nested scopes.

A scope is the function body, the body of a loop, or a guarded block.  Every value knows the depth of the
scope that defines it, so index arithmetic is written where its last operand is defined: `pure()` puts an
instruction at the end of that outer scope, which lies before the loop that is being written.  That is
loop-invariant code motion and common-subexpression elimination by construction, and it keeps the text small.

>>> w = Writer()
>>> with w.loop("i", "0", "%N", guarded=True):
...     _ = w.pure("mul nsw i64 %N, 4", 0)              # invariant: written before the loop
...     w.do("store i64 %i, ptr %p")
>>> print("\\n".join(w.lines()))
  %v = mul nsw i64 %N, 4
  %i.some = icmp slt i64 0, %N
  br i1 %i.some, label %i.body, label %i.end
i.body:
  %i = phi i64 [ 0, %entry ], [ %i.next, %i.body ]
  store i64 %i, ptr %p
  %i.next = add nsw i64 %i, 1
  %i.more = icmp slt i64 %i.next, %N
  br i1 %i.more, label %i.body, label %i.end
i.end:
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from graphc.ir.types import DType

SCALAR = {
    DType.F32: "float",
    DType.F64: "double",
    DType.I32: "i32",
    DType.I64: "i64",
    DType.BOOL: "i1",
    DType.BF16X2: "i32",
}
MEMORY = {**SCALAR, DType.BOOL: "i8"}  # a bool is a byte in memory
MANGLED = {DType.F32: "f32", DType.F64: "f64", **{d: t for d, t in SCALAR.items() if t.startswith("i")}}


@dataclass(frozen=True, slots=True)
class Value:
    """A value of the function: its text, its type (`lanes` is 1 for a scalar), the depth of its scope."""

    text: str
    dtype: DType
    lanes: int
    depth: int

    @property
    def type(self) -> str:
        return type_of(self.dtype, self.lanes)

    def __str__(self) -> str:
        return f"{self.type} {self.text}"


def type_of(dtype: DType, lanes: int = 1) -> str:
    """The type in registers: `float`, `<16 x float>`."""
    return SCALAR[dtype] if lanes == 1 else f"<{lanes} x {SCALAR[dtype]}>"


def memory_type(dtype: DType, lanes: int = 1) -> str:
    """The type in memory: a bool is `i8` there."""
    return MEMORY[dtype] if lanes == 1 else f"<{lanes} x {MEMORY[dtype]}>"


def mangled(dtype: DType, lanes: int = 1) -> str:
    """The suffix of an intrinsic's name: `f32`, `v16f32`."""
    return MANGLED[dtype] if lanes == 1 else f"v{lanes}{MANGLED[dtype]}"


def constant(value: float | int | bool, dtype: DType) -> str:
    """A scalar constant; floats as the hexadecimal double that LLVM reads exactly.

    >>> constant(1.5, DType.F32), constant(True, DType.BOOL)
    ('0x3FF8000000000000', 'true')
    """
    if dtype is DType.BOOL:
        return "true" if value else "false"
    if dtype.is_integer:
        return str(int(value))
    # LLVM refuses a `float` constant that single precision cannot hold, so the rounding is done here.
    number = float(dtype.numpy.type(value))
    return f"0x{struct.unpack('<Q', struct.pack('<d', number))[0]:016X}"


def splatted(text: str, dtype: DType, lanes: int) -> str:
    """A constant in every lane."""
    return text if lanes == 1 else f"splat ({SCALAR[dtype]} {text})"


class Scope:
    """Lines under way; `label` names the block that the next line belongs to."""

    __slots__ = ("label", "lines")

    def __init__(self, label: str) -> None:
        self.label = label
        self.lines: list[str] = []


class Writer:
    """Writes one function; see the module's text.  `location` is appended to every line (`, !dbg !7`).

    `parameters` are the names that the function's own parameters have: no hint may take them.  `bf16`: the machine
    has the instructions of AVX512-BF16.  `fused`: a fused multiply-add of vectors is one instruction.
    """

    def __init__(
        self, fast: bool = False, parameters: Iterable[str] = (), bf16: bool = False, fused: bool = True
    ) -> None:
        self.bf16, self.fused = bf16, fused
        self.scopes = [Scope("entry")]
        self.location = ""
        # No nnan and no ninf: with them, the -inf that a maximum starts from would be undefined behaviour.
        self.flags = " reassoc nsz arcp contract afn" if fast else ""
        self.declarations: dict[str, None] = {}  # functions that the lines call: `declare` lines
        self.functions: dict[tuple[str, DType, int], None] = {}  # vector functions that the lines call
        # Pure instruction → the name of its result.  Its operands are in scope only while the result is.
        self._known: dict[str, str] = {}
        self._allocas: list[str] = []
        self._names = dict.fromkeys(("entry", *parameters), 1)  # labels are names too

    @property
    def depth(self) -> int:
        return len(self.scopes) - 1

    def name(self, hint: str) -> str:
        """A fresh name: the hint itself, then hint.1, hint.2, ..."""
        names = self._names
        name, count = hint, names.get(hint, 0)
        while name in names:
            name, count = f"{hint}.{count}", count + 1
        names[hint] = max(count, 1)
        names.setdefault(name, 1)
        return name

    def emit(self, rhs: str, hint: str = "v") -> str:
        """`%hint = rhs` at the current place."""
        name = "%" + self.name(hint)
        self.scopes[-1].lines.append(f"  {name} = {rhs}{self.location}")
        return name

    def pure(self, rhs: str, depth: int, hint: str = "v") -> str:
        """`%hint = rhs` in the scope where its last operand is defined: `depth` must be exactly that.

        The same text is written once: a result lives as long as its operands do.
        """
        name = self._known.get(rhs)
        if name is None:
            name = self._known[rhs] = "%" + self.name(hint)
            self.scopes[depth].lines.append(f"  {name} = {rhs}{self.location}")
        return name

    def do(self, text: str) -> None:
        """An instruction without a result."""
        self.scopes[-1].lines.append(f"  {text}{self.location}")

    def call(self, function: str, result: str, *args: str, flags: str = "") -> str:
        """The text of a call to a function of LLVM or of the C library, which is declared with it.

        Arguments are `type value`.
        """
        types = ", ".join(_type_of_argument(a) for a in args)
        self.declarations[f"declare {result} @{function}({types})"] = None
        return f"call{flags} {result} @{function}({', '.join(args)})"

    def pick(self, which: str, a: str, b: str) -> str:
        """The smaller ("smin") or the larger ("smax") of two i64."""
        return self.emit(self.call(f"llvm.{which}.i64", "i64", f"i64 {a}", f"i64 {b}"))

    def alloca(self, type: str, count: int, hint: str) -> str:
        """Room on the stack, from the entry of the function on, so that LLVM can promote it to registers."""
        name = "%" + self.name(hint)
        self._allocas.append(f"  {name} = alloca [{count} x {type}], align 64")
        return name

    @contextmanager
    def loop(self, var: str, lo: str, hi: str, guarded: bool) -> Iterator[str]:
        """`for var in lo..hi`; yields the name of the variable.  `guarded`: there may be no iteration."""
        name = self.name(var)
        body, end = f"{name}.body", f"{name}.end"
        outer, location = self.scopes[-1], self.location
        inner = Scope(body)
        self.scopes.append(inner)
        yield f"%{name}"
        self.scopes.pop()
        entry = [f"  br label %{body}{location}"]
        if guarded:
            entry = [
                f"  %{name}.some = icmp slt i64 {lo}, {hi}{location}",
                f"  br i1 %{name}.some, label %{body}, label %{end}{location}",
            ]
        outer.lines += [
            *entry,
            f"{body}:",
            f"  %{name} = phi i64 [ {lo}, %{outer.label} ], [ %{name}.next, %{inner.label} ]{location}",
            *inner.lines,
            f"  %{name}.next = add nsw i64 %{name}, 1{location}",
            f"  %{name}.more = icmp slt i64 %{name}.next, {hi}{location}",
            f"  br i1 %{name}.more, label %{body}, label %{end}{location}",
            f"{end}:",
        ]
        outer.label = end
        self.location = location

    @contextmanager
    def guard(self, condition: str, hint: str) -> Iterator[None]:
        """A block that runs where the condition (an `i1`) holds."""
        name = self.name(hint)
        outer, location = self.scopes[-1], self.location
        inner = Scope(f"{name}.then")
        self.scopes.append(inner)
        yield
        self.scopes.pop()
        outer.lines += [
            f"  br i1 {condition}, label %{name}.then, label %{name}.end{location}",
            f"{name}.then:",
            *inner.lines,
            f"  br label %{name}.end{location}",
            f"{name}.end:",
        ]
        outer.label = f"{name}.end"
        self.location = location

    def either(self, condition: str, type: str, one: Callable[[], str], other: Callable[[], str]) -> str:
        """One of two values of a type, each written in a block of its own: the condition (an `i1`) chooses."""
        name = self.name("either")
        outer, location, found = self.scopes[-1], self.location, []
        lines = [f"  br i1 {condition}, label %{name}.one, label %{name}.other{location}"]
        for label, make in ((f"{name}.one", one), (f"{name}.other", other)):
            inner = Scope(label)
            self.scopes.append(inner)
            found.append((make(), inner))
            self.scopes.pop()
            lines += [f"{label}:", *inner.lines, f"  br label %{name}.end{location}"]
        outer.lines += [*lines, f"{name}.end:"]
        outer.label, self.location = f"{name}.end", location
        return self.emit(f"phi {type} " + ", ".join(f"[ {v}, %{inner.label} ]" for v, inner in found))

    @contextmanager
    def repeat(self, hint: str) -> Iterator[Callable[[str], None]]:
        """A loop without end, but for the place where the function that is yielded is called with an `i1`."""
        name = self.name(hint)
        outer, location = self.scopes[-1], self.location
        inner = Scope(f"{name}.test")
        self.scopes.append(inner)

        def go_on(condition: str) -> None:
            inner.lines += [
                f"  br i1 {condition}, label %{name}.body, label %{name}.end{location}",
                f"{name}.body:",
            ]
            inner.label = f"{name}.body"

        yield go_on
        self.scopes.pop()
        outer.lines += [
            f"  br label %{name}.test{location}",
            f"{name}.test:",
            *inner.lines,
            f"  br label %{name}.test{location}",
            f"{name}.end:",
        ]
        outer.label = f"{name}.end"
        self.location = location

    def splat(self, value: Value, lanes: int) -> str:
        """A scalar in every lane of a vector; a vector is returned as it is."""
        if value.lanes == lanes:
            return value.text
        if not value.text.startswith("%"):
            return splatted(value.text, value.dtype, lanes)
        vector = type_of(value.dtype, lanes)
        one = self.pure(f"insertelement {vector} poison, {value}, i64 0", value.depth)
        return self.pure(
            f"shufflevector {vector} {one}, {vector} poison, <{lanes} x i32> zeroinitializer", value.depth
        )

    def lines(self) -> list[str]:
        """The body of the function, without `entry:`."""
        return self._allocas + self.scopes[0].lines


def _type_of_argument(argument: str) -> str:
    # "<16 x float> %a" and "ptr align 4 %p": the type is what stands before the value and its attributes.
    if argument.startswith("<"):
        return argument[: argument.index(">") + 1]
    return argument.split(" ", 1)[0]
