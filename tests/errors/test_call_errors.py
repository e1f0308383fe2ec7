"""What `gc.compile` and the functions that it returns refuse: the whole text, at the user's line."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import graphc as gc
from graphc.runtime import backends

SETUP = """
x, y = gc.input("x", ("N", 4), "float32"), gc.input("y", ("N",), "float32")
w = gc.param("w", (4,)); f = x @ w + y
fn = gc.compile([x, y], f, backend="reference"); a = np.ones((2, 4), "float32"); b = np.ones(2, "float32")
"""

TEXTS = {
    "missing input of compile": """
ArgumentError: the outputs need the input `y`, which is not among the inputs
  model.py:4   g = gc.compile([x], f)
                   ^^^^^^^^^^^^^^^^^^
  fix: add it: gc.compile([..., y], ...)
""",
    "input given twice": """
GraphError: the graph main declares an input twice
  model.py:4   g = gc.compile([x, y, x], f)
                   ^^^^^^^^^^^^^^^^^^^^^^^^
""",
    "two inputs of one name": """
ArgumentError: two inputs are called `x`
  model.py:4   g = gc.compile([x, gc.input("x")], f)
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: arguments can be given by name
  fix: name one of them otherwise: gc.input("x2", ...)
""",
    "no input": """
ArgumentError: Tensor(w: param, f32[4]) is no input
  model.py:4   g = gc.compile([x, y, w], f)
                   ^^^^^^^^^^^^^^^^^^^^^^^^
  why: only tensors made by gc.input can be arguments of a compiled function
""",
    "no list of inputs": """
ArgumentError: inputs must be a list of tensors, not Tensor(x: input, f32[N,4])
  model.py:4   g = gc.compile(x, f)
                   ^^^^^^^^^^^^^^^^
""",
    "no tensor among the outputs": """
ArgumentError: outputs must be tensors, not float
  model.py:4   g = gc.compile([x, y], [f, 2.0])
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
""",
    "size of an unknown dimension": """
ArgumentError: no input has a dimension called 'M'
  model.py:4   g = gc.compile([x, y], f, dims={"M": 3})
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: the named dimensions are N
""",
    "size where there are no names": """
ArgumentError: no input has a dimension called 'N'
  model.py:4   g = gc.compile([gc.input("s")], [w], dims={"N": 3})
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: all dimensions are numbers
""",
    "size that is no number": """
ArgumentError: the size of N must be a number, 0 or more, not -1
  model.py:4   g = gc.compile([x, y], f, dims={"N": -1})
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
""",
    "sizes without names": """
ArgumentError: dims must give the size of each dimension by its name, not 64
  model.py:4   g = gc.compile([x, y], f, dims=64)
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  fix: write it like dims={"N": 64}
""",
    "size that is too small": """
ShapeError: an axis is too short for slice where N = 2
  model.py:4   g = gc.compile([x, y], y[:3], dims={"N": 2})
                                      ^^^^^
  why: it needs the places 0 to 2 of axis 0, which has the size 2
  fix: call the function with a larger N, or use bounds that fit every size
""",
    "update of an input": """
ArgumentError: only parameters can be updated, and Tensor(y: input, f32[N]) is none
  model.py:4   g = gc.compile([x, y], f, updates={y: f})
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  fix: make it by gc.param
""",
    "update of another type": """
ArgumentError: `w` is f32[4], and cannot be updated by f32[N]
  model.py:4   g = gc.compile([x, y], f, updates={w: f})
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
""",
    "unknown pass": """
ArgumentError: there is no pass or rule 'fuze' to disable
  model.py:4   g = gc.compile([x, y], f, disable=["fuze"])
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: the passes are merge, fold, stability, algebra, control, dead, fuse, layout, recompute
  fix: name a pass, or a rule of those that `graphc rules` lists
""",
    "unknown back end": """
ArgumentError: unknown back end 'metal'
  model.py:4   g = gc.compile([x, y], f, backend="metal")
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  fix: use one of llvm, cuda, reference, interpreter
""",
    "unknown precision": """
ArgumentError: unknown precision 'half'
  model.py:4   g = gc.compile([x, y], f, precision="half")
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: products are computed in the precision of their operands, or with operands in bfloat16
  fix: use "bf16", or "full" or None for the former
""",
    "no threads": """
ArgumentError: threads must be 1 or more, or None for all cores, not 0
  model.py:4   g = gc.compile([x, y], f, threads=0)
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
""",
    "missing argument": """
ArgumentError: main misses the argument `y`
  model.py:4   r = 2 * fn(a)
                       ^^^^^
  fix: call it with (x, y)
""",
    "surplus argument": """
ArgumentError: main takes 2 arguments (x, y), and got 3 of them
  model.py:4   r = fn(a, b, 3)
                   ^^^^^^^^^^^
""",
    "surplus argument by name": """
ArgumentError: main takes 2 arguments (x, y), and got `z`
  model.py:4   r = fn(a, y=b, z=1)
                   ^^^^^^^^^^^^^^^
""",
    "wrong shape": """
ArgumentError: `x` is f32[N,4], and the argument has the shape [2,5]
  model.py:4   r = fn(np.ones((2, 5), "float32"), b)
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: axis 1 is 5, not 4
""",
    "wrong number of axes": """
ArgumentError: `y` is f32[N], and the argument has the shape [2,1]
  model.py:4   r = fn(a, b[:, None])
                   ^^^^^^^^^^^^^^^^^
  why: it has 2 axes, not 1
""",
    "named dimensions that differ": """
ArgumentError: `y` is f32[N], and the argument has the shape [3]
  model.py:4   r = fn(a, np.ones(3, "float32"))
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: axis 0 is 3, not N = 2
""",
    "wrong dtype": """
ArgumentError: `x` is f32[N,4], and the argument is of dtype float64
  model.py:4   r = fn(np.ones((2, 4)), b)
                   ^^^^^^^^^^^^^^^^^^^^^^
  fix: pass x.astype("float32")
""",
    "no numbers": """
ArgumentError: `y` is f32[N], and the argument is no array of real numbers
  model.py:4   r = fn(a, ["one", "two"])
                   ^^^^^^^^^^^^^^^^^^^^^
  why: it is a list
""",
    "nothing": """
ArgumentError: `y` is f32[N], and the argument is no array of real numbers
  model.py:4   r = fn(a, None)
                   ^^^^^^^^^^^
  why: it is None
""",
    "tensor": """
ArgumentError: `x` is f32[N,4], and the argument is a tensor of the graph
  model.py:4   r = fn(x, y)
                   ^^^^^^^^
  why: a compiled function computes numbers from numbers
  fix: pass an array
""",
    "value of a parameter": """
ArgumentError: the parameter w has the shape [4], the new value [3]
  model.py:4   w.value = np.ones(3)
               ^^^^^^^
""",
    "back end that is not built": """
BackendError: cannot build main for CUDA
  model.py:4   g = gc.compile([x, y], f, backend="cuda")
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: the CUDA back end is not built yet; only its name is reserved
  fix: compile for the CPU: backend="llvm"
""",
}


@pytest.mark.parametrize("name", TEXTS)
def test_text(name: str, error_of: Callable[..., str]) -> None:
    expected = TEXTS[name].strip("\n")
    line = expected.splitlines()[1].partition("model.py:4   ")[2]
    assert error_of(f"{SETUP.strip()}\n{line}") == expected


def test_named_dimensions_that_no_argument_tells(error_of: Callable[..., str]) -> None:
    program = """
    n = gc.input("b", ("M",)).shape[0]
    fn = gc.compile([gc.input("a", (2 * n,))], gc.const(1.0))
    """
    assert error_of(program) == (
        "ShapeError: the size of M cannot be told from the arguments\n"
        '  model.py:2   fn = gc.compile([gc.input("a", (2 * n,))], gc.const(1.0))\n'
        "                    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n"
        "  why: it appears only inside other dimensions: f64[2*M]\n"
        "  fix: add an input with an axis of the size M alone"
    )


def test_every_back_end_refuses_the_same_arguments(backend: str) -> None:
    x = gc.input("x", ("N", 4), "float32")
    fn = gc.compile([x], 2.0 * x, backend=backend)
    for wrong in (np.ones((2, 5), "float32"), np.ones((2, 4)), np.ones(4, "float32"), "x"):
        with pytest.raises(gc.ArgumentError):
            fn(wrong)
    np.testing.assert_array_equal(fn([[1, 2, 3, 4]]), [[2, 4, 6, 8]])  # a list takes the dtype that is wanted


def test_a_back_end_that_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, error_of: Callable[..., str]
) -> None:
    monkeypatch.setattr(backends, "entry_points", lambda group: [])
    backends.load.cache_clear()
    try:
        assert error_of('x = gc.input("x"); fn = gc.compile([x], x * x)') == (
            "BackendError: no back end is called 'llvm'\n"
            '  model.py:1   x = gc.input("x"); fn = gc.compile([x], x * x)\n'
            "                                       ^^^^^^^^^^^^^^^^^^^^^^\n"
            "  why: these are installed: reference, interpreter\n"
            "  fix: pip install graphc"
        )
    finally:
        backends.load.cache_clear()


def test_a_back_end_that_does_not_load(monkeypatch: pytest.MonkeyPatch, error_of: Callable[..., str]) -> None:
    class Broken:
        name = "llvm"

        def load(self) -> None:
            raise ImportError("No module named 'llvmlite'")

    monkeypatch.setattr(backends, "entry_points", lambda group: [Broken()])
    backends.load.cache_clear()
    try:
        text = error_of('x = gc.input("x"); fn = gc.compile([x], x * x)')
        assert "the back end 'llvm' does not load" in text and "why: No module named 'llvmlite'" in text
    finally:
        backends.load.cache_clear()


def test_an_operation_that_a_back_end_lacks(
    monkeypatch: pytest.MonkeyPatch, error_of: Callable[..., str]
) -> None:
    from graphc_llvm import primitives

    monkeypatch.delitem(primitives.ROWS, "erf")
    assert error_of('x = gc.input("x", ("N",))\nfn = gc.compile([x], 3 * gc.erf(x))') == (
        "BackendError: the LLVM back end has no primitive 'erf'\n"
        "  model.py:2   fn = gc.compile([x], 3 * gc.erf(x))\n"
        "                    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n"
        "  fix: update graphc_llvm"
    )


def test_the_traceback_ends_in_the_users_file() -> None:
    x = gc.input("x", ("N", 4), "float32")
    fn = gc.compile([x], x, backend="reference")
    with pytest.raises(gc.ArgumentError) as caught:
        fn(np.ones((2, 5), "float32"))
    frames = [entry.path.name for entry in caught.traceback]
    assert frames[0] == "test_call_errors.py" and len(frames) <= 2
