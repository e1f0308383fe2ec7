"""A model: inputs and outputs of a graph, trained and used through three compiled functions.

| function     | arguments       | results                 | made by        |
|--------------|-----------------|-------------------------|----------------|
| `train_step` | inputs, targets | loss, metrics; updates  | `fit`          |
| `test_step`  | inputs, targets | loss, metrics           | `evaluate`     |
| `predict`    | inputs          | outputs                 | `predict`      |

Each is compiled once, when it is first needed, for all batch sizes: the batch is the named dimension "N".

>>> from graphc import nn
>>> x = nn.Input(2)
>>> model = nn.Model(x, nn.Dense(1, activation="sigmoid")(nn.Dense(8, activation="tanh")(x)))
>>> model.compile(nn.Adam(0.1), "binary_cross_entropy", metrics=["accuracy"], backend="reference")
>>> X, T = [[0, 0], [0, 1], [1, 0], [1, 1]], [[0], [1], [1], [0]]           # exclusive or
>>> history = model.fit(X, T, epochs=100, batch_size=4, verbose=0)
>>> model.evaluate(X, T)[1]
1.0
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

import numpy as np

from graphc.errors import ArgumentError
from graphc.ir.node import toposort
from graphc.ir.types import Array
from graphc.lang.functions import softmax
from graphc.lang.source import operation
from graphc.lang.tensor import Parameter, Tensor, input
from graphc.lint.lint import warn_of
from graphc.nn import weights as files
from graphc.nn.arrays import as_targets, title
from graphc.nn.callbacks import Callback
from graphc.nn.calls import calls_of
from graphc.nn.examples import (
    Arrays,
    check_counts,
    check_inputs,
    check_same_count,
    examples_of,
    parameters_of,
)
from graphc.nn.history import History
from graphc.nn.inference import folded, for_inference
from graphc.nn.layers import Layer
from graphc.nn.losses.registry import Loss, LossFunction, loss_of
from graphc.nn.metrics import Metric, metric_of, numbered
from graphc.nn.optimizers import Optimizer, optimizer_of
from graphc.nn.summary import Summary, summarise
from graphc.nn.training import Runner, measure, train
from graphc.runtime.compile import BACKENDS, check_precision, check_tuning, compile
from graphc.runtime.function import Function


class Model:
    """Layers between inputs and one output tensor, as a thing to train and to use.

    `outputs` is the graph as it is trained; what belongs to training alone (dropout, the statistics of a batch) is
    left out when the model predicts.  `layers` and `weights` are in the order of the graph.
    """

    @operation
    def __init__(self, inputs: Tensor | Sequence[Tensor], outputs: Tensor, name: str = "model") -> None:
        self.inputs: tuple[Tensor, ...] = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
        self.outputs, self.name = outputs, name
        if not isinstance(outputs, Tensor):
            raise ArgumentError(f"a model has one output tensor, not a {type(outputs).__name__}")
        order = toposort([outputs.node])
        check_inputs(self.inputs, order, outputs)
        calls = [c for n in order for c in calls_of(n)]
        self.layers: tuple[Layer, ...] = tuple(dict.fromkeys(c.layer for c in calls))
        self._observed = {layer: [c.observed for c in calls if c.layer is layer] for layer in self.layers}
        self._inference = for_inference(outputs)
        self.weights = parameters_of(toposort([self._inference.node]))
        self.backend = "llvm"
        self._options: Mapping[str, Any] = {}  # of `gc.compile`
        self._functions: dict[str, Function] = {}
        self.optimizer: Optimizer | None = None
        self.targets: Tensor | None = None
        self._loss: Loss | None = None
        self._metrics: tuple[Metric, ...] = ()
        self._training: Sequence[Tensor] = ()
        self._testing: Sequence[Tensor] = ()
        self._updates: Mapping[Parameter, Tensor] = {}

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The weights that are trained."""
        return tuple(p for p in self.weights if p.variable.trainable)

    @operation
    def compile(
        self,
        optimizer: str | Optimizer = "adam",
        loss: str | LossFunction = "softmax_cross_entropy",
        metrics: Sequence[str | Callable[[Tensor, Tensor], Tensor]] = (),
        backend: str = "llvm",
        *,
        threads: int | None = None,
        fast: bool = False,
        precision: str | None = None,
        tune: bool = False,
    ) -> None:
        """Say how to train: builds the loss, its gradient and the updates, all as one graph.

        `loss` and `metrics` are names, or functions of (targets, outputs) that give a scalar.  `backend`,
        `threads`, `fast`, `precision` and `tune` are those of `gc.compile`.  A loss that is surely a mistake is warned
        of: see `gc.lint`.
        """
        if backend not in BACKENDS:
            raise ArgumentError(f"unknown back end {backend!r}", fix=f"use one of {', '.join(BACKENDS)}")
        check_precision(precision)
        if tune:
            check_tuning(backend)
        chosen, rule = loss_of(loss), optimizer_of(optimizer)
        watched = numbered(metric_of(m, chosen) for m in metrics)
        self._check_logits(chosen)
        kind = chosen.targets(self.outputs.node.type)
        name = "labels" if chosen.labels else "targets"
        while name in (title(t) for t in self.inputs):
            name += "_"
        targets = input(name, kind.shape, kind.dtype)
        penalties = [rule(p) for layer in self.layers for p, rule in layer.regularizers]
        training = _measures(targets, self.outputs, chosen, watched, penalties)
        testing = training
        if self._inference.node is not self.outputs.node:
            testing = _measures(targets, self._inference, chosen, watched, penalties)
        updates = rule.updates(training[0], self.parameters)
        for layer, seen in self._observed.items():
            updates.update(layer.updates([tuple(map(Tensor, nodes)) for nodes in seen]))
        # Only now, when nothing can fail any more, the model changes.
        self.backend = backend
        self._options = {"threads": threads, "fast": fast, "precision": precision, "tune": tune}
        self.optimizer, self.targets, self._loss, self._metrics = rule, targets, chosen, watched
        self._training, self._testing, self._updates = training, testing, updates
        self._functions = {}
        warn_of(training[0].node, [p.node for p in self.parameters])

    def _check_logits(self, loss: Loss) -> None:
        """The classical mistake: a softmax in the last layer and another one in the loss."""
        calls = calls_of(self.outputs.node)
        activation = getattr(calls[-1].layer, "activation", None) if calls else None
        if loss.name == "softmax_cross_entropy" and activation in ("softmax", softmax):
            raise ArgumentError(
                "softmax_cross_entropy takes logits, and the last layer already applies softmax",
                why="the loss applies softmax itself, because only together with the logarithm it is exact",
                fix='drop activation="softmax" from the last layer',
            )

    def loss_graph(self) -> Tensor:
        """The scalar loss as a tensor of `inputs` and `targets`: for grad, render, explore."""
        self._compiled()
        return self._training[0]

    @property
    def train_step(self) -> Function:
        """The compiled training step: (*inputs, targets) → (loss, *metrics), with updates in place."""
        targets = self._compiled()
        return self._function("train_step", (*self.inputs, targets), self._training, self._updates)

    @property
    def test_step(self) -> Function:
        """The compiled measures: (*inputs, targets) → (loss, *metrics)."""
        targets = self._compiled()
        return self._function("test_step", (*self.inputs, targets), self._testing)

    @property
    def predict_function(self) -> Function:
        """The compiled outputs: (*inputs) → (outputs,)."""
        return self._function("predict", self.inputs, [self._inference])

    @property
    def metrics_names(self) -> list[str]:
        """What `fit` and `evaluate` report, in order."""
        return ["loss", *(m.name for m in self._metrics)]

    @operation
    def fit(
        self,
        x: Arrays,
        y: Arrays,
        epochs: int = 1,
        batch_size: int = 32,
        validation_data: tuple[Arrays, Arrays] | None = None,
        shuffle: bool = True,
        seed: int = 0,
        verbose: int = 1,
        callbacks: Sequence[Callback] = (),
    ) -> History:
        """Train on examples x and targets y, `epochs` times in batches; parameters change in place.

        `seed` determines the order of the examples.  `verbose` is 0 (silent), 1 (a progress bar; lines where
        there is no terminal) or 2 (a line for each epoch).  Ctrl-C ends the training after the steps that are
        running, a tenth of a second of them: `fit` then returns the history so far, with `interrupted` set.
        `callbacks` are called after each epoch, and may end the training: see `nn.EarlyStopping`.
        """
        check_counts(epochs=epochs, batch_size=batch_size)
        arrays = self._examples(x, y)
        validate: Callable[[], dict[str, float]] | None = None
        if validation_data is not None:
            if not isinstance(validation_data, (tuple, list)) or len(validation_data) != 2:
                raise ArgumentError("validation_data must be a pair (x, y)")
            held_out = self._examples(*validation_data)

            def validate_now() -> dict[str, float]:
                return measure(self._tester(), self.metrics_names, held_out, batch_size)

            validate = validate_now

        def after_epoch(epoch: int, measures: Mapping[str, float]) -> bool:
            return True in [c.epoch_end(self, epoch, measures) for c in callbacks]  # each of them is called

        for c in callbacks:
            c.begin(self)
        try:
            return train(
                cast("Callable[..., tuple[Array, ...]]", self.train_step),
                self.metrics_names,
                arrays,
                validate,
                epochs=epochs,
                batch_size=batch_size,
                shuffle=shuffle,
                seed=seed,
                verbose=verbose,
                after_epoch=after_epoch,
            )
        finally:
            for c in callbacks:
                c.end(self)

    @operation
    def evaluate(
        self, x: Arrays, y: Arrays, batch_size: int = 32, return_dict: bool = False
    ) -> float | list[float] | dict[str, float]:
        """The loss (a float), or with metrics a list [loss, *metrics]; means over all examples."""
        check_counts(batch_size=batch_size)
        found = measure(self._tester(), self.metrics_names, self._examples(x, y), batch_size)
        values = list(found.values())
        return found if return_dict else values if self._metrics else values[0]

    @operation
    def predict(self, x: Arrays, batch_size: int = 32) -> Array:
        """The outputs for any number of examples, in batches."""
        check_counts(batch_size=batch_size)
        arrays = examples_of(self.inputs, x, finite=False)
        count = len(arrays[0])
        out = np.empty((count, *(int(str(d)) for d in self.outputs.shape[1:])), self.outputs.dtype.numpy)
        run = cast("Callable[..., tuple[Array, ...]]", self.predict_function)
        start = 0
        for size, batches in Runner(run, arrays, batch_size).pieces():
            for (found,) in batches:
                out[start : start + size] = found
                start += size
        return out

    def summary(self, verbose: int = 1) -> Summary:
        """Layers, shapes, parameters, multiply-adds and receptive fields; printed unless `verbose` is 0."""
        result = summarise(self)
        if verbose:
            from rich import print as show

            show(result.table())
        return result

    @operation
    def fold_batch_normalization(self) -> Model:
        """A model that predicts the same, with fewer operations: see `graphc.nn.inference`.

        Each batch normalisation right after a convolution or a dense layer without activation becomes part of it,
        with the running mean and variance of now.  The layers that change get parameters of their own.
        """
        model = Model(self.inputs, folded(self.outputs), self.name)
        model.backend, model._options = self.backend, self._options
        return model

    @operation
    def save_weights(self, path: str | os.PathLike[str]) -> None:
        """Write all weights to a safetensors file, atomically."""
        files.save(path, self.weights)

    @operation
    def load_weights(self, path: str | os.PathLike[str]) -> None:
        """Read all weights from a safetensors file; WeightsError, and nothing changed, if it does not fit."""
        files.load(path, self.weights)

    def __repr__(self) -> str:
        count = sum(p.value.size for p in self.weights)
        return f"<{self.name}: {len(self.layers)} layers, {count} parameters>"

    def _compiled(self) -> Tensor:
        if self.targets is None:
            raise ArgumentError(
                "the model has no loss yet",
                fix='call model.compile(optimizer=..., loss="softmax_cross_entropy") first',
            )
        return self.targets

    def _tester(self) -> Callable[..., tuple[Array, ...]]:
        return cast("Callable[..., tuple[Array, ...]]", self.test_step)

    def _function(
        self,
        name: str,
        inputs: Sequence[Tensor],
        outputs: Sequence[Tensor],
        updates: Mapping[Parameter, Tensor] | None = None,
    ) -> Function:
        if name not in self._functions:
            self._functions[name] = compile(
                inputs,
                list(outputs),
                updates=updates,
                backend=self.backend,
                name=name,
                **self._options,
            )
        return self._functions[name]

    def _examples(self, x: Arrays, y: Arrays) -> list[Array]:
        targets = self._compiled()
        arrays = examples_of(self.inputs, x, finite=True)
        loss = self._loss
        wanted = as_targets(targets, y, self.outputs, labels=loss is not None and loss.labels)
        check_same_count({title(self.inputs[0]): arrays[0], title(targets): wanted})
        if len(wanted) == 0:
            raise ArgumentError("there are no examples", why="the arrays have no rows")
        return [*arrays, wanted]


def _measures(
    targets: Tensor, outputs: Tensor, loss: Loss, metrics: Iterable[Metric], penalties: Iterable[Tensor]
) -> list[Tensor]:
    found = loss.function(targets, outputs)
    if not isinstance(found, Tensor) or found.ndim:
        raise ArgumentError(f"the loss {loss.name} is no scalar tensor", fix="reduce it with gc.mean")
    for penalty in penalties:
        found = found + penalty
    result = [Tensor(found.node, "loss")]
    for m in metrics:
        value = m.function(targets, outputs)
        if not isinstance(value, Tensor) or value.ndim:
            raise ArgumentError(f"the metric {m.name} is no scalar tensor", fix="reduce it with gc.mean")
        result.append(Tensor(value.node, m.name))
    return result
