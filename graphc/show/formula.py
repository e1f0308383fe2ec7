"""Formulas: a node, or a graph, as mathematics, in Python's notation and in LaTeX at once.

```
formula ::= factor · body                 a number in front, kept apart so that 1·x, −(−x) and 2·(½·x) shorten
body    ::= name | call | formula op formula
```

What is simplified is notation only: 1·a is a, a·a is a², a + (−b) is a − b.  A formula is written in the
names of `graphc.show.naming`; its text is in the notation of NumPy.

>>> x, y = Formula.symbol("x"), Formula.symbol("y")
>>> product(Formula.number(-1.0), difference(x, y)).whole().text
'-(x - y)'
>>> product(x, quotient(y, Formula.number(2.0))).whole().latex
'x\\\\,\\\\frac{y}{2}'
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from graphc.ir.node import Node, toposort
from graphc.ops.leaves import symbol_latex

RELATION, SUM, PRODUCT, MATRIX, POWER, ATOM = range(6)
"""How tightly a formula holds together: it is bracketed where that is less than its place asks."""


@dataclass(frozen=True, slots=True)
class Formula:
    """`factor` times a body, as text and as LaTeX, with how tightly each holds; no body: just the number.

    `spread`: the formula stands for a larger tensor, all along which it is repeated.
    """

    text: str
    latex: str
    level: int = ATOM
    latex_level: int = ATOM
    factor: float = 1.0
    spread: bool = False

    @staticmethod
    def symbol(text: str, latex: str | None = None) -> Formula:
        return Formula(text, symbol_latex(text) if latex is None else latex)

    @staticmethod
    def number(value: float) -> Formula:
        return Formula("", "", factor=value)

    @property
    def is_number(self) -> bool:
        return not self.text

    def times(self, factor: float) -> Formula:
        return replace(self, factor=self.factor * factor)

    def whole(self) -> Formula:
        """The same with the factor written out: factor 1, and never without a body."""
        value, text = self.factor, number_text(abs(self.factor))
        sign = "-" if value < 0 else ""
        level = PRODUCT if value >= 0 else SUM
        if self.is_number:
            held = ATOM if value >= 0 else SUM
            return Formula(sign + text, sign + number_latex(abs(value)), held, held, 1.0, self.spread)
        if value == 1:
            return self
        body, latex = self.at(PRODUCT), self.latex_at(PRODUCT)
        if abs(value) == 1:
            return Formula(sign + body, sign + latex, level, level, 1.0, self.spread)
        gap = r" \cdot " if latex[:1].isdigit() else r"\,"
        front = number_latex(abs(value))
        latex = f"{sign}{front}{gap}{latex}"
        return Formula(f"{sign}{text} * {body}", latex, level, level, 1.0, self.spread)

    def at(self, level: int) -> str:
        """The body's text (all of it where the factor is 1), in brackets where the place asks for more."""
        return self.text if self.level >= level else f"({self.text})"

    def latex_at(self, level: int) -> str:
        return self.latex if self.latex_level >= level else rf"\left({self.latex}\right)"


def number_text(value: float) -> str:
    """A number to six digits: 3, 0.1, 1e-05, inf."""
    return f"{value:.6g}"


def number_latex(value: float) -> str:
    r"""A number in LaTeX: 3, 0.1, 10^{-5}, \infty."""
    text = number_text(value)
    if text == "inf":
        return r"\infty"
    mantissa, _, exponent = text.partition("e")
    if not exponent:
        return text
    power = f"10^{{{int(exponent)}}}"
    return power if mantissa == "1" else rf"{mantissa} \cdot {power}"


_TURNED = {"<": (">", ">"), "<=": (">=", r"\ge"), ">": ("<", "<"), ">=": ("<=", r"\le")}


def add(a: Formula, b: Formula) -> Formula:
    """a + b, or a − |b|."""
    if a.is_number and a.factor == 0:
        return b
    if b.is_number and b.factor == 0:
        return a
    if a.text == b.text:
        return a.times((a.factor + b.factor) / a.factor) if a.factor else b
    if b.factor < 0:
        return difference(a, b.times(-1))
    left, right = a.whole(), b.whole()
    return Formula(
        f"{left.at(SUM)} + {right.at(SUM)}", f"{left.latex_at(SUM)} + {right.latex_at(SUM)}", SUM, SUM
    )


def difference(a: Formula, b: Formula) -> Formula:
    """a − b, or a + |b|."""
    if b.is_number and b.factor == 0:
        return a
    if a.is_number and a.factor == 0:
        return b.times(-1)
    if b.factor < 0:
        return add(a, b.times(-1))
    left, right = a.whole(), b.whole()
    latex = f"{left.latex_at(SUM)} - {right.latex_at(PRODUCT)}"
    return Formula(f"{left.at(SUM)} - {right.at(PRODUCT)}", latex, SUM, SUM)


def product(a: Formula, b: Formula, sign: str = r"\,") -> Formula:
    r"""a · b; `sign` stands between the two in LaTeX (\odot between tensors)."""
    factor = a.factor * b.factor
    if a.is_number or b.is_number:
        return replace(b if a.is_number else a, factor=factor)
    if a.text == b.text:
        return replace(power(replace(a, factor=1.0), Formula.number(2.0)), factor=factor)
    # Python reads a * B @ C as (a * B) @ C.
    right = f"({b.text})" if b.level == MATRIX else b.at(PRODUCT)
    text = f"{a.at(PRODUCT)} * {right}"
    latex = f"{a.latex_at(PRODUCT)}{sign}{b.latex_at(PRODUCT)}"
    return Formula(text, latex, PRODUCT, PRODUCT, factor)


def quotient(a: Formula, b: Formula) -> Formula:
    """a / b; a sign goes in front."""
    sign = -1.0 if (a.factor < 0) != (b.factor < 0) else 1.0
    above, below = replace(a, factor=abs(a.factor)), replace(b, factor=abs(b.factor))
    if below.is_number and below.factor == 1:
        return above.times(sign)
    if above.is_number and 0 < above.factor < 1 and (1 / above.factor).is_integer():
        above, below = Formula.number(1.0), below.times(1 / above.factor)  # 0.5 / x is 1 / (2 x)
    top, bottom = above.whole(), below.whole()
    latex = rf"\frac{{{top.latex}}}{{{bottom.latex}}}"
    return Formula(f"{top.at(PRODUCT)} / {bottom.at(POWER)}", latex, PRODUCT, MATRIX, sign)


def power(a: Formula, b: Formula) -> Formula:
    """a ** b."""
    base, exponent = a.whole(), b.whole()
    latex = f"{base.latex_at(ATOM)}^{{{exponent.latex}}}"
    return Formula(f"{base.at(ATOM)}**{exponent.at(ATOM)}", latex, POWER, POWER)


def call(name: str, *args: Formula, latex: str | None = None, extra: str = "") -> Formula:
    r"""name(args): \operatorname{name}\left(args\right), unless `latex` says otherwise."""
    parts = [a.whole() for a in args]
    text = f"{name}({', '.join([*(p.text for p in parts), *([extra] if extra else [])])})"
    if latex is None:
        escaped = name.replace("_", r"\_")
        latex = rf"\operatorname{{{escaped}}}\left({', '.join(p.latex for p in parts)}\right)"
    return Formula(text, latex)


def relation(sign: str, latex_sign: str, a: Formula, b: Formula) -> Formula:
    """a < b and its like; a number goes to the right: 0 < h is h > 0."""
    if a.is_number and not b.is_number and sign in _TURNED:
        return relation(*_TURNED[sign], b, a)
    left, right = a.whole(), b.whole()
    return Formula(
        f"{left.at(SUM)} {sign} {right.at(SUM)}",
        f"{left.latex_at(SUM)} {latex_sign} {right.latex_at(SUM)}",
        RELATION,
        RELATION,
    )


def token(k: int) -> str:
    """A stand-in for operand k in LaTeX that an operation writes; `fill` puts the operand there."""
    return f"QQ{'abcdefgh'[k]}QQ"


def fill(template: str, operands: Sequence[Formula]) -> str:
    """LaTeX with its stand-ins replaced, in brackets unless they are enclosed already.

    >>> fill("QQaQQ^{QQbQQ}", [Formula("x + y", "x + y", SUM, SUM), Formula("a - b", "a - b", SUM, SUM)])
    '\\\\left(x + y\\\\right)^{a - b}'
    """

    def put(match: re.Match[str]) -> str:
        before, letter, after = match.groups()
        part = operands["abcdefgh".index(letter)].whole()
        script = template[match.end() : match.end() + 1] in ("_", "^")
        enclosed = (before, after.strip()) in (("{", "}"), ("(", ")"), (r"\left(", r"\right)"), ("[", "]"))
        if enclosed:
            return f"{before}{part.latex}{after}"
        held = part.latex_at(ATOM)
        return f"{before}{{{held}}}{after}" if script and "_" in held else f"{before}{held}{after}"

    return re.sub(r"(\{|\\left\(|\(|\[|)QQ([a-h])QQ(\}|\s*\\right\)|\)|\]|)", put, template)


def formulas(
    targets: Sequence[Node], names: Mapping[Node, Formula], limit: int = 0
) -> tuple[dict[Node, Formula], list[tuple[Formula, Formula]]]:
    """The formula of each target over the named nodes, and the definitions of parts that were given a name.

    A target is spelled out even where it has a name itself.  With a `limit`, a part whose text is longer, or
    that several places share, is defined once under a name of its own: t1, t2, ...
    """
    from graphc.show.notation import compose

    order = toposort(targets, lambda n: n not in names)
    uses: dict[Node, int] = {}
    for n in order:
        for s in n.src:
            uses[s] = uses.get(s, 0) + 1
    known: dict[Node, Formula] = {}
    spelled: dict[Node, Formula] = {}
    definitions: list[tuple[Formula, Formula]] = []
    taken = {f.text for f in names.values()} if limit else set()
    wanted = set(targets)
    for n in order:
        found = compose(n, [names[s] if s in names else known[s] for s in n.src])
        if n in wanted:
            spelled[n] = found
        if n in names:
            continue
        length = len(found.text)
        if limit and (length > limit or (uses.get(n, 0) > 1 and length > limit // 4)) and uses.get(n, 0):
            count = len(definitions) + 1
            while f"t{count}" in taken:
                count += 1
            taken.add(f"t{count}")
            symbol = Formula.symbol(f"t{count}")
            definitions.append((symbol, found))
            found = symbol
        known[n] = found
    return {t: spelled[t] for t in targets}, definitions
