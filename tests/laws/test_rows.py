"""Kernels over rows: softmax, normalisations, losses, statistics and their gradients, in one kernel each.

Shapes are chosen around the edges of vectors and blocks; every back end agrees with the reference, which knows
nothing of fusion, and results repeat bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import pytest

import graphc as gc
from graphc.ir.dims import Dim
from graphc.ir.graph import Graph
from graphc.kernel.lower import lower
from graphc.lang.tensor import Tensor
from graphc.passes.fuse import fuse
from graphc.passes.log import Log

Case: TypeAlias = Callable[[Tensor], Tensor]

COLUMNS = (0, 1, 7, 10, 16, 17, 130, 1000)
ROWS = (0, 1, 3, 33)


def _moments(x: Tensor, axis: int | tuple[int, ...] = -1) -> Tensor:
    return gc.mean(x, axis) + gc.var(x, axis) * gc.max(x, axis)


def _cross_entropy(x: Tensor) -> Tensor:
    """Of the class that the first column would choose, wherever that lies."""
    labels = gc.argmax(x, axis=-1)
    return -gc.mean(gc.pick(gc.log_softmax(x), labels))


CASES: dict[str, Case] = {
    "softmax": lambda x: gc.softmax(x),
    "log softmax": lambda x: gc.log_softmax(x),
    "logsumexp": lambda x: gc.logsumexp(x, axis=-1),
    "layer norm": lambda x: gc.layer_norm(x),
    "rms norm": lambda x: gc.rms_norm(x),
    "moments": _moments,
    "nearest to the middle": lambda x: gc.min(gc.abs(x - gc.mean(x, -1, keepdims=True)), axis=-1),
    "unit length": lambda x: x / gc.sqrt(gc.sum(x * x, axis=-1, keepdims=True) + 1.0),
    "columns beside rows": lambda x: gc.sum(gc.softmax(x) * x, axis=0),
    "total beside rows": lambda x: gc.sum(gc.tanh(x - gc.mean(x, -1, keepdims=True))),
    "largest beside rows": lambda x: gc.max(gc.abs(x) / (1.0 + gc.sum(gc.abs(x), -1, keepdims=True)), axis=0),
    "cross-entropy": _cross_entropy,
}

NO_EXTREMES = ("layer norm", "rms norm", "unit length", "total beside rows")
"""The cases that have a meaning for rows of no columns; there is no maximum of nothing."""

SOME_ROWS = ("largest beside rows",)
"""The cases that need a row."""


def outputs(case: Case, x: Tensor) -> list[Tensor]:
    """A value, and the gradient of a sum in which every element has a weight of its own."""
    y = case(x)
    return [y, gc.grad(gc.sum(y * gc.cos(y)), x)]


def compare(got: Sequence[np.ndarray], want: Sequence[np.ndarray], dtype: str, where: str) -> None:
    tolerance = 1e-9 if dtype == "float64" else 2e-4
    for k, (g, w) in enumerate(zip(got, want, strict=True)):
        scale = max(1.0, float(np.abs(w).max(initial=0.0, where=np.isfinite(w))))
        np.testing.assert_allclose(
            g, w, rtol=tolerance, atol=tolerance * scale, err_msg=f"output {k} of {where}"
        )


def data(shape: Sequence[int], dtype: str) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CASES)
def test_rows_of_every_length(name: str, dtype: str) -> None:
    for columns in COLUMNS:
        if columns == 0 and name not in NO_EXTREMES:
            continue
        x = gc.input("x", ("N", columns), dtype)
        wanted = outputs(CASES[name], x)
        reference = gc.compile([x], wanted, backend="reference", disable=("algebra", "stability", "fold"))
        native = gc.compile([x], wanted)
        for n in ROWS[name in SOME_ROWS :]:
            given = data((n, columns), dtype)
            with np.errstate(all="ignore"):
                want = reference(given)
            got = native(given)
            compare(got, want, dtype, f"{name} of [{n},{columns}]")
            for a, b in zip(got, native(given), strict=True):
                np.testing.assert_array_equal(a, b, err_msg=f"{name} of [{n},{columns}], again")


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("columns", [1, 5])
def test_rows_interpreted(name: str, columns: int) -> None:
    x = gc.input("x", ("N", columns))
    wanted = outputs(CASES[name], x)
    reference, kernels = (gc.compile([x], wanted, backend=b) for b in ("reference", "interpreter"))
    for n in (1, 3):
        given = data((n, columns), "float64")
        compare(kernels(given), reference(given), "float64", f"{name} of [{n},{columns}]")


# Shapes, the axes of a row, and whether the length of the row is known.
AXES: list[tuple[tuple[int | str, ...], tuple[int, ...]]] = [
    ((40,), (0,)),
    (("N",), (0,)),
    ((3, 4, 17), (1, 2)),
    ((3, 4, 17), (2,)),
    ((2, 9, 3, 5), (0, 2, 3)),
    (("N", 8, 5, 3), (0, 2, 3)),
    (("N", 8, 5, 3), (2, 3)),
    ((9, 17), (0,)),
    (("N", 33), (0,)),
    (("N", 4, 20), (0, 1)),
    (("N", "M"), (1,)),
    ((6, 1, 12, 1), (2,)),
    ((4, 5, 6), (0, 2)),
    ((300, 40), (0,)),
]


@pytest.mark.parametrize(("shape", "axes"), AXES, ids=[f"{s} over {a}" for s, a in AXES])
def test_rows_of_several_axes(shape: tuple[int | str, ...], axes: tuple[int, ...]) -> None:
    x = gc.input("x", shape)
    top = gc.exp(x - gc.max(x, axes, keepdims=True))
    normal = (x - gc.mean(x, axes, keepdims=True)) * gc.rsqrt(gc.var(x, axes, keepdims=True) + 0.1)
    y = top / gc.sum(top, axes, keepdims=True) + normal
    wanted = [y, gc.sum(normal, axes), gc.grad(gc.sum(gc.sin(y)), x)]
    reference = gc.compile([x], wanted, backend="reference")
    for backend, sizes in (("llvm", (1, 7, 40)), ("interpreter", (2,))):
        fn = gc.compile([x], wanted, backend=backend)
        for n in sizes:
            given = data([d if isinstance(d, int) else n + (d == "M") for d in shape], "float64")
            compare(fn(given), reference(given), "float64", f"{shape} with N = {n}, {backend}")


def test_sums_of_all_rows_do_not_depend_on_who_adds_them_up() -> None:
    x, w = gc.input("x", (512, 200), "float32"), gc.input("w", (200,), "float32")
    y = gc.layer_norm(x, gamma=w)
    wanted = [y, *gc.grad(gc.sum(gc.sin(y)), [x, w])]
    given = data((512, 200), "float32"), data((200,), "float32")
    want = gc.compile([x, w], wanted, backend="reference")(*given)
    for threads in (1, 2, 3):
        fn = gc.compile([x, w], wanted, threads=threads)
        first = fn(*given)
        compare(first, want, "float32", f"{threads} threads")
        for _ in range(5):
            for a, b in zip(fn(*given), first, strict=True):
                np.testing.assert_array_equal(a, b)


KERNELS: dict[str, tuple[Callable[[Tensor], list[Tensor]], int]] = {
    "softmax": (lambda x: [gc.softmax(x)], 1),
    "softmax and gradient": (lambda x: outputs(CASES["softmax"], x), 1),
    "layer norm": (lambda x: [gc.layer_norm(x)], 1),
    "layer norm and gradient": (lambda x: outputs(CASES["layer norm"], x), 1),
    "rms norm and gradient": (lambda x: outputs(CASES["rms norm"], x), 1),
    "columns beside rows": (lambda x: [gc.sum(gc.softmax(x), axis=0)], 1),
    "a sum that rows read": (lambda x: [x - gc.sum(gc.softmax(x), axis=0)], 2),
    "loss": (lambda x: outputs(lambda x: -gc.mean(gc.pick(gc.log_softmax(x), gc.arange(64))), x)[:1], 1),
}


@pytest.mark.parametrize("name", KERNELS)
def test_what_walks_over_the_same_rows_is_one_kernel(name: str) -> None:
    make, kernels = KERNELS[name]
    x = gc.input("x", (64, 100), "float32")
    fn = gc.compile([x], make(x), backend="interpreter")
    assert len(fn.program.calls) == kernels, fn.stage("fused")


def test_what_is_dear_is_computed_once() -> None:
    x = gc.input("x", (64, 100), "float32")
    fn = gc.compile([x], gc.softmax(x), backend="interpreter")
    assert fn.stage("kernels").count("= exp ") == 1


def test_a_parameter_is_normalised_in_place() -> None:
    """Every pass over a row reads the old value; the last one writes the new one."""
    given = data((5, 37), "float32")
    for backend in ("llvm", "interpreter"):
        w = gc.param("w", (5, 37), init=given)
        size = gc.sqrt(gc.sum(w * w, axis=1, keepdims=True))
        step = gc.compile([], [gc.sum(size)], updates={w: gc.softmax(w) / size}, backend=backend)
        assert "copy" not in step.stage("kernels")
        step()
        e = np.exp(given - given.max(1, keepdims=True))
        want = e / e.sum(1, keepdims=True) / np.sqrt((given**2).sum(1, keepdims=True))
        np.testing.assert_allclose(w.value, want, rtol=1e-5)


def test_rows_of_a_named_length_keep_what_is_dear_too() -> None:
    x = gc.input("x", ("N", "M"), "float32")
    fn = gc.compile([x], gc.softmax(x))
    assert Dim.of("M") in {d for c in fn.program.calls for p in c.kernel.parameters for d in p.buffer.shape}
    for n, m in ((0, 5), (5, 0), (3, 1), (4, 100)):
        given = data((n, m), "float32")
        got = fn(given)
        e = np.exp(given - given.max(1, keepdims=True, initial=-np.inf))
        np.testing.assert_allclose(got, e / e.sum(1, keepdims=True), rtol=1e-5)


def test_an_array_may_be_a_row_for_a_sum_and_columns_for_what_is_late() -> None:
    """A found case: N rows of N columns, where the mean of x is summed row by row, and cos x is stored by columns."""
    x = gc.input("x", ("N",), "float32")
    mean = gc.softsign(gc.mean(x))
    inverse = gc.linalg.inv((gc.sin(x) * 0.9)[:, None] * x[None] + gc.eye(x.shape[0], dtype=x.dtype) * 2.0)
    outputs = [mean, inverse, gc.grad(gc.mean(mean) * 0.5 + gc.sum(inverse), x)]
    at = np.linspace(0.5, 1.5, 5).astype(np.float32)
    want = gc.compile([x], outputs, backend="reference")(at)
    for backend in ("interpreter", "llvm"):
        for a, b in zip(want, gc.compile([x], outputs, backend=backend)(at), strict=True):
            np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-6)


def test_what_is_kept_lies_in_the_order_of_the_loops() -> None:
    x = gc.input("x", (8, 4, 6), "float32")
    e = gc.exp(x)
    y = e / gc.sum(e, axis=(0, 2), keepdims=True) > 0.01  # truth values have no room for what is kept
    (cluster,) = fuse(Graph("f", (x.node,), (y.node,)), Log())
    order = (1, 2, 0)
    text = str(lower(cluster, "k", {x.node: "x", y.node: "y"}, orders={x.node: order, y.node: order}))
    assert "alloc row0: f32[6,8] scratch" in text and "store row0[j0,j1]" in text


def test_what_is_kept_lies_where_a_result_will_be() -> None:
    x = gc.input("x", (8, 64), "float32")
    e = gc.exp(x)
    y = e / gc.sum(e, axis=1, keepdims=True)
    z = gc.cosh(y) * e
    outputs = [z / gc.sum(z, axis=1, keepdims=True), y]
    fn, given = gc.compile([x], outputs), data((8, 64), "float32")
    assert "scratch" not in fn.stage("kernels")
    for got, want in zip(fn(given), gc.compile([x], outputs, backend="reference")(given), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5)


def test_what_is_stored_is_loaded_in_later_passes() -> None:
    x, z = gc.input("x", (8, 64), "float32"), gc.input("z", (8, 64), "float32")
    s = x + z
    fn = gc.compile([x, z], [s, s - gc.mean(s, -1, keepdims=True)])
    (kernel,) = fn.stage("kernels").split("\nkernel ")
    assert kernel.count("load x[") == kernel.count("load z[") == 1


def test_what_is_centred_is_computed_where_it_is_used() -> None:
    """A convolution that is normalised is stored itself, and not also without its mean."""
    x, v = gc.input("x", (32, 3, 10, 10), "float32"), gc.input("v", (4, 4, 3, 3), "float32")
    w = gc.input("w", (4, 3, 3, 3), "float32")
    h = gc.relu(gc.batch_norm(gc.conv2d(gc.relu(gc.batch_norm(gc.conv2d(x, w))), v)))
    fn = gc.compile([x, w, v], [gc.sum(h), *gc.grad(gc.sum(h * h), [w])])
    stored = [line.split("*  ")[1] for line in fn.stage("fused").splitlines() if "*  " in line]
    assert any("= conv" in line for line in stored)
    assert not any("= sub" in line for line in stored), stored
