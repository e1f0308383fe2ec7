"""The command line: `graphc demo`, `show`, `render`, `emit`, `ops`, `doctor`.

FILE is a Python file, which is run; NAME a tensor, a model or a compiled function in it.  Without NAME it is
`main`, else the only compiled function, else the only model, else the only tensor that no other is made from.
Code under `if __name__ == "__main__":` does not run.

>>> parse_at("x=-2, y=[1, 2]")
{'x': -2, 'y': [1, 2]}
>>> split_target("model.py:loss")
(PosixPath('model.py'), 'loss')
"""

from __future__ import annotations

import ast
import functools
import json
import re
import runpy
import sys
import traceback
from collections.abc import Callable, Mapping
from inspect import unwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ParamSpec, TypeAlias

import typer

from graphc.errors import ArgumentError, GraphcError, GraphError

if TYPE_CHECKING:
    from graphc.ir.graph import Graph
    from graphc.ir.node import Node
    from graphc.lang.tensor import Tensor
    from graphc.nn.model import Model
    from graphc.runtime.function import Function

    Target: TypeAlias = Tensor | Model | Function

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
    epochs: Annotated[int, typer.Option(min=1, help="How often to go through the digits.")] = 5,
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
def ops(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, one object for each op.")] = False,
) -> None:
    """The op table: mathematics, local gradients, kinks, stable forms, and how each was proved."""
    from graphc.ops.prove import prove_row
    from graphc.ops.table import ROWS

    entries: list[dict[str, object]] = []
    for row in ROWS.values():
        gradients = (
            {name: str(row.local(k)) for k, name in enumerate(row.operands)} if row.differentiable else {}
        )
        entries.append(
            {
                "name": row.name,
                "operands": list(row.operands),
                "mathematics": row.maths,
                "computed as": row.compute or row.maths,
                "local gradient": gradients,
                "domain": row.domain,
                "kink": row.kink,
                "convention": row.convention,
                "doc": row.doc,
                "proofs": {claim: str(proof) for claim, proof in prove_row(row).items()},
            }
        )
    if as_json:
        print(json.dumps(entries, indent=2, ensure_ascii=False))
        return
    from graphc.show.text import Table

    rows = []
    for e in entries:
        local, proofs = e["local gradient"], e["proofs"]
        assert isinstance(local, dict) and isinstance(proofs, dict)
        gradient = "; ".join(f"∂{name}: {text}" if len(local) > 1 else text for name, text in local.items())
        stable = str(e["computed as"]) if e["computed as"] != e["mathematics"] else ""
        notes = "; ".join(filter(None, (stable and f"computed as {stable}", str(e["convention"]))))
        verdicts = ", ".join(dict.fromkeys(proofs.values()))
        rows.append(
            [
                f"{e['name']}({', '.join(ROWS[str(e['name'])].operands)})",
                str(e["mathematics"]),
                gradient,
                notes,
                verdicts,
            ]
        )
    Table(["op", "mathematics", "local gradient", "stable form; at kinks", "claims"], rows).show()


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
    from graphc.show.text import Table

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


# ---- FILE[:NAME] -------------------------------------------------------------------------------------------


def split_target(text: str) -> tuple[Path, str]:
    """FILE and NAME of `FILE[:NAME]`; NAME is empty where there is none."""
    path, colon, name = text.rpartition(":")
    if colon and name.isidentifier() and not Path(text).exists():
        return Path(path), name
    return Path(text), ""


def find(text: str) -> tuple[str, Target]:
    """Run FILE and take NAME from it; returns the name too.  Raises ArgumentError where there is no such thing."""
    path, name = split_target(text)
    if not path.is_file():
        raise ArgumentError(f"there is no file {path}")
    from graphc.lang.tensor import Tensor
    from graphc.nn.model import Model
    from graphc.runtime.function import Function

    kinds = (Tensor, Model, Function)
    found: dict[str, Target] = {k: v for k, v in _run(path).items() if isinstance(v, kinds) and k[0] != "_"}
    if name:
        if name not in found:
            raise ArgumentError(
                f"{path} has no tensor, model or compiled function `{name}`", why=_names(found)
            )
        return name, found[name]
    if "main" in found:
        return "main", found["main"]
    for candidates in (
        {k: v for k, v in found.items() if isinstance(v, Function)},
        {k: v for k, v in found.items() if isinstance(v, Model)},
        _results({k: v for k, v in found.items() if isinstance(v, Tensor)}),
    ):
        if len({id(v) for v in candidates.values()}) == 1:
            return next(iter(candidates.items()))
        if candidates:
            first = next(iter(candidates))
            raise ArgumentError(f"which of {', '.join(candidates)}?", fix=f"name it: {path}:{first}")
    raise ArgumentError(f"{path} has no tensor, model or compiled function", why=_names(found))


def _results(tensors: Mapping[str, Tensor]) -> dict[str, Target]:
    """The tensors that no other one is computed from; one name for each."""
    from graphc.ir.node import toposort

    below = {s for t in tensors.values() for n in toposort([t.node]) for s in n.src}
    found = {t.node: (k, t) for k, t in tensors.items() if t.node not in below and t.node.src}
    return dict(found.values())


def _names(found: Mapping[str, object]) -> str:
    return f"it has {', '.join(found)}" if found else "it has none at all"


def _run(path: Path) -> dict[str, object]:
    """The global names of a file after it has run; its own errors are printed from its own lines on."""
    sys.path.insert(0, str(path.resolve().parent))
    try:
        return runpy.run_path(str(path), run_name="__graphc__")
    except (GraphcError, KeyboardInterrupt):
        raise
    except SystemExit as stop:
        raise GraphError(f"{path} ended the program (SystemExit: {stop.code})") from None
    except BaseException as error:
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename != str(path):
            trace = trace.tb_next
        print("".join(traceback.format_exception(type(error), error, trace)), end="", file=sys.stderr)
        raise typer.Exit(1) from None
    finally:
        sys.path.pop(0)


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
    from graphc.autodiff.backprop import backprop, default_targets
    from graphc.autodiff.reverse import check_scalar, differentiate
    from graphc.ir.graph import Graph
    from graphc.ir.text import graph_text

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
    from graphc.show.text import array_text

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
