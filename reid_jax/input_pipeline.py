"""Batches of clips with tf.data: P×K for training, padded and ordered for evaluation.

Which frames and which augmentation a batch gets is drawn in NumPy, from (seed, epoch,
position) alone; tf.data decodes, resizes and prefetches in parallel. Frames leave as
uint8.
"""

import collections
import dataclasses
import functools
import hashlib
import io
import itertools
import pathlib
from collections.abc import Callable, Iterator

import numpy as np
import PIL
import tensorflow as tf
from PIL import Image

from data import prepare, tracklets
from reid_jax import clips, frame_cache
from reid_jax.frame_cache import Split

ENLARGE = 1.125
"""Frames are resized to this multiple before a random crop (published code of paper 1),
unless `config.data.resize` says to what size."""


@dataclasses.dataclass(frozen=True)
class Clip:
    """One clip to decode: where its frames are and how each is augmented."""

    tracklet: int
    frames: np.ndarray  # [T] indices in the tracklet
    label: int
    flip: np.ndarray  # bool [T]
    crop: np.ndarray  # bool [T]: at `shift`, else in the middle
    shift: np.ndarray  # float [T, 2]: top-left of the crop, share of the room there is


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A prepared dataset: its splits and the evaluation protocols it is scored by."""

    train: Split
    query: Split
    gallery: Split
    protocols: tuple[str, ...]

    @functools.cached_property
    def fingerprint(self) -> str:
        """Of the tracklets of query and gallery and the sizes of their frames."""
        digest = hashlib.sha256()
        for split in (self.query, self.gallery):
            for array in (split.names, split.pids, split.camids, split.offsets):
                digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:16]


def load_dataset(config) -> Dataset:
    """The dataset that `config.data` names; a rendered one is rendered at first use.

    Raises `prepare.DatasetError`, with the way to get it, for one not prepared.
    """
    name, data_dir = config.data.name, config.data.data_dir
    builder = prepare.find_builder(name, data_dir)
    if not builder.is_prepared():
        if hasattr(builder, "SOURCE_LAYOUT"):
            raise prepare.DatasetError(prepare.not_prepared_message(name, data_dir))
        print(f"Rendering {name} into {builder.data_dir} ...", flush=True)
        prepare.build(builder)
    folder = pathlib.Path(builder.data_dir) / "frame_cache"
    splits = {
        split: frame_cache.open_split(
            folder, split, lambda s=split: builder.as_data_source(s)
        )
        for split in ("train", "query", "gallery")
    }
    return Dataset(**splits, protocols=getattr(builder, "PROTOCOLS", ("standard",)))


def load_training_split(config, dataset: Dataset) -> Split:
    """What the run is trained on: `dataset`'s own, or all those of the mixture.

    The persons of a mixture get one label space; its datasets are counted in print.
    """
    names = config.data.mixture
    if not names:
        return dataset.train
    parts = {}
    for name in names:
        part = config.copy_and_resolve_references()
        part.data.name = name
        parts[name] = load_dataset(part).train
        num_persons = len(training_pids(parts[name]))
        print(
            f"training on {name}: {num_persons:,} persons, {len(parts[name]):,} "
            f"tracklets, {len(np.unique(parts[name].camids))} cameras"
        )
    return frame_cache.join(parts)


def _identity_weights(split: Split, config) -> np.ndarray | None:
    """Of each tracklet's identity, so that the mixture's datasets have their shares."""
    if not config.data.mixture_weights:
        return None
    weights = [
        np.full(len(part), weight / len(training_pids(part)))
        for part, weight in zip(split.parts, config.data.mixture_weights, strict=True)
    ]
    return np.concatenate(weights)


def training_pids(split: Split) -> np.ndarray:
    """The person ids of a training split, sorted: label n is `training_pids[n]`."""
    return np.unique(split.pids[split.pids != tracklets.JUNK_PID])


def steps_per_epoch(split: Split, config) -> int:
    """Batches in which every training identity occurs once (the last one filled)."""
    return -(-len(training_pids(split)) // config.data.p)


def train_batches(
    split: Split, config, *, first_step: int = 0
) -> Iterator[dict[str, np.ndarray]]:
    """Endless P×K batches from `first_step` on, the same whatever was drawn before.

    Yields `clips` uint8 [P*K, T, H, W, 3] and `labels` int32 [P*K].
    """
    for batch, frames in _decode(split, config, train_clips(split, config, first_step)):
        labels = np.asarray([clip.label for clip in batch], np.int32)
        yield {"clips": frames, "labels": labels}


def train_clips(split: Split, config, first_step: int = 0) -> Iterator[list[Clip]]:
    """The clips of each P×K batch from `first_step` on, endless.

    Each batch is a pure function of (seed, epoch, position in the epoch).
    """
    labels = np.searchsorted(training_pids(split), split.pids)
    rows = np.flatnonzero(split.pids != tracklets.JUNK_PID)
    weights = _identity_weights(split, config)
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
    frames = clips.sample_clip(rng, int(split.num_frames[tracklet]), T)
    draws = T if config.augment.per_frame else 1

    def draw(*shape: int) -> np.ndarray:
        return np.broadcast_to(rng.random((draws, *shape)), (T, *shape))

    flip, crop = draw() < config.augment.flip, draw() < config.augment.crop
    return Clip(tracklet, frames, label, flip, crop, draw(2))


def eval_batches(split: Split, config) -> Iterator[dict[str, np.ndarray]]:
    """Every test clip of the split once, in order, in batches of one fixed shape.

    Of tracklets longer than `config.eval.max_frames` only the first frames.

    Yields `clips` uint8 [B, T, H, W, 3] and `tracklet` int32 [B], the position of the
    clip's tracklet in the split, -1 where the last batch is padded.
    """
    for clip_batch, frames in _decode(split, config, eval_clips(split, config)):
        tracklet = np.asarray([clip.label for clip in clip_batch], np.int32)
        yield {"clips": frames, "tracklet": tracklet}


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


def _decode(
    split: Split, config, batches: Iterator[list[Clip]]
) -> Iterator[tuple[list[Clip], np.ndarray]]:
    """Each batch of clips with its decoded frames, uint8 [B, T, H, W, 3]."""
    T = config.model.clip_length
    sent = collections.deque()  # batches on their way through tf.data's threads

    failures = []  # of ours in those threads, which tf.data would rename

    def requests():
        try:
            for batch in batches:
                sent.append(batch)
                for clip in batch:
                    encoded = [split.frame(clip.tracklet, t) for t in clip.frames]
                    yield encoded, clip.flip, clip.crop, clip.shift
        except Exception as failure:
            failures.append(failure)
            raise

    signature = (
        tf.TensorSpec((T,), tf.string),
        tf.TensorSpec((T,), tf.bool),
        tf.TensorSpec((T,), tf.bool),
        tf.TensorSpec((T, 2), tf.float64),
    )
    dataset = tf.data.Dataset.from_generator(requests, output_signature=signature)
    decode = _clip_decoder(tuple(config.model.frame_size), T, config.data.resize)
    dataset = dataset.map(decode, num_parallel_calls=tf.data.AUTOTUNE)
    frames = iter(dataset.prefetch(tf.data.AUTOTUNE).as_numpy_iterator())
    try:
        for first in frames:
            rest = itertools.islice(frames, len(sent[0]) - 1)
            decoded = np.stack([first, *rest])
            yield sent.popleft(), decoded
    except tf.errors.OpError as error:
        if failures:
            raise failures[0] from None
        raise ValueError(_damaged_frames(split, sent[0], error)) from None


def _clip_decoder(
    frame_size: tuple[int, int], clip_length: int, resize: tuple[int, int] | None
) -> Callable:
    height, width = frame_size
    whole = resize or frame_size
    cropped_from = resize or (round(height * ENLARGE), round(width * ENLARGE))

    def decode_frame(encoded, flip, crop, shift):
        # This op reads PNG too; the accurate transform is PIL's.
        image = tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")
        size = tf.where(crop, cropped_from, whole)
        # Antialiased, as PIL resizes in the published code.
        image = tf.image.resize(image, size, antialias=True)
        room = size - frame_size
        # 0 .. room, both ends reachable, as a uniform integer would.
        drawn = tf.cast(shift * tf.cast(room + 1, tf.float64), tf.int32)
        top_left = tf.where(crop, drawn, room // 2)
        image = tf.slice(image, [top_left[0], top_left[1], 0], [height, width, 3])
        image = tf.where(flip, image[:, ::-1], image)
        return tf.cast(tf.clip_by_value(tf.round(image), 0, 255), tf.uint8)

    def decode_clip(encoded, flip, crop, shift):
        frames = [
            decode_frame(encoded[t], flip[t], crop[t], shift[t])
            for t in range(clip_length)
        ]
        return tf.stack(frames)

    return decode_clip


def _damaged_frames(split: Split, batch: list[Clip], error: Exception) -> str:
    """Which frames of a batch that failed to decode are damaged."""
    damaged = []
    for clip in batch:
        for t in sorted(set(map(int, clip.frames))):
            try:
                Image.open(io.BytesIO(split.frame(clip.tracklet, t))).load()
            except PIL.UnidentifiedImageError:
                damaged.append(
                    f"tracklet {split.names[clip.tracklet]} frame {t}: not an image"
                )
            except (OSError, SyntaxError, ValueError) as reason:
                damaged.append(
                    f"tracklet {split.names[clip.tracklet]} frame {t}: {reason}"
                )
    if not damaged:
        return f"An image of {split.path} cannot be decoded: {error}"
    shown = "; ".join(dict.fromkeys(damaged))
    return (
        f"{split.path} holds damaged images: {shown}. Replace them and prepare again."
    )
