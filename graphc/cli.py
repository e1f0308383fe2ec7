"""The command line: `graphc demo`, `show`, `render`, `emit`, `lint`, `ops`, `doctor`.

Each command on FILE[:NAME] takes a tensor, a model or a compiled function of a script: `graphc.script` says which.

>>> parse_at("x=-2, y=[1, 2]")
{'x': -2, 'y': [1, 2]}
"""

from __future__ import annotations

import ast
import functools
import json
import re
import sys
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from inspect import unwrap
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Annotated, ParamSpec

import typer

from graphc.errors import ArgumentError, GraphcError
from graphc.script import find

if TYPE_CHECKING:
    from graphc.ir.graph import Graph
    from graphc.ir.node import Node
    from graphc.lang.tensor import Tensor
    from graphc.runtime.function import Function
    from graphc.script import Target

P = ParamSpec("P")

app = typer.Typer(
    name="graphc",
    help="A compiler that you can see through.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

FileArgument = Annotated[str, typer.Argument(metavar="FILE[:NAME]", help="A Python file, and a name in it.")]
AtOption = Annotated[str, typer.Option("--at", help="Values of inputs: x=-2,y=5", metavar="VALUES")]
OutOption = Annotated[Path, typer.Option("--output", "-o", help="The file to write.", metavar="OUT")]

STAGES = ("graph", "gradient", "optimized", "fused", "kernels", "scheduled", "llvm", "llvm-opt", "asm")
_TARGETS = {"llvm": "llvm-opt", "asm": "asm", "cuda": "cuda", "ptx": "ptx"}
_OPTIONAL = ("torch", "jax", "onnx", "onnxruntime")


def reported(command: Callable[P, None]) -> Callable[P, None]:
    """A command whose errors are printed as errors of the user's, without a traceback."""

    @functools.wraps(command)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except GraphcError as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            print("stopped by Ctrl-C", file=sys.stderr)
            raise typer.Exit(130) from None

    return wrapper


def _version(wanted: bool) -> None:
    if wanted:
        import graphc

        print(f"graphc {graphc.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """A compiler that you can see through."""


@app.command()
@reported
def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The folder to write.", metavar="DIR")
    ] = Path("graphc-demo"),
    epochs: Annotated[int, typer.Option(min=1, help="How often to go through the digits.")] = 3,
    backend: Annotated[str, typer.Option(help="The back end that trains.")] = "llvm",
) -> None:
    """The chain rule at work, a network trained on real digits, and every level of its code."""
    from graphc.demo import run

    if not run(output, epochs=epochs, backend=backend):
        raise typer.Exit(130)


@app.command()
@reported
def show(
    file: FileArgument,
    stage: Annotated[str, typer.Option(help=f"One of {', '.join(STAGES)}.")] = "graph",
    at: AtOption = "",
) -> None:
    """Print a level of what is compiled; with --at, the numbers of the graph and of its gradient."""
    name, target = find(file)
    values = parse_at(at)
    if stage not in STAGES and stage not in ("cuda", "ptx"):
        raise ArgumentError(f"unknown stage {stage!r}", fix=f"use one of {', '.join(STAGES)}")
    if stage == "gradient":
        print(_gradient(target, values))
        return
    if values and stage != "graph":
        raise ArgumentError(
            f"--at says nothing about the stage {stage!r}", fix="use the stage graph or gradient"
        )
    function = function_of(target, name)
    print(_graph_with_values(function.graph, values) if values else function.stage(stage))


@app.command()
@reported
def render(
    file: FileArgument,
    output: OutOption,
    at: AtOption = "",
    stage: Annotated[str, typer.Option(help="The level to draw.")] = "graph",
) -> None:
    """Draw a graph; with --at, with values and gradients on its edges."""
    from graphc.show.render import render as draw

    if output.suffix.lower() not in (".svg", ".dot", ".gv"):
        raise ArgumentError(
            f"cannot draw into {output.name}",
            why="this version draws .svg and .dot; .pdf and .png come with a later one",
            fix=f"draw {output.stem}.svg: every browser shows and prints it",
        )
    _, target = find(file)
    picture = unwrap(draw)(_drawn(target), at=parse_at(at) or None, stage=stage)
    write_text(output, picture.svg if output.suffix.lower() == ".svg" else picture.dot)
    print(f"wrote {output}")


@app.command()
@reported
def emit(
    file: FileArgument,
    output: OutOption,
    target: Annotated[str, typer.Option("--target", help="llvm, asm, cuda or ptx.")] = "llvm",
) -> None:
    """Write the code of a compiled function: LLVM IR after optimisation, or assembly."""
    if target not in _TARGETS:
        raise ArgumentError(f"unknown target {target!r}", fix=f"use one of {', '.join(_TARGETS)}")
    name, found = find(file)
    function = function_of(found, name, backend="cuda" if target in ("cuda", "ptx") else "llvm")
    text = function.stage(_TARGETS[target])
    write_text(output, text)
    print(f"wrote {output} ({len(text.splitlines())} lines)")


@app.command()
@reported
def lint(
    file: FileArgument,
    at: Annotated[
        str, typer.Option("--at", help='Values of inputs: x=-2,y=5; or "random".', metavar="VALUES")
    ] = "",
    silence: Annotated[str, typer.Option(help="Names of findings, with commas between.")] = "",
) -> None:
    """Say what is wrong with a loss and its gradients, before anything runs; ends with 1 where there is a warning."""
    from graphc.lint.finding import Findings
    from graphc.lint.lint import lint as lint_loss

    name, target = find(file)
    point = at if at == "random" else parse_at(at) or None
    quiet = [word.strip() for word in silence.split(",") if word.strip()]
    losses, inputs = _losses(target, name)
    found = [f for loss in losses for f in unwrap(lint_loss)(loss, at=point, silence=quiet, inputs=inputs)]
    findings = Findings(dict.fromkeys(found))
    print(findings)
    if findings.warnings:
        raise typer.Exit(1)


@app.command()
@reported
def ops(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Some ops only.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON: ops and conventions.")] = False,
) -> None:
    """The op table: mathematics, local gradients, stable forms, how each was proved; and the conventions."""
    from graphc.lang.elementwise import names as known
    from graphc.ops.conventions import CONVENTIONS
    from graphc.ops.table import ROWS
    from graphc.show.op_table import table_lines, table_object

    for name in names or ():
        if name not in known():
            near = get_close_matches(name, known(), 1)
            raise ArgumentError(f"no op is called {name!r}", fix=f"did you mean {near[0]}?" if near else "")
    rows = [known()[name] for name in names] if names else list(ROWS.values())
    if as_json:
        print(json.dumps(table_object(rows), indent=2, ensure_ascii=False))
        return
    width = min(100, get_terminal_size((100, 24)).columns)
    for line in table_lines(rows, () if names else CONVENTIONS, width):
        print(line, flush=not line.startswith(" "))


@app.command()
@reported
def rules(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Some rules only.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """The rewrite rules: equations, conditions, exactness, how each was proved."""
    from graphc.passes.rules import RULES
    from graphc.show.rule_table import rule_lines, rule_object

    for name in names or ():
        if name not in RULES:
            near = get_close_matches(name, RULES, 1)
            raise ArgumentError(f"no rule is called {name!r}", fix=f"did you mean {near[0]}?" if near else "")
    found = [RULES[name] for name in names or RULES]
    if as_json:
        print(json.dumps([rule_object(r) for r in found], indent=2, ensure_ascii=False))
        return
    width = min(100, get_terminal_size((100, 24)).columns)
    for r in found:
        print("\n".join(rule_lines(r, width)), flush=True)


@app.command()
@reported
def doctor() -> None:
    """What this machine offers: CPU, vectors, threads, back ends, optional packages, settings."""
    from importlib.metadata import PackageNotFoundError, version
    from platform import python_version

    import numpy as np

    import graphc
    from graphc.config import SETTINGS, setting
    from graphc.runtime.backends import available, load
    from graphc.tables import Table

    rows = [
        ["graphc", graphc.__version__],
        ["Python", python_version()],
        ["NumPy", np.__version__],
        ["CPU", _cpu()],
    ]
    for name in available():
        try:
            found = load(name).describe()
        except GraphcError as error:
            found = {"": error.what}
        rows += [[f"{name}: {k}" if k else name, v] for k, v in found.items()]
    for package in _OPTIONAL:
        try:
            rows.append([package, version(package)])
        except PackageNotFoundError:
            rows.append([package, "not installed (optional)"])
    Table(["what", "found"], rows).show()
    print()
    Table(
        ["setting", "now", "may be", "default", "what it does"],
        [[s.name, _now(setting(s.name)), s.values, s.default, s.doc] for s in SETTINGS],
    ).show()


# ---- what the commands share ----------------------------------------------------------------------------------


def function_of(target: Target, name: str, backend: str = "llvm") -> Function:
    """A compiled function: itself, a model's training step (or prediction), or a tensor of its inputs.

    `unwrap`, here and elsewhere: an operation records the user's line that called it, and there is none.
    """
    from graphc.lang.tensor import Tensor
    from graphc.nn.model import Model
    from graphc.runtime.compile import compile

    if isinstance(target, Model):
        return target.train_step if target.targets is not None else target.predict_function
    if not isinstance(target, Tensor):
        return target
    inputs = [Tensor(n, str(n.op.attributes()["name"])) for n in _inputs(target)]
    function: Function = unwrap(compile)(inputs, target, backend=backend, name=name)
    return function


def _inputs(f: Tensor) -> tuple[Node, ...]:
    """The inputs that a tensor is computed from, in the order of the graph."""
    from graphc.ir.node import toposort

    return tuple(n for n in toposort([f.node]) if n.op.name == "input")


def _losses(target: Target, name: str) -> tuple[list[Tensor], list[Tensor]]:
    """The scalars of a target that are no gradients, and the inputs that none of its results needs."""
    from graphc.ir.node import toposort
    from graphc.lang.tensor import Tensor
    from graphc.nn.model import Model
    from graphc.runtime.births import of_gradient

    if isinstance(target, (Tensor, Model)):
        return [tensor_of(target)], []
    scalars = [n for n in target.graph.outputs if n.type.rank == 0 and n.type.dtype.is_float]
    losses = [Tensor(n) for n in scalars if of_gradient(n) is None]
    if not losses:
        raise ArgumentError(f"{name} has no scalar result to lint", fix="name a loss: FILE:NAME")
    used = set(toposort(target.graph.roots))
    return losses, [Tensor(n) for n in target.graph.inputs if n not in used]


def _drawn(target: Target) -> Tensor | Function:
    """What is drawn: of a model its loss (or its outputs), all else as it is."""
    from graphc.nn.model import Model

    if isinstance(target, Model):
        return target.loss_graph() if target.targets is not None else target.outputs
    return target


def tensor_of(target: Target) -> Tensor:
    """A tensor: itself, or a model's loss (or outputs)."""
    from graphc.lang.tensor import Tensor

    drawn = _drawn(target)
    if isinstance(drawn, Tensor):
        return drawn
    raise ArgumentError("a compiled function is no tensor", fix="name the tensor that it was compiled from")


def _gradient(target: Target, values: Mapping[str, object]) -> str:
    """The gradient graph as text; at a point, the table of the chain rule."""
    from graphc.autodiff.reverse import check_scalar, differentiate
    from graphc.autodiff.trace import default_targets
    from graphc.ir.graph import Graph
    from graphc.ir.text import graph_text
    from graphc.show.backprop import backprop

    f = tensor_of(target)
    if values:
        return str(unwrap(backprop)(f, at=values))
    check_scalar(f)
    gradients = differentiate(f.node, [t.node for t in default_targets(f)])
    return graph_text(Graph("gradient", _inputs(f), (f.node, *gradients.wrt)), sources=True)


def _graph_with_values(graph: Graph, values: Mapping[str, object]) -> str:
    """The text of a graph with the value of each node."""
    from graphc.autodiff.point import point_at
    from graphc.ir.text import node_text
    from graphc.tables import array_text

    point = point_at(graph.roots, values)
    found = point.evaluate(graph.roots)
    nodes = [n for n in graph.nodes if n in found]
    texts = [node_text(n, lambda m: f"%{graph.numbers[m]}") for n in nodes]
    width = min(72, max(map(len, texts), default=0))
    lines = [f"  {text:<{width}}  = {array_text(found[n])}" for text, n in zip(texts, nodes, strict=True)]
    return "\n".join([f"graph {graph.name}", *lines])


def parse_at(text: str) -> dict[str, object]:
    """`x=-2,y=[1,2]` as a mapping from names to Python numbers and lists."""
    found: dict[str, object] = {}
    for part in re.split(r",(?=\s*[A-Za-z_][\w/]*\s*=)", text) if text.strip() else []:
        name, equals, value = part.partition("=")
        try:
            found[name.strip()] = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError):
            equals = ""
        if not equals or not name.strip():
            raise ArgumentError(
                f"cannot read {part.strip()!r} in --at", fix="write names and numbers: x=-2,y=[1,2]"
            )
    return found


def write_text(path: Path, text: str) -> None:
    """Write a file; raises ArgumentError where that fails."""
    try:
        path.write_text(text if text.endswith("\n") else text + "\n", encoding="utf-8")
    except OSError as error:
        raise ArgumentError(f"cannot write {path}", why=error.strerror or str(error)) from None


def _now(value: object) -> str:
    """The value of a setting; nothing where it is left to graphc."""
    return "" if value is None else str(int(value)) if isinstance(value, bool) else str(value)


def _cpu() -> str:
    """The name of the processor, as the operating system tells it."""
    import platform

    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith(("model name", "Model")):
                return f"{line.partition(':')[2].strip()} ({platform.machine()})"
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    app()
