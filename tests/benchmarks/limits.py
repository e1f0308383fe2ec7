"""What this machine can do at most: fused multiply-adds, and reading and copying memory, measured.

The kernels are a few lines of LLVM, compiled as graphc compiles its own code; the streams run on several threads
through the same OpenMP runtime.  Arithmetic needs nothing that cores share, so one thread stands for all.

| limit            | kernel                                                   | amount of a call              |
|------------------|----------------------------------------------------------|-------------------------------|
| `Arithmetic`     | 12 independent chains of fused multiply-adds, no memory  | floating-point operations     |
| `Stream("read")` | 8 vector loads an iteration, summed                      | bytes                         |
| `Stream("copy")` | 8 vector loads and stores an iteration                   | bytes, those read and written |

The streams go over as many bytes as the workload touches, so data that fits in a cache is taken from there.

>>> peak = Arithmetic("float64")
>>> peak.call(); peak.amount > 0
True
"""

from __future__ import annotations

import ctypes

import numpy as np

from graphc_llvm.jit import ENTRY, Code
from graphc_llvm.machine import host_features, vector_unit
from graphc_llvm.threads import runtime

_CHAINS, _STREAMS = 12, 8
_CALL_FLOPS, _CALL_BYTES = 2e7, 2e7  # a call takes about a millisecond or less
_RESULTS = 64  # where a thread's results begin in the argument, in bytes; 64 for each
_MOST_THREADS = 256


def vector_of(dtype: str) -> tuple[str, int]:
    """LLVM's type of a full vector, and its lanes."""
    lanes = vector_unit(host_features())[0] // np.dtype(dtype).itemsize
    return f"<{lanes} x {'float' if dtype == 'float32' else 'double'}>", lanes


class _Kernel:
    """Machine code `void(ptr argument)`, called on every thread; `argument` starts with i64 numbers."""

    def __init__(self, text: str, threads: int, *numbers: int) -> None:
        self._code = Code(text)
        self._argument = np.zeros(_RESULTS // 8 + 8 * _MOST_THREADS, np.int64)
        self._argument[: len(numbers)] = numbers
        self._address, self._threads = self._argument.ctypes.data, threads
        self._alone = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(self._code.address)
        self._library = runtime() if threads > 1 else None
        if self._library is not None:
            self._library.GOMP_parallel.argtypes = (
                ctypes.c_void_p,
                ctypes.c_void_p,
                ctypes.c_uint,
                ctypes.c_uint,
            )
            self._library.GOMP_parallel.restype = None

    def __call__(self) -> None:
        if self._library is None:
            self._alone(self._address)
        else:
            self._library.GOMP_parallel(self._code.address, self._address, self._threads, 0)


def _thread(threads: int) -> tuple[str, str]:
    """LLVM's declaration and value of the number of the thread that runs."""
    if threads > 1 and runtime() is not None:
        return "declare i32 @omp_get_thread_num()", "call i32 @omp_get_thread_num()"
    return "", "add i32 0, 0"


class Arithmetic:
    """Fused multiply-adds in registers on one thread; `amount` is the floating-point operations of a `call`."""

    def __init__(self, dtype: str) -> None:
        vector, lanes = vector_of(dtype)
        suffix = f"v{lanes}{'f32' if dtype == 'float32' else 'f64'}"
        chains = range(_CHAINS)
        phis = "\n".join(f"  %a{k} = phi {vector} [ %x, %entry ], [ %b{k}, %loop ]" for k in chains)
        steps = "\n".join(
            f"  %b{k} = call {vector} @llvm.fma.{suffix}({vector} %a{k}, {vector} %x, {vector} %x)"
            for k in chains
        )
        sums = "\n".join(
            f"  %s{k} = fadd {vector} {f'%s{k - 1}' if k > 1 else '%b0'}, %b{k}" for k in chains if k
        )
        text = f"""\
declare {vector} @llvm.fma.{suffix}({vector}, {vector}, {vector})
define void @{ENTRY}(ptr %argument) "prefer-vector-width"="512" {{
entry:
  %count = load i64, ptr %argument
  %result = getelementptr i8, ptr %argument, i32 {_RESULTS}
  %x = load {vector}, ptr %result, align 8
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
{phis}
{steps}
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %count
  br i1 %more, label %loop, label %done
done:
{sums}
  store {vector} %s{_CHAINS - 1}, ptr %result, align 8
  ret void
}}
"""
        each = 2 * _CHAINS * lanes
        count = int(_CALL_FLOPS / each)
        self.call = _Kernel(text, 1, count)
        self.amount = float(each * count)


class Stream:
    """Reading or copying a working set of `footprint` bytes; `amount` is the bytes that a `call` moves."""

    def __init__(self, kind: str, footprint: int, threads: int) -> None:
        vector, lanes = vector_of("float32")
        size = 4 * lanes
        declaration, thread = _thread(threads)
        copies, streams = kind == "copy", range(_STREAMS)
        part = footprint // (threads * (2 if copies else 1))
        vectors = max(_STREAMS, part // size // _STREAMS * _STREAMS)
        repeats = max(1, int(_CALL_BYTES / (vectors * size * (2 if copies else 1))))
        phis = "\n".join(f"  %a{k} = phi {vector} [ %x, %again ], [ %b{k}, %loop ]" for k in streams)
        loads = "\n".join(
            f"  %i{k} = add i64 %i, {k}\n"
            f"  %p{k} = getelementptr {vector}, ptr %from, i64 %i{k}\n"
            f"  %v{k} = load {vector}, ptr %p{k}, align {size}\n"
            + (
                f"  %q{k} = getelementptr {vector}, ptr %to, i64 %i{k}\n"
                f"  store {vector} %v{k}, ptr %q{k}, align {size}\n"
                f"  %b{k} = fadd {vector} %a{k}, zeroinitializer"
                if copies
                else f"  %b{k} = fadd {vector} %a{k}, %v{k}"
            )
            for k in streams
        )
        keep = "\n".join(f"  store volatile {vector} %b{k}, ptr %result, align 8" for k in streams)
        text = f"""\
{declaration}
define void @{ENTRY}(ptr %argument) "prefer-vector-width"="512" {{
entry:
  %vectors = load i64, ptr %argument
  %repeats.at = getelementptr i64, ptr %argument, i64 1
  %repeats = load i64, ptr %repeats.at
  %source.at = getelementptr i64, ptr %argument, i64 2
  %source = load ptr, ptr %source.at
  %target.at = getelementptr i64, ptr %argument, i64 3
  %target = load ptr, ptr %target.at
  %thread = {thread}
  %offset = mul i32 %thread, 64
  %place = add i32 %offset, {_RESULTS}
  %result = getelementptr i8, ptr %argument, i32 %place
  %x = load {vector}, ptr %result, align 8
  %number = zext i32 %thread to i64
  %first = mul i64 %number, %vectors
  %from = getelementptr {vector}, ptr %source, i64 %first
  %to = getelementptr {vector}, ptr %target, i64 %first
  br label %again
again:
  %r = phi i64 [ 0, %entry ], [ %r.next, %rest ]
  br label %loop
loop:
  %i = phi i64 [ 0, %again ], [ %next, %loop ]
{phis}
{loads}
  %next = add i64 %i, {_STREAMS}
  %more = icmp ult i64 %next, %vectors
  br i1 %more, label %loop, label %rest
rest:
{keep}
  %r.next = add i64 %r, 1
  %r.more = icmp ult i64 %r.next, %repeats
  br i1 %r.more, label %again, label %done
done:
  ret void
}}
"""
        bytes_each = vectors * size * threads
        self._source = _aligned(bytes_each)
        self._target = _aligned(bytes_each if copies else size)
        places = self._source.ctypes.data, self._target.ctypes.data
        self.call = _Kernel(text, threads, vectors, repeats, *places)
        self.amount = float(bytes_each * repeats * (2 if copies else 1))


def _aligned(size: int) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """Zeroed memory that begins at a cache line, all of it written once, so that its pages are there."""
    raw = np.empty(size + 64, np.uint8)
    raw.fill(0)
    start = -raw.ctypes.data % 64
    return raw[start : start + size]
