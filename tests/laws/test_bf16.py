"""Products with operands in bfloat16: the stated bound, operation by back end, and what it leaves alone.

A product is linear in each operand, so the sum of the magnitudes of its terms, by which its error is judged, is the
same product of the magnitudes of its operands.
"""

from __future__ import annotations

import functools
import math
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import graphc as gc
from graphc import nn
from graphc.ir.block import BlockOp
from graphc.ir.dims import evaluate
from graphc.ir.types import Array, DType
from graphc.lang.tensor import Tensor
from graphc.ops import bf16
from graphc.ops.pairs import Pairs
from graphc.passes import mixed_precision
from graphc.runtime.function import Function
from graphc.runtime.kept import KeptFunction

BACKENDS = ["reference", "interpreter", "llvm"]
if platform.machine() == "x86_64":
    BACKENDS.append("llvm without the instructions")


@dataclass(frozen=True, slots=True)
class Case:
    """A product of two operands; `N` is 5 where a shape names it, `terms` bounds the terms of a sum in it or in its
    gradients, and so many products are rounded: of itself and of its two gradients."""

    build: Callable[[Tensor, Tensor], Tensor]
    x: tuple[int | str, ...]
    w: tuple[int | str, ...]
    terms: int
    rounded: int = 3


CASES = {
    "x @ w": Case(gc.matmul, (5, 8), (8, 6), 8),
    "x @ w, odd": Case(gc.matmul, (17, 33), (33, 19), 33),
    "x @ w, vectors and tiles": Case(gc.matmul, (9, 40), (40, 70), 70),
    "x @ w, named rows": Case(gc.matmul, ("N", 7), (7, 6), 7),
    "x @ w, named sum": Case(gc.matmul, (3, "N"), ("N", 4), 5),
    "x @ w, one row": Case(gc.matmul, (1, 9), (9, 20), 20, 2),
    "x @ w, one term": Case(gc.matmul, (4, 1), (1, 5), 5, 2),
    "x @ w, nothing": Case(gc.matmul, (3, 0), (0, 4), 4, 0),
    "vector @ w": Case(gc.matmul, (9,), (9, 4), 9, 2),
    "batched": Case(gc.matmul, (3, 5, 6), (3, 6, 4), 6),
    "one w for a batch": Case(gc.matmul, (3, 5, 7), (7, 4), 15),
    "transposed": Case(lambda x, w: gc.einsum("ji,kj->ik", x, w), (6, 5), (7, 6), 7),
    "two sums": Case(lambda x, w: gc.einsum("ijk,jkl->il", x, w), (4, 3, 5), (3, 5, 6), 15),
    "conv1d": Case(lambda x, w: gc.conv1d(x, w, stride=2, padding=1), (3, 5, 11), (4, 5, 3), 30),
    "conv2d": Case(lambda x, w: gc.conv2d(x, w, padding=1), ("N", 3, 6, 5), (4, 3, 3, 3), 150),
    "conv2d, stride": Case(lambda x, w: gc.conv2d(x, w, stride=2), (4, 6, 8, 7), (5, 6, 3, 2), 80),
    "conv2d, groups": Case(lambda x, w: gc.conv2d(x, w, groups=2), (2, 6, 5, 6), (4, 3, 2, 2), 60),
    "conv2d, depthwise": Case(lambda x, w: gc.conv2d(x, w, groups=3), (2, 3, 5, 6), (3, 1, 2, 2), 60, 1),
    "conv2d, dilation": Case(lambda x, w: gc.conv2d(x, w, dilation=2), (2, 2, 7, 8), (3, 2, 2, 3), 60),
}


@pytest.fixture(autouse=True)
def every_product(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Rounding costs nothing, so that products of all sizes are rounded."""
    monkeypatch.setattr(mixed_precision, "ROUNDING", 0)
    yield


def compiled(inputs: list[Tensor], outputs: list[Tensor], backend: str, **options: object) -> Function:
    """A function that is kept nowhere: the cache does not know that rounding costs nothing."""
    plain = backend == "llvm without the instructions"
    with pytest.MonkeyPatch.context() as patch:
        if plain:
            patch.setenv("GRAPHC_CPU", "x86-64-v3")
        return gc.compile(
            inputs,
            outputs,
            backend="llvm" if plain else backend,
            cache=False,
            **{"precision": "bf16", **options},
        )  # type: ignore[arg-type]


@functools.cache
def function(name: str, backend: str, dtype: str = "float32") -> Function:
    """A product and its two gradients."""
    case = CASES[name]
    x, w = gc.input("x", case.x, dtype), gc.input("w", case.w, dtype)
    y = case.build(x, w)
    u = gc.input("u", y.shape, dtype)
    return compiled([x, w, u], [y, *gc.vjp(y, [x, w], u)], backend)


def operands(name: str) -> list[Array]:
    shapes = [t.type.shape for t in function(name, "reference", "float64").graph.inputs]
    rng = np.random.default_rng(len(name))
    sizes = [[d if isinstance(d, int) else 5 for d in shape] for shape in shapes]
    return [(rng.standard_normal(s) * 2.0 ** rng.integers(-3, 4, s)).astype(np.float32) for s in sizes]


def rounded_products(fn: Function) -> int:
    return fn.log.counts().get("bf16", 0)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_are_within_the_bound(name: str, backend: str) -> None:
    case, given = CASES[name], operands(name)
    exact = function(name, "reference", "float64")
    wide = [a.astype(np.float64) for a in given]
    fn = function(name, backend)
    assert rounded_products(fn) == case.rounded and rounded_products(exact) == 0
    results, sums = exact(*wide), exact(*map(np.abs, wide))
    for got, want, size in zip(fn(*given), results, sums, strict=True):
        assert got.dtype == np.float32 and got.shape == want.shape
        assert (np.abs(got - want) <= (2**-7 + 2**-16 + case.terms * 2**-23) * size).all()


@pytest.mark.parametrize("name", CASES)
def test_back_ends_round_alike(name: str) -> None:
    given = operands(name)
    sums = function(name, "reference", "float64")(*(np.abs(a).astype(np.float64) for a in given))
    wanted = function(name, "reference")(*given)
    for backend in BACKENDS[1:]:
        for got, want, size in zip(function(name, backend)(*given), wanted, sums, strict=True):
            assert (np.abs(got - want) <= CASES[name].terms * 2**-22 * size).all(), backend


def by_definition(x: float) -> float:
    """The nearest number with 8 significant bits, of two the one whose last bit is 0; 0 below 2^-126."""
    if not math.isfinite(x) or abs(x) < 2**-126:
        return x if not math.isfinite(x) else math.copysign(0.0, x)
    m, e = math.frexp(x)
    nearest = math.ldexp(round(m * 256), e - 8)
    return nearest if abs(nearest) < 2.0**128 else math.copysign(math.inf, x)


EDGES = [0x0, 0x80000000, 0x1, 0x7FFFFF, 0x807FFFFF, 0x800000, 0x7F7FFFFF, 0x7F7F7FFF, 0x7F7F8000, 0xFF7F8000]
EDGES += [0x7F800000, 0xFF800000, 0x7FC00000, 0x7F800001, 0xFFFFFFFF, 0x3F808000, 0x3F818000, 0x3F808001]
BITS = st.lists(st.integers(0, 2**32 - 1) | st.sampled_from(EDGES), min_size=1, max_size=40)


@given(BITS)
def test_rounding_is_to_the_nearest(bits: list[int]) -> None:
    x = np.array(bits, np.uint32).view(np.float32)
    first, second = bf16.unpacked(bf16.packed(x, x[::-1]))
    want = np.array([by_definition(float(v)) for v in x], np.float32)
    for got, expected in ((first, want), (second, want[::-1])):
        np.testing.assert_array_equal(got, expected)
        finite = ~np.isnan(expected)
        np.testing.assert_array_equal(np.signbit(got)[finite], np.signbit(expected)[finite])
        assert not (got.view(np.uint32) & 0xFFFF).any()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("count", [1, 2, 9, 21, 40, 67])
def test_pairs_have_the_same_bits_on_every_back_end(backend: str, count: int) -> None:
    rng = np.random.default_rng(count)
    drawn = rng.integers(0, 2**32, (count, 3, 6), dtype=np.uint32)
    drawn.reshape(-1)[: len(EDGES)] = EDGES[: drawn.size]
    x, t = gc.input("x", (count, "M", 6), "float32"), drawn.view(np.float32)
    for axis in range(3):
        words = gc.lang.tensor.Tensor(gc.ir.node.node(Pairs(axis), x.node))
        fn = compiled([x], [words], backend)
        np.testing.assert_array_equal(fn(t)[0], Pairs(axis).evaluate({}, t))


@pytest.mark.parametrize("backend", BACKENDS)
def test_nan_and_infinity_pass_and_what_is_too_small_is_zero(backend: str) -> None:
    x, w = gc.input("x", (8, 33), "float32"), gc.input("w", (33, 40), "float32")
    fn = compiled([x, w], [x @ w], backend)
    a, b = np.ones((8, 33), np.float32), np.ones((33, 40), np.float32)
    a[0, 3], a[1, 32], a[2, 4], a[3] = np.nan, np.inf, -np.inf, 2.0**-130
    a[4, :2], a[5, 7] = (np.inf, -np.inf), 3.4e38
    (y,) = fn(a, b)
    assert np.isnan(y[0]).all() and (y[1] == np.inf).all() and (y[2] == -np.inf).all() and (y[3] == 0).all()
    assert np.isnan(y[4]).all() and (y[5] == np.inf).all() and (y[6:] == 33).all()
    assert np.isfinite(a[5]).all(), "the operand itself rounds to infinity"


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_near_the_smallest_numbers_is_within_the_bound(backend: str) -> None:
    x, w = gc.input("x", (8, 33), "float32"), gc.input("w", (33, 40), "float32")
    fn = compiled([x, w], [x @ w], backend)
    rng = np.random.default_rng(9)
    for low, high in ((-130, -50), (-75, -55), (-126, -100)):
        a, b = (
            np.ldexp(rng.standard_normal(s), rng.integers(low, high, s)).astype(np.float32)
            for s in ((8, 33), (33, 40))
        )
        wide = a.astype(np.float64), b.astype(np.float64)
        bound = (2**-7 + 2**-16 + 33 * 2**-23) * (abs(wide[0]) @ abs(wide[1]))
        bound += 33 * 2.0**-125 * (1 + abs(a).max() + abs(b).max())
        assert (np.abs(fn(a, b)[0] - wide[0] @ wide[1]) <= bound).all()


@pytest.mark.parametrize("dtype", ["float64", "int32", "int64"])
def test_other_dtypes_are_left_alone(dtype: str) -> None:
    x, w = gc.input("x", (9, 30), dtype), gc.input("w", (30, 40), dtype)
    fn = compiled([x, w], [x @ w], "llvm")
    assert rounded_products(fn) == 0
    a, b = np.arange(270).reshape(9, 30).astype(dtype), np.arange(1200).reshape(30, 40).astype(dtype)
    np.testing.assert_array_equal(fn(a, b)[0], a @ b)


def test_only_products_whose_elements_are_used_often_are_rounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    rng = np.random.default_rng(0)
    weights = gc.const(rng.standard_normal((100, 50)).astype(np.float32))
    for rows, w, wanted in [(1, gc.input("w", (100, 50), "float32"), 0), (1, weights, 1), (4, weights, 1)]:
        x = gc.input("x", (rows, 100), "float32")
        inputs = [x] if w is weights else [x, w]
        fn = gc.compile(inputs, x @ w, precision="bf16")
        assert rounded_products(fn) == wanted
        assert "bf16" not in gc.compile(inputs, x @ w).log.counts(), "nothing is rounded unasked"
        assert "bf16" not in gc.compile(inputs, x @ w, precision="full").log.counts()


def test_constant_weights_are_stored_in_half_the_memory() -> None:
    w = np.linspace(-1, 1, 64 * 48, dtype=np.float32).reshape(64, 48)
    x = gc.input("x", (4, 64), "float32")
    for build in (lambda: x @ gc.const(w), lambda: x @ gc.const(w.T.copy()).T):
        program = compiled([x], [build()], "llvm").program
        held = [b for b in program.buffers if b.role == "const"]
        assert [(b.dtype, b.value.nbytes) for b in held if b.value is not None] == [
            (DType.BF16X2, w.nbytes // 2)
        ]


@pytest.mark.parametrize("backend", ["reference", "llvm"])
def test_weights_are_rounded_once_before_a_loop(backend: str) -> None:
    w, h0 = gc.input("w", (20, 20), "float32"), gc.input("h", (4, 20), "float32")
    steps = gc.input("steps", (6, 4, 20), "float32")
    last, _ = gc.scan(lambda h, s: (gc.tanh(h @ w + s), h), h0, steps)
    fn = compiled([w, h0, steps], [last], backend)
    inside = [
        n for k in fn.optimized.nodes if isinstance(k.op, BlockOp) for b in k.op.blocks for n in b.nodes
    ]
    assert sum(isinstance(n.op, Pairs) for n in inside) == 1, "the state"
    assert sum(isinstance(n.op, Pairs) for n in fn.optimized.nodes) == 1, "the weights"
    rng = np.random.default_rng(1)
    given = [rng.standard_normal(s).astype(np.float32) * 0.3 for s in ((20, 20), (4, 20), (6, 4, 20))]
    exact = compiled([w, h0, steps], [last], "reference", precision="full")
    np.testing.assert_allclose(fn(*given)[0], exact(*given)[0], atol=0.02)


@pytest.mark.parametrize("threads", [1, 2])
def test_results_repeat_bit_for_bit(threads: int) -> None:
    x, w = gc.input("x", ("N", 300), "float32"), gc.input("w", (300, 200), "float32")
    rng = np.random.default_rng(2)
    a, b = (rng.standard_normal(s).astype(np.float32) for s in ((150, 300), (300, 200)))
    first, again = (compiled([x, w], [x @ w], "llvm", threads=threads)(a, b)[0] for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_a_training_step_learns() -> None:
    """A network that is trained with rounded products fits as well as one that is not."""
    rng = np.random.default_rng(3)
    data = rng.standard_normal((64, 20)).astype(np.float32)
    target = np.sin(data @ rng.standard_normal((20, 3)).astype(np.float32))
    losses: dict[str, float] = {}
    for precision in ("full", "bf16"):
        x, t = gc.input("x", ("N", 20), "float32"), gc.input("t", ("N", 3), "float32")
        draw = np.random.default_rng(4)
        first = gc.param("first", (20, 32), "float32", init=0.2 * draw.standard_normal((20, 32)))
        second = gc.param("second", (32, 3), "float32", init=0.2 * draw.standard_normal((32, 3)))
        loss = gc.mean(gc.square(gc.tanh(x @ first) @ second - t))
        updates = {
            p: p - 0.2 * g for p, g in zip((first, second), gc.grad(loss, [first, second]), strict=True)
        }
        step = gc.compile([x, t], loss, updates=updates, precision=precision, cache=False)
        assert rounded_products(step) == (5 if precision == "bf16" else 0)
        before = float(step(data, target))
        for _ in range(300):
            losses[precision] = float(step(data, target))
        assert losses[precision] < before / 2
    assert abs(losses["bf16"] / losses["full"] - 1) < 0.1


def test_a_model_is_trained_in_the_precision_that_it_is_compiled_with() -> None:
    inputs = nn.Input(64)
    model = nn.Model(inputs, nn.Dense(10)(nn.Dense(48, activation="relu")(inputs)))
    with pytest.raises(gc.ArgumentError, match="unknown precision 'bf61'"):
        model.compile(precision="bf61")
    model.compile(optimizer=nn.SGD(0.1), precision="bf16")
    data = np.random.default_rng(5).standard_normal((96, 64)).astype(np.float32)
    labels = np.argmax(data[:, :10], axis=1)
    history = model.fit(data, labels, epochs=5, batch_size=32, verbose=0).history
    assert history["loss"][-1] < 0.8 * history["loss"][0]
    assert all(rounded_products(fn) for fn in model._functions.values())


def test_images_lie_side_by_side_in_every_kernel_of_a_training_step() -> None:
    """A found case: the gradients to the filters pair images, and normalisations had lost the order of the images."""
    x, w = gc.input("x", (32, 16, 12, 12), "float32"), gc.input("w", (16, 16, 3, 3), "float32")
    y = x
    for _ in range(2):
        y = gc.relu(gc.batch_norm(gc.conv2d(y, w, padding=1)))
    loss = gc.sum(y * y)
    log = compiled([x, w], [loss, *gc.grad(loss, [w])], "llvm").log
    moved = {e.text.partition(" ")[2] for e in log if e.rule == "images-innermost"}
    assert moved == {"temporaries have their axis of 32 innermost, as vectors of images"}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["x @ w, named rows", "x @ w, named sum", "conv2d"])
def test_one_function_serves_every_size(name: str, backend: str) -> None:
    case, rng = CASES[name], np.random.default_rng(6)
    exact, fn = function(name, "reference", "float64"), function(name, backend)
    for size in (0, 1, 2, 7) if backend == "interpreter" else (0, 1, 2, 16, 33):
        shapes = [t.type.shape for t in exact.graph.inputs]
        given = [
            rng.standard_normal([evaluate(d, {"N": size}) for d in shape]).astype(np.float32)
            for shape in shapes
        ]
        wide = [a.astype(np.float64) for a in given]
        bound = 2**-7 + 2**-16 + (case.terms * size + 40) * 2**-23
        for got, want, sums in zip(fn(*given), exact(*wide), exact(*map(np.abs, wide)), strict=True):
            assert (np.abs(got - want) <= bound * sums).all(), size


def test_convolutions_of_pairs_are_not_in_tiles_as_well() -> None:
    a, w = (np.random.default_rng(7).standard_normal(s) for s in ((1, 64, 12, 12), (64, 64, 3, 3)))

    def function(w: Array, dtype: str, backend: str, **options: object) -> Function:
        x = gc.input("x", a.shape, dtype)
        return compiled([x], [gc.conv2d(x, gc.const(w.astype(dtype)), padding=1)], backend, **options)

    assert "winograd" in function(w, "float32", "reference", winograd=True, precision="full").log.counts()
    both = function(w, "float32", "llvm", winograd=True)
    assert "winograd" not in both.log.counts()
    exact, sums = (
        function(v, "float64", "reference")(np.asarray(u))[0] for v, u in ((w, a), (abs(w), abs(a)))
    )
    error = np.abs(both(a.astype(np.float32))[0] - exact)
    assert (error <= (2**-7 + 2**-16 + 576 * 2**-23) * sums).all()


def test_the_cache_tells_precisions_apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("GRAPHC_CACHE", str(tmp_path))
    x, w = gc.input("x", (4, 64), "float32"), np.random.default_rng(10).standard_normal((64, 48))
    y, a = x @ gc.const(w.astype(np.float32)), np.ones((4, 64), np.float32)
    made = {p: gc.compile([x], y, precision=p)(a) for p in ("bf16", "full")}
    assert (made["bf16"] != made["full"]).any()
    for precision, first in made.items():
        again = gc.compile([x], y, precision=precision)
        assert isinstance(again, KeptFunction)
        np.testing.assert_array_equal(again(a), first)
        assert rounded_products(again) == (precision == "bf16")
