"""From frames as published to those a network sees: resized, cropped, flipped, erased.

What happens to a clip is drawn on the host (`Clip`), its pixels are made on the device.
"""

import dataclasses
import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from reid_jax.arrays import Array
from reid_jax.input import pixels

ENLARGE = 1.125
"""Frames are resized to this multiple before a random crop (published code of paper 1),
unless `config.data.resize` says to what size."""

NO_BOX = (0, 0, 0, 0)


@dataclasses.dataclass(frozen=True)
class Clip:
    """One clip: where its frames are and how each is augmented."""

    tracklet: int
    frames: np.ndarray  # [T] indices in the tracklet
    label: int
    flip: np.ndarray  # bool [T]
    crop: np.ndarray  # bool [T]: at `shift`, else in the middle
    shift: np.ndarray  # float [T, 2]: top-left of the crop, share of the room there is
    boxes: np.ndarray | None = None  # int [T, 4]: what is erased of each frame


class Windows(NamedTuple):
    """What of each frame is shown, in pixels."""

    resized: Int[Array, "B T 2"]  # height, width that the frame is resized to
    corner: Int[Array, "B T 2"]  # top, left of the window in it
    flip: Bool[Array, "B T"]
    erased: Int[Array, "B T 4"]  # top, left, bottom, right in the window


def windows(batch: list[Clip], config) -> Windows:
    """The windows of a batch of clips."""
    frame_size = np.array(config.model.frame_size)
    whole = np.array(config.data.resize or frame_size)
    enlarged = np.round(frame_size * ENLARGE).astype(int)
    cropped_from = np.array(config.data.resize or enlarged)
    crop = np.stack([clip.crop for clip in batch])[..., None]
    resized = np.where(crop, cropped_from, whole)
    room = resized - frame_size
    # 0 .. room, both ends reachable, as a uniform integer would.
    drawn = (np.stack([clip.shift for clip in batch]) * (room + 1)).astype(int)
    nothing = np.broadcast_to(NO_BOX, (*crop.shape[:2], 4))
    erased = [
        none if clip.boxes is None else clip.boxes
        for clip, none in zip(batch, nothing, strict=True)
    ]
    return Windows(
        resized.astype(np.int32),
        np.where(crop, drawn, room // 2).astype(np.int32),
        np.stack([clip.flip for clip in batch]),
        np.stack(erased).astype(np.int32),
    )


def round_up(n: int) -> int:
    """The next of 1, 2, 3, 4, 6, 8, 12, 16, …: few numbers, so few programs."""
    power = 1 << max(0, n.bit_length() - 2)
    return -(-n // power) * power


def options(sizes: Int[np.ndarray, "... 2"], config) -> dict[str, Any]:
    """Those of `show`, for frames of these sizes."""
    frame_size = tuple(config.model.frame_size)
    ratio = sizes.reshape(-1, 2) / np.array(config.data.resize or frame_size)
    return {
        "num_taps": round_up(math.ceil(2 * max(1.0, ratio.max()))),
        "frame_size": frame_size,
        "color": pixels.mean_color(config.data.normalization),
    }


@functools.partial(jax.jit, static_argnames=("num_taps", "frame_size", "color"))
def show(
    frames: UInt8[Array, "B T H W 3"],
    sizes: Int[Array, "B T 2"],
    shown: Windows,
    *,
    num_taps: int,
    frame_size: tuple[int, int],
    color: tuple[int, int, int],
) -> UInt8[Array, "B T h w 3"]:
    """What the windows show; erased boxes are painted in `color`.

    `sizes` are the height and width of each frame, which may be padded at its bottom
    and right. Bilinear and antialiased, as PIL resizes in the published code: a pixel
    is made of `num_taps` along either axis.
    """
    sides = tuple(jnp.moveaxis(values, -1, 0) for values in (sizes, *shown[:2]))
    height, width = frame_size
    (size_y, size_x), (resized_y, resized_x), (top, left) = sides
    rows = jnp.arange(height)
    columns = jnp.arange(width)
    columns = jnp.where(shown.flip[..., None], width - 1 - columns, columns)
    x = frames.astype(jnp.float32)
    x = _resized(x, 2, size_y, resized_y, top[..., None] + rows, num_taps)
    x = _resized(x, 3, size_x, resized_x, left[..., None] + columns, num_taps)
    x = jnp.clip(jnp.round(x), 0, 255).astype(jnp.uint8)
    return erase(x, shown.erased, color)


def _resized(
    frames: Float[Array, "B T H W 3"],
    axis: int,
    size: Int[Array, "B T"],
    resized: Int[Array, "B T"],
    wanted: Int[Array, "B T n"],
    num_taps: int,
) -> Float[Array, "B T h w 3"]:
    """The `wanted` pixels of an axis that is resized from `size` to `resized`.

    Each is the mean of the pixels around it, weighted by a triangle as wide as two
    pixels of the smaller image, cut at the frame's ends.
    """
    ratio = size.astype(jnp.float32) / resized
    center = (wanted + 0.5) * ratio[..., None] - 0.5
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
    others = tuple(other for other in (2, 3, 4) if other != axis)
    total = sum(weights)
    return sum(
        jnp.expand_dims(weight / total, others)
        * jnp.take_along_axis(
            frames,
            jnp.expand_dims(jnp.clip(tap, 0, frames.shape[axis] - 1), others),
            axis,
        )
        for tap, weight in zip(taps, weights, strict=True)
    )


def erase(
    frames: UInt8[Array, "B T H W 3"],
    boxes: Int[Array, "B T 4"],
    color: tuple[int, int, int],
) -> UInt8[Array, "B T H W 3"]:
    """The frames with their boxes (top, left, bottom, right) painted over."""
    top, left, bottom, right = jnp.moveaxis(boxes[..., None, None], 2, 0)
    y = jnp.arange(frames.shape[2])[:, None]
    x = jnp.arange(frames.shape[3])
    inside = (top <= y) & (y < bottom) & (left <= x) & (x < right)
    return jnp.where(inside[..., None], jnp.array(color, jnp.uint8), frames)
