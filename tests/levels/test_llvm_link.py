"""Machine code is linked wherever memory is free: its sections lie together, however scattered the holes are."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import graphc_llvm

SCATTERED = """
    import ctypes
    from graphc_llvm.jit import Code

    text = '''
    @c = private constant [4 x double] [double 1.5, double 2.5, double 3.5, double 4.5]
    define i64 @graphc_entry(ptr %a, ptr %b) {
      %i = load i64, ptr %a
      %p = getelementptr [4 x double], ptr @c, i64 0, i64 %i
      %x = load double, ptr %p
      %y = fmul double %x, 3.25
      store double %y, ptr %b
      ret i64 0
    }'''
    Code(text)  # LLVM has all that it needs
    libc = ctypes.CDLL(None)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    # Room on the heap, for Python and LLVM, while nothing else is left: it neither shrinks (M_TRIM_THRESHOLD)
    # nor leaves large blocks to mmap (M_MMAP_THRESHOLD).
    assert libc.mallopt(-1, 1 << 30) and libc.mallopt(-3, 1 << 24)
    room = [bytearray(1 << 20) for _ in range(64)]
    del room
    size, held = 1 << 46, []
    while size >= 4096:  # all addresses, but no memory: PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
        block = libc.mmap(None, size, 0, 0x4022, -1, 0)
        if block in (None, ctypes.c_void_p(-1).value):
            size //= 2
        else:
            held.append((size, block))
    size, block = max(held)
    for k in range(1, 60):  # holes of one page each, 5 GB apart, and below them one that is wide
        libc.munmap(block + size - k * (5 << 30), 4096 if k < 50 else 1 << 16)
    for _ in range(4):
        code = Code(text)
        place, result = ctypes.c_int64(3), ctypes.c_double()
        run = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)(code.address)
        run(ctypes.addressof(place), ctypes.addressof(result))
        assert result.value == 14.625
    print("linked")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="fills the addresses of a process as Linux does")
def test_code_is_linked_where_free_memory_lies_in_holes_far_apart() -> None:
    """Constants of an object may be further from its code than 32 bits reach, which would abort the process."""
    where = Path(graphc_llvm.__file__).parent.parent
    command = [sys.executable, "-c", textwrap.dedent(SCATTERED)]
    found = subprocess.run(command, cwd=where, capture_output=True, text=True, timeout=60, check=False)
    assert (found.returncode, found.stdout.strip()) == (0, "linked"), found.stderr[-600:]
