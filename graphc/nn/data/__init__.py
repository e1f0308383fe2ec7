"""Data that comes with graphc: real handwritten digits, small enough to ship.

`digits()` gives the test part of UCI's "Optical Recognition of Handwritten Digits" (E. Alpaydin, C. Kaynak,
1998, doi 10.24432/C50P49, CC BY 4.0): 1 797 images of 8×8 pixels, scaled to 28×28.

>>> (X, T), (X_test, T_test) = digits()
>>> X.shape, str(X.dtype), T.shape, X_test.shape
((1437, 1, 28, 28), 'float32', (1437,), (360, 1, 28, 28))
>>> float(X.min()), float(X.max())
(0.0, 1.0)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from graphc.errors import ArgumentError

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Split: TypeAlias = tuple[Array, Array]

TEST_PER_CLASS = 36


def digits(size: int = 28, border: int = 2) -> tuple[Split, Split]:
    """((X, T), (X_test, T_test)): X is float32 [n, 1, size, size] in 0..1, T int64 [n] in 0..9.

    The 8×8 images are scaled bilinearly to (size − 2·border)² and framed by zeros, so that strokes are as
    wide as in MNIST.  `size=8, border=0` gives the original pixels, divided by 16.

    The test images are 36 of each class, evenly spaced through the file; the split is the same in every
    process.  The order of the file is kept.
    """
    if border < 0 or size - 2 * border < 1:
        raise ArgumentError(f"a border of {border} leaves nothing of an image of {size} pixels")
    with np.load(Path(__file__).with_name("digits.npz"), allow_pickle=False) as file:
        small, labels = file["images"].astype(np.float32) / 16.0, file["labels"].astype(np.int64)
    inner = resize(small, size - 2 * border)
    images = np.pad(inner, ((0, 0), (border, border), (border, border)))[:, None]
    test = np.zeros(len(labels), dtype=bool)
    for digit in range(10):
        members = np.flatnonzero(labels == digit)
        chosen = (2 * np.arange(TEST_PER_CLASS) + 1) * len(members) // (2 * TEST_PER_CLASS)
        test[members[chosen]] = True
    return (images[~test], labels[~test]), (images[test], labels[test])


def resize(images: Array, size: int) -> Array:
    """Images [n, k, k] scaled bilinearly to [n, size, size]; pixel centres are at (i + ½)/k, edges repeat.

    >>> resize(np.array([[[0.0, 1.0], [0.0, 1.0]]]), 4)[0, 0].tolist()
    [0.0, 0.25, 0.75, 1.0]
    """
    k = images.shape[-1]
    place = np.clip((np.arange(size) + 0.5) * k / size - 0.5, 0, k - 1)
    left = np.minimum(place.astype(np.int64), max(0, k - 2))
    share = place - left
    weights = np.zeros((size, k))
    weights[np.arange(size), left] += 1 - share
    weights[np.arange(size), np.minimum(left + 1, k - 1)] += share
    # einsum without `optimize` sums in a fixed order, so that every machine gets the same pixels.
    scaled = np.einsum("ia,nab,jb->nij", weights, images.astype(np.float64), weights)
    return np.ascontiguousarray(np.clip(scaled, 0.0, 1.0), dtype=images.dtype)
