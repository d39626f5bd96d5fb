"""What evaluation shows of frames of any size, in products of matrices.

`input.resizing` gathers as many pixels as the size of the frames asks for. Here that
size may be symbolic, so that one program takes all of them.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int, UInt8

from reid_jax.arrays import Array
from reid_jax.input import resizing
from reid_jax.input.augmentation import Augmentation


def middle(
    clips: UInt8[Array, "B T H W 3"], augmentation: Augmentation
) -> UInt8[Array, "B T h w 3"]:
    """The test windows of clips: reduced, resized and cropped as `Run.embed` does it.

    Where a sum lies halfway between two numbers, rounding may give the other one.
    """
    windows = augmentation.middle(1, 1)
    wanted = zip(
        clips.shape[2:4],
        resizing.largest_size(augmentation.cropped_size).tolist(),
        windows.resized[0, 0].tolist(),
        windows.corner[0, 0].tolist(),
        augmentation.frame_size,
        strict=True,
    )
    reduce, resize = [], []
    for size, largest, resized, first, length in wanted:
        smaller = jnp.minimum(jnp.asarray(size, jnp.int32), largest)
        reduce.append(_area_weights(size, smaller, largest))
        positions = first + jnp.arange(length)
        resize.append(_bilinear_weights(smaller, largest, resized, positions))
    frames = _weighted(clips.astype(jnp.float32), *reduce)
    return _weighted(frames, *resize).astype(jnp.uint8)


def _weighted(
    frames: Float[Array, "B T H W 3"],
    rows: Float[Array, "h H"],
    columns: Float[Array, "w W"],
) -> Float[Array, "B T h w 3"]:
    """Sums of pixels along both axes, rounded."""
    exact = {"precision": jax.lax.Precision.HIGHEST}
    frames = jnp.einsum("yh,bthwc->btywc", rows, frames, **exact)
    return jnp.round(jnp.einsum("xw,btywc->btyxc", columns, frames, **exact))


def _area_weights(
    size: Any, smaller: Int[Array, ""], largest: int
) -> Float[Array, "largest size"]:
    """Share of pixel j of a side in pixel i of the `smaller` one; 0 beyond its end.

    `size` may be symbolic.
    Places are counted in whole parts of a pixel, of which a side has size × smaller.
    """
    i, j = (jax.lax.broadcasted_iota(jnp.int32, (largest, size), a) for a in (0, 1))
    whole = jnp.asarray(size, jnp.int32)
    start = jnp.maximum(i * whole, j * smaller)
    end = jnp.minimum((i + 1) * whole, (j + 1) * smaller)
    covered = jnp.where(i < smaller, jnp.maximum(end - start, 0), 0)
    return covered.astype(jnp.float32) / whole.astype(jnp.float32)


def _bilinear_weights(
    size: Int[Array, ""], padded: int, resized: int, positions: Int[Array, "N"]
) -> Float[Array, "N padded"]:
    """Share of pixel j of a side in each that is shown; 0 beyond the side's end.

    As `resizing._resized` weights them: a triangle, cut at the frame's ends.
    """
    ratio = size.astype(jnp.float32) / resized
    center = (positions[:, None] + 0.5) * ratio - 0.5
    distance = jnp.abs(center - jnp.arange(padded)) / jnp.maximum(ratio, 1.0)
    weights = jnp.maximum(1.0 - distance, 0.0)
    weights = jnp.where(jnp.arange(padded) < size, weights, 0.0)
    return weights / weights.sum(axis=1, keepdims=True)
