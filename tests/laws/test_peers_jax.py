"""Every function that JAX has too: values, gradients and second derivatives, where JAX is installed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from peers import DTYPES, Found, Row, compare, only_drawn, resolve, weights
from peers_listed import every_row

jax: Any = pytest.importorskip(
    "jax", reason="JAX is not installed: pip install 'graphc[peers]' compares graphc with it"
)
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_disable_most_optimizations", True)  # compiled once, run once
jnp: Any = jax.numpy


def theirs(row: Row, dtype: str) -> Found:
    arrays = row.given(dtype)
    assert row.jax is not None
    f = resolve(jax if isinstance(row.jax, str) and "." in row.jax else jnp, row.jax)
    if not row.moving:
        return Found(np.asarray(f(*map(jnp.asarray, arrays))))

    def of(*floats: Any) -> Any:
        given = [jnp.asarray(a) for a in arrays]
        for k, x in zip(row.moving, floats, strict=True):
            given[k] = x
        return f(*given)

    moving = [jnp.asarray(arrays[k]) for k in row.moving]
    shape = jax.eval_shape(of, *moving)
    if shape.dtype.kind != "f":
        return Found(np.asarray(of(*moving)))
    up = jnp.asarray(weights(shape.shape, 1).astype(dtype))
    w = [only_drawn(row, weights(arrays[k].shape, 2 + k)).astype(dtype) for k in row.moving]

    def total(*floats: Any) -> tuple[Any, Any]:
        y, pull = jax.vjp(of, *floats)
        first = pull(up)
        return sum((g * c).sum() for g, c in zip(first, w, strict=True)), (y, first)

    numbers = tuple(range(len(moving)))
    if row.smooth:
        second, (y, first) = jax.jit(jax.grad(total, numbers, has_aux=True))(*moving)
    else:
        second, (y, first) = (), jax.jit(total)(*moving)[1]
    return Found(np.asarray(y), [np.asarray(g) for g in first], [np.asarray(g) for g in second])


ROWS = {name: row for name, row in every_row().items() if row.jax is not None}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ROWS)
def test_values_and_derivatives(name: str, dtype: str) -> None:
    compare("jax", ROWS[name], dtype, theirs)
