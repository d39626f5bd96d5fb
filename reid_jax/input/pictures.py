"""Makes batches of clips from pictures in memory, as evaluation does from files."""

import itertools
from collections.abc import Iterable, Iterator, Sequence

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import UInt8

from reid_jax import clips, parallel
from reid_jax.errors import UserError
from reid_jax.input import pixels, resizing
from reid_jax.input.augmentation import Augmentation

Picture = UInt8[np.ndarray, "h w 3"]
Track = Iterable  # of pictures, such as a list or an array [T, h, w, 3]


def clips_of(
    tracks: Sequence[Track], clip_length: int
) -> Iterator[tuple[list[Picture], int]]:
    """Cuts tracks into clips; yields each clip's pictures and the number of its track.

    A track has the pictures of one person in order of time, of any sizes. A clip has at
    most `clip_length` of them.

    Raises:
        UserError: a track is of the wrong type or shape, or empty; the message has its
            number.
    """
    for number, track in enumerate(tracks):
        if not isinstance(track, Iterable):
            raise UserError(
                f"Track {number} is {type(track).__name__}; a list of tracks is "
                "needed, each a list of pictures or an array [T, height, width, 3]."
            )
        pictures = list(track)
        if not pictures:
            raise UserError(f"Track {number} holds no picture; at least one is needed.")
        for t, picture in enumerate(pictures):
            pictures[t] = _checked(picture, t, number)
        for start in range(0, len(pictures), clip_length):
            yield pictures[start : start + clip_length], number


def clip_batches(
    pictures_of_clips: Iterator[tuple[list[Picture], int]],
    *,
    clip_length: int,
    batch_clips: int,
    augmentation: Augmentation,
    normalization: str,
    mesh: Mesh,
) -> Iterator[dict[str, jax.Array | np.ndarray]]:
    """Yields batches like those of `Source.eval_batches`, clips in the given order.

    Args:
        pictures_of_clips: one to `clip_length` pictures per clip, which are repeated
            cyclically to fill it, and the number of its track.
        clip_length: frames per clip, T.
        batch_clips: clips per batch, B; the last batch is padded.
        augmentation: gives the sizes; nothing in it is drawn at random.
        normalization: name of the convention, whose mean colour fills erased boxes.
        mesh: the devices that share a batch.
    """
    largest = resizing.largest_size(augmentation.cropped_size)
    filled_clips = (
        ([reduced[t] for t in clips.dense_clips(len(pictures), clip_length)[0]], number)
        for pictures, number in pictures_of_clips
        for reduced in [[resizing.reduce(picture, largest) for picture in pictures]]
    )
    parallel.check_divisible(batch_clips, mesh, "config.eval.batch_clips")
    rows = parallel.local_rows(batch_clips, mesh)
    windows = augmentation.middle(len(rows), clip_length)
    while batch := list(itertools.islice(filled_clips, batch_clips)):
        padding = [(batch[-1][0], -1)] * (batch_clips - len(batch))
        pictures, tracklet = zip(*batch, *padding, strict=True)
        frames, sizes = _padded([pictures[row] for row in rows])
        resized = resizing.resize_crop_flip(
            *parallel.shard((frames, sizes, windows), mesh),
            num_taps=resizing.num_taps(sizes, augmentation.whole_size),
            frame_size=augmentation.frame_size,
            color=pixels.mean_color(normalization),
        )
        yield {"clips": resized, "tracklet": np.array(tracklet, np.int32)}


def _checked(picture, t: int, number: int) -> Picture:
    """Returns picture `t` of track `number` as an array; UserError if it is none."""
    picture = np.asarray(picture)
    shape = list(picture.shape)
    is_picture = picture.dtype == np.uint8 and len(shape) == 3 and shape[2] == 3
    if not (is_picture and picture.size):
        raise UserError(
            f"Picture {t} of track {number} is {picture.dtype} {shape}; uint8 "
            "[height, width, 3] in RGB is needed (one track is [track])."
        )
    return picture


def _padded(batch: list[list[Picture]]) -> tuple[np.ndarray, np.ndarray]:
    """Pads frames at the bottom and right: [B, T, H, W, 3], and their sizes."""
    sizes = np.array([[frame.shape[:2] for frame in clip] for clip in batch])
    height, width = sizes.max(axis=(0, 1)).tolist()
    shape = (resizing.round_up(height), resizing.round_up(width), 3)
    frames = np.zeros((*sizes.shape[:2], *shape), np.uint8)
    for clip, out in zip(batch, frames, strict=True):
        for frame, padded in zip(clip, out, strict=True):
            padded[: frame.shape[0], : frame.shape[1]] = frame
    return frames, sizes
