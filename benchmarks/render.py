"""Frames/s of the walkers' renderer, all nuisances on, as the dataset builder runs it.

python benchmarks/render.py        (make bench)

Beside the wall clock's rate stands the rate per second of processor time, which other
programs on the machine disturb less: times the number of cores it is what an idle
machine gives.
"""

import dataclasses
import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from data.walkers import plan
from data.walkers.sizes import SIZES
from data.walkers.world import World

_NUM_TRACKLETS = 40


def main() -> None:
    print(f"{len(os.sched_getaffinity(0))} cores")
    for height, width in ((128, 64), (256, 128)):
        for name in ("street_small", "hall"):
            sizes = dataclasses.replace(
                SIZES[name],
                frame_height=height,
                frame_width=width,
                median_frames=24,
                num_frames=(8, 40),
            )
            wall, processor = _rates(sizes)
            print(
                f"{name:12} {height}x{width}  {wall:5.0f} frames/s, "
                f"{processor:5.0f} per second of one core"
            )


def _rates(sizes) -> tuple[float, float]:
    world, entries = World(sizes), plan.plan(sizes)[: _NUM_TRACKLETS + 4]
    for _ in world.render(entries[:4]):  # compiles
        pass
    wall, processor = time.perf_counter(), time.process_time()
    num_frames = sum(len(frames) for _, frames in world.render(entries[4:]))
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    return num_frames / wall, num_frames / processor


if __name__ == "__main__":
    main()
