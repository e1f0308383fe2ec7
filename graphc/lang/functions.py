"""All functions of the language that are not rows of the op table, in NumPy's names and arguments.

| module | what is there |
|---------------------------|------------------------------------------------------------|
| `graphc.lang.apply`       | rows of the table with promotion and broadcasting; casts |
| `graphc.lang.reductions`  | sum, mean, max, argmax, softmax, ... |
| `graphc.lang.products`    | matmul, dot, outer |
| `graphc.lang.shapes`      | reshape, transpose, indexing, concatenate, take, ... |

>>> from graphc.lang.tensor import input
>>> softmax(input("x", ("N", 10))).shape
(N, 10)
"""

from __future__ import annotations

from graphc.lang.apply import apply, binary, broadcast_to, cast, power, size_as, unary, zeros_like
from graphc.lang.products import dot, matmul, outer
from graphc.lang.reductions import argmax, argmin, log_softmax, logsumexp, max, mean, min, softmax, sum
from graphc.lang.shapes import (
    concatenate,
    expand_dims,
    getitem,
    one_hot,
    pad,
    pick,
    reshape,
    squeeze,
    stack,
    take,
    transpose,
)

__all__ = [
    "apply",
    "argmax",
    "argmin",
    "binary",
    "broadcast_to",
    "cast",
    "concatenate",
    "dot",
    "expand_dims",
    "getitem",
    "log_softmax",
    "logsumexp",
    "matmul",
    "max",
    "mean",
    "min",
    "one_hot",
    "outer",
    "pad",
    "pick",
    "power",
    "reshape",
    "size_as",
    "softmax",
    "squeeze",
    "stack",
    "sum",
    "take",
    "transpose",
    "unary",
    "zeros_like",
]
