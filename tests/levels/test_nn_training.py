"""The training loop: against a published program, by hand, and natively."""

from __future__ import annotations

import io
import re
import signal
import threading
import warnings

import numpy as np
import pytest
import rich
from rich.console import Console

import graphc as gc
from graphc import nn
from graphc.nn import model as model_module
from graphc.nn import progress
from graphc.nn.training import train

RNG = np.random.default_rng(1)

# Worked example W24: the program "Neural Net in <20 lines!" of lecture slides, at sizes 4, 5, 3, 2, lr 1e-2;
# the losses computed with NumPy in f64.
W24 = [28.1194266380293, 26.7694164763201, 25.5541192101032, 24.4577726316381, 23.4669673792226]


# ---- the model ---------------------------------------------------------------------------------------------


def classifier(**compile_options) -> nn.Model:
    x = nn.Input(2)
    model = nn.Model(x, nn.Dense(3)(nn.Dense(6, activation="tanh")(x)))
    options = {"optimizer": nn.Adam(0.05), "metrics": ["accuracy"], "backend": "reference", **compile_options}
    model.compile(**options)
    return model


def blobs(count: int = 45) -> tuple[np.ndarray, np.ndarray]:
    """Three clusters that a small network separates."""
    labels = np.arange(count) % 3
    centres = np.array([[2.0, 0.0], [-1.0, 2.0], [-1.0, -2.0]])
    return (centres[labels] + 0.3 * np.random.default_rng(2).normal(size=(count, 2))).astype(
        "float32"
    ), labels


def test_a_published_program_step_by_step():
    random = np.random.RandomState(0)
    x, y, w1, w2 = random.randn(4, 5), random.randn(4, 2), random.randn(5, 3), random.randn(3, 2)
    inputs = nn.Input(5, dtype="float64")
    hidden = nn.Dense(3, activation="sigmoid", use_bias=False, kernel_initializer=w1)(inputs)
    model = nn.Model(inputs, nn.Dense(2, use_bias=False, kernel_initializer=w2)(hidden))
    model.compile(nn.SGD(1e-2), lambda t, p: gc.sum(gc.square(p - t)), backend="reference")
    history = model.fit(x, y, epochs=5, batch_size=4, shuffle=False, verbose=0)
    np.testing.assert_allclose(history.history["loss"], W24, rtol=1e-10)


def test_fit_learns_and_keeps_a_history():
    model, (X, T) = classifier(), blobs()
    history = model.fit(X, T, epochs=8, batch_size=16, validation_data=(X[:9], T[:9]), verbose=0)
    assert list(history.history) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert all(len(v) == 8 for v in history.history.values()) and history.epoch == list(range(8))
    assert history.history["loss"][-1] < 0.5 * history.history["loss"][0]
    assert model.evaluate(X, T)[1] > 0.9
    lines = repr(history).splitlines()
    assert lines[0].split() == ["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "seconds"]
    assert len(lines) == 9 and len({len(line) for line in lines}) == 1


def test_one_function_serves_every_batch_size(monkeypatch):
    made = []

    def counting(*args, **kwargs):
        made.append(kwargs["name"])
        return gc.compile(*args, **kwargs)

    monkeypatch.setattr(model_module, "compile", counting)
    model, (X, T) = classifier(), blobs()
    model.fit(X, T, epochs=1, batch_size=16, validation_data=(X, T), verbose=0)  # 16, 16, 13
    model.fit(X, T, epochs=1, batch_size=7, verbose=0)
    whole = model.evaluate(X, T, batch_size=45)
    np.testing.assert_allclose(model.evaluate(X, T, batch_size=8), whole, rtol=1e-5)
    for count in (0, 1, 2, 45):
        assert model.predict(X[:count], batch_size=4).shape == (count, 3)
    np.testing.assert_allclose(model.predict(X, batch_size=4), model.predict(X, batch_size=64), rtol=1e-6)
    assert made == ["train_step", "test_step", "predict"]


def test_the_same_seed_gives_the_same_run_and_another_seed_another():
    X, T = blobs()
    runs = [classifier().fit(X, T, epochs=2, batch_size=8, seed=s, verbose=0).history for s in (3, 3, 4)]
    assert runs[0] == runs[1] and runs[0] != runs[2]


def test_evaluate_as_in_keras():
    X, T = blobs()
    model = classifier()
    loss, accuracy = model.evaluate(X, T)
    assert model.evaluate(X, T, return_dict=True) == {"loss": loss, "accuracy": accuracy}
    assert accuracy == pytest.approx(np.mean(model.predict(X).argmax(axis=1) == T))
    assert isinstance(classifier(metrics=[]).evaluate(X, T), float)


def test_the_loss_is_a_tensor_to_look_into():
    model = classifier()
    loss = model.loss_graph()
    assert loss.shape == () and len(gc.grad(loss, list(model.parameters))) == 4
    names = {str(n.op.attributes().get("name")) for n in model.train_step.graph.nodes}
    assert {"dense_1/kernel", "adam/dense_1/kernel/m", "adam/step", "adam/learning_rate", "labels"} <= names


def test_binary_accuracy_knows_the_threshold_of_its_loss():
    x = nn.Input(1)
    for loss, right in (("binary_cross_entropy_from_logits", 1.0), ("binary_cross_entropy", 0.75)):
        model = nn.Model(x, nn.Activation("linear")(x))
        w = gc.param("w", init=np.ones(1, "float32"))
        model = nn.Model(x, x * w)
        model.compile("sgd", loss, ["accuracy"], backend="reference")
        assert model.evaluate([[-1.0], [0.1], [0.9], [-0.2]], [[0], [1], [1], [0]])[1] == right


def test_several_inputs_by_position_and_by_name():
    a, b = nn.Input(2, name="a"), nn.Input(3, name="b")
    left, right = nn.Dense(2, name="left")(a), nn.Dense(2, name="right")(b)
    model = nn.Model([a, b], left * right)
    A, B = np.ones((4, 2)), np.ones((4, 3))
    np.testing.assert_array_equal(model_predict(model, [A, B]), model_predict(model, {"b": B, "a": A}))
    with pytest.raises(gc.ArgumentError, match="takes 2 arrays, and got 1"):
        model_predict(model, A)
    with pytest.raises(gc.GraphError, match="two parameters are called `dense_1/kernel`"):
        nn.Model([a, b], nn.Dense(2)(a) * nn.Dense(2)(b))


def model_predict(model: nn.Model, x: object) -> np.ndarray:
    model.backend = "reference"
    return model.predict(x)


# ---- Ctrl-C, divergence, what is printed -------------------------------------------------------------------


def run_steps(step, epochs=3, verbose=0):
    data = [np.arange(8.0), np.arange(8.0)]
    return train(
        step, ["loss"], data, None, epochs=epochs, batch_size=2, shuffle=False, seed=0, verbose=verbose
    )


def test_ctrl_c_ends_after_the_step_that_is_running(capsys):
    calls = []

    def step(x, t):
        calls.append(len(x))
        if len(calls) == 6:  # in the second epoch of four steps
            signal.raise_signal(signal.SIGINT)
            calls.append("the step went on")
        return (np.array(1.0),)

    before = signal.getsignal(signal.SIGINT)
    history = run_steps(step, verbose=2)
    assert history.interrupted and history.history == {"loss": [1.0]}
    assert calls == [2] * 6 + ["the step went on"]
    assert signal.getsignal(signal.SIGINT) is before
    assert capsys.readouterr().out.splitlines()[1:] == [
        "stopped by Ctrl-C in epoch 2 of 3; the parameters are those of the last step"
    ]


def test_a_second_ctrl_c_does_not_wait():
    def step(x, t):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        return (np.array(1.0),)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run_steps(step)
    assert signal.getsignal(signal.SIGINT) is before


def test_training_works_outside_the_main_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(run_steps(lambda x, t: (np.array(2.0),))))
    thread.start()
    thread.join()
    assert found[0].history == {"loss": [2.0, 2.0, 2.0]}


def test_a_diverging_training_warns_once():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run_steps(lambda x, t: (np.array(np.nan),))
    assert [w.category for w in caught] == [gc.GraphcWarning] and "has diverged" in str(caught[0].message)


def test_what_fit_prints(capsys):
    model, (X, T) = classifier(), blobs()
    model.fit(X, T, epochs=2, verbose=0)
    assert capsys.readouterr().out == ""
    model.fit(X, T, epochs=2, verbose=2)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert re.fullmatch(
        r"epoch 2/2: loss \d\.\d{4}, accuracy \d\.\d{4}, [\d,]+ examples/s, \d+\.\d\d s", lines[1]
    )


# ---- bad input ---------------------------------------------------------------------------------------------

X3, T3 = np.zeros((3, 2), "float32"), np.array([0, 1, 2])
NAN = np.array([[0.0, 1.0], [np.nan, 0.0], [1.0, 1.0]])


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (
            lambda m: m.fit(np.zeros((3, 5)), T3),
            r"`x` takes examples of shape \[2\], and the array is \[3, 5\]",
        ),
        (lambda m: m.predict(np.zeros(2)), r"for one example, add the first axis: x\[None\]"),
        (lambda m: m.predict(np.zeros((3, 2, 1))), r"reshape it: X.reshape\(-1, 2\)"),
        (lambda m: m.predict([[1.0, 2.0], [3.0]]), "has rows of different lengths"),
        (lambda m: m.predict([["a", "b"]]), "is of dtype <U1"),
        (lambda m: m.fit(NAN, T3), r"`x`: nan at \[1, 0\].*1 of 6 values"),
        (lambda m: m.fit(X3, [0, 1, 3]), r"the label at \[2\] is 3.*3 classes, 0 to 2"),
        (lambda m: m.fit(X3, [0, -1, 2]), r"the label at \[1\] is -1"),
        (lambda m: m.fit(X3, [0.0, 1.5, 2.0]), r"the label at \[1\] is 1.5.*a label is an integer"),
        (lambda m: m.fit(X3, [0.0, np.nan, 2.0]), r"the labels: nan at \[1\]"),
        (lambda m: m.fit(X3, np.eye(3)), r"T.argmax\(axis=-1\)"),
        (lambda m: m.fit(X3, T3[:, None]), r"drop the last axis: T\[..., 0\]"),
        (lambda m: m.fit(X3, T3[:2]), "different numbers of examples.*`x` 3, `labels` 2"),
        (lambda m: m.fit(X3[:0], T3[:0]), "there are no examples"),
        (lambda m: m.fit(X3, T3, epochs=0), "epochs must be a positive integer, not 0"),
        (lambda m: m.fit(X3, T3, batch_size=1.5), "batch_size must be a positive integer"),
        (lambda m: m.fit(X3, T3, validation_data=X3), "validation_data must be a pair"),
        (lambda m: m.compile(loss="hinges"), "unknown loss .hinges..*did you mean .hinge."),
        (lambda m: m.compile(optimizer="rms"), "'rms' is no optimiser.*rmsprop"),
        (lambda m: m.compile(metrics=["f1"]), "unknown metric .f1..*top_k_accuracy"),
        (lambda m: m.compile(loss="mse", metrics=["accuracy"]), "accuracy goes with no loss called mse"),
        (lambda m: m.compile(loss=lambda t, y: y), "is no scalar tensor"),
        (lambda m: m.compile(backend="tpu"), "unknown back end 'tpu'"),
        (lambda m: nn.Model(m.inputs, m.outputs).fit(X3, T3), "the model has no loss yet"),
        (lambda m: nn.Model(gc.input("b", (64, 2)), m.outputs), "the batch, which has a name and no size"),
        (lambda m: nn.Model(nn.Input(2, name="other"), m.outputs), "need the input `x`"),
        (lambda m: nn.Model(m.inputs, [m.outputs]), "one output tensor"),
        (lambda m: nn.Model(m.inputs, gc.sum(m.outputs)), "lost the batch dimension"),
    ],
)
def test_bad_input_is_named_where_it_is_given(use, message):
    model = classifier()
    with pytest.raises(gc.GraphcError) as caught:
        use(model)
    text = " ".join(str(caught.value).split())
    assert re.search(message, text), text
    assert caught.value.where is not None and caught.value.where.file == __file__


def test_two_softmaxes_are_refused():
    x = nn.Input(2)
    model = nn.Model(x, nn.Dense(3, activation="softmax")(x))
    with pytest.raises(gc.ArgumentError, match="the last layer already applies softmax"):
        model.compile()


def test_a_failing_compile_leaves_the_model_as_it_was():
    model, (X, T) = classifier(), blobs()
    before = model.evaluate(X, T)
    with pytest.raises(gc.GraphcError):
        model.compile(metrics=["f1"])
    assert model.evaluate(X, T) == before


# ---- natively ----------------------------------------------------------------------------------------------


def small_network(backend: str, optimizer: nn.Optimizer) -> nn.Model:
    x = nn.Input((1, 8, 8), dtype="float64")
    h = nn.MaxPool2D(2)(nn.Conv2D(3, 3, padding="same", activation="relu")(x))
    h = nn.AvgPool2D(2)(nn.Conv2D(4, 3, padding="same", activation="tanh")(h))
    h = nn.Dropout(0.3)(nn.Dense(7, activation="gelu")(nn.Flatten()(h)))
    model = nn.Model(x, nn.Dense(10)(h))
    model.compile(optimizer, metrics=["accuracy"], backend=backend)
    return model


@pytest.mark.parametrize("make", [lambda: nn.SGD(0.05, momentum=0.9, nesterov=True), lambda: nn.Adam(0.01)])
def test_native_training_follows_the_reference(make):
    (X, T), (Xt, Tt) = nn.data.digits(size=8, border=0)
    models = [small_network(backend, make()) for backend in ("reference", "llvm")]
    histories = [
        m.fit(X[:50], T[:50], epochs=2, batch_size=16, validation_data=(Xt[:9], Tt[:9]), verbose=0).history
        for m in models
    ]
    for name, values in histories[0].items():
        np.testing.assert_allclose(histories[1][name], values, rtol=1e-9, err_msg=name)
    for p, q in zip(models[0].weights, models[1].weights, strict=True):
        np.testing.assert_allclose(q.value, p.value, rtol=1e-7, atol=1e-12, err_msg=p.name)
    for count in (1, 2, 7, 65):
        native, expected = (m.predict(Xt[:count], batch_size=64) for m in reversed(models))
        np.testing.assert_allclose(native, expected, rtol=1e-8, atol=1e-12)


def test_the_bar_fits_a_narrow_terminal(monkeypatch):
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=80, color_system=None, legacy_windows=False)
    monkeypatch.setattr(rich, "_console", console)
    values = {"loss": 0.48712, "accuracy": 0.84612, "val_loss": 0.0701, "val_accuracy": 0.98061}
    bar = progress.reporter(1, epochs=12, batches=4)
    assert isinstance(bar, progress.Bar)
    bar.start(0)
    bar.batch(1, {"loss": 0.5, "accuracy": 0.25}, rate=1234.5)
    bar.epoch(0, values, seconds=11.62, rate=1234.5)
    bar.close()
    lines = [re.sub(r"\x1b\[[\d;?]*\w", "", line).strip() for line in re.split("[\r\n]+", text.getvalue())]
    assert any(re.search(r"loss 0\.500 accuracy 0\.250 1,23\d/s \d+ s to go$", line) for line in lines)
    assert any(
        line.endswith("loss 0.487 val 0.070 accuracy 0.846 val 0.981 1,234/s 11.6 s") for line in lines
    )
    assert max(map(len, lines)) <= 80


def test_without_a_terminal_there_are_lines(monkeypatch):
    monkeypatch.setattr(rich, "_console", Console(file=io.StringIO(), force_terminal=False))
    assert type(progress.reporter(1, epochs=1, batches=1)) is progress.Lines
