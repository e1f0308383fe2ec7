"""Formulas: what the text says is what the graph computes, and the LaTeX is well formed."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as gc
from graphc.autodiff.point import point_at
from graphc.errors import GraphcError, InternalError
from graphc.ir.node import Node
from graphc.lang.tensor import Tensor
from graphc.ops.elementwise import Elementwise
from graphc.ops.table import ROWS
from graphc.show.backprop import backprop
from graphc.show.derive import derive
from graphc.show.formula import Formula, add, difference, formulas, number_latex, power, product, quotient
from graphc.show.latex import latex
from graphc.show.naming import assignments, name_nodes
from graphc.show.notation import matrix_product

# The text of a formula is evaluated with these: NumPy, and the rows of the op table.
WORLD: dict[str, object] = {
    "sum": np.sum,
    "max": np.max,
    "min": np.min,
    "outer": np.outer,
    "einsum": np.einsum,
    "where": np.where,
    "reshape": np.reshape,
    "ones": np.ones,
    "broadcast": np.broadcast_to,
    "transpose": np.transpose,
    "concat": lambda *a: np.concatenate(a),
    "gather": np.take,
}


def _row(name: str) -> Callable[..., object]:
    def run(*args: object) -> object:
        return Elementwise(name).evaluate({}, *(np.asarray(a, dtype=np.float64) for a in args))

    return run


WORLD.update({name: _row(name) for name, row in ROWS.items() if row.differentiable and name != "where"})
RNG = np.random.default_rng(3)
A0, B0, V0 = RNG.uniform(0.5, 1.5, (2, 3)), RNG.uniform(0.5, 1.5, (3, 3)), RNG.uniform(0.5, 1.5, 3)

EXPRESSIONS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "difference of a difference": lambda a, b, v: v - (v * 3.0 - (v - 1.0)),
    "quotients": lambda a, b, v: v / (v / (v * v)) / 2.0,
    "quotient of a sum": lambda a, b, v: (v + 1.0) / (v - 3.0) * v,
    "powers": lambda a, b, v: (v + 1.0) ** 2 * gc.power(v, v + 0.5) ** 3.0,
    "signs": lambda a, b, v: -(0.0 - v) - (-v * 2.0) + (-(v + 1.0)) * (-v),
    "halves": lambda a, b, v: 0.5 * (2.0 * (v * v)) * v - v * v,
    "a sum with itself": lambda a, b, v: v * 2.0 + v * 2.0 - 3.0 * v,
    "products of matrices": lambda a, b, v: (a @ b) @ b.T + a * 2.0,
    "matrix times sum": lambda a, b, v: a @ (b + b.T) @ (b * b),
    "elementwise and matrix": lambda a, b, v: (a * a) @ b * a * (a @ b),
    "vectors": lambda a, b, v: (a @ v) @ (a @ (b @ v)) * v,
    "row vector": lambda a, b, v: v @ b - v @ b.T,
    "outer": lambda a, b, v: gc.outer(v, v + 1.0) @ b,
    "reductions": lambda a, b, v: gc.sum(a, axis=0) * gc.max(b, axis=1) - gc.min(a) * gc.sum(b * 2.0),
    "slices": lambda a, b, v: a[1] + a[0, ::-1] * b[2, 0:3],
    "calls": lambda a, b, v: gc.tanh(v) ** 2 - gc.sigmoid(v - 1.0) * gc.softplus(-v) + gc.gelu(v),
    "choices": lambda a, b, v: gc.where(v > 1.0, v, -v) * gc.where(v > 1.0, 1.0, 0.0) + gc.abs(v - 1.0),
    "batched": lambda a, b, v: gc.sum(gc.stack([b, b * b]) @ gc.stack([b, b.T]), axis=0),
    "transposes": lambda a, b, v: a.T.T @ b.T + (a + 1.0).T.T,
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_the_text_of_a_formula_computes_the_value_of_the_graph(name: str) -> None:
    a, b, v = gc.input("a", (2, 3)), gc.input("b", (3, 3)), gc.input("v", (3,))
    f = EXPRESSIONS[name](a, b, v)
    leaves = {t.node: Formula.symbol(t.name) for t in (a, b, v)}
    text = formulas([f.node], leaves)[0][f.node].whole().text
    said = eval(text, {"__builtins__": {}}, {**WORLD, "a": A0, "b": B0, "v": V0})
    used = {n: x for n, x in ((a, A0), (b, B0), (v, V0)) if re.search(rf"\b{n.name}\b", text)}
    value = point_at([f.node], used).evaluate([f.node])[f.node]
    np.testing.assert_allclose(np.squeeze(np.asarray(said, dtype=float)), value, rtol=1e-12, err_msg=text)
    well_formed(latex(f))


@pytest.mark.parametrize("name", [n for n in EXPRESSIONS if n != "choices"])
def test_the_formulas_of_the_gradients_compute_them(name: str) -> None:
    """Each closed formula of a derivation, in the names of the forward pass, is the number beside it."""
    a, b, v = gc.input("a", (2, 3)), gc.input("b", (3, 3)), gc.input("v", (3,))
    y = EXPRESSIONS[name](a, b, v)
    leaves = [t for t in (a, b, v) if t.node in name_nodes([y.node])]
    t = backprop(gc.sum(y), leaves, {x: {"a": A0, "b": B0, "v": V0}[x.name] for x in leaves})
    world = {**WORLD, **{q.symbol: q.value for q in t.forward}}
    checked = 0
    for q in (*t.forward, *(e.local for e in t.edges), *(e.downstream for e in t.edges)):
        if q.value is None or "∂" in q.formula or "pad" in q.formula or " and " in q.formula:
            continue
        said = np.asarray(eval(q.formula, {"__builtins__": {}}, world), dtype=float)
        close = np.broadcast_to(np.squeeze(said), np.squeeze(q.value).shape)
        np.testing.assert_allclose(close, np.squeeze(q.value), rtol=1e-6, atol=1e-12, err_msg=str(q))
        checked += 1
    assert checked >= 4
    well_formed(t.to_latex())


def well_formed(text: str) -> None:
    """Braces, \\left and environments match, and nothing has two subscripts or two superscripts."""
    bare = text.replace(r"\{", "").replace(r"\}", "")
    depth = 0
    for c in bare:
        depth += (c == "{") - (c == "}")
        assert depth >= 0, text
    assert depth == 0, text
    assert len(re.findall(r"\\left\b", text)) == len(re.findall(r"\\right\b", text)), text
    assert re.findall(r"\\begin\{(\w+\*?)\}", text).sort() == re.findall(r"\\end\{(\w+\*?)\}", text).sort(), (
        text
    )
    group = r"(\{(?:[^{}]|\{[^{}]*\})*\}|\w)"
    for script in ("_", r"\^"):
        assert not re.search(rf"{script}{group}\s*{script}", text), text
    assert "QQ" not in text and "«" not in text, text


@pytest.mark.parametrize(
    "name", [r.name for r in ROWS.values() if r.differentiable and r.name != "stop_gradient"]
)
def test_every_row_can_be_derived(name: str) -> None:
    row = ROWS[name]
    xs = [gc.input(f"{operand}_1") for operand in row.operands]
    args: list[Any] = [x > 0.3 if row.dtype == "select" and k == 0 else x for k, x in enumerate(xs)]
    if name == "polygamma":  # an order is a whole number
        args[0] = 1
    result = getattr(gc, name)(*args)
    well_formed(derive(result, xs[1:] if name == "polygamma" or row.dtype == "select" else xs).latex)


def test_derivation_of_w03() -> None:
    x, y, z = gc.inputs("x y z")
    q = x + y
    f = q * z
    assert derive(f, [x, z]).latex == "\n".join(
        [
            r"\begin{align*}",
            r"q &= x + y \\",
            r"f &= q\,z \\[1.5ex]",
            step("f", "q", "f", "q", r"1 \cdot z = z"),
            step("f", "z", "f", "z", r"1 \cdot q = q"),
            step("f", "x", "q", "x", r"z \cdot 1 = z").removesuffix(r"\\") + r"\\[1.5ex]",
            r"\frac{\partial f}{\partial x} &= z \\",
            r"\frac{\partial f}{\partial z} &= q",
            r"\end{align*}",
        ]
    )
    numbers = derive(f, z, at={x: -2.0, y: 5.0, z: -4.0}).latex
    assert r"1 \cdot q = q = 1 \cdot 3 = 3" in numbers and r"f &= q\,z = -12" in numbers


def step(of: str, by: str, up: str, local: str, rest: str) -> str:
    def part(a: str, b: str) -> str:
        return rf"\frac{{\partial {a}}}{{\partial {b}}}"

    upstream = rf"\underbrace{{{part(of, up)}}}_{{\text{{upstream}}}}"
    factor = rf"\underbrace{{{part(up, local)}}}_{{\text{{local}}}}"
    return rf"{part(of, by)} &= {upstream} \cdot {factor} = {rest} \\"


def test_matrix_products_show_the_transposed_factor() -> None:
    X, W = gc.input("X", ("N", 3)), gc.input("W", (3, 2))
    y = X @ W
    text = derive(gc.sum(y * y), [X, W]).latex
    up = r"\frac{\partial f}{\partial y}"
    assert rf"\underbrace{{{up}}}_{{\text{{upstream}}}}\,\underbrace{{W^{{\top}}}}_{{\text{{local}}}}" in text
    assert rf"\underbrace{{X^{{\top}}}}_{{\text{{local}}}}\,\underbrace{{{up}}}_{{\text{{upstream}}}}" in text


def test_a_document_can_be_compiled_as_it_is() -> None:
    x = gc.input("x")
    found = derive(gc.sin(x), document=True)
    assert str(found) == found.document != found.latex
    assert found.document.startswith("\\documentclass{article}") and found.document.endswith(
        "\\end{document}\n"
    )
    assert found.latex in found.document and r"\usepackage{amsmath}" in found.document


def test_a_wrong_gradient_is_never_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Elementwise.vjp

    def wrong(self: Elementwise, n: Node, operand: int, upstream: Node) -> Node | None:
        found = right(self, n, operand, upstream)
        if self.row_name != "sin" or found is None:
            return found
        from graphc.ops.elementwise import elementwise

        return elementwise("neg", found)

    x = gc.input("x")
    f = gc.sin(x)
    monkeypatch.setattr(Elementwise, "vjp", wrong)
    with pytest.raises(InternalError, match="is not"):
        derive(f)
    # The local gradient may be wrong in the same way: then the differences tell.
    monkeypatch.setattr(Elementwise, "local", lambda self, n, k: wrong(self, n, k, _one(n)))
    with pytest.raises(InternalError, match="disagrees with differences"):
        derive(f)


def _one(n: Node) -> Node:
    from graphc.ops.elementwise import constant_like

    return constant_like(1.0, n)


def test_a_point_is_looked_for_inside_the_domain() -> None:
    x, y = gc.inputs("x y")
    assert r"\frac{1}{x}" in derive(gc.log(x) + gc.sqrt(y), x).latex
    with pytest.raises(GraphcError, match="no point was found"):
        derive(gc.log(-gc.exp(x)), x)


def test_formulas_with_shared_parts_stay_as_small_as_the_graph() -> None:
    x = gc.input("x")
    h = x
    for _ in range(200):
        h = gc.sin(h) * h + h
    text = latex(h)
    assert len(text) < 200 * 120 and text.count("&=") > 60
    well_formed(text)


def test_notation_is_simplified() -> None:
    x, y = Formula.symbol("x"), Formula.symbol("y")
    half, two, one = (Formula.number(v) for v in (0.5, 2.0, 1.0))
    cases = [
        (product(one, x), "x"), (product(two, product(half, x)), "x"), (product(x, x), "x**2"),
        (product(Formula.number(-1.0), x).times(-1), "x"), (add(x, y.times(-1)), "x - y"),
        (difference(x, y.times(-2)), "x + 2 * y"), (difference(x, add(x, y)), "x - (x + y)"),
        (product(add(x, one), y), "(x + 1) * y"), (quotient(x, product(x, y)), "x / (x * y)"),
        (power(add(x, y), two), "(x + y)**2"), (add(x, x), "2 * x"), (quotient(half, x), "1 / (2 * x)"),
        (power(x.times(-1), two), "(-x)**2"), (add(x, Formula.number(0.0)), "x"),
    ]  # fmt: skip
    assert [f.whole().text for f, _ in cases] == [text for _, text in cases]
    assert number_latex(1e-5) == "10^{-5}" and number_latex(2.5e8) == r"2.5 \cdot 10^{8}"
    assert number_latex(math.inf) == r"\infty"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("ij,jk->ik", "0 1"), ("ik,jk->ij", "0 1T"), ("ij,ik->jk", "0T 1"), ("ij,jk->ki", "1T 0T"),
        ("ij,j->i", "0 1"), ("ij,i->j", "0T 1"), ("i,ij->j", "1T 0"), ("j,ij->i", "1 0"), ("i,j->ij", "0 1T"),
        ("i,j->ji", "1 0T"), ("j,j->", "0T 1"), ("ij,ij->ij", None), ("aij,ajk->aik", None), ("ij,ij->", None),
    ],
)  # fmt: skip
def test_contractions_are_read_as_matrix_products(spec: str, expected: str | None) -> None:
    operands, _, result = spec.partition("->")
    found = matrix_product(*operands.split(","), result)
    written = None if found is None else " ".join(f"{s.operand}{'T' * s.turned}" for s in found)
    assert written == expected


def test_assignments_are_found_by_their_columns() -> None:
    source = "a, b = x + y, f(x)\nself.h = (\n    x * y\n)\ns += x\nif (n := x - y): pass\nu = v = x\nwrong = 'ü' + x\n"
    found = assignments("m.py", source)
    assert sorted(found.values()) == ["a", "b", "h", "n", "s", "wrong"]
    assert found[1, 7, 1, 12] == "a" and found[3, 4, 3, 9] == "h" and found[5, 0, 5, 6] == "s"
    assert assignments("cell", "%magic\nx = 1") == {}
