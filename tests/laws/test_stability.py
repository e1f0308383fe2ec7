"""Naive formulas, compiled: value and gradient against the same formulas at 1000 digits, at ±1000 (f32: ±100)."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence

import mpmath
import numpy as np
import pytest
import sympy

import graphc as gc
from graphc.autodiff.reverse import differentiate
from graphc.ir.graph import Graph
from graphc.ir.node import Node, toposort
from graphc.ir.types import dtype_of
from graphc.ops.elementwise import Elementwise
from graphc.ops.leaves import Const, Input
from graphc.passes.pipeline import optimize
from graphc.passes.rewrite import Rule, simplify
from graphc.passes.rules import RULES
from graphc.passes.rules_cases import formula
from graphc.passes.rules_stability import STABILITY, stabilize
from graphc.runtime.reference import evaluate

DIGITS = 1000  # exp(1000) has 435 of them
LABELS = np.array([0, 2, 1])
ONE_HOT = np.array([[1.0, 0, 0], [0, 0, 1.0], [0, 1.0, 0]])


def defined(f: Callable[..., object], *args: object) -> object:
    """The value of a function, NaN where it has none."""
    try:
        return f(*args)
    except (ZeroDivisionError, ValueError, TypeError):
        return mpmath.nan


def exactly(nodes: Sequence[Node], *arrays: np.ndarray) -> dict[Node, np.ndarray]:
    """Every node's value at 1000 digits, from the mathematics of its row rather than from what is computed."""
    number = np.frompyfunc(lambda v: mpmath.mpf(v) if not isinstance(v, bool) else v, 1, 1)
    values: dict[Node, np.ndarray] = {}
    given_arrays = iter(arrays)
    for n in nodes:
        given = [values[s] for s in n.src]
        if isinstance(n.op, Input):
            found = number(next(given_arrays).astype(object))
        elif isinstance(n.op, Const):
            found = n.op.value if n.type.dtype.is_integer else number(n.op.value.astype(object))
        elif isinstance(n.op, Elementwise):
            row = n.op.row
            f = sympy.lambdify(row.symbols[: row.arity], row.expr, modules="mpmath")
            found = np.frompyfunc(functools.partial(defined, f), row.arity, 1)(*given)
        elif n.op.name == "reduce":
            reduce = np.sum if n.op.label == "sum" else np.max
            found = reduce(given[0], axis=n.op.attributes()["axes"])
        else:
            found = n.op.evaluate({}, *given)
        values[n] = np.asarray(found, dtype=None if n.type.dtype.is_integer else object)
    return values


def softmax(x: gc.Tensor, axis: int = -1) -> gc.Tensor:
    e = gc.exp(x)
    return e / gc.sum(e, axis=axis, keepdims=True)


def softmax_shifted(x: gc.Tensor) -> gc.Tensor:
    e = gc.exp(x - gc.max(x, axis=-1, keepdims=True))
    return e / gc.sum(e, axis=-1, keepdims=True)


def softmax_inverse(x: gc.Tensor) -> gc.Tensor:
    e = gc.exp(x)
    return e * (1 / gc.sum(e, axis=-1, keepdims=True))


def sigmoid(x: gc.Tensor) -> gc.Tensor:
    return 1 / (1 + gc.exp(-x))


def one_hot(x: gc.Tensor) -> gc.Tensor:
    return gc.const(ONE_HOT, x.dtype)


def labels() -> gc.Tensor:
    return gc.const(LABELS)


NAIVE: dict[str, Callable[[gc.Tensor], gc.Tensor]] = {
    "cross-entropy of one-hot rows": lambda x: -gc.sum(one_hot(x) * gc.log(softmax(x))),
    "cross-entropy, user's own shift": lambda x: -gc.sum(one_hot(x) * gc.log(softmax_shifted(x))),
    "cross-entropy of gc.softmax": lambda x: -gc.sum(one_hot(x) * gc.log(gc.softmax(x))),
    "log of the picked probability": lambda x: -gc.mean(gc.log(gc.pick(softmax(x), labels()))),
    "pick of the log-probability": lambda x: -gc.mean(gc.pick(gc.log(softmax(x)), labels())),
    "log of a transposed softmax": lambda x: gc.sum(gc.log(softmax(x).T)),
    "log-softmax by columns": lambda x: -gc.sum(gc.log(gc.exp(x) / gc.sum(gc.exp(x), axis=0))),
    "log-softmax of all": lambda x: -gc.sum(gc.log(gc.exp(x) / gc.sum(gc.exp(x)))),
    "difference of logs": lambda x: gc.sum(
        gc.log(gc.exp(x)) - gc.log(gc.sum(gc.exp(x), axis=1, keepdims=True))
    ),
    "softmax squared": lambda x: gc.sum(gc.square(softmax(x))),
    "softmax by an inverse": lambda x: gc.sum(gc.square(softmax_inverse(x))),
    "logsumexp": lambda x: gc.sum(gc.log(gc.sum(gc.exp(x), axis=1))),
    "logsumexp, dimensions kept": lambda x: gc.sum(gc.log(gc.sum(gc.exp(x), axis=1, keepdims=True))),
    "logsumexp minus the score": lambda x: gc.sum(gc.log(gc.sum(gc.exp(x), axis=1)) - gc.pick(x, labels())),
    "logaddexp": lambda x: gc.sum(gc.log(gc.exp(x) + gc.exp(x * 0.5))),
    "log of gc.sigmoid": lambda x: gc.sum(gc.log(gc.sigmoid(x))),
    "log of 1/(1+e^-x)": lambda x: gc.sum(gc.log(sigmoid(x))),
    "log of 1 minus sigmoid": lambda x: gc.sum(gc.log(1 - sigmoid(x))),
    "binary cross-entropy": lambda x: (
        -gc.sum(one_hot(x) * gc.log(sigmoid(x)) + (1 - one_hot(x)) * gc.log(1 - sigmoid(x)))
    ),
    "log(1 + e^x)": lambda x: gc.sum(gc.log(1 + gc.exp(x))),
    "1/(1 + e^-x)": lambda x: gc.sum(sigmoid(x)),
    "e^x/(1 + e^x)": lambda x: gc.sum(gc.exp(x) / (1 + gc.exp(x))),
    "x/(1 + e^-x)": lambda x: gc.sum(x / (1 + gc.exp(-x))),
    "tanh by exponentials": lambda x: gc.sum((gc.exp(x) - gc.exp(-x)) / (gc.exp(x) + gc.exp(-x))),
    "tanh by e^2x": lambda x: gc.sum((gc.exp(2 * x) - 1) / (gc.exp(2 * x) + 1)),
    "tanh by e^-2x": lambda x: gc.sum((1 - gc.exp(-2 * x)) / (1 + gc.exp(-2 * x))),
    "log(e^x)": lambda x: gc.sum(gc.log(gc.exp(x))),
}


def prepared(name: str, dtype: str) -> tuple[Graph, Graph]:
    """Value and gradient: of the formula as written, and stabilised before differentiation and optimised."""
    x = gc.input("x", (3, 3), dtype)
    loss = NAIVE[name](x).node
    naive = Graph("naive", (x.node,), (loss, *differentiate(loss, [x.node]).wrt))
    stable = stabilize([loss], [x.node])
    found = differentiate(stable[loss], [stable[x.node]])
    return naive, optimize(Graph("stable", (x.node,), (loss, *found.wrt)))[0]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", NAIVE)
def test_value_and_gradient_are_right_at_the_extremes(name: str, dtype: str) -> None:
    large = 1000.0 if dtype == "float64" else 100.0
    # No two entries of a row or column are equal in absolute value, so that nothing is at a kink or a tie.
    x = np.array([[1, 0.001, -0.9], [0.95, -1, 0.5], [-0.8, -0.9995, 0.7]]) * large
    x = x.astype(dtype)
    naive, stable = prepared(name, dtype)
    got = evaluate(stable, [x])
    with mpmath.workdps(DIGITS):
        exact = exactly(naive.nodes, x)
        for root, value in zip(naive.roots, got, strict=True):
            wanted = exact[root].astype(float)
            assert np.isfinite(value).all()
            scale = np.maximum(np.abs(wanted), 1.0)
            np.testing.assert_allclose(value / scale, wanted / scale, atol=64 * np.finfo(dtype).eps, rtol=0)


@pytest.mark.parametrize("name", NAIVE)
def test_the_formula_as_written_fails(name: str) -> None:
    """Otherwise the test above would show nothing."""
    x = np.array([[1, 0.001, -0.9], [0.95, -1, 0.5], [-0.8, -0.9995, 0.7]]) * 1000
    naive, _ = prepared(name, "float64")
    assert not all(np.isfinite(v).all() for v in evaluate(naive, [x]))


STABLE = [r for r in RULES.values() if r.exact == "stable" and r.proof == "algebra"]
POINTS = [0.0, 1e-30, 1e-9, 0.01, 0.3, 2.5, 30.0, 90.0, 1000.0]
SUMS = {"softmax", "sigmoid-two", "unit-vector", "unit-vector-rooted"}
"""Rules with sums whose rounding, or that of a shift, the result may have; and every logarithm."""


@pytest.mark.parametrize("dtype", ["f64", "f32"])
@pytest.mark.parametrize("r", STABLE, ids=lambda r: r.name)
def test_a_stable_form_is_never_further_from_the_mathematics(r: Rule, dtype: str) -> None:
    """At pairs of points from 1e-30 to 1000 of both signs: not further than the form as written, or 8 ulp.

    The ulp are those of the result.  Sums of exponentials may add those of the shifted operand, and logarithms
    those of what is shifted or scaled: both forms lose these.
    """
    sums = r.name in SUMS or "exponentials" in r.name
    logarithm = "log" in r.name
    pairs = np.array(
        list(itertools.product([*POINTS, *(-p for p in POINTS[1:])], [0.3, -2.5, 90.0, -1000.0]))
    )
    before = formula(r, dtype, dict.fromkeys("cd", 1.0), pairs.shape)
    assert r.apply(before) is not None
    after = simplify([before], (r, *STABILITY))[before]  # one rule may leave a part of the work to the next
    assert after is not before
    leaves = [n for n in toposort([before]) if isinstance(n.op, Input)]
    graph = Graph("g", tuple(leaves), (before, after))
    arrays = [pairs, pairs[:, ::-1]][: len(leaves)]
    arrays = [a.astype(dtype_of(dtype).numpy) for a in arrays]
    naive, stable = evaluate(graph, arrays)
    with mpmath.workdps(DIGITS):
        values = exactly(toposort([before]), *arrays)[before].reshape(-1)
        usable = np.array([isinstance(t, mpmath.mpf) and bool(mpmath.isfinite(t)) for t in values])
        info = np.finfo(naive.dtype)
        assert usable.sum() > 20
        reach = np.broadcast_to(np.abs(pairs).max(axis=1).reshape(-1, *(1,) * (naive.ndim - 1)), naive.shape)
        rows = (values, naive.reshape(-1), stable.reshape(-1), reach.reshape(-1))
        for t, a, b, size in zip(*(column[usable] for column in rows), strict=True):
            if abs(t) > float(info.max):
                continue
            scale = abs(t) * (1 + size * sums) + (1 + size) * logarithm
            allowed = 8 * (float(info.eps) * scale + float(info.tiny))
            as_written = abs(a - t) if np.isfinite(a) else mpmath.inf
            as_computed = abs(b - t) if np.isfinite(b) else mpmath.inf
            assert as_computed <= allowed + 2 * as_written, (float(t), a, b)


def test_cross_entropy_has_the_gradient_softmax_minus_one_hot() -> None:
    x = np.array([[2000.0, -1.0, 3.0], [-5000.0, 0.0, 0.0], [1.0, 2.0, 3.0]])
    _, stable = prepared("cross-entropy of one-hot rows", "float64")
    e = np.exp(x - x.max(axis=1, keepdims=True))
    np.testing.assert_allclose(
        evaluate(stable, [x])[1], e / e.sum(axis=1, keepdims=True) - ONE_HOT, atol=1e-15
    )


def test_a_gradient_by_an_intermediate_value_is_still_possible() -> None:
    x = gc.input("x", (3, 3))
    p = softmax(x)
    loss = gc.sum(gc.log(p)).node
    stable = stabilize([loss], [p.node])
    by_p = differentiate(stable[loss], [stable[p.node]]).wrt[0]
    values = evaluate(Graph("g", (x.node,), (by_p, p.node)), [np.zeros((3, 3))])
    np.testing.assert_allclose(values[0], 1 / values[1])


def test_small_arguments_keep_their_digits() -> None:
    v = gc.input("v")
    small = gc.compile([v], [gc.log(1 + v), gc.exp(v) - 1, gc.log(1 - v)], backend="reference")(1e-12)
    np.testing.assert_allclose(small, [1e-12, 1e-12, -1e-12], rtol=1e-11)


def test_logsumexp_of_minus_infinities_is_one() -> None:
    x = gc.input("x", ("N", 2))
    fn = gc.compile([x], gc.log(gc.sum(gc.exp(x), axis=1)), backend="reference")
    got = fn(np.array([[-np.inf, -np.inf], [-np.inf, 1.0], [np.inf, 0.0]]))
    np.testing.assert_array_equal(got, [-np.inf, 1.0, np.inf])


def test_what_is_shifted_already_is_left_alone() -> None:
    x = gc.input("x", ("N", 5))
    for built in (gc.softmax(x), gc.log_softmax(x), gc.logsumexp(x, axis=1), softmax_shifted(x)):
        _, log = optimize(Graph("g", (x.node,), (built.node,)))
        assert not {"softmax", "logsumexp"} & set(log.counts())


def test_a_shift_by_something_else_is_none() -> None:
    """By the maximum of another tensor, or of other axes: these may still overflow."""
    x, other = gc.input("x", ("N", 5)), gc.input("y", ("N", 5))
    for shift in (gc.max(other, axis=1, keepdims=True), gc.max(x, axis=0, keepdims=True), gc.max(x)):
        e = gc.exp(x - shift)
        graph = Graph("g", (x.node, other.node), ((e / gc.sum(e, axis=1, keepdims=True)).node,))
        assert optimize(graph)[1].counts()["softmax"] == 1


def test_the_naive_softmax_becomes_the_node_of_the_library() -> None:
    x = gc.input("x", ("N", 5))
    after, _ = optimize(Graph("g", (x.node,), (softmax(x).node, gc.softmax(x).node)))
    assert after.outputs[0] is after.outputs[1]


def test_a_softmax_over_other_axes_is_none() -> None:
    """exp(x) over the sum of another axis, or of the whole, is not the softmax of the rows: shapes tell."""
    x = gc.input("x", (4, 4))
    e = gc.exp(x)
    along_rows = e / gc.sum(
        e, axis=1
    )  # NumPy broadcasts the row sums along the wrong axis: legal, and no softmax
    _, log = optimize(Graph("g", (x.node,), (along_rows.node,)))
    assert "softmax" not in log.counts()
