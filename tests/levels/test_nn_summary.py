"""The summary's figures, against a lecture's table and by hand; the digits that come with the package."""

from __future__ import annotations

import numpy as np
import pytest

import graphc as gc
from graphc import nn

# Worked example W52: LeNet-5*, after LeCun et al., Gradient-based learning applied to document recognition
# (1998).  Layer, output size and weight size are stated on lecture slides; the other two columns follow.
W52 = [
    ("Input", [1, 28, 28], None, 0, 0),
    ("Conv(20,K5,P2,S1)", [20, 28, 28], [20, 1, 5, 5], 520, 392000),
    ("ReLU", [20, 28, 28], None, 0, 0),
    ("MaxPool(K2,S2)", [20, 14, 14], None, 0, 0),
    ("Conv(50,K5,P2,S1)", [50, 14, 14], [50, 20, 5, 5], 25050, 4900000),
    ("ReLU", [50, 14, 14], None, 0, 0),
    ("MaxPool(K2,S2)", [50, 7, 7], None, 0, 0),
    ("Flatten", [2450], None, 0, 0),
    ("Linear(2450->500)", [500], [2450, 500], 1225500, 1225000),
    ("ReLU", [500], None, 0, 0),
    ("Linear(500->10)", [10], [500, 10], 5010, 5000),
]


def lenet_in_steps() -> nn.Model:
    x = nn.Input((1, 28, 28))
    h = x
    for layer in (
        nn.Conv2D(20, 5, padding="same"),
        nn.Activation("relu"),
        nn.MaxPool2D(2),
        nn.Conv2D(50, 5, padding="same"),
        nn.Activation("relu"),
        nn.MaxPool2D(2),
        nn.Flatten(),
        nn.Dense(500),
        nn.Activation("relu"),
        nn.Dense(10),
    ):
        h = layer(h)
    return nn.Model(x, h, name="LeNet-5*")


def test_the_lecture_table():
    summary = lenet_in_steps().summary(verbose=0)
    found = [
        (list(r.output), list(r.weights) if r.weights else None, r.parameters, r.macs) for r in summary.rows
    ]
    assert found == [row[1:] for row in W52]
    assert (summary.parameters, summary.macs) == (1256080, 6522000)
    fields = [r.field for r in summary.rows]
    assert fields == ["", "5", "5", "6", "14", "14", "16", "16", "all", "all", "all"]


def test_the_text_and_what_is_printed(capsys):
    model = lenet_in_steps()
    summary = model.summary()
    printed = capsys.readouterr().out
    for text in (printed, str(summary)):
        assert "1 256 080" in text and "6 522 000" in text and "50×20×5×5" in text
    assert repr(summary) == "<LeNet-5*: 11 rows, 1 256 080 parameters, 6 522 000 multiply-adds>"
    model.summary(verbose=0)
    assert capsys.readouterr().out == ""


def test_strides_dilation_and_groups():
    x = nn.Input((4, 32, 33))
    h = nn.Conv2D(8, 3, strides=2, padding="same")(x)
    h = nn.Conv2D(8, 3, dilation_rate=(1, 3), padding="same", groups=4)(h)
    rows = nn.Model(x, h).summary(verbose=0).rows
    # r + (k − 1)·d·j: 3, then heights 3 + 2·2 = 7 and widths 3 + 2·3·2 = 15
    assert [r.field for r in rows] == ["", "3", "7×15"]
    assert rows[1].macs == 8 * 16 * 17 * 4 * 9 and rows[2].macs == 8 * 16 * 17 * 2 * 9
    assert rows[2].weights == (8, 2, 3, 3)


def test_shared_layers_count_once_and_formulas_outside_layers_count_too():
    x = nn.Input(6)
    layer = nn.Dense(6)
    w = gc.param("w", (6, 2))
    model = nn.Model(x, (layer(layer(x)) + x) @ w)
    summary = model.summary(verbose=0)
    assert [(r.layer, r.parameters, r.macs) for r in summary.rows] == [
        ("Input", 0, 0),
        ("Dense(6)", 42, 36),
        ("Dense(6)", 0, 36),
        ("outside layers", 12, 12),
    ]
    assert (summary.parameters, summary.macs) == (54, 84)


def test_a_skip_connection_takes_the_larger_field():
    x = nn.Input((2, 8, 8))
    h = nn.Conv2D(2, 3, padding="same")(nn.Conv2D(2, 3, padding="same")(x))
    rows = nn.Model(x, nn.MaxPool2D(2)(h + x)).summary(verbose=0).rows
    assert [r.field for r in rows] == ["", "3", "5", "6"]


# ---- the digits --------------------------------------------------------------------------------------------


def test_the_digits_are_all_there_and_split_evenly():
    (X, T), (Xt, Tt) = nn.data.digits(size=8, border=0)
    assert len(X) + len(Xt) == 1797 and (Xt.shape, X.dtype, T.dtype) == ((360, 1, 8, 8), "float32", "int64")
    assert np.bincount(Tt).tolist() == [36] * 10
    # Counts by class in the file that scikit-learn ships, and the sum of all its pixels.
    assert (np.bincount(T) + 36).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert float((X.sum(dtype="float64") + Xt.sum(dtype="float64")) * 16) == 561718.0
    assert {a.tobytes() for a in X}.isdisjoint({a.tobytes() for a in Xt})


def test_the_digits_are_scaled_smoothly_and_framed():
    (X, _), _ = nn.data.digits()
    (small, _), _ = nn.data.digits(size=8, border=0)
    assert X.shape[1:] == (1, 28, 28) and X.min() == 0.0 and X.max() == 1.0
    frame = X.copy()
    frame[:, :, 2:-2, 2:-2] = 0.0
    assert not frame.any()
    # Three by three pixels in place of one: bilinear weights of a pixel sum to 9, but for the clamped edges.
    inside = small[:, :, 1:-1, 1:-1].sum() * 9
    assert X.sum() == pytest.approx(inside + 9 * (small.sum() - small[:, :, 1:-1, 1:-1].sum()), rel=0.02)


def test_a_border_that_leaves_nothing():
    with pytest.raises(gc.ArgumentError, match="leaves nothing"):
        nn.data.digits(size=8, border=4)
