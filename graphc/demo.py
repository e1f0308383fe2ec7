"""The main job on real input, from end to end: what `graphc demo` does.

1. The chain rule on (x + y)·z at (−2, 5, −4), as a table.
2. LeNet-5* (20 and 50 filters of 5×5, 500 units, 10 classes) trained natively on handwritten digits, each shown
   in five places.
3. A folder with what was drawn, derived and compiled on the way.

>>> model = lenet()
>>> model.summary(verbose=0)
<LeNet-5*: 8 rows, 1 256 080 parameters, 6 522 000 multiply-adds>
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from graphc import nn
from graphc.errors import ArgumentError
from graphc.ir.types import Array
from graphc.lang.tensor import inputs

if TYPE_CHECKING:
    from graphc.runtime.function import Function
    from graphc.show.backprop import Backprop

_DOCUMENT = r"""\documentclass{{article}}
\usepackage{{amsmath}}
\begin{{document}}
{body}
\end{{document}}
"""

File = tuple[str, str, str]
"""A file of the folder: its name, its text, and what it is."""


def lenet() -> nn.Model:
    """LeNet-5*: after Y. LeCun et al., Gradient-based learning applied to document recognition (1998)."""
    x = nn.Input((1, 28, 28))
    h = nn.MaxPool2D(2)(nn.Conv2D(20, 5, padding="same", activation="relu")(x))
    h = nn.MaxPool2D(2)(nn.Conv2D(50, 5, padding="same", activation="relu")(h))
    h = nn.Dense(500, activation="relu")(nn.Flatten()(h))
    return nn.Model(x, nn.Dense(10)(h), name="LeNet-5*")


def run(folder: Path, *, epochs: int, backend: str = "llvm") -> bool:
    """The whole demonstration; False where Ctrl-C ended it early."""
    from graphc.tables import Table

    print("The chain rule on (x + y)·z\n")
    record, small = chain_rule(backend)
    print(record)
    print("\nHandwritten digits\n")
    model = lenet()
    if not train(model, epochs, backend):
        return False
    files = chain_rule_files(record, small) + network_files(model)
    _write(folder, files)
    model.save_weights(folder / "lenet.safetensors")
    print()
    rows = [[str(folder / name), what] for name, _, what in files]
    rows.append([str(folder / "lenet.safetensors"), "the trained weights"])
    Table(["written", "what it is"], rows).show()
    return True


def chain_rule(backend: str) -> tuple[Backprop, Function]:
    """(x + y)·z at (−2, 5, −4): the record of both passes, and the compiled value and gradients."""
    from graphc.autodiff.reverse import grad
    from graphc.runtime.compile import compile
    from graphc.show.backprop import backprop

    x, y, z = inputs("x y z")
    q = x + y
    f = q * z
    f.name = "f"
    record = backprop(f, [x, y, z], at={x: -2.0, y: 5.0, z: -4.0})
    return record, compile([x, y, z], [f, *grad(f, [x, y, z])], backend=backend, name="chain_rule")


def train(model: nn.Model, epochs: int, backend: str) -> bool:
    """Train on the digits and say how well it went; False where Ctrl-C ended it."""
    (X, T), held_out = nn.data.digits()
    examples, labels = with_shifts(X, T)
    optimizer = nn.Adam(1e-3)
    model.compile(optimizer, "softmax_cross_entropy", ["accuracy"], backend=backend)
    model.summary()
    began = time.perf_counter()
    step = model.train_step
    compiled = time.perf_counter() - began
    if backend != "reference":
        kernels = len(step.cost.kernels)
        print(f"\nA training step is one native function of {kernels} kernels, compiled in {compiled:.1f} s.")
    began = time.perf_counter()
    # The last time through with small steps: the learning rate is a parameter, nothing is compiled again.
    for rate, count in ((1e-3, epochs), (1e-4, 1)):
        optimizer.learning_rate = rate
        plural = "s" if count > 1 else ""
        print(f"\n{count} epoch{plural} of {len(labels)} digits at the learning rate {rate:g}")
        history = model.fit(examples, labels, epochs=count, batch_size=64, validation_data=held_out)
        if history.interrupted:
            return False
    found = model.evaluate(*held_out, return_dict=True)
    assert isinstance(found, dict)
    seconds = time.perf_counter() - began
    print(
        f"\nIt reads {found['accuracy']:.1%} of {len(held_out[1])} digits right that it has never seen, "
        f"after {seconds:.1f} s of training."
    )
    return True


def with_shifts(X: Array, T: Array) -> tuple[Array, Array]:
    """The images, and each of them moved by two pixels (the width of their frame) up, down, left and right."""
    moves = ((0, 0), (2, 0), (-2, 0), (0, 2), (0, -2))
    return np.concatenate([np.roll(X, move, axis=(2, 3)) for move in moves]), np.tile(T, len(moves))


def chain_rule_files(record: Backprop, fn: Function) -> list[File]:
    """The picture, the derivation and the code of the small example."""
    return [
        ("chain-rule.svg", record.to_svg(), "the graph, with values and gradients on its edges"),
        (
            "chain-rule.tex",
            _DOCUMENT.format(body=record.to_latex()),
            "the derivation, step by step, for LaTeX",
        ),
        *_code("chain-rule", fn, "its value and gradient"),
    ]


def network_files(model: nn.Model) -> list[File]:
    """The code of the network's training step."""
    return _code("lenet", model.train_step, "LeNet's training step")


def _code(name: str, fn: Function, what: str) -> list[File]:
    levels = (("kernels", "kernels.txt", "loops"), ("llvm-opt", "ll", "LLVM IR"), ("asm", "s", "assembly"))
    return [
        (f"{name}.{suffix}", fn.stage(stage), f"{what} as {kind}")
        for stage, suffix, kind in levels
        if stage in fn.stages
    ]


def _write(folder: Path, files: list[File]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text, _ in files:
            (folder / name).write_text(text if text.endswith("\n") else text + "\n", encoding="utf-8")
    except OSError as error:
        raise ArgumentError(
            f"cannot write into {folder}", why=error.strerror or str(error), fix="name another folder: -o DIR"
        ) from None
