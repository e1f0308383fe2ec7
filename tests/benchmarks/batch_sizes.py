"""One function for every batch size against one that is compiled for the size: what generality costs.

    python -m tests.benchmarks.batch_sizes [--sizes 1 7 64] [--networks mlp] [--seconds 1] [--threads 1]

For each size the function over "N" and the one with `dims={"N": size}` run in turns; each is timed by its fastest
run, since other work on the machine can only make a run slower. The goal is a ratio of at most 1.25.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

import graphc as gc
from graphc import nn
from graphc.tables import Table

SIZES = (1, 2, 7, 16, 64, 65, 256)
GOAL = 1.25
RATE = 1e-9  # what is learned to the end has gradients so small that arithmetic on them is slow


def mlp() -> tuple[nn.Model, nn.Optimizer]:
    x = nn.Input(784)
    h = nn.Dense(256, activation="relu")(nn.Dense(512, activation="relu")(x))
    return nn.Model(x, nn.Dense(10)(h)), nn.Adam(RATE)


def lenet() -> tuple[nn.Model, nn.Optimizer]:
    x = nn.Input((1, 28, 28))
    h = nn.MaxPool2D(2)(nn.Conv2D(20, 5, padding="same", activation="relu")(x))
    h = nn.MaxPool2D(2)(nn.Conv2D(50, 5, padding="same", activation="relu")(h))
    h = nn.Dense(500, activation="relu")(nn.Flatten()(h))
    return nn.Model(x, nn.Dense(10)(h)), nn.SGD(RATE, momentum=0.9)


NETWORKS: dict[str, Callable[[], tuple[nn.Model, nn.Optimizer]]] = {"mlp": mlp, "lenet": lenet}


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds of a call by the function for all sizes, and by the one for this size."""

    network: str
    what: str
    size: int
    general: float
    special: float

    @property
    def ratio(self) -> float:
        return self.general / self.special


Compile = Callable[[int | None], Callable[..., object]]


def compilers(network: str, threads: int) -> Iterator[tuple[str, Compile]]:
    """Inference and training step, each as a function of the size that compiles it (None: for all)."""

    def dims(size: int | None) -> dict[str, int] | None:
        return None if size is None else {"N": size}

    def inference(size: int | None) -> Callable[..., object]:
        model, _ = NETWORKS[network]()
        return gc.compile(model.inputs, [model.outputs], dims=dims(size), threads=threads)

    def step(size: int | None) -> Callable[..., object]:
        model, optimizer = NETWORKS[network]()
        labels = gc.input("labels", ("N",), "int64")
        loss = nn.losses.softmax_cross_entropy(labels, model.outputs)
        updates = optimizer.updates(loss, model.parameters)
        return gc.compile([*model.inputs, labels], [loss], updates=updates, dims=dims(size), threads=threads)

    yield "inference", inference
    yield "training step", step


def fastest(functions: Sequence[Callable[[], object]], seconds: float) -> list[float]:
    """The time of the fastest run of each; they run in turns."""
    best = [float("inf")] * len(functions)
    end = time.perf_counter() + seconds
    rounds = 0
    while rounds < 3 or time.perf_counter() < end:
        rounds += 1
        for k, f in enumerate(functions):
            start = time.perf_counter()
            f()
            best[k] = min(best[k], time.perf_counter() - start)
    return best


def measure(network: str, sizes: Sequence[int], seconds: float, threads: int) -> Iterator[Measured]:
    draw = np.random.default_rng(0)
    model, _ = NETWORKS[network]()
    shape = [int(str(d)) for d in model.inputs[0].shape[1:]]
    for what, make in compilers(network, threads):
        general = make(None)
        for size in sizes:
            x = draw.standard_normal((size, *shape), "float32")
            given = (x,) if what == "inference" else (x, draw.integers(0, 10, size))
            special = make(size)

            def calls(f: Callable[..., object], given: tuple[object, ...] = given) -> Callable[[], object]:
                return lambda: f(*given)

            a, b = fastest([calls(general), calls(special)], seconds)
            yield Measured(network, what, size, a, b)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--networks", nargs="+", choices=sorted(NETWORKS), default=sorted(NETWORKS))
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES)
    parser.add_argument("--seconds", type=float, default=2.0, help="of timing, for each pair")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    found = [
        m
        for network in options.networks
        for m in measure(network, options.sizes, options.seconds, options.threads)
    ]
    rows = [
        [
            m.network,
            m.what,
            str(m.size),
            f"{1e6 * m.general:,.1f}",
            f"{1e6 * m.special:,.1f}",
            f"{m.ratio:.2f}",
        ]
        for m in found
    ]
    Table(["network", "", "batch", "any size (µs)", "this size (µs)", "ratio"], rows).show()
    far = [m for m in found if m.ratio > GOAL]
    print(f"{len(found) - len(far)} of {len(found)} within {GOAL:g}")


if __name__ == "__main__":
    main()
