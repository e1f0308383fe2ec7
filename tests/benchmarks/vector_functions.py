"""Level 6: the vector functions as functions of NumPy arrays, their exact values, and the distance between.

    Arithmetic("exp", "f32", 16)     LLVM IR of a primitive, or of a row of the op table, for 16 lanes
    VectorFunction("exp", "f32", 16) the same, compiled: arrays in, an array out
    Comparison("exp")                the f32 function against the f64 one, in ulp of f32, in native code
    exactly("exp")                   the function of mpmath numbers, at the precision that is set

A row is compiled as the back end compiles it, primitive by primitive; a row has one operand here.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import llvmlite.binding as llvm
import mpmath
import numpy as np
import sympy

from graphc.ir.types import DType
from graphc.ops.scalar import PRIMS as ALPHABET
from graphc.ops.table import ROWS
from graphc_llvm import vector_math
from graphc_llvm.primitives import primitive
from graphc_llvm.vector_math.builder import Body, Value, absolute, at_least, at_most, select
from graphc_llvm.writer import Writer, constant, splatted, type_of

Array = np.ndarray[Any, np.dtype[Any]]

_SCALAR = {"f32": ("float", 4), "f64": ("double", 8)}
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
_COMPARE = """\
define void @compare(ptr %errors, ptr %ordinaries, ptr %places, ptr %inexact, {parameters}, i64 %count) {{
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %worst = phi <16 x double> [ splat (double -1.0), %entry ], [ %worst.next, %loop ]
  %ordinary = phi <16 x double> [ zeroinitializer, %entry ], [ %ordinary.next, %loop ]
  %place = phi <16 x i64> [ zeroinitializer, %entry ], [ %place.next, %loop ]
  %many = phi <16 x i64> [ zeroinitializer, %entry ], [ %many.next, %loop ]
{loads}
  %got = call <16 x float> @{narrow}({operands})
{extensions}
  %exact = call <16 x double> @{wide}({wide_operands})
  %got.wide = fpext <16 x float> %got to <16 x double>
  %error = call <16 x double> @ulp(<16 x double> %got.wide, <16 x double> %exact)
  %worse = fcmp ogt <16 x double> %error, %worst
  %worst.next = select <16 x i1> %worse, <16 x double> %error, <16 x double> %worst
  %size = call <16 x double> @llvm.fabs.v16f64(<16 x double> %exact)
  %is.ordinary = fcmp oge <16 x double> %size, splat (double {least})
  %counted = select <16 x i1> %is.ordinary, <16 x double> %error, <16 x double> zeroinitializer
  %worse.ordinary = fcmp ogt <16 x double> %counted, %ordinary
  %ordinary.next = select <16 x i1> %worse.ordinary, <16 x double> %counted, <16 x double> %ordinary
  %here.one = insertelement <16 x i64> poison, i64 %i, i64 0
  %here = shufflevector <16 x i64> %here.one, <16 x i64> poison, <16 x i32> zeroinitializer
  %place.next = select <16 x i1> %worse, <16 x i64> %here, <16 x i64> %place
  %off = fcmp ogt <16 x double> %error, splat (double 0.5)
  %off.one = zext <16 x i1> %off to <16 x i64>
  %many.next = add <16 x i64> %many, %off.one
  %next = add i64 %i, 16
  %more = icmp ult i64 %next, %count
  br i1 %more, label %loop, label %done
done:
  store <16 x double> %worst.next, ptr %errors, align 8
  store <16 x double> %ordinary.next, ptr %ordinaries, align 8
  store <16 x i64> %place.next, ptr %places, align 8
  store <16 x i64> %many.next, ptr %inexact, align 8
  ret void
}}
"""


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """LLVM IR of `name`: a primitive that has a vector function, or else a row of the op table."""

    name: str
    dtype: str
    lanes: int

    @property
    def arity(self) -> int:
        return vector_math.arity(self.name) if self.name in vector_math.PRIMS else 1

    @property
    def symbol(self) -> str:
        return vector_math.function_name(self.name, self.dtype, self.lanes)

    def texts(self) -> dict[str, None]:
        """Declarations, then definitions; without repetitions, for use in one module with others."""
        if self.name in vector_math.PRIMS:
            declarations = vector_math.requires(self.name, self.dtype, self.lanes)
            text = vector_math.definition(self.name, self.dtype, self.lanes)
            return dict.fromkeys((*declarations, text))
        row, dtype, w = ROWS[self.name], DType(self.dtype), Writer()
        kind, body, operand = type_of(dtype, self.lanes), row.body, "%x"
        wide = row.wide and dtype is DType.F32
        if wide:
            dtype = DType.F64
            operand = w.emit(primitive(w, "cast:f64", DType.F32, self.lanes, [operand]))
        constants = [splatted(constant(float(c), dtype), dtype, self.lanes) for c in body.constants]
        names, dtypes = [operand, *constants], [dtype] * (1 + len(constants))
        for prim, operands in body.steps:
            given = [dtypes[k] for k in operands]
            text = primitive(w, prim, given[-1], self.lanes, [names[k] for k in operands])
            names.append(w.emit(text))
            dtypes.append(ALPHABET[prim].result(*given))
        result = names[body.result]
        if wide:
            result = w.emit(primitive(w, "cast:f32", DType.F64, self.lanes, [result]))
        texts = dict(w.declarations)
        for called, precision, lanes in w.functions:
            texts |= Arithmetic(called, precision.value, lanes).texts()
        head = f"define internal {kind} @{self.symbol}({kind} %x) alwaysinline {{"
        lines = [head, *w.lines(), f"  ret {kind} {result}", "}"]
        return texts | {"\n".join(lines): None}


def module_text(*texts: dict[str, None], then: str = "") -> str:
    """One module: all declarations first."""
    merged: dict[str, None] = {}
    for some in texts:
        merged |= some
    return "\n".join([*sorted(merged, key=lambda text: not text.startswith("declare")), then])


def loop_module(name: str, dtype: str, lanes: int) -> str:
    """LLVM module with `apply(out, in..., count)`: the function over arrays, `lanes` elements at a time."""
    arithmetic, (scalar, align) = Arithmetic(name, dtype, lanes), _SCALAR[dtype]
    vector = scalar if lanes == 1 else f"<{lanes} x {scalar}>"
    inputs = "ab"[: arithmetic.arity]
    loop = _LOOP.format(
        parameters=", ".join(f"ptr %{v}" for v in inputs),
        operands=", ".join(f"{vector} %{v}.x" for v in inputs),
        loads=_loads(inputs, scalar, vector, align),
        type=vector,
        scalar=scalar,
        align=align,
        lanes=lanes,
        name=arithmetic.symbol,
    )
    return module_text(arithmetic.texts(), then=loop)


def _loads(inputs: str, scalar: str, vector: str, align: int) -> str:
    return "\n".join(
        f"  %{v}.at = getelementptr {scalar}, ptr %{v}, i64 %i\n"
        f"  %{v}.x = load {vector}, ptr %{v}.at, align {align}"
        for v in inputs
    )


class Compiled:
    """A module compiled for this machine, fully optimised."""

    def __init__(self, text: str) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        machine = llvm.Target.from_default_triple().create_target_machine(
            cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=3, jit=True
        )
        module = llvm.parse_assembly(text)
        module.verify()
        options = llvm.create_pipeline_tuning_options(speed_level=3)
        passes = llvm.create_pass_builder(machine, options)
        passes.getModulePassManager().run(module, passes)
        self.assembly = machine.emit_assembly(module)
        self._engine = llvm.create_mcjit_compiler(module, machine)
        self._engine.finalize_object()

    def function(self, name: str, pointers: int) -> Callable[..., None]:
        """The function of this name, whose parameters are pointers and then a count."""
        signature = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * pointers, ctypes.c_int64)
        return signature(self._engine.get_function_address(name))


class VectorFunction:
    """A vector function compiled for this machine, applied to NumPy arrays.

    One-dimensional contiguous inputs, a multiple of `lanes` long; returns a new array, or fills `out`.
    """

    def __init__(self, name: str, dtype: str, lanes: int) -> None:
        self.lanes = lanes
        self.dtype = np.dtype(np.float32 if dtype == "f32" else np.float64)
        self._compiled = Compiled(loop_module(name, dtype, lanes))
        self.assembly = self._compiled.assembly
        self.apply = self._compiled.function("apply", 1 + Arithmetic(name, dtype, lanes).arity)

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


ORDINARY: Final = 2.0**-118
"""Below this size a result may be a product of which a factor is subnormal, and has few digits."""


class Found(NamedTuple):
    """What a comparison found."""

    worst: float
    """The largest error in ulp."""
    ordinary: float
    """The largest where the exact value is not below ORDINARY."""
    place: int
    """Index of the largest."""
    inexact: int
    """How many results are not the nearest f32."""


class Comparison:
    """An f32 function against the f64 one, natively: the measure of `ulp_errors`, but a wrong sign is infinite.

    The sign of a zero counts for primitives only: a row is a product or a sum, which may underflow.
    Called with f32 arrays of a multiple of 16 elements.
    """

    def __init__(self, name: str) -> None:
        narrow, wide = Arithmetic(name, "f32", 16), Arithmetic(name, "f64", 16)
        inputs = "ab"[: narrow.arity]
        loop = _COMPARE.format(
            parameters=", ".join(f"ptr %{v}" for v in inputs),
            loads=_loads(inputs, "float", "<16 x float>", 4),
            operands=", ".join(f"<16 x float> %{v}.x" for v in inputs),
            extensions="\n".join(f"  %{v}.w = fpext <16 x float> %{v}.x to <16 x double>" for v in inputs),
            wide_operands=", ".join(f"<16 x double> %{v}.w" for v in inputs),
            least=constant(ORDINARY, DType.F64),
            narrow=narrow.symbol,
            wide=wide.symbol,
        )
        text = module_text(
            narrow.texts(), wide.texts(), _ulp_of_f32(signed_zero=name in vector_math.PRIMS), then=loop
        )
        self._compiled = Compiled(text)
        self._compare = self._compiled.function("compare", 4 + narrow.arity)

    def __call__(self, *inputs: Array) -> Found:
        (errors, ordinary), (places, inexact) = np.empty((2, 16)), np.empty((2, 16), np.int64)
        state = (errors, ordinary, places, inexact)
        self._compare(*(array.ctypes.data for array in (*state, *inputs)), inputs[0].size)
        lane = int(np.argmax(errors))
        return Found(float(errors[lane]), float(ordinary.max()), int(places[lane]) + lane, int(inexact.sum()))


def _ulp_of_f32(signed_zero: bool) -> dict[str, None]:
    body = Body("ulp", "f64", 16, ("result", "exact"))
    largest = 2.0**128

    def clipped(v: Value) -> Value:
        return at_least(at_most(v, largest), -largest)

    result, exact = clipped(body.argument(0)), clipped(body.argument(1))
    field = (exact.bits() >> 52) & 0x7FF
    lowest = 1023 - 126
    field = select(field < lowest, body.integer(lowest), field)
    error = absolute(result - exact) * ((body.integer(2 * 1023 + 23) - field) << 52).as_real()
    differ = (result.bits() ^ exact.bits()) < 0
    if not signed_zero:
        differ = differ & ~result.equals(0.0)
    error = select(differ, float("inf"), error)
    numbers = result.equals(result), exact.equals(exact)
    neither = ~(numbers[0] | numbers[1])
    error = select(numbers[0] & numbers[1], error, select(neither, 0.0, body.real(float("inf"))))
    text = body.finish(error)
    return dict.fromkeys((*body.declarations, text))


def _log_gamma(x: Any) -> Any:
    if x <= 0 and x == mpmath.floor(x):
        return mpmath.inf
    return mpmath.log(abs(mpmath.gamma(x))) if abs(x) < 1e4 else mpmath.re(mpmath.loggamma(x))


_EXACT: dict[str, Callable[..., Any]] = {
    "pow": mpmath.power,
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "silu": lambda x: 0 if x == -mpmath.inf else x / (1 + mpmath.exp(-x)),
    "normal_cdf": mpmath.ncdf,
    "gelu": lambda x: 0 if x == -mpmath.inf else x * mpmath.ncdf(x),
    "lgamma": _log_gamma,
    "polygamma": lambda n, x: mpmath.polygamma(int(n), x),
}


def exactly(name: str) -> Callable[..., Any]:
    """The function on mpmath numbers: mpmath's own for a primitive, the mathematics of a row."""
    if name in _EXACT:
        return _EXACT[name]
    if name in vector_math.PRIMS:
        found: Callable[..., Any] = getattr(mpmath, name)
        return found
    row = ROWS[name]
    lambdified: Callable[..., Any] = sympy.lambdify(row.symbols[:1], row.expr, "mpmath")
    return lambdified


def ulps(result: float, exact: Any, dtype: str) -> float:
    """|result - exact| in units in the last place of `exact`, an mpmath number."""
    mantissa, lowest = (23, -126) if dtype == "f32" else (52, -1022)
    if mpmath.isnan(exact) or np.isnan(result):
        return 0.0 if mpmath.isnan(exact) and np.isnan(result) else float("inf")
    largest = mpmath.ldexp(1, 2 - lowest)
    got, exact = (max(-largest, min(largest, v)) for v in (mpmath.mpf(result), exact))
    exponent = max(mpmath.frexp(exact)[1] - 1, lowest) if exact else lowest
    return float(mpmath.ldexp(abs(got - exact), mantissa - exponent))
