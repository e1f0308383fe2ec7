"""First values: each draw has the mean, the spread and the bounds that its paper gives, and is always the same."""

from __future__ import annotations

import math

import numpy as np
import pytest

import graphc as gc
from graphc.lang.initializers import NAMES, fans, initial_value

SHAPE = (400, 300)
IN, OUT = fans(SHAPE)
KERNEL = (60, 20, 5, 5)

# The variance of each draw, and the bound that no value exceeds.
DRAWS = {
    "normal": (0.05**2, math.inf),
    "truncated_normal": (0.05**2 * 0.7737413, 0.1),  # 1 − 4φ(2)/(2Φ(2) − 1)
    "uniform": (0.05**2 / 3, 0.05),
    "kaiming": (2 / IN, math.inf),
    "kaiming_uniform": (2 / IN, math.sqrt(6 / IN)),
    "glorot": (2 / (IN + OUT), math.sqrt(6 / (IN + OUT))),
    "glorot_normal": (2 / (IN + OUT), math.inf),
    "lecun": (1 / IN, math.inf),
    "lecun_uniform": (1 / IN, math.sqrt(3 / IN)),
    "orthogonal": (1 / IN, math.inf),
}


@pytest.mark.parametrize("name", DRAWS)
def test_mean_spread_and_bounds(name: str) -> None:
    variance, bound = DRAWS[name]
    w = initial_value("w", SHAPE, "float64", name, 0)
    assert abs(w.mean()) < 5 * math.sqrt(variance / w.size)
    assert w.var() == pytest.approx(variance, rel=5 * math.sqrt(2 / w.size))
    assert np.abs(w).max() <= bound
    if bound < math.inf:
        assert np.abs(w).max() > 0.99 * bound


def test_every_name_is_drawn_and_depends_on_seed_and_name_alone() -> None:
    assert set(NAMES) == {*DRAWS, "zeros", "ones"}
    for init in DRAWS:
        w = initial_value("w", (6, 5), "float32", init, 1)
        assert w.dtype == np.float32
        np.testing.assert_array_equal(w, initial_value("w", (6, 5), "float32", init, 1))
        for other in (
            initial_value("w", (6, 5), "float32", init, 2),
            initial_value("v", (6, 5), "float32", init, 1),
        ):
            assert not np.array_equal(w, other)


@pytest.mark.parametrize(
    ("alias", "name"),
    [("he_normal", "kaiming"), ("he_uniform", "kaiming_uniform"), ("glorot_uniform", "glorot"),
     ("xavier_normal", "glorot_normal"), ("lecun_normal", "lecun"), ("random_normal", "normal"),
     ("random_uniform", "uniform")],
)  # fmt: skip
def test_the_names_of_others(alias: str, name: str) -> None:
    np.testing.assert_array_equal(
        gc.param("w", (3, 4), init=alias).value, gc.param("w", (3, 4), init=name).value
    )


@pytest.mark.parametrize("shape", [(5, 5), (4, 7), (7, 4), KERNEL, (1, 3), (0, 3)])
def test_orthogonal_rows_or_columns(shape: tuple[int, ...]) -> None:
    w = initial_value("w", shape, "float64", "orthogonal", 3).reshape(shape[0], math.prod(shape[1:]))
    short = w if len(w) <= w.shape[1] else w.T
    np.testing.assert_allclose(short @ short.T, np.eye(len(short)), atol=1e-12)


def test_a_vector_is_not_orthogonal() -> None:
    with pytest.raises(gc.ShapeError, match=r"there is no orthogonal array of shape \[3\]"):
        gc.param("w", (3,), init="orthogonal")
