"""What does not fit a layer, a loss or an optimiser: the whole text, with the line and the caret."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from graphc import nn

TEXTS = {
    "a layer on an image of too few axes": """
ShapeError: cannot apply Conv3D(2, 3) to f32[N,3,5,5]
  model.py:1   y = nn.Conv3D(2, 3)(nn.Input((3, 5, 5)))
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: it takes five axes: [N, channels, depth, height, width]
  fix: give nn.Input the shape (channels, depth, height, width)
""",
    "a layer on rows": """
ShapeError: cannot apply MaxPool1D(2) to f32[N,5]
  model.py:1   y = nn.MaxPool1D(2)(nn.Input(5))
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: it takes three axes: [N, channels, length]
  fix: put it before Flatten
""",
    "groups that do not divide": """
ShapeError: cannot convolve f32[N,6,9] in 3 groups
  model.py:1   y = nn.Conv1D(4, 3, groups=3)(nn.Input((6, 9)))
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: 3 must divide both the 6 channels and the 4 filters
""",
    "an unknown padding": """
ArgumentError: unknown padding 'causal'
  model.py:1   y = nn.Conv2D(4, 3, padding="causal")
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  fix: use one of "valid", "same"
""",
    "an unknown padding of a row": """
ArgumentError: unknown padding 'full'
  model.py:1   y = nn.Conv1D(4, 3, padding="full")
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  fix: use one of "valid", "same", "causal"
""",
    "channels of no known size": """
ShapeError: cannot apply BatchNormalization() to f32[N,C,3]
  model.py:1   y = nn.BatchNormalization()(nn.Input(("C", 3)))
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: its parameters lie along axis 1, whose size C is not known before the function is called
""",
    "an axis that is not there": """
ShapeError: cannot apply LayerNormalization(axis=3) to f32[N,4,3]
  model.py:1   y = nn.LayerNormalization(axis=3)(nn.Input((4, 3)))
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: it has no axis 3 beside the batch
""",
    "the batch as an axis": """
ShapeError: cannot apply BatchNormalization(axis=0) to f32[N,4,3]
  model.py:1   y = nn.BatchNormalization(axis=0)(nn.Input((4, 3)))
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: it has no axis 0 beside the batch
""",
    "a momentum beyond 1": """
ArgumentError: momentum must lie between 0 and 1, not 1.5
  model.py:1   y = nn.BatchNormalization(momentum=1.5)
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
""",
    "an epsilon below 0": """
ArgumentError: epsilon must be at least 0, not -1.0
  model.py:1   y = nn.LayerNormalization(epsilon=-1.0)
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
""",
    "groups of channels": """
ShapeError: cannot normalise f32[N,4,3] in 3 groups
  model.py:1   y = nn.GroupNormalization(3)(nn.Input((4, 3)))
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: it has 4 channels
  fix: take groups that divide 4
""",
    "an embedding of floats": """
ArgumentError: cannot apply Embedding(7, 3) to f32[N,4]
  model.py:1   y = nn.Embedding(7, 3)(nn.Input(4))
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: it looks up rows by their numbers
  fix: give nn.Input dtype="int64"
""",
    "dims that are no order": """
ArgumentError: dims must be the numbers 1 to 2 in some order, not (0, 1)
  model.py:1   y = nn.Permute((0, 1))
                   ^^^^^^^^^^^^^^^^^^
  why: the batch, axis 0, stays where it is
""",
    "dims for other axes": """
ShapeError: cannot apply Permute((2, 1)) to f32[N,2,3,4]
  model.py:1   y = nn.Permute((2, 1))(nn.Input((2, 3, 4)))
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: it orders 2 axes beside the batch
""",
    "a stddev below 0": """
ArgumentError: the stddev of a noise must be at least 0, not -1.0
  model.py:1   y = nn.GaussianNoise(-1.0)
                   ^^^^^^^^^^^^^^^^^^^^^^
""",
    "a crop that leaves nothing": """
ShapeError: cannot apply Cropping2D(3) to f32[N,1,6,9]
  model.py:1   y = nn.Cropping2D(3)(nn.Input((1, 6, 9)))
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: nothing is left of 6 pixels
""",
    "a padding of too many sides": """
ArgumentError: padding must be a number, two, or two pairs, of 0 or more, not (1, 2, 3)
  model.py:1   y = nn.ZeroPadding2D((1, 2, 3))
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^
  fix: padding=((top, bottom), (left, right))
""",
    "an unknown interpolation": """
ArgumentError: unknown interpolation 'cubic'
  model.py:1   y = nn.UpSampling2D(2, interpolation="cubic")
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  fix: use "nearest" or "bilinear"
""",
    "a merge of one": """
ArgumentError: Add takes a list of two tensors or more, not a single one
  model.py:1   y = nn.Add()(nn.Input(3))
                   ^^^^^^^^^^^^^^^^^^^^^
  fix: apply it to a list: nn.Add()([a, b])
""",
    "a merge with a number": """
ArgumentError: Multiply takes a list of two tensors or more, not a list with a float in it
  model.py:1   y = nn.Multiply()([nn.Input(3), 2.0])
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  fix: apply it to a list: nn.Multiply()([a, b])
""",
    "a merge of two shapes": """
ShapeError: Add() merges f32[N,3] with f32[N,2,3]
  model.py:1   y = nn.Add()([nn.Input(3, "a"), nn.Input((2, 3), "b")])
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: all tensors must have one shape
  fix: reshape one of them, or write the formula with operators, which broadcast
""",
    "a difference of three": """
ArgumentError: Subtract takes two tensors, not 3
  model.py:2   y = nn.Subtract()([a, a, a])
                   ^^^^^^^^^^^^^^^^^^^^^^^^
""",
    "a recurrent layer on an image": """
ShapeError: cannot apply LSTM(4) to f32[N,3,5,5]
  model.py:1   y = nn.LSTM(4)(nn.Input((3, 5, 5)))
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: it takes three axes: [N, time, features]
  fix: give nn.Input the shape ("T", features)
""",
    "two directions of a dense layer": """
ArgumentError: Bidirectional takes a recurrent layer that was not applied yet
  model.py:1   y = nn.Bidirectional(nn.Dense(3))
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  fix: write it in place: nn.Bidirectional(nn.LSTM(8))
""",
    "an unknown merge_mode": """
ArgumentError: unknown merge_mode 'max'
  model.py:1   y = nn.Bidirectional(nn.GRU(3), "max")
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  fix: use "concat", "sum", "mul" or "ave"
""",
    "a regulariser that is none": """
ArgumentError: 'l3' is no regulariser
  model.py:1   y = nn.Dense(3, kernel_regularizer="l3")
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  fix: use nn.L2(1e-4), nn.L1(1e-4), "l2" or "l1"
""",
    "a penalty below 0": """
ArgumentError: l2 must be at least 0, not -0.1
  model.py:1   y = nn.L2(-0.1)
                   ^^^^^^^^^^^
""",
    "a reduction that is none": """
ArgumentError: unknown reduction 'max'
  model.py:1   y = nn.mse(gc.input("t", ("N",)), gc.input("y", ("N",)), reduction="max")
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  fix: use "mean", "sum" or "none"
""",
    "a loss of rows on scalars": """
ShapeError: euclidean compares rows, and the outputs are f64[]
  model.py:1   y = nn.euclidean(gc.input("t"), gc.input("y"))
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
""",
    "labels that are floats": """
DTypeError: the labels are f64[N]
  model.py:1   y = nn.multiclass_svm(gc.input("t", ("N",)), gc.input("y", ("N", 3)))
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  fix: give them as integers: dtype="int64"
""",
    "labels of another shape": """
ShapeError: cannot compare labels [N,3] with [N,3] probabilities
  model.py:1   y = nn.sparse_categorical_cross_entropy(gc.input("t", ("N", 3), "int64"), gc.input("y", ("N", 3)))
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: there must be one label for each row of probabilities
  fix: give the labels the shape [N]
""",
    "too much smoothing": """
ArgumentError: label_smoothing must be at least 0 and less than 1, not 1.0
  model.py:1   y = nn.softmax_cross_entropy(gc.input("t", ("N",), "int64"), gc.input("y", ("N", 3)), 1.0)
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
""",
    "a delta of nothing": """
ArgumentError: delta must be above 0, not 0.0
  model.py:1   y = nn.huber(gc.input("t", ("N",)), gc.input("y", ("N",)), delta=0.0)
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
""",
    "a k of nothing": """
ArgumentError: k must be a positive integer, not 0
  model.py:1   y = nn.top_k_accuracy(gc.input("t", ("N",), "int64"), gc.input("y", ("N", 3)), k=0)
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
""",
    "top k of targets": """
ShapeError: top_k_accuracy cannot compare f64[N,3] with f64[N,3]
  model.py:1   y = nn.top_k_accuracy(gc.input("t", ("N", 3)), gc.input("y", ("N", 3)))
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
""",
    "two ways to clip": """
ArgumentError: clipnorm and clipvalue are given together
  model.py:1   y = nn.SGD(0.1, clipnorm=1.0, clipvalue=1.0)
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  fix: use one of them
""",
    "clipping to nothing": """
ArgumentError: clipnorm must be above 0, not 0.0
  model.py:1   y = nn.Adam(0.1, clipnorm=0.0)
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^
""",
    "a weight decay below 0": """
ArgumentError: weight_decay must be at least 0, not -1.0
  model.py:1   y = nn.AdamW(0.1, weight_decay=-1.0)
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
""",
    "a schedule that gives a vector": """
ArgumentError: a learning rate schedule gives no scalar
  model.py:1   y = nn.SGD(lambda t: gc.stack([t, t]))
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  fix: write a function of the step's number t, such as lambda t: 0.1 / (1.0 + t)
""",
    "values that do not fit boundaries": """
ArgumentError: the boundaries [1, 2] and the values [0.1, 0.2] do not fit
  model.py:1   y = nn.PiecewiseConstantDecay([1, 2], [0.1, 0.2])
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: boundaries ascend, and there is one value more
""",
    "a decay in no steps": """
ArgumentError: decay_steps must be above 0, not 0
  model.py:1   y = nn.CosineDecay(0.1, 0)
                   ^^^^^^^^^^^^^^^^^^^^^^
""",
    "restarts that shrink": """
ArgumentError: first_decay_steps must be above 0, and t_mul at least 1
  model.py:1   y = nn.CosineDecayRestarts(0.1, 10, t_mul=0.5)
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
""",
    "a metric of labels for a loss of numbers": """
ArgumentError: the metric multiclass_svm does not go with the loss mse
  model.py:2   nn.Model(x, nn.Dense(2)(x)).compile("sgd", "mse", ["multiclass_svm"])
               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: multiclass_svm takes integer labels, the other targets like the outputs
""",
    "top k of two classes": """
ArgumentError: top_k_accuracy goes with no loss called hinge
  model.py:2   nn.Model(x, nn.Dense(2)(x)).compile("sgd", "hinge", ["top_k_accuracy"])
               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: it needs several classes
  fix: leave the metric out; the loss itself is reported
""",
    "an optimiser that is none": """
ArgumentError: 'rms' is no optimiser
  model.py:2   nn.Model(x, nn.Dense(2)(x)).compile("rms")
               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  fix: use one of sgd, adagrad, adadelta, rmsprop, adam, adamw, or an optimiser such as nn.SGD(0.1)
""",
    "a loss that is nearly one": """
ArgumentError: unknown loss 'mean_square_error'
  model.py:2   nn.Model(x, nn.Dense(2)(x)).compile("sgd", "mean_square_error")
               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  fix: did you mean 'mean_squared_error'?
""",
}

PROGRAMS = {
    "a difference of three": "a = nn.Input(3)",
    "a metric of labels for a loss of numbers": "x = nn.Input(3)",
    "top k of two classes": "x = nn.Input(3)",
    "an optimiser that is none": "x = nn.Input(3)",
    "a loss that is nearly one": "x = nn.Input(3)",
}
"""What comes before the line with the mistake."""


@pytest.mark.parametrize("name", TEXTS)
def test_texts(name: str, error_of: Callable[..., str]) -> None:
    expected = TEXTS[name].strip("\n")
    line = expected.splitlines()[1].partition("   ")[2]
    assert error_of(f"{PROGRAMS.get(name, '')}\n{line}".lstrip(), nn=nn) == expected
