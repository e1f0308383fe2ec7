"""Level 2, custom gradients: a user's rule in place of the chain rule.

    f(*xs) → ys                        rule(xs, ys, upstreams) → downstream of each x, or None

A rule is a claim, and is compared with differences of f when f is first applied to operands of a type
(`graphc.autodiff.claim`); or it is marked as deliberate, with the reason.  Forward mode and higher orders
follow from the rule: it is differentiated like anything else.

>>> import graphc as gc
>>> log1pexp = custom_gradient(lambda x: gc.log(1 + gc.exp(x)), lambda x, y, u: u * gc.sigmoid(x))
>>> x = gc.input("x")
>>> float(gc.compile([x], gc.grad(log1pexp(x), x), backend="reference")(0.0))
0.5
>>> rounded = custom_gradient(gc.round, lambda x, y, u: u, deliberate="straight-through")
>>> float(gc.compile([x], gc.grad(3.0 * rounded(x), x), backend="reference")(0.3))
3.0
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, overload

import numpy as np

from graphc.autodiff.claim import Claim, check_claim, is_linear
from graphc.autodiff.reverse import check_tensors
from graphc.errors import ArgumentError, GradientError, GraphcError
from graphc.ir.block import Block, Slot, slot, substitute
from graphc.ir.node import Node, node, toposort
from graphc.ir.types import Array
from graphc.lang.source import operation, user_location
from graphc.lang.tensor import Tensor, TensorLike, as_tensor
from graphc.ops.custom import CustomGradient
from graphc.ops.elementwise import constant_like
from graphc.ops.leaves import Input, Param

Applied: TypeAlias = Callable[..., Any]
Rule: TypeAlias = Callable[[Any, Any, Any], Any]


@overload
def custom_gradient(
    f: Applied, rule: Rule, *, deliberate: bool | str = ..., at: Sequence[TensorLike] | None = ...
) -> Applied: ...
@overload
def custom_gradient(
    *, rule: Rule, deliberate: bool | str = ..., at: Sequence[TensorLike] | None = ...
) -> Callable[[Applied], Applied]: ...


def custom_gradient(
    f: Applied | None = None,
    rule: Rule | None = None,
    *,
    deliberate: bool | str = False,
    at: Sequence[TensorLike] | None = None,
) -> Applied | Callable[[Applied], Applied]:
    """A function whose gradient is given by a rule: the same values, and `rule(xs, ys, upstreams)` backwards.

    `f` takes tensors and gives one tensor or several, all floating-point.  The rule is called with the operands,
    the results and the upstreams, each a tensor where f has one and else a tuple; it gives the downstream of
    each operand, of the operand's type, or None where that is zero.  Both may use their arguments and constants
    only.  Without `f` it is a decorator: `@gc.custom_gradient(rule=...)`.

    The rule is compared with central differences of f in float64, at random points and at 0, ±1 and ±50, and
    `at` one more point (a value for each operand).  With `deliberate`, a reason such as "straight-through", it
    is not: the gradient is meant to be another one.  Such a rule may also be nonlinear in upstream (clipping,
    guided backpropagation); it has no forward mode then.

    Raises GradientError, where the function is applied, for a rule that is wrong or ill-typed.
    (JAX: custom_vjp; TensorFlow: custom_gradient.)
    """
    if f is None:
        return functools.partial(custom_gradient, rule=rule, deliberate=deliberate, at=at)
    if not callable(f) or not callable(rule):
        raise _no_functions(f, rule)
    name = str(getattr(f, "__name__", type(f).__name__))
    reason = deliberate if isinstance(deliberate, str) else "marked as deliberate" if deliberate else ""

    def applied(*xs: TensorLike) -> Tensor | tuple[Tensor, ...]:
        operands = _operands(xs)
        inside = _stand_ins(operands)
        # The user's functions run outside of any operation of the language, so that their lines are recorded.
        results = f(*inside)
        ys = _results(name, results)
        outside, upstreams = _stand_ins(ys), _stand_ins(ys)
        one = isinstance(results, Tensor)
        downstream = rule(
            inside[0] if len(inside) == 1 else tuple(inside),
            outside[0] if one else tuple(outside),
            upstreams[0] if one else tuple(upstreams),
        )
        trace = _Trace(name, inside, ys, outside, upstreams)
        made = _apply(trace, _downstream(trace, downstream), operands, reason, at)
        return made[0] if one else made

    @functools.wraps(f, updated=())
    def wrapper(*xs: TensorLike) -> Tensor | tuple[Tensor, ...]:
        try:
            return applied(*xs)
        except GraphcError as error:
            raise error.with_traceback(None) from None

    return wrapper


@operation
def straight_through(value: Tensor, surrogate: Tensor) -> Tensor:
    """The value of one tensor with the gradient of another: `gc.straight_through(gc.round(x), x)`.

    Bit for bit the value, where `surrogate + stop_gradient(value − surrogate)` rounds.  Both have one
    floating-point type.  Raises GradientError where they do not.  (Bengio, Léonard and Courville 2013.)
    """
    check_tensors([value, surrogate], "value and surrogate")
    a, b = value.node, surrogate.node
    if a.type != b.type or not a.type.dtype.is_float:
        raise GradientError(
            f"the gradient of a {a.type} cannot pass straight to a {b.type}",
            fix="give both one floating-point type",
        )
    rule = Block((a.type,) * 3, (slot(2, a.type),))
    return Tensor(node(CustomGradient(rule, (0,), 1, 0, True, "straight-through"), a, b))


@dataclass(frozen=True, slots=True)
class _Trace:
    """A function and its rule, called once: over `xs`, the rule over `xs`, `outside` and `upstreams` too."""

    name: str
    xs: list[Tensor]
    ys: list[Tensor]
    outside: list[Tensor]
    upstreams: list[Tensor]


def _no_functions(f: object, rule: object) -> ArgumentError:
    what, given = ("rule", rule) if callable(f) else ("function", f)
    return ArgumentError(
        f"the {what} of a custom gradient is {given!r}",
        where=user_location(),
        fix="give two functions: gc.custom_gradient(f, rule), with f(*xs) and rule(xs, ys, upstreams)",
    )


@operation
def _operands(xs: Sequence[TensorLike]) -> list[Tensor]:
    return [as_tensor(x) for x in xs]


def _stand_ins(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Fresh inputs of the same types and names."""
    return [Tensor(node(Input(t.name, t.node.type)), t.name, t.loc) for t in tensors]


@operation
def _results(name: str, results: object) -> list[Tensor]:
    ys: list[Tensor] = []
    for y in results if isinstance(results, (tuple, list)) else [results]:
        if not isinstance(y, Tensor) or not y.dtype.is_float:
            found = f"a {y.node.type}" if isinstance(y, Tensor) else repr(y)
            raise GradientError(
                f"`{name}` gives {found}, which has no gradient",
                fix="give a custom gradient to functions with floating-point results only",
            )
        ys.append(y)
    return ys


@operation
def _downstream(trace: _Trace, downstream: object) -> dict[int, Node]:
    """What the rule gave, by operand; nothing for an operand that has no gradient."""
    given = list(downstream) if isinstance(downstream, (tuple, list)) else [downstream]
    if len(given) != len(trace.xs):
        raise GradientError(
            f"the gradient rule of `{trace.name}` gives {_count(len(given), 'result')} for "
            f"{_count(len(trace.xs), 'operand')}",
            fix="give one downstream for each operand, None where it is zero",
        )
    found: dict[int, Node] = {}
    for k, (x, d) in enumerate(zip(trace.xs, given, strict=True)):
        if d is None:
            continue
        if isinstance(d, (int, float)) and x.dtype.is_float:
            d = Tensor(constant_like(float(d), x.node))
        if not isinstance(d, Tensor) or d.node.type != x.node.type:
            what = f"a {d.node.type}" if isinstance(d, Tensor) else repr(d)
            raise GradientError(
                f"the gradient rule of `{trace.name}` gives {what} for {_called(trace, k)}, a {x.node.type}",
                why="a gradient has the type of what it is taken by",
                fix="sum over the axes that were broadcast, or give None where the gradient is zero",
            )
        if x.dtype.is_float:
            found[k] = d.node
    return found


@operation
def _apply(
    trace: _Trace,
    downstream: dict[int, Node],
    operands: list[Tensor],
    reason: str,
    at: Sequence[TensorLike] | None,
) -> tuple[Tensor, ...]:
    """The results of the function on its operands, each with the rule behind it."""
    xs, ys, outside, upstreams = (
        tuple(t.node for t in ts) for ts in (trace.xs, trace.ys, trace.outside, trace.upstreams)
    )
    f = _block(xs, ys, f"`{trace.name}`")
    everything = (*xs, *outside, *upstreams)
    rule = _block(everything, tuple(downstream.values()), f"the gradient rule of `{trace.name}`")
    names = tuple(_called(trace, k) for k in range(len(xs)))
    if at is None:
        linear = _check(trace.name, names, f, rule, tuple(downstream), not reason)
    else:
        linear = _check_at(trace.name, names, f, rule, tuple(downstream), not reason, _point(trace, at))
    actual = tuple(t.node for t in operands)
    values = f.inline(actual)
    ops = (CustomGradient(rule, tuple(downstream), len(ys), j, linear, reason) for j in range(len(ys)))
    return tuple(Tensor(node(op, *values, *actual), y.name) for op, y in zip(ops, trace.ys, strict=True))


def _called(trace: _Trace, k: int) -> str:
    """What an error calls operand k."""
    return trace.xs[k].name or (f"operand {k}" if len(trace.xs) > 1 else "its operand")


def _block(inputs: Sequence[Node], outputs: Sequence[Node], what: str) -> Block:
    """A closed graph; raises GradientError where a tensor from outside is used."""
    for n in toposort(outputs):
        if isinstance(n.op, (Input, Param, Slot)) and n not in inputs:
            title = n.op.attributes().get("name")
            called = f"`{title}`" if title else f"a {n.type} from around it"
            raise GradientError(
                f"{what} uses {called}, which is none of its arguments",
                why="no gradient would ever reach it",
                fix="make it an operand of the function; the rule gives None where it needs no gradient",
            )
    places = {n: slot(k, n.type) for k, n in enumerate(inputs)}
    return Block(tuple(n.type for n in inputs), substitute(outputs, places))


def _point(trace: _Trace, at: Sequence[TensorLike]) -> list[Array]:
    """The user's own point, by operand."""
    values = [np.asarray(a) for a in at]
    if len(values) != len(trace.xs) or any(
        a.ndim != x.ndim or not np.can_cast(a.dtype, x.dtype.numpy, "same_kind")
        for a, x in zip(values, trace.xs, strict=False)
    ):
        wanted = ", ".join(str(x.node.type) for x in trace.xs)
        raise ArgumentError(f"`at` is no value for each operand of `{trace.name}`: {wanted}")
    return [a.astype(x.dtype.numpy) for a, x in zip(values, trace.xs, strict=True)]


def _check_at(
    name: str,
    names: tuple[str, ...],
    f: Block,
    rule: Block,
    wrt: tuple[int, ...],
    claimed: bool,
    at: Sequence[Array] | None = None,
) -> bool:
    """Whether the rule is linear; raises GradientError where a claim is wrong, or several results need it to be."""
    xs, upstreams = (tuple(node(Input("", t)) for t in types) for types in (f.inputs, f.types))
    ys = f.inline(xs)
    claim = Claim(
        name, xs, ys, upstreams, dict(zip(wrt, rule.inline((*xs, *ys, *upstreams)), strict=True)), names
    )
    linear = is_linear(claim)
    if not linear and len(ys) > 1:
        raise GradientError(
            f"the gradient rule of `{name}` is not linear in its upstreams",
            why=f"there are {len(ys)} results, and their upstreams arrive one at a time",
            fix="give each result a function with a rule of its own",
        )
    if claimed:
        check_claim(claim, at)
    return linear


_check = functools.lru_cache(maxsize=256)(_check_at)
"""A claim that has passed is not checked again."""


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
