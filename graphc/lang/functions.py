"""All functions of the language that are not rows of the op table, in NumPy's names and arguments.

| module | what is there |
|---------------------------|------------------------------------------------------------|
| `graphc.lang.apply`       | power, casts, broadcasting |
| `graphc.lang.reductions`  | sum, mean, max, argmax, softmax, ... |
| `graphc.lang.products`    | matmul, dot, tensordot, outer, kron, ... |
| `graphc.lang.linalg`      | inverse, determinant, systems, Cholesky and LU factors |
| `graphc.lang.shapes`      | reshape, transpose, moveaxis, concatenate, ... |
| `graphc.lang.arrangement` | flip, roll, tile, repeat, split, ... |
| `graphc.lang.padding`     | pad, in all modes |
| `graphc.lang.indexing`    | take, gather, scatter, one_hot, embedding, ... |
| `graphc.lang.dynamic`     | dynamic slices |
| `graphc.lang.creation`    | ranges, filled shapes, the identity, triangles, grids |
| `graphc.lang.cumulative`  | cumsum, cumprod, cummax, logcumsumexp, ... |
| `graphc.lang.ordering`    | sort, argsort, top_k, medians and quantiles |
| `graphc.lang.statistics`  | var, std, norm, maxout |
| `graphc.lang.einsum`      | einsum |
| `graphc.lang.convolution` | convolution and its transpose |
| `graphc.lang.patches`     | windows as columns |
| `graphc.lang.pooling`     | pooling and unpooling |
| `graphc.lang.regions`     | pooling over the whole, parts, regions of interest |
| `graphc.lang.images`      | resize, crop, warp |
| `graphc.lang.normalization` | batch, layer, group, local response normalisation |
| `graphc.lang.freezing`    | parameters as constants, for inference |
| `graphc.lang.random`      | counter-based random numbers |
| `graphc.lang.control`     | loops and branches: scan, cond, while_loop |

Each module lists its functions in `__all__`; they are attributes of `graphc`.

>>> from graphc.lang.tensor import input
>>> softmax(input("x", ("N", 10))).shape
(N, 10)
"""

from __future__ import annotations

from graphc.lang import apply as _apply
from graphc.lang import arrangement as _arrangement
from graphc.lang import control as _control
from graphc.lang import convolution as _convolution
from graphc.lang import creation as _creation
from graphc.lang import cumulative as _cumulative
from graphc.lang import dynamic as _dynamic
from graphc.lang import einsum as _einsum
from graphc.lang import freezing as _freezing
from graphc.lang import images as _images
from graphc.lang import indexing as _indexing
from graphc.lang import linalg as _linalg
from graphc.lang import normalization as _normalization
from graphc.lang import ordering as _ordering
from graphc.lang import padding as _padding
from graphc.lang import patches as _patches
from graphc.lang import pooling as _pooling
from graphc.lang import products as _products
from graphc.lang import random as _random
from graphc.lang import reductions as _reductions
from graphc.lang import regions as _regions
from graphc.lang import shapes as _shapes
from graphc.lang import statistics as _statistics
from graphc.lang.apply import *
from graphc.lang.arrangement import *
from graphc.lang.control import *
from graphc.lang.convolution import *
from graphc.lang.creation import *
from graphc.lang.cumulative import *
from graphc.lang.dynamic import *
from graphc.lang.einsum import *
from graphc.lang.freezing import *
from graphc.lang.images import *
from graphc.lang.indexing import *
from graphc.lang.linalg import *
from graphc.lang.normalization import *
from graphc.lang.ordering import *
from graphc.lang.padding import *
from graphc.lang.patches import *
from graphc.lang.pooling import *
from graphc.lang.products import *
from graphc.lang.random import *
from graphc.lang.reductions import *
from graphc.lang.regions import *
from graphc.lang.shapes import *
from graphc.lang.statistics import *

__all__: list[str] = []
__all__ += _apply.__all__
__all__ += _arrangement.__all__
__all__ += _control.__all__
__all__ += _convolution.__all__
__all__ += _creation.__all__
__all__ += _cumulative.__all__
__all__ += _dynamic.__all__
__all__ += _einsum.__all__
__all__ += _freezing.__all__
__all__ += _images.__all__
__all__ += _indexing.__all__
__all__ += _linalg.__all__
__all__ += _normalization.__all__
__all__ += _ordering.__all__
__all__ += _padding.__all__
__all__ += _pooling.__all__
__all__ += _patches.__all__
__all__ += _regions.__all__
__all__ += _products.__all__
__all__ += _random.__all__
__all__ += _reductions.__all__
__all__ += _shapes.__all__
__all__ += _statistics.__all__
