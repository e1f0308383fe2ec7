"""The interpreter as a back end: unscheduled kernels, one scalar at a time.  For tests and small lessons.

>>> import graphc as gc
>>> x = gc.input("x", (3,))
>>> gc.compile([x], gc.sum(x * x), backend="interpreter")([1.0, 2.0, 3.0])
array(14.)
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from graphc.ir.dims import Index, evaluate
from graphc.ir.types import Array
from graphc.kernel.interp import run_program
from graphc.kernel.program import Program
from graphc.kernel.turns import Turns


class InterpreterExecutable:
    """Runs the program over the memory that the caller names, like compiled code."""

    def __init__(self, program: Program) -> None:
        self._program = program

    def run(self, addresses: list[int], dims: list[int]) -> None:
        sizes = dict(zip(self._program.dims, dims, strict=True))
        arrays: list[Array] = []
        for b, address in zip(self._program.buffers, addresses, strict=True):
            shape = [evaluate(d, sizes) for d in b.shape]
            count = int(np.prod(shape)) * b.dtype.size
            memory = (ctypes.c_char * count).from_address(address) if count else bytearray()
            arrays.append(np.frombuffer(memoryview(memory), b.dtype.numpy).reshape(shape))
        run_program(self._program, arrays, sizes)

    def entry(self, careful: Callable[..., Any], lock: threading.RLock) -> None:
        """None: every call goes the careful way."""

    def loop(self) -> Callable[[Turns], None] | None:
        """None: every turn is a run."""
        return None

    def text(self, stage: str) -> str:
        raise KeyError(stage)

    def scheduled(self) -> Program:
        return self._program

    def scratch(self) -> tuple[tuple[int, Index], ...]:
        return ()
