"""What a user sees where a gradient rule is wrong."""

from __future__ import annotations

import pytest
from test_gradient_errors import caught

import graphc as gc
from graphc.errors import ArgumentError, GradientError
from graphc.lang.tensor import Tensor


def test_a_wrong_claim() -> None:
    cube = gc.custom_gradient(lambda x: x * x * x, lambda x, y, u: 2.0 * u * x * x)
    x = gc.input("x", (2,))

    def run() -> object:
        return cube(x)

    assert (
        caught(run, GradientError)
        == """\
the gradient rule of `<lambda>` is wrong by `x`
  test.py:1   return cube(x)
                     ^^^^^^^
  why: at x[1] = -0.1321 it claims 0.003661, and the true value is 0.005492 (upstream times slope)
  fix: mend the rule, or say why it is meant so: deliberate="..."\
"""
    )


def right(x: Tensor) -> Tensor:
    return gc.relu(x) * gc.exp(-x)


WRONG = {
    "a factor": (gc.sin, lambda x, y, u: u * gc.cos(x) * 1.00001),
    "the sign on one side": (gc.abs, lambda x, y, u: u),
    "at an edge": (gc.sigmoid, lambda x, y, u: u * gc.where(gc.abs(x) < 40.0, y * (1 - y), 1.0)),
    "at a kink": (gc.relu, lambda x, y, u: gc.where(x > 0, u, gc.where(x < 0, 0.0, 2.0 * u))),
    "no slope": (gc.exp, lambda x, y, u: None),
    "straight through": (gc.round, lambda x, y, u: u),
    "nonlinear in upstream": (gc.relu, lambda x, y, u: gc.where((u > 0) & (x > 0), u, 0.0)),
    "nan for a large x": (
        gc.tanh,
        lambda x, y, u: u * (4.0 / gc.square(gc.exp(x * 20.0) + gc.exp(-x * 20.0))),
    ),
    "another element": (lambda x: x * x, lambda x, y, u: 2.0 * u * x[::-1]),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_kind_of_wrong_claim_is_refused(name: str, dtype: str) -> None:
    f, rule = WRONG[name]
    x = gc.input("x", ("N",), dtype)
    with pytest.raises(GradientError, match="is wrong by `x`"):
        gc.custom_gradient(f, rule)(x)
    gc.custom_gradient(f, rule, deliberate="a test")(x)


RIGHT = {
    "relu with any slope at 0": (gc.relu, lambda x, y, u: gc.where(x >= 0, u, 0.0)),
    "naive softplus": (lambda x: gc.log(1 + gc.exp(x)), lambda x, y, u: u * gc.sigmoid(x)),
    "logarithm": (gc.log, lambda x, y, u: u / x),
    "inside a domain of width 2": (gc.acos, lambda x, y, u: -u / gc.sqrt(1 - x * x)),
    "step": (lambda x: gc.floor(x), lambda x, y, u: None),
    "norm": (lambda x: gc.sqrt(gc.sum(x * x)), lambda x, y, u: gc.where(y > 0, u * x / y, 0.0)),
}


@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_right_claims_pass(name: str, dtype: str) -> None:
    f, rule = RIGHT[name]
    gc.custom_gradient(f, rule)(gc.input("x", ("N",), dtype))


def test_a_deliberate_rule_does_not_vouch_for_the_same_claim() -> None:
    def wrong(x: Tensor, y: Tensor, u: Tensor) -> Tensor:
        return u * 3.0

    x = gc.input("x")
    gc.custom_gradient(gc.sin, wrong, deliberate="a test")(x)
    with pytest.raises(GradientError, match="is wrong by"):
        gc.custom_gradient(gc.sin, wrong)(x)


def test_a_point_of_the_users_own() -> None:
    def far(x: Tensor) -> Tensor:
        return gc.log(x - 1000.0)

    def run() -> object:
        return gc.custom_gradient(far, lambda x, y, u: u / (x - 1000.0))(x)

    x = gc.input("x")
    assert (
        caught(run, GradientError)
        == """\
the gradient rule of `far` cannot be checked
  test.py:1   return gc.custom_gradient(far, lambda x, y, u: u / (x - 1000.0))(x)
                     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: the function is finite and smooth at none of the points that were tried
  fix: give a point inside its domain, at=[...], or mark the rule: deliberate="..."\
"""
    )
    gc.custom_gradient(far, lambda x, y, u: u / (x - 1000.0), at=[1003.0])(x)
    with pytest.raises(GradientError, match="at x = 1003 it claims"):
        gc.custom_gradient(far, lambda x, y, u: u / x, at=[1003.0])(x)
    with pytest.raises(ArgumentError, match=r"`at` is no value for each operand of `far`: f64\[\]"):
        gc.custom_gradient(far, lambda x, y, u: u / x, at=[1003.0, 2.0])(x)


def test_a_tensor_from_outside() -> None:
    x, w = gc.inputs("x w")

    def scaled(v: Tensor) -> Tensor:
        return v * w

    def run() -> object:
        return gc.custom_gradient(scaled, lambda v, y, u: u * w)(x)

    assert (
        caught(run, GradientError)
        == """\
`scaled` uses `w`, which is none of its arguments
  test.py:1   return gc.custom_gradient(scaled, lambda v, y, u: u * w)(x)
                     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: no gradient would ever reach it
  fix: make it an operand of the function; the rule gives None where it needs no gradient\
"""
    )
    with pytest.raises(GradientError, match="the gradient rule of `sin` uses `w`, which is none of its arg"):
        gc.custom_gradient(gc.sin, lambda v, y, u: u * w)(x)


def test_downstream_of_another_type() -> None:
    x, b = gc.input("x", ("N", 3)), gc.input("b", (3,))
    biased = gc.custom_gradient(lambda x, b: x + b, lambda xs, y, u: (u, u))

    def run() -> object:
        return biased(x, b)

    assert (
        caught(run, GradientError)
        == """\
the gradient rule of `<lambda>` gives a f64[N,3] for b, a f64[3]
  test.py:1   return biased(x, b)
                     ^^^^^^^^^^^^
  why: a gradient has the type of what it is taken by
  fix: sum over the axes that were broadcast, or give None where the gradient is zero\
"""
    )


def test_ill_formed_functions_and_rules() -> None:
    x = gc.input("x")
    with pytest.raises(GradientError, match="gives 2 results for 1 operand"):
        gc.custom_gradient(gc.sin, lambda x, y, u: (u, u))(x)
    with pytest.raises(GradientError, match="`sign_bit` gives a bool"):

        def sign_bit(x: Tensor) -> Tensor:
            return x < 0

        gc.custom_gradient(sign_bit, lambda x, y, u: None)(x)
    with pytest.raises(ArgumentError, match="the rule of a custom gradient is None"):
        gc.custom_gradient(gc.sin)  # type: ignore[call-overload]
    with pytest.raises(ArgumentError, match="the function of a custom gradient is 3"):
        gc.custom_gradient(3, gc.sin)  # type: ignore[call-overload]
    with pytest.raises(GradientError, match="cannot pass straight to a f32"):
        gc.straight_through(x, x.astype("float32"))


def test_several_results_need_a_linear_rule() -> None:
    both = gc.custom_gradient(
        lambda x: (x, 2.0 * x), lambda x, ys, us: gc.clip(us[0] + us[1], -1.0, 1.0), deliberate="clipping"
    )

    def run() -> object:
        return both(x)

    x = gc.input("x")
    assert (
        caught(run, GradientError)
        == """\
the gradient rule of `<lambda>` is not linear in its upstreams
  test.py:1   return both(x)
                     ^^^^^^^
  why: there are 2 results, and their upstreams arrive one at a time
  fix: give each result a function with a rule of its own\
"""
    )


def test_a_rule_that_is_not_linear_has_no_forward_mode() -> None:
    clipped = gc.custom_gradient(
        lambda x: x, lambda x, y, u: gc.clip(u, -1.0, 1.0), deliberate="gradient clipping"
    )
    signed = gc.custom_gradient(lambda x: x, lambda x, y, u: gc.sign(u), deliberate="sign descent")
    x = gc.input("x", (2,))

    def run() -> object:
        return gc.jvp(clipped(x) * x, [x], x)

    assert (
        caught(run, GradientError)
        == """\
a custom gradient (gradient clipping) has no forward mode
  test.py:1   return gc.jvp(clipped(x) * x, [x], x)
                     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: its rule is not linear in upstream, so no derivative has it as its transpose
  fix: use reverse mode, or a rule that only scales upstream\
"""
    )
    with pytest.raises(GradientError, match="has no forward mode"):
        gc.jvp(signed(x), [x], x)
    reversal = gc.custom_gradient(lambda x: x, lambda x, y, u: -u, deliberate="reversal")
    gc.jvp(reversal(x), [x], x)
