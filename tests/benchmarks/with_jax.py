"""JAX as a competitor: one jitted function, training steps with donated state."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from tests.benchmarks.workload import EPSILON, SGD, Adam, Array, Prepared, Problem, Value

jax.config.update("jax_enable_x64", True)


class Ops:
    """See `workload.Ops`."""

    exp = staticmethod(jnp.exp)
    tanh = staticmethod(jnp.tanh)
    sigmoid = staticmethod(jax.nn.sigmoid)
    relu = staticmethod(jax.nn.relu)
    sum = staticmethod(jnp.sum)
    softmax = staticmethod(jax.nn.softmax)
    log_softmax = staticmethod(jax.nn.log_softmax)

    def linear(self, x: Value, w: Value, b: Value) -> Value:
        return x @ w + b

    def conv2d(self, x: Value, w: Value, b: Value | None, padding: int, stride: int = 1) -> Value:
        pads, strides = [(padding, padding)] * 2, (stride, stride)
        y = lax.conv_general_dilated(x, w, strides, pads, dimension_numbers=("NCHW", "OIHW", "NCHW"))
        return y if b is None else y + b[:, None, None]

    def batch_norm(self, x: Value, gamma: Value, beta: Value) -> Value:
        scale = gamma * lax.rsqrt(x.var((0, 2, 3)) + EPSILON)
        return (x - x.mean((0, 2, 3), keepdims=True)) * scale[:, None, None] + beta[:, None, None]

    def layer_norm(self, x: Value, gamma: Value, beta: Value) -> Value:
        spread = x.var(-1, keepdims=True)
        return (x - x.mean(-1, keepdims=True)) * lax.rsqrt(spread + EPSILON) * gamma + beta

    def max_pool2d(self, x: Value, size: int, stride: int, padding: int = 0) -> Value:
        pads = [(0, 0)] * 2 + [(padding, padding)] * 2
        return lax.reduce_window(x, -jnp.inf, lax.max, (1, 1, size, size), (1, 1, stride, stride), pads)

    def mean_of_places(self, x: Value) -> Value:
        return x.mean((2, 3))

    def flatten(self, x: Value) -> Value:
        return x.reshape(x.shape[0], -1)

    def lstm(self, xs: Value, w: Value, u: Value, b: Value) -> Value:
        def step(states: Value, x: Value) -> tuple[Value, None]:
            h, c = states
            i, f, g, o = jnp.split(x + h @ u.T, 4, axis=-1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None

        zero = jnp.zeros((xs.shape[1], u.shape[1]), xs.dtype)
        (h, _), _ = lax.scan(step, (zero, zero), xs @ w.T + b)
        return h

    def cross_entropy(self, logits: Value, labels: Value) -> Value:
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1))


def prepare(problem: Problem, threads: int) -> Prepared:
    """Compile for the arrays at hand; the number of threads is the process's own (see `measure`)."""
    body = partial(problem.body, Ops())
    inputs = [jnp.asarray(a) for a in problem.inputs]
    results: Value = ()

    if problem.optimizer is None:
        params = {name: jnp.asarray(a) for name, a in problem.params.items()}
        function = jax.jit(_differentiated(body, problem.gradients) if problem.gradients else body)

        def evaluate() -> None:
            nonlocal results
            results = jax.block_until_ready(function(params, *inputs))

        return Prepared(evaluate, lambda: [np.asarray(a) for a in jax.tree.leaves(results)])

    optimizer = problem.optimizer
    state: Value = None

    def reset() -> None:
        nonlocal state
        params = {name: jnp.array(a) for name, a in problem.params.items()}
        memories = [
            {name: jnp.zeros_like(a) for name, a in params.items()} for _ in range(optimizer.memories)
        ]
        state = (params, memories, jnp.zeros((), jnp.float64))

    def step(state: Value, *inputs: Value) -> Value:
        params, memories, t = state
        loss, gradients = jax.value_and_grad(body)(params, *inputs)
        return _updated(optimizer, params, gradients, memories, t + 1.0), loss

    compiled = jax.jit(step, donate_argnums=0)

    def train() -> None:
        nonlocal state, results
        state, results = jax.block_until_ready(compiled(state, *inputs))

    def read() -> list[Array]:
        return [np.asarray(results), *(np.asarray(state[0][name]) for name in problem.params)]

    reset()
    return Prepared(train, read, reset)


def _differentiated(body: Value, wrt: tuple[int, ...]) -> Value:
    return jax.value_and_grad(body, argnums=tuple(1 + k for k in wrt))


def _updated(spec: SGD | Adam, params: Value, gradients: Value, memories: Value, t: Value) -> Value:
    """New (parameters, memories, step number)."""
    new: dict[str, Value] = {}
    kept: list[dict[str, Value]] = [{} for _ in memories]
    for name, w in params.items():
        g = gradients[name]
        if isinstance(spec, SGD):
            if not memories:
                new[name] = w - spec.rate * g
                continue
            kept[0][name] = spec.momentum * memories[0][name] - spec.rate * g
            new[name] = w + kept[0][name]
        else:
            rate = spec.rate * jnp.sqrt(1.0 - spec.beta_2**t) / (1.0 - spec.beta_1**t)
            m = kept[0][name] = spec.beta_1 * memories[0][name] + (1.0 - spec.beta_1) * g
            v = kept[1][name] = spec.beta_2 * memories[1][name] + (1.0 - spec.beta_2) * g * g
            new[name] = w - rate.astype(w.dtype) * m / (jnp.sqrt(v) + spec.epsilon)
    return new, kept, t
