"""Resizes and crops frames for evaluation by matrix products.

`input.resizing` gathers pixels, whose number depends on the size of the frames. Here
the size of the frames may be symbolic, so that one program serves frames of any size.
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
    """Reduces, resizes and crops clips for evaluation, like `Run.embed`.

    Values may differ by 1 from `Run.embed`, where a sum is halfway between two
    integers.
    """
    windows = augmentation.middle(1, 1)
    axes = zip(
        clips.shape[2:4],
        resizing.largest_size(augmentation.cropped_size).tolist(),
        windows.resized[0, 0].tolist(),
        windows.corner[0, 0].tolist(),
        augmentation.frame_size,
        strict=True,
    )
    reduce, resize = [], []
    for size, largest, resized, first, length in axes:
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
    """Computes weighted sums of pixels along both axes, rounded to integers."""
    exact = {"precision": jax.lax.Precision.HIGHEST}
    frames = jnp.einsum("yh,bthwc->btywc", rows, frames, **exact)
    return jnp.round(jnp.einsum("xw,btywc->btyxc", columns, frames, **exact))


def _area_weights(
    size: Any, smaller: Int[Array, ""], largest: int
) -> Float[Array, "largest size"]:
    """Returns the weight of pixel j in pixel i when `size` is reduced to `smaller`.

    Rows from `smaller` on are 0. `size` may be symbolic. Positions are exact integers:
    the side is divided into size × smaller parts.
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
    """Returns the weight of pixel j at each of `positions` in the resized frame.

    Columns from `size` on are 0. The weights are those of `resizing._resized`: a
    triangle, cut at the ends of the frame.
    """
    ratio = size.astype(jnp.float32) / resized
    center = (positions[:, None] + 0.5) * ratio - 0.5
    distance = jnp.abs(center - jnp.arange(padded)) / jnp.maximum(ratio, 1.0)
    weights = jnp.maximum(1.0 - distance, 0.0)
    weights = jnp.where(jnp.arange(padded) < size, weights, 0.0)
    return weights / weights.sum(axis=1, keepdims=True)
