"""The order of the axes in memory changes no value: every network gives the same with and without `layout`.

The networks are small, so the pass is told that moving the axis pays everywhere: at any number of images, with
reshapes that keep or cut the axis, beside outputs, updates and loops, which must stay row-major.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

import graphc as gc
from graphc.kernel.ir import Accumulate, Store, walk
from graphc.lang.tensor import Tensor
from graphc.ops.leaves import Param
from graphc.passes import axes, layout

Network = Callable[[Tensor, Tensor, Tensor], Tensor]

# name: (shape of x, of the first and of the second filters, the network)
CASES: dict[str, tuple[tuple[int | str, ...], tuple[int, ...], tuple[int, ...], Network]] = {
    "plain": ((16, 3, 9, 9), (4, 3, 3, 3), (5, 4, 3, 3), lambda x, w, v: conv(gc.relu(conv(x, w)), v)),
    "odd batch": ((19, 2, 7, 5), (3, 2, 3, 2), (4, 3, 2, 1), lambda x, w, v: conv(gc.tanh(conv(x, w)), v)),
    "signal": ((32, 3, 17), (4, 3, 5), (2, 4, 3), lambda x, w, v: conv(gc.relu(conv(x, w)), v)),
    "volume": (
        (16, 2, 5, 4, 5),
        (3, 2, 2, 2, 3),
        (2, 3, 2, 2, 2),
        lambda x, w, v: conv(gc.relu(conv(x, w)), v),
    ),
    "stride": (
        (32, 3, 11, 12),
        (4, 3, 3, 3),
        (4, 4, 3, 3),
        lambda x, w, v: conv(gc.relu(conv(x, w, stride=2, padding=1)), v, stride=(2, 1)),
    ),
    "dilation": (
        (16, 2, 12, 11),
        (3, 2, 3, 3),
        (2, 3, 2, 2),
        lambda x, w, v: conv(gc.relu(conv(x, w, dilation=2)), v, padding=1),
    ),
    "groups": (
        (16, 4, 8, 8),
        (6, 2, 3, 3),
        (4, 3, 3, 3),
        lambda x, w, v: conv(gc.relu(conv(x, w, groups=2)), v, groups=2, padding=1),
    ),
    "depthwise": (
        (16, 4, 8, 8),
        (4, 1, 3, 3),
        (2, 4, 1, 1),
        lambda x, w, v: conv(gc.relu(conv(x, w, groups=4)), v),
    ),
    "pooling": (
        (16, 2, 12, 12),
        (3, 2, 3, 3),
        (4, 3, 2, 2),
        lambda x, w, v: gc.avg_pool2d(conv(gc.max_pool2d(gc.relu(conv(x, w)), 2), v), 2),
    ),
    "overlapping pools": (
        (16, 2, 12, 12),
        (3, 2, 3, 3),
        (4, 3, 2, 2),
        lambda x, w, v: conv(gc.max_pool2d(gc.relu(conv(x, w)), 3, 2), v),
    ),
    "residual": (
        (16, 4, 8, 8),
        (4, 4, 3, 3),
        (4, 4, 3, 3),
        lambda x, w, v: gc.relu(gc.tanh(x) + conv(gc.relu(conv(gc.tanh(x), w, padding=1)), v, padding=1)),
    ),
    "normalised": (
        (16, 3, 8, 8),
        (4, 3, 3, 3),
        (4, 4, 3, 3),
        lambda x, w, v: conv(normalised(conv(x, w)), v),
    ),
    "flattened": (
        (16, 2, 8, 8),
        (3, 2, 3, 3),
        (2, 108),
        lambda x, w, v: gc.reshape(gc.relu(conv(x, w)), (16, 108)) @ v.T,
    ),
    "cut": (
        (16, 2, 8, 8),
        (3, 2, 3, 3),
        (2, 36),
        lambda x, w, v: gc.reshape(gc.relu(conv(x, w)), (48, 36)) @ v.T,
    ),
    "joined": (
        (16, 2, 8, 8),
        (3, 2, 3, 3),
        (2, 6, 3, 3),
        lambda x, w, v: conv(gc.concatenate([conv(x, w), gc.tanh(conv(x, w))], axis=1), v),
    ),
    "images as channels": (
        (16, 16, 8, 8),
        (16, 16, 3, 3),
        (16, 16, 3, 3),
        lambda x, w, v: conv(gc.transpose(gc.relu(conv(x, w)), (1, 0, 2, 3)), v),
    ),
    "any batch": (("N", 2, 9, 9), (3, 2, 3, 3), (4, 3, 3, 3), lambda x, w, v: conv(gc.relu(conv(x, w)), v)),
    "one image": ((1, 2, 9, 9), (3, 2, 3, 3), (4, 3, 3, 3), lambda x, w, v: conv(gc.relu(conv(x, w)), v)),
    "no image": ((0, 2, 9, 9), (3, 2, 3, 3), (4, 3, 3, 3), lambda x, w, v: conv(gc.relu(conv(x, w)), v)),
}


@pytest.fixture(autouse=True)
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every axis of images is moved that can be."""
    monkeypatch.setattr(layout, "gain", lambda choice, members, found: float(bool(found)))


def conv(x: Tensor, w: Tensor, **options: object) -> Tensor:
    return {3: gc.conv1d, 4: gc.conv2d, 5: gc.conv3d}[len(x.shape)](x, w, **options)  # type: ignore[operator]


def normalised(x: Tensor) -> Tensor:
    """Mean 0 and variance 1 of each channel over the batch."""
    centred = x - gc.mean(x, axis=(0, 2, 3), keepdims=True)
    return centred / gc.sqrt(gc.mean(centred * centred, axis=(0, 2, 3), keepdims=True) + 1e-5)


def outputs(x: Tensor, w: Tensor, v: Tensor, network: Network) -> list[Tensor]:
    """The result, and the gradients of a loss over it."""
    y = network(x, w, v)
    return [y, *gc.grad(gc.sum(gc.tanh(y) * y), [x, w, v])]


def compiled(
    name: str, backend: str, dtype: str, disable: Sequence[str] = (), threads: int = 1
) -> gc.Function:
    shapes, network = CASES[name][:3], CASES[name][3]
    x, w, v = (gc.input(t, s, dtype) for t, s in zip("xwv", shapes, strict=True))
    return gc.compile(
        [x, w, v], outputs(x, w, v, network), backend=backend, disable=disable, threads=threads, cache=False
    )


def arguments(name: str, dtype: str) -> list[np.ndarray]:
    draw = np.random.default_rng(3)
    return [draw.normal(size=[5 if d == "N" else d for d in s]).astype(dtype) for s in CASES[name][:3]]


def agree(got: Sequence[np.ndarray], wanted: Sequence[np.ndarray], dtype: str) -> None:
    eps = float(np.finfo(dtype).eps)
    for k, (a, b) in enumerate(zip(got, wanted, strict=True)):
        scale = max(1.0, float(np.abs(b).max(initial=0.0)))
        np.testing.assert_allclose(a, b, rtol=512 * eps, atol=512 * eps * scale, err_msg=f"output {k}")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CASES)
def test_values_are_the_same_in_any_order(name: str, dtype: str) -> None:
    given = arguments(name, dtype)
    moved, plain = compiled(name, "llvm", dtype), compiled(name, "llvm", dtype, ("layout",))
    agree(moved(*given), plain(*given), dtype)
    assert "layout" in {e.pass_name for e in moved.log}
    assert "layout" not in {e.pass_name for e in plain.log}


@pytest.mark.parametrize(
    "name", ["plain", "stride", "groups", "pooling", "normalised", "flattened", "joined"]
)
def test_the_interpreter_and_two_threads_agree(name: str) -> None:
    given = arguments(name, "float64")
    expected = compiled(name, "reference", "float64")(*given)
    agree(compiled(name, "llvm", "float64", threads=2)(*given), expected, "float64")
    if name in ("plain", "pooling"):
        agree(compiled(name, "interpreter", "float64")(*given), expected, "float64")


def test_a_step_that_updates_keeps_parameters_row_major() -> None:
    x = gc.input("x", (16, 2, 8, 8))
    results = []
    for disable in ((), ("layout",)):
        w = gc.param("w", init=np.random.default_rng(0).normal(size=(3, 2, 3, 3)))
        seen = gc.param("seen", init=np.zeros((16, 3, 6, 6)))
        y = gc.relu(gc.conv2d(gc.tanh(x), w))
        loss = gc.sum(gc.conv2d(y, gc.flip(w, (2, 3))[:, :1] + gc.zeros((3, 3, 3, 3))) ** 2)
        fn = gc.compile([x], [loss], updates={w: w - 1e-3 * gc.grad(loss, w), seen: y}, disable=disable)
        for k in range(3):
            fn(np.random.default_rng(k).normal(size=(16, 2, 8, 8)))
        results.append((w.value.copy(), seen.value.copy()))
    agree(results[0], results[1], "float64")


def test_what_a_loop_reads_is_row_major() -> None:
    x, w = gc.input("x", (16, 2, 8, 8)), gc.input("w", (3, 2, 3, 3))
    y = gc.relu(gc.conv2d(gc.tanh(x), w))
    last, _ = gc.scan(lambda s, e: (s * 0.5 + e, s), gc.zeros((3, 6, 6), "float64"), y)
    fns = [gc.compile([x, w], last, disable=d) for d in ((), ("layout",))]
    draw = np.random.default_rng(0)
    given = draw.normal(size=(16, 2, 8, 8)), draw.normal(size=(3, 2, 3, 3))
    np.testing.assert_allclose(fns[0](*given), fns[1](*given), rtol=1e-12)


@pytest.mark.parametrize(
    ("images", "moved"), [(64, True), (32, True), (16, True), (4, False), (1, False), ("N", False)]
)
def test_the_axis_is_moved_where_the_images_fill_vectors(
    images: int | str, moved: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    x, w, v = gc.input("x", (images, 3, 14, 14)), gc.input("w", (8, 3, 5, 5)), gc.input("v", (8, 8, 5, 5))
    y = gc.conv2d(gc.max_pool2d(gc.relu(gc.conv2d(x, w, padding=2)), 2), v, padding=2)
    fn = gc.compile([x, w, v], gc.sum(y), backend="interpreter")
    assert ("layout" in {e.pass_name for e in fn.log}) is moved


@pytest.mark.parametrize(("images", "channels"), [(32, 64), (32, 32)])
def test_statistics_of_channels_keep_their_rows_together(
    images: int, channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In training with batch norms vectors are images, also where the channels would fill them as well."""
    monkeypatch.undo()
    loss: Tensor = gc.input("x", (images, channels, 8, 8), "float32")
    inputs, weights = [loss], [gc.input(f"w{k}", (channels, channels, 3, 3), "float32") for k in range(3)]
    for w in weights:
        loss = gc.relu(gc.batch_norm(gc.conv2d(loss, w, padding=1)))
    fn = gc.compile([*inputs, *weights], gc.grad(gc.sum(loss * loss), weights), backend="interpreter")
    (entry,) = (e for e in fn.log if e.pass_name == "layout")
    assert f"axis of {images} innermost" in str(entry) and len(entry.after) >= 12


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(("images", "filters"), [(1, 64), (1, 48), (2, 128), (3, 10), ("N", 64), (16, 32)])
def test_constant_filters_in_any_order(images: int | str, filters: int, groups: int) -> None:
    draw = np.random.default_rng(0)
    x = gc.input("x", (images, 4, 9, 8), "float32")
    w = gc.param("w", init=draw.normal(size=(filters, 4 // groups, 3, 3)).astype("float32"))
    v = gc.param("v", init=draw.normal(size=(6, filters, 1, 2)).astype("float32"))
    y = gc.conv2d(gc.relu(gc.conv2d(x, w, groups=groups, stride=(1, 2)) + 1.0), v)
    y = gc.freeze(y * gc.mean(w))
    given = draw.normal(size=(3 if images == "N" else images, 4, 9, 8)).astype("float32")
    moved, plain = gc.compile([x], y), gc.compile([x], y, disable=("layout",))
    agree([moved(given)], [plain(given)], "float32")
    assert not any(isinstance(n.op, Param) for n in moved.graph.nodes)


# name: (shapes of constants, the network); 16 filters fill a vector, 64 lie in two blocks
FROZEN: dict[str, tuple[tuple[tuple[int, ...], ...], Callable[..., Tensor]]] = {
    "plain": (((64, 3, 3, 3), (16, 64, 3, 3)), lambda x, w, v: conv(gc.relu(conv(x, w)), v)),
    "padded": (
        ((16, 3, 3, 3), (64, 16, 3, 3)),
        lambda x, w, v: gc.tanh(conv(gc.relu(conv(x, w, padding=1)), v, padding=1, stride=2)),
    ),
    "padded channels": (
        ((64, 3, 3, 3), (16, 67, 2, 2)),
        lambda x, w, v: conv(gc.pad(gc.relu(conv(x, w)), ((0, 0), (1, 2), (0, 0), (3, 0))), v, stride=2),
    ),
    "padded sums": (
        ((64, 3, 3, 3), (16, 64, 2, 2)),
        lambda x, w, v: conv(gc.pad(gc.max_pool2d(conv(x, w), 2), ((0, 0), (0, 0), (2, 1), (1, 1))), v),
    ),
    "flattened": (
        ((64, 3, 3, 3), (576, 64)),
        lambda x, w, v: gc.reshape(gc.max_pool2d(conv(x, w), 2), (-1, 576)) @ v,
    ),
    "residual": (
        ((32, 3, 1, 1), (32, 32, 3, 3), (64, 32, 1, 1)),
        lambda x, u, w, v: conv(gc.relu(conv(x, u) + conv(gc.tanh(conv(x, u)), w, padding=1)), v, stride=2),
    ),
    "joined": (
        ((16, 3, 3, 3), (16, 32, 3, 3)),
        lambda x, w, v: conv(gc.concatenate([conv(x, w), gc.tanh(conv(x, w))], axis=1), v),
    ),
    "groups": (
        ((32, 3, 3, 3), (64, 16, 3, 3), (64, 1, 2, 2), (16, 64, 1, 1)),
        lambda x, w, v, d, u: conv(conv(gc.relu(conv(conv(x, w), v, groups=2)), d, groups=64), u),
    ),
    "few filters": (
        ((32, 3, 3, 3), (2, 32, 3, 3), (16, 32, 1, 1)),
        lambda x, w, v, u: gc.sum(conv(conv(x, w), v), 1) + gc.sum(conv(conv(x, w), u)[:, :, 2:, 2:], 1),
    ),
    "channels as places": (
        ((16, 3, 3, 3), (32, 6, 3, 3)),
        lambda x, w, v: conv(gc.transpose(gc.relu(conv(x, w)), (0, 3, 1, 2)), v),
    ),
    "read twice": (
        ((16, 3, 3, 3), (32, 16, 3, 3)),
        lambda x, w, v: conv(conv(x, w), v) + gc.mean(v) + gc.sum(gc.reshape(v, (-1,))[:5]),
    ),
    "products": (
        ((192, 64), (64, 96), (96, 10)),
        lambda x, w, v, u: gc.relu(gc.relu(gc.reshape(x, (-1, 192)) @ w + 1.0) @ v) @ u,
    ),
    "odd columns": (((192, 45), (45, 10)), lambda x, w, v: gc.relu(gc.reshape(x, (-1, 192)) @ w) @ v),
    "a product with itself": (((64, 64), (192, 64)), lambda x, w, v: w[:2] @ w + gc.sum(x)),
    "renamed": (((4, 48, 64),), lambda x, w: gc.reshape(x, (-1, 192)) @ gc.reshape(w, (192, 64))),
    "transposed": (
        ((64, 192), (64, 64)),
        lambda x, w, v: v.T @ (w @ gc.transpose(gc.reshape(x, (-1, 192)))),
    ),
    "batched": (((4, 48, 64),), lambda x, w: gc.einsum("bgk,gkj->bgj", gc.reshape(x, (-1, 4, 48)), w)),
}


@pytest.mark.parametrize("images", [1, 2, 7, "N"])
@pytest.mark.parametrize("name", FROZEN)
def test_constants_and_what_they_make_in_any_order(name: str, images: int | str) -> None:
    shapes, network = FROZEN[name]
    draw = np.random.default_rng(0)
    x = gc.input("x", (images, 3, 8, 8), "float32")
    constants = [gc.param(f"c{k}", init=draw.normal(size=s).astype("float32")) for k, s in enumerate(shapes)]
    y = gc.freeze(network(x, *constants))
    given = draw.normal(size=(3 if images == "N" else images, 3, 8, 8)).astype("float32")
    expected = gc.compile([x], y, backend="reference", cache=False)(given)
    moved = gc.compile([x], y, threads=2, cache=False)
    agree([moved(given)], [expected], "float32")
    assert not any(isinstance(n.op, Param) for n in moved.graph.nodes)


def test_constants_that_others_read_keep_their_order() -> None:
    draw = np.random.default_rng(0)
    x = gc.input("x", (1, 3, 8, 8), "float32")
    w = gc.param("w", init=draw.normal(size=(64, 3, 3, 3)).astype("float32"))
    y = conv(gc.relu(x), w)
    last, _ = gc.scan(lambda s, e: (s * 0.5 + e, s), gc.zeros((3, 3, 3), "float32"), w)
    given = draw.normal(size=(1, 3, 8, 8)).astype("float32")
    results = gc.freeze([y, w, last])
    expected = gc.compile([x], results, backend="reference", cache=False)(given)
    agree(gc.compile([x], results, cache=False)(given), expected, "float32")


def test_temporaries_of_constant_filters_have_their_channels_innermost() -> None:
    x = gc.input("x", (1, 3, 8, 8), "float32")
    w, v = (gc.param(t, (16, c, 3, 3), "float32") for t, c in (("w", 3), ("v", 16)))
    y = gc.freeze(gc.max_pool2d(conv(gc.relu(conv(x, w, padding=1)), v, padding=1), 2))
    fn = gc.compile([x], y, backend="interpreter", cache=False)
    assert "axis of 16 innermost, as vectors of channels" in " ".join(e.text for e in fn.log)
    assert "f32[1,10,10,16]" in fn.stage("kernels")


def test_the_log_and_the_texts_show_the_order() -> None:
    fn = compiled("plain", "llvm", "float32")
    event, *_ = [e for e in fn.log if e.pass_name == "layout"]
    assert "axis of 16 innermost" in event.text
    assert "f32[1,4,7,7,16]" in fn.stage("kernels")


@pytest.mark.parametrize(
    ("before", "after", "pairs"),
    [
        ((64, 50, 7, 7), (64, 2450), [(0, 0)]),
        ((64, 1, 28), (64, 28, 1), [(0, 0), (2, 1)]),
        ((4, 6), (6, 4), []),
        ((2, 3, 5), (6, 5), [(2, 1)]),
        (("N", 4), ("N", 2, 2), [(0, 0)]),
        ((1, 1), (), []),
        ((0, 3), (0, 5), [(0, 0)]),
    ],
)
def test_axes_that_a_reshape_keeps(before: tuple, after: tuple, pairs: list[tuple[int, int]]) -> None:
    assert list(axes.matched(before, after)) == pairs


@pytest.mark.parametrize("length", [0, 1, 5])
def test_rows_of_a_named_length_in_one_axis_of_a_stack(length: int) -> None:
    """A found case (random graph 22623): N·i + j and N·i' + j meet nowhere, since where N is 0 there is no j."""
    x, y = (gc.input(name, (17, "N"), "float64") for name in "xy")
    stacked = gc.compile([x, y], gc.stack([gc.log_softmax(x, 0), y], 0))
    given = np.linspace(-1.0, 1.0, 17 * length).reshape(17, length)
    want = np.stack([given - np.log(np.exp(given).sum(0)), given])
    np.testing.assert_allclose(stacked(given, given), want, rtol=1e-12, atol=1e-15)


def test_a_convolution_is_stored_into_what_is_padded() -> None:
    x = gc.input("x", (1, 3, 8, 8), "float32")
    w, v = (gc.param(t, (16, c, 3, 3), "float32") for t, c in (("w", 3), ("v", 16)))
    y = conv(gc.relu(conv(x, w) + 1.0), v, padding=1)
    fn = gc.compile([x], y, backend="interpreter", cache=False)
    first, _ = fn.program.calls
    stored = [s.buffer.shape for s in walk(first.kernel.body) if isinstance(s, Store) and s.index]
    assert stored == [(1, 16, 8, 8)] * 3  # above and below, left and right, and the results
    assert any(isinstance(s, Accumulate) for s in walk(first.kernel.body))
