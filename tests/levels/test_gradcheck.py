"""gc.gradcheck: right gradients pass, wrong ones do not, and a kink is called a kink."""

from __future__ import annotations

import numpy as np
import pytest

import graphc as gc
from graphc.autodiff.check import difference, gradcheck
from graphc.ir.node import Node
from graphc.ops.elementwise import Elementwise


def test_scalars_agree_to_many_digits() -> None:
    x, y = gc.inputs("x y")
    report = gradcheck(gc.sin(x) * gc.exp(y) / (x + 3.0), [x, y], at={x: 0.7, y: -1.3})
    assert report.ok and bool(report)
    assert all(t.max_rel_error < 1e-10 and t.checked == t.size == 1 for t in report.tensors)


def test_the_default_is_every_float_leaf_and_parameters_have_their_own_value() -> None:
    X = gc.input("X", ("N", 3))
    labels = gc.input("labels", ("N",), "int64")
    W = gc.param("W", (3, 4), "float64", "kaiming")
    b = gc.param("b", (4,), "float64", "zeros")
    loss = -gc.mean(gc.pick(gc.log_softmax(X @ W + b), labels))
    at = {X: np.random.default_rng(0).normal(size=(5, 3)), labels: [0, 3, 1, 2, 2]}
    report = gradcheck(loss, at=at)
    assert [t.name for t in report.tensors] == ["X", "W", "b"]
    assert report.ok, str(report)
    assert [t.checked for t in report.tensors] == [15, 12, 4]


def test_a_graph_in_float32_is_checked_in_float64() -> None:
    x = gc.input("x", (4,), "float32")
    h = gc.tanh(x * 3.0).astype("float64").astype("float32")
    report = gradcheck(gc.mean(h), x, at={x: [0.1, -0.2, 0.3, 2.0]})
    assert report.ok and report.tensors[0].max_rel_error < 1e-8
    assert str(report.tensors[0].type) == "f32[4]"


def test_kinks_are_reported_and_are_no_failures() -> None:
    x = gc.input("x", (5,))
    report = gradcheck(gc.sum(gc.relu(x)), x, at={x: [-1.0, 0.0, 1e-5, -1e-4, 2.0]})
    assert report.ok and report.tensors[0].kinks == ((1,),)
    assert "ok, 1 at a kink" in str(report)
    both = gradcheck(gc.sum(gc.abs(x)), x, at={x: [0.0, 1.0, -1.0, 0.0, 3.0]})
    assert both.ok and both.tensors[0].kinks == ((0,), (3,))
    ties = gradcheck(gc.max(x), x, at={x: [1.0, 3.0, 3.0, 0.0, 3.0]})
    assert ties.ok and ties.tensors[0].kinks == ((1,), (2,), (4,))


def test_a_jump_is_a_kink_too() -> None:
    x = gc.input("x", (3,))
    report = gradcheck(gc.sum(gc.floor(x) + gc.sign(x)), x, at={x: [0.0, 0.5, -2.0]})
    assert report.ok and report.tensors[0].kinks == ((0,), (2,))


@pytest.mark.parametrize("factor", [1.0 + 1e-4, 0.0, -1.0])
def test_a_wrong_gradient_fails(monkeypatch: pytest.MonkeyPatch, factor: float) -> None:
    right = Elementwise.vjp

    def wrong(self: Elementwise, n: Node, operand: int, upstream: Node) -> Node | None:
        found = right(self, n, operand, upstream)
        if self.row_name != "tanh" or found is None:
            return found
        from graphc.ops.elementwise import constant_like, elementwise

        return elementwise("mul", found, constant_like(factor, found))

    x = gc.input("x", (3,))
    monkeypatch.setattr(Elementwise, "vjp", wrong)
    report = gradcheck(gc.sum(gc.tanh(x)), x, at={x: [0.1, 0.5, -1.0]})
    assert not report.ok and not report
    (check,) = report.tensors
    assert check.wrong == ((0,), (1,), (2,))
    assert check.worst is not None
    (k,) = check.worst.index
    assert check.worst.gradient == pytest.approx(factor * (1 - np.tanh([0.1, 0.5, -1.0][k]) ** 2))
    assert "FAILED" in str(report) and "3 wrong" in str(report)


def test_an_error_in_one_element_is_found_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    x = gc.input("x", (2, 3))
    mask = gc.const([[0.0, 0.0, 0.0], [0.0, 0.0, 1e-3]])
    f = gc.sum(x * x + gc.stop_gradient(x) * mask)  # differences see the detached part, the graph does not
    report = gradcheck(f, x, at={x: np.arange(6.0).reshape(2, 3)})
    worst = report.tensors[0].worst
    assert report.tensors[0].wrong == ((1, 2),) and worst is not None and worst.index == (1, 2)
    assert "wrong: x[1,2] = 5: gradient 10, difference 10.001" in str(report)
    assert report.tensors[0].max_abs_error == pytest.approx(1e-3, rel=1e-3)
    assert any("stop_gradient" in note for note in report.notes)


def test_a_function_that_is_nan_there_fails() -> None:
    x = gc.input("x")
    assert not gradcheck(gc.log(x), x, at={x: -1.0}).ok


def test_sample_checks_some_and_says_so() -> None:
    x = gc.input("x", (50,))
    report = gradcheck(gc.sum(gc.exp(x)), x, at={x: np.linspace(-1, 1, 50)}, sample=7)
    assert report.ok and report.tensors[0].checked == 7 and "7 of 50" in str(report)


def test_large_and_small_coordinates() -> None:
    x = gc.input("x", (3,))
    report = gradcheck(gc.sum(x * x), x, at={x: [1e6, 1e-6, 0.0]})
    assert report.ok, str(report)


def test_the_difference_knows_its_error() -> None:
    d = difference(lambda t: np.sin(1.0 + t), 1.0, np.cos(1.0), 1e-6, 1e-8)
    assert abs(d.value - np.cos(1.0)) <= d.error < 1e-6 and not d.kink


def test_a_tensor_that_is_computed_is_moved_with_all_else_held() -> None:
    x = gc.input("x", (2,))
    q = x * x
    f = gc.sum(gc.exp(q) * x)
    report = gradcheck(f, [q, x], at={x: [0.5, -1.0]})
    assert report.ok, str(report)
    by_q, by_x = report.tensors
    assert by_q.elements[0].gradient == pytest.approx(np.exp(0.25) * 0.5)
    assert by_x.elements[0].gradient == pytest.approx(np.exp(0.25) * (1 + 2 * 0.25))


def test_every_element_can_be_listed() -> None:
    x = gc.input("x", (2,), "float32")
    report = gradcheck(gc.sum(gc.abs(x) * 3.0), x, at={x: [0.0, 2.0]})
    assert report.elements().splitlines() == [
        "x[0] = 0: gradient 0, difference -3 on the left and 3 on the right: kink",
        "x[1] = 2: gradient 3, difference 3: ok",
    ]


def test_a_kink_close_by_does_not_blur_the_difference() -> None:
    x = gc.input("x", (3,))
    report = gradcheck(gc.sum(gc.relu(x - 1.0) * x), x, at={x: [1.0001, 1.001, 0.99999]})
    assert report.ok and not report.tensors[0].kinks
    assert report.tensors[0].max_abs_error < 1e-7


def test_at_a_kink_only_slopes_between_the_sides_are_right(monkeypatch: pytest.MonkeyPatch) -> None:
    from graphc.ops.elementwise import constant_like

    x = gc.input("x", (2,))
    monkeypatch.setattr(Elementwise, "vjp", lambda self, n, k, up: constant_like(1.5, n))
    report = gradcheck(gc.sum(gc.relu(x)), x, at={x: [0.0, 1.0]})
    assert report.tensors[0].wrong == ((0,), (1,))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_inputs_of_loops_and_branches(dtype: str) -> None:
    """All blocks are widened too; a kink in a step is a kink of the loop."""
    w, xs = gc.input("w", (2,), dtype), gc.input("xs", ("T", 2), dtype)
    last, ys = gc.scan(lambda h, x: (gc.tanh(w * h + x), gc.relu(h)), gc.const(np.zeros(2, dtype)), xs)
    side = gc.cond(gc.sum(w) > 0.0, lambda v: v * v, lambda v: gc.exp(v), w)
    report = gradcheck(
        gc.sum(last) + gc.sum(ys) + gc.sum(side), at={w: [0.5, -0.25], xs: [[1, 0.5], [-1, 2], [0.3, 0.1]]}
    )
    assert report.ok, str(report)
    assert [t.checked for t in report.tensors] == [2, 6] or [t.checked for t in report.tensors] == [6, 2]
    assert max(t.max_rel_error for t in report.tensors) < 1e-7
    at_a_kink = gradcheck(gc.sum(ys), xs, at={w: [0.5, -0.25], xs: [[0.0, 0.5], [-1, 2], [0.3, 0.1]]})
    assert at_a_kink.ok and at_a_kink.tensors[0].kinks == ((0, 0),)
