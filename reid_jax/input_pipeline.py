"""Batches of clips with tf.data: P×K for training, padded and ordered for evaluation.

Which frames and which augmentation a batch gets is drawn in NumPy, from (seed, epoch,
position) alone; tf.data decodes, resizes and prefetches in parallel. Frames leave as
uint8.
"""

import collections
import dataclasses
import io
import itertools
from collections.abc import Iterator

import numpy as np
from jaxtyping import Int
from PIL import Image

from data import tracklets
from reid_jax import clips, erasing, pixels
from reid_jax.datasets import (
    identity_weights,
    load_dataset,
    load_training_split,
    training_pids,
)
from reid_jax.decoding import Clip, decode
from reid_jax.frame_cache import Split

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
    split: Split,
    config,
    *,
    first_step: int = 0,
    rows: Int[np.ndarray, "_"] | None = None,
) -> Iterator[dict[str, np.ndarray]]:
    """Endless P×K batches from `first_step` on, the same whatever was drawn before.

    Yields `clips` uint8 [P*K, T, H, W, 3] and `labels` int32 [P*K]; of both only the
    `rows`, where they are given: nothing else is read.
    """
    batches = train_clips(split, config, first_step)
    if rows is not None:
        batches = ([batch[row] for row in rows] for batch in batches)
    color = pixels.mean_color(config.data.normalization)
    for batch, frames in decode(split, config, batches):
        erasing.erase(frames, [clip.boxes for clip in batch], color)
        labels = np.asarray([clip.label for clip in batch], np.int32)
        yield {"clips": frames, "labels": labels}


def train_clips(split: Split, config, first_step: int = 0) -> Iterator[list[Clip]]:
    """The clips of each P×K batch from `first_step` on, endless.

    Each batch is a pure function of (seed, epoch, position in the epoch).
    """
    labels = np.searchsorted(training_pids(split), split.pids)
    rows = np.flatnonzero(split.pids != tracklets.JUNK_PID)
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
            yield [
                _train_clip(rng, split, config, tracklet, int(labels[tracklet]))
                for tracklet in rows[batches[position]].tolist()
            ]
        first_position = 0


_FRAMES = 2
"""Keeps this random stream apart from those of `clips.identity_batches`."""


def _train_clip(rng, split: Split, config, tracklet: int, label: int) -> Clip:
    T = config.model.clip_length
    sample = clips.SAMPLINGS[config.data.sampling]
    frames = sample(rng, int(split.num_frames[tracklet]), T)
    draws = T if config.augment.per_frame else 1

    def draw(*shape: int) -> np.ndarray:
        return np.broadcast_to(rng.random((draws, *shape)), (T, *shape))

    flip, crop = draw() < config.augment.flip, draw() < config.augment.crop
    shift, boxes = draw(2), None
    if config.augment.erase:  # nothing is drawn for it otherwise
        drawn = [erasing.draw_box(rng, config) for _ in range(draws)]
        boxes = np.broadcast_to(drawn, (T, 4))
    return Clip(tracklet, frames, label, flip, crop, shift, boxes)


def eval_batches(
    split: Split, config, rows: Int[np.ndarray, "_"] | None = None
) -> Iterator[dict[str, np.ndarray]]:
    """Every test clip of the split once, in order, in batches of one fixed shape.

    Of tracklets longer than `config.eval.max_frames` only the first frames.

    Yields `clips` uint8 [B, T, H, W, 3] and `tracklet` int32 [B], the position of the
    clip's tracklet in the split, -1 where the last batch is padded. With `rows`, only
    these of the clips are read.
    """
    rows = np.arange(config.eval.batch_clips) if rows is None else rows
    whole = collections.deque()  # labels of batches that are read in another thread

    def to_read():
        for batch in eval_clips(split, config):
            whole.append(np.asarray([clip.label for clip in batch], np.int32))
            yield [batch[row] for row in rows]

    for _, frames in decode(split, config, to_read()):
        yield {"clips": frames, "tracklet": whole.popleft()}


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
