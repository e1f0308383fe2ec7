"""Dimensions: integers, named dimensions, and polynomials of them.

A dimension of a shape is an `int` or a `Dim`; the same polynomials index buffers inside kernels, where their
variables are loop variables.  `Dim`s are canonical, so equal dimensions compare equal, and a `Dim` that is
constant is an `int` from the start.  (With floors, some equal dimensions still differ: floors in floors.)

```
Index ::= int | Dim          Dim ::= term (+ term)*
term  ::= int * atom*        atom ::= name | floor(Dim / int)
```

>>> N = Dim.of("N")
>>> (2 * N + 4) * 3 - N
5*N+12
>>> evaluate((N + 1) // 2, {"N": 64})
32
>>> (4 * N + 2) // 2            # divides exactly, so no floor is left
2*N+1
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias, Union

from graphc.errors import GraphError

Index: TypeAlias = Union[int, "Dim"]
Monomial: TypeAlias = tuple["Atom", ...]


@dataclass(frozen=True, slots=True)
class FloorDiv:
    """`floor(value / divisor)` of a polynomial that the divisor does not divide."""

    value: Dim
    divisor: int

    def __str__(self) -> str:
        return f"floor(({self.value})/{self.divisor})"


Atom: TypeAlias = str | FloorDiv


def _atom_key(atom: Atom) -> str:
    return atom if isinstance(atom, str) else str(atom)


def _term_key(term: tuple[Monomial, int]) -> tuple[bool, int, list[str]]:
    # The constant term comes last, and terms of higher degree first: `4*N*M+N+1`.
    atoms = term[0]
    return (not atoms, -len(atoms), [_atom_key(a) for a in atoms])


@dataclass(frozen=True, slots=True)
class Dim:
    """A polynomial with integer coefficients, never constant (those are `int`); build it by arithmetic."""

    terms: tuple[tuple[Monomial, int], ...]

    @staticmethod
    def of(name: str) -> Dim:
        """The polynomial that is one variable."""
        return Dim((((name,), 1),))

    def __add__(self, other: Index) -> Index:
        return _sum((self, other))

    def __sub__(self, other: Index) -> Index:
        return _sum((self, -1 * other))

    def __mul__(self, other: Index) -> Index:
        if isinstance(other, int):
            if other == 1:
                return self
            return 0 if other == 0 else Dim(tuple((m, c * other) for m, c in self.terms))
        result: dict[Monomial, int] = {}
        for m1, c1 in self.terms:
            for m2, c2 in other.terms:
                key = tuple(sorted(m1 + m2, key=_atom_key))
                result[key] = result.get(key, 0) + c1 * c2
        return _collect(result)

    def __neg__(self) -> Index:
        return self * -1

    def __rsub__(self, other: Index) -> Index:
        return (self * -1) + other

    __radd__ = __add__
    __rmul__ = __mul__

    def __floordiv__(self, divisor: int) -> Index:
        # One form for equal values, as far as that is cheap: terms that the divisor divides leave the floor, and
        # so does a constant, to its remainder: floor((4*N+M-1)/2) = 2*N + floor((M+1)/2) - 1.
        if divisor == 1:
            return self
        whole = {m: c // divisor for m, c in self.terms if c % divisor == 0 or not m}
        rest = {m: c for m, c in self.terms if c % divisor and m}
        if not rest:
            return _collect(whole)
        # A common factor goes: floor((6*N+3)/4) = floor((3*N+1)/2).
        common = math.gcd(divisor, *rest.values())
        rest = {m: c // common for m, c in rest.items()}
        rest[()] = dict(self.terms).get((), 0) % divisor // common
        value, divisor = _collect(rest), divisor // common
        assert isinstance(value, Dim)
        return _sum((_collect(whole), Dim((((FloorDiv(value, divisor),), 1),))))

    def __mod__(self, divisor: int) -> Index:
        return _sum((self, -divisor * (self // divisor)))

    def __str__(self) -> str:
        parts: list[str] = []
        for atoms, c in self.terms:
            sign = "-" if c < 0 else "+" if parts else ""
            factors = ([] if abs(c) == 1 and atoms else [str(abs(c))]) + [str(a) for a in atoms]
            parts.append(sign + "*".join(factors))
        return "".join(parts)

    __repr__ = __str__


def _collect(terms: Mapping[Monomial, int]) -> Index:
    kept = [(m, c) for m, c in terms.items() if c]
    if not kept:
        return 0
    if len(kept) == 1 and not kept[0][0]:
        return kept[0][1]
    return Dim(tuple(sorted(kept, key=_term_key)))


def _sum(parts: Iterable[Index]) -> Index:
    total: dict[Monomial, int] = {}
    for part in parts:
        if isinstance(part, int):
            total[()] = total.get((), 0) + part
        else:
            for m, c in part.terms:
                total[m] = total.get(m, 0) + c
    return _collect(total)


def product(dims: Iterable[Index]) -> Index:
    """The product of dimensions: the number of elements of a shape."""
    result: Index = 1
    for d in dims:
        result = d * result
    return result


def exact_quotient(value: Index, by: Index) -> Index | None:
    """value / by where `by` is one product that divides every term of the value; None where it does not.

    >>> N = Dim.of("N")
    >>> exact_quotient(6 * N * N + 4 * N, 2 * N), exact_quotient(N, 2)
    (3*N+2, None)
    """
    terms = {(): value} if isinstance(value, int) else dict(value.terms)
    factors = [((), by)] if isinstance(by, int) else list(by.terms)
    if len(factors) != 1:
        return 1 if value == by else None
    ((atoms, scale),) = factors
    found: dict[Monomial, int] = {}
    for monomial, c in terms.items():
        left = list(monomial)
        for atom in atoms:
            if atom not in left:
                return None if c else 0
            left.remove(atom)
        if scale == 0 or c % scale:
            return None
        found[tuple(left)] = c // scale
    return _collect(found)


def names(index: Index) -> tuple[str, ...]:
    """The variables of a polynomial, sorted, each once."""
    if isinstance(index, int):
        return ()
    if len(index.terms) == 1 and len(atoms := index.terms[0][0]) == 1 and isinstance(atoms[0], str):
        return (atoms[0],)
    found: set[str] = set()
    for atoms, _ in index.terms:
        for atom in atoms:
            if isinstance(atom, str):
                found.add(atom)
            else:
                found.update(names(atom.value))  # as deep as floors are nested
    return tuple(sorted(found))


def evaluate(index: Index, env: Mapping[str, int]) -> int:
    """The value of a polynomial where every variable has one (KeyError names a variable that has none)."""
    if isinstance(index, int):
        return index
    total = 0
    for atoms, c in index.terms:
        for atom in atoms:
            c *= env[atom] if isinstance(atom, str) else evaluate(atom.value, env) // atom.divisor
        total += c
    return total


def substitute(index: Index, env: Mapping[str, Index]) -> Index:
    """Replace variables by polynomials: `{i: 4*io+ii}` turns `2*i` into `8*io+2*ii`."""
    if isinstance(index, int) or not env:
        return index
    parts: list[Index] = []
    for atoms, c in index.terms:
        value: Index = c
        for atom in atoms:
            if isinstance(atom, str):
                value = env.get(atom, Dim.of(atom)) * value
            else:
                value = (substitute(atom.value, env) // atom.divisor) * value
        parts.append(value)
    return _sum(parts)


def coefficient(index: Index, name: str) -> Index | None:
    """The factor of a variable where the index is linear in it, else None.

    >>> coefficient(Dim.of("N") * Dim.of("i") + Dim.of("j"), "i")
    N
    """
    if isinstance(index, int):
        return 0
    factor: dict[Monomial, int] = {}
    for atoms, c in index.terms:
        if any(isinstance(a, FloorDiv) and name in names(a.value) for a in atoms):
            return None
        count = atoms.count(name)
        if count > 1:
            return None
        if count == 1:
            rest = tuple(a for a in atoms if a != name)
            factor[rest] = factor.get(rest, 0) + c
    return _collect(factor)


def parse(text: str) -> Index:
    """Read what `str` prints back.

    >>> parse("2*N+floor((H+1)/2)+1")
    2*N+floor((H+1)/2)+1
    """

    wrong = GraphError(f"{text!r} is no dimension", fix="write integers and names with + - * and floor(a/b)")

    def read(tree: ast.expr) -> Index:
        match tree:
            case ast.Constant(value=int(value)):
                return value
            case ast.Name(id=name):
                return Dim.of(name[1:])
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -1 * read(operand)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return read(left) + read(right)
            case ast.BinOp(left=left, op=ast.Sub(), right=right):
                return read(left) - read(right)
            case ast.BinOp(left=left, op=ast.Mult(), right=right):
                return read(left) * read(right)
            case ast.Call(
                func=ast.Name(id="_floor"), args=[ast.BinOp(left=value, op=ast.Div(), right=below)]
            ):
                by = read(below)
                if isinstance(by, int) and by > 0:
                    return read(value) // by
        raise wrong

    try:
        # Marked names, for a dimension may be called `in`, as no variable of Python may.
        return read(ast.parse(re.sub(r"[^\W\d]\w*", r"_\g<0>", text.strip()), mode="eval").body)
    except SyntaxError:
        raise wrong from None
