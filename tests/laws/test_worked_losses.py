"""Worked examples W15 to W22: losses, regularisers, a whole objective, and features; values and gradients."""

from __future__ import annotations

import numpy as np
import pytest
from worked_examples import W, close, equal, on_both, run

import graphc as gc
from graphc import nn
from graphc.lang.tensor import Tensor


@on_both
def test_w15_softmax_cross_entropy(backend: str) -> None:
    e = W["W15"]
    s, label = gc.input("s", ("N", 3)), gc.input("label", ("N",), "int64")
    losses = [-gc.mean(gc.pick(gc.log_softmax(s), label)), nn.softmax_cross_entropy(label, s)]
    given = {s: [e["scores"]], label: [e["label"]]}
    exps, p = run(backend, [gc.exp(s), gc.softmax(s)], given)
    close(exps[0], e["exp"], rtol=1e-12)
    assert (np.abs(exps[0] - e["stated_exp"]) <= e["tol_stated_exp"]).all()
    close(p[0], e["p"], e["tol"])
    close(p[0], e["stated_p"], e["tol_stated"])
    for loss in losses:
        value, gradient = run(backend, [loss, gc.grad(loss, s)], given)
        close(value, e["stated_loss"], e["tol_stated"])
        close(value, e["loss"], e["tol"])
        close(gradient[0], e["grad"], e["tol"])


@on_both
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_w17_range_of_the_softmax_loss(dtype: str, backend: str) -> None:
    e = W["W17"]
    s, label = gc.input("s", ("N", "C"), dtype), gc.input("label", ("N",), "int64")
    loss = -gc.mean(gc.pick(gc.log_softmax(s), label))
    fn = gc.compile([s, label], [loss, gc.grad(loss, s)], backend=backend)
    tol = e["tol"] if dtype == "float64" else 1e-6
    initial, slope = fn(np.zeros((2, e["C"]), dtype), [3, 7])
    close(initial, e["stated"], e["tol_stated"])
    close(initial, e["loss"], tol)
    close(slope, (0.1 - np.eye(e["C"])[[3, 7]]) / 2, tol)
    big = np.array([e["big_margin_scores"]], dtype)
    close(fn(big, [0])[0], e["big_margin_loss"], tol)
    close(fn(big, [1])[0], e["wrong_label_loss"], tol)
    close(fn(big, [1])[1], [[1, -1]], tol)


def svm(scores: Tensor, label: Tensor) -> Tensor:
    """Σ over the wrong classes j of max(0, s_j - s_label + 1): one loss for each row of scores."""
    margins = gc.relu(scores - gc.pick(scores, label)[:, None] + 1.0)
    return gc.sum(gc.where(gc.equal(gc.arange(scores.shape[1]), label[:, None]), 0.0, margins), axis=1)


def cross_entropy(scores: Tensor, label: Tensor) -> Tensor:
    return gc.logsumexp(scores, axis=1) - gc.pick(scores, label)


@on_both
def test_w16_multiclass_svm(backend: str) -> None:
    e = W["W16"]
    s, label = gc.input("s", ("N", 3)), gc.input("label", ("N",), "int64")
    losses = svm(s, label)
    value, slope = run(
        backend, [losses, gc.grad(gc.sum(losses), s)], {s: [e["scores"]] * 3, label: [0, 1, 2]}
    )
    close(value, e["loss_by_label"], e["tol"])
    close(slope[0], e["grad_label0"], e["tol"])
    equal(slope[1], np.zeros(3))  # no margin is violated


@on_both
def test_w18_scores_of_three_images(backend: str) -> None:
    e = W["W18"]
    s, label = gc.input("s", ("N", 10)), gc.input("label", ("N",), "int64")
    hinge, entropy = svm(s, label), cross_entropy(s, label)
    best, top5 = gc.argmax(s, axis=1), gc.top_k(s, 5)[1]
    rank = gc.count_nonzero(s > gc.pick(s, label)[:, None], axis=1) + 1
    hits = [
        gc.count_nonzero(gc.equal(best, label)),
        gc.count_nonzero(gc.any(gc.equal(top5, label[:, None]), axis=1)),
    ]
    means = [gc.mean(hinge), gc.mean(entropy), nn.softmax_cross_entropy(label, s)]
    slopes = [gc.grad(m, s) for m in means]
    given = {s: e["scores"], label: e["labels"]}
    found = run(backend, [hinge, entropy, *means, best, rank, *hits, *slopes], given)
    expected = [e["svm"], e["ce"], e["svm_mean"], e["ce_mean"], e["ce_mean"]]
    for value, want in zip(found[:5], expected, strict=True):
        close(value, want, e["tol"])
    for value, name in zip(found[5:9], ("argmax", "rank", "top1_correct", "top5_correct"), strict=True):
        equal(value, e[name])
    by_svm, by_entropy, by_library = found[9:]
    violated = np.array(e["scores"]) - np.array(e["scores"])[range(3), e["labels"]][:, None] + 1 > 0
    violated[range(3), e["labels"]] = False
    counts = violated - np.eye(10)[e["labels"]] * violated.sum(1, keepdims=True)
    close(by_svm, counts / 3, e["tol"])
    close(by_entropy.sum(axis=1), np.zeros(3), e["tol"])
    close(by_entropy, by_library, e["tol"])


@on_both
def test_w19_the_remaining_losses(backend: str) -> None:
    every = W["W19"]
    tol = every["tol"]
    e = every["bce"]  # with the minus that some slides lose
    y, p = gc.const(e["y"]), gc.input("p", (2,))
    for loss in (-gc.mean(y * gc.log(p) + (1 - y) * gc.log(1 - p)), nn.binary_cross_entropy(y, p)):
        value, slope = run(backend, [loss, gc.grad(loss, p)], {p: e["p"]})
        close(value, e["loss"], tol)
        close(slope, e["dp"], tol)

    e = every["reg"]
    pred, target = gc.input("pred", (4,)), gc.input("target", (4,))
    d = pred - target
    mse, mae = gc.mean(d**2), gc.mean(gc.abs(d))
    outputs = [
        mse,
        nn.mse(target, pred),
        gc.sum(d**2),
        mae,
        gc.norm(d),
        gc.grad(mse, pred),
        gc.grad(mae, pred),
    ]
    found = run(backend, outputs, {pred: e["pred"], target: e["target"]})
    for value, name in zip(found, ("mse", "mse", "sse", "mae", "euclid", "dmse", "dmae"), strict=True):
        close(value, e[name], tol)  # a mean on two decks, a plain sum in the program of W24; |0|' = 0

    e = every["ce"]
    probabilities = gc.input("q", (2, 2))
    entropy = -gc.mean(gc.sum(gc.const(e["onehot"]) * gc.log(probabilities), axis=1))
    close(run(backend, [entropy], {probabilities: e["p"]})[0], e["loss"], tol)

    e = every["hinge"]
    s = gc.input("s", (3,))
    close(run(backend, [gc.maximum(0.0, 1.0 - gc.const(e["y"]) * s)], {s: e["s"]})[0], e["loss"], tol)

    e = every["zero_one"]
    guess = gc.input("guess", (3,), "int64")
    wrong = gc.cast(gc.not_equal(guess, gc.const(e["true"])), "int64")
    equal(run(backend, [wrong], {guess: e["pred"]})[0], e["loss"])


@on_both
def test_w20_regularisers(backend: str) -> None:
    e = W["W20"]
    w = gc.input("W", (2, 2))
    terms = {"l2": gc.sum(w**2), "l1": gc.sum(gc.abs(w)), "elastic": gc.sum(e["beta"] * w**2 + gc.abs(w))}
    for name, term in terms.items():
        value, slope = run(backend, [term, gc.grad(term, w)], {w: e["W"]})
        close(value, e[name], e["tol"])
        close(slope, e[f"d{name}"], e["tol"])


@on_both
def test_w21_a_whole_objective(backend: str) -> None:
    e = W["W21"]
    x, w1, w2 = gc.input("x", (3,)), gc.input("W1", (4, 3)), gc.input("W2", (3, 4))
    a = w1 @ x
    h = gc.relu(a)
    s = w2 @ h
    data = svm(s[None], gc.const([e["label"]]))[0]
    loss = data + e["lam"] * (gc.sum(w1**2) + gc.sum(w2**2))
    outputs = {"a": a, "h": h, "s": s, "data_loss": data, "loss": loss, "ds": gc.grad(loss, s)}
    outputs.update(zip(("dW1", "dW2", "dx"), gc.grad(loss, [w1, w2, x]), strict=True))
    found = run(backend, list(outputs.values()), {x: e["x"], w1: e["W1"], w2: e["W2"]})
    for value, name in zip(found, outputs, strict=True):
        close(value, e[name], e["tol"])


@on_both
def test_w22_polar_features(backend: str) -> None:
    e = W["W22"]
    points = gc.input("pts", ("N", 2))
    x, y = points[:, 0], points[:, 1]
    r = gc.sqrt(x**2 + y**2)
    inside = gc.logical_and(r >= 1, r <= 2)
    found = run(backend, [r, gc.hypot(x, y), gc.atan(y / x), gc.atan2(y, x), inside], {points: e["pts"]})
    for value, name in zip(found, ("r", "r", "theta", "atan2"), strict=False):
        close(value, e[name], e["tol"])
    equal(found[-1], [False, True, True])  # the class that no straight line separates: 1 <= r <= 2
