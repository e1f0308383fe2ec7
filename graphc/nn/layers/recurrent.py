"""Recurrent layers: a loop inside the graph (`gc.scan`) over x[N, time, d], whose time may be a named dimension.

| layer       | one step, of x and the states before                                                              |
|-------------|---------------------------------------------------------------------------------------------------|
| `SimpleRNN` | h ← tanh(x·K + h·R + b)                                                                           |
| `LSTM`      | i, f, o = σ(...), g = tanh(...) of x·K + h·R + b;  c ← f·c + i·g;  h ← o·tanh(c)                  |
| `GRU`       | z, r = σ(...) of x·K + b + h·R + b';  g = tanh(x·K + b + r·(h·R + b'));  h ← z·h + (1 − z)·g      |

The gates lie side by side in kernels and biases, in Keras's order: i, f, g, o and z, r, g.  The products of the
inputs are one matrix product for all steps, before the loop.

>>> from graphc.nn.layers.layer import Input
>>> x = Input(("T", 3))
>>> LSTM(5)(x).shape, GRU(5, return_sequences=True)(x).shape, Bidirectional(SimpleRNN(5))(x).shape
((N, 5), (N, T, 5), (N, 10))
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from typing import Any, ClassVar

from graphc.errors import ArgumentError, ShapeError
from graphc.ir.types import Shape
from graphc.lang.apply import apply
from graphc.lang.functions import concatenate, flip, matmul, scan, split, swapaxes, zeros
from graphc.lang.source import operation
from graphc.lang.tensor import Parameter, Tensor, as_tensor
from graphc.nn.activations import Activation as Function
from graphc.nn.activations import activation as activation_of
from graphc.nn.activations import activation_name
from graphc.nn.layers.layer import Layer, count_of, written
from graphc.nn.regularizers import Regularizer, regularizer_of

States = tuple[Tensor, ...]


class _Recurrent(Layer):
    """What all recurrent layers have in common; subclasses give one `step`."""

    gates: ClassVar[int] = 1
    states: ClassVar[int] = 1
    biases: ClassVar[int] = 1

    @operation
    def __init__(
        self,
        units: int,
        activation: str | Function | None = "tanh",
        recurrent_activation: str | Function | None = "sigmoid",
        use_bias: bool = True,
        return_sequences: bool = False,
        go_backwards: bool = False,
        kernel_initializer: object = "glorot_uniform",
        recurrent_initializer: object = "orthogonal",
        bias_initializer: object = "zeros",
        kernel_regularizer: str | Regularizer | None = None,
        recurrent_regularizer: str | Regularizer | None = None,
        name: str | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(name)
        self.units, self.use_bias, self.seed = count_of(units, "units"), use_bias, seed
        self.activation, self.recurrent_activation = activation, recurrent_activation
        self.return_sequences, self.go_backwards = return_sequences, go_backwards
        self.kernel_initializer, self.bias_initializer = kernel_initializer, bias_initializer
        self.recurrent_initializer = recurrent_initializer
        self.kernel_regularizer = regularizer_of(kernel_regularizer)
        self.recurrent_regularizer = regularizer_of(recurrent_regularizer)
        self.act, self.gate = activation_of(activation), activation_of(recurrent_activation)

    def check(self, x: Tensor) -> None:
        if x.ndim != 3 or not isinstance(x.shape[-1], int):
            raise ShapeError(
                f"cannot apply {self.describe()} to {x.node.type}",
                why="it takes three axes: [N, time, features]",
                fix='give nn.Input the shape ("T", features)',
            )

    def build(self, x: Tensor) -> None:
        features, columns = int(x.shape[-1]), self.gates * self.units  # type: ignore[arg-type]
        rules = self.kernel_regularizer, self.recurrent_regularizer
        self.kernel = self.parameter(
            "kernel", (features, columns), x.dtype, self.kernel_initializer, self.seed, regularizer=rules[0]
        )
        self.recurrent_kernel = self.parameter(
            "recurrent_kernel",
            (self.units, columns),
            x.dtype,
            self.recurrent_initializer,
            self.seed,
            regularizer=rules[1],
        )
        self.bias: Parameter | None = None
        if self.use_bias:
            shape = (columns,) if self.biases == 1 else (self.biases, columns)
            self.bias = self.parameter("bias", shape, x.dtype, self.bias_initializer, self.seed)

    def call(self, x: Tensor) -> Tensor:
        given = matmul(swapaxes(x, 0, 1), self.kernel)
        if self.bias is not None:
            given = given + (self.bias if self.biases == 1 else self.bias[0])
        start = (zeros((x.shape[0], self.units), x.dtype),) * self.states

        def step(states: Any, x: Any) -> Any:
            new = self.step(states, x)
            return new, new[0] if self.return_sequences else None

        found: Any = scan(step, start, given, reverse=self.go_backwards)
        (last, *_), every = found
        if not self.return_sequences:
            return as_tensor(last)
        # As in Keras, a layer that goes backwards gives its outputs in the order in which it made them.
        return swapaxes(flip(every, 0) if self.go_backwards else every, 0, 1)

    @abstractmethod
    def step(self, states: States, x: Tensor) -> States:
        """The new states, the output first, of the old ones and x·K + b [N, gates·units]."""

    def essential(self, shape: Shape) -> object:
        return shape[-1]

    def describe(self) -> str:
        act = activation_name(self.activation)
        options = ["return_sequences=True"] * self.return_sequences + [
            "go_backwards=True"
        ] * self.go_backwards
        return written(
            type(self).__name__, str(self.units), "" if act == "tanh" else act or "linear", *options
        )


class SimpleRNN(_Recurrent):
    """h ← activation(x·K + h·R + b), from h = 0: the last h [N, units], or all [N, time, units]."""

    kind = "simple_rnn"

    def step(self, states: States, x: Tensor) -> States:
        return (self.act(x + matmul(states[0], self.recurrent_kernel)),)


class LSTM(_Recurrent):
    """Long short-term memory; the bias of the forget gate starts at 1, unless `unit_forget_bias` is false.

    Source: S. Hochreiter, J. Schmidhuber, Long short-term memory (1997); the forget gate: F. Gers et al. (2000).
    """

    kind, gates, states = "lstm", 4, 2

    @operation
    def __init__(
        self,
        units: int,
        activation: str | Function | None = "tanh",
        recurrent_activation: str | Function | None = "sigmoid",
        use_bias: bool = True,
        return_sequences: bool = False,
        go_backwards: bool = False,
        kernel_initializer: object = "glorot_uniform",
        recurrent_initializer: object = "orthogonal",
        bias_initializer: object = "zeros",
        kernel_regularizer: str | Regularizer | None = None,
        recurrent_regularizer: str | Regularizer | None = None,
        name: str | None = None,
        seed: int = 0,
        unit_forget_bias: bool = True,
    ) -> None:
        super().__init__(
            units, activation, recurrent_activation, use_bias, return_sequences, go_backwards, kernel_initializer,
            recurrent_initializer, bias_initializer, kernel_regularizer, recurrent_regularizer, name, seed,
        )  # fmt: skip
        self.unit_forget_bias = unit_forget_bias

    def build(self, x: Tensor) -> None:
        super().build(x)
        if self.bias is not None and self.unit_forget_bias:
            self.bias.value[self.units : 2 * self.units] = 1.0

    def step(self, states: States, x: Tensor) -> States:
        h, c = states
        i, f, g, o = split(x + matmul(h, self.recurrent_kernel), 4, axis=-1)
        new = self.gate(f) * c + self.gate(i) * self.act(g)
        return self.gate(o) * self.act(new), new


class GRU(_Recurrent):
    """Gated recurrent unit, with the reset gate after the product (Keras's `reset_after=True`, as in cuDNN).

    Source: K. Cho et al., arXiv:1406.1078.
    """

    kind, gates, biases = "gru", 3, 2

    def step(self, states: States, x: Tensor) -> States:
        (h,) = states
        inner = matmul(h, self.recurrent_kernel)
        if self.bias is not None:
            inner = inner + self.bias[1]
        (z, r, g), (hz, hr, hg) = split(x, 3, axis=-1), split(inner, 3, axis=-1)
        update = self.gate(z + hz)
        new = self.act(g + self.gate(r + hr) * hg)
        return (update * h + (1.0 - update) * new,)


class Bidirectional(Layer):
    """A recurrent layer and a second one that goes the other way, their outputs merged step by step."""

    kind = "bidirectional"

    @operation
    def __init__(self, layer: _Recurrent, merge_mode: str = "concat", name: str | None = None) -> None:
        super().__init__(name)
        if not isinstance(layer, _Recurrent) or layer.built_for is not None:
            raise ArgumentError(
                "Bidirectional takes a recurrent layer that was not applied yet",
                fix="write it in place: nn.Bidirectional(nn.LSTM(8))",
            )
        if merge_mode not in ("concat", "sum", "mul", "ave"):
            raise ArgumentError(
                f"unknown merge_mode {merge_mode!r}", fix='use "concat", "sum", "mul" or "ave"'
            )
        self.forward, self.backward, self.merge_mode = layer, copy.copy(layer), merge_mode
        self.backward.go_backwards = not layer.go_backwards

    def check(self, x: Tensor) -> None:
        self.forward.check(x)

    def build(self, x: Tensor) -> None:
        for direction, layer in (("forward", self.forward), ("backward", self.backward)):
            layer.name = f"{self.name}/{direction}"
            layer.build(x)
            self.parameters += layer.parameters
            self.regularizers += layer.regularizers

    def call(self, x: Tensor) -> Tensor:
        there, back = self.forward.call(x), self.backward.call(x)
        if self.forward.return_sequences:
            back = flip(back, 1)
        if self.merge_mode == "concat":
            return concatenate([there, back], axis=-1)
        merged = apply("mul" if self.merge_mode == "mul" else "add", there, back)
        return 0.5 * merged if self.merge_mode == "ave" else merged

    def essential(self, shape: Shape) -> object:
        return shape[-1]

    def describe(self) -> str:
        return written(
            "Bidirectional", self.forward.describe(), "" if self.merge_mode == "concat" else self.merge_mode
        )
