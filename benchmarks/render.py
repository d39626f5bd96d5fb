"""Frames/s of the walkers' renderer, all nuisances on.

python benchmarks/render.py        (make bench)

`files`: as the dataset builder runs it, with JPEG. `stream`: batches of 8 persons, 4
clips of 4 frames, as `data.source=render` trains on them, on the device that JAX has.
Beside the wall clock's rate stands the rate per second of processor time, which other
programs on the machine disturb less: times the number of cores it is what an idle
machine gives.
"""

import dataclasses
import os
import pathlib
import sys
import time

import jax

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from data.walkers import plan, stream
from data.walkers.sizes import SIZES
from data.walkers.world import World

_WORLDS = (("street_small", 128, 64), ("hall", 128, 64), ("hall", 256, 128))
_NUM_TRACKLETS = 24
_NUM_BATCHES = 4
_BATCH = {"p": 8, "k": 4, "clip_length": 4}


def main() -> None:
    device = jax.devices()[0].device_kind
    print(f"{len(os.sched_getaffinity(0))} cores; JAX on {device}")
    for name, height, width in _WORLDS:
        sizes = dataclasses.replace(
            SIZES[name],
            frame_height=height,
            frame_width=width,
            median_frames=24,
            num_frames=(8, 40),
        )
        for title, rendered in (("files", _files), ("stream", _stream)):
            wall, processor = _rates(rendered(sizes))
            print(
                f"{name:12} {height}x{width}  {title:6}  {wall:8,.0f} frames/s, "
                f"{processor:7,.0f} per second of one core"
            )


def _files(sizes):
    """Numbers of frames, as they are rendered; the first ones compile."""
    world, entries = World(sizes), plan.plan(sizes)[: _NUM_TRACKLETS + 4]
    for some in (entries[:4], entries[4:]):
        files = [
            world.jpeg(entry.camid, frame)
            for entry, frames in world.render(some)
            for frame in frames
        ]
        yield len(files)


def _stream(sizes):
    """As `_files`."""
    street = stream.Street(sizes)
    keys = jax.random.split(jax.random.key(0), _NUM_BATCHES + 1)
    yield jax.block_until_ready(street.batch(keys[0], **_BATCH)[0]).size
    batches = [street.batch(key, **_BATCH)[0] for key in keys[1:]]
    yield sum(len(jax.block_until_ready(b)) * b.shape[1] for b in batches)


def _rates(rendered) -> tuple[float, float]:
    next(rendered)
    wall, processor = time.perf_counter(), time.process_time()
    num_frames = next(rendered)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    return num_frames / wall, num_frames / processor


if __name__ == "__main__":
    main()
