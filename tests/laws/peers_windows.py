"""Convolution, pooling, images and normalisation beside PyTorch's and JAX's.  `peers.py` says what is compared.

PyTorch is asked with many more arguments, and with named dimensions, in `test_peers_windows.py`.

>>> len(ROWS) > 50
True
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from peers import Table

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

TABLE = Table(47)
ROWS, RNG, row, linear = TABLE.rows, TABLE.rng, TABLE.row, TABLE.linear

LETTERS = {1: "H", 2: "HW", 3: "DHW"}
IMAGES = {1: (9,), 2: (7, 6), 3: (5, 4, 6)}


def apart(*shape: int) -> Any:
    """No two numbers alike: no ties, and no kinks nearby."""
    return (RNG.permutation(int(np.prod(shape))) * 0.25 - 7.0).reshape(shape)


# ---- convolution -----------------------------------------------------------------------------------------------


def jax_conv(
    rank: int, stride: int = 1, padding: int = 0, dilation: int = 1, groups: int = 1
) -> Callable[..., Any]:
    layout = (f"NC{LETTERS[rank]}", f"OI{LETTERS[rank]}", f"NC{LETTERS[rank]}")
    return lambda x, w: jax.lax.conv_general_dilated(
        x, w, (stride,) * rank, [(padding, padding)] * rank, rhs_dilation=(dilation,) * rank,
        dimension_numbers=layout, feature_group_count=groups, precision="highest",
    )  # fmt: skip


def jax_transposed(
    rank: int, stride: int = 1, padding: int = 0, output_padding: int = 0
) -> Callable[..., Any]:
    """The adjoint of a convolution, as JAX takes it: dilate the image, flip the kernel."""
    layout = (f"NC{LETTERS[rank]}", f"IO{LETTERS[rank]}", f"NC{LETTERS[rank]}")

    def f(x: Any, w: Any) -> Any:
        around = [(k - 1 - padding, k - 1 - padding + output_padding) for k in w.shape[2:]]
        return jax.lax.conv_general_dilated(
            x, jnp.flip(w, range(2, 2 + rank)), (1,) * rank, around, lhs_dilation=(stride,) * rank,
            dimension_numbers=layout, precision="highest",
        )  # fmt: skip

    return f


for _rank in (1, 2, 3):
    _conv, _back = f"conv{_rank}d", f"conv_transpose{_rank}d"
    for _arguments in (
        {},
        {"stride": 2, "padding": 1},
        {"dilation": 2, "padding": 2},
        {"groups": 2, "padding": 1},
        {"groups": 4},
    ):
        row(f"{_conv} {_arguments}", lambda x, w, f=_conv, a=_arguments: getattr(gc, f)(x, w, **a),
            lambda x, w, f=_conv, a=_arguments: getattr(torch.nn.functional, f)(x, w, **a),
            jax_conv(_rank, **_arguments),
            (2, 4, *IMAGES[_rank]), (4, 4 // _arguments.get("groups", 1), *(3, 2, 2)[:_rank]))  # fmt: skip
    for _arguments in ({}, {"stride": 2}, {"stride": 2, "padding": 1, "output_padding": 1}):
        row(f"{_back} {_arguments}", lambda x, w, f=_back, a=_arguments: getattr(gc, f)(x, w, **a),
            lambda x, w, f=_back, a=_arguments: getattr(torch.nn.functional, f)(x, w, **a),
            jax_transposed(_rank, **_arguments),
            (2, 3, *(5, 4, 3)[:_rank]), (3, 2, *(3, 3, 3)[:_rank]))  # fmt: skip
row("conv2d same", lambda x, w: gc.conv2d(x, w, padding="same"),
    lambda x, w: torch.nn.functional.conv2d(x, w, padding="same"),
    lambda x, w: jax.lax.conv_general_dilated(x, w, (1, 1), "SAME", precision="highest"),
    (2, 3, 6, 5), (4, 3, 3, 5))  # fmt: skip

# ---- pooling ---------------------------------------------------------------------------------------------------


def jax_pool(kind: str, rank: int, size: int, stride: int, padding: int = 0) -> Callable[..., Any]:
    window, steps = (1, 1, *(size,) * rank), (1, 1, *(stride,) * rank)
    around = ((0, 0), (0, 0), *((padding, padding),) * rank)
    if kind == "max":
        return lambda x: jax.lax.reduce_window(x, -np.inf, jax.lax.max, window, steps, around)

    def mean(x: Any) -> Any:
        total, count = (
            jax.lax.reduce_window(v, 0.0, jax.lax.add, window, steps, around) for v in (x, jnp.ones_like(x))
        )
        return total / count

    return mean


for _rank in (1, 2, 3):
    for _kind in ("max", "avg"):
        _pool = f"{_kind}_pool{_rank}d"
        for _size, _stride, _padding in ((2, 2, 0), (3, 2, 1), (3, 1, 0)):
            _more: dict[str, Any] = {"count_include_pad": False} if _kind == "avg" else {}
            linear(f"{_pool} {_size} {_stride} {_padding}",
                   lambda x, f=_pool, a=(_size, _stride, _padding): getattr(gc, f)(x, *a),
                   lambda x, f=_pool, a=(_size, _stride, _padding), m=_more:
                   getattr(torch.nn.functional, f)(x, *a, **m),
                   jax_pool(_kind, _rank, _size, _stride, _padding), apart(2, 2, *IMAGES[_rank]))  # fmt: skip
        _pool = f"adaptive_{_kind}_pool{_rank}d"
        linear(_pool, lambda x, f=_pool: getattr(gc, f)(x, 3), lambda x, f=_pool: getattr(torch.nn.functional, f)(x, 3),
               None, apart(2, 2, *IMAGES[_rank]))  # fmt: skip
    _places = tuple(range(2, 2 + _rank))
    linear(f"global_max_pool {_rank}", gc.global_max_pool, lambda x, a=_places: x.amax(a),
           lambda x, a=_places: x.max(a), apart(2, 3, *IMAGES[_rank]))  # fmt: skip
    linear(f"global_avg_pool {_rank}", gc.global_avg_pool, lambda x, a=_places: x.mean(a),
           lambda x, a=_places: x.mean(a), (2, 3, *IMAGES[_rank]))  # fmt: skip
    _unpool = f"max_unpool{_rank}d"
    _at = np.broadcast_to(
        RNG.permutation(4**_rank)[: 2**_rank].reshape((2,) * _rank), (2, 3, *(2,) * _rank)
    ).copy()
    linear(_unpool, lambda x, k, f=_unpool: getattr(gc, f)(x, k, 2),
           lambda x, k, f=_unpool: getattr(torch.nn.functional, f)(x, k, 2),
           None, (2, 3, *(2,) * _rank), _at)  # fmt: skip
for _rank in (1, 2):
    for _p in (2, 4):
        row(f"lp_pool{_rank}d {_p}", lambda x, f=f"lp_pool{_rank}d", p=_p: getattr(gc, f)(x, p, 2),
            lambda x, f=f"lp_pool{_rank}d", p=_p: getattr(torch.nn.functional, f)(x, float(p), 2), None,
            RNG.uniform(0.5, 2.0, (2, 2, *(6, 4)[:_rank])))  # fmt: skip
row("lp_pool3d 2", lambda x: gc.lp_pool3d(x, 2, 2), lambda x: torch.nn.functional.lp_pool3d(x, 2.0, 2), None,
    RNG.uniform(0.5, 2.0, (1, 2, 4, 4, 2)))  # fmt: skip

# ---- images ----------------------------------------------------------------------------------------------------

LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


def jax_resize(size: Sequence[int], method: str) -> Callable[..., Any]:
    def f(x: Any) -> Any:
        # Of two pixels that are equally near, graphc and PyTorch take the first and JAX the second: as in a mirror.
        mirrored = tuple(range(2, x.ndim)) if method == "nearest" else ()
        wanted = (*x.shape[:2], *size)
        y = jax.image.resize(jnp.flip(x, mirrored), wanted, method, antialias=False, precision="highest")
        return jnp.flip(y, mirrored)

    return f


for _rank in (1, 2, 3):
    # JAX computes its weights in float32: these ratios are exact there too.
    for _size in ((16, 8, 12)[:_rank], (4, 2, 3)[:_rank]):
        for _mode in ("nearest", LINEAR[_rank]):
            linear(f"resize {_mode} {_rank} {_size}", lambda x, s=_size, m=_mode: gc.resize(x, s, m),
                   lambda x, s=_size, m=_mode: torch.nn.functional.interpolate(x, s, mode=m),
                   jax_resize(_size, "nearest" if _mode == "nearest" else "linear"),
                   (1, 2, *(8, 4, 6)[:_rank]))  # fmt: skip
    linear(f"upsample {_rank}", lambda x, m=LINEAR[_rank]: gc.upsample(x, 2, m),
           lambda x, m=LINEAR[_rank]: torch.nn.functional.interpolate(x, scale_factor=2, mode=m),
           lambda x, r=_rank: jax_resize([2 * d for d in x.shape[2:]], "linear")(x),
           (1, 2, *(4, 3, 2)[:_rank]))  # fmt: skip

GRID = RNG.uniform(-1.2, 1.2, (2, 4, 3, 2))


def jax_grid_sample(x: Any, grid: Any) -> Any:
    """By map_coordinates, whose constant mode also reads zeros outside; corners aligned."""
    rows = (grid[..., 1] + 1) * (x.shape[2] - 1) / 2
    columns = (grid[..., 0] + 1) * (x.shape[3] - 1) / 2

    def one(plane: Any, i: Any, j: Any) -> Any:
        return jax.scipy.ndimage.map_coordinates(plane, [i, j], order=1, mode="constant")

    return jax.vmap(jax.vmap(one, (0, None, None)), (0, 0, 0))(x, rows, columns)


row("grid_sample", lambda x, g: gc.grid_sample(x, g, align_corners=True),
    lambda x, g: torch.nn.functional.grid_sample(x, g, align_corners=True), jax_grid_sample,
    (2, 2, 5, 6), GRID, smooth=False)  # fmt: skip
for _align in (False, True):
    linear(f"affine_grid {_align}", lambda t, a=_align: gc.affine_grid(t, (2, 3, 4, 5), a),
           lambda t, a=_align: torch.nn.functional.affine_grid(t, (2, 3, 4, 5), align_corners=a),
           None, (2, 2, 3))  # fmt: skip
linear("affine_warp", lambda x, t: gc.affine_warp(x, t, (4, 5)),
       lambda x, t: torch.nn.functional.grid_sample(
           x, torch.nn.functional.affine_grid(t, (2, 2, 4, 5), align_corners=False), align_corners=False),
       None, (2, 2, 5, 6), (2, 2, 3))  # fmt: skip
linear("unfold", lambda x: gc.unfold(x, (3, 2), 1, 1, 2),
       lambda x: torch.nn.functional.unfold(x, (3, 2), 1, 1, 2),
       lambda x: jax.lax.conv_general_dilated_patches(
           x, (3, 2), (2, 2), [(1, 1), (1, 1)], precision=jax.lax.Precision.HIGHEST).reshape(2, 18, -1),
       (2, 3, 6, 5))  # fmt: skip
linear(
    "fold",
    lambda x: gc.fold(x, (6, 5), (3, 2)),
    lambda x: torch.nn.functional.fold(x, (6, 5), (3, 2)),
    None,
    (2, 18, 16),
)

# ---- normalisation ---------------------------------------------------------------------------------------------


def jax_normal(axes: tuple[int, ...], eps: float = 1e-5) -> Callable[[Any], Any]:
    return lambda x: jax.nn.standardize(x, axes, epsilon=eps, variance=jnp.var(x, axes, keepdims=True))


row("batch_norm", lambda x, g, b: gc.batch_norm(x, None, None, g, b),
    lambda x, g, b: torch.nn.functional.batch_norm(x, None, None, g, b, True),
    lambda x, g, b: jax_normal((0, 2))(x) * g[:, None] + b[:, None], (4, 3, 5), (3,), (3,))  # fmt: skip
row("layer_norm", lambda x, g, b: gc.layer_norm(x, -1, g, b),
    lambda x, g, b: torch.nn.functional.layer_norm(x, (5,), g, b),
    lambda x, g, b: jax_normal((-1,))(x) * g + b, (4, 5), (5,), (5,))  # fmt: skip
row("rms_norm", lambda x, g: gc.rms_norm(x, -1, g), lambda x, g: torch.nn.functional.rms_norm(x, (5,), g, 1e-5),
    lambda x, g: x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-5) * g, (4, 5), (5,))  # fmt: skip
row("group_norm", lambda x, g, b: gc.group_norm(x, 2, g, b),
    lambda x, g, b: torch.nn.functional.group_norm(x, 2, g, b),
    lambda x, g, b: jax_normal((2, 3))(x.reshape(3, 2, 2, 5)).reshape(3, 4, 5) * g[:, None] + b[:, None],
    (3, 4, 5), (4,), (4,))  # fmt: skip
row("instance_norm", gc.instance_norm, lambda x, g, b: torch.nn.functional.instance_norm(x, None, None, g, b),
    lambda x, g, b: jax_normal((2,))(x) * g[:, None] + b[:, None], (3, 4, 5), (4,), (4,))  # fmt: skip
row("local_response_norm", lambda x: gc.local_response_norm(x, 3, 0.5, 0.75, 2.0),
    lambda x: torch.nn.functional.local_response_norm(x, 3, 0.5, 0.75, 2.0), None, (2, 5, 4, 3))  # fmt: skip
