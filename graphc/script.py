"""FILE[:NAME]: a Python file that is run, and a tensor, a model or a compiled function in it.

Without NAME it is `main`, else the only compiled function, else the only model, else the only tensor that no
other is made from.  Code under `if __name__ == "__main__":` does not run.

>>> split_target("model.py:loss")
(PosixPath('model.py'), 'loss')
"""

from __future__ import annotations

import runpy
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import typer

from graphc.errors import ArgumentError, GraphcError, GraphError

if TYPE_CHECKING:
    from graphc.lang.tensor import Tensor
    from graphc.nn.model import Model
    from graphc.runtime.function import Function

    Target: TypeAlias = Tensor | Model | Function


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
    before = list(sys.path)
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
        sys.path[:] = before
