"""Frames of clips decoded, resized, cropped and flipped by tf.data's threads."""

import collections
import dataclasses
import io
import itertools
from collections.abc import Callable, Iterator

import numpy as np
import PIL
import tensorflow as tf
from PIL import Image

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
    boxes: np.ndarray | None = None  # int [T, 4]: what is erased of each frame


def decode(
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
