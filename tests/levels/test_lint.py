"""The linter: what it finds, and that it is silent about the twin of each mistake that is none.

Each case is a program that makes a `loss`; it knows `gc`, `nn`, `np`, an input `x` f64[N,4], a parameter `w` f64[4]
and their product `y`.
"""

from __future__ import annotations

import runpy
import sys
import textwrap
import warnings
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import graphc as gc
from graphc import nn
from graphc.cli import app
from graphc.demo import lenet
from graphc.lint.finding import Findings
from graphc.warn import NAMES, silenced

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "examples").glob("*.py"))


def linted(program: str, **options: object) -> Findings:
    """The findings on the `loss` of a program (which may set `wrt`)."""
    x = gc.input("x", ("N", 4))
    w = gc.param("w", (4,), "float64", [0.5, -1.0, 2.0, 1.5])
    names: dict[str, object] = {"gc": gc, "nn": nn, "np": np, "x": x, "w": w, "y": x * w}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gc.GraphcWarning)
        exec(textwrap.dedent(program), names)
    return gc.lint(names["loss"], names.get("wrt"), **options)  # type: ignore[arg-type]


MISTAKES = {
    # ---- gradients that are zero
    "floor": ("loss = gc.sum(gc.floor(y))", "dead-gradient"),
    "round": ("loss = gc.mean(gc.round(y) * x)", "dead-gradient"),
    "sign": ("loss = gc.sum(gc.sign(y))", "dead-gradient"),
    "held": ("loss = gc.sum(gc.stop_gradient(y) * x)", "dead-gradient"),
    "comparison": ("loss = gc.sum(gc.where(y > 0, x, -x))", "dead-gradient"),
    "counted": ('loss = gc.mean((y > x).astype("float64"))', "dead-gradient"),
    "argmax": ('loss = gc.mean(gc.argmax(y, axis=1).astype("float64"))', "dead-gradient"),
    "dead-relu": ("loss = gc.sum(gc.relu(-gc.square(y) - 1.0) + x)", "dead-gradient"),
    "unrelated": ("loss = gc.sum(x)\nwrt = w", "dead-gradient"),
    "one-of-two": ("v = gc.param('v', (4,), 'float64')\nloss = gc.sum(gc.floor(x * v) + y)", "dead-gradient"),
    "integers": ('loss = gc.sum(y.astype("int64").astype("float64") * y)', "int-cast-cuts-gradient"),
    "constant": ("loss = gc.sum(gc.const([1.0, 2.0]))\nwrt = w", "constant-loss"),
    "always-zero": ("loss = gc.sum(gc.relu(-gc.exp(y)))", "constant-loss"),
    # ---- gradients that can be NaN
    "log": ("loss = gc.sum(gc.log(y))", "nan-gradient"),
    "sqrt": ("loss = gc.sum(gc.sqrt(gc.abs(y)))", "nan-gradient"),
    "quotient-by-a-square": ("loss = gc.sum(x / gc.sum(y * y))", "nan-gradient"),
    "power": ("loss = gc.sum(gc.abs(y) ** 0.3)", "nan-gradient"),
    "fractional-power": ("loss = gc.sum(y ** 2.5)", "nan-gradient"),
    "reciprocal": ("loss = gc.sum(gc.reciprocal(gc.square(y)))", "nan-gradient"),
    "one-minus-square": ("loss = gc.sum(gc.sqrt(1.0 - gc.sin(y) ** 2))", "nan-gradient"),
    "log-of-a-size": ("loss = gc.sum(gc.log(gc.abs(y)))", "nan-gradient"),
    "arc-sine": ("loss = gc.sum(gc.asin(gc.sin(y)))", "nan-gradient"),
    "by-an-input": ("loss = gc.sum(y / x)", "nan-gradient"),
    "log-of-relu": ("loss = gc.sum(gc.log(gc.relu(y)))", "nan-loss"),
    "in-a-loop": ("_, ys = gc.scan(lambda c, v: (gc.sqrt(gc.abs(c * w + v)),) * 2, gc.zeros_like(w), x)\n"
                  "loss = gc.sum(ys)", "nan-gradient"),
    "in-a-branch": ("s = gc.sum(w)\nloss = gc.cond(s > 0, lambda a: a, lambda a: gc.log(-gc.abs(a)), s)",
                    "nan-gradient"),
    "floor-in-a-loop": ("_, ys = gc.scan(lambda c, v: (c, gc.floor(w * v)), 0.0, x)\nloss = gc.sum(ys)",
                        "dead-gradient"),
    # ---- losses
    "column-row": ("v = gc.param('v', (4, 1), 'float64')\nt = gc.input('t', ('N',))\n"
                   "loss = gc.mean((x @ v - t) ** 2)", "broadcast-loss"),
    "row-column": ("t = gc.input('t', ('N', 1))\nloss = gc.mean(gc.abs(gc.sum(y, axis=1) - t))", "broadcast-loss"),
    "column-row-of-numbers": ("z = gc.input('z', (8, 4))\nv = gc.param('v', (4, 1), 'float64')\n"
                              "t = gc.input('t', 8)\nloss = gc.mean(gc.square(t - z @ v))", "broadcast-loss"),
    "column-row-entropy": ("v = gc.param('v', (4, 1), 'float64')\nt = gc.input('t', ('N',))\n"
                           "loss = -gc.mean(t * gc.log(gc.sigmoid(x @ v)))", "broadcast-loss"),
    "twice": ("t = gc.input('t', ('N',), 'int64')\n"
              "loss = nn.losses.softmax_cross_entropy(t, gc.softmax(y))", "softmax-twice"),
    "twice-by-hand": ("p = gc.exp(y) / gc.sum(gc.exp(y), axis=1, keepdims=True)\n"
                      "loss = -gc.mean(gc.log_softmax(p))", "softmax-twice"),
    "softmax-mse": ("t = gc.input('t', ('N', 4))\nloss = nn.losses.mse(t, gc.softmax(y))", "output-loss-mismatch"),
    "sigmoid-logits": ("t = gc.input('t', ('N',), 'int64')\n"
                       "loss = nn.losses.softmax_cross_entropy(t, gc.sigmoid(y))", "output-loss-mismatch"),
    "relu-logits": ("t = gc.input('t', ('N',), 'int64')\n"
                    "loss = nn.losses.softmax_cross_entropy(t, gc.relu(y))", "output-loss-mismatch"),
    "relu-probabilities": ("t = gc.input('t', ('N', 4))\nloss = nn.losses.binary_cross_entropy(t, gc.relu(y))",
                           "output-loss-mismatch"),
    "linear-probabilities": ("v = gc.param('v', (4, 2), 'float64')\nt = gc.input('t', ('N', 2))\n"
                             "loss = nn.losses.binary_cross_entropy(t, x @ v)", "output-loss-mismatch"),
    "one-class": ("v = gc.param('v', (4, 1), 'float64')\nt = gc.input('t', ('N',), 'int64')\n"
                  "loss = nn.losses.softmax_cross_entropy(t, x @ v) + gc.sum(y)", "output-loss-mismatch"),
    # ---- networks
    "sigmoids": ("h = y\nfor k in range(5): h = gc.sigmoid(h * 2.0)\nloss = gc.sum(h)", "saturating-chain"),
    "far-out": ("loss = gc.sum(gc.sigmoid(20.0 + gc.square(y)))", "saturating-chain"),
    "two-dense": ("h = nn.Dense(3)(nn.Dense(8)(nn.Input(4)))\nloss = gc.mean(gc.square(h))", "linear-collapse"),
    "two-convolutions": ("h = nn.Conv2D(8, 3, padding='same')(nn.Conv2D(8, 3)(nn.Input((1, 8, 8))))\n"
                         "loss = gc.mean(gc.square(h))", "linear-collapse"),
    "convolution-dense": ("h = nn.Dense(3)(nn.Flatten()(nn.Conv2D(8, 3)(nn.Input((1, 8, 8)))))\n"
                          "loss = gc.mean(gc.square(h))", "linear-collapse"),
}  # fmt: skip

FINE = {
    "straight-through": "loss = gc.sum(gc.square(y + gc.stop_gradient(gc.floor(y) - y)))",
    "straight-through-integers": "loss = gc.sum(gc.square(y + gc.stop_gradient("
    'y.astype("int64").astype("float64") - y)))',
    "mask": 'loss = gc.sum((y > 0).astype("float64") * y)',
    "dead-for-an-input-only": "t = gc.input('t', ('N', 4))\nloss = gc.sum(gc.where(t > 0.5, y, -y))",
    "relu-that-lives": "loss = gc.sum(gc.relu(-gc.square(y) + 1.0))",
    "log-away-from-0": "loss = gc.sum(gc.log(gc.maximum(y, 1e-9)))",
    "log-of-positive": "loss = gc.sum(gc.log(1.0 + gc.square(y)) + gc.log(gc.exp(y) + 2.0))",
    "sqrt-with-epsilon": "loss = gc.sum(gc.sqrt(gc.square(y) + 1e-12))",
    "norm": "loss = gc.sum(gc.sqrt(gc.sum(y * y, axis=1)))",
    "normalised-at-0": "loss = gc.sum(y / gc.sqrt(gc.sum(y * y)))",
    "standard-deviation": "loss = gc.sum(gc.sqrt(gc.mean(gc.square(y - gc.mean(y)))))",
    "normalised": "loss = gc.sum(y / gc.sqrt(gc.sum(y * y, axis=1, keepdims=True) + 1e-8))",
    "where-around-log": "loss = gc.sum(gc.where(y > 0, gc.log(y), 0.0))",
    "double-where": "loss = gc.sum(gc.where(y > 0, gc.log(gc.where(y > 0, y, 1.0)), 0.0))",
    "double-where-quotient": "d = y != 0 if False else gc.not_equal(y, 0.0)\n"
    "loss = gc.sum(gc.where(d, x / gc.where(d, y, 1.0), 0.0))",
    "power": "loss = gc.sum(y ** 3 + gc.abs(y) ** 1.5)",
    "log-softmax": "loss = -gc.sum(gc.log(gc.softmax(y)))",
    "cross-entropy-of-probabilities": "t = gc.input('t', ('N', 4))\nloss = -gc.sum(t * gc.log(gc.softmax(y)))",
    "log-softmax-by-hand": "loss = -gc.sum(gc.log(gc.exp(y) / gc.sum(gc.exp(y), axis=1, keepdims=True)))",
    "log-of-a-clipped-softmax": "loss = -gc.sum(gc.log(gc.softmax(y) * 0.5 + 1e-9))",
    "logsumexp": "loss = gc.sum(gc.logsumexp(y, axis=1)) + gc.sum(gc.log(gc.sum(gc.exp(y), axis=1)))",
    "log-sigmoid": "loss = -gc.sum(gc.log(gc.sigmoid(y)) + gc.log(1.0 - gc.sigmoid(y)))",
    "smooth": "loss = gc.sum(gc.gelu(y) + gc.silu(y) + gc.softplus(y) + gc.tanh(y) + gc.elu(y, 1.0))",
    "rms-norm": "loss = gc.sum(y * gc.rsqrt(gc.mean(y * y, axis=1, keepdims=True) + 1e-6))",
    "all-pairs": "s = gc.sum(y, axis=1)\nloss = gc.mean(gc.square(s[:, None] - s))",
    "two-sets-of-pairs": "s = gc.sum(y, axis=1)\nt = gc.input('t', ('N',))\nloss = gc.mean(gc.square(s[:, None] - t))",
    "column-column": "v = gc.param('v', (4, 1), 'float64')\nt = gc.input('t', ('N', 1))\n"
    "loss = gc.mean((x @ v - t) ** 2)",
    "bias": "v = gc.param('v', (4, 4), 'float64')\nloss = gc.mean((x @ v - y)**2)",
    "softmax-of-log-softmax": "loss = gc.sum(gc.softmax(gc.log_softmax(y)) * x)",
    "attention": "a = gc.softmax(y @ gc.transpose(y)) @ y\nloss = -gc.mean(gc.log_softmax(a))",
    "sigmoid-mse": "t = gc.input('t', ('N', 4))\nloss = nn.losses.mse(t, gc.sigmoid(y))",
    "sigmoid-bce": "t = gc.input('t', ('N', 4))\nloss = nn.losses.binary_cross_entropy(t, gc.sigmoid(y))",
    "halved-tanh-bce": "t = gc.input('t', ('N', 4))\n"
    "loss = nn.losses.binary_cross_entropy(t, 0.5 * (gc.tanh(y) + 1.0))",
    "distillation": "loss = nn.losses.mse(gc.softmax(2.0 * y), gc.softmax(y))",
    "three-sigmoids": "h = y\nfor k in range(3): h = gc.sigmoid(h)\nloss = gc.sum(h)",
    "sigmoids-with-a-path": "h = y\nfor k in range(9): h = h + gc.sigmoid(h)\nloss = gc.sum(h)",
    "tanhs": "h = y\nfor k in range(9): h = gc.tanh(h)\nloss = gc.sum(h)",
    "dense-relu-dense": "h = nn.Dense(3)(nn.Dense(8, activation='relu')(nn.Input(4)))\nloss = gc.mean(gc.square(h))",
    "convolution-pool-dense": "h = nn.MaxPool2D(2)(nn.Conv2D(8, 3)(nn.Input((1, 8, 8))))\n"
    "loss = gc.mean(gc.square(nn.Dense(3)(nn.Flatten()(h))))",
    "separable": "h = nn.Conv2D(8, 1)(nn.Conv2D(4, 3, groups=4)(nn.Input((4, 8, 8))))\nloss = gc.mean(gc.square(h))",
    "loop": "_, ys = gc.scan(lambda c, v: (gc.tanh(c * w + v),) * 2, gc.zeros_like(w), x)\nloss = gc.sum(ys)",
    "loop-over-positive": "_, ys = gc.scan(lambda c, v: (c, gc.log(v) * w), 0.0, gc.exp(x) + 1.0)\nloss = gc.sum(ys)",
    "branch": "s = gc.sum(w)\nloss = gc.cond(s > 0, lambda a: gc.log(a), lambda a: gc.exp(a), s)",
    "shared-projection": "a, b = gc.param('a', (4, 4), 'float64'), gc.param('b', (4, 4), 'float64')\n"
    "loss = gc.mean(gc.square(gc.tanh(x @ a) @ b))",
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_found_and_nothing_else(case: str) -> None:
    program, name = MISTAKES[case]
    assert set(linted(program).names) == {name}


@pytest.mark.parametrize("case", FINE)
def test_no_false_alarm(case: str) -> None:
    assert str(linted(FINE[case])) == "no findings"


@pytest.mark.parametrize("case", MISTAKES)
def test_a_name_is_silenced_in_each_way(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program, name = MISTAKES[case]
    assert not linted(program, silence=[name])
    with gc.silence(name):
        assert not linted(program)
    monkeypatch.setenv("GRAPHC_SILENCE", f"{name}, rescued")
    assert not linted(program)


def test_every_name_is_known() -> None:
    assert {name for _, name in MISTAKES.values()} <= set(NAMES)
    with gc.silence("dead-gradient"), gc.silence("first-loss"):
        assert silenced() == {"dead-gradient", "first-loss"}
    assert not silenced()


def test_every_name_can_be_silenced_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHC_SILENCE", "all")
    assert silenced() == set(NAMES)


# ---- what is mended is not reported -----------------------------------------------------------------------------


def test_what_is_rescued_is_told_when_asked() -> None:
    program = "loss = -gc.sum(gc.log(1.0 / (1.0 + gc.exp(-y))))"
    assert not linted(program)
    found = linted(program, show_rescued=True)
    assert set(found.names) == {"rescued"}
    assert not found.warnings


@pytest.mark.parametrize(
    "case", ["norm", "normalised-at-0", "standard-deviation", "where-around-log", "double-where"]
)
def test_silence_is_right(case: str) -> None:
    """Where the linter is silent about a singularity, the gradient at it is finite."""
    x = gc.input("x", ("N", 4))
    w = gc.param("w", (4,), "float64", np.zeros(4))
    names: dict[str, object] = {"gc": gc, "x": x, "w": w, "y": x * w}
    exec(FINE[case], names)
    gradient = gc.compile([x], gc.grad(names["loss"], w), backend="reference")  # type: ignore[arg-type]
    assert np.isfinite(gradient(np.ones((3, 4)))).all()


@pytest.mark.parametrize("case", ["sqrt", "quotient-by-a-square", "power", "reciprocal"])
def test_what_is_reported_is_so(case: str) -> None:
    """Where the linter reports an edge, the gradient at it is not finite."""
    x = gc.input("x", ("N", 4))
    w = gc.param("w", (4,), "float64", np.zeros(4))
    names: dict[str, object] = {"gc": gc, "x": x, "w": w, "y": x * w}
    exec(MISTAKES[case][0], names)
    gradient = gc.compile([x], gc.grad(names["loss"], w), backend="reference")  # type: ignore[arg-type]
    assert not np.isfinite(gradient(np.ones((3, 4)))).all()


# ---- ranges and points ------------------------------------------------------------------------------------------


def test_known_ranges_and_values_decide() -> None:
    x = gc.input("x", ("N",))
    loss = gc.sum(gc.log(x))
    assert gc.lint(loss, x).names == ["nan-gradient"]
    assert gc.lint(loss, x, ranges={"x": (0.0, 1.0)}).names == ["nan-gradient"]
    assert not gc.lint(loss, x, ranges={x: (0.1, 1.0)})
    assert not gc.lint(loss, x, at={x: [0.5, 2.0]})
    assert gc.lint(loss, x, at={x: [0.5, 0.0]}).names == ["nan-gradient"]


KINKS = {
    "relu": (gc.relu, [1.0, 0.0], [1.0, 2.0]),
    "abs": (gc.abs, [1.0, 0.0], [1.0, -2.0]),
    "maximum": (lambda x: gc.maximum(x, 2.0 * x - 1.0), [1.0, 3.0], [2.0, 3.0]),
    "max": (gc.max, [3.0, 3.0], [3.0, 2.0]),
    "leaky relu": (lambda x: gc.leaky_relu(x, 0.2), [0.0, 3.0], [-2.0, 3.0]),
}


@pytest.mark.parametrize("case", KINKS)
def test_a_kink_is_met_at_a_point_and_not_beside_it(case: str) -> None:
    function, at, beside = KINKS[case]
    x = gc.input("x", ("N",))
    loss = gc.sum(function(x))
    assert gc.lint(loss, x, at={x: at}).names == ["kink-at-point"]
    assert not gc.lint(loss, x, at={x: beside})
    assert not gc.lint(loss, x, at={x: at}).warnings


def _classifier(scale: float) -> gc.Tensor:
    x, t = gc.input("x", ("N", 20)), gc.input("t", ("N",), "int64")
    w = gc.param("w", init=scale * np.random.default_rng(0).standard_normal((20, 10)))
    return nn.losses.softmax_cross_entropy(t, x @ w)


def test_the_first_loss_is_compared_with_guessing() -> None:
    at = {"x": np.random.default_rng(1).standard_normal((16, 20)), "t": np.arange(16) % 10}
    assert gc.lint(_classifier(3.0), at=at).names == ["first-loss"]
    assert gc.lint(_classifier(3.0), at="random").names == ["first-loss"]
    assert not gc.lint(_classifier(0.1), at=at)
    assert not gc.lint(_classifier(0.1), at="random")


def test_the_first_loss_of_two_classes() -> None:
    def loss(scale: float) -> gc.Tensor:
        x, t = gc.input("x", ("N", 20)), gc.input("t", ("N",))
        w = gc.param("w", init=scale * np.random.default_rng(0).standard_normal(20))
        return nn.losses.binary_cross_entropy(t, gc.sigmoid(x @ w))

    at = {"x": np.random.default_rng(1).standard_normal((16, 20)), "t": np.arange(16) % 2}
    assert gc.lint(loss(3.0), at=at).names == ["first-loss"]
    assert not gc.lint(loss(0.1), at=at)


def test_a_saturated_layer_at_a_point() -> None:
    x = gc.input("x", ("N",))
    loss = gc.sum(gc.tanh(x))
    assert gc.lint(loss, x, at={x: [30.0, -40.0, 1.0]}).names == ["saturating-chain"]
    assert not gc.lint(loss, x, at={x: [0.3, -0.4, 1.0]})


def test_inputs_that_are_not_used() -> None:
    x, t = gc.inputs("x t")
    assert gc.lint(gc.tanh(x), x, inputs=[x, t]).names == ["unused-input"]
    assert not gc.lint(x * t, x, inputs=[x, t])


def test_a_bottleneck_may_be_meant() -> None:
    h = nn.Dense(64)(nn.Dense(2)(nn.Input(64)))
    found = gc.lint(gc.mean(gc.square(h)))
    assert found.names == ["linear-collapse"]
    assert not found.warnings


# ---- real programs ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_the_examples_are_clean(path: Path) -> None:
    found = runpy.run_path(str(path), run_name="__graphc__")
    losses = [t for t in found.values() if isinstance(t, gc.Tensor) and t.ndim == 0 and t.node.src]
    losses += [m.loss_graph() for m in found.values() if isinstance(m, nn.Model)]
    for loss in losses:
        assert str(gc.lint(loss)) == "no findings"


def test_lenet_is_clean() -> None:
    model = lenet()
    model.compile(loss="softmax_cross_entropy")
    assert str(gc.lint(model.loss_graph(), at="random")) == "no findings"


def test_linting_is_linear() -> None:
    """In calls of functions, which do not depend on how busy the machine is."""

    def calls(count: int) -> int:
        y = w = gc.param("w", (), "float64", 1.0)
        for _ in range(count):
            y = gc.where(y > 0.0, gc.tanh(y), y * 0.5)
        gc.lint(y)  # what is loaded, and what is interned, is not counted
        made = 0

        def count_call(*_: object) -> None:
            nonlocal made
            made += 1

        sys.setprofile(count_call)
        try:
            gc.lint(y, w)
        finally:
            sys.setprofile(None)
        return made

    assert calls(80) < 5 * calls(20)


# ---- warnings that come by themselves ---------------------------------------------------------------------------


def _softmax_mse() -> None:
    x = nn.Input(4)
    nn.Model(x, nn.Dense(3, activation="softmax")(x)).compile(loss="mse")


def test_compiling_a_model_warns_of_what_is_surely_wrong() -> None:
    with pytest.warns(gc.GraphcWarning, match="^output-loss-mismatch: a softmax is compared"):
        _softmax_mse()


def test_a_warning_is_silenced_by_its_name() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with gc.silence("output-loss-mismatch"):
            _softmax_mse()
        warnings.filterwarnings("ignore", "output-loss-mismatch", gc.GraphcWarning)
        _softmax_mse()


def test_compiling_a_good_model_does_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lenet().compile(loss="softmax_cross_entropy")


# ---- the command ------------------------------------------------------------------------------------------------


def test_the_command_ends_with_1_where_there_is_a_warning(tmp_path: Path) -> None:
    script = tmp_path / "model.py"
    script.write_text(
        "import graphc as gc\n"
        "x, w = gc.input('x'), gc.param('w', init=1.0)\n"
        "good = gc.tanh(w * x)\n"
        "bad = gc.floor(w * x)\n"
        "main = gc.compile([x], [good, gc.grad(good, w)], backend='reference')\n"
    )
    runner = CliRunner()
    bad = runner.invoke(app, ["lint", f"{script}:bad"])
    assert bad.exit_code == 1
    assert bad.stdout.startswith(
        "warning: dead-gradient: the gradient by `w` is zero everywhere\n  model.py:4 "
    )
    for arguments in ([f"{script}:bad", "--silence", "dead-gradient"], [f"{script}:good"], [str(script)]):
        good = runner.invoke(app, ["lint", *arguments])
        assert (good.exit_code, good.stdout) == (0, "no findings\n")
    kink = runner.invoke(app, ["lint", f"{script}:bad", "--silence", "dead-gradient", "--at", "x=2"])
    assert kink.exit_code == 0
    assert "saturating-chain" not in kink.stdout


def test_the_command_lints_a_model_and_random_inputs() -> None:
    found = CliRunner().invoke(app, ["lint", str(EXAMPLES[6]), "--at", "random"])
    assert (found.exit_code, found.stdout) == (0, "no findings\n")
