"""Arguments of everything that slides a window over an image: one number, or one for each spatial axis.

Images are [N, channels, *spatial]: a row of samples, an image, a volume.  One implementation serves them all;
`of_rank` makes of it the functions that users call, such as `conv1d`, `conv2d` and `conv3d`.

>>> per_axis(3, 2, "stride"), per_axis((1, 2), 2, "stride")
((3, 3), (1, 2))
>>> paddings("same", (28, 28), (5, 4), (1, 1), (1, 1))
[(2, 2), (1, 2)]
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Concatenate, ParamSpec, TypeVar

from graphc.errors import ArgumentError, ShapeError
from graphc.ir.dims import Index
from graphc.ir.types import Shape
from graphc.lang.source import operation
from graphc.lang.tensor import Tensor, TensorLike, as_tensor

__all__: list[str] = []

P = ParamSpec("P")
R = TypeVar("R")

Header = Callable[[], None]
"""A name and its documentation."""
Pair = int | Sequence[int]
Padding = int | str | Sequence[int | Sequence[int]]

_COUNT = {1: "one", 2: "two", 3: "three"}
_SPATIAL = {1: "length", 2: "height,width", 3: "depth,height,width"}


def spatial_names(rank: int) -> str:
    """What errors call the spatial axes of an image of so many: "height,width"."""
    return _SPATIAL[rank]


def per_axis(value: Pair, rank: int, what: str, *, least: int = 1) -> tuple[int, ...]:
    """One number for all of `rank` axes, or one for each."""
    found = (value,) * rank if isinstance(value, int) else tuple(value)
    if len(found) != rank or not all(isinstance(v, int) and v >= least for v in found):
        kind = "a positive integer" if least == 1 else "an integer of 0 or more"
        several = f" or {_COUNT[rank]} of them" if rank > 1 else ""
        raise ArgumentError(f"{what} must be {kind}{several}, not {value!r}")
    return found


def pair(value: Pair, what: str) -> tuple[int, int]:
    """One number for both axes of an image, or one for each."""
    height, width = per_axis(value, 2, what)
    return height, width


def paddings(
    padding: Padding,
    sizes: Sequence[Index],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
) -> list[tuple[int, int]]:
    """(before, after) for each spatial axis.

    "same" keeps ceil(size/stride), "valid" adds nothing, "full" lets the window overlap by one element at least.
    """
    if padding == "valid":
        return [(0, 0)] * len(sizes)
    if padding == "full":
        return [(dil * (k - 1),) * 2 for k, dil in zip(kernel, dilations, strict=True)]
    if padding == "same":
        result = []
        for d, k, s, dil in zip(sizes, kernel, strides, dilations, strict=True):
            if s == 1:
                total = dil * (k - 1)
            elif isinstance(d, int):
                total = max(0, (-(-d // s) - 1) * s + dil * (k - 1) + 1 - d)
            else:
                raise ShapeError(f'padding="same" with a stride needs a known size, not {d}')
            result.append((total // 2, total - total // 2))
        return result
    if isinstance(padding, str):
        raise ArgumentError(f"unknown padding {padding!r}", fix='use a number, "same", "valid" or "full"')
    pairs: list[tuple[int, int]] = []
    for p in (padding,) * len(sizes) if isinstance(padding, int) else padding:
        before, after = (p, p) if isinstance(p, int) else p
        pairs.append((before, after))
    if len(pairs) != len(sizes):
        raise ArgumentError(f"padding needs one amount for each of {len(sizes)} axes, not {padding!r}")
    if min(min(p) for p in pairs) < 0:
        raise ArgumentError(f"cannot pad by {padding!r}", why="an amount is negative", fix="slice it instead")
    return pairs


def image_of(x: TensorLike, rank: int | None, verb: str) -> Tensor:
    """A tensor that is an image of so many spatial axes (None: 1, 2 or 3); `verb` is for the error."""
    t = as_tensor(x)
    wanted = (rank,) if rank is not None else (1, 2, 3)
    if t.ndim - 2 not in wanted:
        shapes = " or ".join(f"[N,channels,{spatial_names(r)}]" for r in wanted)
        raise ShapeError(f"cannot {verb} {t.node.type}", why=f"the image must be {shapes}")
    return t


def known_sizes(shape: Shape, what: str) -> tuple[int, ...]:
    """The sizes of spatial axes, where all of them are numbers; `what` needs them."""
    sizes = tuple(d for d in shape if isinstance(d, int))
    if len(sizes) != len(shape):
        named = next(d for d in shape if not isinstance(d, int))
        raise ShapeError(f"{what} needs known sizes, not {named}", fix="give the image a height and a width")
    return sizes


def of_rank(rank: int, family: Callable[Concatenate[int, P], R]) -> Callable[[Header], Callable[P, R]]:
    """Make a function of the language, for images of so many spatial axes, of its name and its documentation.

    `family` computes it; its first argument is the rank, the others are those of the new function.
    """
    assert isinstance(family, FunctionType)
    signature = inspect.signature(family)
    _, *others = signature.parameters.values()

    def make(header: Header) -> Callable[P, R]:
        # A copy under the public name: where an argument is missing, Python's own error tells that name.
        named = FunctionType(family.__code__, family.__globals__, argdefs=family.__defaults__)
        named.__qualname__, named.__kwdefaults__ = header.__qualname__, family.__kwdefaults__

        @functools.wraps(header)
        def function(*args: P.args, **kwargs: P.kwargs) -> R:
            result: R = named(rank, *args, **kwargs)
            return result

        function.__signature__ = signature.replace(parameters=others)  # type: ignore[attr-defined]
        function.__annotations__ = {p.name: p.annotation for p in others} | {
            "return": signature.return_annotation
        }
        return operation(function)

    return make
