"""Arrangement, padding, creation and losses beside PyTorch's and JAX's.  `peers.py` says what is compared, and how.

>>> len(ROWS) > 50
True
"""

from __future__ import annotations

from typing import Any

import numpy as np
from peers import Table

import graphc as gc
from graphc import nn

try:
    import torch
except ImportError:  # the tables can be read without it
    torch = None  # type: ignore[assignment]
try:
    import jax
    import jax.numpy as jnp
except ImportError:
    jax = jnp = None  # type: ignore[assignment]

TABLE = Table(43)
ROWS, row, linear = TABLE.rows, TABLE.row, TABLE.linear

# ---- shapes and arrangement ----------------------------------------------------------------------------------

linear(
    "reshape",
    lambda x: gc.reshape(x, (6, -1)),
    lambda x: x.reshape(6, -1),
    lambda x: x.reshape(6, -1),
    (3, 4, 2),
)
linear("ravel", gc.ravel, "ravel", "ravel", (3, 4))
linear("transpose", lambda x: gc.transpose(x, (2, 0, 1)), lambda x: x.permute(2, 0, 1),
       lambda x: jnp.transpose(x, (2, 0, 1)), (3, 4, 2))  # fmt: skip
linear(
    "swapaxes",
    lambda x: gc.swapaxes(x, 0, 2),
    lambda x: x.swapaxes(0, 2),
    lambda x: jnp.swapaxes(x, 0, 2),
    (3, 4, 2),
)
linear("moveaxis", lambda x: gc.moveaxis(x, (0, 1), (2, 0)), lambda x: x.moveaxis((0, 1), (2, 0)),
       lambda x: jnp.moveaxis(x, (0, 1), (2, 0)), (3, 4, 2))  # fmt: skip
linear(
    "expand_dims",
    lambda x: gc.expand_dims(x, 1),
    lambda x: x.unsqueeze(1),
    lambda x: jnp.expand_dims(x, 1),
    (3, 4),
)
linear("squeeze", lambda x: gc.squeeze(x, 1), lambda x: x.squeeze(1), lambda x: jnp.squeeze(x, 1), (3, 1, 4))
linear("broadcast_to", lambda x: gc.broadcast_to(x, (3, 4)), lambda x: x.expand(3, 4),
       lambda x: jnp.broadcast_to(x, (3, 4)), (4,))  # fmt: skip
linear("atleast_1d", gc.atleast_1d, "atleast_1d", "atleast_1d", ())
linear("atleast_2d", gc.atleast_2d, "atleast_2d", "atleast_2d", (4,))
linear("concatenate", lambda a, b: gc.concatenate([a, b], 1), lambda a, b: torch.cat([a, b], 1),
       lambda a, b: jnp.concatenate([a, b], 1), (3, 4), (3, 2))  # fmt: skip
linear("stack", lambda a, b: gc.stack([a, b], 1), lambda a, b: torch.stack([a, b], 1),
       lambda a, b: jnp.stack([a, b], 1), (3, 4), (3, 4))  # fmt: skip
for _k in range(3):
    linear(f"split {_k}", lambda x, k=_k: gc.split(x, [2, 3], 1)[k],
           lambda x, k=_k: torch.tensor_split(x, [2, 3], 1)[k],
           lambda x, k=_k: jnp.split(x, [2, 3], 1)[k], (2, 7))  # fmt: skip
    linear(f"array_split {_k}", lambda x, k=_k: gc.array_split(x, 3, 1)[k],
           lambda x, k=_k: torch.tensor_split(x, 3, 1)[k],
           lambda x, k=_k: jnp.array_split(x, 3, 1)[k], (2, 7))  # fmt: skip
    linear(f"unstack {_k}", lambda x, k=_k: gc.unstack(x, 1)[k], lambda x, k=_k: torch.unbind(x, 1)[k],
           lambda x, k=_k: jnp.unstack(x, axis=1)[k], (2, 3))  # fmt: skip
linear("flip", lambda x: gc.flip(x, (0, 1)), lambda x: x.flip(0, 1), lambda x: jnp.flip(x, (0, 1)), (3, 4))
linear("roll", lambda x: gc.roll(x, (1, -2), (0, 1)), lambda x: x.roll((1, -2), (0, 1)),
       lambda x: jnp.roll(x, (1, -2), (0, 1)), (3, 4))  # fmt: skip
linear("tile", lambda x: gc.tile(x, (2, 3)), lambda x: x.tile(2, 3), lambda x: jnp.tile(x, (2, 3)), (3, 4))
linear(
    "repeat",
    lambda x: gc.repeat(x, 3, 1),
    lambda x: x.repeat_interleave(3, 1),
    lambda x: jnp.repeat(x, 3, 1),
    (3, 4),
)
linear(
    "diag of a vector", lambda x: gc.diag(x, 1), lambda x: torch.diag(x, 1), lambda x: jnp.diag(x, 1), (4,)
)
linear(
    "diag of a matrix",
    lambda x: gc.diag(x, -1),
    lambda x: torch.diag(x, -1),
    lambda x: jnp.diag(x, -1),
    (4, 3),
)
linear("diagonal", lambda x: gc.diagonal(x, 1, 0, 2), lambda x: torch.diagonal(x, 1, 0, 2),
       lambda x: jnp.diagonal(x, 1, 0, 2), (3, 2, 4))  # fmt: skip
linear("trace", gc.trace, "trace", "trace", (3, 4))
linear("tril", lambda x: gc.tril(x, -1), lambda x: torch.tril(x, -1), lambda x: jnp.tril(x, -1), (3, 4))
linear("triu", lambda x: gc.triu(x, 1), lambda x: torch.triu(x, 1), lambda x: jnp.triu(x, 1), (3, 4))
for _k in range(2):
    linear(f"meshgrid {_k}", lambda x, y, k=_k: gc.meshgrid(x, y, indexing="ij")[k] * 1.0 + 0 * x[:, None] + 0 * y,
           lambda x, y, k=_k: torch.meshgrid(x, y, indexing="ij")[k],
           lambda x, y, k=_k: jnp.meshgrid(x, y, indexing="ij")[k], (3,), (4,))  # fmt: skip
linear(
    "cast",
    lambda x: gc.cast(x, "int64"),
    lambda x: x.long(),
    lambda x: x.astype(np.int64),
    np.array([0.0, 2.9, -2.9, 1e6]),
)

# ---- padding and cropping ------------------------------------------------------------------------------------

WIDTH = ((0, 0), (2, 1), (1, 3))
for _mode, _theirs in (
    ("reflect", "reflect"),
    ("edge", "replicate"),
    ("wrap", "circular"),
    ("symmetric", None),
):
    linear(f"pad {_mode}", lambda x, m=_mode: gc.pad(x, WIDTH, mode=m),
           _theirs and (lambda x, m=_theirs: torch.nn.functional.pad(x[None], (1, 3, 2, 1), m)[0]),
           lambda x, m=_mode: jnp.pad(x, WIDTH, mode=m), (2, 4, 5))  # fmt: skip
linear("pad", lambda x: gc.pad(x, WIDTH, 2.5), lambda x: torch.nn.functional.pad(x, (1, 3, 2, 1), value=2.5),
       lambda x: jnp.pad(x, WIDTH, constant_values=2.5), (2, 4, 5))  # fmt: skip
linear(
    "crop",
    lambda x: gc.crop(x, 1, 2, 2, 3),
    lambda x: x[..., 1:3, 2:5],
    lambda x: x[..., 1:3, 2:5],
    (1, 2, 4, 6),
)
linear(
    "center_crop",
    lambda x: gc.center_crop(x, (2, 4)),
    lambda x: x[..., 1:3, 1:5],
    lambda x: x[..., 1:3, 1:5],
    (1, 2, 4, 6),
)

# ---- arrays from nothing; x gives the dtype ------------------------------------------------------------------

linear("arange", lambda: gc.arange(2, 11, 3), lambda: torch.arange(2, 11, 3), lambda: jnp.arange(2, 11, 3))
linear("linspace", lambda: gc.linspace(-1.0, 2.0, 7), lambda: torch.linspace(-1.0, 2.0, 7, dtype=torch.float64),
       lambda: jnp.linspace(-1.0, 2.0, 7, dtype=np.float64))  # fmt: skip
linear("eye", lambda: gc.eye(3, 4, 1), None, lambda: jnp.eye(3, 4, 1))
linear("tri", lambda: gc.tri(3, 4, -1), None, lambda: jnp.tri(3, 4, -1, dtype=np.float64))
linear("full", lambda: gc.full((2, 3), 1.5), lambda: torch.full((2, 3), 1.5, dtype=torch.float64),
       lambda: jnp.full((2, 3), 1.5))  # fmt: skip
linear(
    "zeros",
    lambda: gc.zeros((2, 3)),
    lambda: torch.zeros((2, 3), dtype=torch.float64),
    lambda: jnp.zeros((2, 3)),
)
linear(
    "ones", lambda: gc.ones((2, 3)), lambda: torch.ones((2, 3), dtype=torch.float64), lambda: jnp.ones((2, 3))
)
for _name, *_more in (("full_like", 2.5), ("ones_like",), ("zeros_like",)):
    linear(_name, lambda x, f=_name, m=_more: x * getattr(gc, f)(x, *m),
           lambda x, f=_name, m=_more: x * getattr(torch, f)(x, *m),
           lambda x, f=_name, m=_more: x * getattr(jnp, f)(x, *m), (2, 3))  # fmt: skip

# ---- losses: means over a batch ------------------------------------------------------------------------------

PROBABILITIES, TARGETS = TABLE.rng.uniform(0.05, 0.95, (2, 4, 3))
LABELS = np.array([2, 0, 1, 1])


def softmax_cross_entropy(s: Any, k: Any) -> Any:
    return -jnp.mean(jax.nn.log_softmax(s)[jnp.arange(4), k])


row(
    "mean of squares",
    lambda y, t: nn.mse(t, y),
    "F.mse_loss",
    lambda y, t: jnp.mean((y - t) ** 2),
    (4, 3),
    (4, 3),
)
row("mean of cross-entropies", lambda y, t: nn.binary_cross_entropy(t, y), "F.binary_cross_entropy",
    lambda y, t: -jnp.mean(t * jnp.log(y) + (1 - t) * jnp.log(1 - y)), PROBABILITIES, TARGETS, fixed=(1,))  # fmt: skip
row("mean of cross-entropies from logits", lambda y, t: nn.binary_cross_entropy_from_logits(t, y),
    "F.binary_cross_entropy_with_logits", lambda y, t: jnp.mean(jax.nn.softplus(y) - t * y),
    (4, 3), TARGETS, fixed=(1,))  # fmt: skip
row("mean of cross-entropies of labels", lambda s, k: nn.softmax_cross_entropy(k, s), "F.cross_entropy",
    softmax_cross_entropy, (4, 3), LABELS)  # fmt: skip
