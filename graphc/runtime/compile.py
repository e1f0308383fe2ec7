"""The driver: from tensors to a function, one level after the other.

```
tensors → Graph → optimized Graph → clusters → Program of kernels → back end → Function
```

>>> import graphc as gc, numpy as np
>>> x = gc.input("x", ("N",))
>>> double = gc.compile([x], x + x, backend="reference")
>>> double(np.arange(3.0))
array([0., 2., 4.])
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from graphc.config import setting
from graphc.errors import ArgumentError
from graphc.ir.block import blocks_inside
from graphc.ir.graph import Graph
from graphc.ir.verify import verify_graph
from graphc.kernel.alike import Form
from graphc.kernel.assemble import Layout, assemble
from graphc.kernel.program import Executable, KeepingBackend, Program, TuningBackend
from graphc.kernel.recompute import recompute
from graphc.kernel.verify import verify
from graphc.lang.source import operation
from graphc.lang.tensor import Parameter, Tensor
from graphc.passes.fuse import Cluster, fuse
from graphc.passes.layout import arrange
from graphc.passes.log import Log
from graphc.passes.pipeline import PRECISIONS, optimize
from graphc.passes.specialise import specialised
from graphc.runtime import kept
from graphc.runtime.backends import load
from graphc.runtime.cache import DiskCache, default_cache
from graphc.runtime.dims import check_known, check_sizes, dim_sources
from graphc.runtime.function import Compiled, Function
from graphc.runtime.interpreter import InterpreterExecutable
from graphc.runtime.pause import pause

BACKENDS = ("llvm", "cuda", "reference", "interpreter")


@operation
def compile(
    inputs: Sequence[Tensor],
    outputs: Tensor | Sequence[Tensor],
    *,
    updates: Mapping[Parameter, Tensor] | None = None,
    dims: Mapping[str, int] | None = None,
    backend: str = "llvm",
    name: str = "main",
    disable: Collection[str] = (),
    fast: bool = False,
    threads: int | None = None,
    cache: bool = True,
    precision: str | None = None,
    winograd: bool = False,
    tune: bool = False,
) -> Function:
    """Compile outputs as a function of inputs.

    A single tensor as `outputs` gives a function that returns one array, a sequence one that returns a tuple.
    `updates` replaces parameters after each call, in place.  `disable` switches passes off by name; `fast`
    allows rewrites and arithmetic that change rounding; `threads` bounds the threads (default: all cores).
    Named dimensions take their sizes from the arguments, anew at each call; `dims` gives some of them a size for
    good, as in `dims={"N": 64}`: the function then takes only such arguments, and may be faster.

    `precision="bf16"` lets products of float32 arrays (matrix products and convolutions, and those of their
    gradients) round their operands to bfloat16, of 8 significant bits; sums, and all else, stay in float32.  Weights
    that are constants are stored so, in half the memory.  Of k terms a sum Σ a·b then has an error of at most
    (2^-7 + 2^-16 + k·2^-23)·Σ|a·b| + k·2^-125·(1 + max|a| + max|b|); from 2^128 - 2^119 on an operand is infinite.
    Products that would not be faster for it stay as they are; `fn.log` tells which ones are rounded.  On CPUs that
    have no instruction for pairs of bfloat16 (AVX512-BF16) only what waits for memory is faster.

    `winograd=True` lets 3×3 convolutions of float32 images be computed in tiles, with up to four times fewer
    multiplications, where that is estimated to be faster: many channels, strides and dilations of 1, one group.  An
    error is at most e·max|x|·Σ|w|, the sum over one filter, with `e = graphc.ops.winograd.bound(tile, channels)`:
    for 64 channels 8.4e-5 in tiles of 2×2, 1.1e-3 in tiles of 4×4; most errors are 2 and 5 times those of the
    convolution as it is.  Infinities and NaNs spread over their tiles.  `fn.log` tells which ones are in tiles.

    `tune=True` runs each heavy kernel in a few schedules, and takes the fastest, where that beats the one that the
    model of costs chooses by more than noise: about half a second for each kernel, once.  What is found is kept in
    the cache: the next compilation, of this or of another function with the same kernels, measures nothing, and
    results have the same bits from then on.  Named dimensions are taken to be 64, so `dims` goes well with it.

    >>> import graphc as gc, numpy as np
    >>> x = gc.input("x", (32, 100), "float32")
    >>> y = gc.compile([x], x @ gc.const(np.full((100, 32), 1.005, "float32")), precision="bf16")
    >>> float(y(np.ones((32, 100), "float32"))[0, 0])          # 1.005 is 1.0078125 in bfloat16
    100.78125
    """
    if backend not in BACKENDS:
        raise ArgumentError(f"unknown back end {backend!r}", fix=f"use one of {', '.join(BACKENDS)}")
    check_precision(precision)
    if tune:
        check_tuning(backend)
    if threads is not None and (not isinstance(threads, int) or threads < 1):
        raise ArgumentError(f"threads must be 1 or more, or None for all cores, not {threads!r}")
    single = isinstance(outputs, Tensor)
    results = [cast(Tensor, outputs)] if single else _tensors("outputs", outputs)
    inputs = _tensors("inputs", inputs)
    _check_updates(updates or {})
    graph = Graph(
        name,
        tuple(t.node for t in inputs),
        tuple(t.node for t in results),
        tuple((p.node, v.node) for p, v in (updates or {}).items()),
        tuple(t.name for t in results),
    )
    _check_inputs(graph, inputs)
    verify_graph(graph)
    check_known(graph.nodes, [name for name, _, _ in dim_sources(graph.inputs)])
    if dims is not None:
        _check_dims(graph, dims)
        graph = specialised(graph, dims)
    options = _Options(
        backend,
        single,
        frozenset(disable),
        fast,
        threads,
        default_cache() if cache else None,
        precision or "full",
        winograd,
        bool(tune),
    )
    with pause():
        return _made(graph, options)


def check_precision(precision: object) -> None:
    """Raises ArgumentError for what is no precision."""
    if precision not in (None, *PRECISIONS):
        raise ArgumentError(
            f"unknown precision {precision!r}",
            why="products are computed in the precision of their operands, or with operands in bfloat16",
            fix='use "bf16", or "full" or None for the former',
        )


def check_tuning(backend: str) -> None:
    """Raises ArgumentError where a back end has no schedules to choose from."""
    if backend in ("reference", "interpreter") or not isinstance(load(backend), TuningBackend):
        raise ArgumentError(
            f"the back end {backend!r} cannot be tuned",
            why="tune=True chooses among schedules of machine code by running them",
            fix='use backend="llvm", or leave tune out',
        )


@dataclass(frozen=True, slots=True)
class _Options:
    """How to compile."""

    backend: str
    single: bool
    disable: frozenset[str]
    fast: bool
    threads: int | None
    cache: DiskCache | None
    precision: str = "full"
    winograd: bool = False
    tune: bool = False


def _made(graph: Graph, options: _Options) -> Function:
    """The function of a graph that is sound."""
    backend, single, cache = options.backend, options.single, options.cache
    level = setting("GRAPHC_DEBUG")
    if backend == "reference":
        optimized, log = _optimized(graph, options)
        made = Function(graph, optimized, log, backend=backend, stages=(), single=single, compiled=None)
        report(made, level)
        return made
    target = None if backend == "interpreter" else load(backend)
    place: str | None = None  # in the cache
    if cache is not None and isinstance(target, KeepingBackend) and level < 2:
        start = time.perf_counter()
        place = _place(graph, target, options)
        found = _restored(graph, target, options, place) if place is not None else None
        if found is not None:
            if level:
                took = 1e3 * (time.perf_counter() - start)
                print(f"graphc: {found!r}: cache {took:.1f} ms", file=sys.stderr)
            return found
    optimized, log, clusters, program, layout = _lowered(graph, options)
    executable: Executable
    with log.timed(backend):
        if target is None:
            executable = InterpreterExecutable(program)
        else:
            build = target.tuned if options.tune and isinstance(target, TuningBackend) else target.build
            executable = build(program, fast=options.fast, threads=options.threads, cache=cache)
    for step, seconds in getattr(
        executable, "seconds", {}
    ).items():  # the steps of the back end, by themselves
        log.seconds[step] = seconds
        log.seconds[backend] -= seconds
    function = Function(
        graph,
        optimized,
        log,
        backend=backend,
        stages=() if target is None else target.stages,
        single=single,
        compiled=Compiled(clusters, program, layout, executable),
    )
    if cache is not None and place is not None and isinstance(target, KeepingBackend):
        with log.timed("cache"):
            held = target.kept(executable)
            entry = None if held is None else kept.packed(graph, program, layout, *held)
            if entry is not None and place == _place(graph, target, options):
                cache.put(place, entry)
    report(function, level, getattr(executable, "tables", ()))
    return function


def _place(graph: Graph, target: KeepingBackend, options: _Options) -> str | None:
    """The key of a graph in the cache; None where it is not to be kept."""
    identity = target.identity(options.threads)
    given = sorted(options.disable), options.fast, options.precision, options.winograd, options.tune
    return kept.key(graph, options.backend, identity, *given)


def _optimized(graph: Graph, options: _Options) -> tuple[Graph, Log]:
    """The graph after level 3."""
    o = options
    return optimize(graph, disable=o.disable, fast=o.fast, precision=o.precision, winograd=o.winograd)


def _lowered(graph: Graph, options: _Options) -> tuple[Graph, Log, tuple[Cluster, ...], Program, Layout]:
    """The levels from the graph to its program."""
    optimized, log = _optimized(graph, options)
    with log.timed("fuse"):
        clusters = fuse(optimized, log, enabled="fuse" not in options.disable)
    with log.timed("layout"):
        orders = arrange(optimized, clusters, log, enabled="layout" not in options.disable)
    with log.timed("lower"):
        program, layout = assemble(optimized, clusters, orders)
        program = recompute(program, log, enabled="recompute" not in options.disable)
        _verify(program)
    return optimized, log, tuple(clusters), program, layout


def _restored(graph: Graph, target: KeepingBackend, options: _Options, place: str) -> Function | None:
    """The function that the cache has there; None where it has none, or a damaged one."""
    assert options.cache is not None
    entry = options.cache.get(place)
    if entry is None:
        return None
    levels = functools.cache(functools.partial(_lowered, graph, options))
    try:
        held = kept.unpacked(graph, entry)
        executable = target.restore(
            held.program,
            held.about,
            held.code,
            fast=options.fast,
            threads=options.threads,
            cache=options.cache,
            lowered=lambda: levels()[3],
        )
    except (ValueError, KeyError, TypeError, IndexError):
        return None
    if executable is None:
        return None
    running = Compiled((), held.program, held.layout, executable)

    def below() -> tuple[Graph, Log, Compiled]:
        optimized, log, clusters, program, layout = levels()
        return optimized, log, Compiled(clusters, program, layout, executable)

    stages = target.stages
    return kept.KeptFunction(graph, running, below, backend=target.name, stages=stages, single=options.single)


def _verify(program: Program) -> None:
    """Check every kernel, but one of those that are alike, unless GRAPHC_VERIFY=0."""
    if setting("GRAPHC_VERIFY"):
        for kernel in {Form.of(call.kernel).key: call.kernel for call in program.calls}.values():
            verify(kernel)


def report(function: Function, level: int, tables: Iterable[str] = ()) -> None:
    """What GRAPHC_DEBUG asks for, on standard error: 1 the time of each step and what was measured (`tables`),
    2 each rewrite, 3 every level."""
    lines: list[str] = []
    if level >= 1:
        steps = ", ".join(f"{step} {1e3 * s:.1f} ms" for step, s in function.log.seconds.items())
        lines.append(f"graphc: {function!r}: {steps}")
        lines += [f"graphc: tuned {table}" for table in tables]
    if level >= 2:
        lines += [f"graphc: {event}" for event in function.log]
    if level >= 3:
        lines += [f"==> {name}\n{function.stage(name)}" for name in function.stages]
    if lines:
        print("\n".join(lines), file=sys.stderr)


def _tensors(what: str, given: object) -> list[Tensor]:
    """A sequence of tensors as a list; raises ArgumentError for anything else."""
    if isinstance(given, Tensor) or not isinstance(given, Iterable):
        raise ArgumentError(f"{what} must be a list of tensors, not {given!r}")
    found = list(given)
    for t in found:
        if not isinstance(t, Tensor):
            raise ArgumentError(f"{what} must be tensors, not {type(t).__name__}")
    return found


def _check_dims(graph: Graph, dims: object) -> None:
    """Raises ArgumentError where these are no sizes of named dimensions, ShapeError where there is no such graph."""
    if not isinstance(dims, Mapping):
        raise ArgumentError(
            f"dims must give the size of each dimension by its name, not {dims!r}",
            fix='write it like dims={"N": 64}',
        )
    known = sorted({name for n in graph.inputs for name in n.type.dims})
    for name, size in dims.items():
        if name not in known:
            raise ArgumentError(
                f"no input has a dimension called {name!r}",
                why=f"the named dimensions are {', '.join(known)}" if known else "all dimensions are numbers",
            )
        if isinstance(size, bool) or not isinstance(size, int) or size < 0:
            raise ArgumentError(f"the size of {name} must be a number, 0 or more, not {size!r}")
    inner = (n for b in blocks_inside(graph.nodes) for n in b.nodes)
    check_sizes((*graph.nodes, *inner), dims)


def _check_updates(updates: Mapping[Parameter, Tensor]) -> None:
    _tensors("updates", updates.values())
    for p, value in updates.items():
        if not isinstance(p, Parameter):
            raise ArgumentError(
                f"only parameters can be updated, and {p!r} is none", fix="make it by gc.param"
            )
        if value.node.type != p.node.type:
            raise ArgumentError(f"`{p.name}` is {p.node.type}, and cannot be updated by {value.node.type}")


def _check_inputs(graph: Graph, inputs: Sequence[Tensor]) -> None:
    for t in inputs:
        if t.node.op.name != "input":
            raise ArgumentError(
                f"{t} is no input",
                why="only tensors made by gc.input can be arguments of a compiled function",
            )
    titles = [str(t.node.op.attributes()["name"]) for t in {t.node: t for t in inputs}.values()]
    for title in titles:
        if titles.count(title) > 1:
            raise ArgumentError(
                f"two inputs are called `{title}`",
                why="arguments can be given by name",
                fix=f'name one of them otherwise: gc.input("{title}2", ...)',
            )
    declared = {t.node for t in inputs}
    for n in graph.nodes:
        if n.op.name == "input" and n not in declared:
            title = str(n.op.attributes()["name"])
            raise ArgumentError(
                f"the outputs need the input `{title}`, which is not among the inputs",
                fix=f"add it: gc.compile([..., {title}], ...)",
            )
