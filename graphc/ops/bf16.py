"""Numbers of bfloat16, two in a word: the upper half of an f32, with 8 significant bits.

```
word ::= first | second << 16        each the sign, the 8 bits of the exponent and the first 7 of the fraction
```

Rounding is to the nearest, of two to the even one.  NaN stays NaN and infinities stay; from 2^128 − 2^119 on a
number becomes an infinity, and below 2^-126, where f32 has subnormals, a zero of its sign: so say the
instructions of x86 that do this (Intel, Architecture Instruction Set Extensions, VCVTNEPS2BF16, VDPBF16PS).

>>> word = packed(np.float32(1.0), np.float32(-1.00390625))      # -1 - 2^-8 lies halfway: to the even one
>>> hex(int(word)), [float(v) for v in unpacked(word)]
('0xbf803f80', [1.0, -1.0])
>>> float(dot(word, word, np.float32(0.5)))
2.5
"""

from __future__ import annotations

import numpy as np

from graphc.ir.types import Array

_BLOCK = 1 << 14


def rounded(x: Array) -> Array:
    """The upper half of each number, rounded, as the lower half of a u32."""
    bits = np.asarray(x, np.float32).view(np.uint32)
    size = bits & np.uint32(0x7FFFFFFF)
    up = bits + np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))
    up = np.where(size > 0x7F800000, bits | np.uint32(0x400000), up)
    return np.asarray(np.where(size < 0x800000, bits & np.uint32(0x80000000), up) >> np.uint32(16))


def packed(first: Array, second: Array) -> Array:
    """The words of two arrays of f32."""
    if np.ndim(first) == 0:
        return np.asarray(rounded(first) | rounded(second) << np.uint32(16))
    # In blocks, so that what lies between stays in the caches: weights may be a hundred million numbers.
    found = np.empty(np.shape(first), np.uint32)
    flags = ["external_loop", "buffered", "zerosize_ok"]
    kinds = [["readonly"], ["readonly"], ["writeonly"]]
    with np.nditer([first, second, found], flags, kinds, buffersize=_BLOCK) as blocks:  # type: ignore[arg-type]
        for a, b, words in blocks:
            words[...] = rounded(a) | rounded(b) << np.uint32(16)
    return found


def unpacked(words: Array) -> tuple[Array, Array]:
    """The two numbers of each word, as f32."""
    given = np.asarray(words, np.uint32)
    return (given << np.uint32(16)).view(np.float32), (given & np.uint32(0xFFFF0000)).view(np.float32)


def dot(words: Array, others: Array, c: Array) -> Array:
    """c and the products of both pairs, added: the products are exact in f64, and f32 is rounded to once."""
    (a, b), (d, e) = unpacked(words), unpacked(others)
    with np.errstate(all="ignore"):
        products = np.multiply(a, d, dtype=np.float64) + np.multiply(b, e, dtype=np.float64)
        return np.asarray(np.add(products, c).astype(np.float32))
