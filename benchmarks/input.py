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

from benchmarks import copied_tracklets, measuring
from configs import demo, pool_avg
from data.walkers import plan, world
from reid_jax.cli import compile_cache, ending
from reid_jax.input import augmentation, frame_cache, resizing
from reid_jax.runs import log

_FRAME_SIZE = (256, 128)
_JPEG_QUALITY = 95
_RENDERED = 24  # tracklets, which stand for those of many persons
_COPIES = 10
_BATCHES = 128  # of a stage in a round
_ENCODED = 32  # batches that bare decoding repeats
_READ_AHEAD = 12  # at most: batches made, or read, before a stage's turn
_REST = 0.5  # seconds, in which the stages before read ahead
_STEPS = 40


def main() -> None:
    args = measuring.parser(__doc__, rounds=9).parse_args()
    ending.quieten()
    compile_cache.enable()
    machine = measuring.begin(args)
    config = pool_avg.get_config()
    config.augment.erase = 0.5
    silence = contextlib.redirect_stdout(io.StringIO())  # of runs and caches
    with tempfile.TemporaryDirectory() as folder, silence:
        stages = build_stages(_split(pathlib.Path(folder)), config)
        frames = config.data.p * config.data.k * config.model.clip_length
        measures = {
            name: functools.partial(_rate, batches, frames)
            for name, batches in stages.items()
        }
        measures["megabytes"] = functools.partial(measuring.megabytes, "VmRSS")
        found = measuring.in_turn(measures, args.rounds)
        for batches in stages.values():
            batches.close()
        waits = {cache: _device_waits(cache, folder) for cache in ("disk", "device")}
    megabytes = found.pop("megabytes")
    results = measuring.compare(found, "bare decoding", "frames/s")
    results |= {"megabytes": megabytes, "device_waits": waits}
    first, last = megabytes[0], megabytes[-1]
    print(f"resident memory, first and last round: {first:.0f}, {last:.0f} MB")
    for cache, share in waits.items():
        print(f"the device waits, cache={cache}: {share:.1%} of the time")
    measuring.print_json(machine, results)


def build_stages(split: frame_cache.Split, config) -> dict[str, Iterator]:
    """The compared stages: endless batches of the same clips."""
    from reid_jax.input import files
    from reid_jax.input.datasets import Dataset

    dataset = Dataset(split, split, split, ("standard",))
    source = files.FilesSource(config, dataset)
    resident = config.copy_and_resolve_references()
    resident.data.cache = "device"
    return {
        "bare decoding": _bare(_encoded(source)),
        "host part": _host_part(source, config),
        "batches": source.train_batches(),
        "batches, cache=device": files.FilesSource(resident, dataset).train_batches(),
    }


def _encoded(source) -> np.ndarray:
    """Encoded frames [batches, frames] of the first batches."""
    batches = itertools.islice(source.train_clips(), _ENCODED)
    ids = np.stack([batch.frame_ids.ravel() for batch in batches])
    frames = [source.training.frame_at(frame_id) for frame_id in ids.ravel().tolist()]
    return np.array(frames, object).reshape(ids.shape)


def _bare(frames: np.ndarray) -> Iterator[np.ndarray]:
    """Batches of decoded frames, in the arrangement that was the fastest here.

    A thread for each core, and each thread decodes a batch.
    """
    import tensorflow as tf

    decode_one = functools.partial(
        tf.io.decode_jpeg, channels=3, dct_method="INTEGER_ACCURATE"
    )
    decoded = tf.TensorSpec((None, None, 3), tf.uint8)
    dataset = tf.data.Dataset.from_tensor_slices(frames).repeat()
    dataset = dataset.map(
        lambda batch: tf.map_fn(decode_one, batch, fn_output_signature=decoded),
        num_parallel_calls=len(os.sched_getaffinity(0)),
    )
    options = tf.data.Options()
    options.autotune.enabled = False
    yield from dataset.prefetch(4).with_options(options).as_numpy_iterator()


def _host_part(source, config) -> Iterator[np.ndarray]:
    """Frames as `FilesSource` hands them to the device: drawn, read and decoded.

    Imports `decoding` when it is called, before TensorFlow first runs something, as
    programs do: that module sets how TensorFlow keeps the memory of batches.
    """
    from reid_jax.input import decoding

    size = source.training.sizes.max(axis=0)
    cropped = augmentation.build_augmentation(config).cropped_size
    requests = (
        decoding.Request(batch.frame_ids.ravel(), size, batch)
        for batch in source.train_clips()
    )
    largest = resizing.largest_size(cropped)
    decoded = decoding.decode(source.training, requests, largest)
    return (frames for _, frames in decoded)


def _split(folder: pathlib.Path) -> frame_cache.Split:
    """Some rendered tracklets, each as those of `_COPIES` persons."""
    height, width = _FRAME_SIZE
    sizes = world.SIZES["street_small"]
    sizes = dataclasses.replace(sizes, frame_height=height, frame_width=width)
    entries = plan.plan(sizes)
    rendered = [
        (entry, [_jpeg(frame) for frame in frames])
        for entry, frames in world.World(sizes).render(entries[:_RENDERED])
    ]

    return copied_tracklets.open_split(folder, "train", rendered, len(entries), _COPIES)


def _jpeg(frame) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.asarray(frame)).save(file, "JPEG", quality=_JPEG_QUALITY)
    return file.getvalue()


def _rate(batches: Iterator, frames: int) -> float:
    """Frames per second, once the batches that were read ahead are used up."""
    time.sleep(_REST)
    for _ in range(_READ_AHEAD):
        jax.block_until_ready(next(batches))
    seconds = measuring.seconds(lambda: jax.block_until_ready(next(batches)), _BATCHES)
    return frames / seconds


def _device_waits(cache: str, folder: str) -> float:
    """The median of the shares that a run of `_STEPS` steps logs."""
    import train

    config = demo.get_config()
    config.data.update(name="walkers/tiny", data_dir=folder, p=8, k=4, cache=cache)
    config.train.update(epochs=1000, max_steps=_STEPS, eval_every_epochs=1000)
    config.eval.update(pictures=False, baselines=False)
    workdir = pathlib.Path(folder) / cache
    train.train(config, workdir)
    logged = log.read(workdir)
    return statistics.median(r["device_waits"] for r in logged if "device_waits" in r)


if __name__ == "__main__":
    main()
