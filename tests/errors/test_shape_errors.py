"""Shapes that do not fit and dtypes that do not exist: the whole text, with the line and the caret."""

from __future__ import annotations

from collections.abc import Callable

import pytest

SETUP = """
h = gc.input("h", ("N", 4), "float32"); scale = gc.input("scale", (3,), "float32")
w = gc.input("w", (3, 4)); v = gc.input("v", (5,))
x = gc.input("x", ("N", 4, 8, 8)); k = gc.input("k", (2, 3, 3, 3))
"""

TEXTS = {
    "multiply": """
ShapeError: cannot multiply f32[N,4] by f32[3]
  model.py:4   y = h * scale
                   ^^^^^^^^^
  why: the last dimensions are 4 and 3, and neither is 1
  fix: give `scale` the shape [4], or reshape it
""",
    "add inside a larger expression": """
ShapeError: cannot add f32[N,4] and f32[3]
  model.py:4   y = 2.0 * (gc.exp(h) + scale) / 3.0
                          ^^^^^^^^^^^^^^^^^
  why: the last dimensions are 4 and 3, and neither is 1
  fix: give `scale` the shape [4], or reshape it
""",
    "operands as written, not as promoted": """
ShapeError: cannot subtract f64[5] from f32[N,4]
  model.py:4   y = h - v
                   ^^^^^
  why: the last dimensions are 4 and 5, and neither is 1
  fix: give `v` the shape [4], or reshape it
""",
    "two named dimensions": """
ShapeError: cannot divide f32[N,4] by f32[M,4]
  model.py:4   y = h / gc.input("other", ("M", 4), "float32")
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: the dimensions 2 from the right are N and M, and neither is 1
  fix: give `h` the shape [M,4], or reshape it
""",
    "where": """
ShapeError: cannot apply where to bool[N,4] and f32[N,4] and f32[3]
  model.py:4   y = gc.where(h > 0, h, scale)
                   ^^^^^^^^^^^^^^^^^^^^^^^^^
  why: the last dimensions are 4 and 3, and neither is 1
  fix: give `scale` the shape [4], or reshape it
""",
    "matmul that a transpose mends": """
ShapeError: cannot multiply f32[N,4] by f64[3,4] as matrices
  model.py:4   y = h @ w
                   ^^^^^
  why: the inner dimensions are 4 and 3
  fix: give `w` 4 rows, or transpose it: w.T
""",
    "matmul that no transpose mends": """
ShapeError: cannot multiply f64[3,4] by f64[5] as matrices
  model.py:4   y = gc.tanh(w @ v)
                           ^^^^^
  why: the inner dimensions are 4 and 5
  fix: give `v` 4 elements
""",
    "matmul of a scalar": """
ShapeError: cannot multiply f64[3,4] by f64[] as matrices
  model.py:4   y = w @ 2.0
                   ^^^^^^^
  fix: use * for scalars
""",
    "matmul of stacks": """
ShapeError: cannot multiply f64[2,3,4] by f64[5,4,2] as matrices
  model.py:4   y = gc.input("a", (2, 3, 4)) @ gc.input("b", (5, 4, 2))
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: stacks of [2] and [5] matrices do not broadcast
""",
    "conv2d": """
ShapeError: cannot convolve f64[N,4,8,8] with f64[2,3,3,3]
  model.py:4   y = gc.relu(gc.conv2d(x, k, padding=1))
                           ^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: x has 4 channels, and w takes 3
  fix: give w the shape [2,4,3,3]
""",
    "conv2d in groups": """
ShapeError: cannot convolve f64[N,4,8,8] with f64[2,3,3,3] in 2 groups
  model.py:4   y = gc.conv2d(x, k, groups=2)
                   ^^^^^^^^^^^^^^^^^^^^^^^^^
  why: x has 4 channels, w takes 3 in each group and gives 2
  fix: give w the shape [2,2,3,3]
""",
    "conv2d in groups that do not divide": """
ShapeError: cannot convolve f64[N,4,8,8] with f64[2,3,3,3] in 3 groups
  model.py:4   y = gc.conv2d(x, k, groups=3)
                   ^^^^^^^^^^^^^^^^^^^^^^^^^
  why: x has 4 channels, w takes 3 in each group and gives 2
  fix: take groups that divide 4 and 2
""",
    "conv2d of a matrix": """
ShapeError: cannot convolve f32[N,4] with f64[2,3,3,3]
  model.py:4   y = gc.conv2d(h, k)
                   ^^^^^^^^^^^^^^^
  why: they must be [N,channels,height,width] and [filters,channels,height,width]
""",
    "conv2d with a window that does not fit": """
ShapeError: a window of 9 does not fit into 8
  model.py:4   y = gc.conv2d(x, gc.input("k", (2, 4, 9, 9)))
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: with dilation 1 it spans 9
  fix: pad the input or take a smaller kernel
""",
    "pooling with nothing but padding": """
ShapeError: cannot pad by 2 for windows of 2×2
  model.py:4   y = gc.max_pool2d(x, 2, padding=2)
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: a window could lie in the padding altogether, where there is nothing to take
  fix: pad by less than the window
""",
    "reshape": """
ShapeError: cannot reshape f64[3,4] to [5,3]
  model.py:4   y = gc.reshape(w, (5, 3))
                   ^^^^^^^^^^^^^^^^^^^^^
  why: it has 12 elements, the new shape has 15
""",
    "reshape to what is left": """
ShapeError: cannot reshape f64[3,4]
  model.py:4   y = w.reshape(5, -1) + 1.0
                   ^^^^^^^^^^^^^^^^
  why: 5 does not divide 12
""",
    "reshape of a named dimension": """
ShapeError: cannot reshape f32[N,4] to [N,5]
  model.py:4   y = gc.reshape(h, ("N", 5))
                   ^^^^^^^^^^^^^^^^^^^^^^^
  why: it has 4*N elements, the new shape has 5*N
""",
    "axis": """
ShapeError: axis 2 is out of bounds for `h`
  model.py:4   y = h - gc.sum(h, axis=2)
                       ^^^^^^^^^^^^^^^^^
  why: it has 2 axes
""",
    "concatenate": """
ShapeError: cannot concatenate f64[3,4] and f64[2,5] along axis 0
  model.py:4   y = gc.concatenate([w, gc.input("b", (2, 5))])
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: operands 0 and 1 differ outside that axis
""",
    "index": """
ShapeError: index 3 is out of bounds for an axis of size 3
  model.py:4   y = w[3] * 2.0
                   ^^^^
""",
    "unknown dtype": """
DTypeError: unknown dtype 'float8'
  model.py:4   y = gc.input("q", (3,), dtype="float8")
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: graphc computes in float32, float64, int32, int64 and bool
  fix: name one of them, for instance dtype="float32"
""",
    "unknown dtype of a cast": """
DTypeError: unknown dtype 'complex64'
  model.py:4   y = h + w.astype("complex64")
                       ^^^^^^^^^^^^^^^^^^^^^
  why: graphc computes in float32, float64, int32, int64 and bool
  fix: name one of them, for instance dtype="float32"
""",
    "dtype that an operation does not take": """
DTypeError: bitwise_or does not take f32 and f32
  model.py:4   y = gc.bitwise_or(h, h)
                   ^^^^^^^^^^^^^^^^^^^
  why: it takes integers
  fix: cast the operands: x.astype(...)
""",
    "number out of range": """
DTypeError: 3000000000 does not fit into i32
  model.py:4   y = h.astype("int32") + 3_000_000_000
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: i32 holds -2147483648 to 2147483647, and a Python number takes the dtype of the tensor
  fix: cast the tensor first: x.astype("int64")
""",
    "integers to a negative power": """
ArgumentError: cannot raise i64 to the power -1
  model.py:4   y = h.astype("int64")**-1
                   ^^^^^^^^^^^^^^^^^^^^^
  why: the result would be no integer
  fix: cast it first: x.astype("float64")**-1
""",
    "operands of an op": """
ArgumentError: elu takes 2 operands (x, alpha): got an unexpected keyword argument 'beta'
  model.py:4   y = gc.elu(h, beta=2)
                   ^^^^^^^^^^^^^^^^^
""",
    "labels": """
DTypeError: the labels of one_hot are f32[3]
  model.py:4   y = gc.one_hot(scale, 10)
                   ^^^^^^^^^^^^^^^^^^^^^
  fix: cast them: labels.astype("int64")
""",
    "negative dimension": """
ShapeError: a dimension cannot be -1
  model.py:4   y = gc.input("q", (3, -1))
                   ^^^^^^^^^^^^^^^^^^^^^^
  fix: use a size of 0 or more, or a name such as "N"
""",
    "parameter with an array of another shape": """
ShapeError: the parameter p of shape [3,4] cannot start as an array of shape [4]
  model.py:4   y = gc.param("p", (3, 4), init=np.zeros(4))
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  fix: give both the same shape, or leave `shape` out
""",
    "parameter of a named dimension": """
ShapeError: the parameter p cannot have the shape [N]
  model.py:4   y = gc.param("p", ("N",))
                   ^^^^^^^^^^^^^^^^^^^^^
  why: N has no size before the function is called
  fix: give every dimension of a parameter a number
""",
    "no tensor": """
ArgumentError: None is neither a tensor nor an array of numbers
  model.py:4   y = h + None
                   ^^^^^^^^
""",
    "truth value": """
GraphcError: a tensor has no truth value while the graph is built
  model.py:4   y = 1 if h > 0 else 2
                        ^^^^^
  why: its value is known only when the compiled function runs
  fix: choose inside the graph: gc.where(condition, a, b)
""",
}


@pytest.mark.parametrize("name", TEXTS)
def test_text(name: str, error_of: Callable[..., str]) -> None:
    expected = TEXTS[name].strip("\n")
    line = expected.splitlines()[1].partition("model.py:4   ")[2]
    assert error_of(f"{SETUP.strip()}\n{line}") == expected


def test_in_a_function_the_innermost_line_of_the_user_is_named(error_of: Callable[..., str]) -> None:
    program = """
    def layer(h, w):
        z = h @ w
        return gc.relu(z)

    y = layer(gc.input("h", ("N", 4)), gc.input("w", (3, 5)))
    """
    assert error_of(program) == (
        "ShapeError: cannot multiply f64[N,4] by f64[3,5] as matrices\n"
        "  model.py:2   z = h @ w\n"
        "                   ^^^^^\n"
        "  why: the inner dimensions are 4 and 3\n"
        "  fix: give `w` 4 rows"
    )


def test_columns_count_characters_where_the_line_is_not_ascii(error_of: Callable[..., str]) -> None:
    program = 'größe = gc.input("größe", (3,)); y = größe * gc.input("b", (4,))'
    lines = error_of(program).splitlines()
    expression = 'größe * gc.input("b", (4,))'
    assert lines[2].index("^") == lines[1].index(expression)
    assert lines[2].count("^") == len(expression)
