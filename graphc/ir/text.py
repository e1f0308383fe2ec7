"""Level 1 as text: the printer, and the reader that gives the same graph back.

```
text       ::= block* "graph" name line* return
block      ::= "block" name line* return         the body of a loop or a branch; `slot` lines are its operands
return     ::= "return" (ref ("," ref)*)?
line       ::= ref ":" type "=" operation ref* ("{" attribute ("," attribute)* "}")?
             | "update" ref "<-" ref
attribute  ::= key "=" literal            literals as in Python, and inf, nan; named dimensions are strings,
                                          and so are blocks: '@name', of a block that stands above
ref        ::= "%" int                    operands stand before the nodes that use them
```

`#` begins a comment.  Inputs are arguments in the order in which they stand.  The values of parameters are no
part of the text: what is read back holds zeros.

>>> from graphc.ir.node import node
>>> from graphc.ops.elementwise import elementwise
>>> from graphc.ops.leaves import Input
>>> from graphc.ops.registry import read_graph
>>> x = node(Input("x", TensorType.of("f64")))
>>> text = graph_text(Graph("square", (x,), (elementwise("mul", x, x),)))
>>> print(text)
graph square
  %0: f64[] = input {name='x'}
  %1: f64[] = mul %0 %0
  return %1
>>> graph_text(read_graph(text)) == text
True
"""

from __future__ import annotations

import ast
import difflib
import itertools
import linecache
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from graphc.errors import GraphcError, GraphError, Loc
from graphc.ir.block import Block, Slot, blocks_inside
from graphc.ir.dims import Dim, parse
from graphc.ir.graph import Graph
from graphc.ir.node import Node, Op, locations, node
from graphc.ir.types import TensorType, printed_dtype
from graphc.ir.verify import verify_graph


def attribute_text(op: Op, blocks: Mapping[Block, str]) -> str:
    """Static attributes as `{axes=(1,)}`; dimensions that are no integers, and blocks, as strings."""

    def plain(value: object) -> object:
        if isinstance(value, Dim):
            return str(value)
        if isinstance(value, Block):
            return blocks.get(value, str(value))
        if isinstance(value, tuple):
            return tuple(plain(v) for v in value)
        return getattr(value, "value", value) if hasattr(type(value), "__members__") else value

    found = op.attributes()
    return " {" + ", ".join(f"{k}={plain(v)!r}" for k, v in found.items()) + "}" if found else ""


def node_text(n: Node, number: Callable[[Node], str], blocks: Mapping[Block, str] | None = None) -> str:
    """One line: `%3: f32[N] = sum %2 {axes=(1,)}`; `blocks` are the names of blocks."""
    operands = "".join(f" {number(s)}" for s in n.src)
    return f"{number(n)}: {n.type} = {n.op.label}{operands}{attribute_text(n.op, blocks or {})}"


def graph_text(graph: Graph, *, sources: bool = False) -> str:
    """The text form, one node a line; with `sources`, each line says where it was written.

    The blocks of loops and branches stand above the graph, those inside others first.
    """
    names = {b: f"@b{k}" for k, b in enumerate(blocks_inside(graph.nodes))}
    parts = [
        _section("block", Graph(name[1:], b.slots, b.outputs), names, sources) for b, name in names.items()
    ]
    return "\n\n".join([*parts, _section("graph", graph, names, sources)])


def _section(kind: str, graph: Graph, blocks: Mapping[Block, str], sources: bool) -> str:
    lines = [f"{kind} {graph.name}", *_node_lines(graph, blocks, sources)]
    lines.extend(f"  update %{graph.numbers[p]} <- %{graph.numbers[v]}" for p, v in graph.updates)
    lines.append("  return" + ",".join(f" %{graph.numbers[o]}" for o in graph.outputs))
    return "\n".join(lines)


def node_lines(graph: Graph) -> dict[Node, str]:
    """The line of each node in the text of a graph."""
    names = {b: f"@b{k}" for k, b in enumerate(blocks_inside(graph.nodes))}
    return dict(zip(graph.nodes, _node_lines(graph, names, False), strict=True))


def _node_lines(graph: Graph, blocks: Mapping[Block, str], sources: bool) -> list[str]:
    rows = [(node_text(n, lambda m: f"%{graph.numbers[m]}", blocks), n) for n in graph.nodes]
    width = min(72, max((len(text) for text, _ in rows), default=0))
    lines = []
    for text, n in rows:
        where = locations(n) if sources else ()
        more = f"  (+{len(where) - 1})" if len(where) > 1 else ""
        place = f"{where[0]}  {where[0].text}".rstrip() if where else ""
        lines.append(f"  {text:<{width}}  # {place}{more}" if place else f"  {text}")
    return lines


@dataclass(frozen=True, slots=True)
class Operation:
    """What the reader must know of an operation: its number of operands (None: one or more), and how the
    attributes and the annotated type make it."""

    arity: int | None
    make: Callable[[Mapping[str, object], TensorType], Op]


def parse_graph(text: str, operations: Mapping[str, Operation], *, source: str = "<graph>") -> Graph:
    """Read what `graph_text` prints; `source` names the text in errors.

    Types are inferred and compared with what is written.  Raises GraphError at the line and columns: a cycle,
    an undefined node, an unknown operation, a type that does not follow, attributes that an operation lacks.
    """
    return _Reader(text, operations, source).graph()


_CODE = re.compile(r"""(?:[^'"#]+|'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|['"])*""")
_NODE = re.compile(r"\s*%(\d+)\s*:\s*(\w+\[[^\]]*\])\s*=\s*(\w+)((?:\s+%\d+)*)\s*(?:\{(.*)\})?\s*")
_UPDATE = re.compile(r"\s*update\s+%(\d+)\s*<-\s*%(\d+)\s*")
_RETURN = re.compile(r"\s*return((?:\s*,?\s*%\d+)*)\s*")


@dataclass(frozen=True, slots=True)
class _Line:
    """A line that defines a node, in pieces."""

    at: int
    match: re.Match[str]
    number: int
    operands: tuple[int, ...]


class _Reader:
    """One reading of one text."""

    def __init__(self, text: str, operations: Mapping[str, Operation], source: str) -> None:
        self.lines = text.splitlines()
        self.operations, self.source = operations, source
        self.defined: dict[int, _Line] = {}
        self.built: dict[int, Node] = {}
        self.types: dict[str, TensorType] = {}
        self.blocks: dict[str, Block] = {}

    def graph(self) -> Graph:
        kind = name = ""
        updates: list[tuple[int, re.Match[str]]] = []
        ending: tuple[int, re.Match[str]] | None = None
        for at, line in enumerate(self.lines):
            code = self.code(at)
            if not code.strip():
                continue
            if not name:
                head = re.fullmatch(r"\s*(graph|block)\s+(.*\S)\s*", code)
                if head is None:
                    raise self.error("this is no graph", at, fix='begin with a line "graph NAME"')
                kind, name = head[1], head[2]
            elif ending is not None:
                raise self.error("the graph goes on after its return", at)
            elif found := _NODE.fullmatch(code):
                number = int(found[1])
                if number in self.defined:
                    raise self.error(f"%{number} is defined twice", at, found.span(1))
                operands = tuple(int(r) for r in re.findall(r"\d+", found[4]))
                self.defined[number] = _Line(at, found, number, operands)
            elif found := _UPDATE.fullmatch(code):
                updates.append((at, found))
            elif found := _RETURN.fullmatch(code):
                if kind == "graph":
                    ending = at, found
                    continue
                if updates:
                    raise self.error("a block updates no parameters", updates[0][0])
                self.block(name, at, found)
                name = ""
            else:
                fix = "write `%3: f32[N] = sum %2 {axes=(1,)}`, an update or the return"
                raise self.error(f"cannot read {line.strip()[:60]!r}", at, fix=fix)
        if ending is None:
            last = max(0, len(self.lines) - 1)
            raise self.error("the graph has no return", last, fix='end with a line "return %0"')
        self.build()
        return self.verified(name, updates, ending)

    def build(self) -> None:
        """All nodes of a graph or a block."""
        for defined in self.defined.values():
            self.built[defined.number] = self.node(defined)

    def block(self, name: str, at: int, ending: re.Match[str]) -> None:
        """A block is complete; the next section has numbers of its own."""
        self.build()
        slots = {n.op.index: n for n in self.built.values() if isinstance(n.op, Slot)}
        if sorted(slots) != list(range(len(slots))):
            raise self.error(f"the slots of the block {name} are not 0 to {len(slots) - 1}", at)
        if any(not isinstance(n.op, Slot) and n.op.name in ("input", "param") for n in self.built.values()):
            raise self.error(
                f"the block {name} has an input or a parameter", at, fix="give it a slot instead"
            )
        types = tuple(slots[k].type for k in range(len(slots)))
        self.blocks[f"@{name}"] = Block(types, self.outputs(at, ending))
        self.defined, self.built = {}, {}

    def outputs(self, at: int, found: re.Match[str]) -> tuple[Node, ...]:
        return tuple(
            self.ref(int(r[0]), at, (found.start(1) + r.start() - 1, found.start(1) + r.end()))
            for r in re.finditer(r"\d+", found[1])
        )

    def verified(
        self, name: str, updates: list[tuple[int, re.Match[str]]], ending: tuple[int, re.Match[str]]
    ) -> Graph:
        at, found = ending
        outputs = self.outputs(at, found)
        graph = Graph(
            name,
            tuple(n for n in dict.fromkeys(self.built.values()) if n.op.name == "input"),
            outputs,
            tuple((self.ref(int(m[1]), k, m.span(1)), self.ref(int(m[2]), k, m.span(2))) for k, m in updates),
        )
        try:
            verify_graph(graph)
        except GraphError as error:
            raise self.placed(error, updates[0][0] if updates else at) from None
        return graph

    def node(self, line: _Line) -> Node:
        """The node of a line; its operands stand before it."""
        at, match = line.at, line.match
        for operand in line.operands:
            if operand not in self.built:
                place = next(m for m in re.finditer(r"%(\d+)", match[4]) if int(m[1]) == operand)
                span = match.start(4) + place.start(), match.start(4) + place.end()
                if operand in self.defined:
                    raise self.later(line, operand, span)
                raise self.error(f"%{operand} is not defined", at, span)
        operation = self.operations.get(match[3])
        if operation is None:
            near = difflib.get_close_matches(match[3], self.operations, n=1)
            fix = f"did you mean {near[0]}?" if near else ""
            raise self.error(f"there is no operation {match[3]!r}", at, match.span(3), fix=fix)
        given, arity = len(line.operands), operation.arity
        if given != arity if arity is not None else given == 0:
            what = f"{match[3]} takes {'at least one' if arity is None else arity or 'no'} operand"
            raise self.error(f"{what}{'s' * (arity not in (1, None))}, not {given}", at, match.span(3))
        try:
            annotated = self.type(line)
            op = operation.make(self.attributes(line), annotated)
            made = node(op, *(self.built[k] for k in line.operands))
        except GraphcError as error:
            raise self.placed(error, at) from None
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            # Attributes that the language would never have built.
            what = f"{match[3]} cannot have these operands and attributes"
            raise self.error(what, at, why=str(error)) from None
        if made.type != annotated:
            types = " and ".join(str(s.type) for s in made.src)
            raise self.error(
                f"%{line.number} is not {annotated}",
                at,
                match.span(2),
                why=f"{match[3]}{' of ' + types if types else ''} is {made.type}",
                fix=f"write {made.type}",
            )
        return made

    def type(self, line: _Line) -> TensorType:
        text = line.match[2]
        if text not in self.types:
            dtype, _, dims = text[:-1].partition("[")
            shape = tuple(parse(d) for d in dims.split(",")) if dims.strip() else ()
            self.types[text] = TensorType(printed_dtype(dtype), shape)
        return self.types[text]

    def attributes(self, line: _Line) -> dict[str, object]:
        if not line.match[5]:
            return {}
        try:
            call = ast.parse(f"_({line.match[5]})", mode="eval").body
        except SyntaxError as error:
            raise GraphError("cannot read the attributes", why=error.msg) from None
        if not isinstance(call, ast.Call) or call.args or any(k.arg is None for k in call.keywords):
            raise GraphError("cannot read the attributes", fix="write them as {key=value, ...}")
        if len({k.arg for k in call.keywords}) < len(call.keywords):
            raise GraphError("an attribute is given twice")
        return {k.arg: self.attribute(_literal(k.value)) for k in call.keywords if k.arg is not None}

    def attribute(self, value: object) -> object:
        """A value; a name with @ is a block."""
        if not isinstance(value, str) or not value.startswith("@"):
            return value
        if value not in self.blocks:
            raise GraphError(f"there is no block {value!r} above", fix="write the block before the graph")
        return self.blocks[value]

    def code(self, at: int) -> str:
        """A line without its comment."""
        found = _CODE.match(self.lines[at])
        return found[0] if found else ""

    def ref(self, number: int, at: int, span: tuple[int, int]) -> Node:
        if number not in self.built:
            raise self.error(f"%{number} is not defined", at, span)
        return self.built[number]

    def later(self, line: _Line, operand: int, span: tuple[int, int]) -> GraphError:
        """The error for an operand that stands below: a cycle if its own operands lead back here."""
        user: dict[int, int] = {}
        stack = [operand]
        while stack:
            current = stack.pop()
            if current == line.number:
                path = [current]
                while path[-1] != operand:
                    path.append(user[path[-1]])
                path = [line.number, *reversed(path)]
                why = ", ".join(f"%{a} uses %{b}" for a, b in itertools.pairwise(path))
                return self.error("the graph has a cycle", line.at, span, why=why)
            for k in self.defined[current].operands if current in self.defined else ():
                if k not in user:
                    user[k] = current
                    stack.append(k)
        return self.error(f"%{operand} stands below its use", line.at, span, fix="put it before")

    def error(
        self, what: str, at: int, span: tuple[int, int] | None = None, *, why: str = "", fix: str = ""
    ) -> GraphError:
        return self.placed(GraphError(what, why=why, fix=fix), at, span)

    def placed(self, error: GraphcError, at: int, span: tuple[int, int] | None = None) -> GraphError:
        """The error at a line of the text, which the standard library is told, as for any source."""
        line = self.lines[at] if self.lines else ""
        code = self.code(at) if self.lines else ""
        start, end = span or (len(code) - len(code.lstrip()), len(code.rstrip()))
        loc = Loc(self.source, at + 1, len(line[:start].encode()), len(line[:end].encode()), at + 1)
        if self.source.startswith("<"):
            linecache.cache[self.source] = (len(line), None, [k + "\n" for k in self.lines], self.source)
        return GraphError(error.what, where=loc, why=error.why, fix=error.fix)


def _literal(tree: ast.expr) -> object:
    """A Python literal of numbers, strings, lists and tuples; also inf and nan."""
    match tree:
        case ast.Constant(value=bool() | int() | float() | str() as value):
            return value
        case ast.Name(id="inf" | "nan" as name):
            return float(name)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            positive = _literal(operand)
            if isinstance(positive, (int, float)):
                return -positive
        case ast.Tuple(elts=elements):
            return tuple(_literal(e) for e in elements)
        case ast.List(elts=elements):
            return [_literal(e) for e in elements]
    raise GraphError(f"{ast.unparse(tree)!r} is no literal", fix="write numbers, strings, lists and tuples")
