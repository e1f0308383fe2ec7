"""Worked numeric examples of five lecture decks: which there are, where each is tested, and what the tests share.

The figures are literals, in `worked_numbers.py` (W01 to W31) and `worked_pictures.py` (W32 to W62).  Each example
names its source: the deck, and the lines of its text.

| deck | title |
|------|-------------------------------------------------------------------------------------|
| 000  | Introduction to Deep Learning (S. Nouri, 2019) |
| 001  | Deep Learning Tutorial (courtesy of Hung-yi Lee) |
| 002  | Computer Vision: Deep Learning |
| 003  | Deep Learning for Computer Vision (MIT 6.S191, A. Soleimany) |
| 004  | Redes Convolucionais (F. N. B. Gois, Universidade Federal do Ceará) |

STATED: input and output are in the deck.  COMPUTED: the input is, the output was computed from it in float64.
RECONSTRUCTED: part of the input was in a lost figure, and is restored so that the stated output follows.
FORMULA: the deck gives a formula, the numbers are made up.  LOST: the numbers cannot be recovered.
`stated_*` are printed digits, within `tol_stated`; the others hold within `tol` (absolute) or `rtol` (relative).

| tested in | examples |
|---------------------------|-----------------------------------------------------------------------|
| test_worked_examples.py   | W01 to W14: perceptrons, activations, linear classifiers, sigmoid networks |
| test_worked_losses.py     | W15 to W22: losses, regularisers, features |
| test_worked_training.py   | W23 to W31: backpropagation, descent, learning rules |
| test_worked_images.py     | W32 to W42, W44: convolution and its arithmetic |
| test_worked_filters.py    | W43, W45 to W51, W58 to W60: image filters, the toy network, images |
| test_worked_networks.py   | W52 to W57, W61: architectures, pooling, normalisation, metrics |
| nowhere                   | W62: constants printed on the slides; there is nothing to compute |

Parts of an example that cannot be computed: the votes 0.92 and 0.51 of W51 (their weights are lost; W29 takes
them as given) and ZFNet in W53 (nothing but "8 layers, more filters").  Where a deck contradicts itself, graphc
follows the formula; the test says which and asserts the difference:

| example  | the deck                                         | graphc |
|----------|--------------------------------------------------|--------------------------------------------|
| W04      | a perceptron at 0: >= fires; sign(0) is open     | both: heaviside(0, 1) is 1, sign(0) is 0 |
| W09      | the third score, 61.95, lacks its bias           | 60.75 |
| W19      | some slides lose the minus of cross-entropy      | with the minus |
| W29      | O: 0 - 0.51 = 0.49                               | -0.51 |
| W30      | momentum without a minus                         | descends |
| W34, W43 | a kernel is flipped (text), or not (all tables)  | not flipped; `flip=True` does |
| W46, W47 | 5/9 = .55, 7/9 = .77                             | 5/9, 7/9: the deck truncates |
| W50, W55 | 7 pooled by 2 is (7 - 2)/2 + 1, but drawn as 4   | 3; `ceil_mode=True` gives 4 |
| W52      | "total volume is preserved"                      | 15680, 3920, 9800, 2450 |
| W53      | GoogLeNet has 5 million parameters               | 5,973,552 in convolutions, 6,998,552 in all |

>>> len(W), W["W03"]["f"]
(62, -12.0)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import worked_numbers
import worked_pictures

import graphc as gc
from graphc.lang.tensor import Tensor

W: dict[str, dict[str, Any]] = {**worked_numbers.W, **worked_pictures.W}

on_both = pytest.mark.parametrize("backend", ["reference", "llvm"])


def run(backend: str, outputs: Sequence[Tensor], given: dict[Tensor, Any] | None = None) -> tuple[Any, ...]:
    """The values of the outputs, compiled together."""
    values = dict(given or {})
    found = gc.compile(list(values), list(outputs), backend=backend)(*values.values())
    assert isinstance(found, tuple)
    return found


def close(found: Any, expected: Any, tol: float = 0.0, rtol: float = 0.0) -> None:
    """Within `tol` (absolute) or `rtol` (relative); exactly, where neither is given."""
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=tol)


def equal(found: Any, expected: Any) -> None:
    np.testing.assert_array_equal(found, expected)
