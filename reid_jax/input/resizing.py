"""Resizes frames as PIL does, and crops, flips and erases them, on the device."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, UInt8

from reid_jax.arrays import Array
from reid_jax.input import colors
from reid_jax.input.augmentation import Windows

MOST_TIMES_LARGER = 2
"""Frames larger than this multiple of their target size are first reduced on the host.

So the config's sizes bound the memory of a batch. PIL's `reducing_gap` does the same
for speed; its documentation calls the result with 2 close to that without reducing.
"""


def largest_size(target: tuple[int, int]) -> Int[np.ndarray, "2"]:
    """Height and width that larger frames are reduced to, for a target size."""
    return MOST_TIMES_LARGER * np.array(target)


def reduce(
    frame: UInt8[np.ndarray, "H W 3"], largest: Int[np.ndarray, "2"]
) -> UInt8[np.ndarray, "h w 3"]:
    """Reduces a frame to at most `largest` (height, width), by means over areas."""
    for axis, limit in enumerate(np.asarray(largest).tolist()):
        if frame.shape[axis] > limit:
            weights = _area_weights(frame.shape[axis], limit)
            frame = np.moveaxis(np.tensordot(weights, frame, (1, axis)), 0, axis)
    if frame.dtype == np.uint8:
        return frame
    return np.rint(frame).astype(np.uint8)


def _area_weights(size: int, smaller: int) -> Float[np.ndarray, "smaller size"]:
    """Weight of pixel j of the original in pixel i of the reduced axis."""
    edges = np.arange(smaller + 1) * size / smaller
    pixels = np.arange(size)
    end = np.minimum(edges[1:, None], pixels + 1)
    start = np.maximum(edges[:-1, None], pixels)
    covered = np.maximum(0, end - start)
    return (covered / covered.sum(axis=1, keepdims=True)).astype(np.float32)


def round_up(n: int) -> int:
    """Rounds up to one of 1, 2, 3, 4, 6, 8, 12, 16, …, so that few shapes compile."""
    power = 1 << max(0, n.bit_length() - 2)
    return -(-n // power) * power


def num_taps(sizes: Int[np.ndarray, "... 2"], whole_size: tuple[int, int]) -> int:
    """Number of original pixels along an axis that make up a resized pixel.

    It is rounded up, and enough for all frames of `sizes` (height, width); `whole_size`
    is the smallest size that they are resized to.
    """
    ratio = sizes.reshape(-1, 2) / np.array(whole_size)
    return round_up(math.ceil(2 * max(1.0, ratio.max())))


@functools.partial(jax.jit, static_argnames=("num_taps", "frame_size", "color"))
def resize_crop_flip(
    frames: UInt8[Array, "B T H W 3"],
    sizes: Int[Array, "B T 2"],
    windows: Windows,
    *,
    num_taps: int,
    frame_size: tuple[int, int],
    color: tuple[int, int, int],
) -> UInt8[Array, "B T h w 3"]:
    """Resizes frames, crops them to their windows, flips them and erases boxes.

    Resizing is bilinear and antialiased, as by PIL in the published code.

    Args:
        frames: frames, which may be padded at the bottom and right.
        sizes: height and width of each frame without padding.
        windows: for each frame, the size to resize to, the window, flip, box to erase
            and changes of colours.
        num_taps: original pixels along an axis that make up a resized one (`num_taps`).
        frame_size: height and width of the windows.
        color: RGB colour of erased boxes.
    """
    sides = tuple(jnp.moveaxis(values, -1, 0) for values in (sizes, *windows[:2]))
    height, width = frame_size
    (size_y, size_x), (resized_y, resized_x), (top, left) = sides
    rows = jnp.arange(height)
    columns = jnp.arange(width)
    columns = jnp.where(windows.flip[..., None], width - 1 - columns, columns)
    x = frames.astype(jnp.float32)
    x = _resized(x, 2, size_y, resized_y, top[..., None] + rows, num_taps)
    x = _resized(x, 3, size_x, resized_x, left[..., None] + columns, num_taps)
    x = jnp.clip(jnp.round(x), 0, 255).astype(jnp.uint8)
    if windows.colors is not None:
        x = colors.change(x, windows.colors)
    return erase(x, windows.erased, color)


def _resized(
    frames: Float[Array, "B T H W 3"],
    axis: int,
    size: Int[Array, "B T"],
    resized: Int[Array, "B T"],
    positions: Int[Array, "B T n"],
    num_taps: int,
) -> Float[Array, "B T h w 3"]:
    """Pixels at `positions` of an axis that is resized from `size` to `resized`.

    Each is the mean of the original pixels around it, weighted by a triangle as wide as
    two pixels of the smaller image, and cut off at the frame's ends.
    """
    ratio = size.astype(jnp.float32) / resized
    center = (positions + 0.5) * ratio[..., None] - 0.5
    reach = jnp.maximum(ratio, 1)[..., None]
    first = jnp.floor(center - reach).astype(jnp.int32) + 1
    taps = [first + i for i in range(num_taps)]
    weights = [
        jnp.where(
            (tap >= 0) & (tap < size[..., None]),
            jnp.maximum(0, 1 - jnp.abs(center - tap) / reach),
            0,
        )
        for tap in taps
    ]
    other_axes = tuple(other for other in (2, 3, 4) if other != axis)
    total = sum(weights)
    return sum(
        jnp.expand_dims(weight / total, other_axes)
        * jnp.take_along_axis(
            frames,
            jnp.expand_dims(jnp.clip(tap, 0, frames.shape[axis] - 1), other_axes),
            axis,
        )
        for tap, weight in zip(taps, weights, strict=True)
    )


def erase(
    frames: UInt8[Array, "B T H W 3"],
    boxes: Int[Array, "B T 4"],
    color: tuple[int, int, int],
) -> UInt8[Array, "B T H W 3"]:
    """Paints the box (top, left, bottom, right) of each frame in one colour."""
    top, left, bottom, right = jnp.moveaxis(boxes[..., None, None], 2, 0)
    y = jnp.arange(frames.shape[2])[:, None]
    x = jnp.arange(frames.shape[3])
    inside = (top <= y) & (y < bottom) & (left <= x) & (x < right)
    return jnp.where(inside[..., None], jnp.array(color, jnp.uint8), frames)
