"""Imports point one way: each package may import what lies below it, and nothing else.

ir ← ops ← lang, passes ← autodiff, kernel ← runtime ← nn; `show` reads and is imported by none of them; the
core knows no back end, and back ends know kernels and scalar primitives only.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BELOW: dict[str, set[str]] = {
    "errors": set(),
    "config": {"errors"},
    "warn": {"errors", "config"},
    "ir": {"errors", "config"},
    "ops": {"errors", "config", "ir"},
    "lang": {"errors", "config", "ir", "ops"},
    "tables": {"errors", "config", "ir"},
    "autodiff": {"errors", "config", "ir", "ops", "lang", "passes", "tables", "warn"},
    "lint": {"errors", "config", "ir", "ops", "lang", "passes", "autodiff", "warn"},
    "passes": {"errors", "config", "ir", "ops"},
    "kernel": {"errors", "config", "ir", "ops", "passes"},
    "runtime": {"errors", "config", "ir", "ops", "lang", "passes", "kernel", "tables"},
    "nn": {"errors", "config", "ir", "ops", "lang", "autodiff", "runtime", "lint", "warn"},
    # Showing reads every level and changes none.
    "show": {"errors", "config", "ir", "ops", "lang", "autodiff", "passes", "kernel", "runtime", "tables"},
}
FOR_BACKENDS = {"kernel", "ops.scalar", "ir", "errors", "config"}
TARGETS = {"llvmlite", "graphc_llvm", "graphc_cuda", "cuda", "pynvml"}


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, module) of every import, inside functions too; what only type checkers read is left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    unseen = {
        child
        for n in ast.walk(tree)
        if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"
        for statement in n.body
        for child in ast.walk(statement)
    }
    for n in ast.walk(tree):
        if n in unseen:
            continue
        if isinstance(n, ast.Import):
            yield from ((n.lineno, alias.name) for alias in n.names)
        elif isinstance(n, ast.ImportFrom):
            assert n.level == 0, f"{path}:{n.lineno} imports relatively"
            yield n.lineno, n.module or ""
            yield from ((n.lineno, f"{n.module}.{alias.name}") for alias in n.names)


def modules(package: Path) -> list[Path]:
    found = (
        [package.with_suffix(".py")] if package.with_suffix(".py").exists() else sorted(package.rglob("*.py"))
    )
    assert found, package
    return found


def layer_of(module: str) -> str | None:
    """The layer of a module of graphc; None for another distribution and for graphc itself."""
    parts = module.split(".")
    return parts[1] if parts[0] == "graphc" and len(parts) > 1 and parts[1] in BELOW else None


@pytest.mark.parametrize("layer", BELOW)
def test_a_layer_imports_only_what_lies_below_it(layer: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path in modules(ROOT / "graphc" / layer)
        for line, module in imports(path)
        if layer_of(module) not in {None, layer, *BELOW[layer]}
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("layer", BELOW)
def test_a_layer_does_not_import_the_package_as_a_whole(layer: str) -> None:
    """`import graphc` inside a layer would lead back to everything; doctests may."""
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path in modules(ROOT / "graphc" / layer)
        for line, module in imports(path)
        if module == "graphc" and layer != "nn"
    ]
    assert not wrong, "\n".join(wrong)


def test_the_core_never_imports_a_target() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path in sorted((ROOT / "graphc").rglob("*.py"))
        for line, module in imports(path)
        if module.split(".")[0] in TARGETS
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("backend", ["graphc_llvm", "graphc_cuda"])
def test_back_ends_know_kernels_and_scalar_primitives_only(backend: str) -> None:
    others = {"graphc_llvm", "graphc_cuda"} - {backend}
    wrong = []
    for path in sorted((ROOT / "backends" / backend).rglob("*.py")):
        for line, module in imports(path):
            name = module.removeprefix("graphc.")
            allowed = any(
                name == a or name.startswith(f"{a}.") or a.startswith(f"{name}.") for a in FOR_BACKENDS
            )
            if (module.startswith("graphc.") and not allowed) or module.split(".")[0] in others:
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {module}")
    assert not wrong, "\n".join(wrong)


def test_no_module_is_called_after_nothing() -> None:
    names = {"utils", "util", "helpers", "common", "misc"}
    python = [p for top in ("graphc", "backends", "tests") for p in (ROOT / top).rglob("*.py")]
    assert not [p for p in python if p.stem in names or names & set(p.relative_to(ROOT).parts)]


def test_files_can_be_read_in_one_sitting() -> None:
    python = [p for top in ("graphc", "backends") for p in (ROOT / top).rglob("*.py")]
    long = {str(p.relative_to(ROOT)): n for p in python if (n := p.read_text("utf-8").count("\n")) > 450}
    assert not long, long


def loaded(code: str) -> set[str]:
    """The packages that a process has loaded after some code."""
    shown = (
        f"{code}; import sys; print(*sorted({{m.split('.')[0] for m in [*sys.modules]}} | set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", shown], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr[-2000:]
    return set(found.stdout.split())


def test_what_is_not_needed_is_not_imported() -> None:
    heavy = {"sympy", "networkx", "rich", "typer", "llvmlite", "safetensors", "importlib.metadata", "email"}
    assert not loaded("import graphc") & (heavy | {"graphc.show", "graphc.nn", "graphc.lint.lint"})
    step = "import graphc as gc; x = gc.input('x'); gc.compile([x], gc.tanh(x) * x + gc.sum(x))(2.0)"
    assert not loaded(step) & {"networkx", "rich", "typer", "safetensors", "graphc.show", "graphc.nn"}


def test_a_function_keeps_its_name_beside_a_package_of_that_name() -> None:
    import graphc as gc
    import graphc.lint.images

    assert callable(gc.lint) and gc.lint is graphc.lint
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = gc.nothing
    assert {"lint", "render", "gradcheck", "tanh"} <= set(dir(gc))
