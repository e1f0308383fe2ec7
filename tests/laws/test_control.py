"""Loops and branches against the same computation written out: values, gradients, tangents, on every back end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import graphc as gc

BACKENDS = ("reference", "interpreter", "llvm")
Arrays = list[np.ndarray[Any, np.dtype[Any]]]
T = 5


@dataclass(frozen=True)
class Case:
    """A function of tensors that loops or branches, and the same one without: both give one scalar."""

    name: str
    shapes: tuple[tuple[int, ...], ...]
    looped: Callable[..., gc.Tensor]
    written_out: Callable[..., gc.Tensor]
    dtype: str = "float64"
    reverse_mode: bool = True

    def __str__(self) -> str:
        return self.name


def unrolled(
    f: Callable[[Any, Any], tuple[Any, Any]], init: Any, xs: gc.Tensor, reverse: bool = False
) -> tuple[Any, list[Any]]:
    carry, ys = init, [None] * len(xs)
    for t in reversed(range(len(xs))) if reverse else range(len(xs)):
        carry, ys[t] = f(carry, xs[t])
    return carry, ys


def rnn(w: gc.Tensor, u: gc.Tensor, h: gc.Tensor, x: gc.Tensor) -> tuple[gc.Tensor, gc.Tensor]:
    new = gc.tanh(w @ h + u @ x)
    return new, new


def rnn_looped(w: gc.Tensor, u: gc.Tensor, h0: gc.Tensor, xs: gc.Tensor) -> gc.Tensor:
    last, hs = gc.scan(lambda h, x: rnn(w, u, h, x), h0, xs)
    return gc.sum(hs * hs) + gc.sum(last)


def rnn_unrolled(w: gc.Tensor, u: gc.Tensor, h0: gc.Tensor, xs: gc.Tensor) -> gc.Tensor:
    last, hs = unrolled(lambda h, x: rnn(w, u, h, x), h0, xs)
    return gc.sum(gc.stack(hs) * gc.stack(hs)) + gc.sum(last)


def two_carries(c: tuple[gc.Tensor, gc.Tensor], x: gc.Tensor) -> tuple[Any, gc.Tensor]:
    """The carries are exchanged, so that neither can be replaced in place without the other."""
    a, b = c
    return (b * x, a + x), gc.exp(-a * a)


def swapped(a: gc.Tensor, b: gc.Tensor, xs: gc.Tensor, *, loop: bool, reverse: bool) -> gc.Tensor:
    (p, q), ys = (
        gc.scan(two_carries, (a, b), xs, reverse=reverse)
        if loop
        else unrolled(two_carries, (a, b), xs, reverse)
    )
    return gc.sum(p) * 2 + gc.sum(q * q) + gc.sum(ys if loop else gc.stack(ys))


def nested(x: gc.Tensor, w: gc.Tensor, *, loop: bool) -> gc.Tensor:
    """A loop in a loop: the inner one reads what the outer one carries, and what is outside of both."""

    def outer(c: gc.Tensor, row: gc.Tensor) -> tuple[gc.Tensor, gc.Tensor]:
        def inner(d: gc.Tensor, element: gc.Tensor) -> tuple[gc.Tensor, gc.Tensor]:
            return gc.sin(d * w + element * c), d * element

        last, ys = gc.scan(inner, c, row) if loop else unrolled(inner, c, row)
        return last + 0.5 * c, gc.sum(ys if loop else gc.stack(ys))

    start = gc.const(0.3)
    last, ys = gc.scan(outer, start, x) if loop else unrolled(outer, start, x)
    return last + gc.sum((ys if loop else gc.stack(ys)) ** 2)


def checkpointed(w: gc.Tensor, xs: gc.Tensor, k: bool | int, reverse: bool = False) -> gc.Tensor:
    last, ys = gc.scan(
        lambda h, x: (gc.tanh(w * h + x), h * h), gc.const(0.1), xs, checkpoint=k, reverse=reverse
    )
    return last + gc.sum(ys * gc.cos(ys))


def branch(a: gc.Tensor, b: gc.Tensor, *, loop: bool) -> gc.Tensor:
    flag = gc.sum(a) > 0
    if loop:
        p, q = gc.cond(flag, lambda v: (gc.exp(v) * b, v), lambda v: (gc.sin(v), b * b * v), a)
    else:
        p, q = gc.where(flag, gc.exp(a) * b, gc.sin(a)), gc.where(flag, a, b * b * a)
    return gc.sum(p * q)


def branch_in_loop(xs: gc.Tensor, w: gc.Tensor, *, loop: bool) -> gc.Tensor:
    def step(c: gc.Tensor, x: gc.Tensor) -> tuple[gc.Tensor, None]:
        if loop:
            return gc.cond(x > 0, lambda: c * w, lambda: c + x * w), None
        return gc.where(x > 0, c * w, c + x * w), None

    last, _ = gc.scan(step, gc.const(1.0), xs) if loop else unrolled(step, gc.const(1.0), xs)
    return last * last


def newton(a: gc.Tensor) -> gc.Tensor:
    """√a by Newton's steps, until they no longer change much."""
    x, _ = gc.while_loop(
        lambda c: gc.abs(c[0] * c[0] - a) > 1e-13 * a,
        lambda c: (0.5 * (c[0] + a / c[0]), c[1] + 1),
        (gc.const(1.0), 0),
    )
    return x


def length_only(w: gc.Tensor, *, loop: bool) -> gc.Tensor:
    if loop:
        c, ys = gc.scan(lambda c, _: (c * w, c), gc.const(1.0), length=4)
        return c + gc.sum(ys)
    return w**4 + 1 + w + w * w + w * w * w


CASES = [
    Case("rnn", ((3, 3), (3, 2), (3,), (T, 2)), rnn_looped, rnn_unrolled),
    *(
        Case(
            f"swapped-{'backwards' if r else 'forwards'}", ((3,), (3,), (T, 3)),
            lambda a, b, xs, r=r: swapped(a, b, xs, loop=True, reverse=r),
            lambda a, b, xs, r=r: swapped(a, b, xs, loop=False, reverse=r),
        )
        for r in (False, True)
    ),
    Case("nested", ((3, 4), ()), lambda x, w: nested(x, w, loop=True), lambda x, w: nested(x, w, loop=False)),
    *(
        Case(
            f"checkpoint-{k}-{r}", ((), (7,)),
            lambda w, xs, k=k, r=r: checkpointed(w, xs, k, r),
            lambda w, xs, r=r: checkpointed(w, xs, False, r),
        )
        for k in (True, 1, 3, 7, 9)
        for r in (False, True)
    ),
    Case("branch", ((3,), ()), lambda a, b: branch(a, b, loop=True), lambda a, b: branch(a, b, loop=False)),
    Case(
        "branch-in-loop", ((T,), ()),
        lambda x, w: branch_in_loop(x, w, loop=True), lambda x, w: branch_in_loop(x, w, loop=False),
    ),
    Case("newton", ((),), lambda a: newton(a * a + 1), lambda a: gc.sqrt(a * a + 1), reverse_mode=False),
    Case("length", ((),), lambda w: length_only(w, loop=True), lambda w: length_only(w, loop=False)),
]  # fmt: skip


def arrays(case: Case, seed: int) -> Arrays:
    draw = np.random.default_rng(seed)
    return [draw.normal(size=s) for s in case.shapes]


def both(case: Case, derive: Callable[[gc.Tensor, list[gc.Tensor]], list[gc.Tensor]]) -> tuple[Any, Any, Any]:
    inputs = [gc.input(f"a{k}", s, case.dtype) for k, s in enumerate(case.shapes)]
    return inputs, derive(case.looped(*inputs), inputs), derive(case.written_out(*inputs), inputs)


def check(case: Case, derive: Callable[..., list[gc.Tensor]], tolerance: float, seeds: int = 2) -> None:
    inputs, looped, plain = both(case, derive)
    oracle = gc.compile(inputs, plain, backend="reference", disable=["stability"])
    functions = [gc.compile(inputs, looped, backend=b) for b in BACKENDS]
    for seed in range(seeds):
        given = arrays(case, seed)
        wanted = oracle(*given)
        for backend, fn in zip(BACKENDS, functions, strict=True):
            for found, right in zip(fn(*given), wanted, strict=True):
                np.testing.assert_allclose(
                    found, right, tolerance, tolerance, err_msg=f"{backend}, seed {seed}"
                )


@pytest.mark.parametrize("case", CASES, ids=str)
def test_values_are_those_of_the_steps_written_out(case: Case) -> None:
    check(case, lambda y, xs: [y], 1e-11)


@pytest.mark.parametrize("case", [c for c in CASES if c.reverse_mode], ids=str)
def test_gradients_are_those_of_the_steps_written_out(case: Case) -> None:
    check(case, lambda y, xs: gc.grad(y, xs), 1e-10)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_tangents_are_those_of_the_steps_written_out(case: Case) -> None:
    check(case, lambda y, xs: gc.jvp(y, xs, [gc.cos(x) for x in xs]), 1e-9)


@pytest.mark.parametrize("case", [c for c in CASES if c.reverse_mode], ids=str)
def test_second_derivatives_are_those_of_the_steps_written_out(case: Case) -> None:
    def second(y: gc.Tensor, xs: list[gc.Tensor]) -> list[gc.Tensor]:
        along = gc.sum(gc.grad(y, xs[0]) * gc.cos(xs[0]))
        for x in xs:  # a path to each, also where the first gradient does not depend on it
            along = along + gc.sum(x)
        return gc.grad(along, xs)

    check(case, second, 1e-9, seeds=1)


@pytest.mark.parametrize("case", [c for c in CASES if c.reverse_mode], ids=str)
def test_forward_over_reverse_is_reverse_over_forward(case: Case) -> None:
    inputs = [gc.input(f"a{k}", s, case.dtype) for k, s in enumerate(case.shapes)]
    y, x = case.looped(*inputs), inputs[0]
    direction = gc.cos(x)
    (forward,) = gc.jvp(gc.grad(y, x), [x], [direction])
    held = gc.stop_gradient(direction)
    backward = gc.grad(gc.sum(gc.jvp(y, [x], [held])[0]), x)
    fn = gc.compile(inputs, [forward, backward])
    a, b = fn(*arrays(case, 0))
    np.testing.assert_allclose(a, b, 1e-9, 1e-9)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("steps", [0, 1, 2, 17])
def test_one_function_serves_every_length(backend: str, steps: int) -> None:
    w, xs = gc.input("w", (3,)), gc.input("xs", ("T", 3))
    last, ys = gc.scan(lambda c, x: (gc.tanh(c * w + x), c), gc.zeros_like(w), xs)
    loss = gc.sum(last) + gc.sum(ys * ys)
    fn = gc.compile([w, xs], [loss, *gc.grad(loss, [w, xs])], backend=backend)
    given = np.random.default_rng(steps).normal(size=(steps, 3))
    weights = np.array([0.5, -1.0, 2.0])
    c, total, states = np.zeros(3), 0.0, []
    for x in given:
        states.append(c)
        total += float(np.sum(c * c))
        c = np.tanh(c * weights + x)
    gw, gx, g = np.zeros(3), np.zeros_like(given), np.ones(3)
    for t in reversed(range(steps)):
        new = np.tanh(states[t] * weights + given[t])
        inner = g * (1 - new * new)
        gw += inner * states[t]
        gx[t] = inner
        g = inner * weights + 2 * states[t]
    value, dw, dx = fn(weights, given)
    np.testing.assert_allclose(value, total + c.sum(), 1e-12)
    np.testing.assert_allclose(dw, gw, 1e-11, 1e-11)
    np.testing.assert_allclose(dx, gx, 1e-11, 1e-11)


def test_only_the_side_that_is_chosen_is_computed() -> None:
    """1/x at 0 in the other side leaves no trace, in the value or in the gradient."""
    x = gc.input("x")
    y = gc.cond(x > 0, lambda v: 1 / v, lambda v: v * 2, x)
    fn = gc.compile([x], [y, gc.grad(y, x)])
    assert [float(v) for v in fn(0.0)] == [0.0, 2.0]
    assert [float(v) for v in fn(4.0)] == [0.25, -0.0625]


def test_integers_and_truth_values_can_be_carried() -> None:
    n = gc.input("n", dtype="int64")
    steps, done = gc.while_loop(
        lambda c: gc.logical_not(c[1]),
        lambda c: (c[0] + 1, c[0] * c[0] >= n),
        (gc.const(np.int64(0)), gc.const(False)),
    )
    fn = gc.compile([n], [steps, done])
    assert [(int(a), bool(b)) for a, b in (fn(10), fn(0))] == [(5, True), (1, True)]


def test_weights_are_shared_over_time_and_over_trees() -> None:
    """A recursive network over a tree: one parameter at every inner node, and its gradient is their sum."""
    w = gc.param("w", (2, 4), init="ones")
    leaves = [gc.input(f"x{k}", (2,), "float32") for k in range(5)]

    def join(parts: list[gc.Tensor], w: gc.Tensor) -> gc.Tensor:
        if len(parts) == 1:
            return parts[0]
        half = len(parts) // 2
        return gc.tanh(w @ gc.concatenate([join(parts[:half], w), join(parts[half:], w)]))

    top = gc.sum(join(leaves, w))
    copies = [gc.input(f"w{k}", (2, 4), "float32") for k in range(4)]
    given = iter(copies)

    def apart(parts: list[gc.Tensor]) -> gc.Tensor:
        if len(parts) == 1:
            return parts[0]
        half, own = len(parts) // 2, next(given)
        return gc.tanh(own @ gc.concatenate([apart(parts[:half]), apart(parts[half:])]))

    separate = gc.sum(apart(leaves))
    fn = gc.compile(leaves, gc.grad(top, w))
    each = gc.compile([*leaves, *copies], gc.grad(separate, copies))
    values = list(np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32))
    shared = fn(*values)
    np.testing.assert_allclose(shared, sum(each(*values, *[w.value] * 4)), 1e-5, 1e-6)


def test_a_training_loop_inside_the_graph() -> None:
    """Twenty steps of gradient descent as one scan, and the gradient through all of them."""
    rate, target = gc.input("rate"), gc.input("target", (3,))

    def descend(w: gc.Tensor, _: None) -> tuple[gc.Tensor, gc.Tensor]:
        loss = gc.sum((w - target) ** 2)
        return w - rate * gc.grad(loss, w), loss

    w, losses = gc.scan(descend, np.zeros(3), length=20)
    final = gc.sum((w - target) ** 2)
    fn = gc.compile([rate, target], [losses, final, gc.grad(final, rate)])
    goal = np.array([1.0, 2.0, -1.0])
    losses_, final_, slope = fn(0.1, goal)
    np.testing.assert_allclose(losses_, goal @ goal * 0.8 ** (2 * np.arange(20)), 1e-12)
    np.testing.assert_allclose(final_, goal @ goal * 0.8**40, 1e-11)
    np.testing.assert_allclose(slope, goal @ goal * 40 * 0.8**39 * -2, 1e-11)


def test_a_stopped_gradient_may_lead_through_a_while_loop() -> None:
    """What goes into the loop is stopped, so there is nothing to differentiate in it."""
    x = gc.input("x", ("N",))
    grown, _ = gc.while_loop(
        lambda s: s[1] < 3, lambda s: (s[0] * 2.0, s[1] + 1), (gc.stop_gradient(x), gc.const(0, "int64"))
    )
    slope = gc.compile([x], gc.grad(gc.sum(grown * x), x), backend="reference")
    np.testing.assert_array_equal(slope(np.array([1.0, -2.0])), [8.0, -16.0])


def test_a_count_beside_the_state_does_not_hide_its_gradient() -> None:
    """One result of the loop is an integer, another one a float: the float has its gradient."""
    x = gc.input("x", ("N",))
    start = (x, gc.const(0, "int64"))
    (state, count), _ = gc.scan(lambda s, _: ((s[0] * s[0], s[1] + 1), None), start, length=2)
    loss = gc.sum(state) + gc.sum(count.astype("float64"))
    slope = gc.compile([x], gc.grad(loss, x), backend="reference")
    np.testing.assert_array_equal(slope(np.array([1.0, -2.0])), [4.0, -32.0])
