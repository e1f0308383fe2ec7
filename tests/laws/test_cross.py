"""Code for other machines computes what the reference computes: run under emulation, where there is an emulator.

The object of a function is linked, by a linker for that machine, with data and a start that calls it and writes
its results to the standard output: a program without any library.  Debian's packages are `qemu-user-static` and
`binutils-aarch64-linux-gnu`; without them these tests are skipped.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import graphc as gc
from graphc.errors import ArgumentError
from graphc.ir.types import Array
from graphc.kernel.memory import plan
from graphc.lang.tensor import Tensor
from graphc.runtime.function import Function
from graphc_llvm.cross import TARGETS, cross_compile, target_machine
from graphc_llvm.jit import object_of
from graphc_llvm.machine import host_features

# Assembly: call `main`; `write_out(from, size)` writes to the standard output.
_SYSTEM = {
    "aarch64": """
.globl _start, write_out
_start: bl main
        mov x8, 93
        mov x0, 0
        svc 0
write_out: mov x2, x1
        mov x1, x0
        mov x0, 1
        mov x8, 64
        svc 0
        ret
""",
    "x86_64": """
.globl _start, write_out
_start: call main
        mov $60, %eax
        xor %edi, %edi
        syscall
write_out: mov %rsi, %rdx
        mov %rdi, %rsi
        mov $1, %edi
        mov $1, %eax
        syscall
        ret
""",
}
_MAIN = """
target triple = "{triple}"
declare void @graphc_entry(ptr, ptr)
declare void @write_out(ptr, i64)
{data}
@dims = internal global [1 x i64] zeroinitializer
@addresses = internal global [{count} x i64] [{addresses}]
define void @main() {{
  call void @graphc_entry(ptr @addresses, ptr @dims)
{writes}
  ret void
}}
{library}
"""
# What LLVM may call for loops that fill or copy.
_LIBRARY = """
define ptr @memset(ptr %to, i32 %value, i64 %size) "no-builtins" {
  %byte = trunc i32 %value to i8
  br label %test
test:
  %k = phi i64 [ 0, %0 ], [ %next, %loop ]
  %more = icmp ult i64 %k, %size
  br i1 %more, label %loop, label %done
loop:
  %at = getelementptr i8, ptr %to, i64 %k
  store volatile i8 %byte, ptr %at
  %next = add i64 %k, 1
  br label %test
done:
  ret ptr %to
}
define ptr @memcpy(ptr %to, ptr %from, i64 %size) "no-builtins" {
  br label %test
test:
  %k = phi i64 [ 0, %0 ], [ %next, %loop ]
  %more = icmp ult i64 %k, %size
  br i1 %more, label %loop, label %done
loop:
  %there = getelementptr i8, ptr %from, i64 %k
  %byte = load volatile i8, ptr %there
  %at = getelementptr i8, ptr %to, i64 %k
  store i8 %byte, ptr %at
  %next = add i64 %k, 1
  br label %test
done:
  ret ptr %to
}
"""


def _bytes(name: str, content: bytes) -> str:
    text = "".join(f"\\{b:02X}" for b in content)
    return f'@{name} = internal global [{len(content)} x i8] c"{text}", align 64'


def emulated(fn: Function, target: str, arguments: list[Array], folder: Path) -> list[Array]:
    """What a compiled function returns on another machine, and then its parameters; no named dimensions."""
    made = cross_compile(fn.program, target)
    program, layout = made.program, fn._below().layout
    places = plan(program, {}, made.module.scratch)
    given = dict(zip(layout.inputs, arguments, strict=True))
    given |= {position: p.variable.value for position, p in layout.params}
    arch = target.split("-")[0].replace("x86", "x86_64")
    data = [f"@arena = internal global [{places.size + 64} x i8] zeroinitializer, align 64"]
    addresses, writes = list[str](), list[str]()
    for k, b in enumerate(program.buffers):
        held = b.value if b.value is not None else given.get(k)
        if k in places.offsets:
            addresses.append(f"i64 add (i64 ptrtoint (ptr @arena to i64), i64 {places.offsets[k]})")
            continue
        content = bytes(4 * 64 + b.dtype.size * int(np.prod(b.shape))) if held is None else held.tobytes()
        data.append(_bytes(f"b{k}", content or b"\0"))
        addresses.append(f"i64 ptrtoint (ptr @b{k} to i64)")
    addresses += [f"i64 add (i64 ptrtoint (ptr @arena to i64), i64 {o})" for o in places.scratch]
    positions = [*layout.outputs, *(position for position, _ in layout.params)]
    shapes = [(program.buffers[p].shape, program.buffers[p].dtype.numpy) for p in positions]
    for position, (shape, dtype) in zip(positions, shapes, strict=True):
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        writes.append(f"  call void @write_out(ptr @b{position}, i64 {size})")
    text = _MAIN.format(
        triple=TARGETS[target].triple, data="\n".join(data), count=len(addresses) + 1,
        addresses=", ".join([*addresses, "i64 1"]), writes="\n".join(writes), library=_LIBRARY,
    )  # fmt: skip
    (folder / "main.o").write_bytes(object_of(text, target_machine(target)))
    (folder / "function.o").write_bytes(made.code)
    (folder / "system.s").write_text(_SYSTEM[arch])
    prefix = "aarch64-linux-gnu-" if arch == "aarch64" else ""
    for command in (
        [_found(f"{prefix}as"), "-o", "system.o", "system.s"],
        [_found(f"{prefix}ld"), "-static", "-o", "program", "system.o", "main.o", "function.o"],
    ):
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    run = [_found(f"qemu-{arch}-static", f"qemu-{arch}")] if arch == "aarch64" else []
    done = subprocess.run([*run, "./program"], cwd=folder, check=True, capture_output=True, timeout=120)
    results, at = [], 0
    for shape, dtype in shapes:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        results.append(np.frombuffer(done.stdout[at : at + size], dtype).reshape(shape))
        at += size
    assert at == len(done.stdout)
    return results


def _found(*names: str) -> str:
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip(f"{names[0]} is not installed")
    return found


def _dense() -> tuple[list[Tensor], list[Tensor]]:
    x = gc.input("x", (5, 33), "float32")
    w, b = gc.param("w", init=_draw(33, 17)), gc.param("b", init=_draw(17))
    loss = gc.mean(gc.square(gc.tanh(x @ w + b)))
    return [x], [loss, *gc.grad(loss, [x, w, b])]


def _image() -> tuple[list[Tensor], list[Tensor]]:
    x = gc.input("x", (3, 2, 9, 7), "float32")
    k = gc.param("k", init=_draw(4, 2, 3, 3))
    loss = gc.sum(gc.max_pool2d(gc.relu(gc.conv2d(x, k, padding=1)), 2))
    return [x], [loss, *gc.grad(loss, [x, k])]


def _rows() -> tuple[list[Tensor], list[Tensor]]:
    x, t = gc.input("x", (6, 11), "float64"), gc.input("t", (6,), "int64")
    loss = -gc.mean(gc.pick(gc.log_softmax(x), t))
    return [x, t], [gc.softmax(x), loss, gc.grad(loss, x), gc.layer_norm(x)]


def _functions() -> tuple[list[Tensor], list[Tensor]]:
    x = gc.input("x", (37,), "float32")
    names = ("exp", "log", "tanh", "sigmoid", "erf", "gelu", "silu", "expm1", "atan", "cbrt", "softplus")
    return [x], [getattr(gc, name)(gc.abs(x) + 0.5) for name in names]


def _integers() -> tuple[list[Tensor], list[Tensor]]:
    t = gc.input("t", (25,), "int64")
    return [t], [t.astype("int32"), t // 3, t % 7, gc.one_hot(t, 5), gc.cumsum(t), (t > 2).astype("float32")]


def _loop() -> tuple[list[Tensor], list[Tensor]]:
    xs, w = gc.input("xs", (7, 3, 5), "float32"), gc.param("w", init=_draw(5, 5))
    first = gc.input("first", (3, 5), "float32")
    last, _ = gc.scan(lambda h, x: (gc.tanh(h @ w + x),) * 2, first, xs)
    return [xs, first], [last, gc.grad(gc.sum(last), w)]


def _draw(*shape: int) -> Array:
    return np.random.default_rng(len(shape)).normal(size=shape).astype("float32")


CASES: dict[str, Callable[[], tuple[list[Tensor], list[Tensor]]]] = {
    "dense": _dense,
    "image": _image,
    "rows": _rows,
    "functions": _functions,
    "integers": _integers,
    "loop": _loop,
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("target", ["aarch64", "x86-64-v3"])
def test_other_machines_compute_the_same(name: str, target: str, tmp_path: Path) -> None:
    if target == "x86-64-v3" and not (platform.machine() == "x86_64" and host_features().get("avx2", False)):
        pytest.skip("this machine does not run code for AVX2")
    inputs, outputs = CASES[name]()
    draw = np.random.default_rng(3)
    arguments = [
        draw.normal(size=shape).astype(x.dtype.numpy) if x.dtype.is_float else draw.integers(0, 5, shape)
        for x, shape in ((x, tuple(map(int, x.shape))) for x in inputs)  # type: ignore[arg-type]
    ]
    want = gc.compile(inputs, outputs, backend="reference")(*arguments)
    got = emulated(gc.compile(inputs, outputs), target, arguments, tmp_path)
    for a, b in zip(want, got[: len(want)], strict=True):
        np.testing.assert_allclose(b, a, rtol=2e-5 if a.dtype == np.float32 else 1e-12, atol=1e-6)


def test_parameters_are_replaced_on_arm(tmp_path: Path) -> None:
    x, t = gc.input("x", (8, 12), "float32"), gc.input("t", (8,), "int64")
    params = [gc.param("w", init=_draw(12, 4)), gc.param("b", init=_draw(4))]
    loss = -gc.mean(gc.pick(gc.log_softmax(x @ params[0] + params[1]), t))
    updates = {p: p - 0.1 * g for p, g in zip(params, gc.grad(loss, params), strict=True)}
    given = [_draw(8, 12), np.arange(8) % 4]
    got = emulated(gc.compile([x, t], [loss], updates=updates), "aarch64", given, tmp_path)
    want = [
        *gc.compile([x, t], [loss], updates=updates, backend="reference")(*given),
        *(p.value for p in params),
    ]
    for a, b in zip(want, got, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-6)


def test_vectors_are_those_of_the_target() -> None:
    x = gc.input("x", (64, 64), "float32")
    fn = gc.compile([x], x @ x)
    registers = {"aarch64": ".4s", "x86-64-v2": "xmm", "x86-64-v3": "ymm", "x86-64-v4": "zmm"}
    for target, register in registers.items():
        assert register in cross_compile(fn.program, target).assembly, target


def test_an_unknown_target() -> None:
    x = gc.input("x")
    with pytest.raises(ArgumentError) as caught:
        cross_compile(gc.compile([x], x).program, "z80")
    assert str(caught.value) == (
        "unknown target 'z80'\n  fix: use one of aarch64, x86-64-v2, x86-64-v3, x86-64-v4"
    )
