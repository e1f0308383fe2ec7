"""Level 1, nodes: immutable, interned, typed.

A node is an operation, its operands and the type that follows from them.  `node()` is the only way to make
one: it returns the existing node where the same operation was applied to the same operands before, so equality
is identity and common subexpressions are shared by construction.

| field     | what it is |
|-----------|-----------------------------------------------------------------------------|
| `op`      | an `Op`: a frozen value that carries its static attributes |
| `src`     | the operands, in order |
| `type`    | inferred, never passed |
| `digest`  | hash of the content, the same in every process; gives canonical order |
| `origins` | where it came from; grows when the same node is written or derived again |

>>> from graphc.ops.leaves import Input
>>> from graphc.ops.elementwise import elementwise
>>> x = node(Input("x", TensorType.of("f64")))
>>> a, b = elementwise("mul", x, x), elementwise("mul", x, x)
>>> a is b, str(a.type)
(True, 'f64[]')
"""

from __future__ import annotations

import hashlib
import weakref
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, ClassVar

from graphc.errors import InternalError, Loc
from graphc.ir.types import Array, TensorType

if TYPE_CHECKING:
    from graphc.ir.block import Block
    from graphc.ir.dims import Index
    from graphc.ir.loops import Element, LoopBuilder


class Op:
    """An operation with its static attributes: a frozen dataclass whose fields are hashable.

    An operation is complete with `infer`, `vjp`, `latex`, `evaluate` and one of `loops` and `nest`.  (mypy sees to
    that.  The class is no ABC: `isinstance` takes five times as long for those, and passes ask it all the time.)
    """

    __slots__ = ()
    name: ClassVar[str] = ""

    @property
    def label(self) -> str:
        """The name that is printed; elementwise operations have one each."""
        return self.name

    @abstractmethod
    def infer(self, *operands: TensorType) -> TensorType:
        """The type of the result.  Raises ShapeError or DTypeError, without a place: the caller knows it."""

    def vjp(self, node: Node, operand: int, upstream: Node) -> Node | None:
        """`upstream × local`, as nodes, for one operand; None where the derivative is zero everywhere."""
        return None

    @abstractmethod
    def latex(self, *operands: str) -> str:
        """The operation as mathematics, over the LaTeX of its operands."""

    def local_latex(self, node: Node, operand: int, *operands: str) -> str:
        """The local gradient as mathematics: for a structural operation, a linear map."""
        wrt = operands[operand] if operand < len(operands) else "x"
        return rf"\frac{{\partial\,{self.latex(*operands)}}}{{\partial {wrt}}}"

    @abstractmethod
    def evaluate(self, dims: Mapping[str, int], *operands: Array) -> Array:
        """The value by NumPy: the first oracle.  `dims` gives the named dimensions their sizes."""

    def loops(self, node: Node, index: tuple[Index, ...], b: LoopBuilder) -> Element:
        """Statements that compute one element of the result; most operations are written this way."""
        raise InternalError(f"{self.label} does not compute element by element")

    def nest(self, node: Node, b: LoopBuilder) -> None:
        """Statements that compute the whole result, for operations that scatter; see `scatters`."""
        raise InternalError(f"{self.label} does not write its result as a whole")

    def written_out(self, node: Node) -> tuple[int, ...]:
        """For each axis, how many neighbouring elements of the result are computed together, in the same loops."""
        return ()

    scatters: ClassVar[bool] = False  # written by `nest`, so never computed inside another kernel

    spoken: ClassVar[tuple[str, ...]] = ()  # attributes that the label says already, as `sum` says its kind

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The closed graphs inside the operation: the body of a loop, a rule for its gradient."""
        return ()

    def attributes(self) -> dict[str, object]:
        """The static attributes in order, as the text form prints them after the label."""
        names = (f.name for f in fields(self) if f.name not in self.spoken)  # type: ignore[arg-type]
        return {name: getattr(self, name) for name in names}

    def key(self) -> str:
        """All that distinguishes this operation, as text, for the digest."""
        return f"{self.label}{self.attributes()}"


@dataclass(frozen=True, slots=True)
class Origin:
    """Why a node exists: `written` at a place, or derived `of` other nodes by a rule or the chain rule."""

    why: str
    loc: Loc | None = None
    of: tuple[Node, ...] = ()


class Node:
    """One operation applied to operands; see the module's table.  Made by `node()` only."""

    __slots__ = ("__weakref__", "constant", "digest", "op", "origins", "src", "type")
    constant: bool  # the same in every graph: no input, no parameter is below it
    op: Op
    src: tuple[Node, ...]
    type: TensorType
    digest: str
    origins: tuple[Origin, ...]

    def __init__(self, op: Op, src: tuple[Node, ...], type: TensorType) -> None:
        self.op, self.src, self.type = op, src, type
        text = f"{op.key()}:{type}:" + ",".join(s.digest for s in src)
        self.digest = hashlib.blake2b(text.encode(), digest_size=10).hexdigest()
        self.origins = ()
        self.constant = all(s.constant for s in src) if src else op.name not in ("input", "param", "slot")

    def __repr__(self) -> str:
        return f"<{self.op.label} {self.type} {self.digest[:6]}>"


ORIGINS_KEPT = 8
"""How many places and derivations a node remembers, the first ones."""

_table: weakref.WeakValueDictionary[tuple[Op, tuple[Node, ...]], Node] = weakref.WeakValueDictionary()
_origin: ContextVar[Origin | None] = ContextVar("origin", default=None)


def node(op: Op, *src: Node) -> Node:
    """The node of an operation applied to operands: a new one, or the one that exists."""
    key = (op, src)
    found = _table.get(key)
    if found is None:
        found = Node(op, src, op.infer(*(s.type for s in src)))
        _table[key] = found
    origin = _origin.get()
    shared = found.constant or not found.src
    if origin is not None and origin.of and shared and len(found.origins) < ORIGINS_KEPT:
        # All graphs of a process can share a constant or a slot, which must not keep alive those that are gone.
        origin = Origin(origin.why, origin.loc or nearest_location(origin.of[0]))
    if (
        origin is not None
        and len(found.origins) < ORIGINS_KEPT
        and origin not in found.origins
        and found not in origin.of
    ):
        found.origins += (origin,)
    return found


@contextmanager
def origin(why: str, loc: Loc | None = None, of: Iterable[Node] = ()) -> Iterator[None]:
    """All nodes made inside are recorded as coming from here.

    Provenance is ambient: the language layer, the gradient driver and the rewriting driver say this once
    each, and no rule ever mentions it.
    """
    token = _origin.set(Origin(why, loc, tuple(of)))
    try:
        yield
    finally:
        _origin.reset(token)


def locations(of: Node) -> tuple[Loc, ...]:
    """All places in the user's source that a node goes back to, through every derivation, in order."""
    found: dict[Loc, None] = {}
    seen = {of}
    stack = [of]
    while stack:
        for o in stack.pop().origins:
            if o.loc is not None:
                found[o.loc] = None
            for parent in o.of:
                if parent not in seen:
                    seen.add(parent)
                    stack.append(parent)
    return tuple(sorted(found, key=lambda loc: (loc.file, loc.line, loc.column)))


def nearest_location(of: Node) -> Loc | None:
    """The place that a node was written at, or else that of the nearest node that it is derived from."""
    seen, queue = {of}, [of]
    for current in queue:
        for o in current.origins:
            if o.loc is not None:
                return o.loc
            fresh = [n for n in o.of if n not in seen]
            seen.update(fresh)
            queue += fresh
    return None


def toposort(outputs: Iterable[Node], through: Callable[[Node], bool] | None = None) -> list[Node]:
    """Every node that the outputs need, operands first; the order depends on the structure only.

    With `through`, operands for which it is false are left out, and so is what only they need.
    """
    order: list[Node] = []
    done: set[Node] = set()
    stack: list[tuple[Node, bool]] = [(n, False) for n in reversed(tuple(outputs))]
    while stack:
        current, expanded = stack.pop()
        if current in done:
            continue
        if expanded:
            done.add(current)
            order.append(current)
        else:
            stack.append((current, True))
            wanted = (s for s in reversed(current.src) if s not in done)
            stack.extend((s, False) for s in wanted if through is None or through(s))
    return order
