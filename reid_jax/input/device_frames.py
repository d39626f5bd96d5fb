"""Holds all frames of a split, decoded once, in the memory of every device."""

import functools
import time
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Int

from reid_jax import parallel, quantities
from reid_jax.errors import UserError
from reid_jax.input import decoding
from reid_jax.input.augmentation import Windows
from reid_jax.input.frame_cache import Split

_FRAMES_PER_REQUEST = 256
"""Frames that are decoded and sent to the devices together."""

_MEMORY_SHARE = 0.8
"""Share of a device's free memory that the frames may take."""


class DeviceFrames:
    """All frames of a split, uint8 [N, H, W, 3], padded to the size of the largest.

    Args:
        split: the split to decode.
        mesh: its devices get a copy each.
        largest: height and width that larger frames are reduced to.
        resize: `resize(frames, sizes, windows)` computes the windows of frames.

    Raises:
        UserError: a device reports too little free memory.
    """

    def __init__(
        self,
        split: Split,
        mesh: Mesh,
        *,
        largest: Int[np.ndarray, "2"],
        resize: Callable[..., jax.Array],
    ):
        sizes = np.minimum(split.sizes, largest)
        padded = sizes.max(axis=0)
        shape = (len(sizes), *padded.tolist(), 3)
        _check_room(shape, mesh.local_devices)
        self._cut_windows = jax.jit(
            lambda frames, sizes, ids, windows: resize(frames[ids], sizes[ids], windows)
        )
        size = quantities.gigabytes(int(np.prod(shape, dtype=np.int64)))
        print(f"Decoding {shape[0]:,} frames ({size}) for the device ...", flush=True)
        began = time.perf_counter()
        self._sizes = parallel.replicate(sizes, mesh)
        on_every_device = NamedSharding(mesh, PartitionSpec())
        self._frames = jnp.zeros(shape, jnp.uint8, device=on_every_device)
        ids = np.arange(len(sizes))
        starts = range(0, len(sizes), _FRAMES_PER_REQUEST)
        requests = (
            decoding.Request(ids[start : start + _FRAMES_PER_REQUEST], padded, start)
            for start in starts
        )
        for request, frames in decoding.decode(split, requests, largest):
            # Not `parallel.replicate`: with several processes it compares all pixels.
            pixels = jax.make_array_from_callback(
                frames.shape,
                on_every_device,
                lambda index, frames=frames: frames[index],
            )
            self._frames = _put(self._frames, pixels, request.content)
        self._frames.block_until_ready()
        seconds = time.perf_counter() - began
        rate = quantities.rate(shape[0] / seconds, "frames")
        print(f"decoded in {quantities.duration(seconds)}: {rate}", flush=True)

    def cut_windows(self, frame_ids: jax.Array, windows: Windows) -> jax.Array:
        """Computes the windows of the frames with these numbers, uint8 pixels."""
        return self._cut_windows(self._frames, self._sizes, frame_ids, windows)


@functools.partial(jax.jit, donate_argnums=0)
def _put(frames, new_frames, first):
    return jax.lax.dynamic_update_slice(frames, new_frames, (first, 0, 0, 0))


def _check_room(shape: tuple[int, ...], devices: Sequence) -> None:
    """Raises UserError when frames of that shape do not fit a device's free memory."""
    num_bytes = int(np.prod(shape, dtype=np.int64))
    for device in devices:
        stats = device.memory_stats() or {}
        if "bytes_limit" not in stats:
            continue
        free = stats["bytes_limit"] - stats["bytes_in_use"]
        if num_bytes > _MEMORY_SHARE * free:
            num, height, width, _ = shape
            raise UserError(
                f"config.data.cache='device': {num:,} frames of {height}×{width} are "
                f"{quantities.gigabytes(num_bytes)}, and {device} has "
                f"{quantities.gigabytes(free)} left, of which the steps get "
                f"{1 - _MEMORY_SHARE:.0%}. Take config.data.cache='disk'."
            )
