"""Every other element of an array is read by whole vectors, which must not reach behind its end."""

from __future__ import annotations

import ctypes
import mmap
import os

import numpy as np
import pytest

import graphc as gc


@pytest.mark.skipif(not hasattr(mmap, "MAP_ANONYMOUS") or os.name != "posix", reason="no pages to protect")
@pytest.mark.parametrize("size", [15, 31, 63, 127, 255])
def test_every_other_element_is_read_and_nothing_behind_the_last_one(size: int) -> None:
    page = mmap.PAGESIZE
    held = mmap.mmap(-1, 2 * page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(held))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mprotect(ctypes.c_void_p(start + page), ctypes.c_size_t(page), 0) == 0
    try:
        x = np.frombuffer(held, np.float32, size, page - 4 * size)
        x[:] = np.arange(size)
        t = gc.input("t", size, "float32")
        fn = gc.compile([t], t[::2] * 2.0, cache=False)
        np.testing.assert_array_equal(fn(x), 2.0 * np.arange(0, size, 2))
    finally:
        assert libc.mprotect(ctypes.c_void_p(start + page), ctypes.c_size_t(page), 3) == 0
