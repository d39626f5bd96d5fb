"""Frames/s of the walkers' renderer, all nuisances on, beside reading such frames.

python benchmarks/render.py        (make bench, with --world=street_small alone)

`files`: as the dataset builder runs it, with JPEG. `stream`: batches of 8 persons, 4
clips of 4 frames, as `data.source=render` trains on them, on the device that JAX has.
Medians of --rounds and their spread. The ratio of each round is that to decoding the
JPEGs of `files` with Pillow in one thread.
"""

import dataclasses
import io
import pathlib
import sys
from collections.abc import Callable

import jax
import numpy as np
from PIL import Image

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import measuring
from data.walkers import plan, stream
from data.walkers.sizes import SIZES
from data.walkers.world import World

_FRAME_SIZES = {"street_small": (128, 64), "hall": (256, 128)}
_NUM_TRACKLETS = 12
_NUM_BATCHES = 2
_NUM_PERSONS = 8


def main() -> None:
    parser = measuring.parser(__doc__, rounds=3)
    parser.add_argument("--world", choices=_FRAME_SIZES, action="append")
    args = parser.parse_args()
    machine = measuring.begin(args)
    results = {}
    for name in args.world or _FRAME_SIZES:
        height, width = _FRAME_SIZES[name]
        label = f"{name} {height}x{width}"
        print(f"\n{label}")
        makes = _renderers(name, height, width)
        measures = {make: measuring.rate(run) for make, run in makes.items()}
        found = measuring.in_turn(measures, args.rounds)
        results[label] = measuring.compare(found, "decoding", "frames/s")
    measuring.print_json(machine, results)


def _renderers(name: str, height: int, width: int) -> dict[str, Callable[[], int]]:
    """The compared functions; each returns the number of frames it made."""
    short = {"median_frames": 24, "num_frames": (8, 40)}
    frame = {"frame_height": height, "frame_width": width}
    sizes = dataclasses.replace(SIZES[name], **frame, **short)
    jpegs = []
    return {
        "files": _files(sizes, jpegs),
        "stream": _stream(sizes),
        "decoding": lambda: len([_decode(jpeg) for jpeg in jpegs]),
    }


def _files(sizes, jpegs: list[bytes]) -> Callable[[], int]:
    """The function that renders some tracklets as files and returns how many frames."""
    world, entries = World(sizes), plan.plan(sizes)[:_NUM_TRACKLETS]

    def render() -> int:
        jpegs[:] = [
            world.jpeg(entry.camid, frame)
            for entry, frames in world.render(entries)
            for frame in frames
        ]
        return len(jpegs)

    return render


def _stream(sizes) -> Callable[[], int]:
    """The function that renders batches on the device and returns how many frames."""
    street = stream.Street(World(sizes))
    persons = stream.first_person(sizes.twins) + np.arange(_NUM_PERSONS)
    keys = jax.random.split(jax.random.key(0), _NUM_BATCHES)

    def render() -> int:
        batches = [street.clips(key, persons, k=4, clip_length=4) for key in keys]
        return sum(len(jax.block_until_ready(b)) * b.shape[1] for b in batches)

    return render


def _decode(jpeg: bytes) -> None:
    Image.open(io.BytesIO(jpeg)).load()


if __name__ == "__main__":
    main()
