"""JAX as a competitor: one jitted function, training steps with donated state."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from tests.benchmarks.workload import SGD, Adam, Array, Prepared, Problem, Value

jax.config.update("jax_enable_x64", True)


class Ops:
    """See `workload.Ops`."""

    exp = staticmethod(jnp.exp)
    tanh = staticmethod(jnp.tanh)
    sigmoid = staticmethod(jax.nn.sigmoid)
    relu = staticmethod(jax.nn.relu)
    sum = staticmethod(jnp.sum)

    def linear(self, x: Value, w: Value, b: Value) -> Value:
        return x @ w + b

    def conv2d(self, x: Value, w: Value, b: Value, padding: int) -> Value:
        pads = [(padding, padding)] * 2
        y = lax.conv_general_dilated(x, w, (1, 1), pads, dimension_numbers=("NCHW", "OIHW", "NCHW"))
        return y + b[:, None, None]

    def max_pool2d(self, x: Value, size: int) -> Value:
        window = (1, 1, size, size)
        return lax.reduce_window(x, -jnp.inf, lax.max, window, window, "VALID")

    def flatten(self, x: Value) -> Value:
        return x.reshape(x.shape[0], -1)

    def cross_entropy(self, logits: Value, labels: Value) -> Value:
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1))


def prepare(problem: Problem, threads: int) -> Prepared:
    """Compile for the arrays at hand; the number of threads is the process's own (see `measure`)."""
    body = partial(problem.body, Ops())
    inputs = [jnp.asarray(a) for a in problem.inputs]
    results: Value = ()

    if problem.optimizer is None:
        params = {name: jnp.asarray(a) for name, a in problem.params.items()}
        function = jax.jit(_differentiated(body) if problem.gradients else body)

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


def _differentiated(body: Value) -> Value:
    def value_and_gradients(params: Value, *inputs: Value) -> Value:
        return jax.value_and_grad(lambda xs: body(params, *xs))(inputs)

    return value_and_gradients


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
