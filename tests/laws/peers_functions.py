"""Functions of whole arrays beside PyTorch's and JAX's.  `peers.py` says what is compared, and how.

>>> len(ROWS) > 100
True
"""

from __future__ import annotations

from typing import Any

import numpy as np
from peers import Array, Difference, Table, weights

import graphc as gc

try:
    import torch
except ImportError:  # the tables can be read without it
    torch = None  # type: ignore[assignment]
try:
    import jax
    import jax.numpy as jnp
except ImportError:
    jax = jnp = None  # type: ignore[assignment]

TABLE = Table(41)
ROWS, RNG, row, linear = TABLE.rows, TABLE.rng, TABLE.row, TABLE.linear

TIES = np.array([[1.0, 3.0, 3.0, -2.0], [0.0, 0.0, -1.0, 0.0], [2.0, 2.0, 2.0, 2.0]])
ZEROS = np.array([[1.5, 0.0, -2.0, 3.0], [0.0, 2.0, 0.0, -1.0], [0.5, -1.5, 2.0, 3.0]])
SPREAD = RNG.permutation(40).reshape(5, 8) * 0.37 - 5.0  # no two alike


# ---- reductions and statistics ---------------------------------------------------------------------------

for _axis in (0, 1, (0, 2), None):
    _kw: dict[str, Any] = {} if _axis is None else {"axis": _axis}
    _dim: dict[str, Any] = {} if _axis is None else {"dim": _axis}
    linear(f"sum {_axis}", lambda x, k=_kw: gc.sum(x, **k), lambda x, k=_dim: torch.sum(x, **k),
           lambda x, k=_kw: jnp.sum(x, **k), (3, 4, 2))  # fmt: skip
    linear(f"mean {_axis}", lambda x, k=_kw: gc.mean(x, **k), lambda x, k=_dim: torch.mean(x, **k),
           lambda x, k=_kw: jnp.mean(x, **k), (3, 4, 2))  # fmt: skip
    for _ddof in (0, 1):
        row(f"var {_axis} ddof {_ddof}", lambda x, k=_kw, d=_ddof: gc.var(x, ddof=d, **k),
            lambda x, k=_dim, d=_ddof: torch.var(x, correction=d, **k),
            lambda x, k=_kw, d=_ddof: jnp.var(x, ddof=d, **k), (3, 4, 2))  # fmt: skip
    row(f"std {_axis}", lambda x, k=_kw: gc.std(x, ddof=1, **k), lambda x, k=_dim: torch.std(x, **k),
        lambda x, k=_kw: jnp.std(x, ddof=1, **k), (3, 4, 2))  # fmt: skip
    row(f"logsumexp {_axis}", lambda x, k=_kw: gc.logsumexp(x, **k),
        lambda x, k=_axis: torch.logsumexp(x, (0, 1, 2) if k is None else k),
        lambda x, k=_kw: jax.nn.logsumexp(x, **k), (3, 4, 2))  # fmt: skip
for _axis in (0, 1):
    row(f"prod {_axis} with zeros", lambda x, k=_axis: gc.prod(x, k), lambda x, k=_axis: torch.prod(x, k),
        lambda x, k=_axis: jnp.prod(x, k), ZEROS)  # fmt: skip
    row(f"cumprod {_axis} with zeros", lambda x, k=_axis: gc.cumprod(x, k), lambda x, k=_axis: torch.cumprod(x, k),
        lambda x, k=_axis: jnp.cumprod(x, k), ZEROS)  # fmt: skip
    linear(f"cumsum {_axis}", lambda x, k=_axis: gc.cumsum(x, k), lambda x, k=_axis: torch.cumsum(x, k),
           lambda x, k=_axis: jnp.cumsum(x, k), (3, 4))  # fmt: skip
    row(f"logcumsumexp {_axis}", lambda x, k=_axis: gc.logcumsumexp(x, k),
        lambda x, k=_axis: torch.logcumsumexp(x, k),
        lambda x, k=_axis: jax.lax.cumlogsumexp(x, k), (4, 5))  # fmt: skip
    for _kind in ("max", "min"):
        linear(f"{_kind} {_axis}", lambda x, k=_axis, f=_kind: getattr(gc, f)(x, k),
               lambda x, k=_axis, f=_kind: getattr(torch, f)(x, k).values,
               lambda x, k=_axis, f=_kind: getattr(jnp, f)(x, k), SPREAD)  # fmt: skip
        linear(f"cum{_kind} {_axis}", lambda x, k=_axis, f=_kind: getattr(gc, f"cum{f}")(x, k),
               lambda x, k=_axis, f=_kind: getattr(torch, f"cum{f}")(x, k).values,
               lambda x, k=_axis, f=_kind: getattr(jax.lax, f"cum{f}")(x, k), SPREAD)  # fmt: skip
        linear(f"arg{_kind} {_axis} ties", lambda x, k=_axis, f=_kind: getattr(gc, f"arg{f}")(x, k), None,
               lambda x, k=_axis, f=_kind: getattr(jnp, f"arg{f}")(x, k), TIES)  # fmt: skip
        linear(f"arg{_kind} {_axis}", lambda x, k=_axis, f=_kind: getattr(gc, f"arg{f}")(x, k),
               lambda x, k=_axis, f=_kind: getattr(torch, f"arg{f}")(x, k), None, SPREAD)  # fmt: skip
    for _kind in ("softmax", "log_softmax"):
        row(f"{_kind} {_axis}", lambda x, k=_axis, f=_kind: getattr(gc, f)(x, k),
            lambda x, k=_axis, f=_kind: getattr(torch, f)(x, k),
            lambda x, k=_axis, f=_kind: getattr(jax.nn, f)(x, k), (4, 5))  # fmt: skip
row("prod", gc.prod, "prod", "prod", (3, 3))
linear("max", gc.max, "amax", "max", SPREAD)
linear("min", gc.min, "amin", "min", SPREAD)
linear("ptp", lambda x: gc.ptp(x, 1), lambda x: x.amax(1) - x.amin(1), lambda x: jnp.ptp(x, 1), SPREAD)
linear(
    "any", lambda x: gc.any(x, 1), lambda x: torch.any(x != 0, 1), lambda x: jnp.any(x, 1), ZEROS * (TIES > 1)
)
linear("all", lambda x: gc.all(x, 1), lambda x: torch.all(x != 0, 1), lambda x: jnp.all(x, 1), ZEROS)
linear("count_nonzero", lambda x: gc.count_nonzero(x, 0), lambda x: torch.count_nonzero(x, 0),
       lambda x: jnp.count_nonzero(x, 0), ZEROS)  # fmt: skip
for _p in (1, 2, 3, 0.5, np.inf, -np.inf):
    row(f"norm {_p}", lambda x, p=_p: gc.norm(x, p, 1), lambda x, p=_p: torch.linalg.vector_norm(x, p, 1),
        lambda x, p=_p: jnp.linalg.norm(x, p, 1), SPREAD, smooth=_p in (2, 3, 0.5))  # fmt: skip
for _q in ("fro", 1, -1, np.inf, -np.inf):
    row(f"norm of matrices {_q}", lambda x, p=_q: gc.norm(x, p, (0, 1)), lambda x, p=_q: torch.linalg.matrix_norm(x, p),
        lambda x, p=_q: jnp.linalg.norm(x, p), SPREAD, smooth=_q == "fro")  # fmt: skip
row(
    "moments mean",
    lambda x: gc.moments(x, 0)[0],
    lambda x: x.mean(0),
    lambda x: jnp.mean(x, 0),
    (4, 3),
    smooth=False,
)
row(
    "moments variance",
    lambda x: gc.moments(x, 0)[1],
    lambda x: x.var(0, correction=0),
    lambda x: jnp.var(x, 0),
    (4, 3),
)
linear("maxout", lambda x: gc.maxout(x, 4, 1), lambda x: x.reshape(5, 2, 4).amax(2),
       lambda x: x.reshape(5, 2, 4).max(2), SPREAD)  # fmt: skip

# ---- order -------------------------------------------------------------------------------------------------

for _axis in (0, 1):
    linear(f"sort {_axis}", lambda x, k=_axis: gc.sort(x, k),
           lambda x, k=_axis: torch.sort(x, dim=k, stable=True).values,
           lambda x, k=_axis: jnp.sort(x, k), SPREAD)  # fmt: skip
    linear(f"sort {_axis} ties", lambda x, k=_axis: gc.sort(x, k),
           lambda x, k=_axis: torch.sort(x, dim=k, stable=True).values,
           lambda x, k=_axis: jnp.sort(x, k, stable=True), TIES)  # fmt: skip
    linear(f"argsort {_axis} ties", lambda x, k=_axis: gc.argsort(x, k),
           lambda x, k=_axis: torch.argsort(x, dim=k, stable=True),
           lambda x, k=_axis: jnp.argsort(x, k, stable=True), TIES)  # fmt: skip
    linear(f"quantile {_axis}", lambda x, k=_axis: gc.quantile(x, [0.1, 0.5, 0.77], k),
           lambda x, k=_axis: torch.quantile(x, torch.tensor([0.1, 0.5, 0.77], dtype=x.dtype), k),
           lambda x, k=_axis: jnp.quantile(x, jnp.asarray([0.1, 0.5, 0.77]), k), SPREAD)  # fmt: skip
    linear(f"median {_axis}", lambda x, k=_axis: gc.median(x, k), lambda x, k=_axis: torch.quantile(x, 0.5, k),
           lambda x, k=_axis: jnp.median(x, k), SPREAD)  # fmt: skip
linear("sort descending", lambda x: gc.sort(x, descending=True), lambda x: torch.sort(x, descending=True).values,
       lambda x: jnp.sort(x, descending=True), SPREAD)  # fmt: skip
linear(
    "top_k",
    lambda x: gc.top_k(x, 3)[0],
    lambda x: torch.topk(x, 3).values,
    lambda x: jax.lax.top_k(x, 3)[0],
    SPREAD,
)
linear("top_k indices", lambda x: gc.top_k(x, 3)[1], lambda x: torch.topk(x, 3).indices,
       lambda x: jax.lax.top_k(x, 3)[1].astype(np.int64), SPREAD)  # fmt: skip
linear(
    "top_k ties", lambda x: gc.top_k(x, 2)[1], None, lambda x: jax.lax.top_k(x, 2)[1].astype(np.int64), TIES
)
linear("median_filter2d", lambda x: gc.median_filter2d(x, 3),
       lambda x: x.unfold(0, 3, 1).unfold(1, 3, 1).flatten(-2).median(-1).values, None, SPREAD)  # fmt: skip

# ---- where a tie goes --------------------------------------------------------------------------------------
# graphc and PyTorch's max along an axis give a tie to the first; amax and JAX share it out.


def _shared(part: str, peers: str, ours: Array, theirs: Array) -> list[Difference]:
    up = weights((3,), 1)[:, None]
    return [
        Difference(peers, part, (int(i), int(j)), float((up * ours)[i, j]), float((up * theirs)[i, j]))
        for i, j in np.argwhere(ours != theirs)
    ]


_TOP = np.array([[0, 1, 1, 0], [1, 1, 0, 1], [1, 1, 1, 1]]) / np.array([[2], [3], [4]])
_FIRST = np.array([[0, 1, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]], float)
row("max of ties", lambda x: gc.max(x, 1), lambda x: x.amax(1), lambda x: jnp.max(x, 1), TIES, smooth=False,
    differs=_shared("d0", "torch jax", _FIRST, _TOP))  # fmt: skip
row("max of ties, indexed", lambda x: gc.max(x, 1), lambda x: x.max(1).values, None, TIES, smooth=False)

# ---- products ------------------------------------------------------------------------------------------------

for _a, _b in (((4, 5), (5, 3)), ((2, 1, 3, 4), (3, 4, 2)), ((5,), (5, 3)), ((2, 4, 5), (5,)), ((4,), (4,))):
    row(f"matmul {_a} {_b}", gc.matmul, "matmul", "matmul", _a, _b)
row("dot", gc.dot, "dot", "dot", (6,), (6,))
row("vdot", gc.vdot, lambda a, b: (a * b).sum(), "vdot", (2, 3), (2, 3))
row("inner", gc.inner, "inner", "inner", (2, 4), (3, 4))
row("outer", gc.outer, "outer", "outer", (3,), (4,))
row("kron", gc.kron, "kron", "kron", (2, 3), (3, 2))
row("cross", gc.cross, lambda a, b: torch.linalg.cross(a, b), "cross", (4, 3), (4, 3))
row("tensordot", lambda a, b: gc.tensordot(a, b, ((1, 2), (0, 1))),
    lambda a, b: torch.tensordot(a, b, ([1, 2], [0, 1])),
    lambda a, b: jnp.tensordot(a, b, ((1, 2), (0, 1))), (2, 3, 4), (3, 4, 5))  # fmt: skip
row("bilinear", gc.bilinear, "F.bilinear", lambda x, y, w, b: jnp.einsum("ni,oij,nj->no", x, w, y) + b,
    (3, 2), (3, 4), (5, 2, 4), (5,))  # fmt: skip
for _spec, *_shapes in (
    ("ij,jk->ik", (3, 4), (4, 2)), ("bij,bjk->bik", (2, 3, 4), (2, 4, 3)), ("ij,ij->", (3, 4), (3, 4)),
    ("i,j->ij", (3,), (4,)), ("ijk,k->ji", (2, 3, 4), (4,)), ("ii->i", (4, 4)), ("ii->", (4, 4)), ("ij->ji", (3, 4)),
    ("ab,bc,cd->ad", (2, 3), (3, 4), (4, 2)), ("...i,ij->...j", (2, 3, 4), (4, 5)),
    ("bhqd,bhkd->bhqk", (2, 2, 3, 4), (2, 2, 5, 4)),
):  # fmt: skip
    row(f"einsum {_spec}", lambda *a, s=_spec: gc.einsum(s, *a), lambda *a, s=_spec: torch.einsum(s, *a),
        lambda *a, s=_spec: jnp.einsum(s, *a), *_shapes, smooth=len(_shapes) > 1)  # fmt: skip
for _mode in ("full", "same", "valid"):
    row(f"convolve {_mode}", lambda a, v, m=_mode: gc.convolve(a, v, m), None,
        lambda a, v, m=_mode: jnp.convolve(a, v, m), (7,), (3,))  # fmt: skip

# ---- indices -------------------------------------------------------------------------------------------------

AT = np.array([[0, 4, 2], [1, 1, 3]])
ROW_AT = np.array([[0, 3, 3], [1, 0, 2], [2, 2, 2], [3, 1, 0], [1, 1, 3]])
LABELS = np.array([2, 0, 3, 3, 1])
linear("take", gc.take, lambda x, k: x[k], lambda x, k: jnp.take(x, k, 0), (5, 4), AT)
linear(
    "embedding", gc.embedding, lambda x, k: torch.nn.functional.embedding(k, x), lambda x, k: x[k], (5, 4), AT
)
linear("take_along_axis", gc.take_along_axis, lambda x, k: torch.take_along_dim(x, k, -1),
       lambda x, k: jnp.take_along_axis(x, k, -1), (5, 4), ROW_AT)  # fmt: skip
linear(
    "pick",
    gc.pick,
    lambda x, k: x.gather(1, k[:, None])[:, 0],
    lambda x, k: x[jnp.arange(5), k],
    (5, 4),
    LABELS,
)
linear("one_hot", lambda k: gc.one_hot(k, 4), lambda k: torch.nn.functional.one_hot(k, 4).float(),
       lambda k: jax.nn.one_hot(k, 4, dtype=np.float32), LABELS)  # fmt: skip
linear("scatter_add", gc.scatter_add, lambda x, k, u: x.index_add(0, k, u), lambda x, k, u: x.at[k].add(u),
       (4, 3), LABELS, (5, 3))  # fmt: skip
linear("segment_sum", lambda u, k: gc.segment_sum(u, k, 6), lambda u, k: u.new_zeros(6, 3).index_add(0, k, u),
       lambda u, k: jax.ops.segment_sum(u, k, 6), (5, 3), LABELS)  # fmt: skip
linear("put", gc.put, lambda x, k, u: x.index_copy(0, k, u), lambda x, k, u: x.at[k].set(u),
       (6, 3), np.array([4, 0, 3]), (3, 3))  # fmt: skip
linear("dynamic_slice", lambda x: gc.dynamic_slice(x, (1, 2), (2, 3)), lambda x: x[1:3, 2:5],
       lambda x: jax.lax.dynamic_slice(x, (1, 2), (2, 3)), (4, 6))  # fmt: skip
# JAX's own dynamic_slice counts a negative start from the end before XLA clamps it; graphc and XLA only clamp.
linear("dynamic_slice that hangs over", lambda x: gc.dynamic_slice(x, (3, 9), (2, 3)), None,
       lambda x: jax.lax.dynamic_slice(x, (3, 9), (2, 3)), (4, 6))  # fmt: skip
linear("dynamic_slice that begins before", lambda x: gc.dynamic_slice(x, (-7, -2), (2, 3)), None,
       lambda x: x[:2, :3], (4, 6))  # fmt: skip
linear("dynamic_update_slice", lambda x, u: gc.dynamic_update_slice(x, u, (1, 4)), None,
       lambda x, u: jax.lax.dynamic_update_slice(x, u, (1, 4)), (4, 6), (2, 3))  # fmt: skip

# ---- linear algebra --------------------------------------------------------------------------------------------


SQUARE = RNG.normal(size=(2, 4, 4)) + 3 * np.eye(4)
SYMMETRIC = SQUARE @ SQUARE.swapaxes(1, 2)
for _name, _torch, _jax in (("inv", "linalg.inv", "linalg.inv"), ("det", "linalg.det", "linalg.det")):
    row(
        _name,
        getattr(gc, _name),
        _torch,
        lambda a, f=_name: getattr(jnp.linalg, f)(a),
        SQUARE,
        loose={"torch float64": 10, "jax float64": 10},
    )
row("solve", gc.solve, "linalg.solve", lambda a, b: jnp.linalg.solve(a, b), SQUARE, (2, 4, 3))
row(
    "slogdet",
    lambda a: gc.slogdet(a)[1],
    lambda a: torch.linalg.slogdet(a)[1],
    lambda a: jnp.linalg.slogdet(a)[1],
    SQUARE,
)
row("slogdet sign", lambda a: gc.slogdet(a)[0], lambda a: torch.linalg.slogdet(a)[0].detach(),
    lambda a: jnp.linalg.slogdet(a)[0], SQUARE * np.array([1, -1]).reshape(2, 1, 1), fixed=(0,))  # fmt: skip
row("cholesky", gc.cholesky, None, lambda a: jnp.linalg.cholesky(a), SYMMETRIC)
row("cholesky of a product", lambda a: gc.cholesky(gc.matmul(a, gc.swapaxes(a, -1, -2))),
    lambda a: torch.linalg.cholesky(a @ a.mT), lambda a: jnp.linalg.cholesky(a @ a.swapaxes(1, 2)), SQUARE)  # fmt: skip
for _lower in (False, True):
    row(f"solve_triangular {_lower}", lambda a, b, k=_lower: gc.solve_triangular(a, b, lower=k),
        lambda a, b, k=_lower: torch.linalg.solve_triangular(torch.tril(a) if k else torch.triu(a), b, upper=not k),
        lambda a, b, k=_lower: jax.scipy.linalg.solve_triangular(a, b, lower=k), SQUARE[0], (4, 3))  # fmt: skip
row("lu permutation", lambda a: gc.lu(a)[0], lambda a: torch.linalg.lu(a)[0].detach().argmax(0),
    lambda a: jax.scipy.linalg.lu(a)[0].argmax(0), SQUARE[0])  # fmt: skip
for _k, _part in ((1, "lower"), (2, "upper")):
    row(f"lu {_part}", lambda a, k=_k: gc.lu(a)[k], lambda a, k=_k: torch.linalg.lu(a)[k],
        lambda a, k=_k: jax.scipy.linalg.lu(a)[k], SQUARE[0])  # fmt: skip
