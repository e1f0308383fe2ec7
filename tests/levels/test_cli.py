"""The command line: what each command prints and writes, and how it refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import graphc
from graphc import cli, demo, nn
from graphc.config import SETTINGS, setting
from graphc.errors import ArgumentError, GraphcError
from graphc.ops.conventions import CONVENTIONS
from graphc.ops.table import ROWS
from graphc.show import op_table

EXAMPLE = """\
import graphc as gc
x, y, z = gc.inputs("x y z")
q = x + y
f = q * z
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "example.py"
    path.write_text(EXAMPLE)
    return path


def graphc_command(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, [str(a) for a in arguments])


def shown(*arguments: object) -> str:
    result = graphc_command(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*arguments: object) -> str:
    """The text of an error: exit code 1, nothing on the standard output, no traceback."""
    result = graphc_command(*arguments)
    assert result.exit_code == 1 and result.stdout == "" and "Traceback" not in result.stderr
    return " ".join(result.stderr.split())


# ---- show --------------------------------------------------------------------------------------------------


def test_show_a_graph_with_its_source(file):
    lines = shown("show", file).splitlines()
    assert lines[0] == "graph f" and lines[-1] == "  return %4"
    assert lines[4].split("  # ")[0].strip() == "%3: f64[] = add %0 %1"
    assert lines[4].endswith("# example.py:3  x + y")


def test_show_a_graph_with_its_values(file):
    lines = shown("show", file, "--at", "x=-2,y=5,z=-4").splitlines()
    assert [line.split("  = ")[1] for line in lines[1:]] == ["-2", "5", "-4", "3", "-12"]


def test_show_the_gradient_graph_and_the_table_of_the_chain_rule(file):
    text = shown("show", file, "--stage", "gradient")
    assert text.splitlines()[-1] == "  return %4, %6, %6, %7" and "site-packages" not in text
    table = shown("show", file, "--stage", "gradient", "--at", "x=-2,y=5,z=-4")
    assert "upstream" in table and "∂f/∂z  = q  = 3" in table


@pytest.mark.parametrize("stage", ["optimized", "fused", "kernels", "scheduled", "llvm", "llvm-opt", "asm"])
def test_show_every_stage(file, stage):
    assert shown("show", file, "--stage", stage).strip()


def test_show_a_model_before_and_after_it_is_compiled(tmp_path):
    path = tmp_path / "net.py"
    text = "from graphc import nn\nx = nn.Input(2)\nmodel = nn.Model(x, nn.Dense(3)(x))\n"
    path.write_text(text)
    assert "graph predict" in shown("show", path)
    path.write_text(text + "model.compile(nn.SGD(0.1))\n")
    step = shown("show", path)
    assert "graph train_step" in step and "update" in step and "sgd/learning_rate" in step


@pytest.mark.parametrize(
    ("rest", "name"),
    [
        ("", "f"),
        (":q", "q"),
        (":f", "f"),
    ],
)
def test_which_tensor_is_meant(file, rest, name):
    assert shown("show", f"{file}{rest}").startswith(f"graph {name}\n")


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ("main = q", "add %0 %1"),
        ("fn = gc.compile([x, y], x - y, backend='reference')", "sub %0 %1"),
        ("from graphc import nn\ni = nn.Input(2)\nm = nn.Model(i, gc.tanh(i))", "tanh %0"),
        ("same = f", "mul %3 %2"),
    ],
)
def test_what_is_taken_where_no_name_is_given(file, extra, expected):
    file.write_text(EXAMPLE + extra + "\n")
    assert expected in shown("show", file)


def test_a_script_does_not_run_its_main_part_and_finds_its_neighbours(file):
    (file.parent / "neighbour_of_example.py").write_text("scale = 2.0\n")
    main = "if __name__ == '__main__':\n    raise ValueError\n"
    file.write_text("from neighbour_of_example import scale\n" + EXAMPLE + "g = f * scale\n" + main)
    before = list(sys.path)
    assert "const {value=2.0}" in shown("show", file)
    assert sys.path == before


# ---- render, emit ------------------------------------------------------------------------------------------


def test_render_writes_a_picture_with_values(file):
    out = file.with_suffix(".svg")
    assert shown("render", file, "-o", out, "--at", "x=-2,y=5,z=-4") == f"wrote {out}\n"
    text = out.read_text(encoding="utf-8")
    assert "<svg" in text and "−12" in text
    shown("render", file, "-o", file.with_suffix(".dot"), "--stage", "optimized")
    assert file.with_suffix(".dot").read_text().startswith("digraph")


@pytest.mark.parametrize(("target", "mark"), [("llvm", "define "), ("asm", ".text")])
def test_emit_writes_the_code(file, target, mark):
    out = file.with_suffix(".out")
    message = shown("emit", file, "--target", target, "-o", out)
    assert message == f"wrote {out} ({len(out.read_text().splitlines())} lines)\n"
    assert mark in out.read_text()


# ---- ops, doctor, help -------------------------------------------------------------------------------------


def test_rules_are_listed_with_their_conditions_and_proofs():
    (told,) = json.loads(shown("rules", "transpose-units", "--json"))
    assert told["condition"] == "only axes of length 1 move" and told["exactness"] == "bitwise"
    assert shown("rules", "log1p").splitlines() == ["log1p  (stability, stable; proved)", "    log(1 + x) = log1p(x)"]
    assert "did you mean softmax?" in refused("rules", "softmaxx")


def test_ops_says_all_about_a_row_and_how_its_claims_were_proved():
    told = json.loads(shown("ops", "arctan2", "tanh", "--json"))
    assert [e["name"] for e in told["ops"]] == ["atan2", "tanh"]
    assert told["ops"][1]["local gradient"] == {"x": "1 - out**2"}
    assert told["ops"][1]["proofs"] == {"∂/∂x": "proved"}
    assert len(told["conventions"]) == len(CONVENTIONS) and all(c["examples"] for c in told["conventions"])
    text = shown("ops", "relu6", "softplus")
    assert "relu6(x) = " in text and "0 at both kinks" in text and "∂/∂x      sigmoid(x)  (proved)" in text
    assert "did you mean tanh?" in refused("ops", "tamh")


def test_the_whole_table_fits_a_hundred_columns(monkeypatch):
    monkeypatch.setattr(
        op_table, "prove_row", lambda row: dict.fromkeys(["compute", *_claims(row)], "proved")
    )
    monkeypatch.setattr(op_table, "proofs", op_table.proofs.__wrapped__)
    monkeypatch.setenv("COLUMNS", "300")
    lines = shown("ops").splitlines()
    assert max(map(len, lines)) <= 100
    heads = [line.split("(")[0] for line in lines[: lines.index("Conventions")] if line and line[0] != " "]
    assert heads == list(ROWS) + heads[len(ROWS) :]
    text = " ".join(" ".join(lines).split())
    assert all(c.statement in text and c.topic in lines for c in CONVENTIONS)
    assert all(row.convention in text for row in ROWS.values())


def _claims(row):
    return [f"∂/∂{name}" for name in row.grad]


def test_doctor_knows_the_back_ends_and_every_setting():
    text = shown("doctor")
    for word in ("graphc", "NumPy", "llvm: vectors", "llvm: threads", "torch", *(s.name for s in SETTINGS)):
        assert word in text


def test_version_and_help():
    assert shown("--version") == f"graphc {graphc.__version__}\n"
    text = shown("--help")
    assert all(name in text for name in ("demo", "show", "render", "emit", "ops", "doctor"))


# ---- refusals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "{dir}/missing.py"], "ArgumentError: there is no file"),
        (
            ["show", "{file}:nothing"],
            "has no tensor, model or compiled function `nothing` why: it has x, y, z, q, f",
        ),
        (["show", "{file}", "--stage", "magic"], "unknown stage 'magic'"),
        (["show", "{file}", "--stage", "asm", "--at", "x=1"], "--at says nothing about the stage 'asm'"),
        (["show", "{file}", "--stage", "cuda"], "has no stage 'cuda'"),
        (["show", "{file}", "--at", "x"], "cannot read 'x' in --at"),
        (["show", "{file}", "--at", "x=1,y=2"], "no value is given for the input `z`"),
        (["show", "{file}", "--at", "x=1,y=two,z=3"], "cannot read 'y=two' in --at"),
        (
            ["render", "{file}", "-o", "{dir}/o.pdf"],
            "draws .svg and .dot; .pdf and .png come with a later one",
        ),
        (["render", "{file}", "-o", "{dir}/o"], "cannot draw into o why:"),
        (["render", "{file}", "-o", "{dir}/missing/o.svg"], "cannot write"),
        (["emit", "{file}", "--target", "x86", "-o", "{dir}/o"], "unknown target 'x86'"),
        (["emit", "{file}", "--target", "cuda", "-o", "{dir}/o"], "BackendError: "),
        (["emit", "{file}", "-o", "{dir}"], "cannot write"),
    ],
)
def test_a_command_that_cannot_be_done(file, arguments, message):
    text = refused(*(a.format(file=file, dir=file.parent) for a in arguments))
    assert message in text
    assert "typer" not in text and "site-packages" not in text


def test_a_file_with_two_results_asks_for_a_name(file):
    file.write_text(EXAMPLE + "g = q - z\n")
    text = refused("show", file)
    assert "which of f, g?" in text and f"{file}:f" in text


def test_errors_inside_the_file_are_shown_from_its_lines_on(file):
    file.write_text(EXAMPLE + "h = gc.reshape(q, (2, 2))\n")
    text = refused("show", file)
    assert "ShapeError" in text and "example.py:5" in text
    file.write_text("def broken():\n    return 1 / 0\nbroken()\n")
    result = graphc_command("show", file)
    assert result.exit_code == 1 and "ZeroDivisionError" in result.stderr
    assert result.stderr.count("File ") == 2 and "cli.py" not in result.stderr
    file.write_text("import sys\nsys.exit(3)\n")
    assert "ended the program" in refused("show", file)


# ---- the demonstration -------------------------------------------------------------------------------------


def tiny() -> nn.Model:
    x = nn.Input((1, 28, 28))
    return nn.Model(x, nn.Dense(10)(nn.Flatten()(nn.MaxPool2D(7)(x))), name="tiny")


@pytest.fixture
def small_digits(monkeypatch):
    """A linear model on a few digits: the demonstration's way in a fraction of its time."""
    (X, T), (Xt, Tt) = nn.data.digits()
    monkeypatch.setattr(demo, "lenet", tiny)
    monkeypatch.setattr(nn.data, "digits", lambda: ((X[:64], T[:64]), (Xt[:32], Tt[:32])))


def test_demo_writes_all_that_it_says(tmp_path, small_digits):
    folder = tmp_path / "out"
    text = shown("demo", "-o", folder, "--epochs", 1)
    assert "∂f/∂z  = v1  = 3" in text and "digits right that it has never seen" in text
    written = sorted(p.name for p in folder.iterdir())
    assert written == [
        "chain-rule.kernels.txt",
        "chain-rule.ll",
        "chain-rule.s",
        "chain-rule.svg",
        "chain-rule.tex",
        "lenet.kernels.txt",
        "lenet.ll",
        "lenet.s",
        "lenet.safetensors",
    ]
    for name in written:
        assert str(folder / name) in text and (folder / name).stat().st_size > 100
    tiny().load_weights(folder / "lenet.safetensors")


def test_demo_ends_cleanly_where_it_is_interrupted(tmp_path, small_digits, monkeypatch):
    def interrupted(self, *args, **kwargs):
        history = nn.History()
        history.interrupted = True
        return history

    monkeypatch.setattr(nn.Model, "fit", interrupted)
    result = graphc_command("demo", "-o", tmp_path / "out")
    assert result.exit_code == 130 and not (tmp_path / "out").exists()

    def pressed(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(nn.Model, "fit", pressed)
    result = graphc_command("demo", "-o", tmp_path / "out")
    assert result.exit_code == 130 and result.stderr == "stopped by Ctrl-C\n"


def test_the_digits_are_shown_in_five_places():
    (X, T), _ = nn.data.digits()
    more, labels = demo.with_shifts(X[:3], T[:3])
    assert more.shape == (15, 1, 28, 28) and labels.tolist() == T[:3].tolist() * 5
    np.testing.assert_array_equal(more[3:6, :, 2:], X[:3, :, :-2])
    assert more.sum(axis=(1, 2, 3)) == pytest.approx(
        np.tile(X[:3].sum(axis=(1, 2, 3)), 5)
    )  # nothing falls off


def test_demo_says_where_it_cannot_write(tmp_path, small_digits):
    (tmp_path / "taken").write_text("a file")
    result = graphc_command("demo", "-o", tmp_path / "taken", "--epochs", 1)
    assert result.exit_code == 1 and "cannot write into" in result.stderr


# ---- settings, imports -------------------------------------------------------------------------------------


def test_the_documented_settings_are_the_settings():
    from graphc import config

    rows = [line for line in (config.__doc__ or "").splitlines() if line.startswith("| `GRAPHC_")]
    documented = [[cell.strip(" `") for cell in row.strip("|").split("|")] for row in rows]
    assert documented == [[s.name, s.values, s.default, s.doc] for s in SETTINGS]


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("GRAPHC_DEBUG", "", 0),
        ("GRAPHC_DEBUG", "2", 2),
        ("GRAPHC_VERIFY", "", True),
        ("GRAPHC_VERIFY", "0", False),
        ("GRAPHC_THREADS", "", None),
        ("GRAPHC_THREADS", " 3 ", 3),
        ("GRAPHC_CACHE", "off", None),
        ("GRAPHC_CACHE", "/tmp/c", Path("/tmp/c")),
        ("GRAPHC_CPU", "", "native"),
        ("GRAPHC_CPU", "znver4", "znver4"),
    ],
)
def test_a_setting_is_read_when_it_is_asked_for(monkeypatch, name, text, value):
    monkeypatch.setenv(name, text)
    assert setting(name) == value


@pytest.mark.parametrize(
    ("name", "text"), [("GRAPHC_DEBUG", "9"), ("GRAPHC_VERIFY", "yes"), ("GRAPHC_THREADS", "0")]
)
def test_a_setting_that_makes_no_sense(monkeypatch, name, text):
    monkeypatch.setenv(name, text)
    with pytest.raises(ArgumentError, match=name):
        setting(name)


def test_the_cache_follows_the_specification_of_user_folders(monkeypatch):
    monkeypatch.delenv("GRAPHC_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert setting("GRAPHC_CACHE") == Path("/somewhere/graphc")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert setting("GRAPHC_CACHE") == Path("~/.cache/graphc").expanduser()


def test_importing_graphc_is_light():
    code = (
        "import sys, graphc; heavy = {'graphc.nn', 'graphc.cli', 'rich', 'typer', 'sympy', 'networkx', 'llvmlite'}; "
        "print(sorted(heavy & set(sys.modules))); from graphc import nn; print(nn.Dense.__name__); "
        "print(sorted({'rich', 'typer', 'sympy', 'safetensors'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, check=True
    )
    assert result.stdout.splitlines() == ["[]", "Dense", "[]"]


def test_every_error_of_the_package_has_the_one_form():
    assert str(GraphcError("what", why="why", fix="fix")) == "what\n  why: why\n  fix: fix"
