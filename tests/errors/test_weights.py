"""Weights files: what fits is read whole, what does not is refused whole; no writer leaves half a file."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import numpy as np
import pytest

import graphc as gc
from graphc import nn
from graphc.nn import weights


def small(units: int = 3, dtype: str = "float32", name: str | None = None) -> nn.Model:
    x = nn.Input(2, dtype=dtype)
    return nn.Model(x, nn.Dense(1)(nn.Dense(units, name=name)(x)))


def values(model: nn.Model) -> list[bytes]:
    return [p.value.tobytes() for p in model.weights]


@pytest.fixture
def saved(tmp_path: Path) -> tuple[nn.Model, Path]:
    model = small()
    for k, p in enumerate(model.weights):
        p.value = np.full(p.shape, k + 0.5)
    path = tmp_path / "w.safetensors"
    model.save_weights(path)
    return model, path


def refused(model: nn.Model, path: Path) -> str:
    before = values(model)
    with pytest.raises(gc.WeightsError) as caught:
        model.load_weights(path)
    assert values(model) == before, "a refused file changed a parameter"
    assert caught.value.where is not None and caught.value.where.file == __file__
    return " ".join(str(caught.value).split())


def test_what_was_saved_is_read_back_into_the_same_arrays(saved):
    model, path = saved
    other = small()
    arrays = [p.value for p in other.weights]
    other.load_weights(str(path))
    assert values(other) == values(model)
    assert all(p.value is a for p, a in zip(other.weights, arrays, strict=True))


def test_other_readers_understand_the_file(saved):
    from safetensors.numpy import load_file

    model, path = saved
    found = load_file(path)
    assert sorted(found) == sorted(p.name for p in model.weights)
    np.testing.assert_array_equal(found["dense_1/kernel"], np.full((2, 3), 0.5, "float32"))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_bit_survives(tmp_path, dtype):
    model = small(dtype=dtype)
    special = np.array([[np.nan, -0.0, np.inf], [5e-324, 1 / 3, -np.inf]]).astype(dtype)
    kernel = next(p for p in model.weights if p.name == "dense_1/kernel")
    kernel.value = special
    model.save_weights(tmp_path / "w")
    kernel.value = np.zeros((2, 3))
    model.load_weights(tmp_path / "w")
    assert kernel.value.tobytes() == special.tobytes()


def test_every_truncation_is_refused(saved):
    model, path = saved
    whole = path.read_bytes()
    for size in [0, 1, 7, 8, 9, 40, len(whole) // 2, len(whole) - 1]:
        path.write_bytes(whole[:size])
        assert "is no intact safetensors file" in refused(model, path), size
    path.write_bytes(whole + b"\0")
    refused(model, path)


def test_foreign_files_are_refused(saved, tmp_path):
    model, _ = saved
    np.savez(tmp_path / "w.npz", a=np.zeros(3))
    (tmp_path / "text").write_text("these are no weights " * 50)
    for name in ("w.npz", "text"):
        assert "is no intact safetensors file" in refused(model, tmp_path / name)
    assert "cannot read" in refused(model, tmp_path / "missing")
    assert "cannot read" in refused(model, tmp_path)


def test_a_header_that_lies_is_refused(saved):
    model, path = saved
    whole = path.read_bytes()
    size = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + size])
    header["dense_1/kernel"]["data_offsets"] = [0, 10**12]
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + whole[8 + size :])
    assert "is no intact safetensors file" in refused(model, path)


def test_another_model_is_named(saved):
    _, path = saved
    text = refused(small(name="hidden"), path)
    assert "it lacks `hidden/kernel`, `hidden/bias`" in text
    assert "it has also" in text and "`dense_2/kernel`" in text
    text = refused(small(units=4), path)
    assert "`dense_1/kernel` is f32[2,3] in the file and f32[2,4] in the model: another shape" in text
    text = refused(small(dtype="float64"), path)
    assert "`dense_1/kernel` is f32[2,3] in the file and f64[2,3] in the model: another dtype" in text


def test_a_dtype_that_graphc_lacks(tmp_path):
    header = json.dumps({"w": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}).encode()
    path = tmp_path / "w"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    assert "holds `w` as BF16" in refused(small(), path)


def test_a_failing_write_leaves_the_old_file_and_nothing_else(saved, monkeypatch):
    model, path = saved
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    model.weights[0].value = np.full(model.weights[0].shape, 9.0)
    with pytest.raises(gc.WeightsError, match="cannot write"):
        model.save_weights(path)
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(gc.WeightsError, match="No such file or directory"):
        small().save_weights(tmp_path / "missing" / "w.safetensors")


def test_permissions_are_those_of_any_new_file(saved):
    _, path = saved
    other = path.with_name("other")
    other.touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(other.stat().st_mode)


def test_the_same_weights_give_the_same_bytes(saved):
    model, path = saved
    again = path.with_name("again")
    weights.save(again, model.weights)
    assert again.read_bytes() == path.read_bytes()
