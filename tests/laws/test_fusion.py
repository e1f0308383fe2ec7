"""Random graphs: with fusion and without, natively, interpreted and by the reference, the numbers are the same.

The graphs mix what fusion has to tell apart: elementwise chains, broadcasts, reductions, contractions, views,
scatters, values used twice, intermediate results that are outputs, and the gradients of all that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import graphc as gc
from graphc.lang.tensor import Tensor

Values = list[Tensor]

# Each takes and gives [N,4]; all are bounded or grow slowly, so that no depth overflows.
STEPS: dict[str, Callable[..., Tensor]] = {
    "tanh": lambda a, b, x, w, v: gc.tanh(a),
    "sigmoid": lambda a, b, x, w, v: gc.sigmoid(a) * 2.0,
    "relu": lambda a, b, x, w, v: gc.relu(a) + 0.1 * a,
    "sin": lambda a, b, x, w, v: gc.sin(a),
    "add": lambda a, b, x, w, v: a + b,
    "mul": lambda a, b, x, w, v: a * gc.tanh(b),
    "where": lambda a, b, x, w, v: gc.where(x > 0.2, a, b),
    "add vector": lambda a, b, x, w, v: a + v,
    "scale columns": lambda a, b, x, w, v: a * gc.sum(b, axis=0) * 0.1,
    "centre rows": lambda a, b, x, w, v: a - gc.mean(a, axis=1, keepdims=True),
    "softmax": lambda a, b, x, w, v: gc.softmax(a),
    "row maximum": lambda a, b, x, w, v: b - gc.max(a + x, axis=1, keepdims=True),
    "total": lambda a, b, x, w, v: a + 0.01 * gc.sum(b),
    "matmul": lambda a, b, x, w, v: a @ w,
    "gram": lambda a, b, x, w, v: 0.1 * (a @ (gc.tanh(b).T @ a)),
    "turn": lambda a, b, x, w, v: a[:, ::-1],
    "swap": lambda a, b, x, w, v: gc.concatenate([a[:, 2:], b[:, :2]], axis=1),
    "shift": lambda a, b, x, w, v: gc.pad(a, ((0, 0), (1, 0)))[:, :4],
    "fold": lambda a, b, x, w, v: gc.reshape(gc.transpose(gc.reshape(a, ("N", 2, 2)), (0, 2, 1)), ("N", 4)),
    "upside down": lambda a, b, x, w, v: a[::-1] + b,
    "pick": lambda a, b, x, w, v: a * gc.expand_dims(gc.pick(b, gc.argmax(x, axis=1)), 1),
}

Plan = list[tuple[str, int, int]]
plans = st.lists(
    st.tuples(st.sampled_from(sorted(STEPS)), st.integers(0, 9), st.integers(0, 9)), min_size=3, max_size=9
)


def build(plan: Plan) -> tuple[Values, Values]:
    """Inputs x[N,4], w[4,4], v[4]; the last value, one from the middle, and the gradients of a loss over both."""
    x, w, v = gc.input("x", ("N", 4)), gc.input("w", (4, 4)), gc.input("v", (4,))
    made = [x]
    for name, first, second in plan:
        made.append(STEPS[name](made[-1 - first % len(made)], made[-1 - second % len(made)], x, w, v))
    outputs = [made[-1], made[len(made) // 2], gc.sum(made[-2], axis=0)]
    loss = gc.sum(gc.tanh(made[-1])) + gc.mean(made[len(made) // 2] ** 2)
    return [x, w, v], [*outputs, loss, gc.grad(loss, x), *_reached(loss, [w, v])]


def _reached(loss: Tensor, wrt: Sequence[Tensor]) -> list[Tensor]:
    """The gradients by what the loss depends on."""
    found = []
    for t in wrt:
        try:
            found.append(gc.grad(loss, t))
        except gc.GradientError:
            continue
    return [t for t in found if isinstance(t, Tensor)]


def arguments(n: int) -> list[np.ndarray]:
    draw = np.random.default_rng(n)
    return [draw.normal(size=s) for s in ((n, 4), (4, 4), (4,))]


def check(plan: Plan, ways: Sequence[tuple[str, tuple[str, ...]]], batches: Sequence[int]) -> None:
    inputs, outputs = build(plan)
    reference = gc.compile(inputs, outputs, backend="reference", disable=("fold", "stability", "algebra"))
    for backend, disable in ways:
        fn = gc.compile(inputs, outputs, backend=backend, disable=disable)
        for n in batches:
            given_ = arguments(n)
            for k, (got, wanted) in enumerate(zip(fn(*given_), reference(*given_), strict=True)):
                scale = max(1.0, float(np.abs(wanted).max(initial=0.0)))
                where = f"output {k}, N = {n}, {backend} without {disable}"
                np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-10 * scale, err_msg=where)


@settings(max_examples=30, deadline=None, derandomize=True, database=None)
@given(plans)
def test_random_graphs_interpreted(plan: Plan) -> None:
    check(plan, [("interpreter", ()), ("interpreter", ("fuse",))], [2])


@settings(max_examples=12, deadline=None, derandomize=True, database=None)
@given(plans)
def test_random_graphs_natively(plan: Plan) -> None:
    check(plan, [("llvm", ()), ("llvm", ("fuse",))], [1, 5, 33])


@pytest.mark.parametrize("name", sorted(STEPS))
def test_each_step_alone_and_after_a_chain(name: str) -> None:
    chain: Plan = [("tanh", 0, 0), (name, 0, 1), ("mul", 0, 1), (name, 1, 0), ("add vector", 0, 0)]
    check(chain, [("llvm", ()), ("interpreter", ())], [2, 17])


def test_fusion_leaves_no_more_kernels_than_there_are_operations() -> None:
    inputs, outputs = build([("matmul", 0, 0), ("add vector", 0, 0), ("relu", 0, 0), ("softmax", 0, 0)])
    fused = gc.compile(inputs, outputs, backend="interpreter")
    plain = gc.compile(inputs, outputs, backend="interpreter", disable=("fuse",))
    assert len(fused.program.calls) < len(plain.program.calls) / 2
    assert any("fuse" in str(event) for event in fused.log)


def test_a_chain_with_its_contraction_is_one_kernel() -> None:
    x, w, b = gc.input("x", ("N", 4)), gc.input("w", (4, 3)), gc.input("b", (3,))
    fn = gc.compile([x, w, b], gc.relu(x @ w + b), backend="interpreter")
    assert len(fn.program.calls) == 1
    assert "1 kernel\n" in fn.stage("fused")


def test_no_kernel_waits_for_another_one_that_waits_for_it() -> None:
    """A found case: merged clusters read and write far apart, and a third one led back from late to early."""
    x, y = gc.inputs("x y", shape=(1, 4, 3))
    levels = gc.log2(gc.softmax(gc.minimum(x, x), 2))
    both = gc.concatenate([levels, y], 0)
    slope = gc.grad(gc.sum(gc.log(gc.sinh(gc.abs(both) + 0.5))), x)
    soft = gc.log_sigmoid(levels)
    outputs = [soft, slope, gc.grad(0.25 * gc.sum(gc.square(soft)) + gc.sum(slope), x)]
    given = np.linspace(-1.0, 1.0, 12).reshape(1, 4, 3), np.linspace(2.0, 0.5, 12).reshape(1, 4, 3)
    want, got = (gc.compile([x, y], outputs, backend=b)(*given) for b in ("reference", "interpreter"))
    for a, b in zip(want, got, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10)
