"""A split's frames decoded once and kept in the memory of every device."""

import functools
import time
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from reid_jax import parallel
from reid_jax.errors import UserError
from reid_jax.input import augmentation, decoding
from reid_jax.input.augmentation import Windows
from reid_jax.input.frame_cache import Split

_AT_ONCE = 256
"""Frames decoded and sent together."""

_SHARE = 0.8
"""Of a device's free memory."""


class DeviceFrames:
    """All frames of a split, uint8 [N, H, W, 3], padded to the size of the largest.

    Raises UserError where a device says how much memory it has free and it is not
    enough.
    """

    def __init__(self, split: Split, config, mesh: Mesh):
        largest = split.sizes.max(axis=0)
        shape = (len(split.sizes), *largest.tolist(), 3)
        _check_room(shape, mesh.local_devices)
        options = augmentation.options(split.sizes, config)
        self._show = jax.jit(
            lambda frames, sizes, places, shown: augmentation.show(
                frames[places], sizes[places], shown, **options
            )
        )
        gigabytes = np.prod(shape, dtype=np.int64) / 1e9
        print(
            f"{shape[0]:,} frames, {gigabytes:.1f} GB, for the device ...", flush=True
        )
        began = time.perf_counter()
        self._sizes = parallel.replicate(split.sizes, mesh)
        everywhere = NamedSharding(mesh, PartitionSpec())
        self._frames = jnp.zeros(shape, jnp.uint8, device=everywhere)
        starts = range(0, len(split.sizes), _AT_ONCE)
        every = np.arange(len(split.sizes))
        requests = ((every[start : start + _AT_ONCE], largest) for start in starts)
        decoded = decoding.decode(split, requests)
        for start, frames in zip(starts, decoded, strict=True):
            # Not `parallel.replicate`: several processes would compare every frame.
            part = jax.make_array_from_callback(
                frames.shape, everywhere, lambda index, frames=frames: frames[index]
            )
            self._frames = _put(self._frames, part, start)
        self._frames.block_until_ready()
        print(f"decoded in {time.perf_counter() - began:.0f} s", flush=True)

    def show(self, places: jax.Array, shown: Windows) -> jax.Array:
        """The frames at `places` as `augmentation.show` makes them."""
        return self._show(self._frames, self._sizes, places, shown)


@functools.partial(jax.jit, donate_argnums=0)
def _put(frames, part, first):
    return jax.lax.dynamic_update_slice(frames, part, (first, 0, 0, 0))


def _check_room(shape: tuple[int, ...], devices: Sequence) -> None:
    num_bytes = int(np.prod(shape, dtype=np.int64))
    for device in devices:
        stats = device.memory_stats() or {}
        if "bytes_limit" not in stats:
            continue
        free = stats["bytes_limit"] - stats["bytes_in_use"]
        if num_bytes > _SHARE * free:
            num, height, width, _ = shape
            raise UserError(
                f"config.data.cache='device': {num:,} frames of {height}×{width} are "
                f"{num_bytes / 1e9:.1f} GB, and {device} has {free / 1e9:.1f} GB left, "
                f"{1 - _SHARE:.0%} of it for the steps. Take config.data.cache='ram'."
            )
