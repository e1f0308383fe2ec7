"""What does not fit a window, an image or a normalisation: the whole text, with the line and the caret."""

from __future__ import annotations

from collections.abc import Callable

import pytest

SETUP = """
x = gc.input("x", ("N", 4, 8, 8)); h = gc.input("h", ("N", 4)); k = gc.input("k", (2, 4, 3, 3))
t = gc.input("t", ("N", 4, "H", "W")); v = gc.input("v", (0,)); at = gc.input("at", ("N", 4, 4, 4), "int64")
"""

TEXTS = {
    "conv1d of an image": """
ShapeError: cannot convolve f64[N,4,8,8] with f64[2,4,3,3]
  model.py:3   y = gc.conv1d(x, k)
                   ^^^^^^^^^^^^^^^
  why: they must be [N,channels,length] and [filters,channels,length]
""",
    "conv3d that does not fit its filters": """
ShapeError: cannot convolve f64[1,2,4,4,4] with f64[3,5,2,2,2]
  model.py:3   y = gc.conv3d(gc.input("a", (1, 2, 4, 4, 4)), gc.input("b", (3, 5, 2, 2, 2)))
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: x has 2 channels, and w takes 5
  fix: give w the shape [3,2,2,2,2]
""",
    "conv1d with a kernel longer than the padded line": """
ShapeError: a window of 3 does not fit into 6
  model.py:3   y = gc.conv1d(gc.input("a", (1, 1, 4)), gc.input("b", (1, 1, 3)), padding=1, dilation=3)
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: with dilation 3 it spans 7
  fix: pad the input or take a smaller kernel
""",
    "a stride of too many axes": """
ArgumentError: stride must be a positive integer or two of them, not (1, 2, 3)
  model.py:3   y = gc.conv2d(x, k, stride=(1, 2, 3))
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
""",
    "a stride of nothing": """
ArgumentError: stride must be a positive integer, not 0
  model.py:3   y = gc.conv1d(gc.input("a", (1, 1, 4)), gc.input("b", (1, 1, 3)), stride=0)
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
""",
    "a padding below nothing": """
ArgumentError: cannot pad by -1
  model.py:3   y = gc.conv2d(x, k, padding=-1)
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: an amount is negative
  fix: slice it instead
""",
    "an unknown padding": """
ArgumentError: unknown padding 'half'
  model.py:3   y = gc.conv2d(x, k, padding="half")
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  fix: use a number, "same", "valid" or "full"
""",
    "same with a stride over a named size": """
ShapeError: padding="same" with a stride needs a known size, not H
  model.py:3   y = gc.conv2d(t, k, stride=2, padding="same")
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
""",
    "conv_transpose2d of a matrix": """
ShapeError: cannot convolve f64[N,4] with f64[2,4,3,3]
  model.py:3   y = gc.conv_transpose2d(h, k)
                   ^^^^^^^^^^^^^^^^^^^^^^^^^
  why: they must be [N,channels,height,width] and [channels,filters,height,width]
""",
    "conv_transpose2d with filters the wrong way round": """
ShapeError: cannot convolve f64[N,4,8,8] with f64[2,4,3,3], transposed
  model.py:3   y = gc.conv_transpose2d(x, k)
                   ^^^^^^^^^^^^^^^^^^^^^^^^^
  why: x has 4 channels, and w takes 2
  fix: give w the shape [4,4,3,3]
""",
    "conv_transpose2d in groups that do not divide": """
ShapeError: cannot convolve f64[N,4,8,8] with f64[4,2,3,3], transposed, in 3 groups
  model.py:3   y = gc.conv_transpose2d(x, gc.input("f", (4, 2, 3, 3)), groups=3)
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: x has 4 channels, and w takes 4
  fix: take groups that divide 4
""",
    "conv_transpose2d with too much output_padding": """
ArgumentError: output_padding=2 is too much for stride=2 and dilation=1
  model.py:3   y = gc.conv_transpose2d(x, gc.input("f", (4, 2, 3, 3)), stride=2, output_padding=2)
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: it tells apart the sizes that one convolution maps to one size
  fix: take an output_padding below the stride or the dilation
""",
    "conv_transpose1d cut to nothing": """
ShapeError: nothing is left of f64[1,1,2], transposed with padding=3
  model.py:3   y = gc.conv_transpose1d(gc.input("a", (1, 1, 2)), gc.input("b", (1, 1, 3)), padding=3)
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: of 4 elements, 6 are cut off
  fix: take a smaller padding
""",
    "convolve of a matrix": """
ShapeError: cannot convolve f64[N,4] with f64[2]
  model.py:3   y = gc.convolve(h, [1.0, 2.0])
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: both must be vectors
""",
    "convolve with nothing": """
ShapeError: cannot convolve f64[2] with f64[0]
  model.py:3   y = gc.convolve([1.0, 2.0], v)
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: one of them must have a known length above 0
""",
    "convolve in an unknown mode": """
ArgumentError: unknown mode 'half'
  model.py:3   y = gc.convolve([1.0, 2.0], [1.0], "half")
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  fix: use "full", "same" or "valid"
""",
    "unfold of a matrix": """
ShapeError: cannot unfold f64[N,4]
  model.py:3   y = gc.unfold(h, 3)
                   ^^^^^^^^^^^^^^^
  why: the image must be [N,channels,length] or [N,channels,height,width] or [N,channels,depth,height,width]
""",
    "unfold with windows that do not fit": """
ShapeError: a window of 3 does not fit into 8
  model.py:3   y = gc.unfold(x, 3, dilation=5)
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: with dilation 5 it spans 11
  fix: pad the input or take a smaller window
""",
    "fold of columns that do not fit": """
ShapeError: cannot fold `c`: f64[N,18,35]
  model.py:3   y = gc.fold(gc.input("c", ("N", 18, 35)), (8, 8), 3)
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: it must be [N,channels·9,36]: 9 elements in each window, and 36 windows in [8,8]
""",
    "max_pool1d of an image": """
ShapeError: cannot pool f64[N,4,8,8]
  model.py:3   y = gc.max_pool1d(x, 2)
                   ^^^^^^^^^^^^^^^^^^^
  why: the image must be [N,channels,length]
""",
    "max_pool2d of dilated windows that do not fit": """
ShapeError: a window of 3 does not fit into 8
  model.py:3   y = gc.max_pool2d(x, 3, dilation=4)
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: with dilation 4 it spans 9
  fix: pad the input or take a smaller window
""",
    "max_pool2d with nothing but padding": """
ShapeError: cannot pad by 3 for windows of 3×3
  model.py:3   y = gc.max_pool2d(x, 2, padding=3, dilation=2)
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: a window could lie in the padding altogether, where there is nothing to take
  fix: pad by less than the window
""",
    "ceil_mode over a named size": """
ShapeError: ceil_mode needs a known size, not H
  model.py:3   y = gc.max_pool2d(t, 2, ceil_mode=True)
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
""",
    "lp_pool2d that is no norm": """
ArgumentError: norm_type must be a number of 1 or more, not 0.5
  model.py:3   y = gc.lp_pool2d(x, 0.5, 2)
                   ^^^^^^^^^^^^^^^^^^^^^^^
""",
    "global_avg_pool of a matrix": """
ShapeError: cannot pool f64[N,4]
  model.py:3   y = gc.global_avg_pool(h)
                   ^^^^^^^^^^^^^^^^^^^^^
  why: the image must be [N,channels,length] or [N,channels,height,width] or [N,channels,depth,height,width]
""",
    "adaptive_avg_pool2d of a named size": """
ShapeError: adaptive pooling needs known sizes, not H
  model.py:3   y = gc.adaptive_avg_pool2d(t, 3)
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  fix: give the image a height and a width
""",
    "adaptive_max_pool2d of nothing": """
ShapeError: cannot pool f64[1,1,0,4]
  model.py:3   y = gc.adaptive_max_pool2d(gc.input("a", (1, 1, 0, 4)), 3)
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: the image is empty
""",
    "max_unpool2d without a place for each": """
ShapeError: cannot unpool f64[N,4,8,8] to the places i64[N,4,4,4]
  model.py:3   y = gc.max_unpool2d(x, at, 2)
                   ^^^^^^^^^^^^^^^^^^^^^^^^^
  why: each value needs one place
""",
    "resize of a named size": """
ShapeError: resizing needs known sizes, not H
  model.py:3   y = gc.resize(t, 12)
                   ^^^^^^^^^^^^^^^^
  fix: give the image a height and a width
""",
    "resize in the mode of another rank": """
ArgumentError: unknown mode 'linear' for an image of 2 spatial axes
  model.py:3   y = gc.resize(x, 16, "linear")
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^
  fix: use "nearest" or "bilinear"
""",
    "nearest with align_corners": """
ArgumentError: mode="nearest" has no align_corners
  model.py:3   y = gc.resize(x, 16, align_corners=True)
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: it does not weigh neighbours
  fix: leave it out
""",
    "resize of nothing": """
ShapeError: cannot resize f64[1,1,0,4]
  model.py:3   y = gc.resize(gc.input("a", (1, 1, 0, 4)), 8)
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: the image is empty
""",
    "crop over the border": """
ShapeError: the box of 5×8 at (4, 0) leaves f64[N,4,8,8]
  model.py:3   y = gc.crop(x, 4, 0, 5, 8)
                   ^^^^^^^^^^^^^^^^^^^^^^
  fix: pad the image, or take a smaller box
""",
    "affine_grid of a wrong matrix": """
ShapeError: no affine grid of the size [N,1,4,4] from f64[N,3,3]
  model.py:3   y = gc.affine_grid(gc.input("m", ("N", 3, 3)), ("N", 1, 4, 4))
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: theta must be [N,2,3] for a size (N,C,H,W), or [N,3,4] for (N,C,D,H,W)
""",
    "grid_sample at places of another rank": """
ShapeError: cannot sample f64[N,4,8,8] at f64[N,4,4,3]
  model.py:3   y = gc.grid_sample(x, gc.input("g", ("N", 4, 4, 3)))
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: they must be [N,C,H,W] and [N,H',W',2], or [N,C,D,H,W] and [N,D',H',W',3]
""",
    "grid_sample in an unknown mode": """
ArgumentError: unknown mode 'bicubic'
  model.py:3   y = gc.grid_sample(x, gc.input("g", ("N", 4, 4, 2)), "bicubic")
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  fix: use "bilinear" or "nearest"
""",
    "grid_sample with an unknown padding_mode": """
ArgumentError: unknown padding_mode 'wrap'
  model.py:3   y = gc.grid_sample(x, gc.input("g", ("N", 4, 4, 2)), padding_mode="wrap")
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  fix: use "zeros" or "border"
""",
    "roi_pool without samples": """
ShapeError: cannot pool f64[N,4,8,8] over f64[K,4]
  model.py:3   y = gc.roi_pool(x, gc.input("r", ("K", 4)), 7)
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: they must be [N,C,H,W] and [K,5]: (sample, x1, y1, x2, y2)
""",
    "batch_norm with half of the statistics": """
ArgumentError: batch_norm needs both mean and var, or neither
  model.py:3   y = gc.batch_norm(x, mean=gc.input("m", (4,)))
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
""",
    "batch_norm with a gamma that does not fit": """
ShapeError: the gamma of f64[N,4,8,8] is f64[8]
  model.py:3   y = gc.batch_norm(x, gamma=gc.input("g", (8,)))
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  fix: give gamma the shape [4]
""",
    "group_norm in groups that do not divide": """
ShapeError: cannot normalise f64[N,4,8,8] in 3 groups
  model.py:3   y = gc.group_norm(x, 3)
                   ^^^^^^^^^^^^^^^^^^^
  why: it has 4 channels
  fix: take groups that divide 4
""",
    "group_norm of a vector": """
ShapeError: cannot normalise f64[0] in groups
  model.py:3   y = gc.group_norm(v, 1)
                   ^^^^^^^^^^^^^^^^^^^
  why: it must be [N,channels,...]
""",
    "instance_norm of a matrix": """
ShapeError: cannot normalise the instances of f64[N,4]
  model.py:3   y = gc.instance_norm(h)
                   ^^^^^^^^^^^^^^^^^^^
  why: it must be [N,channels,...] with places
""",
    "local_response_norm of no channels": """
ArgumentError: size must be a positive integer, not 0
  model.py:3   y = gc.local_response_norm(x, 0)
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
""",
    "local_response_norm of a vector": """
ShapeError: cannot normalise the channels of f64[0]
  model.py:3   y = gc.local_response_norm(v)
                   ^^^^^^^^^^^^^^^^^^^^^^^^^
  why: it must be [N,channels,...]
""",
    "a negative eps": """
ArgumentError: eps must be 0 or more, not -1.0
  model.py:3   y = gc.layer_norm(h, eps=-1.0)
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^
""",
}


@pytest.mark.parametrize("name", TEXTS)
def test_text(name: str, error_of: Callable[..., str]) -> None:
    expected = TEXTS[name].strip("\n")
    line = expected.splitlines()[1].partition("model.py:3   ")[2]
    assert error_of(f"{SETUP.strip()}\n{line}") == expected
