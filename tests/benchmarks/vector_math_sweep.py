"""Level 6: every f32 input of the vector functions, against f64 and 50 digits, and their speed.

    python -m tests.benchmarks.vector_math_sweep [name ...] [--stride N] [--samples N]

A name is a primitive that has a vector function, or a row of one operand that is composed of primitives. For
each, a line of the table in `graphc_llvm.vector_math`: the largest error in ulp over all 2^32 inputs of f32
(every N-th with a stride) against the f64 function, where it is, and how many results are not the nearest f32;
the largest error of the f64 function itself on random samples, against 50-digit arithmetic; nanoseconds per
element. Functions of two operands are compared on 10^8 random pairs and on a grid of edges.

The f64 functions are a reference for f32 only as far as they are right: each result at which an error is the
largest is compared with 50 digits too, and so is a sample. A sweep takes about half a minute a function.

Rows of the op table, as the back end compiles them, over all 2^32 inputs of f32:

    row          worst error in ulp   not the    ns/element
                  all   ordinary    nearest     f32    f64
    reciprocal       0.500     0.500     0.00%    0.13   0.35
    cbrt             0.735     0.735     8.51%    1.81   4.45
    rsqrt            1.490     1.490    12.95%    0.33   0.98
    exp2             1.054     1.054     0.31%    0.44   0.94
    log2             1.696     1.696    14.80%    1.16   2.90
    log10            0.500     0.500     0.00%    2.66   2.83   f64
    log_sigmoid      1.987     1.987     2.57%    0.81   2.33
    selu             1.959     1.959    25.09%    0.45   1.02
    softplus         1.987     1.987     2.57%    1.02   2.68
    softsign         1.500     1.500     8.42%    0.33   0.98
    mish             0.500     0.500     0.00%    1.11   1.06   f64
    gelu_tanh        0.500     0.500     0.00%    1.27   1.27   f64

"ordinary" leaves out results below 2^-118, where a factor of a product may be subnormal.  A row that is marked
f64 is `wide`: it computes f32 in f64 and rounds once.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import mpmath
import numpy as np

from graphc.ops.scalar import PRIMS as ALPHABET
from graphc.ops.table import ROWS
from graphc_llvm.vector_math import BOUNDS, PRIMS
from tests.benchmarks.vector_functions import Arithmetic, Array, Comparison, VectorFunction, exactly, ulps

COMPOSED: Final = tuple(
    row.name
    for row in ROWS.values()
    if row.arity == 1
    and row.dtype == "float"
    and row.name not in ALPHABET
    and any(ALPHABET[prim].kind == "function" for prim, _ in row.body.steps)
)
"""The rows of one float operand that are more than one primitive."""

ROW_BOUNDS: Final[Mapping[str, float]] = MappingProxyType(
    {
        "reciprocal": 0.5,
        "cbrt": 0.75,
        "rsqrt": 1.5,
        "exp2": 1.25,
        "log2": 1.75,
        "log10": 0.51,
        "log_sigmoid": 2.0,
        "selu": 2.0,
        "softplus": 2.0,
        "softsign": 1.75,
        "mish": 0.51,
        "gelu_tanh": 0.51,
    }
)
"""Largest error of each composed row in f32, in units in the last place: the measured one, rounded up."""

_CHUNK: Final = 1 << 18
_PAIRS: Final = 10**8
_DOMAIN: Final[Mapping[str, tuple[float, float]]] = MappingProxyType(
    {
        **dict.fromkeys(("asin", "acos", "atanh"), (-1.0, 1.0)),
        **dict.fromkeys(("sin", "cos", "tan"), (-100.0, 100.0)),
        **dict.fromkeys(("log", "log2", "log10", "rsqrt", "sqrt"), (1e-3, 1e3)),
        **dict.fromkeys(("lgamma", "digamma"), (1e-3, 20.0)),
        "exp": (-20.0, 20.0),
        "log1p": (-0.9, 10.0),
        "acosh": (1.0, 10.0),
        "pow": (0.1, 4.0),
        "polygamma": (0.1, 20.0),
    }
)
"""Where speed is measured, and where most samples of f64 lie; else -4 to 4."""


@dataclass(frozen=True, slots=True)
class Errors:
    """What a sweep of f32 found."""

    name: str
    worst: float
    """The largest error in ulp."""
    ordinary: float
    """The largest where the exact value is not very small: not below ORDINARY."""
    where: tuple[float, ...]
    """The operands that have it."""
    inexact: float
    """The share of results that are not the nearest f32."""
    unfaithful: float
    """The error of the f64 function there, in ulp of f32, against 50 digits."""

    @property
    def sampled(self) -> bool:
        return len(self.where) > 1

    def __str__(self) -> str:
        at = ", ".join(f"{v!r} ({v.hex()})" for v in self.where)
        sampled = " on samples" if self.sampled else ""
        return (
            f"{self.name} f32: worst {self.worst:.4f} ulp{sampled} at {at}; not the nearest: {self.inexact:.2%};"
            f" the reference is off by {self.unfaithful:.1e} ulp there"
        )


def bound(name: str, dtype: str = "f32") -> float:
    """The stated bound, in ulp; infinite where none is."""
    return BOUNDS.get((name, dtype), ROW_BOUNDS.get(name, float("inf")) if dtype == "f32" else float("inf"))


def sweep(name: str, stride: int = 1) -> Errors:
    """The f32 inputs whose bit pattern is a multiple of `stride`; samples, of a function of two operands."""
    compare, worst, ordinary, where, inexact, count = Comparison(name), -1.0, 0.0, (0.0,), 0, 0
    inputs = _patterns(stride) if Arithmetic(name, "f32", 16).arity == 1 else _pairs(name, stride)
    for arrays in inputs:
        found = compare(*arrays)
        inexact, count = inexact + found.inexact, count + arrays[0].size
        ordinary = max(ordinary, found.ordinary)
        if found.worst > worst:
            worst, where = found.worst, tuple(float(a[found.place]) for a in arrays)
    return Errors(name, worst, ordinary, where, inexact / count, _unfaithful(name, where))


def _patterns(stride: int) -> Iterator[tuple[Array, ...]]:
    chunk = min(_CHUNK, (1 << 32) // stride // 16 * 16)
    offsets = np.arange(chunk, dtype=np.uint32) * np.uint32(stride)
    for start in range(0, 1 << 32, chunk * stride):
        yield ((offsets + np.uint32(start % (1 << 32))).view(np.float32),)


def _pairs(name: str, stride: int) -> Iterator[tuple[Array, ...]]:
    rng = np.random.default_rng(11)
    edges = edge_values("f32")
    yield tuple(v.ravel().copy() for v in np.meshgrid(edges, edges))
    for k in range(max(1, _PAIRS // _CHUNK // stride)):
        yield random_pairs(name, rng, _CHUNK, np.float32, k)


def edge_values(dtype: str) -> Array:
    """Zeros, infinities, NaN, the ends of the format, and ordinary numbers: 64 of them."""
    real: Any = np.float32 if dtype == "f32" else np.float64
    info = np.finfo(real)
    ordinary = [
        0.5,
        1.0,
        1.5,
        2.0,
        3.0,
        4.0,
        10.0,
        255.5,
        2.0**23 + 1,
        2.0**60,
        1e-3,
        1 / 3,
        0.7,
        1 + float(info.eps),
    ]
    positive = [0.0, info.smallest_subnormal, info.tiny, info.max, np.inf, *ordinary]
    positive += [float(np.exp(v)) for v in np.linspace(-80, 80, 13)]
    return np.array([*positive[:32], *(-np.array(positive[:32]))], real) * real(1)


def random_pairs(name: str, rng: np.random.Generator, count: int, real: Any, kind: int) -> tuple[Array, ...]:
    """Pairs in turn from all bit patterns, from where results are ordinary, and from where they are extreme."""
    bits = 8 * np.dtype(real).itemsize
    top = np.log2(float(np.finfo(real).max))
    if name == "polygamma":
        n = np.where(rng.random(count) < 0.9, 1, rng.integers(0, 12, count))
        return n.astype(real), (np.exp(rng.uniform(-9, 9, count))).astype(real)
    if kind % 3 == 0:
        words = rng.integers(0, 2**bits, (2, count), dtype=np.uint64).astype(f"u{bits // 8}")
        return words[0].view(real), words[1].view(real)
    spread = 10.0 ** rng.uniform(-4, 1.8, count)
    if name != "pow":
        return (rng.normal(size=count) * spread).astype(real), rng.normal(size=count).astype(real)
    log2_x = rng.uniform(-1, 1, count) * spread
    y = rng.uniform(-top - 30, top + 3, count) / log2_x if kind % 3 == 1 else rng.normal(size=count) * 4
    x = np.exp2(log2_x).astype(real)
    negative = rng.random(count) < 0.2
    return np.where(negative, -x, x), np.where(negative, np.rint(y), y).astype(real)


def exact_value(name: str, *operands: float) -> Any:
    """The function to 50 digits; NaN where it is not real, or has no value."""
    # The mathematics of a row may cancel, as in log(1 + exp(-x)).
    with mpmath.workdps(50 if name in PRIMS else 400):
        try:
            value = exactly(name)(*(mpmath.mpf(v) for v in operands))
        except (ValueError, ZeroDivisionError):
            return mpmath.nan
        complex_ = isinstance(value, mpmath.mpc)
        return mpmath.nan if complex_ and value.imag else mpmath.re(value)


def _unfaithful(name: str, where: tuple[float, ...]) -> float:
    """How far the f64 function is from 50 digits at a point, in ulp of f32; NaN where the point is not finite."""
    if not all(abs(v) < 1e30 for v in where):
        return float("nan")
    got = VectorFunction(name, "f64", 1)(*(np.array([v]) for v in where))[0]
    return ulps(float(got), exact_value(name, *where), "f32")


def sample_f64(name: str, count: int) -> tuple[float, tuple[float, ...]]:
    """Largest error in ulp of the f64 function on random operands, and where."""
    arity, rng = Arithmetic(name, "f64", 8).arity, np.random.default_rng(23)
    count = count // 16 * 16
    if arity == 2:
        kinds = [random_pairs(name, rng, count // 2, np.float64, kind) for kind in (1, 2)]
        inputs = tuple(np.concatenate(v) for v in zip(*kinds, strict=True))
    else:
        low, high = _DOMAIN.get(name, (-4.0, 4.0))
        uniform = rng.uniform(low, high, count // 2)
        spread = np.exp(rng.uniform(-40, 7 if high > 1 else 0, count // 2))
        inputs = (np.concatenate([uniform, spread * (rng.choice([-1, 1], count // 2) if low < 0 else 1)]),)
    results = VectorFunction(name, "f64", 8)(*inputs)
    errors = [
        ulps(float(r), exact_value(name, *map(float, v)), "f64")
        for r, *v in zip(results, *inputs, strict=True)
    ]
    worst = int(np.argmax(errors))
    return errors[worst], tuple(float(v[worst]) for v in inputs)


def nanoseconds(name: str, dtype: str, lanes: int, count: int = 1 << 15) -> float:
    """Nanoseconds per element over data in the second-level cache: the best of many runs."""
    function, (low, high) = VectorFunction(name, dtype, lanes), _DOMAIN.get(name, (-4.0, 4.0))
    x = np.random.default_rng(0).uniform(low, high, count).astype(function.dtype)
    out = np.empty_like(x)
    first = (
        [np.ones_like(x) if name == "polygamma" else x] if Arithmetic(name, dtype, lanes).arity == 2 else []
    )
    pointers = [array.ctypes.data for array in (out, *first, x)]
    best = 1 << 62
    for _ in range(200):
        start = time.perf_counter_ns()
        function.apply(*pointers, count)
        best = min(best, time.perf_counter_ns() - start)
    return best / count


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ", ".join((*PRIMS, *COMPOSED))
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {names}; all when left out")
    parser.add_argument("--stride", type=int, default=1, help="take every N-th bit pattern only")
    parser.add_argument("--samples", type=int, default=20_000, help="of f64, against 50 digits")
    arguments = parser.parse_args()
    failed, rows = [], []
    for name in arguments.names or (*PRIMS, *COMPOSED):
        errors = sweep(name, arguments.stride)
        print(errors, flush=True)
        f64, at = sample_f64(name, arguments.samples)
        speed = [nanoseconds(name, dtype, lanes) for dtype, lanes in (("f32", 16), ("f64", 8))]
        print(
            f"    f64: worst {f64:.4f} ulp at {at}; {speed[0]:.3f} and {speed[1]:.3f} ns/element", flush=True
        )
        rows.append(
            f"    {name:13}{errors.worst:8.3f} {f64:9.2f} {errors.inexact:8.2%} {speed[0]:9.2f} {speed[1]:6.2f}"
            f" {errors.ordinary:8.3f}"
        )
        if errors.worst > bound(name) or f64 > bound(name, "f64"):
            failed.append(
                f"{name} exceeds its bound of {bound(name)} ulp in f32, {bound(name, 'f64')} in f64"
            )
    print("\n".join(["", *rows]))
    if failed:
        raise SystemExit("\n".join(failed))


if __name__ == "__main__":
    main()
