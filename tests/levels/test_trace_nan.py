"""Where a NaN was born: the first cause, named with its line and operands, forward and backward."""

from __future__ import annotations

import linecache
import textwrap

import numpy as np
import pytest

import graphc as gc
from graphc.errors import ArgumentError

PROGRAMS = {
    "forward": (
        """
        x, w = gc.input("x", ("N",)), gc.param("w", init=2.0)
        y = gc.log(x * w)
        fn = gc.compile([x], gc.sum(y), backend=backend)
        found = gc.trace_nan(fn, [np.array([1.0, 2.0, -3.0])])
        """,
        """
        NaN is born in log, in the forward pass
          model.py:2   y = gc.log(x * w)
                           ^^^^^^^^^^^^^
          why: log(-6) = nan, at [2] of f64[N]
          fix: keep its operand above 0: gc.log(gc.maximum(x, 1e-12))
        """,
    ),
    "an infinity that stays one": (
        """
        x = gc.input("x", ("N",))
        y = gc.log(gc.abs(x))
        fn = gc.compile([x], gc.sum(y), backend=backend)
        found = gc.trace_nan(fn, [np.array([1.0, 0.0])])
        """,
        """
        an infinity is born in log, in the forward pass
          model.py:2   y = gc.log(gc.abs(x))
                           ^^^^^^^^^^^^^^^^^
          why: log(0) = -inf, at [1] of f64[N]
          fix: keep its operand above 0: gc.log(gc.maximum(x, 1e-12))
        """,
    ),
    "an infinity that becomes NaN": (
        """
        x = gc.input("x", ("N",))
        y = gc.exp(x)
        z = y + 1.0
        q = (z - 2.0) / z
        fn = gc.compile([x], q, backend=backend)
        found = gc.trace_nan(fn, [np.array([1.0, 1000.0])])
        """,
        """
        an infinity that is born in exp becomes NaN in div
          model.py:2   y = gc.exp(x)
                           ^^^^^^^^^
          why: exp(1000) = inf, at [1] of f64[N]
          then: inf / inf = nan, at [1] of f64[N]
          model.py:4   q = (z - 2.0) / z
                           ^^^^^^^^^^^^^
          fix: exp overflows above 709 in f64 and above 88 in f32: subtract the largest operand first
        """,
    ),
    "backward": (
        """
        x, w = gc.input("x", ("N",)), gc.param("w", init=1.0)
        r = gc.sqrt(x * w)
        loss = gc.sum(r)
        fn = gc.compile([x], loss, updates={w: w - 0.1 * gc.grad(loss, w)}, backend=backend)
        found = gc.trace_nan(fn, [np.array([4.0, 0.0])])
        """,
        """
        an infinity that is born in the gradient of sqrt becomes NaN in the gradient of mul
          model.py:2   r = gc.sqrt(x * w)
                           ^^^^^^^^^^^^^^
          why: upstream × local = 1 × inf where sqrt(0) = 0: 0.5 / 0 = inf, at [1] of f64[N]
          then: upstream × local = inf × 0 where 0 · 1 = 0: inf · 0 = nan, at [1] of f64[N]
          model.py:2   r = gc.sqrt(x * w)
                                   ^^^^^
          fix: keep its operand above 0: gc.sqrt(x + 1e-12)
        """,
    ),
    "a scalar": (
        """
        x, y = gc.inputs("x y")
        fn = gc.compile([x, y], x / y, backend=backend)
        found = gc.trace_nan(fn, (0.0, 0.0))
        """,
        """
        NaN is born in div, in the forward pass
          model.py:2   fn = gc.compile([x, y], x / y, backend=backend)
                                               ^^^^^
          why: 0 / 0 = nan
          fix: keep the divisor away from 0
        """,
    ),
    "an input": (
        """
        x = gc.input("x", ("N", 2))
        fn = gc.compile([x], gc.sum(gc.tanh(x)), backend=backend)
        found = gc.trace_nan(fn, [np.array([[1.0, 2.0], [np.nan, 3.0]])])
        """,
        """
        the input `x` holds NaN
          model.py:1   x = gc.input("x", ("N", 2))
                           ^^^^^^^^^^^^^^^^^^^^^^^
          why: 1 of its 4 elements is not finite, the first at [1, 0]
          fix: clean the data: np.isfinite tells where
        """,
    ),
    "a parameter": (
        """
        x, w = gc.input("x"), gc.param("w", init=np.nan)
        fn = gc.compile([x], x * w, backend=backend)
        found = gc.trace_nan(fn, [1.0])
        """,
        """
        the parameter `w` holds NaN
          model.py:1   x, w = gc.input("x"), gc.param("w", init=np.nan)
                                             ^^^^^^^^^^^^^^^^^^^^^^^^^^
          fix: an earlier update made it: trace that step, with the values of before
        """,
    ),
    "what graphc mends": (
        """
        x = gc.input("x", ("N",))
        p = gc.exp(x) / gc.sum(gc.exp(x))
        fn = gc.compile([x], p, backend=backend)
        found = gc.trace_nan(fn, [np.array([1.0, 1000.0])])
        """,
        """
        no NaN or infinity in the results of main; as written there would be one:
        an infinity that is born in exp becomes NaN in div
          model.py:2   p = gc.exp(x) / gc.sum(gc.exp(x))
                           ^^^^^^^^^
          why: exp(1000) = inf, at [1] of f64[N]
          then: inf / inf = nan, at [1] of f64[N]
          model.py:2   p = gc.exp(x) / gc.sum(gc.exp(x))
                           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          fix: exp overflows above 709 in f64 and above 88 in f32: subtract the largest operand first
          note: graphc computes a stable formula instead, as `fn.log` tells
        """,
    ),
    "nothing": (
        """
        x = gc.input("x", ("N",))
        fn = gc.compile([x], gc.sum(gc.tanh(x)), backend=backend)
        found = gc.trace_nan(fn, [np.array([1.0, 1000.0])])
        """,
        "no NaN or infinity in the results of main",
    ),
    "a sum": (
        """
        x = gc.input("x", ("N",), "float32")
        fn = gc.compile([x], gc.sum(x * 10.0), backend=backend)
        found = gc.trace_nan(fn, [np.full(40, 1e37, "float32")])
        """,
        """
        an infinity is born in sum, in the forward pass
          model.py:2   fn = gc.compile([x], gc.sum(x * 10.0), backend=backend)
                                            ^^^^^^^^^^^^^^^^
          why: sum([40] all 1e+38) = inf
        """,
    ),
    "in a loop": (
        """
        xs, w = gc.input("xs", ("T",)), gc.param("w", init=1.0)
        _, ys = gc.scan(lambda c, x: (c, gc.log(w - x)), 0.0, xs)
        fn = gc.compile([xs], ys, backend="reference")
        found = gc.trace_nan(fn, [np.array([0.5, 0.75, 3.0])])
        """,
        """
        NaN is born in log, in the forward pass
          model.py:2   _, ys = gc.scan(lambda c, x: (c, gc.log(w - x)), 0.0, xs)
                                                        ^^^^^^^^^^^^^
          why: log(-2) = nan
          fix: keep its operand above 0: gc.log(gc.maximum(x, 1e-12))
          note: in step 2 of the loop
        """,
    ),
    "in the gradient of a loop": (
        """
        xs, w = gc.input("xs", ("T",)), gc.param("w", init=1.0)
        total, _ = gc.scan(lambda c, x: (c + gc.sqrt(w * x), None), 0.0, xs)
        fn = gc.compile([xs], gc.grad(total, w), backend="reference")
        found = gc.trace_nan(fn, [np.array([4.0, 0.0, 9.0])])
        """,
        """
        an infinity is born in the gradient of sqrt, in the backward pass
          model.py:2   total, _ = gc.scan(lambda c, x: (c + gc.sqrt(w * x), None), 0.0, xs)
                                                            ^^^^^^^^^^^^^^
          why: 0.5 / 0 = inf
          fix: keep its operand above 0: gc.sqrt(x + 1e-12)
          note: in step 1 of the loop
        """,
    ),
    "an index outside": (
        """
        x, k = gc.input("x", ("N",)), gc.input("k", (), "int64")
        fn = gc.compile([x, k], gc.take(x, k), backend=backend)
        found = gc.trace_nan(fn, [np.array([1.0, 2.0]), 7])
        """,
        """
        NaN is born in gather, in the forward pass
          model.py:2   fn = gc.compile([x, k], gc.take(x, k), backend=backend)
                                               ^^^^^^^^^^^^^
          why: gather([1, 2], 7) = nan
          fix: an index outside the axis gives NaN: check the indices
        """,
    ),
}


def run(program: str, backend: str = "reference") -> dict[str, object]:
    text = textwrap.dedent(program).strip("\n") + "\n"
    linecache.cache["model.py"] = (len(text), None, text.splitlines(keepends=True), "model.py")
    names: dict[str, object] = {"gc": gc, "np": np, "backend": backend}
    exec(compile(text, "model.py", "exec"), names)
    return names


@pytest.mark.parametrize("case", PROGRAMS)
def test_the_text_of_a_report(case: str, backend: str) -> None:
    program, text = PROGRAMS[case]
    assert str(run(program, backend)["found"]) == textwrap.dedent(text).strip("\n")


def test_the_parts_of_a_report() -> None:
    names = run(PROGRAMS["an infinity that becomes NaN"][0])
    found, y, q = names["found"], names["y"], names["q"]
    assert isinstance(found, gc.runtime.trace_nan.NanReport)
    assert (found.ok, found.kind, found.value, found.index) == (False, "forward", "an infinity", (1,))
    assert found.node is y.node and found.where == y.node.origins[0].loc  # type: ignore[attr-defined]
    assert found.then is not None and found.then.node is q.node  # type: ignore[attr-defined]
    clean = run(PROGRAMS["nothing"][0])["found"]
    assert (clean.ok, clean.kind, clean.node) == (True, None, None)  # type: ignore[attr-defined]
    assert run(PROGRAMS["what graphc mends"][0])["found"].ok  # type: ignore[attr-defined]


def test_parameters_are_not_changed() -> None:
    x, w = gc.input("x"), gc.param("w", init=1.0)
    fn = gc.compile([x], x * w, updates={w: gc.log(w * x)}, backend="reference")
    found = gc.trace_nan(fn, [-1.0])
    assert found.node is not None and found.node.op.label == "log"
    assert float(w.value) == 1.0


def test_arguments_are_given_as_in_a_call() -> None:
    x, y = gc.inputs("x y")
    fn = gc.compile([x, y], x / y, backend="reference")
    same = [str(gc.trace_nan(fn, args)) for args in ((0.0, 0.0), [0.0, 0.0], {"y": 0.0, "x": 0.0})]
    assert len(set(same)) == 1
    assert gc.trace_nan(gc.compile([x], gc.log(x), backend="reference"), -1.0).kind == "forward"


def test_a_nan_that_is_not_chosen_is_no_nan() -> None:
    x = gc.input("x", ("N",))
    fn = gc.compile([x], gc.where(x > 0.0, gc.log(x), 0.0), backend="reference")
    assert gc.trace_nan(fn, [np.array([1.0, -1.0])]).ok


def test_an_infinity_on_purpose_is_no_cause() -> None:
    """A mask of −inf is written; what is wrong is the row where nothing is left."""
    x = gc.input("x", (2, 2))
    mask = gc.const([[True, False], [False, False]])
    scores = gc.where(mask, x, -np.inf)
    top = gc.max(scores, axis=1, keepdims=True)
    shifted = scores - top
    fn = gc.compile([x], gc.sum(gc.exp(shifted)), backend="reference")
    found = gc.trace_nan(fn, [np.ones((2, 2))])
    assert found.kind == "forward"
    assert found.then is not None and found.then.node is shifted.node


@pytest.mark.parametrize("where", range(0, 30, 7))
def test_the_first_of_many_is_named(where: int) -> None:
    """A chain of operations that all carry NaN on: the one that makes it is named, wherever it stands."""
    x = gc.input("x", (3,))
    y, born = x, None
    for k in range(30):
        y = gc.log(-gc.abs(y) - 1.0) if k == where else gc.tanh(y + 0.1)
        born = y.node if k == where else born
    loss = gc.sum(y)
    fn = gc.compile([x], [loss, gc.grad(loss, x)], backend="reference")
    found = gc.trace_nan(fn, [np.array([0.1, 0.2, 0.3])])
    assert found.node is born
    assert found.kind == "forward"


def test_a_tensor_is_no_function() -> None:
    x = gc.input("x")
    with pytest.raises(ArgumentError) as info:
        gc.trace_nan(gc.log(x), [1.0])  # type: ignore[arg-type]
    lines = str(info.value).splitlines()
    assert lines[0] == "trace_nan takes a compiled function, not Tensor"
    assert lines[1].endswith("gc.trace_nan(gc.log(x), [1.0])  # type: ignore[arg-type]")
    assert lines[-1] == "  fix: compile the tensors first: gc.trace_nan(gc.compile(inputs, outputs), args)"


def test_a_missing_argument_is_told_at_the_call() -> None:
    x, y = gc.inputs("x y")
    fn = gc.compile([x, y], x / y, backend="reference")
    with pytest.raises(ArgumentError, match="main misses the argument `y`"):
        gc.trace_nan(fn, [1.0])
