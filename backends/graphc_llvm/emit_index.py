"""Level 6, indices: polynomials of loop variables become pointer arithmetic.

An index is split by what each term depends on:

| part       | depends on                        | becomes                                               |
|------------|-----------------------------------|-------------------------------------------------------|
| `constant` | nothing (unrolled variables too)  | a displacement                                        |
| `uniform`  | dimensions, loop variables        | one addition per scope, hoisted to that scope         |
| `stride`   | linear in the lane of a vector    | a contiguous, a strided or (empty) a broadcast access |
| `varying`  | the lane in any other way         | a vector of offsets: a gather or a scatter            |

>>> from graphc.ir.dims import Dim
>>> ix = Indexer(Writer(), {"i": Value("%i", DType.I64, 1, 0), "r": 3, "l": LANE}, lanes=16)
>>> a = ix.affine(terms(16 * Dim.of("i") + 8 * Dim.of("r") + 2 * Dim.of("l") + 5))
>>> a.constant, a.uniform, a.stride
(29, {('%i',): 16}, {(): 2})
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from graphc.errors import InternalError
from graphc.ir.dims import Atom, FloorDiv, Index
from graphc.ir.types import DType
from graphc_llvm.writer import MEMORY, Value, Writer

Terms: TypeAlias = tuple[tuple[int, tuple[Atom, ...]], ...]
Products: TypeAlias = dict[tuple[str, ...], int]  # factors → coefficient


class Lane:
    """The variable of the vector loop that is being written, counted from 0."""


LANE = Lane()
Binding: TypeAlias = int | Value | Lane


@dataclass(frozen=True, slots=True)
class Affine:
    """An index, split; see the module's table.  Coefficients are integers, factors are names of values."""

    constant: int
    uniform: Products
    stride: Products
    varying: tuple[tuple[int, tuple[str, ...]], ...] = ()  # factors are vectors

    @property
    def is_constant(self) -> bool:
        return not (self.uniform or self.stride or self.varying)

    @property
    def constant_stride(self) -> int | None:
        """Elements between neighbouring lanes, where that is known while compiling."""
        if not self.stride:
            return None if self.varying else 0
        if self.varying or any(self.stride):
            return None
        return self.stride[()]


def terms(index: Index) -> Terms:
    """The terms of a polynomial: `2*i+1` is ((2, ("i",)), (1, ()))."""
    if isinstance(index, int):
        return ((index, ()),) if index else ()
    return tuple((c, atoms) for atoms, c in index.terms)


class Indexer:
    """Evaluates polynomials where variables are bound to constants, values or the lane."""

    def __init__(self, writer: Writer, env: dict[str, Binding], lanes: int = 1) -> None:
        self.w, self.env, self.lanes = writer, env, lanes
        # Names of values are unique in a function, so what is known of them stays true.
        self._depth: dict[str, int] = {}
        self._depths: dict[tuple[str, ...], int] = {(): 0}
        self._products: dict[tuple[tuple[str, ...], int], str] = {}
        self._pointers: dict[tuple[object, ...], tuple[str, int]] = {}

    def affine(self, polynomial: Terms) -> Affine:
        """Split a polynomial by what each term depends on."""
        env, constant = self.env, 0
        uniform: Products = {}
        stride: Products = {}
        varying: list[tuple[int, tuple[str, ...]]] = []
        for c, atoms in polynomial:
            factors: tuple[str, ...] = ()
            vectors: tuple[str, ...] = ()
            power = 0  # of the lane
            for atom in atoms:
                bound = env.get(atom) if isinstance(atom, str) else self._floor(atom)
                if bound.__class__ is int:
                    c *= bound
                elif bound is LANE:
                    power += 1
                elif isinstance(bound, Value):
                    text = bound.text if bound.dtype is DType.I64 else self._widened(bound)
                    self._depth[text] = bound.depth
                    if bound.lanes == 1:
                        factors += (text,)
                    else:
                        vectors += (text,)
                else:
                    raise InternalError(f"the index variable {atom} is not defined here")
            if c == 0:
                continue
            if vectors or power > 1:
                splats = tuple(self._splat(f) for f in factors)
                varying.append((c, vectors + (self._iota(),) * power + splats))
            elif power:
                stride[factors] = stride.get(factors, 0) + c
            elif factors:
                uniform[factors] = uniform.get(factors, 0) + c
            else:
                constant += c
        return Affine(constant, _without_zeros(uniform), _without_zeros(stride), tuple(varying))

    def scalar(self, products: Products, constant: int) -> Value:
        """The sum of products: one addition per term, each in the scope of its last operand."""
        total, depth = "", 0
        for factors in self._by_depth(products):
            text, at = self._product(factors, products[factors]), self._deepest(factors)
            depth = max(depth, at)
            total = self.w.pure(f"add nsw i64 {total}, {text}", depth, "x") if total else text
        if not total:
            return Value(str(constant), DType.I64, 1, 0)
        if constant:
            total = self.w.pure(f"add nsw i64 {total}, {constant}", depth, "x")
        return Value(total, DType.I64, 1, depth)

    def uniform(self, polynomial: Terms, what: object) -> Value:
        """A polynomial that must not depend on the lane: the bound of a loop."""
        a = self.affine(polynomial)
        if a.stride or a.varying:
            raise InternalError(f"the bounds of {what} differ between the lanes of a vector")
        return self.scalar(a.uniform, a.constant)

    def vector(self, a: Affine) -> Value:
        """The index of every lane, as a vector of i64."""
        base = self.scalar(a.uniform, a.constant)
        kind = f"<{self.lanes} x i64>"
        total, depth = self.w.splat(base, self.lanes), base.depth
        if a.stride:
            step = self.scalar({k: c for k, c in a.stride.items() if k}, a.stride.get((), 0))
            depth = max(depth, step.depth)
            by = self.w.pure(f"mul nsw {kind} {self._iota()}, {self.w.splat(step, self.lanes)}", step.depth)
            total = self.w.pure(f"add nsw {kind} {by}, {total}", depth)
        for c, factors in a.varying:
            # Masked lanes may hold anything, so there is no `nsw` here.
            text = factors[0]
            for f in factors[1:]:
                text = self.w.emit(f"mul {kind} {text}, {f}")
            if c != 1:
                text = self.w.emit(f"mul {kind} {text}, splat (i64 {c})")
            total, depth = self.w.emit(f"add {kind} {total}, {text}"), self.w.depth
        return Value(total, DType.I64, self.lanes, depth)

    def pointer(self, base: str, dtype: DType, a: Affine) -> tuple[str, int]:
        """The address of lane 0 (without the varying part), and its depth: one `getelementptr` per scope."""
        key = (base, a.constant, *a.uniform.items())
        found = self._pointers.get(key)
        if found is not None:
            return found
        element, text, depth = MEMORY[dtype], base, 0
        groups: dict[int, Products] = {}
        for factors, c in a.uniform.items():
            groups.setdefault(self._deepest(factors), {})[factors] = c
        for depth in sorted(groups):
            step = self.scalar(groups[depth], 0)
            text = self.w.pure(f"getelementptr {element}, ptr {text}, i64 {step.text}", depth, "p")
        if a.constant:
            text = self.w.pure(f"getelementptr {element}, ptr {text}, i64 {a.constant}", depth, "p")
        self._pointers[key] = text, depth
        return text, depth

    def _floor(self, atom: FloorDiv) -> Binding:
        a = self.affine(terms(atom.value))
        if a.is_constant:
            return a.constant // atom.divisor
        lanewise = a.stride or a.varying
        value = self.vector(a) if lanewise else self.scalar(a.uniform, a.constant)
        d = atom.divisor
        kind = value.type
        by = str(d) if value.lanes == 1 else f"splat (i64 {d})"
        if d & (d - 1) == 0:
            shift = d.bit_length() - 1
            amount = str(shift) if value.lanes == 1 else f"splat (i64 {shift})"
            text = self.w.pure(f"ashr {kind} {value.text}, {amount}", value.depth)
            return Value(text, DType.I64, value.lanes, value.depth)
        # sdiv rounds towards zero: one less where the remainder is negative.
        sign = "63" if value.lanes == 1 else "splat (i64 63)"
        quotient = self.w.pure(f"sdiv {kind} {value.text}, {by}", value.depth)
        rest = self.w.pure(f"srem {kind} {value.text}, {by}", value.depth)
        borrow = self.w.pure(f"ashr {kind} {rest}, {sign}", value.depth)
        text = self.w.pure(f"add {kind} {quotient}, {borrow}", value.depth)
        return Value(text, DType.I64, value.lanes, value.depth)

    def _widened(self, value: Value) -> str:
        if value.dtype is not DType.I32:
            raise InternalError(f"{value} cannot index a buffer")
        to = "i64" if value.lanes == 1 else f"<{value.lanes} x i64>"
        return self.w.pure(f"sext {value} to {to}", value.depth)

    def _iota(self) -> str:
        return "<" + ", ".join(f"i64 {k}" for k in range(self.lanes)) + ">"

    def _splat(self, factor: str) -> str:
        return self.w.splat(Value(factor, DType.I64, 1, self._depth[factor]), self.lanes)

    def _deepest(self, factors: tuple[str, ...]) -> int:
        depth = self._depths.get(factors)
        if depth is None:
            depth = self._depths[factors] = max(self._depth[f] for f in factors)
        return depth

    def _by_depth(self, products: Products) -> list[tuple[str, ...]]:
        return sorted(products, key=self._deepest) if len(products) > 1 else list(products)

    def _product(self, factors: tuple[str, ...], c: int) -> str:
        if not factors:
            return str(c)
        text = self._products.get((factors, c))
        if text is None:
            ordered = sorted(factors, key=self._depth.__getitem__)
            text = ordered[0]
            for f in ordered[1:]:
                text = self.w.pure(f"mul nsw i64 {text}, {f}", self._depth[f], "x")
            if c != 1:
                text = self.w.pure(f"mul nsw i64 {text}, {c}", self._deepest(factors), "x")
            self._products[(factors, c)] = text
        return text


def _without_zeros(products: Products) -> Products:
    if all(products.values()):
        return products
    return {factors: c for factors, c in products.items() if c}
