"""Batches of clips with tf.data: P×K for training, padded and ordered for evaluation.

Which frames and which augmentation a batch gets is drawn in NumPy, from (seed, epoch,
position) alone; tf.data decodes and prefetches in parallel; the devices resize, crop
and flip. Frames leave as uint8.
"""

import collections
import dataclasses
import io
import itertools
from collections.abc import Callable, Iterator

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Int
from PIL import Image

from data import tracklets
from reid_jax import clips, parallel
from reid_jax.input import augmentation, decoding, erasing
from reid_jax.input.augmentation import Clip
from reid_jax.input.datasets import (
    identity_weights,
    load_dataset,
    load_training_split,
    training_pids,
)
from reid_jax.input.device_frames import DeviceFrames
from reid_jax.input.frame_cache import Split

__all__ = [
    "eval_batches",
    "eval_clips",
    "first_middle_last",
    "load_dataset",
    "load_training_split",
    "steps_per_epoch",
    "train_batches",
    "train_clips",
    "training_pids",
]


def steps_per_epoch(split: Split, config) -> int:
    """Batches in which every training identity occurs once (the last one filled)."""
    return -(-len(training_pids(split)) // config.data.p)


def train_batches(
    split: Split, config, *, first_step: int = 0, mesh: Mesh | None = None
) -> Iterator[dict[str, jax.Array]]:
    """Endless P×K batches from `first_step` on, the same whatever was drawn before.

    Yields `clips` uint8 [P*K, T, H, W, 3] and `labels` int32 [P*K], each device of the
    mesh (by itself those of this process) with its rows: nothing else is read.
    """
    mesh = parallel.local_mesh() if mesh is None else mesh
    rows = parallel.local_rows(config.data.p * config.data.k, mesh)
    batches = train_clips(split, config, first_step)
    make = _kept if config.data.cache == "device" else _decoded
    for batch, made in make(split, config, batches, rows, mesh):
        labels = np.asarray([batch[row].label for row in rows], np.int32)
        yield {"clips": made, "labels": parallel.shard(labels, mesh)}


def _decoded(
    split: Split, config, batches: Iterator[list[Clip]], rows, mesh: Mesh
) -> Iterator[tuple[list[Clip], jax.Array]]:
    """Each batch with its clips, uint8 [B, T, H, W, 3], decoded on the host."""
    for batch, arguments, options in host_batches(split, config, batches, rows):
        yield batch, augmentation.show(*parallel.shard(arguments, mesh), **options)


def host_batches(
    split: Split, config, batches: Iterator[list[Clip]], rows
) -> Iterator[tuple[list[Clip], tuple, dict]]:
    """Each batch, and the arguments and options of `augmentation.show` for its rows."""
    sent = collections.deque()  # batches that are read in another thread
    largest = split.sizes.max(axis=0, initial=0)
    # Every process has to run the same program.
    is_one_size = jax.process_count() > 1 or bool((split.sizes == largest).all())

    def size_of(places: np.ndarray) -> np.ndarray:
        if is_one_size:
            return largest
        height, width = split.sizes[places].reshape(-1, 2).max(axis=0).tolist()
        return np.array([augmentation.round_up(height), augmentation.round_up(width)])

    def requests() -> Iterator[decoding.Request]:
        for batch in batches:
            places = _places(split, batch, rows)
            sent.append((batch, places))
            yield places.ravel(), size_of(places)

    for frames in decoding.decode(split, requests()):
        batch, places = sent.popleft()
        sizes = split.sizes[places]
        most = largest if is_one_size else sizes
        frames = frames.reshape(*places.shape, *frames.shape[1:])
        shown = augmentation.windows([batch[row] for row in rows], config)
        yield batch, (frames, sizes, shown), augmentation.options(most, config)


def _kept(
    split: Split, config, batches: Iterator[list[Clip]], rows, mesh: Mesh
) -> Iterator[tuple[list[Clip], jax.Array]]:
    """As `_decoded`, from frames that are on the devices."""
    kept = DeviceFrames(split, config, mesh)
    for batch in batches:
        places = _places(split, batch, rows).astype(np.int32)
        shown = augmentation.windows([batch[row] for row in rows], config)
        yield batch, kept.show(*parallel.shard((places, shown), mesh))


def _places(split: Split, batch: list[Clip], rows) -> Int[np.ndarray, "B T"]:
    """Where the frames of these rows are among all frames."""
    clips_of_rows = [batch[row] for row in rows]
    return np.stack([split.first_frame[c.tracklet] + c.frames for c in clips_of_rows])


def train_clips(split: Split, config, first_step: int = 0) -> Iterator[list[Clip]]:
    """The clips of each P×K batch from `first_step` on, endless.

    Each batch is a pure function of (seed, epoch, position in the epoch).
    """
    labels = np.searchsorted(training_pids(split), split.pids)
    rows = np.flatnonzero(split.pids != tracklets.JUNK_PID)
    draw = _clip_drawer(split, config)
    weights = identity_weights(split, config)
    if weights is not None:
        weights = weights[rows]
    first_epoch, first_position = divmod(first_step, steps_per_epoch(split, config))
    for epoch in itertools.count(first_epoch):
        batches = clips.identity_batches(
            labels[rows],
            config.data.p,
            config.data.k,
            seed=config.seed,
            epoch=epoch,
            weights=weights,
        )
        for position in range(first_position, len(batches)):
            rng = np.random.default_rng([config.seed, epoch, position, _FRAMES])
            chosen = rows[batches[position]]
            yield draw(rng, chosen.tolist(), labels[chosen].tolist())
        first_position = 0


_FRAMES = 2
"""Keeps this random stream apart from those of `clips.identity_batches`."""


def _clip_drawer(split: Split, config) -> Callable[..., list[Clip]]:
    """The function (rng, tracklets, labels) → a training clip of each tracklet."""
    T, augment = config.model.clip_length, config.augment.to_dict()
    sample = clips.SAMPLINGS[config.data.sampling]
    draws = T if augment["per_frame"] else 1

    def draw(rng: np.random.Generator, chosen, labels) -> list[Clip]:
        B, frames, drawn = len(chosen), [], []
        for tracklet in chosen:
            frames.append(sample(rng, split.num_frames[tracklet], T))
            drawn.append(rng.random(4 * draws))
        flip, crop, shift = np.split(np.array(drawn), (draws, 2 * draws), axis=1)
        augmented = (
            flip < augment["flip"],
            crop < augment["crop"],
            shift.reshape(B, draws, 2),
            erasing.draw_boxes(rng, B * draws, config).reshape(B, draws, 4),
        )
        augmented = (values.repeat(T // draws, axis=1) for values in augmented)
        return list(map(Clip, chosen, frames, labels, *augmented))

    return draw


def eval_batches(
    split: Split, config, mesh: Mesh | None = None
) -> Iterator[dict[str, jax.Array | np.ndarray]]:
    """Every test clip of the split once, in order, in batches of one fixed shape.

    Of tracklets longer than `config.eval.max_frames` only the first frames.

    Yields `clips` uint8 [B, T, H, W, 3], each device of the mesh (by itself those of
    this process) with its rows, and `tracklet` int32 [B], of all rows the position of
    the clip's tracklet in the split, -1 where the last batch is padded.
    """
    mesh = parallel.local_mesh() if mesh is None else mesh
    rows = parallel.local_rows(config.eval.batch_clips, mesh)
    batches = eval_clips(split, config)
    for batch, made in _decoded(split, config, batches, rows, mesh):
        tracklet = np.asarray([clip.label for clip in batch], np.int32)
        yield {"clips": made, "tracklet": tracklet}


def eval_clips(split: Split, config) -> Iterator[list[Clip]]:
    """The batches of `eval_batches` as clips; `label` is the tracklet, -1 padding."""
    T = config.model.clip_length
    num_frames = np.minimum(split.num_frames, config.eval.max_frames or np.inf)
    num_frames = num_frames.astype(int)
    unchanged = np.zeros(T, bool), np.zeros(T, bool), np.zeros((T, 2))
    every = (
        Clip(tracklet, frames, tracklet, *unchanged)
        for tracklet in range(len(split))
        for frames in clips.dense_clips(num_frames[tracklet], T)
    )
    while batch := list(itertools.islice(every, config.eval.batch_clips)):
        padding = dataclasses.replace(batch[-1], label=-1)
        missing = config.eval.batch_clips - len(batch)
        yield [*batch, *[padding] * missing]


def first_middle_last(split: Split, tracklet: int) -> list[np.ndarray]:
    """Three frames of a tracklet as published (fewer where it has fewer), RGB uint8."""
    last = int(split.num_frames[tracklet]) - 1
    return [
        np.asarray(Image.open(io.BytesIO(split.frame(tracklet, t))).convert("RGB"))
        for t in sorted({0, last // 2, last})
    ]
