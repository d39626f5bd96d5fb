"""Speed and memory of the input pipeline beside bare JPEG decoding, on the same cores.

python benchmarks/input.py        (make bench)

Frames of walkers at 256×128 as JPEG, clips of 4 of them at 224×112, P×K batches with
all augmentation. In turn, medians of --rounds: decoding alone (tf.io.decode_jpeg of the
same frames in tf.data, from memory, as accurate), what the host does for a batch
(drawing, reading, decoding), and whole batches, resized, cropped, flipped and erased on
the device; where that is this CPU it takes from the same cores. Then the share of the
time in which the device waits for the training steps of a small network.
"""

import argparse
import contextlib
import dataclasses
import functools
import io
import json
import os
import pathlib
import platform
import statistics
import sys
import tempfile
import time

import jax
import numpy as np
from PIL import Image

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from configs import demo, pool_avg
from data.walkers import plan, world
from reid_jax import command_line, frame_cache, metric_log

_FRAME_SIZE = (256, 128)
_JPEG_QUALITY = 95
_STEPS = 60
_LEAST_TRACKLETS = 44  # of 8 persons: a batch
_SECONDS = 2.0  # of each stage in a round


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="of each, in turn")
    parser.add_argument("--tracklets", type=int, default=60, help="to draw from")
    args = parser.parse_args()
    if args.rounds < 1:
        parser.error(f"--rounds={args.rounds}: at least 1")
    if args.tracklets < _LEAST_TRACKLETS:
        parser.error(f"--tracklets={args.tracklets}: at least {_LEAST_TRACKLETS}")
    command_line.quieten()
    import tensorflow as tf

    from reid_jax import input_pipeline

    config = pool_avg.get_config()
    config.augment.erase = 0.5
    config.data.k = 2
    per_batch = config.data.p * config.data.k * config.model.clip_length
    said = contextlib.redirect_stdout(io.StringIO())  # by runs and caches
    with tempfile.TemporaryDirectory() as folder, said:
        split = _split(pathlib.Path(folder), args.tracklets)
        rows = range(config.data.p * config.data.k)
        kept = config.copy_and_resolve_references()
        kept.data.cache = "device"

        def host_part():
            clips = input_pipeline.train_clips(split, config)
            return input_pipeline.host_batches(split, config, clips, rows)

        stages = {
            "bare decoding": lambda: _bare(tf, split, per_batch),
            "host part": host_part,
            "batches": lambda: input_pipeline.train_batches(split, config),
            "batches, cache=device": lambda: input_pipeline.train_batches(split, kept),
        }
        rates = {name: [] for name in stages}
        memory = []
        for _ in range(args.rounds):
            for name, make in stages.items():
                rates[name].append(_rate(make()) * per_batch)
            memory.append(_resident_megabytes())
        waits = {cache: _device_waits(cache, folder) for cache in ("disk", "device")}
    rates = {name: statistics.median(found) for name, found in rates.items()}
    cores = len(os.sched_getaffinity(0))
    machine = platform.processor() or platform.machine()
    print(f"{machine}, {cores} cores, {jax.devices()}, TensorFlow {tf.__version__}")
    for name, rate in rates.items():
        share = rate / rates["bare decoding"]
        print(f"{name:22} {rate:8.0f} frames/s  {share:6.2f} of bare decoding")
    print(
        f"resident memory after each round: {', '.join(f'{m:.0f}' for m in memory)} MB"
    )
    for cache, share in waits.items():
        print(f"the device waits, cache={cache}: {share:.1%} of the time")
    result = {"frames_per_second": rates, "megabytes": memory, "device_waits": waits}
    print(json.dumps(result | {"jax": jax.__version__, "cores": cores}))


def _split(folder: pathlib.Path, num_tracklets: int) -> frame_cache.Split:
    height, width = _FRAME_SIZE
    sizes = world.SIZES["street_small"]
    sizes = dataclasses.replace(sizes, frame_height=height, frame_width=width)
    entries = plan.plan(sizes)[:num_tracklets]

    def examples():
        for entry, frames in world.World(sizes).render(entries):
            yield {
                "frames": [_jpeg(frame) for frame in frames],
                "pid": entry.pid,
                "camid": entry.camid,
                "tracklet": entry.name,
            }

    return frame_cache.open_split(folder, "train", examples)


def _bare(tf, split: frame_cache.Split, per_batch: int):
    """Batches of decoded frames, in the arrangement that was the fastest here.

    A thread for each core, and each thread decodes a batch.
    """
    num = len(split.sizes) // per_batch * per_batch
    frames = np.array([split.frame_at(i) for i in range(num)], object)
    decoded = tf.TensorSpec((*_FRAME_SIZE, 3), tf.uint8)

    def decode(batch):
        decode_one = functools.partial(
            tf.io.decode_jpeg, channels=3, dct_method="INTEGER_ACCURATE"
        )
        return tf.map_fn(decode_one, batch, fn_output_signature=decoded)

    dataset = tf.data.Dataset.from_tensor_slices(frames.reshape(-1, per_batch))
    num_threads = len(os.sched_getaffinity(0))
    dataset = dataset.repeat().map(decode, num_parallel_calls=num_threads)
    options = tf.data.Options()
    options.autotune.enabled = False
    yield from dataset.prefetch(4).with_options(options).as_numpy_iterator()


def _jpeg(frame) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.asarray(frame)).save(file, "JPEG", quality=_JPEG_QUALITY)
    return file.getvalue()


def _rate(batches) -> float:
    """Batches a second, when what was read ahead is used up."""
    next(batches)  # compiles, and decodes what is kept on the device
    num, start = 0, time.perf_counter()
    begin = start + _SECONDS / 2
    for batch in batches:
        jax.block_until_ready(batch)
        if time.perf_counter() < begin:
            start = time.perf_counter()
            continue
        num += 1
        if time.perf_counter() - start > _SECONDS:
            batches.close()
            return num / (time.perf_counter() - start)


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
