"""Loops and branches against JAX's scan, cond and while_loop: values, gradients, second derivatives, forward mode."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from peers import DTYPES, Array, weights

import graphc as gc

jax: Any = pytest.importorskip(
    "jax", reason="JAX is not installed: pip install 'graphc[peers]' compares graphc with it"
)
jax.config.update("jax_enable_x64", True)
jnp: Any = jax.numpy
RNG = np.random.default_rng(53)


def drawn(*shape: int) -> Array:
    return np.asarray(RNG.normal(size=shape)) * 0.5


def recurrent(lib: Any, scan: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """A recurrent cell that carries two states; the last state and all outputs, as one vector."""

    def f(xs: Any, h: Any, w: Any, u: Any) -> Any:
        def step(carry: Any, x: Any) -> Any:
            a, count = carry
            new = lib.tanh(a @ w + x @ u)
            return (new, count + lib.sum(new * a)), new * count

        (last, count), ys = scan(step, (h, lib.sum(h)), xs, **options)
        return lib.concatenate([last * count, lib.ravel(ys)])

    return f


def branching(lib: Any, cond: Callable[..., Any]) -> Callable[..., Any]:
    """A branch within a branch; each side uses other operands."""

    def f(x: Any, y: Any) -> Any:
        def left(a: Any, b: Any) -> Any:
            return cond(b[0] > 0, lambda v: lib.sin(v) * b, lambda v: v * v, a)

        return cond(lib.sum(x) > 0, left, lambda a, b: lib.exp(b) * 2.0, x, y)

    return f


def newton(lib: Any, while_loop: Callable[..., Any]) -> Callable[..., Any]:
    """The square root by Newton's steps, until they are small: as many as the numbers need."""

    def f(a: Any) -> Any:
        def unsettled(state: Any) -> Any:
            x, _ = state
            return lib.max(lib.abs(x * x - a)) > 1e-3

        return while_loop(unsettled, lambda s: ((s[0] + a / s[0]) / 2.0, s[1] + 1.0), (a, lib.sum(a * 0.0)))[
            0
        ]

    return f


def masked(lib: Any, scan: Callable[..., Any], cond: Callable[..., Any]) -> Callable[..., Any]:
    """A branch in a loop: what is negative is not added."""

    def f(xs: Any, c: Any) -> Any:
        def step(carry: Any, x: Any) -> Any:
            new = cond(lib.sum(x) > 0, lambda v: lib.sin(carry) + v, lambda v: carry * 0.5, x)
            return new, new * new

        last, ys = scan(step, c, xs)
        return lib.concatenate([last, lib.ravel(ys)])

    return f


CASES: dict[str, tuple[Callable[..., Any], Callable[[], Any], Sequence[Array]]] = {}
for _name, _ours, _theirs in (
    ("scan", {}, {}),
    ("scan reversed", {"reverse": True}, {"reverse": True}),
    ("scan checkpointed", {"checkpoint": 2}, {}),
):
    CASES[_name] = (
        recurrent(gc, lambda *a, o=_ours: gc.scan(*a, **o)),
        lambda o=_theirs: recurrent(jnp, lambda *a: jax.lax.scan(*a, **o)),
        [drawn(5, 2), drawn(3), drawn(3, 3), drawn(2, 3)],
    )
for _name, _x, _y in (("both", 1.0, 1.0), ("first", 1.0, -1.0), ("second", -1.0, 1.0)):
    _operands = [np.abs(drawn(3)) * _x, np.abs(drawn(3)) * _y]
    CASES[f"cond {_name}"] = (
        branching(gc, lambda *a: gc.cond(*a)), lambda: branching(jnp, jax.lax.cond), _operands
    )  # fmt: skip
CASES["cond in scan"] = (
    masked(gc, gc.scan, gc.cond), lambda: masked(jnp, jax.lax.scan, jax.lax.cond), [drawn(6, 2), drawn(2)]
)  # fmt: skip
CASES["while"] = (
    newton(gc, lambda *a: gc.while_loop(*a)), lambda: newton(jnp, jax.lax.while_loop), [np.array([2.0, 9.0, 0.5])]
)  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CASES)
def test_loops_and_branches(name: str, dtype: str) -> None:
    ours, theirs, plain = CASES[name]
    f, arrays = theirs(), [a.astype(dtype) for a in plain]
    tangents = [weights(a.shape, 7 + k).astype(dtype) for k, a in enumerate(arrays)]
    xs = [gc.input(f"x{k}", a.shape, dtype) for k, a in enumerate(arrays)]
    y = ours(*xs)
    outputs = [y, *gc.jvp(y, xs, [gc.const(t) for t in tangents])]
    expected = list(jax.jvp(f, tuple(map(jnp.asarray, arrays)), tuple(map(jnp.asarray, tangents))))
    if name != "while":  # reverse mode is refused by both
        up = weights(expected[0].shape, 1).astype(dtype)

        def slopes(*given: Any) -> Any:
            return jax.vjp(f, *given)[1](jnp.asarray(up))

        def total(*given: Any) -> Any:
            return sum(jnp.sum(g * t) for g, t in zip(slopes(*given), tangents, strict=True))

        first = gc.vjp(y, xs, gc.const(up))
        weighed = [gc.sum(g * gc.const(t)) for g, t in zip(first, tangents, strict=True)]
        second = gc.grad(sum(weighed[1:], weighed[0]), xs)
        outputs += [*first, *second]
        numbers = tuple(range(len(arrays)))
        expected += [*slopes(*arrays), *jax.grad(total, numbers)(*map(jnp.asarray, arrays))]
    found = gc.compile(xs, outputs)(*arrays)
    tol = 2e-5 if dtype == "float32" else 1e-11
    for k, (a, b) in enumerate(zip(found, expected, strict=True)):
        assert a.dtype == dtype
        np.testing.assert_allclose(a, b, rtol=tol, atol=tol, err_msg=f"output {k}")
