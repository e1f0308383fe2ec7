"""Every function that PyTorch has too: values, gradients and second derivatives, where PyTorch is installed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from peers import DTYPES, Found, Row, compare, only_drawn, resolve, weights
from peers_listed import every_row

torch: Any = pytest.importorskip(
    "torch", reason="PyTorch is not installed: pip install 'graphc[peers]' compares graphc with it"
)


def theirs(row: Row, dtype: str) -> Found:
    arrays = row.given(dtype)
    given = [torch.tensor(a, requires_grad=k in row.moving) for k, a in enumerate(arrays)]
    assert row.torch is not None
    name = row.torch.replace("F.", "nn.functional.") if isinstance(row.torch, str) else row.torch
    y = resolve(torch, name)(*given)
    value = np.asarray(y.detach().numpy())
    if value.dtype.kind != "f" or not row.moving:
        return Found(value)
    moving = [given[k] for k in row.moving]
    up = torch.tensor(weights(value.shape, 1).astype(dtype))
    first = (
        torch.autograd.grad(y, moving, up, create_graph=row.smooth, materialize_grads=True)
        if y.requires_grad
        else [torch.zeros_like(x) for x in moving]
    )
    second = []
    if row.smooth:
        w = [torch.tensor(only_drawn(row, weights(arrays[k].shape, 2 + k)).astype(dtype)) for k in row.moving]
        total = sum((g * c).sum() for g, c in zip(first, w, strict=True))
        second = (
            torch.autograd.grad(total, moving, materialize_grads=True)
            if total.requires_grad
            else [torch.zeros_like(x) for x in moving]
        )
    return Found(value, [g.detach().numpy() for g in first], [g.numpy() for g in second])


ROWS = {name: row for name, row in every_row().items() if row.torch is not None}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ROWS)
def test_values_and_derivatives(name: str, dtype: str) -> None:
    compare("torch", ROWS[name], dtype, theirs)
