"""Level 6, copies that turn rows into columns: vector loads of the rows, a network of shuffles, vector stores.

A tile of n × n elements in an unrolled loop around a vector loop,

```
for u in 0..n unroll
  for l in 0..n vector(n)
    t = load x[...]       next to each other in u, anywhere in l
    store y[...], t       next to each other in l, anywhere in u
```

is n loads, n·log2(n) shuffles and n stores, instead of n² loads of one element.

>>> exchange(4, 1)
((0, 4, 2, 6), (1, 5, 3, 7))
"""

from __future__ import annotations

from graphc.ir.types import DType
from graphc.kernel.ir import For, Kind, Load, Store
from graphc_llvm.sites import Site
from graphc_llvm.writer import Writer, type_of


def tile(site: Site) -> tuple[Site, Site] | None:
    """The load and the store of an unrolled loop that may be such a tile, judged by its statements."""
    u = site.stmt
    if not isinstance(u, For) or u.kind is not Kind.UNROLL or u.lo != 0 or len(site.body) != 1:
        return None
    (inner,) = site.body
    lanes = inner.stmt
    if not isinstance(lanes, For) or lanes.kind is not Kind.VECTOR or len(inner.body) != 2:
        return None
    load, store = inner.body
    if not isinstance(load.stmt, Load) or not isinstance(store.stmt, Store):
        return None
    n = lanes.lanes
    square = u.hi == lanes.extent == n and n > 1 and n & (n - 1) == 0
    same = store.stmt.value == load.stmt.temp and load.stmt.buffer.dtype is not DType.BOOL
    return (load, store) if square and same else None


def exchange(n: int, distance: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Two rows exchange blocks of so many elements: which of their 2n elements the new rows take."""
    first = tuple(k if not k & distance else n + k - distance for k in range(n))
    second = tuple(k + distance if not k & distance else n + k for k in range(n))
    return first, second


def transpose(w: Writer, dtype: DType, rows: list[str]) -> list[str]:
    """The columns of n rows of n elements."""
    n, rows = len(rows), list(rows)
    t = type_of(dtype, n)
    distance = n // 2
    while distance:
        masks = exchange(n, distance)
        for k in range(n):
            if not k & distance:
                pair = f"{t} {rows[k]}, {t} {rows[k + distance]}"
                rows[k], rows[k + distance] = (
                    w.emit(f"shufflevector {pair}, <{n} x i32> <{', '.join(f'i32 {e}' for e in mask)}>")
                    for mask in masks
                )
        distance //= 2
    return rows
