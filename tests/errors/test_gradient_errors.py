"""What a user sees where a gradient does not exist, or a point is not one."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

import graphc as gc
from graphc.errors import ArgumentError, GradientError, GraphcError
from graphc.lang.tensor import Tensor

PACKAGE = Path(gc.__file__).parent


def caught(run: Callable[[], object], kind: type[GraphcError]) -> str:
    """The text of the error; the traceback must end where the user's code calls graphc."""
    with pytest.raises(kind) as info:
        run()
    own = [f.name for f in traceback.extract_tb(info.tb) if Path(f.filename).is_relative_to(PACKAGE)]
    assert own == ["wrapper"], own
    lines = str(info.value).splitlines()
    assert len(lines) < 10
    # The number of the line changes with every edit of this file.
    place = str(info.value.where)
    shorter = len(place) - len("test.py:1")
    return "\n".join(
        line[shorter:] if set(line) == {" ", "^"} else line.replace(place, "test.py:1") for line in lines
    )


def test_gradient_of_a_tensor_that_is_no_scalar() -> None:
    x = gc.input("x", ("N", 3))

    def run() -> object:
        return gc.grad(x * 2.0, x)

    assert (
        caught(run, GradientError)
        == """\
the gradient of a tensor of type f64[N,3] is not one tensor
  test.py:1   return gc.grad(x * 2.0, x)
                     ^^^^^^^^^^^^^^^^^^^
  why: only a scalar has a gradient of the shape of its argument
  fix: reduce it first with gc.sum or gc.mean, or use gc.vjp or gc.jacobian"""
    )


def test_gradient_of_an_integer() -> None:
    n = gc.input("n", (), "int64")

    def run() -> object:
        return gc.grad(n * n, n)

    assert (
        caught(run, GradientError)
        == """\
a loss of dtype i64 has no gradient
  test.py:1   return gc.grad(n * n, n)
                     ^^^^^^^^^^^^^^^^^
  fix: cast it: loss.astype("float32")"""
    )


def test_gradient_by_what_the_loss_does_not_depend_on() -> None:
    x, y = gc.inputs("x y")
    loss = x * x

    def run() -> object:
        return gc.grad(loss, [x, y])

    assert (
        caught(run, GradientError)
        == """\
the loss does not depend on `y`
  test.py:1   return gc.grad(loss, [x, y])
                     ^^^^^^^^^^^^^^^^^^^^^
  why: no path of the graph leads from it to the loss, so its gradient would be zero everywhere
  fix: leave it out of the gradient, or check that the tensor you built the loss from is the one you mean"""
    )


def test_a_missing_value() -> None:
    x, y, z = gc.inputs("x y z")

    def run() -> object:
        return gc.backprop(x * y * z, at={x: 1.0})

    assert (
        caught(run, ArgumentError)
        == """\
no value is given for the inputs `y`, `z`
  test.py:1   return gc.backprop(x * y * z, at={x: 1.0})
                     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  fix: add to it: at={..., y: ..., z: ...}"""
    )


def test_a_value_of_the_wrong_shape() -> None:
    X, w = gc.input("X", ("N", 3)), gc.input("w", ("N",))
    loss = gc.sum(X) * gc.sum(w)

    def run() -> object:
        return gc.backprop(loss, at={X: [1.0, 2.0], w: [1.0]})

    assert (
        caught(run, ArgumentError)
        == """\
`X` is f64[N,3], and its value has the shape [2]
  test.py:1   return gc.backprop(loss, at={X: [1.0, 2.0], w: [1.0]})
                     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: it has 1 axes and needs 2"""
    )


Points = dict[Tensor | str, object]


@pytest.mark.parametrize("run", [gc.backprop, gc.gradcheck, gc.derive, gc.render])
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"X": [[1.0, 2.0]], "w": [1.0]}, "axis 1 is 2 long and should be 3"),
        ({"X": [[1.0, 2.0, 3.0]], "w": [1.0, 2.0]}, "N is 1 in another input, and 2 on axis 0"),
        ({"X": [["a", "b", "c"]], "w": [1.0]}, "its value is of dtype <U1"),
        ({"X": [[1.0, 2.0], [3.0]], "w": [1.0]}, "is no array of numbers"),
        ({"X": [[1.0, 2.0, 3.0]]}, "no value is given for the input `w`"),
        ({"X": [[1.0, 2.0, 3.0]], "w": [1.0], "v": 1.0}, "`v`, which is no input of the function"),
    ],
)
def test_every_function_with_a_point_checks_it(run: object, values: Points, message: str) -> None:
    X, w = gc.input("X", ("N", 3)), gc.input("w", ("N",))
    loss = gc.sum(X) * gc.sum(w)
    assert callable(run)
    with pytest.raises(ArgumentError, match=message) as info:
        run(loss, at=values)
    assert info.value.where is not None and info.value.where.text == "run(loss, at=values)"


def test_a_value_for_an_intermediate_tensor_is_refused() -> None:
    x = gc.input("x")
    q = x * x
    with pytest.raises(ArgumentError, match="a value is given for a f64"):
        gc.backprop(gc.exp(q), at={x: 1.0, q: 2.0})


def test_an_integer_input_takes_no_fractions() -> None:
    x, n = gc.input("x"), gc.input("n", (), "int64")
    with pytest.raises(ArgumentError, match=r"`n` is i64\[\], and its value is of dtype float64"):
        gc.backprop(x * n, at={x: 1.0, n: 1.5})


def test_what_is_no_tensor_is_refused() -> None:
    x = gc.input("x")
    with pytest.raises(GradientError, match="wrt must be tensors, not str"):
        gc.backprop(x * x, wrt=["x"], at={x: 1.0})  # type: ignore[list-item]
    with pytest.raises(GradientError, match="f must be tensors, not float"):
        gc.backprop(2.0, at={x: 1.0})  # type: ignore[arg-type]


@pytest.mark.parametrize("run", [gc.backprop, gc.derive, gc.gradcheck])
def test_a_vector_is_no_function_to_differentiate(run: object) -> None:
    x = gc.input("x", (2,))
    assert callable(run)
    with pytest.raises(GradientError, match=r"f64\[2\] is not one tensor"):
        run(x * x, at={x: [1.0, 2.0]})


def test_jacobian_and_jvp_say_what_is_wrong() -> None:
    x, n = gc.input("x", (2,)), gc.input("n", (2,), "int64")
    with pytest.raises(GradientError, match="there is no Jacobian of a i64"):
        gc.jacobian(n * n, n)
    with pytest.raises(GradientError, match="1 tensors need as many tangents, not 2"):
        gc.jvp(x * x, [x], [x, x])
    with pytest.raises(GradientError, match="is not one tensor"):
        gc.hessian(x * x, x)


def test_a_gradient_that_is_zero_everywhere_warns_at_the_line() -> None:
    x, y = gc.input("x", (3,)), gc.input("y", (3,))
    loss = gc.sum(gc.floor(x) * y)
    with pytest.warns(gc.GraphcWarning) as caught_warnings:
        gc.grad(loss, [x, y])
    (found,) = caught_warnings
    first, place, carets, *rest = str(found.message).splitlines()
    assert first == "dead-gradient: the gradient by `x` is zero everywhere"
    assert place.split("   ", 1)[1] == "gc.grad(loss, [x, y])" and carets.strip() == "^" * 21
    assert rest == [
        "  why: every path from it to the loss goes through an operation without a slope, such as a comparison",
        "  fix: gc.lint(loss) names the operation; or silence this: with gc.silence('dead-gradient')",
    ]
    assert found.filename == __file__
    with warnings.catch_warnings(), gc.silence("dead-gradient"):
        warnings.simplefilter("error")
        gc.grad(loss, x)
