"""A model as it predicts: without what only training needs, and with batch normalisation put into other layers.

| layer                | while it predicts                                                            |
|----------------------|------------------------------------------------------------------------------|
| dropout, noise       | nothing                                                                      |
| batch normalisation  | with the running mean and variance; folded: part of the linear layer before  |

A convolution or a dense layer y = x·W + b, followed by gamma·(y − mean)/√(variance + epsilon) + beta, is a linear
layer again: with s = gamma/√(variance + epsilon), W' = W·s and b' = (b − mean)·s + beta.

>>> from graphc.nn import BatchNormalization, Dense, Dropout, Input
>>> x = Input(2)
>>> y = Dropout(0.5)(BatchNormalization()(Dense(3)(x)))
>>> [n.op.label for n in toposort([for_inference(y).node])].count("sum")
0
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from graphc.ir.node import Node, node, origin, toposort
from graphc.lang.tensor import Tensor, param
from graphc.nn.activations import activation_name
from graphc.nn.calls import Call, calls_of, record
from graphc.nn.layers import BatchNormalization, Layer


def for_inference(outputs: Tensor) -> Tensor:
    """The outputs without what only training needs."""
    instead = _replacements(toposort([outputs.node]))
    return Tensor(_rebuilt(outputs.node, instead)[outputs.node], outputs.name, outputs.loc)


def folded(outputs: Tensor) -> Tensor:
    """The same, and with batch normalisations put into the linear layers before them, as far as that goes.

    The layers that are changed get parameters of their own; all others are shared.
    """
    order = toposort([outputs.node])
    instead = _replacements(order)
    plain = _rebuilt(outputs.node, instead)
    uses = Counter(s for n in toposort([plain[outputs.node]]) for s in set(n.src))
    uses[plain[outputs.node]] += 1
    applied = Counter(c.layer for n in order for c in calls_of(n))
    made: dict[Node, tuple[Layer, Node]] = {}
    absorbed = set()
    for n in order:
        found = _foldable(n)
        if found is None:
            continue
        norm, linear, before = found
        if applied[linear.layer] != 1 or applied[norm] != 1 or uses[plain[before]] != 1:
            continue
        layer, source = _scaled(linear.layer, norm), linear.sources[0]
        made[n] = layer, source
        absorbed.add(before)
        instead[n] = layer.call(Tensor(source)).node
    new = _rebuilt(outputs.node, instead)
    for n in order:
        if n in made:
            layer, source = made[n]
            record(layer, [new[source]], new[n])
        elif n not in absorbed:
            for c in calls_of(n):
                sources = [new[s] for s in c.sources]
                if new[n] not in sources:  # it does nothing any more
                    record(c.layer, sources, new[n])
    return Tensor(new[outputs.node], outputs.name, outputs.loc)


def _replacements(order: Sequence[Node]) -> dict[Node, Node]:
    """What takes the place of which result of a layer, the first results first."""
    return {n: c.inference for n in order for c in reversed(calls_of(n)) if c.inference is not None}


def _rebuilt(output: Node, instead: Mapping[Node, Node]) -> dict[Node, Node]:
    """Every node that the output needs, with others in the place of some, which are rebuilt as well."""
    new: dict[Node, Node] = {}
    # What takes a place depends only on nodes before that place, so in this order it is always there.
    for n in toposort([*instead.values(), output]):
        src = tuple(new[s] for s in n.src)
        if n in instead:
            new[n] = new[instead[n]]
        elif src == n.src:
            new[n] = n
        else:
            with origin("inference", of=(n,)):
                new[n] = node(n.op, *src)
    return new


def _foldable(n: Node) -> tuple[BatchNormalization, Call, Node] | None:
    """The normalisation that made a node, the linear layer before it, and what that gave."""
    for c in calls_of(n):
        if not isinstance(c.layer, BatchNormalization) or len(c.sources) != 1:
            continue
        before = c.sources[0]
        for linear in calls_of(before):
            layer, rank = linear.layer, before.type.rank
            if (
                layer.folds is not None
                and len(linear.sources) == 1
                and layer.folds[2] % rank == c.layer.axis % rank
                and not activation_name(getattr(layer, "activation", None))
            ):
                return c.layer, linear, before
    return None


def _scaled(layer: Layer, norm: BatchNormalization) -> Layer:
    """A linear layer that gives what `layer` and then `norm` give when they predict."""
    assert layer.folds is not None
    place, axis, _ = layer.folds
    kernel = layer.parameters[place]
    bias = layer.parameters[-1].value.astype(float) if layer.use_bias else 0.0  # type: ignore[attr-defined]
    factor = 1.0 / np.sqrt(norm.moving_variance.value.astype(float) + norm.epsilon)
    if norm.gamma is not None:
        factor = factor * norm.gamma.value
    shift = (bias - norm.moving_mean.value) * factor + (norm.beta.value if norm.beta is not None else 0.0)
    along = [1] * kernel.ndim
    along[axis] = -1
    kernels = [p.value for p in layer.parameters[:place]] + [kernel.value * factor.reshape(along)]
    names = [p.name for p in layer.parameters[: place + 1]] + [f"{layer.name}/bias"]
    changed = copy.copy(layer)
    changed.use_bias, changed.regularizers = True, ()  # type: ignore[attr-defined]
    changed.parameters = tuple(
        param(name, init=value.astype(kernel.dtype.numpy))
        for name, value in zip(names, [*kernels, shift], strict=True)
    )
    return changed
