"""Speed and memory of the input pipeline beside bare JPEG decoding, on the same cores.

python benchmarks/input.py        (make bench)

Frames of walkers at 256×128 as JPEG, batches of 8 persons, 4 clips of 4 frames at
224×112 each, with all augmentation. In turn: decoding alone (tf.io.decode_jpeg of the
same frames in tf.data, from memory, as accurate), what the host does for a batch
(drawing, reading, decoding), and whole batches, resized, cropped, flipped and erased on
the device; where that is this CPU it takes from the same cores. Medians of --rounds and
their spread; a ratio is that of each round. Then the share of the time in which the
device waits for the training steps of a small network.
"""

import argparse
import contextlib
import dataclasses
import functools
import io
import itertools
import os
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator

import jax
import numpy as np
from PIL import Image

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import measuring
from configs import demo, pool_avg
from data.walkers import plan, world
from reid_jax.cli import compile_cache, ending
from reid_jax.input import frame_cache
from reid_jax.runs import log as metric_log

_FRAME_SIZE = (256, 128)
_JPEG_QUALITY = 95
_RENDERED = 24  # tracklets, which stand for those of many persons
_COPIES = 10
_BATCHES = 32  # of a stage in a round
_READ_AHEAD = 12  # at most: batches made, or read, before a stage's turn
_REST = 0.5  # seconds, in which the stages before read ahead
_STEPS = 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=measuring.at_least(1), default=5)
    args = parser.parse_args()
    ending.quieten()
    compile_cache.enable()
    import tensorflow as tf

    from reid_jax.input import files as input_pipeline

    machine = measuring.begin(args)
    config = pool_avg.get_config()
    config.augment.erase = 0.5
    kept = config.copy_and_resolve_references()
    kept.data.cache = "device"
    rows = range(config.data.p * config.data.k)
    said = contextlib.redirect_stdout(io.StringIO())  # by runs and caches
    with tempfile.TemporaryDirectory() as folder, said:
        split = _split(pathlib.Path(folder))
        clips = input_pipeline.train_clips(split, config)
        stages = {
            "bare decoding": _bare(tf, _drawn(split, config)),
            "host part": (
                arrays
                for _, arrays, _ in input_pipeline.host_batches(
                    split, config, clips, rows
                )
            ),
            "batches": input_pipeline.train_batches(split, config),
            "batches, cache=device": input_pipeline.train_batches(split, kept),
        }
        measures = {name: functools.partial(_rate, it) for name, it in stages.items()}
        measures["megabytes"] = _resident_megabytes
        found = measuring.in_turn(measures, args.rounds)
        for batches in stages.values():
            batches.close()
        waits = {cache: _device_waits(cache, folder) for cache in ("disk", "device")}
    megabytes = found.pop("megabytes")
    frames = len(rows) * config.model.clip_length
    results = {}
    for name, rates in found.items():
        rate = measuring.figure(frames * r for r in rates)
        ratio = measuring.ratio(rates, found["bare decoding"])
        results[name] = {"frames_per_second": rate, "ratio": ratio}
        print(f"{name:22} {rate:6.0f} frames/s  {ratio:5.2f} of bare decoding")
    print(f"resident memory, first and last round: {megabytes[0]:.0f}", end=", ")
    print(f"{megabytes[-1]:.0f} MB")
    for cache, share in waits.items():
        print(f"the device waits, cache={cache}: {share:.1%} of the time")
    results |= {"megabytes": megabytes, "device_waits": waits}
    measuring.print_json(machine, results)


def _split(folder: pathlib.Path) -> frame_cache.Split:
    """Some rendered tracklets, each as those of `_COPIES` persons."""
    height, width = _FRAME_SIZE
    sizes = world.SIZES["street_small"]
    sizes = dataclasses.replace(sizes, frame_height=height, frame_width=width)
    entries = plan.plan(sizes)[:_RENDERED]
    rendered = [
        (entry, [_jpeg(frame) for frame in frames])
        for entry, frames in world.World(sizes).render(entries)
    ]

    def examples():
        for copy in range(_COPIES):
            for entry, frames in rendered:
                yield {
                    "frames": frames,
                    "pid": entry.pid + copy * len(plan.plan(sizes)),
                    "camid": entry.camid,
                    "tracklet": f"{copy}-{entry.name}",
                }

    return frame_cache.open_split(folder, "train", examples)


def _drawn(split: frame_cache.Split, config) -> np.ndarray:
    """Encoded frames [batches, frames] of the first batches."""
    from reid_jax.input import files as input_pipeline

    batches = itertools.islice(input_pipeline.train_clips(split, config), _BATCHES)
    places = [
        [split.first_frame[clip.tracklet] + clip.frames for clip in batch]
        for batch in batches
    ]
    places = np.array(places).reshape(len(places), -1)
    frames = [split.frame_at(place) for place in places.ravel().tolist()]
    return np.array(frames, object).reshape(places.shape)


def _bare(tf, frames: np.ndarray) -> Iterator[np.ndarray]:
    """Batches of decoded frames, in the arrangement that was the fastest here.

    A thread for each core, and each thread decodes a batch.
    """
    decoded = tf.TensorSpec((*_FRAME_SIZE, 3), tf.uint8)

    def decode(batch):
        decode_one = functools.partial(
            tf.io.decode_jpeg, channels=3, dct_method="INTEGER_ACCURATE"
        )
        return tf.map_fn(decode_one, batch, fn_output_signature=decoded)

    dataset = tf.data.Dataset.from_tensor_slices(frames)
    num_threads = len(os.sched_getaffinity(0))
    dataset = dataset.repeat().map(decode, num_parallel_calls=num_threads)
    options = tf.data.Options()
    options.autotune.enabled = False
    yield from dataset.prefetch(4).with_options(options).as_numpy_iterator()


def _jpeg(frame) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.asarray(frame)).save(file, "JPEG", quality=_JPEG_QUALITY)
    return file.getvalue()


def _rate(batches: Iterator) -> float:
    """Batches a second, when what was read ahead is used up."""
    time.sleep(_REST)
    for _ in range(_READ_AHEAD):
        jax.block_until_ready(next(batches))
    return 1 / measuring.seconds(lambda: jax.block_until_ready(next(batches)), _BATCHES)


def _resident_megabytes() -> float:
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _device_waits(cache: str, folder: str) -> float:
    """The median of what a run of `_STEPS` steps logs."""
    import train

    config = demo.get_config()
    config.data.update(name="walkers/tiny", data_dir=folder, p=8, k=4, cache=cache)
    config.train.update(epochs=1000, max_steps=_STEPS, eval_every_epochs=1000)
    config.eval.update(pictures=False, baselines=False)
    workdir = pathlib.Path(folder) / cache
    train.train(config, workdir)
    rows = metric_log.read(workdir)
    return statistics.median(r["device_waits"] for r in rows if "device_waits" in r)


if __name__ == "__main__":
    main()
