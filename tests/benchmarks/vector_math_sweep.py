"""Level 6: every f32 input of the vector functions, against our f64 ones, and their speed.

    python -m tests.benchmarks.vector_math_sweep [prim ...] [--stride N]

For each primitive: the largest error in ulp over all 2^32 inputs (every N-th with a stride) and where it is,
how many results are not the nearest f32, and nanoseconds per element in f32 and f64. The f64 functions are
themselves held against 50-digit arithmetic by tests/laws/test_vector_math.py. pow is timed only.
A whole sweep takes two or three minutes a primitive.
"""

from __future__ import annotations

import argparse
import ctypes
import time
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import numpy as np

from graphc_llvm.vector_math import BOUNDS, PRIMS, definition, function_name, requires

Array = np.ndarray[Any, np.dtype[Any]]

_LOOP = """\
define void @apply(ptr %out, {parameters}, i64 %count) {{
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
{loads}
  %y = call {type} @{name}({operands})
  %to = getelementptr {scalar}, ptr %out, i64 %i
  store {type} %y, ptr %to, align {align}
  %next = add i64 %i, {lanes}
  %more = icmp ult i64 %next, %count
  br i1 %more, label %loop, label %done
done:
  ret void
}}
"""


def loop_module(prim: str, dtype: str, lanes: int) -> str:
    """LLVM module with `apply(out, in..., count)`: the function over arrays, `lanes` elements at a time."""
    scalar, align = ("float", 4) if dtype == "f32" else ("double", 8)
    vector = scalar if lanes == 1 else f"<{lanes} x {scalar}>"
    inputs = ("a", "b") if prim == "pow" else ("a",)
    loads = "\n".join(
        f"  %{v}.at = getelementptr {scalar}, ptr %{v}, i64 %i\n"
        f"  %{v}.x = load {vector}, ptr %{v}.at, align {align}"
        for v in inputs
    )
    loop = _LOOP.format(
        parameters=", ".join(f"ptr %{v}" for v in inputs),
        operands=", ".join(f"{vector} %{v}.x" for v in inputs),
        loads=loads,
        type=vector,
        scalar=scalar,
        align=align,
        lanes=lanes,
        name=function_name(prim, dtype, lanes),
    )
    return "\n".join([*requires(prim, dtype, lanes), definition(prim, dtype, lanes), loop])


class VectorFunction:
    """A vector function compiled for this machine, applied to NumPy arrays.

    One-dimensional contiguous inputs, a multiple of `lanes` long; returns a new array, or fills `out`.
    """

    def __init__(self, prim: str, dtype: str, lanes: int) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        self.lanes = lanes
        self.dtype = np.dtype(np.float32 if dtype == "f32" else np.float64)
        machine = llvm.Target.from_default_triple().create_target_machine(
            cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=3, jit=True
        )
        module = llvm.parse_assembly(loop_module(prim, dtype, lanes))
        module.verify()
        options = llvm.create_pipeline_tuning_options(speed_level=3)
        passes = llvm.create_pass_builder(machine, options)
        passes.getModulePassManager().run(module, passes)
        self.optimized = str(module)
        self.assembly = machine.emit_assembly(module)
        self._engine = llvm.create_mcjit_compiler(module, machine)
        self._engine.finalize_object()
        arity = 2 if prim == "pow" else 1
        signature = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * (1 + arity), ctypes.c_int64)
        self.apply = signature(self._engine.get_function_address("apply"))

    def __call__(self, *inputs: Array, out: Array | None = None) -> Array:
        out = np.empty_like(inputs[0]) if out is None else out
        for array in (*inputs, out):
            if array.dtype != self.dtype or not array.flags.c_contiguous or array.size % self.lanes:
                raise ValueError(f"need contiguous {self.dtype}, a multiple of {self.lanes} elements")
        self.apply(out.ctypes.data, *(array.ctypes.data for array in inputs), out.size)
        return out


def ulp_errors(result: Array, exact: Array, mantissa: int, lowest_exponent: int) -> Array:
    """|result - exact| in units in the last place of `exact`, in a format with `mantissa` stored bits.

    `exact` has a wider type. An infinite result counts as the power of two after the largest number, and so
    does an exact value beyond it; where exactly one of the two is NaN the error is infinite.
    """
    largest = np.ldexp(exact.dtype.type(1), 1 - lowest_exponent + 1)
    with np.errstate(invalid="ignore"):  # a signalling NaN becomes a quiet one
        wide = np.clip(result.astype(exact.dtype), -largest, largest)
    exact = np.clip(exact, -largest, largest)
    _, exponent = np.frexp(exact)
    exponent = np.maximum(exponent - 1, lowest_exponent)
    error = np.ldexp(np.abs(wide - exact), mantissa - exponent)
    nan = np.isnan(result)
    return np.where(nan | np.isnan(exact), np.where(nan & np.isnan(exact), 0.0, np.inf), error)


def sweep(prim: str, stride: int = 1, report: Callable[[str], None] = print) -> tuple[float, float]:
    """Largest error in ulp over the f32 inputs whose bit pattern is a multiple of `stride`, and its input."""
    narrow, wide = VectorFunction(prim, "f32", 16), VectorFunction(prim, "f64", 8)
    chunk = 1 << 20
    worst, where, inexact = -1.0, 0.0, 0
    offsets = np.arange(chunk, dtype=np.uint32) * np.uint32(stride)
    for start in range(0, 1 << 32, chunk * stride):
        x = (offsets + np.uint32(start)).view(np.float32)
        with np.errstate(invalid="ignore"):
            result, exact = narrow(x), wide(x.astype(np.float64))
        error = ulp_errors(result, exact, 23, -126)
        signs = np.signbit(result) != np.signbit(exact)
        if np.any(signs & ~np.isnan(exact)):
            error = np.where(signs & ~np.isnan(exact), np.inf, error)
        inexact += int(np.count_nonzero(error > 0.5))
        index = int(np.argmax(error))
        if error[index] > worst:
            worst, where = float(error[index]), float(x[index])
    share = inexact * stride / 2**32
    report(f"{prim} f32: worst {worst:.4f} ulp at {where!r} ({where.hex()}); not the nearest: {share:.2%}")
    return worst, where


def nanoseconds(prim: str, dtype: str, lanes: int, low: float, high: float, count: int = 1 << 15) -> float:
    """Nanoseconds per element over data in the second-level cache: the best of many runs."""
    function = VectorFunction(prim, dtype, lanes)
    x = np.random.default_rng(0).uniform(low, high, count).astype(function.dtype)
    out = np.empty_like(x)
    pointers = [out.ctypes.data, x.ctypes.data, *([x.ctypes.data] if prim == "pow" else [])]
    best = 1 << 62
    for _ in range(200):
        start = time.perf_counter_ns()
        function.apply(*pointers, count)
        best = min(best, time.perf_counter_ns() - start)
    return best / count


_RANGES = {"exp": (-20, 20), "log": (1e-3, 1e3), "log1p": (-0.9, 10), "sin": (-100, 100), "cos": (-100, 100)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("prims", nargs="*", metavar="prim", help=f"of {', '.join(PRIMS)}; all when left out")
    parser.add_argument("--stride", type=int, default=1, help="take every N-th bit pattern only")
    arguments = parser.parse_args()
    for prim in arguments.prims or PRIMS:
        low, high = _RANGES.get(prim, (0.1, 4) if prim == "pow" else (-4, 4))
        f32, f64 = nanoseconds(prim, "f32", 16, low, high), nanoseconds(prim, "f64", 8, low, high)
        print(f"{prim}: {f32:.3f} ns/element in f32, {f64:.3f} in f64, on [{low}, {high}]", flush=True)
        if prim != "pow":
            worst, _ = sweep(prim, arguments.stride)
            if worst > BOUNDS[prim, "f32"]:
                raise SystemExit(f"{prim} f32 exceeds its bound of {BOUNDS[prim, 'f32']} ulp")


if __name__ == "__main__":
    main()
