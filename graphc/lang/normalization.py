"""Normalisation: the same values with mean 0 and variance 1, over the batch, a sample, a group, or neighbours.

| function | mean and variance over |
|------------------|---------------------------------------------------------------------|
| `batch_norm`     | all axes but one, of this batch; or as given |
| `layer_norm`     | the axes that are named (`rms_norm`: no mean, only the square) |
| `group_norm`     | a group of channels and all places of one sample |
| `instance_norm`  | all places of one channel of one sample |
| `local_response_norm` | neighbouring channels; no mean |

A variance is the mean of squared deviations from the mean, taken in two passes: nothing cancels, and a constant
has the variance 0, which `eps` keeps away from the root.

>>> from graphc.lang.tensor import input
>>> x = input("x", ("N", 6, 28, 28), "float32")
>>> batch_norm(x).shape, group_norm(x, 3).shape, layer_norm(x, (1, 2, 3)).shape
((N, 6, 28, 28), (N, 6, 28, 28), (N, 6, 28, 28))
"""

from __future__ import annotations

from graphc.errors import ArgumentError, ShapeError
from graphc.ir.node import node
from graphc.ir.types import Shape, shape_text
from graphc.lang.apply import apply, as_float, common, power, type_of
from graphc.lang.reductions import Axis, axes_of, mean
from graphc.lang.shapes import pad_node, reshape
from graphc.lang.source import operation
from graphc.lang.tensor import Tensor, TensorLike, as_tensor
from graphc.ops.window import Window

__all__ = [
    "batch_norm",
    "group_norm",
    "instance_norm",
    "layer_norm",
    "local_response_norm",
    "moments",
    "rms_norm",
]


@operation
def moments(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> tuple[Tensor, Tensor]:
    """The mean and the (biased) variance over axes, the variance in two passes."""
    t = as_float(x)
    axes = axes_of(t, axis)
    centre = mean(t, axes, keepdims=True)
    spread = mean(apply("square", apply("sub", t, centre)), axes, keepdims=True)
    if keepdims:
        return centre, spread
    kept = tuple(d for k, d in enumerate(t.shape) if k not in axes)
    return reshape(centre, kept), reshape(spread, kept)


@operation
def batch_norm(
    x: TensorLike,
    mean: TensorLike | None = None,
    var: TensorLike | None = None,
    gamma: TensorLike | None = None,
    beta: TensorLike | None = None,
    eps: float = 1e-5,
    axis: int = 1,
) -> Tensor:
    """gamma·(x − mean)/sqrt(var + eps) + beta, each a vector along `axis`.

    Without mean and var those of this batch, over all other axes (`gc.moments` has them for running averages);
    with both, the ones that are given, as after training.
    Source: S. Ioffe, C. Szegedy, Batch normalization, arXiv:1502.03167.
    """
    t = as_float(x)
    (k,) = axes_of(t, axis)
    if (mean is None) != (var is None):
        raise ArgumentError("batch_norm needs both mean and var, or neither")
    if mean is None or var is None:
        centre, spread = moments(t, tuple(a for a in range(t.ndim) if a != k), keepdims=True)
    else:
        centre, spread = (_along(v, t, (k,), what) for v, what in ((mean, "mean"), (var, "var")))
    return _scaled(_normal(t, centre, spread, eps), gamma, beta, (k,))


@operation
def layer_norm(
    x: TensorLike,
    axis: int | tuple[int, ...] = -1,
    gamma: TensorLike | None = None,
    beta: TensorLike | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """gamma·(x − mean)/sqrt(var + eps) + beta over the axes named, whose shape gamma and beta have.

    Source: J. Ba, J. Kiros, G. Hinton, Layer normalization, arXiv:1607.06450.
    """
    t = as_float(x)
    axes = axes_of(t, axis)
    return _scaled(_normal(t, *moments(t, axes, keepdims=True), eps), gamma, beta, axes)


@operation
def rms_norm(
    x: TensorLike, axis: int | tuple[int, ...] = -1, gamma: TensorLike | None = None, eps: float = 1e-5
) -> Tensor:
    """gamma·x/sqrt(mean x² + eps) over the axes named.

    Source: B. Zhang, R. Sennrich, Root mean square layer normalization, arXiv:1910.07467.
    """
    t = as_float(x)
    axes = axes_of(t, axis)
    size = mean(apply("square", t), axes, keepdims=True)
    return _scaled(t * _root(size, eps), gamma, None, axes)


@operation
def group_norm(
    x: TensorLike,
    groups: int,
    gamma: TensorLike | None = None,
    beta: TensorLike | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """x[N,C,*S] normalised over each of `groups` groups of channels of each sample; gamma and beta are [C].

    Source: Y. Wu, K. He, Group normalization, arXiv:1803.08494.
    """
    t = as_float(x)
    if t.ndim < 2:
        raise ShapeError(f"cannot normalise {type_of(x)} in groups", why="it must be [N,channels,...]")
    channels = t.shape[1]
    if not isinstance(channels, int) or groups < 1 or channels % groups:
        raise ShapeError(
            f"cannot normalise {type_of(x)} in {groups} groups",
            why=f"it has {channels} channels",
            fix=f"take groups that divide {channels}",
        )
    split = reshape(t, (t.shape[0], groups, channels // groups, *t.shape[2:]))
    normal = _normal(split, *moments(split, tuple(range(2, split.ndim)), keepdims=True), eps)
    return _scaled(reshape(normal, t.shape), gamma, beta, (1,))


@operation
def instance_norm(
    x: TensorLike, gamma: TensorLike | None = None, beta: TensorLike | None = None, eps: float = 1e-5
) -> Tensor:
    """x[N,C,*S] normalised over the places of each channel of each sample; gamma and beta are [C].

    Source: D. Ulyanov, A. Vedaldi, V. Lempitsky, Instance normalization, arXiv:1607.08022.
    """
    t = as_float(x)
    if t.ndim < 3:
        raise ShapeError(
            f"cannot normalise the instances of {type_of(x)}", why="it must be [N,channels,...] with places"
        )
    places = tuple(range(2, t.ndim))
    return _scaled(_normal(t, *moments(t, places, keepdims=True), eps), gamma, beta, (1,))


@operation
def local_response_norm(
    x: TensorLike, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """x/(k + alpha/size·Σ x²)^beta, the sum over `size` neighbouring channels of x[N,C,...], as in PyTorch.

    Channels that do not exist count as 0; of an even size, size/2 lie before and size/2 − 1 after.  AlexNet's
    formula has alpha·Σ x²: there `alpha` is size times as large, and k = 2, size = 5, beta = 0.75.
    Source: A. Krizhevsky, I. Sutskever, G. Hinton, ImageNet classification with deep convolutional neural
    networks (2012), section 3.3.
    """
    t = as_float(x)
    if t.ndim < 2:
        raise ShapeError(f"cannot normalise the channels of {type_of(x)}", why="it must be [N,channels,...]")
    if size < 1:
        raise ArgumentError(f"size must be a positive integer, not {size!r}")
    rank = t.ndim - 1
    around = [(0, 0), (size // 2, (size - 1) // 2), *[(0, 0)] * (rank - 1)]
    squares = pad_node(apply("square", t).node, around)
    total = Tensor(node(Window("sum", (size, *(1,) * (rank - 1)), (1,) * rank), squares))
    return t / power(k + (alpha / size) * total, beta)


def _normal(t: Tensor, centre: Tensor, spread: Tensor, eps: float) -> Tensor:
    return (t - centre) * _root(spread, eps)


def _root(variance: Tensor, eps: float) -> Tensor:
    if not eps >= 0:
        raise ArgumentError(f"eps must be 0 or more, not {eps!r}")
    return apply("rsqrt", variance + eps)


def _scaled(t: Tensor, gamma: TensorLike | None, beta: TensorLike | None, axes: tuple[int, ...]) -> Tensor:
    """gamma·t + beta, along axes."""
    if gamma is not None:
        t = t * _along(gamma, t, axes, "gamma")
    return t if beta is None else t + _along(beta, t, axes, "beta")


def _along(v: TensorLike, t: Tensor, axes: tuple[int, ...], what: str) -> Tensor:
    """A tensor that lies along some axes of another, reshaped so that it broadcasts over the rest."""
    _, found = common(t, v)
    wanted: Shape = tuple(t.shape[k] for k in axes)
    if found.ndim == 0:
        return found
    if found.shape != wanted:
        raise ShapeError(
            f"the {what} of {t.node.type} is {as_tensor(v).node.type}",
            fix=f"give {what} the shape {shape_text(wanted)}",
        )
    return reshape(found, tuple(d if k in axes else 1 for k, d in enumerate(t.shape)))
