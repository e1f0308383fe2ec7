"""All functions of the language that are not rows of the op table, in NumPy's names and arguments.

| module | what is there |
|---------------------------|------------------------------------------------------------|
| `graphc.lang.apply`       | power, casts, broadcasting |
| `graphc.lang.reductions`  | sum, mean, max, argmax, softmax, ... |
| `graphc.lang.products`    | matmul, dot, outer |
| `graphc.lang.linalg`      | inverse, determinant, systems, Cholesky and LU factors |
| `graphc.lang.shapes`      | reshape, transpose, indexing, concatenate, take, ... |
| `graphc.lang.convolution` | convolution, its transpose, patches |
| `graphc.lang.pooling`     | pooling and unpooling |
| `graphc.lang.images`      | resize, crop, warp, regions of interest |
| `graphc.lang.normalization` | batch, layer, group, local response normalisation |
| `graphc.lang.random`      | counter-based random numbers |
| `graphc.lang.control`     | loops and branches: scan, cond, while_loop |

Each module lists its functions in `__all__`; they are attributes of `graphc`.

>>> from graphc.lang.tensor import input
>>> softmax(input("x", ("N", 10))).shape
(N, 10)
"""

from __future__ import annotations

from graphc.lang import apply as _apply
from graphc.lang import control as _control
from graphc.lang import convolution as _convolution
from graphc.lang import images as _images
from graphc.lang import linalg as _linalg
from graphc.lang import normalization as _normalization
from graphc.lang import pooling as _pooling
from graphc.lang import products as _products
from graphc.lang import random as _random
from graphc.lang import reductions as _reductions
from graphc.lang import shapes as _shapes
from graphc.lang.apply import *
from graphc.lang.control import *
from graphc.lang.convolution import *
from graphc.lang.images import *
from graphc.lang.linalg import *
from graphc.lang.normalization import *
from graphc.lang.pooling import *
from graphc.lang.products import *
from graphc.lang.random import *
from graphc.lang.reductions import *
from graphc.lang.shapes import *

__all__: list[str] = []
__all__ += _apply.__all__
__all__ += _control.__all__
__all__ += _linalg.__all__
__all__ += _convolution.__all__
__all__ += _pooling.__all__
__all__ += _images.__all__
__all__ += _normalization.__all__
__all__ += _products.__all__
__all__ += _random.__all__
__all__ += _reductions.__all__
__all__ += _shapes.__all__
