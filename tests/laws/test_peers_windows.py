"""Windows, images and normalisations: values and gradients against PyTorch, where it is installed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import graphc as gc
from graphc.lang.tensor import Tensor

torch: Any = pytest.importorskip(
    "torch", reason="PyTorch is not installed: pip install 'graphc[peers]' compares graphc with it"
)
F: Any = torch.nn.functional
Array = np.ndarray[Any, Any]

RNG = np.random.default_rng(23)


def normal(*shape: int) -> Array:
    return np.asarray(RNG.normal(size=shape))


def agree(
    ours: Callable[..., Tensor],
    theirs: Callable[..., Any],
    arrays: Sequence[Array],
    *,
    fixed: Sequence[int] = (),
    named: Sequence[int] = (0,),
) -> None:
    """Value and gradients of Σ weights · f, but for the operands that are `fixed`; `named` ones begin with N."""
    moving = [k for k, a in enumerate(arrays) if a.dtype.kind == "f" and k not in fixed]
    given = [torch.tensor(a, requires_grad=k in moving) for k, a in enumerate(arrays)]
    expected = theirs(*given)
    up = RNG.normal(size=tuple(expected.shape))
    expected.backward(torch.tensor(up))
    xs = [
        gc.input(f"x{k}", ("N", *a.shape[1:]) if k in named else a.shape, a.dtype)
        for k, a in enumerate(arrays)
    ]
    y = ours(*xs)
    u = gc.input("up", y.shape)
    fn = gc.compile([*xs, u], [y, *gc.vjp(y, [xs[k] for k in moving], u)])
    value, *gradients = fn(*arrays, up)
    np.testing.assert_allclose(value, expected.detach().numpy(), rtol=1e-11, atol=1e-12)
    for k, g in zip(moving, gradients, strict=True):
        np.testing.assert_allclose(g, given[k].grad.numpy(), rtol=1e-9, atol=1e-11, err_msg=f"by operand {k}")


IMAGES = {1: (11,), 2: (9, 8), 3: (6, 5, 7)}

CONVOLUTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"stride": 2, "padding": 1},
    {"dilation": 2, "padding": 2, "groups": 2},
    {"stride": 3, "groups": 4},
)


@pytest.mark.parametrize("rank", [1, 3])
@pytest.mark.parametrize("arguments", CONVOLUTIONS, ids=str)
def test_convolutions(rank: int, arguments: dict[str, Any]) -> None:
    x, w = normal(2, 4, *IMAGES[rank]), normal(8, 4 // arguments.get("groups", 1), *(3, 2, 2)[:rank])
    ours, theirs = getattr(gc, f"conv{rank}d"), getattr(F, f"conv{rank}d")
    agree(lambda x, w: ours(x, w, **arguments), lambda x, w: theirs(x, w, **arguments), [x, w])


TRANSPOSED: tuple[dict[str, Any], ...] = (
    {},
    {"stride": 2},
    {"stride": 2, "padding": 1, "output_padding": 1},
    {"stride": 3, "padding": 2, "groups": 2},
    {"dilation": 2, "padding": 1},
    {"stride": 2, "dilation": 3, "output_padding": 2, "padding": 1},
    {"stride": 2, "padding": 4},
)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("arguments", TRANSPOSED, ids=str)
def test_transposed_convolutions(rank: int, arguments: dict[str, Any]) -> None:
    if rank == 3 and arguments.get("padding") == 4:
        arguments = {**arguments, "padding": (4, 2, 1)}
    x, w = normal(2, 4, *IMAGES[rank]), normal(4, 3, *(3, 4, 2)[:rank])
    ours, theirs = getattr(gc, f"conv_transpose{rank}d"), getattr(F, f"conv_transpose{rank}d")
    agree(lambda x, w: ours(x, w, **arguments), lambda x, w: theirs(x, w, **arguments), [x, w])


POOLS: tuple[dict[str, Any], ...] = (
    {"size": 2},
    {"size": 3, "stride": 2, "padding": 1},
    {"size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
    {"size": 2, "stride": 3, "ceil_mode": True},
)


def renamed(arguments: dict[str, Any]) -> dict[str, Any]:
    return {"kernel_size" if k == "size" else k: v for k, v in arguments.items()}


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("arguments", POOLS, ids=str)
def test_pooling(rank: int, arguments: dict[str, Any]) -> None:
    x = normal(2, 3, *IMAGES[rank])
    x[0, 0] = 1.0  # ties: both give the gradient to the first
    for kind, extra in (("max", {}), ("max", {"dilation": 2}), ("avg", {"count_include_pad": True}),
                        ("avg", {"count_include_pad": False})):  # fmt: skip
        ours, theirs = getattr(gc, f"{kind}_pool{rank}d"), getattr(F, f"{kind}_pool{rank}d")
        given = {**arguments, **extra}
        agree(lambda x, f=ours, a=given: f(x, **a), lambda x, f=theirs, a=given: f(x, **renamed(a)), [x])
    if rank < 3 and "padding" not in arguments and not arguments.get("ceil_mode"):
        ours, theirs = getattr(gc, f"lp_pool{rank}d"), getattr(F, f"lp_pool{rank}d")
        for p in (2, 4):
            agree(
                lambda x, p=p: ours(x, p, **arguments), lambda x, p=p: theirs(x, p, **renamed(arguments)), [x]
            )


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 2])
def test_indices_of_maxima_and_unpooling(rank: int, dilation: int) -> None:
    x = normal(2, 3, *IMAGES[rank])
    x[0, 0] = 1.0
    x[1, 0] = -np.inf  # nothing but the padding's own value: the place is in the image none the less
    arguments = {"size": 3, "stride": 2, "padding": 1, "ceil_mode": True, "dilation": dilation}
    pool, unpool = getattr(gc, f"max_pool{rank}d"), getattr(gc, f"max_unpool{rank}d")
    X = gc.input("x", ("N", 3, *IMAGES[rank]))
    value, indices = gc.compile([X], list(pool(X, **arguments, return_indices=True)))(x)
    want, places = getattr(F, f"max_pool{rank}d")(torch.tensor(x), **renamed(arguments), return_indices=True)
    np.testing.assert_array_equal(value, want.numpy())
    assert indices.dtype == np.int64
    finite = np.isfinite(value)
    np.testing.assert_array_equal(indices[finite], places.numpy()[finite])
    assert indices.min() >= 0 and indices.max() < np.prod(IMAGES[rank])
    size = tuple(2 * d for d in (4, 3, 2)[:rank])
    image = normal(2, 3, *size)
    small, at = getattr(F, f"max_pool{rank}d")(torch.tensor(image), 2, return_indices=True)
    theirs = getattr(F, f"max_unpool{rank}d")
    agree(
        lambda v, k: unpool(v, k, 2), lambda v, k: theirs(v, k, 2), [small.numpy(), at.numpy()], named=(0, 1)
    )


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("kind", ["avg", "max"])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 13])
def test_adaptive_pooling(rank: int, kind: str, count: int) -> None:
    x = normal(2, 3, *(6, 4, 7)[:rank])
    x[0, 0] = 2.0
    ours, theirs = getattr(gc, f"adaptive_{kind}_pool{rank}d"), getattr(F, f"adaptive_{kind}_pool{rank}d")
    agree(lambda x: ours(x, count), lambda x: theirs(x, count), [x])


MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}
SIZES: tuple[tuple[int, ...], ...] = ((12, 8, 3), (5, 3, 7), (1, 9, 14), (18, 2, 10))


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_resize(rank: int, size: tuple[int, ...]) -> None:
    x = normal(2, 3, *(6, 4, 7)[:rank])
    wanted = size[:rank]
    agree(lambda x: gc.resize(x, wanted), lambda x: F.interpolate(x, wanted), [x])
    for align in (False, True):
        agree(
            lambda x, a=align: gc.resize(x, wanted, MODES[rank], a),
            lambda x, a=align: F.interpolate(x, wanted, mode=MODES[rank], align_corners=a),
            [x],
        )


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("factor", [2, 3, 4])
def test_upsample(rank: int, factor: int) -> None:
    x = normal(2, 3, *(5, 4, 1)[:rank])
    for mode in ("nearest", MODES[rank]):
        agree(
            lambda x, m=mode: gc.upsample(x, factor, m),
            lambda x, m=mode: F.interpolate(x, scale_factor=factor, mode=m),
            [x],
        )


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize("padding_mode", ["zeros", "border"])
@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_grid_sample(rank: int, align: bool, padding_mode: str, mode: str) -> None:
    arguments: dict[str, Any] = {"mode": mode, "padding_mode": padding_mode, "align_corners": align}
    x, grid = normal(2, 3, *(5, 7, 4)[:rank]), normal(2, *(4, 3, 5)[:rank], rank)
    fixed = (1,) if mode == "nearest" else ()  # PyTorch gives zeros; graphc says that there is no gradient
    agree(
        lambda x, g: gc.grid_sample(x, g, **arguments),
        lambda x, g: F.grid_sample(x, g, **arguments),
        [x, grid],
        fixed=fixed,
        named=(0, 1),
    )
    theta = normal(2, rank, rank + 1)
    size = (2, 3, *(4, 6, 5)[:rank])
    agree(
        lambda t: gc.affine_grid(t, size, align),
        lambda t: F.affine_grid(t, size, align_corners=align),
        [theta],
    )
    if mode == "bilinear" and rank == 2:
        agree(
            lambda x, t: gc.affine_warp(x, t, size[2:], **arguments),
            lambda x, t: F.grid_sample(x, F.affine_grid(t, size, align_corners=align), **arguments),
            [x, theta],
            named=(0, 1),
        )


def test_patches() -> None:
    x = normal(2, 3, 7, 6)
    for arguments in (
        {},
        {"stride": 2, "padding": 1},
        {"dilation": 2, "padding": (1, 2)},
        {"stride": (1, 3)},
    ):
        agree(
            lambda x, a=arguments: gc.unfold(x, (3, 2), **a),
            lambda x, a=arguments: F.unfold(x, (3, 2), **a),
            [x],
        )
        columns = F.unfold(torch.tensor(x), (3, 2), **arguments).numpy()
        agree(
            lambda c, a=arguments: gc.fold(c, (7, 6), (3, 2), **a),
            lambda c, a=arguments: F.fold(c, (7, 6), (3, 2), **a),
            [columns],
        )


def test_normalisations() -> None:
    x, gamma, beta = normal(5, 6, 4, 3), normal(6), normal(6)
    x[:, 2] = 3.25  # a channel of variance zero
    mean, var = normal(6), normal(6) ** 2
    agree(
        lambda x, g, b: gc.batch_norm(x, None, None, g, b),
        lambda x, g, b: F.batch_norm(x, None, None, g, b, True),
        [x, gamma, beta],
    )
    agree(
        gc.batch_norm,
        lambda x, m, v, g, b: (
            g[:, None, None] * (x - m[:, None, None]) / torch.sqrt(v[:, None, None] + 1e-5) + b[:, None, None]
        ),
        [x, mean, var, gamma, beta],
    )
    for groups in (1, 2, 3, 6):
        agree(
            lambda x, g, b, k=groups: gc.group_norm(x, k, g, b),
            lambda x, g, b, k=groups: F.group_norm(x, k, g, b),
            [x, gamma, beta],
        )
    agree(gc.instance_norm, lambda x, g, b: F.instance_norm(x, None, None, g, b), [x, gamma, beta])
    for shape in ((3,), (4, 3), (6, 4, 3)):
        g, b = normal(*shape), normal(*shape)
        axes = tuple(range(4 - len(shape), 4))
        agree(
            lambda x, g, b, a=axes: gc.layer_norm(x, a, g, b),
            lambda x, g, b, s=shape: F.layer_norm(x, s, g, b),
            [x, g, b],
        )
        agree(
            lambda x, g, a=axes: gc.rms_norm(x, a, g), lambda x, g, s=shape: F.rms_norm(x, s, g, 1e-5), [x, g]
        )
    for size, shape in ((5, (5, 6, 4, 3)), (2, (5, 6, 4, 3)), (3, (4, 5)), (9, (2, 4, 3))):
        agree(
            lambda x, n=size: gc.local_response_norm(x, n, 0.5, 0.75, 2.0),
            lambda x, n=size: (
                F.local_response_norm(x, n, 0.5, 0.75, 2.0)
                if x.ndim > 2
                else F.local_response_norm(x[:, :, None], n, 0.5, 0.75, 2.0)[:, :, 0]
            ),
            [normal(*shape)],
        )
