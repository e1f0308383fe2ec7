"""Laws of the calculus: forward and reverse mode are transposes, Jacobians are what sweeps over all units give,
derivatives of every order and by every node are those of the mathematics."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import pytest
from case_checks import BACKENDS, arrays, tensors
from structural_cases import CASES, Case

import graphc as gc
from graphc.autodiff import jacobian as jacobians
from graphc.autodiff.lanes import lanes
from graphc.ir.node import node, toposort
from graphc.ir.types import Array
from graphc.lang.tensor import Tensor
from graphc.ops.recurrence import Recurrence
from graphc.ops.table import ROWS


def run(inputs: list[Tensor], outputs: list[Tensor], *at: object, backend: str = "reference") -> list[Array]:
    return list(gc.compile(inputs, outputs, backend=backend)(*at))


# ---- forward and reverse mode, over every structural operation --------------------------------------------


def built(case: Case) -> tuple[list[Tensor], Tensor, list[Tensor]]:
    xs = list(tensors(case, "float64").values())
    return xs, case.make(*xs), [x for x in xs if x.dtype.is_float]


@pytest.mark.parametrize("name", CASES)
def test_forward_mode_is_the_transpose_of_reverse_mode(name: str) -> None:
    """⟨u, J t⟩ = ⟨Jᵀ u, t⟩ for random u and t; y + sin(y), so that the upstream is no constant."""
    case = CASES[name]
    xs, made, wrt = built(case)
    y = made + gc.sin(made)
    u = gc.input("u", y.shape)
    along = [gc.input(f"t{k}", x.shape) for k, x in enumerate(wrt)]
    (pushed,) = gc.jvp(y, wrt, along)
    pulled = gc.vjp(y, wrt, u)
    right = functools.reduce(lambda a, b: a + b, [gc.sum(p * t) for p, t in zip(pulled, along, strict=True)])
    fn = gc.compile([*xs, u, *along], [gc.sum(u * pushed), right], backend="reference")
    shape = gc.compile(xs, made, backend="reference")
    for batch in case.batches:
        given = arrays(case, batch)
        draw = np.random.default_rng(batch)
        up = draw.normal(size=shape(*given).shape)
        directions = [draw.normal(size=a.shape) for a in given if a.dtype.kind == "f"]
        a, b = fn(*given, up, *directions)
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


EDGED = [row.name for row in ROWS.values() if row.arity == 1 and row.domain != "True"]


@pytest.mark.parametrize("name", EDGED)
def test_what_a_choice_has_stopped_stays_stopped_at_an_infinite_slope(name: str) -> None:
    """f(where(x > 100, x, c)) does not move with x, even where f' is infinite or NaN at c; in both modes."""
    x, t = gc.inputs("x t", dtype="float64")
    edges = (-1.0, 0.0, 1.0, np.pi / 2)
    ys = [getattr(gc, name)(gc.where(x > 100.0, x, c)) for c in edges]
    moved = [gc.jvp(y, [x], t)[0] for y in ys]
    for backend in BACKENDS:
        found = run([x, t], [*moved, *(gc.grad(y, x) for y in ys)], 0.0, 3.0, backend=backend)
        assert all(float(v) == 0 for v in found), found


SMALL = [name for name, case in CASES.items() if sum(a.size for a in arrays(case, 2)) <= 150]


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("unrolled", [16, 0], ids=["unrolled", "loop"])
def test_a_jacobian_is_what_a_sweep_for_each_element_gives(
    name: str, unrolled: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever structure is found: zeros where it says, and the same numbers elsewhere."""
    monkeypatch.setattr(jacobians, "UNROLLED", unrolled)
    case = CASES[name]
    xs, y, wrt = built(case)
    given = arrays(case, 2)
    u = gc.input("u", y.shape)
    rows = gc.compile([*xs, u], gc.vjp(y, wrt, u), backend="reference")
    found = run(xs, [gc.jacobian(y, x) for x in wrt], *given)
    shape = run(xs, [y], *given)[0].shape
    size = int(np.prod(shape))
    if size > 150:
        pytest.skip("many rows")
    lines = [rows(*given, unit.reshape(shape)) for unit in np.eye(size)]
    for k, J in enumerate(found):
        operand = [a for a in given if a.dtype.kind == "f"][k]
        expected = np.array([line[k] for line in lines]).reshape((*shape, *operand.shape))
        np.testing.assert_allclose(J, expected, rtol=1e-12, atol=1e-13)


# ---- structure --------------------------------------------------------------------------------------------

W = gc.const(np.random.default_rng(0).normal(size=(4, 3)))


def rnn(x: Tensor) -> Tensor:
    """A state for each row, over four steps."""
    state, _ = gc.scan(lambda h, e: (gc.tanh(h * 0.5 + e), None), x[:, 0] * 0.0, x.T)
    return state


BATCHED: dict[str, tuple[Callable[[Tensor], Tensor], dict[int, int]]] = {
    "elementwise": (lambda x: gc.sin(x) * x, {0: 0, 1: 1}),
    "network": (lambda x: gc.softmax(gc.tanh(x @ W) @ W.T), {0: 0}),
    "normalised rows": (lambda x: x / gc.sqrt(gc.sum(x * x, 1, True) + 1.0), {0: 0}),
    "row losses": (lambda x: gc.logsumexp(x, axis=1), {0: 0}),
    "views": (lambda x: gc.concatenate([x[:, 1:], gc.exp(x)[:, ::-1]], axis=1).reshape(-1, 7, 1), {0: 0}),
    "columns": (lambda x: Tensor(node(Recurrence(0, False), (x * x).node, x.node)), {1: 1}),
    "transposed": (lambda x: gc.exp(x).T, {0: 1, 1: 0}),
    "pooled": (lambda x: gc.max_pool2d(x.reshape(-1, 1, 2, 2), 2, 1), {0: 0, 1: 1}),
    "scan": (rnn, {0: 0}),
    "picked": (lambda x: gc.pick(x, gc.argmax(x, 1)) * gc.min(x, 1), {0: 0}),
    "detached": (lambda x: x / gc.stop_gradient(gc.sum(x)), {0: 0, 1: 1}),
    "batch norm": (lambda x: x - gc.mean(x, 0), {1: 1}),
    "mixed": (lambda x: x[::-1] * gc.sum(x), {}),
    "shifted": (lambda x: gc.pad(x, ((1, 0), (0, 0)))[:-1], {1: 1}),
    "straight through": (lambda x: gc.straight_through(gc.round(x), gc.tanh(x)), {0: 0, 1: 1}),
}


@pytest.mark.parametrize("name", BATCHED)
def test_structure_is_found_and_is_right(name: str) -> None:
    """The lanes that are said; and a difference in one row moves no other row of a lane."""
    f, expected = BATCHED[name]
    x = gc.input("x", ("N", 4))
    y = f(x)
    found = lanes([y.node], x.node)[y.node]
    if name == "pooled":  # x is reshaped: the channel is an axis of length 1 without a place in x
        expected = {0: 0}
    assert found == expected
    at = np.random.default_rng(1).normal(size=(3, 4))
    (J,) = run([x], [gc.jacobian(y, x)], at)
    fixed = gc.input("fixed", (3, 4))
    assert J.shape[-2:] == (3, 4)
    rows = [
        gc.vjp(f(fixed), [fixed], gc.const(u.reshape(J.shape[:-2])))[0] for u in np.eye(J[..., 0, 0].size)
    ]
    np.testing.assert_allclose(J.reshape(-1, 3, 4), run([fixed], rows, at), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", [k for k, (_, pairs) in BATCHED.items() if pairs.get(0) == 0])
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_jacobian_of_each_row(name: str, backend: str) -> None:
    x = gc.input("x", ("N", 4))
    y = BATCHED[name][0](x)
    at = np.random.default_rng(1).normal(size=(3, 4))
    blocks, full = run([x], [gc.batch_jacobian(y, x), gc.jacobian(y, x)], at, backend=backend)
    assert blocks.shape == (3, *full.shape[1:-2], 4)
    for k in range(3):
        np.testing.assert_array_equal(blocks[k], full[k, ..., k, :])
        assert not np.delete(full[k], k, axis=-2).any()


def test_a_batch_takes_as_many_sweeps_as_a_row() -> None:
    def sizes(columns: int) -> list[int]:
        x = gc.input("x", ("N", 4))
        y = gc.tanh(x @ gc.const(np.ones((4, columns))))
        tall = gc.input("tall", (1000, 4))
        return [
            len(toposort([gc.jacobian(y, x).node])),
            len(toposort([gc.jacobian(gc.tanh(tall @ gc.const(np.ones((4, columns)))), tall).node])),
            len(toposort([gc.jacobian(gc.sin(tall) * tall, tall).node])),
        ]

    narrow, wide = sizes(2), sizes(3)
    assert max(*narrow, *wide) < 80
    assert narrow[0] < wide[0] and narrow[0] == narrow[1] and narrow[2] == wide[2]


def test_many_sweeps_are_one_loop() -> None:
    """A dense Jacobian of 100 rows: the graph does not grow with them."""
    x = gc.input("x", (100,))
    draw = np.random.default_rng(0)
    A, B = (draw.normal(size=(100, 100)) / 10 for _ in range(2))
    y = gc.const(B) @ gc.tanh(gc.const(A) @ x)
    J = gc.jacobian(y, x)
    assert len(toposort([J.node])) < 60
    at = draw.normal(size=100)
    for backend in ("reference", "llvm"):
        (found,) = run([x], [J], at, backend=backend)
        np.testing.assert_allclose(found, B @ np.diag(1 - np.tanh(A @ at) ** 2) @ A, rtol=1e-11, atol=1e-13)


def test_a_named_dense_jacobian() -> None:
    x = gc.input("x", ("N",))
    fn = gc.compile([x], gc.jacobian(x * gc.sum(x * x), x))
    for n in (0, 1, 5):
        a = np.arange(1.0, n + 1)
        np.testing.assert_allclose(fn(a), np.eye(n) * (a @ a) + 2 * np.outer(a, a), rtol=1e-13)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_hessian_of_a_sum_of_losses_has_a_block_for_each(backend: str) -> None:
    x, t = gc.input("x", ("N", 3)), gc.input("t", ("N",), "int64")
    loss = -gc.sum(gc.pick(gc.log_softmax(x), t))
    assert lanes([gc.grad(loss, x).node], x.node)[gc.grad(loss, x).node] == {0: 0}  # type: ignore[union-attr]
    at, labels = np.random.default_rng(0).normal(size=(4, 3)), np.array([0, 2, 1, 1])
    (H,) = run([x, t], [gc.hessian(loss, x)], at, labels, backend=backend)
    p = np.exp(at) / np.exp(at).sum(1, keepdims=True)
    expected = np.zeros((4, 3, 4, 3))
    for k in range(4):
        expected[k, :, k] = np.diag(p[k]) - np.outer(p[k], p[k])
    np.testing.assert_allclose(H, expected, rtol=1e-12, atol=1e-15)


def test_zeros_off_the_diagonal_are_zeros_whatever_stands_on_it() -> None:
    x = gc.input("x", (2,))
    (J,) = run([x], [gc.jacobian(gc.log(x), x)], [0.0, -1.0])
    assert J[0, 1] == J[1, 0] == 0 and np.isinf(J[0, 0])


# ---- orders -----------------------------------------------------------------------------------------------


def test_the_fifth_derivative_and_beyond() -> None:
    x = gc.input("x")
    derivatives = [gc.exp(2.0 * x) * gc.sin(x)]
    for _ in range(8):
        derivatives.append(gc.grad(derivatives[-1], x))  # type: ignore[arg-type]
    expected = [np.imag((2 + 1j) ** k * np.exp((2 + 1j) * 0.3)) for k in range(9)]
    np.testing.assert_allclose(run([x], derivatives, 0.3), expected, rtol=1e-12)


@pytest.mark.parametrize(
    "f",
    [
        lambda x, y, z: gc.exp(x * y) * gc.sin(z) / (1.0 + x * x),
        lambda x, y, z: gc.tanh(x * y + z) ** 3,
        lambda x, y, z: gc.log(1.0 + gc.exp(x - y)) * gc.sqrt(z + 2.0),
    ],
)
def test_mixed_partials_do_not_depend_on_their_order(f: Callable[..., Tensor]) -> None:
    """Schwarz: ∂³f/∂x∂y∂z in all six orders, by reverse and by forward mode."""
    import itertools

    x, y, z = gc.inputs("x y z")
    one = gc.const(1.0)
    reverse, forward = [], []
    for order in itertools.permutations([x, y, z]):
        a = b = f(x, y, z)
        for v in order:
            a = gc.grad(a, v)  # type: ignore[assignment]
            (b,) = gc.jvp(b, [v], one)
        reverse.append(a)
        forward.append(b)
    found = run([x, y, z], [*reverse, *forward], 0.3, -0.7, 1.1)
    np.testing.assert_allclose(found, found[0], rtol=1e-11)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_hessian_times_a_vector(backend: str) -> None:
    X, w, b = gc.input("X", ("N", 3)), gc.input("w", (3, 2)), gc.input("b", (2,))
    f = gc.sum(gc.logsumexp(gc.tanh(X @ w + b), axis=1))
    v, c = gc.input("v", (3, 2)), gc.input("c", (2,))
    product = gc.hvp(f, [w, b], [v, c])
    assert isinstance(product, list)
    alone = gc.hvp(f, w, v)
    assert isinstance(alone, Tensor)
    blocks = [gc.hessian(f, w), gc.jacobian(gc.grad(f, w), b), gc.hessian(f, b)]  # type: ignore[arg-type]
    draw = np.random.default_rng(0)
    at = [draw.normal(size=s) for s in ((5, 3), (3, 2), (2,), (3, 2), (2,))]
    by_w, by_b, only, ww, wb, bb = run([X, w, b, v, c], [*product, alone, *blocks], *at, backend=backend)
    dv, dc = at[3:]
    np.testing.assert_allclose(only, np.einsum("abcd,cd->ab", ww, dv), rtol=1e-10)
    np.testing.assert_allclose(by_w, only + np.einsum("abc,c->ab", wb, dc), rtol=1e-10)
    np.testing.assert_allclose(by_b, np.einsum("abc,ab->c", wb, dv) + bb @ dc, rtol=1e-10)


def test_hvp_costs_a_few_times_the_function() -> None:
    x, v = gc.input("x", (1000,)), gc.input("v", (1000,))
    f = gc.sum(gc.exp(x) * x[::-1])
    assert len(toposort([gc.hvp(f, x, v).node])) < 6 * len(toposort([f.node]))  # type: ignore[union-attr]


def test_hvp_of_a_linear_function_is_zero() -> None:
    x, v = gc.input("x", (2,)), gc.input("v", (2,))
    assert run([x, v], [gc.hvp(gc.sum(3.0 * x), x, v)], [1.0, 2.0], [1.0, 1.0])[0].tolist() == [0, 0]  # type: ignore[list-item]


# ---- by any node ------------------------------------------------------------------------------------------


def test_gradients_by_intermediate_tensors_and_their_ancestors_at_once() -> None:
    x = gc.input("x", (3,))
    a = gc.exp(x)
    b = a[1:] * x[:2]
    c = gc.sum(b)
    loss = c * c + gc.sum(a)
    found = gc.grad(loss, [x, a, b, c, loss, a])
    assert isinstance(found, list)
    at = np.array([0.5, -1.0, 0.25])
    dx, da, db, dc, dl, again = run([x], found, at)
    e = np.exp(at)
    s = (e[1:] * at[:2]).sum()
    assert dl == 1.0 and dc == pytest.approx(2 * s)
    np.testing.assert_allclose(db, [2 * s, 2 * s])
    np.testing.assert_allclose(da, 1 + 2 * s * np.array([0, at[0], at[1]]))
    np.testing.assert_allclose(dx, da * e + 2 * s * np.array([e[1], e[2], 0]))
    np.testing.assert_array_equal(da, again)


def test_a_gradient_by_a_slice_is_that_of_the_tensor_that_was_sliced() -> None:
    x = gc.input("x", (4,))
    part = x[1:3]
    loss = gc.sum(part * part) + gc.sum(x)
    (g,) = run([x], [gc.grad(loss, part)], np.arange(4.0))  # type: ignore[list-item]
    assert g.tolist() == [2.0, 4.0]  # the other path to the loss, through x itself, is not through the slice


@pytest.mark.parametrize("backend", BACKENDS)
def test_stop_gradient_in_every_mode(backend: str) -> None:
    x, v = gc.input("x", (3,)), gc.input("v", (3,))
    y = gc.stop_gradient(gc.exp(x)) * x
    (tangent,) = gc.jvp(y, [x], v)
    outputs = [y, gc.grad(gc.sum(y), x), tangent, gc.jacobian(y, x), gc.hvp(gc.sum(y * x), x, v)]
    at, along = np.array([0.1, -1.0, 2.0]), np.array([1.0, 2.0, 3.0])
    value, gradient, pushed, J, curved = run([x, v], outputs, at, along, backend=backend)  # type: ignore[list-item]
    e = np.exp(at)
    np.testing.assert_allclose(value, e * at, rtol=1e-14)
    for found, expected in ((gradient, e), (pushed, e * along), (J, np.diag(e)), (curved, 2 * e * along)):
        np.testing.assert_allclose(found, expected, rtol=1e-14)


def test_stop_gradient_says_that_nothing_comes_through() -> None:
    x = gc.input("x", (2,))
    assert run([x], [gc.grad(gc.sum(gc.stop_gradient(x * x)), x)], [1.0, 2.0])[0].tolist() == [0, 0]  # type: ignore[list-item]


def test_gradients_and_updates_in_one_program() -> None:
    """The gradient is taken before the update, and the output is too."""
    w = gc.param("w", (2,), "float64", [1.0, 2.0])
    loss = gc.sum(w * w * w)
    g = gc.grad(loss, w)
    assert isinstance(g, Tensor)
    curvature = gc.hvp(loss, w, g)
    step = gc.compile([], [loss, g, curvature], updates={w: w - 0.1 * g})  # type: ignore[list-item]
    value, gradient, bent = step()
    assert value == 9.0 and gradient.tolist() == [3.0, 12.0] and bent.tolist() == [18.0, 144.0]
    np.testing.assert_allclose(w.value, [0.7, 0.8])
    assert step()[0] == pytest.approx(0.7**3 + 0.8**3)


# ---- growth -----------------------------------------------------------------------------------------------


def test_the_gradient_of_a_chain_grows_with_its_length_and_no_faster() -> None:
    def nodes(length: int) -> int:
        x = gc.input("x")
        y = x
        for _ in range(length):
            y = gc.sin(y) * x
        return len(toposort([gc.grad(y, x).node]))  # type: ignore[union-attr]

    one, two, three = nodes(500), nodes(1000), nodes(1500)
    assert two - one == three - two < 8 * 500


def test_the_gradient_of_a_loop_does_not_grow_with_its_steps() -> None:
    def nodes(steps: int) -> int:
        w, xs = gc.input("w"), gc.input("xs", (steps,))
        last, _ = gc.scan(lambda c, x: (gc.tanh(w * c + x), None), 0.0, xs)
        return len(toposort([gc.grad(last, w).node]))  # type: ignore[union-attr]

    assert nodes(10) == nodes(1000)
