"""Level 0, control flow inside the graph: loops and branches whose bodies are Python functions of tensors.

| function     | what it builds                                                                             |
|--------------|--------------------------------------------------------------------------------------------|
| `scan`       | a loop with a known number of steps, with carried state and stacked results                |
| `cond`       | one of two sides, chosen when the program runs                                             |
| `while_loop` | a loop that goes on while a condition holds                                                |

A body is called once, to build its graph.  It may use tensors from around it, as any Python function may.  What
goes in and comes out are tensors, or tuples, lists and dicts of them, or None.

>>> import graphc as gc
>>> xs = gc.input("xs", ("T",))
>>> total, running = gc.scan(lambda c, x: (c + x, c + x), 0.0, xs)
>>> gc.compile([xs], [total, running], backend="reference")([1.0, 2.0, 3.0])
(array(6.), array([1., 3., 6.]))
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from graphc.errors import ArgumentError, DTypeError, ShapeError
from graphc.ir.block import Block, BlockOp
from graphc.ir.dims import Dim, Index
from graphc.ir.node import Node, node, toposort
from graphc.ir.types import DType, TensorType, shape_of
from graphc.lang.shapes import concatenate, reshape
from graphc.lang.source import calls_back, operation
from graphc.lang.tensor import Tensor, as_tensor
from graphc.lang.trees import Flat, Tree, flatten, number_dtype
from graphc.ops.control import Cond, Scan, While
from graphc.ops.leaves import Const, Extent, Input, Iota
from graphc.ops.views import Expand, Reshape

__all__ = ["cond", "scan", "while_loop"]


@calls_back
def scan(
    f: Callable[[Tree, Tree], tuple[Tree, Tree]],
    init: Tree,
    xs: Tree = None,
    *,
    length: int | str | Dim | None = None,
    reverse: bool = False,
    checkpoint: bool | int = False,
) -> tuple[Tree, Tree]:
    """A loop: `carry, y = f(carry, x)` for each x along the first axis of xs; gives the last carry and all ys.

    `init` is the first carry; every carry has its shapes and dtypes.  `xs` is a tensor [T, ...], or a tree of
    such; without it the loop takes `length` steps, and f gets None.  T may be a named dimension: one compiled
    function then serves every length.  The ys are stacked along a new first axis.  With `reverse` the loop runs
    from the last x to the first; the ys stay where their xs are.

    Forward and reverse differentiable.  The gradient stores what it reads of every step.  With `checkpoint=k` it
    stores the carries of every k-th step only, and computes the k steps from there again: room for T/k + k steps
    instead of T, for one more forward pass (Griewank, Optim. Methods Softw. 1, 1992).  `checkpoint=True` takes
    k near √T.  Raises ArgumentError, ShapeError or DTypeError where xs, length and the carries do not fit together.
    """
    carried, elements, size = _scanned(init, xs, length)
    k = _segment(checkpoint, size)
    inside = [*map(_placeholder, carried.types), *(_placeholder(_element(t)) for t in elements.types)]
    made = f(carried.build(inside[: len(carried)]), elements.build(inside[len(carried) :]))
    return _scan(made, carried, elements, inside, size, reverse, k)


@calls_back
def cond(
    pred: Tensor | bool, true_fun: Callable[..., Tree], false_fun: Callable[..., Tree], *operands: Tree
) -> Tree:
    """`true_fun(*operands)` where pred holds, else `false_fun(*operands)`; only one of them is computed.

    `pred` is a scalar of dtype bool.  Both sides give trees of the same shapes and dtypes.  For a choice element by
    element, use `gc.where`.  Forward and reverse differentiable.  Raises ShapeError, DTypeError or ArgumentError.
    """
    flag, given = _predicate(pred), flatten(operands)
    inside = [_placeholder(t) for t in given.types]
    arguments = given.build(inside)
    return _cond(flag, [true_fun(*arguments), false_fun(*arguments)], given, inside)


@calls_back
def while_loop(cond_fun: Callable[[Tree], Tensor], body_fun: Callable[[Tree], Tree], init: Tree) -> Tree:
    """`carry = body_fun(carry)` while `cond_fun(carry)` holds, which is looked at before each step.

    Every carry has the shapes and dtypes of `init`.  Differentiable in forward mode (`gc.jvp`); reverse mode is
    refused, because the number of steps is not known when memory is planned.  Raises ShapeError or DTypeError.
    """
    carried = flatten(init, number_dtype(init))
    inside = [_placeholder(t) for t in carried.types]
    test, body = cond_fun(carried.build(inside)), body_fun(carried.build(inside))
    return _while(test, body, carried, inside)


# ---- from a traced body to nodes ---------------------------------------------------------------------------


def _placeholder(type: TensorType) -> Tensor:
    """What a body is called with: a tensor that becomes a slot of its block."""
    return Tensor(node(Input("placeholder", type)))


def _element(t: TensorType) -> TensorType:
    return t.with_shape(t.shape[1:])


@operation
def _scanned(init: Tree, xs: Tree, length: int | str | Dim | None) -> tuple[Flat, Flat, Index]:
    """The carry, the sequences, and how many steps there are."""
    dtype = number_dtype((init, xs))
    carried, elements = flatten(init, dtype), flatten(xs, dtype)
    for path, t in zip(elements.paths, elements.types, strict=True):
        if t.rank == 0:
            raise ShapeError(f"xs{path} is a scalar, and has no axis to loop over")
    sizes = [t.shape[0] for t in elements.types]
    if length is None and not sizes:
        raise ArgumentError("a scan without xs needs its length", fix="say length=..., or give xs")
    size = sizes[0] if length is None else shape_of((length,))[0]
    for path, t in zip(elements.paths, elements.types, strict=True):
        if t.shape[0] != size:
            what = f"length is {size}" if length is not None else f"xs{elements.paths[0]} has {size} elements"
            raise ShapeError(f"the scan cannot tell how many steps it takes: {what}, and xs{path} is {t}")
    return carried, elements, size


@operation
def _segment(checkpoint: bool | int, size: Index) -> int:
    """How many steps lie between two checkpoints; 0 for a scan that stores every step."""
    if checkpoint is False:
        return 0
    if not isinstance(size, int):
        raise ArgumentError(
            f"a scan of {size} steps cannot be checkpointed",
            why="the steps between two checkpoints are counted when the graph is built",
            fix="give the first axis of xs a number",
        )
    if checkpoint is True:
        root = max(1, math.isqrt(size))
        # Segments that fill all of the steps need no copy of the rest; any number near the root will do.
        fitting = [k for k in range(max(1, root // 2), 2 * root + 1) if size % k == 0]
        return min(fitting, key=lambda k: abs(k - root), default=root)
    if not isinstance(checkpoint, int) or checkpoint < 1:
        raise ArgumentError(f"checkpoint must be True, or 1 or more steps, not {checkpoint!r}")
    return checkpoint


@operation
def _scan(
    made: object, carried: Flat, elements: Flat, inside: Sequence[Tensor], size: Index, reverse: bool, k: int
) -> tuple[Tree, Tree]:
    if not isinstance(made, tuple) or len(made) != 2:
        raise ArgumentError(
            f"the body of a scan must give (carry, y), not {type(made).__name__}",
            fix="return carry, None where nothing is to be stacked",
        )
    new, ys = flatten(made[0]), flatten(made[1])
    _check_carry(carried, new, "scan")
    body, captured = _close(inside, [*new.nodes, *ys.nodes])
    op = Scan(body, len(carried), len(elements), size, reverse, False, 0)
    if k and isinstance(size, int):
        last, stacked = _checkpointed(op, size, k, carried.tensors, elements.tensors, captured)
    else:
        last, stacked = _split(op, [*carried.nodes, *elements.nodes, *captured])
    return carried.build(last), ys.build(stacked)


def _split(op: Scan, operands: Sequence[Node]) -> tuple[list[Tensor], list[Tensor]]:
    results = _results(op, operands)
    return results[: op.carries], results[op.carries :]


def _checkpointed(
    op: Scan, size: int, k: int, carried: Sequence[Tensor], xs: Sequence[Tensor], captured: Sequence[Node]
) -> tuple[list[Tensor], list[Tensor]]:
    """T steps  →  T // k segments of k steps, of which the carries are stored, and what is left over."""
    count, rest = divmod(size, k)
    cut = rest if op.reverse else count * k  # the segments run first
    parts = [(t[cut:], t[:cut]) if op.reverse else (t[:cut], t[cut:]) for t in xs]
    inner = [_placeholder(t.node.type) for t in carried]
    inner += [_placeholder(t.node.type.with_shape((k, *t.shape[1:]))) for t in xs]
    shared = [_placeholder(n.type) for n in captured]
    results = _results(_steps(op, k), [t.node for t in (*inner, *shared)])
    body = Block.over([t.node for t in (*inner, *shared)], [t.node for t in results])
    outer = Scan(body, op.carries, op.sequences, count, op.reverse, True, 0)
    segments = [reshape(a, (count, k, *a.shape[1:])).node for a, _ in parts]
    last, stacked = _split(outer, [*(t.node for t in carried), *segments, *captured])
    stacked = [reshape(y, (count * k, *y.shape[2:])) for y in stacked]
    if rest:
        operands = [*(t.node for t in last), *(b.node for _, b in parts), *captured]
        last, more = _split(_steps(op, rest), operands)
        pairs = zip(stacked, more, strict=True)
        stacked = [concatenate([b, a] if op.reverse else [a, b]) for a, b in pairs]
    return last, stacked


def _steps(op: Scan, length: int) -> Scan:
    return Scan(op.body, op.carries, op.sequences, length, op.reverse, False, 0)


@operation
def _predicate(pred: Tensor | bool) -> Tensor:
    flag = as_tensor(pred)
    if flag.ndim != 0:
        raise ShapeError(
            f"the condition of a cond is {flag.node.type}, no scalar",
            why="one side is computed as a whole",
            fix="choose element by element with gc.where(condition, a, b), or reduce it with gc.any or gc.all",
        )
    if flag.dtype is not DType.BOOL:
        raise DTypeError(f"the condition of a cond is {flag.node.type}", fix="compare it: x != 0")
    return flag


@operation
def _cond(flag: Tensor, made: Sequence[Tree], given: Flat, inside: Sequence[Tensor]) -> Tree:
    then, other = (flatten(tree) for tree in made)
    if then.structure != other.structure:
        raise ArgumentError(
            "the two sides of a cond give different structures",
            why=f"one gives {then.structure}, the other {other.structure}, where * is a tensor",
        )
    for path, a, b in zip(then.paths, then.types, other.types, strict=True):
        if a != b:
            error = DTypeError if a.dtype is not b.dtype else ShapeError
            raise error(f"the two sides of a cond give {a} and {b}{f' for {path}' if path else ''}")
    outputs = [*then.nodes, *other.nodes]
    block, captured = _close(inside, outputs)
    half = len(then)
    sides = (Block(block.inputs, block.outputs[:half]), Block(block.inputs, block.outputs[half:]))
    return then.build(_results(Cond(*sides, 0), [flag.node, *given.nodes, *captured]))


@operation
def _while(test: Tree, made: Tree, carried: Flat, inside: Sequence[Tensor]) -> Tree:
    flag = as_tensor(test)
    if flag.ndim != 0 or flag.dtype is not DType.BOOL:
        raise DTypeError(
            f"the condition of a while loop is {flag.node.type}, no scalar of dtype bool",
            fix="compare it, and reduce it with gc.any or gc.all where it has axes",
        )
    new = flatten(made)
    _check_carry(carried, new, "while loop")
    block, captured = _close(inside, [flag.node, *new.nodes])
    op = While(
        Block(block.inputs, block.outputs[:1]), Block(block.inputs, block.outputs[1:]), len(carried), 0
    )
    return carried.build(_results(op, [*carried.nodes, *captured]))


def _check_carry(carried: Flat, new: Flat, loop: str) -> None:
    """What comes out of a step must be able to go into the next one."""
    if carried.structure != new.structure:
        raise ArgumentError(
            f"the carry of the {loop} changes its structure",
            why=f"it goes in as {carried.structure} and comes out as {new.structure}, where * is a tensor",
        )
    for path, a, b in zip(carried.paths, carried.types, new.types, strict=True):
        if a != b:
            error = DTypeError if a.dtype is not b.dtype else ShapeError
            wanted = f"cast it: .astype({b.dtype.numpy.name!r})" if a.shape == b.shape else f"start from {b}"
            raise error(
                f"the carry{f' {path}' if path else ''} of the {loop} goes in as {a} and comes out as {b}",
                why="what a step gives is what the next one gets",
                fix=f"give the first carry the type of the others: {wanted}",
            )


def _results(op: BlockOp, operands: Sequence[Node]) -> list[Tensor]:
    count = len(op.results(*(n.type for n in operands)))
    return [Tensor(node(op.with_result(k), *operands)) for k in range(count)]


def _close(inside: Sequence[Tensor], outputs: Sequence[Node]) -> tuple[Block, list[Node]]:
    """A traced body as a block; what it takes from around it are further slots.

    f(c) = tanh(w·c) with w from outside  →  block (slot 0, slot 1) → tanh(slot 1 · slot 0), and [w].
    What does not depend on the placeholders is computed once, outside, unless it is a constant that costs nothing.
    """
    leaves = [t.node for t in inside]
    depends, closed = set(leaves), set[Node]()
    captured: dict[Node, None] = {}
    for n in toposort(outputs):
        if n in depends or any(s in depends for s in n.src):
            depends.add(n)
            captured.update((s, None) for s in n.src if s not in depends and s not in closed)
        elif isinstance(n.op, (Const, Extent, Iota)) or (
            isinstance(n.op, (Expand, Reshape)) and n.src[0] in closed
        ):
            closed.add(n)
    captured.update((n, None) for n in outputs if n not in depends and n not in closed)
    return Block.over([*leaves, *captured], outputs), list(captured)
