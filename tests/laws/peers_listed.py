"""All rows of the tables, and the functions that have none because neither peer has what they do.

>>> len(every_row()) > 300
True
"""

from __future__ import annotations

import peers_elementwise
import peers_functions
import peers_shapes
import peers_windows
from peers import Row

__all__ = ["COMPARED_ELSEWHERE", "WITHOUT_PEER", "every_row"]

COMPARED_ELSEWHERE = {
    "cond": "test_peers_control.py",
    "scan": "test_peers_control.py",
    "while_loop": "test_peers_control.py",
}

_OWN_BITS = "graphc draws its own bits, the same on every back end; no peer draws them (test_random.py)"
WITHOUT_PEER = {
    **dict.fromkeys(
        (
            "dropout", "random_bernoulli", "random_bits", "random_categorical", "random_fold_in",
            "random_integers", "random_normal", "random_permutation", "random_split", "random_uniform",
        ),
        _OWN_BITS,
    ),
    "freeze": "it replaces parameters by their values (test_memory_orders.py)",
    "multiply_no_nan": "TensorFlow has it; PyTorch and JAX do not",
    "roi_pool": "torchvision has it; PyTorch and JAX do not",
}  # fmt: skip
"""Public functions that no row compares, and why."""


def every_row() -> dict[str, Row]:
    tables = (peers_elementwise.ROWS, peers_functions.ROWS, peers_shapes.ROWS, peers_windows.ROWS)
    rows = {name: row for table in tables for name, row in table.items()}
    assert len(rows) == sum(map(len, tables)), "two tables use one name"
    return rows
