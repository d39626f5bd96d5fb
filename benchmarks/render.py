"""Frames/s of the walkers' renderer, all nuisances on, beside reading such frames.

python benchmarks/render.py        (make bench, with --world=street_small alone)

`files`: as the dataset builder runs it, with JPEG. `stream`: batches of 8 persons, 4
clips of 4 frames, as `data.source=render` trains on them, on the device that JAX has.
Medians of --rounds and their spread. The ratio of each round is that to decoding the
JPEGs of `files` with Pillow in one thread. Beside it stands the rate per second of
processor time, which other programs on the machine disturb less: times the number of
cores it is the most that idle ones would give.
"""

import argparse
import dataclasses
import io
import pathlib
import sys
import time

import jax
import numpy as np
from PIL import Image

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import measuring
from data.walkers import plan, stream
from data.walkers.sizes import SIZES
from data.walkers.world import World

_WORLDS = {"street_small": (128, 64), "hall": (256, 128)}
_NUM_TRACKLETS = 12
_NUM_BATCHES = 2
_NUM_PERSONS = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=measuring.at_least(1), default=3)
    parser.add_argument("--world", choices=_WORLDS, action="append")
    args = parser.parse_args()
    machine = measuring.begin(args)
    print(f"{'frames/s':29}{'of the clock':>14}{'ratio':>15}{'of a core':>16}")
    results = {}
    for name in args.world or _WORLDS:
        height, width = _WORLDS[name]
        sizes = dataclasses.replace(
            SIZES[name],
            frame_height=height,
            frame_width=width,
            median_frames=24,
            num_frames=(8, 40),
        )
        results |= _measured(f"{name} {height}x{width}", sizes, args.rounds)
    measuring.print_json(machine, results)


def _measured(world: str, sizes, rounds: int) -> dict[str, dict]:
    jpegs, of_a_core = [], {"files": [], "stream": []}
    makes = {"files": _files(sizes, jpegs), "stream": _stream(sizes)}

    def rate(name: str) -> float:
        processor = time.process_time()
        seconds = measuring.seconds(lambda: frames.append(makes[name]()))
        processor = time.process_time() - processor
        of_a_core[name].append(frames[-1] / processor)
        return frames[-1] / seconds

    def decoding() -> float:
        return len(jpegs) / measuring.seconds(lambda: [_decode(j) for j in jpegs])

    frames = []
    found = measuring.in_turn(
        {
            "files": lambda: rate("files"),
            "stream": lambda: rate("stream"),
            "decoding": decoding,
        },
        rounds,
    )
    results = {}
    for name in makes:
        by_clock = measuring.figure(found[name])
        by_core = measuring.figure(of_a_core[name][1:])
        ratio = measuring.ratio(found[name], found["decoding"])
        label = f"{world:20} {name:8}"
        results[label.strip()] = {
            "frames_per_second": by_clock,
            "ratio": ratio,
            "of_a_core": by_core,
        }
        print(f"{label} {by_clock:9.0f} {ratio:9.3f} {by_core:9.0f}", flush=True)
    return results


def _files(sizes, jpegs: list[bytes]):
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


def _stream(sizes):
    """As `_files`, of batches."""
    street = stream.Street(sizes)
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
