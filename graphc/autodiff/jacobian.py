"""Level 2, Jacobians and Hessians, by as few sweeps as the structure of the function allows.

Axes along which y is independent copies of one function of x (`graphc.autodiff.lanes`) need one sweep for all
copies; the others need one for each element, of y (reverse mode) or of x (forward mode), whichever has fewer.

| y by x                              | sweeps         | what is computed                               |
|-------------------------------------|----------------|------------------------------------------------|
| `sin(x)`, x [N, 4]                  | 1              | the diagonal                                   |
| a network, [N, 4] → [N, 3]          | 3              | N blocks of 3 × 4                              |
| a dense map, [4] → [3]              | 3              | all of it                                      |

Many sweeps are the steps of one loop, so that the graph stays small.

>>> import graphc as gc
>>> x = gc.input("x", ("N",))
>>> J = jacobian(x * x, x)
>>> gc.compile([x], J, backend="reference")([3.0, 4.0]).tolist()
[[6.0, 0.0], [0.0, 8.0]]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from graphc.autodiff.forward import push_forward
from graphc.autodiff.lanes import lanes
from graphc.autodiff.reverse import check_scalar, check_tensors, differentiate, differentiate_all
from graphc.errors import GradientError
from graphc.ir.dims import Index, product
from graphc.ir.node import Node, locations, node, toposort
from graphc.ir.types import DType, Shape, shape_text
from graphc.lang.control import scan
from graphc.lang.source import operation
from graphc.lang.tensor import Tensor
from graphc.ops.elementwise import Cast, constant_like, elementwise
from graphc.ops.leaves import Const, Iota
from graphc.ops.views import Concat, Expand, Reshape, Transpose
from graphc.passes.rules_stability import stabilize

UNROLLED = 16
"""The most sweeps that are written out; more are steps of a loop."""


@operation
def jacobian(y: Tensor, x: Tensor) -> Tensor:
    """∂y/∂x as one tensor of shape [*y.shape, *x.shape]: element [i…, j…] is ∂y[i…]/∂x[j…].

    Row by row in reverse mode, or column by column in forward mode where x is smaller than y; axes along which y is
    independent copies of one function of x need no sweeps of their own, and are zero off the diagonal.  Dimensions
    may be named.  Raises GradientError where y does not depend on x.
    """
    y, x = _prepared(y, x, "Jacobian")
    return Tensor(_Sweeps.of(y.node, x.node).full())


@operation
def batch_jacobian(y: Tensor, x: Tensor) -> Tensor:
    """The Jacobian of each row of y by the same row of x: y [N, m], x [N, n] → [N, m, n].

    For functions that are applied to every row of a batch by itself; the shapes are [N, *y.shape[1:],
    *x.shape[1:]].  Raises GradientError where a row of y depends on other rows of x, and names the operation that
    mixes them.  (TensorFlow: GradientTape.batch_jacobian; PyTorch: vmap(jacrev(f)).)
    """
    y, x = _prepared(y, x, "Jacobian")
    if not y.ndim or not x.ndim or y.shape[0] != x.shape[0]:
        raise GradientError(
            f"a {y.node.type} and a {x.node.type} have no batch in common",
            why="the first axis of both must be the batch",
            fix="transpose them, or use gc.jacobian",
        )
    sweeps = _Sweeps.of(y.node, x.node)
    if sweeps.pairs.get(0) != 0:
        raise _mixed(y.node, x.node)
    return Tensor(sweeps.full(merged=(0,)))


@operation
def hessian(f: Tensor, x: Tensor) -> Tensor:
    """The second derivatives of a scalar, of shape [*x.shape, *x.shape]: the Jacobian of the gradient.

    A sum of losses of single samples has one block for each, and takes as many sweeps as one sample has elements.
    """
    check_tensors([f, x], "f and x")
    check_scalar(f)
    f, x = _prepared(f, x, "Hessian")
    gradient = differentiate(f.node, (x.node,)).wrt[0]
    if x.node not in toposort([gradient]):  # f is linear in x
        return Tensor(_zeros(x.dtype, (*x.shape, *x.shape)))
    return jacobian(Tensor(gradient), x)


@operation
def hvp(f: Tensor, x: Tensor | Sequence[Tensor], v: Tensor | Sequence[Tensor]) -> Tensor | list[Tensor]:
    """The Hessian of a scalar times a vector, without the Hessian: forward mode over the gradient.

    The cost is a few times that of f.  `x` is one tensor or several, with one v of its type for each; the result
    has the types of x.  Raises GradientError where f does not depend on an x, or a v does not fit.
    (Pearlmutter, Fast exact multiplication by the Hessian, 1994.)
    """
    check_tensors([f], "f")
    check_scalar(f)
    targets = [x] if isinstance(x, Tensor) else list(x)
    along = [v] if isinstance(v, Tensor) else list(v)
    check_tensors([*targets, *along], "x and v")
    if [t.node.type for t in targets] != [t.node.type for t in along]:
        raise GradientError(
            f"v is {', '.join(str(t.node.type) for t in along)}, and "
            f"x is {', '.join(str(t.node.type) for t in targets)}",
            fix="give one vector of its type for each x",
        )
    stable = stabilize([f.node], [t.node for t in targets])
    xs = [stable[t.node] for t in targets]
    gradients = differentiate(stable[f.node], xs).wrt
    tangents = {a: b.node for a, b in zip(xs, along, strict=True)}
    curved = [g for g in gradients if not tangents.keys().isdisjoint(toposort([g]))]
    pushed = dict(zip(curved, push_forward(curved, tangents), strict=True))
    found = [Tensor(pushed[g] if g in pushed else constant_like(0.0, g)) for g in gradients]
    return found[0] if isinstance(x, Tensor) else found


def _prepared(y: Tensor, x: Tensor, what: str) -> tuple[Tensor, Tensor]:
    """Both with stable formulas in place of naive ones; raises GradientError where there is no derivative."""
    check_tensors([y, x], "y and x")
    if not y.dtype.is_float or not x.dtype.is_float:
        raise GradientError(
            f"there is no {what} of a {y.node.type} by a {x.node.type}", why="both must be floating-point"
        )
    found = stabilize([y.node], [x.node])
    y, x = Tensor(found[y.node], y.name), Tensor(found[x.node], x.name)
    if x.node not in toposort([y.node]):
        differentiate(y.node, (x.node,))  # says that y does not depend on x
    return y, x


def _mixed(y: Node, x: Node) -> GradientError:
    """Why the rows of y are no functions of single rows of x."""
    found = lanes([y], x)
    order = [n for n in toposort([y]) if found[n] is not None and n is not x]
    culprit = next((n for n in order if 0 not in (found[n] or {}).values()), y)
    place = next(iter(locations(culprit)), None)
    where = f" ({place}: {place.text})" if place is not None else ""
    if culprit is y and 0 in (found[y] or {}).values():
        why = "the rows of x are not along the first axis of y"
    else:
        why = f"{culprit.op.label} mixes the rows{where}"
    return GradientError(
        "a row of y depends on more than the same row of x",
        why=why,
        fix=f"use gc.jacobian, of shape {shape_text((*y.type.shape, *x.type.shape))}",
    )


@dataclass(frozen=True, slots=True)
class _Sweeps:
    """A Jacobian in the making: `pairs` are the lanes, the other axes of y and x are swept over."""

    y: Node
    x: Node
    pairs: Mapping[int, int]
    rows: tuple[int, ...]
    columns: tuple[int, ...]

    @staticmethod
    def of(y: Node, x: Node) -> _Sweeps:
        pairs: dict[int, int] = {}
        for a, b in sorted((lanes([y], x)[y] or {}).items()):
            if y.type.shape[a] == x.type.shape[b] and b not in pairs.values():
                pairs[a] = b
        rows = tuple(a for a in range(y.type.rank) if a not in pairs)
        columns = tuple(b for b in range(x.type.rank) if b not in pairs.values())
        return _Sweeps(y, x, pairs, rows, columns)

    def full(self, merged: Sequence[int] = ()) -> Node:
        """The Jacobian; of the pairs of `merged` axes of y, the axis of x is left out and not zero-filled."""
        y, x = self.y.type, self.x.type
        dropped = {self.pairs[a] for a in merged}
        kept = [b for b in range(x.rank) if b not in dropped]
        shape = (*y.shape, *(x.shape[b] for b in kept))
        if 0 in shape:
            return _zeros(y.dtype, shape)
        compact = self.compact()  # [lanes of y, other axes of y, other axes of x]
        order = (*self.pairs, *self.rows)
        perm = [order.index(a) for a in range(y.rank)] + [len(order) + k for k in range(len(self.columns))]
        placed = _transposed(compact, perm)
        diagonal = {y.rank + kept.index(b): a for a, b in self.pairs.items() if a not in merged}
        thin = tuple(1 if k in diagonal else d for k, d in enumerate(shape))
        placed = _reshaped(placed, thin)
        if not diagonal:
            return placed
        placed = node(Expand(shape), placed)
        inside: Node | None = None
        for b, a in sorted(diagonal.items()):
            same = elementwise("equal", *(node(Iota(shape, k, DType.I64)) for k in (a, b)))
            inside = same if inside is None else elementwise("logical_and", inside, same)
        assert inside is not None
        return elementwise("where", inside, placed, constant_like(0.0, placed))

    def compact(self) -> Node:
        """What is not zero everywhere, of shape [lanes…, rows…, columns…]."""
        height, width = (
            product(n.type.shape[a] for a in axes)
            for n, axes in ((self.y, self.rows), (self.x, self.columns))
        )
        down = isinstance(height, int) and isinstance(width, int) and height <= width
        if down or not isinstance(width, int):
            lines = _lines(self.y, self.rows, self._row)
            ahead = len(self.rows)  # [rows…, lanes…, columns…]
            middle = range(ahead, ahead + len(self.pairs))
            rest = range(ahead + len(self.pairs), lines.type.rank)
            return _transposed(lines, [*middle, *range(ahead), *rest])
        lines = _lines(self.x, self.columns, self._column)
        ahead = len(self.columns)  # [columns…, lanes…, rows…]
        return _transposed(lines, [*range(ahead, lines.type.rank), *range(ahead)])

    def _row(self, unit: Node) -> Node:
        """One sweep of reverse mode: [lanes…, columns…]."""
        found = differentiate_all([(self.y, unit)], [self.x]).wrt[0]
        return _transposed(found, [*self.pairs.values(), *self.columns])

    def _column(self, unit: Node) -> Node:
        """One sweep of forward mode: [lanes…, rows…]."""
        (found,) = push_forward([self.y], {self.x: unit})
        return _transposed(found, [*self.pairs, *self.rows])


def _lines(like: Node, axes: Sequence[int], sweep: Callable[[Node], Node]) -> Node:
    """A sweep for each unit over some axes of a node, the same along all others; stacked along these axes."""
    type = like.type
    swept = tuple(type.shape[a] for a in axes)
    thin = tuple(d if a in axes else 1 for a, d in enumerate(type.shape))
    count = product(swept)

    def spread(unit: Node) -> Node:
        return _expanded(_reshaped(unit, thin), type.shape)

    if isinstance(count, int) and count <= UNROLLED:
        units = np.eye(count, dtype=type.dtype.numpy)
        lines = [sweep(spread(node(Const.of(u.reshape(_known(swept)))))) for u in units]
        flat = [_reshaped(line, (1, *line.type.shape)) for line in lines]
        stacked = flat[0] if len(flat) == 1 else node(Concat(0), *flat)
    else:
        places = _reshaped(node(Iota((count,), 0, DType.I64)), swept)

        def step(carry: None, place: Tensor) -> tuple[None, Tensor]:
            here = elementwise("equal", places, _expanded(place.node, swept))
            return None, Tensor(sweep(spread(node(Cast(type.dtype), here))))

        stacked = scan(step, None, Tensor(node(Iota((count,), 0, DType.I64))))[1].node
    return _reshaped(stacked, (*swept, *stacked.type.shape[1:]))


def _known(shape: Shape) -> list[int]:
    return [d for d in shape if isinstance(d, int)]


def _zeros(dtype: DType, shape: Sequence[Index]) -> Node:
    return _expanded(node(Const.of(0, dtype)), tuple(shape))


def _expanded(n: Node, shape: Shape) -> Node:
    return n if n.type.shape == shape else node(Expand(shape), n)


def _reshaped(n: Node, shape: Shape) -> Node:
    return n if n.type.shape == shape else node(Reshape(shape), n)


def _transposed(n: Node, perm: Sequence[int]) -> Node:
    return n if list(perm) == sorted(perm) else node(Transpose(tuple(perm)), n)
