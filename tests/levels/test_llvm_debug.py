"""From machine code back to the statements of the kernels, and from there to the nodes they serve."""

from __future__ import annotations

import platform
import re

import llvmlite.binding as binding
import pytest

import graphc as gc
from graphc.kernel.ir import Atom, Buffer, Kernel, Let, Load, Parameter, Store, Temp
from graphc.kernel.program import Program
from graphc_llvm import jit
from graphc_llvm.debug import assembly_lines, line_map
from graphc_llvm.emit import emit
from graphc_llvm.jit import Code
from tests.levels.llvm_kernels import F32, N, built, i, lit, program_of, tailed

ROOT = gc.sqrt(gc.input("x", ("N",), "float32")).node


def fused() -> Program:
    x, w, y = Buffer("x", F32, (N,)), Buffer("w", F32, ()), Buffer("y", F32, (N,))
    temps = [Temp(f"t{n}", F32) for n in range(5)]
    t0, t1, t2, t3, t4 = temps
    args: tuple[Atom, ...] = (t2, lit(1.0))
    body = (
        Load(t0, x, (i,)),
        Load(t1, w, ()),
        Let(t2, "mul", (t0, t1)),
        Let(t3, "add", args),
        Let(t4, "sqrt", (t3,), (ROOT,)),
        Store(y, (i,), t4),
    )
    kernel = Kernel(
        "fused", (Parameter(x, "in"), Parameter(w, "in"), Parameter(y, "out")), tailed("i", N, body)
    )
    return program_of(kernel)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="names of x86 instructions")
def test_the_assembly_goes_back_to_the_statements() -> None:
    program = fused()
    lines = line_map(program)
    text = str(program).splitlines()
    for number, stmt in lines.items():
        assert text[number - 1].strip() == str(stmt)
    found: dict[str, set[str]] = {}
    for number, instruction in assembly_lines(built(program).text("asm")):
        if number in lines:
            name = instruction.split()[0].removeprefix("v")
            found.setdefault(name, set()).add(str(lines[number]))
            if name == "sqrtps":
                assert lines[number].nodes == (ROOT,)
    assert found["sqrtps"] == {"t4 = sqrt t3"}
    assert found["mulps"] == {"t2 = mul t0 t1"}
    assert found["addps"] == {"t3 = add t2 1.0"}


def test_nearly_every_instruction_of_a_kernel_has_a_statement() -> None:
    program = fused()
    lines = line_map(program)
    numbers = [number for number, _ in assembly_lines(built(program).text("asm"))]
    assert len(numbers) > 20
    assert sum(n in lines for n in numbers) >= 0.8 * len(numbers)  # the others: entry and exit, at the header


def test_debug_information_changes_no_instruction() -> None:
    text = str(emit(fused()))
    bare = re.sub(r",? !dbg !\d+", "", text)

    def instructions(asm: str) -> list[str]:
        return [t.strip() for t in asm.splitlines() if t.startswith("\t") and not t.startswith("\t.")]

    assert instructions(Code(text).text("asm")) == instructions(Code(bare).text("asm"))


def sections(content: bytes) -> dict[str, bytes]:
    found = binding.ObjectFileRef.from_data(content).sections()
    return {str(s.name()): s.data() for s in found if s.is_text() or "rodata" in str(s.name())}


def test_lines_change_no_instruction() -> None:
    """What runs is compiled without them, what is shown with them."""
    x, w = gc.input("x", ("N", 12), "float32"), gc.input("w", (12, 40), "float32")
    loss = gc.sum(gc.log_softmax(gc.tanh(x @ w)))
    text = gc.compile([x, w], [loss, *gc.grad(loss, [x, w])]).stage("llvm")
    assert ", !dbg !" in text
    with_lines = sections(jit.object_of(text, jit._host()))
    assert any(with_lines.values()) and with_lines == sections(jit.compile_object(text))
