"""Random numbers: the published generator bit by bit, the same everywhere, and as random as they say.

Keys are fixed, so nothing here is left to chance: a bound of five standard deviations is one that a sound
generator meets and that the plausible faults (a shifted mean, too few bits, streams that overlap) do not.
"""

from __future__ import annotations

import functools
import itertools
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as gc
from graphc.lang.tensor import Tensor

Array = np.ndarray[Any, np.dtype[Any]]

KEY = gc.input("key", dtype="int64")
MASK = 2**64 - 1
BACKENDS = ("reference", "interpreter", "llvm")


@functools.cache
def draw(make: Callable[[Tensor], Tensor], backend: str = "llvm") -> Callable[..., Array]:
    return gc.compile([KEY], make(KEY), backend=backend)


# ---- the generator ---------------------------------------------------------------------------------------


def squares(counter: int, key: int, bits: int) -> int:
    """squares32 and squares64 of the paper, in Python's integers."""

    def turned(v: int) -> int:
        return (v >> 32 | v << 32) & MASK

    x = y = counter * key & MASK
    z = (y + key) & MASK
    x = turned((x * x + y) & MASK)
    x = turned((x * x + z) & MASK)
    x = turned((x * x + y) & MASK)
    t = (x * x + z) & MASK
    if bits == 32:
        return t >> 32
    x = turned(t)
    return t ^ ((x * x + y) & MASK) >> 32


def mixed(key: int, stream: int = 0x548C9DECBCE65297) -> int:
    return squares(key & MASK, stream, 64) | 1


def signed(value: int, bits: int = 64) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value


KEYS = (0, 1, -1, 7, 2**40 + 3, 2**63 - 1, -(2**63))


@pytest.mark.parametrize("key", KEYS)
def test_the_bits_are_those_of_the_paper(key: int, backend: str) -> None:
    outputs = [
        gc.random_bits(KEY, (3, 2, 4)),
        gc.random_bits(KEY, (24,), "int32"),
        gc.random_uniform(KEY, (24,)),
        gc.random_uniform(KEY, (24,), "float64"),
        gc.random_integers(KEY, (24,), -3, 1000),
        gc.random_fold_in(KEY, np.array([0, 5, -1, 2**62])),
        gc.random_split(KEY, 5),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # arithmetic wraps around, and says nothing
        words, halves, single, double, whole, folded, split = gc.compile([KEY], outputs, backend=backend)(key)
    wide = [squares(i, mixed(key), 64) for i in range(24)]
    half = [squares(i, mixed(key), 32) for i in range(24)]
    assert words.dtype == np.int64 and words.ravel().tolist() == [signed(w) for w in wide]
    assert halves.dtype == np.int32 and halves.tolist() == [signed(w, 32) for w in half]
    assert single.dtype == np.float32 and single.tolist() == [(w >> 8) / 2**24 for w in half]
    assert double.dtype == np.float64 and double.tolist() == [(w >> 11) / 2**53 for w in wide]
    assert whole.tolist() == [-3 + (w * 1003 >> 32) for w in half]
    stream = mixed(key, 0x3D1B58FB9A762C4D)
    assert folded.tolist() == [signed(squares(d & MASK, stream, 64)) for d in (0, 5, -1, 2**62)]
    assert split.tolist() == [signed(squares(d, stream, 64)) for d in range(5)]


def test_a_key_is_a_number_or_a_tensor(backend: str) -> None:
    """A constant key is folded while compiling, and gives the same."""
    k32 = gc.input("k", dtype="int32")
    fixed = gc.compile([], gc.random_normal(11, (2, 3)), backend=backend)()
    np.testing.assert_allclose(draw(lambda k: gc.random_normal(k, (2, 3)), backend)(11), fixed, rtol=1e-6)
    bits = gc.compile([k32], gc.random_bits(k32, (4,)), backend=backend)(11)
    np.testing.assert_array_equal(bits, draw(lambda k: gc.random_bits(k, (4,)), backend)(11))


MAKERS: dict[str, Callable[[Tensor], Tensor]] = {
    "bits": lambda k: gc.random_bits(k, ("N", 33)),
    "uniform": lambda k: gc.random_uniform(k, ("N", 33), low=-2.0, high=5.0),
    "uniform f64": lambda k: gc.random_uniform(k, ("N", 33), "float64", -2.0, 5.0),
    "normal": lambda k: gc.random_normal(k, ("N", 33)),
    "normal f64": lambda k: gc.random_normal(k, ("N", 33), "float64", 1.5, 0.5),
    "bernoulli": lambda k: gc.random_bernoulli(k, 0.3, ("N", 33)),
    "categorical": lambda k: gc.random_categorical(k, gc.broadcast_to(gc.const([0.0, 1.0, 2.0]), ("N", 3))),
    "dropout": lambda k: gc.dropout(gc.random_normal(k, ("N", 33)), 0.4, k + 1),
}


@pytest.mark.parametrize("name", MAKERS)
def test_one_function_for_every_batch_size_and_back_end(name: str) -> None:
    """An element's number is its place, so a larger batch begins with a smaller one's numbers."""
    n = gc.input("n", ("N",))
    made = MAKERS[name](KEY)
    compiled = {b: gc.compile([KEY, n], made, backend=b) for b in BACKENDS}
    full = compiled["reference"](5, np.zeros(9))
    for size in (0, 1, 9):
        for backend, fn in compiled.items():
            got = fn(5, np.zeros(size))
            assert got.dtype == full.dtype
            if name.startswith(("normal", "dropout")):  # a logarithm and a cosine, of 2 ulp each
                eps = float(np.finfo(got.dtype).eps)
                np.testing.assert_allclose(got, full[:size], rtol=8 * eps, atol=8 * eps, err_msg=backend)
            else:
                np.testing.assert_array_equal(got, full[:size], err_msg=f"{backend}, {size}")


def test_threads_do_not_matter() -> None:
    makers = [gc.random_uniform(KEY, (1 << 18,)), gc.random_normal(KEY, (1 << 18,))]
    one, two = (gc.compile([KEY], makers, threads=t)(3) for t in (1, 2))
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)


# ---- statistics ------------------------------------------------------------------------------------------

COUNT = 1 << 17


def kolmogorov(values: Array, distribution: Callable[[Array], Array]) -> float:
    """√n times the largest distance from a distribution function: above 1.95 once in 1000 times."""
    at, n = distribution(np.sort(values.astype(np.float64))), len(values)
    steps = np.arange(n + 1) / n
    return math.sqrt(n) * float(max((steps[1:] - at).max(), (at - steps[:-1]).max()))


def chi_squared(counts: Array, expected: Array | float) -> float:
    """χ² of counts, in standard deviations from its mean."""
    freedom = counts.size - 1
    return float(((counts - expected) ** 2 / expected).sum() - freedom) / math.sqrt(2 * freedom)


def normal(x: Array) -> Array:
    return np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in x])


def test_the_tests_have_power() -> None:
    """They refuse a distribution that is off by 1 %, and neighbours that are alike once in 30 times."""
    u = np.random.default_rng(0).random(COUNT)
    assert kolmogorov(u, lambda x: x) < 1.95 < kolmogorov(u**1.05, lambda x: x)
    assert kolmogorov(np.floor(u * 50) / 50, lambda x: x) > 1.95
    pairs = np.histogram2d(u[:-1], u[1:], bins=16, range=[[0, 1], [0, 1]])[0]
    assert abs(chi_squared(pairs, pairs.sum() / 256)) < 5
    u[1::30] = u[0:-1:30]
    pairs = np.histogram2d(u[:-1], u[1:], bins=16, range=[[0, 1], [0, 1]])[0]
    assert abs(chi_squared(pairs, pairs.sum() / 256)) > 5


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("key", [0, 1, 2, -1, 10**12])
def test_uniform(key: int, dtype: str) -> None:
    u = draw(_uniform[dtype])(key)
    assert u.min() >= 0 and u.max() < 1
    assert kolmogorov(u, lambda x: x) < 1.95
    assert abs(u.mean(dtype=np.float64) - 0.5) < 5 / math.sqrt(12 * COUNT)
    assert abs(u.var(dtype=np.float64) - 1 / 12) < 5 / math.sqrt(180 * COUNT)
    # Neighbours at several distances, and all digits down to the last one.
    for distance in (1, 2, 3, 64, 4096):
        pairs = np.histogram2d(u[:-distance], u[distance:], bins=16, range=[[0, 1], [0, 1]])[0]
        assert abs(chi_squared(pairs, pairs.sum() / 256)) < 5, distance
    bits = 24 if dtype == "float32" else 53
    whole = (u.astype(np.float64) * 2.0**bits).astype(np.int64)
    ones = (whole[:, None] >> np.arange(bits) & 1).sum(axis=0)
    assert (abs(ones - COUNT / 2) < 5 * math.sqrt(COUNT) / 2).all()


_uniform: dict[str, Callable[[Tensor], Tensor]] = {
    d: functools.partial(lambda k, d: gc.random_uniform(k, (COUNT,), d), d=d) for d in ("float32", "float64")
}
_normal: dict[str, Callable[[Tensor], Tensor]] = {
    d: functools.partial(lambda k, d: gc.random_normal(k, (COUNT,), d), d=d) for d in ("float32", "float64")
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("key", [0, 1, -1])
def test_normal(key: int, dtype: str) -> None:
    z = draw(_normal[dtype])(key).astype(np.float64)
    assert np.isfinite(z).all()
    assert kolmogorov(z[: COUNT // 4], normal) < 1.95
    # The moments, and the standard deviations of their estimates: 1, √2, √15, √96.
    for power, moment, spread in (
        (1, 0, 1),
        (2, 1, math.sqrt(2)),
        (3, 0, math.sqrt(15)),
        (4, 3, math.sqrt(96)),
    ):
        assert abs((z**power).mean() - moment) < 5 * spread / math.sqrt(COUNT), power
    for far in (2, 3, 4):
        for tail in (z > far, z < -far):
            expected = COUNT * 0.5 * math.erfc(far / math.sqrt(2))
            assert abs(tail.sum() - expected) < 5 * math.sqrt(expected) + 1, far
    pairs = np.histogram2d(normal(z[:-1:4]), normal(z[1::4]), bins=16, range=[[0, 1], [0, 1]])[0]
    assert abs(chi_squared(pairs, pairs.sum() / 256)) < 5


def test_keys_give_streams_that_know_nothing_of_each_other() -> None:
    """Neighbouring keys, far ones, keys made by splitting, and their parent: uncorrelated, at every shift."""
    bits = draw(lambda k: gc.random_uniform(k, (1 << 15,), "float64"))
    split = draw(lambda k: gc.random_split(k, 3))
    keys = [0, 1, 2, 3, 256, 257, 2**32, 2**32 + 1, *(int(k) for k in split(0)), *(int(k) for k in split(1))]
    assert len(set(keys)) == len(keys)
    streams = np.array([bits(k) - 0.5 for k in keys])
    for a, b in itertools.combinations(range(len(keys)), 2):
        assert not np.isin(streams[a], streams[b]).any(), "two streams overlap"
        for shift in (0, 1, -1):
            r = float((streams[a] * np.roll(streams[b], shift)).mean() * 12)
            assert abs(r) < 5 / math.sqrt(1 << 15), (keys[a], keys[b], shift)


def test_every_bit_of_key_and_counter_changes_every_bit_with_probability_one_half() -> None:
    """Avalanche: 64 x 64 probabilities from 2048 pairs each, within 5.5 standard deviations."""
    data = gc.input("data", ("N",), "int64")
    fold = gc.compile([KEY, data], gc.random_fold_in(KEY, data))
    chosen = np.random.default_rng(1).integers(-(2**63), 2**63, 2048, dtype=np.int64)
    counters = np.concatenate([chosen[:1024], np.arange(1024)])  # those that tensors have are small
    bits = np.arange(64)

    def changed(a: Array, b: Array) -> Array:
        return ((a ^ b)[:, None] >> bits & 1).sum(axis=0)

    bound = 5.5 * math.sqrt(2048) / 2
    base = fold(3, counters)
    for k in range(64):
        counts = changed(base, fold(3, counters ^ np.int64(signed(1 << k))))
        assert (abs(counts - 1024) < bound).all(), f"bit {k} of the counter"
    for k in range(0, 64, 7):
        other = signed((3 ^ 1 << k) & MASK)
        counts = changed(base, fold(other, counters))
        assert (abs(counts - 1024) < bound).all(), f"bit {k} of the key"


def test_bernoulli_integers_and_categories() -> None:
    for p in (0.0, 0.01, 0.3, 1.0):
        share = draw(functools.partial(lambda k, p: gc.random_bernoulli(k, p, (COUNT,)), p=p))(5).mean()
        assert abs(share - p) <= 5 * math.sqrt(p * (1 - p) / COUNT)
    whole = draw(lambda k: gc.random_integers(k, (COUNT,), -3, 4, "int32"))(5)
    assert whole.dtype == np.int32
    assert abs(chi_squared(np.bincount(whole + 3, minlength=7), COUNT / 7)) < 5
    p = np.array([0.5, 0.2, 0.2, 0.1, 0.0])
    with np.errstate(divide="ignore"):
        logits = gc.const(np.log(p))
    drawn = draw(lambda k: gc.random_categorical(k, gc.broadcast_to(logits, (COUNT, 5))))(5)
    counts = np.bincount(drawn, minlength=5)
    assert counts[4] == 0 and abs(chi_squared(counts[:4], COUNT * p[:4])) < 5


def test_a_probability_for_each_element(backend: str) -> None:
    p = gc.input("p", ("N",), "float64")
    fn = gc.compile([KEY, p], gc.random_bernoulli(KEY, p), backend=backend)
    given = np.linspace(0, 1, 5)
    drawn = np.array([fn(k, given) for k in range(40)])
    assert drawn.dtype == np.bool_ and not drawn[:, 0].any() and drawn[:, 4].all() and drawn[:, 2].any()


# ---- permutations ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [0, 1, 2, 5, 100])
def test_a_permutation_has_every_number_once(n: int, backend: str) -> None:
    for key in (0, 1):
        found = draw(functools.partial(lambda k, n: gc.random_permutation(k, n), n=n), backend)(key)
        assert found.dtype == np.int64 and sorted(found.tolist()) == list(range(n))


def test_all_permutations_are_as_likely() -> None:
    fn = draw(lambda k: gc.random_permutation(k, 4))
    counts: dict[tuple[int, ...], int] = dict.fromkeys(itertools.permutations(range(4)), 0)
    for key in range(2400):
        counts[tuple(fn(key).tolist())] += 1
    assert abs(chi_squared(np.array(list(counts.values())), 100.0)) < 5


def test_slices_are_shuffled_with_their_gradient(backend: str) -> None:
    x = gc.input("x", ("N", 3))
    y = gc.random_permutation(KEY, x)
    loss = gc.sum(y * gc.const([[1.0, 10.0, 100.0]]) * gc.random_uniform(KEY, y.shape, "float64"))
    fn = gc.compile([KEY, x], [y, gc.random_permutation(KEY, "N"), gc.grad(loss, x)], backend=backend)
    a = np.arange(21.0).reshape(7, 3)
    shuffled, order, slope = fn(4, a)
    np.testing.assert_array_equal(shuffled, a[order])
    assert order.tolist() != list(range(7))
    weights = draw(lambda k: gc.random_uniform(k, (7, 3), "float64"), backend)(4) * [1.0, 10, 100]
    np.testing.assert_allclose(slope[order], weights, rtol=1e-15)


# ---- gradients -------------------------------------------------------------------------------------------


def test_mean_and_std_have_gradients_and_the_numbers_are_replayed(backend: str) -> None:
    mean, std = gc.input("mean", (3,)), gc.input("std")
    y = gc.random_normal(KEY, ("N", 3), "float64", mean, std)
    n = gc.input("n", ("N",))
    up = gc.input("up", ("N", 3))
    fn = gc.compile([KEY, mean, std, n, up], [y, *gc.vjp(y, [mean, std], up)], backend=backend)
    weights = np.arange(15.0).reshape(5, 3) - 4
    value, by_mean, by_std = fn(9, [1.0, 2.0, 3.0], 2.5, np.zeros(5), weights)
    z = (value - [1.0, 2.0, 3.0]) / 2.5
    np.testing.assert_allclose(by_mean, weights.sum(axis=0), rtol=1e-14)
    np.testing.assert_allclose(by_std, (weights * z).sum(), rtol=1e-12)


def test_bounds_have_gradients(backend: str) -> None:
    low, high = gc.input("low"), gc.input("high")
    u = gc.random_uniform(KEY, (6,), "float64")
    y = gc.random_uniform(KEY, (6,), "float64", low, high)
    fn = gc.compile([KEY, low, high], [u, y, *gc.grad(gc.sum(y), [low, high])], backend=backend)
    unit, value, by_low, by_high = fn(9, -1.0, 3.0)
    np.testing.assert_allclose(value, 4 * unit - 1, rtol=1e-14)
    assert (by_low, by_high) == (pytest.approx((1 - unit).sum()), pytest.approx(unit.sum()))


def test_the_gradient_of_a_dropout_is_zero_where_its_value_is(backend: str) -> None:
    """Through a layer that keeps forward and backward in different kernels."""
    x, w = gc.input("x", ("N", 50)), gc.input("w", (50, 50))
    h = gc.dropout(x, 0.4, KEY)
    loss = gc.sum(gc.square(gc.tanh(h) @ w))
    fn = gc.compile([KEY, x, w], [h, gc.grad(loss, x)], backend=backend)
    value, slope = fn(2, np.full((8, 50), 0.5), np.eye(50))
    kept = value != 0
    assert 0.5 < kept.mean() < 0.7
    np.testing.assert_array_equal(slope != 0, kept)
    np.testing.assert_allclose(value[kept], 0.5 / 0.6, rtol=1e-15)


def test_second_order_through_noise(backend: str) -> None:
    """∂²/∂std² Σ (std z)³ = 6 std Σ z³."""
    std = gc.input("std")
    y = gc.random_normal(KEY, (20,), "float64", std=std)
    twice = gc.grad(gc.grad(gc.sum(y**3), std), std)
    z = draw(lambda k: gc.random_normal(k, (20,), "float64"), backend)(1)
    assert gc.compile([KEY, std], twice, backend=backend)(1, 0.7) == pytest.approx(6 * 0.7 * (z**3).sum())
