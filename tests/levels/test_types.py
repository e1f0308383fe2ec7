"""Types: dtypes and shapes, NumPy's promotion and broadcasting, with named dimensions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import graphc as gc
from graphc.errors import DTypeError, ShapeError
from graphc.ir.dims import Dim
from graphc.ir.types import DECLARED, DType, TensorType, broadcast_shapes, dtype_of, promote, shape_of

PAIRS = list(itertools.product(DECLARED, DECLARED))
SCALARS = (True, 3, 2.5)


def _name(value: object) -> str:
    return str(value)


@pytest.mark.parametrize(("a", "b"), PAIRS, ids=_name)
def test_promotion_is_numpys_table(a: DType, b: DType) -> None:
    assert promote(a, b).numpy == np.promote_types(a.numpy, b.numpy)
    x, y = np.ones(2, a.numpy), np.ones(2, b.numpy)
    s, t = gc.input("s", 2, a), gc.input("t", 2, b)
    assert gc.less(s, t).dtype is DType.BOOL
    assert gc.where(s.astype("bool"), s, t).dtype.numpy == np.where(x.astype(bool), x, y).dtype
    assert gc.divide(s, t).dtype.numpy == np.divide(x, y).dtype
    if (a, b) != (DType.BOOL, DType.BOOL):
        assert (s + t).dtype.numpy == (x + y).dtype
        assert (t * s).dtype.numpy == (y * x).dtype


@pytest.mark.parametrize("scalar", SCALARS, ids=_name)
@pytest.mark.parametrize("dtype", [d for d in DECLARED if d is not DType.BOOL], ids=_name)
def test_numbers_of_python_take_the_dtype_of_the_tensor(dtype: DType, scalar: float) -> None:
    x, t = np.ones(2, dtype.numpy), gc.input("t", 2, dtype)
    assert (t + scalar).dtype.numpy == (x + scalar).dtype
    assert (scalar * t).dtype.numpy == (scalar * x).dtype
    assert gc.maximum(t, scalar).dtype.numpy == np.maximum(x, scalar).dtype


# NumPy computes the sine of a truth value in half precision, which graphc does not have.
@pytest.mark.parametrize("dtype", [d for d in DECLARED if d is not DType.BOOL], ids=_name)
def test_functions_of_the_reals_take_numpys_dtype(dtype: DType) -> None:
    x, t = np.ones(2, dtype.numpy), gc.input("t", 2, dtype)
    assert gc.sin(t).dtype.numpy == np.sin(x).dtype
    assert gc.mean(t).dtype.numpy == np.mean(x).dtype
    assert gc.argmax(t).dtype.numpy == np.argmax(x).dtype


def test_a_dtype_has_many_names() -> None:
    for name in ("f32", "float32", np.float32, np.dtype("float32"), DType.F32):
        assert dtype_of(name) is DType.F32
    assert dtype_of(float) is DType.F64 and dtype_of(bool) is DType.BOOL
    assert [d.size for d in DECLARED] == [4, 8, 4, 8, 1]


@pytest.mark.parametrize(
    "name", ["float8", "float16", "bf16x2", "complex64", "uint8", "uint32", "U3", object, 7]
)
def test_an_unknown_dtype_is_refused(name: object) -> None:
    with pytest.raises(DTypeError, match="unknown dtype") as caught:
        dtype_of(name)
    assert "float32" in str(caught.value)


SIZES = st.lists(st.sampled_from((1, 2, 3)), max_size=4).map(tuple)


@given(st.lists(SIZES, min_size=1, max_size=3))
def test_broadcasting_is_numpys(shapes: list[tuple[int, ...]]) -> None:
    try:
        expected = np.broadcast_shapes(*shapes)
    except ValueError:
        with pytest.raises(ShapeError, match="do not broadcast"):
            broadcast_shapes(*shapes)
    else:
        assert broadcast_shapes(*shapes) == expected


def test_a_named_dimension_matches_itself_and_one() -> None:
    N = Dim.of("N")
    assert broadcast_shapes(("N", 1), (3,)) == (N, 3)
    assert broadcast_shapes(("N", 3), (1, 3)) == (N, 3)
    assert broadcast_shapes((1,), ("N",), ("N",)) == (N,)
    for other in ("M", 3, N + 1):
        with pytest.raises(ShapeError, match=r"the last dimensions are N and"):
            broadcast_shapes(("N",), (other,))


def test_the_error_names_the_axis_from_the_right() -> None:
    with pytest.raises(ShapeError) as caught:
        broadcast_shapes(("N", 4, 5), (3, 5))
    assert "shapes [N,4,5] and [3,5] do not broadcast" in str(caught.value)
    assert "the dimensions 2 from the right are 4 and 3, and neither is 1" in str(caught.value)


@pytest.mark.parametrize("shape", [(-1,), (2.5,), ("2N",), ("",), ("N M",), (True,), (None,)])
def test_what_is_no_shape_is_refused(shape: tuple[object, ...]) -> None:
    with pytest.raises(ShapeError, match="dimension"):
        shape_of(shape)  # type: ignore[arg-type]


def test_a_type_says_what_it_is() -> None:
    t = TensorType.of("float32", ("N", 3, "M", "N"))
    assert str(t) == "f32[N,3,M,N]" and t.rank == 4 and t.dims == ("M", "N")
    assert str(t.elements) == "3*M*N*N"
    assert str(TensorType.of("bool")) == "bool[]" and TensorType.of("bool").elements == 1
    assert TensorType.of("i64", 7) == TensorType(DType.I64, (7,))
    assert shape_of(np.zeros((2, 0)).shape) == (2, 0)


def test_equality_of_tensors_is_element_by_element() -> None:
    """Not Python's identity, which would make `gc.where(x == 0, ...)` a constant."""
    x, y = gc.input("x", (3,)), gc.input("y", (3,))
    chosen = gc.where(x == 0, 1.0, gc.where(y != x, 2.0, 3.0))
    assert gc.compile([x, y], chosen)([0.0, 1.0, 2.0], [0.0, 1.0, 5.0]).tolist() == [1.0, 3.0, 2.0]
    assert {x: 1, y: 2}[x] == 1 and {x: 1}.get(y) is None, "a tensor is a key as the object that it is"
    with pytest.raises(gc.GraphcError, match="no truth value"):
        bool(x == y)
