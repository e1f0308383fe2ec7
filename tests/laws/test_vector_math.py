"""The vector functions: stated bounds, special values, and the same bits at every number of lanes.

Two oracles: arithmetic of 50 digits, for hundreds of arguments, and the next wider type of NumPy, for a hundred
thousand, where NumPy has the function. f32 is held against our own f64 functions, which the first two vouch for.
"""

from __future__ import annotations

import itertools
import math
import re
from functools import cache
from typing import Any

import llvmlite.binding as llvm
import mpmath
import numpy as np
import pytest

from graphc_llvm import vector_math
from graphc_llvm.vector_math import BOUNDS, PRIMS, arity, definition, function_name, requires
from tests.benchmarks.vector_functions import (
    ORDINARY,
    Comparison,
    VectorFunction,
    exactly,
    loop_module,
    ulp_errors,
    ulps,
)
from tests.benchmarks.vector_math_sweep import (
    COMPOSED,
    ROW_BOUNDS,
    edge_values,
    exact_value,
    random_pairs,
    sweep,
)

Array = np.ndarray[Any, np.dtype[Any]]

DTYPES = ("f32", "f64")
LANES = (1, 4, 8, 16)
CASES = list(itertools.product(PRIMS, DTYPES))
UNARY = [prim for prim in PRIMS if arity(prim) == 1]
NUMPY_NAMES = {
    **{name: name for name in ("exp", "expm1", "log", "log1p", "sin", "cos", "tan", "sinh", "cosh", "tanh")},
    **{f"a{name}": f"arc{name}" for name in ("sin", "cos", "tan", "tan2", "sinh", "cosh", "tanh")},
    "pow": "power",
}
CALLING = ("sin", "cos", "tan", "lgamma", "digamma", "polygamma")  # for rare arguments
NUMPY: dict[str, Any] = {"f32": np.float32, "f64": np.float64}
FORMAT = {"f32": (23, -126), "f64": (52, -1022)}
WIDER: dict[str, Any] = {"f32": np.float64, "f64": np.longdouble}

# Arguments at which a method changes, a result leaves the format, or a multiple of ln 2 or π/2 is near.
TURNS = [
    *(0.5625, 1.0, 2.0 / 3, 4.0 / 3, math.sqrt(0.5), math.sqrt(2), 4.0, 6.0, 9.01, 9.25, 19.06, 19.5),
    *(17.33, 18.0, 36.7, 40.0, 87.34, 88.03, 88.37, 88.7228, 89.0, 103.28, 103.97, 104.0),
    *(708.4, 709.09, 709.7827, 710.0, 744.44, 745.13, 746.0, 2.0**15, 2.0**28, 2.0**-24, 2.0**-54),
    *(k * math.log(2) / 2 for k in range(1, 64)),
    *(k * math.pi / 4 for k in (*range(1, 64), 1001, 20860, 20862)),
]


@cache
def compiled(prim: str, dtype: str, lanes: int) -> VectorFunction:
    return VectorFunction(prim, dtype, lanes)


@cache
def samples(dtype: str) -> Array:
    """Every exponent, both signs; where the functions vary, densely; the turns and their neighbours."""
    real, rng = NUMPY[dtype], np.random.default_rng(20)
    bits = 32 if dtype == "f32" else 64
    integers = rng.integers(0, 2**bits - 1, 60_000, dtype=np.uint64).astype(f"u{bits // 8}")
    turns = np.array(TURNS).astype(real)
    near = turns[:, None] * (1 + np.arange(-20, 21) * np.finfo(real).eps).astype(real)
    powers = np.ldexp(real(1), np.arange(FORMAT[dtype][1] - FORMAT[dtype][0], -FORMAT[dtype][1] + 2))
    below, above = np.nextafter(powers, real(0)), np.nextafter(powers, real(9))
    positive = np.concatenate([near.ravel(), powers, below, above])
    special = np.array([0.0, np.inf, np.nan, np.finfo(real).max, np.finfo(real).tiny], real)
    uniform = [rng.uniform(-w, w, 15_000).astype(real) for w in (1, 4, 30, 800)]
    every = np.concatenate([integers.view(real), positive, -positive, special, -special, *uniform])
    return every[: every.size // 16 * 16].copy()


def erf(x: Array) -> Array:
    """erf = 2/√π · e^(-x²) · Σ 2^n x^(2n+1) / (2n+1)!!, all terms of one sign (Abramowitz & Stegun 7.1.6)."""
    a = np.minimum(np.abs(x), x.dtype.type(7))
    term = total = a
    for n in range(1, 220):
        term = term * (2 * a * a / (2 * n + 1))
        total = total + term
    value = total * np.exp(-a * a) * (2 / np.sqrt(4 * np.arctan(x.dtype.type(1))))
    return np.asarray(np.copysign(np.where(np.isnan(x), x, np.minimum(value, 1)), x))


def reference(prim: str, dtype: str, *inputs: Array) -> Array:
    """The function in the next wider type, for inputs of `dtype`."""
    function: Any = erf if prim == "erf" else getattr(np, NUMPY_NAMES[prim])
    with np.errstate(all="ignore"):
        return np.asarray(function(*(x.astype(WIDER[dtype]) for x in inputs)))


def arguments(prim: str, dtype: str) -> tuple[Array, ...]:
    """Of a function of two operands: pairs from all patterns and from ordinary ones."""
    if arity(prim) == 1:
        return (samples(dtype),)
    rng = np.random.default_rng(5)
    kinds = [random_pairs(prim, rng, 1 << 15, NUMPY[dtype], kind) for kind in range(3)]
    return tuple(np.concatenate(operands) for operands in zip(*kinds, strict=True))


def same(a: Array, b: Array) -> bool:
    """Equal bit for bit, any NaN being as good as another."""
    return bool(np.all((a.view(f"u{a.itemsize}") == b.view(f"u{b.itemsize}")) | (np.isnan(a) & np.isnan(b))))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("prim", [*NUMPY_NAMES, "erf"])
def test_error_is_within_the_bound(prim: str, dtype: str) -> None:
    if np.finfo(WIDER[dtype]).nmant < FORMAT[dtype][0] + 10:
        pytest.skip("long double is no wider than double here")
    inputs = arguments(prim, dtype)
    result, exact = compiled(prim, dtype, 16)(*inputs), reference(prim, dtype, *inputs)
    error = ulp_errors(result, exact, *FORMAT[dtype])
    worst = int(np.argmax(error))
    assert error[worst] <= BOUNDS[prim, dtype], (error[worst], [x[worst].hex() for x in inputs])
    signs = (np.signbit(result) == np.signbit(exact)) | np.isnan(exact)
    assert np.all(signs), [x[~signs][:3] for x in inputs]


@pytest.mark.parametrize("prim", PRIMS)
def test_f32_is_within_the_bound_of_f64(prim: str) -> None:
    inputs = arguments(prim, "f32")
    worst, _, place, _ = Comparison(prim)(*inputs)
    assert worst <= BOUNDS[prim, "f32"], (worst, [float(x[place]).hex() for x in inputs])


@pytest.mark.parametrize("name", COMPOSED)
def test_a_composed_row_is_within_its_bound(name: str) -> None:
    x = samples("f32")
    worst, _, place, _ = Comparison(name)(x)
    assert worst <= ROW_BOUNDS[name], (worst, float(x[place]).hex())


@pytest.mark.parametrize(("prim", "dtype"), CASES)
def test_fifty_digits_agree(prim: str, dtype: str) -> None:
    """f64 of lgamma and digamma below 0 has another test: there is no bound in ulp."""
    every, rng = arguments(prim, dtype), np.random.default_rng(3)
    operands = [x[::401] for x in every]
    if arity(prim) == 1:
        operands = [np.concatenate([*operands, rng.uniform(-6, 6, 256).astype(NUMPY[dtype])])]
    keep = np.all([np.isfinite(x) & (np.abs(x) < 1e30) for x in operands], axis=0)
    if prim in ("lgamma", "digamma") and dtype == "f64":
        keep &= operands[0] > 0
    operands = [x[keep][: np.count_nonzero(keep) // 16 * 16].copy() for x in operands]
    results = compiled(prim, dtype, 16)(*operands)
    for result, *values in zip(results, *operands, strict=True):
        error = ulps(float(result), exact_value(prim, *map(float, values)), dtype)
        assert error <= BOUNDS[prim, dtype], (error, values, result)


@pytest.mark.parametrize("prim", ["lgamma", "digamma"])
def test_near_a_root_below_zero(prim: str) -> None:
    """In f32 the bound holds next to each root; in f64 the error is small beside the terms that cancel."""
    function = exactly(prim)
    with mpmath.workdps(50):
        grid = [-n - mpmath.mpf(k) / 64 for n in range(9) for k in range(1, 64)]
        values = [function(x) for x in grid]
        crossings = [
            (a, b)
            for a, b, u, v in zip(grid, grid[1:], values, values[1:], strict=False)
            if u * v < 0 and int(a) == int(b)
        ]
        roots = [mpmath.findroot(function, pair, solver="anderson", tol=1e-50) for pair in crossings]
        assert len(roots) == {"lgamma": 5, "digamma": 9}[prim]
        near = np.array([float(root) for root in roots]).astype(np.float32)
        x = near + np.spacing(near) * np.arange(-8, 8, dtype=np.float32)[:, None]
        x = np.ascontiguousarray(x.ravel())
        single, double = compiled(prim, "f32", 16)(x), compiled(prim, "f64", 16)(x.astype(np.float64))
        for at, narrow, wide in zip(x, single, double, strict=True):
            exact = function(mpmath.mpf(float(at)))
            assert ulps(float(narrow), exact, "f32") <= BOUNDS[prim, "f32"], at
            assert (
                abs(mpmath.mpf(float(wide)) - exact)
                <= 4 * np.spacing(float(abs(function(1 - float(at))))) + 1e-15
            )


@pytest.mark.parametrize(("prim", "dtype"), CASES)
def test_every_number_of_lanes_gives_the_same_bits(prim: str, dtype: str) -> None:
    inputs = tuple(x[: x.size // 64 * 16] for x in arguments(prim, dtype))
    expected = compiled(prim, dtype, 16)(*inputs)
    for lanes in LANES[:-1]:
        assert same(compiled(prim, dtype, lanes)(*inputs), expected), lanes


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("prim", "pairs"),
    [
        ("exp", "0 1, -0 1, inf inf, -inf 0, 1e4 inf, -1e4 0"),
        ("log", "1 0, 0 -inf, -0 -inf, inf inf, -1 nan, -inf nan, -1e-30 nan"),
        ("tanh", "0 0, -0 -0, inf 1, -inf -1, 30 1, -30 -1"),
        ("erf", "0 0, -0 -0, inf 1, -inf -1, 6.5 1, -6.5 -1"),
        ("expm1", "0 0, -0 -0, inf inf, -inf -1, 1e4 inf, -1e4 -1"),
        ("log1p", "0 0, -0 -0, inf inf, -1 -inf, -1.5 nan, -inf nan"),
        ("sin", "0 0, -0 -0, inf nan, -inf nan"),
        ("cos", "0 1, -0 1, inf nan, -inf nan"),
        ("tan", "0 0, -0 -0, inf nan, -inf nan"),
        ("asin", "0 0, -0 -0, 1.5 nan, -inf nan, inf nan"),
        ("acos", "1 0, 1.5 nan, -1.5 nan, inf nan, -inf nan"),
        ("atan", "0 0, -0 -0"),
        ("sinh", "0 0, -0 -0, inf inf, -inf -inf, 1e4 inf, -1e4 -inf"),
        ("cosh", "0 1, -0 1, inf inf, -inf inf, 1e4 inf, -1e4 inf"),
        ("asinh", "0 0, -0 -0, inf inf, -inf -inf"),
        ("acosh", "1 0, inf inf, 0.5 nan, -1 nan, -5 nan, -inf nan"),
        ("atanh", "0 0, -0 -0, 1 inf, -1 -inf, 1.5 nan, -1.5 nan, inf nan, -inf nan"),
        ("sigmoid", "0 0.5, -0 0.5, inf 1, -inf 0, 1e4 1, -1e4 0"),
        ("erfc", "0 1, -0 1, inf 0, -inf 2, 30 0, -30 2"),
        ("normal_cdf", "0 0.5, -0 0.5, inf 1, -inf 0, 50 1, -50 0"),
        ("lgamma", "1 0, 2 0, 0 inf, -0 inf, -1 inf, -7 inf, inf inf, -inf inf, -1e30 inf, -1.7e308 inf"),
        ("digamma", "0 -inf, -0 inf, -1 nan, -7 nan, inf inf, -inf nan, -1e30 nan"),
    ],
)
def test_special_values(prim: str, pairs: str, dtype: str) -> None:
    with np.errstate(over="ignore"):
        table = np.array([pair.split() for pair in pairs.split(",")], np.float64).astype(NUMPY[dtype])
    x, expected = table.T.copy()
    assert same(compiled(prim, dtype, 1)(x), expected)
    assert np.all(np.isnan(compiled(prim, dtype, 1)(np.full_like(x, math.nan))))


@pytest.mark.parametrize("dtype", DTYPES)
def test_special_values_of_pow_are_those_of_the_c_library(dtype: str) -> None:
    """C99, F.9.4.4: NumPy's power, for every pair of values of which one is special."""
    smallest, largest = np.finfo(NUMPY[dtype]).smallest_subnormal, np.finfo(NUMPY[dtype]).max
    ordinary = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 2.0**23 + 1, 2.0**60, smallest, largest, math.inf]
    values = np.array([*ordinary, *(-v for v in ordinary), math.nan, 1e-3], NUMPY[dtype])
    x, y = (np.ascontiguousarray(v.ravel()) for v in np.meshgrid(values, values))
    result, exact = compiled("pow", dtype, 1)(x, y), reference("pow", dtype, x, y)
    error = ulp_errors(result, exact, *FORMAT[dtype])
    wrong = (error > BOUNDS["pow", dtype]) | ((np.signbit(result) != np.signbit(exact)) & ~np.isnan(exact))
    assert not np.any(wrong), list(zip(x[wrong], y[wrong], result[wrong], exact[wrong], strict=True))[:5]


@pytest.mark.parametrize("dtype", DTYPES)
def test_special_values_of_atan2_are_those_of_the_c_library(dtype: str) -> None:
    """C99, F.9.1.4: NumPy's arctan2, for every pair of edges."""
    y, x = (np.ascontiguousarray(v.ravel()) for v in np.meshgrid(edge_values(dtype), edge_values(dtype)))
    result, exact = compiled("atan2", dtype, 16)(y, x), reference("atan2", dtype, y, x)
    error = ulp_errors(result, exact, *FORMAT[dtype])
    wrong = (error > BOUNDS["atan2", dtype]) | ((np.signbit(result) != np.signbit(exact)) & ~np.isnan(exact))
    assert not np.any(wrong), list(zip(y[wrong], x[wrong], result[wrong], exact[wrong], strict=True))[:5]


@pytest.mark.parametrize("dtype", DTYPES)
def test_special_values_of_polygamma(dtype: str) -> None:
    """Poles: +inf for an odd order; for an even one -inf at 0, inf at -0, NaN at negative integers."""
    inf, nan = math.inf, math.nan
    x = np.array([0.0, -0.0, -1.0, -4.0, inf, -inf, nan, 1.0], NUMPY[dtype])
    expected = {
        1: [inf, inf, inf, inf, 0, nan, nan, math.pi**2 / 6],
        2: [-inf, inf, nan, nan, 0, nan, nan, -2.404113806319188570799],
        3: [inf, inf, inf, inf, 0, nan, nan, math.pi**4 / 15],
        0.5: [nan] * 8,
        171: [nan] * 8,
        inf: [nan] * 8,
        -1: [nan] * 8,
    }
    for n, values in expected.items():
        result = compiled("polygamma", dtype, 4)(np.full_like(x, n), x)
        np.testing.assert_allclose(result, np.array(values, x.dtype), rtol=4 * np.finfo(x.dtype).eps)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [0, 1, 2, 3, 7, 21, 22, 23, 40])
def test_polygamma_of_every_order(n: int, dtype: str) -> None:
    """Below 0 too, beside the terms that cancel there; from 23 on n! is e^lgamma, and f64 less exact."""
    rng = np.random.default_rng(n)
    x = np.concatenate([rng.uniform(0.5, 30, 24), rng.uniform(-6, 0, 8)]).astype(NUMPY[dtype])
    result = compiled("polygamma", dtype, 16)(np.full_like(x, n), x)
    for at, got in zip(x, result, strict=True):
        exact, size = exact_value("polygamma", n, float(at)), 1.0
        if at < 0:
            size = float(max(1, abs(exact_value("polygamma", n, 1 - float(at)) / exact)))
        bound = BOUNDS["polygamma", dtype] if n < 23 or dtype == "f32" else 1000
        assert ulps(float(got), exact, dtype) <= 2 * bound * size, (at, got)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("spread", [1e-4, 1e-2, 0.5, 10.0, 60.0])
def test_pow_over_the_whole_range_of_results(dtype: str, spread: float) -> None:
    """Bases 2^±spread, and exponents that bring the result anywhere between underflow and overflow."""
    rng, count = np.random.default_rng(7), 50_000
    log2_x = rng.uniform(-spread, spread, count)
    x = np.exp2(log2_x).astype(NUMPY[dtype])
    y = (rng.uniform(*(FORMAT[dtype][1] - 30, -FORMAT[dtype][1] + 3), count) / log2_x).astype(x.dtype)
    integer = np.abs(y) > 4
    x, y = np.where(integer & (rng.random(count) < 0.2), -x, x), np.where(integer, np.rint(y), y)
    error = ulp_errors(compiled("pow", dtype, 16)(x, y), reference("pow", dtype, x, y), *FORMAT[dtype])
    worst = int(np.argmax(error))
    assert error[worst] <= BOUNDS["pow", dtype], (error[worst], x[worst], y[worst])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "prim", ["tanh", "erf", "expm1", "log1p", "sin", "tan", "asin", "atan", "sinh", "asinh", "atanh"]
)
def test_near_zero_the_result_keeps_a_subnormal_input(prim: str, dtype: str) -> None:
    smallest = np.ldexp(NUMPY[dtype](1), FORMAT[dtype][1] - FORMAT[dtype][0])
    x = (np.arange(-8, 8) * smallest).astype(NUMPY[dtype])
    expected = (x * (2 / math.sqrt(math.pi))).astype(x.dtype) if prim == "erf" else x
    assert same(compiled(prim, dtype, 16)(x), expected)


@pytest.mark.parametrize("prim", ["sin", "cos", "tan"])
def test_a_large_argument_leaves_the_other_lanes_alone(prim: str) -> None:
    x = np.linspace(-9, 9, 16).astype(np.float32)
    expected = compiled(prim, "f32", 16)(x)
    x[5] = 1e30
    result = compiled(prim, "f32", 16)(x)
    assert same(np.delete(result, 5), np.delete(expected, 5))
    assert result[5] == np.float32(getattr(math, prim)(float(x[5])))


@pytest.mark.parametrize(("prim", "dtype"), CASES)
def test_text_is_plain_arithmetic(prim: str, dtype: str) -> None:
    text = definition(prim, dtype, 8)
    assert text.startswith("define internal")
    assert f"@{function_name(prim, dtype, 8)}(" in text
    assert not re.search(r"\b(fast|nnan|ninf|nsz|arcp|contract|afn|reassoc)\b", text)
    defined = set(re.findall(r"define [^@]*@([\w.]+)\(", text))
    called = set(re.findall(r"call [^@]*@([\w.]+)\(", text)) - defined
    declared = {match for line in requires(prim, dtype, 8) for match in re.findall(r"@([\w.]+)\(", line)}
    assert called == declared
    if prim not in CALLING:
        known = {"fma", "fabs", "copysign", "roundeven", "sqrt", "floor"}
        assert {name.split(".")[1] for name in called} <= known
        assert " br " not in text and "getelementptr" not in text


@pytest.mark.parametrize(("prim", "dtype"), [case for case in CASES if case[0] not in CALLING])
def test_machine_code_calls_nothing(prim: str, dtype: str) -> None:
    if not llvm.get_host_cpu_features().get("fma"):
        pytest.skip("this machine has no fused multiply-add instruction")
    assert not re.search(r"^\tcall", compiled(prim, dtype, 16).assembly, re.MULTILINE)


def test_every_primitive_has_a_bound_and_an_unknown_one_is_refused() -> None:
    assert set(BOUNDS) == set(CASES)
    assert set(ROW_BOUNDS) == set(COMPOSED)
    with pytest.raises(KeyError):
        definition("gamma", "f32", 4)
    with pytest.raises(KeyError):
        definition("exp", "f16", 4)


def test_module_with_all_functions_has_no_clash() -> None:
    """All definitions and the deduplicated declarations stand beside each other in one module."""
    declarations = {line: None for prim, dtype in CASES for n in LANES for line in requires(prim, dtype, n)}
    definitions = [definition(prim, dtype, n) for prim, dtype in CASES for n in LANES]
    llvm.parse_assembly("\n".join([*declarations, *definitions])).verify()


def test_the_measure_itself_sees_errors() -> None:
    one = np.array([1.0], np.float32)
    assert ulp_errors(one, np.array([1 + 2.0**-23]), 23, -126)[0] == 1
    assert ulp_errors(one, np.array([math.nan]), 23, -126)[0] == math.inf
    assert ulp_errors(np.array([math.inf], np.float32), np.array([1e39]), 23, -126)[0] == 0
    assert ulp_errors(np.array([0], np.float32), np.array([2.0**-149]), 23, -126)[0] == 1
    assert "@graphc.exp.v4f64" in loop_module("exp", "f64", 4)


def test_the_measure_in_native_code_is_the_same() -> None:
    x = samples("f32")
    for name in ("sin", "silu"):
        with np.errstate(invalid="ignore"):
            result, exact = compiled(name, "f32", 16)(x), compiled(name, "f64", 16)(x.astype(np.float64))
        error = ulp_errors(result, exact, 23, -126)
        worst, ordinary, place, inexact = Comparison(name)(x)
        assert (worst, inexact) == (error.max(), np.count_nonzero(error > 0.5))
        assert error[place] == worst
        assert ordinary == error[np.abs(exact) >= ORDINARY].max()


def documented() -> dict[str, tuple[float, float]]:
    """The table in the docs: worst error in f32 and in f64."""
    rows = re.findall(r"^    (\w+) +([\d.]+) +([\d.]+) .*$", vector_math.__doc__ or "", re.MULTILINE)
    return {name: (float(f32), float(f64)) for name, f32, f64 in rows}


def test_the_table_in_the_docs_lists_every_function_and_its_bounds_are_close() -> None:
    table = documented()
    assert tuple(table) == PRIMS
    for prim, (f32, f64) in table.items():
        assert f32 <= BOUNDS[prim, "f32"] <= max(0.51, 1.25 * f32 + 0.25), prim
        assert f64 <= BOUNDS[prim, "f64"], prim


@pytest.mark.parametrize("prim", PRIMS)
def test_a_coarse_sweep_finds_nothing_worse_than_the_table_says(prim: str) -> None:
    assert sweep(prim, stride=(1 << 32) // 50_021).worst <= documented()[prim][0] + 5e-4


@pytest.mark.parametrize("prim", ["exp", "log", "sigmoid", "tanh"])
def test_what_every_network_uses_is_within_one_ulp(prim: str) -> None:
    assert BOUNDS[prim, "f32"] <= 1


def test_every_function_is_within_two_ulp() -> None:
    assert max(BOUNDS[prim, "f32"] for prim in PRIMS) <= 2
