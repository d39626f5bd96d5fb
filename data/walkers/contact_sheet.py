"""Draws a contact sheet: a row for each of some persons, under all cameras of a world.

python -m data.walkers.contact_sheet --configs=street_small,hall --folder=docs/images
"""

import argparse
import dataclasses
import pathlib

import numpy as np
from PIL import Image

from data.walkers import plan, world
from data.walkers.sizes import SIZES, Sizes, names

_NUM_FRAMES = 16
"""Length of the tracklets that are shown."""


def contact_sheet(
    sizes: Sizes, num_persons: int, num_frames: int, num_tracklets: int = 1
) -> np.ndarray:
    """A uint8 image with a row for each of `num_persons` test persons.

    Args:
        sizes: The world; every camera sees every person.
        num_persons: Rows.
        num_frames: Frames of each tracklet, spread over it.
        num_tracklets: Tracklets of each person and camera.
    """
    sizes = dataclasses.replace(sizes, unseen=0.0)
    test_entries = [e for e in plan.plan(sizes) if e.pid > sizes.num_train]
    pids = sorted({e.pid for e in test_entries})[:num_persons]
    entries = [e for e in test_entries if e.pid in pids and e.index < num_tracklets]
    height, width = sizes.frame_height, sizes.frame_width
    shape = (len(pids), sizes.num_cameras, num_tracklets, num_frames, height, width, 3)
    cells = np.zeros(shape, np.uint8)
    for entry, frames in world.World(sizes).render(entries):
        chosen = np.linspace(0, len(frames) - 1, num_frames + 2)[1:-1].astype(int)
        cells[pids.index(entry.pid), entry.camid, entry.index] = frames[chosen]
    rows = cells.reshape(len(pids), -1, height, width, 3)
    return np.concatenate([np.concatenate(list(row), axis=1) for row in rows], axis=0)


def main():
    """Writes the sheet of each world to `<folder>/<world>.jpg`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--configs", type=names, default="street_small", help="a,b,… or all"
    )
    parser.add_argument("--folder", type=pathlib.Path, required=True)
    parser.add_argument("--persons", type=int, default=6)
    parser.add_argument(
        "--frames", type=int, default=12, help="per person; at least one per camera"
    )
    args = parser.parse_args()
    if args.persons < 1 or args.frames < 1:
        parser.error("--persons and --frames must be at least 1")
    args.folder.mkdir(parents=True, exist_ok=True)
    for name in args.configs:
        sizes = dataclasses.replace(
            SIZES[name],
            frame_height=128,
            frame_width=64,
            num_frames=(_NUM_FRAMES, _NUM_FRAMES),
            median_frames=_NUM_FRAMES,
            edge_cases=False,
        )
        frames_per_camera = args.frames // (sizes.num_cameras * sizes.days)
        frames_per_camera = min(max(frames_per_camera, 1), _NUM_FRAMES)
        sheet = contact_sheet(
            sizes, args.persons, frames_per_camera, num_tracklets=sizes.days
        )
        path = args.folder / f"{name}.jpg"
        Image.fromarray(sheet).save(path, quality=75)
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
