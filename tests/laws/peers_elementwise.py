"""Elementwise operations beside PyTorch's and JAX's: one line each.  `peers.py` says what is compared, and how.

>>> [name for name, row in ROWS.items() if row.torch is row.jax is None]
[]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from peers import Difference, Peer, Row

import graphc as gc

try:
    import torch
except ImportError:  # the tables can be read without it
    torch = None  # type: ignore[assignment]
try:
    import jax
    import jax.numpy as jnp
except ImportError:
    jax = jnp = None  # type: ignore[assignment]

RNG = np.random.default_rng(31)
DRAWN = 12
SPECIAL = (np.inf, -np.inf, np.nan)

DOMAINS: Mapping[str, Callable[[], Any]] = {
    "real": lambda: RNG.normal(size=DRAWN) * 2,
    "positive": lambda: np.exp(RNG.normal(size=DRAWN)),
    "unit": lambda: RNG.uniform(-0.95, 0.95, DRAWN),
    "above 1": lambda: 1.05 + np.exp(RNG.normal(size=DRAWN)),
    "small": lambda: RNG.uniform(-4, 4, DRAWN),
    "integer": lambda: RNG.integers(0, 4, DRAWN).astype(float),
}
Stated = Sequence[tuple[str, str, Any, float, float]]
"""Differences, by the point: ("torch jax", "d0", x, ours, theirs)."""


def found(stated: Stated, arrays: Sequence[Any]) -> list[Difference]:
    """Stated differences, at all places behind the drawn ones that hold the point."""
    columns = np.stack(arrays, 1)
    return [
        Difference(names, part, at, ours, theirs)
        for names, part, point, ours, theirs in stated
        for at in range(DRAWN, len(columns))
        if np.array_equal(columns[at], np.atleast_1d(point), equal_nan=True)
    ]


def one(
    name: str, theirs: Peer, jaxs: Peer, domain: str = "real", edges: Sequence[float] = (0.0, -0.0, 1.0, -1.0),
    *, smooth: bool = True, special: Sequence[float] = SPECIAL, ours: Callable[..., Any] | None = None,
    differs: Stated = (), loose: Mapping[str, float] | None = None,
) -> tuple[str, Row]:  # fmt: skip
    """A function of one argument."""
    x = np.array([*DOMAINS[domain](), *edges, *special])
    finite = DRAWN + len(edges)
    f = ours or getattr(gc, name.split()[0])
    return name, Row(f, theirs, jaxs, (x,), smooth, (), DRAWN, finite, loose or {}, found(differs, (x,)))


def two(
    name: str, theirs: Peer, jaxs: Peer, domains: tuple[str, str] = ("real", "real"),
    edges: Sequence[tuple[float, float]] = (),
    *, smooth: bool = True, special: Sequence[tuple[float, float]] = (), fixed: Sequence[int] = (),
    ours: Callable[..., Any] | None = None, differs: Stated = (), loose: Mapping[str, float] | None = None,
) -> tuple[str, Row]:  # fmt: skip
    """A function of two arguments."""
    pairs = [*edges, *special]
    x, y = (np.array([*DOMAINS[d](), *(p[k] for p in pairs)]) for k, d in enumerate(domains))
    finite = DRAWN + len(edges)
    f = ours or getattr(gc, name.split()[0])
    return name, Row(
        f, theirs, jaxs, (x, y), smooth, fixed, DRAWN, finite, loose or {}, found(differs, (x, y))
    )


NAN = float("nan")
TIES = ((1.0, 1.0), (0.0, 0.0), (-2.0, -2.0))
AT_INFINITY = ("torch jax", "value", -np.inf, 0.0, NAN)  # -inf times 0: the limit is 0
HALVES = [
    ("torch jax", f"d{k}", p, 1.0 - k, 0.5) for k in (0, 1) for p in TIES
]  # the first one, not half to each

# fmt: off
_TABLE = (
    # ---- arithmetic
    two("add", "add", "add", special=((np.inf, -np.inf), (np.inf, 1.0)), smooth=False),
    two("sub", "sub", "subtract", edges=TIES, special=((np.inf, np.inf),), smooth=False),
    two("mul", "mul", "multiply", edges=((0.0, -1.0),), special=((0.0, np.inf),)),
    two("div", "div", "divide", ("real", "positive"), special=((1.0, 0.0), (-1.0, 0.0), (0.0, 0.0), (1.0, -0.0))),
    one("neg", "neg", "negative", smooth=False),
    one("square", "square", "square"),
    one("reciprocal", "reciprocal", "reciprocal", "positive", (2.0, -4.0)),
    two("pow", "pow", "power", ("positive", "real"), ((0.0, 2.0), (0.0, 1.0), (2.0, 0.0), (3.0, 1.0))),
    *(
        one(f"power {p}", lambda x, p=p: torch.pow(x, p), lambda x, p=p: jnp.power(x, p),
            "real" if p == int(p) else "positive", edges, ours=lambda x, p=p: gc.power(x, p), special=())
        for p, edges in ((2, (0.0, -1.0)), (3, (0.0, -1.0)), (-1, (2.0, -1.0)), (-2, (2.0, -1.0)), (0.5, (4.0,)),
                         (1.5, (0.0, 4.0)), (-0.5, (4.0,)), (5, (0.0, -1.0)))
    ),
    two("hypot", "hypot", "hypot", edges=((3.0, 4.0), (0.0, 1.0), (1e-12, 0.0))),
    two("mod", "remainder", "mod", ("real", "positive"), ((5.0, -3.0), (-5.0, 3.0)), smooth=False),
    two("floor_divide", lambda x, y: torch.floor_divide(x.detach(), y.detach()), "floor_divide", ("real", "positive"),
        ((5.5, -3.0), (-5.0, 3.5)), smooth=False),
    # ---- roots, exponentials, logarithms
    one("sqrt", "sqrt", "sqrt", "positive", (0.0, 4.0)),
    one("cbrt", None, "cbrt", "positive", (8.0, -8.0, -1.0)),
    one("rsqrt", "rsqrt", "lax.rsqrt", "positive", (4.0,)),
    one("exp", "exp", "exp", edges=(0.0, -0.0, 50.0, -50.0)),
    one("exp2", "exp2", "exp2"),
    one("expm1", "expm1", "expm1", edges=(0.0, -0.0, 1e-9, -50.0)),
    one("log", "log", "log", "positive", (1.0, 1e-30)),
    one("log1p", "log1p", "log1p", "positive", (0.0, -0.0, 1e-9)),
    one("log2", "log2", "log2", "positive", (1.0, 8.0)),
    one("log10", "log10", "log10", "positive", (1.0, 1000.0)),
    two("xlogy", "special.xlogy", "scipy.special.xlogy", ("real", "positive"), ((0.0, 2.0),)),
    two("logaddexp", "logaddexp", "logaddexp", edges=(*TIES, (800.0, -800.0), (40.0, 0.0))),
    # ---- waves and angles
    one("sin", "sin", "sin"),
    one("cos", "cos", "cos"),
    one("tan", "tan", "tan", "unit"),
    one("asin", "asin", "arcsin", "unit", (0.0, -0.0)),
    one("acos", "acos", "arccos", "unit", (0.0, -0.0)),
    one("atan", "atan", "arctan"),
    two("atan2", "atan2", "arctan2", edges=((0.0, 1.0), (1.0, 0.0), (-1.0, 0.0), (0.0, -1.0), (-0.0, -1.0))),
    one("sinh", "sinh", "sinh"),
    one("cosh", "cosh", "cosh"),
    one("tanh", "tanh", "tanh", edges=(0.0, -0.0, 50.0, -50.0)),
    one("asinh", "asinh", "arcsinh"),
    one("acosh", "acosh", "arccosh", "above 1", (2.0,)),
    one("atanh", "atanh", "arctanh", "unit", (0.0, -0.0)),
    # ---- special functions
    one("erf", "erf", "lax.erf", edges=(0.0, -0.0, 7.0, -7.0)),
    one("erfc", "erfc", "lax.erfc", edges=(0.0, -0.0, -7.0)),
    one("normal_cdf", "special.ndtr", "scipy.special.ndtr", edges=(0.0, -0.0, 3.0, -3.0)),
    one("lgamma", "lgamma", "lax.lgamma", "positive", (1.0, 2.0), special=(), loose={"torch float64": 100}),
    one("digamma", "digamma", "lax.digamma", "positive", (1.0, 2.0), special=(), loose={"torch float64": 100}),
    two("polygamma", lambda n, x: torch.polygamma(2, x), lambda n, x: jax.scipy.special.polygamma(2, x),
        ("integer", "positive"), ours=lambda n, x: gc.polygamma(n * 0 + 2.0, x), fixed=(0,),
        loose={"torch float64": 100}),
    # ---- activations
    one("sigmoid", "sigmoid", "nn.sigmoid", edges=(0.0, -0.0, 50.0, -50.0)),
    one("log_sigmoid", "F.logsigmoid", "nn.log_sigmoid", edges=(0.0, -0.0, 80.0, -80.0)),
    one("relu", "relu", "nn.relu", smooth=False),
    one("leaky_relu", lambda x: torch.nn.functional.leaky_relu(x, 0.1), lambda x: jax.nn.leaky_relu(x, 0.1),
        ours=lambda x: gc.leaky_relu(x, 0.1), smooth=False,
        differs=[("jax", "d0", 0.0, 0.1, 1.0)]),
    one("elu", lambda x: torch.nn.functional.elu(x, 0.7), lambda x: jax.nn.elu(x, 0.7),
        ours=lambda x: gc.elu(x, 0.7),
        differs=[("torch jax", "d0", 0.0, 1.0, 0.7)]),
    one("selu", "F.selu", "nn.selu",
        differs=[("torch jax", "d0", 0.0, 1.0507009873554805, 1.7580993408473766)]),
    one("celu", lambda x: torch.nn.functional.celu(x, 0.7), lambda x: jax.nn.celu(x, 0.7),
        ours=lambda x: gc.celu(x, 0.7),
        loose={"torch float64": 1000}),
    one("softplus", lambda x: torch.nn.functional.softplus(x, threshold=1e3), "nn.softplus",
        edges=(0.0, -0.0, 80.0, -80.0)),
    one("softsign", "F.softsign", "nn.soft_sign",
        differs=[("torch jax", "value", np.inf, 1.0, NAN), ("torch jax", "value", -np.inf, -1.0, NAN)]),
    one("silu", "F.silu", "nn.silu", edges=(0.0, -0.0, 50.0, -50.0),
        differs=[AT_INFINITY]),
    one("mish", "F.mish", "nn.mish", edges=(0.0, -0.0, 50.0, -50.0),
        differs=[AT_INFINITY]),
    one("gelu", "F.gelu", lambda x: jax.nn.gelu(x, approximate=False), edges=(0.0, -0.0, 3.0, -3.0),
        special=(-np.inf, np.nan), differs=[AT_INFINITY]),
    one("gelu_tanh", lambda x: torch.nn.functional.gelu(x, approximate="tanh"), "nn.gelu", edges=(0.0, -0.0, 3.0, -3.0),
        differs=[AT_INFINITY], loose={"jax float32": 30}),  # 1 + tanh cancels in JAX's left tail
    one("relu6", "F.relu6", "nn.relu6", "small", (0.0, -0.0, 6.0, 7.0), smooth=False),
    one("hard_tanh", "F.hardtanh", "nn.hard_tanh", "small", smooth=False,
        differs=[("jax", "d0", 1.0, 0.0, 1.0), ("jax", "d0", -1.0, 0.0, 1.0)]),
    one("hard_sigmoid", "F.hardsigmoid", "nn.hard_sigmoid", "small", (3.0, -3.0, 0.0), smooth=False,
        loose={"torch float64": 1000}),
    one("hard_swish", "F.hardswish", "nn.hard_swish", "small", (3.0, -3.0, 0.0), smooth=False,
        differs=[AT_INFINITY]),
    one("hard_shrink", "F.hardshrink", None, "small", (0.5, -0.5, 0.0), smooth=False),
    one("soft_shrink", "F.softshrink", None, "small", (0.5, -0.5, 0.0), smooth=False),
    one("threshold", lambda x: torch.nn.functional.threshold(x, 0.25, -3.0), None, "small", (0.25, 0.0), smooth=False,
        ours=lambda x: gc.threshold(x, 0.25, -3.0)),
    # ---- sizes, signs and roundings
    one("abs", "abs", "abs", smooth=False,
        differs=[("jax", "d0", 0.0, 0.0, 1.0)]),
    one("sign", "sign", "sign", smooth=False,
        differs=[("torch", "value", NAN, NAN, 0.0)]),
    one("floor", "floor", "floor", edges=(0.0, -0.0, 2.0, -2.5), smooth=False),
    one("ceil", "ceil", "ceil", edges=(0.0, -0.0, 2.0, -2.5), smooth=False),
    one("round", "round", "round", edges=(0.5, 1.5, 2.5, -0.5, -1.5), smooth=False),
    one("trunc", "trunc", "trunc", edges=(0.0, -0.0, 2.0, -2.5), smooth=False),
    two("heaviside", lambda x, h: torch.heaviside(x, h.detach()), "heaviside",
        edges=((0.0, 0.5), (-0.0, 2.0)), smooth=False, fixed=(0, 1)),
    # ---- choices
    two("maximum", "maximum", "maximum", edges=TIES, special=((np.nan, 1.0), (1.0, np.nan)), smooth=False,
        differs=HALVES),
    two("minimum", "minimum", "minimum", edges=TIES, special=((np.nan, 1.0), (1.0, np.nan)), smooth=False,
        differs=HALVES),
    one("clip", lambda x: torch.clamp(x, -1.0, 1.5), lambda x: jnp.clip(x, -1.0, 1.5), edges=(-1.0, 1.5, 0.0),
        ours=lambda x: gc.clip(x, -1.0, 1.5), smooth=False,
        differs=[("jax", "d0", -1.0, 1.0, 0.5), ("jax", "d0", 1.5, 1.0, 0.5)]),
    two("where", lambda x, y: torch.where(x < y, x * y, torch.sin(y)), lambda x, y: jnp.where(x < y, x * y, jnp.sin(y)),
        edges=TIES, ours=lambda x, y: gc.where(x < y, x * y, gc.sin(y))),
    one("stop_gradient", lambda x: x * x.detach(), lambda x: x * jax.lax.stop_gradient(x),
        ours=lambda x: x * gc.stop_gradient(x), special=()),
    # ---- comparisons and tests
    two("less", "lt", "less", edges=TIES, special=((np.nan, 0.0), (np.inf, np.inf))),
    two("less_equal", "le", "less_equal", edges=TIES, special=((np.nan, 0.0), (np.inf, np.inf))),
    two("greater", "gt", "greater", edges=TIES, special=((np.nan, 0.0), (np.inf, np.inf))),
    two("greater_equal", "ge", "greater_equal", edges=TIES, special=((np.nan, 0.0), (np.inf, np.inf))),
    two("equal", "eq", "equal", edges=TIES, special=((np.nan, np.nan), (np.inf, np.inf), (0.0, -0.0))),
    two("not_equal", "ne", "not_equal", edges=TIES, special=((np.nan, np.nan), (np.inf, np.inf), (0.0, -0.0))),
    one("isnan", "isnan", "isnan"),
    one("isinf", "isinf", "isinf"),
    one("isfinite", "isfinite", "isfinite"),
)
# fmt: on
ROWS: dict[str, Row] = dict(_TABLE)

INT = np.array([0, 1, -1, 5, -7, 12, 255, -256, 2**40, -(2**40)])
OTHER = np.array([3, 1, 2, -3, 4, -5, 16, 7, 9, 11])
SHIFT = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
TRUTH, UNTRUTH = INT > 0, OTHER > 2


def whole(name: str, theirs: Peer, jaxs: Peer, *arrays: Any) -> tuple[str, Row]:
    """A function of integers or truth values."""
    return f"{name} of {arrays[0].dtype}", Row(getattr(gc, name), theirs, jaxs, arrays)


for _type in (np.int32, np.int64):
    _x, _y, _s = (
        np.asarray(a % 2**31 if _type is np.int32 else a).astype(_type) for a in (INT, OTHER, SHIFT)
    )
    ROWS.update(
        whole(*line)
        for line in (
            ("add", "add", "add", _x, _y),
            ("mul", "mul", "multiply", _x, _y),
            ("floor_divide", "floor_divide", "floor_divide", _x, _y),
            ("mod", "remainder", "mod", _x, _y),
            ("abs", "abs", "abs", _x),
            ("maximum", "maximum", "maximum", _x, _y),
            ("bitwise_and", "bitwise_and", "bitwise_and", _x, _y),
            ("bitwise_or", "bitwise_or", "bitwise_or", _x, _y),
            ("bitwise_xor", "bitwise_xor", "bitwise_xor", _x, _y),
            ("bitwise_not", "bitwise_not", "bitwise_not", _x),
            ("left_shift", "bitwise_left_shift", "left_shift", _x, _s),
            ("right_shift", "bitwise_right_shift", "right_shift", _x, _s),
            ("logical_right_shift", None, "lax.shift_right_logical", _x, _s),
        )
    )
ROWS.update(
    whole(name, name, name, TRUTH, UNTRUTH)
    for name in ("logical_and", "logical_or", "logical_xor", "bitwise_and")
)
ROWS.update([whole("logical_not", "logical_not", "logical_not", TRUTH)])
